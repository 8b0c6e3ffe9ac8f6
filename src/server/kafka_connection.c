// SPDX-License-Identifier: Apache-2.0
#include "server/kafka_connection.h"

#include "base/assert.h"
#include "base/mem.h"

#define REQUEST_ARENA_SIZE (4 * KIB)

struct kafka_connection {
    struct connection *connection;
    struct server *server;
    struct list requests; /* struct kafka_request: not sent yet, in order of arrival */
    uint32_t request_count;
    size_t request_bytes;
    bool overloaded; /* waits for the broker's resume */
    bool closing;    /* the peer finished, or we drain: closes when the last answer is out */
    struct io_op resume;
};

/* ---- answers ----------------------------------------------------------------------------------------------
 */

static void request_free(struct kafka_request *request) {
    if (request->release != NULL) request->release(request);
    chain_release(&request->answer);
    arena_release(&request->arena);
    buffer_unref(request->frame);
    mem_free(request);
}

static void update_pause(struct kafka_connection *c) {
    bool full = c->request_count >= KAFKA_REQUESTS_MAX || c->request_bytes >= KAFKA_REQUEST_BYTES;
    connection_pause(c->connection, full || c->overloaded);
}

static void send_answered(struct kafka_connection *c) {
    struct list *node;
    while ((node = list_first(&c->requests)) != NULL) {
        struct kafka_request *request = CONTAINER_OF(node, struct kafka_request, link);
        if (!request->answered) break;
        list_remove(node);
        c->request_count--;
        c->request_bytes -= request->bytes;
        connection_send(c->connection, &request->answer);
        request_free(request);
    }
    update_pause(c);
    if (c->closing && list_empty(&c->requests)) connection_close(c->connection);
}

static void finish(struct kafka_request *request) {
    ASSERT(!request->answered);
    request->answered = true;
    if (request->connection == NULL)
        request_free(request);
    else
        send_answered(request->connection);
}

void kafka_answer(struct kafka_request *request, const void *response) {
    if (request->connection != NULL)
        kafka_encode_response(request->api, request->version, request->correlation_id, response,
                              &request->answer);
    finish(request);
}

void kafka_answer_nothing(struct kafka_request *request) {
    finish(request);
}

struct slice kafka_advertised(struct kafka_request *request, int32_t *port) {
    char host[256] = "";
    *port = 0;
    if (request->connection != NULL)
        server_advertised(request->connection->connection, host, sizeof host, port);
    return arena_copy(&request->arena, slice_from_text(host));
}

struct slice kafka_error_text(struct kafka_request *request, enum status status,
                              const struct diagnostic *diagnostic) {
    if (status == STATUS_OK) return SLICE_EMPTY;
    const char *text = diagnostic == NULL || diagnostic->text[0] == '\0' ? status_text(status)
                                                                         : diagnostic->text;
    return arena_copy(&request->arena, slice_from_text(text));
}

/* ---- requests ---------------------------------------------------------------------------------------------
 */

static bool refuse(struct kafka_connection *c, const char *why, const struct kafka_request_header *header) {
    log_info(server_log(c->server), "kafka connection closed reason=\"%s\" peer=%s api_key=%d version=%d",
             why, connection_peer(c->connection)->text, header->api_key, header->api_version);
    return false;
}

static struct kafka_request *request_new(struct kafka_connection *c, struct buffer *buffer, size_t bytes,
                                         const struct kafka_request_header *header) {
    struct kafka_request *request = mem_calloc(1, sizeof *request);
    request->connection = c;
    request->server = c->server;
    request->broker = server_broker(c->server);
    request->version = header->api_version;
    request->correlation_id = header->correlation_id;
    request->frame = buffer_ref(buffer);
    request->bytes = bytes;
    arena_init(&request->arena, REQUEST_ARENA_SIZE);
    chain_init(&request->answer);
    list_push_back(&c->requests, &request->link);
    c->request_count++;
    c->request_bytes += bytes;
    return request;
}

static void broker_resumed(struct io_op *op) {
    struct kafka_connection *c = CONTAINER_OF(op, struct kafka_connection, resume);
    c->overloaded = false;
    update_pause(c);
}

