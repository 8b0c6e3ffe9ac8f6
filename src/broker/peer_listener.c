// SPDX-License-Identifier: Apache-2.0
/* A listener for peers alone, where no server gives us connections: worlds of the simulator, tests. */
#include "base/assert.h"
#include "base/mem.h"
#include "broker/peers_state.h"

#define RECEIVE_SIZE (64 * KIB)
#define SLICES       8

struct peer_connection {
    struct list link;
    struct peers *peers;
    struct peer_inbound *inbound;
    struct io_socket *socket;
    struct io_op receive, send, later;
    bool receiving, sending, later_scheduled, closing, closed;
    struct buffer *in;
    size_t start, end;
    struct chain out;
    struct slice slices[SLICES];
    size_t slice_bytes;
};

static void start_receive(struct peer_connection *c);

static void free_connection(struct peer_connection *c) {
    list_remove(&c->link);
    buffer_unref(c->in);
    chain_release(&c->out);
    mem_free(c);
}

static void end(struct peer_connection *c) {
    if (c->closed) return;
    c->closed = true;
    io_socket_close(c->socket);
    peer_inbound_free(c->inbound);
    c->inbound = NULL;
}

static void free_when_quiet(struct peer_connection *c) {
    if (!c->closed || c->receiving || c->sending || c->later_scheduled) return;
    struct peers *peers = c->peers;
    free_connection(c);
    peers_check_done(peers);
}

static void flush(struct peer_connection *c) {
    if (c->sending || c->closed) return;
    if (c->out.size == 0) {
        if (c->closing) end(c);
        return;
    }
    uint32_t count = (uint32_t)chain_peek(&c->out, c->slices, SLICES);
    c->slice_bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        c->slice_bytes += c->slices[i].size;
    c->sending = true;
    io_send(c->socket, &c->send, c->slices, count);
}

static void send_done(struct io_op *op) {
    struct peer_connection *c = CONTAINER_OF(op, struct peer_connection, send);
    c->sending = false;
    if (!c->closed && op->status != STATUS_OK) end(c);
    if (!c->closed) chain_consume(&c->out, c->slice_bytes);
    flush(c);
    free_when_quiet(c);
}

static void later(struct io_op *op) {
    struct peer_connection *c = CONTAINER_OF(op, struct peer_connection, later);
    c->later_scheduled = false;
    flush(c);
    free_when_quiet(c);
}

static void schedule(struct peer_connection *c) {
    if (c->later_scheduled) return;
    c->later_scheduled = true;
    io_defer(c->peers->options.io, &c->later);
}

static void say(void *ctx, struct chain *bytes) {
    struct peer_connection *c = ctx;
    chain_append_chain(&c->out, bytes);
    schedule(c);
}

static void ask_to_close(void *ctx) {
    struct peer_connection *c = ctx;
    c->closing = true;
    schedule(c);
}

/* Room for the rest of the frame, in a buffer of its own when the old one is still used by what came in it.
 */
static void make_room(struct peer_connection *c, size_t wanted) {
    size_t kept = c->end - c->start;
    size_t size = MAX(MAX(wanted, kept + 1), RECEIVE_SIZE);
    if (c->in->size - c->end > 0 && c->in->size - c->start >= wanted) return;
    struct buffer *buffer = buffer_new(size);
    if (kept != 0) memcpy(buffer->data, c->in->data + c->start, kept);
    buffer_unref(c->in);
    c->in = buffer;
    c->start = 0;
    c->end = kept;
}

static void receive_done(struct io_op *op) {
    struct peer_connection *c = CONTAINER_OF(op, struct peer_connection, receive);
    c->receiving = false;
    if (!c->closed && (op->status != STATUS_OK || op->result == 0)) end(c);
    if (!c->closed) {
        c->end += op->result;
        size_t wanted = 0;
        size_t used = peer_inbound_receive(c->inbound, c->in,
                                           slice_make(c->in->data + c->start, c->end - c->start), &wanted);
        if (used == PEER_INBOUND_BROKEN) {
            end(c);
        } else if (!c->closed) {
            c->start += used;
            make_room(c, wanted);
            start_receive(c);
        }
    }
    free_when_quiet(c);
}

static void start_receive(struct peer_connection *c) {
    if (c->receiving || c->closing) return;
    c->receiving = true;
    io_recv(c->socket, &c->receive, c->in->data + c->end, c->in->size - c->end);
}

static void accepted(void *ctx, struct io_socket *socket, const struct io_address *from) {
    struct peers *peers = ctx;
    struct peer_connection *c = mem_calloc(1, sizeof *c);
    c->peers = peers;
    c->socket = socket;
    c->in = buffer_new(RECEIVE_SIZE);
    chain_init(&c->out);
    c->receive.done = receive_done;
    c->send.done = send_done;
    c->later.done = later;
    list_push_back(&peers->accepted, &c->link);
    c->inbound = peer_inbound_new(peers, from, say, ask_to_close, c);
    start_receive(c);
}

enum status peers_listen(struct peers *peers, const char *address, struct io_address *bound,
                         struct diagnostic *diagnostic) {
    ASSERT(peers->listener == NULL);
    enum status status = io_listen(peers->options.io, address, accepted, peers, &peers->listener, diagnostic);
    if (status == STATUS_OK && bound != NULL) *bound = io_listener_address(peers->listener);
    return status;
}

void peers_stop_listening(struct peers *peers, bool crashed) {
    if (peers->listener != NULL) io_listener_close(peers->listener);
    peers->listener = NULL;
    LIST_FOREACH(it, &peers->accepted) {
        struct peer_connection *c = CONTAINER_OF(it, struct peer_connection, link);
        end(c);
        if (crashed)
            free_connection(c);
        else
            schedule(c);
    }
}
