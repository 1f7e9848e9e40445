/* links: log sim */
/* Log items L15 to L26: what an acknowledgement means, and what failures of the device do. */
#include "contract/log_items_disk.h"

/* ---- workloads ---- */

static void build_small(struct items *items)
{
    items_batch(items);
    items_append(items, 0, 1, 1, 120);
    items_batch(items);
    items_append(items, 0, 2, 1, 120);
    items_append(items, 1, 1, 1, 5000);
    items_batch(items);
    items_append(items, 1, 1, 2, 0);
    items_hard_state(items, 1, 2, 3, 1);
}
ITEMS_THREE_WAYS(L15_an_acknowledged_batch_is_durable, build_small)

static void build_rotation(struct items *items)
{
    items->width = 2;
    items->options.writes_in_flight_max = 4;
    for (unsigned i = 0; i < 5; i++) {
        items_batch(items);
        items_append(items, i % 2, 1, 1, i == 3 ? 110000 : 52000);
    }
}
ITEMS_THREE_WAYS(L16_a_rotation_syncs_the_old_segment_before_it_acknowledges, build_rotation)

/* Writes that overtake one another. */
static void build_overlapped(struct items *items)
{
    items->width = 6;
    items->options.writes_in_flight_max = 8;
    items->options.write_size_max_bytes = 65536;
    items->profile.write_ns = (struct sim_span){10000, 3 * ITEMS_MS};
    for (unsigned i = 0; i < 12; i++) {
        items_batch(items);
        items_append(items, i % ITEMS_GROUPS, 1, 1 + i / 4, i % 3 == 0 ? 9000 : 30);
    }
}
ITEMS_THREE_WAYS(L17_an_acknowledgement_covers_every_earlier_byte, build_overlapped)

static void build_hard_state(struct items *items)
{
    for (uint64_t i = 1; i <= 4; i++) {
        items_batch(items);
        items_hard_state(items, 0, i, 10 - i, i / 2);
        if (i == 3) {
            items_hard_state(items, 2, 1, 1, 0);
        }
    }
}
ITEMS_THREE_WAYS(L26_a_torn_hard_state_leaves_the_old_one, build_hard_state)

/* ---- the power goes between any two events ---- */

/* False when the workload was over before. */
static bool power_off_after(struct items *items, uint64_t events)
{
    struct items_run run;
    char when[64];
    snprintf(when, sizeof(when), "the power goes after %llu events", (unsigned long long)events);
    items_world(&run, items, events);
    run.when = when;
    run.steps_left = events;
    items_open_surely(&run);
    items_go(&run);
    bool happened = !sim_host_is_running(run.host);
    size_t acknowledged = run.acknowledged;
    size_t appended = run.appended;
    run.steps_left = 0;
    sim_host_power_off(run.host);
    items_close(&run);
    if (happened) {
        items_recover_each(&run, acknowledged, appended, 3);
    }
    sim_close(run.sim);
    return happened;
}
static void power_off_at_every_moment(items_build *build)
{
    struct items items;
    items_begin(&items);
    build(&items);
    uint64_t events = 1;
    while (power_off_after(&items, events)) {
        events += items_stride();
    }
    assert_true(events > items.count);
    items_end(&items);
}
static void L15_nothing_acknowledged_is_lost_at_any_moment(void **unused)
{
    (void)unused;
    power_off_at_every_moment(build_small);
}
static void L16_nothing_acknowledged_is_lost_at_any_moment_of_a_rotation(void **unused)
{
    (void)unused;
    power_off_at_every_moment(build_rotation);
}
static void L17_nothing_acknowledged_is_lost_while_writes_overtake(void **unused)
{
    (void)unused;
    power_off_at_every_moment(build_overlapped);
}

/* ---- failures ---- */

