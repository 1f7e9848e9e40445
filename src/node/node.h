/* One process's part of the cluster: many groups over one log, one peer hub and one loop.
 *
 * Group 1 is the system group (the description of the cluster); groups 2 … n+1 are routed: a key belongs to the group
 * with the ordinal jump(fnv1a64(key or its {tag}), n) (DESIGN D8). What an entry means is the machine's business: the
 * node gathers opaque commands, lets the machine compose one entry per group and turn, replicates it, and hands the
 * replies back to whoever proposed.
 *
 * Every node takes every command: where another node leads the group, the command is forwarded there, once, over one
 * hop. Once its first byte left, a lost connection or leader means HF_EINDETERMINATE, never a second try.
 *
 * Turn: frames, client commands, timers and log completions arrive; at the turn's end each group's proposals become
 * one SUBMIT, waiting reads start one round, and the log is driven (hf_log_turn) so that the writes leave together.
 *
 * Thread: the loop's. No callback runs from inside the call that asked for it, except where said. */
#ifndef NODE_NODE_H
#define NODE_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "base/ledger.h"
#include "holdfast/log.h"
#include "holdfast/snapshot.h"
#include "net/loop.h"
#include "node/description.h"
#include "node/membership.h"
#include "node/repair_frame.h"
#include "peer/peer.h"
#include "replica/replica.h"

#define NODE_SYSTEM_GROUP               1u
#define NODE_GROUP_FIRST                2u /* the routed group with ordinal 0 */
#define NODE_REQUEST_TIMEOUT_MS_DEFAULT 3000u
#define NODE_COMMAND_SIZE_MAX           (100u << 20) /* one opaque command */
#define NODE_ENTRY_COMMANDS_MAX         4096u        /* commands that share one entry */
#define NODE_ENTRY_SIZE_TARGET          (1u << 20)   /* an entry is closed once it is this big */
#define NODE_GROUP_PENDING_MAX          65536u       /* proposals in flight per group: beyond it HF_EBUSY */
#define NODE_CLOCK_SKEW_MAX_MS          500u

struct node;

/* ---- What the groups hold ---- */

/* Called during apply for each command of an entry that this node proposed; reply is lent for the call. */
typedef void node_reply_sink(void *arg, uint32_t ordinal, struct hf_bytes reply);

struct node_machine_ops {
    /* One state machine per routed group, kept in memory and rebuilt from the log. */
    void *(*open)(void *arg, uint64_t group, uint64_t incarnation, uint32_t ordinal);
    void (*close)(void *machine);
    /* Builds the payload of one entry from commands in their order. */
    void (*compose)(void *machine, uint64_t stamp_ms, const struct hf_bytes *commands, uint32_t count,
                    struct buffer *out);
    /* Applies a committed entry (HF_ENTRY_NORMAL only). sink NULL: nobody here waits. Non-zero freezes the group. */
    int (*apply)(void *machine, const struct hf_entry *entry, node_reply_sink *sink, void *sink_arg);
    /* Answers a command that reads only, at a stamp. */
    int (*read)(void *machine, struct hf_bytes command, uint64_t stamp_ms, struct buffer *reply);
    /* When the leader should propose what `expire` builds (UNIX ms), or UINT64_MAX. */
    uint64_t (*expire_due_ms)(void *machine);
    /* Appends a command that removes what is due at the stamp. */
    void (*expire)(void *machine, uint64_t stamp_ms, struct buffer *command);
    /* Equal on every replica at equal applied index. */
    void (*digest)(void *machine, uint64_t digest[2]);
    void *arg;
    /* Both or none, for data_size_max_bytes: how much there is, and whether a command may make it more. */
    uint64_t (*data_bytes)(void *machine);
    bool (*may_grow)(void *machine, struct hf_bytes command);

