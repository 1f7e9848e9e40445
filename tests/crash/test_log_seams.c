/* links: log sim */
/* Where collection, recycling, index files and the driver's sleep meet. Each case is one that only two parts together
 * can get wrong. */
#include "crash/log_world.h"

#include "base/trace.h"
#include "log/log_state.h"
#include "planted.h"

/* Segments of 64 KiB from the beginning, which is their full size. */
static struct world *world_of_small_segments(uint64_t seed)
{
    struct world *world = world_new(seed);
    world->options.segment_size_bytes = 64 << 10;
    world->options.write_size_max_bytes = 64 << 10;
    world_reopen(world, "open");
    return world;
}

static void world_append(struct world *world)
{
    world_submit(world);
    world_drain(world);
    assert_int_equal(world->failed, 0);
}

static void world_put(struct world *world, size_t group, uint64_t index, uint32_t payload_size)
{
    struct model_entry entry = {.term = 1, .payload_seed = index * 7 + group, .payload_size = payload_size};
    model_append(&world->model.groups[group], world->batch, model_group_id(group), index, entry);
}

static void world_compact(struct world *world, size_t group, uint64_t index)
{
    model_compact(&world->model.groups[group], world->batch, model_group_id(group), index);
    world_append(world);
}

/* A small log keeps one spare; a file that waits to be recycled is no reason to turn. */
static void a_log_that_gave_up_segments_lets_its_driver_sleep(void **unused)
{
    (void)unused;
    struct world *world = world_new(1);
    struct hf_log_stat stat;
    world_reopen(world, "open");
    for (uint64_t i = 1; i <= 400; i++) {
        world_put(world, 0, i, 100u << 10);
        world_append(world);
        if (i > 10) {
            world_compact(world, 0, i - 10);
            world_turns(world, 500);
            assert_true(log_deadline_ns(world->log) > io_monotonic_ns(sim_host_io(world->host)));
        }
    }
    hf_log_stat(world->log, &stat);
    assert_true(stat.released_segments > 0);
    assert_true(stat.recycled_segments > 0);
    world_close(world);
}

/* What is durable stays undeclared while there is no block for a trailer: that is tried again, now and then. */
static void a_log_without_a_block_for_a_trailer_lets_its_driver_sleep(void **unused)
{
    (void)unused;
    struct world *world = world_new(6);
    world->options.segment_size_bytes = 64 << 10;
    world->options.write_size_max_bytes = 64 << 10;
    world->options.reserve_bytes = 8 << 10;
    world_reopen(world, "open");
    sim_disk_set_capacity(world->host, 1);
    int rc = 0;
    for (uint64_t term = 1; rc == 0; term++) {
        hf_log_batch_clear(world->batch);
        assert_int_equal(hf_log_batch_hard_state(world->batch, 1, (struct hf_hard_state){term, 1, 0}), 0);
        rc = hf_log_append(world->log, world->batch, NULL, NULL);
        world_turns(world, 2);
    }
    assert_int_equal(rc, HF_ENOSPACE);
    unsigned awake = 0;
    for (unsigned turn = 0; turn < 100; turn++) {
        world_turns(world, 2);
        awake += log_deadline_ns(world->log) <= io_monotonic_ns(sim_host_io(world->host));
    }
    assert_in_range(awake, 0, 30);
    world_close(world);
}

/* What is not needed any more may vanish: the log makes another file. */
static void a_file_that_waits_to_be_recycled_may_be_gone(void **unused)
{
    (void)unused;
    struct world *world = world_new(3);
    struct hf_log_group_state state;
    struct hf_log_stat stat;
    world_reopen(world, "open");
    for (uint64_t i = 1; i <= 200; i++) {
        world_put(world, 0, i, 100u << 10);
        world_append(world);
        if (i > 10) {
            world_compact(world, 0, i - 10);
            world_turns(world, 200);
        }
        hf_log_group_state(world->log, model_group_id(0), &state);
        for (uint64_t number = 1; number < state.segment_oldest; number++) {
            char path[64];
            snprintf(path, sizeof(path), DIRECTORY "/%016llx.log", (unsigned long long)number);
            (void)path_unlink(sim_host_io(world->host), path);
        }
    }
    hf_log_stat(world->log, &stat);
    assert_int_equal(stat.failure, 0);
    assert_true(stat.released_segments > 0);
    world_check(world, "without them");
    world_close(world);
}

