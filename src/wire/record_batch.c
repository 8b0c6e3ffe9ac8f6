// SPDX-License-Identifier: Apache-2.0
/* record_batch.c: see the header for the layout. Record (varints are zigzag):
 *   length | attributes i8 | timestamp delta | offset delta | key length, key | value length, value |
 *   header count | { name length, name | value length, value }...          a length of -1 is null */
#include "wire/record_batch.h"

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/units.h"
#include "wire/compression.h"

enum {
    BATCH_AT_BASE_OFFSET = 0,
    BATCH_AT_LENGTH = 8,
    BATCH_AT_LEADER_EPOCH = 12,
    BATCH_AT_MAGIC = 16,
    BATCH_AT_CRC = 17,
    BATCH_AT_ATTRIBUTES = 21,
    BATCH_AT_LAST_OFFSET_DELTA = 23,
    BATCH_AT_BASE_TIMESTAMP = 27,
    BATCH_AT_MAX_TIMESTAMP = 35,
    BATCH_AT_PRODUCER_ID = 43,
    BATCH_AT_PRODUCER_EPOCH = 51,
    BATCH_AT_BASE_SEQUENCE = 53,
    BATCH_AT_RECORD_COUNT = 57
};
#define BATCH_MAGIC 2

static uint32_t batch_checksum(struct slice bytes) {
    return crc32c(0, bytes.data + BATCH_AT_ATTRIBUTES, bytes.size - BATCH_AT_ATTRIBUTES);
}

/* The header, with what must hold for its numbers to make sense together. */
static enum status batch_read_header(struct slice bytes, struct record_batch *batch) {
    if (bytes.size <= BATCH_AT_MAGIC) return STATUS_CORRUPT_MESSAGE;
    const uint8_t *p = bytes.data;
    uint8_t magic = p[BATCH_AT_MAGIC];
    if (magic < BATCH_MAGIC) return STATUS_UNSUPPORTED_FORMAT;
    if (magic > BATCH_MAGIC || bytes.size < RECORD_BATCH_HEADER_SIZE) return STATUS_CORRUPT_MESSAGE;
    uint32_t length = load_be32(p + BATCH_AT_LENGTH);
    if (length < RECORD_BATCH_HEADER_SIZE - RECORD_BATCH_LENGTH_OFFSET ||
        length > bytes.size - RECORD_BATCH_LENGTH_OFFSET)
        return STATUS_CORRUPT_MESSAGE;
    size_t size = RECORD_BATCH_LENGTH_OFFSET + (size_t)length;
    *batch = (struct record_batch){
        .bytes = slice_make(p, size),
        .base_offset = (int64_t)load_be64(p + BATCH_AT_BASE_OFFSET),
        .leader_epoch = (int32_t)load_be32(p + BATCH_AT_LEADER_EPOCH),
        .crc = load_be32(p + BATCH_AT_CRC),
        .attributes = load_be16(p + BATCH_AT_ATTRIBUTES),
        .last_offset_delta = (int32_t)load_be32(p + BATCH_AT_LAST_OFFSET_DELTA),
        .base_timestamp = (int64_t)load_be64(p + BATCH_AT_BASE_TIMESTAMP),
        .max_timestamp = (int64_t)load_be64(p + BATCH_AT_MAX_TIMESTAMP),
        .producer_id = (int64_t)load_be64(p + BATCH_AT_PRODUCER_ID),
        .producer_epoch = (int16_t)load_be16(p + BATCH_AT_PRODUCER_EPOCH),
        .base_sequence = (int32_t)load_be32(p + BATCH_AT_BASE_SEQUENCE),
        .record_count = (int32_t)load_be32(p + BATCH_AT_RECORD_COUNT),
        .records = slice_make(p + RECORD_BATCH_HEADER_SIZE, size - RECORD_BATCH_HEADER_SIZE),
    };
    if (batch->record_count < 0 || batch->last_offset_delta < 0 ||
        batch->record_count - 1 > batch->last_offset_delta || batch->base_offset < 0 ||
        batch->base_offset > INT64_MAX - batch->last_offset_delta)
        return STATUS_CORRUPT_MESSAGE;
    return STATUS_OK;
}

