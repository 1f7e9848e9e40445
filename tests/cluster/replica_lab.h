/* One real replica on a simulated machine; the test plays all of its peers: it says what they send, and looks at what
 * the replica answers. Included by tests together with replica_lab.c and replica_host.c. */
#ifndef CLUSTER_REPLICA_LAB_H
#define CLUSTER_REPLICA_LAB_H

#include "base/buffer.h"
#include "cluster/replica_host.h"
#include "replica/codec.h"

#define LAB_SENT_MAX     8192u
#define LAB_APPLIED_MAX  65536u
#define LAB_ELECTION_MS  200u
#define LAB_HEARTBEAT_MS 40u

struct lab_message { /* that the replica sent */
    uint64_t to;
    enum frame_kind kind;
    struct buffer bytes;
    struct codec_message raft; /* of FRAME_RAFT */
    uint64_t at_ms;
    uint64_t durable_index; /* of the log, when it left */
    uint64_t commit_index;  /* of the replica, then */
};

struct lab {
    struct sim *sim;
    struct replica_host host;
    struct peer_message *queue[LAB_SENT_MAX]; /* handed over, not encoded yet */
    uint64_t queue_to[LAB_SENT_MAX];
    unsigned queued;
    unsigned is_socket_full; /* nothing is encoded meanwhile */
    struct lab_message sent[LAB_SENT_MAX];
    unsigned sent_count;
    unsigned seen; /* lab_next has looked at those before */
    struct {
        uint64_t index;
        uint64_t term;
        enum hf_entry_type type;
    } applied[LAB_APPLIED_MAX];
    unsigned applied_count;
    uint64_t lost_from;
    int failed;
    uint64_t wanted_by; /* the last node that needs a snapshot */
    /* the last offer */
    unsigned offers;
    uint64_t offer_term;
    struct replica_snapshot offer;
    char offer_manifest[64];
    /* what was to be taken in, and what was known then */
    unsigned installs;
    int install_result; /* to be returned */
    uint64_t install_durable_index;
    uint64_t install_commit_index;
};

extern const struct replica_member lab_voters_3[3];
extern const struct replica_member lab_alone[1];

/* The replica is `node_id` of the members given; runs until it has started. */
struct lab *lab_open(uint64_t node_id, const struct replica_member *members, unsigned count);
struct lab *lab_open_with(uint64_t node_id, const struct replica_host_options *options);
void lab_close(struct lab *lab);
void lab_power_cycle(struct lab *lab); /* what is undecided takes its durable state */
int lab_restart(struct lab *lab);      /* after a stop; returns what opening gave */
void lab_run_ms(struct lab *lab, unsigned ms);
void lab_pump(struct lab *lab); /* encodes what was handed over */

/* The next message of the type since the last call (or lab_forget), NULL when there is none yet. */
struct lab_message *lab_next(struct lab *lab, enum raft_message_type type);
struct lab_message *lab_next_kind(struct lab *lab, enum frame_kind kind);
/* The same, and runs for at most so long until there is one. */
struct lab_message *lab_await(struct lab *lab, enum raft_message_type type, unsigned limit_ms);
void lab_forget(struct lab *lab);
void lab_empty(struct lab *lab); /* frees what was sent so far */

/* What peers say. */
void lab_say(struct lab *lab, uint64_t from, const struct raft_message *raft, const struct hf_entry *entries,
             unsigned count);
void lab_append(struct lab *lab, uint64_t from, uint64_t term, uint64_t prev_index, uint64_t prev_term, uint64_t commit,
                const struct hf_entry *entries, unsigned count);
/* Entries first … last of a term, at most 64, the one before them of prev_term. */
void lab_append_run(struct lab *lab, uint64_t from, uint64_t term, uint64_t first, uint64_t last, uint64_t prev_term,
                    uint64_t commit);
void lab_result(struct lab *lab, uint64_t from, uint64_t term, uint64_t rejected, uint64_t last_index);
void lab_request_vote(struct lab *lab, uint64_t from, uint64_t term, uint64_t last_index, uint64_t last_term,
                      unsigned flags);                                        /* CODEC_PRE_VOTE, CODEC_DISRUPT_LEADER */
void lab_vote(struct lab *lab, uint64_t from, uint64_t term, unsigned flags); /* CODEC_PRE_VOTE, CODEC_VOTE_GRANTED */

/* Runs until the replica leads, with the votes of `voter`; its own first entry is then answered by `voter` too. */
void lab_elect(struct lab *lab, uint64_t voter);
void lab_lead(struct lab *lab);               /* the same, with the votes of node 2, and forgets what was said */
void lab_stall(struct lab *lab, unsigned ms); /* its disk */
void lab_quiet(void);                         /* what is traced is not shown */

struct hf_entry lab_normal(uint64_t index, uint64_t term, const char *text);
/* The buffer keeps the encoding. */
struct hf_entry lab_change(uint64_t index, uint64_t term, const struct replica_member *members, unsigned count,
                           struct buffer *buffer);
enum replica_role lab_role(const struct lab *lab, uint64_t node_id); /* in the configuration in force */
uint64_t lab_submit(struct lab *lab, const char *text);              /* must be taken; its index */

/* An InstallSnapshot with the manifest "manifest". */
void lab_offer(struct lab *lab, uint64_t from, uint64_t term, const struct replica_snapshot *snapshot);
/* Of lab_voters_3, by entry 1. */
struct replica_snapshot lab_snapshot_at(uint64_t index, uint64_t term);
/* A snapshot of what is applied was taken and published; its index. */
uint64_t lab_snapshot(struct lab *lab, uint64_t trailing);

#endif
