#include "replica/recovery.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/error.h"

static int recovery_add_change(struct engine_history *history, const struct hf_entry *entry)
{
    struct engine_change change = {.index = entry->index};
    int rc = replica_configuration_decode(entry->payload, change.members, &change.member_count);
    if (rc != 0) {
        return error_wrap(HF_ECORRUPT, "entry %" PRIu64, entry->index);
    }
    /* Doubling, by powers of two. */
    if ((history->change_count & (history->change_count - 1)) == 0) {
        size_t capacity = history->change_count == 0 ? 1 : history->change_count * 2;
        history->changes = memory_resize(history->changes, capacity * sizeof(*history->changes));
    }
    history->changes[history->change_count++] = change;
    return 0;
}

int recovery_add(struct engine_history *history, const struct hf_entry *entry)
{
    if (entry->index == 1 && entry->type != HF_ENTRY_CONFIGURATION) {
        return error_raise(HF_ECORRUPT, "entry 1 is not a configuration");
    }
    if (history->run_count == 0 || history->runs[history->run_count - 1].term != entry->term) {
        history->runs = memory_resize(history->runs, (history->run_count + 1) * sizeof(*history->runs));
        history->runs[history->run_count++].term = entry->term;
    }
    history->runs[history->run_count - 1].last_index = entry->index;
    history->last_index = entry->index;
    bool is_new = entry->type == HF_ENTRY_CONFIGURATION && entry->index > history->snapshot_index;
    return is_new ? recovery_add_change(history, entry) : 0;
}

static int recovery_read_batch(struct hf_log *log, uint64_t group, uint64_t last_index, struct engine_history *history,
                               uint64_t *stamp_last_ms)
{
    struct hf_log_view view = {0};
    int rc = hf_log_read(log, group, history->last_index + 1, last_index + 1, RECOVERY_READ_SIZE_BYTES,
                         RECOVERY_READ_COUNT, &view);
    for (size_t i = 0; rc == 0 && i < view.count; i++) {
        rc = recovery_add(history, &view.entries[i]);
        *stamp_last_ms = view.entries[i].timestamp_ms;
    }
    hf_log_view_close(&view);
    return rc;
}

int recovery_check(struct hf_log *log, uint64_t group, const struct hf_log_group_state *state,
                   const struct replica_snapshot *snapshot)
{
    uint64_t term = 0;
    if (state->first_index - 1 > snapshot->index) {
        return error_raise(HF_ECORRUPT,
                           "group %" PRIu64 ": the log begins at index %" PRIu64
                           ", but the newest good snapshot ends at %" PRIu64 ": what lies between is missing here",
                           group, state->first_index, snapshot->index);
    }
    if (snapshot->index > state->last_index) {
        return error_raise(HF_ECORRUPT,
                           "group %" PRIu64 ": the log ends at index %" PRIu64 ", before the snapshot at %" PRIu64,
                           group, state->last_index, snapshot->index);
    }
    int rc = snapshot->index > 0 ? hf_log_term(log, group, snapshot->index, &term) : 0;
    if (rc == 0 && term != snapshot->term) {
        rc = error_raise(HF_ECORRUPT,
                         "group %" PRIu64 ": index %" PRIu64 " has term %" PRIu64 " in the log and %" PRIu64
                         " in the snapshot",
                         group, snapshot->index, term, snapshot->term);
    }
    return rc;
}

int recovery_read(struct hf_log *log, uint64_t group, const struct hf_log_group_state *state, uint64_t snapshot_index,
                  struct engine_history *history, uint64_t *stamp_last_ms)
{
    history->first_index = state->first_index;
    history->last_index = state->first_index - 1;
    history->snapshot_index = snapshot_index;
    if (state->last_index - history->last_index > RECOVERY_ENTRIES_MAX) {
        return error_raise(HF_ETOOBIG,
                           "the log of group %" PRIu64 " has %" PRIu64 " entries, at most %llu can be started", group,
                           state->last_index - history->last_index, RECOVERY_ENTRIES_MAX);
    }
    int rc = 0;
    while (rc == 0 && history->last_index < state->last_index) {
        rc = recovery_read_batch(log, group, state->last_index, history, stamp_last_ms);
    }
    return rc == 0 ? 0 : error_wrap(rc, "group %" PRIu64, group);
}

void recovery_close_runs(struct engine_history *history)
{
    free(history->runs);
    history->runs = NULL;
    history->run_count = 0;
}

void recovery_close(struct engine_history *history)
{
    recovery_close_runs(history);
    free(history->changes);
    *history = (struct engine_history){0};
}
