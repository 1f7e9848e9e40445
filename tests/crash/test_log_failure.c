/* links: log sim */
/* Calls of the disk that fail: each kind, at each k-th call, and then the run goes on. HAZARDS rows 1, 5 and 6;
 * L18 to L24, L34. In a build with -DHF_MUTATIONS the environment variable HOLDFAST_MUTATION plants a bug. */
#include "unit/log/log_model.h"

#include "base/trace.h"
#include "log/log.h"
#include "log/log_format.h"
#include "planted.h"
#include "sim/sim.h"

#define DIRECTORY "/data/log"
#define GROUP     UINT64_C(1)
#define MS        UINT64_C(1000000)

struct world {
    struct sim *sim;
    struct sim_host *host;
    struct hf_log_options options;
    struct hf_log *log;
    struct hf_log_batch *batch;
    struct model model; /* all that was accepted */
    uint64_t accepted;
    uint64_t acknowledged;
    uint64_t failed;
    int result; /* of the last that failed */
};

static void world_done(void *arg, int result)
{
    struct world *world = arg;
    world->acknowledged += result == 0;
    world->failed += result != 0;
    world->result = result != 0 ? result : world->result;
}

static struct world *world_new(uint64_t seed, const struct sim_host_options *host_options)
{
    struct world *world = memory_new(sizeof(*world));
    world->sim = sim_open(seed, NULL);
    world->host = sim_host_add(world->sim, NULL, host_options);
    hf_log_options_init(&world->options);
    assert_int_equal(hf_log_batch_open(&world->batch), 0);
    return world;
}

static int world_open(struct world *world)
{
    return log_open(sim_host_io(world->host), DIRECTORY, &world->options, &world->log);
}

static void world_close(struct world *world)
{
    hf_log_close(world->log);
    hf_log_batch_close(world->batch);
    sim_close(world->sim);
    free(world);
}

/* Appends one entry of `size` bytes; the model follows when it was accepted. */
static int world_append(struct world *world, uint32_t size)
{
    struct model_group *group = &world->model.groups[0];
    struct model_group *before = memory_new(sizeof(*before));
    *before = *group;
    hf_log_batch_clear(world->batch);
    model_append(group, world->batch, GROUP, model_last(group) + 1, (struct model_entry){1, world->accepted, size});
    int rc = hf_log_append(world->log, world->batch, world_done, world);
    if (rc != 0) {
        *group = *before;
    }
    world->accepted += rc == 0;
    free(before);
    return rc;
}

static void world_run(struct world *world, uint64_t duration_ns)
{
    for (uint64_t passed = 0; passed < duration_ns; passed += MS / 10) {
        hf_log_turn(world->log);
        sim_run_for(world->sim, MS / 10);
    }
    hf_log_turn(world->log);
}

static void check_model(struct world *world, const char *when)
{
    struct model_difference difference;
    if (!model_is(world->log, &world->model, &difference)) {
        fail_msg("%s: %s", when, difference.text);
    }
}

/* ---- poison ---- */

/* The k-th call of a kind fails; the log is used on; what was acknowledged must be there after a power loss. */
static bool fail_at(enum sim_disk_kind kind, uint64_t k, const char *path_part)
{
    struct world *world = world_new(k, NULL);
    assert_int_equal(world_open(world), 0);
    struct sim_disk_failure failure = {.kind = kind, .skip = k, .count = 1, .error = HF_EIO, .path_part = path_part};
    sim_disk_fail(world->host, &failure);
    bool refused = false;
    for (int i = 0; i < 8; i++) {
        int rc = world_append(world, i == 3 ? 600000 : i == 4 ? 330000 : 1000); /* so that a spare is made */
        assert_true(rc == 0 || rc == HF_EPOISONED);
        assert_true(!refused || rc != 0); /* once poisoned, for ever */
        refused |= rc != 0;
        world_run(world, i % 2 == 0 ? 3 * MS : 0);
    }
    world_run(world, 20 * MS);
    bool happened = world->failed > 0 || refused;
    assert_int_equal(world->acknowledged + world->failed, world->accepted);
    if (happened) {
        struct hf_log_stat stat;
        hf_log_stat(world->log, &stat);
        assert_int_equal(stat.failure, HF_EPOISONED);
        assert_true(strlen(stat.failure_text) > 0);
        assert_true(world->failed == 0 || world->result == HF_EPOISONED);
        assert_int_equal(world_append(world, 10), HF_EPOISONED);
        check_model(world, "reads go on");
        assert_int_equal(hf_log_reserve(world->log, 1), HF_EPOISONED);
    }
    uint64_t acknowledged = world->acknowledged;
    sim_host_power_off(world->host);
    hf_log_close(world->log);
    sim_host_start(world->host);
    world->log = NULL;
    assert_int_equal(world_open(world), 0);
    struct hf_log_group_state state;
    hf_log_group_state(world->log, GROUP, &state);
    assert_true(state.last_index >= acknowledged && state.last_index <= world->accepted);
    assert_false(state.damaged);
    world->model.groups[0].count = state.last_index;
    world->model.groups[0].exists = state.last_index > 0;
    check_model(world, "after a power loss");
    assert_int_equal(world_append(world, 10), 0); /* a reopen clears it */
    world_run(world, 5 * MS);
    assert_true(world->acknowledged > acknowledged);
    world_close(world);
    return happened;
}

