// SPDX-License-Identifier: Apache-2.0
#include "io/io_net.h"

#include <errno.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "io/io_error.h"
#include "io/io_file.h"

#define SLICES_AT_ONCE 64
#define SOCKET_EVENTS  (EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET)

static void socket_ready(struct io_watch *watch, uint32_t events);

static struct io_real_socket *real_socket(struct io_socket *socket) {
    return (struct io_real_socket *)socket;
}

/* ---- receive and send ------------------------------------------------------------------------------- */

static void try_recv(struct io_real_socket *socket) {
    struct io_op *op = socket->base.recv_op;
    ssize_t n;
    do {
        n = recv(socket->descriptor, op->request.data, op->request.size, 0);
    } while (n < 0 && errno == EINTR);
    if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
        socket->readable = false;
        return;
    }
    if (n < 0) {
        io_op_complete(op, io_error(errno), errno);
        return;
    }
    if ((size_t)n < op->request.size && !socket->hangup) socket->readable = false;
    op->result = (uint64_t)n;
    op->io->stats.socket_recv_bytes += (uint64_t)n;
    io_op_complete(op, STATUS_OK, 0);
}

static void finish_send(struct io_real_socket *socket, enum status status, int os_error) {
    io_op_complete(socket->base.send_op, status, os_error);
    if (!socket->shutdown_wanted) return;
    socket->shutdown_wanted = false;
    shutdown(socket->descriptor, SHUT_WR);
}

static void try_send(struct io_real_socket *socket) {
    struct io_op *op = socket->base.send_op;
    struct slice rest[SLICES_AT_ONCE];
    uint32_t count;
    while ((count = io_op_rest(op, rest, SLICES_AT_ONCE)) != 0) {
        struct msghdr message = {.msg_iov = (struct iovec *)(uintptr_t)io_iovec(rest), .msg_iovlen = count};
        ssize_t n = sendmsg(socket->descriptor, &message, MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) {
            socket->writable = false;
            return;
        }
        if (n < 0) {
            finish_send(socket, io_error(errno), errno);
            return;
        }
        io_op_advance(op, (size_t)n);
    }
    finish_send(socket, STATUS_OK, 0);
}

/* ---- connect ---------------------------------------------------------------------------------------- */

static void drop_resolution(struct io_real_socket *socket) {
    struct io_resolution *resolution = socket->resolution;
    socket->resolution = NULL;
    /* A thread that still looks the name up owns it until it is done. */
    resolution->owner = NULL;
    if (!resolution->running) mem_free(resolution);
}

static void connected(struct io_real_socket *socket) {
    socket->connecting = false;
    socket->readable = socket->writable = true;
    drop_resolution(socket);
    io_op_complete(socket->base.send_op, STATUS_OK, 0);
}

/* A peer that vanished without a word is noticed when it is silent for so long, or takes nothing for so long.
 */
#define KEEPALIVE_IDLE_S     60
#define KEEPALIVE_INTERVAL_S 15
#define KEEPALIVE_COUNT      4
#define UNTAKEN_MS_MAX       120000U

static void set_options(int descriptor) {
    static const struct {
        int level, name, value;
    } options[] = {{IPPROTO_TCP, TCP_NODELAY, 1},
                   {SOL_SOCKET, SO_KEEPALIVE, 1},
                   {IPPROTO_TCP, TCP_KEEPIDLE, KEEPALIVE_IDLE_S},
                   {IPPROTO_TCP, TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S},
                   {IPPROTO_TCP, TCP_KEEPCNT, KEEPALIVE_COUNT},
                   {IPPROTO_TCP, TCP_USER_TIMEOUT, UNTAKEN_MS_MAX}};
    /* They fail on a connection that is reset already; the next receive says so. */
    for (size_t i = 0; i < ARRAY_COUNT(options); i++)
        (void)setsockopt(descriptor, options[i].level, options[i].name, &options[i].value,
                         sizeof options[i].value);
}

