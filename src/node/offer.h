/* A snapshot on its way out, to one member of one group. The leader offers it (consensus carries the manifest); the
 * member then fetches chunks, in any order and as often as it likes, from whoever has the snapshot, leader or not.
 *
 * What was asked for and has not left yet is not sent a second time when it is asked for again: over a slow link the
 * answers may take longer than a receiver waits.
 *
 * While a member goes on fetching, the same snapshot is offered to it, also when there are newer ones; the file stays,
 * and so does the log behind it (offer_floor). When the leader knows that the member has it, or after OFFER_IDLE_MS
 * without a question, the offer is forgotten.
 *
 * Thread: the loop's; chunks are read by a worker, one at a time per offer. */
#ifndef NODE_OFFER_H
#define NODE_OFFER_H

#include "node/hosted_group.h"

#define OFFER_IDLE_MS     30000u
#define OFFER_REPEAT_MS   200u /* between two offers to the same member */
#define OFFER_SENDING_MAX 4u   /* chunks of one offer that wait for the socket; the next is read when one left */

struct node;

/* What is known of one, for status. */
struct offer_status {
    uint64_t node_id;
    uint64_t group;
    uint64_t index;
    uint64_t bytes_sent;
    uint64_t bytes_total;
    uint64_t started_ms; /* of the first question, loop_now_ms */
};

/* The leader's engine asks for it. */
void offer_wanted(struct hosted_group *group, uint64_t to_node);
/* FRAME_SNAPSHOT_FETCH. HF_EPROTOCOL. */
int offer_receive_fetch(struct hosted_group *group, uint64_t from, struct hf_bytes payload);
void offer_peer_down(struct node *node, uint64_t node_id);
/* Up to where the log of the group may be dropped. */
uint64_t offer_floor(const struct hosted_group *group);
/* Forgets what is idle. */
void offer_run(struct node *node);
/* No worker runs any more. */
void offer_close_all(struct node *node);
/* Walks those that are being fetched: position from 0; HF_ENOTFOUND at the end. */
int offer_status(const struct node *node, uint32_t position, struct offer_status *out);

#endif
