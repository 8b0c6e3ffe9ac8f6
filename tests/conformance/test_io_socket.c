// SPDX-License-Identifier: Apache-2.0
/* The contract of io.h: listeners and sockets. */
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "lib/io_contract.h"

#define SERVED_MAX 80

/* A listener and what it accepted. */
struct server {
    struct io_listener *listener;
    struct io_address address;
    struct io_socket *sockets[SERVED_MAX];
    struct io_address peers[SERVED_MAX];
    unsigned count, close_after, pause_after;
    bool any;
};

static void server_accepted(void *ctx, struct io_socket *socket, const struct io_address *peer) {
    struct server *server = ctx;
    assert_in_range(server->count, 0, SERVED_MAX - 1);
    server->peers[server->count] = *peer;
    server->sockets[server->count++] = socket;
    server->any = true;
    if (server->count == server->close_after) {
        io_listener_close(server->listener);
        server->listener = NULL;
    }
    if (server->count == server->pause_after) io_listener_pause(server->listener, true);
}

static void server_open(struct io_world *world, struct server *server, const char *address) {
    struct diagnostic diagnostic = {""};
    memset(server, 0, sizeof *server);
    assert_status(io_listen(world->io, address, server_accepted, server, &server->listener, &diagnostic),
                  STATUS_OK);
    server->address = io_listener_address(server->listener);
}

static void server_close(struct server *server) {
    for (unsigned i = 0; i < server->count; i++)
        io_socket_close(server->sockets[i]);
    io_listener_close(server->listener);
}

struct pair {
    struct server server;
    struct io_socket *client, *peer; /* peer: the server's end */
};

static struct io_socket *connect_to(struct io_world *world, const char *address) {
    struct io_socket *socket;
    struct test_op op;
    test_op_init(&op);
    io_connect(world->io, &op.op, address, &socket);
    assert_non_null(socket);
    assert_status(test_op_wait(world, &op), STATUS_OK);
    return socket;
}

static void pair_open(struct io_world *world, struct pair *pair) {
    server_open(world, &pair->server, "127.0.0.1:0");
    pair->client = connect_to(world, pair->server.address.text);
    world_run_until(world, &pair->server.any);
    pair->peer = pair->server.sockets[0];
}

static void pair_close(struct pair *pair) {
    io_socket_close(pair->client);
    server_close(&pair->server);
}

static void send_text(struct io_world *world, struct io_socket *socket, const char *text) {
    struct slice bytes = slice_from_text(text);
    struct test_op op;
    test_op_init(&op);
    io_send(socket, &op.op, &bytes, 1);
    assert_status(test_op_wait(world, &op), STATUS_OK);
    assert_int_equal(op.op.result, bytes.size);
}

/* Receives exactly the text, in whatever pieces it comes. */
static void expect_text(struct io_world *world, struct io_socket *socket, const char *text) {
    size_t size = strlen(text), have = 0;
    char found[64] = "";
    while (have < size) {
        struct test_op op;
        test_op_init(&op);
        io_recv(socket, &op.op, found + have, size - have);
        assert_status(test_op_wait(world, &op), STATUS_OK);
        assert_in_range(op.op.result, 1, size - have);
        have += op.op.result;
    }
    assert_string_equal(found, text);
}

static enum status recv_status(struct io_world *world, struct io_socket *socket, uint64_t *size) {
    char data[16];
    struct test_op op;
    test_op_init(&op);
    io_recv(socket, &op.op, data, sizeof data);
    enum status status = test_op_wait(world, &op);
    *size = op.op.result;
    return status;
}

/* ---- connecting ------------------------------------------------------------------------------------- */

static void both_ends_know_their_addresses(void **state) {
    struct io_world *world = world_of(state);
    struct pair pair;
    pair_open(world, &pair);
    assert_string_not_equal(pair.server.address.text, "127.0.0.1:0");
    assert_string_equal(io_socket_local(pair.peer).text, pair.server.address.text);
    assert_string_equal(io_socket_local(pair.client).text, pair.server.peers[0].text);
    pair_close(&pair);
}

static void a_name_is_resolved(void **state) {
    struct io_world *world = world_of(state);
    struct server server;
    char address[128];
    server_open(world, &server, "127.0.0.1:0");
    snprintf(address, sizeof address, "localhost%s", strrchr(server.address.text, ':'));
    struct io_socket *socket = connect_to(world, address);
    world_run_until(world, &server.any);
    io_socket_close(socket);
    server_close(&server);
}

