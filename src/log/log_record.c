#include "log/log_record.h"

#include <assert.h>

#include "base/checksum.h"
#include "base/error.h"

#define LOG_RECORD_CHECKSUM_FROM 4u

/* Four bytes and two: little-endian, 48 bits. */
static uint64_t log_record_get_timestamp(const uint8_t *source)
{
    return bytes_get_u32(source) | (uint64_t)bytes_get_u16(source + 4) << 32;
}

/* All but the checksum, the body and what a wide timestamp needs. Word by word, as the checksum reads it again at once:
 * see checksum.c. */
static void log_record_put_header(uint8_t *target, const struct log_record *record, uint8_t kind, size_t body_size)
{
    bool wide = log_record_wide_size(record->timestamp_ms) > 0;
    uint64_t flags = record->entry_type | (wide ? LOG_FORMAT_RECORD_WIDE : 0) |
                     (record->ignorable ? LOG_FORMAT_RECORD_IGNORABLE : 0);
    assert(body_size <= UINT32_MAX && record->entry_type <= LOG_FORMAT_RECORD_TYPE_MASK);
    bytes_put_u64(target, (uint64_t)body_size << 32);
    bytes_put_u64(target + 8, kind | flags << 8 | (wide ? 0 : record->timestamp_ms) << 16);
    bytes_put_u64(target + 16, record->index);
    bytes_put_u64(target + 24, record->group_check | (uint64_t)record->term_low << 32);
}

static void log_record_put_run_body(uint8_t *target, const struct log_run *run)
{
    bytes_put_u64(target, run->group);
    bytes_put_u64(target + 8, run->incarnation);
    bytes_put_u64(target + 16, run->number);
    bytes_put_u64(target + 24, run->term);
}

/* What stands in front of the payload is written, up to `ahead`; the payload and the padding follow. */
static size_t log_record_end(uint8_t *target, size_t ahead, struct hf_bytes payload, uint32_t seed)
{
    size_t end = ahead + payload.size;
    size_t size = log_format_align_record(end);
    uint32_t checksum = checksum_crc32c(seed, target + LOG_RECORD_CHECKSUM_FROM, ahead - LOG_RECORD_CHECKSUM_FROM);
    if (size != end) {
        bytes_put_u64(target + size - 8, 0); /* the padding; what of it is payload is written next */
    }
    bytes_put_u32(target, checksum_crc32c_copy(checksum, target + ahead, payload.data, payload.size));
    return size;
}

size_t log_record_put(uint8_t *target, const struct log_record *record, uint32_t seed)
{
    size_t wide_size = log_record_wide_size(record->timestamp_ms);
    log_record_put_header(target, record, record->kind, record->body.size + wide_size);
    if (wide_size > 0) {
        bytes_put_u64(target + LOG_FORMAT_RECORD_HEADER_SIZE, record->timestamp_ms);
    }
    return log_record_end(target, LOG_FORMAT_RECORD_HEADER_SIZE + wide_size, record->body, seed);
}

size_t log_record_put_opening(uint8_t *target, const struct log_run *run, const struct log_record *entry, uint32_t seed)
{
    size_t wide_size = log_record_wide_size(entry->timestamp_ms);
    uint8_t *body = target + LOG_FORMAT_RECORD_HEADER_SIZE;
    log_record_put_header(target, entry, LOG_RECORD_OPENING, wide_size + LOG_FORMAT_RUN_BODY_SIZE + entry->body.size);
    if (wide_size > 0) {
        bytes_put_u64(body, entry->timestamp_ms);
    }
    log_record_put_run_body(body + wide_size, run);
    return log_record_end(target, LOG_FORMAT_RUN_SIZE + wide_size, entry->body, seed);
}

size_t log_record_put_run(uint8_t *target, const struct log_run *run, uint64_t index, uint32_t check, uint32_t seed)
{
    struct log_record record = {.index = index, .group_check = check, .term_low = (uint32_t)run->term};
    log_record_put_header(target, &record, LOG_RECORD_RUN, LOG_FORMAT_RUN_BODY_SIZE);
    log_record_put_run_body(target + LOG_FORMAT_RECORD_HEADER_SIZE, run);
    log_record_reseal(target, seed);
    return LOG_FORMAT_RUN_SIZE;
}

void log_record_reseal(uint8_t *target, uint32_t seed)
{
    size_t covered = LOG_FORMAT_RECORD_HEADER_SIZE - LOG_RECORD_CHECKSUM_FROM + bytes_get_u32(target + 4);
    bytes_put_u32(target, checksum_crc32c(seed, target + LOG_RECORD_CHECKSUM_FROM, covered));
}

/* Into the run that it opens and the append that it is. One that is too short stays what it is. */
static void log_record_split_opening(struct log_record *record)
{
    if (record->body.size >= LOG_FORMAT_RUN_BODY_SIZE) {
        const uint8_t *bytes = record->body.data;
        record->kind = LOG_RECORD_APPEND;
        record->run = bytes_of(bytes, LOG_FORMAT_RUN_BODY_SIZE);
        record->body = bytes_of(bytes + LOG_FORMAT_RUN_BODY_SIZE, record->body.size - LOG_FORMAT_RUN_BODY_SIZE);
    }
}

