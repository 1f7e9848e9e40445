/* links: log sim */
/* Writes in the driver's own thread (log_turn_here): as durable, as final in failure and as ordered as the queue's. */
#include "unit/log/log_model.h"

#include "log/log.h"
#include "log/log_alone.h"
#include "log/log_state.h"
#include "sim/sim.h"

#define DIRECTORY "/data/log"
#define GROUP     UINT64_C(1)
#define MS        UINT64_C(1000000)

struct world {
    struct sim *sim;
    struct sim_host *host;
    struct hf_log *log;
    struct hf_log_batch *batch;
    uint64_t accepted;
    uint64_t acknowledged;
    uint64_t failed;
};

static void world_done(void *arg, int result)
{
    struct world *world = arg;
    world->acknowledged += result == 0;
    world->failed += result != 0;
}

static void world_open(struct world *world)
{
    struct hf_log_options options;
    hf_log_options_init(&options);
    assert_int_equal(log_open(sim_host_io(world->host), DIRECTORY, &options, &world->log), 0);
}

/* Opened, and at rest: the first spares are there and nothing is in flight. */
static struct world *world_new(uint64_t seed)
{
    struct world *world = memory_new(sizeof(*world));
    world->sim = sim_open(seed, NULL);
    world->host = sim_host_add(world->sim, NULL, NULL);
    assert_int_equal(hf_log_batch_open(&world->batch), 0);
    world_open(world);
    for (int i = 0; i < 200; i++) {
        hf_log_turn(world->log);
        sim_run_for(world->sim, MS / 10);
    }
    return world;
}

static void world_close(struct world *world)
{
    hf_log_close(world->log);
    hf_log_batch_close(world->batch);
    sim_close(world->sim);
    free(world);
}

static int world_append(struct world *world, size_t size)
{
    uint8_t *payload = memory_new(size);
    struct hf_entry entry = {
        .index = world->accepted + 1, .term = 1, .type = HF_ENTRY_NORMAL, .payload = bytes_of(payload, size)};
    hf_log_batch_clear(world->batch);
    assert_int_equal(hf_log_batch_append(world->batch, GROUP, &entry, 1), 0);
    int rc = hf_log_append(world->log, world->batch, world_done, world);
    world->accepted += rc == 0;
    free(payload);
    return rc;
}

static uint64_t last_after_power_loss(struct world *world)
{
    struct hf_log_group_state state;
    sim_host_power_off(world->host);
    hf_log_close(world->log);
    sim_host_start(world->host);
    world_open(world);
    assert_int_equal(hf_log_group_state(world->log, GROUP, &state), 0);
    return state.last_index;
}

static void P1_a_write_in_the_drivers_thread_is_acknowledged_in_the_same_turn_and_survives_power_loss(void **unused)
{
    (void)unused;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct world *world = world_new(seed);
        for (uint64_t i = 1; i <= 5; i++) {
            assert_int_equal(world_append(world, 100 * i), 0);
            hf_log_turn(world->log); /* the usual way needs the device, and that needs time */
            assert_int_equal(world->acknowledged, i - 1);
            sim_run_for(world->sim, 20 * MS);
            hf_log_turn(world->log);
            assert_int_equal(world->acknowledged, i);
        }
        uint64_t before = world->acknowledged;
        assert_int_equal(world_append(world, 100), 0);
        log_turn_here(world->log);
        assert_int_equal(world->acknowledged, before + 1);
        assert_int_equal(last_after_power_loss(world), before + 1);
        world_close(world);
    }
}

static void L17_nothing_overtakes_a_write_that_is_in_flight(void **unused)
{
    (void)unused;
    struct world *world = world_new(1);
    assert_int_equal(world_append(world, 100), 0);
    hf_log_turn(world->log);
    assert_int_equal(world_append(world, 100), 0);
    log_turn_here(world->log);
    assert_int_equal(world->acknowledged, 0); /* the first is on its way through the queue: so goes the second */
    for (int i = 0; i < 100; i++) {
        log_turn_here(world->log);
        sim_run_for(world->sim, MS / 10);
    }
    assert_int_equal(world->acknowledged, 2);
    world_close(world);
}

