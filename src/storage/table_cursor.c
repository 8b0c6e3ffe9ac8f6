// SPDX-License-Identifier: Apache-2.0
#include "storage/table_cursor.h"

#include "base/assert.h"
#include "base/mem.h"
#include "storage/filter.h"

/* ---- pieces ------------------------------------------------------------------------------------------ */

static void drop(struct shared_slice *slice) {
    shared_slice_unref(*slice);
    *slice = (struct shared_slice){0};
}

static bool handle_fits(const struct table *table, uint64_t offset, uint64_t size) {
    return offset <= table->size && size <= table->size - offset;
}

static bool is_job(const struct table_cursor *cursor) {
    return cursor->options.cache == NULL;
}

/* Reads [start, start + size) of a file; a job into memory of its own, which is used again. */
static enum status read_window(struct table_cursor *cursor, struct table_window *window,
                               struct block_source *source, uint64_t start, size_t size) {
    enum status status;
    if (is_job(cursor)) {
        /* What is held of the old bytes is borrowed from them. */
        if (window == &cursor->window) cursor->has_data = false;
        cursor->has_value = false;
        if (size > window->capacity) {
            mem_free(window->memory);
            window->memory = mem_alloc(size);
            window->capacity = size;
        }
        size_t read;
        status = io_file_read_at(source->file, window->memory, size, start, &read);
        if (status == STATUS_OK && read < size) status = STATUS_CORRUPT;
        window->bytes.bytes = slice_make(window->memory, status == STATUS_OK ? size : 0);
    } else {
        struct block_request request = {
            .source = source, .offset = start, .size = (uint32_t)size, .kind = BLOCK_RAW};
        struct shared_slice bytes;
        struct block_fetch *fetch = window == &cursor->window ? &cursor->fetch : &cursor->value_fetch;
        status = block_fetch_read(fetch, &request, &bytes);
        if (status != STATUS_OK) return status;
        drop(&window->bytes);
        window->bytes = bytes;
    }
    window->source = status == STATUS_OK ? source : NULL;
    window->offset = start;
    return status;
}

static bool window_has(const struct table_window *window, const struct block_source *source, uint64_t offset,
                       uint64_t size) {
    return window->source == source && offset >= window->offset &&
           offset - window->offset <= window->bytes.bytes.size &&
           size <= window->bytes.bytes.size - (offset - window->offset);
}

/* Makes the window cover the whole cluster. It goes on to the clusters behind as far as the size allows, but
 * not past the run. */
static enum status fill_window(struct table_cursor *cursor, const struct table_cluster *cluster) {
    const uint64_t own_end = cluster->block.offset + cluster->block.size + BLOCK_TRAILER_SIZE;
    uint64_t end = own_end;
    if (window_has(&cursor->window, &cursor->table->source, cluster->start, end - cluster->start))
        return STATUS_OK;
    struct block_cursor ahead = cursor->index;
    bool further = cursor->moving != TABLE_CURSOR_TO_LAST && cursor->alone != own_end;
    while (further && slice_compare(block_cursor_key(&ahead), cursor->bounds->last) < 0) {
        struct table_cluster next;
        if (block_cursor_next(&ahead) != STATUS_OK) break;
        if (!table_cluster_decode(ahead.entry.value, &next) || next.start != end) break;
        uint64_t next_end = next.block.offset + next.block.size + BLOCK_TRAILER_SIZE;
        if (next_end - cluster->start > TABLE_WINDOW_SIZE) break;
        end = next_end;
    }
    size_t size = end - cluster->start;
    if (!handle_fits(cursor->table, cluster->start, size) || size > UINT32_MAX) return STATUS_CORRUPT;
    enum status status = read_window(cursor, &cursor->window, &cursor->table->source, cluster->start, size);
    if (status != STATUS_IO || end == own_end) return status;
    cursor->alone = own_end; /* perhaps it is another cluster that cannot be read */
    return fill_window(cursor, cluster);
}

/* A piece of a window, checked. Borrowed from the window, with a reference where there are references, unless
 * it has to be inflated. */
