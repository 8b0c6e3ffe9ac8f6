// SPDX-License-Identifier: Apache-2.0
/* Producing over one ProduceStream.
 *
 *   record ─> its partition's open batch ─> (full, linger over, flush) ─> in flight ─> acknowledged, in order
 *
 * Every batch carries the producer's identity and sequence number, so after a lost connection all
 * unacknowledged batches are sent again, byte for byte, over a new stream, and the broker writes each once.
 * The broker remembers five batches a producer and partition: no more are in flight for one. */
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "client/client_state.h"
#include "sentinel/v1/producer_service.pb-c.h"
#include "wire/grpc_metadata.h"
#include "wire/murmur2.h"
#include "wire/protobuf_produce.h"
#include "wire/record_batch.h"

#define PRODUCER_SERVICE    "/sentinel.v1.ProducerService/"
#define PARTITION_IN_FLIGHT 5
#define RECONNECT_PAUSE_NS  (50 * NS_PER_MS)

struct batch {
    struct list link; /* in producer.ready or producer.sent */
    int32_t partition, base_sequence, record_count;
    uint64_t number; /* of the ProduceStreamBatch */
    struct buffer *bytes;
    void **tags;
};

struct open_batch {
    struct record_batch_builder builder;
    void **tags;
    int32_t tag_capacity;
    int32_t next_sequence, in_flight;
    bool begun;
    struct list waiting; /* struct batch: finished, more than PARTITION_IN_FLIGHT before it */
    struct io_timer linger;
    struct sentinel_producer *producer;
};

struct sentinel_producer {
    struct sentinel_client *client;
    sentinel_producer_options options;
    char *topic;
    int32_t partition_count, sticky;
    struct open_batch *open;
    int64_t producer_id;
    int16_t producer_epoch;
    uint64_t next_number;
    struct list sent; /* struct batch: on the stream, by number */
    size_t bytes_in_flight;
    uint64_t unacknowledged; /* records */
    struct call call;
    bool streaming, opened, failed;
    struct io_timer reconnect;
    uint64_t last_progress_ns;
    sentinel_error error; /* the last one; when `failed`, what cannot be mended */
    bool gave_up;         /* waiting came to its timeout, and nothing was acknowledged or taken since */
};

sentinel_producer_options sentinel_producer_options_default(void) {
    return (sentinel_producer_options){
        .linger_ms = 5, .batch_bytes = 256 * KIB, .in_flight_bytes = 32 * MIB, .acks = -1};
}

/* ---- ends of batches -------------------------------------------------------------------------------------
 */

static void free_batch(struct batch *batch) {
    buffer_unref(batch->bytes);
    mem_free(batch->tags);
    mem_free(batch);
}

static void tell(struct sentinel_producer *p, struct batch *batch, int64_t base_offset,
                 const sentinel_error *error) {
    p->unacknowledged -= (uint64_t)batch->record_count;
    p->bytes_in_flight -= batch->bytes->size;
    for (int32_t i = 0; p->options.acknowledged != NULL && i < batch->record_count; i++)
        p->options.acknowledged(p->options.context, batch->tags[i], batch->partition,
                                error == NULL && base_offset >= 0 ? base_offset + i : -1, error);
    free_batch(batch);
}

static void fail_all(struct sentinel_producer *p, int code, const char *message) {
    if (p->failed) return;
    p->failed = true;
    client_fail(&p->error, code, "%s", message);
    struct list *node;
    while ((node = list_pop_front(&p->sent)) != NULL)
        tell(p, CONTAINER_OF(node, struct batch, link), -1, &p->error);
    for (int32_t i = 0; i < p->partition_count; i++)
        while ((node = list_pop_front(&p->open[i].waiting)) != NULL)
            tell(p, CONTAINER_OF(node, struct batch, link), -1, &p->error);
}

/* ---- the stream ------------------------------------------------------------------------------------------
 */

static void send_batch(struct sentinel_producer *p, struct batch *batch) {
    batch->number = p->next_number++;
    struct protobuf_produce produce = {.has_partition = true,
                                       .partition = batch->partition,
                                       .record_batch = slice_make(batch->bytes->data, batch->bytes->size),
                                       .base_sequence = batch->base_sequence,
                                       .sequence = batch->number};
    struct writer head;
    writer_init(&head);
    protobuf_produce_stream_write_head(&head, &produce);
    call_send(&p->call, writer_slice(&head), (struct shared_slice){produce.record_batch, batch->bytes});
    writer_release(&head);
}

static void start_stream(struct sentinel_producer *p);