static void H1_after_the_first_failed_durable_write_nothing_is_acknowledged(void **unused)
{
    (void)unused;
    uint64_t k = 0;
    while (fail_at(SIM_DISK_DURABLE, k, ".log")) {
        k++;
    }
    assert_true(k >= 8);
}

static void L19_a_failed_sync_of_a_segment_or_its_folder_poisons(void **unused)
{
    (void)unused;
    assert_true(fail_at(SIM_DISK_SYNC, 0, ".tmp"));
    assert_true(fail_at(SIM_DISK_DIRECTORY_SYNC, 0, NULL));
    assert_true(fail_at(SIM_DISK_RENAME, 0, NULL));
}

static void H1_a_sync_is_never_tried_again_under_the_interval_policy(void **unused)
{
    (void)unused;
    struct world *world = world_new(1, NULL);
    world->options.sync_policy = HF_LOG_SYNC_INTERVAL;
    assert_int_equal(world_open(world), 0);
    world_run(world, 20 * MS); /* the spare is made */
    struct sim_disk_failure failure = {.kind = SIM_DISK_SYNC, .count = 1, .error = HF_EIO};
    sim_disk_fail(world->host, &failure);
    assert_int_equal(world_append(world, 100), 0);
    world_run(world, 5 * MS);
    assert_int_equal(world->acknowledged, 1); /* written is enough */
    struct hf_log_group_state state;
    hf_log_group_state(world->log, GROUP, &state);
    assert_int_equal(state.durable_index, 0);
    uint64_t syncs = sim_disk_count(world->host, SIM_DISK_SYNC);
    world_run(world, 300 * MS);
    assert_int_equal(sim_disk_count(world->host, SIM_DISK_SYNC), syncs + 1);
    assert_int_equal(world_append(world, 100), HF_EPOISONED);
    world_close(world);
}

static void interval_policy_syncs_in_time_and_votes_at_once(void **unused)
{
    (void)unused;
    struct world *world = world_new(1, NULL);
    world->options.sync_policy = HF_LOG_SYNC_INTERVAL;
    assert_int_equal(world_open(world), 0);
    assert_int_equal(world_append(world, 100), 0);
    world_run(world, 130 * MS);
    struct hf_log_group_state state;
    hf_log_group_state(world->log, GROUP, &state);
    assert_int_equal(state.durable_index, 1);
    hf_log_batch_clear(world->batch);
    model_hard_state(&world->model.groups[0], world->batch, GROUP, (struct hf_hard_state){5, 2, 1});
    assert_int_equal(hf_log_append(world->log, world->batch, world_done, world), 0);
    while (world->acknowledged < 2) {
        hf_log_turn(world->log);
        sim_step(world->sim);
    }
    sim_host_power_off(world->host);
    hf_log_close(world->log);
    sim_disk_choose_outcome(world->host, 0); /* whatever was not durable is gone */
    sim_host_start(world->host);
    assert_int_equal(world_open(world), 0);
    check_model(world, "an acknowledged vote");
    world_close(world);
}

/* ---- a full device ---- */

