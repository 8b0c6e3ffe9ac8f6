// SPDX-License-Identifier: Apache-2.0
/* What a rebalancing would move, by the metadata that this node has and the nodes that it hears. */
#include "base/mem.h"
#include "broker/cluster.h"
#include "machine/metadata_balance.h"

static bool usable(void *ctx, uint32_t node) {
    return cluster_node_is_up(ctx, node);
}

void broker_plan_rebalance(struct broker *broker, uint32_t max,
                           void (*visit)(void *ctx, const struct planned_move *move), void *ctx) {
    if (broker->cluster == NULL) return;
    max = max == 0 ? METADATA_BALANCE_MAX : MIN(max, METADATA_BALANCE_MAX);
    struct metadata_balance *plan = mem_calloc(max, sizeof *plan);
    uint32_t count = metadata_plan_balance(&broker->metadata, usable, broker->cluster, max, plan);
    for (uint32_t i = 0; i < count; i++) {
        const struct metadata_balance *from = &plan[i];
        const struct metadata_replicas *now = &from->topic->replicas[from->partition];
        struct planned_move move = {.topic = slice_make(from->topic->name, from->topic->name_size),
                                    .partition = from->partition,
                                    .count = from->count};
        for (uint32_t k = 0; k < from->count; k++) {
            move.from[k] = (int32_t)now->nodes[k];
            move.to[k] = (int32_t)from->nodes[k];
        }
        visit(ctx, &move);
    }
    mem_free(plan);
}
