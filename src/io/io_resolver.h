// SPDX-License-Identifier: Apache-2.0
/* io_resolver.h: host names to addresses beside the loop, for io_connect.
 *
 * getaddrinfo blocks, at worst for half a minute, and cannot be stopped. So each name gets a thread of its
 * own that nobody waits for: neither jobs nor the end of the process. What such a thread finds after the
 * resolver was closed is thrown away.
 *
 * Owner   a resolution belongs to the resolver from start to take. Loop  shard thread only, but for the
 * threads inside. Bounds  IO_RESOLVER_THREADS_MAX names at a time, then BUSY. */
#ifndef SENTINEL_IO_IO_RESOLVER_H
#define SENTINEL_IO_IO_RESOLVER_H

#include "io/io_address.h"
#include "io/io_pool.h"

#define IO_RESOLVER_THREADS_MAX 32

struct io_resolver;
struct io_resolution {
    struct list link;
    struct io_resolver *resolver;
    void *owner; /* NULL: nobody wants it any more */
    bool running;
    struct io_endpoint endpoint;
    /* The thread's while running. */
    union io_sockaddr addresses[IO_ADDRESS_CANDIDATES];
    unsigned count, next;
    enum status status;
};

struct io_resolver *io_resolver_new(struct io_wake *wake);
void io_resolver_close(struct io_resolver *resolver);
enum status io_resolver_start(struct io_resolver *resolver, struct io_resolution *resolution) MUST_USE;
bool io_resolver_has_finished(struct io_resolver *resolver);
void io_resolver_take(struct io_resolver *resolver, struct list *resolutions);

#endif
