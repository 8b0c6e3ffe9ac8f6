// SPDX-License-Identifier: Apache-2.0
/* wal_cold.h: what of the log the page cache need not keep.
 *
 *   a group is durable ─> its cold values ─> gathered until they are many ─(a job)─> the kernel forgets them
 *
 * A follower's copy of a partition is written and, as long as its leader lives, hardly ever read; the newest
 * of it are in the memtable besides. Kept, it takes from the page cache what consumers of this node's own
 * partitions would find there: with three replicas, two thirds of all that is written. Whoever reads it after
 * all (a consumer near this replica, a new leader's consumers that lag) finds it on the disk.
 *
 * Only where a partition's stretch is long: short ones are read again soon, by the compaction that moves them
 * into tables (COMPACTION_EXTENT_MIN).
 *
 * Owner   the log. The job opens files by name: a segment may be closed, used again or gone meanwhile.
 * Errors  none: a hint that is lost costs page cache.  Loop: shard thread, and its job.
 * Bounds  WAL_COLD_RANGES; what comes beyond them while a job runs is forgotten here, and kept by the kernel.
 */
#ifndef SENTINEL_STORAGE_WAL_COLD_H
#define SENTINEL_STORAGE_WAL_COLD_H

#include "base/units.h"
#include "io/io.h"
#include "storage/layout.h"

#define WAL_COLD_BYTES       (4 * MIB)  /* so many are worth a job, */
#define WAL_COLD_RANGES      32u        /* and so are so many places */
#define WAL_COLD_STRETCH_MIN (16 * KIB) /* of one partition in one group, on average */

struct wal_cold_range {
    uint64_t file_number, offset, size;
};
struct wal_cold {
    struct io *io;
    const char *dir;
    void (*changed)(void *ctx); /* the job ended */
    void *ctx;
    struct io_job job;
    bool running;
    uint32_t gathered_count, told_count;
    uint64_t gathered_bytes;
    struct wal_cold_range gathered[WAL_COLD_RANGES], told[WAL_COLD_RANGES];
};

void wal_cold_init(struct wal_cold *cold, struct io *io, const char *dir, void (*changed)(void *ctx),
                   void *ctx);
/* These bytes of a segment are durable. */
void wal_cold_add(struct wal_cold *cold, uint64_t file_number, uint64_t offset, uint64_t size);

#endif
