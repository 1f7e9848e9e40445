#include "log/log_frame.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/error.h"
#include "base/mutation.h"

#define LOG_FRAME_MAGIC         0x52464648u /* "HFFR" */
#define LOG_FRAME_CHECKSUM_FROM 8u
#define LOG_FRAME_AHEAD         512u /* bytes: some three small records, and more than memory takes to come */
#define LOG_FRAME_LINE          64u  /* of the processor's cache */

static void log_frame_put_header(uint8_t *target, const struct log_frame_header *header)
{
    const struct log_place *place = &header->place;
    /* Word by word, as the checksum reads it again at once: see checksum.c. */
    bytes_put_u64(target + 8, place->incarnation);
    bytes_put_u64(target + 16, place->segment);
    bytes_put_u64(target + 24, place->offset);
    bytes_put_u64(target + 32, place->sequence);
    bytes_put_u64(target + 40, place->position);
    bytes_put_u64(target + 48, header->length | (uint64_t)header->content_size << 32);
    bytes_put_u64(target + 56, header->record_count | (uint64_t)header->flags << 32);
    bytes_put_u64(target + 64, place->log_id);
    bytes_put_u64(target + 72, place->epoch);
    bytes_put_u64(target + 80, place->previous_incarnation);
    bytes_put_u64(target + 88, 0);
    bytes_put_u32(target, LOG_FRAME_MAGIC);
    bytes_put_u32(target + 4, checksum_crc32c(0, target + LOG_FRAME_CHECKSUM_FROM,
                                              LOG_FORMAT_FRAME_HEADER_SIZE - LOG_FRAME_CHECKSUM_FROM));
}

bool log_frame_probe_header(const uint8_t *source, uint64_t segment, uint64_t offset, uint64_t size_left,
                            struct log_frame_header *out)
{
    if (bytes_get_u32(source) != LOG_FRAME_MAGIC) {
        return false;
    }
    return log_frame_get_header(source, bytes_get_u64(source + 8), segment, offset, size_left, out);
}

bool log_frame_get_header(const uint8_t *source, uint64_t incarnation, uint64_t segment, uint64_t offset,
                          uint64_t size_left, struct log_frame_header *out)
{
    bool of_this_life = bytes_get_u64(source + 8) == incarnation || MUTATED(LOG_STALE_ACCEPTED);
    if (bytes_get_u32(source) != LOG_FRAME_MAGIC || !of_this_life || bytes_get_u64(source + 16) != segment ||
        bytes_get_u64(source + 24) != offset) {
        return false;
    }
    uint32_t checksum =
        checksum_crc32c(0, source + LOG_FRAME_CHECKSUM_FROM, LOG_FORMAT_FRAME_HEADER_SIZE - LOG_FRAME_CHECKSUM_FROM);
    if (bytes_get_u32(source + 4) != checksum) {
        return false;
    }
    *out = (struct log_frame_header){
        .place = {.incarnation = incarnation,
                  .segment = segment,
                  .offset = offset,
                  .sequence = bytes_get_u64(source + 32),
                  .position = bytes_get_u64(source + 40),
                  .log_id = bytes_get_u64(source + 64),
                  .epoch = bytes_get_u64(source + 72),
                  .previous_incarnation = bytes_get_u64(source + 80)},
        .length = bytes_get_u32(source + 48),
        .content_size = bytes_get_u32(source + 52),
        .record_count = bytes_get_u32(source + 56),
        .flags = bytes_get_u32(source + 60),
    };
    return out->length >= LOG_FORMAT_FRAME_SIZE_MIN && out->length % LOG_FORMAT_BLOCK_SIZE == 0 &&
           out->length <= size_left && out->content_size <= out->length &&
           out->content_size >= LOG_FORMAT_FRAME_HEADER_SIZE + LOG_FORMAT_TRAILER_SIZE;
}

void log_frame_begin(struct log_frame_builder *builder, const struct log_place *place, uint8_t *data, size_t capacity,
                     struct log_runs *runs)
{
    assert(capacity >= LOG_FORMAT_FRAME_SIZE_MIN && capacity % LOG_FORMAT_BLOCK_SIZE == 0);
    builder->place = *place;
    builder->data = data;
    builder->capacity = capacity;
    builder->used = LOG_FORMAT_FRAME_HEADER_SIZE;
    builder->record_count = 0;
    builder->run.group = 0;
    builder->runs = runs;
    log_runs_clear(runs);
}

bool log_frame_fits(const struct log_frame_builder *builder, uint64_t size)
{
    return builder->used != 0 && size + builder->used + LOG_FORMAT_TRAILER_SIZE <= builder->capacity;
}

