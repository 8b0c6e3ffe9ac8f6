// SPDX-License-Identifier: Apache-2.0
/* partition_replica.h: a partition whose log is a group of replicas (raft_host.h).
 *
 *   broker_append ─> propose ─> in the log (appended) ─> committed (apply): high watermark, index, answers
 *
 * The log holds the batches themselves; what is kept beside it follows what is committed: the TIME key of a
 * stretch of log, and with it the producers that wrote there, are put when the stretch is full, in one write
 * with the applied position. So a load reads one open stretch, and nothing that may be truncated is ever
 * beside the log. Records of the open stretch are deleted only when their producers are stored, too. In memory
 * a partition knows its producers twice: as of the end of the log, to judge what comes next, and as of the
 * high watermark, to be kept.
 *
 * A leader serves only when all that any leader before it acknowledged is committed and applied here: then no
 * client sees the high watermark go back. Followers give what they applied to who asks for it
 * (read_replica.h).
 *
 * Owner   the partition.  Loop: shard thread only. Loading blocks: one stretch of log, when the node starts,
 * when an uncommitted suffix was truncated, when an append was refused on its way into the log. */
#ifndef SENTINEL_BROKER_PARTITION_REPLICA_H
#define SENTINEL_BROKER_PARTITION_REPLICA_H

#include "broker/partition.h"
#include "wire/record_batch.h"

#define REPLICA_RETRIES_MAX 16 /* each is read while everybody waits */

/* Opens the replica, if it is not open, on a node that may have one; loads what is kept beside the log.
 * is_new: the partition was made just now. What cannot be read now (a disk error, no descriptors) is tried
 * again PARTITION_RETRY_NS later. Whoever has its log, but not what is beside it, is a member that does not
 * serve: should it be elected, it hands over. */
void partition_replica_open(struct partition *partition, const struct metadata_replicas *replicas,
                            bool is_new);
/* Now and then: those that could not be opened or loaded, REPLICA_RETRIES_MAX of them. */
struct cluster;
void partition_replicas_retry(struct cluster *cluster);
/* What waits for a commit is answered; what is stored goes when the topic does (topic->deleting or dropped).
 */
void partition_replica_close(struct partition *partition);
/* OK on a leader that may serve; NOT_LEADER; or why the replica is gone. */
enum status partition_replica_use(const struct partition *partition) MUST_USE;
enum status partition_replica_health(const struct partition *partition) MUST_USE;
/* The leader's log begins here. */
void partition_replica_follow_start(struct partition *partition, int64_t log_start);
/* Who wrote in the open stretch of what is committed, before any of it is deleted: a load would not find them
 * in the log any more. */
void partition_replica_put_producers(struct partition *partition, struct store_write *write);
/* The producers as of the end of the log, from what is committed and the log behind it. Not OK: it cannot be
 * read, and they stay stale. */
enum status partition_replica_mend_producers(struct partition *partition) MUST_USE;

#endif
