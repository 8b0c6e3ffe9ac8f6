// SPDX-License-Identifier: Apache-2.0
/* test_kafka_server.c: the Kafka protocol as a client sees it, over the simulated machine: order of answers,
 * long polls, refusals, limits, draining. */
#include "lib/kafka_world.h"
#include "lib/test.h"

static struct kafka_world world;

static int open_world(void **state) {
    kafka_world_open(&world, 1, false);
    *state = &world;
    return 0;
}
static int open_world_auto(void **state) {
    kafka_world_open(&world, 2, true);
    *state = &world;
    return 0;
}

/* ---- requests that most tests make -----------------------------------------------------------------------
 */

struct produce {
    struct kafka_produce_request request;
    struct kafka_produce_request_topic topic;
    struct kafka_produce_request_partition partition;
};

static const struct kafka_produce_request *produce_request(struct produce *produce, const char *topic,
                                                           int32_t partition, struct slice batch,
                                                           int16_t acks) {
    kafka_message_init(&kafka_schema_produce_request, &produce->request);
    kafka_message_init(&kafka_schema_produce_request_partition, &produce->partition);
    produce->partition.index = partition;
    produce->partition.records.bytes = batch;
    produce->topic = (struct kafka_produce_request_topic){
        .name = slice_from_text(topic), .partition_data = &produce->partition, .partition_data_count = 1};
    produce->request.acks = acks;
    produce->request.timeout_ms = 1000;
    produce->request.topic_data = &produce->topic;
    produce->request.topic_data_count = 1;
    return &produce->request;
}

static const struct kafka_produce_response_partition *produce(const char *topic, int32_t partition,
                                                              struct slice batch, int16_t version) {
    struct produce parts;
    MAYBE(produce_request(&parts, topic, partition, batch, -1));
    const struct broker_topic *known = broker_topic_find(world.broker, slice_from_text(topic));
    if (known != NULL) parts.topic.topic_id = known->id;
    struct kafka_produce_response *response = kafka_world_call(&world, KAFKA_PRODUCE, version,
                                                               &parts.request);
    assert_int_equal(response->responses_count, 1);
    return &response->responses[0].partition_responses[0];
}

static int64_t produce_records(const char *topic, int32_t partition, int32_t count, enum record_codec codec) {
    struct buffer *batch = kafka_world_batch(count, codec);
    const struct kafka_produce_response_partition *out = produce(topic, partition,
                                                                 slice_make(batch->data, batch->size), 9);
    assert_int_equal(out->error_code, 0);
    buffer_unref(batch);
    return out->base_offset;
}

struct fetch_parts {
    struct kafka_fetch_request request;
    struct kafka_fetch_request_topic topic;
    struct kafka_fetch_request_partition partition;
};

static struct kafka_fetch_request *fetch_request(struct fetch_parts *parts, const char *topic, int64_t offset,
                                                 int32_t wait_ms, int32_t min_bytes) {
    kafka_message_init(&kafka_schema_fetch_request, &parts->request);
    kafka_message_init(&kafka_schema_fetch_request_partition, &parts->partition);
    kafka_message_init(&kafka_schema_fetch_request_topic, &parts->topic);
    parts->partition.fetch_offset = offset;
    parts->partition.partition_max_bytes = MIB;
    parts->topic.topic = slice_from_text(topic);
    parts->topic.partitions = &parts->partition;
    parts->topic.partitions_count = 1;
    parts->request.max_wait_ms = wait_ms;
    parts->request.min_bytes = min_bytes;
    parts->request.topics = &parts->topic;
    parts->request.topics_count = 1;
    return &parts->request;
}

static const struct kafka_fetch_response_partition *fetched(const struct kafka_fetch_response *response) {
    assert_int_equal(response->error_code, 0);
    assert_int_equal(response->session_id, 0);
    return &response->responses[0].partitions[0];
}

static void send_api_versions(struct kafka_world_client *client, int32_t correlation_id) {
    struct kafka_api_versions_request request = {SLICE_LITERAL("test"), SLICE_LITERAL("1.0")};
    kafka_world_send(client, KAFKA_API_VERSIONS, 3, correlation_id, &request);
}

/* ---- produce and fetch -----------------------------------------------------------------------------------
 */

static void every_version_and_codec_brings_back_the_same_bytes(void **state) {
    (void)state;
    kafka_world_topic(&world, "t", 1);
    const struct kafka_api *produces = kafka_api_find(KAFKA_PRODUCE), *fetches = kafka_api_find(KAFKA_FETCH);
    struct uuid id = broker_topic_find(world.broker, SLICE_LITERAL("t"))->id;
    int64_t offset = 0;
    for (int codec = CODEC_NONE; codec < CODEC_COUNT; codec++) {
        for (int16_t version = 3; version <= produces->last; version++) {
            struct buffer *batch = kafka_world_batch(3, (enum record_codec)codec);
            const struct kafka_produce_response_partition *out = produce(
                "t", 0, slice_make(batch->data, batch->size), version);
            assert_int_equal(out->error_code, 0);
            assert_int_equal(out->base_offset, offset);
            record_batch_set_base(batch->data, offset, 0);
            int16_t fetch_version = (int16_t)MIN(fetches->first + version + 1, fetches->last);
            struct fetch_parts parts;
            fetch_request(&parts, "t", offset, 0, 1);
            parts.topic.topic_id = id;
            const struct kafka_fetch_response_partition *in = fetched(
                kafka_world_call(&world, KAFKA_FETCH, fetch_version, &parts.request));
            assert_int_equal(in->error_code, 0);
            assert_int_equal(in->high_watermark, offset + 3);
            assert_slice_equal(in->records.bytes, slice_make(batch->data, batch->size));
            buffer_unref(batch);
            offset += 3;
        }
    }
}

