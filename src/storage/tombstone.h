// SPDX-License-Identifier: Apache-2.0
/* tombstone.h: the ranges that were deleted, and since when.
 *
 * A range deletion [from, to) at sequence s hides every entry of that range whose sequence is below s. The
 * set keeps the ranges cut into fragments that do not overlap, each with its sequences, newest first, so that
 * one binary search answers «which deletion, not newer than my snapshot, covers this key».
 *
 * Source  RocksDB's fragmented range tombstones, simplified: one level of fragments, kept sorted in place.
 * Owner   the set copies keys; all memory is its own.
 * Loop    one thread writes; an unchanging set may be read by any.
 * I1  fragments are sorted and disjoint; from < to; each holds at least one sequence, in falling order. */
#ifndef SENTINEL_STORAGE_TOMBSTONE_H
#define SENTINEL_STORAGE_TOMBSTONE_H

#include "base/arena.h"

struct tombstone {
    struct slice from, to;
    uint64_t *sequences; /* falling */
    uint32_t count;
};
struct tombstone_set {
    struct tombstone *fragments;
    size_t count, capacity;
    struct arena arena;
};

void tombstone_set_init(struct tombstone_set *set);
void tombstone_set_release(struct tombstone_set *set);
/* An empty range adds nothing. */
void tombstone_set_add(struct tombstone_set *set, struct slice from, struct slice to, uint64_t sequence);
/* The fragment that holds `key`, or NULL. */
const struct tombstone *tombstone_set_find(const struct tombstone_set *set, struct slice key);
/* The newest sequence <= snapshot that covers `key`; 0 when none does. */
uint64_t tombstone_set_cover(const struct tombstone_set *set, struct slice key, uint64_t snapshot);
/* The newest sequence of `fragment` that is <= snapshot; 0 when none is. */
uint64_t tombstone_newest(const struct tombstone *fragment, uint64_t snapshot);
/* True when all of [first, last] (both included) is covered by deletions newer than `sequence`. */
bool tombstone_set_covers(const struct tombstone_set *set, struct slice first, struct slice last,
                          uint64_t sequence);
/* Forgets every deletion with a sequence above `sequence` (a write that failed). */
void tombstone_set_rollback(struct tombstone_set *set, uint64_t sequence);
void tombstone_set_check(const struct tombstone_set *set);
static inline size_t tombstone_set_bytes(const struct tombstone_set *set) {
    return set->arena.bytes + set->capacity * sizeof *set->fragments;
}

#endif
