#include "log/log_index_build.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/error.h"
#include "base/mutation.h"
#include "log/log_chain.h"
#include "log/log_index_file.h"

#define LOG_INDEX_BUILD_WINDOW_SIZE \
    (128u << 10) /* of a file, at a time: writes of appends wait for no more than that */
#define LOG_INDEX_BUILD_WRITE_PAGES 16u
#define LOG_INDEX_BUILD_AHEAD       1024u
#define LOG_INDEX_BUILD_LINE        64u /* of the processor's cache */

/* Entries side by side, of one kind of record. */
struct log_index_span {
    uint64_t index_first;
    uint64_t count; /* 0: none is open */
    uint64_t body_bytes;
    struct buffer terms;
    uint64_t term_last;
    struct log_slot *slots;
    size_t capacity;
};
/* The runs of a group that follow each other without a gap. */
struct log_index_section {
    struct log_run run;
    uint64_t run_last;
    uint64_t index_last; /* of the group, before the first run */
    struct buffer items;
    size_t hard_state_at; /* of the item that the next hard state replaces; 0: none */
    struct log_slot *slots;
    size_t slot_count;
    size_t slot_capacity;
    struct log_index_span appended;
    struct log_index_span moved;
    bool moved_first; /* of the two that are open, it was opened first */
};

void log_index_build_open(struct log_index_build *build, const struct log_segment_header *segment)
{
    *build = (struct log_index_build){0};
    build->summary = (struct log_index_summary){.number = segment->number,
                                                .incarnation = segment->incarnation,
                                                .log_id = segment->log_id,
                                                .offset_end = LOG_FORMAT_SEGMENT_HEADER_SIZE,
                                                .data_offset_end = LOG_FORMAT_SEGMENT_HEADER_SIZE};
}

static void log_index_build_free_section(struct log_index_section *section)
{
    buffer_close(&section->items);
    buffer_close(&section->appended.terms);
    buffer_close(&section->moved.terms);
    free(section->appended.slots);
    free(section->moved.slots);
    free(section->slots);
    free(section);
}

static void log_index_build_free_sections(struct log_index_build *build)
{
    for (size_t i = 0; i < build->section_count; i++) {
        log_index_build_free_section(build->sections[i]);
    }
    free(build->sections);
    map_close(&build->latest);
    build->sections = NULL;
    build->section_count = 0;
}

void log_index_build_close(struct log_index_build *build)
{
    log_index_build_free_sections(build);
    buffer_close(&build->tables);
    free(build->slots);
    *build = (struct log_index_build){0};
}

/* ---- spans ---- */

static void log_index_build_put_kind(struct buffer *target, uint32_t kind, uint32_t detail)
{
    buffer_append_u32(target, kind);
    buffer_append_u32(target, detail);
}

static void log_index_build_end_span(struct log_index_section *section, struct log_index_span *span, uint32_t kind)
{
    if (span->count == 0) {
        return;
    }
    log_index_build_put_kind(&section->items, kind, (uint32_t)(buffer_bytes(&span->terms).size / 16));
    buffer_append_u64(&section->items, span->index_first);
    buffer_append_u64(&section->items, span->count);
    buffer_append_u64(&section->items, span->body_bytes);
    buffer_append_bytes(&section->items, buffer_bytes(&span->terms));
    if (section->slot_count + span->count > section->slot_capacity) {
        section->slot_capacity = section->slot_count + (size_t)span->count;
        section->slots = memory_resize(section->slots, section->slot_capacity * sizeof(struct log_slot));
    }
    memcpy(section->slots + section->slot_count, span->slots, (size_t)span->count * sizeof(struct log_slot));
    section->slot_count += (size_t)span->count;
    buffer_clear(&span->terms);
    span->count = 0;
    span->body_bytes = 0;
}

static void log_index_build_end_spans(struct log_index_section *section)
{
    if (section->moved_first) {
        log_index_build_end_span(section, &section->moved, LOG_RECORD_MOVED);
    }
    log_index_build_end_span(section, &section->appended, LOG_RECORD_APPEND);
    log_index_build_end_span(section, &section->moved, LOG_RECORD_MOVED);
    section->moved_first = false;
}