static void an_offset_inside_a_batch_brings_the_whole_batch(void **state) {
    (void)state;
    kafka_world_topic(&world, "t", 1);
    produce_records("t", 0, 10, CODEC_NONE);
    struct fetch_parts parts;
    const struct kafka_fetch_response_partition *in = fetched(
        kafka_world_call(&world, KAFKA_FETCH, 11, fetch_request(&parts, "t", 7, 0, 1)));
    struct record_batch batch;
    assert_status(record_batch_read(in->records.bytes, &batch), STATUS_OK);
    assert_int_equal(batch.base_offset, 0);
    assert_int_equal(batch.record_count, 10);
}

static void a_batch_above_the_limits_is_given_all_the_same(void **state) {
    (void)state;
    kafka_world_topic(&world, "t", 1);
    produce_records("t", 0, 100, CODEC_NONE);
    struct fetch_parts parts;
    fetch_request(&parts, "t", 0, 0, 1);
    parts.request.max_bytes = parts.partition.partition_max_bytes = 1;
    const struct kafka_fetch_response_partition *in = fetched(
        kafka_world_call(&world, KAFKA_FETCH, 11, &parts.request));
    assert_true(in->records.bytes.size > 1000);
}

static void fetch_errors(void **state) {
    (void)state;
    kafka_world_topic(&world, "t", 1);
    produce_records("t", 0, 5, CODEC_NONE);
    struct fetch_parts parts;
    const struct kafka_fetch_response_partition *in = fetched(
        kafka_world_call(&world, KAFKA_FETCH, 11, fetch_request(&parts, "t", 6, 1000, 1)));
    assert_int_equal(in->error_code, 1); /* OFFSET_OUT_OF_RANGE */
    assert_int_equal(in->high_watermark, 5);
    in = fetched(kafka_world_call(&world, KAFKA_FETCH, 11, fetch_request(&parts, "none", 0, 1000, 1)));
    assert_int_equal(in->error_code, 3); /* UNKNOWN_TOPIC_OR_PARTITION */
    in = fetched(kafka_world_call(&world, KAFKA_FETCH, 13, fetch_request(&parts, "t", 0, 1000, 1)));
    assert_int_equal(in->error_code, 100); /* UNKNOWN_TOPIC_ID: zero is nobody's */
    fetch_request(&parts, "t", 0, 1000, 1);
    parts.partition.current_leader_epoch = 1000;
    in = fetched(kafka_world_call(&world, KAFKA_FETCH, 11, &parts.request));
    assert_int_equal(in->error_code, 75); /* UNKNOWN_LEADER_EPOCH */
    fetch_request(&parts, "t", 0, 1000, 1);
    parts.request.session_id = 77;
    struct kafka_fetch_response *response = kafka_world_call(&world, KAFKA_FETCH, 11, &parts.request);
    assert_int_equal(response->error_code, 70); /* FETCH_SESSION_ID_NOT_FOUND */
}

static void produce_refusals(void **state) {
    (void)state;
    kafka_world_topic(&world, "t", 1);
    struct buffer *batch = kafka_world_batch(3, CODEC_NONE);
    struct slice bytes = slice_make(batch->data, batch->size);
    assert_int_equal(produce("none", 0, bytes, 9)->error_code, 3);
    assert_int_equal(produce("none", 0, bytes, 13)->error_code, 100); /* an id that nobody has */
    assert_int_equal(produce("t", 1, bytes, 9)->error_code, 3);
    assert_int_equal(produce("t", 1, bytes, 13)->error_code, 3);
    assert_int_equal(produce("t", -1, bytes, 9)->error_code, 3);
    assert_int_equal(produce("t", 0, SLICE_EMPTY, 9)->error_code, 87);
    assert_int_equal(produce("t", 0, SLICE_LITERAL("no batch"), 9)->error_code, 2);
    batch->data[batch->size - 1] ^= 1;
    assert_int_equal(produce("t", 0, bytes, 9)->error_code, 2); /* CORRUPT_MESSAGE */
    batch->data[16] = 1;
    assert_int_equal(produce("t", 0, bytes, 2)->error_code, 43); /* UNSUPPORTED_FOR_MESSAGE_FORMAT */
    struct buffer *large = buffer_new(2 * MIB);
    memset(large->data, 2, large->size);
    const struct kafka_produce_response_partition *out = produce("t", 0, slice_make(large->data, large->size),
                                                                 9);
    assert_int_equal(out->error_code, 10); /* MESSAGE_TOO_LARGE */
    assert_true(out->error_message.size > 0);
    assert_int_equal(out->base_offset, -1);
    buffer_unref(large);
    struct produce parts;
    struct kafka_produce_response *response = kafka_world_call(&world, KAFKA_PRODUCE, 9,
                                                               produce_request(&parts, "t", 0, bytes, 2));
    assert_int_equal(response->responses[0].partition_responses[0].error_code,
                     21); /* INVALID_REQUIRED_ACKS */
    produce_request(&parts, "t", 0, bytes, -1);
    parts.request.transactional_id = SLICE_LITERAL("tx");
    response = kafka_world_call(&world, KAFKA_PRODUCE, 9, &parts.request);
    assert_int_equal(response->responses[0].partition_responses[0].error_code, 43);
    buffer_unref(batch);
    assert_int_equal(produce_records("t", 0, 1, CODEC_NONE), 0); /* none of them took an offset */
}

