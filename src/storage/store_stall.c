// SPDX-License-Identifier: Apache-2.0
/* When writers are asked to hold back, and for how long: in proportion to what log, flush and compaction owe
 * (pace.h). */
#include "base/assert.h"
#include "storage/compaction.h"
#include "storage/store_internal.h"

/* Bytes a second that the debts of now allow. */
static uint64_t rate_now(struct store *store) {
    if (store->status != STATUS_OK) return PACE_NO_LIMIT; /* what it refuses need not wait */
    struct store_stall *stall = &store->stall;
    uint64_t memtable = store->options.memtable_bytes, active = memtable_used(store->active);
    stall->memtables.debt = active;
    for (uint32_t i = 0; i < store->immutable_count; i++)
        stall->memtables.debt += memtable_used(store->immutables[i]);
    /* A memtable will be a table of level 0, about; counted so, the debt moves smoothly. */
    uint64_t tables = store->versions.current->level0_tables + store->immutable_count;
    /* What no compaction can take away need not be waited for: damaged tables, and those they hold up. */
    bool stuck = compaction_stuck(store->compaction);
    stall->level0.debt = stuck ? 0 : tables * memtable + MIN(active, memtable);
    stall->log.debt = wal_pending_bytes(store->wal);
    uint64_t rate = MIN(pace_rate(&stall->memtables), pace_rate(&stall->level0));
    return MIN(rate, pace_rate(&stall->log));
}

static void end(struct store *store) {
    struct store_stall *stall = &store->stall;
    uint64_t took_ns = io_now_ns(store->io) - stall->since_ns;
    *(stall->stopped ? &store->stats.stalls : &store->stats.pauses) += 1;
    *(stall->stopped ? &store->stats.stall_ns : &store->stats.pause_ns) += took_ns;
    histogram_add(&stall->took_ns, took_ns);
    stall->on = stall->stopped = false;
    io_timer_cancel(store->io, &stall->timer);
    if (store->resume != NULL) store->resume(store->resume_ctx);
}

/* Begins, goes on with or ends a pause. */
static void look(struct store *store) {
    struct store_stall *stall = &store->stall;
    uint64_t now_ns = io_now_ns(store->io), rate = rate_now(store);
    uint64_t wait_ns = pace_wait(&stall->pace, rate, now_ns);
    if (!stall->on) {
        if (wait_ns < PACE_PAUSE_MIN_NS) return;
        stall->on = true;
        stall->since_ns = now_ns;
    } else if (wait_ns < PACE_PAUSE_MIN_NS / 2) {
        end(store);
        return;
    }
    stall->stopped = stall->stopped || rate == 0;
    io_timer_set(store->io, &stall->timer, now_ns + MIN(wait_ns, PACE_LOOK_NS));
}

void store_stall_after_write(struct store *store, uint64_t bytes) {
    struct store_stall *stall = &store->stall;
    uint64_t rate = rate_now(store);
    if (!stall->on && rate == PACE_NO_LIMIT && stall->pace.owed == 0) return;
    pace_write(&stall->pace, bytes);
    if (!stall->on) look(store); /* else the timer does */
}

void store_stall_look(struct store *store) {
    if (store->stall.on) look(store);
}

static void fire(struct io_timer *timer) {
    look(CONTAINER_OF(timer, struct store, stall.timer));
}

void store_stall_logged(struct store *store, uint64_t bytes) {
    uint64_t now_ns = io_now_ns(store->io), last_ns = store->stall.log.since_ns;
    pace_drained(&store->stall.log, bytes, last_ns, now_ns, wal_pending_bytes(store->wal) > 0);
}

void store_stall_flushed(struct store *store, uint64_t bytes, uint64_t started_ns) {
    bool more = store->immutable_count > 0;
    pace_drained(&store->stall.memtables, bytes, started_ns, io_now_ns(store->io), more);
}

void store_stall_compacted(struct store *store, uint32_t tables, uint64_t started_ns) {
    bool more = store->versions.current->level0_tables >= STORE_LEVEL0_SLOW;
    uint64_t bytes = tables * store->options.memtable_bytes;
    pace_drained(&store->stall.level0, bytes, started_ns, io_now_ns(store->io), more);
}

void store_stall_init(struct store *store) {
    struct store_stall *stall = &store->stall;
    uint64_t memtable = store->options.memtable_bytes;
    stall->memtables = (struct pace_debt){.soft = memtable * STORE_MEMTABLES_SLOW,
                                          .hard = memtable * STORE_MEMTABLES_STOP};
    stall->level0 = (struct pace_debt){.soft = memtable * STORE_LEVEL0_SLOW,
                                       .hard = memtable * STORE_LEVEL0_STOP};
    stall->log = (struct pace_debt){.soft = memtable / 2, .hard = memtable * 3 / 2};
    histogram_init(&stall->took_ns);
    io_timer_init(&stall->timer, fire);
}

void store_stall_release(struct store *store) {
    io_timer_cancel(store->io, &store->stall.timer);
}

bool store_stalled(const struct store *store) {
    return store->stall.on;
}

void store_on_resume(struct store *store, void (*resume)(void *ctx), void *ctx) {
    store->resume = resume;
    store->resume_ctx = ctx;
}
