// SPDX-License-Identifier: Apache-2.0
/* A client session and a server session, wired to each other in memory: each byte that one produces is
 * received by the other. Hostile peers are raw bytes. */
#include "lib/test.h"

#include "base/cursor.h"
#include "base/mem.h"
#include "base/prng.h"
#include "wire/http2_flood.h"
#include "wire/http2_session.h"

/* What one side saw of one stream. */
struct seen {
    struct http2_stream *stream;
    int header_blocks, ends, closes, writables;
    uint32_t error_code;
    struct writer headers; /* "kind name=value;..." */
    struct writer body;
    bool keep; /* do not give received bytes back */
    bool too_large;
};
struct side {
    struct http2_session *session;
    struct seen seen[8];
    int count, pongs, goaways;
    uint32_t goaway_code;
    int32_t goaway_last;
    struct writer debug;
    bool echo; /* server: answer every complete request with its body */
    bool keep;
};

static struct seen *seen_of(struct side *side, struct http2_stream *stream) {
    struct seen *seen = http2_stream_user(stream);
    if (seen == NULL) {
        assert_true(side->count < 8);
        seen = &side->seen[side->count++];
        seen->stream = stream;
        seen->keep = side->keep;
        http2_stream_set_user(stream, seen);
    }
    return seen;
}
static void on_headers(void *owner, struct http2_stream *stream, const struct http2_headers *headers) {
    struct seen *seen = seen_of(owner, stream);
    static const char kinds[] = "QRIT";
    seen->header_blocks++;
    seen->too_large |= headers->too_large;
    writer_printf(&seen->headers, "%c ", kinds[headers->kind]);
    for (size_t i = 0; i < headers->count && !headers->too_large; i++) {
        writer_bytes(&seen->headers, headers->list[i].name);
        writer_text(&seen->headers, "=");
        writer_bytes(&seen->headers, headers->list[i].value);
        writer_text(&seen->headers, ";");
    }
}
static void on_data(void *owner, struct http2_stream *stream, struct slice bytes) {
    struct seen *seen = seen_of(owner, stream);
    writer_bytes(&seen->body, bytes);
    if (!seen->keep) http2_consume(stream, bytes.size);
}
static const struct http2_header response_headers[] = {
    {{(const uint8_t *)":status", 7}, {(const uint8_t *)"200", 3}},
    {{(const uint8_t *)"content-type", 12}, {(const uint8_t *)"application/grpc", 16}}};
static const struct http2_header trailer_headers[] = {
    {{(const uint8_t *)"grpc-status", 11}, {(const uint8_t *)"0", 1}}};
static void on_end(void *owner, struct http2_stream *stream) {
    struct side *side = owner;
    struct seen *seen = seen_of(side, stream);
    seen->ends++;
    if (!side->echo) return;
    struct chain body;
    chain_init(&body);
    chain_append_copy(&body, writer_slice(&seen->body));
    http2_respond(stream, response_headers, 2, false);
    http2_send(stream, &body);
    http2_trailers(stream, trailer_headers, 1);
}
static void on_closed(void *owner, struct http2_stream *stream, uint32_t error_code) {
    struct seen *seen = seen_of(owner, stream);
    seen->closes++;
    seen->error_code = error_code;
    seen->stream = NULL;
}
static void on_writable(void *owner, struct http2_stream *stream) {
    seen_of(owner, stream)->writables++;
}
static void on_goaway(void *owner, int32_t last, uint32_t code, struct slice debug) {
    struct side *side = owner;
    side->goaways++;
    side->goaway_last = last;
    side->goaway_code = code;
    writer_clear(&side->debug);
    writer_bytes(&side->debug, debug);
}
static void on_pong(void *owner) {
    ((struct side *)owner)->pongs++;
}
static const struct http2_callbacks callbacks = {on_headers,  on_data,   on_end, on_closed,
                                                 on_writable, on_goaway, on_pong};

