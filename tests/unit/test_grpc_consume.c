// SPDX-License-Identifier: Apache-2.0
/* Reading over gRPC: Fetch and Consume. */
#include "lib/test.h"

#include <stdio.h>

#include "base/mem.h"
#include "lib/grpc_world.h"
#include "sentinel/v1/consumer_service.pb-c.h"
#include "sentinel/v1/producer_service.pb-c.h"
#include "sentinel/v1/topic_service.pb-c.h"
#include "server/grpc_call.h"
#include "wire/record_batch.h"

#define CONSUME "/sentinel.v1.ConsumerService/Consume"
#define FETCH   "/sentinel.v1.ConsumerService/Fetch"

static struct grpc_world world;

static int open_world(void **state) {
    grpc_world_open(&world, 1);
    *state = &world;
    return 0;
}

/* `count` records of `size` bytes from `first`, in one batch; each value begins with its number. */
static void produce(const char *topic, int partition, int first, int count, size_t size,
                    enum record_codec codec) {
    struct record_batch_builder builder;
    record_batch_begin(&builder);
    uint8_t *value = mem_calloc(1, size);
    for (int i = 0; i < count; i++) {
        store_be32(value, (uint32_t)(first + i));
        record_batch_add(&builder, 1000 + first + i, SLICE_EMPTY, slice_make(value, size), NULL, 0);
    }
    mem_free(value);
    struct buffer *batch = record_batch_finish(&builder, codec, NULL);
    record_batch_builder_release(&builder);
    Sentinel__V1__ProduceRequest request = SENTINEL__V1__PRODUCE_REQUEST__INIT;
    request.topic = (char *)(uintptr_t)topic;
    request.partition_presence_case = SENTINEL__V1__PRODUCE_REQUEST__PARTITION_PRESENCE_PARTITION;
    request.partition = partition;
    request.record_batch = (ProtobufCBinaryData){batch->size, batch->data};
    assert_int_equal(
        grpc_world_unary(&world, "/sentinel.v1.ProducerService/Produce", &request.base)->grpc_status, 0);
    buffer_unref(batch);
}

/* ---- Fetch --------------------------------------------------------------------------------------------- */

static struct grpc_world_call *start_fetch(const char *topic, int64_t offset, int max_bytes, int min_bytes,
                                           int max_wait_ms, const char *timeout) {
    Sentinel__V1__FetchPartition from = SENTINEL__V1__FETCH_PARTITION__INIT, *list[] = {&from};
    from.topic = (char *)(uintptr_t)topic;
    from.offset = offset;
    Sentinel__V1__FetchRequest request = SENTINEL__V1__FETCH_REQUEST__INIT;
    request.n_partitions = 1;
    request.partitions = list;
    request.max_bytes = max_bytes;
    request.min_bytes = min_bytes;
    request.max_wait_ms = max_wait_ms;
    struct grpc_world_call *call = grpc_world_call(&world.client, FETCH, timeout);
    grpc_world_send(call, &request.base);
    grpc_world_finish(call);
    return call;
}

static Sentinel__V1__FetchResponse *fetched(struct grpc_world_call *call) {
    grpc_world_await(&world, call);
    assert_int_equal(call->grpc_status, 0);
    Sentinel__V1__FetchResponse *response = sentinel__v1__fetch_response__unpack(NULL, call->messages[0].size,
                                                                                 call->messages[0].data);
    assert_non_null(response);
    return response;
}

static void test_fetch_in_parts(void **state) {
    (void)state;
    grpc_world_topic(&world, "t", 1);
    for (int i = 0; i < 10; i++)
        produce("t", 0, i * 10, 10, 1000, i % 2 == 0 ? CODEC_NONE : CODEC_LZ4);
    int64_t next = 0;
    for (int rounds = 0; next < 100; rounds++) {
        assert_true(rounds < 100);
        Sentinel__V1__FetchResponse *response = fetched(start_fetch("t", next, 3500, 1, 0, NULL));
        Sentinel__V1__FetchedPartition *part = response->partitions[0];
        assert_in_range(part->n_records, 1, 4); /* never more than fits, never nothing */
        for (size_t i = 0; i < part->n_records; i++) {
            assert_int_equal(part->records[i]->offset, next);
            assert_int_equal(load_be32(part->records[i]->value.data), next);
            next++;
        }
        assert_int_equal(part->next_offset, next);
        sentinel__v1__fetch_response__free_unpacked(response, NULL);
    }
}

