// SPDX-License-Identifier: Apache-2.0
#include "lib/kafka_world.h"

#include "lib/test.h"

#include <stdio.h>

/* ---- the client's socket ------------------------------------------------------------------------------- */

static void pump(struct kafka_world_client *client);

static void send_done(struct io_op *op) {
    struct kafka_world_client *client = CONTAINER_OF(op, struct kafka_world_client, send);
    client->sending = false;
    if (client->closed) return;
    if (op->status != STATUS_OK) {
        client->closed = true;
        return;
    }
    chain_consume(&client->out, client->sending_size);
    pump(client);
}

static void pump(struct kafka_world_client *client) {
    if (!client->connected || client->sending || client->closed || client->out.size == 0) return;
    size_t count = chain_peek(&client->out, client->slices, ARRAY_COUNT(client->slices));
    client->sending_size = 0;
    for (size_t i = 0; i < count; i++)
        client->sending_size += client->slices[i].size;
    client->sending = true;
    client->send.done = send_done;
    io_send(client->socket, &client->send, client->slices, (uint32_t)count);
}

static void receive(struct kafka_world_client *client);

static void receive_done(struct io_op *op) {
    struct kafka_world_client *client = CONTAINER_OF(op, struct kafka_world_client, receive);
    client->receiving = false;
    if (client->closed) return;
    if (op->status != STATUS_OK || op->result == 0) {
        client->closed = true;
        return;
    }
    writer_bytes(&client->in, slice_make(client->buffer, (size_t)op->result));
    if (!client->deaf) receive(client);
}

static void receive(struct kafka_world_client *client) {
    client->receiving = true;
    client->receive.done = receive_done;
    io_recv(client->socket, &client->receive, client->buffer, sizeof client->buffer);
}

void kafka_world_hear(struct kafka_world_client *client) {
    client->deaf = false;
    if (!client->receiving && !client->closed) receive(client);
}

static void connect_done(struct io_op *op) {
    struct kafka_world_client *client = CONTAINER_OF(op, struct kafka_world_client, connect);
    assert_status(op->status, STATUS_OK);
    client->connected = true;
    pump(client);
    receive(client);
}

void kafka_world_connect(struct kafka_world *world, struct kafka_world_client *client) {
    memset(client, 0, sizeof *client);
    client->io = world->io;
    chain_init(&client->out);
    writer_init(&client->in);
    client->connect.done = connect_done;
    io_connect(world->io, &client->connect, world->address.text, &client->socket);
    kafka_world_run(world, 100);
    assert_true(client->connected);
}

void kafka_world_disconnect(struct kafka_world *world, struct kafka_world_client *client) {
    client->closed = true;
    io_socket_close(client->socket);
    kafka_world_run(world, 100);
    assert_false(client->sending || client->receiving);
    chain_release(&client->out);
    writer_release(&client->in);
}

/* ---- the world ------------------------------------------------------------------------------------------
 */

void kafka_world_open(struct kafka_world *world, uint64_t seed, bool auto_create) {
    memset(world, 0, sizeof *world);
    arena_init(&world->arena, 16 * KIB);
    world->sim = io_sim_new(seed);
    world->io = io_sim_node_io(world->sim, 0);
    struct broker_options broker_options = broker_options_default();
    broker_options.data_dir = "/data";
    broker_options.store.wal_segment_bytes = 1 * MIB;
    broker_options.auto_create_topics = auto_create;
    struct diagnostic diagnostic;
    assert_status(broker_open(world->io, &broker_options, &world->broker, &diagnostic), STATUS_OK);
    struct server_options server_options = server_options_default();
    server_options.request_bytes_max = 4 * MIB;
    world->server = server_new(world->io, world->broker, &server_options);
    assert_status(server_listen(world->server, "127.0.0.1:0", SERVER_KAFKA, &world->address, &diagnostic),
                  STATUS_OK);
    kafka_world_connect(world, &world->client);
}

static void set_true(void *flag) {
    *(bool *)flag = true;
}

void kafka_world_drain_start(struct kafka_world *world, uint64_t grace_ms) {
    server_drain(world->server, grace_ms, set_true, &world->drained);
}