static void acks_zero_has_no_answer(void **state) {
    (void)state;
    kafka_world_topic(&world, "t", 1);
    struct buffer *batch = kafka_world_batch(3, CODEC_NONE);
    struct produce parts;
    for (int i = 0; i < 3; i++)
        kafka_world_send(&world.client, KAFKA_PRODUCE, 9, i,
                         produce_request(&parts, "t", 0, slice_make(batch->data, batch->size), 0));
    send_api_versions(&world.client, 8);
    kafka_world_receive(&world, &world.client, KAFKA_API_VERSIONS, 3, 8); /* nothing stood before it */
    struct fetch_parts fetch;
    const struct kafka_fetch_response_partition *in = fetched(
        kafka_world_call(&world, KAFKA_FETCH, 11, fetch_request(&fetch, "t", 0, 0, 1)));
    assert_int_equal(in->high_watermark, 9);
    /* A refusal can only be told by closing. */
    kafka_world_send(&world.client, KAFKA_PRODUCE, 9, 9,
                     produce_request(&parts, "none", 0, slice_make(batch->data, batch->size), 0));
    kafka_world_expect_closed(&world, &world.client);
    buffer_unref(batch);
}

/* ---- order, long polls ------------------------------------------------------------------------------------
 */

static void answers_come_in_the_order_of_the_requests(void **state) {
    (void)state;
    kafka_world_topic(&world, "t", 1);
    struct fetch_parts parts;
    fetch_request(&parts, "t", 0, 500, 1);
    parts.request.max_bytes = MIB; /* small enough not to pause the connection */
    kafka_world_send(&world.client, KAFKA_FETCH, 11, 1, &parts.request);
    send_api_versions(&world.client, 2);
    struct buffer *batch = kafka_world_batch(3, CODEC_NONE);
    struct produce produced;
    kafka_world_send(&world.client, KAFKA_PRODUCE, 9, 3,
                     produce_request(&produced, "none", 0, slice_make(batch->data, batch->size), -1));
    buffer_unref(batch);
    kafka_world_run(&world, 300);
    assert_false(kafka_world_has_response(&world.client)); /* the first one still waits */
    struct kafka_fetch_response *first = kafka_world_receive(&world, &world.client, KAFKA_FETCH, 11, 1);
    assert_int_equal(fetched(first)->records.bytes.size, 0);
    assert_non_null(fetched(first)->records.bytes.data); /* empty, not null */
    kafka_world_receive(&world, &world.client, KAFKA_API_VERSIONS, 3, 2);
    kafka_world_receive(&world, &world.client, KAFKA_PRODUCE, 9, 3);
}

static void a_long_poll_ends_when_records_come(void **state) {
    (void)state;
    kafka_world_topic(&world, "t", 1);
    struct kafka_world_client reader;
    kafka_world_connect(&world, &reader);
    struct fetch_parts parts;
    kafka_world_send(&reader, KAFKA_FETCH, 11, 1, fetch_request(&parts, "t", 0, 30000, 1));
    kafka_world_run(&world, 1000);
    assert_false(kafka_world_has_response(&reader));
    produce_records("t", 0, 3, CODEC_NONE);
    kafka_world_run(&world, 50);
    assert_true(kafka_world_has_response(&reader));
    struct kafka_fetch_response *response = kafka_world_receive(&world, &reader, KAFKA_FETCH, 11, 1);
    assert_int_equal(fetched(response)->high_watermark, 3);
    kafka_world_disconnect(&world, &reader);
}

static void a_client_that_leaves_takes_its_requests_along(void **state) {
    (void)state;
    kafka_world_topic(&world, "t", 1);
    struct kafka_world_client reader;
    kafka_world_connect(&world, &reader);
    struct fetch_parts parts;
    fetch_request(&parts, "t", 0, 30000, 1);
    parts.request.max_bytes = KIB;
    for (int i = 0; i < 20; i++)
        kafka_world_send(&reader, KAFKA_FETCH, 11, i, &parts.request);
    struct buffer *batch = kafka_world_batch(3, CODEC_NONE);
    struct produce produced;
    kafka_world_send(&reader, KAFKA_PRODUCE, 9, 20,
                     produce_request(&produced, "t", 0, slice_make(batch->data, batch->size), -1));
    buffer_unref(batch);
    kafka_world_disconnect(&world, &reader);
    /* What was sent is stored or not; the broker serves on. */
    produce_records("t", 0, 3, CODEC_NONE);
}

static void requests_beyond_the_limit_wait(void **state) {
    (void)state;
    kafka_world_topic(&world, "t", 1);
    struct fetch_parts parts;
    fetch_request(&parts, "t", 0, 100, 1);
    parts.request.max_bytes = KIB;
    for (int i = 0; i < 300; i++)
        kafka_world_send(&world.client, KAFKA_FETCH, 11, i, &parts.request);
    for (int i = 0; i < 300; i++)
        kafka_world_receive(&world, &world.client, KAFKA_FETCH, 11, i);
    struct broker_stats stats;
    broker_stats(world.broker, &stats);
    assert_true(stats.fetches >= 300);
}

