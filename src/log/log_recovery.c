#include "log/log_recovery.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/mutation.h"
#include "base/trace.h"
#include "log/log_apply_index.h"
#include "log/log_prepare.h"
#include "log/log_reserve.h"
#include "log/log_scan.h"

/* What the new segment offers beyond what is copied: on a full device as much as there is of this, so that every group
 * can elect a leader and commit its first entry there. */
#define LOG_RECOVERY_ROOM_MAX (256u * 1024u)
#define LOG_RECOVERY_ROOM_MIN (64u * 1024u)
/* Smallest segments whose blocks are set aside: one for each of some opens on a full device. */
#define LOG_RECOVERY_SET_ASIDE 2u

/* A frame that nobody declared durable, to be copied. */
struct log_recovery_copy {
    uint8_t *data; /* aligned */
    struct log_frame_header header;
    uint64_t offset; /* in the new segment */
};

/* A frame that the open wrote which made its segment, as long as nothing shows that this open came to its end. */
struct log_recovery_unsure {
    struct log_scan_frame frame; /* its bytes are ours */
    uint8_t *data;
};

struct log_recovery {
    struct hf_log *log;
    struct log_chain chain;
    struct log_scan_result scan;
    struct log_apply apply;
    struct log_segment **segments;     /* one for each of the chain */
    struct log_index_file *index_file; /* of the segment that the scan asks about */
    uint8_t *index_tables;
    struct log_recovery_copy *copies;
    size_t copy_count;
    struct log_recovery_unsure *unsure; /* all of one segment */
    size_t unsure_count;
    bool unsure_ended; /* its first trailer came: what follows is the writer's */
    size_t given_up;   /* segments in front that were declared not to be needed, and are not: left-overs */
    size_t used_count; /* segments of the chain up to the last that holds data */
    uint64_t position; /* behind the last data that stays where it is */
    uint64_t sequence; /* the last one there */
    struct log_preparation preparation;
    struct log_segment *fresh;
    bool device_full;      /* the new segment has to be as small as possible */
    uint64_t room_bytes;   /* of the new segment; 0: as little as is useful */
    uint64_t position_end; /* behind everything in the fresh segment */
    uint64_t offset_end;
    uint64_t sequence_end;
};

/* ---- reading ---- */

static void log_recovery_stays(struct log_recovery *recovery, const struct log_scan_frame *frame)
{
    struct log_segment *segment = recovery->segments[frame->segment];
    bool bare = frame->state != LOG_SCAN_DAMAGED && (frame->header.flags & LOG_FORMAT_FRAME_BARE) != 0;
    segment->used_bytes = frame->offset + frame->length;
    if (frame->state == LOG_SCAN_DAMAGED) {
        segment->index_state = LOG_SEGMENT_INDEX_REFUSED; /* every open has to meet the damage again */
    }
    if (bare) {
        return; /* an old trailer has said what it had to say: the new segment repeats it */
    }
    recovery->used_count = frame->segment + 1;
    recovery->position = frame->position_end;
    recovery->sequence = frame->sequence_end;
}

static int log_recovery_keep_copy(struct log_recovery *recovery, const struct log_scan_frame *frame)
{
    if ((frame->header.flags & LOG_FORMAT_FRAME_BARE) != 0) {
        return 0;
    }
    recovery->copies = memory_resize(recovery->copies, (recovery->copy_count + 1) * sizeof(struct log_recovery_copy));
    struct log_recovery_copy *copy = &recovery->copies[recovery->copy_count];
    *copy = (struct log_recovery_copy){.header = frame->header};
    copy->data = aligned_alloc(LOG_FORMAT_BLOCK_SIZE, frame->length);
    if (copy->data == NULL) {
        return error_raise(HF_ENOMEM, "no memory for a frame of %" PRIu64 " bytes", frame->length);
    }
    memcpy(copy->data, frame->bytes.data, frame->length);
    recovery->copy_count++;
    return 0;
}

