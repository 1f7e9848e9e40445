#include "node/reconcile.h"

#include <inttypes.h>
#include <string.h>

#include "base/error.h"
#include "base/mutation.h"
#include "base/trace.h"
#include "node/members.h"
#include "node/system_group.h"

/* ---- Deciding ---- */

static unsigned reconcile_find(const struct reconcile_view *view, uint64_t node_id)
{
    unsigned i = 0;
    while (i < view->count && view->members[i].node_id != node_id) {
        i++;
    }
    return i;
}

static unsigned reconcile_voters(const struct reconcile_view *view)
{
    unsigned voters = 0;
    for (unsigned i = 0; i < view->count; i++) {
        voters += view->members[i].role == REPLICA_ROLE_VOTER;
    }
    return voters;
}

static void reconcile_add(const struct reconcile_view *view, uint64_t node_id, struct replica_member *members,
                          unsigned *count)
{
    unsigned at = 0;
    while (at < view->count && view->members[at].node_id < node_id) {
        at++;
    }
    memcpy(members, view->members, at * sizeof(*members));
    members[at] = (struct replica_member){node_id, REPLICA_ROLE_STANDBY};
    memcpy(members + at + 1, view->members + at, (view->count - at) * sizeof(*members));
    *count = view->count + 1;
}

static void reconcile_set(const struct reconcile_view *view, unsigned position, enum replica_role role,
                          struct replica_member *members, unsigned *count)
{
    memcpy(members, view->members, view->count * sizeof(*members));
    members[position].role = role;
    *count = view->count;
}

static void reconcile_drop(const struct reconcile_view *view, unsigned position, struct replica_member *members,
                           unsigned *count)
{
    memcpy(members, view->members, position * sizeof(*members));
    memcpy(members + position, view->members + position + 1, (view->count - position - 1) * sizeof(*members));
    *count = view->count - 1;
}

/* Who should be in the group and is not, or should have a vote by now. Comes before everything that takes votes away.
 */
static enum reconcile_verdict reconcile_raise(const struct reconcile_view *view, struct replica_member *members,
                                              unsigned *count)
{
    enum reconcile_verdict verdict = RECONCILE_SETTLED;
    for (uint32_t i = 0; i < view->membership->count; i++) {
        const struct membership_member *member = &view->membership->members[i];
        unsigned position = reconcile_find(view, member->node.id);
        if (member->role == MEMBERSHIP_LEAVING) {
            continue;
        }
        if (position == view->count) {
            if (view->count == REPLICA_MEMBERS_MAX) {
                verdict = RECONCILE_WAIT; /* until somebody left */
                continue;
            }
            reconcile_add(view, member->node.id, members, count);
            return RECONCILE_CHANGE;
        }
        if (member->role == MEMBERSHIP_VOTER && view->members[position].role != REPLICA_ROLE_VOTER) {
            if (view->has_caught_up(view->arg, member->node.id) || MUTATED(PROMOTED_BEFORE_CAUGHT_UP)) {
                reconcile_set(view, position, REPLICA_ROLE_VOTER, members, count);
                return RECONCILE_CHANGE;
            }
            verdict = RECONCILE_WAIT;
        }
    }
    return verdict;
}

/* Who should not be in the group, or have no vote. A node that we have never heard of joined a moment ago: it stays. */
static enum reconcile_verdict reconcile_lower(const struct reconcile_view *view, struct replica_member *members,
                                              unsigned *count)
{
    enum reconcile_verdict verdict = RECONCILE_SETTLED;
    unsigned voters_min = view->membership->may_be_alone ? 1 : 2;
    for (unsigned i = 0; i < view->count; i++) {
        const struct replica_member *current = &view->members[i];
        const struct membership_member *member = membership_find(view->membership, current->node_id);
        bool is_out = member != NULL ? member->role == MEMBERSHIP_LEAVING
                                     : membership_was_removed(view->membership, current->node_id);
        bool is_lowered = member != NULL && member->role == MEMBERSHIP_STANDBY && current->role == REPLICA_ROLE_VOTER;
        if (!is_out && !is_lowered) {
            verdict = member == NULL ? RECONCILE_WAIT : verdict;
            continue;
        }
        if (current->node_id == view->self || (is_out && !view->may_drop(view->arg, current->node_id)) ||
            (current->role == REPLICA_ROLE_VOTER && reconcile_voters(view) <= voters_min)) {
            verdict = RECONCILE_WAIT;
            continue;
        }
        if (is_out) {
            reconcile_drop(view, i, members, count);
        } else {
            reconcile_set(view, i, REPLICA_ROLE_STANDBY, members, count);
        }
        return RECONCILE_CHANGE;
    }
    return verdict;
}

