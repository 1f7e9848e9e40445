#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/error.h"
#include "holdfast/store.h"
#include "store/backend.h"

int hf_store_open(const struct hf_store_options *options, struct hf_store **out)
{
    if (options->backend == HF_STORE_MEMORY) {
        return memory_store_open(out);
    }
    return error_raise(HF_EUNSUPPORTED, "store backend %d is not in this build", (int)options->backend);
}

void hf_store_close(struct hf_store *store)
{
    if (store != NULL) {
        store->ops->close(store);
    }
}

const char *hf_store_backend_name(const struct hf_store *store)
{
    return store->ops->name;
}

/* ---- Checks ---- */

static int store_check_tree(uint32_t tree)
{
    if (tree >= HF_STORE_TREES_MAX) {
        return error_raise(HF_EINVALID, "tree %u: trees are numbered 0 to %u", (unsigned)tree, HF_STORE_TREES_MAX - 1);
    }
    return 0;
}

static int store_check_key(struct hf_bytes key)
{
    if (key.size > HF_STORE_KEY_SIZE_MAX) {
        return error_raise(HF_ETOOBIG, "a key of %zu bytes: the limit is %u", key.size, HF_STORE_KEY_SIZE_MAX);
    }
    return 0;
}

/* ---- Ranges ---- */

/* Bounds with the bytes of a computed upper bound. */
struct store_range_bounds {
    struct store_bounds bounds;
    uint8_t prefix_end[HF_STORE_KEY_SIZE_MAX];
    bool is_empty;
};

/* The least key above everything that starts with the prefix: drop trailing 0xFF, add one to what is last then. Nothing
 * is left of a prefix of 0xFF bytes, and there is no such key: false. */
static bool store_prefix_end(struct hf_bytes prefix, uint8_t *end, size_t *end_size)
{
    const uint8_t *bytes = prefix.data;
    size_t size = prefix.size;
    while (size > 0 && bytes[size - 1] == 0xFF) {
        size--;
    }
    if (size == 0) {
        return false;
    }
    memcpy(end, bytes, size);
    end[size - 1]++;
    *end_size = size;
    return true;
}

static void store_range_resolve(const struct hf_store_range *range, struct store_range_bounds *out)
{
    out->is_empty = false;
    out->bounds = (struct store_bounds){.low = {"", 0}};
    if (range == NULL) {
        return;
    }
    if (range->low.data != NULL) {
        out->bounds.low = range->low;
    }
    out->bounds.high = range->high;
    if (range->prefix.data != NULL && range->prefix.size > 0) {
        if (range->prefix.size > HF_STORE_KEY_SIZE_MAX) {
            out->is_empty = true; /* longer than any key */
            return;
        }
        if (bytes_compare(range->prefix, out->bounds.low) > 0) {
            out->bounds.low = range->prefix;
        }
        size_t end_size;
        if (store_prefix_end(range->prefix, out->prefix_end, &end_size)) {
            struct hf_bytes end = bytes_of(out->prefix_end, end_size);
            if (out->bounds.high.data == NULL || bytes_compare(end, out->bounds.high) < 0) {
                out->bounds.high = end;
            }
        }
    }
    out->is_empty = out->bounds.high.data != NULL && bytes_compare(out->bounds.low, out->bounds.high) >= 0;
}

/* ---- Changing ---- */

int hf_store_put(struct hf_store *store, uint32_t tree, struct hf_bytes key, struct hf_bytes value, bool *overwritten)
{
    return hf_store_put_parts(store, tree, key, &value, 1, overwritten);
}

int hf_store_put_parts(struct hf_store *store, uint32_t tree, struct hf_bytes key, const struct hf_bytes *parts,
                       size_t part_count, bool *overwritten)
{
    int rc = store_check_tree(tree);
    if (rc == 0) {
        rc = store_check_key(key);
    }
    if (rc != 0) {
        return rc;
    }
    const size_t size_max = HF_STORE_VALUE_SIZE_MAX + HF_STORE_VALUE_EXTRA_MAX;
    size_t size = 0;
    for (size_t i = 0; i < part_count; i++) {
        if (parts[i].size > size_max - size) {
            return error_raise(HF_ETOOBIG, "a value of more than %zu bytes", size_max);
        }
        size += parts[i].size;
    }
    bool ignored;
    store->changes++;
    return store->ops->put(store, tree, key, parts, part_count, size, overwritten != NULL ? overwritten : &ignored);
}

