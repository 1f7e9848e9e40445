#include "store/frame_pool.h"

#include <assert.h>

#include "io/io.h"
#include "io/memory_map.h"

struct frame_free {
    struct frame_free *next;
};

struct frame_area {
    struct list item; /* in pool->areas while a frame is free; alone otherwise */
    struct frame_free *free;
    size_t used;   /* frames in use */
    size_t carved; /* frames that were ever in use, the header's included: what lies behind was never touched */
};

_Static_assert(FRAME_POOL_AREA_SIZE == MEMORY_MAP_HUGE_SIZE, "an area is aligned to its size");

static size_t frame_pool_area_frames(const struct frame_pool *pool)
{
    return FRAME_POOL_AREA_SIZE / pool->frame_size;
}

static struct frame_area *frame_pool_area_of(void *frame)
{
    return (struct frame_area *)((uintptr_t)frame & ~(uintptr_t)(FRAME_POOL_AREA_SIZE - 1));
}

void frame_pool_open(struct frame_pool *pool, size_t frame_size)
{
    assert(frame_size >= sizeof(struct frame_area) && FRAME_POOL_AREA_SIZE / frame_size >= 2);
    *pool = (struct frame_pool){.frame_size = frame_size};
    mutex_init(&pool->mutex);
    list_init(&pool->areas);
}

static void frame_pool_forget(struct frame_pool *pool, struct frame_area *area)
{
    list_remove(&area->item);
    pool->area_count--;
}

void frame_pool_close(struct frame_pool *pool)
{
    assert(pool->frames_used == 0);
    list_each_safe (&pool->areas, item) {
        struct frame_area *area = list_entry(item, struct frame_area, item);
        frame_pool_forget(pool, area);
        memory_map_close(area, FRAME_POOL_AREA_SIZE);
    }
    assert(pool->area_count == 0);
    mutex_close(&pool->mutex);
}

static struct frame_area *frame_pool_map(struct frame_pool *pool)
{
    struct frame_area *area = memory_map_open(FRAME_POOL_AREA_SIZE);
    if (area != NULL) {
        area->free = NULL;
        area->used = 0;
        area->carved = 1;
        list_append(&pool->areas, &area->item);
        pool->area_count++;
        pool->areas_empty++;
    }
    return area;
}

static void *frame_pool_take_from(struct frame_pool *pool, struct frame_area *area)
{
    void *frame = area->free;
    if (frame != NULL) {
        area->free = area->free->next;
    } else {
        frame = (uint8_t *)area + area->carved++ * pool->frame_size;
    }
    pool->areas_empty -= area->used == 0;
    area->used++;
    pool->frames_used++;
    if (area->free == NULL && area->carved == frame_pool_area_frames(pool)) {
        list_remove(&area->item);
    }
    return frame;
}

void *frame_pool_take(struct frame_pool *pool)
{
    void *frame = NULL;
    mutex_lock(&pool->mutex);
    struct frame_area *area =
        list_empty(&pool->areas) ? frame_pool_map(pool) : list_entry(pool->areas.next, struct frame_area, item);
    if (area != NULL) {
        frame = frame_pool_take_from(pool, area);
    }
    mutex_unlock(&pool->mutex);
    return frame;
}

void frame_pool_give(struct frame_pool *pool, void *frame)
{
    struct frame_area *area = frame_pool_area_of(frame);
    struct frame_free *given = frame;
    struct frame_area *spare = NULL;
    mutex_lock(&pool->mutex);
    bool was_full = area->free == NULL && area->carved == frame_pool_area_frames(pool);
    given->next = area->free;
    area->free = given;
    assert(area->used > 0);
    area->used--;
    pool->frames_used--;
    if (was_full) {
        /* In front: what was full is filled again first, and areas in use come before the empty one. */
        list_init(&area->item);
        list_append(pool->areas.next, &area->item);
    }
    if (area->used == 0) {
        if (pool->areas_empty > 0) {
            frame_pool_forget(pool, area);
            spare = area;
        } else {
            list_remove(&area->item);
            list_append(&pool->areas, &area->item);
            pool->areas_empty++;
        }
    }
    mutex_unlock(&pool->mutex);
    if (spare != NULL) {
        memory_map_close(spare, FRAME_POOL_AREA_SIZE); /* takes long: whoever wants a frame does not wait for it */
    }
    io_give_way(); /* a cut that is closed gives back as many as writes copied, one after the other */
}

size_t frame_pool_spare_bytes(struct frame_pool *pool)
{
    mutex_lock(&pool->mutex);
    size_t bytes = pool->area_count * FRAME_POOL_AREA_SIZE - pool->frames_used * pool->frame_size;
    mutex_unlock(&pool->mutex);
    return bytes;
}
