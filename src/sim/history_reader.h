// SPDX-License-Identifier: Apache-2.0
/* history_reader.h: a client that reads one partition on and on, and holds what it gets against the history.
 *
 * Owner   the caller; history_reader_release. Loop: one thread. */
#ifndef SENTINEL_SIM_HISTORY_READER_H
#define SENTINEL_SIM_HISTORY_READER_H

#include "sim/history.h"
#include "wire/record_batch.h"

struct history_reader {
    uint32_t partition;
    int64_t offset; /* next to be read */
    int64_t log_start, high_watermark;
    void (*took)(void *ctx, uint32_t partition, const struct record *record); /* each record; or NULL */
    void *ctx;
    bool verifying; /* remembers what it saw, by offset - log_start */
    bool *seen;
    size_t seen_capacity;
};

void history_reader_release(struct history_reader *reader);
/* One batch as it was fetched: B5, B12, S6. */
void history_reader_take(struct history *history, struct history_reader *reader, struct slice batch);
/* From the start again, remembering. */
void history_reader_restart(struct history_reader *reader);

#endif
