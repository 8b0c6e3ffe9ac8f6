// SPDX-License-Identifier: Apache-2.0
/* sentinel.v1.ClusterService: what this node knows of the cluster. */
#include "sentinel/v1/cluster_service.pb-c.h"
#include "server/connection.h"
#include "server/grpc_service.h"

struct totals {
    int64_t topics, partitions;
};
static void count_topic(void *ctx, const struct broker_topic *topic) {
    struct totals *totals = ctx;
    totals->topics++;
    totals->partitions += topic->partition_count;
}

static void get_cluster(struct grpc_call *call, struct grpc_message *message) {
    if (grpc_call_unpack(call, &sentinel__v1__get_cluster_request__descriptor, message->bytes) == NULL)
        return;
    struct broker *broker = grpc_call_broker(call);
    struct totals totals = {0};
    broker_topics_visit(broker, count_topic, &totals);
    Sentinel__V1__GetClusterResponse response = SENTINEL__V1__GET_CLUSTER_RESPONSE__INIT;
    response.cluster_id = (char *)broker_cluster_id(broker);
    response.node_id = response.controller_node_id = broker_node_id(broker);
    response.version = (char *)SENTINEL_VERSION;
    response.topic_count = totals.topics;
    response.partition_count = totals.partitions;
    grpc_call_reply_packed(call, &response.base);
}

static void list_nodes(struct grpc_call *call, struct grpc_message *message) {
    if (grpc_call_unpack(call, &sentinel__v1__list_nodes_request__descriptor, message->bytes) == NULL) return;
    struct broker *broker = grpc_call_broker(call);
    char host[256];
    Sentinel__V1__Node node = SENTINEL__V1__NODE__INIT, *nodes[] = {&node};
    node.node_id = broker_node_id(broker);
    server_advertised(grpc_call_connection(call), host, sizeof host, &node.port);
    node.host = host;
    node.state = broker_health(broker) == STATUS_OK ? SENTINEL__V1__NODE_STATE__NODE_STATE_READY
                                                    : SENTINEL__V1__NODE_STATE__NODE_STATE_READ_ONLY;
    Sentinel__V1__ListNodesResponse response = SENTINEL__V1__LIST_NODES_RESPONSE__INIT;
    response.n_nodes = 1;
    response.nodes = nodes;
    grpc_call_reply_packed(call, &response.base);
}

const struct grpc_method grpc_cluster_methods[2] = {
    {.path = "/sentinel.v1.ClusterService/GetCluster",
     .message_size_max = GRPC_CONTROL_MESSAGE_MAX,
     .message = get_cluster},
    {.path = "/sentinel.v1.ClusterService/ListNodes",
     .message_size_max = GRPC_CONTROL_MESSAGE_MAX,
     .message = list_nodes},
};
