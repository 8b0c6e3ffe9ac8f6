// SPDX-License-Identifier: Apache-2.0
/* http2_internal.h: what http2_session.c (frames) and http2_stream.c (what owners do with streams) share.
 * Included by no one else. */
#ifndef SENTINEL_WIRE_HTTP2_INTERNAL_H
#define SENTINEL_WIRE_HTTP2_INTERNAL_H

#include <nghttp2/nghttp2.h>

#include "base/cursor.h"
#include "base/list.h"
#include "wire/http2_flood.h"
#include "wire/http2_session.h"

enum http2_stream_end { HTTP2_END_NONE, HTTP2_END_FINISH, HTTP2_END_TRAILERS };

struct http2_stream {
    struct list link;
    struct http2_session *session;
    int32_t id;
    void *user;
    struct chain queue;
    size_t committed; /* front of the queue that nghttp2 has already put into a frame's length */
    size_t unconsumed, unconsumed_stream; /* received and not yet given back to the windows of both */
    uint8_t trailer_space[64];
    struct writer trailers; /* encoded: name size, value size (be32 each), name, value */
    size_t trailer_count;
    enum http2_stream_end end;
    bool deferred;  /* nghttp2 asked for data and there was none */
    bool was_above; /* the queue has been above HTTP2_STREAM_QUEUE_LOW */
    bool responded, reset, peer_ended;
};

struct http2_session {
    nghttp2_session *nghttp2;
    enum http2_side side;
    struct http2_callbacks callbacks;
    void *owner;
    struct list streams;
    size_t stream_count, queued;
    struct http2_flood flood;
    uint64_t now_ns;
    bool started; /* the first bytes came: the flood clock runs */
    /* The header block under way: HTTP/2 never interleaves two. */
    struct {
        nghttp2_rcbuf *parts[2 * HTTP2_HEADER_COUNT_MAX];
        struct http2_header list[HTTP2_HEADER_COUNT_MAX];
        size_t count, size;
        bool too_large;
    } block;
    struct chain *out; /* inside http2_produce */
    size_t out_size_max;
    struct chain farewell; /* a GOAWAY that we wrote ourselves */
    bool terminated;       /* nothing but the farewell goes out */
    bool failed;           /* nghttp2 found a broken protocol and said GOAWAY */
    bool busy;             /* inside http2_receive or http2_produce */
};

struct http2_stream *http2_stream_new(struct http2_session *session, int32_t id);
/* Calls `closed` and frees. */
void http2_stream_close(struct http2_stream *stream, uint32_t error_code);

#endif
