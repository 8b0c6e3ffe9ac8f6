// SPDX-License-Identifier: Apache-2.0
/* wal.h: the write-ahead log of one store.
 *
 *   wal_append ─> pending groups ─(one at a time: write + sync)─> completed, in order
 *
 * Records of all writers go into one sequence of segments. While one group is being written and synced, all
 * that arrives gathers in the next: group commit without a timer. When nothing is under way, what one turn of
 * the loop brings makes the first group. Segments are zero-written before use and recycled afterwards, so
 * that a sync changes no file-system metadata. Large values stand at the end of their group, ordered by
 * partition, those that hardly anybody will read (wal_cold.h) last; that order, and with it their place, is
 * fixed when the group is sealed to be written.
 *
 * Segments are also the value log: tables refer to large values where they stand in a segment, which then
 * lives on until nothing refers to it.
 *
 * Source  Gawlick and Kinkade 1985 (group commit); wal_format.h; docs/formats.md.
 * Owner   the log keeps one reference to each buffer of a group until the group is done; small values are
 *         copied once, into the log's chunk, and the memtable refers to them there.
 * Units   sizes and offsets in bytes; sequences count changes, from 1.
 * Errors  IO is final: nothing more is written (settled decision 6). NO_SPACE, also for want of
 *         descriptors, fails everything pending and is not final: the next append tries again.
 * Loop    shard thread only; segments are prepared and removed by jobs.
 * Bounds  WAL_GROUP_BYTES_MAX a group, unless one write alone is larger.
 * I1  durable <= appended.  I2  one group is in flight at most.  I3  a segment is recycled only when all its
 *     sequences were released, no table refers to it, and a later one is durable.  I4  group k+1 starts in a
 * block that group k did not touch. */
#ifndef SENTINEL_STORAGE_WAL_H
#define SENTINEL_STORAGE_WAL_H

#include "storage/change.h"
#include "storage/wal_format.h"
#include "storage/wal_places.h"

#define WAL_GROUP_BYTES_MAX  (4 * MIB)
#define WAL_SEGMENT_SIZE_MIN (16 * KIB)

struct wal;

struct wal_options {
    struct io *io;
    const char *dir; /* borrowed for the life of the log */
    uint64_t store_id;
    size_t segment_bytes;
    size_t partition_prefix_size;
    struct wal_places *places; /* groups are entered when they are sealed */
    struct log *log;
    void *ctx;
    bool (*segment_referred)(void *ctx, uint64_t segment); /* by a table */
    uint64_t (*next_file_number)(void *ctx);
    /* These writes are done, in order: durable, or failed with `status`. When they failed with NO_SPACE,
     * their sequences will be given out again, from wal_durable_sequence() + 1. Each is unlinked by the
     * receiver. */
    void (*completed)(void *ctx, enum status status, struct list *writes);
    void (*changed)(void *ctx); /* an operation or job ended: wal_idle may have become true */
};

/* A segment that recovery found. */
struct wal_found {
    uint64_t file_number;
    uint64_t file_size;
    uint64_t segment; /* 0: free, holds nothing that is needed */
    uint64_t end, first_sequence, last_sequence;
};
struct wal_start {
    const struct wal_found *found; /* live ones by rising segment, then free ones */
    size_t found_count;
    uint64_t next_segment, next_sequence, previous_end;
};

/* Starts nothing yet. */
struct wal *wal_new(const struct wal_options *options, const struct wal_start *start);
void wal_begin(struct wal *wal); /* first jobs: a spare segment, removals */
/* At rest (wal_idle), or in the simulator's crash. Writes under way are forgotten, not completed. */
void wal_free(struct wal *wal);
bool wal_idle(const struct wal *wal); /* no group, no job */

/* Encodes and queues the write. Sets its sequence, and for each put where the value stays (change->value,
 * borrowed until the write is done) and the checksum of a large one. Not after a final status. */
void wal_append(struct wal *wal, struct store_write *write);
/* Gives out `count` sequences that are never logged, and returns the first. Only while nothing is logged. */
uint64_t wal_skip(struct wal *wal, uint32_t count);
/* Everything up to `sequence` is in tables that the manifest holds: segments may go. Also called when a table
 * has let go of a segment. */
void wal_release(struct wal *wal, uint64_t sequence);
struct wal_segment_info {
    uint64_t file_number, size, first_sequence;
    uint64_t end; /* of what is durable in it */
};
bool wal_segment_info(const struct wal *wal, uint64_t segment, struct wal_segment_info *info);
/* The first segment behind `segment` with records from sequence `due` on, and what of it is durable. */
bool wal_next_due(const struct wal *wal, uint64_t segment, uint64_t due, uint64_t *next,
                  struct wal_segment_info *info);
/* Some of it cannot be read: what is appended from now on goes to the next, and its file is put aside when
 * nothing needs it any more. */
void wal_segment_damaged(struct wal *wal, uint64_t segment);
/* The segment that is written to, and where it ends now; 0: there is none. */
uint64_t wal_current_segment(const struct wal *wal, uint64_t *end);
/* The last segment with nothing in it that is not released. */
uint64_t wal_released_segment(const struct wal *wal);
/* Later small values go to a fresh chunk: called when a memtable is full, so that it pins no bytes of the
 * next. */
void wal_cut_chunk(struct wal *wal);

uint64_t wal_durable_sequence(const struct wal *wal);
uint64_t wal_pending_bytes(const struct wal *wal);
uint64_t wal_live_bytes(const struct wal *wal); /* in segments with records that are not in tables */
uint64_t wal_kept_bytes(const struct wal *wal); /* in these, and in segments that tables refer to */

struct wal_counters {
    uint64_t syncs, bytes; /* written, padding included */
    struct histogram sync_ns;
};
const struct wal_counters *wal_counters(const struct wal *wal);

#endif
