/* Reads of one group that go through the log's order: a read index per batch, one round for all that gathered in a
 * turn.
 *
 *   gathering ─turn's end→ waiting ─leader→ round ─index known→ confirmed ─applied→ answered
 *                             │ ↑             │
 *                             │ └─leader lost─┘
 *                             └─another node leads→ forwarded (node/relay.h)
 *
 * A batch keeps the bytes of its commands in one piece and is used again once it is empty. Barriers are reads without a
 * command. Stale reads are a batch that skips the round.
 *
 * Thread: the loop's. */
#ifndef NODE_READS_H
#define NODE_READS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/list.h"
#include "node/proposal.h"

struct hosted_group;

struct read_item {
    struct proposal_owner owner;
    size_t offset;
    uint32_t size;
    bool is_barrier;   /* answered with the index alone */
    bool is_forwarded; /* it made its one hop already */
};

struct read_batch {
    struct list link;
    struct hosted_group *group;
    struct buffer bytes;
    struct read_item *items;
    uint32_t count;
    uint32_t capacity;
    uint64_t deadline_ms; /* of the first item */
    uint64_t index;       /* once confirmed */
};

struct reads {
    struct read_batch *gathering; /* of this turn; NULL: none */
    struct read_batch *stale;     /* answered from the applied state at the turn's end; NULL: none */
    struct list waiting;          /* for a leader */
    struct list rounds;           /* asked; a batch whose time ran out stays here, empty, until its round ends */
    struct list confirmed;        /* waiting to be applied */
    uint32_t count;               /* items in all of them */
};

void reads_init(struct reads *reads);
/* Frees the batches; nobody waits any more and no round is under way. */
void reads_close(struct reads *reads);

/* Adds to the batch of this turn. */
void reads_add(struct hosted_group *group, struct hf_bytes command, struct read_item item, uint64_t deadline_ms);
void reads_add_stale(struct hosted_group *group, struct hf_bytes command, struct proposal_owner owner);
/* A barrier whose index the leader told. */
void reads_add_confirmed(struct hosted_group *group, struct read_item item, uint64_t index, uint64_t deadline_ms);

/* The turn's end: starts rounds, forwards, or leaves waiting; answers what is confirmed and applied, and stale reads.
 */
void reads_flush(struct hosted_group *group);
/* Answers everything whose time ran out, or everything. */
void reads_expire(struct hosted_group *group, uint64_t now_ms);
void reads_answer_all(struct hosted_group *group, int result);
uint64_t reads_deadline_ms(const struct reads *reads);
/* Something would happen in reads_flush. */
bool reads_are_runnable(const struct hosted_group *group);

struct hf_bytes read_batch_command(const struct read_batch *batch, uint32_t i);

#endif
