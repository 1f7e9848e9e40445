/* Operations in flight: order, power loss, kill, and how an owner is driven. */
#include "unit/sim/sim_testing.h"

#include "base/error.h"

struct queue_world {
    struct sim *sim;
    struct sim_host *host;
    struct file *file;
    struct io_queue *queue;
    struct list done;
    unsigned done_count;
};

static struct queue_world open_world(uint64_t seed, unsigned depth)
{
    struct queue_world world = {.sim = sim_open(seed, NULL)};
    world.host = sim_host_add(world.sim, NULL, NULL);
    sim_test_durable_file(world.host, "/", "/a", 1, 64 * 4096);
    world.file = sim_test_file(world.host, "/a", FILE_READ | FILE_WRITE);
    must(io_queue_open(sim_host_io(world.host), depth, &world.queue));
    return world;
}

static void close_world(struct queue_world *world)
{
    file_close(world->file);
    io_queue_close(world->queue);
    sim_close(world->sim);
}

static unsigned reap(struct queue_world *world)
{
    struct list done;
    list_init(&done);
    unsigned count = io_queue_reap(world->queue, &done, UINT64_MAX);
    world->done_count += count;
    return count;
}

static bool is_done(void *arg)
{
    struct queue_world *world = arg;
    reap(world);
    return world->done_count >= 1;
}

static void an_owner_without_a_loop_waits_by_running_the_world(void **state)
{
    struct queue_world world = open_world(1, 4);
    struct io_operation write = {.kind = IO_WRITE_DURABLE, .file = world.file, .data = "xy", .size = 2};
    uint64_t start_ns = io_monotonic_ns(sim_host_io(world.host));
    must(io_queue_submit(world.queue, &write));
    must(io_queue_flush(world.queue));
    assert_int_equal(io_queue_descriptor(world.queue), -1);
    assert_int_equal(reap(&world), 0); /* never waits */
    assert_int_equal(sim_test_byte(world.host, "/a", 0), 1);
    assert_true(sim_run_until(world.sim, is_done, &world, UINT64_MAX));
    assert_int_equal(write.result, 0);
    assert_int_equal(sim_test_byte(world.host, "/a", 0), 'x');
    assert_int_equal(write.submitted_ns, start_ns);
    assert_true(write.completed_ns > start_ns);
    close_world(&world);
}

static void a_full_queue_is_busy_until_it_is_reaped(void **state)
{
    struct queue_world world = open_world(1, 2);
    struct io_operation sync[3] = {{.kind = IO_SYNC, .file = world.file},
                                   {.kind = IO_SYNC, .file = world.file},
                                   {.kind = IO_SYNC, .file = world.file}};
    must(io_queue_submit(world.queue, &sync[0]));
    must(io_queue_submit(world.queue, &sync[1]));
    assert_int_equal(io_queue_submit(world.queue, &sync[2]), HF_EBUSY);
    sim_run_for(world.sim, 1000 * SIM_TEST_MS);
    assert_int_equal(reap(&world), 2);
    must(io_queue_submit(world.queue, &sync[2]));
    close_world(&world); /* waits for the third */
    assert_int_equal(sync[2].result, 0);
    assert_true(sync[2].completed_ns > 0);
}

static void operations_complete_in_any_order(void **state)
{
    unsigned in_order = 0;
    unsigned reversed = 0;
    for (uint64_t seed = 1; seed <= SIM_TEST_SEEDS; seed++) {
        struct queue_world world = open_world(seed, 2);
        struct io_operation first = {.kind = IO_WRITE, .file = world.file, .offset = 0, .data = "a", .size = 1};
        struct io_operation second = {.kind = IO_WRITE, .file = world.file, .offset = 0, .data = "b", .size = 1};
        must(io_queue_submit(world.queue, &first));
        must(io_queue_submit(world.queue, &second));
        sim_run_for(world.sim, 1000 * SIM_TEST_MS);
        assert_int_equal(reap(&world), 2);
        int byte = sim_test_byte(world.host, "/a", 0);
        assert_int_equal(byte, first.completed_ns <= second.completed_ns ? 'b' : 'a');
        in_order += byte == 'b';
        reversed += byte == 'a';
        close_world(&world);
    }
    assert_true(in_order > 50 && reversed > 50);
}

