/* An iterator reads a window of entries at a time and hands them out one by one; meanwhile workers read the next ones,
 * where those lie on the device (log_read_ahead.h). The first window is followed by one of as many bytes as options
 * say. Who takes that one as well reads on: from then on two are read side by side, of as many entries as the last
 * window suggests for these bytes, so that it is known where the second begins before the first is read. Where sizes
 * change so much that the first ends before that, the second was read in vain, and some windows are read one at a time
 * again.
 *
 * What was truncated must not be handed out from a window that was read before. The log notes the lowest index that a
 * truncation reached in each open iterator and raises its flag; next looks at the flag first, so that handing out an
 * entry of the window takes no lock. A note that comes while a window is being read may or may not concern it: the
 * window is dropped and read again, and so is what was read ahead. */
#include "log/log_iterator.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/error.h"
#include "base/mutation.h"
#include "log/log_callback.h"
#include "log/log_options.h"
#include "log/log_read_ahead.h"
#include "log/log_state.h"

#define LOG_ITERATOR_FOR_EVER     UINT32_MAX
#define LOG_ITERATOR_BYTES_FACTOR 2u /* so many times read_ahead_bytes bound a window that has a number of entries */
#define LOG_ITERATOR_ALONE_FIRST \
    1u /* windows that are read ahead one at a time: until it is known that they are read */
#define LOG_ITERATOR_ALONE_AGAIN 8u /* after one that ended too soon */

struct hf_log_iterator {
    struct list link;
    struct hf_log *log;
    uint64_t group;

    atomic_bool noted;       /* one of the next two changed */
    bool cancelled;          /* the mutex guards it */
    uint64_t truncated_from; /* likewise; UINT64_MAX: nothing was */

    /* The iterator's thread's. */
    uint64_t from;     /* nothing below is handed out; 0: no bound */
    uint64_t position; /* handed out next */
    uint64_t end;      /* exclusive; 0: none */
    uint64_t bytes_left;
    uint64_t count_left;
    bool bytes_given;
    bool durable_only;
    uint32_t read_ahead_bytes;
    struct hf_log_view window;
    size_t at;      /* in the window */
    unsigned alone; /* so many windows are still to be read ahead one at a time */
    struct log_read_ahead ahead;
};

int hf_log_iterator_open(struct hf_log *log, uint64_t group, const struct hf_log_iterator_options *options,
                         struct hf_log_iterator **out)
{
    static const struct hf_log_iterator_options all = {0};
    options = options != NULL ? options : &all;
    *out = NULL;
    uint32_t read_ahead = options->read_ahead_bytes != 0 ? options->read_ahead_bytes : log->options.read_ahead_bytes;
    if (read_ahead < LOG_READ_AHEAD_MIN || read_ahead > LOG_READ_AHEAD_MAX) {
        return error_raise(HF_EINVALID, "read_ahead_bytes is %" PRIu32 ", allowed are %u … %u", read_ahead,
                           LOG_READ_AHEAD_MIN, LOG_READ_AHEAD_MAX);
    }
    if (options->to != 0 && options->to < options->from) {
        return error_raise(HF_EINVALID, "the range %" PRIu64 " … %" PRIu64 " runs backwards", options->from,
                           options->to);
    }
    struct hf_log_iterator *iterator = memory_new(sizeof(*iterator));
    iterator->log = log;
    iterator->group = group;
    iterator->from = options->from;
    iterator->position = options->from;
    iterator->end = options->to;
    iterator->bytes_left = options->bytes_max != 0 ? options->bytes_max : UINT64_MAX;
    iterator->count_left = options->count_max != 0 ? options->count_max : UINT64_MAX;
    iterator->durable_only = options->durable_only;
    iterator->read_ahead_bytes = read_ahead;
    iterator->truncated_from = UINT64_MAX;
    iterator->alone = LOG_ITERATOR_ALONE_FIRST;
    iterator->ahead = (struct log_read_ahead){.log = log, .group = group};
    mutex_lock(&log->mutex);
    list_append(&log->iterators, &iterator->link);
    if (iterator->position == 0) {
        const struct log_group *found = log_groups_find(&log->groups, group);
        iterator->position = found != NULL ? found->bounds.floor + 1 : 0; /* 0: the first, once there is one */
    }
    mutex_unlock(&log->mutex);
    *out = iterator;
    return 0;
}

