// SPDX-License-Identifier: Apache-2.0
/* moves.h: waiting, with progress on standard error, until partitions are where they shall be. */
#ifndef SENTINEL_CLI_MOVES_H
#define SENTINEL_CLI_MOVES_H

#include "sentinel/client.h"

/* How many are left: one line, redrawn on a terminal; elsewhere a new line whenever the number changes.
 * `*shown` begins as -1. */
void moves_show(const char *what, long long left, long long *shown);
/* Until no partition of the topic moves any more; copies left behind may still be being deleted. 0, or -1
 * with the error. */
int moves_wait_for_topic(sentinel_client *client, const char *topic, sentinel_error *error);
/* Until a node that is drained holds nothing. */
int moves_wait_for_node(sentinel_client *client, int32_t node, sentinel_error *error);

#endif
