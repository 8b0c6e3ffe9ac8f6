// SPDX-License-Identifier: Apache-2.0
/* io.h: the only door to the outside: files, sockets, timers, clocks, randomness, jobs.
 *
 * Everything above this header is deterministic: what it does depends only on the completions it gets here.
 * One `struct io` is the event loop of one shard. An operation in flight is a `struct io_op` (or timer, or
 * job) embedded in its owner, so the number of owners bounds the number of operations.
 *
 *      start(op) ──> queued ──> backend ──> op->done(op), on the loop, in a later phase or turn
 *
 * One turn of the loop: (1) submission of what was started since the last turn, and the wait, if nothing can
 * be done at once; (2) timers that are due, by deadline then by start order; (3) completions, in the order
 * the backend reports them; (4) deferred operations, repeated until none is left, and then those that were
 * deferred to be last, each followed by what it deferred; (5) submission of what these started. So io_turn
 * returns when something has been done or the time is over. `done` is never called from inside the call that
 * started the operation.
 *
 * Backends: `uring` (file operations through io_uring, one enter a turn; sockets through epoll, which was
 * measured faster here than single-shot io_uring), `posix` (epoll and a few file threads, for places that
 * forbid io_uring; chosen by itself when uring cannot be set up), `sim` (io_sim.h: simulated disk, network
 * and clock). One contract test runs against all three: tests/conformance.
 *
 * Owner   memory given to a start call (op, buffers, slice arrays) is the caller's and must stay untouched
 *         until done. Handles (file, listener, socket) belong to the caller until their close call.
 * Units   times in ns of the monotonic clock unless the name says ms of the wall clock; sizes in bytes.
 * Errors  as statuses: IO, NO_SPACE, NOT_FOUND, EXISTS, DENIED, LOCKED (also: address in use), CLOSED (peer
 *         went away), UNAVAILABLE (connection refused, no route), CANCELLED, BUSY (out of descriptors),
 *         TIMEOUT, INVALID; the errno behind each in op->os_error. An fsync that failed is never retried by
 *         this layer.
 * Loop    shard thread only (the one that called io_new), but for the calls marked «any thread». */
#ifndef SENTINEL_IO_IO_H
#define SENTINEL_IO_IO_H

#include "base/list.h"
#include "base/log.h"
#include "base/slice.h"
#include "base/status.h"

struct io;
struct io_backend;
struct io_file;
struct io_listener;
struct io_socket;

/* ---- operations ------------------------------------------------------------------------------------- */

struct io_op {
    void (*done)(struct io_op *op);
    enum status status; /* valid in done */
    int os_error;       /* errno behind the status, else 0 */
    uint64_t result;    /* bytes moved */
    /* io's own from here on */
    struct list link;
    struct io *io;
    void *target; /* file, socket or listener */
    struct {
        const struct slice *slices;
        uint32_t slice_count, slice_index; /* slices before slice_index are moved already */
        size_t slice_skip;                 /* and so many bytes of the slice at it */
        uint8_t *data;
        size_t size;
        uint64_t offset; /* of the next byte */
        uint8_t kind;
        bool sync_after;
        bool ended;      /* end of file seen, or synced */
        uint8_t awaited; /* answers the kernel still owes */
        uint64_t mark;   /* simulated disk: what a sync covers */
    } request;
    uint64_t id; /* counts the operations of this io, from 1 */
};

/* ---- the loop ---------------------------------------------------------------------------------------- */

enum io_backend_kind { IO_BACKEND_AUTO, IO_BACKEND_URING, IO_BACKEND_POSIX };

struct io_options {
    enum io_backend_kind backend;
    unsigned job_threads; /* 0: one */
    uint64_t spin_ns;     /* busy-poll this long before sleeping; 0: never */
    struct log *log;      /* the fallback from uring to posix is said here */
};

enum status io_new(const struct io_options *options, struct io **io, struct diagnostic *diagnostic) MUST_USE;
/* Every handle must be closed and every operation done. */
void io_free(struct io *io);
const char *io_backend_name(const struct io *io); /* "uring", "posix", "sim" */
/* One turn; waits at most max_wait_ns for something to do. */
void io_turn(struct io *io, uint64_t max_wait_ns);
/* Turns until io_stop. */
void io_run(struct io *io);
void io_stop(struct io *io);
/* op->done runs in phase 4 of this turn: for work that gathers what one turn brought (group commit). */
void io_defer(struct io *io, struct io_op *op);
/* The same when nothing else is deferred: for what sends or writes all that the turn brought. */
void io_defer_last(struct io *io, struct io_op *op);
/* Takes back an operation that one of these was given; no effect when it has run, or was never given but its
 * link was initialised. */
