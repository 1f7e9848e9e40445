/* Options that change how the device and the memory are used, and nothing of what the log says. */
#include "unit/log/log_fixture.h"

#include "base/buffer.h"
#include "log/log.h"

#define ENTRIES 400u

static void fill(struct fixture *fixture, uint64_t from)
{
    char payload[8001];
    memset(payload, 'f', 8000);
    payload[8000] = '\0';
    for (uint64_t i = from; i < from + ENTRIES; i += 50) {
        hf_log_batch_clear(fixture->batch);
        for (uint64_t j = i; j < i + 50; j++) {
            struct hf_entry entry = fixture_entry(j, 1, payload);
            assert_int_equal(hf_log_batch_append(fixture->batch, 1, &entry, 1), 0);
        }
        assert_int_equal(hf_log_append_wait(fixture->log, fixture->batch), 0);
    }
}

static void expect_all(struct fixture *fixture, uint64_t last)
{
    struct hf_log_view view;
    for (uint64_t low = 1; low <= last;) {
        int rc = hf_log_read(fixture->log, 1, low, 0, 1 << 20, 0, &view);
        if (rc != 0) {
            fail_msg("%s", hf_error_text());
        }
        assert_int_equal(view.entries[0].index, low);
        assert_int_equal(view.entries[0].payload.size, 8000);
        uint64_t next = low + view.count;
        hf_log_view_close(&view);
        low = next;
    }
}

static void the_log_is_the_same_with_and_without_direct_writes(void **unused)
{
    (void)unused;
    struct fixture fixture;
    fixture_set_up(&fixture);
    uint64_t last = 0;
    for (int i = 0; i < 4; i++) {
        fixture.options = (struct hf_log_options){.segment_size_bytes = 1 << 20,
                                                  .direct = (enum hf_log_direct)(i % 3),
                                                  .io = i % 2 ? HF_LOG_IO_THREADS : HF_LOG_IO_AUTO};
        int rc = hf_log_open(fixture.directory, &fixture.options, &fixture.log);
        if (rc == HF_EUNSUPPORTED && fixture.options.direct == HF_LOG_DIRECT_ON) {
            continue; /* a file system that cannot says so */
        }
        assert_int_equal(rc, 0);
        expect_all(&fixture, last);
        fill(&fixture, last + 1);
        last += ENTRIES;
        expect_all(&fixture, last);
        fixture_close(&fixture);
    }
    fixture_tear_down(&fixture);
}

static void the_tail_cache_may_be_bounded_by_entries_and_by_age(void **unused)
{
    (void)unused;
    static const struct hf_log_options rows[] = {
        {0},
        {.tail_cache_entries_max = 10},
        {.tail_cache_age_ms = 1},
        {.tail_cache_entries_max = 1, .tail_cache_age_ms = 1, .tail_cache_bytes = 1},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fixture fixture;
        fixture_set_up(&fixture);
        fixture.options = rows[i];
        fixture.options.write_size_max_bytes = 64 << 10;
        fixture_open(&fixture);
        fill(&fixture, 1);
        expect_all(&fixture, ENTRIES);
        fill(&fixture, ENTRIES + 1);
        expect_all(&fixture, 2 * ENTRIES);
        usleep(20000); /* older than any bound of age */
        fill(&fixture, 2 * ENTRIES + 1);
        struct hf_log_stat stat;
        hf_log_stat(fixture.log, &stat);
        bool bounded = i > 0;
        assert_true(bounded ? stat.cached_entries < 3 * ENTRIES / 2 : stat.cached_entries == 3 * ENTRIES);
        expect_all(&fixture, 3 * ENTRIES);
        fixture_tear_down(&fixture);
    }
}

static void the_log_is_the_same_with_any_size_of_index_blocks(void **unused)
{
    (void)unused;
    static const uint32_t sizes[] = {256, 0, 16777216, 512};
    struct fixture fixture;
    fixture_set_up(&fixture);
    for (uint64_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        fixture.options = (struct hf_log_options){.segment_size_bytes = 8 << 20, .index_block_entries = sizes[i]};
        fixture_open(&fixture);
        expect_all(&fixture, i * ENTRIES);
        fill(&fixture, i * ENTRIES + 1);
        expect_all(&fixture, (i + 1) * ENTRIES);
        hf_log_batch_clear(fixture.batch);
        assert_int_equal(hf_log_batch_truncate(fixture.batch, 1, i * ENTRIES + 251), 0);
        assert_int_equal(hf_log_append_wait(fixture.log, fixture.batch), 0);
        expect_all(&fixture, i * ENTRIES + 250);
        fixture_close(&fixture);
        fixture_open(&fixture);
        expect_all(&fixture, i * ENTRIES + 250);
        for (uint64_t j = i * ENTRIES + 251; j <= (i + 1) * ENTRIES; j++) {
            char payload[8001];
            memset(payload, 'g', 8000);
            payload[8000] = '\0';
            assert_int_equal(fixture_append(&fixture, 1, j, 1, payload), 0);
        }
        fixture_close(&fixture);
    }
    fixture_tear_down(&fixture);
}

