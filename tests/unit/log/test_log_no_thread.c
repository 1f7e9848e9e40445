/* A process that may start no more threads: what the log does beside its writes waits, and the writes do not. */
#include "unit/log/log_fixture.h"

#include <stdatomic.h>
#include <time.h>

#include "no_threads.h"

#define PAYLOAD (64u << 10)
#define FIRST   8u   /* so many make the log prepare a segment; the first one is small, and no index file is begun */
#define ENTRIES 320u /* two segments of the full size and more */

static void append_large(struct fixture *fixture, uint64_t from, uint64_t count)
{
    static uint8_t payload[PAYLOAD];
    for (uint64_t i = from; i < from + count; i++) {
        struct hf_entry entry = {
            .index = i, .term = 1, .type = HF_ENTRY_NORMAL, .payload = bytes_of(payload, sizeof(payload))};
        hf_log_batch_clear(fixture->batch);
        assert_int_equal(hf_log_batch_append(fixture->batch, 1, &entry, 1), 0);
        int rc = hf_log_append_wait(fixture->log, fixture->batch);
        if (rc != 0) {
            fail_msg("entry %d: %s: %s", (int)i, hf_error_name(rc), hf_error_text());
        }
    }
}

static unsigned files_with(const struct fixture *fixture, const char *suffix)
{
    unsigned count = 0;
    DIR *directory = opendir(fixture->directory);
    assert_non_null(directory);
    for (struct dirent *entry = NULL; (entry = readdir(directory)) != NULL;) {
        size_t size = strlen(entry->d_name);
        count += size > 4 && strcmp(entry->d_name + size - 4, suffix) == 0;
    }
    closedir(directory);
    return count;
}

static void wait_for_files(const struct fixture *fixture, const char *suffix, unsigned count)
{
    for (unsigned i = 0; files_with(fixture, suffix) < count; i++) {
        assert_true(i < 6000);
        usleep(10000);
    }
}

static void a_thread_that_cannot_be_started_leaves_the_log_without_index_files_for_a_while(void **unused)
{
    struct fixture fixture;
    fixture_set_up(&fixture);
    fixture.options.segment_size_bytes = 8u << 20;
    fixture_open(&fixture);
    append_large(&fixture, 1, FIRST);
    wait_for_files(&fixture, ".tmp", 1); /* the next segment: the threads of ordinary work are there */
    usleep(200000);
    size_t usual = no_threads_begin();
    append_large(&fixture, FIRST + 1, ENTRIES);
    usleep(300000);
    append_large(&fixture, FIRST + ENTRIES + 1, 1);
    no_threads_end(usual);
    wait_for_files(&fixture, ".idx", 2);
    fixture_tear_down(&fixture);
}

static void note_result(void *arg, int result)
{
    atomic_store((_Atomic int *)arg, result);
}

static uint64_t cpu_ms(void)
{
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now), 0);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* The first segment is full, and there is no thread that could make another one. result: of the last entry. */
static void queue_beyond_the_first_segment(struct fixture *fixture, _Atomic int *result)
{
    static uint8_t payload[PAYLOAD];
    append_large(fixture, 1, 2 * FIRST - 2);
    for (uint64_t i = 2 * FIRST - 1; i <= 2 * FIRST + 2; i++) {
        struct hf_entry entry = {
            .index = i, .term = 1, .type = HF_ENTRY_NORMAL, .payload = bytes_of(payload, sizeof(payload))};
        hf_log_batch_clear(fixture->batch);
        assert_int_equal(hf_log_batch_append(fixture->batch, 1, &entry, 1), 0);
        bool is_last = i == 2 * FIRST + 2;
        assert_int_equal(hf_log_append(fixture->log, fixture->batch, is_last ? note_result : NULL, (void *)result), 0);
    }
}

static void wait_for_a_segment(enum hf_log_io io)
{
    struct fixture fixture;
    _Atomic int result = 1;
    fixture_set_up(&fixture);
    fixture.options.io = io;
    fixture_open(&fixture);
    size_t usual = no_threads_begin();
    queue_beyond_the_first_segment(&fixture, &result);
    uint64_t cpu_before_ms = cpu_ms();
    usleep(500000);
    assert_int_equal(atomic_load(&result), 1);
    assert_true(cpu_ms() - cpu_before_ms < 200);
    no_threads_end(usual);
    for (unsigned i = 0; atomic_load(&result) == 1; i++) {
        assert_true(i < 600);
        usleep(100000);
    }
    assert_int_equal(atomic_load(&result), 0);
    assert_int_equal(fixture_state(&fixture, 1).last_index, 2 * FIRST + 2);
    fixture_tear_down(&fixture);
}

/* With pwritev2, writes have threads of their own: there it is made by who submits it. */
static void an_append_waits_for_a_thread_that_makes_its_segment_and_the_driver_sleeps(void **unused)
{
    wait_for_a_segment(HF_LOG_IO_AUTO);
    wait_for_a_segment(HF_LOG_IO_THREADS);
}

static void a_log_is_closed_although_no_thread_can_make_the_segment_that_is_waited_for(void **unused)
{
    struct fixture fixture;
    _Atomic int result = 1;
    fixture_set_up(&fixture);
    fixture_open(&fixture);
    size_t usual = no_threads_begin();
    queue_beyond_the_first_segment(&fixture, &result);
    fixture_close(&fixture);
    no_threads_end(usual);
    assert_int_equal(atomic_load(&result), HF_ECLOSED);
    fixture_open(&fixture); /* what was acknowledged is there */
    assert_true(fixture_state(&fixture, 1).last_index >= 2 * FIRST - 2);
    fixture_tear_down(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_that_cannot_be_started_leaves_the_log_without_index_files_for_a_while),
        cmocka_unit_test(an_append_waits_for_a_thread_that_makes_its_segment_and_the_driver_sleeps),
        cmocka_unit_test(a_log_is_closed_although_no_thread_can_make_the_segment_that_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
