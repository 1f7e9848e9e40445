#include "unit/log/log_fixture.h"

/* Each test runs with both drivers and both backends of io/. */
static const struct hf_log_options variants[] = {
    {.driver = HF_LOG_DRIVE_THREAD, .io = HF_LOG_IO_AUTO},
    {.driver = HF_LOG_DRIVE_CALLER, .io = HF_LOG_IO_URING},
    {.driver = HF_LOG_DRIVE_THREAD, .io = HF_LOG_IO_THREADS},
    {.driver = HF_LOG_DRIVE_CALLER, .io = HF_LOG_IO_AUTO},
};

/* What writes for a log that is opened so; NULL: it cannot be. */
static const char *io_of(const struct hf_log_options *options)
{
    struct fixture fixture;
    struct hf_log_stat stat = {0};
    fixture_set_up(&fixture);
    fixture.options.driver = options->driver;
    fixture.options.io = options->io;
    int rc = hf_log_open(fixture.directory, &fixture.options, &fixture.log);
    if (rc == 0) {
        hf_log_stat(fixture.log, &stat);
    }
    assert_true(rc == 0 || rc == HF_EUNSUPPORTED);
    fixture_tear_down(&fixture);
    return stat.io_name;
}

static void each_variant(void (*run)(struct fixture *fixture))
{
    for (size_t i = 0; i < sizeof(variants) / sizeof(variants[0]); i++) {
        struct fixture fixture;
        if (io_of(&variants[i]) == NULL) {
            continue; /* a sandbox that refuses io_uring */
        }
        fixture_set_up(&fixture);
        fixture.options.driver = variants[i].driver;
        fixture.options.io = variants[i].io;
        fixture_open(&fixture);
        run(&fixture);
        fixture_tear_down(&fixture);
    }
}

/* Whoever drives the turns himself would pay with his own time for what the ring does in a submission. */
static void who_writes_depends_on_who_drives_unless_it_is_chosen(void **unused)
{
    (void)unused;
    const char *ring = io_of(&(struct hf_log_options){.io = HF_LOG_IO_URING});
    const char *own = io_of(&(struct hf_log_options){.driver = HF_LOG_DRIVE_THREAD});
    assert_string_equal(own, ring != NULL ? ring : "pwritev2");
    assert_string_equal(io_of(&(struct hf_log_options){.driver = HF_LOG_DRIVE_CALLER}), "pwritev2");
    if (ring != NULL) {
        assert_string_equal(io_of(&variants[1]), "io_uring");
    }
}

static void run_round_trip(struct fixture *fixture)
{
    assert_int_equal(fixture_append(fixture, 7, 1, 1, "one"), 0);
    assert_int_equal(fixture_append(fixture, 7, 2, 1, ""), 0);
    assert_int_equal(fixture_append(fixture, 7, 3, 4, "three"), 0);
    fixture_expect(fixture, 7, 1, 1, "one");
    fixture_expect(fixture, 7, 2, 1, "");
    fixture_expect(fixture, 7, 3, 4, "three");
    fixture_reopen(fixture);
    fixture_expect(fixture, 7, 1, 1, "one");
    fixture_expect(fixture, 7, 2, 1, "");
    fixture_expect(fixture, 7, 3, 4, "three");
    struct hf_log_group_state state = fixture_state(fixture, 7);
    assert_int_equal(state.first_index, 1);
    assert_int_equal(state.last_index, 3);
    assert_int_equal(state.durable_index, 3);
    assert_true(state.exists);
    assert_false(state.damaged);
}

static void L7_entries_are_read_back_before_and_after_a_restart(void **unused)
{
    (void)unused;
    each_variant(run_round_trip);
}

/* ---- what may be appended ---- */

