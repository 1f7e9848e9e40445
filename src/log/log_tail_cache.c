#include "log/log_tail_cache.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "io/memory_map.h"
#include "log/log_format.h"

#define LOG_TAIL_CACHE_CHUNK_SIZE_MAX (4u << 20)
#define LOG_TAIL_CACHE_RESTING_MAX    2u
#define LOG_TAIL_CACHE_WARM_SHARE     4u /* of a chunk is filled: there will be a next one */

void log_tail_cache_open(struct log_tail_cache *cache, size_t bytes_max, size_t write_size_max)
{
    *cache = (struct log_tail_cache){.bytes_max = bytes_max};
    list_init(&cache->chunks);
    list_init(&cache->resting);
    cache->chunk_size = bytes_max / 16 < LOG_TAIL_CACHE_CHUNK_SIZE_MAX ? bytes_max / 16 : LOG_TAIL_CACHE_CHUNK_SIZE_MAX;
    if (cache->chunk_size < write_size_max) {
        cache->chunk_size = write_size_max;
    }
    cache->chunk_size = log_format_align_block(cache->chunk_size);
}

static struct log_chunk *log_tail_cache_new_chunk(size_t size)
{
    struct log_chunk *chunk = memory_new(sizeof(*chunk));
    chunk->size = size;
    /* Huge pages: the kernel pins what is written to the device page by page. */
    chunk->is_mapped = size % MEMORY_MAP_HUGE_SIZE == 0;
    chunk->data = chunk->is_mapped ? memory_map_open(size) : NULL;
    if (chunk->data == NULL) {
        chunk->is_mapped = false;
        chunk->data = memory_new_aligned(LOG_FORMAT_BLOCK_SIZE, size);
    }
    return chunk;
}

struct log_chunk *log_tail_cache_warm_chunk(size_t size)
{
    struct log_chunk *chunk = log_tail_cache_new_chunk(size);
    memory_map_touch(chunk->data, size);
    return chunk;
}

void log_tail_cache_free_chunk(struct log_chunk *chunk)
{
    if (chunk == NULL) {
        return;
    }
    assert(chunk->pins == 0);
    if (chunk->is_mapped) {
        memory_map_close(chunk->data, chunk->size);
    } else {
        free(chunk->data);
    }
    free(chunk);
}

void log_tail_cache_close(struct log_tail_cache *cache)
{
    if (cache->chunks.next == NULL) {
        return; /* never opened */
    }
    list_splice(&cache->resting, &cache->chunks);
    list_each_safe (&cache->resting, item) {
        log_tail_cache_free_chunk(list_entry(item, struct log_chunk, link));
    }
    free(cache->frames);
    *cache = (struct log_tail_cache){0};
}

/* Keeps the memory of an ordinary chunk: its pages are there already. */
static void log_tail_cache_rest(struct log_tail_cache *cache, struct log_chunk *chunk)
{
    list_remove(&chunk->link);
    if (chunk->size != cache->chunk_size || cache->resting_count >= LOG_TAIL_CACHE_RESTING_MAX) {
        log_tail_cache_free_chunk(chunk);
        return;
    }
    chunk->used = 0;
    chunk->evicted = false;
    list_append(&cache->resting, &chunk->link);
    cache->resting_count++;
}

bool log_tail_cache_wants_chunk(const struct log_tail_cache *cache)
{
    bool possible = cache->chunk_size % MEMORY_MAP_HUGE_SIZE == 0;
    if (!possible || cache->resting_count > 0 || list_empty(&cache->chunks)) {
        return false;
    }
    const struct log_chunk *last = list_entry(cache->chunks.previous, struct log_chunk, link);
    return last->used >= cache->chunk_size / LOG_TAIL_CACHE_WARM_SHARE;
}

void log_tail_cache_offer(struct log_tail_cache *cache, struct log_chunk *chunk)
{
    list_init(&chunk->link);
    log_tail_cache_rest(cache, chunk);
}

static bool log_tail_cache_is_over(const struct log_tail_cache *cache, const struct log_chunk *oldest)
{
    bool many = cache->entries_max != 0 && cache->entries > cache->entries_max;
    bool old = cache->age_max_ns != 0 && cache->now_ns > oldest->sealed_ns + cache->age_max_ns;
    return cache->bytes > cache->bytes_max || many || old;
}

static void log_tail_cache_evict(struct log_tail_cache *cache)
{
    while (!list_empty(&cache->chunks)) {
        struct log_chunk *oldest = list_entry(cache->chunks.next, struct log_chunk, link);
        if (!log_tail_cache_is_over(cache, oldest)) {
            return;
        }
        if (oldest->unlanded > 0 || &oldest->link == cache->chunks.previous) {
            return;
        }
        cache->frame_first += oldest->frames;
        cache->frame_count -= oldest->frames;
        cache->bytes -= oldest->size;
        cache->entries -= oldest->entries;
        oldest->entries = 0;
        oldest->frames = 0;
        oldest->evicted = true;
        if (oldest->pins == 0) {
            log_tail_cache_rest(cache, oldest);
        } else {
            list_remove(&oldest->link);
        }
    }
}

