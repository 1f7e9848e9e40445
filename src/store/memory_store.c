#include "store/memory_store.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "base/list.h"
#include "store/digest.h"
#include "store/tree_load.h"

struct memory_cut {
    struct hf_store_cut base;
    struct memory_store *store; /* for the memory it returns */
    struct memory_trees trees;
};

/* ---- Views ---- */

/* NULL when the view has no such tree, or an empty one. */
static const struct tree *memory_view_tree(const struct store_view *view, uint32_t number)
{
    const struct memory_trees *trees = view->state;
    return number < trees->count && trees->items[number].root != NULL ? &trees->items[number] : NULL;
}

static int memory_view_get(const struct store_view *view, uint32_t number, struct hf_bytes key, struct hf_bytes *value)
{
    const struct tree *tree = memory_view_tree(view, number);
    return tree != NULL && tree_get(tree, key, value) ? 0 : HF_ENOTFOUND;
}

static int memory_present_get(const struct store_view *view, uint32_t number, struct hf_bytes key,
                              struct hf_bytes *value)
{
    const struct tree *tree = memory_view_tree(view, number);
    if (tree == NULL) {
        return HF_ENOTFOUND;
    }
    if (key.size > MEMORY_FINGER_KEY_MAX) {
        return tree_get(tree, key, value) ? 0 : HF_ENOTFOUND;
    }
    struct memory_store *memory = list_entry(view, struct memory_store, base.present);
    struct memory_finger *finger = &memory->finger;
    finger->found = tree_seek(tree, key, &finger->path);
    finger->tree = number;
    finger->key_size = key.size;
    if (key.size > 0) {
        memcpy(finger->key, key.data, key.size);
    }
    finger->is_good = true;
    if (finger->found) {
        *value = page_value(finger->path.steps[0].page, finger->path.steps[0].position);
    }
    return finger->found ? 0 : HF_ENOTFOUND;
}

static int memory_view_at_rank(const struct store_view *view, uint32_t number, uint64_t rank,
                               struct hf_store_entry *entry)
{
    const struct tree *tree = memory_view_tree(view, number);
    if (tree == NULL || rank >= tree->stat.entries) {
        return HF_ENOTFOUND;
    }
    struct tree_path path;
    tree_seek_rank(tree, rank, &path);
    tree_path_entry(&path, entry);
    return 0;
}

static int memory_view_edge(const struct store_view *view, uint32_t number, enum hf_store_order order,
                            struct hf_store_entry *entry)
{
    const struct tree *tree = memory_view_tree(view, number);
    if (tree == NULL) {
        return HF_ENOTFOUND;
    }
    return memory_view_at_rank(view, number, order == HF_STORE_FORWARD ? 0 : tree->stat.entries - 1, entry);
}

static int memory_view_rank(const struct store_view *view, uint32_t number, struct hf_bytes key, uint64_t *rank)
{
    const struct tree *tree = memory_view_tree(view, number);
    *rank = tree != NULL ? tree_rank(tree, key) : 0;
    return 0;
}

static void memory_view_tree_stat(const struct store_view *view, uint32_t number, struct hf_store_tree_stat *out)
{
    const struct tree *tree = memory_view_tree(view, number);
    *out = tree != NULL ? tree->stat : (struct hf_store_tree_stat){0};
}

static struct hf_store_digest memory_view_digest(const struct store_view *view)
{
    const struct memory_trees *trees = view->state;
    struct hf_store_digest digest = {0};
    for (uint32_t i = 0; i < trees->count; i++) {
        digest_add(&digest, trees->items[i].digest);
    }
    return digest;
}

static uint32_t memory_view_trees(const struct store_view *view)
{
    return ((const struct memory_trees *)view->state)->count;
}

static const struct store_view_ops memory_view_ops = {
    .get = memory_view_get,
    .edge = memory_view_edge,
    .at_rank = memory_view_at_rank,
    .rank = memory_view_rank,
    .tree_stat = memory_view_tree_stat,
    .digest = memory_view_digest,
    .trees = memory_view_trees,
    .cursor_open = memory_cursor_open,
};

static const struct store_view_ops memory_present_ops = {
    .get = memory_present_get,
    .edge = memory_view_edge,
    .at_rank = memory_view_at_rank,
    .rank = memory_view_rank,
    .tree_stat = memory_view_tree_stat,
    .digest = memory_view_digest,
    .trees = memory_view_trees,
    .cursor_open = memory_cursor_open,
};

/* ---- Changing ---- */

static struct memory_store *memory_store_of(struct hf_store *store)
{
    return (struct memory_store *)store; /* base is its first member */
}

/* The tree, made when it is new. */
static struct tree *memory_store_tree_use(struct memory_store *memory, uint32_t number)
{
    struct memory_trees *trees = &memory->trees;
    if (number >= trees->count) {
        trees->items = memory_resize(trees->items, (number + 1) * sizeof(*trees->items));
        for (; trees->count <= number; trees->count++) {
            trees->items[trees->count] = (struct tree){.number = trees->count};
        }
    }
    return &trees->items[number];
}