void hf_log_iterator_close(struct hf_log_iterator *iterator)
{
    if (iterator == NULL) {
        return;
    }
    mutex_lock(&iterator->log->mutex);
    list_remove(&iterator->link);
    mutex_unlock(&iterator->log->mutex);
    log_read_ahead_close(&iterator->ahead);
    hf_log_view_close(&iterator->window);
    free(iterator);
}

void hf_log_iterator_cancel(struct hf_log_iterator *iterator)
{
    mutex_lock(&iterator->log->mutex);
    iterator->cancelled = true;
    atomic_store(&iterator->noted, true);
    condition_broadcast(&iterator->log->changed);
    log_read_ahead_wake(&iterator->ahead);
    mutex_unlock(&iterator->log->mutex);
}

static void log_iterator_truncated(struct hf_log *log, uint64_t group, uint64_t from)
{
    list_each (&log->iterators, item) {
        struct hf_log_iterator *iterator = list_entry(item, struct hf_log_iterator, link);
        if (iterator->group == group && from < iterator->truncated_from) {
            iterator->truncated_from = from;
            atomic_store(&iterator->noted, true);
        }
    }
}

void log_iterator_note(struct hf_log *log, const struct hf_log_batch *batch)
{
    for (size_t i = 0; i < batch->count; i++) {
        const struct log_operation *operation = &batch->operations[i];
        if (operation->kind == LOG_RECORD_TRUNCATE) {
            log_iterator_truncated(log, operation->group, operation->index);
        } else if (operation->kind == LOG_RECORD_RESET || operation->kind == LOG_RECORD_REMOVED) {
            log_iterator_truncated(log, operation->group, 0);
        }
    }
}

static void log_iterator_drop_window(struct hf_log_iterator *iterator)
{
    hf_log_view_close(&iterator->window);
    iterator->at = 0;
}

/* What was noted meanwhile. */
static int log_iterator_hear(struct hf_log_iterator *iterator)
{
    struct hf_log *log = iterator->log;
    mutex_lock(&log->mutex);
    atomic_store(&iterator->noted, iterator->cancelled);
    uint64_t from = iterator->truncated_from;
    iterator->truncated_from = UINT64_MAX;
    bool cancelled = iterator->cancelled;
    const struct log_group *group = log_groups_find(&log->groups, iterator->group);
    uint64_t first = group != NULL ? group->bounds.floor + 1 : 1;
    mutex_unlock(&log->mutex);
    if (cancelled) {
        return error_raise(HF_ECANCELLED, "the iterator was cancelled");
    }
    if (from == UINT64_MAX) {
        return 0;
    }
    log_iterator_drop_window(iterator);
    if (!MUTATED(LOG_READ_AHEAD_KEPT)) {
        log_read_ahead_forget(&iterator->ahead);
    }
    if (from >= iterator->position || (from != 0 && iterator->position == iterator->from)) {
        return 0; /* nothing of it was handed out */
    }
    uint64_t next = from != 0 ? from : first;
    iterator->position = next > iterator->from ? next : iterator->from;
    return error_raise(HF_ECONFLICT, "group %" PRIu64 ": entries from index %" PRIu64 " on were replaced",
                       iterator->group, iterator->position);
}

/* The last index that may be handed out now; 0: none. The mutex is held. */
static uint64_t log_iterator_last(const struct hf_log_iterator *iterator)
{
    const struct log_group *group = log_groups_find(&iterator->log->groups, iterator->group);
    if (group == NULL) {
        return 0;
    }
    return iterator->durable_only ? group->durable : group->bounds.last;
}

