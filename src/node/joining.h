/* A machine that asks to become a node: it answers at the address that it will have, under the id PEER_NODE_JOINING and
 * the incarnation that it drew, so that the cluster can see who is there before it changes anything. Once the cluster
 * has answered with an id, directory_join_finish makes the data directory.
 *
 * Thread: the loop's. */
#ifndef NODE_JOINING_H
#define NODE_JOINING_H

#include "io/io.h"
#include "net/loop.h"
#include "peer/peer.h"

struct joining;

/* HF_EBUSY: the port is in use; HF_EUNSAFE: not a loopback address. */
int joining_open(struct io *io, struct loop *loop, const uint8_t cluster_id[PEER_CLUSTER_ID_SIZE],
                 uint64_t routing_version, uint64_t incarnation, const char *peer_address, struct joining **out);
void joining_close(struct joining *joining); /* accepts NULL */

#endif
