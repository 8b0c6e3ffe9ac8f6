// SPDX-License-Identifier: Apache-2.0
#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "storage/filter.h"
#include "storage/inspect_file.h"
#include "storage/table.h"
#include "storage/version.h"

struct view {
    struct inspect_out *out;
    const char *name;
    struct block_source source;
    struct io *io;
    const char *dir;                /* to open segments of the log */
    const struct version_set *logs; /* NULL: values in the log are not looked at */
    uint64_t size;
    struct table_footer footer;
    uint8_t *index, *filter, *value;
    struct writer block; /* the one being shown */
    struct block_codec codec;
    uint64_t compressed[STORE_COMPRESSION_ZSTD + 1]; /* blocks */
    uint64_t block_bytes, stored_block_bytes;
    struct slice index_bytes, filter_bytes;
    uint64_t block_offset; /* of the block being shown */
    uint64_t clusters, entries, deletes, apart, logged, value_bytes;
    struct writer last_key; /* of the entry before */
    bool has_last;
    struct writer problems; /* collected while other things are printed: offset u64, text, NUL */
    uint64_t problem_count;
};

static void unpinned(struct block_source *source) {
    MAYBE(source->pins > 0);
}

static void problem(struct view *view, uint64_t offset, const char *text) {
    writer_le64(&view->problems, offset);
    writer_text(&view->problems, text);
    writer_u8(&view->problems, 0);
    view->problem_count++;
}

static void problem_range(struct view *view, uint64_t offset, const char *text, struct slice after,
                          struct slice last) {
    char line[384];
    char from[80], to[80];
    snprintf(line, sizeof line, "%s; keys after %s up to %s cannot be read", text,
             after.size == 0 ? "the start" : log_quote(from, sizeof from, after),
             log_quote(to, sizeof to, last));
    problem(view, offset, line);
}

static bool block_fits(const struct view *view, const struct block_request *request) {
    size_t size = block_request_size(request);
    return request->offset <= view->size && size <= view->size - request->offset;
}

static enum status read_block(struct view *view, struct table_handle handle, uint8_t **memory,
                              struct slice *contents) {
    struct block_request request = {
        .source = &view->source, .offset = handle.offset, .size = handle.size, .kind = BLOCK_CHECKED};
    if (!block_fits(view, &request)) return STATUS_CORRUPT;
    *memory = mem_realloc(*memory, block_request_size(&request));
    return block_read(&request, *memory, contents);
}

static enum status read_data(struct view *view, struct table_handle handle, struct slice *contents) {
    struct block_request request = {
        .source = &view->source, .offset = handle.offset, .size = handle.size, .kind = BLOCK_DATA};
    if (!block_fits(view, &request)) return STATUS_CORRUPT;
    enum store_compression compression;
    enum status status = block_read_data(&request, &view->codec, &view->block, contents, &compression);
    if (status != STATUS_OK) return status;
    view->compressed[compression]++;
    view->block_bytes += contents->size;
    view->stored_block_bytes += handle.size;
    return STATUS_OK;
}

static void value_problem(struct view *view, const struct block_cursor *cursor, const char *what) {
    char line[200], key[80];
    snprintf(line, sizeof line, "the value of key %s %s",
             log_quote(key, sizeof key, block_cursor_key(cursor)), what);
    problem(view, cursor->entry.place.offset, line);
}

/* A value that stands in a segment of the log. */
static void check_logged_value(struct view *view, const struct block_cursor *cursor) {
    const struct value_place *place = &cursor->entry.place;
    view->logged++;
    if (view->logs == NULL || !view->out->options->verify) return;
    struct log_source *log = version_set_log(view->logs, place->file);
    /* An entry of a run that is gone may refer to a segment that is gone, too. */
    if (log == NULL || log->source.number == 0) return;
    struct block_request request = {.source = &log->source,
                                    .offset = place->offset,
                                    .size = place->size,
                                    .kind = BLOCK_VALUE,
                                    .crc = place->crc};
    struct slice contents;
    view->value = mem_realloc(view->value, MAX(place->size, 1u));
    enum status status = block_source_open(&log->source);
    if (status == STATUS_OK) status = block_read(&request, view->value, &contents);
    if (status != STATUS_OK)
        value_problem(view, cursor, "fails its checksum in the log segment that holds it");
}

