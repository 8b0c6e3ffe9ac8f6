// SPDX-License-Identifier: Apache-2.0
/* wal_direct.h: large groups of the log that hardly anybody will read go past the page cache.
 *
 *   slices of a group ─(copied)─> one aligned piece ─(O_DIRECT)─> disk
 *
 * What a follower takes in while it catches up is cold (wal_cold.h): the page cache would forget it a moment
 * later. Copying it there is what costs: 2 s of CPU for a GiB where pages are fresh, against 0.05 s for the
 * copy made here; and the disk waits meanwhile. A group with little in it, or with much that will be read,
 * goes the usual way.
 *
 * Owner   the log. Memory and descriptor are held while such groups come, one after the other; the descriptor
 *         is a second one of the current segment, opened on the loop (some microseconds, once a segment).
 * Errors  none: what cannot go this way goes the other. A file system that opens such files and then takes no
 *         such writes (INVALID) is not asked again.
 * Loop    shard thread only.  Bounds: WAL_DIRECT_MAX bytes of memory. */
#ifndef SENTINEL_STORAGE_WAL_DIRECT_H
#define SENTINEL_STORAGE_WAL_DIRECT_H

#include "base/slice.h"
#include "base/units.h"
#include "io/io.h"

#define WAL_DIRECT_MIN     (256 * KIB) /* of a group */
#define WAL_DIRECT_MAX     (8 * MIB)
#define WAL_DIRECT_HOT_DIV 8 /* one part in so many may be what will be read */

struct wal_direct {
    struct io *io;
    const char *dir;
    struct io_file *file; /* of file_number; NULL: none */
    uint64_t file_number;
    uint8_t *bytes;
    size_t capacity;
    struct slice piece; /* under way; empty: the group goes the usual way */
    bool refused;
};

void wal_direct_init(struct wal_direct *direct, struct io *io, const char *dir);
void wal_direct_release(struct wal_direct *direct);
/* Gathers a group of `size` bytes, a multiple of the block size as its offset is, of which `cold_size` need
 * not be kept. False: it is for the usual way. Else `file` and `piece` are what to write. */
bool wal_direct_take(struct wal_direct *direct, uint64_t file_number, const struct slice *slices,
                     uint32_t count, size_t size, size_t cold_size);
/* The group is done. `more`: another one waits. True: it is to be written again, the usual way. */
bool wal_direct_done(struct wal_direct *direct, enum status status, bool more);

#endif