/* ---- segments that an open made ----
 * An open publishes its segment with what it copied, and ends with an error when the folder cannot be synced. The name
 * is there all the same, in the page cache, and no later sync of the folder need make it durable: what the failed one
 * covered may count as clean. A segment that would follow it could then outlive it. So the last segment, as long as it
 * holds nothing but what an open wrote, is not followed but replaced: its frames are copied once more, into a file that
 * is renamed over it. That is right whether its name is durable or not; and where it is not, nothing was acknowledged
 * behind it. */

static bool log_recovery_is_bare(const struct log_scan_frame *frame)
{
    return (frame->header.flags & LOG_FORMAT_FRAME_BARE) != 0;
}

static int log_recovery_take(struct log_recovery *recovery, const struct log_scan_frame *frame);

/* Something shows that the segment was used after it was published: it stays. */
static int log_recovery_settle_unsure(struct log_recovery *recovery)
{
    int rc = 0;
    for (size_t i = 0; i < recovery->unsure_count; i++) {
        struct log_recovery_unsure *unsure = &recovery->unsure[i];
        unsure->frame.bytes = bytes_of(unsure->data, unsure->frame.length);
        rc = rc == 0 ? log_recovery_take(recovery, &unsure->frame) : rc;
        free(unsure->data);
    }
    recovery->unsure_count = 0;
    recovery->unsure_ended = false;
    return rc;
}

static bool log_recovery_is_unsure(const struct log_recovery *recovery, const struct log_scan_frame *frame)
{
    const struct log_chain_segment *segment = &recovery->chain.segments[frame->segment];
    /* The very first open had nothing to copy: what its segment begins with is the writer's. */
    bool is_made_by_open =
        segment->header_good && segment->header.epoch > 1 && segment->header.position != LOG_FORMAT_POSITION_FOLLOWS;
    bool is_first = recovery->unsure_count > 0 || frame->offset == LOG_FORMAT_SEGMENT_HEADER_SIZE;
    return !recovery->log->options.read_only && frame->state != LOG_SCAN_DAMAGED && !log_recovery_is_bare(frame) &&
           is_made_by_open && is_first && !MUTATED(LOG_TAIL_NOT_COPIED) && !MUTATED(LOG_UNSURE_NAME_FOLLOWED);
}

static int log_recovery_hold_unsure(struct log_recovery *recovery, const struct log_scan_frame *frame)
{
    recovery->unsure =
        memory_resize(recovery->unsure, (recovery->unsure_count + 1) * sizeof(struct log_recovery_unsure));
    struct log_recovery_unsure *unsure = &recovery->unsure[recovery->unsure_count];
    *unsure = (struct log_recovery_unsure){.frame = *frame};
    unsure->data = aligned_alloc(LOG_FORMAT_BLOCK_SIZE, frame->length);
    if (unsure->data == NULL) {
        return error_raise(HF_ENOMEM, "no memory for a frame of %" PRIu64 " bytes", frame->length);
    }
    memcpy(unsure->data, frame->bytes.data, frame->length);
    recovery->unsure_count++;
    return 0;
}

/* Nothing showed it. */
static void log_recovery_copy_unsure(struct log_recovery *recovery)
{
    size_t count = recovery->copy_count + recovery->unsure_count;
    if (recovery->unsure_count == 0) {
        return;
    }
    recovery->copies = memory_resize(recovery->copies, count * sizeof(struct log_recovery_copy));
    for (size_t i = 0; i < recovery->unsure_count; i++) {
        recovery->copies[recovery->copy_count++] =
            (struct log_recovery_copy){.data = recovery->unsure[i].data, .header = recovery->unsure[i].frame.header};
    }
    recovery->unsure_count = 0;
}

