// SPDX-License-Identifier: Apache-2.0
/* Listeners and addresses of the simulated network. As on a real system, connections are made by the kernel
 * and wait in a backlog; accepting is a matter of the node's own loop. */
#include <errno.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "io/io_address.h"
#include "io/io_error.h"
#include "io/io_sim_socket.h"

#define BACKLOG_MAX     128
#define ACCEPTS_A_TURN  64
#define FREE_PORT_FIRST 40000
#define FREE_PORT_LAST  60000

static struct io_sim_listener *sim_listener(struct io_listener *listener) {
    return (struct io_sim_listener *)listener;
}

/* ---- addresses --------------------------------------------------------------------------------------- */

static int parse_node(const char *host, uint32_t *node) {
    uint32_t number = 0;
    if (strncmp(host, "node", 4) != 0 || host[4] == 0) return ENOENT;
    for (const char *digit = host + 4; *digit != 0; digit++) {
        if (*digit < '0' || *digit > '9') return ENOENT;
        number = number * 10 + (uint32_t)(*digit - '0');
        if (number >= IO_SIM_NODES_MAX) return ENOENT;
    }
    *node = number;
    return 0;
}

int io_sim_target_parse(uint32_t self, const char *address, struct io_sim_target *target) {
    struct io_endpoint endpoint;
    union io_sockaddr literal;
    if (io_endpoint_parse(address, &endpoint) != STATUS_OK) return EINVAL;
    *target = (struct io_sim_target){.kind = TARGET_IPV4, .node = self, .port = endpoint.port};
    if (!io_endpoint_literal(&endpoint, &literal)) {
        if (endpoint.bracketed) return EINVAL;
        if (strcmp(endpoint.host, "localhost") == 0) return 0;
        target->kind = TARGET_NODE;
        return parse_node(endpoint.host, &target->node);
    }
    if (endpoint.bracketed) {
        target->kind = TARGET_IPV6;
        if (memcmp(&literal.v6.sin6_addr, &in6addr_any, sizeof in6addr_any) == 0)
            target->kind = TARGET_ANY;
        else if (memcmp(&literal.v6.sin6_addr, &in6addr_loopback, sizeof in6addr_loopback) != 0)
            return ENETUNREACH;
        return 0;
    }
    if (literal.v4.sin_addr.s_addr == INADDR_ANY)
        target->kind = TARGET_ANY;
    else if (ntohl(literal.v4.sin_addr.s_addr) >> 24 != 127)
        return ENETUNREACH;
    return 0;
}

struct io_address io_sim_target_text(enum io_sim_target_kind kind, uint32_t node, uint16_t port) {
    struct io_address text;
    switch (kind) {
    case TARGET_IPV4:
        snprintf(text.text, sizeof text.text, "127.0.0.1:%u", port);
        break;
    case TARGET_IPV6:
        snprintf(text.text, sizeof text.text, "[::1]:%u", port);
        break;
    case TARGET_NODE:
        snprintf(text.text, sizeof text.text, "node%u:%u", node, port);
        break;
    case TARGET_ANY:
        snprintf(text.text, sizeof text.text, "0.0.0.0:%u", port);
        break;
    }
    return text;
}

static bool port_is_taken(const struct io_sim_io *io, enum io_sim_target_kind kind, uint16_t port) {
    LIST_FOREACH(it, &io->listeners) {
        const struct io_sim_target *target = &CONTAINER_OF(it, struct io_sim_listener, link)->target;
        if (target->port == port &&
            (target->kind == kind || target->kind == TARGET_ANY || kind == TARGET_ANY))
            return true;
    }
    return false;
}

uint16_t io_sim_free_port(struct io_sim_io *io) {
    struct io_sim_node *node = io->node;
    do {
        node->port_next = node->port_next < FREE_PORT_FIRST || node->port_next >= FREE_PORT_LAST
                              ? FREE_PORT_FIRST
                              : (uint16_t)(node->port_next + 1);
    } while (port_is_taken(io, TARGET_ANY, node->port_next));
    return node->port_next;
}

/* ---- accepting --------------------------------------------------------------------------------------- */

/* Who waits is accepted in a turn to come. */
static void listener_look(struct io_sim_listener *listener) {
    if (listener->op_begun || listener->paused || list_empty(&listener->backlog)) return;
    listener->op_begun = true;
    io_op_begin(listener->base.io, &listener->op, IO_OP_INTERNAL, NULL);
    io_op_complete(&listener->op, STATUS_OK, 0);
}

