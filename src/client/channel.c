// SPDX-License-Identifier: Apache-2.0
#include "client/channel.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "wire/grpc_metadata.h"

#define RECEIVE_SIZE     (256 * KIB)
#define PRODUCE_SIZE     (1 * MIB)
#define MESSAGE_SIZE_MAX (128 * MIB)
#define RETRY_MIN_NS     (20 * NS_PER_MS)
#define RETRY_MAX_NS     (1 * NS_PER_S)

static void pump(struct channel *channel);
static void lose(struct channel *channel, const char *why);

/* ---- calls and streams ----------------------------------------------------------------------------------
 */

static void end_call(struct call *call, int code, const char *message) {
    if (call->stopped) return;
    call->stopped = true;
    list_remove(&call->link);
    chain_release(&call->queued);
    grpc_message_reader_release(&call->reader);
    if (call->stream != NULL) http2_stream_set_user(call->stream, NULL);
    call->stream = NULL;
    call->on_done(call, code, message);
}

static void schedule_pump(struct channel *channel);

static void open_stream(struct call *call) {
    struct channel *channel = call->channel;
    const char *authority = channel->servers[channel->current].text;
    const struct http2_header headers[] = {
        {SLICE_LITERAL(":method"), SLICE_LITERAL("POST")},
        {SLICE_LITERAL(":scheme"), SLICE_LITERAL("http")},
        {SLICE_LITERAL(":path"), slice_from_text(call->path)},
        {SLICE_LITERAL(":authority"), slice_from_text(authority)},
        {SLICE_LITERAL("te"), SLICE_LITERAL("trailers")},
        {SLICE_LITERAL("content-type"), SLICE_LITERAL("application/grpc+proto")},
        {SLICE_LITERAL("user-agent"), SLICE_LITERAL("sentinel-c/" SENTINEL_VERSION)},
    };
    call->stream = http2_request(channel->session, headers, ARRAY_COUNT(headers), false, call);
    if (call->stream == NULL) {
        end_call(call, GRPC_UNAVAILABLE, "the server takes no new calls");
        return;
    }
    list_push_back(&channel->calls, &call->link);
    call->sent = true;
    if (call->queued.size != 0) http2_send(call->stream, &call->queued);
    if (call->finish_queued) http2_finish(call->stream);
    schedule_pump(channel);
}

static void connect_next(struct channel *channel);

void call_start(struct channel *channel, struct call *call, const char *path) {
    call->channel = channel;
    call->path = path;
    call->stream = NULL;
    call->finish_queued = call->sent = call->stopped = false;
    call->started = true;
    call->code = -1;
    call->message[0] = '\0';
    chain_init(&call->queued);
    list_init(&call->link);
    grpc_message_reader_init(&call->reader, GRPC_IDENTITY, MESSAGE_SIZE_MAX);
    if (channel->session != NULL && !channel->broken) {
        open_stream(call);
        return;
    }
    list_push_back(&channel->waiting, &call->link);
    if (!channel->connecting && channel->session == NULL && !io_timer_armed(&channel->retry))
        connect_next(channel);
}

void call_send(struct call *call, struct slice head, struct shared_slice body) {
    if (call->stopped) return;
    struct chain message;
    chain_init(&message);
    grpc_message_begin(&message, head.size + body.bytes.size);
    chain_append_copy(&message, head);
    chain_append_shared(&message, body);
    if (call->stream == NULL) {
        chain_append_chain(&call->queued, &message);
        return;
    }
    http2_send(call->stream, &message);
    schedule_pump(call->channel);
}

void call_finish(struct call *call) {
    if (call->stopped || call->finish_queued) return;
    call->finish_queued = true;
    if (call->stream == NULL) return;
    http2_finish(call->stream);
    schedule_pump(call->channel);
}

