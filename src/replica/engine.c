#include "replica/engine.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "replica/replica_configuration.h"

uint64_t engine_now_ms(const struct engine *engine)
{
    return io_monotonic_ns(engine->io) / 1000000u;
}

/* 16 bits of KiB. */
static unsigned short engine_capacity(const struct engine *engine)
{
    uint64_t kib = hf_log_capacity_bytes(engine->log) / 1024u;
    return (unsigned short)(kib < UINT16_MAX ? kib : UINT16_MAX);
}

void engine_open(struct engine *engine, const struct replica_options *options)
{
    char address[REPLICA_ADDRESS_SIZE];
    replica_configuration_address(options->node_id, address);
    *engine = (struct engine){.log = options->log, .io = options->io}; /* raft_init leaves fields unset */
    struct raft *raft = &engine->raft;
    int rv = raft_init(raft, NULL, NULL, options->node_id, address);
    assert(rv == 0);
    raft->tracer = NULL; /* the default one formats every step */
    raft_seed(raft, options->seed);
    engine->election_timeout_ms = options->election_timeout_ms;
    engine->stands_first = options->first_election_timeout_ms != 0;
    raft_set_election_timeout(raft,
                              engine->stands_first ? options->first_election_timeout_ms : options->election_timeout_ms);
    raft_set_heartbeat_timeout(raft, options->heartbeat_timeout_ms);
    raft_set_install_snapshot_timeout(raft, ENGINE_CATCH_UP_TIMEOUT_MS);
    raft_set_pre_vote(raft, true);
    raft_set_max_inflight_entries(raft, REPLICA_INFLIGHT_ENTRIES_MAX);
    engine->is_open = true;
}

void engine_close(struct engine *engine)
{
    if (engine->is_open) {
        raft_close(&engine->raft, NULL); /* at once, since there is no raft_io */
        engine->is_open = false;
    }
}

/* The first timeout has come, or there is a leader: from now on the usual election timeout counts, also for how long a
 * leader that was heard of protects against pre-votes. */
static void engine_end_first(struct engine *engine, enum raft_event_type type)
{
    raft_id leader = 0;
    const char *address = NULL;
    raft_leader(&engine->raft, &leader, &address);
    if (type == RAFT_TIMEOUT || leader != 0) {
        engine->stands_first = false;
        raft_set_election_timeout(&engine->raft, engine->election_timeout_ms);
    }
}

int engine_step(struct engine *engine, struct raft_event *event, struct raft_update *update)
{
    event->time = engine_now_ms(engine);
    if (event->time != engine->capacity_ms) {
        engine->capacity = engine_capacity(engine);
        engine->capacity_ms = event->time;
    }
    event->capacity = engine->capacity;
    /* The threshold is for what clients propose. In force while the core elects itself, it would refuse the core's own
     * barrier, which the core takes for a lack of memory. */
    raft_set_capacity_threshold(&engine->raft,
                                event->type == RAFT_SUBMIT && event->submit.entries[0].type == RAFT_COMMAND
                                    ? ENGINE_CAPACITY_THRESHOLD_KIB
                                    : 0);
    memset(update, 0, sizeof(*update)); /* the core resets flags and messages only */
    enum raft_event_type type = event->type;
    int rv = raft_step(&engine->raft, event, update);
    raft_set_capacity_threshold(&engine->raft, 0);
    if (engine->stands_first && rv == 0) {
        engine_end_first(engine, type);
    }
    return rv;
}

uint64_t engine_term(const struct engine *engine, uint64_t index)
{
    const struct raft_trail *trail = &engine->raft.trail;
    if (index == trail->snapshot.index && index > 0) {
        return trail->snapshot.term;
    }
    if (index <= trail->offset) {
        return 0;
    }
    for (unsigned i = trail->front; i != trail->back; i = (i + 1) % trail->size) {
        if (index <= trail->records[i].index) {
            return trail->records[i].term;
        }
    }
    return 0;
}

/* ---- entries ---- */

static const enum raft_entry_type engine_types[] = {
    [HF_ENTRY_NORMAL] = RAFT_COMMAND,
    [HF_ENTRY_CONFIGURATION] = RAFT_CHANGE,
    [HF_ENTRY_NOOP] = RAFT_BARRIER,
};

