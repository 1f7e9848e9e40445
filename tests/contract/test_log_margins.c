/* links: log sim */
/* What the log leaves alone for a while, and how much it does at a time: numbers that no result depends on, so that
 * nothing else would notice when one of them is forgotten. */
#include "unit/log/log_model.h"

#include "log/log_seal.h"
#include "log/log_state.h"
#include "planted.h"
#include "sim/sim.h"

#define DIRECTORY "/log"
#define MS        UINT64_C(1000000)
#define KIB       (UINT64_C(1) << 10)
#define MIB       (UINT64_C(1) << 20)
#define IDLE      UINT64_C(1) /* a group with little, in the first segment */
#define BUSY      UINT64_C(2)

struct world {
    struct sim *sim;
    struct sim_host *host;
    struct hf_log *log;
    struct hf_log_options options;
    struct hf_log_batch *batch;
    uint64_t last; /* of BUSY */
    uint64_t appended;
    uint64_t acknowledged;
    uint64_t step_segment; /* of which an index file is being made; 0: none */
    uint64_t step_stop;    /* how far the last step goes */
    uint64_t step_largest;
    unsigned steps_most; /* on one segment */
    unsigned steps;
    bool chunk_under_way; /* after the turn before */
    size_t chunks_resting;
    unsigned chunks_made;      /* in the background */
    unsigned chunks_otherwise; /* that rest, too: in a turn, as urgently as a write, or filled before */
};

static void world_done(void *arg, int result)
{
    struct world *world = arg;
    assert_int_equal(result, 0);
    world->acknowledged++;
}

static uint64_t world_now_ns(const struct world *world)
{
    return io_monotonic_ns(sim_host_io(world->host));
}

/* What is made in the background was given to a worker below the others by an earlier turn. */
static void world_look_for_chunks(struct world *world)
{
    const struct log_warm *warm = &world->log->warm;
    size_t resting = world->log->cache.resting_count;
    if (resting > world->chunks_resting) {
        bool is_made = world->chunk_under_way && warm->operation.is_background;
        world->chunks_made += is_made;
        world->chunks_otherwise += !is_made;
    }
    world->chunks_resting = resting;
    world->chunk_under_way = warm->busy;
}

/* Notes the step that is under way. */
static void world_look(struct world *world)
{
    const struct log_seal *seal = &world->log->seal;
    world_look_for_chunks(world);
    if (!seal->busy || seal->job.task != LOG_SEAL_BUILD) {
        return;
    }
    if (seal->segment->header.number != world->step_segment) {
        world->step_segment = seal->segment->header.number;
        world->step_stop = LOG_FORMAT_SEGMENT_HEADER_SIZE;
        world->steps = 0;
    }
    if (seal->job.offset_stop > world->step_stop) {
        uint64_t step = seal->job.offset_stop - world->step_stop;
        world->step_largest = step > world->step_largest ? step : world->step_largest;
        world->step_stop = seal->job.offset_stop;
        world->steps++;
        world->steps_most = world->steps > world->steps_most ? world->steps : world->steps_most;
    }
}

static void world_turn(struct world *world)
{
    hf_log_turn(world->log);
    world_look(world);
}

static void world_run(struct world *world, uint64_t ms)
{
    for (uint64_t i = 0; i < ms; i++) {
        sim_run_for(world->sim, MS);
        world_turn(world);
    }
}

static void world_open_with_cache(struct world *world, uint64_t segment_size_bytes, uint64_t tail_cache_bytes)
{
    *world = (struct world){0};
    world->sim = sim_open(1, NULL);
    world->host = sim_host_add(world->sim, NULL, NULL);
    hf_log_options_init(&world->options);
    world->options.segment_size_bytes = segment_size_bytes;
    world->options.tail_cache_bytes = tail_cache_bytes;
    assert_int_equal(hf_log_batch_open(&world->batch), 0);
    assert_int_equal(log_open(sim_host_io(world->host), DIRECTORY, &world->options, &world->log), 0);
}