    /* Snapshots: all of them, or none; a group whose machine has none keeps its whole log.
     * A consistent cut of the state as it is now, in microseconds. Read and closed by a worker. */
    void *(*cut)(void *machine);
    void (*cut_close)(void *cut);
    /* The next bytes of the cut's stream; *got < size only at its end. */
    int (*cut_read)(void *cut, void *target, size_t size, size_t *got);
    uint64_t (*cut_entries)(void *cut); /* read so far, for the manifest */
    /* Memory that only cuts hold on to (copied pages); may be NULL. */
    uint64_t (*held_bytes)(void *machine);
    /* Another state, empty at first, that is built beside the machine's by a worker (write, finish) and is nobody's
     * until import_swap exchanges the two, in the loop and at once. finish: HF_ECORRUPT unless the whole stream was
     * right. import_close, by a worker, frees the state that the import has then. No cut of the machine is open at the
     * swap. */
    void *(*import_open)(void *machine);
    int (*import_write)(void *import, struct hf_bytes bytes);
    int (*import_finish)(void *import);
    void (*import_swap)(void *machine, void *import);
    void (*import_close)(void *import);
};

/* ---- Life ---- */

/* When snapshots are taken, and what becomes of the log behind them. A zero field means its default; UINT64_MAX (or
 * UINT32_MAX): never. */
struct node_snapshot_options {
    bool is_off;           /* none are taken; what is there is still loaded */
    const char *directory; /* snapshots/ in the data directory */
    struct hf_snapshot_format format;
    uint32_t keep_latest; /* 3, at least 2: older ones are removed */
    uint64_t entries;     /* 250,000 applied since the last one */
    uint64_t log_bytes;   /* 256 MiB of records that the log has grown since the last one, or twice that since the one
                             before */
    uint64_t interval_ms; /* 1 h, when anything was applied */
    uint64_t trail;       /* 10,000 entries that the log keeps before the second newest snapshot */
    uint64_t
        sync_bytes; /* 32 MiB: what is written or received is synced so often, and so much is fetched again at most */
    uint64_t copy_bytes_max;  /* 1 GiB: pages copied for writes meanwhile; beyond it the snapshot fails */
    uint64_t log_entries_max; /* 1,000,000 that a group's log may hold (node/log_cap.h) */
};

struct node_options {
    const char *directory;         /* formatted by directory_format (node/directory.h) */
    struct hf_log_options log;     /* driver and io are set by the node */
    unsigned election_timeout_ms;  /* 0: 1000 */
    unsigned heartbeat_timeout_ms; /* 0: 100 */
    unsigned request_timeout_ms;   /* 0: 3000 */
    uint64_t data_size_max_bytes;  /* 0: no limit; refused with HF_ENOMEM before proposing */
    uint64_t memory_limit_bytes;   /* of the ledger; 0: its default */
    const char *peer_listen;       /* NULL: as the description says */
    bool accept_lost_writes;       /* after an unclean stop under a relaxed sync policy: node/relaxed.h */
    bool log_here;                 /* the loop may wait for small writes of the log itself: docs/decisions/0008 */
    struct node_snapshot_options snapshot;
};

struct node_callbacks {
    /* The shared log failed, or something else that this process must not outlive: stop serving and exit. */
    void (*fatal)(void *arg, int result, const char *text);
    /* State, term or leader (0: unknown) of a group changed. Called from inside turns; may be NULL. */
    void (*group_changed)(void *arg, uint64_t group, enum replica_state state, uint64_t term, uint64_t leader);
};

/* Without authentication nothing but this machine may come in: HF_EUNSAFE for an address that is not loopback. `what`
 * names the port in the text. In the simulator, whose hosts have names of their own, every address is good. */
int node_check_address(struct io *io, const char *what, const char *address);

/* Opens the directory (HF_EBUSY: in use; HF_EVERSION; HF_EMISMATCH), recovers the log, starts every group's replica
 * and the hub. Errors name the file and the next step. io and loop are lent. */
int node_open(struct io *io, struct loop *loop, const struct node_options *options,
              const struct node_machine_ops *machine, const struct node_callbacks *callbacks, void *arg,
              struct node **out);
/* Answers everything that waits (HF_ECLOSED, or HF_EINDETERMINATE for what was proposed); what is proposed from inside
 * these answers is refused at once. Accepts NULL. */
void node_close(struct node *node);

/* ---- Commands ---- */

