// SPDX-License-Identifier: Apache-2.0
/* wal_format.h: the bytes of a log segment.
 *
 *   block 0: segment header │ group │ pad to 4 KiB │ group │ pad │ ...
 *   group:   header, then records back to back
 *   record:  header, changes (kinds, keys, sizes, checksums of values), then the values
 *
 * A group is what one write and one sync make durable; it begins at a 4 KiB boundary, so that no block that
 * holds durable records is ever written again. Groups are written one at a time: the existence of a group
 * proves that all before it were durable, which is how a torn tail (the last group) is told apart from
 * corruption (anything before it).
 *
 * Every checksum is seeded with the address (store, segment and offset), so that what an earlier life of a
 * recycled file left behind, or what a disk put in the wrong place, never validates. A record's checksum
 * covers its changes with the checksums of the values, and each value has its own: the bytes of a value are
 * summed once in their life.
 *
 * Integers are little-endian. docs/formats.md has the tables. Loop: any thread. */
#ifndef SENTINEL_STORAGE_WAL_FORMAT_H
#define SENTINEL_STORAGE_WAL_FORMAT_H

#include "base/cursor.h"
#include "base/status.h"
#include "storage/layout.h"

#define WAL_BLOCK_SIZE         ((size_t)4096)
#define WAL_GROUP_HEADER_SIZE  ((size_t)48)
#define WAL_RECORD_HEADER_SIZE ((size_t)32)
/* Where something belongs. The store's random id is part of it, so that no client can write a value that
 * passes for a piece of log. */
struct wal_address {
    uint64_t store_id, segment, offset;
};

/* No group is larger: a single write may be as large as that. */
#define WAL_GROUP_SIZE_MAX ((uint64_t)512 << 20)

struct wal_segment_header {
    uint64_t store_id;
    uint64_t segment; /* from 1, without gaps */
    uint64_t size;    /* of the file when it was written */
    uint64_t first_sequence;
    uint64_t previous_end; /* where the log ends in the segment before; 0: there is none */
};
struct wal_group_header {
    uint64_t segment, offset; /* its own address */
    uint64_t first_sequence;
    uint64_t size; /* of the records, without this header and the padding */
    uint32_t record_count;
};
struct wal_record_header {
    uint32_t changes_size;
    uint32_t change_count;
    uint64_t first_sequence; /* the changes have consecutive sequences */
    uint64_t values_size;
};
struct wal_change {
    enum entry_kind kind;
    struct slice key, to; /* `to`: DELETE_RANGE */
    uint32_t value_size, value_crc;
};

void wal_segment_header_encode(const struct wal_segment_header *header, uint8_t block[WAL_BLOCK_SIZE]);
/* MALFORMED: not such a block, or damaged. VERSION: a newer program's. */
enum status wal_segment_header_decode(struct slice block, struct wal_segment_header *header) MUST_USE;
void wal_group_header_encode(const struct wal_group_header *header, uint64_t store_id,
                             uint8_t bytes[WAL_GROUP_HEADER_SIZE]);
/* False unless the bytes are a sound header of the group that belongs at `where`. */
bool wal_group_header_decode(struct slice bytes, struct wal_address where,
                             struct wal_group_header *header) MUST_USE;
/* `record` holds room for the header followed by the encoded changes. */
void wal_record_header_encode(const struct wal_record_header *header, struct wal_address where,
                              uint8_t *record);
/* Checks header and changes of the record at the start of `bytes`, which may go on behind it. */
bool wal_record_header_decode(struct slice bytes, struct wal_address where,
                              struct wal_record_header *header) MUST_USE;
size_t wal_change_size(enum entry_kind kind, size_t key_size, size_t to_size);
uint8_t *wal_change_encode(const struct wal_change *change, uint8_t *at); /* returns the end */
bool wal_change_decode(struct reader *reader, struct wal_change *change) MUST_USE;

static inline uint64_t wal_align(uint64_t offset) {
    return (offset + WAL_BLOCK_SIZE - 1) & ~(uint64_t)(WAL_BLOCK_SIZE - 1);
}

#endif
