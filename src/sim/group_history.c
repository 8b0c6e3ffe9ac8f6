// SPDX-License-Identifier: Apache-2.0
#include "sim/group_history.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"

void group_history_init(struct group_history *g, struct history *history, const char *name,
                        uint64_t patience_ns) {
    *g = (struct group_history){.history = history, .name = name, .patience_ns = patience_ns};
    for (uint32_t p = 0; p < GROUP_HISTORY_PARTITIONS; p++) {
        g->partitions[p].committed = g->partitions[p].asked = -1;
        g->partitions[p].uncertain = INT64_MAX;
    }
}

void group_history_release(struct group_history *g) {
    for (uint32_t p = 0; p < GROUP_HISTORY_PARTITIONS; p++)
        mem_free(g->partitions[p].processed);
}

/* ---- generations -------------------------------------------------------------------------------------- */

static struct group_generation *generation_of(struct group_history *g, int32_t number) {
    struct group_generation *it = &g->generations[(uint32_t)number % GROUP_HISTORY_KEPT];
    return it->number == number ? it : NULL;
}

void group_history_joined(struct group_history *g, int32_t floor, int32_t generation, uint64_t leader,
                          uint64_t protocol) {
    if (generation < floor || generation <= 0) {
        history_violate(g->history, "B15 generations: group %s: a join is given generation %d after %d",
                        g->name, generation, floor);
        return;
    }
    g->generation = MAX(g->generation, generation);
    struct group_generation *it = generation_of(g, generation);
    if (it == NULL) {
        it = &g->generations[(uint32_t)generation % GROUP_HISTORY_KEPT];
        if (it->number > generation) return; /* too long ago */
        *it = (struct group_generation){.number = generation, .leader = leader, .protocol = protocol};
    }
    if (it->leader != leader || it->protocol != protocol)
        history_violate(g->history, "B15 generations: group %s: generation %d has two leaders or protocols",
                        g->name, generation);
}

void group_history_computed(struct group_history *g, int32_t generation, uint64_t member,
                            uint64_t assignment) {
    struct group_generation *it = generation_of(g, generation);
    if (it == NULL) return;
    uint32_t at = 0;
    while (at < it->computed_count && it->computed[at].member != member)
        at++;
    if (at == GROUP_HISTORY_MEMBERS) return;
    it->computed[at].member = member;
    it->computed[at].assignment = assignment;
    it->computed_count = MAX(it->computed_count, at + 1);
}

void group_history_delivered(struct group_history *g, int32_t generation, uint64_t member,
                             uint64_t assignment) {
    const struct group_generation *it = generation_of(g, generation);
    if (it == NULL || it->computed_count == 0) return;
    for (uint32_t i = 0; i < it->computed_count; i++)
        if (it->computed[i].member == member && it->computed[i].assignment == assignment) return;
    history_violate(
        g->history,
        "B15 generations: group %s: a member of generation %d is given what its leader did not say", g->name,
        generation);
}

/* ---- owners ------------------------------------------------------------------------------------------- */

void group_history_owns(struct group_history *g, uint32_t member, int32_t generation, uint32_t partition,
                        uint64_t now_ns) {
    ASSERT(member < GROUP_HISTORY_MEMBERS && partition < GROUP_HISTORY_PARTITIONS);
    g->assignments++;
    bool another = g->partitions[partition].owner != 0 && g->partitions[partition].owner != member + 1;
    if (g->patience_ns == 0 && another && g->partitions[partition].generation == generation)
        history_violate(g->history, "B14 exclusivity: group %s: partition %u has two owners in generation %d",
                        g->name, partition, generation);
    for (uint32_t other = 0; other < GROUP_HISTORY_MEMBERS && g->patience_ns != 0; other++)
        if (other != member && g->holds[other][partition].holds &&
            now_ns < g->holds[other][partition].heard_ns + g->patience_ns)
            history_violate(g->history,
                            "B14 exclusivity: group %s: partition %u is given to member %u while member %u "
                            "holds it",
                            g->name, partition, member, other);
    if (generation < g->partitions[partition].generation) return; /* told late */
    g->partitions[partition].owner = member + 1;
    g->partitions[partition].generation = generation;
    if (!another) return;
    /* What an earlier owner left under way has been written, over whatever else, or is refused from now on.
     */
    g->partitions[partition].committed = group_history_floor(g, partition);
    g->partitions[partition].uncertain = INT64_MAX;
}

