// SPDX-License-Identifier: Apache-2.0
/* read_replica.h: reading from followers (KIP-392): where a leader sends a reader, and whether a follower may
 * answer one.
 *
 *   reader of rack R ─> leader: a voter in sync in R? "read from node N" ─> follower N
 *        ^                                                                    │ fresh: batches
 *        └──── NOT_LEADER, or OFFSET_NOT_AVAILABLE: it is not, or has not that offset
 *
 * IN SYNC, says the leader: the voter answers, and has what was committed READ_STALE_ELECTIONS election
 * timeouts ago (raft_is_in_sync). A leader in the reader's own rack sends nobody away.
 *
 * FRESH, says the follower: so long ago at most it had applied all that its leader told to be committed
 * (raft_is_fresh). So what a reader gets is never older than that, also from a follower that is cut off or
 * whose copy is being moved away: it sends its readers back, the leader does not send them again, and what it
 * gives is committed: below its high watermark, which is how far it applied. The last stable offset and the
 * aborted transactions are those of the same position, because a follower learns of producers as it applies.
 *
 * A follower never says that an offset is out of range: it may lag, or know a later log start than a leader
 * that came after. That word, offsets by time and epochs stay with the leader.
 *
 * A reader that comes back soon after it was sent is served by the leader for the rest of READ_RETURN_NS:
 * else one that a follower refuses for a reason that the leader cannot see would go to and fro.
 *
 * Loop    shard thread only.  Bounds: READ_SENT_MAX readers remembered; forgetting one costs it a detour. */
#ifndef SENTINEL_BROKER_READ_REPLICA_H
#define SENTINEL_BROKER_READ_REPLICA_H

#include "broker/partition.h"

#define READ_STALE_ELECTIONS 5 /* shortest election timeouts: 2 s by default */
#define READ_RETURN_NS       (30 * NS_PER_S)
#define READ_SENT_MAX        4096u

/* At the leader: the node that the reader of `offset` shall ask instead, or -1. Remembers that it was sent.
 */
int32_t read_replica_choose(struct partition *partition, struct slice rack, uint64_t reader, int64_t offset);
/* OK: this copy does not lead, and may be read. NOT_LEADER, or why the replica is gone. */
enum status read_replica_use(const struct partition *partition) MUST_USE;
void read_replica_forget(struct broker *broker);

#endif
