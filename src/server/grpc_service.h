// SPDX-License-Identifier: Apache-2.0
/* grpc_service.h: every method that the server has, by path, and the services they belong to.
 *
 * A handler file grpc_x.c exports its rows as grpc_x_methods and appears in grpc_service.c; nothing else
 * knows it. */
#ifndef SENTINEL_SERVER_GRPC_SERVICE_H
#define SENTINEL_SERVER_GRPC_SERVICE_H

#include "server/grpc_call.h"

/* NULL: no such method. */
const struct grpc_method *grpc_service_find(struct slice path);
/* Names of the services, NULL-terminated: "sentinel.v1.TopicService". */
extern const char *const grpc_service_names[];

extern const struct grpc_method grpc_produce_methods[2];
extern const struct grpc_method grpc_produce_stream_methods[1];
extern const struct grpc_method grpc_fetch_methods[1];
extern const struct grpc_method grpc_consume_methods[1];
extern const struct grpc_method grpc_topics_methods[6];
extern const struct grpc_method grpc_offsets_methods[2];
extern const struct grpc_method grpc_moves_methods[2];
extern const struct grpc_method grpc_cluster_methods[4];
extern const struct grpc_method grpc_nodes_methods[5];
extern const struct grpc_method grpc_rebalance_methods[1];
extern const struct grpc_method grpc_groups_methods[6];
extern const struct grpc_method grpc_group_offsets_methods[1];
extern const struct grpc_method grpc_txn_methods[4];
extern const struct grpc_method grpc_txn_list_methods[2];
extern const struct grpc_method grpc_checkpoint_methods[1];
extern const struct grpc_method grpc_health_methods[3];
extern const struct grpc_method grpc_reflection_methods[2];

#endif
