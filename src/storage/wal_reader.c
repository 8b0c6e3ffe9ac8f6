// SPDX-License-Identifier: Apache-2.0
#include "storage/wal_reader.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "base/units.h"

#define WAL_READER_AHEAD (64 * KIB)

enum status wal_reader_header(struct io_file *file, struct wal_segment_header *header) {
    uint8_t block[WAL_BLOCK_SIZE];
    size_t size;
    enum status status = io_file_read_at(file, block, sizeof block, 0, &size);
    if (status != STATUS_OK) return status;
    return wal_segment_header_decode(slice_make(block, size), header);
}

static size_t window_or_default(size_t window) {
    return window == 0 ? WAL_READER_WINDOW : window;
}

/* *found: a valid group of that segment starts at or after where.offset; *at says where. Through a window of
 * less than a block only headers are read. */
static enum status find_group(struct io_file *file, struct wal_address where, size_t window, bool *found,
                              uint64_t *at) {
    *found = false;
    *at = wal_align(where.offset);
    size_t wanted = window < WAL_BLOCK_SIZE ? WAL_GROUP_HEADER_SIZE : window - window % WAL_BLOCK_SIZE;
    uint8_t *chunk = mem_alloc(wanted);
    enum status status = STATUS_OK;
    while (true) {
        size_t size;
        status = io_file_read_at(file, chunk, wanted, *at, &size);
        if (status != STATUS_OK) break;
        for (size_t i = 0; i + WAL_GROUP_HEADER_SIZE <= size; i += WAL_BLOCK_SIZE) {
            struct wal_group_header header;
            where.offset = *at + i;
            if (!wal_group_header_decode(slice_make(chunk + i, size - i), where, &header)) continue;
            *found = true;
            *at += i;
            goto out;
        }
        if (size < wanted) break;
        *at += MAX(wanted, WAL_BLOCK_SIZE);
    }
out:
    mem_free(chunk);
    return status;
}

enum status wal_reader_headless(struct io_file *file, uint64_t store_id, uint64_t segment, size_t window,
                                bool *lost) {
    uint8_t blocks[2 * WAL_BLOCK_SIZE];
    size_t size;
    *lost = false;
    enum status status = io_file_read_at(file, blocks, sizeof blocks, 0, &size);
    if (status != STATUS_OK) return status;
    /* Each byte is zero when the first is and each is as the one before it. */
    bool blank = size == 0 || (blocks[0] == 0 && memcmp(blocks, blocks + 1, size - 1) == 0);
    if (blank) return STATUS_OK; /* a spare that was never used: not worth reading all of it */
    struct wal_address where = {store_id, segment, 2 * WAL_BLOCK_SIZE};
    uint64_t at;
    return find_group(file, where, window_or_default(window), lost, &at);
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
    walk->value = slice_make(values.data == NULL ? NULL : values.data + change->value_offset,
                             change->value_size);
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
        bool apart = change.kind == ENTRY_PUT_APART && walk.value.data != NULL;
        if (apart && crc32c(0, walk.value.data, walk.value.size) != change.value_crc) return false;
        count++;
    }
    return status == STATUS_END && count == record->header.change_count && count > 0;
}

/* ---- reading ahead ----------------------------------------------------------------------------------- */

/* A piece of the file in memory. */
struct window {
    struct buffer *bytes; /* NULL: nothing */
    uint64_t offset;
    size_t size;
};
struct run {
    struct io_file *file;
    const struct wal_segment_header *header;
    const struct wal_reader_options *options;
    struct wal_reader_result *result;
    size_t window;
    uint64_t file_size;
    struct window windows[2]; /* the group that is read, and the header behind it */
    unsigned recent;          /* which of them was used last */
    size_t ahead;             /* how much to read at once */
    const char *reason;       /* why the reading stopped */
};
struct piece {
    struct slice bytes; /* shorter than asked for only at the end of the file */
    struct buffer *owner;
};

static enum status window_fill(struct run *run, struct window *window, uint64_t offset, size_t size) {
    size_t wanted = MAX(size, run->ahead);
    if (window->bytes != NULL && (window->bytes->references > 1 || window->bytes->size < wanted)) {
        buffer_unref(window->bytes);
        window->bytes = NULL;
    }
    if (window->bytes == NULL) window->bytes = buffer_new(wanted);
    window->offset = offset;
    window->size = 0;
    return io_file_read_at(run->file, window->bytes->data, wanted, offset, &window->size);
}

/* [offset, offset + size) of the file; valid until the call after the next. */
static enum status fetch(struct run *run, uint64_t offset, size_t size, struct piece *piece) {
    struct window *window = NULL;
    for (unsigned i = 0; i < ARRAY_COUNT(run->windows); i++) {
        struct window *held = &run->windows[i];
        if (held->bytes == NULL || offset < held->offset || offset - held->offset > held->size) continue;
        if (held->size - (offset - held->offset) < size) continue;
        run->recent = i;
        window = held;
    }
    if (window == NULL) {
        run->recent = 1 - run->recent;
        window = &run->windows[run->recent];
        enum status status = window_fill(run, window, offset, size);
        if (status != STATUS_OK) return status;
    }
    size_t skip = (size_t)(offset - window->offset);
    *piece = (struct piece){slice_make(window->bytes->data + skip, MIN(size, window->size - skip)),
                            window->bytes};
    return STATUS_OK;
}

