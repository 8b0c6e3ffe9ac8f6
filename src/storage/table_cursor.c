// SPDX-License-Identifier: Apache-2.0
#include "storage/table_cursor.h"

#include "base/assert.h"
#include "base/mem.h"

/* Memory of windows comes in multiples of this, so that it fits the next one; it is also the first limit. */
#define WINDOW_STEP (64 * KIB)
/* How far ahead the kernel is told of what will be read, once something was missing, and then. */
#define AHEAD_SIZE_MIN (256 * KIB)
#define AHEAD_SIZE_MAX (4 * MIB)

/* ---- pieces ------------------------------------------------------------------------------------------ */

static void drop(struct shared_slice *slice) {
    shared_slice_unref(*slice);
    *slice = (struct shared_slice){0};
}

static bool is_job(const struct table_cursor *cursor) {
    return cursor->options.cache == NULL;
}

/* How much the next window may hold: a seek may be for little, a scan wants much. */
static size_t window_limit(const struct table_cursor *cursor, const struct table_window *window) {
    if (is_job(cursor)) return TABLE_WINDOW_SIZE;
    /* Of the table as much as it takes to look ahead: where the values in the log are. */
    size_t least = window == &cursor->window ? cursor->ahead.size / 8 : 0;
    size_t limit = MAX(MAX(window->limit, WINDOW_STEP), least), most = cursor->options.window;
    return most == 0 ? limit : MIN(limit, most);
}

/* Memory of the window that nobody else refers to is read into again: it is in the processor's cache. */
static struct buffer *spare_memory(struct table_cursor *cursor, struct table_window *window, size_t size) {
    struct buffer *owner = window->bytes.owner;
    if (owner != NULL && cursor->data_bytes.owner == owner) {
        drop(&cursor->data_bytes);
        cursor->has_data = false;
    }
    window->source = NULL;
    if (owner != NULL && owner->references == 1 && owner->size >= size) {
        window->bytes = (struct shared_slice){0};
        return owner;
    }
    drop(&window->bytes);
    bool small = size < WINDOW_STEP / 4; /* of whoever wants little, and may keep it for long */
    return buffer_new(small ? size : (size + WINDOW_STEP - 1) / WINDOW_STEP * WINDOW_STEP);
}

static enum status read_into_memory(struct table_cursor *cursor, struct table_window *window,
                                    struct block_source *source, uint64_t start, size_t size) {
    if (window == &cursor->window) cursor->has_data = false; /* it is borrowed from the old bytes */
    if (size > window->capacity) {
        mem_free(window->memory);
        window->memory = mem_alloc(size);
        window->capacity = size;
    }
    size_t read;
    enum status status = io_file_read_at(source->file, window->memory, size, start, &read);
    if (status == STATUS_OK && read < size) status = STATUS_CORRUPT;
    window->bytes.bytes = slice_make(window->memory, status == STATUS_OK ? size : 0);
    return status;
}

/* Reads [start, start + size) of a file; a job into memory of its own, which is used again. */
static enum status read_window(struct table_cursor *cursor, struct table_window *window,
                               struct block_source *source, uint64_t start, size_t size) {
    enum status status;
    if (is_job(cursor)) {
        status = read_into_memory(cursor, window, source, start, size);
    } else {
        struct block_request request = {
            .source = source, .offset = start, .size = (uint32_t)size, .kind = BLOCK_RAW};
        struct block_fetch *fetch = window == &cursor->window ? &cursor->fetch : &cursor->value_fetch;
        if (!block_fetch_waits_for(fetch, &request)) request.spare = spare_memory(cursor, window, size);
        struct shared_slice bytes;
        status = block_fetch_read(fetch, &request, &bytes);
        if (status != STATUS_OK) return status;
        drop(&window->bytes);
        window->bytes = bytes;
    }
    window->source = status == STATUS_OK ? source : NULL;
    window->offset = start;
    window->limit = MIN(window_limit(cursor, window) * 2, TABLE_WINDOW_SIZE);
    return status;
}

static bool window_has(const struct table_window *window, const struct block_source *source, uint64_t offset,
                       uint64_t size) {
    return window->source == source && offset >= window->offset &&
           offset - window->offset <= window->bytes.bytes.size &&
           size <= window->bytes.bytes.size - (offset - window->offset);
}

static bool is_behind(const struct value_place *next, const struct value_place *place) {
    return next->file == place->file && next->offset == place->offset + place->size;
}

/* The places of values as one stretch of a file, as far as `limit` lets it grow. */
static bool joins(struct value_place *stretch, const struct value_place *next, size_t limit) {
    if (!is_behind(next, stretch) || (uint64_t)stretch->size + next->size > limit) return false;
    stretch->size += next->size;
    return true;
}