static int log_recovery_frame(void *arg, const struct log_scan_frame *frame)
{
    struct log_recovery *recovery = arg;
    bool is_same = recovery->unsure_count > 0 && recovery->unsure[0].frame.segment == frame->segment;
    int rc = 0;
    if (recovery->unsure_count > 0 && frame->state != LOG_SCAN_DAMAGED && log_recovery_is_bare(frame)) {
        recovery->unsure_ended = true;
    } else if (recovery->unsure_count > 0 &&
               (!is_same || recovery->unsure_ended || !log_recovery_is_unsure(recovery, frame))) {
        rc = log_recovery_settle_unsure(recovery);
    }
    if (rc != 0) {
        return rc;
    }
    return log_recovery_is_unsure(recovery, frame) ? log_recovery_hold_unsure(recovery, frame)
                                                   : log_recovery_take(recovery, frame);
}

static int log_recovery_take(struct log_recovery *recovery, const struct log_scan_frame *frame)
{
    struct log_segment *segment = recovery->segments[frame->segment];
    switch (frame->state) {
    case LOG_SCAN_DAMAGED:
        log_apply_salvage(&recovery->apply, frame->bytes, segment, frame->offset);
        break;
    case LOG_SCAN_UNDECLARED:
        if (!recovery->log->options.read_only && !MUTATED(LOG_TAIL_NOT_COPIED)) {
            return log_recovery_keep_copy(recovery, frame);
        }
        log_apply_frame(&recovery->apply, frame->bytes, segment, frame->offset);
        break;
    case LOG_SCAN_DECLARED:
        log_apply_frame(&recovery->apply, frame->bytes, segment, frame->offset);
        break;
    }
    log_recovery_stays(recovery, frame);
    return 0;
}

/* ---- segments with an index file ---- */

static void log_recovery_drop_index(struct log_recovery *recovery)
{
    log_index_file_close(recovery->index_file);
    free(recovery->index_tables);
    recovery->index_file = NULL;
    recovery->index_tables = NULL;
}

static bool log_recovery_known(void *arg, size_t at, struct log_scan_known *out)
{
    struct log_recovery *recovery = arg;
    struct hf_log *log = recovery->log;
    log_recovery_drop_index(recovery);
    int rc = log_index_file_load(log->io, log->directory, &recovery->chain.segments[at].header, &recovery->index_file,
                                 &recovery->index_tables);
    if (rc != 0) {
        if (rc != HF_ENOTFOUND) {
            TRACE(TRACE_WARN, "log", "a segment is scanned instead: %s", hf_error_text());
        }
        return false;
    }
    const struct log_index_summary *summary = &recovery->index_file->summary;
    *out = (struct log_scan_known){
        .position_first = summary->position_first,
        .sequence_first = summary->sequence_first,
        .position_end = summary->position_end,
        .sequence_last = summary->sequence_last,
        .data_position_end = summary->data_position_end,
        .data_sequence_last = summary->data_sequence_last,
        .durable_position = summary->durable_position,
        .oldest_segment = summary->oldest_segment,
    };
    return summary->offset_end <= recovery->chain.segments[at].file_size;
}

static int log_recovery_skip(void *arg, size_t at, const struct log_scan_known *known)
{
    struct log_recovery *recovery = arg;
    struct log_segment *segment = recovery->segments[at];
    const struct log_index_summary *summary = &recovery->index_file->summary;
    int rc = log_recovery_settle_unsure(recovery);
    if (rc != 0) {
        return rc;
    }
    segment->index_file = recovery->index_file;
    segment->index_state = LOG_SEGMENT_INDEX_COLD;
    segment->used_bytes = summary->offset_end;
    recovery->index_file = NULL;
    log_apply_index(&recovery->apply, bytes_of(recovery->index_tables, summary->tables_size), segment);
    if (summary->data_offset_end > LOG_FORMAT_SEGMENT_HEADER_SIZE) {
        recovery->used_count = at + 1;
        recovery->position = known->data_position_end;
        recovery->sequence = known->data_sequence_last;
    }
    return 0;
}

static bool log_recovery_keeps(void *arg, uint64_t number)
{
    const struct log_recovery *recovery = arg;
    for (size_t i = recovery->given_up; i < recovery->used_count; i++) {
        if (recovery->chain.segments[i].header.number == number) {
            return true;
        }
    }
    return false;
}

