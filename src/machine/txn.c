// SPDX-License-Identifier: Apache-2.0
#include "machine/txn.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"

#define RECORD_VERSION    4
#define RECORD_ONE_ID     3 /* before an end could go on under another producer id */
#define RECORD_UNCLAIMED  2 /* before it said who may claim */
#define RECORD_UNNUMBERED 1 /* before transactions had numbers */
#define KEY_TAG           't'
#define NEVER             INT64_MAX
#define RETENTION_LOOK_MS (60 * 60 * 1000)

void txn_machine_init(struct txn_machine *m, int32_t timeout_max_ms, int64_t retention_ms, uint64_t seed) {
    *m = (struct txn_machine){
        .timeout_max_ms = timeout_max_ms, .retention_ms = retention_ms, .hash_seed = seed, .wake_ms = NEVER};
    list_init(&m->decided);
    map_init(&m->txns, seed);
}

const char *txn_phase_name(enum txn_phase phase) {
    static const char *const names[] = {"Empty",        "Ongoing",        "PrepareCommit",
                                        "PrepareAbort", "CompleteCommit", "CompleteAbort"};
    return names[phase];
}

/* ---- memory -------------------------------------------------------------------------------------------- */

static struct slice own(struct slice bytes) {
    uint8_t *copy = mem_alloc(bytes.size + 1);
    if (bytes.size != 0) memcpy(copy, bytes.data, bytes.size);
    return slice_make(copy, bytes.size);
}

static void disown(struct slice bytes) {
    mem_free((void *)(uintptr_t)bytes.data);
}

static void clear_places(struct txn *txn) {
    MAP_FOREACH(it, &txn->places) {
        struct txn_place *place = MAP_ENTRY(it)->value;
        map_remove(&txn->places, map_entry_key(MAP_ENTRY(it)));
        disown(place->topic);
        mem_free(place);
    }
}

static struct txn *txn_new(struct txn_machine *m, struct slice id) {
    struct txn *txn = mem_calloc(1, sizeof *txn);
    txn->id = own(id);
    txn->previous_producer_id = -1;
    txn->deadline_ms = NEVER;
    list_init(&txn->decided);
    map_init(&txn->places, m->hash_seed);
    ASSERT(map_put(&m->txns, id, txn) == NULL);
    return txn;
}

static void txn_free(struct txn *txn) {
    clear_places(txn);
    map_release(&txn->places);
    disown(txn->id);
    mem_free(txn);
}

void txn_machine_release(struct txn_machine *m) {
    MAP_FOREACH(it, &m->txns) {
        txn_free(MAP_ENTRY(it)->value);
    }
    map_release(&m->txns);
}

const struct txn *txn_find(const struct txn_machine *m, struct slice id) {
    return map_get(&m->txns, id);
}

static bool is_decided(const struct txn *txn) {
    return txn->phase == TXN_PREPARE_COMMIT || txn->phase == TXN_PREPARE_ABORT;
}

/* ---- storage ------------------------------------------------------------------------------------------- */

bool txn_owns_key(struct slice key) {
    return key.size > 0 && key.data[0] == KEY_TAG;
}

struct txn_key {
    uint8_t bytes[1 + TXN_ID_SIZE_MAX];
    size_t size;
};

static struct txn_key key_of(const struct txn *txn) {
    struct txn_key key = {.size = 1 + txn->id.size};
    key.bytes[0] = KEY_TAG;
    memcpy(key.bytes + 1, txn->id.data, txn->id.size);
    return key;
}

