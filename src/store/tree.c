#include "store/tree.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "store/digest.h"

#define TREE_RECLAIM_PER_CHANGE 4u
#define TREE_EXPECT_KEYS        16u /* more would push out what the first of them fetched */

void tree_context_close(struct tree_context *context)
{
    while (tree_reclaim(context, SIZE_MAX)) {
    }
    free(context->garbage);
    context->garbage = NULL;
}

/* ---- Reading ---- */

bool tree_get(const struct tree *tree, struct hf_bytes key, struct hf_bytes *value)
{
    const struct page *page = tree->root;
    if (page == NULL) {
        return false;
    }
    while (page->level > 0) {
        page = page_child(page, page_find_child(page, key));
        page_prefetch(page);
    }
    bool found;
    unsigned position = page_find(page, key, &found);
    if (found) {
        *value = page_value(page, position);
    }
    return found;
}

static void tree_expect_some(const struct tree *tree, const struct hf_bytes *keys, unsigned count)
{
    const struct page *pages[TREE_EXPECT_KEYS];
    for (unsigned i = 0; i < count; i++) {
        pages[i] = tree->root;
    }
    for (unsigned level = tree->height; level-- > 1;) {
        for (unsigned i = 0; i < count; i++) {
            pages[i] = page_child(pages[i], page_find_child(pages[i], keys[i]));
            page_prefetch(pages[i]);
        }
    }
    for (unsigned i = 0; i < count; i++) {
        page_expect(pages[i], keys[i]);
    }
}

void tree_expect(const struct tree *tree, const struct hf_bytes *keys, size_t count)
{
    for (size_t first = 0; tree->root != NULL && first < count; first += TREE_EXPECT_KEYS) {
        size_t left = count - first;
        tree_expect_some(tree, keys + first, (unsigned)(left < TREE_EXPECT_KEYS ? left : TREE_EXPECT_KEYS));
    }
}

bool tree_seek(const struct tree *tree, struct hf_bytes key, struct tree_path *path)
{
    struct page *page = tree->root;
    while (page->level > 0) {
        unsigned position = page_find_child(page, key);
        path->steps[page->level] = (struct tree_step){page, position};
        page = page_child(page, position);
        page_prefetch(page);
    }
    bool found;
    unsigned position = page_find(page, key, &found);
    path->steps[0] = (struct tree_step){page, position};
    return found;
}

void tree_seek_rank(const struct tree *tree, uint64_t rank, struct tree_path *path)
{
    assert(rank < tree->stat.entries);
    struct page *page = tree->root;
    while (page->level > 0) {
        unsigned position = 0;
        uint64_t entries = page_child_entries(page, 0);
        while (rank >= entries) {
            rank -= entries;
            position++;
            entries = page_child_entries(page, position);
        }
        path->steps[page->level] = (struct tree_step){page, position};
        page = page_child(page, position);
    }
    path->steps[0] = (struct tree_step){page, (unsigned)rank};
}

uint64_t tree_rank(const struct tree *tree, struct hf_bytes key)
{
    const struct page *page = tree->root;
    uint64_t rank = 0;
    if (page == NULL) {
        return 0;
    }
    while (page->level > 0) {
        unsigned position = page_find_child(page, key);
        for (unsigned i = 0; i < position; i++) {
            rank += page_child_entries(page, i);
        }
        page = page_child(page, position);
    }
    bool found;
    return rank + page_find(page, key, &found);
}

/* Moves to the first cell of the next leaf. */
static bool tree_path_next_leaf(const struct tree *tree, struct tree_path *path)
{
    unsigned level = 1;
    while (level < tree->height && path->steps[level].position + 1 == path->steps[level].page->count) {
        level++;
    }
    if (level >= tree->height) {
        return false;
    }
    path->steps[level].position++;
    for (; level > 0; level--) {
        struct page *child = page_child(path->steps[level].page, path->steps[level].position);
        path->steps[level - 1] = (struct tree_step){child, 0};
    }
    return true;
}

bool tree_path_settle(const struct tree *tree, struct tree_path *path)
{
    if (path->steps[0].position < path->steps[0].page->count) {
        return true;
    }
    return tree_path_next_leaf(tree, path);
}

bool tree_path_next(const struct tree *tree, struct tree_path *path)
{
    path->steps[0].position++;
    return tree_path_settle(tree, path);
}

bool tree_path_previous(const struct tree *tree, struct tree_path *path)
{
    if (path->steps[0].position > 0) {
        path->steps[0].position--;
        return true;
    }
    unsigned level = 1;
    while (level < tree->height && path->steps[level].position == 0) {
        level++;
    }
    if (level >= tree->height) {
        return false;
    }
    path->steps[level].position--;
    for (; level > 0; level--) {
        struct page *child = page_child(path->steps[level].page, path->steps[level].position);
        path->steps[level - 1] = (struct tree_step){child, child->count - 1u};
    }
    return true;
}

void tree_path_entry(const struct tree_path *path, struct hf_store_entry *entry)
{
    entry->key = page_key(path->steps[0].page, path->steps[0].position);
    entry->value = page_value(path->steps[0].page, path->steps[0].position);
}