int hf_store_delete(struct hf_store *store, uint32_t tree, struct hf_bytes key, bool *removed)
{
    int rc = store_check_tree(tree);
    if (rc == 0) {
        rc = store_check_key(key);
    }
    if (rc != 0) {
        return rc;
    }
    bool ignored;
    store->changes++;
    return store->ops->remove(store, tree, key, removed != NULL ? removed : &ignored);
}

int hf_store_delete_range(struct hf_store *store, uint32_t tree, const struct hf_store_range *range, uint64_t *count)
{
    int rc = store_check_tree(tree);
    if (rc != 0) {
        return rc;
    }
    uint64_t removed = 0;
    struct store_range_bounds resolved;
    store_range_resolve(range, &resolved);
    if (!resolved.is_empty) {
        store->changes++;
        rc = store->ops->remove_range(store, tree, &resolved.bounds, &removed);
    }
    if (rc == 0 && count != NULL) {
        *count = removed;
    }
    return rc;
}

int hf_store_clear(struct hf_store *store, uint32_t tree)
{
    int rc = store_check_tree(tree);
    if (rc != 0) {
        return rc;
    }
    store->changes++;
    return store->ops->clear(store, tree);
}

bool hf_store_reclaim(struct hf_store *store, size_t pages_max)
{
    return store->ops->reclaim(store, pages_max);
}

/* ---- Applied index ---- */

int hf_store_apply_begin(struct hf_store *store)
{
    assert(!store->is_applying);
    int rc = store->ops->apply_begin(store);
    if (rc == 0) {
        store->is_applying = true;
    }
    return rc;
}

int hf_store_apply_commit(struct hf_store *store, struct hf_store_applied applied)
{
    assert(store->is_applying);
    assert(applied.index >= store->present.applied.index);
    int rc = store->ops->apply_commit(store, applied);
    if (rc == 0) {
        store->present.applied = applied;
        store->is_applying = false;
    }
    return rc;
}

struct hf_store_applied hf_store_applied(const struct hf_store *store)
{
    return store->present.applied;
}

/* ---- Reading ---- */

static int store_view_get(const struct store_view *view, uint32_t tree, struct hf_bytes key, struct hf_bytes *value)
{
    int rc = store_check_tree(tree);
    if (rc != 0) {
        return rc;
    }
    if (key.size > HF_STORE_KEY_SIZE_MAX) {
        return HF_ENOTFOUND; /* it was refused when it was put */
    }
    return view->ops->get(view, tree, key, value);
}

int hf_store_get(struct hf_store *store, uint32_t tree, struct hf_bytes key, struct hf_bytes *value)
{
    return store_view_get(&store->present, tree, key, value);
}

void hf_store_expect(struct hf_store *store, uint32_t tree, const struct hf_bytes *keys, size_t count)
{
    if (store->ops->expect != NULL && tree < HF_STORE_TREES_MAX) {
        store->ops->expect(store, tree, keys, count);
    }
}

int hf_store_exists(struct hf_store *store, uint32_t tree, struct hf_bytes key, bool *exists)
{
    struct hf_bytes value;
    int rc = store_view_get(&store->present, tree, key, &value);
    if (rc == 0 || rc == HF_ENOTFOUND) {
        *exists = rc == 0;
        rc = 0;
    }
    return rc;
}

int hf_store_first(struct hf_store *store, uint32_t tree, struct hf_store_entry *entry)
{
    int rc = store_check_tree(tree);
    return rc != 0 ? rc : store->present.ops->edge(&store->present, tree, HF_STORE_FORWARD, entry);
}

int hf_store_last(struct hf_store *store, uint32_t tree, struct hf_store_entry *entry)
{
    int rc = store_check_tree(tree);
    return rc != 0 ? rc : store->present.ops->edge(&store->present, tree, HF_STORE_BACKWARD, entry);
}

int hf_store_at_rank(struct hf_store *store, uint32_t tree, uint64_t rank, struct hf_store_entry *entry)
{
    int rc = store_check_tree(tree);
    return rc != 0 ? rc : store->present.ops->at_rank(&store->present, tree, rank, entry);
}

int hf_store_rank(struct hf_store *store, uint32_t tree, struct hf_bytes key, uint64_t *rank)
{
    int rc = store_check_tree(tree);
    return rc != 0 ? rc : store->present.ops->rank(&store->present, tree, key, rank);
}

int hf_store_tree_stat(const struct hf_store *store, uint32_t tree, struct hf_store_tree_stat *out)
{
    int rc = store_check_tree(tree);
    if (rc == 0) {
        store->present.ops->tree_stat(&store->present, tree, out);
    }
    return rc;
}

struct hf_store_digest hf_store_digest(const struct hf_store *store)
{
    return store->present.ops->digest(&store->present);
}

