// SPDX-License-Identifier: Apache-2.0
/* wal_segments.h: the files behind the log: one current, older ones that are still needed, spares.
 *
 * A job keeps one spare ready: created, zero-written and synced with its directory, so that a group never
 * grows a file and its sync changes no metadata. While groups are large, new spares are only reserved: zeros
 * would double what is written, and the metadata costs a large group little (256 KiB groups reach 60 %, 1 MiB
 * groups 70 % of the speed in written space; a 4 KiB group takes 50 us longer). The first spare is small and
 * each is four times the one before, up to the configured size: a store that is hardly used costs next to
 * nothing. A segment that is no longer needed becomes a spare; one that tables refer to stays live.
 *
 * Only the current segment and spares that are ready have an open file: what is stored costs no descriptors.
 * A retired segment waits without one until a spare is wanted; the job then opens it.
 *
 * Owner   this module owns the files. Errors: a spare that cannot be made is told through `ready`.
 * Loop    shard thread. Bounds: WAL_SPARES_MAX, those that wait included; what is beyond is removed. */
#ifndef SENTINEL_STORAGE_WAL_SEGMENTS_H
#define SENTINEL_STORAGE_WAL_SEGMENTS_H

#include "storage/wal.h"

#define WAL_SPARES_MAX 2u

struct wal_segment {
    struct list link;
    uint64_t file_number;
    struct io_file *file; /* NULL: not open */
    uint64_t size;
    uint64_t segment; /* 0: a spare */
    uint64_t end;     /* behind the last group */
    uint64_t first_sequence, last_sequence;
    bool damaged; /* put aside, not used again, when nothing needs it any more */
};
struct wal_segments;

struct wal_segments *wal_segments_new(const struct wal_options *options, const struct wal_start *start,
                                      void (*ready)(void *ctx, enum status status), void *ctx);
void wal_segments_begin(struct wal_segments *segments); /* first work: a spare, removals */
void wal_segments_free(struct wal_segments *segments);
bool wal_segments_idle(const struct wal_segments *segments);
/* The size that the next segment will have, at least `need`. */
uint64_t wal_segments_plan(const struct wal_segments *segments, uint64_t need);
/* Makes a spare of at least that size the current segment; NULL: `ready` is called when one may be there. */
struct wal_segment *wal_segments_activate(struct wal_segments *segments, uint64_t segment, uint64_t size);
/* How large groups are now: decides how the next spare is made. */
void wal_segments_expect(struct wal_segments *segments, uint64_t group_bytes);
/* The current segment, never written to, is a spare again. */
void wal_segments_deactivate(struct wal_segments *segments);
struct wal_segment *wal_segments_current(struct wal_segments *segments); /* NULL before the first */
void wal_segments_release(struct wal_segments *segments, uint64_t sequence);
bool wal_segments_next_due(const struct wal_segments *segments, uint64_t number, uint64_t due, uint64_t *next,
                           struct wal_segment_info *info);
void wal_segments_damaged(struct wal_segments *segments, uint64_t number);
bool wal_segments_info(const struct wal_segments *segments, uint64_t number, struct wal_segment_info *info);
uint64_t wal_segments_released(const struct wal_segments *segments);
uint64_t wal_segments_live_bytes(const struct wal_segments *segments);
uint64_t wal_segments_kept_bytes(const struct wal_segments *segments); /* all but spares */

#endif