void group_history_heard(struct group_history *g, uint32_t member, uint32_t partition, uint64_t asked_ns) {
    g->holds[member][partition].holds = true;
    g->holds[member][partition].heard_ns = asked_ns;
}

void group_history_lets_go(struct group_history *g, uint32_t member, uint32_t partition) {
    g->holds[member][partition].holds = false;
}

/* ---- offsets ------------------------------------------------------------------------------------------ */

bool group_history_is_late(const struct group_history *g, uint32_t member, int32_t generation,
                           uint32_t partition) {
    return g->partitions[partition].owner != 0 && g->partitions[partition].owner != member + 1 &&
           g->partitions[partition].generation > generation;
}

void group_history_commits(struct group_history *g, uint32_t partition, int64_t offset) {
    g->partitions[partition].asked = MAX(g->partitions[partition].asked, offset);
}

void group_history_committed(struct group_history *g, uint32_t member, int32_t generation, uint32_t partition,
                             int64_t offset, bool late) {
    g->commits++;
    if (late)
        history_violate(g->history,
                        "B13 committed offsets: group %s: member %u of generation %d commits partition %u, "
                        "which another was given before",
                        g->name, member, generation, partition);
    g->partitions[partition].committed = MAX(g->partitions[partition].committed, offset);
}

void group_history_uncertain(struct group_history *g, uint32_t partition, int64_t offset) {
    g->partitions[partition].uncertain = MIN(g->partitions[partition].uncertain, offset);
}

int64_t group_history_floor(const struct group_history *g, uint32_t partition) {
    return MIN(g->partitions[partition].committed, g->partitions[partition].uncertain);
}

void group_history_fetched(struct group_history *g, uint32_t partition, int64_t floor, int64_t offset) {
    if (offset < floor)
        history_violate(g->history,
                        "B13 committed offsets: group %s: partition %u is said to be at %lld, it was at %lld",
                        g->name, partition, (long long)offset, (long long)floor);
    if (offset > g->partitions[partition].asked)
        history_violate(g->history,
                        "B13 committed offsets: group %s: partition %u is said to be at %lld, which nobody "
                        "committed",
                        g->name, partition, (long long)offset);
    /* It has been seen, whoever wrote it and never heard. */
    g->partitions[partition].committed = MAX(g->partitions[partition].committed, offset);
}

/* ---- records ------------------------------------------------------------------------------------------ */

void group_history_processed(struct group_history *g, uint32_t partition, int64_t from, int64_t end) {
    if (from >= end) return;
    size_t capacity = g->partitions[partition].capacity;
    if ((size_t)end > capacity) {
        size_t wanted = MAX((size_t)end, capacity * 2);
        g->partitions[partition].processed = mem_realloc(g->partitions[partition].processed, wanted);
        memset(g->partitions[partition].processed + capacity, 0, wanted - capacity);
        g->partitions[partition].capacity = wanted;
    }
    memset(g->partitions[partition].processed + from, true, (size_t)(end - from));
}

void group_history_finish(struct group_history *g, uint32_t partition, int64_t end) {
    const struct history_partition *p = &g->history->partitions[partition];
    for (size_t offset = 0; offset < p->capacity && (int64_t)offset < end; offset++) {
        bool seen = offset < g->partitions[partition].capacity && g->partitions[partition].processed[offset];
        if (p->acknowledged[offset] && !seen)
            history_violate(
                g->history,
                "B16 at least once: group %s: partition %u: nobody was given offset %zu, all below "
                "%lld is committed",
                g->name, partition, offset, (long long)end);
    }
}
