// SPDX-License-Identifier: Apache-2.0
/* memtable_node.h: one node of a memtable: up to MEMTABLE_FANOUT keys, found by one pass over 32-bit heads.
 *
 *      keys        [group 7][kind 1][offset 4095]   [group 7][kind 1][offset 4096]   [group 9][kind 1][offset
 * 3] positions    byte 7, 14, 15, 16                       <- the first four in which the keys differ heads
 * (7, 0, 15, 255)                  (7, 0, 16, 0)                    (9, 0, 0, 3)
 *
 * All keys of a node agree in every other byte before the last of the four positions, so heads, read as
 * big-endian integers, are in the order of the keys, and comparing keys is comparing integers, wherever in
 * the keys the difference lies. Counting the heads below the wanted one needs no branch and no load that
 * waits for another: the processor fetches the node's cache lines at once, and goes on to the next lookup's
 * meanwhile. Equal heads, which are rare, are told apart by the keys themselves.
 *
 * That holds for a key that agrees with the node in those other bytes, as the keys of a leaf do, but what
 * lies below an inner node may differ from its separators. A lookup tries without looking (runs of numbers
 * and random keys always agree) and looks when it found nothing; insertions and seeks look.
 *
 * The writer makes every change to what readers see with release stores, and inside an odd `version` (leaves)
 * or an odd memtable.structure (everything else) when a reader could see half of it. Appending a key, or
 * replacing an entry by a newer version, is one store and needs neither. Slots below `count` always hold a
 * good pointer, so a reader that sees a mixture follows nothing wild before it notices.
 *
 * Source  Graefe 2001 (poor man's normalized keys); Binna et al. 2018 (HOT: only the bits that discriminate);
 *         Bohannon, McIlroy, Rastogi 2001 (partial keys).
 * Owner   nodes lie in the memtable's pages and go with it. Loop: see memtable.h.
 * I1  heads[i] is the head of entries[i]; INT32_MIN is head 0, as the sign is flipped; from count on
 * INT32_MAX. I2  a node's keys are in order, each once; an inner node has count separators and count + 1
 * children, child i + 1 begins at separator i. */
#ifndef SENTINEL_STORAGE_MEMTABLE_NODE_H
#define SENTINEL_STORAGE_MEMTABLE_NODE_H

#include "storage/memtable.h"

#define MEMTABLE_FANOUT 64u

struct memtable_node {
    uint64_t positions; /* four of 16 bits, the first the highest */
    uint32_t version;   /* leaves: odd while slots move; changes whenever a slot's index does */
    uint16_t count;
    uint8_t level; /* 0: leaf */
    uint8_t last;  /* the writer's: where the last insertion went */
    struct memtable_node *next, *prev;
    const struct memtable_entry *low; /* leaves: keys from here on belong here; NULL: from the beginning */
    _Alignas(64) int32_t heads[MEMTABLE_FANOUT];
    const struct memtable_entry *entries[MEMTABLE_FANOUT];
    struct memtable_node *children[]; /* inner nodes: MEMTABLE_FANOUT */
};

/* What the writer and readers on other threads share is read and written by these. */
#define MEMTABLE_LOAD(place)         __atomic_load_n(&(place), __ATOMIC_ACQUIRE)
#define MEMTABLE_STORE(place, value) __atomic_store_n(&(place), (value), __ATOMIC_RELEASE)

/* Lookups are limited by how many instructions of the next one fit beside the wait for this one's cache
 * misses: they exist once for AVX2 and once for every machine, chosen when the program starts, with these
 * inside. */
#define MEMTABLE_INLINE static inline __attribute__((always_inline))
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && !defined(__SANITIZE_THREAD__) &&     \
    !defined(__SANITIZE_ADDRESS__)
#define MEMTABLE_CLONES __attribute__((target_clones("avx2", "default")))
#else
#define MEMTABLE_CLONES
#endif

/* Between reading what a node holds and looking whether it changed. (The thread sanitizer knows no fences,
 * but sees acquiring loads instead of plain ones: memtable_node_below.) */
static inline void memtable_node_fence(void) {
#ifndef __SANITIZE_THREAD__
    __atomic_thread_fence(__ATOMIC_ACQUIRE);
#endif
}

static inline size_t memtable_node_size(uint8_t level) {
    return sizeof(struct memtable_node) + (level > 0 ? MEMTABLE_FANOUT * sizeof(struct memtable_node *) : 0);
}
/* An empty node in `memory`, which is aligned to a cache line. */
struct memtable_node *memtable_node_init(void *memory, uint8_t level);

/* ---- searching --------------------------------------------------------------------------------------- */

