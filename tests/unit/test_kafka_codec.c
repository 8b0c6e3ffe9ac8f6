// SPDX-License-Identifier: Apache-2.0
/* test_kafka_codec.c: every message at every version there and back; bytes of other clients; hostile bytes.
 */
#include <stdio.h>

#include "lib/kafka_random.h"
#include "lib/test.h"

static struct buffer *from_hex(const char *text) {
    struct buffer *buffer = buffer_new(strlen(text) / 2);
    for (size_t i = 0; i < buffer->size; i++) {
        unsigned value;
        assert_int_equal(sscanf(text + 2 * i, "%2x", &value), 1);
        buffer->data[i] = (uint8_t)value;
    }
    return buffer;
}

static struct slice frame_of(const struct buffer *buffer) {
    assert_true(buffer->size >= KAFKA_FRAME_PREFIX);
    assert_int_equal(load_be32(buffer->data), buffer->size - KAFKA_FRAME_PREFIX);
    return slice_make(buffer->data + KAFKA_FRAME_PREFIX, buffer->size - KAFKA_FRAME_PREFIX);
}

/* ---- round trips --------------------------------------------------------------------------------------- */

static struct buffer *encode(const struct kafka_api *api, bool request, int16_t version,
                             const void *message) {
    struct chain chain;
    chain_init(&chain);
    if (request)
        kafka_encode_request(api, version, 77, SLICE_LITERAL("client"), message, &chain);
    else
        kafka_encode_response(api, version, 77, message, &chain);
    struct buffer *frame = chain_flatten(&chain);
    assert_int_equal(frame->size, chain.size);
    chain_release(&chain);
    return frame;
}

static void *decode(const struct kafka_api *api, bool request, int16_t version, struct slice frame,
                    struct arena *arena) {
    struct reader body;
    if (request) {
        struct kafka_request_header header;
        assert_status(kafka_read_request_header(frame, &header, &body), STATUS_OK);
        assert_int_equal(header.api_key, api->key);
        assert_int_equal(header.api_version, version);
        assert_int_equal(header.correlation_id, 77);
        assert_slice_equal(header.client_id, SLICE_LITERAL("client"));
    } else {
        int32_t correlation_id;
        assert_status(kafka_read_response_header(frame, api, version, &correlation_id, &body), STATUS_OK);
        assert_int_equal(correlation_id, 77);
    }
    void *message;
    assert_status(kafka_decode(api, request ? api->request : api->response, version, &body, arena, &message),
                  STATUS_OK);
    assert_int_equal(reader_remaining(&body), 0);
    return message;
}

static void round_trip(const struct kafka_api *api, bool request, int16_t version, uint64_t seed) {
    const struct kafka_schema *schema = request ? api->request : api->response;
    struct prng prng;
    prng_init(&prng, seed);
    struct arena arena;
    arena_init(&arena, 16 * KIB);
    void *sent = kafka_random_message(&prng, schema, version, &arena);
    struct buffer *frame = encode(api, request, version, sent);
    void *received = decode(api, request, version, frame_of(frame), &arena);
    const char *difference = kafka_message_difference(schema, sent, received);
    if (difference != NULL)
        fail_msg("%s v%d: %s differs (seed %lu)", schema->name, version, difference, seed);
    struct buffer *again = encode(api, request, version, received);
    assert_slice_equal(slice_make(again->data, again->size), slice_make(frame->data, frame->size));
    buffer_unref(again);
    buffer_unref(frame);
    arena_release(&arena);
}

static void every_message_at_every_version(void **state) {
    (void)state;
    const struct kafka_api *api;
    for (unsigned i = 0; (api = kafka_api_at(i)) != NULL; i++)
        for (int16_t version = api->first; version <= api->last; version++)
            for (uint64_t seed = 0; seed < 40; seed++) {
                round_trip(api, true, version, seed);
                round_trip(api, false, version, seed);
            }
}

static void the_tables_make_sense(void **state) {
    (void)state;
    const struct kafka_api *api;
    int16_t last_key = -1;
    for (unsigned i = 0; (api = kafka_api_at(i)) != NULL; i++) {
        assert_true(api->key > last_key);
        last_key = api->key;
        assert_ptr_equal(kafka_api_find(api->key), api);
        assert_true(api->first >= 0 && api->first <= api->last && api->flexible >= 0);
        const struct kafka_schema *schemas[] = {api->request, api->response};
        for (size_t s = 0; s < 2; s++) {
            int16_t last_tag = -1;
            for (uint16_t f = 0; f < schemas[s]->field_count; f++) {
                const struct kafka_field *field = &schemas[s]->fields[f];
                assert_true(field->since <= field->until);
                if (!field->tagged) continue;
                assert_true(field->tag > last_tag); /* KIP-482: in ascending order */
                assert_true(field->since >= api->flexible);
                last_tag = field->tag;
            }
        }
    }
    assert_null(kafka_api_find(4));
    assert_null(kafka_api_find(-1));
}

