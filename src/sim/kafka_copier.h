// SPDX-License-Identifier: Apache-2.0
/* kafka_copier.h: a client that copies records from one topic to another in transactions, exactly once.
 *
 *   who am I (InitProducerId) ─> where was I (OffsetFetch) ─> fetch ─> AddPartitionsToTxn ─> two batches, to
 * two partitions ─> AddOffsetsToTxn ─> TxnOffsetCommit ─> EndTxn ─> fetch ...
 *
 * Two of them have the same transactional id: one takes over from the other now and then, and the other goes
 * on until it is told that it is fenced. What fails is begun anew from the first step, as a careful client
 * does. A fifth of the transactions are aborted.
 *
 * Half of the times it begins anew as a producer of the second generation (KIP-890, transaction.version 2):
 * Produce 12 and TxnOffsetCommit 5 add to the transaction what they are for, nothing else does; EndTxn 5
 * gives out the next epoch, and nothing of the epoch before is taken any more (B9). An EndTxn 5 that was not
 * answered is asked for again, half of the times: it must come to the same.
 *
 * Owner   the clients. Loop: theirs. */
#ifndef SENTINEL_SIM_KAFKA_COPIER_H
#define SENTINEL_SIM_KAFKA_COPIER_H

#include "base/prng.h"
#include "sim/action.h"
#include "sim/kafka_link.h"
#include "sim/txn_history.h"

#define KAFKA_COPIER_PARTITIONS 3
#define KAFKA_COPIER_RECORDS    16 /* of a transaction */

struct kafka_copier_options {
    struct io *io;
    struct txn_history *history;
    const char *id, *group, *source, *target;
    uint32_t index;      /* of the transactional id */
    uint32_t partitions; /* of the source, by bits */
    uint32_t node_count;
    uint64_t seed;
    bool spare; /* waits before it takes over for the first time */
    void (*told)(void *ctx, const char *text);
    void *ctx;
};
enum kafka_copier_step {
    COPIER_CREATE,
    COPIER_FIND_TXN,
    COPIER_INIT,
    COPIER_FIND_GROUP,
    COPIER_OFFSETS,
    COPIER_METADATA,
    COPIER_FETCH,
    COPIER_ADD,
    COPIER_PRODUCE,
    COPIER_PRODUCE_SECOND,
    COPIER_ADD_OFFSETS,
    COPIER_COMMIT_OFFSETS,
    COPIER_END
};
struct kafka_copier_channel {
    struct kafka_copier *copier;
    struct kafka_link *link; /* NULL: none */
    bool connected;
};
struct kafka_copier {
    struct kafka_copier_options options;
    struct prng prng;
    struct io_timer timer;
    struct kafka_copier_channel channels[SIM_NODES_MAX + 1]; /* by node */
    enum kafka_copier_step step;
    uint32_t asked_of;                      /* node whose answer is awaited; 0: none */
    bool started, created, steady, retired; /* retired: the other goes on alone */
    uint32_t attempts, txn_node, group_node;
    uint32_t source_leaders[KAFKA_COPIER_PARTITIONS], target_leaders[KAFKA_COPIER_PARTITIONS];
    int64_t producer_id;
    int16_t epoch;
    int32_t sequences[KAFKA_COPIER_PARTITIONS];
    int64_t positions[KAFKA_COPIER_PARTITIONS]; /* committed, with the transactions before */
    /* the transaction */
    uint32_t number, partition, record_count;
    int64_t offsets[KAFKA_COPIER_RECORDS], end;
    bool second;           /* generation, since it last asked who it is */
    bool ending;           /* looks for the coordinator to ask for the end again */
    bool committing, late; /* late: a later epoch had been given out when it was asked */
    struct buffer *batch;
};

void kafka_copier_init(struct kafka_copier *copier, const struct kafka_copier_options *options);
void kafka_copier_start(struct kafka_copier *copier);
void kafka_copier_release(struct kafka_copier *copier);
/* No abortions and takeovers any more. */
void kafka_copier_settle(struct kafka_copier *copier, bool retire);

#endif
