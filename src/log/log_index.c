#include "log/log_index.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/trace.h"

#define LOG_INDEX_CAPACITY_MIN       16u
#define LOG_INDEX_CAPACITY_FIRST_MAX 512u /* 4 KiB */

/* ---- one block ---- */

static void log_index_block_close(struct log_index_block *block)
{
    if (block == NULL) {
        return;
    }
    free(block->slots);
    free(block->changes);
    free(block);
}

static uint64_t log_index_block_last(const struct log_index_block *block)
{
    assert(block->count > 0);
    return block->index_first + (block->count - 1);
}

static void log_index_account(struct log_index_block *block, uint64_t count, uint64_t body_bytes)
{
    block->body_bytes += body_bytes;
    block->segment->live_entries += count;
    block->segment->lived_entries += count;
    block->segment->live_bytes += body_bytes;
}

static void log_index_unaccount(struct log_index_block *block, uint64_t count, uint64_t body_bytes)
{
    struct log_segment *segment = block->segment;
    assert(block->body_bytes >= body_bytes);
    assert(segment->live_entries >= count && segment->live_bytes >= body_bytes);
    block->body_bytes -= body_bytes;
    segment->live_entries -= count;
    segment->live_bytes -= body_bytes;
}

static uint64_t log_index_block_term(const struct log_index_block *block, uint64_t entry_index)
{
    uint32_t low = 0; /* changes before it are at or below entry_index */
    uint32_t high = block->change_count;
    if (high > 0 && block->changes[high - 1].index <= entry_index) {
        return block->changes[high - 1].term; /* the usual case: recent entries */
    }
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (block->changes[middle].index <= entry_index) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low == 0 ? block->term : block->changes[low - 1].term;
}

static void log_index_block_add_change(struct log_index_block *block, uint64_t entry_index, uint64_t term)
{
    if (block->change_count == block->change_capacity) {
        block->change_capacity = block->change_capacity == 0 ? 2 : block->change_capacity * 2;
        block->changes = memory_resize(block->changes, block->change_capacity * sizeof(struct log_term_run));
    }
    block->changes[block->change_count++] = (struct log_term_run){.index = entry_index, .term = term};
}

static void log_index_block_note_term(struct log_index_block *block, uint64_t entry_index, uint64_t term)
{
    uint64_t before = block->change_count > 0 ? block->changes[block->change_count - 1].term : block->term;
    if (block->count == 0) {
        block->term = term;
    } else if (before != term) {
        log_index_block_add_change(block, entry_index, term);
    }
}

static bool log_index_takes(const struct log_index *index, const struct log_index_block *block, uint64_t entry_index,
                            const struct log_segment *segment)
{
    uint32_t max = index->block_entries_max != 0 ? index->block_entries_max : LOG_INDEX_BLOCK_ENTRIES_DEFAULT;
    return block->segment == segment && block->slots != NULL && block->count < max &&
           log_index_block_last(block) == entry_index - 1;
}

static void log_index_block_reserve(struct log_index_block *block, uint32_t capacity)
{
    block->capacity = capacity;
    block->slots = memory_resize(block->slots, capacity * sizeof(struct log_slot));
}

/* Adds the entry behind the last one of the block. */
static void log_index_block_add(struct log_index_block *block, const struct log_location *location)
{
    uint32_t used = block->dropped + block->count;
    if (used == block->capacity) {
        log_index_block_reserve(block, block->capacity == 0 ? LOG_INDEX_CAPACITY_MIN : block->capacity * 2);
    }
    assert(location->offset % 8 == 0 && location->offset / 8 <= UINT32_MAX);
    log_index_block_note_term(block, block->index_first + block->count, location->term);
    block->slots[used] = (struct log_slot){.offset_eighth = (uint32_t)(location->offset / 8), .size = location->size};
    block->count++;
    log_index_account(block, 1, location->size);
}

/* The same of a cold block: reads up to two pages of the index file. When they cannot be read, a share in proportion
 * takes the place of the sum; the sums of a block's parts agree with the whole in any case. */
