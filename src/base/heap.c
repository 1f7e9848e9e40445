#include "base/heap.h"

#include <assert.h>
#include <stdlib.h>

#include "base/buffer.h"

#define HEAP_CAPACITY_MIN 16u

/* items[i] holds the item at position i + 1; the children of position p are 2p and 2p + 1. */

void heap_close(struct heap *heap)
{
    if (heap == NULL) {
        return;
    }
    free(heap->items);
    *heap = (struct heap){0};
}

static bool heap_before(const struct heap_item *a, const struct heap_item *b)
{
    return a->key != b->key ? a->key < b->key : a->sequence < b->sequence;
}

static void heap_place(struct heap *heap, struct heap_item *item, size_t position)
{
    heap->items[position - 1] = item;
    item->position = position;
}

/* Fills the hole at `position` with the item, or moves the hole towards the root until the item fits. */
static void heap_sift_up(struct heap *heap, struct heap_item *item, size_t position)
{
    while (position > 1 && heap_before(item, heap->items[position / 2 - 1])) {
        heap_place(heap, heap->items[position / 2 - 1], position);
        position /= 2;
    }
    heap_place(heap, item, position);
}

static void heap_sift_down(struct heap *heap, struct heap_item *item, size_t position)
{
    while (position * 2 <= heap->count) {
        size_t child = position * 2;
        if (child < heap->count && heap_before(heap->items[child], heap->items[child - 1])) {
            child++;
        }
        if (!heap_before(heap->items[child - 1], item)) {
            break;
        }
        heap_place(heap, heap->items[child - 1], position);
        position = child;
    }
    heap_place(heap, item, position);
}

static void heap_sift(struct heap *heap, struct heap_item *item, size_t position)
{
    if (position > 1 && heap_before(item, heap->items[position / 2 - 1])) {
        heap_sift_up(heap, item, position);
    } else {
        heap_sift_down(heap, item, position);
    }
}

void heap_set(struct heap *heap, struct heap_item *item, uint64_t key)
{
    if (item->position == 0) {
        if (heap->count == heap->capacity) {
            heap->capacity = heap->capacity > 0 ? heap->capacity * 2 : HEAP_CAPACITY_MIN;
            heap->items = memory_resize(heap->items, heap->capacity * sizeof(*heap->items));
        }
        heap->count++;
        heap_place(heap, item, heap->count);
    }
    assert(item->position <= heap->count && heap->items[item->position - 1] == item);
    item->key = key;
    item->sequence = heap->sequence_next++;
    heap_sift(heap, item, item->position);
}

void heap_remove(struct heap *heap, struct heap_item *item)
{
    if (item->position == 0) {
        return;
    }
    size_t position = item->position;
    assert(position <= heap->count && heap->items[position - 1] == item);
    struct heap_item *last = heap->items[heap->count - 1];
    heap->count--;
    if (last != item) {
        heap_sift(heap, last, position);
    }
    item->position = 0;
}

struct heap_item *heap_first(const struct heap *heap)
{
    return heap->count > 0 ? heap->items[0] : NULL;
}
