/* Cuts read and closed in other threads while the owner writes. What it shows, it shows under the thread sanitizer. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "holdfast/store.h"
#include "store/digest.h"
#include "store/memory_store.h"
#include "store/tree_check.h"

#define KEYS    3000u
#define ROUNDS  40u
#define READERS 2u

struct reader {
    pthread_t thread;
    struct hf_store_cut *cut;
    bool differs;
};

/* Reads everything, compares with the digest of the cut, and closes it. */
static void *read_and_close(void *arg)
{
    struct reader *reader = arg;
    struct hf_store_digest digest = {0};
    struct hf_store_cursor *cursor;
    struct hf_store_entry entry;
    if (hf_store_cut_cursor_open(reader->cut, 0, NULL, HF_STORE_FORWARD, &cursor) != 0) {
        abort();
    }
    while (hf_store_cursor_next(cursor, &entry) == 0) {
        digest_add(&digest, digest_entry(0, entry.key, digest_value(entry.value)));
    }
    hf_store_cursor_close(cursor);
    struct hf_store_digest expected = hf_store_cut_digest(reader->cut);
    reader->differs = digest.low != expected.low || digest.high != expected.high;
    hf_store_cut_close(reader->cut);
    return NULL;
}

static void change(struct hf_store *store, uint64_t number)
{
    static uint8_t value[2000];
    char key[24];
    uint64_t dice = hash_mix_64(number);
    snprintf(key, sizeof(key), "key:%llu", (unsigned long long)(dice % KEYS));
    if (dice >> 32 & 1) {
        size_t size = dice >> 40 & 63 ? 50 : sizeof(value);
        bytes_put_u64(value, number);
        assert_int_equal(hf_store_put(store, 0, bytes_of_text(key), bytes_of(value, size), NULL), 0);
    } else {
        assert_int_equal(hf_store_delete(store, 0, bytes_of_text(key), NULL), 0);
    }
}

static void cuts_are_read_and_closed_in_other_threads_while_the_owner_writes(void **state)
{
    struct hf_store_options options = {.backend = HF_STORE_MEMORY};
    struct hf_store *store;
    uint64_t number = 1;
    assert_int_equal(hf_store_open(&options, &store), 0);
    for (unsigned i = 0; i < KEYS; i++) {
        change(store, number++);
    }
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct reader readers[READERS] = {{0}};
        for (unsigned i = 0; i < READERS; i++) {
            assert_int_equal(hf_store_cut(store, &readers[i].cut), 0);
            assert_int_equal(pthread_create(&readers[i].thread, NULL, read_and_close, &readers[i]), 0);
            for (unsigned j = 0; j < 300; j++) {
                change(store, number++);
            }
        }
        if (round % 10 == 5) {
            assert_int_equal(hf_store_clear(store, 0), 0);
        }
        for (unsigned j = 0; j < 600; j++) {
            change(store, number++);
        }
        for (unsigned i = 0; i < READERS; i++) {
            assert_int_equal(pthread_join(readers[i].thread, NULL), 0);
            assert_false(readers[i].differs);
        }
        assert_int_equal(tree_check(memory_store_tree(store, 0), NULL), 0);
    }
    while (hf_store_reclaim(store, 100)) {
    }
    struct hf_store_stat stat;
    hf_store_stat(store, &stat);
    assert_int_equal(stat.memory_bytes, stat.memory_live_bytes);
    assert_int_equal(stat.cuts_open, 0);
    assert_true(stat.pages_copied > 0);
    hf_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(cuts_are_read_and_closed_in_other_threads_while_the_owner_writes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
