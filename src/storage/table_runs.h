// SPDX-License-Identifier: Apache-2.0
/* table_runs.h: how the entries of a table that is being written become runs (table.h).
 *
 *   entries of one partition: a stretch ─> large: a run of its own
 *                                          small: joined with small ones before it
 *
 * A large stretch ends its cluster, so that what follows begins a block of its own; small ones share blocks,
 * also with a large one behind them: a cursor stops at the bounds of its run, wherever they are.
 *
 * Owner   keys and refs lie in the arena inside until table_runs_finish copies them. Loop  any thread. */
#ifndef SENTINEL_STORAGE_TABLE_RUNS_H
#define SENTINEL_STORAGE_TABLE_RUNS_H

#include "storage/table.h"

struct table_ref_list {
    struct table_ref *refs; /* by rising segment */
    uint32_t count, capacity;
};
struct table_runs {
    size_t partition_prefix_size; /* 0: one stretch, unless it is cut */
    size_t run_bytes_min;         /* a stretch that is smaller is small */
    bool cut;                     /* the next entry begins a run */
    /* the stretch under way; none when its meta has no entries */
    struct table_run_meta stretch;
    struct writer first; /* its first key */
    bool alone;          /* not joined with what came before */
    uint64_t size;       /* about, values in the log included */
    struct table_ref_list stretch_refs;
    struct value_place place; /* of its last value in the log */
    /* the runs before it; keys and refs of the last one are still here */
    struct table_run_meta *runs;
    size_t run_count, run_capacity;
    bool joinable; /* the last one is made of small stretches */
    struct writer last;
    struct table_ref_list last_refs;
    uint64_t start; /* position where the last one, or else the stretch, begins */
    struct arena arena;
};
void table_runs_init(struct table_runs *runs, size_t partition_prefix_size, size_t run_bytes_min);
void table_runs_release(struct table_runs *runs);
/* True when `key` does not belong to the stretch under way: end it (if there is one) and begin another. */
bool table_runs_changes(const struct table_runs *runs, struct slice key);
/* True when the stretch under way will be a run that shares no block with what follows. */
bool table_runs_apart(const struct table_runs *runs);
/* position: bytes written so far, about. */
void table_runs_begin(struct table_runs *runs, struct slice key, uint64_t position);
void table_runs_add(struct table_runs *runs, struct slice key, const struct block_entry *entry);
void table_runs_end(struct table_runs *runs, struct slice last, uint64_t position);
/* Fills runs and data_bytes of *meta, in the caller's arena. */
void table_runs_finish(struct table_runs *runs, struct arena *arena, struct table_meta *meta);

#endif
