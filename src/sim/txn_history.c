// SPDX-License-Identifier: Apache-2.0
#include "sim/txn_history.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"

void txn_history_init(struct txn_history *t, struct history *history) {
    *t = (struct txn_history){.history = history};
    for (uint32_t i = 0; i < TXN_HISTORY_IDS; i++)
        t->epochs[i] = -1;
}

void txn_history_release(struct txn_history *t) {
    mem_free(t->outcomes);
}

uint32_t txn_history_begin(struct txn_history *t) {
    if (t->count == t->capacity) {
        t->capacity = MAX(256U, t->capacity * 2);
        t->outcomes = mem_realloc(t->outcomes, t->capacity);
    }
    t->outcomes[t->count] = TXN_OPEN;
    return t->count++;
}

void txn_history_ended(struct txn_history *t, uint32_t number, bool committed) {
    ASSERT_LT(number, t->count);
    t->outcomes[number] = committed ? TXN_COMMITTED : TXN_ABORTED;
    t->committed += committed;
    t->aborted += !committed;
}

/* ---- identities --------------------------------------------------------------------------------------- */

void txn_history_identity(struct txn_history *t, uint32_t id, int32_t epoch) {
    if (epoch == t->epochs[id])
        history_violate(t->history, "B9 fencing: epoch %d of transactional id %u is given out twice", epoch,
                        id);
    t->epochs[id] = MAX(t->epochs[id], epoch);
}

bool txn_history_is_fenced(const struct txn_history *t, uint32_t id, int32_t epoch) {
    return t->epochs[id] > epoch;
}

void txn_history_taken(struct txn_history *t, uint32_t id, int32_t epoch, const char *what, bool fenced) {
    if (fenced)
        history_violate(
            t->history,
            "B9 fencing: %s of epoch %d of transactional id %u is taken, after epoch %d was given out", what,
            epoch, id, t->epochs[id]);
}

/* ---- reading ------------------------------------------------------------------------------------------ */

void txn_pass_restart(struct txn_pass *pass) {
    for (uint32_t p = 0; p < TXN_HISTORY_PARTITIONS; p++)
        for (int i = 0; i < 2; i++) {
            if (pass->records[p][i].seen != NULL)
                memset(pass->records[p][i].seen, 0, pass->records[p][i].capacity);
            pass->records[p][i].last = -1;
        }
}

void txn_pass_release(struct txn_pass *pass) {
    for (uint32_t p = 0; p < TXN_HISTORY_PARTITIONS; p++)
        for (int i = 0; i < 2; i++)
            mem_free(pass->records[p][i].seen);
}

void txn_history_read(struct txn_history *t, struct txn_pass *pass, uint32_t number, uint32_t partition,
                      bool second, int64_t offset) {
    if (number >= t->count || partition >= TXN_HISTORY_PARTITIONS || offset < 0) {
        history_violate(t->history, "B10 atomicity: a copy is read that nobody made");
        return;
    }
    if (t->outcomes[number] == TXN_ABORTED)
        history_violate(t->history, "B11 isolation: a copy of %u/%lld is read, transaction %u was aborted",
                        partition, (long long)offset, number);
    if (offset <= pass->records[partition][second].last)
        history_violate(t->history, "B10 atomicity: copy %d of %u/%lld comes after that of %lld", second + 1,
                        partition, (long long)offset, (long long)pass->records[partition][second].last);
    pass->records[partition][second].last = MAX(pass->records[partition][second].last, offset);
    if ((size_t)offset >= pass->records[partition][second].capacity) {
        size_t before = pass->records[partition][second].capacity;
        size_t capacity = MAX((size_t)offset + 1, before * 2);
        bool *seen = mem_realloc(pass->records[partition][second].seen, capacity);
        memset(seen + before, 0, capacity - before);
        pass->records[partition][second].seen = seen;
        pass->records[partition][second].capacity = capacity;
    }
    pass->records[partition][second].seen[offset] = true;
}

void txn_history_finish(struct txn_history *t, const struct txn_pass *pass, uint32_t partition, int64_t end) {
    const struct history_partition *source = &t->history->partitions[partition];
    for (size_t offset = 0; offset < source->capacity && (int64_t)offset < end; offset++)
        for (int i = 0; i < 2 && source->acknowledged[offset]; i++)
            if (offset >= pass->records[partition][i].capacity || !pass->records[partition][i].seen[offset])
                history_violate(t->history,
                                "B10 atomicity: copy %d of %u/%zu is missing, the offsets say %lld", i + 1,
                                partition, offset, (long long)end);
}
