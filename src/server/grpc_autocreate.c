// SPDX-License-Identifier: Apache-2.0
#include "server/grpc_autocreate.h"

static void created(struct topic_change *change) {
    struct grpc_autocreate *create = CONTAINER_OF(change, struct grpc_autocreate, change);
    struct grpc_call *call = create->call;
    create->running = false;
    if (!call->ended) create->then(call);
    grpc_call_unpin(call);
}

bool grpc_autocreate(struct grpc_autocreate *create, struct grpc_call *call, struct slice name,
                     void (*then)(struct grpc_call *call)) {
    struct broker *broker = grpc_call_broker(call);
    if (create->tried || !broker_get_options(broker)->auto_create_topics ||
        broker_topic_find(broker, name) != NULL || topic_name_check(name, NULL) != STATUS_OK)
        return false;
    create->call = call;
    create->then = then;
    create->running = create->tried = true;
    create->change = (struct topic_change){
        .kind = TOPIC_CREATE, .name = name, .partition_count = -1, .replication = -1, .done = created};
    grpc_call_pin(call);
    broker_change_topic(broker, &create->change);
    return true;
}
