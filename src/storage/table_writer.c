// SPDX-License-Identifier: Apache-2.0
#include "storage/table_writer.h"

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "storage/filter.h"

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
    /* One stretch for each partition seen, joined into runs at the end. Keys and refs lie in `keys`. */
    struct stretch {
        struct table_run_meta meta;
        bool alone; /* not joined with the one before */
    } * stretches;
    size_t stretch_count, stretch_capacity;
    uint64_t stretch_start; /* file offset */
    bool cut;               /* the next entry begins a run */
    struct table_ref *refs; /* of the stretch under way */
    uint32_t ref_count, ref_capacity;
    struct value_place place; /* of the last value in the log */
    struct arena keys;
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
    arena_init(&writer->keys, 4 * KIB);
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
    arena_release(&writer->keys);
    mem_free(writer->stretches);
    mem_free(writer->refs);
    mem_free(writer);
}

/* ---- bytes ------------------------------------------------------------------------------------------- */

uint64_t table_writer_bytes(const struct table_writer *writer) {
    return writer->written + writer->out.size;
}

static void flush_out(struct table_writer *writer) {
    if (writer->status == STATUS_OK && writer->out.size > 0)
        writer->status = io_file_write_at(writer->file, writer_slice(&writer->out), writer->written);
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

/* ---- stretches and runs ------------------------------------------------------------------------------ */

static struct slice partition_of(const struct table_writer *writer, struct slice key) {
    return slice_make(key.data, MIN(key.size, writer->options.partition_prefix_size));
}

static void end_stretch(struct table_writer *writer) {
    if (writer->stretch_count == 0) return;
    struct table_run_meta *stretch = &writer->stretches[writer->stretch_count - 1].meta;
    const struct block_builder *last = writer->data.count > 0 ? &writer->data : &writer->index;
    stretch->last = arena_copy(&writer->keys, writer_slice(&last->last_key));
    close_cluster(writer);
    stretch->bytes = table_writer_bytes(writer) - writer->stretch_start;
    stretch->ref_count = writer->ref_count;
    stretch->refs = arena_calloc(&writer->keys, MAX(writer->ref_count, 1u), sizeof *stretch->refs);
    if (writer->ref_count > 0) memcpy(stretch->refs, writer->refs, writer->ref_count * sizeof *writer->refs);
    writer->ref_count = 0;
}

/* Counts a value that stays in the log. */
static void count_ref(struct table_writer *writer, const struct value_place *place) {
    struct table_run_meta *stretch = &writer->stretches[writer->stretch_count - 1].meta;
    bool goes_on = writer->ref_count > 0 && writer->place.file == place->file &&
                   writer->place.offset + writer->place.size == place->offset;
    stretch->extents += !goes_on;
    writer->place = *place;
    uint32_t at = writer->ref_count; /* by rising segment; mostly the last one */
    while (at > 0 && writer->refs[at - 1].segment > place->file)
        at--;
    if (at > 0 && writer->refs[at - 1].segment == place->file) {
        writer->refs[at - 1].bytes += place->size;
        return;
    }
    if (writer->ref_count == writer->ref_capacity) {
        writer->ref_capacity = MAX(writer->ref_capacity * 2, 8u);
        writer->refs = mem_realloc(writer->refs, writer->ref_capacity * sizeof *writer->refs);
    }
    memmove(writer->refs + at + 1, writer->refs + at, (writer->ref_count - at) * sizeof *writer->refs);
    writer->refs[at] = (struct table_ref){.segment = place->file, .bytes = place->size};
    writer->ref_count++;
}

static void begin_stretch(struct table_writer *writer, struct slice key) {
    if (writer->stretch_count == writer->stretch_capacity) {
        writer->stretch_capacity = MAX(writer->stretch_capacity * 2, (size_t)16);
        writer->stretches = mem_realloc(writer->stretches,
                                        writer->stretch_capacity * sizeof *writer->stretches);
    }
    writer->stretches[writer->stretch_count++] = (struct stretch){
        .meta = {.first = arena_copy(&writer->keys, key), .first_sequence = UINT64_MAX},
        .alone = writer->cut};
    writer->cut = false;
    writer->stretch_start = table_writer_bytes(writer);
}

/* The refs of two runs as one list. */
static void join_refs(struct arena *arena, struct table_run_meta *run, const struct table_run_meta *more) {
    struct table_ref *refs = arena_calloc(arena, MAX(run->ref_count + more->ref_count, 1u), sizeof *refs);
    uint32_t count = 0, a = 0, b = 0;
    while (a < run->ref_count || b < more->ref_count) {
        bool first = b == more->ref_count ||
                     (a < run->ref_count && run->refs[a].segment <= more->refs[b].segment);
        const struct table_ref *next = first ? &run->refs[a++] : &more->refs[b++];
        if (count > 0 && refs[count - 1].segment == next->segment)
            refs[count - 1].bytes += next->bytes;
        else
            refs[count++] = *next;
    }
    run->refs = refs;
    run->ref_count = count;
    run->extents += more->extents;
}

/* Neighbouring stretches that are too small for a run of their own are joined. */
static void join_stretches(struct table_writer *writer, struct arena *arena, struct table_meta *meta) {
    struct table_run_meta *runs = arena_calloc(arena, MAX(writer->stretch_count, (size_t)1), sizeof *runs);
    uint32_t count = 0;
    bool joinable = false; /* the last run is made of small stretches */
    for (size_t i = 0; i < writer->stretch_count; i++) {
        const struct table_run_meta *stretch = &writer->stretches[i].meta;
        bool small = stretch->bytes + table_run_ref_bytes(stretch) < writer->options.run_bytes_min;
        if (small && joinable && !writer->stretches[i].alone) {
            struct table_run_meta *run = &runs[count - 1];
            run->last = stretch->last;
            run->bytes += stretch->bytes;
            run->entries += stretch->entries;
            run->first_sequence = MIN(run->first_sequence, stretch->first_sequence);
            run->last_sequence = MAX(run->last_sequence, stretch->last_sequence);
            join_refs(&writer->keys, run, stretch);
        } else {
            runs[count++] = *stretch;
        }
        joinable = small;
    }
    for (uint32_t i = 0; i < count; i++) {
        meta->data_bytes += runs[i].bytes;
        struct table_ref *refs = arena_calloc(arena, MAX(runs[i].ref_count, 1u), sizeof *refs);
        if (runs[i].ref_count > 0) memcpy(refs, runs[i].refs, runs[i].ref_count * sizeof *refs);
        runs[i].refs = refs;
        runs[i].first = arena_copy(arena, runs[i].first);
        runs[i].last = arena_copy(arena, runs[i].last);
    }
    meta->runs = runs;
    meta->run_count = count;
}

/* ---- entries ----------------------------------------------------------------------------------------- */

static void count_entry(struct table_writer *writer, struct slice key, const struct block_entry *entry) {
    struct table_run_meta *stretch = &writer->stretches[writer->stretch_count - 1].meta;
    stretch->entries++;
    stretch->first_sequence = MIN(stretch->first_sequence, entry->sequence);
    stretch->last_sequence = MAX(stretch->last_sequence, entry->sequence);
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
    writer->cut = true;
}

enum status table_writer_add(struct table_writer *writer, struct slice key, const struct block_entry *entry) {
    if (writer->status != STATUS_OK) return writer->status;
    bool begin = writer->stretch_count == 0 || writer->cut;
    if (!begin && writer->options.partition_prefix_size > 0) {
        const struct table_run_meta *stretch = &writer->stretches[writer->stretch_count - 1].meta;
        begin = !slice_equal(partition_of(writer, stretch->first), partition_of(writer, key));
    }
    if (begin) {
        end_stretch(writer);
        begin_stretch(writer, key);
    }
    if (entry->kind == ENTRY_PUT_LOG) count_ref(writer, &entry->place);
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
    join_stretches(writer, arena, meta);
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
