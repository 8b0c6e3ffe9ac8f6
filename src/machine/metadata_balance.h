// SPDX-License-Identifier: Apache-2.0
/* metadata_balance.h: which partitions to move so that copies and preferred leaders are spread evenly.
 *
 *   racks     a partition has its copies in as many racks as it can; no move makes that worse
 *   replicas  then each node has as many as the others, or one less; as few copies move as that takes
 *   leaders   then each is the preferred leader of as many as the others; only the order of nodes changes
 *
 * A plan, nothing more: what it says is done by moves (metadata_move.c), one partition at a time and in any
 * order, and when some of it is done, a new plan holds the rest. What is being moved is counted where it
 * goes, and left alone. The same state gives the same plan; that of a balanced state is empty.
 *
 * Where racks of different size, or partitions with copies on few nodes, leave no step that makes things
 * better, they stay uneven. Copies on nodes that drain or are down stay where they are.
 *
 * Source  Kafka's kafka-reassign-partitions --generate spreads anew, whatever it moves; Cruise Control and
 *         Redpanda's balancer move from the fullest to the emptiest, as here.
 * Loop    pure. Bounds: METADATA_BALANCE_MAX partitions a plan. */
#ifndef SENTINEL_MACHINE_METADATA_BALANCE_H
#define SENTINEL_MACHINE_METADATA_BALANCE_H

#include "machine/metadata.h"

#define METADATA_BALANCE_MAX 1000u

struct metadata_balance {
    const struct metadata_topic *topic;
    int32_t partition;
    uint32_t count, nodes[METADATA_REPLICAS_MAX]; /* where it shall be, the preferred leader first */
};
/* Up to `max` partitions; how many. `usable` as for metadata_place. */
uint32_t metadata_plan_balance(const struct metadata *m, bool (*usable)(void *ctx, uint32_t node), void *ctx,
                               uint32_t max, struct metadata_balance *plan);

#endif
