// SPDX-License-Identifier: Apache-2.0
#include "wire/record_filter.h"

#include "base/assert.h"
#include "base/units.h"
#include "wire/compression.h"

static struct buffer *assemble(const struct record_batch *batch, struct slice records, int32_t count,
                               int64_t max_timestamp) {
    enum record_codec codec = count == 0 ? CODEC_NONE : record_batch_codec(batch);
    struct writer deflated;
    writer_init(&deflated);
    if (codec != CODEC_NONE) {
        enum status status = codec_deflate(codec, records, &deflated);
        ASSERT(status == STATUS_OK);
        records = writer_slice(&deflated);
    }
    struct buffer *buffer = buffer_new(RECORD_BATCH_HEADER_SIZE + records.size);
    memcpy(buffer->data, batch->bytes.data, RECORD_BATCH_HEADER_SIZE);
    if (records.size != 0) memcpy(buffer->data + RECORD_BATCH_HEADER_SIZE, records.data, records.size);
    writer_release(&deflated);
    record_batch_set_records(buffer->data, buffer->size, codec, count);
    record_batch_set_max_timestamp(buffer->data, buffer->size, max_timestamp);
    return buffer;
}

struct buffer *record_filter_all(const struct record_batch *batch) {
    return assemble(batch, SLICE_EMPTY, 0, -1);
}

enum status record_filter(const struct record_batch *batch,
                          bool (*keep)(void *ctx, const struct record *record), void *ctx, size_t inflate_max,
                          struct buffer **result) {
    struct arena arena;
    struct record_iterator it;
    struct record record;
    struct writer kept;
    int32_t count = 0;
    int64_t max_timestamp = -1;
    *result = NULL;
    arena_init(&arena, 16 * KIB);
    writer_init(&kept);
    enum status status = record_iterator_init(&it, batch, &arena, inflate_max);
    const uint8_t *from = it.reader.pos;
    while (status == STATUS_OK && (status = record_iterator_next(&it, &record)) == STATUS_OK) {
        if (keep(ctx, &record)) {
            writer_bytes(&kept, slice_make(from, (size_t)(it.reader.pos - from)));
            max_timestamp = MAX(max_timestamp, record.timestamp);
            count++;
        }
        from = it.reader.pos;
    }
    arena_release(&arena);
    if (status == STATUS_END) {
        status = STATUS_OK;
        if (count != batch->record_count)
            *result = assemble(batch, writer_slice(&kept), count, max_timestamp);
    }
    writer_release(&kept);
    return status;
}
