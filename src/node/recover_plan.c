#include "node/recover_plan.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/mutation.h"

/* As members compare when they vote. */
static int recover_plan_compare(const struct survivor_copy *a, const struct survivor_copy *b)
{
    if (a->last_term != b->last_term && !MUTATED(RECOVER_BY_LENGTH_ALONE)) {
        return a->last_term < b->last_term ? -1 : 1;
    }
    return a->last_index < b->last_index ? -1 : a->last_index > b->last_index;
}

static bool recover_plan_is_usable(const struct recover_candidate *candidate, const struct recover_wishes *wishes)
{
    return candidate->copy->is_good && (!candidate->is_removed || wishes->accepts_removed);
}

static uint32_t recover_plan_best(const struct recover_candidate *candidates, uint32_t count,
                                  const struct recover_wishes *wishes)
{
    uint32_t best = RECOVER_PLAN_NONE;
    for (uint32_t i = 0; i < count; i++) {
        const struct survivor_copy *copy = candidates[i].copy;
        if (!recover_plan_is_usable(&candidates[i], wishes)) {
            continue;
        }
        int order = best == RECOVER_PLAN_NONE ? 1 : recover_plan_compare(copy, candidates[best].copy);
        if (order > 0 || (order == 0 && copy->commit > candidates[best].copy->commit)) {
            best = i;
        }
    }
    return best;
}

/* ---- Whether a majority is here ---- */

static void recover_plan_count(const struct recover_candidate *candidates, uint32_t count,
                               const struct survivor_members *members, unsigned *voters, unsigned *here)
{
    *voters = *here = 0;
    for (unsigned m = 0; m < members->count; m++) {
        if (members->members[m].role != REPLICA_ROLE_VOTER) {
            continue;
        }
        ++*voters;
        for (uint32_t i = 0; i < count; i++) {
            if (candidates[i].node_id == members->members[m].node_id && candidates[i].copy->is_good &&
                !candidates[i].may_be_short) {
                ++*here;
                break;
            }
        }
    }
}

/* A configuration that is not known to be committed may never have come into force: then the one before counts, too. */
static void recover_plan_count_voters(const struct recover_candidate *candidates, uint32_t count,
                                      const struct survivor_copy *copy, struct recover_choice *out)
{
    unsigned voters = 0;
    unsigned here = 0;
    recover_plan_count(candidates, count, &copy->latest, &out->voters, &out->voters_here);
    out->is_complete = out->voters_here > out->voters / 2;
    if (copy->latest.index > out->commit && copy->before.index != 0) {
        recover_plan_count(candidates, count, &copy->before, &voters, &here);
        out->is_complete = out->is_complete && here > voters / 2;
    }
}

/* ---- What is said ---- */

static void recover_plan_explain(const struct recover_candidate *candidates, uint32_t count,
                                 const struct recover_wishes *wishes, struct recover_choice *out)
{
    const struct recover_candidate *taken = &candidates[out->candidate];
    const struct recover_candidate *next = NULL;
    for (uint32_t i = 0; i < count; i++) {
        if (i != out->candidate && recover_plan_is_usable(&candidates[i], wishes) &&
            (next == NULL || recover_plan_compare(candidates[i].copy, next->copy) > 0)) {
            next = &candidates[i];
        }
    }
    if (next == NULL) {
        snprintf(out->why, sizeof(out->why), count == 1 ? "the only copy" : "the only good copy");
    } else if (next->copy->last_term != taken->copy->last_term) {
        snprintf(out->why, sizeof(out->why), "the highest term at the end: %" PRIu64 ", node %" PRIu64 " has %" PRIu64,
                 taken->copy->last_term, next->node_id, next->copy->last_term);
    } else if (next->copy->last_index != taken->copy->last_index) {
        snprintf(out->why, sizeof(out->why),
                 "the longest log of term %" PRIu64 ": to index %" PRIu64 ", node %" PRIu64 " to %" PRIu64,
                 taken->copy->last_term, taken->copy->last_index, next->node_id, next->copy->last_index);
    } else {
        snprintf(out->why, sizeof(out->why), "as good as that of node %" PRIu64, next->node_id);
    }
}

