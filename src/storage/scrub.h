// SPDX-License-Identifier: Apache-2.0
/* scrub.h: reads everything that is stored, slowly, and says what is damaged before somebody needs it.
 *
 *   a round: manifest, log, then table after table from a random one on ─> footer, filter, every entry of
 * every run ─> job, SCRUB_STEP bytes at a time ─> a pause that keeps the rate ─> ... ─> a long pause ─> the
 * next round
 *
 * A block is read from the disk, not from the page cache where that can be asked for, and goes past the block
 * cache. What is found is logged with file, offset and keys; the run is marked damaged, so that compaction
 * leaves it where it is until the range was written anew (damage.h), and its file is never removed but put
 * aside. Everything else in the file stays readable: each block is checked on its own. Of the log it
 * reads the records that are not in tables yet: they are also in memory, and go to a table at once.
 *
 * Source  Bairavasundaram et al., SIGMETRICS 2007 (latent sector errors: scrubbing finds most of them).
 * Owner   the store owns it; it pins the version it reads while it is at one table.
 * Errors  none: what it cannot read is what it reports. What cannot be opened for want of descriptors or
 *         rights is no damage: that waits for the next round.
 * Loop    shard thread; the reading in jobs. Bounds: one job; SCRUB_FINDINGS_MAX reports a step. */
#ifndef SENTINEL_STORAGE_SCRUB_H
#define SENTINEL_STORAGE_SCRUB_H

#include "base/units.h"
#include "storage/store.h"

#define SCRUB_STEP         MIB
#define SCRUB_FINDINGS_MAX 32u

struct scrub;

/* Begins with a pause of a tenth of the interval, so that a start is not slowed down. */
struct scrub *scrub_new(struct store *store);
void scrub_free(struct scrub *scrub); /* also while a job runs: in the simulator's crash */
void scrub_stop(struct scrub *scrub); /* for good; idle when the job under way has ended */
bool scrub_idle(const struct scrub *scrub);
/* Begins a round now unless one is under way; done when a whole round from now on is over, or stopped. */
void scrub_round(struct scrub *scrub, void (*done)(void *ctx), void *ctx);
struct scrub_counters scrub_counters(const struct scrub *scrub);

#endif
