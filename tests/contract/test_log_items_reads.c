/* links: log sim */
/* Log items L27 to L34: what reads answer, from the cache and from the device. */
#include "contract/log_items.h"

#include "log/log_format.h"

#define COLD_ENTRIES 30u
#define COLD_SIZE    9000u

/* Fills the tail cache with entries of a group outside the model. */
static void push_out(struct items_run *run)
{
    struct hf_log_batch *batch = NULL;
    assert_int_equal(hf_log_batch_open(&batch), 0);
    for (uint64_t index = 1; index <= 40; index++) {
        struct hf_entry entry = {index, 1, 0, HF_ENTRY_NORMAL, items_payload((uint32_t)index, 200000)};
        hf_log_batch_clear(batch);
        assert_int_equal(hf_log_batch_append(batch, 5000, &entry, 1), 0);
        assert_int_equal(items_append_apart(run, batch), 0);
    }
    hf_log_batch_close(batch);
    items_idle(run, 60 * ITEMS_MS);
}
/* A log whose group 0 has 30 entries that are no longer in the tail cache; groups 1 and 2 have some too. */
static void open_cold(struct items *items, struct items_run *run)
{
    items_setup(items, run);
    items->options.tail_cache_bytes = 4096;
    items_open_surely(run);
    for (uint64_t i = 0; i < COLD_ENTRIES / 2; i++) {
        items_batch(items);
        items_append(items, 0, 2, 1 + i / 5, COLD_SIZE);
        items_append(items, 1, 1, 1, 500);
        items_commit(run);
    }
    push_out(run);
}
static uint64_t disk_reads(const struct items_run *run)
{
    return sim_disk_count(run->host, SIM_DISK_READ);
}
static int read_one(struct items_run *run, unsigned group, uint64_t index, struct hf_log_view *view)
{
    return hf_log_read(run->log, items_ids[group], index, index + 1, 0, 0, view);
}
static void expect_entry(struct items *items, unsigned group, const struct hf_entry *entry)
{
    const struct items_group *model = items_group(items, group);
    struct items_difference difference = {""};
    struct hf_entry wanted = items_entry_of(entry->index, &model->entries[entry->index - model->floor - 1]);
    if (!items_same_entry(entry, &wanted, &difference)) {
        fail_msg("%s", difference.text);
    }
}

static void L27_found_compacted_and_beyond_the_end_are_three_answers(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    open_cold(&items, &run);
    items_batch(&items);
    items_compact(&items, 0, 10);
    items_commit(&run);
    for (unsigned round = 0; round < 2; round++) {
        struct hf_log_view view = {0};
        static const uint64_t compacted[] = {0, 1, 9, 10};
        for (size_t i = 0; i < 4; i++) {
            assert_int_equal(read_one(&run, 0, compacted[i], &view), HF_ECOMPACTED);
            assert_int_equal(view.count, 0);
        }
        assert_int_equal(hf_log_read(run.log, items_ids[0], 5, 20, 0, 0, &view), HF_ECOMPACTED);
        static const uint64_t beyond[] = {31, 32, 1000, UINT64_MAX - 1};
        for (size_t i = 0; i < 4; i++) {
            assert_int_equal(read_one(&run, 0, beyond[i], &view), HF_EUNAVAILABLE);
            assert_int_equal(view.count, 0);
        }
        for (uint64_t index = 11; index <= 30; index++) {
            assert_int_equal(read_one(&run, 0, index, &view), 0);
            assert_int_equal(view.count, 1);
            expect_entry(&items, 0, &view.entries[0]);
            hf_log_view_close(&view);
        }
        items_restart(&run);
        items_reopen(&run, items.count, items.count);
    }
    items_teardown(&run);
}

/* The fourth answer. It is no end of the log: later reads and appends go on. */
static void L27_a_failing_read_is_a_fourth_answer(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    open_cold(&items, &run);
    struct hf_log_view view = {0};
    /* More than one: when the index file cannot be read, the segment is asked. */
    struct sim_disk_failure failure = {.kind = SIM_DISK_READ, .count = 100, .error = HF_EIO};
    unsigned failed = 0;
    for (uint64_t index = 1; index <= COLD_ENTRIES; index++) {
        sim_disk_fail(run.host, &failure);
        int rc = read_one(&run, 0, index, &view);
        assert_true(rc == HF_EIO || rc == 0);
        failed += rc == HF_EIO;
        sim_disk_fail_clear(run.host);
        hf_log_view_close(&view);
        assert_int_equal(read_one(&run, 0, index, &view), 0);
        hf_log_view_close(&view);
    }
    assert_true(failed > COLD_ENTRIES / 2);
    struct hf_log_stat stat;
    hf_log_stat(run.log, &stat);
    assert_int_equal(stat.failure, 0);
    items_expect_no_damage(&run);
    items_batch(&items);
    items_append(&items, 0, 1, 9, 100);
    items_commit(&run);
    items_restart(&run);
    items_reopen(&run, items.count, items.count);
    items_teardown(&run);
}

