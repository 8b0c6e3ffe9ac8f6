// SPDX-License-Identifier: Apache-2.0
/* rebalance.h: `sentinel cluster rebalance`: copies and leaders spread evenly, a few moves at a time.
 *
 * The server plans (PlanRebalance), the moves are ordinary ones (MovePartitions). Each look plans anew from
 * how things are, so it may be interrupted and run again at any time, and there is nothing to clean up.
 *
 * Loop    the command's. Errors as client.h. */
#ifndef SENTINEL_CLI_REBALANCE_H
#define SENTINEL_CLI_REBALANCE_H

#include <stdbool.h>

#include "sentinel/client.h"

#define REBALANCE_MOVES 4 /* under way at once, unless it is said */

/* Prints the plan, with what is to be copied. */
int rebalance_plan(sentinel_client *client, bool json, sentinel_error *error);
/* Until there is nothing to move any more. */
int rebalance_run(sentinel_client *client, size_t moves_max, sentinel_error *error);

#endif