/* result 0: reply is the machine's, index the entry's. Otherwise HF_ENOLEADER, HF_ENOSPACE, HF_EBUSY, HF_ETOOBIG,
 * HF_ENOMEM, HF_ECLOSED: nothing was proposed; HF_EINDETERMINATE: proposed at `index` (0: unknown), outcome unknown. */
typedef void node_done(void *arg, int result, struct hf_bytes reply, uint64_t index);

/* The group of a key. */
uint64_t node_route(const struct node *node, struct hf_bytes key);
uint32_t node_group_count(const struct node *node); /* routed groups */

/* Copies the command. Commands proposed by one caller to one group in one order take effect in that order. Always
 * answers by request_timeout. */
void node_propose(struct node *node, uint64_t group, struct hf_bytes command, node_done *done, void *arg);

/* The same where this node leads the group, and only there: otherwise HF_ENOTLEADER, or HF_ENOLEADER when leadership
 * was lost before it was proposed. */
void node_propose_here(struct node *node, uint64_t group, struct hf_bytes command, node_done *done, void *arg);
/* Who leads a group, as far as it is known here; 0: nobody, or there is no such group. */
uint64_t node_leader(const struct node *node, uint64_t group);

enum node_read_mode { NODE_READ_LINEARIZABLE, NODE_READ_STALE };
/* Linearizable: sees every write acknowledged before the call, on any node. Stale: this node's applied state, at once.
 */
void node_read(struct node *node, uint64_t group, enum node_read_mode mode, struct hf_bytes command, node_done *done,
               void *arg);

/* Done when everything committed before the call is applied on this node. */
void node_barrier(struct node *node, uint64_t group, node_done *done, void *arg);
/* Hands leadership over where the group is led here; 0: it began. to_node 0: any. HF_ENOTLEADER when another node
 * leads, HF_ENOLEADER when none is known to, HF_EBUSY when it is being handed over already. */
int node_transfer(struct node *node, uint64_t group, uint64_t to_node);
/* Asks the node that leads to do it, over one hop. HF_ENOLEADER: it could not be reached, or leads no longer. */
void node_forward_transfer(struct node *node, uint64_t group, uint64_t to_node, node_done *done, void *arg);
/* Hands the leadership of every group over and takes none back, for a clean stop: call it some time before node_close,
 * until node_is_leading is false. */
void node_leave(struct node *node);
bool node_is_leading(const struct node *node); /* any group */
/* Voters that hold the index of a group (WAIT). Asked where the group is led; 0 elsewhere. */
unsigned node_voters_at(const struct node *node, uint64_t group, uint64_t index);
/* ---- Members ---- */

/* Changes the members (node/membership.h), as every change acknowledged before, on any node, left them. A new address
 * is called first, and the node that answers there must be the one that is meant; taking a vote away needs a majority
 * of the rest within reach, unless forced. result 0: the reply is a membership_outcome, which says what the cluster
 * decided. Otherwise nothing was proposed, or HF_EINDETERMINATE. */
void node_change_members(struct node *node, const struct membership_change *change, node_done *done, void *arg);
/* What would be answered now, without doing it; addresses are not called. 0 or the error. */
int node_check_change(const struct node *node, const struct membership_change *change);
/* The newest that this node knows; lent until the next turn. */
const struct membership *node_membership(const struct node *node);
bool node_is_removed(const struct node *node);

void *node_machine(struct node *node, uint64_t group); /* NULL: no routed group has this id */

/* Takes a snapshot of a group, or of every one (0), on this node; one after the other. Answers when all are
 * published and durable: 0, or the first error; HF_EUNSUPPORTED for the system group, whose log is kept whole. A group
 * of which nothing new was applied is done already, unless its newest one turned out to be damaged. */
void node_snapshot(struct node *node, uint64_t group, node_done *done, void *arg);
/* What a copy of a group's state is made from: the newest snapshot that the state here includes. Never blocks.
 * HF_ENOTFOUND; HF_ECORRUPT: that one is damaged, as far as is known by now, and an older one is not what was asked
 * for.
 */
