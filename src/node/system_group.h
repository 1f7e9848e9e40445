/* The state machine of group 1: what the cluster agreed on about itself. Version 1 holds the cluster description, and
 * the incarnation under which each node was first seen, so that a node whose disk was wiped cannot come back under its
 * old name and deny what it acknowledged (HAZARDS row 18).
 *
 * Payload of an entry, little-endian:
 *   0  1  version = 1     1  1  zero     2  2  number of commands, ≥ 1     4  …  commands, each with a u32 length
 * before it Command: 0  1  version = 1     1  1  kind: enum system_kind     2  2  zero     4  …  body
 *     SYSTEM_DESCRIPTION  the description's encoding (node/description.h); the first command of every cluster
 *     SYSTEM_REGISTER     node id u64, node incarnation u64; the first one for a node counts, later ones change nothing
 *
 * An unknown version or kind stops the group with HF_EVERSION: a newer program wrote it, and skipping it would let this
 * replica differ. A description other than this node's stops it with HF_EMISMATCH.
 *
 * Thread: the loop's. */
#ifndef NODE_SYSTEM_GROUP_H
#define NODE_SYSTEM_GROUP_H

#include "node/node.h"

#define SYSTEM_VERSION 1u

/* Numbers are in the log: never reuse one. */
enum system_kind { SYSTEM_DESCRIPTION = 1, SYSTEM_REGISTER = 2 };

struct system_group; /* the machine that the ops below open */

/* For a group whose `arg` is the description (lent for the machine's life). */
const struct node_machine_ops *system_group_ops(void);

bool system_group_has_description(const struct system_group *system);
/* The incarnation under which a node is registered; 0: not yet. */
uint64_t system_group_incarnation(const struct system_group *system, uint64_t node_id);

/* Commands for node_propose's path. */
void system_group_describe(const struct description *description, struct buffer *command);
void system_group_register(uint64_t node_id, uint64_t incarnation, struct buffer *command);

/* Reads what an entry registers without applying it. A registration that is only in our log is as true as a committed
 * one: a leader saw the node under that incarnation. Asked when the node starts, before anything is committed. */
typedef void system_group_registered(void *arg, uint64_t node_id, uint64_t incarnation);
int system_group_scan(struct hf_bytes payload, system_group_registered *registered, void *arg);

#endif
