// SPDX-License-Identifier: Apache-2.0
/* record_batch.h: Kafka record batch version 2: check, read, build, and the fields filled in place.
 *
 * Layout (KIP-98, docs/protocols.md), big-endian:
 *   0 base offset i64 | 8 batch length i32 (what follows) | 12 partition leader epoch i32 | 16 magic i8 = 2 |
 *   17 crc u32 (CRC-32C of 21..end) | 21 attributes i16 | 23 last offset delta i32 | 27 base timestamp i64 |
 *   35 max timestamp i64 | 43 producer id i64 | 51 producer epoch i16 | 53 base sequence i32 | 57 record
 * count i32 | 61 records Base offset, length, epoch and magic are outside the checksum.
 *
 * Errors  CORRUPT_MESSAGE (length, checksum, counts), UNSUPPORTED_FORMAT (magic 0 or 1), INVALID_RECORD (a
 * record that does not parse; its index is told), TOO_LARGE, UNSUPPORTED_COMPRESSION. Loop    any thread;
 * pure. */
#ifndef SENTINEL_WIRE_RECORD_BATCH_H
#define SENTINEL_WIRE_RECORD_BATCH_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/cursor.h"
#include "base/status.h"

#define RECORD_BATCH_HEADER_SIZE   61
#define RECORD_BATCH_LENGTH_OFFSET 12 /* batch length counts from here */

enum record_codec { CODEC_NONE, CODEC_GZIP, CODEC_SNAPPY, CODEC_LZ4, CODEC_ZSTD, CODEC_COUNT };
enum {
    BATCH_CODEC_MASK = 7,
    BATCH_LOG_APPEND_TIME = 8,
    BATCH_TRANSACTIONAL = 16,
    BATCH_CONTROL = 32,
    BATCH_DELETE_HORIZON = 64
};

struct record_batch {
    struct slice bytes; /* the whole batch */
    int64_t base_offset;
    int32_t leader_epoch;
    uint32_t crc;
    uint16_t attributes;
    int32_t last_offset_delta;
    int64_t base_timestamp, max_timestamp;
    int64_t producer_id;
    int16_t producer_epoch;
    int32_t base_sequence, record_count;
    struct slice records; /* compressed when the codec is not NONE */
};
static inline enum record_codec record_batch_codec(const struct record_batch *b) {
    return (enum record_codec)(b->attributes & BATCH_CODEC_MASK);
}
static inline int64_t record_batch_last_offset(const struct record_batch *b) {
    return b->base_offset + b->last_offset_delta;
}

/* Reads the first batch in `bytes` (there may be more behind it) and checks lengths, magic, counts and
 * checksum, not the records. */
enum status record_batch_read(struct slice bytes, struct record_batch *batch) MUST_USE;
/* The same for bytes that we stored and whose checksum was verified on reading: header fields only. */
enum status record_batch_read_trusted(struct slice bytes, struct record_batch *batch) MUST_USE;
/* What a producer may send: record_batch_read, exactly one batch, not a control batch, codec known, offsets
 * and counts agree; uncompressed records are walked, compressed ones too when `inflate` (bounded by
 * inflate_max). */
enum status record_batch_validate(struct slice bytes, bool inflate, size_t inflate_max,
                                  struct record_batch *batch, int32_t *bad_record) MUST_USE;
void record_batch_set_base(uint8_t *bytes, int64_t base_offset,
                           int32_t leader_epoch); /* outside the checksum */
/* Sets the header's newest timestamp and recomputes the checksum. */
void record_batch_set_max_timestamp(uint8_t *bytes, size_t size, int64_t max_timestamp);
/* What stands behind the header: length, codec and count; the checksum is to be made by a call that sets a
 * timestamp. */
void record_batch_set_records(uint8_t *bytes, size_t size, enum record_codec codec, int32_t count);
/* LogAppendTime: sets the attribute and max timestamp and recomputes the checksum. */
void record_batch_set_append_time(uint8_t *bytes, size_t size, int64_t now_ms);

struct record {
    int64_t offset, timestamp;
    struct slice key, value; /* data NULL: null, which is not empty */
    struct slice headers;    /* encoded: record_header_next */
    uint32_t header_count;
};
/* Walks the records of a checked batch; compressed ones are inflated into the arena first. */
struct record_iterator {
    struct reader reader;
    const struct record_batch *batch;
    int32_t index;
};
enum status record_iterator_init(struct record_iterator *it, const struct record_batch *batch,
                                 struct arena *arena, size_t inflate_max) MUST_USE;
enum status record_iterator_next(struct record_iterator *it,
                                 struct record *record) MUST_USE; /* END after the last */
/* `headers` advances; END after the last. */
enum status record_header_next(struct slice *headers, struct slice *name, struct slice *value) MUST_USE;

struct record_header {
    struct slice name, value;
};
/* Builds one uncompressed batch (producers: gRPC, the command line, tests). */
struct record_batch_builder {
    struct writer out;
    int64_t base_timestamp, max_timestamp;
    int32_t count;
    bool transactional; /* the caller's to set, once begun */
};
/* Once for a new builder; after record_batch_finish it is ready for the next batch by itself. */
void record_batch_begin(struct record_batch_builder *builder);
/* Room for so many bytes of records at once, where the caller knows it. */
void record_batch_reserve(struct record_batch_builder *builder, size_t size);
void record_batch_add(struct record_batch_builder *builder, int64_t timestamp, struct slice key,
                      struct slice value, const struct record_header *headers, uint32_t header_count);
size_t record_batch_builder_size(const struct record_batch_builder *builder);
struct record_batch_producer {
    int64_t id; /* -1: not idempotent */
    int16_t epoch;
    int32_t base_sequence;
};
/* Finishes (length, checksum) with the codec given; the result has one reference. The builder is empty again.
 */
struct buffer *record_batch_finish(struct record_batch_builder *builder, enum record_codec codec,
                                   const struct record_batch_producer *producer);
void record_batch_builder_release(struct record_batch_builder *builder);

/* A control batch: one record that tells the log something and that clients skip (KIP-98). Key: version i16 =
 * 0, type i16. No timestamp: a lookup by time never finds it. */
struct buffer *record_batch_control(int16_t type, struct slice value);
/* What a log says about itself: a new leader, its members. Markers of transactions are not that, nor where
 * records are deleted below. */
bool record_batch_is_of_log(const struct record_batch *batch);
/* Records below `offset` are deleted, everywhere. */
enum { CONTROL_LOG_START = 1000 };
struct buffer *record_batch_log_start(int64_t offset);
/* -1: it is none that says so. */
int64_t record_batch_log_start_read(const struct record_batch *batch);
/* The control batch that ends a transaction of a producer (KIP-98). Where Kafka's have their coordinator's
 * epoch, ours have the transaction's number (machine/txn.h); clients look at neither. */
enum { CONTROL_ABORT = 0, CONTROL_COMMIT = 1 };
struct record_batch_marker {
    bool commit;
    int64_t producer_id;
    int16_t epoch;
    int32_t number;
};
struct buffer *record_batch_marker(const struct record_batch_marker *marker, int64_t timestamp_ms);
int32_t record_batch_marker_number(struct slice value); /* of record_batch_control_read; 0: it has none */
/* MALFORMED: no control batch of one record with such a key. */
enum status record_batch_control_read(const struct record_batch *batch, int16_t *type,
                                      struct slice *value) MUST_USE;

#endif
