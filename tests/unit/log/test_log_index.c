#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "log/log_index.h"

#define SPAN 400u

/* What must be found, by index; segment NULL: nothing. */
struct expected {
    struct log_location at[SPAN];
};

static void check(const struct log_index *index, const struct expected *expected, uint64_t base)
{
    uint64_t last = 0;
    uint64_t oldest = 0;
    for (uint64_t i = 0; i < SPAN; i++) {
        struct log_location found;
        bool is_there = log_index_find(index, base + i, &found);
        assert_int_equal(is_there, expected->at[i].segment != NULL);
        if (is_there) {
            assert_memory_equal(&found, &expected->at[i], sizeof(found));
            last = base + i;
            oldest = oldest == 0 ? base + i : oldest;
        }
    }
    uint64_t found = 0;
    assert_int_equal(log_index_last(index, &found), last != 0);
    assert_true(last == 0 || found == last);
    assert_int_equal(log_index_next(index, base, &found), oldest != 0);
    assert_true(oldest == 0 || found == oldest);
    assert_int_equal(log_index_next(index, base + SPAN, &found), false);
}

static void expect_removed(struct expected *expected, uint64_t low, uint64_t high, struct log_index_removed removed)
{
    struct log_index_removed wanted = {0};
    for (uint64_t i = low; i < high; i++) {
        wanted.count += expected->at[i].segment != NULL;
        wanted.payload_bytes += expected->at[i].segment != NULL ? expected->at[i].size : 0;
        expected->at[i] = (struct log_location){0};
    }
    assert_int_equal(removed.count, wanted.count);
    assert_int_equal(removed.payload_bytes, wanted.payload_bytes);
}

static void run(uint64_t seed, uint64_t base)
{
    struct rng rng;
    struct log_segment segments[3] = {{.header = {.number = 1}}, {.header = {.number = 2}}, {.header = {.number = 3}}};
    struct log_index index = {0};
    struct expected expected;
    memset(&expected, 0, sizeof(expected));
    rng_seed(&rng, seed);
    uint64_t next = 0;
    uint64_t segment = 0;
    uint64_t term = 1;
    for (int step = 0; step < 300; step++) {
        uint64_t choice = rng_below(&rng, 100);
        if (choice < 80 && next < SPAN) {
            segment += segment < 2 && rng_chance(&rng, 1, 50);
            term += rng_chance(&rng, 1, 10);
            next += rng_chance(&rng, 1, 40); /* a hole */
            for (uint64_t i = rng_below(&rng, 6); i > 0 && next < SPAN; i--, next++) {
                struct log_location location;
                memset(&location, 0, sizeof(location));
                location.segment = &segments[segment];
                location.offset = rng_below(&rng, 1 << 29) * 8;
                location.size = (uint32_t)rng_below(&rng, 1000);
                location.term = term;
                log_index_append(&index, base + next, &location);
                expected.at[next] = location;
            }
        } else if (choice < 90 && next > 0) {
            uint64_t from = rng_below(&rng, next + 1);
            expect_removed(&expected, from, SPAN, log_index_remove_from(&index, base + from));
            next = from;
        } else if (next > 0) {
            uint64_t up_to = rng_below(&rng, next);
            up_to = rng_chance(&rng, 1, 2) ? up_to / 4 : up_to;
            expect_removed(&expected, 0, up_to + 1, log_index_remove_to(&index, base + up_to));
        }
        check(&index, &expected, base);
    }
    log_index_close(&index);
}

static void the_index_agrees_with_an_array_after_any_operations(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        run(seed, 1);
    }
}

static void L13_indexes_up_to_the_last_possible_one_work(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        run(seed, UINT64_MAX - SPAN);
    }
    struct log_segment segment = {.header = {.number = 1}};
    struct log_index index = {0};
    struct log_location location = {.segment = &segment, .offset = 8, .size = 1, .term = 1};
    uint64_t last = 0;
    log_index_append(&index, UINT64_MAX, &location);
    assert_true(log_index_find(&index, UINT64_MAX, &location));
    assert_false(log_index_find(&index, 0, &location));
    assert_true(log_index_last(&index, &last));
    assert_true(last == UINT64_MAX);
    assert_int_equal(log_index_remove_from(&index, UINT64_MAX).count, 1);
    assert_false(log_index_last(&index, &last));
    log_index_close(&index);
}

static void a_block_never_changes_its_segment(void **unused)
{
    (void)unused;
    struct log_segment segments[2] = {{.header = {.number = 1}}, {.header = {.number = 2}}};
    struct log_index index = {0};
    for (uint64_t i = 1; i <= 100; i++) {
        struct log_location location = {.segment = &segments[i > 50], .offset = i * 8, .size = 1, .term = 1};
        log_index_append(&index, i, &location);
    }
    assert_int_equal(index.count, 2);
    assert_ptr_equal(log_index_oldest(&index), &segments[0]);
    log_index_remove_to(&index, 50);
    assert_ptr_equal(log_index_oldest(&index), &segments[1]);
    log_index_close(&index);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_index_agrees_with_an_array_after_any_operations),
        cmocka_unit_test(L13_indexes_up_to_the_last_possible_one_work),
        cmocka_unit_test(a_block_never_changes_its_segment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
