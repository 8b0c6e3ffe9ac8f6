// SPDX-License-Identifier: Apache-2.0
#include "wire/protobuf_produce.h"

#include "base/assert.h"

static uint64_t value_of(int64_t value) {
    return (uint64_t)value;
}

/* ---- requests ------------------------------------------------------------------------------------------ */

/* Where ProduceRequest, ProduceStreamBatch and ProduceStreamOpen keep what they have in common; 0: nowhere.
 */
struct layout {
    uint32_t topic, partition, records, record_batch, acks, producer, base_sequence, sequence;
    uint32_t transactional_id;
};
static const struct layout unary_layout = {1, 2, 3, 4, 5, 6, 7, 0, 8};
static const struct layout batch_layout = {0, 2, 3, 4, 0, 6, 5, 1, 0};
static const struct layout open_layout = {1, 0, 0, 0, 2, 3, 0, 0, 4};

static void read_producer(struct slice message, struct reader *outer, struct protobuf_produce *produce) {
    produce->has_producer = true;
    produce->producer_id = produce->producer_epoch = 0; /* what is not written */
    struct reader reader = reader_make(message);
    struct protobuf_field field;
    while (protobuf_next(&reader, &field)) {
        if (protobuf_is(&field, 1, PROTOBUF_VARINT)) produce->producer_id = (int64_t)field.value;
        if (protobuf_is(&field, 2, PROTOBUF_VARINT)) produce->producer_epoch = (int32_t)field.value;
    }
    if (!reader_ok(&reader)) reader_fail(outer);
}

static enum status read_layout(struct slice message, const struct layout *at,
                               struct protobuf_produce *produce) {
    *produce = (struct protobuf_produce){.message = message, .producer_id = -1, .producer_epoch = -1};
    struct reader reader = reader_make(message);
    struct protobuf_field field;
    while (protobuf_next(&reader, &field)) {
        uint32_t number = field.number;
        if (field.wire == PROTOBUF_BYTES) {
            if (number == at->records)
                produce->record_count++;
            else if (number == at->record_batch)
                produce->record_batch = field.bytes;
            else if (number == at->topic)
                produce->topic = field.bytes;
            else if (number == at->transactional_id)
                produce->transactional_id = field.bytes;
            else if (number == at->producer)
                read_producer(field.bytes, &reader, produce);
        } else if (field.wire == PROTOBUF_VARINT) {
            if (number == at->partition) {
                produce->has_partition = true;
                produce->partition = (int32_t)field.value;
            } else if (number == at->acks) {
                produce->acks = (uint32_t)field.value;
            } else if (number == at->base_sequence) {
                produce->base_sequence = (int32_t)field.value;
            } else if (number == at->sequence) {
                produce->sequence = field.value;
            }
        }
    }
    return reader_ok(&reader) ? STATUS_OK : STATUS_MALFORMED;
}

enum status protobuf_produce_read(struct slice message, struct protobuf_produce *produce) {
    return read_layout(message, &unary_layout, produce);
}

enum status protobuf_produce_stream_read(struct slice message, enum protobuf_produce_kind *kind,
                                         struct protobuf_produce *produce) {
    struct reader reader = reader_make(message);
    struct protobuf_field field;
    struct slice inner = SLICE_EMPTY;
    bool found = false;
    while (protobuf_next(&reader, &field)) {
        if (field.wire != PROTOBUF_BYTES || field.number > 2) continue;
        *kind = field.number == 1 ? PROTOBUF_PRODUCE_OPEN : PROTOBUF_PRODUCE_BATCH;
        inner = field.bytes;
        found = true;
    }
    if (!reader_ok(&reader) || !found) return STATUS_MALFORMED;
    return read_layout(inner, *kind == PROTOBUF_PRODUCE_OPEN ? &open_layout : &batch_layout, produce);
}

enum status protobuf_produce_record_next(const struct protobuf_produce *produce, struct slice *rest,
                                         struct slice *record) {
    MAYBE(produce->record_count == 0);
    struct reader reader = reader_make(*rest);
    struct protobuf_field field;
    while (protobuf_next(&reader, &field)) {
        if (!protobuf_is(&field, 3, PROTOBUF_BYTES)) continue; /* the same number in both messages */
        *record = field.bytes;
        *rest = slice_make(reader.pos, reader_remaining(&reader));
        return STATUS_OK;
    }
    *rest = SLICE_EMPTY;
    return reader_ok(&reader) ? STATUS_END : STATUS_MALFORMED;
}

