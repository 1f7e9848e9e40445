/* A binary min-heap of intrusive items ordered by a u64 (deadlines). Ties are broken by insertion order, so that a
 * seed replays. */
#ifndef BASE_HEAP_H
#define BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct heap_item {
    uint64_t key;
    uint64_t sequence; /* set by the heap */
    size_t position;   /* 1-based while in the heap, 0 outside: a zeroed item is outside */
};

struct heap {
    struct heap_item **items;
    size_t count;
    size_t capacity;
    uint64_t sequence_next;
};

void heap_close(struct heap *heap);
/* Inserts the item, or moves it when it is in the heap already; either way it stands behind items of the same key. */
void heap_set(struct heap *heap, struct heap_item *item, uint64_t key);
void heap_remove(struct heap *heap, struct heap_item *item); /* no-op when outside */
struct heap_item *heap_first(const struct heap *heap);       /* NULL when empty */

#endif
