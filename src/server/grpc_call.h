// SPDX-License-Identifier: Apache-2.0
/* grpc_call.h: one gRPC call on the server (grpc/doc/PROTOCOL-HTTP2.md), and the table row that serves it.
 *
 *   headers ─> grpc_call_open ─> method->open ─> messages ─> method->message ... ─> method->half_closed
 *                                                         <─ grpc_call_send ... <─ grpc_call_finish or _fail
 *
 * A call ends once: by finish or fail, or by what the handler did not ask for (the deadline, a reset, a lost
 * connection), which `ended` tells it, so that waiting work is given up at once. From then on the call sends
 * nothing.
 *
 * Owner   the connection owns calls until they end; `state` and everything from call->arena live as long as
 * the call. Broker requests cannot all be taken back: a handler that has one under way in its state pins the
 * call, and the memory stays until the last unpin. A message is lent: a handler that keeps it takes over
 * message->owner (and sets it to NULL), or copies. Bounds  messages: method->message_size_max and the
 * server's limit; bytes of incomplete messages of one connection: GRPC_PARTIAL_BYTES_MAX; answers of one
 * connection that wait for the client to read: above GRPC_QUEUED_BYTES_MAX new calls are refused; bytes of
 * held calls of one connection: above GRPC_HELD_BYTES_MAX the connection's window stays shut, too. Loop:
 * shard thread.
 */
#ifndef SENTINEL_SERVER_GRPC_CALL_H
#define SENTINEL_SERVER_GRPC_CALL_H

#include "base/arena.h"
#include "io/io.h"
#include "server/server.h"
#include "wire/grpc_message.h"
#include "wire/grpc_metadata.h"
#include "wire/http2_session.h"
#include "wire/protobuf.h"

#define GRPC_CONTROL_MESSAGE_MAX (256 * KIB) /* requests without records */
#define GRPC_RECORDS_MESSAGE_MAX (32 * MIB)  /* requests that carry records */
#define GRPC_PARTIAL_BYTES_MAX   (64 * MIB)
#define GRPC_QUEUED_BYTES_MAX    (64 * MIB)
#define GRPC_HELD_BYTES_MAX      (16 * MIB)

/* gRPC status codes that are no mapping of an enum status. */
enum {
    GRPC_OK = 0,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_UNAVAILABLE = 14
};

struct grpc_call;
struct grpc_connection;

struct grpc_method {
    const char *path; /* "/package.Service/Method" */
    size_t message_size_max;
    size_t state_size;     /* zeroed memory at call->state */
    bool streams_requests; /* else exactly one message comes */
    /* Each but `message` may be NULL. None is called after the call ended, but `ended`, once. */
    void (*open)(struct grpc_call *call);
    void (*message)(struct grpc_call *call, struct grpc_message *message);
    void (*half_closed)(struct grpc_call *call); /* the client has sent its last message */
    void (*writable)(struct grpc_call *call);    /* grpc_call_queued has become small */
    void (*drain)(struct grpc_call *call);       /* the server stops: a stream without an end should end */
    void (*ended)(struct grpc_call *call);       /* give up what waits; also after finish and fail */
};

struct grpc_call {
    const struct grpc_method *method;
    struct server *server;
    struct arena arena;
    void *state;
    uint64_t deadline_ns; /* 0: none */
    bool ended, half_closed;
    /* grpc_call.c's own */
    struct grpc_connection *connection; /* NULL once ended */
    struct http2_stream *stream;        /* NULL once ended */
    struct list link;
    struct io_timer timer;
    struct grpc_message_reader reader;
    enum grpc_encoding encoding; /* of messages that the client sends, and so understands */
    uint32_t pins;
    struct chain backlog;   /* received while held */
    size_t held_connection; /* of it, what the connection's window was not given back */
    bool responded, got_message, holding, delivering, ends_after_backlog, stream_gone;
};

/* ---- for handlers -------------------------------------------------------------------------------------- */

/* Sends one message: takes all of `message` (left empty). */
void grpc_call_send(struct grpc_call *call, struct chain *message);
/* The same from a writer (left empty), compressed when the client compresses too. */
void grpc_call_send_bytes(struct grpc_call *call, struct writer *message);
void grpc_call_send_packed(struct grpc_call *call, const ProtobufCMessage *message);
/* Bytes sent by the handler that have not left for the socket: a handler of a stream waits while they are
 * many. */
size_t grpc_call_queued(const struct grpc_call *call);

void grpc_call_finish(struct grpc_call *call);
void grpc_call_fail(struct grpc_call *call, const struct grpc_error *error);
/* `message` may be NULL or empty: then the status's own text. */
void grpc_call_fail_status(struct grpc_call *call, enum status status, const char *message);
/* The same, of something that has a name: `what` it is ("group") stands in the message with it, and the name
 * in the metadata as `key`. */
void grpc_call_fail_named(struct grpc_call *call, const char *what, const char *key, struct slice name,
                          enum status status, const char *message);
/* INVALID_ARGUMENT, with the path of the field that is wrong. */
__attribute__((format(printf, 3, 4))) void grpc_call_fail_field(struct grpc_call *call, const char *field,
                                                                const char *format, ...);
/* Unary answers in one step. */
void grpc_call_reply_packed(struct grpc_call *call, const ProtobufCMessage *message);

/* Unpacks into the call's arena; NULL when malformed: the call has then failed. */
void *grpc_call_unpack(struct grpc_call *call, const ProtobufCMessageDescriptor *type, struct slice bytes);

/* While held, no message is delivered and the client's window for this call stays shut: it stops sending once
 * the window is used up. Messages that wait are delivered when the hold ends, from inside this call. */
void grpc_call_hold(struct grpc_call *call, bool hold);
void grpc_call_pin(struct grpc_call *call);
void grpc_call_unpin(struct grpc_call *call);

/* Another number each time: spreads what may go anywhere. */
uint32_t grpc_call_turn(struct grpc_call *call);
/* The call made the broker write: its connection is held back while the disk does not keep up. */
void grpc_call_appended(struct grpc_call *call);
/* The server stops: whoever asks for its health is told. */
bool grpc_call_draining(const struct grpc_call *call);
struct io *grpc_call_io(const struct grpc_call *call);
struct broker *grpc_call_broker(const struct grpc_call *call);
/* Where the client reaches this node; only while the call has not ended. */
struct connection *grpc_call_connection(const struct grpc_call *call);

/* ---- for grpc_connection.c ----------------------------------------------------------------------------- */

void grpc_call_open(struct grpc_connection *connection, struct http2_stream *stream,
                    const struct http2_headers *headers);
void grpc_call_data(struct grpc_call *call, struct slice bytes);
void grpc_call_half_close(struct grpc_call *call);
void grpc_call_writable(struct grpc_call *call);
void grpc_call_drain(struct grpc_call *call);
/* The stream is gone, or the connection: tells the handler, when the call has not ended yet. */
void grpc_call_abort(struct grpc_call *call);

#endif
