// SPDX-License-Identifier: Apache-2.0
#include "storage/memtable_node.h"

#include "base/assert.h"
#include "base/cursor.h"
#include "base/units.h"

#define POSITION_COUNT 4u

struct memtable_node *memtable_node_init(void *memory, uint8_t level) {
    ASSERT_EQ((uintptr_t)memory % _Alignof(struct memtable_node), (uintptr_t)0);
    struct memtable_node *node = memory;
    memset(node, 0, offsetof(struct memtable_node, heads));
    node->level = level;
    for (uint32_t i = 0; i < MEMTABLE_FANOUT; i++)
        node->heads[i] = INT32_MAX;
    return node;
}

/* ---- positions --------------------------------------------------------------------------------------- */

static inline uint8_t key_byte(struct slice key, size_t at) {
    return at < key.size ? key.data[at] : 0;
}

/* Eight bytes from `at` on, the first as the highest; zeros past the end. */
static inline uint64_t key_word(struct slice key, size_t at) {
    if (at + 8 <= key.size) return load_be64(key.data + at);
    uint64_t word = 0;
    for (size_t i = at; i < at + 8; i++)
        word = word << 8 | key_byte(key, i);
    return word;
}

static uint64_t positions_pack(const uint16_t positions[POSITION_COUNT]) {
    return (uint64_t)positions[0] << 48 | (uint64_t)positions[1] << 32 | (uint64_t)positions[2] << 16 |
           positions[3];
}

/* The first bytes in which the node's keys differ, in order; returns how many, at most POSITION_COUNT. */
static uint32_t find_differences(const struct memtable_node *node, uint16_t found[POSITION_COUNT]) {
    struct slice first = memtable_entry_key(node->entries[0]);
    size_t longest = 0, start = 0;
    for (uint32_t i = 0; i < node->count; i++)
        longest = MAX(longest, (size_t)node->entries[i]->key_size);
    /* Keys in order share what the first and the last share. */
    struct slice last = memtable_entry_key(node->entries[node->count - 1]);
    while (start + 8 <= longest && key_word(first, start) == key_word(last, start))
        start += 8;
    uint32_t count = 0;
    for (; start < longest; start += 8) {
        uint64_t word = key_word(first, start), differs = 0;
        for (uint32_t i = 1; i < node->count; i++)
            differs |= word ^ key_word(memtable_entry_key(node->entries[i]), start);
        for (uint32_t k = 0; k < 8; k++) {
            if ((differs >> (56 - 8 * k) & 0xff) == 0) continue;
            found[count++] = (uint16_t)(start + k);
            if (count == POSITION_COUNT) return count;
        }
    }
    return count;
}

static bool holds(const uint16_t *positions, uint32_t count, uint32_t position) {
    for (uint32_t i = 0; i < count; i++)
        if (positions[i] == position) return true;
    return false;
}

static void add_position(uint16_t *positions, uint32_t count, uint32_t position) {
    uint32_t at = count;
    for (; at > 0 && positions[at - 1] > position; at--)
        positions[at] = positions[at - 1];
    positions[at] = (uint16_t)position;
}

/* Where there are fewer than four differences, bytes before the last of them fill up: the next key of a run
 * of numbers is likely to differ there. */
static uint64_t choose_positions(const struct memtable_node *node) {
    uint16_t positions[POSITION_COUNT];
    uint32_t count = find_differences(node, positions);
    if (count == 0) {
        uint16_t size = node->entries[0]->key_size;
        positions[count++] = size == 0 ? 0 : (uint16_t)(size - 1);
    }
    uint32_t last = positions[count - 1];
    for (uint32_t at = last; count < POSITION_COUNT && at > 0; at--) {
        if (holds(positions, count, at - 1)) continue;
        add_position(positions, count++, at - 1);
    }
    for (uint32_t at = last + 1; count < POSITION_COUNT; at++)
        positions[count++] = (uint16_t)at;
    return positions_pack(positions);
}

/* Chooses positions for the keys there are, and makes the heads anew. */
static void learn(struct memtable_node *node) {
    if (node->count == 0) return;
    uint64_t positions = choose_positions(node);
    MEMTABLE_STORE(node->positions, positions);
    for (uint32_t i = 0; i < node->count; i++)
        MEMTABLE_STORE(node->heads[i], memtable_node_head(positions, memtable_entry_key(node->entries[i])));
}

static bool has_ties(const struct memtable_node *node) {
    for (uint32_t i = 1; i < node->count; i++)
        if (node->heads[i - 1] == node->heads[i]) return true;
    return false;
}

/* True when `key` agrees with the node, so that its head says where it belongs. */
static bool key_agrees(const struct memtable_node *node, struct slice key) {
    struct slice known = memtable_entry_key(MEMTABLE_LOAD(node->entries[0]));
    uint64_t positions = MEMTABLE_LOAD(node->positions);
    size_t from = 0;
    for (uint32_t i = 0; i < POSITION_COUNT; i++) {
        size_t to = positions >> (48 - 16 * i) & 0xffff;
        if (to <= key.size && to <= known.size) {
            if (to > from && memcmp(key.data + from, known.data + from, to - from) != 0) return false;
        } else {
            for (size_t at = from; at < to; at++)
                if (key_byte(key, at) != key_byte(known, at)) return false;
        }
        from = to + 1;
    }
    return true;
}

/* ---- searching --------------------------------------------------------------------------------------- */