/* For changes other than of the entry that the finger is at. */
static struct memory_store *memory_store_for_change(struct hf_store *store)
{
    struct memory_store *memory = memory_store_of(store);
    memory->finger.is_good = false;
    return memory;
}

const struct tree *memory_store_tree(const struct hf_store *store, uint32_t tree)
{
    const struct memory_trees *trees = store->present.state;
    return tree < trees->count ? &trees->items[tree] : NULL;
}

/* A copy of a key that may be on loan from a page which is about to change. Copies as much as there is. */
static struct hf_bytes memory_key_copy(uint8_t copy[HF_STORE_KEY_SIZE_MAX], struct hf_bytes key)
{
    if (key.size > 0) {
        memcpy(copy, key.data, key.size);
    }
    return bytes_of(copy, key.size);
}

static int memory_store_put(struct hf_store *store, uint32_t number, struct hf_bytes key, const struct hf_bytes *parts,
                            size_t part_count, size_t size, bool *overwritten)
{
    uint8_t copy[HF_STORE_KEY_SIZE_MAX];
    struct memory_store *memory = memory_store_of(store);
    struct tree *tree = memory_store_tree_use(memory, number);
    struct memory_finger *finger = &memory->finger;
    struct hf_bytes finger_key = bytes_of(finger->key, finger->key_size);
    if (finger->is_good && finger->tree == number && bytes_equal(finger_key, key)) {
        *overwritten = finger->found;
        tree_put_at(&memory->context, tree, &finger->path, finger->found, finger_key, parts, part_count, size);
    } else {
        *overwritten = tree_put(&memory->context, tree, memory_key_copy(copy, key), parts, part_count, size);
    }
    finger->is_good = false;
    return 0;
}

static int memory_store_remove(struct hf_store *store, uint32_t number, struct hf_bytes key, bool *removed)
{
    uint8_t copy[HF_STORE_KEY_SIZE_MAX];
    struct memory_store *memory = memory_store_for_change(store);
    *removed = number < memory->trees.count &&
               tree_delete(&memory->context, &memory->trees.items[number], memory_key_copy(copy, key));
    return 0;
}

static int memory_store_remove_range(struct hf_store *store, uint32_t number, const struct store_bounds *bounds,
                                     uint64_t *count)
{
    uint8_t copy_low[HF_STORE_KEY_SIZE_MAX];
    uint8_t copy_high[HF_STORE_KEY_SIZE_MAX];
    struct memory_store *memory = memory_store_for_change(store);
    struct hf_bytes low = bounds->low;
    struct hf_bytes high = bounds->high;
    /* A bound may be longer than any key; then it is no loan from here and needs no copy. */
    if (low.size <= HF_STORE_KEY_SIZE_MAX) {
        low = memory_key_copy(copy_low, low);
    }
    if (high.data != NULL && high.size <= HF_STORE_KEY_SIZE_MAX) {
        high = memory_key_copy(copy_high, high);
    }
    *count = 0;
    if (number < memory->trees.count) {
        *count = tree_delete_range(&memory->context, &memory->trees.items[number], low, high);
    }
    return 0;
}

static int memory_store_load_finish(struct hf_store *store)
{
    struct memory_store *memory = memory_store_for_change(store);
    if (memory->load != NULL) {
        tree_load_finish(memory->load);
        free(memory->load);
        memory->load = NULL;
    }
    return 0;
}

static int memory_store_load(struct hf_store *store, uint32_t number, struct hf_bytes key, struct hf_bytes value)
{
    struct memory_store *memory = memory_store_for_change(store);
    if (memory->load == NULL || memory->load_tree != number) {
        (void)memory_store_load_finish(store);
        struct tree *tree = memory_store_tree_use(memory, number); /* may move the others: none is being filled */
        memory->load = memory_new(sizeof(*memory->load));
        memory->load_tree = number;
        tree_load_open(memory->load, &memory->context, tree);
    }
    tree_load_add(memory->load, key, value);
    return 0;
}

static int memory_store_clear(struct hf_store *store, uint32_t number)
{
    struct memory_store *memory = memory_store_for_change(store);
    if (number < memory->trees.count) {
        tree_clear(&memory->context, &memory->trees.items[number]);
    }
    return 0;
}

static void memory_store_expect(struct hf_store *store, uint32_t number, const struct hf_bytes *keys, size_t count)
{
    const struct tree *tree = memory_view_tree(&store->present, number);
    if (tree != NULL) {
        tree_expect(tree, keys, count);
    }
}

static bool memory_store_reclaim(struct hf_store *store, size_t pages_max)
{
    return tree_reclaim(&memory_store_of(store)->context, pages_max);
}

