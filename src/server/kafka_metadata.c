// SPDX-License-Identifier: Apache-2.0
/* Metadata, DescribeTopicPartitions and DescribeCluster: who is there and which topics they hold. */
#include <stdlib.h>

#include "base/assert.h"
#include "server/kafka_handlers.h"

/* AclOperation bits (KIP-430). There are no ACLs yet: everybody may do everything. */
enum {
    TOPIC_OPERATIONS_ALL =
        0x0df8, /* read write create delete alter describe describe-configs alter-configs */
    CLUSTER_OPERATIONS_ALL = 0x1fa0, /* create alter describe cluster-action describe/alter-configs
                                        idempotent-write */
};

/* What one DescribeTopicPartitions brings at most: Kafka's max.request.partition.size.limit. */
#define PARTITIONS_PER_RESPONSE_MAX 2000

/* ---- this node ----------------------------------------------------------------------------------------- */

static struct slice node_host(struct kafka_request *request, const struct broker_node *node, int32_t *port) {
    char host[256];
    server_node_address(kafka_request_link(request), node, host, sizeof host, port);
    return arena_copy(&request->arena, slice_from_text(host));
}

/* Null: none is told. */
static struct slice node_rack(struct kafka_request *request, const struct broker_node *node) {
    return node->rack == NULL ? SLICE_EMPTY : arena_copy(&request->arena, slice_from_text(node->rack));
}

/* Those that can be asked. */
static int32_t live_nodes(struct kafka_request *request, struct broker_node nodes[BROKER_NODES_MAX]) {
    uint32_t count = broker_nodes(request->broker, nodes);
    int32_t live = 0;
    for (uint32_t i = 0; i < count; i++)
        if (nodes[i].up) nodes[live++] = nodes[i];
    return live;
}

struct copies {
    int32_t *nodes, *live, *dead;
    int32_t count, live_count, dead_count;
};

static int32_t *copy_nodes(struct kafka_request *request, const int32_t *nodes, int32_t count) {
    int32_t *copy = kafka_request_calloc(request, (size_t)count, sizeof *copy);
    if (count > 0) memcpy(copy, nodes, (size_t)count * sizeof *copy);
    return copy;
}

static bool has_node(const int32_t *nodes, int32_t count, int32_t node) {
    for (int32_t i = 0; i < count; i++)
        if (nodes[i] == node) return true;
    return false;
}

static struct copies copies_of(struct kafka_request *request, const struct broker_topic *topic,
                               int32_t partition) {
    struct copies copies;
    int32_t all[BROKER_REPLICAS_MAX], live[BROKER_REPLICAS_MAX], dead[BROKER_REPLICAS_MAX];
    copies.count = (int32_t)broker_partition_replicas(request->broker, topic, partition, false, all);
    copies.live_count = (int32_t)broker_partition_replicas(request->broker, topic, partition, true, live);
    copies.dead_count = 0;
    for (int32_t i = 0; i < copies.count; i++)
        if (!has_node(live, copies.live_count, all[i])) dead[copies.dead_count++] = all[i];
    copies.nodes = copy_nodes(request, all, copies.count);
    copies.live = copy_nodes(request, live, copies.live_count);
    copies.dead = copy_nodes(request, dead, copies.dead_count);
    return copies;
}

/* ---- topics one by one --------------------------------------------------------------------------------- */

static void fill_topic(struct kafka_request *request, const struct broker_topic *topic, bool operations,
                       struct kafka_metadata_response_topic *out) {
    out->name = arena_copy(&request->arena, slice_from_text(topic->name));
    out->topic_id = topic->id;
    out->partitions_count = topic->partition_count;
    out->partitions = kafka_request_array(request, &kafka_schema_metadata_response_partition,
                                          (size_t)topic->partition_count);
    for (int32_t i = 0; i < topic->partition_count; i++) {
        struct copies copies = copies_of(request, topic, i);
        struct kafka_metadata_response_partition *partition = &out->partitions[i];
        struct partition_leader leader = broker_partition_leader(request->broker, topic, i);
        partition->partition_index = i;
        partition->leader_id = leader.node;
        partition->leader_epoch = leader.epoch;
        partition->replica_nodes = copies.nodes;
        partition->replica_nodes_count = copies.count;
        partition->isr_nodes = copies.live;
        partition->isr_nodes_count = copies.live_count;
        partition->offline_replicas = copies.dead;
        partition->offline_replicas_count = copies.dead_count;
        if (leader.node < 0) partition->error_code = KAFKA_LEADER_NOT_AVAILABLE;
    }
    if (operations) out->topic_authorized_operations = TOPIC_OPERATIONS_ALL;
}