int node_snapshot_find(struct node *node, uint64_t group, struct hf_snapshot_manifest *out);
/* Reads one chunk as it is stored; the answer's reply is it. HF_ENOTFOUND: no such snapshot here (any more);
 * HF_EINVALID: no such chunk; HF_EBUSY: too many at a time; HF_ECORRUPT. A snapshot of which chunks are read stays for
 * half a minute after the last one. */
void node_snapshot_read(struct node *node, uint64_t group, struct hf_snapshot_id id, uint32_t chunk, node_done *done,
                        void *arg);
struct node_snapshot_status {
    bool is_running; /* one is being taken: */
    uint64_t running_group;
    uint64_t bytes_done;     /* application bytes */
    uint64_t bytes_expected; /* roughly; 0 unknown */
    uint64_t started_ms;     /* loop_now_ms */
    uint64_t bytes_per_s;
    uint64_t left_ms; /* at that rate; 0 unknown */
    uint64_t taken;   /* since the start */
    uint64_t failed;
    uint64_t installed;     /* received from leaders */
    uint64_t resumed;       /* of those, fetched in more than one go */
    uint64_t last_wall_ms;  /* the newest of any group that is here; 0: none */
    uint64_t pause_ns;      /* how long the loop stood still to take the last cut … */
    uint64_t pause_max_ns;  /* … and at most, since the start */
    int last_result;        /* of the last one that ended */
    uint32_t failed_in_row; /* of the group where it is most */
    uint32_t groups_capped; /* whose logs hold as many entries as they may (node/log_cap.h) */
    char text[256];         /* why, when that failed */
};
void node_snapshot_status(const struct node *node, struct node_snapshot_status *out);
/* Snapshots that travel between this node and another one: position from 0; HF_ENOTFOUND at the end. */
struct node_transfer_status {
    bool is_incoming;
    uint64_t node_id; /* of the other side */
    uint64_t group;
    uint64_t index;
    const char *phase; /* of an incoming one: "receiving", "building", …; lent for ever */
    uint64_t bytes_done;
    uint64_t bytes_total;
    uint64_t bytes_per_s; /* on average, since it started */
    uint64_t left_ms;     /* at that rate; 0: unknown or done */
};
int node_transfer_status(const struct node *node, uint32_t position, struct node_transfer_status *out);

/* Answers a question for entries that another member lost, as this node would answer a peer (node/repair_frame.h). */
void node_repair_answer(struct node *node, uint64_t group, const struct repair_request *request, struct buffer *out);

/* ---- Status ---- */

const struct description *node_description(const struct node *node);
uint64_t node_id(const struct node *node);
struct hf_log *node_log(struct node *node);
struct peer_hub *node_peers(struct node *node); /* NULL in a cluster of one */
/* What this process holds in memory for others. The server counts its clients there, and may take `relieved`. */
struct ledger *node_ledger(struct node *node);

struct node_group_status {
    uint64_t group;
    uint32_t ordinal; /* UINT32_MAX for the system group */
    struct replica_status replica;
    uint64_t lag;       /* commit − applied */
    uint64_t log_bytes; /* of its entries as they lie on the device, headers included */
    uint64_t log_entries;
    uint32_t snapshots_failed; /* in a row */
    bool is_log_capped;        /* so many entries that its leader refuses writes (node/log_cap.h) */
    uint64_t digest[2];
    uint64_t proposals_in_flight;
    bool is_started; /* false: damaged or frozen; text says why */
    char text[256];
};
/* Walks all groups: position from 0; HF_ENOTFOUND at the end. */
int node_group_status(const struct node *node, uint32_t position, struct node_group_status *out);

struct node_counters {
    uint64_t proposals;
    uint64_t entries_submitted;
    uint64_t reads;
    uint64_t read_rounds;
    uint64_t forwards_sent;
    uint64_t forwards_received;
    uint64_t indeterminate;
    uint64_t no_leader;
    uint64_t applied_entries;
    uint64_t elections_won;
    uint64_t repaired_entries; /* that damage had taken */
    int64_t clock_offset_ms;   /* of this node to the median of the voters */
};
void node_counters(const struct node *node, struct node_counters *out);

#endif
