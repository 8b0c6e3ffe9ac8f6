// SPDX-License-Identifier: Apache-2.0
/* wal_format.h: the bytes of a log segment.
 *
 *   block 0: segment header │ group │ pad to 4 KiB │ group │ pad │ ...
 *   group:   header │ record record ... │ values
 *   record:  header, changes (kinds, keys, small values, places and checksums of large ones)
 *
 * A group is what one write and one sync make durable; it begins at a 4 KiB boundary, so that no block that
 * holds durable records is ever written again. Groups are written one at a time: the existence of a group
 * proves that all before it were durable, which is how a torn tail (the last group) is told apart from
 * corruption (anything before it).
 *
 * Values of LAYOUT_APART_MIN bytes and more stand at the end of their group, those of a partition side by
 * side, and are never written again: tables refer to them there. The longer the group, the longer the stretch
 * of one partition that a reader finds in one piece.
 *
 * Every checksum is seeded with the address (store, segment and offset), so that what an earlier life of a
 * recycled file left behind, or what a disk put in the wrong place, never validates. A record's checksum
 * covers its changes with the checksums of the values apart: the bytes of a value are summed once in their
 * life.
 *
 * Integers are little-endian. docs/formats.md has the tables. Loop: any thread. */
#ifndef SENTINEL_STORAGE_WAL_FORMAT_H
#define SENTINEL_STORAGE_WAL_FORMAT_H

#include "base/cursor.h"
#include "base/status.h"
#include "storage/layout.h"

#define WAL_BLOCK_SIZE         ((size_t)4096)
#define WAL_GROUP_HEADER_SIZE  ((size_t)56)
#define WAL_RECORD_HEADER_SIZE ((size_t)24)
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
    uint64_t records_size, values_size; /* what follows this header, without the padding */
    uint32_t record_count;
};
struct wal_record_header {
    uint32_t changes_size;
    uint32_t change_count;
    uint64_t first_sequence; /* the changes have consecutive sequences */
};
struct wal_change {
    enum entry_kind kind;                         /* PUT, PUT_APART, DELETE, DELETE_RANGE */
    struct slice key, to;                         /* `to`: DELETE_RANGE */
    struct slice value;                           /* PUT */
    uint32_t value_size, value_crc, value_offset; /* PUT_APART; the offset is in the group's values */
};

void wal_segment_header_encode(const struct wal_segment_header *header, uint8_t block[WAL_BLOCK_SIZE]);
/* MALFORMED: not such a block, or damaged. VERSION: a newer program's. */
enum status wal_segment_header_decode(struct slice block, struct wal_segment_header *header) MUST_USE;
void wal_group_header_encode(const struct wal_group_header *header, uint64_t store_id,
                             uint8_t bytes[WAL_GROUP_HEADER_SIZE]);
/* False unless the bytes are a sound header of the group that belongs at `where`. */
bool wal_group_header_decode(struct slice bytes, struct wal_address where,
                             struct wal_group_header *header) MUST_USE;
/* The fields of a record's header; `record` holds room for it, followed by the encoded changes. */
void wal_record_header_fill(const struct wal_record_header *header, uint8_t *record);
/* Its checksum, when the changes are complete and its address is known. */
void wal_record_header_seal(struct wal_address where, uint8_t *record);
/* The header of the record at the start of `bytes`, which may go on behind it. False: the record goes past
 * their end. */
bool wal_record_header_read(struct slice bytes, struct wal_record_header *header) MUST_USE;
/* The checksum of a record that was read is right. */
bool wal_record_header_check(struct wal_address where, const uint8_t *record) MUST_USE;
/* rest_size: of `to` (DELETE_RANGE) or of the value (PUT). */
size_t wal_change_size(enum entry_kind kind, size_t key_size, size_t rest_size);
uint8_t *wal_change_encode(const struct wal_change *change, uint8_t *at); /* returns the end */
/* Where in an encoded PUT_APART the value's offset stands: it is known last. */
#define WAL_CHANGE_VALUE_OFFSET 11u
bool wal_change_decode(struct reader *reader, struct wal_change *change) MUST_USE;

static inline uint64_t wal_group_size(const struct wal_group_header *group) {
    return group->records_size + group->values_size;
}

static inline uint64_t wal_align(uint64_t offset) {
    return (offset + WAL_BLOCK_SIZE - 1) & ~(uint64_t)(WAL_BLOCK_SIZE - 1);
}

#endif
