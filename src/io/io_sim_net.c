// SPDX-License-Identifier: Apache-2.0
/* Simulated TCP. A connection has two ends and two flows; a flow is one ring of bytes with four positions
 * that only grow, so no byte is moved twice:
 *
 *      read <= arrived <= scheduled <= taken          taken - read <= window
 *      (receiver has it)  (its event is in the heap)  (from the sender)
 *
 * The end of a flow is one more position behind its last byte. Pieces arrive in order; a piece that cannot
 * arrive (the link is cut, the machine is off) is tried again with growing pauses, as TCP retransmits, and
 * breaks the connection in the end. A sender that waits for room asks for it with pauses that grow up to a
 * minute (3.8.6.1): so it hears, some time, that nobody knows its connection any more. Source: RFC 9293, seen
 * from the socket. */
#include <errno.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "base/units.h"
#include "io/io_error.h"
#include "io/io_sim_socket.h"

#define LOCAL_LATENCY_MIN_NS (5 * NS_PER_US)
#define LOCAL_LATENCY_MAX_NS (30 * NS_PER_US)
#define LATENCY_NS_MAX       NS_PER_S /* longer is a loss, and sent again */
#define RETRY_NS_MIN         (200 * NS_PER_MS)
#define RETRY_NS_MAX         (5 * NS_PER_S)
#define PROBE_NS_MAX         (60 * NS_PER_S)

static struct io_sim_socket *sim_socket(struct io_socket *socket) {
    return (struct io_sim_socket *)socket;
}

/* ---- the wire ---------------------------------------------------------------------------------------- */

/* Of something that end `side` sends. */
static uint64_t draw_latency_ns(struct io_sim *sim, const struct io_sim_connection *connection,
                                unsigned side) {
    if (connection->ends[0].node == connection->ends[1].node)
        return prng_range(&sim->net_random, LOCAL_LATENCY_MIN_NS, LOCAL_LATENCY_MAX_NS);
    const struct io_sim_net_options *net = &sim->net;
    uint64_t ns = prng_range(&sim->net_random, net->latency_min_ns, net->latency_max_ns);
    if (net->slow_ppm != 0 && prng_chance(&sim->net_random, net->slow_ppm, PPM)) ns *= net->slow_factor;
    ns *= MAX(sim->slow[connection->ends[side].node][connection->ends[1 - side].node], 1U);
    return MIN(ns, LATENCY_NS_MAX);
}

/* Packets of end `side` do not get through now. */
static bool link_is_dead(const struct io_sim *sim, const struct io_sim_connection *connection,
                         unsigned side) {
    uint32_t from = connection->ends[side].node, to = connection->ends[1 - side].node;
    return sim->cut[from][to] || !sim->nodes[to]->powered;
}

static void schedule(struct io_sim *sim, struct io_sim_connection *connection, uint64_t time_ns,
                     void (*run)(struct io_sim *sim, const struct io_sim_event *event), unsigned side,
                     uint64_t position) {
    connection->event_count++;
    io_sim_schedule(sim, time_ns, connection->ends[0].node, run, connection, position << 1 | side);
}

static struct io_sim_connection *event_connection(const struct io_sim_event *event, unsigned *side) {
    struct io_sim_connection *connection = event->object;
    ASSERT_LT(0U, connection->event_count);
    connection->event_count--;
    *side = (unsigned)(event->argument & 1);
    return connection;
}

static void connection_free(struct io_sim_connection *connection) {
    list_remove(&connection->link);
    mem_free(connection->flows[0].ring);
    mem_free(connection->flows[1].ring);
    mem_free(connection);
}

static void free_when_over(struct io_sim_connection *connection) {
    if (connection->event_count == 0 && !connection->ends[0].open && !connection->ends[1].open)
        connection_free(connection);
}

/* ---- resets ------------------------------------------------------------------------------------------ */

static void try_recv(struct io_sim_socket *socket);

