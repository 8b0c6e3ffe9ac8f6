// SPDX-License-Identifier: Apache-2.0
/* cleaner_pass.h: what the cleaner does with a few batches at a time, away from the loop: learn their keys,
 * or write them anew without what is superfluous.
 *
 * Owner   the chunk holds a reference on each batch and on each new one.  Loop: any thread, one at a time:
 * the map and the chunk are the job's while it runs. */
#ifndef SENTINEL_BROKER_CLEANER_PASS_H
#define SENTINEL_BROKER_CLEANER_PASS_H

#include "broker/cleaner.h"
#include "broker/cleaner_map.h"
#include "wire/record_batch.h"

struct cleaner_item {
    struct shared_slice batch;
    bool aborted;             /* of a transaction that was */
    struct buffer *rewritten; /* NULL: it stays as it is */
};
struct cleaner_chunk {
    struct cleaner_item items[CLEANER_CHUNK_BATCHES];
    uint32_t count;
    size_t bytes;
    /* rewriting */
    int64_t tombstones_to;
    bool has_tombstones; /* some stay */
    uint64_t records_removed, records_kept, bytes_kept;
    /* learning: how many items were taken; fewer than count: the map is full */
    uint32_t learned;
    enum status status;
};
bool cleaner_chunk_is_full(const struct cleaner_chunk *chunk);
void cleaner_chunk_add(struct cleaner_chunk *chunk, struct shared_slice batch, bool aborted);
void cleaner_chunk_clear(struct cleaner_chunk *chunk);
/* What its own records do not tell is left alone: damaged batches fail the pass with their status. */
void cleaner_chunk_learn(struct cleaner_chunk *chunk, struct cleaner_map *map);
void cleaner_chunk_rewrite(struct cleaner_chunk *chunk, const struct cleaner_map *map);

#endif
