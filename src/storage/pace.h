// SPDX-License-Identifier: Apache-2.0
/* pace.h: how fast writers may go on, so that the work behind them (log, flush, compaction) keeps up and need
 * not stop them all at once.
 *
 *   rate
 *    │no limit
 *    │        \         drained * (hard - debt) / (debt - soft)
 *    │         `.
 *    │ - - - - - -`- . - - - - -  drained: what the work behind gets done
 *    │                   ` - ._
 *    └────────┬───────────────┬── debt
 *            soft            hard: nobody writes
 *
 * A debt is what waits for that work. It comes to rest where as much comes in as goes out, half-way between
 * its limits, and writers feel short pauses instead of a long stop: what they write is owed, and paid off at
 * the rate of the moment, which is looked at again while they wait.
 *
 * Source  RocksDB's write controller has the same aim (its delayed write rate steps down and up); control in
 *         proportion to the debt needs no steps. Leaky bucket: Turner 1986.
 * Units   user bytes given to the store, ns. Pure; any thread. */
#ifndef SENTINEL_STORAGE_PACE_H
#define SENTINEL_STORAGE_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/units.h"

/* A pause is not worth taking below the first; and the rate is looked at again after the second. */
#define PACE_PAUSE_MIN_NS (NS_PER_MS)
#define PACE_LOOK_NS      (5 * NS_PER_MS)
/* What is drained in a second, until it was measured. */
#define PACE_DRAINED_DEFAULT (64 * MIB)
#define PACE_NO_LIMIT        UINT64_MAX

struct pace_debt {
    uint64_t debt, soft, hard;
    uint64_t drained;  /* bytes a second, lately; 0: not known */
    uint64_t since_ns; /* what was drained last */
    bool more;         /* and there was more to drain then */
};
/* Takes in that so many bytes have left the debt. The work for them began at started_ns, or was due since the
 * last time, when there was `more` to do. */
void pace_drained(struct pace_debt *debt, uint64_t bytes, uint64_t started_ns, uint64_t now_ns, bool more);
/* Bytes a second that may be written: 0 from the hard limit on, PACE_NO_LIMIT up to the soft one. */
uint64_t pace_rate(const struct pace_debt *debt);

/* What was written and is not paid off; all zero: nothing. */
struct pace {
    uint64_t owed, at_ns, rate;
};
/* How long writers have to wait at the rate of now, until `owed` is paid off; 0: they go on; UINT64_MAX:
 * until the rate is another. */
uint64_t pace_wait(struct pace *pace, uint64_t rate, uint64_t now_ns);
static inline void pace_write(struct pace *pace, uint64_t bytes) {
    pace->owed += bytes;
}

#endif
