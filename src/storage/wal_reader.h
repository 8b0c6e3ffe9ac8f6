// SPDX-License-Identifier: Apache-2.0
/* wal_reader.h: reads one log segment from its start to the end of the log, and says how it ends.
 *
 * Source  docs/formats.md; the rule for tails is S11 of the simulator: a bad record with anything valid
 *         behind it, or before a point the log is known to have reached, is corruption; only what nothing
 *         vouches for may be cut.
 * Owner   the reader borrows the file. A record's bytes are valid during the call that hands it out; its
 *         buffer may be kept with a reference.
 * Errors  CORRUPT with a diagnostic that names offset and reason; IO. Never asserts on what the file says.
 * Loop    any thread that blocks; when records are kept: the shard thread.
 * Bounds  memory: one group, or without the values two windows of WAL_READER_WINDOW or the records of one. */
#ifndef SENTINEL_STORAGE_WAL_READER_H
#define SENTINEL_STORAGE_WAL_READER_H

#include "base/buffer.h"
#include "io/io.h"
#include "storage/wal_format.h"

#define WAL_READER_WINDOW ((size_t)1 << 20) /* the default */

struct wal_record {
    uint64_t segment, offset; /* of the record */
    struct wal_record_header header;
    struct slice changes;
    /* of its whole group: */
    struct slice values;    /* no data: they were not read */
    uint64_t values_offset; /* of these in the segment */
    uint64_t group_sequence, group_changes;
    struct buffer *owner; /* holds all slices */
};
struct wal_reader_result {
    uint64_t end;           /* behind the last whole group, or WAL_BLOCK_SIZE when there is none */
    uint64_t next_sequence; /* the sequence that would follow */
    uint64_t last_group;    /* where that group starts; 0: there is none */
    uint64_t groups, records;
    bool torn; /* something was written behind the end, and nothing vouches for it */
};

/* OK: *header is the segment's. MALFORMED: block 0 is no valid header. VERSION, IO. */
enum status wal_reader_header(struct io_file *file, struct wal_segment_header *header) MUST_USE;
/* *lost: the file has no valid header, but holds groups of `segment` behind its first: that segment lost its
 * header. A crash while a segment becomes current leaves one group at most. `window` as below. */
enum status wal_reader_headless(struct io_file *file, uint64_t store_id, uint64_t segment, size_t window,
                                bool *lost) MUST_USE;
struct wal_reader_options {
    uint64_t end_known; /* where the next segment says that this one ends; 0: unknown */
    uint64_t sealed_at; /* the last sequence that was ever written to this segment; 0: unknown */
    uint64_t due;  /* groups that hold only earlier sequences may be passed over by their headers; a segment
                   * that was sealed before it, from where it cannot be read */
    size_t window; /* how much to read at once, at most, but for what is needed in one piece; 0: default */
    /* Values apart are read and checked. Else only those of a group that nothing behind it vouches for: any
     * other was durable as a whole, and its values are checked by whoever reads them. */
    bool values;
    /* May be NULL. Anything but OK stops the reading with that status. */
    enum status (*record)(void *ctx, const struct wal_record *record);
    void *ctx;
};
/* Hands out every record in order, a group only when all of it that is read is sound. */
enum status wal_reader_run(struct io_file *file, const struct wal_segment_header *header,
                           const struct wal_reader_options *options, struct wal_reader_result *result,
                           struct diagnostic *diagnostic) MUST_USE;
/* Takes the changes of a checked record apart. */
struct wal_change_walk {
    struct reader changes;
    const struct wal_record *record;
    struct slice value;    /* of the current PUT or PUT_APART; no data: it was not read */
    uint64_t value_offset; /* PUT_APART: of the value in the segment */
};
struct wal_change_walk wal_change_walk_make(const struct wal_record *record);
/* OK, END, or CORRUPT (the layout is nonsense). */
enum status wal_change_walk_next(struct wal_change_walk *walk, struct wal_change *change) MUST_USE;

#endif