/* ---- groups ------------------------------------------------------------------------------------------ */

static struct wal_address run_address(const struct run *run, uint64_t offset) {
    return (struct wal_address){run->header->store_id, run->header->segment, offset};
}

static enum status header_at(struct run *run, uint64_t offset, bool *found, struct wal_group_header *group) {
    struct piece piece;
    enum status status = fetch(run, offset, WAL_GROUP_HEADER_SIZE, &piece);
    *found = status == STATUS_OK && wal_group_header_decode(piece.bytes, run_address(run, offset), group);
    return status;
}

static uint64_t group_end(const struct wal_group_header *group) {
    return group->offset + WAL_GROUP_HEADER_SIZE + wal_group_size(group);
}

/* A group with its records, and its values if they were read. */
struct group {
    struct wal_group_header header;
    struct slice records, values;
    struct buffer *owner;
    uint64_t sequence, changes; /* the first, and how many */
};

/* The record at `at` of the records, not checked; false: it goes past their end. */
static bool record_at(const struct group *group, size_t at, struct wal_record *record) {
    uint64_t start = group->header.offset + WAL_GROUP_HEADER_SIZE;
    *record = (struct wal_record){.segment = group->header.segment,
                                  .offset = start + at,
                                  .values = group->values,
                                  .values_offset = start + group->header.records_size,
                                  .group_sequence = group->sequence,
                                  .group_changes = group->changes,
                                  .owner = group->owner};
    struct slice bytes = slice_make(group->records.data + at, group->records.size - at);
    if (!wal_record_header_read(bytes, &record->header)) return false;
    record->changes = slice_make(bytes.data + WAL_RECORD_HEADER_SIZE, record->header.changes_size);
    return true;
}

/* Looks at everything that was read of a group. False, with a reason: something is not sound. */
static bool check_group(struct run *run, struct group *group) {
    uint64_t sequence = run->result->next_sequence;
    uint32_t count = 0;
    struct wal_record record;
    for (size_t at = 0; at < group->records.size; count++) {
        if (!record_at(group, at, &record) ||
            !wal_record_header_check(run_address(run, record.offset), group->records.data + at))
            run->reason = "a record fails its checksum";
        else if (record.header.first_sequence != sequence)
            run->reason = "a record does not continue the sequence";
        else if (!record_sound(&record))
            run->reason = "a value fails its checksum";
        if (run->reason != NULL) return false;
        at += WAL_RECORD_HEADER_SIZE + record.header.changes_size;
        sequence += record.header.change_count;
    }
    group->sequence = run->result->next_sequence;
    group->changes = sequence - group->sequence;
    if (count != group->header.record_count) run->reason = "a group holds other records than its header says";
    return run->reason == NULL;
}

/* Hands out the records of a group that was checked. */
static enum status tell_group(struct run *run, const struct group *group) {
    enum status status = STATUS_OK;
    struct wal_record record;
    for (size_t at = 0; at < group->records.size && status == STATUS_OK;) {
        bool whole = record_at(group, at, &record);
        ASSERT(whole);
        if (run->options->record != NULL) status = run->options->record(run->options->ctx, &record);
        at += WAL_RECORD_HEADER_SIZE + record.header.changes_size;
        run->result->next_sequence += record.header.change_count;
        run->result->records++;
    }
    run->result->end = group_end(&group->header);
    run->result->last_group = group->header.offset;
    run->result->groups++;
    return status;
}

/* Passes over the group at `offset` when the one behind it tells that nothing in it is due. What it holds is
 * in tables; its values are checked by whoever reads them there. */
static enum status skip_group(struct run *run, uint64_t offset, bool *skipped, uint64_t *end) {
    struct wal_group_header group, next;
    *skipped = false;
    enum status status = header_at(run, offset, skipped, &group);
    if (!*skipped || status != STATUS_OK) return status;
    *end = group_end(&group);
    status = header_at(run, wal_align(*end), skipped, &next);
    /* Nonsense is looked at closely. */
    *skipped = *skipped && next.first_sequence <= run->options->due &&
               next.first_sequence > run->result->next_sequence;
    if (!*skipped || status != STATUS_OK) return status;
    run->result->end = *end;
    run->result->last_group = offset;
    run->result->next_sequence = next.first_sequence;
    run->result->groups++;
    return STATUS_OK;
}

/* *proven: something behind the group says that all of it was durable. */
static enum status look_behind(struct run *run, const struct wal_group_header *group, bool *proven) {
    uint64_t end = group_end(group);
    struct wal_group_header next;
    *proven = end == run->options->end_known;
    return *proven ? STATUS_OK : header_at(run, wal_align(end), proven, &next);
}

/* How much to read from where a group begins on, when it is like the one before: where groups are small, many
 * of them; else its header and records, in one go. */