/* ---- reading ahead ----------------------------------------------------------------------------------- */

/* A scan of what the page cache holds needs no reading ahead; one that missed something does. */
static void note_miss(struct table_cursor *cursor, enum status status) {
    if (status == STATUS_PENDING && cursor->ahead.size == 0) cursor->ahead.size = AHEAD_SIZE_MIN;
}

static void tell_more(struct table_ahead *ahead) {
    ahead->size = MIN(ahead->size * 2, AHEAD_SIZE_MAX);
}

/* Tells the kernel what of the table will be wanted, from `end` on. */
static void tell_table(struct table_cursor *cursor, uint64_t end) {
    struct table_ahead *ahead = &cursor->ahead;
    uint64_t told = MAX(ahead->table_end, end), to = MIN(end + ahead->size, cursor->table->size);
    if (cursor->backward || told + ahead->size / 2 >= to) return;
    if (cursor->table->source.file == NULL) return; /* closed for another meanwhile */
    io_file_will_need(cursor->table->source.file, told, to - told);
    ahead->table_end = to;
    tell_more(ahead);
}

/* The entries of the data block that the telling has reached, or of the one behind it; false: they are not
 * there, or belong to another run. Not checked: who is told of a place that is none reads nothing wrong. */
static bool ahead_entries(struct table_cursor *cursor, bool next, struct slice *entries) {
    struct table_ahead *ahead = &cursor->ahead;
    if (!next && ahead->block == cursor->data_offset) {
        *entries = cursor->data.entries;
        return true;
    }
    struct block_cursor at = cursor->index;
    struct table_cluster cluster;
    do {
        if (slice_compare(block_cursor_key(&at), cursor->bounds->last) >= 0) {
            ahead->ended = true;
            return false;
        }
        if (block_cursor_next(&at) != STATUS_OK || !table_cluster_decode(at.entry.value, &cluster))
            return false;
    } while (next ? cluster.block.offset <= ahead->block : cluster.block.offset < ahead->block);
    struct table_window *window = &cursor->window;
    size_t stored_size = cluster.block.size + BLOCK_TRAILER_SIZE;
    if (!window_has(window, &cursor->table->source, cluster.block.offset, stored_size)) return false;
    const uint8_t *bytes = window->bytes.bytes.data + (cluster.block.offset - window->offset);
    if (bytes[cluster.block.size] != STORE_COMPRESSION_NONE) return false;
    struct block_cursor block;
    if (block_cursor_init(&block, slice_make(bytes, cluster.block.size)) != STATUS_OK) return false;
    *entries = block.entries;
    if (next) {
        ahead->block = cluster.block.offset;
        ahead->at = 0;
    }
    return true;
}

/* Finds the segment; what was found last is mostly what is wanted. A job finds those open that it is meant to
 * read. */
static enum status find_log(struct table_cursor *cursor, uint64_t segment, struct block_source **source) {
    if (cursor->log == NULL || cursor->log->segment != segment)
        cursor->log = table_run_log(cursor->bounds, segment);
    /* The manifest knows every segment that its tables refer to. */
    if (cursor->log == NULL || (is_job(cursor) && cursor->log->source.file == NULL)) return STATUS_CORRUPT;
    *source = &cursor->log->source;
    return STATUS_OK;
}

/* A job may touch no file but those that are held for it: the one that it reads is. Stretches in others are
 * passed over. */
static bool tell_stretch(struct table_cursor *cursor, const struct value_place *stretch) {
    struct log_source *log = stretch->size == 0 ? NULL : table_run_log(cursor->bounds, stretch->file);
    if (log == NULL) return false;
    if (is_job(cursor) && log != cursor->log) return true;
    if (!is_job(cursor) && block_source_open(&log->source) != STATUS_OK) return false;
    io_file_will_need(log->source.file, stretch->offset, stretch->size);
    cursor->ahead.bytes += stretch->size;
    return true;
}

