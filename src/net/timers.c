#include "net/timers.h"

#include <assert.h>
#include <stdlib.h>

#include "base/buffer.h"

struct timers_node {
    struct heap_item item;
    struct list link; /* in timers->due */
    struct loop_timer *timer;
};

static struct timers_node *timers_node_of(struct heap_item *item)
{
    return list_entry(item, struct timers_node, item);
}

void timers_init(struct timers *timers)
{
    *timers = (struct timers){0};
    list_init(&timers->due);
}

static void timers_forget(struct timers *timers, struct timers_node *node)
{
    list_remove(&node->link);
    heap_remove(&timers->heap, &node->item);
    node->timer->handle = NULL;
    free(node);
}

void timers_close(struct timers *timers)
{
    assert(list_empty(&timers->due)); /* it is closed outside timers_fire */
    struct heap_item *first;
    while ((first = heap_first(&timers->heap)) != NULL) {
        timers_forget(timers, timers_node_of(first));
    }
    heap_close(&timers->heap);
}

void timers_set(struct timers *timers, struct loop_timer *timer, uint64_t deadline_ms)
{
    struct timers_node *node = timer->handle;
    if (node == NULL) {
        node = memory_new(sizeof(*node));
        list_init(&node->link);
        node->timer = timer;
        timer->handle = node;
    }
    timer->deadline_ms = deadline_ms;
    list_remove(&node->link);
    heap_remove(&timers->heap, &node->item); /* so that it counts as set now among equal deadlines */
    heap_set(&timers->heap, &node->item, deadline_ms);
}

void timers_stop(struct timers *timers, struct loop_timer *timer)
{
    if (timer->handle != NULL) {
        timers_forget(timers, timer->handle);
    }
}

bool timers_first(const struct timers *timers, uint64_t *deadline_ms)
{
    const struct heap_item *first = heap_first(&timers->heap);
    if (first != NULL) {
        *deadline_ms = first->key;
    }
    return first != NULL;
}

bool timers_fire(struct timers *timers, uint64_t now_ms)
{
    struct heap_item *first;
    while ((first = heap_first(&timers->heap)) != NULL && first->key <= now_ms) {
        heap_remove(&timers->heap, first);
        list_append(&timers->due, &timers_node_of(first)->link);
    }
    bool any = !list_empty(&timers->due);
    while (!list_empty(&timers->due)) {
        struct timers_node *node = list_entry(timers->due.next, struct timers_node, link);
        struct loop_timer *timer = node->timer;
        timers_forget(timers, node);
        timer->fire(timer->arg);
    }
    return any;
}