static uint64_t log_index_block_sum_cold(const struct log_index_block *block, uint32_t position, uint32_t count)
{
    uint64_t sum = 0;
    const struct log_index_file *file = block->segment->index_file;
    if (log_index_file_sum(file, (uint64_t)block->file_slot + position, count, &sum) != 0) {
        TRACE(TRACE_WARN, "log", "the bytes of a group are estimated: %s", hf_error_text());
        sum = block->body_bytes / block->count * count;
    }
    return sum < block->body_bytes ? sum : block->body_bytes;
}

/* The sum of the sizes of `count` entries from the position-th of the block on. */
static uint64_t log_index_block_sum(const struct log_index_block *block, uint32_t position, uint32_t count)
{
    if (block->slots == NULL) {
        return log_index_block_sum_cold(block, position, count);
    }
    const struct log_slot *slots = block->slots + block->dropped + position;
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++) {
        sum += slots[i].size;
    }
    return sum;
}

/* Forgets the first entries of a block, not all of them. */
static void log_index_block_drop(struct log_index_block *block, uint32_t count)
{
    assert(count < block->count);
    block->index_first += count;
    block->count -= count;
    if (block->slots != NULL) {
        block->dropped += count;
    } else {
        block->file_slot += count;
    }
    uint32_t gone = 0;
    while (gone < block->change_count && block->changes[gone].index <= block->index_first) {
        block->term = block->changes[gone].term;
        gone++;
    }
    if (gone > 0) {
        block->change_count -= gone;
        memmove(block->changes, block->changes + gone, block->change_count * sizeof(struct log_term_run));
    }
    if (block->slots != NULL && block->dropped > block->count) {
        memmove(block->slots, block->slots + block->dropped, block->count * sizeof(struct log_slot));
        block->dropped = 0;
    }
}

/* Forgets all but the first `kept` ≥ 1 entries. */
static void log_index_block_cut(struct log_index_block *block, uint32_t kept)
{
    assert(kept > 0);
    block->count = kept;
    while (block->change_count > 0 && block->changes[block->change_count - 1].index > log_index_block_last(block)) {
        block->change_count--;
    }
}

/* ---- the list of blocks ---- */

void log_index_close(struct log_index *index)
{
    for (size_t i = 0; i < index->count; i++) {
        log_index_block_close(index->blocks[i]);
    }
    free(index->blocks);
    *index = (struct log_index){.block_entries_max = index->block_entries_max};
}

static void log_index_note_last(struct log_index *index)
{
    index->last = index->count > 0 ? index->blocks[index->count - 1] : NULL;
}

/* A new block, without entries, at that place of the list. */
static struct log_index_block *log_index_add_block(struct log_index *index, size_t at, struct log_segment *segment,
                                                   uint64_t index_first)
{
    if (index->count == index->capacity) {
        index->capacity = index->capacity == 0 ? 4 : index->capacity * 2;
        index->blocks = memory_resize(index->blocks, index->capacity * sizeof(struct log_index_block *));
    }
    struct log_index_block *block = memory_new(sizeof(*block));
    block->segment = segment;
    block->index_first = index_first;
    memmove(index->blocks + at + 1, index->blocks + at, (index->count - at) * sizeof(struct log_index_block *));
    index->blocks[at] = block;
    index->count++;
    log_index_note_last(index);
    return block;
}

static void log_index_delete_block(struct log_index *index, size_t at)
{
    log_index_block_close(index->blocks[at]);
    index->count--;
    memmove(index->blocks + at, index->blocks + at + 1, (index->count - at) * sizeof(struct log_index_block *));
    log_index_note_last(index);
}

