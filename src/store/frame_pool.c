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
    *pool = (struct frame_pool){.frame_size = frame_size, .areas_empty_max = 1};
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

static struct frame_area *frame_area_open(void)
{
    struct frame_area *area = memory_map_open(FRAME_POOL_AREA_SIZE);
    if (area != NULL) {
        area->free = NULL;
        area->used = 0;
        area->carved = 1;
    }
    return area;
}

static void frame_pool_add(struct frame_pool *pool, struct frame_area *area)
{
    list_append(&pool->areas, &area->item);
    pool->area_count++;
    pool->areas_empty++;
}

static struct frame_area *frame_pool_map(struct frame_pool *pool)
{
    struct frame_area *area = frame_area_open();
    if (area != NULL) {
        frame_pool_add(pool, area);
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
        if (pool->areas_empty >= pool->areas_empty_max) {
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

static bool frame_pool_is_short(struct frame_pool *pool)
{
    mutex_lock(&pool->mutex);
    bool is_large = pool->frames_used >= frame_pool_area_frames(pool);
    bool is_short = is_large && pool->areas_empty < FRAME_POOL_AREAS_READY;
    pool->areas_empty_max = is_large ? FRAME_POOL_AREAS_READY : 1;
    mutex_unlock(&pool->mutex);
    return is_short;
}

void frame_pool_prepare(struct frame_pool *pool)
{
    struct frame_area *area = NULL;
    while (frame_pool_is_short(pool) && (area = frame_area_open()) != NULL) {
        memory_map_touch(area, FRAME_POOL_AREA_SIZE);
        mutex_lock(&pool->mutex);
        frame_pool_add(pool, area);
        mutex_unlock(&pool->mutex);
    }
}

/* An empty area that is too many, now the caller's; NULL: none. Empty ones are the last of the list. */
static struct frame_area *frame_pool_take_spare(struct frame_pool *pool)
{
    struct frame_area *area = NULL;
    mutex_lock(&pool->mutex);
    pool->areas_empty_max = 1;
    if (pool->areas_empty > 1) {
        area = list_entry(pool->areas.previous, struct frame_area, item);
        assert(area->used == 0);
        frame_pool_forget(pool, area);
        pool->areas_empty--;
    }
    mutex_unlock(&pool->mutex);
    return area;
}

void frame_pool_rest(struct frame_pool *pool)
{
    struct frame_area *area;
    while ((area = frame_pool_take_spare(pool)) != NULL) {
        memory_map_close(area, FRAME_POOL_AREA_SIZE);
    }
}

size_t frame_pool_spare_bytes(struct frame_pool *pool)
{
    mutex_lock(&pool->mutex);
    size_t bytes = pool->area_count * FRAME_POOL_AREA_SIZE - pool->frames_used * pool->frame_size;
    mutex_unlock(&pool->mutex);
    return bytes;
}
