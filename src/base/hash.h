/* Hashes. FNV-1a and jump are part of the cluster's routing format and never change; XXH3 with a random seed is for
 * tables in memory only. */
#ifndef BASE_HASH_H
#define BASE_HASH_H

#include <stdint.h>

#include "holdfast/bytes.h"

uint64_t hash_fnv1a_64(struct hf_bytes bytes);
uint64_t hash_xxh3_64(struct hf_bytes bytes, uint64_t seed);
/* XXH3-128 of bytes that come in pieces. The result is in canonical (big-endian) order: part of files and of replies.
 */
#define HASH_STREAM_SIZE 16u
struct hash_stream;
struct hash_stream *hash_stream_open(void);
void hash_stream_add(struct hash_stream *stream, struct hf_bytes bytes);
void hash_stream_finish(struct hash_stream *stream, uint8_t out[HASH_STREAM_SIZE]); /* and closes it */
/* Jump consistent hash (Lamping and Veach, 2014): a bucket in [0, bucket_count). bucket_count >= 1. */
uint32_t hash_jump(uint64_t key, uint32_t bucket_count);
/* A cheap bijective mixer of 64 bits (splitmix64's finaliser). */
static inline uint64_t hash_mix_64(uint64_t value)
{
    value = (value ^ value >> 30) * UINT64_C(0xBF58476D1CE4E5B9);
    value = (value ^ value >> 27) * UINT64_C(0x94D049BB133111EB);
    return value ^ value >> 31;
}

#endif