static enum status from_window(struct table_cursor *cursor, const struct table_window *window,
                               const struct block_request *request, struct shared_slice *bytes) {
    size_t size = block_request_size(request);
    if (!window_has(window, request->source, request->offset, size)) return STATUS_CORRUPT;
    const uint8_t *at = window->bytes.bytes.data + (request->offset - window->offset);
    struct slice stored, contents;
    enum store_compression compression;
    enum status status = block_request_check(request, slice_make(at, size), &stored, &compression);
    if (status != STATUS_OK) return status;
    struct buffer *inflated = NULL;
    if (is_job(cursor)) {
        if (compression != STORE_COMPRESSION_NONE) { /* the block that was inflated there before goes */
            cursor->has_data = false;
            writer_clear(&cursor->inflated);
        }
        status = block_open(&cursor->codec, compression, stored, &cursor->inflated, NULL, &contents);
    } else {
        status = block_open(block_cache_codec(cursor->options.cache), compression, stored, NULL, &inflated,
                            &contents);
    }
    if (status != STATUS_OK) return status;
    if (inflated != NULL)
        *bytes = (struct shared_slice){contents, inflated};
    else
        *bytes = shared_slice_ref((struct shared_slice){contents, window->bytes.owner});
    return STATUS_OK;
}

/* ---- values in the log ------------------------------------------------------------------------------- */

/* The next entry of the data block behind `at` whose value lies in the log; false at the end of the block. */
static bool next_in_log(struct block_cursor *at) {
    enum status status;
    while ((status = block_cursor_next(at)) == STATUS_OK)
        if (at->entry.kind == ENTRY_PUT_LOG) return true;
    return false;
}

/* Takes in what follows as long as it lies behind `place` in the file. */
static uint64_t extent_size(struct block_cursor *ahead, const struct value_place *place, bool *more) {
    uint64_t size = place->size;
    *more = false;
    while (next_in_log(ahead)) {
        const struct value_place *next = &ahead->entry.place;
        *more = next->file != place->file || next->offset != place->offset + size ||
                size + next->size > TABLE_WINDOW_SIZE;
        if (*more) break;
        size += next->size;
    }
    return size;
}

/* Tells the kernel, once a block, where its values are, from the current entry on. */
static void hint_block(struct table_cursor *cursor) {
    if (cursor->hinted_offset == cursor->data_offset) return;
    cursor->hinted_offset = cursor->data_offset;
    struct block_cursor at = cursor->data;
    bool more = true;
    while (more) {
        struct value_place place = at.entry.place;
        uint64_t size = extent_size(&at, &place, &more);
        struct log_source *log = table_run_log(cursor->bounds, place.file);
        if (log == NULL || log_source_open(log, cursor->options.io, cursor->options.dir) != STATUS_OK) return;
        io_file_will_need(log->source.file, place.offset, size);
    }
}

static enum status log_request(const struct table_run_meta *run, const struct table_cursor_options *options,
                               const struct value_place *place, struct block_request *request) {
    struct log_source *log = table_run_log(run, place->file);
    if (log == NULL) return STATUS_CORRUPT; /* the manifest knows every segment that its tables refer to */
    *request = (struct block_request){.source = &log->source,
                                      .offset = place->offset,
                                      .size = place->size,
                                      .kind = BLOCK_VALUE,
                                      .crc = place->crc};
    return log_source_open(log, options->io, options->dir);
}

/* A value in the log, read with those that lie behind it. */
static enum status value_in_stretch(struct table_cursor *cursor, const struct block_request *request,
                                    struct shared_slice *bytes) {
    if (!window_has(&cursor->log_window, request->source, request->offset, request->size)) {
        bool forward = cursor->moving != TABLE_CURSOR_TO_LAST, more;
        uint64_t size = request->size;
        if (forward) {
            hint_block(cursor);
            struct block_cursor ahead = cursor->data;
            size = extent_size(&ahead, &cursor->data.entry.place, &more);
        }
        enum status status = read_window(cursor, &cursor->log_window, request->source, request->offset, size);
        if (status != STATUS_OK) return status;
    }
    return from_window(cursor, &cursor->log_window, request, bytes);
}

