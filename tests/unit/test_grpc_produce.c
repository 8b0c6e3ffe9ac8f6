// SPDX-License-Identifier: Apache-2.0
/* Producing over gRPC: one call, and streams. */
#include "lib/test.h"

#include <stdio.h>

#include "base/mem.h"
#include "google/rpc/status.pb-c.h"
#include "lib/grpc_world.h"
#include "sentinel/v1/consumer_service.pb-c.h"
#include "sentinel/v1/producer_service.pb-c.h"
#include "server/grpc_call.h"
#include "wire/murmur2.h"
#include "wire/record_batch.h"

#define PRODUCE "/sentinel.v1.ProducerService/Produce"
#define STREAM  "/sentinel.v1.ProducerService/ProduceStream"

static struct grpc_world world;

static int open_world(void **state) {
    grpc_world_open(&world, 1);
    grpc_world_topic(&world, "t", 3);
    *state = &world;
    return 0;
}

static Sentinel__V1__Record record_of(const char *key, const char *value) {
    Sentinel__V1__Record record = SENTINEL__V1__RECORD__INIT;
    if (key != NULL) {
        record.key_presence_case = SENTINEL__V1__RECORD__KEY_PRESENCE_KEY;
        record.key = (ProtobufCBinaryData){strlen(key), (uint8_t *)(uintptr_t)key};
    }
    if (value != NULL) {
        record.value_presence_case = SENTINEL__V1__RECORD__VALUE_PRESENCE_VALUE;
        record.value = (ProtobufCBinaryData){strlen(value), (uint8_t *)(uintptr_t)value};
    }
    return record;
}

static Sentinel__V1__ProduceRequest produce_request(const char *topic, int partition) {
    Sentinel__V1__ProduceRequest request = SENTINEL__V1__PRODUCE_REQUEST__INIT;
    request.topic = (char *)(uintptr_t)topic;
    if (partition >= 0) {
        request.partition_presence_case = SENTINEL__V1__PRODUCE_REQUEST__PARTITION_PRESENCE_PARTITION;
        request.partition = partition;
    }
    return request;
}

static Sentinel__V1__ProduceResponse *response_of(const struct grpc_world_call *call) {
    if (call->grpc_status != 0) print_message("%.*s\n", (int)call->message.size, (char *)call->message.data);
    assert_int_equal(call->grpc_status, 0);
    assert_int_equal(call->message_count, 1);
    Sentinel__V1__ProduceResponse *response = sentinel__v1__produce_response__unpack(
        NULL, call->messages[0].size, call->messages[0].data);
    assert_non_null(response);
    return response;
}

/* Everything in a partition, by Fetch. */
static Sentinel__V1__FetchResponse *fetch(const char *topic, int partition, int64_t offset) {
    Sentinel__V1__FetchPartition from = SENTINEL__V1__FETCH_PARTITION__INIT, *list[] = {&from};
    from.topic = (char *)(uintptr_t)topic;
    from.partition = partition;
    from.offset = offset;
    Sentinel__V1__FetchRequest request = SENTINEL__V1__FETCH_REQUEST__INIT;
    request.n_partitions = 1;
    request.partitions = list;
    struct grpc_world_call *call = grpc_world_unary(&world, "/sentinel.v1.ConsumerService/Fetch",
                                                    &request.base);
    assert_int_equal(call->grpc_status, 0);
    Sentinel__V1__FetchResponse *response = sentinel__v1__fetch_response__unpack(NULL, call->messages[0].size,
                                                                                 call->messages[0].data);
    assert_non_null(response);
    return response;
}

/* ---- one call ------------------------------------------------------------------------------------------ */

