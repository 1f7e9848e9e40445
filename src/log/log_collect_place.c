#include "log/log_collect_place.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/mutation.h"
#include "log/log_state.h"

#define LOG_COLLECT_SPAN_MAX (1u << 20) /* what one read covers, unless one entry alone is larger */
#define LOG_COLLECT_SPAN_GAP (64u << 10)

/* ---- bytes ---- */

size_t log_collect_item_span(const struct log_collect_item *items, size_t at, size_t count)
{
    uint64_t begin = items[at].location.offset;
    size_t end = at + 1;
    while (end < count) {
        uint64_t before = log_collect_item_end(&items[end - 1]);
        uint64_t offset = items[end].location.offset;
        if (offset < before || offset - before > LOG_COLLECT_SPAN_GAP ||
            log_collect_item_end(&items[end]) - begin > LOG_COLLECT_SPAN_MAX) {
            break;
        }
        end++;
    }
    return end;
}

int log_collect_item_take(struct log_collect_item *item, const uint8_t *bytes, uint64_t segment_incarnation)
{
    struct log_record record;
    size_t size = 0;
    size_t most = log_record_entry_size(item->location.size);
    uint32_t seed = log_format_seed(segment_incarnation, item->location.offset);
    bool right = log_record_get(bytes_of(bytes, most), seed, &record, &size) == LOG_RECORD_OK &&
                 size == log_record_size(item->location.size + record.run.size) && record.index == item->index &&
                 (record.kind == LOG_RECORD_APPEND || record.kind == LOG_RECORD_MOVED) &&
                 record.group_check == log_format_group_check(item->group, item->incarnation);
    if (!right) {
        return error_raise(HF_ECORRUPT, "group %" PRIu64 ", entry %" PRIu64 " at offset %" PRIu64, item->group,
                           item->index, item->location.offset);
    }
    item->record = memory_resize(NULL, size);
    memcpy(item->record, bytes, size);
    return 0;
}

void log_collect_items_close(struct log_collect_item *items, size_t count)
{
    for (size_t i = 0; items != NULL && i < count; i++) {
        free(items[i].record);
        items[i].record = NULL;
    }
}

/* ---- placing ---- */

struct log_group *log_collect_real_group(struct hf_log *log, const struct log_group *found)
{
    struct log_group *group = log_groups_find(&log->groups, found->id);
    bool same = group != NULL && group->bounds.exists && group->incarnation == found->incarnation;
    return same ? group : NULL;
}

/* Room for one record with a body of this size, under a run of the group. */
static int log_collect_make_room(struct hf_log *log, struct log_group *group, uint64_t term, uint64_t body_size)
{
    int rc = log_writer_make_room(&log->writer, LOG_FORMAT_RUN_SIZE + log_record_size(body_size), LOG_WRITER_MOVING);
    if (rc != 0) {
        return rc;
    }
    struct log_frame_builder *builder = &log->writer.gathering->builder;
    if (log_frame_resume_run(builder, group->id, group->incarnation, group->check, &term)) {
        return 0;
    }
    struct log_run run = {
        .group = group->id, .incarnation = group->incarnation, .number = ++group->run_number, .term = term};
    log_frame_put_run(builder, &run, group->check, group->bounds.last);
    return 0;
}

static void log_collect_count(struct hf_log *log, uint64_t body_size)
{
    log->collect.moved_bytes += log_record_size(body_size);
}