/* The first failing sync or durable write: every waiter and every later append fails, reads go on, a reopen clears. */
static void expect_final(struct items *items, enum sim_disk_kind kind, uint64_t skip)
{
    struct items_run run;
    items_world(&run, items, skip);
    run.when = "a final failure";
    items_open_surely(&run);
    struct sim_disk_failure failure = {.kind = kind, .skip = skip, .count = 1, .error = HF_EIO};
    sim_disk_fail(run.host, &failure);
    items_go(&run);
    assert_true(items_failures(&run) == 1);
    assert_true(run.failed != 0 || run.poisoned != 0);
    items_expect_poisoned(&run);
    assert_int_equal(run.called, run.appended); /* every waiter has its answer */
    for (uint64_t i = 0; i < 3; i++) {
        items_idle(&run, 500 * ITEMS_MS); /* time heals nothing */
        items_expect_poisoned(&run);
    }
    assert_true(run.acknowledged < items->count);
    items_close(&run);
    items_recover(&run, run.acknowledged, run.appended);
    items_close(&run);
    sim_close(run.sim);
}
static void L18_a_failed_durable_write_is_final(void **unused)
{
    (void)unused;
    struct items items;
    items_begin(&items);
    build_overlapped(&items);
    for (uint64_t skip = 0; skip < 4; skip++) {
        expect_final(&items, SIM_DISK_DURABLE, skip);
    }
    items_end(&items);
}
/* Where the file system refuses direct reads, the cache shows what the device lacks. */
static void L18_an_open_never_reports_what_only_the_cache_has(void **unused)
{
    (void)unused;
    struct items items;
    items_begin(&items);
    build_overlapped(&items);
    items.host.direct_refused = true;
    for (uint64_t skip = 0; skip < 4; skip++) {
        expect_final(&items, SIM_DISK_DURABLE, skip);
    }
    items_end(&items);
}

/* A caller that waits can learn for how long. */
static void expect_stall_is_seen(struct items_run *run)
{
    struct hf_log_stat stat;
    hf_log_stat(run->log, &stat);
    if (stat.oldest_unsynced_ns < ITEMS_PATIENCE_NS - 1000 * ITEMS_MS) {
        fail_msg("%s: nobody is told that batch %zu waits", run->when, run->called);
    }
    assert_true(stat.queued_entries > 0);
}

/* From the k-th operation of a kind on all fail. Nothing hangs, nothing acknowledged is lost, and once they succeed
 * again, the log goes on or, if it was poisoned, does so after a reopen. */
static bool fail_for_good(struct items *items, const struct items_failing *failing, uint64_t skip)
{
    struct items_run run;
    char when[96];
    struct sim_disk_failure failure = {
        .kind = failing->kind, .skip = skip, .count = UINT64_MAX, .error = failing->error};
    snprintf(when, sizeof(when), "%s fails from number %llu on", failing->name, (unsigned long long)skip + 1);
    items_world(&run, items, skip);
    run.when = when;
    run.refused_max = 5;
    run.may_stall = failing->error == HF_ENOSPACE; /* what was accepted waits for space */
    sim_disk_fail(run.host, &failure);
    int rc = items_open(&run);
    if (rc == 0) {
        items_go(&run);
        items_idle(&run, 50 * ITEMS_MS);
    }
    bool happened = items_failures(&run) > 0;
    if (rc == 0 && run.appended < items->count) {
        assert_true(happened);
        items_expect(run.log, &items->models[run.appended], when);
    }
    if (run.stalled) {
        expect_stall_is_seen(&run);
    }
    bool broken = run.failed != 0 || run.poisoned != 0;
    if (broken) {
        items_expect_poisoned(&run);
    }
    if (skip % 2 == 0 || rc != 0) {
        items_close(&run); /* while they still fail */
        sim_disk_fail_clear(run.host);
        items_recover(&run, run.acknowledged, run.appended);
    } else {
        sim_disk_fail_clear(run.host);
        run.refused = run.refused_max = 0;
        run.stalled = run.may_stall = false;
        if (!broken) {
            items_go(&run);
            assert_int_equal(run.acknowledged, items->count);
        }
        items_finish(&run, ITEMS_ENDING_POWER);
    }
    items_close(&run);
    sim_close(run.sim);
    return happened;
}
static void fail_each_for_good(items_build *build, enum sim_disk_kind kind)
{
    struct items items;
    uint64_t failures = 0;
    items_begin(&items);
    build(&items);
    for (size_t i = 0; i < ITEMS_FAILING; i++) {
        uint64_t skip = 0;
        while (items_failing[i].kind == kind && fail_for_good(&items, &items_failing[i], skip)) {
            skip++;
        }
        failures += skip;
    }
    assert_true(failures > 0);
    items_end(&items);
}
static void L19_a_failed_directory_sync_is_never_remembered_as_done(void **unused)
{
    (void)unused;
    fail_each_for_good(build_rotation, SIM_DISK_DIRECTORY_SYNC);
}
static void L20_failed_writes_leave_no_half_batch(void **unused)
{
    (void)unused;
    fail_each_for_good(build_rotation, SIM_DISK_WRITE);
    fail_each_for_good(build_overlapped, SIM_DISK_DURABLE);
}
static void L24_errors_of_the_background_reach_the_callers(void **unused)
{
    (void)unused;
    fail_each_for_good(build_rotation, SIM_DISK_CREATE);
    fail_each_for_good(build_rotation, SIM_DISK_PREALLOCATE);
    fail_each_for_good(build_rotation, SIM_DISK_SYNC);
    fail_each_for_good(build_rotation, SIM_DISK_RENAME);
}

