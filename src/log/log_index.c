#include "log/log_index.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"

#define LOG_INDEX_CAPACITY_MIN 16u

static void log_index_block_close(struct log_index_block *block)
{
    if (block == NULL) {
        return;
    }
    free(block->slots);
    free(block->terms);
    free(block);
}

void log_index_close(struct log_index *index)
{
    for (size_t i = 0; i < index->count; i++) {
        log_index_block_close(index->blocks[i]);
    }
    free(index->blocks);
    *index = (struct log_index){0};
}

static uint64_t log_index_block_last(const struct log_index_block *block)
{
    assert(block->count > 0);
    return block->index_first + (block->count - 1);
}

static struct log_index_block *log_index_add_block(struct log_index *index, struct log_segment *segment,
                                                   uint64_t index_first)
{
    if (index->count == index->capacity) {
        index->capacity = index->capacity == 0 ? 4 : index->capacity * 2;
        index->blocks = memory_resize(index->blocks, index->capacity * sizeof(struct log_index_block *));
    }
    struct log_index_block *block = memory_new(sizeof(*block));
    block->segment = segment;
    block->index_first = index_first;
    index->blocks[index->count++] = block;
    return block;
}

static void log_index_block_add(struct log_index_block *block, const struct log_location *location)
{
    if (block->count == block->capacity) {
        block->capacity = block->capacity == 0 ? LOG_INDEX_CAPACITY_MIN : block->capacity * 2;
        block->slots = memory_resize(block->slots, block->capacity * sizeof(struct log_slot));
    }
    if (block->term_count == 0 || block->terms[block->term_count - 1].term != location->term) {
        if (block->term_count == block->term_capacity) {
            block->term_capacity = block->term_capacity == 0 ? 2 : block->term_capacity * 2;
            block->terms = memory_resize(block->terms, block->term_capacity * sizeof(struct log_term_run));
        }
        block->terms[block->term_count++] = (struct log_term_run){.slot = block->count, .term = location->term};
    }
    assert(location->offset % 8 == 0 && location->offset / 8 <= UINT32_MAX);
    block->slots[block->count++] =
        (struct log_slot){.offset_eighth = (uint32_t)(location->offset / 8), .size = location->size};
}

void log_index_append(struct log_index *index, uint64_t entry_index, const struct log_location *location)
{
    struct log_index_block *block = index->count > 0 ? index->blocks[index->count - 1] : NULL;
    bool continues = block != NULL && block->segment == location->segment && block->count < LOG_INDEX_BLOCK_COUNT_MAX &&
                     log_index_block_last(block) == entry_index - 1;
    assert(block == NULL || log_index_block_last(block) < entry_index);
    if (!continues) {
        block = log_index_add_block(index, location->segment, entry_index);
    }
    log_index_block_add(block, location);
}

