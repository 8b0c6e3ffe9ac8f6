// SPDX-License-Identifier: Apache-2.0
/* Placement: which nodes get replicas.
 *
 * Each replica goes to the rack that has fewest of the partition, there to the node with the fewest replicas
 * so far; and of the nodes chosen the one that leads least leads. Ties go to the lower number. So partitions
 * spread evenly over racks and nodes that come and go, and the same state gives the same placement. A node
 * without a rack is a rack of its own. */
#include "base/assert.h"
#include "machine/metadata_internal.h"

struct metadata_load *metadata_load_find(struct metadata_load *loads, uint32_t count, uint32_t node) {
    for (uint32_t i = 0; i < count; i++)
        if (loads[i].node == node) return &loads[i];
    return NULL;
}

static void count_load(const struct metadata *m, struct metadata_load *loads, uint32_t count) {
    MAP_FOREACH(it, &m->by_name) {
        const struct metadata_topic *topic = MAP_ENTRY(it)->value;
        for (int32_t p = 0; topic->replicas != NULL && p < topic->partition_count; p++) {
            for (uint32_t i = 0; i < topic->replicas[p].count; i++) {
                struct metadata_load *load = metadata_load_find(loads, count, topic->replicas[p].nodes[i]);
                if (load == NULL) continue;
                load->replicas++;
                load->leaders += i == 0;
            }
        }
    }
}

static bool same_rack(const struct metadata_load *a, const struct metadata_load *b) {
    return a->rack[0] != '\0' && slice_equal(slice_from_text(a->rack), slice_from_text(b->rack));
}

/* Replicas of this partition in its rack. */
static uint32_t rack_load(const struct metadata_load *loads, uint32_t count,
                          const struct metadata_load *load) {
    uint32_t taken = 0;
    for (uint32_t i = 0; i < count; i++)
        taken += loads[i].taken && &loads[i] != load && same_rack(&loads[i], load);
    return taken;
}

static bool is_better(const struct metadata_load *loads, uint32_t count, const struct metadata_load *a,
                      const struct metadata_load *b) {
    uint32_t rack_a = rack_load(loads, count, a), rack_b = rack_load(loads, count, b);
    return rack_a != rack_b ? rack_a < rack_b : a->replicas < b->replicas;
}

static struct metadata_load *least(struct metadata_load *loads, uint32_t count) {
    struct metadata_load *best = NULL;
    for (uint32_t i = 0; i < count; i++)
        if (loads[i].usable && !loads[i].taken && (best == NULL || is_better(loads, count, &loads[i], best)))
            best = &loads[i];
    return best;
}

/* Of those taken the one to be spared. */
static struct metadata_load *most(struct metadata_load *loads, uint32_t count) {
    struct metadata_load *worst = NULL;
    for (uint32_t i = 0; i < count; i++)
        if (loads[i].taken && (worst == NULL || !is_better(loads, count, &loads[i], worst)))
            worst = &loads[i];
    return worst;
}

/* One partition; `chosen` has room for `replication`. */
static void choose(struct metadata_load *loads, uint32_t count, int16_t replication,
                   struct metadata_load **chosen) {
    int16_t first = 0;
    for (int16_t i = 0; i < replication; i++) {
        chosen[i] = least(loads, count);
        chosen[i]->taken = true;
        chosen[i]->replicas++;
        if (chosen[i]->leaders < chosen[first]->leaders) first = i;
    }
    struct metadata_load *leader = chosen[first];
    chosen[first] = chosen[0];
    chosen[0] = leader;
    leader->leaders++;
    for (int16_t i = 0; i < replication; i++)
        chosen[i]->taken = false;
}

uint32_t metadata_loads(const struct metadata *m, bool (*usable)(void *ctx, uint32_t node), void *ctx,
                        struct metadata_load *loads) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < m->node_count; i++) {
        const struct metadata_node *node = &m->nodes[i];
        if (node->incarnation != 0 && !node->draining && usable(ctx, node->node))
            loads[count++] = (struct metadata_load){.node = node->node, .rack = node->rack, .usable = true};
    }
    count_load(m, loads, count);
    return count;
}

