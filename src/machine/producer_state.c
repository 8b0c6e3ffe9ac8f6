// SPDX-License-Identifier: Apache-2.0
#include "machine/producer_state.h"

#include "base/assert.h"
#include "base/mem.h"

#define ENTRY_VERSION 1

struct id_key {
    uint8_t bytes[8];
};

static struct id_key key_of(int64_t producer_id) {
    struct id_key key;
    store_be64(key.bytes, (uint64_t)producer_id);
    return key;
}

static struct slice key_slice(const struct id_key *key) {
    return slice_make(key->bytes, sizeof key->bytes);
}

/* Sequences count 0 .. 2^31-1 and begin again at 0. */
static int32_t sequence_add(int32_t sequence, int32_t count) {
    return (int32_t)(((uint32_t)sequence + (uint32_t)count) & INT32_MAX);
}

void producer_state_init(struct producer_state *state, uint64_t hash_seed) {
    map_init(&state->producers, hash_seed);
}

void producer_state_release(struct producer_state *state) {
    MAP_FOREACH(it, &state->producers) {
        mem_free(MAP_ENTRY(it)->value);
    }
    map_release(&state->producers);
}

static struct producer_entry *find(const struct producer_state *state, int64_t producer_id) {
    struct id_key key = key_of(producer_id);
    return map_get(&state->producers, key_slice(&key));
}

enum status producer_state_check(const struct producer_state *state, const struct producer_batch *batch,
                                 int64_t *base_offset, int64_t *last_offset) {
    ASSERT(batch->producer_id >= 0 && batch->record_count > 0);
    if (batch->epoch < 0 || batch->first_sequence < 0) return STATUS_OUT_OF_ORDER_SEQUENCE;
    const struct producer_entry *entry = find(state, batch->producer_id);
    /* A producer we know nothing of may have been forgotten, by retention or expiry: any sequence may begin.
     */
    if (entry == NULL) return STATUS_OK;
    if (batch->epoch < entry->epoch) return STATUS_INVALID_PRODUCER_EPOCH;
    if (batch->epoch > entry->epoch)
        return batch->first_sequence == 0 ? STATUS_OK : STATUS_OUT_OF_ORDER_SEQUENCE;
    int32_t last_sequence = sequence_add(batch->first_sequence, batch->record_count - 1);
    for (uint8_t i = 0; i < entry->batch_count; i++) {
        if (entry->batches[i].first_sequence != batch->first_sequence ||
            entry->batches[i].last_sequence != last_sequence)
            continue;
        *base_offset = entry->batches[i].base_offset;
        *last_offset = entry->batches[i].last_offset;
        return STATUS_DUPLICATE_SEQUENCE;
    }
    ASSERT(entry->batch_count > 0);
    int32_t newest = entry->batches[entry->batch_count - 1].last_sequence;
    return batch->first_sequence == sequence_add(newest, 1) ? STATUS_OK : STATUS_OUT_OF_ORDER_SEQUENCE;
}

const struct producer_entry *producer_state_apply(struct producer_state *state,
                                                  const struct producer_batch *batch) {
    struct producer_entry *entry = find(state, batch->producer_id);
    if (entry == NULL) {
        entry = mem_calloc(1, sizeof *entry);
        entry->producer_id = batch->producer_id;
        struct id_key key = key_of(batch->producer_id);
        map_put(&state->producers, key_slice(&key), entry);
    }
    if (entry->epoch != batch->epoch) entry->batch_count = 0;
    entry->epoch = batch->epoch;
    if (entry->batch_count == PRODUCER_BATCHES) {
        memmove(entry->batches, entry->batches + 1, (PRODUCER_BATCHES - 1) * sizeof *entry->batches);
        entry->batch_count--;
    }
    uint8_t at = entry->batch_count++;
    entry->batches[at].first_sequence = batch->first_sequence;
    entry->batches[at].last_sequence = sequence_add(batch->first_sequence, batch->record_count - 1);
    entry->batches[at].base_offset = batch->base_offset;
    entry->batches[at].last_offset = batch->last_offset;
    entry->last_time_ms = batch->append_time_ms;
    return entry;
}

