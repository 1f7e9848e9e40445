/* Everything at once: threads that append with tokens, one that polls, iterators that follow while a group's suffix is
 * replaced again and again, readers, and a cancellation. For files and for memory. What the thread sanitizer says is
 * part of the test. */
#include "unit/log/log_fixture.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#define APPENDERS 3u
#define APPENDS   300u
#define ROUNDS    60u /* of replacing a suffix */

struct world {
    struct fixture fixture;
    atomic_uint failures;
    atomic_bool over;
    struct hf_log_iterator *to_cancel;
};

struct job {
    struct world *world;
    uint64_t group;
    bool durable_only;
};

static void check(struct world *world, bool condition, const char *what)
{
    if (!condition) {
        fprintf(stderr, "%s: %s\n", what, hf_error_text());
        atomic_fetch_add(&world->failures, 1);
    }
}

static void *append_tokens(void *arg)
{
    struct job *job = arg;
    struct hf_log_batch *batch = NULL;
    hf_log_batch_open(&batch);
    for (uint64_t i = 1; i <= APPENDS; i++) {
        struct hf_entry entry = fixture_entry(i, 1, "by token");
        struct hf_log_append_options options = {.acknowledge = i % 2 ? HF_LOG_ACK_DURABLE : HF_LOG_ACK_WRITTEN,
                                                .wait_ms = 60000,
                                                .poll = true,
                                                .token = job->group << 32 | i};
        hf_log_batch_clear(batch);
        hf_log_batch_append(batch, job->group, &entry, 1);
        int rc = HF_EBUSY;
        while (rc == HF_EBUSY) { /* completions that wait to be polled are no space to wait for */
            rc = hf_log_append_with(job->world->fixture.log, batch, &options);
        }
        check(job->world, rc == 0, "append with a token");
        if (i % 100 == 0) {
            check(job->world, hf_log_sync(job->world->fixture.log) == 0, "barrier");
        }
    }
    hf_log_batch_close(batch);
    return NULL;
}

static void *poll_tokens(void *arg)
{
    struct job *job = arg;
    struct hf_log *log = job->world->fixture.log;
    uint64_t next[APPENDERS + 1][2];
    unsigned left = APPENDERS * APPENDS;
    for (unsigned i = 0; i <= APPENDERS; i++) {
        next[i][0] = 2;
        next[i][1] = 1;
    }
    struct pollfd descriptor = {.fd = hf_log_poll_descriptor(log), .events = POLLIN};
    while (left > 0) {
        struct hf_log_completion completions[16];
        size_t count = hf_log_poll(log, completions, 16);
        if (count == 0) {
            check(job->world, poll(&descriptor, 1, 60000) == 1, "descriptor");
        }
        for (size_t i = 0; i < count; i++) {
            uint64_t index = completions[i].token & UINT32_MAX;
            uint64_t *expected = &next[completions[i].token >> 32][index % 2]; /* in order per acknowledgement */
            check(job->world, completions[i].result == 0 && index == *expected, "order of completions");
            *expected = index + 2;
        }
        left -= (unsigned)count;
    }
    return NULL;
}

static void *follow(void *arg)
{
    struct job *job = arg;
    struct hf_log_iterator *iterator = NULL;
    struct hf_entry entry;
    struct hf_log_iterator_options options = {.to = APPENDS + 1, .durable_only = job->durable_only};
    check(job->world, hf_log_iterator_open(job->world->fixture.log, job->group, &options, &iterator) == 0, "open");
    for (uint64_t i = 1; i <= APPENDS; i++) {
        int rc = hf_log_iterator_next(iterator, 60000, &entry);
        check(job->world, rc == 0 && entry.index == i && entry.payload.size == 8, "follow");
    }
    check(job->world, hf_log_iterator_next(iterator, 0, &entry) == HF_ENOTFOUND, "end");
    hf_log_iterator_close(iterator);
    return NULL;
}

/* Round n: from index n on, five entries of term n. */
static void *replace(void *arg)
{
    struct job *job = arg;
    struct hf_log_batch *batch = NULL;
    hf_log_batch_open(&batch);
    for (uint64_t round = 1; round <= ROUNDS; round++) {
        hf_log_batch_clear(batch);
        hf_log_batch_truncate(batch, job->group, round);
        for (uint64_t i = 0; i < 5; i++) {
            struct hf_entry entry = fixture_entry(round + i, round, "replaced");
            hf_log_batch_append(batch, job->group, &entry, 1);
        }
        int rc = HF_EBUSY;
        while (rc == HF_EBUSY) {
            rc = hf_log_append_wait(job->world->fixture.log, batch);
        }
        check(job->world, rc == 0, "replace");
    }
    hf_log_batch_close(batch);
    return NULL;
}

/* Rebuilds the group's log from what an iterator says: it must be right in the end. */
static void *follow_replaced(void *arg)
{
    struct job *job = arg;
    struct hf_log_iterator *iterator = NULL;
    struct hf_entry entry;
    uint64_t terms[ROUNDS + 8] = {0};
    uint64_t last = 0;
    hf_log_iterator_open(job->world->fixture.log, job->group, NULL, &iterator);
    while (last < ROUNDS + 4 || terms[last] != ROUNDS) {
        int rc = hf_log_iterator_next(iterator, 60000, &entry);
        if (rc == HF_ECONFLICT) {
            continue;
        }
        check(job->world, rc == 0 && entry.index <= last + 1 && entry.term >= terms[entry.index - 1],
              "follow a log whose end is replaced");
        if (rc != 0) {
            break;
        }
        last = entry.index;
        terms[last] = entry.term;
    }
    for (uint64_t i = 1; i <= ROUNDS; i++) {
        check(job->world, terms[i] == i, "what the iterator gave is the log");
    }
    hf_log_iterator_close(iterator);
    return NULL;
}

