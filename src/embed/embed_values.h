/* The built-in machine: keys and values in one tree of a memory store.
 *
 * A command (little-endian), what is left over is malformed:
 *   0   1    version = 1
 *   1   1    kind: 1 put, 2 delete, 3 compare and swap, 4 one that its leader refused (with an empty key)
 *   2   2    flags: compare and swap: 1 a value is expected, 2 a new value is given; otherwise 0
 *   4   4+n  key, at most 4,096 bytes
 *       4+n  put: the value; compare and swap: the expected value, if any
 *       4+n  compare and swap: the new value, if any
 * A query: version u8 = 1, kind u8 = 1 (get), u16 = 0, sized key.
 * Every reply: u8 1 (there was a value) or 0, u8 outcome (1 it holds now, 0 another value was expected, 2 refused),
 * then the bytes of an answer that has some: the value of a get, what a compare and swap found instead of what it
 * expected.
 *
 * Commands come from other nodes too. The leader puts kind 4 in the place of one that is malformed or not known to it,
 * because in the log it would stop the group on every node (HF_EPROTOCOL, HF_EVERSION). */
#ifndef EMBED_EMBED_VALUES_H
#define EMBED_EMBED_VALUES_H

#include <stdbool.h>

#include "base/buffer.h"
#include "holdfast/node.h"

const struct hf_node_machine *embed_values_machine(void);

void embed_values_put(struct hf_bytes key, struct hf_bytes value, struct buffer *command);
void embed_values_delete(struct hf_bytes key, struct buffer *command);
void embed_values_swap(struct hf_bytes key, const struct hf_bytes *expected, const struct hf_bytes *value,
                       struct buffer *command);
void embed_values_get(struct hf_bytes key, struct buffer *query);

/* Appends what shall stand in the log instead of a command that cannot; nothing for a good one. */
void embed_values_check(struct hf_bytes command, struct buffer *instead);

struct embed_values_reply {
    bool existed;
    bool holds;
    struct hf_bytes value; /* lent from the reply */
};
int embed_values_reply(struct hf_bytes bytes, struct embed_values_reply *out); /* HF_EPROTOCOL */

#endif
