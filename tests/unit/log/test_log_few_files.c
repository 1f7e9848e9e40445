/* A process that may open no more files: what is read of the log's cold files waits for better times, and nothing is
 * taken for damage. */
#include "unit/log/log_fixture.h"

#include <poll.h>
#include <sys/resource.h>

#define PAYLOAD (32u << 10)
#define ENTRIES 400u /* some segments, and more than the cache holds */

static struct rlimit usual;

/* So many files may still be opened. */
static void allow_files(rlim_t count)
{
    int lowest = dup(STDIN_FILENO);
    assert_true(lowest >= 0);
    close(lowest);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &usual), 0);
    struct rlimit low = {.rlim_cur = (rlim_t)lowest + count, .rlim_max = usual.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &low), 0);
}

static void allow_files_as_ever(void)
{
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &usual), 0);
}

static uint8_t payload[PAYLOAD];

static unsigned index_files(const struct fixture *fixture)
{
    unsigned count = 0;
    DIR *directory = opendir(fixture->directory);
    assert_non_null(directory);
    for (struct dirent *entry = NULL; (entry = readdir(directory)) != NULL;) {
        count += strlen(entry->d_name) == 20 && strstr(entry->d_name, ".idx") != NULL;
    }
    closedir(directory);
    return count;
}

/* Reopened: every file but the last is closed again, and has its index file. */
static void fill(struct fixture *fixture)
{
    struct hf_log_stat stat;
    fixture_set_up(fixture);
    fixture->options.segment_size_bytes = 2u << 20;
    fixture->options.tail_cache_bytes = 1u << 20;
    fixture->options.driver = HF_LOG_DRIVE_CALLER; /* so that nothing opens files meanwhile */
    fixture->options.io = HF_LOG_IO_THREADS;
    fixture_open(fixture);
    for (uint64_t i = 1; i <= ENTRIES; i++) {
        struct hf_entry entry = {
            .index = i, .term = 1, .type = HF_ENTRY_NORMAL, .payload = bytes_of(payload, sizeof(payload))};
        hf_log_batch_clear(fixture->batch);
        assert_int_equal(hf_log_batch_append(fixture->batch, 1, &entry, 1), 0);
        assert_int_equal(hf_log_append_wait(fixture->log, fixture->batch), 0);
    }
    for (unsigned i = 0;; i++) {
        hf_log_turn_wait(fixture->log, UINT64_C(10000000));
        hf_log_stat(fixture->log, &stat);
        if (index_files(fixture) + 1 >= stat.segments) {
            break;
        }
        assert_true(i < 6000);
    }
    fixture_reopen(fixture);
}

static int read_one(struct fixture *fixture, uint64_t index)
{
    struct hf_log_view view = {0};
    int rc = hf_log_read(fixture->log, 1, index, index + 1, 0, 0, &view);
    if (rc == 0) {
        assert_int_equal(view.count, 1);
        assert_int_equal(view.entries[0].index, index);
        assert_int_equal(view.entries[0].payload.size, sizeof(payload));
        assert_memory_equal(view.entries[0].payload.data, payload, sizeof(payload));
    }
    hf_log_view_close(&view);
    return rc;
}

static void expect_no_damage(struct fixture *fixture)
{
    size_t position = 0;
    struct hf_log_damage damage;
    assert_int_equal(hf_log_damage_next(fixture->log, &position, &damage), HF_ENOTFOUND);
    assert_false(fixture_state(fixture, 1).damaged);
}

static void L34_a_segment_that_cannot_be_opened_is_an_error_of_the_read_and_no_damage(void **unused)
{
    (void)unused;
    struct fixture fixture;
    fill(&fixture);
    allow_files(0);
    int first = read_one(&fixture, 1);
    char text[256];
    snprintf(text, sizeof(text), "%s", hf_error_text());
    int middle = read_one(&fixture, ENTRIES / 2);
    allow_files_as_ever();
    assert_int_equal(first, HF_EIO);
    assert_non_null(strstr(text, ".log"));
    assert_int_equal(middle, HF_EIO);
    expect_no_damage(&fixture);
    assert_int_equal(read_one(&fixture, 1), 0);
    assert_int_equal(read_one(&fixture, ENTRIES / 2), 0);
    assert_int_equal(fixture_append(&fixture, 1, ENTRIES + 1, 1, "it goes on"), 0);
    fixture_tear_down(&fixture);
}

