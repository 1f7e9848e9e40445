/* The state machine as the node wants it (node_machine_ops): one memory store and one keyspace per routed group.
 * Thread: the loop's. */
#ifndef SERVER_SERVER_MACHINE_H
#define SERVER_SERVER_MACHINE_H

#include "node/node.h"
#include "server/machine.h"

/* What SCAN's cursors and RANDOMKEY need and the node does not know: how many routed groups there are, and a seed. */
void server_machine_settle(void *machine, uint32_t routed_count, uint64_t seed);
void server_machine_stat(void *machine, struct machine_stat *out);

#endif
