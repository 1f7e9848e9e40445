#include "log/log.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/mutation.h"
#include "base/trace.h"
#include "log/log_alone.h"
#include "log/log_append.h"
#include "log/log_callback.h"
#include "log/log_drive.h"
#include "log/log_options.h"
#include "log/log_recovery.h"
#include "log/log_space.h"
#include "log/log_state.h"
#include "log/log_tell.h"
#include "log/log_thread.h"

#define LOG_LOCK_NAME "LOCK"
/* Beside the writes: a sync, a preparation, an index file, an unlinking, collection, a search by time, and the next
 * chunk of the cache. So none of them finds the queue full, which would be the end of the log. */
#define LOG_QUEUE_DEPTH_EXTRA 7u

/* ---- opening and closing ---- */

static int log_lock(struct hf_log *log)
{
    char *path = text_format("%s/%s", log->directory, LOG_LOCK_NAME);
    int rc = directory_create(log->io, log->directory);
    if (rc == 0) {
        rc = file_open(log->io, path, FILE_READ | FILE_WRITE | FILE_CREATE, &log->lock_file);
    }
    if (rc == 0) {
        rc = MUTATED(LOG_NOT_LOCKED) ? 0 : file_lock(log->lock_file);
        rc = rc == HF_EBUSY ? error_raise(HF_EBUSY, "the log in %s is in use", log->directory) : rc;
    }
    free(path);
    return rc;
}

static void log_configure(struct hf_log *log)
{
    const struct hf_log_options *options = &log->options;
    struct log_writer *writer = &log->writer;
    writer->stages = &log->stages;
    log->stages.hands_out = options->on_measured != NULL;
    if (log->memory != NULL) {
        log_writer_open(writer); /* it never has anything to write: only callbacks go through it */
        return;
    }
    writer->io = log->io;
    writer->queue = log->queue;
    writer->cache = &log->cache;
    writer->pool = &log->pool;
    writer->segments = &log->segments;
    writer->policy = options->sync_policy;
    writer->writes_in_flight_max = options->writes_in_flight_max;
    writer->write_size_max_bytes = options->write_size_max_bytes;
    writer->sync_interval_ns = (uint64_t)options->sync_interval_ms * 1000000;
    writer->reserve_bytes = options->reserve_bytes;
    log->stall.threshold_ns = options->on_stall != NULL ? (uint64_t)options->stall_ms * 1000000 : 0;
    log_writer_open(writer);
}

static void log_thread_turn(void *arg);
static void log_stop_thread(struct hf_log *log);
static void log_close(struct hf_log *log);

static int log_start(struct hf_log *log)
{
    if (log->options.read_only) {
        return 0;
    }
    unsigned depth = log->options.writes_in_flight_max + LOG_QUEUE_DEPTH_EXTRA;
    int rc = io_queue_open(log->io, depth, &log->queue);
    if (rc != 0) {
        return rc;
    }
    log_configure(log);
    if (log->memory == NULL) {
        log_seal_open(log, io_monotonic_ns(log->io));
    }
    log->simulated = io_queue_descriptor(log->queue) < 0; /* asked here once: the descriptor is the driver's */
    if (log->simulated) {
        log->options.driver = HF_LOG_DRIVE_CALLER; /* in the simulator there are no threads */
    }
    if (log->options.driver == HF_LOG_DRIVE_THREAD) {
        log_linger_open(&log->linger);
        rc = executor_open("log", log_thread_turn, log, &log->executor);
    } else {
        log->driver_asleep = true;
    }
    return rc;
}

static int log_open_files(struct hf_log *log)
{
    int rc = 0;
    if (!log->options.read_only) {
        rc = log_lock(log);
    }
    if (rc == 0) {
        rc = log_recovery_run(log);
    }
    return rc;
}

