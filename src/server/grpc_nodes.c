// SPDX-License-Identifier: Apache-2.0
/* sentinel.v1.ClusterService: nodes that come and go, and who leads. */
#include <string.h>

#include "base/assert.h"
#include "sentinel/v1/cluster_service.pb-c.h"
#include "server/grpc_partition.h"
#include "server/grpc_service.h"

struct node_call {
    struct node_change change;
    struct grpc_call *call;
    const ProtobufCMessage *response;
};

static void node_done(struct node_change *change) {
    struct node_call *self = CONTAINER_OF(change, struct node_call, change);
    struct grpc_call *call = self->call;
    if (!call->ended && change->status != STATUS_OK)
        grpc_call_fail_status(call, change->status, change->diagnostic.text);
    else if (!call->ended)
        grpc_call_reply_packed(call, self->response);
    grpc_call_unpin(call);
}

/* What to change is in the call's state. */
static void change_start(struct grpc_call *call, enum node_change_kind kind,
                         const ProtobufCMessage *response) {
    struct node_call *self = call->state;
    self->call = call;
    self->response = response;
    self->change.kind = kind;
    self->change.done = node_done;
    grpc_call_pin(call);
    broker_change_node(grpc_call_broker(call), &self->change);
}

static void node_start(struct grpc_call *call, enum node_change_kind kind, int32_t node, struct slice address,
                       const ProtobufCMessage *response) {
    struct node_call *self = call->state;
    self->change = (struct node_change){.node = node, .address = address};
    if (node < 1)
        grpc_call_fail_field(call, "node_id", "a node's number is 1 or more");
    else
        change_start(call, kind, response);
}

static void add_node(struct grpc_call *call, struct grpc_message *message) {
    static const Sentinel__V1__AddNodeResponse response = SENTINEL__V1__ADD_NODE_RESPONSE__INIT;
    Sentinel__V1__AddNodeRequest *request = grpc_call_unpack(
        call, &sentinel__v1__add_node_request__descriptor, message->bytes);
    if (request == NULL) return;
    const char *colon = strrchr(request->address, ':');
    if (colon == NULL || colon == request->address || colon[1] == '\0') {
        grpc_call_fail_field(call, "address", "HOST:PORT where the node will be reached");
        return;
    }
    node_start(call, NODE_ADD, request->node_id, slice_from_text(request->address), &response.base);
}

static void drain_node(struct grpc_call *call, struct grpc_message *message) {
    static const Sentinel__V1__DrainNodeResponse response = SENTINEL__V1__DRAIN_NODE_RESPONSE__INIT;
    Sentinel__V1__DrainNodeRequest *request = grpc_call_unpack(
        call, &sentinel__v1__drain_node_request__descriptor, message->bytes);
    if (request != NULL)
        node_start(call, request->cancel ? NODE_ACTIVE : NODE_DRAIN, request->node_id, SLICE_EMPTY,
                   &response.base);
}

static void remove_node(struct grpc_call *call, struct grpc_message *message) {
    static const Sentinel__V1__RemoveNodeResponse response = SENTINEL__V1__REMOVE_NODE_RESPONSE__INIT;
    Sentinel__V1__RemoveNodeRequest *request = grpc_call_unpack(
        call, &sentinel__v1__remove_node_request__descriptor, message->bytes);
    if (request != NULL) node_start(call, NODE_REMOVE, request->node_id, SLICE_EMPTY, &response.base);
}

static void set_catch_up_rate(struct grpc_call *call, struct grpc_message *message) {
    static const Sentinel__V1__SetCatchUpRateResponse response =
        SENTINEL__V1__SET_CATCH_UP_RATE_RESPONSE__INIT;
    Sentinel__V1__SetCatchUpRateRequest *request = grpc_call_unpack(
        call, &sentinel__v1__set_catch_up_rate_request__descriptor, message->bytes);
    if (request == NULL) return;
    if (request->bytes_per_second < -1) {
        grpc_call_fail_field(call, "bytes_per_second", "bytes a second, 0 for no limit, or -1");
        return;
    }
    struct node_call *self = call->state;
    self->change.rate = request->bytes_per_second;
    change_start(call, NODE_CATCH_UP_RATE, &response.base);
}

/* ---- TransferLeader ---------------------------------------------------------------------------------------
 */

struct transfer {
    struct partition_ask ask;
    struct grpc_call *call;
    bool busy;
};

static void transferred(struct partition_ask *ask) {
    struct transfer *transfer = CONTAINER_OF(ask, struct transfer, ask);
    const Sentinel__V1__TransferLeaderResponse response = SENTINEL__V1__TRANSFER_LEADER_RESPONSE__INIT;
    transfer->busy = false;
    if (ask->status == STATUS_OK) {
        grpc_call_reply_packed(transfer->call, &response.base);
        return;
    }
    grpc_partition_fail(transfer->call,
                        &(struct grpc_partition_error){
                            .status = ask->status,
                            .topic = ask->topic,
                            .partition = ask->partition,
                            .message = ask->status == STATUS_NOT_FOUND ? "that node has no replica of it"
                                       : ask->status == STATUS_UNAVAILABLE
                                           ? "that node cannot lead now: it is down, or "
                                             "lacks records"
                                           : NULL});
}

static void transfer_leader(struct grpc_call *call, struct grpc_message *message) {
    Sentinel__V1__TransferLeaderRequest *request = grpc_call_unpack(
        call, &sentinel__v1__transfer_leader_request__descriptor, message->bytes);
    if (request == NULL) return;
    struct transfer *transfer = call->state;
    transfer->call = call;
    if (request->node_id < 0) {
        grpc_call_fail_field(call, "node_id", "a node's number, or 0 for the preferred leader");
        return;
    }
    transfer->busy = true;
    transfer->ask = (struct partition_ask){.kind = PARTITION_TRANSFER,
                                           .topic = slice_from_text(request->topic),
                                           .partition = request->partition,
                                           .node = request->node_id,
                                           .done = transferred};
    broker_ask_partition(grpc_call_broker(call), &transfer->ask);
}

static void transfer_ended(struct grpc_call *call) {
    struct transfer *transfer = call->state;
    if (transfer->busy) broker_ask_partition_cancel(&transfer->ask);
}

#define NODE_METHOD(name, handler)                                                                           \
    .path = "/sentinel.v1.ClusterService/" name, .message_size_max = GRPC_CONTROL_MESSAGE_MAX,               \
    .message = handler

const struct grpc_method grpc_nodes_methods[5] = {
    {NODE_METHOD("AddNode", add_node), .state_size = sizeof(struct node_call)},
    {NODE_METHOD("DrainNode", drain_node), .state_size = sizeof(struct node_call)},
    {NODE_METHOD("RemoveNode", remove_node), .state_size = sizeof(struct node_call)},
    {NODE_METHOD("SetCatchUpRate", set_catch_up_rate), .state_size = sizeof(struct node_call)},
    {NODE_METHOD("TransferLeader", transfer_leader), .state_size = sizeof(struct transfer),
     .ended = transfer_ended},
};
