#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/heap.h"
#include "base/list.h"
#include "base/rng.h"

enum { ITEMS = 200 };

struct entry {
    struct heap_item item;
    bool inside;
    uint64_t key;
    uint64_t inserted; /* by the model's own count */
};

static struct entry *model_first(struct entry entries[ITEMS])
{
    struct entry *first = NULL;
    for (size_t i = 0; i < ITEMS; i++) {
        struct entry *entry = &entries[i];
        if (entry->inside && (first == NULL || entry->key < first->key ||
                              (entry->key == first->key && entry->inserted < first->inserted))) {
            first = entry;
        }
    }
    return first;
}

static void check_heap_property(const struct heap *heap)
{
    for (size_t position = 1; position <= heap->count; position++) {
        const struct heap_item *item = heap->items[position - 1];
        assert_int_equal(item->position, position);
        if (position > 1) {
            assert_true(heap->items[position / 2 - 1]->key <= item->key);
        }
    }
}

static void the_first_item_is_the_models_after_every_change(void **state)
{
    for (uint64_t seed = 0; seed < 20; seed++) {
        struct rng rng;
        rng_seed(&rng, seed);
        struct entry entries[ITEMS] = {0};
        struct heap heap = {0};
        uint64_t inserted = 0;
        uint64_t key_bound = seed % 2 == 0 ? 8 : UINT64_MAX; /* many ties, or none */
        for (int step = 0; step < 3000; step++) {
            struct entry *entry = &entries[rng_below(&rng, ITEMS)];
            if (rng_chance(&rng, 3, 5)) {
                *entry = (struct entry){entry->item, true, rng_below(&rng, key_bound), inserted++};
                heap_set(&heap, &entry->item, entry->key);
            } else {
                entry->inside = false;
                heap_remove(&heap, &entry->item);
                assert_int_equal(entry->item.position, 0);
            }
            struct entry *first = model_first(entries);
            assert_ptr_equal(heap_first(&heap), first != NULL ? &first->item : NULL);
            check_heap_property(&heap);
        }
        for (struct entry *first = model_first(entries); first != NULL; first = model_first(entries)) {
            assert_ptr_equal(heap_first(&heap), &first->item);
            heap_remove(&heap, &first->item);
            first->inside = false;
        }
        assert_null(heap_first(&heap));
        assert_int_equal(heap.count, 0);
        heap_close(&heap);
    }
}

static void equal_keys_leave_in_the_order_in_which_they_were_set(void **state)
{
    struct heap_item items[50] = {0};
    struct heap heap = {0};
    for (int i = 0; i < 50; i++) {
        heap_set(&heap, &items[i], 7);
    }
    heap_set(&heap, &items[0], 7); /* set again: now the last */
    for (int i = 1; i <= 50; i++) {
        assert_ptr_equal(heap_first(&heap), &items[i % 50]);
        heap_remove(&heap, heap_first(&heap));
    }
    heap_close(&heap);
}

static void removing_what_is_outside_does_nothing(void **state)
{
    struct heap heap = {0};
    struct heap_item item = {0};
    heap_remove(&heap, &item);
    assert_null(heap_first(&heap));
    heap_set(&heap, &item, UINT64_MAX);
    assert_ptr_equal(heap_first(&heap), &item);
    heap_remove(&heap, &item);
    heap_remove(&heap, &item);
    assert_null(heap_first(&heap));
    heap_close(&heap);
    heap_close(&heap);
    heap_close(NULL);
}

/* ---- the lists, which heaps' owners use beside them ---- */

struct node {
    int number;
    struct list link;
};

static void check_list(struct list *list, const int *numbers, size_t count)
{
    size_t i = 0;
    list_each (list, item) {
        assert_true(i < count);
        assert_int_equal(list_entry(item, struct node, link)->number, numbers[i]);
        assert_ptr_equal(item->previous->next, item);
        i++;
    }
    assert_int_equal(i, count);
    assert_int_equal(list_empty(list), count == 0);
}

static void a_list_keeps_its_order_through_removal_and_splicing(void **state)
{
    struct node nodes[6] = {{0}};
    struct list a;
    struct list b;
    list_init(&a);
    list_init(&b);
    check_list(&a, NULL, 0);
    for (int i = 0; i < 6; i++) {
        nodes[i].number = i;
        list_append(i < 3 ? &a : &b, &nodes[i].link);
    }
    list_splice(&a, &b);
    check_list(&a, (const int[]){0, 1, 2, 3, 4, 5}, 6);
    check_list(&b, NULL, 0);
    list_splice(&a, &b);
    list_splice(&b, &a);
    check_list(&b, (const int[]){0, 1, 2, 3, 4, 5}, 6);
    list_each_safe (&b, item) {
        if (list_entry(item, struct node, link)->number % 2 == 0) {
            list_remove(item);
            list_remove(item); /* a removed item is a list of its own */
        }
    }
    check_list(&b, (const int[]){1, 3, 5}, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_item_is_the_models_after_every_change),
        cmocka_unit_test(equal_keys_leave_in_the_order_in_which_they_were_set),
        cmocka_unit_test(removing_what_is_outside_does_nothing),
        cmocka_unit_test(a_list_keeps_its_order_through_removal_and_splicing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