static void send_ready(struct sentinel_producer *p, struct open_batch *open) {
    while (open->in_flight < PARTITION_IN_FLIGHT && !p->failed) {
        struct list *node = list_pop_front(&open->waiting);
        if (node == NULL) return;
        open->in_flight++;
        list_push_back(&p->sent, node);
        if (p->opened) send_batch(p, CONTAINER_OF(node, struct batch, link));
    }
}

static void acknowledge(struct sentinel_producer *p, const struct protobuf_produce_reply *reply) {
    struct list *node = list_first(&p->sent);
    struct batch *batch = node == NULL ? NULL : CONTAINER_OF(node, struct batch, link);
    struct protobuf_produce_result result;
    struct slice rest = reply->ack;
    if (batch == NULL || batch->number != reply->sequence ||
        protobuf_produce_result_next(&rest, 2, &result) != STATUS_OK) {
        fail_all(p, 13, "the server acknowledged what was not sent");
        return;
    }
    if (result.error.size != 0) {
        struct grpc_error why;
        char text[512] = "refused";
        if (grpc_error_read(result.error, &why) == STATUS_OK) {
            snprintf(text, sizeof text, "%.*s", (int)why.message.size, (const char *)why.message.data);
            /* Not written, and may be later: the same batches again over a new stream, in the same order. */
            if (why.code == GRPC_UNAVAILABLE) {
                client_fail(&p->error, why.code, "%s", text);
                call_cancel(&p->call);
                p->streaming = p->opened = false;
                io_timer_set(p->client->io, &p->reconnect, io_now_ns(p->client->io) + RECONNECT_PAUSE_NS);
                return;
            }
        } else {
            why.code = 13;
        }
        fail_all(p, why.code, text);
        return;
    }
    p->last_progress_ns = io_clock_ns(p->client->io);
    p->gave_up = false;
    list_remove(node);
    struct open_batch *open = &p->open[batch->partition];
    open->in_flight--;
    tell(p, batch, result.base_offset, NULL);
    send_ready(p, open);
}

static void on_opened(struct sentinel_producer *p, const struct protobuf_produce_reply *reply) {
    if (p->partition_count == 0) {
        p->partition_count = reply->partition_count;
        p->open = mem_calloc((size_t)p->partition_count, sizeof *p->open);
        for (int32_t i = 0; i < p->partition_count; i++)
            list_init(&p->open[i].waiting);
    }
    p->opened = true;
    LIST_FOREACH(it, &p->sent) {
        send_batch(p, CONTAINER_OF(it, struct batch, link));
    }
}

static void on_message(struct call *call, struct grpc_message *message) {
    struct sentinel_producer *p = CONTAINER_OF(call, struct sentinel_producer, call);
    struct protobuf_produce_reply reply;
    if (protobuf_produce_reply_read(message->bytes, &reply) != STATUS_OK)
        fail_all(p, 13, "the server sent a malformed acknowledgement");
    else if (reply.is_opened)
        on_opened(p, &reply);
    else
        acknowledge(p, &reply);
}

static void on_done(struct call *call, int code, const char *message) {
    struct sentinel_producer *p = CONTAINER_OF(call, struct sentinel_producer, call);
    p->streaming = p->opened = false;
    if (code == 0 && list_empty(&p->sent)) return;
    client_fail(&p->error, code, "%s", message);
    if (code != GRPC_UNAVAILABLE && code != 0)
        fail_all(p, code, message);
    else
        io_timer_set(p->client->io, &p->reconnect, io_now_ns(p->client->io) + RECONNECT_PAUSE_NS);
}

static void start_stream(struct sentinel_producer *p) {
    if (p->streaming || p->failed) return;
    p->streaming = true;
    p->opened = false;
    p->call.on_message = on_message;
    p->call.on_done = on_done;
    p->call.on_writable = NULL;
    struct protobuf_produce open = {.topic = slice_from_text(p->topic),
                                    .acks = p->options.acks == 1   ? PROTOBUF_ACKS_LEADER
                                            : p->options.acks == 0 ? PROTOBUF_ACKS_NONE
                                                                   : PROTOBUF_ACKS_ALL,
                                    .has_producer = p->producer_id >= 0,
                                    .producer_id = p->producer_id,
                                    .producer_epoch = p->producer_epoch};
    struct writer head;
    writer_init(&head);
    protobuf_produce_stream_write_open(&head, &open);
    call_start(&p->client->channel, &p->call, PRODUCER_SERVICE "ProduceStream");
    call_send(&p->call, writer_slice(&head), (struct shared_slice){SLICE_EMPTY, NULL});
    writer_release(&head);
}

