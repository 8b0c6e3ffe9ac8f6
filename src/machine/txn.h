// SPDX-License-Identifier: Apache-2.0
/* txn.h: the coordinator of transactions: which producer owns a transactional id, and how its transactions
 * end.
 *
 *   EMPTY ─first partition or group─> ONGOING ─end─> PREPARE_COMMIT ─markers everywhere─> COMPLETE_COMMIT
 *     ^                                  │  └ end ─> PREPARE_ABORT ─markers everywhere─> COMPLETE_ABORT
 *     └── the next transaction begins    └ time is up, or another producer takes over: as an abort, fenced
 *
 * The decision is logged (PREPARE_*) before anything of it is done; from then on it is carried out however
 * often it takes: a marker that is written twice ends nothing the second time. The host asks with
 * txn_next_decided what is to be done and says with txn_completed that it was.
 *
 * An epoch belongs to one producer. With the second version of the protocol (KIP-890) each end moves the
 * epoch, so that nothing of one transaction can be taken for part of the next. With the first one the epoch
 * stays: there the transaction's number tells a marker that comes late, or twice, from the one of the next.
 *
 * Epochs of a producer id end with TXN_EPOCH_MAX; then the producer goes on under another id, from epoch 0,
 * which the host has at hand (fresh_id). The markers of a transaction that ends so are the old id's, with the
 * epoch behind the last; of the old id only the call that moved it counts when it comes again.
 *
 * Partitions may be added through nodes that know of a topic which the coordinator has not heard of: known_at
 * is how far the metadata was that knew it, and only metadata that far can say that the topic is gone.
 *
 * Pure, over the same log as the groups of its coordinator (group.h): keys go to `change`.
 * Source  KIP-98, KIP-360 (epochs after errors), KIP-447, KIP-890.
 * Owner   as group.h. Units  _ms monotonic beside now_ms, else 1970 when the name has wall.
 * Errors  INVALID_PRODUCER_ID_MAPPING, PRODUCER_FENCED, CONCURRENT_TRANSACTIONS (the one before is still
 * being completed), INVALID_TXN_STATE, INVALID_TXN_TIMEOUT, INVALID; none changes anything. Bounds
 * TXN_ID_SIZE_MAX, TXN_PARTITIONS_MAX of one transaction. I1  epochs of one producer id only grow.   I2  a
 * decided transaction keeps its decision. */
#ifndef SENTINEL_MACHINE_TXN_H
#define SENTINEL_MACHINE_TXN_H

#include "base/list.h"
#include "base/map.h"
#include "base/status.h"
#include "machine/state_change.h"

#define TXN_ID_SIZE_MAX    249
#define TXN_PARTITIONS_MAX 10000
#define TXN_EPOCH_MAX      32766 /* then another producer id; one more is for the marker that fences it */

enum txn_phase {
    TXN_EMPTY,
    TXN_ONGOING,
    TXN_PREPARE_COMMIT,
    TXN_PREPARE_ABORT,
    TXN_COMPLETE_COMMIT,
    TXN_COMPLETE_ABORT
};
struct txn_place {
    struct slice topic; /* a group's name when partition is TXN_GROUP */
    int32_t partition;
};
#define TXN_GROUP (-1)

struct txn {
    struct slice id;
    int64_t producer_id;
    int64_t previous_producer_id; /* whose epochs were used up; -1: none was */
    int16_t epoch;
    int32_t timeout_ms;
    enum txn_phase phase;
    int32_t number;    /* of the transaction, among those of this id; wraps (txn_number_is_newer) */
    int64_t known_at;  /* position of the metadata in which the places exist */
    struct map places; /* [partition be32][topic] -> struct txn_place */
    int64_t started_wall_ms, changed_wall_ms;
    int64_t deadline_ms; /* ONGOING: then it is aborted; INT64_MAX: none */
    bool moved_epoch;    /* the last end moved the epoch (KIP-890): a retry with the one before is the same */
    bool previous_may_claim; /* the epoch was moved last by its producer, or by time */
    void *work;              /* the host's, while it carries the decision out */
    struct list decided;     /* in txn_machine.decided */
};
struct txn_machine {
    struct map txns; /* id -> struct txn */
    int32_t timeout_max_ms;
    int64_t retention_ms; /* an id unused for so long is forgotten */
    uint64_t hash_seed;
    int64_t wake_ms;     /* no deadline is earlier */
    struct list decided; /* struct txn: decided ones that nobody works on */
};
struct txn_clock {
    int64_t now_ms, wall_ms;
};
static inline bool txn_number_is_newer(int32_t number, int32_t other) {
    return (int32_t)((uint32_t)number - (uint32_t)other) > 0;
}

