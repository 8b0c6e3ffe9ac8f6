// SPDX-License-Identifier: Apache-2.0
/* sentinel.v1.TopicService.MovePartitions and ListMoves. */
#include <stdio.h>

#include "base/assert.h"
#include "sentinel/v1/topic_service.pb-c.h"
#include "server/grpc_partition.h"
#include "server/grpc_service.h"

/* ---- MovePartitions ---------------------------------------------------------------------------------------
 */

struct moved {
    struct topic_change change;
    struct moves *all;
    Sentinel__V1__MovedPartition message;
};
struct moves {
    struct grpc_call *call;
    struct slice topic;
    struct moved *list;
    size_t count, busy;
};

static void moves_answer(struct moves *all) {
    Sentinel__V1__MovePartitionsResponse response = SENTINEL__V1__MOVE_PARTITIONS_RESPONSE__INIT;
    response.n_partitions = all->count;
    response.partitions = arena_calloc(&all->call->arena, all->count + 1, sizeof *response.partitions);
    for (size_t i = 0; i < all->count; i++)
        response.partitions[i] = &all->list[i].message;
    grpc_call_reply_packed(all->call, &response.base);
}

static void move_done(struct topic_change *change) {
    struct moved *moved = CONTAINER_OF(change, struct moved, change);
    struct moves *all = moved->all;
    struct grpc_call *call = all->call;
    if (!call->ended) {
        if (change->status != STATUS_OK)
            moved->message.error = grpc_partition_error_message(
                &call->arena, &(struct grpc_partition_error){.status = change->status,
                                                             .topic = all->topic,
                                                             .partition = change->partition,
                                                             .message = change->diagnostic.text});
        if (all->busy == 1) moves_answer(all);
    }
    all->busy--;
    grpc_call_unpin(call);
}

static struct moved *move_add(struct moves *all, enum topic_change_kind kind, int32_t partition) {
    struct moved *moved = &all->list[all->count++];
    moved->all = all;
    moved->change = (struct topic_change){
        .kind = kind, .name = all->topic, .partition = partition, .done = move_done};
    sentinel__v1__moved_partition__init(&moved->message);
    moved->message.partition = partition;
    return moved;
}

static bool add_placements(struct moves *all, const Sentinel__V1__MovePartitionsRequest *request) {
    for (size_t i = 0; i < request->n_placements; i++) {
        const Sentinel__V1__PartitionPlacement *placement = request->placements[i];
        if (placement->n_node_ids == 0 || placement->n_node_ids > BROKER_REPLICAS_MAX) {
            char path[64];
            snprintf(path, sizeof path, "placements[%zu].node_ids", i);
            grpc_call_fail_field(all->call, path, "1 to %d nodes", BROKER_REPLICAS_MAX);
            return false;
        }
        struct moved *moved = move_add(all, TOPIC_MOVE, placement->partition);
        moved->change.placement = placement->node_ids;
        moved->change.placement_count = (uint32_t)placement->n_node_ids;
    }
    return true;
}

static void add_all(struct moves *all, const struct broker_topic *topic,
                    const Sentinel__V1__MovePartitionsRequest *request) {
    struct broker *broker = grpc_call_broker(all->call);
    struct partition_move move;
    for (int32_t i = 0; i < topic->partition_count; i++) {
        if (!request->cancel)
            move_add(all, TOPIC_MOVE, i)->change.replication = (int16_t)request->replication_factor;
        else if (broker_partition_move(broker, topic, i, &move) && move.moving)
            move_add(all, TOPIC_CANCEL_MOVE, i);
    }
}

