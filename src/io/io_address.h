// SPDX-License-Identifier: Apache-2.0
/* io_address.h: "HOST:PORT" to what the kernel wants, and back.
 *
 * HOST is an IPv4 literal, an IPv6 literal in brackets, or a name. Literals never touch the resolver.
 * Owner: the caller. Bounds: IO_ADDRESS_CANDIDATES addresses of a name are tried, the rest is ignored.
 * Errors: INVALID for text of another form, NOT_FOUND for a name that does not resolve. Loop: any thread;
 * io_address_resolve may block for seconds. */
#ifndef SENTINEL_IO_IO_ADDRESS_H
#define SENTINEL_IO_IO_ADDRESS_H

#include <netinet/in.h>
#include <sys/socket.h>

#include "io/io.h"

#define IO_ADDRESS_CANDIDATES 4
#define IO_HOST_SIZE_MAX      255 /* RFC 1035, 2.3.4 */

union io_sockaddr {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};
struct io_endpoint {
    char host[IO_HOST_SIZE_MAX + 1]; /* no brackets */
    uint16_t port;
    bool bracketed;
};

enum status io_endpoint_parse(const char *text, struct io_endpoint *endpoint) MUST_USE;
/* false: the host is a name. */
bool io_endpoint_literal(const struct io_endpoint *endpoint, union io_sockaddr *address);
/* Fills up to IO_ADDRESS_CANDIDATES addresses. */
enum status io_endpoint_resolve(const struct io_endpoint *endpoint, union io_sockaddr *addresses,
                                unsigned *count) MUST_USE;
socklen_t io_sockaddr_size(const union io_sockaddr *address);
struct io_address io_sockaddr_text(const union io_sockaddr *address);

#endif
