#include "log/log_group.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"

void log_groups_close(struct log_groups *groups)
{
    size_t position = 0;
    uint64_t id = 0;
    void *value = NULL;
    while (map_next(&groups->by_id, &position, &id, &value)) {
        struct log_group *group = value;
        log_index_close(&group->index);
        free(group->install);
        free(group);
    }
    map_close(&groups->by_id);
    free(groups->small);
    free(groups->sorted);
    *groups = (struct log_groups){0};
}

struct log_group *log_groups_find(struct log_groups *groups, uint64_t id)
{
    return id < groups->small_count ? groups->small[id] : map_get(&groups->by_id, id);
}

static void log_groups_note_small(struct log_groups *groups, struct log_group *group)
{
    uint64_t count = groups->small_count > 0 ? groups->small_count : 16;
    while (count <= group->id) {
        count *= 2;
    }
    if (count > groups->small_count) {
        groups->small = memory_resize(groups->small, count * sizeof(struct log_group *));
        memset(groups->small + groups->small_count, 0, (count - groups->small_count) * sizeof(struct log_group *));
        groups->small_count = count;
    }
    groups->small[group->id] = group;
}

struct log_group *log_groups_get(struct log_groups *groups, uint64_t id)
{
    struct log_group *group = log_groups_find(groups, id);
    if (group != NULL) {
        return group;
    }
    if (groups->by_id.count >= LOG_GROUP_COUNT_MAX) {
        return NULL;
    }
    group = memory_new_aligned(LOG_GROUP_ALIGNMENT, sizeof(*group));
    memset(group, 0, sizeof(*group));
    group->id = id;
    group->index.block_entries_max = groups->block_entries_max;
    map_put(&groups->by_id, id, group);
    if (id < LOG_GROUP_SMALL_MAX) {
        log_groups_note_small(groups, group);
    }
    return group;
}

static int log_groups_compare(const void *a, const void *b)
{
    uint64_t left = *(const uint64_t *)a;
    uint64_t right = *(const uint64_t *)b;
    return left < right ? -1 : left > right;
}

static void log_groups_sort(struct log_groups *groups)
{
    size_t position = 0;
    size_t count = 0;
    void *value = NULL;
    groups->sorted = memory_resize(groups->sorted, groups->by_id.count * sizeof(uint64_t));
    while (map_next(&groups->by_id, &position, &groups->sorted[count], &value)) {
        count++;
        if (count == groups->by_id.count) {
            break;
        }
    }
    assert(count == groups->by_id.count);
    qsort(groups->sorted, count, sizeof(uint64_t), log_groups_compare);
    groups->sorted_count = count;
}

struct log_group *log_groups_next(struct log_groups *groups, uint64_t after)
{
    if (groups->sorted_count != groups->by_id.count) {
        log_groups_sort(groups);
    }
    size_t low = 0;
    size_t high = groups->sorted_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (groups->sorted[middle] <= after) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    for (; low < groups->sorted_count; low++) {
        struct log_group *group = map_get(&groups->by_id, groups->sorted[low]);
        if (group->bounds.exists) {
            return group;
        }
    }
    return NULL;
}

/* The next entry is at that index: an empty log may start anywhere, also below what was committed before it was
 * emptied. */
static void log_group_start(struct log_group *group, uint64_t index)
{
    struct log_group_bounds *bounds = &group->bounds;
    if (bounds->last == bounds->floor && !bounds->anchored) {
        bounds->floor = index - 1;
        group->commit_needed = group->commit_needed < index - 1 ? group->commit_needed : index - 1;
    }
}

void log_group_incarnate(struct log_group *group, uint64_t incarnation)
{
    if (group->incarnation != incarnation) {
        group->incarnation = incarnation;
        group->check = log_format_group_check(group->id, incarnation);
    }
}

void log_group_append(struct log_group *group, uint64_t index, const struct log_location *location)
{
    struct log_group_bounds *bounds = &group->bounds;
    log_group_start(group, index);
    log_index_append(&group->index, index, location);
    bounds->last = index;
    bounds->term_last = location->term;
    bounds->exists = true;
    group->payload_bytes += location->size;
    group->entry_count++;
    group->removed = false;
}

void log_group_append_cold(struct log_group *group, const struct log_index_cold *cold,
                           const struct log_index_item *terms)
{
    struct log_group_bounds *bounds = &group->bounds;
    log_group_start(group, cold->index_first);
    log_index_append_cold(&group->index, cold, terms);
    bounds->last = cold->index_first + (cold->count - 1);
    bounds->term_last = log_index_format_term_run(terms, terms->term_count - 1).term;
    bounds->exists = true;
    group->payload_bytes += cold->body_bytes;
    group->entry_count += cold->count;
    group->removed = false;
}

void log_group_append_lost(struct log_group *group, uint64_t index, uint64_t term)
{
    struct log_group_bounds *bounds = &group->bounds;
    log_group_start(group, index);
    bounds->last = index;
    bounds->term_last = term;
    bounds->exists = true;
    group->removed = false;
}

