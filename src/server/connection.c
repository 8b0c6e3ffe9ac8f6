// SPDX-License-Identifier: Apache-2.0
#include "server/connection.h"

#include "base/assert.h"
#include "base/mem.h"
#include "server/connection_state.h"
#include "server/metrics.h"
#include "server/server_state.h"
#include "wire/peer_codec.h"

/* An idle connection holds this much; a busy one grows towards CONNECTION_RECEIVE_SIZE. */
#define RECEIVE_SIZE_MIN (4 * KIB)
/* Enough to tell the protocols apart, and no request of any of them is shorter. */
#define DETECT_SIZE 4

static void process(struct connection *c);
static void flush_deferred(struct io_op *op);
static void start_receive(struct connection *c);

/* ---- life --------------------------------------------------------------------------------------------- */

static void account(struct connection *c, struct buffer *buffer) {
    struct server *server = c->server;
    size_t before = c->in == NULL || c->in->size <= CONNECTION_RECEIVE_SIZE ? 0 : c->in->size;
    size_t after = buffer == NULL || buffer->size <= CONNECTION_RECEIVE_SIZE ? 0 : buffer->size;
    server->large_buffer_bytes += after - before;
    c->in = buffer;
    if (after < before) server_memory_freed(server);
}

static void free_when_quiet(struct connection *c) {
    if (!c->destroyed || c->receiving || c->sending || c->flush_scheduled) return;
    struct buffer *in = c->in;
    account(c, NULL);
    buffer_unref(in);
    server_count_queued(c->server, -(int64_t)c->out.size);
    chain_release(&c->out);
    struct server *server = c->server;
    list_remove(&c->link);
    list_remove(&c->memory_link);
    server->connection_count--;
    mem_free(c);
    server_connection_gone(server);
}

static void destroy(struct connection *c) {
    if (c->destroyed) return;
    c->destroyed = true;
    io_timer_cancel(c->server->io, &c->timeout);
    io_socket_close(c->socket);
    if (c->protocol != NULL) c->protocol->close(c->state);
    c->state = NULL;
    /* Freed from the deferred turn at the earliest: whoever called may still look at it. */
    if (c->flush_scheduled) return;
    c->flush_scheduled = true;
    c->flush.done = flush_deferred;
    io_defer(c->server->io, &c->flush);
}

void connection_destroy(struct connection *c) {
    destroy(c);
}

static void arm_timeout(struct connection *c) {
    uint64_t now_ns = io_now_ns(c->server->io);
    uint64_t patience_ns = c->server->options.handshake_timeout_ms * NS_PER_MS,
             deadline_ns = now_ns + patience_ns;
    if (c->large_since_ns != 0) /* a byte now and then is not enough either */
        deadline_ns = MIN(deadline_ns,
                          c->large_since_ns + patience_ns + c->in->size * NS_PER_S / CONNECTION_RATE_MIN);
    io_timer_set(c->server->io, &c->timeout, deadline_ns);
}

static void timed_out(struct io_timer *timer) {
    struct connection *c = CONTAINER_OF(timer, struct connection, timeout);
    log_debug(c->server->log, "connection closed reason=\"%s\" peer=%s",
              c->protocol == NULL ? "said no protocol in time" : "too slow in the middle of a large message",
              c->peer.text);
    destroy(c);
}

/* ---- sending ------------------------------------------------------------------------------------------ */

static void send_done(struct io_op *op);

static bool sends_crowded(const struct connection *c) {
    return c->server->send_queued_bytes > c->server->options.memory_in_flight_max;
}

static bool send_above(const struct connection *c) {
    return c->out.size > (sends_crowded(c) ? CONNECTION_SEND_SHARE : CONNECTION_SEND_HIGH);
}

static bool send_below(const struct connection *c) {
    return c->out.size < (sends_crowded(c) ? CONNECTION_SEND_SHARE / 2 : CONNECTION_SEND_LOW);
}

static void flush(struct connection *c) {
    if (c->sending || c->destroyed) return;
    if (c->out.size == 0) {
        if (c->closing) destroy(c);
        return;
    }
    uint32_t count = (uint32_t)chain_peek(&c->out, c->slices, ARRAY_COUNT(c->slices));
    c->slice_bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        c->slice_bytes += c->slices[i].size;
    c->sending = true;
    c->send.done = send_done;
    io_send(c->socket, &c->send, c->slices, count);
}

static void flush_deferred(struct io_op *op) {
    struct connection *c = CONTAINER_OF(op, struct connection, flush);
    c->flush_scheduled = false;
    if (c->destroyed) {
        free_when_quiet(c);
        return;
    }
    if (c->process_wanted) {
        c->process_wanted = false;
        process(c);
    }
    flush(c);
    start_receive(c);
}