bool log_frame_is_bare(const struct log_frame_builder *builder)
{
    return builder->record_count == 0;
}

static uint32_t log_frame_seed(const struct log_frame_builder *builder)
{
    return log_format_seed(builder->place.incarnation, builder->place.offset + builder->used);
}

/* The memory was written long ago, or never: without this the next record waits for each of its lines. */
static inline void log_frame_fetch(const uint8_t *lines)
{
    __builtin_prefetch(lines, 1);
    __builtin_prefetch(lines + LOG_FRAME_LINE, 1);
    __builtin_prefetch(lines + LOG_FRAME_LINE * 2, 1);
    __builtin_prefetch(lines + LOG_FRAME_LINE * 3, 1);
}

/* A record of this size was written at the end. Returns its offset in the frame. */
static size_t log_frame_note(struct log_frame_builder *builder, size_t size)
{
    size_t at = builder->used;
    builder->used += size;
    builder->record_count++;
    log_frame_fetch(builder->data + builder->used + LOG_FRAME_AHEAD);
    return at;
}

static void log_frame_expect_room(const struct log_frame_builder *builder, size_t extra,
                                  const struct log_record *record)
{
    assert(builder->used + extra + log_record_size(record->body.size + log_record_wide_size(record->timestamp_ms)) <=
           builder->capacity);
}

static size_t log_frame_put_raw(struct log_frame_builder *builder, const struct log_record *record)
{
    log_frame_expect_room(builder, 0, record);
    return log_frame_note(builder, log_record_put(builder->data + builder->used, record, log_frame_seed(builder)));
}

static void log_frame_take_run(struct log_frame_builder *builder, const struct log_run *run, uint32_t check)
{
    builder->run = *run;
    builder->run_check = check;
    log_runs_put(builder->runs, run, check);
}

void log_frame_put_run(struct log_frame_builder *builder, const struct log_run *run, uint32_t check, uint64_t index)
{
    assert(builder->used + LOG_FORMAT_RUN_SIZE <= builder->capacity);
    log_frame_take_run(builder, run, check);
    log_frame_note(builder,
                   log_record_put_run(builder->data + builder->used, run, index, check, log_frame_seed(builder)));
}

static bool log_frame_run_fits(const struct log_run *run, uint64_t group, uint64_t incarnation, const uint64_t *term)
{
    return run->group == group && run->incarnation == incarnation && (term == NULL || run->term == *term);
}

bool log_frame_resume_run(struct log_frame_builder *builder, uint64_t group, uint64_t incarnation, uint32_t check,
                          const uint64_t *term)
{
    if (log_frame_run_fits(&builder->run, group, incarnation, term)) {
        return true;
    }
    const struct log_run *run = log_runs_find(builder->runs, check);
    /* Two groups may have the same check. */
    bool fits = run != NULL && (log_frame_run_fits(run, group, incarnation, term) || MUTATED(LOG_RUN_BY_CHECK_ALONE));
    if (!fits) {
        return false;
    }
    builder->run = *run;
    builder->run_check = check;
    return true;
}

size_t log_frame_put(struct log_frame_builder *builder, struct log_record record)
{
    assert(builder->run.group != 0);
    record.group_check = builder->run_check;
    record.term_low = (uint32_t)builder->run.term;
    return log_frame_put_raw(builder, &record);
}

/* Under the run that is there. */
static struct log_record log_frame_entry(const struct log_frame_builder *builder, const struct log_frame_entry *entry)
{
    assert(builder->run.group != 0);
    return (struct log_record){
        .kind = LOG_RECORD_APPEND,
        .entry_type = entry->type,
        .timestamp_ms = entry->timestamp_ms,
        .index = entry->index,
        .group_check = builder->run_check,
        .term_low = (uint32_t)builder->run.term,
        .body = entry->payload,
    };
}

size_t log_frame_put_entry(struct log_frame_builder *builder, const struct log_frame_entry *entry)
{
    struct log_record record = log_frame_entry(builder, entry);
    return log_frame_put_raw(builder, &record);
}

size_t log_frame_put_opening(struct log_frame_builder *builder, const struct log_run *run, uint32_t check,
                             const struct log_frame_entry *entry)
{
    log_frame_take_run(builder, run, check);
    struct log_record record = log_frame_entry(builder, entry);
    log_frame_expect_room(builder, LOG_FORMAT_RUN_BODY_SIZE, &record);
    return log_frame_note(builder,
                          log_record_put_opening(builder->data + builder->used, run, &record, log_frame_seed(builder)));
}

