/* Who should lead: the leaders of the groups spread over the nodes, and nobody leads who should not.
 *
 * The group with ordinal k belongs with the first node in the order voters[k], voters[k + 1], … (modulo their number,
 * in the order of their ids; the system group after the last ordinal) that is connected, has a good clock, holds the
 * log and is a voter of the group already. A leader that knows a better one hands over. So every leader decides for
 * itself, and with all nodes up each leads its share.
 *
 * A node that should not lead (it is leaving, it should not be a voter, its clock is off, its log has not finished a
 * write for too long) says so to the others, and hands what it leads to any node that is fit; one that is to lose its
 * vote, to any voter that is connected when none is fit.
 *
 * A transfer that does not succeed is tried again after a time that doubles. Leadership that was given on purpose
 * (node_transfer) stays for BALANCE_HOLD_MS.
 *
 * Thread: the loop's. */
#ifndef NODE_BALANCE_H
#define NODE_BALANCE_H

#include "node/node_state.h"

#define BALANCE_START_MS       10000u /* after the start, leaders settle quickly */
#define BALANCE_START_HOLD_MS  200u
#define BALANCE_HOLD_MS        15000u /* later, a leader leads at least so long */
#define BALANCE_PEER_UP_MS     200u   /* a node must be connected so long, after our start or when we must leave … */
#define BALANCE_PEER_BACK_MS   10000u /* … and else, as one that came back into a running cluster may leave again */
#define BALANCE_RETRY_MIN_MS   500u
#define BALANCE_RETRY_MAX_MS   60000u
#define BALANCE_LEAVE_RETRY_MS 1000u /* of a node that should not lead */
#define BALANCE_LAG_MAX        1024u /* entries that the next leader may lack when the transfer starts */
#define BALANCE_GROUPS_PER_RUN 1024u
#define BALANCE_STALL_MS       2000u /* the log has not finished a write for so long */

/* Looks at the groups that are led here, some at a time. Called by the node's upkeep. */
void balance_run(struct node *node);
/* Whether this node should lead nothing. */
bool balance_is_unfit(struct node *node);

/* After a start, the group's first choice stands for election before the others. */
bool balance_stands_first(struct node *node, const struct hosted_group *group);

#endif