/* ---- requests, the client's side ----------------------------------------------------------------------- */

static size_t producer_size(const struct protobuf_produce *p) {
    return protobuf_value_size(1, value_of(p->producer_id)) +
           protobuf_value_size(2, value_of(p->producer_epoch));
}

/* The fields of one layout, and the head of the record batch. */
static size_t layout_size(const struct layout *at, const struct protobuf_produce *p) {
    size_t size = 0;
    if (at->sequence != 0) size += protobuf_value_size(at->sequence, p->sequence);
    if (at->topic != 0) size += protobuf_bytes_size(at->topic, p->topic.size);
    if (at->partition != 0 && p->has_partition)
        size += protobuf_varint_size((uint64_t)at->partition << 3) +
                protobuf_varint_size(value_of(p->partition));
    if (at->acks != 0) size += protobuf_value_size(at->acks, p->acks);
    if (at->producer != 0 && p->has_producer) size += protobuf_bytes_size(at->producer, producer_size(p));
    if (at->base_sequence != 0) size += protobuf_value_size(at->base_sequence, value_of(p->base_sequence));
    if (at->transactional_id != 0 && p->transactional_id.size != 0)
        size += protobuf_bytes_size(at->transactional_id, p->transactional_id.size);
    if (at->record_batch != 0) size += protobuf_bytes_size(at->record_batch, p->record_batch.size);
    return size;
}

static void layout_write(struct writer *out, const struct layout *at, const struct protobuf_produce *p) {
    if (at->sequence != 0) protobuf_write_value(out, at->sequence, p->sequence);
    if (at->topic != 0) protobuf_write_bytes(out, at->topic, p->topic);
    if (at->partition != 0 && p->has_partition) { /* in a oneof: written also when 0 */
        protobuf_write_tag(out, at->partition, PROTOBUF_VARINT);
        writer_varint64(out, value_of(p->partition));
    }
    if (at->acks != 0) protobuf_write_value(out, at->acks, p->acks);
    if (at->producer != 0 && p->has_producer) {
        protobuf_write_head(out, at->producer, producer_size(p));
        protobuf_write_value(out, 1, value_of(p->producer_id));
        protobuf_write_value(out, 2, value_of(p->producer_epoch));
    }
    if (at->base_sequence != 0) protobuf_write_value(out, at->base_sequence, value_of(p->base_sequence));
    if (at->transactional_id != 0 && p->transactional_id.size != 0)
        protobuf_write_bytes(out, at->transactional_id, p->transactional_id);
    if (at->record_batch != 0) protobuf_write_head(out, at->record_batch, p->record_batch.size);
}

void protobuf_produce_write_head(struct writer *out, const struct protobuf_produce *produce) {
    layout_write(out, &unary_layout, produce);
}

void protobuf_produce_stream_write_head(struct writer *out, const struct protobuf_produce *produce) {
    protobuf_write_head(out, 2, layout_size(&batch_layout, produce));
    layout_write(out, &batch_layout, produce);
}

void protobuf_produce_stream_write_open(struct writer *out, const struct protobuf_produce *produce) {
    size_t size = layout_size(&open_layout, produce);
    protobuf_write_head(out, 1, size);
    size_t start = out->size;
    layout_write(out, &open_layout, produce);
    ASSERT_EQ(out->size - start, size);
}

/* ---- answers ------------------------------------------------------------------------------------------- */

/* AppendResult: 1 partition, 2 base_offset, 3 record_count, 4 log_append_time_ms, 5 leader_epoch,
 * 6 record_indexes (packed), 7 error. */
static size_t indexes_size(const struct protobuf_produce_result *result) {
    size_t size = 0;
    for (uint32_t i = 0; i < result->record_index_count; i++)
        size += protobuf_varint_size(value_of(result->record_indexes[i]));
    return size;
}