/* The first of the slots [low, high) whose key is not below `key`. */
static uint32_t bisect(const struct memtable_node *node, struct slice key, uint32_t low, uint32_t high,
                       bool *equal) {
    *equal = false;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = slice_compare(memtable_entry_key(MEMTABLE_LOAD(node->entries[middle])), key);
        if (order == 0) {
            *equal = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint32_t memtable_node_ties(const struct memtable_node *node, struct slice key, uint32_t at, uint32_t count,
                            bool *equal) {
    int32_t head = MEMTABLE_LOAD(node->heads[at]);
    uint32_t end = at + 1;
    while (end < count && MEMTABLE_LOAD(node->heads[end]) == head)
        end++;
    return bisect(node, key, at, end, equal);
}

MEMTABLE_CLONES uint32_t memtable_node_search(const struct memtable_node *node, struct slice key,
                                              bool *equal) {
    uint32_t count = MEMTABLE_LOAD(node->count);
    *equal = false;
    if (count == 0) return 0;
    if (key_agrees(node, key)) return memtable_node_rank(node, key, equal);
    return bisect(node, key, 0, count, equal);
}

/* ---- changing ---------------------------------------------------------------------------------------- */

void memtable_node_insert(struct memtable_node *node, uint32_t at, const struct memtable_entry *entry,
                          struct memtable_node *child) {
    uint32_t count = node->count;
    ASSERT_LT(count, MEMTABLE_FANOUT - (node->level > 0));
    struct slice key = memtable_entry_key(entry);
    bool agrees = count > 0 && key_agrees(node, key);
    bool append = at == count && agrees && node->level == 0;
    uint32_t version = node->version;
    if (!append) MEMTABLE_STORE(node->version, version + 1);
    for (uint32_t i = count; i > at; i--) {
        MEMTABLE_STORE(node->heads[i], node->heads[i - 1]);
        MEMTABLE_STORE(node->entries[i], node->entries[i - 1]);
    }
    MEMTABLE_STORE(node->entries[at], entry);
    if (node->level > 0) {
        for (uint32_t i = count + 1; i > at + 1; i--)
            MEMTABLE_STORE(node->children[i], node->children[i - 1]);
        MEMTABLE_STORE(node->children[at + 1], child);
    }
    if (agrees) MEMTABLE_STORE(node->heads[at], memtable_node_head(node->positions, key));
    MEMTABLE_STORE(node->count, (uint16_t)(count + 1));
    node->last = (uint8_t)at;
    if (!agrees) learn(node);
    if (!append) MEMTABLE_STORE(node->version, version + 2);
}

void memtable_node_fill(struct memtable_node *node, const struct memtable_node *other, uint32_t from,
                        uint32_t to) {
    ASSERT(node->count == 0 && from <= to);
    uint32_t count = to - from;
    node->positions = other->positions;
    if (count > 0) {
        memcpy(node->heads, other->heads + from, count * sizeof *node->heads);
        memcpy(node->entries, other->entries + from, count * sizeof *node->entries);
    }
    if (node->level > 0) memcpy(node->children, other->children + from, (count + 1) * sizeof *node->children);
    node->count = (uint16_t)count;
    if (has_ties(node)) learn(node);
}

void memtable_node_cut(struct memtable_node *node, uint32_t count, struct memtable_node *next) {
    uint32_t version = node->version;
    bool appended = count == node->count; /* nothing moved: cursors keep their place */
    if (!appended) MEMTABLE_STORE(node->version, version + 1);
    for (uint32_t i = count; i < node->count; i++)
        MEMTABLE_STORE(node->heads[i], INT32_MAX);
    MEMTABLE_STORE(node->count, (uint16_t)count);
    if (node->level == 0) MEMTABLE_STORE(node->next, next);
    if (!appended && has_ties(node)) learn(node);
    if (!appended) MEMTABLE_STORE(node->version, version + 2);
}

uint32_t memtable_node_rollback(struct memtable_node *leaf, uint64_t sequence) {
    uint32_t kept = 0, dropped = 0, version = leaf->version;
    MEMTABLE_STORE(leaf->version, version + 1);
    for (uint32_t i = 0; i < leaf->count; i++) {
        const struct memtable_entry *entry = leaf->entries[i];
        for (; entry != NULL && memtable_entry_sequence(entry) > sequence;
             entry = memtable_entry_older(entry))
            dropped++;
        if (entry == NULL) continue;
        MEMTABLE_STORE(leaf->entries[kept], entry);
        MEMTABLE_STORE(leaf->heads[kept], leaf->heads[i]);
        kept++;
    }
    for (uint32_t i = kept; i < leaf->count; i++)
        MEMTABLE_STORE(leaf->heads[i], INT32_MAX);
    MEMTABLE_STORE(leaf->count, (uint16_t)kept);
    leaf->last = 0;
    MEMTABLE_STORE(leaf->version, version + 2);
    return dropped;
}

void memtable_node_check(const struct memtable_node *node) {
    ASSERT_LE(node->count, MEMTABLE_FANOUT - (node->level > 0));
    ASSERT_EQ(node->version % 2, 0u);
    for (uint32_t i = 0; i < MEMTABLE_FANOUT; i++) {
        if (i >= node->count) {
            ASSERT_EQ(node->heads[i], INT32_MAX);
            continue;
        }
        struct slice key = memtable_entry_key(node->entries[i]);
        ASSERT(key_agrees(node, key));
        ASSERT_EQ(node->heads[i], memtable_node_head(node->positions, key));
        if (i > 0) ASSERT(slice_compare(memtable_entry_key(node->entries[i - 1]), key) < 0);
        if (i > 0) ASSERT_LE(node->heads[i - 1], node->heads[i]);
    }
}