static void test_fetch_waits(void **state) {
    (void)state;
    grpc_world_topic(&world, "t", 1);
    uint64_t before = io_sim_now(world.sim);
    Sentinel__V1__FetchResponse *response = fetched(start_fetch("t", 0, 0, 0, 400, NULL));
    assert_int_equal(response->partitions[0]->n_records, 0);
    assert_in_range((io_sim_now(world.sim) - before) / NS_PER_MS, 400, 420);
    sentinel__v1__fetch_response__free_unpacked(response, NULL);

    /* The deadline is near: an empty answer in time, not DEADLINE_EXCEEDED. */
    before = io_sim_now(world.sim);
    response = fetched(start_fetch("t", 0, 0, 0, 5000, "300m"));
    assert_in_range((io_sim_now(world.sim) - before) / NS_PER_MS, 240, 290);
    sentinel__v1__fetch_response__free_unpacked(response, NULL);

    /* Something comes while it waits. */
    struct grpc_world_call *call = start_fetch("t", 0, 0, 0, 5000, NULL);
    grpc_world_run(&world, 50);
    assert_false(call->closed);
    produce("t", 0, 0, 3, 10, CODEC_NONE);
    before = io_sim_now(world.sim);
    response = fetched(call);
    assert_int_equal(response->partitions[0]->n_records, 3);
    assert_true(io_sim_now(world.sim) - before < 20 * NS_PER_MS);
    sentinel__v1__fetch_response__free_unpacked(response, NULL);

    call = start_fetch("t", 3, 0, 0, 5000, NULL);
    grpc_world_run(&world, 50);
    grpc_world_cancel(call);
    produce("t", 0, 3, 3, 10, CODEC_NONE);
}

static void test_fetch_errors(void **state) {
    (void)state;
    grpc_world_topic(&world, "t", 1);
    Sentinel__V1__FetchResponse *response = fetched(start_fetch("none", 0, 0, 0, 0, NULL));
    assert_int_equal(response->partitions[0]->error->code, 5);
    sentinel__v1__fetch_response__free_unpacked(response, NULL);
    response = fetched(start_fetch("t", 7, 0, 0, 0, NULL));
    assert_int_equal(response->partitions[0]->error->code, 11); /* OUT_OF_RANGE */
    sentinel__v1__fetch_response__free_unpacked(response, NULL);
    struct grpc_world_call *call = start_fetch("t", -1, 0, 0, 0, NULL);
    grpc_world_await(&world, call);
    grpc_world_expect_error(call, 3, "INVALID", "partitions[0]");
    call = start_fetch("t", 0, -1, 0, 0, NULL);
    grpc_world_await(&world, call);
    grpc_world_expect_error(call, 3, "INVALID", "max_bytes");
    call = start_fetch("t", 0, 0, 0, -1, NULL);
    grpc_world_await(&world, call);
    grpc_world_expect_error(call, 3, "INVALID", "max_wait_ms");
}

/* ---- Consume ------------------------------------------------------------------------------------------- */

static void send_request(struct grpc_world_call *call, Sentinel__V1__ConsumeRequest__MessageCase which,
                         void *message) {
    Sentinel__V1__ConsumeRequest request = SENTINEL__V1__CONSUME_REQUEST__INIT;
    request.message_case = which;
    request.start = message; /* the same place in the union for all */
    grpc_world_send(call, &request.base);
}
#define SEND(call, name, message) send_request(call, SENTINEL__V1__CONSUME_REQUEST__MESSAGE_##name, message)

