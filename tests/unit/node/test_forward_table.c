#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "node/forward_table.h"

static void ids_are_given_in_order_and_never_again(void **state)
{
    struct forward_table table = {0};
    struct forward_entry entry = {.kind = FORWARD_PROPOSE};
    struct forward_entry out;
    assert_int_equal(forward_table_add(&table, entry), 1);
    assert_int_equal(forward_table_add(&table, entry), 2);
    assert_int_equal(forward_table_take(&table, 2, &out), 0);
    assert_int_equal(forward_table_take(&table, 1, &out), 0);
    assert_int_equal(table.count, 0);
    assert_int_equal(forward_table_add(&table, entry), 3);
    assert_null(forward_table_find(&table, 1));
    assert_int_not_equal(forward_table_take(&table, 2, &out), 0);
    assert_int_equal(forward_table_take(&table, 3, &out), 0);
    forward_table_close(&table);
}

static void only_what_is_not_done_is_walked_and_counted(void **state)
{
    struct forward_table table = {0};
    struct forward_entry out;
    for (unsigned i = 1; i <= 200; i++) {
        struct forward_entry entry = {.kind = i % 2 ? FORWARD_PROPOSE : FORWARD_READ, .deadline_ms = i};
        assert_int_equal(forward_table_add(&table, entry), i);
    }
    assert_int_equal(table.proposals_in_flight, 100);
    assert_int_equal(forward_table_deadline_ms(&table), 1);
    for (unsigned i = 1; i <= 200; i++) {
        if (i % 3 != 0) {
            assert_int_equal(forward_table_take(&table, i, &out), 0);
            assert_int_equal(out.deadline_ms, i);
        }
    }
    uint64_t id = 0;
    unsigned walked = 0;
    while ((id = forward_table_next(&table, id + 1)) != 0) {
        assert_int_equal(id % 3, 0);
        walked++;
    }
    assert_int_equal(walked, 66);
    assert_int_equal(table.proposals_in_flight, 33);
    assert_int_equal(forward_table_deadline_ms(&table), 3);
    while ((id = forward_table_next(&table, 1)) != 0) {
        assert_int_equal(forward_table_take(&table, id, &out), 0);
    }
    assert_int_equal(forward_table_deadline_ms(&table), UINT64_MAX);
    forward_table_close(&table);
}

/* Against an array that keeps everything. */
static void any_order_of_adds_and_takes_agrees_with_a_model(void **state)
{
    struct rng rng;
    struct forward_table table = {0};
    struct forward_entry out;
    static bool live[20001];
    uint64_t last = 0;
    rng_seed(&rng, 3);
    for (unsigned step = 0; step < 40000; step++) {
        if (rng_chance(&rng, 1, 2) && last < 20000) {
            last = forward_table_add(&table, (struct forward_entry){.kind = FORWARD_PROPOSE, .deadline_ms = last + 1});
            live[last] = true;
        } else if (last > 0) {
            uint64_t id = last - rng_below(&rng, last < 300 ? last : 300);
            assert_int_equal(forward_table_find(&table, id) != NULL, live[id]);
            assert_int_equal(forward_table_take(&table, id, &out) == 0, live[id]);
            live[id] = false;
        }
    }
    size_t left = 0;
    for (uint64_t id = 1; id <= last; id++) {
        left += live[id];
        if (live[id]) {
            assert_int_equal(forward_table_take(&table, id, &out), 0);
            assert_int_equal(out.deadline_ms, id);
        }
    }
    assert_true(left > 0);
    assert_int_equal(table.count, 0);
    forward_table_close(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_given_in_order_and_never_again),
        cmocka_unit_test(only_what_is_not_done_is_walked_and_counted),
        cmocka_unit_test(any_order_of_adds_and_takes_agrees_with_a_model),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