struct pair {
    struct side client, server;
    uint64_t now_ns;
    size_t piece; /* bytes given at once; 0: all */
};
static void side_open(struct side *side, const struct http2_options *options) {
    *side = (struct side){0};
    writer_init(&side->debug);
    for (int i = 0; i < 8; i++) {
        writer_init(&side->seen[i].headers);
        writer_init(&side->seen[i].body);
    }
    side->session = http2_session_new(options, &callbacks, side);
}
static void side_close(struct side *side) {
    http2_session_free(side->session);
    for (int i = 0; i < 8; i++) {
        writer_release(&side->seen[i].headers);
        writer_release(&side->seen[i].body);
    }
    writer_release(&side->debug);
}
static void pair_open(struct pair *pair) {
    memset(pair, 0, sizeof *pair);
    struct http2_options options = http2_options_default(HTTP2_CLIENT);
    side_open(&pair->client, &options);
    options = http2_options_default(HTTP2_SERVER);
    side_open(&pair->server, &options);
}
static void pair_close(struct pair *pair) {
    side_close(&pair->client);
    side_close(&pair->server);
}
/* Moves what `from` has to `to`; whether there was anything. */
static bool carry(struct pair *pair, struct side *from, struct side *to) {
    struct chain out;
    chain_init(&out);
    http2_produce(from->session, &out, 64 * MIB);
    bool any = out.size != 0;
    struct buffer *bytes = chain_flatten(&out);
    size_t total = out.size, at = 0;
    while (at < total) {
        size_t part = pair->piece == 0 ? total : MIN(pair->piece, total - at);
        assert_status(http2_receive(to->session, slice_make(bytes->data + at, part), pair->now_ns),
                      STATUS_OK);
        at += part;
    }
    buffer_unref(bytes);
    chain_release(&out);
    return any;
}
static void settle(struct pair *pair) {
    bool more = true;
    while (more) {
        more = carry(pair, &pair->client, &pair->server);
        more |= carry(pair, &pair->server, &pair->client);
    }
}
static const struct http2_header request_headers[] = {
    {{(const uint8_t *)":method", 7}, {(const uint8_t *)"POST", 4}},
    {{(const uint8_t *)":scheme", 7}, {(const uint8_t *)"http", 4}},
    {{(const uint8_t *)":path", 5}, {(const uint8_t *)"/a.B/C", 6}},
    {{(const uint8_t *)":authority", 10}, {(const uint8_t *)"h", 1}},
};
static struct seen *request(struct pair *pair, bool end) {
    struct side *client = &pair->client;
    struct seen *seen = &client->seen[client->count++];
    seen->keep = client->keep;
    seen->stream = http2_request(client->session, request_headers, 4, end, seen);
    return seen->stream == NULL ? NULL : seen;
}
static void send_bytes(struct http2_stream *stream, size_t size, uint8_t first) {
    struct chain chain;
    chain_init(&chain);
    struct buffer *buffer = buffer_new(size);
    for (size_t i = 0; i < size; i++)
        buffer->data[i] = (uint8_t)(first + i * 7);
    chain_append_shared(&chain, (struct shared_slice){slice_make(buffer->data, size), buffer});
    buffer_unref(buffer);
    http2_send(stream, &chain);
    assert_int_equal(chain.size, 0);
}

static void echo_in_pieces_of(size_t piece, size_t size) {
    struct pair pair;
    pair_open(&pair);
    pair.piece = piece;
    pair.server.echo = true;
    struct seen *call = request(&pair, false);
    send_bytes(call->stream, size, 3);
    http2_finish(call->stream);
    settle(&pair);
    struct seen *served = &pair.server.seen[0];
    assert_int_equal(served->header_blocks, 1);
    writer_u8(&served->headers, 0);
    assert_string_equal((char *)served->headers.data,
                        "Q :method=POST;:scheme=http;:path=/a.B/C;:authority=h;");
    assert_int_equal(served->ends, 1);
    assert_int_equal(served->closes, 1);
    assert_int_equal(served->error_code, HTTP2_NO_ERROR);
    assert_int_equal(call->closes, 1);
    assert_int_equal(call->ends, 1);
    writer_u8(&call->headers, 0);
    assert_string_equal((char *)call->headers.data,
                        "R :status=200;content-type=application/grpc;T grpc-status=0;");
    assert_int_equal(call->body.size, size);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(call->body.data[i], (uint8_t)(3 + i * 7));
    assert_int_equal(http2_stream_count(pair.server.session), 0);
    pair_close(&pair);
}
static void test_echo(void **state) {
    (void)state;
    size_t before = buffer_bytes_live();
    echo_in_pieces_of(0, 10);
    echo_in_pieces_of(1, 3000);
    echo_in_pieces_of(1000, 5 * MIB); /* more than either window: opened as bytes are consumed */
    assert_int_equal(buffer_bytes_live(), before);
}

