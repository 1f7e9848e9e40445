#include "log/log_repair.h"

#include <inttypes.h>

#include "base/error.h"
#include "base/mutation.h"
#include "base/trace.h"

/* Is this damage of an entry that is known to be there, at the place where it is? */
static bool log_repair_concerns(const struct log_group *group, const struct hf_log_damage *damage)
{
    struct log_location known;
    return damage->group == group->id && log_index_find(&group->index, damage->index, &known) &&
           known.segment->header.number == damage->segment && known.term == damage->term &&
           (known.offset == damage->offset || known.offset == 0);
}

/* What is known to be bad at an entry's place; NULL: nothing is. */
static const struct hf_log_damage *log_repair_unreadable(const struct log_group *group,
                                                         const struct log_damages *damages, uint64_t index)
{
    for (size_t i = 0; group->unreadable > 0 && i < damages->count; i++) {
        if (damages->items[i].index == index && log_repair_concerns(group, &damages->items[i])) {
            return &damages->items[i];
        }
    }
    return NULL;
}

/* What is known of the terms around it, or of the lost entry itself, says that another entry was there. */
static bool log_repair_conflicts(const struct log_group *group, const struct log_damages *damages, uint64_t index,
                                 uint64_t term)
{
    const struct hf_log_damage *damage = log_damage_find(damages, group->id, index);
    uint64_t above = 0;
    uint64_t other = 0;
    bool lost = damage != NULL && damage->term != 0 && damage->term != term;
    bool before = log_index_term(&group->index, index - 1, &other) && other > term;
    bool behind = index < group->bounds.last && log_index_next(&group->index, index + 1, &above) &&
                  log_index_term(&group->index, above, &other) && other < term;
    return lost || before || behind;
}

bool log_repair_displaces(struct log_group *group, const struct log_damages *damages, uint64_t index, uint64_t term)
{
    return index > group->hard_state.commit && log_repair_conflicts(group, damages, index, term);
}

static int log_repair_check_term(const struct log_group *group, const struct log_damages *damages,
                                 const struct log_operation *operation)
{
    bool below_floor = operation->index - 1 == group->bounds.floor && group->bounds.floor_term > operation->term;
    bool committed = operation->index <= group->hard_state.commit;
    if (below_floor || (committed && log_repair_conflicts(group, damages, operation->index, operation->term))) {
        return error_raise(HF_ECONFLICT,
                           "group %" PRIu64 ": entry %" PRIu64 " of term %" PRIu64
                           " is not the one that was committed here",
                           group->id, operation->index, operation->term);
    }
    return 0;
}

static int log_repair_check_order(const struct hf_log_batch *batch, size_t at)
{
    const struct log_operation *operation = &batch->operations[at];
    for (size_t i = at; i > 0; i--) {
        const struct log_operation *before = &batch->operations[i - 1];
        if (before->group != operation->group) {
            continue;
        }
        bool ascends = before->index < operation->index && before->term <= operation->term;
        return ascends ? 0
                       : error_raise(HF_ECONFLICT, "group %" PRIu64 ": entry %" PRIu64 " comes behind entry %" PRIu64,
                                     operation->group, operation->index, before->index);
    }
    return 0;
}

