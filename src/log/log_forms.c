/* The forms of an append, all over log_append_locked: with a callback, blocking, with a token for hf_log_poll. */
#include <inttypes.h>

#include "base/error.h"
#include "base/mutation.h"
#include "base/semaphore.h"
#include "log/log_alone.h"
#include "log/log_append.h"
#include "log/log_batch.h"
#include "log/log_callback.h"
#include "log/log_drive.h"

#define LOG_SPACE_WAIT_NS UINT64_C(50000000) /* who waits for space looks again after this time at the latest */

struct log_waiting {
    struct semaphore told;
    bool completed; /* the driver's */
    int result;
};

static void log_waiting_done(void *arg, int result)
{
    struct log_waiting *waiting = arg;
    waiting->completed = true;
    waiting->result = result;
    semaphore_post(&waiting->told); /* from here on it may be gone */
}

/* The mutex is held; takes it again after every wait. Another thread, or this one as the driver, makes space. */
static int log_append_patiently(struct hf_log *log, const struct hf_log_batch *batch, struct log_waiter waiter,
                                const struct hf_log_append_options *options)
{
    int rc = log_append_locked(log, batch, waiter, options->acknowledge);
    uint64_t deadline_ns = io_monotonic_ns(log->io) + (uint64_t)options->wait_ms * 1000000;
    while (rc == HF_EBUSY && options->wait_ms > 0) {
        uint64_t now_ns = io_monotonic_ns(log->io);
        if (now_ns >= deadline_ns) {
            return error_wrap(rc, "after %" PRIu32 " ms", options->wait_ms);
        }
        uint64_t wait_ns = deadline_ns - now_ns < LOG_SPACE_WAIT_NS ? deadline_ns - now_ns : LOG_SPACE_WAIT_NS;
        if (log->options.driver == HF_LOG_DRIVE_CALLER) {
            wait_ns = log_writer_has_work(&log->writer) ? 0 : wait_ns;
            mutex_unlock(&log->mutex);
            log_drive_turn(log, wait_ns, LOG_TURN_MAY_BLOCK);
            mutex_lock(&log->mutex);
        } else {
            log->changed_waiters++;
            condition_wait_for(&log->changed, &log->mutex, wait_ns);
            log->changed_waiters--;
        }
        rc = log_append_locked(log, batch, waiter, options->acknowledge);
    }
    return rc;
}

static int log_append_check_options(const struct hf_log *log, const struct hf_log_append_options *options)
{
    if (options->acknowledge > HF_LOG_ACK_DURABLE) {
        return error_raise(HF_EINVALID, "there is no acknowledgement %d", (int)options->acknowledge);
    }
    if (options->poll && options->done != NULL) {
        return error_raise(HF_EINVALID, "an append has a callback or a token, not both");
    }
    if (options->wait_ms > 0 && log->simulated) {
        return error_raise(HF_EUNSUPPORTED, "in the simulator nothing can wait: append again after turns");
    }
    return options->wait_ms > 0 ? log_callback_check("wait for space") : 0;
}

/* The driver hears of what was appended. Gives the mutex back. */
static void log_append_end(struct hf_log *log)
{
    bool pushed = log_drive_push(log);
    bool wake = log->queue != NULL && log_drive_needs_wake(log);
    mutex_unlock(&log->mutex);
    if (wake) {
        io_queue_wake(log->queue);
    }
    if (pushed) {
        io_queue_flush(log->queue);
    }
}

int hf_log_append_with(struct hf_log *log, const struct hf_log_batch *batch,
                       const struct hf_log_append_options *options)
{
    int rc = log_append_check_options(log, options);
    if (rc != 0) {
        return rc;
    }
    struct log_waiter waiter = {.done = options->done, .arg = options->arg};
    mutex_lock(&log->mutex);
    if (options->poll) {
        rc = log_completion_expect(&log->completions, log->options.queue_entries_max);
        waiter = log_completion_waiter(options->token);
    }
    if (rc == 0) {
        rc = log_append_patiently(log, batch, waiter, options);
        if (rc != 0 && options->poll) {
            log_completion_forget(&log->completions);
        }
    }
    log_append_end(log);
    return rc;
}

int hf_log_append(struct hf_log *log, const struct hf_log_batch *batch, hf_log_done *done, void *arg)
{
    mutex_lock(&log->mutex);
    int rc = log_append_locked(log, batch, (struct log_waiter){.done = done, .arg = arg}, HF_LOG_ACK_POLICY);
    log_append_end(log);
    return rc;
}

/* The calling thread is the driver. */
static void log_drive_until(struct hf_log *log, const struct log_waiting *waiting)
{
    while (!waiting->completed) {
        uint64_t timeout_ns = log_drive_sleep_ns(log);
        log_drive_turn(log, timeout_ns, LOG_TURN_MAY_BLOCK);
    }
}