/* Something is known to have been there that the copy does not have. */
static bool recover_plan_finds_loss(const struct recover_candidate *candidates, uint32_t count,
                                    struct recover_choice *out)
{
    const struct survivor_copy *taken = candidates[out->candidate].copy;
    for (uint32_t i = 0; i < count; i++) {
        const struct survivor_copy *copy = candidates[i].copy;
        if (!copy->is_there) {
            continue;
        }
        if (copy->commit > taken->last_index) {
            snprintf(out->problem, sizeof(out->problem),
                     "node %" PRIu64 " knows that index %" PRIu64
                     " is committed, and the best good copy ends at %" PRIu64,
                     candidates[i].node_id, copy->commit, taken->last_index);
            return true;
        }
        if (!copy->is_good && recover_plan_compare(copy, taken) > 0) {
            snprintf(out->problem, sizeof(out->problem),
                     "the copy of node %" PRIu64 " reaches further (index %" PRIu64 ", term %" PRIu64
                     ") than the best good one (%" PRIu64 ", %" PRIu64 "), but %.200s",
                     candidates[i].node_id, copy->last_index, copy->last_term, taken->last_index, taken->last_term,
                     copy->reason);
            return true;
        }
    }
    return false;
}

static void recover_plan_refuse_none(const struct recover_candidate *candidates, uint32_t count,
                                     struct recover_choice *out)
{
    size_t used = (size_t)snprintf(out->problem, sizeof(out->problem), "there is no good copy");
    out->result = HF_ECORRUPT;
    for (uint32_t i = 0; i < count && used < sizeof(out->problem); i++) {
        bool is_removed = candidates[i].copy->is_good && candidates[i].is_removed;
        used += (size_t)snprintf(out->problem + used, sizeof(out->problem) - used, "%s node %" PRIu64 ": %.160s",
                                 i == 0 ? ":" : ";", candidates[i].node_id,
                                 is_removed ? "it was removed from the cluster, so its copy may be old"
                                            : candidates[i].copy->reason);
    }
}

void recover_plan_choose(const struct recover_candidate *candidates, uint32_t count,
                         const struct recover_wishes *wishes, struct recover_choice *out)
{
    *out = (struct recover_choice){.candidate = RECOVER_PLAN_NONE, .is_skipped = wishes->is_skipped};
    if (wishes->is_skipped) {
        snprintf(out->problem, sizeof(out->problem), "the group begins empty, as was asked: all of its keys are lost");
        return;
    }
    out->candidate = recover_plan_best(candidates, count, wishes);
    if (out->candidate == RECOVER_PLAN_NONE) {
        recover_plan_refuse_none(candidates, count, out);
        return;
    }
    const struct survivor_copy *taken = candidates[out->candidate].copy;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t commit = candidates[i].copy->commit;
        commit = commit < taken->last_index ? commit : taken->last_index;
        out->commit = commit > out->commit ? commit : out->commit;
    }
    if (out->commit < taken->last_index) {
        out->unknown_first = out->commit + 1;
        out->unknown_last = taken->last_index;
    }
    recover_plan_count_voters(candidates, count, taken, out);
    recover_plan_explain(candidates, count, wishes, out);
    if (recover_plan_finds_loss(candidates, count, out)) {
        out->is_complete = false;
        out->is_loss_accepted = wishes->accepts_loss;
        out->result = wishes->accepts_loss ? 0 : HF_EUNSAFE;
    } else if (!out->is_complete) {
        snprintf(out->problem, sizeof(out->problem),
                 "what lost nodes, or nodes whose power went under a relaxed log.sync_policy, acknowledged behind "
                 "index %" PRIu64 ", if anything, is lost",
                 taken->last_index);
    }
}
