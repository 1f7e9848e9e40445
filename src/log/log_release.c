#include "log/log_release.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/mutation.h"
#include "base/trace.h"
#include "log/log_state.h"

void log_release_close(struct log_release *release)
{
    for (size_t i = 0; i < release->given_up_count; i++) {
        log_segment_close(release->given_up[i]);
    }
    free(release->given_up);
    *release = (struct log_release){0};
}

/* ---- which may go ---- */

uint64_t log_release_held_number(const struct hf_log *log)
{
    uint64_t held = UINT64_MAX;
    size_t position = 0;
    uint64_t id = 0;
    void *value = NULL;
    if (log->damages.count == 0) {
        return held;
    }
    bool any = false;
    while (map_next(&log->groups.by_id, &position, &id, &value)) {
        const struct log_group *group = value;
        uint64_t oldest = group->damaged ? log_group_oldest_segment(group) : 0;
        any |= group->damaged;
        held = oldest != 0 && oldest < held ? oldest : held;
    }
    for (size_t i = 0; any && i < log->damages.count; i++) {
        held = log->damages.items[i].segment < held ? log->damages.items[i].segment : held;
    }
    return held;
}

static bool log_release_may_go(const struct log_segment *segment)
{
    return segment->state == LOG_SEGMENT_SEALED && log_segment_is_dead(segment);
}

static void log_release_settle(struct hf_log *log, uint64_t now_ns)
{
    struct log_release *release = &log->release;
    const struct log_segment_table *table = &log->segments;
    if (!log_release_may_go(table->items[0]) || table->count < 2 || now_ns < release->held_until_ns) {
        return;
    }
    uint64_t held = log_release_held_number(log);
    size_t count = 0;
    while (count + 1 < table->count && log_release_may_go(table->items[count]) &&
           table->items[count]->header.number < held) {
        count++;
    }
    release->held_until_ns = count == 0 ? now_ns + LOG_RELEASE_HELD_NS : 0;
    release->settling = count;
    release->settled_at = MUTATED(LOG_RELEASE_BEFORE_DURABLE) ? 0 : log_writer_placed_position(&log->writer);
}

/* ---- giving up ---- */

static void log_release_give_up(struct hf_log *log)
{
    struct log_release *release = &log->release;
    for (; release->settling > 0; release->settling--) {
        if (release->given_up_count == release->given_up_capacity) {
            release->given_up_capacity = release->given_up_capacity == 0 ? 8 : release->given_up_capacity * 2;
            release->given_up =
                memory_resize(release->given_up, release->given_up_capacity * sizeof(struct log_segment *));
        }
        release->given_up[release->given_up_count++] = log_segment_table_take_first(&log->segments);
    }
}

static int log_release_work(void *arg)
{
    struct log_release *release = arg;
    char *index_path = text_format("%s/%016" PRIx64 ".idx", release->directory, release->number);
    char *path = text_format("%s/%016" PRIx64 ".log", release->directory, release->number);
    int rc = path_unlink(release->io, index_path);
    rc = rc == 0 || rc == HF_ENOTFOUND ? path_unlink(release->io, path) : rc;
    free(index_path);
    free(path);
    return rc;
}

static int log_release_start(struct hf_log *log, uint64_t number)
{
    struct log_release *release = &log->release;
    release->io = log->io;
    release->directory = log->directory;
    release->number = number;
    release->operation =
        (struct io_operation){.kind = IO_WORK, .work = log_release_work, .arg = release, .user = release};
    int rc = io_queue_submit(log->queue, &release->operation);
    if (rc != 0) {
        return error_wrap(rc, "unlinking a log segment");
    }
    release->busy = true;
    return 0;
}

static bool log_release_is_declared(const struct hf_log *log, const struct log_segment *segment)
{
    return MUTATED(LOG_UNLINK_BEFORE_DECLARED) || log->writer.declared_oldest > segment->header.number;
}

/* The oldest that was given up, when nobody needs its file any more. */
static int log_release_dispose(struct hf_log *log, uint64_t now_ns)
{
    struct log_release *release = &log->release;
    int rc = 0;
    release->pinned_ns = 0;
    while (rc == 0 && release->given_up_count > 0 && !release->busy) {
        struct log_segment *segment = release->given_up[0];
        if (!log_release_is_declared(log, segment)) {
            return 0;
        }
        if (segment->pins > 0) {
            release->pinned_ns = now_ns + LOG_RELEASE_PINNED_NS;
            return 0;
        }
        if (!log_pool_offer(&log->pool, &segment->header, log->segments.size_bytes)) {
            rc = log_release_start(log, segment->header.number);
        }
        release->released_count++;
        release->released_bytes += segment->header.size_bytes;
        release->given_up_count--;
        memmove(release->given_up, release->given_up + 1, release->given_up_count * sizeof(struct log_segment *));
        log_segment_close(segment);
    }
    return rc;
}

int log_release_step(struct hf_log *log, uint64_t now_ns)
{
    struct log_release *release = &log->release;
    struct log_writer *writer = &log->writer;
    if (release->settling == 0) {
        log_release_settle(log, now_ns);
    }
    if (release->settling > 0 && writer->durable_position >= release->settled_at) {
        log_release_give_up(log);
    }
    if (release->settling > 0 || release->given_up_count > 0) {
        writer->sync_wanted |= writer->unsynced_bytes > 0; /* the relaxed policies would not hurry */
    }
    return log_release_dispose(log, now_ns);
}

void log_release_finish(struct log_release *release)
{
    release->busy = false;
    if (release->operation.result != 0) {
        TRACE(TRACE_WARN, "log", "a log segment that is not needed any more stays: %s", release->operation.text);
    }
}

uint64_t log_release_deadline_ns(const struct hf_log *log)
{
    const struct log_release *release = &log->release;
    bool settled = release->settling > 0 && log->writer.durable_position >= release->settled_at;
    bool found = release->settling == 0 && log->segments.count > 1 && log_release_may_go(log->segments.items[0]);
    bool declared = release->given_up_count > 0 && !release->busy && log_release_is_declared(log, release->given_up[0]);
    if (settled) {
        return 0;
    }
    if (found) {
        return release->held_until_ns;
    }
    return !declared ? UINT64_MAX : release->given_up[0]->pins > 0 ? release->pinned_ns : 0;
}

uint64_t log_release_bytes(const struct log_release *release)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < release->given_up_count; i++) {
        bytes += release->given_up[i]->header.size_bytes;
    }
    return bytes;
}
