/* The state of the whole log in numbers, and the size of an entry. */
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "log/log_record.h"
#include "log/log_state.h"

static uint64_t log_stat_bytes_on_disk(const struct hf_log *log)
{
    if (log->memory != NULL) {
        return log->memory->bytes;
    }
    uint64_t bytes = log->segments.size_bytes;
    for (size_t i = 0; i < log->pool.upcoming_count; i++) {
        bytes += log->pool.upcoming[i]->header.size_bytes;
    }
    for (size_t i = 0; i < log->pool.recyclable_count; i++) {
        bytes += log->pool.recyclable[i].size_bytes;
    }
    return bytes + log_release_bytes(&log->release);
}

static uint64_t log_stat_segments_pinned(const struct hf_log *log)
{
    uint64_t count = 0;
    for (size_t i = 0; i < log->segments.count; i++) {
        count += log->segments.items[i]->pins > 0;
    }
    for (size_t i = 0; i < log->release.given_up_count; i++) {
        count += log->release.given_up[i]->pins > 0;
    }
    return count;
}

static uint64_t log_stat_damaged_groups(const struct hf_log *log)
{
    size_t position = 0;
    uint64_t count = 0;
    uint64_t id = 0;
    void *value = NULL;
    if (log->damages.count == 0) {
        return 0;
    }
    while (map_next(&log->groups.by_id, &position, &id, &value)) {
        const struct log_group *group = value;
        count += group->damaged;
    }
    return count;
}

void hf_log_stat(struct hf_log *log, struct hf_log_stat *out)
{
    mutex_lock(&log->mutex);
    const struct log_writer *writer = &log->writer;
    uint64_t oldest_ns = log->queue != NULL && writer->failure == 0 ? log_writer_oldest_ns(writer) : 0;
    uint64_t now_ns = io_monotonic_ns(log->io);
    *out = (struct hf_log_stat){
        .segments = log->memory != NULL ? log->memory->arenas.count : log->segments.count,
        .bytes_on_disk = log_stat_bytes_on_disk(log),
        .appended_entries = log->appended_entries,
        .appended_bytes = log->appended_bytes,
        .writes = writer->writes_count,
        .written_bytes = writer->written_bytes,
        .oldest_unsynced_ns = oldest_ns != 0 && now_ns > oldest_ns ? now_ns - oldest_ns : 0,
        .queued_entries = writer->queued_entries,
        .queued_bytes = writer->queued_bytes,
        .cached_entries = log->cache.entries,
        .cached_bytes = log->cache.bytes,
        .recovery_ns = log->recovery_ns,
        .recovered_bytes_dropped = log->torn_bytes,
        .damaged_groups = log_stat_damaged_groups(log),
        .failure = writer->failure,
        .io_name = log->memory != NULL ? "memory" : io_backend_name(log->io),
        .segments_pinned = log_stat_segments_pinned(log),
        .moved_entries = log->collect.moved_entries,
        .moved_bytes = log->collect.moved_bytes,
        .collected_segments = log->collect.collected_count,
        .released_segments = log->release.released_count,
        .recycled_segments = log->pool.recycled_count,
    };
    log_collect_measure(log, &out->live_bytes, &out->dead_bytes);
    out->dead_bytes = out->dead_bytes > out->live_bytes ? out->dead_bytes - out->live_bytes : 0;
    memcpy(out->failure_text, writer->failure_text, sizeof(out->failure_text));
    mutex_unlock(&log->mutex);
}

uint64_t hf_log_entry_bytes(const struct hf_entry *entry)
{
    return log_record_size(entry->payload.size + log_record_wide_size(entry->timestamp_ms));
}

void hf_log_stage_stat(struct hf_log *log, enum hf_log_stage stage, struct hf_log_stage_stat *out)
{
    struct log_stages *copy = memory_new(sizeof(*copy));
    mutex_lock(&log->mutex);
    *copy = log->stages; /* counting takes longer */
    mutex_unlock(&log->mutex);
    log_stages_describe(copy, stage, out);
    free(copy);
}