static void end_break(struct io_sim *sim, struct io_sim_connection *connection, unsigned side, int os_error) {
    struct io_sim_end *end = &connection->ends[side];
    if (!end->open || end->os_error != 0) return;
    io_sim_trace(sim, end->node, "broken", connection->number, side, (uint64_t)os_error, NULL);
    end->os_error = os_error;
    connection->flows[side].limit = connection->flows[side].arrived;
    struct io_sim_socket *socket = end->socket;
    if (socket == NULL) return;
    if (socket->base.send_op != NULL) io_op_complete(socket->base.send_op, io_error(os_error), os_error);
    try_recv(socket);
}

static void reset_event(struct io_sim *sim, const struct io_sim_event *event) {
    unsigned side;
    struct io_sim_connection *connection = event_connection(event, &side);
    /* A reset is sent once: where it cannot arrive, it is lost. */
    if (!link_is_dead(sim, connection, 1 - side)) end_break(sim, connection, side, ECONNRESET);
    free_when_over(connection);
}

/* End `side` tells its peer that there is no connection (any more); behind what it has sent already. */
static void send_reset(struct io_sim *sim, struct io_sim_connection *connection, unsigned side) {
    struct io_sim_flow *flow = &connection->flows[side];
    flow->last_arrival_ns = MAX(flow->last_arrival_ns, sim->now_ns + draw_latency_ns(sim, connection, side));
    schedule(sim, connection, flow->last_arrival_ns, reset_event, 1 - side, 0);
}

/* ---- arrival ----------------------------------------------------------------------------------------- */

static uint32_t ring_checksum(const struct io_sim_flow *flow, uint64_t from, uint64_t to) {
    uint32_t crc = 0;
    while (from < to) {
        size_t at = (size_t)(from % flow->window), part = MIN((size_t)(to - from), flow->window - at);
        crc = crc32c(crc, flow->ring + at, part);
        from += part;
    }
    return crc;
}

static void retry_event(struct io_sim *sim, const struct io_sim_event *event);

static void block(struct io_sim *sim, struct io_sim_connection *connection, unsigned side,
                  uint64_t position) {
    struct io_sim_flow *flow = &connection->flows[side];
    flow->blocked_position = MAX(flow->blocked_position, position);
    if (flow->blocked) return;
    flow->blocked = true;
    if (!flow->unanswered) {
        flow->blocked_since_ns = sim->now_ns;
        flow->retry_ns = RETRY_NS_MIN;
    }
    schedule(sim, connection, sim->now_ns + flow->retry_ns, retry_event, side, 0);
}

static void arrive(struct io_sim *sim, struct io_sim_connection *connection, unsigned side,
                   uint64_t position) {
    struct io_sim_flow *flow = &connection->flows[side];
    struct io_sim_end *to = &connection->ends[1 - side];
    position = MIN(position, flow->limit);
    if (position <= flow->arrived) return;
    if (flow->blocked || link_is_dead(sim, connection, side)) {
        block(sim, connection, side, position);
        return;
    }
    if (sim->net.reset_ppm != 0 && to->os_error == 0 &&
        prng_chance(&sim->net_random, sim->net.reset_ppm, PPM)) {
        end_break(sim, connection, 1 - side, ECONNRESET);
        send_reset(sim, connection, 1 - side);
        return;
    }
    uint64_t data_end = MIN(position, flow->taken);
    if (!to->open || to->os_error != 0) {
        /* The end alone needs no answer; bytes that nobody will read do, and are sent until it gets there. */
        const struct io_sim_end *from = &connection->ends[side];
        if (data_end > MIN(flow->arrived, flow->taken)) send_reset(sim, connection, 1 - side);
        if (data_end > MIN(flow->arrived, flow->taken) && from->open && from->os_error == 0) {
            block(sim, connection, side, position);
            flow->unanswered = true;
        } else {
            flow->limit = flow->arrived;
        }
        return;
    }
    io_sim_trace(sim, to->node, "arrive", connection->number, position,
                 ring_checksum(flow, MIN(flow->arrived, data_end), data_end), NULL);
    flow->arrived = position;
    if (to->socket != NULL) try_recv(to->socket);
}

static void arrive_event(struct io_sim *sim, const struct io_sim_event *event) {
    unsigned side;
    struct io_sim_connection *connection = event_connection(event, &side);
    arrive(sim, connection, side, event->argument >> 1);
    free_when_over(connection);
}

