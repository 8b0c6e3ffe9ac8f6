// SPDX-License-Identifier: Apache-2.0
#include "base/prng.h"

#include <string.h>

#include "base/assert.h"
#include "base/units.h"

static uint64_t splitmix64(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15U;
    z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9U;
    z = (z ^ z >> 27) * 0x94d049bb133111ebU;
    return z ^ z >> 31;
}

void prng_init(struct prng *prng, uint64_t seed) {
    for (unsigned i = 0; i < 4; i++)
        prng->s[i] = splitmix64(&seed);
}

struct prng prng_split(struct prng *prng, uint64_t purpose) {
    uint64_t seed = prng->s[0] ^ purpose * 0x9e3779b97f4a7c15U;
    for (unsigned i = 1; i < 4; i++)
        seed = splitmix64(&seed) ^ prng->s[i];
    struct prng stream;
    prng_init(&stream, seed);
    return stream;
}

static uint64_t rotate_left(uint64_t v, unsigned bits) {
    return v << bits | v >> (64 - bits);
}

uint64_t prng_next(struct prng *prng) {
    uint64_t *s = prng->s;
    uint64_t result = rotate_left(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate_left(s[3], 45);
    return result;
}

uint64_t prng_below(struct prng *prng, uint64_t bound) {
    ASSERT(bound > 0);
    /* Values under 2^64 mod bound would make the small results likelier: draw again. */
    uint64_t threshold = (0 - bound) % bound;
    uint64_t v;
    do {
        v = prng_next(prng);
    } while (v < threshold);
    return v % bound;
}

uint64_t prng_range(struct prng *prng, uint64_t min, uint64_t max) {
    ASSERT_LE(min, max);
    if (max - min == UINT64_MAX) return prng_next(prng);
    return min + prng_below(prng, max - min + 1);
}

bool prng_chance(struct prng *prng, uint32_t numerator, uint32_t denominator) {
    return prng_below(prng, denominator) < numerator;
}

void prng_bytes(struct prng *prng, void *data, size_t size) {
    uint8_t *p = data;
    while (size != 0) {
        uint64_t v = prng_next(prng);
        size_t part = MIN(size, sizeof v);
        for (size_t i = 0; i < part; i++)
            p[i] = (uint8_t)(v >> 8 * i);
        p += part;
        size -= part;
    }
}
