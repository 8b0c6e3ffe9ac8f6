// SPDX-License-Identifier: Apache-2.0
/* sentinel.v1.ClusterService: what this node knows of the cluster. */
#include <stdio.h>

#include "base/assert.h"
#include "sentinel/v1/cluster_service.pb-c.h"
#include "server/connection.h"
#include "server/grpc_service.h"
#include "server/grpc_watch.h"

struct totals {
    struct broker *broker;
    int64_t topics, partitions, leaderless, under_replicated, moving;
    struct broker_node nodes[BROKER_NODES_MAX];
    int64_t leaders[BROKER_NODES_MAX], replicas[BROKER_NODES_MAX];
    int64_t arriving[BROKER_NODES_MAX], leaving[BROKER_NODES_MAX];
    uint32_t node_count;
};
/* A call: what the nodes say is asked for first, then counted is what this one knows. */
struct cluster_call {
    struct grpc_call *call; /* NULL: nothing was asked yet */
    struct broker_survey survey;
    int32_t node_id;         /* GetNode */
    struct grpc_watch watch; /* WatchCluster */
};

static void count_for(struct totals *totals, int64_t *counts, int32_t node) {
    for (uint32_t i = 0; i < totals->node_count; i++)
        if (totals->nodes[i].node == node) counts[i]++;
}

static void count_move(struct totals *totals, const struct broker_topic *topic, int32_t partition) {
    struct partition_move move;
    if (!broker_partition_move(totals->broker, topic, partition, &move)) return;
    totals->moving++;
    for (uint32_t i = 0; i < move.adding_count; i++)
        count_for(totals, totals->arriving, move.adding[i]);
    for (uint32_t i = 0; i < move.removing_count; i++)
        count_for(totals, totals->leaving, move.removing[i]);
}

static void count_partition(struct totals *totals, const struct broker_topic *topic, int32_t partition) {
    int32_t nodes[BROKER_REPLICAS_MAX], live[BROKER_REPLICAS_MAX];
    struct partition_leader leader = broker_partition_leader(totals->broker, topic, partition);
    uint32_t count = broker_partition_replicas(totals->broker, topic, partition, false, nodes);
    totals->leaderless += leader.node < 0;
    totals->under_replicated += broker_partition_replicas(totals->broker, topic, partition, true, live) <
                                count;
    count_for(totals, totals->leaders, leader.node);
    for (uint32_t i = 0; i < count; i++)
        count_for(totals, totals->replicas, nodes[i]);
    count_move(totals, topic, partition);
}

static void count_topic(void *ctx, const struct broker_topic *topic) {
    struct totals *totals = ctx;
    totals->topics++;
    totals->partitions += topic->partition_count;
    for (int32_t i = 0; i < topic->partition_count; i++)
        count_partition(totals, topic, i);
}

static void count_all(struct totals *totals, struct broker *broker) {
    *totals = (struct totals){.broker = broker};
    totals->node_count = broker_nodes(broker, totals->nodes);
    broker_topics_visit(broker, count_topic, totals);
}

static void fill_cluster(const struct totals *totals, const struct broker_survey *survey,
                         Sentinel__V1__GetClusterResponse *out) {
    sentinel__v1__get_cluster_response__init(out);
    out->cluster_id = (char *)broker_cluster_id(totals->broker);
    out->node_id = broker_node_id(totals->broker);
    out->controller_node_id = broker_controller(totals->broker);
    out->version = (char *)SENTINEL_VERSION;
    out->topic_count = totals->topics;
    out->partition_count = totals->partitions;
    /* Who led last stays known until somebody else does; that nobody leads, the nodes themselves know. */
    bool asked = survey->is_complete && broker_peers(totals->broker) != NULL;
    out->leaderless_count = asked ? MAX(totals->partitions - survey->led_partitions, 0) : totals->leaderless;
    out->under_replicated_count = totals->under_replicated;
    out->moving_count = totals->moving;
    out->late_count = survey->late_partitions;
    out->catch_up_rate = broker_catch_up_rate(totals->broker);
}