static void save(struct txn *txn, struct state_change *change, const struct txn_clock *clock) {
    txn->changed_wall_ms = clock->wall_ms;
    struct txn_key key = key_of(txn);
    struct writer *out = state_change_put(change, slice_make(key.bytes, key.size));
    writer_u8(out, RECORD_VERSION);
    writer_be64(out, (uint64_t)txn->producer_id);
    writer_be16(out, (uint16_t)txn->epoch);
    writer_be32(out, (uint32_t)txn->timeout_ms);
    writer_u8(out, (uint8_t)txn->phase);
    writer_u8(out, txn->moved_epoch);
    writer_be64(out, (uint64_t)txn->started_wall_ms);
    writer_be64(out, (uint64_t)txn->changed_wall_ms);
    writer_be32(out, (uint32_t)txn->number);
    writer_be64(out, (uint64_t)txn->known_at);
    writer_u8(out, txn->previous_may_claim);
    writer_be64(out, (uint64_t)txn->previous_producer_id);
    writer_varint64(out, txn->places.count);
    MAP_FOREACH(it, &txn->places) {
        const struct txn_place *place = MAP_ENTRY(it)->value;
        writer_be32(out, (uint32_t)place->partition);
        writer_varint64(out, place->topic.size);
        writer_bytes(out, place->topic);
    }
    state_change_end(change);
}

struct place_key {
    uint8_t bytes[4 + TXN_ID_SIZE_MAX];
    size_t size;
};

static struct place_key place_key(const struct txn_place *place) {
    struct place_key key = {.size = 4 + place->topic.size};
    ASSERT_LE(place->topic.size, (size_t)TXN_ID_SIZE_MAX);
    store_be32(key.bytes, (uint32_t)place->partition);
    if (place->topic.size != 0) memcpy(key.bytes + 4, place->topic.data, place->topic.size);
    return key;
}

static bool add_place(struct txn *txn, const struct txn_place *place) {
    struct place_key key = place_key(place);
    struct slice bytes = slice_make(key.bytes, key.size);
    if (map_get(&txn->places, bytes) != NULL) return false;
    struct txn_place *copy = mem_alloc(sizeof *copy);
    *copy = (struct txn_place){own(place->topic), place->partition};
    map_put(&txn->places, bytes, copy);
    return true;
}

enum status txn_load(struct txn_machine *m, struct slice key, struct slice value) {
    struct slice id = slice_make(key.data + 1, key.size - 1);
    struct reader in = reader_make(value);
    uint8_t version = reader_u8(&in);
    if (id.size == 0 || id.size > TXN_ID_SIZE_MAX || txn_find(m, id) != NULL || version < RECORD_UNNUMBERED ||
        version > RECORD_VERSION)
        return STATUS_MALFORMED;
    struct txn *txn = txn_new(m, id);
    txn->producer_id = (int64_t)reader_be64(&in);
    txn->epoch = (int16_t)reader_be16(&in);
    if (txn->epoch < 0) txn->epoch = INT16_MAX; /* it could once overflow: another producer id comes next */
    txn->timeout_ms = (int32_t)reader_be32(&in);
    uint8_t phase = reader_u8(&in);
    txn->moved_epoch = reader_u8(&in) != 0;
    txn->started_wall_ms = (int64_t)reader_be64(&in);
    txn->changed_wall_ms = (int64_t)reader_be64(&in);
    /* Markers without a number count as 0: what is decided now is newer than any of them. */
    txn->number = version == RECORD_UNNUMBERED ? 1 : (int32_t)reader_be32(&in);
    txn->known_at = version == RECORD_UNNUMBERED ? 0 : (int64_t)reader_be64(&in);
    txn->previous_may_claim = version <= RECORD_UNCLAIMED || reader_u8(&in) != 0;
    txn->previous_producer_id = version <= RECORD_ONE_ID ? -1 : (int64_t)reader_be64(&in);
    uint64_t count = reader_varint64(&in);
    if (phase > TXN_COMPLETE_ABORT || count > TXN_PARTITIONS_MAX || txn->producer_id < 0)
        return STATUS_MALFORMED;
    txn->phase = (enum txn_phase)phase;
    for (uint64_t i = 0; i < count && reader_ok(&in); i++) {
        struct txn_place place = {.partition = (int32_t)reader_be32(&in)};
        place.topic = reader_bytes(&in, reader_varint64(&in));
        if (place.topic.size > TXN_ID_SIZE_MAX || !reader_ok(&in)) return STATUS_MALFORMED;
        MAYBE(add_place(txn, &place));
    }
    return reader_ok(&in) && reader_remaining(&in) == 0 ? STATUS_OK : STATUS_MALFORMED;
}

