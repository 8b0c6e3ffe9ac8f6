// SPDX-License-Identifier: Apache-2.0
/* Connections on a simulated machine: how long somebody may hold what others wait for. */
#include "lib/test.h"

#include "broker/broker_state.h"
#include "lib/kafka_world.h"

#define TIMEOUT_MS  2000
#define LARGE       (900 * KIB)
#define UNKNOWN_API "\x7f\xff\x00\x00"

/* A second server over the same broker, with memory for one large message at a time. */
static void small_open(struct kafka_world *world, struct kafka_world *small) {
    kafka_world_open(world, 7, true);
    struct server_options options = server_options_default();
    options.memory_in_flight_max = 1 * MIB;
    options.handshake_timeout_ms = TIMEOUT_MS;
    *small = *world;
    small->drained = false;
    small->server = server_new(world->io, world->broker, &options);
    struct diagnostic why;
    assert_status(server_listen(small->server, "127.0.0.1:0", SERVER_ALL, &small->address, &why), STATUS_OK);
}

static void small_close(struct kafka_world *world, struct kafka_world *small) {
    kafka_world_drain_start(small, 1000);
    kafka_world_run(small, 2000);
    assert_true(small->drained);
    server_free(small->server);
    arena_release(&small->arena);
    kafka_world_close(world);
}

/* A frame of `size` bytes whose request is refused as soon as it is whole, cut after `sent` bytes. */
static void send_frame(struct kafka_world_client *client, uint32_t size, size_t sent) {
    struct buffer *frame = buffer_new(4 + (size_t)size);
    memset(frame->data, 0, frame->size);
    store_be32(frame->data, size);
    memcpy(frame->data + 4, UNKNOWN_API, 4);
    kafka_world_send_bytes(client, slice_make(frame->data, sent));
    buffer_unref(frame);
}

static void a_large_message_that_stops_does_not_keep_others_waiting(void **state) {
    (void)state;
    struct kafka_world world, small;
    small_open(&world, &small);
    struct kafka_world_client stalled, waiting;
    kafka_world_connect(&small, &stalled);
    kafka_world_connect(&small, &waiting);
    send_frame(&stalled, LARGE, 5000);
    kafka_world_run(&small, 100);
    send_frame(&waiting, LARGE, 4 + LARGE);
    kafka_world_run(&small, TIMEOUT_MS / 2);
    assert_false(stalled.closed);
    assert_false(waiting.closed); /* its message has no room yet, so nothing was judged */
    kafka_world_run(&small, TIMEOUT_MS * 3 / 2);
    assert_true(stalled.closed);
    kafka_world_expect_closed(&small, &waiting); /* received whole, and refused for what it says */
    kafka_world_disconnect(&small, &stalled);
    kafka_world_disconnect(&small, &waiting);
    small_close(&world, &small);
}

static void a_large_message_may_take_long_while_it_moves(void **state) {
    (void)state;
    struct kafka_world world, small;
    small_open(&world, &small);
    struct kafka_world_client slow;
    kafka_world_connect(&small, &slow);
    send_frame(&slow, LARGE, 5000);
    static const uint8_t more[200 * KIB];
    for (int i = 0; i < 4; i++) {
        kafka_world_run(&small, TIMEOUT_MS / 3);
        assert_false(slow.closed);
        kafka_world_send_bytes(&slow, slice_make(more, sizeof more));
    }
    kafka_world_disconnect(&small, &slow);
    small_close(&world, &small);
}

static void a_byte_now_and_then_does_not_keep_a_large_buffer(void **state) {
    (void)state;
    struct kafka_world world, small;
    small_open(&world, &small);
    struct kafka_world_client dripping, waiting;
    kafka_world_connect(&small, &dripping);
    kafka_world_connect(&small, &waiting);
    send_frame(&dripping, LARGE, 5000);
    kafka_world_run(&small, 100);
    send_frame(&waiting, LARGE, 4 + LARGE);
    for (int i = 0; i < 6; i++) {
        kafka_world_run(&small, TIMEOUT_MS / 2);
        if (!dripping.closed) kafka_world_send_bytes(&dripping, SLICE_LITERAL("x"));
    }
    assert_true(dripping.closed);
    kafka_world_expect_closed(&small, &waiting);
    kafka_world_disconnect(&small, &dripping);
    kafka_world_disconnect(&small, &waiting);
    small_close(&world, &small);
}

