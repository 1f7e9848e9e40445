#include "node/member_change.h"

#include <inttypes.h>
#include <stdlib.h>

#include "base/error.h"
#include "base/mutation.h"
#include "node/members.h"
#include "node/system_group.h"
#include "peer/visit.h"

/* A change that somebody asked for:
 *
 *   catching up ─→ checked ─address→ visiting ─→ proposed ─→ answered
 *        ↑                                          │
 *        └─the members changed since the check──────┘ */
struct member_change {
    struct list link; /* into the node's changes while the address is visited */
    struct node *node;
    struct membership_change change;
    uint64_t checked_version; /* of the members that it was checked against, when that has to stay; 0: no matter */
    unsigned check_count;
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

static void member_change_caught_up(void *arg, int result, struct hf_bytes reply, uint64_t index);

static void member_change_answer(struct member_change *asked, int result, struct hf_bytes reply, uint64_t index)
{
    proposal_answer(asked->owner, result, reply, index);
    free(asked);
}

/* Refused from here, with the text of the error. */
static void member_change_refuse(struct member_change *asked, int result)
{
    node_refuse(asked->node, asked->owner, result, NODE_SYSTEM_GROUP);
    free(asked);
}

/* Who asked named no version, and need not hear that the one of our check was over by then. */
static bool member_change_is_outdated(const struct member_change *asked, struct hf_bytes reply)
{
    struct membership_outcome outcome;
    struct hf_bytes members;
    return asked->checked_version != 0 && asked->check_count < MEMBER_CHANGE_CHECKS_MAX &&
           membership_outcome_decode(reply, &outcome, &members) == 0 && outcome.result == HF_ECONFLICT &&
           outcome.version != asked->checked_version;
}

static void member_change_decided(void *arg, int result, struct hf_bytes reply, uint64_t index)
{
    struct member_change *asked = arg;
    if (result == 0 && member_change_is_outdated(asked, reply)) {
        node_barrier(asked->node, NODE_SYSTEM_GROUP, member_change_caught_up, asked);
    } else {
        member_change_answer(asked, result, reply, index);
    }
}

static void member_change_propose(struct member_change *asked)
{
    struct hosted_group *group = &asked->node->groups[0];
    struct membership_change change = asked->change;
    struct buffer command = {0};
    if (asked->checked_version != 0) {
        change.expected_version = asked->checked_version;
    }
    system_group_change(&change, &command);
    int rc = asked->node->phase == NODE_RUNNING && !group->is_failed
                 ? hosted_group_propose(group, buffer_bytes(&command),
                                        (struct proposal_owner){member_change_decided, asked}, false)
                 : error_raise(HF_ECLOSED, "the system group is stopped here: %s", group->text);
    buffer_close(&command);
    if (rc != 0) {
        member_change_refuse(asked, rc);
    }
}

static int member_change_check_found(const struct member_change *asked, const struct peer_identity *found)
{
    const struct membership_change *change = &asked->change;
    uint64_t expected = change->incarnation;
    if (change->kind == MEMBERSHIP_ADDRESS) {
        const struct membership_member *member = membership_find(&asked->node->membership, change->node.id);
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
    struct member_change *asked = arg;
    int rc = result != 0 ? result : member_change_check_found(asked, found);
    list_remove(&asked->link);
    asked->node->change_count--;
    if (rc != 0) {
        rc = error_wrap(rc, "the address %s was checked, and nothing was changed", asked->change.node.peer_address);
        member_change_answer(asked, rc, (struct hf_bytes){0}, 0);
    } else {
        member_change_propose(asked);
    }
}

static int member_change_visit(struct member_change *asked)
{
    struct node *node = asked->node;
    const struct membership_change *change = &asked->change;
    struct peer_identity identity = node->identity;
    if (node->change_count == MEMBER_CHANGE_VISITS_MAX) {
        return error_raise(HF_EBUSY, "%u addresses are being checked already", MEMBER_CHANGE_VISITS_MAX);
    }
    identity.node_id = PEER_NODE_VISITOR;
    int rc = visit_start(node->loop, change->node.peer_address, &identity,
                         change->kind == MEMBERSHIP_JOIN ? PEER_NODE_JOINING : change->node.id, member_change_visited,
                         asked, &asked->visit);
    if (rc == 0) {
        list_append(&node->changes, &asked->link);
        node->change_count++;
    }
    return rc;
}

/* ---- Asking ---- */

/* The members known here are those that every acknowledged change led to. */
static void member_change_caught_up(void *arg, int result, struct hf_bytes reply, uint64_t index)
{
    struct member_change *asked = arg;
    struct node *node = asked->node;
    const struct membership_change *change = &asked->change;
    bool has_address = change->kind == MEMBERSHIP_JOIN || change->kind == MEMBERSHIP_ADDRESS;
    if (result != 0) {
        member_change_answer(asked, result, (struct hf_bytes){0}, 0);
        return;
    }
    int rc = node->phase == NODE_RUNNING ? member_change_check(node, change) : HF_ECLOSED;
    if (change->kind == MEMBERSHIP_ROLE && change->expected_version == 0) {
        asked->checked_version = node->membership.version; /* what was checked is what is changed */
    }
    asked->check_count++;
    if (rc == 0 && has_address && !MUTATED(ADDRESS_NOT_CHECKED)) {
        rc = member_change_visit(asked);
    } else if (rc == 0) {
        member_change_propose(asked);
    }
    if (rc != 0) {
        member_change_refuse(asked, rc);
    }
}

/* Who asks one node and then another builds on what the first one answered. A node that did not hear of it yet would
 * refuse: for a member that it does not know, or with a version that is over. So it catches up first. */
void node_change_members(struct node *node, const struct membership_change *change, node_done *done, void *arg)
{
    struct member_change *asked = memory_new(sizeof(*asked));
    *asked = (struct member_change){.node = node, .change = *change, .owner = {done, arg}};
    node_barrier(node, NODE_SYSTEM_GROUP, member_change_caught_up, asked);
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
        struct member_change *asked = list_entry(item, struct member_change, link);
        list_remove(&asked->link);
        visit_cancel(asked->visit);
        error_raise(HF_ECLOSED, "the node is closed");
        member_change_answer(asked, HF_ECLOSED, (struct hf_bytes){0}, 0);
    }
    node->change_count = 0;
}
