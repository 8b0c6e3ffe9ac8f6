// SPDX-License-Identifier: Apache-2.0
#include "storage/flush.h"

#include "base/assert.h"
#include "base/mem.h"
#include "storage/table_writer.h"

void table_output_init(struct table_output *output) {
    *output = (struct table_output){0};
    arena_init(&output->arena, 4 * KIB);
}

void table_output_release(struct table_output *output) {
    arena_release(&output->arena);
    mem_free(output->tables);
    *output = (struct table_output){0};
}

struct table_meta *table_output_add(struct table_output *output) {
    if (output->count == output->capacity) {
        output->capacity = MAX(output->capacity * 2, 4u);
        output->tables = mem_realloc(output->tables, output->capacity * sizeof *output->tables);
    }
    output->tables[output->count] = (struct table_meta){0};
    return &output->tables[output->count++];
}

void table_output_discard(struct table_output *output, struct io *io, const char *dir) {
    for (uint32_t i = 0; i < output->count; i++) {
        struct layout_path path = layout_path(dir, LAYOUT_TABLE, output->tables[i].number);
        /* What cannot be removed now is found and removed at the next start. */
        if (io_unlink(io, path.text) != STATUS_OK) continue;
    }
    output->count = 0;
}

uint64_t flush_numbers(size_t memtable_bytes, size_t table_bytes) {
    return memtable_bytes / table_bytes + 2;
}

/* Finishes the table under way, if there is one. */
static enum status finish_table(struct table_writer **writer, struct table_output *output) {
    if (*writer == NULL) return STATUS_OK;
    struct table_meta meta;
    enum status status = table_writer_finish(*writer, &output->arena, &meta);
    *writer = NULL;
    if (status == STATUS_OK) *table_output_add(output) = meta;
    return status;
}

enum status flush_build(const struct flush_options *options, const struct memtable *memtable,
                        struct table_output *output) {
    struct table_writer *writer = NULL;
    uint64_t number = options->first_number;
    enum status status = STATUS_OK;
    struct memtable_cursor cursor;
    memtable_cursor_init(&cursor, memtable, UINT64_MAX);
    for (memtable_cursor_first(&cursor); cursor.entry != NULL && status == STATUS_OK;
         memtable_cursor_next(&cursor)) {
        const struct memtable_entry *entry = cursor.entry;
        struct slice key = memtable_entry_key(entry);
        uint64_t sequence = memtable_entry_sequence(entry);
        if (tombstone_set_cover(&memtable->tombstones, key, UINT64_MAX) > sequence) continue;
        if (writer == NULL) {
            struct table_writer_options table = {.io = options->io,
                                                 .dir = options->dir,
                                                 .number = number++,
                                                 .store_id = options->store_id,
                                                 .partition_prefix_size = options->partition_prefix_size,
                                                 .run_bytes_min = flush_run_bytes_min(options->table_bytes),
                                                 .compression = options->compression};
            status = table_writer_new(&table, &writer);
            if (status != STATUS_OK) break;
        }
        struct block_entry stored = {.kind = memtable_entry_kind(entry), .sequence = sequence};
        stored.value = memtable_entry_value(entry);
        stored.place = (struct value_place){.size = (uint32_t)stored.value.size,
                                            .crc = memtable_entry_crc(entry)};
        if (stored.kind == ENTRY_PUT && stored.value.size >= LAYOUT_APART_MIN && options->places != NULL &&
            wal_places_find(options->places, sequence, &stored.place))
            stored.kind = ENTRY_PUT_LOG;
        status = table_writer_add(writer, key, &stored);
        if (status == STATUS_OK && table_writer_bytes(writer) >= options->table_bytes)
            status = finish_table(&writer, output);
    }
    if (status == STATUS_OK) status = finish_table(&writer, output);
    if (writer != NULL) table_writer_abandon(writer);
    if (status == STATUS_OK && output->count > 0) status = io_sync_dir(options->io, options->dir);
    if (status != STATUS_OK) table_output_discard(output, options->io, options->dir);
    return status;
}

static bool reserved_overlaps(const struct flush_reserved *reserved, struct slice first, struct slice last) {
    size_t low = 0, high = reserved->count; /* the first part that ends at or behind `first` */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(reserved->parts[middle].last, first) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < reserved->count && slice_compare(reserved->parts[low].first, last) <= 0;
}

static bool anything_overlaps(const struct version *version, const struct flush_reserved *reserved,
                              struct slice first, struct slice last) {
    for (uint32_t l = 0; l < STORE_LEVEL_COUNT; l++)
        if (version_level_overlaps(&version->levels[l], l, first, last)) return true;
    return reserved_overlaps(reserved, first, last);
}

/* In which files the segments are that the new runs refer to; those of one memtable follow each other. */
static void tell_logs(const struct version_set *versions, const struct table_output *output,
                      struct writer *edit) {
    uint64_t first = UINT64_MAX, last = 0;
    for (uint32_t i = 0; i < output->count; i++)
        for (uint32_t k = 0; k < output->tables[i].run_count; k++) {
            const struct table_run_meta *run = &output->tables[i].runs[k];
            if (run->ref_count == 0) continue;
            first = MIN(first, run->refs[0].segment);
            last = MAX(last, run->refs[run->ref_count - 1].segment);
        }
    for (uint64_t segment = first; segment <= last; segment++)
        version_set_tell_log(versions, segment, edit);
}

void flush_edit(const struct version_set *versions, const struct memtable *memtable,
                const struct table_output *output, const struct flush_reserved *reserved,
                struct writer *edit) {
    const struct version *version = versions->current;
    edit_number(edit, EDIT_NEXT_FILE, versions->next_file);
    for (uint32_t i = 0; i < output->count; i++) {
        const struct table_meta *table = &output->tables[i];
        edit_table(edit, table);
        for (uint32_t k = 0; k < table->run_count; k++) {
            const struct table_run_meta *run = &table->runs[k];
            bool alone = !anything_overlaps(version, reserved, run->first, run->last);
            edit_run_add(edit, alone ? STORE_LEVEL_COUNT - 1 : 0, table->number, run);
        }
    }
    tell_logs(versions, output, edit);
    for (size_t i = 0; i < memtable->tombstones.count; i++) {
        const struct tombstone *t = &memtable->tombstones.fragments[i];
        if (anything_overlaps(version, reserved, t->from, t->to))
            edit_tombstone(edit, t->from, t->to, t->sequences[0]);
    }
    edit_number(edit, EDIT_FLUSHED, memtable->last_sequence);
}
