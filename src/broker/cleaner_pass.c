// SPDX-License-Identifier: Apache-2.0
#include "broker/cleaner_pass.h"

#include "base/assert.h"
#include "base/units.h"
#include "wire/record_filter.h"

#define INFLATE_MAX (64 * MIB)

bool cleaner_chunk_is_full(const struct cleaner_chunk *chunk) {
    return chunk->count == CLEANER_CHUNK_BATCHES || chunk->bytes >= CLEANER_CHUNK_BYTES;
}

void cleaner_chunk_add(struct cleaner_chunk *chunk, struct shared_slice batch, bool aborted) {
    ASSERT_LT(chunk->count, (uint32_t)CLEANER_CHUNK_BATCHES);
    shared_slice_ref(batch);
    chunk->items[chunk->count++] = (struct cleaner_item){.batch = batch, .aborted = aborted};
    chunk->bytes += batch.bytes.size;
}

void cleaner_chunk_clear(struct cleaner_chunk *chunk) {
    for (uint32_t i = 0; i < chunk->count; i++) {
        shared_slice_unref(chunk->items[i].batch);
        if (chunk->items[i].rewritten != NULL) buffer_unref(chunk->items[i].rewritten);
    }
    chunk->count = chunk->learned = 0;
    chunk->bytes = 0;
    chunk->records_removed = chunk->records_kept = chunk->bytes_kept = 0;
    chunk->has_tombstones = false;
    chunk->status = STATUS_OK;
}

static bool has_keys(const struct record_batch *batch) {
    return (batch->attributes & BATCH_CONTROL) == 0 && batch->record_count > 0;
}

/* BUSY: the map is full, and the dirty part ends before this batch. What was learned of it is true all the
 * same. */
static enum status learn_batch(const struct record_batch *batch, struct cleaner_map *map) {
    struct arena arena;
    struct record_iterator it;
    struct record record;
    arena_init(&arena, 16 * KIB);
    enum status status = record_iterator_init(&it, batch, &arena, INFLATE_MAX);
    while (status == STATUS_OK && (status = record_iterator_next(&it, &record)) == STATUS_OK)
        if (record.key.data != NULL && !cleaner_map_put(map, record.key, record.offset)) status = STATUS_BUSY;
    arena_release(&arena);
    return status == STATUS_END ? STATUS_OK : status;
}

void cleaner_chunk_learn(struct cleaner_chunk *chunk, struct cleaner_map *map) {
    for (; chunk->learned < chunk->count; chunk->learned++) {
        const struct cleaner_item *item = &chunk->items[chunk->learned];
        struct record_batch batch;
        enum status status = record_batch_read(item->batch.bytes, &batch);
        if (status == STATUS_OK && has_keys(&batch) && !item->aborted) status = learn_batch(&batch, map);
        if (status == STATUS_BUSY) return;
        chunk->status = status;
        if (status != STATUS_OK) return;
    }
}

struct keeping {
    struct cleaner_chunk *chunk;
    const struct cleaner_map *map;
};

static bool keep(void *ctx, const struct record *record) {
    const struct keeping *keeping = ctx;
    bool keyed = record->key.data != NULL, tombstone = keyed && record->value.data == NULL;
    bool superseded = keyed && cleaner_map_get(keeping->map, record->key) > record->offset;
    if (superseded || (tombstone && record->offset < keeping->chunk->tombstones_to)) {
        keeping->chunk->records_removed++;
        return false;
    }
    keeping->chunk->has_tombstones |= tombstone;
    keeping->chunk->records_kept++;
    return true;
}

static enum status rewrite_item(struct cleaner_chunk *chunk, struct cleaner_item *item,
                                const struct cleaner_map *map) {
    struct record_batch batch;
    enum status status = record_batch_read(item->batch.bytes, &batch);
    if (status != STATUS_OK || !has_keys(&batch)) return status;
    if (item->aborted) {
        chunk->records_removed += (uint64_t)batch.record_count;
        item->rewritten = record_filter_all(&batch);
        return STATUS_OK;
    }
    struct keeping keeping = {chunk, map};
    return record_filter(&batch, keep, &keeping, INFLATE_MAX, &item->rewritten);
}

void cleaner_chunk_rewrite(struct cleaner_chunk *chunk, const struct cleaner_map *map) {
    for (uint32_t i = 0; i < chunk->count && chunk->status == STATUS_OK; i++) {
        struct cleaner_item *item = &chunk->items[i];
        chunk->status = rewrite_item(chunk, item, map);
        chunk->bytes_kept += item->rewritten != NULL ? item->rewritten->size : item->batch.bytes.size;
    }
}
