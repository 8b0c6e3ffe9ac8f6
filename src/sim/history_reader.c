// SPDX-License-Identifier: Apache-2.0
#include "sim/history_reader.h"

#include "base/mem.h"
#include "base/units.h"

void history_reader_release(struct history_reader *r) {
    mem_free(r->seen);
    r->seen = NULL;
    r->seen_capacity = 0;
}

static void remember(struct history_reader *r, int64_t offset) {
    size_t index = (size_t)(offset - r->log_start);
    if (index >= r->seen_capacity) {
        size_t capacity = MAX(index + 1, r->seen_capacity * 2);
        r->seen = mem_realloc(r->seen, capacity);
        memset(r->seen + r->seen_capacity, 0, capacity - r->seen_capacity);
        r->seen_capacity = capacity;
    }
    r->seen[index] = true;
}

void history_reader_take(struct history *h, struct history_reader *r, struct slice bytes) {
    struct record_batch batch;
    struct record_iterator it;
    struct record record;
    struct arena arena;
    arena_init(&arena, 16 * KIB);
    enum status status = record_batch_read(bytes, &batch);
    if (status == STATUS_OK && (batch.attributes & BATCH_CONTROL) != 0) {
        /* A leader's own: it takes an offset, and clients skip it. */
        int64_t end = record_batch_last_offset(&batch) + 1;
        for (; r->offset < end; r->offset++)
            if (r->verifying) remember(r, r->offset);
        arena_release(&arena);
        return;
    }
    if (status == STATUS_OK) status = record_iterator_init(&it, &batch, &arena, 1 * MIB);
    while (status == STATUS_OK && (status = record_iterator_next(&it, &record)) == STATUS_OK) {
        if (record.offset < r->offset) continue;
        if (record.offset != r->offset && r->log_start <= r->offset)
            history_violate(h, "B12 contiguity: partition %u: asked for %lld, got %lld", r->partition,
                            (long long)r->offset, (long long)record.offset);
        if (record.offset >= r->high_watermark)
            history_violate(h, "B5 visibility: partition %u: offset %lld read above the high watermark %lld",
                            r->partition, (long long)record.offset, (long long)r->high_watermark);
        history_read(h, r->partition, record.offset, history_hash(record.value));
        if (r->took != NULL) r->took(r->ctx, r->partition, &record);
        if (r->verifying) remember(r, record.offset);
        r->offset = record.offset + 1;
    }
    if (status != STATUS_END)
        history_violate(h, "S6 detection: partition %u: a batch read back is damaged: %s", r->partition,
                        status_name(status));
    arena_release(&arena);
}

void history_reader_restart(struct history_reader *r) {
    r->offset = r->log_start = 0;
    r->verifying = true;
    if (r->seen != NULL) memset(r->seen, 0, r->seen_capacity);
}