/* The position of the last block whose first index is ≤ entry_index; index->count when there is none. */
static size_t log_index_block_at(const struct log_index *index, uint64_t entry_index)
{
    if (index->count == 0 || index->blocks[0]->index_first > entry_index) {
        return index->count;
    }
    if (index->last->index_first <= entry_index) {
        return index->count - 1; /* the usual case: recent entries */
    }
    size_t low = 0;
    size_t high = index->count - 1;
    while (low + 1 < high) {
        size_t middle = low + (high - low) / 2;
        if (index->blocks[middle]->index_first <= entry_index) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

/* The block that holds the entry; index->count when none does. */
static size_t log_index_holder(const struct log_index *index, uint64_t entry_index)
{
    size_t at = log_index_block_at(index, entry_index);
    bool holds = at < index->count && entry_index - index->blocks[at]->index_first < index->blocks[at]->count;
    return holds ? at : index->count;
}

/* ---- adding ---- */

/* A group is about as busy in one segment as it was in the one before: what it had there tells where to begin, so that
 * the blocks of many groups do not all grow step by step. */
static uint32_t log_index_capacity_after(const struct log_index_block *before)
{
    uint32_t half = before != NULL ? before->count / 2 : 0;
    half = half < LOG_INDEX_CAPACITY_FIRST_MAX ? half : LOG_INDEX_CAPACITY_FIRST_MAX;
    return half > LOG_INDEX_CAPACITY_MIN ? half : LOG_INDEX_CAPACITY_MIN;
}

void log_index_append(struct log_index *index, uint64_t entry_index, const struct log_location *location)
{
    struct log_index_block *block = index->last;
    assert(block == NULL || log_index_block_last(block) < entry_index);
    if (block == NULL || !log_index_takes(index, block, entry_index, location->segment)) {
        index->scattered |= block != NULL && block->segment->header.number > location->segment->header.number;
        uint32_t capacity = log_index_capacity_after(block);
        block = log_index_add_block(index, index->count, location->segment, entry_index);
        log_index_block_reserve(block, capacity);
    }
    log_index_block_add(block, location);
}

/* Adds the entry behind the block `at`, or to it. Returns the place of the block that holds it. */
static size_t log_index_add_behind(struct log_index *index, size_t at, uint64_t entry_index,
                                   const struct log_location *location)
{
    bool extends = at < index->count && log_index_takes(index, index->blocks[at], entry_index, location->segment);
    if (!extends) {
        at = at < index->count ? at + 1 : 0;
        log_index_add_block(index, at, location->segment, entry_index);
    }
    log_index_block_add(index->blocks[at], location);
    return at;
}

void log_index_insert(struct log_index *index, uint64_t entry_index, const struct log_location *location)
{
    size_t at = log_index_block_at(index, entry_index);
    assert(at == index->count || log_index_block_last(index->blocks[at]) < entry_index);
    index->scattered |= at + 1 != index->count;
    if (at + 1 == index->count) {
        log_index_append(index, entry_index, location);
    } else {
        log_index_add_behind(index, at, entry_index, location);
    }
}

/* ---- moving ---- */

/* What lies behind the first `kept` entries of a block becomes a block of its own. */
static void log_index_split(struct log_index *index, size_t at, uint32_t kept)
{
    struct log_index_block *left = index->blocks[at];
    uint32_t count = left->count - kept;
    struct log_index_block *right = log_index_add_block(index, at + 1, left->segment, left->index_first + kept);
    right->file_slot = left->file_slot + kept;
    if (left->slots != NULL) {
        const struct log_slot *slots = left->slots + left->dropped + kept;
        right->slots = memory_resize(NULL, count * sizeof(struct log_slot));
        right->capacity = count;
        memcpy(right->slots, slots, count * sizeof(struct log_slot));
    }
    right->term = log_index_block_term(left, right->index_first);
    for (uint32_t i = 0; i < left->change_count; i++) {
        if (left->changes[i].index > right->index_first) {
            log_index_block_add_change(right, left->changes[i].index, left->changes[i].term);
        }
    }
    right->body_bytes = log_index_block_sum(left, kept, count);
    right->count = count;
    left->body_bytes -= right->body_bytes;
    log_index_block_cut(left, kept);
}

uint64_t log_index_move(struct log_index *index, uint64_t entry_index, const struct log_location *location)
{
    size_t at = log_index_holder(index, entry_index);
    assert(at < index->count && log_index_block_term(index->blocks[at], entry_index) == location->term);
    uint32_t position = (uint32_t)(entry_index - index->blocks[at]->index_first);
    if (position > 0) {
        log_index_split(index, at, position);
        at++;
    }
    /* Now it is the first of its block. Of a block whose sum was estimated the last one takes what is left. */
    struct log_index_block *block = index->blocks[at];
    bool last = block->count == 1;
    uint64_t taken = last || location->size > block->body_bytes ? block->body_bytes : location->size;
    log_index_unaccount(block, 1, taken);
    if (last) {
        log_index_delete_block(index, at);
    } else {
        log_index_block_drop(block, 1);
    }
    index->scattered = true;
    log_index_add_behind(index, at > 0 ? at - 1 : index->count, entry_index, location);
    return taken;
}

/* ---- cold blocks ---- */

void log_index_append_cold(struct log_index *index, const struct log_index_cold *cold,
                           const struct log_index_item *terms)
{
    struct log_index_block *before = index->last;
    assert(before == NULL || log_index_block_last(before) < cold->index_first);
    index->scattered |= before != NULL && before->segment->header.number > cold->segment->header.number;
    struct log_index_block *block = log_index_add_block(index, index->count, cold->segment, cold->index_first);
    block->file_slot = cold->file_slot;
    block->term = log_index_format_term_run(terms, 0).term;
    for (uint32_t i = 1; i < terms->term_count; i++) {
        struct log_term_run run = log_index_format_term_run(terms, i);
        log_index_block_add_change(block, run.index, run.term);
    }
    block->count = cold->count;
    log_index_account(block, cold->count, cold->body_bytes);
}

/* How many entries of the block, from `position` on, lie where the slots say. An entry that was overwritten later lies
 * elsewhere, and so do all behind it. */
static uint32_t log_index_matching(const struct log_index_block *block, uint32_t position, const struct log_slot *slots,
                                   uint32_t count)
{
    const struct log_slot *own = block->slots + block->dropped + position;
    uint32_t low = 0; /* so many match */
    uint32_t high = count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (own[middle].offset_eighth == slots[middle].offset_eighth) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* Gives up the memory of the part of block `at` that matches; returns where to look on. */
static size_t log_index_chill_block(struct log_index *index, size_t at, const struct log_index_cold *cold,
                                    const struct log_slot *slots)
{
    struct log_index_block *block = index->blocks[at];
    uint64_t cold_last = cold->index_first + (cold->count - 1);
    uint64_t low = block->index_first > cold->index_first ? block->index_first : cold->index_first;
    uint64_t high = log_index_block_last(block) < cold_last ? log_index_block_last(block) : cold_last;
    if (block->segment != cold->segment || block->slots == NULL || low > high) {
        return at + 1;
    }
    uint32_t position = (uint32_t)(low - block->index_first);
    uint32_t matching =
        log_index_matching(block, position, slots + (low - cold->index_first), (uint32_t)(high - low + 1));
    if (matching == 0) {
        return at + 1;
    }
    if (position > 0) {
        log_index_split(index, at, position);
        at++;
    }
    block = index->blocks[at];
    if (matching < block->count) {
        log_index_split(index, at, matching);
    }
    free(block->slots);
    block->slots = NULL;
    block->dropped = 0;
    block->capacity = 0;
    block->file_slot = cold->file_slot + (uint32_t)(low - cold->index_first);
    return at + 1;
}

void log_index_chill(struct log_index *index, const struct log_index_cold *cold, const struct log_slot *slots)
{
    uint64_t cold_last = cold->index_first + (cold->count - 1);
    size_t at = log_index_block_at(index, cold->index_first);
    at = at == index->count ? 0 : at;
    while (at < index->count && index->blocks[at]->index_first <= cold_last) {
        at = log_index_chill_block(index, at, cold, slots);
    }
}

/* ---- finding ---- */

bool log_index_find(const struct log_index *index, uint64_t entry_index, struct log_location *out)
{
    size_t hint = index->count;
    return log_index_find_near(index, entry_index, &hint, out);
}

bool log_index_find_near(const struct log_index *index, uint64_t entry_index, size_t *hint, struct log_location *out)
{
    size_t at = *hint;
    bool near = at < index->count && entry_index - index->blocks[at]->index_first < index->blocks[at]->count;
    at = near ? at : log_index_holder(index, entry_index);
    *hint = at;
    if (at == index->count) {
        return false;
    }
    const struct log_index_block *block = index->blocks[at];
    uint32_t position = (uint32_t)(entry_index - block->index_first);
    *out = (struct log_location){.segment = block->segment, .term = log_index_block_term(block, entry_index)};
    if (block->slots == NULL) {
        out->file_slot = block->file_slot + position;
        return true;
    }
    const struct log_slot *slot = &block->slots[block->dropped + position];
    out->offset = (uint64_t)slot->offset_eighth * 8;
    out->size = slot->size;
    return true;
}

bool log_index_term(const struct log_index *index, uint64_t entry_index, uint64_t *out)
{
    size_t at = log_index_holder(index, entry_index);
    if (at == index->count) {
        return false;
    }
    *out = log_index_block_term(index->blocks[at], entry_index);
    return true;
}

bool log_index_lies_in(const struct log_index *index, uint64_t entry_index, const struct log_segment *segment)
{
    size_t at = log_index_holder(index, entry_index);
    return at < index->count && index->blocks[at]->segment == segment;
}

bool log_index_last(const struct log_index *index, uint64_t *out)
{
    if (index->last == NULL) {
        return false;
    }
    *out = log_index_block_last(index->last);
    return true;
}

bool log_index_next(const struct log_index *index, uint64_t from, uint64_t *out)
{
    size_t at = log_index_block_at(index, from);
    if (at < index->count && log_index_block_last(index->blocks[at]) >= from) {
        *out = from;
        return true;
    }
    at = at == index->count ? 0 : at + 1;
    if (at >= index->count) {
        return false;
    }
    *out = index->blocks[at]->index_first;
    return true;
}

uint64_t log_index_absent(const struct log_index *index, uint64_t from)
{
    size_t at = log_index_block_at(index, from);
    for (; at < index->count && index->blocks[at]->index_first <= from; at++) {
        uint64_t last = log_index_block_last(index->blocks[at]);
        from = last >= from && last != UINT64_MAX ? last + 1 : from;
    }
    return from;
}

struct log_segment *log_index_oldest(const struct log_index *index)
{
    struct log_segment *oldest = index->count > 0 ? index->blocks[0]->segment : NULL;
    for (size_t i = 1; index->scattered && i < index->count; i++) {
        struct log_segment *segment = index->blocks[i]->segment;
        oldest = segment->header.number < oldest->header.number ? segment : oldest;
    }
    return oldest;
}

/* ---- removing ---- */

/* Takes entries of one block off the accounts; the block itself is changed by the caller. */
static void log_index_take_off(struct log_index_block *block, uint32_t position, uint32_t count,
                               struct log_index_removed *removed)
{
    uint64_t sum = count == block->count ? block->body_bytes : log_index_block_sum(block, position, count);
    log_index_unaccount(block, count, sum);
    removed->count += count;
    removed->body_bytes += sum;
}

struct log_index_removed log_index_remove_from(struct log_index *index, uint64_t from)
{
    struct log_index_removed removed = {0};
    while (index->count > 0) {
        struct log_index_block *block = index->last;
        if (log_index_block_last(block) < from) {
            break;
        }
        if (block->index_first < from) {
            uint32_t kept = (uint32_t)(from - block->index_first);
            log_index_take_off(block, kept, block->count - kept, &removed);
            log_index_block_cut(block, kept);
            break;
        }
        log_index_take_off(block, 0, block->count, &removed);
        log_index_block_close(block);
        index->count--;
        log_index_note_last(index);
    }
    return removed;
}

struct log_index_removed log_index_remove_to(struct log_index *index, uint64_t up_to)
{
    struct log_index_removed removed = {0};
    size_t gone = 0;
    while (gone < index->count && log_index_block_last(index->blocks[gone]) <= up_to) {
        log_index_take_off(index->blocks[gone], 0, index->blocks[gone]->count, &removed);
        log_index_block_close(index->blocks[gone]);
        gone++;
    }
    index->count -= gone;
    if (gone > 0) {
        memmove(index->blocks, index->blocks + gone, index->count * sizeof(struct log_index_block *));
        log_index_note_last(index);
    }
    struct log_index_block *block = index->count > 0 ? index->blocks[0] : NULL;
    if (block != NULL && block->index_first <= up_to) {
        uint32_t count = (uint32_t)(up_to - block->index_first + 1);
        log_index_take_off(block, 0, count, &removed);
        log_index_block_drop(block, count);
    }
    return removed;
}
