// SPDX-License-Identifier: Apache-2.0
/* Listeners of the real backends. Accepting happens in phase 3 of a turn, not when epoll reports: a listener
 * that is paused or closed by one accepted connection then accepts no other. */
#include <errno.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "io/io_error.h"
#include "io/io_net.h"

#define BACKLOG          1024
#define ACCEPTS_A_TURN   64
#define STARVED_RETRY_MS 100

struct io_real_listener {
    struct io_listener base;
    struct io_watch watch;
    struct io_op op; /* on the loop while connections wait */
    bool op_begun, paused, starved;
    bool *closed; /* set by a close from inside `accepted` */
    int descriptor;
    struct io_timer retry; /* out of descriptors: look again then */
    void (*accepted)(void *ctx, struct io_socket *socket, const struct io_address *peer);
    void *ctx;
};

static struct io_real *real_of(const struct io_real_listener *listener) {
    return (struct io_real *)listener->base.io;
}

static void listener_rewatch(struct io_real_listener *listener) {
    bool quiet = listener->paused || listener->starved;
    io_real_rewatch(real_of(listener), listener->descriptor, &listener->watch, quiet ? 0 : EPOLLIN);
}

static void listener_retry(struct io_timer *timer) {
    struct io_real_listener *listener = CONTAINER_OF(timer, struct io_real_listener, retry);
    listener->starved = false;
    listener_rewatch(listener);
}

static void listener_starve(struct io_real_listener *listener, int os_error) {
    struct io *io = listener->base.io;
    log_warn(io->log, "cannot accept a connection, trying again error=\"%s\" retry_ms=%d", strerror(os_error),
             STARVED_RETRY_MS);
    listener->starved = true;
    listener_rewatch(listener);
    io_timer_set(io, &listener->retry, io->now_ns + STARVED_RETRY_MS * NS_PER_MS);
}

/* false: nobody waits, or none can be taken now. */
static bool listener_accept_one(struct io_real_listener *listener) {
    union io_sockaddr peer = {0};
    socklen_t size = sizeof peer;
    int descriptor = accept4(listener->descriptor, &peer.any, &size, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (descriptor < 0) {
        /* Errors of the connection itself (accept(2)): it is gone, the next one may be well. */
        if (errno == EINTR || errno == ECONNABORTED || errno == EPROTO || errno == ENETDOWN ||
            errno == EHOSTUNREACH || errno == ENETUNREACH)
            return true;
        if (errno != EAGAIN && errno != EWOULDBLOCK) listener_starve(listener, errno);
        return false;
    }
    struct io_socket *socket = io_net_adopt(real_of(listener), descriptor);
    if (socket == NULL) {
        int error = errno;
        close(descriptor);
        listener_starve(listener, error);
        return false;
    }
    struct io_address text = io_sockaddr_text(&peer);
    listener->accepted(listener->ctx, socket, &text);
    return true;
}

static void listener_accept(struct io_op *op) {
    struct io_real_listener *listener = CONTAINER_OF(op, struct io_real_listener, op);
    bool closed = false;
    listener->op_begun = false;
    listener->closed = &closed;
    for (unsigned i = 0; i < ACCEPTS_A_TURN; i++) {
        if (listener->paused) break;
        bool more = listener_accept_one(listener);
        if (closed) return;
        if (!more) break;
    }
    listener->closed = NULL;
}

static void listener_ready(struct io_watch *watch, uint32_t events) {
    (void)events;
    struct io_real_listener *listener = CONTAINER_OF(watch, struct io_real_listener, watch);
    if (listener->op_begun || listener->paused) return;
    listener->op_begun = true;
    io_op_begin(listener->base.io, &listener->op, IO_OP_INTERNAL, NULL);
    io_op_complete(&listener->op, STATUS_OK, 0);
}

static int listener_bind(const union io_sockaddr *address, int *os_error) {
    int on = 1;
    int descriptor = socket(address->any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (descriptor >= 0 && setsockopt(descriptor, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) == 0 &&
        bind(descriptor, &address->any, io_sockaddr_size(address)) == 0 && listen(descriptor, BACKLOG) == 0)
        return descriptor;
    *os_error = errno;
    if (descriptor >= 0) close(descriptor);
    return -1;
}

static enum status listen_failed(struct diagnostic *diagnostic, const char *address, int os_error) {
    enum status status = io_error_noted(os_error);
    const char *hint = "";
    if (status == STATUS_LOCKED) hint = "; another program listens there: stop it or choose another port";
    if (status == STATUS_NOT_FOUND) hint = "; this host has no such address";
    if (status == STATUS_DENIED) hint = "; ports below 1024 need privileges";
    return diagnose(diagnostic, status, "cannot listen on %s: %s%s", address, strerror(os_error), hint);
}

enum status io_listener_open(struct io *io, const char *address,
                             void (*accepted)(void *ctx, struct io_socket *socket,
                                              const struct io_address *peer),
                             void *ctx, struct io_listener **listener, struct diagnostic *diagnostic) {
    struct io_endpoint endpoint;
    union io_sockaddr addresses[IO_ADDRESS_CANDIDATES];
    unsigned count;
    enum status status = io_endpoint_parse(address, &endpoint);
    if (status != STATUS_OK)
        return diagnose(diagnostic, status, "'%s' is no HOST:PORT (IPv6: [HOST]:PORT)", address);
    status = io_endpoint_resolve(&endpoint, addresses, &count);
    if (status != STATUS_OK)
        return diagnose(diagnostic, status, "cannot listen on %s: the host does not resolve", address);
    int descriptor = -1, os_error = 0;
    for (unsigned i = 0; i < count && descriptor < 0; i++)
        descriptor = listener_bind(&addresses[i], &os_error);
    if (descriptor < 0) return listen_failed(diagnostic, address, os_error);

    struct io_real_listener *real = mem_calloc(1, sizeof *real);
    real->base.io = io;
    real->descriptor = descriptor;
    real->watch.ready = listener_ready;
    real->op.done = listener_accept;
    io_timer_init(&real->retry, listener_retry);
    real->accepted = accepted;
    real->ctx = ctx;
    /* Level-triggered: who is not accepted in this turn is reported again in the next. */
    if (!io_real_watch((struct io_real *)io, descriptor, &real->watch, EPOLLIN)) {
        os_error = errno;
        close(descriptor);
        mem_free(real);
        return listen_failed(diagnostic, address, os_error);
    }
    *listener = &real->base;
    return STATUS_OK;
}

struct io_address io_listener_bound_address(const struct io_listener *listener) {
    union io_sockaddr address = {0};
    socklen_t size = sizeof address;
    int result = getsockname(((const struct io_real_listener *)listener)->descriptor, &address.any, &size);
    ASSERT_EQ(result, 0);
    return io_sockaddr_text(&address);
}

void io_listener_set_paused(struct io_listener *listener, bool paused) {
    struct io_real_listener *real = (struct io_real_listener *)listener;
    if (real->paused == paused) return;
    real->paused = paused;
    listener_rewatch(real);
}

void io_listener_release(struct io_listener *listener) {
    struct io_real_listener *real = (struct io_real_listener *)listener;
    if (real->closed != NULL) *real->closed = true;
    if (real->op_begun) io_op_forget(&real->op);
    io_timer_cancel(listener->io, &real->retry);
    close(real->descriptor);
    mem_free(real);
}
