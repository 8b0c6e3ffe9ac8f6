// SPDX-License-Identifier: Apache-2.0
/* coordinator_remote.h: transactions across nodes: what one coordinator, or a partition, asks of another
 * node.
 *
 *   TXN_ASK      a partition or a group ─> the transaction's coordinator    may this be stored as part of it?
 *   MARKER       the transaction's coordinator ─> a partition's leader      the transaction has ended
 *   END_PENDING  the transaction's coordinator ─> a group's coordinator     the same for its offsets
 *
 * Requests and answers as forward.h has them; each may be asked again, and does nothing the second time.
 *
 *   TXN_ASK      [adds u8][producer be64][epoch be16][known at be64][partition be32][id size be16][id][place]
 *                answer [status u8][number be32]
 *   MARKER       [topic size be16][topic][partition be32][commit u8][producer be64][epoch be16][number be32]
 *                answer [status u8]
 *   END_PENDING  [commit u8][producer be64][number be32][group]
 *                answer [status u8]
 *
 * Errors  those of the calls on the other node; NOT_LEADER: it did not answer.  Loop: shard thread only. */
#ifndef SENTINEL_BROKER_COORDINATOR_REMOTE_H
#define SENTINEL_BROKER_COORDINATOR_REMOTE_H

#include "broker/cluster.h"
#include "broker/coordinator.h"
#include "broker/forward.h"
#include "wire/record_batch.h"

/* False: nobody can be asked now. */
bool remote_txn_ask(struct broker *broker, uint32_t node, struct forward *forward,
                    const struct txn_question *question, int64_t known_at);
bool remote_txn_answer(struct slice body, int32_t *number); /* false: malformed */
bool remote_marker(struct broker *broker, struct forward *forward, const struct txn_place *place,
                   const struct record_batch_marker *marker);
bool remote_end_pending(struct broker *broker, uint32_t node, struct forward *forward, struct slice group,
                        const struct group_producer *producer, bool commit);

/* From cluster.c: what another node asks; `body` begins with the op. */
void coordinator_remote_request(struct cluster *cluster, uint32_t node, uint64_t number, struct slice body);
/* What is under way for others ends without an answer; at a crash. */
void coordinator_remote_abandon(struct cluster *cluster);

#endif
