// SPDX-License-Identifier: Apache-2.0
#include "server/grpc_call.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "server/grpc_connection.h"
#include "server/grpc_service.h"

#define ARENA_BLOCK_SIZE       (4 * KIB)
#define TRAILERS_MAX           3
#define COMPRESSED_MESSAGE_MIN ((size_t)512) /* smaller answers are not worth it */

#define HEADER(name, value) ((struct http2_header){SLICE_LITERAL(name), value})

/* ---- life ---------------------------------------------------------------------------------------------- */

static void call_free(struct grpc_call *call) {
    ASSERT(call->ended && call->pins == 0);
    grpc_message_reader_release(&call->reader);
    chain_release(&call->backlog);
    arena_release(&call->arena);
    mem_free(call);
}

void grpc_call_pin(struct grpc_call *call) {
    call->pins++;
}

void grpc_call_unpin(struct grpc_call *call) {
    ASSERT_LT(0U, call->pins);
    if (--call->pins == 0 && call->ended) call_free(call);
}

/* `size` bytes of the backlog were dealt with: the client may send as many more. */
static void release_backlog(struct grpc_call *call, size_t size) {
    chain_consume(&call->backlog, size);
    call->connection->held_bytes -= size;
    if (call->stream_gone) return;
    http2_consume_stream(call->stream, size);
    size_t shared = MIN(size, call->held_connection);
    http2_consume_connection(call->stream, shared);
    call->held_connection -= shared;
}

/* After this nothing reaches the client, and the call may be gone. */
static void call_end(struct grpc_call *call) {
    ASSERT(!call->ended);
    grpc_call_pin(call);
    call->ended = true;
    io_timer_cancel(server_io(call->server), &call->timer);
    http2_stream_set_user(call->stream, NULL);
    release_backlog(call, call->backlog.size);
    call->connection->partial_bytes -= grpc_message_reader_held(&call->reader);
    list_remove(&call->link);
    grpc_connection_call_ended(call->connection);
    call->stream = NULL;
    call->connection = NULL;
    if (call->method->ended != NULL) call->method->ended(call);
    grpc_call_unpin(call);
}

void grpc_call_abort(struct grpc_call *call) {
    call->stream_gone = true;
    call_end(call);
}

/* ---- answers ------------------------------------------------------------------------------------------- */

static void respond(struct grpc_call *call) {
    if (call->responded) return;
    call->responded = true;
    struct http2_header headers[] = {
        HEADER(":status", SLICE_LITERAL("200")),
        HEADER("content-type", SLICE_LITERAL("application/grpc")),
        HEADER("grpc-encoding", SLICE_LITERAL("gzip")),
    };
    http2_respond(call->stream, headers, call->encoding == GRPC_GZIP ? 3 : 2, false);
}

void grpc_call_send(struct grpc_call *call, struct chain *message) {
    ASSERT(!call->ended);
    respond(call);
    struct chain framed;
    chain_init(&framed);
    grpc_message_begin(&framed, message->size);
    chain_append_chain(&framed, message);
    http2_send(call->stream, &framed);
    grpc_connection_wake(call->connection);
}

void grpc_call_send_bytes(struct grpc_call *call, struct writer *message) {
    ASSERT(!call->ended);
    respond(call);
    if (message->size < COMPRESSED_MESSAGE_MIN) {
        uint8_t header[GRPC_MESSAGE_HEADER_SIZE];
        grpc_message_header(message->size, header);
        struct slice parts[] = {slice_make(header, sizeof header), writer_slice(message)};
        http2_send_copy(call->stream, parts, ARRAY_COUNT(parts));
    } else {
        struct chain framed;
        chain_init(&framed);
        grpc_message_append(&framed, writer_slice(message), call->encoding);
        http2_send(call->stream, &framed);
    }
    writer_clear(message);
    grpc_connection_wake(call->connection);
}

