// SPDX-License-Identifier: Apache-2.0
#include "storage/compaction_pick.h"

#include "base/assert.h"
#include "base/mem.h"

#define LAST_LEVEL (STORE_LEVEL_COUNT - 1u)

void compaction_plan_init(struct compaction_plan *plan) {
    *plan = (struct compaction_plan){.reason = COMPACTION_NONE};
}

void compaction_plan_release(struct compaction_plan *plan) {
    mem_free(plan->upper);
    mem_free(plan->lower);
    compaction_plan_init(plan);
}

static void add_run(const struct run ***runs, size_t *count, size_t *capacity, const struct run *run) {
    if (*count == *capacity) {
        *capacity = MAX(*capacity * 2, (size_t)8);
        *runs = mem_realloc(*runs, *capacity * sizeof **runs);
    }
    (*runs)[(*count)++] = run;
}

static void widen(struct compaction_plan *plan, const struct run *run) {
    bool empty = plan->upper_count + plan->lower_count == 0;
    if (empty || slice_compare(run->meta.first, plan->first) < 0) plan->first = run->meta.first;
    if (empty || slice_compare(run->meta.last, plan->last) > 0) plan->last = run->meta.last;
}

static void add_upper(struct compaction_plan *plan, const struct run *run) {
    widen(plan, run);
    add_run(&plan->upper, &plan->upper_count, &plan->upper_capacity, run);
}

static void add_lower(struct compaction_plan *plan, const struct run *run) {
    widen(plan, run);
    add_run(&plan->lower, &plan->lower_count, &plan->lower_capacity, run);
}

bool compaction_plan_has(const struct compaction_plan *plan, const struct run *run) {
    for (size_t i = 0; i < plan->upper_count; i++)
        if (plan->upper[i] == run) return true;
    for (size_t i = 0; i < plan->lower_count; i++)
        if (plan->lower[i] == run) return true;
    return false;
}

static bool overlaps(const struct run *run, struct slice first, struct slice last) {
    return slice_compare(run->meta.first, last) <= 0 && slice_compare(run->meta.last, first) >= 0;
}

/* Targets from below; the base level is the highest one that gets any, or that still holds something from
 * when there was more: level 0 must not go past older entries of its keys. */
static uint32_t level_targets(const struct version *version, const struct compaction_limits *limits,
                              uint64_t targets[STORE_LEVEL_COUNT]) {
    uint64_t size = MAX(version->levels[LAST_LEVEL].bytes, limits->base_bytes);
    for (uint32_t l = 1; l < STORE_LEVEL_COUNT; l++)
        targets[l] = 0;
    uint32_t base = LAST_LEVEL;
    targets[LAST_LEVEL] = UINT64_MAX;
    while (base > 1 && size > limits->base_bytes) {
        size /= COMPACTION_LEVEL_FACTOR;
        base--;
        targets[base] = MAX(size, limits->base_bytes);
    }
    for (uint32_t l = base; l > 1; l--)
        if (version->levels[l - 1].count > 0) base = l - 1;
    return base;
}

/* The runs of the output level that share keys with the upper inputs; false: one of them is damaged. */
static bool add_overlapping(const struct version *version, struct compaction_plan *plan) {
    const struct version_level *level = &version->levels[plan->output_level];
    struct slice last = plan->last;
    for (size_t i = version_level_find(level, plan->first); i < level->count; i++) {
        const struct run *run = level->runs[i];
        if (slice_compare(run->meta.first, last) > 0) break;
        if (run->damaged) return false;
        add_lower(plan, run);
    }
    return true;
}

/* The oldest sound run of level 0, and all that is connected with it by shared keys: nothing older may be
 * left above what goes down, and what is newer comes along. */
