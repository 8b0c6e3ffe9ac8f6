// SPDX-License-Identifier: Apache-2.0
/* The cluster and its nodes: unary calls, as in admin.c. */
#include <stdio.h>

#include "base/arena.h"
#include "base/units.h"
#include "client/client_state.h"
#include "client/exchange.h"
#include "sentinel/v1/cluster_service.pb-c.h"

#define CLUSTER_SERVICE "/sentinel.v1.ClusterService/"

static const sentinel_node *nodes_of(struct arena *arena, const Sentinel__V1__ListNodesResponse *answer) {
    static const char *const states[] = {"unknown", "ready", "read-only", "down", "expected"};
    sentinel_node *nodes = arena_calloc(arena, answer->n_nodes, sizeof *nodes);
    for (size_t i = 0; i < answer->n_nodes; i++) {
        const Sentinel__V1__Node *from = answer->nodes[i];
        nodes[i] = (sentinel_node){
            .node_id = from->node_id,
            .port = from->port,
            .host = from->host,
            .state = states[(unsigned)from->state < ARRAY_COUNT(states) ? from->state : 0],
            .rack = from->rack == NULL ? "" : from->rack,
            .draining = from->draining != 0,
            .leaders = from->leader_count,
            .replicas = from->replica_count,
            .arriving = from->arriving_count,
            .leaving = from->leaving_count};
    }
    return nodes;
}

int sentinel_cluster_describe(sentinel_client *client,
                              void (*visit)(void *context, const sentinel_cluster *cluster), void *context,
                              sentinel_error *error) {
    struct arena arena;
    arena_init(&arena, 4 * KIB);
    Sentinel__V1__GetClusterRequest request = SENTINEL__V1__GET_CLUSTER_REQUEST__INIT;
    Sentinel__V1__GetClusterResponse *answer = client_exchange(
        client, CLUSTER_SERVICE "GetCluster", &request, &sentinel__v1__get_cluster_response__descriptor,
        &arena, error);
    Sentinel__V1__ListNodesRequest nodes_request = SENTINEL__V1__LIST_NODES_REQUEST__INIT;
    Sentinel__V1__ListNodesResponse *nodes =
        answer == NULL ? NULL
                       : client_exchange(client, CLUSTER_SERVICE "ListNodes", &nodes_request,
                                         &sentinel__v1__list_nodes_response__descriptor, &arena, error);
    if (nodes != NULL) {
        sentinel_cluster cluster = {.cluster_id = answer->cluster_id,
                                    .version = answer->version,
                                    .node_id = answer->node_id,
                                    .topics = answer->topic_count,
                                    .partitions = answer->partition_count,
                                    .controller_id = answer->controller_node_id,
                                    .leaderless = answer->leaderless_count,
                                    .under_replicated = answer->under_replicated_count,
                                    .moving = answer->moving_count,
                                    .nodes = nodes_of(&arena, nodes),
                                    .node_count = nodes->n_nodes};
        visit(context, &cluster);
    }
    arena_release(&arena);
    return nodes == NULL ? -1 : 0;
}

int sentinel_checkpoint_create(sentinel_client *client, const char *name,
                               void (*visit)(void *context, const sentinel_checkpoint *checkpoint),
                               void *context, sentinel_error *error) {
    struct arena arena;
    arena_init(&arena, 4 * KIB);
    Sentinel__V1__CreateCheckpointRequest request = SENTINEL__V1__CREATE_CHECKPOINT_REQUEST__INIT;
    request.name = (char *)(uintptr_t)name;
    Sentinel__V1__CreateCheckpointResponse *answer = client_exchange(
        client, CLUSTER_SERVICE "CreateCheckpoint", &request,
        &sentinel__v1__create_checkpoint_response__descriptor, &arena, error);
    if (answer != NULL) {
        sentinel_checkpoint checkpoint = {answer->path, answer->node_id, answer->file_count,
                                          answer->size_bytes};
        visit(context, &checkpoint);
    }
    arena_release(&arena);
    return answer == NULL ? -1 : 0;
}

int sentinel_node_add(sentinel_client *client, int32_t node, const char *address, sentinel_error *error) {
    Sentinel__V1__AddNodeRequest request = SENTINEL__V1__ADD_NODE_REQUEST__INIT;
    request.node_id = node;
    request.address = (char *)(uintptr_t)address;
    return client_simple(client, CLUSTER_SERVICE "AddNode", &request,
                         &sentinel__v1__add_node_response__descriptor, error);
}

int sentinel_node_drain(sentinel_client *client, int32_t node, bool cancel, sentinel_error *error) {
    Sentinel__V1__DrainNodeRequest request = SENTINEL__V1__DRAIN_NODE_REQUEST__INIT;
    request.node_id = node;
    request.cancel = cancel;
    return client_simple(client, CLUSTER_SERVICE "DrainNode", &request,
                         &sentinel__v1__drain_node_response__descriptor, error);
}

int sentinel_node_remove(sentinel_client *client, int32_t node, sentinel_error *error) {
    Sentinel__V1__RemoveNodeRequest request = SENTINEL__V1__REMOVE_NODE_REQUEST__INIT;
    request.node_id = node;
    return client_simple(client, CLUSTER_SERVICE "RemoveNode", &request,
                         &sentinel__v1__remove_node_response__descriptor, error);
}

int sentinel_transfer_leader(sentinel_client *client, const char *topic, int32_t partition, int32_t node,
                             sentinel_error *error) {
    Sentinel__V1__TransferLeaderRequest request = SENTINEL__V1__TRANSFER_LEADER_REQUEST__INIT;
    request.topic = (char *)(uintptr_t)topic;
    request.partition = partition;
    request.node_id = node;
    return client_simple(client, CLUSTER_SERVICE "TransferLeader", &request,
                         &sentinel__v1__transfer_leader_response__descriptor, error);
}
