#include "log/log_append.h"

#include <assert.h>
#include <inttypes.h>

#include "base/error.h"
#include "base/mutation.h"
#include "log/log_batch.h"
#include "log/log_check.h"
#include "log/log_iterator.h"
#include "log/log_repair.h"

/* ---- encoding ---- */

static struct log_frame_builder *log_append_builder(struct hf_log *log)
{
    return &log->writer.gathering->builder;
}

void log_append_incarnate(struct hf_log *log, struct log_group *group)
{
    uint64_t incarnation = group->incarnation;
    if (incarnation != 0) {
        return;
    }
    while (incarnation == 0 || incarnation == group->tombstone) {
        io_random(log->io, &incarnation, sizeof(incarnation));
    }
    log_group_incarnate(group, incarnation);
}

/* Can the operation go under a run that the frame has? Then it does. */
static bool log_append_fits_run(struct hf_log *log, const struct log_group *group,
                                const struct log_operation *operation)
{
    const uint64_t *term = log_batch_is_entry(operation) ? &operation->term : NULL;
    return log_frame_resume_run(log_append_builder(log), group->id, group->incarnation, group->check, term);
}

/* The operation itself if it is an entry, else the next entry of the same group: its term starts the run, so that the
 * entry needs none of its own. */
static const struct log_operation *log_append_run_source(const struct hf_log_batch *batch, size_t at)
{
    const struct log_operation *operation = &batch->operations[at];
    for (size_t i = at; i < batch->count && batch->operations[i].group == operation->group; i++) {
        if (log_batch_is_entry(&batch->operations[i])) {
            return &batch->operations[i];
        }
        if (batch->operations[i].kind == LOG_RECORD_REMOVED) {
            break;
        }
    }
    return operation;
}

/* The next run of the group. */
static struct log_run log_append_run(struct hf_log *log, struct log_group *group, uint64_t term)
{
    log_append_incarnate(log, group);
    if (!group->bounds.exists) {
        log_group_anchor(group, log->writer.tail);
    }
    return (struct log_run){
        .group = group->id, .incarnation = group->incarnation, .number = ++group->run_number, .term = term};
}

static void log_append_open_run(struct hf_log *log, struct log_group *group, const struct log_operation *source)
{
    struct log_run run = log_append_run(log, group, source->term);
    log_frame_put_run(log_append_builder(log), &run, group->check, group->bounds.last);
}

/* ---- one operation ---- */

/* The entry goes under the run that is open, or opens one. */
static void log_append_entry(struct hf_log *log, struct log_group *group, const struct hf_log_batch *batch,
                             const struct log_operation *operation, const struct log_run *opens)
{
    struct log_frame_builder *builder = log_append_builder(log);
    struct log_frame_entry entry = {.index = operation->index,
                                    .timestamp_ms = operation->value,
                                    .payload = log_batch_body(batch, operation),
                                    .type = operation->entry_type};
    struct log_location location;
    location.segment = log->writer.tail;
    location.size = operation->body_size + log_record_wide_size(operation->value);
    location.term = operation->term;
    bool sampled = log_stages_samples(&log->stages);
    uint64_t began_ns = sampled ? io_monotonic_ns(log->io) : 0;
    size_t at = opens != NULL ? log_frame_put_opening(builder, opens, group->check, &entry)
                              : log_frame_put_entry(builder, &entry);
    location.offset = builder->place.offset + at;
    uint64_t encoded_ns = sampled ? io_monotonic_ns(log->io) : 0;
    log_group_append(group, operation->index, &location);
    if (sampled) {
        uint64_t ended_ns = io_monotonic_ns(log->io);
        log_stages_note(&log->stages, HF_LOG_STAGE_ENCODE, began_ns, encoded_ns, 1, operation->body_size);
        log_stages_note(&log->stages, HF_LOG_STAGE_INDEX, encoded_ns, ended_ns, 1, operation->body_size);
    }
}

/* An entry may open its run if its index says what the group's last was. */
static void log_append_next_entry(struct hf_log *log, struct log_group *group, const struct hf_log_batch *batch,
                                  const struct log_operation *operation)
{
    if (log_append_fits_run(log, group, operation)) {
        log_append_entry(log, group, batch, operation, NULL);
    } else if (operation->index == group->bounds.last + 1) {
        struct log_run run = log_append_run(log, group, operation->term);
        log_append_entry(log, group, batch, operation, &run);
    } else {
        log_append_open_run(log, group, operation);
        log_append_entry(log, group, batch, operation, NULL);
    }
}

