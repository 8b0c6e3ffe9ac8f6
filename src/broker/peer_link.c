// SPDX-License-Identifier: Apache-2.0
#include "broker/peer_link.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"

#define RECEIVE_SIZE (4 * KIB)
/* A peer that accepts a connection and says nothing. */
#define GREETING_NS (5 * NS_PER_S)

static void dial(struct peer_link *link);
static void flush(struct peer_link *link);

static uint64_t now(const struct peer_link *link) {
    return io_now_ns(link->owner.io);
}

/* ---- life --------------------------------------------------------------------------------------------- */

static bool is_quiet(const struct peer_link *link) {
    return !link->connecting && !link->sending && !link->receiving;
}

void peer_link_free(struct peer_link *link) {
    io_timer_cancel(link->owner.io, &link->timer);
    if (link->flush_scheduled) io_defer_cancel(&link->flush);
    if (link->socket != NULL) io_socket_close(link->socket);
    chain_release(&link->pack);
    chain_release(&link->out);
    buffer_unref(link->in);
    mem_free(link);
}

static void tell_gone_if_quiet(struct peer_link *link) {
    if (link->phase == PEER_LINK_CLOSED && is_quiet(link)) link->owner.gone(link->owner.ctx, link);
}

/* The connection is over; its operations complete in a later turn. */
static void hang_up(struct peer_link *link) {
    io_timer_cancel(link->owner.io, &link->timer);
    if (link->socket != NULL) io_socket_close(link->socket);
    link->socket = NULL;
    chain_release(&link->pack);
    link->in_size = 0;
    /* Bytes of a send under way must stay until it is done. */
    if (!link->sending) chain_release(&link->out);
}

static void wait_and_dial(struct peer_link *link) {
    if (link->phase == PEER_LINK_CLOSED) return;
    bool was_up = link->phase == PEER_LINK_UP;
    hang_up(link);
    link->phase = PEER_LINK_WAITING;
    /* Between half and all of it, or all nodes would dial a restarted one at once. */
    uint64_t pause = prng_range(&link->prng, link->retry_ns / 2, link->retry_ns);
    link->retry_ns = MIN(link->retry_ns * 2, link->retry_ns_max);
    io_timer_set(link->owner.io, &link->timer, now(link) + pause);
    if (was_up) link->owner.ended(link->owner.ctx, link);
}

/* Pings of all links, and the beats of all groups (raft.h, D5), fall on the same instants: one turn of an idle
 * node says everything. */
static uint64_t next_ping_ns(const struct peer_link *link) {
    return (now(link) / link->ping_ns + 1) * link->ping_ns;
}

static void timer_fired(struct io_timer *timer) {
    struct peer_link *link = CONTAINER_OF(timer, struct peer_link, timer);
    switch (link->phase) {
    case PEER_LINK_WAITING:
        dial(link);
        break;
    case PEER_LINK_CONNECTING:
    case PEER_LINK_GREETING:
        wait_and_dial(link);
        break;
    case PEER_LINK_UP:
        /* What was said at the instant before may have left a little late. */
        if (now(link) - link->last_send_ns >= link->ping_ns / 2) {
            struct chain empty;
            chain_init(&empty);
            MAYBE(peer_link_frame(link, PEER_PING, &empty));
        }
        io_timer_set(link->owner.io, timer, next_ping_ns(link));
        break;
    case PEER_LINK_IDLE:
    case PEER_LINK_CLOSED:
        break;
    }
}

/* Something of a connection that is over has completed. The link may be gone then. */
static void after_hang_up(struct peer_link *link) {
    if (link->phase == PEER_LINK_CONNECTING)
        dial(link);
    else
        tell_gone_if_quiet(link);
}

void peer_link_close(struct peer_link *link) {
    if (link->phase == PEER_LINK_CLOSED) return;
    hang_up(link);
    link->phase = PEER_LINK_CLOSED;
    if (!is_quiet(link)) return;
    /* Not from inside of the call. */
    if (link->flush_scheduled) return;
    link->flush_scheduled = true;
    io_defer(link->owner.io, &link->flush);
}

