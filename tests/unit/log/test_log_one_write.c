/* Promise 5: however many groups append in a turn, one durable write carries them. */
#include "log_fixture.h"

#include <poll.h>

#define GROUPS 64u

static void count_done(void *arg, int result)
{
    assert_int_equal(result, 0);
    (*(unsigned *)arg)++;
}

static void P5_appends_of_all_groups_in_a_turn_share_one_durable_write(void **state)
{
    struct fixture fixture;
    struct hf_log_stat before, after;
    unsigned done = 0;
    fixture_set_up(&fixture);
    fixture.options.driver = HF_LOG_DRIVE_CALLER;
    fixture_open(&fixture);
    hf_log_stat(fixture.log, &before);
    for (uint64_t group = 1; group <= GROUPS; group++) {
        struct hf_entry entry = fixture_entry(1, 1, "x");
        hf_log_batch_clear(fixture.batch);
        assert_int_equal(hf_log_batch_append(fixture.batch, group, &entry, 1), 0);
        assert_int_equal(hf_log_batch_hard_state(fixture.batch, group, (struct hf_hard_state){.term = 1, .vote = 1}),
                         0);
        assert_int_equal(hf_log_append(fixture.log, fixture.batch, count_done, &done), 0);
    }
    assert_int_equal(done, 0); /* nothing is acknowledged before it is durable */
    hf_log_turn(fixture.log);
    while (done < GROUPS) {
        struct pollfd ready = {.fd = hf_log_descriptor(fixture.log), .events = POLLIN};
        assert_true(poll(&ready, 1, 60000) == 1);
        hf_log_turn(fixture.log);
    }
    hf_log_stat(fixture.log, &after);
    assert_int_equal(after.writes - before.writes, 1);
    fixture_tear_down(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(P5_appends_of_all_groups_in_a_turn_share_one_durable_write),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