/* The head of `key` under `positions`; bytes past its end count as zero. */
MEMTABLE_INLINE int32_t memtable_node_head(uint64_t positions, struct slice key) {
    size_t a = positions >> 48, b = positions >> 32 & 0xffff, c = positions >> 16 & 0xffff,
           d = positions & 0xffff;
    const uint8_t *k = key.data;
    uint32_t head;
    if (d < key.size)
        head = (uint32_t)k[a] << 24 | (uint32_t)k[b] << 16 | (uint32_t)k[c] << 8 | k[d];
    else
        head = (a < key.size ? (uint32_t)k[a] << 24 : 0) | (b < key.size ? (uint32_t)k[b] << 16 : 0) |
               (c < key.size ? (uint32_t)k[c] << 8 : 0);
    return (int32_t)(head ^ 0x80000000u);
}

/* How many of the heads are below `head`. */
MEMTABLE_INLINE uint32_t memtable_node_below(const int32_t *heads, int32_t head) {
#ifdef __SANITIZE_THREAD__
    uint32_t below = 0;
    for (uint32_t i = 0; i < MEMTABLE_FANOUT; i++)
        below += MEMTABLE_LOAD(heads[i]) < head;
    return below;
#else
    typedef int32_t lanes __attribute__((vector_size(32))); /* two of 16 where there is no AVX2 */
    const lanes *at = (const lanes *)heads;
    lanes wanted = {head, head, head, head, head, head, head, head};
    /* -1 in each lane where it holds */
    lanes a = (at[0] < wanted) + (at[1] < wanted), b = (at[2] < wanted) + (at[3] < wanted);
    a += (at[4] < wanted) + (at[5] < wanted);
    b += (at[6] < wanted) + (at[7] < wanted);
    a += b;
    typedef int32_t half __attribute__((vector_size(16)));
    half sum = __builtin_shufflevector(a, a, 0, 1, 2, 3) + __builtin_shufflevector(a, a, 4, 5, 6, 7);
    sum += __builtin_shufflevector(sum, sum, 2, 3, 0, 1);
    sum += __builtin_shufflevector(sum, sum, 1, 0, 3, 2);
    return (uint32_t)-sum[0];
#endif
}

MEMTABLE_INLINE bool memtable_node_is(const struct memtable_entry *entry, struct slice key) {
    if (entry->key_size != key.size) return false;
    if (key.size < 8) return key.size == 0 || memcmp(entry->key, key.data, key.size) == 0;
    uint64_t a, b;
    for (size_t i = 0; i + 8 < key.size; i += 8) {
        memcpy(&a, entry->key + i, 8);
        memcpy(&b, key.data + i, 8);
        if (a != b) return false;
    }
    memcpy(&a, entry->key + key.size - 8, 8);
    memcpy(&b, key.data + key.size - 8, 8);
    return a == b;
}

/* The slots before `key` among those from `at` on whose heads are equal to its head. */
uint32_t memtable_node_ties(const struct memtable_node *node, struct slice key, uint32_t at, uint32_t count,
                            bool *equal);

/* How many keys of the node are below `key`, which agrees with it; *equal: the next one is `key`. */
MEMTABLE_INLINE uint32_t memtable_node_rank(const struct memtable_node *node, struct slice key, bool *equal) {
    uint32_t count = MEMTABLE_LOAD(node->count);
    int32_t head = memtable_node_head(MEMTABLE_LOAD(node->positions), key);
    uint32_t at = memtable_node_below(node->heads, head);
    *equal = false;
    if (at >= count) return count;
    if (MEMTABLE_LOAD(node->heads[at]) != head) return at;
    *equal = memtable_node_is(MEMTABLE_LOAD(node->entries[at]), key);
    return *equal ? at : memtable_node_ties(node, key, at, count, equal);
}

/* The same for any key. */
uint32_t memtable_node_search(const struct memtable_node *node, struct slice key, bool *equal);

/* ---- changing: the writer only ----------------------------------------------------------------------- */

/* Puts `entry`, whose key belongs before slot `at`, into a node that has room; `child` begins at it (inner
 * nodes). */
void memtable_node_insert(struct memtable_node *node, uint32_t at, const struct memtable_entry *entry,
                          struct memtable_node *child);
/* Fills an empty node with slots [from, to) of another; children: of an inner node, to - from + 1. */
void memtable_node_fill(struct memtable_node *node, const struct memtable_node *other, uint32_t from,
                        uint32_t to);
/* Forgets the slots from `count` on, which `next` holds; a leaf is followed by it from the same moment, so
 * that a cursor meets no key twice and misses none. */
void memtable_node_cut(struct memtable_node *node, uint32_t count, struct memtable_node *next);
/* Drops the newest versions above `sequence`, and the keys that have no other; returns how many entries. */
uint32_t memtable_node_rollback(struct memtable_node *leaf, uint64_t sequence);
void memtable_node_check(const struct memtable_node *node);

#endif
