// SPDX-License-Identifier: Apache-2.0
/* protobuf_record.h: sentinel.v1's messages that carry records (proto/sentinel/v1), read and written by hand
 * so that no payload byte is copied on the way: a record, and records fetched and consumed. Producing:
 * protobuf_produce.h.
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
    PROTOBUF_CONSUMED_PROGRESS,
    PROTOBUF_CONSUMED_ASSIGNMENT,
    PROTOBUF_CONSUMED_COMMITTED
};
/* ConsumeResponse. RECORDS: `records`; the others: `inner` is the message, for the generated code.
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