static void fill_asked(struct kafka_request *request, const struct kafka_metadata_request_topic *asked,
                       struct kafka_metadata_response_topic *out) {
    const struct kafka_metadata_request *message = request->message;
    bool by_name = asked->name.data != NULL;
    const struct broker_topic *topic = by_name ? broker_topic_find(request->broker, asked->name)
                                               : broker_topic_find_id(request->broker, asked->topic_id);
    if (topic != NULL) {
        fill_topic(request, topic, message->include_topic_authorized_operations, out);
        return;
    }
    out->name = asked->name;
    if (!by_name) {
        out->topic_id = asked->topic_id;
        out->error_code = status_kafka_code(STATUS_UNKNOWN_TOPIC_ID);
        return;
    }
    bool valid = topic_name_check(asked->name, NULL) == STATUS_OK;
    out->error_code = status_kafka_code(valid ? STATUS_UNKNOWN_TOPIC : STATUS_INVALID_TOPIC);
}

/* ---- all topics ---------------------------------------------------------------------------------------- */

struct all_topics {
    const struct broker_topic **topics;
    size_t count, capacity;
};

static void visit_topic(void *ctx, const struct broker_topic *topic) {
    struct all_topics *all = ctx;
    if (all->count < all->capacity) all->topics[all->count] = topic;
    all->count++;
}

static struct all_topics all_topics(struct kafka_request *request) {
    struct all_topics all = {0};
    broker_topics_visit(request->broker, visit_topic, &all);
    all = (struct all_topics){.capacity = all.count};
    all.topics = kafka_request_calloc(request, all.capacity, sizeof(struct broker_topic *));
    broker_topics_visit(request->broker, visit_topic, &all);
    ASSERT_EQ(all.count, all.capacity);
    return all;
}

/* ---- Metadata ------------------------------------------------------------------------------------------ */

/* Version 0 asks for all topics with an empty list, later ones with null. */
static bool asks_for_all(const struct kafka_request *request) {
    const struct kafka_metadata_request *message = request->message;
    return request->header.api_version == 0 ? message->topics_count == 0 : message->topics_count < 0;
}

static void fill_all(struct kafka_request *request) {
    const struct kafka_metadata_request *message = request->message;
    struct kafka_metadata_response *response = request->response;
    struct all_topics all = all_topics(request);
    response->topics = kafka_request_array(request, &kafka_schema_metadata_response_topic, all.count);
    response->topics_count = (int32_t)all.count;
    for (size_t i = 0; i < all.count; i++)
        fill_topic(request, all.topics[i], message->include_topic_authorized_operations,
                   &response->topics[i]);
}

static void fill_named(struct kafka_request *request) {
    const struct kafka_metadata_request *message = request->message;
    struct kafka_metadata_response *response = request->response;
    response->topics = kafka_request_array(request, &kafka_schema_metadata_response_topic,
                                           (size_t)message->topics_count);
    struct kafka_names names, ids;
    kafka_names_init(&names, request);
    kafka_names_init(&ids, request);
    for (int32_t i = 0; i < message->topics_count; i++) {
        const struct kafka_metadata_request_topic *asked = &message->topics[i];
        struct slice id = slice_make(asked->topic_id.bytes, sizeof asked->topic_id.bytes);
        if (asked->name.data != NULL ? kafka_names_add(&names, asked->name) : kafka_names_add(&ids, id))
            fill_asked(request, asked, &response->topics[response->topics_count++]);
    }
    kafka_names_release(&names);
    kafka_names_release(&ids);
}

/* This node was removed from the cluster: what it knows grows old, so clients do well to begin again with
 * the addresses they were given (KIP-1102). */
static bool is_outcast(const struct kafka_request *request) {
    struct broker_node nodes[BROKER_NODES_MAX];
    uint32_t count = broker_nodes(request->broker, nodes);
    for (uint32_t i = 0; i < count; i++)
        if (nodes[i].node == broker_node_id(request->broker)) return false;
    return true;
}