static void draining_answers_long_polls_and_closes(void **state) {
    (void)state;
    kafka_world_topic(&world, "t", 1);
    struct kafka_world_client reader, idle;
    kafka_world_connect(&world, &reader);
    kafka_world_connect(&world, &idle);
    send_api_versions(&idle, 1);
    kafka_world_receive(&world, &idle, KAFKA_API_VERSIONS, 3, 1);
    struct fetch_parts parts;
    fetch_request(&parts, "t", 0, 30000, 1);
    parts.request.max_bytes = KIB;
    for (int i = 0; i < 3; i++)
        kafka_world_send(&reader, KAFKA_FETCH, 11, i, &parts.request);
    kafka_world_run(&world, 100);
    kafka_world_drain_start(&world, 10000);
    for (int i = 0; i < 3; i++) {
        struct kafka_fetch_response *response = kafka_world_receive(&world, &reader, KAFKA_FETCH, 11, i);
        assert_int_equal(fetched(response)->error_code, 6); /* go and ask who leads now */
    }
    kafka_world_expect_closed(&world, &reader);
    kafka_world_expect_closed(&world, &idle);
    kafka_world_run(&world, 100);
    assert_true(world.drained);
    kafka_world_disconnect(&world, &reader);
    kafka_world_disconnect(&world, &idle);
}

/* ---- frames -------------------------------------------------------------------------------------------- */

static void a_frame_may_come_byte_by_byte(void **state) {
    (void)state;
    struct chain chain;
    chain_init(&chain);
    struct kafka_api_versions_request request = {SLICE_LITERAL("test"), SLICE_LITERAL("1.0")};
    kafka_encode_request(kafka_api_find(KAFKA_API_VERSIONS), 3, 5, SLICE_EMPTY, &request, &chain);
    struct buffer *frame = chain_flatten(&chain);
    for (size_t i = 0; i < frame->size; i++) {
        kafka_world_send_bytes(&world.client, slice_make(frame->data + i, 1));
        kafka_world_run(&world, 1);
    }
    kafka_world_receive(&world, &world.client, KAFKA_API_VERSIONS, 3, 5);
    buffer_unref(frame);
    chain_release(&chain);
}

static void hostile_frames_close_only_their_connection(void **state) {
    (void)state;
    static const struct slice frames[] = {
        {(const uint8_t *)"\0\0\0\0", 4},                                            /* empty */
        {(const uint8_t *)"\0\0\0\3\0\3\0", 7},                                      /* cut in the header */
        {(const uint8_t *)"\5\0\0\0", 4},                                            /* 80 MiB */
        {(const uint8_t *)"\x7f\xff\xff\xff", 4},                                    /* not Kafka */
        {(const uint8_t *)"\xff\xff\xff\xff", 4},                                    /* negative */
        {(const uint8_t *)"\0\0\0\x0a\x03\xe8\0\0\0\0\0\1\xff\xff", 14},             /* key 1000 */
        {(const uint8_t *)"\0\0\0\x0a\0\3\0\x63\0\0\0\1\xff\xff", 14},               /* version 99 */
        {(const uint8_t *)"\0\0\0\x0a\0\3\xff\xff\0\0\0\1\xff\xff", 14},             /* version -1 */
        {(const uint8_t *)"\0\0\0\x0e\0\3\0\4\0\0\0\1\xff\xff\x7f\xff\xff\xff", 18}, /* many topics */
        {(const uint8_t *)"\0\0\0\x0e\0\3\0\4\0\0\0\1\x7f\xff\0\0\0\0", 18},         /* long client id */
    };
    for (size_t i = 0; i < ARRAY_COUNT(frames); i++) {
        struct kafka_world_client client;
        kafka_world_connect(&world, &client);
        kafka_world_send_bytes(&client, frames[i]);
        kafka_world_expect_closed(&world, &client);
        kafka_world_disconnect(&world, &client);
    }
    send_api_versions(&world.client, 1);
    kafka_world_receive(&world, &world.client, KAFKA_API_VERSIONS, 3, 1);
}

static void api_versions_answers_any_version(void **state) {
    (void)state;
    /* version 99 with a header of the future: answered in version 0 (KIP-511) */
    kafka_world_send_bytes(&world.client, slice_make("\0\0\0\x0b\0\x12\0\x63\0\0\0\7\xff\xff\0", 15));
    struct kafka_api_versions_response *response = kafka_world_receive(&world, &world.client,
                                                                       KAFKA_API_VERSIONS, 0, 7);
    assert_int_equal(response->error_code, 35);
    assert_int_equal(response->api_keys_count, 1);
    assert_int_equal(response->api_keys[0].api_key, KAFKA_API_VERSIONS);
    assert_int_equal(response->api_keys[0].max_version, 4);
    static const char *const names[] = {"", "-x", "x-", "a b", "a/b", "\xc3\xa4"};
    for (size_t i = 0; i < ARRAY_COUNT(names); i++) {
        struct kafka_api_versions_request request = {slice_from_text(names[i]), SLICE_LITERAL("1")};
        response = kafka_world_call(&world, KAFKA_API_VERSIONS, 3, &request);
        assert_int_equal(response->error_code, 42);
    }
    for (int16_t version = 0; version <= 4; version++) {
        struct kafka_api_versions_request request = {SLICE_LITERAL("a-b.c"), SLICE_LITERAL("1")};
        response = kafka_world_call(&world, KAFKA_API_VERSIONS, version, &request);
        assert_int_equal(response->error_code, 0);
        assert_true(response->api_keys_count > 15);
    }
}

/* ---- topics and their neighbours ----------------------------------------------------------------------- */

static struct kafka_metadata_response *metadata(const char *name, bool create) {
    struct kafka_metadata_request_topic topic = {.name = slice_from_text(name)};
    struct kafka_metadata_request request;
    kafka_message_init(&kafka_schema_metadata_request, &request);
    request.topics = &topic;
    request.topics_count = 1;
    request.allow_auto_topic_creation = create;
    return kafka_world_call(&world, KAFKA_METADATA, 12, &request);
}

