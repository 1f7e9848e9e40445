/* Reading entries: planned under the log's mutex (which entries, where, pins on what they lie in), fetched without it.
 * Cached entries are copied from the chunk they were built in; others are read from their segment, neighbours with one
 * read. Every record is verified: checksum (bound to segment and offset), kind, group, index, term. */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "log/log_state.h"

#define LOG_READER_SPAN_MAX (1u << 20) /* what one read of neighbours covers, unless one entry alone is larger */

struct log_reader_item {
    struct log_location location;
    uint64_t index;
    struct log_chunk *chunk;
    const uint8_t *cached; /* the record; NULL: on the device */
};

struct log_reader {
    struct hf_log *log;
    uint64_t group;
    uint64_t incarnation;
    bool verify;
    struct log_reader_item *items;
    size_t count;
    size_t capacity;
    uint64_t payload_bytes;
    struct hf_entry *entries;
    uint8_t *payloads; /* behind the entries, in the same memory */
    size_t payload_used;
    uint8_t *scratch; /* what a read of neighbours brought */
    size_t scratch_capacity;
    const struct log_reader_item *failed; /* the damaged one, when HF_ECORRUPT is returned */
};

/* ---- planning: the mutex is held ---- */

static void log_reader_add(struct log_reader *reader, uint64_t index, const struct log_location *location)
{
    if (reader->count == reader->capacity) {
        reader->capacity = reader->capacity == 0 ? 16 : reader->capacity * 2;
        reader->items = memory_resize(reader->items, reader->capacity * sizeof(struct log_reader_item));
    }
    struct log_reader_item *item = &reader->items[reader->count++];
    *item = (struct log_reader_item){.location = *location, .index = index};
    reader->payload_bytes += location->size;
}

/* The items of one place are neighbours, so that each chunk and segment is pinned once per run of items. */
static int log_reader_pin(struct log_reader *reader, size_t at)
{
    struct hf_log *log = reader->log;
    struct log_reader_item *item = &reader->items[at];
    const struct log_reader_item *before = at > 0 ? item - 1 : NULL;
    item->cached =
        log_tail_cache_find(&log->cache, item->location.segment->header.number, item->location.offset, &item->chunk);
    if (item->cached != NULL) {
        if (before == NULL || before->chunk != item->chunk) {
            log_tail_cache_pin(item->chunk);
        }
        return 0;
    }
    item->chunk = NULL;
    if (before != NULL && before->cached == NULL && before->location.segment == item->location.segment) {
        return 0;
    }
    return log_segment_pin(&log->segments, item->location.segment, log->io, log->directory);
}

static void log_reader_unpin(struct log_reader *reader, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct log_reader_item *item = &reader->items[i];
        const struct log_reader_item *before = i > 0 ? item - 1 : NULL;
        if (item->cached != NULL) {
            if (before == NULL || before->chunk != item->chunk) {
                log_tail_cache_unpin(&reader->log->cache, item->chunk);
            }
        } else if (before == NULL || before->cached != NULL || before->location.segment != item->location.segment) {
            log_segment_unpin(item->location.segment);
        }
    }
}

static int log_reader_check_range(const struct log_group *group, uint64_t id, uint64_t low)
{
    uint64_t floor = group != NULL ? group->bounds.floor : 0;
    uint64_t last = group != NULL ? group->bounds.last : 0;
    if (low <= floor) {
        return error_raise(HF_ECOMPACTED, "group %" PRIu64 ": index %" PRIu64 " lies below the first, %" PRIu64, id,
                           low, floor + 1);
    }
    if (low > last) {
        return error_raise(HF_EUNAVAILABLE, "group %" PRIu64 ": index %" PRIu64 " lies beyond the last, %" PRIu64, id,
                           low, last);
    }
    return 0;
}

/* low ≤ last here; an exclusive high of 0 means that there is none. */
static int log_reader_plan(struct log_reader *reader, const struct log_group *group, uint64_t low, uint64_t high,
                           uint64_t bytes_max, size_t count_max)
{
    uint64_t last = high == 0 || high - 1 > group->bounds.last ? group->bounds.last : high - 1;
    struct log_location location;
    for (uint64_t index = low;; index++) {
        if (!log_index_find(&group->index, index, &location)) {
            if (reader->count > 0) {
                break; /* what lies before the hole is good */
            }
            return error_raise(HF_ECORRUPT, "group %" PRIu64 ": entry %" PRIu64 " was lost to damage", group->id,
                               index);
        }
        bool full = reader->count > 0 && bytes_max != 0 && reader->payload_bytes + location.size > bytes_max;
        if (full) {
            break;
        }
        log_reader_add(reader, index, &location);
        int rc = log_reader_pin(reader, reader->count - 1);
        if (rc != 0) {
            reader->count--;
            return rc;
        }
        if (index == last || (count_max != 0 && reader->count == count_max)) {
            break;
        }
    }
    return 0;
}

