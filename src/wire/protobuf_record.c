// SPDX-License-Identifier: Apache-2.0
#include "wire/protobuf_record.h"

#include "base/assert.h"

static enum status done(const struct reader *reader) {
    return reader_ok(reader) ? STATUS_OK : STATUS_MALFORMED;
}

static uint64_t value_of(int64_t value) {
    return (uint64_t)value;
}

/* Takes fields off `rest` until one of `number` (as bytes); END at the end. */
static enum status next_bytes(struct slice *rest, uint32_t number, struct slice *bytes) {
    struct reader reader = reader_make(*rest);
    struct protobuf_field field;
    while (protobuf_next(&reader, &field)) {
        if (!protobuf_is(&field, number, PROTOBUF_BYTES)) continue;
        *bytes = field.bytes;
        *rest = slice_make(reader.pos, reader_remaining(&reader));
        return STATUS_OK;
    }
    *rest = SLICE_EMPTY;
    return reader_ok(&reader) ? STATUS_END : STATUS_MALFORMED;
}

/* ---- Record: 1 key, 2 value, 3 headers, 4 timestamp_ms, 5 offset; RecordHeader: 1 name, 2 value -------- */

enum status protobuf_record_read(struct slice message, struct protobuf_record *record) {
    *record = (struct protobuf_record){.message = message};
    struct reader reader = reader_make(message);
    struct protobuf_field field;
    while (protobuf_next(&reader, &field)) {
        if (field.wire == PROTOBUF_BYTES) {
            if (field.number == 1) record->key = field.bytes;
            if (field.number == 2) record->value = field.bytes;
            if (field.number == 3) record->header_count++;
        } else if (field.wire == PROTOBUF_VARINT) {
            if (field.number == 4) record->timestamp_ms = (int64_t)field.value;
            if (field.number == 5) record->offset = (int64_t)field.value;
        }
    }
    return done(&reader);
}

enum status protobuf_record_header_next(struct slice *rest, struct record_header *header) {
    struct slice message;
    enum status status = next_bytes(rest, 3, &message);
    if (status != STATUS_OK) return status;
    *header = (struct record_header){.name = slice_make(message.data, 0)};
    struct reader reader = reader_make(message);
    struct protobuf_field field;
    while (protobuf_next(&reader, &field)) {
        if (protobuf_is(&field, 1, PROTOBUF_BYTES)) header->name = field.bytes;
        if (protobuf_is(&field, 2, PROTOBUF_BYTES)) header->value = field.bytes;
    }
    return done(&reader);
}

static size_t header_size(const struct record_header *header) {
    return protobuf_bytes_size(1, header->name.size) +
           (header->value.data == NULL ? 0 : protobuf_bytes_size(2, header->value.size));
}

size_t protobuf_record_size(const struct record *record) {
    size_t size = protobuf_value_size(4, value_of(record->timestamp)) +
                  protobuf_value_size(5, value_of(record->offset));
    if (record->key.data != NULL) size += protobuf_bytes_size(1, record->key.size);
    if (record->value.data != NULL) size += protobuf_bytes_size(2, record->value.size);
    struct slice rest = record->headers;
    struct record_header header;
    while (record_header_next(&rest, &header.name, &header.value) == STATUS_OK)
        size += protobuf_bytes_size(3, header_size(&header));
    return size;
}

void protobuf_record_write(struct writer *out, uint32_t number, const struct record *record, size_t size) {
    protobuf_write_head(out, number, size);
    size_t start = out->size;
    if (record->key.data != NULL) protobuf_write_bytes(out, 1, record->key);
    if (record->value.data != NULL) protobuf_write_bytes(out, 2, record->value);
    struct slice rest = record->headers;
    struct record_header header;
    while (record_header_next(&rest, &header.name, &header.value) == STATUS_OK) {
        protobuf_write_head(out, 3, header_size(&header));
        protobuf_write_bytes(out, 1, header.name);
        if (header.value.data != NULL) protobuf_write_bytes(out, 2, header.value);
    }
    protobuf_write_value(out, 4, value_of(record->timestamp));
    protobuf_write_value(out, 5, value_of(record->offset));
    ASSERT_EQ(out->size - start, size);
}

/* ---- records that come back: ConsumeResponse and FetchResponse ----------------------------------------- */

/* ConsumeRecords: 1 topic, 2 partition, 3 next_offset, 4 high_watermark, 5 records, 6 record_batches. */
static enum status consumed_records_read(struct slice message, struct protobuf_records *records) {
    *records = (struct protobuf_records){.message = message,
                                         .record_number = PROTOBUF_CONSUMED_RECORD,
                                         .batch_number = PROTOBUF_CONSUMED_BATCH};
    struct reader reader = reader_make(message);
    struct protobuf_field field;
    while (protobuf_next(&reader, &field)) {
        if (protobuf_is(&field, 1, PROTOBUF_BYTES)) records->topic = field.bytes;
        if (field.wire != PROTOBUF_VARINT) continue;
        if (field.number == 2) records->partition = (int32_t)field.value;
        if (field.number == 3) records->next_offset = (int64_t)field.value;
        if (field.number == 4) records->high_watermark = (int64_t)field.value;
    }
    return done(&reader);
}