/* NULL: it came after the nodes were asked. */
static const struct broker_node_report *report_of(const struct broker_survey *survey, int32_t node) {
    for (uint32_t i = 0; i < survey->report_count; i++)
        if (survey->reports[i].node == node) return &survey->reports[i];
    return NULL;
}

static int64_t bytes_of(uint64_t bytes) {
    return (int64_t)MIN(bytes, (uint64_t)INT64_MAX);
}

static void fill_report(struct arena *arena, const struct broker_node_report *report,
                        Sentinel__V1__Node *node) {
    node->late_count = report->late;
    node->lacking_count = report->lacking;
    if (!report->known) return;
    node->disk = arena_alloc(arena, sizeof *node->disk);
    sentinel__v1__disk__init(node->disk);
    node->disk->stored_bytes = bytes_of(report->stored_bytes);
    node->disk->free_bytes = bytes_of(report->disk_free_bytes);
    node->disk->size_bytes = bytes_of(report->disk_bytes);
}

static Sentinel__V1__NodeState state_of(const struct broker_node *node,
                                        const struct broker_node_report *report) {
    if (!node->up && node->incarnation == 0 && node->address != NULL)
        return SENTINEL__V1__NODE_STATE__NODE_STATE_EXPECTED;
    if (!node->up) return SENTINEL__V1__NODE_STATE__NODE_STATE_DOWN;
    return report != NULL && report->known && report->health != STATUS_OK
               ? SENTINEL__V1__NODE_STATE__NODE_STATE_READ_ONLY
               : SENTINEL__V1__NODE_STATE__NODE_STATE_READY;
}

static Sentinel__V1__Node *node_message(const struct cluster_call *c, struct arena *arena,
                                        const struct totals *totals, uint32_t index) {
    const struct broker_node *from = &totals->nodes[index];
    const struct broker_node_report *report = report_of(&c->survey, from->node);
    Sentinel__V1__Node *node = arena_alloc(arena, sizeof *node);
    char host[256];
    sentinel__v1__node__init(node);
    server_node_address(grpc_call_connection(c->call), from, host, sizeof host, &node->port);
    node->host = arena_text(arena, slice_from_text(host));
    node->node_id = from->node;
    node->leader_count = totals->leaders[index];
    node->replica_count = totals->replicas[index];
    node->arriving_count = totals->arriving[index];
    node->leaving_count = totals->leaving[index];
    node->draining = from->draining;
    if (from->rack != NULL) node->rack = arena_text(arena, slice_from_text(from->rack));
    node->state = state_of(from, report);
    if (report != NULL) fill_report(arena, report, node);
    return node;
}

static Sentinel__V1__Node **print_nodes(const struct cluster_call *c, struct arena *arena,
                                        const struct totals *totals) {
    Sentinel__V1__Node **nodes = arena_calloc(arena, totals->node_count, sizeof(*nodes));
    for (uint32_t i = 0; i < totals->node_count; i++)
        nodes[i] = node_message(c, arena, totals, i);
    return nodes;
}

static void ask_nodes(struct cluster_call *c, struct grpc_call *call,
                      void (*done)(struct broker_survey *survey)) {
    c->call = call;
    c->survey.done = done;
    broker_survey(grpc_call_broker(call), &c->survey);
}

static void cluster_call_ended(struct grpc_call *call) {
    struct cluster_call *c = call->state;
    if (c->call != NULL) broker_survey_cancel(&c->survey);
    grpc_watch_end(&c->watch);
}

/* ---- answers -------------------------------------------------------------------------------------------- */

static void cluster_known(struct broker_survey *survey) {
    struct cluster_call *c = CONTAINER_OF(survey, struct cluster_call, survey);
    struct totals totals;
    count_all(&totals, grpc_call_broker(c->call));
    Sentinel__V1__GetClusterResponse response;
    fill_cluster(&totals, survey, &response);
    grpc_call_reply_packed(c->call, &response.base);
}

static void get_cluster(struct grpc_call *call, struct grpc_message *message) {
    if (grpc_call_unpack(call, &sentinel__v1__get_cluster_request__descriptor, message->bytes) != NULL)
        ask_nodes(call->state, call, cluster_known);
}

