// SPDX-License-Identifier: Apache-2.0
/* Produce and Fetch: record batches in and out, never looked into and copied as seldom as can be.
 *
 * A produced batch stays in the buffer it was received in, unless that buffer holds mostly other things: a
 * stored batch keeps its whole buffer alive. A fetched one is handed from the store to the socket by
 * reference. There are no fetch sessions (KIP-227): every response says session 0, so every client sends its
 * partitions in full. */
#include "base/assert.h"
#include "server/kafka_handlers.h"
#include "wire/record_batch.h"

/* What one fetch may bring at most, whatever the client allows: Kafka's default of fetch.max.bytes. */
#define FETCH_BYTES_MAX (55 * MIB)

/* From here on a batch may keep a buffer that is four times its size; the log copies smaller ones anyway. */
#define SHARE_MIN (64 * KIB)

#define TOPIC_IDS_SINCE 13 /* both name topics by their ids from this version on (KIP-516) */

enum { ACKS_ALL = -1, ACKS_NONE = 0, ACKS_LEADER = 1 };

/* ---- produce ------------------------------------------------------------------------------------------ */

struct produce_part {
    struct append append;
    struct kafka_request *request;
    struct kafka_produce_response_partition *response;
};

static void refuse_part(struct kafka_request *request, struct kafka_produce_response_partition *response,
                        int16_t error_code, const char *message) {
    response->error_code = error_code;
    response->base_offset = -1;
    response->error_message = slice_from_text(message);
    if (request->silent) request->fail_link = true;
}

static void tell_record(struct kafka_request *request, const struct append *append,
                        struct kafka_produce_response_partition *response) {
    if (append->status != STATUS_INVALID_RECORD || append->bad_record < 0) return;
    response->record_errors = kafka_request_array(request, &kafka_schema_produce_response_record_error, 1);
    response->record_errors_count = 1;
    response->record_errors[0].batch_index = append->bad_record;
    response->record_errors[0].batch_index_error_message = response->error_message;
}

static void append_done(struct append *append) {
    struct produce_part *part = CONTAINER_OF(append, struct produce_part, append);
    struct kafka_request *request = part->request;
    struct kafka_produce_response_partition *response = part->response;
    response->log_start_offset = append->log_start_offset;
    if (append->status == STATUS_OK) {
        response->base_offset = append->base_offset;
        response->log_append_time_ms = append->log_append_time_ms;
    } else {
        refuse_part(request, response, kafka_error_code(append->status), "");
        response->error_message = kafka_error_text(request, append->status, &append->diagnostic);
        tell_record(request, append, response);
    }
    kafka_request_release(request);
}

static void append_part(struct kafka_request *request, struct slice topic,
                        const struct kafka_produce_request_partition *in, bool shared,
                        struct kafka_produce_response_partition *response) {
    struct produce_part *part = kafka_request_calloc(request, 1, sizeof *part);
    part->request = request;
    part->response = response;
    struct slice bytes = in->records.bytes;
    struct buffer *owner = shared ? buffer_ref(request->buffer) : buffer_copy(bytes);
    if (!shared) bytes.data = owner->data;
    const struct kafka_produce_request *message = request->message;
    part->append = (struct append){.topic = topic,
                                   .partition = in->index,
                                   .batch = {bytes, owner},
                                   .transactional_id = message->transactional_id,
                                   .joins_transaction = request->header.api_version >= 12,
                                   .done = append_done};
    kafka_request_hold(request);
    broker_append(request->broker, &part->append);
    buffer_unref(owner); /* the broker has its own */
}

static void produce_partition(struct kafka_request *request, struct slice topic,
                              const struct kafka_produce_request_partition *in, bool shared,
                              struct kafka_produce_response_partition *response) {
    const struct kafka_produce_request *message = request->message;
    if (message->acks < ACKS_ALL || message->acks > ACKS_LEADER)
        refuse_part(request, response, status_kafka_code(STATUS_INVALID_ACKS),
                    status_text(STATUS_INVALID_ACKS));
    else if (in->records.bytes.size == 0)
        refuse_part(request, response, status_kafka_code(STATUS_INVALID_RECORD), "there is no record batch");
    else
        append_part(request, topic, in, shared, response);
}

/* Large requests lie several in one buffer, each with batches of its own: the buffer is then kept for most of
 * what is in it. The memtable is charged for all of it, once. */
static bool is_shared(const struct kafka_request *request) {
    size_t size = request->frame.size, whole = request->buffer->size;
    return size >= whole / 2 || (size >= SHARE_MIN && size >= whole / 4);
}

