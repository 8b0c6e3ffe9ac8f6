// SPDX-License-Identifier: Apache-2.0
#include "storage/table.h"

#include "base/crc32c.h"

#define TABLE_MAGIC 0x3154424c544e53ull /* "SNTLBT1" */

void table_cluster_encode(const struct table_cluster *cluster, struct writer *out) {
    writer_varint64(out, cluster->start);
    writer_varint64(out, cluster->block.offset - cluster->start);
    writer_varint64(out, cluster->block.size);
}

bool table_cluster_decode(struct slice bytes, struct table_cluster *cluster) {
    struct reader r = reader_make(bytes);
    cluster->start = reader_varint64(&r);
    uint64_t values = reader_varint64(&r);
    cluster->block.offset = cluster->start + values;
    cluster->block.size = reader_varint32(&r);
    return reader_ok(&r) && reader_remaining(&r) == 0 && values <= UINT64_MAX / 4 &&
           cluster->start <= UINT64_MAX / 4 && cluster->block.size <= TABLE_BLOCK_SIZE_MAX;
}

/* index, filter, properties (offset u64, size u64 each), number, store, entries u64, version u32, crc u32,
 * magic u64 */
void table_footer_encode(const struct table_footer *footer, uint8_t bytes[TABLE_FOOTER_SIZE]) {
    store_le64(bytes, footer->index.offset);
    store_le64(bytes + 8, footer->index.size);
    store_le64(bytes + 16, footer->filter.offset);
    store_le64(bytes + 24, footer->filter.size);
    store_le64(bytes + 32, footer->properties.offset);
    store_le64(bytes + 40, footer->properties.size);
    store_le64(bytes + 48, footer->number);
    store_le64(bytes + 56, footer->store_id);
    store_le64(bytes + 64, footer->entries);
    store_le32(bytes + 72, LAYOUT_VERSION);
    store_le32(bytes + 76, crc32c(0, bytes, 76));
    store_le64(bytes + 80, TABLE_MAGIC);
}

static bool decode_handle(const uint8_t *bytes, struct table_handle *handle) {
    uint64_t size = load_le64(bytes + 8);
    handle->offset = load_le64(bytes);
    handle->size = (uint32_t)size;
    return size <= UINT32_MAX && handle->offset <= UINT64_MAX / 4;
}

enum status table_footer_decode(struct slice bytes, struct table_footer *footer) {
    *footer = (struct table_footer){0};
    if (bytes.size < TABLE_FOOTER_SIZE) return STATUS_MALFORMED;
    const uint8_t *p = bytes.data + bytes.size - TABLE_FOOTER_SIZE;
    if (load_le64(p + 80) != TABLE_MAGIC) return STATUS_MALFORMED;
    if (load_le32(p + 76) != crc32c(0, p, 76)) return STATUS_CORRUPT;
    if (!layout_version_known(load_le32(p + 72))) return STATUS_VERSION;
    if (!decode_handle(p, &footer->index) || !decode_handle(p + 16, &footer->filter) ||
        !decode_handle(p + 32, &footer->properties))
        return STATUS_CORRUPT;
    footer->number = load_le64(p + 48);
    footer->store_id = load_le64(p + 56);
    footer->entries = load_le64(p + 64);
    return STATUS_OK;
}

uint64_t table_run_ref_bytes(const struct table_run_meta *run) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < run->ref_count; i++)
        bytes += run->refs[i].bytes;
    return bytes;
}

struct log_source *table_run_log(const struct table_run_meta *run, uint64_t segment) {
    uint32_t low = 0, high = run->ref_count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (run->refs[middle].segment < segment)
            low = middle + 1;
        else
            high = middle;
    }
    return low < run->ref_count && run->refs[low].segment == segment ? run->refs[low].source : NULL;
}
