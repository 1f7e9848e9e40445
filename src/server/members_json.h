/* The members as JSON: what the cluster wants of each, and how far its groups are, as this node knows it.
 *
 * {"cluster", "version", "feature_level", "routing_version", "groups", "members": [{"node", "role", "peer", "address",
 * "http", "incarnation" (hexadecimal), "up", "self", "votes_in", "standby_in"}]}
 *
 * Thread: the loop's. */
#ifndef SERVER_MEMBERS_JSON_H
#define SERVER_MEMBERS_JSON_H

#include "node/node.h"

struct members_json_groups {
    uint32_t voter;   /* groups whose latest configuration, here, names it as a voter */
    uint32_t standby; /* … as a stand-by */
    uint32_t all;
};
void members_json_count(struct node *node, uint64_t node_id, struct members_json_groups *out);
bool members_json_is_up(struct node *node, uint64_t node_id);
void members_json_write(struct node *node, struct buffer *out);

#endif
