/* The segments to come: identities are given out early, files are pre-written in the background, one at a time and in
 * order of their numbers. A new file is written in steps, as the tail fills: so the device is never busy with zeros for
 * long, and files that come back before one is begun are used instead. Guarded by the log's mutex; the work itself runs
 * off the driver's thread on its own data. */
#ifndef LOG_LOG_POOL_H
#define LOG_LOG_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "io/io.h"
#include "log/log_prepare.h"
#include "log/log_segment.h"

#define LOG_POOL_SEGMENT_SIZE_FIRST (1u << 20) /* a small log's, unless it may only have smaller ones */
#define LOG_POOL_SIZE_SHARE         4u         /* a larger segment is at most this part of the log */
#define LOG_POOL_UPCOMING_MAX       4u
#define LOG_POOL_WAITED_FOR_MAX     64u
#define LOG_POOL_RETRY_NS           UINT64_C(25000000)  /* after the device was full */
#define LOG_POOL_FREE_AGE_NS        UINT64_C(100000000) /* how old a look at the free space may be */
#define LOG_POOL_STEP_SIZE          (256u << 10)        /* of zeros, at a time */

/* What the pool serves. */
struct log_pool_demand {
    uint64_t log_bytes;  /* of the log's files */
    uint64_t tail_bytes; /* size of the segment that is written to */
    uint64_t tail_used;
};

/* A segment that the log gave up: its file becomes the next one of its size. */
struct log_recyclable {
    uint64_t number;
    uint64_t size_bytes;
    uint64_t incarnation;
};

struct log_pool {
    struct io *io;
    const char *directory; /* lent */
    uint64_t segment_size_max_bytes;
    uint64_t reserve_bytes;
    uint32_t spares_max;
    enum hf_log_direct direct;

    struct log_segment_header last; /* of the newest identity given out */
    struct log_segment *upcoming[LOG_POOL_UPCOMING_MAX];
    size_t upcoming_count;
    /* Taken for frames before they were ready, oldest first; they belong to the segment table. */
    struct log_segment *waited_for[LOG_POOL_WAITED_FOR_MAX];
    size_t waited_for_count;

    struct log_recyclable recyclable[LOG_POOL_UPCOMING_MAX];
    size_t recyclable_count;
    uint64_t recycled_count; /* since the open */

    uint64_t peak_bytes; /* what the log was lately, before it was compacted: what its files have to suffice for */

    struct io_operation operation;
    struct log_preparation preparation; /* under way while it has a file, or while busy */
    bool busy;                          /* with a step of it */
    bool allocated;                     /* it has its blocks */
    struct log_segment *target;         /* of the preparation; NULL: nobody wants it any more */

    bool no_space;      /* the last preparation found the device full */
    bool no_files;      /* no segment was made since it was said that the process may open no more files */
    bool headroom_left; /* or would have taken the headroom: so there is that */
    bool retry_now;
    uint64_t retry_ns;
    uint64_t free_bytes;
    uint64_t free_looked_ns;
};

void log_pool_open(struct log_pool *pool, struct io *io, const char *directory, const struct log_segment_header *last);
void log_pool_close(struct log_pool *pool); /* nothing in flight; accepts a zeroed one */

uint64_t log_pool_size_min(const struct log_pool *pool);
/* The size that the next segment should have: grows with the log, and shrinks with it. log_bytes: of its files. */
uint64_t log_pool_size(const struct log_pool *pool, uint64_t log_bytes);
/* Bytes in segments that are ready, headers subtracted. */
uint64_t log_pool_ready_bytes(const struct log_pool *pool);
/* Bytes in the spare that is being made, once it has its blocks: it will be ready before it is needed. */
uint64_t log_pool_coming_bytes(const struct log_pool *pool);
/* The segment needs no more space on the device: it is ready, or is being made and has its blocks. */
bool log_pool_has_blocks(const struct log_pool *pool, const struct log_segment *segment);
/* Free bytes of the device that no frame waits for, looked up when the last look is too old. */
uint64_t log_pool_free_bytes(struct log_pool *pool);
void log_pool_forget_free_bytes(struct log_pool *pool);
/* What files can still be made of: those bytes beside the headroom, which counts for what is essential; 0 when it is
 * less than a file. */
uint64_t log_pool_usable_bytes(struct log_pool *pool, bool essential);

/* Could a frame of this length go into a new segment? headroom: what has to stay free. */
bool log_pool_can_extend(struct log_pool *pool, uint64_t frame_length, uint64_t headroom);
/* The first of the upcoming segments if a frame of this length fits into it, else NULL. */
struct log_segment *log_pool_first(const struct log_pool *pool, uint64_t frame_length);
/* Takes the next segment for frames; the caller owns it from then on (it may not be ready yet). When there is none, it
 * plans one of a fitting size for which there is room, giving up those that are too small. NULL when
 * LOG_POOL_WAITED_FOR_MAX are not ready yet. */
struct log_segment *log_pool_take(struct log_pool *pool, uint64_t frame_length, uint64_t log_bytes);

/* Offers the file of a segment that was given up, whose number no trailer needs any more. False: it is not wanted. */
bool log_pool_offer(struct log_pool *pool, const struct log_segment_header *header, uint64_t log_bytes);

/* Driver: starts the next step of a preparation when one is due. Returns 0, or the error of a submission. */
int log_pool_start(struct log_pool *pool, struct io_queue *queue, const struct log_pool_demand *demand,
                   uint64_t now_ns);
/* Driver: the operation completed. Returns 0, also when the device was full; else the error that poisons. */
int log_pool_finish(struct log_pool *pool, uint64_t now_ns);
/* Frames wait for a file that cannot be made: the device is full. */
bool log_pool_is_stuck(const struct log_pool *pool);
/* When log_pool_start has something to do: 0 is now, UINT64_MAX is when an operation completes or the tail is fuller.
 */
uint64_t log_pool_deadline_ns(const struct log_pool *pool, const struct log_pool_demand *demand);

#endif