int log_open(struct io *io, const char *directory, const struct hf_log_options *options, struct hf_log **out)
{
    struct hf_log *log = memory_new(sizeof(*log));
    *out = NULL;
    log->io = io;
    log->directory = text_copy(directory != NULL ? directory : "");
    mutex_init(&log->mutex);
    condition_init(&log->changed);
    list_init(&log->iterators);
    int rc = log_options_set(&log->options, options);
    if (rc != 0) {
        goto done;
    }
    log->groups.block_entries_max = log->options.index_block_entries;
    log->pool.segment_size_max_bytes = log->options.segment_size_bytes;
    log->pool.reserve_bytes = log->options.reserve_bytes;
    log->pool.direct = log->options.direct;
    log->pool.spares_max = log->options.recycle_segments_max;
    log_retain_open(&log->retain);
    log_tail_cache_open(&log->cache, log->options.tail_cache_bytes, log->options.write_size_max_bytes);
    log->cache.entries_max = log->options.tail_cache_entries_max;
    log->cache.age_max_ns = (uint64_t)log->options.tail_cache_age_ms * 1000000;
    if (log->options.backend == HF_LOG_MEMORY) {
        log->memory = log_memory_open(log->options.segment_size_bytes);
    } else {
        rc = log_open_files(log);
    }
    if (rc == 0) {
        rc = log_start(log);
    }
    if (rc != 0) {
        const char *nowhere = log->options.backend == HF_LOG_MEMORY ? "memory" : "no directory";
        rc = error_wrap(rc, "opening the log in %s", directory != NULL ? directory : nowhere);
        goto done;
    }
    *out = log;
    log = NULL; /* the caller owns it now */
done:
    log_close(log);
    return rc;
}

/* Nothing was written when an open fails with these, so that it is safe to try again. */
static bool log_open_may_retry(int rc)
{
    return rc == HF_EBUSY || rc == HF_ENOMEM;
}

static int log_open_patiently(struct io *io, const char *directory, const struct hf_log_options *options,
                              struct hf_log **out)
{
    struct hf_log_options settled;
    int rc = log_options_set(&settled, options);
    if (rc == 0) {
        rc = log_open(io, directory, options, out);
    }
    struct mutex mutex;
    struct condition never;
    mutex_init(&mutex);
    condition_init(&never);
    for (uint32_t tries = 0; tries < settled.open_retries_max && log_open_may_retry(rc); tries++) {
        mutex_lock(&mutex);
        condition_wait_for(&never, &mutex, (uint64_t)settled.open_retry_ms * 1000000);
        mutex_unlock(&mutex);
        rc = log_open(io, directory, options, out);
    }
    condition_close(&never);
    mutex_close(&mutex);
    return rc;
}

/* A caller who drives pays with his own time for what the ring does in a submission; threads do that elsewhere. */
static enum io_backend log_choose_backend(const struct hf_log_options *options)
{
    static const enum io_backend backends[] = {IO_BACKEND_AUTO, IO_BACKEND_URING, IO_BACKEND_THREADS};
    enum hf_log_io wanted = options != NULL ? options->io : HF_LOG_IO_AUTO;
    bool caller_drives = options != NULL && options->driver == HF_LOG_DRIVE_CALLER;
    return wanted == HF_LOG_IO_AUTO && caller_drives ? IO_BACKEND_THREADS : backends[wanted];
}

int hf_log_open(const char *directory, const struct hf_log_options *options, struct hf_log **out)
{
    struct io *io = NULL;
    *out = NULL;
    int rc = log_options_check(options);
    if (rc != 0) {
        return rc;
    }
    rc = io_open_kernel(log_choose_backend(options), &io);
    if (rc != 0) {
        return rc;
    }
    rc = log_open_patiently(io, directory, options, out);
    if (rc != 0) {
        io_close(io);
        return rc;
    }
    (*out)->io_owned = true;
    return 0;
}

/* Something in flight that could still change anything. The mutex is held. */
static bool log_is_busy(const struct hf_log *log)
{
    const struct log_writer *writer = &log->writer;
    return writer->in_flight > 0 || writer->sync.busy || log->pool.busy || log->seal.busy || log_space_is_busy(log);
}

/* Nothing is to come any more, unless it is appended. The mutex is held. */
static bool log_is_quiet(struct hf_log *log)
{
    const struct log_writer *writer = &log->writer;
    bool stuck = writer->failure != 0 || log_pool_is_stuck(&log->pool);
    if (log_is_busy(log) || writer->ready.count > 0) {
        return false;
    }
    return stuck || log_writer_is_idle(writer);
}

