// SPDX-License-Identifier: Apache-2.0
/* partition_round.h: every partition of the topics that want it is visited now and then, one a turn of the
 * loop, so that ten thousand of them hold up nobody. For what retention and the cleaner do in the background.
 *
 *   pause ─> places listed ─> visit(partition) ─> partition_round_next ─> visit ... ─> pause
 *
 * Owner   whoever embeds it. A visit may go on for as long as it likes; then partition_round_next, once.
 * Loop    shard thread only.  Topics that do not want it are not looked at, and stay unloaded. */
#ifndef SENTINEL_BROKER_PARTITION_ROUND_H
#define SENTINEL_BROKER_PARTITION_ROUND_H

#include "broker/partition.h"

struct partition_round {
    bool (*wants)(const struct topic_state *topic);
    void (*visit)(struct partition_round *round, struct partition *partition);
    /* The partition was loaded anew, or is gone, or the round is over: what a visit knew is void. May be
     * NULL. */
    void (*forget)(struct partition_round *round);
    /* its own */
    struct broker *broker;
    uint64_t pause_ns;
    struct io_timer begin, next;
    struct partition_place *places;
    size_t count, current;
    struct partition_waiter waiter;
};
/* With `wants`, `visit` and `forget` set; begins after the first pause. */
void partition_round_start(struct partition_round *round, struct broker *broker, uint64_t pause_ms);
/* The visit is over. */
void partition_round_next(struct partition_round *round);
/* The same partition is visited once more, when it is still there. */
void partition_round_again(struct partition_round *round);
void partition_round_stop(struct partition_round *round);

#endif
