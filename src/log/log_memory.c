#include "log/log_memory.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "log/log_append.h"
#include "log/log_check.h"
#include "log/log_state.h"

#define LOG_MEMORY_ARENA_SIZE_MAX (UINT64_C(1) << 20)
#define LOG_MEMORY_ARENA_START    64u /* a location at offset 0 is one that is not known (log_index.h) */

struct log_memory *log_memory_open(uint64_t segment_size_bytes)
{
    struct log_memory *memory = memory_new(sizeof(*memory));
    memory->arena_bytes =
        segment_size_bytes < LOG_MEMORY_ARENA_SIZE_MAX ? segment_size_bytes : LOG_MEMORY_ARENA_SIZE_MAX;
    return memory;
}

void log_memory_close(struct log_memory *memory)
{
    if (memory != NULL) {
        log_segment_table_close(&memory->arenas);
        free(memory);
    }
}

/* ---- arenas ---- */

static struct log_segment *log_memory_tail(const struct log_memory *memory)
{
    return memory->arenas.count > 0 ? memory->arenas.items[memory->arenas.count - 1] : NULL;
}

static uint64_t log_memory_rest(const struct log_memory *memory)
{
    const struct log_segment *tail = log_memory_tail(memory);
    return tail != NULL ? tail->header.size_bytes - tail->used_bytes : 0;
}

/* What one append may still bring: it goes into the rest of the last arena, or into a new one. */
uint64_t log_memory_capacity(const struct hf_log *log)
{
    uint64_t bytes = log->memory->bytes;
    uint64_t left = bytes < log->options.memory_bytes_max ? log->options.memory_bytes_max - bytes : 0;
    uint64_t rest = log_memory_rest(log->memory);
    return rest > left ? rest : left;
}

static void log_memory_add_arena(struct hf_log *log, uint64_t size)
{
    struct log_memory *memory = log->memory;
    struct log_segment_header header = {.number = ++memory->number, .size_bytes = size};
    io_random(log->io, &header.incarnation, sizeof(header.incarnation));
    struct log_segment *arena = log_segment_new(&header);
    arena->state = LOG_SEGMENT_SEALED;
    arena->used_bytes = LOG_MEMORY_ARENA_START;
    arena->memory = memory_new_aligned(LOG_FORMAT_BLOCK_SIZE, size);
    log_segment_table_append(&memory->arenas, arena);
    memory->bytes += size;
}

/* Gives back the arenas that nothing lives in and nobody reads, but for the one that is being filled. */
static void log_memory_sweep(struct log_memory *memory)
{
    size_t kept = 0;
    for (size_t i = 0; i < memory->arenas.count; i++) {
        struct log_segment *arena = memory->arenas.items[i];
        bool last = i + 1 == memory->arenas.count;
        if (last || arena->pins > 0 || !log_segment_is_dead(arena)) {
            memory->arenas.items[kept++] = arena;
            continue;
        }
        memory->bytes -= arena->header.size_bytes;
        log_segment_close(arena);
    }
    memory->arenas.count = kept;
}

/* ---- limits ---- */

/* Entries in all groups after the batch, whose check has just left what each group would become. */
static uint64_t log_memory_entries_after(struct hf_log *log, const struct hf_log_batch *batch)
{
    uint64_t entries = log->memory->entries;
    uint64_t turn = ++log->memory->check_turn;
    for (size_t i = 0; i < batch->count; i++) {
        struct log_group *group = log_groups_find(&log->groups, batch->operations[i].group);
        if (group->memory_turn == turn) {
            continue;
        }
        group->memory_turn = turn;
        group->memory_kept = false;
        entries -= group->bounds.last - group->bounds.floor;
        entries += group->checked.last - group->checked.floor;
    }
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->operations[i].kind != LOG_RECORD_APPEND && batch->operations[i].kind != LOG_RECORD_HARD_STATE) {
            log_groups_find(&log->groups, batch->operations[i].group)->memory_kept = true;
        }
    }
    return entries;
}