static void retry_event(struct io_sim *sim, const struct io_sim_event *event) {
    unsigned side;
    struct io_sim_connection *connection = event_connection(event, &side);
    struct io_sim_flow *flow = &connection->flows[side];
    bool late = sim->now_ns - flow->blocked_since_ns >= sim->net.timeout_ns;
    if (!link_is_dead(sim, connection, side) && !(late && flow->unanswered)) {
        flow->blocked = false;
        flow->retry_ns = MIN(flow->retry_ns * 2, RETRY_NS_MAX);
        arrive(sim, connection, side, flow->blocked_position);
    } else if (late) {
        flow->blocked = flow->unanswered = false;
        flow->limit = flow->arrived;
        end_break(sim, connection, side, ETIMEDOUT);
    } else {
        flow->retry_ns = MIN(flow->retry_ns * 2, RETRY_NS_MAX);
        schedule(sim, connection, sim->now_ns + flow->retry_ns, retry_event, side, 0);
    }
    free_when_over(connection);
}

/* ---- sending ----------------------------------------------------------------------------------------- */

static uint64_t draw_piece(struct io_sim *sim, uint64_t size) {
    if (size < 2 || !prng_chance(&sim->net_random, sim->net.fragment_ppm, PPM)) return size;
    return prng_chance(&sim->net_random, 1, 8) ? 1 : 1 + prng_below(&sim->net_random, size);
}

static void schedule_pieces(struct io_sim *sim, struct io_sim_connection *connection, unsigned side) {
    struct io_sim_flow *flow = &connection->flows[side];
    uint64_t end = flow->taken + flow->ended;
    while (flow->scheduled < end) {
        flow->scheduled += draw_piece(sim, end - flow->scheduled);
        flow->last_arrival_ns = MAX(flow->last_arrival_ns,
                                    sim->now_ns + draw_latency_ns(sim, connection, side));
        schedule(sim, connection, flow->last_arrival_ns, arrive_event, side, flow->scheduled);
    }
}

static void flow_end(struct io_sim *sim, struct io_sim_connection *connection, unsigned side) {
    if (connection->flows[side].ended) return;
    connection->flows[side].ended = true;
    if (connection->ends[side].os_error == 0) schedule_pieces(sim, connection, side);
}

static void take_bytes(struct io_sim_flow *flow, struct io_op *op) {
    struct slice part;
    if (flow->ring == NULL) flow->ring = mem_alloc(flow->window);
    while (flow->taken - flow->read < flow->window && io_op_rest(op, &part, 1) != 0) {
        size_t at = (size_t)(flow->taken % flow->window),
               room = (size_t)(flow->window - (flow->taken - flow->read));
        size_t size = MIN(MIN(part.size, room), flow->window - at);
        memcpy(flow->ring + at, part.data, size);
        flow->taken += size;
        io_op_advance(op, size);
    }
}

static void probe_event(struct io_sim *sim, const struct io_sim_event *event);

static void probe_later(struct io_sim *sim, struct io_sim_connection *connection, unsigned side,
                        uint64_t wait_ns) {
    struct io_sim_flow *flow = &connection->flows[side];
    flow->probing = true;
    flow->probe_ns = wait_ns;
    flow->probe_from = flow->taken;
    schedule(sim, connection, sim->now_ns + wait_ns, probe_event, side, ++flow->probe);
}

/* More was taken since a probe was put off for long: that one does not count any more. */
static void await_room(struct io_sim *sim, struct io_sim_connection *connection, unsigned side) {
    const struct io_sim_flow *flow = &connection->flows[side];
    bool late = flow->probe_ns > RETRY_NS_MIN && flow->taken != flow->probe_from;
    if (!flow->probing || late) probe_later(sim, connection, side, RETRY_NS_MIN);
}

static bool awaits_room(const struct io_sim_connection *connection, unsigned side) {
    const struct io_sim_socket *socket = connection->ends[side].socket;
    const struct io_sim_flow *flow = &connection->flows[side];
    return socket != NULL && connection->ends[side].os_error == 0 && socket->base.send_op != NULL &&
           flow->taken - flow->read == flow->window;
}