static void credit(struct grpc_world_call *call, int64_t records, int64_t bytes) {
    Sentinel__V1__ConsumeCredit more = SENTINEL__V1__CONSUME_CREDIT__INIT;
    more.records = records;
    more.bytes = bytes;
    SEND(call, CREDIT, &more);
}

static struct grpc_world_call *subscribe(const char *topic, Sentinel__V1__StartPosition *start,
                                         Sentinel__V1__RecordFormat format, int64_t records, int64_t bytes) {
    Sentinel__V1__ConsumeTopic from = SENTINEL__V1__CONSUME_TOPIC__INIT, *list[] = {&from};
    from.topic = (char *)(uintptr_t)topic;
    from.start = start;
    Sentinel__V1__ConsumeCredit granted = SENTINEL__V1__CONSUME_CREDIT__INIT;
    granted.records = records;
    granted.bytes = bytes;
    Sentinel__V1__ConsumeStart message = SENTINEL__V1__CONSUME_START__INIT;
    message.n_topics = 1;
    message.topics = list;
    message.format = format;
    message.credit = records == 0 && bytes == 0 ? NULL : &granted;
    struct grpc_world_call *call = grpc_world_call(&world.client, CONSUME, NULL);
    SEND(call, START, &message);
    return call;
}

static Sentinel__V1__StartPosition anchor(Sentinel__V1__Anchor where) {
    Sentinel__V1__StartPosition start = SENTINEL__V1__START_POSITION__INIT;
    start.position_case = SENTINEL__V1__START_POSITION__POSITION_ANCHOR;
    start.anchor = where;
    return start;
}
static Sentinel__V1__StartPosition at_offset(int64_t offset) {
    Sentinel__V1__StartPosition start = SENTINEL__V1__START_POSITION__INIT;
    start.position_case = SENTINEL__V1__START_POSITION__POSITION_OFFSET;
    start.offset = offset;
    return start;
}

/* What a subscription has sent so far. */
struct consumed {
    int started, progress;
    int64_t records, bytes, next_value;         /* values come in order */
    int64_t last_position, last_high_watermark; /* of the last Progress, first partition */
    size_t read;                                /* messages of the call */
    bool in_order;
};

static void take_records(struct consumed *consumed, const Sentinel__V1__ConsumeRecords *records) {
    for (size_t i = 0; i < records->n_records; i++) {
        int64_t value = load_be32(records->records[i]->value.data);
        if (value != consumed->next_value) consumed->in_order = false;
        consumed->next_value = value + 1;
        consumed->records++;
        consumed->bytes += (int64_t)sentinel__v1__record__get_packed_size(records->records[i]);
    }
    for (size_t i = 0; i < records->n_record_batches; i++) {
        struct record_batch batch;
        struct slice bytes = slice_make(records->record_batches[i].data, records->record_batches[i].len);
        assert_status(record_batch_read(bytes, &batch), STATUS_OK);
        consumed->records += batch.record_count;
        consumed->bytes += (int64_t)bytes.size;
        consumed->next_value = record_batch_last_offset(&batch) + 1;
    }
}

static void take(struct consumed *consumed, struct grpc_world_call *call) {
    for (; consumed->read < call->message_count; consumed->read++) {
        struct slice message = call->messages[consumed->read];
        Sentinel__V1__ConsumeResponse *response = sentinel__v1__consume_response__unpack(NULL, message.size,
                                                                                         message.data);
        assert_non_null(response);
        switch (response->message_case) {
        case SENTINEL__V1__CONSUME_RESPONSE__MESSAGE_STARTED:
            consumed->started++;
            consumed->last_position = response->started->partitions[0]->position;
            consumed->last_high_watermark = response->started->partitions[0]->high_watermark;
            break;
        case SENTINEL__V1__CONSUME_RESPONSE__MESSAGE_RECORDS:
            assert_int_equal(consumed->started, 1);
            take_records(consumed, response->records);
            break;
        case SENTINEL__V1__CONSUME_RESPONSE__MESSAGE_PROGRESS:
            consumed->progress++;
            consumed->last_position = response->progress->partitions[0]->position;
            consumed->last_high_watermark = response->progress->partitions[0]->high_watermark;
            break;
        default:
            fail();
        }
        sentinel__v1__consume_response__free_unpacked(response, NULL);
    }
}