void grpc_call_send_packed(struct grpc_call *call, const ProtobufCMessage *message) {
    struct writer out;
    writer_init(&out);
    protobuf_pack(&out, message);
    grpc_call_send_bytes(call, &out);
    writer_release(&out);
}

size_t grpc_call_queued(const struct grpc_call *call) {
    ASSERT(!call->ended);
    return http2_stream_queued(call->stream);
}

/* Trailers, or all there is to say when no message went out. */
static void send_trailers(struct grpc_call *call, const struct http2_header *trailers, size_t count) {
    struct http2_stream *stream = call->stream;
    if (call->responded) {
        http2_trailers(stream, trailers, count);
        return;
    }
    struct http2_header headers[2 + TRAILERS_MAX] = {
        HEADER(":status", SLICE_LITERAL("200")),
        HEADER("content-type", SLICE_LITERAL("application/grpc")),
    };
    memcpy(headers + 2, trailers, count * sizeof *trailers);
    http2_respond(stream, headers, 2 + count, true);
}

void grpc_call_finish(struct grpc_call *call) {
    ASSERT(!call->ended);
    struct http2_header trailer = HEADER("grpc-status", SLICE_LITERAL("0"));
    send_trailers(call, &trailer, 1);
    grpc_connection_wake(call->connection);
    call_end(call);
}

void grpc_call_fail(struct grpc_call *call, const struct grpc_error *error) {
    ASSERT(!call->ended);
    ASSERT(error->code != GRPC_OK);
    struct writer message, details, encoded;
    writer_init(&message);
    writer_init(&details);
    writer_init(&encoded);
    grpc_percent_encode(&message, error->message);
    grpc_error_write(&details, error);
    grpc_base64_encode(&encoded, writer_slice(&details));
    char code[12];
    int code_size = snprintf(code, sizeof code, "%d", error->code);
    struct http2_header trailers[TRAILERS_MAX] = {
        HEADER("grpc-status", slice_make(code, (size_t)code_size)),
        HEADER("grpc-message", writer_slice(&message)),
        HEADER("grpc-status-details-bin", writer_slice(&encoded)),
    };
    send_trailers(call, trailers, TRAILERS_MAX);
    writer_release(&message);
    writer_release(&details);
    writer_release(&encoded);
    grpc_connection_wake(call->connection);
    call_end(call);
}

void grpc_call_fail_status(struct grpc_call *call, enum status status, const char *message) {
    struct grpc_error error = grpc_error_from_status(status, message);
    grpc_call_fail(call, &error);
}

void grpc_call_fail_named(struct grpc_call *call, const char *what, const char *key, struct slice name,
                          enum status status, const char *message) {
    char quoted[300], text[512];
    snprintf(text, sizeof text, "%s %s: %.150s", what, log_quote(quoted, sizeof quoted, name),
             message == NULL ? status_text(status) : message);
    struct grpc_error error = grpc_error_from_status(status, text);
    struct grpc_error_pair pair = {key, name};
    error.metadata = &pair;
    error.metadata_count = 1;
    grpc_call_fail(call, &error);
}

void grpc_call_fail_field(struct grpc_call *call, const char *field, const char *format, ...) {
    char text[256];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    struct grpc_error error = grpc_error_from_status(STATUS_INVALID, text);
    error.field = slice_from_text(field);
    struct grpc_error_pair pair = {"field", error.field};
    error.metadata = &pair;
    error.metadata_count = 1;
    grpc_call_fail(call, &error);
}

static void fail_code(struct grpc_call *call, int code, const char *reason, const char *message) {
    struct grpc_error error = {.code = code,
                               .reason = slice_from_text(reason),
                               .message = slice_from_text(message),
                               .retry_after_ms = -1};
    grpc_call_fail(call, &error);
}

void grpc_call_reply_packed(struct grpc_call *call, const ProtobufCMessage *message) {
    grpc_call_send_packed(call, message);
    grpc_call_finish(call);
}

