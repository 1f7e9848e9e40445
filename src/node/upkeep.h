/* What a node looks after by itself, a few times a second: the health of its log, the clocks of the cluster, what the
 * system group has still to agree on, and who should lead.
 *
 * Thread: the loop's. */
#ifndef NODE_UPKEEP_H
#define NODE_UPKEEP_H

#include "node/node_state.h"

#define UPKEEP_INTERVAL_MS 100u

void upkeep_run(struct node *node);

/* Tells the others when it changed whether this node should lead. */
void upkeep_tell_fitness(struct node *node);

/* FRAME_CLOCK: answers a question, or learns from an answer. */
int upkeep_receive_clock(struct node *node, struct node_peer *peer, struct hf_bytes payload);

/* When the node starts, before anything is committed: its log already says under which incarnations the nodes are
 * known. HF_EMISMATCH when this node itself is known under another one. */
int upkeep_scan_registrations(struct node *node);
/* The same, of what lies before its log: once the system group was opened, with the state of its snapshot. */
int upkeep_check_registration(const struct node *node);

#endif
