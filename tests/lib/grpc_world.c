// SPDX-License-Identifier: Apache-2.0
#include "lib/grpc_world.h"

#include <stdlib.h>

#include "lib/test.h"

#include "base/mem.h"
#include "sentinel/v1/topic_service.pb-c.h"
#include "wire/protobuf.h"

#define BUFFER_SIZE (64 * KIB)

/* ---- the client's session ------------------------------------------------------------------------------ */

static void take_header(struct grpc_world_call *call, const struct http2_header *header) {
    char number[16] = {0};
    memcpy(number, header->value.data, MIN(header->value.size, sizeof number - 1));
    if (slice_equal(header->name, SLICE_LITERAL(":status"))) call->http_status = atoi(number);
    if (slice_equal(header->name, SLICE_LITERAL("grpc-status"))) call->grpc_status = atoi(number);
    if (slice_equal(header->name, SLICE_LITERAL("grpc-message")))
        grpc_percent_decode(&call->message, header->value);
    if (slice_equal(header->name, SLICE_LITERAL("grpc-status-details-bin")))
        assert_status(grpc_base64_decode(&call->details, header->value), STATUS_OK);
    if (slice_equal(header->name, SLICE_LITERAL("grpc-encoding")) &&
        slice_equal(header->value, SLICE_LITERAL("gzip")))
        call->reader.encoding = GRPC_GZIP;
    writer_bytes(&call->headers, header->name);
    writer_text(&call->headers, "=");
    writer_bytes(&call->headers, header->value);
    writer_text(&call->headers, "\n");
}

static void on_headers(void *owner, struct http2_stream *stream, const struct http2_headers *headers) {
    (void)owner;
    struct grpc_world_call *call = http2_stream_user(stream);
    for (size_t i = 0; i < headers->count; i++)
        take_header(call, &headers->list[i]);
}

static void on_data(void *owner, struct http2_stream *stream, struct slice bytes) {
    (void)owner;
    struct grpc_world_call *call = http2_stream_user(stream);
    call->bytes += bytes.size;
    if (!call->keep) http2_consume(stream, bytes.size);
    if (call->discard) return;
    struct grpc_message message;
    while (grpc_message_next(&call->reader, &bytes, &message) == STATUS_OK) {
        assert_true(call->message_count < GRPC_WORLD_MESSAGES_MAX);
        uint8_t *copy = mem_alloc(message.bytes.size);
        if (message.bytes.size != 0) memcpy(copy, message.bytes.data, message.bytes.size);
        call->messages[call->message_count++] = slice_make(copy, message.bytes.size);
        buffer_unref(message.owner);
    }
}

static void on_end(void *owner, struct http2_stream *stream) {
    (void)owner;
    ((struct grpc_world_call *)http2_stream_user(stream))->ended = true;
}

static void on_closed(void *owner, struct http2_stream *stream, uint32_t error_code) {
    (void)owner;
    struct grpc_world_call *call = http2_stream_user(stream);
    call->closed = true;
    call->error_code = error_code;
    call->stream = NULL;
}

static void on_goaway(void *owner, int32_t last, uint32_t code, struct slice debug) {
    (void)last;
    (void)debug;
    struct grpc_world_client *client = owner;
    client->goaways++;
    client->goaway_code = code;
}

static const struct http2_callbacks callbacks = {
    .headers = on_headers, .data = on_data, .end = on_end, .closed = on_closed, .goaway = on_goaway};

/* ---- the client's socket ------------------------------------------------------------------------------- */

static void pump(struct grpc_world_client *client);

static void send_done(struct io_op *op) {
    struct grpc_world_client *client = CONTAINER_OF(op, struct grpc_world_client, send);
    client->sending = false;
    if (client->closed) return;
    if (op->status != STATUS_OK) {
        client->closed = true;
        return;
    }
    chain_consume(&client->out, client->sending_size);
    pump(client);
}

static void pump(struct grpc_world_client *client) {
    if (!client->connected || client->sending || client->closed) return;
    if (client->out.size < BUFFER_SIZE) http2_produce(client->session, &client->out, BUFFER_SIZE);
    if (client->out.size == 0) return;
    size_t count = chain_peek(&client->out, client->slices, ARRAY_COUNT(client->slices));
    client->sending_size = 0;
    for (size_t i = 0; i < count; i++)
        client->sending_size += client->slices[i].size;
    client->sending = true;
    client->send.done = send_done;
    io_send(client->socket, &client->send, client->slices, (uint32_t)count);
}