/* ---- no space ---- */

/* What is accepted is acknowledged; what is refused is absent; when there is room again, all goes on. */
static unsigned fill_disk(struct items *items, uint64_t capacity)
{
    struct items_run run;
    char when[64];
    unsigned refused = 0;
    snprintf(when, sizeof(when), "a disk of %llu bytes", (unsigned long long)capacity);
    items->host.disk_capacity_bytes = capacity;
    items_world(&run, items, capacity);
    run.when = when;
    run.refused_max = 3;
    int rc = items_open(&run);
    assert_true(rc == 0 || rc == HF_ENOSPACE);
    if (rc == 0) {
        items_go(&run);
        if (run.failed != 0 || run.poisoned != 0) {
            struct hf_log_stat stat;
            hf_log_stat(run.log, &stat);
            fail_msg("%s: a full disk poisons the log: %s", when, stat.failure_text);
        }
        assert_int_equal(run.acknowledged, run.appended);
        refused = run.refused;
        if (refused > 0 && capacity > (4 << 20)) { /* absent also after a restart */
            items_restart(&run);
            items_reopen(&run, run.appended, run.appended);
        }
    }
    sim_disk_set_capacity(run.host, 0);
    if (rc != 0) {
        items_open_surely(&run);
    }
    run.refused = run.refused_max = 0;
    items_go(&run);
    assert_int_equal(run.acknowledged, items->count);
    items_restart(&run);
    items_reopen(&run, items->count, items->count);
    items_close(&run);
    sim_close(run.sim);
    return refused;
}
static void L21_a_batch_without_space_is_absent_and_appends_go_on_when_space_returns(void **unused)
{
    (void)unused;
    struct items items;
    unsigned refused = 0;
    items_begin(&items);
    build_filling(&items);
    for (uint64_t capacity = 1 << 20; capacity <= (16 << 20); capacity += 700000) {
        refused += fill_disk(&items, capacity);
    }
    assert_true(refused > 20);
    items_end(&items);
}
/* The same process goes on, without a reopen. */
static void L21_space_that_returns_is_used_without_a_reopen(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    items_begin(&items);
    build_filling(&items);
    items.host.disk_capacity_bytes = 7 << 20;
    items_world(&run, &items, 3);
    run.when = "space returns";
    run.refused_max = 3;
    items_open_surely(&run);
    items_go(&run);
    assert_int_equal(run.refused, 3);
    assert_true(run.appended < items.count && run.appended > 2);
    sim_disk_set_capacity(run.host, 64 << 20);
    run.refused = run.refused_max = 0;
    items_go(&run);
    assert_int_equal(run.acknowledged, items.count);
    sim_disk_set_chooser(run.host, items_keep_nothing, NULL);
    items_restart(&run);
    items_reopen(&run, items.count, items.count);
    items_teardown(&run);
}

