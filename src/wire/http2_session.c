// SPDX-License-Identifier: Apache-2.0
#include "wire/http2_internal.h"

#include "base/assert.h"
#include "base/cursor.h"
#include "base/mem.h"

#define FRAME_HEADER_SIZE 9
#define HEADER_OVERHEAD   32        /* RFC 9113 section 6.5.2 */
#define COPY_SIZE_MAX     (2 * KIB) /* data up to this size is copied behind its frame header: one piece less */
#define SETTINGS_MAX      3

struct http2_options http2_options_default(enum http2_side side) {
    return (struct http2_options){.side = side,
                                  .streams_max = HTTP2_STREAMS_MAX,
                                  .stream_window = HTTP2_STREAM_WINDOW,
                                  .connection_window = HTTP2_CONNECTION_WINDOW};
}

/* ---- memory: nghttp2 asks base for it ---------------------------------------------------------------- */

static void *memory_alloc(size_t size, void *ctx) {
    (void)ctx;
    return mem_alloc(size);
}
static void memory_free(void *ptr, void *ctx) {
    (void)ctx;
    mem_free(ptr);
}
static void *memory_calloc(size_t count, size_t size, void *ctx) {
    (void)ctx;
    return mem_calloc(count, size);
}
static void *memory_realloc(void *ptr, size_t size, void *ctx) {
    (void)ctx;
    return mem_realloc(ptr, size);
}

static struct http2_stream *stream_of(struct http2_session *session, int32_t id) {
    return nghttp2_session_get_stream_user_data(session->nghttp2, id);
}

/* ---- header blocks ----------------------------------------------------------------------------------- */

static void block_clear(struct http2_session *session) {
    for (size_t i = 0; i < 2 * session->block.count; i++)
        nghttp2_rcbuf_decref(session->block.parts[i]);
    session->block.count = session->block.size = 0;
    session->block.too_large = false;
}

static int on_begin_headers(nghttp2_session *nghttp2, const nghttp2_frame *frame, void *ctx) {
    struct http2_session *session = ctx;
    block_clear(session);
    if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    struct http2_stream *stream = http2_stream_new(session, frame->hd.stream_id);
    int code = nghttp2_session_set_stream_user_data(nghttp2, stream->id, stream);
    ASSERT_EQ(code, 0);
    return 0;
}

static int on_header(nghttp2_session *nghttp2, const nghttp2_frame *frame, nghttp2_rcbuf *name,
                     nghttp2_rcbuf *value, uint8_t flags, void *ctx) {
    (void)nghttp2;
    (void)frame;
    (void)flags;
    struct http2_session *session = ctx;
    nghttp2_vec n = nghttp2_rcbuf_get_buf(name), v = nghttp2_rcbuf_get_buf(value);
    size_t at = session->block.count;
    session->block.size += n.len + v.len + HEADER_OVERHEAD;
    if (session->block.size > HTTP2_HEADER_LIST_MAX || at == HTTP2_HEADER_COUNT_MAX)
        session->block.too_large = true;
    if (session->block.too_large) return 0;
    nghttp2_rcbuf_incref(name);
    nghttp2_rcbuf_incref(value);
    session->block.parts[2 * at] = name;
    session->block.parts[2 * at + 1] = value;
    session->block.list[at] = (struct http2_header){slice_make(n.base, n.len), slice_make(v.base, v.len)};
    session->block.count++;
    return 0;
}

static void headers_received(struct http2_session *session, struct http2_stream *stream,
                             const nghttp2_frame *frame) {
    struct http2_headers headers = {.list = session->block.list,
                                    .count = session->block.count,
                                    .too_large = session->block.too_large,
                                    .end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0};
    switch (frame->headers.cat) {
    case NGHTTP2_HCAT_REQUEST:
        headers.kind = HTTP2_HEADERS_REQUEST;
        break;
    case NGHTTP2_HCAT_RESPONSE:
        headers.kind = HTTP2_HEADERS_RESPONSE;
        break;
    default: /* a second block: behind a 1xx the response, else trailers */
        headers.kind = HTTP2_HEADERS_TRAILERS;
        if (session->side == HTTP2_CLIENT && headers.count != 0 &&
            slice_equal(headers.list[0].name, SLICE_LITERAL(":status")))
            headers.kind = HTTP2_HEADERS_RESPONSE;
    }
    if (session->side == HTTP2_CLIENT && headers.kind == HTTP2_HEADERS_RESPONSE && headers.count != 0 &&
        headers.list[0].value.size == 3 && headers.list[0].value.data[0] == '1')
        headers.kind = HTTP2_HEADERS_INFORMATIONAL;
    if (session->callbacks.headers != NULL) session->callbacks.headers(session->owner, stream, &headers);
    block_clear(session);
}

