// SPDX-License-Identifier: Apache-2.0
/* sentinel.v1.ProducerService.Produce and InitProducer. Streams: grpc_produce_stream.c. */
#include "base/assert.h"
#include "sentinel/v1/producer_service.pb-c.h"
#include "server/grpc_append.h"
#include "server/grpc_autocreate.h"
#include "server/grpc_service.h"

/* ---- Produce ------------------------------------------------------------------------------------------- */

struct produce {
    struct grpc_append *append; /* while it is under way */
    struct grpc_autocreate create;
    struct grpc_message message; /* kept while the topic is made */
};

static void reply(struct grpc_call *call, struct grpc_append *append, bool known) {
    struct writer out;
    uint8_t space[128];
    writer_init_in(&out, space, sizeof space);
    if (known)
        grpc_append_write_results(append, 1, &out);
    else
        grpc_append_write_unknown(append, 1, &out);
    grpc_call_send_bytes(call, &out);
    writer_release(&out);
    grpc_call_finish(call);
}

static void produce_done(struct grpc_append *append) {
    struct grpc_call *call = append->owner;
    struct produce *produce = call->state;
    produce->append = NULL;
    struct grpc_partition_error error;
    if (grpc_append_failed(append, &error) != STATUS_OK)
        grpc_partition_fail(call, &error);
    else
        reply(call, append, true);
    grpc_append_free(append);
}

static void produce_message(struct grpc_call *call, struct grpc_message *message);

static void topic_created(struct grpc_call *call) {
    struct produce *state = call->state;
    struct grpc_message message = state->message;
    state->message.owner = NULL;
    produce_message(call, &message);
    buffer_unref(message.owner);
}

/* A lent message is copied, one with an owner is taken over. */
static void keep_message(struct produce *state, struct grpc_message *message) {
    state->message = *message;
    if (message->owner == NULL) {
        state->message.owner = buffer_copy(message->bytes);
        state->message.bytes = slice_make(state->message.owner->data, message->bytes.size);
    }
    message->owner = NULL;
}

static void produce_message(struct grpc_call *call, struct grpc_message *message) {
    struct produce *state = call->state;
    struct protobuf_produce request;
    if (protobuf_produce_read(message->bytes, &request) != STATUS_OK) {
        grpc_call_fail_status(call, STATUS_MALFORMED, "the message is no ProduceRequest");
        return;
    }
    if (request.acks > PROTOBUF_ACKS_NONE) {
        grpc_call_fail_field(call, "acks", "no such value");
        return;
    }
    if (grpc_autocreate(&state->create, call, request.topic, topic_created)) {
        keep_message(state, message);
        return;
    }
    struct grpc_append_failure failure;
    struct grpc_append *append = grpc_append_start(call, &request, message, grpc_call_turn(call), &failure);
    if (append == NULL && failure.field != NULL) {
        grpc_call_fail_field(call, failure.field, "%s", failure.text);
    } else if (append == NULL) {
        grpc_partition_fail(call, &failure.error);
    } else if (request.acks == PROTOBUF_ACKS_NONE) {
        reply(call, append, false);
        grpc_append_abandon(append);
    } else {
        append->owner = call;
        append->done = produce_done;
        state->append = append;
    }
}

static void produce_ended(struct grpc_call *call) {
    struct produce *state = call->state;
    if (state->append != NULL) grpc_append_abandon(state->append);
    state->append = NULL;
    buffer_unref(state->message.owner);
    state->message.owner = NULL;
}

/* ---- InitProducer -------------------------------------------------------------------------------------- */

struct init {
    struct producer_id_request request;
    struct grpc_call *call;
};

static void init_done(struct producer_id_request *request) {
    struct grpc_call *call = CONTAINER_OF(request, struct init, request)->call;
    if (!call->ended && request->status != STATUS_OK) {
        grpc_call_fail_status(call, request->status, NULL);
    } else if (!call->ended) {
        Sentinel__V1__ProducerIdentity identity = SENTINEL__V1__PRODUCER_IDENTITY__INIT;
        identity.producer_id = request->producer_id;
        identity.producer_epoch = request->producer_epoch;
        Sentinel__V1__InitProducerResponse response = SENTINEL__V1__INIT_PRODUCER_RESPONSE__INIT;
        response.producer = &identity;
        grpc_call_reply_packed(call, &response.base);
    }
    grpc_call_unpin(call);
}

static void init_producer(struct grpc_call *call, struct grpc_message *message) {
    if (grpc_call_unpack(call, &sentinel__v1__init_producer_request__descriptor, message->bytes) == NULL)
        return;
    struct init *init = call->state;
    init->call = call;
    init->request.done = init_done;
    grpc_call_pin(call);
    broker_new_producer_id(grpc_call_broker(call), &init->request);
}

const struct grpc_method grpc_produce_methods[2] = {
    {.path = "/sentinel.v1.ProducerService/Produce",
     .message_size_max = GRPC_RECORDS_MESSAGE_MAX,
     .state_size = sizeof(struct produce),
     .message = produce_message,
     .ended = produce_ended},
    {.path = "/sentinel.v1.ProducerService/InitProducer",
     .message_size_max = GRPC_CONTROL_MESSAGE_MAX,
     .state_size = sizeof(struct init),
     .message = init_producer},
};