void io_defer_cancel(struct io_op *op);

/* ---- clocks and chance ------------------------------------------------------------------------------- */

uint64_t io_now_ns(struct io *io);   /* monotonic, read once a turn */
uint64_t io_clock_ns(struct io *io); /* monotonic, read now; any thread */
int64_t io_wall_ms(struct io *io);   /* milliseconds since 1970-01-01 UTC; may jump; read once a turn */
void io_random(struct io *io, void *data, size_t size); /* unpredictable in real backends, seeded in sim */

struct io_timer {
    void (*fire)(struct io_timer *timer);
    uint64_t deadline_ns, sequence;
    uint32_t heap_index; /* 0: not armed */
};
void io_timer_init(struct io_timer *timer, void (*fire)(struct io_timer *timer));
void io_timer_set(struct io *io, struct io_timer *timer, uint64_t deadline_ns); /* re-arms when armed */
void io_timer_cancel(struct io *io, struct io_timer *timer);                    /* idempotent */
static inline bool io_timer_armed(const struct io_timer *timer) {
    return timer->heap_index != 0;
}

/* ---- jobs: CPU-heavy or blocking work beside the loop ------------------------------------------------- */

/* `run` is called on a job thread (in the simulator: as an event of its own). It reads immutable inputs,
 * writes its own outputs, may use the blocking file calls and touches nothing else. `done` follows on the
 * loop. Jobs start in the order they were given. */
struct io_job {
    void (*run)(struct io_job *job);
    void (*done)(struct io_job *job);
    struct list link;
    struct io *io;
};
void io_job_start(struct io *io, struct io_job *job);

/* ---- files: operations that complete ------------------------------------------------------------------ */

/* Reads until `size` bytes or end of file: result < size only at the end of the file. */
void io_read(struct io *io, struct io_op *op, struct io_file *file, void *data, size_t size, uint64_t offset);
/* Writes all slices one after the other at `offset`; done when all is written, or failed. */
void io_write(struct io *io, struct io_op *op, struct io_file *file, const struct slice *slices,
              uint32_t count, uint64_t offset);
/* As io_write, and then makes the file's data durable (fdatasync) before it is done: one completion. */
void io_write_sync(struct io *io, struct io_op *op, struct io_file *file, const struct slice *slices,
                   uint32_t count, uint64_t offset);
void io_sync(struct io *io, struct io_op *op, struct io_file *file); /* fdatasync */

/* ---- files: blocking calls, for start-up, jobs and tools ----------------------------------------------- */
/* Any thread; one file is used by one thread at a time, but reads may run side by side. */

enum io_open_flags {
    IO_OPEN_READ = 1,
    IO_OPEN_WRITE = 2, /* and read */
    IO_OPEN_CREATE = 4,
    IO_OPEN_EXCLUSIVE = 8, /* with CREATE: EXISTS when it is there */
    IO_OPEN_TRUNCATE = 16,
    IO_OPEN_DIRECT = 32, /* past the page cache where the file system can; alignment is then the caller's */
};
enum status io_file_open(struct io *io, const char *path, unsigned flags, struct io_file **file) MUST_USE;
void io_file_close(struct io_file *file);
enum status io_file_size(struct io_file *file, uint64_t *size) MUST_USE;
enum status io_file_read_at(struct io_file *file, void *data, size_t size, uint64_t offset,
                            size_t *read) MUST_USE;
enum status io_file_write_at(struct io_file *file, struct slice bytes, uint64_t offset) MUST_USE;
enum status io_file_sync(struct io_file *file) MUST_USE; /* data and size */
enum status io_file_truncate(struct io_file *file, uint64_t size) MUST_USE;
/* Writes zeros so that [0, size) has its blocks: a later write there and fdatasync changes no metadata. */
enum status io_file_preallocate(struct io_file *file, uint64_t size) MUST_USE;
/* Reads all of `size` bytes if the page cache has them, and waits for no disk; false: it does not, or cannot
 * say, and io_read is the way (what `data` holds is then undefined). On the loop. */
bool io_file_read_now(struct io_file *file, void *data, size_t size, uint64_t offset) MUST_USE;
/* How many names lead to the file (hard links). */
enum status io_file_name_count(struct io_file *file, uint64_t *count) MUST_USE;
/* Gives [end of file, size) its blocks without writing them: cheap, but a later write there and its sync
 * change metadata. UNSUPPORTED: the file system cannot. */
enum status io_file_reserve(struct io_file *file, uint64_t size) MUST_USE;
/* [offset, offset + size) will be read soon: a hint. */
void io_file_will_need(struct io_file *file, uint64_t offset, uint64_t size);
/* What was written to [offset, offset + size) should begin its way to the disk: a hint, so that a later sync
 * finds little to do and others' syncs wait for little. */
