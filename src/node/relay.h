/* Forwarding: what this node sends on to the leaders of groups, and what it does for others as a leader.
 *
 * A request is sent once, over one hop. Until its message is encoded nothing left this node, and a broken connection
 * ends it with HF_ENOLEADER (nothing was proposed). From then on a proposal ends with the leader's answer or with
 * HF_EINDETERMINATE; a read, which changes nothing, with the answer or HF_ENOLEADER.
 *
 * Order: commands of a group go to one node at a time. When the leader changes while proposals are under way to the old
 * one, later ones wait until those have ended (its answers usually arrive; if not, RELAY_GRACE of the election timeout
 * ends them), so that a late frame cannot take effect behind a later command.
 *
 * Thread: the loop's. */
#ifndef NODE_RELAY_H
#define NODE_RELAY_H

#include "node/hosted_group.h"

struct node_peer;

/* Forwards every waiting proposal of the group to a node. */
void relay_proposals(struct hosted_group *group, struct node_peer *peer);
/* Asks a node that leads the group to hand leadership over. */
void relay_transfer(struct hosted_group *group, struct node_peer *peer, uint64_t to_node, struct proposal_owner owner);
/* Forwards a batch of reads and leaves it empty. */
void relay_reads(struct hosted_group *group, struct read_batch *batch, struct node_peer *peer);
/* Sends the answers that gathered in the turn. */
void relay_flush_answers(struct hosted_group *group);

/* Messages that came in. HF_EPROTOCOL: ignored. */
int relay_receive_requests(struct hosted_group *group, struct node_peer *from, struct hf_bytes payload);
int relay_receive_answers(struct hosted_group *group, struct node_peer *from, struct hf_bytes payload);

/* The connection to a node ended: ends everything that was sent over it. */
void relay_peer_down(struct hosted_group *group, uint64_t node_id);
/* Ends what was sent to any node but `node_id` (0: to any node at all). */
void relay_abandon(struct hosted_group *group, uint64_t node_id);
void relay_expire(struct hosted_group *group, uint64_t now_ms);

#endif