/* The name of a topic of the request; empty: there is no topic with this id, and its partitions say so. */
static struct slice topic_name(struct kafka_request *request, struct slice name, struct uuid id) {
    if (request->header.api_version < TOPIC_IDS_SINCE) return name;
    const struct broker_topic *topic = broker_topic_find_id(request->broker, id);
    return topic == NULL ? SLICE_EMPTY : arena_copy(&request->arena, slice_from_text(topic->name));
}

static void produce_topic(struct kafka_request *request, const struct kafka_produce_request_topic *in,
                          bool shared, struct kafka_produce_response_topic *out) {
    struct slice name = topic_name(request, in->name, in->topic_id);
    bool unknown = request->header.api_version >= TOPIC_IDS_SINCE && name.size == 0;
    out->name = in->name;
    out->topic_id = in->topic_id;
    out->partition_responses_count = MAX(in->partition_data_count, 0);
    out->partition_responses = kafka_request_array(request, &kafka_schema_produce_response_partition,
                                                   (size_t)out->partition_responses_count);
    for (int32_t p = 0; p < out->partition_responses_count; p++) {
        out->partition_responses[p].index = in->partition_data[p].index;
        if (unknown)
            refuse_part(request, &out->partition_responses[p], status_kafka_code(STATUS_UNKNOWN_TOPIC_ID),
                        status_text(STATUS_UNKNOWN_TOPIC_ID));
        else
            produce_partition(request, name, &in->partition_data[p], shared, &out->partition_responses[p]);
    }
}

void kafka_data_produce(struct kafka_request *request) {
    const struct kafka_produce_request *message = request->message;
    struct kafka_produce_response *response = request->response;
    request->silent = message->acks == ACKS_NONE;
    bool shared = is_shared(request);
    response->responses_count = MAX(message->topic_data_count, 0);
    response->responses = kafka_request_array(request, &kafka_schema_produce_response_topic,
                                              (size_t)response->responses_count);
    for (int32_t t = 0; t < response->responses_count; t++)
        produce_topic(request, &message->topic_data[t], shared, &response->responses[t]);
}

/* ---- fetch -------------------------------------------------------------------------------------------- */

struct fetch_state {
    struct fetch fetch;
    struct kafka_request *request;
    bool running;
};

static void fill_partition(struct kafka_request *request, const struct fetch_partition *from,
                           struct kafka_fetch_response_partition *to) {
    const struct kafka_fetch_request *message = request->message;
    to->partition_index = from->partition;
    to->error_code = kafka_error_code(from->status);
    to->high_watermark = from->high_watermark;
    to->last_stable_offset = from->last_stable_offset;
    to->log_start_offset = from->log_start_offset;
    to->preferred_read_replica = from->read_from;
    /* Null when aborted transactions were not asked about. */
    to->aborted_transactions_count = message->isolation_level == 1 ? (int32_t)from->aborted_count : -1;
    to->aborted_transactions = kafka_request_array(request, &kafka_schema_fetch_response_aborted_transaction,
                                                   from->aborted_count);
    for (uint32_t i = 0; i < from->aborted_count; i++) {
        to->aborted_transactions[i].producer_id = from->aborted[i].producer_id;
        to->aborted_transactions[i].first_offset = from->aborted[i].first_offset;
    }
    to->records = (struct kafka_records){
        .bytes = SLICE_LITERAL(""), .pieces = from->batches, .piece_count = from->batch_count};
}

/* Also a topic that was deleted and made again while the fetch waited: its id is another. */
static bool topic_id_unknown(struct kafka_request *request, const struct kafka_fetch_request_topic *in) {
    return request->header.api_version >= TOPIC_IDS_SINCE &&
           broker_topic_find_id(request->broker, in->topic_id) == NULL;
}

