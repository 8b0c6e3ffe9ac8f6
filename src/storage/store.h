// SPDX-License-Identifier: Apache-2.0
/* store.h: the storage engine of one shard, a log-structured merge tree; the only storage header used above.
 *
 *   store_write ─> WAL (one fsync for all that waited) ─> memtable ─> flush job ─> level 0 ─> compaction ─>
 * level n store_get, iterators <─ memtables, block cache, tables
 *
 * Keys are bytes, ordered as slice_compare does. A put may carry its value by reference: the bytes then go
 * from the receive buffer to the log, the memtable and later readers without being encoded again. Range
 * deletion is one record. The first `partition_prefix_size` bytes of a key name its partition (our keys
 * begin with the group number): flush and compaction cut tables there, so that append-only partitions move
 * down the levels without being rewritten.
 *
 * Source  O'Neil et al. 1996 (LSM-tree); LevelDB doc/impl.md; docs/formats.md has every byte on disk.
 * Owner   the store owns its files and memory; batches and iterators belong to the caller.
 * Errors  IO and CORRUPT from a write are final: the store takes no more writes (a failed fsync is never
 *         retried, settled decision 6) and says so in every later answer. NO_SPACE is not: writes resume when
 *         there is room, or descriptors for files again. A read that meets a damaged block gets CORRUPT,
 *         never NOT_FOUND: store_on_damage.
 * Loop    shard thread only; flush and compaction run as jobs inside.
 * Bounds  STORE_KEY_SIZE_MAX; values up to STORE_VALUE_SIZE_MAX; memory by options.
 * I1  a write whose done ran with OK survives any crash.   I2  after a crash the store holds a prefix of the
 * writes in the order they were given, each whole or not at all.   I3  reads see every write given before. */
#ifndef SENTINEL_STORAGE_STORE_H
#define SENTINEL_STORAGE_STORE_H

#include "base/buffer.h"
#include "base/cursor.h"
#include "base/histogram.h"
#include "base/units.h"
#include "io/io.h"

#define STORE_KEY_SIZE_MAX   ((size_t)1024)
#define STORE_VALUE_SIZE_MAX (128 * MIB)

/* What data blocks of tables are compressed with; the numbers are on disk. Reading knows all of them. */
enum store_compression { STORE_COMPRESSION_NONE, STORE_COMPRESSION_LZ4, STORE_COMPRESSION_ZSTD };

struct store;

struct store_options {
    const char *dir;                    /* made when missing */
    size_t memtable_bytes;              /* flush when the active memtable holds this much; 0: default */
    size_t cache_bytes;                 /* block cache; 0: default */
    size_t wal_segment_bytes;           /* 0: default */
    size_t log_read_bytes;              /* how much of the log is read at once; 0: default */
    size_t table_bytes;                 /* target size of a table; 0: default */
    uint64_t compaction_bytes_per_s;    /* while others use the store; 0: as fast as it can */
    uint32_t open_files_max;            /* of tables and segments of the log; 0: default */
    size_t manifest_bytes;              /* a manifest larger than this, and grown, is rewritten; 0: default */
    size_t partition_prefix_size;       /* 0: keys have no partitions */
    enum store_compression compression; /* of tables written from now on */
    uint64_t scrub_bytes_per_s; /* how fast stored bytes are read and checked; 0: as fast as they come */
    uint64_t scrub_interval_ns; /* pause between two rounds of it; 0: only when asked for */
    bool read_only;             /* inspect: nothing on disk changes */
    bool unlogged; /* benchmarks: no write-ahead log, so what is not flushed is lost; INVALID where a log lies
                    */
    struct log *log;
};

/* Recovers; blocks; prints progress to the log when it takes long. LOCKED: another process has the
 * directory. VERSION: a newer Sentinel wrote it. CORRUPT: the diagnostic names file, offset and reason. */
enum status store_open(struct io *io, const struct store_options *options, struct store **store,
                       struct diagnostic *diagnostic) MUST_USE;
/* Completes when everything written is durable and no job runs; writes are refused from now on. */
void store_shutdown(struct store *store, void (*done)(void *ctx), void *ctx);
/* Only after shutdown is done; or at any time in the simulator's crash, where nothing is flushed. */
void store_close(struct store *store);

/* ---- writing ----------------------------------------------------------------------------------------- */