void txn_loaded(struct txn_machine *m, const struct txn_clock *clock) {
    MAP_FOREACH(it, &m->txns) {
        struct txn *txn = MAP_ENTRY(it)->value;
        if (txn->phase == TXN_ONGOING) txn->deadline_ms = clock->now_ms + MAX(txn->timeout_ms, 0);
        if (is_decided(txn)) list_push_back(&m->decided, &txn->decided);
    }
    m->wake_ms = clock->now_ms; /* looks at all of them */
}

/* ---- ownership ----------------------------------------------------------------------------------------- */

/* The next epoch; with none left the producer goes on under another id. */
static void move_epoch(struct txn *txn, int64_t fresh_id) {
    if (txn->epoch < TXN_EPOCH_MAX) {
        txn->epoch++;
    } else {
        ASSERT(fresh_id >= 0);
        txn->previous_producer_id = txn->producer_id;
        txn->producer_id = fresh_id;
        txn->epoch = 0;
    }
}

/* Whether it is what the producer had before the last move of the epoch. */
static bool is_previous(const struct txn *txn, int64_t producer_id, int16_t epoch) {
    if (txn->epoch == 0)
        return producer_id >= 0 && producer_id == txn->previous_producer_id && epoch == TXN_EPOCH_MAX;
    return producer_id == txn->producer_id && epoch == txn->epoch - 1;
}

struct txn_identity txn_marker_identity(const struct txn *txn) {
    bool left_id = txn->moved_epoch && txn->epoch == 0 && txn->previous_producer_id >= 0;
    if (is_decided(txn) && left_id)
        return (struct txn_identity){txn->previous_producer_id, TXN_EPOCH_MAX + 1};
    return (struct txn_identity){txn->producer_id, txn->epoch};
}

static void decide(struct txn_machine *m, struct txn *txn, struct state_change *change,
                   const struct txn_clock *clock, bool commit) {
    ASSERT(txn->phase == TXN_ONGOING || txn->phase == TXN_EMPTY || txn->phase >= TXN_COMPLETE_COMMIT);
    txn->phase = commit ? TXN_PREPARE_COMMIT : TXN_PREPARE_ABORT;
    txn->deadline_ms = NEVER;
    list_push_back(&m->decided, &txn->decided);
    save(txn, change, clock);
}

/* Aborted without its producer's say, whose epoch ends with it. `taken`: for another producer, which has the
 * id from now on. */
static void fence(struct txn_machine *m, struct txn *txn, struct state_change *change,
                  const struct txn_clock *clock, bool taken) {
    /* The marker needs a higher epoch of the same id; the one behind the last is for it alone. */
    if (txn->epoch <= TXN_EPOCH_MAX) txn->epoch++;
    txn->moved_epoch = false;
    txn->previous_may_claim = !taken;
    decide(m, txn, change, clock, false);
}

static enum status check_claim(const struct txn *txn, int64_t producer_id, int16_t epoch) {
    if (producer_id < 0) return STATUS_OK;
    if (epoch > TXN_EPOCH_MAX) return STATUS_PRODUCER_FENCED;
    if (producer_id == txn->producer_id && epoch == txn->epoch) return STATUS_OK;
    /* The one before, while nobody else has asked: the answer to its last call may have been lost, or its
     * time was up. */
    bool may = txn->previous_may_claim && is_previous(txn, producer_id, epoch);
    return may ? STATUS_OK : STATUS_PRODUCER_FENCED;
}

