// SPDX-License-Identifier: Apache-2.0
/* memtable.h: the newest entries of the store, sorted, in memory.
 *
 *      inner     [  g    p   ]           separators
 *                /    |    \
 *      leaves  [abc][ghijk][pqrst]       linked both ways; one slot a key
 *                      |
 *      entries  newest version -> older -> older    {sequence, kind, key, value}, never moved
 *
 * A skip list whose lanes are arrays: a deterministic skip list of that kind is the same thing as a B+ tree
 * (memtable_node.h has the nodes). A plain skip list of a million entries follows twenty pointers a lookup,
 * each a cache miss; here the inner levels stay in the second-level cache, so that a lookup misses twice: in
 * the leaf and in the entry. A slot holds the newest version of its key and older ones hang behind it, so an
 * overwrite changes one pointer.
 *
 * Small values are copied in beside their key: no third miss, and a lasting small value does not keep a large
 * receive buffer or a chunk of the log alive (one that a reader keeps does keep its page, of up to two MiB).
 * Larger ones are referred to where they lie, and the memtable holds, and is charged for, the whole of each
 * such buffer.
 *
 * An insertion behind everything that its partition has goes to the leaf of the partition's last insertion
 * without a search (the fingers), and splits no full leaf: leaves of append-only partitions stay full.
 *
 * Why so: of a lookup among a million 100-byte values half was address translation (hence huge pages, 1.5 x),
 * a sixth waiting for the slot after the head (hence fetched early, 1.2 x), and the rest the two misses,
 * which overlap with those of the next lookup as far as its instructions fit beside the wait (hence no
 * branches, and AVX2, 1.3 x; counting references in line, 1.15 x). docs/performance.md has the figures.
 *
 * Source  Pugh 1990 (skip lists); Munro, Papadakis, Sedgewick 1992 (deterministic skip lists and B trees);
 *         Lameter 2005 and Leis et al. 2016 (readers that validate a version instead of taking a lock).
 * Owner   memtable_new/unpin: whoever pins it (the store, iterators, a flush) unpins once; the last frees.
 *         Pins and references are counted on the shard thread only.
 * Loop    one writer. memtable_get and cursors may run on other threads beside it: they take no lock and
 * write nothing shared; one that meets a node in the middle of a change reads it again. The range deletions
 * (tombstones), memtable_value and memtable_bytes are the writer's thread's alone until the memtable stops
 * changing. Cursors survive insertions. Bounds  STORE_KEY_SIZE_MAX for keys. memtable_bytes counts all that
 * is allocated, and the whole of every buffer referred to. I1  leaves in list order hold all keys in order,
 * each once.  I2  sequences fall along `older`.  I3  every key of a leaf is >= its `low` and < the `low` of
 * the next. */
#ifndef SENTINEL_STORAGE_MEMTABLE_H
#define SENTINEL_STORAGE_MEMTABLE_H

#include "base/buffer.h"
#include "storage/layout.h"
#include "storage/tombstone.h"

/* Values up to this size are copied beside their key. */
#define MEMTABLE_COPY_MAX 512u
/* Partitions whose last leaf is remembered. */
#define MEMTABLE_FINGERS 64u

/* Small, because a memtable of small values is as large as what surrounds them: 16 bytes, and before them
 * what not every entry has.
 *
 *   [value 8 | size 4 | crc 4] [older 8] entry [key] [value that was copied]
 */
struct memtable_entry {
    uint32_t stamp[2]; /* sequence << 8 | MEMTABLE_ENTRY_* | kind, in this machine's order */
    uint32_t owner;    /* index of the buffer that holds the value */
    uint16_t key_size;
    uint16_t copied_size; /* of a value that was copied */
    uint8_t key[];
};
#define MEMTABLE_ENTRY_OLDER    64u  /* a version before this one is there */
#define MEMTABLE_ENTRY_REFERRED 128u /* the value lies elsewhere */
#define MEMTABLE_SEQUENCE_MAX   (((uint64_t)1 << 56) - 1)

struct memtable_node;
struct memtable {
    struct memtable_node *root, *first_leaf;
    uint32_t structure; /* odd while nodes are split: readers begin again when it changed */
    uint32_t pins;
    uint64_t entry_count;
    uint64_t first_sequence, last_sequence; /* 0 when empty */
    /* entries lie in buffers like values do, so that a value copied in can be referred to */
    uint8_t *page_pos, *page_end;
    uint8_t *slab_pos, *slab_end; /* a part of a page, for nodes */
    uint32_t page;                /* index of its buffer */
    uint32_t owner_count, owner_capacity;
    struct buffer **owners;
    size_t owner_bytes, page_size;
    struct memtable_node *last_leaf;
    struct tombstone_set tombstones;
    struct memtable_node *fingers[MEMTABLE_FINGERS]; /* by partition: the leaf of the last insertion */
};