static struct consumed consume_for(struct grpc_world_call *call, uint64_t ms) {
    struct consumed consumed = {.in_order = true};
    grpc_world_run(&world, ms);
    take(&consumed, call);
    return consumed;
}

/* Exactly what was granted, never a record more; and the rest when more is granted. */
static void test_credit_in_records(void **state) {
    (void)state;
    grpc_world_topic(&world, "t", 1);
    for (int i = 0; i < 10; i++)
        produce("t", 0, i * 10, 10, 100, i % 2 == 0 ? CODEC_NONE : CODEC_ZSTD);
    Sentinel__V1__StartPosition start = anchor(SENTINEL__V1__ANCHOR__ANCHOR_EARLIEST);
    struct grpc_world_call *call = subscribe("t", &start, 0, 0, 0);
    struct consumed consumed = consume_for(call, 100);
    assert_int_equal(consumed.started, 1);
    assert_int_equal(consumed.last_position, 0);
    assert_int_equal(consumed.last_high_watermark, 100);
    assert_int_equal(consumed.records, 0);
    credit(call, 7, 1 << 20);
    assert_int_equal(consume_for(call, 100).records, 7);
    credit(call, 0, 1 << 20);
    assert_int_equal(consume_for(call, 100).records, 7);
    credit(call, 80, 0);
    assert_int_equal(consume_for(call, 100).records, 87);
    credit(call, 100, 0);
    consumed = consume_for(call, 100);
    assert_int_equal(consumed.records, 100);
    assert_true(consumed.in_order);
    assert_int_equal(consumed.progress, 1); /* caught up, said once */
    assert_int_equal(consumed.last_position, 100);
    produce("t", 0, 100, 20, 100, CODEC_NONE);
    consumed = consume_for(call, 100);
    assert_int_equal(consumed.records, 120);
    assert_int_equal(consumed.progress, 2);
    credit(call, -1, 0);
    grpc_world_await(&world, call);
    grpc_world_expect_error(call, 3, "INVALID", "credit");
}

/* Bytes go below zero by at most one record, and that debt is paid first. */
static void test_credit_in_bytes(void **state) {
    (void)state;
    grpc_world_topic(&world, "t", 1);
    for (int i = 0; i < 10; i++)
        produce("t", 0, i * 10, 10, 1000, CODEC_NONE);
    Sentinel__V1__StartPosition start = anchor(SENTINEL__V1__ANCHOR__ANCHOR_EARLIEST);
    struct grpc_world_call *call = subscribe("t", &start, 0, 1000, 1);
    int64_t granted = 1;
    while (granted < 120000) {
        struct consumed consumed = consume_for(call, 10);
        assert_true(consumed.in_order);
        assert_true(consumed.bytes >= MIN(granted, consumed.records == 100 ? 0 : granted));
        assert_true(consumed.bytes < granted + 1100);
        credit(call, 0, 700);
        granted += 700;
    }
    assert_int_equal(consume_for(call, 10).records, 100);
}

static void test_batches(void **state) {
    (void)state;
    grpc_world_topic(&world, "t", 1);
    for (int i = 0; i < 10; i++)
        produce("t", 0, i * 10, 10, 1000, (enum record_codec)(i % CODEC_COUNT));
    Sentinel__V1__StartPosition start = at_offset(35);
    struct grpc_world_call *call = subscribe("t", &start, SENTINEL__V1__RECORD_FORMAT__RECORD_FORMAT_BATCHES,
                                             1, 1 << 20);
    struct consumed consumed = consume_for(call, 100);
    assert_int_equal(consumed.records, 10); /* one whole batch, which begins before the offset */
    assert_int_equal(consumed.next_value, 40);
    credit(call, 1000, 0);
    consumed = consume_for(call, 100);
    assert_int_equal(consumed.records, 70);
    assert_int_equal(consumed.next_value, 100);
    assert_int_equal(consumed.last_position, 100);
}