static void check_range(struct items *items, struct items_run *run, uint64_t low, uint64_t high, uint64_t bytes_max,
                        size_t count_max)
{
    struct hf_log_view view = {0};
    assert_int_equal(hf_log_read(run->log, items_ids[0], low, high, bytes_max, count_max, &view), 0);
    uint64_t bytes = 0;
    for (size_t i = 0; i < view.count; i++) {
        assert_int_equal(view.entries[i].index, low + i);
        expect_entry(items, 0, &view.entries[i]);
        bytes += view.entries[i].payload.size;
    }
    assert_true(view.count <= high - low);
    assert_true(low == high || view.count >= 1);
    assert_true(bytes_max == 0 || bytes <= bytes_max || view.count == 1);
    assert_true(count_max == 0 || view.count <= count_max);
    if (bytes_max == 0) {
        assert_int_equal(view.count, count_max == 0 || count_max > high - low ? high - low : count_max);
    } else if (count_max == 0 && view.count < high - low) {
        /* No fewer than fit, give or take what an entry weighs beside its payload. */
        assert_true(bytes + COLD_SIZE + (view.count + 1) * 128 > bytes_max);
    }
    hf_log_view_close(&view);
}
static void L28_a_range_gives_at_least_one_entry_and_no_more_than_asked(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    open_cold(&items, &run);
    static const uint64_t limits[] = {0, 1, COLD_SIZE - 1, COLD_SIZE, 2 * COLD_SIZE - 1, 5 * COLD_SIZE, UINT64_MAX};
    static const size_t counts[] = {0, 1, 3, SIZE_MAX};
    for (unsigned round = 0; round < 2; round++) {
        for (uint64_t low = 1; low <= COLD_ENTRIES; low += 7) {
            for (uint64_t high = low; high <= COLD_ENTRIES + 1; high += 5) {
                for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]) * 4; i++) {
                    check_range(&items, &run, low, high, limits[i / 4], counts[i % 4]);
                }
            }
        }
        check_range(&items, &run, COLD_ENTRIES + 1, COLD_ENTRIES + 1, 0, 0);
        items_restart(&run);
        items_reopen(&run, items.count, items.count);
    }
    items_teardown(&run);
}
static void L28_a_range_that_ends_beyond_the_log_or_before_its_start_is_harmless(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    open_cold(&items, &run);
    struct hf_log_view view = {0};
    int rc = hf_log_read(run.log, items_ids[0], 29, UINT64_MAX, 0, 0, &view);
    assert_true((rc == 0 && view.count == 2) || (rc == HF_EUNAVAILABLE && view.count == 0));
    hf_log_view_close(&view);
    rc = hf_log_read(run.log, items_ids[0], 20, 10, 0, 0, &view);
    assert_true((rc == 0 || rc == HF_EINVALID) && view.count == 0);
    hf_log_view_close(&view);
    items_teardown(&run);
}

static void L29_the_term_before_the_first_entry_is_kept(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    open_cold(&items, &run);
    items_batch(&items);
    items_compact(&items, 0, 17);
    items_reset(&items, 1, 400, 44, "boundary");
    items_commit(&run);
    for (unsigned round = 0; round < 3; round++) {
        uint64_t term = 0;
        assert_int_equal(hf_log_term(run.log, items_ids[0], 17, &term), 0);
        assert_int_equal(term, 1 + 8 / 5); /* entry 17 came with the ninth batch */
        assert_int_equal(hf_log_term(run.log, items_ids[0], 16, &term), HF_ECOMPACTED);
        assert_int_equal(hf_log_term(run.log, items_ids[0], 0, &term), HF_ECOMPACTED);
        assert_int_equal(hf_log_term(run.log, items_ids[0], 31, &term), HF_EUNAVAILABLE);
        assert_int_equal(hf_log_term(run.log, items_ids[0], UINT64_MAX, &term), HF_EUNAVAILABLE);
        assert_int_equal(hf_log_term(run.log, items_ids[1], 400, &term), 0);
        assert_int_equal(term, 44);
        assert_int_equal(hf_log_term(run.log, items_ids[1], 399, &term), HF_ECOMPACTED);
        assert_int_equal(hf_log_term(run.log, items_ids[1], 401, &term), HF_EUNAVAILABLE);
        items_restart(&run);
        items_reopen(&run, items.count, items.count);
    }
    items_teardown(&run);
}