/* Bytes that the owner does not consume stop the peer at the stream's window, and its queue keeps the rest.
 */
static void test_back_pressure(void **state) {
    (void)state;
    struct pair pair;
    pair_open(&pair);
    pair.server.keep = true;
    struct seen *call = request(&pair, false);
    send_bytes(call->stream, 3 * MIB, 0);
    settle(&pair);
    struct seen *served = &pair.server.seen[0];
    assert_int_equal(served->body.size, HTTP2_STREAM_WINDOW);
    assert_int_equal(http2_stream_queued(call->stream), 3 * MIB - HTTP2_STREAM_WINDOW);
    assert_int_equal(http2_session_queued(pair.client.session), 3 * MIB - HTTP2_STREAM_WINDOW);
    http2_consume(served->stream, HTTP2_STREAM_WINDOW);
    settle(&pair);
    assert_int_equal(served->body.size, 2 * MIB);
    assert_int_equal(call->writables, 0);
    http2_consume(served->stream, HTTP2_STREAM_WINDOW);
    settle(&pair);
    assert_int_equal(served->body.size, 3 * MIB);
    assert_int_equal(call->writables, 1);
    pair_close(&pair);
}

/* Streams that are held back, more of them than the connection's window has room for, stop no other stream.
 */
static void test_held_streams_leave_the_connection_open(void **state) {
    (void)state;
    struct pair pair;
    pair_open(&pair);
    pair.server.keep = true;
    for (int i = 0; i < 7; i++) {
        send_bytes(request(&pair, false)->stream, 3 * MIB, 0);
        settle(&pair);
        assert_int_equal(pair.server.seen[i].body.size, HTTP2_STREAM_WINDOW);
        http2_consume_connection(pair.server.seen[i].stream, HTTP2_STREAM_WINDOW);
    }
    pair.server.keep = false;
    send_bytes(request(&pair, false)->stream, 5 * MIB, 0);
    settle(&pair);
    assert_int_equal(pair.server.seen[7].body.size, 5 * MIB);
    http2_consume_stream(pair.server.seen[0].stream, HTTP2_STREAM_WINDOW);
    settle(&pair);
    assert_int_equal(pair.server.seen[0].body.size, 2 * MIB);
    pair_close(&pair);
}

/* Bytes kept by a stream that ends are given back to the connection: others can still use all of its window.
 */
static void test_closed_stream_returns_window(void **state) {
    (void)state;
    struct pair pair;
    pair_open(&pair);
    pair.server.keep = true;
    for (int i = 0; i < 7; i++) {
        struct seen *call = request(&pair, false);
        send_bytes(call->stream, HTTP2_STREAM_WINDOW, 0);
        settle(&pair);
        assert_int_equal(pair.server.seen[i].body.size, HTTP2_STREAM_WINDOW);
        http2_reset(call->stream, HTTP2_CANCEL);
        settle(&pair);
        assert_int_equal(pair.server.seen[i].closes, 1);
        assert_int_equal(pair.server.seen[i].error_code, HTTP2_CANCEL);
        assert_int_equal(call->closes, 1);
    }
    /* 7 of 8 MiB were used; without the return only one more could come. */
    struct seen *call = request(&pair, false);
    pair.server.keep = false;
    send_bytes(call->stream, 2 * MIB, 0);
    settle(&pair);
    assert_int_equal(pair.server.seen[7].body.size, 2 * MIB);
    pair_close(&pair);
}

/* An answer before the end of the request tells the client to stop (RST_STREAM NO_ERROR), and nothing leaks.
 */
static void test_early_answer(void **state) {
    (void)state;
    struct pair pair;
    pair_open(&pair);
    pair.server.keep = true;
    struct seen *call = request(&pair, false);
    send_bytes(call->stream, 2 * MIB, 0);
    settle(&pair);
    struct http2_stream *served = pair.server.seen[0].stream;
    http2_respond(served, response_headers, 2, true);
    settle(&pair);
    assert_int_equal(pair.server.seen[0].closes, 1);
    assert_int_equal(call->closes, 1);
    assert_int_equal(call->error_code, HTTP2_NO_ERROR);
    assert_int_equal(call->ends, 1);
    pair_close(&pair);
}

