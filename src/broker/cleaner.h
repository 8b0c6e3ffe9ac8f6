// SPDX-License-Identifier: Apache-2.0
/* cleaner.h: compaction by key (cleanup.policy=compact): of each key the last record stays, at its offset.
 *
 *   clean part | dirty part            | above the stable offset, or too young: not looked at
 *   ───────────┼───────────────────────┼─────────
 *              └─> keys with their last offsets, as many as fit the map: the dirty part ends there
 *   └───────── every batch once more: records whose key comes again later go ────────┘ ─> all of it is clean
 *
 * A batch is written anew under the key it had in the store, with the same offsets and fewer records
 * (wire/record_filter.h), so readers see gaps, as in Kafka, and consensus sees the log it always saw. The
 * space is given back by the store's own compaction, which drops the version underneath. A crash in between
 * leaves some batches cleaned: nothing is ever taken away before what makes it superfluous is committed and
 * durable, and the next pass goes over it again.
 *
 * TRANSACTIONS. Only what is below the last stable offset is looked at; records of aborted ones go like those
 * whose key comes later. Markers stay.
 * TOMBSTONES (null values) stay for delete.retention.ms after the pass that first saw them, and go only on
 * the partition's leader, and only when every member of the group has them: a replica that was away must not
 * keep what was deleted meanwhile. Records without a key, from before the topic was compacted, stay. REPLICAS
 * clean for themselves, each what is committed; they may differ in what is gone already. So how far a copy is
 * cleaned does not go to others with a snapshot, and begins anew when a part of it was repaired from another.
 * Not held: that every member has cleaned what a tombstone deletes before it is dropped.
 *
 * Source  Kafka's documentation of log compaction, KIP-58 (min.compaction.lag.ms), KIP-354
 * (max.compaction.lag.ms), KIP-534 (tombstones; here a partition remembers when it saw them, instead of each
 * batch). Owner   the broker.  Loop: shard thread; batches are gone through in jobs. Errors  of a read or a
 * write: this pass is given up, the next round tries again. Bounds  options.cleaner_map_bytes,
 * CLEANER_CHUNK_BYTES and one batch at a time. */
#ifndef SENTINEL_BROKER_CLEANER_H
#define SENTINEL_BROKER_CLEANER_H

#include <stdbool.h>

#define CLEANER_CHUNK_BYTES   (512 * 1024)
#define CLEANER_CHUNK_BATCHES 512

struct broker;
struct partition;
struct cleaner;

struct cleaner *cleaner_new(struct broker *broker);
void cleaner_free(struct cleaner *cleaner);
/* Nothing of it is under way; a shutdown waits for that. */
bool cleaner_is_idle(const struct cleaner *cleaner);
/* The partition goes away, or its log was replaced: what is under way of it is void. */
void cleaner_detach(struct partition *partition);

#endif
