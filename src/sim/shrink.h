// SPDX-License-Identifier: Apache-2.0
/* shrink.h: a failing scenario made smaller while it still fails in the same way.
 *
 * Actions after the failure go first, then whole faults, then single actions by delta debugging (Zeller and
 * Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", 2002); then unusual knobs, then sizes,
 * counts and pauses. Each step keeps what still fails.
 *
 * Errors  none: at worst the scenario stays as it is. Bounds: runs_max calls of `fails`. Loop: any. */
#ifndef SENTINEL_SIM_SHRINK_H
#define SENTINEL_SIM_SHRINK_H

#include "sim/scenario.h"

struct shrink {
    /* Runs it: true when it fails by the same invariant as before. */
    bool (*fails)(void *ctx, const struct scenario *scenario);
    void *ctx;
    uint64_t failed_at_ns; /* nothing later is needed */
    uint32_t runs_max, runs;
};
/* `scenario` fails. */
void shrink_scenario(struct shrink *shrink, struct scenario *scenario);

#endif
