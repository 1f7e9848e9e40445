/* From what the members should be to what the groups say: every leader compares the membership with its group's
 * configuration, and proposes one change at a time until they agree:
 *
 *   a member that is missing             → stand-by
 *   a stand-by that should be a voter    → voter, once it has caught up
 *   a voter that should be a stand-by    → stand-by
 *   one that leaves, or left             → out of the configuration
 *
 * Nothing of this is remembered: a leader that comes next, or a node that starts again, looks and goes on. A leader
 * never demotes or removes itself; it hands the group over first (node/balance.h). A stand-by has caught up when it
 * holds everything that was in the leader's log at the leader's previous look, RECONCILE_ROUND_MS ago or more: what it
 * still lacks then is what it takes to replicate one such interval (the last round of Ongaro, "Consensus", 4.2.1).
 *
 * The system group lets go of a member last, once no other group names it: until then the member hears that it leaves,
 * and hands over what it leads. Then it is forgotten. Both are decided by the system group's leader, which looks at its
 * own replicas of the groups; since any of them may lag behind, or not be a member yet, every group is asked first (a
 * barrier each), so that what was committed before is seen. Where a group is closed, the system group is handed over. A
 * member that is forgotten while a group still counts on its vote would be called by nobody any more.
 *
 * Thread: the loop's. */
#ifndef NODE_RECONCILE_H
#define NODE_RECONCILE_H

#include "node/node_state.h"

#define RECONCILE_ROUND_MS       100u
#define RECONCILE_GROUPS_PER_RUN 1024u
#define RECONCILE_RETRY_MS       1000u /* after groups that did not answer */

/* What a leader knows when it decides, and what it decides. */
struct reconcile_view {
    const struct membership *membership;
    uint64_t self;
    const struct replica_member *members; /* of the configuration, ascending */
    unsigned count;
    /* Whether a stand-by holds enough to vote. */
    bool (*has_caught_up)(void *arg, uint64_t node_id);
    /* Whether one that leaves may be let go of already. */
    bool (*may_drop)(void *arg, uint64_t node_id);
    void *arg;
};
enum reconcile_verdict {
    RECONCILE_SETTLED, /* nothing is left to do */
    RECONCILE_WAIT,    /* something is, and cannot be done yet, or not here */
    RECONCILE_CHANGE   /* propose what stands in members */
};
/* members holds REPLICA_MEMBERS_MAX. */
enum reconcile_verdict reconcile_decide(const struct reconcile_view *view, struct replica_member *members,
                                        unsigned *count);

/* Looks at the groups that are led here. Called by the node's upkeep. */
void reconcile_run(struct node *node);
/* As leader of the system group: what the membership itself needs, as a command; empty: nothing. */
void reconcile_system(struct node *node, struct buffer *command);

#endif