static void world_open(struct world *world, uint64_t segment_size_bytes)
{
    world_open_with_cache(world, segment_size_bytes, 1);
}

static void world_close(struct world *world)
{
    hf_log_close(world->log);
    hf_log_batch_close(world->batch);
    sim_close(world->sim);
}

static void world_append(struct world *world)
{
    assert_int_equal(hf_log_append(world->log, world->batch, world_done, world), 0);
    hf_log_batch_clear(world->batch);
    world->appended++;
    while (world->acknowledged < world->appended) {
        sim_run_for(world->sim, MS / 4);
        world_turn(world);
    }
}

static void world_put(struct world *world, uint64_t group, uint64_t index, size_t size)
{
    uint8_t *payload = memory_new(size);
    struct hf_entry entry = {.index = index, .term = 1, .type = HF_ENTRY_NORMAL, .payload = bytes_of(payload, size)};
    assert_int_equal(hf_log_batch_append(world->batch, group, &entry, 1), 0);
    world_append(world);
    free(payload);
}

static void world_fill(struct world *world, uint64_t bytes, size_t piece)
{
    for (uint64_t sum = 0; sum < bytes; sum += piece) {
        world_put(world, BUSY, ++world->last, piece);
    }
}

static void world_compact(struct world *world)
{
    assert_int_equal(hf_log_batch_compact(world->batch, BUSY, world->last), 0);
    world_append(world);
}

static struct log_segment *world_first(const struct world *world)
{
    return world->log->segments.items[0];
}

/* ---- index files ---- */

static void a_small_segment_has_its_index_file_two_seconds_after_it_was_left(void **unused)
{
    (void)unused;
    struct world world;
    world_open(&world, 64 * MIB);
    while (world.log->segments.count == 1) {
        world_put(&world, BUSY, ++world.last, 64 * KIB);
    }
    uint64_t left_ns = world_first(&world)->left_ns;
    while (world_now_ns(&world) + 5 * MS < left_ns + LOG_SEAL_DELAY_NS) {
        world_run(&world, 1);
        assert_int_equal(world_first(&world)->index_state, LOG_SEGMENT_INDEX_NONE);
        assert_false(world.log->seal.busy);
    }
    world_run(&world, 200);
    assert_int_not_equal(world_first(&world)->index_state, LOG_SEGMENT_INDEX_NONE);
    world_close(&world);
}

/* Together they are as much as a segment of the full size: more would make an open slow. */
static void small_segments_do_not_wait_when_there_are_many(void **unused)
{
    (void)unused;
    struct world world;
    world_open(&world, 4 * MIB);
    uint64_t begin_ns = world_now_ns(&world);
    world_fill(&world, 12 * MIB, 64 * KIB);
    assert_true(world_now_ns(&world) - begin_ns < LOG_SEAL_DELAY_NS);
    assert_true(world_first(&world)->header.size_bytes < 4 * MIB);
    assert_int_not_equal(world_first(&world)->index_state, LOG_SEGMENT_INDEX_NONE);
    world_close(&world);
}

static void no_step_of_making_an_index_file_goes_through_more_than_eight_mib(void **unused)
{
    (void)unused;
    struct world world;
    world_open(&world, 64 * MIB);
    world_fill(&world, 100 * MIB, MIB);
    world_run(&world, 4000);
    assert_in_range(world.step_largest, 1, LOG_SEAL_STEP_BYTES + 2 * MIB); /* to the end of a frame */
    assert_true(world.steps_most >= 2);
    world_close(&world);
}

/* ---- collection ---- */

