// SPDX-License-Identifier: Apache-2.0
/* cleaner_map.h: the last offset of each key of a stretch of log, in bounded memory.
 *
 * Keys are told apart by 128 bits of a seeded hash, not by their bytes, as Kafka's cleaner does it: two keys
 * are taken for one with a chance of 2^-128 a pair, which nobody who does not know the seed can raise.
 *
 * Owner   the cleaner.  Loop: any thread, one at a time.  Bounds: bytes_max; full: cleaner_map_put says no.
 */
#ifndef SENTINEL_BROKER_CLEANER_MAP_H
#define SENTINEL_BROKER_CLEANER_MAP_H

#include "base/slice.h"

struct cleaner_map {
    struct cleaner_map_slot *slots; /* a power of two */
    size_t capacity, count, count_max;
    uint64_t seed;
};
void cleaner_map_init(struct cleaner_map *map, size_t bytes_max, uint64_t seed);
void cleaner_map_release(struct cleaner_map *map);
/* Offsets of one key only grow. False: it is full and has not taken the key. */
bool cleaner_map_put(struct cleaner_map *map, struct slice key, int64_t offset);
int64_t cleaner_map_get(const struct cleaner_map *map, struct slice key); /* -1: not there */

#endif