/* Waits until there is an entry at the position: 0, HF_EUNAVAILABLE, or 0 with a note to hear. */
static int log_iterator_wait(struct hf_log_iterator *iterator, uint32_t timeout_ms)
{
    struct hf_log *log = iterator->log;
    uint64_t timeout_ns = timeout_ms == LOG_ITERATOR_FOR_EVER ? UINT64_MAX / 2 : (uint64_t)timeout_ms * 1000000;
    uint64_t deadline_ns = io_monotonic_ns(log->io) + timeout_ns;
    int rc = 0;
    mutex_lock(&log->mutex);
    for (;;) {
        uint64_t last = log_iterator_last(iterator);
        if (last >= iterator->position && last > 0) {
            break;
        }
        uint64_t now_ns = io_monotonic_ns(log->io);
        if (now_ns >= deadline_ns || log->simulated || log->queue == NULL) {
            rc = error_raise(HF_EUNAVAILABLE, "group %" PRIu64 ": index %" PRIu64 " lies beyond the last, %" PRIu64,
                             iterator->group, iterator->position, last);
            break;
        }
        if (atomic_load(&iterator->noted)) {
            break;
        }
        rc = log_callback_check("wait for an entry");
        if (rc != 0) {
            break;
        }
        log->changed_waiters++;
        condition_wait_for(&log->changed, &log->mutex, deadline_ns - now_ns);
        log->changed_waiters--;
    }
    if (rc == 0 && iterator->position == 0 && !atomic_load(&iterator->noted)) {
        iterator->position = log_groups_find(&log->groups, iterator->group)->bounds.floor + 1;
    }
    mutex_unlock(&log->mutex);
    return rc;
}

/* Where a read ends that begins now, exclusive; 0: nowhere. */
static uint64_t log_iterator_high(const struct hf_log_iterator *iterator)
{
    if (!iterator->durable_only) {
        return iterator->end;
    }
    mutex_lock(&iterator->log->mutex);
    uint64_t durable = log_iterator_last(iterator);
    mutex_unlock(&iterator->log->mutex);
    uint64_t behind = durable == UINT64_MAX ? 0 : durable + 1;
    return iterator->end == 0 || (behind != 0 && behind < iterator->end) ? behind : iterator->end;
}

/* How far the iterator's own limits let it go, and how large its windows are. */
struct log_iterator_limits {
    uint64_t high; /* exclusive; 0: none */
    uint64_t bytes;
    uint64_t count;
    uint64_t window_count; /* entries of a window that may be followed by one that is read at the same time */
};

/* What is left behind the window. */
static struct log_iterator_limits log_iterator_limits_behind(const struct hf_log_iterator *iterator)
{
    const struct hf_log_view *window = &iterator->window;
    uint64_t count = window->count;
    uint64_t bytes = 0; /* of payload */
    for (size_t i = 0; i < window->count; i++) {
        bytes += window->entries[i].payload.size;
    }
    uint64_t fitting = bytes != 0 ? iterator->read_ahead_bytes * count / bytes : count;
    fitting = fitting < 2 * count ? fitting : 2 * count; /* a short window says little */
    return (struct log_iterator_limits){
        .high = log_iterator_high(iterator),
        .bytes = iterator->bytes_left == UINT64_MAX || bytes < iterator->bytes_left ? iterator->bytes_left - bytes : 0,
        .count = iterator->count_left == UINT64_MAX ? UINT64_MAX
                 : count < iterator->count_left     ? iterator->count_left - count
                                                    : 0,
        .window_count = fitting > 0 ? fitting : 1,
    };
}

static void log_iterator_start(struct hf_log_iterator *iterator, uint64_t low, const struct log_iterator_limits *limits,
                               uint64_t bytes_max)
{
    uint64_t bytes = limits->bytes < bytes_max ? limits->bytes : bytes_max;
    if ((limits->high != 0 && low >= limits->high) || limits->count == 0 || bytes == 0) {
        return;
    }
    const struct log_read_ahead_window window = {.low = low,
                                                 .high = limits->high,
                                                 .bytes_max = bytes,
                                                 .count_max = limits->count < SIZE_MAX ? (size_t)limits->count : 0};
    log_read_ahead_start(&iterator->ahead, &window);
}

/* A window of which it is known where it ends. */
static void log_iterator_start_counted(struct hf_log_iterator *iterator, uint64_t low,
                                       const struct log_iterator_limits *limits)
{
    struct log_iterator_limits counted = *limits;
    uint64_t high = low + limits->window_count;
    counted.high = counted.high == 0 || high < counted.high ? high : counted.high;
    log_iterator_start(iterator, low, &counted, (uint64_t)iterator->read_ahead_bytes * LOG_ITERATOR_BYTES_FACTOR);
}

