// SPDX-License-Identifier: Apache-2.0
/* shrink_change.h: one change of a scenario, which may still fail: the moves of shrinking.
 *
 * Each is a function of the scenario, a number and a stream of chance, so that a candidate can be made again
 * from them. False: this change is none here. Owner: the caller's scenario. Loop: any. */
#ifndef SENTINEL_SIM_SHRINK_CHANGE_H
#define SENTINEL_SIM_SHRINK_CHANGE_H

#include "base/prng.h"
#include "sim/scenario.h"

/* What is left out. */
bool shrink_without_kind(struct scenario *scenario, enum action_kind kind);
bool shrink_without_row(struct scenario *scenario, uint32_t at, uint32_t size);
bool shrink_without_nodes_above(struct scenario *scenario, uint32_t nodes);
/* Each action with a chance of 1 in `part`; part 0: one or two of them. */
bool shrink_without_some(struct scenario *scenario, uint32_t part, struct prng *prng);

/* What comes in another way: some of seed, places of nodes, counts, times, sizes. */
void shrink_redraw(struct scenario *scenario, struct prng *prng);
/* Actions of the same kinds as here, drawn anew, and fewer. */
bool shrink_draw_anew(struct scenario *scenario, struct prng *prng);
/* Appends go to the leader, whoever it is. */
bool shrink_ask_the_leader(struct scenario *scenario);

/* What is plainer. */
uint32_t shrink_knob_count(void);
bool shrink_usual_knob(struct scenario *scenario, uint32_t index); /* index = count: all of them */
bool shrink_plainer_value(struct scenario *scenario, uint32_t index);
/* What follows the action before comes earlier, by half of the time since that one. */
bool shrink_shorter_wait(struct scenario *scenario, uint32_t index);

#endif
