// SPDX-License-Identifier: Apache-2.0
/* murmur2.c: MurmurHash2 (Austin Appleby, public domain algorithm), 32 bit, little-endian words. */
#include "wire/murmur2.h"

#include "base/cursor.h"

#define MURMUR2_SEED     0x9747b28cU
#define MURMUR2_MULTIPLY 0x5bd1e995U
#define MURMUR2_SHIFT    24

uint32_t murmur2(struct slice key) {
    uint32_t hash = MURMUR2_SEED ^ (uint32_t)key.size;
    const uint8_t *p = key.data;
    size_t left = key.size;
    for (; left >= 4; left -= 4, p += 4) {
        uint32_t word = load_le32(p) * MURMUR2_MULTIPLY;
        word ^= word >> MURMUR2_SHIFT;
        hash = hash * MURMUR2_MULTIPLY ^ word * MURMUR2_MULTIPLY;
    }
    if (left >= 3) hash ^= (uint32_t)p[2] << 16;
    if (left >= 2) hash ^= (uint32_t)p[1] << 8;
    if (left >= 1) hash = (hash ^ p[0]) * MURMUR2_MULTIPLY;
    hash = (hash ^ hash >> 13) * MURMUR2_MULTIPLY;
    return hash ^ hash >> 15;
}
