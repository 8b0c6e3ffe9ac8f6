// SPDX-License-Identifier: Apache-2.0
#include "storage/wal_format.h"

#include "base/assert.h"
#include "base/crc32c.h"
#include "storage/store.h"

#define WAL_SEGMENT_MAGIC 0x314c41574c544e53ull /* "SNTLWAL1" */
#define WAL_GROUP_MAGIC   0x50475753u           /* "SWGP" */

static uint32_t crc_with_address(const struct wal_address *where, const uint8_t *bytes, size_t size) {
    uint8_t address[24];
    store_le64(address, where->store_id);
    store_le64(address + 8, where->segment);
    store_le64(address + 16, where->offset);
    return crc32c(crc32c(0, address, sizeof address), bytes, size);
}

/* magic u64, version u32, crc u32 (of all before and behind it), store, segment, size, first sequence,
 * previous end */
static uint32_t segment_crc(const uint8_t *block) {
    return crc32c(crc32c(0, block, 12), block + 16, 40);
}

void wal_segment_header_encode(const struct wal_segment_header *header, uint8_t block[WAL_BLOCK_SIZE]) {
    memset(block, 0, WAL_BLOCK_SIZE);
    store_le64(block, WAL_SEGMENT_MAGIC);
    store_le32(block + 8, LAYOUT_VERSION);
    store_le64(block + 16, header->store_id);
    store_le64(block + 24, header->segment);
    store_le64(block + 32, header->size);
    store_le64(block + 40, header->first_sequence);
    store_le64(block + 48, header->previous_end);
    store_le32(block + 12, segment_crc(block));
}

enum status wal_segment_header_decode(struct slice block, struct wal_segment_header *header) {
    *header = (struct wal_segment_header){0};
    if (block.size < 56 || load_le64(block.data) != WAL_SEGMENT_MAGIC) return STATUS_MALFORMED;
    if (load_le32(block.data + 12) != segment_crc(block.data)) return STATUS_MALFORMED;
    if (!layout_version_known(load_le32(block.data + 8))) return STATUS_VERSION;
    header->store_id = load_le64(block.data + 16);
    header->segment = load_le64(block.data + 24);
    header->size = load_le64(block.data + 32);
    header->first_sequence = load_le64(block.data + 40);
    header->previous_end = load_le64(block.data + 48);
    return STATUS_OK;
}

/* magic u32, crc u32 (address and what follows), segment, offset, first sequence, records size, values size,
 * count u32, zero u32 */
void wal_group_header_encode(const struct wal_group_header *header, uint64_t store_id,
                             uint8_t bytes[WAL_GROUP_HEADER_SIZE]) {
    struct wal_address where = {store_id, header->segment, header->offset};
    store_le32(bytes, WAL_GROUP_MAGIC);
    store_le64(bytes + 8, header->segment);
    store_le64(bytes + 16, header->offset);
    store_le64(bytes + 24, header->first_sequence);
    store_le64(bytes + 32, header->records_size);
    store_le64(bytes + 40, header->values_size);
    store_le32(bytes + 48, header->record_count);
    store_le32(bytes + 52, 0);
    store_le32(bytes + 4, crc_with_address(&where, bytes + 8, WAL_GROUP_HEADER_SIZE - 8));
}

bool wal_group_header_decode(struct slice bytes, struct wal_address where, struct wal_group_header *header) {
    *header = (struct wal_group_header){0};
    if (bytes.size < WAL_GROUP_HEADER_SIZE || load_le32(bytes.data) != WAL_GROUP_MAGIC) return false;
    if (load_le32(bytes.data + 4) != crc_with_address(&where, bytes.data + 8, WAL_GROUP_HEADER_SIZE - 8))
        return false;
    header->segment = load_le64(bytes.data + 8);
    header->offset = load_le64(bytes.data + 16);
    header->first_sequence = load_le64(bytes.data + 24);
    header->records_size = load_le64(bytes.data + 32);
    header->values_size = load_le64(bytes.data + 40);
    header->record_count = load_le32(bytes.data + 48);
    return header->segment == where.segment && header->offset == where.offset &&
           header->records_size <= WAL_GROUP_SIZE_MAX && header->values_size <= WAL_GROUP_SIZE_MAX;
}

