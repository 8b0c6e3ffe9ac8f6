// SPDX-License-Identifier: Apache-2.0
#include "storage/table_writer.h"

#include "base/assert.h"
#include "base/mem.h"
#include "storage/filter.h"
#include "storage/table_runs.h"

#define WRITE_CHUNK (1 * MIB)

struct table_writer {
    struct table_writer_options options;
    struct layout_path path;
    struct io_file *file;
    enum status status;
    struct writer out; /* not yet written; starts at file offset `written` */
    uint64_t written;
    struct block_builder data, index;
    struct block_codec codec;
    struct writer deflated;
    uint64_t block_bytes, stored_block_bytes;
    uint64_t cluster_start;
    uint64_t *hashes; /* of all keys, for the filter */
    size_t hash_count, hash_capacity;
    struct writer cluster;
    uint64_t entries, deletes, key_bytes, value_bytes;
    uint64_t first_sequence, last_sequence;
    struct table_runs runs;
};

enum status table_writer_new(const struct table_writer_options *options, struct table_writer **out) {
    struct table_writer *writer = mem_calloc(1, sizeof *writer);
    writer->options = *options;
    writer->path = layout_path(options->dir, LAYOUT_TABLE, options->number);
    enum status status = io_file_open(options->io, writer->path.text,
                                      IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_TRUNCATE, &writer->file);
    if (status != STATUS_OK) {
        mem_free(writer);
        return status;
    }
    writer_init(&writer->out);
    writer_init(&writer->cluster);
    writer_init(&writer->deflated);
    block_builder_init(&writer->data, BLOCK_RESTART_INTERVAL);
    block_builder_init(&writer->index, 1);
    table_runs_init(&writer->runs, options->partition_prefix_size, options->run_bytes_min);
    *out = writer;
    return STATUS_OK;
}

static void writer_free(struct table_writer *writer) {
    writer_release(&writer->out);
    mem_free(writer->hashes);
    writer_release(&writer->cluster);
    writer_release(&writer->deflated);
    block_codec_release(&writer->codec);
    block_builder_release(&writer->data);
    block_builder_release(&writer->index);
    table_runs_release(&writer->runs);
    mem_free(writer);
}

/* ---- bytes ------------------------------------------------------------------------------------------- */

uint64_t table_writer_bytes(const struct table_writer *writer) {
    return writer->written + writer->out.size;
}

static void flush_out(struct table_writer *writer) {
    if (writer->status == STATUS_OK && writer->out.size > 0)
        writer->status = io_file_write_at(writer->file, writer_slice(&writer->out), writer->written);
    /* A sync of all of it at the end would hold up the log's. */
    if (writer->status == STATUS_OK) io_file_write_behind(writer->file, writer->written, writer->out.size);
    writer->written += writer->out.size;
    writer_clear(&writer->out);
}

static void put(struct table_writer *writer, struct slice bytes) {
    if (bytes.size >= WRITE_CHUNK) { /* as it is, without the detour */
        flush_out(writer);
        if (writer->status == STATUS_OK)
            writer->status = io_file_write_at(writer->file, bytes, writer->written);
        writer->written += bytes.size;
        return;
    }
    writer_bytes(&writer->out, bytes);
    if (writer->out.size >= WRITE_CHUNK) flush_out(writer);
}

static struct table_handle put_stored(struct table_writer *writer, struct slice stored,
                                      enum store_compression compression) {
    struct table_handle handle = {table_writer_bytes(writer), (uint32_t)stored.size};
    ASSERT_LE(stored.size, (size_t)UINT32_MAX);
    uint8_t trailer[BLOCK_TRAILER_SIZE] = {(uint8_t)compression};
    store_le32(trailer + 1, block_checksum(writer->options.number, handle.offset, stored, trailer[0]));
    put(writer, stored);
    put(writer, slice_make(trailer, sizeof trailer));
    return handle;
}

static struct table_handle put_block(struct table_writer *writer, struct slice contents) {
    return put_stored(writer, contents, STORE_COMPRESSION_NONE);
}

static struct table_handle put_data(struct table_writer *writer, struct slice contents) {
    enum store_compression compression = writer->options.compression;
    writer_clear(&writer->deflated);
    if (compression != STORE_COMPRESSION_NONE &&
        !block_deflate(&writer->codec, compression, contents, &writer->deflated))
        compression = STORE_COMPRESSION_NONE;
    struct slice stored = compression == STORE_COMPRESSION_NONE ? contents : writer_slice(&writer->deflated);
    writer->block_bytes += contents.size;
    writer->stored_block_bytes += stored.size;
    return put_stored(writer, stored, compression);
}

/* Closes the data block and enters its cluster in the index under its last key. */
static void close_cluster(struct table_writer *writer) {
    if (writer->data.count == 0) return;
    struct slice last = writer_slice(&writer->data.last_key);
    struct table_cluster cluster = {.start = writer->cluster_start};
    cluster.block = put_data(writer, block_builder_finish(&writer->data));
    writer_clear(&writer->cluster);
    table_cluster_encode(&cluster, &writer->cluster);
    struct block_entry entry = {.kind = ENTRY_PUT, .value = writer_slice(&writer->cluster)};
    block_builder_add(&writer->index, last, &entry);
    block_builder_clear(&writer->data);
    writer->cluster_start = table_writer_bytes(writer);
}

/* ---- entries ----------------------------------------------------------------------------------------- */

static struct slice last_key(const struct table_writer *writer) {
    const struct block_builder *last = writer->data.count > 0 ? &writer->data : &writer->index;
    return writer_slice(&last->last_key);
}

