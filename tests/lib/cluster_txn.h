// SPDX-License-Identifier: Apache-2.0
/* cluster_txn.h: transactions on the nodes of a cluster_world.h, as a producer of the protocol's second
 * version makes them: what passes is tried again, elsewhere, for as long as a minute. With world->forward any
 * node is asked. */
#ifndef SENTINEL_TESTS_LIB_CLUSTER_TXN_H
#define SENTINEL_TESTS_LIB_CLUSTER_TXN_H

#include "lib/cluster_world.h"

#define CLUSTER_TXN_PARTITIONS 8

struct cluster_txn {
    struct cluster_world *world;
    const char *id;
    int64_t producer_id;
    int16_t epoch;
    int32_t sequences[CLUSTER_TXN_PARTITIONS]; /* of one topic */
    bool keeps_epoch;                          /* the protocol's first version */
};
/* What a client retries is retried; the rest is the result. */
enum status cluster_txn_begin(struct cluster_txn *txn, int32_t timeout_ms);
/* Now it has the last epoch of its producer id. */
void cluster_txn_last_epoch(struct cluster_txn *txn);
/* The partition becomes part of the transaction with the batch, or with a call before it when the epoch is
 * kept.
 */
enum status cluster_txn_append(struct cluster_txn *txn, const char *topic, int partition, const char *value);
/* "key=value" has a key; "key=" is its deletion, read as such. */
enum status cluster_txn_offset(struct cluster_txn *txn, const char *group, const char *topic, int partition,
                               int64_t offset);
enum status cluster_txn_end(struct cluster_txn *txn, bool commit);
/* The client is gone before an answer comes; for a second none does. */
void cluster_txn_end_unanswered(struct cluster_txn *txn, uint32_t node, bool commit);
/* The batch is sent to this node once, without making its partition part of the transaction. */
enum status cluster_txn_try_append(struct cluster_txn *txn, uint32_t node, const char *topic, int partition,
                                   const char *value);

/* An append that is under way while the test goes on; the batch makes its partition part of the transaction.
 */
struct cluster_txn_sent {
    struct append append;
    bool done;
};
void cluster_txn_send(struct cluster_txn *txn, struct cluster_txn_sent *sent, uint32_t node,
                      const char *topic, int partition, const char *value);
enum status cluster_txn_sent_wait(struct cluster_txn *txn, struct cluster_txn_sent *sent);

/* What a reader of committed records sees from the beginning to the high watermark, joined with '\n'; waits
 * until nothing is open. */
void cluster_txn_read(struct cluster_world *w, const char *topic, int partition, struct writer *out);
/* UNSTABLE_OFFSETS: a transaction is about to commit it. *offset -1: none. */
enum status cluster_txn_look(struct cluster_world *w, uint32_t node, const char *group, const char *topic,
                             int partition, int64_t *offset);
/* Waits until it is stable; -1: none. */
int64_t cluster_txn_committed(struct cluster_world *w, const char *group, const char *topic, int partition);
/* The node that coordinates the name and answers for it. */
uint32_t cluster_txn_coordinator(struct cluster_world *w, const char *name);

#endif
