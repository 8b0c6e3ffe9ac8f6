// SPDX-License-Identifier: Apache-2.0
/* server.h: listeners and protocols over one broker. */
#ifndef SENTINEL_SERVER_SERVER_H
#define SENTINEL_SERVER_SERVER_H

#include "broker/broker.h"
#include "io/io.h"

struct server;

enum server_protocols {
    SERVER_KAFKA = 1,
    SERVER_GRPC = 2,
    SERVER_HTTP = 4,
    SERVER_PEER = 8,
    SERVER_ALL = 15
};

struct server_options {
    uint32_t connections_max;
    size_t request_bytes_max;      /* one Kafka request or gRPC message */
    size_t memory_in_flight_max;   /* large requests being received, and again answers being sent */
    uint64_t handshake_timeout_ms; /* silence before the protocol or in a large message that closes */
    const char *advertised_host;   /* NULL: the address the client reached us at */
    int32_t advertised_port;       /* 0: the port the client reached us at */
    struct log *log;
};
struct server_options server_options_default(void);

struct server *server_new(struct io *io, struct broker *broker, const struct server_options *options);
/* address: "HOST:PORT"; `protocols` narrows the listener. May be called several times. */
enum status server_listen(struct server *server, const char *address, unsigned protocols,
                          struct io_address *bound, struct diagnostic *diagnostic) MUST_USE;
/* Stops accepting, tells clients to go, waits for requests under way up to grace_ms, then closes connections.
 */
void server_drain(struct server *server, uint64_t grace_ms, void (*done)(void *ctx), void *ctx);
void server_free(struct server *server);

/* For handlers. */
struct io *server_io(struct server *server);
struct broker *server_broker(struct server *server);
struct metrics *server_metrics(struct server *server);
const struct server_options *server_get_options(const struct server *server);
/* How large an answer may be, so that all that clients have not taken yet stay within half of
 * memory_in_flight_max, or close to it: never less than FETCH_SHARE. */
size_t server_answer_room(const struct server *server);
struct log *server_log(struct server *server);
struct connection;
/* Where clients of this connection reach a node: its registered address, or for a broker alone ours. `host`
 * is filled in. */
void server_node_address(struct connection *connection, const struct broker_node *node, char *host,
                         size_t host_size, int32_t *port);

/* The protocols: each in its own files, found here only by connection.c. */
struct protocol;
extern const struct protocol kafka_protocol; /* kafka_connection.c */
extern const struct protocol grpc_protocol;  /* grpc_connection.c */
extern const struct protocol http_protocol;  /* http_service.c */
extern const struct protocol peer_protocol;  /* peer_connection.c */

#endif
