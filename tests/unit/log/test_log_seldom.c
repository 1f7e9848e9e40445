/* What seldom happens to a log: reads of more entries than are planned at once, a compaction in the middle of entries
 * whose places are only in an index file, and calls that make no sense. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "unit/log/log_fixture.h"

#define MANY 10000u /* more than two rounds of a read */

/* The payload of an entry says which generation of the log's end wrote it. */
static void append_range(struct fixture *fixture, uint64_t from, uint64_t to, uint64_t generation)
{
    hf_log_batch_clear(fixture->batch);
    for (uint64_t i = from; i <= to; i++) {
        struct hf_entry entry = {.index = i,
                                 .term = 1 + generation,
                                 .type = HF_ENTRY_NORMAL,
                                 .payload = bytes_of(&generation, 1 + i % sizeof(generation))};
        assert_int_equal(hf_log_batch_append(fixture->batch, 1, &entry, 1), 0);
    }
    assert_int_equal(hf_log_append_wait(fixture->log, fixture->batch), 0);
}

/* Thread: any; cmocka's checks belong to the main one. */
static int replace_from(struct fixture *fixture, uint64_t from, uint64_t generation)
{
    hf_log_batch_clear(fixture->batch);
    int rc = hf_log_batch_truncate(fixture->batch, 1, from);
    for (uint64_t i = from; i <= MANY && rc == 0; i++) {
        struct hf_entry entry = {.index = i,
                                 .term = 1 + generation,
                                 .type = HF_ENTRY_NORMAL,
                                 .payload = bytes_of(&generation, 1 + i % sizeof(generation))};
        rc = hf_log_batch_append(fixture->batch, 1, &entry, 1);
    }
    return rc == 0 ? hf_log_append_wait(fixture->log, fixture->batch) : rc;
}

static void a_read_of_many_entries_gives_all_of_them(void **unused)
{
    for (int backend = HF_LOG_FILE; backend <= HF_LOG_MEMORY; backend++) {
        struct fixture fixture;
        struct hf_log_view view;
        fixture_set_up(&fixture);
        fixture.options.backend = (enum hf_log_backend)backend;
        fixture_open(&fixture);
        append_range(&fixture, 1, MANY, 3);
        for (int reopens = 0; reopens < 2; reopens++) {
            assert_int_equal(hf_log_read(fixture.log, 1, 1, 0, 0, 0, &view), 0);
            assert_int_equal(view.count, MANY);
            for (uint64_t i = 0; i < MANY; i++) {
                assert_int_equal(view.entries[i].index, i + 1);
                assert_int_equal(view.entries[i].payload.size, 1 + (i + 1) % 8);
            }
            hf_log_view_close(&view);
            assert_int_equal(hf_log_read(fixture.log, 1, 5, 9000, 0, 6000, &view), 0);
            assert_int_equal(view.count, 6000);
            hf_log_view_close(&view);
            if (backend == HF_LOG_FILE) {
                fixture_reopen(&fixture);
            }
        }
        fixture_tear_down(&fixture);
    }
}

struct replacing {
    struct fixture *fixture;
    atomic_bool done;
    int result; /* when it is done */
    char text[256];
};

static void *replace_again_and_again(void *arg)
{
    struct replacing *replacing = arg;
    for (uint64_t generation = 1; generation <= 40 && replacing->result == 0; generation++) {
        replacing->result = replace_from(replacing->fixture, 5001, generation);
    }
    snprintf(replacing->text, sizeof(replacing->text), "%s", hf_error_text());
    atomic_store(&replacing->done, true);
    return NULL;
}

/* Between the rounds of a read the end of the log may be another one: then the read ends where it is. */
static void a_read_is_of_one_state_though_the_end_is_replaced_meanwhile(void **unused)
{
    struct fixture fixture;
    pthread_t thread;
    fixture_set_up(&fixture);
    fixture.options.backend = HF_LOG_MEMORY; /* the quickest to change */
    fixture_open(&fixture);
    append_range(&fixture, 1, MANY, 0);
    struct replacing replacing = {.fixture = &fixture};
    assert_int_equal(pthread_create(&thread, NULL, replace_again_and_again, &replacing), 0);
    while (!atomic_load(&replacing.done)) {
        struct hf_log_view view;
        int rc = hf_log_read(fixture.log, 1, 1, 0, 0, 0, &view);
        assert_int_equal(rc, 0);
        assert_in_range(view.count, 1, MANY);
        for (uint64_t i = 5001; i < view.count; i++) {
            assert_int_equal(view.entries[i].term, view.entries[5000].term);
        }
        hf_log_view_close(&view);
    }
    pthread_join(thread, NULL);
    if (replacing.result != 0) {
        fail_msg("%s: %s", hf_error_name(replacing.result), replacing.text);
    }
    fixture_tear_down(&fixture);
}