static void test_null_empty_headers_timestamps(void **state) {
    (void)state;
    grpc_world_topic(&world, "nulls", 1);
    Sentinel__V1__Record records[4] = {record_of("k", "v"), record_of(NULL, ""), record_of("", NULL),
                                       record_of(NULL, NULL)};
    Sentinel__V1__RecordHeader headers[2];
    sentinel__v1__record_header__init(&headers[0]);
    sentinel__v1__record_header__init(&headers[1]);
    headers[0].name = (char *)"trace";
    headers[0].value_presence_case = SENTINEL__V1__RECORD_HEADER__VALUE_PRESENCE_VALUE;
    headers[0].value = (ProtobufCBinaryData){3, (uint8_t *)"abc"};
    headers[1].name = (char *)"null";
    Sentinel__V1__RecordHeader *header_list[] = {&headers[0], &headers[1]};
    records[0].n_headers = 2;
    records[0].headers = header_list;
    records[0].timestamp_ms = 1234567890123;
    Sentinel__V1__Record *list[] = {&records[0], &records[1], &records[2], &records[3]};
    Sentinel__V1__ProduceRequest request = produce_request("nulls", -1);
    request.n_records = 4;
    request.records = list;
    Sentinel__V1__ProduceResponse *response = response_of(grpc_world_unary(&world, PRODUCE, &request.base));
    assert_int_equal(response->n_results, 1);
    assert_int_equal(response->results[0]->record_count, 4);
    assert_int_equal(response->results[0]->base_offset, 0);
    assert_int_equal(response->results[0]->n_record_indexes, 0);
    sentinel__v1__produce_response__free_unpacked(response, NULL);

    Sentinel__V1__FetchResponse *back = fetch("nulls", 0, 0);
    Sentinel__V1__FetchedPartition *part = back->partitions[0];
    assert_int_equal(part->n_records, 4);
    assert_int_equal(part->high_watermark, 4);
    assert_int_equal(part->next_offset, 4);
    assert_int_equal(part->records[0]->timestamp_ms, 1234567890123);
    assert_int_equal(part->records[0]->n_headers, 2);
    assert_int_equal(part->records[0]->headers[1]->value_presence_case, 0);
    assert_true(part->records[1]->timestamp_ms > 0); /* the time of arrival */
    assert_int_equal(part->records[1]->key_presence_case, 0);
    assert_true(part->records[1]->value_presence_case != 0 && part->records[1]->value.len == 0);
    assert_true(part->records[2]->key_presence_case != 0 && part->records[2]->key.len == 0);
    assert_int_equal(part->records[2]->value_presence_case, 0);
    assert_int_equal(part->records[3]->offset, 3);
    sentinel__v1__fetch_response__free_unpacked(back, NULL);
}

/* Each key lands where Kafka's clients would put it, and the answer says which record went where. */
static void test_routing(void **state) {
    (void)state;
    grpc_world_topic(&world, "routed", 3);
    char keys[100][16];
    Sentinel__V1__Record records[100], *list[100];
    for (int i = 0; i < 100; i++) {
        snprintf(keys[i], sizeof keys[i], "k%d", i);
        records[i] = record_of(keys[i], "v");
        list[i] = &records[i];
    }
    Sentinel__V1__ProduceRequest request = produce_request("routed", -1);
    request.n_records = 100;
    request.records = list;
    Sentinel__V1__ProduceResponse *response = response_of(grpc_world_unary(&world, PRODUCE, &request.base));
    assert_int_equal(response->n_results, 3);
    int seen = 0;
    for (int p = 0; p < 3; p++) {
        Sentinel__V1__AppendResult *result = response->results[p];
        assert_int_equal(result->partition, p);
        assert_int_equal(result->n_record_indexes, result->record_count);
        Sentinel__V1__FetchResponse *back = fetch("routed", p, 0);
        for (size_t i = 0; i < result->n_record_indexes; i++) {
            struct slice key = slice_from_text(keys[result->record_indexes[i]]);
            assert_int_equal(murmur2_partition(key, 3), p);
            ProtobufCBinaryData stored = back->partitions[0]->records[i]->key;
            assert_slice_equal(slice_make(stored.data, stored.len), key);
            seen++;
        }
        sentinel__v1__fetch_response__free_unpacked(back, NULL);
    }
    assert_int_equal(seen, 100);
    sentinel__v1__produce_response__free_unpacked(response, NULL);
}

static struct buffer *make_batch(enum record_codec codec, int count) {
    struct record_batch_builder builder;
    record_batch_begin(&builder);
    for (int i = 0; i < count; i++)
        record_batch_add(&builder, 1000 + i, SLICE_LITERAL("key"), SLICE_LITERAL("a value of a batch"), NULL,
                         0);
    struct buffer *batch = record_batch_finish(&builder, codec, NULL);
    record_batch_builder_release(&builder);
    return batch;
}

