/* The windows behind the one that an iterator hands out are read meanwhile: where that is worth a worker, and never so
 * that an entry is handed out that is gone. */
#include <fcntl.h>
#include <pthread.h>
#include <time.h>

#include "log/log_read_ahead.h"
#include "planted.h"
#include "unit/log/read_ahead_fixture.h"

static unsigned thread_count(void)
{
    unsigned count = 0;
    DIR *directory = opendir("/proc/self/task");
    for (struct dirent *entry = NULL; directory != NULL && (entry = readdir(directory)) != NULL;) {
        count += entry->d_name[0] != '.';
    }
    closedir(directory);
    return count;
}

/* Once the log's own threads have settled. */
static unsigned settled_thread_count(void)
{
    unsigned count = thread_count();
    for (int same = 0; same < 30; same++) {
        usleep(10000);
        unsigned now = thread_count();
        same = now == count ? same : 0;
        count = now;
    }
    return count;
}

static void every_entry_comes_once_in_order_through_both_ways_to_the_kernel(void **unused)
{
    for (int io = HF_LOG_IO_AUTO; io <= HF_LOG_IO_THREADS; io += HF_LOG_IO_THREADS) {
        struct fixture fixture;
        struct hf_log_iterator *iterator = NULL;
        struct hf_entry entry;
        fill(&fixture, (enum hf_log_io)io);
        assert_int_equal(hf_log_iterator_open(fixture.log, 1, NULL, &iterator), 0);
        for (uint64_t i = 1; i <= ENTRIES; i++) {
            expect_next(iterator, i, 1);
        }
        assert_int_equal(hf_log_iterator_next(iterator, 0, &entry), HF_EUNAVAILABLE);
        append_many(&fixture, ENTRIES + 1, ENTRIES + 20, 2); /* and it follows */
        for (uint64_t i = ENTRIES + 1; i <= ENTRIES + 20; i++) {
            expect_next(iterator, i, 2);
        }
        hf_log_iterator_close(iterator);
        fixture_tear_down(&fixture);
    }
}

static void limits_end_what_is_read_ahead_too(void **unused)
{
    static const struct {
        struct hf_log_iterator_options options;
        uint64_t entries;
    } rows[] = {
        {{.from = 5, .to = 40}, 35},
        {{.count_max = 21}, 21},
        {{.bytes_max = 20 * PAYLOAD_SIZE + 5}, 20},
        {{.bytes_max = 1}, 1},
        {{.from = 3, .count_max = 8}, 8},
        /* 17 … 24 and 25 … 32 are read side by side. */
        {{.to = 17}, 16},
        {{.to = 20}, 19},
        {{.to = 25}, 24},
        {{.to = 26}, 25},
        {{.to = 33}, 32},
        {{.to = 34}, 33},
        {{.count_max = 16}, 16},
        {{.count_max = 20}, 20},
        {{.count_max = 24}, 24},
        {{.count_max = 25}, 25},
        {{.count_max = 32}, 32},
        {{.count_max = 33}, 33},
        {{.bytes_max = 16 * PAYLOAD_SIZE}, 16},
        {{.bytes_max = 24 * PAYLOAD_SIZE}, 24},
        {{.bytes_max = 25 * PAYLOAD_SIZE + 5}, 25},
        {{.bytes_max = 33 * PAYLOAD_SIZE - 1}, 32},
        {{.to = 31, .durable_only = true}, 30},
    };
    struct fixture fixture;
    fill(&fixture, HF_LOG_IO_AUTO);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct hf_log_iterator *iterator = NULL;
        struct hf_entry entry;
        uint64_t first = rows[i].options.from != 0 ? rows[i].options.from : 1;
        assert_int_equal(hf_log_iterator_open(fixture.log, 1, &rows[i].options, &iterator), 0);
        for (uint64_t k = 0; k < rows[i].entries; k++) {
            expect_next(iterator, first + k, 1);
        }
        assert_int_equal(hf_log_iterator_next(iterator, 0, &entry), HF_ENOTFOUND);
        hf_log_iterator_close(iterator);
    }
    fixture_tear_down(&fixture);
}

