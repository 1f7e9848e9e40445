/* One member of one group: libraft 0.22 driven through raft_step(), with every rule and guard of docs/decisions/0002.
 * The only room that includes <raft.h>; this door does not show it.
 *
 * A replica is fed events (a message, a proposal, a deadline, a persisted append) and acts through the log and through
 * callbacks. It appends with hf_log_append (one batch per step: truncate, entries, hard state) and holds every message
 * of the group back while a term or vote is not durable. Committed entries are handed to `apply` in order, exactly once
 * per open, as soon as they are committed and readable here.
 *
 * Failure: an unexpected error of the engine, or a failed append after the engine accepted it, freezes the replica
 * (REPLICA_FROZEN): it sends nothing more, answers HF_ECLOSED, and `failed` is called once. A poisoned log freezes all.
 *
 * Thread: the loop's. Callbacks come from inside the calls below and from the log's turn; they may call
 * replica_submit, replica_read and replica_status, but not replica_close. */
#ifndef REPLICA_REPLICA_H
#define REPLICA_REPLICA_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "holdfast/log.h"
#include "peer/peer.h"

#define REPLICA_ELECTION_TIMEOUT_MS_DEFAULT  1000u
#define REPLICA_HEARTBEAT_TIMEOUT_MS_DEFAULT 100u
#define REPLICA_INFLIGHT_ENTRIES_MAX         8192u
#define REPLICA_MEMBERS_MAX                  31u
#define REPLICA_ENTRY_SIZE_MAX               (128u << 20)

struct replica;

enum replica_role { REPLICA_ROLE_VOTER, REPLICA_ROLE_STANDBY, REPLICA_ROLE_SPARE };
struct replica_member {
    uint64_t node_id;
    enum replica_role role;
};

/* The configuration entry's own encoding (rule 17): version u8 = 1, count u8, then {node u64, role u8} each in
 * ascending order of node ids. Bounded decode: HF_EPROTOCOL. */
void replica_configuration_encode(const struct replica_member *members, unsigned count, struct buffer *out);
int replica_configuration_decode(struct hf_bytes bytes, struct replica_member *members, unsigned *count);

/* What a snapshot of the group covers, beside the contents of the state machine. */
struct replica_snapshot {
    uint64_t index; /* 0: there is none */
    uint64_t term;
    uint64_t configuration_index; /* of the configuration in force at the index */
    uint64_t stamp_ms;            /* the greatest of the entries up to the index */
    unsigned member_count;
    struct replica_member members[REPLICA_MEMBERS_MAX];
};

enum replica_state { REPLICA_FOLLOWER, REPLICA_CANDIDATE, REPLICA_LEADER, REPLICA_FROZEN };

struct replica_callbacks {
    /* The message is the hub's from here on: pass it to peer_send (or, in a test, to anything that keeps its order). */
    void (*send)(void *arg, uint64_t to_node, struct peer_message *message);
    /* A committed entry, in index order, each index exactly once per open, configuration and no-op entries included.
     * Lent for the call. A non-zero return freezes the replica. */
    int (*apply)(void *arg, const struct hf_entry *entry);
    /* State, term or leader changed (leader 0: unknown). */
    void (*changed)(void *arg, enum replica_state state, uint64_t term, uint64_t leader);
    /* Entries from `index` on that this node proposed in `term` were truncated or can no longer be followed. */
    void (*lost)(void *arg, uint64_t from_index);
    void (*failed)(void *arg, int result);

    /* Snapshots; NULL where there are none.
     * As leader: a member lacks what this log no longer has. Answered by replica_snapshot_send, now or later. Asked
     * again and again while it is so. */
    void (*snapshot_wanted)(void *arg, uint64_t to_node);
    /* As follower: the leader of `term` offers a snapshot that goes beyond what is applied here; manifest is whatever
     * it gave to replica_snapshot_send. Lent for the call. Offered again and again. When its contents are here and
     * verified, replica_snapshot_install takes it in. */
    void (*snapshot_offered)(void *arg, uint64_t from_node, uint64_t term, const struct replica_snapshot *snapshot,
                             struct hf_bytes manifest);
    /* The reset that names the snapshot is durable: the state machine takes its contents, as a whole and at once. A
     * non-zero return freezes the replica. */
    int (*snapshot_install)(void *arg);
};

