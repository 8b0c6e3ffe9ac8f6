// SPDX-License-Identifier: Apache-2.0
/* filter.h: says of a key that a table surely does not hold it.
 *
 * A blocked bloom filter: a hash chooses one 64-byte block, and FILTER_PROBES bits in it, so a test touches
 * one cache line. About 10 bits a key; roughly 1 % of absent keys pass.
 *
 * Source  Bloom 1970; Putze, Sanders, Singler 2007 (blocked filters).
 * Format  blocks of 64 bytes. An empty filter passes everything. Loop: any thread. */
#ifndef SENTINEL_STORAGE_FILTER_H
#define SENTINEL_STORAGE_FILTER_H

#include "base/cursor.h"

#define FILTER_BITS_PER_KEY 10u
#define FILTER_PROBES       6u

uint64_t filter_hash(struct slice key);
/* Appends the filter of `count` hashes to `out`. */
void filter_build(struct writer *out, const uint64_t *hashes, size_t count);
bool filter_may_contain(struct slice filter, uint64_t hash);

#endif