static void workers_exist_only_while_there_is_something_to_read_ahead(void **unused)
{
    struct fixture fixture;
    struct hf_log_iterator *iterator = NULL;
    fill(&fixture, HF_LOG_IO_THREADS);
    append_many(&fixture, ENTRIES + 1, ENTRIES + 40, 1);
    unsigned before = settled_thread_count();
    struct hf_log_iterator_options options = {.from = ENTRIES + 1}; /* in the tail cache */
    assert_int_equal(hf_log_iterator_open(fixture.log, 1, &options, &iterator), 0);
    for (uint64_t i = ENTRIES + 1; i <= ENTRIES + 40; i++) {
        expect_next(iterator, i, 1);
    }
    assert_int_equal(thread_count(), before);
    hf_log_iterator_close(iterator);
    assert_int_equal(hf_log_iterator_open(fixture.log, 1, NULL, &iterator), 0);
    assert_int_equal(thread_count(), before);
    expect_next(iterator, 1, 1);
    assert_int_equal(thread_count(), before + 1);
    for (uint64_t i = 2; i <= 8; i++) {
        expect_next(iterator, i, 1);
    }
    assert_int_equal(thread_count(), before + 1);
    unsigned most = 0;
    for (uint64_t i = 9; i <= 400; i++) { /* who reads a second window reads on */
        expect_next(iterator, i, 1);
        unsigned now = thread_count();
        most = now > most ? now : most; /* a worker that was done before the next window came reads that one as well */
    }
    assert_in_range(most, before + 1, before + LOG_READ_AHEAD_SLOTS);
    hf_log_iterator_close(iterator);
    for (int i = 0; i < 100 && thread_count() != before; i++) {
        usleep(10000); /* a thread that was joined may be listed for a moment */
    }
    assert_int_equal(thread_count(), before);
    fixture_tear_down(&fixture);
}

/* Everything behind that offset of each segment turns bad on the device. */
static void damage_from(struct fixture *fixture, off_t offset)
{
    static const char zeros[1 << 16];
    DIR *directory = opendir(fixture->directory);
    for (struct dirent *entry = NULL; (entry = readdir(directory)) != NULL;) {
        size_t size = strlen(entry->d_name);
        if (size != 20 || strcmp(entry->d_name + 16, ".log") != 0) {
            continue;
        }
        char path[512];
        snprintf(path, sizeof(path), "%s/%s", fixture->directory, entry->d_name);
        int file = open(path, O_WRONLY);
        for (off_t at = offset; at < 1 << 20; at += (off_t)sizeof(zeros)) {
            assert_int_equal(pwrite(file, zeros, sizeof(zeros), at), sizeof(zeros));
        }
        fsync(file);
        close(file);
    }
    closedir(directory);
}

/* Whether entries 9 to 16 are there, of which nothing is left on the device by the time that they are asked for. */
static bool is_read_within(unsigned pause_ms)
{
    struct fixture fixture;
    struct hf_log_iterator *iterator = NULL;
    struct hf_entry entry;
    fill(&fixture, HF_LOG_IO_AUTO);
    assert_int_equal(hf_log_iterator_open(fixture.log, 1, NULL, &iterator), 0);
    expect_next(iterator, 1, 1);
    usleep(pause_ms * 1000);
    damage_from(&fixture, WINDOW_BYTES);
    for (uint64_t i = 2; i <= 8; i++) {
        expect_next(iterator, i, 1);
    }
    bool is_read = hf_log_iterator_next(iterator, 0, &entry) == 0;
    if (is_read) {
        assert_int_equal(entry.index, 9);
        for (uint64_t i = 10; i <= 16; i++) {
            expect_next(iterator, i, 1);
        }
        assert_int_equal(hf_log_iterator_next(iterator, 0, &entry), HF_ECORRUPT);
    }
    hf_log_iterator_close(iterator);
    fixture_tear_down(&fixture);
    return is_read;
}

static void the_next_window_is_there_before_it_is_asked_for(void **unused)
{
    /* The worker takes its time on a machine that does other things too; without one, no time is enough. */
    assert_true(is_read_within(500) || is_read_within(5000) || is_read_within(20000));
}

static void what_was_truncated_is_not_handed_out_from_what_was_read_ahead(void **unused)
{
    struct fixture fixture;
    struct hf_log_iterator *iterator = NULL;
    fill(&fixture, HF_LOG_IO_AUTO);
    uint64_t term = 1;
    for (uint64_t handed_out = 1; handed_out <= 9; handed_out++) { /* 8 are the first window */
        for (int waits = 0; waits < 2; waits++) {                  /* while the next is read, or after */
            term++;
            assert_int_equal(hf_log_iterator_open(fixture.log, 1, NULL, &iterator), 0);
            for (uint64_t i = 1; i <= handed_out; i++) {
                expect_next(iterator, i, 1);
            }
            usleep(waits * 30000);
            truncate_and_append(&fixture, 12, 30, term);
            for (uint64_t i = handed_out + 1; i <= 30; i++) {
                expect_next(iterator, i, i < 12 ? 1 : term);
            }
            hf_log_iterator_close(iterator);
            fixture_reopen(&fixture); /* cold again */
        }
    }
    fixture_tear_down(&fixture);
}

