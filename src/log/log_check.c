#include "log/log_check.h"

#include <assert.h>
#include <inttypes.h>

#include "base/error.h"
#include "base/mutation.h"
#include "log/log_repair.h"

/* The batch being checked, up to the operation in question. */
struct log_check {
    const struct log_damages *damages;
    const struct hf_log_batch *batch;
    size_t at;
    struct log_group *group;
};

/* The term of an entry as the operations before `at` leave it: the batch's own newest word on it, else the index's. */
static uint64_t log_check_term(const struct log_check *check, uint64_t index)
{
    for (size_t i = check->at; i > 0; i--) {
        const struct log_operation *operation = &check->batch->operations[i - 1];
        if (operation->group == check->group->id && operation->kind == LOG_RECORD_APPEND && operation->index == index) {
            return operation->term;
        }
    }
    uint64_t term = 0;
    (void)log_index_term(&check->group->index, index, &term); /* 0 in a hole */
    return term;
}

bool log_check_is_noop(const struct log_group_bounds *bounds, const struct log_operation *operation)
{
    switch (operation->kind) {
    case LOG_RECORD_TRUNCATE:
        return operation->index > bounds->last;
    case LOG_RECORD_COMPACT:
        return operation->index <= bounds->floor;
    case LOG_RECORD_REMOVED:
        return !bounds->exists;
    default:
        return false;
    }
}

static int log_check_append(const struct log_check *check, struct log_group_bounds *bounds)
{
    const struct log_operation *operation = &check->batch->operations[check->at];
    uint64_t id = operation->group;
    bool empty = bounds->last == bounds->floor;
    bool free_start = empty && !bounds->anchored;
    if (!free_start && operation->index <= bounds->floor) {
        return error_raise(HF_ECOMPACTED, "group %" PRIu64 ": index %" PRIu64 " lies below the first, %" PRIu64, id,
                           operation->index, bounds->floor + 1);
    }
    bool follows = bounds->last != HF_LOG_INDEX_MAX && operation->index == bounds->last + 1;
    if (!free_start && !follows && !MUTATED(LOG_GAP_ACCEPTED)) {
        return error_raise(HF_ECONFLICT, "group %" PRIu64 ": index %" PRIu64 " does not follow the last, %" PRIu64, id,
                           operation->index, bounds->last);
    }
    if (operation->term < bounds->term_last && !MUTATED(LOG_TERM_DECREASES)) {
        return error_raise(HF_ECONFLICT,
                           "group %" PRIu64 ": term %" PRIu64 " of entry %" PRIu64 " is below its predecessor's, "
                           "%" PRIu64,
                           id, operation->term, operation->index, bounds->term_last);
    }
    if (free_start) {
        bounds->floor = operation->index - 1;
    }
    bounds->last = operation->index;
    bounds->term_last = operation->term;
    bounds->exists = true;
    return 0;
}

static int log_check_truncate(const struct log_check *check, struct log_group_bounds *bounds)
{
    const struct log_operation *operation = &check->batch->operations[check->at];
    if (bounds->anchored && operation->index <= bounds->floor && !MUTATED(LOG_FLOOR_OVERWRITTEN)) {
        return error_raise(HF_ECOMPACTED,
                           "group %" PRIu64 ": truncation from %" PRIu64 " reaches below the first, "
                           "%" PRIu64,
                           operation->group, operation->index, bounds->floor + 1);
    }
    if (log_check_is_noop(bounds, operation)) {
        return 0;
    }
    bounds->last = operation->index - 1 > bounds->floor ? operation->index - 1 : bounds->floor;
    bounds->term_last = bounds->last > bounds->floor ? log_check_term(check, bounds->last) : bounds->floor_term;
    return 0;
}

static int log_check_compact(const struct log_check *check, struct log_group_bounds *bounds)
{
    const struct log_operation *operation = &check->batch->operations[check->at];
    if (operation->index > bounds->last) {
        return error_raise(HF_ECONFLICT,
                           "group %" PRIu64 ": compaction to %" PRIu64 " reaches beyond the last, "
                           "%" PRIu64,
                           operation->group, operation->index, bounds->last);
    }
    if (log_check_is_noop(bounds, operation)) {
        return 0;
    }
    bounds->floor_term = log_check_term(check, operation->index);
    bounds->floor = operation->index;
    bounds->anchored = true;
    return 0;
}