static void large_writes_and_slow_devices_go_the_usual_way(void **unused)
{
    (void)unused;
    struct world *world = world_new(1);
    assert_int_equal(world_append(world, LOG_ALONE_SIZE_MAX), 0);
    log_turn_here(world->log);
    assert_int_equal(world->acknowledged, 0);
    sim_run_for(world->sim, 50 * MS);
    log_turn_here(world->log);
    assert_int_equal(world->acknowledged, 1);
    for (unsigned i = 0; i < 50; i++) { /* however many wait for it */
        assert_int_equal(world_append(world, 10), 0);
    }
    log_turn_here(world->log);
    assert_int_equal(world->acknowledged, world->accepted);
    uint64_t now_ns = io_monotonic_ns(sim_host_io(world->host));
    log_pace_note(&world->log->pace, LOG_PACE_HANG_NS, now_ns);
    assert_int_equal(world_append(world, 10), 0);
    log_turn_here(world->log);
    assert_int_equal(world->acknowledged, world->accepted - 1);
    sim_run_for(world->sim, LOG_PACE_HANG_NS * LOG_PACE_REST_FACTOR);
    log_turn_here(world->log);
    assert_int_equal(world_append(world, 10), 0);
    log_turn_here(world->log);
    assert_int_equal(world->acknowledged, world->accepted);
    world_close(world);
}

static void H1_L18_a_write_in_the_drivers_thread_that_fails_is_final(void **unused)
{
    (void)unused;
    struct world *world = world_new(1);
    assert_int_equal(world_append(world, 10), 0);
    log_turn_here(world->log);
    assert_int_equal(world->acknowledged, 1);
    struct sim_disk_failure failure = {.kind = SIM_DISK_DURABLE, .count = 1, .error = HF_EIO, .path_part = ".log"};
    sim_disk_fail(world->host, &failure);
    assert_int_equal(world_append(world, 10), 0);
    log_turn_here(world->log);
    assert_int_equal(world->failed, 1);
    struct hf_log_stat stat;
    hf_log_stat(world->log, &stat);
    assert_int_equal(stat.failure, HF_EPOISONED);
    assert_true(strlen(stat.failure_text) > 0);
    assert_int_equal(world_append(world, 10), HF_EPOISONED);
    uint64_t last = last_after_power_loss(world);
    assert_true(last == 1 || last == 2);
    world_close(world);
}

static uint64_t writes_of(const struct world *world)
{
    struct hf_log_stat stat;
    hf_log_stat(world->log, &stat);
    return stat.writes;
}

/* 400 appends are outstanding all the time: not all of them in one frame, the other half is encoded meanwhile. */
static void a_frame_takes_about_half_of_what_is_outstanding(void **unused)
{
    (void)unused;
    struct world *world = world_new(3);
    uint64_t before = writes_of(world);
    uint64_t accepted = world->accepted;
    for (unsigned turns = 0; turns < 400; turns++) {
        while (world->accepted - world->acknowledged < 400) {
            assert_int_equal(world_append(world, 1000), 0);
        }
        hf_log_turn(world->log);
        sim_step(world->sim);
        hf_log_turn(world->log);
    }
    uint64_t per_write = (world->accepted - accepted) / (writes_of(world) - before);
    assert_true(per_write >= 100 && per_write <= 250);
    sim_run_for(world->sim, 50 * MS);
    world_close(world);
}

/* The device works while the rest is encoded. */
static void a_full_frame_goes_to_the_device_with_the_append_that_finds_it_full(void **unused)
{
    (void)unused;
    struct world *world = world_new(6);
    uint64_t before = writes_of(world);
    for (unsigned i = 0; i < 40; i++) {
        assert_int_equal(world_append(world, 1000), 0);
    }
    assert_int_equal(writes_of(world), before); /* there is room for more in the frame */
    for (unsigned i = 0; i < 120; i++) {
        assert_int_equal(world_append(world, 1000), 0);
    }
    assert_int_equal(writes_of(world), before + 2); /* no more at a time */
    assert_int_equal(world->acknowledged, 0);
    for (unsigned i = 0; i < 4; i++) {
        sim_run_for(world->sim, 50 * MS);
        hf_log_turn(world->log);
    }
    assert_int_equal(world->acknowledged, world->accepted);
    assert_int_equal(last_after_power_loss(world), world->accepted);
    world_close(world);
}

/* A queue belongs to the thread that drives. */
static void a_full_frame_of_another_thread_waits_for_the_turn(void **unused)
{
    (void)unused;
    struct world *world = world_new(6);
    uint64_t before = writes_of(world);
    world->log->driver_thread = 0; /* whoever ran the last turn, it was not this thread */
    for (unsigned i = 0; i < 160; i++) {
        assert_int_equal(world_append(world, 1000), 0);
    }
    assert_int_equal(writes_of(world), before);
    for (unsigned i = 0; i < 4; i++) {
        hf_log_turn(world->log);
        sim_run_for(world->sim, 50 * MS);
    }
    hf_log_turn(world->log);
    assert_int_equal(world->acknowledged, world->accepted);
    world_close(world);
}

