// SPDX-License-Identifier: Apache-2.0
#include "storage/table_lookup.h"

#include "storage/filter.h"

void table_lookup_init(struct table_lookup *lookup, const struct table_cursor_options *options) {
    *lookup = (struct table_lookup){.options = *options};
    block_fetch_init(&lookup->fetch, options->cache, options->blocking, options->ready, options->ctx);
}

static void forget(struct table_lookup *lookup) {
    for (size_t i = 0; i < TABLE_LOOKUP_STEPS; i++) {
        shared_slice_unref(lookup->kept[i]);
        lookup->kept[i] = (struct shared_slice){0};
    }
    lookup->number = 0;
}

void table_lookup_release(struct table_lookup *lookup) {
    forget(lookup);
    block_fetch_release(&lookup->fetch);
}

/* Step `step` of a lookup: what an earlier call read is kept, so that every call gets further, however small
 * the cache. */
static enum status read_step(struct table_lookup *lookup, struct table *table, uint32_t step,
                             struct table_handle handle, struct block_shortcut *shortcut,
                             struct slice *bytes) {
    struct shared_slice *kept = &lookup->kept[step];
    if (kept->owner == NULL) {
        struct block_request request = {.source = &table->source,
                                        .offset = handle.offset,
                                        .size = handle.size,
                                        .kind = shortcut != NULL ? BLOCK_CHECKED : BLOCK_DATA,
                                        .meta = shortcut != NULL,
                                        .shortcut = shortcut};
        if (!table_holds(table, request.offset, block_request_size(&request))) return STATUS_CORRUPT;
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
    enum status status = read_step(lookup, table, 0, table->filter, &table->filter_shortcut, &bytes);
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

    status = read_step(lookup, table, 1, table->index, &table->index_shortcut, &bytes);
    if (status != STATUS_OK) return status;
    struct block_cursor cursor;
    status = seek_in(bytes, key, &cursor);
    if (status == STATUS_END) return STATUS_NOT_FOUND;
    if (status != STATUS_OK) return status;
    struct table_cluster cluster;
    if (!table_cluster_decode(cursor.entry.value, &cluster)) return STATUS_CORRUPT;

    status = read_step(lookup, table, 2, cluster.block, NULL, &bytes);
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
        if (entry->kind == ENTRY_PUT_LOG) {
            struct log_source *log = table_run_log(run, entry->place.file);
            status = log == NULL ? STATUS_CORRUPT : STATUS_OK;
            if (log != NULL) request.source = &log->source;
        } else if (!table_holds(table, request.offset, request.size)) {
            status = STATUS_CORRUPT;
        }
        if (status == STATUS_OK) status = block_fetch_read(&lookup->fetch, &request, value);
    }
    if (status != STATUS_PENDING) forget(lookup);
    return status;
}
