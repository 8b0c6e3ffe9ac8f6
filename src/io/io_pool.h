// SPDX-License-Identifier: Apache-2.0
/* io_pool.h: a few threads that run work items in the order they were given.
 *
 *      pool_put ─> waiting ─> a thread: run(item) ─> finished ─> pool_take, on the loop
 *
 * Used for jobs, and by the posix backend for file operations. Threads start when there is work and none
 * is idle, and end with the pool. They block every signal: signals belong to the loop.
 *
 * The loop may sleep while items finish: io_wake_raise tells it, with a system call only when it sleeps (or
 * is about to), by Dekker's handshake on `sleeping`.
 *
 * Owner   items are links in the caller's structs. Loop  one loop thread puts and takes.
 * Bounds  IO_POOL_THREADS_MAX. */
#ifndef SENTINEL_IO_IO_POOL_H
#define SENTINEL_IO_IO_POOL_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/list.h"
#include "base/status.h"

#define IO_POOL_THREADS_MAX 16

struct io_wake {
    int descriptor; /* eventfd */
    _Atomic bool sleeping;
};
enum status io_wake_open(struct io_wake *wake) MUST_USE;
void io_wake_close(struct io_wake *wake);
void io_wake_raise(struct io_wake *wake); /* any thread */
void io_wake_drain(struct io_wake *wake);

struct io_pool {
    void (*run)(struct list *item); /* on a pool thread */
    struct io_wake *wake;
    pthread_mutex_t mutex;
    pthread_cond_t work;
    struct list waiting, finished;
    _Atomic uint32_t finished_count; /* read by the loop before it takes the mutex */
    unsigned thread_count, thread_limit, idle_count, waiting_count;
    bool stopping;
    pthread_t threads[IO_POOL_THREADS_MAX];
};

void io_pool_init(struct io_pool *pool, unsigned thread_limit, struct io_wake *wake,
                  void (*run)(struct list *item));
/* Every item must have been taken. */
void io_pool_release(struct io_pool *pool);
/* Moves all of `items` into the pool. */
void io_pool_put(struct io_pool *pool, struct list *items);
/* Moves what has finished to the end of `items`, in the order of finishing. */
void io_pool_take(struct io_pool *pool, struct list *items);
static inline bool io_pool_has_finished(struct io_pool *pool) {
    return atomic_load(&pool->finished_count) != 0;
}

#endif