/* ---- sending ------------------------------------------------------------------------------------------ */

static void close_frame(struct peer_link *link) {
    if (link->pack.size == 0) return;
    peer_frame_encode(PEER_MESSAGES, &link->pack, &link->out);
}

static void send_done(struct io_op *op) {
    struct peer_link *link = CONTAINER_OF(op, struct peer_link, send);
    link->sending = false;
    bool up = link->phase == PEER_LINK_UP || link->phase == PEER_LINK_GREETING;
    if (!up) {
        chain_release(&link->out);
        after_hang_up(link);
        return;
    }
    if (op->status != STATUS_OK) {
        wait_and_dial(link);
        return;
    }
    link->sent_bytes += link->slice_bytes;
    chain_consume(&link->out, link->slice_bytes);
    flush(link);
}

static void flush(struct peer_link *link) {
    if (link->sending || (link->phase != PEER_LINK_UP && link->phase != PEER_LINK_GREETING)) return;
    close_frame(link);
    if (link->out.size == 0) return;
    uint32_t count = (uint32_t)chain_peek(&link->out, link->slices, PEER_LINK_SLICES);
    link->slice_bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        link->slice_bytes += link->slices[i].size;
    link->sending = true;
    link->last_send_ns = now(link);
    io_send(link->socket, &link->send, link->slices, count);
}

static void flush_deferred(struct io_op *op) {
    struct peer_link *link = CONTAINER_OF(op, struct peer_link, flush);
    link->flush_scheduled = false;
    if (link->phase == PEER_LINK_CLOSED)
        tell_gone_if_quiet(link);
    else
        flush(link);
}

/* Last: whoever waits for an answer is told before other nodes are, and all that the turn says is one frame.
 */
static void schedule(struct peer_link *link) {
    if (link->flush_scheduled) return;
    link->flush_scheduled = true;
    io_defer_last(link->owner.io, &link->flush);
}

static bool has_room(struct peer_link *link, size_t size) {
    if (link->phase == PEER_LINK_UP && size <= PEER_FRAME_SIZE_MAX &&
        link->pack.size + link->out.size + size <= MAX(link->queue_bytes_max, size))
        return true;
    link->dropped++;
    return false;
}

bool peer_link_message(struct peer_link *link, struct chain *message) {
    if (!has_room(link, message->size)) {
        chain_release(message);
        return false;
    }
    if (link->pack.size > 0 && link->pack.size + message->size > PEER_LINK_FRAME_BYTES) close_frame(link);
    peer_pack_add(&link->pack, message);
    schedule(link);
    return true;
}

bool peer_link_frame(struct peer_link *link, enum peer_frame_kind kind, struct chain *payload) {
    if (!has_room(link, payload->size)) {
        chain_release(payload);
        return false;
    }
    close_frame(link);
    peer_frame_encode(kind, payload, &link->out);
    schedule(link);
    return true;
}

/* ---- the other side's one frame -------------------------------------------------------------------------
 */

static void start_receive(struct peer_link *link);

/* False: the connection is over. */
static bool take_welcome(struct peer_link *link) {
    struct peer_frame frame;
    size_t wanted;
    enum status status = peer_frame_decode(slice_make(link->in->data, link->in_size), &frame, &wanted);
    if (status == STATUS_PENDING && wanted <= link->in->size) return true;
    if (status != STATUS_OK || frame.kind != PEER_WELCOME || link->phase != PEER_LINK_GREETING) return false;
    bool welcome = link->owner.welcome(link->owner.ctx, link, frame.payload);
    link->in_size = 0;
    if (!welcome || link->phase != PEER_LINK_GREETING) return false;
    link->phase = PEER_LINK_UP;
    link->retry_ns = link->retry_ns_min;
    io_timer_set(link->owner.io, &link->timer, next_ping_ns(link));
    return true;
}