static void groups_are_listed_a_part_at_a_time(void **unused)
{
    (void)unused;
    struct fixture fixture;
    uint64_t ids[4];
    fixture_set_up(&fixture);
    fixture.options.backend = HF_LOG_MEMORY;
    fixture_open(&fixture);
    assert_int_equal(hf_log_group_list(fixture.log, 0, ids, 4), 0);
    for (uint64_t group = 2; group <= 12; group += 2) {
        assert_int_equal(fixture_append(&fixture, group, 1, 1, "x"), 0);
    }
    assert_int_equal(hf_log_group_list(fixture.log, 0, ids, 4), 4);
    assert_true(ids[0] == 2 && ids[3] == 8);
    assert_int_equal(hf_log_group_list(fixture.log, 8, ids, 4), 2);
    assert_true(ids[0] == 10 && ids[1] == 12);
    fixture_tear_down(&fixture);
}

/* ---- what the header says of calls that cannot be right ---- */

static void what_cannot_be_opened_is_refused_as_the_header_says(void **unused)
{
    (void)unused;
    struct fixture fixture;
    struct hf_log *log = NULL;
    fixture_set_up(&fixture);
    assert_int_equal(hf_log_open(NULL, &fixture.options, &log), HF_EINVALID);
    assert_null(strstr(hf_error_text(), "memory"));
    char *path = text_format("%s/file", fixture.directory);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fclose(file);
    assert_int_equal(hf_log_open(path, &fixture.options, &log), HF_EEXISTS);
    free(path);
    fixture_tear_down(&fixture);
}

static void a_log_that_is_only_read_makes_nothing_and_takes_nothing(void **unused)
{
    (void)unused;
    struct fixture fixture;
    struct hf_log *log = NULL;
    uint64_t group = 0;
    fixture_set_up(&fixture);
    char *path = text_format("%s/nowhere", fixture.directory);
    fixture.options.read_only = true;
    assert_int_equal(hf_log_open(path, &fixture.options, &log), 0);
    assert_int_equal(hf_log_group_next(log, 0, &group), HF_ENOTFOUND);
    assert_int_equal(hf_log_append_wait(log, fixture.batch), HF_EUNSUPPORTED);
    assert_int_equal(hf_log_sync(log), HF_EUNSUPPORTED);
    assert_int_equal(hf_log_group_create(log, 1, 7), HF_EUNSUPPORTED);
    assert_int_equal(hf_log_reserve(log, 1), HF_EUNSUPPORTED);
    assert_int_equal(hf_log_poll_descriptor(log), -1);
    assert_int_equal(hf_log_descriptor(log), -1);
    assert_int_equal(hf_log_turn(log), 0);
    assert_int_equal(log_turn_here(log), 0);
    assert_true(log_deadline_ns(log) == UINT64_MAX);
    assert_int_equal(hf_log_turn_wait(log, UINT64_C(1000000000)), 0);
    assert_int_equal(hf_log_capacity_bytes(log), 0);
    hf_log_close(log);
    assert_int_not_equal(access(path, F_OK), 0);
    free(path);
    fixture_tear_down(&fixture);
}

/* It has nothing to lose but all of it. */
static void a_memory_log_takes_no_repair(void **unused)
{
    (void)unused;
    struct fixture fixture;
    struct hf_entry entry = fixture_entry(1, 1, "x");
    fixture_set_up(&fixture);
    fixture.options.backend = HF_LOG_MEMORY;
    fixture_open(&fixture);
    assert_int_equal(fixture_append(&fixture, 1, 1, 1, "x"), 0);
    hf_log_batch_clear(fixture.batch);
    assert_int_equal(hf_log_batch_repair(fixture.batch, 1, &entry, 1), 0);
    int rc = hf_log_append_wait(fixture.log, fixture.batch);
    assert_int_equal(rc, HF_ECONFLICT); /* nothing is missing */
    fixture_expect(&fixture, 1, 1, 1, "x");
    fixture_tear_down(&fixture);
}

static void an_append_that_is_larger_than_the_queue_fits_an_empty_one(void **unused)
{
    (void)unused;
    struct fixture fixture;
    fixture_set_up(&fixture);
    fixture.options.queue_entries_max = 1;
    fixture.options.queue_bytes_max = 1;
    fixture_open(&fixture);
    for (uint64_t i = 1; i <= 9; i += 3) {
        hf_log_batch_clear(fixture.batch);
        for (uint64_t j = i; j < i + 3; j++) {
            struct hf_entry entry = fixture_entry(j, 1, "larger");
            assert_int_equal(hf_log_batch_append(fixture.batch, 1, &entry, 1), 0);
        }
        assert_int_equal(hf_log_append_wait(fixture.log, fixture.batch), 0);
    }
    fixture_tear_down(&fixture);
}

static void an_error_names_the_group_that_was_asked_for(void **unused)
{
    (void)unused;
    struct fixture fixture;
    uint64_t term = 0;
    fixture_set_up(&fixture);
    fixture_open(&fixture);
    assert_int_equal(hf_log_term(fixture.log, 99, 1, &term), HF_EUNAVAILABLE);
    assert_non_null(strstr(hf_error_text(), "group 99"));
    fixture_tear_down(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_log_is_the_same_with_and_without_direct_writes),
        cmocka_unit_test(the_tail_cache_may_be_bounded_by_entries_and_by_age),
        cmocka_unit_test(the_log_is_the_same_with_any_size_of_index_blocks),
        cmocka_unit_test(groups_are_listed_a_part_at_a_time),
        cmocka_unit_test(what_cannot_be_opened_is_refused_as_the_header_says),
        cmocka_unit_test(a_log_that_is_only_read_makes_nothing_and_takes_nothing),
        cmocka_unit_test(a_memory_log_takes_no_repair),
        cmocka_unit_test(an_append_that_is_larger_than_the_queue_fits_an_empty_one),
        cmocka_unit_test(an_error_names_the_group_that_was_asked_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
