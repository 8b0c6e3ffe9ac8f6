// SPDX-License-Identifier: Apache-2.0
#include "io/io.h"

#include <errno.h>

#include "base/assert.h"
#include "io/io_backend.h"
#include "io/io_posix.h"
#include "io/io_uring.h"

static _Thread_local int last_os_error;

/* ---- life ------------------------------------------------------------------------------------------- */

enum status io_new(const struct io_options *options, struct io **io, struct diagnostic *diagnostic) {
    ASSERT(options != NULL && io != NULL);
    if (options->backend == IO_BACKEND_POSIX) return io_posix_new(options, io, diagnostic);
    struct diagnostic why = {""};
    enum status status = io_uring_backend_new(options, io, &why);
    if (status == STATUS_OK || options->backend == IO_BACKEND_URING)
        return status == STATUS_OK ? status : diagnose(diagnostic, status, "%s", why.text);
    log_info(options->log, "io_uring cannot be used here, falling back backend=posix reason=\"%s\"",
             why.text);
    return io_posix_new(options, io, diagnostic);
}

void io_free(struct io *io) {
    if (io == NULL) return;
    io->backend->release(io);
}

void io_init(struct io *io, const struct io_backend *backend, struct log *log) {
    io->backend = backend;
    io->log = log;
    list_init(&io->queued);
    list_init(&io->completed);
    list_init(&io->finished_jobs);
    list_init(&io->deferred);
    list_init(&io->deferred_last);
    io_timer_heap_init(&io->timers);
    io->operation_sequence = 0;
    io->operation_count = io->job_count = 0;
    atomic_init(&io->handle_count, 0);
    io->in_turn = io->firing = io->stopping = io->dead = false;
    io->stats = (struct io_stats){0};
    atomic_init(&io->blocking.reads, 0);
    atomic_init(&io->blocking.writes, 0);
    atomic_init(&io->blocking.syncs, 0);
    atomic_init(&io->blocking.read_bytes, 0);
    atomic_init(&io->blocking.write_bytes, 0);
    io->now_ns = backend->clock_ns(io);
    io->wall_ms = backend->wall_ms(io);
}

void io_release(struct io *io) {
    ASSERT_EQ(io->operation_count, 0U);
    ASSERT_EQ(io->job_count, 0U);
    ASSERT_EQ(atomic_load(&io->handle_count), 0U);
    io_timer_heap_release(&io->timers);
}

const char *io_backend_name(const struct io *io) {
    return io->backend->name;
}

/* ---- turns ------------------------------------------------------------------------------------------ */

void io_turn(struct io *io, uint64_t max_wait_ns) {
    ASSERT(!io->in_turn);
    io->backend->turn(io, max_wait_ns);
}

void io_run(struct io *io) {
    while (!io->stopping)
        io_turn(io, UINT64_MAX);
    io->stopping = false;
}

void io_stop(struct io *io) {
    io->stopping = true;
    if (io->backend->wake != NULL) io->backend->wake(io);
}

static void io_fire_timers(struct io *io) {
    io->firing = true;
    for (;;) {
        struct io_timer *timer = io_timer_heap_first(&io->timers);
        if (timer == NULL || timer->deadline_ns > io->now_ns) break;
        io_timer_heap_remove(&io->timers, timer);
        timer->fire(timer);
    }
    io->firing = false;
}

static void io_call_done(struct io *io, struct io_op *op) {
    ASSERT_LT(0U, io->operation_count);
    io->operation_count--;
    op->done(op);
}

/* What completes during this phase (an operation cancelled by a close) waits for the next turn. */
static void io_deliver(struct io *io) {
    struct list batch, jobs, *node;
    list_init(&batch);
    list_init(&jobs);
    list_append(&batch, &io->completed);
    list_append(&jobs, &io->finished_jobs);
    while ((node = list_pop_front(&batch)) != NULL)
        io_call_done(io, CONTAINER_OF(node, struct io_op, link));
    while ((node = list_pop_front(&jobs)) != NULL) {
        struct io_job *job = CONTAINER_OF(node, struct io_job, link);
        ASSERT_LT(0U, io->job_count);
        io->job_count--;
        job->done(job);
    }
}

