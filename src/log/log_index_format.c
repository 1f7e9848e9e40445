#include "log/log_index_format.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/checksum.h"
#include "base/error.h"

#define LOG_INDEX_FORMAT_MAGIC         UINT64_C(0x584449474F4C4648) /* "HFLOGIDX" */
#define LOG_INDEX_FORMAT_CHECKSUM_FROM 12u

/* ---- header ---- */

static uint64_t *log_index_format_field(struct log_index_summary *summary, size_t at)
{
    uint64_t *fields[] = {
        &summary->number,
        &summary->incarnation,
        &summary->log_id,
        &summary->position_first,
        &summary->sequence_first,
        &summary->position_end,
        &summary->sequence_last,
        &summary->offset_end,
        &summary->data_position_end,
        &summary->data_sequence_last,
        &summary->data_offset_end,
        &summary->durable_position,
        &summary->oldest_segment,
        &summary->tables_size,
        &summary->slot_count,
    };
    return at < sizeof(fields) / sizeof(fields[0]) ? fields[at] : NULL;
}

void log_index_format_put_header(uint8_t *target, const struct log_index_summary *summary)
{
    struct log_index_summary copy = *summary;
    uint64_t *field = NULL;
    memset(target, 0, LOG_INDEX_HEADER_SIZE);
    bytes_put_u64(target, LOG_INDEX_FORMAT_MAGIC);
    bytes_put_u32(target + 12, LOG_INDEX_VERSION);
    for (size_t i = 0; (field = log_index_format_field(&copy, i)) != NULL; i++) {
        bytes_put_u64(target + 16 + i * 8, *field);
    }
    bytes_put_u32(target + 136, summary->tables_checksum);
    bytes_put_u32(target + 8, checksum_crc32c(0, target + LOG_INDEX_FORMAT_CHECKSUM_FROM,
                                              LOG_INDEX_HEADER_SIZE - LOG_INDEX_FORMAT_CHECKSUM_FROM));
}

static bool log_index_format_is_possible(const struct log_index_summary *summary)
{
    bool ascending =
        summary->position_first <= summary->data_position_end && summary->data_position_end <= summary->position_end &&
        summary->sequence_first <= summary->sequence_last + 1 &&
        summary->data_sequence_last <= summary->sequence_last && summary->data_offset_end <= summary->offset_end &&
        summary->data_offset_end >= LOG_FORMAT_SEGMENT_HEADER_SIZE;
    uint64_t pages = log_index_format_page_count(summary->slot_count);
    return ascending && summary->tables_size <= LOG_INDEX_TABLES_SIZE_MAX &&
           summary->slot_count <= LOG_INDEX_SLOTS_MAX && summary->tables_size >= pages * 8;
}

int log_index_format_get_header(const uint8_t *source, struct log_index_summary *out)
{
    uint64_t *field = NULL;
    *out = (struct log_index_summary){0};
    if (bytes_get_u64(source) != LOG_INDEX_FORMAT_MAGIC) {
        return error_raise(HF_ECORRUPT, "no header of an index file");
    }
    uint32_t checksum = checksum_crc32c(0, source + LOG_INDEX_FORMAT_CHECKSUM_FROM,
                                        LOG_INDEX_HEADER_SIZE - LOG_INDEX_FORMAT_CHECKSUM_FROM);
    if (bytes_get_u32(source + 8) != checksum) {
        return error_raise(HF_ECORRUPT, "checksum of the header of an index file");
    }
    uint32_t version = bytes_get_u32(source + 12);
    if (version != LOG_INDEX_VERSION) {
        return error_raise(HF_EVERSION, "the index file has version %" PRIu32 ", this program knows %u", version,
                           LOG_INDEX_VERSION);
    }
    for (size_t i = 0; (field = log_index_format_field(out, i)) != NULL; i++) {
        *field = bytes_get_u64(source + 16 + i * 8);
    }
    out->tables_checksum = bytes_get_u32(source + 136);
    return log_index_format_is_possible(out) ? 0 : error_raise(HF_ECORRUPT, "impossible values in an index file");
}

uint32_t log_index_format_tables_checksum(uint64_t incarnation, struct hf_bytes tables)
{
    return checksum_crc32c(log_format_seed(incarnation, LOG_INDEX_HEADER_SIZE), tables.data, tables.size);
}

/* ---- pages ---- */

void log_index_format_put_page(uint8_t *target, uint64_t incarnation, uint64_t page_offset,
                               const struct log_slot *slots, uint32_t count)
{
    assert(count <= LOG_INDEX_PAGE_SLOTS);
    memset(target, 0, LOG_INDEX_PAGE_SIZE);
    bytes_put_u32(target + 4, count);
    for (uint32_t i = 0; i < count; i++) {
        bytes_put_u32(target + 8 + i * 8, slots[i].offset_eighth);
        bytes_put_u32(target + 12 + i * 8, slots[i].size);
    }
    bytes_put_u32(target,
                  checksum_crc32c(log_format_seed(incarnation, page_offset), target + 4, LOG_INDEX_PAGE_SIZE - 4));
}

int log_index_format_get_page(const uint8_t *source, uint64_t incarnation, uint64_t page_offset,
                              struct log_slot out[LOG_INDEX_PAGE_SLOTS], uint32_t *count)
{
    uint32_t seed = log_format_seed(incarnation, page_offset);
    *count = bytes_get_u32(source + 4);
    if (bytes_get_u32(source) != checksum_crc32c(seed, source + 4, LOG_INDEX_PAGE_SIZE - 4) ||
        *count > LOG_INDEX_PAGE_SLOTS) {
        *count = 0;
        return error_raise(HF_ECORRUPT, "checksum of a page of an index file at offset %" PRIu64, page_offset);
    }
    for (uint32_t i = 0; i < *count; i++) {
        out[i] = (struct log_slot){.offset_eighth = bytes_get_u32(source + 8 + i * 8),
                                   .size = bytes_get_u32(source + 12 + i * 8)};
    }
    return 0;
}

