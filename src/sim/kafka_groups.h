// SPDX-License-Identifier: Apache-2.0
/* kafka_groups.h: consumer groups beside the producers and consumers of kafka_clients.h.
 *
 * Two groups read the topic, one in each protocol, with three members each (kafka_member.h), which come, go
 * and oversleep all the time. At the end they stay, and have to read and commit everything: B13 to B17.
 *
 * Owner   the world. Loop: one thread. */
#ifndef SENTINEL_SIM_KAFKA_GROUPS_H
#define SENTINEL_SIM_KAFKA_GROUPS_H

#include "sim/program.h"

void *kafka_groups_open(struct world *world);
void kafka_groups_close(void *groups);
bool kafka_groups_operate(void *groups, const struct action *action);
void kafka_groups_finish(void *groups);
bool kafka_groups_finished(void *groups);
void kafka_groups_report(void *groups, struct writer *to);

#endif
