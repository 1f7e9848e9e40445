/* Writes that an appender makes for itself (log_alone), beside other threads: what is acknowledged while one is under
 * way, what a failed one means for everybody else, and that whoever drives hears of others as if there had been a turn.
 */
#include "unit/log/log_fixture.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/error.h"
#include "log/log_state.h"
#include "planted.h"

#define PATIENCE_MS 60000

static const struct hf_log_options drivers[] = {
    {.driver = HF_LOG_DRIVE_THREAD, .io = HF_LOG_IO_AUTO},
    {.driver = HF_LOG_DRIVE_THREAD, .io = HF_LOG_IO_THREADS},
    {.driver = HF_LOG_DRIVE_CALLER, .io = HF_LOG_IO_AUTO},
    {.driver = HF_LOG_DRIVE_CALLER, .io = HF_LOG_IO_URING},
};

static void each_driver(void (*run)(struct fixture *fixture))
{
    for (size_t i = 0; i < sizeof(drivers) / sizeof(drivers[0]); i++) {
        struct fixture fixture;
        fixture_set_up(&fixture);
        fixture.options = drivers[i];
        if (drivers[i].io == HF_LOG_IO_URING &&
            hf_log_open(fixture.directory, &fixture.options, &fixture.log) == HF_EUNSUPPORTED) {
            fixture_tear_down(&fixture); /* a kernel, or a sandbox, without io_uring */
            continue;
        }
        fixture_close(&fixture);
        fixture_open(&fixture);
        run(&fixture);
        fixture_tear_down(&fixture);
    }
}

static bool drives(const struct fixture *fixture)
{
    return fixture->options.driver == HF_LOG_DRIVE_CALLER;
}

/* An entry in a batch of its own. */
static int append_in(struct fixture *fixture, uint64_t group, uint64_t index, hf_log_done *done, void *arg)
{
    struct hf_log_batch *batch = NULL;
    struct hf_entry entry = fixture_entry(index, 1, "entry");
    assert_int_equal(hf_log_batch_open(&batch), 0);
    assert_int_equal(hf_log_batch_append(batch, group, &entry, 1), 0);
    int rc = done != NULL ? hf_log_append(fixture->log, batch, done, arg) : hf_log_append_wait(fixture->log, batch);
    hf_log_batch_close(batch);
    return rc;
}

/* Nothing is in flight, and whoever drives sleeps. */
static void settle(struct fixture *fixture)
{
    struct hf_log *log = fixture->log;
    bool settled = false;
    for (int i = 0; !settled; i++) {
        assert_true(i < PATIENCE_MS);
        if (drives(fixture)) {
            hf_log_turn(log);
        }
        usleep(1000);
        mutex_lock(&log->mutex);
        settled = log->driver_asleep && log_writer_is_idle(&log->writer) && !log_writer_trailer_missing(&log->writer) &&
                  !log->pool.busy && !log->warm.busy && !log->seal.busy;
        mutex_unlock(&log->mutex);
    }
}

/* ---- a device that keeps a write waiting ---- */

struct gate {
    struct file file; /* in the place of the tail's */
    struct file *inner;
    struct mutex mutex;
    struct condition changed;
    bool is_reached;
    bool is_open;
    int result;
};

static int gate_write_durable(struct file *file, uint64_t offset, const void *data, size_t size)
{
    struct gate *gate = (struct gate *)file;
    mutex_lock(&gate->mutex);
    gate->is_reached = true;
    condition_broadcast(&gate->changed);
    while (!gate->is_open) {
        condition_wait(&gate->changed, &gate->mutex);
    }
    mutex_unlock(&gate->mutex);
    return gate->result == 0 ? file_write_durable(gate->inner, offset, data, size)
                             : error_raise(gate->result, "the device is gone");
}

/* The next write that somebody makes for himself stops at the gate. */
static void gate_close(struct gate *gate, struct hf_log *log)
{
    static const struct file_ops ops = {.write_durable = gate_write_durable};
    *gate = (struct gate){.file = {.ops = &ops}};
    mutex_init(&gate->mutex);
    condition_init(&gate->changed);
    mutex_lock(&log->mutex);
    gate->inner = log->writer.tail->writer;
    log->writer.tail->writer = &gate->file;
    mutex_unlock(&log->mutex);
}

/* It is there; those behind it go to the device as ever. */
static void gate_wait(struct gate *gate, struct hf_log *log)
{
    mutex_lock(&gate->mutex);
    while (!gate->is_reached) {
        condition_wait(&gate->changed, &gate->mutex);
    }
    mutex_unlock(&gate->mutex);
    mutex_lock(&log->mutex);
    log->writer.tail->writer = gate->inner;
    mutex_unlock(&log->mutex);
}

static void gate_open(struct gate *gate, int result)
{
    mutex_lock(&gate->mutex);
    gate->result = result;
    gate->is_open = true;
    condition_broadcast(&gate->changed);
    mutex_unlock(&gate->mutex);
}

