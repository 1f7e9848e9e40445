/* links: log sim */
/* A process at its limit of threads, now and then: what the log does beside its writes is put off, nothing of it is
 * forgotten, and no write suffers. */
#include "crash/log_world.h"
#include "crash/refusing_queue.h"

#include "base/trace.h"
#include "log/log_state.h"

#define ROUNDS 400u
#define SIZE   30000u

static void put(struct world *world, uint64_t group, uint64_t index, uint32_t size)
{
    static const uint8_t payload[SIZE];
    struct hf_entry entry = {
        .index = index, .term = 1, .timestamp_ms = index, .type = HF_ENTRY_NORMAL, .payload = bytes_of(payload, size)};
    assert_int_equal(hf_log_batch_append(world->batch, group, &entry, 1), 0);
    world_submit(world);
}

/* Two groups fill segments: the first is compacted, the second too, in the middle of a collection, and by time. */
static void work(struct world *world)
{
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        put(world, 1, i, SIZE);
        put(world, 2, i, 1000);
        world_turns(world, 40);
        if (i % 20 == 0) {
            assert_int_equal(hf_log_batch_compact(world->batch, 1, i - 1), 0);
            world_submit(world);
            const struct hf_log_retention bounds = {.applied_index = i, .snapshot_index = HF_LOG_INDEX_MAX};
            assert_int_equal(hf_log_retain(world->log, 2, &bounds), 0);
            assert_int_equal(hf_log_mark_time(world->log, 2, i / 2), 0);
        }
    }
    world_drain(world);
    world_turns(world, 5000);
}

static void work_for_which_there_is_no_thread_is_done_later(void **unused)
{
    (void)unused;
    for (unsigned every = 1; every <= 4; every++) {
        struct world *world = world_new(every);
        struct hf_log_stat stat;
        world->options.segment_size_bytes = 256 << 10;
        world->options.delete_delay_ms = 100;
        world->options.delete_scan_ms = 50;
        world_reopen(world, "open");
        struct refusing_queue refusing = refusing_queue_open(world->log->queue, every - 1, every);
        world->log->queue = &refusing.base;
        work(world);
        hf_log_stat(world->log, &stat);
        assert_int_equal(world->failed, 0);
        assert_int_equal(stat.failure, 0);
        assert_true(stat.released_segments > 0 && stat.moved_entries > 0);
        assert_true(stat.recycled_segments > 0);
        struct hf_log_group_state state;
        assert_int_equal(hf_log_group_state(world->log, 2, &state), 0);
        assert_true(state.first_index > ROUNDS / 4 && state.last_index == ROUNDS);
        assert_true(log_deadline_ns(world->log) > io_monotonic_ns(sim_host_io(world->host)));
        world->log->queue = refusing.inner;
        world_close(world);
    }
}

static void drop_line(void *arg, enum trace_level level, const char *line) {}

int main(void)
{
    trace_set_sink(drop_line, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_for_which_there_is_no_thread_is_done_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
