// SPDX-License-Identifier: Apache-2.0
/* Another node of the cluster on the shared port: its bytes are the broker's (broker/peers.h). */
#include "base/mem.h"
#include "broker/peers.h"
#include "server/connection.h"
#include "server/server.h"

struct peer_connection_state {
    struct connection *connection;
    struct peer_inbound *inbound;
};

static void say(void *ctx, struct chain *bytes) {
    struct peer_connection_state *state = ctx;
    connection_send(state->connection, bytes);
}

static void end(void *ctx) {
    struct peer_connection_state *state = ctx;
    connection_close(state->connection);
}

static void *peer_open(struct connection *connection) {
    struct peers *peers = broker_peers(server_broker(connection_server(connection)));
    if (peers == NULL) {
        log_info(server_log(connection_server(connection)),
                 "connection refused reason=\"a node of a cluster; this broker runs alone\" peer=%s",
                 connection_peer(connection)->text);
        return NULL;
    }
    struct peer_connection_state *state = mem_calloc(1, sizeof *state);
    state->connection = connection;
    state->inbound = peer_inbound_new(peers, connection_peer(connection), say, end, state);
    return state;
}

static size_t peer_receive(void *ctx, struct buffer *buffer, struct slice bytes, size_t *wanted) {
    struct peer_connection_state *state = ctx;
    size_t used = peer_inbound_receive(state->inbound, buffer, bytes, wanted);
    return used == PEER_INBOUND_BROKEN ? CONNECTION_BROKEN : used;
}

/* What is under way between nodes is made good by consensus. */
static void peer_drain(void *ctx) {
    end(ctx);
}

static void peer_close(void *ctx) {
    struct peer_connection_state *state = ctx;
    peer_inbound_free(state->inbound);
    mem_free(state);
}

const struct protocol peer_protocol = {
    .name = "peer", .open = peer_open, .receive = peer_receive, .drain = peer_drain, .close = peer_close};