bool producer_state_has(const struct producer_state *state, const struct producer_batch *batch) {
    const struct producer_entry *entry = find(state, batch->producer_id);
    return entry != NULL && entry->batches[entry->batch_count - 1].last_offset >= batch->last_offset;
}

void producer_state_copy(struct producer_state *to, const struct producer_state *from) {
    ASSERT(to->producers.count == 0);
    MAP_FOREACH(it, &from->producers) {
        const struct producer_entry *entry = MAP_ENTRY(it)->value;
        struct producer_entry *copy = mem_alloc(sizeof *copy);
        *copy = *entry;
        struct id_key key = key_of(entry->producer_id);
        map_put(&to->producers, key_slice(&key), copy);
    }
}

void producer_state_visit(const struct producer_state *state, int64_t offset,
                          void (*visit)(void *ctx, const struct producer_entry *entry), void *ctx) {
    MAP_FOREACH(it, &state->producers) {
        const struct producer_entry *entry = MAP_ENTRY(it)->value;
        if (entry->batches[entry->batch_count - 1].last_offset >= offset) visit(ctx, entry);
    }
}

void producer_entry_encode(const struct producer_entry *entry, struct writer *out) {
    writer_u8(out, ENTRY_VERSION);
    writer_be16(out, (uint16_t)entry->epoch);
    writer_be64(out, (uint64_t)entry->last_time_ms);
    writer_u8(out, entry->batch_count);
    for (uint8_t i = 0; i < entry->batch_count; i++) {
        writer_be32(out, (uint32_t)entry->batches[i].first_sequence);
        writer_be32(out, (uint32_t)entry->batches[i].last_sequence);
        writer_be64(out, (uint64_t)entry->batches[i].base_offset);
        writer_be64(out, (uint64_t)entry->batches[i].last_offset);
    }
}

enum status producer_state_load(struct producer_state *state, int64_t producer_id, struct slice value) {
    struct reader in = reader_make(value);
    struct producer_entry loaded = {.producer_id = producer_id};
    uint8_t version = reader_u8(&in);
    loaded.epoch = (int16_t)reader_be16(&in);
    loaded.last_time_ms = (int64_t)reader_be64(&in);
    loaded.batch_count = reader_u8(&in);
    if (version != ENTRY_VERSION || loaded.batch_count == 0 || loaded.batch_count > PRODUCER_BATCHES ||
        find(state, producer_id) != NULL)
        return STATUS_MALFORMED;
    for (uint8_t i = 0; i < loaded.batch_count; i++) {
        loaded.batches[i].first_sequence = (int32_t)reader_be32(&in);
        loaded.batches[i].last_sequence = (int32_t)reader_be32(&in);
        loaded.batches[i].base_offset = (int64_t)reader_be64(&in);
        loaded.batches[i].last_offset = (int64_t)reader_be64(&in);
    }
    if (!reader_ok(&in) || reader_remaining(&in) != 0) return STATUS_MALFORMED;
    struct producer_entry *entry = mem_alloc(sizeof *entry);
    *entry = loaded;
    struct id_key key = key_of(producer_id);
    map_put(&state->producers, key_slice(&key), entry);
    return STATUS_OK;
}

void producer_state_expire(struct producer_state *state, int64_t time_ms,
                           void (*forget)(void *ctx, int64_t producer_id), void *ctx) {
    MAP_FOREACH(it, &state->producers) {
        struct producer_entry *entry = MAP_ENTRY(it)->value;
        if (entry->last_time_ms >= time_ms) continue;
        struct id_key key = key_of(entry->producer_id);
        map_remove(&state->producers, key_slice(&key));
        forget(ctx, entry->producer_id);
        mem_free(entry);
    }
}
