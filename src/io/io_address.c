// SPDX-License-Identifier: Apache-2.0
#include "io/io_address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>

#include "base/assert.h"

static bool parse_port(const char *text, uint16_t *port) {
    unsigned value = 0;
    size_t digits = 0;
    for (; text[digits] >= '0' && text[digits] <= '9' && digits < 6; digits++)
        value = value * 10 + (unsigned)(text[digits] - '0');
    if (digits == 0 || text[digits] != 0 || value > UINT16_MAX) return false;
    *port = (uint16_t)value;
    return true;
}

enum status io_endpoint_parse(const char *text, struct io_endpoint *endpoint) {
    const char *host = text, *colon;
    size_t host_size;
    endpoint->bracketed = text[0] == '[';
    if (endpoint->bracketed) {
        const char *bracket = strchr(text, ']');
        if (bracket == NULL || bracket[1] != ':') return STATUS_INVALID;
        host++;
        host_size = (size_t)(bracket - host);
        colon = bracket + 1;
    } else {
        colon = strrchr(text, ':');
        if (colon == NULL) return STATUS_INVALID;
        host_size = (size_t)(colon - host);
        /* An IPv6 literal without brackets: which colon ends it could only be guessed. */
        if (memchr(host, ':', host_size) != NULL) return STATUS_INVALID;
    }
    if (host_size == 0 || host_size > IO_HOST_SIZE_MAX) return STATUS_INVALID;
    memcpy(endpoint->host, host, host_size);
    endpoint->host[host_size] = 0;
    return parse_port(colon + 1, &endpoint->port) ? STATUS_OK : STATUS_INVALID;
}

bool io_endpoint_literal(const struct io_endpoint *endpoint, union io_sockaddr *address) {
    memset(address, 0, sizeof *address);
    if (endpoint->bracketed) {
        address->v6.sin6_family = AF_INET6;
        address->v6.sin6_port = htons(endpoint->port);
        return inet_pton(AF_INET6, endpoint->host, &address->v6.sin6_addr) == 1;
    }
    address->v4.sin_family = AF_INET;
    address->v4.sin_port = htons(endpoint->port);
    return inet_pton(AF_INET, endpoint->host, &address->v4.sin_addr) == 1;
}

enum status io_endpoint_resolve(const struct io_endpoint *endpoint, union io_sockaddr *addresses,
                                unsigned *count) {
    *count = 0;
    if (io_endpoint_literal(endpoint, &addresses[0])) {
        *count = 1;
        return STATUS_OK;
    }
    if (endpoint->bracketed) return STATUS_INVALID;
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM}, *found = NULL;
    if (getaddrinfo(endpoint->host, NULL, &hints, &found) != 0) return STATUS_NOT_FOUND;
    for (const struct addrinfo *it = found; it != NULL && *count < IO_ADDRESS_CANDIDATES; it = it->ai_next) {
        if (it->ai_family != AF_INET && it->ai_family != AF_INET6) continue;
        union io_sockaddr *address = &addresses[(*count)++];
        memset(address, 0, sizeof *address);
        memcpy(address, it->ai_addr, it->ai_addrlen);
        if (it->ai_family == AF_INET)
            address->v4.sin_port = htons(endpoint->port);
        else
            address->v6.sin6_port = htons(endpoint->port);
    }
    freeaddrinfo(found);
    return *count != 0 ? STATUS_OK : STATUS_NOT_FOUND;
}

socklen_t io_sockaddr_size(const union io_sockaddr *address) {
    return address->any.sa_family == AF_INET6 ? sizeof address->v6 : sizeof address->v4;
}

struct io_address io_sockaddr_text(const union io_sockaddr *address) {
    struct io_address text = {""};
    char host[INET6_ADDRSTRLEN] = "";
    if (address->any.sa_family == AF_INET6) {
        inet_ntop(AF_INET6, &address->v6.sin6_addr, host, sizeof host);
        snprintf(text.text, sizeof text.text, "[%s]:%u", host, ntohs(address->v6.sin6_port));
    } else if (address->any.sa_family == AF_INET) {
        inet_ntop(AF_INET, &address->v4.sin_addr, host, sizeof host);
        snprintf(text.text, sizeof text.text, "%s:%u", host, ntohs(address->v4.sin_port));
    }
    return text;
}
