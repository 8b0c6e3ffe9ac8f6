// SPDX-License-Identifier: Apache-2.0
/* http2_session.h: one end of an HTTP/2 connection (RFC 9113), bytes in and bytes out, for servers and
 * clients.
 *
 *   bytes from the peer ──> http2_receive ──> callbacks (headers, data, end, closed, ...)
 *   http2_respond, _send, _trailers, _reset ──> stream queues ──> http2_produce ──> chain for the socket
 *
 * Framing and header compression are nghttp2's; this layer adds what a broker needs around it:
 *   - data is sent from chains of shared pieces and never copied (NGHTTP2_DATA_FLAG_NO_COPY);
 *   - the peer's window opens only when the owner says that bytes were used (http2_consume), so that
 *     back-pressure reaches the peer's application;
 *   - floods are counted on the caller's clock. nghttp2 1.52 limits resets by the wall clock; that limiter is
 *     set out of reach, because what happens here must depend on nothing but the calls.
 *
 * Owner   the session is the owner's; streams are the session's: valid from the `headers` callback (server)
 * or http2_request (client) until the `closed` callback returns. stream user pointers are the owner's. Slices
 * in callbacks are lent for the call. Callbacks run inside http2_receive and http2_produce. They may call
 * everything here but http2_receive, http2_produce and http2_session_free. Units   times in ns of any
 * monotonic clock, given by the caller; sizes in bytes. Errors  MALFORMED (the peer broke the protocol), BUSY
 * (a flood, RFC 9113 section 10.5): a GOAWAY is then queued; send what http2_produce still gives, and close.
 * CLOSED: the session ended in good order. Bounds  HTTP2_*; stream queues are bounded by the owner, who looks
 * at http2_stream_queued. Loop    one thread; pure. */
#ifndef SENTINEL_WIRE_HTTP2_SESSION_H
#define SENTINEL_WIRE_HTTP2_SESSION_H

#include "base/chain.h"
#include "base/status.h"
#include "base/units.h"

#define HTTP2_STREAM_WINDOW     ((uint32_t)(1 * MIB))
#define HTTP2_CONNECTION_WINDOW ((int32_t)(8 * MIB))
#define HTTP2_STREAMS_MAX       256
#define HTTP2_HEADER_LIST_MAX   (16 * KIB) /* names, values and 32 for each, RFC 9113 section 6.5.2 */
#define HTTP2_HEADER_COUNT_MAX  64
#define HTTP2_STREAM_QUEUE_LOW  (64 * KIB) /* `writable` is called when a queue falls to this */
#define HTTP2_PREFACE           "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"

/* Error codes of RFC 9113 section 7 that owners use. */
enum {
    HTTP2_NO_ERROR = 0,
    HTTP2_PROTOCOL_ERROR = 1,
    HTTP2_INTERNAL_ERROR = 2,
    HTTP2_REFUSED_STREAM = 7,
    HTTP2_CANCEL = 8,
    HTTP2_ENHANCE_YOUR_CALM = 11
};

struct http2_session;
struct http2_stream;

enum http2_side { HTTP2_SERVER, HTTP2_CLIENT };

struct http2_header {
    struct slice name, value; /* name in lower case; pseudo-headers begin with ':' */
};

enum http2_headers_kind {
    HTTP2_HEADERS_REQUEST,
    HTTP2_HEADERS_RESPONSE,
    HTTP2_HEADERS_INFORMATIONAL, /* 1xx, before the response */
    HTTP2_HEADERS_TRAILERS
};
struct http2_headers {
    enum http2_headers_kind kind;
    const struct http2_header *list;
    size_t count;
    bool too_large; /* above HTTP2_HEADER_LIST_MAX or _COUNT_MAX: what is listed is incomplete */
    bool end;       /* nothing follows from the peer on this stream; `end` is called next */
};

