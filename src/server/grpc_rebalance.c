// SPDX-License-Identifier: Apache-2.0
/* sentinel.v1.ClusterService.PlanRebalance: what to move; TopicService.MovePartitions does it. */
#include "sentinel/v1/cluster_service.pb-c.h"
#include "server/grpc_service.h"

struct planning {
    struct arena *arena;
    Sentinel__V1__PlanRebalanceResponse response;
    size_t capacity;
};

static void add_move(void *ctx, const struct planned_move *move) {
    struct planning *planning = ctx;
    Sentinel__V1__PlanRebalanceResponse *response = &planning->response;
    if (response->n_moves == planning->capacity) {
        planning->capacity = MAX(2 * planning->capacity, (size_t)16);
        Sentinel__V1__PlannedMove **more = arena_calloc(planning->arena, planning->capacity, sizeof(*more));
        if (response->n_moves != 0) memcpy(more, response->moves, response->n_moves * sizeof(*more));
        response->moves = more;
    }
    Sentinel__V1__PlannedMove *out = response->moves[response->n_moves++] = arena_alloc(planning->arena,
                                                                                        sizeof *out);
    sentinel__v1__planned_move__init(out);
    out->topic = arena_text(planning->arena, move->topic);
    out->partition = move->partition;
    out->n_from_node_ids = out->n_to_node_ids = move->count;
    out->from_node_ids = arena_calloc(planning->arena, move->count, sizeof *out->from_node_ids);
    out->to_node_ids = arena_calloc(planning->arena, move->count, sizeof *out->to_node_ids);
    memcpy(out->from_node_ids, move->from, move->count * sizeof *out->from_node_ids);
    memcpy(out->to_node_ids, move->to, move->count * sizeof *out->to_node_ids);
}

static void plan_rebalance(struct grpc_call *call, struct grpc_message *message) {
    Sentinel__V1__PlanRebalanceRequest *request = grpc_call_unpack(
        call, &sentinel__v1__plan_rebalance_request__descriptor, message->bytes);
    if (request == NULL) return;
    if (request->max_moves < 0) {
        grpc_call_fail_field(call, "max_moves", "0 or more");
        return;
    }
    struct planning planning = {.arena = &call->arena,
                                .response = SENTINEL__V1__PLAN_REBALANCE_RESPONSE__INIT};
    broker_plan_rebalance(grpc_call_broker(call), (uint32_t)request->max_moves, add_move, &planning);
    grpc_call_reply_packed(call, &planning.response.base);
}

const struct grpc_method grpc_rebalance_methods[1] = {
    {.path = "/sentinel.v1.ClusterService/PlanRebalance",
     .message_size_max = GRPC_CONTROL_MESSAGE_MAX,
     .message = plan_rebalance},
};
