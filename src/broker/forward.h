// SPDX-License-Identifier: Apache-2.0
/* forward.h: requests of simple clients for partitions that another node leads, taken there and back.
 *
 *   broker_append, broker_fetch, broker_list_offset with `forward` ─> REQUEST to the leader ─> the same call
 *   there, without `forward` ─> ANSWER ─> done
 *
 * Kafka's clients find the leader by themselves, so Kafka's handlers do not ask for this; gRPC's do: any node
 * serves any partition. A batch goes on as it lies in the receive buffer, and comes back so. A fetch at the
 * leader never waits: the node that was asked looks again now and then (FORWARD_POLL_NS).
 *
 *   request = [op u8][topic size be16][topic][partition be32] and
 *
 *     APPEND      batch
 *       answer = [status u8][base be64][time be64][log start be64][epoch be32][bad record be32][text]
 *
 *     APPEND_TXN  [id size be16][joins u8][transactional id][batch]
 *       answer as of APPEND
 *
 *     FETCH       [offset be64][bytes be32][read committed u8]
 *       answer = [status u8][high watermark be64][stable be64][log start be64]
 *                [aborted be32]{ [producer be64][first be64][last be64] }... { [size be32][batch] }...
 *
 *     LIST        [timestamp be64][read committed u8, or nothing]
 *       answer = [status u8][offset be64][timestamp be64][epoch be32]
 *
 *     DELETE      [offset be64]
 *       answer = [status u8][log start be64]
 *
 * Errors  NOT_LEADER: nobody is known to lead, the leader is another by now, or it did not answer in time; an
 *         append that was on its way then may have happened.
 * Loop    shard thread only.  Bounds: FORWARD_TIMEOUT_NS; what peers' queues take. */
#ifndef SENTINEL_BROKER_FORWARD_H
#define SENTINEL_BROKER_FORWARD_H

#include "broker/broker_state.h"

#define FORWARD_TIMEOUT_NS (10 * NS_PER_S)
#define FORWARD_POLL_NS    (100 * NS_PER_MS)

enum forward_op {
    FORWARD_CONTROLLER = 1,
    FORWARD_APPEND,
    FORWARD_FETCH,
    FORWARD_LIST,
    FORWARD_DESCRIBE, /* partition_ask.c */
    FORWARD_TRANSFER,
    FORWARD_DELETE,
    FORWARD_GROUP, /* coordinator_forward.h */
    /* coordinator_remote.h */
    FORWARD_TXN_ASK,
    FORWARD_MARKER,
    FORWARD_END_PENDING,
    FORWARD_APPEND_TXN,
    FORWARD_REPORT, /* survey.c */
    FORWARD_OP_END
};

static inline void forward_init(struct forward *forward) {
    list_init(&forward->link);
}
/* True: on its way to that other node, whatever it leads; `answered` comes. False: there is no connection.
 * `rest`, what follows the op, is taken. */
bool forward_send(struct broker *broker, struct forward *forward, uint32_t node, enum forward_op op,
                  struct chain *rest);
/* True: on its way to the node that leads the partition, `answered` comes. False: it is led here, or nobody
 * is known to, or there is no connection. `rest` is taken. */
bool forward_start(struct broker *broker, struct forward *forward, enum forward_op op, struct slice topic,
                   int32_t partition, struct chain *rest);
void forward_cancel(struct forward *forward);
/* Led by another node that is known. */
bool forward_is_elsewhere(struct broker *broker, struct slice topic, int32_t partition);

/* partition_ask.c: an answer of the leader's. */
void partition_ask_serve(struct broker *broker, bool transfer, struct slice topic, int32_t partition,
                         struct reader *in, struct writer *out);
/* survey.c: what this node says of itself. */
void survey_serve(struct broker *broker, struct writer *out);
/* delete_records.c: a crash; `done` does not come. */
void delete_records_abandon(struct delete_records *request);

/* From cluster.c. */
struct cluster;
void forward_request(struct cluster *cluster, uint32_t node, uint64_t number, struct shared_slice body);
bool forward_answer(struct cluster *cluster, uint64_t number, struct shared_slice body); /* false: not ours */
void forward_tick(struct cluster *cluster);
/* The node is down, or its connection began anew: what was asked of it is not answered any more. */
void forward_node_gone(struct cluster *cluster, uint32_t node);
/* Requests of others that are under way end without an answer; at a crash. */
void forward_abandon(struct cluster *cluster);

#endif
