// SPDX-License-Identifier: Apache-2.0
#include "sim/kafka_link.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "sim/kafka_clients.h"
#include "wire/kafka_codec.h"

#define RECEIVE_SIZE    (16 * KIB)
#define ANSWER_SIZE_MAX (64 * MIB)

struct kafka_link {
    struct io *io;
    uint32_t node;
    const struct kafka_link_calls *calls;
    void *ctx; /* NULL: dropped */
    struct io_socket *socket;
    struct io_op connect, send, receive;
    bool connecting, sending, receiving;
    struct chain out;
    struct slice slices[16];
    size_t slice_bytes;
    struct writer in;
    int16_t key, version;
    int32_t correlation;
    uint8_t buffer[RECEIVE_SIZE];
};

static void free_when_quiet(struct kafka_link *link) {
    if (link->ctx != NULL || link->connecting || link->sending || link->receiving) return;
    chain_release(&link->out);
    writer_release(&link->in);
    mem_free(link);
}

void kafka_link_drop(struct kafka_link *link) {
    link->ctx = NULL;
    if (link->socket != NULL) io_socket_close(link->socket);
    link->socket = NULL;
    free_when_quiet(link);
}

static void fail(struct kafka_link *link) {
    if (link->ctx != NULL) link->calls->failed(link->ctx); /* drops it */
}

/* ---- answers ------------------------------------------------------------------------------------------ */

/* False: that is no answer to what was asked. */
static bool take_answer(struct kafka_link *link, struct slice frame) {
    const struct kafka_api *api = kafka_api_find(link->key);
    struct arena arena;
    struct reader body;
    int32_t correlation;
    void *message;
    arena_init(&arena, 64 * KIB);
    bool ok = kafka_read_response_header(frame, api, link->version, &correlation, &body) == STATUS_OK &&
              correlation == link->correlation &&
              kafka_decode(api, api->response, link->version, &body, &arena, &message) == STATUS_OK;
    if (ok) link->calls->answered(link->ctx, message);
    arena_release(&arena);
    return ok;
}

static void receive(struct kafka_link *link);

static void receive_done(struct io_op *op) {
    struct kafka_link *link = CONTAINER_OF(op, struct kafka_link, receive);
    link->receiving = false;
    if (link->ctx == NULL) {
        free_when_quiet(link);
        return;
    }
    if (op->status != STATUS_OK || op->result == 0) {
        fail(link);
        return;
    }
    writer_bytes(&link->in, slice_make(link->buffer, (size_t)op->result));
    size_t size = link->in.size < KAFKA_FRAME_PREFIX ? 0 : load_be32(link->in.data);
    bool whole = link->in.size >= KAFKA_FRAME_PREFIX && link->in.size - KAFKA_FRAME_PREFIX >= size;
    if (size > ANSWER_SIZE_MAX || (whole && link->in.size - KAFKA_FRAME_PREFIX > size)) {
        fail(link); /* one request at a time: nothing may follow its answer */
        return;
    }
    receive(link);
    if (!whole) return;
    struct writer frame = link->in;
    writer_init(&link->in);
    bool ok = take_answer(link, slice_make(frame.data + KAFKA_FRAME_PREFIX, size));
    writer_release(&frame);
    if (!ok) fail(link);
}

static void receive(struct kafka_link *link) {
    link->receiving = true;
    io_recv(link->socket, &link->receive, link->buffer, sizeof link->buffer);
}

/* ---- requests ----------------------------------------------------------------------------------------- */

static void flush(struct kafka_link *link) {
    if (link->out.size == 0) return;
    uint32_t count = (uint32_t)chain_peek(&link->out, link->slices, ARRAY_COUNT(link->slices));
    link->slice_bytes = 0;
    for (uint32_t i = 0; i < count; i++)
        link->slice_bytes += link->slices[i].size;
    link->sending = true;
    io_send(link->socket, &link->send, link->slices, count);
}

static void send_done(struct io_op *op) {
    struct kafka_link *link = CONTAINER_OF(op, struct kafka_link, send);
    link->sending = false;
    if (link->ctx == NULL) {
        free_when_quiet(link);
        return;
    }
    if (op->status != STATUS_OK) {
        fail(link);
        return;
    }
    chain_consume(&link->out, link->slice_bytes);
    flush(link);
}

void kafka_link_ask(struct kafka_link *link, int16_t key, int16_t version, const void *request) {
    ASSERT(!link->sending && link->out.size == 0);
    link->key = key;
    link->version = version;
    link->correlation++;
    kafka_encode_request(kafka_api_find(key), version, link->correlation, SLICE_LITERAL("simulated"), request,
                         &link->out);
    flush(link);
}

/* ---- connecting --------------------------------------------------------------------------------------- */

static void connect_done(struct io_op *op) {
    struct kafka_link *link = CONTAINER_OF(op, struct kafka_link, connect);
    link->connecting = false;
    if (link->ctx == NULL) {
        free_when_quiet(link);
        return;
    }
    if (op->status != STATUS_OK) {
        fail(link);
        return;
    }
    receive(link);
    link->calls->connected(link->ctx);
}

struct kafka_link *kafka_link_new(struct io *io, uint32_t node, const struct kafka_link_calls *calls,
                                  void *ctx) {
    struct kafka_link *link = mem_calloc(1, sizeof *link);
    char address[32];
    link->io = io;
    link->node = node;
    link->calls = calls;
    link->ctx = ctx;
    chain_init(&link->out);
    writer_init(&link->in);
    link->connect.done = connect_done;
    link->send.done = send_done;
    link->receive.done = receive_done;
    link->connecting = true;
    snprintf(address, sizeof address, "node%u:%d", node, KAFKA_PORT);
    io_connect(io, &link->connect, address, &link->socket);
    return link;
}

uint32_t kafka_link_node(const struct kafka_link *link) {
    return link->node;
}