static int log_recovery_read(struct log_recovery *recovery)
{
    struct hf_log *log = recovery->log;
    int rc = log_chain_open(&recovery->chain, log->io, log->directory, &log->damages);
    if (rc != 0) {
        return rc;
    }
    size_t count = recovery->chain.segment_count;
    if (count > 0 && !log->options.read_only && !MUTATED(LOG_NOT_LOCKED)) {
        /* The file that a living writer would hold: the lock file alone could have been removed. */
        rc = file_lock(recovery->chain.segments[count - 1].file);
        if (rc != 0) {
            return error_wrap(rc, "another process writes to the log in %s", log->directory);
        }
    }
    recovery->segments = memory_new(count * sizeof(struct log_segment *));
    for (size_t i = 0; i < count; i++) {
        recovery->segments[i] = log_segment_new(&recovery->chain.segments[i].header);
        recovery->segments[i]->state = LOG_SEGMENT_SEALED;
    }
    recovery->apply.front_missing = count > 0 && recovery->chain.segments[0].header.number > 1;
    struct log_scan_callbacks callbacks = {.frame = log_recovery_frame, .arg = recovery};
    if (!recovery->log->options.scan_all_on_open) {
        callbacks.known = log_recovery_known;
        callbacks.skip = log_recovery_skip;
    }
    int rc_scan = log_scan_run(&recovery->chain, &callbacks, &recovery->scan);
    log_recovery_copy_unsure(recovery);
    if (recovery->used_count == 0) {
        recovery->position = recovery->scan.position_begin;
        recovery->sequence = recovery->scan.sequence_begin - 1;
    }
    return rc_scan;
}

/* Files that came back although a trailer says that they are not needed. One that is needed after all, because damage
 * took what replaced it, stays. */
static void log_recovery_give_up_left_over(struct log_recovery *recovery)
{
    while (recovery->given_up < recovery->used_count) {
        const struct log_segment *segment = recovery->segments[recovery->given_up];
        if (segment->header.number >= recovery->scan.oldest_segment || !log_segment_is_dead(segment)) {
            return;
        }
        recovery->given_up++;
    }
}

/* ---- the new segment ---- */

static uint64_t log_recovery_size(const struct log_recovery *recovery)
{
    uint64_t room = recovery->room_bytes != 0 ? recovery->room_bytes : LOG_RECOVERY_ROOM_MIN;
    uint64_t size = LOG_FORMAT_SEGMENT_HEADER_SIZE + 2 * LOG_FORMAT_BLOCK_SIZE + room;
    for (size_t i = 0; i < recovery->copy_count; i++) {
        size += recovery->copies[i].header.length;
    }
    uint64_t size_min = recovery->device_full ? 0 : log_pool_size_min(&recovery->log->pool);
    return size < size_min ? size_min : log_format_align_block(size);
}

static uint64_t log_recovery_number_first(const struct log_recovery *recovery)
{
    return recovery->chain.segment_count > 0 ? recovery->chain.segments[0].header.number : 1;
}

static void log_recovery_plan_header(struct log_recovery *recovery, struct log_segment_header *header)
{
    struct hf_log *log = recovery->log;
    const struct log_segment *last = recovery->used_count > 0 ? recovery->segments[recovery->used_count - 1] : NULL;
    *header = (struct log_segment_header){
        .number = last != NULL ? last->header.number + 1 : log_recovery_number_first(recovery),
        .size_bytes = log_recovery_size(recovery),
        .log_id = recovery->chain.log_id,
        .epoch = recovery->chain.epoch_max + 1,
        .previous_incarnation = last != NULL ? last->header.incarnation : 0,
        .position = recovery->position,
    };
    while (header->log_id == 0) {
        io_random(log->io, &header->log_id, sizeof(header->log_id));
    }
    while (header->incarnation == 0) {
        io_random(log->io, &header->incarnation, sizeof(header->incarnation));
    }
}

static struct log_place log_recovery_place(const struct log_recovery *recovery)
{
    return log_segment_place(recovery->fresh, recovery->offset_end, recovery->sequence_end + 1, recovery->position_end);
}