/* False: the connection is to be closed. */
static bool take_frame(struct kafka_connection *c, struct buffer *buffer, struct slice frame) {
    struct kafka_request_header header = {0};
    struct reader body;
    if (kafka_read_request_header(frame, &header, &body) != STATUS_OK)
        return refuse(c, "malformed request header", &header);
    const struct kafka_api *api = kafka_api_find(header.api_key);
    if (api == NULL) return refuse(c, "request of a kind that is not served here", &header);
    bool speaks = kafka_api_speaks(api, header.api_version);
    if (!speaks && api->key != KAFKA_API_VERSIONS)
        return refuse(c, "request of a version that is not served here", &header);
    struct kafka_request *request = request_new(c, buffer, frame.size, &header);
    request->api = api;
    if (!speaks) {
        kafka_api_versions_unsupported(request);
        return true;
    }
    void *message;
    if (kafka_decode(api, api->request, header.api_version, &body, &request->arena, &message) != STATUS_OK) {
        list_remove(&request->link);
        c->request_count--;
        c->request_bytes -= request->bytes;
        request_free(request);
        return refuse(c, "malformed request", &header);
    }
    request->message = message;
    kafka_handler_find(api->key)(request);
    return true;
}

static size_t kafka_receive(void *state, struct buffer *buffer, struct slice bytes, size_t *wanted) {
    struct kafka_connection *c = state;
    if (bytes.size < KAFKA_FRAME_PREFIX) return 0;
    uint32_t size = load_be32(bytes.data);
    size_t limit = server_get_options(c->server)->request_bytes_max;
    if (size == 0 || size > limit) {
        log_info(server_log(c->server),
                 "kafka connection closed reason=\"request of %u bytes, request.bytes-max is %zu\" peer=%s",
                 size, limit, connection_peer(c->connection)->text);
        return CONNECTION_BROKEN;
    }
    size_t total = KAFKA_FRAME_PREFIX + (size_t)size;
    if (bytes.size < total) {
        *wanted = total;
        return 0;
    }
    if (!take_frame(c, buffer, slice_make(bytes.data + KAFKA_FRAME_PREFIX, size))) return CONNECTION_BROKEN;
    if (!c->overloaded && broker_overloaded(server_broker(c->server))) {
        c->overloaded = true;
        c->resume.done = broker_resumed;
        broker_on_resume(server_broker(c->server), &c->resume);
    }
    update_pause(c);
    return total;
}

/* ---- life -------------------------------------------------------------------------------------------------
 */

static void *kafka_open(struct connection *connection) {
    struct kafka_connection *c = mem_calloc(1, sizeof *c);
    c->connection = connection;
    c->server = connection_server(connection);
    list_init(&c->requests);
    list_init(&c->resume.link);
    return c;
}

static struct kafka_request *next_to_cancel(struct kafka_connection *c) {
    LIST_FOREACH(it, &c->requests) {
        struct kafka_request *request = CONTAINER_OF(it, struct kafka_request, link);
        if (!request->answered && request->cancel != NULL) return request;
    }
    return NULL;
}

static void close_when_answered(struct kafka_connection *c) {
    struct kafka_request *request;
    c->closing = true;
    /* One at a time: an answer may send and free others. */
    while ((request = next_to_cancel(c)) != NULL)
        request->cancel(request);
    if (list_empty(&c->requests)) connection_close(c->connection);
}

static bool kafka_finished(void *state) {
    close_when_answered(state);
    return true;
}

static void kafka_drain(void *state) {
    close_when_answered(state);
}

static void kafka_close(void *state) {
    struct kafka_connection *c = state;
    broker_on_resume_cancel(&c->resume);
    struct list *node;
    while ((node = list_pop_front(&c->requests)) != NULL) {
        struct kafka_request *request = CONTAINER_OF(node, struct kafka_request, link);
        request->connection = NULL;
        if (request->answered)
            request_free(request);
        else if (request->cancel != NULL)
            request->cancel(request);
    }
    mem_free(c);
}

const struct protocol kafka_protocol = {
    .name = "kafka",
    .open = kafka_open,
    .receive = kafka_receive,
    .finished = kafka_finished,
    .drain = kafka_drain,
    .close = kafka_close,
};