/* It would have to wait for the large one anyway; when it is not small any more it goes beside it. */
static void a_small_frame_is_held_back_behind_a_large_write(void **unused)
{
    (void)unused;
    struct world *world = world_new(4);
    uint64_t before = writes_of(world);
    assert_int_equal(world_append(world, 300000), 0);
    hf_log_turn(world->log);
    assert_int_equal(writes_of(world), before + 1);
    assert_int_equal(world_append(world, 1000), 0);
    hf_log_turn(world->log);
    assert_int_equal(writes_of(world), before + 1);
    assert_int_equal(world_append(world, 200000), 0);
    hf_log_turn(world->log);
    assert_true(writes_of(world) > before + 1);
    sim_run_for(world->sim, 50 * MS);
    hf_log_turn(world->log);
    sim_run_for(world->sim, 50 * MS);
    hf_log_turn(world->log);
    assert_int_equal(world->acknowledged, world->accepted);
    world_close(world);
}

/* How many writes are in flight after an append of this size and one more of the same. */
static uint64_t writes_side_by_side(size_t size)
{
    struct world *world = world_new(5);
    uint64_t before = writes_of(world);
    for (unsigned i = 0; i < 2; i++) {
        assert_int_equal(world_append(world, size), 0);
        hf_log_turn(world->log);
    }
    uint64_t writes = writes_of(world) - before;
    for (unsigned i = 0; i < 4; i++) {
        sim_run_for(world->sim, 50 * MS);
        hf_log_turn(world->log);
    }
    assert_int_equal(world->acknowledged, world->accepted);
    world_close(world);
    return writes;
}

/* Two of that size would only share the device. */
static void a_write_of_128_to_256_kib_goes_alone(void **unused)
{
    (void)unused;
    assert_int_equal(writes_side_by_side(100 << 10), 2);
    assert_int_equal(writes_side_by_side(160 << 10), 1);
    assert_int_equal(writes_side_by_side(300 << 10), 2);
}

/* On a device with little left, so that every block counts. */
static void what_gathers_is_no_room_for_more(void **unused)
{
    (void)unused;
    struct world *world = world_new(1);
    sim_disk_set_capacity(world->host, sim_disk_used_bytes(world->host) + (1u << 20));
    assert_int_equal(world_append(world, 10), 0);
    log_turn_here(world->log);
    uint64_t before = hf_log_capacity_bytes(world->log);
    assert_int_equal(world_append(world, 20000), 0);
    uint64_t gathering = hf_log_capacity_bytes(world->log);
    assert_true(gathering <= before - 20000 && before - gathering < 30000);
    log_turn_here(world->log);
    assert_int_equal(hf_log_capacity_bytes(world->log), gathering); /* it was counted in whole blocks */
    world_close(world);
}

/* Its time stands still while somebody waits. */
static void in_the_simulator_nothing_waits_and_says_so(void **unused)
{
    (void)unused;
    struct world *world = world_new(1);
    struct hf_log_append_options patient = {.wait_ms = 10};
    assert_int_equal(world_append(world, 10), 0);
    assert_int_equal(hf_log_append_wait(world->log, world->batch), HF_EUNSUPPORTED);
    assert_int_equal(hf_log_append_with(world->log, world->batch, &patient), HF_EUNSUPPORTED);
    assert_int_equal(hf_log_sync(world->log), HF_EUNSUPPORTED);
    assert_int_equal(hf_log_group_create(world->log, 7, 1), HF_EUNSUPPORTED);
    sim_run_for(world->sim, 50 * MS);
    log_turn_here(world->log);
    assert_int_equal(world->acknowledged, 1);
    world_close(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(P1_a_write_in_the_drivers_thread_is_acknowledged_in_the_same_turn_and_survives_power_loss),
        cmocka_unit_test(L17_nothing_overtakes_a_write_that_is_in_flight),
        cmocka_unit_test(large_writes_and_slow_devices_go_the_usual_way),
        cmocka_unit_test(a_frame_takes_about_half_of_what_is_outstanding),
        cmocka_unit_test(a_full_frame_goes_to_the_device_with_the_append_that_finds_it_full),
        cmocka_unit_test(a_full_frame_of_another_thread_waits_for_the_turn),
        cmocka_unit_test(a_small_frame_is_held_back_behind_a_large_write),
        cmocka_unit_test(a_write_of_128_to_256_kib_goes_alone),
        cmocka_unit_test(what_gathers_is_no_room_for_more),
        cmocka_unit_test(in_the_simulator_nothing_waits_and_says_so),
        cmocka_unit_test(H1_L18_a_write_in_the_drivers_thread_that_fails_is_final),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