void kafka_world_close(struct kafka_world *world) {
    kafka_world_disconnect(world, &world->client);
    bool shut_down = false, draining = world->drained;
    if (!draining) kafka_world_drain_start(world, 1000);
    for (int i = 0; i < 2000 && !world->drained; i++)
        kafka_world_run(world, 1);
    assert_true(world->drained);
    broker_shutdown(world->broker, set_true, &shut_down);
    kafka_world_run(world, 5000);
    assert_true(shut_down);
    server_free(world->server);
    broker_close(world->broker);
    io_free(world->io);
    io_sim_free(world->sim);
    arena_release(&world->arena);
}

int kafka_world_teardown(void **state) {
    kafka_world_close(*state);
    return 0;
}

void kafka_world_run(struct kafka_world *world, uint64_t ms) {
    io_sim_run_until(world->sim, io_sim_now(world->sim) + ms * NS_PER_MS);
}

/* ---- requests and responses ------------------------------------------------------------------------------
 */

void kafka_world_send_bytes(struct kafka_world_client *client, struct slice bytes) {
    chain_append_copy(&client->out, bytes);
    pump(client);
}

void kafka_world_send(struct kafka_world_client *client, int16_t key, int16_t version, int32_t correlation_id,
                      const void *request) {
    kafka_encode_request(kafka_api_find(key), version, correlation_id, SLICE_LITERAL("test"), request,
                         &client->out);
    pump(client);
}

bool kafka_world_has_response(const struct kafka_world_client *client) {
    size_t left = client->in.size - client->taken;
    return left >= KAFKA_FRAME_PREFIX &&
           left - KAFKA_FRAME_PREFIX >= load_be32(client->in.data + client->taken);
}

void *kafka_world_receive(struct kafka_world *world, struct kafka_world_client *client, int16_t key,
                          int16_t version, int32_t correlation_id) {
    for (int i = 0; i < 60000 && !kafka_world_has_response(client) && !client->closed; i++)
        kafka_world_run(world, 1);
    assert_true(kafka_world_has_response(client));
    uint8_t *start = client->in.data + client->taken;
    /* Copied: what is decoded points into it, and `in` moves. */
    struct slice frame = arena_copy(&world->arena, slice_make(start + KAFKA_FRAME_PREFIX, load_be32(start)));
    client->taken += KAFKA_FRAME_PREFIX + frame.size;
    const struct kafka_api *api = kafka_api_find(key);
    struct reader body;
    int32_t received_id;
    assert_status(kafka_read_response_header(frame, api, version, &received_id, &body), STATUS_OK);
    assert_int_equal(received_id, correlation_id);
    void *response;
    assert_status(kafka_decode(api, api->response, version, &body, &world->arena, &response), STATUS_OK);
    assert_int_equal(reader_remaining(&body), 0);
    return response;
}

void *kafka_world_call(struct kafka_world *world, int16_t key, int16_t version, const void *request) {
    kafka_world_send(&world->client, key, version, 4711, request);
    return kafka_world_receive(world, &world->client, key, version, 4711);
}

void kafka_world_expect_closed(struct kafka_world *world, struct kafka_world_client *client) {
    for (int i = 0; i < 5000 && !client->closed; i++)
        kafka_world_run(world, 1);
    assert_true(client->closed);
    assert_int_equal(client->in.size, client->taken);
}

void kafka_world_topic(struct kafka_world *world, const char *name, int32_t partitions) {
    struct kafka_create_topics_request_topic topic;
    kafka_message_init(&kafka_schema_create_topics_request_topic, &topic);
    topic.name = slice_from_text(name);
    topic.num_partitions = partitions;
    topic.replication_factor = 1;
    struct kafka_create_topics_request request;
    kafka_message_init(&kafka_schema_create_topics_request, &request);
    request.topics = &topic;
    request.topics_count = 1;
    struct kafka_create_topics_response *response = kafka_world_call(world, KAFKA_CREATE_TOPICS, 7, &request);
    assert_int_equal(response->topics[0].error_code, 0);
}

struct buffer *kafka_world_batch(int32_t count, enum record_codec codec) {
    struct record_batch_builder builder;
    record_batch_begin(&builder);
    for (int32_t i = 0; i < count; i++) {
        char value[32];
        snprintf(value, sizeof value, "value %d", i);
        record_batch_add(&builder, 1700000000000 + i, SLICE_LITERAL("key"), slice_from_text(value), NULL, 0);
    }
    struct buffer *batch = record_batch_finish(&builder, codec, NULL);
    record_batch_builder_release(&builder);
    return batch;
}
