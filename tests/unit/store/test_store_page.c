/* Pages and trees from the inside: heads, splits, merges, and the checker that the other tests rely on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "holdfast/store.h"
#include "store/memory_store.h"
#include "store/page.h"
#include "store/tree_check.h"

static void insert(struct page *page, unsigned position, const char *key)
{
    struct page_cell cell = page_cell_inline(bytes_of_text(key), bytes_of_text("value"));
    page_insert(page, position, &cell);
}

static void heads_begin_behind_what_all_keys_share_and_follow_when_it_shrinks(void **state)
{
    struct memory_account memory = {0};
    struct page *page = page_new(&memory, 0, 1024);
    insert(page, 0, "user:1:name");
    assert_int_equal(page->shared_size, 11);
    insert(page, 1, "user:2:name");
    assert_int_equal(page->shared_size, 5);
    assert_int_equal(page->slots[0].head, 0x313a6e61); /* "1:na" */
    insert(page, 2, "usex");
    assert_int_equal(page->shared_size, 3);
    assert_int_equal(page->slots[0].head, 0x723a313a); /* "r:1:" */
    assert_int_equal(page->slots[2].head, 0x78000000);
    insert(page, 0, "");
    assert_int_equal(page->shared_size, 0);
    page_release(&memory, page);
    assert_int_equal(memory.bytes, 0);
    assert_int_equal(memory.pages, 0);
}

static const struct {
    const char *key;
    unsigned position;
    bool found;
} find_cases[] = {
    {"", 0, false},      {"a", 0, false},       {"use", 0, false},        {"user", 0, false},
    {"user:", 0, false}, {"user:1", 0, false},  {"user:1:name", 0, true}, {"user:1:name\x01", 1, false},
    {"user:2", 1, true}, {"user:2a", 2, false}, {"user:3:name", 2, true}, {"user:4", 3, false},
    {"user;", 3, false}, {"uses", 3, false},    {"z", 3, false},          {"user:2\x01", 2, false},
};

static void find_is_right_for_keys_that_do_not_share_the_prefix(void **state)
{
    struct memory_account memory = {0};
    struct page *page = page_new(&memory, 0, 1024);
    bool found;
    assert_int_equal(page_find(page, bytes_of_text("x"), &found), 0);
    assert_false(found);
    insert(page, 0, "user:1:name");
    insert(page, 1, "user:2");
    insert(page, 2, "user:3:name");
    assert_int_equal(page->shared_size, 5);
    for (size_t i = 0; i < sizeof(find_cases) / sizeof(find_cases[0]); i++) {
        assert_int_equal(page_find(page, bytes_of_text(find_cases[i].key), &found), find_cases[i].position);
        assert_int_equal(found, find_cases[i].found);
    }
    page_release(&memory, page);
}

static void a_replaced_cell_stays_in_place_when_it_does_not_grow(void **state)
{
    struct memory_account memory = {0};
    struct page *page = page_new(&memory, 0, 256);
    insert(page, 0, "k");
    uint16_t offset = page->slots[0].offset;
    struct page_cell cell = page_cell_inline(bytes_of_text("k"), bytes_of_text("v"));
    assert_true(page_replace(page, 0, &cell));
    assert_int_equal(page->slots[0].offset, offset);
    assert_int_equal(page->dead, 4);
    char large[300] = {0};
    cell = page_cell_inline(bytes_of_text("k"), bytes_of(large, 300));
    assert_false(page_replace(page, 0, &cell));
    assert_int_equal(page_value(page, 0).size, 1);
    cell = page_cell_inline(bytes_of_text("k"), bytes_of(large, 20));
    assert_true(page_replace(page, 0, &cell));
    assert_int_equal(page_value(page, 0).size, 20);
    page_release(&memory, page);
}

static const struct tree *tree_of(struct hf_store *store)
{
    return memory_store_tree(store, 0);
}