static bool pick_level0(const struct version *version, uint32_t base, struct compaction_plan *plan) {
    const struct version_level *level = &version->levels[0];
    if (level->count == 0) return false;
    plan->reason = COMPACTION_LEVEL0;
    plan->level = 0;
    plan->output_level = base;
    add_upper(plan, level->runs[level->count - 1]);
    for (bool grown = true; grown;) {
        grown = false;
        for (size_t i = 0; i < level->count; i++) {
            const struct run *run = level->runs[i];
            if (compaction_plan_has(plan, run) || !overlaps(run, plan->first, plan->last)) continue;
            add_upper(plan, run);
            grown = true;
        }
    }
    size_t kept = 0; /* in the order of the level: newest first */
    for (size_t i = 0; i < level->count; i++) {
        if (!compaction_plan_has(plan, level->runs[i])) continue;
        if (level->runs[i]->damaged) return false;
        kept++;
    }
    ASSERT_EQ(kept, plan->upper_count);
    const struct run **sorted = mem_alloc(plan->upper_capacity * sizeof *sorted);
    kept = 0;
    for (size_t i = 0; i < level->count; i++)
        if (compaction_plan_has(plan, level->runs[i])) sorted[kept++] = level->runs[i];
    mem_free(plan->upper);
    plan->upper = sorted;
    return add_overlapping(version, plan);
}

static bool pick_size(const struct version *version, const struct compaction_limits *limits, uint32_t l,
                      struct slice cursor, struct compaction_plan *plan) {
    const struct version_level *level = &version->levels[l];
    plan->reason = COMPACTION_SIZE;
    plan->level = l;
    plan->output_level = l + 1;
    size_t at = 0;
    while (at < level->count && cursor.size > 0 && slice_compare(level->runs[at]->meta.first, cursor) <= 0)
        at++;
    if (at == level->count) at = 0;
    uint64_t bytes = 0;
    for (; at < level->count && bytes < limits->input_bytes; at++) {
        if (level->runs[at]->damaged) break;
        bytes += level->runs[at]->meta.bytes;
        add_upper(plan, level->runs[at]);
    }
    return plan->upper_count > 0 && add_overlapping(version, plan);
}

static bool is_garbage(const struct table *table) {
    return table->run_count > 0 && table->run_bytes * COMPACTION_GARBAGE_FACTOR < table->data_bytes;
}

static bool pick_garbage(const struct version *version, struct compaction_plan *plan) {
    for (uint32_t l = 1; l < STORE_LEVEL_COUNT; l++) {
        const struct version_level *level = &version->levels[l];
        for (size_t i = 0; i < level->count; i++) {
            const struct run *run = level->runs[i];
            bool first = plan->upper_count == 0;
            if (!is_garbage(run->table) || run->damaged) continue;
            if (!first && (run->table != plan->upper[0]->table || l != plan->level)) continue;
            plan->reason = COMPACTION_GARBAGE;
            plan->level = plan->output_level = l;
            add_upper(plan, run);
        }
        if (plan->upper_count > 0) return true;
    }
    return false;
}

void compaction_pick(const struct version *version, const struct compaction_limits *limits,
                     const struct writer cursors[STORE_LEVEL_COUNT], struct compaction_plan *plan) {
    uint64_t targets[STORE_LEVEL_COUNT];
    uint32_t base = level_targets(version, limits, targets);
    if (version->level0_tables >= COMPACTION_L0_TRIGGER) {
        if (pick_level0(version, base, plan)) return;
        compaction_plan_release(plan);
    }
    for (uint32_t l = 1; l < LAST_LEVEL; l++) {
        if (version->levels[l].bytes <= targets[l]) continue;
        if (pick_size(version, limits, l, writer_slice(&cursors[l]), plan)) return;
        compaction_plan_release(plan);
    }
    if (pick_garbage(version, plan)) return;
    compaction_plan_release(plan);
}

uint32_t compaction_deepest(const struct version *version, const struct compaction_plan *plan, uint32_t level,
                            struct slice first, struct slice last) {
    uint32_t deepest = level;
    for (uint32_t l = MAX(level, 1u); l < STORE_LEVEL_COUNT; l++) {
        const struct version_level *below = &version->levels[l];
        for (size_t i = version_level_find(below, first); i < below->count; i++) {
            const struct run *run = below->runs[i];
            if (slice_compare(run->meta.first, last) > 0) break;
            if (plan == NULL || !compaction_plan_has(plan, run)) return deepest;
        }
        deepest = l;
    }
    return deepest;
}
