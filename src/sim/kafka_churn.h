// SPDX-License-Identifier: Apache-2.0
/* kafka_churn.h: topics that come and go (churn.h) beside the producers and consumers of kafka_clients.h.
 *
 *   finish: nobody changes anything any more ─> all nodes tell of the same topics ─> they are read from the
 *           start, and held against all that was acknowledged ─> finished
 *
 * Owner   the world. Loop: one thread. */
#ifndef SENTINEL_SIM_KAFKA_CHURN_H
#define SENTINEL_SIM_KAFKA_CHURN_H

#include "sim/program.h"

void *kafka_churn_open(struct world *world);
void kafka_churn_close(void *churn);
bool kafka_churn_operate(void *churn, const struct action *action);
void kafka_churn_finish(void *churn);
bool kafka_churn_finished(void *churn);
void kafka_churn_report(void *churn, struct writer *to);

#endif