static void log_index_build_entry(struct log_index_section *section, const struct log_run *run,
                                  const struct log_record *record, uint64_t offset)
{
    bool is_moved = record->kind == LOG_RECORD_MOVED;
    struct log_index_span *span = is_moved ? &section->moved : &section->appended;
    if (span->count > 0 && record->index != span->index_first + span->count) {
        log_index_build_end_spans(section);
    }
    if (span->count == 0) {
        span->index_first = record->index;
        section->moved_first |= is_moved && section->appended.count == 0;
    }
    if (span->count == 0 || span->term_last != run->term) {
        buffer_append_u64(&span->terms, record->index);
        buffer_append_u64(&span->terms, run->term);
        span->term_last = run->term;
    }
    if (span->count == span->capacity) {
        span->capacity = span->capacity == 0 ? 16 : span->capacity * 2;
        span->slots = memory_resize(span->slots, span->capacity * sizeof(struct log_slot));
    }
    uint32_t size = (uint32_t)record->body.size + log_record_wide_size(record->timestamp_ms);
    span->slots[span->count++] = (struct log_slot){.offset_eighth = (uint32_t)(offset / 8), .size = size};
    span->body_bytes += size;
}

/* ---- records ---- */

static void log_index_build_hard_state(struct log_index_section *section, const struct log_record *record)
{
    struct hf_hard_state state = {0};
    int rc = log_record_get_hard_state(record->body, &state);
    assert(rc == 0); /* the cursor has checked the body */
    (void)rc;
    if (section->hard_state_at == 0) {
        log_index_build_put_kind(&section->items, LOG_RECORD_HARD_STATE, 0);
        section->hard_state_at = buffer_bytes(&section->items).size;
        (void)buffer_extend(&section->items, 32);
    }
    uint8_t *target = section->items.data + section->hard_state_at;
    bytes_put_u64(target, record->index);
    bytes_put_u64(target + 8, state.term);
    bytes_put_u64(target + 16, state.vote);
    bytes_put_u64(target + 24, state.commit);
}

static void log_index_build_floor(struct log_index_section *section, const struct log_record *record)
{
    static const uint8_t zeros[8] = {0};
    uint64_t term = 0;
    struct hf_bytes name = {0};
    int rc = log_record_get_floor(record->body, &term, &name);
    assert(rc == 0); /* likewise */
    (void)rc;
    log_index_build_put_kind(&section->items, record->kind, (uint32_t)name.size);
    buffer_append_u64(&section->items, record->index);
    buffer_append_u64(&section->items, term);
    buffer_append_bytes(&section->items, name);
    buffer_append(&section->items, zeros, (size_t)(log_format_align_record(name.size) - name.size));
}

static void log_index_build_record(struct log_index_section *section, const struct log_run *run,
                                   const struct log_record *record, uint64_t offset)
{
    switch (record->kind) {
    case LOG_RECORD_APPEND:
    case LOG_RECORD_MOVED:
        log_index_build_entry(section, run, record, offset);
        return;
    case LOG_RECORD_HARD_STATE:
        log_index_build_hard_state(section, record);
        return;
    case LOG_RECORD_TRUNCATE:
        log_index_build_end_spans(section);
        log_index_build_put_kind(&section->items, record->kind, 0);
        buffer_append_u64(&section->items, record->index);
        break;
    case LOG_RECORD_RESET:
    case LOG_RECORD_COMPACT:
        log_index_build_end_spans(section);
        log_index_build_floor(section, record);
        break;
    case LOG_RECORD_REMOVED:
        log_index_build_end_spans(section);
        log_index_build_put_kind(&section->items, record->kind, 0);
        break;
    default:
        return; /* trailers, padding, what may be ignored */
    }
    section->hard_state_at = 0;
}

static struct log_index_section *log_index_build_run(struct log_index_build *build, const struct log_run *run,
                                                     uint64_t index_last)
{
    struct log_index_section *section = map_get(&build->latest, run->group);
    bool continues =
        section != NULL && section->run.incarnation == run->incarnation && run->number == section->run_last + 1;
    if (!continues) {
        section = memory_new(sizeof(*section));
        section->run = *run;
        section->index_last = index_last;
        build->sections =
            memory_resize(build->sections, (build->section_count + 1) * sizeof(struct log_index_section *));
        build->sections[build->section_count++] = section;
        map_put(&build->latest, run->group, section);
    }
    section->run_last = run->number;
    return section;
}