static void reconnect_fired(struct io_timer *timer) {
    start_stream(CONTAINER_OF(timer, struct sentinel_producer, reconnect));
}

/* ---- filling batches --------------------------------------------------------------------------------------
 */

static void close_batch(struct sentinel_producer *p, int32_t partition) {
    struct open_batch *open = &p->open[partition];
    if (!open->begun) return;
    struct batch *batch = mem_calloc(1, sizeof *batch);
    struct record_batch_producer identity = {p->producer_id, p->producer_epoch, open->next_sequence};
    batch->partition = partition;
    batch->base_sequence = open->next_sequence;
    batch->record_count = open->builder.count;
    open->next_sequence = (int32_t)(((uint32_t)open->next_sequence + (uint32_t)batch->record_count) &
                                    INT32_MAX);
    batch->bytes = record_batch_finish(&open->builder, CODEC_NONE, &identity);
    record_batch_builder_release(&open->builder);
    batch->tags = open->tags;
    open->tags = NULL;
    open->tag_capacity = 0;
    open->begun = false;
    io_timer_cancel(p->client->io, &open->linger);
    p->bytes_in_flight += batch->bytes->size;
    list_push_back(&open->waiting, &batch->link);
    send_ready(p, open);
}

static void linger_fired(struct io_timer *timer) {
    struct open_batch *open = CONTAINER_OF(timer, struct open_batch, linger);
    close_batch(open->producer, (int32_t)(open - open->producer->open));
}

static void begin_batch(struct sentinel_producer *p, struct open_batch *open) {
    open->producer = p;
    open->begun = true;
    record_batch_begin(&open->builder);
    io_timer_init(&open->linger, linger_fired);
    io_timer_set(p->client->io, &open->linger, io_clock_ns(p->client->io) + p->options.linger_ms * NS_PER_MS);
}

static int32_t choose_partition(struct sentinel_producer *p, const sentinel_record *record) {
    if (record->partition >= 0) return record->partition;
    if (record->key != NULL)
        return murmur2_partition(slice_make(record->key, record->key_size), p->partition_count);
    /* Without a key: one partition until its batch is full (KIP-480). */
    if (!p->open[p->sticky].begun) p->sticky = (p->sticky + 1) % p->partition_count;
    return p->sticky;
}

static void add_record(struct sentinel_producer *p, struct open_batch *open, const sentinel_record *record) {
    struct record_header headers[64];
    for (size_t i = 0; i < record->header_count; i++)
        headers[i] = (struct record_header){
            slice_from_text(record->headers[i].name),
            slice_make(record->headers[i].value, record->headers[i].value_size)};
    if (!open->begun) begin_batch(p, open);
    if (open->builder.count == open->tag_capacity) {
        open->tag_capacity = MAX(open->tag_capacity * 2, 64);
        open->tags = mem_realloc(open->tags, (size_t)open->tag_capacity * sizeof *open->tags);
    }
    open->tags[open->builder.count] = record->tag;
    int64_t timestamp = record->timestamp_ms != 0 ? record->timestamp_ms : io_wall_ms(p->client->io);
    record_batch_add(&open->builder, timestamp, slice_make(record->key, record->key_size),
                     slice_make(record->value, record->value_size), headers, (uint32_t)record->header_count);
    p->unacknowledged++;
    p->gave_up = false;
}

static bool has_room(void *ctx) {
    const struct sentinel_producer *p = ctx;
    return p->failed || p->bytes_in_flight < p->options.in_flight_bytes;
}

static int give_error(const struct sentinel_producer *p, sentinel_error *error) {
    if (error != NULL) *error = p->error;
    return -1;
}

static int give_up(struct sentinel_producer *p, sentinel_error *error) {
    p->gave_up = true;
    return client_fail(error, SENTINEL_TIMED_OUT, "no acknowledgement within the timeout%s%s",
                       p->error.message[0] == '\0' ? "" : "; last error: ", p->error.message);
}

/* Waits as long as there is progress: the timeout runs from the last acknowledgement. */
static int wait_for(struct sentinel_producer *p, bool (*done)(void *ctx), sentinel_error *error) {
    p->last_progress_ns = io_clock_ns(p->client->io);
    while (!done(p)) {
        uint64_t deadline = p->last_progress_ns + p->client->timeout_ns;
        if (io_clock_ns(p->client->io) >= deadline) return give_up(p, error);
        io_turn(p->client->io, MIN(deadline - io_clock_ns(p->client->io), 100 * NS_PER_MS));
    }
    return p->failed ? give_error(p, error) : 0;
}

