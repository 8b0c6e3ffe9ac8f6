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

/* A job reads into memory of its own, reused for every window. */
static enum status job_window(struct table_cursor *cursor, uint64_t start, size_t size) {
    if (size > cursor->window_capacity) {
        mem_free(cursor->window_memory);
        cursor->window_memory = mem_alloc(size);
        cursor->window_capacity = size;
    }
    size_t read;
    enum status status = io_file_read_at(cursor->table->source.file, cursor->window_memory, size, start,
                                         &read);
    if (status == STATUS_OK && read < size) status = STATUS_CORRUPT;
    cursor->window.bytes = slice_make(cursor->window_memory, status == STATUS_OK ? size : 0);
    cursor->window_offset = start;
    return status;
}

/* Makes the window cover the whole cluster. It goes on to the clusters behind as far as the size allows, but
 * not past the run. */
static enum status fill_window(struct table_cursor *cursor, const struct table_cluster *cluster) {
    uint64_t end = cluster->block.offset + cluster->block.size + BLOCK_TRAILER_SIZE;
    if (cluster->start >= cursor->window_offset && end - cursor->window_offset <= cursor->window.bytes.size &&
        cursor->window.bytes.size > 0)
        return STATUS_OK;
    struct block_cursor ahead = cursor->index;
    bool forward = cursor->moving != TABLE_CURSOR_TO_LAST;
    while (forward && slice_compare(block_cursor_key(&ahead), cursor->bounds->last) < 0) {
        struct table_cluster next;
        if (block_cursor_next(&ahead) != STATUS_OK) break;
        if (!table_cluster_decode(ahead.entry.value, &next) || next.start != end) break;
        uint64_t next_end = next.block.offset + next.block.size + BLOCK_TRAILER_SIZE;
        if (next_end - cluster->start > TABLE_WINDOW_SIZE) break;
        end = next_end;
    }
    size_t size = end - cluster->start;
    if (!handle_fits(cursor->table, cluster->start, size) || size > UINT32_MAX) return STATUS_CORRUPT;
    if (cursor->job) return job_window(cursor, cluster->start, size);
    struct block_request request = {.source = &cursor->table->source,
                                    .offset = cluster->start,
                                    .size = (uint32_t)size,
                                    .kind = BLOCK_RAW};
    struct shared_slice window;
    enum status status = block_fetch_read(&cursor->fetch, &request, &window);
    if (status != STATUS_OK) return status;
    drop(&cursor->window);
    cursor->window = window;
    cursor->window_offset = cluster->start;
    return STATUS_OK;
}

/* A piece of the window, checked. Borrowed from the window, with a reference where there are references. */
static enum status from_window(struct table_cursor *cursor, const struct block_request *request,
                               struct shared_slice *bytes) {
    size_t size = block_request_size(request);
    if (request->offset < cursor->window_offset) return STATUS_CORRUPT;
    uint64_t at = request->offset - cursor->window_offset;
    if (at > cursor->window.bytes.size || size > cursor->window.bytes.size - at) return STATUS_CORRUPT;
    struct shared_slice piece = {.owner = cursor->window.owner};
    enum status status = block_request_check(request, slice_make(cursor->window.bytes.data + at, size),
                                             &piece.bytes);
    if (status == STATUS_OK) *bytes = shared_slice_ref(piece);
    return status;
}

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
    if (cursor->job) {
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
                                    .kind = BLOCK_CHECKED};
    if (!handle_fits(cursor->table, request.offset, block_request_size(&request))) return STATUS_CORRUPT;
    struct shared_slice bytes;
    enum status status;
    if (cursor->job || cursor->sequential) {
        status = fill_window(cursor, &cluster);
        if (status == STATUS_OK) status = from_window(cursor, &request, &bytes);
    } else {
        status = block_fetch_read(&cursor->fetch, &request, &bytes);
    }
    if (status != STATUS_OK) return status;
    drop(&cursor->data_bytes);
    cursor->data_bytes = bytes;
    cursor->data_offset = cluster.block.offset;
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
    ASSERT(entry->kind == ENTRY_PUT_APART);
    if (!cursor->has_value || cursor->value_offset != entry->place.offset) {
        struct block_request request = {.source = &cursor->table->source,
                                        .offset = entry->place.offset,
                                        .size = entry->place.size,
                                        .kind = BLOCK_VALUE,
                                        .crc = entry->place.crc};
        if (!handle_fits(cursor->table, request.offset, request.size)) return STATUS_CORRUPT;
        struct shared_slice bytes;
        enum status status = cursor->job || cursor->sequential
                                 ? from_window(cursor, &request, &bytes)
                                 : block_fetch_read(&cursor->value_fetch, &request, &bytes);
        if (status != STATUS_OK) return status;
        drop(&cursor->value);
        cursor->value = bytes;
        cursor->value_offset = entry->place.offset;
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
    if (status != STATUS_OK) return status;
    cursor->moving = forward ? TABLE_CURSOR_TO_FIRST : TABLE_CURSOR_TO_LAST;
    return settle(cursor);
}

