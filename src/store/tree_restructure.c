/* How pages split, merge, share out and disappear: one routine for all of it.
 *
 * Take the cells of a page (or of two neighbours) out, with what is inserted or replaced; pack them into as few new
 * pages as hold them (tree_pack); put these in place of the old ones in the parent (tree_replace), which may overflow
 * or run low in turn. Separators and keys stay lent from the old pages and from the parent until the level above is
 * done, so old pages are given up last, on the way back. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "store/tree.h"

#define TREE_ITEMS_MAX 32u
/* Two full leaves of empty values under one-byte keys are the most cells that can ever be gathered. */
#define TREE_CELLS_MAX  (2 * PAGE_SIZE_TARGET / (sizeof(struct page_slot) + PAGE_FRONT_LEAF) + 64)
#define TREE_LOW_BYTES  (PAGE_SIZE_TARGET / 4)      /* a page with fewer is merged or topped up */
#define TREE_JOIN_BYTES (PAGE_SIZE_TARGET * 9 / 10) /* two pages are merged when this holds both */

/* Pages that take the place of others below one parent. The first one keeps the separator that is there already. */
struct tree_items {
    struct {
        struct page *page;
        uint64_t entries;
        struct hf_bytes separator;
    } items[TREE_ITEMS_MAX];
    unsigned count;
};

struct tree_cells {
    unsigned level;
    bool is_append; /* the last cell is new and the last of the whole level: leave what is before it packed */
    unsigned count;
    struct page_cell cells[TREE_CELLS_MAX];
};

static void tree_replace(struct tree_context *context, struct tree *tree, struct tree_path *path, unsigned level,
                         unsigned first, unsigned removed, const struct tree_items *items);

/* ---- Packing ---- */

static size_t tree_cell_cost(const struct page_cell *cell, unsigned level)
{
    return page_cell_size(cell, level) + sizeof(struct page_slot);
}

static struct page_cell tree_without_key(const struct page_cell *cell)
{
    struct page_cell bare = *cell;
    bare.key = bytes_of("", 0);
    return bare;
}

/* What a page of cells [first, end) uses: the first separator of an inner page is not stored. */
static size_t tree_cells_used(const struct tree_cells *cells, unsigned first, unsigned end)
{
    size_t used = 0;
    for (unsigned i = first; i < end; i++) {
        used += tree_cell_cost(&cells->cells[i], cells->level);
    }
    return cells->level > 0 && end > first ? used - cells->cells[first].key.size : used;
}

static void tree_build_page(struct tree_context *context, struct tree *tree, const struct tree_cells *cells,
                            unsigned first, unsigned end, struct tree_items *items)
{
    size_t capacity = page_capacity_for(tree_cells_used(cells, first, end));
    struct page *page = page_new(&context->memory, cells->level, capacity);
    tree->live_bytes += capacity;
    for (unsigned i = first; i < end; i++) {
        struct page_cell bare = tree_without_key(&cells->cells[i]);
        page_insert(page, i - first, cells->level > 0 && i == first ? &bare : &cells->cells[i]);
    }
    struct hf_bytes separator = cells->cells[first].key;
    if (cells->level == 0 && first > 0) {
        /* The shortest key that tells the two leaves apart. */
        struct hf_bytes before = cells->cells[first - 1].key;
        const uint8_t *a = before.data;
        const uint8_t *b = separator.data;
        size_t common = 0;
        while (common < before.size && common < separator.size && a[common] == b[common]) {
            common++;
        }
        separator.size = common + 1;
    }
    assert(items->count < TREE_ITEMS_MAX);
    items->items[items->count].page = page;
    items->items[items->count].entries = page_entries(page);
    items->items[items->count].separator = separator;
    items->count++;
}

/* Where to part cells [first, end): as near to half of the bytes as the smallest pages allow. */
static unsigned tree_split_point(const struct tree_cells *cells, unsigned first, unsigned end)
{
    unsigned least = cells->level == 0 ? 1 : 2;
    if (cells->is_append && end == cells->count) {
        return end - least;
    }
    size_t total = tree_cells_used(cells, first, end);
    size_t before = 0;
    unsigned point = first;
    while (point < end - least) {
        size_t cost = tree_cell_cost(&cells->cells[point], cells->level);
        if (point >= first + least && before + cost / 2 > total / 2) {
            break;
        }
        before += cost;
        point++;
    }
    return point;
}

