#include "unit/log/log_fixture.h"

/* Each test runs with both drivers and both backends of io/. */
static const struct hf_log_options variants[] = {
    {.driver = HF_LOG_DRIVE_THREAD, .io = HF_LOG_IO_AUTO},
    {.driver = HF_LOG_DRIVE_CALLER, .io = HF_LOG_IO_AUTO},
    {.driver = HF_LOG_DRIVE_THREAD, .io = HF_LOG_IO_THREADS},
    {.driver = HF_LOG_DRIVE_CALLER, .io = HF_LOG_IO_THREADS},
};

static void each_variant(void (*run)(struct fixture *fixture))
{
    for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
        struct fixture fixture;
        fixture_set_up(&fixture);
        fixture.options.driver = variants[i].driver;
        fixture.options.io = variants[i].io;
        fixture_open(&fixture);
        run(&fixture);
        fixture_tear_down(&fixture);
    }
}

static void run_round_trip(struct fixture *fixture)
{
    assert_int_equal(fixture_append(fixture, 7, 1, 1, "one"), 0);
    assert_int_equal(fixture_append(fixture, 7, 2, 1, ""), 0);
    assert_int_equal(fixture_append(fixture, 7, 3, 4, "three"), 0);
    fixture_expect(fixture, 7, 1, 1, "one");
    fixture_expect(fixture, 7, 2, 1, "");
    fixture_expect(fixture, 7, 3, 4, "three");
    fixture_reopen(fixture);
    fixture_expect(fixture, 7, 1, 1, "one");
    fixture_expect(fixture, 7, 2, 1, "");
    fixture_expect(fixture, 7, 3, 4, "three");
    struct hf_log_group_state state = fixture_state(fixture, 7);
    assert_int_equal(state.first_index, 1);
    assert_int_equal(state.last_index, 3);
    assert_int_equal(state.durable_index, 3);
    assert_true(state.exists);
    assert_false(state.damaged);
}

static void L7_entries_are_read_back_before_and_after_a_restart(void **unused)
{
    (void)unused;
    each_variant(run_round_trip);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(L7_entries_are_read_back_before_and_after_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
