#include <stdio.h>

#include "base/error.h"
#include "node/fetch.h"
#include "node/node_state.h"
#include "node/offer.h"

const struct description *node_description(const struct node *node)
{
    return node->description;
}
uint64_t node_id(const struct node *node)
{
    return node->id;
}
struct hf_log *node_log(struct node *node)
{
    return node->log;
}
struct peer_hub *node_peers(struct node *node)
{
    return node->hub;
}
struct ledger *node_ledger(struct node *node)
{
    return &node->ledger;
}
const struct membership *node_membership(const struct node *node)
{
    return &node->membership;
}
bool node_is_removed(const struct node *node)
{
    return node->is_removed;
}
void node_counters(const struct node *node, struct node_counters *out)
{
    *out = node->counters;
}

int node_group_status(const struct node *node, uint32_t position, struct node_group_status *out)
{
    if (position >= node->groups_open) {
        return error_raise(HF_ENOTFOUND, "there is no group at position %u", position);
    }
    const struct hosted_group *group = &node->groups[position];
    struct hf_log_group_state state;
    *out = (struct node_group_status){.group = group->id, .ordinal = group->ordinal};
    if (group->replica != NULL) {
        replica_status(group->replica, &out->replica);
    }
    out->lag = out->replica.commit_index > group->applied_index ? out->replica.commit_index - group->applied_index : 0;
    if (hf_log_group_state(node->log, group->id, &state) == 0) {
        out->log_bytes = state.bytes_on_disk;
        out->log_entries = state.last_index + 1 > state.first_index ? state.last_index + 1 - state.first_index : 0;
    }
    group->ops->digest(group->machine, out->digest);
    out->proposals_in_flight = group->queue.count + group->pending.owners_count + group->forwards.proposals_in_flight;
    out->is_started = !group->is_failed && node->phase == NODE_RUNNING;
    out->snapshots_failed = group->snapshots.failures;
    out->is_log_capped = group->snapshots.is_cap_reached;
    const char *text = node->phase == NODE_FAILED ? node->failure_text : group->text;
    if (out->is_log_capped && *text == '\0') {
        text = "its log holds as many entries as it may (snapshot.entries_max): writes are refused until a snapshot "
               "succeeds";
    }
    if (out->replica.is_rejoining && *text == '\0') {
        text = "it may have lost what it acknowledged (log.sync_policy, no clean stop): no vote until a leader has "
               "brought it back. next, when no node leads: holdfast serve --accept-lost-writes";
    }
    snprintf(out->text, sizeof(out->text), "%s", text);
    return 0;
}

static void status_rate(const struct node *node, uint64_t started_ms, uint64_t moved, struct node_transfer_status *out)
{
    uint64_t took_ms = loop_now_ms(node->loop) - started_ms;
    out->bytes_per_s = took_ms > 0 ? moved * 1000 / took_ms : 0;
    uint64_t left = out->bytes_total > out->bytes_done ? out->bytes_total - out->bytes_done : 0;
    out->left_ms = out->bytes_per_s > 0 ? left * 1000 / out->bytes_per_s : 0;
}

int node_transfer_status(const struct node *node, uint32_t position, struct node_transfer_status *out)
{
    struct fetch_status fetch;
    struct offer_status offer;
    uint32_t fetches = 0;
    while (fetch_status(node, fetches, &fetch) == 0) {
        if (fetches++ == position) {
            *out = (struct node_transfer_status){.is_incoming = true,
                                                 .node_id = fetch.node_id,
                                                 .group = fetch.group,
                                                 .index = fetch.index,
                                                 .phase = fetch_phase_name(fetch.phase),
                                                 .bytes_done = fetch.bytes_done,
                                                 .bytes_total = fetch.bytes_total};
            status_rate(node, fetch.started_ms, fetch.bytes_done - fetch.bytes_resumed, out);
            return 0;
        }
    }
    if (offer_status(node, position - fetches, &offer) != 0) {
        return HF_ENOTFOUND;
    }
    *out = (struct node_transfer_status){.node_id = offer.node_id,
                                         .group = offer.group,
                                         .index = offer.index,
                                         .phase = "sending",
                                         .bytes_done = offer.bytes_sent,
                                         .bytes_total = offer.bytes_total};
    status_rate(node, offer.started_ms, offer.bytes_sent, out);
    return 0;
}
