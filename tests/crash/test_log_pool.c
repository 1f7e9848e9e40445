/* links: log sim */
/* The files to come, on a device that is nearly full or slow: no byte of them is counted twice, nothing waits for a
 * file that cannot be made, and nobody turns in vain meanwhile. */
#include "unit/log/log_model.h"

#include "log/log.h"
#include "log/log_state.h"
#include "planted.h"
#include "sim/sim.h"

#define DIRECTORY "/log"
#define MS        UINT64_C(1000000)
#define MIB       (UINT64_C(1) << 20)
#define GROUP     UINT64_C(1)

/* ---- the pool by itself ---- */

struct world {
    struct sim *sim;
    struct sim_host *host;
    struct io_queue *queue;
    struct log_pool pool;
};

static void world_open(struct world *world)
{
    *world = (struct world){.pool = {.segment_size_max_bytes = 8 * MIB, .reserve_bytes = MIB, .spares_max = 2}};
    const struct log_segment_header last = {.number = 1, .size_bytes = MIB, .log_id = 7, .incarnation = 9};
    world->sim = sim_open(1, NULL);
    world->host = sim_host_add(world->sim, NULL, NULL);
    struct io *io = sim_host_io(world->host);
    assert_int_equal(directory_create(io, DIRECTORY), 0);
    assert_int_equal(io_queue_open(io, 1, &world->queue), 0);
    log_pool_open(&world->pool, io, DIRECTORY, &last);
}

static void world_close(struct world *world)
{
    log_pool_close(&world->pool);
    io_queue_close(world->queue);
    sim_close(world->sim);
}

/* One step of the pool, when it takes one. */
static void world_step_for(struct world *world, const struct log_pool_demand *demand)
{
    struct list done;
    list_init(&done);
    assert_int_equal(log_pool_start(&world->pool, world->queue, demand, sim_now_ns(world->sim)), 0);
    sim_run_for(world->sim, 100 * MS);
    if (io_queue_reap(world->queue, &done, 0) > 0) {
        list_remove(&world->pool.operation.link);
        assert_int_equal(log_pool_finish(&world->pool, sim_now_ns(world->sim)), 0);
    }
}

static void world_step(struct world *world, uint64_t tail_used)
{
    struct log_pool_demand demand = {.log_bytes = MIB, .tail_bytes = MIB, .tail_used = tail_used};
    world_step_for(world, &demand);
}

static void world_set_free(struct world *world, uint64_t bytes)
{
    sim_disk_set_capacity(world->host, sim_disk_used_bytes(world->host) + bytes);
    log_pool_forget_free_bytes(&world->pool);
}

/* How many files of that size the pool takes back, one after another, for a log of log_bytes. */
static unsigned files_taken_back(uint64_t size_bytes, uint64_t log_bytes)
{
    struct world world;
    unsigned count = 0;
    world_open(&world);
    struct log_segment_header header = {.size_bytes = size_bytes, .incarnation = 1};
    for (header.number = 1; header.number < 10; header.number++) {
        count += log_pool_offer(&world.pool, &header, log_bytes);
    }
    world_close(&world);
    return count;
}

static void a_log_of_full_size_segments_keeps_one_file_more(void **unused)
{
    (void)unused;
    unsigned small = files_taken_back(MIB, 2 * MIB);
    assert_int_equal(small, 3);
    assert_int_equal(files_taken_back(8 * MIB, 64 * MIB), small + 1);
    assert_int_equal(files_taken_back(MIB, 64 * MIB), 0); /* of another size */
}

static void a_file_that_is_being_made_is_counted_until_frames_lie_in_it(void **unused)
{
    (void)unused;
    struct world world;
    world_open(&world);
    world_step(&world, MIB / 2);
    assert_int_equal(log_pool_coming_bytes(&world.pool), MIB - LOG_FORMAT_SEGMENT_HEADER_SIZE);
    struct log_segment *taken = log_pool_take(&world.pool, 4096, MIB);
    assert_int_equal(taken->state, LOG_SEGMENT_PREPARING);
    assert_int_equal(log_pool_coming_bytes(&world.pool), 0); /* it is the tail now, and counted as that */
    world_step(&world, 0);
    assert_int_equal(taken->state, LOG_SEGMENT_READY);
    log_segment_close(taken);
    world_close(&world);
}

