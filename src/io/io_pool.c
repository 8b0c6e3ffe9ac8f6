// SPDX-License-Identifier: Apache-2.0
#include "io/io_pool.h"

#include <errno.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/units.h"
#include "io/io_error.h"

enum status io_wake_open(struct io_wake *wake) {
    atomic_init(&wake->sleeping, false);
    wake->descriptor = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return wake->descriptor >= 0 ? STATUS_OK : io_error(errno);
}

void io_wake_close(struct io_wake *wake) {
    close(wake->descriptor);
    wake->descriptor = -1;
}

void io_wake_raise(struct io_wake *wake) {
    /* The item is already visible (sequentially consistent), so either we see the loop asleep, or the loop
     * sees the item when it looks again after having said that it sleeps. */
    if (!atomic_load(&wake->sleeping) || !atomic_exchange(&wake->sleeping, false)) return;
    uint64_t one = 1;
    ssize_t written = write(wake->descriptor, &one, sizeof one);
    ASSERT(written == (ssize_t)sizeof one);
}

void io_wake_drain(struct io_wake *wake) {
    uint64_t value;
    ssize_t size = read(wake->descriptor, &value, sizeof value);
    ASSERT(size == (ssize_t)sizeof value || (size < 0 && errno == EAGAIN));
}

static void *io_pool_thread(void *ctx) {
    struct io_pool *pool = ctx;
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        struct list *item = list_pop_front(&pool->waiting);
        if (item == NULL) {
            if (pool->stopping) break;
            pool->idle_count++;
            pthread_cond_wait(&pool->work, &pool->mutex);
            pool->idle_count--;
            continue;
        }
        pool->waiting_count--;
        pthread_mutex_unlock(&pool->mutex);
        pool->run(item);
        pthread_mutex_lock(&pool->mutex);
        list_push_back(&pool->finished, item);
        atomic_fetch_add(&pool->finished_count, 1);
        io_wake_raise(pool->wake);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

void io_pool_init(struct io_pool *pool, unsigned thread_limit, struct io_wake *wake,
                  void (*run)(struct list *item)) {
    ASSERT_LE(1U, thread_limit);
    pool->run = run;
    pool->wake = wake;
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->work, NULL);
    list_init(&pool->waiting);
    list_init(&pool->finished);
    atomic_init(&pool->finished_count, 0);
    pool->thread_limit = MIN(thread_limit, (unsigned)IO_POOL_THREADS_MAX);
    pool->thread_count = pool->idle_count = pool->waiting_count = 0;
    pool->stopping = false;
}

void io_pool_release(struct io_pool *pool) {
    pthread_mutex_lock(&pool->mutex);
    ASSERT(list_empty(&pool->waiting));
    pool->stopping = true;
    pthread_cond_broadcast(&pool->work);
    pthread_mutex_unlock(&pool->mutex);
    for (unsigned i = 0; i < pool->thread_count; i++)
        pthread_join(pool->threads[i], NULL);
    ASSERT(list_empty(&pool->finished));
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->mutex);
}

/* With the mutex held. Without any thread the work could never be done, so the first one must start. */
static void io_pool_start_thread(struct io_pool *pool) {
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&pool->threads[pool->thread_count], NULL, io_pool_thread, pool);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (error == 0)
        pool->thread_count++;
    else
        ASSERT_LT(0U, pool->thread_count);
}

void io_pool_put(struct io_pool *pool, struct list *items) {
    if (list_empty(items)) return;
    unsigned added = 0;
    LIST_FOREACH(item, items)
        added++;
    pthread_mutex_lock(&pool->mutex);
    list_append(&pool->waiting, items);
    pool->waiting_count += added;
    for (unsigned i = pool->idle_count; i < pool->waiting_count && pool->thread_count < pool->thread_limit;
         i++)
        io_pool_start_thread(pool);
    unsigned signals = MIN(added, pool->idle_count);
    pthread_mutex_unlock(&pool->mutex);
    while (signals-- != 0)
        pthread_cond_signal(&pool->work);
}

void io_pool_take(struct io_pool *pool, struct list *items) {
    if (!io_pool_has_finished(pool)) return;
    pthread_mutex_lock(&pool->mutex);
    list_append(items, &pool->finished);
    atomic_store(&pool->finished_count, 0);
    pthread_mutex_unlock(&pool->mutex);
}