static void engine_convert_configuration(struct hf_bytes payload, struct raft_buffer *out)
{
    struct replica_member members[REPLICA_MEMBERS_MAX];
    unsigned count;
    int rc = replica_configuration_decode(payload, members, &count);
    assert(rc == 0); /* the wire's were decoded before, and ours we encoded */
    replica_configuration_to_raft_buffer(members, count, out);
}

struct raft_entry *engine_entries_new(const struct hf_entry *entries, unsigned count)
{
    assert(count > 0);
    struct raft_entry *raft = memory_new(count * sizeof(*raft));
    void *batch = raft_malloc(1);
    assert(batch != NULL);
    for (unsigned i = 0; i < count; i++) {
        raft[i].term = entries[i].term;
        raft[i].type = engine_types[entries[i].type];
        raft[i].batch = batch;
        if (entries[i].type == HF_ENTRY_CONFIGURATION) {
            engine_convert_configuration(entries[i].payload, &raft[i].buf);
        } else {
            /* The core never looks inside. */
            raft[i].buf = (struct raft_buffer){.base = batch, .len = 1};
        }
    }
    return raft;
}

void engine_entries_free(struct raft_entry *raft, const struct hf_entry *entries, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        if (entries[i].type == HF_ENTRY_CONFIGURATION) {
            raft_free(raft[i].buf.base);
        }
    }
    free(raft);
}

/* ---- START ---- */

/* One raft_entry per log entry, of which only the term and the configurations are read. On an error the core frees the
 * array and the batch, so both come from raft_malloc and the batch is no part of the array. */
static struct raft_entry *engine_history_entries(const struct engine_history *history, uint64_t count)
{
    struct raft_entry *raft = raft_calloc(count, sizeof(*raft));
    void *batch = raft_malloc(1);
    assert(raft != NULL && batch != NULL);
    uint64_t index = history->first_index;
    for (size_t run = 0; run < history->run_count; run++) {
        for (; index <= history->runs[run].last_index; index++) {
            raft[index - history->first_index].term = history->runs[run].term;
            raft[index - history->first_index].type = RAFT_COMMAND;
            raft[index - history->first_index].batch = batch;
        }
    }
    for (size_t i = 0; i < history->change_count; i++) {
        const struct engine_change *change = &history->changes[i];
        struct raft_entry *entry = &raft[change->index - history->first_index];
        entry->type = RAFT_CHANGE;
        replica_configuration_to_raft_buffer(change->members, change->member_count, &entry->buf);
    }
    return raft;
}

void engine_metadata(const struct replica_snapshot *snapshot, struct raft_snapshot_metadata *out)
{
    *out = (struct raft_snapshot_metadata){
        .index = snapshot->index, .term = snapshot->term, .configuration_index = snapshot->configuration_index};
    replica_configuration_to_raft(snapshot->members, snapshot->member_count, &out->configuration);
}

int engine_start(struct engine *engine, const struct hf_hard_state *hard_state, const struct replica_snapshot *snapshot,
                 const struct engine_history *history, struct raft_update *update)
{
    uint64_t count = history->last_index + 1 - history->first_index;
    assert(count <= UINT32_MAX);
    struct raft_entry *entries = count > 0 ? engine_history_entries(history, count) : NULL;
    void **buffers = memory_new((history->change_count + 1) * sizeof(*buffers));
    struct raft_snapshot_metadata metadata;
    for (size_t i = 0; i < history->change_count; i++) {
        buffers[i] = entries[history->changes[i].index - history->first_index].buf.base;
    }
    struct raft_event event = {
        .type = RAFT_START,
        .start = {.term = hard_state->term,
                  .voted_for = hard_state->vote,
                  .start_index = history->first_index, /* 1 also when the log is empty */
                  .entries = entries,
                  .n_entries = (unsigned)count},
    };
    if (snapshot->index > 0) {
        engine_metadata(snapshot, &metadata); /* the core consumes the configuration */
        event.start.metadata = &metadata;
    }
    int rv = engine_step(engine, &event, update);
    for (size_t i = 0; i < history->change_count; i++) {
        raft_free(buffers[i]);
    }
    free(buffers);
    if (rv == 0 && entries != NULL) {
        raft_free(entries[0].batch);
        raft_free(entries);
    }
    return rv;
}