static void test_batches_of_every_codec(void **state) {
    (void)state;
    grpc_world_topic(&world, "batches", 1);
    for (int codec = CODEC_NONE; codec < CODEC_COUNT; codec++) {
        struct buffer *batch = make_batch((enum record_codec)codec, 10);
        Sentinel__V1__ProduceRequest request = produce_request("batches", 0);
        request.record_batch = (ProtobufCBinaryData){batch->size, batch->data};
        Sentinel__V1__ProduceResponse *response = response_of(
            grpc_world_unary(&world, PRODUCE, &request.base));
        assert_int_equal(response->results[0]->base_offset, codec * 10);
        assert_int_equal(response->results[0]->record_count, 10);
        sentinel__v1__produce_response__free_unpacked(response, NULL);
        buffer_unref(batch);
    }
    /* From inside a batch, and through the compressed ones. */
    Sentinel__V1__FetchResponse *back = fetch("batches", 0, 7);
    assert_int_equal(back->partitions[0]->n_records, 43);
    for (size_t i = 0; i < 43; i++) {
        assert_int_equal(back->partitions[0]->records[i]->offset, 7 + i);
        assert_int_equal(back->partitions[0]->records[i]->value.len, 18);
    }
    sentinel__v1__fetch_response__free_unpacked(back, NULL);
}

static void expect_refused(Sentinel__V1__ProduceRequest *request, int code, const char *reason,
                           const char *field) {
    grpc_world_expect_error(grpc_world_unary(&world, PRODUCE, &request->base), code, reason, field);
}

static void test_refusals(void **state) {
    (void)state;
    Sentinel__V1__Record record = record_of("k", "v"), *list[] = {&record};
    struct buffer *batch = make_batch(CODEC_NONE, 2);

    Sentinel__V1__ProduceRequest request = produce_request("no-such-topic", 0);
    request.n_records = 1;
    request.records = list;
    expect_refused(&request, 5, "UNKNOWN_TOPIC", "");
    request.topic = (char *)"../etc/passwd";
    expect_refused(&request, 5, "UNKNOWN_TOPIC", "");
    request.topic = (char *)"t";
    request.partition = 3;
    expect_refused(&request, 5, "UNKNOWN_TOPIC", "");
    request.partition = -1;
    expect_refused(&request, 5, "UNKNOWN_TOPIC", "");
    request.partition = 0;
    request.acks = (Sentinel__V1__Acks)9;
    expect_refused(&request, 3, "INVALID", "acks");
    request.acks = 0;
    record.timestamp_ms = INT64_MIN;
    expect_refused(&request, 3, "INVALID_TIMESTAMP", "");
    record.timestamp_ms = INT64_MAX;
    expect_refused(&request, 3, "INVALID_TIMESTAMP", "");
    record.timestamp_ms = 0;
    request.n_records = 0;
    expect_refused(&request, 3, "INVALID", "records");
    request.record_batch = (ProtobufCBinaryData){batch->size, batch->data};
    request.n_records = 1;
    expect_refused(&request, 3, "INVALID", "record_batch");
    request.n_records = 0;
    request.partition_presence_case = SENTINEL__V1__PRODUCE_REQUEST__PARTITION_PRESENCE__NOT_SET;
    expect_refused(&request, 3, "INVALID", "partition");
    request.partition_presence_case = SENTINEL__V1__PRODUCE_REQUEST__PARTITION_PRESENCE_PARTITION;
    batch->data[70] ^= 1;
    expect_refused(&request, 3, "CORRUPT_MESSAGE", "");
    batch->data[70] ^= 1;
    batch->data[16] = 1;
    expect_refused(&request, 3, "UNSUPPORTED_FORMAT", "");
    batch->data[16] = 2;
    request.record_batch.len = 20;
    expect_refused(&request, 3, "CORRUPT_MESSAGE", "");
    buffer_unref(batch);

    uint8_t *large = mem_calloc(1, 2 * MIB);
    request.record_batch = (ProtobufCBinaryData){0, NULL};
    request.n_records = 1;
    record.value = (ProtobufCBinaryData){2 * MIB, large};
    expect_refused(&request, 8, "TOO_LARGE", ""); /* above max.message.bytes */
    mem_free(large);
}

static void test_no_acks(void **state) {
    (void)state;
    grpc_world_topic(&world, "noacks", 1);
    Sentinel__V1__Record record = record_of("k", "v"), *list[] = {&record};
    Sentinel__V1__ProduceRequest request = produce_request("noacks", 0);
    request.n_records = 1;
    request.records = list;
    request.acks = SENTINEL__V1__ACKS__ACKS_NONE;
    Sentinel__V1__ProduceResponse *response = response_of(grpc_world_unary(&world, PRODUCE, &request.base));
    assert_int_equal(response->results[0]->base_offset, -1);
    sentinel__v1__produce_response__free_unpacked(response, NULL);
    grpc_world_run(&world, 100);
    Sentinel__V1__FetchResponse *back = fetch("noacks", 0, 0);
    assert_int_equal(back->partitions[0]->n_records, 1);
    sentinel__v1__fetch_response__free_unpacked(back, NULL);
}

