// SPDX-License-Identifier: Apache-2.0
/* connection_state.h: a connection's state, for connection.c and server.c only; protocols see connection.h.
 *
 * Owner   the server's list; freed by itself once destroyed and no operation of it is under way.
 * Loop    shard thread only.
 * I1  in_start <= in_end <= in->size.   I2  after `destroyed` nothing but completions touches it. */
#ifndef SENTINEL_SERVER_CONNECTION_STATE_H
#define SENTINEL_SERVER_CONNECTION_STATE_H

#include "server/connection.h"

struct connection {
    struct list link; /* in server.connections */
    struct server *server;
    struct io_socket *socket;
    struct io_address peer;
    unsigned protocols; /* allowed on its listener */
    const struct protocol *protocol;
    void *state;             /* the protocol's */
    struct io_timer timeout; /* until the protocol is known, and while a large message is incomplete */
    /* receiving */
    struct io_op receive;
    struct buffer *in;
    size_t in_start, in_end; /* received and not taken yet */
    size_t wanted;           /* bytes that would complete the message at in_start; 0: unknown */
    size_t hint;             /* size of the next buffer */
    uint64_t large_since_ns; /* when the large message at in_start began; 0: none */
    struct list memory_link; /* in server.memory_waiters */
    /* sending */
    struct io_op send, flush;
    struct chain out;
    struct slice slices[64];
    size_t slice_bytes; /* in the send under way */
    bool receiving, sending, flush_scheduled, process_wanted;
    bool received;  /* since the last sweep */
    bool paused;    /* by the protocol */
    bool send_full; /* the send queue was above CONNECTION_SEND_HIGH and not yet below LOW */
    bool peer_finished, closing, destroyed;
};

void connection_new(struct server *server, struct io_socket *socket, const struct io_address *peer,
                    unsigned protocols);
void connection_drain(struct connection *connection);
void connection_destroy(struct connection *connection);
/* Gives back what a burst left behind, once it is idle; false: it holds more than that, later perhaps. */
bool connection_shrink(struct connection *connection, uint64_t *freed);
/* It waited for memory and some was freed. */
void connection_memory_available(struct connection *connection);

#endif
