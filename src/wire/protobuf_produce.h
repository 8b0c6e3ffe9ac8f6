// SPDX-License-Identifier: Apache-2.0
/* protobuf_produce.h: produce requests and their answers (proto/sentinel/v1/producer_service.proto), read and
 * written by hand: a batch is neither copied out of a request nor into one. Both directions, for the server
 * and the client.
 *
 * Owner   everything read is borrowed from the message. Errors  MALFORMED. Loop: any thread; pure. */
#ifndef SENTINEL_WIRE_PROTOBUF_PRODUCE_H
#define SENTINEL_WIRE_PROTOBUF_PRODUCE_H

#include "base/status.h"
#include "wire/protobuf.h"

/* The values of sentinel.v1.Acks. */
enum protobuf_acks { PROTOBUF_ACKS_UNSPECIFIED, PROTOBUF_ACKS_ALL, PROTOBUF_ACKS_LEADER, PROTOBUF_ACKS_NONE };

/* ProduceRequest, or ProduceStreamBatch (topic, acks and transactional_id then stay empty). */
struct protobuf_produce {
    struct slice topic;
    bool has_partition, has_producer;
    int32_t partition;
    uint32_t record_count;
    struct slice message;      /* protobuf_produce_record_next walks its records */
    struct slice record_batch; /* empty: none */
    uint32_t acks;
    int64_t producer_id;
    int32_t producer_epoch, base_sequence;
    struct slice transactional_id;
    uint64_t sequence; /* ProduceStreamBatch */
};
enum status protobuf_produce_read(struct slice message, struct protobuf_produce *produce) MUST_USE;
/* ProduceStreamRequest: `open` tells which; the other is untouched. */
enum protobuf_produce_kind { PROTOBUF_PRODUCE_OPEN, PROTOBUF_PRODUCE_BATCH };
enum status protobuf_produce_stream_read(struct slice message, enum protobuf_produce_kind *kind,
                                         struct protobuf_produce *produce) MUST_USE;
/* `rest` begins as produce->message and advances; END after the last. Each is read by protobuf_record_read.
 */
enum status protobuf_produce_record_next(const struct protobuf_produce *produce, struct slice *rest,
                                         struct slice *record) MUST_USE;

/* Writes everything but the record batch of a ProduceRequest, whose last bytes are then `record_batch.size`
 * bytes of the batch itself, which the caller sends behind (shared, not copied). The same for a
 * ProduceStreamRequest that holds a batch, and for one that opens. */
void protobuf_produce_write_head(struct writer *out, const struct protobuf_produce *produce);
void protobuf_produce_stream_write_head(struct writer *out, const struct protobuf_produce *produce);
void protobuf_produce_stream_write_open(struct writer *out, const struct protobuf_produce *produce);

/* AppendResult. */
struct protobuf_produce_result {
    int32_t partition, record_count, leader_epoch;
    int64_t base_offset, log_append_time_ms;
    const int32_t *record_indexes; /* written; NULL: all. Not read. */
    uint32_t record_index_count;
    struct slice error; /* an encoded google.rpc.Status (grpc_metadata.h); empty: none */
};
/* A result as field `number` of the message in `out`. */
void protobuf_produce_result_write(struct writer *out, uint32_t number,
                                   const struct protobuf_produce_result *result);
/* The results in a ProduceResponse (number 1) or a ProduceStreamAck (number 2): `rest` begins as the message.
 */
enum status protobuf_produce_result_next(struct slice *rest, uint32_t number,
                                         struct protobuf_produce_result *result) MUST_USE;

/* ProduceStreamResponse. */
struct protobuf_produce_reply {
    bool is_opened;
    int32_t partition_count, message_bytes_max; /* opened */
    int64_t unacknowledged_bytes_max;
    uint64_t sequence; /* acknowledgement */
    struct slice ack;  /* protobuf_produce_result_next(…, 2, …) walks it */
};
enum status protobuf_produce_reply_read(struct slice message, struct protobuf_produce_reply *reply) MUST_USE;

#endif
