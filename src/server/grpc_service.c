// SPDX-License-Identifier: Apache-2.0
#include "server/grpc_service.h"

const char *const grpc_service_names[] = {
    "sentinel.v1.TopicService",
    "sentinel.v1.ProducerService",
    "sentinel.v1.ConsumerService",
    "sentinel.v1.ClusterService",
    "sentinel.v1.GroupService",
    "sentinel.v1.TransactionService",
    "grpc.health.v1.Health",
    "grpc.reflection.v1.ServerReflection",
    "grpc.reflection.v1alpha.ServerReflection",
    NULL,
};

static const struct {
    const struct grpc_method *methods;
    size_t count;
} tables[] = {
    {grpc_produce_methods, ARRAY_COUNT(grpc_produce_methods)},
    {grpc_produce_stream_methods, ARRAY_COUNT(grpc_produce_stream_methods)},
    {grpc_fetch_methods, ARRAY_COUNT(grpc_fetch_methods)},
    {grpc_consume_methods, ARRAY_COUNT(grpc_consume_methods)},
    {grpc_topics_methods, ARRAY_COUNT(grpc_topics_methods)},
    {grpc_offsets_methods, ARRAY_COUNT(grpc_offsets_methods)},
    {grpc_moves_methods, ARRAY_COUNT(grpc_moves_methods)},
    {grpc_cluster_methods, ARRAY_COUNT(grpc_cluster_methods)},
    {grpc_nodes_methods, ARRAY_COUNT(grpc_nodes_methods)},
    {grpc_rebalance_methods, ARRAY_COUNT(grpc_rebalance_methods)},
    {grpc_groups_methods, ARRAY_COUNT(grpc_groups_methods)},
    {grpc_group_offsets_methods, ARRAY_COUNT(grpc_group_offsets_methods)},
    {grpc_txn_methods, ARRAY_COUNT(grpc_txn_methods)},
    {grpc_txn_list_methods, ARRAY_COUNT(grpc_txn_list_methods)},
    {grpc_checkpoint_methods, ARRAY_COUNT(grpc_checkpoint_methods)},
    {grpc_health_methods, ARRAY_COUNT(grpc_health_methods)},
    {grpc_reflection_methods, ARRAY_COUNT(grpc_reflection_methods)},
};

const struct grpc_method *grpc_service_find(struct slice path) {
    for (size_t i = 0; i < ARRAY_COUNT(tables); i++)
        for (size_t k = 0; k < tables[i].count; k++)
            if (slice_equal(path, slice_from_text(tables[i].methods[k].path))) return &tables[i].methods[k];
    return NULL;
}
