/* Calls that an embedding program makes at the wrong time, twice, or in two threads at once. */
#include <pthread.h>

#include "log/log_append.h"
#include "log/log_state.h"
#include "unit/log/log_fixture.h"

#define ROUNDS 300u

static const enum hf_log_backend backends[] = {HF_LOG_FILE, HF_LOG_MEMORY};

static void open_on(struct fixture *fixture, enum hf_log_backend backend)
{
    fixture_set_up(fixture);
    fixture->options.backend = backend;
    fixture_open(fixture);
}

static uint64_t next_of(struct hf_log_iterator *iterator)
{
    struct hf_entry entry;
    int rc = hf_log_iterator_next(iterator, 0, &entry);
    return rc == 0 ? entry.index : 0;
}

static void an_iterator_hands_out_nothing_below_its_start(void **unused)
{
    for (size_t i = 0; i < 2; i++) {
        struct fixture fixture;
        struct hf_log_iterator *iterator = NULL;
        struct hf_log_iterator_options options = {.from = 6};
        struct hf_entry entry;
        open_on(&fixture, backends[i]);
        for (uint64_t index = 1; index <= 4; index++) {
            assert_int_equal(fixture_append(&fixture, 1, index, 1, "old"), 0);
        }
        assert_int_equal(hf_log_iterator_open(fixture.log, 1, &options, &iterator), 0);
        hf_log_batch_clear(fixture.batch);
        assert_int_equal(hf_log_batch_truncate(fixture.batch, 1, 2), 0);
        assert_int_equal(hf_log_append_wait(fixture.log, fixture.batch), 0);
        for (uint64_t index = 2; index <= 7; index++) {
            assert_int_equal(fixture_append(&fixture, 1, index, 2, "new"), 0);
        }
        assert_int_equal(next_of(iterator), 6); /* nothing that it gave was taken away */
        hf_log_batch_clear(fixture.batch);
        assert_int_equal(hf_log_batch_reset(fixture.batch, 1, 2, 2, bytes_of_text("s")), 0);
        assert_int_equal(hf_log_append_wait(fixture.log, fixture.batch), 0);
        for (uint64_t index = 3; index <= 7; index++) {
            assert_int_equal(fixture_append(&fixture, 1, index, 3, "newer"), 0);
        }
        assert_int_equal(hf_log_iterator_next(iterator, 0, &entry), HF_ECONFLICT);
        assert_int_equal(next_of(iterator), 6);
        assert_int_equal(next_of(iterator), 7);
        hf_log_iterator_close(iterator);
        fixture_tear_down(&fixture);
    }
}

/* ---- in two threads at once ---- */

struct pair {
    struct fixture *fixture;
    uint64_t group;
    pthread_barrier_t both;
    int (*call)(struct hf_log *log, uint64_t group);
};

static void *one_of_pair(void *arg)
{
    struct pair *pair = arg;
    pthread_barrier_wait(&pair->both);
    return (void *)(intptr_t)pair->call(pair->fixture->log, pair->group);
}

/* Exactly one succeeds; the other is told `refused`. */
static void in_two_threads(struct fixture *fixture, uint64_t group, int (*call)(struct hf_log *, uint64_t), int refused)
{
    struct pair pair = {.fixture = fixture, .group = group, .call = call};
    pthread_t threads[2];
    int results[2];
    assert_int_equal(pthread_barrier_init(&pair.both, NULL, 2), 0);
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_create(&threads[i], NULL, one_of_pair, &pair), 0);
    }
    for (size_t i = 0; i < 2; i++) {
        void *result = NULL;
        assert_int_equal(pthread_join(threads[i], &result), 0);
        results[i] = (int)(intptr_t)result;
    }
    pthread_barrier_destroy(&pair.both);
    assert_int_equal(results[0] == 0 ? results[1] : results[0], refused);
    assert_int_equal(results[0] == 0 ? results[0] : results[1], 0);
}

static int create(struct hf_log *log, uint64_t group)
{
    return hf_log_group_create(log, group, 1000 + group);
}

static void of_two_threads_one_creates_removes_and_finishes(void **unused)
{
    (void)unused;
    struct fixture fixture;
    open_on(&fixture, HF_LOG_FILE);
    for (uint64_t group = 1; group <= ROUNDS; group++) {
        in_two_threads(&fixture, group, create, HF_EEXISTS);
        assert_int_equal(hf_log_install_begin(fixture.log, group, 5, 2, bytes_of_text("snapshot")), 0);
        in_two_threads(&fixture, group, hf_log_install_finish, HF_ENOTFOUND);
        in_two_threads(&fixture, group, hf_log_group_remove, HF_ENOTFOUND);
    }
    fixture_tear_down(&fixture);
}

/* The moment between the look at the installation and its reset, as long as another thread wants it. */
static int finish_as(struct fixture *fixture, uint64_t number)
{
    struct hf_log *log = fixture->log;
    hf_log_batch_clear(fixture->batch);
    assert_int_equal(hf_log_batch_reset(fixture->batch, 1, 5, 2, bytes_of_text("snapshot")), 0);
    fixture->batch->installs = number;
    int rc = hf_log_append_wait(log, fixture->batch);
    fixture->batch->installs = 0;
    return rc;
}

