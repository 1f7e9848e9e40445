/* What a store has allocated, counted where it happens, and the frames of its pages. Shared with whoever closes cuts.
 * Thread: any, but open and close. */
#ifndef STORE_MEMORY_ACCOUNT_H
#define STORE_MEMORY_ACCOUNT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "store/frame_pool.h"

#define MEMORY_ACCOUNT_POOLS 3u

struct memory_account {
    _Atomic uint64_t bytes; /* of pages and blobs */
    _Atomic uint64_t pages;
    struct frame_pool frames[MEMORY_ACCOUNT_POOLS]; /* for the larger pages once there are many: see page_new */
};

static inline void memory_account_add(struct memory_account *memory, size_t bytes, unsigned pages)
{
    atomic_fetch_add_explicit(&memory->bytes, bytes, memory_order_relaxed);
    atomic_fetch_add_explicit(&memory->pages, pages, memory_order_relaxed);
}
static inline void memory_account_subtract(struct memory_account *memory, size_t bytes, unsigned pages)
{
    atomic_fetch_sub_explicit(&memory->bytes, bytes, memory_order_relaxed);
    atomic_fetch_sub_explicit(&memory->pages, pages, memory_order_relaxed);
}

#endif