static int open_descriptor(sa_family_t family) {
    return socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

/* 0: connected or under way; else errno. */
static int connect_start(struct io_real_socket *socket, const union io_sockaddr *address) {
    int descriptor = open_descriptor(address->any.sa_family);
    if (descriptor < 0) return errno;
    set_options(descriptor);
    int result = connect(descriptor, &address->any, io_sockaddr_size(address)) == 0 ? 0 : errno;
    /* Interrupted: the attempt goes on by itself. */
    bool pending = result == EINPROGRESS || result == EINTR;
    if (result == 0 || pending) {
        socket->descriptor = descriptor;
        if (io_real_watch((struct io_real *)socket->base.io, descriptor, &socket->watch, SOCKET_EVENTS)) {
            socket->connecting = pending;
            return 0;
        }
        result = errno;
    }
    close(descriptor);
    socket->descriptor = -1;
    return result;
}

static void connect_next(struct io_real_socket *socket, int last_error) {
    struct io_resolution *resolution = socket->resolution;
    while (resolution->next < resolution->count) {
        last_error = connect_start(socket, &resolution->addresses[resolution->next++]);
        if (last_error != 0) continue;
        if (!socket->connecting) connected(socket);
        return;
    }
    enum status status = resolution->count == 0 ? resolution->status : io_error(last_error);
    drop_resolution(socket);
    io_op_complete(socket->base.send_op, status, last_error);
}

static void connect_ready(struct io_real_socket *socket, uint32_t events) {
    int error = 0;
    socklen_t size = sizeof error;
    if ((events & (EPOLLOUT | EPOLLERR | EPOLLHUP)) == 0) return;
    if (getsockopt(socket->descriptor, SOL_SOCKET, SO_ERROR, &error, &size) != 0) error = errno;
    if (error == 0) {
        connected(socket);
        return;
    }
    close(socket->descriptor);
    socket->descriptor = -1;
    socket->connecting = false;
    connect_next(socket, error);
}

void io_net_resolved(struct list *resolutions) {
    struct list *node;
    while ((node = list_pop_front(resolutions)) != NULL) {
        struct io_resolution *resolution = CONTAINER_OF(node, struct io_resolution, link);
        if (resolution->owner == NULL)
            mem_free(resolution);
        else
            connect_next(resolution->owner, 0);
    }
}

static struct io_socket *net_connect(struct io *io, struct io_op *op, const char *address) {
    (void)op;
    struct io_real_socket *socket = mem_calloc(1, sizeof *socket);
    socket->base.io = io;
    socket->descriptor = -1;
    socket->watch.ready = socket_ready;
    struct io_resolution *resolution = mem_calloc(1, sizeof *resolution);
    list_init(&resolution->link);
    resolution->owner = socket;
    resolution->status = io_endpoint_parse(address, &resolution->endpoint);
    socket->resolution = resolution;
    return &socket->base;
}

static void connect_submit(struct io_real_socket *socket) {
    struct io_resolution *resolution = socket->resolution;
    if (resolution->status == STATUS_OK) {
        if (io_endpoint_literal(&resolution->endpoint, &resolution->addresses[0])) {
            resolution->count = 1;
        } else {
            struct io_real *real = (struct io_real *)socket->base.io;
            enum status status = io_resolver_start(real->resolver, resolution);
            if (status == STATUS_OK) return; /* and its thread writes into it from now on */
            resolution->status = status;
        }
    }
    connect_next(socket, resolution->status == STATUS_INVALID ? EINVAL : 0);
}

/* ---- the socket ------------------------------------------------------------------------------------- */

static void socket_ready(struct io_watch *watch, uint32_t events) {
    struct io_real_socket *socket = CONTAINER_OF(watch, struct io_real_socket, watch);
    if (socket->connecting) {
        connect_ready(socket, events);
        return;
    }
    if ((events & (EPOLLRDHUP | EPOLLHUP | EPOLLERR)) != 0) socket->hangup = true;
    if ((events & EPOLLIN) != 0 || socket->hangup) socket->readable = true;
    if ((events & (EPOLLOUT | EPOLLHUP | EPOLLERR)) != 0) socket->writable = true;
    if (socket->base.recv_op != NULL && socket->readable) try_recv(socket);
    if (socket->base.send_op != NULL && socket->writable) try_send(socket);
}

void io_net_submit(struct io_op *op) {
    struct io_real_socket *socket = op->target;
    list_remove(&op->link);
    switch ((enum io_op_kind)op->request.kind) {
    case IO_OP_CONNECT:
        connect_submit(socket);
        break;
    case IO_OP_RECV:
        ASSERT_LE(0, socket->descriptor);
        if (socket->readable) try_recv(socket);
        break;
    case IO_OP_SEND:
        ASSERT_LE(0, socket->descriptor);
        if (socket->writable) try_send(socket);
        break;
    default:
        UNREACHABLE();
    }
}

struct io_socket *io_net_adopt(struct io_real *real, int descriptor) {
    struct io_real_socket *socket = mem_calloc(1, sizeof *socket);
    socket->base.io = &real->base;
    socket->descriptor = descriptor;
    socket->watch.ready = socket_ready;
    socket->readable = socket->writable = true;
    set_options(descriptor);
    if (!io_real_watch(real, descriptor, &socket->watch, SOCKET_EVENTS)) {
        mem_free(socket);
        return NULL;
    }
    atomic_fetch_add(&real->base.handle_count, 1);
    return &socket->base;
}

static struct io_address net_local(const struct io_socket *socket) {
    union io_sockaddr address = {0};
    socklen_t size = sizeof address;
    int descriptor = ((const struct io_real_socket *)socket)->descriptor;
    if (descriptor < 0 || getsockname(descriptor, &address.any, &size) != 0) return (struct io_address){""};
    return io_sockaddr_text(&address);
}

static void net_shutdown(struct io_socket *socket) {
    struct io_real_socket *real = real_socket(socket);
    if (socket->send_op != NULL)
        real->shutdown_wanted = true;
    else if (real->descriptor >= 0)
        shutdown(real->descriptor, SHUT_WR);
}

static void net_close(struct io_socket *socket) {
    struct io_real_socket *real = real_socket(socket);
    if (real->resolution != NULL) drop_resolution(real);
    if (real->descriptor >= 0) close(real->descriptor);
    mem_free(real);
}

const struct io_net_calls io_real_net_calls = {
    .listen = io_listener_open,
    .listener_address = io_listener_bound_address,
    .listener_pause = io_listener_set_paused,
    .listener_close = io_listener_release,
    .connect = net_connect,
    .local = net_local,
    .shutdown = net_shutdown,
    .close = net_close,
};