static struct log_declaration log_recovery_declaration(const struct log_recovery *recovery, uint64_t position)
{
    bool all_gone = recovery->given_up == recovery->used_count;
    const struct log_segment *oldest = all_gone ? recovery->fresh : recovery->segments[recovery->given_up];
    return (struct log_declaration){.durable_position = position, .oldest_segment = oldest->header.number};
}

static int log_recovery_write(struct log_recovery *recovery, const uint8_t *data, size_t length)
{
    int rc = file_write(recovery->preparation.file, recovery->offset_end, data, length);
    recovery->offset_end += length;
    recovery->position_end += length;
    recovery->sequence_end++;
    return rc;
}

/* Says that all before it is durable: true as soon as the segment can be seen under its name. */
static int log_recovery_write_trailer(struct log_recovery *recovery)
{
    uint8_t *block = aligned_alloc(LOG_FORMAT_BLOCK_SIZE, LOG_FORMAT_BLOCK_SIZE);
    if (block == NULL) {
        return error_raise(HF_ENOMEM, "no memory for a trailer");
    }
    struct log_runs runs;
    struct log_frame_builder builder;
    struct log_place place = log_recovery_place(recovery);
    log_frame_begin(&builder, &place, block, LOG_FORMAT_BLOCK_SIZE, &runs);
    struct log_declaration declaration = log_recovery_declaration(recovery, place.position);
    size_t length = log_frame_seal(&builder, &declaration);
    int rc = log_recovery_write(recovery, block, length);
    free(block);
    return rc;
}

static int log_recovery_write_copies(struct log_recovery *recovery)
{
    int rc = 0;
    for (size_t i = 0; i < recovery->copy_count && rc == 0; i++) {
        struct log_recovery_copy *copy = &recovery->copies[i];
        struct log_place place = log_recovery_place(recovery);
        struct log_declaration declaration = log_recovery_declaration(recovery, recovery->position);
        log_frame_move(copy->data, &copy->header, &place, &declaration);
        copy->offset = place.offset;
        rc = log_recovery_write(recovery, copy->data, copy->header.length);
    }
    if (rc == 0 && recovery->position_end > 0) {
        rc = log_recovery_write_trailer(recovery);
    }
    /* That files in front are not needed is never said by one frame alone: log_writer.h, declared_oldest. */
    if (rc == 0 && log_recovery_declaration(recovery, 0).oldest_segment > 1) {
        rc = log_recovery_write_trailer(recovery);
    }
    return rc;
}

/* The copies become readable at their new place. */
static void log_recovery_apply_copies(struct log_recovery *recovery)
{
    for (size_t i = 0; i < recovery->copy_count; i++) {
        struct log_recovery_copy *copy = &recovery->copies[i];
        log_apply_frame(&recovery->apply, bytes_of(copy->data, copy->header.length), recovery->fresh, copy->offset);
    }
}

static void log_recovery_unlink(struct log_recovery *recovery, uint64_t number)
{
    struct hf_log *log = recovery->log;
    char name[LOG_FORMAT_NAME_SIZE];
    log_format_segment_name(name, number);
    char *path = text_format("%s/%s", log->directory, name);
    int rc = path_unlink(log->io, path);
    if (rc != 0 && rc != HF_ENOTFOUND) {
        TRACE(TRACE_WARN, "log", "a left-over log segment stays: %s", hf_error_text());
    }
    free(path);
}

static int log_recovery_make_segment(struct log_recovery *recovery)
{
    struct hf_log *log = recovery->log;
    struct log_segment_header header;
    log_recovery_plan_header(recovery, &header);
    recovery->preparation = (struct log_preparation){
        .io = log->io, .directory = log->directory, .header = header, .direct = log->options.direct};
    int rc = log_prepare_create(&recovery->preparation);
    if (rc != 0) {
        return rc;
    }
    log_segment_close(recovery->fresh);
    recovery->fresh = log_segment_new(&header);
    recovery->fresh->state = LOG_SEGMENT_READY;
    recovery->offset_end = LOG_FORMAT_SEGMENT_HEADER_SIZE;
    recovery->position_end = recovery->position;
    recovery->sequence_end = recovery->sequence;
    rc = log_recovery_write_copies(recovery);
    if (rc != 0) {
        log_prepare_abandon(&recovery->preparation);
        return rc;
    }
    rc = log_prepare_publish(&recovery->preparation);
    if (rc == 0) {
        recovery->fresh->writer = recovery->preparation.file;
    }
    return rc;
}