/* One that does not get there, or whose answer does not, is lost. */
static void probe(struct io_sim *sim, struct io_sim_connection *connection, unsigned side) {
    struct io_sim_flow *flow = &connection->flows[side];
    const struct io_sim_end *to = &connection->ends[1 - side];
    flow->probing = false;
    if (!awaits_room(connection, side)) return;
    if (flow->taken != flow->probe_from) { /* it got room meanwhile */
        probe_later(sim, connection, side, RETRY_NS_MIN);
        return;
    }
    bool known = to->open && to->os_error == 0;
    if (!known && !link_is_dead(sim, connection, side)) send_reset(sim, connection, 1 - side);
    probe_later(sim, connection, side, MIN(2 * flow->probe_ns, PROBE_NS_MAX));
}

static void probe_event(struct io_sim *sim, const struct io_sim_event *event) {
    unsigned side;
    struct io_sim_connection *connection = event_connection(event, &side);
    if (event->argument >> 1 == connection->flows[side].probe) probe(sim, connection, side);
    free_when_over(connection);
}

static void try_send(struct io_sim_socket *socket) {
    struct io_sim *sim = ((struct io_sim_io *)socket->base.io)->sim;
    struct io_sim_connection *connection = socket->connection;
    struct io_op *op = socket->base.send_op;
    struct slice rest;
    int os_error = connection->ends[socket->side].os_error;
    if (os_error == 0 && connection->flows[socket->side].ended) os_error = EPIPE;
    if (os_error != 0) {
        io_op_complete(op, io_error(os_error), os_error);
        return;
    }
    take_bytes(&connection->flows[socket->side], op);
    schedule_pieces(sim, connection, socket->side);
    if (io_op_rest(op, &rest, 1) != 0) {
        await_room(sim, connection, socket->side);
        return;
    }
    io_op_complete(op, STATUS_OK, 0);
    if (socket->shutdown_wanted) flow_end(sim, connection, socket->side);
}

static void window_event(struct io_sim *sim, const struct io_sim_event *event) {
    unsigned side;
    struct io_sim_connection *connection = event_connection(event, &side);
    struct io_sim_socket *socket = connection->ends[side].socket;
    (void)sim;
    connection->flows[side].window_event = false;
    struct io_op *op = socket == NULL || !socket->connected ? NULL : socket->base.send_op;
    if (op != NULL && list_empty(&op->link)) try_send(socket);
    free_when_over(connection);
}

/* ---- receiving --------------------------------------------------------------------------------------- */

static size_t read_bytes(struct io_sim_flow *flow, uint8_t *data, size_t size) {
    for (size_t moved = 0; moved < size;) {
        size_t at = (size_t)(flow->read % flow->window), part = MIN(size - moved, flow->window - at);
        memcpy(data + moved, flow->ring + at, part);
        flow->read += part;
        moved += part;
    }
    return size;
}

static void try_recv(struct io_sim_socket *socket) {
    struct io_sim *sim = ((struct io_sim_io *)socket->base.io)->sim;
    struct io_sim_connection *connection = socket->connection;
    struct io_sim_flow *flow = &connection->flows[1 - socket->side];
    struct io_op *op = socket->base.recv_op;
    if (op == NULL || !list_empty(&op->link)) return; /* none, or not submitted yet */
    uint64_t available = MIN(flow->arrived, flow->taken) - flow->read;
    int os_error = connection->ends[socket->side].os_error;
    if (available != 0) {
        size_t size = (size_t)draw_piece(sim, MIN(available, (uint64_t)op->request.size));
        op->result = read_bytes(flow, op->request.data, size);
        op->io->stats.socket_recv_bytes += size;
        io_op_complete(op, STATUS_OK, 0);
        if (flow->window_event || connection->ends[1 - socket->side].socket == NULL) return;
        flow->window_event = true;
        schedule(sim, connection, sim->now_ns + draw_latency_ns(sim, connection, socket->side), window_event,
                 1 - socket->side, 0);
    } else if (flow->arrived > flow->taken) {
        io_op_complete(op, STATUS_OK, 0);
    } else if (os_error != 0) {
        io_op_complete(op, io_error(os_error), os_error);
    }
}

