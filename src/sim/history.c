// SPDX-License-Identifier: Apache-2.0
#include "sim/history.h"

#include <stdarg.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/units.h"

void history_init(struct history *h) {
    memset(h, 0, sizeof *h);
}

static void release(struct history_partition *p) {
    mem_free(p->values);
    mem_free(p->acknowledged);
    mem_free(p->places);
    *p = (struct history_partition){0};
}

void history_release(struct history *h) {
    for (uint32_t i = 0; i < HISTORY_PARTITIONS_MAX; i++)
        release(&h->partitions[i]);
}

uint64_t history_hash(struct slice value) {
    return hash_bytes(1, value) | 1;
}

void history_violate(struct history *h, const char *format, ...) {
    if (h->violation[0] != '\0') return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(h->violation, sizeof h->violation, format, arguments);
    va_end(arguments);
}

static struct history_partition *at(struct history *h, uint32_t partition, int64_t offset) {
    ASSERT(partition < HISTORY_PARTITIONS_MAX && offset >= 0);
    struct history_partition *p = &h->partitions[partition];
    if ((size_t)offset >= p->capacity) {
        size_t capacity = MAX((size_t)offset + 1, p->capacity * 2);
        p->values = mem_realloc(p->values, capacity * sizeof *p->values);
        p->acknowledged = mem_realloc(p->acknowledged, capacity * sizeof *p->acknowledged);
        memset(p->values + p->capacity, 0, (capacity - p->capacity) * sizeof *p->values);
        memset(p->acknowledged + p->capacity, 0, (capacity - p->capacity) * sizeof *p->acknowledged);
        p->capacity = capacity;
    }
    return p;
}

static struct history_place *place_of(struct history_partition *p, uint64_t hash) {
    size_t slot = hash & (p->place_capacity - 1);
    while (p->places[slot].hash != 0 && p->places[slot].hash != hash)
        slot = (slot + 1) & (p->place_capacity - 1);
    return &p->places[slot];
}

/* Where this record is, if it was seen before; else it is remembered to be here. */
static int64_t find_place(struct history_partition *p, uint64_t hash, int64_t offset) {
    if (p->place_count * 2 >= p->place_capacity) {
        struct history_partition old = *p;
        p->place_capacity = MAX((size_t)256, old.place_capacity * 2);
        p->places = mem_calloc(p->place_capacity, sizeof *p->places);
        for (size_t i = 0; i < old.place_capacity; i++)
            if (old.places[i].hash != 0) *place_of(p, old.places[i].hash) = old.places[i];
        mem_free(old.places);
    }
    struct history_place *place = place_of(p, hash);
    if (place->hash == 0) {
        *place = (struct history_place){hash, offset};
        p->place_count++;
    }
    return place->offset;
}

static void observe(struct history *h, uint32_t partition, int64_t offset, uint64_t hash, const char *how) {
    struct history_partition *p = at(h, partition, offset);
    if (p->values[offset] != 0 && p->values[offset] != hash)
        history_violate(h, "B2 one value: partition %u offset %lld was %s with another record than before",
                        partition, (long long)offset, how);
    p->values[offset] = hash;
    int64_t before = find_place(p, hash, offset);
    if (before != offset)
        history_violate(h, "B7 duplicate: partition %u offset %lld was %s, and is the record of %lld again",
                        partition, (long long)offset, how, (long long)before);
}

void history_acknowledged(struct history *h, uint32_t partition, int64_t offset, uint64_t hash) {
    observe(h, partition, offset, hash, "acknowledged");
    struct history_partition *p = at(h, partition, offset);
    if (p->acknowledged[offset])
        history_violate(h, "B7 duplicate: partition %u offset %lld was acknowledged twice", partition,
                        (long long)offset);
    p->acknowledged[offset] = true;
    h->acknowledged_count++;
}

void history_append_order(struct history *h, uint32_t partition, int64_t *end, int64_t base, int64_t count) {
    if (base < *end)
        history_violate(h, "B3 append order: partition %u: a batch is at %lld, the one before ends at %lld",
                        partition, (long long)base, (long long)*end);
    *end = base + count;
}

void history_read(struct history *h, uint32_t partition, int64_t offset, uint64_t hash) {
    observe(h, partition, offset, hash, "read");
    h->read_count++;
}

void history_high_watermark(struct history *h, uint32_t partition, int64_t high_watermark) {
    struct history_partition *p = &h->partitions[partition];
    if (high_watermark < p->high_watermark)
        history_violate(h, "B4 high watermark: that of partition %u went back from %lld to %lld", partition,
                        (long long)p->high_watermark, (long long)high_watermark);
    p->high_watermark = MAX(p->high_watermark, high_watermark);
}

void history_read_all(struct history *h, uint32_t partition, int64_t log_start, int64_t end,
                      const bool *seen) {
    struct history_partition *p = &h->partitions[partition];
    if (log_start > p->log_start)
        history_violate(h, "B6 loss: partition %u begins at %lld, nobody deleted above %lld", partition,
                        (long long)log_start, (long long)p->log_start);
    for (int64_t offset = log_start; offset < end; offset++)
        if (!seen[offset - log_start])
            history_violate(h,
                            "B1 dense offsets: partition %u has no record at offset %lld, below its end %lld",
                            partition, (long long)offset, (long long)end);
    for (size_t offset = (size_t)MAX(end, (int64_t)0); offset < p->capacity; offset++)
        if (p->acknowledged[offset])
            history_violate(h, "B6 loss: partition %u lost acknowledged offset %zu, its end is %lld",
                            partition, offset, (long long)end);
    /* What was read and is not there now was never committed, and must not have been served. */
    for (size_t offset = (size_t)MAX(end, (int64_t)0); offset < p->capacity; offset++)
        if (p->values[offset] != 0)
            history_violate(h, "B5 visibility: partition %u served offset %zu, which is gone", partition,
                            offset);
}

void history_deleted(struct history *h, uint32_t partition, int64_t below) {
    h->partitions[partition].log_start = MAX(h->partitions[partition].log_start, below);
}
