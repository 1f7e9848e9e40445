#include "store/blob.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"
#include "base/bytes.h"
#include "store/digest.h"

size_t blob_memory_size(const struct blob *blob)
{
    return sizeof(*blob) + blob->size;
}

struct blob *blob_new(struct memory_account *memory, const struct hf_bytes *parts, size_t part_count, size_t size)
{
    struct blob *blob = memory_resize(NULL, sizeof(*blob) + size);
    atomic_init(&blob->references, 1);
    blob->size = (uint32_t)size;
    size_t offset = 0;
    for (size_t i = 0; i < part_count; i++) {
        if (parts[i].size > 0) {
            memcpy(blob->data + offset, parts[i].data, parts[i].size);
        }
        offset += parts[i].size;
    }
    assert(offset == size);
    blob->hash = digest_value(bytes_of(blob->data, size));
    memory_account_add(memory, blob_memory_size(blob), 0);
    return blob;
}

void blob_release(struct memory_account *memory, struct blob *blob)
{
    if (atomic_fetch_sub_explicit(&blob->references, 1, memory_order_acq_rel) == 1) {
        memory_account_subtract(memory, blob_memory_size(blob), 0);
        free(blob);
    }
}