/* The sums of a cold block are estimated while its index file cannot be read; collection moves entries of known sizes
 * out of it. */
static void entries_leave_a_block_whose_sums_are_estimated(void **unused)
{
    (void)unused;
    struct world *world = world_new(2);
    struct hf_log_stat stat;
    world->options.segment_size_bytes = 64 << 10;
    world->options.write_size_max_bytes = 64 << 10;
    world_reopen(world, "open");
    for (uint64_t i = 1; i <= 30; i++) { /* neighbours of very different sizes */
        world_put(world, 0, i, i % 2 == 1 ? 6000 : 10);
        world_append(world);
    }
    for (uint64_t i = 1; i <= 40; i++) {
        world_put(world, 1, i, 6000);
        world_append(world);
    }
    world_turns(world, 100);
    hf_log_close(world->log);
    world_reopen(world, "open"); /* cold */
    char path[64];
    for (unsigned number = 1; number < 5; number++) {
        snprintf(path, sizeof(path), DIRECTORY "/%016x.idx", number);
        (void)path_unlink(sim_host_io(world->host), path);
    }
    world_compact(world, 0, 3);
    world_compact(world, 1, 30);
    for (uint64_t i = 41; i <= 100; i++) {
        world_put(world, 1, i, 6000);
        world_append(world);
        world_compact(world, 1, i - 1);
        world_turns(world, 60);
    }
    hf_log_stat(world->log, &stat);
    assert_true(stat.moved_entries > 0);
    world_check(world, "moved");
    world_compact(world, 0, 30);
    world_check(world, "compacted");
    world_close(world);
}

/* ---- one bad block at the end of a quiet log ---- */

/* A log whose front was given up when nothing was written any more; the power went. How many blocks the tail has. */
static uint64_t make_quiet_log(struct world *world, bool reopened, char *path, size_t path_size)
{
    struct hf_log_stat stat;
    world->options.segment_size_bytes = 64 << 10;
    world->options.write_size_max_bytes = 64 << 10;
    world_reopen(world, "open");
    for (uint64_t i = 1; i <= 40; i++) {
        world_put(world, 0, i, 10000);
        world_append(world);
    }
    world_put(world, 1, 1, 100);
    world_append(world);
    world_compact(world, 0, 40);
    world_turns(world, 400);
    hf_log_stat(world->log, &stat);
    assert_true(stat.released_segments > 0);
    if (reopened) {
        hf_log_close(world->log);
        world_reopen(world, "open");
    }
    const struct log_segment *tail = world->log->writer.tail;
    uint64_t blocks = world->log->writer.tail_offset / LOG_FORMAT_BLOCK_SIZE;
    snprintf(path, path_size, DIRECTORY "/%016llx.log", (unsigned long long)tail->header.number);
    sim_host_power_off(world->host);
    hf_log_close(world->log);
    sim_disk_choose_outcome(world->host, 0);
    sim_host_start(world->host);
    return blocks;
}

/* No bad block makes files that were given up missing. */
static void L57_one_bad_block_never_makes_the_front_missing(void **unused)
{
    (void)unused;
    char path[64];
    for (unsigned reopened = 0; reopened < 2; reopened++) {
        uint64_t blocks = 2;
        for (uint64_t block = 0; block < blocks; block++) {
            struct world *world = world_new(4);
            blocks = make_quiet_log(world, reopened == 1, path, sizeof(path));
            assert_int_equal(sim_disk_flip_bit(world->host, path, block * LOG_FORMAT_BLOCK_SIZE + 20, 1), 0);
            int rc = log_open(sim_host_io(world->host), DIRECTORY, &world->options, &world->log);
            if (rc != 0) {
                fail_msg("block %llu of %s: %s", (unsigned long long)block, path, hf_error_text());
            }
            world_close(world);
        }
    }
}