int log_collect_place_entry(struct hf_log *log, const struct log_collect_item *item, const struct log_segment *victim)
{
    struct log_group *group = log_groups_find(&log->groups, item->group);
    bool same_life = group != NULL && group->bounds.exists && group->incarnation == item->incarnation;
    bool live = same_life && log_index_lies_in(&group->index, item->index, victim);
    bool overwrites = same_life && item->index > group->bounds.floor && item->index <= group->bounds.last &&
                      MUTATED(LOG_MOVED_OVERWRITES);
    if (!live && !overwrites) {
        return 0;
    }
    struct log_record record;
    size_t size = 0;
    (void)log_record_decode(bytes_of(item->record, log_record_entry_size(item->location.size)), &record, &size);
    record.kind = live ? LOG_RECORD_MOVED : LOG_RECORD_APPEND;
    int rc = log_collect_make_room(log, group, item->location.term, item->location.size);
    if (rc != 0) {
        return rc;
    }
    struct log_frame_builder *builder = &log->writer.gathering->builder;
    size_t at = log_frame_put(builder, record);
    struct log_location location = {.segment = log->writer.tail,
                                    .offset = builder->place.offset + at,
                                    .size = item->location.size,
                                    .term = item->location.term};
    if (live) {
        log_group_move(group, item->index, &location);
    }
    log->collect.moved_entries++;
    log_collect_count(log, item->location.size);
    return 0;
}

static int log_collect_place_hard_state(struct hf_log *log, struct log_group *group)
{
    uint8_t body[LOG_RECORD_HARD_STATE_BODY_SIZE];
    int rc = log_collect_make_room(log, group, group->bounds.term_last, sizeof(body));
    if (rc != 0) {
        return rc;
    }
    struct log_record record = {
        .kind = LOG_RECORD_HARD_STATE, .index = group->bounds.last, .body = bytes_of(body, sizeof(body))};
    log_record_put_hard_state(body, group->hard_state);
    if (!MUTATED(LOG_STATE_NOT_MOVED)) {
        log_frame_put(&log->writer.gathering->builder, record);
    }
    log_group_anchor(group, log->writer.tail);
    log_collect_count(log, sizeof(body));
    return 0;
}

static int log_collect_place_floor(struct hf_log *log, struct log_group *group)
{
    uint8_t body[LOG_RECORD_FLOOR_BODY_SIZE + HF_LOG_SNAPSHOT_NAME_SIZE_MAX];
    size_t size = LOG_RECORD_FLOOR_BODY_SIZE + group->snapshot_name_size;
    int rc = log_collect_make_room(log, group, group->bounds.term_last, size);
    if (rc != 0) {
        return rc;
    }
    bytes_put_u64(body, group->bounds.floor_term);
    memcpy(body + LOG_RECORD_FLOOR_BODY_SIZE, group->snapshot_name, group->snapshot_name_size);
    struct log_record record = {.kind = LOG_RECORD_COMPACT, .index = group->bounds.floor, .body = bytes_of(body, size)};
    if (!MUTATED(LOG_FLOOR_NOT_MOVED)) {
        log_frame_put(&log->writer.gathering->builder, record);
    }
    log_group_move_floor(group, log->writer.tail);
    log_collect_count(log, size);
    return 0;
}

/* The run of a removal is that of the life that ended. */
static int log_collect_place_removal(struct hf_log *log, struct log_group *group)
{
    int rc = log_writer_make_room(&log->writer, LOG_FORMAT_RUN_SIZE + log_record_size(0), LOG_WRITER_MOVING);
    if (rc != 0) {
        return rc;
    }
    struct log_run run = {.group = group->id, .incarnation = group->tombstone, .number = ++group->tombstone_run};
    struct log_record record = {.kind = LOG_RECORD_REMOVED};
    if (!MUTATED(LOG_REMOVAL_NOT_MOVED)) {
        uint32_t check = log_format_group_check(run.group, run.incarnation);
        log_frame_put_run(&log->writer.gathering->builder, &run, check, 0);
        log_frame_put(&log->writer.gathering->builder, record);
    }
    log_group_anchor(group, log->writer.tail);
    log_collect_count(log, 0);
    return 0;
}

int log_collect_place_states(struct hf_log *log, uint64_t id, const struct log_segment *victim)
{
    struct log_group *group = log_groups_find(&log->groups, id);
    int rc = 0;
    if (group != NULL && group->hard_state_segment == victim) {
        rc = group->bounds.exists ? log_collect_place_hard_state(log, group) : log_collect_place_removal(log, group);
    }
    if (rc == 0 && group != NULL && group->floor_segment == victim) {
        rc = log_collect_place_floor(log, group);
    }
    return rc;
}
