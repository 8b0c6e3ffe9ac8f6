// SPDX-License-Identifier: Apache-2.0
#include "storage/wal_reader.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "base/units.h"

#define WAL_READER_CHUNK MIB

enum status wal_reader_header(struct io_file *file, struct wal_segment_header *header) {
    uint8_t block[WAL_BLOCK_SIZE];
    size_t size;
    enum status status = io_file_read_at(file, block, sizeof block, 0, &size);
    if (status != STATUS_OK) return status;
    return wal_segment_header_decode(slice_make(block, size), header);
}

enum status wal_reader_find_group(struct io_file *file, struct wal_address where, bool *found, uint64_t *at) {
    *found = false;
    *at = wal_align(where.offset);
    uint8_t *chunk = mem_alloc(WAL_READER_CHUNK);
    enum status status = STATUS_OK;
    while (true) {
        size_t size;
        status = io_file_read_at(file, chunk, WAL_READER_CHUNK, *at, &size);
        if (status != STATUS_OK) break;
        for (size_t i = 0; i + WAL_GROUP_HEADER_SIZE <= size; i += WAL_BLOCK_SIZE) {
            struct wal_group_header header;
            where.offset = *at + i;
            if (!wal_group_header_decode(slice_make(chunk + i, size - i), where, &header)) continue;
            *found = true;
            *at += i;
            goto out;
        }
        if (size < WAL_READER_CHUNK) break;
        *at += WAL_READER_CHUNK;
    }
out:
    mem_free(chunk);
    return status;
}

enum status wal_reader_headless(struct io_file *file, uint64_t store_id, uint64_t segment, bool *lost) {
    uint8_t blocks[2 * WAL_BLOCK_SIZE];
    size_t size;
    *lost = false;
    enum status status = io_file_read_at(file, blocks, sizeof blocks, 0, &size);
    if (status != STATUS_OK) return status;
    bool blank = true;
    for (size_t k = 0; k < size; k++)
        blank = blank && blocks[k] == 0;
    if (blank) return STATUS_OK; /* a spare that was never used: not worth reading all of it */
    struct wal_address where = {store_id, segment, 2 * WAL_BLOCK_SIZE};
    uint64_t at;
    return wal_reader_find_group(file, where, lost, &at);
}

struct wal_change_walk wal_change_walk_make(const struct wal_record *record) {
    return (struct wal_change_walk){.changes = reader_make(record->changes), .record = record};
}

enum status wal_change_walk_next(struct wal_change_walk *walk, struct wal_change *change) {
    if (reader_remaining(&walk->changes) == 0) return STATUS_END;
    if (!wal_change_decode(&walk->changes, change)) return STATUS_CORRUPT;
    walk->value = change->value;
    if (change->kind != ENTRY_PUT_APART) return STATUS_OK;
    struct slice values = walk->record->values;
    if (change->value_offset > values.size || change->value_size > values.size - change->value_offset)
        return STATUS_CORRUPT;
    walk->value = slice_make(values.data + change->value_offset, change->value_size);
    walk->value_offset = walk->record->values_offset + change->value_offset;
    return STATUS_OK;
}

/* All changes of a record and their values are sound, and there are as many as it says. */
static bool record_sound(const struct wal_record *record) {
    struct wal_change_walk walk = wal_change_walk_make(record);
    struct wal_change change;
    uint32_t count = 0;
    enum status status;
    while ((status = wal_change_walk_next(&walk, &change)) == STATUS_OK) {
        if (change.kind == ENTRY_PUT_APART && crc32c(0, walk.value.data, walk.value.size) != change.value_crc)
            return false;
        count++;
    }
    return status == STATUS_END && count == record->header.change_count && count > 0;
}

struct run {
    struct io_file *file;
    const struct wal_segment_header *header;
    uint64_t end_known;
    enum status (*record)(void *ctx, const struct wal_record *record);
    void *ctx;
    struct wal_reader_result *result;
    const char *reason; /* why the reading stopped */
};

static struct wal_address run_address(const struct run *run, uint64_t offset) {
    return (struct wal_address){run->header->store_id, run->header->segment, offset};
}

/* The record at `at` in the group's payload; false: it fails its checksum. */
static bool record_at(const struct run *run, const struct wal_group_header *group, struct buffer *payload,
                      size_t at, struct wal_record *record) {
    uint64_t start = group->offset + WAL_GROUP_HEADER_SIZE;
    *record = (struct wal_record){
        .segment = group->segment,
        .offset = start + at,
        .values = slice_make(payload->data + group->records_size, group->values_size),
        .values_offset = start + group->records_size,
        .owner = payload};
    struct slice bytes = slice_make(payload->data + at, group->records_size - at);
    if (!wal_record_header_decode(bytes, run_address(run, record->offset), &record->header)) return false;
    record->changes = slice_make(bytes.data + WAL_RECORD_HEADER_SIZE, record->header.changes_size);
    return true;
}

/* Looks at everything in a group. False, with a reason: something is not sound. */
static bool check_group(struct run *run, const struct wal_group_header *group, struct buffer *payload) {
    uint64_t sequence = run->result->next_sequence;
    uint32_t count = 0;
    struct wal_record record;
    for (size_t at = 0; at < group->records_size; count++) {
        if (!record_at(run, group, payload, at, &record))
            run->reason = "a record fails its checksum";
        else if (record.header.first_sequence != sequence)
            run->reason = "a record does not continue the sequence";
        else if (!record_sound(&record))
            run->reason = "a value fails its checksum";
        if (run->reason != NULL) return false;
        at += WAL_RECORD_HEADER_SIZE + record.header.changes_size;
        sequence += record.header.change_count;
    }
    if (count != group->record_count) run->reason = "a group holds other records than its header says";
    return run->reason == NULL;
}

