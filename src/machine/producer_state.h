// SPDX-License-Identifier: Apache-2.0
/* producer_state.h: what one partition remembers of idempotent producers, so that a retry is not stored
 * twice.
 *
 * A batch carries (producer id, epoch, first sequence). The partition keeps the last PRODUCER_BATCHES batches
 * of each producer: one that is there already is answered with its first offset; the next one must follow
 * without a gap; a higher epoch begins again at sequence 0; a lower one is fenced. Sequences wrap after 2^31
 * - 1.
 *
 * A transactional batch may come uncounted: it is stored as often as it is sent, and whoever cannot tell
 * whether it was aborts the transaction. Counting then begins again at 0.
 *
 * A producer's first transactional batch opens a transaction here, a marker closes it. What is open keeps
 * readers of committed records below it; what was aborted is remembered, so that they can skip it. A marker
 * that comes again, or comes after a newer one, ends nothing: it is a duplicate of the last. An operator's
 * has the number of the last one: what the coordinator decides later is still news.
 *
 * Pure: a function of the log. The host writes an entry's bytes in the same atomic write as its batch and
 * gives them back at load, so that retries are recognised after a restart (B8).
 *
 * Source  KIP-98 (idempotent producer), KIP-360 (unknown producers may begin anywhere).
 * Bounds  producers that were idle for longer than the host's expiry are forgotten by producer_state_expire.
 */
#ifndef SENTINEL_MACHINE_PRODUCER_STATE_H
#define SENTINEL_MACHINE_PRODUCER_STATE_H

#include "base/cursor.h"
#include "base/map.h"
#include "base/status.h"

#define PRODUCER_BATCHES   5
#define PRODUCER_UNCOUNTED (-1) /* a first_sequence that says nothing */

enum producer_batch_kind { PRODUCER_PLAIN, PRODUCER_TRANSACTIONAL, PRODUCER_COMMIT, PRODUCER_ABORT };
struct producer_batch {
    enum producer_batch_kind kind;
    int32_t marker_number; /* of a marker: the transaction's, txn.h */
    bool by_operator;      /* the marker is of no transaction: it ends what is open, and keeps the number */
    int64_t producer_id;
    int16_t epoch;
    int32_t first_sequence;
    int32_t record_count;
    int64_t base_offset, last_offset;
    int64_t append_time_ms;
};

struct producer_entry {
    int64_t producer_id;
    int16_t epoch;
    uint8_t batch_count;
    struct {
        int32_t first_sequence, last_sequence;
        int64_t base_offset, last_offset;
    } batches[PRODUCER_BATCHES]; /* oldest first */
    int64_t last_time_ms;
    int64_t open_offset;   /* of the transaction's first batch; -1: none is open */
    int64_t marker_offset; /* of the last marker; -1: none */
    int32_t marker_number;
};
/* Of the last marker; 0, which is older than any transaction's: there was none. */
static inline int32_t producer_entry_number(const struct producer_entry *entry) {
    return entry->marker_offset < 0 ? 0 : entry->marker_number;
}
struct producer_aborted {
    int64_t producer_id, first_offset, last_offset; /* the last is the marker's */
};
struct producer_state {
    struct map producers;             /* producer id, 8 bytes big-endian -> struct producer_entry */
    uint32_t open_count;              /* transactions */
    struct producer_aborted *aborted; /* by last_offset */
    uint32_t aborted_count, aborted_capacity;
};

void producer_state_init(struct producer_state *state, uint64_t hash_seed);
void producer_state_release(struct producer_state *state);

/* NULL: unknown. */
const struct producer_entry *producer_state_find(const struct producer_state *state, int64_t producer_id);
/* OK: append it. DUPLICATE_SEQUENCE: *base_offset and *last_offset tell where it stands already.
 * OUT_OF_ORDER_SEQUENCE, INVALID_PRODUCER_EPOCH, INVALID_TXN_STATE (a plain batch while its producer's
 * transaction is open): refuse. Offsets and time of `batch` are not looked at. */
enum status producer_state_check(const struct producer_state *state, const struct producer_batch *batch,
                                 int64_t *base_offset, int64_t *last_offset) MUST_USE;
/* After the batch got its offsets. Returns the entry, to be saved with producer_entry_encode. */
const struct producer_entry *producer_state_apply(struct producer_state *state,
                                                  const struct producer_batch *batch);
/* Whether the batch is among those remembered, or older: for hosts that go through the log again. */
bool producer_state_has(const struct producer_state *state, const struct producer_batch *batch);
/* `to` is initialised and empty. */
void producer_state_copy(struct producer_state *to, const struct producer_state *from);
/* Calls `visit` for each producer with a batch at or above `offset`. */
void producer_state_visit(const struct producer_state *state, int64_t offset,
                          void (*visit)(void *ctx, const struct producer_entry *entry), void *ctx);
/* The first offset of a transaction that is open; INT64_MAX: none is. */
int64_t producer_state_open_offset(const struct producer_state *state);
/* Aborted transactions as keys beside the entries' own, for the host to store when apply has added one, and
 * to give back at load. */
void producer_aborted_encode(const struct producer_aborted *aborted, struct writer *key,
                             struct writer *value);
enum status producer_state_load_aborted(struct producer_state *state, struct slice key,
                                        struct slice value) MUST_USE;
/* Forgets transactions that ended below `offset`, the start of the log; true: there were some. */
bool producer_state_trim_aborted(struct producer_state *state, int64_t offset);
void producer_entry_encode(const struct producer_entry *entry, struct writer *out);
enum status producer_state_load(struct producer_state *state, int64_t producer_id,
                                struct slice value) MUST_USE;
/* Forgets producers idle since before `time_ms`; `forget` is called for each. */
void producer_state_expire(struct producer_state *state, int64_t time_ms,
                           void (*forget)(void *ctx, int64_t producer_id), void *ctx);

#endif