static struct hf_store *open_store(void)
{
    struct hf_store_options options = {.backend = HF_STORE_MEMORY};
    struct hf_store *store;
    assert_int_equal(hf_store_open(&options, &store), 0);
    return store;
}

static void put_number(struct hf_store *store, uint64_t number)
{
    char key[24];
    snprintf(key, sizeof(key), "%016llx", (unsigned long long)number);
    assert_int_equal(
        hf_store_put(store, 0, bytes_of_text(key), bytes_of_text("a value of thirty-two bytes ....."), NULL), 0);
}

static void delete_number(struct hf_store *store, uint64_t number)
{
    char key[24];
    bool removed;
    snprintf(key, sizeof(key), "%016llx", (unsigned long long)number);
    assert_int_equal(hf_store_delete(store, 0, bytes_of_text(key), &removed), 0);
    assert_true(removed);
}

static void ascending_keys_fill_pages_and_scattered_keys_half_fill_them_at_least(void **state)
{
    struct tree_check_result result;
    struct hf_store *store = open_store();
    for (uint64_t i = 0; i < 20000; i++) {
        put_number(store, i);
    }
    assert_int_equal(tree_check(tree_of(store), &result), 0);
    assert_true(result.used_bytes * 100 >= result.capacity_bytes * 93);
    assert_true(tree_of(store)->height >= 3);
    hf_store_close(store);
    store = open_store();
    for (uint64_t i = 0; i < 20000; i++) {
        put_number(store, hash_mix_64(i));
    }
    assert_int_equal(tree_check(tree_of(store), &result), 0);
    assert_true(result.used_bytes * 100 >= result.capacity_bytes * 75);
    assert_true(result.used_bytes * 100 >= result.pages * PAGE_SIZE_TARGET * 60);
    hf_store_close(store);
}

static void deleting_most_keys_merges_pages_and_lowers_the_tree(void **state)
{
    struct tree_check_result before;
    struct tree_check_result after;
    struct hf_store *store = open_store();
    for (uint64_t i = 0; i < 20000; i++) {
        put_number(store, hash_mix_64(i));
    }
    assert_int_equal(tree_check(tree_of(store), &before), 0);
    unsigned height = tree_of(store)->height;
    for (uint64_t i = 0; i < 19990; i++) {
        delete_number(store, hash_mix_64(i));
        if (i % 1000 == 0) {
            assert_int_equal(tree_check(tree_of(store), NULL), 0);
        }
        if (i == 18000) {
            assert_int_equal(tree_check(tree_of(store), &after), 0);
            assert_true(after.pages * 4 < before.pages);
        }
    }
    assert_int_equal(tree_of(store)->stat.entries, 10);
    assert_true(tree_of(store)->height == 1 && height >= 3);
    for (uint64_t i = 19990; i < 20000; i++) {
        delete_number(store, hash_mix_64(i));
    }
    assert_null(tree_of(store)->root);
    assert_int_equal(tree_of(store)->live_bytes, 0);
    hf_store_close(store);
}

static void copying_happens_once_per_page_and_cut(void **state)
{
    struct hf_store *store = open_store();
    for (uint64_t i = 0; i < 1000; i++) {
        put_number(store, i);
    }
    struct hf_store_cut *cut;
    struct hf_store_stat stat;
    hf_store_stat(store, &stat);
    assert_int_equal(stat.pages_copied, 0);
    assert_int_equal(hf_store_cut(store, &cut), 0);
    put_number(store, 500);
    hf_store_stat(store, &stat);
    assert_int_equal(stat.pages_copied, tree_of(store)->height);
    put_number(store, 500);
    put_number(store, 501);
    hf_store_stat(store, &stat);
    assert_int_equal(stat.pages_copied, tree_of(store)->height);
    hf_store_cut_close(cut);
    put_number(store, 1);
    hf_store_stat(store, &stat);
    assert_int_equal(stat.pages_copied, tree_of(store)->height);
    hf_store_close(store);
}

