// SPDX-License-Identifier: Apache-2.0
/* sentinel.v1.ClusterService/CreateCheckpoint: a backup of this node's data while it serves. */
#include "broker/backup.h"
#include "sentinel/v1/cluster_service.pb-c.h"
#include "server/grpc_service.h"

struct checkpoint_call {
    struct grpc_call *call;
    struct backup backup;
};

static void checkpoint_done(struct store_checkpoint *checkpoint) {
    struct checkpoint_call *state = CONTAINER_OF(checkpoint, struct checkpoint_call, backup.checkpoint);
    struct grpc_call *call = state->call;
    if (!call->ended && checkpoint->status != STATUS_OK) {
        grpc_call_fail_status(call, checkpoint->status, checkpoint->diagnostic.text);
    } else if (!call->ended) {
        Sentinel__V1__CreateCheckpointResponse response = SENTINEL__V1__CREATE_CHECKPOINT_RESPONSE__INIT;
        response.node_id = broker_node_id(grpc_call_broker(call));
        response.path = state->backup.path;
        response.file_count = (int64_t)checkpoint->tables;
        response.size_bytes = (int64_t)checkpoint->bytes;
        grpc_call_reply_packed(call, &response.base);
    }
    backup_release(&state->backup);
    grpc_call_unpin(call);
}

static void create_checkpoint(struct grpc_call *call, struct grpc_message *message) {
    const Sentinel__V1__CreateCheckpointRequest *request = grpc_call_unpack(
        call, &sentinel__v1__create_checkpoint_request__descriptor, message->bytes);
    if (request == NULL) return;
    struct checkpoint_call *state = call->state;
    state->call = call;
    state->backup.checkpoint.done = checkpoint_done;
    struct diagnostic why = {.text = ""};
    grpc_call_pin(call);
    if (backup_start(grpc_call_broker(call), slice_from_text(request->name), &state->backup, &why) ==
        STATUS_OK)
        return;
    grpc_call_unpin(call);
    grpc_call_fail_field(call, "name", "%s", why.text);
}

const struct grpc_method grpc_checkpoint_methods[1] = {
    {.path = "/sentinel.v1.ClusterService/CreateCheckpoint",
     .message_size_max = GRPC_CONTROL_MESSAGE_MAX,
     .state_size = sizeof(struct checkpoint_call),
     .message = create_checkpoint},
};
