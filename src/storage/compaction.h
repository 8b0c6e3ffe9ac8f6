// SPDX-License-Identifier: Apache-2.0
/* compaction.h: keeps the levels few and sorted, and gives deleted space back.
 *
 *   consider ─> sweep of range deletions ─> pick ─> job, COMPACTION_STEP bytes at a time ─> commit ─>
 * consider
 *
 * The sweep reads nothing: runs that range deletions cover entirely leave the levels with one edit, and
 * deletions that hide nothing any more are forgotten; so retention and topic deletion give space back at
 * once. A compaction merges runs, keeps of each key the newest entry, drops what deletions hide, and drops
 * deletions with nothing below them. Iterators pin the version they began with, so no snapshot needs older
 * entries. The job works in steps, so that a flush never waits long behind it; and while others use the
 * store, it pauses between steps and keeps to compaction_bytes_per_s, unless level 0 or its level grow faster
 * than that.
 *
 * Source  O'Neil et al. 1996; LevelDB doc/impl.md; compaction_pick.h.
 * Owner   the store owns it. Loop  shard thread; the merge in a job.
 * Errors  NO_SPACE, and reads that fail: tried again later. CORRUPT, and reads that go on failing: the inputs
 *         are marked damaged and left where they are, all else goes on. IO on writing is final for the store.
 */
#ifndef SENTINEL_STORAGE_COMPACTION_H
#define SENTINEL_STORAGE_COMPACTION_H

#include "storage/flush.h"

struct store;
struct compaction;

struct compaction *compaction_new(struct store *store);
/* The store shuts down: a compaction that pauses ends. */
void compaction_stop(struct compaction *compaction);
void compaction_free(struct compaction *compaction);
/* Starts whatever is worth doing now. */
void compaction_consider(struct compaction *compaction);
bool compaction_idle(const struct compaction *compaction);
/* True when nothing is under way nor will be by itself: what stands in the levels stays there. */
bool compaction_stuck(const struct compaction *compaction);
/* The keys that the compaction under way will write. */
struct flush_reserved compaction_reserved(const struct compaction *compaction);

#endif
