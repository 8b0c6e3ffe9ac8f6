// SPDX-License-Identifier: Apache-2.0
/* Any bytes as a table: a cursor in both directions, lookups and inspect never crash, and keys come out in
 * order. Odd first byte: the checksums of footer and blocks are put right first. */
#include "base/assert.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "io/io_sim.h"
#include "storage/filter.h"
#include "storage/inspect.h"
#include "storage/table_lookup.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void repair_block(uint8_t *bytes, size_t size, uint64_t number, struct table_handle handle,
                         bool data) {
    if (handle.offset > size || handle.size + BLOCK_TRAILER_SIZE > size - handle.offset) return;
    struct slice contents = slice_make(bytes + handle.offset, handle.size);
    uint8_t *trailer = bytes + handle.offset + handle.size;
    if (!data || trailer[0] > STORE_COMPRESSION_ZSTD) trailer[0] = STORE_COMPRESSION_NONE;
    store_le32(trailer + 1, block_checksum(number, handle.offset, contents, trailer[0]));
}

static void repair(uint8_t *bytes, size_t size) {
    if (size < TABLE_FOOTER_SIZE) return;
    uint8_t *footer = bytes + size - TABLE_FOOTER_SIZE;
    store_le32(footer + 72, LAYOUT_VERSION);
    store_le32(footer + 76, crc32c(0, footer, 76));
    struct table_footer decoded;
    if (table_footer_decode(slice_make(bytes, size), &decoded) != STATUS_OK) return;
    repair_block(bytes, size, decoded.number, decoded.filter, false);
    repair_block(bytes, size, decoded.number, decoded.properties, false);
    struct table_handle index = decoded.index;
    if (index.offset <= size && index.size + BLOCK_TRAILER_SIZE <= size - index.offset) {
        struct block_cursor *cursor = mem_alloc(sizeof *cursor);
        struct table_cluster cluster;
        enum status status = block_cursor_init(cursor, slice_make(bytes + index.offset, index.size));
        if (status == STATUS_OK) status = block_cursor_first(cursor);
        for (int i = 0; status == STATUS_OK && i < 1000; i++) {
            if (cursor->entry.kind == ENTRY_PUT && table_cluster_decode(cursor->entry.value, &cluster))
                repair_block(bytes, size, decoded.number, cluster.block, true);
            status = block_cursor_next(cursor);
        }
        mem_free(cursor);
    }
    repair_block(bytes, size, decoded.number, decoded.index, false);
}

static void unpinned(struct block_source *source) {
    ASSERT_EQ(source->pins, 0u);
}

static void idle(void *ctx) {
    (void)ctx;
}

static void walk(struct table *table, struct block_cache *cache, bool sequential) {
    static uint8_t lowest[1], highest[STORE_KEY_SIZE_MAX];
    memset(highest, 0xff, sizeof highest);
    struct table_run_meta bounds = {.first = slice_make(lowest, 0),
                                    .last = slice_make(highest, sizeof highest)};
    struct table_cursor_options options = {.cache = cache, .blocking = true, .sequential = sequential};
    struct table_cursor *cursor = mem_alloc(sizeof *cursor);
    table_cursor_init(cursor, table, &bounds, &options);
    struct shared_slice value;
    enum status status = table_cursor_seek(cursor, SLICE_EMPTY);
    for (int i = 0; status == STATUS_OK && i < 1000; i++) {
        enum entry_kind kind = table_cursor_entry(cursor)->kind;
        if (kind != ENTRY_DELETE) MAYBE(table_cursor_value(cursor, &value) == STATUS_OK);
        status = table_cursor_next(cursor);
    }
    ASSERT(status != STATUS_PENDING);
    /* No run goes further than its table: asking for more is damage, not an assertion. */
    MAYBE(table_cursor_seek_prev(cursor, bounds.last) == STATUS_CORRUPT);
    uint8_t last[STORE_KEY_SIZE_MAX];
    if (cursor->has_index && block_cursor_last(&cursor->index) == STATUS_OK) {
        bounds.last = slice_make(last, cursor->index.key_size);
        memcpy(last, cursor->index.key, cursor->index.key_size);
    }
    status = table_cursor_seek_prev(cursor, bounds.last);
    for (int i = 0; status == STATUS_OK && i < 1000; i++) {
        struct slice key = table_cursor_key(cursor);
        if (table_cursor_entry(cursor)->kind != ENTRY_DELETE)
            MAYBE(table_cursor_value(cursor, &value) == STATUS_OK);
        struct table_lookup lookup;
        struct block_entry entry;
        if (cache != NULL) {
            table_lookup_init(&lookup, &options);
            if (table_lookup_run(&lookup, table, &bounds, key, filter_hash(key), &entry, &value) == STATUS_OK)
                shared_slice_unref(value);
            table_lookup_release(&lookup);
        }
        status = table_cursor_prev(cursor);
    }
    table_cursor_release(cursor);
    mem_free(cursor);
}

static void ignore_text(void *ctx, struct slice text) {
    (void)ctx;
    (void)text;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 1) return 0;
    struct io_sim *sim = io_sim_new(1);
    struct io *io = io_sim_node_io(sim, 0);
    uint8_t *bytes = mem_alloc(size);
    memcpy(bytes, data + 1, size - 1);
    if (data[0] & 1) repair(bytes, size - 1);
    struct io_file *file;
    enum status status = io_file_open(io, "000000000001.sst", IO_OPEN_WRITE | IO_OPEN_CREATE, &file);
    ASSERT(status == STATUS_OK);
    if (size > 1) status = io_file_write_at(file, slice_make(bytes, size - 1), 0);
    ASSERT(status == STATUS_OK);
    struct table_footer footer;
    if (table_footer_decode(slice_make(bytes, size - 1), &footer) == STATUS_OK) {
        struct table table = {.source = {.number = footer.number, .file = file, .unpinned = unpinned},
                              .size = size - 1,
                              .index = footer.index,
                              .filter = footer.filter};
        struct block_cache *cache = block_cache_new(io, 64 * KIB, NULL, idle, NULL);
        walk(&table, cache, false);
        walk(&table, cache, true);
        walk(&table, NULL, true);
        block_cache_free(cache);
    }
    io_file_close(file);
    struct inspect_options options = {
        .json = (data[0] & 2) != 0, .entries = true, .verify = true, .print = ignore_text};
    struct diagnostic diagnostic;
    status = inspect_path(io, "000000000001.sst", &options, &diagnostic);
    ASSERT(status == STATUS_OK || status == STATUS_CORRUPT || status == STATUS_INVALID);
    mem_free(bytes);
    io_sim_free(sim);
    return 0;
}
