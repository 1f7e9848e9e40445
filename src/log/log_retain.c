#include "log/log_retain.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/buffer.h"
#include "base/error.h"
#include "log/log_append.h"
#include "log/log_state.h"

struct hf_log_hold {
    struct list link;
    struct hf_log *log;
    uint64_t group;
    uint64_t index;
};

void log_retain_open(struct log_retain *retain)
{
    list_init(&retain->holds);
}

void log_retain_close(struct log_retain *retain)
{
    size_t position = 0;
    uint64_t id = 0;
    void *value = NULL;
    while (map_next(&retain->by_group, &position, &id, &value)) {
        free(value);
    }
    map_close(&retain->by_group);
}

static void log_retain_clear(struct hf_log *log, struct log_mark *mark)
{
    log->retain.mark_count -= mark->bound != 0;
    *mark = (struct log_mark){0};
}

/* ---- what the caller says ---- */

/* The group's entry, clean when it belonged to an earlier life. NULL: there is no such group. */
static struct log_retained *log_retain_get(struct hf_log *log, uint64_t id)
{
    const struct log_group *group = log_groups_find(&log->groups, id);
    struct log_retained *retained = map_get(&log->retain.by_group, id);
    if (group == NULL || !group->bounds.exists) {
        error_raise(HF_ENOTFOUND, "group %" PRIu64 " does not exist", id);
        return NULL;
    }
    if (retained == NULL) {
        retained = memory_new(sizeof(*retained));
        map_put(&log->retain.by_group, id, retained);
    }
    if (retained->incarnation != group->incarnation) {
        log_retain_clear(log, &retained->index);
        log_retain_clear(log, &retained->time);
        *retained = (struct log_retained){.group = id, .incarnation = group->incarnation};
    }
    return retained;
}

int hf_log_retain(struct hf_log *log, uint64_t id, const struct hf_log_retention *bounds)
{
    mutex_lock(&log->mutex);
    struct log_retained *retained = log_retain_get(log, id);
    if (retained != NULL) {
        retained->bounds = *bounds;
        struct log_group *group = log_groups_find(&log->groups, id);
        group->applied = bounds->applied_index; /* what a full memory log may drop */
    }
    mutex_unlock(&log->mutex);
    return retained != NULL ? 0 : HF_ENOTFOUND;
}

static void log_retain_mark(struct hf_log *log, struct log_mark *mark, uint64_t bound)
{
    uint64_t now_ns = io_monotonic_ns(log->io);
    uint64_t due_ns = now_ns + (uint64_t)log->options.delete_delay_ms * 1000000;
    if (mark->bound == 0) {
        mark->due_ns = due_ns;
        log->retain.mark_count++;
    }
    if (bound > mark->bound) { /* what was marked before need not wait longer */
        mark->bound = bound;
    }
    if (log->retain.scan_ns == 0) {
        log->retain.scan_ns = now_ns + (uint64_t)log->options.delete_scan_ms * 1000000;
    }
}

static int log_retain_mark_group(struct hf_log *log, uint64_t group, uint64_t index, uint64_t before_ms)
{
    mutex_lock(&log->mutex);
    int rc = log_append_check_state(log);
    struct log_retained *retained = rc == 0 ? log_retain_get(log, group) : NULL;
    if (retained != NULL && index != 0) {
        log_retain_mark(log, &retained->index, index);
    }
    if (retained != NULL && before_ms != 0) {
        log_retain_mark(log, &retained->time, before_ms);
    }
    bool wake = log->driver_asleep;
    log->driver_asleep = false;
    mutex_unlock(&log->mutex);
    if (wake && log->queue != NULL) {
        io_queue_wake(log->queue); /* its sleep was measured without the mark */
    }
    return rc != 0 ? rc : retained != NULL ? 0 : HF_ENOTFOUND;
}

int hf_log_mark_index(struct hf_log *log, uint64_t group, uint64_t index)
{
    return log_retain_mark_group(log, group, index, 0);
}

int hf_log_mark_time(struct hf_log *log, uint64_t group, uint64_t before_ms)
{
    return log_retain_mark_group(log, group, 0, before_ms);
}

int hf_log_hold_open(struct hf_log *log, uint64_t group, uint64_t index, struct hf_log_hold **out)
{
    struct hf_log_hold *hold = memory_new(sizeof(*hold));
    *hold = (struct hf_log_hold){.log = log, .group = group, .index = index};
    mutex_lock(&log->mutex);
    list_append(&log->retain.holds, &hold->link);
    mutex_unlock(&log->mutex);
    *out = hold;
    return 0;
}

void hf_log_hold_move(struct hf_log_hold *hold, uint64_t index)
{
    mutex_lock(&hold->log->mutex);
    hold->index = index;
    mutex_unlock(&hold->log->mutex);
}

void hf_log_hold_close(struct hf_log_hold *hold)
{
    if (hold == NULL) {
        return;
    }
    mutex_lock(&hold->log->mutex);
    list_remove(&hold->link);
    mutex_unlock(&hold->log->mutex);
    free(hold);
}

/* ---- deleting ---- */

