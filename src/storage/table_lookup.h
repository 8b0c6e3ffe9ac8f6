// SPDX-License-Identifier: Apache-2.0
/* table_lookup.h: the lookup of one key in one table after the other: filter, index, data block, value.
 *
 * What a call has read is kept until the lookup in that table is over, so that a call that is made again
 * after PENDING gets further, however small the cache.
 *
 * Owner   tables and segments must stay pinned while a lookup is PENDING. Errors: CORRUPT, IO. Loop: shard
 * thread only. */
#ifndef SENTINEL_STORAGE_TABLE_LOOKUP_H
#define SENTINEL_STORAGE_TABLE_LOOKUP_H

#include "storage/table_cursor.h"

#define TABLE_LOOKUP_STEPS 3u /* filter, index, data */
struct table_lookup {
    struct table_cursor_options options;
    struct block_fetch fetch;
    uint64_t number; /* of the table that `kept` belongs to */
    struct shared_slice kept[TABLE_LOOKUP_STEPS];
    bool filter_damaged; /* found by the last lookup, which did without */
};
void table_lookup_init(struct table_lookup *lookup, const struct table_cursor_options *options);
void table_lookup_release(struct table_lookup *lookup); /* also while PENDING */
/* OK: *entry says what is there (its value is borrowed only until the call returns) and *value holds a
 * reference, empty for a DELETE. NOT_FOUND, PENDING (ask again), CORRUPT, IO. */
enum status table_lookup_run(struct table_lookup *lookup, struct table *table,
                             const struct table_run_meta *run, struct slice key, uint64_t hash,
                             struct block_entry *entry, struct shared_slice *value) MUST_USE;

#endif
