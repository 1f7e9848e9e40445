/* A member that may have lost what it acknowledged: it ran with a sync policy that acknowledges before the device has
 * the bytes, and did not stop cleanly. Its term and its vote are safe, entries at the end of its log may be gone, and
 * with them committed ones. Until a leader has brought it back to where it may have been, it neither votes nor stands:
 *
 *   hears a leader of its term ── question ──→ the leader says where its log ends ──→ has all of that ──→ votes again
 *
 * What this member acknowledged and is, or still may be, committed, is in the log of that leader: it was elected
 * without this member's vote, or by a vote that is durable, and with it everything before. An answer is therefore good
 * for the term of the leader only.
 *
 * A leader that has led since before the loss believes that the member still has what it acknowledged then, and the
 * core never sends an entry twice that was acknowledged. So with its answer it sends these entries itself.
 *
 * An answer belongs to a question of this process: one that was given before the loss, and was on its way meanwhile,
 * says where the leader's log ended then.
 *
 * When nobody leads, and by its configuration and by what its owner knows nobody else has a vote any more, there is
 * nobody to ask: the member goes on (docs/decisions/0016), unless it was told of more than it has.
 *
 * FRAME_REJOIN, 40 bytes, little-endian:
 *   0      4     version = 2
 *   4      4     kind: 1 question, 2 answer
 *   8      8     term, in which the answering node leads
 *   16     8     question: an index up to which the member's log is known to be the leader's; answer: where that ends
 *   24     8     question: 0; answer: up to where entries follow, 0: none do
 *   32     8     question: drawn once by the process that asks; answer: that of the question
 * Version 1 ends before the last of these. It is answered in kind, and never believed.
 * Thread: the loop's. */
#ifndef REPLICA_REJOIN_H
#define REPLICA_REJOIN_H

#include "replica/replica.h"

#define REJOIN_VERSION      2u
#define REJOIN_FRAME_SIZE   40u
#define REJOIN_FRAME_SIZE_1 32u /* of version 1 */
#define REJOIN_RETRY_MS     200u
#define REJOIN_PATIENCE_MS  5000u /* while entries are on their way: since the last of them came */
#define REJOIN_ENTRIES_MAX  4096u /* that follow one answer */

struct rejoin {
    bool is_open;          /* no vote yet */
    uint64_t nonce;        /* of this process's questions; 0: none was asked */
    uint64_t asked_term;   /* 0: nobody was asked */
    uint64_t asked_ms;     /* or when entries came that were sent again */
    uint64_t known_index;  /* then */
    uint64_t target_term;  /* of the leader that answered; 0: none did */
    uint64_t target_index; /* where its log ended */
    uint64_t sent_index;   /* up to where it sent entries */
};

/* After a message of a leader: asks, or finds that all is here. */
void rejoin_run(struct replica *replica);
/* Nobody leads: whether the member goes on because nobody else has a vote. */
bool rejoin_ends_alone(struct replica *replica);
/* HF_EPROTOCOL: malformed. */
int rejoin_receive(struct replica *replica, uint64_t from_node, struct hf_bytes payload);

#endif
