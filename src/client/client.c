// SPDX-License-Identifier: Apache-2.0
#include "client/client_state.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"

#define SERVER_DEFAULT     "127.0.0.1:9092"
#define TIMEOUT_DEFAULT_MS 10000
#define RETRY_PAUSE_NS     (50 * NS_PER_MS)

int client_fail(sentinel_error *error, int code, const char *format, ...) {
    if (error == NULL) return -1;
    error->code = code;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return -1;
}

uint64_t client_deadline(struct sentinel_client *client, uint64_t timeout_ns) {
    return io_clock_ns(client->io) + timeout_ns;
}

bool client_wait(struct sentinel_client *client, uint64_t deadline_ns, bool (*done)(void *ctx), void *ctx) {
    while (!done(ctx)) {
        uint64_t now = io_clock_ns(client->io);
        if (now >= deadline_ns) return false;
        io_turn(client->io, deadline_ns - now);
    }
    return true;
}

sentinel_client *sentinel_open(const char *servers, uint32_t timeout_ms, sentinel_error *error) {
    if (servers == NULL) servers = getenv("SENTINEL_SERVER");
    if (servers == NULL || servers[0] == '\0') servers = SERVER_DEFAULT;
    struct sentinel_client *client = mem_calloc(1, sizeof *client);
    client->timeout_ns = (timeout_ms == 0 ? TIMEOUT_DEFAULT_MS : timeout_ms) * NS_PER_MS;
    struct diagnostic why;
    /* No file operations here: the plain backend is the lighter one. */
    struct io_options options = {.backend = IO_BACKEND_POSIX};
    if (io_new(&options, &client->io, &why) != STATUS_OK) {
        client_fail(error, 13, "%s", why.text);
        mem_free(client);
        return NULL;
    }
    if (channel_init(&client->channel, client->io, servers, &why) != STATUS_OK) {
        client_fail(error, 3, "%s", why.text);
        io_free(client->io);
        mem_free(client);
        return NULL;
    }
    return client;
}

void sentinel_close(sentinel_client *client) {
    if (client == NULL) return;
    channel_release(&client->channel);
    io_free(client->io);
    mem_free(client);
}

void sentinel_read_any_replica(sentinel_client *client) {
    client->read_any_replica = true;
}

static bool never(void *ctx) {
    (void)ctx;
    return false;
}

void sentinel_wait(sentinel_client *client, uint32_t ms) {
    client_wait(client, client_deadline(client, ms * NS_PER_MS), never, NULL);
}

/* ---- unary calls ----------------------------------------------------------------------------------------
 */

struct unary {
    struct call call;
    struct buffer *answer;
    bool done;
    int code;
    char message[512];
};

static void unary_message(struct call *call, struct grpc_message *message) {
    struct unary *unary = CONTAINER_OF(call, struct unary, call);
    if (unary->answer == NULL) unary->answer = buffer_copy(message->bytes);
}

static void unary_done(struct call *call, int code, const char *message) {
    struct unary *unary = CONTAINER_OF(call, struct unary, call);
    unary->done = true;
    unary->code = code;
    snprintf(unary->message, sizeof unary->message, "%s", message);
}

static bool unary_is_done(void *ctx) {
    return ((struct unary *)ctx)->done;
}

int client_unary(struct sentinel_client *client, const char *path, struct slice request,
                 struct buffer **answer, sentinel_error *error) {
    uint64_t deadline = client_deadline(client, client->timeout_ns);
    char last[512] = ""; /* why it was not sent */
    for (;;) {
        struct unary unary = {.call = {.on_message = unary_message, .on_done = unary_done}};
        call_start(&client->channel, &unary.call, path);
        call_send(&unary.call, request, (struct shared_slice){SLICE_EMPTY, NULL});
        call_finish(&unary.call);
        bool done = client_wait(client, deadline, unary_is_done, &unary);
        call_cancel(&unary.call);
        if (done && unary.code == 0 && unary.answer != NULL) {
            *answer = unary.answer;
            return 0;
        }
        buffer_unref(unary.answer);
        if (!done && last[0] != '\0') return client_fail(error, SENTINEL_UNAVAILABLE, "%s", last);
        if (!done) return client_fail(error, SENTINEL_TIMED_OUT, "no answer within the client's timeout");
        uint64_t now = io_clock_ns(client->io);
        if (unary.code != GRPC_UNAVAILABLE || unary.call.sent || now + RETRY_PAUSE_NS >= deadline)
            return client_fail(error, unary.code == 0 ? 13 : unary.code, "%s",
                               unary.code == 0 ? "the server sent no answer" : unary.message);
        snprintf(last, sizeof last, "%s", unary.message);
        client_wait(client, now + RETRY_PAUSE_NS, never, NULL);
    }
}
