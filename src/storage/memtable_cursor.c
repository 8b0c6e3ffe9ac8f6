// SPDX-License-Identifier: Apache-2.0
#include "base/assert.h"
#include "storage/memtable_node.h"

/* Slots ahead whose entries are fetched while the caller looks at this one. */
#define PREFETCH_AHEAD 10u

void memtable_cursor_init(struct memtable_cursor *cursor, const struct memtable *memtable,
                          uint64_t snapshot) {
    *cursor = (struct memtable_cursor){.memtable = memtable, .snapshot = snapshot};
}

static const struct memtable_entry *visible(const struct memtable_entry *entry, uint64_t snapshot) {
    while (entry != NULL && memtable_entry_sequence(entry) > snapshot)
        entry = memtable_entry_older(entry);
    return entry;
}

static bool changed(const struct memtable_node *leaf, uint32_t version) {
    memtable_node_fence();
    return version % 2 != 0 || MEMTABLE_LOAD(leaf->version) != version;
}

static bool stand_on(struct memtable_cursor *cursor, const struct memtable_node *leaf, uint32_t index,
                     uint32_t version, const struct memtable_entry *entry) {
    cursor->leaf = leaf;
    cursor->index = index;
    cursor->version = version;
    cursor->entry = entry;
    return true;
}

/* The entry with its key, and the beginning of a value beside it. */
static inline void prefetch(const struct memtable_entry *entry) {
    __builtin_prefetch(entry);
    __builtin_prefetch((const uint8_t *)entry + 64);
}

/* Stands on the first visible entry from (leaf, index) on, as the leaf was at `version`. False: it was
 * changed in the meantime, and the place must be looked for again. */
static bool go_forward(struct memtable_cursor *cursor, const struct memtable_node *leaf, uint32_t index,
                       uint32_t version) {
    while (true) {
        uint32_t count = MEMTABLE_LOAD(leaf->count);
        for (; index < count; index++) {
            const struct memtable_entry *slot = MEMTABLE_LOAD(leaf->entries[index]);
            if (index + PREFETCH_AHEAD < count)
                prefetch(MEMTABLE_LOAD(leaf->entries[index + PREFETCH_AHEAD]));
            if (changed(leaf, version)) return false;
            const struct memtable_entry *entry = visible(slot, cursor->snapshot);
            if (entry != NULL) return stand_on(cursor, leaf, index, version, entry);
        }
        const struct memtable_node *next = MEMTABLE_LOAD(leaf->next);
        if (changed(leaf, version)) return false;
        if (next == NULL) return stand_on(cursor, leaf, index, version, NULL);
        leaf = next;
        index = 0;
        version = MEMTABLE_LOAD(leaf->version);
    }
}

/* The same backwards, from the entry before (leaf, index) on. */
static bool go_back(struct memtable_cursor *cursor, const struct memtable_node *leaf, uint32_t index,
                    uint32_t version) {
    while (true) {
        while (index > 0) {
            const struct memtable_entry *slot = MEMTABLE_LOAD(leaf->entries[--index]);
            if (index >= PREFETCH_AHEAD) prefetch(MEMTABLE_LOAD(leaf->entries[index - PREFETCH_AHEAD]));
            if (changed(leaf, version)) return false;
            const struct memtable_entry *entry = visible(slot, cursor->snapshot);
            if (entry != NULL) return stand_on(cursor, leaf, index, version, entry);
        }
        const struct memtable_node *prev = MEMTABLE_LOAD(leaf->prev);
        if (changed(leaf, version)) return false;
        if (prev == NULL) return stand_on(cursor, leaf, index, version, NULL);
        /* A split may have put a leaf between the two: then this is not the one before. */
        version = MEMTABLE_LOAD(prev->version);
        index = MEMTABLE_LOAD(prev->count);
        if (MEMTABLE_LOAD(prev->next) != leaf) return false;
        leaf = prev;
    }
}

struct place {
    const struct memtable_node *leaf;
    uint32_t index, version;
    bool equal;
};

/* Where the first key >= key is, or would be. */
static struct place find_place(const struct memtable *memtable, struct slice key) {
    while (true) {
        struct place place;
        uint32_t structure = MEMTABLE_LOAD(memtable->structure);
        const struct memtable_node *node = MEMTABLE_LOAD(memtable->root);
        while (node->level > 0) {
            uint32_t at = memtable_node_search(node, key, &place.equal);
            node = MEMTABLE_LOAD(node->children[at + place.equal]);
        }
        place.leaf = node;
        place.version = MEMTABLE_LOAD(node->version);
        place.index = memtable_node_search(node, key, &place.equal);
        if (changed(node, place.version) || structure % 2 != 0 ||
            MEMTABLE_LOAD(memtable->structure) != structure)
            continue;
        return place;
    }
}

void memtable_cursor_seek(struct memtable_cursor *cursor, struct slice key) {
    struct place place;
    do
        place = find_place(cursor->memtable, key);
    while (!go_forward(cursor, place.leaf, place.index, place.version));
}

void memtable_cursor_seek_prev(struct memtable_cursor *cursor, struct slice key) {
    struct place place;
    do
        place = find_place(cursor->memtable, key);
    while (!go_back(cursor, place.leaf, place.index + place.equal, place.version));
}

void memtable_cursor_next(struct memtable_cursor *cursor) {
    ASSERT(cursor->entry != NULL);
    struct slice key = memtable_entry_key(cursor->entry);
    if (MEMTABLE_LOAD(cursor->leaf->version) == cursor->version &&
        go_forward(cursor, cursor->leaf, cursor->index + 1, cursor->version))
        return;
    struct place place;
    do
        place = find_place(cursor->memtable, key);
    while (!go_forward(cursor, place.leaf, place.index + place.equal, place.version));
}

void memtable_cursor_prev(struct memtable_cursor *cursor) {
    ASSERT(cursor->entry != NULL);
    struct slice key = memtable_entry_key(cursor->entry);
    if (MEMTABLE_LOAD(cursor->leaf->version) == cursor->version &&
        go_back(cursor, cursor->leaf, cursor->index, cursor->version))
        return;
    struct place place;
    do
        place = find_place(cursor->memtable, key);
    while (!go_back(cursor, place.leaf, place.index, place.version));
}

void memtable_cursor_first(struct memtable_cursor *cursor) {
    const struct memtable_node *leaf = cursor->memtable->first_leaf; /* for ever the same */
    while (!go_forward(cursor, leaf, 0, MEMTABLE_LOAD(leaf->version)))
        continue;
}

void memtable_cursor_last(struct memtable_cursor *cursor) {
    const struct memtable_node *leaf;
    uint32_t version, count;
    do {
        leaf = MEMTABLE_LOAD(cursor->memtable->last_leaf);
        version = MEMTABLE_LOAD(leaf->version);
        count = MEMTABLE_LOAD(leaf->count);
    } while (!go_back(cursor, leaf, count, version));
}