/* ---- bytes that other clients sent --------------------------------------------------------------------- */

/* Made by kafkajs 2.2.4 (old shapes) and @platformatic/kafka 1.35 (flexible), correlation id 7. */
static void *decode_foreign(const char *hex, struct kafka_request_header *header, struct arena *arena,
                            struct buffer **bytes) {
    *bytes = from_hex(hex);
    struct reader body;
    assert_status(kafka_read_request_header(slice_make((*bytes)->data, (*bytes)->size), header, &body),
                  STATUS_OK);
    assert_int_equal(header->correlation_id, 7);
    assert_slice_equal(header->client_id, SLICE_LITERAL("golden"));
    const struct kafka_api *api = kafka_api_find(header->api_key);
    void *message;
    assert_status(kafka_decode(api, api->request, header->api_version, &body, arena, &message), STATUS_OK);
    assert_int_equal(reader_remaining(&body), 0);
    /* and the very same bytes from us */
    struct chain chain;
    chain_init(&chain);
    kafka_encode_request(api, header->api_version, 7, SLICE_LITERAL("golden"), message, &chain);
    struct buffer *ours = chain_flatten(&chain);
    assert_slice_equal(frame_of(ours), slice_make((*bytes)->data, (*bytes)->size));
    buffer_unref(ours);
    chain_release(&chain);
    return message;
}

static void foreign_metadata(void **state) {
    (void)state;
    static const char *const frames[] = {
        "00030006000000070006676f6c64656e000000020001610007746f7069632d6200",
        "0003000c000000070006676f6c64656e00030000000000000000000000000000000002610000000000000000000000000000"
        "00"
        "000008746f7069632d6200010000",
    };
    for (size_t i = 0; i < ARRAY_COUNT(frames); i++) {
        struct arena arena;
        arena_init(&arena, KIB);
        struct kafka_request_header header;
        struct buffer *bytes;
        struct kafka_metadata_request *request = decode_foreign(frames[i], &header, &arena, &bytes);
        assert_int_equal(header.api_version, i == 0 ? 6 : 12);
        assert_int_equal(request->topics_count, 2);
        assert_slice_equal(request->topics[0].name, SLICE_LITERAL("a"));
        assert_slice_equal(request->topics[1].name, SLICE_LITERAL("topic-b"));
        assert_int_equal(request->allow_auto_topic_creation, i == 1);
        buffer_unref(bytes);
        arena_release(&arena);
    }
}

static void foreign_fetch(void **state) {
    (void)state;
    static const char *const frames[] = {
        "0001000b000000070006676f6c64656effffffff000001f400000001001000000100000000ffffffff000000010001610000"
        "00"
        "0100000003ffffffff000000000000002affffffffffffffff000003e80000000000027231",
        "00010011000000070006676f6c64656e00000001f400000001001000000000000000ffffffff020123456789abcdef012345"
        "67"
        "89abcdef020000000300000002000000000000002affffffffffffffffffffffff000003e800000103723100",
    };
    for (size_t i = 0; i < ARRAY_COUNT(frames); i++) {
        struct arena arena;
        arena_init(&arena, KIB);
        struct kafka_request_header header;
        struct buffer *bytes;
        struct kafka_fetch_request *request = decode_foreign(frames[i], &header, &arena, &bytes);
        assert_int_equal(request->replica_id, -1);
        assert_int_equal(request->max_wait_ms, 500);
        assert_int_equal(request->max_bytes, MIB);
        assert_int_equal(request->session_epoch, -1);
        assert_int_equal(request->topics_count, 1);
        if (i == 0) assert_slice_equal(request->topics[0].topic, SLICE_LITERAL("a"));
        if (i == 1) assert_int_equal(request->topics[0].topic_id.bytes[1], 0x23);
        assert_int_equal(request->topics[0].partitions_count, 1);
        assert_int_equal(request->topics[0].partitions[0].partition, 3);
        assert_int_equal(request->topics[0].partitions[0].fetch_offset, 42);
        assert_int_equal(request->topics[0].partitions[0].last_fetched_epoch, -1);
        assert_int_equal(request->topics[0].partitions[0].partition_max_bytes, 1000);
        assert_slice_equal(request->rack_id, SLICE_LITERAL("r1"));
        buffer_unref(bytes);
        arena_release(&arena);
    }
}

