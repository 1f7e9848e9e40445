#include "store/page.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"

static unsigned page_first_keyed(const struct page *page)
{
    return page->level == 0 ? 0 : 1;
}

/* ---- Reading cells ---- */

static uint32_t page_word(const struct page *page, unsigned position)
{
    uint32_t word;
    memcpy(&word, page_cell_data(page, position), sizeof(word));
    return word;
}

static size_t page_tail_size(uint32_t word)
{
    return (word & PAGE_WORD_BLOB) != 0 ? sizeof(struct blob *) : word;
}

struct blob *page_blob(const struct page *page, unsigned position)
{
    if ((page_word(page, position) & PAGE_WORD_BLOB) == 0) {
        return NULL;
    }
    struct blob *blob;
    memcpy(&blob, page_cell_data(page, position) + PAGE_FRONT_LEAF + page->slots[position].key_size, sizeof(blob));
    return blob;
}

struct hf_bytes page_value(const struct page *page, unsigned position)
{
    const struct blob *blob = page_blob(page, position);
    if (blob != NULL) {
        return bytes_of(blob->data, blob->size);
    }
    return bytes_of(page_cell_data(page, position) + PAGE_FRONT_LEAF + page->slots[position].key_size,
                    page_word(page, position));
}

struct page *page_child(const struct page *page, unsigned position)
{
    struct page *child;
    memcpy(&child, page_cell_data(page, position), sizeof(child));
    return child;
}

uint64_t page_child_entries(const struct page *page, unsigned position)
{
    uint64_t entries;
    memcpy(&entries, page_cell_data(page, position) + sizeof(struct page *), sizeof(entries));
    return entries;
}

void page_cell_at(const struct page *page, unsigned position, struct page_cell *cell)
{
    const uint8_t *data = page_cell_data(page, position);
    size_t front_size = page_front_size(page->level);
    size_t key_size = page->slots[position].key_size;
    memcpy(cell->front, data, front_size);
    cell->key = bytes_of(data + front_size, key_size);
    cell->tail =
        bytes_of(data + front_size + key_size, page->level == 0 ? page_tail_size(page_word(page, position)) : 0);
}

uint64_t page_entries(const struct page *page)
{
    if (page->level == 0) {
        return page->count;
    }
    uint64_t entries = 0;
    for (unsigned i = 0; i < page->count; i++) {
        entries += page_child_entries(page, i);
    }
    return entries;
}

size_t page_cell_size(const struct page_cell *cell, unsigned level)
{
    return page_front_size(level) + cell->key.size + cell->tail.size;
}

static size_t page_cell_size_at(const struct page *page, unsigned position)
{
    size_t tail_size = page->level == 0 ? page_tail_size(page_word(page, position)) : 0;
    return page_front_size(page->level) + page->slots[position].key_size + tail_size;
}

/* ---- Life ---- */

size_t page_capacity_for(size_t used)
{
    size_t needed = used + sizeof(struct page);
    size_t capacity = PAGE_SIZE_MIN;
    while (capacity < needed && capacity < PAGE_SIZE_TARGET) {
        /* 256, 384, 512, 768, 1024, …: a page wastes a third of itself at most */
        capacity += (capacity & (capacity - 1)) == 0 ? capacity / 2 : capacity / 3;
    }
    if (capacity < needed) {
        capacity = (needed + PAGE_SIZE_MIN - 1) / PAGE_SIZE_MIN * PAGE_SIZE_MIN;
    }
    assert(capacity <= PAGE_SIZE_MAX);
    return capacity;
}

/* Half, three quarters and all of the target: what page_capacity_for gives the pages of a tree that was split. */
static const size_t page_pool_capacities[MEMORY_ACCOUNT_POOLS] = {PAGE_SIZE_TARGET / 2, PAGE_SIZE_TARGET / 4 * 3,
                                                                  PAGE_SIZE_TARGET};

void page_pools_open(struct memory_account *memory)
{
    for (unsigned i = 0; i < MEMORY_ACCOUNT_POOLS; i++) {
        frame_pool_open(&memory->frames[i], page_pool_capacities[i]);
    }
}

void page_pools_close(struct memory_account *memory)
{
    for (unsigned i = 0; i < MEMORY_ACCOUNT_POOLS; i++) {
        frame_pool_close(&memory->frames[i]);
    }
}

void page_pools_prepare(struct memory_account *memory)
{
    for (unsigned i = 0; i < MEMORY_ACCOUNT_POOLS; i++) {
        frame_pool_prepare(&memory->frames[i]);
    }
}

void page_pools_rest(struct memory_account *memory)
{
    for (unsigned i = 0; i < MEMORY_ACCOUNT_POOLS; i++) {
        frame_pool_rest(&memory->frames[i]);
    }
}

