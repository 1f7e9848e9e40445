/* Many threads on one log: appends to groups of their own, reads of everything, while the writer's thread runs. What
 * the thread sanitizer says of it is part of the test. */
#include "unit/log/log_fixture.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#define THREADS 4u
#define APPENDS 400u

struct worker {
    struct fixture *fixture;
    uint64_t group;
    atomic_uint acknowledged;
    uint64_t expected; /* the number of the acknowledgement that must come next */
    atomic_uint failures;
};

struct appended {
    struct worker *worker;
    uint64_t number;
};

static void append_done(void *arg, int result)
{
    struct appended *appended = arg;
    struct worker *worker = appended->worker;
    worker->failures += result != 0 || appended->number != worker->expected; /* the driver's alone */
    worker->expected++;
    atomic_fetch_add(&worker->acknowledged, 1);
}

static void *append_many(void *arg)
{
    struct worker *worker = arg;
    struct hf_log_batch *batch = NULL;
    struct appended *appended = calloc(APPENDS, sizeof(*appended));
    hf_log_batch_open(&batch);
    for (uint64_t i = 0; i < APPENDS; i++) {
        char payload[64];
        snprintf(payload, sizeof(payload), "group %llu entry %llu", (unsigned long long)worker->group,
                 (unsigned long long)(i + 1));
        struct hf_entry entry = fixture_entry(i + 1, 1, payload);
        appended[i] = (struct appended){worker, i - i / 50}; /* every fiftieth is waited for instead */
        hf_log_batch_clear(batch);
        worker->failures += hf_log_batch_append(batch, worker->group, &entry, 1) != 0;
        int rc = i % 50 == 49 ? hf_log_append_wait(worker->fixture->log, batch)
                              : hf_log_append(worker->fixture->log, batch, append_done, &appended[i]);
        worker->failures += rc != 0;
        if (i % 50 == 49) {
            /* Acknowledged in order: everything before it is, too. */
            worker->failures += atomic_load(&worker->acknowledged) != i - i / 50;
        }
    }
    hf_log_batch_close(batch);
    while (atomic_load(&worker->acknowledged) < APPENDS - APPENDS / 50) {
        usleep(100);
    }
    free(appended);
    return NULL;
}

static void *read_many(void *arg)
{
    struct worker *worker = arg;
    for (int i = 0; i < 400; i++) {
        uint64_t group = 1 + (uint64_t)i % THREADS;
        struct hf_log_group_state state;
        struct hf_log_view view = {0};
        hf_log_group_state(worker->fixture->log, group, &state);
        worker->failures += state.durable_index > state.last_index;
        if (state.last_index == 0) {
            continue;
        }
        int rc = hf_log_read(worker->fixture->log, group, 1 + (uint64_t)i % state.last_index, 0, 2000, 0, &view);
        worker->failures += rc != 0 || view.count == 0;
        for (size_t j = 0; j < view.count; j++) {
            char payload[64];
            snprintf(payload, sizeof(payload), "group %llu entry %llu", (unsigned long long)group,
                     (unsigned long long)view.entries[j].index);
            worker->failures += view.entries[j].payload.size != strlen(payload) ||
                                memcmp(view.entries[j].payload.data, payload, strlen(payload)) != 0;
        }
        hf_log_view_close(&view);
    }
    return NULL;
}

static void run(const struct hf_log_options *options)
{
    struct fixture fixture;
    pthread_t threads[THREADS + 1];
    struct worker workers[THREADS + 1] = {0};
    fixture_set_up(&fixture);
    fixture.options = *options;
    fixture_open(&fixture);
    for (size_t i = 0; i <= THREADS; i++) {
        workers[i].fixture = &fixture;
        workers[i].group = i + 1;
        assert_int_equal(pthread_create(&threads[i], NULL, i < THREADS ? append_many : read_many, &workers[i]), 0);
    }
    for (size_t i = 0; i <= THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_int_equal(workers[i].failures, 0);
    }
    fixture_reopen(&fixture);
    for (uint64_t group = 1; group <= THREADS; group++) {
        assert_int_equal(fixture_state(&fixture, group).last_index, APPENDS);
        assert_int_equal(fixture_state(&fixture, group).durable_index, APPENDS);
    }
    fixture_tear_down(&fixture);
}

