// SPDX-License-Identifier: Apache-2.0
/* The cluster and its nodes: unary calls, as in admin.c. */
#include <stdio.h>

#include "base/arena.h"
#include "base/units.h"
#include "client/client_state.h"
#include "client/exchange.h"
#include "sentinel/v1/cluster_service.pb-c.h"

#define CLUSTER_SERVICE "/sentinel.v1.ClusterService/"

static const sentinel_node *nodes_of(struct arena *arena, Sentinel__V1__Node *const *list, size_t count) {
    static const char *const states[] = {"unknown", "ready", "read-only", "down", "expected"};
    sentinel_node *nodes = arena_calloc(arena, count, sizeof *nodes);
    for (size_t i = 0; i < count; i++) {
        const Sentinel__V1__Node *from = list[i];
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
            .leaving = from->leaving_count,
            .late = from->late_count,
            .lacking = from->lacking_count,
            .stored_bytes = from->disk == NULL ? -1 : from->disk->stored_bytes,
            .disk_free_bytes = from->disk == NULL || from->disk->size_bytes <= 0 ? -1
                                                                                 : from->disk->free_bytes,
            .disk_bytes = from->disk == NULL || from->disk->size_bytes <= 0 ? -1 : from->disk->size_bytes};
    }
    return nodes;
}

static sentinel_cluster cluster_of(struct arena *arena, const Sentinel__V1__GetClusterResponse *from,
                                   Sentinel__V1__Node *const *nodes, size_t node_count) {
    return (sentinel_cluster){.cluster_id = from->cluster_id,
                              .version = from->version,
                              .node_id = from->node_id,
                              .topics = from->topic_count,
                              .partitions = from->partition_count,
                              .controller_id = from->controller_node_id,
                              .leaderless = from->leaderless_count,
                              .under_replicated = from->under_replicated_count,
                              .moving = from->moving_count,
                              .late = from->late_count,
                              .catch_up_rate = from->catch_up_rate,
                              .nodes = nodes_of(arena, nodes, node_count),
                              .node_count = node_count};
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
        const sentinel_cluster cluster = cluster_of(&arena, answer, nodes->nodes, nodes->n_nodes);
        visit(context, &cluster);
    }
    arena_release(&arena);
    return nodes == NULL ? -1 : 0;
}

struct watching {
    bool (*visit)(void *context, const sentinel_cluster *cluster);
    void *context;
};

static bool watched(void *context, struct arena *arena, const void *answer) {
    const struct watching *watching = context;
    const Sentinel__V1__WatchClusterResponse *response = answer;
    if (response->cluster == NULL) return true;
    const sentinel_cluster cluster = cluster_of(arena, response->cluster, response->nodes, response->n_nodes);
    return watching->visit(watching->context, &cluster);
}

int sentinel_cluster_watch(sentinel_client *client, uint32_t interval_ms,
                           bool (*visit)(void *context, const sentinel_cluster *cluster), void *context,
                           sentinel_error *error) {
    struct watching watching = {visit, context};
    Sentinel__V1__WatchClusterRequest request = SENTINEL__V1__WATCH_CLUSTER_REQUEST__INIT;
    request.interval_ms = (int32_t)interval_ms;
    return client_watch(client, CLUSTER_SERVICE "WatchCluster", &request,
                        &sentinel__v1__watch_cluster_response__descriptor, watched, &watching, error);
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

int sentinel_catch_up_rate(sentinel_client *client, int64_t bytes_per_second, sentinel_error *error) {
    Sentinel__V1__SetCatchUpRateRequest request = SENTINEL__V1__SET_CATCH_UP_RATE_REQUEST__INIT;
    request.bytes_per_second = bytes_per_second;
    return client_simple(client, CLUSTER_SERVICE "SetCatchUpRate", &request,
                         &sentinel__v1__set_catch_up_rate_response__descriptor, error);
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

int sentinel_rebalance_plan(sentinel_client *client, int32_t max,
                            void (*visit)(void *context, const sentinel_planned_move *move), void *context,
                            sentinel_error *error) {
    struct arena arena;
    arena_init(&arena, 16 * KIB);
    Sentinel__V1__PlanRebalanceRequest request = SENTINEL__V1__PLAN_REBALANCE_REQUEST__INIT;
    request.max_moves = max;
    Sentinel__V1__PlanRebalanceResponse *answer = client_exchange(
        client, CLUSTER_SERVICE "PlanRebalance", &request, &sentinel__v1__plan_rebalance_response__descriptor,
        &arena, error);
    for (size_t i = 0; answer != NULL && i < answer->n_moves; i++) {
        const Sentinel__V1__PlannedMove *from = answer->moves[i];
        const sentinel_planned_move move = {.topic = from->topic,
                                            .partition = from->partition,
                                            .from = from->from_node_ids,
                                            .to = from->to_node_ids,
                                            .node_count = MIN(from->n_from_node_ids, from->n_to_node_ids)};
        visit(context, &move);
    }
    arena_release(&arena);
    return answer == NULL ? -1 : 0;
}
