// SPDX-License-Identifier: Apache-2.0
/* grpc_partition.h: failures that speak of a topic or of one of its partitions, told the same way by every
 * handler: topic and partition stand in the message and, for programs, in the metadata of ErrorInfo.
 *
 * Loop    shard thread. */
#ifndef SENTINEL_SERVER_GRPC_PARTITION_H
#define SENTINEL_SERVER_GRPC_PARTITION_H

#include "broker/coordinator.h"
#include "google/rpc/status.pb-c.h"
#include "sentinel/v1/consumer_service.pb-c.h"
#include "server/grpc_call.h"

struct grpc_partition_error {
    enum status status;
    struct slice topic;  /* SLICE_EMPTY: of none in particular; a client's empty name is one all the same */
    int32_t partition;   /* -1: the topic as a whole */
    const char *message; /* NULL or empty: the status's own text */
    int64_t low, high;   /* OFFSET_OUT_OF_RANGE: the offsets there are */
};

void grpc_partition_fail(struct grpc_call *call, const struct grpc_partition_error *error);
/* The topic, or NULL: there is none of that name, and the call has failed. */
const struct broker_topic *grpc_partition_find_topic(struct grpc_call *call, struct slice topic);
/* UNKNOWN_TOPIC. */
void grpc_partition_fail_unknown(struct grpc_call *call, struct slice topic, int32_t partition);
/* An offset to commit, of a partition that there is; false: the call has failed. */
bool grpc_partition_read_offset(struct grpc_call *call, const Sentinel__V1__CommitOffset *in,
                                struct group_commit_offset *out);
/* An encoded google.rpc.Status. */
void grpc_partition_error_write(struct writer *out, const struct grpc_partition_error *error);
/* The same as a message in the arena, for a response of generated code. */
Google__Rpc__Status *grpc_partition_error_message(struct arena *arena,
                                                  const struct grpc_partition_error *error);

#endif
