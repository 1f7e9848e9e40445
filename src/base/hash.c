#include "base/hash.h"

#include <assert.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

#define HASH_FNV1A_OFFSET UINT64_C(0xCBF29CE484222325)
#define HASH_FNV1A_PRIME  UINT64_C(0x00000100000001B3)

uint64_t hash_fnv1a_64(struct hf_bytes bytes)
{
    const uint8_t *at = bytes.data;
    uint64_t hash = HASH_FNV1A_OFFSET;
    for (size_t i = 0; i < bytes.size; i++) {
        hash = (hash ^ at[i]) * HASH_FNV1A_PRIME;
    }
    return hash;
}

uint64_t hash_xxh3_64(struct hf_bytes bytes, uint64_t seed)
{
    return XXH3_64bits_withSeed(bytes.size > 0 ? bytes.data : "", bytes.size, seed);
}

uint32_t hash_jump(uint64_t key, uint32_t bucket_count)
{
    assert(bucket_count >= 1);
    /* As printed in the paper: the constants and the order of the floating-point operations decide where keys live. */
    int64_t bucket = -1;
    int64_t next = 0;
    while (next < (int64_t)bucket_count) {
        bucket = next;
        key = key * UINT64_C(2862933555777941757) + 1;
        next = (int64_t)((double)(bucket + 1) * ((double)(INT64_C(1) << 31) / (double)((key >> 33) + 1)));
    }
    return (uint32_t)bucket;
}