/* How many entries at the front of the group may be dropped now. */
static uint64_t log_memory_droppable(const struct hf_log *log, const struct log_group *group)
{
    bool kept = group->memory_turn == log->memory->check_turn && group->memory_kept;
    uint64_t applied = group->applied < group->bounds.last ? group->applied : group->bounds.last;
    if (kept || group->install != NULL || applied <= group->bounds.floor) {
        return 0;
    }
    return applied - group->bounds.floor;
}

static bool log_memory_is_older(const struct log_location *a, const struct log_location *b)
{
    uint64_t left = a->segment->header.number;
    uint64_t right = b->segment->header.number;
    return left < right || (left == right && a->offset < b->offset);
}

/* The group whose first entry was appended first of all that may be dropped, and where the next one of another group
 * lies: entries before that may go with it. */
static struct log_group *log_memory_oldest(struct hf_log *log, struct log_location *bound)
{
    struct log_group *oldest = NULL;
    struct log_location first = {0};
    size_t position = 0;
    uint64_t id = 0;
    void *value = NULL;
    *bound = (struct log_location){0};
    while (map_next(&log->groups.by_id, &position, &id, &value)) {
        struct log_group *group = value;
        struct log_location location;
        if (log_memory_droppable(log, group) == 0 ||
            !log_index_find(&group->index, group->bounds.floor + 1, &location)) {
            continue;
        }
        if (oldest == NULL || log_memory_is_older(&location, &first)) {
            *bound = first;
            first = location;
            oldest = group;
        } else if (bound->segment == NULL || log_memory_is_older(&location, bound)) {
            *bound = location;
        }
    }
    return oldest;
}

/* Drops up to `count` of the oldest applied entries; returns how many. */
static uint64_t log_memory_drop_some(struct hf_log *log, uint64_t count)
{
    struct log_location bound;
    struct log_location location;
    struct log_group *group = log_memory_oldest(log, &bound);
    if (group == NULL) {
        return 0;
    }
    uint64_t droppable = log_memory_droppable(log, group);
    uint64_t limit = droppable < count ? droppable : count;
    uint64_t dropped = 1;
    while (dropped < limit &&
           (bound.segment == NULL || (log_index_find(&group->index, group->bounds.floor + dropped + 1, &location) &&
                                      log_memory_is_older(&location, &bound)))) {
        dropped++;
    }
    uint64_t floor = group->bounds.floor + dropped;
    uint64_t term = 0;
    int rc = log_group_term(group, floor, &term);
    assert(rc == 0); /* a memory log has no holes */
    (void)rc;
    log_group_compact(group, floor, term, NULL);
    log->memory->entries -= dropped;
    return dropped;
}

static uint64_t log_memory_droppable_in_all(const struct hf_log *log)
{
    size_t position = 0;
    uint64_t id = 0;
    void *value = NULL;
    uint64_t count = 0;
    while (map_next(&log->groups.by_id, &position, &id, &value)) {
        count += log_memory_droppable(log, value);
    }
    return count;
}

/* Makes sure that the batch stays within the limits. */
static int log_memory_make_room(struct hf_log *log, const struct hf_log_batch *batch)
{
    struct log_memory *memory = log->memory;
    uint64_t after = log_memory_entries_after(log, batch);
    uint64_t limit = log->options.memory_entries_max;
    uint64_t excess = after > limit && batch->entry_count > 0 ? after - limit : 0;
    bool drops = log->options.when_full == HF_LOG_FULL_DROP_APPLIED;
    if (excess > 0 && (!drops || log_memory_droppable_in_all(log) < excess)) {
        return error_raise(HF_ENOSPACE, "the memory log holds %" PRIu64 " entries, its limit is %" PRIu64,
                           memory->entries, limit);
    }
    while (excess > 0) {
        uint64_t dropped = log_memory_drop_some(log, excess);
        assert(dropped > 0); /* they were counted */
        excess -= dropped;
    }
    uint64_t need = log_memory_rest(memory) < batch->encoded_size ? batch->encoded_size + LOG_MEMORY_ARENA_START : 0;
    need = need > 0 && need < memory->arena_bytes ? memory->arena_bytes : need;
    if (batch->entry_count == 0 || need == 0) {
        return 0;
    }
    log_memory_sweep(memory);
    while (memory->bytes + need > log->options.memory_bytes_max) {
        if (!drops || log_memory_drop_some(log, UINT64_MAX) == 0) {
            return error_raise(HF_ENOSPACE, "the memory log takes %" PRIu64 " bytes, its limit is %" PRIu64,
                               memory->bytes, log->options.memory_bytes_max);
        }
        log_memory_sweep(memory);
    }
    log_memory_add_arena(log, log_format_align_block(need));
    return 0;
}

