// SPDX-License-Identifier: Apache-2.0
/* sentinel.v1.ProducerService.ProduceStream: batches in, acknowledgements out in the same order.
 *
 * Appends to several partitions may finish in any order; they wait in a queue until all before them are
 * answered. The queue is bounded: above its bounds the call is held, and the client's window does the rest.
 */
#include "base/assert.h"
#include "sentinel/v1/producer_service.pb-c.h"
#include "server/grpc_append.h"
#include "server/grpc_autocreate.h"
#include "server/grpc_service.h"

#define UNACKNOWLEDGED_BYTES_MAX ((size_t)(4 * MIB))
#define UNACKNOWLEDGED_COUNT_MAX 4096
#define QUEUED_ACKS_MAX          ((size_t)(256 * KIB)) /* bytes of answers that the client does not read */

struct stream {
    struct grpc_call *call;
    bool opened, drained;
    struct slice topic, transactional_id;
    uint32_t acks, turn;
    bool has_producer;
    int64_t producer_id;
    int32_t producer_epoch;
    bool has_sequence;
    uint64_t sequence; /* of the last batch */
    struct list queue; /* grpc_append.link, oldest first */
    size_t bytes, count;
    struct grpc_autocreate create;
    struct protobuf_produce open; /* kept while the topic is made */
};

static void send_ack(struct stream *stream, struct grpc_append *append, bool known) {
    struct writer ack, response;
    writer_init(&ack);
    writer_init(&response);
    protobuf_write_value(&ack, 1, append->sequence);
    if (known)
        grpc_append_write_results(append, 2, &ack);
    else
        grpc_append_write_unknown(append, 2, &ack);
    protobuf_write_bytes(&response, 2, writer_slice(&ack)); /* ProduceStreamResponse.ack */
    grpc_call_send_bytes(stream->call, &response);
    writer_release(&ack);
    writer_release(&response);
}

static bool is_full(const struct stream *stream) {
    return stream->bytes >= UNACKNOWLEDGED_BYTES_MAX || stream->count >= UNACKNOWLEDGED_COUNT_MAX ||
           grpc_call_queued(stream->call) >= QUEUED_ACKS_MAX;
}

/* Ends the call when nothing is to come any more. */
static void finish_if_empty(struct stream *stream) {
    if (stream->count != 0 || stream->create.running) return;
    if (stream->call->half_closed)
        grpc_call_finish(stream->call);
    else if (stream->drained)
        grpc_call_fail_status(stream->call, STATUS_UNAVAILABLE, "the node shuts down");
}

static void answer_finished(struct stream *stream) {
    struct grpc_call *call = stream->call;
    struct list *first;
    while ((first = list_first(&stream->queue)) != NULL) {
        struct grpc_append *append = CONTAINER_OF(first, struct grpc_append, link);
        if (!grpc_append_is_done(append)) break;
        if (stream->acks != PROTOBUF_ACKS_NONE) send_ack(stream, append, true);
        stream->bytes -= append->bytes;
        stream->count--;
        grpc_append_free(append);
    }
    grpc_call_pin(call);
    grpc_call_hold(call, is_full(stream));
    if (!call->ended) finish_if_empty(stream);
    grpc_call_unpin(call);
}

static void append_done(struct grpc_append *append) {
    answer_finished(append->owner);
}

static void open_stream(struct stream *stream, const struct protobuf_produce *open);

static void topic_created(struct grpc_call *call) {
    struct stream *stream = call->state;
    open_stream(stream, &stream->open);
    if (!call->ended) grpc_call_hold(call, false);
    if (!call->ended) finish_if_empty(stream);
}

static void open_stream(struct stream *stream, const struct protobuf_produce *open) {
    struct grpc_call *call = stream->call;
    if (stream->opened) {
        grpc_call_fail_field(call, "open", "the stream is open already");
        return;
    }
    if (open->acks > PROTOBUF_ACKS_NONE) {
        grpc_call_fail_field(call, "open.acks", "no such value");
        return;
    }
    stream->open = *open;
    stream->open.topic = arena_copy(&call->arena, open->topic);
    stream->open.transactional_id = arena_copy(&call->arena, open->transactional_id);
    if (grpc_autocreate(&stream->create, call, stream->open.topic, topic_created)) {
        grpc_call_hold(call, true);
        return;
    }
    const struct broker_topic *topic = grpc_partition_find_topic(call, open->topic);
    if (topic == NULL) return;
    stream->opened = true;
    stream->topic = stream->open.topic;
    stream->transactional_id = stream->open.transactional_id;
    stream->acks = open->acks;
    stream->has_producer = open->has_producer;
    stream->producer_id = open->producer_id;
    stream->producer_epoch = open->producer_epoch;
    Sentinel__V1__ProduceStreamOpened opened = SENTINEL__V1__PRODUCE_STREAM_OPENED__INIT;
    opened.partition_count = topic->partition_count;
    opened.unacknowledged_bytes_max = UNACKNOWLEDGED_BYTES_MAX;
    opened.message_bytes_max = (int32_t)call->reader.size_max;
    Sentinel__V1__ProduceStreamResponse response = SENTINEL__V1__PRODUCE_STREAM_RESPONSE__INIT;
    response.message_case = SENTINEL__V1__PRODUCE_STREAM_RESPONSE__MESSAGE_OPENED;
    response.opened = &opened;
    grpc_call_send_packed(call, &response.base);
}