/* ---- fetching: without the mutex ---- */

static int log_reader_verify(const struct log_reader *reader, const struct log_reader_item *item, const uint8_t *bytes,
                             struct log_record *record)
{
    size_t size = 0;
    uint64_t offset = item->location.offset;
    uint32_t seed = log_format_seed(item->location.segment->header.incarnation, offset);
    enum log_record_result result =
        log_record_get(bytes_of(bytes, log_record_size(item->location.size)), seed, record, &size);
    bool right = (result == LOG_RECORD_OK || (result == LOG_RECORD_BAD && !reader->verify)) &&
                 size == log_record_size(item->location.size) && record->index == item->index &&
                 (record->kind == LOG_RECORD_APPEND || record->kind == LOG_RECORD_MOVED) &&
                 record->term_low == (uint32_t)item->location.term &&
                 record->group_check == log_format_group_check(reader->group, reader->incarnation);
    if (!right) {
        return error_raise(HF_ECORRUPT,
                           "log segment %016" PRIx64 ".log at offset %" PRIu64 ": group %" PRIu64 ", index %" PRIu64
                           ", term %" PRIu64 " is damaged",
                           item->location.segment->header.number, offset, reader->group, item->index,
                           item->location.term);
    }
    return 0;
}

static void log_reader_take(struct log_reader *reader, const struct log_reader_item *item,
                            const struct log_record *record)
{
    uint8_t *payload = reader->payloads + reader->payload_used;
    if (record->body.size > 0) {
        memcpy(payload, record->body.data, record->body.size);
    }
    reader->payload_used += record->body.size;
    reader->entries[item - reader->items] = (struct hf_entry){
        .index = item->index,
        .term = item->location.term,
        .timestamp_ms = record->timestamp_ms,
        .type = (enum hf_entry_type)record->entry_type,
        .payload = bytes_of(payload, record->body.size),
    };
}

/* Items [at, end) lie side by side enough in one segment to be read at once. */
static size_t log_reader_span(const struct log_reader *reader, size_t at)
{
    const struct log_location *first = &reader->items[at].location;
    uint64_t begin = first->offset;
    size_t end = at + 1;
    while (end < reader->count) {
        const struct log_reader_item *item = &reader->items[end];
        uint64_t stop = item->location.offset + log_record_size(item->location.size);
        if (item->cached != NULL || item->location.segment != first->segment || item->location.offset < begin ||
            stop - begin > LOG_READER_SPAN_MAX) {
            break;
        }
        end++;
    }
    return end;
}

static void log_reader_reserve_scratch(struct log_reader *reader, uint64_t size)
{
    if (size > reader->scratch_capacity) {
        reader->scratch = memory_resize(reader->scratch, size);
        reader->scratch_capacity = size;
    }
}

/* Past the page cache: bytes that look bad may only be bad there. *out is the caller's to free. */
static int log_reader_read_direct(struct log_reader *reader, const struct log_location *location, uint8_t **out)
{
    struct hf_log *log = reader->log;
    uint64_t begin = location->offset & ~(uint64_t)(LOG_FORMAT_BLOCK_SIZE - 1);
    uint64_t needed = location->offset + log_record_size(location->size) - begin;
    size_t span = log_format_align_block(needed);
    struct file *file = NULL;
    size_t got = 0;
    char name[LOG_FORMAT_NAME_SIZE];
    log_format_segment_name(name, location->segment->header.number);
    char *path = text_format("%s/%s", log->directory, name);
    *out = aligned_alloc(LOG_FORMAT_BLOCK_SIZE, span);
    int rc = *out != NULL ? 0 : error_raise(HF_ENOMEM, "no memory for %zu bytes of the log", span);
    if (rc == 0) {
        rc = file_open(log->io, path, FILE_READ | FILE_DIRECT, &file);
    }
    if (rc == 0) {
        rc = file_read(file, begin, *out, span, &got);
    }
    if (rc == 0) {
        memset(*out + got, 0, span - got);
    }
    file_close(file);
    free(path);
    return rc;
}