static void nobody_listening_refuses(void **state) {
    struct io_world *world = world_of(state);
    struct server server;
    struct io_socket *socket;
    struct test_op op;
    server_open(world, &server, "127.0.0.1:0");
    server_close(&server);
    test_op_init(&op);
    io_connect(world->io, &op.op, server.address.text, &socket);
    assert_status(test_op_wait(world, &op), STATUS_UNAVAILABLE);
    io_socket_close(socket);
}

static void bad_addresses_are_refused(void **state) {
    struct io_world *world = world_of(state);
    const char *texts[] = {"",
                           ":",
                           "host",
                           "127.0.0.1",
                           "127.0.0.1:",
                           ":9092",
                           "127.0.0.1:65536",
                           "127.0.0.1:-1",
                           "127.0.0.1:9a",
                           "::1:9092",
                           "[::1]",
                           "[::1]9092",
                           "[::1:9092",
                           "[nothex]:9092",
                           "127.0.0.1:0000000000000000000080"};
    for (size_t i = 0; i < ARRAY_COUNT(texts); i++) {
        struct io_socket *socket;
        struct test_op op;
        test_op_init(&op);
        io_connect(world->io, &op.op, texts[i], &socket);
        assert_status(test_op_wait(world, &op), STATUS_INVALID);
        io_socket_close(socket);
        struct server server;
        struct diagnostic diagnostic = {""};
        assert_status(io_listen(world->io, texts[i], server_accepted, &server, &server.listener, &diagnostic),
                      STATUS_INVALID);
        assert_int_not_equal(diagnostic.text[0], 0);
    }
}

static void an_address_in_use_is_locked(void **state) {
    struct io_world *world = world_of(state);
    struct server server, second;
    struct diagnostic diagnostic = {""};
    server_open(world, &server, "127.0.0.1:0");
    assert_status(
        io_listen(world->io, server.address.text, server_accepted, &second, &second.listener, &diagnostic),
        STATUS_LOCKED);
    assert_non_null(strstr(diagnostic.text, server.address.text));
    server_close(&server);
}

static void a_closed_address_can_be_taken_again(void **state) {
    struct io_world *world = world_of(state);
    struct pair pair;
    pair_open(world, &pair);
    pair_close(&pair);
    world_settle(world);
    struct server again;
    server_open(world, &again, pair.server.address.text);
    assert_string_equal(again.address.text, pair.server.address.text);
    server_close(&again);
}

static void ipv6_loopback_works_where_the_host_has_it(void **state) {
    struct io_world *world = world_of(state);
    struct server server = {0};
    struct diagnostic diagnostic = {""};
    enum status status = io_listen(world->io, "[::1]:0", server_accepted, &server, &server.listener,
                                   &diagnostic);
    if (status == STATUS_NOT_FOUND || status == STATUS_UNSUPPORTED || status == STATUS_INVALID) skip();
    assert_status(status, STATUS_OK);
    server.address = io_listener_address(server.listener);
    assert_memory_equal(server.address.text, "[::1]:", 6);
    struct io_socket *socket = connect_to(world, server.address.text);
    world_run_until(world, &server.any);
    io_socket_close(socket);
    server_close(&server);
}

static void a_paused_listener_accepts_later(void **state) {
    struct io_world *world = world_of(state);
    struct server server;
    struct io_socket *clients[3];
    server_open(world, &server, "127.0.0.1:0");
    server.pause_after = 1;
    for (unsigned i = 0; i < 3; i++)
        clients[i] = connect_to(world, server.address.text);
    world_run_until(world, &server.any);
    world_settle(world);
    assert_int_equal(server.count, 1);
    server.any = false;
    io_listener_pause(server.listener, false);
    world_run_until(world, &server.any);
    world_settle(world);
    assert_int_equal(server.count, 3);
    for (unsigned i = 0; i < 3; i++)
        io_socket_close(clients[i]);
    server_close(&server);
}