/* ---- items ---- */

int log_index_format_open_cursor(struct log_index_cursor *cursor, const struct log_index_summary *summary,
                                 struct hf_bytes tables)
{
    uint64_t sums_size = log_index_format_page_count(summary->slot_count) * 8;
    if (tables.size != summary->tables_size || tables.size < sums_size) {
        return error_raise(HF_ECORRUPT, "the tables of an index file have an impossible size");
    }
    *cursor = (struct log_index_cursor){.bytes = cursor_of(tables), .slot_count = summary->slot_count};
    (void)cursor_bytes(&cursor->bytes, (size_t)sums_size);
    return 0;
}

struct log_term_run log_index_format_term_run(const struct log_index_item *item, uint32_t at)
{
    assert(at < item->term_count);
    return (struct log_term_run){.index = bytes_get_u64(item->terms + (size_t)at * 16),
                                 .term = bytes_get_u64(item->terms + (size_t)at * 16 + 8)};
}

static bool log_index_format_get_run(struct log_index_cursor *cursor, struct log_index_item *out)
{
    out->run.group = cursor_u64(&cursor->bytes);
    out->run.incarnation = cursor_u64(&cursor->bytes);
    out->run.number = cursor_u64(&cursor->bytes);
    out->run_last = cursor_u64(&cursor->bytes);
    out->index = cursor_u64(&cursor->bytes);
    cursor->run = out->run;
    return out->run.group != 0 && out->run.group <= HF_LOG_GROUP_MAX && out->run.incarnation != 0 &&
           out->run.number != 0 && out->run_last >= out->run.number;
}

static bool log_index_format_get_block(struct log_index_cursor *cursor, struct log_index_item *out)
{
    out->index = cursor_u64(&cursor->bytes);
    out->count = cursor_u64(&cursor->bytes);
    out->body_bytes = cursor_u64(&cursor->bytes);
    out->slot_first = cursor->slot_next;
    bool possible = out->index > 0 && out->count > 0 && out->count - 1 <= UINT64_MAX - out->index &&
                    out->count <= cursor->slot_count - cursor->slot_next && out->term_count > 0 &&
                    out->term_count <= out->count && (uint64_t)out->term_count * 16 <= cursor->bytes.left;
    if (!possible) {
        return false;
    }
    cursor->slot_next += out->count;
    out->terms = cursor_bytes(&cursor->bytes, (size_t)out->term_count * 16).data;
    uint64_t last = out->index + (out->count - 1);
    struct log_term_run before = log_index_format_term_run(out, 0);
    possible = before.index == out->index;
    for (uint32_t i = 1; i < out->term_count && possible; i++) {
        struct log_term_run run = log_index_format_term_run(out, i);
        possible = run.index > before.index && run.index <= last && run.term != before.term;
        before = run;
    }
    return possible;
}

static bool log_index_format_get_floor(struct log_index_cursor *cursor, struct log_index_item *out, uint32_t name_size)
{
    out->index = cursor_u64(&cursor->bytes);
    out->term = cursor_u64(&cursor->bytes);
    if (name_size > HF_LOG_SNAPSHOT_NAME_SIZE_MAX || out->index == UINT64_MAX) {
        return false;
    }
    out->name = cursor_bytes(&cursor->bytes, name_size);
    (void)cursor_bytes(&cursor->bytes, log_format_align_record(name_size) - name_size);
    return true;
}

static bool log_index_format_get_item(struct log_index_cursor *cursor, struct log_index_item *out, uint32_t detail)
{
    if (out->kind == LOG_RECORD_RUN) {
        return log_index_format_get_run(cursor, out);
    }
    if (cursor->run.group == 0) {
        return false; /* of no group */
    }
    switch (out->kind) {
    case LOG_RECORD_APPEND:
    case LOG_RECORD_MOVED:
        out->term_count = detail;
        return log_index_format_get_block(cursor, out);
    case LOG_RECORD_TRUNCATE:
        out->index = cursor_u64(&cursor->bytes);
        return out->index != 0;
    case LOG_RECORD_HARD_STATE:
        out->index = cursor_u64(&cursor->bytes);
        out->hard_state.term = cursor_u64(&cursor->bytes);
        out->hard_state.vote = cursor_u64(&cursor->bytes);
        out->hard_state.commit = cursor_u64(&cursor->bytes);
        return true;
    case LOG_RECORD_RESET:
    case LOG_RECORD_COMPACT:
        return log_index_format_get_floor(cursor, out, detail);
    default:
        return out->kind == LOG_RECORD_REMOVED;
    }
}

int log_index_format_next(struct log_index_cursor *cursor, struct log_index_item *out)
{
    if (cursor->bytes.left == 0) {
        return cursor->slot_next == cursor->slot_count ? HF_ENOTFOUND
                                                       : error_raise(HF_ECORRUPT, "an index file has too many slots");
    }
    *out = (struct log_index_item){.kind = cursor_u32(&cursor->bytes)};
    uint32_t detail = cursor_u32(&cursor->bytes);
    out->run = cursor->run;
    bool possible = log_index_format_get_item(cursor, out, detail);
    return possible && !cursor->bytes.failed ? 0 : error_raise(HF_ECORRUPT, "impossible values in an index file");
}