static unsigned index_files(const struct fixture *fixture)
{
    unsigned count = 0;
    DIR *directory = opendir(fixture->directory);
    for (struct dirent *entry = NULL; (entry = readdir(directory)) != NULL;) {
        size_t size = strlen(entry->d_name);
        count += size > 4 && strcmp(entry->d_name + size - 4, ".idx") == 0;
    }
    closedir(directory);
    return count;
}

/* Payload of entries from .. to, as append_range writes them. */
static uint64_t payload_bytes(uint64_t from, uint64_t to)
{
    uint64_t sum = 0;
    for (uint64_t i = from; i <= to; i++) {
        sum += 1 + i % 8;
    }
    return sum;
}

static void bytes_are_right_after_a_cut_in_the_middle_of_what_only_an_index_file_knows(void **unused)
{
    static const uint64_t floors[] = {1, 700, 2600, 7777, 9000};
    struct fixture fixture;
    fixture_set_up(&fixture);
    fixture.options.segment_size_bytes = 1 << 20;
    fixture_open(&fixture);
    append_range(&fixture, 1, MANY, 7);
    for (unsigned i = 1; index_files(&fixture) == 0; i++) { /* a sealed segment with thousands of slots */
        static char filler[100001];
        memset(filler, 'f', sizeof(filler) - 1);
        assert_true(i < 6000);
        if (i < 200) {
            assert_int_equal(fixture_append(&fixture, 2, i, 1, filler), 0);
        }
        usleep(20000);
    }
    fixture_reopen(&fixture);
    assert_int_equal(fixture_state(&fixture, 1).bytes, payload_bytes(1, MANY));
    for (size_t i = 0; i < sizeof(floors) / sizeof(floors[0]); i++) {
        hf_log_batch_clear(fixture.batch);
        assert_int_equal(hf_log_batch_compact(fixture.batch, 1, floors[i]), 0);
        assert_int_equal(hf_log_append_wait(fixture.log, fixture.batch), 0);
        assert_int_equal(fixture_state(&fixture, 1).bytes, payload_bytes(floors[i] + 1, MANY));
    }
    hf_log_batch_clear(fixture.batch);
    assert_int_equal(hf_log_batch_truncate(fixture.batch, 1, 9500), 0);
    assert_int_equal(hf_log_append_wait(fixture.log, fixture.batch), 0);
    assert_int_equal(fixture_state(&fixture, 1).bytes, payload_bytes(9001, 9499));
    fixture_tear_down(&fixture);
}

static void installations_and_groups_that_make_no_sense_are_refused(void **unused)
{
    static const char name[HF_LOG_SNAPSHOT_NAME_SIZE_MAX + 1];
    static const struct {
        uint64_t group;
        uint64_t index;
        size_t name_size;
        int result;
    } rows[] = {
        {0, 5, 0, HF_EINVALID},
        {HF_LOG_GROUP_MAX + 1, 5, 0, HF_EINVALID},
        {1, 0, 0, HF_EINVALID},
        {1, HF_LOG_INDEX_MAX, 0, HF_EINVALID},
        {1, 5, sizeof(name), HF_ETOOBIG},
        {1, 5, 0, 0},
        {1, 6, 1, HF_EBUSY},
    };
    struct fixture fixture;
    fixture_set_up(&fixture);
    fixture_open(&fixture);
    assert_int_equal(hf_log_install_cancel(fixture.log, 1), HF_ENOTFOUND);
    assert_int_equal(hf_log_install_finish(fixture.log, 1), HF_ENOTFOUND);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(
            hf_log_install_begin(fixture.log, rows[i].group, rows[i].index, 3, bytes_of(name, rows[i].name_size)),
            rows[i].result);
    }
    assert_int_equal(hf_log_install_finish(fixture.log, 2), HF_ENOTFOUND);
    assert_int_equal(hf_log_install_finish(fixture.log, 1), 0);
    assert_int_equal(hf_log_install_begin(fixture.log, 1, 5, 4, bytes_of(NULL, 0)), HF_ECONFLICT);
    assert_int_equal(hf_log_install_begin(fixture.log, 1, 5, 3, bytes_of(NULL, 0)), HF_ECOMPACTED);
    assert_int_equal(hf_log_install_cancel(fixture.log, 1), HF_ENOTFOUND);
    assert_int_equal(hf_log_group_open(fixture.log, 0, 1), HF_EINVALID);
    assert_int_equal(hf_log_group_open(fixture.log, HF_LOG_GROUP_MAX + 1, 1), HF_EINVALID);
    assert_int_equal(hf_log_group_open(fixture.log, 1, 0), HF_EINVALID);
    fixture_tear_down(&fixture);
}

