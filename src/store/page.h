/* Pages of the memory tree: slotted, reference-counted, and of a size that fits the data.
 *
 *   struct page | slots, by key → | free | ← cells, in order of insertion
 *
 *   slot   head u32: four bytes of the key behind what all keys of the page share, so that a search reads slots only
 * and touches one cell at the end; offset and key size of the cell cell   leaf:   value word u32 (size, and whether the
 * value is a blob), key, value bytes or pointer to a blob inner:  child pointer, number of entries below it, separator
 * key (child 0 has none: its size is 0)
 *
 * A separator is ≤ every key below its child and > every key below the child before it.
 *
 * Sharing: a page is changed in place only by the store's owner and only while the owner's is the one reference on the
 * whole path from the root. References are dropped with release order and looked at with acquire order, so that a page
 * found unshared is no longer read by anybody. Only the owner adds references. Thread: any for page_release,
 * blob_release and reading; the rest the owner's. */
#ifndef STORE_PAGE_H
#define STORE_PAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "holdfast/bytes.h"
#include "holdfast/store.h"
#include "store/blob.h"
#include "store/memory_account.h"

#ifndef PAGE_SIZE_TARGET
#define PAGE_SIZE_TARGET 4096u /* a page that would grow beyond it is split; see README.md for the measurement */
#endif
#ifndef PAGE_PREFETCH_LINES
#define PAGE_PREFETCH_LINES 4u
#endif
#define PAGE_EXPECT_LINES 3u     /* of a cell: key and a small value */
#define PAGE_SIZE_MIN     256u   /* where the root of a small tree begins */
#define PAGE_SIZE_MAX     32768u /* what large keys can make of a page that has too few cells to be split */
#ifndef PAGE_FRAMES_AFTER
#define PAGE_FRAMES_AFTER                                                                      \
    (16u << 20) /* a store with less takes its pages from malloc: groups can be many and small \
                 */
#endif
#define PAGE_POOL_NONE   MEMORY_ACCOUNT_POOLS
#define PAGE_FRONT_LEAF  4u
#define PAGE_FRONT_INNER 16u
#define PAGE_WORD_BLOB   0x80000000u
#define PAGE_LEAF_ALONE  1u /* cells that a leaf may hold although it is above the target */
#define PAGE_INNER_ALONE 3u /* the same for an inner page, whose halves need two children each */

struct page_slot {
    uint32_t head;
    uint16_t offset;
    uint16_t key_size;
};

struct page {
    _Atomic uint32_t references;
    uint8_t level; /* 0: leaf */
    uint8_t pool;  /* whose frame it is, PAGE_POOL_NONE: from malloc */
    uint16_t count;
    uint32_t capacity;    /* bytes of the allocation */
    uint32_t heap;        /* offset of the lowest cell */
    uint32_t dead;        /* bytes above heap that belong to no cell any more */
    uint16_t shared_size; /* bytes that all keys have in common: heads begin behind them */
    uint16_t blob_count;
    struct page_slot slots[];
};

/* A cell outside of a page, lent from wherever it is. */
struct page_cell {
    uint8_t front[PAGE_FRONT_INNER]; /* as much of it as the level has */
    struct hf_bytes key;
    struct hf_bytes tail; /* leaf: the value's bytes or the pointer to its blob */
};

static inline size_t page_front_size(unsigned level)
{
    return level == 0 ? PAGE_FRONT_LEAF : PAGE_FRONT_INNER;
}
static inline const uint8_t *page_cell_data(const struct page *page, unsigned position)
{
    return (const uint8_t *)page + page->slots[position].offset;
}
static inline struct hf_bytes page_key(const struct page *page, unsigned position)
{
    return (struct hf_bytes){page_cell_data(page, position) + page_front_size(page->level),
                             page->slots[position].key_size};
}
/* Bytes in use behind the header, dead ones not counted. */
static inline size_t page_used(const struct page *page)
{
    return page->count * sizeof(struct page_slot) + page->capacity - page->heap - page->dead;
}
/* Free bytes in one piece between slots and cells. */
static inline size_t page_room(const struct page *page)
{
    return page->heap - sizeof(struct page) - page->count * sizeof(struct page_slot);
}
static inline bool page_is_shared(struct page *page)
{
    return atomic_load_explicit(&page->references, memory_order_acquire) != 1;
}
static inline void page_retain(struct page *page)
{
    atomic_fetch_add_explicit(&page->references, 1, memory_order_relaxed);
}

