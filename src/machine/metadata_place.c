// SPDX-License-Identifier: Apache-2.0
/* Placement: which nodes get the replicas of new partitions.
 *
 * Each partition takes the nodes with the fewest replicas so far, and of those the one that leads least leads
 * it. Ties go to the lower number. So partitions spread evenly over nodes that come and go, and the same
 * state gives the same placement. */
#include "base/assert.h"
#include "machine/metadata.h"

struct load {
    uint32_t node;
    uint64_t replicas, leaders;
    bool taken;
};

static struct load *find(struct load *loads, uint32_t count, uint32_t node) {
    for (uint32_t i = 0; i < count; i++)
        if (loads[i].node == node) return &loads[i];
    return NULL;
}

static void count_load(const struct metadata *m, struct load *loads, uint32_t count) {
    MAP_FOREACH(it, &m->by_name) {
        const struct metadata_topic *topic = MAP_ENTRY(it)->value;
        for (int32_t p = 0; topic->replicas != NULL && p < topic->partition_count; p++) {
            for (uint32_t i = 0; i < topic->replicas[p].count; i++) {
                struct load *load = find(loads, count, topic->replicas[p].nodes[i]);
                if (load == NULL) continue;
                load->replicas++;
                load->leaders += i == 0;
            }
        }
    }
}

static struct load *least(struct load *loads, uint32_t count) {
    struct load *best = NULL;
    for (uint32_t i = 0; i < count; i++)
        if (!loads[i].taken && (best == NULL || loads[i].replicas < best->replicas)) best = &loads[i];
    return best;
}

/* One partition; `chosen` has room for `replication`. */
static void choose(struct load *loads, uint32_t count, int16_t replication, struct load **chosen) {
    int16_t first = 0;
    for (int16_t i = 0; i < replication; i++) {
        chosen[i] = least(loads, count);
        chosen[i]->taken = true;
        chosen[i]->replicas++;
        if (chosen[i]->leaders < chosen[first]->leaders) first = i;
    }
    struct load *leader = chosen[first];
    chosen[first] = chosen[0];
    chosen[0] = leader;
    leader->leaders++;
    for (int16_t i = 0; i < replication; i++)
        chosen[i]->taken = false;
}

enum status metadata_place(const struct metadata *m, int32_t count, int16_t replication,
                           bool (*usable)(void *ctx, uint32_t node), void *ctx, struct writer *placement,
                           struct diagnostic *diagnostic) {
    struct load loads[METADATA_NODES_MAX];
    uint32_t node_count = 0;
    for (uint32_t i = 0; i < m->node_count; i++)
        if (usable(ctx, m->nodes[i].node)) loads[node_count++] = (struct load){.node = m->nodes[i].node};
    if (replication < 1 || replication > METADATA_REPLICAS_MAX || (uint32_t)replication > node_count)
        return diagnose(
            diagnostic, STATUS_INVALID_REPLICATION,
            "replication factor %d asked for; %u of %u nodes can take replicas now, and %d is the "
            "most",
            replication, node_count, m->node_count, METADATA_REPLICAS_MAX);
    count_load(m, loads, node_count);
    for (int32_t p = 0; p < count; p++) {
        struct load *chosen[METADATA_REPLICAS_MAX];
        choose(loads, node_count, replication, chosen);
        for (int16_t i = 0; i < replication; i++)
            writer_be32(placement, chosen[i]->node);
    }
    return STATUS_OK;
}
