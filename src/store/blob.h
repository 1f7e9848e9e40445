/* Values too large for a page: reference-counted, never changed after they were made, shared by the present and all
 * cuts. Thread: references are added by the store's owner only and dropped by any thread. */
#ifndef STORE_BLOB_H
#define STORE_BLOB_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "holdfast/bytes.h"
#include "holdfast/store.h"
#include "store/memory_account.h"

struct blob {
    _Atomic uint32_t references;
    uint32_t size;
    struct hf_store_digest hash; /* of the value alone */
    uint8_t data[];
};

struct blob *blob_new(struct memory_account *memory, const struct hf_bytes *parts, size_t part_count, size_t size);
void blob_release(struct memory_account *memory, struct blob *blob);
size_t blob_memory_size(const struct blob *blob);

static inline void blob_retain(struct blob *blob)
{
    atomic_fetch_add_explicit(&blob->references, 1, memory_order_relaxed);
}

#endif