static void foreign_create_topics(void **state) {
    (void)state;
    static const char *const frames[] = {
        "00130003000000070006676f6c64656e0000000100036e65770000000400010000000000000001000c726574656e74696f6e"
        "2e"
        "6d730004313030300000138801",
        "00130007000000070006676f6c64656e0002046e657700000004000101020d726574656e74696f6e2e6d7305313030300000"
        "00"
        "0013880100",
    };
    for (size_t i = 0; i < ARRAY_COUNT(frames); i++) {
        struct arena arena;
        arena_init(&arena, KIB);
        struct kafka_request_header header;
        struct buffer *bytes;
        struct kafka_create_topics_request *request = decode_foreign(frames[i], &header, &arena, &bytes);
        assert_int_equal(request->topics_count, 1);
        assert_slice_equal(request->topics[0].name, SLICE_LITERAL("new"));
        assert_int_equal(request->topics[0].num_partitions, 4);
        assert_int_equal(request->topics[0].assignments_count, 0);
        assert_slice_equal(request->topics[0].configs[0].value, SLICE_LITERAL("1000"));
        assert_true(request->validate_only);
        buffer_unref(bytes);
        arena_release(&arena);
    }
}

static void assert_response_bytes(int16_t key, int16_t version, const void *response, const char *hex) {
    struct buffer *expected = from_hex(hex);
    struct chain chain;
    chain_init(&chain);
    kafka_encode_response(kafka_api_find(key), version, 77, response, &chain);
    struct buffer *ours = chain_flatten(&chain);
    assert_slice_equal(frame_of(ours), slice_make(expected->data, expected->size));
    buffer_unref(ours);
    buffer_unref(expected);
    chain_release(&chain);
}

/* Counted by hand from the protocol guide. */
static void responses_byte_by_byte(void **state) {
    (void)state;
    struct kafka_api_versions_response_api one = {.api_key = 3, .min_version = 0, .max_version = 12};
    struct kafka_api_versions_response versions;
    kafka_message_init(&kafka_schema_api_versions_response, &versions);
    versions.api_keys = &one;
    versions.api_keys_count = 1;
    assert_response_bytes(KAFKA_API_VERSIONS, 0, &versions,
                          "0000004d"
                          "0000"
                          "00000001"
                          "00030000000c");
    /* flexible body behind a header without tags */
    assert_response_bytes(KAFKA_API_VERSIONS, 3, &versions,
                          "0000004d"
                          "0000"
                          "02"
                          "00030000000c00"
                          "00000000"
                          "00");
    versions.finalized_features_epoch = 5;
    assert_response_bytes(KAFKA_API_VERSIONS, 3, &versions,
                          "0000004d"
                          "0000"
                          "02"
                          "00030000000c00"
                          "00000000"
                          "01"
                          "0108"
                          "0000000000000005");
    struct kafka_init_producer_id_response producer;
    kafka_message_init(&kafka_schema_init_producer_id_response, &producer);
    assert_response_bytes(KAFKA_INIT_PRODUCER_ID, 1, &producer,
                          "0000004d"
                          "00000000"
                          "0000"
                          "ffffffffffffffff"
                          "0000");
    assert_response_bytes(KAFKA_INIT_PRODUCER_ID, 2, &producer,
                          "0000004d"
                          "00"
                          "00000000"
                          "0000"
                          "ffffffffffffffff"
                          "0000"
                          "00");
}

/* ---- records by reference ------------------------------------------------------------------------------ */