/* Under the run that is open. */
static void log_append_repair(struct hf_log *log, struct log_group *group, const struct hf_log_batch *batch,
                              const struct log_operation *operation)
{
    struct log_frame_builder *builder = &log->writer.gathering->builder;
    struct log_record record = {.kind = LOG_RECORD_MOVED,
                                .entry_type = operation->entry_type,
                                .timestamp_ms = operation->value,
                                .index = operation->index,
                                .body = log_batch_body(batch, operation)};
    struct log_location location = {.segment = log->writer.tail,
                                    .offset = builder->place.offset + log_frame_put(builder, record),
                                    .size = operation->body_size + log_record_wide_size(operation->value),
                                    .term = operation->term};
    log_repair_apply(log, group, operation->index, &location);
}

static void log_append_hard_state(struct hf_log *log, struct log_group *group, const struct log_operation *operation)
{
    struct hf_hard_state state = {.term = operation->term, .vote = operation->value, .commit = operation->commit};
    uint8_t body[LOG_RECORD_HARD_STATE_BODY_SIZE];
    log_record_put_hard_state(body, state);
    struct log_record record = {
        .kind = LOG_RECORD_HARD_STATE, .index = group->bounds.last, .body = bytes_of(body, sizeof(body))};
    if (!MUTATED(LOG_VOTE_LOST)) {
        log_frame_put(log_append_builder(log), record);
    }
    bool voted = group->hard_state.term != state.term || group->hard_state.vote != state.vote;
    log->writer.gathering->must_sync |= voted;
    log_group_hard_state(group, state, log->writer.tail);
}

static void log_append_floor(struct hf_log *log, struct log_group *group, const struct hf_log_batch *batch,
                             const struct log_operation *operation)
{
    uint8_t body[LOG_RECORD_FLOOR_BODY_SIZE + HF_LOG_SNAPSHOT_NAME_SIZE_MAX];
    struct hf_bytes name = log_batch_body(batch, operation);
    uint64_t term = operation->term;
    if (operation->kind == LOG_RECORD_COMPACT) {
        int rc = log_group_term(group, operation->index, &term);
        assert(rc == 0); /* checked: it lies between first and last of a group without damage */
        (void)rc;
        /* The reset that named it may be given up once this floor is there. */
        name = bytes_of(group->snapshot_name, group->snapshot_name_size);
    }
    bytes_put_u64(body, term);
    if (name.size > 0) {
        memcpy(body + LOG_RECORD_FLOOR_BODY_SIZE, name.data, name.size);
    }
    struct log_record record = {.kind = operation->kind,
                                .index = operation->index,
                                .body = bytes_of(body, LOG_RECORD_FLOOR_BODY_SIZE + name.size)};
    if (!MUTATED(LOG_FLOOR_FORGOTTEN)) {
        log_frame_put(log_append_builder(log), record);
    }
    if (operation->kind == LOG_RECORD_RESET) {
        log_writer_forget_acks(&log->writer, group, 0);
        log_group_reset(group, operation->index, term, name, log->writer.tail);
        log->writer.gathering->must_sync = true;
        log_writer_note_ack(&log->writer, group, operation->index);
    } else {
        log_group_compact(group, operation->index, term, log->writer.tail);
    }
}

static void log_append_operation(struct hf_log *log, struct log_group *group, const struct hf_log_batch *batch,
                                 const struct log_operation *operation)
{
    struct log_record record = {.kind = operation->kind, .index = operation->index};
    switch (operation->kind) {
    case LOG_RECORD_APPEND:
        log_append_next_entry(log, group, batch, operation);
        log_writer_note_ack(&log->writer, group, operation->index);
        return;
    case LOG_RECORD_MOVED:
        log_append_repair(log, group, batch, operation);
        return;
    case LOG_RECORD_TRUNCATE:
        if (record.index <= group->bounds.floor) {
            record.index = group->bounds.floor + 1; /* what is left says exactly where the log of the group ends */
        }
        if (!MUTATED(LOG_TRUNCATION_FORGOTTEN)) {
            log_frame_put(log_append_builder(log), record);
        }
        log_writer_forget_acks(&log->writer, group, operation->index);
        log_group_truncate(group, operation->index);
        return;
    case LOG_RECORD_HARD_STATE:
        log_append_hard_state(log, group, operation);
        return;
    case LOG_RECORD_RESET:
    case LOG_RECORD_COMPACT:
        log_append_floor(log, group, batch, operation);
        return;
    default:
        assert(operation->kind == LOG_RECORD_REMOVED);
        if (!MUTATED(LOG_REMOVAL_FORGOTTEN)) {
            log_frame_put(log_append_builder(log), record);
        }
        log_writer_forget_acks(&log->writer, group, 0);
        log_group_remove(group, log->writer.tail);
        log->writer.gathering->must_sync = true;
        return;
    }
}

static void log_append_operations(struct hf_log *log, const struct hf_log_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct log_operation *operation = &batch->operations[i];
        struct log_group *group = log_groups_find(&log->groups, operation->group);
        if (log_check_is_noop(&group->bounds, operation)) {
            continue;
        }
        if (operation->kind != LOG_RECORD_APPEND && !log_append_fits_run(log, group, operation)) {
            log_append_open_run(log, group, log_append_run_source(batch, i));
        }
        log_append_operation(log, group, batch, operation);
    }
}