static void log_index_build_note_header(struct log_index_summary *summary, const struct log_frame_header *header)
{
    if (summary->offset_end == LOG_FORMAT_SEGMENT_HEADER_SIZE) {
        summary->position_first = header->place.position;
        summary->sequence_first = header->place.sequence;
        summary->data_position_end = header->place.position;
        summary->data_sequence_last = header->place.sequence - 1;
    }
    summary->position_end = header->place.position + header->length;
    summary->sequence_last = header->place.sequence;
    summary->offset_end = header->place.offset + header->length;
    if ((header->flags & LOG_FORMAT_FRAME_BARE) == 0) {
        summary->data_position_end = summary->position_end;
        summary->data_sequence_last = summary->sequence_last;
        summary->data_offset_end = summary->offset_end;
    }
}

static void log_index_build_note_trailer(struct log_index_summary *summary, const struct log_trailer *trailer)
{
    if (trailer->durable_position > summary->durable_position) {
        summary->durable_position = trailer->durable_position;
    }
    if (trailer->oldest_segment > summary->oldest_segment) {
        summary->oldest_segment = trailer->oldest_segment;
    }
}

void log_index_build_frame(struct log_index_build *build, struct hf_bytes bytes, const struct log_frame_header *header)
{
    struct log_index_summary *summary = &build->summary;
    struct log_frame_cursor cursor;
    struct log_record record;
    struct log_index_section *sections[LOG_FORMAT_RUN_SLOTS];
    size_t at = 0;
    log_index_build_note_header(summary, header);
    log_frame_cursor_open(&cursor, bytes, summary->incarnation, header->place.offset);
    cursor.checked = true;
    while (log_frame_next(&cursor, &record, &at) == 0) {
        /* Headers alone are looked at, and each tells where the next one is. */
        __builtin_prefetch((const uint8_t *)bytes.data + cursor.at + LOG_INDEX_BUILD_AHEAD);
        __builtin_prefetch((const uint8_t *)bytes.data + cursor.at + LOG_INDEX_BUILD_AHEAD + LOG_INDEX_BUILD_LINE);
        if (record.kind == LOG_RECORD_RUN) {
            sections[log_frame_slot(&cursor)] = log_index_build_run(build, &cursor.run, record.index);
        } else if (cursor.run.group != 0) {
            log_index_build_record(sections[log_frame_slot(&cursor)], &cursor.run, &record, header->place.offset + at);
        }
    }
    log_index_build_note_trailer(summary, &cursor.trailer);
}

/* ---- finishing ---- */

static void log_index_build_put_section(struct log_index_build *build, struct log_index_section *section)
{
    log_index_build_put_kind(&build->tables, LOG_RECORD_RUN, 0);
    buffer_append_u64(&build->tables, section->run.group);
    buffer_append_u64(&build->tables, section->run.incarnation);
    buffer_append_u64(&build->tables, section->run.number);
    buffer_append_u64(&build->tables, section->run_last);
    buffer_append_u64(&build->tables, section->index_last);
    buffer_append_bytes(&build->tables, buffer_bytes(&section->items));
    if (section->slot_count > 0) {
        memcpy(build->slots + build->summary.slot_count, section->slots, section->slot_count * sizeof(struct log_slot));
    }
    build->summary.slot_count += section->slot_count;
}

static void log_index_build_put_sums(struct log_index_build *build)
{
    for (uint64_t i = 0; i < build->summary.slot_count; i += LOG_INDEX_PAGE_SLOTS) {
        uint64_t end = i + LOG_INDEX_PAGE_SLOTS;
        end = end < build->summary.slot_count ? end : build->summary.slot_count;
        uint64_t sum = 0;
        for (uint64_t at = i; at < end; at++) {
            sum += build->slots[at].size;
        }
        bytes_put_u64(build->tables.data + i / LOG_INDEX_PAGE_SLOTS * 8, sum);
    }
}

int log_index_build_finish(struct log_index_build *build)
{
    struct log_index_summary *summary = &build->summary;
    uint64_t slots = 0;
    uint64_t tables_size = 0;
    for (size_t i = 0; i < build->section_count; i++) {
        log_index_build_end_spans(build->sections[i]);
        slots += build->sections[i]->slot_count;
        tables_size += 48 + buffer_bytes(&build->sections[i]->items).size;
    }
    uint64_t sums_size = log_index_format_page_count(slots) * 8;
    if (slots > LOG_INDEX_SLOTS_MAX || tables_size + sums_size > LOG_INDEX_TABLES_SIZE_MAX) {
        return error_raise(HF_ETOOBIG, "log segment %016" PRIx64 " holds too much for an index file", summary->number);
    }
    build->slots = memory_resize(NULL, (slots + 1) * sizeof(struct log_slot));
    (void)buffer_extend(&build->tables, (size_t)sums_size);
    for (size_t i = 0; i < build->section_count; i++) {
        log_index_build_put_section(build, build->sections[i]);
    }
    log_index_build_put_sums(build);
    summary->tables_size = buffer_bytes(&build->tables).size;
    summary->tables_checksum = log_index_format_tables_checksum(summary->incarnation, buffer_bytes(&build->tables));
    log_index_build_free_sections(build);
    return 0;
}

