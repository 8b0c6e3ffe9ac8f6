// SPDX-License-Identifier: Apache-2.0
#include "storage/filter.h"

#include "base/map.h"

#define FILTER_BLOCK 64u
#define FILTER_SEED  0x53656e74696e656cull /* part of the format */

uint64_t filter_hash(struct slice key) {
    return hash_bytes(FILTER_SEED, key);
}

/* Which block: the upper half of the hash, scaled; which bits: nine at a time from a second mix. */
static size_t filter_block(uint64_t hash, size_t block_count) {
    return (size_t)(((hash >> 32) * (uint64_t)block_count) >> 32);
}

static uint64_t filter_bits(uint64_t hash) {
    return (hash ^ (hash >> 29)) * 0x9e3779b97f4a7c15ull;
}

void filter_build(struct writer *out, const uint64_t *hashes, size_t count) {
    if (count == 0) return;
    size_t blocks = (count * FILTER_BITS_PER_KEY + FILTER_BLOCK * 8 - 1) / (FILTER_BLOCK * 8);
    uint8_t *filter = writer_extend(out, blocks * FILTER_BLOCK);
    memset(filter, 0, blocks * FILTER_BLOCK);
    for (size_t i = 0; i < count; i++) {
        uint8_t *block = filter + filter_block(hashes[i], blocks) * FILTER_BLOCK;
        uint64_t bits = filter_bits(hashes[i]);
        for (uint32_t probe = 0; probe < FILTER_PROBES; probe++, bits >>= 9)
            block[(bits & 511) / 8] |= (uint8_t)(1u << (bits & 7));
    }
}

bool filter_may_contain(struct slice filter, uint64_t hash) {
    size_t blocks = filter.size / FILTER_BLOCK;
    if (blocks == 0) return true;
    const uint8_t *block = filter.data + filter_block(hash, blocks) * FILTER_BLOCK;
    uint64_t bits = filter_bits(hash);
    for (uint32_t probe = 0; probe < FILTER_PROBES; probe++, bits >>= 9)
        if ((block[(bits & 511) / 8] & (1u << (bits & 7))) == 0) return false;
    return true;
}