/* A client that does not read: no more is taken from the log than its window and the send queue hold; when it
 * reads again everything comes. */
static void test_client_that_does_not_read(void **state) {
    (void)state;
    grpc_world_topic(&world, "t", 1);
    for (int i = 0; i < 10; i++)
        produce("t", 0, i * 10, 10, 90 * KIB, CODEC_NONE);
    size_t before = buffer_bytes_live();
    Sentinel__V1__StartPosition start = anchor(SENTINEL__V1__ANCHOR__ANCHOR_EARLIEST);
    struct grpc_world_call *call = subscribe("t", &start, 0, 1 << 20, INT64_MAX);
    call->keep = true;
    grpc_world_run(&world, 1000);
    assert_in_range(call->bytes, HTTP2_STREAM_WINDOW - 16384, HTTP2_STREAM_WINDOW);
    assert_true(buffer_bytes_live() - before < 4 * MIB);
    /* Others are served meanwhile. */
    sentinel__v1__fetch_response__free_unpacked(fetched(start_fetch("t", 0, 0, 0, 0, NULL)), NULL);
    call->keep = false;
    http2_consume(call->stream, call->bytes);
    credit(call, 1, 1); /* makes the client send its window update */
    struct consumed consumed = consume_for(call, 2000);
    assert_int_equal(consumed.records, 100);
    assert_true(consumed.in_order);
}

/* Streams that are not read, or give no more credit, hold up no other one of their connection. */
static void test_slow_streams_hold_up_nobody(void **state) {
    (void)state;
    grpc_world_topic(&world, "t", 1);
    for (int i = 0; i < 40; i++)
        produce("t", 0, i * 10, 10, 90 * KIB, CODEC_NONE);
    Sentinel__V1__StartPosition start = anchor(SENTINEL__V1__ANCHOR__ANCHOR_EARLIEST);
    /* What is not read lies in half of the client's own window for the connection, at most. */
    struct grpc_world_call *unread[3], *poor[3];
    for (size_t i = 0; i < ARRAY_COUNT(unread); i++) {
        unread[i] = subscribe("t", &start, 0, 1 << 20, INT64_MAX);
        unread[i]->keep = true;
        poor[i] = subscribe("t", &start, 0, 1, INT64_MAX);
    }
    grpc_world_run(&world, 1000);
    struct grpc_world_call *reading = subscribe("t", &start, 0, 1 << 20, INT64_MAX);
    struct consumed consumed = consume_for(reading, 2000);
    assert_int_equal(consumed.records, 400);
    assert_true(consumed.in_order);
    for (size_t i = 0; i < ARRAY_COUNT(unread); i++) {
        assert_true(unread[i]->bytes <= HTTP2_STREAM_WINDOW);
        struct consumed little = consume_for(poor[i], 0);
        assert_int_equal(little.records, 1);
    }
}

static void test_positions(void **state) {
    (void)state;
    grpc_world_topic(&world, "t", 1);
    produce("t", 0, 0, 50, 100, CODEC_NONE); /* times 1000..1049 */
    Sentinel__V1__StartPosition start = SENTINEL__V1__START_POSITION__INIT;
    start.position_case = SENTINEL__V1__START_POSITION__POSITION_TIMESTAMP_MS;
    start.timestamp_ms = 1030;
    struct grpc_world_call *call = subscribe("t", &start, 0, 1000, 1 << 20);
    struct consumed consumed = consume_for(call, 100);
    assert_int_equal(consumed.records, 20);
    start.timestamp_ms = 5000; /* after everything: the end */
    call = subscribe("t", &start, 0, 1000, 1 << 20);
    consumed = consume_for(call, 100);
    assert_int_equal(consumed.records, 0);
    assert_int_equal(consumed.last_position, 50);
    call = subscribe("t", NULL, 0, 1000, 1 << 20); /* latest */
    produce("t", 0, 50, 5, 100, CODEC_NONE);
    consumed = consume_for(call, 100);
    assert_int_equal(consumed.records, 5);
    start = at_offset(1000);
    call = subscribe("t", &start, 0, 1000, 1 << 20);
    grpc_world_await(&world, call);
    grpc_world_expect_error(call, 11, "OFFSET_OUT_OF_RANGE", "");
    start = at_offset(-4);
    call = subscribe("t", &start, 0, 1000, 1 << 20);
    grpc_world_await(&world, call);
    grpc_world_expect_error(call, 3, "INVALID", "start");
}

