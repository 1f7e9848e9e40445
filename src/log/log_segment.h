/* One segment file as the running log knows it. Lives as long as anything points into it. Everything but `pins` is
 * guarded by the log's mutex; a pinned segment keeps its reader open. */
#ifndef LOG_LOG_SEGMENT_H
#define LOG_LOG_SEGMENT_H

#include <stdbool.h>
#include <stdint.h>

#include "io/io.h"
#include "log/log_format.h"
#include "log/log_frame.h"
#include "log/log_index_file.h"

struct log_index_build;

enum log_segment_state {
    LOG_SEGMENT_PLANNED,   /* has an identity; nothing on disk yet */
    LOG_SEGMENT_PREPARING, /* being written in the background */
    LOG_SEGMENT_READY,     /* pre-written, under its own name, durable */
    LOG_SEGMENT_SEALED     /* only read from now on */
};

enum log_segment_index {
    LOG_SEGMENT_INDEX_NONE,
    LOG_SEGMENT_INDEX_REFUSED, /* it could not be made, or may not be: the segment is damaged. No more in this process
                                */
    LOG_SEGMENT_INDEX_WARM,    /* durable; the slots of its entries are still in memory */
    LOG_SEGMENT_INDEX_COLD,    /* durable; its entries' slots are only there */
    LOG_SEGMENT_INDEX_BROKEN   /* was cold; a page is damaged: it has to be made again */
};

struct log_segment {
    struct log_segment_header header;
    enum log_segment_state state;
    struct file *writer; /* direct; NULL when not written by this process */
    uint8_t *memory;     /* of a memory log: the bytes themselves; NULL: in a file */
    struct file *reader; /* buffered; opened when first needed */
    struct file *index_reader;
    bool index_replaced; /* index_reader is of a file that was made again */
    unsigned pins;       /* reads in progress */
    uint64_t read_turn;  /* when it was read last, for closing the reader that was not used longest */
    uint64_t used_bytes; /* header and frames placed */
    uint64_t left_ns;    /* when the tail moved on from it; 0: an earlier process left it */

    /* The account of what the running log still needs of it; when all are 0 it is dead. Kept by log_index and log_group
     * wherever something finds or loses its place here. */
    uint64_t live_entries;
    uint64_t lived_entries; /* those that are not live any more included */
    uint64_t live_bytes;    /* of the entries' bodies */
    uint32_t live_states;   /* hard states and floors of groups */

    uint64_t mark; /* who counts segments marks those it has counted */
    enum log_segment_index index_state;
    struct log_index_file *index_file;   /* from WARM on */
    struct log_index_build *index_build; /* WARM: what its blocks are matched with when they give up their slots */
};

struct log_segment *log_segment_new(const struct log_segment_header *header);
void log_segment_close(struct log_segment *segment); /* accepts NULL; not pinned */
bool log_segment_is_dead(const struct log_segment *segment);
/* About what its live records take when they are written again, frames included. */
uint64_t log_segment_live_bytes(const struct log_segment *segment);

/* All segments of the stream, in order of their numbers. */
struct log_segment_table {
    struct log_segment **items;
    size_t count;
    size_t capacity;
    uint64_t size_bytes; /* of all files */
    uint64_t mark;       /* the last one used */
    uint64_t read_turn;
    size_t readers_open;
};
void log_segment_table_close(struct log_segment_table *table); /* and all segments */
void log_segment_table_append(struct log_segment_table *table, struct log_segment *segment);
/* Takes the oldest segment, not the only one; the caller owns it from then on. */
struct log_segment *log_segment_table_take_first(struct log_segment_table *table);

#define LOG_SEGMENT_READERS_MAX 128u /* files kept open for reading */

/* Pins the segment and opens its reader when needed, closing another that rests. */
int log_segment_pin(struct log_segment_table *table, struct log_segment *segment, struct io *io, const char *directory);
void log_segment_unpin(struct log_segment *segment);

/* The place of a frame in this segment. */
struct log_place log_segment_place(const struct log_segment *segment, uint64_t offset, uint64_t sequence,
                                   uint64_t position);

#endif