static void a_large_value_is_shared_with_cuts_and_never_copied(void **state)
{
    struct hf_store *store = open_store();
    static uint8_t large[1 << 20];
    struct hf_bytes value;
    struct hf_bytes value_in_cut;
    struct hf_store_cut *cut;
    assert_int_equal(hf_store_put(store, 0, bytes_of_text("large"), bytes_of(large, sizeof(large)), NULL), 0);
    assert_int_equal(hf_store_cut(store, &cut), 0);
    put_number(store, 1);
    assert_int_equal(hf_store_get(store, 0, bytes_of_text("large"), &value), 0);
    assert_int_equal(hf_store_cut_get(cut, 0, bytes_of_text("large"), &value_in_cut), 0);
    assert_ptr_equal(value.data, value_in_cut.data);
    struct hf_store_stat stat;
    assert_int_equal(hf_store_delete(store, 0, bytes_of_text("large"), NULL), 0);
    hf_store_stat(store, &stat);
    assert_true(stat.memory_live_bytes < 8192 && stat.memory_bytes > sizeof(large));
    hf_store_cut_close(cut);
    hf_store_stat(store, &stat);
    assert_int_equal(stat.memory_bytes, stat.memory_live_bytes);
    hf_store_close(store);
}

/* Each row breaks one thing in a good tree; a checker that does not notice proves nothing. */
static void the_checker_notices_what_is_broken(void **state)
{
    struct hf_store *store = open_store();
    for (uint64_t i = 0; i < 1000; i++) {
        put_number(store, i);
    }
    struct tree *tree = (struct tree *)tree_of(store);
    assert_int_equal(tree_check(tree, NULL), 0);
    struct page *leaf = page_child(tree->root, 1);
    struct page_slot slot = leaf->slots[1];
    leaf->slots[1] = leaf->slots[2];
    assert_int_equal(tree_check(tree, NULL), HF_ECORRUPT);
    leaf->slots[1] = slot;
    leaf->slots[1].head++;
    assert_int_equal(tree_check(tree, NULL), HF_ECORRUPT);
    leaf->slots[1].head--;
    leaf->dead++;
    assert_int_equal(tree_check(tree, NULL), HF_ECORRUPT);
    leaf->dead--;
    page_add_child_entries(tree->root, 1, 1);
    assert_int_equal(tree_check(tree, NULL), HF_ECORRUPT);
    page_add_child_entries(tree->root, 1, -1);
    tree->digest.low++;
    assert_int_equal(tree_check(tree, NULL), HF_ECORRUPT);
    tree->digest.low--;
    tree->live_bytes++;
    assert_int_equal(tree_check(tree, NULL), HF_ECORRUPT);
    tree->live_bytes--;
    uint8_t *value = (uint8_t *)leaf + leaf->slots[0].offset + PAGE_FRONT_LEAF + leaf->slots[0].key_size;
    value[0] ^= 1;
    assert_int_equal(tree_check(tree, NULL), HF_ECORRUPT);
    value[0] ^= 1;
    assert_int_equal(tree_check(tree, NULL), 0);
    hf_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_begin_behind_what_all_keys_share_and_follow_when_it_shrinks),
        cmocka_unit_test(find_is_right_for_keys_that_do_not_share_the_prefix),
        cmocka_unit_test(a_replaced_cell_stays_in_place_when_it_does_not_grow),
        cmocka_unit_test(ascending_keys_fill_pages_and_scattered_keys_half_fill_them_at_least),
        cmocka_unit_test(deleting_most_keys_merges_pages_and_lowers_the_tree),
        cmocka_unit_test(copying_happens_once_per_page_and_cut),
        cmocka_unit_test(a_large_value_is_shared_with_cuts_and_never_copied),
        cmocka_unit_test(the_checker_notices_what_is_broken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
