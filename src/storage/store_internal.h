// SPDX-License-Identifier: Apache-2.0
/* store_internal.h: the parts of a store and how its files share them. Only store*.c, recovery.c and
 * compaction*.c include this. */
#ifndef SENTINEL_STORAGE_STORE_INTERNAL_H
#define SENTINEL_STORAGE_STORE_INTERNAL_H

#include "storage/change.h"
#include "storage/flush.h"
#include "storage/manifest.h"
#include "storage/memtable.h"
#include "storage/merge_iterator.h"
#include "storage/pace.h"
#include "storage/store.h"
#include "storage/wal.h"

#define STORE_MEMTABLE_BYTES (16 * MIB)
#define STORE_CACHE_BYTES    (32 * MIB)
#define STORE_SEGMENT_BYTES  (32 * MIB)
#define STORE_TABLE_BYTES    (64 * MIB)
#define STORE_IMMUTABLE_MAX  8u /* full memtables queued for flushing; more are never made */
/* Writers are slowed (pace.h) when so many memtables are full: one that is being flushed and one that is
 * written to; and stopped at so many. */
#define STORE_MEMTABLES_SLOW 2u
#define STORE_MEMTABLES_STOP 4u
/* The same for tables of level 0. */
#define STORE_LEVEL0_SLOW 8u
#define STORE_LEVEL0_STOP 32u
#define STORE_RETRY_NS    (NS_PER_S)
/* When nothing was written for so long, the manifest notes how far the log is durable: from then on a damaged
 * end of the log cannot be taken for an unfinished write. */
#define STORE_WATERMARK_NS (2 * NS_PER_S)

struct store_flush {
    struct io_job job;
    struct manifest_commit commit;
    bool running;
    struct memtable *memtable;
    struct flush_options options;
    struct wal_places_view places;
    struct table_output output;
    enum status status;
    uint64_t started_ns;
    struct io_timer retry; /* after NO_SPACE */
};
struct store_stall {
    bool on;      /* writers hold back */
    bool stopped; /* nothing was allowed at some time of it */
    uint64_t since_ns;
    struct io_timer timer; /* looks again */
    struct pace pace;
    struct pace_debt memtables, level0, log;
    struct histogram took_ns;
};
struct store_flush_waiter {
    struct list link;
    uint64_t sequence;
    void (*done)(void *ctx, enum status status);
    void *ctx;
};
struct compaction;

struct store {
    struct io *io;
    char *dir;
    struct store_options options; /* defaults filled in */
    struct log *log;
    struct io_file *lock;
    uint64_t store_id;
    enum status status; /* OK, or the final status that stopped writes */
    bool is_checkpoint; /* not taken over yet */
    struct wal *wal;
    struct wal_places places;
    struct manifest *manifest;
    struct version_set versions;
    struct block_cache *cache;
    struct memtable *active;
    struct memtable *immutables[STORE_IMMUTABLE_MAX]; /* oldest first */
    uint32_t immutable_count;
    struct store_flush flush;
    struct list flush_waiters;
    struct compaction *compaction; /* NULL: read-only; so are the next two */
    struct scrub *scrub;
    struct checkpoint *checkpoint;
    struct list iterators;
    struct list refused; /* writes to be completed with their status in the next phase */
    struct io_op refuse;
    bool refusing;
    struct store_stall stall;
    void (*resume)(void *ctx);
    void *resume_ctx;
    struct {
        struct manifest_commit commit;
        struct io_timer timer;
        bool running;
        bool last; /* the one of the shutdown was begun */
    } watermark;
    struct {
        struct list news; /* gaps to be told */
        struct io_op op;
        bool telling;
        void (*told)(void *ctx, struct slice first, struct slice last);
        void *ctx;
    } damage; /* damage.c */
    bool shutting_down, shutdown_told;
    enum { SHUTDOWN_FLUSH_DUE, SHUTDOWN_FLUSHING, SHUTDOWN_FLUSHED } shutdown_flush;
    void (*shutdown_done)(void *ctx);
    void *shutdown_ctx;
    struct io_op shutdown_op, begin;
    struct store_stats stats;
    struct histogram write_ns, flush_ns, compaction_ns;
};

/* recovery.c: fills places too, versions and active, and starts log and manifest. */
enum status recovery_run(struct store *store, struct diagnostic *diagnostic) MUST_USE;

/* store.c */
void store_versions_init(struct store *store);
void store_fail(struct store *store, enum status status);
/* The store's own name, durably: it is an entry of the parent directory. */
enum status store_sync_parent(struct store *store, struct diagnostic *diagnostic) MUST_USE;
uint64_t store_next_file(void *ctx);
void store_changed(void *ctx); /* something ended: shutdown, stall and waiters are looked at again */
void store_watermark_later(struct store *store);

/* store_stall.c */
void store_stall_init(struct store *store);
void store_stall_release(struct store *store);
void store_stall_after_write(struct store *store, uint64_t bytes);
void store_stall_look(struct store *store); /* something ended: perhaps writers may go on */
/* So many bytes are done: in the log, out of memtables, tables out of level 0. */
void store_stall_logged(struct store *store, uint64_t bytes);
void store_stall_flushed(struct store *store, uint64_t bytes, uint64_t started_ns);
void store_stall_compacted(struct store *store, uint32_t tables, uint64_t started_ns);

/* store_stats.c: counts tables that were written; their bytes */
uint64_t store_count_tables(struct store *store, const struct table_output *output);

/* store_flush.c */
void store_flush_init(struct store *store);
void store_flush_release(struct store *store);
struct flush_options store_table_options(const struct store *store); /* of a job that writes tables */
void store_rotate(struct store *store); /* the active memtable becomes immutable, if it holds anything */
void store_flush_start(struct store *store);
/* Writes after `sequence` were taken back: nobody waits for them any more. */
void store_flush_clip(struct store *store, uint64_t sequence);
void store_flush_tell(struct store *store); /* waiters whose sequence is flushed, or all after a failure */

/* store_write.c: completions of the log */
void store_log_completed(void *ctx, enum status status, struct list *writes);

/* store_iterator.c: after failed writes were taken back */
void store_iterators_clip(struct store *store, uint64_t sequence);

#endif