static void run_start_anywhere(struct fixture *fixture)
{
    assert_int_equal(fixture_append(fixture, 1, 1000, 3, "a"), 0);
    assert_int_equal(fixture_append(fixture, 2, UINT64_MAX, 3, "last"), 0);
    assert_int_equal(fixture_append(fixture, 2, UINT64_MAX, 3, "beyond"), HF_ECONFLICT);
    assert_int_equal(fixture_append(fixture, 2, 1, 3, "beyond"), HF_ECOMPACTED);
    for (int restarts = 0; restarts < 2; restarts++) {
        assert_int_equal(fixture_state(fixture, 1).first_index, 1000);
        struct hf_log_group_state state = fixture_state(fixture, 2);
        assert_true(state.first_index == UINT64_MAX && state.last_index == UINT64_MAX);
        assert_true(state.durable_index == UINT64_MAX);
        struct hf_log_view view;
        assert_int_equal(hf_log_read(fixture->log, 2, UINT64_MAX, 0, 0, 0, &view), 0);
        assert_int_equal(view.count, 1);
        hf_log_view_close(&view);
        fixture_reopen(fixture);
    }
}

static void L1_L13_an_empty_log_starts_at_any_index_up_to_the_last_possible_one(void **unused)
{
    (void)unused;
    each_variant(run_start_anywhere);
}

static void run_refusals(struct fixture *fixture)
{
    assert_int_equal(fixture_append(fixture, 1, 1, 5, "a"), 0);
    assert_int_equal(fixture_append(fixture, 1, 2, 5, "b"), 0);
    assert_int_equal(fixture_append(fixture, 1, 4, 5, "gap"), HF_ECONFLICT);
    assert_int_equal(fixture_append(fixture, 1, 2, 5, "the same again"), HF_ECONFLICT);
    assert_int_equal(fixture_append(fixture, 1, 3, 4, "older term"), HF_ECONFLICT);
    assert_non_null(strstr(hf_error_text(), "term 4"));
    struct hf_entry entries[2] = {fixture_entry(3, 5, "good"), fixture_entry(5, 5, "gap")};
    hf_log_batch_clear(fixture->batch);
    assert_int_equal(hf_log_batch_append(fixture->batch, 1, entries, 2), 0);
    assert_int_equal(hf_log_append_wait(fixture->log, fixture->batch), HF_ECONFLICT);
    assert_int_equal(fixture_state(fixture, 1).last_index, 2);
    fixture_expect(fixture, 1, 2, 5, "b");
    assert_int_equal(fixture_append(fixture, 1, 3, 5, "c"), 0);
}

static void L2_L4_L11_gaps_repetitions_and_decreasing_terms_change_nothing(void **unused)
{
    (void)unused;
    each_variant(run_refusals);
}

/* A batch of nothing but consecutive entries takes a shorter way; mixed with anything else it takes the long one. Both
 * accept and refuse the same. */
static void run_both_ways(struct fixture *fixture)
{
    static const struct {
        uint64_t index[3], term[3];
        int result;
    } rows[] = {
        {{4, 5, 6}, {5, 5, 6}, 0},
        {{4, 5, 6}, {4, 5, 6}, HF_ECONFLICT},
        {{5, 6, 7}, {5, 5, 5}, HF_ECONFLICT},
        {{3, 4, 5}, {5, 5, 5}, HF_ECOMPACTED},
        {{4, 5, 7}, {5, 5, 5}, HF_ECONFLICT},
        {{4, 5, 6}, {6, 5, 5}, HF_ECONFLICT},
        {{1, 2, 3}, {5, 5, 5}, HF_ECOMPACTED},
        {{4, 5, 6}, {5, 6, 7}, 0},
    };
    for (size_t row = 0; row < sizeof(rows) / sizeof(rows[0]); row++) {
        for (uint64_t mixed = 0; mixed < 2; mixed++) {
            uint64_t group = 1 + 2 * row + mixed;
            struct hf_entry entries[3];
            hf_log_batch_clear(fixture->batch);
            assert_int_equal(hf_log_batch_reset(fixture->batch, group, 3, 5, bytes_of_text("s")), 0);
            assert_int_equal(hf_log_append_wait(fixture->log, fixture->batch), 0);
            hf_log_batch_clear(fixture->batch);
            for (size_t i = 0; i < 3; i++) {
                entries[i] = fixture_entry(rows[row].index[i], rows[row].term[i], i == 1 ? "" : "payload");
            }
            if (mixed == 1) {
                struct hf_hard_state state = {7, 1, 0};
                assert_int_equal(hf_log_batch_hard_state(fixture->batch, 1000, state), 0);
            }
            assert_int_equal(hf_log_batch_append(fixture->batch, group, entries, 3), 0);
            assert_int_equal(hf_log_append_wait(fixture->log, fixture->batch), rows[row].result);
            struct hf_log_group_state state = fixture_state(fixture, group);
            assert_int_equal(state.last_index, rows[row].result == 0 ? 6 : 3);
            assert_int_equal(state.durable_index, rows[row].result == 0 ? 6 : 3);
            assert_int_equal(state.bytes, rows[row].result == 0 ? 14 : 0);
            for (size_t i = 0; i < 3 && rows[row].result == 0; i++) {
                fixture_expect(fixture, group, 4 + i, rows[row].term[i], i == 1 ? "" : "payload");
            }
        }
    }
}