/* As it lies there: a file of this size. */
static void make_file(struct world *world, const char *path, uint64_t size)
{
    struct file *file = NULL;
    struct io *io = sim_host_io(world->host);
    assert_int_equal(file_open(io, path, FILE_WRITE | FILE_CREATE, &file), 0);
    assert_int_equal(file_truncate(file, size), 0);
    assert_int_equal(file_sync(file), 0);
    file_close(file);
    assert_int_equal(directory_sync(io, DIRECTORY), 0);
}

/* Somebody has cut it, or added to it, or removed it, since it was offered. */
static void L51_a_file_that_is_not_as_it_was_given_back_is_not_recycled(void **unused)
{
    (void)unused;
    static const uint64_t sizes[] = {MIB, MIB - 4096, MIB + 4096, 0, UINT64_MAX};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        static const char path[] = DIRECTORY "/0000000000000005.log";
        const struct log_segment_header header = {.number = 5, .size_bytes = MIB, .incarnation = 77};
        struct world world;
        struct file *file = NULL;
        uint64_t size = 0;
        world_open(&world);
        if (sizes[i] != UINT64_MAX) {
            make_file(&world, path, sizes[i]);
        }
        assert_true(log_pool_offer(&world.pool, &header, MIB));
        for (unsigned steps = 0; steps < 4; steps++) {
            world_step(&world, MIB - 4096); /* it is needed soon */
        }
        struct log_segment *taken = log_pool_take(&world.pool, 4096, MIB);
        assert_non_null(taken);
        assert_int_equal(taken->state, LOG_SEGMENT_READY);
        assert_int_equal(file_size(taken->writer, &size), 0);
        assert_int_equal(size, MIB);
        assert_int_equal(file_open(sim_host_io(world.host), path, FILE_READ, &file), HF_ENOTFOUND);
        assert_int_equal(world.pool.recycled_count, sizes[i] == MIB);
        log_segment_close(taken);
        world_close(&world);
    }
}

/* The device is never busy with zeros for long, and nobody waits for a file: nothing before a quarter of the tail is
 * used, then as the tail fills, and all of it when an eighth is left. */
static void a_file_to_come_is_written_as_the_tail_fills(void **unused)
{
    (void)unused;
    struct world world;
    struct log_pool_demand demand = {.log_bytes = 64 * MIB, .tail_bytes = 8 * MIB};
    world_open(&world);
    for (demand.tail_used = 0; demand.tail_used < 7 * MIB; demand.tail_used += 64 << 10) {
        world_step_for(&world, &demand);
        assert_true(log_pool_deadline_ns(&world.pool, &demand) == UINT64_MAX); /* that was all for now */
        if (demand.tail_used < 2 * MIB) {
            assert_int_equal(world.pool.upcoming_count, 0);
            continue;
        }
        uint64_t share = (demand.tail_used - 2 * MIB) * 8 / 5;
        uint64_t written = world.pool.preparation.written - LOG_FORMAT_SEGMENT_HEADER_SIZE;
        assert_in_range(written + LOG_POOL_STEP_SIZE, share, share + 2 * LOG_POOL_STEP_SIZE);
        assert_true(log_pool_ready_bytes(&world.pool) == 0 || share + LOG_POOL_STEP_SIZE >= 8 * MIB);
    }
    world_step_for(&world, &demand);
    assert_int_equal(log_pool_ready_bytes(&world.pool), 8 * MIB - LOG_FORMAT_SEGMENT_HEADER_SIZE);
    world_close(&world);
}

/* A large log's files are large; frames must not wait for one that the device has no room for. */
static void what_frames_wait_for_is_never_larger_than_the_room_that_there_is(void **unused)
{
    (void)unused;
    for (uint64_t room = 2 * MIB + MIB / 2; room <= 12 * MIB; room += MIB / 2) {
        struct world world;
        world_open(&world);
        world_set_free(&world, room);
        assert_true(log_pool_can_extend(&world.pool, 4096, world.pool.reserve_bytes));
        struct log_segment *taken = log_pool_take(&world.pool, 4096, 64 * MIB);
        for (int i = 0; i < 10; i++) {
            world_step(&world, 0);
        }
        assert_int_equal(taken->state, LOG_SEGMENT_READY);
        log_segment_close(taken);
        world_close(&world);
    }
}

