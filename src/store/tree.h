/* An ordered copy-on-write B+tree in memory over the pages of page.h.
 *
 * Invariants (tree_check tests every one of them)
 *   - All leaves are on level 0; an inner page has at least two children, unless it is being changed.
 *   - A page is at most PAGE_SIZE_TARGET large, unless it has too few cells to be split (PAGE_*_ALONE).
 *   - Each child cell counts the entries below it, so that rank and position are found in O(log n).
 *   - entries, bytes, digest and live_bytes of struct tree are those of the pages reachable from the root.
 *
 * Change: descend and note the path; copy what a cut shares on it, from the root down (tree_own_path); change the leaf
 * in place; add to the counts above. Only when a page overflows, gets too empty or runs dry does tree_restructure.c
 * take its cells out, pack them into new pages and replace children in the parent, upwards as far as it must.
 *
 * Thread: the owner's. A copy of struct tree with a reference on its root (tree_share) may be read from any. */
#ifndef STORE_TREE_H
#define STORE_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "holdfast/bytes.h"
#include "holdfast/store.h"
#include "store/page.h"

#define TREE_HEIGHT_MAX 48u /* inner pages have two children or more: enough for 2^47 entries */

struct tree {
    struct page *root; /* NULL when empty */
    unsigned height;   /* levels; 0 when empty */
    uint32_t number;
    struct hf_store_tree_stat stat;
    struct hf_store_digest digest;
    uint64_t live_bytes; /* memory of the pages and blobs reachable from the root */
};

/* What all trees of a store have in common. */
struct tree_context {
    struct memory_account memory;
    uint64_t pages_copied;
    struct page **garbage; /* pages of cleared trees, one reference each */
    size_t garbage_count;
    size_t garbage_capacity;
};

/* From the leaf (level 0) to the root: which page, and which cell of it. */
struct tree_step {
    struct page *page;
    unsigned position;
};
struct tree_path {
    struct tree_step steps[TREE_HEIGHT_MAX];
};

void tree_context_close(struct tree_context *context);

/* ---- Reading ---- */

bool tree_get(const struct tree *tree, struct hf_bytes key, struct hf_bytes *value);
/* Brings nearer what reading or changing these keys will look at. Goes down level by level with a few keys at a time,
 * so that the processor waits for their memory once and not for each. */
void tree_expect(const struct tree *tree, const struct hf_bytes *keys, size_t count);
/* The path to the first entry whose key is ≥ key, perhaps one behind the end of its leaf: see tree_path_settle.
 * Returns whether it is equal. The tree must not be empty. */
bool tree_seek(const struct tree *tree, struct hf_bytes key, struct tree_path *path);
/* rank < stat.entries. */
void tree_seek_rank(const struct tree *tree, uint64_t rank, struct tree_path *path);
uint64_t tree_rank(const struct tree *tree, struct hf_bytes key);
/* Moves a path that stands behind the end of its leaf to the next leaf; false at the end of the tree. */
bool tree_path_settle(const struct tree *tree, struct tree_path *path);
bool tree_path_next(const struct tree *tree, struct tree_path *path);
bool tree_path_previous(const struct tree *tree, struct tree_path *path);
void tree_path_entry(const struct tree_path *path, struct hf_store_entry *entry);

/* ---- Changing. key must not be on loan from a page of this tree; value parts may be. ---- */

/* Returns whether it overwrote. size: the sum of the parts. */
bool tree_put(struct tree_context *context, struct tree *tree, struct hf_bytes key, const struct hf_bytes *parts,
              size_t part_count, size_t size);
/* The same where the caller has sought already, and nothing changed since: path and found are what tree_seek gave. */
void tree_put_at(struct tree_context *context, struct tree *tree, struct tree_path *path, bool found,
                 struct hf_bytes key, const struct hf_bytes *parts, size_t part_count, size_t size);
bool tree_delete(struct tree_context *context, struct tree *tree, struct hf_bytes key);
/* Keys in [low, high); high.data NULL: to the end. Returns how many. */
uint64_t tree_delete_range(struct tree_context *context, struct tree *tree, struct hf_bytes low, struct hf_bytes high);
/* Empties the tree; its pages wait for tree_reclaim. */
void tree_clear(struct tree_context *context, struct tree *tree);
/* Frees up to pages_max pages of cleared trees; returns whether more wait. */
bool tree_reclaim(struct tree_context *context, size_t pages_max);

/* ---- Cuts ---- */

struct tree tree_share(const struct tree *tree);
void tree_unshare(struct memory_account *memory, struct tree *tree);
/* Adds the pages of the tree, and those of them that somebody else shares. */
void tree_sharing(const struct tree *tree, struct hf_store_sharing *sharing);

/* ---- For tree_restructure.c ---- */

/* Replaces a page on an owned path by a roomier or more compact copy of itself. */
void tree_resize_page(struct tree_context *context, struct tree *tree, struct tree_path *path, unsigned level,
                      size_t capacity);
void tree_link(struct tree *tree, struct tree_path *path, unsigned level, struct page *page);
/* The leaf of an owned path has no room for a cell that belongs where the path points. */
void tree_overflow(struct tree_context *context, struct tree *tree, struct tree_path *path,
                   const struct page_cell *cell);
/* After cells were removed from a page of an owned path: merges or removes it when that is due. */
void tree_settle(struct tree_context *context, struct tree *tree, struct tree_path *path, unsigned level);

#endif