static void receive(struct grpc_world_client *client);

static void receive_done(struct io_op *op) {
    struct grpc_world_client *client = CONTAINER_OF(op, struct grpc_world_client, receive);
    client->receiving = false;
    if (client->closed) return;
    if (op->status != STATUS_OK || op->result == 0) {
        client->closed = true;
        return;
    }
    enum status status = http2_receive(client->session, slice_make(client->buffer, (size_t)op->result),
                                       io_now_ns(client->io));
    assert_true(status == STATUS_OK || status == STATUS_CLOSED);
    pump(client);
    receive(client);
}

static void receive(struct grpc_world_client *client) {
    client->receiving = true;
    client->receive.done = receive_done;
    io_recv(client->socket, &client->receive, client->buffer, BUFFER_SIZE);
}

static void connect_done(struct io_op *op) {
    struct grpc_world_client *client = CONTAINER_OF(op, struct grpc_world_client, connect);
    assert_status(op->status, STATUS_OK);
    client->connected = true;
    pump(client);
    receive(client);
}

void grpc_world_connect(struct grpc_world *world, struct grpc_world_client *client) {
    memset(client, 0, sizeof *client);
    client->io = world->io;
    client->buffer = mem_alloc(BUFFER_SIZE);
    chain_init(&client->out);
    struct http2_options options = http2_options_default(HTTP2_CLIENT);
    client->session = http2_session_new(&options, &callbacks, client);
    client->connect.done = connect_done;
    io_connect(world->io, &client->connect, world->address.text, &client->socket);
    grpc_world_run(world, 100);
    assert_true(client->connected);
}

static void call_free(struct grpc_world_call *call) {
    grpc_message_reader_release(&call->reader);
    for (size_t i = 0; i < call->message_count; i++)
        mem_free((void *)(uintptr_t)call->messages[i].data);
    writer_release(&call->message);
    writer_release(&call->details);
    writer_release(&call->headers);
    mem_free(call);
}

void grpc_world_disconnect(struct grpc_world *world, struct grpc_world_client *client) {
    client->closed = true;
    io_socket_close(client->socket);
    grpc_world_run(world, 100);
    assert_false(client->sending || client->receiving);
    http2_session_free(client->session);
    for (size_t i = 0; i < client->call_count; i++)
        call_free(client->calls[i]);
    chain_release(&client->out);
    mem_free(client->buffer);
}

/* ---- the world ----------------------------------------------------------------------------------------- */

void grpc_world_open(struct grpc_world *world, uint64_t seed) {
    memset(world, 0, sizeof *world);
    world->sim = io_sim_new(seed);
    world->io = io_sim_node_io(world->sim, 0);
    struct broker_options broker_options = broker_options_default();
    broker_options.data_dir = "/data";
    broker_options.store.wal_segment_bytes = 1 * MIB;
    broker_options.auto_create_topics = false; /* so that unknown topics can be refused */
    struct diagnostic diagnostic;
    assert_status(broker_open(world->io, &broker_options, &world->broker, &diagnostic), STATUS_OK);
    struct server_options server_options = server_options_default();
    world->server = server_new(world->io, world->broker, &server_options);
    assert_status(server_listen(world->server, "127.0.0.1:0", SERVER_GRPC, &world->address, &diagnostic),
                  STATUS_OK);
    grpc_world_connect(world, &world->client);
}

static void set_true(void *flag) {
    *(bool *)flag = true;
}

void grpc_world_drain(struct grpc_world *world) {
    server_drain(world->server, 10000, set_true, &world->drained);
    for (int i = 0; i < 11000 && !world->drained; i++)
        grpc_world_run(world, 1);
    assert_true(world->drained);
}

void grpc_world_close(struct grpc_world *world) {
    grpc_world_disconnect(world, &world->client);
    bool shut_down = false;
    if (!world->drained) grpc_world_drain(world);
    broker_shutdown(world->broker, set_true, &shut_down);
    grpc_world_run(world, 5000);
    assert_true(shut_down);
    server_free(world->server);
    broker_close(world->broker);
    io_free(world->io);
    io_sim_free(world->sim);
}

int grpc_world_teardown(void **state) {
    grpc_world_close(*state);
    return 0;
}

void grpc_world_run(struct grpc_world *world, uint64_t ms) {
    io_sim_run_until(world->sim, io_sim_now(world->sim) + ms * NS_PER_MS);
}

