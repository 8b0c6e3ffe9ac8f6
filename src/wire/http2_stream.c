// SPDX-License-Identifier: Apache-2.0
#include "base/assert.h"
#include "base/mem.h"
#include "wire/http2_internal.h"

static void submit_trailers(struct http2_stream *stream) {
    nghttp2_nv list[HTTP2_HEADER_COUNT_MAX];
    struct reader reader = reader_make(writer_slice(&stream->trailers));
    for (size_t i = 0; i < stream->trailer_count; i++) {
        uint32_t name_size = reader_be32(&reader), value_size = reader_be32(&reader);
        struct slice name = reader_bytes(&reader, name_size), value = reader_bytes(&reader, value_size);
        list[i] = (nghttp2_nv){(uint8_t *)name.data, (uint8_t *)value.data, name.size, value.size,
                               NGHTTP2_NV_FLAG_NONE};
    }
    ASSERT(reader_ok(&reader));
    int code = nghttp2_submit_trailer(stream->session->nghttp2, stream->id, list, stream->trailer_count);
    ASSERT_EQ(code, 0);
}

static ssize_t read_data(nghttp2_session *nghttp2, int32_t stream_id, uint8_t *data, size_t size,
                         uint32_t *flags, nghttp2_data_source *source, void *ctx) {
    (void)nghttp2;
    (void)stream_id;
    (void)data;
    (void)ctx;
    struct http2_stream *stream = source->ptr;
    size_t taken = MIN(size, stream->queue.size);
    if (taken == 0 && stream->end == HTTP2_END_NONE) {
        stream->deferred = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    stream->committed = taken;
    if (taken == stream->queue.size && stream->end != HTTP2_END_NONE) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        if (stream->end == HTTP2_END_TRAILERS) {
            *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
            submit_trailers(stream);
        }
    }
    return (ssize_t)taken;
}

struct http2_stream *http2_stream_new(struct http2_session *session, int32_t id) {
    struct http2_stream *stream = mem_calloc(1, sizeof *stream);
    stream->session = session;
    stream->id = id;
    chain_init(&stream->queue);
    writer_init_in(&stream->trailers, stream->trailer_space, sizeof stream->trailer_space);
    list_push_back(&session->streams, &stream->link);
    session->stream_count++;
    return stream;
}

void http2_stream_close(struct http2_stream *stream, uint32_t error_code) {
    struct http2_session *session = stream->session;
    if (stream->unconsumed != 0 && !session->terminated) {
        /* What nobody will use any more must not keep the window of the connection small. */
        nghttp2_session_consume_connection(session->nghttp2, stream->unconsumed);
    }
    if (session->callbacks.closed != NULL) session->callbacks.closed(session->owner, stream, error_code);
    ASSERT_LT((size_t)0, session->stream_count);
    session->stream_count--;
    list_remove(&stream->link);
    session->queued -= stream->queue.size;
    chain_release(&stream->queue);
    writer_release(&stream->trailers);
    mem_free(stream);
}

void http2_stream_set_user(struct http2_stream *stream, void *user) {
    stream->user = user;
}
void *http2_stream_user(const struct http2_stream *stream) {
    return stream->user;
}
size_t http2_stream_queued(const struct http2_stream *stream) {
    return stream->queue.size;
}

static void to_nghttp2(nghttp2_nv *list, const struct http2_header *headers, size_t count) {
    ASSERT_LE(count, (size_t)HTTP2_HEADER_COUNT_MAX);
    for (size_t i = 0; i < count; i++)
        list[i] = (nghttp2_nv){(uint8_t *)headers[i].name.data, (uint8_t *)headers[i].value.data,
                               headers[i].name.size, headers[i].value.size, NGHTTP2_NV_FLAG_NONE};
}

struct http2_stream *http2_request(struct http2_session *session, const struct http2_header *headers,
                                   size_t count, bool end, void *user) {
    ASSERT(session->side == HTTP2_CLIENT);
    if (session->terminated || !nghttp2_session_check_request_allowed(session->nghttp2)) return NULL;
    nghttp2_nv list[HTTP2_HEADER_COUNT_MAX];
    to_nghttp2(list, headers, count);
    struct http2_stream *stream = http2_stream_new(session, 0);
    nghttp2_data_provider provider = {.source.ptr = stream, .read_callback = read_data};
    stream->id = nghttp2_submit_request(session->nghttp2, NULL, list, count, end ? NULL : &provider, stream);
    ASSERT_LT(0, stream->id); /* ids are not used up: asked above */
    stream->user = user;
    stream->responded = true; /* our header is on its way */
    if (end) stream->end = HTTP2_END_FINISH;
    return stream;
}

