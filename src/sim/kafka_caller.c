// SPDX-License-Identifier: Apache-2.0
#include "sim/kafka_caller.h"

#include "base/assert.h"
#include "base/units.h"

#define ANSWER_NS (5 * NS_PER_S) /* then the connection is given up */
#define RETRY_NS  (60 * NS_PER_MS)

static void wait(struct kafka_caller *c, uint64_t ns) {
    io_timer_set(c->io, &c->timer, io_now_ns(c->io) + ns);
}

void kafka_caller_go_on(struct kafka_caller *c) {
    if (!c->asking && !io_timer_armed(&c->timer)) c->calls->next(c->ctx);
}

void kafka_caller_pause(struct kafka_caller *c, uint64_t ns) {
    wait(c, ns / 2 + prng_below(&c->prng, ns));
}

void kafka_caller_give_up(struct kafka_caller *c) {
    kafka_caller_release(c);
    c->calls->lost(c->ctx);
    kafka_caller_pause(c, RETRY_NS);
}

static void timer_fired(struct io_timer *timer) {
    struct kafka_caller *c = CONTAINER_OF(timer, struct kafka_caller, timer);
    if (c->asking || (c->link != NULL && !c->connected))
        kafka_caller_give_up(c);
    else
        c->calls->next(c->ctx);
}

static void link_connected(void *ctx) {
    struct kafka_caller *c = ctx;
    c->connected = true;
    io_timer_cancel(c->io, &c->timer);
    c->calls->next(c->ctx);
}

static void link_failed(void *ctx) {
    kafka_caller_give_up(ctx);
}

static void answered(void *ctx, const void *message) {
    struct kafka_caller *c = ctx;
    io_timer_cancel(c->io, &c->timer);
    c->asking = false;
    c->calls->answered(c->ctx, message);
    kafka_caller_go_on(c);
}

static const struct kafka_link_calls link_calls = {
    .connected = link_connected, .failed = link_failed, .answered = answered};

void kafka_caller_init(struct kafka_caller *c, struct io *io, uint64_t seed,
                       const struct kafka_caller_calls *calls, void *ctx) {
    *c = (struct kafka_caller){.io = io, .calls = calls, .ctx = ctx};
    prng_init(&c->prng, seed);
    io_timer_init(&c->timer, timer_fired);
}

void kafka_caller_release(struct kafka_caller *c) {
    if (c->link != NULL) kafka_link_drop(c->link);
    c->link = NULL;
    c->connected = c->asking = false;
}

uint32_t kafka_caller_node(const struct kafka_caller *c) {
    return c->connected ? kafka_link_node(c->link) : 0;
}

bool kafka_caller_at(struct kafka_caller *c, uint32_t node) {
    if (c->link != NULL && kafka_link_node(c->link) != node) kafka_caller_release(c);
    if (c->link != NULL) return c->connected;
    c->connections++;
    c->link = kafka_link_new(c->io, node, &link_calls, c);
    wait(c, ANSWER_NS);
    return false;
}

void kafka_caller_ask(struct kafka_caller *c, int16_t key, int16_t version, const void *request) {
    ASSERT(c->connected && !c->asking);
    c->asking = true;
    wait(c, ANSWER_NS);
    kafka_link_ask(c->link, key, version, request);
}
