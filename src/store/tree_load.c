#include "store/tree_load.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "store/digest.h"

#define TREE_LOAD_LOW_BYTES (PAGE_SIZE_TARGET / 4) /* the last page of a level gets cells from the one before */

void tree_load_open(struct tree_load *load, struct tree_context *context, struct tree *tree)
{
    assert(tree->root == NULL);
    *load = (struct tree_load){.context = context, .tree = tree};
}

/* ---- Pages ---- */

static void tree_load_drop(struct tree_load *load, struct page *page)
{
    load->tree->live_bytes -= page->capacity;
    page_free(&load->context->memory, page);
}

static struct page *tree_load_new(struct tree_load *load, unsigned level, size_t capacity)
{
    load->tree->live_bytes += capacity;
    return page_new(&load->context->memory, level, capacity);
}

static void tree_load_resize(struct tree_load *load, struct tree_load_page *at, size_t capacity)
{
    struct page *page = at->page;
    at->page = page_copy(&load->context->memory, page, capacity);
    load->tree->live_bytes += capacity;
    tree_load_drop(load, page);
}

static size_t tree_load_cost(const struct page_cell *cell, unsigned level)
{
    return page_cell_size(cell, level) + sizeof(struct page_slot);
}

/* Appends a cell; the separator of an inner page's first child is not stored in it. */
static void tree_load_append(struct tree_load *load, struct tree_load_page *at, unsigned level, struct page_cell cell)
{
    if (level > 0 && at->page->count == 0) {
        cell.key = bytes_of("", 0);
    }
    size_t cost = tree_load_cost(&cell, level);
    if (page_room(at->page) < cost) {
        tree_load_resize(load, at, page_capacity_for(page_used(at->page) + cost));
    }
    page_insert(at->page, at->page->count, &cell);
}

/* Whether the page takes one more. Pages of few cells may be larger than others (tree.h). */
static bool tree_load_fits(const struct page *page, const struct page_cell *cell)
{
    unsigned alone = page->level == 0 ? PAGE_LEAF_ALONE : PAGE_INNER_ALONE;
    return page->count < alone ||
           sizeof(*page) + page_used(page) + tree_load_cost(cell, page->level) <= PAGE_SIZE_TARGET;
}

/* The shortest key above `last` that is not above `key`. */
static struct hf_bytes tree_load_separator(struct hf_bytes last, struct hf_bytes key)
{
    const uint8_t *a = last.data;
    const uint8_t *b = key.data;
    size_t common = 0;
    while (common < last.size && common < key.size && a[common] == b[common]) {
        common++;
    }
    assert(common < key.size);
    return bytes_of(key.data, common + 1);
}

static void tree_load_set_separator(struct tree_load_page *at, struct hf_bytes separator)
{
    buffer_clear(&at->separator);
    buffer_append_bytes(&at->separator, separator);
}

/* ---- Levels ---- */

static void tree_load_cell(struct tree_load *load, unsigned level, const struct page_cell *cell, uint64_t entries);

/* Hands a page to the level above. */
static void tree_load_push(struct tree_load *load, unsigned level, struct tree_load_page *at)
{
    struct page_cell cell = page_cell_child(buffer_bytes(&at->separator), at->page, at->entries);
    at->page = NULL;
    tree_load_cell(load, level + 1, &cell, at->entries);
}

/* A page with more room than such a page gets is made anew. */
static void tree_load_fit(struct tree_load *load, struct tree_load_page *at)
{
    size_t capacity = page_capacity_for(page_used(at->page));
    if (capacity < at->page->capacity) {
        tree_load_resize(load, at, capacity);
    }
}

static void tree_load_cell(struct tree_load *load, unsigned level, const struct page_cell *cell, uint64_t entries)
{
    assert(level < TREE_HEIGHT_MAX);
    struct tree_load_level *at = &load->levels[level];
    if (at->open.page != NULL && !tree_load_fits(at->open.page, cell)) {
        if (at->full.page != NULL) {
            tree_load_push(load, level, &at->full);
        }
        tree_load_fit(load, &at->open);
        struct tree_load_page used = at->full;
        at->full = at->open;
        at->open = (struct tree_load_page){.separator = used.separator};
    }
    if (at->open.page == NULL) {
        at->open.page = tree_load_new(load, level, PAGE_SIZE_TARGET);
        at->open.entries = 0;
        const struct page *before = at->full.page;
        tree_load_set_separator(&at->open, level == 0 && before != NULL
                                               ? tree_load_separator(page_key(before, before->count - 1u), cell->key)
                                               : cell->key);
    }
    tree_load_append(load, &at->open, level, *cell);
    at->open.entries += entries;
}