/* Changes are in place at once; nothing but a cut could see a part of them, and none is taken in between. */
static int memory_store_apply_begin(struct hf_store *store)
{
    return 0;
}

static int memory_store_apply_commit(struct hf_store *store, struct hf_store_applied applied)
{
    return 0;
}

static void memory_store_stat(const struct hf_store *store, struct hf_store_stat *out)
{
    struct memory_store *memory = (struct memory_store *)store; /* the pool's lock is taken */
    out->memory_bytes = atomic_load_explicit(&memory->context.memory.bytes, memory_order_relaxed);
    for (unsigned i = 0; i < MEMORY_ACCOUNT_POOLS; i++) {
        out->memory_spare_bytes += frame_pool_spare_bytes(&memory->context.memory.frames[i]);
    }
    out->pages = atomic_load_explicit(&memory->context.memory.pages, memory_order_relaxed);
    for (uint32_t i = 0; i < memory->trees.count; i++) {
        out->memory_live_bytes += memory->trees.items[i].live_bytes;
    }
    out->pages_copied = memory->context.pages_copied;
    out->cuts_open = atomic_load_explicit(&memory->cuts_open, memory_order_relaxed);
}

/* ---- Cuts ---- */

static void memory_cut_sharing(const struct hf_store_cut *cut, struct hf_store_sharing *out)
{
    const struct memory_cut *memory = (const struct memory_cut *)cut;
    for (uint32_t i = 0; i < memory->trees.count; i++) {
        tree_sharing(&memory->trees.items[i], out);
    }
}

static void memory_cut_prepare(const struct hf_store_cut *cut)
{
    const struct memory_cut *memory = (const struct memory_cut *)cut;
    page_pools_prepare(&memory->store->context.memory);
}

static void memory_cut_close(struct hf_store_cut *cut)
{
    struct memory_cut *memory = (struct memory_cut *)cut;
    struct memory_store *store = memory->store;
    for (uint32_t i = 0; i < memory->trees.count; i++) {
        tree_unshare(&store->context.memory, &memory->trees.items[i]);
    }
    free(memory->trees.items);
    free(memory);
    page_pools_rest(&store->context.memory); /* who reads another cut prepares again */
    /* Last, and with release order: whoever then finds no cut open may close the store. */
    atomic_fetch_sub_explicit(&store->cuts_open, 1, memory_order_release);
}

static const struct store_cut_ops memory_cut_ops = {memory_cut_sharing, memory_cut_prepare, memory_cut_close};

static int memory_store_cut(struct hf_store *store, struct hf_store_cut **out)
{
    struct memory_store *memory = memory_store_of(store);
    struct memory_cut *cut = memory_new(sizeof(*cut));
    cut->base.ops = &memory_cut_ops;
    cut->base.view = (struct store_view){.ops = &memory_view_ops, .state = &cut->trees};
    cut->store = memory;
    cut->trees.count = memory->trees.count;
    cut->trees.items = memory_new(cut->trees.count * sizeof(*cut->trees.items));
    for (uint32_t i = 0; i < cut->trees.count; i++) {
        cut->trees.items[i] = tree_share(&memory->trees.items[i]);
    }
    atomic_fetch_add_explicit(&memory->cuts_open, 1, memory_order_relaxed);
    *out = &cut->base;
    return 0;
}

/* ---- Life ---- */

static void memory_store_close(struct hf_store *store)
{
    struct memory_store *memory = memory_store_of(store);
    assert(atomic_load_explicit(&memory->cuts_open, memory_order_acquire) == 0);
    (void)memory_store_load_finish(store);
    for (uint32_t i = 0; i < memory->trees.count; i++) {
        tree_unshare(&memory->context.memory, &memory->trees.items[i]);
    }
    tree_context_close(&memory->context);
    assert(atomic_load_explicit(&memory->context.memory.bytes, memory_order_relaxed) == 0);
    page_pools_close(&memory->context.memory);
    free(memory->trees.items);
    free(memory);
}

static const struct store_ops memory_store_ops = {
    .name = "memory",
    .put = memory_store_put,
    .remove = memory_store_remove,
    .remove_range = memory_store_remove_range,
    .load = memory_store_load,
    .load_finish = memory_store_load_finish,
    .clear = memory_store_clear,
    .expect = memory_store_expect,
    .reclaim = memory_store_reclaim,
    .apply_begin = memory_store_apply_begin,
    .apply_commit = memory_store_apply_commit,
    .stat = memory_store_stat,
    .cut = memory_store_cut,
    .close = memory_store_close,
};

int memory_store_open(struct hf_store **out)
{
    struct memory_store *memory = memory_new(sizeof(*memory));
    memory->base.ops = &memory_store_ops;
    page_pools_open(&memory->context.memory);
    memory->base.present = (struct store_view){.ops = &memory_present_ops, .state = &memory->trees};
    *out = &memory->base;
    return 0;
}