/* Packs cells [first, end) into pages of at most `limit` bytes, in order, behind what is in items. */
static void tree_pack(struct tree_context *context, struct tree *tree, const struct tree_cells *cells, unsigned first,
                      unsigned end, size_t limit, struct tree_items *items)
{
    unsigned alone = cells->level == 0 ? PAGE_LEAF_ALONE : PAGE_INNER_ALONE;
    if (end - first <= alone || tree_cells_used(cells, first, end) + sizeof(struct page) <= limit) {
        if (end > first) {
            tree_build_page(context, tree, cells, first, end, items);
        }
        return;
    }
    unsigned point = tree_split_point(cells, first, end);
    tree_pack(context, tree, cells, first, point, PAGE_SIZE_TARGET, items);
    tree_pack(context, tree, cells, point, end, PAGE_SIZE_TARGET, items);
}

static struct tree_cells *tree_cells_new(unsigned level)
{
    struct tree_cells *cells = memory_resize(NULL, sizeof(*cells));
    cells->level = level;
    cells->is_append = false;
    cells->count = 0;
    return cells;
}

static void tree_cells_add(struct tree_cells *cells, const struct page_cell *cell)
{
    assert(cells->count < TREE_CELLS_MAX);
    cells->cells[cells->count++] = *cell;
}

static void tree_cells_add_page(struct tree_cells *cells, const struct page *page, unsigned first, unsigned end)
{
    for (unsigned i = first; i < end; i++) {
        struct page_cell cell;
        page_cell_at(page, i, &cell);
        tree_cells_add(cells, &cell);
    }
}

/* ---- Replacing ---- */

static void tree_replace_root(struct tree_context *context, struct tree *tree, const struct tree_items *items)
{
    struct tree_items now = *items;
    while (now.count > 1) {
        struct tree_cells *cells = tree_cells_new(tree->height);
        for (unsigned i = 0; i < now.count; i++) {
            struct page_cell cell = page_cell_child(now.items[i].separator, now.items[i].page, now.items[i].entries);
            tree_cells_add(cells, &cell);
        }
        now.count = 0;
        assert(tree->height < TREE_HEIGHT_MAX);
        tree->height++;
        tree_pack(context, tree, cells, 0, cells->count, PAGE_SIZE_TARGET, &now);
        free(cells);
    }
    tree->root = now.count > 0 ? now.items[0].page : NULL;
    if (tree->root == NULL) {
        tree->height = 0;
    }
}

static void tree_drop_page(struct tree_context *context, struct tree *tree, struct page *page)
{
    tree->live_bytes -= page->capacity;
    page_free(&context->memory, page);
}

/* In place of children [first, first + removed) of the page at `level`: the items. Rebuilds that page. */
static void tree_replace_rebuild(struct tree_context *context, struct tree *tree, struct tree_path *path,
                                 unsigned level, unsigned first, unsigned removed, const struct tree_items *items)
{
    struct page *page = path->steps[level].page;
    struct tree_cells *cells = tree_cells_new(level);
    tree_cells_add_page(cells, page, 0, first);
    for (unsigned i = 0; i < items->count; i++) {
        struct hf_bytes separator = i > 0 ? items->items[i].separator : page_key(page, first);
        struct page_cell cell = page_cell_child(separator, items->items[i].page, items->items[i].entries);
        tree_cells_add(cells, &cell);
    }
    cells->is_append = first + removed == page->count && items->count > removed;
    for (unsigned above = level + 1; above < tree->height; above++) {
        cells->is_append &= path->steps[above].position + 1 == path->steps[above].page->count;
    }
    tree_cells_add_page(cells, page, first + removed, page->count);
    struct tree_items packed = {.count = 0};
    tree_pack(context, tree, cells, 0, cells->count, PAGE_SIZE_TARGET, &packed);
    tree_replace(context, tree, path, level + 1, path->steps[level + 1].position, 1, &packed);
    tree_drop_page(context, tree, page);
    free(cells);
}

/* The same; `level` may be that of a root that does not exist yet. */
static void tree_replace(struct tree_context *context, struct tree *tree, struct tree_path *path, unsigned level,
                         unsigned first, unsigned removed, const struct tree_items *items)
{
    if (level == tree->height) {
        tree_replace_root(context, tree, items);
        return;
    }
    struct page *page = path->steps[level].page;
    struct page_cell added = {.key = {"", 0}};
    bool is_insertion = false;
    if (removed == 1 && items->count == 2) {
        added = page_cell_child(items->items[1].separator, items->items[1].page, items->items[1].entries);
        size_t used = page_used(page) + tree_cell_cost(&added, level);
        is_insertion = used + sizeof(*page) <= PAGE_SIZE_TARGET;
        if (is_insertion && page_room(page) < tree_cell_cost(&added, level)) {
            size_t capacity = page_capacity_for(used);
            tree_resize_page(context, tree, path, level, capacity > page->capacity ? capacity : page->capacity);
            page = path->steps[level].page;
        }
    }
    if (items->count == 0) {
        page_remove(page, first, removed);
    } else if (items->count == 1) {
        page_set_child(page, first, items->items[0].page);
        page_set_child_entries(page, first, items->items[0].entries);
        page_remove(page, first + 1, removed - 1);
    } else if (is_insertion) {
        page_set_child(page, first, items->items[0].page);
        page_set_child_entries(page, first, items->items[0].entries);
        page_insert(page, first + 1, &added);
    } else {
        tree_replace_rebuild(context, tree, path, level, first, removed, items);
        return;
    }
    tree_settle(context, tree, path, level);
}