void txn_machine_init(struct txn_machine *m, int32_t timeout_max_ms, int64_t retention_ms, uint64_t seed);
void txn_machine_release(struct txn_machine *m);
const struct txn *txn_find(const struct txn_machine *m, struct slice id);
const char *txn_phase_name(enum txn_phase phase); /* "Ongoing", as Kafka's tools show it */

/* fresh_id: a producer id never used, for a new id or one whose epochs are used up. producer_id and epoch:
 * what the client had (-1: nothing: it takes the id from whoever had it). The epoch before the present one is
 * good enough, for an answer that was lost and after a timeout, until somebody takes the id: PRODUCER_FENCED.
 * On OK the txn tells the new ones. */
enum status txn_init_producer(struct txn_machine *m, struct state_change *change,
                              const struct txn_clock *clock, struct slice id, int32_t timeout_ms,
                              int64_t producer_id, int16_t epoch, int64_t fresh_id,
                              const struct txn **result) MUST_USE;
struct txn_producer {
    struct slice id; /* transactional */
    int64_t producer_id;
    int16_t epoch;
};
struct txn_places {
    const struct txn_place *list;
    uint32_t count;
    int64_t known_at;
};
/* Makes partitions and groups part of the transaction, which begins with the first. */
enum status txn_add(struct txn_machine *m, struct state_change *change, const struct txn_clock *clock,
                    const struct txn_producer *who, const struct txn_places *places,
                    const struct txn **result) MUST_USE;
/* OK: the place is part of the ongoing transaction. */
enum status txn_verify(const struct txn_machine *m, const struct txn_producer *who,
                       const struct txn_place *place, const struct txn **result) MUST_USE;
struct txn_end {
    bool commit;
    bool moves_epoch; /* the client knows that each end moves the epoch (KIP-890) */
    int64_t fresh_id; /* a producer id never used; -1 unless txn_end_takes_id */
};
static inline bool txn_end_takes_id(const struct txn_producer *who, bool moves_epoch) {
    return moves_epoch && who->epoch == TXN_EPOCH_MAX;
}
/* On OK the txn tells the producer id and epoch in force. */
enum status txn_end(struct txn_machine *m, struct state_change *change, const struct txn_clock *clock,
                    const struct txn_producer *who, const struct txn_end *end,
                    const struct txn **result) MUST_USE;
struct txn_identity {
    int64_t producer_id;
    int16_t epoch;
};
/* Of the markers of the transaction that is decided; of any other, the one in force. */
struct txn_identity txn_marker_identity(const struct txn *txn);

/* Aborts the ongoing transaction without its producer, as if its time were up. OK also when it is being
 * aborted; TXN_NOT_FOUND; INVALID_TXN_STATE: there is none, or it is being committed. */
enum status txn_abort(struct txn_machine *m, struct state_change *change, const struct txn_clock *clock,
                      struct slice id, const struct txn **result) MUST_USE;

/* A decided transaction that nobody works on; NULL: none. It is the host's, who sets its `work`. */
struct txn *txn_next_decided(struct txn_machine *m);
/* Its markers are written. */
void txn_completed(struct txn_machine *m, struct state_change *change, const struct txn_clock *clock,
                   struct slice id);
/* When txn_expire wants to be called; INT64_MAX: never. */
int64_t txn_deadline(const struct txn_machine *m);
void txn_expire(struct txn_machine *m, struct state_change *change, const struct txn_clock *clock);

enum status txn_load(struct txn_machine *m, struct slice key, struct slice value) MUST_USE;
void txn_loaded(struct txn_machine *m, const struct txn_clock *clock);
/* Whether a key of the common log is this machine's. */
bool txn_owns_key(struct slice key);

#endif