/* ---- blocks ------------------------------------------------------------------------------------------ */

static enum status load_index(struct table_cursor *cursor) {
    if (cursor->has_index) return STATUS_OK;
    struct table *table = cursor->table;
    struct block_request request = {.source = &table->source,
                                    .offset = table->index.offset,
                                    .size = table->index.size,
                                    .kind = BLOCK_CHECKED,
                                    .meta = true};
    if (!handle_fits(table, request.offset, block_request_size(&request))) return STATUS_CORRUPT;
    drop(&cursor->index_bytes); /* of an attempt that found it damaged */
    enum status status;
    if (is_job(cursor)) {
        if (cursor->index_memory == NULL) cursor->index_memory = mem_alloc(block_request_size(&request));
        status = block_read(&request, cursor->index_memory, &cursor->index_bytes.bytes);
    } else {
        status = block_fetch_read(&cursor->fetch, &request, &cursor->index_bytes);
    }
    if (status == STATUS_OK) status = block_cursor_init(&cursor->index, cursor->index_bytes.bytes);
    cursor->has_index = status == STATUS_OK;
    return status;
}

/* Loads the data block of the cluster the index stands at. */
static enum status load_data(struct table_cursor *cursor) {
    struct table_cluster cluster;
    if (cursor->index.entry.kind != ENTRY_PUT || !table_cluster_decode(cursor->index.entry.value, &cluster))
        return STATUS_CORRUPT;
    if (cursor->has_data && cursor->data_offset == cluster.block.offset) return STATUS_OK;
    struct block_request request = {.source = &cursor->table->source,
                                    .offset = cluster.block.offset,
                                    .size = cluster.block.size,
                                    .kind = BLOCK_DATA};
    if (!handle_fits(cursor->table, request.offset, block_request_size(&request))) return STATUS_CORRUPT;
    struct shared_slice bytes;
    enum status status;
    if (is_job(cursor) || cursor->options.sequential) {
        status = fill_window(cursor, &cluster);
        if (status == STATUS_OK) status = from_window(cursor, &cursor->window, &request, &bytes);
    } else {
        status = block_fetch_read(&cursor->fetch, &request, &bytes);
    }
    if (status != STATUS_OK) return status;
    drop(&cursor->data_bytes);
    cursor->data_bytes = bytes;
    cursor->data_offset = cluster.block.offset;
    cursor->at_last = slice_compare(block_cursor_key(&cursor->index), cursor->bounds->last) >= 0;
    status = block_cursor_init(&cursor->data, bytes.bytes);
    cursor->has_data = status == STATUS_OK;
    return status;
}

enum status table_cursor_value(struct table_cursor *cursor, struct shared_slice *value) {
    const struct block_entry *entry = &cursor->data.entry;
    ASSERT(cursor->positioned);
    if (entry->kind == ENTRY_PUT) {
        *value = (struct shared_slice){entry->value, cursor->data_bytes.owner};
        return STATUS_OK;
    }
    ASSERT(entry->kind == ENTRY_PUT_APART || entry->kind == ENTRY_PUT_LOG);
    bool in_log = entry->kind == ENTRY_PUT_LOG, stretch = is_job(cursor) || cursor->options.sequential;
    struct block_request request = {.source = &cursor->table->source,
                                    .offset = entry->place.offset,
                                    .size = entry->place.size,
                                    .kind = BLOCK_VALUE,
                                    .crc = entry->place.crc};
    enum status status = STATUS_OK;
    if (in_log)
        status = log_request(cursor->bounds, &cursor->options, &entry->place, &request);
    else if (!handle_fits(cursor->table, request.offset, request.size))
        status = STATUS_CORRUPT;
    if (status != STATUS_OK) return status;
    if (!cursor->has_value || cursor->value_offset != request.offset ||
        cursor->value_source != request.source) {
        struct shared_slice bytes;
        if (in_log && stretch)
            status = value_in_stretch(cursor, &request, &bytes);
        else if (stretch)
            status = from_window(cursor, &cursor->window, &request, &bytes);
        else
            status = block_fetch_read(&cursor->value_fetch, &request, &bytes);
        if (status != STATUS_OK) return status;
        drop(&cursor->value);
        cursor->value = bytes;
        cursor->value_offset = request.offset;
        cursor->value_source = request.source;
        cursor->has_value = true;
    }
    *value = cursor->value;
    return STATUS_OK;
}