/* ---- going through the segment ---- */

static bool log_index_build_follows(const struct log_index_build *build, const struct log_frame_header *header)
{
    const struct log_index_summary *summary = &build->summary;
    bool first = summary->offset_end == LOG_FORMAT_SEGMENT_HEADER_SIZE;
    return first ||
           (header->place.position == summary->position_end && header->place.sequence == summary->sequence_last + 1);
}

/* The next frame from the file. */
static int log_index_build_read_frame(struct log_index_build *build, struct log_chain *chain,
                                      const struct log_chain_segment *segment, uint64_t offset_end)
{
    uint64_t offset = build->summary.offset_end;
    struct log_frame_header header;
    struct log_trailer trailer;
    const uint8_t *bytes = NULL;
    int rc = log_chain_read(chain, segment, offset, LOG_FORMAT_BLOCK_SIZE, &bytes);
    if (rc != 0) {
        return rc;
    }
    if (!log_frame_get_header(bytes, segment->header.incarnation, segment->header.number, offset, offset_end - offset,
                              &header) ||
        !log_index_build_follows(build, &header)) {
        return error_raise(HF_ECORRUPT, "log segment %016" PRIx64 ".log at offset %" PRIu64 ": no frame",
                           segment->header.number, offset);
    }
    rc = log_chain_read(chain, segment, offset, header.length, &bytes);
    if (rc == 0) {
        rc = log_frame_check(bytes_of(bytes, header.length), &header, &trailer);
    }
    if (rc == 0) {
        log_index_build_frame(build, bytes_of(bytes, header.length), &header);
    }
    return rc;
}

/* The next frame from memory; false: it is not there, or not what it should be. */
static bool log_index_build_take_frame(struct log_index_build *build, const struct log_index_source *source,
                                       size_t *next)
{
    uint64_t offset = build->summary.offset_end;
    while (*next < source->frame_count && source->frames[*next].offset < offset) {
        ++*next;
    }
    if (*next == source->frame_count || source->frames[*next].offset != offset) {
        return false;
    }
    struct log_frame_header header;
    const uint8_t *bytes = source->frames[*next].data;
    if (!log_frame_get_header(bytes, source->header.incarnation, source->header.number, offset,
                              source->offset_end - offset, &header) ||
        !log_index_build_follows(build, &header)) {
        return false;
    }
    log_index_build_frame(build, bytes_of(bytes, header.length), &header);
    return true;
}

/* The file is opened when a frame is not in memory. */
static int log_index_build_open_file(const struct log_index_source *source, struct log_chain_segment *read)
{
    char name[LOG_FORMAT_NAME_SIZE];
    if (read->file != NULL) {
        return 0;
    }
    log_format_segment_name(name, source->header.number);
    char *path = text_format("%s/%s", source->directory, name);
    int rc = file_open(source->io, path, FILE_READ | FILE_DIRECT, &read->file);
    if (rc == 0) {
        rc = file_size(read->file, &read->file_size);
    }
    free(path);
    return rc;
}

int log_index_build_advance(struct log_index_build *build, const struct log_index_source *source, uint64_t offset_stop)
{
    struct log_chain chain = {.window_size = LOG_INDEX_BUILD_WINDOW_SIZE};
    struct log_chain_segment read = {.header = source->header};
    size_t next = 0;
    int rc = 0;
    while (build->summary.offset_end < offset_stop && rc == 0) {
        if (source->cancel != NULL && atomic_load(source->cancel)) {
            rc = error_raise(HF_ECLOSED, "the log is being closed");
        } else if (!log_index_build_take_frame(build, source, &next)) {
            rc = log_index_build_open_file(source, &read);
            rc = rc == 0 ? log_index_build_read_frame(build, &chain, &read, source->offset_end) : rc;
        }
        io_give_way();
    }
    file_close(read.file);
    log_chain_close(&chain);
    return rc == 0 ? 0 : error_wrap(rc, "the index of log segment %016" PRIx64, source->header.number);
}