void tree_load_add(struct tree_load *load, struct hf_bytes key, struct hf_bytes value)
{
    struct tree *tree = load->tree;
    struct hf_store_digest hash;
    if (value.size > HF_STORE_INLINE_SIZE_MAX) {
        struct blob *blob = blob_new(&load->context->memory, &value, 1, value.size);
        struct page_cell cell = page_cell_blob(key, &blob);
        hash = blob->hash;
        tree->live_bytes += blob_memory_size(blob);
        tree_load_cell(load, 0, &cell, 1);
    } else {
        struct page_cell cell = page_cell_inline(key, value);
        hash = digest_value(value);
        tree_load_cell(load, 0, &cell, 1);
    }
    tree->stat.entries++;
    tree->stat.key_bytes += key.size;
    tree->stat.value_bytes += value.size;
    digest_add(&tree->digest, digest_entry(tree->number, key, hash));
}

/* ---- Finishing ---- */

/* The first cell of `full` that goes to `open`, so that `open` is no smaller than other pages; as many as `full` has
 * when none goes. */
static unsigned tree_load_share_point(const struct page *full, const struct tree_load_page *open)
{
    unsigned least = full->level == 0 ? 1 : 2;
    unsigned first = full->count;
    size_t used = page_used(open->page) + (full->level > 0 ? open->separator.size : 0);
    while (first > least) {
        struct page_cell cell;
        page_cell_at(full, first - 1, &cell);
        size_t cost = tree_load_cost(&cell, full->level);
        bool has_least = open->page->count + full->count - first >= least;
        if (has_least && (used >= TREE_LOAD_LOW_BYTES || sizeof(*full) + used + cost > PAGE_SIZE_TARGET)) {
            break;
        }
        used += cost;
        first--;
    }
    return first;
}

/* Moves the last cells of `full` to the front of `open`, the last page of the level. */
static void tree_load_share(struct tree_load *load, unsigned level)
{
    struct tree_load_page *full = &load->levels[level].full;
    struct tree_load_page *open = &load->levels[level].open;
    unsigned first = tree_load_share_point(full->page, open);
    if (first == full->page->count) {
        return;
    }
    struct tree_load_page joined = {.page = tree_load_new(load, level, PAGE_SIZE_TARGET), .entries = open->entries};
    struct page_cell cell;
    for (unsigned i = first; i < full->page->count; i++) {
        page_cell_at(full->page, i, &cell);
        uint64_t entries = level == 0 ? 1 : page_cell_get_entries(&cell);
        tree_load_append(load, &joined, level, cell);
        joined.entries += entries;
        full->entries -= entries;
    }
    for (unsigned i = 0; i < open->page->count; i++) {
        page_cell_at(open->page, i, &cell);
        if (level > 0 && i == 0) {
            cell.key = buffer_bytes(&open->separator);
        }
        tree_load_append(load, &joined, level, cell);
    }
    struct hf_bytes key = page_key(full->page, first);
    tree_load_set_separator(&joined, level == 0 ? tree_load_separator(page_key(full->page, first - 1), key) : key);
    page_remove(full->page, first, full->page->count - first);
    tree_load_drop(load, open->page);
    buffer_close(&open->separator);
    *open = joined;
}

void tree_load_finish(struct tree_load *load)
{
    unsigned level = 0;
    while (level < TREE_HEIGHT_MAX && load->levels[level].full.page != NULL) {
        struct tree_load_level *at = &load->levels[level];
        tree_load_share(load, level);
        tree_load_fit(load, &at->full);
        tree_load_fit(load, &at->open);
        tree_load_push(load, level, &at->full);
        tree_load_push(load, level, &at->open);
        level++;
    }
    struct tree_load_page *root = &load->levels[level].open;
    if (root->page != NULL) {
        tree_load_fit(load, root);
        load->tree->root = root->page;
        load->tree->height = level + 1;
    }
    for (level = 0; level < TREE_HEIGHT_MAX; level++) {
        buffer_close(&load->levels[level].full.separator);
        buffer_close(&load->levels[level].open.separator);
    }
}
