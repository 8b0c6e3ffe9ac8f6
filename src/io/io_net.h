// SPDX-License-Identifier: Apache-2.0
/* io_net.h: TCP over epoll, shared by the real backends.
 *
 * A receive or send is tried when it is submitted, and waits for readiness only if the kernel has nothing
 * (no room): under load a request costs one system call to receive and one to send. Sockets are watched
 * edge-triggered once for their whole life, so nothing is re-registered; `readable` remembers an edge that
 * nobody has used yet, and a receive that got less than it asked for has drained the socket (epoll(7)),
 * except that an end of stream seen earlier leaves no further edge, which `hangup` remembers.
 *
 * A peer that vanishes (a cut cable, a host that lost power) is found out by TCP's own keepalive: after two
 * minutes of silence, or of bytes it does not acknowledge, the next operation fails.
 *
 * Owner   io_socket_close frees the socket. Errors  io_error of the errno. Loop  shard thread only. */
#ifndef SENTINEL_IO_IO_NET_H
#define SENTINEL_IO_IO_NET_H

#include "io/io_address.h"
#include "io/io_real.h"

struct io_real_socket {
    struct io_socket base;
    struct io_watch watch;
    int descriptor; /* -1: not connected yet */
    bool connecting, readable, writable, hangup, shutdown_wanted;
    struct io_resolution *resolution; /* while connecting */
};

extern const struct io_net_calls io_real_net_calls;

/* Carries out a queued connect, recv or send as far as it goes. */
void io_net_submit(struct io_op *op);
/* Names that were looked up: their connects go on. */
void io_net_resolved(struct list *resolutions);
/* A connected descriptor becomes a socket. */
struct io_socket *io_net_adopt(struct io_real *real, int descriptor);

/* io_listener.c */
enum status io_listener_open(struct io *io, const char *address,
                             void (*accepted)(void *ctx, struct io_socket *socket,
                                              const struct io_address *peer),
                             void *ctx, struct io_listener **listener, struct diagnostic *diagnostic);
struct io_address io_listener_bound_address(const struct io_listener *listener);
void io_listener_set_paused(struct io_listener *listener, bool paused);
void io_listener_release(struct io_listener *listener);

#endif
