// SPDX-License-Identifier: Apache-2.0
/* Topics: each a unary call with generated messages, which live in an arena for the call. */
#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/mem.h"
#include "base/units.h"
#include "client/client_state.h"
#include "client/exchange.h"
#include "sentinel/v1/topic_service.pb-c.h"
#include "wire/protobuf.h"

#define TOPIC_SERVICE "/sentinel.v1.TopicService/"

void *client_exchange(sentinel_client *client, const char *path, const void *request,
                      const ProtobufCMessageDescriptor *descriptor, struct arena *arena,
                      sentinel_error *error) {
    struct writer bytes;
    struct buffer *answer;
    writer_init(&bytes);
    protobuf_pack(&bytes, request);
    int result = client_unary(client, path, writer_slice(&bytes), &answer, error);
    writer_release(&bytes);
    if (result != 0) return NULL;
    ProtobufCAllocator allocator = protobuf_arena_allocator(arena);
    void *unpacked = protobuf_c_message_unpack(descriptor, &allocator, answer->size, answer->data);
    buffer_unref(answer);
    if (unpacked == NULL) client_fail(error, 13, "the server's answer to %s is malformed", path);
    return unpacked;
}

int client_simple(sentinel_client *client, const char *path, const void *request,
                  const ProtobufCMessageDescriptor *descriptor, sentinel_error *error) {
    struct arena arena;
    arena_init(&arena, 4 * KIB);
    int result = client_exchange(client, path, request, descriptor, &arena, error) == NULL ? -1 : 0;
    arena_release(&arena);
    return result;
}

static Sentinel__V1__PartitionPlacement **placements_of(struct arena *arena,
                                                        const sentinel_placement *placements, size_t count) {
    Sentinel__V1__PartitionPlacement **list = arena_calloc(arena, count + 1, sizeof(*list));
    for (size_t i = 0; i < count; i++) {
        list[i] = arena_alloc(arena, sizeof(*list[i]));
        sentinel__v1__partition_placement__init(list[i]);
        list[i]->partition = placements[i].partition;
        list[i]->n_node_ids = placements[i].node_count;
        list[i]->node_ids = (int32_t *)(uintptr_t)placements[i].nodes;
    }
    return list;
}

struct creation {
    int32_t partitions, replicas;
    const sentinel_placement *placements;
    size_t placement_count;
};

static int create(sentinel_client *client, const char *name, const struct creation *creation,
                  const sentinel_config *configs, size_t config_count, sentinel_error *error) {
    struct arena arena;
    arena_init(&arena, 4 * KIB);
    Sentinel__V1__CreateTopicRequest request = SENTINEL__V1__CREATE_TOPIC_REQUEST__INIT;
    request.name = (char *)(uintptr_t)name;
    request.partition_count = creation->partitions;
    request.replication_factor = creation->replicas;
    request.n_placements = creation->placement_count;
    request.placements = placements_of(&arena, creation->placements, creation->placement_count);
    request.n_configs = config_count;
    request.configs = arena_calloc(&arena, config_count, sizeof *request.configs);
    for (size_t i = 0; i < config_count; i++) {
        Sentinel__V1__TopicConfigValue *value = arena_alloc(&arena, sizeof *value);
        sentinel__v1__topic_config_value__init(value);
        value->name = (char *)(uintptr_t)configs[i].name;
        value->value = (char *)(uintptr_t)configs[i].value;
        request.configs[i] = value;
    }
    int result = client_simple(client, TOPIC_SERVICE "CreateTopic", &request,
                               &sentinel__v1__create_topic_response__descriptor, error);
    arena_release(&arena);
    return result;
}

int sentinel_topic_create(sentinel_client *client, const char *name, int32_t partitions, int32_t replicas,
                          const sentinel_config *configs, size_t config_count, sentinel_error *error) {
    struct creation creation = {.partitions = partitions, .replicas = replicas};
    return create(client, name, &creation, configs, config_count, error);
}

int sentinel_topic_create_placed(sentinel_client *client, const char *name,
                                 const sentinel_placement *placements, size_t placement_count,
                                 const sentinel_config *configs, size_t config_count, sentinel_error *error) {
    struct creation creation = {.placements = placements, .placement_count = placement_count};
    return create(client, name, &creation, configs, config_count, error);
}