static void batches_are_shared_not_copied(void **state) {
    (void)state;
    struct buffer *batch = buffer_copy(SLICE_LITERAL("0123456789"));
    struct shared_slice pieces[2] = {{slice_make(batch->data, 4), batch},
                                     {slice_make(batch->data + 4, 6), batch}};
    struct kafka_fetch_response_partition partitions[2];
    for (int i = 0; i < 2; i++)
        kafka_message_init(&kafka_schema_fetch_response_partition, &partitions[i]);
    partitions[0].records = (struct kafka_records){.pieces = pieces, .piece_count = 2};
    partitions[1].records = (struct kafka_records){.pieces = pieces, .piece_count = 1};
    struct kafka_fetch_response_topic topic = {
        .topic = SLICE_LITERAL("t"), .partitions = partitions, .partitions_count = 2};
    struct kafka_fetch_response response;
    kafka_message_init(&kafka_schema_fetch_response, &response);
    response.responses = &topic;
    response.responses_count = 1;
    const struct kafka_api *api = kafka_api_find(KAFKA_FETCH);
    for (int16_t version = api->first; version <= api->last; version++) {
        struct chain chain;
        chain_init(&chain);
        kafka_encode_response(api, version, 77, &response, &chain);
        assert_int_equal(batch->references, 4);
        struct buffer *frame = chain_flatten(&chain);
        chain_release(&chain);
        assert_int_equal(batch->references, 1);
        struct arena arena;
        arena_init(&arena, KIB);
        struct kafka_fetch_response *received = decode(api, false, version, frame_of(frame), &arena);
        assert_slice_equal(received->responses[0].partitions[0].records.bytes, SLICE_LITERAL("0123456789"));
        assert_slice_equal(received->responses[0].partitions[1].records.bytes, SLICE_LITERAL("0123"));
        buffer_unref(frame);
        arena_release(&arena);
    }
    buffer_unref(batch);
}

/* ---- hostile bytes ------------------------------------------------------------------------------------- */

static enum status decode_status(int16_t key, int16_t version, const char *hex, size_t *arena_bytes) {
    struct buffer *bytes = from_hex(hex);
    const struct kafka_api *api = kafka_api_find(key);
    struct reader body = reader_make(slice_make(bytes->data, bytes->size));
    struct arena arena;
    arena_init(&arena, KIB);
    void *message;
    enum status status = kafka_decode(api, api->request, version, &body, &arena, &message);
    *arena_bytes = arena.bytes;
    arena_release(&arena);
    buffer_unref(bytes);
    return status;
}

static void absurd_lengths_take_no_memory(void **state) {
    (void)state;
    static const struct {
        int16_t key, version;
        const char *hex;
    } cases[] = {
        {KAFKA_METADATA, 4, "7fffffff00"},         /* two billion topics */
        {KAFKA_METADATA, 4, "00000002000161"},     /* two topics, one there */
        {KAFKA_METADATA, 4, "fffffffe00"},         /* -2 topics */
        {KAFKA_METADATA, 0, "ffffffff"},           /* null before it was allowed */
        {KAFKA_METADATA, 4, "000000017fff61"},     /* a name of 32767 bytes */
        {KAFKA_METADATA, 4, "00000001ffff00"},     /* a null name */
        {KAFKA_METADATA, 9, "ffffffff0f"},         /* compact: four billion */
        {KAFKA_METADATA, 9, "ffffffffff7f"},       /* no varint at all */
        {KAFKA_METADATA, 9, "00010000ffffffff0f"}, /* four billion tags */
        {KAFKA_METADATA, 9, "0001000001050a00"},   /* a tag longer than the message */
        {KAFKA_PRODUCE, 7, "ffff0001000003e80000000100016100000001000000007fffffff"},
        {KAFKA_PRODUCE, 7, "ffff0001000003e8000000010001610000000100000000fffffff0"},
        {KAFKA_FETCH, 12, "ffffffff000000000000000100000001000000000000000000000101ff"},
        {KAFKA_API_VERSIONS, 3, ""},
    };
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        size_t arena_bytes;
        assert_status(decode_status(cases[i].key, cases[i].version, cases[i].hex, &arena_bytes),
                      STATUS_MALFORMED);
        assert_true(arena_bytes < 4 * KIB);
    }
}

static void unknown_tags_are_skipped(void **state) {
    (void)state;
    size_t arena_bytes;
    assert_status(decode_status(KAFKA_API_VERSIONS, 3, "0261026200", &arena_bytes), STATUS_OK);
    assert_status(decode_status(KAFKA_API_VERSIONS, 3,
                                "0261026202"
                                "0003010203"
                                "6400",
                                &arena_bytes),
                  STATUS_OK);
    /* a known tag whose value does not fill its size */
    assert_status(decode_status(KAFKA_FETCH, 12,
                                "ffffffff"
                                "00000000"
                                "00000001"
                                "00000001"
                                "00"
                                "00000000"
                                "00000000"
                                "01"
                                "01"
                                "01"
                                "01"
                                "00"
                                "03"
                                "026161",
                                &arena_bytes),
                  STATUS_MALFORMED);
    assert_status(decode_status(KAFKA_FETCH, 12,
                                "ffffffff"
                                "00000000"
                                "00000001"
                                "00000001"
                                "00"
                                "00000000"
                                "00000000"
                                "01"
                                "01"
                                "01"
                                "01"
                                "00"
                                "02"
                                "0261",
                                &arena_bytes),
                  STATUS_OK);
}