static void test_client_resets_before_anything_went(void **state) {
    (void)state;
    struct pair pair;
    pair_open(&pair);
    struct seen *call = request(&pair, true);
    http2_reset(call->stream, HTTP2_CANCEL);
    settle(&pair);
    assert_int_equal(call->closes, 1);
    pair_close(&pair);
}

static void test_server_resets(void **state) {
    (void)state;
    struct pair pair;
    pair_open(&pair);
    struct seen *call = request(&pair, false);
    settle(&pair);
    http2_respond(pair.server.seen[0].stream, response_headers, 2, false);
    send_bytes(pair.server.seen[0].stream, 3 * MIB, 0);
    settle(&pair);
    send_bytes(pair.server.seen[0].stream, 300, 0);
    http2_reset(pair.server.seen[0].stream, HTTP2_INTERNAL_ERROR);
    settle(&pair);
    assert_int_equal(call->closes, 1);
    assert_int_equal(call->error_code, HTTP2_INTERNAL_ERROR);
    assert_int_equal(pair.server.seen[0].closes, 1);
    pair_close(&pair);
}

static void test_drain(void **state) {
    (void)state;
    struct pair pair;
    pair_open(&pair);
    struct seen *call = request(&pair, false);
    settle(&pair);
    http2_announce_drain(pair.server.session);
    settle(&pair);
    assert_int_equal(pair.client.goaways, 1);
    assert_int_equal(pair.client.goaway_last, INT32_MAX);
    http2_drain(pair.server.session);
    settle(&pair);
    assert_int_equal(pair.client.goaways, 2);
    assert_int_equal(pair.client.goaway_last, 1);
    assert_null(request(&pair, true));
    assert_false(http2_session_done(pair.server.session));
    /* The stream under way still gets its answer. */
    http2_finish(call->stream);
    pair.server.echo = true;
    settle(&pair);
    assert_int_equal(call->closes, 1);
    assert_int_equal(call->error_code, HTTP2_NO_ERROR);
    assert_true(http2_session_done(pair.server.session));
    pair_close(&pair);
}

static void test_ping(void **state) {
    (void)state;
    struct pair pair;
    pair_open(&pair);
    http2_ping(pair.server.session);
    settle(&pair);
    assert_int_equal(pair.server.pongs, 1);
    pair_close(&pair);
}

static void test_headers_too_large(void **state) {
    (void)state;
    struct pair pair;
    pair_open(&pair);
    struct http2_header headers[6];
    memcpy(headers, request_headers, sizeof request_headers);
    uint8_t *large = mem_alloc(10 * KIB);
    memset(large, 'x', 10 * KIB);
    headers[4] = (struct http2_header){SLICE_LITERAL("a"), slice_make(large, 10 * KIB)};
    headers[5] = (struct http2_header){SLICE_LITERAL("b"), slice_make(large, 10 * KIB)};
    http2_request(pair.client.session, headers, 6, true, &pair.client.seen[0]);
    pair.client.seen[0].stream = NULL;
    settle(&pair);
    assert_true(pair.server.seen[0].too_large);
    mem_free(large);
    pair_close(&pair);
}