/* The position of the last block whose first index is ≤ entry_index; index->count when there is none. */
static size_t log_index_block_at(const struct log_index *index, uint64_t entry_index)
{
    if (index->count == 0 || index->blocks[0]->index_first > entry_index) {
        return index->count;
    }
    if (index->blocks[index->count - 1]->index_first <= entry_index) {
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

static uint64_t log_index_block_term(const struct log_index_block *block, uint32_t slot)
{
    uint32_t low = 0;
    uint32_t high = block->term_count;
    if (block->terms[high - 1].slot <= slot) {
        return block->terms[high - 1].term;
    }
    while (low + 1 < high) {
        uint32_t middle = low + (high - low) / 2;
        if (block->terms[middle].slot <= slot) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return block->terms[low].term;
}

bool log_index_find(const struct log_index *index, uint64_t entry_index, struct log_location *out)
{
    size_t at = log_index_block_at(index, entry_index);
    if (at == index->count) {
        return false;
    }
    const struct log_index_block *block = index->blocks[at];
    uint64_t slot = entry_index - block->index_first;
    if (slot >= block->count || slot < block->skipped) {
        return false;
    }
    *out = (struct log_location){
        .segment = block->segment,
        .offset = (uint64_t)block->slots[slot].offset_eighth * 8,
        .size = block->slots[slot].size,
        .term = log_index_block_term(block, (uint32_t)slot),
    };
    return true;
}

bool log_index_last(const struct log_index *index, uint64_t *out)
{
    if (index->count == 0) {
        return false;
    }
    *out = log_index_block_last(index->blocks[index->count - 1]);
    return true;
}

bool log_index_next(const struct log_index *index, uint64_t from, uint64_t *out)
{
    size_t at = log_index_block_at(index, from);
    if (at < index->count && log_index_block_last(index->blocks[at]) >= from) {
        uint64_t live = index->blocks[at]->index_first + index->blocks[at]->skipped;
        *out = from > live ? from : live;
        return true;
    }
    at = at == index->count ? 0 : at + 1;
    if (at >= index->count) {
        return false;
    }
    *out = index->blocks[at]->index_first + index->blocks[at]->skipped;
    return true;
}

static void log_index_count_slots(const struct log_index_block *block, uint32_t low, uint32_t high,
                                  struct log_index_removed *removed)
{
    for (uint32_t i = low; i < high; i++) {
        removed->payload_bytes += block->slots[i].size;
    }
    removed->count += high - low;
}

struct log_index_removed log_index_remove_from(struct log_index *index, uint64_t from)
{
    struct log_index_removed removed = {0};
    while (index->count > 0) {
        struct log_index_block *block = index->blocks[index->count - 1];
        if (log_index_block_last(block) < from) {
            break;
        }
        uint32_t kept = block->index_first >= from ? 0 : (uint32_t)(from - block->index_first);
        uint32_t live = kept > block->skipped ? kept : block->skipped;
        log_index_count_slots(block, live, block->count, &removed);
        if (kept > block->skipped) {
            block->count = kept;
            while (block->terms[block->term_count - 1].slot >= kept) {
                block->term_count--;
            }
            break;
        }
        log_index_block_close(block);
        index->count--;
    }
    return removed;
}

/* Drops the first `dropped` slots of a block. */
static void log_index_block_drop(struct log_index_block *block, uint32_t dropped)
{
    uint32_t first_run = 0;
    while (first_run + 1 < block->term_count && block->terms[first_run + 1].slot <= dropped) {
        first_run++;
    }
    block->term_count -= first_run;
    memmove(block->terms, block->terms + first_run, block->term_count * sizeof(struct log_term_run));
    for (uint32_t i = 0; i < block->term_count; i++) {
        block->terms[i].slot = block->terms[i].slot > dropped ? block->terms[i].slot - dropped : 0;
    }
    block->count -= dropped;
    block->skipped = 0;
    memmove(block->slots, block->slots + dropped, block->count * sizeof(struct log_slot));
    block->index_first += dropped;
}

struct log_index_removed log_index_remove_to(struct log_index *index, uint64_t up_to)
{
    struct log_index_removed removed = {0};
    size_t gone = 0;
    while (gone < index->count && log_index_block_last(index->blocks[gone]) <= up_to) {
        log_index_count_slots(index->blocks[gone], index->blocks[gone]->skipped, index->blocks[gone]->count, &removed);
        log_index_block_close(index->blocks[gone]);
        gone++;
    }
    index->count -= gone;
    if (gone > 0) {
        memmove(index->blocks, index->blocks + gone, index->count * sizeof(struct log_index_block *));
    }
    struct log_index_block *block = index->count > 0 ? index->blocks[0] : NULL;
    if (block != NULL && block->index_first + block->skipped <= up_to) {
        uint32_t dropped = (uint32_t)(up_to - block->index_first + 1);
        log_index_count_slots(block, block->skipped, dropped, &removed);
        block->skipped = dropped;
        if (dropped >= block->count / 2) {
            log_index_block_drop(block, dropped);
        }
    }
    return removed;
}

struct log_segment *log_index_oldest(const struct log_index *index)
{
    return index->count > 0 ? index->blocks[0]->segment : NULL;
}