static void metadata_fill(struct kafka_request *request) {
    const struct kafka_metadata_request *message = request->message;
    struct kafka_metadata_response *response = request->response;
    struct broker_node nodes[BROKER_NODES_MAX];
    response->brokers_count = live_nodes(request, nodes);
    response->brokers = kafka_request_array(request, &kafka_schema_metadata_response_broker,
                                            (size_t)response->brokers_count);
    for (int32_t i = 0; i < response->brokers_count; i++) {
        response->brokers[i].node_id = nodes[i].node;
        response->brokers[i].host = node_host(request, &nodes[i], &response->brokers[i].port);
        response->brokers[i].rack = node_rack(request, &nodes[i]);
    }
    response->controller_id = broker_controller(request->broker);
    response->cluster_id = slice_from_text(broker_cluster_id(request->broker));
    if (is_outcast(request)) response->error_code = KAFKA_REBOOTSTRAP_REQUIRED;
    if (message->include_cluster_authorized_operations)
        response->cluster_authorized_operations = CLUSTER_OPERATIONS_ALL;
    if (asks_for_all(request))
        fill_all(request);
    else
        fill_named(request);
}

/* A topic that is made because somebody asked for it. */
struct auto_create {
    struct topic_change change;
    struct kafka_request *request;
};

static void auto_created(struct topic_change *change) {
    struct kafka_request *request = CONTAINER_OF(change, struct auto_create, change)->request;
    char name[80];
    if (change->status == STATUS_OK)
        log_info(server_log(request->server), "topic made on demand name=%s",
                 log_quote(name, sizeof name, change->name));
    else if (change->status != STATUS_EXISTS)
        log_warn(server_log(request->server), "topic not made on demand name=%s reason=\"%s\"",
                 log_quote(name, sizeof name, change->name), change->diagnostic.text);
    kafka_request_release(request);
}

static void create_missing(struct kafka_request *request, struct slice name) {
    if (name.data == NULL || broker_topic_find(request->broker, name) != NULL ||
        topic_name_check(name, NULL) != STATUS_OK)
        return;
    struct auto_create *create = kafka_request_calloc(request, 1, sizeof *create);
    create->request = request;
    create->change = (struct topic_change){.kind = TOPIC_CREATE,
                                           .name = name,
                                           .partition_count = -1,
                                           .replication = -1,
                                           .config = broker_get_options(request->broker)->topic_defaults,
                                           .done = auto_created};
    create->change.config.is_set = 0;
    kafka_request_hold(request);
    broker_change_topic(request->broker, &create->change);
}

void kafka_metadata_describe(struct kafka_request *request) {
    const struct kafka_metadata_request *message = request->message;
    request->finish = metadata_fill;
    if (asks_for_all(request) || !message->allow_auto_topic_creation ||
        !broker_get_options(request->broker)->auto_create_topics)
        return;
    for (int32_t i = 0; i < message->topics_count; i++)
        create_missing(request, message->topics[i].name);
}

/* ---- DescribeTopicPartitions (KIP-966) ----------------------------------------------------------------- */

static int by_name(const void *a, const void *b) {
    return slice_compare(*(const struct slice *)a, *(const struct slice *)b);
}

/* The names asked for, or all, in order of their bytes; where the cursor stands is the first. */
static struct slice *names_in_order(struct kafka_request *request, size_t *count) {
    const struct kafka_describe_topic_partitions_request *message = request->message;
    struct all_topics all = {0};
    if (message->topics_count == 0) all = all_topics(request);
    size_t total = message->topics_count == 0 ? all.count : (size_t)message->topics_count;
    struct slice *names = kafka_request_calloc(request, total, sizeof *names);
    *count = 0;
    for (size_t i = 0; i < total; i++) {
        struct slice name = message->topics_count == 0
                                ? arena_copy(&request->arena, slice_from_text(all.topics[i]->name))
                                : message->topics[i].name;
        if (message->cursor != NULL && slice_compare(name, message->cursor->topic_name) < 0) continue;
        names[(*count)++] = name;
    }
    if (*count > 0) qsort(names, *count, sizeof *names, by_name);
    return names;
}