struct replica_options {
    uint64_t group;
    uint64_t group_incarnation;
    uint64_t node_id;
    struct hf_log *log;     /* lent */
    struct io *io;          /* for the monotonic clock and randomness */
    uint64_t applied_index; /* the state machine already holds entries up to here: apply starts behind it; ≥ snapshot */
    struct replica_snapshot snapshot; /* the newest good one; the log must reach back to it */
    /* What was acknowledged by an earlier process may be missing at the end of the log (replica/rejoin.h).
     * may_be_short: the log may even lack entries of the snapshot, behind which it then restarts. must_rejoin: no vote
     * until a leader has brought back what may be missing, unless nobody else has a vote, by the configuration that is
     * left and by what the owner knows (is_alone; later replica_set_alone). */
    bool may_be_short;
    bool must_rejoin;
    bool is_alone;
    const struct replica_member *bootstrap; /* members of entry 1, used when the group's log is empty */
    unsigned bootstrap_count;
    uint64_t bootstrap_stamp_ms;  /* from the cluster description, so that entry 1 is byte-equal everywhere */
    unsigned election_timeout_ms; /* 0: default */
    /* 0: the same. A shorter one lets this replica stand first after a start, so that leaders are where they should be
     * from the beginning; it counts until the first timeout or the first leader heard of. Pre-vote keeps it from
     * disturbing a group that has a leader. */
    unsigned first_election_timeout_ms;
    unsigned heartbeat_timeout_ms;
    unsigned seed;
};

/* Writes the bootstrap entry when the log is empty (and waits for nothing: START follows when it is durable). */
int replica_open(const struct replica_options *options, const struct replica_callbacks *callbacks, void *arg,
                 struct replica **out);
void replica_close(
    struct replica *replica); /* accepts NULL; appends in flight may still call back into freed-safe stubs */

/* Frames for this group: FRAME_RAFT, FRAME_READ_PING, FRAME_READ_PONG, FRAME_REJOIN. Malformed: HF_EPROTOCOL (close the
 * connection).*/
int replica_receive(struct replica *replica, uint64_t from_node, enum frame_kind kind, struct hf_bytes payload);
/* The connection to a node came up anew, or ended. */
void replica_peer_changed(struct replica *replica, uint64_t node_id, bool is_up);

/* Proposes entries in one SUBMIT; index and term of the first are set. HF_ENOTLEADER, HF_ENOSPACE (before anything
 * changed), HF_EBUSY (too much in flight), HF_ECLOSED. `stamp_ms` goes into the entries as given. */
int replica_submit(struct replica *replica, const struct hf_bytes *payloads, unsigned count, uint64_t stamp_ms,
                   uint64_t *index, uint64_t *term);
/* Proposes a configuration; alone, one at a time, only after an entry of the own term committed. */
int replica_submit_configuration(struct replica *replica, const struct replica_member *members, unsigned count);
/* The same, also when it leaves a single voter where there were more (HF_EUNSAFE otherwise): somebody asked for it. */
int replica_submit_lone_configuration(struct replica *replica, const struct replica_member *members, unsigned count);
/* Hands leadership to a node (0: any that is caught up). */
int replica_transfer(struct replica *replica, uint64_t to_node);

/* Linearizable read: done(0, index) once every voter majority confirmed our leadership after the call, and an entry of
 * our term is committed; the caller then waits until it applied `index` (which it usually has). One round serves all
 * reads that wait when it starts. HF_ENOTLEADER through done when leadership is lost meanwhile. */
typedef void replica_read_done(void *arg, int result, uint64_t index);
int replica_read(struct replica *replica, replica_read_done *done, void *arg);
/* Starts a round for reads that gathered in this turn: call at the turn's end. */
void replica_flush_reads(struct replica *replica);

/* Deadlines: when the next replica_tick is due, in io_monotonic_ns / 1e6. */
uint64_t replica_deadline_ms(const struct replica *replica);
void replica_tick(struct replica *replica);

