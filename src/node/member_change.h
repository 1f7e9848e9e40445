/* Changes of the members that people ask for, on any node: what can be seen only from here is checked first (who can be
 * reached, who answers at a new address), then the change goes to the system group, which decides (node/membership.h).
 * A node that is behind catches up before it checks.
 *
 * Thread: the loop's. */
#ifndef NODE_MEMBER_CHANGE_H
#define NODE_MEMBER_CHANGE_H

#include "node/node_state.h"

#define MEMBER_CHANGE_VISITS_MAX 16u /* addresses that are being checked; beyond it HF_EBUSY */
#define MEMBER_CHANGE_CHECKS_MAX 4u  /* of one change, when the members change between its check and its entry */

/* Answers who still waits for an address to be checked (HF_ECLOSED). */
void member_change_close(struct node *node);

/* Whether the change may be proposed as far as this node can see: the voters that would remain and can be reached from
 * here must be a majority. 0, HF_EUNSAFE, HF_EVERSION, HF_ENOTFOUND. */
int member_change_check(const struct node *node, const struct membership_change *change);

#endif
