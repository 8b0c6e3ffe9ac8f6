// SPDX-License-Identifier: Apache-2.0
/* Topics and cluster: each a unary call with generated messages, which live in an arena for the call. */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "base/units.h"
#include "client/client_state.h"
#include "client/exchange.h"
#include "sentinel/v1/cluster_service.pb-c.h"
#include "sentinel/v1/topic_service.pb-c.h"
#include "wire/protobuf.h"

#define TOPIC_SERVICE   "/sentinel.v1.TopicService/"
#define CLUSTER_SERVICE "/sentinel.v1.ClusterService/"

void *client_exchange(sentinel_client *client, const char *path, const void *request,
                      const ProtobufCMessageDescriptor *descriptor, struct arena *arena,
                      sentinel_error *error) {
    const ProtobufCMessage *message = request;
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *packed = arena_alloc(arena, size + 1);
    protobuf_c_message_pack(message, packed);
    struct buffer *answer;
    if (client_unary(client, path, slice_make(packed, size), &answer, error) != 0) return NULL;
    ProtobufCAllocator allocator = protobuf_arena_allocator(arena);
    void *unpacked = protobuf_c_message_unpack(descriptor, &allocator, answer->size, answer->data);
    buffer_unref(answer);
    if (unpacked == NULL) client_fail(error, 13, "the server's answer to %s is malformed", path);
    return unpacked;
}

static int simple(sentinel_client *client, const char *path, const void *request,
                  const ProtobufCMessageDescriptor *descriptor, sentinel_error *error) {
    struct arena arena;
    arena_init(&arena, 4 * KIB);
    int result = client_exchange(client, path, request, descriptor, &arena, error) == NULL ? -1 : 0;
    arena_release(&arena);
    return result;
}

int sentinel_topic_create(sentinel_client *client, const char *name, int32_t partitions, int32_t replicas,
                          const sentinel_config *configs, size_t config_count, sentinel_error *error) {
    struct arena arena;
    arena_init(&arena, 4 * KIB);
    Sentinel__V1__CreateTopicRequest request = SENTINEL__V1__CREATE_TOPIC_REQUEST__INIT;
    request.name = (char *)(uintptr_t)name;
    request.partition_count = partitions;
    request.replication_factor = replicas;
    request.n_configs = config_count;
    request.configs = arena_calloc(&arena, config_count, sizeof *request.configs);
    for (size_t i = 0; i < config_count; i++) {
        Sentinel__V1__TopicConfigValue *value = arena_alloc(&arena, sizeof *value);
        sentinel__v1__topic_config_value__init(value);
        value->name = (char *)(uintptr_t)configs[i].name;
        value->value = (char *)(uintptr_t)configs[i].value;
        request.configs[i] = value;
    }
    int result = simple(client, TOPIC_SERVICE "CreateTopic", &request,
                        &sentinel__v1__create_topic_response__descriptor, error);
    arena_release(&arena);
    return result;
}

int sentinel_topic_delete(sentinel_client *client, const char *name, sentinel_error *error) {
    Sentinel__V1__DeleteTopicRequest request = SENTINEL__V1__DELETE_TOPIC_REQUEST__INIT;
    request.name = (char *)(uintptr_t)name;
    return simple(client, TOPIC_SERVICE "DeleteTopic", &request,
                  &sentinel__v1__delete_topic_response__descriptor, error);
}

int sentinel_topic_alter(sentinel_client *client, const char *name, const sentinel_config *configs,
                         size_t config_count, sentinel_error *error) {
    struct arena arena;
    arena_init(&arena, 4 * KIB);
    Sentinel__V1__UpdateTopicRequest request = SENTINEL__V1__UPDATE_TOPIC_REQUEST__INIT;
    request.name = (char *)(uintptr_t)name;
    request.set = arena_calloc(&arena, config_count, sizeof *request.set);
    request.unset = arena_calloc(&arena, config_count, sizeof *request.unset);
    for (size_t i = 0; i < config_count; i++) {
        if (configs[i].value == NULL) {
            request.unset[request.n_unset++] = (char *)(uintptr_t)configs[i].name;
            continue;
        }
        Sentinel__V1__TopicConfigValue *value = arena_alloc(&arena, sizeof *value);
        sentinel__v1__topic_config_value__init(value);
        value->name = (char *)(uintptr_t)configs[i].name;
        value->value = (char *)(uintptr_t)configs[i].value;
        request.set[request.n_set++] = value;
    }
    int result = simple(client, TOPIC_SERVICE "UpdateTopic", &request,
                        &sentinel__v1__update_topic_response__descriptor, error);
    arena_release(&arena);
    return result;
}

int sentinel_topic_add_partitions(sentinel_client *client, const char *name, int32_t total,
                                  sentinel_error *error) {
    Sentinel__V1__AddPartitionsRequest request = SENTINEL__V1__ADD_PARTITIONS_REQUEST__INIT;
    request.name = (char *)(uintptr_t)name;
    request.partition_count = total;
    return simple(client, TOPIC_SERVICE "AddPartitions", &request,
                  &sentinel__v1__add_partitions_response__descriptor, error);
}

