// SPDX-License-Identifier: Apache-2.0
/* damage.h: what of the stored bytes is known to be bad, from the moment it is met until it is gone.
 *
 *   read, compaction, scrub ─ CORRUPT ─> gap: keys of one run ─> told to the owner (store_on_damage)
 *   owner writes the range anew: a range deletion, then what belongs there ─> the gap is deleted: readers
 * pass over it ─> a compaction writes the run without it ─> the table goes to the quarantine
 *
 * A gap says that nothing in it can be believed, also that a key is absent. So what mends it is a deletion of
 * the whole range, newer than all of the run: then no reader needs those bytes, and the same write puts what
 * should be there. A store whose owner has no other copy keeps the gap, reads around it go on.
 *
 * Owner   gaps belong to their run. Loop: shard thread, but damage_is_deleted on sets that do not change.
 * Bounds  DAMAGE_GAPS_MAX a run; what is found beyond waits until some of them are mended. */
#ifndef SENTINEL_STORAGE_DAMAGE_H
#define SENTINEL_STORAGE_DAMAGE_H

#include "storage/store_internal.h"

#define DAMAGE_GAPS_MAX 64u

/* Keys of `run`, both included, cannot be read. False: it was known, or newer deletions cover it. */
bool damage_found(struct store *store, struct run *run, struct slice first, struct slice last);
/* The filter of the table or its footer is damaged: nothing is lost, all its runs are written anew. */
void damage_found_meta(struct store *store, const struct table *table);
/* Looks whether newer deletions that are in tables cover the gaps of the current version's runs. */
void damage_review(struct store *store);
/* Everything up to `sequence` from `from` on is deleted by one or the other of the sets, at `snapshot`: up to
 * `to`, and it included or not. */
bool damage_is_deleted(const struct tombstone_set *const *sets, uint32_t count, struct slice from,
                       struct slice to, bool included, uint64_t sequence, uint64_t snapshot);
void damage_init(struct store *store);
void damage_release(struct store *store);

#endif
