/* A process that may start no more threads once its log is open: the log goes on as ever, also with what it does beside
 * its writes. */
#include "unit/log/log_fixture.h"

#include <stdatomic.h>

#include "no_threads.h"

#define PAYLOAD    (64u << 10)
#define FIRST      16u  /* so many entries fill the first segment */
#define ENTRIES    320u /* two segments of the full size and more */
#define ROUNDS_MAX 20000u

static const enum hf_log_io backends[] = {HF_LOG_IO_AUTO, HF_LOG_IO_THREADS};

static void put(struct fixture *fixture, uint64_t group, uint64_t index, uint32_t size)
{
    static uint8_t payload[PAYLOAD];
    struct hf_entry entry = {
        .index = index, .term = 1, .timestamp_ms = index, .type = HF_ENTRY_NORMAL, .payload = bytes_of(payload, size)};
    assert_int_equal(hf_log_batch_append(fixture->batch, group, &entry, 1), 0);
}

static void put_and_wait(struct fixture *fixture, uint64_t group, uint64_t index, uint32_t size)
{
    hf_log_batch_clear(fixture->batch);
    put(fixture, group, index, size);
    int rc = hf_log_append_wait(fixture->log, fixture->batch);
    if (rc != 0) {
        fail_msg("entry %d: %s: %s", (int)index, hf_error_name(rc), hf_error_text());
    }
}

static unsigned index_files(const struct fixture *fixture)
{
    unsigned count = 0;
    DIR *directory = opendir(fixture->directory);
    assert_non_null(directory);
    for (struct dirent *entry = NULL; (entry = readdir(directory)) != NULL;) {
        size_t size = strlen(entry->d_name);
        count += size > 4 && strcmp(entry->d_name + size - 4, ".idx") == 0;
    }
    closedir(directory);
    return count;
}

static void segments_and_their_index_files_are_made_although_no_thread_can_be_started(void **unused)
{
    for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++) {
        struct fixture fixture;
        fixture_set_up(&fixture);
        fixture.options.io = backends[i];
        fixture.options.segment_size_bytes = 8u << 20;
        fixture_open(&fixture);
        size_t usual = no_threads_begin();
        for (uint64_t index = 1; index <= ENTRIES; index++) {
            put_and_wait(&fixture, 1, index, PAYLOAD);
        }
        for (unsigned tries = 0; index_files(&fixture) < 2; tries++) {
            assert_true(tries < 6000);
            usleep(10000);
        }
        no_threads_end(usual);
        fixture_tear_down(&fixture);
    }
}

/* Two groups fill segments: the first is compacted, the second too, in the middle of a collection, and by time. */
static void space_comes_back_although_no_thread_can_be_started(void **unused)
{
    struct fixture fixture;
    struct hf_log_stat stat = {0};
    uint64_t first_index = 0;
    fixture_set_up(&fixture);
    fixture.options.segment_size_bytes = 1u << 20;
    fixture.options.delete_delay_ms = 50;
    fixture.options.delete_scan_ms = 20;
    fixture_open(&fixture);
    size_t usual = no_threads_begin();
    for (uint64_t i = 1;
         stat.released_segments == 0 || stat.moved_entries == 0 || stat.recycled_segments == 0 || first_index < 20;
         i++) {
        assert_true(i < ROUNDS_MAX);
        put_and_wait(&fixture, 1, i, 30000);
        put_and_wait(&fixture, 2, i, 1000);
        if (i % 20 == 0) {
            hf_log_batch_clear(fixture.batch);
            assert_int_equal(hf_log_batch_compact(fixture.batch, 1, i - 1), 0);
            assert_int_equal(hf_log_append_wait(fixture.log, fixture.batch), 0);
            const struct hf_log_retention bounds = {.applied_index = i, .snapshot_index = HF_LOG_INDEX_MAX};
            assert_int_equal(hf_log_retain(fixture.log, 2, &bounds), 0);
            assert_int_equal(hf_log_mark_time(fixture.log, 2, i / 2), 0);
        }
        hf_log_stat(fixture.log, &stat);
        first_index = fixture_state(&fixture, 2).first_index;
    }
    assert_int_equal(stat.failure, 0);
    no_threads_end(usual);
    fixture_tear_down(&fixture);
}

static void note_result(void *arg, int result)
{
    atomic_store((_Atomic int *)arg, result);
}

/* More is queued than the first segment takes, and nobody waits for it. */
static void a_log_that_could_start_no_thread_ends_what_is_queued_when_it_is_closed(void **unused)
{
    for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++) {
        struct fixture fixture;
        _Atomic int result = 1;
        fixture_set_up(&fixture);
        fixture.options.io = backends[i];
        fixture_open(&fixture);
        size_t usual = no_threads_begin();
        for (uint64_t index = 1; index <= 2 * FIRST; index++) {
            hf_log_batch_clear(fixture.batch);
            put(&fixture, 1, index, PAYLOAD);
            bool is_last = index == 2 * FIRST;
            assert_int_equal(hf_log_append(fixture.log, fixture.batch, is_last ? note_result : NULL, (void *)&result),
                             0);
        }
        fixture_close(&fixture);
        no_threads_end(usual);
        assert_int_equal(atomic_load(&result), 0);
        fixture_open(&fixture);
        assert_int_equal(fixture_state(&fixture, 1).last_index, 2 * FIRST);
        fixture_tear_down(&fixture);
    }
}

static void a_log_that_gets_no_thread_is_not_opened_and_says_so(void **unused)
{
    for (size_t i = 0; i < sizeof(backends) / sizeof(backends[0]); i++) {
        struct fixture fixture;
        fixture_set_up(&fixture);
        fixture.options.io = backends[i];
        fixture.options.driver = HF_LOG_DRIVE_CALLER;
        fixture_open(&fixture);
        assert_int_equal(fixture_append(&fixture, 1, 1, 1, "kept"), 0);
        fixture_close(&fixture);
        size_t usual = no_threads_begin();
        assert_int_equal(hf_log_open(fixture.directory, &fixture.options, &fixture.log), HF_ENOMEM);
        assert_non_null(strstr(hf_error_text(), "start thread"));
        no_threads_end(usual);
        fixture_open(&fixture);
        fixture_expect(&fixture, 1, 1, 1, "kept");
        fixture_tear_down(&fixture);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(segments_and_their_index_files_are_made_although_no_thread_can_be_started),
        cmocka_unit_test(space_comes_back_although_no_thread_can_be_started),
        cmocka_unit_test(a_log_that_could_start_no_thread_ends_what_is_queued_when_it_is_closed),
        cmocka_unit_test(a_log_that_gets_no_thread_is_not_opened_and_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