static void a_listener_may_be_closed_while_it_accepts(void **state) {
    struct io_world *world = world_of(state);
    struct server server;
    struct io_socket *clients[3];
    struct test_op ops[3];
    server_open(world, &server, "127.0.0.1:0");
    server.close_after = 1;
    for (unsigned i = 0; i < 3; i++) {
        test_op_init(&ops[i]);
        io_connect(world->io, &ops[i].op, server.address.text, &clients[i]);
    }
    world_run_until(world, &server.any);
    world_settle(world);
    assert_int_equal(server.count, 1);
    for (unsigned i = 0; i < 3; i++)
        io_socket_close(clients[i]);
    world_settle(world);
    for (unsigned i = 0; i < 3; i++)
        assert_int_equal(ops[i].calls, 1);
    server_close(&server);
}

static void many_connections_are_accepted(void **state) {
    struct io_world *world = world_of(state);
    struct server server;
    struct io_socket *clients[SERVED_MAX];
    struct test_op ops[SERVED_MAX];
    server_open(world, &server, "127.0.0.1:0");
    for (unsigned i = 0; i < SERVED_MAX; i++) {
        test_op_init(&ops[i]);
        io_connect(world->io, &ops[i].op, server.address.text, &clients[i]);
    }
    for (unsigned i = 0; i < SERVED_MAX; i++)
        assert_status(test_op_wait(world, &ops[i]), STATUS_OK);
    world_settle(world);
    assert_int_equal(server.count, SERVED_MAX);
    for (unsigned i = 0; i < SERVED_MAX; i++)
        io_socket_close(clients[i]);
    server_close(&server);
}

/* ---- bytes ------------------------------------------------------------------------------------------ */

static void bytes_go_both_ways(void **state) {
    struct io_world *world = world_of(state);
    struct pair pair;
    pair_open(world, &pair);
    send_text(world, pair.client, "question");
    expect_text(world, pair.peer, "question");
    send_text(world, pair.peer, "answer");
    expect_text(world, pair.client, "answer");
    struct io_stats stats = io_stats(world->io);
    assert_int_equal(stats.socket_send_bytes, 14);
    assert_int_equal(stats.socket_recv_bytes, 14);
    pair_close(&pair);
}

static void a_receive_that_waits_gets_what_comes(void **state) {
    struct io_world *world = world_of(state);
    struct pair pair;
    char data[32] = "";
    struct test_op op;
    pair_open(world, &pair);
    test_op_init(&op);
    io_recv(pair.peer, &op.op, data, sizeof data);
    world_settle(world);
    assert_false(op.done);
    send_text(world, pair.client, "x");
    assert_status(test_op_wait(world, &op), STATUS_OK);
    assert_int_equal(op.op.result, 1);
    assert_int_equal(data[0], 'x');
    pair_close(&pair);
}

static void a_waiting_receive_takes_other_memory(void **state) {
    struct io_world *world = world_of(state);
    struct pair pair;
    char first[32] = "untouched", second[4] = "";
    struct test_op op;
    pair_open(world, &pair);
    assert_false(io_recv_move(pair.peer, second, sizeof second));
    test_op_init(&op);
    io_recv(pair.peer, &op.op, first, sizeof first);
    world_settle(world);
    assert_true(io_recv_move(pair.peer, second, 2));
    send_text(world, pair.client, "abc");
    assert_status(test_op_wait(world, &op), STATUS_OK);
    assert_in_range(op.op.result, 1, 2);
    assert_memory_equal(second, "ab", op.op.result);
    assert_string_equal(first, "untouched");
    assert_false(io_recv_move(pair.peer, first, sizeof first));
    pair_close(&pair);
}

static void a_send_of_nothing_is_done(void **state) {
    struct io_world *world = world_of(state);
    struct pair pair;
    pair_open(world, &pair);
    send_text(world, pair.client, "");
    send_text(world, pair.client, "then");
    expect_text(world, pair.peer, "then");
    pair_close(&pair);
}

/* One direction of a transfer: numbered bytes, so that a lost, doubled or swapped piece is seen. */
struct flow {
    struct io_op op;
    struct io_socket *socket;
    uint8_t *data;
    size_t size, moved, step;
    struct slice slices[3];
    bool receiving, done;
};

static void flow_next(struct flow *flow) {
    size_t part = MIN(flow->step, flow->size - flow->moved);
    if (part == 0) {
        flow->done = true;
        return;
    }
    if (flow->receiving) {
        io_recv(flow->socket, &flow->op, flow->data + flow->moved, part);
        return;
    }
    flow->slices[0] = slice_make(flow->data + flow->moved, part / 3);
    flow->slices[1] = SLICE_EMPTY;
    flow->slices[2] = slice_make(flow->data + flow->moved + part / 3, part - part / 3);
    io_send(flow->socket, &flow->op, flow->slices, 3);
}

