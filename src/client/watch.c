// SPDX-License-Identifier: Apache-2.0
/* Streams of states: each answer is the whole of it, so one that breaks is simply begun again. */
#include <stdio.h>

#include "base/units.h"
#include "client/client_state.h"
#include "client/exchange.h"
#include "wire/protobuf.h"

#define AGAIN_PAUSE_MS 200

struct watch {
    struct call call;
    const ProtobufCMessageDescriptor *descriptor;
    bool (*visit)(void *context, struct arena *arena, const void *answer);
    void *context;
    bool ended, stopped, answered;
    int code;
    char message[512];
};

static void end(struct watch *watch, int code, const char *message) {
    if (watch->ended) return;
    watch->ended = true;
    watch->code = code;
    snprintf(watch->message, sizeof watch->message, "%s", message);
}

static void on_message(struct call *call, struct grpc_message *message) {
    struct watch *watch = CONTAINER_OF(call, struct watch, call);
    if (watch->ended || watch->stopped) return;
    struct arena arena;
    arena_init(&arena, 16 * KIB);
    ProtobufCAllocator allocator = protobuf_arena_allocator(&arena);
    const void *answer = protobuf_c_message_unpack(watch->descriptor, &allocator, message->bytes.size,
                                                   message->bytes.data);
    watch->answered = true;
    if (answer != NULL)
        watch->stopped = !watch->visit(watch->context, &arena, answer);
    else
        end(watch, 13, "the server sent a malformed answer");
    arena_release(&arena);
}

static void on_done(struct call *call, int code, const char *message) {
    end(CONTAINER_OF(call, struct watch, call), code, message);
}

static bool is_over(void *ctx) {
    const struct watch *watch = ctx;
    return watch->ended || watch->stopped;
}

int client_watch(sentinel_client *client, const char *path, const void *request,
                 const ProtobufCMessageDescriptor *descriptor,
                 bool (*visit)(void *context, struct arena *arena, const void *answer), void *context,
                 sentinel_error *error) {
    struct writer bytes;
    writer_init(&bytes);
    protobuf_pack(&bytes, request);
    uint64_t deadline = client_deadline(client, client->timeout_ns);
    struct watch watch;
    do {
        watch = (struct watch){.call = {.on_message = on_message, .on_done = on_done},
                               .descriptor = descriptor,
                               .visit = visit,
                               .context = context};
        call_start(&client->channel, &watch.call, path);
        call_send(&watch.call, writer_slice(&bytes), (struct shared_slice){SLICE_EMPTY, NULL});
        call_finish(&watch.call);
        while (!is_over(&watch) && (watch.answered || io_clock_ns(client->io) < deadline))
            MAYBE(client_wait(client, client_deadline(client, NS_PER_S), is_over, &watch));
        call_cancel(&watch.call);
        if (watch.answered) deadline = client_deadline(client, client->timeout_ns);
        if (!watch.stopped && watch.code == GRPC_UNAVAILABLE) sentinel_wait(client, AGAIN_PAUSE_MS);
    } while (!watch.stopped && watch.ended && watch.code == GRPC_UNAVAILABLE &&
             io_clock_ns(client->io) < deadline);
    writer_release(&bytes);
    if (watch.stopped) return 0;
    if (!watch.ended) return client_fail(error, SENTINEL_TIMED_OUT, "no answer within the client's timeout");
    return client_fail(error, watch.code == 0 ? 13 : watch.code, "%s", watch.message);
}