static void metadata_tells_and_makes_topics(void **state) {
    (void)state;
    assert_int_equal(metadata("made", false)->topics[0].error_code, 3);
    assert_int_equal(metadata("../etc", true)->topics[0].error_code, 17);
    struct kafka_metadata_response *response = metadata("made", true);
    assert_int_equal(response->topics[0].error_code, 0);
    assert_int_equal(response->topics[0].partitions_count, 1);
    assert_int_equal(response->topics[0].partitions[0].leader_id, response->brokers[0].node_id);
    assert_slice_equal(response->brokers[0].host, SLICE_LITERAL("127.0.0.1"));
    assert_int_equal(response->cluster_id.size, 22);
    struct uuid id = response->topics[0].topic_id;
    assert_false(uuid_is_zero(id));
    /* by id; and a name that stands a thousand times is answered once */
    struct kafka_metadata_request_topic topics[1000] = {{.topic_id = id}};
    for (size_t i = 1; i < ARRAY_COUNT(topics); i++)
        topics[i].name = SLICE_LITERAL("made");
    struct kafka_metadata_request request;
    kafka_message_init(&kafka_schema_metadata_request, &request);
    request.topics = topics;
    request.topics_count = ARRAY_COUNT(topics);
    response = kafka_world_call(&world, KAFKA_METADATA, 12, &request);
    assert_int_equal(response->topics_count, 2);
    assert_slice_equal(response->topics[0].name, SLICE_LITERAL("made"));
    assert_slice_equal(response->topics[1].name, SLICE_LITERAL("made"));
    /* all topics: none named in version 0, null later; none named later is none */
    request.topics_count = 0;
    response = kafka_world_call(&world, KAFKA_METADATA, 0, &request);
    assert_int_equal(response->topics_count, 1);
    response = kafka_world_call(&world, KAFKA_METADATA, 9, &request);
    assert_int_equal(response->topics_count, 0);
    request.topics_count = -1;
    response = kafka_world_call(&world, KAFKA_METADATA, 9, &request);
    assert_int_equal(response->topics_count, 1);
    response = kafka_world_call(&world, KAFKA_METADATA, 13, &request);
    assert_int_equal(response->error_code, 0); /* no reason to begin again with other addresses */
    assert_int_equal(response->topics_count, 1);
}

static int16_t create_status(const char *name, int32_t partitions, int16_t replication, bool twice) {
    struct kafka_create_topics_request_topic topics[2];
    for (int i = 0; i < 2; i++) {
        kafka_message_init(&kafka_schema_create_topics_request_topic, &topics[i]);
        topics[i].name = slice_from_text(name);
        topics[i].num_partitions = partitions;
        topics[i].replication_factor = replication;
    }
    struct kafka_create_topics_request request;
    kafka_message_init(&kafka_schema_create_topics_request, &request);
    request.topics = topics;
    request.topics_count = twice ? 2 : 1;
    struct kafka_create_topics_response *response = kafka_world_call(&world, KAFKA_CREATE_TOPICS, 5,
                                                                     &request);
    assert_int_equal(response->topics_count, request.topics_count);
    return response->topics[0].error_code;
}

static void topics_are_made_and_deleted(void **state) {
    (void)state;
    assert_int_equal(create_status("a", 3, 1, false), 0);
    assert_int_equal(create_status("a", 3, 1, false), 36);
    assert_int_equal(create_status("b", -1, -1, false), 0);
    assert_int_equal(create_status("c", 0, 1, false), 37);
    assert_int_equal(create_status("c", -2, 1, false), 37);
    assert_int_equal(create_status("c", 1000000, 1, false), 37);
    assert_int_equal(create_status("c", 1, 3, false), 38);
    assert_int_equal(create_status("c", 1, 1, true), 42);
    assert_int_equal(create_status("..", 1, 1, false), 17);
    struct kafka_create_partitions_request_topic more = {
        .name = SLICE_LITERAL("a"), .count = 5, .assignments_count = -1};
    struct kafka_create_partitions_request grow = {.topics = &more, .topics_count = 1};
    struct kafka_create_partitions_response *grown = kafka_world_call(&world, KAFKA_CREATE_PARTITIONS, 3,
                                                                      &grow);
    assert_int_equal(grown->results[0].error_code, 0);
    more.count = 2;
    grown = kafka_world_call(&world, KAFKA_CREATE_PARTITIONS, 3, &grow);
    assert_int_equal(grown->results[0].error_code, 37);
    assert_int_equal(metadata("a", false)->topics[0].partitions_count, 5);
    struct kafka_delete_topics_request_topic gone[2] = {{.name = SLICE_LITERAL("a")},
                                                        {.topic_id = {{1, 2, 3}}}};
    struct kafka_delete_topics_request request = {.topics = gone, .topics_count = 2};
    struct kafka_delete_topics_response *response = kafka_world_call(&world, KAFKA_DELETE_TOPICS, 6,
                                                                     &request);
    assert_int_equal(response->responses[0].error_code, 0);
    assert_int_equal(response->responses[1].error_code, 100);
    assert_int_equal(metadata("a", false)->topics[0].error_code, 3);
}