static void build_compact_all(struct items *items)
{
    items_batch(items);
    items_append(items, 0, 3, 4, 100);
    items_append(items, 1, 2, 4, 100);
    items_batch(items);
    items_compact(items, 0, 3);
    items_batch(items);
    items_compact(items, 1, 1);
    items_append(items, 1, 1, 5, 100);
    items_compact(items, 1, 3);
    items_batch(items);
    items_append(items, 0, 1, 4, 100);
}
ITEMS_THREE_WAYS(L30_a_log_that_is_empty_after_compaction_knows_where_it_stands, build_compact_all)

static struct hf_log_group_state state_of(struct items_run *run, unsigned group)
{
    struct hf_log_group_state state;
    assert_int_equal(hf_log_group_state(run->log, items_ids[group], &state), 0);
    return state;
}
static void L31_readable_and_durable_are_two_indexes(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    items_setup(&items, &run);
    items_open_surely(&run);
    items_batch(&items);
    items_append(&items, 0, 3, 1, 100);
    assert_int_equal(items_append_next(&run), 0);
    assert_true(state_of(&run, 0).last_index == 3 && state_of(&run, 0).durable_index == 0);
    items_expect(run.log, &items.models[1], "readable at once");
    items_drive(&run, 0);
    assert_true(state_of(&run, 0).last_index == 3 && state_of(&run, 0).durable_index == 3);
    /* What replaces a durable entry is not durable yet. */
    items_batch(&items);
    items_truncate(&items, 0, 2);
    items_append(&items, 0, 4, 2, 100);
    assert_int_equal(items_append_next(&run), 0);
    assert_true(state_of(&run, 0).last_index == 5 && state_of(&run, 0).durable_index == 1);
    items_drive(&run, 0);
    assert_int_equal(state_of(&run, 0).durable_index, 5);
    /* Nor is what a truncation leaves ever more than there is. */
    items_batch(&items);
    items_truncate(&items, 0, 3);
    assert_int_equal(items_append_next(&run), 0);
    assert_int_equal(state_of(&run, 0).durable_index, 2);
    items_drive(&run, 0);
    items_batch(&items);
    items_append(&items, 0, 1, 2, 100);
    items_batch(&items);
    items_truncate(&items, 0, 3);
    items_append(&items, 0, 1, 3, 100);
    /* The first write is under way when the entry is replaced: its end says nothing about the new one. */
    assert_int_equal(items_append_next(&run), 0);
    hf_log_turn(run.log);
    assert_int_equal(items_append_next(&run), 0);
    while (run.called < run.appended - 1) {
        items_step(&run);
    }
    if (run.called == run.appended - 1) {
        assert_int_equal(state_of(&run, 0).durable_index, 2);
    }
    items_drive(&run, 0);
    assert_int_equal(state_of(&run, 0).durable_index, 3);
    items_teardown(&run);
}

static void L32_a_view_keeps_its_entries_whatever_happens_to_the_log(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    struct hf_log_view views[3] = {{0}};
    open_cold(&items, &run);
    struct items_group before = *items_group(&items, 0);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(hf_log_read(run.log, items_ids[0], 1 + 10 * i, 11 + 10 * i, 0, 0, &views[i]), 0);
    }
    items_batch(&items);
    items_truncate(&items, 0, 15);
    items_append(&items, 0, 3, 9, 4000);
    items_commit(&run);
    items_batch(&items);
    items_reset(&items, 0, 100, 10, "over");
    items_commit(&run);
    items_batch(&items);
    items_append(&items, 0, 5, 10, 4000);
    items_remove(&items, 1);
    items_commit(&run);
    items_close(&run);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(views[i].count, 10);
        for (size_t k = 0; k < 10; k++) {
            struct items_difference difference = {""};
            struct hf_entry wanted = items_entry_of(1 + 10 * i + k, &before.entries[10 * i + k]);
            assert_true(items_same_entry(&views[i].entries[k], &wanted, &difference));
        }
        hf_log_view_close(&views[i]);
        hf_log_view_close(&views[i]); /* closed twice is closed */
    }
    sim_close(run.sim);
    items_end(&items);
}

