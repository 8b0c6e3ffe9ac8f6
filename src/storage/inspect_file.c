// SPDX-License-Identifier: Apache-2.0
#include "storage/inspect_file.h"

#include <inttypes.h>
#include <stdio.h>

#include "storage/manifest.h"
#include "storage/wal_reader.h"

/* ---- log segments ------------------------------------------------------------------------------------ */

struct log_view {
    struct inspect_out *out;
    uint64_t changes, puts, deletes, range_deletes, key_bytes, value_bytes;
};

static bool is_put(const struct wal_change *change) {
    return change->kind == ENTRY_PUT || change->kind == ENTRY_PUT_APART;
}

static void show_change(struct log_view *view, uint64_t sequence, const struct wal_change_walk *walk,
                        const struct wal_change *change) {
    if (!view->out->options->entries) return;
    inspect_out_begin_row(view->out);
    inspect_out_number(view->out, "sequence", sequence);
    inspect_out_text(view->out, "kind",
                     change->kind == ENTRY_PUT         ? "put"
                     : change->kind == ENTRY_PUT_APART ? "put-apart"
                     : change->kind == ENTRY_DELETE    ? "delete"
                                                       : "delete-range");
    inspect_out_bytes(view->out, "key", change->key);
    if (change->kind == ENTRY_DELETE_RANGE) inspect_out_bytes(view->out, "to", change->to);
    if (is_put(change)) inspect_out_number(view->out, "size", walk->value.size);
    if (change->kind == ENTRY_PUT_APART) inspect_out_number(view->out, "offset", walk->value_offset);
    inspect_out_end_row(view->out);
}

static enum status show_record(void *ctx, const struct wal_record *record) {
    struct log_view *view = ctx;
    struct wal_change_walk walk = wal_change_walk_make(record);
    struct wal_change change;
    uint64_t sequence = record->header.first_sequence;
    while (wal_change_walk_next(&walk, &change) == STATUS_OK) {
        view->changes++;
        view->puts += is_put(&change);
        view->deletes += change.kind == ENTRY_DELETE;
        view->range_deletes += change.kind == ENTRY_DELETE_RANGE;
        view->key_bytes += change.key.size + change.to.size;
        view->value_bytes += walk.value.size;
        show_change(view, sequence++, &walk, &change);
    }
    return STATUS_OK;
}

static void show_log_totals(struct log_view *view, const struct wal_reader_result *result) {
    struct inspect_out *out = view->out;
    inspect_out_begin(out, "totals");
    inspect_out_number(out, "groups", result->groups);
    inspect_out_number(out, "records", result->records);
    inspect_out_number(out, "changes", view->changes);
    inspect_out_number(out, "puts", view->puts);
    inspect_out_number(out, "deletes", view->deletes);
    inspect_out_number(out, "range_deletes", view->range_deletes);
    inspect_out_number(out, "key_bytes", view->key_bytes);
    inspect_out_number(out, "value_bytes", view->value_bytes);
    inspect_out_number(out, "next_sequence", result->next_sequence);
    inspect_out_number(out, "end", result->end);
    inspect_out_bool(out, "unfinished_group_at_end", result->torn);
    inspect_out_end(out);
}

enum status inspect_log(struct io *io, const char *path, const char *name, uint64_t end_known,
                        struct inspect_out *out, uint64_t *next_sequence) {
    struct io_file *file;
    *next_sequence = 0;
    enum status status = io_file_open(io, path, IO_OPEN_READ, &file);
    if (status != STATUS_OK) return status;
    struct wal_segment_header header;
    struct log_view view = {.out = out};
    struct wal_reader_result result = {0};
    struct diagnostic diagnostic = {{0}};
    inspect_out_text(out, "type", "log segment");
    status = wal_reader_header(file, &header);
    if (status == STATUS_OK) {
        inspect_out_number(out, "segment", header.segment);
        inspect_out_number(out, "store", header.store_id);
        inspect_out_number(out, "bytes", header.size);
        inspect_out_number(out, "first_sequence", header.first_sequence);
        inspect_out_number(out, "previous_end", header.previous_end);
        if (out->options->entries) inspect_out_begin_list(out, "changes");
        struct wal_reader_options options = {
            .end_known = end_known, .values = true, .record = show_record, .ctx = &view};
        status = wal_reader_run(file, &header, &options, &result, &diagnostic);
        if (out->options->entries) inspect_out_end_list(out);
        show_log_totals(&view, &result);
        *next_sequence = result.next_sequence;
    } else if (status == STATUS_MALFORMED) {
        inspect_out_text(out, "state", "no header: a spare, not yet used, or damaged in its first block");
        status = STATUS_OK;
    }
    io_file_close(file);
    inspect_out_begin_list(out, "problems");
    if (status != STATUS_OK)
        inspect_out_problem(out, name, result.end,
                            diagnostic.text[0] != 0 ? diagnostic.text : status_text(status));
    inspect_out_end_list(out);
    return STATUS_OK;
}

