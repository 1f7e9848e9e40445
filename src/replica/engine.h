/* libraft's core, one step at a time: events get the time and the disk's capacity, the core gets our settings. Carrying
 * out what a step asks for is step.h's job.
 *
 * Ownership at the border (rule 6): the payloads of entries are lent to the core for the step, only the dummy
 * `batch` of each RECEIVE and SUBMIT is allocated with raft_malloc, since the core may free it. */
#ifndef REPLICA_ENGINE_H
#define REPLICA_ENGINE_H

#include <raft.h>

#include "holdfast/log.h"
#include "io/io.h"
#include "replica/replica.h"

/* The core refuses proposals while a majority of voters can promise less than this. */
#define ENGINE_CAPACITY_THRESHOLD_KIB 1024u
/* How long the leader waits before it tries again to catch up a member that is below its trail. */
#define ENGINE_CATCH_UP_TIMEOUT_MS 2000u

struct engine {
    struct raft raft;
    struct hf_log *log; /* lent, like io */
    struct io *io;
    unsigned short capacity; /* of the log, as the core counts it, at capacity_ms */
    uint64_t capacity_ms;
    bool is_open;
    unsigned election_timeout_ms;
    bool stands_first; /* the shorter first election timeout is in force */
};

/* The log as the core must be told about it at START. */
struct engine_term_run {
    uint64_t term;
    uint64_t last_index;
};
struct engine_change {
    uint64_t index;
    unsigned member_count;
    struct replica_member members[REPLICA_MEMBERS_MAX];
};
struct engine_history {
    uint64_t snapshot_index;      /* 0: none */
    uint64_t first_index;         /* of the log, not above snapshot_index + 1 */
    struct engine_term_run *runs; /* ascending and without gaps, from first_index */
    size_t run_count;
    struct engine_change *changes; /* every configuration in the log behind the snapshot, ascending */
    size_t change_count;
    uint64_t last_index; /* first_index − 1: no entries */
};

void engine_open(struct engine *engine, const struct replica_options *options);
void engine_close(struct engine *engine);
uint64_t engine_now_ms(const struct engine *engine);

/* The snapshot as the core is told about it; the event that gets it consumes the configuration. */
void engine_metadata(const struct replica_snapshot *snapshot, struct raft_snapshot_metadata *out);

/* Feeds START. Returns libraft's code; the update is carried out by the caller. */
int engine_start(struct engine *engine, const struct hf_hard_state *hard_state, const struct replica_snapshot *snapshot,
                 const struct engine_history *history, struct raft_update *update);
/* Feeds any other event: sets its time and capacity. Returns libraft's code. */
int engine_step(struct engine *engine, struct raft_event *event, struct raft_update *update);

/* The term of an entry as the engine knows it, 0 when it does not. */
uint64_t engine_term(const struct engine *engine, uint64_t index);

/* An array of `count` entries for SUBMIT or RECEIVE, with one dummy batch. Freed by engine_entries_free, which leaves
 * the batch to whom it belongs by then. Configurations are converted to libraft's encoding. */
struct raft_entry *engine_entries_new(const struct hf_entry *entries, unsigned count);
void engine_entries_free(struct raft_entry *raft, const struct hf_entry *entries, unsigned count);

#endif