void call_cancel(struct call *call) {
    if (!call->started || call->stopped) return;
    call->stopped = true;
    list_remove(&call->link);
    chain_release(&call->queued);
    grpc_message_reader_release(&call->reader);
    if (call->stream == NULL) return;
    http2_stream_set_user(call->stream, NULL);
    http2_reset(call->stream, HTTP2_CANCEL);
    call->stream = NULL;
    schedule_pump(call->channel);
}

/* ---- what the session tells -----------------------------------------------------------------------------
 */

static void take_status(struct call *call, const struct http2_headers *headers) {
    for (size_t i = 0; i < headers->count; i++) {
        const struct http2_header *header = &headers->list[i];
        if (slice_equal(header->name, SLICE_LITERAL("grpc-status"))) {
            char text[16];
            snprintf(text, sizeof text, "%.*s", (int)MIN(header->value.size, sizeof text - 1),
                     (const char *)header->value.data);
            call->code = (int)strtol(text, NULL, 10);
        } else if (slice_equal(header->name, SLICE_LITERAL("grpc-message"))) {
            struct writer decoded;
            writer_init(&decoded);
            grpc_percent_decode(&decoded, header->value);
            snprintf(call->message, sizeof call->message, "%.*s", (int)decoded.size,
                     (const char *)decoded.data);
            writer_release(&decoded);
        } else if (slice_equal(header->name, SLICE_LITERAL(":status")) &&
                   !slice_equal(header->value, SLICE_LITERAL("200"))) {
            call->code = GRPC_UNAVAILABLE;
            snprintf(call->message, sizeof call->message, "the server answered with HTTP status %.*s",
                     (int)header->value.size, (const char *)header->value.data);
        }
    }
}

static void on_headers(void *owner, struct http2_stream *stream, const struct http2_headers *headers) {
    struct call *call = http2_stream_user(stream);
    (void)owner;
    if (call != NULL) take_status(call, headers);
}

static void on_data(void *owner, struct http2_stream *stream, struct slice bytes) {
    (void)owner;
    http2_consume(stream, bytes.size);
    while (bytes.size != 0) {
        struct call *call = http2_stream_user(stream);
        if (call == NULL) return;
        struct grpc_message message;
        enum status status = grpc_message_next(&call->reader, &bytes, &message);
        if (status == STATUS_PENDING) return;
        if (status != STATUS_OK) {
            http2_reset(stream, HTTP2_CANCEL);
            end_call(call, status_grpc_code(status), "the server sent a malformed message");
            return;
        }
        call->on_message(call, &message);
        buffer_unref(message.owner);
    }
}

static void on_closed(void *owner, struct http2_stream *stream, uint32_t error_code) {
    struct call *call = http2_stream_user(stream);
    (void)owner;
    if (call == NULL) return;
    if (call->code >= 0)
        end_call(call, call->code, call->message);
    else if (error_code == HTTP2_NO_ERROR)
        end_call(call, 13, "the server ended the call without a status");
    else
        end_call(call, GRPC_UNAVAILABLE, "the call was broken off");
}

static void on_writable(void *owner, struct http2_stream *stream) {
    struct call *call = http2_stream_user(stream);
    (void)owner;
    if (call != NULL && call->on_writable != NULL) call->on_writable(call);
}

static void on_goaway(void *owner, int32_t last_stream_id, uint32_t error_code, struct slice debug) {
    struct channel *channel = owner;
    (void)last_stream_id;
    (void)error_code;
    (void)debug;
    channel->broken = true; /* calls under way go on; new ones need a new connection */
}

static const struct http2_callbacks callbacks = {
    .headers = on_headers,
    .data = on_data,
    .closed = on_closed,
    .writable = on_writable,
    .goaway = on_goaway,
};

/* ---- the connection -------------------------------------------------------------------------------------
 */

static void retry_fired(struct io_timer *timer) {
    struct channel *channel = CONTAINER_OF(timer, struct channel, retry);
    if (!list_empty(&channel->waiting)) connect_next(channel);
}

