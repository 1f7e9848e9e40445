/* links: log sim */
/* The two acknowledgements and the pollable form, under every sync policy, on simulated disks. */
#include "contract/log_items.h"

#include <poll.h>

struct asked {
    int result; /* 1: not answered yet */
};

static void note(void *arg, int result)
{
    struct asked *asked = arg;
    assert_int_equal(asked->result, 1);
    asked->result = result;
}

static int append_asking(struct items_run *run, enum hf_log_acknowledge acknowledge, struct asked *asked)
{
    struct hf_log_append_options options = {.acknowledge = acknowledge, .done = note, .arg = asked};
    asked->result = 1;
    int rc = hf_log_append_with(run->log, run->items->batches[run->appended], &options);
    run->appended += rc == 0;
    run->called += rc == 0; /* the workbench waits for none of these */
    return rc;
}

static void setup(struct items *items, struct items_run *run, enum hf_log_sync_policy policy)
{
    items_begin(items);
    items->options.sync_policy = policy;
    items->options.sync_interval_ms = 1000000; /* none by itself */
    items_world(run, items, 11 + policy);
    run->when = "acknowledge";
    items_open_surely(run);
}

static void a_written_acknowledgement_does_not_wait_for_the_sync_of_a_vote(void **unused)
{
    struct items items;
    struct items_run run;
    struct asked written, policy, durable;
    setup(&items, &run, HF_LOG_SYNC_INTERVAL);
    for (int i = 0; i < 3; i++) {
        items_batch(&items);
        items_append(&items, 0, 1, 4, 100);
        items_hard_state(&items, 0, 4 + (uint64_t)i, 2, 0);
    }
    items_idle(&run, 1000 * ITEMS_MS); /* the next segments are made */
    struct sim_disk_failure failure = {.kind = SIM_DISK_SYNC, .count = 1, .error = HF_EIO};
    sim_disk_fail(run.host, &failure);
    assert_int_equal(append_asking(&run, HF_LOG_ACK_WRITTEN, &written), 0);
    assert_int_equal(append_asking(&run, HF_LOG_ACK_POLICY, &policy), 0);
    assert_int_equal(append_asking(&run, HF_LOG_ACK_DURABLE, &durable), 0);
    items_idle(&run, 100 * ITEMS_MS);
    assert_int_equal(written.result, 0);
    assert_int_equal(policy.result, HF_EPOISONED);
    assert_int_equal(durable.result, HF_EPOISONED);
    sim_disk_fail_clear(run.host);
    items_teardown(&run);
}

static void a_durable_acknowledgement_survives_the_power_under_every_policy(void **unused)
{
    for (enum hf_log_sync_policy policy = HF_LOG_SYNC_BATCH; policy <= HF_LOG_SYNC_NONE; policy++) {
        struct items items;
        struct items_run run;
        struct asked written, durable;
        setup(&items, &run, policy);
        items_batch(&items);
        items_append(&items, 0, 3, 4, 100);
        items_batch(&items);
        items_append(&items, 1, 3, 4, 5000);
        assert_int_equal(append_asking(&run, HF_LOG_ACK_WRITTEN, &written), 0);
        items_idle(&run, 50 * ITEMS_MS);
        assert_int_equal(written.result, 0);
        struct hf_log_group_state state;
        hf_log_group_state(run.log, items_ids[0], &state);
        assert_int_equal(state.durable_index, policy <= HF_LOG_SYNC_ALWAYS ? 3 : 0);
        assert_int_equal(append_asking(&run, HF_LOG_ACK_DURABLE, &durable), 0);
        items_idle(&run, 50 * ITEMS_MS);
        assert_int_equal(durable.result, 0);
        sim_disk_set_chooser(run.host, items_keep_nothing, NULL);
        items_restart(&run);
        items_reopen(&run, 2, 2);
        items_teardown(&run);
    }
}

/* The vote's write may finish before an earlier one: the sync that it wants must come all the same. */
static void a_vote_is_acknowledged_whatever_the_order_of_the_writes(void **unused)
{
    for (uint64_t seed = 0; seed < 60; seed++) {
        struct items items;
        struct items_run run;
        struct asked asked[6];
        items_begin(&items);
        items.options.sync_policy = HF_LOG_SYNC_NONE;
        items.options.writes_in_flight_max = 4;
        items_world(&run, &items, 100 + seed);
        run.when = "order";
        items_open_surely(&run);
        for (unsigned i = 0; i < 6; i++) {
            items_batch(&items);
            items_append(&items, 0, 1, 1, i < 3 ? 200000 : 10);
            if (i == 3) {
                items_hard_state(&items, 0, 1, 7, 0);
            }
            enum hf_log_acknowledge kind = i == 5 && seed % 2 ? HF_LOG_ACK_DURABLE : HF_LOG_ACK_POLICY;
            assert_int_equal(append_asking(&run, kind, &asked[i]), 0);
            hf_log_turn(run.log);
        }
        for (unsigned i = 0; i < 400; i++) {
            items_step(&run); /* a turn after each event, so that each completion is seen alone */
        }
        for (unsigned i = 0; i < 6; i++) {
            assert_int_equal(asked[i].result, 0);
        }
        items_teardown(&run);
    }
}

/* ---- the pollable form ---- */

