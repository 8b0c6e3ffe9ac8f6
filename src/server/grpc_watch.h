// SPDX-License-Identifier: Apache-2.0
/* grpc_watch.h: a stream that tells a state at once, and again whenever it has changed.
 *
 *   grpc_watch_start ─> look ─> grpc_watch_tell: sent when it differs from what was sent last ─> interval ─┐
 *                         ^                                                                               │
 *                         └───────────────────────────────────────────────────────────────────────────────┘
 *
 * Each message is the whole state, so a watcher that is slow, or comes again after a lost connection, misses
 * nothing that is still true: while answers wait to be read, nothing is looked at.
 *
 * Owner   lies in the call's state. Bounds: intervals from GRPC_WATCH_MS_MIN on; one answer more than
 * GRPC_WATCH_QUEUED_MAX. Loop: shard thread. */
#ifndef SENTINEL_SERVER_GRPC_WATCH_H
#define SENTINEL_SERVER_GRPC_WATCH_H

#include "server/grpc_call.h"

#define GRPC_WATCH_MS_MIN     100
#define GRPC_WATCH_MS_DEFAULT 1000
#define GRPC_WATCH_QUEUED_MAX ((size_t)(64 * KIB))

struct grpc_watch {
    struct grpc_call *call;                 /* NULL: not started */
    void (*look)(struct grpc_watch *watch); /* tells, or skips, now or later; or fails the call */
    struct io_timer timer;
    uint64_t interval_ns;
    struct writer last;
    bool told;
};
/* False: the call has failed. interval_ms 0: the default. */
bool grpc_watch_start(struct grpc_watch *watch, struct grpc_call *call, int32_t interval_ms,
                      void (*look)(struct grpc_watch *watch));
/* Looks again after the interval. */
void grpc_watch_tell(struct grpc_watch *watch, const ProtobufCMessage *state);
void grpc_watch_skip(struct grpc_watch *watch); /* the state cannot be known now */
/* For the method's `ended` and `drain`. */
void grpc_watch_end(struct grpc_watch *watch);
void grpc_watch_drain(struct grpc_call *call);

#endif