static void L22_a_device_that_fills_up_leaves_the_log_usable_and_loses_nothing(void **unused)
{
    (void)unused;
    struct sim_host_options host_options = {.disk_capacity_bytes = 6 << 20};
    struct world *world = world_new(3, &host_options);
    world->options.reserve_bytes = 1 << 20;
    assert_int_equal(world_open(world), 0);
    int rc = 0;
    for (int i = 0; i < 400 && rc == 0; i++) {
        rc = world_append(world, 50000);
        world_run(world, MS);
    }
    assert_int_equal(rc, HF_ENOSPACE);
    assert_true(world->accepted > 40); /* two thirds of the disk at least */
    assert_int_equal(world->acknowledged, world->accepted);
    assert_int_equal(world_append(world, 50000), HF_ENOSPACE);
    check_model(world, "full");
    /* The headroom is there for hard state. */
    hf_log_batch_clear(world->batch);
    model_hard_state(&world->model.groups[0], world->batch, GROUP, (struct hf_hard_state){5, 2, 1});
    assert_int_equal(hf_log_append(world->log, world->batch, world_done, world), 0);
    world_run(world, 5 * MS);
    world->accepted++;
    assert_int_equal(world->acknowledged, world->accepted);
    assert_int_equal(hf_log_reserve(world->log, 1 << 20), HF_ENOSPACE);
    assert_true(hf_log_capacity_bytes(world->log) < 1 << 20);
    /* Space returns. */
    sim_disk_set_capacity(world->host, 20 << 20);
    world_run(world, 300 * MS);
    assert_int_equal(hf_log_reserve(world->log, 1 << 20), 0);
    hf_log_unreserve(world->log, 1 << 20);
    for (int i = 0; i < 60; i++) {
        assert_int_equal(world_append(world, 50000), 0);
        world_run(world, MS);
    }
    assert_int_equal(world->failed, 0);
    sim_host_power_off(world->host);
    hf_log_close(world->log);
    sim_host_start(world->host);
    assert_int_equal(world_open(world), 0);
    check_model(world, "after a restart");
    world_close(world);
}

/* ENOSPC from each call that may allocate, in turn, for a while. */
static void H5_H6_no_space_at_every_allocating_call_is_survived_and_the_run_goes_on(void **unused)
{
    (void)unused;
    static const enum sim_disk_kind kinds[] = {SIM_DISK_CREATE, SIM_DISK_PREALLOCATE, SIM_DISK_WRITE, SIM_DISK_RENAME,
                                               SIM_DISK_DIRECTORY_SYNC};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        for (uint64_t skip = 0; skip < 4; skip++) {
            struct world *world = world_new(i * 10 + skip, NULL);
            assert_int_equal(world_open(world), 0);
            struct sim_disk_failure failure = {
                .kind = kinds[i], .skip = skip, .count = UINT64_MAX, .error = HF_ENOSPACE};
            sim_disk_fail(world->host, &failure);
            int rc = 0;
            unsigned refused = 0;
            for (int j = 0; j < 120; j++) {
                rc = world_append(world, 100000);
                assert_true(rc == 0 || rc == HF_ENOSPACE || rc == HF_EBUSY);
                refused += rc != 0;
                world_run(world, MS);
            }
            assert_true(refused > 0);
            assert_true(world->accepted >= 8); /* the first segment was usable to the end */
            sim_disk_fail_clear(world->host);
            world_run(world, 300 * MS);
            for (int j = 0; j < 20; j++) {
                assert_int_equal(world_append(world, 100000), 0);
                world_run(world, 5 * MS);
            }
            world_run(world, 200 * MS);
            assert_int_equal(world->failed, 0);
            assert_int_equal(world->acknowledged, world->accepted);
            sim_host_power_off(world->host);
            hf_log_close(world->log);
            sim_host_start(world->host);
            assert_int_equal(world_open(world), 0);
            check_model(world, "after a restart");
            world_close(world);
        }
    }
}

static void L23_an_open_on_a_full_device_works_when_a_spare_can_be_given_up(void **unused)
{
    (void)unused;
    struct world *world = world_new(1, NULL);
    assert_int_equal(world_open(world), 0);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(world_append(world, 1000), 0);
        world_run(world, 20 * MS);
    }
    hf_log_close(world->log);
    sim_disk_set_capacity(world->host, sim_disk_used_bytes(world->host));
    assert_int_equal(world_open(world), 0);
    check_model(world, "opened on a full disk");
    world_close(world);
}

/* ---- errors of an open ---- */

