/* The members of a group: our encoding (drawn in replica.h), and the conversion to and from libraft's structures. The
 * address of a libraft server is its node id as decimal text: real addresses are looked up elsewhere. */
#ifndef REPLICA_REPLICA_CONFIGURATION_H
#define REPLICA_REPLICA_CONFIGURATION_H

#include <raft.h>

#include "replica/replica.h"

#define REPLICA_CONFIGURATION_VERSION     1u
#define REPLICA_CONFIGURATION_HEAD_SIZE   2u
#define REPLICA_CONFIGURATION_MEMBER_SIZE 9u
#define REPLICA_CONFIGURATION_SIZE_MAX \
    (REPLICA_CONFIGURATION_HEAD_SIZE + REPLICA_MEMBERS_MAX * REPLICA_CONFIGURATION_MEMBER_SIZE)
#define REPLICA_ADDRESS_SIZE 21u /* decimal digits of a u64 and the zero */

void replica_configuration_address(uint64_t node_id, char target[REPLICA_ADDRESS_SIZE]);

/* The new configuration is the caller's: raft_configuration_close, or an event that consumes it. */
void replica_configuration_to_raft(const struct replica_member *members, unsigned count,
                                   struct raft_configuration *out);
/* libraft's own encoding, which only the engine sees; raft_free(out->base). */
void replica_configuration_to_raft_buffer(const struct replica_member *members, unsigned count,
                                          struct raft_buffer *out);
/* Ascending, like the encoding. Returns the count; members holds REPLICA_MEMBERS_MAX. */
unsigned replica_configuration_from_raft(const struct raft_configuration *configuration,
                                         struct replica_member *members);

/* What may be encoded: 1 … REPLICA_MEMBERS_MAX members in ascending order, at least one of them a voter. HF_EINVALID.
 */
int replica_configuration_check(const struct replica_member *members, unsigned count);
unsigned replica_configuration_voters(const struct replica_member *members, unsigned count);
/* NULL when it is no member. */
const struct replica_member *replica_configuration_find(const struct replica_member *members, unsigned count,
                                                        uint64_t node_id);
/* In how many members the two differ: added, removed, or in another role. */
unsigned replica_configuration_distance(const struct replica_member *a, unsigned a_count,
                                        const struct replica_member *b, unsigned b_count);

#endif
