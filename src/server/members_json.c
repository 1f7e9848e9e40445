#include "server/members_json.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>

void members_json_count(struct node *node, uint64_t node_id, struct members_json_groups *out)
{
    struct node_group_status status;
    *out = (struct members_json_groups){0};
    for (uint32_t i = 0; node_group_status(node, i, &status) == 0; i++) {
        out->all++;
        for (unsigned k = 0; k < status.replica.member_count; k++) {
            const struct replica_member *member = &status.replica.members[k];
            out->voter += member->node_id == node_id && member->role == REPLICA_ROLE_VOTER;
            out->standby += member->node_id == node_id && member->role == REPLICA_ROLE_STANDBY;
        }
    }
}

bool members_json_is_up(struct node *node, uint64_t id)
{
    return id == node_id(node) || (node_peers(node) != NULL && peer_is_up(node_peers(node), id));
}

static json_t *members_json_row(struct node *node, const struct membership_member *member)
{
    struct members_json_groups groups;
    char incarnation[17];
    members_json_count(node, member->node.id, &groups);
    snprintf(incarnation, sizeof(incarnation), "%016" PRIx64, member->incarnation);
    return json_pack("{s:I, s:s, s:s, s:s, s:s, s:s, s:b, s:b, s:I, s:I}", "node", (json_int_t)member->node.id, "role",
                     membership_role_name(member->role), "peer", member->node.peer_address, "address",
                     member->node.client_address, "http", member->node.http_address, "incarnation", incarnation, "up",
                     (int)members_json_is_up(node, member->node.id), "self", (int)(member->node.id == node_id(node)),
                     "votes_in", (json_int_t)groups.voter, "standby_in", (json_int_t)groups.standby);
}

void members_json_write(struct node *node, struct buffer *out)
{
    const struct membership *membership = node_membership(node);
    const struct description *description = node_description(node);
    char cluster[33];
    json_t *members = json_array();
    description_cluster_id_text(description, cluster);
    for (uint32_t i = 0; i < membership->count; i++) {
        json_array_append_new(members, members_json_row(node, &membership->members[i]));
    }
    json_t *json = json_pack("{s:s, s:I, s:I, s:I, s:I, s:o}", "cluster", cluster, "version",
                             (json_int_t)membership->version, "feature_level", (json_int_t)membership->feature_level,
                             "routing_version", (json_int_t)description->routing_version, "groups",
                             (json_int_t)description->group_count + 1, "members", members);
    char *text = json_dumps(json, JSON_COMPACT);
    buffer_append_text(out, text);
    free(text);
    json_decref(json);
}
