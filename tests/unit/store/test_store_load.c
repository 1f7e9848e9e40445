/* Trees that are filled from the leaves up: the checker sees nothing that a tree of single puts would not show, and
 * single changes go on from there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "base/rng.h"
#include "holdfast/store.h"
#include "store/backend.h"
#include "store/memory_store.h"
#include "store/tree_check.h"

#define ENTRIES_MAX 3000u

/* Sizes are drawn up to these; every count of entries up to `all_counts` is tried, so that every number of cells is
 * left over for the last pages. */
static const struct load_case {
    const char *name;
    unsigned key_extra;
    unsigned value_max;
    unsigned all_counts;
    unsigned step;
} load_cases[] = {
    {"tiny", 0, 1, 1000, 7},
    {"usual", 16, 200, 120, 3},
    {"large values, some of them blobs", 40, 1200, 60, 1},
    {"keys longer than a page", HF_STORE_KEY_SIZE_MAX - 8, 64, 80, 1},
    {"both", HF_STORE_KEY_SIZE_MAX - 8, 9000, 60, 1},
};

struct pair {
    struct hf_store *loaded;
    struct hf_store *put;
    struct rng rng;
    const struct load_case *row;
    struct buffer key;
    struct buffer value;
};

/* The key of a number: its digits, then what the case adds. The same number always gives the same key. */
static void make_key(struct pair *pair, unsigned number)
{
    struct rng rng;
    rng_seed(&rng, number + 1);
    buffer_clear(&pair->key);
    buffer_format(&pair->key, "%06u", number);
    size_t extra = rng_below(&rng, pair->row->key_extra + 1);
    if (extra > 0) {
        memset(buffer_extend(&pair->key, extra), 'k', extra);
    }
}

static void make_entry(struct pair *pair, unsigned number)
{
    make_key(pair, number);
    buffer_clear(&pair->value);
    size_t size = rng_below(&pair->rng, pair->row->value_max + 1);
    if (size > 0) {
        memset(buffer_extend(&pair->value, size), 'v', size);
    }
}

static void check_equal(struct pair *pair, const char *when, unsigned count)
{
    struct tree_check_result result;
    const struct tree *tree = memory_store_tree(pair->loaded, 3);
    struct hf_store_digest a = hf_store_digest(pair->loaded);
    struct hf_store_digest b = hf_store_digest(pair->put);
    if (tree != NULL && tree_check(tree, &result) != 0) {
        fail_msg("%s, %u entries, %s: %s", pair->row->name, count, when, hf_error_text());
    }
    if (a.low != b.low || a.high != b.high) {
        fail_msg("%s, %u entries, %s: another digest", pair->row->name, count, when);
    }
}

static void change(struct pair *pair, unsigned count)
{
    for (unsigned i = 0; i < 2 * count; i++) {
        make_entry(pair, rng_below(&pair->rng, 2 * count));
        struct hf_bytes key = buffer_bytes(&pair->key);
        struct hf_bytes value = buffer_bytes(&pair->value);
        if (rng_chance(&pair->rng, 2, 3)) {
            assert_int_equal(hf_store_delete(pair->loaded, 3, key, NULL), 0);
            assert_int_equal(hf_store_delete(pair->put, 3, key, NULL), 0);
        } else {
            assert_int_equal(hf_store_put(pair->loaded, 3, key, value, NULL), 0);
            assert_int_equal(hf_store_put(pair->put, 3, key, value, NULL), 0);
        }
    }
}

static void try_count(const struct load_case *row, unsigned count)
{
    struct hf_store_options options = {.backend = HF_STORE_MEMORY};
    struct hf_store_stat stat;
    struct pair pair = {.row = row};
    rng_seed(&pair.rng, count);
    assert_int_equal(hf_store_open(&options, &pair.loaded), 0);
    assert_int_equal(hf_store_open(&options, &pair.put), 0);
    for (unsigned i = 0; i < count; i++) {
        make_entry(&pair, 2 * i);
        struct hf_bytes key = buffer_bytes(&pair.key);
        struct hf_bytes value = buffer_bytes(&pair.value);
        assert_int_equal(pair.loaded->ops->load(pair.loaded, 3, key, value), 0);
        assert_int_equal(hf_store_put(pair.put, 3, key, value, NULL), 0);
    }
    assert_int_equal(pair.loaded->ops->load_finish(pair.loaded), 0);
    check_equal(&pair, "loaded", count);
    change(&pair, count);
    check_equal(&pair, "changed", count);
    assert_int_equal(hf_store_clear(pair.loaded, 3), 0);
    while (hf_store_reclaim(pair.loaded, 100)) {
    }
    hf_store_stat(pair.loaded, &stat);
    assert_int_equal(stat.memory_bytes, 0);
    hf_store_close(pair.loaded);
    hf_store_close(pair.put);
    buffer_close(&pair.key);
    buffer_close(&pair.value);
}

static void a_loaded_tree_is_sound_at_every_size_and_takes_changes(void **state)
{
    for (size_t i = 0; i < sizeof(load_cases) / sizeof(load_cases[0]); i++) {
        for (unsigned count = 0; count <= load_cases[i].all_counts; count += load_cases[i].step) {
            try_count(&load_cases[i], count);
        }
        if (load_cases[i].key_extra < 1000) {
            try_count(&load_cases[i], ENTRIES_MAX);
        }
    }
}

static void a_load_that_is_given_up_frees_its_pages(void **state)
{
    struct hf_store_options options = {.backend = HF_STORE_MEMORY};
    struct hf_store *store;
    char key[16];
    assert_int_equal(hf_store_open(&options, &store), 0);
    for (unsigned i = 0; i < ENTRIES_MAX; i++) {
        snprintf(key, sizeof(key), "%08u", i);
        assert_int_equal(store->ops->load(store, i < 1000 ? 0 : 1, bytes_of_text(key), bytes_of_text("value")), 0);
    }
    hf_store_close(store); /* asserts that nothing is left */
}

static void a_loaded_tree_takes_less_memory_than_its_contents_and_a_fifth(void **state)
{
    struct hf_store_options options = {.backend = HF_STORE_MEMORY};
    struct hf_store_stat stat;
    struct hf_store *store;
    uint8_t value[100] = {0};
    char key[17];
    assert_int_equal(hf_store_open(&options, &store), 0);
    for (unsigned i = 0; i < 100000; i++) {
        snprintf(key, sizeof(key), "%016u", i);
        assert_int_equal(store->ops->load(store, 0, bytes_of(key, 16), bytes_of(value, sizeof(value))), 0);
    }
    assert_int_equal(store->ops->load_finish(store), 0);
    hf_store_stat(store, &stat);
    assert_true(stat.memory_bytes * 10 < (stat.key_bytes + stat.value_bytes) * 12);
    hf_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loaded_tree_is_sound_at_every_size_and_takes_changes),
        cmocka_unit_test(a_load_that_is_given_up_frees_its_pages),
        cmocka_unit_test(a_loaded_tree_takes_less_memory_than_its_contents_and_a_fifth),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
