/* Frames for the pages of large trees. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/rng.h"
#include "holdfast/store.h"
#include "store/frame_pool.h"
#include "store/memory_store.h"
#include "store/tree_check.h"

#define FRAMES 2000u

static void frames_do_not_overlap_and_areas_return_to_the_kernel(void **state)
{
    static const size_t sizes[] = {2048, 3072, 4096};
    for (size_t s = 0; s < 3; s++) {
        struct frame_pool pool;
        struct rng rng;
        uint8_t *frames[FRAMES];
        rng_seed(&rng, s);
        frame_pool_open(&pool, sizes[s]);
        for (unsigned round = 0; round < 3; round++) {
            for (unsigned i = 0; i < FRAMES; i++) {
                frames[i] = frame_pool_take(&pool);
                assert_non_null(frames[i]);
                memset(frames[i], (int)(i % 251), sizes[s]);
            }
            assert_int_equal(pool.area_count, FRAMES / (FRAME_POOL_AREA_SIZE / sizes[s] - 1) + 1);
            for (unsigned left = FRAMES; left > 0; left--) {
                unsigned at = (unsigned)rng_below(&rng, left);
                uint8_t first = frames[at][0];
                for (size_t i = 0; i < sizes[s]; i += 64) {
                    assert_int_equal(frames[at][i], first);
                }
                frame_pool_give(&pool, frames[at]);
                frames[at] = frames[left - 1];
            }
            assert_int_equal(pool.area_count, 1);
            assert_int_equal(frame_pool_spare_bytes(&pool), FRAME_POOL_AREA_SIZE);
        }
        frame_pool_close(&pool);
    }
}

static size_t touched_bytes(void *area)
{
    static unsigned char pages[FRAME_POOL_AREA_SIZE / 4096];
    size_t touched = 0;
    assert_int_equal(mincore(area, FRAME_POOL_AREA_SIZE, pages), 0);
    for (size_t i = 0; i < sizeof(pages); i++) {
        touched += (pages[i] & 1) * 4096u;
    }
    return touched;
}

static void areas_that_were_prepared_are_touched_and_taken_without_the_kernel(void **state)
{
    enum { PER_AREA = FRAME_POOL_AREA_SIZE / 4096 - 1 };
    static void *frames[PER_AREA * (2 + FRAME_POOL_AREAS_READY)];
    struct frame_pool pool;
    size_t taken = 0;
    frame_pool_open(&pool, 4096);
    frames[taken++] = frame_pool_take(&pool);
    frame_pool_prepare(&pool);
    assert_int_equal(pool.area_count, 1); /* who has little does not get much */
    while (taken < 2 * PER_AREA) {
        frames[taken++] = frame_pool_take(&pool);
    }
    for (unsigned again = 0; again < 2; again++) {
        frame_pool_prepare(&pool);
        assert_int_equal(pool.area_count, 2 + FRAME_POOL_AREAS_READY);
        assert_int_equal(pool.areas_empty, FRAME_POOL_AREAS_READY);
    }
    while (taken < sizeof(frames) / sizeof(frames[0])) {
        frames[taken] = frame_pool_take(&pool);
        if (taken++ % PER_AREA == 0) {
            assert_int_equal(touched_bytes((void *)((uintptr_t)frames[taken - 1] & ~(FRAME_POOL_AREA_SIZE - 1ul))),
                             FRAME_POOL_AREA_SIZE);
        }
    }
    assert_int_equal(pool.area_count, 2 + FRAME_POOL_AREAS_READY);
    assert_int_equal(pool.areas_empty, 0);
    while (taken > 0) {
        frame_pool_give(&pool, frames[--taken]);
    }
    assert_int_equal(pool.area_count, FRAME_POOL_AREAS_READY);
    frame_pool_rest(&pool);
    assert_int_equal(pool.area_count, 1);
    frame_pool_close(&pool);
}

struct giver {
    pthread_t thread;
    struct frame_pool *pool;
    void *frames[FRAMES];
};

static void *give_all(void *arg)
{
    struct giver *giver = arg;
    for (unsigned i = 0; i < FRAMES; i++) {
        frame_pool_give(giver->pool, giver->frames[i]);
    }
    return NULL;
}

