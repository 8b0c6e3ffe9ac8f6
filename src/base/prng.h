// SPDX-License-Identifier: Apache-2.0
/* prng.h: seeded random numbers: the same seed gives the same numbers on every machine.
 *
 * xoshiro256** seeded through splitmix64 (Blackman and Vigna, 2018). Not for secrets. prng_split makes an
 * independent stream, so that a draw added to one purpose does not shift the others. */
#ifndef SENTINEL_BASE_PRNG_H
#define SENTINEL_BASE_PRNG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct prng {
    uint64_t s[4];
};

void prng_init(struct prng *prng, uint64_t seed);
struct prng prng_split(struct prng *prng, uint64_t purpose);
uint64_t prng_next(struct prng *prng);
uint64_t prng_below(struct prng *prng, uint64_t bound);             /* 0..bound-1, unbiased; bound > 0 */
uint64_t prng_range(struct prng *prng, uint64_t min, uint64_t max); /* both included */
bool prng_chance(struct prng *prng, uint32_t numerator, uint32_t denominator);
void prng_bytes(struct prng *prng, void *data, size_t size);

#endif