int sentinel_produce(sentinel_producer *p, const sentinel_record *record, sentinel_error *error) {
    if (p->failed) return give_error(p, error);
    if (record->header_count > 64) return client_fail(error, 3, "a record may have 64 headers");
    if (record->partition >= p->partition_count)
        return client_fail(error, 3, "partition %d does not exist, topic '%s' has %d", record->partition,
                           p->topic, p->partition_count);
    if (!has_room(p) && wait_for(p, has_room, error) != 0) return -1;
    int32_t partition = choose_partition(p, record);
    struct open_batch *open = &p->open[partition];
    size_t size = record->key_size + record->value_size;
    if (open->begun && record_batch_builder_size(&open->builder) + size > p->options.batch_bytes)
        close_batch(p, partition);
    add_record(p, open, record);
    if (record_batch_builder_size(&open->builder) < p->options.batch_bytes) return 0;
    close_batch(p, partition);
    io_turn(p->client->io, 0);
    return 0;
}

static bool all_acknowledged(void *ctx) {
    const struct sentinel_producer *p = ctx;
    return p->failed || p->unacknowledged == 0;
}

int sentinel_producer_flush(sentinel_producer *p, sentinel_error *error) {
    for (int32_t i = 0; i < p->partition_count; i++)
        close_batch(p, i);
    return wait_for(p, all_acknowledged, error);
}

int sentinel_producer_poll(sentinel_producer *p, uint32_t wait_ms, sentinel_error *error) {
    io_turn(p->client->io, wait_ms * NS_PER_MS);
    return p->failed ? give_error(p, error) : 0;
}

/* ---- made and closed ----------------------------------------------------------------------------------- */

static int take_identity(struct sentinel_producer *p, sentinel_error *error) {
    struct buffer *answer;
    if (client_unary(p->client, PRODUCER_SERVICE "InitProducer", SLICE_EMPTY, &answer, error) != 0) return -1;
    Sentinel__V1__InitProducerResponse *response = sentinel__v1__init_producer_response__unpack(
        NULL, answer->size, answer->data);
    buffer_unref(answer);
    bool valid = response != NULL && response->producer != NULL;
    if (valid) {
        p->producer_id = response->producer->producer_id;
        p->producer_epoch = (int16_t)response->producer->producer_epoch;
    }
    if (response != NULL) sentinel__v1__init_producer_response__free_unpacked(response, NULL);
    return valid ? 0 : client_fail(error, 13, "the server gave no producer identity");
}

static bool is_opened(void *ctx) {
    const struct sentinel_producer *p = ctx;
    return p->failed || p->opened;
}

sentinel_producer *sentinel_producer_open(sentinel_client *client, const char *topic,
                                          const sentinel_producer_options *options, sentinel_error *error) {
    struct sentinel_producer *p = mem_calloc(1, sizeof *p);
    p->client = client;
    p->options = options == NULL ? sentinel_producer_options_default() : *options;
    p->topic = mem_strdup(topic);
    p->producer_id = -1;
    p->producer_epoch = -1;
    list_init(&p->sent);
    io_timer_init(&p->reconnect, reconnect_fired);
    if (take_identity(p, error) == 0) {
        start_stream(p);
        if (wait_for(p, is_opened, error) == 0) return p;
    }
    p->unacknowledged = 0;
    sentinel_producer_close(p, NULL);
    return NULL;
}

int32_t sentinel_producer_partitions(const sentinel_producer *p) {
    return p->partition_count;
}

int sentinel_producer_close(sentinel_producer *p, sentinel_error *error) {
    int result = 0;
    sentinel_error late;
    if (p->failed || p->unacknowledged != 0)
        result = p->gave_up && !p->failed ? give_up(p, error) : sentinel_producer_flush(p, error);
    if (!p->failed && p->unacknowledged != 0) {
        give_up(p, &late);
        fail_all(p, late.code, late.message);
    }
    call_cancel(&p->call);
    io_timer_cancel(p->client->io, &p->reconnect);
    for (int32_t i = 0; i < p->partition_count; i++) {
        struct open_batch *open = &p->open[i];
        if (!open->begun) continue;
        io_timer_cancel(p->client->io, &open->linger);
        record_batch_builder_release(&open->builder);
        mem_free(open->tags);
    }
    mem_free(p->open);
    mem_free(p->topic);
    mem_free(p);
    return result;
}
