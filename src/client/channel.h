// SPDX-License-Identifier: Apache-2.0
/* channel.h: one connection to the first server of a list that answers, and gRPC calls over it.
 *
 *   call_start ─> connect when there is no connection ─> HTTP/2 stream ─> on_message … ─> on_done (once)
 *
 * When the connection cannot be made or is lost, every call under way ends with UNAVAILABLE; whoever started
 * it knows whether to start it again. The next call connects anew, to the next server of the list.
 *
 * What has come is given back to the stream's window at once, so that a message may be larger than the
 * window; who wants less to come asks for less (ConsumeCredit).
 *
 * Owner   calls are embedded in their owner and stay until on_done, or call_cancel. Loop: one thread. */
#ifndef SENTINEL_CLIENT_CHANNEL_H
#define SENTINEL_CLIENT_CHANNEL_H

#include "base/chain.h"
#include "io/io.h"
#include "wire/grpc_message.h"
#include "wire/http2_session.h"

#define CHANNEL_SERVERS_MAX 16
#define GRPC_UNAVAILABLE    14

struct call;
struct channel {
    struct io *io;
    struct io_address servers[CHANNEL_SERVERS_MAX];
    uint32_t server_count, current;
    struct io_socket *socket;
    struct http2_session *session; /* NULL: not connected */
    bool connecting, receiving, sending, pump_scheduled, broken;
    struct io_op connect, receive, send, pump;
    struct io_timer retry; /* back-off after a failed connection */
    uint32_t failures;
    uint8_t *in;
    struct chain out, in_flight; /* in_flight: what the socket is reading */
    struct slice slices[64];
    struct list calls;   /* struct call: on the wire */
    struct list waiting; /* struct call: until there is a connection */
};

/* servers: "HOST:PORT[,HOST:PORT]". */
enum status channel_init(struct channel *channel, struct io *io, const char *servers,
                         struct diagnostic *diagnostic) MUST_USE;
/* Ends all calls without telling; runs the loop until the socket is quiet. */
void channel_release(struct channel *channel);

struct call {
    /* A whole message; lent for the call, or kept by taking a reference on its owner. */
    void (*on_message)(struct call *call, struct grpc_message *message);
    /* code: gRPC status; `sent`: the server may have acted on it. */
    void (*on_done)(struct call *call, int code, const char *message);
    /* The stream's queue ran low; may be NULL. */
    void (*on_writable)(struct call *call);
    /* the channel's own */
    struct list link;
    struct channel *channel;
    const char *path;
    struct http2_stream *stream; /* NULL: waits for the connection */
    struct chain queued;         /* sent once there is a stream */
    bool finish_queued, started, sent, stopped;
    struct grpc_message_reader reader;
    int code; /* -1 until known */
    char message[512];
};
void call_start(struct channel *channel, struct call *call, const char *path);
/* A message: `head` is copied, then `body` (may have no bytes) by reference. */
void call_send(struct call *call, struct slice head, struct shared_slice body);
void call_finish(struct call *call); /* nothing more is sent */
void call_cancel(struct call *call); /* on_done is not called; idempotent */

#endif
