/* Recent frames in memory, where they were built: the write buffer and the cache of recent entries are the same bytes.
 * Frames lie side by side in chunks; a chunk is given up whole, oldest first, once the cache is over one of its bounds,
 * all its frames have landed on the device and nobody reads it. Guarded by the log's mutex; pinned chunks may be read
 * without.
 */
#ifndef LOG_LOG_TAIL_CACHE_H
#define LOG_LOG_TAIL_CACHE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/list.h"

struct log_chunk {
    struct list link;
    uint8_t *data; /* aligned to a block */
    size_t size;
    size_t used;   /* up to the end of the last sealed frame */
    size_t frames; /* in the cache's queue */
    uint64_t entries;
    uint64_t sealed_ns; /* when its last frame was sealed */
    unsigned unlanded;  /* frames that the device does not have yet */
    unsigned pins;
    bool is_mapped; /* from memory_map.h, else from the heap */
    bool evicted;   /* waits for its last pin only */
};

struct log_cached_frame {
    uint64_t segment;
    uint64_t offset;
    const uint8_t *data;
    struct log_chunk *chunk;
};

struct log_tail_cache {
    struct list chunks;  /* oldest first; the last one is being filled */
    struct list resting; /* chunks to use again */
    size_t resting_count;
    size_t bytes; /* of chunks */
    size_t bytes_max;
    uint64_t entries;
    uint64_t entries_max; /* 0: no bound */
    uint64_t age_max_ns;  /* 0: no bound */
    uint64_t now_ns;      /* of the last log_tail_cache_expire */
    size_t chunk_size;
    struct log_cached_frame *frames; /* in stream order, without gaps */
    size_t frame_first;
    size_t frame_count; /* from frame_first on */
    size_t frame_capacity;
};

void log_tail_cache_open(struct log_tail_cache *cache, size_t bytes_max, size_t write_size_max);
void log_tail_cache_close(struct log_tail_cache *cache); /* no pins */
/* Memory for a frame that is about to begin: at least `need` bytes, as much as possible up to `want`. */
uint8_t *log_tail_cache_room(struct log_tail_cache *cache, size_t need, size_t want, size_t *capacity,
                             struct log_chunk **chunk);
/* Is the next chunk worth making ready (log_warm.h)? Yes, when a part of the last one is filled and none rests. */
bool log_tail_cache_wants_chunk(const struct log_tail_cache *cache);
/* An ordinary chunk whose memory was touched. Thread: any. */
struct log_chunk *log_tail_cache_warm_chunk(size_t size);
/* Gives the cache a chunk for later; it is freed when there are enough. */
void log_tail_cache_offer(struct log_tail_cache *cache, struct log_chunk *chunk);
void log_tail_cache_free_chunk(struct log_chunk *chunk); /* that no cache has; accepts NULL */
/* The frame begins there; its entries can be found from now on. */
void log_tail_cache_begin(struct log_tail_cache *cache, struct log_chunk *chunk, uint64_t segment, uint64_t offset);
/* The frame that began last takes `length` bytes of its chunk and holds that many entries. */
void log_tail_cache_seal(struct log_tail_cache *cache, struct log_chunk *chunk, size_t length, uint64_t entries);
/* Gives up what became too old. */
void log_tail_cache_expire(struct log_tail_cache *cache, uint64_t now_ns);
void log_tail_cache_landed(struct log_tail_cache *cache, struct log_chunk *chunk);
/* The record at that place of a segment, and its chunk; NULL when it is not cached. */
const uint8_t *log_tail_cache_find(const struct log_tail_cache *cache, uint64_t segment, uint64_t offset,
                                   struct log_chunk **chunk);
/* The frames of a segment that are cached, in order; lent until the cache changes. */
const struct log_cached_frame *log_tail_cache_frames(const struct log_tail_cache *cache, uint64_t segment,
                                                     size_t *count);
void log_tail_cache_pin(struct log_chunk *chunk);
void log_tail_cache_unpin(struct log_tail_cache *cache, struct log_chunk *chunk);

#endif
