// SPDX-License-Identifier: Apache-2.0
#include "server/grpc_records.h"

#include "base/assert.h"
#include "wire/protobuf_record.h"

#define GATHER_COUNT 128
#define VARINT_ROOM  10 /* a writer wants room for the longest varint, however short it is */
#define GATHER_BYTES ((size_t)(64 * KIB))

void grpc_records_init(struct grpc_records *records, const struct fetch_partition *from, bool as_batches,
                       uint32_t number, int64_t position) {
    *records = (struct grpc_records){
        .from = from, .as_batches = as_batches, .number = number, .position = position};
    arena_init(&records->arena, 16 * KIB);
}

void grpc_records_release(struct grpc_records *records) {
    arena_release(&records->arena);
}

static bool has_credit(const struct grpc_records_credit *credit) {
    return credit->records > 0 && credit->bytes > 0;
}

static void pay(struct grpc_records_credit *credit, int64_t records, size_t bytes) {
    credit->records -= records;
    credit->bytes -= (int64_t)bytes;
}

/* ---- batches ------------------------------------------------------------------------------------------- */

static enum status take_batches(struct grpc_records *records, size_t size_max,
                                struct grpc_records_credit *credit, struct chain *out) {
    while (records->batch_index < records->from->batch_count) {
        if (!has_credit(credit) || out->size >= size_max) return STATUS_OK;
        struct shared_slice bytes = records->from->batches[records->batch_index];
        struct record_batch batch;
        enum status status = record_batch_read_trusted(bytes.bytes, &batch);
        if (status != STATUS_OK) return status;
        if (fetch_is_aborted(records->from, &batch)) {
            records->position = MAX(records->position, record_batch_last_offset(&batch) + 1);
            records->batch_index++;
            continue;
        }
        uint8_t head[24];
        struct writer head_writer;
        writer_init_in(&head_writer, head, sizeof head); /* a head never fills it */
        protobuf_write_head(&head_writer, records->number, bytes.bytes.size);
        chain_append_copy(out, writer_slice(&head_writer));
        chain_append_shared(out, bytes);
        pay(credit, batch.record_count, bytes.bytes.size);
        records->position = MAX(records->position, record_batch_last_offset(&batch) + 1);
        records->batch_index++;
    }
    return STATUS_END;
}

/* ---- records ------------------------------------------------------------------------------------------- */

/* Makes `next` the next record to give: END when the batch has none. Opens the batch when it is not. */
static enum status find_next(struct grpc_records *records) {
    if (records->has_next) return STATUS_OK;
    enum status status = STATUS_OK;
    if (!records->open) {
        status = record_batch_read_trusted(records->from->batches[records->batch_index].bytes,
                                           &records->batch);
        if (status != STATUS_OK) return status;
        if ((records->batch.attributes & BATCH_CONTROL) != 0 ||
            fetch_is_aborted(records->from, &records->batch))
            return STATUS_END;
        status = record_iterator_init(&records->iterator, &records->batch, &records->arena,
                                      GRPC_RECORDS_INFLATED_MAX);
        if (status != STATUS_OK) return status;
        records->open = true;
    }
    do
        status = record_iterator_next(&records->iterator, &records->next);
    while (status == STATUS_OK && records->next.offset < records->position);
    records->has_next = status == STATUS_OK;
    return status;
}

static void close_batch(struct grpc_records *records) {
    records->position = MAX(records->position, record_batch_last_offset(&records->batch) + 1);
    records->open = records->has_next = false;
    records->batch_index++;
    arena_clear(&records->arena);
}

/* Records gathered from one batch, to be written into one buffer of exactly their size. */
struct gathered {
    struct record list[GATHER_COUNT];
    size_t sizes[GATHER_COUNT];
    size_t count, bytes;
};

static void gathered_write(struct gathered *gathered, uint32_t number, struct chain *out) {
    if (gathered->count == 0) return;
    struct buffer *buffer = buffer_new(gathered->bytes + VARINT_ROOM);
    struct writer writer;
    writer_init_in(&writer, buffer->data, buffer->size);
    for (size_t i = 0; i < gathered->count; i++)
        protobuf_record_write(&writer, number, &gathered->list[i], gathered->sizes[i]);
    ASSERT_EQ(writer.size, gathered->bytes);
    ASSERT(writer.data == buffer->data); /* it never grew: the memory is still the buffer's */
    chain_append_shared(out, (struct shared_slice){slice_make(buffer->data, writer.size), buffer});
    buffer_unref(buffer);
    gathered->count = gathered->bytes = 0;
}

static enum status take_records(struct grpc_records *records, size_t size_max,
                                struct grpc_records_credit *credit, struct chain *out) {
    struct gathered gathered;
    gathered.count = gathered.bytes = 0;
    enum status status = STATUS_END;
    while (records->batch_index < records->from->batch_count) {
        status = find_next(records);
        if (status == STATUS_END) {
            gathered_write(&gathered, records->number, out); /* before what the records point into goes */
            close_batch(records);
            continue;
        }
        if (status != STATUS_OK || !has_credit(credit) || out->size + gathered.bytes >= size_max) break;
        if (gathered.count == GATHER_COUNT || gathered.bytes >= GATHER_BYTES)
            gathered_write(&gathered, records->number, out);
        size_t size = protobuf_record_size(&records->next);
        gathered.list[gathered.count] = records->next;
        gathered.sizes[gathered.count++] = size;
        gathered.bytes += protobuf_bytes_size(records->number, size);
        pay(credit, 1, size);
        records->position = records->next.offset + 1;
        records->has_next = false;
    }
    gathered_write(&gathered, records->number, out);
    return status;
}

enum status grpc_records_take(struct grpc_records *records, size_t size_max,
                              struct grpc_records_credit *credit, struct chain *out) {
    return records->as_batches ? take_batches(records, size_max, credit, out)
                               : take_records(records, size_max, credit, out);
}