/* The connection queues no more than asked for. */
static void test_produce_is_bounded(void **state) {
    (void)state;
    struct pair pair;
    pair_open(&pair);
    struct seen *call = request(&pair, false);
    settle(&pair);
    send_bytes(call->stream, 1 * MIB, 0);
    struct chain out;
    chain_init(&out);
    http2_produce(pair.client.session, &out, 40000);
    assert_true(out.size >= 40000 && out.size < 40000 + 17000);
    /* The payload is the sender's bytes, not a copy: three data frames are a few pieces, whatever their size.
     */
    assert_true(out.count <= 8);
    chain_release(&out);
    /* A frame that waits for room is still whole when its stream is reset meanwhile. */
    http2_reset(call->stream, HTTP2_CANCEL);
    assert_true(http2_stream_queued(call->stream) <= 16384);
    settle(&pair);
    assert_int_equal(call->closes, 1);
    assert_int_equal(http2_session_queued(pair.client.session), 0);
    pair_close(&pair);
}
/* The same when the peer resets the stream while a frame of it waits. */
static void test_reset_by_peer_while_a_frame_waits(void **state) {
    (void)state;
    struct pair pair;
    pair_open(&pair);
    struct seen *call = request(&pair, false);
    settle(&pair);
    send_bytes(call->stream, 1 * MIB, 0);
    struct chain out;
    chain_init(&out);
    http2_produce(pair.client.session, &out, 20000);
    http2_reset(pair.server.seen[0].stream, HTTP2_CANCEL);
    assert_true(carry(&pair, &pair.server, &pair.client));
    assert_int_equal(call->closes, 1);
    chain_release(&out);
    pair_close(&pair);
}

/* ---- hostile peers: raw bytes into a server session -------------------------------------------------------
 */

struct raw {
    struct side server;
    uint64_t now_ns;
};
static void raw_open(struct raw *raw) {
    memset(raw, 0, sizeof *raw);
    struct http2_options options = http2_options_default(HTTP2_SERVER);
    side_open(&raw->server, &options);
    struct writer w;
    writer_init(&w);
    writer_text(&w, HTTP2_PREFACE);
    writer_bytes(&w, slice_make("\0\0\0\4\0\0\0\0\0", 9)); /* empty SETTINGS */
    assert_status(http2_receive(raw->server.session, writer_slice(&w), raw->now_ns), STATUS_OK);
    writer_release(&w);
}
static enum status raw_frame(struct raw *raw, uint8_t type, uint8_t flags, uint32_t stream,
                             struct slice payload) {
    struct writer w;
    writer_init(&w);
    writer_be32(&w, (uint32_t)payload.size << 8 | type);
    writer_u8(&w, flags);
    writer_be32(&w, stream);
    writer_bytes(&w, payload);
    enum status status = http2_receive(raw->server.session, writer_slice(&w), raw->now_ns);
    writer_release(&w);
    return status;
}
/* Empties the output; the last GOAWAY's error code, or -1. */
static int64_t raw_drain(struct raw *raw, struct writer *debug) {
    struct chain out;
    chain_init(&out);
    http2_produce(raw->server.session, &out, 64 * MIB);
    struct buffer *bytes = chain_flatten(&out);
    struct reader r = reader_make(slice_make(bytes->data, out.size));
    int64_t code = -1;
    while (reader_remaining(&r) != 0) {
        uint32_t head = reader_be32(&r);
        reader_skip(&r, 5);
        struct slice payload = reader_bytes(&r, head >> 8);
        assert_true(reader_ok(&r)); /* what we send is whole frames */
        if ((head & 255) != 7) continue;
        code = load_be32(payload.data + 4);
        if (debug != NULL) writer_bytes(debug, slice_make(payload.data + 8, payload.size - 8));
    }
    chain_release(&out);
    buffer_unref(bytes);
    return code;
}
/* Sends one kind of frame without end: the server must say ENHANCE_YOUR_CALM with this text. */
static void expect_flood(uint8_t type, uint8_t flags, uint32_t stream, struct slice payload, int at_least,
                         const char *text) {
    struct raw raw;
    raw_open(&raw);
    int sent = 0;
    while (raw_frame(&raw, type, flags, stream, payload) == STATUS_OK && sent < 10000) {
        sent++;
        raw_drain(&raw, NULL);
    }
    assert_in_range(sent, at_least, 2000);
    struct writer debug;
    writer_init(&debug);
    assert_int_equal(raw_drain(&raw, &debug), HTTP2_ENHANCE_YOUR_CALM);
    assert_slice_equal(writer_slice(&debug), slice_from_text(text));
    assert_true(http2_session_done(raw.server.session));
    assert_status(http2_receive(raw.server.session, SLICE_LITERAL("x"), raw.now_ns), STATUS_CLOSED);
    writer_release(&debug);
    side_close(&raw.server);
}
static void test_floods(void **state) {
    (void)state;
    expect_flood(4, 0, 0, SLICE_EMPTY, 16, "too_many_settings");
    expect_flood(6, 0, 0, slice_make("12345678", 8), 10, "too_many_pings");
    expect_flood(2, 0, 1, slice_make("\0\0\0\0\1", 5), 100, "too_many_priorities");
}