static void a_memory_log_says_what_it_could_still_take(void **unused)
{
    struct fixture fixture;
    fixture_set_up(&fixture);
    fixture.options.backend = HF_LOG_MEMORY;
    fixture.options.memory_bytes_max = 1 << 20;
    fixture_open(&fixture);
    uint64_t before = hf_log_capacity_bytes(fixture.log);
    assert_int_equal(before, 1 << 20);
    append_range(&fixture, 1, 1000, 1);
    uint64_t after = hf_log_capacity_bytes(fixture.log);
    assert_true(after < before);
    assert_int_equal(hf_log_reserve(fixture.log, 1000), 0);
    assert_int_equal(hf_log_capacity_bytes(fixture.log), after - 1000);
    hf_log_unreserve(fixture.log, 1000);
    fixture_tear_down(&fixture);
}

static void an_iterator_ends_at_the_last_possible_index(void **unused)
{
    struct fixture fixture;
    struct hf_log_iterator *iterator = NULL;
    struct hf_entry entry = fixture_entry(HF_LOG_INDEX_MAX - 1, 1, "last but one");
    const struct hf_log_iterator_options options = {.durable_only = true};
    fixture_set_up(&fixture);
    fixture_open(&fixture);
    assert_int_equal(hf_log_batch_append(fixture.batch, 1, &entry, 1), 0);
    entry = fixture_entry(HF_LOG_INDEX_MAX, 1, "last");
    assert_int_equal(hf_log_batch_append(fixture.batch, 1, &entry, 1), 0);
    assert_int_equal(hf_log_append_wait(fixture.log, fixture.batch), 0);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(hf_log_iterator_open(fixture.log, 1, i == 0 ? NULL : &options, &iterator), 0);
        assert_int_equal(hf_log_iterator_next(iterator, 0, &entry), 0);
        assert_int_equal(hf_log_iterator_next(iterator, 0, &entry), 0);
        assert_true(entry.index == HF_LOG_INDEX_MAX);
        assert_int_equal(hf_log_iterator_next(iterator, 0, &entry), HF_ENOTFOUND);
        hf_log_iterator_close(iterator);
    }
    hf_log_iterator_close(NULL);
    fixture_tear_down(&fixture);
}

/* Segments are made, read again and given up long after the open. */
static void a_log_in_a_relative_directory_stays_when_the_process_goes_elsewhere(void **unused)
{
    (void)unused;
    struct fixture fixture;
    struct hf_log_view view = {0};
    fixture_set_up(&fixture);
    char *absolute = strdup(fixture.directory);
    int origin = open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
    assert_int_equal(chdir("/tmp"), 0);
    strcpy(fixture.directory, strrchr(absolute, '/') + 1);
    fixture.options.segment_size_bytes = 1 << 20;
    fixture.options.tail_cache_bytes = 1;
    fixture_open(&fixture);
    assert_int_equal(chdir("/"), 0);
    uint8_t bytes[100000] = {7};
    for (uint64_t i = 1; i <= 60; i++) {
        struct hf_entry entry = {
            .index = i, .term = 1, .type = HF_ENTRY_NORMAL, .payload = bytes_of(bytes, sizeof(bytes))};
        hf_log_batch_clear(fixture.batch);
        assert_int_equal(hf_log_batch_append(fixture.batch, 1, &entry, 1), 0);
        assert_int_equal(hf_log_append_wait(fixture.log, fixture.batch), 0);
    }
    assert_int_equal(hf_log_read(fixture.log, 1, 1, 0, 0, 0, &view), 0);
    assert_int_equal(view.count, 60);
    hf_log_view_close(&view);
    fixture_close(&fixture);
    strcpy(fixture.directory, absolute);
    fixture_open(&fixture);
    assert_int_equal(fixture_state(&fixture, 1).last_index, 60);
    assert_int_equal(fchdir(origin), 0);
    close(origin);
    free(absolute);
    fixture_tear_down(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_of_many_entries_gives_all_of_them),
        cmocka_unit_test(a_read_is_of_one_state_though_the_end_is_replaced_meanwhile),
        cmocka_unit_test(bytes_are_right_after_a_cut_in_the_middle_of_what_only_an_index_file_knows),
        cmocka_unit_test(installations_and_groups_that_make_no_sense_are_refused),
        cmocka_unit_test(a_memory_log_says_what_it_could_still_take),
        cmocka_unit_test(an_iterator_ends_at_the_last_possible_index),
        cmocka_unit_test(a_log_in_a_relative_directory_stays_when_the_process_goes_elsewhere),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