/* ---- a frame that lands before the one that it builds upon ---- */

static void world_start(struct world *world)
{
    assert_int_equal(hf_log_append(world->log, world->batch, NULL, NULL), 0);
    hf_log_batch_clear(world->batch);
    hf_log_turn(world->log);
}

/* Two frames in flight: the first one makes all segments but the tail dead, the second one begins the next segment.
 * True when both were in flight at the end. */
static bool lose_the_first_of_two(uint64_t seed)
{
    struct rng rng;
    rng_seed(&rng, seed);
    struct world *world = world_new(seed);
    struct sim_profile profile = sim_profile_calm();
    profile.write_ns = (struct sim_span){MS / 100, 3 * MS};
    world->options.segment_size_bytes = 64 << 10;
    world->options.write_size_max_bytes = 64 << 10;
    world_reopen(world, "open");
    for (uint64_t i = 1; i <= 12; i++) {
        world_put(world, 0, i, 10000);
        world_append(world);
    }
    world_turns(world, 100);
    struct model *models = memory_new(3 * sizeof(*models));
    models[0] = world->model;
    sim_set_profile(world->sim, &profile);
    model_compact(&world->model.groups[0], world->batch, model_group_id(0), 12);
    model_hard_state(&world->model.groups[0], world->batch, model_group_id(0), (struct hf_hard_state){.term = 1});
    world_put(world, 1, 1, (uint32_t)(1000 + rng_below(&rng, 25000)));
    models[1] = world->model;
    world_start(world);
    world_put(world, 1, 2, (uint32_t)(34000 + rng_below(&rng, 20000)));
    models[2] = world->model;
    world_start(world);
    bool both = world->log->writer.in_flight == 2;
    for (uint64_t steps = rng_below(&rng, 4); steps > 0; steps--) {
        sim_step(world->sim);
    }
    sim_host_power_off(world->host);
    hf_log_close(world->log);
    sim_host_start(world->host);
    world_reopen(world, "open");
    struct model_difference difference;
    bool found = false;
    for (size_t i = 0; i < 3; i++) {
        found |= model_is(world->log, &models[i], &difference);
    }
    free(models);
    if (!found) {
        fail_msg("seed %llu: %s", (unsigned long long)seed, difference.text);
    }
    world_close(world);
    return both;
}

/* What makes a segment dead has to be durable before a trailer says that nobody needs it: the trailer may land, and
 * what it relies on may not. */
static void L57_a_trailer_never_lands_before_what_it_relies_on(void **unused)
{
    (void)unused;
    unsigned both = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        both += lose_the_first_of_two(seed);
    }
    assert_true(both > 20);
}

/* ---- an open that failed, and one that did not notice ---- */

/* An entry whose frame nobody declared durable: the next open copies it. */
static struct world *world_with_tail(uint64_t seed)
{
    struct world *world = world_new(seed);
    world_reopen(world, "open");
    for (uint64_t i = 1; i <= 5; i++) {
        world_put(world, 0, i, 300);
        world_append(world);
    }
    sim_host_kill(world->host);
    hf_log_close(world->log);
    world->log = NULL;
    sim_host_start(world->host);
    return world;
}

/* Some call of an open fails; then comes an open that works, an entry, and the power goes, with all that was not made
 * durable. Returns false when no such call was left to fail. */