static void log_group_subtract(struct log_group *group, struct log_index_removed removed)
{
    assert(group->entry_count >= removed.count && group->payload_bytes >= removed.body_bytes);
    group->entry_count -= removed.count;
    group->payload_bytes -= removed.body_bytes;
}

/* The live record of a hard state or a floor is in another segment from now on; NULL: there is none. */
static void log_group_place_state(struct log_segment **place, struct log_segment *segment)
{
    if (*place != NULL) {
        assert((*place)->live_states > 0);
        (*place)->live_states--;
    }
    if (segment != NULL) {
        segment->live_states++;
    }
    *place = segment;
}

void log_group_truncate(struct log_group *group, uint64_t from)
{
    struct log_group_bounds *bounds = &group->bounds;
    if (from > bounds->last) {
        return;
    }
    group->rewrites++;
    log_group_subtract(group, log_index_remove_from(&group->index, from));
    bounds->last = from - 1 > bounds->floor ? from - 1 : bounds->floor;
    bounds->term_last = bounds->last > bounds->floor ? 0 : bounds->floor_term;
    if (bounds->last > bounds->floor) {
        (void)log_index_term(&group->index, bounds->last, &bounds->term_last);
    }
    if (group->durable > bounds->last) {
        group->durable = bounds->last;
    }
    if (group->commit_needed > bounds->last) {
        group->commit_needed = bounds->last;
    }
}

void log_group_hard_state(struct log_group *group, struct hf_hard_state state, struct log_segment *segment)
{
    group->hard_state = state;
    log_group_place_state(&group->hard_state_segment, segment);
    group->commit_needed = state.commit < group->bounds.last ? state.commit : group->bounds.last;
    group->bounds.exists = true;
    group->removed = false;
}

void log_group_reset(struct log_group *group, uint64_t index, uint64_t term, struct hf_bytes snapshot_name,
                     struct log_segment *segment)
{
    assert(snapshot_name.size <= HF_LOG_SNAPSHOT_NAME_SIZE_MAX && index < UINT64_MAX);
    group->rewrites++;
    log_group_subtract(group, log_index_remove_from(&group->index, 0));
    group->bounds = (struct log_group_bounds){
        .floor = index, .last = index, .term_last = term, .floor_term = term, .anchored = true, .exists = true};
    log_group_place_state(&group->floor_segment, segment);
    group->durable = 0;
    group->applied = index; /* the snapshot holds it */
    free(group->install);
    group->install = NULL;
    group->commit_needed = 0;
    log_group_name_snapshot(group, snapshot_name);
    group->removed = false;
    group->damaged = false;
    group->contradicted = false;
    group->unreadable = 0;
    group->open = false;
}

void log_group_compact(struct log_group *group, uint64_t index, uint64_t term, struct log_segment *segment)
{
    struct log_group_bounds *bounds = &group->bounds;
    assert(index > bounds->floor && index <= bounds->last);
    log_group_subtract(group, log_index_remove_to(&group->index, index));
    bounds->floor = index;
    bounds->floor_term = term;
    bounds->anchored = true;
    if (bounds->last == index) {
        bounds->term_last = term;
    }
    log_group_place_state(&group->floor_segment, segment);
}

void log_group_anchor(struct log_group *group, struct log_segment *segment)
{
    log_group_place_state(&group->hard_state_segment, segment);
}

void log_group_move_floor(struct log_group *group, struct log_segment *segment)
{
    log_group_place_state(&group->floor_segment, segment);
}

void log_group_remove(struct log_group *group, struct log_segment *segment)
{
    log_index_remove_from(&group->index, 0);
    log_index_close(&group->index);
    log_group_anchor(group, NULL);
    log_group_move_floor(group, NULL);
    free(group->install);
    *group = (struct log_group){.id = group->id,
                                .tombstone = group->incarnation,
                                .tombstone_run = group->run_number,
                                .removed = true,
                                .rewrites = group->rewrites + 1,
                                .check_turn = group->check_turn,
                                .checked = group->checked,
                                .holes_cleared = group->holes_cleared};
    log_group_place_state(&group->hard_state_segment, segment);
}

void log_group_move(struct log_group *group, uint64_t index, const struct log_location *location)
{
    uint64_t before = log_index_move(&group->index, index, location);
    assert(group->payload_bytes >= before);
    group->payload_bytes = group->payload_bytes - before + location->size;
}

void log_group_name_snapshot(struct log_group *group, struct hf_bytes name)
{
    assert(name.size <= HF_LOG_SNAPSHOT_NAME_SIZE_MAX);
    memset(group->snapshot_name, 0, sizeof(group->snapshot_name));
    group->snapshot_name_size = (uint32_t)name.size;
    if (name.size > 0) {
        memcpy(group->snapshot_name, name.data, name.size);
    }
}