/* ---- connecting -------------------------------------------------------------------------------------- */

static void connect_done(struct io_sim_connection *connection, int os_error) {
    struct io_sim_end *end = &connection->ends[0];
    struct io_sim_socket *socket = end->socket;
    if (socket == NULL || end->os_error != 0) return;
    io_sim_trace(((struct io_sim_io *)socket->base.io)->sim, end->node,
                 os_error == 0 ? "connected" : "not connected", connection->number, (uint64_t)os_error, 0,
                 connection->ends[1].address.text);
    end->os_error = os_error;
    socket->connected = os_error == 0;
    io_op_complete(socket->base.send_op, os_error == 0 ? STATUS_OK : io_error(os_error), os_error);
}

static void refused_event(struct io_sim *sim, const struct io_sim_event *event) {
    unsigned side;
    struct io_sim_connection *connection = event_connection(event, &side);
    (void)sim;
    connect_done(connection, ECONNREFUSED);
    free_when_over(connection);
}

/* Tries a step of the handshake again later, or gives up. */
static void handshake_retry(struct io_sim *sim, struct io_sim_connection *connection, unsigned side,
                            void (*run)(struct io_sim *sim, const struct io_sim_event *event)) {
    struct io_sim_flow *flow = &connection->flows[0];
    if (sim->now_ns - connection->started_ns >= sim->net.timeout_ns) {
        connect_done(connection, ETIMEDOUT);
        end_break(sim, connection, 1, ETIMEDOUT);
        return;
    }
    flow->retry_ns = flow->retry_ns == 0 ? RETRY_NS_MIN : MIN(flow->retry_ns * 2, RETRY_NS_MAX);
    schedule(sim, connection, sim->now_ns + flow->retry_ns, run, side, 0);
}

static void accepted_event(struct io_sim *sim, const struct io_sim_event *event) {
    unsigned side;
    struct io_sim_connection *connection = event_connection(event, &side);
    if (!connection->ends[0].open)
        send_reset(sim, connection, 0);
    else if (link_is_dead(sim, connection, 1))
        handshake_retry(sim, connection, 1, accepted_event);
    else
        connect_done(connection, 0);
    free_when_over(connection);
}

static void syn_event(struct io_sim *sim, const struct io_sim_event *event) {
    unsigned side;
    struct io_sim_connection *connection = event_connection(event, &side);
    if (!connection->ends[0].open) {
        free_when_over(connection);
        return;
    }
    bool refused = false;
    if (link_is_dead(sim, connection, 0) || !io_sim_listener_offer(sim, connection, &refused)) {
        if (refused)
            schedule(sim, connection, sim->now_ns + draw_latency_ns(sim, connection, 1), refused_event, 0, 0);
        else
            handshake_retry(sim, connection, 0, syn_event);
    } else {
        schedule(sim, connection, sim->now_ns + draw_latency_ns(sim, connection, 1), accepted_event, 1, 0);
    }
    free_when_over(connection);
}

static void connect_submit(struct io_sim_io *io, struct io_sim_socket *socket) {
    struct io_sim *sim = io->sim;
    struct io_sim_target target;
    int os_error = io_sim_target_parse(io->node->number, socket->address, &target);
    if (os_error != 0) {
        enum status status = os_error == ENOENT ? STATUS_NOT_FOUND : io_error(os_error);
        io_op_complete(socket->base.send_op, status, os_error);
        return;
    }
    io_sim_node(sim, target.node);
    if (target.kind == TARGET_ANY) target.kind = TARGET_IPV4;
    ASSERT_LT(0U, sim->net.window_size);
    struct io_sim_connection *connection = mem_calloc(1, sizeof *connection);
    connection->number = ++sim->connection_sequence;
    connection->started_ns = sim->now_ns;
    connection->target = target;
    for (unsigned side = 0; side < 2; side++) {
        connection->flows[side].window = sim->net.window_size;
        connection->flows[side].limit = UINT64_MAX;
    }
    connection->ends[0] = (struct io_sim_end){.socket = socket, .node = io->node->number, .open = true};
    connection->ends[0].address = io_sim_target_text(target.kind, io->node->number, io_sim_free_port(io));
    connection->ends[1] = (struct io_sim_end){.node = target.node};
    connection->ends[1].address = io_sim_target_text(target.kind, target.node, target.port);
    socket->connection = connection;
    socket->side = 0;
    list_push_back(&sim->connections, &connection->link);
    io_sim_trace(sim, io->node->number, "connect", connection->number, 0, 0,
                 connection->ends[1].address.text);
    schedule(sim, connection, sim->now_ns + draw_latency_ns(sim, connection, 0), syn_event, 0, 0);
}