static void fail_waiting(struct channel *channel, const char *why) {
    struct list waiting;
    list_init(&waiting);
    list_append(&waiting, &channel->waiting);
    struct list *node;
    while ((node = list_first(&waiting)) != NULL)
        end_call(CONTAINER_OF(node, struct call, link), GRPC_UNAVAILABLE, why);
}

static void schedule_retry(struct channel *channel) {
    uint64_t pause = RETRY_MIN_NS << MIN(channel->failures, (uint32_t)6);
    channel->failures++;
    channel->current = (channel->current + 1) % channel->server_count;
    io_timer_set(channel->io, &channel->retry, io_now_ns(channel->io) + MIN(pause, RETRY_MAX_NS));
}

static void receive_done(struct io_op *op);

static void connected(struct io_op *op) {
    struct channel *channel = CONTAINER_OF(op, struct channel, connect);
    channel->connecting = false;
    if (channel->socket == NULL) return; /* released meanwhile */
    if (op->status != STATUS_OK) {
        io_socket_close(channel->socket);
        channel->socket = NULL;
        char why[256];
        const char *reason = op->status == STATUS_UNAVAILABLE
                                 ? "nobody listens there; is 'sentinel serve' running?"
                             : op->status == STATUS_NOT_FOUND ? "there is no host of that name"
                                                              : status_text(op->status);
        snprintf(why, sizeof why, "cannot connect to %s: %s", channel->servers[channel->current].text,
                 reason);
        schedule_retry(channel);
        fail_waiting(channel, why);
        return;
    }
    struct http2_options options = http2_options_default(HTTP2_CLIENT);
    channel->session = http2_session_new(&options, &callbacks, channel);
    channel->broken = false;
    channel->failures = 0;
    channel->receiving = true;
    channel->receive.done = receive_done;
    io_recv(channel->socket, &channel->receive, channel->in, RECEIVE_SIZE);
    struct list *node;
    while ((node = list_pop_front(&channel->waiting)) != NULL)
        open_stream(CONTAINER_OF(node, struct call, link));
    schedule_pump(channel);
}

static void connect_next(struct channel *channel) {
    ASSERT(channel->socket == NULL && !channel->connecting);
    /* The last connection's operations still end on these: a moment later. */
    if (channel->receiving || channel->sending) {
        io_timer_set(channel->io, &channel->retry, io_now_ns(channel->io) + NS_PER_MS);
        return;
    }
    channel->connecting = true;
    channel->connect.done = connected;
    io_connect(channel->io, &channel->connect, channel->servers[channel->current].text, &channel->socket);
}

static void lose(struct channel *channel, const char *why) {
    if (channel->session == NULL) return;
    struct list calls;
    list_init(&calls);
    list_append(&calls, &channel->calls);
    LIST_FOREACH(it, &calls) {
        struct call *call = CONTAINER_OF(it, struct call, link);
        http2_stream_set_user(call->stream, NULL);
        call->stream = NULL;
    }
    struct http2_session *session = channel->session;
    channel->session = NULL;
    http2_session_free(session);
    io_socket_close(channel->socket);
    channel->socket = NULL;
    chain_release(&channel->out);
    struct list *node;
    while ((node = list_first(&calls)) != NULL)
        end_call(CONTAINER_OF(node, struct call, link), GRPC_UNAVAILABLE, why);
    if (!list_empty(&channel->waiting) && !channel->connecting && !io_timer_armed(&channel->retry))
        schedule_retry(channel);
}

static void receive_done(struct io_op *op) {
    struct channel *channel = CONTAINER_OF(op, struct channel, receive);
    channel->receiving = false;
    if (channel->session == NULL) return;
    if (op->status != STATUS_OK || op->result == 0) {
        lose(channel, "the connection to the server was lost");
        return;
    }
    enum status status = http2_receive(channel->session, slice_make(channel->in, op->result),
                                       io_now_ns(channel->io));
    pump(channel);
    if (channel->session == NULL) return;
    if (status != STATUS_OK || http2_session_done(channel->session) ||
        (channel->broken && list_empty(&channel->calls))) {
        lose(channel, "the server ended the connection");
        return;
    }
    channel->receiving = true;
    channel->receive.done = receive_done;
    io_recv(channel->socket, &channel->receive, channel->in, RECEIVE_SIZE);
}