static void test_seek_pause_resume(void **state) {
    (void)state;
    grpc_world_topic(&world, "t", 1);
    produce("t", 0, 0, 50, 100, CODEC_GZIP);
    Sentinel__V1__StartPosition start = anchor(SENTINEL__V1__ANCHOR__ANCHOR_EARLIEST);
    struct grpc_world_call *call = subscribe("t", &start, 0, 10, 1 << 20);
    assert_int_equal(consume_for(call, 100).records, 10);
    Sentinel__V1__ConsumeSeek seek = SENTINEL__V1__CONSUME_SEEK__INIT;
    Sentinel__V1__StartPosition to = at_offset(45);
    seek.topic = (char *)"t";
    seek.start = &to;
    SEND(call, SEEK, &seek);
    credit(call, 1000, 0);
    struct consumed consumed = consume_for(call, 100);
    assert_int_equal(consumed.records, 15);
    assert_int_equal(consumed.next_value, 50);
    assert_int_equal(consumed.last_position, 50);

    Sentinel__V1__ConsumePause pause = SENTINEL__V1__CONSUME_PAUSE__INIT;
    SEND(call, PAUSE, &pause);
    grpc_world_run(&world, 50);
    produce("t", 0, 50, 7, 100, CODEC_NONE);
    assert_int_equal(consume_for(call, 100).records, 15);
    Sentinel__V1__ConsumeResume resume = SENTINEL__V1__CONSUME_RESUME__INIT;
    SEND(call, RESUME, &resume);
    consumed = consume_for(call, 100);
    assert_int_equal(consumed.records, 22);
    assert_int_equal(consumed.next_value, 57);
    seek.partition = 9;
    SEND(call, SEEK, &seek);
    grpc_world_await(&world, call);
    grpc_world_expect_error(call, 3, "INVALID", "seek");
}

static void test_progress_while_idle(void **state) {
    (void)state;
    grpc_world_topic(&world, "t", 1);
    struct grpc_world_call *call = subscribe("t", NULL, 0, 10, 1000);
    struct consumed consumed = consume_for(call, 60000);
    assert_in_range(consumed.progress, 10, 13); /* every five seconds */
    assert_false(call->closed);
}

/* Half-closing says that no more credit comes: the call ends when what was granted is used up. */
static void test_half_close(void **state) {
    (void)state;
    grpc_world_topic(&world, "t", 1);
    produce("t", 0, 0, 50, 100, CODEC_NONE);
    Sentinel__V1__StartPosition start = anchor(SENTINEL__V1__ANCHOR__ANCHOR_EARLIEST);
    struct grpc_world_call *call = subscribe("t", &start, 0, 20, 1 << 20);
    grpc_world_finish(call);
    grpc_world_await(&world, call);
    assert_int_equal(call->grpc_status, 0);
    struct consumed consumed = {.in_order = true};
    take(&consumed, call);
    assert_int_equal(consumed.records, 20);
}

