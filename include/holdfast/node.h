/* A node in your own process: many Raft groups over one log, with your state machine or with the built-in key-value
 * one.
 *
 * What it promises
 *   - A proposal that was answered with 0 is committed, durable on a majority of its group's nodes, and applied on the
 *     node that leads the group. It survives power loss of every node at once (log policies batch and always).
 *   - Nothing is proposed twice. A result that is not 0 says whether something may have been proposed: see
 * hf_node_done.
 *   - Every node takes proposals and reads for every group; where another node leads, they make one hop to it.
 *   - Your state machine sees the committed entries of its group in order, each exactly once per open.
 *   - What is damaged on disk, and a machine that fails, stops its group alone. A failed device stops the node for
 * good: options.failed is called, nothing is sent any more, and everything is answered HF_EPOISONED.
 *
 * A cluster begins with one description (hf_node_describe), given to every node (hf_node_format). Its groups are fixed
 * then: ids HF_NODE_GROUP_FIRST … + count − 1. Group 1 is the node's own. Without authentication (there is none yet)
 * every address must be a loopback one: HF_EUNSAFE otherwise.
 *
 * Threads: a node has a thread of its own, in which it calls back: `done`, the machine except where said, and the
 * callbacks of the options. Every function may be called from any thread, except where said. What is given to a call is
 * copied before it returns.
 *
 * Inside a callback of a node nothing may wait for that node or another one, which may just wait for this one. There
 * hf_node_wait, hf_node_leave and hf_node_close give HF_EUNSAFE at once and change nothing, and so do the functions
 * that look at a status, except in the own thread of the node that is looked at. Everything else may be called.
 *
 * Memory: at most HF_NODE_CALLS_MAX calls and HF_NODE_CALLS_BYTES_MAX bytes are on their way to the node's thread, then
 * HF_EBUSY; what it holds then is bounded by options.memory_limit_bytes.
 *
 * The library (libholdfast-node) holds all of libholdfast too: link one of the two. */
#ifndef HOLDFAST_NODE_H
#define HOLDFAST_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "holdfast/bytes.h"
#include "holdfast/error.h"
#include "holdfast/log.h"
#include "holdfast/snapshot.h"

