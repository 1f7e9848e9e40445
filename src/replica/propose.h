/* What this member proposes: entries, configurations, the no-op at the start of a term, and transfers of leadership. */
#ifndef REPLICA_PROPOSE_H
#define REPLICA_PROPOSE_H

#include "replica/replica.h"

/* Proposes the no-op that a term needs when the engine did not propose its own barrier. True when it went out. */
bool propose_noop(struct replica *replica);

int propose_entries(struct replica *replica, const struct hf_bytes *payloads, unsigned count, uint64_t stamp_ms,
                    uint64_t *index, uint64_t *term);
/* HF_EUNSAFE when fewer voters than voters_min would remain where there were two. */
int propose_configuration(struct replica *replica, const struct replica_member *members, unsigned count,
                          unsigned voters_min);
int propose_transfer(struct replica *replica, uint64_t to_node);

#endif