/* ---- moves ------------------------------------------------------------------------------------------- */

/* Finishes a step to another cluster: its block may have to be read first. */
static enum status settle(struct table_cursor *cursor) {
    while (cursor->moving != TABLE_CURSOR_STILL) {
        bool forward = cursor->moving == TABLE_CURSOR_TO_FIRST;
        enum status status = load_data(cursor);
        if (status != STATUS_OK) return status;
        status = forward ? block_cursor_first(&cursor->data) : block_cursor_last(&cursor->data);
        if (status != STATUS_OK) return STATUS_CORRUPT; /* no cluster is empty */
        cursor->moving = TABLE_CURSOR_STILL;
        struct slice key = table_cursor_key(cursor);
        bool outside = forward ? slice_compare(key, cursor->bounds->last) > 0
                               : slice_compare(key, cursor->bounds->first) < 0;
        cursor->positioned = !outside;
        if (outside) return STATUS_END;
    }
    return STATUS_OK;
}

static enum status step_cluster(struct table_cursor *cursor, bool forward) {
    cursor->positioned = false;
    enum status status = forward ? block_cursor_next(&cursor->index) : block_cursor_prev(&cursor->index);
    cursor->at_cluster = status == STATUS_OK;
    if (status != STATUS_OK) return status;
    cursor->moving = forward ? TABLE_CURSOR_TO_FIRST : TABLE_CURSOR_TO_LAST;
    return settle(cursor);
}

enum status table_cursor_next(struct table_cursor *cursor) {
    if (cursor->moving != TABLE_CURSOR_STILL) return settle(cursor);
    ASSERT(cursor->positioned);
    /* The block of the last key may go on with another run. */
    if (cursor->at_last && slice_compare(table_cursor_key(cursor), cursor->bounds->last) >= 0) {
        cursor->positioned = false;
        return STATUS_END;
    }
    enum status status = block_cursor_next(&cursor->data);
    if (status == STATUS_END) return step_cluster(cursor, true);
    cursor->positioned = status == STATUS_OK;
    return status;
}

enum status table_cursor_prev(struct table_cursor *cursor) {
    if (cursor->moving != TABLE_CURSOR_STILL) return settle(cursor);
    ASSERT(cursor->positioned);
    if (slice_compare(table_cursor_key(cursor), cursor->bounds->first) <= 0) {
        cursor->positioned = false;
        return STATUS_END;
    }
    enum status status = block_cursor_prev(&cursor->data);
    if (status == STATUS_END) return step_cluster(cursor, false);
    cursor->positioned = status == STATUS_OK;
    return status;
}

/* Loads the cluster that holds `key`, a key inside the run. */
static enum status seek_cluster(struct table_cursor *cursor, struct slice key) {
    cursor->at_cluster = false;
    enum status status = load_index(cursor);
    if (status == STATUS_OK) status = block_cursor_seek(&cursor->index, key);
    cursor->at_cluster = status == STATUS_OK;
    if (status == STATUS_END) return STATUS_CORRUPT; /* the manifest says that the run reaches further */
    return status == STATUS_OK ? load_data(cursor) : status;
}

enum status table_cursor_seek(struct table_cursor *cursor, struct slice key) {
    cursor->moving = TABLE_CURSOR_STILL;
    cursor->positioned = false;
    if (slice_compare(key, cursor->bounds->last) > 0) return STATUS_END;
    if (slice_compare(key, cursor->bounds->first) < 0) key = cursor->bounds->first;
    enum status status = seek_cluster(cursor, key);
    if (status == STATUS_OK) status = block_cursor_seek(&cursor->data, key);
    if (status == STATUS_END) return STATUS_CORRUPT; /* the index said that this cluster reaches the key */
    cursor->positioned = status == STATUS_OK;
    return status;
}

