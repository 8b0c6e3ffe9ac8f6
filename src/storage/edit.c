// SPDX-License-Identifier: Apache-2.0
#include "storage/edit.h"

#include "base/assert.h"

static void put_key(struct writer *edit, struct slice key) {
    writer_varint64(edit, key.size);
    writer_bytes(edit, key);
}

static struct slice get_key(struct reader *r) {
    uint32_t size = reader_varint32(r);
    if (size > STORE_KEY_SIZE_MAX) reader_fail(r);
    return reader_bytes(r, size);
}

static void put_handle(struct writer *edit, struct table_handle handle) {
    writer_varint64(edit, handle.offset);
    writer_varint64(edit, handle.size);
}

static struct table_handle get_handle(struct reader *r) {
    struct table_handle handle = {.offset = reader_varint64(r)};
    handle.size = reader_varint32(r);
    return handle;
}

void edit_table(struct writer *edit, const struct table_meta *table) {
    writer_u8(edit, EDIT_TABLE);
    writer_varint64(edit, table->number);
    writer_varint64(edit, table->size);
    writer_varint64(edit, table->entries);
    writer_varint64(edit, table->data_bytes);
    put_handle(edit, table->index);
    put_handle(edit, table->filter);
}

void edit_run_add(struct writer *edit, uint32_t level, uint64_t table, const struct table_run_meta *run) {
    ASSERT_LT(level, (uint32_t)STORE_LEVEL_COUNT);
    writer_u8(edit, EDIT_RUN_ADD);
    writer_u8(edit, (uint8_t)level);
    writer_varint64(edit, table);
    writer_varint64(edit, run->bytes);
    writer_varint64(edit, run->entries);
    writer_varint64(edit, run->first_sequence);
    writer_varint64(edit, run->last_sequence);
    put_key(edit, run->first);
    put_key(edit, run->last);
    writer_varint64(edit, run->extents);
    writer_varint64(edit, run->ref_count);
    uint64_t before = 0;
    for (uint32_t i = 0; i < run->ref_count; i++) {
        ASSERT_LT(before, run->refs[i].segment);
        writer_varint64(edit, run->refs[i].segment - before);
        writer_varint64(edit, run->refs[i].bytes);
        before = run->refs[i].segment;
    }
}

void edit_run_drop(struct writer *edit, uint32_t level, uint64_t table, struct slice first) {
    writer_u8(edit, EDIT_RUN_DROP);
    writer_u8(edit, (uint8_t)level);
    writer_varint64(edit, table);
    put_key(edit, first);
}

static void put_range(struct writer *edit, enum edit_kind kind, struct slice from, struct slice to,
                      uint64_t sequence) {
    writer_u8(edit, (uint8_t)kind);
    writer_varint64(edit, sequence);
    put_key(edit, from);
    put_key(edit, to);
}

void edit_tombstone(struct writer *edit, struct slice from, struct slice to, uint64_t sequence) {
    put_range(edit, EDIT_TOMBSTONE, from, to, sequence);
}

void edit_tombstone_drop(struct writer *edit, struct slice from, struct slice to, uint64_t sequence) {
    put_range(edit, EDIT_TOMBSTONE_DROP, from, to, sequence);
}

void edit_number(struct writer *edit, enum edit_kind kind, uint64_t number) {
    ASSERT(kind == EDIT_FLUSHED || kind == EDIT_DURABLE || kind == EDIT_NEXT_FILE || kind == EDIT_SEALED);
    writer_u8(edit, (uint8_t)kind);
    writer_varint64(edit, number);
}

void edit_log(struct writer *edit, const struct edit_log *log) {
    writer_u8(edit, EDIT_LOG);
    writer_varint64(edit, log->segment);
    writer_varint64(edit, log->file);
    writer_varint64(edit, log->size);
    writer_varint64(edit, log->first_sequence);
}

struct table_ref edit_ref_next(struct reader *refs, uint64_t segment_before) {
    struct table_ref ref = {.segment = segment_before + reader_varint64(refs)};
    ref.bytes = reader_varint64(refs);
    return ref;
}

/* Segments that rise, and bytes that can be added up. */
static void get_refs(struct reader *r, struct edit_item *item) {
    item->run.extents = reader_varint64(r);
    item->run.ref_count = reader_varint32(r);
    size_t left = reader_remaining(r);
    if (item->run.ref_count > left / 2) reader_fail(r);
    struct slice rest = slice_make(r->pos, reader_remaining(r));
    uint64_t segment = 0, bytes = 0;
    for (uint32_t i = 0; i < item->run.ref_count && reader_ok(r); i++) {
        struct table_ref ref = edit_ref_next(r, segment);
        if (ref.segment <= segment || ref.bytes > UINT64_MAX / 4 - bytes) reader_fail(r);
        segment = ref.segment;
        bytes += ref.bytes;
    }
    item->refs = slice_make(rest.data, rest.size - reader_remaining(r));
}

enum status edit_next(struct reader *r, struct edit_item *item) {
    if (reader_remaining(r) == 0) return reader_ok(r) ? STATUS_END : STATUS_CORRUPT;
    *item = (struct edit_item){.kind = reader_u8(r)};
    switch (item->kind) {
    case EDIT_TABLE:
        item->table.number = reader_varint64(r);
        item->table.size = reader_varint64(r);
        item->table.entries = reader_varint64(r);
        item->table.data_bytes = reader_varint64(r);
        item->table.index = get_handle(r);
        item->table.filter = get_handle(r);
        break;
    case EDIT_RUN_ADD:
        item->level = reader_u8(r);
        item->number = reader_varint64(r);
        item->run.bytes = reader_varint64(r);
        item->run.entries = reader_varint64(r);
        item->run.first_sequence = reader_varint64(r);
        item->run.last_sequence = reader_varint64(r);
        item->run.first = get_key(r);
        item->run.last = get_key(r);
        get_refs(r, item);
        break;
    case EDIT_RUN_DROP:
        item->level = reader_u8(r);
        item->number = reader_varint64(r);
        item->run.first = get_key(r);
        break;
    case EDIT_TOMBSTONE:
    case EDIT_TOMBSTONE_DROP:
        item->number = reader_varint64(r);
        item->from = get_key(r);
        item->to = get_key(r);
        break;
    case EDIT_FLUSHED:
    case EDIT_DURABLE:
    case EDIT_NEXT_FILE:
    case EDIT_SEALED:
        item->number = reader_varint64(r);
        break;
    case EDIT_LOG:
        item->log.segment = reader_varint64(r);
        item->log.file = reader_varint64(r);
        item->log.size = reader_varint64(r);
        item->log.first_sequence = reader_varint64(r);
        break;
    default:
        reader_fail(r);
    }
    if (item->level >= STORE_LEVEL_COUNT) reader_fail(r);
    return reader_ok(r) ? STATUS_OK : STATUS_CORRUPT;
}