void hf_store_stat(const struct hf_store *store, struct hf_store_stat *out)
{
    *out = (struct hf_store_stat){0};
    for (uint32_t tree = 0; tree < store->present.ops->trees(&store->present); tree++) {
        struct hf_store_tree_stat stat;
        store->present.ops->tree_stat(&store->present, tree, &stat);
        out->entries += stat.entries;
        out->key_bytes += stat.key_bytes;
        out->value_bytes += stat.value_bytes;
    }
    store->ops->stat(store, out);
}

/* ---- Cursors ---- */

static int store_cursor_empty_next(struct hf_store_cursor *cursor, struct hf_store_entry *entry)
{
    return HF_ENOTFOUND;
}

static void store_cursor_empty_close(struct hf_store_cursor *cursor)
{
    free(cursor);
}

static const struct store_cursor_ops store_cursor_empty_ops = {store_cursor_empty_next, store_cursor_empty_close};

static int store_view_cursor_open(const struct store_view *view, uint32_t tree, const struct hf_store_range *range,
                                  enum hf_store_order order, struct hf_store_cursor **out)
{
    int rc = store_check_tree(tree);
    if (rc != 0) {
        return rc;
    }
    struct store_range_bounds resolved;
    store_range_resolve(range, &resolved);
    if (resolved.is_empty) {
        *out = memory_new(sizeof(**out));
        (*out)->ops = &store_cursor_empty_ops;
        return 0;
    }
    return view->ops->cursor_open(view, tree, &resolved.bounds, order, out);
}

int hf_store_cursor_open(struct hf_store *store, uint32_t tree, const struct hf_store_range *range,
                         enum hf_store_order order, struct hf_store_cursor **out)
{
    int rc = store_view_cursor_open(&store->present, tree, range, order, out);
    if (rc == 0) {
        (*out)->store = store;
        (*out)->changes = store->changes;
    }
    return rc;
}

int hf_store_cursor_next(struct hf_store_cursor *cursor, struct hf_store_entry *entry)
{
    assert(cursor->store == NULL || cursor->store->changes == cursor->changes);
    return cursor->ops->next(cursor, entry);
}

void hf_store_cursor_close(struct hf_store_cursor *cursor)
{
    if (cursor != NULL) {
        cursor->ops->close(cursor);
    }
}

/* ---- Cuts ---- */

int hf_store_cut(struct hf_store *store, struct hf_store_cut **out)
{
    if (store->is_applying) {
        return error_raise(HF_ECONFLICT, "a cut in the middle of an entry would not be consistent");
    }
    int rc = store->ops->cut(store, out);
    if (rc == 0) {
        (*out)->view.applied = store->present.applied;
    }
    return rc;
}

void hf_store_cut_close(struct hf_store_cut *cut)
{
    if (cut != NULL) {
        cut->ops->close(cut);
    }
}

struct hf_store_applied hf_store_cut_applied(const struct hf_store_cut *cut)
{
    return cut->view.applied;
}

struct hf_store_digest hf_store_cut_digest(const struct hf_store_cut *cut)
{
    return cut->view.ops->digest(&cut->view);
}

uint32_t hf_store_cut_trees(const struct hf_store_cut *cut)
{
    return cut->view.ops->trees(&cut->view);
}

int hf_store_cut_tree_stat(const struct hf_store_cut *cut, uint32_t tree, struct hf_store_tree_stat *out)
{
    int rc = store_check_tree(tree);
    if (rc == 0) {
        cut->view.ops->tree_stat(&cut->view, tree, out);
    }
    return rc;
}

int hf_store_cut_get(const struct hf_store_cut *cut, uint32_t tree, struct hf_bytes key, struct hf_bytes *value)
{
    return store_view_get(&cut->view, tree, key, value);
}

int hf_store_cut_at_rank(const struct hf_store_cut *cut, uint32_t tree, uint64_t rank, struct hf_store_entry *entry)
{
    int rc = store_check_tree(tree);
    return rc != 0 ? rc : cut->view.ops->at_rank(&cut->view, tree, rank, entry);
}

int hf_store_cut_cursor_open(const struct hf_store_cut *cut, uint32_t tree, const struct hf_store_range *range,
                             enum hf_store_order order, struct hf_store_cursor **out)
{
    return store_view_cursor_open(&cut->view, tree, range, order, out);
}

void hf_store_cut_sharing(const struct hf_store_cut *cut, struct hf_store_sharing *out)
{
    *out = (struct hf_store_sharing){0};
    cut->ops->sharing(cut, out);
}
