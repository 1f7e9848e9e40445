#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/map.h"
#include "base/rng.h"

/* ---- keyed by u64 ---- */

enum { MODEL_KEYS = 512 };

static uint64_t model_key(uint64_t shape, size_t i)
{
    switch (shape % 4) {
    case 0:
        return i; /* dense, with zero */
    case 1:
        return (uint64_t)i << 55; /* nothing in the low bits */
    case 2:
        return UINT64_MAX - i;
    default:
        return i * 4096;
    }
}

static void check_against_model(const struct map *map, uint64_t shape, void *const model[MODEL_KEYS])
{
    bool seen[MODEL_KEYS] = {false};
    size_t live = 0;
    for (size_t i = 0; i < MODEL_KEYS; i++) {
        live += model[i] != NULL;
    }
    assert_int_equal(map->count, live);
    size_t position = 0;
    uint64_t key;
    void *value;
    while (map_next(map, &position, &key, &value)) {
        size_t i = 0;
        while (i < MODEL_KEYS && model_key(shape, i) != key) {
            i++;
        }
        assert_true(i < MODEL_KEYS && !seen[i]);
        assert_ptr_equal(model[i], value);
        seen[i] = true;
        live--;
    }
    assert_int_equal(live, 0);
    assert_false(map_next(map, &position, &key, &value));
}

static void a_map_answers_as_a_plain_array_does(void **state)
{
    static char values[16];
    for (uint64_t seed = 0; seed < 24; seed++) {
        struct rng rng;
        rng_seed(&rng, seed);
        void *model[MODEL_KEYS] = {NULL};
        struct map map = {.seed = seed < 4 ? 0 : rng_next(&rng)};
        uint32_t growth = 3; /* in phases: growing, then shrinking */
        for (int step = 0; step < 6000; step++) {
            growth = step % 1000 == 0 ? (uint32_t)rng_between(&rng, 1, 4) : growth;
            size_t i = rng_below(&rng, MODEL_KEYS);
            uint64_t key = model_key(seed, i);
            assert_ptr_equal(map_get(&map, key), model[i]);
            if (rng_chance(&rng, growth, 5)) {
                void *value = &values[rng_below(&rng, sizeof(values))];
                assert_ptr_equal(map_put(&map, key, value), model[i]);
                model[i] = value;
            } else {
                assert_ptr_equal(map_remove(&map, key), model[i]);
                model[i] = NULL;
            }
            assert_ptr_equal(map_get(&map, key), model[i]);
            assert_true(map.used >= map.count && map.used * 4 <= map.capacity * 3);
            if (step % 500 == 0) {
                check_against_model(&map, seed, model);
            }
        }
        check_against_model(&map, seed, model);
        map_close(&map);
    }
}

static void a_zeroed_map_is_empty_and_valid(void **state)
{
    struct map map = {0};
    size_t position = 0;
    uint64_t key;
    void *value;
    assert_null(map_get(&map, 0));
    assert_null(map_remove(&map, 0));
    assert_false(map_next(&map, &position, &key, &value));
    map_close(&map);
    assert_null(map_put(&map, 0, &map));
    assert_ptr_equal(map_get(&map, 0), &map);
    assert_null(map_get(&map, 1));
    map_close(&map);
    assert_null(map_get(&map, 0));
    map_close(&map);
    map_close(NULL);
}

static void a_queue_of_keys_does_not_grow_the_table(void **state)
{
    struct map map = {0};
    for (uint64_t key = 0; key < 200000; key++) {
        assert_null(map_put(&map, key, &map));
        if (key >= 10) {
            assert_ptr_equal(map_remove(&map, key - 10), &map);
        }
        assert_true(map.capacity <= 64);
    }
    map_close(&map);
}

static void many_keys_are_all_found_and_the_table_shrinks_with_use(void **state)
{
    enum { KEYS = 100000 };
    struct map map = {0};
    for (uint64_t key = 0; key < KEYS; key++) {
        map_put(&map, key * key, (void *)(uintptr_t)(key + 1));
    }
    assert_int_equal(map.count, KEYS);
    for (uint64_t key = 0; key < KEYS; key++) {
        assert_ptr_equal(map_get(&map, key * key), (void *)(uintptr_t)(key + 1));
    }
    for (uint64_t key = 0; key < KEYS; key++) {
        map_remove(&map, key * key);
    }
    assert_int_equal(map.count, 0);
    size_t before = map.capacity;
    for (uint64_t key = 0; key < KEYS; key++) {
        map_put(&map, key, &map);
        map_remove(&map, key);
    }
    assert_true(map.capacity <= before);
    map_close(&map);
}

/* ---- keyed by byte strings ---- */