enum status protobuf_consumed_read(struct slice message, enum protobuf_consumed_kind *kind,
                                   struct slice *inner, struct protobuf_records *records) {
    struct reader reader = reader_make(message);
    struct protobuf_field field;
    bool found = false;
    while (protobuf_next(&reader, &field)) {
        if (field.wire != PROTOBUF_BYTES || field.number > 5) continue;
        *kind = (enum protobuf_consumed_kind)(field.number - 1);
        *inner = field.bytes;
        found = true;
    }
    if (!reader_ok(&reader) || !found) return STATUS_MALFORMED;
    return *kind == PROTOBUF_CONSUMED_RECORDS ? consumed_records_read(*inner, records) : STATUS_OK;
}

/* FetchedPartition: 1 topic, 2 partition, 3 error, 4 high_watermark, 5 log_start_offset, 6 next_offset, 7
 * records, 8 record_batches. */
enum status protobuf_fetched_next(struct slice *rest, struct protobuf_records *records) {
    struct slice message;
    enum status status = next_bytes(rest, 1, &message);
    if (status != STATUS_OK) return status;
    *records = (struct protobuf_records){
        .message = message, .record_number = PROTOBUF_FETCHED_RECORD, .batch_number = PROTOBUF_FETCHED_BATCH};
    struct reader reader = reader_make(message);
    struct protobuf_field field;
    while (protobuf_next(&reader, &field)) {
        if (protobuf_is(&field, 1, PROTOBUF_BYTES)) records->topic = field.bytes;
        if (protobuf_is(&field, 3, PROTOBUF_BYTES)) records->error = field.bytes;
        if (field.wire != PROTOBUF_VARINT) continue;
        if (field.number == 2) records->partition = (int32_t)field.value;
        if (field.number == 4) records->high_watermark = (int64_t)field.value;
        if (field.number == 5) records->log_start_offset = (int64_t)field.value;
        if (field.number == 6) records->next_offset = (int64_t)field.value;
    }
    return done(&reader);
}

enum status protobuf_records_next(const struct protobuf_records *records, struct slice *rest, bool *is_batch,
                                  struct slice *item) {
    struct reader reader = reader_make(*rest);
    struct protobuf_field field;
    while (protobuf_next(&reader, &field)) {
        if (field.wire != PROTOBUF_BYTES) continue;
        if (field.number != records->record_number && field.number != records->batch_number) continue;
        *is_batch = field.number == records->batch_number;
        *item = field.bytes;
        *rest = slice_make(reader.pos, reader_remaining(&reader));
        return STATUS_OK;
    }
    *rest = SLICE_EMPTY;
    return reader_ok(&reader) ? STATUS_END : STATUS_MALFORMED;
}

static size_t text_size(uint32_t number, struct slice text) {
    return text.size == 0 ? 0 : protobuf_bytes_size(number, text.size);
}

void protobuf_consumed_write_head(struct writer *out, const struct protobuf_records *records,
                                  size_t items_size) {
    size_t size = text_size(1, records->topic) + protobuf_value_size(2, value_of(records->partition)) +
                  protobuf_value_size(3, value_of(records->next_offset)) +
                  protobuf_value_size(4, value_of(records->high_watermark)) + items_size;
    protobuf_write_head(out, 2, size); /* ConsumeResponse.records */
    protobuf_write_text(out, 1, records->topic);
    protobuf_write_value(out, 2, value_of(records->partition));
    protobuf_write_value(out, 3, value_of(records->next_offset));
    protobuf_write_value(out, 4, value_of(records->high_watermark));
}

void protobuf_fetched_write_head(struct writer *out, const struct protobuf_records *records,
                                 size_t items_size) {
    size_t size = text_size(1, records->topic) + protobuf_value_size(2, value_of(records->partition)) +
                  text_size(3, records->error) + protobuf_value_size(4, value_of(records->high_watermark)) +
                  protobuf_value_size(5, value_of(records->log_start_offset)) +
                  protobuf_value_size(6, value_of(records->next_offset)) + items_size;
    protobuf_write_head(out, 1, size); /* FetchResponse.partitions */
    protobuf_write_text(out, 1, records->topic);
    protobuf_write_value(out, 2, value_of(records->partition));
    protobuf_write_text(out, 3, records->error);
    protobuf_write_value(out, 4, value_of(records->high_watermark));
    protobuf_write_value(out, 5, value_of(records->log_start_offset));
    protobuf_write_value(out, 6, value_of(records->next_offset));
}