/* Each may be NULL. `owner` is what http2_session_new was given. */
struct http2_callbacks {
    /* A whole header block. For a request the stream is new: set its user pointer. */
    void (*headers)(void *owner, struct http2_stream *stream, const struct http2_headers *headers);
    /* Some bytes of the body. They count against the peer's window until http2_consume. */
    void (*data)(void *owner, struct http2_stream *stream, struct slice bytes);
    void (*end)(void *owner, struct http2_stream *stream); /* the peer finished sending on this stream */
    /* The stream is gone, whoever ended it: HTTP2_NO_ERROR after both sides finished, else why. Bytes not
     * consumed yet are given back by the session. */
    void (*closed)(void *owner, struct http2_stream *stream, uint32_t error_code);
    /* The queue of the stream fell to HTTP2_STREAM_QUEUE_LOW or below after it had been above. */
    void (*writable)(void *owner, struct http2_stream *stream);
    /* The peer will take no new stream (and knows none above last_stream_id). */
    void (*goaway)(void *owner, int32_t last_stream_id, uint32_t error_code, struct slice debug);
    void (*pong)(void *owner); /* the answer to http2_ping */
};

struct http2_options {
    enum http2_side side;
    uint32_t streams_max;      /* what the peer may open at once (server) */
    uint32_t stream_window;    /* bytes the peer may send on one stream before some are consumed */
    int32_t connection_window; /* and on all streams together */
};
struct http2_options http2_options_default(enum http2_side side);

struct http2_session *http2_session_new(const struct http2_options *options,
                                        const struct http2_callbacks *callbacks, void *owner);
/* `closed` is called for every stream that is left. */
void http2_session_free(struct http2_session *session);

/* Takes all of `bytes`. After any status but OK only http2_produce and http2_session_free may follow. */
enum status http2_receive(struct http2_session *session, struct slice bytes, uint64_t now_ns) MUST_USE;
/* Appends frames to `out` until nothing may be sent now or `out` holds `size_max` bytes or more (by at most
 * one frame). */
void http2_produce(struct http2_session *session, struct chain *out, size_t size_max);
/* Whether http2_produce would give something. */
bool http2_wants_to_send(const struct http2_session *session);
/* The session is over: nothing will come or go any more. */
bool http2_session_done(const struct http2_session *session);
size_t http2_stream_count(const struct http2_session *session);
/* Bytes in the queues of all streams. */
size_t http2_session_queued(const struct http2_session *session);

/* ---- streams ------------------------------------------------------------------------------------------- */

void http2_stream_set_user(struct http2_stream *stream, void *user);
void *http2_stream_user(const struct http2_stream *stream);
/* Bytes given to http2_send that have not gone out. */
size_t http2_stream_queued(const struct http2_stream *stream);

/* Client: opens a stream; NULL when the session takes none (GOAWAY, ids used up). With `end` there is no
 * body. */
struct http2_stream *http2_request(struct http2_session *session, const struct http2_header *headers,
                                   size_t count, bool end, void *user);
/* Server: the response's header; with `end` it is all (gRPC: trailers-only). At most once a stream. */
void http2_respond(struct http2_stream *stream, const struct http2_header *headers, size_t count, bool end);
/* Takes all of `bytes` (left empty) to the end of the stream's queue; goes out as the peer's windows allow.
 * After http2_respond or http2_request, and before the end. */
void http2_send(struct http2_stream *stream, struct chain *bytes);
/* The same for bytes that are few and are copied. */
void http2_send_copy(struct http2_stream *stream, const struct slice *parts, size_t count);
/* Server: what follows the body; ends our side. Client: http2_finish ends our side. At most one of them. */
void http2_trailers(struct http2_stream *stream, const struct http2_header *headers, size_t count);
void http2_finish(struct http2_stream *stream);
/* Drops what is queued and tells the peer why; `closed` follows in a later http2_produce. */
void http2_reset(struct http2_stream *stream, uint32_t error_code);
/* `size` bytes of data were used: the peer may send as many more. */
void http2_consume(struct http2_stream *stream, size_t size);
/* The same in two steps: a stream that is held back (its own window stays shut) must not hold back the
 * others, which share the connection's window. Each byte goes through both, or through http2_consume. */
void http2_consume_connection(struct http2_stream *stream, size_t size);
void http2_consume_stream(struct http2_stream *stream, size_t size);

/* ---- connection ---------------------------------------------------------------------------------------- */

void http2_ping(struct http2_session *session);
/* Announces the end (a first GOAWAY with the highest id, RFC 9113 section 6.8), so that requests on their way
 * are still taken; http2_drain then names the last stream taken. Streams under way go on. */
void http2_announce_drain(struct http2_session *session);
void http2_drain(struct http2_session *session);
/* Ends the session at once with this reason; only http2_produce may follow. */
void http2_terminate(struct http2_session *session, uint32_t error_code, const char *debug);

#endif
