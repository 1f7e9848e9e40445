/* From the log to the state machine: committed entries in index order, each once per open. Configurations pass through
 * the engine on their way (rule 16), also those that the state machine has already. */
#ifndef REPLICA_APPLY_H
#define REPLICA_APPLY_H

#include "replica/replica.h"

#define APPLY_READ_SIZE_BYTES (1u << 20)
#define APPLY_READ_COUNT      1024u

struct apply {
    uint64_t cursor;          /* entries up to here were handed over, or were there before */
    uint64_t applied_at_open; /* by the state machine; below it only configurations are looked at */
    uint64_t commit_known;    /* the highest commit index seen, the log's own at open included */
    size_t change_next;       /* of the replica's history: the first one that was not fed */
};

void apply_open(struct apply *apply, uint64_t snapshot_index, uint64_t applied_index, uint64_t commit_index);
/* Hands over what is committed. True when there was something. */
bool apply_run(struct replica *replica);

#endif
