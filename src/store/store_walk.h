/* Reads the stream of a store (store_stream.h) from pieces of any size, and hands out its entries, without a store:
 * what an import and whoever only looks at the contents have in common. Trusts nothing; memory: one entry.
 *
 * Order, sizes and counts are checked. The digest of the contents is only handed over: whoever keeps the entries
 * compares it. Thread: one at a time. */
#ifndef STORE_STORE_WALK_H
#define STORE_STORE_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buffer.h"
#include "holdfast/store.h"

/* Entries by tree, in ascending order of keys; lent for the call. A non-zero return stops the walk for good. */
typedef int store_walk_visit(void *arg, uint32_t tree, struct hf_bytes key, struct hf_bytes value);

struct store_walk {
    store_walk_visit *visit;
    void *arg;
    struct buffer rest;     /* the front of a record whose end has not come */
    struct buffer key_last; /* of the tree */
    int failure;            /* sticks */
    bool has_head;
    bool has_key_last;
    bool is_ended;
    uint32_t trees_left;
    uint32_t tree;
    uint64_t tree_entries_left;
    uint64_t entries;
    int64_t tree_last; /* number of the last tree, −1: none */
    struct hf_store_digest digest;
    struct hf_store_applied applied;
};

void store_walk_open(struct store_walk *walk, store_walk_visit *visit, void *arg);
/* HF_ECORRUPT, HF_EVERSION, or what visit returned; from then on always that. */
int store_walk_write(struct store_walk *walk, struct hf_bytes bytes);
/* HF_ECORRUPT unless the whole stream came and nothing else. digest and applied are then known. */
int store_walk_finish(struct store_walk *walk);
void store_walk_close(struct store_walk *walk);

#endif