/* ---- one operation ---- */

static void log_memory_put_entry(struct hf_log *log, struct log_group *group, const struct hf_log_batch *batch,
                                 const struct log_operation *operation)
{
    struct log_segment *tail = log_memory_tail(log->memory);
    struct log_record record = {
        .kind = LOG_RECORD_APPEND,
        .entry_type = operation->entry_type,
        .timestamp_ms = operation->value,
        .index = operation->index,
        .group_check = group->check,
        .term_low = (uint32_t)operation->term,
        .body = log_batch_body(batch, operation),
    };
    uint64_t offset = tail->used_bytes;
    uint32_t seed = log_format_seed(tail->header.incarnation, offset);
    tail->used_bytes += log_record_put(tail->memory + offset, &record, seed);
    assert(tail->used_bytes <= tail->header.size_bytes); /* log_memory_make_room looked */
    struct log_location location = {.segment = tail,
                                    .offset = offset,
                                    .size = operation->body_size + log_record_wide_size(operation->value),
                                    .term = operation->term};
    log_group_append(group, operation->index, &location);
}

static void log_memory_apply(struct hf_log *log, struct log_group *group, const struct hf_log_batch *batch,
                             const struct log_operation *operation)
{
    struct hf_hard_state state = {.term = operation->term, .vote = operation->value, .commit = operation->commit};
    uint64_t term = 0;
    int rc = 0;
    switch (operation->kind) {
    case LOG_RECORD_APPEND:
        log_memory_put_entry(log, group, batch, operation);
        break;
    case LOG_RECORD_TRUNCATE:
        log_group_truncate(group, operation->index);
        break;
    case LOG_RECORD_HARD_STATE:
        log_group_hard_state(group, state, NULL);
        break;
    case LOG_RECORD_RESET:
        log_group_reset(group, operation->index, operation->term, log_batch_body(batch, operation), NULL);
        break;
    case LOG_RECORD_COMPACT:
        rc = log_group_term(group, operation->index, &term);
        assert(rc == 0); /* checked: it lies between first and last */
        log_group_compact(group, operation->index, term, NULL);
        break;
    default:
        assert(operation->kind == LOG_RECORD_REMOVED);
        log_group_remove(group, NULL);
        return;
    }
    group->durable = group->bounds.last;
}

int log_memory_append(struct hf_log *log, const struct hf_log_batch *batch)
{
    struct log_memory *memory = log->memory;
    for (size_t i = 0; i < batch->count; i++) {
        if (batch->operations[i].kind == LOG_RECORD_MOVED) {
            return error_raise(HF_EUNSUPPORTED, "a memory log is not repaired: reset the group");
        }
    }
    int rc = log_memory_make_room(log, batch);
    if (rc != 0) {
        return rc;
    }
    uint64_t rest = log_memory_rest(memory);
    for (size_t i = 0; i < batch->count; i++) {
        const struct log_operation *operation = &batch->operations[i];
        struct log_group *group = log_groups_find(&log->groups, operation->group);
        if (log_check_is_noop(&group->bounds, operation)) {
            continue;
        }
        log_append_incarnate(log, group);
        uint64_t before = group->bounds.last - group->bounds.floor;
        log_memory_apply(log, group, batch, operation);
        memory->entries += group->bounds.last - group->bounds.floor - before;
    }
    uint64_t bytes = rest - log_memory_rest(memory);
    log->reserved_bytes -= bytes < log->reserved_bytes ? bytes : log->reserved_bytes;
    log->appended_entries += batch->entry_count;
    log->appended_bytes += batch->bodies.size;
    return 0;
}
