/* What a store has allocated, counted where it happens. Shared with whoever closes cuts. */
#ifndef STORE_MEMORY_ACCOUNT_H
#define STORE_MEMORY_ACCOUNT_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

struct memory_account {
    _Atomic uint64_t bytes;
    _Atomic uint64_t pages;
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