static void flow_done(struct io_op *op) {
    struct flow *flow = CONTAINER_OF(op, struct flow, op);
    assert_status(op->status, STATUS_OK);
    assert_int_not_equal(op->result, 0);
    flow->moved += op->result;
    flow_next(flow);
}

static void flow_start(struct flow *flow, struct io_socket *socket, size_t size, size_t step,
                       bool receiving) {
    *flow = (struct flow){.op = {.done = flow_done},
                          .socket = socket,
                          .data = mem_calloc(1, size),
                          .size = size,
                          .step = step,
                          .receiving = receiving};
    for (size_t i = 0; !receiving && i < size; i++)
        flow->data[i] = (uint8_t)((i * 2654435761U) >> 11);
    flow_next(flow);
}

static void big_transfers_both_ways_arrive_whole(void **state) {
    struct io_world *world = world_of(state);
    enum { SIZE = 5 * 1024 * 1024 + 3 };
    struct pair pair;
    struct flow flows[4];
    pair_open(world, &pair);
    flow_start(&flows[0], pair.client, SIZE, 1500000, false);
    flow_start(&flows[1], pair.peer, SIZE, 100000, true);
    flow_start(&flows[2], pair.peer, SIZE, 7000, false);
    flow_start(&flows[3], pair.client, SIZE, 1000000, true);
    for (unsigned i = 0; i < 4; i++)
        world_run_until(world, &flows[i].done);
    assert_memory_equal(flows[0].data, flows[1].data, SIZE);
    assert_memory_equal(flows[2].data, flows[3].data, SIZE);
    for (unsigned i = 0; i < 4; i++)
        mem_free(flows[i].data);
    pair_close(&pair);
}

static void a_send_waits_for_a_slow_receiver(void **state) {
    struct io_world *world = world_of(state);
    enum { SIZE = 32 * 1024 * 1024 }; /* more than the network stack buffers */
    struct pair pair;
    struct flow flow;
    uint8_t *data = mem_calloc(1, SIZE);
    struct slice bytes = slice_make(data, SIZE);
    struct test_op op;
    pair_open(world, &pair);
    test_op_init(&op);
    io_send(pair.client, &op.op, &bytes, 1);
    world_settle(world);
    assert_false(op.done);
    flow_start(&flow, pair.peer, SIZE, MIB, true);
    assert_status(test_op_wait(world, &op), STATUS_OK);
    world_run_until(world, &flow.done);
    mem_free(flow.data);
    mem_free(data);
    pair_close(&pair);
}

/* A file that is written and synced again and again. */
struct churn {
    struct io_op op;
    struct io_file *file;
    struct slice bytes;
    unsigned left;
    bool done;
};
static void churn_done(struct io_op *op) {
    struct churn *churn = CONTAINER_OF(op, struct churn, op);
    assert_status(op->status, STATUS_OK);
    churn->done = --churn->left == 0;
    if (!churn->done) io_write_sync(op->io, op, churn->file, &churn->bytes, 1, 0);
}

static void bytes_go_while_files_are_written(void **state) {
    struct io_world *world = world_of(state);
    struct pair pair;
    struct churn churn = {.op = {.done = churn_done}, .bytes = SLICE_LITERAL("bytes"), .left = 50};
    struct flow flows[2];
    pair_open(world, &pair);
    assert_status(
        io_file_open(world->io, world_path(world, "f"), IO_OPEN_WRITE | IO_OPEN_CREATE, &churn.file),
        STATUS_OK);
    io_write_sync(world->io, &churn.op, churn.file, &churn.bytes, 1, 0);
    flow_start(&flows[0], pair.client, 1000000, 20000, false);
    flow_start(&flows[1], pair.peer, 1000000, 5000, true);
    for (unsigned i = 0; i < 2; i++)
        world_run_until(world, &flows[i].done);
    world_run_until(world, &churn.done);
    assert_memory_equal(flows[0].data, flows[1].data, 1000000);
    /* And one by one, so that the loop sleeps in between. */
    for (unsigned i = 0; i < 20; i++) {
        churn.left = 3;
        churn.done = false;
        io_write_sync(world->io, &churn.op, churn.file, &churn.bytes, 1, 0);
        send_text(world, pair.client, "ping");
        expect_text(world, pair.peer, "ping");
        world_run_until(world, &churn.done);
    }
    for (unsigned i = 0; i < 2; i++)
        mem_free(flows[i].data);
    io_file_close(churn.file);
    pair_close(&pair);
}

