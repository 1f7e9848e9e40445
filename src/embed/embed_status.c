/* What a node tells of itself: looked at in its own thread, a turn at most away. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/error.h"
#include "base/trace.h"
#include "embed/embed.h"

_Static_assert(HF_NODE_MEMBERS_MAX == REPLICA_MEMBERS_MAX && HF_NODE_MEMBERS_MAX == MEMBERSHIP_MEMBERS_MAX,
               "what is shown of members has room for all");

static int embed_status_look(struct hf_node *embed, void *arg)
{
    struct hf_node_status *out = arg;
    struct node_counters counters;
    struct node_snapshot_status snapshots;
    node_counters(embed->node, &counters);
    node_snapshot_status(embed->node, &snapshots);
    *out = (struct hf_node_status){.id = node_id(embed->node),
                                   .group_count = embed->group_count,
                                   .member_count = node_membership(embed->node)->count,
                                   .is_removed = node_is_removed(embed->node),
                                   .failure = embed->failure,
                                   .applied_entries = counters.applied_entries,
                                   .proposals = counters.proposals,
                                   .reads = counters.reads,
                                   .forwards_sent = counters.forwards_sent,
                                   .snapshots_taken = snapshots.taken};
    description_cluster_id_text(node_description(embed->node), out->cluster_id);
    snprintf(out->failure_text, sizeof(out->failure_text), "%s", embed->failure_text);
    return 0;
}

int hf_node_status(struct hf_node *embed, struct hf_node_status *out)
{
    return embed_look(embed, embed_status_look, out);
}

static enum hf_node_role embed_status_role(enum replica_state state)
{
    switch (state) {
    case REPLICA_LEADER:
        return HF_NODE_LEADER;
    case REPLICA_CANDIDATE:
        return HF_NODE_CANDIDATE;
    case REPLICA_FOLLOWER:
        return HF_NODE_FOLLOWER;
    default:
        return HF_NODE_STOPPED;
    }
}

static int embed_status_look_group(struct hf_node *embed, void *arg)
{
    struct hf_node_group_status *out = arg;
    struct node_group_status found;
    uint64_t group = out->group;
    if (group < HF_NODE_GROUP_FIRST || group - HF_NODE_GROUP_FIRST >= embed->group_count) {
        return error_raise(HF_ENOTFOUND, "there is no group %" PRIu64, group);
    }
    int rc = node_group_status(embed->node, (uint32_t)(group - NODE_SYSTEM_GROUP), &found);
    if (rc != 0) {
        return rc;
    }
    const struct replica_status *replica = &found.replica;
    *out = (struct hf_node_group_status){
        .group = group,
        .role = found.is_started ? embed_status_role(replica->state) : HF_NODE_STOPPED,
        .term = replica->term,
        .leader = replica->leader,
        .first_index = replica->first_index,
        .last_index = replica->last_index,
        .durable_index = replica->durable_index,
        .commit_index = replica->commit_index,
        .applied_index = replica->applied_index,
        .snapshot_index = replica->snapshot_index,
        .lag = found.lag,
        .log_bytes = found.log_bytes,
        .proposals_waiting = found.proposals_in_flight,
        .digest = {found.digest[0], found.digest[1]},
        .is_healthy = found.is_started,
        .is_transferring = replica->transferring,
    };
    for (unsigned i = 0; i < replica->member_count; i++) {
        if (replica->members[i].role == REPLICA_ROLE_VOTER) {
            out->voters[out->voter_count++] = replica->members[i].node_id;
        }
    }
    snprintf(out->text, sizeof(out->text), "%s", found.text);
    return 0;
}

int hf_node_group_status(struct hf_node *embed, uint64_t group, struct hf_node_group_status *out)
{
    struct hf_node_group_status found = {.group = group};
    int rc = embed_look(embed, embed_status_look_group, &found);
    if (rc == 0) {
        *out = found;
    }
    return rc;
}

struct embed_status_member {
    uint32_t position;
    struct hf_node_member *out;
};

static int embed_status_look_member(struct hf_node *embed, void *arg)
{
    const struct embed_status_member *asked = arg;
    const struct membership *membership = node_membership(embed->node);
    if (asked->position >= membership->count) {
        return error_raise(HF_ENOTFOUND, "there is no member at position %" PRIu32, asked->position);
    }
    const struct membership_member *member = &membership->members[asked->position];
    *asked->out = (struct hf_node_member){.id = member->node.id, .role = (enum hf_node_member_role)member->role};
    snprintf(asked->out->peer, sizeof(asked->out->peer), "%s", member->node.peer_address);
    return 0;
}

int hf_node_member(struct hf_node *embed, uint32_t position, struct hf_node_member *out)
{
    struct embed_status_member asked = {position, out};
    return embed_look(embed, embed_status_look_member, &asked);
}

/* ---- Lines for operators ---- */

_Static_assert((int)HF_NODE_TRACE_DEBUG == (int)TRACE_DEBUG && (int)HF_NODE_TRACE_ERROR == (int)TRACE_ERROR,
               "the public levels are those of the trace");

static void (*embed_status_sink)(void *arg, int level, const char *line);

static void embed_status_trace(void *arg, enum trace_level level, const char *line)
{
    embed_status_sink(arg, (int)level, line);
}

void hf_node_trace(enum hf_node_trace_level level, void (*sink)(void *arg, int level, const char *line), void *arg)
{
    embed_status_sink = sink;
    trace_set_level((enum trace_level)level);
    trace_set_sink(sink != NULL ? embed_status_trace : NULL, arg);
}
