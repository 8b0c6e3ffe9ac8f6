// SPDX-License-Identifier: Apache-2.0
/* kafka_group.h: what the handlers of group requests share: calls to coordinators within one Kafka request.
 *
 *   kafka_group_parts ─> coordinator_*(&part->call, ...) ─> answer: fill the response ─> done: release
 *
 * A part whose answer is void (another coordinator, shutting down) gets an error through `fail` instead.
 *
 * Owner   parts live in the request's arena and hold it while they are under way. Loop: shard thread. */
#ifndef SENTINEL_SERVER_KAFKA_GROUP_H
#define SENTINEL_SERVER_KAFKA_GROUP_H

#include "broker/coordinator.h"
#include "server/kafka_request.h"

struct kafka_group_part {
    struct group_call call;
    struct kafka_request *request;
    uint32_t index; /* among the request's parts */
    void (*fail)(struct kafka_group_part *part, int16_t code);
};
/* `count` parts, not under way yet; request->state and request->stop are theirs from then on. */
struct kafka_group_part *kafka_group_parts(struct kafka_request *request, uint32_t count,
                                           void (*answer)(struct group_call *call,
                                                          const struct group_reply *reply),
                                           void (*fail)(struct kafka_group_part *part, int16_t code));
/* Holds the request for this part; right before the coordinator is called. */
void kafka_group_begin(struct kafka_group_part *part);
static inline struct kafka_group_part *kafka_group_part_of(struct group_call *call) {
    return CONTAINER_OF(call, struct kafka_group_part, call);
}
struct slice kafka_group_copy(struct kafka_request *request, struct slice bytes); /* null stays null */
struct slice kafka_group_client_host(struct kafka_request *request);              /* "/127.0.0.1" */

#endif