static void a_sync_covers_what_was_written_before_it_was_submitted(void **state)
{
    unsigned lost = 0;
    for (uint64_t seed = 1; seed <= SIM_TEST_SEEDS; seed++) {
        struct queue_world world = open_world(seed, 2);
        struct io_operation sync = {.kind = IO_SYNC, .file = world.file};
        sim_test_write(world.host, "/a", 0, 2, 512);
        must(io_queue_submit(world.queue, &sync));
        sim_test_write(world.host, "/a", 512, 2, 512);
        sim_test_write(world.host, "/a", 0, 3, 1);
        sim_run_for(world.sim, 1000 * SIM_TEST_MS);
        assert_int_equal(reap(&world), 1);
        must(sync.result);
        sim_host_power_off(world.host);
        sim_host_start(world.host);
        assert_int_equal(sim_test_byte(world.host, "/a", 1), 2);
        lost += sim_test_byte(world.host, "/a", 512) == 1;
        close_world(&world);
    }
    assert_true(lost > 20);
}

static void a_write_in_flight_at_power_loss_lands_in_any_part(void **state)
{
    unsigned none = 0;
    unsigned all = 0;
    unsigned torn = 0;
    for (uint64_t seed = 1; seed <= SIM_TEST_SEEDS; seed++) {
        struct queue_world world = open_world(seed, 2);
        char data[2048];
        memset(data, 2, sizeof(data));
        struct io_operation write = {.kind = IO_WRITE_DURABLE, .file = world.file, .data = data, .size = sizeof(data)};
        must(io_queue_submit(world.queue, &write));
        sim_host_power_off(world.host);
        assert_int_equal(reap(&world), 1); /* so that an owner's close can end */
        assert_int_equal(write.result, HF_EIO);
        sim_host_start(world.host);
        unsigned landed = 0;
        for (unsigned sector = 0; sector < 4; sector++) {
            landed += sim_test_byte(world.host, "/a", sector * 512u) == 2;
        }
        none += landed == 0;
        all += landed == 4;
        torn += landed > 0 && landed < 4;
        assert_int_equal(sim_fault_count(world.sim, SIM_FAULT_WRITE_TORN), landed > 0 && landed < 4);
        close_world(&world);
    }
    assert_true(none > 20 && all > 20 && torn > 20);
}

static void a_write_in_flight_at_a_kill_lands_now_later_or_never(void **state)
{
    unsigned never = 0;
    unsigned now = 0;
    unsigned later = 0;
    for (uint64_t seed = 1; seed <= SIM_TEST_SEEDS; seed++) {
        struct queue_world world = open_world(seed, 2);
        char *data = test_malloc(512);
        memset(data, 2, 512);
        struct io_operation write = {.kind = IO_WRITE, .file = world.file, .data = data, .size = 512};
        must(io_queue_submit(world.queue, &write));
        sim_host_kill(world.host);
        test_free(data); /* the process's memory is gone */
        assert_int_equal(reap(&world), 1);
        assert_int_equal(write.result, HF_ECLOSED);
        sim_host_start(world.host);
        int at_start = sim_test_byte(world.host, "/a", 0);
        sim_run_for(world.sim, 1000 * SIM_TEST_MS);
        int at_end = sim_test_byte(world.host, "/a", 0);
        now += at_start == 2;
        never += at_end == 1;
        later += at_start == 1 && at_end == 2;
        assert_int_equal(sim_fault_count(world.sim, SIM_FAULT_LATE_WRITE), at_start == 1 && at_end == 2);
        close_world(&world);
    }
    assert_true(never > 20 && now > 20 && later > 20);
}

static int work_writes(void *arg)
{
    struct queue_world *world = arg;
    must(file_write(world->file, 0, "w", 1));
    must(file_sync(world->file));
    return error_raise(HF_ECONFLICT, "as asked");
}