static bool an_open_fails_before_one_that_works(enum sim_disk_kind kind, uint64_t skip, uint64_t outcome_seed)
{
    struct world *world = world_with_tail(50 + outcome_seed);
    const struct sim_disk_failure failure = {kind, skip, 1, HF_EIO, NULL};
    sim_disk_fail(world->host, &failure);
    int rc = log_open(sim_host_io(world->host), DIRECTORY, &world->options, &world->log);
    sim_disk_fail_clear(world->host);
    if (rc == 0) {
        world_close(world);
        return false;
    }
    sim_host_kill(world->host);
    sim_host_start(world->host);
    world->log = NULL;
    world_reopen(world, "open");
    world_check(world, "after an open that failed");
    for (uint64_t i = 6; i <= 8; i++) {
        world_put(world, 0, i, 300);
        world_append(world);
    }
    sim_host_power_off(world->host);
    hf_log_close(world->log);
    if (outcome_seed == 0) {
        sim_disk_choose_outcome(world->host, 0);
    }
    sim_host_start(world->host);
    world->log = NULL;
    world_reopen(world, "open");
    world_check(world, "after the power went");
    world_close(world);
    return true;
}

static void H4_a_name_that_a_failed_open_left_is_not_built_upon(void **unused)
{
    (void)unused;
    static const enum sim_disk_kind kinds[] = {SIM_DISK_WRITE,    SIM_DISK_SYNC,           SIM_DISK_CREATE,
                                               SIM_DISK_RENAME,   SIM_DISK_DIRECTORY_SYNC, SIM_DISK_PREALLOCATE,
                                               SIM_DISK_TRUNCATE, SIM_DISK_UNLINK};
    unsigned tried = 0;
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        for (uint64_t skip = 0; skip < 20; skip++) {
            for (uint64_t outcome = 0; outcome < 4; outcome++) {
                tried += an_open_fails_before_one_that_works(kinds[k], skip, outcome);
            }
        }
    }
    assert_true(tried > 20);
}

/* ---- groups that come while those that are there are looked through ---- */

static uint64_t quiet_base; /* where a group lies in the table follows from its id */

/* Groups with a vote and nothing else. */
static void quiet_groups(struct world *world, uint64_t first, uint64_t count)
{
    for (uint64_t i = first; i < first + count; i++) {
        struct hf_hard_state vote = {.term = 3, .vote = i + 1};
        assert_int_equal(hf_log_batch_hard_state(world->batch, quiet_base + i, vote), 0);
    }
    world_append(world);
}

/* New ones until the table of groups has moved; returns how many there are then. */
static uint64_t quiet_groups_until_moved(struct world *world, uint64_t count)
{
    size_t capacity = world->log->groups.by_id.capacity;
    while (world->log->groups.by_id.capacity == capacity) {
        struct hf_hard_state vote = {.term = 3, .vote = count + 1};
        assert_int_equal(hf_log_batch_hard_state(world->batch, quiet_base + count, vote), 0);
        assert_int_equal(hf_log_append(world->log, world->batch, NULL, NULL), 0);
        hf_log_batch_clear(world->batch);
        count++;
    }
    return count;
}

/* A busy group, of which little stays. Not waited for. */
static void busy_append(struct world *world, uint64_t index)
{
    static uint8_t payload[100 << 10];
    struct hf_entry entry = {
        .index = index, .term = 1, .type = HF_ENTRY_NORMAL, .payload = bytes_of(payload, sizeof(payload))};
    assert_int_equal(hf_log_batch_append(world->batch, 1, &entry, 1), 0);
    if (index > 2) {
        assert_int_equal(hf_log_batch_compact(world->batch, 1, index - 2), 0);
    }
    assert_int_equal(hf_log_append(world->log, world->batch, world_done, world), 0);
    hf_log_batch_clear(world->batch);
    world->appended++;
}