static void send_done(struct io_op *op) {
    struct channel *channel = CONTAINER_OF(op, struct channel, send);
    channel->sending = false;
    if (channel->session == NULL) {
        chain_release(&channel->in_flight);
        return;
    }
    if (op->status != STATUS_OK) {
        lose(channel, "the connection to the server was lost");
        chain_release(&channel->in_flight);
        return;
    }
    chain_release(&channel->in_flight);
    pump(channel);
}

/* Frames go from the session to `out`, and one send's worth of them to in_flight, which the socket reads. */
static void pump(struct channel *channel) {
    if (channel->session == NULL || channel->sending) return;
    if (channel->out.size < PRODUCE_SIZE) http2_produce(channel->session, &channel->out, PRODUCE_SIZE);
    if (channel->session == NULL || channel->out.size == 0) return;
    uint32_t count = (uint32_t)chain_peek(&channel->out, channel->slices, ARRAY_COUNT(channel->slices));
    size_t bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        bytes += channel->slices[i].size;
    chain_move(&channel->in_flight, &channel->out, bytes);
    channel->sending = true;
    channel->send.done = send_done;
    io_send(channel->socket, &channel->send, channel->slices, count);
}

static void pump_deferred(struct io_op *op) {
    struct channel *channel = CONTAINER_OF(op, struct channel, pump);
    channel->pump_scheduled = false;
    pump(channel);
}

static void schedule_pump(struct channel *channel) {
    if (channel->pump_scheduled) return;
    channel->pump_scheduled = true;
    channel->pump.done = pump_deferred;
    io_defer(channel->io, &channel->pump);
}

/* ---- made and released ----------------------------------------------------------------------------------
 */

enum status channel_init(struct channel *channel, struct io *io, const char *servers,
                         struct diagnostic *diagnostic) {
    *channel = (struct channel){.io = io};
    list_init(&channel->calls);
    list_init(&channel->waiting);
    chain_init(&channel->out);
    chain_init(&channel->in_flight);
    io_timer_init(&channel->retry, retry_fired);
    while (*servers != '\0') {
        size_t size = strcspn(servers, ",");
        struct io_address *server = &channel->servers[channel->server_count];
        bool valid = size != 0 && size < sizeof server->text && memchr(servers, ':', size) != NULL;
        if (!valid || channel->server_count == CHANNEL_SERVERS_MAX)
            return diagnose(diagnostic, STATUS_INVALID,
                            "'%s' is no list of servers: HOST:PORT[,HOST:PORT], at most %d", servers,
                            CHANNEL_SERVERS_MAX);
        memcpy(server->text, servers, size);
        server->text[size] = '\0';
        channel->server_count++;
        servers += size + (servers[size] == ',');
    }
    if (channel->server_count == 0) return diagnose(diagnostic, STATUS_INVALID, "no server is named");
    channel->in = mem_alloc(RECEIVE_SIZE);
    return STATUS_OK;
}

void channel_release(struct channel *channel) {
    LIST_FOREACH(it, &channel->calls) {
        call_cancel(CONTAINER_OF(it, struct call, link));
    }
    LIST_FOREACH(it, &channel->waiting) {
        call_cancel(CONTAINER_OF(it, struct call, link));
    }
    lose(channel, "closed");
    if (channel->socket != NULL) io_socket_close(channel->socket);
    channel->socket = NULL;
    io_timer_cancel(channel->io, &channel->retry);
    while (channel->connecting || channel->receiving || channel->sending || channel->pump_scheduled) {
        io_turn(channel->io, NS_PER_MS);
        io_timer_cancel(channel->io, &channel->retry);
    }
    chain_release(&channel->out);
    chain_release(&channel->in_flight);
    mem_free(channel->in);
}