int log_index_build_segment(struct log_index_build *build, const struct log_index_source *source, uint64_t *bad_offset)
{
    log_index_build_open(build, &source->header);
    int rc = log_index_build_advance(build, source, source->offset_end);
    *bad_offset = build->summary.offset_end;
    if (rc == 0) {
        rc = log_index_build_finish(build);
    }
    if (rc != 0) {
        log_index_build_close(build);
    }
    return rc;
}

/* ---- writing ---- */

static int log_index_build_write_pages(const struct log_index_build *build, struct file *file)
{
    const struct log_index_summary *summary = &build->summary;
    uint64_t pages = log_index_format_page_count(summary->slot_count);
    uint8_t *bytes = memory_resize(NULL, LOG_INDEX_BUILD_WRITE_PAGES * LOG_INDEX_PAGE_SIZE);
    int rc = 0;
    for (uint64_t page = 0; page < pages && rc == 0;) {
        uint64_t begun = page;
        for (; page < pages && page - begun < LOG_INDEX_BUILD_WRITE_PAGES; page++) {
            uint64_t first = page * LOG_INDEX_PAGE_SLOTS;
            uint64_t rest = summary->slot_count - first;
            log_index_format_put_page(bytes + (page - begun) * LOG_INDEX_PAGE_SIZE, summary->incarnation,
                                      log_index_format_page_offset(summary, page), build->slots + first,
                                      (uint32_t)(rest < LOG_INDEX_PAGE_SLOTS ? rest : LOG_INDEX_PAGE_SLOTS));
        }
        size_t size = (size_t)(page - begun) * LOG_INDEX_PAGE_SIZE;
        rc = file_write(file, log_index_format_page_offset(summary, begun), bytes, size);
        /* Piece by piece: the writes of appends would stand behind megabytes. */
        file_write_soon(file, log_index_format_page_offset(summary, begun), size);
        io_give_way();
    }
    free(bytes);
    return rc;
}

static int log_index_build_write_file(const struct log_index_build *build, struct file *file)
{
    const struct log_index_summary *summary = &build->summary;
    size_t front_size = (size_t)log_index_format_page_offset(summary, 0);
    uint8_t *front = memory_new(front_size);
    log_index_format_put_header(front, summary);
    if (summary->tables_size > 0) {
        memcpy(front + LOG_INDEX_HEADER_SIZE, build->tables.data, (size_t)summary->tables_size);
    }
    int rc = file_write(file, 0, front, front_size);
    free(front);
    if (rc == 0) {
        rc = log_index_build_write_pages(build, file);
    }
    if (rc == 0 && !MUTATED(LOG_INDEX_NOT_SYNCED)) {
        rc = file_sync(file);
    }
    return rc;
}

int log_index_build_write(const struct log_index_build *build, struct io *io, const char *directory,
                          bool *directory_failed)
{
    uint64_t number = build->summary.number;
    char *temporary = log_index_file_path(directory, number, LOG_INDEX_FILE_TEMPORARY);
    char *final = log_index_file_path(directory, number, LOG_INDEX_FILE_FINAL);
    struct file *file = NULL;
    *directory_failed = false;
    int rc = path_unlink(io, temporary);
    rc = rc == HF_ENOTFOUND ? 0 : rc;
    if (rc == 0) {
        rc = file_open(io, temporary, FILE_WRITE | FILE_CREATE | FILE_EXCLUSIVE, &file);
    }
    if (rc == 0) {
        rc = log_index_build_write_file(build, file);
    }
    file_close(file);
    if (rc == 0) {
        rc = path_rename(io, temporary, final);
    }
    if (rc == 0 && !MUTATED(LOG_INDEX_SKIP_DIRECTORY_SYNC)) {
        rc = directory_sync(io, directory);
        *directory_failed = rc != 0;
    } else if (rc != 0) {
        char text[ERROR_TEXT_SIZE_MAX];
        error_text_copy(text, sizeof(text));
        (void)path_unlink(io, temporary); /* what stays is removed by the next open */
        rc = error_wrap(error_restore(rc, text), "writing %s", final);
    }
    free(temporary);
    free(final);
    return rc;
}
