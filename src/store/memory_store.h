/* The memory backend: one tree.h tree per tree number. */
#ifndef STORE_MEMORY_STORE_H
#define STORE_MEMORY_STORE_H

#include <stdatomic.h>

#include "store/backend.h"
#include "store/tree.h"

/* The state of a view: trees 0 … count − 1. */
struct memory_trees {
    struct tree *items;
    uint32_t count;
};

/* Where the last read of the present ended: who reads a key mostly changes it next. Good until the next change. */
#define MEMORY_FINGER_KEY_MAX 128u /* of longer keys nothing is kept */
struct memory_finger {
    struct tree_path path;
    uint32_t tree;
    bool is_good;
    bool found;
    size_t key_size;
    uint8_t key[MEMORY_FINGER_KEY_MAX];
};

struct memory_store {
    struct hf_store base;
    struct memory_trees trees;
    struct tree_context context;
    struct memory_finger finger;
    _Atomic uint64_t cuts_open;
    struct tree_load *load; /* of the tree that is being filled; NULL: none */
    uint32_t load_tree;
};

/* The tree of a store opened with HF_STORE_MEMORY, NULL when nothing was ever put there. For tests. */
const struct tree *memory_store_tree(const struct hf_store *store, uint32_t tree);
/* In memory_cursor.c. */
int memory_cursor_open(const struct store_view *view, uint32_t tree, const struct store_bounds *bounds,
                       enum hf_store_order order, struct hf_store_cursor **out);

#endif