/* Asks for the part of a page that a search reads first, all lines at once: one wait for memory instead of four. */
static inline void page_prefetch(const struct page *page)
{
    for (unsigned line = 0; line < PAGE_PREFETCH_LINES; line++) {
        __builtin_prefetch((const uint8_t *)page + line * 64);
    }
}

/* ---- Life ---- */

/* The pools of an account, one per capacity that pages of large trees have. */
void page_pools_open(struct memory_account *memory);
void page_pools_close(struct memory_account *memory);
/* frame_pool_prepare and frame_pool_rest, of all of them. Thread: any. */
void page_pools_prepare(struct memory_account *memory);
void page_pools_rest(struct memory_account *memory);
/* An empty page with one reference. capacity: PAGE_SIZE_MIN … PAGE_SIZE_MAX. */
struct page *page_new(struct memory_account *memory, unsigned level, size_t capacity);
/* A compact copy with one reference; its cells' children and blobs gain no reference: see page_retain_cells. */
struct page *page_copy(struct memory_account *memory, const struct page *page, size_t capacity);
/* One reference more for every child and blob of the page. */
void page_retain_cells(const struct page *page);
/* Frees a page whose cells live on elsewhere. */
void page_free(struct memory_account *memory, struct page *page);
/* Drops a reference; the last one frees the page and drops the references of its cells. */
void page_release(struct memory_account *memory, struct page *page);
/* The capacity that a page with this many used bytes gets. */
size_t page_capacity_for(size_t used);

/* ---- Reading ---- */

/* Leaf: the position of the first key ≥ key; *found when it is equal. */
unsigned page_find(const struct page *page, struct hf_bytes key, bool *found);
/* Leaf: asks for the cell that page_find will probably look at. */
void page_expect(const struct page *page, struct hf_bytes key);
/* Inner: the child whose keys may contain key. */
unsigned page_find_child(const struct page *page, struct hf_bytes key);
struct page *page_child(const struct page *page, unsigned position);
uint64_t page_child_entries(const struct page *page, unsigned position);
/* Leaf: the value, inline or in its blob. */
struct hf_bytes page_value(const struct page *page, unsigned position);
/* Leaf: NULL when the value is inline. */
struct blob *page_blob(const struct page *page, unsigned position);
void page_cell_at(const struct page *page, unsigned position, struct page_cell *cell);
uint64_t page_entries(const struct page *page); /* of the whole subtree */

/* ---- Changing an unshared page ---- */

size_t page_cell_size(const struct page_cell *cell, unsigned level);
/* Needs page_room ≥ the cell's size + a slot. An inner page is never inserted into at 0 while it has cells. */
void page_insert(struct page *page, unsigned position, const struct page_cell *cell);
/* Puts another cell with the same key in place of one. false, and nothing changed, when there is no room for it or
 * the page would outgrow the target. Leaf. */
bool page_replace(struct page *page, unsigned position, const struct page_cell *cell);
void page_remove(struct page *page, unsigned position, unsigned count);
void page_set_child(struct page *page, unsigned position, struct page *child);
void page_set_child_entries(struct page *page, unsigned position, uint64_t entries);
void page_add_child_entries(struct page *page, unsigned position, int64_t delta);

/* ---- Making cells ---- */

struct page_cell page_cell_inline(struct hf_bytes key, struct hf_bytes value);
/* The cell's tail is lent from *blob: the variable, not what it points to. */
struct page_cell page_cell_blob(struct hf_bytes key, struct blob *const *blob);
struct page_cell page_cell_child(struct hf_bytes separator, struct page *child, uint64_t entries);
struct page *page_cell_get_child(const struct page_cell *cell);
uint64_t page_cell_get_entries(const struct page_cell *cell);

#endif
