// SPDX-License-Identifier: Apache-2.0
/* io_backend.h: what the backends share with io.c and nobody else sees.
 *
 * io.c keeps the queues and runs the phases; a backend is a table of functions chosen once in io_new (or by
 * io_sim), so no caller and no file of ours asks which one it is. An operation moves through three lists:
 *
 *      io_read() ─> io->queued ─ submit phase ─> backend ─ io_op_complete() ─> io->completed ─> done()
 *
 * Owner   struct io is the first member of the backend's own struct, struct io_file of its file, and so on.
 * Loop    shard thread only, but for the blocking file calls and the counters marked atomic.
 * I1  an operation is on at most one of the lists.
 * I2  operation_count = operations started whose done has not begun. */
#ifndef SENTINEL_IO_IO_BACKEND_H
#define SENTINEL_IO_IO_BACKEND_H

#include <stdatomic.h>

#include "io/io.h"
#include "io/io_timer.h"

enum io_op_kind {
    IO_OP_INTERNAL,
    IO_OP_DEFERRED,
    IO_OP_READ,
    IO_OP_WRITE,
    IO_OP_SYNC,
    IO_OP_CONNECT,
    IO_OP_RECV,
    IO_OP_SEND
};

struct io_file_calls {
    enum status (*open)(struct io *io, const char *path, unsigned flags, struct io_file **file);
    void (*close)(struct io_file *file);
    enum status (*size)(struct io_file *file, uint64_t *size);
    enum status (*read_at)(struct io_file *file, void *data, size_t size, uint64_t offset, size_t *read);
    bool (*read_now)(struct io_file *file, void *data, size_t size, uint64_t offset);
    enum status (*write_at)(struct io_file *file, struct slice bytes, uint64_t offset);
    enum status (*sync)(struct io_file *file);
    enum status (*truncate)(struct io_file *file, uint64_t size);
    enum status (*preallocate)(struct io_file *file, uint64_t size);
    enum status (*name_count)(struct io_file *file, uint64_t *names);
    enum status (*reserve)(struct io_file *file, uint64_t size);
    void (*will_need)(struct io_file *file, uint64_t offset, uint64_t size);
    void (*write_behind)(struct io_file *file, uint64_t offset, uint64_t size);
    void (*drop_cache)(struct io_file *file, uint64_t offset, uint64_t size);
    enum status (*rename)(struct io *io, const char *from, const char *to);
    enum status (*link)(struct io *io, const char *from, const char *to);
    enum status (*unlink)(struct io *io, const char *path);
    enum status (*mkdir)(struct io *io, const char *path);
    enum status (*sync_dir)(struct io *io, const char *path);
    enum status (*list_dir)(struct io *io, const char *path,
                            void (*entry)(void *ctx, const char *name, bool is_dir), void *ctx);
    enum status (*lock_file)(struct io *io, const char *path, struct io_file **lock);
    enum status (*disk_space)(struct io *io, const char *path, uint64_t *free_bytes, uint64_t *total_bytes);
};

struct io_net_calls {
    enum status (*listen)(struct io *io, const char *address,
                          void (*accepted)(void *ctx, struct io_socket *socket,
                                           const struct io_address *peer),
                          void *ctx, struct io_listener **listener, struct diagnostic *diagnostic);
    struct io_address (*listener_address)(const struct io_listener *listener);
    void (*listener_pause)(struct io_listener *listener, bool paused);
    void (*listener_close)(struct io_listener *listener);
    /* Only makes the handle; the operation is queued by the caller. */
    struct io_socket *(*connect)(struct io *io, struct io_op *op, const char *address);
    struct io_address (*local)(const struct io_socket *socket);
    void (*shutdown)(struct io_socket *socket);
    void (*close)(struct io_socket *socket);
};

struct io_backend {
    const char *name;
    void (*release)(struct io *io);
    void (*turn)(struct io *io, uint64_t max_wait_ns);
    /* Something was queued, deferred or armed; NULL where the loop looks by itself. */
    void (*wake)(struct io *io);
    uint64_t (*clock_ns)(struct io *io);
    int64_t (*wall_ms)(struct io *io);
    void (*random)(struct io *io, void *data, size_t size);
    void (*job_start)(struct io *io, struct io_job *job);
    void (*on_signal)(struct io *io, int signal_number, void (*handler)(void *ctx, int signal_number),
                      void *ctx);
    const struct io_file_calls *files;
    const struct io_net_calls *net;
};

struct io_file {
    struct io *io;
    uint32_t operation_count; /* completing operations under way; 0 at close */
};
struct io_listener {
    struct io *io;
};
struct io_socket {
    struct io *io;
    struct io_op *recv_op, *send_op; /* under way, else NULL */
};

/* Blocking calls run on any thread. */
struct io_blocking_stats {
    _Atomic uint64_t reads, writes, syncs, read_bytes, write_bytes;
};

struct io {
    const struct io_backend *backend;
    struct log *log;
    uint64_t now_ns;
    int64_t wall_ms;
    struct list queued;        /* started, not yet given to the backend */
    struct list completed;     /* finished, done not yet called */
    struct list finished_jobs; /* likewise */
    struct list deferred, deferred_last;
    struct io_timer_heap timers;
    uint64_t operation_sequence;
    uint32_t operation_count, job_count;
    _Atomic uint32_t handle_count; /* files are also opened and closed by jobs */
    bool in_turn, firing, stopping;
    bool dead; /* simulator: its node crashed; nothing is linked or called any more */
    struct io_stats stats;
    struct io_blocking_stats blocking;
};

void io_init(struct io *io, const struct io_backend *backend, struct log *log);
/* Asserts that nothing is left open or under way. */
void io_release(struct io *io);

/* Phases 2 to 4 of a turn: timers, completions, deferred operations. */
void io_run_phases(struct io *io);
/* 0 when there is something to do at once, else the wait until the next timer, at most max_wait_ns. */
uint64_t io_wait_ns(const struct io *io, uint64_t now_ns, uint64_t max_wait_ns);

/* Counts and numbers op; it is on no list yet. */
void io_op_begin(struct io *io, struct io_op *op, enum io_op_kind kind, void *target);
/* Takes op off whatever list it is on and hands it to the loop. */
void io_op_complete(struct io_op *op, enum status status, int os_error);
/* A begun operation of io's own whose done shall not be called. */
void io_op_forget(struct io_op *op);
/* `count` more bytes of the slices are moved: advances index, skip and result. true: all are. */
bool io_op_advance(struct io_op *op, size_t count);
/* The slices of op not moved yet, the first one cut; valid until op advances. Returns the count, at most max.
 */
uint32_t io_op_rest(const struct io_op *op, struct slice *rest, uint32_t max);

/* io_last_os_error of this thread. */
void io_set_last_os_error(int os_error);

#endif