/* One operation of the preparation of segments finds no space: the log in use feels nothing but delay. */
static void L22_no_space_in_a_rotation_leaves_the_tail_usable(void **unused)
{
    (void)unused;
    static const enum sim_disk_kind kinds[] = {SIM_DISK_CREATE, SIM_DISK_PREALLOCATE, SIM_DISK_WRITE};
    struct items items;
    items_begin(&items);
    build_rotation(&items);
    for (size_t i = 0; i < 3; i++) {
        uint64_t failures = 1;
        for (uint64_t skip = 0; failures > 0; skip++) {
            struct items_run run;
            struct sim_disk_failure failure = {.kind = kinds[i], .skip = skip, .count = 1, .error = HF_ENOSPACE};
            items_world(&run, &items, skip);
            run.when = "no space once";
            items_open_surely(&run);
            sim_disk_fail(run.host, &failure);
            items_go(&run);
            failures = items_failures(&run);
            assert_true(failures > 0 || skip > 0 || kinds[i] == SIM_DISK_WRITE);
            if (run.acknowledged != items.count) {
                fail_msg("no space in operation %llu of kind %zu: %zu of %zu acknowledged", (unsigned long long)skip, i,
                         run.acknowledged, items.count);
            }
            items_restart(&run);
            items_reopen(&run, items.count, items.count);
            items_close(&run);
            sim_close(run.sim);
        }
    }
    items_end(&items);
}

/* The log filled the disk up to its headroom: it opens, again and again, and takes what makes room or keeps a vote. */
static void L23_a_disk_that_the_log_filled_opens_and_takes_what_makes_room(void **unused)
{
    (void)unused;
    for (uint64_t capacity = 11 << 20; capacity < (17 << 20); capacity += 700001) {
        struct items items;
        struct items_run run;
        uint64_t last = fill_up(&items, &run, capacity, 0);
        expect_it_opens_and_makes_room(&items, &run, capacity, last);
    }
}
/* ---- asynchronous policies ---- */

/* Entries may be lost, but only from the end; hard state and resets never, once they are acknowledged. */
static void build_asynchronous(struct items *items)
{
    items->width = 1;
    items->profile.write_ns = (struct sim_span){10000, 3 * ITEMS_MS};
    items->options.segment_size_bytes = 4 * ITEMS_SEGMENT_SIZE; /* no rotation between */
    items->options.write_size_max_bytes = 65536;
    items->options.writes_in_flight_max = 4;
    for (unsigned i = 0; i < 14; i++) {
        items_batch(items);
        items_append(items, i % 2, 1, 1, i % 4 == 0 ? 60000 : 700);
        if (i == 5) {
            items_hard_state(items, 0, 1, 2, 3);
        } else if (i == 9) {
            items_reset(items, 2, 40, 1, "forty");
        }
    }
}
static bool power_off_asynchronous(struct items *items, uint64_t events)
{
    struct items_run run;
    char when[64];
    snprintf(when, sizeof(when), "policy %d, the power goes after %llu events", (int)items->options.sync_policy,
             (unsigned long long)events);
    items_world(&run, items, events);
    run.when = when;
    run.steps_left = events;
    items_open_surely(&run);
    items_go(&run);
    bool happened = !sim_host_is_running(run.host);
    size_t appended = run.appended;
    size_t kept = run.acknowledged >= 10 ? 10 : run.acknowledged >= 6 ? 6 : 0;
    run.steps_left = 0;
    sim_host_power_off(run.host);
    items_close(&run);
    if (happened) {
        items_recover_each(&run, kept, appended, 4);
    }
    sim_close(run.sim);
    return happened;
}
static void L25_asynchronous_policies_keep_a_prefix_and_all_hard_state(void **unused)
{
    (void)unused;
    for (unsigned i = 0; i < 2; i++) {
        struct items items;
        items_begin(&items);
        build_asynchronous(&items);
        items.options.sync_policy = i == 0 ? HF_LOG_SYNC_NONE : HF_LOG_SYNC_INTERVAL;
        uint64_t events = 1;
        while (power_off_asynchronous(&items, events)) {
            events += items_stride();
        }
        assert_true(events > items.count);
        items_end(&items);
    }
}
static void L25_an_interval_is_durable_when_it_is_over_and_none_when_it_is_closed(void **unused)
{
    (void)unused;
    for (unsigned i = 0; i < 2; i++) {
        struct items items;
        struct items_run run;
        items_begin(&items);
        build_asynchronous(&items);
        items.options.sync_policy = i == 0 ? HF_LOG_SYNC_NONE : HF_LOG_SYNC_INTERVAL;
        items_world(&run, &items, 9);
        run.when = i == 0 ? "none" : "interval";
        items_open_surely(&run);
        items_go(&run);
        assert_int_equal(run.acknowledged, items.count);
        if (i == 0) {
            items_close(&run);
        } else {
            items_idle(&run, 1000 * ITEMS_MS); /* the interval is 100 ms */
        }
        sim_disk_set_chooser(run.host, items_keep_nothing, NULL);
        items_restart(&run);
        items_reopen(&run, items.count, items.count);
        items_teardown(&run);
    }
}

