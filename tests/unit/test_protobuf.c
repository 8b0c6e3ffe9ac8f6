// SPDX-License-Identifier: Apache-2.0
/* What is written by hand is read by the generated code, and the other way round. */
#include "lib/test.h"

#include "base/mem.h"
#include "base/prng.h"
#include "sentinel/v1/consumer_service.pb-c.h"
#include "sentinel/v1/producer_service.pb-c.h"
#include "wire/protobuf_produce.h"
#include "wire/protobuf_record.h"

static void test_fields(void **state) {
    (void)state;
    struct writer w;
    writer_init(&w);
    protobuf_write_value(&w, 1, 150);
    protobuf_write_value(&w, 2, 0); /* the default is not written */
    protobuf_write_bytes(&w, 3, SLICE_LITERAL("testing"));
    protobuf_write_text(&w, 4, SLICE_EMPTY);
    protobuf_write_bytes(&w, 500, SLICE_EMPTY);
    protobuf_write_tag(&w, 6, PROTOBUF_FIXED32);
    writer_le32(&w, 7);
    protobuf_write_tag(&w, 8, PROTOBUF_FIXED64);
    writer_le64(&w, UINT64_MAX);
    assert_memory_equal(w.data, "\x08\x96\x01\x1a\x07testing", 12);
    struct reader r = reader_make(writer_slice(&w));
    struct protobuf_field f;
    assert_true(protobuf_next(&r, &f));
    assert_true(protobuf_is(&f, 1, PROTOBUF_VARINT));
    assert_int_equal(f.value, 150);
    assert_true(protobuf_next(&r, &f));
    assert_true(protobuf_is(&f, 3, PROTOBUF_BYTES));
    assert_slice_equal(f.bytes, SLICE_LITERAL("testing"));
    assert_true(protobuf_next(&r, &f));
    assert_true(protobuf_is(&f, 500, PROTOBUF_BYTES));
    assert_int_equal(f.bytes.size, 0);
    assert_non_null(f.bytes.data);
    assert_true(protobuf_next(&r, &f));
    assert_int_equal(f.value, 7);
    assert_true(protobuf_next(&r, &f));
    assert_true(f.value == UINT64_MAX);
    assert_false(protobuf_next(&r, &f));
    assert_true(reader_ok(&r));
    writer_release(&w);
}