void log_group_begin_open(struct log_group *group, uint64_t last)
{
    group->open = true;
    group->bounds = (struct log_group_bounds){.last = last, .exists = true};
    group->removed = false;
}

void log_group_insert(struct log_group *group, uint64_t index, const struct log_location *location)
{
    assert(index > group->bounds.floor && index <= group->bounds.last);
    log_index_insert(&group->index, index, location);
    group->payload_bytes += location->size;
    group->entry_count++;
}

void log_group_settle(struct log_group *group)
{
    struct log_group_bounds *bounds = &group->bounds;
    uint64_t first = 0;
    if (!group->open) {
        return;
    }
    group->open = false;
    if (!bounds->anchored && !group->start_lost) { /* never compacted: all its entries are there, or none */
        bounds->floor = log_index_next(&group->index, 0, &first) ? first - 1 : bounds->last;
    }
    bounds->term_last = bounds->last > bounds->floor ? 0 : bounds->floor_term;
    if (bounds->last > bounds->floor) {
        (void)log_index_term(&group->index, bounds->last, &bounds->term_last);
    }
}

bool log_group_is_whole(const struct log_group *group)
{
    const struct log_group_bounds *bounds = &group->bounds;
    return !group->state_lost && !group->contradicted && group->unreadable == 0 &&
           bounds->last - bounds->floor == group->entry_count && group->commit_needed <= bounds->last;
}

void log_group_doubt(struct log_group *group)
{
    uint64_t kept = group->hard_state.commit > group->bounds.floor ? group->hard_state.commit : group->bounds.floor;
    if (kept < group->bounds.last) {
        log_group_subtract(group, log_index_remove_from(&group->index, kept + 1));
        group->bounds.term_last = 0;
    }
}

void log_group_extend(struct log_group *group, uint64_t last)
{
    assert(last > group->bounds.last);
    group->bounds.last = last;
    group->bounds.term_last = 0;
    group->bounds.exists = true;
    group->removed = false;
}

int log_group_term(const struct log_group *group, uint64_t index, uint64_t *out)
{
    const struct log_group_bounds *bounds = &group->bounds;
    *out = 0;
    if (index > bounds->last) {
        return error_raise(HF_EUNAVAILABLE, "group %" PRIu64 ": index %" PRIu64 " lies beyond the last, %" PRIu64,
                           group->id, index, bounds->last);
    }
    if (index == bounds->floor && (index == 0 || bounds->floor_term != 0)) {
        *out = bounds->floor_term;
        return 0;
    }
    if (index <= bounds->floor) {
        return error_raise(HF_ECOMPACTED, "group %" PRIu64 ": index %" PRIu64 " lies below the first", group->id,
                           index);
    }
    if (!log_index_term(&group->index, index, out)) {
        return error_raise(HF_ECORRUPT, "group %" PRIu64 ": entry %" PRIu64 " was lost to damage", group->id, index);
    }
    return 0;
}

uint64_t log_group_oldest_segment(const struct log_group *group)
{
    const struct log_segment *candidates[] = {log_index_oldest(&group->index), group->hard_state_segment,
                                              group->floor_segment};
    uint64_t oldest = 0;
    for (size_t i = 0; i < sizeof(candidates) / sizeof(candidates[0]); i++) {
        if (candidates[i] != NULL && (oldest == 0 || candidates[i]->header.number < oldest)) {
            oldest = candidates[i]->header.number;
        }
    }
    return oldest;
}

static uint64_t log_group_mark(struct log_segment *segment, uint64_t mark)
{
    if (segment == NULL || segment->mark == mark) {
        return 0;
    }
    segment->mark = mark;
    return 1;
}

uint64_t log_group_segments_held(const struct log_group *group, uint64_t mark)
{
    uint64_t count = log_group_mark(group->hard_state_segment, mark) + log_group_mark(group->floor_segment, mark);
    for (size_t i = 0; i < group->index.count; i++) {
        count += log_group_mark(group->index.blocks[i]->segment, mark);
    }
    return count;
}

void log_group_describe(const struct log_group *group, struct hf_log_group_state *out)
{
    *out = (struct hf_log_group_state){
        .first_index = group->bounds.floor + 1,
        .last_index = group->bounds.last,
        .durable_index = group->durable,
        .floor_term = group->bounds.floor_term,
        .incarnation = group->incarnation,
        .bytes = group->payload_bytes,
        /* Payloads are padded to 8 bytes; the mean of that is counted. */
        .bytes_on_disk = group->payload_bytes + group->entry_count * (LOG_FORMAT_RECORD_HEADER_SIZE + 4),
        .segment_oldest = log_group_oldest_segment(group),
        .hard_state = group->hard_state,
        .snapshot_name_size = group->snapshot_name_size,
        .exists = group->bounds.exists,
        .removed = group->removed,
        .damaged = group->damaged,
        .state_lost = group->state_lost,
    };
    memcpy(out->snapshot_name, group->snapshot_name, sizeof(out->snapshot_name));
}