static int log_check_operation(const struct log_check *check, struct log_group_bounds *bounds)
{
    const struct log_operation *operation = &check->batch->operations[check->at];
    switch (operation->kind) {
    case LOG_RECORD_APPEND:
        return log_check_append(check, bounds);
    case LOG_RECORD_TRUNCATE:
        return log_check_truncate(check, bounds);
    case LOG_RECORD_COMPACT:
        return log_check_compact(check, bounds);
    case LOG_RECORD_HARD_STATE:
        bounds->exists = true;
        return 0;
    case LOG_RECORD_MOVED:
        return log_repair_check(check->group, check->damages, check->batch, check->at);
    case LOG_RECORD_RESET:
        *bounds = (struct log_group_bounds){.floor = operation->index,
                                            .last = operation->index,
                                            .term_last = operation->term,
                                            .floor_term = operation->term,
                                            .anchored = true,
                                            .exists = true};
        return 0;
    default:
        assert(operation->kind == LOG_RECORD_REMOVED);
        *bounds = (struct log_group_bounds){0};
        return 0;
    }
}

bool log_check_plain(struct log_groups *groups, const struct hf_log_batch *batch)
{
    const struct log_operation *first = &batch->operations[0];
    const struct log_operation *last = &batch->operations[batch->count - 1];
    struct log_group *group = log_groups_get(groups, first->group);
    if (group == NULL || group->damaged || group->install != NULL || last->index < first->index ||
        last->index == HF_LOG_INDEX_MAX) {
        return false;
    }
    const struct log_group_bounds *bounds = &group->bounds;
    bool starts_freely = bounds->last == bounds->floor && !bounds->anchored;
    return (starts_freely || first->index == bounds->last + 1) && first->term >= bounds->term_last;
}

/* Whether the first operation of a batch on this group may be done to it. */
static int log_check_health(struct log_group *group, const struct log_operation *operation)
{
    bool heals = operation->kind == LOG_RECORD_RESET || operation->kind == LOG_RECORD_REMOVED ||
                 operation->kind == LOG_RECORD_MOVED;
    group->repairing = operation->kind == LOG_RECORD_MOVED;
    if (group->damaged && !heals) {
        return error_raise(
            HF_ECORRUPT, "group %" PRIu64 " is damaged: only a repair, a reset or its removal is accepted", group->id);
    }
    return 0;
}

static int log_check_demand(const struct log_group *group, const struct hf_log_batch *batch)
{
    if (batch->installs != 0 && (group->install == NULL || group->install->number != batch->installs)) {
        return error_raise(HF_ENOTFOUND, "group %" PRIu64 ": this installation is over", group->id);
    }
    if (batch->creates != 0 && group->bounds.exists) {
        return error_raise(HF_EEXISTS, "group %" PRIu64 " exists", group->id);
    }
    if (batch->creates != 0 && group->incarnation != batch->creates) {
        return error_raise(HF_EMISMATCH, "group %" PRIu64 " was opened with another incarnation", group->id);
    }
    if (batch->removes && !group->bounds.exists) {
        return error_raise(HF_ENOTFOUND, "there is no group %" PRIu64, group->id);
    }
    return 0;
}

/* A group that a snapshot is being installed into stays as it is until the reset that ends it. */
static int log_check_install(const struct log_group *group, const struct hf_log_batch *batch,
                             const struct log_operation *operation)
{
    bool installs = batch->installs != 0 && operation->kind == LOG_RECORD_RESET;
    if (group->install == NULL || installs || operation->kind == LOG_RECORD_HARD_STATE ||
        operation->kind == LOG_RECORD_REMOVED) {
        return 0;
    }
    return error_raise(HF_EBUSY, "group %" PRIu64 ": a snapshot up to index %" PRIu64 " is being installed", group->id,
                       group->install->index);
}

int log_check_batch(struct log_groups *groups, const struct log_damages *damages, const struct hf_log_batch *batch,
                    uint64_t turn, bool *writes)
{
    struct log_check check = {.damages = damages, .batch = batch};
    *writes = false;
    for (; check.at < batch->count; check.at++) {
        const struct log_operation *operation = &batch->operations[check.at];
        struct log_group *group = log_groups_get(groups, operation->group);
        if (group == NULL) {
            return error_raise(HF_ETOOBIG, "more than %u groups", LOG_GROUP_COUNT_MAX);
        }
        check.group = group;
        int rc = 0;
        if (group->check_turn != turn) {
            group->check_turn = turn;
            group->checked = group->bounds;
            rc = log_check_demand(group, batch);
            rc = rc == 0 ? log_check_health(group, operation) : rc;
        } else if (group->repairing ? operation->kind != LOG_RECORD_MOVED && operation->kind != LOG_RECORD_HARD_STATE
                                    : operation->kind == LOG_RECORD_MOVED) {
            rc = error_raise(HF_EINVALID, "group %" PRIu64 ": a batch that repairs sets nothing but the hard state",
                             group->id);
        }
        rc = rc == 0 ? log_check_install(group, batch, operation) : rc;
        if (rc == 0) {
            *writes |= !log_check_is_noop(&group->checked, operation);
            rc = log_check_operation(&check, &group->checked);
        }
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}
