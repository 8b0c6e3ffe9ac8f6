// SPDX-License-Identifier: Apache-2.0
#include "io/io_posix.h"

#include "base/assert.h"
#include "base/mem.h"
#include "io/io_file.h"
#include "io/io_net.h"
#include "io/io_real.h"

struct io_posix {
    struct io_real real;
    struct io_pool files;
};

/* A pool thread may not touch the loop's lists: what became of the operation is handed over in it. */
static void file_run(struct list *item) {
    struct io_op *op = CONTAINER_OF(item, struct io_op, link);
    int os_error;
    enum status status = io_file_execute(op, &os_error);
    op->os_error = os_error;
    op->request.awaited = (uint8_t)status;
}
STATIC_ASSERT(STATUS_COUNT <= UINT8_MAX, "a status fits the byte it is handed over in");

static void posix_submit(struct io_posix *posix) {
    struct list files, *node;
    list_init(&files);
    while ((node = list_pop_front(&posix->real.base.queued)) != NULL) {
        struct io_op *op = CONTAINER_OF(node, struct io_op, link);
        if (op->request.kind < IO_OP_CONNECT)
            list_push_back(&files, node);
        else
            io_net_submit(op);
    }
    if (list_empty(&files)) return;
    posix->real.base.stats.submissions++;
    io_pool_put(&posix->files, &files);
}

static void posix_take(struct io_posix *posix) {
    struct list finished, *node;
    list_init(&finished);
    io_pool_take(&posix->files, &finished);
    while ((node = list_pop_front(&finished)) != NULL) {
        struct io_op *op = CONTAINER_OF(node, struct io_op, link);
        io_op_complete(op, (enum status)op->request.awaited, op->os_error);
    }
    io_real_take_finished(&posix->real);
}

static void posix_turn(struct io *io, uint64_t max_wait_ns) {
    struct io_posix *posix = (struct io_posix *)io;
    posix_submit(posix);
    io_real_wait(&posix->real, io_wait_ns(io, io_real_clock_ns(io), max_wait_ns));
    posix_take(posix);
    io_run_phases(io);
    posix_submit(posix);
}

static void posix_release(struct io *io) {
    struct io_posix *posix = (struct io_posix *)io;
    io_pool_release(&posix->files);
    io_real_release(&posix->real);
    mem_free(posix);
}

static const struct io_backend posix_backend = {
    .name = "posix",
    .release = posix_release,
    .turn = posix_turn,
    .clock_ns = io_real_clock_ns,
    .wall_ms = io_real_wall_ms,
    .random = io_real_random,
    .job_start = io_real_job_start,
    .on_signal = io_real_on_signal,
    .files = &io_real_file_calls,
    .net = &io_real_net_calls,
};

enum status io_posix_new(const struct io_options *options, struct io **io, struct diagnostic *diagnostic) {
    struct io_posix *posix = mem_calloc(1, sizeof *posix);
    enum status status = io_real_init(&posix->real, options, &posix_backend, diagnostic);
    if (status != STATUS_OK) {
        mem_free(posix);
        return status;
    }
    posix->real.files = &posix->files;
    io_pool_init(&posix->files, IO_POSIX_FILE_THREADS, &posix->real.wake, file_run);
    *io = &posix->real.base;
    return STATUS_OK;
}