size_t log_frame_seal(struct log_frame_builder *builder, const struct log_declaration *declaration)
{
    bool bare = log_frame_is_bare(builder);
    struct log_trailer trailer = {
        .durable_position = declaration->durable_position,
        .position = builder->place.position,
        .sequence = builder->place.sequence,
        .oldest_segment = declaration->oldest_segment,
        .record_count = builder->record_count + 1,
    };
    uint8_t body[LOG_RECORD_TRAILER_BODY_SIZE];
    log_record_put_trailer(body, &trailer);
    struct log_record record = {.kind = LOG_RECORD_TRAILER, .body = bytes_of(body, sizeof(body))};
    log_frame_put_raw(builder, &record);
    size_t length = log_format_align_block(builder->used);
    memset(builder->data + builder->used, 0, length - builder->used);
    struct log_frame_header header = {
        .place = builder->place,
        .length = (uint32_t)length,
        .content_size = (uint32_t)builder->used,
        .record_count = builder->record_count,
        .flags = bare ? LOG_FORMAT_FRAME_BARE : 0,
    };
    log_frame_put_header(builder->data, &header);
    builder->used = 0;
    return length;
}

void log_frame_cursor_open(struct log_frame_cursor *cursor, struct hf_bytes frame, uint64_t incarnation,
                           uint64_t offset)
{
    cursor->frame = frame;
    cursor->incarnation = incarnation;
    cursor->offset = offset;
    cursor->at = LOG_FORMAT_FRAME_HEADER_SIZE;
    cursor->record_count = 0;
    cursor->opened_at = 0;
    cursor->checked = false;
    cursor->trailer_seen = false;
    log_frame_forget_runs(cursor); /* what is in its slots need not be cleared */
}

static enum log_record_result log_frame_record_at(const struct log_frame_cursor *cursor, size_t at,
                                                  struct log_record *out, size_t *size_out)
{
    struct hf_bytes rest = bytes_of((const uint8_t *)cursor->frame.data + at, cursor->frame.size - at);
    if (cursor->checked || at == cursor->opened_at) {
        return log_record_decode(rest, out, size_out);
    }
    return log_record_get(rest, log_format_seed(cursor->incarnation, cursor->offset + at), out, size_out);
}

void log_frame_forget_runs(struct log_frame_cursor *cursor)
{
    cursor->run.group = 0;
    log_runs_clear(&cursor->runs);
}

static int log_frame_open_run(struct log_frame_cursor *cursor, const struct log_record *record)
{
    struct log_run run;
    int rc = log_record_get_run(record->kind == LOG_RECORD_RUN ? record->body : record->run, &run);
    if (rc != 0) {
        return rc;
    }
    uint32_t check = record->group_check;
    if (!cursor->checked && check != log_format_group_check(run.group, run.incarnation)) {
        return error_raise(HF_ECORRUPT, "a run that is not its group's");
    }
    cursor->run = run;
    cursor->run_check = check;
    log_runs_put(&cursor->runs, &run, check);
    return 0;
}

/* Whose is the record? */
static void log_frame_find_run(struct log_frame_cursor *cursor, const struct log_record *record)
{
    bool same = cursor->run.group != 0 && cursor->run_check == record->group_check;
    const struct log_run *run = same ? &cursor->run : log_runs_find(&cursor->runs, record->group_check);
    if (run == NULL || (uint32_t)run->term != record->term_low) {
        cursor->run.group = 0;
    } else if (!same) {
        cursor->run = *run;
        cursor->run_check = record->group_check;
    }
}

/* Is the body what the kind demands? */
static int log_frame_check_body(struct log_frame_cursor *cursor, const struct log_record *record)
{
    struct hf_hard_state state;
    struct hf_bytes name;
    uint64_t term = 0;
    switch (record->kind) {
    case LOG_RECORD_RUN:
        return log_frame_open_run(cursor, record);
    case LOG_RECORD_TRAILER:
        cursor->trailer_seen = true;
        return log_record_get_trailer(record->body, &cursor->trailer);
    case LOG_RECORD_HARD_STATE:
        return log_record_get_hard_state(record->body, &state);
    case LOG_RECORD_RESET:
    case LOG_RECORD_COMPACT:
        if (record->index == UINT64_MAX) {
            return error_raise(HF_ECORRUPT, "a floor that no index can follow");
        }
        return log_record_get_floor(record->body, &term, &name);
    case LOG_RECORD_APPEND:
    case LOG_RECORD_MOVED:
    case LOG_RECORD_TRUNCATE:
        return record->index != 0 ? 0 : error_raise(HF_ECORRUPT, "index 0 is no entry's");
    case LOG_RECORD_REMOVED:
    case LOG_RECORD_PADDING:
        return 0;
    default:
        if (record->ignorable) {
            return 0;
        }
        return error_raise(HF_EVERSION, "a record of kind %u, which this program does not know", record->kind);
    }
}

