// SPDX-License-Identifier: Apache-2.0
#include "server/server.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "server/connection_state.h"
#include "server/grpc_leave.h"
#include "server/server_state.h"

struct listener {
    struct list link;
    struct server *server;
    struct io_listener *handle;
    unsigned protocols;
};

struct server_options server_options_default(void) {
    return (struct server_options){
        .connections_max = 10000,
        .request_bytes_max = 100 * MIB - 1,
        .memory_in_flight_max = 128 * MIB,
        .handshake_timeout_ms = 30000,
    };
}

/* ---- what bursts leave behind ---------------------------------------------------------------------------
 */

#define SWEEP_NS       (5 * NS_PER_S)
#define TRIM_BYTES_MIN ((uint64_t)4 * MIB)
#define TRIMS_AT_REST  3U

static void sweep(struct io_timer *timer) {
    struct server *server = CONTAINER_OF(timer, struct server, sweep);
    uint64_t freed = 0;
    bool again = false;
    server->sweeping = false;
    LIST_FOREACH(it, &server->connections) {
        if (!connection_shrink(CONTAINER_OF(it, struct connection, link), &freed)) again = true;
    }
    uint64_t moved = server->metrics.received_bytes + server->metrics.sent_bytes;
    if (freed >= TRIM_BYTES_MIN || moved - server->moved_at_trim >= TRIM_BYTES_MIN) {
        server->moved_at_trim = moved;
        server->trims_due = TRIMS_AT_REST;
    }
    /* At rest: what requests and batches took and gave back goes to the system; some more times, because
     * flushes and compactions go on for a while. */
    if (!again && server->trims_due > 0) {
        server->trims_due--;
        mem_trim();
    }
    if (again || server->trims_due > 0) server_sweep_later(server);
}

void server_sweep_later(struct server *server) {
    if (server->sweeping) return;
    server->sweeping = true;
    io_timer_set(server->io, &server->sweep, io_now_ns(server->io) + SWEEP_NS);
}

struct server *server_new(struct io *io, struct broker *broker, const struct server_options *options) {
    struct server *server = mem_calloc(1, sizeof *server);
    server->io = io;
    server->broker = broker;
    server->options = *options;
    server->log = options->log;
    list_init(&server->listeners);
    list_init(&server->connections);
    list_init(&server->memory_waiters);
    list_init(&server->leaves);
    io_timer_init(&server->sweep, sweep);
    return server;
}

/* ---- listening ---------------------------------------------------------------------------------------- */

static void accepted(void *ctx, struct io_socket *socket, const struct io_address *peer) {
    struct listener *listener = ctx;
    struct server *server = listener->server;
    if (server->connection_count >= server->options.connections_max) {
        server->metrics.connections_refused++;
        log_warn(server->log,
                 "connection refused reason=\"limit reached, see connections.max\" limit=%u peer=%s",
                 server->options.connections_max, peer->text);
        io_socket_close(socket);
        return;
    }
    server->metrics.connections_accepted++;
    connection_new(server, socket, peer, listener->protocols);
}

enum status server_listen(struct server *server, const char *address, unsigned protocols,
                          struct io_address *bound, struct diagnostic *diagnostic) {
    ASSERT(protocols != 0 && (protocols & ~(unsigned)SERVER_ALL) == 0);
    struct listener *listener = mem_calloc(1, sizeof *listener);
    listener->server = server;
    listener->protocols = protocols;
    enum status status = io_listen(server->io, address, accepted, listener, &listener->handle, diagnostic);
    if (status != STATUS_OK) {
        mem_free(listener);
        return status;
    }
    list_push_back(&server->listeners, &listener->link);
    if (bound != NULL) *bound = io_listener_address(listener->handle);
    return STATUS_OK;
}

static void close_listeners(struct server *server) {
    struct list *node;
    while ((node = list_pop_front(&server->listeners)) != NULL) {
        struct listener *listener = CONTAINER_OF(node, struct listener, link);
        io_listener_close(listener->handle);
        mem_free(listener);
    }
}

/* ---- draining ----------------------------------------------------------------------------------------- */

static void destroy_connections(struct server *server) {
    LIST_FOREACH(it, &server->connections) {
        connection_destroy(CONTAINER_OF(it, struct connection, link));
    }
}