static int16_t alter(const char *name, const char *value, int8_t operation) {
    struct kafka_incremental_alter_configs_request_config config = {
        .name = slice_from_text(name),
        .config_operation = operation,
        .value = value == NULL ? SLICE_EMPTY : slice_from_text(value)};
    struct kafka_incremental_alter_configs_request_resource resource = {
        .resource_type = 2, .resource_name = SLICE_LITERAL("t"), .configs = &config, .configs_count = 1};
    struct kafka_incremental_alter_configs_request request = {.resources = &resource, .resources_count = 1};
    struct kafka_incremental_alter_configs_response *response = kafka_world_call(
        &world, KAFKA_INCREMENTAL_ALTER_CONFIGS, 1, &request);
    return response->responses[0].error_code;
}

static void send_alter(const char *name, const char *value, int32_t correlation_id) {
    struct kafka_incremental_alter_configs_request_config config = {.name = slice_from_text(name),
                                                                    .value = slice_from_text(value)};
    struct kafka_incremental_alter_configs_request_resource resource = {
        .resource_type = 2, .resource_name = SLICE_LITERAL("t"), .configs = &config, .configs_count = 1};
    struct kafka_incremental_alter_configs_request request = {.resources = &resource, .resources_count = 1};
    kafka_world_send(&world.client, KAFKA_INCREMENTAL_ALTER_CONFIGS, 1, correlation_id, &request);
}

static const struct kafka_describe_configs_response_config *describe(const char *name) {
    struct slice keys[1] = {slice_from_text(name)};
    struct kafka_describe_configs_request_resource resource = {.resource_type = 2,
                                                               .resource_name = SLICE_LITERAL("t"),
                                                               .configuration_keys = keys,
                                                               .configuration_keys_count = 1};
    struct kafka_describe_configs_request request = {.resources = &resource,
                                                     .resources_count = 1,
                                                     .include_synonyms = true,
                                                     .include_documentation = true};
    struct kafka_describe_configs_response *response = kafka_world_call(&world, KAFKA_DESCRIBE_CONFIGS, 4,
                                                                        &request);
    assert_int_equal(response->results[0].error_code, 0);
    assert_int_equal(response->results[0].configs_count, 1);
    return &response->results[0].configs[0];
}

static void configs_are_described_and_altered(void **state) {
    (void)state;
    kafka_world_topic(&world, "t", 1);
    assert_int_equal(describe("retention.ms")->config_source, 5); /* DEFAULT_CONFIG */
    assert_int_equal(alter("retention.ms", "1234", 0), 0);
    const struct kafka_describe_configs_response_config *config = describe("retention.ms");
    assert_slice_equal(config->value, SLICE_LITERAL("1234"));
    assert_int_equal(config->config_source, 1); /* TOPIC_CONFIG */
    assert_int_equal(config->synonyms_count, 2);
    assert_true(config->documentation.size > 0);
    assert_int_equal(alter("retention.ms", NULL, 1), 0);
    assert_int_equal(describe("retention.ms")->config_source, 5);
    assert_int_equal(alter("cleanup.policy", "compact", 2), 0);
    assert_int_equal(describe("cleanup.policy")->value.size, strlen("compact,delete"));
    assert_int_equal(alter("cleanup.policy", "delete", 3), 0);
    assert_slice_equal(describe("cleanup.policy")->value, SLICE_LITERAL("compact"));
    assert_int_equal(alter("retention.ms", "5", 2), 40); /* no list */
    assert_int_equal(alter("retention.ms", "many", 0), 40);
    assert_int_equal(alter("no.such.config", "1", 0), 40);
    assert_int_equal(alter("no.such.config", NULL, 1), 0);
    for (int8_t operation = 0; operation <= 1; operation++) {
        struct kafka_incremental_alter_configs_request_config config_change = {
            SLICE_LITERAL("leader.replication.throttled.rate"), operation, SLICE_LITERAL("1")};
        struct kafka_incremental_alter_configs_request_resource node = {4, SLICE_LITERAL("1"), &config_change,
                                                                        1};
        struct kafka_incremental_alter_configs_request on_node = {&node, 1, false};
        const struct kafka_incremental_alter_configs_response *told = kafka_world_call(
            &world, KAFKA_INCREMENTAL_ALTER_CONFIGS, 1, &on_node);
        assert_int_equal(told->responses[0].error_code, operation == 1 ? 0 : 42);
    }
    assert_int_equal(alter("retention.ms", NULL, 0), 40);
    assert_int_equal(alter("retention.ms", "1", 9), 42);
}

static void produce_to(struct kafka_world_client *client, const char *topic, int32_t id) {
    struct buffer *batch = kafka_world_batch(3, CODEC_NONE);
    struct kafka_produce_request_partition partition = {
        .records = {.bytes = slice_make(batch->data, batch->size)}};
    struct kafka_produce_request_topic data = {
        .name = slice_from_text(topic), .partition_data = &partition, .partition_data_count = 1};
    struct kafka_produce_request request = {.acks = -1, .topic_data = &data, .topic_data_count = 1};
    kafka_world_send(client, KAFKA_PRODUCE, 7, id, &request);
    buffer_unref(batch);
}

