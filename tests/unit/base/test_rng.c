#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "base/rng.h"

static void the_generator_gives_the_reference_sequences(void **state)
{
    /* Of the authors' code from the state 1, 2, 3, 4. */
    static const uint64_t expected[] = {
        11520,
        0,
        1509978240,
        UINT64_C(1215971899390074240),
        UINT64_C(1216172134540287360),
        UINT64_C(607988272756665600),
        UINT64_C(16172922978634559625),
        UINT64_C(8476171486693032832),
        UINT64_C(10595114339597558777),
        UINT64_C(2904607092377533576),
    };
    struct rng rng = {.state = {1, 2, 3, 4}};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        assert_int_equal(rng_next(&rng), expected[i]);
    }
    /* Seeded by splitmix64, as the authors advise. */
    rng_seed(&rng, 42);
    assert_int_equal(rng_next(&rng), UINT64_C(1546998764402558742));
    assert_int_equal(rng_next(&rng), UINT64_C(6990951692964543102));
    assert_int_equal(rng_next(&rng), UINT64_C(12544586762248559009));
}

static void a_seed_replays_and_another_differs(void **state)
{
    struct rng a;
    struct rng b;
    struct rng other;
    rng_seed(&a, 9);
    rng_seed(&b, 9);
    rng_seed(&other, 10);
    int same = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t value = rng_next(&a);
        assert_int_equal(value, rng_next(&b));
        same += value == rng_next(&other);
    }
    assert_int_equal(same, 0);
}

static void below_is_uniform_and_stays_below(void **state)
{
    struct rng rng;
    rng_seed(&rng, 11);
    int counts[7] = {0};
    for (int i = 0; i < 70000; i++) {
        counts[rng_below(&rng, 7)]++;
    }
    for (int i = 0; i < 7; i++) {
        assert_in_range(counts[i], 9500, 10500);
    }
    for (int i = 0; i < 1000; i++) {
        assert_int_equal(rng_below(&rng, 1), 0);
        uint64_t bound = rng_next(&rng) | 1;
        assert_true(rng_below(&rng, bound) < bound);
    }
    /* A bound for which plain `% bound` would give the lower half twice as often as the upper. */
    uint64_t bound = UINT64_MAX / 4 * 3;
    int low = 0;
    for (int i = 0; i < 30000; i++) {
        low += rng_below(&rng, bound) < bound / 3;
    }
    assert_in_range(low, 9500, 10500);
}

static void between_includes_both_ends(void **state)
{
    struct rng rng;
    rng_seed(&rng, 12);
    bool seen[3] = {false};
    for (int i = 0; i < 200; i++) {
        uint64_t value = rng_between(&rng, 5, 7);
        assert_in_range(value, 5, 7);
        seen[value - 5] = true;
    }
    assert_true(seen[0] && seen[1] && seen[2]);
    assert_int_equal(rng_between(&rng, 8, 8), 8);
    assert_true(rng_between(&rng, UINT64_MAX, UINT64_MAX) == UINT64_MAX);
    bool high = false;
    for (int i = 0; i < 64; i++) {
        high |= rng_between(&rng, 0, UINT64_MAX) > UINT64_MAX / 2;
    }
    assert_true(high);
}

static void a_chance_is_a_fraction(void **state)
{
    struct rng rng;
    rng_seed(&rng, 13);
    int hits = 0;
    for (int i = 0; i < 40000; i++) {
        assert_false(rng_chance(&rng, 0, 5));
        assert_true(rng_chance(&rng, 5, 5));
        hits += rng_chance(&rng, 1, 4);
    }
    assert_in_range(hits, 9500, 10500);
}

static void a_fill_is_the_sequence_in_little_endian_bytes_and_not_one_more(void **state)
{
    for (size_t size = 0; size <= 32; size++) {
        struct rng rng;
        rng_seed(&rng, 14);
        uint8_t filled[40];
        memset(filled, 0xEE, sizeof(filled));
        rng_fill(&rng, filled, size);
        struct rng again;
        rng_seed(&again, 14);
        uint64_t value = 0;
        for (size_t i = 0; i < size; i++) {
            value = i % 8 == 0 ? rng_next(&again) : value >> 8;
            assert_int_equal(filled[i], (uint8_t)value);
        }
        assert_int_equal(filled[size], 0xEE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_generator_gives_the_reference_sequences),
        cmocka_unit_test(a_seed_replays_and_another_differs),
        cmocka_unit_test(below_is_uniform_and_stays_below),
        cmocka_unit_test(between_includes_both_ends),
        cmocka_unit_test(a_chance_is_a_fraction),
        cmocka_unit_test(a_fill_is_the_sequence_in_little_endian_bytes_and_not_one_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
