// SPDX-License-Identifier: Apache-2.0
/* Connections on a simulated machine: how long somebody may hold what others wait for. */
#include "lib/test.h"

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
    for (int i = 0; i < 10; i++) {
        kafka_world_run(&small, TIMEOUT_MS / 2);
        assert_false(slow.closed);
        kafka_world_send_bytes(&slow, SLICE_LITERAL("more"));
    }
    kafka_world_disconnect(&small, &slow);
    small_close(&world, &small);
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

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_message_that_stops_does_not_keep_others_waiting),
        cmocka_unit_test(a_large_message_may_take_long_while_it_moves),
        cmocka_unit_test(an_idle_client_with_a_protocol_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