/* Nothing but entries of one group: what is the same for all of them is done once. Nearly all appends come here, so
 * what is called is expanded in line where the room is compiled as one unit. */
__attribute__((flatten)) static void log_append_plain(struct hf_log *log, const struct hf_log_batch *batch)
{
    struct log_group *group = log_groups_find(&log->groups, batch->operations[0].group);
    for (size_t i = 0; i < batch->count; i++) {
        log_append_next_entry(log, group, batch, &batch->operations[i]);
    }
    log_writer_note_ack(&log->writer, group, batch->operations[batch->count - 1].index);
}

static void log_append_apply(struct hf_log *log, const struct hf_log_batch *batch)
{
    size_t used_before = log_append_builder(log)->used;
    if (batch->plain) {
        log_append_plain(log, batch);
    } else {
        log_append_operations(log, batch);
    }
    struct log_write *write = log->writer.gathering;
    uint64_t bytes = write->builder.used - used_before;
    assert(bytes <= batch->encoded_size);
    write->entry_count += batch->entry_count;
    write->byte_count += bytes;
    log->writer.queued_entries += batch->entry_count;
    log->writer.queued_bytes += bytes;
    if (log->writer.queued_bytes > log->writer.queued_peak_bytes) {
        log->writer.queued_peak_bytes = log->writer.queued_bytes;
    }
    log->appended_entries += batch->entry_count;
    log->appended_bytes += batch->bodies.size;
    log->reserved_bytes -= bytes < log->reserved_bytes ? bytes : log->reserved_bytes;
}

/* ---- admission ---- */

int log_append_check_state(const struct hf_log *log)
{
    if (log->closing) {
        return error_raise(HF_ECLOSED, "the log is being closed");
    }
    if (log->options.read_only) {
        return error_raise(HF_EUNSUPPORTED, "the log was opened read-only");
    }
    if (log->writer.failure != 0) {
        return error_raise(HF_EPOISONED, "the log takes no more since a write or sync failed: %s",
                           log->writer.failure_text);
    }
    return 0;
}

static int log_append_check_queue(const struct hf_log *log, const struct hf_log_batch *batch)
{
    const struct log_writer *writer = &log->writer;
    if (writer->queued_bytes == 0) {
        return 0; /* whatever its size, a batch is accepted by an empty queue */
    }
    if (writer->queued_entries + batch->entry_count > log->options.queue_entries_max ||
        writer->queued_bytes + batch->encoded_size > log->options.queue_bytes_max) {
        return error_raise(HF_EBUSY, "the log's queue is full: %" PRIu64 " entries, %" PRIu64 " bytes",
                           writer->queued_entries, writer->queued_bytes);
    }
    return 0;
}

/* A memory log has no queue but the callbacks that wait for a turn. */
static int log_append_check_ready(const struct hf_log *log)
{
    if (log->writer.ready.count >= log->options.queue_entries_max) {
        return error_raise(HF_EBUSY, "%zu callbacks of the log wait for a turn", log->writer.ready.count);
    }
    return 0;
}

/* Whom it concerns: iterators of groups that were truncated, and who waits for entries. */
static void log_append_tell(struct hf_log *log, const struct hf_log_batch *batch)
{
    if (!list_empty(&log->iterators)) {
        log_iterator_note(log, batch);
    }
    if (log->changed_waiters > 0) {
        condition_broadcast(&log->changed);
    }
}

int log_append_locked(struct hf_log *log, const struct hf_log_batch *batch, struct log_waiter waiter,
                      enum hf_log_acknowledge acknowledge)
{
    bool writes = log->memory == NULL && batch->plain && log_check_plain(&log->groups, batch);
    int rc = log_append_check_state(log);
    if (rc == 0 && !writes) {
        rc = log_check_batch(&log->groups, &log->damages, batch, ++log->check_turn, &writes);
    }
    if (rc != 0) {
        return rc;
    }
    if (!writes) {
        log_writer_wait(&log->writer, waiter, acknowledge);
        return 0;
    }
    if (log->memory != NULL) {
        rc = log_append_check_ready(log);
        rc = rc == 0 ? log_memory_append(log, batch) : rc;
        if (rc == 0) {
            log_append_tell(log, batch);
            log_writer_wait(&log->writer, waiter, acknowledge);
        }
        return rc;
    }
    rc = log_append_check_queue(log, batch);
    if (rc == 0) {
        rc = log_writer_make_room(&log->writer, batch->encoded_size,
                                  batch->essential ? LOG_WRITER_ESSENTIAL : LOG_WRITER_ORDINARY);
    }
    if (rc != 0) {
        return rc;
    }
    log_append_apply(log, batch);
    log_append_tell(log, batch);
    log_writer_wait(&log->writer, waiter, acknowledge);
    return 0;
}