static void move_partitions(struct grpc_call *call, struct grpc_message *message) {
    Sentinel__V1__MovePartitionsRequest *request = grpc_call_unpack(
        call, &sentinel__v1__move_partitions_request__descriptor, message->bytes);
    if (request == NULL) return;
    struct broker *broker = grpc_call_broker(call);
    struct moves *all = call->state;
    all->call = call;
    all->topic = slice_from_text(request->name);
    const struct broker_topic *topic = grpc_partition_find_topic(call, all->topic);
    if (topic == NULL) return;
    int ways = (request->replication_factor != 0) + (request->n_placements != 0) + (request->cancel != 0);
    if (ways != 1 || request->replication_factor < 0 || request->replication_factor > BROKER_REPLICAS_MAX) {
        grpc_call_fail_field(call, "replication_factor",
                             "say one of replication_factor (1 to %d), placements and cancel",
                             BROKER_REPLICAS_MAX);
        return;
    }
    if (request->n_placements > (size_t)topic->partition_count) {
        grpc_call_fail_field(call, "placements", "each partition once: the topic has %d",
                             topic->partition_count);
        return;
    }
    all->list = arena_calloc(&call->arena, (size_t)topic->partition_count, sizeof *all->list);
    if (request->n_placements == 0)
        add_all(all, topic, request);
    else if (!add_placements(all, request))
        return;
    all->busy = all->count;
    if (all->count == 0) moves_answer(all);
    for (size_t i = 0, count = all->busy; i < count; i++) {
        grpc_call_pin(call);
        broker_change_topic(broker, &all->list[i].change);
    }
}

/* ---- ListMoves --------------------------------------------------------------------------------------------
 */

struct listing {
    struct grpc_call *call;
    struct broker *broker;
    Sentinel__V1__Move **moves;
    size_t count, capacity;
};

static int32_t *copy_nodes(struct arena *arena, const int32_t *nodes, size_t count) {
    int32_t *copy = arena_alloc(arena, (count + 1) * sizeof *copy);
    memcpy(copy, nodes, count * sizeof *copy);
    return copy;
}

static void list_move(struct listing *listing, const struct broker_topic *topic, int32_t partition,
                      const struct partition_move *move) {
    struct arena *arena = &listing->call->arena;
    if (listing->count == listing->capacity) {
        size_t capacity = MAX(listing->capacity * 2, (size_t)16);
        Sentinel__V1__Move **more = arena_calloc(arena, capacity, sizeof(*more));
        if (listing->count != 0) memcpy(more, listing->moves, listing->count * sizeof(*more));
        listing->moves = more;
        listing->capacity = capacity;
    }
    Sentinel__V1__Move *out = listing->moves[listing->count++] = arena_alloc(arena, sizeof *out);
    int32_t nodes[BROKER_REPLICAS_MAX];
    sentinel__v1__move__init(out);
    out->topic = arena_text(arena, slice_from_text(topic->name));
    out->partition = partition;
    out->n_node_ids = broker_partition_replicas(listing->broker, topic, partition, false, nodes);
    out->node_ids = copy_nodes(arena, nodes, out->n_node_ids);
    out->n_adding_node_ids = move->adding_count;
    out->adding_node_ids = copy_nodes(arena, move->adding, move->adding_count);
    out->n_removing_node_ids = move->removing_count;
    out->removing_node_ids = copy_nodes(arena, move->removing, move->removing_count);
    out->arrived = !move->moving;
}

static void list_topic(void *ctx, const struct broker_topic *topic) {
    struct listing *listing = ctx;
    struct partition_move move;
    for (int32_t i = 0; i < topic->partition_count; i++)
        if (broker_partition_move(listing->broker, topic, i, &move)) list_move(listing, topic, i, &move);
}

static void list_moves(struct grpc_call *call, struct grpc_message *message) {
    Sentinel__V1__ListMovesRequest *request = grpc_call_unpack(
        call, &sentinel__v1__list_moves_request__descriptor, message->bytes);
    if (request == NULL) return;
    struct listing listing = {.call = call, .broker = grpc_call_broker(call)};
    struct slice name = slice_from_text(request->name);
    const struct broker_topic *topic = name.size == 0 ? NULL : grpc_partition_find_topic(call, name);
    if (name.size != 0 && topic == NULL) return;
    if (topic != NULL)
        list_topic(&listing, topic);
    else
        broker_topics_visit(listing.broker, list_topic, &listing);
    Sentinel__V1__ListMovesResponse response = SENTINEL__V1__LIST_MOVES_RESPONSE__INIT;
    response.n_moves = listing.count;
    response.moves = listing.moves;
    grpc_call_reply_packed(call, &response.base);
}

const struct grpc_method grpc_moves_methods[2] = {
    {.path = "/sentinel.v1.TopicService/MovePartitions",
     .message_size_max = GRPC_CONTROL_MESSAGE_MAX,
     .state_size = sizeof(struct moves),
     .message = move_partitions},
    {.path = "/sentinel.v1.TopicService/ListMoves",
     .message_size_max = GRPC_CONTROL_MESSAGE_MAX,
     .message = list_moves},
};