enum status txn_init_producer(struct txn_machine *m, struct state_change *change,
                              const struct txn_clock *clock, struct slice id, int32_t timeout_ms,
                              int64_t producer_id, int16_t epoch, int64_t fresh_id,
                              const struct txn **result) {
    if (id.size == 0 || id.size > TXN_ID_SIZE_MAX) return STATUS_INVALID;
    if (timeout_ms <= 0 || timeout_ms > m->timeout_max_ms) return STATUS_INVALID_TXN_TIMEOUT;
    struct txn *txn = map_get(&m->txns, id);
    if (txn == NULL) {
        txn = txn_new(m, id);
        txn->producer_id = fresh_id;
    } else {
        enum status status = check_claim(txn, producer_id, epoch);
        if (status != STATUS_OK) return status;
        if (is_decided(txn)) return STATUS_CONCURRENT_TRANSACTIONS;
        if (txn->phase == TXN_ONGOING) {
            fence(m, txn, change, clock, producer_id < 0);
            return STATUS_CONCURRENT_TRANSACTIONS;
        }
        move_epoch(txn, fresh_id);
    }
    txn->timeout_ms = timeout_ms;
    txn->phase = TXN_EMPTY;
    txn->moved_epoch = false;
    txn->previous_may_claim = producer_id >= 0;
    save(txn, change, clock);
    *result = txn;
    return STATUS_OK;
}

/* ---- transactions -------------------------------------------------------------------------------------- */

static enum status find_owned(const struct txn_machine *m, const struct txn_producer *who, struct txn **txn) {
    *txn = map_get(&m->txns, who->id);
    if (*txn == NULL) return STATUS_INVALID_PRODUCER_ID_MAPPING;
    if ((*txn)->producer_id == who->producer_id)
        return who->epoch <= TXN_EPOCH_MAX ? STATUS_OK : STATUS_PRODUCER_FENCED; /* nobody was given that */
    bool old = who->producer_id >= 0 && (*txn)->previous_producer_id == who->producer_id;
    return old ? STATUS_PRODUCER_FENCED : STATUS_INVALID_PRODUCER_ID_MAPPING;
}

enum status txn_add(struct txn_machine *m, struct state_change *change, const struct txn_clock *clock,
                    const struct txn_producer *who, const struct txn_places *places,
                    const struct txn **result) {
    struct txn *txn;
    enum status status = find_owned(m, who, &txn);
    if (status != STATUS_OK) return status;
    if (who->epoch != txn->epoch) return STATUS_PRODUCER_FENCED;
    if (is_decided(txn)) return STATUS_CONCURRENT_TRANSACTIONS;
    for (uint32_t i = 0; i < places->count; i++)
        if (places->list[i].topic.size == 0 || places->list[i].topic.size > TXN_ID_SIZE_MAX)
            return STATUS_INVALID;
    if (txn->places.count + places->count > TXN_PARTITIONS_MAX) return STATUS_BUSY;
    bool changed = txn->phase != TXN_ONGOING;
    if (changed) {
        ASSERT_EQ(txn->places.count, (size_t)0);
        txn->phase = TXN_ONGOING;
        txn->number = (int32_t)((uint32_t)txn->number + 1);
        txn->started_wall_ms = clock->wall_ms;
        txn->deadline_ms = clock->now_ms + txn->timeout_ms;
        m->wake_ms = MIN(m->wake_ms, txn->deadline_ms);
    }
    for (uint32_t i = 0; i < places->count; i++)
        changed |= add_place(txn, &places->list[i]);
    txn->known_at = MAX(txn->known_at, places->known_at);
    if (changed) save(txn, change, clock);
    *result = txn;
    return STATUS_OK;
}

enum status txn_verify(const struct txn_machine *m, const struct txn_producer *who,
                       const struct txn_place *place, const struct txn **result) {
    struct txn *txn;
    enum status status = find_owned(m, who, &txn);
    if (status != STATUS_OK) return status;
    if (who->epoch != txn->epoch) return STATUS_PRODUCER_FENCED;
    if (place->topic.size > TXN_ID_SIZE_MAX) return STATUS_INVALID;
    struct place_key key = place_key(place);
    *result = txn;
    bool part = txn->phase == TXN_ONGOING && map_get(&txn->places, slice_make(key.bytes, key.size)) != NULL;
    return part ? STATUS_OK : STATUS_INVALID_TXN_STATE;
}

/* Whether the end that is asked for has happened already, as far as the producer can know. */
static bool has_ended(const struct txn *txn, bool commit) {
    return commit ? txn->phase == TXN_PREPARE_COMMIT || txn->phase == TXN_COMPLETE_COMMIT
                  : txn->phase == TXN_PREPARE_ABORT || txn->phase == TXN_COMPLETE_ABORT;
}

