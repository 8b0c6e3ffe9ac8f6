// SPDX-License-Identifier: Apache-2.0
/* HTTP/1.1 on the shared port: health for load balancers and orchestrators, metrics for scrapers. */
#include "base/mem.h"
#include "server/connection.h"
#include "server/metrics.h"
#include "server/server.h"
#include "wire/http1.h"

struct http_connection {
    struct connection *connection;
    struct server *server;
    bool draining;
};

static const char front_page[] = "Sentinel: a message queue that speaks Kafka and gRPC on this very port.\n\n"
                                 "/healthz   200 while the process runs\n"
                                 "/readyz    200 while it takes writes, 503 with the reason when not\n"
                                 "/metrics   counters in Prometheus' text format\n";

static void respond(struct http_connection *http, const struct http1_request *request, int code,
                    const char *content_type, struct slice body) {
    struct writer out;
    writer_init(&out);
    bool head = slice_equal(request->method, SLICE_LITERAL("HEAD"));
    http1_respond(&out, code, content_type, body, !head, request->keep_alive);
    struct chain chain;
    chain_init(&chain);
    chain_append_copy(&chain, writer_slice(&out));
    writer_release(&out);
    server_metrics(http->server)->http_requests++;
    connection_send(http->connection, &chain);
    if (!request->keep_alive) connection_close(http->connection);
}

static void respond_text(struct http_connection *http, const struct http1_request *request, int code,
                         const char *text) {
    respond(http, request, code, "text/plain; charset=utf-8", slice_from_text(text));
}

static void serve_ready(struct http_connection *http, const struct http1_request *request) {
    struct diagnostic why;
    if (http->draining) {
        respond_text(http, request, 503, "shutting down\n");
    } else if (broker_readiness(server_broker(http->server), &why) == STATUS_OK) {
        respond_text(http, request, 200, "ready\n");
    } else {
        struct writer out;
        writer_init(&out);
        writer_printf(&out, "%s\n", why.text);
        respond(http, request, 503, "text/plain; charset=utf-8", writer_slice(&out));
        writer_release(&out);
    }
}

static void serve(struct http_connection *http, const struct http1_request *request) {
    struct slice path = request->path;
    if (!slice_equal(request->method, SLICE_LITERAL("GET")) &&
        !slice_equal(request->method, SLICE_LITERAL("HEAD"))) {
        respond_text(http, request, 405, "only GET and HEAD here\n");
    } else if (slice_equal(path, SLICE_LITERAL("/metrics"))) {
        struct writer out;
        writer_init(&out);
        metrics_print(http->server, &out);
        respond(http, request, 200, "text/plain; version=0.0.4; charset=utf-8", writer_slice(&out));
        writer_release(&out);
    } else if (slice_equal(path, SLICE_LITERAL("/healthz"))) {
        respond_text(http, request, 200, "ok\n");
    } else if (slice_equal(path, SLICE_LITERAL("/readyz"))) {
        serve_ready(http, request);
    } else if (slice_equal(path, SLICE_LITERAL("/"))) {
        respond_text(http, request, 200, front_page);
    } else {
        respond_text(http, request, 404, "not found; see /\n");
    }
}

static void *http_open(struct connection *connection) {
    struct http_connection *http = mem_calloc(1, sizeof *http);
    http->connection = connection;
    http->server = connection_server(connection);
    return http;
}

static size_t http_receive(void *state, struct buffer *buffer, struct slice bytes, size_t *wanted) {
    struct http_connection *http = state;
    struct http1_request request;
    (void)buffer;
    (void)wanted;
    enum status status = http1_parse(bytes, &request);
    if (status == STATUS_PENDING) return 0;
    if (status == STATUS_OK) {
        if (http->draining) request.keep_alive = false;
        serve(http, &request);
        return request.size;
    }
    /* What follows a request that we do not understand cannot be found: answer and close. */
    request.keep_alive = false;
    if (status == STATUS_TOO_LARGE)
        respond_text(http, &request, 431, "the request head is larger than 8 KiB\n");
    else if (status == STATUS_UNSUPPORTED)
        respond_text(http, &request, 501,
                     "requests with a body, or of another HTTP version, are not answered here\n");
    else
        respond_text(http, &request, 400, "malformed request\n");
    return bytes.size;
}

static void http_drain(void *state) {
    struct http_connection *http = state;
    http->draining = true;
    connection_close(http->connection);
}

static void http_close(void *state) {
    mem_free(state);
}

const struct protocol http_protocol = {
    .name = "http",
    .open = http_open,
    .receive = http_receive,
    .drain = http_drain,
    .close = http_close,
};