int sentinel_topic_delete(sentinel_client *client, const char *name, sentinel_error *error) {
    Sentinel__V1__DeleteTopicRequest request = SENTINEL__V1__DELETE_TOPIC_REQUEST__INIT;
    request.name = (char *)(uintptr_t)name;
    return client_simple(client, TOPIC_SERVICE "DeleteTopic", &request,
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
    int result = client_simple(client, TOPIC_SERVICE "UpdateTopic", &request,
                               &sentinel__v1__update_topic_response__descriptor, error);
    arena_release(&arena);
    return result;
}

int sentinel_topic_add_partitions(sentinel_client *client, const char *name, int32_t total,
                                  sentinel_error *error) {
    Sentinel__V1__AddPartitionsRequest request = SENTINEL__V1__ADD_PARTITIONS_REQUEST__INIT;
    request.name = (char *)(uintptr_t)name;
    request.partition_count = total;
    return client_simple(client, TOPIC_SERVICE "AddPartitions", &request,
                         &sentinel__v1__add_partitions_response__descriptor, error);
}

static bool names(const int32_t *nodes, size_t count, int32_t node) {
    for (size_t i = 0; i < count; i++)
        if (nodes[i] == node) return true;
    return false;
}

static sentinel_replica replica_of(const Sentinel__V1__Partition *partition, int32_t node) {
    sentinel_replica replica = {.node = node, .state = "unknown", .behind = -1};
    for (size_t i = 0; i < partition->n_replicas; i++) {
        const Sentinel__V1__Replica *from = partition->replicas[i];
        if (from->node_id != node) continue;
        replica.behind = partition->log_end_offset > from->end_offset
                             ? partition->log_end_offset - from->end_offset
                             : 0;
        replica.state = !from->votes                                    ? "learning"
                        : from->end_offset >= partition->high_watermark ? "in-sync"
                                                                        : "behind";
    }
    if (names(partition->removing_node_ids, partition->n_removing_node_ids, node)) replica.state = "leaving";
    return replica;
}

static void give_replicas(struct arena *arena, const Sentinel__V1__Partition *from, sentinel_partition *to) {
    size_t count = from->n_replica_node_ids + from->n_removing_node_ids;
    sentinel_replica *replicas = arena_calloc(arena, count + 1, sizeof *replicas);
    for (size_t i = 0; i < from->n_replica_node_ids; i++)
        replicas[to->replica_count++] = replica_of(from, from->replica_node_ids[i]);
    for (size_t i = 0; i < from->n_removing_node_ids; i++)
        replicas[to->replica_count++] = replica_of(from, from->removing_node_ids[i]);
    to->replicas = replicas;
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
        partitions[i] = (sentinel_partition){.partition = from->partition,
                                             .leader = from->leader_node_id,
                                             .log_start_offset = from->log_start_offset,
                                             .high_watermark = from->high_watermark,
                                             .size_bytes = from->size_bytes};
        give_replicas(arena, from, &partitions[i]);
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

/* A partition between two leaders refuses for a moment: asked again until the client's timeout. */
#define LOOKUP_PAUSE_MS 50

struct lookup {
    int64_t *offsets;
    int32_t partition_count;
    int32_t refused; /* the last one that was, and why; reason: NULL when none was */
    const Google__Rpc__Status *reason;
};

static void take_offsets(struct lookup *lookup, const Sentinel__V1__ListOffsetsResponse *answer) {
    lookup->reason = NULL;
    for (int32_t i = 0; i < lookup->partition_count; i++)
        lookup->offsets[i] = -1;
    for (size_t i = 0; i < answer->n_offsets; i++) {
        const Sentinel__V1__PartitionOffset *offset = answer->offsets[i];
        bool refused = offset->error != NULL && offset->error->code != 0;
        if (refused && (lookup->reason == NULL || lookup->reason->code == SENTINEL_UNAVAILABLE)) {
            lookup->refused = offset->partition;
            lookup->reason = offset->error;
        } else if (!refused && offset->partition >= 0 && offset->partition < lookup->partition_count) {
            lookup->offsets[offset->partition] = offset->offset;
        }
    }
}

static int look_up(sentinel_client *client, const Sentinel__V1__ListOffsetsRequest *request,
                   struct lookup *lookup, uint64_t deadline, sentinel_error *error) {
    for (;;) {
        struct arena arena;
        arena_init(&arena, 16 * KIB);
        const Sentinel__V1__ListOffsetsResponse *answer = client_exchange(
            client, TOPIC_SERVICE "ListOffsets", request, &sentinel__v1__list_offsets_response__descriptor,
            &arena, error);
        if (answer != NULL) take_offsets(lookup, answer);
        const Google__Rpc__Status *reason = answer == NULL ? NULL : lookup->reason;
        bool again = reason != NULL && reason->code == SENTINEL_UNAVAILABLE &&
                     client_deadline(client, LOOKUP_PAUSE_MS * NS_PER_MS) < deadline;
        int result = answer == NULL ? -1 : 0;
        if (reason != NULL && !again)
            result = client_fail(error, reason->code, "partition %d: %s", lookup->refused, reason->message);
        arena_release(&arena);
        if (!again) return result;
        sentinel_wait(client, LOOKUP_PAUSE_MS);
    }
}

int sentinel_list_offsets(sentinel_client *client, const char *topic, int64_t position, int64_t *offsets,
                          int32_t partition_count, sentinel_error *error) {
    Sentinel__V1__ListOffsetsRequest request = SENTINEL__V1__LIST_OFFSETS_REQUEST__INIT;
    Sentinel__V1__StartPosition start = SENTINEL__V1__START_POSITION__INIT;
    start.position_case = SENTINEL__V1__START_POSITION__POSITION_ANCHOR;
    start.anchor = position == SENTINEL_EARLIEST ? SENTINEL__V1__ANCHOR__ANCHOR_EARLIEST
                                                 : SENTINEL__V1__ANCHOR__ANCHOR_LATEST;
    if (position == SENTINEL_LAST_STABLE)
        request.isolation = SENTINEL__V1__ISOLATION__ISOLATION_READ_COMMITTED;
    request.name = (char *)(uintptr_t)topic;
    request.position = &start;
    struct lookup lookup = {.offsets = offsets, .partition_count = partition_count};
    return look_up(client, &request, &lookup, client_deadline(client, client->timeout_ns), error);
}

/* ---- moving -----------------------------------------------------------------------------------------------
 */

int sentinel_topic_move(sentinel_client *client, const char *name, const sentinel_move_options *options,
                        sentinel_error *error) {
    struct arena arena;
    arena_init(&arena, 16 * KIB);
    Sentinel__V1__MovePartitionsRequest request = SENTINEL__V1__MOVE_PARTITIONS_REQUEST__INIT;
    request.name = (char *)(uintptr_t)name;
    request.replication_factor = options->replicas;
    request.cancel = options->cancel;
    request.n_placements = options->placement_count;
    request.placements = placements_of(&arena, options->placements, options->placement_count);
    Sentinel__V1__MovePartitionsResponse *answer = client_exchange(
        client, TOPIC_SERVICE "MovePartitions", &request, &sentinel__v1__move_partitions_response__descriptor,
        &arena, error);
    int result = answer == NULL ? -1 : 0;
    for (size_t i = 0; result == 0 && i < answer->n_partitions; i++) {
        const Sentinel__V1__MovedPartition *moved = answer->partitions[i];
        if (moved->error != NULL && moved->error->code != 0)
            result = client_fail(error, moved->error->code, "%s", moved->error->message);
    }
    arena_release(&arena);
    return result;
}

int sentinel_moves(sentinel_client *client, const char *topic,
                   void (*visit)(void *context, const sentinel_move *move), void *context,
                   sentinel_error *error) {
    struct arena arena;
    arena_init(&arena, 16 * KIB);
    Sentinel__V1__ListMovesRequest request = SENTINEL__V1__LIST_MOVES_REQUEST__INIT;
    if (topic != NULL) request.name = (char *)(uintptr_t)topic;
    Sentinel__V1__ListMovesResponse *answer = client_exchange(client, TOPIC_SERVICE "ListMoves", &request,
                                                              &sentinel__v1__list_moves_response__descriptor,
                                                              &arena, error);
    for (size_t i = 0; answer != NULL && i < answer->n_moves; i++) {
        const Sentinel__V1__Move *from = answer->moves[i];
        const sentinel_move move = {.topic = from->topic,
                                    .partition = from->partition,
                                    .nodes = from->node_ids,
                                    .node_count = from->n_node_ids,
                                    .adding = from->adding_node_ids,
                                    .adding_count = from->n_adding_node_ids,
                                    .removing = from->removing_node_ids,
                                    .removing_count = from->n_removing_node_ids,
                                    .arrived = from->arrived != 0};
        visit(context, &move);
    }
    arena_release(&arena);
    return answer == NULL ? -1 : 0;
}
