// SPDX-License-Identifier: Apache-2.0
/* memtable.h: the newest entries of the store, sorted, in memory.
 *
 *      inner     [ a      g      p ]
 *                 |      |      |
 *      leaves    [abcde][ghijk][pqrst]  <- linked both ways
 *                 |
 *      entries   {sequence, kind, key, where the value lies}  in an arena, never moved
 *
 * A skip list whose nodes hold up to MEMTABLE_FANOUT keys each, with its upper lanes as arrays: a
 * deterministic skip list of that kind is the same thing as a B+ tree, and a lookup misses two or three cache
 * lines instead of twenty. Each node strips the prefix its keys share and keeps the next eight bytes of every
 * key as one big-endian integer, so that for keys [group][kind][offset] a comparison is an integer
 * comparison; only ties look at the key itself. Leaves that are appended to split at the point of insertion
 * and stay full.
 *
 * Entries are ordered by key, then by falling sequence. Values are never copied here: an entry points into
 * the buffer that holds the value (the log's chunk, or the receive buffer of a large value), and the memtable
 * keeps one reference to each such buffer.
 *
 * Source  Pugh 1990 (skip lists); Munro, Papadakis, Sedgewick 1992 (deterministic skip lists and B trees);
 *         Bayer and Unterauer 1977 (prefix B-trees); Graefe 2001 (poor man's normalized keys).
 * Owner   memtable_new/unpin: whoever pins it (the store, iterators, a flush) unpins once; the last frees.
 * Loop    one writer; when it stops writing (immutable), any thread may read. Cursors survive insertions.
 * Bounds  STORE_KEY_SIZE_MAX for keys. bytes() counts the whole of every buffer referred to.
 * I1  leaves in list order hold all entries in order.  I2  a node's heads are the eight bytes after its
 *     prefix.  I3  inner entry i is the smallest entry its child had when it was made; 0 stands for minus
 *     infinity. */
#ifndef SENTINEL_STORAGE_MEMTABLE_H
#define SENTINEL_STORAGE_MEMTABLE_H

#include "base/buffer.h"
#include "storage/layout.h"
#include "storage/tombstone.h"

#define MEMTABLE_FANOUT 64u

struct memtable_entry {
    uint64_t sequence;
    const uint8_t *value;
    uint64_t log_offset; /* of the value in its segment */
    uint32_t log_segment;
    uint32_t value_size;
    uint32_t value_crc;
    uint32_t owner; /* index of the buffer that holds the value */
    uint16_t key_size;
    uint8_t kind; /* ENTRY_PUT or ENTRY_DELETE */
    uint8_t key[];
};

struct memtable_node;
struct memtable {
    uint32_t pins;
    uint32_t owner_count, owner_capacity;
    struct buffer **owners;
    size_t owner_bytes;
    struct memtable_node *root, *first_leaf, *last_leaf;
    struct memtable_node *finger; /* the leaf of the last insertion */
    uint64_t entry_count;
    uint64_t first_sequence, last_sequence; /* 0 when empty */
    struct tombstone_set tombstones;
    struct arena arena;
};

static inline struct slice memtable_entry_key(const struct memtable_entry *entry) {
    return slice_make(entry->key, entry->key_size);
}

struct memtable *memtable_new(void);
struct memtable *memtable_pin(struct memtable *memtable);
void memtable_unpin(struct memtable *memtable); /* NULL is allowed */

struct memtable_value {
    struct shared_slice bytes; /* the memtable takes a reference of its own */
    uint32_t crc;
    uint32_t log_segment;
    uint64_t log_offset;
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
struct shared_slice memtable_value(const struct memtable *memtable, const struct memtable_entry *entry);
size_t memtable_bytes(const struct memtable *memtable);
void memtable_check(const struct memtable *memtable); /* O(entries) */

/* A position among the entries visible at a snapshot: of each key the newest entry <= snapshot. */
struct memtable_cursor {
    const struct memtable *memtable;
    uint64_t snapshot;
    const struct memtable_node *leaf;
    uint32_t index, changes;            /* position, valid while the leaf has not changed */
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