static void give_topic(struct arena *arena, const Sentinel__V1__Topic *topic,
                       void (*visit)(void *context, const sentinel_topic *topic), void *context) {
    sentinel_config *configs = arena_calloc(arena, topic->n_configs, sizeof *configs);
    for (size_t i = 0; i < topic->n_configs; i++)
        configs[i] = (sentinel_config){topic->configs[i]->name, topic->configs[i]->value,
                                       topic->configs[i]->is_default != 0};
    sentinel_partition *partitions = arena_calloc(arena, topic->n_partitions, sizeof *partitions);
    for (size_t i = 0; i < topic->n_partitions; i++) {
        const Sentinel__V1__Partition *from = topic->partitions[i];
        partitions[i] = (sentinel_partition){from->partition, from->leader_node_id, from->log_start_offset,
                                             from->high_watermark, from->size_bytes};
    }
    sentinel_topic given = {.name = topic->name,
                            .partition_count = topic->partition_count,
                            .replication_factor = topic->replication_factor,
                            .configs = configs,
                            .config_count = topic->n_configs,
                            .partitions = partitions,
                            .partitions_listed = topic->n_partitions};
    visit(context, &given);
}

int sentinel_topic_describe(sentinel_client *client, const char *name,
                            void (*visit)(void *context, const sentinel_topic *topic), void *context,
                            sentinel_error *error) {
    struct arena arena;
    arena_init(&arena, 16 * KIB);
    Sentinel__V1__GetTopicRequest request = SENTINEL__V1__GET_TOPIC_REQUEST__INIT;
    request.name = (char *)(uintptr_t)name;
    Sentinel__V1__GetTopicResponse *answer = client_exchange(client, TOPIC_SERVICE "GetTopic", &request,
                                                             &sentinel__v1__get_topic_response__descriptor,
                                                             &arena, error);
    if (answer != NULL && answer->topic != NULL) give_topic(&arena, answer->topic, visit, context);
    arena_release(&arena);
    return answer == NULL ? -1 : 0;
}

int sentinel_topic_list(sentinel_client *client, void (*visit)(void *context, const sentinel_topic *topic),
                        void *context, sentinel_error *error) {
    struct arena arena;
    arena_init(&arena, 16 * KIB);
    Sentinel__V1__ListTopicsRequest request = SENTINEL__V1__LIST_TOPICS_REQUEST__INIT;
    Sentinel__V1__ListTopicsResponse *answer;
    do {
        answer = client_exchange(client, TOPIC_SERVICE "ListTopics", &request,
                                 &sentinel__v1__list_topics_response__descriptor, &arena, error);
        if (answer == NULL) break;
        for (size_t i = 0; i < answer->n_topics; i++)
            give_topic(&arena, answer->topics[i], visit, context);
        request.page_token = answer->next_page_token;
    } while (request.page_token != NULL && request.page_token[0] != '\0');
    arena_release(&arena);
    return answer == NULL ? -1 : 0;
}

int sentinel_list_offsets(sentinel_client *client, const char *topic, int64_t position, int64_t *offsets,
                          int32_t partition_count, sentinel_error *error) {
    struct arena arena;
    arena_init(&arena, 16 * KIB);
    Sentinel__V1__ListOffsetsRequest request = SENTINEL__V1__LIST_OFFSETS_REQUEST__INIT;
    Sentinel__V1__StartPosition start = SENTINEL__V1__START_POSITION__INIT;
    start.position_case = SENTINEL__V1__START_POSITION__POSITION_ANCHOR;
    start.anchor = position == SENTINEL_EARLIEST ? SENTINEL__V1__ANCHOR__ANCHOR_EARLIEST
                                                 : SENTINEL__V1__ANCHOR__ANCHOR_LATEST;
    request.name = (char *)(uintptr_t)topic;
    request.position = &start;
    Sentinel__V1__ListOffsetsResponse *answer = client_exchange(
        client, TOPIC_SERVICE "ListOffsets", &request, &sentinel__v1__list_offsets_response__descriptor,
        &arena, error);
    int result = answer == NULL ? -1 : 0;
    for (int32_t i = 0; i < partition_count; i++)
        offsets[i] = -1;
    for (size_t i = 0; result == 0 && i < answer->n_offsets; i++) {
        const Sentinel__V1__PartitionOffset *offset = answer->offsets[i];
        if (offset->error != NULL && offset->error->code != 0)
            result = client_fail(error, offset->error->code, "partition %d: %s", offset->partition,
                                 offset->error->message);
        else if (offset->partition >= 0 && offset->partition < partition_count)
            offsets[offset->partition] = offset->offset;
    }
    arena_release(&arena);
    return result;
}

static const sentinel_node *nodes_of(struct arena *arena, const Sentinel__V1__ListNodesResponse *answer) {
    static const char *const states[] = {"unknown", "ready", "read-only", "down"};
    sentinel_node *nodes = arena_calloc(arena, answer->n_nodes, sizeof *nodes);
    for (size_t i = 0; i < answer->n_nodes; i++) {
        const Sentinel__V1__Node *from = answer->nodes[i];
        nodes[i] = (sentinel_node){
            .node_id = from->node_id,
            .port = from->port,
            .host = from->host,
            .state = states[(unsigned)from->state < ARRAY_COUNT(states) ? from->state : 0],
            .leaders = from->leader_count,
            .replicas = from->replica_count};
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
