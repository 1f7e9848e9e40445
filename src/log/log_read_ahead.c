#include "log/log_read_ahead.h"

#include "base/error.h"
#include "base/mutation.h"
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
    struct log_read_ahead_slot *slot = arg;
    const struct log_read_ahead_window *window = &slot->window;
    return hf_log_read(slot->log, slot->group, window->low, window->high, window->bytes_max, window->count_max,
                       &slot->view);
}

static void log_read_ahead_end(struct log_read_ahead_slot *slot)
{
    slot->is_under_way = false;
    slot->is_ready = slot->operation.result == 0 && !slot->is_forgotten;
    slot->is_forgotten = false;
    if (!slot->is_ready) {
        hf_log_view_close(&slot->view); /* whoever wants it reads it himself, and meets the error himself */
    }
}

static bool log_read_ahead_is_under_way(const struct log_read_ahead *ahead)
{
    bool is_under_way = false;
    for (size_t i = 0; i < LOG_READ_AHEAD_SLOTS; i++) {
        is_under_way = is_under_way || ahead->slots[i].is_under_way;
    }
    return is_under_way;
}

/* Notes what ended; returns how many did. timeout_ns as io_queue_reap's. */
static unsigned log_read_ahead_reap(struct log_read_ahead *ahead, uint64_t timeout_ns)
{
    struct list done;
    list_init(&done);
    unsigned count = log_read_ahead_is_under_way(ahead) ? io_queue_reap(ahead->queue, &done, timeout_ns) : 0;
    for (unsigned i = 0; i < count; i++) {
        struct io_operation *operation = list_entry(done.next, struct io_operation, link);
        list_remove(&operation->link);
        log_read_ahead_end(operation->arg);
    }
    return count;
}

static int log_read_ahead_open_queue(struct log_read_ahead *ahead)
{
    struct io_queue *queue = NULL;
    int rc = ahead->queue == NULL ? io_queue_open(ahead->log->io, LOG_READ_AHEAD_SLOTS, &queue) : 0;
    if (rc == 0 && queue != NULL) {
        mutex_lock(&ahead->log->mutex);
        ahead->queue = queue;
        mutex_unlock(&ahead->log->mutex);
    }
    return rc;
}

static struct log_read_ahead_slot *log_read_ahead_idle(struct log_read_ahead *ahead)
{
    for (size_t i = 0; i < LOG_READ_AHEAD_SLOTS; i++) {
        if (!ahead->slots[i].is_under_way && !ahead->slots[i].is_ready) {
            return &ahead->slots[i];
        }
    }
    return NULL;
}

void log_read_ahead_start(struct log_read_ahead *ahead, const struct log_read_ahead_window *window)
{
    struct hf_log *log = ahead->log;
    if (log->simulated || log->memory != NULL) {
        return;
    }
    mutex_lock(&log->mutex);
    bool is_worth_it = log_read_ahead_is_on_device(ahead, window->low);
    mutex_unlock(&log->mutex);
    log_read_ahead_reap(ahead, 0);
    struct log_read_ahead_slot *slot = log_read_ahead_idle(ahead);
    if (!is_worth_it || slot == NULL) {
        return;
    }
    *slot = (struct log_read_ahead_slot){.log = log, .group = ahead->group, .window = *window};
    slot->operation = (struct io_operation){.kind = IO_WORK, .work = log_read_ahead_run, .arg = slot};
    int rc = log_read_ahead_open_queue(ahead);
    rc = rc == 0 ? io_queue_submit(ahead->queue, &slot->operation) : rc;
    slot->is_under_way = rc == 0;
    rc = rc == 0 ? io_queue_flush(ahead->queue) : rc;
    if (rc != 0) {
        TRACE(TRACE_DEBUG, "log", "an iterator reads without a worker: %s", hf_error_text());
    }
}

static struct log_read_ahead_slot *log_read_ahead_slot_of(struct log_read_ahead *ahead, uint64_t low)
{
    for (size_t i = 0; i < LOG_READ_AHEAD_SLOTS; i++) {
        struct log_read_ahead_slot *slot = &ahead->slots[i];
        bool is_there = slot->is_ready || (slot->is_under_way && !slot->is_forgotten);
        if (is_there && (slot->window.low == low || MUTATED(LOG_READ_AHEAD_GAP))) {
            return slot;
        }
    }
    return NULL;
}

const struct log_read_ahead_window *log_read_ahead_find(struct log_read_ahead *ahead, uint64_t low)
{
    const struct log_read_ahead_slot *slot = log_read_ahead_slot_of(ahead, low);
    return slot != NULL ? &slot->window : NULL;
}

bool log_read_ahead_take(struct log_read_ahead *ahead, uint64_t low, struct hf_log_view *out)
{
    struct log_read_ahead_slot *slot = log_read_ahead_slot_of(ahead, low);
    while (slot != NULL && slot->is_under_way) {
        if (log_read_ahead_reap(ahead, UINT64_MAX) == 0) {
            return false; /* it was rung */
        }
    }
    if (slot == NULL || !slot->is_ready) {
        return false;
    }
    *out = slot->view;
    slot->view = (struct hf_log_view){0};
    slot->is_ready = false;
    return true;
}

bool log_read_ahead_forget(struct log_read_ahead *ahead)
{
    bool were_any = false;
    for (size_t i = 0; i < LOG_READ_AHEAD_SLOTS; i++) {
        struct log_read_ahead_slot *slot = &ahead->slots[i];
        if (MUTATED(LOG_READ_AHEAD_SECOND_KEPT) && were_any) {
            break;
        }
        were_any = were_any || slot->is_ready || (slot->is_under_way && !slot->is_forgotten);
        slot->is_forgotten = slot->is_under_way;
        if (!slot->is_under_way) {
            hf_log_view_close(&slot->view);
            slot->is_ready = false;
        }
    }
    return were_any;
}

void log_read_ahead_wake(struct log_read_ahead *ahead)
{
    if (ahead->queue != NULL) {
        io_queue_wake(ahead->queue);
    }
}

void log_read_ahead_close(struct log_read_ahead *ahead)
{
    while (log_read_ahead_is_under_way(ahead)) {
        log_read_ahead_reap(ahead, UINT64_MAX);
    }
    io_queue_close(ahead->queue);
    ahead->queue = NULL;
    log_read_ahead_forget(ahead);
}