static struct io_socket *net_connect(struct io *base, struct io_op *op, const char *address) {
    struct io_sim_socket *socket = io_sim_socket_new((struct io_sim_io *)base);
    (void)op;
    socket->address = mem_strdup(address);
    return &socket->base;
}

/* ---- sockets ----------------------------------------------------------------------------------------- */

struct io_sim_socket *io_sim_socket_new(struct io_sim_io *io) {
    struct io_sim_socket *socket = mem_calloc(1, sizeof *socket);
    socket->base.io = &io->base;
    list_push_back(&io->sockets, &socket->link);
    return socket;
}

void io_sim_net_submit(struct io_sim_io *io, struct io_op *op) {
    struct io_sim_socket *socket = op->target;
    list_remove(&op->link);
    if (op->request.kind == IO_OP_CONNECT) {
        connect_submit(io, socket);
        return;
    }
    ASSERT(socket->connected);
    if (op->request.kind == IO_OP_RECV)
        try_recv(socket);
    else
        try_send(socket);
}

/* The system closes an end that its program has left: bytes nobody read are answered with a reset. */
static void end_close(struct io_sim *sim, struct io_sim_connection *connection, unsigned side) {
    struct io_sim_end *end = &connection->ends[side];
    const struct io_sim_flow *incoming = &connection->flows[1 - side];
    bool handshaking = side == 0 && end->socket != NULL && !end->socket->connected;
    ASSERT(end->open);
    io_sim_trace(sim, end->node, "close", connection->number, side, 0, NULL);
    end->open = false;
    end->socket = NULL;
    if (end->os_error == 0 && !handshaking) {
        if (MIN(incoming->arrived, incoming->taken) != incoming->read)
            send_reset(sim, connection, side);
        else
            flow_end(sim, connection, side);
    }
    free_when_over(connection);
}

void io_sim_end_refuse(struct io_sim *sim, struct io_sim_connection *connection) {
    connection->ends[1].open = false;
    if (connection->ends[1].os_error == 0) send_reset(sim, connection, 1);
    free_when_over(connection);
}

static void socket_free(struct io_sim_socket *socket) {
    list_remove(&socket->link);
    mem_free(socket->address);
    mem_free(socket);
}

static void net_close(struct io_socket *base) {
    struct io_sim_socket *socket = sim_socket(base);
    struct io_sim_io *io = (struct io_sim_io *)base->io;
    struct io_sim_connection *connection = socket->connection;
    if (connection != NULL) {
        if (io_sim_is_alive(io))
            end_close(io->sim, connection, socket->side);
        else
            connection->ends[socket->side].socket = NULL; /* its disk has stopped; the crash is to come */
    }
    socket_free(socket);
}

static void net_shutdown(struct io_socket *base) {
    struct io_sim_socket *socket = sim_socket(base);
    struct io_sim_io *io = (struct io_sim_io *)base->io;
    socket->shutdown_wanted = true;
    if (base->send_op == NULL && socket->connection != NULL && socket->connected && io_sim_is_alive(io))
        flow_end(io->sim, socket->connection, socket->side);
}

static struct io_address net_local(const struct io_socket *base) {
    const struct io_sim_socket *socket = (const struct io_sim_socket *)base;
    if (socket->connection == NULL) return (struct io_address){""};
    return socket->connection->ends[socket->side].address;
}

/* ---- the world --------------------------------------------------------------------------------------- */