static void L33_an_index_file_that_cannot_be_opened_is_no_damage(void **unused)
{
    (void)unused;
    struct fixture fixture;
    fill(&fixture);
    allow_files(1);
    int rc = read_one(&fixture, 2); /* the segment's file, and no more: to search it would take another one */
    allow_files_as_ever();
    assert_true(rc == 0 || rc == HF_EIO);
    expect_no_damage(&fixture);
    for (uint64_t index = 1; index <= ENTRIES; index += 7) {
        assert_int_equal(read_one(&fixture, index), 0);
    }
    expect_no_damage(&fixture);
    fixture_tear_down(&fixture);
}

/* Its queue is a file, too. */
static void an_iterator_that_gets_no_queue_reads_by_itself(void **unused)
{
    (void)unused;
    static const rlim_t allowed[] = {2, 0};
    struct fixture fixture;
    fill(&fixture);
    for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
        struct hf_log_iterator *iterator = NULL;
        struct hf_entry entry;
        assert_int_equal(read_one(&fixture, 1), 0);
        assert_int_equal(hf_log_iterator_open(fixture.log, 1, NULL, &iterator), 0);
        allow_files(allowed[i]);
        int rc = 0;
        uint64_t next = 1;
        while (next <= ENTRIES && (rc = hf_log_iterator_next(iterator, 0, &entry)) == 0) {
            assert_int_equal(entry.index, next++);
        }
        allow_files_as_ever();
        assert_true(rc == 0 || rc == HF_EIO);
        while (next <= ENTRIES) { /* from where it stopped */
            assert_int_equal(hf_log_iterator_next(iterator, 0, &entry), 0);
            assert_int_equal(entry.index, next++);
        }
        hf_log_iterator_close(iterator);
        expect_no_damage(&fixture);
        fixture_reopen(&fixture);
    }
    fixture_tear_down(&fixture);
}

/* With as few as it takes it opens; with fewer it says so, and what is there stays as it is. */
static void an_open_that_may_open_no_more_files_says_so(void **unused)
{
    (void)unused;
    struct fixture fixture;
    fill(&fixture);
    unsigned refused = 0;
    for (rlim_t allowed = 0; allowed < 40; allowed += allowed < 8 ? 1 : 4) {
        fixture_close(&fixture);
        allow_files(allowed);
        int rc = hf_log_open(fixture.directory, &fixture.options, &fixture.log);
        bool is_told = rc == 0 || strstr(hf_error_text(), "Too many open files") != NULL;
        allow_files_as_ever();
        refused += rc != 0;
        assert_true(rc == 0 || fixture.log == NULL);
        assert_true(is_told);
        if (rc != 0) {
            fixture_open(&fixture);
        }
        expect_no_damage(&fixture);
        assert_int_equal(fixture_state(&fixture, 1).last_index, ENTRIES);
        assert_int_equal(read_one(&fixture, 1), 0);
    }
    assert_true(refused > 3);
    fixture_tear_down(&fixture);
}

