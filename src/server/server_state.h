// SPDX-License-Identifier: Apache-2.0
/* server_state.h: the server's state, for connection.c, server.c and metrics.c only; handlers see server.h.
 *
 * Loop    shard thread only. */
#ifndef SENTINEL_SERVER_SERVER_STATE_H
#define SENTINEL_SERVER_SERVER_STATE_H

#include "server/metrics.h"
#include "server/server.h"

/* Kafka frames above this cannot be told from TLS or text by their first byte (docs/protocols.md). */
#define KAFKA_FRAME_SIZE_LIMIT (100U << 20)

struct server {
    struct io *io;
    struct broker *broker;
    struct server_options options;
    struct log *log;
    struct list listeners;   /* struct listener */
    struct list connections; /* struct connection */
    uint32_t connection_count;
    size_t large_buffer_bytes; /* receive buffers above CONNECTION_RECEIVE_SIZE */
    struct list memory_waiters;
    struct list leaves; /* grpc_leave.h */
    uint32_t leave_count;
    size_t send_queued_bytes; /* of all connections, what waits in streams for a window among it */
    struct io_timer sweep;    /* set while a connection may hold more than an idle one needs */
    bool sweeping;
    uint64_t moved_at_trim; /* bytes received and sent, when it was seen that much had moved */
    unsigned trims_due;     /* of the heap, once everything rests */
    struct metrics metrics;
    bool draining;
    void (*drained)(void *ctx);
    void *drained_ctx;
    struct io_timer grace;
    struct io_op drained_op;
};

/* NULL when `which` is not among `allowed`. */
const struct protocol *server_protocol(enum server_protocols which, unsigned allowed);
void server_memory_freed(struct server *server);
/* So many more, or fewer, bytes wait to be sent. */
void server_count_queued(struct server *server, int64_t bytes);
/* A connection holds a grown buffer: it is to be looked at again in a while. */
void server_sweep_later(struct server *server);
void server_connection_gone(struct server *server);

#endif
