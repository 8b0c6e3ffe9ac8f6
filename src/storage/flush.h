// SPDX-License-Identifier: Apache-2.0
/* flush.h: a full memtable becomes tables.
 *
 * The build runs as a job (or inside recovery) on a memtable that no longer changes: of each key the newest
 * entry, without what the memtable's own range deletions hide. Large values stay in the log, and the tables
 * refer to them there: what is written here is keys and small values. The edit is made later, on the loop,
 * when it is clear what the levels hold: a run that shares no key with anything that exists goes to the last
 * level at once, and so does every run of a partition that is only appended to; everything else goes to level
 * 0.
 *
 * Source  O'Neil et al. 1996; settled decision 5 for the placement.
 * Owner   the output owns its arena; release frees it. Files belong to the directory.
 * Errors  NO_SPACE, IO: what was written is removed again. */
#ifndef SENTINEL_STORAGE_FLUSH_H
#define SENTINEL_STORAGE_FLUSH_H

#include "storage/memtable.h"
#include "storage/version.h"
#include "storage/wal_places.h"

/* A partition that brings less than this part of a table, or less than that, shares a run with its
 * neighbours. A run that many share overlaps with all that lies below them, and is merged with it. */
#define FLUSH_RUN_FACTOR    512u
#define FLUSH_RUN_BYTES_MIN (16 * KIB)
static inline size_t flush_run_bytes_min(size_t table_bytes) {
    return MIN(table_bytes / FLUSH_RUN_FACTOR, FLUSH_RUN_BYTES_MIN);
}

struct table_output {
    struct arena arena;
    struct table_meta *tables;
    uint32_t count, capacity;
};
void table_output_init(struct table_output *output);
void table_output_release(struct table_output *output);
struct table_meta *table_output_add(struct table_output *output);
/* Removes the files again: they will not be used. */
void table_output_discard(struct table_output *output, struct io *io, const char *dir);

struct flush_options {
    struct io *io;
    const char *dir;
    uint64_t store_id;
    uint64_t first_number; /* of FLUSH_NUMBERS that are reserved */
    size_t table_bytes, partition_prefix_size;
    enum store_compression compression;
    const struct wal_places_view *places; /* where the log holds large values; NULL: they are written here */
};
/* File numbers to reserve for a flush of that much. */
uint64_t flush_numbers(size_t memtable_bytes, size_t table_bytes);
/* Blocks. The directory is synced when it is done. */
enum status flush_build(const struct flush_options *options, const struct memtable *memtable,
                        struct table_output *output) MUST_USE;

/* The keys that a compaction under way will write: by key, disjoint. */
struct flush_reserved {
    const struct key_range *parts;
    size_t count;
};
/* The edit that puts `output` in place and records that the memtable is flushed. */
void flush_edit(const struct version_set *versions, const struct memtable *memtable,
                const struct table_output *output, const struct flush_reserved *reserved,
                struct writer *edit);

#endif
