/* Doubly linked intrusive lists. A zeroed list must be initialised before use. */
#ifndef BASE_LIST_H
#define BASE_LIST_H

#include <stdbool.h>
#include <stddef.h>

struct list {
    struct list *next;
    struct list *previous;
};

static inline void list_init(struct list *list)
{
    list->next = list->previous = list;
}
static inline bool list_empty(const struct list *list)
{
    return list->next == list;
}
static inline void list_append(struct list *list, struct list *item)
{
    item->previous = list->previous;
    item->next = list;
    list->previous->next = item;
    list->previous = item;
}
static inline void list_remove(struct list *item)
{
    item->previous->next = item->next;
    item->next->previous = item->previous;
    list_init(item);
}
/* Moves all items of `source` to the end of `target`. */
static inline void list_splice(struct list *target, struct list *source)
{
    if (list_empty(source)) {
        return;
    }
    source->next->previous = target->previous;
    target->previous->next = source->next;
    source->previous->next = target;
    target->previous = source->previous;
    list_init(source);
}

/* Versions of clang-format differ on the minus. */
/* clang-format off */
#define list_entry(item, type, member) ((type *)(void *)((char *)(item) - offsetof(type, member)))
/* clang-format on */
/* The parameter is not called list: it would also replace the word in `struct list`. */
#define list_each(head, item) for (struct list *item = (head)->next; item != (head); item = item->next)
/* Allows the body to remove `item`. */
#define list_each_safe(head, item)                                                    \
    for (struct list *item = (head)->next, *item##_next = item->next; item != (head); \
         item = item##_next, item##_next = item->next)

#endif
