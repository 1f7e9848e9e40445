/* Where the entries of one group are: index → segment, offset, size and term. A list of blocks, ascending in index and
 * disjoint; the entries of a block are contiguous and lie in one segment, 8 bytes per entry or none, their terms run by
 * run. A block never changes its segment: an entry that moves leaves its block, which is split for that.
 *
 * Appends make one block per segment and block_entries_max entries (and one more behind each hole that damage left): an
 * array that grows is copied, under the log's mutex, and what a truncation leaves of a block keeps its array. Moved
 * entries make blocks whose segments are not in the order of the indexes; so does recovery, when what is in front was
 * moved behind what follows.
 *
 * A block is *cold* when the index file of its segment holds its slots: then it costs no memory per entry, and whoever
 * wants an entry reads the slot first.
 *
 * The segments' accounts (log_segment.h) are kept here, wherever the location of an entry comes or goes.
 * Not thread-safe: guarded by the log's mutex. */
#ifndef LOG_LOG_INDEX_H
#define LOG_LOG_INDEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "log/log_index_file.h"
#include "log/log_segment.h"

#define LOG_INDEX_BLOCK_ENTRIES_DEFAULT 65536u
#define LOG_INDEX_BLOCK_ENTRIES_MIN     256u
#define LOG_INDEX_BLOCK_ENTRIES_MAX     (1u << 24)

struct log_index_block {
    struct log_segment *segment;
    uint64_t index_first;
    uint64_t body_bytes; /* sum of the sizes */
    struct log_slot
        *slots;    /* that of index_first is slots[dropped]; NULL: cold, they are in the segment's index file */
    uint64_t term; /* of the first entry */
    struct log_term_run *changes;
    uint32_t count;   /* ≥ 1 except while it is changed */
    uint32_t dropped; /* dead slots in front. Moved away when they are half of the array */
    uint32_t capacity;
    uint32_t file_slot; /* of a cold block: number of the slot of index_first in the index file */
    uint32_t change_count;
    uint32_t change_capacity;
};
struct log_index {
    struct log_index_block *last;    /* of the blocks: appends go there; NULL: there is none */
    uint32_t block_entries_max;      /* of a block that grows by appends; 0: LOG_INDEX_BLOCK_ENTRIES_DEFAULT */
    bool scattered;                  /* the segments of the blocks need not ascend */
    struct log_index_block **blocks; /* ascending, disjoint */
    size_t count;
    size_t capacity;
};

struct log_location {
    struct log_segment *segment;
    uint64_t offset; /* 0: not in memory, the slot of this number in the segment's index file says it */
    uint32_t size;   /* 0 when offset is */
    uint32_t file_slot;
    uint64_t term;
};
/* Entries side by side in a segment whose index file holds their slots. */
struct log_index_cold {
    struct log_segment *segment;
    uint64_t index_first;
    uint32_t count;
    uint32_t file_slot;
    uint64_t body_bytes;
};

/* Frees it. The segments need not exist any more: their accounts are not touched. */
void log_index_close(struct log_index *index);
/* entry_index is greater than every index there is; a jump leaves a hole. */
void log_index_append(struct log_index *index, uint64_t entry_index, const struct log_location *location);
/* entry_index is not there: it may lie in front of or between those that are. */
void log_index_insert(struct log_index *index, uint64_t entry_index, const struct log_location *location);
/* entry_index is there, with the same term and size: from now on it is found at this location. Cheap when entries move
 * in ascending order. Returns the size that it was accounted with, another one only where that was estimated. */
uint64_t log_index_move(struct log_index *index, uint64_t entry_index, const struct log_location *location);
/* Appends a whole cold block: all its indexes are greater than those there are. terms: the item that
 * says their terms. */
void log_index_append_cold(struct log_index *index, const struct log_index_cold *cold,
                           const struct log_index_item *terms);
/* The slots of these entries are in the segment's index file. Blocks of this segment that lie in the range and still
 * have exactly these locations give up their memory. slots: that of cold->index_first first. */
void log_index_chill(struct log_index *index, const struct log_index_cold *cold, const struct log_slot *slots);
/* False when it is not there (or in a hole). */
bool log_index_find(const struct log_index *index, uint64_t entry_index, struct log_location *out);
/* The same for neighbours: *hint is the block that held the one before (any number at first), and is set to this one's.
 * The index must not change in between. */
bool log_index_find_near(const struct log_index *index, uint64_t entry_index, size_t *hint, struct log_location *out);
bool log_index_term(const struct log_index *index, uint64_t entry_index, uint64_t *out);
/* Is the entry there, and in this segment? */
bool log_index_lies_in(const struct log_index *index, uint64_t entry_index, const struct log_segment *segment);
bool log_index_last(const struct log_index *index, uint64_t *out);
/* The smallest index ≥ from that is there. */
bool log_index_next(const struct log_index *index, uint64_t from, uint64_t *out);
/* The smallest index ≥ from that is not there. */
uint64_t log_index_absent(const struct log_index *index, uint64_t from);
/* What a removal took away. */
struct log_index_removed {
    uint64_t count;
    uint64_t body_bytes;
};
/* Removes all ≥ from; or all ≤ up_to. */
struct log_index_removed log_index_remove_from(struct log_index *index, uint64_t from);
struct log_index_removed log_index_remove_to(struct log_index *index, uint64_t up_to);
/* The oldest segment that holds one of the entries; NULL when empty. */
struct log_segment *log_index_oldest(const struct log_index *index);

#endif