void io_run_phases(struct io *io) {
    ASSERT(!io->in_turn);
    io->in_turn = true;
    io->stats.turns++;
    io->now_ns = io->backend->clock_ns(io);
    io->wall_ms = io->backend->wall_ms(io);
    io_fire_timers(io);
    io_deliver(io);
    struct list *node;
    while ((node = list_pop_front(&io->deferred)) != NULL ||
           (node = list_pop_front(&io->deferred_last)) != NULL)
        io_call_done(io, CONTAINER_OF(node, struct io_op, link));
    io->in_turn = false;
}

uint64_t io_wait_ns(const struct io *io, uint64_t now_ns, uint64_t max_wait_ns) {
    if (!list_empty(&io->completed) || !list_empty(&io->finished_jobs) || !list_empty(&io->deferred) ||
        !list_empty(&io->deferred_last))
        return 0;
    const struct io_timer *timer = io_timer_heap_first(&io->timers);
    if (timer == NULL) return max_wait_ns;
    uint64_t wait_ns = timer->deadline_ns > now_ns ? timer->deadline_ns - now_ns : 0;
    return wait_ns < max_wait_ns ? wait_ns : max_wait_ns;
}

/* ---- operations ------------------------------------------------------------------------------------- */

static void io_wake(struct io *io) {
    if (io->backend->wake != NULL && !io->in_turn) io->backend->wake(io);
}

void io_op_begin(struct io *io, struct io_op *op, enum io_op_kind kind, void *target) {
    ASSERT(op->done != NULL);
    op->status = STATUS_PENDING;
    op->os_error = 0;
    op->result = 0;
    op->io = io;
    op->target = target;
    op->request.kind = (uint8_t)kind;
    op->id = ++io->operation_sequence;
    list_init(&op->link);
    io->operation_count++;
}

/* Begins it and appends it to io->queued. */
static void start(struct io *io, struct io_op *op, enum io_op_kind kind, void *target) {
    io_op_begin(io, op, kind, target);
    if (io->dead) return;
    list_push_back(&io->queued, &op->link);
    io_wake(io);
}

void io_op_complete(struct io_op *op, enum status status, int os_error) {
    ASSERT(status != STATUS_PENDING);
    ASSERT(op->status == STATUS_PENDING);
    op->status = status;
    op->os_error = os_error;
    list_remove(&op->link);
    if (!op->io->dead) list_push_back(&op->io->completed, &op->link);
    switch ((enum io_op_kind)op->request.kind) {
    case IO_OP_READ:
    case IO_OP_WRITE:
    case IO_OP_SYNC:
        ((struct io_file *)op->target)->operation_count--;
        break;
    case IO_OP_RECV:
        ((struct io_socket *)op->target)->recv_op = NULL;
        break;
    case IO_OP_CONNECT:
    case IO_OP_SEND:
        ((struct io_socket *)op->target)->send_op = NULL;
        break;
    case IO_OP_INTERNAL:
    case IO_OP_DEFERRED:
        break;
    }
    io_wake(op->io);
}

void io_op_forget(struct io_op *op) {
    ASSERT_LT(0U, op->io->operation_count);
    op->io->operation_count--;
    list_remove(&op->link);
}

bool io_op_advance(struct io_op *op, size_t count) {
    op->result += count;
    op->request.offset += count;
    while (op->request.slice_index < op->request.slice_count) {
        size_t left = op->request.slices[op->request.slice_index].size - op->request.slice_skip;
        if (count < left) {
            op->request.slice_skip += count;
            return false;
        }
        count -= left;
        op->request.slice_index++;
        op->request.slice_skip = 0;
    }
    ASSERT_EQ(count, (size_t)0);
    return true;
}

uint32_t io_op_rest(const struct io_op *op, struct slice *rest, uint32_t max) {
    uint32_t count = 0;
    for (uint32_t i = op->request.slice_index; i < op->request.slice_count && count < max; i++) {
        struct slice slice = op->request.slices[i];
        size_t skip = i == op->request.slice_index ? op->request.slice_skip : 0;
        if (slice.size != skip) rest[count++] = slice_make(slice.data + skip, slice.size - skip);
    }
    return count;
}

static void defer(struct io *io, struct io_op *op, struct list *deferred) {
    io_op_begin(io, op, IO_OP_DEFERRED, NULL);
    op->status = STATUS_OK;
    if (io->dead) return;
    list_push_back(deferred, &op->link);
    io_wake(io);
}

