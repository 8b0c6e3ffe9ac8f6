// SPDX-License-Identifier: Apache-2.0
#include "machine/producer_state.h"

#include "base/assert.h"
#include "base/mem.h"
#include "machine/txn.h"

#define ENTRY_VERSION    3
#define ENTRY_UNNUMBERED 2 /* before markers had numbers */
#define ENTRY_PLAIN      1 /* before transactions */
#define ABORTED_VERSION  1

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

/* Sequences count 0 .. 2^31-1 and begin again at 0; 0 also follows PRODUCER_UNCOUNTED. */
static int32_t sequence_add(int32_t sequence, int32_t count) {
    return (int32_t)(((uint32_t)sequence + (uint32_t)count) & INT32_MAX);
}

void producer_state_init(struct producer_state *state, uint64_t hash_seed) {
    *state = (struct producer_state){0};
    map_init(&state->producers, hash_seed);
}

void producer_state_release(struct producer_state *state) {
    MAP_FOREACH(it, &state->producers) {
        mem_free(MAP_ENTRY(it)->value);
    }
    map_release(&state->producers);
    mem_free(state->aborted);
    state->aborted = NULL;
    state->aborted_count = state->aborted_capacity = state->open_count = 0;
}

static struct producer_entry *find(const struct producer_state *state, int64_t producer_id) {
    struct id_key key = key_of(producer_id);
    return map_get(&state->producers, key_slice(&key));
}

const struct producer_entry *producer_state_find(const struct producer_state *state, int64_t producer_id) {
    return find(state, producer_id);
}

static bool is_marker(const struct producer_batch *batch) {
    return batch->kind == PRODUCER_COMMIT || batch->kind == PRODUCER_ABORT;
}

/* Nothing open, or another marker came since it was made: INVALID_TXN_STATE. */
static enum status check_operator(const struct producer_entry *known, const struct producer_batch *batch) {
    if (known == NULL || known->open_offset < 0 || batch->marker_number != producer_entry_number(known))
        return STATUS_INVALID_TXN_STATE;
    bool its_own = batch->epoch == known->epoch || batch->epoch == known->epoch + 1;
    return its_own ? STATUS_OK : STATUS_INVALID_PRODUCER_EPOCH;
}

enum status producer_state_check(const struct producer_state *state, const struct producer_batch *batch,
                                 int64_t *base_offset, int64_t *last_offset) {
    ASSERT(batch->producer_id >= 0 && batch->record_count > 0);
    if (is_marker(batch)) {
        const struct producer_entry *known = find(state, batch->producer_id);
        if (batch->by_operator) return check_operator(known, batch);
        if (known == NULL) return STATUS_OK;
        if (known->marker_offset >= 0 && !txn_number_is_newer(batch->marker_number, known->marker_number)) {
            *base_offset = *last_offset = known->marker_offset;
            return STATUS_DUPLICATE_SEQUENCE;
        }
        return batch->epoch < known->epoch ? STATUS_INVALID_PRODUCER_EPOCH : STATUS_OK;
    }
    bool counted = batch->first_sequence != PRODUCER_UNCOUNTED || batch->kind != PRODUCER_TRANSACTIONAL;
    if (batch->epoch < 0 || (counted && batch->first_sequence < 0)) return STATUS_OUT_OF_ORDER_SEQUENCE;
    const struct producer_entry *entry = find(state, batch->producer_id);
    /* A producer we know nothing of may have been forgotten, by retention or expiry: any sequence may begin.
     */
    if (entry == NULL) return STATUS_OK;
    if (batch->epoch < entry->epoch) return STATUS_INVALID_PRODUCER_EPOCH;
    /* It could raise the epoch above that of the marker which is to end the transaction. */
    if (batch->kind == PRODUCER_PLAIN && entry->open_offset >= 0) return STATUS_INVALID_TXN_STATE;
    if (!counted) return STATUS_OK;
    if (batch->epoch > entry->epoch)
        return batch->first_sequence == 0 ? STATUS_OK : STATUS_OUT_OF_ORDER_SEQUENCE;
    int32_t last_sequence = sequence_add(batch->first_sequence, batch->record_count - 1);
    /* Before one that is not counted others had the same numbers. */
    for (uint8_t i = entry->batch_count; i-- > 0 && entry->batches[i].first_sequence != PRODUCER_UNCOUNTED;) {
        if (entry->batches[i].first_sequence != batch->first_sequence ||
            entry->batches[i].last_sequence != last_sequence)
            continue;
        *base_offset = entry->batches[i].base_offset;
        *last_offset = entry->batches[i].last_offset;
        return STATUS_DUPLICATE_SEQUENCE;
    }
    /* Nothing since the marker that brought this epoch: it begins anew. */
    if (entry->batch_count == 0) return batch->first_sequence == 0 ? STATUS_OK : STATUS_OUT_OF_ORDER_SEQUENCE;
    int32_t newest = entry->batches[entry->batch_count - 1].last_sequence;
    return batch->first_sequence == sequence_add(newest, 1) ? STATUS_OK : STATUS_OUT_OF_ORDER_SEQUENCE;
}