static void plain_and_mixed_batches_are_accepted_and_refused_alike(void **unused)
{
    (void)unused;
    each_variant(run_both_ways);
}

static void run_conflict(struct fixture *fixture)
{
    for (uint64_t index = 1; index <= 5; index++) {
        assert_int_equal(fixture_append(fixture, 1, index, 1, "old"), 0);
    }
    struct hf_entry entry = fixture_entry(3, 2, "new");
    hf_log_batch_clear(fixture->batch);
    assert_int_equal(hf_log_batch_truncate(fixture->batch, 1, 3), 0);
    assert_int_equal(hf_log_batch_append(fixture->batch, 1, &entry, 1), 0);
    assert_int_equal(hf_log_append_wait(fixture->log, fixture->batch), 0);
    for (int restarts = 0; restarts < 2; restarts++) {
        struct hf_log_group_state state = fixture_state(fixture, 1);
        struct hf_log_view view;
        assert_int_equal(state.last_index, 3);
        assert_int_equal(state.bytes, 9);
        fixture_expect(fixture, 1, 2, 1, "old");
        fixture_expect(fixture, 1, 3, 2, "new");
        assert_int_equal(hf_log_read(fixture->log, 1, 4, 5, 0, 0, &view), HF_EUNAVAILABLE);
        fixture_reopen(fixture);
    }
}

static void L3_L36_a_conflicting_suffix_is_replaced_and_does_not_return(void **unused)
{
    (void)unused;
    each_variant(run_conflict);
}

static void count_done(void *arg, int result)
{
    assert_int_equal(result, 0);
    ++*(unsigned *)arg;
}

static void run_barrier(struct fixture *fixture)
{
    assert_int_equal(fixture_append(fixture, 1, 1, 1, "a"), 0);
    struct hf_log_stat before;
    struct hf_log_stat after;
    hf_log_stat(fixture->log, &before);
    hf_log_batch_clear(fixture->batch);
    assert_int_equal(hf_log_append_wait(fixture->log, fixture->batch), 0);
    assert_int_equal(hf_log_batch_truncate(fixture->batch, 1, 2), 0); /* beyond the last: nothing to do */
    assert_int_equal(hf_log_append_wait(fixture->log, fixture->batch), 0);
    hf_log_stat(fixture->log, &after);
    assert_true(after.writes <= before.writes + 1); /* the idle trailer at most */
    assert_int_equal(fixture_state(fixture, 1).last_index, 1);
}

static void L6_an_empty_batch_is_a_barrier_and_writes_nothing(void **unused)
{
    (void)unused;
    each_variant(run_barrier);
}

