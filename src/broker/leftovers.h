// SPDX-License-Identifier: Apache-2.0
/* leftovers.h: what a deleted topic left on this disk, because the node went down before it was all deleted.
 *
 * A partition's group number is never used again, and numbers ascend: a number below the metadata's next one
 * that no topic has was a partition, and is none any more, however old the metadata is.
 *
 * Owner   the broker has what is under way. Loop: shard thread only; leftovers_find blocks, one seek for each group
 *         that has keys: for start-up, and for checks. Errors: what cannot be read is left for the next
 * start. */
#ifndef SENTINEL_BROKER_LEFTOVERS_H
#define SENTINEL_BROKER_LEFTOVERS_H

#include "broker/broker_state.h"

/* The first group of which something is left; 0: none. */
uint64_t leftovers_find(struct broker *broker);
/* Deletes what there is; when the topics are loaded. */
void leftovers_delete(struct broker *broker);
void leftovers_abandon(struct broker *broker); /* a crash: what is under way does not complete */

#endif