static enum status too_few(const struct metadata *m, int16_t replication, uint32_t count,
                           struct diagnostic *diagnostic) {
    return diagnose(
        diagnostic, STATUS_INVALID_REPLICATION,
        "replication factor %d asked for; %u of %u nodes can take replicas now, and %d is the most",
        replication, count, m->node_count, METADATA_REPLICAS_MAX);
}

enum status metadata_place(const struct metadata *m, int32_t count, int16_t replication,
                           bool (*usable)(void *ctx, uint32_t node), void *ctx, struct writer *placement,
                           struct diagnostic *diagnostic) {
    struct metadata_load loads[METADATA_NODES_MAX];
    uint32_t node_count = metadata_loads(m, usable, ctx, loads);
    if (replication < 1 || replication > METADATA_REPLICAS_MAX || (uint32_t)replication > node_count)
        return too_few(m, replication, node_count, diagnostic);
    for (int32_t p = 0; p < count; p++) {
        struct metadata_load *chosen[METADATA_REPLICAS_MAX];
        choose(loads, node_count, replication, chosen);
        for (int16_t i = 0; i < replication; i++)
            writer_be32(placement, chosen[i]->node);
    }
    return STATUS_OK;
}

/* Its preferred leader goes: of those that are left, who leads least comes first. */
static void choose_leader(struct metadata_load *loads, uint32_t count, struct writer *placement,
                          size_t first) {
    size_t best = first;
    for (size_t at = first; at < placement->size; at += 4)
        if (metadata_load_find(loads, count, load_be32(placement->data + at))->leaders <
            metadata_load_find(loads, count, load_be32(placement->data + best))->leaders)
            best = at;
    uint32_t leader = load_be32(placement->data + best);
    store_be32(placement->data + best, load_be32(placement->data + first));
    store_be32(placement->data + first, leader);
}

enum status metadata_place_again(const struct metadata *m, const struct metadata_replicas *replicas,
                                 int16_t replication, bool (*usable)(void *ctx, uint32_t node), void *ctx,
                                 struct writer *placement, struct diagnostic *diagnostic) {
    struct metadata_load loads[METADATA_NODES_MAX];
    uint32_t count = metadata_loads(m, usable, ctx, loads), usable_count = count;
    int16_t have = 0, deleting = 0;
    /* What it has stays, also on a node that is down: it has the data. */
    for (uint32_t i = 0; i < replicas->count; i++) {
        const struct metadata_node *node = metadata_node(m, replicas->nodes[i]);
        if (node == NULL || node->draining) continue;
        struct metadata_load *load = metadata_load_find(loads, count, node->node);
        if (load == NULL) {
            load = &loads[count++];
            *load = (struct metadata_load){.node = node->node, .rack = node->rack, .replicas = UINT64_MAX};
        }
        load->taken = true;
        have++;
    }
    for (; have > replication && replication > 0; have--)
        most(loads, count)->taken = false;
    for (uint32_t i = 0; i < count; i++) {
        const struct metadata_left *left = metadata_left_behind(replicas, loads[i].node);
        if (left == NULL || left->kind != METADATA_CLOSING) continue;
        deleting += loads[i].usable;
        loads[i].usable = false; /* its old copy */
    }
    struct metadata_load *added = NULL;
    struct writer fresh;
    writer_init(&fresh);
    for (; have < replication && (added = least(loads, count)) != NULL; have++) {
        added->taken = true;
        writer_be32(&fresh, added->node);
    }
    size_t first = placement->size;
    for (uint32_t i = 0; i < replicas->count; i++) {
        const struct metadata_load *load = metadata_load_find(loads, count, replicas->nodes[i]);
        if (load != NULL && load->taken) writer_be32(placement, load->node);
    }
    writer_bytes(placement, writer_slice(&fresh));
    writer_release(&fresh);
    if (placement->size > first && load_be32(placement->data + first) != replicas->nodes[0])
        choose_leader(loads, count, placement, first);
    if (have < replication && have + deleting >= replication)
        return diagnose(diagnostic, STATUS_UNAVAILABLE,
                        "%d nodes still delete their old copies of it: ask again in a moment", deleting);
    return have == replication && replication <= METADATA_REPLICAS_MAX && replication > 0
               ? STATUS_OK
               : too_few(m, replication, usable_count, diagnostic);
}