void io_defer(struct io *io, struct io_op *op) {
    defer(io, op, &io->deferred);
}

void io_defer_last(struct io *io, struct io_op *op) {
    defer(io, op, &io->deferred_last);
}

void io_defer_cancel(struct io_op *op) {
    if (list_empty(&op->link)) return;
    ASSERT(op->request.kind == IO_OP_DEFERRED);
    io_op_forget(op);
}

/* ---- clocks, timers, jobs --------------------------------------------------------------------------- */

uint64_t io_now_ns(struct io *io) {
    return io->now_ns;
}

uint64_t io_clock_ns(struct io *io) {
    return io->backend->clock_ns(io);
}

int64_t io_wall_ms(struct io *io) {
    return io->wall_ms;
}

void io_random(struct io *io, void *data, size_t size) {
    io->backend->random(io, data, size);
}

void io_timer_init(struct io_timer *timer, void (*fire)(struct io_timer *timer)) {
    *timer = (struct io_timer){.fire = fire};
}

void io_timer_set(struct io *io, struct io_timer *timer, uint64_t deadline_ns) {
    ASSERT(timer->fire != NULL);
    if (io->dead) return;
    /* A timer that re-arms itself for a time already past waits for the next turn, or this phase would not
     * end. */
    if (io->firing && deadline_ns <= io->now_ns) deadline_ns = io->now_ns + 1;
    io_timer_heap_put(&io->timers, timer, deadline_ns);
    ASSERT_SLOW((io_timer_heap_check(&io->timers), true));
    io_wake(io);
}

void io_timer_cancel(struct io *io, struct io_timer *timer) {
    if (timer->heap_index != 0) io_timer_heap_remove(&io->timers, timer);
}

void io_job_start(struct io *io, struct io_job *job) {
    ASSERT(job->run != NULL && job->done != NULL);
    job->io = io;
    list_init(&job->link);
    io->job_count++;
    io->stats.jobs++;
    io->backend->job_start(io, job);
}

/* ---- files: operations ------------------------------------------------------------------------------ */

static void io_file_op_start(struct io *io, struct io_op *op, enum io_op_kind kind, struct io_file *file) {
    ASSERT(file != NULL && file->io == io);
    file->operation_count++;
    start(io, op, kind, file);
}

void io_read(struct io *io, struct io_op *op, struct io_file *file, void *data, size_t size,
             uint64_t offset) {
    op->request.data = data;
    op->request.size = size;
    op->request.offset = offset;
    op->request.slices = NULL;
    op->request.slice_count = op->request.slice_index = 0;
    op->request.sync_after = false;
    io->stats.file_reads++;
    io->stats.file_read_bytes += size;
    io_file_op_start(io, op, IO_OP_READ, file);
}

static void io_op_set_slices(struct io_op *op, const struct slice *slices, uint32_t count) {
    ASSERT(count == 0 || slices != NULL);
    op->request.slices = slices;
    op->request.slice_count = count;
    op->request.slice_index = 0;
    op->request.slice_skip = 0;
    op->request.sync_after = false;
    op->request.data = NULL;
    op->request.size = 0;
    for (uint32_t i = 0; i < count; i++)
        op->request.size += slices[i].size;
}

void io_write(struct io *io, struct io_op *op, struct io_file *file, const struct slice *slices,
              uint32_t count, uint64_t offset) {
    io_op_set_slices(op, slices, count);
    op->request.offset = offset;
    io->stats.file_writes++;
    io->stats.file_write_bytes += op->request.size;
    io_file_op_start(io, op, IO_OP_WRITE, file);
}

void io_write_sync(struct io *io, struct io_op *op, struct io_file *file, const struct slice *slices,
                   uint32_t count, uint64_t offset) {
    io_write(io, op, file, slices, count, offset);
    op->request.sync_after = true;
    io->stats.file_syncs++;
}

void io_sync(struct io *io, struct io_op *op, struct io_file *file) {
    io_op_set_slices(op, NULL, 0);
    op->request.offset = 0;
    io->stats.file_syncs++;
    io_file_op_start(io, op, IO_OP_SYNC, file);
}

/* ---- files: blocking calls -------------------------------------------------------------------------- */