static uint64_t log_retain_min(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* The last entry that may go. */
static uint64_t log_retain_limit(const struct hf_log *log, const struct log_retained *retained,
                                 const struct log_group *group)
{
    uint64_t limit = log_retain_min(retained->bounds.applied_index, retained->bounds.snapshot_index);
    limit = log_retain_min(limit, group->durable);
    list_each (&log->retain.holds, item) {
        const struct hf_log_hold *hold = list_entry(item, struct hf_log_hold, link);
        if (hold->group == retained->group) {
            limit = log_retain_min(limit, hold->index > 0 ? hold->index - 1 : 0);
        }
    }
    return limit;
}

/* Compacts as far as may be; a mark that was not reached stays for the next scan. */
static void log_retain_delete(struct hf_log *log, struct log_retained *retained, const struct log_group *group)
{
    uint64_t index = log_retain_min(retained->index.bound, log_retain_limit(log, retained, group));
    int rc = 0;
    if (index > group->bounds.floor) {
        struct hf_log_batch *batch = NULL;
        rc = hf_log_batch_open(&batch);
        rc = rc == 0 ? hf_log_batch_compact(batch, retained->group, index) : rc;
        rc = rc == 0 ? log_append_locked(log, batch, (struct log_waiter){0}, HF_LOG_ACK_POLICY) : rc;
        hf_log_batch_close(batch);
    }
    if (rc == 0 && group->bounds.floor >= retained->index.bound) {
        log_retain_clear(log, &retained->index);
    }
}

/* ---- by time ---- */

static int log_retain_timestamp(struct log_retain *retain, uint64_t index, uint64_t *out)
{
    struct hf_log_view view = {0};
    int rc = hf_log_read(retain->log, retain->group, index, 0, 0, 1, &view);
    if (rc == 0) {
        *out = view.entries[0].timestamp_ms;
    }
    hf_log_view_close(&view);
    return rc;
}

/* Work: narrows (low, high] down to the last entry that is older. */
static int log_retain_search(void *arg)
{
    struct log_retain *retain = arg;
    int rc = 0;
    while (rc == 0 && retain->low < retain->high) {
        uint64_t middle = retain->low + (retain->high - retain->low + 1) / 2;
        uint64_t timestamp_ms = 0;
        rc = log_retain_timestamp(retain, middle, &timestamp_ms);
        if (rc == 0 && timestamp_ms < retain->before_ms) {
            retain->low = middle;
        } else {
            retain->high = middle - 1;
        }
    }
    return rc;
}

static int log_retain_start_search(struct hf_log *log, const struct log_retained *retained,
                                   const struct log_group *group)
{
    struct log_retain *retain = &log->retain;
    uint64_t limit = log_retain_limit(log, retained, group);
    retain->log = log;
    retain->group = retained->group;
    retain->incarnation = retained->incarnation;
    retain->before_ms = retained->time.bound;
    retain->low = group->bounds.floor;
    retain->high = log_retain_min(limit, group->bounds.last);
    if (retain->high <= retain->low) {
        return 0; /* nothing may go now: the mark waits */
    }
    retain->operation =
        (struct io_operation){.kind = IO_WORK, .work = log_retain_search, .arg = retain, .user = retain};
    int rc = io_queue_submit(log->queue, &retain->operation);
    if (rc != 0) {
        return error_wrap(rc, "searching the log by time");
    }
    retain->busy = true;
    return 0;
}

void log_retain_finish(struct hf_log *log)
{
    struct log_retain *retain = &log->retain;
    struct log_retained *retained = map_get(&retain->by_group, retain->group);
    const struct log_group *group = log_groups_find(&log->groups, retain->group);
    retain->busy = false;
    retain->again = true;
    bool same = retained != NULL && group != NULL && group->bounds.exists &&
                group->incarnation == retain->incarnation && retained->incarnation == retain->incarnation;
    if (retain->operation.result != 0 || !same) {
        return; /* compacted, reset or removed meanwhile, or unreadable: the next scan tries again */
    }
    if (retain->low > group->bounds.floor && retained->index.bound < retain->low) {
        retain->mark_count += retained->index.bound == 0;
        retained->index = (struct log_mark){.bound = retain->low};
        log_retain_delete(log, retained, group);
    }
    /* What may not go yet keeps the mark. */
    if (retained->time.bound == retain->before_ms && log_retain_limit(log, retained, group) >= group->bounds.last) {
        log_retain_clear(log, &retained->time);
    }
}

/* ---- the scan ---- */

static int log_retain_look_at(struct hf_log *log, struct log_retained *retained, uint64_t now_ns)
{
    const struct log_group *group = log_groups_find(&log->groups, retained->group);
    if (group == NULL || !group->bounds.exists || group->incarnation != retained->incarnation) {
        log_retain_clear(log, &retained->index);
        log_retain_clear(log, &retained->time);
        return 0;
    }
    if (retained->index.bound != 0 && now_ns >= retained->index.due_ns) {
        log_retain_delete(log, retained, group);
    }
    bool searched = retained->searched == log->retain.scan;
    if (retained->time.bound != 0 && now_ns >= retained->time.due_ns && !searched && !log->retain.busy) {
        retained->searched = log->retain.scan;
        return log_retain_start_search(log, retained, group);
    }
    return 0;
}

int log_retain_step(struct hf_log *log, uint64_t now_ns)
{
    struct log_retain *retain = &log->retain;
    int rc = 0;
    bool due = retain->mark_count > 0 && now_ns >= retain->scan_ns;
    if (!due && !retain->again) {
        return 0;
    }
    retain->scan += due;
    retain->again = false;
    size_t position = 0;
    uint64_t id = 0;
    void *value = NULL;
    while (rc == 0 && map_next(&retain->by_group, &position, &id, &value)) {
        rc = log_retain_look_at(log, value, now_ns);
    }
    uint64_t next_ns = due ? now_ns + (uint64_t)log->options.delete_scan_ms * 1000000 : retain->scan_ns;
    retain->scan_ns = retain->mark_count > 0 ? next_ns : 0;
    return rc;
}

uint64_t log_retain_deadline_ns(const struct hf_log *log)
{
    const struct log_retain *retain = &log->retain;
    return retain->again ? 0 : retain->mark_count > 0 ? retain->scan_ns : UINT64_MAX;
}
