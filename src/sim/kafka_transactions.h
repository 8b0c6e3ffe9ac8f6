// SPDX-License-Identifier: Apache-2.0
/* kafka_transactions.h: records copied in transactions, beside the producers and consumers of
 * kafka_clients.h.
 *
 * Two transactional ids share the partitions of the topic, with two copiers each that fence each other
 * (kafka_copier.h); a reader for each partition of the copies (txn_reader.h). At the end one copier of each
 * id copies what is left, and everything is read from the start: B9, B10, B11.
 *
 * Owner   the world. Loop: one thread. */
#ifndef SENTINEL_SIM_KAFKA_TRANSACTIONS_H
#define SENTINEL_SIM_KAFKA_TRANSACTIONS_H

#include "sim/program.h"

void *kafka_transactions_open(struct world *world);
void kafka_transactions_close(void *transactions);
bool kafka_transactions_operate(void *transactions, const struct action *action);
void kafka_transactions_finish(void *transactions);
bool kafka_transactions_finished(void *transactions);
void kafka_transactions_report(void *transactions, struct writer *to);

#endif