/* A large frame of tiny elements must not become many times its size in memory. */
static void amplification_is_bounded(void **state) {
    (void)state;
    size_t count = 8 * MIB;
    struct writer body;
    writer_init(&body);
    writer_varint64(&body, count + 1);
    memset(writer_extend(&body, 2 * count), 0, 2 * count);
    for (size_t i = 0; i < count; i++)
        body.data[body.size - 2 * count + 2 * i] = 1; /* an empty name, no tags */
    const struct kafka_api *api = kafka_api_find(KAFKA_METADATA);
    struct reader reader = reader_make(writer_slice(&body));
    struct arena arena;
    arena_init(&arena, KIB);
    void *message;
    assert_status(kafka_decode(api, api->request, 9, &reader, &arena, &message), STATUS_MALFORMED);
    assert_true(arena.bytes < KAFKA_DECODE_BYTES_MAX);
    arena_release(&arena);
    writer_release(&body);
}

/* Every cut of every message is an error, and no changed byte does more harm than that. */
static void cuts_and_changes(void **state) {
    (void)state;
    const struct kafka_api *api;
    struct prng prng;
    prng_init(&prng, 5);
    for (unsigned i = 0; (api = kafka_api_at(i)) != NULL; i++) {
        for (int16_t version = api->first; version <= api->last; version++) {
            struct arena arena;
            arena_init(&arena, 16 * KIB);
            void *message = kafka_random_message(&prng, api->request, version, &arena);
            struct buffer *whole = encode(api, true, version, message);
            struct slice frame = frame_of(whole);
            for (size_t size = 0; size < frame.size; size += 1 + size / 16) {
                struct buffer *cut = buffer_copy(slice_make(frame.data, size));
                struct kafka_request_header header;
                struct reader body;
                enum status status = kafka_read_request_header(slice_make(cut->data, cut->size), &header,
                                                               &body);
                if (status == STATUS_OK)
                    status = kafka_decode(api, api->request, version, &body, &arena, &message);
                assert_status(status, STATUS_MALFORMED);
                buffer_unref(cut);
            }
            for (int change = 0; change < 50; change++) {
                struct buffer *changed = buffer_copy(frame);
                changed->data[8 + prng_below(&prng, frame.size - 8)] ^= (uint8_t)(1 << prng_below(&prng, 8));
                struct kafka_request_header header;
                struct reader body;
                enum status status = kafka_read_request_header(slice_make(changed->data, changed->size),
                                                               &header, &body);
                if (status == STATUS_OK)
                    status = kafka_decode(api, api->request, version, &body, &arena, &message);
                assert_true(status == STATUS_OK || status == STATUS_MALFORMED);
                buffer_unref(changed);
            }
            buffer_unref(whole);
            arena_release(&arena);
        }
    }
}

static void headers(void **state) {
    (void)state;
    struct kafka_request_header header;
    struct reader body;
    /* an unknown key and a version of the future still tell whom to answer */
    struct buffer *frame = from_hex("03e80000000000090000");
    assert_status(kafka_read_request_header(slice_make(frame->data, frame->size), &header, &body), STATUS_OK);
    assert_int_equal(header.api_key, 1000);
    assert_int_equal(header.correlation_id, 9);
    assert_non_null(header.client_id.data);
    buffer_unref(frame);
    frame = from_hex("0012006300000009ffff00");
    assert_status(kafka_read_request_header(slice_make(frame->data, frame->size), &header, &body), STATUS_OK);
    assert_int_equal(header.api_version, 99);
    assert_null(header.client_id.data);
    buffer_unref(frame);
    frame = from_hex("0012000000000009fffe");
    assert_status(kafka_read_request_header(slice_make(frame->data, frame->size), &header, &body),
                  STATUS_MALFORMED);
    buffer_unref(frame);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_message_at_every_version),
        cmocka_unit_test(the_tables_make_sense),
        cmocka_unit_test(foreign_metadata),
        cmocka_unit_test(foreign_fetch),
        cmocka_unit_test(foreign_create_topics),
        cmocka_unit_test(responses_byte_by_byte),
        cmocka_unit_test(batches_are_shared_not_copied),
        cmocka_unit_test(absurd_lengths_take_no_memory),
        cmocka_unit_test(unknown_tags_are_skipped),
        cmocka_unit_test(amplification_is_bounded),
        cmocka_unit_test(cuts_and_changes),
        cmocka_unit_test(headers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