/* ---- Owning ---- */

void tree_link(struct tree *tree, struct tree_path *path, unsigned level, struct page *page)
{
    path->steps[level].page = page;
    if (level + 1 == tree->height) {
        tree->root = page;
    } else {
        page_set_child(path->steps[level + 1].page, path->steps[level + 1].position, page);
    }
}

/* Copies what is shared on the path. Once the pages above are ours alone, one reference on a page means that nobody
 * else can reach it. */
static void tree_own_path(struct tree_context *context, struct tree *tree, struct tree_path *path)
{
    for (unsigned level = tree->height; level-- > 0;) {
        struct page *page = path->steps[level].page;
        if (!page_is_shared(page)) {
            continue;
        }
        struct page *copy = page_copy(&context->memory, page, page->capacity);
        page_retain_cells(copy);
        tree_link(tree, path, level, copy);
        page_release(&context->memory, page);
        context->pages_copied++;
    }
}

void tree_resize_page(struct tree_context *context, struct tree *tree, struct tree_path *path, unsigned level,
                      size_t capacity)
{
    struct page *page = path->steps[level].page;
    struct page *copy = page_copy(&context->memory, page, capacity);
    tree->live_bytes += capacity;
    tree->live_bytes -= page->capacity;
    tree_link(tree, path, level, copy);
    page_free(&context->memory, page);
}

static void tree_add_entries(const struct tree *tree, struct tree_path *path, int64_t delta)
{
    for (unsigned level = 1; level < tree->height; level++) {
        page_add_child_entries(path->steps[level].page, path->steps[level].position, delta);
    }
}

/* ---- Changing ---- */

static struct hf_store_digest tree_value_hash(const struct page *page, unsigned position)
{
    const struct blob *blob = page_blob(page, position);
    return blob != NULL ? blob->hash : digest_value(page_value(page, position));
}

/* Takes an entry that is about to disappear out of the sums. */
static void tree_forget_entry(struct tree *tree, const struct page *page, unsigned position)
{
    struct hf_bytes key = page_key(page, position);
    const struct blob *blob = page_blob(page, position);
    digest_subtract(&tree->digest, digest_entry(tree->number, key, tree_value_hash(page, position)));
    tree->stat.entries--;
    tree->stat.key_bytes -= key.size;
    tree->stat.value_bytes -= page_value(page, position).size;
    if (blob != NULL) {
        tree->live_bytes -= blob_memory_size(blob);
    }
}

static void tree_place_cell(struct tree_context *context, struct tree *tree, struct tree_path *path,
                            const struct page_cell *cell, bool found)
{
    struct tree_step *leaf = &path->steps[0];
    if (found) {
        if (page_replace(leaf->page, leaf->position, cell)) {
            return;
        }
        page_remove(leaf->page, leaf->position, 1);
    }
    size_t cell_size = page_cell_size(cell, 0) + sizeof(struct page_slot);
    size_t used = page_used(leaf->page) + cell_size;
    if (used + sizeof(struct page) > PAGE_SIZE_TARGET) {
        tree_overflow(context, tree, path, cell);
        return;
    }
    if (page_room(leaf->page) < cell_size) {
        size_t capacity = page_capacity_for(used);
        tree_resize_page(context, tree, path, 0, capacity > leaf->page->capacity ? capacity : leaf->page->capacity);
    }
    page_insert(leaf->page, leaf->position, cell);
}

void tree_put_at(struct tree_context *context, struct tree *tree, struct tree_path *path, bool found,
                 struct hf_bytes key, const struct hf_bytes *parts, size_t part_count, size_t size)
{
    uint8_t value[HF_STORE_INLINE_SIZE_MAX];
    struct blob *blob = NULL;
    struct page_cell cell;
    struct hf_store_digest hash;
    /* The value is joined first: its parts may lie in the very page that changes. */
    if (size > HF_STORE_INLINE_SIZE_MAX) {
        blob = blob_new(&context->memory, parts, part_count, size);
        cell = page_cell_blob(key, &blob);
        hash = blob->hash;
        tree->live_bytes += blob_memory_size(blob);
    } else {
        size_t offset = 0;
        for (size_t i = 0; i < part_count; i++) {
            if (parts[i].size > 0) {
                memcpy(value + offset, parts[i].data, parts[i].size);
            }
            offset += parts[i].size;
        }
        cell = page_cell_inline(key, bytes_of(value, size));
        hash = digest_value(cell.tail);
    }
    tree_own_path(context, tree, path);
    struct blob *blob_old = NULL;
    if (found) {
        blob_old = page_blob(path->steps[0].page, path->steps[0].position);
        tree_forget_entry(tree, path->steps[0].page, path->steps[0].position);
    } else {
        tree_add_entries(tree, path, 1);
    }
    tree->stat.entries++;
    tree->stat.key_bytes += key.size;
    tree->stat.value_bytes += size;
    digest_add(&tree->digest, digest_entry(tree->number, key, hash));
    tree_place_cell(context, tree, path, &cell, found);
    if (blob_old != NULL) {
        blob_release(&context->memory, blob_old);
    }
    if (context->garbage_count > 0) {
        tree_reclaim(context, TREE_RECLAIM_PER_CHANGE);
    }
}