/* ---- one waits, another appends ---- */

struct told {
    atomic_uint count;
    atomic_int last;
};

static void note_told(void *arg, int result)
{
    struct told *told = arg;
    atomic_store(&told->last, result);
    atomic_fetch_add(&told->count, 1);
}

static void wait_until_told(struct fixture *fixture, struct told *told, unsigned count)
{
    for (int i = 0; atomic_load(&told->count) < count; i++) {
        assert_true(i < PATIENCE_MS);
        if (drives(fixture)) {
            hf_log_turn(fixture->log);
        }
        usleep(1000);
    }
}

struct other {
    struct fixture *fixture;
    struct gate gate;
    struct told told;
    int result; /* of its own append */
    int gated;  /* of the write at the gate */
    uint64_t durable_meanwhile;
    unsigned told_meanwhile;
};

/* Appends behind a write that its appender makes for itself and that has not ended. When the log has a thread of its
 * own, what is behind comes to the device before. */
static void *append_behind(void *arg)
{
    struct other *other = arg;
    struct hf_log *log = other->fixture->log;
    gate_wait(&other->gate, log);
    other->result = append_in(other->fixture, 2, 1, note_told, &other->told);
    bool is_written = drives(other->fixture);
    for (int i = 0; !is_written && i < PATIENCE_MS; i++) {
        usleep(1000);
        mutex_lock(&log->mutex);
        is_written = !list_empty(&log->writer.writes) &&
                     list_entry(log->writer.writes.previous, struct log_write, link)->state == LOG_WRITE_WRITTEN;
        mutex_unlock(&log->mutex);
    }
    other->told_meanwhile = atomic_load(&other->told.count) + !is_written;
    other->durable_meanwhile = fixture_state(other->fixture, 2).durable_index;
    gate_open(&other->gate, other->gated);
    return NULL;
}

/* What the append gives whose write is kept waiting. gated: how that write ends. */
static int append_before(struct other *other, struct fixture *fixture, int gated)
{
    pthread_t thread;
    *other = (struct other){.fixture = fixture, .result = 1, .gated = gated};
    assert_int_equal(append_in(fixture, 1, 1, NULL, NULL), 0);
    settle(fixture);
    gate_close(&other->gate, fixture->log);
    assert_int_equal(pthread_create(&thread, NULL, append_behind, other), 0);
    int rc = append_in(fixture, 1, 2, NULL, NULL);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(other->result, 0);
    assert_int_equal(other->told_meanwhile, 0);
    assert_int_equal(other->durable_meanwhile, 0);
    return rc;
}

static void run_overtaken(struct fixture *fixture)
{
    struct other other;
    assert_int_equal(append_before(&other, fixture, 0), 0);
    assert_int_equal(fixture_state(fixture, 1).durable_index, 2);
    wait_until_told(fixture, &other.told, 1);
    assert_int_equal(atomic_load(&other.told.last), 0);
    fixture_reopen(fixture);
    fixture_expect(fixture, 1, 2, 1, "entry");
    fixture_expect(fixture, 2, 1, 1, "entry");
}

static void P1_L17_what_overtakes_a_write_made_alone_is_not_acknowledged_before_it(void **unused)
{
    (void)unused;
    each_driver(run_overtaken);
}

static void run_failing(struct fixture *fixture)
{
    struct other other;
    struct hf_log_stat stat;
    assert_int_equal(append_before(&other, fixture, HF_EIO), HF_EPOISONED);
    wait_until_told(fixture, &other.told, 1);
    assert_int_equal(atomic_load(&other.told.last), HF_EPOISONED);
    assert_int_equal(append_in(fixture, 1, 3, NULL, NULL), HF_EPOISONED);
    hf_log_stat(fixture->log, &stat);
    assert_string_equal(stat.failure_text, "the device is gone");
    assert_int_equal(fixture_state(fixture, 1).durable_index, 1);
    assert_int_equal(fixture_state(fixture, 2).durable_index, 0);
    fixture_reopen(fixture);
    assert_int_equal(atomic_load(&other.told.count), 1); /* once */
    fixture_expect(fixture, 1, 1, 1, "entry");
    assert_int_equal(fixture_state(fixture, 1).last_index, 1); /* nothing of it came to the device … */
    assert_int_equal(fixture_state(fixture, 2).last_index, 0); /* … and so what lies behind it does not count */
}

static void H1_L18_a_write_made_alone_that_fails_is_told_once_to_everybody(void **unused)
{
    (void)unused;
    each_driver(run_failing);
}

/* ---- who drives ---- */

static void *append_once(void *arg)
{
    struct other *other = arg;
    other->result = append_in(other->fixture, 3, 1, note_told, &other->told);
    return NULL;
}

static bool is_woken(struct fixture *fixture, int timeout_ms)
{
    struct pollfd polled = {.fd = hf_log_descriptor(fixture->log), .events = POLLIN};
    return poll(&polled, 1, timeout_ms) == 1;
}