static void grace_over(struct io_timer *timer) {
    struct server *server = CONTAINER_OF(timer, struct server, grace);
    if (server->connection_count != 0)
        log_info(server->log, "closing connections that did not finish in time count=%u",
                 server->connection_count);
    destroy_connections(server);
}

static void tell_drained(struct io_op *op) {
    struct server *server = CONTAINER_OF(op, struct server, drained_op);
    server->drained(server->drained_ctx);
}

void server_connection_gone(struct server *server) {
    if (!server->draining || server->connection_count != 0 || server->drained == NULL) return;
    io_timer_cancel(server->io, &server->grace);
    server->drained_op.done = tell_drained;
    io_defer(server->io, &server->drained_op);
}

void server_drain(struct server *server, uint64_t grace_ms, void (*done)(void *ctx), void *ctx) {
    ASSERT(!server->draining);
    close_listeners(server);
    server->draining = true;
    server->drained = done;
    server->drained_ctx = ctx;
    io_timer_init(&server->grace, grace_over);
    io_timer_set(server->io, &server->grace, io_now_ns(server->io) + grace_ms * NS_PER_MS);
    if (server->connection_count == 0) {
        server_connection_gone(server);
        return;
    }
    LIST_FOREACH(it, &server->connections) {
        connection_drain(CONTAINER_OF(it, struct connection, link));
    }
}

void server_free(struct server *server) {
    close_listeners(server);
    ASSERT(list_empty(&server->connections) && server->send_queued_bytes == 0);
    grpc_leave_abandon(server);
    io_timer_cancel(server->io, &server->sweep);
    mem_free(server);
}

void server_count_queued(struct server *server, int64_t bytes) {
    server->send_queued_bytes += (size_t)bytes;
    broker_count_answers(server->broker, bytes);
}

void server_memory_freed(struct server *server) {
    struct list waiters;
    list_init(&waiters);
    list_append(&waiters, &server->memory_waiters);
    struct list *node;
    while ((node = list_pop_front(&waiters)) != NULL)
        connection_memory_available(CONTAINER_OF(node, struct connection, memory_link));
}

/* ---- asked -------------------------------------------------------------------------------------------- */

struct io *server_io(struct server *server) {
    return server->io;
}

struct broker *server_broker(struct server *server) {
    return server->broker;
}

struct metrics *server_metrics(struct server *server) {
    return &server->metrics;
}

const struct server_options *server_get_options(const struct server *server) {
    return &server->options;
}

size_t server_answer_room(const struct server *server) {
    size_t limit = server->options.memory_in_flight_max / 2;
    return MAX(limit - MIN(limit, server->send_queued_bytes), FETCH_SHARE);
}

struct log *server_log(struct server *server) {
    return server->log;
}

/* "HOST:PORT" or "[HOST]:PORT", in pieces; `text` is cut. */
static const char *split_address(char *text, int32_t *port) {
    char *colon = strrchr(text, ':');
    *port = colon == NULL ? 0 : (int32_t)strtol(colon + 1, NULL, 10);
    if (colon != NULL) *colon = '\0';
    size_t size = strlen(text);
    if (size < 2 || text[0] != '[' || text[size - 1] != ']') return text;
    text[size - 1] = '\0';
    return text + 1;
}

/* The host and port that clients of this connection should use for us. */
static void own_address(struct connection *connection, char *host, size_t host_size, int32_t *port) {
    const struct server_options *options = &connection_server(connection)->options;
    struct io_address local = connection_local(connection);
    const char *local_host = split_address(local.text, port);
    if (options->advertised_port != 0) *port = options->advertised_port;
    snprintf(host, host_size, "%s", options->advertised_host != NULL ? options->advertised_host : local_host);
}

void server_node_address(struct connection *connection, const struct broker_node *node, char *host,
                         size_t host_size, int32_t *port) {
    if (node->address == NULL) {
        own_address(connection, host, host_size, port);
        return;
    }
    struct io_address address;
    snprintf(address.text, sizeof address.text, "%s", node->address);
    snprintf(host, host_size, "%s", split_address(address.text, port));
}