static void add_aborted(struct producer_state *state, const struct producer_aborted *aborted) {
    if (state->aborted_count == state->aborted_capacity) {
        state->aborted_capacity = state->aborted_capacity == 0 ? 8 : 2 * state->aborted_capacity;
        state->aborted = mem_realloc(state->aborted, state->aborted_capacity * sizeof *state->aborted);
    }
    state->aborted[state->aborted_count++] = *aborted;
}

/* A marker of a higher epoch fences the one before: its next batch begins at sequence 0. */
static void apply_marker(struct producer_state *state, struct producer_entry *entry,
                         const struct producer_batch *batch) {
    if (entry->epoch != batch->epoch) entry->batch_count = 0;
    entry->epoch = batch->epoch;
    entry->marker_offset = batch->last_offset;
    entry->marker_number = batch->marker_number;
    entry->last_time_ms = batch->append_time_ms;
    if (entry->open_offset < 0) return; /* nothing of it was written here */
    const struct producer_aborted aborted = {entry->producer_id, entry->open_offset, batch->last_offset};
    if (batch->kind == PRODUCER_ABORT) add_aborted(state, &aborted);
    entry->open_offset = -1;
    state->open_count--;
}

int64_t producer_state_open_offset(const struct producer_state *state) {
    int64_t first = INT64_MAX;
    if (state->open_count == 0) return first;
    MAP_FOREACH(it, &state->producers) {
        const struct producer_entry *entry = MAP_ENTRY(it)->value;
        if (entry->open_offset >= 0 && entry->open_offset < first) first = entry->open_offset;
    }
    return first;
}

void producer_aborted_encode(const struct producer_aborted *aborted, struct writer *key,
                             struct writer *value) {
    writer_be64(key, (uint64_t)aborted->last_offset);
    writer_be64(key, (uint64_t)aborted->producer_id);
    writer_u8(value, ABORTED_VERSION);
    writer_be64(value, (uint64_t)aborted->first_offset);
}

enum status producer_state_load_aborted(struct producer_state *state, struct slice key, struct slice value) {
    struct reader name = reader_make(key), in = reader_make(value);
    struct producer_aborted aborted = {0};
    aborted.last_offset = (int64_t)reader_be64(&name);
    aborted.producer_id = (int64_t)reader_be64(&name);
    uint8_t version = reader_u8(&in);
    aborted.first_offset = (int64_t)reader_be64(&in);
    bool whole = reader_ok(&name) && reader_ok(&in) && reader_remaining(&name) == 0 &&
                 reader_remaining(&in) == 0;
    if (!whole || version != ABORTED_VERSION || aborted.first_offset < 0 ||
        aborted.first_offset > aborted.last_offset)
        return STATUS_MALFORMED;
    add_aborted(state, &aborted);
    return STATUS_OK;
}

bool producer_state_trim_aborted(struct producer_state *state, int64_t offset) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < state->aborted_count; i++)
        if (state->aborted[i].last_offset >= offset) state->aborted[kept++] = state->aborted[i];
    bool some = kept != state->aborted_count;
    state->aborted_count = kept;
    return some;
}