/* ---- opening ------------------------------------------------------------------------------------------- */

struct request {
    struct slice method, path, content_type, encoding, timeout;
};

static struct request read_headers(const struct http2_headers *headers) {
    struct request request = {.encoding = SLICE_LITERAL("identity")};
    for (size_t i = 0; i < headers->count; i++) {
        struct slice name = headers->list[i].name, value = headers->list[i].value;
        if (slice_equal(name, SLICE_LITERAL(":method")))
            request.method = value;
        else if (slice_equal(name, SLICE_LITERAL(":path")))
            request.path = value;
        else if (slice_equal(name, SLICE_LITERAL("content-type")))
            request.content_type = value;
        else if (slice_equal(name, SLICE_LITERAL("grpc-encoding")))
            request.encoding = value;
        else if (slice_equal(name, SLICE_LITERAL("grpc-timeout")))
            request.timeout = value;
    }
    return request;
}

static void respond_http(struct http2_stream *stream, const char *code) {
    struct http2_header status = HEADER(":status", slice_from_text(code));
    http2_respond(stream, &status, 1, true);
}

static void deadline_fire(struct io_timer *timer) {
    struct grpc_call *call = CONTAINER_OF(timer, struct grpc_call, timer);
    fail_code(call, GRPC_DEADLINE_EXCEEDED, "DEADLINE_EXCEEDED", "the deadline of the call has passed");
}

static struct grpc_call *call_new(struct grpc_connection *connection, struct http2_stream *stream,
                                  const struct grpc_method *method) {
    struct grpc_call *call = mem_calloc(1, sizeof *call);
    call->method = method;
    call->server = connection->server;
    call->connection = connection;
    call->stream = stream;
    arena_init(&call->arena, ARENA_BLOCK_SIZE);
    if (method->state_size != 0) call->state = arena_calloc(&call->arena, 1, method->state_size);
    chain_init(&call->backlog);
    io_timer_init(&call->timer, deadline_fire);
    list_push_back(&connection->calls, &call->link);
    http2_stream_set_user(stream, call);
    return call;
}

/* Calls that no method serves still answer in gRPC's own words. */
static const struct grpc_method no_method = {.path = "", .message_size_max = 0};

static void open_unknown(struct grpc_connection *connection, struct http2_stream *stream, struct slice path) {
    struct grpc_call *call = call_new(connection, stream, &no_method);
    char quoted[160], text[200];
    snprintf(text, sizeof text, "no such method: %s", log_quote(quoted, sizeof quoted, path));
    fail_code(call, GRPC_UNIMPLEMENTED, "UNKNOWN_METHOD", text);
}

static void open_encoded_unknown(struct grpc_connection *connection, struct http2_stream *stream) {
    struct http2_header headers[] = {
        HEADER(":status", SLICE_LITERAL("200")),
        HEADER("content-type", SLICE_LITERAL("application/grpc")),
        HEADER("grpc-status", SLICE_LITERAL("12")),
        HEADER("grpc-message", SLICE_LITERAL("messages may be encoded as identity or gzip")),
        HEADER("grpc-accept-encoding", SLICE_LITERAL("identity,gzip")),
    };
    http2_respond(stream, headers, ARRAY_COUNT(headers), true);
    grpc_connection_wake(connection);
}

static bool starts_with(struct slice text, struct slice prefix) {
    return text.size >= prefix.size && memcmp(text.data, prefix.data, prefix.size) == 0;
}

static const struct grpc_method *find_method(struct grpc_connection *connection, struct slice path) {
    const struct grpc_method *last = connection->last_method;
    if (last != NULL && slice_equal(path, slice_from_text(last->path))) return last;
    const struct grpc_method *found = grpc_service_find(path);
    if (found != NULL) connection->last_method = found;
    return found;
}

