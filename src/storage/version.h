// SPDX-License-Identifier: Apache-2.0
/* version.h: which tables exist and where their runs stand in the levels, now and for those still reading.
 *
 *   version_set ─ current ─> version ─ levels[0..6] ─> run ─> table
 *                            older versions, pinned by iterators
 *
 * A version never changes; an edit makes the next one. A run is a stretch of one table (table.h). Runs of
 * level 0 may overlap, newest first; from level 1 on they are sorted and disjoint, and what stands deeper is
 * older wherever it overlaps. Range deletions that still hide something are part of the version.
 *
 * A run also pins the segments of the log that hold values of its entries: they are not recycled before.
 *
 * Owner   version_pin/unpin; a version pins its runs, a run its table and segments. A table without pins is
 * closed and its file removed by a job: it left the durable manifest before its last version could die.
 * Errors  an edit that makes no sense is CORRUPT and changes nothing.
 * Loop    shard thread; jobs read runs that the loop keeps pinned.
 * I1 levels >= 1 sorted and disjoint by key.  I2 level 0 by falling newest sequence. */
#ifndef SENTINEL_STORAGE_VERSION_H
#define SENTINEL_STORAGE_VERSION_H

#include "base/map.h"
#include "storage/edit.h"
#include "storage/tombstone.h"

struct key_range {
    struct slice first, last; /* both included */
};
/* Keys of a run that cannot be read, both included. */
struct run_gap {
    struct list link;
    struct slice first, last; /* behind the struct */
};
struct run {
    uint32_t pins;
    struct table *table;
    struct table_run_meta meta; /* refs and keys follow the struct */
    bool compacting;            /* input of the compaction under way */
    bool damaged;               /* some of it cannot be read and is needed: left where it is */
    bool mended;                /* what cannot be read is not needed any more: to be written anew */
    struct list gaps;           /* struct run_gap: known ones (damage.h) */
    uint32_t read_failures;     /* of compactions with it */
};
struct version_level {
    struct run **runs;
    size_t count, capacity;
    uint64_t bytes;
    uint64_t newest; /* sequence among all its entries */
};
/* The segments of the log that tables refer to are in the set: set->logs. */
struct version_tombstones {
    uint32_t pins;
    uint64_t generation; /* another set, another number */
    struct tombstone_set set;
};
struct version {
    uint32_t pins;
    struct version_set *set;
    struct version_level levels[STORE_LEVEL_COUNT];
    struct version_tombstones *tombstones;
    uint32_t level0_tables; /* how many tables the runs of level 0 are in */
};
void version_pin(struct version *version);
void version_unpin(struct version *version);
/* The first run of a sorted level whose last key is >= key; count when there is none. */
size_t version_level_find(const struct version_level *level, struct slice key);
/* True when some run of the level shares a key with [first, last]. */
bool version_level_overlaps(const struct version_level *level, uint32_t index, struct slice first,
                            struct slice last);
void version_check(const struct version *version);

struct version_set {
    struct io *io;
    const char *dir;
    struct log *log;
    struct block_cache *cache; /* told when a table goes; may be NULL */
    struct map tables;         /* number, big-endian, to struct table */
    struct map logs;           /* segment, big-endian, to struct log_source: those that tables refer to */
    struct open_files files;   /* of both */
    struct version *current;
    uint64_t flushed_sequence, durable_sequence, next_file;
    uint64_t sealed_segment; /* the log was closed behind it, at durable_sequence */
    uint64_t generations;
    uint64_t table_bytes; /* of all files that exist */
    bool keep_files;      /* closing, or read-only: nothing is removed */
    struct list dead;     /* tables whose files wait to be removed */
    struct list removing;
    struct io_job removal;
    bool removal_running;
    void (*changed)(void *ctx); /* a removal ended */
    /* Fills number and size of a segment's file, and its first sequence, where they are known already. May
     * be NULL. */
    void (*log_file)(void *ctx, struct log_source *log);
    void (*log_unpinned)(void *ctx); /* a segment is no longer referred to; may be NULL */
    void *ctx;
};
void version_set_init(struct version_set *set, struct io *io, const char *dir, struct log *log);
/* All versions must be unpinned by others, but in the simulator's crash. Keeps all files. */
void version_set_release(struct version_set *set);
/* Makes the next version. CORRUPT: nothing changed. */
enum status version_set_apply(struct version_set *set, struct slice edit,
                              struct diagnostic *diagnostic) MUST_USE;
/* The same while a manifest is read and nobody has pinned a version: edits change the current one in place,
 * and are counted together by version_set_loaded. CORRUPT: the set is good for nothing but to be released. */
enum status version_set_load(struct version_set *set, struct slice edit,
                             struct diagnostic *diagnostic) MUST_USE;
void version_set_loaded(struct version_set *set);
/* The edit that makes the current state from nothing. */
void version_set_snapshot(const struct version_set *set, struct writer *edit);
struct table *version_set_table(const struct version_set *set, uint64_t number);     /* NULL: unknown */
struct log_source *version_set_log(const struct version_set *set, uint64_t segment); /* NULL: no run refers */
/* Says in an edit which file holds a segment, unless the manifest has it. */
void version_set_tell_log(const struct version_set *set, uint64_t segment, struct writer *edit);
bool version_set_idle(const struct version_set *set);

#endif