static void a_slow_disk_holds_back_who_produces_and_nobody_else(void **state) {
    (void)state;
    struct kafka_world_client reader;
    kafka_world_topic(&world, "t", 1);
    kafka_world_connect(&world, &reader);
    struct broker_options *options = (struct broker_options *)(uintptr_t)broker_get_options(world.broker);
    options->append_bytes_in_flight_max = 1;
    io_sim_disk_faults(world.sim, 0)->slow_factor = 3000;
    struct kafka_api_versions_request request = {0};
    produce_to(&world.client, "t", 1);
    kafka_world_run(&world, 20);
    assert_true(broker_overloaded(world.broker));
    for (int32_t id = 0; id < 3; id++)
        kafka_world_send(&reader, KAFKA_API_VERSIONS, 0, id, &request);
    kafka_world_send(&world.client, KAFKA_API_VERSIONS, 0, 2, &request);
    kafka_world_run(&world, 20);
    for (int32_t id = 0; id < 3; id++) {
        assert_true(kafka_world_has_response(&reader));
        (void)kafka_world_receive(&world, &reader, KAFKA_API_VERSIONS, 0, id);
    }
    assert_false(kafka_world_has_response(&world.client));
    io_sim_disk_faults(world.sim, 0)->slow_factor = 1;
    (void)kafka_world_receive(&world, &world.client, KAFKA_PRODUCE, 7, 1);
    (void)kafka_world_receive(&world, &world.client, KAFKA_API_VERSIONS, 0, 2);
    kafka_world_disconnect(&world, &reader);
}

static void of_two_config_changes_under_way_none_is_lost(void **state) {
    (void)state;
    kafka_world_topic(&world, "t", 1);
    send_alter("retention.ms", "1234", 71);
    send_alter("max.message.bytes", "5678", 72);
    for (int32_t id = 71; id <= 72; id++) {
        struct kafka_incremental_alter_configs_response *response = kafka_world_receive(
            &world, &world.client, KAFKA_INCREMENTAL_ALTER_CONFIGS, 1, id);
        assert_int_equal(response->responses[0].error_code, 0);
    }
    assert_slice_equal(describe("retention.ms")->value, SLICE_LITERAL("1234"));
    assert_slice_equal(describe("max.message.bytes")->value, SLICE_LITERAL("5678"));
}

static const struct kafka_list_offsets_response_partition *list_offset(int64_t timestamp) {
    struct kafka_list_offsets_request_partition partition;
    kafka_message_init(&kafka_schema_list_offsets_request_partition, &partition);
    partition.timestamp = timestamp;
    struct kafka_list_offsets_request_topic topic = {
        .name = SLICE_LITERAL("t"), .partitions = &partition, .partitions_count = 1};
    struct kafka_list_offsets_request request;
    kafka_message_init(&kafka_schema_list_offsets_request, &request);
    request.topics = &topic;
    request.topics_count = 1;
    struct kafka_list_offsets_response *response = kafka_world_call(&world, KAFKA_LIST_OFFSETS, 9, &request);
    return &response->topics[0].partitions[0];
}

static void offsets_by_place_and_time(void **state) {
    (void)state;
    kafka_world_topic(&world, "t", 1);
    produce_records("t", 0, 10, CODEC_ZSTD); /* stamped 1700000000000 + 0..9 */
    assert_int_equal(list_offset(-1)->offset, 10);
    assert_int_equal(list_offset(-2)->offset, 0);
    assert_int_equal(list_offset(-4)->offset, 0);
    assert_int_equal(list_offset(-5)->offset, -1);
    assert_int_equal(list_offset(-6)->error_code, 35);
    assert_int_equal(list_offset(1700000000004)->offset, 4);
    assert_int_equal(list_offset(1700000000004)->timestamp, 1700000000004);
    assert_int_equal(list_offset(1800000000000)->offset, -1);
    assert_int_equal(list_offset(-3)->timestamp, 1700000000009);
    struct kafka_delete_records_request_partition partition = {.partition_index = 0, .offset = 4};
    struct kafka_delete_records_request_topic topic = {
        .name = SLICE_LITERAL("t"), .partitions = &partition, .partitions_count = 1};
    struct kafka_delete_records_request request = {.topics = &topic, .topics_count = 1};
    struct kafka_delete_records_response *deleted = kafka_world_call(&world, KAFKA_DELETE_RECORDS, 2,
                                                                     &request);
    assert_int_equal(deleted->topics[0].partitions[0].error_code, 0);
    assert_int_equal(deleted->topics[0].partitions[0].low_watermark, 4);
    assert_int_equal(list_offset(-2)->offset, 4);
    struct kafka_offset_for_leader_epoch_request_partition asked = {.current_leader_epoch = -1};
    struct kafka_offset_for_leader_epoch_request_topic asked_topic = {
        .topic = SLICE_LITERAL("t"), .partitions = &asked, .partitions_count = 1};
    struct kafka_offset_for_leader_epoch_request epochs = {
        .replica_id = -1, .topics = &asked_topic, .topics_count = 1};
    struct kafka_offset_for_leader_epoch_response *ends = kafka_world_call(
        &world, KAFKA_OFFSET_FOR_LEADER_EPOCH, 4, &epochs);
    assert_int_equal(ends->topics[0].partitions[0].end_offset, 10);
    asked.leader_epoch = 7;
    ends = kafka_world_call(&world, KAFKA_OFFSET_FOR_LEADER_EPOCH, 4, &epochs);
    assert_int_equal(ends->topics[0].partitions[0].end_offset, -1);
}

static void producer_ids(void **state) {
    (void)state;
    struct kafka_init_producer_id_request request;
    kafka_message_init(&kafka_schema_init_producer_id_request, &request);
    struct kafka_init_producer_id_response *first = kafka_world_call(&world, KAFKA_INIT_PRODUCER_ID, 4,
                                                                     &request);
    struct kafka_init_producer_id_response *second = kafka_world_call(&world, KAFKA_INIT_PRODUCER_ID, 0,
                                                                      &request);
    assert_int_equal(first->error_code, 0);
    assert_int_equal(first->producer_epoch, 0);
    assert_true(second->producer_id > first->producer_id);
    request.transactional_id = SLICE_LITERAL("tx");
    first = kafka_world_call(&world, KAFKA_INIT_PRODUCER_ID, 4, &request);
    assert_int_equal(first->error_code, 50); /* a transaction's timeout is not 0 */
    assert_int_equal(first->producer_id, -1);
}