/* Data frames without data. */
static void test_empty_data_flood(void **state) {
    (void)state;
    struct raw raw;
    raw_open(&raw);
    assert_status(raw_frame(&raw, 1, 4, 1, SLICE_LITERAL("\x83\x86\x84\x41\x01h")), STATUS_OK);
    int sent = 0;
    while (raw_frame(&raw, 0, 0, 1, SLICE_EMPTY) == STATUS_OK && sent < 10000)
        sent++;
    assert_in_range(sent, 100, 2000);
    assert_int_equal(raw_drain(&raw, NULL), HTTP2_ENHANCE_YOUR_CALM);
    side_close(&raw.server);
}

/* A peer that is only slow pays nothing: the tokens come back with time. */
static void test_slow_frames_are_no_flood(void **state) {
    (void)state;
    struct raw raw;
    raw_open(&raw);
    for (int i = 0; i < 300; i++) {
        raw.now_ns += 10 * NS_PER_S;
        assert_status(raw_frame(&raw, 6, 0, 0, slice_make("12345678", 8)), STATUS_OK);
        assert_status(raw_frame(&raw, 4, 0, 0, SLICE_EMPTY), STATUS_OK);
        assert_int_equal(raw_drain(&raw, NULL), -1);
    }
    side_close(&raw.server);
}

/* CVE-2023-44487: requests opened and reset at once. ":method POST, :scheme http, :path /" from the static
 * table. */
static void test_rapid_reset(void **state) {
    (void)state;
    struct raw raw;
    raw_open(&raw);
    uint32_t id = 1;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && id < 20000) {
        status = raw_frame(&raw, 1, 4, id, SLICE_LITERAL("\x83\x86\x84\x41\x01h"));
        raw.server.count = 0;
        if (status == STATUS_OK) status = raw_frame(&raw, 3, 0, id, slice_make("\0\0\0\x8", 4));
        raw_drain(&raw, NULL);
        id += 2;
    }
    assert_status(status, STATUS_BUSY);
    assert_in_range(id, 1000, 4000);
    assert_int_equal(raw_drain(&raw, NULL), -1); /* the farewell went out already */
    side_close(&raw.server);
}

/* CVE-2024-28182: a header block that never ends. */
static void test_continuation_flood(void **state) {
    (void)state;
    struct raw raw;
    raw_open(&raw);
    assert_status(raw_frame(&raw, 1, 0, 1, SLICE_LITERAL("\x83\x86\x84\x41\x01h")), STATUS_OK);
    int sent = 0;
    while (raw_frame(&raw, 9, 0, 1, slice_make("\0\1a\1b", 5)) == STATUS_OK && sent < 1000)
        sent++;
    assert_in_range(sent, 1, 100);
    assert_int_equal(raw_drain(&raw, NULL), HTTP2_ENHANCE_YOUR_CALM);
    side_close(&raw.server);
}

static void test_not_http2(void **state) {
    (void)state;
    struct http2_options options = http2_options_default(HTTP2_SERVER);
    struct raw raw = {0};
    side_open(&raw.server, &options);
    assert_status(http2_receive(raw.server.session, SLICE_LITERAL("GET / HTTP/1.1\r\n\r\n........."), 0),
                  STATUS_MALFORMED);
    assert_int_equal(raw_drain(&raw, NULL), HTTP2_PROTOCOL_ERROR);
    side_close(&raw.server);
}

static void test_broken_frame_ends_the_session(void **state) {
    (void)state;
    struct raw raw;
    raw_open(&raw);
    assert_status(raw_frame(&raw, 8, 0, 0, slice_make("\0\0\0\0", 4)), STATUS_OK); /* window update of 0 */
    assert_int_equal(raw_drain(&raw, NULL), HTTP2_PROTOCOL_ERROR);
    assert_true(http2_session_done(raw.server.session));
    side_close(&raw.server);
}