#define STORE_WRITE_CHANGES 2 /* that a write holds without taking memory */
/* An atomic group of at least one change. Reusable after done (store_write_clear). */
struct store_write {
    void (*done)(
        struct store_write *write); /* durable, or failed: see status; never inside store_write_submit */
    enum status status;
    /* Its large values will hardly be read soon: when they are durable the page cache may forget them. Set
     * before store_write_submit. */
    bool cold;
    /* the store's own from here on */
    struct list link;
    struct store_change *changes;
    uint32_t change_count, change_capacity;
    size_t bytes;
    struct writer keys;
    uint64_t sequence;
    /* What a small write needs: it takes nothing from the heap, and must not be moved. */
    uint64_t change_space[STORE_WRITE_CHANGES * 8];
    uint8_t key_space[64];
};
void store_write_init(struct store_write *write, void (*done)(struct store_write *write));
void store_write_release(struct store_write *write);
/* A simulated crash, before store_close: `done` will not run, and the write may be released. */
void store_write_abandon(struct store_write *write);
void store_write_clear(struct store_write *write);
/* The key is copied. The value is referenced when it has an owner, else copied. */
void store_put(struct store_write *write, struct slice key, struct shared_slice value);
void store_delete(struct store_write *write, struct slice key);
void store_delete_range(struct store_write *write, struct slice from, struct slice to); /* [from, to) */
/* Readable at once, durable at done. Writes complete in the order they were given. */
void store_write_submit(struct store *store, struct store_write *write);
/* True while callers hold back new work, until `resume` is called (once per stall; set once): for a moment
 * when log, flush or compaction are behind, the longer the more they owe (pace.h). */
bool store_stalled(const struct store *store);
void store_on_resume(struct store *store, void (*resume)(void *ctx), void *ctx);

/* ---- reading ----------------------------------------------------------------------------------------- */

/* An ordered view of [lower, upper) as it was when opened. Moves return OK (positioned), END (no entry),
 * CORRUPT or IO, BUSY or DENIED (a file cannot be opened now: no damage), or PENDING: a block must be read
 * first; `ready` is called later on the loop, after which the same call is made again. Nothing is skipped by
 * that, but key and value are gone until the move is done. A blocking iterator never returns PENDING. After
 * any other status than OK, END and PENDING only another seek, or close. */
struct store_iterator;
enum store_iterator_flags {
    STORE_ITERATOR_BLOCKING = 1,   /* start-up, tools */
    STORE_ITERATOR_SEQUENTIAL = 2, /* a long scan: read ahead, leave the cache to others */
    STORE_ITERATOR_SILENT = 4      /* looks for damage: what it meets is not told (store_on_damage) */
};
struct store_iterator *store_iterator_open(struct store *store, struct slice lower, struct slice upper,
                                           unsigned flags, void (*ready)(void *ctx), void *ctx);
/* After CORRUPT or IO: the keys that cannot be read, both included. A seek to behind them goes on. Until the
 * next call. */
void store_iterator_gap(const struct store_iterator *it, struct slice *first, struct slice *last);
void store_iterator_close(struct store_iterator *it); /* also while PENDING; `ready` is then not called */
enum status store_iterator_seek(struct store_iterator *it,
                                struct slice key) MUST_USE; /* first entry >= key */
enum status store_iterator_seek_prev(struct store_iterator *it,
                                     struct slice key) MUST_USE; /* last entry <= key */
enum status store_iterator_next(struct store_iterator *it) MUST_USE;
enum status store_iterator_prev(struct store_iterator *it) MUST_USE;
struct store_entry {
    struct slice key;          /* until the next move */
    struct shared_slice value; /* until the next move, or for longer with shared_slice_ref */
};
const struct store_entry *store_iterator_entry(const struct store_iterator *it);
static inline struct slice store_iterator_key(const struct store_iterator *it) {
    return store_iterator_entry(it)->key;
}
static inline struct shared_slice store_iterator_value(const struct store_iterator *it) {
    return store_iterator_entry(it)->value;
}

/* Before the first move of a sequential iterator: about how many bytes will be read, which bounds what is
 * read at once and kept alive by the values, and what an earlier scan that ended here had learned about the
 * disk. */
void store_iterator_expect(struct store_iterator *it, size_t bytes, size_t ahead);
/* How far ahead bytes had to be read from the disk; 0: the page cache had them all. */
size_t store_iterator_ahead(const struct store_iterator *it);

/* Newest value of one key. OK: *value holds a reference for the caller. PENDING: `ready` is called later; ask
 * again. */
struct store_get {
    void (*ready)(struct store_get *get);
    void *waiting; /* NULL at first; the store's own */
};
enum status store_get(struct store *store, struct slice key, struct store_get *get,
                      struct shared_slice *value) MUST_USE;