static void run_floors(struct fixture *fixture)
{
    for (uint64_t index = 1; index <= 10; index++) {
        assert_int_equal(fixture_append(fixture, 1, index, index, "x"), 0);
    }
    hf_log_batch_clear(fixture->batch);
    assert_int_equal(hf_log_batch_compact(fixture->batch, 1, 4), 0);
    assert_int_equal(hf_log_append_wait(fixture->log, fixture->batch), 0);
    for (int restarts = 0; restarts < 2; restarts++) {
        uint64_t term = 0;
        struct hf_log_view view;
        assert_int_equal(fixture_state(fixture, 1).first_index, 5);
        assert_int_equal(hf_log_term(fixture->log, 1, 4, &term), 0);
        assert_int_equal(term, 4);
        assert_int_equal(hf_log_term(fixture->log, 1, 3, &term), HF_ECOMPACTED);
        assert_int_equal(hf_log_term(fixture->log, 1, 11, &term), HF_EUNAVAILABLE);
        assert_int_equal(hf_log_read(fixture->log, 1, 4, 6, 0, 0, &view), HF_ECOMPACTED);
        assert_int_equal(fixture_append(fixture, 1, 4, 9, "below"), HF_ECOMPACTED);
        hf_log_batch_clear(fixture->batch);
        assert_int_equal(hf_log_batch_truncate(fixture->batch, 1, 4), 0);
        assert_int_equal(hf_log_append_wait(fixture->log, fixture->batch), HF_ECOMPACTED);
        hf_log_batch_clear(fixture->batch);
        assert_int_equal(hf_log_batch_compact(fixture->batch, 1, 11), 0);
        assert_int_equal(hf_log_append_wait(fixture->log, fixture->batch), HF_ECONFLICT);
        hf_log_batch_clear(fixture->batch);
        assert_int_equal(hf_log_batch_compact(fixture->batch, 1, 2), 0); /* below the first: nothing to do */
        assert_int_equal(hf_log_append_wait(fixture->log, fixture->batch), 0);
        fixture_reopen(fixture);
    }
}

static void L5_L29_L38_L40_the_floor_keeps_its_term_and_nothing_goes_below_it(void **unused)
{
    (void)unused;
    each_variant(run_floors);
}

static void run_reset(struct fixture *fixture)
{
    assert_int_equal(fixture_append(fixture, 1, 1, 1, "x"), 0);
    hf_log_batch_clear(fixture->batch);
    assert_int_equal(hf_log_batch_reset(fixture->batch, 1, 1u << 30, 7, bytes_of_text("snapshot-9")), 0);
    assert_int_equal(hf_log_append_wait(fixture->log, fixture->batch), 0);
    for (int restarts = 0; restarts < 2; restarts++) {
        struct hf_log_group_state state = fixture_state(fixture, 1);
        uint64_t term = 0;
        assert_int_equal(state.first_index, (1u << 30) + 1);
        assert_int_equal(state.last_index, 1u << 30);
        assert_int_equal(state.durable_index, 1u << 30);
        assert_int_equal(state.snapshot_name_size, 10);
        assert_memory_equal(state.snapshot_name, "snapshot-9", 10);
        assert_int_equal(hf_log_term(fixture->log, 1, 1u << 30, &term), 0);
        assert_int_equal(term, 7);
        fixture_reopen(fixture);
    }
    assert_int_equal(fixture_append(fixture, 1, (1u << 30) + 1, 7, "after"), 0);
}

static void L30_L41_L42_a_reset_restarts_the_log_any_distance_away(void **unused)
{
    (void)unused;
    each_variant(run_reset);
}

