#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <pthread.h>
#include <stdlib.h>

#include "base/histogram.h"
#include "base/rng.h"

enum { VALUES = 20000 };

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Magnitudes spread evenly over the powers of two, so that every octave is hit. */
static uint64_t random_value(struct rng *rng)
{
    return rng_next(rng) >> rng_below(rng, 64);
}

static void every_quantile_is_at_most_a_sixteenth_above_the_exact_one(void **state)
{
    static struct histogram histogram;
    static uint64_t values[VALUES];
    struct rng rng;
    rng_seed(&rng, 15);
    for (size_t i = 0; i < VALUES; i++) {
        values[i] = random_value(&rng);
        histogram_record(&histogram, values[i]);
    }
    qsort(values, VALUES, sizeof(values[0]), compare);
    assert_int_equal(histogram.count, VALUES);
    assert_int_equal(histogram.value_min, values[0]);
    assert_int_equal(histogram.value_max, values[VALUES - 1]);
    uint64_t before = 0;
    for (unsigned i = 0; i <= 1000; i++) {
        double quantile = i / 1000.0;
        size_t rank = (size_t)(quantile * VALUES);
        rank += (double)rank < quantile * VALUES;
        uint64_t exact = values[rank > 0 ? rank - 1 : 0];
        uint64_t found = histogram_quantile(&histogram, quantile);
        assert_true(found >= exact);
        assert_true(found - exact <= exact / 16);
        assert_true(found >= before);
        before = found;
    }
}

static void many_equal_values_count_as_one_by_one(void **state)
{
    static struct histogram at_once;
    static struct histogram singly;
    static const struct {
        uint64_t value;
        uint64_t times;
    } rows[] = {{1000, 3}, {7, 1}, {123456789, 500}, {5, 0}, {UINT64_MAX / 4, 2}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        histogram_record_many(&at_once, rows[i].value, rows[i].times);
        for (uint64_t k = 0; k < rows[i].times; k++) {
            histogram_record(&singly, rows[i].value);
        }
    }
    assert_memory_equal(&at_once, &singly, sizeof(singly));
}

static void counting_below_a_power_of_two_is_exact(void **state)
{
    static struct histogram histogram;
    static uint64_t values[VALUES];
    struct rng rng;
    rng_seed(&rng, 16);
    for (size_t i = 0; i < VALUES; i++) {
        values[i] = random_value(&rng);
        histogram_record(&histogram, values[i]);
    }
    for (unsigned power = 4; power < 64; power++) {
        uint64_t bound = UINT64_C(1) << power;
        uint64_t below = 0;
        for (size_t i = 0; i < VALUES; i++) {
            below += values[i] < bound;
        }
        assert_int_equal(histogram_count_below(&histogram, bound), below);
    }
}

static void a_single_value_is_found_with_bounded_error_at_every_edge(void **state)
{
    for (unsigned power = 0; power < 64; power++) {
        for (int delta = -1; delta <= 1; delta++) {
            uint64_t value = (UINT64_C(1) << power) + (uint64_t)(int64_t)delta;
            struct histogram histogram = {{0}};
            histogram_record(&histogram, value);
            uint64_t found = histogram_quantile(&histogram, 0.5);
            assert_true(found >= value && found - value <= value / 16);
            if (value < 32) {
                assert_int_equal(found, value);
            }
        }
    }
    struct histogram histogram = {{0}};
    histogram_record(&histogram, UINT64_MAX);
    assert_int_equal(histogram_quantile(&histogram, 1.0), UINT64_MAX);
    assert_int_equal(histogram.buckets[HISTOGRAM_BUCKET_COUNT - 1], 1);
}

static void an_empty_histogram_answers_zero(void **state)
{
    struct histogram histogram = {{0}};
    assert_int_equal(histogram_quantile(&histogram, 0.99), 0);
    assert_true(histogram_mean(&histogram) == 0.0);
    histogram_record(&histogram, 0);
    assert_int_equal(histogram_quantile(&histogram, 0.99), 0);
    assert_int_equal(histogram.value_min, 0);
    histogram_record(&histogram, 10);
    assert_true(histogram_mean(&histogram) == 5.0);
    assert_int_equal(histogram.value_min, 0);
    assert_int_equal(histogram.value_max, 10);
}

static void merging_equals_recording_in_one_place(void **state)
{
    static struct histogram parts[3];
    static struct histogram whole;
    static struct histogram merged;
    static struct histogram empty;
    struct rng rng;
    rng_seed(&rng, 16);
    for (int i = 0; i < 3000; i++) {
        uint64_t value = random_value(&rng) >> 8;
        histogram_record(&parts[rng_below(&rng, 3)], value);
        histogram_record(&whole, value);
    }
    histogram_merge(&merged, &empty);
    for (int i = 0; i < 3; i++) {
        histogram_merge(&merged, &parts[i]);
    }
    histogram_merge(&merged, &empty);
    assert_memory_equal(&merged, &whole, sizeof(whole));
}

enum { RECORDS = 200000 };

static void *record_many(void *arg)
{
    for (uint64_t i = 1; i <= RECORDS; i++) {
        histogram_record(arg, i);
    }
    return NULL;
}

/* The thread sanitizer watches this one. */
static void a_reader_beside_the_writer_sees_a_plausible_picture(void **state)
{
    static struct histogram histogram;
    pthread_t writer;
    assert_int_equal(pthread_create(&writer, NULL, record_many, &histogram), 0);
    for (int i = 0; i < 200; i++) {
        assert_true(histogram_quantile(&histogram, 1.0) <= RECORDS + RECORDS / 16);
    }
    assert_int_equal(pthread_join(writer, NULL), 0);
    assert_int_equal(histogram.count, RECORDS);
    assert_true(histogram_mean(&histogram) == (RECORDS + 1) / 2.0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_quantile_is_at_most_a_sixteenth_above_the_exact_one),
        cmocka_unit_test(counting_below_a_power_of_two_is_exact),
        cmocka_unit_test(many_equal_values_count_as_one_by_one),
        cmocka_unit_test(a_single_value_is_found_with_bounded_error_at_every_edge),
        cmocka_unit_test(an_empty_histogram_answers_zero),
        cmocka_unit_test(merging_equals_recording_in_one_place),
        cmocka_unit_test(a_reader_beside_the_writer_sees_a_plausible_picture),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
