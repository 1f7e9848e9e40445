/* Reading entries: planned under the log's mutex (which entries, where, pins on what they lie in), fetched without it.
 * Cached entries are copied from the chunk they were built in; others are read from their segment, neighbours with one
 * read, and the view keeps what was read. The places of entries in cold blocks are read from the index file first; when
 * that is damaged, from the segment itself. Every record is verified: checksum (bound to segment and offset), kind,
 * group, index, term. */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/mutation.h"
#include "base/trace.h"
#include "log/log_index_build.h"
#include "log/log_state.h"
#include "log/log_view.h"

#define LOG_READER_SPAN_MAX     (1u << 20)  /* what one read of neighbours covers, unless one entry alone is larger */
#define LOG_READER_GAP_MAX      (64u << 10) /* of other groups' records between neighbours */
#define LOG_READER_EXPECTED_MAX 16384u      /* entries for which room is made before they were found */
#define LOG_READER_ROUND_MAX    1024u       /* entries planned at once; between rounds the mutex is free */

struct log_reader_item {
    struct log_location location; /* offset 0: its slot is still to be read */
    uint64_t index;
    struct log_chunk *chunk;
    const uint8_t *cached; /* the record; NULL: on the device */
    bool probed;           /* the location came from an index file */
    bool keeps_span;       /* of the first of a span: the view keeps the bytes as they were read */
    uint32_t span_end;     /* of the first of a span: the item behind its last */
};

struct log_reader {
    struct hf_log *log;
    uint64_t group;
    uint64_t incarnation;
    uint32_t group_check; /* of both */
    uint64_t rewrites;
    bool verify;
    uint64_t bytes_max; /* 0: no limit */
    uint64_t payload_bytes;

    struct log_reader_item *items; /* of this round */
    size_t item_capacity;
    size_t planned; /* items that hold pins */
    size_t count;   /* items that are wanted */
    bool ended;     /* no further round */
    struct log_reader_item few[4];

    struct hf_entry *entries;
    size_t entry_count;
    size_t entry_capacity;
    struct log_view_block *blocks;
    uint8_t *copies; /* where payloads are copied to */
    uint8_t *scratch;
    size_t scratch_capacity;
    const struct log_reader_item *failed; /* the damaged one, when HF_ECORRUPT is returned */
    struct log_segment *broken;           /* its index file is damaged */
};

static uint8_t *log_reader_new_piece(struct log_reader *reader, size_t size)
{
    return log_view_take(&reader->blocks, size, reader->ended);
}

/* ---- planning: the mutex is held ---- */

static void log_reader_add(struct log_reader *reader, uint64_t index, const struct log_location *location)
{
    if (reader->count == reader->item_capacity) {
        bool few = reader->items == reader->few;
        reader->item_capacity *= 4;
        reader->items =
            memory_resize(few ? NULL : reader->items, reader->item_capacity * sizeof(struct log_reader_item));
        if (few) {
            memcpy(reader->items, reader->few, sizeof(reader->few));
        }
    }
    reader->items[reader->count++] =
        (struct log_reader_item){.location = *location, .index = index, .probed = location->offset == 0};
}