/* A pass over the votes of 12,200 idle groups takes a few turns. Between two of them new groups make the table move. */
static void L57_no_group_is_passed_over_while_others_come(void **unused)
{
    (void)unused;
    /* With ids from there on, one that is displaced in the first table is not in the second, and falls behind. */
    static const uint64_t bases[] = {27, 62, 71, 95, 112};
    unsigned moved_under = 0;
    for (size_t i = 0; i < sizeof(bases) / sizeof(bases[0]); i++) {
        struct world *world = world_new(30 + i);
        struct hf_log_stat stat;
        uint64_t groups = 12200;
        quiet_base = bases[i] * 1000000;
        world->options.segment_size_bytes = 4 << 20;
        world_reopen(world, "open");
        for (uint64_t first = 0; first < groups; first += 200) {
            quiet_groups(world, first, 200);
        }
        const struct log_collect *collect = &world->log->collect;
        bool has_moved = false;
        uint64_t last = 0;
        for (uint64_t turn = 0; turn < 4000 && collect->collected_count == 0; turn++) {
            if (world->acknowledged == world->appended) {
                busy_append(world, ++last);
            }
            sim_run_for(world->sim, MS);
            hf_log_turn(world->log);
            if (collect->state == LOG_COLLECT_STATES && collect->position > 0 && !has_moved) {
                groups = quiet_groups_until_moved(world, groups);
                has_moved = true;
            }
        }
        hf_log_stat(world->log, &stat);
        while (world->acknowledged < world->appended) {
            world_turns(world, 2);
        }
        moved_under += has_moved;
        assert_int_equal(stat.collected_segments, 1);
        hf_log_close(world->log);
        world_reopen(world, "open");
        for (uint64_t group = 0; group < groups; group++) {
            struct hf_log_group_state state;
            assert_int_equal(hf_log_group_state(world->log, quiet_base + group, &state), 0);
            assert_int_equal(state.hard_state.vote, group + 1);
        }
        world_close(world);
    }
    assert_int_equal(moved_under, sizeof(bases) / sizeof(bases[0]));
}

/* ---- an index file as a witness ---- */

/* Its segment was durable to its end, though no frame that says so landed behind it: a bad frame in it is not torn. */
static void H19_an_index_file_tells_damage_from_a_torn_end(void **unused)
{
    (void)unused;
    char path[64];
    struct world *world = world_of_small_segments(5);
    for (uint64_t i = 1; i <= 20; i++) {
        world_put(world, 0, i, 10000);
        world_append(world);
    }
    world_turns(world, 100);
    const struct log_segment_table *table = &world->log->segments;
    const struct log_segment *sealed = table->items[table->count - 2];
    uint64_t number = sealed->header.number;
    uint64_t last_block = sealed->used_bytes - LOG_FORMAT_BLOCK_SIZE;
    assert_int_not_equal(sealed->index_state, LOG_SEGMENT_INDEX_NONE);
    sim_host_power_off(world->host);
    hf_log_close(world->log);
    sim_disk_choose_outcome(world->host, 0);
    sim_host_start(world->host);
    for (uint64_t later = number + 1; later < number + 6; later++) {
        snprintf(path, sizeof(path), DIRECTORY "/%016llx.log", (unsigned long long)later);
        (void)path_unlink(sim_host_io(world->host), path);
    }
    snprintf(path, sizeof(path), DIRECTORY "/%016llx.log", (unsigned long long)number);
    assert_int_equal(sim_disk_flip_bit(world->host, path, last_block + 20, 1), 0);
    assert_int_equal(log_open(sim_host_io(world->host), DIRECTORY, &world->options, &world->log), HF_ECORRUPT);
    world_close(world);
}