const struct producer_entry *producer_state_apply(struct producer_state *state,
                                                  const struct producer_batch *batch) {
    struct producer_entry *entry = find(state, batch->producer_id);
    if (entry == NULL) {
        entry = mem_calloc(1, sizeof *entry);
        entry->producer_id = batch->producer_id;
        entry->open_offset = entry->marker_offset = -1;
        struct id_key key = key_of(batch->producer_id);
        map_put(&state->producers, key_slice(&key), entry);
    }
    if (is_marker(batch)) {
        apply_marker(state, entry, batch);
        return entry;
    }
    if (batch->kind == PRODUCER_TRANSACTIONAL && entry->open_offset < 0) {
        entry->open_offset = batch->base_offset;
        state->open_count++;
    }
    if (entry->epoch != batch->epoch) entry->batch_count = 0;
    entry->epoch = batch->epoch;
    if (entry->batch_count == PRODUCER_BATCHES) {
        memmove(entry->batches, entry->batches + 1, (PRODUCER_BATCHES - 1) * sizeof *entry->batches);
        entry->batch_count--;
    }
    uint8_t at = entry->batch_count++;
    entry->batches[at].first_sequence = batch->first_sequence;
    entry->batches[at].last_sequence = batch->first_sequence == PRODUCER_UNCOUNTED
                                           ? PRODUCER_UNCOUNTED
                                           : sequence_add(batch->first_sequence, batch->record_count - 1);
    entry->batches[at].base_offset = batch->base_offset;
    entry->batches[at].last_offset = batch->last_offset;
    entry->last_time_ms = batch->append_time_ms;
    return entry;
}

static int64_t newest_offset(const struct producer_entry *entry) {
    int64_t newest = entry->batch_count == 0 ? -1 : entry->batches[entry->batch_count - 1].last_offset;
    return newest > entry->marker_offset ? newest : entry->marker_offset;
}

bool producer_state_has(const struct producer_state *state, const struct producer_batch *batch) {
    const struct producer_entry *entry = find(state, batch->producer_id);
    return entry != NULL && newest_offset(entry) >= batch->last_offset;
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
    to->open_count = from->open_count;
    for (uint32_t i = 0; i < from->aborted_count; i++)
        add_aborted(to, &from->aborted[i]);
}

void producer_state_visit(const struct producer_state *state, int64_t offset,
                          void (*visit)(void *ctx, const struct producer_entry *entry), void *ctx) {
    MAP_FOREACH(it, &state->producers) {
        const struct producer_entry *entry = MAP_ENTRY(it)->value;
        if (newest_offset(entry) >= offset) visit(ctx, entry);
    }
}

void producer_entry_encode(const struct producer_entry *entry, struct writer *out) {
    writer_u8(out, ENTRY_VERSION);
    writer_be16(out, (uint16_t)entry->epoch);
    writer_be64(out, (uint64_t)entry->last_time_ms);
    writer_be64(out, (uint64_t)entry->open_offset);
    writer_be64(out, (uint64_t)entry->marker_offset);
    writer_be32(out, (uint32_t)entry->marker_number);
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
    loaded.open_offset = version == ENTRY_PLAIN ? -1 : (int64_t)reader_be64(&in);
    loaded.marker_offset = version == ENTRY_PLAIN ? -1 : (int64_t)reader_be64(&in);
    loaded.marker_number = version <= ENTRY_UNNUMBERED ? 0 : (int32_t)reader_be32(&in);
    loaded.batch_count = reader_u8(&in);
    bool empty = loaded.batch_count == 0 && loaded.marker_offset < 0;
    if (version > ENTRY_VERSION || version < ENTRY_PLAIN || empty || loaded.batch_count > PRODUCER_BATCHES ||
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
    state->open_count += loaded.open_offset >= 0;
    struct id_key key = key_of(producer_id);
    map_put(&state->producers, key_slice(&key), entry);
    return STATUS_OK;
}

void producer_state_expire(struct producer_state *state, int64_t time_ms,
                           void (*forget)(void *ctx, int64_t producer_id), void *ctx) {
    MAP_FOREACH(it, &state->producers) {
        struct producer_entry *entry = MAP_ENTRY(it)->value;
        if (entry->last_time_ms >= time_ms || entry->open_offset >= 0) continue;
        struct id_key key = key_of(entry->producer_id);
        map_remove(&state->producers, key_slice(&key));
        forget(ctx, entry->producer_id);
        mem_free(entry);
    }
}