void store_get_cancel(struct store_get *get); /* when its owner dies while PENDING */
enum status store_get_blocking(struct store *store, struct slice key, struct shared_slice *value) MUST_USE;

/* ---- housekeeping ------------------------------------------------------------------------------------ */

/* Starts a flush of the active memtable (tests, tools, shutdown); done when its table is in the manifest. */
void store_flush(struct store *store, void (*done)(void *ctx, enum status status), void *ctx);

/* A copy of the store as it is now, as hard links in `dir`, on the same file system (checkpoint.h). It is
 * made when done is called with OK: a store with everything acknowledged before the call. */
#define STORE_CHECKPOINTS "checkpoints" /* a folder in the store's own that may be used for them */
struct store_checkpoint {
    void (*done)(struct store_checkpoint *request);
    enum status status;
    struct diagnostic diagnostic;
    uint64_t tables, bytes;
};
void store_checkpoint(struct store *store, const char *dir, struct store_checkpoint *request);
/* The directory is a checkpoint, or a copy of one: a store as it was, which is not what everybody may begin
 * with.
 */
bool store_is_checkpoint(const struct store *store);
bool store_dir_is_checkpoint(struct io *io, const char *dir); /* before it is opened, which changes it */
/* From now on it is a store like any other; blocks. Nothing to do when it is one. */
enum status store_take_over(struct store *store) MUST_USE;
/* Reads and checks everything stored (scrub.h), begun now unless it is under way; one at a time. */
void store_scrub(struct store *store, void (*done)(void *ctx), void *ctx);

/* `told` is called on the loop, by itself, whenever a read, a compaction or the scrub finds that keys (both
 * included) cannot be read: there is no telling what stands there, nor that nothing does. Who has a copy
 * deletes the whole range and puts what belongs there, in one write: from then on readers pass over what is
 * damaged, and the bytes leave the store in time. Keys borrowed. */
void store_on_damage(struct store *store, void (*told)(void *ctx, struct slice first, struct slice last),
                     void *ctx);

#define STORE_LEVEL_COUNT 7
/* Why compactions are made (compaction_pick.h). */
enum store_compaction {
    STORE_COMPACTION_LEVEL0,
    STORE_COMPACTION_SIZE,
    STORE_COMPACTION_MENDED,
    STORE_COMPACTION_GARBAGE,
    STORE_COMPACTION_SPARSE,
    STORE_COMPACTION_SMALL,
    STORE_COMPACTION_REASONS
};
struct scrub_counters {
    uint64_t rounds, bytes, damaged; /* rounds done, bytes read, places found damaged */
};
struct store_stats {
    uint64_t write_batches, write_bytes, wal_syncs, wal_bytes, flushes, flush_bytes;
    uint64_t compactions, compaction_read_bytes, compaction_write_bytes;
    /* by level: bytes that compactions took from it and put into it */
    uint64_t level_read_bytes[STORE_LEVEL_COUNT], level_write_bytes[STORE_LEVEL_COUNT];
    uint64_t level_moved_bytes[STORE_LEVEL_COUNT]; /* that left it without being read */
    uint64_t compaction_reasons[STORE_COMPACTION_REASONS];
    uint64_t moves;                           /* compactions that moved runs without reading them */
    uint64_t block_bytes, stored_block_bytes; /* data blocks written, before and after compression */
    uint64_t stalls, stall_ns;                /* writers were stopped until there was room */
    uint64_t pauses, pause_ns;                /* they were slowed by a pause */
    uint64_t write_rate;       /* bytes a second that a pause under way allows; 0: there is none */
    uint64_t gets, get_tables; /* point reads, and the tables they looked into */
    uint64_t cache_hits, cache_misses, cache_meta_hits, cache_meta_misses, cache_evictions, cache_meta_bytes;
    uint64_t reads, read_bytes; /* of table files, by gets and iterators */
    uint64_t memtable_bytes, cache_bytes, table_bytes, wal_live_bytes, wal_kept_bytes;
    uint64_t open_files, opened_files; /* now, and times one was opened */
    uint32_t jobs_running;             /* flush, compaction, and the edits that end them */
    uint64_t level_runs[STORE_LEVEL_COUNT], level_bytes[STORE_LEVEL_COUNT];
    struct scrub_counters scrub;
    const struct histogram *stall_took_ns; /* stops and pauses */
    const struct histogram *wal_sync_ns, *write_ns, *flush_ns, *compaction_ns, *read_ns;
};
void store_stats(const struct store *store, struct store_stats *stats);
/* OK, or the final status that stopped writes. */
enum status store_health(const struct store *store);

#endif