/* The index file of a full-size segment is begun while it is being filled, and is right. */
static void an_index_file_is_begun_while_its_segment_is_being_filled(void **unused)
{
    (void)unused;
    struct world *world = world_of_small_segments(6);
    unsigned early = 0;
    for (uint64_t i = 1; i <= 60; i++) {
        world_put(world, i % 3, 1 + (i - 1) / 3, 5000);
        world_append(world);
        world_turns(world, 20);
        const struct log_index_build *build = world->log->seal.early_build;
        const struct log_segment *tail = world->log->writer.tail;
        if (build != NULL && build->summary.number == tail->header.number) {
            early++;
            assert_true(build->summary.offset_end > LOG_FORMAT_SEGMENT_HEADER_SIZE);
            assert_true(build->summary.offset_end <= world->log->writer.tail_offset);
        }
    }
    assert_true(early > 10);
    world_turns(world, 100);
    const struct log_segment_table *table = &world->log->segments;
    assert_true(table->count > 4);
    for (size_t i = 0; i + 1 < table->count; i++) {
        assert_int_not_equal(table->items[i]->index_state, LOG_SEGMENT_INDEX_NONE);
    }
    world_check(world, "early");
    hf_log_close(world->log);
    world_reopen(world, "open");
    world_check(world, "opened by index files");
    world_close(world);
}

/* What is compacted soon after it was written is given up before an index file would be of use. */
static void no_index_file_is_made_of_segments_that_are_being_emptied(void **unused)
{
    (void)unused;
    struct world *world = world_of_small_segments(7);
    unsigned young = 0;
    for (uint64_t i = 1; i <= 80; i++) {
        for (uint64_t entry = 0; entry < 5; entry++) {
            world_put(world, 0, 5 * i + entry, 500);
        }
        world_append(world);
        world_compact(world, 0, 5 * i);
        world_turns(world, 20);
        const struct log_segment_table *table = &world->log->segments;
        for (size_t at = 0; i > 20 && at + 1 < table->count; at++) {
            const struct log_segment *segment = table->items[at];
            if (io_monotonic_ns(sim_host_io(world->host)) < segment->left_ns + LOG_SEAL_DELAY_NS) {
                assert_int_equal(segment->index_state, LOG_SEGMENT_INDEX_NONE);
                young++;
            }
        }
    }
    assert_true(young > 10);
    world_check(world, "emptied");
    world_close(world);
}

/* A third is gone of what was written, or less: the rest is worth an index file, and gets it at once. */
static void an_index_file_is_made_of_a_segment_that_stays(void **unused)
{
    (void)unused;
    struct world *world = world_of_small_segments(8);
    for (uint64_t i = 1; i <= 40; i++) {
        world_put(world, 0, i, 5000);
        world_append(world);
        world_turns(world, 20);
    }
    const struct log_segment_table *table = &world->log->segments;
    const struct log_segment *segment = table->items[table->count - 2];
    world_turns(world, 20);
    assert_true(io_monotonic_ns(sim_host_io(world->host)) < segment->left_ns + LOG_SEAL_DELAY_NS);
    assert_int_not_equal(segment->index_state, LOG_SEGMENT_INDEX_NONE);
    world_close(world);
}

static void say_nothing(void *arg, enum trace_level level, const char *line)
{
    (void)arg, (void)level, (void)line;
}

int main(void)
{
    planted_prepare();
    trace_set_sink(say_nothing, NULL);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_log_that_gave_up_segments_lets_its_driver_sleep),
        cmocka_unit_test(a_log_without_a_block_for_a_trailer_lets_its_driver_sleep),
        cmocka_unit_test(a_file_that_waits_to_be_recycled_may_be_gone),
        cmocka_unit_test(entries_leave_a_block_whose_sums_are_estimated),
        cmocka_unit_test(L57_a_trailer_never_lands_before_what_it_relies_on),
        cmocka_unit_test(H4_a_name_that_a_failed_open_left_is_not_built_upon),
        cmocka_unit_test(L57_no_group_is_passed_over_while_others_come),
        cmocka_unit_test(an_index_file_is_begun_while_its_segment_is_being_filled),
        cmocka_unit_test(no_index_file_is_made_of_segments_that_are_being_emptied),
        cmocka_unit_test(an_index_file_is_made_of_a_segment_that_stays),
        cmocka_unit_test(H19_an_index_file_tells_damage_from_a_torn_end),
        cmocka_unit_test(L57_one_bad_block_never_makes_the_front_missing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
