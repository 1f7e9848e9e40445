/* Checks every invariant of a tree, for tests and for a store that doubts itself. */
#ifndef STORE_TREE_CHECK_H
#define STORE_TREE_CHECK_H

#include "store/tree.h"

struct tree_check_result {
    uint64_t pages;
    uint64_t leaves;
    uint64_t used_bytes;     /* of all pages, headers included */
    uint64_t capacity_bytes; /* the difference is slack */
};

/* 0, or HF_ECORRUPT with a text that names the invariant. out may be NULL. Reads the whole tree. */
int tree_check(const struct tree *tree, struct tree_check_result *out);

#endif