enum status txn_end(struct txn_machine *m, struct state_change *change, const struct txn_clock *clock,
                    const struct txn_producer *who, const struct txn_end *end, const struct txn **result) {
    struct txn *txn;
    enum status status = find_owned(m, who, &txn);
    if (txn == NULL) return status;
    *result = txn;
    if (txn->moved_epoch && is_previous(txn, who->producer_id, who->epoch)) /* again */
        return has_ended(txn, end->commit) ? STATUS_OK : STATUS_INVALID_TXN_STATE;
    if (status != STATUS_OK) return status;
    if (who->epoch != txn->epoch) return STATUS_PRODUCER_FENCED;
    if (txn->phase != TXN_ONGOING) {
        if (!end->moves_epoch && has_ended(txn, end->commit))
            return is_decided(txn) ? STATUS_CONCURRENT_TRANSACTIONS : STATUS_OK;
        if (is_decided(txn)) return STATUS_CONCURRENT_TRANSACTIONS;
        /* A producer that aborts what never began wants a new epoch (KIP-890). */
        if (!end->moves_epoch || end->commit) return STATUS_INVALID_TXN_STATE;
    }
    txn->moved_epoch = end->moves_epoch;
    if (end->moves_epoch) {
        move_epoch(txn, end->fresh_id);
        txn->previous_may_claim = true;
    }
    decide(m, txn, change, clock, end->commit);
    return STATUS_OK;
}

enum status txn_abort(struct txn_machine *m, struct state_change *change, const struct txn_clock *clock,
                      struct slice id, const struct txn **result) {
    struct txn *txn = map_get(&m->txns, id);
    if (txn == NULL) return STATUS_TXN_NOT_FOUND;
    *result = txn;
    if (txn->phase == TXN_PREPARE_ABORT) return STATUS_OK;
    if (txn->phase != TXN_ONGOING) return STATUS_INVALID_TXN_STATE;
    fence(m, txn, change, clock, false);
    return STATUS_OK;
}

struct txn *txn_next_decided(struct txn_machine *m) {
    struct list *first = list_pop_front(&m->decided);
    if (first == NULL) return NULL;
    struct txn *txn = CONTAINER_OF(first, struct txn, decided);
    ASSERT(is_decided(txn) && txn->work == NULL);
    return txn;
}

void txn_completed(struct txn_machine *m, struct state_change *change, const struct txn_clock *clock,
                   struct slice id) {
    struct txn *txn = map_get(&m->txns, id);
    ASSERT(txn != NULL && is_decided(txn) && txn->work != NULL); /* I2 */
    txn->work = NULL;
    clear_places(txn);
    txn->phase = txn->phase == TXN_PREPARE_COMMIT ? TXN_COMPLETE_COMMIT : TXN_COMPLETE_ABORT;
    save(txn, change, clock);
}

/* ---- time ---------------------------------------------------------------------------------------------- */

int64_t txn_deadline(const struct txn_machine *m) {
    return m->txns.count == 0 ? NEVER : m->wake_ms;
}

static void forget(struct txn_machine *m, struct state_change *change, struct txn *txn) {
    struct txn_key key = key_of(txn);
    state_change_remove(change, slice_make(key.bytes, key.size));
    map_remove(&m->txns, txn->id);
    txn_free(txn);
}

void txn_expire(struct txn_machine *m, struct state_change *change, const struct txn_clock *clock) {
    if (m->wake_ms > clock->now_ms) return;
    m->wake_ms = clock->now_ms + RETENTION_LOOK_MS;
    MAP_FOREACH(it, &m->txns) {
        struct txn *txn = MAP_ENTRY(it)->value;
        bool idle = txn->phase != TXN_ONGOING && !is_decided(txn);
        if (txn->phase == TXN_ONGOING && txn->deadline_ms <= clock->now_ms)
            fence(m, txn, change, clock, false);
        else if (idle && clock->wall_ms - txn->changed_wall_ms > m->retention_ms)
            forget(m, change, txn);
        else
            m->wake_ms = MIN(m->wake_ms, txn->deadline_ms);
    }
}
