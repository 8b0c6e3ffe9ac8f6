// SPDX-License-Identifier: Apache-2.0
#include "base/map.h"

#include "base/assert.h"
#include "base/cursor.h"
#include "base/mem.h"

#define SLOT_COUNT_MIN ((size_t)16)

__extension__ typedef unsigned __int128 uint128;

static uint64_t mix(uint64_t a, uint64_t b) {
    uint128 product = (uint128)a * b;
    return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* Folded multiplication of 8-byte words, each made odd-dependent on the seed (the wyhash construction). */
uint64_t hash_bytes(uint64_t seed, struct slice bytes) {
    const uint64_t k0 = 0xa0761d6478bd642fU, k1 = 0xe7037ed1a0b428dbU;
    uint64_t hash = seed ^ k0 ^ bytes.size;
    const uint8_t *p = bytes.data;
    size_t size = bytes.size;
    for (; size >= 8; p += 8, size -= 8)
        hash = mix(hash ^ load_le64(p), k1 ^ seed);
    uint64_t tail = 0;
    for (size_t i = 0; i < size; i++)
        tail |= (uint64_t)p[i] << 8 * i;
    hash = mix(hash ^ tail, k1);
    return mix(hash, k0);
}

void map_init(struct map *map, uint64_t seed) {
    *map = (struct map){.seed = seed};
    list_init(&map->order);
}

void map_release(struct map *map) {
    struct list *node;
    while ((node = list_pop_front(&map->order)) != NULL)
        mem_free(MAP_ENTRY(node));
    mem_free(map->slots);
    map_init(map, map->seed);
}

void map_take(struct map *map, struct map *from) {
    *map = *from;
    list_init(&map->order);
    list_append(&map->order, &from->order);
    map_init(from, from->seed);
}

static struct map_entry **find(const struct map *map, struct slice key, uint64_t hash) {
    struct map_entry **link = &map->slots[hash & (map->slot_count - 1)];
    while (*link != NULL && ((*link)->hash != hash || !slice_equal(map_entry_key(*link), key)))
        link = &(*link)->chain;
    return link;
}

static void grow(struct map *map) {
    size_t slot_count = map->slot_count == 0 ? SLOT_COUNT_MIN : map->slot_count * 2;
    mem_free(map->slots);
    map->slots = mem_calloc(slot_count, sizeof(struct map_entry *));
    map->slot_count = slot_count;
    MAP_FOREACH(it, map) {
        struct map_entry *entry = MAP_ENTRY(it);
        struct map_entry **slot = &map->slots[entry->hash & (slot_count - 1)];
        entry->chain = *slot;
        *slot = entry;
    }
}

void *map_get(const struct map *map, struct slice key) {
    if (map->count == 0) return NULL;
    struct map_entry *entry = *find(map, key, hash_bytes(map->seed, key));
    return entry == NULL ? NULL : entry->value;
}

void *map_put(struct map *map, struct slice key, void *value) {
    ASSERT(value != NULL);
    ASSERT_LE(key.size, (size_t)UINT32_MAX);
    if (map->count >= map->slot_count) grow(map);
    uint64_t hash = hash_bytes(map->seed, key);
    struct map_entry **link = find(map, key, hash);
    if (*link != NULL) {
        void *replaced = (*link)->value;
        (*link)->value = value;
        return replaced;
    }
    struct map_entry *entry = mem_alloc(sizeof *entry + key.size);
    entry->chain = NULL;
    entry->hash = hash;
    entry->value = value;
    entry->key_size = (uint32_t)key.size;
    if (key.size != 0) memcpy(entry->key, key.data, key.size);
    list_push_back(&map->order, &entry->order);
    *link = entry;
    map->count++;
    return NULL;
}

void *map_remove(struct map *map, struct slice key) {
    if (map->count == 0) return NULL;
    struct map_entry **link = find(map, key, hash_bytes(map->seed, key));
    struct map_entry *entry = *link;
    if (entry == NULL) return NULL;
    *link = entry->chain;
    list_remove(&entry->order);
    map->count--;
    void *value = entry->value;
    mem_free(entry);
    return value;
}