static unsigned page_pool_for(struct memory_account *memory, size_t capacity)
{
    unsigned pool = 0;
    while (pool < MEMORY_ACCOUNT_POOLS && page_pool_capacities[pool] != capacity) {
        pool++;
    }
    bool is_large = atomic_load_explicit(&memory->bytes, memory_order_relaxed) >= PAGE_FRAMES_AFTER;
    return is_large ? pool : PAGE_POOL_NONE;
}

struct page *page_new(struct memory_account *memory, unsigned level, size_t capacity)
{
    assert(capacity <= PAGE_SIZE_MAX);
    unsigned pool = page_pool_for(memory, capacity);
    struct page *page = pool != PAGE_POOL_NONE ? frame_pool_take(&memory->frames[pool]) : NULL;
    if (page == NULL) {
        pool = PAGE_POOL_NONE;
        page = memory_resize(NULL, capacity);
    }
    atomic_init(&page->references, 1);
    page->pool = (uint8_t)pool;
    page->level = (uint8_t)level;
    page->count = 0;
    page->capacity = (uint32_t)capacity;
    page->heap = (uint32_t)capacity;
    page->dead = 0;
    page->shared_size = 0;
    page->blob_count = 0;
    memory_account_add(memory, capacity, 1);
    return page;
}

struct page *page_copy(struct memory_account *memory, const struct page *page, size_t capacity)
{
    struct page *copy = page_new(memory, page->level, capacity);
    assert(page_used(page) + sizeof(*page) <= capacity);
    copy->count = page->count;
    copy->shared_size = page->shared_size;
    copy->blob_count = page->blob_count;
    if (page->capacity == capacity && page->dead == 0) {
        copy->heap = page->heap;
        memcpy(copy->slots, page->slots, page->count * sizeof(struct page_slot));
        memcpy((uint8_t *)copy + copy->heap, (const uint8_t *)page + page->heap, page->capacity - page->heap);
        return copy;
    }
    for (unsigned i = 0; i < page->count; i++) {
        size_t size = page_cell_size_at(page, i);
        copy->heap -= (uint32_t)size;
        memcpy((uint8_t *)copy + copy->heap, page_cell_data(page, i), size);
        copy->slots[i] = page->slots[i];
        copy->slots[i].offset = (uint16_t)copy->heap;
    }
    return copy;
}

void page_retain_cells(const struct page *page)
{
    if (page->level > 0) {
        for (unsigned i = 0; i < page->count; i++) {
            page_retain(page_child(page, i));
        }
        return;
    }
    for (unsigned i = 0; i < page->count && page->blob_count > 0; i++) {
        struct blob *blob = page_blob(page, i);
        if (blob != NULL) {
            blob_retain(blob);
        }
    }
}

void page_free(struct memory_account *memory, struct page *page)
{
    memory_account_subtract(memory, page->capacity, 1);
    if (page->pool != PAGE_POOL_NONE) {
        frame_pool_give(&memory->frames[page->pool], page);
    } else {
        free(page);
    }
}

void page_release(struct memory_account *memory, struct page *page)
{
    if (atomic_fetch_sub_explicit(&page->references, 1, memory_order_acq_rel) != 1) {
        return;
    }
    if (page->level > 0) {
        for (unsigned i = 0; i < page->count; i++) {
            page_release(memory, page_child(page, i)); /* as deep as the tree is high */
        }
    } else {
        for (unsigned i = 0; i < page->count && page->blob_count > 0; i++) {
            struct blob *blob = page_blob(page, i);
            if (blob != NULL) {
                blob_release(memory, blob);
            }
        }
    }
    page_free(memory, page);
}

/* ---- Searching ---- */

/* Four bytes of the key from `skip` on as a number; a key that ends is padded with zeros, which keeps the order. */
static uint32_t page_head(struct hf_bytes key, size_t skip)
{
    const uint8_t *at = (const uint8_t *)key.data + skip;
    size_t size = key.size > skip ? key.size - skip : 0;
    if (size >= 4) {
        return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
    }
    uint32_t head = 0;
    for (size_t i = 0; i < size; i++) {
        head |= (uint32_t)at[i] << (24 - 8 * i);
    }
    return head;
}

/* Compares without the first `skip` bytes, which the caller knows or hopes to be equal. */
static int page_compare_rest(struct hf_bytes a, struct hf_bytes b, size_t skip)
{
    assert(a.size >= skip && b.size >= skip);
    return bytes_compare(bytes_of((const uint8_t *)a.data + skip, a.size - skip),
                         bytes_of((const uint8_t *)b.data + skip, b.size - skip));
}

/* The first position in [low, count) whose head is ≥ head. Without a branch that depends on the keys: the processor
 * would guess every second one wrong. */