/* Once 9 was handed out, 17 … 24 and 25 … 32 are under way or there. */
static void of_two_windows_neither_is_handed_out_after_a_truncation(void **unused)
{
    static const uint64_t handed_out[] = {9, 12, 16, 17, 20, 24};
    static const uint64_t truncated[] = {18, 26, 30};
    struct fixture fixture;
    struct hf_log_iterator *iterator = NULL;
    struct hf_entry entry;
    uint64_t terms[61];
    uint64_t term = 1;
    fill(&fixture, HF_LOG_IO_AUTO);
    for (size_t i = 0; i < 61; i++) {
        terms[i] = 1;
    }
    for (size_t row = 0; row < 36; row++) {
        uint64_t until = handed_out[row / 6];
        uint64_t from = truncated[row % 3];
        assert_int_equal(hf_log_iterator_open(fixture.log, 1, NULL, &iterator), 0);
        for (uint64_t i = 1; i <= until; i++) {
            expect_next(iterator, i, terms[i]);
        }
        usleep(row / 3 % 2 * 20000); /* while they are read, or after */
        truncate_and_append(&fixture, from, 60, ++term);
        for (uint64_t i = from; i <= 60; i++) {
            terms[i] = term;
        }
        if (from <= until) {
            assert_int_equal(hf_log_iterator_next(iterator, 0, &entry), HF_ECONFLICT);
        }
        for (uint64_t i = from <= until ? from : until + 1; i <= 60; i++) {
            expect_next(iterator, i, terms[i]);
        }
        assert_int_equal(hf_log_iterator_next(iterator, 0, &entry), HF_EUNAVAILABLE);
        hf_log_iterator_close(iterator);
        fixture_reopen(&fixture); /* cold again */
    }
    fixture_tear_down(&fixture);
}

static void a_restart_of_the_log_and_its_removal_are_heard_with_two_windows_under_way(void **unused)
{
    struct fixture fixture;
    struct hf_log_iterator *iterator = NULL;
    struct hf_entry entry;
    for (int is_removed = 0; is_removed < 2; is_removed++) {
        fill(&fixture, HF_LOG_IO_AUTO);
        assert_int_equal(hf_log_iterator_open(fixture.log, 1, NULL, &iterator), 0);
        for (uint64_t i = 1; i <= 9; i++) {
            expect_next(iterator, i, 1);
        }
        if (is_removed) {
            assert_int_equal(hf_log_group_remove(fixture.log, 1), 0);
        } else {
            hf_log_batch_clear(fixture.batch);
            assert_int_equal(hf_log_batch_reset(fixture.batch, 1, 20, 5, (struct hf_bytes){0}), 0);
            assert_int_equal(hf_log_append_wait(fixture.log, fixture.batch), 0);
            append_many(&fixture, 21, 40, 6);
        }
        assert_int_equal(hf_log_iterator_next(iterator, 0, &entry), HF_ECONFLICT);
        for (uint64_t i = 21; i <= 40 && !is_removed; i++) {
            expect_next(iterator, i, 6);
        }
        assert_int_equal(hf_log_iterator_next(iterator, 0, &entry), HF_EUNAVAILABLE);
        hf_log_iterator_close(iterator);
        fixture_tear_down(&fixture);
    }
}

/* What was read before may still be handed out: those entries are gone, but were never replaced. */
static void a_compaction_with_two_windows_under_way_leaves_no_gap(void **unused)
{
    struct fixture fixture;
    struct hf_log_iterator *iterator = NULL;
    struct hf_entry entry;
    fill(&fixture, HF_LOG_IO_AUTO);
    for (uint64_t floor = 10; floor <= 100; floor += 6) {
        struct hf_log_group_state state = fixture_state(&fixture, 1);
        struct hf_log_iterator_options options = {.to = 200};
        assert_int_equal(hf_log_iterator_open(fixture.log, 1, &options, &iterator), 0);
        uint64_t position = state.first_index;
        for (int i = 0; i < 9; i++) {
            expect_next(iterator, position++, 1);
        }
        compact(&fixture, floor + 20);
        int rc = 0;
        while ((rc = hf_log_iterator_next(iterator, 0, &entry)) == 0) {
            assert_int_equal(entry.index, position++);
        }
        assert_int_equal(rc, position == 200 ? HF_ENOTFOUND : HF_ECOMPACTED);
        assert_true(rc == HF_ENOTFOUND || position <= floor + 20);
        hf_log_iterator_close(iterator);
    }
    fixture_tear_down(&fixture);
}