static void run_removal(struct fixture *fixture)
{
    assert_int_equal(hf_log_group_open(fixture->log, 1, 111), 0);
    assert_int_equal(fixture_append(fixture, 1, 1, 1, "x"), 0);
    assert_int_equal(fixture_append(fixture, 2, 1, 1, "neighbour"), 0);
    assert_int_equal(hf_log_group_open(fixture->log, 1, 222), HF_EMISMATCH);
    assert_int_equal(hf_log_group_open(fixture->log, 1, 111), 0);
    hf_log_batch_clear(fixture->batch);
    assert_int_equal(hf_log_batch_remove_group(fixture->batch, 1), 0);
    assert_int_equal(hf_log_append_wait(fixture->log, fixture->batch), 0);
    uint64_t id = 0;
    for (int restarts = 0; restarts < 2; restarts++) {
        struct hf_log_group_state state = fixture_state(fixture, 1);
        assert_true(state.removed && !state.exists && state.last_index == 0);
        assert_int_equal(hf_log_group_open(fixture->log, 1, 111), HF_EMISMATCH);
        id = 0;
        assert_int_equal(hf_log_group_next(fixture->log, 0, &id), 0);
        assert_int_equal(id, 2);
        assert_int_equal(hf_log_group_next(fixture->log, id, &id), HF_ENOTFOUND);
        fixture_reopen(fixture);
    }
    assert_int_equal(hf_log_group_open(fixture->log, 1, 333), 0);
    assert_int_equal(fixture_append(fixture, 1, 1, 1, "second life"), 0);
    fixture_reopen(fixture);
    fixture_expect(fixture, 1, 1, 1, "second life");
    fixture_expect(fixture, 2, 1, 1, "neighbour");
    assert_int_equal(fixture_state(fixture, 1).incarnation, 333);
}

static void L45_removal_is_durable_and_a_recreated_group_starts_clean(void **unused)
{
    (void)unused;
    each_variant(run_removal);
}

static void run_hard_state(struct fixture *fixture)
{
    hf_log_batch_clear(fixture->batch);
    assert_int_equal(hf_log_batch_hard_state(fixture->batch, HF_LOG_GROUP_MAX, (struct hf_hard_state){3, 2, 9}), 0);
    assert_int_equal(hf_log_append_wait(fixture->log, fixture->batch), 0);
    for (int restarts = 0; restarts < 2; restarts++) {
        struct hf_log_group_state state = fixture_state(fixture, HF_LOG_GROUP_MAX);
        assert_true(state.exists && !state.damaged);
        assert_int_equal(state.hard_state.term, 3);
        assert_int_equal(state.hard_state.vote, 2);
        assert_int_equal(state.hard_state.commit, 9);
        assert_int_equal(state.last_index, 0);
        fixture_reopen(fixture);
    }
    struct hf_log_group_state unknown = fixture_state(fixture, 5);
    assert_true(!unknown.exists && unknown.first_index == 1 && unknown.last_index == 0);
}

static void L10_L14_a_vote_alone_works_and_unknown_groups_read_as_empty(void **unused)
{
    (void)unused;
    each_variant(run_hard_state);
}

/* ---- reading ---- */

static void run_ranges(struct fixture *fixture)
{
    for (uint64_t index = 1; index <= 20; index++) {
        assert_int_equal(fixture_append(fixture, 1, index, 1, "0123456789"), 0);
    }
    static const struct {
        uint64_t low, high, bytes_max;
        size_t count_max;
        int result;
        size_t count;
    } rows[] = {
        {1, 21, 0, 0, 0, 20},
        {1, 21, 25, 0, 0, 2},
        {5, 21, 1, 0, 0, 1},
        {5, 21, 0, 7, 0, 7},
        {5, 5, 0, 0, 0, 0},
        {30, 30, 0, 0, 0, 0},
        {20, 99, 0, 0, 0, 1},
        {21, 22, 0, 0, HF_EUNAVAILABLE, 0},
        {0, 5, 0, 0, HF_ECOMPACTED, 0},
        {6, 5, 0, 0, HF_EINVALID, 0},
        {19, UINT64_MAX, 0, 0, 0, 2},
    };
    for (int restarts = 0; restarts < 2; restarts++) {
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            struct hf_log_view view = {0};
            int rc =
                hf_log_read(fixture->log, 1, rows[i].low, rows[i].high, rows[i].bytes_max, rows[i].count_max, &view);
            assert_int_equal(rc, rows[i].result);
            assert_int_equal(view.count, rows[i].count);
            for (size_t j = 0; j < view.count; j++) {
                assert_int_equal(view.entries[j].index, rows[i].low + j);
                assert_int_equal(view.entries[j].timestamp_ms, 1700000000000 + rows[i].low + j);
            }
            hf_log_view_close(&view);
        }
        fixture_reopen(fixture);
    }
}