static void work_runs_later_and_its_result_comes_back(void **state)
{
    struct queue_world world = open_world(1, 2);
    struct io_operation work = {.kind = IO_WORK, .work = work_writes, .arg = &world};
    must(io_queue_submit(world.queue, &work));
    assert_int_equal(sim_test_byte(world.host, "/a", 0), 1);
    sim_host_pause(world.host, 50 * SIM_TEST_MS);
    sim_run_for(world.sim, 49 * SIM_TEST_MS);
    assert_int_equal(sim_test_byte(world.host, "/a", 0), 1); /* a paused process does not work */
    sim_run_for(world.sim, 1000 * SIM_TEST_MS);
    assert_int_equal(reap(&world), 1);
    assert_int_equal(work.result, HF_ECONFLICT);
    assert_string_equal(work.text, "as asked");
    assert_int_equal(sim_test_byte(world.host, "/a", 0), 'w');
    close_world(&world);
}

static void failures_come_back_in_the_operation(void **state)
{
    struct queue_world world = open_world(1, 2);
    const struct sim_disk_failure failure = {SIM_DISK_DURABLE, 0, 1, HF_EIO, NULL};
    sim_disk_fail(world.host, &failure);
    struct io_operation write = {.kind = IO_WRITE_DURABLE, .file = world.file, .data = "x", .size = 1};
    must(io_queue_submit(world.queue, &write));
    sim_run_for(world.sim, 1000 * SIM_TEST_MS);
    assert_int_equal(reap(&world), 1);
    assert_int_equal(write.result, HF_EIO);
    assert_non_null(strstr(write.text, "/a"));
    close_world(&world);
}

static void a_stalled_disk_completes_nothing_meanwhile(void **state)
{
    struct queue_world world = open_world(1, 2);
    struct io_operation sync = {.kind = IO_SYNC, .file = world.file};
    sim_disk_stall(world.host, 500 * SIM_TEST_MS);
    must(io_queue_submit(world.queue, &sync));
    sim_run_for(world.sim, 500 * SIM_TEST_MS);
    assert_int_equal(reap(&world), 0);
    sim_run_for(world.sim, 500 * SIM_TEST_MS);
    assert_int_equal(reap(&world), 1);
    assert_int_equal(sim_fault_count(world.sim, SIM_FAULT_STALL), 1);
    close_world(&world);
}

static void turn(void *arg)
{
    reap(arg);
}

static void count_call(void *arg)
{
    *(unsigned *)arg += 1;
}

static void a_watch_drives_the_owner_when_something_completed_or_the_queue_was_woken(void **state)
{
    struct queue_world world = open_world(1, 4);
    struct loop_watch *watch = NULL;
    struct loop *loop = sim_host_loop(world.host);
    unsigned calls = 0;
    must(loop_watch_queue(loop, world.queue, turn, &world, &watch));
    struct io_operation write = {.kind = IO_WRITE, .file = world.file, .data = "x", .size = 1};
    must(io_queue_submit(world.queue, &write));
    sim_run_for(world.sim, 1000 * SIM_TEST_MS);
    assert_int_equal(world.done_count, 1);
    loop_watch_close(loop, watch);
    must(loop_watch_queue(loop, world.queue, count_call, &calls, &watch));
    sim_run_for(world.sim, 1000 * SIM_TEST_MS);
    assert_int_equal(calls, 0);
    io_queue_wake(world.queue);
    sim_run_for(world.sim, 1000 * SIM_TEST_MS);
    assert_int_equal(calls, 1);
    must(io_queue_submit(world.queue, &write)); /* not reaped: called in every turn */
    sim_run_for(world.sim, 10 * SIM_TEST_MS);
    assert_true(calls > 10);
    loop_watch_close(loop, watch);
    close_world(&world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_owner_without_a_loop_waits_by_running_the_world),
        cmocka_unit_test(a_full_queue_is_busy_until_it_is_reaped),
        cmocka_unit_test(operations_complete_in_any_order),
        cmocka_unit_test(a_sync_covers_what_was_written_before_it_was_submitted),
        cmocka_unit_test(a_write_in_flight_at_power_loss_lands_in_any_part),
        cmocka_unit_test(a_write_in_flight_at_a_kill_lands_now_later_or_never),
        cmocka_unit_test(work_runs_later_and_its_result_comes_back),
        cmocka_unit_test(failures_come_back_in_the_operation),
        cmocka_unit_test(a_stalled_disk_completes_nothing_meanwhile),
        cmocka_unit_test(a_watch_drives_the_owner_when_something_completed_or_the_queue_was_woken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