static inline struct slice memtable_entry_key(const struct memtable_entry *entry) {
    return slice_make(entry->key, entry->key_size);
}
static inline uint64_t memtable_entry_stamp(const struct memtable_entry *entry) {
    uint64_t stamp;
    memcpy(&stamp, entry->stamp, sizeof stamp);
    return stamp;
}
static inline uint64_t memtable_entry_sequence(const struct memtable_entry *entry) {
    return memtable_entry_stamp(entry) >> 8;
}
static inline enum entry_kind memtable_entry_kind(const struct memtable_entry *entry) {
    return (enum entry_kind)(memtable_entry_stamp(entry) & (MEMTABLE_ENTRY_OLDER - 1)); /* PUT or DELETE */
}
/* The version before this one, or NULL. */
static inline const struct memtable_entry *memtable_entry_older(const struct memtable_entry *entry) {
    const struct memtable_entry *older = NULL;
    if ((memtable_entry_stamp(entry) & MEMTABLE_ENTRY_OLDER) != 0)
        memcpy(&older, (const uint8_t *)entry - sizeof older, sizeof older);
    return older;
}
struct memtable_reference {
    const uint8_t *value;
    uint32_t size, crc;
};
static inline struct memtable_reference memtable_entry_reference(const struct memtable_entry *entry) {
    struct memtable_reference reference;
    bool older = (memtable_entry_stamp(entry) & MEMTABLE_ENTRY_OLDER) != 0;
    const uint8_t *end = (const uint8_t *)entry - (older ? sizeof(void *) : 0);
    memcpy(&reference, end - sizeof reference, sizeof reference);
    return reference;
}
static inline struct slice memtable_entry_value(const struct memtable_entry *entry) {
    if ((memtable_entry_stamp(entry) & MEMTABLE_ENTRY_REFERRED) == 0)
        return slice_make(entry->key + entry->key_size, entry->copied_size);
    struct memtable_reference reference = memtable_entry_reference(entry);
    return slice_make(reference.value, reference.size);
}
/* Of a large value: the log says it of no other. */
static inline uint32_t memtable_entry_crc(const struct memtable_entry *entry) {
    bool referred = (memtable_entry_stamp(entry) & MEMTABLE_ENTRY_REFERRED) != 0;
    return referred ? memtable_entry_reference(entry).crc : 0;
}

struct memtable *memtable_new(void);
struct memtable *memtable_pin(struct memtable *memtable);
void memtable_unpin(struct memtable *memtable); /* NULL is allowed */

struct memtable_value {
    /* Copied when it is small; else the memtable takes a reference of its own, and the bytes need an owner
     * unless they are static. */
    struct shared_slice bytes;
    uint32_t crc; /* of a large value: the log does not say it of others */
};
/* Sequences only grow. */
void memtable_put(struct memtable *memtable, struct slice key, uint64_t sequence,
                  const struct memtable_value *value);
void memtable_delete(struct memtable *memtable, struct slice key, uint64_t sequence);
void memtable_delete_range(struct memtable *memtable, struct slice from, struct slice to, uint64_t sequence);
/* Forgets everything above `sequence` (writes that failed). Open cursors survive. */
void memtable_rollback(struct memtable *memtable, uint64_t sequence);

/* The newest entry of `key` with a sequence <= snapshot, or NULL. Range deletions are not looked at. */
const struct memtable_entry *memtable_get(const struct memtable *memtable, struct slice key,
                                          uint64_t snapshot);
/* Borrowed: valid while the memtable lives; take a reference to keep it longer. */
static inline struct shared_slice memtable_value(const struct memtable *memtable,
                                                 const struct memtable_entry *entry) {
    struct buffer *owner = entry->owner == UINT32_MAX ? NULL : memtable->owners[entry->owner];
    return (struct shared_slice){memtable_entry_value(entry), owner};
}
/* Everything up to this sequence is seen by readers; any thread. */
static inline uint64_t memtable_last_sequence(const struct memtable *memtable) {
    return __atomic_load_n(&memtable->last_sequence, __ATOMIC_ACQUIRE);
}
size_t memtable_bytes(const struct memtable *memtable);
/* The same without what its last page has left: what a limit is held against. */
static inline size_t memtable_used(const struct memtable *memtable) {
    return memtable_bytes(memtable) - (size_t)(memtable->page_end - memtable->page_pos);
}
void memtable_check(const struct memtable *memtable); /* O(entries) */

/* A position among the keys that have an entry at a snapshot: of each the newest entry <= snapshot. */
struct memtable_cursor {
    const struct memtable *memtable;
    uint64_t snapshot;
    const struct memtable_node *leaf;
    uint32_t index, version;            /* position, valid while the leaf keeps its version */
    const struct memtable_entry *entry; /* NULL: off either end */
};
void memtable_cursor_init(struct memtable_cursor *cursor, const struct memtable *memtable, uint64_t snapshot);
void memtable_cursor_seek(struct memtable_cursor *cursor, struct slice key);      /* first >= key */
void memtable_cursor_seek_prev(struct memtable_cursor *cursor, struct slice key); /* last <= key */
void memtable_cursor_first(struct memtable_cursor *cursor);
void memtable_cursor_last(struct memtable_cursor *cursor);
void memtable_cursor_next(struct memtable_cursor *cursor); /* entry must not be NULL */
void memtable_cursor_prev(struct memtable_cursor *cursor);

#endif
