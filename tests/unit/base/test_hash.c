#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <xxhash.h> /* the shared library's own function, against the one that was compiled in */

#include "base/bytes.h"
#include "base/hash.h"
#include "base/rng.h"

static void fnv1a_gives_the_published_values(void **state)
{
    static const struct {
        const char *text;
        uint64_t hash;
    } rows[] = {
        {"", UINT64_C(0xCBF29CE484222325)},       {"a", UINT64_C(0xAF63DC4C8601EC8C)},
        {"b", UINT64_C(0xAF63DF4C8601F1A5)},      {"fo", UINT64_C(0x08985907B541D342)},
        {"foobar", UINT64_C(0x85944171F73967E8)},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(hash_fnv1a_64(bytes_of_text(rows[i].text)), rows[i].hash);
    }
    /* Bytes above 127 count as unsigned; a zero byte counts. */
    assert_int_equal(hash_fnv1a_64(bytes_of("\0", 1)), UINT64_C(0xAF63BD4C8601B7DF));
    assert_int_equal(hash_fnv1a_64(bytes_of("\xFF", 1)), UINT64_C(0xAF64724C8602EB6E));
    assert_int_equal(hash_fnv1a_64(bytes_of(NULL, 0)), UINT64_C(0xCBF29CE484222325));
}

static void xxh3_is_the_librarys_for_every_size_and_seed(void **state)
{
    assert_int_equal(hash_xxh3_64(bytes_of(NULL, 0), 0), UINT64_C(0x2D06800538D394C2));
    uint8_t room[1024];
    struct rng rng;
    rng_seed(&rng, 6);
    rng_fill(&rng, room, sizeof(room));
    for (size_t size = 0; size < sizeof(room); size++) {
        uint64_t seed = rng_next(&rng);
        assert_int_equal(hash_xxh3_64(bytes_of(room, size), seed), XXH3_64bits_withSeed(room, size, seed));
    }
}

/* From the paper's own C++ code, for 1, 2, 3 … buckets; the same rows stand in the tests of many implementations. */
static void jump_gives_the_published_values(void **state)
{
    static const struct {
        uint64_t key;
        uint32_t buckets[19];
    } rows[] = {
        {0, {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}},
        {1, {0, 0, 0, 0, 0, 0, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 6, 17, 17}},
        {0xDEADBEEF, {0, 1, 2, 3, 3, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 16, 16, 16}},
        {UINT64_C(0x0DDC0FFEEBADF00D), {0, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 2, 15, 15, 15, 15}},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (uint32_t count = 1; count <= 19; count++) {
            assert_int_equal(hash_jump(rows[i].key, count), rows[i].buckets[count - 1]);
        }
    }
    assert_int_equal(hash_jump(UINT64_C(10863919174838991), 11), 6);
    assert_int_equal(hash_jump(UINT64_C(2016238256797177309), 11), 3);
    assert_int_equal(hash_jump(UINT64_C(1673758223894951030), 11), 5);
    assert_int_equal(hash_jump(2, 100001), 80343);
    assert_int_equal(hash_jump(2201, 100001), 22152);
    assert_int_equal(hash_jump(2202, 100001), 15018);
}

static void a_new_bucket_takes_keys_but_no_key_moves_between_old_ones(void **state)
{
    struct rng rng;
    rng_seed(&rng, 7);
    for (int i = 0; i < 2000; i++) {
        uint64_t key = rng_next(&rng);
        uint32_t before = hash_jump(key, 1);
        assert_int_equal(before, 0);
        for (uint32_t count = 2; count < 200; count++) {
            uint32_t after = hash_jump(key, count);
            assert_true(after == before || after == count - 1);
            before = after;
        }
    }
}

static void jump_spreads_keys_evenly(void **state)
{
    enum { BUCKETS = 10, KEYS = 100000 };
    int counts[BUCKETS] = {0};
    for (uint64_t key = 0; key < KEYS; key++) {
        counts[hash_jump(hash_mix_64(key), BUCKETS)]++;
    }
    for (int i = 0; i < BUCKETS; i++) {
        assert_in_range(counts[i], KEYS / BUCKETS * 95 / 100, KEYS / BUCKETS * 105 / 100);
    }
}

static void jump_stays_within_the_largest_bucket_count(void **state)
{
    struct rng rng;
    rng_seed(&rng, 8);
    for (int i = 0; i < 10000; i++) {
        assert_true(hash_jump(rng_next(&rng), UINT32_MAX) < UINT32_MAX);
    }
    assert_true(hash_jump(UINT64_MAX, UINT32_MAX) < UINT32_MAX);
}

static void the_mixer_is_splitmixs_and_loses_nothing(void **state)
{
    /* The first two outputs of splitmix64 with seed 0. */
    assert_int_equal(hash_mix_64(UINT64_C(0x9E3779B97F4A7C15)), UINT64_C(0xE220A8397B1DCDAF));
    assert_int_equal(hash_mix_64(UINT64_C(0x9E3779B97F4A7C15) * 2), UINT64_C(0x6E789E6AA1B965F4));
    /* Bijective: neighbours never meet in a sample. */
    for (uint64_t i = 0; i < 10000; i++) {
        assert_int_not_equal(hash_mix_64(i), hash_mix_64(i + 1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fnv1a_gives_the_published_values),
        cmocka_unit_test(xxh3_is_the_librarys_for_every_size_and_seed),
        cmocka_unit_test(jump_gives_the_published_values),
        cmocka_unit_test(a_new_bucket_takes_keys_but_no_key_moves_between_old_ones),
        cmocka_unit_test(jump_spreads_keys_evenly),
        cmocka_unit_test(jump_stays_within_the_largest_bucket_count),
        cmocka_unit_test(the_mixer_is_splitmixs_and_loses_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