#ifdef __cplusplus
extern "C" {
#endif

#define HF_NODE_GROUP_FIRST      2u
#define HF_NODE_GROUPS_MAX       65535u
#define HF_NODE_MEMBERS_MAX      31u
#define HF_NODE_COMMAND_SIZE_MAX (100u << 20) /* one command or query */
#define HF_NODE_REPLY_SIZE_MAX   (100u << 20) /* what a machine may answer */
#define HF_NODE_CALLS_MAX        65536u
#define HF_NODE_CALLS_BYTES_MAX  (256u << 20)
#define HF_NODE_KEY_SIZE_MAX     4096u /* of the built-in machine */
#define HF_NODE_VALUE_SIZE_MAX   (64u << 20)

struct hf_node;

/* ---- Your state machine ---- */

/* What apply and read answer with; belongs to the node, for the call. */
struct hf_node_reply;
/* Appends to the answer. HF_ETOOBIG; never fails for want of memory. Within apply or read, and for their reply only. */
HF_API int hf_node_reply_append(struct hf_node_reply *reply, const void *data, size_t size);

struct hf_node_command {
    uint64_t group;
    uint64_t index; /* of the log's entry; several commands may share one: */
    uint32_t ordinal;
    uint64_t term;
    uint64_t timestamp_ms;   /* the leader's clock; equal on every node, never decreases within a group */
    struct hf_bytes payload; /* as proposed; lent for the call */
};

/* One state per group. It lives in memory: an open begins with an empty one, loads the newest snapshot into it, and
 * applies what the log has behind it. Apply must be a function of the commands alone (no clock, no randomness, no order
 * of a hash table), so that every node reaches the same state. Names without "may be NULL" are needed. */
struct hf_node_machine {
    /* An empty state; NULL fails: the group stops. Node's thread, or inside hf_node_open. */
    void *(*open)(void *arg, uint64_t group);
    /* Frees a state. Any thread: the node's, a worker, or inside hf_node_open and hf_node_close. */
    void (*close)(void *state);
    /* A committed command. Whoever proposed it on this or another node gets the reply; `reply` takes bytes and forgets
     * them where nobody waits. Non-zero (an HF_E… code) stops the group on this node until the next open: for what must
     * not be passed over, not for a command that is merely wrong, which is answered in the reply. */
    int (*apply)(void *state, const struct hf_node_command *command, struct hf_node_reply *reply);
    /* Answers a query without changing anything. Non-zero is the result of the read. May be NULL: no hf_node_read. */
    int (*read)(void *state, uint64_t group, struct hf_bytes query, struct hf_node_reply *reply);

    /* Snapshots: these five, or none of them; without them a group keeps its whole log for ever.
     * cut: a picture of the state as it is now that later applies do not change, within microseconds; NULL fails, and
     * it is tried again later. */
    void *(*cut)(void *state);
    /* The next bytes of the picture; *got < size only at its end. A worker, beside applies to the state. Non-zero: the
     * snapshot fails and nothing is compacted. */
    int (*cut_read)(void *cut, void *target, size_t size, size_t *got);
    void (*cut_close)(void *cut); /* any thread */
    /* Puts the bytes that cut_read gave, in pieces of any size, into a state that was just opened; load_finish says
     * that this was all of them. A worker, or inside hf_node_open; nobody else sees the state before. HF_ECORRUPT: they
     * are not right, and the state is closed. The node checks their sums before, so this is about what they mean. */
    int (*load)(void *state, struct hf_bytes bytes);
    int (*load_finish)(void *state);

    uint64_t (*data_bytes)(void *state);             /* roughly how much a snapshot will be; may be NULL */
    void (*digest)(void *state, uint64_t digest[2]); /* equal on every node at an equal applied index; may be NULL */
    void *arg;
};

/* ---- What it says ---- */

enum hf_node_trace_level { HF_NODE_TRACE_DEBUG = 0, HF_NODE_TRACE_INFO, HF_NODE_TRACE_WARN, HF_NODE_TRACE_ERROR };
/* Lines for operators, from the level on (information, unless this says otherwise), go to `sink`, or to standard error
 * (NULL). Of the whole process; before the first node is opened. The sink is called by any thread, and must not call
 * back. */
HF_API void hf_node_trace(enum hf_node_trace_level level, void (*sink)(void *arg, int level, const char *line),
                          void *arg);

/* ---- Describing and formatting ---- */

struct hf_node_address {
    uint64_t id;      /* 1 … 2^63 − 1 */
    const char *peer; /* host:port for the other nodes; NULL or "" in a cluster of one that nobody shall join */
};
/* The description of a new cluster, as text that every node is formatted with: the cluster's id and its groups are
 * drawn anew each time, so describe once. *out: NUL-terminated, free() it. HF_EINVALID names what is wrong. Blocks for
 * nothing. */
HF_API int hf_node_describe(const struct hf_node_address *nodes, size_t count, uint32_t group_count, char **out);
/* Makes a directory (and missing parents) the data directory of one node. Durable when it returns; a crash on the way
 * leaves it unformatted. HF_EEXISTS: it is formatted already, nothing changed. HF_EINVALID, HF_EUNSAFE (a log without
 * an identity lies there), HF_EIO, HF_ENOSPACE. */
HF_API int hf_node_format(const char *directory, const char *description, uint64_t node_id);

/* ---- Life ---- */

enum hf_node_role { HF_NODE_FOLLOWER = 0, HF_NODE_CANDIDATE, HF_NODE_LEADER, HF_NODE_STOPPED };

/* Zero-initialise, or hf_node_options_init. A zero field means its default; snapshot bounds of UINT64_MAX mean never.
 */
struct hf_node_options {
    const struct hf_node_machine *machine; /* NULL: the built-in key-value machine. Copied */
    struct hf_log_options log;     /* driver, stall_ms and the callbacks are the node's; backend must be files */
    unsigned election_timeout_ms;  /* 1000 */
    unsigned heartbeat_timeout_ms; /* 100 */
    unsigned request_timeout_ms;   /* 3000: everything is answered by then */
    uint64_t memory_limit_bytes;   /* 1 GiB: what waits here for other nodes and for the log */
    const char *peer_listen;       /* NULL: the node's address in the description */

    bool snapshots_off;             /* none are taken; those that are there are loaded */
    const char *snapshot_directory; /* NULL: snapshots/ in the data directory */
    struct hf_snapshot_format snapshot_format;
    uint32_t snapshot_keep_latest; /* 3; at least 2 */
    uint64_t snapshot_entries;     /* 250,000: applied since the last one */
    uint64_t snapshot_log_bytes;   /* 256 MiB of records that the log grew since the last one */
    uint64_t snapshot_interval_ms; /* 1 h, when anything was applied */
    uint64_t snapshot_trail;       /* 10,000 entries that the log keeps before the second newest snapshot */

    /* A group's role, term or leader (0: unknown) changed. May be NULL. */
    void (*changed)(void *arg, uint64_t group, enum hf_node_role role, uint64_t term, uint64_t leader);
    /* The node stopped for good, since its log's device failed: close it, look at the device, open again. Once. */
    void (*failed)(void *arg, int result, const char *text);
    void *callback_arg;
};
HF_API void hf_node_options_init(struct hf_node_options *options);

/* Opens a formatted directory: recovers the log, loads snapshots, and takes part in its groups from then on. Whatever
 * was acknowledged before is there once the group has a leader. HF_ENOTFOUND: not formatted; HF_EBUSY: directory or
 * address in use; HF_EVERSION; HF_EMISMATCH; HF_ECORRUPT (of all groups; a damaged group is named in its status);
 * HF_EREMOVED; HF_EUNSAFE; HF_EINVALID. The machine's open, load and apply may run in the calling thread. */
HF_API int hf_node_open(const char *directory, const struct hf_node_options *options, struct hf_node **out);
/* Answers everything that waits (HF_ECLOSED: was not proposed; HF_EINDETERMINATE), closes the states, the log and the
 * directory. Accepts NULL. No call of another thread may be under way, except hf_node_wait, which it ends; calls from
 * the answers are refused. What was acknowledged is durable without it. 0; HF_EUNSAFE inside a callback: it stays open.
 */
HF_API int hf_node_close(struct hf_node *node);
/* Hands the leadership of every group over and takes none back, so that a close costs the others no election. Waits up
 * to wait_ms for it; HF_ETIMEOUT: some group is led here still. HF_EUNSAFE inside a callback. */
HF_API int hf_node_leave(struct hf_node *node, uint32_t wait_ms);

/* ---- Calls and their answers ---- */

struct hf_node_result {
    /* 0, or
     * - nothing was proposed: HF_ENOTLEADER (hf_node_propose_here; `leader` leads), HF_ENOLEADER (none known, or it
     * could not be reached in time), HF_EBUSY, HF_ETOOBIG, HF_ENOSPACE, HF_ENOTFOUND (no such group), HF_EINVALID,
     *   HF_EUNSUPPORTED, HF_ECLOSED (the node, or the group, is closed or stopped), HF_EPOISONED;
     * - it was proposed and may or may not take effect, now or later: HF_EINDETERMINATE. Do not simply repeat it;
     * - the answer of a machine: codes of its read; HF_ENOTFOUND and HF_ECONFLICT of the built-in one. */
    int result;
    uint64_t index;  /* where it is in the group's log; of a read: what was applied then; 0: unknown */
    uint64_t leader; /* of the group, as known here when answered; 0: unknown */
    struct hf_bytes reply;
    bool existed;     /* of a put, a delete, a compare and swap: the key had a value before */
    const char *text; /* why, when result is not 0; "" otherwise */
};
/* Called exactly once for a call that returned 0, by the request timeout, in the node's thread (or inside
 * hf_node_close), never from inside the call. result and what it lends are good for the call. */
typedef void hf_node_done(void *arg, const struct hf_node_result *result);

/* To wait for an answer, one at a time:
 *   rc = hf_node_wait(waiter, hf_node_propose(node, group, bytes, hf_node_answer, waiter), &result);
 * A waiter belongs to one thread. It must not be closed while an answer is outstanding. */
struct hf_node_waiter;
HF_API int hf_node_waiter_open(struct hf_node_waiter **out);
HF_API void hf_node_waiter_close(struct hf_node_waiter *waiter);               /* accepts NULL */
HF_API void hf_node_answer(void *waiter, const struct hf_node_result *result); /* the hf_node_done of waiters */
/* called: what the call returned; when that is not 0, it is returned at once. Otherwise waits, and returns the result;
 * hf_error_text() is its text. result may be NULL; what it lends is good until the next wait. HF_EUNSAFE inside a
 * callback, where nobody could answer. */
HF_API int hf_node_wait(struct hf_node_waiter *waiter, int called, struct hf_node_result *result);

/* What the calls below return: 0, or HF_EBUSY, HF_ETOOBIG, HF_ECLOSED, HF_EINVALID, and `done` is not called. */

/* The group of a key, or of its {tag}: the same on every node, for ever. Never blocks. */
HF_API uint64_t hf_node_route(const struct hf_node *node, struct hf_bytes key);

/* Proposes a command for the machine of a group. done: it is committed, applied where the group is led, and the reply
 * is that machine's. Calls of one thread to one group take effect in their order. */
HF_API int hf_node_propose(struct hf_node *node, uint64_t group, struct hf_bytes command, hf_node_done *done,
                           void *arg);
/* The same, but only where this node leads the group: otherwise HF_ENOTLEADER, or HF_ENOLEADER when the leadership was
 * lost before it was proposed; it never leaves this node unproposed. */
HF_API int hf_node_propose_here(struct hf_node *node, uint64_t group, struct hf_bytes command, hf_node_done *done,
                                void *arg);

enum hf_node_read_mode {
    HF_NODE_READ_LINEARIZABLE = 0, /* sees everything that was answered before the call, on any node */
    HF_NODE_READ_STALE             /* what is applied here, at once */
};
/* Answers a query by a machine's read: the leader's, or for stale reads this node's. */
HF_API int hf_node_read(struct hf_node *node, uint64_t group, enum hf_node_read_mode mode, struct hf_bytes query,
                        hf_node_done *done, void *arg);
/* done: everything that was committed before the call is applied here; a look at the own state in `done` is then a
 * linearizable read. result.index is what had to be applied. */
HF_API int hf_node_barrier(struct hf_node *node, uint64_t group, hf_node_done *done, void *arg);

/* Takes a snapshot of a group here, or of every group (0), one after the other. done: published and durable, and the
 * log may be compacted behind it; or the first error. */
HF_API int hf_node_snapshot(struct hf_node *node, uint64_t group, hf_node_done *done, void *arg);
/* Hands leadership over, to a node or to any (0), from whichever node leads. done: it has begun there; `changed` and
 * the status tell how it ends. HF_EBUSY: it is being handed over already. */
HF_API int hf_node_transfer(struct hf_node *node, uint64_t group, uint64_t to_node, hf_node_done *done, void *arg);

/* ---- The built-in key-value machine (options.machine NULL; otherwise HF_EUNSUPPORTED). Keys choose their group. ----
 */

/* done: 0. */
HF_API int hf_node_put(struct hf_node *node, struct hf_bytes key, struct hf_bytes value, hf_node_done *done, void *arg);
/* done: 0, the reply is the value; HF_ENOTFOUND: there is none. */
HF_API int hf_node_get(struct hf_node *node, enum hf_node_read_mode mode, struct hf_bytes key, hf_node_done *done,
                       void *arg);
/* done: 0, or HF_ENOTFOUND: there was none. */
HF_API int hf_node_delete(struct hf_node *node, struct hf_bytes key, hf_node_done *done, void *arg);
/* Stores `value` (NULL: deletes) if the key has the value `expected` (NULL: has none). done: 0, or HF_ECONFLICT: it has
 * another, which is the reply, and nothing changed. */
HF_API int hf_node_compare_and_swap(struct hf_node *node, struct hf_bytes key, const struct hf_bytes *expected,
                                    const struct hf_bytes *value, hf_node_done *done, void *arg);

/* ---- Members ---- */

enum hf_node_member_role {
    HF_NODE_VOTER = 1,
    HF_NODE_STANDBY = 2, /* receives everything, has no vote */
    HF_NODE_REMOVED = 3  /* leaves every group; its id is never used again */
};
struct hf_node_member {
    uint64_t id;
    enum hf_node_member_role role; /* what it should be; the groups follow one change at a time */
    char peer[256];
};
/* position from 0; HF_ENOTFOUND at the end. Waits as a status does. */
HF_API int hf_node_member(struct hf_node *node, uint32_t position, struct hf_node_member *out);
/* Changes what a member should be, in every group. done: the cluster agreed, or why it did not (HF_EUNSAFE: no majority
 * of the voters that remain can be reached, or one alone would remain; `forced` does it even so. HF_ECONFLICT: the
 * members changed meanwhile, look again and repeat). */
HF_API int hf_node_member_change(struct hf_node *node, uint64_t id, enum hf_node_member_role role, bool forced,
                                 hf_node_done *done, void *arg);

/* A new node joins a running cluster in three steps; bytes between the two machines are yours to carry.
 *   new machine:  hf_node_join_open(directory, description, "host:port", &join)      description: any member's
 *   any member:   hf_node_member_add(node, "host:port", hf_node_join_token(join), role, done, arg); reply: a welcome
 *   new machine:  hf_node_join_finish(join, welcome, &id), then hf_node_open(directory, …)
 * The member calls the address, where the join answers, before anything is changed. Interrupted, all of it may be
 * repeated with the same directory: the node gets the same id again. */
struct hf_node_join;
HF_API int hf_node_join_open(const char *directory, const char *description, const char *peer,
                             struct hf_node_join **out);
HF_API uint64_t hf_node_join_token(const struct hf_node_join *join);
HF_API int hf_node_join_finish(struct hf_node_join *join, struct hf_bytes welcome, uint64_t *id);
HF_API void hf_node_join_close(struct hf_node_join *join); /* always; accepts NULL */
HF_API int hf_node_member_add(struct hf_node *node, const char *peer, uint64_t token, enum hf_node_member_role role,
                              hf_node_done *done, void *arg);

/* ---- Status. These wait for the node's thread, a turn at most; in that thread they answer at once. HF_EUNSAFE inside
 * a callback elsewhere: another node's, or a machine's that a worker runs. ---- */

struct hf_node_status {
    uint64_t id;
    char cluster_id[33];
    uint32_t group_count; /* without the node's own */
    uint32_t member_count;
    bool is_removed; /* from its cluster */
    int failure;     /* 0, or why the node stopped */
    char failure_text[256];
    uint64_t applied_entries; /* since the open, these five */
    uint64_t proposals;
    uint64_t reads;
    uint64_t forwards_sent;
    uint64_t snapshots_taken;
};
HF_API int hf_node_status(struct hf_node *node, struct hf_node_status *out);
/* The description that the cluster began with, as hf_node_describe gave it; free() it. */
HF_API int hf_node_description(struct hf_node *node, char **out);

struct hf_node_group_status {
    uint64_t group;
    enum hf_node_role role;
    uint64_t term;
    uint64_t leader; /* 0: unknown */
    uint64_t first_index;
    uint64_t last_index;
    uint64_t durable_index; /* here */
    uint64_t commit_index;
    uint64_t applied_index;
    uint64_t snapshot_index; /* 0: none */
    uint64_t lag;            /* commit − applied */
    uint64_t log_bytes;      /* of its entries as they lie on the device, headers included */
    uint64_t proposals_waiting;
    uint64_t digest[2]; /* of the machine */
    bool is_healthy;    /* false: damaged or stopped; text says why */
    bool is_transferring;
    uint32_t voter_count;
    uint64_t voters[HF_NODE_MEMBERS_MAX];
    char text[256];
};
/* HF_ENOTFOUND: no such group. */
HF_API int hf_node_group_status(struct hf_node *node, uint64_t group, struct hf_node_group_status *out);

#ifdef __cplusplus
}
#endif
#endif