static int log_reader_fetch_one(struct log_reader *reader, const struct log_reader_item *item, const uint8_t *bytes)
{
    struct log_record record;
    uint8_t *direct = NULL;
    int rc = log_reader_verify(reader, item, bytes, &record);
    if (rc != 0 && item->cached == NULL) {
        rc = log_reader_read_direct(reader, &item->location, &direct);
        if (rc == 0) {
            rc = log_reader_verify(reader, item, direct + item->location.offset % LOG_FORMAT_BLOCK_SIZE, &record);
        }
    }
    if (rc == 0) {
        log_reader_take(reader, item, &record);
    } else {
        reader->failed = item;
    }
    free(direct);
    return rc;
}

static int log_reader_fetch_span(struct log_reader *reader, size_t at, size_t end)
{
    const struct log_location *first = &reader->items[at].location;
    const struct log_location *last = &reader->items[end - 1].location;
    uint64_t size = last->offset + log_record_size(last->size) - first->offset;
    size_t got = 0;
    log_reader_reserve_scratch(reader, size);
    int rc = file_read(first->segment->reader, first->offset, reader->scratch, size, &got);
    if (rc != 0) {
        return error_wrap(rc, "reading group %" PRIu64, reader->group);
    }
    memset(reader->scratch + got, 0, size - got);
    uint64_t begin = first->offset;
    for (size_t i = at; i < end && rc == 0; i++) {
        rc = log_reader_fetch_one(reader, &reader->items[i],
                                  reader->scratch + (reader->items[i].location.offset - begin));
    }
    return rc;
}

static int log_reader_fetch(struct log_reader *reader)
{
    size_t entries_size = reader->count * sizeof(struct hf_entry);
    reader->entries = memory_resize(NULL, entries_size + reader->payload_bytes);
    reader->payloads = (uint8_t *)reader->entries + entries_size;
    int rc = 0;
    for (size_t at = 0; at < reader->count && rc == 0;) {
        const struct log_reader_item *item = &reader->items[at];
        size_t end = item->cached != NULL ? at + 1 : log_reader_span(reader, at);
        rc = item->cached != NULL ? log_reader_fetch_one(reader, item, item->cached)
                                  : log_reader_fetch_span(reader, at, end);
        at = end;
    }
    return rc;
}

/* Damage met by a read closes the group, as damage met at the start does. The mutex is held. */
static void log_reader_report(struct log_reader *reader, const struct log_reader_item *item)
{
    struct log_group *group = log_groups_find(&reader->log->groups, reader->group);
    struct hf_log_damage damage =
        log_damage_of(reader->group, item->index, item->location.term, item->location.segment->header.number,
                      item->location.offset, "checksum, group, index or term of the entry");
    struct log_location location;
    bool current = group != NULL && log_index_find(&group->index, item->index, &location) &&
                   location.segment == item->location.segment && location.offset == item->location.offset;
    if (current) {
        damage.commit = group->hard_state.commit;
        group->damaged = true;
        log_damage_add(&reader->log->damages, &damage);
    }
}

static void log_reader_close(struct log_reader *reader)
{
    free(reader->items);
    free(reader->entries);
    free(reader->scratch);
}

int hf_log_read(struct hf_log *log, uint64_t group_id, uint64_t low, uint64_t high, uint64_t bytes_max,
                size_t count_max, struct hf_log_view *out)
{
    struct log_reader reader = {.log = log, .group = group_id, .verify = !log->options.verify_on_read_off};
    *out = (struct hf_log_view){0};
    if (high != 0 && low > high) {
        return error_raise(HF_EINVALID, "the range %" PRIu64 " … %" PRIu64 " runs backwards", low, high);
    }
    if (low == high) {
        return 0;
    }
    mutex_lock(&log->mutex);
    const struct log_group *group = log_groups_find(&log->groups, group_id);
    int rc = log_reader_check_range(group, group_id, low);
    if (rc == 0) {
        reader.incarnation = group->incarnation;
        rc = log_reader_plan(&reader, group, low, high, bytes_max, count_max);
    }
    size_t pinned = reader.count;
    mutex_unlock(&log->mutex);
    if (rc == 0) {
        rc = log_reader_fetch(&reader);
    }
    mutex_lock(&log->mutex);
    if (rc == HF_ECORRUPT && reader.failed != NULL) {
        log_reader_report(&reader, reader.failed);
    }
    log_reader_unpin(&reader, pinned);
    mutex_unlock(&log->mutex);
    if (rc == 0) {
        *out = (struct hf_log_view){.entries = reader.entries, .count = reader.count, .memory = reader.entries};
        reader.entries = NULL;
    }
    log_reader_close(&reader);
    return rc;
}

void hf_log_view_close(struct hf_log_view *view)
{
    free(view->memory);
    *view = (struct hf_log_view){0};
}
