// SPDX-License-Identifier: Apache-2.0
/* staleness.h: how old may be what a node tells readers.
 *
 * B24 staleness, an invariant of our own beside the numbered ones: what a reader is told at some moment was the
 * whole committed log not longer before than READ_STALE_ELECTIONS election timeouts (broker/read_replica.h) and
 * what leaders' messages were delayed on their way to the node that tells it. It may follow, or lead and not know
 * yet that another leads. What was committed is taken from what clients were told, by any node: nobody looks into
 * a broker for it.
 *
 *   told:   end 7 ──────── end 9 ───────────── end 12 ──>
 *                            └─── allowed age ───┤ asked: an answer that ends below 9 is too old
 *
 * Owner   the caller; staleness_release. Units: true time in ns. Loop: one thread. Bounds: an entry for each
 * end that grew; looked up in O(log n). */
#ifndef SENTINEL_SIM_STALENESS_H
#define SENTINEL_SIM_STALENESS_H

#include "sim/history.h"

/* The ends of one partition that clients were told, as they grew; zeroed is none. */
struct staleness {
    struct staleness_end {
        uint64_t at_ns;
        int64_t end;
    } * ends;
    size_t count, capacity;
};

void staleness_release(struct staleness *s);
/* Some client was told at now_ns that everything below `end` is committed. Times do not go back. */
void staleness_told(struct staleness *s, uint64_t now_ns, int64_t end);
/* The greatest end that was told by then. */
int64_t staleness_end_at(const struct staleness *s, uint64_t at_ns);
/* A node answers what it was asked at asked_ns: B24 when its end is older than it may be. */
void staleness_check(const struct staleness *s, struct history *history, uint32_t partition, uint32_t node,
                     uint64_t asked_ns, uint64_t allowed_ns, int64_t end);

#endif