static void check_value(struct view *view, const struct block_cursor *cursor) {
    const struct value_place *place = &cursor->entry.place;
    view->apart++;
    struct block_request request = {.source = &view->source,
                                    .offset = place->offset,
                                    .size = place->size,
                                    .kind = BLOCK_VALUE,
                                    .crc = place->crc};
    struct slice contents;
    enum status status = STATUS_CORRUPT;
    if (place->offset <= view->size && place->size <= view->size - place->offset) {
        if (!view->out->options->verify) return;
        view->value = mem_realloc(view->value, MAX(place->size, 1u));
        status = block_read(&request, view->value, &contents);
    }
    if (status == STATUS_OK) return;
    value_problem(view, cursor, "fails its checksum");
}

static const char *kind_name(enum entry_kind kind) {
    switch (kind) {
    case ENTRY_DELETE:
        return "delete";
    case ENTRY_PUT:
        return "put";
    case ENTRY_PUT_APART:
        return "put-apart";
    case ENTRY_PUT_LOG:
        return "put-log";
    case ENTRY_DELETE_RANGE:
        return "delete-range";
    }
    return "unknown";
}

static void show_entry(struct view *view, const struct block_cursor *cursor) {
    const struct block_entry *entry = &cursor->entry;
    struct slice key = block_cursor_key(cursor);
    size_t size = entry->kind == ENTRY_PUT ? entry->value.size : entry->place.size;
    view->entries++;
    view->deletes += entry->kind == ENTRY_DELETE;
    view->value_bytes += size;
    if (view->has_last && slice_compare(writer_slice(&view->last_key), key) >= 0)
        problem(view, view->block_offset, "keys are not in order");
    writer_clear(&view->last_key);
    writer_bytes(&view->last_key, key);
    view->has_last = true;
    if (!filter_may_contain(view->filter_bytes, filter_hash(key)))
        problem(view, view->footer.filter.offset, "the filter denies a key that is there");
    if (entry->kind == ENTRY_PUT_APART) check_value(view, cursor);
    if (entry->kind == ENTRY_PUT_LOG) check_logged_value(view, cursor);
    if (!view->out->options->entries) return;
    inspect_out_begin_row(view->out);
    inspect_out_bytes(view->out, "key", key);
    inspect_out_text(view->out, "kind", kind_name(entry->kind));
    inspect_out_number(view->out, "sequence", entry->sequence);
    inspect_out_number(view->out, "size", size);
    inspect_out_end_row(view->out);
}

static void show_cluster(struct view *view, struct slice last_key, const struct table_cluster *cluster,
                         struct slice *before) {
    struct slice contents;
    view->clusters++;
    view->block_offset = cluster->block.offset;
    enum status status = read_data(view, cluster->block, &contents);
    struct block_cursor cursor;
    if (status == STATUS_OK) status = block_cursor_init(&cursor, contents);
    if (status == STATUS_OK) status = block_cursor_first(&cursor);
    while (status == STATUS_OK) {
        show_entry(view, &cursor);
        status = block_cursor_next(&cursor);
    }
    if (status != STATUS_END)
        problem_range(view, cluster->block.offset,
                      status == STATUS_IO ? "a data block cannot be read" : "a data block fails its checksum",
                      *before, last_key);
}

static void show_clusters(struct view *view) {
    struct block_cursor index;
    enum status status = block_cursor_init(&index, view->index_bytes);
    if (status == STATUS_OK) status = block_cursor_first(&index);
    struct writer before;
    writer_init(&before);
    while (status == STATUS_OK) {
        struct table_cluster cluster;
        struct slice last = writer_slice(&before);
        if (index.entry.kind == ENTRY_PUT && table_cluster_decode(index.entry.value, &cluster))
            show_cluster(view, block_cursor_key(&index), &cluster, &last);
        else
            problem(view, view->footer.index.offset, "an index entry makes no sense");
        writer_clear(&before);
        writer_bytes(&before, block_cursor_key(&index));
        status = block_cursor_next(&index);
    }
    if (status != STATUS_END) problem(view, view->footer.index.offset, "the index block makes no sense");
    writer_release(&before);
}