/* How much was dead, at most, before something was moved. */
static uint64_t world_dead_before_moving(struct world *world)
{
    struct hf_log_stat stat;
    uint64_t dead = 0;
    hf_log_stat(world->log, &stat);
    uint64_t moved_bytes = stat.moved_bytes;
    for (unsigned i = 0; i < 2000; i++) {
        hf_log_stat(world->log, &stat);
        if (stat.moved_bytes > moved_bytes) {
            return dead;
        }
        dead = stat.dead_bytes;
        world_fill(world, 128 * KIB, 64 * KIB);
        world_compact(world);
        world_run(world, 60);
    }
    fail_msg("%llu bytes are dead and nothing is moved", (unsigned long long)dead);
    return 0;
}

static void entries_are_moved_when_more_is_dead_than_a_segment_of_the_full_size(void **unused)
{
    (void)unused;
    struct world world;
    world_open(&world, 8 * MIB);
    world_put(&world, IDLE, 1, 100);
    uint64_t dead = world_dead_before_moving(&world);
    assert_in_range(dead, 7 * MIB, 11 * MIB);
    world_close(&world);
}

/* What it was lately: its files are there, and as large as that made them. */
static void entries_are_moved_later_when_the_log_was_large_lately(void **unused)
{
    (void)unused;
    struct world world;
    world_open(&world, 8 * MIB);
    world_put(&world, IDLE, 1, 100);
    world_fill(&world, 48 * MIB, 512 * KIB);
    world_compact(&world);
    world_run(&world, 2000);
    assert_int_equal(world.log->segments.count, 1);
    uint64_t dead = world_dead_before_moving(&world);
    assert_in_range(dead, 13 * MIB, 20 * MIB);
    world_close(&world);
}

/* To move a hard state costs nothing to read: it pins no more than two small files. */
static void a_state_alone_is_moved_soon(void **unused)
{
    (void)unused;
    struct world world;
    world_open(&world, 8 * MIB);
    assert_int_equal(hf_log_batch_hard_state(world.batch, IDLE, (struct hf_hard_state){.term = 3}), 0);
    world_append(&world);
    uint64_t dead = world_dead_before_moving(&world);
    assert_in_range(dead, MIB, 4 * MIB);
    world_close(&world);
}

/* ---- the tail cache ---- */

/* To clear a chunk takes a processor for milliseconds: no turn has them, and no appender should wait for that
 * processor. */
static void the_next_chunk_of_the_cache_is_made_in_the_background_and_in_no_turn(void **unused)
{
    (void)unused;
    struct world world;
    world_open_with_cache(&world, 64 * MIB, 64 * MIB);
    size_t chunk_size = world.log->cache.chunk_size;
    world_fill(&world, chunk_size / 8, 64 * KIB);
    world_run(&world, 100);
    assert_int_equal(world.chunks_made, 0); /* who writes little gets little */
    for (unsigned chunks = 1; chunks <= 3; chunks++) {
        struct log_chunk *filled = list_entry(world.log->cache.chunks.previous, struct log_chunk, link);
        world_fill(&world, chunk_size / 2, 64 * KIB);
        world_run(&world, 100);
        assert_int_equal(world.chunks_made, chunks);
        assert_int_equal(world.chunks_otherwise, 0);
        while (list_entry(world.log->cache.chunks.previous, struct log_chunk, link) == filled) {
            world_put(&world, BUSY, ++world.last, 64 * KIB);
        }
    }
    world_close(&world);
}

int main(void)
{
    planted_prepare();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_segment_has_its_index_file_two_seconds_after_it_was_left),
        cmocka_unit_test(small_segments_do_not_wait_when_there_are_many),
        cmocka_unit_test(no_step_of_making_an_index_file_goes_through_more_than_eight_mib),
        cmocka_unit_test(entries_are_moved_when_more_is_dead_than_a_segment_of_the_full_size),
        cmocka_unit_test(entries_are_moved_later_when_the_log_was_large_lately),
        cmocka_unit_test(a_state_alone_is_moved_soon),
        cmocka_unit_test(the_next_chunk_of_the_cache_is_made_in_the_background_and_in_no_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
