#include "base/hash.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/buffer.h"

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

struct hash_stream {
    XXH3_state_t state;
};

struct hash_stream *hash_stream_open(void)
{
    struct hash_stream *stream = memory_new_aligned(64, (sizeof(*stream) + 63) / 64 * 64);
    XXH3_128bits_reset(&stream->state);
    return stream;
}

void hash_stream_add(struct hash_stream *stream, struct hf_bytes bytes)
{
    if (bytes.size > 0) {
        XXH3_128bits_update(&stream->state, bytes.data, bytes.size);
    }
}

void hash_stream_finish(struct hash_stream *stream, uint8_t out[HASH_STREAM_SIZE])
{
    XXH128_canonical_t canonical;
    XXH128_canonicalFromHash(&canonical, XXH3_128bits_digest(&stream->state));
    static_assert(sizeof(canonical) == HASH_STREAM_SIZE, "128 bits");
    memcpy(out, canonical.digest, HASH_STREAM_SIZE);
    free(stream);
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