/* Of files that no epoch tells from a living log's, a higher number must never be seen without the lower ones. */
static int log_recovery_unlink_durably(struct log_recovery *recovery, uint64_t number)
{
    log_recovery_unlink(recovery, number);
    return directory_sync(recovery->log->io, recovery->log->directory);
}

/* May the file go before the new segment is there? Old spares are worth nothing. A segment with any frame, be it a bare
 * trailer, tells damage from a torn end, should this open crash: it may go only when there is no damage to tell. */
static int log_recovery_check_worthless(struct log_recovery *recovery, const struct log_chain_segment *segment)
{
    struct log_frame_header header;
    if (recovery->copy_count == 0 && recovery->log->damages.count == 0) {
        return HF_ENOTFOUND;
    }
    return log_chain_search(&recovery->chain, segment, LOG_FORMAT_SEGMENT_HEADER_SIZE, &header);
}

/* Makes room on a full device. */
static int log_recovery_give_up_spares(struct log_recovery *recovery)
{
    for (size_t i = recovery->chain.segment_count; i > recovery->used_count; i--) {
        struct log_chain_segment *segment = &recovery->chain.segments[i - 1];
        int rc = log_recovery_check_worthless(recovery, segment);
        if (rc != HF_ENOTFOUND) {
            return rc;
        }
        file_close(segment->file); /* an open file keeps its blocks */
        segment->file = NULL;
        rc = log_recovery_unlink_durably(recovery, segment->header.number);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* The new segment, smaller where it must be: in what old spares took, else in what was set aside. */
static int log_recovery_make_segment_on_full_device(struct log_recovery *recovery)
{
    struct hf_log *log = recovery->log;
    recovery->device_full = true;
    recovery->room_bytes = LOG_RECOVERY_ROOM_MAX;
    int rc = log_recovery_give_up_spares(recovery);
    if (rc == 0) {
        rc = log_recovery_make_segment(recovery);
    }
    if (rc == HF_ENOSPACE) {
        uint64_t needed = log_recovery_size(recovery) + 4 * LOG_FORMAT_BLOCK_SIZE; /* the name takes some, too */
        rc = log_reserve_release(log->io, log->directory, needed);
        rc = rc == 0 ? log_recovery_make_segment(recovery) : rc;
    }
    while (rc == HF_ENOSPACE && recovery->room_bytes > LOG_RECOVERY_ROOM_MIN) {
        recovery->room_bytes /= 2;
        rc = log_recovery_make_segment(recovery);
    }
    return rc;
}

/* What was copied or never belonged to the stream goes. Its epoch tells it from the new files, should it come back. */
static void log_recovery_remove_superseded(struct log_recovery *recovery)
{
    for (size_t i = recovery->chain.segment_count; i > recovery->used_count; i--) {
        uint64_t number = recovery->chain.segments[i - 1].header.number;
        if (number != recovery->fresh->header.number) {
            log_recovery_unlink(recovery, number);
        }
    }
    for (size_t i = 0; i < recovery->given_up; i++) {
        log_recovery_unlink(recovery, recovery->chain.segments[i].header.number);
    }
}

static void log_recovery_set_tail(struct log_recovery *recovery)
{
    struct hf_log *log = recovery->log;
    struct log_writer *writer = &log->writer;
    writer->tail = recovery->fresh;
    writer->tail_offset = recovery->offset_end;
    writer->tail_position = recovery->position_end;
    writer->sequence_next = recovery->sequence_end + 1;
    writer->durable_position = recovery->position_end;
    writer->declared_position = recovery->position_end;
    writer->data_end_position = recovery->position_end;
    log_pool_open(&log->pool, log->io, log->directory, &recovery->fresh->header);
    log_segment_table_append(&log->segments, recovery->fresh);
    writer->declared_oldest = writer->declared_oldest_once = log->segments.items[0]->header.number;
    recovery->fresh = NULL;
}

static int log_recovery_continue(struct log_recovery *recovery)
{
    struct hf_log *log = recovery->log;
    int rc = log_prepare_clean(log->io, log->directory);
    if (rc != 0) {
        return rc;
    }
    for (size_t i = recovery->chain.stale_count; i > 0 && rc == 0; i--) {
        rc = log_recovery_unlink_durably(recovery, recovery->chain.stale[i - 1]);
    }
    if (rc != 0) {
        return rc;
    }
    log_recovery_give_up_left_over(recovery);
    rc = log_recovery_make_segment(recovery);
    if (rc == HF_ENOSPACE) {
        rc = log_recovery_make_segment_on_full_device(recovery);
    }
    if (rc != 0) {
        return rc;
    }
    log_recovery_remove_superseded(recovery);
    struct log_index_file_keeper keeper = {.keeps = log_recovery_keeps, .arg = recovery};
    log_index_file_clean(log->io, log->directory, &keeper);
    log_recovery_apply_copies(recovery);
    for (size_t i = recovery->given_up; i < recovery->used_count; i++) {
        log_segment_table_append(&log->segments, recovery->segments[i]);
        recovery->segments[i] = NULL;
    }
    log_recovery_set_tail(recovery);
    uint64_t set_aside = LOG_RECOVERY_SET_ASIDE * log_pool_size_min(&log->pool);
    log_pool_forget_free_bytes(&log->pool);
    if (log_pool_free_bytes(&log->pool) >= set_aside + log->options.reserve_bytes) {
        log_reserve_fill(log->io, log->directory, set_aside);
    }
    return 0;
}

static void log_recovery_keep_segments(struct log_recovery *recovery)
{
    for (size_t i = 0; i < recovery->chain.segment_count; i++) {
        log_segment_table_append(&recovery->log->segments, recovery->segments[i]);
        recovery->segments[i] = NULL;
    }
}

static void log_recovery_close(struct log_recovery *recovery)
{
    for (size_t i = 0; recovery->segments != NULL && i < recovery->chain.segment_count; i++) {
        log_segment_close(recovery->segments[i]);
    }
    for (size_t i = 0; i < recovery->copy_count; i++) {
        free(recovery->copies[i].data);
    }
    for (size_t i = 0; i < recovery->unsure_count; i++) {
        free(recovery->unsure[i].data);
    }
    free(recovery->unsure);
    log_recovery_drop_index(recovery);
    log_segment_close(recovery->fresh);
    free(recovery->segments);
    free(recovery->copies);
    log_chain_close(&recovery->chain);
}

int log_recovery_run(struct hf_log *log)
{
    struct log_recovery recovery = {.log = log, .apply = {.groups = &log->groups, .damages = &log->damages}};
    uint64_t begun_ns = io_monotonic_ns(log->io);
    int rc = log_recovery_read(&recovery);
    if (rc != 0) {
        goto done;
    }
    if (log->options.read_only) {
        log_recovery_keep_segments(&recovery);
    } else {
        rc = log_recovery_continue(&recovery);
    }
    if (rc != 0) {
        goto done;
    }
    log_apply_finish(&recovery.apply);
    log->lost_unknown = recovery.apply.holes > 0;
    log->torn_bytes = recovery.scan.torn_bytes;
    log->recovery_ns = io_monotonic_ns(log->io) - begun_ns;
    if (log->torn_bytes > 0 && !log->options.read_only) {
        TRACE(TRACE_INFO, "log", "dropped %" PRIu64 " torn bytes at the end: none of them was acknowledged as durable",
              log->torn_bytes);
    }
done:
    log_recovery_close(&recovery);
    return rc;
}
