// SPDX-License-Identifier: Apache-2.0
#include "machine/metadata_balance.h"

#include "base/assert.h"
#include "base/mem.h"
#include "machine/metadata_internal.h"

struct balancing {
    const struct metadata *metadata;
    struct metadata_load loads[METADATA_NODES_MAX];
    uint32_t node_count;
    uint64_t low, high;                  /* what a node has of copies when they are spread evenly */
    struct metadata_balance *partitions; /* all that may be moved */
    uint32_t partition_count, changed, max;
};

static struct metadata_load *load_of(struct balancing *b, uint32_t node) {
    return metadata_load_find(b->loads, b->node_count, node);
}

/* Other copies of the partition in the rack of `load`, on nodes that are down too; not the one at `without`.
 */
static uint32_t beside(const struct balancing *b, const struct metadata_balance *p,
                       const struct metadata_load *load, uint32_t without) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < p->count && load->rack[0] != '\0'; i++) {
        const struct metadata_node *other = i == without ? NULL : metadata_node(b->metadata, p->nodes[i]);
        count += other != NULL && other->node != load->node &&
                 slice_equal(slice_from_text(other->rack), slice_from_text(load->rack));
    }
    return count;
}

static bool holds(const struct metadata_balance *p, uint32_t node) {
    for (uint32_t i = 0; i < p->count; i++)
        if (p->nodes[i] == node) return true;
    return false;
}

static bool differs(const struct metadata_balance *p) {
    const struct metadata_replicas *now = &p->topic->replicas[p->partition];
    return memcmp(now->nodes, p->nodes, p->count * sizeof *p->nodes) != 0;
}

/* ---- replicas ------------------------------------------------------------------------------------------ */

enum reason {
    RACK,   /* two copies in a rack, and there is one without */
    EXCESS, /* from a node that has too many, or to one that has too few */
    EVEN,   /* from one that has more to one that has less: what racks left uneven */
    REASON_COUNT
};

/* As far as the number of copies goes. */
static bool evens(const struct balancing *b, enum reason reason, const struct metadata_load *from,
                  const struct metadata_load *to) {
    if (reason == RACK) return true;
    if (reason == EVEN) return from->replicas >= to->replicas + 2;
    return (from->replicas > b->high && to->replicas < b->high) ||
           (from->replicas > b->low && to->replicas < b->low);
}

/* Most plans find nothing to do for most copies: what is cheap to know is asked first. */
static bool helps(const struct balancing *b, const struct metadata_balance *p, uint32_t at,
                  enum reason reason, const struct metadata_load *from, const struct metadata_load *to) {
    if (!evens(b, reason, from, to) || holds(p, to->node)) return false;
    uint32_t before = beside(b, p, from, at), after = beside(b, p, to, at);
    return reason == RACK ? after < before : after <= before;
}

/* The copy at `at` to the node that has fewest of those where it helps; false: there is none. */
static bool move_copy(struct balancing *b, struct metadata_balance *p, uint32_t at, enum reason reason) {
    struct metadata_load *from = load_of(b, p->nodes[at]), *best = NULL;
    if (from == NULL || (reason == RACK && beside(b, p, from, at) == 0)) return false;
    for (uint32_t i = 0; i < b->node_count; i++) {
        struct metadata_load *to = &b->loads[i];
        if (best != NULL && best->replicas <= to->replicas) continue;
        if (helps(b, p, at, reason, from, to)) best = to;
    }
    if (best == NULL) return false;
    from->replicas--;
    best->replicas++;
    if (at == 0) {
        from->leaders--;
        best->leaders++;
    }
    p->nodes[at] = best->node;
    return true;
}

/* ---- leaders ------------------------------------------------------------------------------------------- */

static bool move_leader(struct balancing *b, struct metadata_balance *p) {
    struct metadata_load *from = load_of(b, p->nodes[0]), *best = from;
    uint32_t at = 0;
    for (uint32_t i = 1; i < p->count && from != NULL; i++) {
        struct metadata_load *to = load_of(b, p->nodes[i]);
        if (to == NULL || to->leaders >= best->leaders) continue;
        best = to;
        at = i;
    }
    if (from == NULL || from->leaders < best->leaders + 2) return false;
    from->leaders--;
    best->leaders++;
    p->nodes[at] = p->nodes[0];
    p->nodes[0] = best->node;
    return true;
}

/* ---- the plan ------------------------------------------------------------------------------------------ */

/* Each step makes less of something that cannot fall below zero, so this ends. */
static void improve(struct balancing *b, int reason) {
    bool again = true;
    while (again) {
        again = false;
        for (uint32_t i = 0; i < b->partition_count; i++) {
            struct metadata_balance *p = &b->partitions[i];
            bool before = differs(p);
            if (!before && b->changed == b->max) continue;
            bool moved = false;
            for (uint32_t at = 0; at < p->count && reason < REASON_COUNT; at++)
                moved |= move_copy(b, p, at, (enum reason)reason);
            if (reason == REASON_COUNT) moved = move_leader(b, p);
            again |= moved;
            b->changed += differs(p);
            b->changed -= before;
        }
    }
}

/* No move changes how many there are. */
static void find_shares(struct balancing *b) {
    uint64_t total = 0;
    for (uint32_t i = 0; i < b->node_count; i++)
        total += b->loads[i].replicas;
    b->low = total / b->node_count;
    b->high = (total + b->node_count - 1) / b->node_count;
}

static void take_partitions(struct balancing *b, const struct metadata *m) {
    b->partitions = mem_calloc((size_t)m->partition_total + 1, sizeof *b->partitions);
    MAP_FOREACH(it, &m->by_name) {
        const struct metadata_topic *topic = MAP_ENTRY(it)->value;
        for (int32_t i = 0; topic->replicas != NULL && i < topic->partition_count; i++) {
            const struct metadata_replicas *replicas = &topic->replicas[i];
            if (replicas->move != NULL) continue;
            struct metadata_balance *p = &b->partitions[b->partition_count++];
            *p = (struct metadata_balance){.topic = topic, .partition = i, .count = replicas->count};
            memcpy(p->nodes, replicas->nodes, replicas->count * sizeof *p->nodes);
        }
    }
}

uint32_t metadata_plan_balance(const struct metadata *m, bool (*usable)(void *ctx, uint32_t node), void *ctx,
                               uint32_t max, struct metadata_balance *plan) {
    struct balancing b = {.metadata = m, .max = max};
    b.node_count = metadata_loads(m, usable, ctx, b.loads);
    if (b.node_count == 0) return 0;
    find_shares(&b);
    take_partitions(&b, m);
    for (int reason = 0; reason <= REASON_COUNT; reason++)
        improve(&b, reason);
    uint32_t count = 0;
    for (uint32_t i = 0; i < b.partition_count; i++)
        if (differs(&b.partitions[i])) plan[count++] = b.partitions[i];
    ASSERT_LE(count, max);
    mem_free(b.partitions);
    return count;
}
