// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a log segment: reading it never crashes, inspecting it never crashes, and what is handed out
 * is sound. Odd first byte: checksums are put right first, so that what lies behind them is reached, too. */
#include "base/assert.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "io/io_sim.h"
#include "storage/inspect.h"
#include "storage/wal_reader.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The checksum of each value apart, where the changes say that there is one. */
static void repair_values(uint8_t *changes, size_t changes_size, struct slice values) {
    struct reader r = reader_make(slice_make(changes, changes_size));
    struct wal_change change;
    while (reader_remaining(&r) > 0) {
        size_t start = reader_position(&r);
        if (!wal_change_decode(&r, &change)) return;
        if (change.kind != ENTRY_PUT_APART) continue;
        if (change.value_offset > values.size || change.value_size > values.size - change.value_offset)
            continue;
        store_le32(changes + start + 7, crc32c(0, values.data + change.value_offset, change.value_size));
    }
}

static void repair_records(uint8_t *bytes, uint64_t size, struct slice values, struct wal_address where) {
    while (size >= WAL_RECORD_HEADER_SIZE) {
        uint64_t changes_size = load_le32(bytes + 4), left = size - WAL_RECORD_HEADER_SIZE;
        if (changes_size > left) return;
        repair_values(bytes + WAL_RECORD_HEADER_SIZE, changes_size, values);
        wal_record_header_seal(where, bytes);
        uint64_t step = WAL_RECORD_HEADER_SIZE + changes_size;
        bytes += step;
        where.offset += step;
        size -= step;
    }
}

static void repair(uint8_t *bytes, size_t size) {
    if (size < WAL_BLOCK_SIZE + WAL_GROUP_HEADER_SIZE) return;
    struct wal_segment_header header = {.store_id = load_le64(bytes + 16),
                                        .segment = load_le64(bytes + 24),
                                        .size = load_le64(bytes + 32),
                                        .first_sequence = load_le64(bytes + 40),
                                        .previous_end = load_le64(bytes + 48)};
    wal_segment_header_encode(&header, bytes);
    for (uint64_t at = WAL_BLOCK_SIZE; at + WAL_GROUP_HEADER_SIZE <= size;) {
        uint64_t left = size - at - WAL_GROUP_HEADER_SIZE;
        struct wal_group_header group = {.segment = header.segment,
                                         .offset = at,
                                         .first_sequence = load_le64(bytes + at + 24),
                                         .records_size = load_le64(bytes + at + 32),
                                         .values_size = load_le64(bytes + at + 40),
                                         .record_count = load_le32(bytes + at + 48)};
        wal_group_header_encode(&group, header.store_id, bytes + at);
        if (group.records_size > left || group.values_size > left - group.records_size) return;
        struct wal_address where = {header.store_id, header.segment, at + WAL_GROUP_HEADER_SIZE};
        uint8_t *records = bytes + at + WAL_GROUP_HEADER_SIZE;
        struct slice values = slice_make(records + group.records_size, group.values_size);
        repair_records(records, group.records_size, values, where);
        at = wal_align(at + WAL_GROUP_HEADER_SIZE + wal_group_size(&group));
    }
}

static enum status check_record(void *ctx, const struct wal_record *record) {
    uint64_t *next = ctx;
    ASSERT_EQ(record->header.first_sequence, *next);
    struct wal_change_walk walk = wal_change_walk_make(record);
    struct wal_change change;
    uint32_t count = 0;
    enum status status;
    while ((status = wal_change_walk_next(&walk, &change)) == STATUS_OK)
        count++;
    ASSERT(status == STATUS_END);
    ASSERT_EQ(count, record->header.change_count);
    *next += count;
    return STATUS_OK;
}

static void ignore_text(void *ctx, struct slice text) {
    (void)ctx;
    (void)text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    struct io_sim *sim = io_sim_new(1);
    struct io *io = io_sim_node_io(sim, 0);
    uint8_t *bytes = mem_alloc(size);
    memcpy(bytes, data + 1, size - 1);
    if (data[0] & 1) repair(bytes, size - 1);
    struct io_file *file;
    enum status status = io_file_open(io, "000000000001.wal", IO_OPEN_WRITE | IO_OPEN_CREATE, &file);
    ASSERT(status == STATUS_OK);
    if (size > 1) status = io_file_write_at(file, slice_make(bytes, size - 1), 0);
    ASSERT(status == STATUS_OK);
    struct wal_segment_header header;
    if (wal_reader_header(file, &header) == STATUS_OK) {
        struct wal_reader_result result;
        uint64_t next = header.first_sequence;
        struct wal_reader_options options = {.values = true, .record = check_record, .ctx = &next};
        status = wal_reader_run(file, &header, &options, &result, NULL);
        ASSERT(status == STATUS_OK || status == STATUS_CORRUPT);
        ASSERT_EQ(result.next_sequence, next);
        uint64_t end = result.end;
        /* Told where it ends, the reader agrees, and reads exactly as much. */
        next = header.first_sequence;
        options.end_known = end;
        status = wal_reader_run(file, &header, &options, &result, NULL);
        ASSERT(status == STATUS_OK && result.end == end);
        /* So it does without the values, of which it then reads those of the last group at most. */
        next = header.first_sequence;
        options.values = false;
        status = wal_reader_run(file, &header, &options, &result, NULL);
        ASSERT(status == STATUS_OK && result.end == end);
        next = header.first_sequence;
        options.end_known = 0;
        status = wal_reader_run(file, &header, &options, &result, NULL);
        ASSERT(status == STATUS_OK || status == STATUS_CORRUPT);
        ASSERT(result.end >= end && result.next_sequence == next);
        /* Passing over what is not due comes to an end, too. */
        options = (struct wal_reader_options){.due = UINT64_MAX};
        status = wal_reader_run(file, &header, &options, &result, NULL);
        ASSERT(status == STATUS_OK || status == STATUS_CORRUPT);
    }
    io_file_close(file);
    struct inspect_options options = {
        .json = (data[0] & 2) != 0, .entries = true, .verify = true, .print = ignore_text};
    struct diagnostic diagnostic;
    status = inspect_path(io, "000000000001.wal", &options, &diagnostic);
    ASSERT(status == STATUS_OK || status == STATUS_CORRUPT || status == STATUS_INVALID);
    mem_free(bytes);
    io_sim_free(sim);
    return 0;
}