/* Appends, truncations and resets between any two reads: each read has the state of its moment, device or cache. */
static void L32_a_read_between_any_two_changes_sees_exactly_what_is_there(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    items_setup(&items, &run);
    items.options.tail_cache_bytes = 8192;
    items_open_surely(&run);
    for (uint64_t i = 0; i < 22; i++) {
        items_batch(&items);
        struct items_group *group = items_group(&items, 0);
        if (i % 4 == 3) {
            items_truncate(&items, 0, group->floor + group->count / 2 + 1);
        } else if (i % 7 == 6) {
            items_compact(&items, 0, group->floor + 1);
        } else if (i == 16) {
            items_reset(&items, 0, 500, 20, "five hundred");
        }
        items_append(&items, 0, 3, i < 16 ? 1 + i : 20 + i, 3000);
        assert_int_equal(items_append_next(&run), 0);
        items_expect(run.log, &items.models[run.appended], "at once");
        for (unsigned k = 0; k < 3 && run.called < run.appended; k++) {
            items_step(&run);
            items_expect(run.log, &items.models[run.appended], "while it is written");
        }
    }
    items_drive(&run, 0);
    items_restart(&run);
    items_reopen(&run, items.count, items.count);
    items_teardown(&run);
}

/* One entry of a cold log is damaged on the device: it is never read wrong, and the others are read right. */
static void flip_and_read(struct items *items, struct items_run *run, uint64_t offset, unsigned bit, unsigned *noticed)
{
    static const char path[] = ITEMS_DIRECTORY "/0000000000000001.log";
    if (sim_disk_flip_bit(run->host, path, offset, bit) != 0) {
        return;
    }
    unsigned bad = 0;
    for (uint64_t index = 1; index <= COLD_ENTRIES; index++) {
        struct hf_log_view view = {0};
        int rc = read_one(run, 0, index, &view);
        assert_true(rc == 0 || rc == HF_ECORRUPT);
        if (rc == 0) {
            assert_int_equal(view.count, 1);
            expect_entry(items, 0, &view.entries[0]);
        }
        bad += rc != 0;
        hf_log_view_close(&view);
    }
    assert_true(bad <= 2); /* no batch has more of this group */
    *noticed += bad > 0;
    assert_int_equal(sim_disk_flip_bit(run->host, path, offset, bit), 0);
}
static void L33_a_damaged_entry_is_never_read_as_another(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    unsigned noticed = 0;
    unsigned tries = 0;
    for (uint64_t offset = 4096; offset < 4096 + 60000; offset += 1789) {
        open_cold(&items, &run);
        flip_and_read(&items, &run, offset, (unsigned)(offset % 8), &noticed);
        tries++;
        items_teardown(&run);
    }
    assert_true(noticed > tries / 2);
}

/* Right bytes in the wrong place: a block of one frame lands on that of another, with all its checksums. */
static void L33_a_misdirected_write_is_noticed_by_the_read(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    items_setup(&items, &run);
    items.options.tail_cache_bytes = 4096;
    items_open_surely(&run);
    for (uint64_t i = 0; i < 6; i++) {
        items_batch(&items);
        items_append(&items, i % 2, 1, 1, 2000); /* a frame of one block each, of the same shape */
        items_commit(&run);
    }
    push_out(&run);
    struct file *file = NULL;
    uint8_t frames[6][4096];
    size_t got = 0;
    assert_int_equal(
        file_open(sim_host_io(run.host), ITEMS_DIRECTORY "/0000000000000001.log", FILE_READ | FILE_WRITE, &file), 0);
    for (uint64_t i = 0; i < 6; i++) {
        assert_int_equal(file_read(file, 4096 * (i + 1), frames[i], 4096, &got), 0);
        assert_memory_equal(frames[i], "HFFR", 4);
    }
    for (unsigned from = 0; from < 6; from++) {
        for (unsigned to = 0; to < 6; to++) {
            struct hf_log_view view = {0};
            if (from == to) {
                continue;
            }
            assert_int_equal(file_write(file, 4096 * (to + 1), frames[from], 4096), 0);
            int rc = read_one(&run, to % 2, 1 + to / 2, &view);
            if (rc != HF_ECORRUPT) {
                fail_msg("frame %u in place of frame %u is read: %s", from, to, hf_error_name(rc));
            }
            hf_log_view_close(&view);
            assert_int_equal(file_write(file, 4096 * (to + 1), frames[to], 4096), 0);
        }
    }
    file_close(file);
    items_teardown(&run);
}

