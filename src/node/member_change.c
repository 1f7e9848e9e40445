#include "node/member_change.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/mutation.h"
#include "node/members.h"
#include "node/system_group.h"
#include "peer/visit.h"

/* A change that waits for somebody to answer at an address. */
struct member_change {
    struct list link;
    struct node *node;
    struct membership_change change;
    struct proposal_owner owner;
    struct visit *visit;
};

/* ---- What can be seen from here ---- */

/* Whether the voters that the change leaves, and that this node can reach, are a majority of them. */
static int member_change_check_reach(const struct node *node, const struct membership_change *change)
{
    unsigned voters = 0;
    unsigned reached = 0;
    for (uint32_t i = 0; i < node->membership.count; i++) {
        const struct membership_member *member = &node->membership.members[i];
        const struct node_peer *peer = members_slot((struct node *)node, member->node.id);
        enum membership_role role = member->node.id == change->node.id ? change->role : member->role;
        voters += role == MEMBERSHIP_VOTER;
        reached += role == MEMBERSHIP_VOTER && (peer == node->self || (peer != NULL && peer->is_up));
    }
    if (voters > 0 && reached < voters / 2 + 1) {
        return error_raise(HF_EUNSAFE,
                           "of the %u voters that would remain node %" PRIu64
                           " reaches %u: no majority could go on. next: bring nodes back first, or repeat with --force",
                           voters, node->id, reached);
    }
    return 0;
}

int member_change_check(const struct node *node, const struct membership_change *change)
{
    if (node->membership.feature_level < DESCRIPTION_FEATURES_MEMBERS) {
        return error_raise(HF_EVERSION,
                           "the cluster is at feature level %" PRIu32
                           ", members change from %u on. next: upgrade every node, the level then rises by itself",
                           node->membership.feature_level, DESCRIPTION_FEATURES_MEMBERS);
    }
    if (change->kind != MEMBERSHIP_JOIN && membership_find(&node->membership, change->node.id) == NULL) {
        return error_raise(HF_ENOTFOUND, "node %" PRIu64 " %s", change->node.id,
                           membership_was_removed(&node->membership, change->node.id) ? "was removed already"
                                                                                      : "is no member");
    }
    if (change->kind == MEMBERSHIP_JOIN && node->hub == NULL) {
        return error_raise(HF_EUNSUPPORTED, "node %" PRIu64 " has no peer address, so nobody can join it", node->id);
    }
    if (change->kind == MEMBERSHIP_ROLE && change->role != MEMBERSHIP_VOTER && !change->is_forced) {
        return member_change_check_reach(node, change);
    }
    return 0;
}

/* ---- Proposing ---- */

static void member_change_propose(struct node *node, const struct membership_change *change,
                                  struct proposal_owner owner)
{
    struct hosted_group *group = &node->groups[0];
    struct buffer command = {0};
    system_group_change(change, &command);
    int rc = node->phase == NODE_RUNNING && !group->is_failed
                 ? hosted_group_propose(group, buffer_bytes(&command), owner, false)
                 : error_raise(HF_ECLOSED, "the system group is stopped here: %s", group->text);
    buffer_close(&command);
    if (rc != 0) {
        node_refuse(node, owner, rc, NODE_SYSTEM_GROUP);
    }
}

static int member_change_check_found(const struct member_change *pending, const struct peer_identity *found)
{
    const struct membership_change *change = &pending->change;
    uint64_t expected = change->incarnation;
    if (change->kind == MEMBERSHIP_ADDRESS) {
        const struct membership_member *member = membership_find(&pending->node->membership, change->node.id);
        expected = member != NULL ? member->incarnation : 0;
    }
    if (expected != 0 && found->node_incarnation != expected) {
        return error_raise(HF_EMISMATCH, "somebody else answers there, with incarnation %016" PRIx64,
                           found->node_incarnation);
    }
    return 0;
}

static void member_change_visited(void *arg, int result, const struct peer_identity *found)
{
    struct member_change *pending = arg;
    struct node *node = pending->node;
    int rc = result != 0 ? result : member_change_check_found(pending, found);
    list_remove(&pending->link);
    node->change_count--;
    if (rc != 0) {
        rc = error_wrap(rc, "the address %s was checked, and nothing was changed", pending->change.node.peer_address);
        proposal_answer(pending->owner, rc, (struct hf_bytes){0}, 0);
    } else {
        member_change_propose(node, &pending->change, pending->owner);
    }
    free(pending);
}

static int member_change_visit(struct node *node, const struct membership_change *change, struct proposal_owner owner)
{
    struct peer_identity identity = node->identity;
    if (node->change_count == MEMBER_CHANGE_VISITS_MAX) {
        return error_raise(HF_EBUSY, "%u addresses are being checked already", MEMBER_CHANGE_VISITS_MAX);
    }
    struct member_change *pending = memory_new(sizeof(*pending));
    *pending = (struct member_change){.node = node, .change = *change, .owner = owner};
    identity.node_id = PEER_NODE_VISITOR;
    int rc = visit_start(node->loop, change->node.peer_address, &identity,
                         change->kind == MEMBERSHIP_JOIN ? PEER_NODE_JOINING : change->node.id, member_change_visited,
                         pending, &pending->visit);
    if (rc != 0) {
        free(pending);
        return rc;
    }
    list_append(&node->changes, &pending->link);
    node->change_count++;
    return 0;
}

void node_change_members(struct node *node, const struct membership_change *change, node_done *done, void *arg)
{
    struct proposal_owner owner = {done, arg};
    struct membership_change stamped = *change;
    bool has_address = change->kind == MEMBERSHIP_JOIN || change->kind == MEMBERSHIP_ADDRESS;
    int rc = node->phase == NODE_RUNNING ? member_change_check(node, change) : HF_ECLOSED;
    if (change->kind == MEMBERSHIP_ROLE && stamped.expected_version == 0) {
        stamped.expected_version = node->membership.version; /* what was checked is what is changed */
    }
    if (rc == 0 && has_address && !MUTATED(ADDRESS_NOT_CHECKED)) {
        rc = member_change_visit(node, &stamped, owner);
    } else if (rc == 0) {
        member_change_propose(node, &stamped, owner);
    }
    if (rc != 0) {
        node_refuse(node, owner, rc, NODE_SYSTEM_GROUP);
    }
}

int node_check_change(const struct node *node, const struct membership_change *change)
{
    struct membership membership = node->membership;
    struct membership_outcome outcome;
    int rc = node->phase == NODE_RUNNING ? member_change_check(node, change)
                                         : error_raise(HF_ECLOSED, "this node is stopped");
    if (rc != 0) {
        return rc;
    }
    membership_apply(&membership, change, &outcome);
    return outcome.result != 0 ? error_raise(outcome.result, "%s", outcome.text) : 0;
}

void member_change_close(struct node *node)
{
    list_each_safe (&node->changes, item) {
        struct member_change *pending = list_entry(item, struct member_change, link);
        list_remove(&pending->link);
        visit_cancel(pending->visit);
        error_raise(HF_ECLOSED, "the node is closed");
        proposal_answer(pending->owner, HF_ECLOSED, (struct hf_bytes){0}, 0);
        free(pending);
    }
    node->change_count = 0;
}