/* ---- Growing and shrinking ---- */

void tree_overflow(struct tree_context *context, struct tree *tree, struct tree_path *path,
                   const struct page_cell *cell)
{
    struct page *page = path->steps[0].page;
    unsigned position = path->steps[0].position;
    struct tree_cells *cells = tree_cells_new(0);
    tree_cells_add_page(cells, page, 0, position);
    tree_cells_add(cells, cell);
    tree_cells_add_page(cells, page, position, page->count);
    cells->is_append = position == page->count;
    for (unsigned above = 1; above < tree->height; above++) {
        cells->is_append &= path->steps[above].position + 1 == path->steps[above].page->count;
    }
    struct tree_items packed = {.count = 0};
    tree_pack(context, tree, cells, 0, cells->count, PAGE_SIZE_TARGET, &packed);
    tree_replace(context, tree, path, 1, tree->height > 1 ? path->steps[1].position : 0, 1, &packed);
    tree_drop_page(context, tree, page);
    free(cells);
}

/* A root with one child is one level too many. */
static void tree_settle_root(struct tree_context *context, struct tree *tree)
{
    while (tree->height > 1 && tree->root->count == 1) {
        struct page *child = page_child(tree->root, 0);
        assert(!page_is_shared(tree->root)); /* it lies on an owned path: it had two children before */
        tree_drop_page(context, tree, tree->root);
        tree->root = child;
        tree->height--;
    }
    if (tree->root->count == 0) {
        assert(tree->height == 1);
        tree_drop_page(context, tree, tree->root);
        tree->root = NULL;
        tree->height = 0;
    }
}

/* Joins the page at `level` with a neighbour, or shares their cells out evenly. */
static void tree_join(struct tree_context *context, struct tree *tree, struct tree_path *path, unsigned level)
{
    struct page *parent = path->steps[level + 1].page;
    unsigned position = path->steps[level + 1].position;
    unsigned first = position > 0 ? position - 1 : 0;
    struct page *page = path->steps[level].page;
    struct page *neighbour = page_child(parent, position > 0 ? first : first + 1);
    struct page *left = position > 0 ? neighbour : page;
    struct page *right = position > 0 ? page : neighbour;
    struct tree_cells *cells = tree_cells_new(level);
    tree_cells_add_page(cells, left, 0, left->count);
    unsigned joint = cells->count;
    tree_cells_add_page(cells, right, 0, right->count);
    if (level > 0) {
        cells->cells[joint].key = page_key(parent, first + 1);
    }
    /* A cut that shares the neighbour keeps it as it is: its cells are then held twice. */
    bool is_shared = page_is_shared(neighbour);
    if (is_shared) {
        page_retain_cells(neighbour);
        context->pages_copied++;
    }
    struct tree_items packed = {.count = 0};
    tree_pack(context, tree, cells, 0, cells->count, TREE_JOIN_BYTES, &packed);
    tree_replace(context, tree, path, level + 1, first, 2, &packed);
    tree_drop_page(context, tree, page);
    if (is_shared) {
        tree->live_bytes -= neighbour->capacity;
        page_release(&context->memory, neighbour);
    } else {
        tree_drop_page(context, tree, neighbour);
    }
    free(cells);
}

void tree_settle(struct tree_context *context, struct tree *tree, struct tree_path *path, unsigned level)
{
    struct page *page = path->steps[level].page;
    if (level + 1 == tree->height) {
        tree_settle_root(context, tree);
        return;
    }
    if (page->count == 0) {
        struct tree_items none = {.count = 0};
        tree_replace(context, tree, path, level + 1, path->steps[level + 1].position, 1, &none);
        tree_drop_page(context, tree, page);
        return;
    }
    bool is_low = page_used(page) < TREE_LOW_BYTES || (level > 0 && page->count < 2);
    if (is_low && path->steps[level + 1].page->count > 1) {
        tree_join(context, tree, path, level);
    }
}