/* crc u32 (address and what follows), changes size u32, first sequence u64, count u32, zero u32 */
void wal_record_header_fill(const struct wal_record_header *header, uint8_t *record) {
    store_le32(record + 4, header->changes_size);
    store_le64(record + 8, header->first_sequence);
    store_le32(record + 16, header->change_count);
    store_le32(record + 20, 0);
}

static uint32_t record_checksum(struct wal_address where, const uint8_t *record) {
    size_t size = WAL_RECORD_HEADER_SIZE - 4 + load_le32(record + 4);
    return crc_with_address(&where, record + 4, size);
}

void wal_record_header_seal(struct wal_address where, uint8_t *record) {
    store_le32(record, record_checksum(where, record));
}

bool wal_record_header_read(struct slice bytes, struct wal_record_header *header) {
    *header = (struct wal_record_header){0};
    if (bytes.size < WAL_RECORD_HEADER_SIZE) return false;
    header->changes_size = load_le32(bytes.data + 4);
    header->first_sequence = load_le64(bytes.data + 8);
    header->change_count = load_le32(bytes.data + 16);
    return header->changes_size <= bytes.size - WAL_RECORD_HEADER_SIZE;
}

bool wal_record_header_check(struct wal_address where, const uint8_t *record) {
    return load_le32(record) == record_checksum(where, record);
}

size_t wal_change_size(enum entry_kind kind, size_t key_size, size_t rest_size) {
    switch (kind) {
    case ENTRY_PUT:
        return 1 + 2 + 4 + key_size + rest_size;
    case ENTRY_PUT_APART:
        return 1 + 2 + 12 + key_size;
    case ENTRY_DELETE_RANGE:
        return 1 + 2 + 2 + key_size + rest_size;
    default:
        ASSERT(kind == ENTRY_DELETE);
        return 1 + 2 + key_size;
    }
}

static uint8_t *put_bytes(uint8_t *at, struct slice bytes) {
    if (bytes.size > 0) memcpy(at, bytes.data, bytes.size);
    return at + bytes.size;
}

uint8_t *wal_change_encode(const struct wal_change *change, uint8_t *at) {
    *at = (uint8_t)change->kind;
    store_le16(at + 1, (uint16_t)change->key.size);
    at += 3;
    if (change->kind == ENTRY_PUT) {
        store_le32(at, (uint32_t)change->value.size);
        at += 4;
    } else if (change->kind == ENTRY_PUT_APART) {
        store_le32(at, change->value_size);
        store_le32(at + 4, change->value_crc);
        store_le32(at + 8, change->value_offset);
        at += 12;
    } else if (change->kind == ENTRY_DELETE_RANGE) {
        store_le16(at, (uint16_t)change->to.size);
        at += 2;
    }
    at = put_bytes(at, change->key);
    if (change->kind == ENTRY_PUT) return put_bytes(at, change->value);
    return change->kind == ENTRY_DELETE_RANGE ? put_bytes(at, change->to) : at;
}

bool wal_change_decode(struct reader *reader, struct wal_change *change) {
    *change = (struct wal_change){.kind = reader_u8(reader)};
    size_t key_size = reader_le16(reader), to_size = 0, inline_size = 0;
    if (change->kind == ENTRY_PUT) {
        inline_size = reader_le32(reader);
    } else if (change->kind == ENTRY_PUT_APART) {
        change->value_size = reader_le32(reader);
        change->value_crc = reader_le32(reader);
        change->value_offset = reader_le32(reader);
        if (change->value_size < LAYOUT_APART_MIN) reader_fail(reader);
    } else if (change->kind == ENTRY_DELETE_RANGE) {
        to_size = reader_le16(reader);
    } else if (change->kind != ENTRY_DELETE) {
        reader_fail(reader);
    }
    if (key_size > STORE_KEY_SIZE_MAX || to_size > STORE_KEY_SIZE_MAX) reader_fail(reader);
    if (inline_size >= LAYOUT_APART_MIN || change->value_size > STORE_VALUE_SIZE_MAX) reader_fail(reader);
    change->key = reader_bytes(reader, key_size);
    change->to = reader_bytes(reader, to_size);
    change->value = reader_bytes(reader, inline_size);
    return reader_ok(reader);
}