static void a_finish_that_comes_too_late_leaves_the_log_alone(void **unused)
{
    for (size_t i = 0; i < 2; i++) {
        struct fixture fixture;
        open_on(&fixture, backends[i]);
        assert_int_equal(hf_log_install_begin(fixture.log, 1, 5, 2, bytes_of_text("snapshot")), 0);
        uint64_t number = fixture.log->install_count;
        assert_int_equal(hf_log_install_finish(fixture.log, 1), 0);
        assert_int_equal(fixture_append(&fixture, 1, 6, 2, "acknowledged"), 0);
        assert_int_equal(finish_as(&fixture, number), HF_ENOTFOUND);
        assert_int_equal(fixture_state(&fixture, 1).last_index, 6);
        assert_int_equal(hf_log_install_begin(fixture.log, 1, 9, 2, bytes_of_text("another")), 0);
        assert_int_equal(finish_as(&fixture, number), HF_ENOTFOUND);
        assert_int_equal(fixture_state(&fixture, 1).last_index, 6);
        assert_int_equal(hf_log_install_finish(fixture.log, 1), 0);
        assert_int_equal(fixture_state(&fixture, 1).last_index, 9);
        fixture_tear_down(&fixture);
    }
}

/* Two threads with an incarnation each: whose was set last creates it, the other is not told that it did. */
static void a_group_is_not_created_under_another_incarnation(void **unused)
{
    (void)unused;
    struct fixture fixture;
    open_on(&fixture, HF_LOG_MEMORY);
    assert_int_equal(hf_log_group_open(fixture.log, 1, 77), 0);
    assert_int_equal(hf_log_group_open(fixture.log, 1, 88), 0);
    hf_log_batch_clear(fixture.batch);
    assert_int_equal(hf_log_batch_hard_state(fixture.batch, 1, (struct hf_hard_state){0}), 0);
    fixture.batch->creates = 77;
    assert_int_equal(hf_log_append_wait(fixture.log, fixture.batch), HF_EMISMATCH);
    assert_false(fixture_state(&fixture, 1).exists);
    fixture.batch->creates = 0;
    fixture_tear_down(&fixture);
}

/* ---- the rest ---- */

static void entries_consume_what_was_reserved_in_both_backends(void **unused)
{
    for (size_t i = 0; i < 2; i++) {
        struct fixture fixture;
        open_on(&fixture, backends[i]);
        assert_int_equal(hf_log_reserve(fixture.log, 1000), 0);
        for (uint64_t index = 1; index <= 20; index++) {
            assert_int_equal(fixture_append(&fixture, 1, index, 1, "some hundred bytes are not needed for this"), 0);
        }
        assert_int_equal(fixture.log->reserved_bytes, 0);
        fixture_tear_down(&fixture);
    }
}

static void turns_beside_a_thread_of_the_logs_own_do_nothing(void **unused)
{
    (void)unused;
    struct fixture fixture;
    open_on(&fixture, HF_LOG_FILE);
    assert_int_equal(hf_log_descriptor(fixture.log), -1);
    for (uint64_t index = 1; index <= 50; index++) {
        struct hf_entry entry = fixture_entry(index, 1, "x");
        hf_log_batch_clear(fixture.batch);
        assert_int_equal(hf_log_batch_append(fixture.batch, 1, &entry, 1), 0);
        assert_int_equal(hf_log_append(fixture.log, fixture.batch, NULL, NULL), 0);
        assert_int_equal(hf_log_turn(fixture.log), 0);
        assert_int_equal(hf_log_turn_wait(fixture.log, UINT64_MAX), 0); /* and does not wait */
    }
    assert_int_equal(hf_log_sync(fixture.log), 0);
    assert_int_equal(fixture_state(&fixture, 1).durable_index, 50);
    fixture_tear_down(&fixture);
}

/* ---- lines for operators ---- */

static void note_line(void *arg, int level, const char *line)
{
    char *text = arg;
    assert_int_equal(level, HF_LOG_TRACE_ERROR);
    snprintf(text, 100, "%s", line);
}

static void close_inside(void *arg, int result)
{
    (void)result;
    struct fixture *fixture = arg;
    assert_int_equal(hf_log_close(fixture->log), HF_EUNSUPPORTED);
}

static void lines_go_where_the_program_wants_them(void **unused)
{
    (void)unused;
    char text[100] = "";
    struct fixture fixture;
    hf_log_trace(HF_LOG_TRACE_ERROR, note_line, text);
    fixture_set_up(&fixture);
    fixture.options.driver = HF_LOG_DRIVE_CALLER;
    fixture_open(&fixture);
    assert_int_equal(hf_log_append(fixture.log, fixture.batch, close_inside, &fixture), 0);
    hf_log_turn(fixture.log);
    hf_log_trace(HF_LOG_TRACE_INFO, NULL, NULL);
    assert_non_null(strstr(text, "the log stays open"));
    fixture_tear_down(&fixture);
}

static void a_segment_size_out_of_range_is_refused_with_the_range_of_the_header(void **unused)
{
    (void)unused;
    static const uint64_t sizes[] = {4096, (1u << 20) - 1, (UINT64_C(4) << 30) + 1};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct hf_log_options options = {.segment_size_bytes = sizes[i], .backend = HF_LOG_MEMORY};
        struct hf_log *log = NULL;
        assert_int_equal(hf_log_open(NULL, &options, &log), HF_EINVALID);
        assert_non_null(strstr(hf_error_text(), "1048576 … 4294967296"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_iterator_hands_out_nothing_below_its_start),
        cmocka_unit_test(of_two_threads_one_creates_removes_and_finishes),
        cmocka_unit_test(a_finish_that_comes_too_late_leaves_the_log_alone),
        cmocka_unit_test(a_group_is_not_created_under_another_incarnation),
        cmocka_unit_test(entries_consume_what_was_reserved_in_both_backends),
        cmocka_unit_test(turns_beside_a_thread_of_the_logs_own_do_nothing),
        cmocka_unit_test(a_segment_size_out_of_range_is_refused_with_the_range_of_the_header),
        cmocka_unit_test(lines_go_where_the_program_wants_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