/* Nothing is waited for: refused with rc, or durable without a turn. Returns rc; gives the mutex back. */
static int log_append_end_alone(struct hf_log *log, int rc)
{
    if (log->changed_waiters > 0) {
        condition_broadcast(&log->changed);
    }
    /* Somebody who drives and appends only so would never make room for himself. */
    bool drives = log->options.driver == HF_LOG_DRIVE_CALLER;
    bool due = drives && log_drive_is_due(log, io_monotonic_ns(log->io));
    bool wake = log_drive_needs_wake(log);
    if (drives && !due && !MUTATED(LOG_DRIVER_STAYS_AWAKE)) {
        log_drive_rest(log);
    }
    mutex_unlock(&log->mutex);
    if (wake) {
        io_queue_wake(log->queue);
    }
    if (due) {
        char text[ERROR_TEXT_SIZE_MAX]; /* the turn and its callbacks may meet errors of their own */
        error_text_copy(text, sizeof(text));
        log_drive_turn(log, 0, LOG_TURN_POLLS);
        rc = rc != 0 ? error_restore(rc, text) : 0;
    }
    return rc;
}

/* Until everything that was appended so far is acknowledged. Gives the mutex back. */
static int log_append_await(struct hf_log *log, enum hf_log_acknowledge acknowledge)
{
    struct log_waiting waiting = {0};
    semaphore_init(&waiting.told);
    log_writer_wait(&log->writer, (struct log_waiter){.done = log_waiting_done, .arg = &waiting}, acknowledge);
    bool wake = log_drive_needs_wake(log);
    mutex_unlock(&log->mutex);
    if (wake) {
        io_queue_wake(log->queue);
    }
    if (log->options.driver == HF_LOG_DRIVE_CALLER) {
        log_drive_until(log, &waiting);
    }
    semaphore_wait(&waiting.told);
    semaphore_close(&waiting.told);
    return waiting.result;
}

static int log_append_blocking(struct hf_log *log, const struct hf_log_batch *batch,
                               enum hf_log_acknowledge acknowledge)
{
    if (log->queue == NULL) {
        return error_raise(HF_EUNSUPPORTED, "the log was opened read-only");
    }
    if (log->simulated) {
        return error_raise(HF_EUNSUPPORTED, "in the simulator nothing can wait: append, then run turns");
    }
    int rc = log_callback_check("wait");
    if (rc != 0) {
        return rc;
    }
    mutex_lock(&log->mutex);
    log->driver_asleep = log->driver_asleep && log->options.driver != HF_LOG_DRIVE_CALLER;
    rc = log_append_locked(log, batch, (struct log_waiter){0}, acknowledge);
    if (rc != 0 || log_alone_append(log, &rc)) {
        return log_append_end_alone(log, rc);
    }
    return log_append_await(log, acknowledge);
}

static int log_append_result(struct hf_log *log, int rc)
{
    if (rc == HF_EPOISONED || rc == HF_ECLOSED) {
        struct hf_log_stat stat;
        hf_log_stat(log, &stat);
        return error_raise(rc, "the append was not acknowledged: %s", stat.failure_text);
    }
    return rc;
}

int hf_log_append_wait(struct hf_log *log, const struct hf_log_batch *batch)
{
    return log_append_result(log, log_append_blocking(log, batch, HF_LOG_ACK_POLICY));
}

int hf_log_sync(struct hf_log *log)
{
    static const struct hf_log_batch nothing = {.essential = true};
    return log_append_result(log, log_append_blocking(log, &nothing, HF_LOG_ACK_DURABLE));
}

size_t hf_log_poll(struct hf_log *log, struct hf_log_completion *out, size_t max)
{
    if (!log_completion_any(&log->completions)) {
        return 0;
    }
    mutex_lock(&log->mutex);
    size_t count = log_completion_poll(&log->completions, out, max);
    mutex_unlock(&log->mutex);
    return count;
}

int hf_log_poll_descriptor(struct hf_log *log)
{
    if (log->queue == NULL) {
        return -1;
    }
    mutex_lock(&log->mutex);
    int descriptor = log_completion_descriptor(&log->completions);
    mutex_unlock(&log->mutex);
    return descriptor;
}

int hf_log_group_create(struct hf_log *log, uint64_t group_id, uint64_t incarnation)
{
    struct hf_log_group_state state;
    struct hf_log_batch *batch = NULL;
    hf_log_group_state(log, group_id, &state);
    if (state.exists) {
        return error_raise(HF_EEXISTS, "group %" PRIu64 " exists", group_id);
    }
    int rc = hf_log_group_open(log, group_id, incarnation);
    if (rc == 0) {
        rc = hf_log_batch_open(&batch);
    }
    if (rc == 0) {
        rc = hf_log_batch_hard_state(batch, group_id, (struct hf_hard_state){0});
    }
    if (rc == 0) {
        batch->creates = incarnation;
        rc = log_append_result(log, log_append_blocking(log, batch, HF_LOG_ACK_DURABLE));
    }
    hf_log_batch_close(batch);
    return rc;
}

int hf_log_group_remove(struct hf_log *log, uint64_t group_id)
{
    struct hf_log_group_state state;
    struct hf_log_batch *batch = NULL;
    hf_log_group_state(log, group_id, &state);
    if (!state.exists) {
        return error_raise(HF_ENOTFOUND, "there is no group %" PRIu64, group_id);
    }
    int rc = hf_log_batch_open(&batch);
    if (rc == 0) {
        rc = hf_log_batch_remove_group(batch, group_id);
    }
    if (rc == 0) {
        batch->removes = true;
        rc = log_append_result(log, log_append_blocking(log, batch, HF_LOG_ACK_DURABLE));
    }
    hf_log_batch_close(batch);
    return rc;
}
