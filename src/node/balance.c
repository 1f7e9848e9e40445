#include "node/balance.h"

#include <inttypes.h>

#include "base/mutation.h"
#include "base/trace.h"
#include "node/members.h"

/* The members that should be voters, in the order in which they should lead the group. */
static uint32_t balance_choices(struct node *node, const struct hosted_group *group,
                                struct node_peer *out[MEMBERSHIP_MEMBERS_MAX])
{
    struct node_peer *voters[MEMBERSHIP_MEMBERS_MAX];
    uint32_t count = members_voters(node, voters);
    uint32_t ordinal = group->ordinal != UINT32_MAX ? group->ordinal : node->description->group_count;
    for (uint32_t i = 0; i < count; i++) {
        out[i] = voters[((uint64_t)ordinal + i) % count];
    }
    return count;
}

bool balance_stands_first(struct node *node, const struct hosted_group *group)
{
    struct node_peer *choices[MEMBERSHIP_MEMBERS_MAX];
    return balance_choices(node, group, choices) > 0 && choices[0] == node->self;
}

static bool balance_is_starting(const struct node *node)
{
    return loop_now_ms(node->loop) - node->opened_ms < BALANCE_START_MS;
}

/* Connected for a while, with a clock that agrees with the others'. */
static bool balance_is_fit(const struct node *node, const struct node_peer *peer, bool must_leave)
{
    int64_t offset_ms = 0;
    uint64_t up_ms = must_leave || balance_is_starting(node) ? BALANCE_PEER_UP_MS : BALANCE_PEER_BACK_MS;
    if (!peer->is_up || peer->is_unfit || loop_now_ms(node->loop) - peer->up_since_ms < up_ms) {
        return false;
    }
    /* Their clock against the median: their offset to ours, and ours to the median. */
    if (clock_peer_offset_ms(&peer->clock, &offset_ms)) {
        offset_ms += node->counters.clock_offset_ms;
        return node->membership.count < 3 ||
               (offset_ms <= (int64_t)NODE_CLOCK_SKEW_MAX_MS && offset_ms >= -(int64_t)NODE_CLOCK_SKEW_MAX_MS);
    }
    return true;
}

static bool balance_holds_the_log(const struct hosted_group *group, const struct node_peer *peer,
                                  const struct replica_status *status)
{
    uint64_t match_index = 0;
    for (unsigned i = 0; i < status->member_count; i++) {
        if (status->members[i].node_id == peer->id && status->members[i].role == REPLICA_ROLE_VOTER) {
            return replica_match_index(group->replica, peer->id, &match_index) == 0 &&
                   match_index + BALANCE_LAG_MAX >= status->last_index;
        }
    }
    return false;
}

/* The best node for a group as its leader sees it: NULL when this one should go on. must_leave: any fit node is better
 * than this one. */
static struct node_peer *balance_target(struct node *node, const struct hosted_group *group,
                                        const struct replica_status *status, bool must_leave)
{
    struct node_peer *choices[MEMBERSHIP_MEMBERS_MAX];
    uint32_t count = balance_choices(node, group, choices);
    for (uint32_t i = 0; i < count; i++) {
        if (choices[i] == node->self) {
            if (must_leave) {
                continue;
            }
            return NULL;
        }
        if (balance_is_fit(node, choices[i], must_leave) && balance_holds_the_log(group, choices[i], status)) {
            return choices[i];
        }
    }
    /* Who is to lose its vote cannot wait for the clocks to agree: the group would never let it go. */
    for (uint32_t i = 0; i < count && !members_is_voter(node, node->id) && !MUTATED(LEADS_UNTIL_CLOCKS_AGREE); i++) {
        if (choices[i]->is_up && balance_holds_the_log(group, choices[i], status)) {
            return choices[i];
        }
    }
    return NULL;
}

bool balance_is_unfit(struct node *node)
{
    return node->is_leaving || !members_is_voter(node, node->id) || node->clock_is_off || node->log_is_stalled;
}

/* Who should not lead at all cannot wait as long as who would only be better elsewhere: what was tried for that before
 * counts for nothing. */
static bool balance_may_try(const struct hosted_group *group, uint64_t now_ms, bool must_leave)
{
    return now_ms >= group->balance_next_ms ||
           (must_leave && now_ms - group->balance_tried_ms >= BALANCE_LEAVE_RETRY_MS);
}

static void balance_group(struct node *node, struct hosted_group *group, bool must_leave)
{
    struct replica_status status;
    uint64_t now_ms = loop_now_ms(node->loop);
    uint64_t hold_ms = balance_is_starting(node) ? BALANCE_START_HOLD_MS : BALANCE_HOLD_MS;
    if (!hosted_group_is_led_here(group) || !balance_may_try(group, now_ms, must_leave) ||
        (!must_leave && now_ms - group->led_since_ms < hold_ms)) {
        return;
    }
    /* Cheap questions first: most leaders are where they belong. */
    if (!must_leave && balance_stands_first(node, group)) {
        group->balance_attempts = 0;
        return;
    }
    replica_status(group->replica, &status);
    if (!status.is_ready || status.transferring) {
        return;
    }
    struct node_peer *target = balance_target(node, group, &status, must_leave);
    if (target == NULL) {
        return;
    }
    uint64_t retry_ms = (uint64_t)BALANCE_RETRY_MIN_MS << (group->balance_attempts < 7 ? group->balance_attempts : 7);
    group->balance_next_ms = now_ms + (retry_ms < BALANCE_RETRY_MAX_MS ? retry_ms : BALANCE_RETRY_MAX_MS);
    group->balance_tried_ms = now_ms;
    group->balance_attempts++;
    TRACE(TRACE_DEBUG, "node", "group %" PRIu64 " is handed to node %" PRIu64, group->id, target->id);
    (void)replica_transfer(group->replica, target->id);
    hosted_group_touch(group);
}

void balance_run(struct node *node)
{
    if (node->membership.count == 1 || node->phase != NODE_RUNNING) {
        return;
    }
    uint32_t count = node->groups_open < BALANCE_GROUPS_PER_RUN ? node->groups_open : BALANCE_GROUPS_PER_RUN;
    for (uint32_t i = 0; i < count; i++) {
        node->balance_cursor = (node->balance_cursor + 1) % node->groups_open;
        balance_group(node, &node->groups[node->balance_cursor], node->is_unfit);
    }
}