enum status record_batch_read(struct slice bytes, struct record_batch *batch) {
    enum status status = batch_read_header(bytes, batch);
    if (status == STATUS_OK && batch_checksum(batch->bytes) != batch->crc) status = STATUS_CORRUPT_MESSAGE;
    return status;
}

enum status record_batch_read_trusted(struct slice bytes, struct record_batch *batch) {
    enum status status = batch_read_header(bytes, batch);
    ASSERT_SLOW(status != STATUS_OK || batch_checksum(batch->bytes) == batch->crc);
    return status;
}

/* A length and that many bytes; -1 is null where `nullable`. */
static struct slice record_read_field(struct reader *reader, bool nullable) {
    int32_t size = reader_zigzag32(reader);
    if (size >= 0) return reader_bytes(reader, (uint64_t)size);
    if (size != -1 || !nullable) reader_fail(reader);
    return SLICE_EMPTY;
}

enum status record_header_next(struct slice *headers, struct slice *name, struct slice *value) {
    if (headers->size == 0) return STATUS_END;
    struct reader reader = reader_make(*headers);
    *name = record_read_field(&reader, false);
    *value = record_read_field(&reader, true);
    if (!reader_ok(&reader)) return STATUS_INVALID_RECORD;
    *headers = slice_make(reader.pos, reader_remaining(&reader));
    return STATUS_OK;
}

/* One record; false when it does not parse. */
static bool record_read(struct reader *reader, const struct record_batch *batch, struct record *record,
                        int32_t *offset_delta) {
    int32_t size = reader_zigzag32(reader);
    if (size < 0) return false;
    struct slice body = reader_bytes(reader, (uint64_t)size);
    if (!reader_ok(reader)) return false;
    struct reader fields = reader_make(body);
    reader_u8(&fields); /* attributes: none are defined */
    int64_t timestamp_delta = reader_zigzag64(&fields);
    *offset_delta = reader_zigzag32(&fields);
    record->key = record_read_field(&fields, true);
    record->value = record_read_field(&fields, true);
    int32_t header_count = reader_zigzag32(&fields);
    if (!reader_ok(&fields) || header_count < 0 || *offset_delta < 0 ||
        *offset_delta > batch->last_offset_delta)
        return false;
    record->header_count = (uint32_t)header_count;
    record->headers = slice_make(fields.pos, reader_remaining(&fields));
    record->offset = batch->base_offset + *offset_delta;
    if (__builtin_add_overflow(batch->base_timestamp, timestamp_delta, &record->timestamp)) return false;
    if (batch->attributes & BATCH_LOG_APPEND_TIME) record->timestamp = batch->max_timestamp;
    struct slice headers = record->headers, name, value;
    for (int32_t i = 0; i < header_count; i++)
        if (record_header_next(&headers, &name, &value) != STATUS_OK) return false;
    return headers.size == 0;
}

/* Every record of `records` (inflated), whose offsets a producer numbers 0, 1, 2... */
static enum status batch_check_records(const struct record_batch *batch, struct slice records,
                                       int32_t *bad_record) {
    struct reader reader = reader_make(records);
    for (int32_t i = 0; i < batch->record_count; i++) {
        struct record record;
        int32_t offset_delta;
        if (!record_read(&reader, batch, &record, &offset_delta) || offset_delta != i) {
            *bad_record = i;
            return STATUS_INVALID_RECORD;
        }
    }
    return reader_remaining(&reader) == 0 ? STATUS_OK : STATUS_INVALID_RECORD;
}

static enum status batch_check_inflated(const struct record_batch *batch, size_t inflate_max,
                                        int32_t *bad_record) {
    struct writer inflated;
    writer_init(&inflated);
    enum status status = codec_inflate(record_batch_codec(batch), batch->records, inflate_max, &inflated);
    if (status == STATUS_OK) status = batch_check_records(batch, writer_slice(&inflated), bad_record);
    writer_release(&inflated);
    return status;
}