/* ---- Snapshots. The order on disk of an install (docs/decisions/0005): the file is published as received; a reset
 * that names it is durable, which is the commit point; the state machine takes the contents; only then the engine is
 * told.
 * ---- */

/* What a snapshot of the state machine as it is now would cover. Under a steady load a leader whose disk is the slowest
 * never has all that it applied durable, so that is no condition here: but nobody may see the snapshot before
 * replica_snapshot_is_durable (rule 4). HF_EBUSY: an install is under way, or not all of a configuration's past is
 * applied; HF_ECONFLICT: there is one at this index; HF_ECLOSED. */
int replica_snapshot_point(const struct replica *replica, struct replica_snapshot *out);
/* The same when the newest one was lost: another one at its index will do, for which replica_snapshot_taken gives
 * HF_ECONFLICT, since the engine knows of it. */
int replica_snapshot_point_again(const struct replica *replica, struct replica_snapshot *out);
/* Whether the log here has everything that the snapshot covers on disk, so that it may be published. */
bool replica_snapshot_is_durable(const struct replica *replica, const struct replica_snapshot *snapshot);
/* A snapshot taken at such a point is published (rule 15): the engine forgets all but `trailing` entries before it. The
 * log keeps its own. HF_ECONFLICT: the engine has a newer one meanwhile; HF_EBUSY: not
 * durable. */
int replica_snapshot_taken(struct replica *replica, const struct replica_snapshot *snapshot, uint64_t trailing);
/* Drops the log's entries up to the index, as far as the engine has forgotten them; not durable on return. */
int replica_compact(struct replica *replica, uint64_t index);
/* As leader: offers a snapshot to a member. HF_ENOTLEADER. */
int replica_snapshot_send(struct replica *replica, uint64_t to_node, const struct replica_snapshot *snapshot,
                          struct hf_bytes manifest);
/* As follower: takes in a snapshot whose contents are here, verified and published, and that a leader of `term`
 * offered; `name` goes into the reset. 0: callbacks.snapshot_install comes when the reset is durable. HF_EEXISTS: it is
 * not needed any more; HF_EBUSY: not now (no leader of that term or a later one is known, or something is under way),
 * try again; HF_ECLOSED. */
int replica_snapshot_install(struct replica *replica, uint64_t term, const struct replica_snapshot *snapshot,
                             struct hf_bytes name);

/* The offer of a snapshot, out of a FRAME_RAFT for a group that has no replica: manifest is lent by the payload.
 * HF_ENOTFOUND: another message; HF_EPROTOCOL. */
int replica_decode_offer(struct hf_bytes payload, uint64_t *term, struct replica_snapshot *snapshot,
                         struct hf_bytes *manifest);

struct replica_status {
    enum replica_state state;
    uint64_t term;
    uint64_t vote;
    uint64_t leader; /* node id, 0 unknown */
    uint64_t commit_index;
    uint64_t applied_index;
    uint64_t last_index;
    uint64_t durable_index;
    uint64_t first_index;
    uint64_t snapshot_index; /* of the newest that the engine knows of; 0: none */
    unsigned member_count;
    struct replica_member members[REPLICA_MEMBERS_MAX];
    bool is_changing; /* the latest configuration is not committed yet, as far as it is known here */
    bool transferring;
    bool is_rejoining; /* it has no vote yet: options.must_rejoin */
    bool is_ready;     /* leader with an entry of its term committed */
};
void replica_status(const struct replica *replica, struct replica_status *out);
bool replica_is_rejoining(const struct replica *replica);
/* What the owner knows has changed: options.is_alone. */
void replica_set_alone(struct replica *replica, bool is_alone);
/* As leader: the highest index known to be on a member. HF_ENOTLEADER, HF_ENOTFOUND. */
int replica_match_index(const struct replica *replica, uint64_t node_id, uint64_t *out);
/* Voters (self included when durable) that already hold the index: for WAIT. */
unsigned replica_voters_at(const struct replica *replica, uint64_t index);

#endif