static size_t read_ahead(const struct run *run, const struct wal_group_header *before) {
    uint64_t records = WAL_GROUP_HEADER_SIZE + before->records_size + WAL_BLOCK_SIZE;
    bool small = wal_group_size(before) < 4 * WAL_READER_AHEAD || records > run->window;
    return small ? run->window : MIN(MAX((size_t)wal_align(records), WAL_READER_AHEAD), run->window);
}

/* Reads what is needed of the group. END: there is no such group, or it goes past the end of the file. */
static enum status load_group(struct run *run, uint64_t offset, struct group *group) {
    bool found, proven = false;
    enum status status = header_at(run, offset, &found, &group->header);
    if (status != STATUS_OK) return status;
    if (!found) {
        run->reason = "no group of this segment starts here";
        return STATUS_END;
    }
    run->result->torn = true; /* until the whole group was read */
    uint64_t size = wal_group_size(&group->header);
    if (size > run->file_size || offset > run->file_size - size) {
        run->reason = "a group goes past the end of the file";
        return STATUS_END;
    }
    if (!run->options->values && group->header.values_size > 0)
        status = look_behind(run, &group->header, &proven);
    if (proven) size = group->header.records_size;
    run->ahead = read_ahead(run, &group->header);
    struct piece piece;
    if (status == STATUS_OK) status = fetch(run, offset + WAL_GROUP_HEADER_SIZE, size, &piece);
    if (status != STATUS_OK) return status;
    if (piece.bytes.size < size) {
        run->reason = "a group goes past the end of the file";
        return STATUS_END;
    }
    group->owner = piece.owner;
    group->records = slice_make(piece.bytes.data, group->header.records_size);
    group->values = slice_make(proven ? NULL : piece.bytes.data + group->header.records_size,
                               group->header.values_size);
    return STATUS_OK;
}

/* Reads the group at `offset`. OK: *end is behind it. END: there is no (whole) group. */
static enum status run_group(struct run *run, uint64_t offset, uint64_t *end) {
    struct group group;
    run->reason = NULL;
    enum status status = load_group(run, offset, &group);
    if (status == STATUS_OK && !check_group(run, &group)) status = STATUS_END;
    if (status == STATUS_OK) status = tell_group(run, &group);
    if (status != STATUS_OK) return status;
    run->result->torn = false;
    *end = group_end(&group.header);
    return STATUS_OK;
}

/* Group after group, to the end of the segment or to what is none. */
static enum status run_groups(struct run *run, uint64_t *offset) {
    uint64_t end_known = run->options->end_known;
    enum status status = io_file_size(run->file, &run->file_size);
    while (status == STATUS_OK && (end_known == 0 || *offset < end_known)) {
        uint64_t behind = 0;
        bool skipped = false;
        if (run->options->due > 0) status = skip_group(run, *offset, &skipped, &behind);
        if (status == STATUS_OK && !skipped) status = run_group(run, *offset, &behind);
        if (status == STATUS_OK) *offset = wal_align(behind);
    }
    for (unsigned i = 0; i < ARRAY_COUNT(run->windows); i++)
        buffer_unref(run->windows[i].bytes);
    return status;
}

enum status wal_reader_run(struct io_file *file, const struct wal_segment_header *header,
                           const struct wal_reader_options *options, struct wal_reader_result *result,
                           struct diagnostic *diagnostic) {
    *result = (struct wal_reader_result){.end = WAL_BLOCK_SIZE, .next_sequence = header->first_sequence};
    struct run run = {.file = file,
                      .header = header,
                      .options = options,
                      .result = result,
                      .window = window_or_default(options->window)};
    run.ahead = MIN(WAL_READER_AHEAD, run.window);
    uint64_t offset = WAL_BLOCK_SIZE, end_known = options->end_known;
    enum status status = run_groups(&run, &offset);
    if (status != STATUS_OK && status != STATUS_END) return status; /* also what the callback said */
    if (end_known != 0 && result->end == end_known) {
        result->torn = false;
        return STATUS_OK;
    }
    if (status != STATUS_END) return status;
    if (options->sealed_at != 0 && result->next_sequence == options->sealed_at + 1) return STATUS_OK;
    if (options->sealed_at != 0 && options->due > options->sealed_at) return STATUS_OK; /* nothing is due */
    if (end_known != 0)
        return diagnose(diagnostic, STATUS_CORRUPT,
                        "log segment %" PRIu64 ", offset %" PRIu64
                        ": %s, but the log is known to go on to offset %" PRIu64
                        "; restore this node from a replica or a backup",
                        header->segment, result->end, run.reason, end_known);
    bool found;
    uint64_t at;
    /* The group at `offset` itself may have a valid header: evidence begins behind it. */
    status = find_group(file, run_address(&run, offset + WAL_BLOCK_SIZE), run.window, &found, &at);
    if (status != STATUS_OK) return status;
    if (found)
        return diagnose(diagnostic, STATUS_CORRUPT,
                        "log segment %" PRIu64 ", offset %" PRIu64 ": %s, but offset %" PRIu64
                        " holds a later group, so this is damage and not the end of the log; restore this "
                        "node from a replica or a backup",
                        header->segment, result->end, run.reason, at);
    return STATUS_OK;
}
