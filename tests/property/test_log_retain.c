/* links: log sim */
/* Marks for deletion and what bounds them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "log/log.h"
#include "sim/sim.h"

#define GROUP  5u
#define COUNT  40u
#define SECOND UINT64_C(1000000000)

struct fixture {
    struct sim *sim;
    struct sim_host *host;
    struct hf_log *log;
    struct hf_log_options options;
};

static void run_for(struct fixture *fixture, uint64_t duration_ns)
{
    for (uint64_t passed = 0; passed < duration_ns; passed += SECOND / 100) {
        sim_run_for(fixture->sim, SECOND / 100);
        hf_log_turn(fixture->log);
    }
}

static void append(struct fixture *fixture, uint64_t first, uint64_t count)
{
    struct hf_log_batch *batch = NULL;
    assert_int_equal(hf_log_batch_open(&batch), 0);
    for (uint64_t i = first; i < first + count; i++) {
        struct hf_entry entry = {
            .index = i, .term = 1, .timestamp_ms = 1000 * i, .type = HF_ENTRY_NORMAL, .payload = {"payload", 7}};
        assert_int_equal(hf_log_batch_append(batch, GROUP, &entry, 1), 0);
    }
    assert_int_equal(hf_log_append(fixture->log, batch, NULL, NULL), 0);
    hf_log_batch_close(batch);
    run_for(fixture, SECOND / 10);
}

static void set_up(struct fixture *fixture)
{
    *fixture = (struct fixture){.sim = sim_open(1, NULL)};
    fixture->host = sim_host_add(fixture->sim, NULL, NULL);
    hf_log_options_init(&fixture->options);
    assert_true(fixture->options.delete_scan_ms == 10000 && fixture->options.delete_delay_ms == 60000);
    fixture->options.delete_scan_ms = 1000;
    fixture->options.delete_delay_ms = 5000;
    assert_int_equal(log_open(sim_host_io(fixture->host), "/log", &fixture->options, &fixture->log), 0);
    append(fixture, 1, COUNT);
}

static void tear_down(struct fixture *fixture)
{
    hf_log_close(fixture->log);
    sim_close(fixture->sim);
}

static uint64_t first_index(struct fixture *fixture)
{
    struct hf_log_group_state state;
    hf_log_group_state(fixture->log, GROUP, &state);
    return state.first_index;
}

static void retain(struct fixture *fixture, uint64_t applied, uint64_t snapshot)
{
    struct hf_log_retention bounds = {.applied_index = applied, .snapshot_index = snapshot};
    assert_int_equal(hf_log_retain(fixture->log, GROUP, &bounds), 0);
}

static void a_mark_waits_for_its_delay_and_the_scan(void **unused)
{
    (void)unused;
    struct fixture fixture;
    set_up(&fixture);
    retain(&fixture, COUNT, HF_LOG_INDEX_MAX);
    assert_int_equal(hf_log_mark_index(fixture.log, GROUP, 10), 0);
    run_for(&fixture, 4 * SECOND);
    assert_int_equal(first_index(&fixture), 1);
    run_for(&fixture, 3 * SECOND);
    assert_int_equal(first_index(&fixture), 11);
    /* What a mark led to is a compaction like any other. */
    sim_host_power_off(fixture.host);
    hf_log_close(fixture.log);
    sim_host_start(fixture.host);
    assert_int_equal(log_open(sim_host_io(fixture.host), "/log", &fixture.options, &fixture.log), 0);
    assert_int_equal(first_index(&fixture), 11);
    tear_down(&fixture);
}

static void nothing_goes_before_the_bounds_are_known(void **unused)
{
    (void)unused;
    struct fixture fixture;
    set_up(&fixture);
    assert_int_equal(hf_log_mark_index(fixture.log, GROUP, 10), 0);
    run_for(&fixture, 20 * SECOND);
    assert_int_equal(first_index(&fixture), 1);
    retain(&fixture, 4, HF_LOG_INDEX_MAX);
    run_for(&fixture, 2 * SECOND);
    assert_int_equal(first_index(&fixture), 5); /* as far as it may; the rest waits */
    retain(&fixture, 20, 8);
    run_for(&fixture, 2 * SECOND);
    assert_int_equal(first_index(&fixture), 9);
    retain(&fixture, 20, 20);
    run_for(&fixture, 2 * SECOND);
    assert_int_equal(first_index(&fixture), 11);
    tear_down(&fixture);
}