static void L27_L28_ranges_have_three_results_and_at_least_one_entry(void **unused)
{
    (void)unused;
    each_variant(run_ranges);
}

/* ---- sizes ---- */

static void run_large(struct fixture *fixture)
{
    size_t size = 5u << 20; /* several segments' worth at this age of the log */
    char *payload = malloc(size);
    for (uint64_t index = 1; index <= 3; index++) {
        memset(payload, (int)index, size);
        struct hf_entry entry = fixture_entry(index, 1, "");
        entry.payload = bytes_of(payload, size);
        hf_log_batch_clear(fixture->batch);
        assert_int_equal(hf_log_batch_append(fixture->batch, 1, &entry, 1), 0);
        assert_int_equal(hf_log_append_wait(fixture->log, fixture->batch), 0);
        assert_int_equal(fixture_append(fixture, 2, index, 1, "small"), 0);
    }
    for (int restarts = 0; restarts < 2; restarts++) {
        for (uint64_t index = 1; index <= 3; index++) {
            struct hf_log_view view;
            memset(payload, (int)index, size);
            assert_int_equal(hf_log_read(fixture->log, 1, index, index + 1, 0, 0, &view), 0);
            assert_int_equal(view.entries[0].payload.size, size);
            assert_memory_equal(view.entries[0].payload.data, payload, size);
            hf_log_view_close(&view);
            fixture_expect(fixture, 2, index, 1, "small");
        }
        fixture_reopen(fixture);
    }
    free(payload);
}

static void L8_entries_larger_than_a_segment_work(void **unused)
{
    (void)unused;
    each_variant(run_large);
}

static void a_small_log_takes_little_room_and_grows_by_doubling(void **unused)
{
    (void)unused;
    struct fixture fixture;
    struct hf_log_stat stat;
    fixture_set_up(&fixture);
    fixture_open(&fixture);
    assert_int_equal(fixture_append(&fixture, 1, 1, 1, "x"), 0);
    usleep(300000); /* for the spare */
    hf_log_stat(fixture.log, &stat);
    assert_true(stat.bytes_on_disk <= 2 << 20);
    fixture_tear_down(&fixture);
}

static void run_full_queue(struct fixture *fixture)
{
    fixture_close(fixture);
    fixture->options.driver = HF_LOG_DRIVE_CALLER; /* so that nothing leaves the queue by itself */
    fixture->options.queue_entries_max = 10;
    fixture_open(fixture);
    unsigned done = 0;
    int rc = 0;
    for (uint64_t index = 1; rc == 0; index++) {
        struct hf_entry entry = fixture_entry(index, 1, "x");
        hf_log_batch_clear(fixture->batch);
        assert_int_equal(hf_log_batch_append(fixture->batch, 1, &entry, 1), 0);
        rc = hf_log_append(fixture->log, fixture->batch, count_done, &done);
    }
    assert_int_equal(rc, HF_EBUSY);
    assert_int_equal(fixture_state(fixture, 1).last_index, 10);
    assert_int_equal(fixture_state(fixture, 1).durable_index, 0);
    assert_int_equal(hf_log_append_wait(fixture->log, fixture->batch), HF_EBUSY);
    hf_log_batch_clear(fixture->batch);
    assert_int_equal(hf_log_append_wait(fixture->log, fixture->batch), 0); /* a barrier */
    assert_int_equal(done, 10);
    assert_int_equal(fixture_state(fixture, 1).durable_index, 10);
}

