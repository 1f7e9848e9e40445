/* What one group of this node forwarded and waits for: a ring of requests by their ids, which are given out in order.
 * A place stays until it and all places before it are done, so that finding one costs nothing.
 *
 *   queued   in a message that the hub holds: nothing left this node, the message may come back
 *   sent     its first byte may have left: an answer, or an unknown outcome
 *
 * Thread: the loop's. */
#ifndef NODE_FORWARD_TABLE_H
#define NODE_FORWARD_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "node/forward.h"
#include "node/proposal.h"

enum forward_state { FORWARD_STATE_NONE = 0, FORWARD_STATE_QUEUED, FORWARD_STATE_SENT };

struct forward_entry {
    struct proposal_owner owner;
    uint64_t deadline_ms;
    uint64_t node_id;
    enum forward_kind kind;
    enum forward_state state;
};

struct forward_table {
    struct forward_entry *entries; /* a ring; the capacity is a power of two */
    size_t first;
    size_t count;
    size_t capacity;
    uint64_t id_first;          /* of the entry at `first`; 0 before the first use, which makes it 1 */
    size_t proposals_in_flight; /* of kind FORWARD_PROPOSE in any state but NONE */
};

void forward_table_close(struct forward_table *table); /* must be empty */
/* Adds a queued request and returns its id. */
uint64_t forward_table_add(struct forward_table *table, struct forward_entry entry);
/* NULL: done already, or never was. Lent until the next add or take. */
struct forward_entry *forward_table_find(struct forward_table *table, uint64_t id);
/* Ends a request and hands out what it was. HF_ENOTFOUND: done already, or never was. */
int forward_table_take(struct forward_table *table, uint64_t id, struct forward_entry *out);
/* The id of the first request at or behind `id` that is not done; 0 when there is none. Walk: id = 1, then id + 1. */
uint64_t forward_table_next(const struct forward_table *table, uint64_t id);
uint64_t forward_table_deadline_ms(const struct forward_table *table); /* UINT64_MAX when empty */

#endif