enum reconcile_verdict reconcile_decide(const struct reconcile_view *view, struct replica_member *members,
                                        unsigned *count)
{
    enum reconcile_verdict raise = reconcile_raise(view, members, count);
    if (raise == RECONCILE_CHANGE) {
        return raise;
    }
    enum reconcile_verdict lower = reconcile_lower(view, members, count);
    return lower != RECONCILE_SETTLED ? lower : raise;
}

/* ---- The groups that are led here ---- */

static bool reconcile_has_caught_up(void *arg, uint64_t node_id)
{
    struct hosted_group *group = arg;
    const struct node_peer *peer = members_slot(group->node, node_id);
    uint64_t match_index = 0;
    return peer != NULL && peer->is_up && group->round_index != 0 && group->round_term == group->term &&
           replica_match_index(group->replica, node_id, &match_index) == 0 && match_index >= group->round_index;
}

/* Whether a group from position `first` on names the node, or might. */
static bool reconcile_is_named(const struct node *node, uint32_t first, uint64_t node_id)
{
    for (uint32_t i = first; i < node->groups_open; i++) {
        struct replica_status status;
        if (node->groups[i].replica == NULL || node->groups[i].is_failed) {
            return true; /* nobody here can say */
        }
        replica_status(node->groups[i].replica, &status);
        for (unsigned k = 0; k < status.member_count; k++) {
            if (status.members[k].node_id == node_id) {
                return true;
            }
        }
        if (status.member_count == 0 || status.is_changing) {
            return true;
        }
    }
    return false;
}

/* Whether this node can say of every group who its members are. */
static bool reconcile_knows_all(const struct node *node)
{
    for (uint32_t i = 0; i < node->groups_open; i++) {
        if (node->groups[i].replica == NULL || node->groups[i].is_failed) {
            return false;
        }
    }
    return true;
}

/* Where a group is closed nobody can ever be let go of: another node leads the system group then. */
static void reconcile_hand_over(struct node *node)
{
    struct reconcile_round *round = &node->reconcile_round;
    uint64_t now_ms = loop_now_ms(node->loop);
    if (round->retry_ms <= now_ms) {
        round->retry_ms = now_ms + RECONCILE_RETRY_MS;
        (void)node_transfer(node, NODE_SYSTEM_GROUP, 0);
    }
}

static void reconcile_confirmed(void *arg, int result, struct hf_bytes reply, uint64_t index)
{
    struct node *node = arg;
    struct reconcile_round *round = &node->reconcile_round;
    round->has_failed = round->has_failed || result != 0;
    if (--round->waiting == 0) {
        round->is_confirmed = !round->has_failed;
        round->retry_ms = loop_now_ms(node->loop) + RECONCILE_RETRY_MS;
    }
}

/* Whether the configurations here hold everything that was committed before the members became what they are. If not,
 * the groups are asked. */
static bool reconcile_is_confirmed(struct node *node)
{
    struct reconcile_round *round = &node->reconcile_round;
    bool is_current = round->version == node->membership.version && round->term == node->groups[0].term;
    if (MUTATED(FORGOTTEN_UNCONFIRMED)) {
        return true;
    }
    if (round->waiting > 0 || (is_current && round->is_confirmed)) {
        return is_current && round->is_confirmed;
    }
    if (is_current && round->retry_ms > loop_now_ms(node->loop)) {
        return false;
    }
    *round = (struct reconcile_round){.version = node->membership.version,
                                      .term = node->groups[0].term,
                                      .waiting = node->groups_open,
                                      .retry_ms = round->retry_ms};
    for (uint32_t i = 0; i < node->groups_open; i++) {
        node_barrier(node, node->groups[i].id, reconcile_confirmed, node);
    }
    return false;
}