/* ---- manifest ---------------------------------------------------------------------------------------- */

static void show_refs(struct inspect_out *out, const struct edit_item *item) {
    struct reader refs = reader_make(item->refs);
    struct table_ref ref = {0};
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < item->run.ref_count; i++) {
        ref = edit_ref_next(&refs, ref.segment);
        if (i == 0) inspect_out_number(out, "first_log_segment", ref.segment);
        bytes += ref.bytes;
    }
    if (item->run.ref_count == 0) return;
    inspect_out_number(out, "last_log_segment", ref.segment);
    inspect_out_number(out, "log_bytes", bytes);
    inspect_out_number(out, "log_extents", item->run.extents);
}

static void show_item(struct inspect_out *out, const struct edit_item *item) {
    static const char *names[] = {
        NULL,      "table",   "run-add",   "run-drop", "tombstone", "tombstone-drop",
        "flushed", "durable", "next-file", "log",      "sealed"};
    inspect_out_begin_row(out);
    inspect_out_text(out, "item", names[item->kind]);
    switch (item->kind) {
    case EDIT_TABLE:
        inspect_out_number(out, "number", item->table.number);
        inspect_out_number(out, "bytes", item->table.size);
        inspect_out_number(out, "entries", item->table.entries);
        break;
    case EDIT_RUN_ADD:
    case EDIT_RUN_DROP:
        inspect_out_number(out, "level", item->level);
        inspect_out_number(out, "table", item->number);
        inspect_out_bytes(out, "first", item->run.first);
        if (item->kind == EDIT_RUN_DROP) break;
        inspect_out_bytes(out, "last", item->run.last);
        inspect_out_number(out, "bytes", item->run.bytes);
        inspect_out_number(out, "entries", item->run.entries);
        inspect_out_number(out, "first_sequence", item->run.first_sequence);
        inspect_out_number(out, "last_sequence", item->run.last_sequence);
        show_refs(out, item);
        break;
    case EDIT_TOMBSTONE:
    case EDIT_TOMBSTONE_DROP:
        inspect_out_bytes(out, "from", item->from);
        inspect_out_bytes(out, "to", item->to);
        inspect_out_number(out, "sequence", item->number);
        break;
    case EDIT_LOG:
        inspect_out_number(out, "segment", item->log.segment);
        inspect_out_number(out, "file", item->log.file);
        inspect_out_number(out, "bytes", item->log.size);
        inspect_out_number(out, "first_sequence", item->log.first_sequence);
        break;
    default:
        inspect_out_number(out, "value", item->number);
    }
    inspect_out_end_row(out);
}

static enum status show_edit(void *ctx, uint64_t offset, struct slice edit) {
    struct inspect_out *out = ctx;
    inspect_out_begin(out, out->options->json ? NULL : "record");
    inspect_out_number(out, "offset", offset);
    inspect_out_number(out, "bytes", edit.size);
    struct reader reader = reader_make(edit);
    struct edit_item item;
    enum status status;
    inspect_out_begin_list(out, "items");
    while ((status = edit_next(&reader, &item)) == STATUS_OK)
        show_item(out, &item);
    inspect_out_end_list(out);
    if (status != STATUS_END) inspect_out_text(out, "damaged", "an item makes no sense");
    inspect_out_end(out);
    return STATUS_OK;
}

enum status inspect_manifest(struct io *io, const char *dir, struct inspect_out *out) {
    struct manifest_contents contents;
    struct diagnostic diagnostic = {{0}};
    inspect_out_text(out, "type", "manifest");
    inspect_out_begin_list(out, "records");
    enum status status = manifest_read(io, dir, show_edit, out, &contents, &diagnostic);
    inspect_out_end_list(out);
    inspect_out_number(out, "store", contents.header.store_id);
    inspect_out_number(out, "generation", contents.header.generation);
    inspect_out_number(out, "end", contents.end);
    inspect_out_bool(out, "unfinished_record_at_end", contents.torn);
    inspect_out_begin_list(out, "problems");
    if (status != STATUS_OK)
        inspect_out_problem(out, "MANIFEST", contents.end,
                            diagnostic.text[0] != 0 ? diagnostic.text : status_text(status));
    inspect_out_end_list(out);
    return STATUS_OK;
}
