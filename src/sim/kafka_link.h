// SPDX-License-Identifier: Apache-2.0
/* kafka_link.h: one connection of a simulated client to a broker: a request goes out, its answer comes back.
 *
 * Owner   kafka_link_drop ends it; the memory goes when nothing of it is under way any more.
 * Errors  `failed`, once: not connected, ended, or bytes that are no answer. Loop: the client's io. */
#ifndef SENTINEL_SIM_KAFKA_LINK_H
#define SENTINEL_SIM_KAFKA_LINK_H

#include "base/arena.h"
#include "base/chain.h"
#include "base/cursor.h"
#include "io/io.h"

struct kafka_link;
struct kafka_link_calls {
    void (*connected)(void *ctx);
    void (*failed)(void *ctx);
    /* `message`: of the request's kind, in an arena that lives for the call. */
    void (*answered)(void *ctx, const void *message);
};

struct kafka_link *kafka_link_new(struct io *io, uint32_t node, const struct kafka_link_calls *calls,
                                  void *ctx);
uint32_t kafka_link_node(const struct kafka_link *link);
void kafka_link_ask(struct kafka_link *link, int16_t key, int16_t version, const void *request);
void kafka_link_drop(struct kafka_link *link);

#endif