static unsigned page_bound_head(const struct page *page, uint32_t head, unsigned low)
{
    unsigned left = page->count - low;
    while (left > 1) {
        unsigned half = left / 2;
        low += (page->slots[low + half - 1].head < head) * half;
        left -= half;
    }
    return low + (left == 1 && page->slots[low].head < head);
}

/* The first position in [low, count) whose key is ≥ key (order_min 0) or > key (order_min 1). Right only if key shares
 * the page's prefix. */
static unsigned page_bound(const struct page *page, struct hf_bytes key, unsigned low, int order_min)
{
    size_t skip = page->shared_size;
    uint32_t head = page_head(key, skip);
    low = page_bound_head(page, head, low);
    unsigned high = low;
    while (high < page->count && page->slots[high].head == head) {
        high++;
    }
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (page_compare_rest(page_key(page, middle), key, skip) < order_min) {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    return low;
}

/* How the key's first shared_size bytes compare with those that all keys of the page begin with: looked up in the cell
 * at `position`, which the caller reads anyway. */
static int page_compare_shared(const struct page *page, struct hf_bytes key, unsigned position)
{
    size_t shared = page->shared_size;
    size_t common = key.size < shared ? key.size : shared;
    int order = common > 0 ? memcmp(key.data, page_key(page, position).data, common) : 0;
    if (order == 0 && key.size < shared) {
        order = -1;
    }
    return order;
}

unsigned page_find(const struct page *page, struct hf_bytes key, bool *found)
{
    *found = false;
    if (page->count == 0) {
        return 0;
    }
    if (key.size < page->shared_size) {
        return page_compare_shared(page, key, 0) < 0 ? 0 : page->count;
    }
    unsigned position = page_bound(page, key, 0, 0);
    unsigned near = position < page->count ? position : position - 1;
    int order = page_compare_shared(page, key, near);
    if (order != 0) {
        return order < 0 ? 0 : page->count;
    }
    *found = position < page->count && page_compare_rest(page_key(page, position), key, page->shared_size) == 0;
    return position;
}

void page_expect(const struct page *page, struct hf_bytes key)
{
    unsigned low = page_bound_head(page, page_head(key, page->shared_size), 0);
    if (low < page->count) {
        const uint8_t *data = page_cell_data(page, low);
        for (unsigned line = 0; line < PAGE_EXPECT_LINES; line++) {
            __builtin_prefetch(data + line * 64);
        }
    }
}

unsigned page_find_child(const struct page *page, struct hf_bytes key)
{
    assert(page->level > 0 && page->count > 0);
    if (page->count == 1) {
        return 0;
    }
    if (key.size < page->shared_size) {
        return page_compare_shared(page, key, 1) < 0 ? 0 : page->count - 1u;
    }
    /* One before the first separator above the key. Its cell is read next, for the pointer in it. */
    unsigned position = page_bound(page, key, 1, 1) - 1;
    int order = page_compare_shared(page, key, position > 0 ? position : 1);
    if (order != 0) {
        return order < 0 ? 0 : page->count - 1u;
    }
    return position;
}

/* ---- Changing ---- */

static void page_heads_refresh(struct page *page)
{
    for (unsigned i = page_first_keyed(page); i < page->count; i++) {
        page->slots[i].head = page_head(page_key(page, i), page->shared_size);
    }
}

/* Shortens what all keys share so that it holds for `key` too. Keyed cells before the insertion: at least one. */
static void page_share_with(struct page *page, struct hf_bytes key)
{
    struct hf_bytes other = page_key(page, page->count - 1u);
    size_t size = page->shared_size;
    if (key.size < size) {
        size = key.size;
    }
    const uint8_t *a = key.data;
    const uint8_t *b = other.data;
    size_t common = 0;
    if (size > 0 && memcmp(a, b, size) == 0) {
        common = size;
    } else {
        while (common < size && a[common] == b[common]) {
            common++;
        }
    }
    if (common < page->shared_size) {
        page->shared_size = (uint16_t)common;
        page_heads_refresh(page);
    }
}

/* Writes the cell below all others and points the slot at it. */
static void page_place(struct page *page, unsigned position, const struct page_cell *cell)
{
    size_t front_size = page_front_size(page->level);
    page->heap -= (uint32_t)page_cell_size(cell, page->level);
    uint8_t *data = (uint8_t *)page + page->heap;
    memcpy(data, cell->front, front_size);
    if (cell->key.size > 0) {
        memcpy(data + front_size, cell->key.data, cell->key.size);
    }
    if (cell->tail.size > 0) {
        memcpy(data + front_size + cell->key.size, cell->tail.data, cell->tail.size);
    }
    page->slots[position].offset = (uint16_t)page->heap;
    page->slots[position].key_size = (uint16_t)cell->key.size;
}

static bool page_cell_is_blob(const struct page_cell *cell)
{
    uint32_t word;
    memcpy(&word, cell->front, sizeof(word));
    return (word & PAGE_WORD_BLOB) != 0;
}

void page_insert(struct page *page, unsigned position, const struct page_cell *cell)
{
    unsigned first_keyed = page_first_keyed(page);
    assert(position <= page->count && (position >= first_keyed || page->count == 0));
    assert(page_room(page) >= page_cell_size(cell, page->level) + sizeof(struct page_slot));
    if (position >= first_keyed) {
        if (page->count > first_keyed) {
            page_share_with(page, cell->key);
        } else {
            page->shared_size = (uint16_t)cell->key.size;
        }
    }
    memmove(page->slots + position + 1, page->slots + position, (page->count - position) * sizeof(struct page_slot));
    page->count++;
    page_place(page, position, cell);
    page->slots[position].head = position >= first_keyed ? page_head(cell->key, page->shared_size) : 0;
    if (page->level == 0 && page_cell_is_blob(cell)) {
        page->blob_count++;
    }
}

bool page_replace(struct page *page, unsigned position, const struct page_cell *cell)
{
    assert(page->level == 0);
    size_t size_old = page_cell_size_at(page, position);
    size_t size_new = page_cell_size(cell, 0);
    bool was_blob = page_blob(page, position) != NULL;
    if (size_new <= size_old) {
        /* The key is the same and stays where it is. */
        uint8_t *data = (uint8_t *)page + page->slots[position].offset;
        memcpy(data, cell->front, PAGE_FRONT_LEAF);
        if (cell->tail.size > 0) {
            memcpy(data + PAGE_FRONT_LEAF + cell->key.size, cell->tail.data, cell->tail.size);
        }
        page->dead += (uint32_t)(size_old - size_new);
    } else if (size_new <= page_room(page) &&
               page_used(page) + size_new - size_old + sizeof(*page) <= PAGE_SIZE_TARGET) {
        page->dead += (uint32_t)size_old;
        page_place(page, position, cell);
    } else {
        return false;
    }
    page->blob_count = (uint16_t)(page->blob_count + page_cell_is_blob(cell) - was_blob);
    return true;
}

void page_remove(struct page *page, unsigned position, unsigned count)
{
    assert(position + count <= page->count);
    for (unsigned i = position; i < position + count; i++) {
        page->dead += (uint32_t)page_cell_size_at(page, i);
        if (page->level == 0 && page_blob(page, i) != NULL) {
            page->blob_count--;
        }
    }
    page->count = (uint16_t)(page->count - count);
    memmove(page->slots + position, page->slots + position + count,
            (page->count - position) * sizeof(struct page_slot));
    if (page->level > 0 && position == 0 && page->count > 0) {
        /* The new first child needs no separator: nothing under this page lies before it. */
        page->dead += page->slots[0].key_size;
        page->slots[0].key_size = 0;
        page->slots[0].head = 0;
    }
    if (page->count == 0) {
        page->heap = page->capacity;
        page->dead = 0;
    }
}

void page_set_child(struct page *page, unsigned position, struct page *child)
{
    memcpy((uint8_t *)page + page->slots[position].offset, &child, sizeof(child));
}

void page_set_child_entries(struct page *page, unsigned position, uint64_t entries)
{
    memcpy((uint8_t *)page + page->slots[position].offset + sizeof(struct page *), &entries, sizeof(entries));
}

void page_add_child_entries(struct page *page, unsigned position, int64_t delta)
{
    page_set_child_entries(page, position, page_child_entries(page, position) + (uint64_t)delta);
}

/* ---- Making cells ---- */

struct page_cell page_cell_inline(struct hf_bytes key, struct hf_bytes value)
{
    struct page_cell cell = {.key = key, .tail = value};
    uint32_t word = (uint32_t)value.size;
    memcpy(cell.front, &word, sizeof(word));
    return cell;
}

struct page_cell page_cell_blob(struct hf_bytes key, struct blob *const *blob)
{
    struct page_cell cell = {.key = key, .tail = {blob, sizeof(*blob)}};
    uint32_t word = (*blob)->size | PAGE_WORD_BLOB;
    memcpy(cell.front, &word, sizeof(word));
    return cell;
}

struct page_cell page_cell_child(struct hf_bytes separator, struct page *child, uint64_t entries)
{
    struct page_cell cell = {.key = separator};
    memcpy(cell.front, &child, sizeof(child));
    memcpy(cell.front + sizeof(child), &entries, sizeof(entries));
    return cell;
}

struct page *page_cell_get_child(const struct page_cell *cell)
{
    struct page *child;
    memcpy(&child, cell->front, sizeof(child));
    return child;
}

uint64_t page_cell_get_entries(const struct page_cell *cell)
{
    uint64_t entries;
    memcpy(&entries, cell->front + sizeof(struct page *), sizeof(entries));
    return entries;
}
