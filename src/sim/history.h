// SPDX-License-Identifier: Apache-2.0
/* history.h: what clients were told, kept outside every crash, and the invariants held against it.
 *
 * Names follow the project's list of invariants: B1 dense offsets, B2 one value an offset, B3 what a producer
 * sends gets offsets in the order of sending, B4 high watermark never goes back, B6 nothing acknowledged is lost, B7 no duplicates: no two records of a run are equal, and
 * nobody sends one twice but an idempotent producer. The first
 * violation is kept with a sentence; later ones are consequences.
 *
 * Owner   the run. A partition is named by a number that the caller chooses. Loop: one thread. */
#ifndef SENTINEL_SIM_HISTORY_H
#define SENTINEL_SIM_HISTORY_H

#include "base/slice.h"

#define HISTORY_PARTITIONS_MAX 256

struct history_place {
    uint64_t hash; /* 0: none */
    int64_t offset;
};
struct history_partition {
    uint64_t *values; /* by offset: hash of the record there, 0: never seen */
    bool *acknowledged;
    size_t capacity;
    struct history_place *places; /* where a record was seen, by its hash: open addressing */
    size_t place_count, place_capacity;
    int64_t high_watermark; /* highest that any client was told */
    int64_t log_start;      /* below it records may be gone */
};
struct history {
    struct history_partition partitions[HISTORY_PARTITIONS_MAX];
    uint64_t acknowledged_count, read_count;
    char violation[512]; /* empty: none */
};

void history_init(struct history *h);
void history_release(struct history *h);
/* A record's hash; never 0. */
uint64_t history_hash(struct slice value);
/* The broker acknowledged this record at this offset. */
void history_acknowledged(struct history *h, uint32_t partition, int64_t offset, uint64_t hash);
/* A batch of a producer that sent nothing after the one before until that was acknowledged, up to *end: B3. */
void history_append_order(struct history *h, uint32_t partition, int64_t *end, int64_t base, int64_t count);
/* A client read this record at this offset. */
void history_read(struct history *h, uint32_t partition, int64_t offset, uint64_t hash);
void history_high_watermark(struct history *h, uint32_t partition, int64_t high_watermark);
/* A client read everything from log_start to end: nothing acknowledged may have been missing. `seen` says
 * what was there, by offset - log_start. */
void history_read_all(struct history *h, uint32_t partition, int64_t log_start, int64_t end,
                      const bool *seen);
/* The broker was told to delete below, and may have. */
void history_deleted(struct history *h, uint32_t partition, int64_t below);
__attribute__((format(printf, 2, 3))) void history_violate(struct history *h, const char *format, ...);

#endif
