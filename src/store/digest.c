#include "store/digest.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include "base/hash.h"

struct hf_store_digest digest_value(struct hf_bytes value)
{
    XXH128_hash_t hash = XXH3_128bits(value.size > 0 ? value.data : "", value.size);
    return (struct hf_store_digest){.low = hash.low64, .high = hash.high64};
}

struct hf_store_digest digest_entry(uint32_t tree, struct hf_bytes key, struct hf_store_digest value)
{
    XXH128_hash_t hash = XXH3_128bits_withSeed(key.size > 0 ? key.data : "", key.size, tree);
    /* Both lanes see all 256 bits: swapping the values of two keys, or key and value, must not cancel out in the sum.
     */
    uint64_t low = hash_mix_64(hash.low64 + hash_mix_64(value.low ^ hash.high64));
    uint64_t high = hash_mix_64(hash.high64 ^ hash_mix_64(value.high + low));
    return (struct hf_store_digest){.low = low, .high = high};
}

void digest_add(struct hf_store_digest *sum, struct hf_store_digest entry)
{
    sum->low += entry.low;
    sum->high += entry.high;
}

void digest_subtract(struct hf_store_digest *sum, struct hf_store_digest entry)
{
    sum->low -= entry.low;
    sum->high -= entry.high;
}
