// SPDX-License-Identifier: Apache-2.0
/* grpc_world.h: a real broker and server on a simulated machine, and a gRPC client made of the wire layer
 * alone, on the same machine. Time passes only in grpc_world_run. */
#ifndef SENTINEL_TESTS_LIB_GRPC_WORLD_H
#define SENTINEL_TESTS_LIB_GRPC_WORLD_H

#include <protobuf-c/protobuf-c.h>

#include "base/chain.h"
#include "base/cursor.h"
#include "io/io_sim.h"
#include "server/server.h"
#include "wire/grpc_message.h"
#include "wire/grpc_metadata.h"
#include "wire/http2_session.h"

#define GRPC_WORLD_CALLS_MAX    300
#define GRPC_WORLD_MESSAGES_MAX 4096

struct grpc_world_client;

struct grpc_world_call {
    struct grpc_world_client *client;
    struct http2_stream *stream;    /* NULL once closed */
    int http_status, grpc_status;   /* -1: not told */
    struct writer message, details; /* grpc-message, and grpc-status-details-bin decoded */
    struct grpc_message_reader reader;
    struct slice messages[GRPC_WORLD_MESSAGES_MAX]; /* heap copies */
    size_t message_count, bytes;
    bool ended, closed; /* the server finished; the stream is gone */
    uint32_t error_code;
    bool keep;    /* received bytes are not given back: the server's window closes */
    bool discard; /* bytes are counted, messages are not kept */
    enum grpc_encoding encoding;
    struct writer headers; /* "name=value\n" of all that came */
};

struct grpc_world_client {
    struct io *io;
    struct io_socket *socket;
    struct http2_session *session;
    struct io_op connect, receive, send;
    uint8_t *buffer;
    struct chain out;
    struct slice slices[16];
    size_t sending_size;
    bool connected, sending, receiving, closed;
    int goaways;
    uint32_t goaway_code;
    struct grpc_world_call *calls[GRPC_WORLD_CALLS_MAX];
    size_t call_count;
};

struct grpc_world {
    struct io_sim *sim;
    struct io *io;
    struct broker *broker;
    struct server *server;
    struct io_address address;
    struct grpc_world_client client;
    bool drained;
};

void grpc_world_open(struct grpc_world *world, uint64_t seed);
void grpc_world_close(struct grpc_world *world); /* asserts that nothing is left behind */
int grpc_world_teardown(void **state);           /* of a test whose *state is its world: closes it */
/* Drains the server, with a grace of 10 seconds, and lets time pass until it has drained. */
void grpc_world_drain(struct grpc_world *world);
/* Another connection. */
void grpc_world_connect(struct grpc_world *world, struct grpc_world_client *client);
void grpc_world_disconnect(struct grpc_world *world, struct grpc_world_client *client);
/* Lets `ms` of simulated time pass. */
void grpc_world_run(struct grpc_world *world, uint64_t ms);
/* Runs until the call is closed, at most 60 simulated seconds. */
void grpc_world_await(struct grpc_world *world, struct grpc_world_call *call);

/* `timeout`: as in grpc-timeout, or NULL. */
struct grpc_world_call *grpc_world_call(struct grpc_world_client *client, const char *path,
                                        const char *timeout);
struct grpc_world_call *grpc_world_call_headers(struct grpc_world_client *client,
                                                const struct http2_header *headers, size_t count);
void grpc_world_send(struct grpc_world_call *call, const ProtobufCMessage *message);
void grpc_world_send_raw(struct grpc_world_call *call, struct slice bytes); /* not framed */
void grpc_world_finish(struct grpc_world_call *call);
void grpc_world_cancel(struct grpc_world_call *call);
/* Call, one message, await. */
struct grpc_world_call *grpc_world_unary(struct grpc_world *world, const char *path,
                                         const ProtobufCMessage *message);
/* The call failed so: what it says in its trailers and in its details is the same. */
void grpc_world_expect_error(const struct grpc_world_call *call, int code, const char *reason,
                             const char *field);
/* A topic of this many partitions. */
void grpc_world_topic(struct grpc_world *world, const char *name, int partitions);

#endif