enum status table_cursor_seek_prev(struct table_cursor *cursor, struct slice key) {
    cursor->moving = TABLE_CURSOR_STILL;
    cursor->positioned = false;
    if (slice_compare(key, cursor->bounds->first) < 0) return STATUS_END;
    if (slice_compare(key, cursor->bounds->last) > 0) key = cursor->bounds->last;
    enum status status = seek_cluster(cursor, key);
    if (status == STATUS_OK) status = block_cursor_seek_prev(&cursor->data, key);
    if (status == STATUS_END) return step_cluster(cursor, false); /* all of this cluster is larger */
    cursor->positioned = status == STATUS_OK;
    return status;
}

void table_cursor_gap(const struct table_cursor *cursor, struct writer *first, struct writer *last) {
    struct slice from = cursor->bounds->first, to = cursor->bounds->last;
    writer_clear(first);
    writer_clear(last);
    if (cursor->positioned) {
        from = to = table_cursor_key(cursor);
    } else if (cursor->has_index && cursor->at_cluster) {
        /* It begins right behind the last key of the cluster before. */
        struct slice end = block_cursor_key(&cursor->index);
        if (slice_compare(end, to) < 0) to = end;
        struct block_cursor before = cursor->index;
        if (block_cursor_prev(&before) == STATUS_OK &&
            slice_compare(block_cursor_key(&before), cursor->bounds->first) >= 0) {
            writer_bytes(first, block_cursor_key(&before));
            writer_u8(first, 0);
            from = SLICE_EMPTY;
        }
    }
    writer_bytes(first, from);
    writer_bytes(last, to);
}

/* ---- life -------------------------------------------------------------------------------------------- */

void table_cursor_init(struct table_cursor *cursor, struct table *table, const struct table_run_meta *bounds,
                       const struct table_cursor_options *options) {
    *cursor = (struct table_cursor){.options = *options, .table = table, .bounds = bounds};
    writer_init(&cursor->inflated);
    block_fetch_init(&cursor->fetch, options->cache, options->blocking, options->ready, options->ctx);
    block_fetch_init(&cursor->value_fetch, options->cache, options->blocking, options->ready, options->ctx);
}

void table_cursor_release(struct table_cursor *cursor) {
    block_fetch_release(&cursor->fetch);
    block_fetch_release(&cursor->value_fetch);
    drop(&cursor->index_bytes);
    drop(&cursor->data_bytes);
    drop(&cursor->value);
    drop(&cursor->window.bytes);
    drop(&cursor->log_window.bytes);
    mem_free(cursor->window.memory);
    mem_free(cursor->log_window.memory);
    mem_free(cursor->index_memory);
    writer_release(&cursor->inflated);
    block_codec_release(&cursor->codec);
    cursor->window = cursor->log_window = (struct table_window){0};
    cursor->index_memory = NULL;
}

/* ---- one key ----------------------------------------------------------------------------------------- */

void table_lookup_init(struct table_lookup *lookup, const struct table_cursor_options *options) {
    *lookup = (struct table_lookup){.options = *options};
    block_fetch_init(&lookup->fetch, options->cache, options->blocking, options->ready, options->ctx);
}

static void forget(struct table_lookup *lookup) {
    for (size_t i = 0; i < TABLE_LOOKUP_STEPS; i++)
        drop(&lookup->kept[i]);
    lookup->number = 0;
}

void table_lookup_release(struct table_lookup *lookup) {
    forget(lookup);
    block_fetch_release(&lookup->fetch);
}

/* Step `step` of a lookup: what an earlier call read is kept, so that every call gets further, however small
 * the cache. */