static void expect_malformed(const char *bytes, size_t size) {
    struct reader r = reader_make(slice_make(bytes, size));
    struct protobuf_field f;
    while (protobuf_next(&r, &f))
        ;
    assert_false(reader_ok(&r));
}
static void test_malformed(void **state) {
    (void)state;
    expect_malformed("\x00", 1);                                          /* field 0 */
    expect_malformed("\x08", 1);                                          /* no value */
    expect_malformed("\x0b\x0c", 2);                                      /* a group */
    expect_malformed("\x0a\x05xyz", 5);                                   /* length beyond the end */
    expect_malformed("\x0a\xff\xff\xff\xff\x0f", 6);                      /* absurd length */
    expect_malformed("\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 11); /* more than 64 bits */
    expect_malformed("\x0d\1\2\3", 4);                                    /* fixed32 cut */
    expect_malformed("\xff\xff\xff\xff\xff\x01", 6);                      /* tag of more than 32 bits */
}

static void test_sizes(void **state) {
    (void)state;
    struct prng prng;
    prng_init(&prng, 3);
    for (int i = 0; i < 1000; i++) {
        uint64_t value = prng_next(&prng) >> prng_below(&prng, 64);
        uint32_t number = 1 + (uint32_t)prng_below(&prng, 3000);
        struct writer w;
        writer_init(&w);
        protobuf_write_value(&w, number, value);
        assert_int_equal(w.size, protobuf_value_size(number, value));
        writer_clear(&w);
        protobuf_write_head(&w, number, value & 0xfffff);
        assert_int_equal(w.size + (value & 0xfffff), protobuf_bytes_size(number, value & 0xfffff));
        writer_release(&w);
    }
}

/* A batch of records with every kind of null and empty, as one Record message each. */
static void test_records_out(void **state) {
    (void)state;
    struct record_batch_builder builder;
    record_batch_begin(&builder);
    struct record_header headers[] = {{SLICE_LITERAL("h1"), SLICE_LITERAL("v1")},
                                      {SLICE_LITERAL(""), SLICE_LITERAL("")},
                                      {SLICE_LITERAL("null"), SLICE_EMPTY}};
    record_batch_add(&builder, 1000, SLICE_LITERAL("key"), SLICE_LITERAL("value"), headers, 3);
    record_batch_add(&builder, 0, SLICE_EMPTY, SLICE_LITERAL(""), NULL, 0);
    record_batch_add(&builder, 2000, SLICE_LITERAL(""), SLICE_EMPTY, NULL, 0);
    struct record_batch_producer producer = {.id = -1, .epoch = -1, .base_sequence = -1};
    struct buffer *bytes = record_batch_finish(&builder, CODEC_NONE, &producer);
    record_batch_set_base(bytes->data, 70, 1);
    struct record_batch batch;
    assert_status(record_batch_read(slice_make(bytes->data, bytes->size), &batch), STATUS_OK);
    struct arena arena;
    arena_init(&arena, 4096);
    struct record_iterator it;
    assert_status(record_iterator_init(&it, &batch, &arena, 1 << 20), STATUS_OK);
    struct writer items;
    writer_init(&items);
    struct record record;
    while (record_iterator_next(&it, &record) == STATUS_OK)
        protobuf_record_write(&items, PROTOBUF_CONSUMED_RECORD, &record, protobuf_record_size(&record));
    struct protobuf_records head = {
        .topic = SLICE_LITERAL("t"), .partition = 3, .next_offset = 73, .high_watermark = 80};
    struct writer out;
    writer_init(&out);
    protobuf_consumed_write_head(&out, &head, items.size);
    writer_bytes(&out, writer_slice(&items));

    Sentinel__V1__ConsumeResponse *response = sentinel__v1__consume_response__unpack(NULL, out.size,
                                                                                     out.data);
    assert_non_null(response);
    assert_int_equal(response->message_case, SENTINEL__V1__CONSUME_RESPONSE__MESSAGE_RECORDS);
    Sentinel__V1__ConsumeRecords *records = response->records;
    assert_string_equal(records->topic, "t");
    assert_int_equal(records->partition, 3);
    assert_int_equal(records->next_offset, 73);
    assert_int_equal(records->high_watermark, 80);
    assert_int_equal(records->n_records, 3);
    Sentinel__V1__Record *first = records->records[0], *second = records->records[1],
                         *third = records->records[2];
    assert_int_equal(first->offset, 70);
    assert_int_equal(first->timestamp_ms, 1000);
    assert_memory_equal(first->key.data, "key", 3);
    assert_memory_equal(first->value.data, "value", 5);
    assert_int_equal(first->n_headers, 3);
    assert_string_equal(first->headers[0]->name, "h1");
    assert_memory_equal(first->headers[0]->value.data, "v1", 2);
    assert_int_equal(first->headers[1]->value_presence_case,
                     SENTINEL__V1__RECORD_HEADER__VALUE_PRESENCE_VALUE);
    assert_int_equal(first->headers[1]->value.len, 0);
    assert_int_equal(first->headers[2]->value_presence_case,
                     SENTINEL__V1__RECORD_HEADER__VALUE_PRESENCE__NOT_SET);
    assert_int_equal(second->key_presence_case, SENTINEL__V1__RECORD__KEY_PRESENCE__NOT_SET);
    assert_int_equal(second->value_presence_case, SENTINEL__V1__RECORD__VALUE_PRESENCE_VALUE);
    assert_int_equal(third->key_presence_case, SENTINEL__V1__RECORD__KEY_PRESENCE_KEY);
    assert_int_equal(third->value_presence_case, SENTINEL__V1__RECORD__VALUE_PRESENCE__NOT_SET);
    assert_int_equal(third->offset, 72);
    sentinel__v1__consume_response__free_unpacked(response, NULL);

    /* And by the client's own reader. */
    enum protobuf_consumed_kind kind;
    struct slice inner, item;
    struct protobuf_records back;
    assert_status(protobuf_consumed_read(writer_slice(&out), &kind, &inner, &back), STATUS_OK);
    assert_int_equal(kind, PROTOBUF_CONSUMED_RECORDS);
    assert_int_equal(back.next_offset, 73);
    struct slice rest = back.message;
    bool is_batch;
    struct protobuf_record read;
    assert_status(protobuf_records_next(&back, &rest, &is_batch, &item), STATUS_OK);
    assert_false(is_batch);
    assert_status(protobuf_record_read(item, &read), STATUS_OK);
    assert_int_equal(read.offset, 70);
    assert_int_equal(read.header_count, 3);
    struct slice header_rest = read.message;
    struct record_header header;
    assert_status(protobuf_record_header_next(&header_rest, &header), STATUS_OK);
    assert_slice_equal(header.name, SLICE_LITERAL("h1"));
    assert_status(protobuf_record_header_next(&header_rest, &header), STATUS_OK);
    assert_non_null(header.value.data);
    assert_status(protobuf_record_header_next(&header_rest, &header), STATUS_OK);
    assert_null(header.value.data);
    assert_status(protobuf_record_header_next(&header_rest, &header), STATUS_END);
    assert_status(protobuf_records_next(&back, &rest, &is_batch, &item), STATUS_OK);
    assert_status(protobuf_record_read(item, &read), STATUS_OK);
    assert_null(read.key.data);
    assert_non_null(read.value.data);
    assert_status(protobuf_records_next(&back, &rest, &is_batch, &item), STATUS_OK);
    assert_status(protobuf_records_next(&back, &rest, &is_batch, &item), STATUS_END);
    for (size_t size = 0; size < out.size; size++) { /* cut anywhere */
        if (protobuf_consumed_read(slice_make(out.data, size), &kind, &inner, &back) != STATUS_OK) continue;
        rest = back.message;
        while (protobuf_records_next(&back, &rest, &is_batch, &item) == STATUS_OK)
            assert_true(protobuf_record_read(item, &read) <= STATUS_MALFORMED);
    }
    record_batch_builder_release(&builder);
    writer_release(&items);
    writer_release(&out);
    buffer_unref(bytes);
    arena_release(&arena);
}

static void test_fetched(void **state) {
    (void)state;
    struct writer out;
    writer_init(&out);
    struct protobuf_records head = {.topic = SLICE_LITERAL("topic"),
                                    .partition = 9,
                                    .next_offset = 5,
                                    .high_watermark = 6,
                                    .log_start_offset = 2,
                                    .error = SLICE_LITERAL("\x08\x05")};
    protobuf_fetched_write_head(&out, &head, protobuf_bytes_size(PROTOBUF_FETCHED_BATCH, 4));
    protobuf_write_bytes(&out, PROTOBUF_FETCHED_BATCH, SLICE_LITERAL("abcd"));
    protobuf_fetched_write_head(&out, &head, 0);
    Sentinel__V1__FetchResponse *response = sentinel__v1__fetch_response__unpack(NULL, out.size, out.data);
    assert_non_null(response);
    assert_int_equal(response->n_partitions, 2);
    Sentinel__V1__FetchedPartition *first = response->partitions[0];
    assert_string_equal(first->topic, "topic");
    assert_int_equal(first->partition, 9);
    assert_int_equal(first->error->code, 5);
    assert_int_equal(first->next_offset, 5);
    assert_int_equal(first->high_watermark, 6);
    assert_int_equal(first->log_start_offset, 2);
    assert_int_equal(first->n_record_batches, 1);
    assert_memory_equal(first->record_batches[0].data, "abcd", 4);
    sentinel__v1__fetch_response__free_unpacked(response, NULL);
    struct slice rest = writer_slice(&out), item;
    struct protobuf_records back;
    assert_status(protobuf_fetched_next(&rest, &back), STATUS_OK);
    assert_int_equal(back.log_start_offset, 2);
    assert_slice_equal(back.error, SLICE_LITERAL("\x08\x05"));
    struct slice items = back.message;
    bool is_batch;
    assert_status(protobuf_records_next(&back, &items, &is_batch, &item), STATUS_OK);
    assert_true(is_batch);
    assert_slice_equal(item, SLICE_LITERAL("abcd"));
    assert_status(protobuf_fetched_next(&rest, &back), STATUS_OK);
    assert_status(protobuf_fetched_next(&rest, &back), STATUS_END);
    writer_release(&out);
}

/* A request made by the generated code. */
static void test_produce_in(void **state) {
    (void)state;
    Sentinel__V1__Record record = SENTINEL__V1__RECORD__INIT, *records[] = {&record, &record};
    record.key_presence_case = SENTINEL__V1__RECORD__KEY_PRESENCE_KEY;
    record.key = (ProtobufCBinaryData){3, (uint8_t *)"abc"};
    record.timestamp_ms = -5;
    Sentinel__V1__ProducerIdentity identity = SENTINEL__V1__PRODUCER_IDENTITY__INIT;
    identity.producer_id = 77;
    identity.producer_epoch = 4;
    Sentinel__V1__ProduceRequest request = SENTINEL__V1__PRODUCE_REQUEST__INIT;
    request.topic = (char *)"orders";
    request.partition_presence_case = SENTINEL__V1__PRODUCE_REQUEST__PARTITION_PRESENCE_PARTITION;
    request.partition = 0;
    request.n_records = 2;
    request.records = records;
    request.acks = SENTINEL__V1__ACKS__ACKS_NONE;
    request.producer = &identity;
    request.base_sequence = 12;
    uint8_t packed[200];
    size_t size = sentinel__v1__produce_request__pack(&request, packed);
    struct protobuf_produce produce;
    assert_status(protobuf_produce_read(slice_make(packed, size), &produce), STATUS_OK);
    assert_slice_equal(produce.topic, SLICE_LITERAL("orders"));
    assert_true(produce.has_partition);
    assert_int_equal(produce.partition, 0);
    assert_int_equal(produce.record_count, 2);
    assert_int_equal(produce.acks, PROTOBUF_ACKS_NONE);
    assert_true(produce.has_producer);
    assert_int_equal(produce.producer_id, 77);
    assert_int_equal(produce.producer_epoch, 4);
    assert_int_equal(produce.base_sequence, 12);
    struct slice rest = produce.message, item;
    struct protobuf_record read;
    for (int i = 0; i < 2; i++) {
        assert_status(protobuf_produce_record_next(&produce, &rest, &item), STATUS_OK);
        assert_status(protobuf_record_read(item, &read), STATUS_OK);
        assert_slice_equal(read.key, SLICE_LITERAL("abc"));
        assert_null(read.value.data);
        assert_int_equal(read.timestamp_ms, -5);
    }
    assert_status(protobuf_produce_record_next(&produce, &rest, &item), STATUS_END);

    identity = (Sentinel__V1__ProducerIdentity)SENTINEL__V1__PRODUCER_IDENTITY__INIT; /* all defaults: 0 */
    size = sentinel__v1__produce_request__pack(&request, packed);
    assert_status(protobuf_produce_read(slice_make(packed, size), &produce), STATUS_OK);
    assert_true(produce.has_producer);
    assert_int_equal(produce.producer_id, 0);
    assert_int_equal(produce.producer_epoch, 0);

    request.partition_presence_case = SENTINEL__V1__PRODUCE_REQUEST__PARTITION_PRESENCE__NOT_SET;
    request.producer = NULL;
    size = sentinel__v1__produce_request__pack(&request, packed);
    assert_status(protobuf_produce_read(slice_make(packed, size), &produce), STATUS_OK);
    assert_false(produce.has_partition);
    assert_false(produce.has_producer);
}

/* Requests made by the client's writer, with the batch behind the head. */
static void test_produce_out(void **state) {
    (void)state;
    struct protobuf_produce produce = {.topic = SLICE_LITERAL("orders"),
                                       .has_partition = true,
                                       .record_batch = SLICE_LITERAL("a batch"),
                                       .acks = PROTOBUF_ACKS_LEADER,
                                       .has_producer = true,
                                       .producer_id = 900000,
                                       .producer_epoch = 1,
                                       .base_sequence = 5,
                                       .sequence = 300};
    struct writer w;
    writer_init(&w);
    protobuf_produce_write_head(&w, &produce);
    writer_bytes(&w, produce.record_batch);
    Sentinel__V1__ProduceRequest *request = sentinel__v1__produce_request__unpack(NULL, w.size, w.data);
    assert_non_null(request);
    assert_string_equal(request->topic, "orders");
    assert_int_equal(request->partition_presence_case,
                     SENTINEL__V1__PRODUCE_REQUEST__PARTITION_PRESENCE_PARTITION);
    assert_int_equal(request->acks, SENTINEL__V1__ACKS__ACKS_LEADER);
    assert_int_equal(request->producer->producer_id, 900000);
    assert_int_equal(request->record_batch.len, 7);
    sentinel__v1__produce_request__free_unpacked(request, NULL);

    writer_clear(&w);
    protobuf_produce_stream_write_open(&w, &produce);
    Sentinel__V1__ProduceStreamRequest *stream = sentinel__v1__produce_stream_request__unpack(NULL, w.size,
                                                                                              w.data);
    assert_non_null(stream);
    assert_int_equal(stream->message_case, SENTINEL__V1__PRODUCE_STREAM_REQUEST__MESSAGE_OPEN);
    assert_string_equal(stream->open->topic, "orders");
    assert_int_equal(stream->open->producer->producer_id, 900000);
    sentinel__v1__produce_stream_request__free_unpacked(stream, NULL);
    struct protobuf_produce back;
    enum protobuf_produce_kind kind;
    assert_status(protobuf_produce_stream_read(writer_slice(&w), &kind, &back), STATUS_OK);
    assert_int_equal(kind, PROTOBUF_PRODUCE_OPEN);
    assert_slice_equal(back.topic, SLICE_LITERAL("orders"));
    assert_int_equal(back.acks, PROTOBUF_ACKS_LEADER);
    assert_int_equal(back.producer_id, 900000);

    writer_clear(&w);
    protobuf_produce_stream_write_head(&w, &produce);
    writer_bytes(&w, produce.record_batch);
    stream = sentinel__v1__produce_stream_request__unpack(NULL, w.size, w.data);
    assert_non_null(stream);
    assert_int_equal(stream->message_case, SENTINEL__V1__PRODUCE_STREAM_REQUEST__MESSAGE_BATCH);
    assert_int_equal(stream->batch->sequence, 300);
    assert_int_equal(stream->batch->base_sequence, 5);
    assert_memory_equal(stream->batch->record_batch.data, "a batch", 7);
    sentinel__v1__produce_stream_request__free_unpacked(stream, NULL);
    assert_status(protobuf_produce_stream_read(writer_slice(&w), &kind, &back), STATUS_OK);
    assert_int_equal(kind, PROTOBUF_PRODUCE_BATCH);
    assert_int_equal(back.sequence, 300);
    assert_slice_equal(back.record_batch, SLICE_LITERAL("a batch"));
    for (size_t size = 0; size < w.size; size++)
        assert_status(protobuf_produce_stream_read(slice_make(w.data, size), &kind, &back), STATUS_MALFORMED);
    writer_release(&w);
}

static void test_results(void **state) {
    (void)state;
    int32_t indexes[] = {0, 2, 300};
    struct protobuf_produce_result result = {.partition = 2,
                                             .record_count = 3,
                                             .leader_epoch = 1,
                                             .base_offset = 1234567,
                                             .log_append_time_ms = -1,
                                             .record_indexes = indexes,
                                             .record_index_count = 3,
                                             .error = SLICE_LITERAL("\x08\x05")};
    struct writer ack, w;
    writer_init(&ack);
    writer_init(&w);
    protobuf_write_value(&ack, 1, 42);
    protobuf_produce_result_write(&ack, 2, &result);
    protobuf_write_bytes(&w, 2, writer_slice(&ack));
    Sentinel__V1__ProduceStreamResponse *response = sentinel__v1__produce_stream_response__unpack(
        NULL, w.size, w.data);
    assert_non_null(response);
    assert_int_equal(response->ack->sequence, 42);
    Sentinel__V1__AppendResult *first = response->ack->results[0];
    assert_int_equal(first->partition, 2);
    assert_int_equal(first->base_offset, 1234567);
    assert_int_equal(first->log_append_time_ms, -1);
    assert_int_equal(first->n_record_indexes, 3);
    assert_int_equal(first->record_indexes[2], 300);
    assert_int_equal(first->error->code, 5);
    sentinel__v1__produce_stream_response__free_unpacked(response, NULL);

    struct protobuf_produce_reply reply;
    assert_status(protobuf_produce_reply_read(writer_slice(&w), &reply), STATUS_OK);
    assert_false(reply.is_opened);
    assert_int_equal(reply.sequence, 42);
    struct slice rest = reply.ack;
    struct protobuf_produce_result back;
    assert_status(protobuf_produce_result_next(&rest, 2, &back), STATUS_OK);
    assert_int_equal(back.base_offset, 1234567);
    assert_slice_equal(back.error, SLICE_LITERAL("\x08\x05"));
    assert_status(protobuf_produce_result_next(&rest, 2, &back), STATUS_END);
    writer_release(&ack);
    writer_release(&w);
}

static void test_arena_allocator(void **state) {
    (void)state;
    struct arena arena;
    arena_init(&arena, 256);
    ProtobufCAllocator allocator = protobuf_arena_allocator(&arena);
    uint8_t packed[] = "\x0a\x05topic\x10\x03";
    Sentinel__V1__TopicPartition *read = sentinel__v1__topic_partition__unpack(&allocator, sizeof packed - 1,
                                                                               packed);
    assert_non_null(read);
    assert_string_equal(read->topic, "topic");
    assert_null(sentinel__v1__topic_partition__unpack(&allocator, 4, packed)); /* cut: nothing leaks */
    arena_release(&arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),          cmocka_unit_test(test_malformed),
        cmocka_unit_test(test_sizes),           cmocka_unit_test(test_records_out),
        cmocka_unit_test(test_fetched),         cmocka_unit_test(test_produce_in),
        cmocka_unit_test(test_produce_out),     cmocka_unit_test(test_results),
        cmocka_unit_test(test_arena_allocator),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
