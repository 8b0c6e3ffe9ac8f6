// SPDX-License-Identifier: Apache-2.0
/* grpc_connection.h: what grpc_connection.c (one HTTP/2 connection) and grpc_call.c (its calls) share. */
#ifndef SENTINEL_SERVER_GRPC_CONNECTION_H
#define SENTINEL_SERVER_GRPC_CONNECTION_H

#include "base/list.h"
#include "io/io.h"
#include "server/connection.h"
#include "wire/http2_session.h"

struct grpc_method;

struct grpc_connection {
    struct connection *connection;
    struct server *server;
    struct io *io;
    struct http2_session *session;
    struct list calls;                     /* not ended */
    const struct grpc_method *last_method; /* clients mostly repeat themselves */
    size_t partial_bytes;                  /* of incomplete messages, all calls */
    size_t held_bytes;                     /* in the backlogs of calls that are held */
    size_t counted_bytes;                  /* queued in the session, as told to connection_count_queued */
    struct io_op pump;                     /* frames go out once a turn, after everything that made them */
    struct io_timer keepalive;
    uint64_t received_ns; /* when the peer was last heard */
    uint32_t turn;
    bool pumping, pinged, draining, said_last;
    bool appended;         /* a call gave the broker something to write */
    bool waits_for_resume; /* nothing is received: too much waits for the disk */
    struct io_op resume;
};

/* Something may have become sendable: frames leave at the end of this turn. */
void grpc_connection_wake(struct grpc_connection *connection);
void grpc_connection_call_ended(struct grpc_connection *connection);

#endif