/* ---- ends ------------------------------------------------------------------------------------------- */

static void after_shutdown_the_peer_sees_the_end_and_may_answer(void **state) {
    struct io_world *world = world_of(state);
    struct pair pair;
    uint64_t size;
    pair_open(world, &pair);
    send_text(world, pair.client, "last words");
    io_socket_shutdown(pair.client);
    expect_text(world, pair.peer, "last words");
    assert_status(recv_status(world, pair.peer, &size), STATUS_OK);
    assert_int_equal(size, 0);
    assert_status(recv_status(world, pair.peer, &size), STATUS_OK);
    assert_int_equal(size, 0);
    send_text(world, pair.peer, "heard");
    expect_text(world, pair.client, "heard");
    pair_close(&pair);
}

static void shutdown_lets_a_send_under_way_finish(void **state) {
    struct io_world *world = world_of(state);
    enum { SIZE = 8 * 1024 * 1024 };
    struct pair pair;
    struct flow receiver;
    uint8_t *data = mem_calloc(1, SIZE);
    struct slice bytes = slice_make(data, SIZE);
    struct test_op op;
    uint64_t size;
    pair_open(world, &pair);
    test_op_init(&op);
    io_send(pair.client, &op.op, &bytes, 1);
    io_socket_shutdown(pair.client);
    flow_start(&receiver, pair.peer, SIZE, MIB, true);
    assert_status(test_op_wait(world, &op), STATUS_OK);
    world_run_until(world, &receiver.done);
    assert_status(recv_status(world, pair.peer, &size), STATUS_OK);
    assert_int_equal(size, 0);
    mem_free(receiver.data);
    mem_free(data);
    pair_close(&pair);
}

/* The end came in together with the last bytes: no further edge announces it. */
static void an_end_right_behind_the_bytes_is_seen(void **state) {
    struct io_world *world = world_of(state);
    struct pair pair;
    uint64_t size;
    pair_open(world, &pair);
    send_text(world, pair.client, "short");
    io_socket_shutdown(pair.client);
    world_settle(world);
    expect_text(world, pair.peer, "short");
    world_settle(world);
    assert_status(recv_status(world, pair.peer, &size), STATUS_OK);
    assert_int_equal(size, 0);
    pair_close(&pair);
}

static void a_closed_peer_is_the_end(void **state) {
    struct io_world *world = world_of(state);
    struct pair pair;
    uint64_t size;
    pair_open(world, &pair);
    struct io_socket *client = pair.client;
    pair.client = NULL;
    io_socket_close(client);
    assert_status(recv_status(world, pair.peer, &size), STATUS_OK);
    assert_int_equal(size, 0);
    pair_close(&pair);
}

static void sending_to_a_closed_peer_fails_in_the_end(void **state) {
    struct io_world *world = world_of(state);
    struct pair pair;
    enum status status = STATUS_OK;
    pair_open(world, &pair);
    io_socket_close(pair.client);
    pair.client = NULL;
    for (unsigned i = 0; i < 1000 && status == STATUS_OK; i++) {
        struct slice bytes = SLICE_LITERAL("anybody there?");
        struct test_op op;
        test_op_init(&op);
        io_send(pair.peer, &op.op, &bytes, 1);
        status = test_op_wait(world, &op);
        io_turn(world->io, NS_PER_MS);
    }
    assert_status(status, STATUS_CLOSED);
    pair_close(&pair);
}

