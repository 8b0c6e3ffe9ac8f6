// SPDX-License-Identifier: Apache-2.0
/* http2_flood.h: how many frames that carry nothing a peer may send.
 *
 * Frames that cost us work and bring no request: settings and pings must be answered, resets undo work
 * already begun, priorities and empty frames only take time (RFC 9113 section 10.5; CVE-2019-9511 to -9518,
 * CVE-2023-44487, CVE-2025-8671). Each kind has a bucket of tokens that fills with time; a peer that empties
 * one is told ENHANCE_YOUR_CALM.
 *
 * Pings are as in gRPC (proposal A8): a peer may ping every ten seconds, and each time we send it something
 * its bucket is full again, because measuring the bandwidth of data that arrives takes pings.
 *
 * Loop    one thread; pure: the time comes from the caller. */
#ifndef SENTINEL_WIRE_HTTP2_FLOOD_H
#define SENTINEL_WIRE_HTTP2_FLOOD_H

#include <stdbool.h>
#include <stdint.h>

/*  name     burst  ns for one token       what the peer is told */
#define HTTP2_FLOOD_LIST(X)                                                                                  \
    X(SETTINGS, 32, 1000000000, "too_many_settings")                                                         \
    X(PING, 16, 10000000000, "too_many_pings")                                                               \
    X(RESET, 1000, 5000000, "too_many_resets")                                                               \
    X(PRIORITY, 1000, 10000000, "too_many_priorities")                                                       \
    X(EMPTY, 1000, 10000000, "too_many_empty_frames")

enum http2_flood_kind {
#define HTTP2_FLOOD_ENUM_(name, burst, ns, text) HTTP2_FLOOD_##name,
    HTTP2_FLOOD_LIST(HTTP2_FLOOD_ENUM_)
#undef HTTP2_FLOOD_ENUM_
        HTTP2_FLOOD_COUNT
};

struct http2_flood {
    struct {
        uint64_t since_ns; /* tokens are counted up to here */
        uint64_t tokens;
    } buckets[HTTP2_FLOOD_COUNT];
};

void http2_flood_init(struct http2_flood *flood, uint64_t now_ns);
/* Takes a token; false when there is none: the peer floods. */
bool http2_flood_take(struct http2_flood *flood, enum http2_flood_kind kind, uint64_t now_ns);
void http2_flood_refill(struct http2_flood *flood, enum http2_flood_kind kind);
const char *http2_flood_text(enum http2_flood_kind kind);

#endif
