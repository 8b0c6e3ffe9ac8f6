// SPDX-License-Identifier: Apache-2.0
/* kafka_caller.h: one thing after the other asked of brokers: a connection, one request on it, and patience.
 *
 *   next ─> kafka_caller_at(node) ─> kafka_caller_ask ─> answered ─> next ...
 *                                                    └─> lost (it may have been done) ─> a pause ─> next
 *
 * Owner   the client that it is part of; kafka_caller_release drops the connection.
 * Loop    the client's io. */
#ifndef SENTINEL_SIM_KAFKA_CALLER_H
#define SENTINEL_SIM_KAFKA_CALLER_H

#include "base/prng.h"
#include "sim/kafka_link.h"

struct kafka_caller_calls {
    /* Nothing is asked and no pause is on: what comes next. */
    void (*next)(void *ctx);
    void (*answered)(void *ctx, const void *message);
    /* The connection is gone, by no will of ours, with what was asked on it. */
    void (*lost)(void *ctx);
};
struct kafka_caller {
    struct io *io;
    const struct kafka_caller_calls *calls;
    void *ctx;
    struct prng prng;
    struct io_timer timer; /* to give an answer up, or the end of a pause */
    struct kafka_link *link;
    uint32_t attempts, connections; /* so far; the client counts its attempts */
    bool connected, asking;
};

void kafka_caller_init(struct kafka_caller *caller, struct io *io, uint64_t seed,
                       const struct kafka_caller_calls *calls, void *ctx);
void kafka_caller_release(struct kafka_caller *caller);
/* Of an idle caller. True: connected to this node; else it will be, and `next` comes again. */
bool kafka_caller_at(struct kafka_caller *caller, uint32_t node);
/* Where it is connected; 0: nowhere. */
uint32_t kafka_caller_node(const struct kafka_caller *caller);
void kafka_caller_ask(struct kafka_caller *caller, int16_t key, int16_t version, const void *request);
/* A pause of about so long, then `next`. */
void kafka_caller_pause(struct kafka_caller *caller, uint64_t ns);
/* As if the connection had broken. */
void kafka_caller_give_up(struct kafka_caller *caller);
/* Does what comes next, unless something is under way. */
void kafka_caller_go_on(struct kafka_caller *caller);

#endif