static void an_open_that_fails_changes_nothing_and_the_next_one_works(void **unused)
{
    (void)unused;
    static const enum sim_disk_kind kinds[] = {SIM_DISK_READ,   SIM_DISK_WRITE,         SIM_DISK_SYNC,
                                               SIM_DISK_OPEN,   SIM_DISK_CREATE,        SIM_DISK_LIST,
                                               SIM_DISK_RENAME, SIM_DISK_DIRECTORY_SYNC};
    unsigned failures = 0;
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        for (uint64_t skip = 0; skip < 4; skip++) {
            struct world *world = world_new(i * 10 + skip, NULL);
            assert_int_equal(world_open(world), 0);
            for (int j = 0; j < 5; j++) {
                assert_int_equal(world_append(world, 1000), 0);
                world_run(world, 2 * MS);
            }
            hf_log_close(world->log);
            world->log = NULL;
            struct sim_disk_failure failure = {.kind = kinds[i], .skip = skip, .count = 1, .error = HF_EIO};
            sim_disk_fail(world->host, &failure);
            int rc = world_open(world);
            failures += rc != 0;
            assert_true(rc == 0 || rc == HF_EIO);
            assert_true(rc == 0 || world->log == NULL);
            hf_log_close(world->log);
            sim_disk_fail_clear(world->host);
            sim_host_power_off(world->host);
            sim_host_start(world->host);
            assert_int_equal(world_open(world), 0);
            check_model(world, "the next open");
            assert_int_equal(sim_host_handle_count(world->host) > 0, true);
            hf_log_close(world->log);
            world->log = NULL;
            assert_int_equal(sim_host_handle_count(world->host), 0);
            world_close(world);
        }
    }
    assert_true(failures > 10);
}

/* ---- time ---- */

/* The last block that is written in the log's files. */
static uint64_t count_frames(struct world *world, uint64_t *torn)
{
    struct log_walk_callbacks callbacks = {0};
    struct log_walk_summary summary;
    assert_int_equal(log_walk(sim_host_io(world->host), DIRECTORY, &callbacks, NULL, &summary), 0);
    *torn = summary.torn_bytes;
    return summary.frames;
}

static void the_window_in_which_torn_and_damaged_look_alike_closes_within_10_ms(void **unused)
{
    (void)unused;
    struct world *world = world_new(1, NULL);
    uint64_t torn = 0;
    assert_int_equal(world_open(world), 0);
    assert_int_equal(world_append(world, 1000), 0);
    while (world->acknowledged == 0) {
        hf_log_turn(world->log);
        sim_step(world->sim);
        hf_log_turn(world->log);
    }
    assert_int_equal(count_frames(world, &torn), 1);
    uint64_t deadline_ns = log_deadline_ns(world->log);
    uint64_t now_ns = io_monotonic_ns(sim_host_io(world->host));
    assert_true(deadline_ns > now_ns && deadline_ns <= now_ns + 10 * MS);
    world_run(world, 10 * MS);
    assert_int_equal(count_frames(world, &torn), 2);
    world_run(world, 100 * MS);
    assert_int_equal(count_frames(world, &torn), 2); /* and then it is quiet */
    /* From now on damage in the entry is damage. */
    sim_host_power_off(world->host);
    hf_log_close(world->log);
    sim_host_start(world->host);
    assert_int_equal(sim_disk_flip_bit(world->host, DIRECTORY "/0000000000000001.log", 4096 + 96 + 64 + 40, 1), 0);
    assert_int_equal(world_open(world), 0);
    struct hf_log_stat stat;
    hf_log_stat(world->log, &stat);
    assert_int_equal(stat.damaged_groups, 1);
    world_close(world);
}

static void L34_cached_entries_are_read_while_the_disk_is_stuck_and_the_stall_shows(void **unused)
{
    (void)unused;
    struct world *world = world_new(1, NULL);
    struct hf_log_stat stat;
    assert_int_equal(world_open(world), 0);
    sim_disk_stall(world->host, 1000 * MS);
    assert_int_equal(world_append(world, 1000), 0);
    world_run(world, 500 * MS);
    assert_int_equal(world->acknowledged, 0);
    check_model(world, "stuck");
    hf_log_stat(world->log, &stat);
    assert_true(stat.oldest_unsynced_ns > 400 * MS);
    assert_int_equal(stat.queued_entries, 1);
    world_run(world, 1000 * MS);
    assert_int_equal(world->acknowledged, 1);
    hf_log_stat(world->log, &stat);
    assert_int_equal(stat.oldest_unsynced_ns, 0);
    world_close(world);
}

struct stalls {
    struct world *world;
    unsigned begun, ended;
    uint64_t age_ns; /* when it was told */
};

static void note_stall(void *arg, uint64_t age_ns)
{
    struct stalls *stalls = arg;
    stalls->begun += age_ns > 0;
    stalls->ended += age_ns == 0;
    stalls->age_ns = age_ns > 0 ? age_ns : stalls->age_ns;
}

