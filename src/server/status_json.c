#include "server/status_json.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "log/log.h"

static const char *role_name(const struct node_group_status *status)
{
    static const char *const names[] = {"follower", "candidate", "leader", "frozen"};
    return status->is_started ? names[status->replica.state] : "stopped";
}

static json_t *members_json(const struct replica_status *replica)
{
    json_t *members = json_array();
    for (unsigned i = 0; i < replica->member_count; i++) {
        json_array_append_new(members, json_integer((json_int_t)replica->members[i].node_id));
    }
    return members;
}

static json_t *group_json(const struct node_group_status *status)
{
    const struct replica_status *replica = &status->replica;
    return json_pack("{s:I, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:I, s:b, s:o, s:s}",
                     "group", (json_int_t)status->group, "ordinal",
                     status->ordinal == UINT32_MAX ? (json_int_t)-1 : (json_int_t)status->ordinal, "role",
                     role_name(status), "leader", (json_int_t)replica->leader, "term", (json_int_t)replica->term,
                     "vote", (json_int_t)replica->vote, "commit", (json_int_t)replica->commit_index, "applied",
                     (json_int_t)replica->applied_index, "last", (json_int_t)replica->last_index, "durable",
                     (json_int_t)replica->durable_index, "first", (json_int_t)replica->first_index, "lag",
                     (json_int_t)status->lag, "log_bytes", (json_int_t)status->log_bytes, "snapshot",
                     (json_int_t)replica->snapshot_index, "log_entries", (json_int_t)status->log_entries, "log_capped",
                     status->is_log_capped, "members", members_json(replica), "text", status->text);
}

static json_t *groups_json(struct node *node)
{
    json_t *groups = json_array();
    struct node_group_status status;
    for (uint32_t position = 0; node_group_status(node, position, &status) == 0; position++) {
        json_array_append_new(groups, group_json(&status));
    }
    return groups;
}

const char *status_json_peer_address(const struct server_options *options, const struct description_node *member)
{
    for (uint32_t i = 0; i < options->peer_address_count; i++) {
        if (options->peer_addresses[i].node_id == member->id) {
            return options->peer_addresses[i].client_address;
        }
    }
    return member->client_address;
}

static json_t *peers_json(struct node *node, const struct server_options *options)
{
    json_t *peers = json_array();
    const struct membership *membership = node_membership(node);
    for (uint32_t i = 0; i < membership->count; i++) {
        const struct description_node *member = &membership->members[i].node;
        struct peer_status status;
        if (member->id == node_id(node) || peer_status(node_peers(node), member->id, &status) != 0) {
            continue;
        }
        json_array_append_new(peers, json_pack("{s:I, s:s, s:b, s:s}", "node", (json_int_t)member->id, "address",
                                               status_json_peer_address(options, member), "up", status.up, "error",
                                               status.last_error));
    }
    return peers;
}

static json_t *log_json(const struct hf_log_stat *stat)
{
    return json_pack("{s:I, s:I, s:I, s:s}", "segments", (json_int_t)stat->segments, "bytes",
                     (json_int_t)stat->bytes_on_disk, "oldest_unsynced_ms",
                     (json_int_t)(stat->oldest_unsynced_ns / 1000000), "failure",
                     stat->failure != 0 ? stat->failure_text : "");
}

static json_t *snapshots_json(struct node *node)
{
    struct node_snapshot_status status;
    struct node_transfer_status transfer;
    json_t *transfers = json_array();
    node_snapshot_status(node, &status);
    for (uint32_t i = 0; node_transfer_status(node, i, &transfer) == 0; i++) {
        json_array_append_new(transfers,
                              json_pack("{s:s, s:I, s:I, s:I, s:s, s:I, s:I, s:I, s:I}", "direction",
                                        transfer.is_incoming ? "in" : "out", "node", (json_int_t)transfer.node_id,
                                        "group", (json_int_t)transfer.group, "index", (json_int_t)transfer.index,
                                        "phase", transfer.phase, "bytes_done", (json_int_t)transfer.bytes_done,
                                        "bytes_total", (json_int_t)transfer.bytes_total, "bytes_per_s",
                                        (json_int_t)transfer.bytes_per_s, "left_ms", (json_int_t)transfer.left_ms));
    }
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:s, s:I, s:I, s:I, s:I, s:I, s:o}", "taken", (json_int_t)status.taken,
                     "failed", (json_int_t)status.failed, "failed_in_row", (json_int_t)status.failed_in_row,
                     "installed", (json_int_t)status.installed, "last_ms", (json_int_t)status.last_wall_ms, "failure",
                     status.text, "running_group", status.is_running ? (json_int_t)status.running_group : (json_int_t)0,
                     "bytes_done", status.is_running ? (json_int_t)status.bytes_done : (json_int_t)0, "bytes_expected",
                     status.is_running ? (json_int_t)status.bytes_expected : (json_int_t)0, "bytes_per_s",
                     status.is_running ? (json_int_t)status.bytes_per_s : (json_int_t)0, "left_ms",
                     status.is_running ? (json_int_t)status.left_ms : (json_int_t)0, "transfers", transfers);
}

static json_t *memory_json(const struct ledger *ledger)
{
    json_t *json = json_pack("{s:I, s:I, s:I, s:b}", "limit", (json_int_t)ledger->limit_bytes, "held",
                             (json_int_t)(ledger->total_bytes - ledger->bytes[LEDGER_EXPECTED]), "peak",
                             (json_int_t)ledger->peak_bytes, "full", ledger->is_full);
    for (unsigned i = 0; i < LEDGER_ACCOUNT_COUNT; i++) {
        json_object_set_new(json, ledger_account_name((enum ledger_account)i),
                            json_integer((json_int_t)ledger->bytes[i]));
    }
    return json;
}

void status_json_write(struct node *node, const struct status_addresses *addresses, struct buffer *out)
{
    const struct description *description = node_description(node);
    const struct membership_member *self = membership_find(node_membership(node), node_id(node));
    char cluster[33];
    struct hf_log_stat stat;
    description_cluster_id_text(description, cluster);
    hf_log_stat(node_log(node), &stat);
    json_t *json = json_pack("{s:I, s:i, s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:o, s:o, s:o, s:o}", "node",
                             (json_int_t)node_id(node), "pid", (int)addresses->process_id, "cluster", cluster,
                             "version", HF_VERSION, "address", addresses->client, "http", addresses->http, "peer",
                             self != NULL ? self->node.peer_address : "", "io", stat.io_name, "groups",
                             groups_json(node), "peers", peers_json(node, addresses->options), "log", log_json(&stat),
                             "memory", memory_json(node_ledger(node)), "snapshots", snapshots_json(node));
    char *text = json_dumps(json, JSON_COMPACT);
    buffer_append_text(out, text);
    free(text);
    json_decref(json);
}
