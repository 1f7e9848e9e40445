/* One process of a simulated machine: a real log on the simulated disk, and one replica on that log. What the replica
 * sends and applies goes to the owner. Included by the tests of replica/ together with replica_host.c. */
#ifndef CLUSTER_REPLICA_HOST_H
#define CLUSTER_REPLICA_HOST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "log/log.h"
#include "replica/replica.h"
#include "sim/sim.h"

#define REPLICA_HOST_GROUP       7u
#define REPLICA_HOST_INCARNATION 0x1234567890abcdefull
#define REPLICA_HOST_STAMP_MS    1700000000000ull

#define must(call)                                                                  \
    do {                                                                            \
        int must_rc = (call);                                                       \
        if (must_rc != 0) {                                                         \
            fail_msg("%s: %s: %s", #call, hf_error_name(must_rc), hf_error_text()); \
        }                                                                           \
    } while (0)

struct replica_host;

struct replica_host_owner {
    void (*send)(void *arg, struct replica_host *host, uint64_t to_node, struct peer_message *message);
    int (*apply)(void *arg, struct replica_host *host, const struct hf_entry *entry);
    void (*changed)(void *arg, struct replica_host *host, enum replica_state state, uint64_t term, uint64_t leader);
    void (*lost)(void *arg, struct replica_host *host, uint64_t from_index);
    void (*failed)(void *arg, struct replica_host *host, int result);
    /* NULL: no snapshots. */
    void (*snapshot_wanted)(void *arg, struct replica_host *host, uint64_t to_node);
    void (*snapshot_offered)(void *arg, struct replica_host *host, uint64_t from_node, uint64_t term,
                             const struct replica_snapshot *snapshot, struct hf_bytes manifest);
    int (*snapshot_install)(void *arg, struct replica_host *host);
};

struct replica_host_options {
    const struct replica_member *members; /* lent; 0 of them: it joins with an empty log */
    unsigned member_count;
    unsigned election_timeout_ms;
    unsigned heartbeat_timeout_ms;
    uint32_t write_size_max_bytes; /* of the log; 0: default */
    uint64_t queue_entries_max;    /* the same */
};

struct replica_host {
    struct sim *sim;
    struct sim_host *host;
    uint64_t node_id;
    struct replica_host_options options;
    struct replica_host_owner owner;
    void *arg;
    unsigned lives;
    struct loop *loop; /* of this life's process */
    struct hf_log *log;
    struct loop_watch *watch;
    struct loop_timer timer;
    struct loop_hook turn_end;
    struct replica *replica;          /* NULL: not running */
    struct replica_snapshot snapshot; /* that it starts from; the owner may set it before */
    uint64_t applied_index;           /* what the state machine holds at the next start; the owner may set it before */
    bool must_rejoin;                 /* the same */
    bool may_be_short;                /* the same */
};

void replica_host_init(struct replica_host *host, struct sim *sim, uint64_t node_id,
                       const struct replica_host_options *options, const struct replica_host_owner *owner, void *arg);
/* Opens log and replica on the running machine; returns what replica_open or the log gave. */
int replica_host_start(struct replica_host *host);
/* After the machine was stopped (sim_host_kill, sim_host_power_off): a log that is closed while it runs waits for the
 * disk, and no time passes meanwhile. */
void replica_host_close(struct replica_host *host);
/* Ends a call from outside like a loop's turn: sends reads off, turns the log, sets the timer. */
void replica_host_turn(struct replica_host *host);

void replica_host_receive(struct replica_host *host, uint64_t from_node, enum frame_kind kind, struct hf_bytes payload);
struct replica_status replica_host_status(const struct replica_host *host);
uint64_t replica_host_term_at(const struct replica_host *host, uint64_t index); /* 0: no such entry */

/* Enables the mutation named by HOLDFAST_MUTATION, in builds that carry them. To be called first in main. */
void replica_host_mutate(void);

#endif
