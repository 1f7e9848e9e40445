/* Who the others are, while a node runs: the newest membership that it knows, a slot per member, the hub that talks to
 * them. The membership begins with what the data directory says, follows what the system group applies, and is written
 * to the data directory whenever it changed, so that a node that comes back knows where to find the others.
 *
 * FRAME_FEATURES (group 0, both ways, first thing on every connection), little-endian, 8 bytes:
 *   0  1  version = 1      1  3  zero      4  4  feature level that the program supports
 * A program that does not send it supports level 1.
 *
 * FRAME_MEMBERS (group 0, when a connection comes up and whenever the sender learned something): the membership as
 * node/membership.h encodes it. A node takes over what is newer than what it knows. Without that, a node that does not
 * know the leader of the system group yet, since that one joined a moment ago, would refuse the only one that could
 * tell.
 *
 * Slots do not move while their member stays; a slot of one that left is used again.
 *
 * Thread: the loop's. */
#ifndef NODE_MEMBERS_H
#define NODE_MEMBERS_H

#include "node/node_state.h"

#define MEMBERS_FEATURES_SIZE   8u
#define MEMBERS_ASK_INTERVAL_MS 2000u /* a node that others should dial asks so often whether it still is a member */
#define MEMBERS_WRITE_RETRY_MS  1000u

/* Fills membership and slots from the directory. */
void members_begin(struct node *node);
/* Opens the hub, unless the node has no peer address and no others to talk to. */
int members_open_hub(struct node *node);
void members_close(struct node *node);

/* At a turn's end: takes over what the system group applied since, or what somebody told. */
void members_follow(struct node *node);
/* Now and then: a directory that could not be written, a connection that does not come. */
void members_run(struct node *node);

/* The peer's slot; NULL: no member. */
struct node_peer *members_slot(struct node *node, uint64_t node_id);
/* Slots of the members that should be voters, in ascending order of ids. */
uint32_t members_voters(struct node *node, struct node_peer *out[MEMBERSHIP_MEMBERS_MAX]);
bool members_is_voter(const struct node *node, uint64_t node_id);

/* Another node says that this one is no member any more: its groups stop at the turn's end. */
void members_hear_removed(struct node *node, uint64_t from_node, const char *text);

void members_peer_up(struct node *node, struct node_peer *peer); /* tells it what we support, and whom we know */
int members_receive(struct node *node, struct hf_bytes payload);
int members_receive_features(struct node_peer *peer, struct hf_bytes payload);
/* What every member that is not leaving supports. Those that were not heard of since this node started count as 1. */
uint32_t members_features(const struct node *node);

/* peer_callbacks.admit: is it the node that we know? The first incarnation that is seen counts, even before the cluster
 * has agreed on it. */
int members_admit(void *arg, uint64_t node_id, uint64_t node_incarnation);

#endif