/* Drives what is queued to its end. Driver: the log's own thread, or who closes a log without one. */
static void log_drain(struct hf_log *log)
{
    bool simulated = log->simulated;
    for (;;) {
        mutex_lock(&log->mutex);
        struct log_writer *writer = &log->writer;
        if (log_writer_is_idle(writer) && log_writer_trailer_missing(writer)) {
            log_writer_write_trailer(writer);
        }
        /* Under the relaxed policies what is written now waits for a sync only. */
        writer->sync_wanted |= writer->failure == 0 && writer->in_flight == 0 && writer->unsynced_bytes > 0;
        bool quiet = log_is_quiet(log);
        bool work = log_writer_has_work(writer);
        mutex_unlock(&log->mutex);
        if (quiet) {
            return;
        }
        unsigned ran = log_drive_turn(log, work || simulated ? 0 : LOG_POOL_RETRY_NS, LOG_TURN_POLLS);
        if (simulated && ran == 0 && !work) {
            return; /* its time does not pass while we wait */
        }
    }
}

static void log_fail_rest(struct hf_log *log)
{
    mutex_lock(&log->mutex);
    log_writer_fail_waiters(&log->writer, HF_ECLOSED);
    log->writer.failure = log->writer.failure != 0 ? log->writer.failure : HF_ECLOSED;
    mutex_unlock(&log->mutex);
    log_drive_turn(log, 0, LOG_TURN_POLLS);
}

static void log_close(struct hf_log *log)
{
    if (log == NULL) {
        return;
    }
    struct io *io = log->io_owned ? log->io : NULL;
    mutex_lock(&log->mutex);
    log->closing = true;
    log_seal_cancel(&log->seal);
    mutex_unlock(&log->mutex);
    if (log->executor != NULL) {
        log_stop_thread(log);
    }
    if (log->queue != NULL) {
        log_drain(log);
        log_fail_rest(log);
        io_queue_close(log->queue);
    }
    log_seal_close(&log->seal);
    log_writer_close(&log->writer);
    log_space_close(log);
    log_pool_close(&log->pool);
    log_warm_close(&log->warm);
    log_tail_cache_close(&log->cache);
    log_groups_close(&log->groups);
    log_memory_close(log->memory);
    log_segment_table_close(&log->segments);
    log_damage_close(&log->damages);
    file_close(log->lock_file);
    free(log->calling.items);
    free(log->directory);
    log_completion_close(&log->completions);
    condition_close(&log->changed);
    mutex_close(&log->mutex);
    free(log);
    io_close(io);
}

int hf_log_close(struct hf_log *log)
{
    int rc = log != NULL ? log_callback_check("close one") : 0;
    if (rc != 0) {
        TRACE(TRACE_ERROR, "log", "the log stays open: %s", hf_error_text());
        return rc;
    }
    log_close(log);
    return 0;
}

/* ---- turns ---- */

static void log_reap(struct hf_log *log, struct list *done, uint64_t now_ns)
{
    list_each_safe (done, item) {
        struct io_operation *operation = list_entry(item, struct io_operation, link);
        list_remove(item);
        if (log_space_complete(log, operation, now_ns)) {
            continue;
        }
        int rc = 0;
        if (operation == &log->pool.operation) {
            rc = log_pool_finish(&log->pool, now_ns);
        } else if (operation == &log->seal.operation) {
            rc = log_seal_finish(log, now_ns);
        } else if (operation == &log->warm.operation) {
            log_warm_finish(log);
        } else {
            log_writer_complete(&log->writer, operation, now_ns);
        }
        if (rc != 0) {
            log_writer_poison(&log->writer, rc, hf_error_text());
        }
    }
}

static struct log_pool_demand log_demand(const struct hf_log *log)
{
    const struct log_writer *writer = &log->writer;
    return (struct log_pool_demand){.log_bytes = log->segments.size_bytes,
                                    .tail_bytes = writer->tail->header.size_bytes,
                                    .tail_used = writer->tail_offset};
}