/* The items of one place are neighbours, so that each chunk and segment is pinned once per run of items. */
static int log_reader_pin(struct log_reader *reader, size_t at)
{
    struct hf_log *log = reader->log;
    struct log_reader_item *item = &reader->items[at];
    const struct log_reader_item *before = at > 0 ? item - 1 : NULL;
    if (item->location.segment->memory != NULL) {
        item->cached = item->location.segment->memory + item->location.offset;
        item->location.segment->pins++;
        return 0;
    }
    if (!item->probed) {
        item->cached = log_tail_cache_find(&log->cache, item->location.segment->header.number, item->location.offset,
                                           &item->chunk);
    }
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
        if (item->location.segment->memory != NULL) {
            log_segment_unpin(item->location.segment);
        } else if (item->cached != NULL) {
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

/* The next round, from `index` to `last`. What lies before a hole is good. */
static int log_reader_plan(struct log_reader *reader, const struct log_group *group, uint64_t index, uint64_t last,
                           size_t count_max)
{
    struct log_location location;
    uint64_t payload_bytes = reader->payload_bytes;
    size_t hint = group->index.count;
    reader->planned = reader->count = 0;
    for (;; index++) {
        if (!log_index_find_near(&group->index, index, &hint, &location)) {
            reader->ended = true;
            return reader->count + reader->entry_count > 0
                       ? 0
                       : error_raise(HF_ECORRUPT, "group %" PRIu64 ": entry %" PRIu64 " was lost to damage", group->id,
                                     index);
        }
        bool first = reader->count + reader->entry_count == 0;
        payload_bytes += location.size;
        if (!first && reader->bytes_max != 0 && payload_bytes > reader->bytes_max) {
            reader->ended = true;
            return 0;
        }
        log_reader_add(reader, index, &location);
        int rc = log_reader_pin(reader, reader->count - 1);
        if (rc != 0) {
            reader->count--;
            return rc;
        }
        reader->planned = reader->count;
        reader->ended = index == last || reader->entry_count + reader->count == count_max;
        if (reader->ended || reader->count == LOG_READER_ROUND_MAX) {
            return 0;
        }
    }
}

/* ---- fetching: without the mutex ---- */

/* bytes: at least log_record_entry_size of the item's; where the record is in memory they may end with it. */
static int log_reader_verify(const struct log_reader *reader, const struct log_reader_item *item, const uint8_t *bytes,
                             struct log_record *record)
{
    size_t size = 0;
    uint64_t offset = item->location.offset;
    uint32_t seed = log_format_seed(item->location.segment->header.incarnation, offset);
    enum log_record_result result =
        log_record_get(bytes_of(bytes, log_record_entry_size(item->location.size)), seed, record, &size);
    bool right =
        (result == LOG_RECORD_OK || (result == LOG_RECORD_BAD && (!reader->verify || MUTATED(LOG_READ_UNVERIFIED)))) &&
        record->body.size + log_record_wide_size(record->timestamp_ms) == item->location.size &&
        size == log_record_size(item->location.size + record->run.size) && record->index == item->index &&
        (record->kind == LOG_RECORD_APPEND || record->kind == LOG_RECORD_MOVED) &&
        record->term_low == (uint32_t)item->location.term && record->group_check == reader->group_check;
    if (MUTATED(LOG_INDEX_SLOT_BELIEVED) && item->probed) {
        right = result == LOG_RECORD_OK;
    }
    if (!right) {
        return error_raise(HF_ECORRUPT,
                           "log segment %016" PRIx64 ".log at offset %" PRIu64 ": group %" PRIu64 ", index %" PRIu64
                           ", term %" PRIu64 " is damaged",
                           item->location.segment->header.number, offset, reader->group, item->index,
                           item->location.term);
    }
    return 0;
}

/* The record of an item is right. payload: where it lies for as long as the view does. */
static void log_reader_take(struct log_reader *reader, const struct log_reader_item *item,
                            const struct log_record *record, const uint8_t *payload)
{
    reader->entries[reader->entry_count++] = (struct hf_entry){
        .index = item->index,
        .term = item->location.term,
        .timestamp_ms = record->timestamp_ms,
        .type = (enum hf_entry_type)record->entry_type,
        .payload = bytes_of(payload, record->body.size),
    };
}

static void log_reader_copy(struct log_reader *reader, const struct log_reader_item *item,
                            const struct log_record *record)
{
    if (record->body.size > 0) {
        memcpy(reader->copies, record->body.data, record->body.size);
    }
    log_reader_take(reader, item, record, reader->copies);
    reader->copies += record->body.size;
}

/* Items [at, end) lie side by side enough in one segment to be read at once. *bodies: the bytes of their bodies. */
static size_t log_reader_span(const struct log_reader *reader, size_t at, uint64_t *bodies)
{
    const struct log_location *first = &reader->items[at].location;
    uint64_t begin = first->offset;
    size_t end = at + 1;
    *bodies = first->size;
    while (end < reader->count) {
        const struct log_reader_item *item = &reader->items[end];
        uint64_t stop = item->location.offset + log_record_size(item->location.size);
        const struct log_location *before = &reader->items[end - 1].location;
        uint64_t before_stop = before->offset + log_record_size(before->size);
        if (item->cached != NULL || item->location.segment != first->segment || item->location.offset < before_stop ||
            item->location.offset - before_stop > LOG_READER_GAP_MAX || stop - begin > LOG_READER_SPAN_MAX) {
            break;
        }
        *bodies += item->location.size;
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
    uint64_t needed = location->offset + log_record_entry_size(location->size) - begin;
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

/* The slots of a whole segment, from its frames: for when its index file cannot be believed. */
static int log_reader_rebuild(struct log_reader *reader, struct log_segment *segment, struct log_index_build *build)
{
    struct hf_log *log = reader->log;
    const struct log_index_summary *summary = &segment->index_file->summary;
    struct log_index_source source = {
        .io = log->io, .directory = log->directory, .header = segment->header, .offset_end = summary->offset_end};
    uint64_t bad_offset = 0;
    reader->broken = segment;
    int rc = log_index_build_segment(build, &source, &bad_offset);
    if (rc == 0 && build->summary.slot_count != summary->slot_count) {
        log_index_build_close(build);
        rc = error_raise(HF_ECORRUPT, "log segment %016" PRIx64 ".log and its index file disagree",
                         segment->header.number);
    }
    return rc;
}

/* What its slot promised is not there. Is the slot wrong, or the record? */
static int log_reader_doubt_slot(struct log_reader *reader, struct log_reader_item *item)
{
    struct log_index_build build;
    int rc = log_reader_rebuild(reader, item->location.segment, &build);
    if (rc != 0) {
        reader->broken = NULL; /* the segment is damaged; its index file need not be */
        return rc;
    }
    const struct log_slot *slot = &build.slots[item->location.file_slot];
    uint64_t offset = (uint64_t)slot->offset_eighth * 8;
    bool wrong = offset != item->location.offset || slot->size != item->location.size;
    item->location.offset = offset;
    item->location.size = slot->size;
    item->probed = false;
    reader->broken = wrong ? reader->broken : NULL;
    log_index_build_close(&build);
    return wrong ? 0 : HF_ECORRUPT;
}

/* The long way to one record: past the page cache, and past the index file. */
static int log_reader_fetch_anew(struct log_reader *reader, struct log_reader_item *item)
{
    struct log_record record;
    uint8_t *direct = NULL;
    int rc = log_reader_read_direct(reader, &item->location, &direct);
    if (rc == 0) {
        rc = log_reader_verify(reader, item, direct + item->location.offset % LOG_FORMAT_BLOCK_SIZE, &record);
    }
    if (rc == HF_ECORRUPT && item->probed && log_reader_doubt_slot(reader, item) == 0) {
        free(direct);
        return log_reader_fetch_anew(reader, item);
    }
    if (rc == 0) {
        uint8_t *payload = log_reader_new_piece(reader, record.body.size);
        if (record.body.size > 0) {
            memcpy(payload, record.body.data, record.body.size);
        }
        log_reader_take(reader, item, &record, payload);
    } else {
        reader->failed = item;
    }
    free(direct);
    return rc;
}

static int log_reader_fetch_cached(struct log_reader *reader, struct log_reader_item *item)
{
    struct log_record record;
    int rc = log_reader_verify(reader, item, item->cached, &record);
    if (rc == 0) {
        log_reader_copy(reader, item, &record);
    } else {
        reader->failed = item;
    }
    return rc;
}

static uint64_t log_reader_span_size(const struct log_reader *reader, size_t at, size_t end)
{
    const struct log_location *first = &reader->items[at].location;
    const struct log_location *last = &reader->items[end - 1].location;
    return last->offset + log_record_entry_size(last->size) - first->offset;
}

static int log_reader_fetch_span(struct log_reader *reader, size_t at, size_t end)
{
    const struct log_location *first = &reader->items[at].location;
    uint64_t size = log_reader_span_size(reader, at, end);
    uint64_t begin = first->offset;
    bool keeps = reader->items[at].keeps_span;
    size_t got = 0;
    uint8_t *bytes = NULL;
    if (keeps) {
        bytes = log_reader_new_piece(reader, (size_t)size);
    } else {
        log_reader_reserve_scratch(reader, size);
        bytes = reader->scratch;
    }
    int rc = file_read(first->segment->reader, begin, bytes, (size_t)size, &got);
    if (rc != 0) {
        return error_wrap(rc, "reading group %" PRIu64, reader->group);
    }
    memset(bytes + got, 0, (size_t)size - got);
    for (size_t i = at; i < end && rc == 0; i++) {
        struct log_reader_item *item = &reader->items[i];
        struct log_record record;
        if (log_reader_verify(reader, item, bytes + (item->location.offset - begin), &record) != 0) {
            rc = log_reader_fetch_anew(reader, item);
        } else if (keeps) {
            log_reader_take(reader, item, &record, record.body.data);
        } else {
            log_reader_copy(reader, item, &record);
        }
    }
    return rc;
}

/* ---- slots of cold blocks ---- */

static bool log_reader_is_possible(const struct log_segment *segment, const struct log_slot *slot)
{
    uint64_t offset = (uint64_t)slot->offset_eighth * 8;
    return slot->size <= HF_LOG_PAYLOAD_SIZE_MAX + 8 && offset > LOG_FORMAT_SEGMENT_HEADER_SIZE &&
           offset + log_record_size(slot->size) <= segment->header.size_bytes;
}

static int log_reader_probe_from(struct log_reader *reader, struct log_segment *segment, uint64_t first, size_t count,
                                 struct log_slot *out)
{
    int rc = HF_ECORRUPT;
    if (segment->index_reader != NULL) {
        rc = log_index_file_read_slots(segment->index_file, segment->index_reader, first, count, out);
    }
    for (size_t i = 0; i < count && rc == 0; i++) {
        rc = log_reader_is_possible(segment, &out[i]) ? 0 : error_raise(HF_ECORRUPT, "an impossible slot");
    }
    if (rc == 0) {
        return 0;
    }
    TRACE(TRACE_WARN, "log", "slots are read from the segment: %s", hf_error_text());
    struct log_index_build build;
    rc = log_reader_rebuild(reader, segment, &build);
    if (rc == 0) {
        memcpy(out, build.slots + first, count * sizeof(struct log_slot));
        log_index_build_close(&build);
    }
    return rc;
}

/* Items [at, end) have neighbouring slots. */
static int log_reader_probe_run(struct log_reader *reader, size_t at, size_t end)
{
    struct log_location *first = &reader->items[at].location;
    struct log_slot few[8];
    size_t count = end - at;
    struct log_slot *slots = count <= 8 ? few : memory_resize(NULL, count * sizeof(struct log_slot));
    int rc = log_reader_probe_from(reader, first->segment, first->file_slot, count, slots);
    for (size_t i = 0; i < count && rc == 0; i++) {
        reader->items[at + i].location.offset = (uint64_t)slots[i].offset_eighth * 8;
        reader->items[at + i].location.size = slots[i].size;
    }
    if (rc == HF_ECORRUPT) {
        reader->failed = &reader->items[at];
    }
    if (slots != few) {
        free(slots);
    }
    return rc;
}

static int log_reader_probe(struct log_reader *reader)
{
    int rc = 0;
    for (size_t at = 0; at < reader->count && rc == 0;) {
        size_t end = at + 1;
        const struct log_location *first = &reader->items[at].location;
        while (reader->items[at].probed && end < reader->count && reader->items[end].probed &&
               reader->items[end].location.segment == first->segment &&
               reader->items[end].location.file_slot == first->file_slot + (end - at)) {
            end++;
        }
        rc = reader->items[at].probed ? log_reader_probe_run(reader, at, end) : 0;
        at = end;
    }
    return rc;
}

/* Now that all sizes are known: only as many as fit the limit, but at least one. */
static void log_reader_trim(struct log_reader *reader)
{
    for (size_t i = 0; i < reader->count; i++) {
        uint64_t size = reader->items[i].location.size;
        bool first = i + reader->entry_count == 0;
        if (!first && reader->bytes_max != 0 && reader->payload_bytes + size > reader->bytes_max) {
            reader->count = i;
            reader->ended = true;
            return;
        }
        reader->payload_bytes += size;
    }
}

/* ---- a round ---- */

/* How many entries there will be, at least `needed`. */
static size_t log_reader_expect(const struct log_reader *reader, size_t needed)
{
    if (reader->ended) {
        return needed;
    }
    uint64_t by_bytes = reader->bytes_max / (reader->payload_bytes / needed + 1) + 1;
    size_t expected = by_bytes < LOG_READER_EXPECTED_MAX ? (size_t)by_bytes : LOG_READER_EXPECTED_MAX;
    return expected > needed * 2 ? expected : needed * 2;
}

/* Room for the round's entries, and for the payloads that are copied: in one piece. */
static void log_reader_make_room(struct log_reader *reader)
{
    uint64_t copied = 0;
    for (size_t at = 0; at < reader->count;) {
        struct log_reader_item *item = &reader->items[at];
        bool cached = item->cached != NULL;
        uint64_t bodies = item->location.size;
        size_t end = cached ? at + 1 : log_reader_span(reader, at, &bodies);
        /* Where most of a span is not payload, the view keeps copies. */
        item->keeps_span = !cached && bodies * 2 >= log_reader_span_size(reader, at, end);
        item->span_end = (uint32_t)end;
        copied += item->keeps_span ? 0 : bodies;
        at = end;
    }
    size_t needed = reader->entry_count + reader->count;
    size_t entries_size = 0;
    if (needed > reader->entry_capacity) {
        reader->entry_capacity = log_reader_expect(reader, needed);
        entries_size = reader->entry_capacity * sizeof(struct hf_entry);
    }
    uint8_t *memory = entries_size + copied > 0 ? log_reader_new_piece(reader, entries_size + (size_t)copied) : NULL;
    if (entries_size > 0) {
        if (reader->entry_count > 0) {
            memcpy(memory, reader->entries, reader->entry_count * sizeof(struct hf_entry));
        }
        reader->entries = (struct hf_entry *)memory;
    }
    reader->copies = memory != NULL ? memory + entries_size : NULL;
}

static int log_reader_fetch(struct log_reader *reader)
{
    int rc = log_reader_probe(reader);
    if (rc != 0) {
        return rc;
    }
    log_reader_trim(reader);
    log_reader_make_room(reader);
    for (size_t at = 0; at < reader->count && rc == 0;) {
        struct log_reader_item *item = &reader->items[at];
        size_t end = item->span_end;
        rc = item->cached != NULL ? log_reader_fetch_cached(reader, item) : log_reader_fetch_span(reader, at, end);
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
    damage.size = item->location.size;
    bool current = group != NULL && log_index_find(&group->index, item->index, &location) &&
                   location.segment == item->location.segment && location.term == item->location.term &&
                   (location.offset == item->location.offset || location.offset == 0);
    if (current) {
        damage.commit = group->hard_state.commit;
        group->damaged = true;
        group->unreadable += log_damage_add(&reader->log->damages, &damage);
    }
}

/* Unpins; reports what the round met. The mutex is held. */
static void log_reader_end_round(struct log_reader *reader, int rc)
{
    if (rc == HF_ECORRUPT && reader->failed != NULL) {
        log_reader_report(reader, reader->failed);
    }
    if (reader->broken != NULL) {
        log_seal_mark_broken(reader->log, reader->broken);
        reader->broken = NULL;
    }
    log_reader_unpin(reader, reader->planned);
}

/* One round from `low` on. The mutex is not held. */
static int log_reader_round(struct log_reader *reader, uint64_t low, uint64_t high, size_t count_max)
{
    struct hf_log *log = reader->log;
    mutex_lock(&log->mutex);
    const struct log_group *group = log_groups_find(&log->groups, reader->group);
    int rc = 0;
    if (reader->entry_count == 0) {
        rc = log_reader_check_range(group, reader->group, low);
    } else if (group == NULL || group->incarnation != reader->incarnation || group->rewrites != reader->rewrites ||
               low <= group->bounds.floor || low > group->bounds.last) {
        reader->ended = true; /* what was read is one state's; what follows would be another's */
        mutex_unlock(&log->mutex);
        return 0;
    }
    if (rc == 0) {
        uint64_t last = high == 0 || high - 1 > group->bounds.last ? group->bounds.last : high - 1;
        reader->incarnation = group->incarnation;
        reader->group_check = group->check;
        reader->rewrites = group->rewrites;
        rc = log_reader_plan(reader, group, low, last, count_max);
    }
    mutex_unlock(&log->mutex);
    if (rc == 0) {
        rc = log_reader_fetch(reader);
    }
    mutex_lock(&log->mutex);
    log_reader_end_round(reader, rc);
    mutex_unlock(&log->mutex);
    return rc;
}

int hf_log_read(struct hf_log *log, uint64_t group_id, uint64_t low, uint64_t high, uint64_t bytes_max,
                size_t count_max, struct hf_log_view *out)
{
    struct log_reader reader = {.log = log, .group = group_id, .bytes_max = bytes_max};
    *out = (struct hf_log_view){0};
    if (high != 0 && low > high) {
        return error_raise(HF_EINVALID, "the range %" PRIu64 " … %" PRIu64 " runs backwards", low, high);
    }
    if (low == high) {
        return 0;
    }
    reader.verify = !log->options.verify_on_read_off;
    reader.items = reader.few;
    reader.item_capacity = sizeof(reader.few) / sizeof(reader.few[0]);
    int rc = 0;
    while (rc == 0 && !reader.ended) {
        rc = log_reader_round(&reader, low + reader.entry_count, high, count_max);
    }
    if (rc == 0) {
        *out = (struct hf_log_view){.entries = reader.entries, .count = reader.entry_count, .memory = reader.blocks};
        reader.blocks = NULL;
    }
    log_view_free(reader.blocks);
    if (reader.items != reader.few) {
        free(reader.items);
    }
    free(reader.scratch);
    return rc;
}

void hf_log_view_close(struct hf_log_view *view)
{
    log_view_free(view->memory);
    *view = (struct hf_log_view){0};
}