static void take_batch(struct stream *stream, struct protobuf_produce *batch, struct grpc_message *message) {
    struct grpc_call *call = stream->call;
    if (!stream->opened) {
        grpc_call_fail_field(call, "open", "the first message opens the stream");
        return;
    }
    if (stream->has_sequence && batch->sequence != stream->sequence + 1) {
        grpc_call_fail_field(call, "batch.sequence", "batch %llu does not follow batch %llu",
                             (unsigned long long)batch->sequence, (unsigned long long)stream->sequence);
        return;
    }
    if (stream->drained) return; /* never acknowledged: the client sends it again, to another node */
    stream->has_sequence = true;
    stream->sequence = batch->sequence;
    batch->topic = stream->topic;
    batch->acks = stream->acks;
    batch->transactional_id = stream->transactional_id;
    if (batch->has_producer) {
        stream->has_producer = true;
        stream->producer_id = batch->producer_id;
        stream->producer_epoch = batch->producer_epoch;
    }
    batch->has_producer = stream->has_producer && batch->record_batch.size == 0;
    batch->producer_id = stream->producer_id;
    batch->producer_epoch = stream->producer_epoch;
    struct grpc_append_failure failure;
    struct grpc_append *append = grpc_append_start(call, batch, message, stream->turn++, &failure);
    if (append == NULL && failure.field != NULL) {
        grpc_call_fail_field(call, failure.field, "%s", failure.text);
        return;
    }
    bool refused = append == NULL;
    if (refused) append = grpc_append_refused(&failure);
    append->owner = stream;
    append->done = append_done;
    append->sequence = batch->sequence;
    stream->bytes += append->bytes;
    stream->count++;
    list_push_back(&stream->queue, &append->link);
    if (stream->acks == PROTOBUF_ACKS_NONE) send_ack(stream, append, refused);
    if (refused)
        answer_finished(stream);
    else if (is_full(stream))
        grpc_call_hold(call, true);
}

static void stream_open(struct grpc_call *call) {
    struct stream *stream = call->state;
    stream->call = call;
    list_init(&stream->queue);
}

static void stream_message(struct grpc_call *call, struct grpc_message *message) {
    enum protobuf_produce_kind kind;
    struct protobuf_produce produce;
    if (protobuf_produce_stream_read(message->bytes, &kind, &produce) != STATUS_OK)
        grpc_call_fail_status(call, STATUS_MALFORMED, "the message is no ProduceStreamRequest");
    else if (kind == PROTOBUF_PRODUCE_OPEN)
        open_stream(call->state, &produce);
    else
        take_batch(call->state, &produce, message);
}

static void stream_half_closed(struct grpc_call *call) {
    finish_if_empty(call->state);
}

static void stream_writable(struct grpc_call *call) {
    grpc_call_hold(call, is_full(call->state));
}

static void stream_drain(struct grpc_call *call) {
    struct stream *stream = call->state;
    stream->drained = true;
    finish_if_empty(stream);
}

static void stream_ended(struct grpc_call *call) {
    struct stream *stream = call->state;
    struct list *first;
    while ((first = list_first(&stream->queue)) != NULL)
        grpc_append_abandon(CONTAINER_OF(first, struct grpc_append, link));
    stream->count = 0;
}

const struct grpc_method grpc_produce_stream_methods[1] = {
    {.path = "/sentinel.v1.ProducerService/ProduceStream",
     .message_size_max = GRPC_RECORDS_MESSAGE_MAX,
     .state_size = sizeof(struct stream),
     .streams_requests = true,
     .open = stream_open,
     .message = stream_message,
     .half_closed = stream_half_closed,
     .writable = stream_writable,
     .drain = stream_drain,
     .ended = stream_ended},
};