static void a_stalled_disk_is_told_once_and_so_is_its_end(void **unused)
{
    (void)unused;
    struct world *world = world_new(1, NULL);
    struct stalls stalls = {.world = world};
    world->options.stall_ms = 200;
    world->options.on_stall = note_stall;
    world->options.callback_arg = &stalls;
    assert_int_equal(world_open(world), 0);
    for (int i = 0; i < 20; i++) { /* a disk that works is no stall, however long it is busy */
        assert_int_equal(world_append(world, 1000), 0);
        world_run(world, 50 * MS);
    }
    assert_int_equal(world->acknowledged, 20);
    assert_int_equal(stalls.begun, 0);
    for (unsigned round = 1; round <= 2; round++) {
        sim_disk_stall(world->host, 1000 * MS);
        assert_int_equal(world_append(world, 1000), 0);
        world_run(world, 150 * MS);
        assert_int_equal(stalls.begun, round - 1);
        world_run(world, 150 * MS);
        assert_int_equal(stalls.begun, round);
        assert_true(stalls.age_ns >= 200 * MS && stalls.age_ns <= 260 * MS);
        assert_int_equal(stalls.ended, round - 1);
        world_run(world, 1500 * MS);
        assert_int_equal(stalls.begun, round);
        assert_int_equal(stalls.ended, round);
    }
    assert_int_equal(world->acknowledged, 22);
    world_close(world);
}

struct order {
    uint64_t next;
};
struct ordered {
    struct order *order;
    uint64_t number;
};

static void expect_order(void *arg, int result)
{
    struct ordered *ordered = arg;
    assert_int_equal(result, 0);
    assert_int_equal(ordered->number, ordered->order->next);
    ordered->order->next++;
}

static void L17_acknowledgements_run_in_stream_order_though_writes_complete_in_any(void **unused)
{
    (void)unused;
    struct sim_profile profile = sim_profile_calm();
    profile.write_ns = (struct sim_span){10000, 5000000};
    struct world *world = world_new(7, NULL);
    struct order order = {0};
    struct ordered waiters[200];
    sim_set_profile(world->sim, &profile);
    world->options.writes_in_flight_max = 8;
    world->options.sync_policy = HF_LOG_SYNC_ALWAYS;
    assert_int_equal(world_open(world), 0);
    for (uint64_t i = 0; i < 200; i++) {
        struct hf_entry entry = {.index = i + 1, .term = 1, .type = HF_ENTRY_NORMAL};
        waiters[i] = (struct ordered){&order, i};
        hf_log_batch_clear(world->batch);
        assert_int_equal(hf_log_batch_append(world->batch, GROUP, &entry, 1), 0);
        assert_int_equal(hf_log_append(world->log, world->batch, expect_order, &waiters[i]), 0);
        hf_log_turn(world->log);
        sim_step(world->sim);
    }
    world_run(world, 500 * MS);
    assert_int_equal(order.next, 200);
    world_close(world);
}

static void L59_a_close_during_io_says_so_to_everyone_who_waits(void **unused)
{
    (void)unused;
    struct world *world = world_new(1, NULL);
    assert_int_equal(world_open(world), 0);
    for (int i = 0; i < 10; i++) {
        assert_int_equal(world_append(world, 100), 0);
        hf_log_turn(world->log);
    }
    hf_log_close(world->log);
    world->log = NULL;
    assert_int_equal(world->acknowledged + world->failed, 10);
    assert_int_equal(sim_host_handle_count(world->host), 0);
    world_close(world);
}

static void say_nothing(void *arg, enum trace_level level, const char *line)
{
    (void)arg, (void)level, (void)line;
}

int main(void)
{
    trace_set_sink(say_nothing, NULL);
    planted_prepare();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(H1_after_the_first_failed_durable_write_nothing_is_acknowledged),
        cmocka_unit_test(L19_a_failed_sync_of_a_segment_or_its_folder_poisons),
        cmocka_unit_test(H1_a_sync_is_never_tried_again_under_the_interval_policy),
        cmocka_unit_test(interval_policy_syncs_in_time_and_votes_at_once),
        cmocka_unit_test(L22_a_device_that_fills_up_leaves_the_log_usable_and_loses_nothing),
        cmocka_unit_test(H5_H6_no_space_at_every_allocating_call_is_survived_and_the_run_goes_on),
        cmocka_unit_test(L23_an_open_on_a_full_device_works_when_a_spare_can_be_given_up),
        cmocka_unit_test(an_open_that_fails_changes_nothing_and_the_next_one_works),
        cmocka_unit_test(the_window_in_which_torn_and_damaged_look_alike_closes_within_10_ms),
        cmocka_unit_test(L34_cached_entries_are_read_while_the_disk_is_stuck_and_the_stall_shows),
        cmocka_unit_test(a_stalled_disk_is_told_once_and_so_is_its_end),
        cmocka_unit_test(L17_acknowledgements_run_in_stream_order_though_writes_complete_in_any),
        cmocka_unit_test(L59_a_close_during_io_says_so_to_everyone_who_waits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