enum status record_batch_validate(struct slice bytes, bool inflate, size_t inflate_max,
                                  struct record_batch *batch, int32_t *bad_record) {
    *bad_record = -1;
    enum status status = record_batch_read(bytes, batch);
    if (status != STATUS_OK) return status;
    if (batch->bytes.size != bytes.size || (batch->attributes & BATCH_CONTROL) || batch->record_count < 1 ||
        batch->record_count - 1 != batch->last_offset_delta)
        return STATUS_INVALID_RECORD;
    enum record_codec codec = record_batch_codec(batch);
    if (codec >= CODEC_COUNT) return STATUS_UNSUPPORTED_COMPRESSION;
    if (codec == CODEC_NONE) return batch_check_records(batch, batch->records, bad_record);
    return inflate ? batch_check_inflated(batch, inflate_max, bad_record) : STATUS_OK;
}

void record_batch_set_base(uint8_t *bytes, int64_t base_offset, int32_t leader_epoch) {
    ASSERT(base_offset >= 0);
    store_be64(bytes + BATCH_AT_BASE_OFFSET, (uint64_t)base_offset);
    store_be32(bytes + BATCH_AT_LEADER_EPOCH, (uint32_t)leader_epoch);
}

void record_batch_set_max_timestamp(uint8_t *bytes, size_t size, int64_t max_timestamp) {
    ASSERT_LE((size_t)RECORD_BATCH_HEADER_SIZE, size);
    store_be64(bytes + BATCH_AT_MAX_TIMESTAMP, (uint64_t)max_timestamp);
    store_be32(bytes + BATCH_AT_CRC, batch_checksum(slice_make(bytes, size)));
}

void record_batch_set_records(uint8_t *bytes, size_t size, enum record_codec codec, int32_t count) {
    ASSERT_LE((size_t)RECORD_BATCH_HEADER_SIZE, size);
    uint16_t attributes = load_be16(bytes + BATCH_AT_ATTRIBUTES);
    store_be32(bytes + BATCH_AT_LENGTH, (uint32_t)(size - RECORD_BATCH_LENGTH_OFFSET));
    store_be16(bytes + BATCH_AT_ATTRIBUTES, (uint16_t)((attributes & ~BATCH_CODEC_MASK) | codec));
    store_be32(bytes + BATCH_AT_RECORD_COUNT, (uint32_t)count);
}

void record_batch_set_append_time(uint8_t *bytes, size_t size, int64_t now_ms) {
    ASSERT_LE((size_t)RECORD_BATCH_HEADER_SIZE, size);
    uint16_t attributes = load_be16(bytes + BATCH_AT_ATTRIBUTES);
    store_be16(bytes + BATCH_AT_ATTRIBUTES, (uint16_t)(attributes | BATCH_LOG_APPEND_TIME));
    record_batch_set_max_timestamp(bytes, size, now_ms);
}

enum status record_iterator_init(struct record_iterator *it, const struct record_batch *batch,
                                 struct arena *arena, size_t inflate_max) {
    *it = (struct record_iterator){.batch = batch};
    struct slice records = batch->records;
    enum status status = STATUS_OK;
    if (record_batch_codec(batch) != CODEC_NONE) {
        struct writer inflated;
        writer_init(&inflated);
        status = codec_inflate(record_batch_codec(batch), batch->records, inflate_max, &inflated);
        if (status == STATUS_OK) records = arena_copy(arena, writer_slice(&inflated));
        writer_release(&inflated);
    }
    it->reader = reader_make(records);
    return status;
}

enum status record_iterator_next(struct record_iterator *it, struct record *record) {
    if (it->index == it->batch->record_count)
        return reader_remaining(&it->reader) == 0 ? STATUS_END : STATUS_INVALID_RECORD;
    int32_t offset_delta;
    if (!record_read(&it->reader, it->batch, record, &offset_delta)) return STATUS_INVALID_RECORD;
    it->index++;
    return STATUS_OK;
}

void record_batch_begin(struct record_batch_builder *builder) {
    *builder = (struct record_batch_builder){.count = 0};
    writer_init(&builder->out);
}

void record_batch_reserve(struct record_batch_builder *builder, size_t size) {
    (void)writer_reserve(&builder->out, size);
}

static size_t zigzag_size(int64_t v) {
    return varint_size(zigzag_encode(v));
}

static size_t field_size(struct slice field) {
    return field.data == NULL ? 1 : zigzag_size((int64_t)field.size) + field.size;
}