void io_sim_net_init(struct io_sim *sim) {
    sim->net = (struct io_sim_net_options){
        .latency_min_ns = 50 * NS_PER_US,
        .latency_max_ns = 500 * NS_PER_US,
        .slow_factor = 20,
        .fragment_ppm = 200000,
        .window_size = 64 * KIB,
        .timeout_ns = 20 * NS_PER_S,
    };
}

struct io_sim_net_options *io_sim_net_options(struct io_sim *sim) {
    return &sim->net;
}

void io_sim_cut(struct io_sim *sim, uint32_t from, uint32_t to, bool cut) {
    ASSERT_LT(from, (uint32_t)IO_SIM_NODES_MAX);
    ASSERT_LT(to, (uint32_t)IO_SIM_NODES_MAX);
    io_sim_trace(sim, from, cut ? "cut" : "healed", to, 0, 0, NULL);
    sim->cut[from][to] = cut;
}

void io_sim_slow_link(struct io_sim *sim, uint32_t from, uint32_t to, uint32_t factor) {
    ASSERT_LT(from, (uint32_t)IO_SIM_NODES_MAX);
    ASSERT_LT(to, (uint32_t)IO_SIM_NODES_MAX);
    io_sim_trace(sim, from, "link speed", to, factor, 0, NULL);
    sim->slow[from][to] = factor;
}

void io_sim_reset_connections(struct io_sim *sim, uint32_t a, uint32_t b) {
    LIST_FOREACH(it, &sim->connections) {
        struct io_sim_connection *connection = CONTAINER_OF(it, struct io_sim_connection, link);
        uint32_t from = connection->ends[0].node, to = connection->ends[1].node;
        if (!(from == a && to == b) && !(from == b && to == a)) continue;
        if (connection->ends[0].socket != NULL && !connection->ends[0].socket->connected) continue;
        end_break(sim, connection, 0, ECONNRESET);
        end_break(sim, connection, 1, ECONNRESET);
    }
}

/* The machine lost power: of what it had sent, some more packets are on the wire. */
static void end_vanish(struct io_sim *sim, struct io_sim_connection *connection, unsigned side) {
    struct io_sim_flow *flow = &connection->flows[side];
    connection->ends[side].open = false;
    connection->ends[side].socket = NULL;
    if (flow->arrived < flow->scheduled)
        flow->limit = MIN(flow->limit, prng_range(&sim->net_random, flow->arrived, flow->scheduled));
    free_when_over(connection);
}

void io_sim_net_abandon(struct io_sim_io *io, bool power) {
    struct io_sim *sim = io->sim;
    LIST_FOREACH(it, &io->listeners)
        io_sim_listener_abandon(sim, CONTAINER_OF(it, struct io_sim_listener, link));
    LIST_FOREACH(it, &io->sockets)
        CONTAINER_OF(it, struct io_sim_socket, link)->connection = NULL;
    LIST_FOREACH(it, &sim->connections) {
        struct io_sim_connection *connection = CONTAINER_OF(it, struct io_sim_connection, link);
        /* Both ends may be on this node: the second look must not come after the connection is gone. */
        connection->event_count++;
        for (unsigned side = 0; side < 2; side++) {
            if (connection->ends[side].node != io->node->number || !connection->ends[side].open) continue;
            if (power)
                end_vanish(sim, connection, side);
            else
                end_close(sim, connection, side);
        }
        connection->event_count--;
        free_when_over(connection);
    }
}

void io_sim_net_release(struct io_sim_io *io) {
    LIST_FOREACH(it, &io->sockets)
        socket_free(CONTAINER_OF(it, struct io_sim_socket, link));
    LIST_FOREACH(it, &io->listeners)
        io_sim_listener_free(CONTAINER_OF(it, struct io_sim_listener, link));
}

void io_sim_net_free(struct io_sim *sim) {
    LIST_FOREACH(it, &sim->connections)
        connection_free(CONTAINER_OF(it, struct io_sim_connection, link));
}

const struct io_net_calls io_sim_net_calls = {
    .listen = io_sim_listener_open,
    .listener_address = io_sim_listener_address,
    .listener_pause = io_sim_listener_pause,
    .listener_close = io_sim_listener_close,
    .connect = net_connect,
    .local = net_local,
    .shutdown = net_shutdown,
    .close = net_close,
};