/* Hands out the records of a group that was checked. */
static enum status tell_group(struct run *run, const struct wal_group_header *group, struct buffer *payload) {
    enum status status = STATUS_OK;
    struct wal_record record;
    for (size_t at = 0; at < group->records_size && status == STATUS_OK;) {
        bool sound = record_at(run, group, payload, at, &record);
        ASSERT(sound);
        if (run->record != NULL) status = run->record(run->ctx, &record);
        at += WAL_RECORD_HEADER_SIZE + record.header.changes_size;
        run->result->next_sequence += record.header.change_count;
        run->result->records++;
    }
    run->result->end = group->offset + WAL_GROUP_HEADER_SIZE + wal_group_size(group);
    run->result->last_group = group->offset;
    run->result->groups++;
    return status;
}

static bool header_at(const struct run *run, uint64_t offset, struct wal_group_header *group) {
    uint8_t bytes[WAL_GROUP_HEADER_SIZE];
    size_t size;
    if (io_file_read_at(run->file, bytes, sizeof bytes, offset, &size) != STATUS_OK) return false;
    return wal_group_header_decode(slice_make(bytes, size), run_address(run, offset), group);
}

/* Passes over the group at `offset` when the one behind it tells that nothing in it is due. What it holds is
 * in tables; its values are checked by whoever reads them there. */
static bool skip_group(struct run *run, uint64_t offset, uint64_t due, uint64_t *end) {
    struct wal_group_header group, next;
    if (!header_at(run, offset, &group)) return false;
    *end = offset + WAL_GROUP_HEADER_SIZE + wal_group_size(&group);
    if (!header_at(run, wal_align(*end), &next) || next.first_sequence > due) return false;
    if (next.first_sequence <= run->result->next_sequence) return false; /* nonsense: looked at closely */
    run->result->end = *end;
    run->result->last_group = offset;
    run->result->next_sequence = next.first_sequence;
    run->result->groups++;
    return true;
}

/* Reads the group at `offset`. OK: *end is behind it. END: there is no (whole) group. */
static enum status run_group(struct run *run, uint64_t offset, uint64_t *end) {
    uint8_t bytes[WAL_GROUP_HEADER_SIZE];
    size_t size;
    enum status status = io_file_read_at(run->file, bytes, sizeof bytes, offset, &size);
    if (status != STATUS_OK) return status;
    struct wal_group_header group;
    run->reason = NULL;
    if (!wal_group_header_decode(slice_make(bytes, size), run_address(run, offset), &group)) {
        run->reason = "no group of this segment starts here";
        return STATUS_END;
    }
    run->result->torn = true; /* until the whole group was read */
    uint64_t file_size;
    status = io_file_size(run->file, &file_size);
    if (status != STATUS_OK) return status;
    uint64_t group_size = wal_group_size(&group);
    if (group_size > file_size || offset > file_size - group_size) {
        run->reason = "a group goes past the end of the file";
        return STATUS_END;
    }
    struct buffer *payload = buffer_new(group_size);
    status = io_file_read_at(run->file, payload->data, group_size, offset + WAL_GROUP_HEADER_SIZE, &size);
    if (status == STATUS_OK && size < group_size) {
        run->reason = "a group goes past the end of the file";
        status = STATUS_END;
    }
    if (status == STATUS_OK && !check_group(run, &group, payload)) status = STATUS_END;
    if (status == STATUS_OK) status = tell_group(run, &group, payload);
    buffer_unref(payload);
    if (status != STATUS_OK) return status;
    run->result->torn = false;
    *end = offset + WAL_GROUP_HEADER_SIZE + group_size;
    return STATUS_OK;
}

enum status wal_reader_run(struct io_file *file, const struct wal_segment_header *header, uint64_t end_known,
                           uint64_t due, enum status (*record)(void *ctx, const struct wal_record *record),
                           void *ctx, struct wal_reader_result *result, struct diagnostic *diagnostic) {
    *result = (struct wal_reader_result){.end = WAL_BLOCK_SIZE, .next_sequence = header->first_sequence};
    struct run run = {file, header, end_known, record, ctx, result, NULL};
    uint64_t offset = WAL_BLOCK_SIZE;
    enum status status;
    do {
        if (end_known != 0 && offset >= end_known) break;
        uint64_t behind;
        status = STATUS_OK;
        if (due > 0 && skip_group(&run, offset, due, &behind))
            offset = behind;
        else
            status = run_group(&run, offset, &offset);
        offset = wal_align(offset);
    } while (status == STATUS_OK);
    if (status != STATUS_OK && status != STATUS_END) return status; /* also what the callback said */
    if (end_known != 0 && result->end == end_known) {
        result->torn = false;
        return STATUS_OK;
    }
    if (status != STATUS_END) return status;
    if (end_known != 0)
        return diagnose(diagnostic, STATUS_CORRUPT,
                        "log segment %" PRIu64 ", offset %" PRIu64
                        ": %s, but the log is known to go on to offset %" PRIu64
                        "; restore this node from a replica or a backup",
                        header->segment, result->end, run.reason, end_known);
    bool found;
    uint64_t at;
    /* The group at `offset` itself may have a valid header: evidence begins behind it. */
    status = wal_reader_find_group(file, run_address(&run, offset + WAL_BLOCK_SIZE), &found, &at);
    if (status != STATUS_OK) return status;
    if (found)
        return diagnose(diagnostic, STATUS_CORRUPT,
                        "log segment %" PRIu64 ", offset %" PRIu64 ": %s, but offset %" PRIu64
                        " holds a later group, so this is damage and not the end of the log; restore this "
                        "node from a replica or a backup",
                        header->segment, result->end, run.reason, at);
    return STATUS_OK;
}
