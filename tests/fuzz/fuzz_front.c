// SPDX-License-Identifier: Apache-2.0
/* Any bytes to the shared port of a real broker on a simulated machine: protocol detection, then Kafka, gRPC
 * or HTTP, handlers and all. The first input byte chooses how the rest is cut into pieces. There is a topic
 * 't' with two partitions. Nothing may crash, and the broker must still answer a health check afterwards.
 * Seeds for gRPC: grpc_seeds.py. */
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "io/io_sim.h"
#include "server/server.h"

#define SLOW_PIECES_MAX 100

struct client {
    struct io *io;
    struct io_socket *socket;
    struct io_op connect, send, receive;
    uint8_t in[4096];
    struct slice bytes;
    size_t piece, received;
    bool connected, sending, receiving, ended;
    bool slow; /* the next piece is sent when talk() says so */
    char answer[64];
};

static void receive_next(struct client *c);

static void received(struct io_op *op) {
    struct client *c = CONTAINER_OF(op, struct client, receive);
    c->receiving = false;
    if (op->status != STATUS_OK || op->result == 0) {
        c->ended = true;
        return;
    }
    for (size_t i = 0; i < op->result && c->received + i < sizeof c->answer - 1; i++)
        c->answer[c->received + i] = (char)c->in[i];
    c->received += op->result;
    receive_next(c);
}

static void receive_next(struct client *c) {
    c->receiving = true;
    c->receive.done = received;
    io_recv(c->socket, &c->receive, c->in, sizeof c->in);
}

static void send_next(struct client *c);

static void sent(struct io_op *op) {
    struct client *c = CONTAINER_OF(op, struct client, send);
    c->sending = false;
    if (op->status == STATUS_OK && c->bytes.size != 0 && !c->slow) send_next(c);
}

static void send_next(struct client *c) {
    static struct slice piece;
    piece = slice_make(c->bytes.data, MIN(c->piece, c->bytes.size));
    c->bytes = slice_make(c->bytes.data + piece.size, c->bytes.size - piece.size);
    c->sending = true;
    c->send.done = sent;
    io_send(c->socket, &c->send, &piece, 1);
}

static void connected(struct io_op *op) {
    struct client *c = CONTAINER_OF(op, struct client, connect);
    ASSERT(op->status == STATUS_OK);
    c->connected = true;
    receive_next(c);
    if (c->bytes.size != 0) send_next(c);
}

/* Sends the bytes and gives the broker some seconds to make what it can of them. */
static void talk(struct io_sim *sim, struct io *io, struct slice bytes, size_t piece, bool slow,
                 struct client *c) {
    *c = (struct client){.io = io, .bytes = bytes, .piece = piece, .slow = slow};
    c->connect.done = connected;
    io_connect(io, &c->connect, "node0:9092", &c->socket);
    for (int i = 0; slow && i < SLOW_PIECES_MAX && c->bytes.size != 0 && !c->ended; i++) {
        io_sim_run_until(sim, io_sim_now(sim) + 200 * NS_PER_MS);
        if (c->connected && !c->sending && c->bytes.size != 0) send_next(c);
    }
    io_sim_run_until(sim, io_sim_now(sim) + 3 * NS_PER_S);
    ASSERT(c->connected);
    io_socket_close(c->socket);
    io_sim_run_until(sim, io_sim_now(sim) + 1 * NS_PER_S);
    ASSERT(!c->receiving && !c->sending);
}

static void set_true(void *ctx) {
    *(bool *)ctx = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const size_t pieces[] = {1, 3, 17, 100, 1000, SIZE_MAX};
    /* CreateTopics of version 2: 't', two partitions. */
    static const uint8_t topic[] = {0,   0, 0, 36, 0, 19, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1,    0,    1,
                                    't', 0, 0, 0,  2, 0,  1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x27, 0x10, 0};
    if (size == 0 || size > 64 * KIB) return 0;
    struct io_sim *sim = io_sim_new(1);
    struct io *server_io = io_sim_node_io(sim, 0), *client_io = io_sim_node_io(sim, 1);
    struct broker_options broker_options = broker_options_default();
    broker_options.data_dir = "data";
    struct broker *broker;
    struct diagnostic why;
    ASSERT(broker_open(server_io, &broker_options, &broker, &why) == STATUS_OK);
    struct server_options server_options = server_options_default();
    struct server *server = server_new(server_io, broker, &server_options);
    struct io_address address;
    ASSERT(server_listen(server, "node0:9092", SERVER_ALL, &address, &why) == STATUS_OK);

    struct client client;
    talk(sim, client_io, slice_make(topic, sizeof topic), SIZE_MAX, false, &client);
    ASSERT(client.received > 20 && client.answer[18] == 't' && load_be16((uint8_t *)client.answer + 19) == 0);
    talk(sim, client_io, slice_make(data + 1, size - 1), pieces[data[0] % 128 % ARRAY_COUNT(pieces)],
         data[0] >= 128, &client);
    talk(sim, client_io, SLICE_LITERAL("GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"), SIZE_MAX, false, &client);
    ASSERT(memcmp(client.answer, "HTTP/1.1 200", 12) == 0);

    bool drained = false, down = false;
    server_drain(server, 1000, set_true, &drained);
    io_sim_run_until(sim, io_sim_now(sim) + 10 * NS_PER_S);
    ASSERT(drained);
    server_free(server);
    broker_shutdown(broker, set_true, &down);
    io_sim_run_until(sim, io_sim_now(sim) + 10 * NS_PER_S);
    ASSERT(down);
    broker_close(broker);
    io_sim_free(sim);
    return 0;
}
