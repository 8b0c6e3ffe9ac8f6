// SPDX-License-Identifier: Apache-2.0
/* bench_unary.h: many clients of a gRPC service, each with one unary call under way, on a few connections of
 * client/channel.h. Both sides of a comparison run it: Sentinel's Produce and a peer's service.
 *
 * Owner   everything is the caller's. Errors: bench_fail, which whoever links this defines
 * (bench_broker_io.h). Loop    the caller's io, one thread, blocking.  Bounds: connections * window calls
 * under way. */
#ifndef SENTINEL_CLI_BENCH_UNARY_H
#define SENTINEL_CLI_BENCH_UNARY_H

#include "base/cursor.h"
#include "base/histogram.h"
#include "io/io.h"

struct bench_unary {
    struct io *io;
    const char *path; /* "/package.Service/Method" */
    uint32_t connections, window;
    uint64_t calls;
    void *ctx;
    const char *(*address)(void *ctx, uint32_t connection);
    /* Of the call of that number, from 0; copied at once. */
    struct slice (*request)(void *ctx, uint32_t connection, uint64_t number);
    void (*answer)(void *ctx, struct slice message); /* bench_fail when it is a refusal */
    struct histogram *latency_ns;                    /* added to */
    uint64_t done;
};
void bench_unary_run(struct bench_unary *unary);

/* One call on a connection of its own. False: refused, or not answered within `limit_ms`. The answer, when
 * wanted, is appended. */
bool bench_unary_call(struct io *io, const char *address, const char *path, struct slice request,
                      uint64_t limit_ms, struct writer *answer);

#endif