/* The results stand in the order of the request. */
static void fetch_fill(struct kafka_request *request) {
    const struct kafka_fetch_request *message = request->message;
    struct kafka_fetch_response *response = request->response;
    struct fetch_state *state = request->state;
    const struct fetch_partition *from = state->fetch.partitions;
    response->responses_count = MAX(message->topics_count, 0);
    response->responses = kafka_request_array(request, &kafka_schema_fetch_response_topic,
                                              (size_t)response->responses_count);
    for (int32_t t = 0; t < response->responses_count; t++) {
        const struct kafka_fetch_request_topic *in = &message->topics[t];
        struct kafka_fetch_response_topic *out = &response->responses[t];
        bool unknown = topic_id_unknown(request, in);
        out->topic = in->topic;
        out->topic_id = in->topic_id;
        out->partitions_count = MAX(in->partitions_count, 0);
        out->partitions = kafka_request_array(request, &kafka_schema_fetch_response_partition,
                                              (size_t)out->partitions_count);
        for (int32_t p = 0; p < out->partitions_count; p++, from++) {
            fill_partition(request, from, &out->partitions[p]);
            if (!unknown) continue;
            out->partitions[p].error_code = status_kafka_code(STATUS_UNKNOWN_TOPIC_ID);
            out->partitions[p].records.piece_count = 0;
        }
    }
}

static void fetch_done(struct fetch *fetch) {
    struct fetch_state *state = CONTAINER_OF(fetch, struct fetch_state, fetch);
    state->running = false;
    kafka_request_release(state->request);
}

static void fetch_dispose(struct kafka_request *request) {
    struct fetch_state *state = request->state;
    ASSERT(!state->running);
    fetch_release(&state->fetch);
}

static void fetch_stop(struct kafka_request *request) {
    struct fetch_state *state = request->state;
    if (!state->running) return;
    state->running = false;
    broker_fetch_cancel(&state->fetch);
    for (uint32_t i = 0; i < state->fetch.partition_count; i++)
        state->fetch.partitions[i].status = STATUS_UNAVAILABLE;
    kafka_request_release(request);
}

static uint32_t count_partitions(const struct kafka_fetch_request *message) {
    uint32_t count = 0;
    for (int32_t t = 0; t < message->topics_count; t++)
        count += (uint32_t)MAX(message->topics[t].partitions_count, 0);
    return count;
}

static struct fetch_partition *fetch_partitions(struct kafka_request *request, uint32_t count) {
    const struct kafka_fetch_request *message = request->message;
    struct fetch_partition *partitions = kafka_request_calloc(request, count, sizeof *partitions);
    struct fetch_partition *to = partitions;
    for (int32_t t = 0; t < message->topics_count; t++) {
        struct slice name = topic_name(request, message->topics[t].topic, message->topics[t].topic_id);
        for (int32_t p = 0; p < message->topics[t].partitions_count; p++) {
            const struct kafka_fetch_request_partition *in = &message->topics[t].partitions[p];
            *to++ = (struct fetch_partition){.topic = name,
                                             .partition = in->partition,
                                             .offset = in->fetch_offset,
                                             .bytes_max = in->partition_max_bytes,
                                             .leader_epoch = in->current_leader_epoch};
        }
    }
    return partitions;
}

/* A client in a rack goes where the answer sends it (KIP-392), and may ask any replica. */
static void fetch_near(struct kafka_request *request, struct fetch *fetch) {
    const struct kafka_fetch_request *message = request->message;
    if (message->rack_id.size == 0) return;
    const struct io_address *peer = connection_peer(kafka_request_link(request));
    fetch->followers = true;
    fetch->rack = message->rack_id;
    fetch->reader = hash_bytes(0, slice_from_text(peer->text));
}

void kafka_data_fetch(struct kafka_request *request) {
    const struct kafka_fetch_request *message = request->message;
    struct kafka_fetch_response *response = request->response;
    if (message->session_id != 0) {
        response->error_code = KAFKA_FETCH_SESSION_ID_NOT_FOUND;
        return;
    }
    struct fetch_state *state = kafka_request_calloc(request, 1, sizeof *state);
    uint32_t count = count_partitions(message);
    int32_t bytes_max = MIN(MAX(message->max_bytes, 0),
                            (int32_t)MIN(FETCH_BYTES_MAX, server_answer_room(request->server)));
    state->request = request;
    state->running = true;
    state->fetch = (struct fetch){.partitions = fetch_partitions(request, count),
                                  .partition_count = count,
                                  .wait_max_ms = (uint32_t)MAX(message->max_wait_ms, 0),
                                  .bytes_min = MIN(message->min_bytes, bytes_max),
                                  .bytes_max = bytes_max,
                                  .read_committed = message->isolation_level == 1,
                                  .done = fetch_done};
    fetch_near(request, &state->fetch);
    request->cost += (size_t)bytes_max;
    request->state = state;
    request->finish = fetch_fill;
    request->stop = fetch_stop;
    request->dispose = fetch_dispose;
    kafka_request_hold(request);
    broker_fetch(request->broker, &state->fetch);
}
