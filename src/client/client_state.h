// SPDX-License-Identifier: Apache-2.0
/* client_state.h: what the client's files share: the client, and waiting for something on its loop.
 *
 * Loop    the thread that calls. */
#ifndef SENTINEL_CLIENT_CLIENT_STATE_H
#define SENTINEL_CLIENT_CLIENT_STATE_H

#include "client/channel.h"
#include "sentinel/client.h"

struct sentinel_client {
    struct io *io;
    struct channel channel;
    uint64_t timeout_ns;
    bool read_any_replica; /* sentinel_read_any_replica */
};

/* Fills in `error` (may be NULL) and returns -1. */
__attribute__((format(printf, 3, 4))) int client_fail(sentinel_error *error, int code, const char *format,
                                                      ...);
/* Runs the loop until `done(ctx)` or deadline_ns (of io_clock_ns); true when done. */
bool client_wait(struct sentinel_client *client, uint64_t deadline_ns, bool (*done)(void *ctx), void *ctx);
uint64_t client_deadline(struct sentinel_client *client, uint64_t timeout_ns);

/* One request, one answer. A call that could not be sent is tried again until the client's timeout; one that
 * was sent is not, since the server may have acted on it. On 0 the caller releases `*answer` with
 * buffer_unref. */
int client_unary(struct sentinel_client *client, const char *path, struct slice request,
                 struct buffer **answer, sentinel_error *error);

#endif