/* Frames come faster than files: no more of them is taken than the device has room for. */
static void a_burst_is_promised_no_more_files_than_there_is_room_for(void **unused)
{
    (void)unused;
    for (uint64_t room = 2 * MIB + MIB / 2; room <= 12 * MIB; room += MIB / 2) {
        struct world world;
        struct log_segment *taken[LOG_POOL_WAITED_FOR_MAX];
        size_t count = 0;
        world_open(&world);
        world_set_free(&world, room);
        while (log_pool_can_extend(&world.pool, MIB / 2, world.pool.reserve_bytes)) {
            taken[count] = log_pool_take(&world.pool, MIB / 2, MIB);
            assert_non_null(taken[count++]);
        }
        assert_true(count >= 1);
        for (size_t i = 0; i < 3 * count; i++) {
            world_step(&world, 0);
        }
        for (size_t i = 0; i < count; i++) {
            assert_int_equal(taken[i]->state, LOG_SEGMENT_READY);
            log_segment_close(taken[i]);
        }
        log_pool_forget_free_bytes(&world.pool);
        assert_true(log_pool_free_bytes(&world.pool) >= world.pool.reserve_bytes);
        world_close(&world);
    }
}

/* Files that were given up while frames wait on a full device: of the right size they are used, others make room. */
static void no_file_is_kept_for_later_while_frames_wait_for_its_room(void **unused)
{
    (void)unused;
    struct world world;
    world_open(&world);
    for (int i = 0; i < 20 && log_pool_ready_bytes(&world.pool) == 0; i++) {
        world_step(&world, MIB);
    }
    struct log_segment *old = log_pool_take(&world.pool, 4096, MIB);
    assert_int_equal(old->state, LOG_SEGMENT_READY);
    struct log_segment_header header = old->header;
    log_segment_close(old);
    struct log_segment *taken = log_pool_take(&world.pool, 4096, 4 * MIB);
    assert_int_equal(taken->header.size_bytes, 2 * MIB);
    world_set_free(&world, 0);
    world_step(&world, 0);
    assert_int_equal(taken->state, LOG_SEGMENT_PLANNED);
    assert_false(log_pool_offer(&world.pool, &header, 4 * MIB));
    log_segment_close(taken);
    world.pool.waited_for_count = 0;

    assert_true(log_pool_offer(&world.pool, &header, MIB));
    taken = log_pool_take(&world.pool, 4096, 4 * MIB);
    assert_int_equal(taken->header.size_bytes, MIB);
    for (int i = 0; i < 3; i++) {
        world_step(&world, 0);
    }
    assert_int_equal(taken->state, LOG_SEGMENT_READY);
    assert_int_equal(world.pool.recycled_count, 1);
    log_segment_close(taken);
    world_close(&world);
}

/* ---- without a thread ---- */

/* ---- in a log ---- */

struct logged {
    struct sim *sim;
    struct sim_host *host;
    struct hf_log_options options;
    struct hf_log *log;
    struct hf_log_batch *batch;
    uint64_t accepted;
    uint64_t acknowledged;
};

static void logged_done(void *arg, int result)
{
    assert_int_equal(result, 0);
    ((struct logged *)arg)->acknowledged++;
}

static void logged_turns(struct logged *world, uint64_t ms)
{
    for (uint64_t i = 0; i < ms * 4; i++) {
        hf_log_turn(world->log);
        sim_run_for(world->sim, MS / 4);
    }
    hf_log_turn(world->log);
}

static struct logged *logged_new(enum hf_log_sync_policy policy)
{
    struct logged *world = memory_new(sizeof(*world));
    world->sim = sim_open(1, NULL);
    world->host = sim_host_add(world->sim, NULL, NULL);
    hf_log_options_init(&world->options);
    world->options.sync_policy = policy;
    assert_int_equal(hf_log_batch_open(&world->batch), 0);
    assert_int_equal(log_open(sim_host_io(world->host), DIRECTORY, &world->options, &world->log), 0);
    logged_turns(world, 100);
    return world;
}

