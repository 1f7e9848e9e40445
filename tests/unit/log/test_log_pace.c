/* Whether the device is quick enough to be waited for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "log/log_pace.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)

static void note(struct log_pace *pace, unsigned count, uint64_t took_ns, uint64_t *now_ns)
{
    for (unsigned i = 0; i < count; i++) {
        *now_ns += took_ns;
        log_pace_note(pace, took_ns, *now_ns);
    }
}

static void a_quick_device_is_waited_for_and_one_slow_write_changes_nothing(void **unused)
{
    (void)unused;
    struct log_pace pace = {0};
    uint64_t now_ns = MS;
    assert_true(log_pace_allows(&pace, now_ns)); /* nothing is known of it */
    note(&pace, 100, 100 * US, &now_ns);
    assert_true(log_pace_allows(&pace, now_ns));
    note(&pace, 1, 9 * MS, &now_ns);
    assert_true(log_pace_allows(&pace, now_ns));
}

static void a_slow_device_is_tried_now_and_then_until_it_is_quick_again(void **unused)
{
    (void)unused;
    struct log_pace pace = {0};
    uint64_t now_ns = MS;
    note(&pace, 100, MS, &now_ns);
    uint64_t began_ns = now_ns;
    for (unsigned i = 0; i < 100; i++) { /* a twentieth of the time, however long it stays slow */
        assert_false(log_pace_allows(&pace, now_ns));
        now_ns = pace.rest_ns;
        assert_true(log_pace_allows(&pace, now_ns));
        note(&pace, 1, MS, &now_ns);
    }
    assert_true(now_ns - began_ns >= 100 * MS * (LOG_PACE_REST_FACTOR - 1));
    unsigned tries = 0;
    while (!log_pace_allows(&pace, now_ns)) {
        now_ns = pace.rest_ns;
        note(&pace, 1, 100 * US, &now_ns);
        tries++;
    }
    assert_in_range(tries, 2, 16);
}

static void after_a_hang_nobody_waits_for_twenty_times_as_long(void **unused)
{
    (void)unused;
    struct log_pace pace = {0};
    uint64_t now_ns = MS;
    note(&pace, 1, 2000 * MS, &now_ns);
    assert_false(log_pace_allows(&pace, now_ns + 39999 * MS));
    assert_true(log_pace_allows(&pace, now_ns + 40000 * MS));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_quick_device_is_waited_for_and_one_slow_write_changes_nothing),
        cmocka_unit_test(a_slow_device_is_tried_now_and_then_until_it_is_quick_again),
        cmocka_unit_test(after_a_hang_nobody_waits_for_twenty_times_as_long),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
