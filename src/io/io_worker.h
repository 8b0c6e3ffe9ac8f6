// SPDX-License-Identifier: Apache-2.0
/* io_worker.h: a function in a process of its own, which tells what it found through a pipe.
 *
 * For work that may die (a simulated run that meets an assertion) or that fills all cores. The function gets
 * a copy of everything as it was; what it changes stays there. Owner: the caller; each started worker is
 * ended once. Errors: a worker that died gives less than was to be read, and `io_worker_end` says false.
 * Loop: one thread, outside of any io. */
#ifndef SENTINEL_IO_IO_WORKER_H
#define SENTINEL_IO_IO_WORKER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct io_worker {
    int64_t process; /* 0: none */
    int from;        /* its end of the pipe that is ours */
};
/* The function's side of the pipe. All bytes arrive, or the worker ends. */
struct io_worker_pipe {
    int to;
};
void io_worker_tell(struct io_worker_pipe *pipe, const void *data, size_t size);

/* Hands out 0, 1, 2, ... to whoever asks next, each number once: made before the workers are started. */
struct io_worker_tickets;
struct io_worker_tickets *io_worker_tickets_new(void); /* NULL: no memory can be shared */
uint64_t io_worker_ticket(struct io_worker_tickets *tickets);
void io_worker_tickets_free(struct io_worker_tickets *tickets);

/* `silent`: what it prints is not wanted. IO: no process could be made. */
enum status io_worker_start(struct io_worker *worker, void (*work)(void *ctx, struct io_worker_pipe *pipe),
                            void *ctx, bool silent) MUST_USE;
/* Waits for `size` bytes; false: it ended before. */
bool io_worker_read(struct io_worker *worker, void *data, size_t size) MUST_USE;
/* Index of a worker that has told something or has ended; -1: none did within so long. */
int io_worker_wait(const struct io_worker *workers, uint32_t count, int wait_ms);
/* Waits for its end, or brings it about; true: it ended by itself and in order. */
bool io_worker_end(struct io_worker *worker, bool kill_it);

#endif
