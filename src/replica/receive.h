/* Raft messages that arrive: decoded, checked for what the core only asserts, guarded, and fed. */
#ifndef REPLICA_RECEIVE_H
#define REPLICA_RECEIVE_H

#include "replica/replica.h"

int receive_raft(struct replica *replica, uint64_t from_node, struct hf_bytes payload);

#endif