static void the_cluster_describes_itself(void **state) {
    (void)state;
    kafka_world_topic(&world, "a", 3);
    kafka_world_topic(&world, "b", 4);
    struct kafka_describe_cluster_request cluster = {.endpoint_type = 1};
    struct kafka_describe_cluster_response *one = kafka_world_call(&world, KAFKA_DESCRIBE_CLUSTER, 1,
                                                                   &cluster);
    assert_int_equal(one->brokers_count, 1);
    cluster.include_fenced_brokers = true;
    one = kafka_world_call(&world, KAFKA_DESCRIBE_CLUSTER, 2, &cluster);
    assert_int_equal(one->brokers_count, 1);
    assert_false(one->brokers[0].is_fenced);
    cluster.endpoint_type = 2;
    one = kafka_world_call(&world, KAFKA_DESCRIBE_CLUSTER, 1, &cluster);
    assert_int_equal(one->error_code, 114);
    struct kafka_describe_topic_partitions_request request = {.response_partition_limit = 5};
    struct kafka_describe_topic_partitions_response *page = kafka_world_call(
        &world, KAFKA_DESCRIBE_TOPIC_PARTITIONS, 0, &request);
    assert_int_equal(page->topics_count, 2);
    assert_int_equal(page->topics[1].partitions_count, 2);
    assert_slice_equal(page->next_cursor->topic_name, SLICE_LITERAL("b"));
    assert_int_equal(page->next_cursor->partition_index, 2);
    request.cursor = page->next_cursor;
    page = kafka_world_call(&world, KAFKA_DESCRIBE_TOPIC_PARTITIONS, 0, &request);
    assert_int_equal(page->topics_count, 1);
    assert_int_equal(page->topics[0].partitions[0].partition_index, 2);
    assert_null(page->next_cursor);
    produce_records("a", 1, 5, CODEC_NONE);
    struct kafka_describe_log_dirs_request dirs = {.topics_count = -1};
    struct kafka_describe_log_dirs_response *sizes = kafka_world_call(&world, KAFKA_DESCRIBE_LOG_DIRS, 5,
                                                                      &dirs);
    assert_false(sizes->results[0].is_cordoned);
    assert_int_equal(sizes->results[0].topics_count, 2);
    assert_int_equal(sizes->results[0].topics[0].partitions_count, 3);
    assert_true(sizes->results[0].topics[0].partitions[1].partition_size > 0);
    assert_int_equal(sizes->results[0].topics[0].partitions[2].partition_size, 0);
    struct kafka_list_partition_reassignments_request moves = {.topics_count = -1};
    struct kafka_list_partition_reassignments_response *moving = kafka_world_call(
        &world, KAFKA_LIST_PARTITION_REASSIGNMENTS, 0, &moves);
    assert_int_equal(moving->topics_count, 0);
    int32_t nodes[] = {1, 2};
    struct kafka_alter_partition_reassignments_request_partition move = {0, nodes, 2};
    struct kafka_alter_partition_reassignments_request_topic topic = {SLICE_LITERAL("a"), &move, 1};
    struct kafka_alter_partition_reassignments_request alter = {.topics = &topic, .topics_count = 1};
    struct kafka_alter_partition_reassignments_response *altered = kafka_world_call(
        &world, KAFKA_ALTER_PARTITION_REASSIGNMENTS, 1, &alter);
    assert_false(altered->allow_replication_factor_change);
    assert_int_equal(altered->responses[0].partitions[0].error_code, 38);
    struct kafka_find_coordinator_request group = {.key = SLICE_LITERAL("g")};
    struct kafka_find_coordinator_response *coordinator = kafka_world_call(&world, KAFKA_FIND_COORDINATOR, 2,
                                                                           &group);
    assert_int_equal(coordinator->error_code, 0);
    assert_int_equal(coordinator->node_id, 1);
    assert_true(coordinator->port > 0);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, open_world, kafka_world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_WORLD(every_version_and_codec_brings_back_the_same_bytes),
        IN_WORLD(an_offset_inside_a_batch_brings_the_whole_batch),
        IN_WORLD(a_batch_above_the_limits_is_given_all_the_same),
        IN_WORLD(fetch_errors),
        IN_WORLD(produce_refusals),
        IN_WORLD(acks_zero_has_no_answer),
        IN_WORLD(answers_come_in_the_order_of_the_requests),
        IN_WORLD(a_long_poll_ends_when_records_come),
        IN_WORLD(a_client_that_leaves_takes_its_requests_along),
        IN_WORLD(requests_beyond_the_limit_wait),
        IN_WORLD(draining_answers_long_polls_and_closes),
        IN_WORLD(a_frame_may_come_byte_by_byte),
        IN_WORLD(hostile_frames_close_only_their_connection),
        IN_WORLD(api_versions_answers_any_version),
        cmocka_unit_test_setup_teardown(metadata_tells_and_makes_topics, open_world_auto,
                                        kafka_world_teardown),
        IN_WORLD(topics_are_made_and_deleted),
        IN_WORLD(configs_are_described_and_altered),
        IN_WORLD(of_two_config_changes_under_way_none_is_lost),
        IN_WORLD(a_slow_disk_holds_back_who_produces_and_nobody_else),
        IN_WORLD(offsets_by_place_and_time),
        IN_WORLD(producer_ids),
        IN_WORLD(the_cluster_describes_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
