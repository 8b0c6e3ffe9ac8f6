// SPDX-License-Identifier: Apache-2.0
/* shrink.h: a failing scenario made smaller while it still fails in the same way.
 *
 * A step offers many candidates at once; whoever runs them says which is the first that fails, and that is
 * the scenario from then on. So they can be run side by side, and the same candidates come to the same end.
 *
 *   what comes after the failure, kinds of actions, nodes, rows of actions (delta debugging: Zeller and
 *   Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002), then any actions at random
 *   (shrink_change.h), again and again; at last unusual knobs, sizes, pauses and waits
 *
 * What is left out moves all that is drawn later in a run: other latencies, other leaders, another write that
 * is the fifth. So a candidate is not only smaller: seeds, nodes that change places, counts and times that
 * are drawn anew give a failure that needs a race another chance to come about. What is no longer made
 * smaller is changed for another that fails and is as large: the next step finds other ways on from there.
 *
 * Errors  none: at worst the scenario stays as it is. Loop: any. Bounds: the budget. */
#ifndef SENTINEL_SIM_SHRINK_H
#define SENTINEL_SIM_SHRINK_H

#include "sim/scenario.h"

/* Candidates are numbered; each is made where it is run. */
struct shrink_candidates {
    uint32_t count;
    /* False: there is none of this number. */
    bool (*make)(const struct shrink_candidates *candidates, uint32_t index, struct scenario *candidate);
};

struct shrink {
    /* The first that fails by the same invariant as before, and when, if that is known (else UINT64_MAX);
     * candidates->count: none does. */
    uint32_t (*first_failing)(void *ctx, const struct shrink_candidates *candidates, uint64_t *failed_at_ns);
    /* How much of what may be spent is left, of a thousand. */
    uint32_t (*left)(void *ctx);
    void *ctx;
    uint64_t failed_at_ns; /* nothing later is needed; UINT64_MAX: not known */
};
/* `scenario` fails. */
void shrink_scenario(struct shrink *shrink, struct scenario *scenario);

#endif
