// SPDX-License-Identifier: Apache-2.0
/* The protocols that one port may speak. */
#include "server/server_state.h"

static const struct {
    enum server_protocols which;
    const struct protocol *protocol;
} protocols[] = {
    {SERVER_KAFKA, &kafka_protocol},
    {SERVER_GRPC, &grpc_protocol},
    {SERVER_HTTP, &http_protocol},
    {SERVER_PEER, &peer_protocol},
};

const struct protocol *server_protocol(enum server_protocols which, unsigned allowed) {
    if ((allowed & which) == 0) return NULL;
    for (unsigned i = 0; i < sizeof protocols / sizeof *protocols; i++)
        if (protocols[i].which == which) return protocols[i].protocol;
    return NULL;
}