static void a_burst_leaves_nothing_behind(void **state) {
    (void)state;
    struct kafka_world world;
    kafka_world_open(&world, 8, true);
    struct kafka_world_client clients[8];
    size_t before = buffer_bytes_live();
    struct kafka_api_versions_request request = {0};
    for (size_t i = 0; i < ARRAY_COUNT(clients); i++) {
        kafka_world_connect(&world, &clients[i]);
        for (int32_t id = 0; id < 2000; id++)
            kafka_world_send(&clients[i], KAFKA_API_VERSIONS, 0, id, &request);
    }
    kafka_world_run(&world, 1000);
    for (size_t i = 0; i < ARRAY_COUNT(clients); i++) {
        for (int32_t id = 0; id < 2000; id++) {
            (void)kafka_world_receive(&world, &clients[i], KAFKA_API_VERSIONS, 0, id);
            if (id % 500 == 0) arena_clear(&world.arena); /* decoding bounds what one arena holds */
        }
    }
    kafka_world_run(&world, 30000);
    assert_true(buffer_bytes_live() < before + ARRAY_COUNT(clients) * 10 * KIB);
    /* and they serve on */
    kafka_world_send(&clients[0], KAFKA_API_VERSIONS, 0, 5, &request);
    (void)kafka_world_receive(&world, &clients[0], KAFKA_API_VERSIONS, 0, 5);
    for (size_t i = 0; i < ARRAY_COUNT(clients); i++)
        kafka_world_disconnect(&world, &clients[i]);
    kafka_world_close(&world);
}

/* Each holds a connection and a small buffer, and nobody else is any slower for it. */
static void thousands_of_idle_clients_cost_little(void **state) {
    (void)state;
    static struct kafka_world_client idle[3000];
    struct kafka_world world;
    kafka_world_open(&world, 9, true);
    struct kafka_api_versions_request request = {0};
    size_t before = buffer_bytes_live();
    for (size_t i = 0; i < ARRAY_COUNT(idle); i++) {
        kafka_world_connect(&world, &idle[i]);
        kafka_world_send(&idle[i], KAFKA_API_VERSIONS, 0, 1, &request);
        (void)kafka_world_receive(&world, &idle[i], KAFKA_API_VERSIONS, 0, 1);
        arena_clear(&world.arena);
    }
    kafka_world_run(&world, 60000);
    assert_true(buffer_bytes_live() < before + ARRAY_COUNT(idle) * 6 * KIB); /* both sides */
    for (int32_t id = 2; id < 50; id++) {
        kafka_world_send(&idle[7], KAFKA_API_VERSIONS, 0, id, &request);
        (void)kafka_world_receive(&world, &idle[7], KAFKA_API_VERSIONS, 0, id);
    }
    for (size_t i = 0; i < ARRAY_COUNT(idle); i++) {
        assert_false(idle[i].closed);
        kafka_world_disconnect(&world, &idle[i]);
    }
    kafka_world_close(&world);
}

static void an_idle_client_with_a_protocol_stays(void **state) {
    (void)state;
    struct kafka_world world, small;
    small_open(&world, &small);
    struct kafka_world_client idle, silent;
    kafka_world_connect(&small, &idle);
    kafka_world_connect(&small, &silent);
    send_frame(&idle, 100, 10);
    kafka_world_run(&small, TIMEOUT_MS * 5);
    assert_false(idle.closed);
    assert_true(silent.closed);
    kafka_world_disconnect(&small, &idle);
    kafka_world_disconnect(&small, &silent);
    small_close(&world, &small);
}

/* Whoever always sends as much as there is room for is given more room, also when nothing is ever left over.
 */
static void receiving_grows_with_what_comes(void **state) {
    (void)state;
    struct kafka_world world;
    kafka_world_open(&world, 9, true);
    io_sim_net_options(world.sim)->fragment_ppm = 0;
    static const uint8_t name[4082]; /* makes a request of 4096 bytes */
    struct kafka_api_versions_request request = {0};
    struct chain encoded;
    chain_init(&encoded);
    kafka_encode_request(kafka_api_find(KAFKA_API_VERSIONS), 0, 7, slice_make(name, sizeof name), &request,
                         &encoded);
    struct buffer *frame = chain_flatten(&encoded);
    chain_release(&encoded);
    assert_int_equal(frame->size, 4096);
    for (int i = 0; i < 3; i++) {
        kafka_world_send_bytes(&world.client, slice_make(frame->data, frame->size));
        (void)kafka_world_receive(&world, &world.client, KAFKA_API_VERSIONS, 0, 7);
    }
    buffer_unref(frame);
    size_t before = buffer_bytes_live();
    kafka_world_disconnect(&world, &world.client);
    assert_true(before - buffer_bytes_live() >= 16 * KIB);
    kafka_world_connect(&world, &world.client);
    kafka_world_close(&world);
}

/* Every client asks for much and takes nothing: together they cannot make us hold more than
 * memory_in_flight_max and a share each, and each gets everything in the end. */
static void answers_that_nobody_takes_are_bounded_together(void **state) {
    (void)state;
    enum { CLIENTS = 24, REQUESTS = 4000 };
    struct kafka_world world, small;
    small_open(&world, &small);
    static struct kafka_world_client clients[CLIENTS];
    struct kafka_api_versions_request request = {0};
    size_t before = buffer_bytes_live();
    for (int i = 0; i < CLIENTS; i++) {
        kafka_world_connect(&small, &clients[i]);
        clients[i].deaf = true;
        for (int32_t id = 0; id < REQUESTS; id++)
            kafka_world_send(&clients[i], KAFKA_API_VERSIONS, 0, id, &request);
    }
    kafka_world_run(&small, 3000);
    /* What the clients have queued themselves is counted in the same sum. */
    size_t queued = 0;
    for (int i = 0; i < CLIENTS; i++)
        queued += clients[i].out.size;
    size_t held = buffer_bytes_live() - before;
    assert_true(held < queued + 1 * MIB + (size_t)CLIENTS * 192 * KIB);
    for (int i = 0; i < CLIENTS; i++) {
        arena_clear(&small.arena);
        kafka_world_hear(&clients[i]);
        for (int32_t id = 0; id < REQUESTS; id++)
            (void)kafka_world_receive(&small, &clients[i], KAFKA_API_VERSIONS, 0, id);
        kafka_world_disconnect(&small, &clients[i]);
    }
    small_close(&world, &small);
}