static Sentinel__V1__ProducerIdentity init_producer(void) {
    Sentinel__V1__InitProducerRequest request = SENTINEL__V1__INIT_PRODUCER_REQUEST__INIT;
    struct grpc_world_call *call = grpc_world_unary(&world, "/sentinel.v1.ProducerService/InitProducer",
                                                    &request.base);
    assert_int_equal(call->grpc_status, 0);
    Sentinel__V1__InitProducerResponse *response = sentinel__v1__init_producer_response__unpack(
        NULL, call->messages[0].size, call->messages[0].data);
    Sentinel__V1__ProducerIdentity identity = SENTINEL__V1__PRODUCER_IDENTITY__INIT;
    identity.producer_id = response->producer->producer_id;
    identity.producer_epoch = response->producer->producer_epoch;
    sentinel__v1__init_producer_response__free_unpacked(response, NULL);
    return identity;
}

static void test_idempotence(void **state) {
    (void)state;
    grpc_world_topic(&world, "once", 1);
    Sentinel__V1__ProducerIdentity identity = init_producer(), other = init_producer();
    assert_true(identity.producer_id != other.producer_id);
    Sentinel__V1__Record record = record_of("k", "v"), *list[] = {&record, &record};
    Sentinel__V1__ProduceRequest request = produce_request("once", 0);
    request.n_records = 2;
    request.records = list;
    request.producer = &identity;
    for (int again = 0; again < 3; again++) {
        Sentinel__V1__ProduceResponse *response = response_of(
            grpc_world_unary(&world, PRODUCE, &request.base));
        assert_int_equal(response->results[0]->base_offset, 0);
        sentinel__v1__produce_response__free_unpacked(response, NULL);
    }
    request.base_sequence = 2;
    Sentinel__V1__ProduceResponse *response = response_of(grpc_world_unary(&world, PRODUCE, &request.base));
    assert_int_equal(response->results[0]->base_offset, 2);
    sentinel__v1__produce_response__free_unpacked(response, NULL);
    request.base_sequence = 20;
    expect_refused(&request, 9, "OUT_OF_ORDER_SEQUENCE", "");
    request.base_sequence = -1;
    expect_refused(&request, 3, "INVALID", "base_sequence");
    request.base_sequence = 0;
    identity.producer_epoch = 40000;
    expect_refused(&request, 3, "INVALID", "producer");
    identity.producer_epoch = 0;
    request.partition_presence_case = SENTINEL__V1__PRODUCE_REQUEST__PARTITION_PRESENCE__NOT_SET;
    expect_refused(&request, 3, "INVALID", "partition");
}

/* A call that is cancelled while its append is under way: the append goes on alone. */
static void test_cancelled_append(void **state) {
    (void)state;
    grpc_world_topic(&world, "cancelled", 1);
    Sentinel__V1__Record record = record_of("k", "v"), *list[] = {&record};
    Sentinel__V1__ProduceRequest request = produce_request("cancelled", 0);
    request.n_records = 1;
    request.records = list;
    for (int i = 0; i < 50; i++) {
        struct grpc_world_call *call = grpc_world_call(&world.client, PRODUCE, NULL);
        grpc_world_send(call, &request.base);
        for (int step = 0; step < i; step++)
            io_sim_step(world.sim);
        grpc_world_cancel(call);
    }
    grpc_world_run(&world, 1000);
    Sentinel__V1__FetchResponse *back = fetch("cancelled", 0, 0);
    assert_in_range(back->partitions[0]->n_records, 1, 50);
    sentinel__v1__fetch_response__free_unpacked(back, NULL);
}

/* ---- streams ------------------------------------------------------------------------------------------- */

static void send_open(struct grpc_world_call *call, const char *topic, Sentinel__V1__Acks acks) {
    Sentinel__V1__ProduceStreamOpen open = SENTINEL__V1__PRODUCE_STREAM_OPEN__INIT;
    open.topic = (char *)(uintptr_t)topic;
    open.acks = acks;
    Sentinel__V1__ProduceStreamRequest request = SENTINEL__V1__PRODUCE_STREAM_REQUEST__INIT;
    request.message_case = SENTINEL__V1__PRODUCE_STREAM_REQUEST__MESSAGE_OPEN;
    request.open = &open;
    grpc_world_send(call, &request.base);
}