static void frames_are_given_back_by_other_threads(void **state)
{
    static struct giver givers[2];
    struct frame_pool pool;
    frame_pool_open(&pool, 4096);
    for (unsigned i = 0; i < 2; i++) {
        givers[i].pool = &pool;
        for (unsigned j = 0; j < FRAMES; j++) {
            givers[i].frames[j] = frame_pool_take(&pool);
        }
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&givers[i].thread, NULL, give_all, &givers[i]), 0);
    }
    for (unsigned i = 0; i < FRAMES; i++) {
        uint8_t *frame = frame_pool_take(&pool);
        frame[4095] = 1;
        frame_pool_give(&pool, frame);
    }
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(givers[i].thread, NULL), 0);
    }
    assert_int_equal(pool.frames_used, 0);
    frame_pool_close(&pool);
}

static void *close_cut(void *arg)
{
    hf_store_cut_close(arg);
    return NULL;
}

static void a_large_store_lives_in_frames_and_gives_them_back(void **state)
{
    enum { ENTRIES = 60000 };
    static uint8_t value[400];
    struct hf_store_options options = {.backend = HF_STORE_MEMORY};
    struct hf_store *store;
    struct hf_store_cut *cut;
    struct hf_store_stat stat;
    pthread_t thread;
    assert_int_equal(hf_store_open(&options, &store), 0);
    for (unsigned round = 0; round < 2; round++) {
        for (uint64_t i = 0; i < ENTRIES; i++) {
            uint8_t key[8];
            bytes_put_u64(key, hash_mix_64(i));
            bytes_put_u64(value, i + round);
            assert_int_equal(hf_store_put(store, 0, bytes_of(key, 8), bytes_of(value, 100 + i % 300), NULL), 0);
            if (round == 1 && i == ENTRIES / 2) {
                assert_int_equal(pthread_create(&thread, NULL, close_cut, cut), 0);
            }
        }
        assert_int_equal(tree_check(memory_store_tree(store, 0), NULL), 0);
        if (round == 0) {
            assert_int_equal(hf_store_cut(store, &cut), 0);
        }
    }
    assert_int_equal(pthread_join(thread, NULL), 0);
    hf_store_stat(store, &stat);
    assert_true(stat.memory_spare_bytes > 0);
    assert_int_equal(stat.memory_bytes, stat.memory_live_bytes);
    assert_int_equal(hf_store_clear(store, 0), 0);
    while (hf_store_reclaim(store, 1000)) {
    }
    hf_store_stat(store, &stat);
    assert_int_equal(stat.memory_bytes, 0);
    assert_true(stat.memory_spare_bytes <= (size_t)MEMORY_ACCOUNT_POOLS * FRAME_POOL_AREA_SIZE);
    hf_store_close(store);
}

static void who_reads_a_cut_whole_keeps_memory_ready_for_copies(void **state)
{
    enum { ENTRIES = 60000 };
    static uint8_t value[400];
    struct hf_store_options options = {.backend = HF_STORE_MEMORY};
    struct hf_store *store;
    struct hf_store_cut *cut;
    struct hf_store_export *stream;
    struct hf_store_stat before, meanwhile, after;
    size_t got = 0;
    assert_int_equal(hf_store_open(&options, &store), 0);
    for (uint64_t i = 0; i < ENTRIES; i++) {
        uint8_t key[8];
        bytes_put_u64(key, hash_mix_64(i));
        assert_int_equal(hf_store_put(store, 0, bytes_of(key, 8), bytes_of(value, 400), NULL), 0);
    }
    hf_store_stat(store, &before);
    assert_int_equal(hf_store_cut(store, &cut), 0);
    assert_int_equal(hf_store_export_open(cut, &stream), 0);
    assert_int_equal(hf_store_export_read(stream, value, sizeof(value), &got), 0);
    hf_store_stat(store, &meanwhile);
    assert_true(meanwhile.memory_spare_bytes >=
                before.memory_spare_bytes + (FRAME_POOL_AREAS_READY - 1) * FRAME_POOL_AREA_SIZE);
    hf_store_export_close(stream);
    hf_store_cut_close(cut);
    hf_store_stat(store, &after);
    assert_true(after.memory_spare_bytes <= before.memory_spare_bytes + MEMORY_ACCOUNT_POOLS * FRAME_POOL_AREA_SIZE);
    hf_store_close(store);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_do_not_overlap_and_areas_return_to_the_kernel),
        cmocka_unit_test(areas_that_were_prepared_are_touched_and_taken_without_the_kernel),
        cmocka_unit_test(frames_are_given_back_by_other_threads),
        cmocka_unit_test(a_large_store_lives_in_frames_and_gives_them_back),
        cmocka_unit_test(who_reads_a_cut_whole_keeps_memory_ready_for_copies),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