/* Tells the kernel where the values in the log are that will be wanted: it reads them side by side. */
static void tell_log(struct table_cursor *cursor) {
    struct table_ahead *ahead = &cursor->ahead;
    if (cursor->backward || ahead->bytes >= ahead->size / 2 || ahead->size == 0) return;
    bool behind = ahead->block < cursor->data_offset ||
                  (ahead->block == cursor->data_offset && ahead->at < cursor->data.at);
    if (behind) {
        ahead->block = cursor->data_offset;
        ahead->at = cursor->data.at;
        ahead->bytes = 0;
    }
    struct slice entries;
    struct value_place stretch = {.size = 0}, next;
    if (!ahead_entries(cursor, false, &entries)) return;
    while (ahead->bytes + stretch.size < ahead->size) {
        if (!block_next_place(entries, ENTRY_PUT_LOG, &ahead->at, &next)) {
            if (!ahead_entries(cursor, true, &entries)) break;
        } else if (!joins(&stretch, &next, TABLE_WINDOW_SIZE)) {
            if (stretch.size > 0 && !tell_stretch(cursor, &stretch)) return;
            stretch = next;
        }
    }
    (void)tell_stretch(cursor, &stretch);
    tell_more(ahead);
}

/* ---- windows ----------------------------------------------------------------------------------------- */

/* Makes the window cover the whole cluster. It goes on to the clusters behind as far as the limit allows, but
 * not past the run. */
static enum status fill_window(struct table_cursor *cursor, const struct table_cluster *cluster) {
    const uint64_t own_end = cluster->block.offset + cluster->block.size + BLOCK_TRAILER_SIZE;
    uint64_t end = own_end;
    if (window_has(&cursor->window, &cursor->table->source, cluster->start, end - cluster->start))
        return STATUS_OK;
    size_t limit = window_limit(cursor, &cursor->window);
    struct block_cursor ahead = cursor->index;
    bool further = !cursor->backward && cursor->alone != own_end;
    while (further && slice_compare(block_cursor_key(&ahead), cursor->bounds->last) < 0) {
        struct table_cluster next;
        if (block_cursor_next(&ahead) != STATUS_OK) break;
        if (!table_cluster_decode(ahead.entry.value, &next) || next.start != end) break;
        uint64_t next_end = next.block.offset + next.block.size + BLOCK_TRAILER_SIZE;
        if (next_end - cluster->start > limit) break;
        end = next_end;
    }
    size_t size = end - cluster->start;
    if (!table_holds(cursor->table, cluster->start, size) || size > UINT32_MAX) return STATUS_CORRUPT;
    enum status status = read_window(cursor, &cursor->window, &cursor->table->source, cluster->start, size);
    note_miss(cursor, status);
    tell_table(cursor, end);
    if (status != STATUS_IO || end == own_end) return status;
    cursor->alone = own_end; /* perhaps it is another cluster that cannot be read */
    return fill_window(cursor, cluster);
}

/* A value in a window that has it, checked; borrowed from the window. */
static enum status value_from_window(const struct table_window *window, const struct block_request *request,
                                     struct shared_slice *bytes) {
    const uint8_t *at = window->bytes.bytes.data + (request->offset - window->offset);
    enum store_compression compression;
    bytes->owner = window->bytes.owner;
    return block_request_check(request, slice_make(at, request->size), &bytes->bytes, &compression);
}

/* A data block in the window of the table, checked, with a reference where there are references; borrowed
 * from the window unless it has to be inflated. */