static void close_cancels_in_a_later_turn(void **state) {
    struct io_world *world = world_of(state);
    enum { SIZE = 32 * 1024 * 1024 };
    struct pair pair;
    uint8_t *data = mem_calloc(1, SIZE);
    struct slice bytes = slice_make(data, SIZE);
    struct test_op recv_op, send_op;
    char byte;
    pair_open(world, &pair);
    test_op_init(&recv_op);
    test_op_init(&send_op);
    io_recv(pair.client, &recv_op.op, &byte, 1);
    io_send(pair.client, &send_op.op, &bytes, 1);
    world_settle(world);
    io_socket_close(pair.client);
    pair.client = NULL;
    assert_false(recv_op.done);
    assert_false(send_op.done);
    assert_status(test_op_wait(world, &recv_op), STATUS_CANCELLED);
    assert_status(test_op_wait(world, &send_op), STATUS_CANCELLED);
    mem_free(data);
    pair_close(&pair);
}

static void close_before_submission_cancels_too(void **state) {
    struct io_world *world = world_of(state);
    struct pair pair;
    struct test_op op, connect;
    struct io_socket *socket;
    char byte;
    pair_open(world, &pair);
    test_op_init(&op);
    test_op_init(&connect);
    io_recv(pair.client, &op.op, &byte, 1);
    io_socket_close(pair.client);
    pair.client = NULL;
    io_connect(world->io, &connect.op, "localhost:1", &socket);
    io_turn(world->io, 0);
    io_socket_close(socket);
    assert_status(test_op_wait(world, &op), STATUS_CANCELLED);
    world_run_until(world, &connect.done);
    world_settle(world);
    pair_close(&pair);
}

/* done of one operation closes the socket whose other operation has completed, too. */
struct closer {
    struct io_op recv_op, send_op;
    struct io_socket *socket;
    unsigned calls;
    bool all_done;
};
static void closer_done(struct closer *closer) {
    io_socket_close(closer->socket);
    closer->socket = NULL;
    closer->all_done = ++closer->calls == 2;
}
static void closer_recv_done(struct io_op *op) {
    closer_done(CONTAINER_OF(op, struct closer, recv_op));
}
static void closer_send_done(struct io_op *op) {
    closer_done(CONTAINER_OF(op, struct closer, send_op));
}

static void a_socket_may_be_closed_from_done(void **state) {
    struct io_world *world = world_of(state);
    struct pair pair;
    char data[4];
    struct slice bytes = SLICE_LITERAL("bye");
    pair_open(world, &pair);
    send_text(world, pair.peer, "hi");
    world_settle(world);
    struct closer closer = {
        .recv_op = {.done = closer_recv_done}, .send_op = {.done = closer_send_done}, .socket = pair.client};
    io_recv(pair.client, &closer.recv_op, data, sizeof data);
    io_send(pair.client, &closer.send_op, &bytes, 1);
    pair.client = NULL;
    world_run_until(world, &closer.all_done);
    pair_close(&pair);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_ends_know_their_addresses),
        cmocka_unit_test(a_name_is_resolved),
        cmocka_unit_test(nobody_listening_refuses),
        cmocka_unit_test(bad_addresses_are_refused),
        cmocka_unit_test(an_address_in_use_is_locked),
        cmocka_unit_test(a_closed_address_can_be_taken_again),
        cmocka_unit_test(ipv6_loopback_works_where_the_host_has_it),
        cmocka_unit_test(a_paused_listener_accepts_later),
        cmocka_unit_test(a_listener_may_be_closed_while_it_accepts),
        cmocka_unit_test(many_connections_are_accepted),
        cmocka_unit_test(bytes_go_both_ways),
        cmocka_unit_test(a_receive_that_waits_gets_what_comes),
        cmocka_unit_test(a_waiting_receive_takes_other_memory),
        cmocka_unit_test(a_send_of_nothing_is_done),
        cmocka_unit_test(big_transfers_both_ways_arrive_whole),
        cmocka_unit_test(a_send_waits_for_a_slow_receiver),
        cmocka_unit_test(bytes_go_while_files_are_written),
        cmocka_unit_test(after_shutdown_the_peer_sees_the_end_and_may_answer),
        cmocka_unit_test(shutdown_lets_a_send_under_way_finish),
        cmocka_unit_test(an_end_right_behind_the_bytes_is_seen),
        cmocka_unit_test(a_closed_peer_is_the_end),
        cmocka_unit_test(sending_to_a_closed_peer_fails_in_the_end),
        cmocka_unit_test(close_cancels_in_a_later_turn),
        cmocka_unit_test(close_before_submission_cancels_too),
        cmocka_unit_test(a_socket_may_be_closed_from_done),
    };
    return io_contract_run("sockets", tests, ARRAY_COUNT(tests));
}
