#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "store/memory_store.h"

struct memory_cursor {
    struct hf_store_cursor base;
    const struct tree *tree; /* lent from the view; NULL: nothing to read */
    enum hf_store_order order;
    struct store_bounds bounds; /* of bounds_bytes */
    uint8_t *bounds_bytes;
    bool is_started;
    bool is_ended;
    struct tree_path path;
};

/* Puts the path on the first entry in the cursor's order, whether or not it lies within the far bound. */
static bool memory_cursor_start(struct memory_cursor *cursor)
{
    const struct tree *tree = cursor->tree;
    if (cursor->order == HF_STORE_FORWARD) {
        tree_seek(tree, cursor->bounds.low, &cursor->path);
        return tree_path_settle(tree, &cursor->path);
    }
    if (cursor->bounds.high.data == NULL) {
        tree_seek_rank(tree, tree->stat.entries - 1, &cursor->path);
        return true;
    }
    tree_seek(tree, cursor->bounds.high, &cursor->path);
    return tree_path_previous(tree, &cursor->path);
}

static bool memory_cursor_is_within(const struct memory_cursor *cursor, struct hf_bytes key)
{
    if (cursor->order == HF_STORE_BACKWARD) {
        return bytes_compare(key, cursor->bounds.low) >= 0;
    }
    return cursor->bounds.high.data == NULL || bytes_compare(key, cursor->bounds.high) < 0;
}

static bool memory_cursor_step(struct memory_cursor *cursor)
{
    if (!cursor->is_started) {
        cursor->is_started = true;
        return memory_cursor_start(cursor);
    }
    return cursor->order == HF_STORE_FORWARD ? tree_path_next(cursor->tree, &cursor->path)
                                             : tree_path_previous(cursor->tree, &cursor->path);
}

static int memory_cursor_next(struct hf_store_cursor *base, struct hf_store_entry *entry)
{
    struct memory_cursor *cursor = (struct memory_cursor *)base;
    if (cursor->is_ended || cursor->tree == NULL || !memory_cursor_step(cursor)) {
        cursor->is_ended = true;
        return HF_ENOTFOUND;
    }
    tree_path_entry(&cursor->path, entry);
    if (!memory_cursor_is_within(cursor, entry->key)) {
        cursor->is_ended = true;
        return HF_ENOTFOUND;
    }
    return 0;
}

static void memory_cursor_close(struct hf_store_cursor *base)
{
    struct memory_cursor *cursor = (struct memory_cursor *)base;
    free(cursor->bounds_bytes);
    free(cursor);
}

static const struct store_cursor_ops memory_cursor_ops = {memory_cursor_next, memory_cursor_close};

int memory_cursor_open(const struct store_view *view, uint32_t tree, const struct store_bounds *bounds,
                       enum hf_store_order order, struct hf_store_cursor **out)
{
    const struct memory_trees *trees = view->state;
    struct memory_cursor *cursor = memory_resize(NULL, sizeof(*cursor)); /* the path needs no zeroes */
    cursor->base = (struct hf_store_cursor){.ops = &memory_cursor_ops};
    cursor->tree = tree < trees->count && trees->items[tree].root != NULL ? &trees->items[tree] : NULL;
    cursor->order = order;
    cursor->is_started = false;
    cursor->is_ended = false;
    size_t high_size = bounds->high.data != NULL ? bounds->high.size : 0;
    cursor->bounds_bytes = memory_resize(NULL, bounds->low.size + high_size);
    if (bounds->low.size > 0) {
        memcpy(cursor->bounds_bytes, bounds->low.data, bounds->low.size);
    }
    cursor->bounds.low = bytes_of(cursor->bounds_bytes, bounds->low.size);
    cursor->bounds.high = bytes_of(NULL, 0);
    if (bounds->high.data != NULL) {
        if (high_size > 0) {
            memcpy(cursor->bounds_bytes + bounds->low.size, bounds->high.data, high_size);
        }
        cursor->bounds.high = bytes_of(cursor->bounds_bytes + bounds->low.size, high_size);
    }
    *out = &cursor->base;
    return 0;
}