static struct log_chunk *log_tail_cache_add_chunk(struct log_tail_cache *cache, size_t need)
{
    struct log_chunk *chunk = NULL;
    if (need <= cache->chunk_size && cache->resting_count > 0) {
        chunk = list_entry(cache->resting.next, struct log_chunk, link);
        list_remove(&chunk->link);
        cache->resting_count--;
    } else {
        chunk = log_tail_cache_new_chunk(need > cache->chunk_size ? need : cache->chunk_size);
    }
    list_append(&cache->chunks, &chunk->link);
    cache->bytes += chunk->size;
    log_tail_cache_evict(cache);
    return chunk;
}

uint8_t *log_tail_cache_room(struct log_tail_cache *cache, size_t need, size_t want, size_t *capacity,
                             struct log_chunk **chunk)
{
    assert(need % LOG_FORMAT_BLOCK_SIZE == 0 && want % LOG_FORMAT_BLOCK_SIZE == 0 && need <= want);
    struct log_chunk *last =
        list_empty(&cache->chunks) ? NULL : list_entry(cache->chunks.previous, struct log_chunk, link);
    size_t rest = last != NULL ? last->size - last->used : 0;
    /* A frame that begins in a small rest could not gather: rather waste the rest. */
    if (last == NULL || rest < need || rest < want / 4) {
        last = log_tail_cache_add_chunk(cache, need);
        rest = last->size;
    }
    *capacity = rest < want ? rest : want;
    *chunk = last;
    return last->data + last->used;
}

void log_tail_cache_begin(struct log_tail_cache *cache, struct log_chunk *chunk, uint64_t segment, uint64_t offset)
{
    size_t end = cache->frame_first + cache->frame_count;
    if (end == cache->frame_capacity) {
        if (cache->frame_first >= cache->frame_capacity / 2 && cache->frame_first > 0) {
            memmove(cache->frames, cache->frames + cache->frame_first,
                    cache->frame_count * sizeof(struct log_cached_frame));
        } else {
            size_t capacity = cache->frame_capacity == 0 ? 64 : cache->frame_capacity * 2;
            cache->frames = memory_resize(cache->frames, capacity * sizeof(struct log_cached_frame));
            cache->frame_capacity = capacity;
            memmove(cache->frames, cache->frames + cache->frame_first,
                    cache->frame_count * sizeof(struct log_cached_frame));
        }
        cache->frame_first = 0;
        end = cache->frame_count;
    }
    cache->frames[end] = (struct log_cached_frame){
        .segment = segment, .offset = offset, .data = chunk->data + chunk->used, .chunk = chunk};
    cache->frame_count++;
    chunk->frames++;
    chunk->unlanded++;
}

void log_tail_cache_expire(struct log_tail_cache *cache, uint64_t now_ns)
{
    cache->now_ns = now_ns;
    if (cache->age_max_ns != 0) {
        log_tail_cache_evict(cache);
    }
}

void log_tail_cache_seal(struct log_tail_cache *cache, struct log_chunk *chunk, size_t length, uint64_t entries)
{
    assert(list_entry(cache->chunks.previous, struct log_chunk, link) == chunk);
    assert(length <= chunk->size - chunk->used);
    chunk->used += length;
    chunk->entries += entries;
    chunk->sealed_ns = cache->now_ns;
    cache->entries += entries;
}

void log_tail_cache_landed(struct log_tail_cache *cache, struct log_chunk *chunk)
{
    assert(chunk->unlanded > 0);
    chunk->unlanded--;
    if (chunk->unlanded == 0) {
        log_tail_cache_evict(cache);
    }
}

/* How many of the frames begin at or before a place. */
static size_t log_tail_cache_count_until(const struct log_tail_cache *cache, uint64_t segment, uint64_t offset)
{
    const struct log_cached_frame *frames = cache->frames + cache->frame_first;
    size_t low = 0;
    size_t high = cache->frame_count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        bool behind =
            frames[middle].segment > segment || (frames[middle].segment == segment && frames[middle].offset > offset);
        if (behind) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

const uint8_t *log_tail_cache_find(const struct log_tail_cache *cache, uint64_t segment, uint64_t offset,
                                   struct log_chunk **chunk)
{
    const struct log_cached_frame *frames = cache->frames + cache->frame_first;
    size_t count = log_tail_cache_count_until(cache, segment, offset);
    if (count == 0 || frames[count - 1].segment != segment) {
        return NULL;
    }
    *chunk = frames[count - 1].chunk;
    return frames[count - 1].data + (offset - frames[count - 1].offset);
}

const struct log_cached_frame *log_tail_cache_frames(const struct log_tail_cache *cache, uint64_t segment,
                                                     size_t *count)
{
    size_t first = log_tail_cache_count_until(cache, segment, 0);
    *count = log_tail_cache_count_until(cache, segment, UINT64_MAX) - first;
    return cache->frames + cache->frame_first + first;
}

void log_tail_cache_pin(struct log_chunk *chunk)
{
    chunk->pins++;
}

void log_tail_cache_unpin(struct log_tail_cache *cache, struct log_chunk *chunk)
{
    assert(chunk->pins > 0);
    chunk->pins--;
    if (chunk->pins == 0 && chunk->evicted) {
        log_tail_cache_rest(cache, chunk);
    }
}