/* Keys that a careless comparison confuses: prefixes of each other, zero bytes, the empty key, long ones. */
static struct hf_bytes text_key(size_t i)
{
    static uint8_t letters[MODEL_KEYS];
    static bool ready;
    if (!ready) {
        for (size_t k = 0; k < MODEL_KEYS; k++) {
            letters[k] = (uint8_t)(k % 3 == 0 ? 0 : 'a' + k % 2);
        }
        ready = true;
    }
    return i % 2 == 0 ? bytes_of(letters, i / 2) : bytes_of(letters + 1, i / 2 + 7);
}

static void check_bytes_against_model(const struct bytes_map *map, void *const model[MODEL_KEYS])
{
    size_t live = 0;
    for (size_t i = 0; i < MODEL_KEYS; i++) {
        live += model[i] != NULL;
        assert_ptr_equal(bytes_map_get(map, text_key(i)), model[i]);
    }
    assert_int_equal(map->count, live);
    size_t position = 0;
    size_t walked = 0;
    struct hf_bytes key;
    void *value;
    while (bytes_map_next(map, &position, &key, &value)) {
        assert_ptr_equal(bytes_map_get(map, key), value);
        walked++;
    }
    assert_int_equal(walked, live);
}

static void the_model_keys_are_distinct(void **state)
{
    for (size_t a = 0; a < MODEL_KEYS; a++) {
        for (size_t b = 0; b < a; b++) {
            assert_false(bytes_equal(text_key(a), text_key(b)));
            assert_true(model_key(0, a) != model_key(0, b) && model_key(1, a) != model_key(1, b));
        }
    }
}

static void a_bytes_map_answers_as_a_plain_array_does(void **state)
{
    static char values[16];
    for (uint64_t seed = 0; seed < 12; seed++) {
        struct rng rng;
        rng_seed(&rng, seed);
        void *model[MODEL_KEYS] = {NULL};
        struct bytes_map map;
        bytes_map_init(&map, rng_next(&rng));
        uint32_t growth = 3;
        for (int step = 0; step < 6000; step++) {
            growth = step % 1000 == 0 ? (uint32_t)rng_between(&rng, 1, 4) : growth;
            size_t i = rng_below(&rng, MODEL_KEYS);
            assert_ptr_equal(bytes_map_get(&map, text_key(i)), model[i]);
            if (rng_chance(&rng, growth, 5)) {
                void *value = &values[rng_below(&rng, sizeof(values))];
                assert_ptr_equal(bytes_map_put(&map, text_key(i), value), model[i]);
                model[i] = value;
            } else {
                assert_ptr_equal(bytes_map_remove(&map, text_key(i)), model[i]);
                model[i] = NULL;
            }
            assert_true(map.used >= map.count && map.used * 4 <= map.capacity * 3);
            if (step % 1000 == 0) {
                check_bytes_against_model(&map, model);
            }
        }
        check_bytes_against_model(&map, model);
        bytes_map_close(&map);
    }
}

static void a_bytes_map_copies_its_keys(void **state)
{
    struct bytes_map map;
    bytes_map_init(&map, 1);
    char *key = strdup("abc");
    assert_null(bytes_map_put(&map, bytes_of(key, 3), &map));
    memset(key, 'x', 3);
    free(key);
    assert_ptr_equal(bytes_map_get(&map, bytes_of_text("abc")), &map);
    assert_null(bytes_map_get(&map, bytes_of_text("xxx")));

    size_t position = 0;
    struct hf_bytes walked;
    void *value;
    assert_true(bytes_map_next(&map, &position, &walked, &value));
    assert_true(bytes_equal(walked, bytes_of_text("abc")));
    bytes_map_close(&map);
    bytes_map_close(&map);
    bytes_map_close(NULL);
}

static void the_seed_decides_where_keys_lie(void **state)
{
    struct bytes_map maps[2];
    uint8_t order[2][64];
    for (uint64_t m = 0; m < 2; m++) {
        bytes_map_init(&maps[m], m);
        static char texts[64][4];
        for (int i = 0; i < 64; i++) {
            texts[i][0] = (char)i;
            bytes_map_put(&maps[m], bytes_of(texts[i], 1), &maps[m]);
        }
        size_t position = 0;
        struct hf_bytes key;
        void *value;
        for (size_t n = 0; bytes_map_next(&maps[m], &position, &key, &value); n++) {
            order[m][n] = *(const uint8_t *)key.data;
        }
        bytes_map_close(&maps[m]);
    }
    assert_memory_not_equal(order[0], order[1], 64);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_map_answers_as_a_plain_array_does),
        cmocka_unit_test(a_zeroed_map_is_empty_and_valid),
        cmocka_unit_test(a_queue_of_keys_does_not_grow_the_table),
        cmocka_unit_test(many_keys_are_all_found_and_the_table_shrinks_with_use),
        cmocka_unit_test(the_model_keys_are_distinct),
        cmocka_unit_test(a_bytes_map_answers_as_a_plain_array_does),
        cmocka_unit_test(a_bytes_map_copies_its_keys),
        cmocka_unit_test(the_seed_decides_where_keys_lie),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