static void a_mark_beyond_the_last_entry_waits_for_it_to_be_durable(void **unused)
{
    (void)unused;
    struct fixture fixture;
    set_up(&fixture);
    retain(&fixture, 1000, HF_LOG_INDEX_MAX);
    assert_int_equal(hf_log_mark_index(fixture.log, GROUP, COUNT + 5), 0);
    run_for(&fixture, 8 * SECOND);
    assert_int_equal(first_index(&fixture), COUNT + 1);
    append(&fixture, COUNT + 1, 10);
    run_for(&fixture, 2 * SECOND);
    assert_int_equal(first_index(&fixture), COUNT + 6);
    tear_down(&fixture);
}

static void a_reader_in_use_holds_what_it_will_read(void **unused)
{
    (void)unused;
    struct fixture fixture;
    struct hf_log_hold *hold = NULL;
    set_up(&fixture);
    retain(&fixture, COUNT, COUNT);
    assert_int_equal(hf_log_hold_open(fixture.log, GROUP, 7, &hold), 0);
    assert_int_equal(hf_log_mark_index(fixture.log, GROUP, 30), 0);
    run_for(&fixture, 8 * SECOND);
    assert_int_equal(first_index(&fixture), 7);
    hf_log_hold_move(hold, 20);
    run_for(&fixture, 2 * SECOND);
    assert_int_equal(first_index(&fixture), 20);
    hf_log_hold_close(hold);
    run_for(&fixture, 2 * SECOND);
    assert_int_equal(first_index(&fixture), 31);
    tear_down(&fixture);
}

static void a_mark_by_time_takes_what_is_older(void **unused)
{
    (void)unused;
    struct fixture fixture;
    set_up(&fixture);
    retain(&fixture, 15, HF_LOG_INDEX_MAX);
    assert_int_equal(hf_log_mark_time(fixture.log, GROUP, 25 * 1000), 0);
    run_for(&fixture, 8 * SECOND);
    assert_int_equal(first_index(&fixture), 16);
    retain(&fixture, COUNT, HF_LOG_INDEX_MAX);
    run_for(&fixture, 4 * SECOND);
    assert_int_equal(first_index(&fixture), 25); /* the entry of the bound itself stays */
    tear_down(&fixture);
}

static void marks_end_with_the_life_of_the_group(void **unused)
{
    (void)unused;
    struct fixture fixture;
    struct hf_log_batch *batch = NULL;
    set_up(&fixture);
    retain(&fixture, COUNT, COUNT);
    assert_int_equal(hf_log_mark_index(fixture.log, GROUP, 10), 0);
    assert_int_equal(hf_log_batch_open(&batch), 0);
    assert_int_equal(hf_log_batch_remove_group(batch, GROUP), 0);
    assert_int_equal(hf_log_append(fixture.log, batch, NULL, NULL), 0);
    hf_log_batch_close(batch);
    assert_int_equal(hf_log_mark_index(fixture.log, GROUP, 10), HF_ENOTFOUND);
    append(&fixture, 1, COUNT);
    run_for(&fixture, 20 * SECOND);
    assert_int_equal(first_index(&fixture), 1);
    tear_down(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_mark_waits_for_its_delay_and_the_scan),
        cmocka_unit_test(nothing_goes_before_the_bounds_are_known),
        cmocka_unit_test(a_mark_beyond_the_last_entry_waits_for_it_to_be_durable),
        cmocka_unit_test(a_reader_in_use_holds_what_it_will_read),
        cmocka_unit_test(a_mark_by_time_takes_what_is_older),
        cmocka_unit_test(marks_end_with_the_life_of_the_group),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
