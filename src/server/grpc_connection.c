// SPDX-License-Identifier: Apache-2.0
/* One HTTP/2 connection of gRPC clients: bytes to the session and back, keepalive, draining. */
#include "server/grpc_connection.h"

#include "base/assert.h"
#include "base/mem.h"
#include "server/grpc_call.h"
#include "server/server.h"

/* A silent peer is asked after a minute whether it is still there, and has 20 seconds to answer: connections
 * whose other end vanished without a word do not stay for ever. */
#define KEEPALIVE_NS         (60 * NS_PER_S)
#define KEEPALIVE_TIMEOUT_NS (20 * NS_PER_S)

static void on_headers(void *owner, struct http2_stream *stream, const struct http2_headers *headers) {
    if (headers->kind != HTTP2_HEADERS_REQUEST) return; /* trailers of a request mean nothing in gRPC */
    grpc_call_open(owner, stream, headers);
}
static void on_data(void *owner, struct http2_stream *stream, struct slice bytes) {
    (void)owner;
    struct grpc_call *call = http2_stream_user(stream);
    if (call == NULL)
        http2_consume(stream, bytes.size); /* answered already: the rest is not wanted */
    else
        grpc_call_data(call, bytes);
}
static void on_end(void *owner, struct http2_stream *stream) {
    (void)owner;
    struct grpc_call *call = http2_stream_user(stream);
    if (call != NULL) grpc_call_half_close(call);
}
static void on_closed(void *owner, struct http2_stream *stream, uint32_t error_code) {
    (void)owner;
    MAYBE(error_code != HTTP2_NO_ERROR);
    struct grpc_call *call = http2_stream_user(stream);
    if (call != NULL) grpc_call_abort(call);
}
static void on_writable(void *owner, struct http2_stream *stream) {
    (void)owner;
    struct grpc_call *call = http2_stream_user(stream);
    if (call != NULL) grpc_call_writable(call);
}
/* The GOAWAY that names the last call. */
static void say_last(struct grpc_connection *connection) {
    if (connection->said_last) return;
    connection->said_last = true;
    http2_drain(connection->session);
    grpc_connection_wake(connection);
}

void grpc_connection_call_ended(struct grpc_connection *connection) {
    if (connection->draining && list_empty(&connection->calls)) say_last(connection);
}

/* The answer to our ping: the peer is there, and knows of the drain announced before it. */
static void on_pong(void *owner) {
    struct grpc_connection *connection = owner;
    connection->pinged = false;
    if (connection->draining) say_last(connection);
}

static const struct http2_callbacks session_callbacks = {
    .headers = on_headers,
    .data = on_data,
    .end = on_end,
    .closed = on_closed,
    .writable = on_writable,
    .pong = on_pong,
};

/* ---- sending ------------------------------------------------------------------------------------------- */

static void count_queued(struct grpc_connection *connection, size_t bytes) {
    connection_count_queued(connection->connection, (int64_t)bytes - (int64_t)connection->counted_bytes);
    connection->counted_bytes = bytes;
}

static void pump(struct grpc_connection *connection) {
    struct chain frames;
    chain_init(&frames);
    size_t queued = connection_send_queued(connection->connection);
    if (queued < CONNECTION_SEND_HIGH)
        http2_produce(connection->session, &frames, CONNECTION_SEND_HIGH - queued);
    count_queued(connection, http2_session_queued(connection->session));
    if (frames.size != 0) connection_send(connection->connection, &frames);
    chain_release(&frames);
    if (http2_session_done(connection->session)) connection_close(connection->connection);
}

static void pump_done(struct io_op *op) {
    struct grpc_connection *connection = CONTAINER_OF(op, struct grpc_connection, pump);
    connection->pumping = false;
    pump(connection);
}

void grpc_connection_wake(struct grpc_connection *connection) {
    count_queued(connection, http2_session_queued(connection->session));
    if (connection->pumping) return;
    connection->pumping = true;
    connection->pump.done = pump_done;
    io_defer(connection->io, &connection->pump);
}

/* ---- keepalive ----------------------------------------------------------------------------------------- */