static void any_thread_appends_and_reads_while_the_writer_runs(void **unused)
{
    (void)unused;
    struct hf_log_options options = {
        .segment_size_bytes = 1 << 20, .tail_cache_bytes = 1, .write_size_max_bytes = 64 << 10};
    run(&options);
    options.io = HF_LOG_IO_THREADS;
    options.writes_in_flight_max = 4;
    run(&options);
    options.sync_policy = HF_LOG_SYNC_INTERVAL;
    options.sync_interval_ms = 5;
    run(&options);
    options.sync_policy = HF_LOG_SYNC_NONE;
    run(&options);
}

struct chain {
    struct fixture *fixture;
    struct hf_log_batch *batch;
    atomic_uint length;
};

static void append_next(void *arg, int result)
{
    struct chain *chain = arg;
    assert_int_equal(result, 0);
    unsigned length = atomic_fetch_add(&chain->length, 1) + 1;
    if (length < 100) {
        struct hf_entry entry = fixture_entry(length + 1, 1, "next");
        hf_log_batch_clear(chain->batch);
        assert_int_equal(hf_log_batch_append(chain->batch, 1, &entry, 1), 0);
        assert_int_equal(hf_log_append(chain->fixture->log, chain->batch, append_next, chain), 0);
    }
}

static void a_callback_may_append(void **unused)
{
    (void)unused;
    struct fixture fixture;
    fixture_set_up(&fixture);
    fixture_open(&fixture);
    struct chain chain = {.fixture = &fixture, .batch = fixture.batch};
    struct hf_entry entry = fixture_entry(1, 1, "first");
    assert_int_equal(hf_log_batch_append(chain.batch, 1, &entry, 1), 0);
    assert_int_equal(hf_log_append(fixture.log, chain.batch, append_next, &chain), 0);
    while (atomic_load(&chain.length) < 100) {
        usleep(100);
    }
    assert_int_equal(fixture_state(&fixture, 1).last_index, 100);
    fixture_tear_down(&fixture);
}

static void *turn_once(void *arg)
{
    struct fixture *fixture = arg;
    while (hf_log_turn(fixture->log) > 0) {
    }
    return NULL;
}

static void *append_once(void *arg)
{
    struct fixture *fixture = arg;
    struct hf_entry entry = fixture_entry(2, 1, "of another thread");
    hf_log_batch_clear(fixture->batch);
    bool appended = hf_log_batch_append(fixture->batch, 1, &entry, 1) == 0 &&
                    hf_log_append(fixture->log, fixture->batch, NULL, NULL) == 0;
    return appended ? fixture : NULL;
}

/* A thread that begins after another has ended gets its stack, and with it the address of everything of its own. */
static void who_inherits_the_stack_of_a_driver_is_not_the_driver(void **unused)
{
    (void)unused;
    struct fixture fixture;
    pthread_t thread;
    void *appended = NULL;
    fixture_set_up(&fixture);
    fixture.options.driver = HF_LOG_DRIVE_CALLER;
    fixture_open(&fixture);
    assert_int_equal(fixture_append(&fixture, 1, 1, 1, "first"), 0);
    assert_int_equal(pthread_create(&thread, NULL, turn_once, &fixture), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(pthread_create(&thread, NULL, append_once, &fixture), 0);
    assert_int_equal(pthread_join(thread, &appended), 0);
    assert_ptr_equal(appended, &fixture);
    struct pollfd asked = {.fd = hf_log_descriptor(fixture.log), .events = POLLIN};
    assert_int_equal(poll(&asked, 1, 10000), 1); /* the loop is woken to run the turn */
    fixture_tear_down(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_thread_appends_and_reads_while_the_writer_runs),
        cmocka_unit_test(a_callback_may_append),
        cmocka_unit_test(who_inherits_the_stack_of_a_driver_is_not_the_driver),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
