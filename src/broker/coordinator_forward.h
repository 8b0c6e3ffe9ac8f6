// SPDX-License-Identifier: Apache-2.0
/* coordinator_forward.h: calls of simple clients for groups that another node coordinates, taken there and
 * back.
 *
 *   coordinator_beat, _commit, _read, _delete_group, _txn_begin, _txn_end, _txn_commit_offsets with
 *   call->forward ─> REQUEST to the coordinator ─> the same call there, without `forward` ─> ANSWER ─>
 *   answer(call, reply) ─> done(call)
 *
 * Kafka's clients find the coordinator by themselves; gRPC's ask any node. What is read of a group comes as
 * the keys it is stored as (machine/group.h), and is a group again for as long as `answer` runs.
 *
 *   request = [op u8][kind u8] and                answer = [status u8] and, when OK,
 *     BEAT        the beat                          [reply u8][epoch be32][count be32]{partition}
 *     COMMIT      who, offsets                      [reply u8]{status u8} of each offset
 *     READ        who                               [reply u8][there u8][state change]
 *     DELETE      group                             [reply u8]
 *     LIST        -                                 { group summary }
 *     TXN_BEGIN   producer [timeout be32][id be64]  txn
 *     TXN_END     producer [how u8]                 txn
 *     TXN_COMMIT  producer [adds u8] who, offsets   txn {status u8} of each offset
 *     TXN_LIST    [id], or nothing: all             { transaction summary }
 *   with strings as [size be32][bytes], size ffffffff: none;
 *   producer = [transactional id][producer be64][epoch be16];
 *   txn = [result u8][producer be64][epoch be16][number be32].
 *
 * Errors  NOT_COORDINATOR: nobody coordinates the group now, or did not answer: the call may have been
 * carried out. Loop: shard thread only. */
#ifndef SENTINEL_BROKER_COORDINATOR_FORWARD_H
#define SENTINEL_BROKER_COORDINATOR_FORWARD_H

#include "broker/cluster.h"
#include "broker/coordinator.h"

/* True: it is on its way. False: to be carried out here. */
bool coordinator_forward_beat(struct broker *broker, struct group_call *call,
                              const struct group_consumer_beat *beat);
/* The offsets are the caller's until done. */
bool coordinator_forward_commit(struct broker *broker, struct group_call *call,
                                const struct group_commit *commit);
bool coordinator_forward_read(struct broker *broker, struct group_call *call,
                              const struct group_identity *who);
bool coordinator_forward_delete(struct broker *broker, struct group_call *call, struct slice group);
bool coordinator_forward_txn_begin(struct broker *broker, struct txn_call *call,
                                   const struct txn_begin *begin);
bool coordinator_forward_txn_end(struct broker *broker, struct txn_call *call,
                                 const struct txn_ending *ending);
/* As coordinator_forward_commit. */
bool coordinator_forward_txn_commit(struct broker *broker, struct txn_commit *commit);
void coordinator_forward_cancel(struct group_call *call);
/* Before the coordinators are closed: calls that are away end with CLOSED, those of others without an answer.
 */
void coordinator_forward_abandon(struct cluster *cluster);
/* From cluster.c; `body` begins behind the op. */
void coordinator_forward_request(struct cluster *cluster, uint32_t node, uint64_t number,
                                 struct shared_slice body);

#endif