enum status table_cursor_next(struct table_cursor *cursor) {
    if (cursor->moving != TABLE_CURSOR_STILL) return settle(cursor);
    ASSERT(cursor->positioned);
    enum status status = block_cursor_next(&cursor->data);
    return status == STATUS_END ? step_cluster(cursor, true) : status;
}

enum status table_cursor_prev(struct table_cursor *cursor) {
    if (cursor->moving != TABLE_CURSOR_STILL) return settle(cursor);
    ASSERT(cursor->positioned);
    enum status status = block_cursor_prev(&cursor->data);
    return status == STATUS_END ? step_cluster(cursor, false) : status;
}

/* Loads the cluster that holds `key`, a key inside the run. */
static enum status seek_cluster(struct table_cursor *cursor, struct slice key) {
    enum status status = load_index(cursor);
    if (status == STATUS_OK) status = block_cursor_seek(&cursor->index, key);
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

/* ---- life -------------------------------------------------------------------------------------------- */

void table_cursor_init(struct table_cursor *cursor, struct table *table, const struct table_run_meta *bounds,
                       const struct table_cursor_options *options) {
    *cursor = (struct table_cursor){
        .table = table, .bounds = bounds, .job = options->cache == NULL, .sequential = options->sequential};
    block_fetch_init(&cursor->fetch, options->cache, options->blocking, options->ready, options->ctx);
    block_fetch_init(&cursor->value_fetch, options->cache, options->blocking, options->ready, options->ctx);
}

void table_cursor_release(struct table_cursor *cursor) {
    block_fetch_release(&cursor->fetch);
    block_fetch_release(&cursor->value_fetch);
    drop(&cursor->index_bytes);
    drop(&cursor->data_bytes);
    drop(&cursor->value);
    drop(&cursor->window);
    mem_free(cursor->index_memory);
    mem_free(cursor->window_memory);
    cursor->index_memory = cursor->window_memory = NULL;
}

/* ---- one key ----------------------------------------------------------------------------------------- */

void table_lookup_init(struct table_lookup *lookup, struct block_cache *cache, bool blocking,
                       void (*ready)(void *ctx), void *ctx) {
    *lookup = (struct table_lookup){0};
    block_fetch_init(&lookup->fetch, cache, blocking, ready, ctx);
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
                                        .kind = BLOCK_CHECKED,
                                        .meta = step < 2}; /* all but the data block */
        if (!handle_fits(table, request.offset, block_request_size(&request))) return STATUS_CORRUPT;
        enum status status = block_fetch_read(&lookup->fetch, &request, kept);
        if (status != STATUS_OK) return status;
    }
    *bytes = kept->bytes;
    return STATUS_OK;
}

static enum status seek_in(struct slice block, struct slice key, struct block_cursor *cursor) {
    enum status status = block_cursor_init(cursor, block);
    return status == STATUS_OK ? block_cursor_seek(cursor, key) : status;
}

/* Finds the entry; *block is what holds it. */
static enum status find_entry(struct table_lookup *lookup, struct table *table, struct slice key,
                              uint64_t hash, struct block_entry *entry) {
    struct slice bytes;
    enum status status = read_step(lookup, table, 0, table->filter, &bytes);
    if (status != STATUS_OK) return status;
    if (!filter_may_contain(bytes, hash)) return STATUS_NOT_FOUND;

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

enum status table_lookup_run(struct table_lookup *lookup, struct table *table, struct slice key,
                             uint64_t hash, struct block_entry *entry, struct shared_slice *value) {
    if (lookup->number != table->source.number) forget(lookup);
    lookup->number = table->source.number;
    *value = (struct shared_slice){0};
    enum status status = find_entry(lookup, table, key, hash, entry);
    if (status == STATUS_OK && entry->kind == ENTRY_PUT) {
        *value = shared_slice_ref((struct shared_slice){entry->value, lookup->kept[2].owner});
    } else if (status == STATUS_OK && entry->kind == ENTRY_PUT_APART) {
        struct block_request request = {.source = &table->source,
                                        .offset = entry->place.offset,
                                        .size = entry->place.size,
                                        .kind = BLOCK_VALUE,
                                        .crc = entry->place.crc};
        if (!handle_fits(table, request.offset, request.size)) status = STATUS_CORRUPT;
        if (status == STATUS_OK) status = block_fetch_read(&lookup->fetch, &request, value);
    }
    if (status != STATUS_PENDING) forget(lookup);
    return status;
}
