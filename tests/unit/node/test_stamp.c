#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "node/stamp.h"

static void stamps_of_entries_never_decrease_when_the_clock_does(void **state)
{
    struct stamp stamp = {0};
    assert_int_equal(stamp_next(&stamp, 1000), 1000);
    assert_int_equal(stamp_next(&stamp, 400), 1000);
    assert_int_equal(stamp_next(&stamp, 1001), 1001);
}

static void a_new_leader_stamps_no_lower_than_its_log(void **state)
{
    struct stamp stamp = {0};
    stamp_see(&stamp, 5000); /* an entry that is not applied yet */
    assert_int_equal(stamp_next(&stamp, 4600), 5000);
    assert_int_equal(stamp.applied_ms, 0);
}

static void H12_a_read_shows_a_deadline_only_once_the_log_justifies_it(void **state)
{
    struct stamp stamp = {0};
    stamp_apply(&stamp, 1000);
    assert_int_equal(stamp_read(&stamp, 1500, UINT64_MAX), 1500);
    assert_int_equal(stamp_read(&stamp, 1500, 2000), 1500);
    /* The deadline passed, and no entry says so yet. */
    assert_int_equal(stamp_read(&stamp, 2500, 2000), 1999);
    /* The expiry is applied. */
    stamp_apply(&stamp, 2500);
    assert_int_equal(stamp_read(&stamp, 2400, 2000), 2500);
    /* Keys that one expiry did not reach are past their deadline all the same. */
    assert_int_equal(stamp_read(&stamp, 2600, 2100), 2500);
}

static void stamps_of_reads_never_decrease_while_deadlines_come_and_go(void **state)
{
    struct stamp stamp = {0};
    stamp_apply(&stamp, 1000);
    assert_int_equal(stamp_read(&stamp, 1600, UINT64_MAX), 1600);
    assert_int_equal(stamp_read(&stamp, 1200, UINT64_MAX), 1600); /* the clock went back */
    /* An entry after that read is stamped no lower, so no new deadline lies at or before it. */
    assert_int_equal(stamp_next(&stamp, 1200), 1600);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stamps_of_entries_never_decrease_when_the_clock_does),
        cmocka_unit_test(a_new_leader_stamps_no_lower_than_its_log),
        cmocka_unit_test(H12_a_read_shows_a_deadline_only_once_the_log_justifies_it),
        cmocka_unit_test(stamps_of_reads_never_decrease_while_deadlines_come_and_go),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