/* Stale bytes of the same group, index and term: a truncated entry in the place of the one that replaced it. Only a
 * checksum that is bound to its position tells them apart. */
static void read_replaced(size_t skip)
{
    struct items items;
    struct items_run run;
    items_setup(&items, &run);
    items.options.tail_cache_bytes = 4096;
    items_open_surely(&run);
    for (unsigned i = 0; i < 3; i++) { /* the last two have the same records in the same places */
        items_batch(&items);
        items_truncate(&items, 0, 1);
        items_append(&items, 0, 1, 1, 2000);
        items_commit(&run);
    }
    push_out(&run);
    struct file *file = NULL;
    uint8_t frame[4096];
    size_t got = 0;
    assert_int_equal(
        file_open(sim_host_io(run.host), ITEMS_DIRECTORY "/0000000000000001.log", FILE_READ | FILE_WRITE, &file), 0);
    assert_int_equal(file_read(file, 8192, frame, 4096, &got), 0);
    assert_memory_equal(frame, "HFFR", 4);
    assert_int_equal(file_write(file, 12288 + skip, frame + skip, 4096 - skip), 0);
    struct hf_log_view view = {0};
    assert_int_equal(read_one(&run, 0, 1, &view), HF_ECORRUPT);
    hf_log_view_close(&view);
    file_close(file);
    items_teardown(&run);
}
static void L33_the_entry_that_was_replaced_is_never_read_in_its_successors_place(void **unused)
{
    (void)unused;
    read_replaced(0);
    read_replaced(LOG_FORMAT_FRAME_HEADER_SIZE); /* the records alone, behind the right frame header */
}

static void L34_a_cached_entry_is_read_while_the_disk_hangs(void **unused)
{
    (void)unused;
    struct items items;
    struct items_run run;
    items_setup(&items, &run);
    items_open_surely(&run);
    items_batch(&items);
    items_append(&items, 0, 5, 1, 1000);
    items_commit(&run);
    sim_disk_stall(run.host, 10000 * ITEMS_MS);
    items_batch(&items);
    items_append(&items, 0, 5, 1, 1000);
    assert_int_equal(items_append_next(&run), 0);
    hf_log_turn(run.log);
    uint64_t reads = disk_reads(&run);
    uint64_t now = sim_now_ns(run.sim);
    items_expect(run.log, &items.models[2], "while the disk hangs");
    assert_int_equal(disk_reads(&run), reads);
    assert_int_equal(sim_now_ns(run.sim), now);
    items_idle(&run, 5000 * ITEMS_MS);
    struct hf_log_stat stat;
    hf_log_stat(run.log, &stat);
    assert_int_equal(run.called, 1);
    assert_true(stat.oldest_unsynced_ns >= 4990 * ITEMS_MS);
    items_drive(&run, 0);
    assert_int_equal(run.acknowledged, 2);
    hf_log_stat(run.log, &stat);
    assert_int_equal(stat.oldest_unsynced_ns, 0);
    items_teardown(&run);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(L27_found_compacted_and_beyond_the_end_are_three_answers),
        cmocka_unit_test(L27_a_failing_read_is_a_fourth_answer),
        cmocka_unit_test(L28_a_range_gives_at_least_one_entry_and_no_more_than_asked),
        cmocka_unit_test(L28_a_range_that_ends_beyond_the_log_or_before_its_start_is_harmless),
        cmocka_unit_test(L29_the_term_before_the_first_entry_is_kept),
        cmocka_unit_test(L31_readable_and_durable_are_two_indexes),
        cmocka_unit_test(L32_a_view_keeps_its_entries_whatever_happens_to_the_log),
        cmocka_unit_test(L32_a_read_between_any_two_changes_sees_exactly_what_is_there),
        cmocka_unit_test(L33_a_damaged_entry_is_never_read_as_another),
        cmocka_unit_test(L33_a_misdirected_write_is_noticed_by_the_read),
        cmocka_unit_test(L33_the_entry_that_was_replaced_is_never_read_in_its_successors_place),
        cmocka_unit_test(L34_a_cached_entry_is_read_while_the_disk_hangs),
        ITEMS_ROWS(L30_a_log_that_is_empty_after_compaction_knows_where_it_stands),
    };
    return ITEMS_MAIN(tests);
}
