// SPDX-License-Identifier: Apache-2.0
/* InitProducerId: an identity for an idempotent producer (KIP-98), or the next epoch of a transactional one
 * (KIP-360). DescribeProducers: what partitions remember of them (KIP-664). */
#include "broker/coordinator.h"
#include "server/kafka_handlers.h"

/* From this version on a client knows PRODUCER_FENCED. */
#define KNOWS_FENCED 4

struct init_state {
    struct producer_id_request ask;
    struct txn_call begin;
    struct kafka_request *request;
};

static void tell(struct kafka_request *request, enum status status, int64_t producer_id, int16_t epoch) {
    struct kafka_init_producer_id_response *response = request->response;
    if (status == STATUS_PRODUCER_FENCED && request->header.api_version < KNOWS_FENCED)
        status = STATUS_INVALID_PRODUCER_EPOCH;
    response->error_code = status_kafka_code(status);
    response->producer_id = status == STATUS_OK ? producer_id : -1;
    response->producer_epoch = status == STATUS_OK ? epoch : -1;
}

static void begin_done(struct group_call *call) {
    struct init_state *state = CONTAINER_OF(CONTAINER_OF(call, struct txn_call, call), struct init_state,
                                            begin);
    enum status status = call->status != STATUS_OK ? call->status : state->begin.result;
    if (status == STATUS_CLOSED) status = STATUS_NOT_COORDINATOR;
    tell(state->request, status, state->begin.producer_id, state->begin.epoch);
    kafka_request_release(state->request);
}

static void begin(struct init_state *state, int64_t fresh_id) {
    const struct kafka_init_producer_id_request *message = state->request->message;
    const struct txn_begin begin = {.id = message->transactional_id,
                                    .timeout_ms = message->transaction_timeout_ms,
                                    .producer_id = message->producer_id,
                                    .epoch = message->producer_epoch,
                                    .fresh_id = fresh_id};
    state->begin.call.done = begin_done;
    coordinator_txn_begin(state->request->broker, &state->begin, &begin);
}

static void ask_done(struct producer_id_request *ask) {
    struct init_state *state = CONTAINER_OF(ask, struct init_state, ask);
    const struct kafka_init_producer_id_request *message = state->request->message;
    if (ask->status == STATUS_OK && message->transactional_id.data != NULL) {
        begin(state, ask->producer_id);
        return;
    }
    tell(state->request, ask->status, ask->producer_id, ask->producer_epoch);
    if (ask->status != STATUS_OK) {
        struct kafka_init_producer_id_response *response = state->request->response;
        response->error_code = message->transactional_id.data != NULL
                                   ? status_kafka_code(STATUS_COORDINATOR_LOADING) /* every client retries */
                                   : kafka_error_code(ask->status);
    }
    kafka_request_release(state->request);
}

static void init_stop(struct kafka_request *request) {
    struct init_state *state = request->state;
    if (state->begin.call.coordinator == NULL) return;
    coordinator_cancel(&state->begin.call);
    tell(request, STATUS_NOT_COORDINATOR, -1, -1);
    kafka_request_release(request);
}

void kafka_producer_init_id(struct kafka_request *request) {
    const struct kafka_init_producer_id_request *message = request->message;
    struct kafka_init_producer_id_response *response = request->response;
    bool transactional = message->transactional_id.data != NULL;
    if (transactional && message->transactional_id.size == 0) {
        response->error_code = KAFKA_INVALID_REQUEST;
        response->producer_epoch = -1;
        return;
    }
    struct init_state *state = kafka_request_calloc(request, 1, sizeof *state);
    state->request = request;
    state->ask.done = ask_done;
    request->state = state;
    request->stop = init_stop;
    kafka_request_hold(request);
    broker_new_producer_id(request->broker, &state->ask);
}

/* ---- DescribeProducers --------------------------------------------------------------------------------- */

struct describing {
    struct kafka_request *request;
    struct kafka_describe_producers_response_partition *out;
    int32_t capacity;
};

static void count_producer(void *ctx, const struct broker_producer *producer) {
    struct describing *describing = ctx;
    describing->capacity += producer != NULL;
}

static void describe_producer(void *ctx, const struct broker_producer *producer) {
    struct describing *describing = ctx;
    if (describing->out->active_producers_count == describing->capacity) return;
    struct kafka_describe_producers_response_producer *out =
        &describing->out->active_producers[describing->out->active_producers_count++];
    out->producer_id = producer->id;
    out->producer_epoch = producer->epoch;
    out->last_sequence = producer->last_sequence;
    out->last_timestamp = producer->last_time_ms;
    out->coordinator_epoch = -1; /* there is none: markers have their transaction's number */
    out->current_txn_start_offset = producer->open_offset;
}

static void describe_partition(struct kafka_request *request, struct slice topic, int32_t partition,
                               struct kafka_describe_producers_response_partition *out) {
    struct describing describing = {request, out, 0};
    out->partition_index = partition;
    enum status status = broker_producers_visit(request->broker, topic, partition, count_producer,
                                                &describing);
    out->active_producers = kafka_request_array(request, &kafka_schema_describe_producers_response_producer,
                                                (size_t)describing.capacity);
    if (status == STATUS_OK)
        status = broker_producers_visit(request->broker, topic, partition, describe_producer, &describing);
    if (status == STATUS_PENDING) status = STATUS_UNAVAILABLE; /* it is being loaded: ask again */
    out->error_code = kafka_error_code(status);
    out->error_message = kafka_error_text(request, status, NULL);
}

void kafka_producer_describe(struct kafka_request *request) {
    const struct kafka_describe_producers_request *message = request->message;
    struct kafka_describe_producers_response *response = request->response;
    struct kafka_names seen;
    kafka_names_init(&seen, request);
    response->topics = kafka_request_array(request, &kafka_schema_describe_producers_response_topic,
                                           (size_t)message->topics_count);
    for (int32_t t = 0; t < message->topics_count; t++) {
        const struct kafka_describe_producers_request_topic *in = &message->topics[t];
        if (!kafka_names_add(&seen, in->name))
            continue; /* a topic is told once, and of it only what there is */
        const struct broker_topic *topic = broker_topic_find(request->broker, in->name);
        int32_t most = topic == NULL ? 1 : topic->partition_count;
        struct kafka_describe_producers_response_topic *out = &response->topics[response->topics_count++];
        out->name = in->name;
        out->partitions_count = MIN(in->partition_indexes_count, most);
        out->partitions = kafka_request_array(request, &kafka_schema_describe_producers_response_partition,
                                              (size_t)out->partitions_count);
        for (int32_t p = 0; p < out->partitions_count; p++)
            describe_partition(request, in->name, in->partition_indexes[p], &out->partitions[p]);
    }
    kafka_names_release(&seen);
}