/* Partitions from `first` on, `room` at most; how many. */
static int32_t fill_partitions(struct kafka_request *request, const struct broker_topic *topic, int32_t first,
                               int32_t room, struct kafka_describe_topic_partitions_response_topic *out) {
    int32_t count = MIN(MAX(topic->partition_count - first, 0), room);
    out->topic_id = topic->id;
    out->topic_authorized_operations = TOPIC_OPERATIONS_ALL;
    out->partitions_count = count;
    out->partitions = kafka_request_array(request, &kafka_schema_describe_topic_partitions_response_partition,
                                          (size_t)count);
    for (int32_t i = 0; i < count; i++) {
        struct copies copies = copies_of(request, topic, first + i);
        struct kafka_describe_topic_partitions_response_partition *partition = &out->partitions[i];
        struct partition_leader leader = broker_partition_leader(request->broker, topic, first + i);
        partition->partition_index = first + i;
        partition->leader_id = leader.node;
        partition->leader_epoch = leader.epoch;
        partition->replica_nodes = copies.nodes;
        partition->replica_nodes_count = copies.count;
        partition->isr_nodes = copies.live;
        partition->isr_nodes_count = copies.live_count;
        partition->offline_replicas = copies.dead;
        partition->offline_replicas_count = copies.dead_count;
        if (leader.node < 0) partition->error_code = KAFKA_LEADER_NOT_AVAILABLE;
    }
    return count;
}

static void point_cursor(struct kafka_request *request, struct slice name, int32_t partition) {
    struct kafka_describe_topic_partitions_response *response = request->response;
    response->next_cursor = kafka_request_array(request, &kafka_schema_describe_topic_partitions_cursor, 1);
    response->next_cursor->topic_name = name;
    response->next_cursor->partition_index = partition;
}

void kafka_metadata_describe_partitions(struct kafka_request *request) {
    const struct kafka_describe_topic_partitions_request *message = request->message;
    struct kafka_describe_topic_partitions_response *response = request->response;
    size_t count;
    struct slice *names = names_in_order(request, &count);
    response->topics = kafka_request_array(request, &kafka_schema_describe_topic_partitions_response_topic,
                                           count);
    int32_t room = MIN(MAX(message->response_partition_limit, 1), PARTITIONS_PER_RESPONSE_MAX);
    for (size_t i = 0; i < count; i++) {
        if (room == 0) {
            point_cursor(request, names[i], 0);
            return;
        }
        struct kafka_describe_topic_partitions_response_topic *out =
            &response->topics[response->topics_count++];
        out->name = names[i];
        const struct broker_topic *topic = broker_topic_find(request->broker, names[i]);
        if (topic == NULL) {
            out->error_code = status_kafka_code(STATUS_UNKNOWN_TOPIC);
            continue;
        }
        bool resumed = message->cursor != NULL && slice_equal(names[i], message->cursor->topic_name);
        int32_t first = resumed ? MAX(message->cursor->partition_index, 0) : 0;
        int32_t given = fill_partitions(request, topic, first, room, out);
        room -= given;
        if (first + given >= topic->partition_count) continue;
        point_cursor(request, names[i], first + given);
        return;
    }
}

/* ---- DescribeCluster (KIP-700) ------------------------------------------------------------------------- */

void kafka_metadata_describe_cluster(struct kafka_request *request) {
    const struct kafka_describe_cluster_request *message = request->message;
    struct kafka_describe_cluster_response *response = request->response;
    enum { ENDPOINT_BROKERS = 1 };
    if (message->endpoint_type != ENDPOINT_BROKERS) {
        response->error_code = KAFKA_MISMATCHED_ENDPOINT_TYPE;
        response->error_message = kafka_text(request, "this is a broker's endpoint");
        return;
    }
    response->cluster_id = slice_from_text(broker_cluster_id(request->broker));
    struct broker_node nodes[BROKER_NODES_MAX];
    response->controller_id = broker_controller(request->broker);
    int32_t count = message->include_fenced_brokers ? (int32_t)broker_nodes(request->broker, nodes)
                                                    : live_nodes(request, nodes);
    response->brokers_count = count;
    response->brokers = kafka_request_array(request, &kafka_schema_describe_cluster_response_broker,
                                            (size_t)count);
    for (int32_t i = 0; i < count; i++) {
        response->brokers[i].broker_id = nodes[i].node;
        response->brokers[i].host = node_host(request, &nodes[i], &response->brokers[i].port);
        response->brokers[i].rack = node_rack(request, &nodes[i]);
        response->brokers[i].is_fenced = !nodes[i].up;
    }
    if (message->include_cluster_authorized_operations)
        response->cluster_authorized_operations = CLUSTER_OPERATIONS_ALL;
}
