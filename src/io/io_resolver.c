// SPDX-License-Identifier: Apache-2.0
#include "io/io_resolver.h"

#include <signal.h>

#include "base/assert.h"
#include "base/mem.h"

struct io_resolver {
    pthread_mutex_t mutex;
    struct io_wake *wake; /* NULL: closed */
    struct list finished;
    _Atomic uint32_t finished_count;
    unsigned thread_count;
};

static void resolver_free(struct io_resolver *resolver) {
    pthread_mutex_destroy(&resolver->mutex);
    mem_free(resolver);
}

static void *resolver_thread(void *ctx) {
    struct io_resolution *resolution = ctx;
    struct io_resolver *resolver = resolution->resolver;
    resolution->status = io_endpoint_resolve(&resolution->endpoint, resolution->addresses,
                                             &resolution->count);
    pthread_mutex_lock(&resolver->mutex);
    resolver->thread_count--;
    bool closed = resolver->wake == NULL, last = resolver->thread_count == 0;
    if (!closed) {
        list_push_back(&resolver->finished, &resolution->link);
        atomic_fetch_add(&resolver->finished_count, 1);
        io_wake_raise(resolver->wake);
    }
    pthread_mutex_unlock(&resolver->mutex);
    if (!closed) return NULL;
    mem_free(resolution);
    if (last) resolver_free(resolver);
    return NULL;
}

struct io_resolver *io_resolver_new(struct io_wake *wake) {
    struct io_resolver *resolver = mem_calloc(1, sizeof *resolver);
    pthread_mutex_init(&resolver->mutex, NULL);
    list_init(&resolver->finished);
    atomic_init(&resolver->finished_count, 0);
    resolver->wake = wake;
    return resolver;
}

void io_resolver_close(struct io_resolver *resolver) {
    pthread_mutex_lock(&resolver->mutex);
    LIST_FOREACH(it, &resolver->finished)
        mem_free(CONTAINER_OF(it, struct io_resolution, link));
    resolver->wake = NULL;
    bool last = resolver->thread_count == 0;
    pthread_mutex_unlock(&resolver->mutex);
    if (last) resolver_free(resolver);
}

enum status io_resolver_start(struct io_resolver *resolver, struct io_resolution *resolution) {
    pthread_t thread;
    pthread_attr_t attributes;
    sigset_t all, before;
    resolution->resolver = resolver;
    pthread_mutex_lock(&resolver->mutex);
    bool full = resolver->thread_count >= IO_RESOLVER_THREADS_MAX;
    if (!full) resolver->thread_count++;
    pthread_mutex_unlock(&resolver->mutex);
    if (full) return STATUS_BUSY;
    pthread_attr_init(&attributes);
    pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    resolution->running = true;
    int error = pthread_create(&thread, &attributes, resolver_thread, resolution);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (error == 0) return STATUS_OK;
    resolution->running = false;
    pthread_mutex_lock(&resolver->mutex);
    resolver->thread_count--;
    pthread_mutex_unlock(&resolver->mutex);
    return STATUS_BUSY;
}

bool io_resolver_has_finished(struct io_resolver *resolver) {
    return atomic_load(&resolver->finished_count) != 0;
}

void io_resolver_take(struct io_resolver *resolver, struct list *resolutions) {
    if (!io_resolver_has_finished(resolver)) return;
    pthread_mutex_lock(&resolver->mutex);
    list_append(resolutions, &resolver->finished);
    atomic_store(&resolver->finished_count, 0);
    pthread_mutex_unlock(&resolver->mutex);
    LIST_FOREACH(it, resolutions)
        CONTAINER_OF(it, struct io_resolution, link)->running = false;
}
