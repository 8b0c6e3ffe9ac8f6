// SPDX-License-Identifier: Apache-2.0
/* checkpoint.h: a copy of the store as it is at one moment, in another directory, without copying its bytes.
 *
 *   flush ─> everything given before is in tables ─> version pinned ─> job: hard links to its tables and to
 * the segments of the log that these refer to, a manifest of its own ─> done
 *
 * A checkpoint is a complete store: opened as one it holds a prefix of the writes, with at least all that
 * were acknowledged before the call. Tables never change, so a link costs no bytes; space is used only as the
 * store drops tables that the checkpoint still holds. Segments of the log are written over when they are free
 * again, but never while they have a second name; the one that is being written to is copied instead.
 *
 * A file CHECKPOINT says what it is: a member of a consensus group must not begin with an old copy of itself,
 * it would have forgotten what it promised since. Whoever may, takes it over (store_take_over).
 *
 * Source  RocksDB «checkpoints» (hard links beside a manifest of their own).
 * Owner   a request is its caller's until done. The directory is the caller's; nothing here removes a
 * finished one. Errors  EXISTS: the directory is there and not empty. BUSY: another checkpoint is being made.
 * IO (also: another file system), NO_SPACE: what was made is removed again. CLOSED: shutting down. Loop shard
 * thread; links and manifest in a job. Bounds: one at a time. */
#ifndef SENTINEL_STORAGE_CHECKPOINT_H
#define SENTINEL_STORAGE_CHECKPOINT_H

#include "storage/store.h"

struct checkpoint;

struct checkpoint *checkpoint_new(struct store *store);
void checkpoint_free(struct checkpoint *checkpoint); /* also under way: in the simulator's crash */
void checkpoint_stop(struct checkpoint *checkpoint); /* shutting down: one that waits for the flush fails */
bool checkpoint_idle(const struct checkpoint *checkpoint);

#endif
