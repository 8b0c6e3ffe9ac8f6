// SPDX-License-Identifier: Apache-2.0
#include "server/kafka_connection.h"

#include "base/assert.h"
#include "base/mem.h"
#include "server/kafka_request.h"

static void *kafka_open(struct connection *connection) {
    struct kafka_connection *self = mem_calloc(1, sizeof *self);
    self->connection = connection;
    self->server = connection_server(connection);
    list_init(&self->requests);
    return self;
}

/* ---- holding back -------------------------------------------------------------------------------------- */

static void resumed(struct io_op *op);

static void wait_for_resume(struct kafka_connection *self) {
    struct broker *broker = server_broker(self->server);
    if (self->waits_for_resume || !broker_overloaded(broker)) return;
    self->waits_for_resume = true;
    self->resume = (struct io_op){.done = resumed};
    broker_on_resume(broker, &self->resume);
}

static void update_pause(struct kafka_connection *self) {
    bool full = self->request_count >= KAFKA_REQUESTS_MAX ||
                (self->request_count > 0 && self->cost >= KAFKA_COST_MAX);
    connection_pause(self->connection, full || self->waits_for_resume || self->leaving);
}

static void resumed(struct io_op *op) {
    struct kafka_connection *self = CONTAINER_OF(op, struct kafka_connection, resume);
    self->waits_for_resume = false;
    wait_for_resume(self);
    update_pause(self);
}

/* ---- answering ----------------------------------------------------------------------------------------- */

static void close_connection(struct kafka_connection *self) {
    if (self->closing) return;
    self->closing = true;
    connection_close(self->connection);
}

void kafka_connection_flush(struct kafka_connection *self) {
    if (self->stopping) return;
    struct list *first;
    while (!self->closing && (first = list_first(&self->requests)) != NULL) {
        struct kafka_request *request = CONTAINER_OF(first, struct kafka_request, link);
        if (!request->answered) break;
        if (request->fail_link)
            close_connection(self);
        else if (!request->silent)
            connection_send(self->connection, &request->out);
        kafka_request_forget(request);
    }
    update_pause(self);
    if (self->leaving && self->request_count == 0) close_connection(self);
}

/* Nothing new is taken; long polls are answered now. */
static void leave(struct kafka_connection *self) {
    self->leaving = true;
    self->stopping = true; /* an answer in the middle of the walk would free what it stands on */
    LIST_FOREACH(it, &self->requests) {
        struct kafka_request *request = CONTAINER_OF(it, struct kafka_request, link);
        if (!request->answered && request->stop != NULL) request->stop(request);
    }
    self->stopping = false;
    kafka_connection_flush(self);
}

/* ---- receiving ----------------------------------------------------------------------------------------- */

static size_t refuse(struct kafka_connection *self, const char *reason) {
    log_info(server_log(self->server), "kafka connection closed reason=\"%s\" peer=%s", reason,
             connection_peer(self->connection)->text);
    return CONNECTION_BROKEN;
}

static size_t kafka_receive(void *state, struct buffer *buffer, struct slice bytes, size_t *wanted) {
    struct kafka_connection *self = state;
    if (self->leaving || self->closing || bytes.size < KAFKA_FRAME_PREFIX) return 0;
    uint32_t size = load_be32(bytes.data);
    struct diagnostic reason;
    if (size > server_get_options(self->server)->request_bytes_max) {
        diagnose(&reason, STATUS_TOO_LARGE,
                 "a request of %u bytes is above the limit of %zu, see request.bytes-max", size,
                 server_get_options(self->server)->request_bytes_max);
        return refuse(self, reason.text);
    }
    size_t whole = KAFKA_FRAME_PREFIX + (size_t)size;
    if (bytes.size < whole) {
        *wanted = whole;
        return 0;
    }
    struct slice frame = slice_make(bytes.data + KAFKA_FRAME_PREFIX, size);
    if (kafka_request_serve(self, buffer, frame, &reason) != STATUS_OK) return refuse(self, reason.text);
    /* Who only reads, or deletes what fills the disk, does not wait for the disk. */
    if (frame.size >= 2 && load_be16(frame.data) == KAFKA_PRODUCE) wait_for_resume(self);
    update_pause(self);
    return whole;
}

static bool kafka_finished(void *state) {
    struct kafka_connection *self = state;
    if (self->request_count == 0) return false;
    leave(self);
    return true;
}

static void kafka_drain(void *state) {
    leave(state);
}

static void kafka_close(void *state) {
    struct kafka_connection *self = state;
    if (self->waits_for_resume) broker_on_resume_cancel(&self->resume);
    LIST_FOREACH(it, &self->requests) {
        kafka_request_forget(CONTAINER_OF(it, struct kafka_request, link));
    }
    ASSERT(self->request_count == 0 && self->cost == 0);
    mem_free(self);
}

const struct protocol kafka_protocol = {
    .name = "kafka",
    .open = kafka_open,
    .receive = kafka_receive,
    .writable = NULL,
    .finished = kafka_finished,
    .drain = kafka_drain,
    .close = kafka_close,
};
