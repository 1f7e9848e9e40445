#include "log/log_apply_index.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/trace.h"
#include "log/log_index_build.h"

/* Lost entries of one block are reported one by one up to this many. */
#define LOG_APPLY_INDEX_REPORTED_MAX 1024u

/* The slots of a block, from the file or, when they are damaged there, from the segment itself. */
static int log_apply_index_slots(const struct log_segment *segment, const struct log_index_item *item,
                                 struct log_slot *out)
{
    const struct log_index_file *file = segment->index_file;
    struct file *reader = NULL;
    int rc = log_index_file_open_reader(file, &reader);
    if (rc == 0) {
        rc = log_index_file_read_slots(file, reader, item->slot_first, item->count, out);
    }
    file_close(reader);
    if (rc == 0) {
        return 0;
    }
    TRACE(TRACE_WARN, "log", "slots are read from the segment: %s", hf_error_text());
    struct log_index_build build;
    struct log_index_source source = {.io = file->io,
                                      .directory = file->directory,
                                      .header = segment->header,
                                      .offset_end = file->summary.offset_end};
    uint64_t bad_offset = 0;
    rc = log_index_build_segment(&build, &source, &bad_offset);
    if (rc == 0 && build.summary.slot_count == file->summary.slot_count) {
        memcpy(out, build.slots + item->slot_first, (size_t)item->count * sizeof(struct log_slot));
    } else if (rc == 0) {
        rc = error_raise(HF_ECORRUPT, "the segment and its index file disagree");
    }
    log_index_build_close(&build);
    return rc;
}

static uint64_t log_apply_index_term(const struct log_index_item *item, uint64_t index, uint32_t *run)
{
    while (*run + 1 < item->term_count && log_index_format_term_run(item, *run + 1).index <= index) {
        ++*run;
    }
    return log_index_format_term_run(item, *run).term;
}

/* Neither the index file nor the segment says where the entries are: they are lost, the log is not shorter by them. */
static void log_apply_index_lost(struct log_apply *apply, struct log_group *group, const struct log_index_item *item,
                                 struct log_segment *segment)
{
    struct log_apply_place place = {.segment = segment};
    uint64_t last = item->index + (item->count - 1);
    uint64_t term = log_index_format_term_run(item, item->term_count - 1).term;
    for (uint64_t i = 0; i < item->count && i < LOG_APPLY_INDEX_REPORTED_MAX; i++) {
        log_apply_report_entry(apply, group, item->index + i, 0, &place, "the entry's place is unreadable");
    }
    if (item->kind == LOG_RECORD_APPEND && last > group->bounds.last) {
        log_group_append_lost(group, last, term);
    }
}

static void log_apply_index_entries(struct log_apply *apply, struct log_group *group, const struct log_index_item *item,
                                    struct log_segment *segment)
{
    struct log_slot *slots = memory_resize(NULL, (size_t)item->count * sizeof(struct log_slot));
    uint32_t at = 0;
    if (log_apply_index_slots(segment, item, slots) != 0) {
        log_apply_index_lost(apply, group, item, segment);
        free(slots);
        return;
    }
    for (uint64_t i = 0; i < item->count; i++) {
        struct log_run run = item->run;
        run.term = log_apply_index_term(item, item->index + i, &at);
        struct log_apply_place place = {.segment = segment, .offset = (uint64_t)slots[i].offset_eighth * 8};
        struct log_record record = {
            .kind = (uint8_t)item->kind, .index = item->index + i, .body = bytes_of(NULL, slots[i].size)};
        log_apply_record(apply, group, &run, &record, &place);
    }
    struct log_index_cold cold = {.segment = segment,
                                  .index_first = item->index,
                                  .count = (uint32_t)item->count,
                                  .file_slot = (uint32_t)item->slot_first};
    log_index_chill(&group->index, &cold, slots);
    free(slots);
}

static void log_apply_index_block(struct log_apply *apply, struct log_group *group, const struct log_index_item *item,
                                  struct log_segment *segment)
{
    bool plain = item->kind == LOG_RECORD_APPEND && log_apply_continues(group, item->index);
    if (!plain) {
        log_apply_index_entries(apply, group, item, segment);
        return;
    }
    struct log_index_cold cold = {.segment = segment,
                                  .index_first = item->index,
                                  .count = (uint32_t)item->count,
                                  .file_slot = (uint32_t)item->slot_first,
                                  .body_bytes = item->body_bytes};
    log_group_append_cold(group, &cold, item);
}

static void log_apply_index_state(struct log_apply *apply, struct log_group *group, const struct log_index_item *item,
                                  struct log_segment *segment)
{
    uint8_t body[LOG_RECORD_FLOOR_BODY_SIZE + HF_LOG_SNAPSHOT_NAME_SIZE_MAX];
    struct log_record record = {.kind = (uint8_t)item->kind, .index = item->index};
    struct log_apply_place place = {.segment = segment};
    _Static_assert(sizeof(body) >= LOG_RECORD_HARD_STATE_BODY_SIZE, "both fit");
    if (item->kind == LOG_RECORD_HARD_STATE) {
        log_record_put_hard_state(body, item->hard_state);
        record.body = bytes_of(body, LOG_RECORD_HARD_STATE_BODY_SIZE);
    } else if (item->kind == LOG_RECORD_RESET || item->kind == LOG_RECORD_COMPACT) {
        bytes_put_u64(body, item->term);
        if (item->name.size > 0) {
            memcpy(body + LOG_RECORD_FLOOR_BODY_SIZE, item->name.data, item->name.size);
        }
        record.body = bytes_of(body, LOG_RECORD_FLOOR_BODY_SIZE + item->name.size);
    }
    log_apply_record(apply, group, &item->run, &record, &place);
}

void log_apply_index(struct log_apply *apply, struct hf_bytes tables, struct log_segment *segment)
{
    struct log_apply_place place = {.segment = segment};
    struct log_index_cursor cursor;
    struct log_index_item item;
    struct log_group *group = NULL;
    int rc = log_index_format_open_cursor(&cursor, &segment->index_file->summary, tables);
    apply->condensed = true;
    while (rc == 0 && (rc = log_index_format_next(&cursor, &item)) == 0) {
        if (item.kind == LOG_RECORD_RUN) {
            group = log_apply_run(apply, &item.run, item.index, &place);
            if (group != NULL) {
                group->run_number = item.run_last;
            }
        } else if (group == NULL) {
            continue;
        } else if (item.kind == LOG_RECORD_APPEND || item.kind == LOG_RECORD_MOVED) {
            log_apply_index_block(apply, group, &item, segment);
        } else {
            log_apply_index_state(apply, group, &item, segment);
        }
    }
    apply->condensed = false;
}
