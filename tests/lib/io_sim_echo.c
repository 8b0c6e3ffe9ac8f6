// SPDX-License-Identifier: Apache-2.0
#include "lib/io_sim_echo.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/list.h"
#include "base/mem.h"
#include "base/units.h"

struct echo_connection {
    struct list link;
    struct echo *echo;
    struct io_socket *socket;
    struct io_op recv_op, write_op, send_op; /* one after the other */
    struct slice bytes;
    uint8_t data[100];
};

static void connection_free(struct echo_connection *connection) {
    io_socket_close(connection->socket);
    list_remove(&connection->link);
    mem_free(connection);
}

static void connection_received(struct io_op *op) {
    struct echo_connection *connection = CONTAINER_OF(op, struct echo_connection, recv_op);
    struct echo *echo = connection->echo;
    if (op->status != STATUS_OK || op->result == 0) {
        connection_free(connection);
        return;
    }
    connection->bytes = slice_make(connection->data, op->result);
    io_write_sync(echo->io, &connection->write_op, echo->file, &connection->bytes, 1, echo->offset);
    echo->offset += op->result;
}

static void connection_written(struct io_op *op) {
    struct echo_connection *connection = CONTAINER_OF(op, struct echo_connection, write_op);
    if (op->status == STATUS_OK)
        io_send(connection->socket, &connection->send_op, &connection->bytes, 1);
    else
        connection_free(connection);
}

static void connection_sent(struct io_op *op) {
    struct echo_connection *connection = CONTAINER_OF(op, struct echo_connection, send_op);
    if (op->status == STATUS_OK)
        io_recv(connection->socket, &connection->recv_op, connection->data, sizeof connection->data);
    else
        connection_free(connection);
}

static void echo_accepted(void *ctx, struct io_socket *socket, const struct io_address *peer) {
    struct echo *echo = ctx;
    struct echo_connection *connection = mem_calloc(1, sizeof *connection);
    assert_int_not_equal(peer->text[0], 0);
    connection->echo = echo;
    connection->socket = socket;
    connection->recv_op.done = connection_received;
    connection->write_op.done = connection_written;
    connection->send_op.done = connection_sent;
    list_push_back(&echo->connections, &connection->link);
    io_recv(socket, &connection->recv_op, connection->data, sizeof connection->data);
}

static void echo_job_run(struct io_job *job) {
    struct echo *echo = CONTAINER_OF(job, struct echo, job);
    struct io_file *file;
    if (io_file_open(echo->io, "job", IO_OPEN_WRITE | IO_OPEN_CREATE, &file) != STATUS_OK) return;
    enum status status = io_file_write_at(file, SLICE_LITERAL("job"), 0);
    if (status == STATUS_OK) status = io_file_sync(file);
    io_file_close(file);
    assert_true(status == STATUS_OK || status == STATUS_IO);
}

static void echo_job_done(struct io_job *job) {
    (void)job;
}

struct echo *echo_start(struct io_sim *sim, uint32_t node) {
    struct echo *echo = mem_calloc(1, sizeof *echo);
    struct diagnostic diagnostic;
    char address[32];
    echo->io = io_sim_node_io(sim, node);
    list_init(&echo->connections);
    echo->job = (struct io_job){.run = echo_job_run, .done = echo_job_done};
    snprintf(address, sizeof address, "node%u:7", node);
    enum status status = io_file_open(echo->io, "echo", IO_OPEN_WRITE | IO_OPEN_CREATE, &echo->file);
    if (status != STATUS_OK) {
        assert_true(io_sim_crash_due(sim, node)); /* the disk was to stop at once */
        echo->file = NULL;
        return echo;
    }
    assert_status(io_listen(echo->io, address, echo_accepted, echo, &echo->listener, &diagnostic), STATUS_OK);
    io_job_start(echo->io, &echo->job);
    return echo;
}

void echo_free(struct echo *echo) {
    struct io *io = echo->io;
    io_listener_close(echo->listener);
    LIST_FOREACH(it, &echo->connections)
        connection_free(CONTAINER_OF(it, struct echo_connection, link));
    io_file_close(echo->file);
    mem_free(echo);
    io_free(io);
}

static void client_connect(struct echo_client *client) {
    io_connect(client->io, &client->connect_op, client->address, &client->socket);
}

static void client_fail(struct echo_client *client, enum status status) {
    client->status = status;
    client->failures++;
    io_socket_close(client->socket);
    client->socket = NULL;
    io_timer_set(client->io, &client->timer, io_now_ns(client->io) + 50 * NS_PER_MS);
}

static void client_timer(struct io_timer *timer) {
    client_connect(CONTAINER_OF(timer, struct echo_client, timer));
}

static void client_round(struct echo_client *client) {
    if (client->rounds == 0) {
        client->finished = true;
        io_stop(client->io);
        return;
    }
    client->rounds--;
    client->received = 0;
    io_random(client->io, client->out, sizeof client->out);
    client->bytes = slice_make(client->out, sizeof client->out);
    client->sending = true;
    io_send(client->socket, &client->send_op, &client->bytes, 1);
    io_recv(client->socket, &client->recv_op, client->in, sizeof client->in);
}

static void client_connected(struct io_op *op) {
    struct echo_client *client = CONTAINER_OF(op, struct echo_client, connect_op);
    if (op->status == STATUS_OK)
        client_round(client);
    else if (op->status != STATUS_CANCELLED)
        client_fail(client, op->status);
}

static void client_sent(struct io_op *op) {
    CONTAINER_OF(op, struct echo_client, send_op)->sending = false;
    MAYBE(op->status != STATUS_OK); /* the receive says so, too */
}

static void client_received(struct io_op *op) {
    struct echo_client *client = CONTAINER_OF(op, struct echo_client, recv_op);
    if (op->status == STATUS_CANCELLED) return;
    if (op->status != STATUS_OK || op->result == 0) {
        client_fail(client, op->status);
        return;
    }
    client->received += op->result;
    if (client->received < sizeof client->in) {
        io_recv(client->socket, &client->recv_op, client->in + client->received,
                sizeof client->in - client->received);
        return;
    }
    assert_memory_equal(client->in, client->out, sizeof client->in);
    client_round(client);
}

struct echo_client *echo_client_start(struct io_sim *sim, uint32_t node, const char *address,
                                      unsigned rounds) {
    struct echo_client *client = mem_calloc(1, sizeof *client);
    client->io = io_sim_node_io(sim, node);
    client->address = address;
    client->rounds = rounds;
    client->connect_op.done = client_connected;
    client->send_op.done = client_sent;
    client->recv_op.done = client_received;
    io_timer_init(&client->timer, client_timer);
    client_connect(client);
    return client;
}

void echo_client_free(struct echo_client *client) {
    struct io *io = client->io;
    io_socket_close(client->socket);
    mem_free(client);
    io_free(io);
}