void grpc_call_open(struct grpc_connection *connection, struct http2_stream *stream,
                    const struct http2_headers *headers) {
    struct request request = read_headers(headers);
    if (headers->too_large) {
        respond_http(stream, "431");
        return;
    }
    if (!slice_equal(request.method, SLICE_LITERAL("POST"))) {
        respond_http(stream, "405");
        return;
    }
    if (!starts_with(request.content_type, SLICE_LITERAL("application/grpc"))) {
        respond_http(stream, "415");
        return;
    }
    const struct grpc_method *method = find_method(connection, request.path);
    if (method == NULL) {
        open_unknown(connection, stream, request.path);
        return;
    }
    bool gzip = slice_equal(request.encoding, SLICE_LITERAL("gzip"));
    if (!gzip && !slice_equal(request.encoding, SLICE_LITERAL("identity"))) {
        open_encoded_unknown(connection, stream);
        return;
    }
    struct grpc_call *call = call_new(connection, stream, method);
    call->encoding = gzip ? GRPC_GZIP : GRPC_IDENTITY;
    size_t size_max = MIN(method->message_size_max, server_get_options(call->server)->request_bytes_max);
    grpc_message_reader_init(&call->reader, call->encoding, size_max);
    if (request.timeout.size != 0) {
        uint64_t timeout_ns;
        if (grpc_timeout_parse(request.timeout, &timeout_ns) != STATUS_OK) {
            grpc_call_fail_field(call, "grpc-timeout", "grpc-timeout: up to 8 digits and one of H M S m u n");
            return;
        }
        uint64_t now_ns = io_now_ns(connection->io);
        call->deadline_ns = timeout_ns > UINT64_MAX - now_ns ? UINT64_MAX : now_ns + timeout_ns;
        io_timer_set(connection->io, &call->timer, call->deadline_ns);
    }
    if (http2_session_queued(connection->session) > GRPC_QUEUED_BYTES_MAX) {
        grpc_call_fail_status(call, STATUS_BUSY, "too many answers wait to be read on this connection");
        return;
    }
    grpc_call_pin(call);
    if (method->open != NULL) method->open(call);
    if (connection->draining && !call->ended) grpc_call_drain(call);
    grpc_call_unpin(call);
}

/* ---- messages ------------------------------------------------------------------------------------------ */

static void fail_message(struct grpc_call *call, enum status status) {
    char text[128];
    switch (status) {
    case STATUS_TOO_LARGE:
        snprintf(text, sizeof text, "message larger than %zu bytes", call->reader.size_max);
        break;
    case STATUS_CORRUPT_MESSAGE:
        snprintf(text, sizeof text, "message does not inflate");
        break;
    default:
        snprintf(text, sizeof text, "message frame is malformed");
    }
    grpc_call_fail_status(call, status, text);
}

static void deliver(struct grpc_call *call, struct grpc_message *message) {
    bool repeated = call->got_message && !call->method->streams_requests;
    call->got_message = true;
    if (repeated)
        fail_code(call, GRPC_UNIMPLEMENTED, "ONE_MESSAGE_EXPECTED", "this method takes exactly one message");
    else
        call->method->message(call, message);
    buffer_unref(message->owner);
}

/* Delivers the messages in `bytes` until the handler holds or the call ends; what is left stays in `bytes`.
 */
static void deliver_all(struct grpc_call *call, struct slice *bytes) {
    struct grpc_connection *connection = call->connection;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && !call->ended && !call->holding) {
        struct grpc_message message;
        size_t before = grpc_message_reader_held(&call->reader);
        status = grpc_message_next(&call->reader, bytes, &message);
        connection->partial_bytes += grpc_message_reader_held(&call->reader) - before;
        if (status == STATUS_OK) deliver(call, &message);
    }
    if (call->ended || call->holding) return;
    if (status != STATUS_PENDING)
        fail_message(call, status);
    else if (connection->partial_bytes > GRPC_PARTIAL_BYTES_MAX)
        grpc_call_fail_status(call, STATUS_BUSY, "too many incomplete messages on one connection");
}

