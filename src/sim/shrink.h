// SPDX-License-Identifier: Apache-2.0
/* shrink.h: a failing scenario made smaller while it still fails in the same way.
 *
 * Actions after the failure go first, then kinds of actions, nodes, and actions in rows and at random, many
 * at once before few, by delta debugging (Zeller and Hildebrandt, "Simplifying and Isolating Failure-Inducing
 * Input", 2002); then unusual knobs, sizes, counts, pauses and waits. Each step keeps what still fails, if
 * need be with another seed: leaving out an action moves all that is drawn after it.
 *
 * Errors  none: at worst the scenario stays as it is. Bounds: runs_max calls of `fails`. Loop: any. */
#ifndef SENTINEL_SIM_SHRINK_H
#define SENTINEL_SIM_SHRINK_H

#include "sim/scenario.h"

struct shrink {
    /* Runs it: true when it fails by the same invariant as before; *failed_at_ns says when, if that is known.
     */
    bool (*fails)(void *ctx, const struct scenario *scenario, uint64_t *failed_at_ns);
    void *ctx;
    uint64_t failed_at_ns; /* nothing later is needed */
    uint32_t runs_max, runs;
};
/* `scenario` fails. */
void shrink_scenario(struct shrink *shrink, struct scenario *scenario);

#endif