void http2_respond(struct http2_stream *stream, const struct http2_header *headers, size_t count, bool end) {
    struct http2_session *session = stream->session;
    ASSERT(session->side == HTTP2_SERVER);
    ASSERT(!stream->responded);
    stream->responded = true;
    if (end) stream->end = HTTP2_END_FINISH;
    if (session->terminated || stream->reset) return;
    nghttp2_nv list[HTTP2_HEADER_COUNT_MAX];
    to_nghttp2(list, headers, count);
    nghttp2_data_provider provider = {.source.ptr = stream, .read_callback = read_data};
    int code = nghttp2_submit_response(session->nghttp2, stream->id, list, count, end ? NULL : &provider);
    ASSERT_EQ(code, 0);
}

static void resume(struct http2_stream *stream) {
    if (!stream->deferred || stream->session->terminated || stream->reset) return;
    stream->deferred = false;
    int code = nghttp2_session_resume_data(stream->session->nghttp2, stream->id);
    MAYBE(code != 0); /* the peer may have closed the stream: `closed` follows */
}

void http2_send(struct http2_stream *stream, struct chain *bytes) {
    ASSERT(stream->responded);
    ASSERT(stream->end == HTTP2_END_NONE);
    if (bytes->size == 0) return;
    if (stream->session->terminated || stream->reset) {
        chain_release(bytes);
        return;
    }
    stream->session->queued += bytes->size;
    chain_append_chain(&stream->queue, bytes);
    if (stream->queue.size > HTTP2_STREAM_QUEUE_LOW) stream->was_above = true;
    resume(stream);
}

void http2_send_copy(struct http2_stream *stream, const struct slice *parts, size_t count) {
    ASSERT(stream->responded);
    ASSERT(stream->end == HTTP2_END_NONE);
    if (stream->session->terminated || stream->reset) return;
    for (size_t i = 0; i < count; i++) {
        chain_append_copy(&stream->queue, parts[i]);
        stream->session->queued += parts[i].size;
    }
    if (stream->queue.size > HTTP2_STREAM_QUEUE_LOW) stream->was_above = true;
    resume(stream);
}

void http2_trailers(struct http2_stream *stream, const struct http2_header *headers, size_t count) {
    ASSERT(stream->session->side == HTTP2_SERVER);
    ASSERT(stream->responded);
    ASSERT(stream->end == HTTP2_END_NONE);
    ASSERT_LE(count, (size_t)HTTP2_HEADER_COUNT_MAX);
    stream->end = HTTP2_END_TRAILERS;
    stream->trailer_count = count;
    for (size_t i = 0; i < count; i++) {
        writer_be32(&stream->trailers, (uint32_t)headers[i].name.size);
        writer_be32(&stream->trailers, (uint32_t)headers[i].value.size);
        writer_bytes(&stream->trailers, headers[i].name);
        writer_bytes(&stream->trailers, headers[i].value);
    }
    resume(stream);
}

void http2_finish(struct http2_stream *stream) {
    ASSERT(stream->responded);
    ASSERT(stream->end == HTTP2_END_NONE);
    stream->end = HTTP2_END_FINISH;
    resume(stream);
}

void http2_reset(struct http2_stream *stream, uint32_t error_code) {
    if (stream->reset) return;
    stream->reset = true;
    struct chain kept;
    chain_init(&kept);
    chain_move(&kept, &stream->queue, stream->committed);
    stream->session->queued -= stream->queue.size;
    chain_release(&stream->queue);
    stream->queue = kept;
    if (stream->end == HTTP2_END_NONE) stream->end = HTTP2_END_FINISH;
    if (stream->session->terminated) return;
    int code = nghttp2_submit_rst_stream(stream->session->nghttp2, NGHTTP2_FLAG_NONE, stream->id, error_code);
    ASSERT_EQ(code, 0);
}

void http2_consume_connection(struct http2_stream *stream, size_t size) {
    ASSERT_LE(size, stream->unconsumed);
    stream->unconsumed -= size;
    if (stream->session->terminated) return;
    int code = nghttp2_session_consume_connection(stream->session->nghttp2, size);
    ASSERT_EQ(code, 0);
}

void http2_consume_stream(struct http2_stream *stream, size_t size) {
    ASSERT_LE(size, stream->unconsumed_stream);
    stream->unconsumed_stream -= size;
    if (stream->session->terminated) return;
    int code = nghttp2_session_consume_stream(stream->session->nghttp2, stream->id, size);
    ASSERT_EQ(code, 0);
}

void http2_consume(struct http2_stream *stream, size_t size) {
    http2_consume_connection(stream, size);
    http2_consume_stream(stream, size);
}