static void show_contents(struct view *view) {
    struct inspect_out *out = view->out;
    inspect_out_number(out, "number", view->footer.number);
    inspect_out_number(out, "store", view->footer.store_id);
    inspect_out_number(out, "bytes", view->size);
    uint64_t number;
    if (layout_parse(view->name, &number) == LAYOUT_TABLE && number != view->footer.number)
        problem(view, view->size - TABLE_FOOTER_SIZE, "the footer belongs to another table");
    if (read_block(view, view->footer.filter, &view->filter, &view->filter_bytes) != STATUS_OK) {
        problem(view, view->footer.filter.offset, "the filter block fails its checksum");
        view->filter_bytes = SLICE_EMPTY;
    }
    uint8_t *properties = NULL;
    struct slice ignored;
    if (read_block(view, view->footer.properties, &properties, &ignored) != STATUS_OK)
        problem(view, view->footer.properties.offset, "the properties fail their checksum");
    mem_free(properties);
    if (read_block(view, view->footer.index, &view->index, &view->index_bytes) != STATUS_OK) {
        problem(view, view->footer.index.offset, "the index block fails its checksum; no entry can be found");
    } else {
        if (out->options->entries) inspect_out_begin_list(out, "entries");
        show_clusters(view);
        if (out->options->entries) inspect_out_end_list(out);
        if (view->problem_count == 0 && view->entries != view->footer.entries)
            problem(view, view->size - TABLE_FOOTER_SIZE, "the footer counts other entries than there are");
    }
    inspect_out_begin(out, "totals");
    inspect_out_number(out, "clusters", view->clusters);
    inspect_out_number(out, "blocks_lz4", view->compressed[STORE_COMPRESSION_LZ4]);
    inspect_out_number(out, "blocks_zstd", view->compressed[STORE_COMPRESSION_ZSTD]);
    inspect_out_number(out, "block_bytes", view->block_bytes);
    inspect_out_number(out, "block_bytes_stored", view->stored_block_bytes);
    inspect_out_number(out, "entries", view->entries);
    inspect_out_number(out, "deletes", view->deletes);
    inspect_out_number(out, "values_apart", view->apart);
    inspect_out_number(out, "values_in_log", view->logged);
    inspect_out_number(out, "value_bytes", view->value_bytes);
    inspect_out_number(out, "index_bytes", view->footer.index.size);
    inspect_out_number(out, "filter_bytes", view->footer.filter.size);
    inspect_out_end(out);
}

static void show_problems(struct view *view) {
    inspect_out_begin_list(view->out, "problems");
    struct reader r = reader_make(writer_slice(&view->problems));
    while (reader_remaining(&r) > 0) {
        uint64_t offset = reader_le64(&r);
        const char *text = (const char *)r.pos;
        reader_skip(&r, strlen(text) + 1);
        inspect_out_problem(view->out, view->name, offset, text);
    }
    inspect_out_end_list(view->out);
}

enum status inspect_table(struct io *io, const char *path, const char *name, const char *dir,
                          const struct version_set *logs, struct inspect_out *out) {
    struct view view = {
        .out = out, .name = name, .source = {.unpinned = unpinned}, .io = io, .dir = dir, .logs = logs};
    enum status status = io_file_open(io, path, IO_OPEN_READ, &view.source.file);
    if (status != STATUS_OK) return status;
    writer_init(&view.block);
    writer_init(&view.last_key);
    writer_init(&view.problems);
    uint8_t footer[TABLE_FOOTER_SIZE];
    size_t read = 0;
    status = io_file_size(view.source.file, &view.size);
    uint64_t at = view.size > TABLE_FOOTER_SIZE ? view.size - TABLE_FOOTER_SIZE : 0;
    if (status == STATUS_OK) status = io_file_read_at(view.source.file, footer, sizeof footer, at, &read);
    inspect_out_text(out, "type", "table");
    if (status == STATUS_OK) {
        status = table_footer_decode(slice_make(footer, read), &view.footer);
        view.source.number = view.footer.number;
        if (status == STATUS_OK)
            show_contents(&view);
        else
            problem(&view, at,
                    status == STATUS_VERSION     ? "written by a newer Sentinel"
                    : status == STATUS_MALFORMED ? "no footer: the table is cut off or not a table"
                                                 : "the footer fails its checksum");
    } else {
        problem(&view, at, "the footer cannot be read");
    }
    show_problems(&view);
    io_file_close(view.source.file);
    writer_release(&view.last_key);
    writer_release(&view.problems);
    mem_free(view.index);
    mem_free(view.filter);
    writer_release(&view.block);
    block_codec_release(&view.codec);
    mem_free(view.value);
    return STATUS_OK;
}