/* The mutex is held. */
static void log_step(struct hf_log *log, uint64_t now_ns)
{
    struct log_writer *writer = &log->writer;
    log_writer_advance(writer, now_ns);
    log_tail_cache_expire(&log->cache, now_ns);
    if (log_writer_deadline_ns(writer) <= now_ns && log_writer_trailer_missing(writer) && list_empty(&writer->writes) &&
        !log->closing) {
        log_writer_write_trailer(writer);
    }
    if (writer->failure == 0 && !log->closing) {
        int rc = log_space_step(log, now_ns);
        if (rc != 0) {
            log_writer_poison(writer, rc, hf_error_text());
        }
    }
    log_writer_submit(writer, now_ns);
    if (log->memory != NULL) {
        return;
    }
    struct log_pool_demand demand = log_demand(log);
    if (writer->failure == 0 && !log->closing) {
        int rc = log_pool_start(&log->pool, log->queue, &demand, now_ns);
        if (rc == 0) {
            rc = log_seal_start(log, now_ns);
        }
        log_warm_start(log);
        if (rc != 0) {
            log_writer_poison(writer, rc, hf_error_text());
        }
    } else if (writer->failure == 0 && log->pool.waited_for_count > 0) {
        (void)log_pool_start(&log->pool, log->queue, &demand, now_ns);
    }
}

/* Runs the callbacks whose turn has come, without the mutex; they may append. */
static unsigned log_call_ready(struct hf_log *log)
{
    unsigned ran = 0;
    log_callback_enter();
    for (size_t i = 0; i < log->calling.count; i++) {
        struct log_ready *ready = &log->calling.items[i];
        ready->waiter.done(ready->waiter.arg, ready->result);
        ran++;
    }
    log_callback_leave();
    log->calling.count = 0;
    return ran;
}

static void log_take_ready(struct hf_log *log)
{
    struct log_ready_list taken = log->writer.ready;
    log->writer.ready = log->calling;
    log->calling = taken;
    log->linger.after_answers = taken.count > 0;
    log_completion_take(&log->completions, &log->calling);
}

/* The mutex is held. */
static uint64_t log_deadline_locked(struct hf_log *log)
{
    if (log_writer_has_work(&log->writer) || log_stages_is_full(&log->stages)) {
        return 0;
    }
    uint64_t writer_ns = log_writer_deadline_ns(&log->writer);
    if (log->writer.failure != 0 || log->closing) {
        return writer_ns;
    }
    if (log->memory != NULL) {
        uint64_t space_ns = log_space_deadline_ns(log, io_monotonic_ns(log->io));
        return writer_ns < space_ns ? writer_ns : space_ns;
    }
    struct log_pool_demand demand = log_demand(log);
    uint64_t deadlines_ns[] = {log_pool_deadline_ns(&log->pool, &demand), log_seal_deadline_ns(log),
                               log_space_deadline_ns(log, io_monotonic_ns(log->io)),
                               log_stall_deadline_ns(&log->stall, log_writer_oldest_ns(&log->writer))};
    uint64_t first_ns = writer_ns;
    for (size_t i = 0; i < sizeof(deadlines_ns) / sizeof(deadlines_ns[0]); i++) {
        first_ns = deadlines_ns[i] < first_ns ? deadlines_ns[i] : first_ns;
    }
    return first_ns;
}

void log_drive_rest(struct hf_log *log)
{
    log->driver_until_ns = log_deadline_locked(log);
    log->driver_asleep = log->driver_until_ns != 0;
}

