// SPDX-License-Identifier: Apache-2.0
#include "storage/pace.h"

#include "base/assert.h"

static uint64_t scaled(uint64_t value, uint64_t times, uint64_t by) {
    uint64_t product;
    if (!__builtin_mul_overflow(value, times, &product)) return product / by;
    /* Large numbers need no precision. */
    return __builtin_mul_overflow(value / by, times, &product) ? PACE_NO_LIMIT - 1 : product;
}

void pace_drained(struct pace_debt *debt, uint64_t bytes, uint64_t started_ns, uint64_t now_ns, bool more) {
    if (bytes == 0) return;
    uint64_t from_ns = debt->more ? debt->since_ns : started_ns;
    debt->since_ns = now_ns;
    debt->more = more;
    uint64_t rate = MAX(scaled(bytes, NS_PER_S, MAX(now_ns - from_ns, 1u)), 1u);
    /* A quarter is new: one that was slow because the disk was busy does not slow down all that follows. */
    debt->drained = debt->drained == 0 ? rate : debt->drained - debt->drained / 4 + rate / 4;
}

uint64_t pace_rate(const struct pace_debt *debt) {
    ASSERT(debt->soft < debt->hard);
    if (debt->debt <= debt->soft) return PACE_NO_LIMIT;
    if (debt->debt >= debt->hard) return 0;
    uint64_t drained = debt->drained == 0 ? PACE_DRAINED_DEFAULT : debt->drained;
    return MAX(scaled(drained, debt->hard - debt->debt, debt->debt - debt->soft), 1u);
}

uint64_t pace_wait(struct pace *pace, uint64_t rate, uint64_t now_ns) {
    uint64_t paid = pace->rate == PACE_NO_LIMIT ? pace->owed
                                                : scaled(now_ns - pace->at_ns, pace->rate, NS_PER_S);
    pace->owed = rate == PACE_NO_LIMIT ? 0 : pace->owed - MIN(paid, pace->owed);
    pace->at_ns = now_ns;
    pace->rate = rate;
    if (pace->owed == 0) return 0;
    return rate == 0 ? UINT64_MAX : scaled(pace->owed, NS_PER_S, rate);
}
