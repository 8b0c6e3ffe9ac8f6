// SPDX-License-Identifier: Apache-2.0
/* map.h: hash map from bytes to pointers that iterates in insertion order.
 *
 * Insertion order makes iteration independent of addresses and of the hash, which the simulator needs
 * (anchors: "no address-dependent behaviour"). Keys are copied in. Hash: seeded, so that hostile keys cannot
 * pile up; the seed comes from the owner (io's randomness in the broker, the run seed in the simulator).
 *
 * Owner   the map owns key copies and its table, never the values.
 * Loop    one thread. Inserting or removing during MAP_FOREACH: removing the current entry only. */
#ifndef SENTINEL_BASE_MAP_H
#define SENTINEL_BASE_MAP_H

#include "base/list.h"
#include "base/slice.h"

struct map_entry {
    struct list order;
    struct map_entry *chain;
    uint64_t hash;
    void *value;
    uint32_t key_size;
    uint8_t key[];
};
struct map {
    struct map_entry **slots;
    size_t slot_count, count;
    struct list order;
    uint64_t seed;
};

void map_init(struct map *map, uint64_t seed);
void map_release(struct map *map);
/* `map`, which holds nothing, becomes what `from` is; `from` is empty then. */
void map_take(struct map *map, struct map *from);
void *map_get(const struct map *map, struct slice key);        /* NULL: absent (values are never NULL) */
void *map_put(struct map *map, struct slice key, void *value); /* the value replaced, or NULL */
void *map_remove(struct map *map, struct slice key);           /* the value removed, or NULL */
static inline struct slice map_entry_key(const struct map_entry *e) {
    return slice_make(e->key, e->key_size);
}
#define MAP_ENTRY(it)        CONTAINER_OF(it, struct map_entry, order)
#define MAP_FOREACH(it, map) LIST_FOREACH(it, &(map)->order)

/* Seeded hash of bytes (XXH3-class quality is not needed; must be seed-dependent and platform-independent).
 */
uint64_t hash_bytes(uint64_t seed, struct slice bytes);

#endif
