#include "log/log_read_ahead.h"

#include "base/error.h"
#include "base/trace.h"
#include "log/log_state.h"

/* The mutex is held. */
static bool log_read_ahead_is_on_device(const struct log_read_ahead *ahead, uint64_t low)
{
    struct hf_log *log = ahead->log;
    const struct log_group *group = log_groups_find(&log->groups, ahead->group);
    struct log_location location;
    struct log_chunk *chunk = NULL;
    if (group == NULL || low <= group->bounds.floor || low > group->bounds.last ||
        !log_index_find(&group->index, low, &location) || location.segment->memory != NULL) {
        return false;
    }
    return location.offset == 0 ||
           log_tail_cache_find(&log->cache, location.segment->header.number, location.offset, &chunk) == NULL;
}

static int log_read_ahead_run(void *arg)
{
    struct log_read_ahead *ahead = arg;
    return hf_log_read(ahead->log, ahead->group, ahead->low, ahead->high, ahead->bytes_max, ahead->count_max,
                       &ahead->view);
}

/* Notes what ended. timeout_ns as io_queue_reap's. */
static void log_read_ahead_reap(struct log_read_ahead *ahead, uint64_t timeout_ns)
{
    struct list done;
    list_init(&done);
    if (!ahead->is_under_way || io_queue_reap(ahead->queue, &done, timeout_ns) == 0) {
        return;
    }
    list_remove(&ahead->operation.link);
    ahead->is_under_way = false;
    ahead->is_ready = ahead->operation.result == 0 && !ahead->is_forgotten;
    ahead->is_forgotten = false;
    if (!ahead->is_ready) {
        hf_log_view_close(&ahead->view); /* whoever wants it reads it himself, and meets the error himself */
    }
}

static int log_read_ahead_open_queue(struct log_read_ahead *ahead)
{
    struct io_queue *queue = NULL;
    int rc = ahead->queue == NULL ? io_queue_open(ahead->log->io, 1, &queue) : 0;
    if (rc == 0 && queue != NULL) {
        mutex_lock(&ahead->log->mutex);
        ahead->queue = queue;
        mutex_unlock(&ahead->log->mutex);
    }
    return rc;
}

void log_read_ahead_start(struct log_read_ahead *ahead, uint64_t low, uint64_t high, uint64_t bytes_max,
                          size_t count_max)
{
    struct hf_log *log = ahead->log;
    if (log->simulated || log->memory != NULL) {
        return;
    }
    mutex_lock(&log->mutex);
    bool is_worth_it = log_read_ahead_is_on_device(ahead, low);
    mutex_unlock(&log->mutex);
    log_read_ahead_reap(ahead, 0);
    if (!is_worth_it || ahead->is_under_way) {
        return;
    }
    log_read_ahead_forget(ahead);
    ahead->low = low;
    ahead->high = high;
    ahead->bytes_max = bytes_max;
    ahead->count_max = count_max;
    ahead->operation = (struct io_operation){.kind = IO_WORK, .work = log_read_ahead_run, .arg = ahead};
    int rc = log_read_ahead_open_queue(ahead);
    rc = rc == 0 ? io_queue_submit(ahead->queue, &ahead->operation) : rc;
    ahead->is_under_way = rc == 0;
    rc = rc == 0 ? io_queue_flush(ahead->queue) : rc;
    if (rc != 0) {
        TRACE(TRACE_DEBUG, "log", "an iterator reads without a worker: %s", hf_error_text());
    }
}

bool log_read_ahead_take(struct log_read_ahead *ahead, uint64_t low, struct hf_log_view *out)
{
    if (ahead->is_under_way && ahead->low == low && !ahead->is_forgotten) {
        log_read_ahead_reap(ahead, UINT64_MAX);
    }
    if (!ahead->is_ready || ahead->low != low) {
        return false;
    }
    *out = ahead->view;
    ahead->view = (struct hf_log_view){0};
    ahead->is_ready = false;
    return true;
}

void log_read_ahead_forget(struct log_read_ahead *ahead)
{
    ahead->is_forgotten = ahead->is_under_way;
    if (!ahead->is_under_way) {
        hf_log_view_close(&ahead->view);
        ahead->is_ready = false;
    }
}

void log_read_ahead_wake(struct log_read_ahead *ahead)
{
    if (ahead->queue != NULL) {
        io_queue_wake(ahead->queue);
    }
}

void log_read_ahead_close(struct log_read_ahead *ahead)
{
    while (ahead->is_under_way) {
        log_read_ahead_reap(ahead, UINT64_MAX);
    }
    io_queue_close(ahead->queue);
    ahead->queue = NULL;
    log_read_ahead_forget(ahead);
}