static void schedule(struct connection *c) {
    if (c->flush_scheduled || c->destroyed) return;
    c->flush_scheduled = true;
    c->flush.done = flush_deferred;
    io_defer(c->server->io, &c->flush);
}

static void send_done(struct io_op *op) {
    struct connection *c = CONTAINER_OF(op, struct connection, send);
    c->sending = false;
    if (c->destroyed) {
        free_when_quiet(c);
        return;
    }
    if (op->status != STATUS_OK) {
        destroy(c);
        return;
    }
    c->server->metrics.sent_bytes += c->slice_bytes;
    chain_consume(&c->out, c->slice_bytes);
    server_count_queued(c->server, -(int64_t)c->slice_bytes);
    if (c->send_full && send_below(c)) {
        c->send_full = false;
        if (c->protocol->writable != NULL) c->protocol->writable(c->state);
        c->process_wanted = true;
        schedule(c);
    }
    flush(c);
}

void connection_send(struct connection *c, struct chain *bytes) {
    if (c->destroyed) {
        chain_release(bytes);
        return;
    }
    server_count_queued(c->server, (int64_t)bytes->size);
    chain_append_chain(&c->out, bytes);
    if (send_above(c)) c->send_full = true;
    schedule(c);
}

void connection_count_queued(struct connection *c, int64_t bytes) {
    server_count_queued(c->server, bytes);
}

size_t connection_send_queued(const struct connection *c) {
    return c->out.size;
}

/* ---- receiving ---------------------------------------------------------------------------------------- */

static const struct protocol *detect(const struct connection *c, const uint8_t *bytes) {
    if (memcmp(bytes, "PRI ", DETECT_SIZE) == 0) return server_protocol(SERVER_GRPC, c->protocols);
    if (bytes[0] >= 'A' && bytes[0] <= 'Z') return server_protocol(SERVER_HTTP, c->protocols);
    if (load_be32(bytes) == PEER_MAGIC) return server_protocol(SERVER_PEER, c->protocols);
    if (load_be32(bytes) < KAFKA_FRAME_SIZE_LIMIT) return server_protocol(SERVER_KAFKA, c->protocols);
    return NULL;
}

static bool choose_protocol(struct connection *c) {
    const uint8_t *bytes = c->in->data + c->in_start;
    c->protocol = detect(c, bytes);
    if (c->protocol == NULL) {
        c->server->metrics.protocol_errors++;
        log_info(c->server->log, "connection refused reason=\"%s\" peer=%s first_bytes=%02x%02x%02x%02x",
                 bytes[0] == 0x16 ? "TLS is not supported"
                                  : "neither Kafka, gRPC nor HTTP, or not on this listener",
                 c->peer.text, bytes[0], bytes[1], bytes[2], bytes[3]);
        return false;
    }
    io_timer_cancel(c->server->io, &c->timeout);
    c->state = c->protocol->open(c);
    if (c->state == NULL) {
        c->protocol = NULL;
        return false;
    }
    if (c->server->draining && c->protocol->drain != NULL) c->protocol->drain(c->state);
    return true;
}

/* Gives the protocol what has come, until it wants more or has enough. */
static void process(struct connection *c) {
    while (!c->destroyed && !c->closing && !c->paused && !c->send_full && c->in_end > c->in_start) {
        if (c->protocol == NULL) {
            if (c->in_end - c->in_start < DETECT_SIZE) break;
            if (!choose_protocol(c)) {
                destroy(c);
                break;
            }
        }
        c->wanted = 0;
        size_t used = c->protocol->receive(
            c->state, c->in, slice_make(c->in->data + c->in_start, c->in_end - c->in_start), &c->wanted);
        if (used == CONNECTION_BROKEN) {
            c->server->metrics.protocol_errors++;
            destroy(c);
            break;
        }
        ASSERT_LE(used, c->in_end - c->in_start);
        c->in_start += used;
        if (used == 0) break;
        c->large_since_ns = 0;
    }
}

/* Makes room behind in_end. False: has to wait for memory. */
static bool make_room(struct connection *c) {
    size_t kept = c->in_end - c->in_start;
    if (c->in != NULL && kept == 0 && c->in->references == 1 && c->in->size >= MAX(c->wanted, c->hint) &&
        c->in->size <= CONNECTION_RECEIVE_SIZE) {
        c->in_start = c->in_end = 0;
        return true;
    }
    bool fits = c->in != NULL && c->in->size > c->in_end &&
                c->in->size - c->in_start >= MAX(c->wanted, kept + 1);
    if (fits && kept != 0) return true;
    size_t size = MAX(MAX(c->wanted, kept + kept / 2 + 1), c->hint);
    struct server *server = c->server;
    if (size > CONNECTION_RECEIVE_SIZE && server->large_buffer_bytes != 0 &&
        server->large_buffer_bytes + size > server->options.memory_in_flight_max) {
        if (list_empty(&c->memory_link)) list_push_back(&server->memory_waiters, &c->memory_link);
        return false;
    }
    struct buffer *buffer = buffer_new(size);
    if (kept != 0) memcpy(buffer->data, c->in->data + c->in_start, kept);
    struct buffer *old = c->in;
    account(c, buffer);
    buffer_unref(old);
    c->in_start = 0;
    c->in_end = kept;
    return true;
}