int log_repair_check(const struct log_group *group, const struct log_damages *damages, const struct hf_log_batch *batch,
                     size_t at)
{
    const struct log_operation *operation = &batch->operations[at];
    const struct log_group_bounds *bounds = &group->bounds;
    struct log_location known;
    if (group->state_lost) {
        /* A run after a loss at the end would take the number of one that is lost, and hide that there was a loss. */
        return error_raise(HF_ECORRUPT,
                           "group %" PRIu64 ": its term and vote are lost, so that entries cannot make it whole",
                           group->id);
    }
    if (operation->index <= bounds->floor) {
        return error_raise(HF_ECOMPACTED, "group %" PRIu64 ": index %" PRIu64 " lies below the first, %" PRIu64,
                           group->id, operation->index, bounds->floor + 1);
    }
    if (operation->index > bounds->last) {
        return error_raise(HF_EUNAVAILABLE, "group %" PRIu64 ": index %" PRIu64 " lies beyond the last, %" PRIu64,
                           group->id, operation->index, bounds->last);
    }
    bool found = log_index_find(&group->index, operation->index, &known);
    const struct hf_log_damage *damage = log_repair_unreadable(group, damages, operation->index);
    if (found && damage == NULL) {
        return error_raise(HF_ECONFLICT, "group %" PRIu64 ": entry %" PRIu64 " is not missing", group->id,
                           operation->index);
    }
    uint64_t size = operation->body_size + log_record_wide_size(operation->value);
    bool is_other = found && (known.term != operation->term || damage->size != size);
    if (is_other && (operation->index <= group->hard_state.commit || known.term == operation->term)) {
        return error_raise(HF_ECONFLICT,
                           "group %" PRIu64 ": entry %" PRIu64 " has term %" PRIu64 " and %" PRIu32
                           " bytes here, term %" PRIu64 " and %" PRIu64 " bytes elsewhere",
                           group->id, operation->index, known.term, damage->size, operation->term, size);
    }
    int rc = log_repair_check_order(batch, at);
    return rc != 0 || MUTATED(LOG_REPAIR_TERM_UNCHECKED) ? rc : log_repair_check_term(group, damages, operation);
}

/* Entries that are not known to be committed give way to one that is. */
static void log_repair_displace(struct hf_log *log, struct log_group *group)
{
    log_damage_forget_terms(&log->damages, group->id, group->hard_state.commit + 1);
    log_group_doubt(group);
    uint64_t unreadable = 0;
    for (size_t i = 0; i < log->damages.count; i++) {
        unreadable += log_repair_concerns(group, &log->damages.items[i]);
    }
    group->unreadable = unreadable < group->unreadable ? unreadable : group->unreadable;
}

void log_repair_apply(struct hf_log *log, struct log_group *group, uint64_t index, const struct log_location *location)
{
    struct log_location known;
    if (log_repair_displaces(group, &log->damages, index, location->term)) {
        log_repair_displace(log, group);
    }
    if (log_index_find(&group->index, index, &known)) {
        log_group_move(group, index, location);
        group->unreadable--;
    } else {
        log_group_insert(group, index, location);
    }
    if (index == group->bounds.last) {
        group->bounds.term_last = location->term;
    }
    log_damage_forget_entry(&log->damages, group->id, index);
    if (group->damaged && (log_group_is_whole(group) || MUTATED(LOG_REPAIR_HALF_IS_WHOLE))) {
        group->damaged = false;
        log_damage_forget_group(&log->damages, group->id);
        TRACE(TRACE_INFO, "log", "group %" PRIu64 " is whole again", group->id);
    }
}

int log_repair_next(const struct log_group *group, const struct log_damages *damages, uint64_t from, uint64_t *first,
                    uint64_t *last)
{
    const struct log_group_bounds *bounds = &group->bounds;
    uint64_t index = from > bounds->floor ? from : bounds->floor + 1;
    uint64_t present = 0;
    uint64_t unreadable = UINT64_MAX;
    for (size_t i = 0; group->unreadable > 0 && i < damages->count; i++) {
        const struct hf_log_damage *damage = &damages->items[i];
        if (damage->index >= index && damage->index < unreadable && log_repair_concerns(group, damage)) {
            unreadable = damage->index;
        }
    }
    bool is_short = bounds->last - bounds->floor != group->entry_count;
    index = is_short ? log_index_absent(&group->index, index) : index;
    if (!is_short || index > bounds->last || unreadable < index) {
        *first = *last = unreadable;
        return unreadable <= bounds->last ? 0 : HF_ENOTFOUND;
    }
    *first = index;
    *last = log_index_next(&group->index, index, &present) ? present - 1 : bounds->last;
    return 0;
}

int hf_log_missing(struct hf_log *log, uint64_t group_id, uint64_t from, uint64_t *first, uint64_t *last)
{
    *first = *last = 0;
    mutex_lock(&log->mutex);
    const struct log_group *group = log_groups_find(&log->groups, group_id);
    int rc = group != NULL && group->damaged ? log_repair_next(group, &log->damages, from, first, last) : HF_ENOTFOUND;
    mutex_unlock(&log->mutex);
    return rc;
}