static void send_batch(struct grpc_world_call *call, uint64_t sequence, int partition, size_t size) {
    uint8_t *value = mem_calloc(1, size);
    Sentinel__V1__Record record = record_of(NULL, ""), *list[] = {&record};
    record.value = (ProtobufCBinaryData){size, value};
    Sentinel__V1__ProduceStreamBatch batch = SENTINEL__V1__PRODUCE_STREAM_BATCH__INIT;
    batch.sequence = sequence;
    batch.n_records = 1;
    batch.records = list;
    if (partition != -1) {
        batch.partition_presence_case = SENTINEL__V1__PRODUCE_STREAM_BATCH__PARTITION_PRESENCE_PARTITION;
        batch.partition = partition;
    }
    Sentinel__V1__ProduceStreamRequest request = SENTINEL__V1__PRODUCE_STREAM_REQUEST__INIT;
    request.message_case = SENTINEL__V1__PRODUCE_STREAM_REQUEST__MESSAGE_BATCH;
    request.batch = &batch;
    grpc_world_send(call, &request.base);
    mem_free(value);
}

static Sentinel__V1__ProduceStreamResponse *stream_response(const struct grpc_world_call *call,
                                                            size_t index) {
    assert_true(index < call->message_count);
    Sentinel__V1__ProduceStreamResponse *response = sentinel__v1__produce_stream_response__unpack(
        NULL, call->messages[index].size, call->messages[index].data);
    assert_non_null(response);
    return response;
}

/* Acknowledgements come in the order of the batches, also when a refused one stands between two good ones. */
static void test_stream(void **state) {
    (void)state;
    grpc_world_topic(&world, "stream", 3);
    struct grpc_world_call *call = grpc_world_call(&world.client, STREAM, NULL);
    send_open(call, "stream", 0);
    for (int i = 0; i < 60; i++)
        send_batch(call, 100 + (uint64_t)i, i % 10 == 9 ? 7 : i % 3, 1000); /* partition 7 is none */
    grpc_world_finish(call);
    grpc_world_await(&world, call);
    assert_int_equal(call->grpc_status, 0);
    assert_int_equal(call->message_count, 61);
    Sentinel__V1__ProduceStreamResponse *opened = stream_response(call, 0);
    assert_int_equal(opened->opened->partition_count, 3);
    assert_true(opened->opened->message_bytes_max > 0);
    sentinel__v1__produce_stream_response__free_unpacked(opened, NULL);
    int64_t next[3] = {0};
    for (int i = 0; i < 60; i++) {
        Sentinel__V1__ProduceStreamResponse *response = stream_response(call, 1 + (size_t)i);
        assert_int_equal(response->ack->sequence, 100 + i);
        assert_int_equal(response->ack->n_results, 1);
        Sentinel__V1__AppendResult *result = response->ack->results[0];
        if (i % 10 == 9) {
            assert_int_equal(result->error->code, 5);
            assert_int_equal(result->base_offset, -1);
        } else {
            assert_null(result->error);
            assert_int_equal(result->base_offset, next[i % 3]++);
        }
        sentinel__v1__produce_stream_response__free_unpacked(response, NULL);
    }
}

static void test_stream_without_acks(void **state) {
    (void)state;
    grpc_world_topic(&world, "stream0", 1);
    struct grpc_world_call *call = grpc_world_call(&world.client, STREAM, NULL);
    send_open(call, "stream0", SENTINEL__V1__ACKS__ACKS_NONE);
    for (int i = 0; i < 20; i++)
        send_batch(call, (uint64_t)i, 0, 100);
    grpc_world_finish(call);
    grpc_world_await(&world, call);
    assert_int_equal(call->grpc_status, 0);
    assert_int_equal(call->message_count, 21);
    Sentinel__V1__FetchResponse *back = fetch("stream0", 0, 0);
    assert_int_equal(back->partitions[0]->n_records, 20);
    sentinel__v1__fetch_response__free_unpacked(back, NULL);
}

