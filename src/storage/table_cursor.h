// SPDX-License-Identifier: Apache-2.0
/* table_cursor.h: a position in one run of a table.
 *
 * On the loop a cursor reads blocks and values through the cache and answers PENDING while one is missing;
 * the same call is then made again. A sequential cursor reads stretches instead, past the cache: windows of
 * whole clusters, and values that lie beside each other in one piece, from WINDOW_STEP up to
 * TABLE_WINDOW_SIZE, each twice as long as the one before, forwards or backwards. A job's cursor (no cache)
 * blocks and reads windows into its own memory. Once something was not in the page cache, a cursor that goes
 * forwards tells the kernel what it will want next, up to AHEAD_SIZE_MAX ahead, so that it is read side by
 * side with what is done here.
 *
 * Owner   the run's table and segments must stay pinned while the cursor lives, and for a job open. Keys and
 * values are valid until the next move; values with an owner may be kept longer by reference (never in jobs:
 * they have none). Errors  CORRUPT, IO: the position is then undefined until the next seek. */
#ifndef SENTINEL_STORAGE_TABLE_CURSOR_H
#define SENTINEL_STORAGE_TABLE_CURSOR_H

#include "storage/table.h"

#define TABLE_WINDOW_SIZE (512 * KIB)

struct table_cursor_options {
    struct block_cache *cache; /* NULL: a job */
    bool blocking, sequential;
    size_t window; /* no stretch needs to be longer; 0: TABLE_WINDOW_SIZE */
    size_t ahead;  /* how far the kernel is told at once of what comes; 0: not before something is missing */
    void (*ready)(void *ctx);
    void *ctx;
};
struct table_cursor {
    struct table_cursor_options options;
    struct table *table;
    const struct table_run_meta *bounds; /* borrowed */
    enum { TABLE_CURSOR_STILL, TABLE_CURSOR_TO_FIRST, TABLE_CURSOR_TO_LAST } moving;
    bool positioned;
    bool at_last;                   /* the data block is the one that the run ends in */
    struct block_fetch fetch;       /* index and data blocks, windows */
    struct block_fetch value_fetch; /* values apart or in the log */
    struct shared_slice index_bytes, data_bytes, value;
    uint64_t data_offset, value_offset; /* of what is held; 0 with no owner: nothing */
    const struct block_source *value_source;
    struct table_window {
        const struct block_source *source; /* NULL: nothing is held */
        struct shared_slice bytes;
        uint64_t offset;
        size_t limit;    /* of the next one; 0: the first */
        uint8_t *memory; /* jobs */
        size_t capacity;
    } window, log_window;   /* of whole clusters; of values apart or in the log */
    uint64_t alone;         /* the cluster that ends there is read without those behind it */
    struct table_ahead {    /* what the kernel was told will be read */
        size_t size;        /* so far from here on; 0: nothing was missing yet */
        uint64_t table_end; /* of the table: up to here */
        uint64_t block;     /* of values in the log: up to this data block, */
        size_t at;          /* this entry of it, */
        uint64_t bytes;     /* and so many that were not read yet */
        bool ended;         /* that is all of the run */
    } ahead;
    struct log_source *log; /* where the last value in the log was; or NULL */
    bool backward;          /* the last move */
    bool careful;           /* a stretch could not be read: each value by itself, until the next seek */
    uint8_t *index_memory;  /* jobs */
    struct writer inflated; /* jobs: the data block, when it was compressed */
    struct block_codec codec;
    bool has_index, has_data, has_value;
    bool at_cluster; /* the index stands at the cluster that is wanted */
    struct block_cursor index, data;
};
void table_cursor_init(struct table_cursor *cursor, struct table *table, const struct table_run_meta *bounds,
                       const struct table_cursor_options *options);
void table_cursor_release(struct table_cursor *cursor);
/* Who is told from now on when what is missing is there, also by a call that is PENDING. */
void table_cursor_tell(struct table_cursor *cursor, void (*ready)(void *ctx), void *ctx);
/* OK, END, PENDING, CORRUPT, IO. */
enum status table_cursor_seek(struct table_cursor *cursor, struct slice key) MUST_USE;
enum status table_cursor_seek_prev(struct table_cursor *cursor, struct slice key) MUST_USE;
enum status table_cursor_next(struct table_cursor *cursor) MUST_USE;
enum status table_cursor_prev(struct table_cursor *cursor) MUST_USE;
static inline struct slice table_cursor_key(const struct table_cursor *cursor) {
    return block_cursor_key(&cursor->data);
}
static inline const struct block_entry *table_cursor_entry(const struct table_cursor *cursor) {
    return &cursor->data.entry;
}
/* The value of a put of any kind; borrowed: cursor or its owner keeps it. OK, PENDING, CORRUPT, IO. */
enum status table_cursor_value(struct table_cursor *cursor, struct shared_slice *value) MUST_USE;

/* After CORRUPT or IO, until the next move: the keys that cannot be read, both included. A value takes its
 * key with it, a block the keys of its cluster, an index all of the run. */
void table_cursor_gap(const struct table_cursor *cursor, struct writer *first, struct writer *last);

#endif