/* ---- frames that come -------------------------------------------------------------------------------- */

/* Writes the GOAWAY ourselves: after a fatal error nghttp2 gives nothing any more. */
static void say_farewell(struct http2_session *session, uint32_t error_code, struct slice debug) {
    if (session->terminated) return;
    session->terminated = true;
    struct writer frame;
    writer_init(&frame);
    writer_be32(&frame, (uint32_t)(8 + debug.size) << 8 | NGHTTP2_GOAWAY);
    writer_u8(&frame, 0);
    writer_be32(&frame, 0);
    writer_be32(&frame, (uint32_t)nghttp2_session_get_last_proc_stream_id(session->nghttp2));
    writer_be32(&frame, error_code);
    writer_bytes(&frame, debug);
    chain_append_copy(&session->farewell, writer_slice(&frame));
    writer_release(&frame);
}

static int take_token(struct http2_session *session, enum http2_flood_kind kind) {
    if (http2_flood_take(&session->flood, kind, session->now_ns)) return 0;
    say_farewell(session, NGHTTP2_ENHANCE_YOUR_CALM, slice_from_text(http2_flood_text(kind)));
    return NGHTTP2_ERR_CALLBACK_FAILURE;
}

static int on_begin_frame(nghttp2_session *nghttp2, const nghttp2_frame_hd *hd, void *ctx) {
    (void)nghttp2;
    struct http2_session *session = ctx;
    switch (hd->type) {
    case NGHTTP2_DATA:
        if (hd->length == 0 && (hd->flags & NGHTTP2_FLAG_END_STREAM) == 0)
            return take_token(session, HTTP2_FLOOD_EMPTY);
        return 0;
    case NGHTTP2_HEADERS:
    case NGHTTP2_WINDOW_UPDATE:
    case NGHTTP2_GOAWAY:
        return 0;
    case NGHTTP2_SETTINGS:
        return (hd->flags & NGHTTP2_FLAG_ACK) != 0 ? 0 : take_token(session, HTTP2_FLOOD_SETTINGS);
    case NGHTTP2_PING:
        return (hd->flags & NGHTTP2_FLAG_ACK) != 0 ? 0 : take_token(session, HTTP2_FLOOD_PING);
    case NGHTTP2_RST_STREAM:
        return take_token(session, HTTP2_FLOOD_RESET);
    case NGHTTP2_PRIORITY:
        return take_token(session, HTTP2_FLOOD_PRIORITY);
    default: /* continuations, which nghttp2 also limits for one block */
        return take_token(session, HTTP2_FLOOD_EMPTY);
    }
}