static bool is_readable(int descriptor)
{
    struct pollfd wanted = {.fd = descriptor, .events = POLLIN};
    assert_true(descriptor >= 0);
    return poll(&wanted, 1, 0) == 1;
}

static int append_token(struct items_run *run, uint64_t token)
{
    struct hf_log_append_options options = {.poll = true, .token = token};
    int rc = hf_log_append_with(run->log, run->items->batches[run->appended], &options);
    run->appended += rc == 0;
    run->called += rc == 0;
    return rc;
}

static void completions_come_by_token_in_order_and_the_descriptor_says_so(void **unused)
{
    struct items items;
    struct items_run run;
    struct hf_log_completion completions[8];
    setup(&items, &run, HF_LOG_SYNC_BATCH);
    assert_false(is_readable(hf_log_poll_descriptor(run.log)));
    assert_int_equal(hf_log_poll(run.log, completions, 8), 0);
    for (uint64_t i = 0; i < 5; i++) {
        items_batch(&items);
        items_append(&items, 0, 1, 1, 10);
        assert_int_equal(append_token(&run, UINT64_MAX - i), 0);
    }
    assert_false(is_readable(hf_log_poll_descriptor(run.log)));
    items_idle(&run, 50 * ITEMS_MS);
    assert_true(is_readable(hf_log_poll_descriptor(run.log)));
    assert_int_equal(hf_log_poll(run.log, completions, 2), 2);
    assert_true(is_readable(hf_log_poll_descriptor(run.log)));
    assert_int_equal(hf_log_poll(run.log, completions + 2, 6), 3);
    assert_false(is_readable(hf_log_poll_descriptor(run.log)));
    for (uint64_t i = 0; i < 5; i++) {
        assert_true(completions[i].token == UINT64_MAX - i);
        assert_int_equal(completions[i].result, 0);
    }
    items_teardown(&run);
}

static void completions_that_nobody_fetches_are_bounded(void **unused)
{
    struct items items;
    struct items_run run;
    struct hf_log_completion completions[8];
    items_begin(&items);
    items.options.queue_entries_max = 4;
    items_world(&run, &items, 3);
    items_open_surely(&run);
    for (uint64_t i = 0; i < 6; i++) {
        items_batch(&items);
        items_append(&items, 0, 1, 1, 10);
    }
    for (uint64_t i = 0; i < 4; i++) {
        assert_int_equal(append_token(&run, i), 0);
        items_idle(&run, 50 * ITEMS_MS);
    }
    assert_int_equal(append_token(&run, 4), HF_EBUSY);
    items_expect(run.log, &items.models[4], "a refused append changes nothing");
    assert_int_equal(hf_log_poll(run.log, completions, 1), 1);
    assert_int_equal(append_token(&run, 4), 0);
    items_idle(&run, 50 * ITEMS_MS);
    assert_int_equal(hf_log_poll(run.log, completions, 8), 4);
    items_teardown(&run);
}

static void a_failure_reaches_who_polls(void **unused)
{
    struct items items;
    struct items_run run;
    struct hf_log_completion completion;
    setup(&items, &run, HF_LOG_SYNC_BATCH);
    items_batch(&items);
    items_append(&items, 0, 1, 1, 10);
    struct sim_disk_failure failure = {.kind = SIM_DISK_DURABLE, .count = 1, .error = HF_EIO};
    sim_disk_fail(run.host, &failure);
    assert_int_equal(append_token(&run, 9), 0);
    items_idle(&run, 50 * ITEMS_MS);
    assert_int_equal(hf_log_poll(run.log, &completion, 1), 1);
    assert_int_equal(completion.token, 9);
    assert_int_equal(completion.result, HF_EPOISONED);
    items_teardown(&run);
}

static void contradicting_options_are_refused(void **unused)
{
    struct items items;
    struct items_run run;
    setup(&items, &run, HF_LOG_SYNC_BATCH);
    items_batch(&items);
    items_append(&items, 0, 1, 1, 10);
    struct hf_log_append_options both = {.poll = true, .done = note};
    struct hf_log_append_options unknown = {.acknowledge = (enum hf_log_acknowledge)7};
    struct hf_log_append_options waits = {.wait_ms = 1};
    assert_int_equal(hf_log_append_with(run.log, items.batches[0], &both), HF_EINVALID);
    assert_int_equal(hf_log_append_with(run.log, items.batches[0], &unknown), HF_EINVALID);
    assert_int_equal(hf_log_append_with(run.log, items.batches[0], &waits), HF_EUNSUPPORTED);
    items_expect(run.log, &items.models[0], "nothing was appended");
    items_teardown(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_written_acknowledgement_does_not_wait_for_the_sync_of_a_vote),
        cmocka_unit_test(a_durable_acknowledgement_survives_the_power_under_every_policy),
        cmocka_unit_test(a_vote_is_acknowledged_whatever_the_order_of_the_writes),
        cmocka_unit_test(completions_come_by_token_in_order_and_the_descriptor_says_so),
        cmocka_unit_test(completions_that_nobody_fetches_are_bounded),
        cmocka_unit_test(a_failure_reaches_who_polls),
        cmocka_unit_test(contradicting_options_are_refused),
    };
    return ITEMS_MAIN(tests);
}
