// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_unary.h"

#include "base/mem.h"
#include "cli/bench_broker_io.h"
#include "client/channel.h"

#define ANSWER_SECONDS 60

static void open_channel(struct channel *channel, struct io *io, const char *address) {
    struct diagnostic why;
    if (channel_init(channel, io, address, &why) != STATUS_OK) bench_fail("gRPC", why.text);
}

static void send_request(struct channel *channel, struct call *call, const char *path, struct slice request) {
    call_start(channel, call, path);
    call_send(call, request, (struct shared_slice){SLICE_EMPTY, NULL});
    call_finish(call);
}

/* ---- many --------------------------------------------------------------------------------------------- */

struct run {
    struct bench_unary *unary;
    uint64_t started, open;
};
struct client {
    struct call call;
    struct run *run;
    struct channel *channel;
    uint32_t connection;
    uint64_t asked_ns;
};

static void ask(struct client *c) {
    struct run *run = c->run;
    struct bench_unary *unary = run->unary;
    if (run->started == unary->calls) return;
    struct slice request = unary->request(unary->ctx, c->connection, run->started++);
    run->open++;
    c->asked_ns = io_clock_ns(unary->io);
    send_request(c->channel, &c->call, unary->path, request);
}

static void take_message(struct call *call, struct grpc_message *message) {
    const struct client *c = CONTAINER_OF(call, struct client, call);
    c->run->unary->answer(c->run->unary->ctx, message->bytes);
}

static void answered(struct call *call, int code, const char *text) {
    struct client *c = CONTAINER_OF(call, struct client, call);
    struct bench_unary *unary = c->run->unary;
    if (code != 0) bench_fail(unary->path, text);
    histogram_add(unary->latency_ns, io_clock_ns(unary->io) - c->asked_ns);
    unary->done++;
    c->run->open--;
    ask(c);
}

void bench_unary_run(struct bench_unary *unary) {
    struct run run = {.unary = unary};
    struct channel *channels = mem_calloc(unary->connections, sizeof *channels);
    struct client *clients = mem_calloc((size_t)unary->connections * unary->window, sizeof *clients);
    unary->done = 0;
    for (uint32_t i = 0; i < unary->connections; i++) {
        open_channel(&channels[i], unary->io, unary->address(unary->ctx, i));
        for (uint32_t k = 0; k < unary->window; k++) {
            struct client *c = &clients[i * unary->window + k];
            *c = (struct client){.call = {.on_message = take_message, .on_done = answered},
                                 .run = &run,
                                 .channel = &channels[i],
                                 .connection = i};
            ask(c);
        }
    }
    uint64_t progress_ns = io_clock_ns(unary->io), done = 0;
    while (run.open > 0) {
        io_turn(unary->io, NS_PER_S);
        if (unary->done != done) progress_ns = io_clock_ns(unary->io);
        done = unary->done;
        if (io_clock_ns(unary->io) - progress_ns > ANSWER_SECONDS * NS_PER_S)
            bench_fail(unary->path, "no answer for a minute");
    }
    for (uint32_t i = 0; i < unary->connections; i++)
        channel_release(&channels[i]);
    mem_free(channels);
    mem_free(clients);
}

/* ---- one ---------------------------------------------------------------------------------------------- */

struct single {
    struct call call;
    struct writer *answer; /* NULL: not wanted */
    bool done;
    int code;
};

static void take_single(struct call *call, struct grpc_message *message) {
    const struct single *single = CONTAINER_OF(call, struct single, call);
    if (single->answer != NULL) writer_bytes(single->answer, message->bytes);
}

static void single_done(struct call *call, int code, const char *text) {
    struct single *single = CONTAINER_OF(call, struct single, call);
    MAYBE(text != NULL);
    single->done = true;
    single->code = code;
}

bool bench_unary_call(struct io *io, const char *address, const char *path, struct slice request,
                      uint64_t limit_ms, struct writer *answer) {
    struct channel channel;
    struct single single = {.call = {.on_message = take_single, .on_done = single_done}, .answer = answer};
    open_channel(&channel, io, address);
    send_request(&channel, &single.call, path, request);
    uint64_t until_ns = io_clock_ns(io) + limit_ms * NS_PER_MS;
    for (uint64_t now_ns = io_clock_ns(io); !single.done && now_ns < until_ns; now_ns = io_clock_ns(io))
        io_turn(io, until_ns - now_ns);
    if (!single.done) call_cancel(&single.call);
    channel_release(&channel);
    return single.done && single.code == 0;
}