/* One turn; waits up to timeout_ns for something to reap. */
unsigned log_drive_turn(struct hf_log *log, uint64_t timeout_ns, enum log_turn_kind kind)
{
    struct list done;
    list_init(&done);
    log->turning = true;
    io_queue_reap(log->queue, &done, timeout_ns);
    mutex_lock(&log->mutex);
    log->driver_thread = log_thread_number();
    log->driver_asleep = false;
    uint64_t now_ns = io_monotonic_ns(log->io);
    log_reap(log, &done, now_ns);
    log_writer_advance(&log->writer, now_ns);
    bool alone =
        kind != LOG_TURN_POLLS && log_alone_write(log, kind == LOG_TURN_HERE ? LOG_ALONE_LOOP : LOG_ALONE_DRIVER);
    now_ns = alone ? io_monotonic_ns(log->io) : now_ns;
    bool later = alone && log->writer.queued_bytes == 0; /* nothing else is to be written: who waited is told first */
    if (!later) {
        log_step(log, now_ns);
    }
    log_take_ready(log);
    if (log->changed_waiters > 0) {
        condition_broadcast(&log->changed);
    }
    mutex_unlock(&log->mutex);
    io_queue_flush(log->queue);
    uint64_t called_ns = log->calling.count > 0 ? io_monotonic_ns(log->io) : 0;
    unsigned ran = log_call_ready(log);
    uint64_t returned_ns = ran > 0 ? io_monotonic_ns(log->io) : 0;
    mutex_lock(&log->mutex);
    if (ran > 0) {
        log_stages_note(&log->stages, HF_LOG_STAGE_CALLBACK, called_ns, returned_ns, ran, 0);
    }
    bool steps = later || ran > 0; /* what the callbacks appended, too */
    if (steps) {
        log_step(log, ran > 0 ? returned_ns : now_ns);
    }
    log_tell_owner(log);
    if (log->options.driver == HF_LOG_DRIVE_CALLER) {
        log_drive_rest(log);
    }
    mutex_unlock(&log->mutex);
    if (steps) {
        io_queue_flush(log->queue);
    }
    log->turning = false;
    return ran;
}

/* Not in a callback of a turn, and not beside a thread of the log's own. */
static bool log_drive_may(const struct hf_log *log)
{
    return log->queue != NULL && log->options.driver == HF_LOG_DRIVE_CALLER && !log->turning;
}

unsigned log_turn_here(struct hf_log *log)
{
    if (!log_drive_may(log)) {
        return 0;
    }
    return log_drive_turn(log, 0, LOG_TURN_HERE);
}

unsigned hf_log_turn(struct hf_log *log)
{
    if (!log_drive_may(log)) {
        return 0;
    }
    return log_drive_turn(log, 0, LOG_TURN_POLLS);
}

uint64_t log_deadline_ns(struct hf_log *log)
{
    if (log->queue == NULL) {
        return UINT64_MAX;
    }
    mutex_lock(&log->mutex);
    uint64_t deadline_ns = log_deadline_locked(log);
    mutex_unlock(&log->mutex);
    return deadline_ns;
}

/* How long the driver may sleep; notes that it does. */
uint64_t log_drive_sleep_ns(struct hf_log *log)
{
    mutex_lock(&log->mutex);
    uint64_t deadline_ns = log->closing ? 0 : log_deadline_locked(log);
    uint64_t timeout_ns = 0;
    if (deadline_ns == UINT64_MAX) {
        timeout_ns = UINT64_MAX;
    } else if (deadline_ns != 0) {
        uint64_t now_ns = io_monotonic_ns(log->io);
        timeout_ns = deadline_ns > now_ns ? deadline_ns - now_ns : 0;
    }
    log->driver_asleep = timeout_ns > 0;
    log->driver_until_ns = deadline_ns;
    mutex_unlock(&log->mutex);
    return timeout_ns;
}

/* Before it sleeps: 0 when there is something to do by now. */
static uint64_t log_thread_linger(struct hf_log *log, uint64_t sleep_ns)
{
    struct log_linger *linger = &log->linger;
    mutex_lock(&log->mutex);
    bool lingers = log->driver_asleep && log_linger_begin(linger);
    mutex_unlock(&log->mutex);
    if (!lingers) {
        return sleep_ns;
    }
    bool called = log_linger_wait(linger, log->io);
    mutex_lock(&log->mutex);
    called = called || !log->driver_asleep;
    log_linger_end(linger, called);
    mutex_unlock(&log->mutex);
    return called ? 0 : sleep_ns;
}

/* A ring cancels what a thread that ends has submitted: the driver's own thread sees everything through, then rests
 * until it is stopped. */