void protobuf_produce_result_write(struct writer *out, uint32_t number,
                                   const struct protobuf_produce_result *result) {
    size_t packed = result->record_indexes == NULL ? 0 : indexes_size(result);
    size_t size = protobuf_value_size(1, value_of(result->partition)) +
                  protobuf_value_size(2, value_of(result->base_offset)) +
                  protobuf_value_size(3, value_of(result->record_count)) +
                  protobuf_value_size(4, value_of(result->log_append_time_ms)) +
                  protobuf_value_size(5, value_of(result->leader_epoch));
    if (packed != 0) size += protobuf_bytes_size(6, packed);
    if (result->error.size != 0) size += protobuf_bytes_size(7, result->error.size);
    protobuf_write_head(out, number, size);
    size_t start = out->size;
    protobuf_write_value(out, 1, value_of(result->partition));
    protobuf_write_value(out, 2, value_of(result->base_offset));
    protobuf_write_value(out, 3, value_of(result->record_count));
    protobuf_write_value(out, 4, value_of(result->log_append_time_ms));
    protobuf_write_value(out, 5, value_of(result->leader_epoch));
    if (packed != 0) {
        protobuf_write_head(out, 6, packed);
        for (uint32_t i = 0; i < result->record_index_count; i++)
            writer_varint64(out, value_of(result->record_indexes[i]));
    }
    protobuf_write_text(out, 7, result->error);
    ASSERT_EQ(out->size - start, size);
}

static enum status read_result(struct slice message, struct protobuf_produce_result *result) {
    *result = (struct protobuf_produce_result){0};
    struct reader reader = reader_make(message);
    struct protobuf_field field;
    while (protobuf_next(&reader, &field)) {
        if (protobuf_is(&field, 7, PROTOBUF_BYTES)) result->error = field.bytes;
        if (field.wire != PROTOBUF_VARINT) continue;
        if (field.number == 1) result->partition = (int32_t)field.value;
        if (field.number == 2) result->base_offset = (int64_t)field.value;
        if (field.number == 3) result->record_count = (int32_t)field.value;
        if (field.number == 4) result->log_append_time_ms = (int64_t)field.value;
        if (field.number == 5) result->leader_epoch = (int32_t)field.value;
    }
    return reader_ok(&reader) ? STATUS_OK : STATUS_MALFORMED;
}

enum status protobuf_produce_result_next(struct slice *rest, uint32_t number,
                                         struct protobuf_produce_result *result) {
    struct reader reader = reader_make(*rest);
    struct protobuf_field field;
    while (protobuf_next(&reader, &field)) {
        if (!protobuf_is(&field, number, PROTOBUF_BYTES)) continue;
        *rest = slice_make(reader.pos, reader_remaining(&reader));
        return read_result(field.bytes, result);
    }
    *rest = SLICE_EMPTY;
    return reader_ok(&reader) ? STATUS_END : STATUS_MALFORMED;
}

/* ProduceStreamResponse: 1 opened {1 partition_count, 2 unacknowledged_bytes_max, 3 message_bytes_max},
 * 2 ack {1 sequence, 2 results}. */
enum status protobuf_produce_reply_read(struct slice message, struct protobuf_produce_reply *reply) {
    *reply = (struct protobuf_produce_reply){0};
    struct reader reader = reader_make(message);
    struct protobuf_field field;
    bool found = false;
    while (protobuf_next(&reader, &field)) {
        if (field.wire != PROTOBUF_BYTES || field.number > 2) continue;
        reply->is_opened = field.number == 1;
        reply->ack = field.bytes;
        found = true;
    }
    if (!reader_ok(&reader) || !found) return STATUS_MALFORMED;
    reader = reader_make(reply->ack);
    while (protobuf_next(&reader, &field)) {
        if (field.wire != PROTOBUF_VARINT) continue;
        if (!reply->is_opened && field.number == 1) reply->sequence = field.value;
        if (!reply->is_opened) continue;
        if (field.number == 1) reply->partition_count = (int32_t)field.value;
        if (field.number == 2) reply->unacknowledged_bytes_max = (int64_t)field.value;
        if (field.number == 3) reply->message_bytes_max = (int32_t)field.value;
    }
    return reader_ok(&reader) ? STATUS_OK : STATUS_MALFORMED;
}
