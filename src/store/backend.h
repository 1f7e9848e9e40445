/* What a backend provides behind include/holdfast/store.h. store.c checks arguments (tree numbers, sizes, units of
 * changes, cursors used too late), so that backends need not; it resolves ranges to plain bounds.
 *
 * The present and a cut are both views: a backend writes its reading once. */
#ifndef STORE_BACKEND_H
#define STORE_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "holdfast/store.h"

/* low ≤ key < high; high.data NULL: no upper bound. low.data is never NULL. Lent for the call. */
struct store_bounds {
    struct hf_bytes low;
    struct hf_bytes high;
};

struct store_view;
struct store_view_ops {
    int (*get)(const struct store_view *view, uint32_t tree, struct hf_bytes key, struct hf_bytes *value);
    /* The first entry (forward) or the last one. */
    int (*edge)(const struct store_view *view, uint32_t tree, enum hf_store_order order, struct hf_store_entry *entry);
    int (*at_rank)(const struct store_view *view, uint32_t tree, uint64_t rank, struct hf_store_entry *entry);
    int (*rank)(const struct store_view *view, uint32_t tree, struct hf_bytes key, uint64_t *rank);
    void (*tree_stat)(const struct store_view *view, uint32_t tree, struct hf_store_tree_stat *out);
    struct hf_store_digest (*digest)(const struct store_view *view);
    uint32_t (*trees)(const struct store_view *view);
    int (*cursor_open)(const struct store_view *view, uint32_t tree, const struct store_bounds *bounds,
                       enum hf_store_order order, struct hf_store_cursor **out);
};
struct store_view {
    const struct store_view_ops *ops;
    const void *state; /* the backend's */
    struct hf_store_applied applied;
};

struct store_ops {
    const char *name;
    int (*put)(struct hf_store *store, uint32_t tree, struct hf_bytes key, const struct hf_bytes *parts,
               size_t part_count, size_t size, bool *overwritten);
    int (*remove)(struct hf_store *store, uint32_t tree, struct hf_bytes key, bool *removed);
    int (*remove_range)(struct hf_store *store, uint32_t tree, const struct store_bounds *bounds, uint64_t *count);
    /* Fills a store that nothing was ever put into: trees in ascending order, the keys of each in ascending order. What
     * is loaded shows after load_finish; nothing else is called in between but close. */
    int (*load)(struct hf_store *store, uint32_t tree, struct hf_bytes key, struct hf_bytes value);
    int (*load_finish)(struct hf_store *store);
    int (*clear)(struct hf_store *store, uint32_t tree);
    void (*expect)(struct hf_store *store, uint32_t tree, const struct hf_bytes *keys, size_t count); /* or NULL */
    bool (*reclaim)(struct hf_store *store, size_t pages_max);
    int (*apply_begin)(struct hf_store *store);
    int (*apply_commit)(struct hf_store *store, struct hf_store_applied applied);
    void (*stat)(const struct hf_store *store, struct hf_store_stat *out);
    int (*cut)(struct hf_store *store, struct hf_store_cut **out);
    void (*close)(struct hf_store *store);
};
/* The head of every backend's store. */
struct hf_store {
    const struct store_ops *ops;
    struct store_view present;
    uint64_t changes; /* counts changes, so that a cursor knows when it is too old */
    bool is_applying;
};

struct store_cut_ops {
    void (*sharing)(const struct hf_store_cut *cut, struct hf_store_sharing *out);
    /* Makes memory ready for what the owner copies because of the cut. Called between pieces by who reads it whole. */
    void (*prepare)(const struct hf_store_cut *cut);
    void (*close)(struct hf_store_cut *cut);
};
struct hf_store_cut {
    const struct store_cut_ops *ops;
    struct store_view view;
};

struct store_cursor_ops {
    int (*next)(struct hf_store_cursor *cursor, struct hf_store_entry *entry);
    void (*close)(struct hf_store_cursor *cursor);
};
struct hf_store_cursor {
    const struct store_cursor_ops *ops;
    const struct hf_store *store; /* NULL when it reads a cut */
    uint64_t changes;             /* of the store when it was opened */
};

int memory_store_open(struct hf_store **out);

#endif
