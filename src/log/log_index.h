/* Where the entries of one group are: index → segment, offset, size and term. A list of blocks, one per segment that
 * the group has entries in (and one more behind each hole that damage left), each with its slots side by side and its
 * terms run by run: 8 bytes per entry. A block never changes its segment, so that the blocks of a sealed segment can be
 * written out whole. Not thread-safe: guarded by the log's mutex. */
#ifndef LOG_LOG_INDEX_H
#define LOG_LOG_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log/log_segment.h"

struct log_slot {
    uint32_t offset_eighth; /* of the record in the file, in units of 8 bytes: up to 32 GiB */
    uint32_t size;          /* of the body: the payload, and a wide timestamp (rare) */
};
struct log_term_run {
    uint32_t slot; /* the first one of this term */
    uint64_t term;
};
struct log_index_block {
    struct log_segment *segment;
    uint64_t index_first;
    struct log_slot *slots;
    uint32_t count;   /* ≥ 1 except while it is built */
    uint32_t skipped; /* slots at the front that are dead; < count. Moved away when they are half of the block */
    uint32_t capacity;
    struct log_term_run *terms;
    uint32_t term_count;
    uint32_t term_capacity;
};
struct log_index {
    struct log_index_block **blocks; /* ascending, disjoint */
    size_t count;
    size_t capacity;
};

struct log_location {
    struct log_segment *segment;
    uint64_t offset;
    uint32_t size;
    uint64_t term;
};

#define LOG_INDEX_BLOCK_COUNT_MAX (1u << 30)

void log_index_close(struct log_index *index);
/* entry_index is greater than every index there is; a jump leaves a hole. */
void log_index_append(struct log_index *index, uint64_t entry_index, const struct log_location *location);
/* False when it is not there (or in a hole). */
bool log_index_find(const struct log_index *index, uint64_t entry_index, struct log_location *out);
bool log_index_last(const struct log_index *index, uint64_t *out);
/* The smallest index ≥ from that is there. */
bool log_index_next(const struct log_index *index, uint64_t from, uint64_t *out);
/* What a removal took away. */
struct log_index_removed {
    uint64_t count;
    uint64_t payload_bytes;
};
/* Removes all ≥ from; or all ≤ up_to. */
struct log_index_removed log_index_remove_from(struct log_index *index, uint64_t from);
struct log_index_removed log_index_remove_to(struct log_index *index, uint64_t up_to);
/* The segment of the oldest entry; NULL when empty. */
struct log_segment *log_index_oldest(const struct log_index *index);

#endif