static void *wait_for_ever(void *arg)
{
    struct job *job = arg;
    struct hf_entry entry;
    check(job->world, hf_log_iterator_next(job->world->to_cancel, UINT32_MAX, &entry) == HF_ECANCELLED, "cancelled");
    return NULL;
}

static void *look_around(void *arg)
{
    struct job *job = arg;
    struct hf_log *log = job->world->fixture.log;
    while (!atomic_load(&job->world->over)) {
        struct hf_log_stat stat;
        struct hf_log_group_state state;
        struct hf_log_view view;
        uint64_t index = 0;
        uint64_t term = 0;
        uint8_t digest[HF_LOG_DIGEST_SIZE];
        hf_log_stat(log, &stat);
        hf_log_group_state(log, 1, &state);
        check(job->world, state.durable_index <= state.last_index, "durable is not beyond last");
        if (state.last_index > 0) {
            check(job->world, hf_log_match(log, 1, state.last_index, 1, NULL, NULL, &index, &term) == 0, "match");
            check(job->world, hf_log_digest(log, 1, 1, state.last_index + 1, digest) == 0, "digest");
            check(job->world, hf_log_read(log, 1, 1, 0, 500, 0, &view) == 0, "read");
            hf_log_view_close(&view);
        }
        usleep(500);
    }
    return NULL;
}

static void run(const struct hf_log_options *options)
{
    struct world world = {0};
    pthread_t threads[16];
    struct job jobs[16];
    size_t count = 0;
    fixture_set_up(&world.fixture);
    world.fixture.options = *options;
    fixture_open(&world.fixture);
    assert_int_equal(hf_log_iterator_open(world.fixture.log, 999, NULL, &world.to_cancel), 0);
    struct {
        void *(*run)(void *arg);
        uint64_t group;
        bool durable_only;
    } rows[] = {
        {append_tokens, 1, false}, {append_tokens, 2, false}, {append_tokens, 3, false}, {poll_tokens, 0, false},
        {follow, 1, false},        {follow, 2, true},         {replace, 9, false},       {follow_replaced, 9, false},
        {wait_for_ever, 0, false}, {look_around, 0, false},
    };
    for (; count < sizeof(rows) / sizeof(rows[0]); count++) {
        jobs[count] = (struct job){&world, rows[count].group, rows[count].durable_only};
        assert_int_equal(pthread_create(&threads[count], NULL, rows[count].run, &jobs[count]), 0);
    }
    for (size_t i = 0; i < 8; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    atomic_store(&world.over, true);
    hf_log_iterator_cancel(world.to_cancel);
    assert_int_equal(pthread_join(threads[8], NULL), 0);
    assert_int_equal(pthread_join(threads[9], NULL), 0);
    hf_log_iterator_close(world.to_cancel);
    assert_int_equal(world.failures, 0);
    assert_int_equal(fixture_state(&world.fixture, 9).last_index, ROUNDS + 4);
    fixture_tear_down(&world.fixture);
}

static void threads_append_poll_follow_and_read_at_once(void **unused)
{
    (void)unused;
    static const struct hf_log_options rows[] = {
        {.queue_entries_max = 64},
        {.sync_policy = HF_LOG_SYNC_INTERVAL,
         .sync_interval_ms = 5,
         .io = HF_LOG_IO_THREADS,
         .writes_in_flight_max = 4},
        {.backend = HF_LOG_MEMORY, .queue_entries_max = 64},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        run(&rows[i]);
    }
}

static void *open_later(void *arg)
{
    struct fixture *fixture = arg;
    usleep(50000);
    fixture_close(fixture);
    return NULL;
}

static void an_open_may_wait_for_the_last_owner(void **unused)
{
    (void)unused;
    struct fixture fixture;
    struct hf_log *second = NULL;
    pthread_t closer;
    fixture_set_up(&fixture);
    /* Without rings: the sanitizer does not see that one is unmapped before another is mapped in its place. */
    fixture.options.io = HF_LOG_IO_THREADS;
    fixture_open(&fixture);
    struct hf_log_options options = {.open_retries_max = 2, .open_retry_ms = 1, .io = HF_LOG_IO_THREADS};
    assert_int_equal(hf_log_open(fixture.directory, &options, &second), HF_EBUSY);
    assert_int_equal(pthread_create(&closer, NULL, open_later, &fixture), 0);
    options = (struct hf_log_options){.open_retries_max = 1000, .open_retry_ms = 10, .io = HF_LOG_IO_THREADS};
    assert_int_equal(hf_log_open(fixture.directory, &options, &second), 0);
    assert_int_equal(pthread_join(closer, NULL), 0);
    hf_log_close(second);
    fixture_tear_down(&fixture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(threads_append_poll_follow_and_read_at_once),
        cmocka_unit_test(an_open_may_wait_for_the_last_owner),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