void grpc_call_data(struct grpc_call *call, struct slice bytes) {
    struct grpc_connection *connection = call->connection;
    struct http2_stream *stream = call->stream;
    size_t size = bytes.size;
    grpc_call_pin(call);
    if (!call->holding) {
        ASSERT_EQ(call->backlog.size, (size_t)0);
        deliver_all(call, &bytes);
    }
    size_t kept = call->ended ? 0 : bytes.size;
    grpc_call_unpin(call);
    http2_consume(stream, size - kept);
    if (kept == 0) return;
    ASSERT(call->holding);
    chain_append_copy(&call->backlog, bytes);
    connection->held_bytes += kept;
    if (connection->held_bytes > GRPC_HELD_BYTES_MAX)
        call->held_connection += kept;
    else
        http2_consume_connection(stream, kept);
}

static void end_of_request(struct grpc_call *call) {
    if (!grpc_message_reader_at_boundary(&call->reader)) {
        grpc_call_fail_status(call, STATUS_MALFORMED, "the request ends inside a message");
    } else if (!call->got_message && !call->method->streams_requests) {
        fail_code(call, GRPC_UNIMPLEMENTED, "ONE_MESSAGE_EXPECTED", "this method takes exactly one message");
    } else {
        call->half_closed = true;
        if (call->method->half_closed != NULL) call->method->half_closed(call);
    }
}

void grpc_call_half_close(struct grpc_call *call) {
    if (call->holding)
        call->ends_after_backlog = true;
    else
        end_of_request(call);
}

void grpc_call_hold(struct grpc_call *call, bool hold) {
    ASSERT(!call->ended);
    call->holding = hold;
    if (hold || call->delivering) return;
    call->delivering = true; /* a handler may hold and let go from inside: one loop is enough */
    grpc_call_pin(call);
    while (!call->ended && !call->holding && call->backlog.size != 0) {
        struct slice piece;
        chain_peek(&call->backlog, &piece, 1);
        size_t size = piece.size;
        deliver_all(call, &piece);
        if (call->ended) break;
        release_backlog(call, size - piece.size);
        grpc_connection_wake(call->connection);
    }
    call->delivering = false;
    if (!call->ended && !call->holding && call->ends_after_backlog) {
        call->ends_after_backlog = false;
        end_of_request(call);
    }
    grpc_call_unpin(call);
}

void grpc_call_writable(struct grpc_call *call) {
    if (call->method->writable != NULL) call->method->writable(call);
}

void grpc_call_drain(struct grpc_call *call) {
    if (call->method->drain != NULL) call->method->drain(call);
}

/* ---- for handlers -------------------------------------------------------------------------------------- */

void *grpc_call_unpack(struct grpc_call *call, const ProtobufCMessageDescriptor *type, struct slice bytes) {
    ProtobufCAllocator allocator = protobuf_arena_allocator(&call->arena);
    ProtobufCMessage *message = protobuf_c_message_unpack(type, &allocator, bytes.size, bytes.data);
    if (message == NULL)
        grpc_call_fail_status(call, STATUS_MALFORMED, "the message is no such protocol buffer");
    return message;
}

uint32_t grpc_call_turn(struct grpc_call *call) {
    ASSERT(!call->ended);
    return call->connection->turn++;
}

void grpc_call_appended(struct grpc_call *call) {
    ASSERT(!call->ended);
    call->connection->appended = true;
}

bool grpc_call_draining(const struct grpc_call *call) {
    ASSERT(!call->ended);
    return call->connection->draining;
}

struct io *grpc_call_io(const struct grpc_call *call) {
    return server_io(call->server);
}

struct broker *grpc_call_broker(const struct grpc_call *call) {
    return server_broker(call->server);
}

struct connection *grpc_call_connection(const struct grpc_call *call) {
    ASSERT(!call->ended);
    return call->connection->connection;
}