void io_file_write_behind(struct io_file *file, uint64_t offset, uint64_t size);
/* The page cache may forget [offset, offset + size): a hint. */
void io_file_drop_cache(struct io_file *file, uint64_t offset, uint64_t size);
enum status io_rename(struct io *io, const char *from, const char *to) MUST_USE;
enum status io_link(struct io *io, const char *from, const char *to) MUST_USE;
enum status io_unlink(struct io *io, const char *path) MUST_USE;
enum status io_mkdir(struct io *io,
                     const char *path) MUST_USE; /* OK when it is there; parents are made too */
enum status io_sync_dir(struct io *io, const char *path) MUST_USE; /* the entries of the directory itself */
/* Names without "." and "..", in no order that a caller may rely on. */
enum status io_list_dir(struct io *io, const char *path,
                        void (*entry)(void *ctx, const char *name, bool is_dir), void *ctx) MUST_USE;
/* Exclusive lock on a file (created), held until closed or the process ends; LOCKED when another holds it. */
enum status io_lock_file(struct io *io, const char *path, struct io_file **lock) MUST_USE;
/* Bytes free for us and in all on the file system of `path`. */
enum status io_disk_space(struct io *io, const char *path, uint64_t *free_bytes,
                          uint64_t *total_bytes) MUST_USE;
int io_last_os_error(void); /* errno behind the last failed blocking call of this thread */

/* ---- sockets (TCP) ------------------------------------------------------------------------------------ */

struct io_address {
    char text[72]; /* "127.0.0.1:9092", "[::1]:9092" */
};
/* `accepted` owns the socket. address: "HOST:PORT"; port 0 picks a free one (io_listener_address tells). */
enum status io_listen(struct io *io, const char *address,
                      void (*accepted)(void *ctx, struct io_socket *socket, const struct io_address *peer),
                      void *ctx, struct io_listener **listener, struct diagnostic *diagnostic) MUST_USE;
struct io_address io_listener_address(const struct io_listener *listener);
void io_listener_pause(struct io_listener *listener, bool paused); /* connection limit reached */
void io_listener_close(struct io_listener *listener);

/* *socket is valid at once for close, and for recv and send after op is done with OK. */
void io_connect(struct io *io, struct io_op *op, const char *address, struct io_socket **socket);
/* One recv and one send may be under way per socket. recv completes with 1..size bytes; result 0 with OK
 * means that the peer finished sending. */
void io_recv(struct io_socket *socket, struct io_op *op, void *data, size_t size);
/* Exchanges the memory of the receive under way, so that its owner can have it back while nothing comes.
 * false: there is none, or it has ended and its done is due. */
bool io_recv_move(struct io_socket *socket, void *data, size_t size);
/* Completes when every byte was taken by the network stack, or failed. */
void io_send(struct io_socket *socket, struct io_op *op, const struct slice *slices, uint32_t count);
void io_socket_shutdown(struct io_socket *socket); /* no more sending: the peer sees the end */
struct io_address io_socket_local(const struct io_socket *socket);
/* Operations under way complete with CANCELLED in a later turn; the handle is gone at once. Bytes that a
 * finished send handed over still reach the peer, unless received bytes were left unread: then the connection
 * is reset, and the peer may lose what it has not read yet (RFC 2525, 2.17). Who wants a last word heard
 * reads to the end. */
void io_socket_close(struct io_socket *socket);

/* ---- the process (real backends; the simulator has its own) -------------------------------------------- */

/* `handler` runs on the loop when the process gets the signal. */
void io_on_signal(struct io *io, int signal_number, void (*handler)(void *ctx, int signal_number), void *ctx);
int64_t io_system_wall_ms(void);            /* the wall clock itself, for log lines; any thread */
bool io_is_terminal(int descriptor);        /* standard streams: 0, 1, 2; any thread */
unsigned io_terminal_width(int descriptor); /* 80 when unknown */
struct io_usage {
    uint64_t user_us, system_us; /* CPU time of this process */
    uint64_t resident_bytes;
};
struct io_usage io_process_usage(void);
/* Raises what this process may have open (files and sockets) as far as it is allowed to; returns it. */
uint64_t io_raise_open_limit(void);

struct io_stats {
    uint64_t turns, submissions, file_reads, file_writes, file_syncs, file_read_bytes, file_write_bytes;
    uint64_t socket_recvs, socket_sends, socket_recv_bytes, socket_send_bytes, jobs;
};
struct io_stats io_stats(const struct io *io);

#endif