static void nodes_known(struct broker_survey *survey) {
    struct cluster_call *c = CONTAINER_OF(survey, struct cluster_call, survey);
    struct totals totals;
    count_all(&totals, grpc_call_broker(c->call));
    Sentinel__V1__ListNodesResponse response = SENTINEL__V1__LIST_NODES_RESPONSE__INIT;
    response.n_nodes = totals.node_count;
    response.nodes = print_nodes(c, &c->call->arena, &totals);
    grpc_call_reply_packed(c->call, &response.base);
}

static void list_nodes(struct grpc_call *call, struct grpc_message *message) {
    if (grpc_call_unpack(call, &sentinel__v1__list_nodes_request__descriptor, message->bytes) != NULL)
        ask_nodes(call->state, call, nodes_known);
}

static void node_known(struct broker_survey *survey) {
    struct cluster_call *c = CONTAINER_OF(survey, struct cluster_call, survey);
    struct totals totals;
    count_all(&totals, grpc_call_broker(c->call));
    Sentinel__V1__GetNodeResponse response = SENTINEL__V1__GET_NODE_RESPONSE__INIT;
    for (uint32_t i = 0; i < totals.node_count; i++)
        if (totals.nodes[i].node == c->node_id) response.node = node_message(c, &c->call->arena, &totals, i);
    char text[64];
    snprintf(text, sizeof text, "there is no node %d", c->node_id);
    if (response.node == NULL)
        grpc_call_fail_status(c->call, STATUS_NOT_FOUND, text);
    else
        grpc_call_reply_packed(c->call, &response.base);
}

static void get_node(struct grpc_call *call, struct grpc_message *message) {
    const Sentinel__V1__GetNodeRequest *request = grpc_call_unpack(
        call, &sentinel__v1__get_node_request__descriptor, message->bytes);
    if (request == NULL) return;
    struct cluster_call *c = call->state;
    c->node_id = request->node_id;
    ask_nodes(c, call, node_known);
}

/* ---- WatchCluster --------------------------------------------------------------------------------------- */

static void watched(struct broker_survey *survey) {
    struct cluster_call *c = CONTAINER_OF(survey, struct cluster_call, survey);
    struct arena arena;
    arena_init(&arena, 4 * KIB);
    struct totals totals;
    count_all(&totals, grpc_call_broker(c->call));
    Sentinel__V1__GetClusterResponse cluster;
    Sentinel__V1__WatchClusterResponse response = SENTINEL__V1__WATCH_CLUSTER_RESPONSE__INIT;
    fill_cluster(&totals, survey, &cluster);
    response.cluster = &cluster;
    response.n_nodes = totals.node_count;
    response.nodes = print_nodes(c, &arena, &totals);
    grpc_watch_tell(&c->watch, &response.base);
    arena_release(&arena);
}

static void look(struct grpc_watch *watch) {
    ask_nodes(CONTAINER_OF(watch, struct cluster_call, watch), watch->call, watched);
}

static void watch_cluster(struct grpc_call *call, struct grpc_message *message) {
    const Sentinel__V1__WatchClusterRequest *request = grpc_call_unpack(
        call, &sentinel__v1__watch_cluster_request__descriptor, message->bytes);
    struct cluster_call *c = call->state;
    if (request != NULL) MAYBE(grpc_watch_start(&c->watch, call, request->interval_ms, look));
}

#define CLUSTER_METHOD(name, handler)                                                                        \
    .path = "/sentinel.v1.ClusterService/" name, .message_size_max = GRPC_CONTROL_MESSAGE_MAX,               \
    .message = handler, .state_size = sizeof(struct cluster_call), .ended = cluster_call_ended

const struct grpc_method grpc_cluster_methods[4] = {
    {CLUSTER_METHOD("GetCluster", get_cluster)},
    {CLUSTER_METHOD("ListNodes", list_nodes)},
    {CLUSTER_METHOD("GetNode", get_node)},
    {CLUSTER_METHOD("WatchCluster", watch_cluster), .drain = grpc_watch_drain},
};