static void test_misuse(void **state) {
    (void)state;
    grpc_world_topic(&world, "t", 2);
    struct grpc_world_call *call = grpc_world_call(&world.client, CONSUME, NULL);
    credit(call, 1, 1);
    grpc_world_await(&world, call);
    grpc_world_expect_error(call, 3, "INVALID", "start");
    call = subscribe("none", NULL, 0, 1, 1);
    grpc_world_await(&world, call);
    grpc_world_expect_error(call, 5, "UNKNOWN_TOPIC", "");
    Sentinel__V1__ConsumeStart start = SENTINEL__V1__CONSUME_START__INIT;
    call = grpc_world_call(&world.client, CONSUME, NULL);
    SEND(call, START, &start);
    grpc_world_await(&world, call);
    grpc_world_expect_error(call, 3, "INVALID", "start.topics");
    Sentinel__V1__ConsumePartition twice = SENTINEL__V1__CONSUME_PARTITION__INIT,
                                   *partitions[] = {&twice, &twice};
    Sentinel__V1__ConsumeTopic topic = SENTINEL__V1__CONSUME_TOPIC__INIT, *topics[] = {&topic, &topic};
    topic.topic = (char *)"t";
    topic.n_partitions = 2;
    topic.partitions = partitions;
    start.n_topics = 1;
    start.topics = topics;
    call = grpc_world_call(&world.client, CONSUME, NULL);
    SEND(call, START, &start);
    grpc_world_await(&world, call);
    grpc_world_expect_error(call, 3, "INVALID", "start.topics");
    topic.n_partitions = 0;
    start.n_topics = 2;
    call = grpc_world_call(&world.client, CONSUME, NULL);
    SEND(call, START, &start);
    grpc_world_await(&world, call);
    grpc_world_expect_error(call, 3, "INVALID", "start.topics");
    start.n_topics = 1;
    call = grpc_world_call(&world.client, CONSUME, NULL);
    SEND(call, START, &start);
    SEND(call, START, &start);
    grpc_world_await(&world, call);
    grpc_world_expect_error(call, 3, "INVALID", "start");
}

/* The topic goes away under a subscription; a topic of many partitions is read whole. */
static void test_many_partitions_and_deletion(void **state) {
    (void)state;
    grpc_world_topic(&world, "t", 20);
    for (int i = 0; i < 20; i++)
        produce("t", i, 0, 5, 100, CODEC_NONE);
    Sentinel__V1__StartPosition start = anchor(SENTINEL__V1__ANCHOR__ANCHOR_EARLIEST);
    struct grpc_world_call *call = subscribe("t", &start, 0, 1000, 1 << 20);
    assert_int_equal(consume_for(call, 200).records, 100);
    Sentinel__V1__DeleteTopicRequest request = SENTINEL__V1__DELETE_TOPIC_REQUEST__INIT;
    request.name = (char *)"t";
    assert_int_equal(
        grpc_world_unary(&world, "/sentinel.v1.TopicService/DeleteTopic", &request.base)->grpc_status, 0);
    grpc_world_await(&world, call);
    grpc_world_expect_error(call, 5, "UNKNOWN_TOPIC", "");
}

/* Cancelled at every point of its life. */
static void test_cancellation(void **state) {
    (void)state;
    grpc_world_topic(&world, "t", 3);
    for (int i = 0; i < 3; i++)
        produce("t", i, 0, 50, 1000, CODEC_LZ4);
    Sentinel__V1__StartPosition start = anchor(SENTINEL__V1__ANCHOR__ANCHOR_EARLIEST);
    for (int i = 0; i < 60; i++) {
        struct grpc_world_call *call = subscribe("t", &start, 0, i * 3, 1 << 20);
        for (int step = 0; step < i; step++)
            io_sim_step(world.sim);
        grpc_world_cancel(call);
        if (i % 10 == 0) grpc_world_run(&world, 5);
    }
    grpc_world_run(&world, 1000);
    for (size_t i = 0; i < world.client.call_count; i++)
        assert_true(world.client.calls[i]->closed);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_fetch_in_parts, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(test_fetch_waits, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(test_fetch_errors, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(test_credit_in_records, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(test_credit_in_bytes, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(test_batches, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(test_client_that_does_not_read, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(test_slow_streams_hold_up_nobody, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(test_positions, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(test_seek_pause_resume, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(test_progress_while_idle, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(test_half_close, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(test_misuse, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(test_many_partitions_and_deletion, open_world, grpc_world_teardown),
        cmocka_unit_test_setup_teardown(test_cancellation, open_world, grpc_world_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
