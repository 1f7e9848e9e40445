/* Who asked to be told of a device that hangs is told: so nobody writes for himself where the log's thread would not
 * notice. (Shown with a device that hung for half a second under such an appender: nothing was told.) */
#include "unit/log/log_fixture.h"

#include "log/log.h"
#include "log/log_alone.h"
#include "log/log_append.h"

static void note_stall(void *arg, uint64_t age_ns)
{
    (void)arg, (void)age_ns;
}

/* Whether an appender that waits makes its write itself while the log's thread sleeps. */
static bool writes_alone(hf_log_stalled *on_stall)
{
    struct fixture fixture;
    fixture_set_up(&fixture);
    fixture.options.on_stall = on_stall;
    fixture_open(&fixture);
    assert_int_equal(fixture_append(&fixture, 1, 1, 1, "first"), 0);
    struct hf_log *log = fixture.log;
    struct hf_entry entry = fixture_entry(2, 1, "second");
    hf_log_batch_clear(fixture.batch);
    assert_int_equal(hf_log_batch_append(fixture.batch, 1, &entry, 1), 0);
    mutex_lock(&log->mutex);
    for (int i = 0; i < 60000 && !(log->driver_asleep && log_writer_is_idle(&log->writer)); i++) {
        mutex_unlock(&log->mutex);
        usleep(1000);
        mutex_lock(&log->mutex);
    }
    int rc = log_append_locked(log, fixture.batch, (struct log_waiter){0}, HF_LOG_ACK_POLICY);
    bool alone = rc == 0 && log_alone_append(log, &rc);
    mutex_unlock(&log->mutex);
    assert_int_equal(rc, 0);
    io_queue_wake(log->queue);
    assert_int_equal(hf_log_sync(log), 0);
    fixture_tear_down(&fixture);
    return alone;
}

static void an_appender_writes_for_itself_unless_stalls_are_to_be_told(void **unused)
{
    (void)unused;
    assert_true(writes_alone(NULL));
    assert_false(writes_alone(note_stall));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_appender_writes_for_itself_unless_stalls_are_to_be_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