static void count(_Atomic uint64_t *counter, uint64_t by) {
    atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

enum status io_file_open(struct io *io, const char *path, unsigned flags, struct io_file **file) {
    ASSERT((flags & (IO_OPEN_READ | IO_OPEN_WRITE)) != 0);
    ASSERT_IMPLIES((flags & (IO_OPEN_CREATE | IO_OPEN_TRUNCATE)) != 0, (flags & IO_OPEN_WRITE) != 0);
    ASSERT_IMPLIES((flags & IO_OPEN_EXCLUSIVE) != 0, (flags & IO_OPEN_CREATE) != 0);
    enum status status = io->backend->files->open(io, path, flags, file);
    if (status == STATUS_OK) atomic_fetch_add(&io->handle_count, 1);
    return status;
}

void io_file_close(struct io_file *file) {
    if (file == NULL) return;
    ASSERT(file->operation_count == 0 || file->io->dead);
    atomic_fetch_sub(&file->io->handle_count, 1);
    file->io->backend->files->close(file);
}

enum status io_file_size(struct io_file *file, uint64_t *size) {
    return file->io->backend->files->size(file, size);
}

enum status io_file_read_at(struct io_file *file, void *data, size_t size, uint64_t offset, size_t *read) {
    count(&file->io->blocking.reads, 1);
    enum status status = file->io->backend->files->read_at(file, data, size, offset, read);
    if (status == STATUS_OK) count(&file->io->blocking.read_bytes, *read);
    return status;
}

bool io_file_read_now(struct io_file *file, void *data, size_t size, uint64_t offset) {
    if (!file->io->backend->files->read_now(file, data, size, offset)) return false;
    file->io->stats.file_reads++;
    file->io->stats.file_read_bytes += size;
    return true;
}

enum status io_file_write_at(struct io_file *file, struct slice bytes, uint64_t offset) {
    count(&file->io->blocking.writes, 1);
    count(&file->io->blocking.write_bytes, bytes.size);
    return file->io->backend->files->write_at(file, bytes, offset);
}

enum status io_file_sync(struct io_file *file) {
    count(&file->io->blocking.syncs, 1);
    return file->io->backend->files->sync(file);
}

enum status io_file_truncate(struct io_file *file, uint64_t size) {
    return file->io->backend->files->truncate(file, size);
}

enum status io_file_preallocate(struct io_file *file, uint64_t size) {
    uint64_t before;
    if (io_file_size(file, &before) == STATUS_OK && before < size)
        count(&file->io->blocking.write_bytes, size - before);
    return file->io->backend->files->preallocate(file, size);
}

enum status io_file_name_count(struct io_file *file, uint64_t *names) {
    return file->io->backend->files->name_count(file, names);
}

enum status io_file_reserve(struct io_file *file, uint64_t size) {
    return file->io->backend->files->reserve(file, size);
}

void io_file_write_behind(struct io_file *file, uint64_t offset, uint64_t size) {
    file->io->backend->files->write_behind(file, offset, size);
}

void io_file_will_need(struct io_file *file, uint64_t offset, uint64_t size) {
    file->io->backend->files->will_need(file, offset, size);
}

void io_file_drop_cache(struct io_file *file, uint64_t offset, uint64_t size) {
    file->io->backend->files->drop_cache(file, offset, size);
}

enum status io_rename(struct io *io, const char *from, const char *to) {
    return io->backend->files->rename(io, from, to);
}

enum status io_link(struct io *io, const char *from, const char *to) {
    return io->backend->files->link(io, from, to);
}

enum status io_unlink(struct io *io, const char *path) {
    return io->backend->files->unlink(io, path);
}

enum status io_mkdir(struct io *io, const char *path) {
    return io->backend->files->mkdir(io, path);
}

enum status io_sync_dir(struct io *io, const char *path) {
    count(&io->blocking.syncs, 1);
    return io->backend->files->sync_dir(io, path);
}

enum status io_list_dir(struct io *io, const char *path,
                        void (*entry)(void *ctx, const char *name, bool is_dir), void *ctx) {
    return io->backend->files->list_dir(io, path, entry, ctx);
}

enum status io_lock_file(struct io *io, const char *path, struct io_file **lock) {
    enum status status = io->backend->files->lock_file(io, path, lock);
    if (status == STATUS_OK) atomic_fetch_add(&io->handle_count, 1);
    return status;
}

enum status io_disk_space(struct io *io, const char *path, uint64_t *free_bytes, uint64_t *total_bytes) {
    return io->backend->files->disk_space(io, path, free_bytes, total_bytes);
}

int io_last_os_error(void) {
    return last_os_error;
}

void io_set_last_os_error(int os_error) {
    last_os_error = os_error;
}

/* ---- sockets ---------------------------------------------------------------------------------------- */

enum status io_listen(struct io *io, const char *address,
                      void (*accepted)(void *ctx, struct io_socket *socket, const struct io_address *peer),
                      void *ctx, struct io_listener **listener, struct diagnostic *diagnostic) {
    ASSERT(accepted != NULL);
    enum status status = io->backend->net->listen(io, address, accepted, ctx, listener, diagnostic);
    if (status == STATUS_OK) atomic_fetch_add(&io->handle_count, 1);
    return status;
}

struct io_address io_listener_address(const struct io_listener *listener) {
    return listener->io->backend->net->listener_address(listener);
}

void io_listener_pause(struct io_listener *listener, bool paused) {
    listener->io->backend->net->listener_pause(listener, paused);
}

void io_listener_close(struct io_listener *listener) {
    if (listener == NULL) return;
    atomic_fetch_sub(&listener->io->handle_count, 1);
    listener->io->backend->net->listener_close(listener);
}

void io_connect(struct io *io, struct io_op *op, const char *address, struct io_socket **socket) {
    io_op_set_slices(op, NULL, 0);
    *socket = io->backend->net->connect(io, op, address);
    (*socket)->send_op = op;
    atomic_fetch_add(&io->handle_count, 1);
    start(io, op, IO_OP_CONNECT, *socket);
}

void io_recv(struct io_socket *socket, struct io_op *op, void *data, size_t size) {
    ASSERT(socket->recv_op == NULL);
    ASSERT_LT((size_t)0, size);
    op->request.data = data;
    op->request.size = size;
    socket->recv_op = op;
    socket->io->stats.socket_recvs++;
    start(socket->io, op, IO_OP_RECV, socket);
}

bool io_recv_move(struct io_socket *socket, void *data, size_t size) {
    ASSERT_LT((size_t)0, size);
    struct io_op *op = socket->recv_op; /* every backend tries it from this thread, when bytes are there */
    if (op == NULL) return false;
    op->request.data = data;
    op->request.size = size;
    return true;
}

void io_send(struct io_socket *socket, struct io_op *op, const struct slice *slices, uint32_t slice_count) {
    ASSERT(socket->send_op == NULL);
    io_op_set_slices(op, slices, slice_count);
    op->request.offset = 0;
    socket->send_op = op;
    socket->io->stats.socket_sends++;
    socket->io->stats.socket_send_bytes += op->request.size;
    start(socket->io, op, IO_OP_SEND, socket);
}

void io_socket_shutdown(struct io_socket *socket) {
    socket->io->backend->net->shutdown(socket);
}

struct io_address io_socket_local(const struct io_socket *socket) {
    return socket->io->backend->net->local(socket);
}

void io_socket_close(struct io_socket *socket) {
    if (socket == NULL) return;
    if (socket->recv_op != NULL) io_op_complete(socket->recv_op, STATUS_CANCELLED, ECANCELED);
    if (socket->send_op != NULL) io_op_complete(socket->send_op, STATUS_CANCELLED, ECANCELED);
    atomic_fetch_sub(&socket->io->handle_count, 1);
    socket->io->backend->net->close(socket);
}

/* ---- the process ------------------------------------------------------------------------------------ */

void io_on_signal(struct io *io, int signal_number, void (*handler)(void *ctx, int signal_number),
                  void *ctx) {
    io->backend->on_signal(io, signal_number, handler, ctx);
}

struct io_stats io_stats(const struct io *io) {
    struct io_stats sum = io->stats;
    sum.file_reads += atomic_load_explicit(&io->blocking.reads, memory_order_relaxed);
    sum.file_writes += atomic_load_explicit(&io->blocking.writes, memory_order_relaxed);
    sum.file_syncs += atomic_load_explicit(&io->blocking.syncs, memory_order_relaxed);
    sum.file_read_bytes += atomic_load_explicit(&io->blocking.read_bytes, memory_order_relaxed);
    sum.file_write_bytes += atomic_load_explicit(&io->blocking.write_bytes, memory_order_relaxed);
    return sum;
}