static void a_full_queue_says_busy_and_drains(void **unused)
{
    (void)unused;
    each_variant(run_full_queue);
}

static void options_outside_their_limits_are_refused_by_name(void **unused)
{
    (void)unused;
    struct fixture fixture;
    fixture_set_up(&fixture);
    static const struct {
        struct hf_log_options options;
        const char *name;
    } rows[] = {
        {{.segment_size_bytes = 1000}, "segment_size_bytes"},
        {{.segment_size_bytes = 5ull << 30}, "segment_size_bytes"},
        {{.write_size_max_bytes = 100}, "write_size_max_bytes"},
        {{.writes_in_flight_max = 17}, "writes_in_flight_max"},
        {{.sync_policy = (enum hf_log_sync_policy)9}, "sync_policy"},
        {{.driver = (enum hf_log_driver)9}, "driver"},
        {{.index_block_entries = 128}, "index_block_entries"},
        {{.index_block_entries = 1u << 25}, "index_block_entries"},
        {{.index_block_entries = 65535}, "power of two"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(hf_log_open(fixture.directory, &rows[i].options, &fixture.log), HF_EINVALID);
        assert_non_null(strstr(hf_error_text(), rows[i].name));
    }
    fixture_tear_down(&fixture);
}

static void L60_a_log_reopens_with_other_settings(void **unused)
{
    (void)unused;
    struct fixture fixture;
    fixture_set_up(&fixture);
    uint64_t index = 1;
    for (int i = 0; i < 8; i++) {
        fixture.options.segment_size_bytes = UINT64_C(1) << (20 + i % 3);
        fixture.options.write_size_max_bytes = 64u << (10 + i % 4);
        fixture.options.sync_policy = (enum hf_log_sync_policy)(i % 4);
        fixture.options.io = i % 2 == 0 ? HF_LOG_IO_AUTO : HF_LOG_IO_THREADS;
        fixture_open(&fixture);
        for (uint64_t old = 1; old < index; old++) {
            fixture_expect(&fixture, 1, old, 1, "entry");
        }
        for (int j = 0; j < 5; j++) {
            assert_int_equal(fixture_append(&fixture, 1, index++, 1, "entry"), 0);
        }
        fixture_close(&fixture);
    }
    fixture_tear_down(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_writes_depends_on_who_drives_unless_it_is_chosen),
        cmocka_unit_test(L7_entries_are_read_back_before_and_after_a_restart),
        cmocka_unit_test(L1_L13_an_empty_log_starts_at_any_index_up_to_the_last_possible_one),
        cmocka_unit_test(L2_L4_L11_gaps_repetitions_and_decreasing_terms_change_nothing),
        cmocka_unit_test(plain_and_mixed_batches_are_accepted_and_refused_alike),
        cmocka_unit_test(L3_L36_a_conflicting_suffix_is_replaced_and_does_not_return),
        cmocka_unit_test(L6_an_empty_batch_is_a_barrier_and_writes_nothing),
        cmocka_unit_test(L5_L29_L38_L40_the_floor_keeps_its_term_and_nothing_goes_below_it),
        cmocka_unit_test(L30_L41_L42_a_reset_restarts_the_log_any_distance_away),
        cmocka_unit_test(L45_removal_is_durable_and_a_recreated_group_starts_clean),
        cmocka_unit_test(L10_L14_a_vote_alone_works_and_unknown_groups_read_as_empty),
        cmocka_unit_test(L27_L28_ranges_have_three_results_and_at_least_one_entry),
        cmocka_unit_test(L8_entries_larger_than_a_segment_work),
        cmocka_unit_test(a_small_log_takes_little_room_and_grows_by_doubling),
        cmocka_unit_test(a_full_queue_says_busy_and_drains),
        cmocka_unit_test(options_outside_their_limits_are_refused_by_name),
        cmocka_unit_test(L60_a_log_reopens_with_other_settings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