static void test_stream_misuse(void **state) {
    (void)state;
    struct grpc_world_call *call = grpc_world_call(&world.client, STREAM, NULL);
    send_batch(call, 0, 0, 10);
    grpc_world_await(&world, call);
    grpc_world_expect_error(call, 3, "INVALID", "open");
    call = grpc_world_call(&world.client, STREAM, NULL);
    send_open(call, "t", 0);
    send_open(call, "t", 0);
    grpc_world_await(&world, call);
    grpc_world_expect_error(call, 3, "INVALID", "open");
    call = grpc_world_call(&world.client, STREAM, NULL);
    send_open(call, "none", 0);
    grpc_world_await(&world, call);
    grpc_world_expect_error(call, 5, "UNKNOWN_TOPIC", "");
    call = grpc_world_call(&world.client, STREAM, NULL);
    send_open(call, "t", 0);
    send_batch(call, 5, 0, 10);
    send_batch(call, 7, 0, 10);
    grpc_world_await(&world, call);
    grpc_world_expect_error(call, 3, "INVALID", "batch.sequence");
    call = grpc_world_call(&world.client, STREAM, NULL);
    grpc_world_send_raw(call, slice_make("\0\0\0\0\0", 5)); /* an empty message */
    grpc_world_await(&world, call);
    grpc_world_expect_error(call, 3, "MALFORMED", "");
    call = grpc_world_call(&world.client, STREAM, NULL);
    grpc_world_finish(call); /* nothing at all */
    grpc_world_await(&world, call);
    assert_int_equal(call->grpc_status, 0);
}

/* A client that sends and never reads the acknowledgements is stopped by its own window, and stops nobody
 * else. */
static void test_stream_client_that_does_not_read(void **state) {
    (void)state;
    grpc_world_topic(&world, "deaf", 1);
    struct grpc_world_client other;
    grpc_world_connect(&world, &other);
    struct grpc_world_call *call = grpc_world_call(&other, STREAM, NULL);
    call->keep = call->discard = true;
    send_open(call, "deaf", SENTINEL__V1__ACKS__ACKS_NONE);
    int sent = 0;
    for (; sent < 400000 && http2_session_queued(other.session) < 4 * MIB; sent++) {
        send_batch(call, (uint64_t)sent, 0, 1);
        if (sent % 500 == 0) grpc_world_run(&world, 20);
    }
    grpc_world_run(&world, 2000);
    assert_true(http2_session_queued(other.session) >= 4 * MIB); /* the server took no more */
    size_t unread = call->bytes;
    assert_true(unread <= HTTP2_STREAM_WINDOW);
    Sentinel__V1__Record record = record_of("k", "v"), *list[] = {&record};
    Sentinel__V1__ProduceRequest request = produce_request("t", 0);
    request.n_records = 1;
    request.records = list;
    sentinel__v1__produce_response__free_unpacked(
        response_of(grpc_world_unary(&world, PRODUCE, &request.base)), NULL);
    grpc_world_disconnect(&world, &other);
}

/* Batches larger than all windows together, and acknowledged all the same. */
static void test_stream_of_large_batches(void **state) {
    (void)state;
    grpc_world_topic(&world, "large", 2);
    struct grpc_world_call *call = grpc_world_call(&world.client, STREAM, NULL);
    send_open(call, "large", 0);
    for (int i = 0; i < 40; i++)
        send_batch(call, (uint64_t)i, i % 2, 900 * KIB);
    grpc_world_finish(call);
    grpc_world_await(&world, call);
    assert_int_equal(call->grpc_status, 0);
    assert_int_equal(call->message_count, 41);
    Sentinel__V1__ProduceStreamResponse *last = stream_response(call, 40);
    assert_int_equal(last->ack->results[0]->base_offset, 19);
    sentinel__v1__produce_stream_response__free_unpacked(last, NULL);
}

static void test_stream_cancelled(void **state) {
    (void)state;
    grpc_world_topic(&world, "gone", 1);
    for (int i = 0; i < 30; i++) {
        struct grpc_world_call *call = grpc_world_call(&world.client, STREAM, i % 2 == 0 ? NULL : "5m");
        send_open(call, "gone", 0);
        for (int k = 0; k < 20; k++)
            send_batch(call, (uint64_t)k, 0, 5000);
        for (int step = 0; step < i * 3; step++)
            io_sim_step(world.sim);
        if (i % 2 == 0) grpc_world_cancel(call);
    }
    grpc_world_run(&world, 2000);
    for (size_t i = 0; i < world.client.call_count; i++)
        assert_true(world.client.calls[i]->closed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_null_empty_headers_timestamps, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(test_routing, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(test_batches_of_every_codec, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(test_refusals, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(test_no_acks, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(test_idempotence, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(test_cancelled_append, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(test_stream, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(test_stream_without_acks, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(test_stream_misuse, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(test_stream_client_that_does_not_read, open_world,
                                        grpc_world_teardown),
        cmocka_unit_test_setup_teardown(test_stream_of_large_batches, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(test_stream_cancelled, open_world, grpc_world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
