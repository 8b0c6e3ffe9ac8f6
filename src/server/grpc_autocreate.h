// SPDX-License-Identifier: Apache-2.0
/* grpc_autocreate.h: makes the topic that a client produces to, where the broker makes topics by itself
 * (topic.auto-create), as Kafka's Metadata does for its clients.
 *
 * Owner   the struct lies in the call's state; the call is pinned while the topic is being made.
 * Loop    shard thread only. */
#ifndef SENTINEL_SERVER_GRPC_AUTOCREATE_H
#define SENTINEL_SERVER_GRPC_AUTOCREATE_H

#include "server/grpc_call.h"

struct grpc_autocreate {
    struct topic_change change;
    struct grpc_call *call;
    void (*then)(struct grpc_call *call);
    bool running, tried;
};
/* True: the topic is missing and being made; `then` runs when that is over, whatever came of it, unless the
 * call has ended. False: there is nothing to make, or it was tried before. `name` is copied. */
bool grpc_autocreate(struct grpc_autocreate *create, struct grpc_call *call, struct slice name,
                     void (*then)(struct grpc_call *call));

#endif