/* Bytes of records in partition 0 of "read" from offset 0 that each of `count` clients is given, all of whom
 * have asked before the first is answered. */
static size_t fetched_at_once(struct kafka_world *world, struct kafka_world_client *clients, int count,
                              const struct kafka_fetch_request *request) {
    size_t bytes = 0;
    for (int i = 0; i < count; i++) {
        kafka_world_connect(world, &clients[i]);
        clients[i].deaf = true;
    }
    for (int i = 0; i < count; i++)
        kafka_world_send(&clients[i], KAFKA_FETCH, 4, i, request);
    kafka_world_run(world, 3000);
    for (int i = 0; i < count; i++) {
        arena_clear(&world->arena);
        kafka_world_hear(&clients[i]);
        const struct kafka_fetch_response *response = kafka_world_receive(world, &clients[i], KAFKA_FETCH, 4,
                                                                          i);
        const struct kafka_fetch_response_partition *part = &response->responses[0].partitions[0];
        assert_int_equal(part->error_code, 0);
        assert_true(part->records.bytes.size > 0);
        bytes += part->records.bytes.size;
        kafka_world_disconnect(world, &clients[i]);
    }
    return bytes;
}

/* Fetches that come in one turn all see that nobody waits for anything; what the first is given counts when
 * the second is read all the same, also when the first is answered by then. */
static void fetches_that_come_together_are_bounded_together(void **state) {
    (void)state;
    enum { CLIENTS = 8, LIMIT = 2 * MIB };
    struct kafka_world world;
    kafka_world_open(&world, 11, true);
    kafka_world_topic(&world, "read", 1);
    world.broker->options.fetch_bytes_held_max = LIMIT;
    struct buffer *batch = kafka_world_batch(4000, CODEC_NONE);
    struct kafka_produce_request_partition part;
    struct kafka_produce_request_topic topic;
    struct kafka_produce_request produce;
    kafka_message_init(&kafka_schema_produce_request_partition, &part);
    kafka_message_init(&kafka_schema_produce_request_topic, &topic);
    kafka_message_init(&kafka_schema_produce_request, &produce);
    part.records.bytes = slice_make(batch->data, batch->size);
    topic.name = slice_from_text("read");
    topic.partition_data = &part;
    produce.topic_data = &topic;
    topic.partition_data_count = produce.topic_data_count = 1;
    produce.acks = -1;
    for (size_t bytes = 0; bytes < LIMIT; bytes += batch->size) {
        const struct kafka_produce_response *answer = kafka_world_call(&world, KAFKA_PRODUCE, 8, &produce);
        assert_int_equal(answer->responses[0].partition_responses[0].error_code, 0);
    }
    buffer_unref(batch);
    struct kafka_fetch_request_partition wanted_part;
    struct kafka_fetch_request_topic wanted_topic;
    struct kafka_fetch_request wanted;
    kafka_message_init(&kafka_schema_fetch_request_partition, &wanted_part);
    kafka_message_init(&kafka_schema_fetch_request_topic, &wanted_topic);
    kafka_message_init(&kafka_schema_fetch_request, &wanted);
    wanted_part.partition_max_bytes = wanted.max_bytes = 50 << 20;
    wanted_topic.topic = slice_from_text("read");
    wanted_topic.partitions = &wanted_part;
    wanted.topics = &wanted_topic;
    wanted_topic.partitions_count = wanted.topics_count = 1;
    static struct kafka_world_client clients[CLIENTS];
    size_t bytes = fetched_at_once(&world, clients, CLIENTS, &wanted);
    assert_true(bytes > LIMIT / 2 && bytes <= LIMIT + CLIENTS * FETCH_SHARE);
    /* All was taken: one alone is given everything again. */
    assert_true(fetched_at_once(&world, clients, 1, &wanted) > LIMIT - LIMIT / 4);
    kafka_world_close(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_message_that_stops_does_not_keep_others_waiting),
        cmocka_unit_test(a_large_message_may_take_long_while_it_moves),
        cmocka_unit_test(a_byte_now_and_then_does_not_keep_a_large_buffer),
        cmocka_unit_test(thousands_of_idle_clients_cost_little),
        cmocka_unit_test(an_idle_client_with_a_protocol_stays),
        cmocka_unit_test(a_burst_leaves_nothing_behind),
        cmocka_unit_test(receiving_grows_with_what_comes),
        cmocka_unit_test(answers_that_nobody_takes_are_bounded_together),
        cmocka_unit_test(fetches_that_come_together_are_bounded_together),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