static int on_data_chunk(nghttp2_session *nghttp2, uint8_t flags, int32_t stream_id, const uint8_t *data,
                         size_t size, void *ctx) {
    (void)flags;
    struct http2_session *session = ctx;
    struct http2_stream *stream = stream_of(session, stream_id);
    if (stream == NULL || stream->reset || session->callbacks.data == NULL) {
        nghttp2_session_consume(nghttp2, stream_id, size);
        return 0;
    }
    stream->unconsumed += size;
    stream->unconsumed_stream += size;
    session->callbacks.data(session->owner, stream, slice_make(data, size));
    return session->terminated ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

static int on_frame_recv(nghttp2_session *nghttp2, const nghttp2_frame *frame, void *ctx) {
    (void)nghttp2;
    struct http2_session *session = ctx;
    const struct http2_callbacks *call = &session->callbacks;
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA: {
        struct http2_stream *stream = stream_of(session, frame->hd.stream_id);
        if (stream == NULL || stream->reset) break;
        if (frame->hd.type == NGHTTP2_HEADERS) headers_received(session, stream, frame);
        /* The callback cannot have freed the stream: streams are closed by nghttp2's callback only. */
        if ((frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) break;
        stream->peer_ended = true;
        if (!stream->reset && call->end != NULL) call->end(session->owner, stream);
        break;
    }
    case NGHTTP2_PING:
        if ((frame->hd.flags & NGHTTP2_FLAG_ACK) != 0 && call->pong != NULL) call->pong(session->owner);
        break;
    case NGHTTP2_GOAWAY:
        if (call->goaway != NULL)
            call->goaway(session->owner, frame->goaway.last_stream_id, frame->goaway.error_code,
                         slice_make(frame->goaway.opaque_data, frame->goaway.opaque_data_len));
        break;
    default:
        break;
    }
    return session->terminated ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

/* Each invalid frame makes nghttp2 reset a stream: the peer pays as if it had reset it. */
static int on_invalid_frame(nghttp2_session *nghttp2, const nghttp2_frame *frame, int code, void *ctx) {
    (void)nghttp2;
    (void)frame;
    (void)code;
    return take_token(ctx, HTTP2_FLOOD_RESET);
}

static int on_stream_close(nghttp2_session *nghttp2, int32_t stream_id, uint32_t error_code, void *ctx) {
    (void)nghttp2;
    struct http2_stream *stream = stream_of(ctx, stream_id);
    if (stream != NULL) http2_stream_close(stream, error_code);
    return 0;
}

/* ---- frames that go ---------------------------------------------------------------------------------- */

static int on_frame_send(nghttp2_session *nghttp2, const nghttp2_frame *frame, void *ctx) {
    struct http2_session *session = ctx;
    if (frame->hd.type == NGHTTP2_GOAWAY && frame->goaway.error_code != NGHTTP2_NO_ERROR)
        session->failed = true;
    if (frame->hd.type == NGHTTP2_HEADERS) http2_flood_refill(&session->flood, HTTP2_FLOOD_PING);
    bool ends = (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
                (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (!ends || session->side == HTTP2_CLIENT) return 0;
    struct http2_stream *stream = stream_of(session, frame->hd.stream_id);
    if (stream == NULL || stream->peer_ended || stream->reset) return 0;
    /* The answer is complete and the request is not: ask for no more of it (RFC 9113 section 8.1). */
    stream->reset = true;
    int code = nghttp2_submit_rst_stream(nghttp2, NGHTTP2_FLAG_NONE, stream->id, NGHTTP2_NO_ERROR);
    ASSERT_EQ(code, 0);
    return 0;
}

static void move_data(struct chain *out, struct chain *queue, size_t size) {
    if (size > COPY_SIZE_MAX) {
        chain_move(out, queue, size);
        return;
    }
    while (size != 0) {
        struct slice piece;
        chain_peek(queue, &piece, 1);
        piece.size = MIN(piece.size, size);
        chain_append_copy(out, piece);
        size -= piece.size;
        chain_consume(queue, piece.size);
    }
}

static int send_data(nghttp2_session *nghttp2, nghttp2_frame *frame, const uint8_t *header, size_t size,
                     nghttp2_data_source *source, void *ctx) {
    (void)nghttp2;
    struct http2_session *session = ctx;
    struct http2_stream *stream = source->ptr;
    ASSERT(session->out != NULL);
    if (session->out->size >= session->out_size_max)
        return NGHTTP2_ERR_WOULDBLOCK; /* asked again next time */
    ASSERT_EQ(stream->committed, size);
    stream->committed = 0;
    ASSERT_EQ(frame->data.padlen, (size_t)0); /* no padding callback is set */
    http2_flood_refill(&session->flood, HTTP2_FLOOD_PING);
    chain_append_copy(session->out, slice_make(header, FRAME_HEADER_SIZE));
    move_data(session->out, &stream->queue, size);
    session->queued -= size;
    if (stream->was_above && stream->queue.size <= HTTP2_STREAM_QUEUE_LOW) {
        stream->was_above = false;
        if (session->callbacks.writable != NULL && !stream->reset)
            session->callbacks.writable(session->owner, stream);
    }
    return 0;
}

void http2_produce(struct http2_session *session, struct chain *out, size_t size_max) {
    ASSERT(!session->busy);
    session->busy = true;
    session->out = out;
    session->out_size_max = size_max;
    while (!session->terminated && out->size < size_max) {
        const uint8_t *frame;
        ssize_t size = nghttp2_session_mem_send(session->nghttp2, &frame);
        ASSERT_LE((ssize_t)0, size); /* only out of memory and our own callbacks could fail */
        if (size == 0) break;
        chain_append_copy(out, slice_make(frame, (size_t)size));
    }
    if (session->terminated) chain_append_chain(out, &session->farewell);
    session->out = NULL;
    session->busy = false;
}

/* ---- session ----------------------------------------------------------------------------------------- */

static nghttp2_session_callbacks *callbacks_new(void) {
    nghttp2_session_callbacks *list;
    int code = nghttp2_session_callbacks_new(&list);
    ASSERT_EQ(code, 0);
    nghttp2_session_callbacks_set_on_begin_frame_callback(list, on_begin_frame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(list, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback2(list, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(list, on_data_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(list, on_frame_recv);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(list, on_invalid_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(list, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_send_callback(list, on_frame_send);
    nghttp2_session_callbacks_set_send_data_callback(list, send_data);
    return list;
}

static void submit_first_frames(struct http2_session *session, const struct http2_options *options) {
    nghttp2_settings_entry settings[SETTINGS_MAX] = {
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, options->stream_window},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HTTP2_HEADER_LIST_MAX},
    };
    settings[2] = options->side == HTTP2_SERVER
                      ? (nghttp2_settings_entry){NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
                                                 options->streams_max}
                      : (nghttp2_settings_entry){NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
    int code = nghttp2_submit_settings(session->nghttp2, NGHTTP2_FLAG_NONE, settings, SETTINGS_MAX);
    ASSERT_EQ(code, 0);
    code = nghttp2_session_set_local_window_size(session->nghttp2, NGHTTP2_FLAG_NONE, 0,
                                                 options->connection_window);
    ASSERT_EQ(code, 0);
}

struct http2_session *http2_session_new(const struct http2_options *options,
                                        const struct http2_callbacks *callbacks, void *owner) {
    struct http2_session *session = mem_calloc(1, sizeof *session);
    session->side = options->side;
    session->callbacks = *callbacks;
    session->owner = owner;
    list_init(&session->streams);
    chain_init(&session->farewell);

    nghttp2_option *option;
    int code = nghttp2_option_new(&option);
    ASSERT_EQ(code, 0);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_option_set_no_closed_streams(option, 1);
    nghttp2_option_set_stream_reset_rate_limit(option, UINT64_MAX, UINT64_MAX);
    nghttp2_session_callbacks *list = callbacks_new();
    nghttp2_mem memory = {NULL, memory_alloc, memory_free, memory_calloc, memory_realloc};
    code = options->side == HTTP2_SERVER
               ? nghttp2_session_server_new3(&session->nghttp2, list, session, option, &memory)
               : nghttp2_session_client_new3(&session->nghttp2, list, session, option, &memory);
    ASSERT_EQ(code, 0);
    nghttp2_session_callbacks_del(list);
    nghttp2_option_del(option);
    submit_first_frames(session, options);
    return session;
}

void http2_session_free(struct http2_session *session) {
    if (session == NULL) return;
    ASSERT(!session->busy);
    session->terminated = true;
    LIST_FOREACH(it, &session->streams)
        http2_stream_close(CONTAINER_OF(it, struct http2_stream, link), NGHTTP2_CANCEL);
    ASSERT_EQ(session->stream_count, (size_t)0);
    block_clear(session);
    nghttp2_session_del(session->nghttp2);
    chain_release(&session->farewell);
    mem_free(session);
}

enum status http2_receive(struct http2_session *session, struct slice bytes, uint64_t now_ns) {
    ASSERT(!session->busy);
    if (session->terminated) return STATUS_CLOSED;
    if (!session->started) http2_flood_init(&session->flood, now_ns);
    session->started = true;
    session->now_ns = now_ns;
    session->busy = true;
    ssize_t taken = nghttp2_session_mem_recv(session->nghttp2, bytes.data, bytes.size);
    session->busy = false;
    if (taken >= 0) return session->terminated ? STATUS_CLOSED : STATUS_OK;
    if (session->terminated) return STATUS_BUSY;
    if (taken == NGHTTP2_ERR_FLOODED || taken == NGHTTP2_ERR_TOO_MANY_CONTINUATIONS) {
        say_farewell(session, NGHTTP2_ENHANCE_YOUR_CALM, SLICE_LITERAL("too_many_frames"));
        return STATUS_BUSY;
    }
    say_farewell(session, NGHTTP2_PROTOCOL_ERROR, SLICE_EMPTY);
    return STATUS_MALFORMED;
}

bool http2_wants_to_send(const struct http2_session *session) {
    return session->terminated ? session->farewell.size != 0
                               : nghttp2_session_want_write(session->nghttp2) != 0;
}

bool http2_session_done(const struct http2_session *session) {
    if (session->terminated) return session->farewell.size == 0;
    return session->failed ||
           (!nghttp2_session_want_read(session->nghttp2) && !nghttp2_session_want_write(session->nghttp2));
}

size_t http2_session_queued(const struct http2_session *session) {
    return session->queued;
}

size_t http2_stream_count(const struct http2_session *session) {
    return session->stream_count;
}

/* ---- connection -------------------------------------------------------------------------------------- */

void http2_ping(struct http2_session *session) {
    if (session->terminated) return;
    int code = nghttp2_submit_ping(session->nghttp2, NGHTTP2_FLAG_NONE, NULL);
    ASSERT_EQ(code, 0);
}

void http2_announce_drain(struct http2_session *session) {
    ASSERT(session->side == HTTP2_SERVER);
    if (session->terminated) return;
    int code = nghttp2_submit_shutdown_notice(session->nghttp2);
    MAYBE(code != 0); /* a GOAWAY went out already */
}

void http2_drain(struct http2_session *session) {
    if (session->terminated) return;
    int code = nghttp2_submit_goaway(session->nghttp2, NGHTTP2_FLAG_NONE,
                                     nghttp2_session_get_last_proc_stream_id(session->nghttp2),
                                     NGHTTP2_NO_ERROR, NULL, 0);
    ASSERT_EQ(code, 0);
}

void http2_terminate(struct http2_session *session, uint32_t error_code, const char *debug) {
    say_farewell(session, error_code, slice_from_text(debug));
}
