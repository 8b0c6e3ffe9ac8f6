// SPDX-License-Identifier: Apache-2.0
/* exchange.h: unary calls with generated messages.
 *
 * Owner   the answer lives in the arena. Loop: the thread that calls. */
#ifndef SENTINEL_CLIENT_EXCHANGE_H
#define SENTINEL_CLIENT_EXCHANGE_H

#include <protobuf-c/protobuf-c.h>

#include "base/arena.h"
#include "client/client_state.h"

/* Packs `request`, calls, and unpacks the answer as `descriptor` into the arena; NULL with `error` filled in.
 */
void *client_exchange(sentinel_client *client, const char *path, const void *request,
                      const ProtobufCMessageDescriptor *descriptor, struct arena *arena,
                      sentinel_error *error);
/* The same for an answer that says nothing more. */
int client_simple(sentinel_client *client, const char *path, const void *request,
                  const ProtobufCMessageDescriptor *descriptor, sentinel_error *error);

/* A stream of answers: `visit` is given each as `descriptor` says, until it returns false: then 0. A stream
 * that breaks is begun again; -1 when no answer came for the client's timeout, or when the server ends it. */
int client_watch(sentinel_client *client, const char *path, const void *request,
                 const ProtobufCMessageDescriptor *descriptor,
                 bool (*visit)(void *context, struct arena *arena, const void *answer), void *context,
                 sentinel_error *error);

#endif
