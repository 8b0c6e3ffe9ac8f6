// SPDX-License-Identifier: Apache-2.0
/* protobuf_record.h: sentinel.v1's messages that carry records (proto/sentinel/v1), read and written by hand
 * so that no payload byte is copied on the way: produce requests and acknowledgements, fetched and consumed
 * records.
 *
 * Both directions are here, for the server and for the client. Messages with few fields that come seldom go
 * through the generated code instead.
 *
 * Owner   everything read is borrowed from the message. Errors  MALFORMED. Loop: any thread; pure. */
#ifndef SENTINEL_WIRE_PROTOBUF_RECORD_H
#define SENTINEL_WIRE_PROTOBUF_RECORD_H

#include "base/chain.h"
#include "base/status.h"
#include "wire/protobuf.h"
#include "wire/record_batch.h"

/* ---- Record -------------------------------------------------------------------------------------------- */

struct protobuf_record {
    struct slice key, value; /* data NULL: null */
    int64_t timestamp_ms, offset;
    uint32_t header_count;
    struct slice message; /* the Record itself: protobuf_record_header_next walks it */
};
enum status protobuf_record_read(struct slice message, struct protobuf_record *record) MUST_USE;
/* `rest` begins as record->message and advances; END after the last. */
enum status protobuf_record_header_next(struct slice *rest, struct record_header *header) MUST_USE;
/* Size of a Record message made from a batch's record (checked: its headers parse), and the message itself as
 * field `number`. */
size_t protobuf_record_size(const struct record *record);
void protobuf_record_write(struct writer *out, uint32_t number, const struct record *record, size_t size);

/* ---- produce ------------------------------------------------------------------------------------------- */

/* The values of sentinel.v1.Acks. */
enum protobuf_acks { PROTOBUF_ACKS_UNSPECIFIED, PROTOBUF_ACKS_ALL, PROTOBUF_ACKS_LEADER, PROTOBUF_ACKS_NONE };

/* ProduceRequest, or ProduceStreamBatch (topic, acks and producer then stay empty). */
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
struct protobuf_append_result {
    int32_t partition, record_count, leader_epoch;
    int64_t base_offset, log_append_time_ms;
    const int32_t *record_indexes; /* written; NULL: all. Not read. */
    uint32_t record_index_count;
    struct slice error; /* an encoded google.rpc.Status (grpc_metadata.h); empty: none */
};
/* A result as field `number` of the message in `out`. */
void protobuf_append_result_write(struct writer *out, uint32_t number,
                                  const struct protobuf_append_result *result);
enum status protobuf_append_result_read(struct slice message, struct protobuf_append_result *result) MUST_USE;
/* The results in a ProduceResponse (number 1) or a ProduceStreamAck (number 2): `rest` begins as the message.
 */
enum status protobuf_append_result_next(struct slice *rest, uint32_t number,
                                        struct protobuf_append_result *result) MUST_USE;

/* ProduceStreamResponse. */
struct protobuf_produce_reply {
    bool is_opened;
    int32_t partition_count, message_bytes_max; /* opened */
    int64_t unacknowledged_bytes_max;
    uint64_t sequence; /* acknowledgement */
    struct slice ack;  /* protobuf_append_result_next(…, 2, …) walks it */
};
enum status protobuf_produce_reply_read(struct slice message, struct protobuf_produce_reply *reply) MUST_USE;

/* ---- fetch and consume --------------------------------------------------------------------------------- */

/* ConsumeRecords inside a ConsumeResponse, or FetchedPartition inside a FetchResponse. */
struct protobuf_records {
    struct slice topic;
    int32_t partition;
    int64_t next_offset, high_watermark;
    int64_t log_start_offset; /* fetch */
    struct slice error;       /* fetch: an encoded google.rpc.Status; empty: none */
    struct slice message;     /* protobuf_records_next walks it */
    uint32_t record_number, batch_number;
};
enum protobuf_consumed_kind {
    PROTOBUF_CONSUMED_STARTED,
    PROTOBUF_CONSUMED_RECORDS,
    PROTOBUF_CONSUMED_PROGRESS
};
/* ConsumeResponse. STARTED and PROGRESS: `inner` is the message, for the generated code; RECORDS: `records`.
 */
enum status protobuf_consumed_read(struct slice message, enum protobuf_consumed_kind *kind,
                                   struct slice *inner, struct protobuf_records *records) MUST_USE;
/* Partitions of a FetchResponse: `rest` begins as the message; END after the last. */
enum status protobuf_fetched_next(struct slice *rest, struct protobuf_records *records) MUST_USE;
/* Records (a Record message) and batches of `records`, in order: `rest` begins as records->message; END after
 * the last. */
enum status protobuf_records_next(const struct protobuf_records *records, struct slice *rest, bool *is_batch,
                                  struct slice *item) MUST_USE;

/* Writes the head of a ConsumeResponse that holds ConsumeRecords, or of one partition of a FetchResponse,
 * whose items (encoded fields) take `items_size` bytes, which the caller sends behind. */
void protobuf_consumed_write_head(struct writer *out, const struct protobuf_records *records,
                                  size_t items_size);
void protobuf_fetched_write_head(struct writer *out, const struct protobuf_records *records,
                                 size_t items_size);
enum {
    PROTOBUF_CONSUMED_RECORD = 5,
    PROTOBUF_CONSUMED_BATCH = 6,
    PROTOBUF_FETCHED_RECORD = 7,
    PROTOBUF_FETCHED_BATCH = 8
};

#endif