static void receive_done(struct io_op *op) {
    struct peer_link *link = CONTAINER_OF(op, struct peer_link, receive);
    link->receiving = false;
    if (link->phase != PEER_LINK_GREETING && link->phase != PEER_LINK_UP) {
        after_hang_up(link);
        return;
    }
    bool alive = op->status == STATUS_OK && op->result > 0;
    link->in_size += alive ? op->result : 0;
    /* After the welcome the other side has nothing more to say here. */
    if (alive) alive = link->phase == PEER_LINK_GREETING && take_welcome(link);
    if (!alive)
        wait_and_dial(link);
    else
        start_receive(link);
}

static void start_receive(struct peer_link *link) {
    if (link->receiving || link->socket == NULL) return;
    link->receiving = true;
    io_recv(link->socket, &link->receive, link->in->data + link->in_size, link->in->size - link->in_size);
}

/* ---- dialling -------------------------------------------------------------------------------------------
 */

static void connected(struct io_op *op) {
    struct peer_link *link = CONTAINER_OF(op, struct peer_link, connect);
    link->connecting = false;
    if (link->phase != PEER_LINK_CONNECTING) {
        tell_gone_if_quiet(link);
        return;
    }
    if (op->status != STATUS_OK || link->socket == NULL) {
        wait_and_dial(link);
        return;
    }
    link->phase = PEER_LINK_GREETING;
    io_timer_set(link->owner.io, &link->timer, now(link) + GREETING_NS);
    uint8_t magic[PEER_MAGIC_SIZE];
    store_be32(magic, PEER_MAGIC);
    chain_append_copy(&link->out, slice_make(magic, sizeof magic));
    struct writer hello;
    writer_init(&hello);
    link->owner.hello(link->owner.ctx, link, &hello);
    struct chain payload;
    chain_init(&payload);
    chain_append_copy(&payload, writer_slice(&hello));
    writer_release(&hello);
    peer_frame_encode(PEER_HELLO, &payload, &link->out);
    chain_release(&payload);
    flush(link);
    start_receive(link);
}

static void dial(struct peer_link *link) {
    link->phase = PEER_LINK_CONNECTING;
    /* What the connection before left under way comes first; its completion calls again. */
    if (!is_quiet(link)) {
        io_timer_set(link->owner.io, &link->timer, now(link) + GREETING_NS);
        return;
    }
    link->connecting = true;
    link->reconnects++;
    io_timer_set(link->owner.io, &link->timer, now(link) + GREETING_NS);
    io_connect(link->owner.io, &link->connect, link->address, &link->socket);
}

struct peer_link *peer_link_new(const struct peer_link_owner *owner, const struct peers_options *options,
                                uint32_t node, const char *address) {
    struct peer_link *link = mem_calloc(1, sizeof *link);
    link->owner = *owner;
    link->node = node;
    snprintf(link->address, sizeof link->address, "%s", address);
    link->retry_ns = link->retry_ns_min = options->retry_ns_min;
    link->retry_ns_max = options->retry_ns_max;
    link->ping_ns = options->ping_ns;
    link->queue_bytes_max = options->queue_bytes_max;
    prng_init(&link->prng, options->seed ^ (uint64_t)options->node << 32 ^ node);
    chain_init(&link->pack);
    chain_init(&link->out);
    link->in = buffer_new(RECEIVE_SIZE);
    io_timer_init(&link->timer, timer_fired);
    link->connect.done = connected;
    link->send.done = send_done;
    link->receive.done = receive_done;
    link->flush.done = flush_deferred;
    dial(link);
    return link;
}

void peer_link_reset(struct peer_link *link, const char *address) {
    if (link->phase == PEER_LINK_CLOSED) return;
    if (address != NULL) snprintf(link->address, sizeof link->address, "%s", address);
    link->retry_ns = link->retry_ns_min;
    if (link->phase == PEER_LINK_CONNECTING) return; /* says what is true when it is connected */
    hang_up(link);
    bool was_up = link->phase == PEER_LINK_UP;
    dial(link);
    if (was_up) link->owner.ended(link->owner.ctx, link);
}
