// SPDX-License-Identifier: Apache-2.0
/* murmur2.h: the hash with which Kafka's clients choose the partition of a key (32-bit MurmurHash2, seed
 * 0x9747b28c; the sign bit is masked before the modulo). Checked against the vectors of the Java client's
 * tests. */
#ifndef SENTINEL_WIRE_MURMUR2_H
#define SENTINEL_WIRE_MURMUR2_H

#include "base/slice.h"

uint32_t murmur2(struct slice key);
static inline int32_t murmur2_partition(struct slice key, int32_t partition_count) {
    return (int32_t)((murmur2(key) & 0x7fffffffU) % (uint32_t)partition_count);
}

#endif