static void field_write(struct writer *out, struct slice field) {
    writer_zigzag64(out, field.data == NULL ? -1 : (int64_t)field.size);
    writer_bytes(out, field);
}

void record_batch_add(struct record_batch_builder *builder, int64_t timestamp, struct slice key,
                      struct slice value, const struct record_header *headers, uint32_t header_count) {
    struct writer *out = &builder->out;
    if (builder->count == 0) {
        ASSERT_EQ(out->size, (size_t)0);
        builder->base_timestamp = builder->max_timestamp = timestamp;
    }
    builder->max_timestamp = MAX(builder->max_timestamp, timestamp);
    int64_t timestamp_delta = timestamp - builder->base_timestamp;
    size_t size = 1 + zigzag_size(timestamp_delta) + zigzag_size(builder->count) + field_size(key) +
                  field_size(value) + zigzag_size(header_count);
    for (uint32_t i = 0; i < header_count; i++)
        size += zigzag_size((int64_t)headers[i].name.size) + headers[i].name.size +
                field_size(headers[i].value);
    ASSERT_LE(size, (size_t)INT32_MAX);
    writer_zigzag64(out, (int64_t)size);
    size_t start = out->size;
    writer_u8(out, 0);
    writer_zigzag64(out, timestamp_delta);
    writer_zigzag64(out, builder->count);
    field_write(out, key);
    field_write(out, value);
    writer_zigzag64(out, header_count);
    for (uint32_t i = 0; i < header_count; i++) {
        writer_zigzag64(out, (int64_t)headers[i].name.size);
        writer_bytes(out, headers[i].name);
        field_write(out, headers[i].value);
    }
    ASSERT_EQ(out->size - start, size);
    builder->count++;
}

size_t record_batch_builder_size(const struct record_batch_builder *builder) {
    return RECORD_BATCH_HEADER_SIZE + builder->out.size;
}

struct buffer *record_batch_finish(struct record_batch_builder *builder, enum record_codec codec,
                                   const struct record_batch_producer *producer) {
    ASSERT(builder->count > 0);
    struct writer deflated;
    writer_init(&deflated);
    struct slice records = writer_slice(&builder->out);
    if (codec != CODEC_NONE) {
        enum status status = codec_deflate(codec, records, &deflated);
        ASSERT(status == STATUS_OK);
        records = writer_slice(&deflated);
    }
    size_t size = RECORD_BATCH_HEADER_SIZE + records.size;
    ASSERT_LE(size, (size_t)INT32_MAX);
    struct buffer *buffer = buffer_new(size);
    uint8_t *p = buffer->data;
    store_be32(p + BATCH_AT_LENGTH, (uint32_t)(size - RECORD_BATCH_LENGTH_OFFSET));
    record_batch_set_base(p, 0, -1);
    p[BATCH_AT_MAGIC] = BATCH_MAGIC;
    uint16_t flags = builder->transactional ? BATCH_TRANSACTIONAL : 0;
    store_be16(p + BATCH_AT_ATTRIBUTES, (uint16_t)(codec | flags));
    store_be32(p + BATCH_AT_LAST_OFFSET_DELTA, (uint32_t)(builder->count - 1));
    store_be64(p + BATCH_AT_BASE_TIMESTAMP, (uint64_t)builder->base_timestamp);
    store_be64(p + BATCH_AT_MAX_TIMESTAMP, (uint64_t)builder->max_timestamp);
    store_be64(p + BATCH_AT_PRODUCER_ID, producer == NULL ? UINT64_MAX : (uint64_t)producer->id);
    store_be16(p + BATCH_AT_PRODUCER_EPOCH, producer == NULL ? UINT16_MAX : (uint16_t)producer->epoch);
    store_be32(p + BATCH_AT_BASE_SEQUENCE, producer == NULL ? UINT32_MAX : (uint32_t)producer->base_sequence);
    store_be32(p + BATCH_AT_RECORD_COUNT, (uint32_t)builder->count);
    memcpy(p + RECORD_BATCH_HEADER_SIZE, records.data, records.size);
    store_be32(p + BATCH_AT_CRC, batch_checksum(slice_make(p, size)));
    writer_release(&deflated);
    writer_clear(&builder->out);
    builder->count = 0;
    return buffer;
}