/* A server that has as many connections as it may have, for a while: the log's next segment waits for that. */
static void a_log_that_may_open_no_more_files_takes_appends_later(void **unused)
{
    (void)unused;
    static const enum hf_log_io kinds[] = {HF_LOG_IO_AUTO, HF_LOG_IO_THREADS};
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
        for (rlim_t allowed = 0; allowed < 3; allowed++) { /* none for the file, none for the sync of its folder */
            struct fixture fixture;
            unsigned refused = 0;
            uint64_t next = 1;
            fixture_set_up(&fixture);
            fixture.options.segment_size_bytes = 1u << 20;
            fixture.options.tail_cache_bytes = 1;
            fixture.options.io = kinds[i];
            fixture_open(&fixture);
            for (; next <= 10; next++) {
                assert_int_equal(fixture_append(&fixture, 1, next, 1, "x"), 0);
            }
            allow_files(allowed);
            for (unsigned tries = 0; tries < 80 && refused < 3; tries++) {
                struct hf_entry entry = {.index = next, .term = 1, .type = HF_ENTRY_NORMAL};
                entry.payload = bytes_of(payload, sizeof(payload));
                hf_log_batch_clear(fixture.batch);
                assert_int_equal(hf_log_batch_append(fixture.batch, 1, &entry, 1), 0);
                int rc = hf_log_append_with(fixture.log, fixture.batch, &(struct hf_log_append_options){0});
                assert_true(rc == 0 || rc == HF_ENOSPACE || rc == HF_EBUSY);
                next += rc == 0;
                refused += rc == HF_ENOSPACE;
                usleep(rc == 0 ? 1000 : 20000);
            }
            allow_files_as_ever();
            assert_int_equal(hf_log_sync(fixture.log), 0);
            for (unsigned more = 0; more < 300; more++) {
                int rc = fixture_append(&fixture, 1, next, 1, "and on");
                assert_true(rc == 0 || rc == HF_ENOSPACE);
                next += rc == 0;
                usleep(rc == 0 ? 0 : 20000);
            }
            fixture_reopen(&fixture);
            assert_int_equal(fixture_state(&fixture, 1).last_index, next - 1);
            expect_no_damage(&fixture);
            fixture_tear_down(&fixture);
        }
    }
}

static void count_good(void *arg, int result)
{
    assert_int_equal(result, 0);
    ++*(unsigned *)arg;
}

/* No descriptor to wait for: then completions are asked for without, and a later descriptor tells of those there are.
 */
static void completions_do_without_a_descriptor(void **unused)
{
    (void)unused;
    struct fixture fixture;
    struct hf_log_append_options options = {.poll = true, .token = 9};
    struct hf_log_completion completion = {0};
    fixture_set_up(&fixture);
    fixture.options.driver = HF_LOG_DRIVE_CALLER;
    fixture_open(&fixture);
    allow_files(0);
    assert_int_equal(hf_log_poll_descriptor(fixture.log), -1);
    allow_files_as_ever();
    struct hf_entry entry = fixture_entry(1, 1, "x");
    assert_int_equal(hf_log_batch_append(fixture.batch, 1, &entry, 1), 0);
    assert_int_equal(hf_log_append_with(fixture.log, fixture.batch, &options), 0);
    unsigned done = 0;
    hf_log_batch_clear(fixture.batch);
    assert_int_equal(hf_log_append(fixture.log, fixture.batch, count_good, &done), 0);
    while (done == 0) {
        hf_log_turn_wait(fixture.log, UINT64_C(1000000000));
    }
    struct pollfd polled = {.fd = hf_log_poll_descriptor(fixture.log), .events = POLLIN};
    assert_int_equal(poll(&polled, 1, 0), 1);
    assert_int_equal(hf_log_poll(fixture.log, &completion, 1), 1);
    assert_int_equal(completion.token, 9);
    assert_int_equal(poll(&polled, 1, 0), 0);
    fixture_tear_down(&fixture);
}

int main(void)
{
    memset(payload, 0x6b, sizeof(payload));
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(L34_a_segment_that_cannot_be_opened_is_an_error_of_the_read_and_no_damage),
        cmocka_unit_test(L33_an_index_file_that_cannot_be_opened_is_no_damage),
        cmocka_unit_test(a_log_that_may_open_no_more_files_takes_appends_later),
        cmocka_unit_test(an_open_that_may_open_no_more_files_says_so),
        cmocka_unit_test(completions_do_without_a_descriptor),
        cmocka_unit_test(an_iterator_that_gets_no_queue_reads_by_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
