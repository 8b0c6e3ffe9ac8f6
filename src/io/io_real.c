// SPDX-License-Identifier: Apache-2.0
#include "io/io_real.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/units.h"
#include "io/io_error.h"
#include "io/io_net.h"

#define EVENTS_AT_ONCE 256

static void wake_ready(struct io_watch *watch, uint32_t events) {
    (void)events;
    io_wake_drain(&CONTAINER_OF(watch, struct io_real, wake_watch)->wake);
}

static void job_run(struct list *item) {
    struct io_job *job = CONTAINER_OF(item, struct io_job, link);
    job->run(job);
}

enum status io_real_init(struct io_real *real, const struct io_options *options,
                         const struct io_backend *backend, struct diagnostic *diagnostic) {
    real->spin_ns = options->spin_ns;
    real->coarse_wait = real->skipped = false;
    real->signals = NULL;
    real->files = NULL;
    real->epoll = epoll_create1(EPOLL_CLOEXEC);
    if (real->epoll < 0) return diagnose(diagnostic, io_error(errno), "epoll: %s", strerror(errno));
    enum status status = io_wake_open(&real->wake);
    if (status != STATUS_OK) {
        close(real->epoll);
        return diagnose(diagnostic, status, "eventfd: %s", strerror(errno));
    }
    real->wake_watch.ready = wake_ready;
    if (!io_real_watch(real, real->wake.descriptor, &real->wake_watch, EPOLLIN)) {
        int error = errno;
        io_wake_close(&real->wake);
        close(real->epoll);
        return diagnose(diagnostic, io_error(error), "epoll: %s", strerror(error));
    }
    real->resolver = io_resolver_new(&real->wake);
    io_pool_init(&real->jobs, MAX(options->job_threads, 1U), &real->wake, job_run);
    io_init(&real->base, backend, options->log);
    return STATUS_OK;
}

void io_real_release(struct io_real *real) {
    io_real_signals_release(real);
    io_release(&real->base);
    io_pool_release(&real->jobs);
    io_resolver_close(real->resolver);
    io_wake_close(&real->wake);
    close(real->epoll);
}

bool io_real_watch(struct io_real *real, int descriptor, struct io_watch *watch, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = watch};
    return epoll_ctl(real->epoll, EPOLL_CTL_ADD, descriptor, &event) == 0;
}

void io_real_rewatch(struct io_real *real, int descriptor, struct io_watch *watch, uint32_t events) {
    struct epoll_event event = {.events = events, .data.ptr = watch};
    int result = epoll_ctl(real->epoll, EPOLL_CTL_MOD, descriptor, &event);
    ASSERT_EQ(result, 0);
}

static int wait_events(struct io_real *real, struct epoll_event *events, uint64_t wait_ns) {
    if (wait_ns != 0 && !real->coarse_wait) {
        struct timespec timeout = {.tv_sec = (time_t)(wait_ns / NS_PER_S),
                                   .tv_nsec = (long)(wait_ns % NS_PER_S)};
        int count = epoll_pwait2(real->epoll, events, EVENTS_AT_ONCE,
                                 wait_ns / NS_PER_S > INT32_MAX ? NULL : &timeout, NULL);
        if (count >= 0 || (errno != ENOSYS && errno != EPERM)) return count;
        /* Kernels before 5.11, and filters that do not know the call. */
        real->coarse_wait = true;
    }
    uint64_t wait_ms = (wait_ns + NS_PER_MS - 1) / NS_PER_MS;
    if (wait_ns > UINT64_MAX - NS_PER_MS || wait_ms > INT32_MAX) wait_ms = INT32_MAX;
    return epoll_wait(real->epoll, events, EVENTS_AT_ONCE, (int)wait_ms);
}

unsigned io_real_poll(struct io_real *real, uint64_t wait_ns) {
    struct epoll_event events[EVENTS_AT_ONCE];
    int count = wait_events(real, events, wait_ns);
    if (count < 0) {
        ASSERT_EQ(errno, EINTR);
        return 0;
    }
    for (int i = 0; i < count; i++) {
        struct io_watch *watch = events[i].data.ptr;
        watch->ready(watch, events[i].events);
    }
    return (unsigned)count;
}

bool io_real_has_finished(struct io_real *real) {
    return io_pool_has_finished(&real->jobs) || io_resolver_has_finished(real->resolver) ||
           (real->files != NULL && io_pool_has_finished(real->files));
}

/* Looks without sleeping for a while: waking this thread may cost more than a short operation takes. */
static bool spin(struct io_real *real, uint64_t until_ns) {
    do {
        if (io_real_has_finished(real) || io_real_poll(real, 0) != 0) return true;
    } while (io_real_clock_ns(&real->base) < until_ns);
    return false;
}

bool io_real_may_skip(struct io_real *real) {
    real->skipped = !real->skipped && !list_empty(&real->base.completed);
    return real->skipped;
}

void io_real_wait(struct io_real *real, uint64_t wait_ns) {
    if (io_real_may_skip(real)) return;
    if (wait_ns != 0 && real->spin_ns != 0) {
        uint64_t spin_ns = MIN(wait_ns, real->spin_ns);
        wait_ns = spin(real, io_real_clock_ns(&real->base) + spin_ns) ? 0 : wait_ns - spin_ns;
    }
    if (wait_ns != 0) atomic_store(&real->wake.sleeping, true);
    if (wait_ns != 0 && io_real_has_finished(real)) wait_ns = 0;
    io_real_poll(real, wait_ns);
    atomic_store(&real->wake.sleeping, false);
}

void io_real_take_finished(struct io_real *real) {
    struct list resolutions;
    list_init(&resolutions);
    io_pool_take(&real->jobs, &real->base.finished_jobs);
    io_resolver_take(real->resolver, &resolutions);
    io_net_resolved(&resolutions);
}

uint64_t io_real_clock_ns(struct io *io) {
    (void)io;
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

int64_t io_real_wall_ms(struct io *io) {
    (void)io;
    return io_system_wall_ms();
}

void io_real_random(struct io *io, void *data, size_t size) {
    (void)io;
    for (size_t filled = 0; filled < size;) {
        ssize_t n = getrandom((uint8_t *)data + filled, size - filled, 0);
        if (n > 0) filled += (size_t)n;
        ASSERT(n > 0 || errno == EINTR);
    }
}

void io_real_job_start(struct io *io, struct io_job *job) {
    struct list items;
    list_init(&items);
    list_push_back(&items, &job->link);
    io_pool_put(&((struct io_real *)io)->jobs, &items);
}
