/* The window behind the one that an iterator hands out is read meanwhile: where that is worth a worker, and never so
 * that an entry is handed out that is gone. */
#include <fcntl.h>
#include <time.h>

#include "planted.h"
#include "unit/log/log_fixture.h"

#define ENTRIES      500u
#define PAYLOAD_SIZE 8000u
#define WINDOW_BYTES (64u << 10) /* eight entries */

static void append_many(struct fixture *fixture, uint64_t from, uint64_t to, uint64_t term)
{
    static char payload[PAYLOAD_SIZE + 1];
    memset(payload, 'a' + (int)(term % 26), PAYLOAD_SIZE);
    hf_log_batch_clear(fixture->batch);
    for (uint64_t i = from; i <= to; i++) {
        struct hf_entry entry = fixture_entry(i, term, payload);
        assert_int_equal(hf_log_batch_append(fixture->batch, 1, &entry, 1), 0);
        if (i % 50 == 0 || i == to) {
            assert_int_equal(hf_log_append_wait(fixture->log, fixture->batch), 0);
            hf_log_batch_clear(fixture->batch);
        }
    }
}

/* The first entries lie on the device alone. */
static void fill(struct fixture *fixture, enum hf_log_io io)
{
    fixture_set_up(fixture);
    fixture->options.segment_size_bytes = 1 << 20;
    fixture->options.tail_cache_bytes = 1 << 20;
    fixture->options.read_ahead_bytes = WINDOW_BYTES;
    fixture->options.io = io;
    fixture_open(fixture);
    append_many(fixture, 1, ENTRIES, 1);
    fixture_reopen(fixture);
}

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

static void expect_next(struct hf_log_iterator *iterator, uint64_t index, uint64_t term)
{
    struct hf_entry entry;
    int rc = hf_log_iterator_next(iterator, 0, &entry);
    if (rc != 0) {
        fail_msg("index %d: %s: %s", (int)index, hf_error_name(rc), hf_error_text());
    }
    assert_int_equal(entry.index, index);
    assert_int_equal(entry.term, term);
    assert_int_equal(entry.payload.size, PAYLOAD_SIZE);
    assert_int_equal(((const char *)entry.payload.data)[PAYLOAD_SIZE - 1], 'a' + (int)(term % 26));
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
        {{.from = 5, .to = 40}, 35}, {{.count_max = 21}, 21},          {{.bytes_max = 20 * PAYLOAD_SIZE + 5}, 20},
        {{.bytes_max = 1}, 1},       {{.from = 3, .count_max = 8}, 8},
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

static void a_worker_exists_only_while_there_is_something_to_read_ahead(void **unused)
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
            hf_log_batch_clear(fixture.batch);
            assert_int_equal(hf_log_batch_truncate(fixture.batch, 1, 12), 0);
            assert_int_equal(hf_log_append_wait(fixture.log, fixture.batch), 0);
            append_many(&fixture, 12, 30, term);
            for (uint64_t i = handed_out + 1; i <= 30; i++) {
                expect_next(iterator, i, i < 12 ? 1 : term);
            }
            hf_log_iterator_close(iterator);
            fixture_reopen(&fixture); /* cold again */
        }
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
        cmocka_unit_test(a_worker_exists_only_while_there_is_something_to_read_ahead),
        cmocka_unit_test(the_next_window_is_there_before_it_is_asked_for),
        cmocka_unit_test(what_was_truncated_is_not_handed_out_from_what_was_read_ahead),
        cmocka_unit_test(an_iterator_is_cancelled_and_closed_while_it_reads_ahead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
