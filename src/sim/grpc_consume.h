// SPDX-License-Identifier: Apache-2.0
/* grpc_consume.h: what simulated clients say and hear alike on a Consume stream of sentinel.v1.
 *
 * Owner   the caller; nothing is kept. A request points into its ask: it is sent before that goes.
 * Bounds  GRPC_CREDIT_BYTES on their way. Loop: the call's. */
#ifndef SENTINEL_SIM_GRPC_CONSUME_H
#define SENTINEL_SIM_GRPC_CONSUME_H

#include "client/channel.h"
#include "sentinel/v1/consumer_service.pb-c.h"
#include "sim/history_reader.h"
#include "wire/protobuf_record.h"

#define GRPC_CREDIT_BYTES (16 * KIB)

/* Begins a stream: one topic, whole batches, and credit. What a client wants otherwise, and where it begins,
 * it sets in there itself. */
struct grpc_consume_ask {
    char name[64];
    Sentinel__V1__ConsumeTopic topic, *topics[1];
    Sentinel__V1__ConsumeCredit credit;
    Sentinel__V1__ConsumeStart start;
    Sentinel__V1__ConsumeRequest request;
};
void grpc_consume_ask(struct grpc_consume_ask *ask, const char *topic);
void grpc_consume_send(struct call *call, const Sentinel__V1__ConsumeRequest *request);
/* `bytes` more were read: credit for all that is owed is given when it is worth a message. */
void grpc_consume_credit(struct call *call, size_t *owed, size_t bytes);
/* Reads what came of the reader's partition, and holds it against the history (B12, B21, and those of
 * history_reader.h). Bytes that credit was spent on. */
size_t grpc_consume_take(struct history *history, struct history_reader *reader,
                         const struct protobuf_records *records);

#endif