static bool reconcile_may_drop(void *arg, uint64_t node_id)
{
    const struct hosted_group *group = arg;
    return group->id != NODE_SYSTEM_GROUP ||
           (!reconcile_is_named(group->node, 1, node_id) && reconcile_is_confirmed(group->node));
}

static void reconcile_propose(struct hosted_group *group, const struct replica_member *members, unsigned count)
{
    int rc = group->node->membership.may_be_alone ? replica_submit_lone_configuration(group->replica, members, count)
                                                  : replica_submit_configuration(group->replica, members, count);
    TRACE(TRACE_INFO, "node", "group %" PRIu64 ": a configuration of %u members is proposed: %s", group->id, count,
          rc != 0 ? hf_error_text() : "accepted");
    hosted_group_touch(group);
}

static void reconcile_group(struct node *node, struct hosted_group *group)
{
    struct replica_member members[REPLICA_MEMBERS_MAX];
    struct replica_status status;
    unsigned count = 0;
    uint64_t now_ms = loop_now_ms(node->loop);
    if (!hosted_group_is_led_here(group) ||
        (group->settled_version == node->membership.version && group->settled_term == group->term)) {
        return;
    }
    replica_status(group->replica, &status);
    if (!status.is_ready || status.transferring || status.is_changing) {
        return;
    }
    struct reconcile_view view = {.membership = &node->membership,
                                  .self = node->id,
                                  .members = status.members,
                                  .count = status.member_count,
                                  .has_caught_up = reconcile_has_caught_up,
                                  .may_drop = reconcile_may_drop,
                                  .arg = group};
    enum reconcile_verdict verdict = reconcile_decide(&view, members, &count);
    if (verdict == RECONCILE_CHANGE) {
        reconcile_propose(group, members, count);
    } else if (verdict == RECONCILE_SETTLED) {
        group->settled_version = node->membership.version;
        group->settled_term = group->term;
    }
    if (group->round_term != group->term || now_ms - group->round_ms >= RECONCILE_ROUND_MS) {
        group->round_term = group->term;
        group->round_ms = now_ms;
        group->round_index = status.last_index;
    }
}

/* Under a relaxed sync policy a power loss may take the log's end. Who was alone before must find in the file of the
 * members that it is not any more: until that could be written nobody else gets a vote. */
static bool reconcile_might_be_forgotten(const struct node *node)
{
    return node->relaxed.has_mark && node->members_retry_ms != 0;
}

void reconcile_run(struct node *node)
{
    if (node->phase != NODE_RUNNING || node->is_removed || reconcile_might_be_forgotten(node)) {
        return;
    }
    uint32_t count = node->groups_open < RECONCILE_GROUPS_PER_RUN ? node->groups_open : RECONCILE_GROUPS_PER_RUN;
    for (uint32_t i = 0; i < count; i++) {
        node->reconcile_cursor = (node->reconcile_cursor + 1) % node->groups_open;
        reconcile_group(node, &node->groups[node->reconcile_cursor]);
    }
}

/* ---- The membership itself ---- */

void reconcile_system(struct node *node, struct buffer *command)
{
    const struct membership *membership = system_group_membership(node->groups[0].machine);
    uint32_t features = members_features(node);
    struct membership_change change = {.kind = MEMBERSHIP_FEATURES, .feature_level = features};
    if (command->size > 0 || membership->version != node->membership.version) {
        return;
    }
    if (features > membership->feature_level) {
        system_group_change(&change, command);
        return;
    }
    for (uint32_t i = 0; i < membership->count; i++) {
        const struct membership_member *member = &membership->members[i];
        if (member->role != MEMBERSHIP_LEAVING || member->node.id == node->id) {
            continue;
        }
        if (!reconcile_knows_all(node)) {
            reconcile_hand_over(node);
            return;
        }
        if (!reconcile_is_named(node, 0, member->node.id) && reconcile_is_confirmed(node)) {
            change = (struct membership_change){.kind = MEMBERSHIP_FORGET, .node = {.id = member->node.id}};
            system_group_change(&change, command);
            return;
        }
    }
}