static enum status read_step(struct table_lookup *lookup, struct table *table, uint32_t step,
                             struct table_handle handle, struct slice *bytes) {
    struct shared_slice *kept = &lookup->kept[step];
    if (kept->owner == NULL) {
        struct block_request request = {.source = &table->source,
                                        .offset = handle.offset,
                                        .size = handle.size,
                                        .kind = step < 2 ? BLOCK_CHECKED : BLOCK_DATA,
                                        .meta = step < 2}; /* all but the data block */
        if (!handle_fits(table, request.offset, block_request_size(&request))) return STATUS_CORRUPT;
        enum status status = block_fetch_read(&lookup->fetch, &request, kept);
        if (status != STATUS_OK) return status;
    }
    *bytes = kept->bytes;
    return STATUS_OK;
}

/* A filter that cannot be read costs time, not answers. */
static enum status may_contain(struct table_lookup *lookup, struct table *table, uint64_t hash) {
    struct slice bytes;
    if (lookup->filter_damaged) return STATUS_OK;
    enum status status = read_step(lookup, table, 0, table->filter, &bytes);
    if (status == STATUS_CORRUPT || status == STATUS_IO) {
        lookup->filter_damaged = true;
        return STATUS_OK;
    }
    if (status != STATUS_OK) return status;
    return filter_may_contain(bytes, hash) ? STATUS_OK : STATUS_NOT_FOUND;
}

static enum status seek_in(struct slice block, struct slice key, struct block_cursor *cursor) {
    enum status status = block_cursor_init(cursor, block);
    return status == STATUS_OK ? block_cursor_seek(cursor, key) : status;
}

/* Finds the entry; *block is what holds it. */
static enum status find_entry(struct table_lookup *lookup, struct table *table, struct slice key,
                              uint64_t hash, struct block_entry *entry) {
    struct slice bytes;
    enum status status = may_contain(lookup, table, hash);
    if (status != STATUS_OK) return status;

    status = read_step(lookup, table, 1, table->index, &bytes);
    if (status != STATUS_OK) return status;
    struct block_cursor cursor;
    status = seek_in(bytes, key, &cursor);
    if (status == STATUS_END) return STATUS_NOT_FOUND;
    if (status != STATUS_OK) return status;
    struct table_cluster cluster;
    if (!table_cluster_decode(cursor.entry.value, &cluster)) return STATUS_CORRUPT;

    status = read_step(lookup, table, 2, cluster.block, &bytes);
    if (status != STATUS_OK) return status;
    status = seek_in(bytes, key, &cursor);
    if (status == STATUS_END) return STATUS_CORRUPT; /* the index said that this block reaches the key */
    if (status != STATUS_OK) return status;
    *entry = cursor.entry;
    return slice_equal(block_cursor_key(&cursor), key) ? STATUS_OK : STATUS_NOT_FOUND;
}

enum status table_lookup_run(struct table_lookup *lookup, struct table *table,
                             const struct table_run_meta *run, struct slice key, uint64_t hash,
                             struct block_entry *entry, struct shared_slice *value) {
    if (lookup->number != table->source.number) {
        forget(lookup);
        lookup->filter_damaged = false;
    }
    lookup->number = table->source.number;
    *value = (struct shared_slice){0};
    enum status status = find_entry(lookup, table, key, hash, entry);
    if (status == STATUS_OK && entry->kind == ENTRY_PUT) {
        *value = shared_slice_ref((struct shared_slice){entry->value, lookup->kept[2].owner});
    } else if (status == STATUS_OK && entry->kind != ENTRY_DELETE) {
        struct block_request request = {.source = &table->source,
                                        .offset = entry->place.offset,
                                        .size = entry->place.size,
                                        .kind = BLOCK_VALUE,
                                        .crc = entry->place.crc};
        if (entry->kind == ENTRY_PUT_LOG)
            status = log_request(run, &lookup->options, &entry->place, &request);
        else if (!handle_fits(table, request.offset, request.size))
            status = STATUS_CORRUPT;
        if (status == STATUS_OK) status = block_fetch_read(&lookup->fetch, &request, value);
    }
    if (status != STATUS_PENDING) forget(lookup);
    return status;
}
