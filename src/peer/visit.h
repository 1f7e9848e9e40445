/* Who answers at an address? Dials, says hello, hears who is there, and leaves before the connection comes up: nobody
 * becomes anybody's peer, and no connection is replaced. For addresses that are not in use yet, and for a node that
 * wants to know whether it is still a member.
 *
 * Thread: the loop's. */
#ifndef PEER_VISIT_H
#define PEER_VISIT_H

#include "peer/peer.h"

struct visit;

/* result 0: somebody of our cluster answered as the node that was asked for; found is lent for the call. Otherwise
 * what the attempt ended with, the other side's refusal included, with its text. The visit is over. */
typedef void visit_done(void *arg, int result, const struct peer_identity *found);

/* identity: our own; node id 0 (PEER_NODE_VISITOR) asks on nobody's behalf. to_node_id: whom we mean. done never comes
 * from inside the call; on an error it does not come. */
int visit_start(struct loop *loop, const char *address, const struct peer_identity *identity, uint64_t to_node_id,
                visit_done *done, void *arg, struct visit **out);
/* Ends it without an answer. Accepts NULL. */
void visit_cancel(struct visit *visit);

#endif