/* ---- killed, with the page cache left behind ---- */

/* What the next open reports it has made durable, though nobody had acknowledged it; and requests of the dead process
 * that land late change nothing of it. False when the workload was over before. */
static bool kill_after(struct items *items, uint64_t events)
{
    struct items_run run;
    items_world(&run, items, events);
    run.when = "killed";
    items_open_surely(&run);
    for (uint64_t i = 0; i < events && run.appended < items->count; i++) {
        if (run.appended - run.called < items->width) {
            assert_int_equal(items_append_next(&run), 0);
        }
        items_step(&run);
    }
    bool happened = run.appended < items->count;
    size_t acknowledged = run.acknowledged;
    size_t appended = run.appended;
    sim_host_kill(run.host);
    items_close(&run);
    sim_host_start(run.host);
    size_t k = items_reopen(&run, acknowledged, appended);
    if (events % 2 == 0) {
        sim_run_for(run.sim, 200 * ITEMS_MS); /* late writes land; the log itself has no turn */
    }
    sim_disk_set_chooser(run.host, items_keep_nothing, NULL);
    items_restart(&run);
    items_recover(&run, k, k);
    items_close(&run);
    sim_close(run.sim);
    return happened;
}
static void L18_what_an_open_reports_after_a_kill_survives_the_power(void **unused)
{
    (void)unused;
    static items_build *const builds[] = {build_small, build_overlapped, build_asynchronous};
    for (size_t i = 0; i < 6; i++) {
        struct items items;
        items_begin(&items);
        builds[i / 2](&items);
        items.host.direct_refused = i % 2 == 1;
        items.options.sync_policy = i / 2 == 2 ? HF_LOG_SYNC_NONE : HF_LOG_SYNC_BATCH;
        uint64_t events = 1;
        while (kill_after(&items, events)) {
            events += items_stride();
        }
        assert_true(events >= items.count);
        items_end(&items);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(L15_nothing_acknowledged_is_lost_at_any_moment),
        cmocka_unit_test(L16_nothing_acknowledged_is_lost_at_any_moment_of_a_rotation),
        cmocka_unit_test(L17_nothing_acknowledged_is_lost_while_writes_overtake),
        cmocka_unit_test(L18_a_failed_durable_write_is_final),
        cmocka_unit_test(L18_what_an_open_reports_after_a_kill_survives_the_power),
        cmocka_unit_test(L18_an_open_never_reports_what_only_the_cache_has),
        cmocka_unit_test(L19_a_failed_directory_sync_is_never_remembered_as_done),
        cmocka_unit_test(L20_failed_writes_leave_no_half_batch),
        cmocka_unit_test(L21_a_batch_without_space_is_absent_and_appends_go_on_when_space_returns),
        cmocka_unit_test(L21_space_that_returns_is_used_without_a_reopen),
        cmocka_unit_test(L22_no_space_in_a_rotation_leaves_the_tail_usable),
        cmocka_unit_test(L23_a_disk_that_the_log_filled_opens_and_takes_what_makes_room),
        cmocka_unit_test(L24_errors_of_the_background_reach_the_callers),
        cmocka_unit_test(L25_asynchronous_policies_keep_a_prefix_and_all_hard_state),
        cmocka_unit_test(L25_an_interval_is_durable_when_it_is_over_and_none_when_it_is_closed),
        ITEMS_ROWS(L15_an_acknowledged_batch_is_durable),
        ITEMS_ROWS(L16_a_rotation_syncs_the_old_segment_before_it_acknowledges),
        ITEMS_ROWS(L17_an_acknowledgement_covers_every_earlier_byte),
        ITEMS_ROWS(L26_a_torn_hard_state_leaves_the_old_one),
    };
    return ITEMS_MAIN(tests);
}