static void receive_done(struct io_op *op) {
    struct connection *c = CONTAINER_OF(op, struct connection, receive);
    c->receiving = false;
    if (c->destroyed) {
        free_when_quiet(c);
        return;
    }
    if (op->status != STATUS_OK) {
        destroy(c);
        return;
    }
    if (c->protocol != NULL) io_timer_cancel(c->server->io, &c->timeout);
    if (op->result == 0) {
        c->peer_finished = true;
        bool keep = c->protocol != NULL && c->protocol->finished != NULL && c->protocol->finished(c->state);
        if (!keep) connection_close(c);
        return;
    }
    c->received = true;
    size_t room = c->in->size - c->in_end;
    c->in_end += op->result;
    c->server->metrics.received_bytes += op->result;
    if (op->result == room)
        c->hint = MIN(c->hint * 4, CONNECTION_RECEIVE_SIZE);
    else if (op->result < c->hint / 16)
        c->hint = MAX(c->hint / 2, RECEIVE_SIZE_MIN);
    process(c);
    start_receive(c);
}

static void start_receive(struct connection *c) {
    if (c->receiving || c->destroyed || c->closing || c->paused || c->send_full || c->peer_finished) return;
    if (!make_room(c)) return;
    c->receiving = true;
    c->receive.done = receive_done;
    io_recv(c->socket, &c->receive, c->in->data + c->in_end, c->in->size - c->in_end);
    /* A large buffer is taken from memory that others wait for: whoever announces a large message has to go
     * on sending it. */
    if (c->in->size > RECEIVE_SIZE_MIN) server_sweep_later(c->server);
    if (c->protocol == NULL || c->in->size <= CONNECTION_RECEIVE_SIZE) return;
    if (c->large_since_ns == 0) c->large_since_ns = io_now_ns(c->server->io);
    arm_timeout(c);
}

bool connection_shrink(struct connection *c, size_t *freed) {
    bool idle = !c->received;
    c->received = false;
    if (c->destroyed || c->in == NULL || c->in->size <= RECEIVE_SIZE_MIN) return true;
    if (!idle || c->in_end != c->in_start) return false;
    struct buffer *small = NULL;
    if (c->receiving) {
        small = buffer_new(RECEIVE_SIZE_MIN);
        if (!io_recv_move(c->socket, small->data, small->size)) {
            buffer_unref(small);
            return false;
        }
    }
    struct buffer *old = c->in;
    *freed += old->size;
    c->in_start = c->in_end = 0;
    c->hint = RECEIVE_SIZE_MIN;
    account(c, small);
    buffer_unref(old);
    return true;
}

void connection_pause(struct connection *c, bool paused) {
    if (c->paused == paused) return;
    c->paused = paused;
    if (paused) return;
    c->process_wanted = true;
    schedule(c);
}

void connection_memory_available(struct connection *c) {
    schedule(c);
}

void connection_close(struct connection *c) {
    if (c->closing || c->destroyed) return;
    c->closing = true;
    schedule(c);
}

/* ---- made and asked -------------------------------------------------------------------------------------
 */

void connection_new(struct server *server, struct io_socket *socket, const struct io_address *peer,
                    unsigned protocols) {
    struct connection *c = mem_calloc(1, sizeof *c);
    c->server = server;
    c->socket = socket;
    c->peer = *peer;
    c->protocols = protocols;
    c->hint = RECEIVE_SIZE_MIN;
    chain_init(&c->out);
    list_init(&c->memory_link);
    list_push_back(&server->connections, &c->link);
    server->connection_count++;
    io_timer_init(&c->timeout, timed_out);
    arm_timeout(c);
    start_receive(c);
}

void connection_drain(struct connection *c) {
    if (c->destroyed || c->closing) return;
    if (c->protocol == NULL || c->protocol->drain == NULL)
        connection_close(c);
    else
        c->protocol->drain(c->state);
}

struct server *connection_server(struct connection *c) {
    return c->server;
}

const struct io_address *connection_peer(const struct connection *c) {
    return &c->peer;
}

struct io_address connection_local(const struct connection *c) {
    return io_socket_local(c->socket);
}
