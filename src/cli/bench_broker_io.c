// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_broker_io.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "cli/bench_broker_load.h"
#include "cli/commands.h"

#define ANSWER_SECONDS 10

_Noreturn void bench_fail(const char *what, const char *why) {
    exit(command_failed("bench", "%s: %s", what, why));
}

struct io *bench_io_new(void) {
    struct io *io;
    struct diagnostic why = {{0}};
    struct io_options options = {.backend = IO_BACKEND_AUTO};
    if (io_new(&options, &io, &why) != STATUS_OK) bench_fail("io", why.text);
    return io;
}

struct waiting_op {
    struct io_op op;
    bool done;
};

static void op_done(struct io_op *op) {
    CONTAINER_OF(op, struct waiting_op, op)->done = true;
}

static void wait_for(struct io *io, struct waiting_op *waiting, const char *what) {
    uint64_t began_ns = io_clock_ns(io);
    while (!waiting->done) {
        io_turn(io, NS_PER_S);
        if (io_clock_ns(io) - began_ns > ANSWER_SECONDS * NS_PER_S) bench_fail(what, "no answer");
    }
    if (waiting->op.status != STATUS_OK) bench_fail(what, status_text(waiting->op.status));
}

struct io_socket *bench_connect(struct io *io, const char *address) {
    struct io_socket *socket;
    struct waiting_op waiting = {.op.done = op_done};
    io_connect(io, &waiting.op, address, &socket);
    wait_for(io, &waiting, "connecting");
    return socket;
}

double broker_load_metric(const char *address, const char *name) {
    struct io *io = bench_io_new();
    struct io_socket *socket = bench_connect(io, address);
    struct slice request = SLICE_LITERAL("GET /metrics HTTP/1.1\r\nHost: bench\r\nConnection: close\r\n\r\n");
    struct waiting_op waiting = {.op.done = op_done};
    io_send(socket, &waiting.op, &request, 1);
    wait_for(io, &waiting, "asking for metrics");
    struct writer answer;
    writer_init(&answer);
    do {
        uint8_t bytes[4096];
        waiting = (struct waiting_op){.op.done = op_done};
        io_recv(socket, &waiting.op, bytes, sizeof bytes);
        wait_for(io, &waiting, "reading metrics");
        writer_bytes(&answer, slice_make(bytes, waiting.op.result));
    } while (waiting.op.result != 0);
    writer_u8(&answer, 0);
    char wanted[96];
    snprintf(wanted, sizeof wanted, "\nsentinel_%s ", name);
    const char *found = strstr((const char *)answer.data, wanted);
    if (found == NULL) bench_fail(name, "there is no such metric");
    double value = strtod(found + strlen(wanted), NULL);
    writer_release(&answer);
    io_socket_close(socket);
    io_free(io);
    return value;
}