/* Two windows from `low` on, of which the first may be under way since the last time. */
static void log_iterator_start_both(struct hf_log_iterator *iterator, uint64_t low, struct log_iterator_limits limits)
{
    if (log_read_ahead_find(&iterator->ahead, low) == NULL) {
        log_iterator_start_counted(iterator, low, &limits);
    }
    const struct log_read_ahead_window *first = log_read_ahead_find(&iterator->ahead, low);
    if (first == NULL || first->high <= low || limits.bytes <= iterator->read_ahead_bytes) {
        return;
    }
    if (limits.count != UINT64_MAX) {
        uint64_t count = first->high - low;
        limits.count -= count < limits.count ? count : limits.count;
    }
    log_iterator_start_counted(iterator, first->high, &limits);
}

/* The window was just filled: has what follows it read, unless that is beyond the iterator's own limits. */
static void log_iterator_read_ahead(struct hf_log_iterator *iterator)
{
    const struct hf_log_view *window = &iterator->window;
    uint64_t last = window->count > 0 ? window->entries[window->count - 1].index : HF_LOG_INDEX_MAX;
    if (last == HF_LOG_INDEX_MAX) {
        return;
    }
    if (log_read_ahead_find(&iterator->ahead, last + 1) == NULL && log_read_ahead_forget(&iterator->ahead)) {
        iterator->alone = LOG_ITERATOR_ALONE_AGAIN; /* the window ended before the one behind it begins */
    }
    struct log_iterator_limits limits = log_iterator_limits_behind(iterator);
    if (iterator->alone > 0) {
        iterator->alone--;
        log_iterator_start(iterator, last + 1, &limits, iterator->read_ahead_bytes);
    } else if (limits.window_count < (HF_LOG_INDEX_MAX - last) / 3) {
        log_iterator_start_both(iterator, last + 1, limits);
    }
}

static int log_iterator_fill(struct hf_log_iterator *iterator, uint32_t timeout_ms)
{
    log_iterator_drop_window(iterator);
    if (log_read_ahead_take(&iterator->ahead, iterator->position, &iterator->window)) {
        log_iterator_read_ahead(iterator);
        return 0; /* what was noted meanwhile is heard before anything of it is handed out */
    }
    if (atomic_load(&iterator->noted)) {
        return 0;
    }
    int rc = log_iterator_wait(iterator, timeout_ms);
    if (rc != 0 || atomic_load(&iterator->noted)) {
        return rc;
    }
    uint64_t high = log_iterator_high(iterator);
    if (high != 0 && high <= iterator->position) {
        return 0; /* truncated since: the note says so */
    }
    rc = hf_log_read(iterator->log, iterator->group, iterator->position, high, iterator->read_ahead_bytes, 0,
                     &iterator->window);
    if (rc == 0) {
        log_iterator_read_ahead(iterator);
    }
    /* Truncated or compacted between waiting and reading: waiting again tells which. */
    return rc == HF_EUNAVAILABLE ? 0 : rc;
}

static int log_iterator_take(struct hf_log_iterator *iterator, struct hf_entry *out)
{
    const struct hf_entry *entry = &iterator->window.entries[iterator->at];
    uint64_t size = entry->payload.size;
    if (size > iterator->bytes_left && iterator->bytes_given) {
        iterator->bytes_left = 0;
        iterator->count_left = 0;
        return error_raise(HF_ENOTFOUND, "the iterator's limit of bytes is reached");
    }
    iterator->bytes_given = true;
    iterator->bytes_left -= size < iterator->bytes_left ? size : iterator->bytes_left;
    iterator->count_left--;
    iterator->at++;
    iterator->position = entry->index + 1;
    if (entry->index == HF_LOG_INDEX_MAX) {
        iterator->count_left = 0;
    }
    *out = *entry;
    return 0;
}

int hf_log_iterator_next(struct hf_log_iterator *iterator, uint32_t timeout_ms, struct hf_entry *out)
{
    *out = (struct hf_entry){0};
    for (;;) {
        int rc = atomic_load_explicit(&iterator->noted, memory_order_acquire) ? log_iterator_hear(iterator) : 0;
        if (rc != 0) {
            return rc;
        }
        if (iterator->count_left == 0 || (iterator->end != 0 && iterator->position >= iterator->end)) {
            return error_raise(HF_ENOTFOUND, "the iterator's range ends at index %" PRIu64, iterator->position);
        }
        if (iterator->at < iterator->window.count) {
            return log_iterator_take(iterator, out);
        }
        rc = log_iterator_fill(iterator, timeout_ms);
        if (rc != 0) {
            return rc;
        }
    }
}
