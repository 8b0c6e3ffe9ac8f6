// SPDX-License-Identifier: Apache-2.0
#include "broker/cleaner_map.h"

#include "base/map.h"
#include "base/mem.h"
#include "base/units.h"

#define CAPACITY_MIN 1024

struct cleaner_map_slot {
    uint64_t hash[2];
    int64_t offset; /* -1: free */
};

void cleaner_map_init(struct cleaner_map *map, size_t bytes_max, uint64_t seed) {
    *map = (struct cleaner_map){.seed = seed};
    map->count_max = MAX(bytes_max / sizeof *map->slots, (size_t)CAPACITY_MIN) / 4 * 3;
}

void cleaner_map_release(struct cleaner_map *map) {
    mem_free(map->slots);
    map->slots = NULL;
    map->capacity = map->count = 0;
}

/* The key's slot, or the free one where it goes. */
static struct cleaner_map_slot *find(const struct cleaner_map *map, const uint64_t hash[2]) {
    size_t at = (size_t)hash[0] & (map->capacity - 1);
    for (;; at = (at + 1) & (map->capacity - 1)) {
        struct cleaner_map_slot *slot = &map->slots[at];
        if (slot->offset < 0 || (slot->hash[0] == hash[0] && slot->hash[1] == hash[1])) return slot;
    }
}

static void grow(struct cleaner_map *map) {
    struct cleaner_map old = *map;
    map->capacity = old.capacity == 0 ? CAPACITY_MIN : 2 * old.capacity;
    map->slots = mem_alloc(map->capacity * sizeof *map->slots);
    for (size_t i = 0; i < map->capacity; i++)
        map->slots[i].offset = -1;
    for (size_t i = 0; i < old.capacity; i++)
        if (old.slots[i].offset >= 0) *find(map, old.slots[i].hash) = old.slots[i];
    mem_free(old.slots);
}

static void hash_key(const struct cleaner_map *map, struct slice key, uint64_t hash[2]) {
    hash[0] = hash_bytes(map->seed, key);
    hash[1] = hash_bytes(~map->seed * UINT64_C(0x9e3779b97f4a7c15), key);
}

bool cleaner_map_put(struct cleaner_map *map, struct slice key, int64_t offset) {
    uint64_t hash[2];
    hash_key(map, key, hash);
    if (map->count >= map->capacity / 4 * 3) {
        if (map->capacity > 0 && find(map, hash)->offset >= 0) {
            find(map, hash)->offset = offset;
            return true;
        }
        if (map->count >= map->count_max) return false;
        grow(map);
    }
    struct cleaner_map_slot *slot = find(map, hash);
    if (slot->offset < 0) {
        if (map->count >= map->count_max) return false;
        map->count++;
    }
    *slot = (struct cleaner_map_slot){{hash[0], hash[1]}, offset};
    return true;
}

int64_t cleaner_map_get(const struct cleaner_map *map, struct slice key) {
    if (map->capacity == 0) return -1;
    uint64_t hash[2];
    hash_key(map, key, hash);
    return find(map, hash)->offset;
}
