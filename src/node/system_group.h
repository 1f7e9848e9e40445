/* The state machine of group 1: what the cluster agreed on about itself. It holds the cluster description; the members
 * that came of it (node/membership.h); and the incarnation under which each was first seen, so that a node whose disk
 * was wiped cannot come back under its old name and deny what it acknowledged (H18).
 *
 * Payload of an entry, little-endian:
 *   0  1  version = 1     1  1  zero     2  2  number of commands, ≥ 1     4  …  commands, each with a u32 length
 * before it Command: 0  1  version = 1     1  1  kind: enum system_kind     2  2  zero     4  …  body
 *     SYSTEM_DESCRIPTION  the description's encoding (node/description.h); the first command of every cluster
 *     SYSTEM_REGISTER     node id u64, node incarnation u64; the first one for a node counts, later ones change nothing
 *     SYSTEM_JOIN … SYSTEM_FEATURES  a change of the members: its body in node/membership.h, its reply the outcome.
 *                         Proposed only at feature level 2 or above; SYSTEM_FEATURES once every member supports it
 *
 * An unknown version or kind stops the group with HF_EVERSION: a newer program wrote it, and skipping it would let this
 * replica differ. A description other than this node's stops it with HF_EMISMATCH.
 *
 * Thread: the loop's. */
#ifndef NODE_SYSTEM_GROUP_H
#define NODE_SYSTEM_GROUP_H

#include "node/membership.h"
#include "node/node.h"

#define SYSTEM_VERSION 1u

/* Numbers are in the log: never reuse one. */
enum system_kind {
    SYSTEM_DESCRIPTION = 1,
    SYSTEM_REGISTER = 2,
    SYSTEM_JOIN = 3,
    SYSTEM_ROLE = 4,
    SYSTEM_ADDRESS = 5,
    SYSTEM_FORGET = 6,
    SYSTEM_FEATURES = 7
};

struct system_group; /* the machine that the ops below open */

/* For a group whose `arg` is the description (lent for the machine's life). */
const struct node_machine_ops *system_group_ops(void);

bool system_group_has_description(const struct system_group *system);
/* The incarnation under which a node is registered; 0: not yet. */
uint64_t system_group_incarnation(const struct system_group *system, uint64_t node_id);
/* As applied so far; lent for the machine's life. */
const struct membership *system_group_membership(const struct system_group *system);

/* Commands for node_propose's path. */
void system_group_describe(const struct description *description, struct buffer *command);
void system_group_register(uint64_t node_id, uint64_t incarnation, struct buffer *command);
/* Whether it is a change of the members, well formed: what other nodes may send here on behalf of people. */
bool system_group_is_change(struct hf_bytes command);
void system_group_change(const struct membership_change *change, struct buffer *command);

/* Reads what an entry registers without applying it. A registration that is only in our log is as true as a committed
 * one: a leader saw the node under that incarnation. Asked when the node starts, before anything is committed. */
typedef void system_group_registered(void *arg, uint64_t node_id, uint64_t incarnation);
int system_group_scan(struct hf_bytes payload, system_group_registered *registered, void *arg);

#endif