/* Bytes so far, with the block under way. */
static uint64_t position(const struct table_writer *writer) {
    return table_writer_bytes(writer) + (writer->data.count > 0 ? block_builder_size(&writer->data) : 0);
}

static void end_stretch(struct table_writer *writer) {
    if (writer->entries == 0) return;
    if (table_runs_apart(&writer->runs)) close_cluster(writer);
    table_runs_end(&writer->runs, last_key(writer), position(writer));
}
static void count_entry(struct table_writer *writer, struct slice key, const struct block_entry *entry) {
    table_runs_add(&writer->runs, key, entry);
    if (writer->entries == 0) writer->first_sequence = entry->sequence;
    writer->first_sequence = MIN(writer->first_sequence, entry->sequence);
    writer->last_sequence = MAX(writer->last_sequence, entry->sequence);
    writer->entries++;
    writer->deletes += entry->kind == ENTRY_DELETE;
    writer->key_bytes += key.size;
    writer->value_bytes += entry->kind == ENTRY_PUT ? entry->value.size : entry->place.size;
    if (writer->hash_count == writer->hash_capacity) {
        writer->hash_capacity = MAX(writer->hash_capacity * 2, (size_t)256);
        writer->hashes = mem_realloc(writer->hashes, writer->hash_capacity * sizeof *writer->hashes);
    }
    writer->hashes[writer->hash_count++] = filter_hash(key);
}

void table_writer_cut(struct table_writer *writer) {
    writer->runs.cut = true;
}

enum status table_writer_add(struct table_writer *writer, struct slice key, const struct block_entry *entry) {
    if (writer->status != STATUS_OK) return writer->status;
    if (table_runs_changes(&writer->runs, key)) {
        end_stretch(writer);
        table_runs_begin(&writer->runs, key, position(writer));
    }
    struct block_entry stored = *entry;
    if (entry->kind == ENTRY_PUT && entry->value.size >= LAYOUT_APART_MIN) {
        stored.kind = ENTRY_PUT_APART;
        stored.place = (struct value_place){.offset = table_writer_bytes(writer),
                                            .size = (uint32_t)entry->value.size,
                                            .crc = entry->place.crc};
        put(writer, entry->value);
    }
    block_builder_add(&writer->data, key, &stored);
    count_entry(writer, key, entry);
    uint64_t cluster = table_writer_bytes(writer) - writer->cluster_start;
    size_t block = block_builder_size(&writer->data);
    if (block < TABLE_BLOCK_SIZE && cluster + block < TABLE_CLUSTER_SIZE) return writer->status;
    close_cluster(writer);
    return writer->status;
}

/* ---- the end ----------------------------------------------------------------------------------------- */

static struct table_handle put_filter(struct table_writer *writer) {
    struct writer filter;
    writer_init(&filter);
    filter_build(&filter, writer->hashes, writer->hash_count);
    struct table_handle handle = put_block(writer, writer_slice(&filter));
    writer_release(&filter);
    return handle;
}

static void add_property(struct block_builder *builder, const char *name, uint64_t number) {
    struct writer value;
    writer_init(&value);
    writer_varint64(&value, number);
    struct block_entry entry = {.kind = ENTRY_PUT, .value = writer_slice(&value)};
    block_builder_add(builder, slice_from_text(name), &entry);
    writer_release(&value);
}

static struct table_handle put_properties(struct table_writer *writer) {
    struct block_builder properties;
    block_builder_init(&properties, BLOCK_RESTART_INTERVAL);
    add_property(&properties, "deletes", writer->deletes); /* in key order */
    add_property(&properties, "entries", writer->entries);
    add_property(&properties, "first_sequence", writer->first_sequence);
    add_property(&properties, "key_bytes", writer->key_bytes);
    add_property(&properties, "last_sequence", writer->last_sequence);
    add_property(&properties, "value_bytes", writer->value_bytes);
    struct table_handle handle = put_block(writer, block_builder_finish(&properties));
    block_builder_release(&properties);
    return handle;
}

enum status table_writer_finish(struct table_writer *writer, struct arena *arena, struct table_meta *meta) {
    ASSERT(writer->entries > 0);
    close_cluster(writer);
    end_stretch(writer);
    struct table_footer footer = {
        .number = writer->options.number, .store_id = writer->options.store_id, .entries = writer->entries};
    footer.filter = put_filter(writer);
    footer.index = put_block(writer, block_builder_finish(&writer->index));
    footer.properties = put_properties(writer);
    uint8_t bytes[TABLE_FOOTER_SIZE];
    table_footer_encode(&footer, bytes);
    put(writer, slice_make(bytes, sizeof bytes));
    flush_out(writer);
    enum status status = writer->status;
    if (status == STATUS_OK) status = io_file_sync(writer->file);
    if (status != STATUS_OK) {
        table_writer_abandon(writer);
        return status;
    }
    *meta = (struct table_meta){.number = footer.number,
                                .size = writer->written,
                                .index = footer.index,
                                .filter = footer.filter,
                                .entries = footer.entries,
                                .block_bytes = writer->block_bytes,
                                .stored_block_bytes = writer->stored_block_bytes};
    table_runs_finish(&writer->runs, arena, meta);
    io_file_close(writer->file);
    writer_free(writer);
    return STATUS_OK;
}

void table_writer_abandon(struct table_writer *writer) {
    io_file_close(writer->file);
    /* When it cannot be removed now, the next start finds a table that no manifest names. */
    if (io_unlink(writer->options.io, writer->path.text) != STATUS_OK) writer->status = STATUS_IO;
    writer_free(writer);
}