static enum status block_from_window(struct table_cursor *cursor, const struct block_request *request,
                                     struct shared_slice *bytes) {
    const struct table_window *window = &cursor->window;
    const uint8_t *at = window->bytes.bytes.data + (request->offset - window->offset);
    struct slice stored, contents;
    enum store_compression compression;
    enum status status = block_request_check(request, slice_make(at, block_request_size(request)), &stored,
                                             &compression);
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

/* ---- values apart and in the log --------------------------------------------------------------------- */

/* The current value with those that lie behind it, or, backwards, before it, among those of its block. */
static struct value_place stretch_of(const struct table_cursor *cursor, enum entry_kind kind, size_t limit) {
    const struct block_cursor *data = &cursor->data;
    struct value_place stretch = data->entry.place, next;
    size_t offset = cursor->backward ? 0 : data->next;
    if (!cursor->backward) {
        while (block_next_place(data->entries, kind, &offset, &next) && joins(&stretch, &next, limit))
            continue;
        return stretch;
    }
    /* Found from the first entry on, the stretch begins anew wherever something else lies between. */
    bool begun = false;
    while (offset <= data->at && block_next_place(data->entries, kind, &offset, &next)) {
        if (begun && joins(&stretch, &next, UINT32_MAX)) continue;
        stretch = next;
        begun = true;
    }
    uint32_t size = MAX((uint32_t)limit, data->entry.place.size);
    if (stretch.size > size) { /* its end is what is wanted first */
        stretch.offset += stretch.size - size;
        stretch.size = size;
    }
    return stretch;
}

/* A value apart or in the log, read with those beside it. */
static enum status value_in_stretch(struct table_cursor *cursor, const struct block_request *request,
                                    struct shared_slice *bytes) {
    struct table_window *window = &cursor->window; /* of the whole cluster, when a scan came to it */
    if (window_has(window, request->source, request->offset, request->size))
        return value_from_window(window, request, bytes);
    window = &cursor->log_window;
    while (!window_has(window, request->source, request->offset, request->size)) {
        enum entry_kind kind = cursor->data.entry.kind;
        struct value_place stretch = stretch_of(cursor, kind,
                                                cursor->careful ? 0 : window_limit(cursor, window));
        if (is_job(cursor) && kind == ENTRY_PUT_LOG) tell_log(cursor);
        enum status status = read_window(cursor, window, request->source, stretch.offset, stretch.size);
        note_miss(cursor, status);
        if (!is_job(cursor) && kind == ENTRY_PUT_LOG) tell_log(cursor);
        bool retry = status == STATUS_IO && stretch.size > request->size;
        if (retry) {
            cursor->careful = true;
            continue;
        }
        if (status != STATUS_OK) return status;
        cursor->ahead.bytes -= MIN(cursor->ahead.bytes, (uint64_t)stretch.size);
        if (!window_has(window, request->source, request->offset, request->size)) return STATUS_CORRUPT;
    }
    return value_from_window(window, request, bytes);
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
    if (!table_holds(table, request.offset, block_request_size(&request))) return STATUS_CORRUPT;
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
    if (!table_holds(cursor->table, request.offset, block_request_size(&request))) return STATUS_CORRUPT;
    struct shared_slice bytes;
    enum status status;
    /* Where a seek goes is mostly there already, and may be all that is wanted; on a slow disk a scan begins.
     */
    bool scan = cursor->options.sequential &&
                (cursor->moving != TABLE_CURSOR_STILL || cursor->ahead.size > 0);
    if (is_job(cursor) || scan) {
        status = fill_window(cursor, &cluster);
        if (status == STATUS_OK) status = block_from_window(cursor, &request, &bytes);
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
    bool in_log = entry->kind == ENTRY_PUT_LOG;
    struct block_request request = {.source = &cursor->table->source,
                                    .offset = entry->place.offset,
                                    .size = entry->place.size,
                                    .kind = BLOCK_VALUE,
                                    .crc = entry->place.crc};
    enum status status = STATUS_OK;
    if (in_log)
        status = find_log(cursor, entry->place.file, &request.source);
    else if (!table_holds(cursor->table, request.offset, request.size))
        status = STATUS_CORRUPT;
    if (status != STATUS_OK) return status;
    if (is_job(cursor) || cursor->options.sequential) return value_in_stretch(cursor, &request, value);
    if (!cursor->has_value || cursor->value_offset != request.offset ||
        cursor->value_source != request.source) {
        struct shared_slice bytes;
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
    cursor->backward = false;
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
    cursor->backward = true;
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

static void begin_seek(struct table_cursor *cursor, bool backward) {
    cursor->moving = TABLE_CURSOR_STILL;
    cursor->positioned = false;
    cursor->backward = backward;
    cursor->careful = false;
    cursor->ahead.block = cursor->ahead.bytes = 0;
    cursor->ahead.ended = false;
}

enum status table_cursor_seek(struct table_cursor *cursor, struct slice key) {
    begin_seek(cursor, false);
    if (slice_compare(key, cursor->bounds->last) > 0) return STATUS_END;
    if (slice_compare(key, cursor->bounds->first) < 0) key = cursor->bounds->first;
    enum status status = seek_cluster(cursor, key);
    if (status == STATUS_OK) status = block_cursor_seek(&cursor->data, key);
    if (status == STATUS_END) return STATUS_CORRUPT; /* the index said that this cluster reaches the key */
    cursor->positioned = status == STATUS_OK;
    return status;
}

enum status table_cursor_seek_prev(struct table_cursor *cursor, struct slice key) {
    begin_seek(cursor, true);
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
    /* What a job reads is seldom in the page cache. */
    cursor->ahead.size = is_job(cursor) ? AHEAD_SIZE_MIN : MIN(options->ahead, AHEAD_SIZE_MAX);
    block_fetch_init(&cursor->fetch, options->cache, options->blocking, options->ready, options->ctx);
    block_fetch_init(&cursor->value_fetch, options->cache, options->blocking, options->ready, options->ctx);
}

void table_cursor_tell(struct table_cursor *cursor, void (*ready)(void *ctx), void *ctx) {
    cursor->fetch.ready = cursor->value_fetch.ready = cursor->options.ready = ready;
    cursor->fetch.ctx = cursor->value_fetch.ctx = cursor->options.ctx = ctx;
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
