// SPDX-License-Identifier: Apache-2.0
/* What a producer may send as a record batch. The first byte chooses: 0 as the bytes are, else with the
 * checksum made right, so that what lies behind it is reached, too. */
#include "base/assert.h"
#include "base/crc32c.h"
#include "base/units.h"
#include "wire/record_batch.h"

#define INFLATE_MAX MIB

static void walk(const struct record_batch *batch) {
    struct arena arena;
    arena_init(&arena, 4 * KIB);
    struct record_iterator it;
    struct record record;
    int32_t count = 0;
    int64_t last = -1;
    enum status status = record_iterator_init(&it, batch, &arena, INFLATE_MAX);
    ASSERT(status == STATUS_OK);
    while ((status = record_iterator_next(&it, &record)) == STATUS_OK) {
        ASSERT(record.offset == batch->base_offset + count && record.offset > last);
        last = record.offset;
        count++;
        struct slice name, value;
        uint32_t headers = 0;
        while (record_header_next(&record.headers, &name, &value) == STATUS_OK)
            headers++;
        ASSERT_EQ(headers, record.header_count);
    }
    ASSERT(status == STATUS_END); /* what was validated can be walked to its end */
    ASSERT_EQ(count, batch->record_count);
    arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    struct buffer *buffer = buffer_copy(slice_make(data + 1, size - 1));
    struct slice bytes = slice_make(buffer->data, buffer->size);
    if (data[0] != 0 && bytes.size > 21)
        store_be32(buffer->data + 17, crc32c(0, buffer->data + 21, buffer->size - 21));
    struct record_batch batch;
    int32_t bad_record;
    enum status status = record_batch_validate(bytes, true, INFLATE_MAX, &batch, &bad_record);
    if (status == STATUS_OK) {
        ASSERT_EQ(batch.bytes.size, bytes.size);
        walk(&batch);
        record_batch_set_base(buffer->data, 1000, 3);
        record_batch_set_append_time(buffer->data, buffer->size, 5);
        status = record_batch_validate(bytes, true, INFLATE_MAX, &batch, &bad_record);
        ASSERT(status == STATUS_OK && batch.base_offset == 1000 && batch.max_timestamp == 5);
    }
    buffer_unref(buffer);
    return 0;
}