static void logged_close(struct logged *world)
{
    hf_log_close(world->log);
    hf_log_batch_close(world->batch);
    sim_close(world->sim);
    free(world);
}

static int logged_append(struct logged *world, size_t size)
{
    uint8_t *payload = memory_new(size);
    struct hf_entry entry = {
        .index = world->accepted + 1, .term = 1, .type = HF_ENTRY_NORMAL, .payload = bytes_of(payload, size)};
    hf_log_batch_clear(world->batch);
    assert_int_equal(hf_log_batch_append(world->batch, GROUP, &entry, 1), 0);
    int rc = hf_log_append(world->log, world->batch, logged_done, world);
    world->accepted += rc == 0;
    free(payload);
    return rc;
}

/* The device is full to the last byte while the last file is being made: what an entry may take of that file leaves
 * room for what brings space back. */
static void an_entry_leaves_room_to_make_room_in_the_last_file_that_is_being_made(void **unused)
{
    (void)unused;
    struct logged *world = logged_new(HF_LOG_SYNC_BATCH);
    while (world->log->pool.allocated == false) {
        assert_int_equal(logged_append(world, 40000), 0);
        logged_turns(world, 5);
    }
    sim_disk_set_capacity(world->host, sim_disk_used_bytes(world->host));
    log_pool_forget_free_bytes(&world->log->pool);
    int rc = 0;
    for (size_t size = 1044200; size > 20000 && rc == 0; size -= 20000) {
        rc = logged_append(world, size);
        logged_turns(world, 5);
        rc = rc == HF_ENOSPACE ? 0 : rc;
    }
    assert_int_equal(rc, 0);
    hf_log_batch_clear(world->batch);
    assert_int_equal(hf_log_batch_compact(world->batch, GROUP, world->accepted), 0);
    assert_int_equal(hf_log_append(world->log, world->batch, NULL, NULL), 0);
    logged_turns(world, 3000);
    assert_int_equal(world->acknowledged, world->accepted);
    assert_int_equal(logged_append(world, 400000), 0);
    logged_turns(world, 1000);
    assert_int_equal(world->acknowledged, world->accepted);
    logged_close(world);
}

/* A write that overtook a slower one cannot be synced yet: nobody turns until it can. */
static void the_driver_sleeps_while_nothing_that_is_due_for_a_sync_can_be_synced(void **unused)
{
    (void)unused;
    struct logged *world = logged_new(HF_LOG_SYNC_INTERVAL);
    struct sim_profile slow = sim_profile_calm();
    struct sim_profile calm = slow;
    slow.write_ns = (struct sim_span){1000 * MS, 1000 * MS};
    sim_set_profile(world->sim, &slow);
    assert_int_equal(logged_append(world, 1000), 0);
    hf_log_turn(world->log);
    sim_set_profile(world->sim, &calm);
    assert_int_equal(logged_append(world, 1000), 0);
    logged_turns(world, 500);
    assert_int_equal(world->acknowledged, 0);
    assert_int_equal(world->log->writer.in_flight, 1);
    assert_true(log_deadline_ns(world->log) > io_monotonic_ns(sim_host_io(world->host)));
    logged_turns(world, 2000);
    assert_int_equal(world->acknowledged, 2);
    assert_true(world->log->writer.durable_position == world->log->writer.tail_position);
    logged_close(world);
}

int main(void)
{
    planted_prepare();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_of_full_size_segments_keeps_one_file_more),
        cmocka_unit_test(L51_a_file_that_is_not_as_it_was_given_back_is_not_recycled),
        cmocka_unit_test(a_file_that_is_being_made_is_counted_until_frames_lie_in_it),
        cmocka_unit_test(a_file_to_come_is_written_as_the_tail_fills),
        cmocka_unit_test(what_frames_wait_for_is_never_larger_than_the_room_that_there_is),
        cmocka_unit_test(a_burst_is_promised_no_more_files_than_there_is_room_for),
        cmocka_unit_test(no_file_is_kept_for_later_while_frames_wait_for_its_room),
        cmocka_unit_test(an_entry_leaves_room_to_make_room_in_the_last_file_that_is_being_made),
        cmocka_unit_test(the_driver_sleeps_while_nothing_that_is_due_for_a_sync_can_be_synced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
