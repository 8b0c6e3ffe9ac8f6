// SPDX-License-Identifier: Apache-2.0
/* grpc_clients.h: clients that speak sentinel.v1 in real HTTP/2 bytes, over the project's own channel
 * (client/channel.h) on simulated sockets, beside the Kafka clients of kafka_clients.h.
 *
 * Producers (idempotent) send to partitions of the same topic through whichever node they choose, one batch
 * in a call of its own or several on a stream; what is not acknowledged goes again, elsewhere. Consumers read
 * a partition each by a stream, with credit, and begin another one now and then. Three more are members of a
 * group (grpc_member.h): B13 to B17. What they are told is held against the same history: B1, B2, B4 to B8, B12,
 * S6; and what one protocol stores the other reads.
 *
 *   finish: producers end ─> the Kafka clients end, and read everything ─> consumers have read it, too, and the
 *                                                                          group has committed it
 *
 * Owner   the world. Loop: one thread. */
#ifndef SENTINEL_SIM_GRPC_CLIENTS_H
#define SENTINEL_SIM_GRPC_CLIENTS_H

#include "sim/program.h"

void *grpc_clients_open(struct world *world);
void grpc_clients_close(void *clients);
bool grpc_clients_operate(void *clients, const struct action *action);
void grpc_clients_finish(void *clients);
bool grpc_clients_finished(void *clients);
void grpc_clients_report(void *clients, struct writer *to);

#endif
