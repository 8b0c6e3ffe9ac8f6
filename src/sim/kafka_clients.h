// SPDX-License-Identifier: Apache-2.0
/* kafka_clients.h: clients that speak Kafka's protocol in real bytes over simulated sockets.
 *
 * On a machine of their own, which never crashes: one that makes the topic, producers (every other one
 * idempotent), a consumer for each partition, and some in the rack of a node, that go where the leader sends
 * them. Each has one connection at a time and one request on it; what
 * fails is asked again elsewhere, after a look at the metadata. What they are told is held against a history
 * (history.h) that survives all brokers: B1, B2, B4, B5, B6, B7, B8, B12, S6.
 *
 *   finish: producers send what they have left ─> consumers read everything from the start ─> finished
 *
 * Owner   the world. Loop: one thread. */
#ifndef SENTINEL_SIM_KAFKA_CLIENTS_H
#define SENTINEL_SIM_KAFKA_CLIENTS_H

#include "sim/history.h"
#include "sim/program.h"

#define KAFKA_PORT         9092
#define KAFKA_TOPIC        "simulated"
#define KAFKA_PARTITIONS   3
#define KAFKA_CLIENTS_NODE (SIM_NODES_MAX + 1)
#define KAFKA_RACK_SIZE    16

/* Every node is in a rack of its own. */
void kafka_clients_rack(char rack[KAFKA_RACK_SIZE], uint32_t node);

void *kafka_clients_open(struct world *world);
void kafka_clients_close(void *clients);
/* An append is a batch for the next producer. */
bool kafka_clients_operate(void *clients, const struct action *action);
void kafka_clients_finish(void *clients);
bool kafka_clients_finished(void *clients);
void kafka_clients_report(void *clients, struct writer *to);

/* ---- for clients beside them ---- */
struct history *kafka_clients_history(void *clients);
/* Some client was told now that a partition is committed up to there. */
void kafka_clients_told(void *clients, uint32_t partition, int64_t end);
bool kafka_clients_topic_made(const void *clients);
/* Where a partition ends, when they have finished. */
int64_t kafka_clients_end(const void *clients, uint32_t partition);

#endif