static void keepalive_fire(struct io_timer *timer) {
    struct grpc_connection *connection = CONTAINER_OF(timer, struct grpc_connection, keepalive);
    uint64_t now_ns = io_now_ns(connection->io), silent_ns = now_ns - connection->received_ns;
    if (silent_ns < KEEPALIVE_NS) {
        io_timer_set(connection->io, timer, connection->received_ns + KEEPALIVE_NS);
    } else if (!connection->pinged) {
        connection->pinged = true;
        http2_ping(connection->session);
        grpc_connection_wake(connection);
        io_timer_set(connection->io, timer, now_ns + KEEPALIVE_TIMEOUT_NS);
    } else {
        connection_close(connection->connection);
    }
}

/* ---- the protocol -------------------------------------------------------------------------------------- */

static void *grpc_open(struct connection *connection) {
    struct grpc_connection *self = mem_calloc(1, sizeof *self);
    self->connection = connection;
    self->server = connection_server(connection);
    self->io = server_io(self->server);
    list_init(&self->calls);
    struct http2_options options = http2_options_default(HTTP2_SERVER);
    self->session = http2_session_new(&options, &session_callbacks, self);
    self->received_ns = io_now_ns(self->io);
    io_timer_init(&self->keepalive, keepalive_fire);
    io_timer_set(self->io, &self->keepalive, self->received_ns + KEEPALIVE_NS);
    grpc_connection_wake(self); /* our settings */
    return self;
}

static void wait_for_resume(struct grpc_connection *connection);

static size_t grpc_receive(void *state, struct buffer *buffer, struct slice bytes, size_t *wanted) {
    (void)buffer;
    (void)wanted;
    struct grpc_connection *connection = state;
    connection->received_ns = io_now_ns(connection->io);
    enum status status = http2_receive(connection->session, bytes, connection->received_ns);
    MAYBE(status != STATUS_OK); /* the session has a GOAWAY to send and is then done: pump closes */
    grpc_connection_wake(connection);
    if (connection->appended) wait_for_resume(connection);
    connection->appended = false;
    return bytes.size;
}

static void resumed(struct io_op *op) {
    struct grpc_connection *connection = CONTAINER_OF(op, struct grpc_connection, resume);
    connection->waits_for_resume = false;
    if (broker_overloaded(server_broker(connection->server)))
        wait_for_resume(connection);
    else
        connection_pause(connection->connection, false);
}

/* The disk does not keep up: a connection that writes is not read from until it does. */
static void wait_for_resume(struct grpc_connection *connection) {
    if (connection->waits_for_resume || !broker_overloaded(server_broker(connection->server))) return;
    connection->waits_for_resume = true;
    connection_pause(connection->connection, true);
    connection->resume = (struct io_op){.done = resumed};
    broker_on_resume(server_broker(connection->server), &connection->resume);
}

static void grpc_writable(void *state) {
    grpc_connection_wake(state);
}

/* RFC 9113 section 6.8: first a GOAWAY that takes nothing back, then, when the peer must have seen it, the
 * one that names the last call. Calls under way finish; streams that have no end are told to end. Without
 * calls there is nothing to wait for: a request that crosses the GOAWAY is one that the client knows was not
 * taken (and a client without calls may not read for seconds). */
static void grpc_drain(void *state) {
    struct grpc_connection *connection = state;
    if (connection->draining) return;
    connection->draining = true;
    if (list_empty(&connection->calls)) {
        say_last(connection);
        return;
    }
    http2_announce_drain(connection->session);
    http2_ping(connection->session);
    LIST_FOREACH(it, &connection->calls) {
        grpc_call_drain(CONTAINER_OF(it, struct grpc_call, link));
    }
    grpc_connection_wake(connection);
}

static void grpc_close(void *state) {
    struct grpc_connection *connection = state;
    io_timer_cancel(connection->io, &connection->keepalive);
    http2_session_free(connection->session); /* ends every call */
    count_queued(connection, 0);
    if (connection->waits_for_resume) broker_on_resume_cancel(&connection->resume);
    if (connection->pumping) io_defer_cancel(&connection->pump);
    ASSERT(list_empty(&connection->calls));
    ASSERT_EQ(connection->partial_bytes + connection->held_bytes, (size_t)0);
    mem_free(connection);
}

const struct protocol grpc_protocol = {
    .name = "grpc",
    .open = grpc_open,
    .receive = grpc_receive,
    .writable = grpc_writable,
    .finished = NULL,
    .drain = grpc_drain,
    .close = grpc_close,
};