/* An append that opens its run is told as a run record, and then as an append. */
static int log_frame_tell_run(struct log_frame_cursor *cursor, struct log_record *record)
{
    int rc = log_frame_open_run(cursor, record);
    if (rc != 0) {
        return error_wrap(rc, "record at offset %" PRIu64, cursor->offset + cursor->at);
    }
    cursor->opened_at = cursor->at;
    *record = (struct log_record){.kind = LOG_RECORD_RUN,
                                  .index = record->index - 1,
                                  .group_check = record->group_check,
                                  .term_low = record->term_low,
                                  .body = record->run};
    return 0;
}

int log_frame_next(struct log_frame_cursor *cursor, struct log_record *out, size_t *at)
{
    if (cursor->trailer_seen) {
        return HF_ENOTFOUND;
    }
    size_t size = 0;
    if (log_frame_record_at(cursor, cursor->at, out, &size) != LOG_RECORD_OK) {
        return error_raise(HF_ECORRUPT, "checksum of the record at offset %" PRIu64, cursor->offset + cursor->at);
    }
    int rc = log_frame_check_body(cursor, out);
    if (rc != 0) {
        cursor->trailer_seen = false;
        return error_wrap(rc, "record at offset %" PRIu64, cursor->offset + cursor->at);
    }
    *at = cursor->at;
    if (out->run.size > 0 && cursor->opened_at != cursor->at) {
        return log_frame_tell_run(cursor, out);
    }
    if (out->kind >= LOG_RECORD_APPEND && out->kind <= LOG_RECORD_REMOVED) {
        log_frame_find_run(cursor, out);
    }
    cursor->at += size;
    cursor->record_count++;
    return 0;
}

bool log_frame_resynchronise(struct log_frame_cursor *cursor)
{
    struct log_record record;
    size_t size = 0;
    for (size_t at = cursor->at + 8; at + LOG_FORMAT_RECORD_HEADER_SIZE <= cursor->frame.size; at += 8) {
        const uint8_t *bytes = cursor->frame.data;
        if (bytes[at + 8] == 0 || bytes[at + 8] > LOG_RECORD_OPENING) {
            continue; /* no kind that we know: saves the checksum of most places */
        }
        if (log_frame_record_at(cursor, at, &record, &size) == LOG_RECORD_OK) {
            cursor->at = at;
            return true;
        }
    }
    cursor->at = cursor->frame.size;
    return false;
}

int log_frame_check(struct hf_bytes frame, const struct log_frame_header *header, struct log_trailer *trailer)
{
    struct log_frame_cursor cursor;
    struct log_record record;
    size_t at = 0;
    log_frame_cursor_open(&cursor, frame, header->place.incarnation, header->place.offset);
    int rc = 0;
    while (rc == 0) {
        rc = log_frame_next(&cursor, &record, &at);
        bool stray = rc == 0 && cursor.run.group == 0 && record.kind != LOG_RECORD_TRAILER &&
                     record.kind != LOG_RECORD_PADDING && !record.ignorable;
        if (stray) {
            return error_raise(HF_ECORRUPT, "a record without its run at offset %" PRIu64, cursor.offset + at);
        }
    }
    if (rc != HF_ENOTFOUND) {
        return rc;
    }
    if (cursor.record_count != header->record_count || cursor.trailer.record_count != header->record_count ||
        cursor.at != header->content_size || cursor.trailer.position != header->place.position ||
        cursor.trailer.sequence != header->place.sequence) {
        return error_raise(HF_ECORRUPT, "header and trailer of the frame at offset %" PRIu64 " disagree",
                           header->place.offset);
    }
    *trailer = cursor.trailer;
    return 0;
}

void log_frame_move(uint8_t *data, const struct log_frame_header *header, const struct log_place *place,
                    const struct log_declaration *declaration)
{
    struct log_frame_header moved = *header;
    moved.place = *place;
    size_t at = LOG_FORMAT_FRAME_HEADER_SIZE;
    for (uint32_t i = 0; i < header->record_count; i++) {
        assert(at + LOG_FORMAT_RECORD_HEADER_SIZE <= header->content_size);
        if (i + 1 == header->record_count) {
            struct log_trailer trailer = {.durable_position = declaration->durable_position,
                                          .oldest_segment = declaration->oldest_segment,
                                          .position = place->position,
                                          .sequence = place->sequence,
                                          .record_count = header->record_count};
            log_record_put_trailer(data + at + LOG_FORMAT_RECORD_HEADER_SIZE, &trailer);
        }
        log_record_reseal(data + at, log_format_seed(place->incarnation, place->offset + at));
        at += log_record_size(bytes_get_u32(data + at + 4));
    }
    log_frame_put_header(data, &moved);
}
