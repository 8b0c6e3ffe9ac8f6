// SPDX-License-Identifier: Apache-2.0
/* io_real.h: what uring and posix share: epoll, clocks, the job threads, signals and the wake-up.
 *
 * Whatever has a descriptor is an io_watch in one epoll set. A watch's `ready` runs in the wait phase and
 * calls nobody above io: it moves bytes and completes operations, whose done runs in phase 3.
 *
 * Owner   struct io_real is the first member of the backend's struct. Loop  shard thread only. */
#ifndef SENTINEL_IO_IO_REAL_H
#define SENTINEL_IO_IO_REAL_H

#include "io/io_backend.h"
#include "io/io_pool.h"
#include "io/io_resolver.h"

struct io_watch {
    void (*ready)(struct io_watch *watch, uint32_t events); /* EPOLLIN and so on */
};

struct io_signals;
struct io_real {
    struct io base;
    int epoll;
    bool coarse_wait; /* no epoll_pwait2 here: waits are rounded up to ms */
    bool skipped;     /* the last turn did not look at the kernel */
    uint64_t spin_ns;
    struct io_wake wake;
    struct io_watch wake_watch;
    struct io_pool jobs;
    struct io_pool *files; /* posix: its file threads; else NULL */
    struct io_resolver *resolver;
    struct io_signals *signals; /* NULL until the first io_on_signal */
};

enum status io_real_init(struct io_real *real, const struct io_options *options,
                         const struct io_backend *backend, struct diagnostic *diagnostic) MUST_USE;
void io_real_release(struct io_real *real);

/* false: errno says why. */
bool io_real_watch(struct io_real *real, int descriptor, struct io_watch *watch, uint32_t events);
void io_real_rewatch(struct io_real *real, int descriptor, struct io_watch *watch, uint32_t events);
/* Waits for at most wait_ns and lets the watches handle what is ready; returns how many were. */
unsigned io_real_poll(struct io_real *real, uint64_t wait_ns);
/* A job, a file thread or the resolver has something for the loop. */
bool io_real_has_finished(struct io_real *real);
/* A turn that has completions already (a send that was taken at once) need not ask the kernel for more; every
 * second turn does. */
bool io_real_may_skip(struct io_real *real);
/* Waits in epoll for at most wait_ns, the first spin_ns of it awake; threads that finish wake it. */
void io_real_wait(struct io_real *real, uint64_t wait_ns);
/* Moves finished jobs and names to the loop. */
void io_real_take_finished(struct io_real *real);

uint64_t io_real_clock_ns(struct io *io);
int64_t io_real_wall_ms(struct io *io);
void io_real_random(struct io *io, void *data, size_t size);
void io_real_job_start(struct io *io, struct io_job *job);
void io_real_on_signal(struct io *io, int signal_number, void (*handler)(void *ctx, int signal_number),
                       void *ctx);
void io_real_signals_release(struct io_real *real);

#endif