static void damage_in_either_window_is_met_by_who_wants_the_entry(void **unused)
{
    for (off_t offset = 96 << 10; offset <= 352 << 10; offset += 32 << 10) {
        struct fixture fixture;
        struct hf_log_iterator *iterator = NULL;
        struct hf_log_view view = {0};
        struct hf_entry entry;
        fill(&fixture, HF_LOG_IO_AUTO);
        damage_from(&fixture, offset);
        assert_int_equal(hf_log_iterator_open(fixture.log, 1, NULL, &iterator), 0);
        uint64_t position = 1;
        int rc = 0;
        while ((rc = hf_log_iterator_next(iterator, 0, &entry)) == 0) {
            assert_int_equal(entry.index, position++);
            assert_int_equal(entry.payload.size, PAYLOAD_SIZE);
        }
        assert_int_equal(rc, HF_ECORRUPT);
        assert_true(position <= (uint64_t)offset / PAYLOAD_SIZE + 1);
        assert_true(position + 8 >= (uint64_t)offset / PAYLOAD_SIZE);
        assert_int_equal(hf_log_read(fixture.log, 1, position, position + 8, 0, 0, &view), HF_ECORRUPT);
        assert_int_equal(hf_log_iterator_next(iterator, 0, &entry), HF_ECORRUPT);
        hf_log_iterator_close(iterator);
        fixture_tear_down(&fixture);
    }
}

static void *cancel_soon(void *iterator)
{
    static unsigned calls;
    usleep(calls++ * 37 % 1500);
    hf_log_iterator_cancel(iterator);
    return NULL;
}

static void an_iterator_is_cancelled_by_another_thread_while_it_waits_for_a_window(void **unused)
{
    struct fixture fixture;
    fill(&fixture, HF_LOG_IO_AUTO);
    for (int round = 0; round < 60; round++) {
        struct hf_log_iterator *iterator = NULL;
        struct hf_entry entry;
        pthread_t thread;
        uint64_t position = 1;
        int rc = 0;
        assert_int_equal(hf_log_iterator_open(fixture.log, 1, NULL, &iterator), 0);
        assert_int_equal(pthread_create(&thread, NULL, cancel_soon, iterator), 0);
        while ((rc = hf_log_iterator_next(iterator, UINT32_MAX, &entry)) == 0) {
            assert_int_equal(entry.index, position++);
        }
        assert_int_equal(rc, HF_ECANCELLED);
        pthread_join(thread, NULL);
        hf_log_iterator_close(iterator);
    }
    fixture_tear_down(&fixture);
}

static void an_iterator_is_cancelled_and_closed_while_it_reads_ahead(void **unused)
{
    struct fixture fixture;
    struct hf_entry entry;
    fill(&fixture, HF_LOG_IO_AUTO);
    for (uint64_t count = 1; count <= 40; count++) {
        struct hf_log_iterator *iterator = NULL;
        assert_int_equal(hf_log_iterator_open(fixture.log, 1, NULL, &iterator), 0);
        for (uint64_t i = 1; i <= count; i++) {
            expect_next(iterator, i, 1);
        }
        if (count % 2 == 0) {
            hf_log_iterator_cancel(iterator);
            assert_int_equal(hf_log_iterator_next(iterator, 0, &entry), HF_ECANCELLED);
        }
        hf_log_iterator_close(iterator);
    }
    fixture_tear_down(&fixture);
}

int main(void)
{
    planted_prepare();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_entry_comes_once_in_order_through_both_ways_to_the_kernel),
        cmocka_unit_test(limits_end_what_is_read_ahead_too),
        cmocka_unit_test(workers_exist_only_while_there_is_something_to_read_ahead),
        cmocka_unit_test(the_next_window_is_there_before_it_is_asked_for),
        cmocka_unit_test(what_was_truncated_is_not_handed_out_from_what_was_read_ahead),
        cmocka_unit_test(of_two_windows_neither_is_handed_out_after_a_truncation),
        cmocka_unit_test(a_restart_of_the_log_and_its_removal_are_heard_with_two_windows_under_way),
        cmocka_unit_test(a_compaction_with_two_windows_under_way_leaves_no_gap),
        cmocka_unit_test(damage_in_either_window_is_met_by_who_wants_the_entry),
        cmocka_unit_test(an_iterator_is_cancelled_by_another_thread_while_it_waits_for_a_window),
        cmocka_unit_test(an_iterator_is_cancelled_and_closed_while_it_reads_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
