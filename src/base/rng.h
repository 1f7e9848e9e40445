/* A small deterministic random generator (xoshiro256**, seeded through splitmix64). Not for secrets. */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rng {
    uint64_t state[4];
};

void rng_seed(struct rng *rng, uint64_t seed);
uint64_t rng_next(struct rng *rng);
uint64_t rng_below(struct rng *rng, uint64_t bound);                /* uniform in [0, bound); bound >= 1 */
uint64_t rng_between(struct rng *rng, uint64_t low, uint64_t high); /* uniform in [low, high] */
bool rng_chance(struct rng *rng, uint32_t numerator, uint32_t denominator);
void rng_fill(struct rng *rng, void *target, size_t size);

#endif
