// SPDX-License-Identifier: Apache-2.0
/* connection.h: one accepted socket: receives, tells the protocol by the first bytes, sends with
 * back-pressure.
 *
 *   socket ─> receive buffer ─> protocol->receive ─> handlers ─> connection_send (a chain) ─> socket
 *
 * The first bytes choose: the HTTP/2 preface ("PRI * HTTP/2") is gRPC; a method in capital letters is
 * HTTP/1.1; a length below 100 MiB is Kafka; the magic of wire/peer_codec.h is another node; anything else is
 * closed. A protocol is a table of functions plus
 * its own state per connection. It never touches the socket.
 *
 * Owner   the server owns connections; a protocol's state is made by `open` and freed by `close`. Received
 *         bytes are lent for the call, but the buffer may be referenced to keep a part (record batches).
 * Bounds  send queue: above CONNECTION_SEND_HIGH receiving pauses until it is below CONNECTION_SEND_LOW, so a
 *         peer that does not read cannot make us hold more; while all queues together exceed
 *         memory_in_flight_max, each has CONNECTION_SEND_SHARE. A message above CONNECTION_RECEIVE_SIZE has
 * to come at CONNECTION_RATE_MIN. An idle connection holds 4 KiB, also after a burst. Loop    shard thread
 * only. */
#ifndef SENTINEL_SERVER_CONNECTION_H
#define SENTINEL_SERVER_CONNECTION_H

#include "base/chain.h"
#include "base/log.h"
#include "base/status.h"
#include "base/units.h"
#include "io/io.h"

#define CONNECTION_RECEIVE_SIZE (256 * KIB)
#define CONNECTION_SEND_HIGH    (4 * MIB)
#define CONNECTION_SEND_LOW     (1 * MIB)
#define CONNECTION_SEND_SHARE   (64 * KIB)
#define CONNECTION_RATE_MIN     (1 * MIB) /* bytes a second, beyond the handshake timeout */

struct connection;
struct server;

struct protocol {
    const char *name;
    /* May return NULL to refuse (the connection is closed). */
    void *(*open)(struct connection *connection);
    /* Takes what it can of `bytes`, which lie in `buffer`, and returns how many; the rest comes again, with
     * more behind it. When a message larger than what has come is expected, *wanted says how many bytes in
     * all would complete it (0: unknown): the connection then provides one contiguous buffer for them.
     * Returning CONNECTION_BROKEN closes. */
    size_t (*receive)(void *state, struct buffer *buffer, struct slice bytes, size_t *wanted);
    /* The send queue fell below CONNECTION_SEND_LOW after it had been above HIGH; may be NULL. */
    void (*writable)(void *state);
    /* The peer finished sending; return true to keep the connection for the answers under way. May be NULL
     * (closes). */
    bool (*finished)(void *state);
    /* The server drains: finish what runs, take nothing new, and call connection_close when empty. May be
     * NULL. */
    void (*drain)(void *state);
    void (*close)(void *state); /* the last call: cancel everything, free the state */
};
#define CONNECTION_BROKEN ((size_t)-1)

struct server *connection_server(struct connection *connection);
const struct io_address *connection_peer(const struct connection *connection);
struct io_address connection_local(const struct connection *connection);
/* Takes all of `bytes` (left empty) to the end of the send queue; one send goes out at the end of the turn.
 */
void connection_send(struct connection *connection, struct chain *bytes);
size_t connection_send_queued(const struct connection *connection);
/* Bytes of answers that the protocol keeps itself until the client has room: so many more, or fewer. They
 * count with those in the send queue. */
void connection_count_queued(struct connection *connection, int64_t bytes);
/* A protocol that has enough unfinished work: nothing more is received until false. Counts as separate from
 * the send queue's own pausing. */
void connection_pause(struct connection *connection, bool paused);
/* Sends what is queued, then closes; nothing more is received. `protocol->close` follows later. */
void connection_close(struct connection *connection);

#endif