enum log_record_result log_record_decode(struct hf_bytes bytes, struct log_record *out, size_t *size_out)
{
    const uint8_t *source = bytes.data;
    *size_out = 0;
    if (bytes.size < LOG_FORMAT_RECORD_HEADER_SIZE) {
        return LOG_RECORD_SHORT;
    }
    uint32_t body_size = bytes_get_u32(source + 4);
    uint64_t size = log_record_size(body_size);
    if (size > bytes.size) {
        return LOG_RECORD_SHORT;
    }
    *size_out = size;
    *out = (struct log_record){
        .kind = source[8],
        .entry_type = source[9] & LOG_FORMAT_RECORD_TYPE_MASK,
        .ignorable = (source[9] & LOG_FORMAT_RECORD_IGNORABLE) != 0,
        .timestamp_ms = log_record_get_timestamp(source + 10),
        .index = bytes_get_u64(source + 16),
        .group_check = bytes_get_u32(source + 24),
        .term_low = bytes_get_u32(source + 28),
        .body = bytes_of(source + LOG_FORMAT_RECORD_HEADER_SIZE, body_size),
    };
    bool good = true;
    if ((source[9] & LOG_FORMAT_RECORD_WIDE) != 0) {
        good = body_size >= 8;
        out->timestamp_ms = good ? bytes_get_u64(out->body.data) : 0;
        out->body = good ? bytes_of(source + LOG_FORMAT_RECORD_HEADER_SIZE + 8, body_size - 8) : out->body;
    }
    if (out->kind == LOG_RECORD_OPENING && good) {
        good = out->body.size >= LOG_FORMAT_RUN_BODY_SIZE;
        log_record_split_opening(out);
    }
    return good ? LOG_RECORD_OK : LOG_RECORD_BAD;
}

enum log_record_result log_record_get(struct hf_bytes bytes, uint32_t seed, struct log_record *out, size_t *size_out)
{
    enum log_record_result result = log_record_decode(bytes, out, size_out);
    if (result != LOG_RECORD_OK) {
        return result;
    }
    const uint8_t *source = bytes.data;
    size_t covered = LOG_FORMAT_RECORD_HEADER_SIZE - LOG_RECORD_CHECKSUM_FROM + (size_t)bytes_get_u32(source + 4);
    bool good = bytes_get_u32(source) == checksum_crc32c(seed, source + LOG_RECORD_CHECKSUM_FROM, covered);
    return good ? LOG_RECORD_OK : LOG_RECORD_BAD;
}

void log_record_put_trailer(uint8_t target[LOG_RECORD_TRAILER_BODY_SIZE], const struct log_trailer *trailer)
{
    bytes_put_u64(target, trailer->durable_position);
    bytes_put_u64(target + 8, trailer->position);
    bytes_put_u64(target + 16, trailer->sequence);
    bytes_put_u64(target + 24, trailer->oldest_segment);
    bytes_put_u64(target + 32, trailer->record_count); /* and four bytes that are 0 */
}

void log_record_put_hard_state(uint8_t target[LOG_RECORD_HARD_STATE_BODY_SIZE], struct hf_hard_state state)
{
    bytes_put_u64(target, state.term);
    bytes_put_u64(target + 8, state.vote);
    bytes_put_u64(target + 16, state.commit);
}

int log_record_get_run(struct hf_bytes body, struct log_run *out)
{
    if (body.size != LOG_FORMAT_RUN_BODY_SIZE) {
        return error_raise(HF_ECORRUPT, "impossible size of a run record");
    }
    const uint8_t *source = body.data; /* not by a cursor: where groups take turns there is one for every entry */
    *out = (struct log_run){.group = bytes_get_u64(source),
                            .incarnation = bytes_get_u64(source + 8),
                            .number = bytes_get_u64(source + 16),
                            .term = bytes_get_u64(source + 24)};
    if (out->group == 0 || out->group > HF_LOG_GROUP_MAX || out->number == 0) {
        return error_raise(HF_ECORRUPT, "impossible values in a run record");
    }
    return 0;
}

int log_record_get_trailer(struct hf_bytes body, struct log_trailer *out)
{
    struct cursor cursor = cursor_of(body);
    *out = (struct log_trailer){.durable_position = cursor_u64(&cursor)};
    out->position = cursor_u64(&cursor);
    out->sequence = cursor_u64(&cursor);
    out->oldest_segment = cursor_u64(&cursor);
    out->record_count = cursor_u32(&cursor);
    cursor_u32(&cursor);
    if (cursor_finish(&cursor, "trailer") != 0 || out->durable_position > out->position) {
        return error_raise(HF_ECORRUPT, "impossible values in a trailer");
    }
    return 0;
}

int log_record_get_hard_state(struct hf_bytes body, struct hf_hard_state *out)
{
    struct cursor cursor = cursor_of(body);
    *out = (struct hf_hard_state){.term = cursor_u64(&cursor)};
    out->vote = cursor_u64(&cursor);
    out->commit = cursor_u64(&cursor);
    if (cursor_finish(&cursor, "hard state") != 0) {
        return error_raise(HF_ECORRUPT, "impossible size of a hard state");
    }
    return 0;
}

int log_record_get_floor(struct hf_bytes body, uint64_t *term, struct hf_bytes *name)
{
    struct cursor cursor = cursor_of(body);
    *term = cursor_u64(&cursor);
    *name = cursor_bytes(&cursor, cursor.left);
    if (cursor_finish(&cursor, "floor") != 0 || name->size > HF_LOG_SNAPSHOT_NAME_SIZE_MAX) {
        return error_raise(HF_ECORRUPT, "impossible size of a floor record");
    }
    return 0;
}