bool tree_put(struct tree_context *context, struct tree *tree, struct hf_bytes key, const struct hf_bytes *parts,
              size_t part_count, size_t size)
{
    struct tree_path path;
    if (tree->root == NULL) {
        size_t value_size = size > HF_STORE_INLINE_SIZE_MAX ? sizeof(struct blob *) : size;
        size_t capacity = page_capacity_for(PAGE_FRONT_LEAF + key.size + value_size + sizeof(struct page_slot));
        tree->root = page_new(&context->memory, 0, capacity);
        tree->height = 1;
        tree->live_bytes += capacity;
    }
    bool found = tree_seek(tree, key, &path);
    tree_put_at(context, tree, &path, found, key, parts, part_count, size);
    return found;
}

/* Removes cells of the leaf of an owned path. */
static void tree_remove_cells(struct tree_context *context, struct tree *tree, struct tree_path *path, unsigned count)
{
    struct page *page = path->steps[0].page;
    unsigned position = path->steps[0].position;
    for (unsigned i = position; i < position + count; i++) {
        struct blob *blob = page_blob(page, i);
        tree_forget_entry(tree, page, i);
        if (blob != NULL) {
            blob_release(&context->memory, blob);
        }
    }
    page_remove(page, position, count);
    tree_add_entries(tree, path, -(int64_t)count);
    tree_settle(context, tree, path, 0);
    if (context->garbage_count > 0) {
        tree_reclaim(context, TREE_RECLAIM_PER_CHANGE);
    }
}

bool tree_delete(struct tree_context *context, struct tree *tree, struct hf_bytes key)
{
    struct tree_path path;
    if (tree->root == NULL || !tree_seek(tree, key, &path)) {
        return false;
    }
    tree_own_path(context, tree, &path);
    tree_remove_cells(context, tree, &path, 1);
    return true;
}

uint64_t tree_delete_range(struct tree_context *context, struct tree *tree, struct hf_bytes low, struct hf_bytes high)
{
    uint64_t removed = 0;
    while (tree->root != NULL) {
        struct tree_path path;
        tree_seek(tree, low, &path);
        if (!tree_path_settle(tree, &path)) {
            break;
        }
        const struct tree_step *leaf = &path.steps[0];
        unsigned end = leaf->page->count;
        bool found;
        if (high.data != NULL) {
            end = page_find(leaf->page, high, &found);
        }
        if (end <= leaf->position) {
            break;
        }
        unsigned count = end - leaf->position;
        tree_own_path(context, tree, &path);
        tree_remove_cells(context, tree, &path, count);
        removed += count;
    }
    return removed;
}

/* ---- Clearing ---- */

static void tree_garbage_add(struct tree_context *context, struct page *page)
{
    if (context->garbage_count == context->garbage_capacity) {
        context->garbage_capacity = context->garbage_capacity > 0 ? context->garbage_capacity * 2 : 64;
        context->garbage = memory_resize(context->garbage, context->garbage_capacity * sizeof(*context->garbage));
    }
    context->garbage[context->garbage_count++] = page;
}

void tree_clear(struct tree_context *context, struct tree *tree)
{
    if (tree->root != NULL) {
        tree_garbage_add(context, tree->root);
    }
    *tree = (struct tree){.number = tree->number};
}

bool tree_reclaim(struct tree_context *context, size_t pages_max)
{
    for (size_t freed = 0; freed < pages_max && context->garbage_count > 0; freed++) {
        struct page *page = context->garbage[--context->garbage_count];
        /* The children of an unshared page pass to the list with their references: the work stays one page at a time.
         */
        if (page->level > 0 && !page_is_shared(page)) {
            for (unsigned i = 0; i < page->count; i++) {
                tree_garbage_add(context, page_child(page, i));
            }
            page_free(&context->memory, page);
        } else {
            page_release(&context->memory, page);
        }
    }
    return context->garbage_count > 0;
}

/* ---- Cuts ---- */

struct tree tree_share(const struct tree *tree)
{
    if (tree->root != NULL) {
        page_retain(tree->root);
    }
    return *tree;
}

void tree_unshare(struct memory_account *memory, struct tree *tree)
{
    if (tree->root != NULL) {
        page_release(memory, tree->root);
    }
    *tree = (struct tree){.number = tree->number};
}

static void tree_sharing_page(struct page *page, bool is_shared_above, struct hf_store_sharing *sharing)
{
    bool is_shared = is_shared_above || page_is_shared(page);
    sharing->pages++;
    sharing->pages_shared += is_shared;
    for (unsigned i = 0; page->level > 0 && i < page->count; i++) {
        tree_sharing_page(page_child(page, i), is_shared, sharing);
    }
}

void tree_sharing(const struct tree *tree, struct hf_store_sharing *sharing)
{
    if (tree->root != NULL) {
        tree_sharing_page(tree->root, false, sharing);
    }
}