static void listener_accept(struct io_op *op) {
    struct io_sim_listener *listener = CONTAINER_OF(op, struct io_sim_listener, op);
    struct io_sim_io *io = (struct io_sim_io *)listener->base.io;
    bool closed = false;
    listener->op_begun = false;
    listener->closed = &closed;
    for (unsigned i = 0; i < ACCEPTS_A_TURN && !listener->paused && !list_empty(&listener->backlog); i++) {
        struct io_sim_connection *connection = CONTAINER_OF(list_pop_front(&listener->backlog),
                                                            struct io_sim_connection, waiting);
        listener->backlog_count--;
        struct io_sim_socket *socket = io_sim_socket_new(io);
        socket->connection = connection;
        socket->side = 1;
        socket->connected = true;
        connection->ends[1].socket = socket;
        atomic_fetch_add(&io->base.handle_count, 1);
        io_sim_trace(io->sim, io->node->number, "accept", connection->number, 0, 0, NULL);
        listener->accepted(listener->ctx, &socket->base, &connection->ends[0].address);
        if (closed) return;
    }
    listener->closed = NULL;
    listener_look(listener);
}

bool io_sim_listener_offer(struct io_sim *sim, struct io_sim_connection *connection, bool *refused) {
    struct io_sim_io *io = sim->nodes[connection->target.node]->io;
    const struct io_sim_target *wanted = &connection->target;
    *refused = true;
    if (io == NULL || !io_sim_is_alive(io)) return false;
    LIST_FOREACH(it, &io->listeners) {
        struct io_sim_listener *listener = CONTAINER_OF(it, struct io_sim_listener, link);
        if (listener->target.port != wanted->port) continue;
        if (listener->target.kind != TARGET_ANY && listener->target.kind != wanted->kind) continue;
        *refused = false;
        if (listener->backlog_count >= BACKLOG_MAX) return false;
        connection->ends[1].open = true;
        list_push_back(&listener->backlog, &connection->waiting);
        listener->backlog_count++;
        listener_look(listener);
        return true;
    }
    return false;
}

/* ---- life -------------------------------------------------------------------------------------------- */

enum status io_sim_listener_open(struct io *base, const char *address,
                                 void (*accepted)(void *ctx, struct io_socket *socket,
                                                  const struct io_address *peer),
                                 void *ctx, struct io_listener **listener, struct diagnostic *diagnostic) {
    struct io_sim_io *io = (struct io_sim_io *)base;
    struct io_sim_target target;
    int os_error = io_sim_is_alive(io) ? io_sim_target_parse(io->node->number, address, &target) : EIO;
    if (os_error == 0 && target.node != io->node->number) os_error = EADDRNOTAVAIL;
    if (os_error == 0 && target.port == 0) target.port = io_sim_free_port(io);
    if (os_error == 0 && port_is_taken(io, target.kind, target.port)) os_error = EADDRINUSE;
    if (os_error != 0)
        return diagnose(diagnostic, io_error_noted(os_error), "cannot listen on '%s': %s", address,
                        status_text(io_error(os_error)));
    struct io_sim_listener *sim = mem_calloc(1, sizeof *sim);
    sim->base.io = base;
    sim->target = target;
    sim->accepted = accepted;
    sim->ctx = ctx;
    sim->op.done = listener_accept;
    list_init(&sim->backlog);
    list_push_back(&io->listeners, &sim->link);
    *listener = &sim->base;
    struct io_address text = io_sim_listener_address(*listener);
    io_sim_trace(io->sim, io->node->number, "listen", 0, 0, 0, text.text);
    return STATUS_OK;
}

struct io_address io_sim_listener_address(const struct io_listener *listener) {
    const struct io_sim_target *target = &((const struct io_sim_listener *)listener)->target;
    return io_sim_target_text(target->kind, target->node, target->port);
}

void io_sim_listener_pause(struct io_listener *listener, bool paused) {
    sim_listener(listener)->paused = paused;
    if (io_sim_is_alive((struct io_sim_io *)listener->io)) listener_look(sim_listener(listener));
}

void io_sim_listener_free(struct io_sim_listener *listener) {
    list_remove(&listener->link);
    mem_free(listener);
}

void io_sim_listener_close(struct io_listener *base) {
    struct io_sim_listener *listener = sim_listener(base);
    struct io_sim_io *io = (struct io_sim_io *)base->io;
    struct list *node;
    if (listener->closed != NULL) *listener->closed = true;
    if (listener->op_begun) io_op_forget(&listener->op);
    while ((node = list_pop_front(&listener->backlog)) != NULL) {
        struct io_sim_connection *connection = CONTAINER_OF(node, struct io_sim_connection, waiting);
        if (io_sim_is_alive(io)) io_sim_end_refuse(io->sim, connection);
    }
    io_sim_listener_free(listener);
}

void io_sim_listener_abandon(struct io_sim *sim, struct io_sim_listener *listener) {
    (void)sim;
    while (list_pop_front(&listener->backlog) != NULL)
        listener->backlog_count--;
}
