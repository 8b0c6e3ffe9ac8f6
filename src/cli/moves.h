// SPDX-License-Identifier: Apache-2.0
/* moves.h: waiting, with progress on standard error, until partitions are where they shall be. */
#ifndef SENTINEL_CLI_MOVES_H
#define SENTINEL_CLI_MOVES_H

#include "sentinel/client.h"

#include <stdbool.h>
#include <stdint.h>

/* What was shown, and how the copies went since. Units: milliseconds of the wall clock, records. */
struct moves_progress {
    const char *what;
    bool begun;
    long long left;    /* as shown */
    long long lacking; /* records that copies lack, of the whole cluster; -1: not known */
    long long first;   /* the most of late, at first_ms */
    int64_t first_ms, looked_ms, shown_ms;
};
/* How many are left, how many records copies lack yet, and how long that takes at the rate of now: one line,
 * redrawn on a terminal; elsewhere a new line whenever the first number changes, and every ten seconds. */
void moves_show(struct moves_progress *progress, sentinel_client *client, long long left);
/* The words: "what: 3 left, 1200000 records to copy, 40 s". */
void moves_text(const struct moves_progress *progress, int64_t now_ms, char *text, size_t size);
/* Until no partition of the topic moves any more; copies left behind may still be being deleted. 0, or -1
 * with the error. */
int moves_wait_for_topic(sentinel_client *client, const char *topic, sentinel_error *error);
/* Until a node that is drained holds nothing. */
int moves_wait_for_node(sentinel_client *client, int32_t node, sentinel_error *error);

#endif
