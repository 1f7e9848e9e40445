/* A process that may start no more threads: what the log does beside its writes waits, and the writes do not. */
#include "unit/log/log_fixture.h"

#include <pthread.h>

#define PAYLOAD (64u << 10)
#define FIRST   8u   /* so many make the log prepare a segment; the first one is small, and no index file is begun */
#define ENTRIES 320u /* two segments of the full size and more */

static void set_stack(size_t size)
{
    pthread_attr_t attributes;
    assert_int_equal(pthread_attr_init(&attributes), 0);
    assert_int_equal(pthread_attr_setstacksize(&attributes, size), 0);
    assert_int_equal(pthread_setattr_default_np(&attributes), 0);
    pthread_attr_destroy(&attributes);
}

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

static unsigned index_files(const struct fixture *fixture)
{
    unsigned count = 0;
    DIR *directory = opendir(fixture->directory);
    assert_non_null(directory);
    for (struct dirent *entry = NULL; (entry = readdir(directory)) != NULL;) {
        count += strstr(entry->d_name, ".idx") != NULL && strstr(entry->d_name, ".tmp") == NULL;
    }
    closedir(directory);
    return count;
}

static void a_thread_that_cannot_be_started_leaves_the_log_without_index_files_for_a_while(void **unused)
{
    struct fixture fixture;
    pthread_attr_t before;
    size_t usual = 0;
    assert_int_equal(pthread_getattr_default_np(&before), 0);
    assert_int_equal(pthread_attr_getstacksize(&before, &usual), 0);
    pthread_attr_destroy(&before);
    fixture_set_up(&fixture);
    fixture.options.segment_size_bytes = 8u << 20;
    fixture_open(&fixture);
    append_large(&fixture, 1, FIRST);
    usleep(200000); /* the threads of ordinary work are there */
    set_stack((size_t)1 << 48);
    append_large(&fixture, FIRST + 1, ENTRIES);
    usleep(300000);
    append_large(&fixture, FIRST + ENTRIES + 1, 1);
    set_stack(usual);
    for (unsigned i = 0; index_files(&fixture) < 2; i++) {
        assert_true(i < 100);
        usleep(100000);
    }
    fixture_tear_down(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thread_that_cannot_be_started_leaves_the_log_without_index_files_for_a_while),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