void grpc_world_await(struct grpc_world *world, struct grpc_world_call *call) {
    for (int i = 0; i < 60000 && !call->closed; i++)
        grpc_world_run(world, 1);
    assert_true(call->closed);
}

/* ---- calls --------------------------------------------------------------------------------------------- */

struct grpc_world_call *grpc_world_call_headers(struct grpc_world_client *client,
                                                const struct http2_header *headers, size_t count) {
    struct grpc_world_call *call = mem_calloc(1, sizeof *call);
    call->client = client;
    call->http_status = call->grpc_status = -1;
    writer_init(&call->message);
    writer_init(&call->details);
    writer_init(&call->headers);
    grpc_message_reader_init(&call->reader, GRPC_IDENTITY, 64 * MIB);
    assert_true(client->call_count < GRPC_WORLD_CALLS_MAX);
    client->calls[client->call_count++] = call;
    call->stream = http2_request(client->session, headers, count, false, call);
    if (call->stream == NULL) call->closed = true;
    pump(client);
    return call;
}

struct grpc_world_call *grpc_world_call(struct grpc_world_client *client, const char *path,
                                        const char *timeout) {
    struct http2_header headers[] = {
        {SLICE_LITERAL(":method"), SLICE_LITERAL("POST")},
        {SLICE_LITERAL(":scheme"), SLICE_LITERAL("http")},
        {SLICE_LITERAL(":path"), slice_from_text(path)},
        {SLICE_LITERAL(":authority"), SLICE_LITERAL("test")},
        {SLICE_LITERAL("te"), SLICE_LITERAL("trailers")},
        {SLICE_LITERAL("content-type"), SLICE_LITERAL("application/grpc+proto")},
        {SLICE_LITERAL("grpc-timeout"), timeout == NULL ? SLICE_EMPTY : slice_from_text(timeout)},
    };
    return grpc_world_call_headers(client, headers, timeout == NULL ? 6 : 7);
}

static void send_chain(struct grpc_world_call *call, struct chain *chain) {
    if (call->stream != NULL)
        http2_send(call->stream, chain);
    else
        chain_release(chain);
    pump(call->client);
}

void grpc_world_send(struct grpc_world_call *call, const ProtobufCMessage *message) {
    struct writer bytes;
    struct chain chain;
    writer_init(&bytes);
    chain_init(&chain);
    protobuf_pack(&bytes, message);
    grpc_message_append(&chain, writer_slice(&bytes), call->encoding);
    writer_release(&bytes);
    send_chain(call, &chain);
}

void grpc_world_send_raw(struct grpc_world_call *call, struct slice bytes) {
    struct chain chain;
    chain_init(&chain);
    chain_append_copy(&chain, bytes);
    send_chain(call, &chain);
}

void grpc_world_finish(struct grpc_world_call *call) {
    if (call->stream != NULL) http2_finish(call->stream);
    pump(call->client);
}

void grpc_world_cancel(struct grpc_world_call *call) {
    if (call->stream != NULL) http2_reset(call->stream, HTTP2_CANCEL);
    pump(call->client);
}

struct grpc_world_call *grpc_world_unary(struct grpc_world *world, const char *path,
                                         const ProtobufCMessage *message) {
    struct grpc_world_call *call = grpc_world_call(&world->client, path, NULL);
    grpc_world_send(call, message);
    grpc_world_finish(call);
    grpc_world_await(world, call);
    return call;
}

void grpc_world_topic(struct grpc_world *world, const char *name, int partitions) {
    Sentinel__V1__CreateTopicRequest request = SENTINEL__V1__CREATE_TOPIC_REQUEST__INIT;
    request.name = (char *)(uintptr_t)name;
    request.partition_count = partitions;
    struct grpc_world_call *call = grpc_world_unary(world, "/sentinel.v1.TopicService/CreateTopic",
                                                    &request.base);
    assert_int_equal(call->grpc_status, 0);
}

void grpc_world_expect_error(const struct grpc_world_call *call, int code, const char *reason,
                             const char *field) {
    assert_int_equal(call->grpc_status, code);
    struct grpc_error error;
    assert_status(grpc_error_read(writer_slice(&call->details), &error), STATUS_OK);
    assert_int_equal(error.code, code);
    assert_slice_equal(error.reason, slice_from_text(reason));
    assert_slice_equal(error.message, writer_slice(&call->message));
    assert_slice_equal(error.field, slice_from_text(field));
}