static void log_thread_turn(void *arg)
{
    struct hf_log *log = arg;
    mutex_lock(&log->mutex);
    bool closing = log->closing;
    bool drained = log->drained;
    mutex_unlock(&log->mutex);
    if (!closing) {
        uint64_t sleep_ns = log_drive_sleep_ns(log);
        if (sleep_ns > LOG_LINGER_NS && log->linger.after_answers) {
            sleep_ns = log_thread_linger(log, sleep_ns);
        }
        log_drive_turn(log, sleep_ns, LOG_TURN_MAY_BLOCK);
        return;
    }
    if (drained) {
        log_drive_turn(log, UINT64_MAX, LOG_TURN_POLLS);
        return;
    }
    log_drain(log);
    mutex_lock(&log->mutex);
    log->drained = true;
    condition_broadcast(&log->changed);
    mutex_unlock(&log->mutex);
}

static void log_stop_thread(struct hf_log *log)
{
    io_queue_wake(log->queue);
    mutex_lock(&log->mutex);
    while (!log->drained) {
        condition_wait(&log->changed, &log->mutex);
    }
    mutex_unlock(&log->mutex);
    executor_stop(log->executor);
    io_queue_wake(log->queue);
    executor_close(log->executor);
}

unsigned hf_log_turn_wait(struct hf_log *log, uint64_t timeout_ns)
{
    if (!log_drive_may(log)) {
        return 0;
    }
    uint64_t sleep_ns = timeout_ns > 0 ? log_drive_sleep_ns(log) : 0;
    return log_drive_turn(log, sleep_ns < timeout_ns ? sleep_ns : timeout_ns,
                          timeout_ns > 0 ? LOG_TURN_MAY_BLOCK : LOG_TURN_POLLS);
}

int hf_log_descriptor(struct hf_log *log)
{
    bool drives = log->queue != NULL && log->options.driver == HF_LOG_DRIVE_CALLER;
    return drives ? io_queue_descriptor(log->queue) : -1;
}

struct io_queue *log_queue(struct hf_log *log)
{
    return log->queue;
}

/* ---- appending ---- */

/* Wakes the driver when it sleeps although there is something to do before it wakes by itself. A caller that drives and
 * appends in the same thread runs a turn afterwards anyway; waking it would cost two system calls. The mutex is held.
 */
static bool log_drive_is_here(const struct hf_log *log)
{
    return log->options.driver == HF_LOG_DRIVE_CALLER && log->driver_thread == log_thread_number();
}

bool log_drive_push(struct hf_log *log)
{
    return log->queue != NULL && log_writer_has_sealed(&log->writer) && log_drive_is_here(log) &&
           log_writer_submit_sealed(&log->writer, io_monotonic_ns(log->io));
}

bool log_drive_is_due(struct hf_log *log, uint64_t now_ns)
{
    return log_is_busy(log) || log->warm.busy || log->stages.pending_count > 0 || log_deadline_locked(log) <= now_ns;
}

bool log_drive_needs_wake(struct hf_log *log)
{
    if (log_drive_is_here(log)) {
        return false;
    }
    bool wake = log->driver_asleep && log_deadline_locked(log) < log->driver_until_ns;
    log->driver_asleep = log->driver_asleep && !wake;
    return wake && !log_linger_call(&log->linger);
}

int hf_log_group_open(struct hf_log *log, uint64_t group_id, uint64_t incarnation)
{
    if (group_id == 0 || group_id > HF_LOG_GROUP_MAX || incarnation == 0) {
        return error_raise(HF_EINVALID, "group %" PRIu64 " with incarnation %" PRIu64, group_id, incarnation);
    }
    mutex_lock(&log->mutex);
    int rc = 0;
    struct log_group *group = log_groups_get(&log->groups, group_id);
    if (group == NULL) {
        rc = error_raise(HF_ETOOBIG, "more than %u groups", LOG_GROUP_COUNT_MAX);
    } else if (group->incarnation == 0 && group->tombstone == incarnation) {
        rc = error_raise(HF_EMISMATCH, "group %" PRIu64 " with this incarnation was removed", group_id);
    } else if (group->bounds.exists && group->incarnation != incarnation) {
        rc = error_raise(HF_EMISMATCH, "group %" PRIu64 " exists with another incarnation", group_id);
    } else {
        log_group_incarnate(group, incarnation);
    }
    mutex_unlock(&log->mutex);
    return rc;
}