static void test_terminate(void **state) {
    (void)state;
    struct raw raw;
    raw_open(&raw);
    raw_drain(&raw, NULL);
    http2_terminate(raw.server.session, HTTP2_INTERNAL_ERROR, "stop");
    assert_true(http2_wants_to_send(raw.server.session));
    struct writer debug;
    writer_init(&debug);
    assert_int_equal(raw_drain(&raw, &debug), HTTP2_INTERNAL_ERROR);
    assert_slice_equal(writer_slice(&debug), SLICE_LITERAL("stop"));
    assert_true(http2_session_done(raw.server.session));
    writer_release(&debug);
    side_close(&raw.server);
}

static void test_flood_bucket(void **state) {
    (void)state;
    struct http2_flood flood;
    http2_flood_init(&flood, 100);
    for (int i = 0; i < 16; i++)
        assert_true(http2_flood_take(&flood, HTTP2_FLOOD_PING, 100));
    assert_false(http2_flood_take(&flood, HTTP2_FLOOD_PING, 100));
    assert_false(http2_flood_take(&flood, HTTP2_FLOOD_PING, 99 + 10 * NS_PER_S));
    assert_true(http2_flood_take(&flood, HTTP2_FLOOD_PING, 100 + 10 * NS_PER_S));
    assert_false(http2_flood_take(&flood, HTTP2_FLOOD_PING, 100 + 10 * NS_PER_S));
    http2_flood_refill(&flood, HTTP2_FLOOD_PING);
    assert_true(http2_flood_take(&flood, HTTP2_FLOOD_PING, 50)); /* a clock that stands is no error */
    assert_true(http2_flood_take(&flood, HTTP2_FLOOD_PING, UINT64_MAX));
}

/* Random calls on many streams in random pieces: every byte that is sent arrives in order, windows never
 * stall. */
static void test_random_traffic(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        struct pair pair;
        pair_open(&pair);
        pair.server.echo = true;
        struct seen *calls[6];
        size_t sizes[6] = {0};
        for (int i = 0; i < 6; i++)
            calls[i] = request(&pair, false);
        for (int step = 0; step < 60; step++) {
            size_t i = prng_below(&prng, 6);
            size_t size = prng_chance(&prng, 1, 4) ? prng_below(&prng, 400 * KIB) : prng_below(&prng, 3000);
            if (size != 0) send_bytes(calls[i]->stream, size, (uint8_t)(sizes[i] * 7));
            sizes[i] += size;
            pair.piece = prng_chance(&prng, 1, 2) ? 0 : 1 + prng_below(&prng, 50000);
            if (prng_chance(&prng, 1, 3)) settle(&pair);
        }
        for (int i = 0; i < 6; i++)
            http2_finish(calls[i]->stream);
        settle(&pair);
        for (int i = 0; i < 6; i++) {
            assert_int_equal(calls[i]->closes, 1);
            assert_int_equal(calls[i]->body.size, sizes[i]);
            for (size_t at = 0; at < sizes[i]; at++)
                if (calls[i]->body.data[at] != (uint8_t)(at * 7)) fail_msg("stream %d differs at %zu", i, at);
        }
        pair_close(&pair);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_echo),
        cmocka_unit_test(test_back_pressure),
        cmocka_unit_test(test_held_streams_leave_the_connection_open),
        cmocka_unit_test(test_closed_stream_returns_window),
        cmocka_unit_test(test_early_answer),
        cmocka_unit_test(test_client_resets_before_anything_went),
        cmocka_unit_test(test_server_resets),
        cmocka_unit_test(test_drain),
        cmocka_unit_test(test_ping),
        cmocka_unit_test(test_headers_too_large),
        cmocka_unit_test(test_produce_is_bounded),
        cmocka_unit_test(test_reset_by_peer_while_a_frame_waits),
        cmocka_unit_test(test_floods),
        cmocka_unit_test(test_empty_data_flood),
        cmocka_unit_test(test_slow_frames_are_no_flood),
        cmocka_unit_test(test_rapid_reset),
        cmocka_unit_test(test_continuation_flood),
        cmocka_unit_test(test_not_http2),
        cmocka_unit_test(test_broken_frame_ends_the_session),
        cmocka_unit_test(test_terminate),
        cmocka_unit_test(test_flood_bucket),
        cmocka_unit_test(test_random_traffic),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
