// SPDX-License-Identifier: Apache-2.0
/* txn_history.h: what copying in transactions came to, kept outside every crash, and the invariants held
 * against it.
 *
 *   B9  fencing      nothing of an epoch is taken after a later one of the same transactional id was given
 * out B10 atomicity    each record of the source is twice in the target, once in each of the two partitions
 * that its transaction writes to, in order; so are the offsets that go with it B11 isolation    nothing of an
 * aborted transaction is read, nor at or above the last stable offset
 *
 * Owner   the run. Transactions have a number each, transactional ids an index. The first violation goes to
 *         `history`. Loop: one thread. */
#ifndef SENTINEL_SIM_TXN_HISTORY_H
#define SENTINEL_SIM_TXN_HISTORY_H

#include "sim/history.h"

#define TXN_HISTORY_IDS        4
#define TXN_HISTORY_PARTITIONS 4

enum txn_outcome { TXN_OPEN, TXN_COMMITTED, TXN_ABORTED };
struct txn_history {
    struct history *history;
    uint8_t *outcomes; /* enum txn_outcome, by number: what was acknowledged */
    uint32_t count, capacity;
    int32_t epochs[TXN_HISTORY_IDS]; /* latest that was given out; -1: none */
    uint64_t committed, aborted, fenced;
};
/* One reading of the whole target, from its start. */
struct txn_pass {
    struct {
        bool *seen; /* by offset of the source */
        size_t capacity;
        int64_t last;
    } records[TXN_HISTORY_PARTITIONS][2]; /* by partition of the source; 1: the second copies */
};

void txn_history_init(struct txn_history *t, struct history *history);
void txn_history_release(struct txn_history *t);
uint32_t txn_history_begin(struct txn_history *t);
/* It was acknowledged that it was committed, or aborted. */
void txn_history_ended(struct txn_history *t, uint32_t number, bool committed);

void txn_history_identity(struct txn_history *t, uint32_t id, int32_t epoch);
/* What leaves now with this epoch must be refused. */
bool txn_history_is_fenced(const struct txn_history *t, uint32_t id, int32_t epoch);
void txn_history_taken(struct txn_history *t, uint32_t id, int32_t epoch, const char *what, bool fenced);

void txn_pass_restart(struct txn_pass *pass);
void txn_pass_release(struct txn_pass *pass);
/* A committed record was read: the copy of `offset` of `partition`, made by a transaction. */
void txn_history_read(struct txn_history *t, struct txn_pass *pass, uint32_t number, uint32_t partition,
                      bool second, int64_t offset);
/* Everything was read; the source was copied up to `end`. */
void txn_history_finish(struct txn_history *t, const struct txn_pass *pass, uint32_t partition, int64_t end);

#endif
