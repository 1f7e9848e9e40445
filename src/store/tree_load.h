/* Filling an empty tree from entries in ascending order, from the leaves up: what an import does. Each level has a page
 * that takes cells; a page that is full goes to the level above. Nothing is searched and nothing is split, pages come
 * out full, and an entry is copied once.
 *
 * Between tree_load_open and tree_load_finish the tree is empty to look at; its pages hang on the load. Thread: the
 * owner's of the tree. */
#ifndef STORE_TREE_LOAD_H
#define STORE_TREE_LOAD_H

#include "base/buffer.h"
#include "store/tree.h"

struct tree_load_page {
    struct page *page; /* NULL: none */
    uint64_t entries;  /* below it */
    struct buffer separator;
};
struct tree_load_level {
    struct tree_load_page
        full; /* kept from the level above until the next is full, too: its cells may have to be shared */
    struct tree_load_page open;
};
struct tree_load {
    struct tree_context *context; /* lent */
    struct tree *tree;            /* lent */
    struct tree_load_level levels[TREE_HEIGHT_MAX];
};

/* tree: empty; it may not move before the end. */
void tree_load_open(struct tree_load *load, struct tree_context *context, struct tree *tree);
/* key: above all that came before, and on loan from nothing in the tree; the same for the value. */
void tree_load_add(struct tree_load *load, struct hf_bytes key, struct hf_bytes value);
/* The tree is whole afterwards, and the load is used up. */
void tree_load_finish(struct tree_load *load);

#endif
