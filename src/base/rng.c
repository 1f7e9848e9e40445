#include "base/rng.h"

#include <assert.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"

#define RNG_SPLITMIX_STEP UINT64_C(0x9E3779B97F4A7C15)

void rng_seed(struct rng *rng, uint64_t seed)
{
    for (size_t i = 0; i < 4; i++) {
        seed += RNG_SPLITMIX_STEP;
        rng->state[i] = hash_mix_64(seed);
    }
}

static uint64_t rng_rotate(uint64_t value, unsigned bits)
{
    return value << bits | value >> (64 - bits);
}

/* xoshiro256** 1.0 (Blackman and Vigna, 2018). */
uint64_t rng_next(struct rng *rng)
{
    uint64_t *s = rng->state;
    uint64_t result = rng_rotate(s[1] * 5, 7) * 9;
    uint64_t shifted = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= shifted;
    s[3] = rng_rotate(s[3], 45);
    return result;
}

uint64_t rng_below(struct rng *rng, uint64_t bound)
{
    assert(bound >= 1);
    /* 2^64 mod bound values at the bottom are rejected, so that what is left divides evenly. */
    uint64_t rejected = (0 - bound) % bound;
    for (;;) {
        uint64_t value = rng_next(rng);
        if (value >= rejected) {
            return value % bound;
        }
    }
}

uint64_t rng_between(struct rng *rng, uint64_t low, uint64_t high)
{
    assert(low <= high);
    uint64_t span = high - low;
    return span == UINT64_MAX ? rng_next(rng) : low + rng_below(rng, span + 1);
}

bool rng_chance(struct rng *rng, uint32_t numerator, uint32_t denominator)
{
    assert(denominator >= 1);
    return rng_below(rng, denominator) < numerator;
}

void rng_fill(struct rng *rng, void *target, size_t size)
{
    uint8_t *at = target;
    while (size > 0) {
        /* By field, so that a seed fills the same bytes on every machine. */
        uint8_t bytes[8];
        bytes_put_u64(bytes, rng_next(rng));
        size_t part = size < sizeof(bytes) ? size : sizeof(bytes);
        memcpy(at, bytes, part);
        at += part;
        size -= part;
    }
}