/* ---- space ---- */

/* The mutex is held. */
static uint64_t log_capacity_locked(struct hf_log *log)
{
    if (log->queue == NULL || log->writer.failure != 0) {
        return 0;
    }
    uint64_t capacity = log->memory != NULL ? log_memory_capacity(log) : log_writer_capacity(&log->writer);
    return capacity > log->reserved_bytes ? capacity - log->reserved_bytes : 0;
}

int hf_log_reserve(struct hf_log *log, uint64_t bytes)
{
    mutex_lock(&log->mutex);
    int rc = log_append_check_state(log);
    if (rc == 0 && log->memory == NULL && log_capacity_locked(log) < bytes) {
        log_pool_forget_free_bytes(&log->pool);
        log->pool.retry_now = true;
    }
    if (rc == 0 && log_capacity_locked(log) < bytes) {
        rc = error_raise(HF_ENOSPACE, "no space for %" PRIu64 " more bytes of the log", bytes);
    }
    if (rc == 0) {
        log->reserved_bytes += bytes;
    }
    mutex_unlock(&log->mutex);
    return rc;
}

void hf_log_unreserve(struct hf_log *log, uint64_t bytes)
{
    mutex_lock(&log->mutex);
    log->reserved_bytes -= bytes < log->reserved_bytes ? bytes : log->reserved_bytes;
    mutex_unlock(&log->mutex);
}

uint64_t hf_log_capacity_bytes(struct hf_log *log)
{
    mutex_lock(&log->mutex);
    uint64_t capacity = log_capacity_locked(log);
    mutex_unlock(&log->mutex);
    return capacity;
}

/* ---- state ---- */

int hf_log_group_state(struct hf_log *log, uint64_t group_id, struct hf_log_group_state *out)
{
    *out = (struct hf_log_group_state){.first_index = 1};
    mutex_lock(&log->mutex);
    const struct log_group *group = log_groups_find(&log->groups, group_id);
    if (group != NULL) {
        log_group_describe(group, out);
        out->segments_held = log_group_segments_held(group, ++log->segments.mark);
    }
    bool may_be_lost = out->removed ? out->state_lost : log->lost_unknown; /* all that there was of it */
    out->damaged |= !out->exists && may_be_lost;
    out->state_lost = out->damaged && (out->state_lost || !out->exists);
    mutex_unlock(&log->mutex);
    return 0;
}

int hf_log_group_next(struct hf_log *log, uint64_t after, uint64_t *out)
{
    mutex_lock(&log->mutex);
    const struct log_group *group = log_groups_next(&log->groups, after);
    int rc = HF_ENOTFOUND;
    if (group != NULL) {
        *out = group->id;
        rc = 0;
    }
    mutex_unlock(&log->mutex);
    return rc;
}

size_t hf_log_group_list(struct hf_log *log, uint64_t after, uint64_t *out, size_t max)
{
    size_t count = 0;
    mutex_lock(&log->mutex);
    for (const struct log_group *group = NULL; count < max && (group = log_groups_next(&log->groups, after)) != NULL;
         after = group->id) {
        out[count++] = group->id;
    }
    mutex_unlock(&log->mutex);
    return count;
}

int hf_log_term(struct hf_log *log, uint64_t group_id, uint64_t index, uint64_t *out)
{
    const struct log_group nothing = {.id = group_id};
    mutex_lock(&log->mutex);
    const struct log_group *group = log_groups_find(&log->groups, group_id);
    int rc = log_group_term(group != NULL ? group : &nothing, index, out);
    mutex_unlock(&log->mutex);
    return rc;
}

int hf_log_damage_next(struct hf_log *log, size_t *position, struct hf_log_damage *out)
{
    mutex_lock(&log->mutex);
    int rc = HF_ENOTFOUND;
    if (*position < log->damages.count) {
        *out = log->damages.items[(*position)++];
        rc = 0;
    }
    mutex_unlock(&log->mutex);
    return rc;
}