void record_batch_builder_release(struct record_batch_builder *builder) {
    writer_release(&builder->out);
    builder->count = 0;
}

/* ---- control batches ---------------------------------------------------------------------------------- */

#define LOG_START_VALUE_SIZE 10
#define MARKER_VALUE_SIZE    6 /* version i16, coordinator epoch i32: here the transaction's number */

static struct buffer *control_batch(int16_t type, struct slice value, int64_t timestamp_ms) {
    struct record_batch_builder builder;
    record_batch_begin(&builder);
    uint8_t key[4];
    store_be16(key, 0);
    store_be16(key + 2, (uint16_t)type);
    record_batch_add(&builder, timestamp_ms, slice_make(key, sizeof key), value, NULL, 0);
    struct buffer *buffer = record_batch_finish(&builder, CODEC_NONE, NULL);
    record_batch_builder_release(&builder);
    store_be16(buffer->data + BATCH_AT_ATTRIBUTES, BATCH_CONTROL);
    return buffer;
}

struct buffer *record_batch_control(int16_t type, struct slice value) {
    struct buffer *buffer = control_batch(type, value, -1);
    store_be32(buffer->data + BATCH_AT_CRC, batch_checksum(slice_make(buffer->data, buffer->size)));
    return buffer;
}

struct buffer *record_batch_log_start(int64_t offset) {
    uint8_t value[LOG_START_VALUE_SIZE] = {0}; /* version 0, offset */
    store_be64(value + 2, (uint64_t)offset);
    return record_batch_control(CONTROL_LOG_START, slice_make(value, sizeof value));
}

int64_t record_batch_log_start_read(const struct record_batch *batch) {
    int16_t type;
    struct slice value;
    if ((batch->attributes & (BATCH_CONTROL | BATCH_TRANSACTIONAL)) != BATCH_CONTROL ||
        record_batch_control_read(batch, &type, &value) != STATUS_OK || type != CONTROL_LOG_START ||
        value.size < LOG_START_VALUE_SIZE)
        return -1;
    return (int64_t)load_be64(value.data + 2);
}

bool record_batch_is_of_log(const struct record_batch *batch) {
    return (batch->attributes & (BATCH_CONTROL | BATCH_TRANSACTIONAL)) == BATCH_CONTROL &&
           record_batch_log_start_read(batch) < 0;
}

struct buffer *record_batch_marker(const struct record_batch_marker *marker, int64_t timestamp_ms) {
    uint8_t value[MARKER_VALUE_SIZE] = {0};
    store_be32(value + 2, (uint32_t)marker->number);
    struct buffer *buffer = control_batch(marker->commit ? CONTROL_COMMIT : CONTROL_ABORT,
                                          slice_make(value, sizeof value), timestamp_ms);
    store_be16(buffer->data + BATCH_AT_ATTRIBUTES, BATCH_CONTROL | BATCH_TRANSACTIONAL);
    store_be64(buffer->data + BATCH_AT_PRODUCER_ID, (uint64_t)marker->producer_id);
    store_be16(buffer->data + BATCH_AT_PRODUCER_EPOCH, (uint16_t)marker->epoch);
    store_be32(buffer->data + BATCH_AT_CRC, batch_checksum(slice_make(buffer->data, buffer->size)));
    return buffer;
}

int32_t record_batch_marker_number(struct slice value) {
    return value.size < MARKER_VALUE_SIZE ? 0 : (int32_t)load_be32(value.data + 2);
}

enum status record_batch_control_read(const struct record_batch *batch, int16_t *type, struct slice *value) {
    struct reader reader = reader_make(batch->records);
    struct record record;
    int32_t offset_delta;
    if ((batch->attributes & (BATCH_CONTROL | BATCH_CODEC_MASK)) != BATCH_CONTROL ||
        batch->record_count != 1 || !record_read(&reader, batch, &record, &offset_delta) ||
        record.key.size != 4 || load_be16(record.key.data) != 0)
        return STATUS_MALFORMED;
    *type = (int16_t)load_be16(record.key.data + 2);
    *value = record.value;
    return STATUS_OK;
}