/* An event loop that waits for the descriptor is woken by what another thread appends, and sees it through. */
static void expect_to_hear(struct fixture *fixture)
{
    struct other other = {.fixture = fixture, .result = 1};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, append_once, &other), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(other.result, 0);
    for (unsigned i = 0; atomic_load(&other.told.count) == 0; i++) {
        assert_true(i < 100 && is_woken(fixture, PATIENCE_MS / 2));
        hf_log_turn(fixture->log);
    }
}

static void run_hears_after_waiting(struct fixture *fixture)
{
    if (!drives(fixture)) {
        return;
    }
    settle(fixture);
    assert_int_equal(append_in(fixture, 1, 1, NULL, NULL), 0);
    expect_to_hear(fixture);
}

static void who_drives_and_waited_for_an_append_is_woken_by_others(void **unused)
{
    (void)unused;
    each_driver(run_hears_after_waiting);
}

static void run_hears_after_refusal(struct fixture *fixture)
{
    if (!drives(fixture)) {
        return;
    }
    settle(fixture);
    assert_int_equal(append_in(fixture, 1, 1, NULL, NULL), 0);
    settle(fixture);
    assert_int_equal(append_in(fixture, 1, 7, NULL, NULL), HF_ECONFLICT);
    expect_to_hear(fixture);
}

static void who_drives_and_was_refused_is_woken_by_others(void **unused)
{
    (void)unused;
    each_driver(run_hears_after_refusal);
}

static void fail_in_callback(void *arg, int result)
{
    (void)result;
    assert_int_equal(hf_log_batch_append(arg, 0, NULL, 0), HF_EINVALID);
}

/* The turn that is due is run all the same, and its callbacks meet errors of their own. */
static void run_refused_beside_callback(struct fixture *fixture)
{
    if (!drives(fixture)) {
        return;
    }
    settle(fixture);
    assert_int_equal(append_in(fixture, 1, 1, fail_in_callback, fixture->batch), 0);
    hf_log_turn(fixture->log);
    for (int i = 0; fixture_state(fixture, 1).durable_index == 0; i++) {
        assert_true(i < PATIENCE_MS);
        usleep(1000);
        assert_int_equal(append_in(fixture, 1, 7, NULL, NULL), HF_ECONFLICT);
        assert_non_null(strstr(hf_error_text(), "7"));
    }
}

static void why_an_append_was_refused_outlives_the_turn_that_was_due(void **unused)
{
    (void)unused;
    each_driver(run_refused_beside_callback);
}

/* ---- appends of others while somebody drives ---- */

#define OTHERS  3u
#define APPENDS 200u

struct appender {
    struct fixture *fixture;
    uint64_t group;
    struct told told;
    unsigned failures;
};

static void *append_many(void *arg)
{
    struct appender *appender = arg;
    for (uint64_t i = 1; i <= APPENDS; i++) {
        appender->failures += append_in(appender->fixture, appender->group, i, note_told, &appender->told) != 0;
    }
    return NULL;
}

static void run_beside_others(struct fixture *fixture)
{
    struct appender others[OTHERS];
    pthread_t threads[OTHERS];
    for (unsigned i = 0; i < OTHERS; i++) {
        others[i] = (struct appender){.fixture = fixture, .group = i + 2};
        assert_int_equal(pthread_create(&threads[i], NULL, append_many, &others[i]), 0);
    }
    for (uint64_t i = 1; i <= APPENDS; i++) {
        assert_int_equal(append_in(fixture, 1, i, NULL, NULL), 0);
        assert_int_equal(fixture_state(fixture, 1).durable_index, i);
    }
    for (unsigned i = 0; i < OTHERS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        wait_until_told(fixture, &others[i].told, APPENDS);
        assert_int_equal(others[i].failures, 0);
        assert_int_equal(fixture_state(fixture, others[i].group).durable_index, APPENDS);
    }
    fixture_reopen(fixture);
    for (uint64_t group = 1; group <= OTHERS + 1; group++) {
        assert_int_equal(fixture_state(fixture, group).last_index, APPENDS);
    }
}

/* What the thread sanitizer says of it is part of the test. */
static void one_thread_waits_for_its_appends_while_others_have_callbacks(void **unused)
{
    (void)unused;
    each_driver(run_beside_others);
}

int main(void)
{
    planted_prepare();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(P1_L17_what_overtakes_a_write_made_alone_is_not_acknowledged_before_it),
        cmocka_unit_test(H1_L18_a_write_made_alone_that_fails_is_told_once_to_everybody),
        cmocka_unit_test(who_drives_and_waited_for_an_append_is_woken_by_others),
        cmocka_unit_test(who_drives_and_was_refused_is_woken_by_others),
        cmocka_unit_test(why_an_append_was_refused_outlives_the_turn_that_was_due),
        cmocka_unit_test(one_thread_waits_for_its_appends_while_others_have_callbacks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
