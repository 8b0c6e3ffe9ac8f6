// SPDX-License-Identifier: Apache-2.0
/* http1.h: HTTP/1.1 requests without a body, as health checks, scrapers and browsers send them (RFC 9112).
 *
 * Strict where laxness has been an attack elsewhere: no folded headers, no bare line feeds, no control bytes,
 * one space, no body (a request that announces one is refused, so there is no framing to disagree about).
 *
 * Owner   slices borrow from the input. Errors: MALFORMED, TOO_LARGE (more than HTTP1_HEAD_SIZE_MAX without
 * an end), UNSUPPORTED (a body, or another version). Loop: pure. */
#ifndef SENTINEL_WIRE_HTTP1_H
#define SENTINEL_WIRE_HTTP1_H

#include "base/cursor.h"
#include "base/status.h"

#define HTTP1_HEAD_SIZE_MAX ((size_t)8192)

struct http1_request {
    struct slice method, target; /* target: as sent, "/metrics?x=y" */
    struct slice path;           /* target up to '?' */
    bool keep_alive;
    size_t size; /* bytes of the request in the input */
};
/* PENDING: more bytes are needed. */
enum status http1_parse(struct slice bytes, struct http1_request *request) MUST_USE;

/* Writes a whole response; `with_body` is false for HEAD, where the length is still told. */
void http1_respond(struct writer *out, int code, const char *content_type, struct slice body, bool with_body,
                   bool keep_alive);

#endif
