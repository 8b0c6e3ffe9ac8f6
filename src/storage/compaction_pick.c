// SPDX-License-Identifier: Apache-2.0
#include "storage/compaction_pick.h"

#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"

#define LAST_LEVEL (STORE_LEVEL_COUNT - 1u)

void compaction_plan_init(struct compaction_plan *plan) {
    *plan = (struct compaction_plan){.reason = COMPACTION_NONE};
}

void compaction_plan_release(struct compaction_plan *plan) {
    mem_free(plan->upper);
    mem_free(plan->lower);
    mem_free(plan->parts);
    mem_free(plan->segments);
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

static bool plan_has(const struct compaction_plan *plan, const struct run *run) {
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

/* ---- level 0 ----------------------------------------------------------------------------------------- */

/* Runs of level 0 that are connected by shared keys: nothing older may be left above what goes down, and what
 * is newer comes along. */
struct cluster {
    struct slice first, last;
    size_t from, to; /* among the runs sorted by first key */
    uint64_t oldest, bytes;
    bool damaged, movable, mended, chosen;
};

static int compare_runs(const void *a, const void *b) {
    const struct run *x = *(const struct run *const *)a, *y = *(const struct run *const *)b;
    int order = slice_compare(x->meta.first, y->meta.first);
    return order != 0 ? order : slice_compare(x->meta.last, y->meta.last);
}

static int compare_ages(const void *a, const void *b) {
    const struct cluster *x = *(const struct cluster *const *)a, *y = *(const struct cluster *const *)b;
    return (x->oldest > y->oldest) - (x->oldest < y->oldest);
}

static size_t find_clusters(const struct version_level *below, struct run **runs, size_t count,
                            struct cluster *clusters) {
    size_t found = 0;
    for (size_t i = 0; i < count; i++) {
        const struct run *run = runs[i];
        struct cluster *c = found == 0 ? NULL : &clusters[found - 1];
        if (c == NULL || slice_compare(run->meta.first, c->last) > 0) {
            c = &clusters[found++];
            *c = (struct cluster){
                .first = run->meta.first, .last = run->meta.last, .from = i, .oldest = UINT64_MAX};
        }
        if (slice_compare(run->meta.last, c->last) > 0) c->last = run->meta.last;
        c->to = i + 1;
        c->bytes += run->meta.bytes;
        c->oldest = MIN(c->oldest, run->meta.last_sequence);
        c->damaged = c->damaged || run->damaged;
        c->mended = c->mended || run->mended;
    }
    for (size_t i = 0; i < found; i++) {
        struct cluster *c = &clusters[i];
        c->movable = c->to - c->from == 1 && !c->mended;
        for (size_t k = version_level_find(below, c->first); k < below->count; k++) {
            if (!overlaps(below->runs[k], c->first, c->last)) break;
            c->movable = false;
            c->bytes += below->runs[k]->meta.bytes;
            c->damaged = c->damaged || below->runs[k]->damaged;
        }
    }
    return found;
}

/* Clusters that can go down as they are go, all of them; else the oldest, as many as the limit allows. */
static bool choose_clusters(struct cluster *clusters, size_t count, const struct compaction_limits *limits) {
    bool moving = false;
    for (size_t i = 0; i < count; i++) {
        clusters[i].chosen = clusters[i].movable && !clusters[i].damaged;
        moving = moving || clusters[i].chosen;
    }
    if (moving) return true;
    struct cluster **by_age = mem_alloc(count * sizeof *by_age);
    for (size_t i = 0; i < count; i++)
        by_age[i] = &clusters[i];
    qsort(by_age, count, sizeof *by_age, compare_ages);
    uint64_t bytes = 0;
    for (size_t i = 0; i < count && bytes < limits->input_bytes; i++) {
        if (by_age[i]->damaged) continue;
        by_age[i]->chosen = true;
        bytes += by_age[i]->bytes;
    }
    mem_free(by_age);
    return false;
}

static bool pick_level0(const struct version *version, const struct compaction_limits *limits, uint32_t base,
                        struct compaction_plan *plan) {
    const struct version_level *level = &version->levels[0], *below = &version->levels[base];
    if (level->count == 0) return false;
    plan->reason = COMPACTION_LEVEL0;
    plan->level = 0;
    plan->output_level = base;
    struct run **runs = mem_alloc(level->count * sizeof *runs);
    struct cluster *clusters = mem_alloc(level->count * sizeof *clusters);
    memcpy(runs, level->runs, level->count * sizeof *runs);
    qsort(runs, level->count, sizeof *runs, compare_runs);
    size_t count = find_clusters(below, runs, level->count, clusters);
    plan->moving = choose_clusters(clusters, count, limits);
    for (size_t i = 0; i < level->count; i++) { /* in the order of the level: newest first */
        const struct slice first = level->runs[i]->meta.first;
        size_t low = 0, high = count; /* the last cluster that begins at or before it */
        while (high - low > 1) {
            size_t middle = low + (high - low) / 2;
            if (slice_compare(clusters[middle].first, first) <= 0)
                low = middle;
            else
                high = middle;
        }
        if (clusters[low].chosen) add_upper(plan, level->runs[i]);
    }
    size_t next = 0; /* clusters may share a run below */
    for (size_t i = 0; i < count && !plan->moving; i++) {
        if (!clusters[i].chosen) continue;
        for (size_t k = MAX(version_level_find(below, clusters[i].first), next); k < below->count; k++) {
            if (!overlaps(below->runs[k], clusters[i].first, clusters[i].last)) break;
            add_lower(plan, below->runs[k]);
            next = k + 1;
        }
    }
    mem_free(clusters);
    mem_free(runs);
    return plan->upper_count > 0;
}

/* ---- the other levels -------------------------------------------------------------------------------- */

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
    if (plan->upper_count == 0 || !add_overlapping(version, plan)) return false;
    plan->moving = plan->lower_count == 0;
    for (size_t i = 0; i < plan->upper_count; i++)
        if (plan->upper[i]->mended) plan->moving = false;
    return true;
}

/* A run that holds damage which nobody needs any more is written without it. */
static bool pick_mended(const struct version *version, struct compaction_plan *plan) {
    for (uint32_t l = 1; l < STORE_LEVEL_COUNT; l++) {
        const struct version_level *level = &version->levels[l];
        for (size_t i = 0; i < level->count; i++) {
            if (!level->runs[i]->mended) continue;
            plan->reason = COMPACTION_MENDED;
            plan->level = plan->output_level = l;
            add_upper(plan, level->runs[i]);
            return true;
        }
    }
    return false;
}

static bool level0_is_mended(const struct version *version) {
    for (size_t i = 0; i < version->levels[0].count; i++)
        if (version->levels[0].runs[i]->mended) return true;
    return false;
}

static bool is_garbage(const struct table *table) {
    return table->run_count > 0 && table->run_bytes * COMPACTION_GARBAGE_FACTOR < table->data_bytes;
}

/* The runs of such tables in one level, of several: what is left of a table may be very little. */
static bool pick_garbage(const struct version *version, const struct compaction_limits *limits,
                         struct compaction_plan *plan) {
    plan->reason = COMPACTION_GARBAGE;
    for (uint32_t l = 1; l < STORE_LEVEL_COUNT && plan->upper_count == 0; l++) {
        const struct version_level *level = &version->levels[l];
        uint64_t bytes = 0;
        plan->level = plan->output_level = l;
        for (size_t i = 0; i < level->count && plan->upper_count < COMPACTION_GARBAGE_RUNS_MAX; i++) {
            const struct run *run = level->runs[i];
            if (!is_garbage(run->table) || run->damaged || bytes >= limits->input_bytes) continue;
            add_upper(plan, run);
            bytes += run->meta.bytes;
        }
    }
    return plan->upper_count > 0;
}

static bool is_sparse(const struct log_source *log, const struct compaction_limits *limits) {
    return log->segment <= limits->full_segment && log->live_bytes * COMPACTION_SPARSE_FACTOR < log->size;
}

static int compare_numbers(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static uint64_t moved_bytes(const struct compaction_plan *plan, const struct table_run_meta *run) {
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < run->ref_count; i++)
        if (compaction_moves_in(plan, run, run->refs[i].segment)) bytes += run->refs[i].bytes;
    return bytes;
}

/* The runs of one level that refer to segments with little left in them. Those of level 0 wait until they
 * have gone down. */
static bool pick_sparse(const struct version *version, const struct compaction_limits *limits,
                        struct compaction_plan *plan) {
    const struct map *logs = &version->set->logs;
    MAP_FOREACH(it, (struct map *)(uintptr_t)logs) {
        const struct log_source *log = MAP_ENTRY(it)->value;
        if (!is_sparse(log, limits)) continue;
        if (plan->segments == NULL) plan->segments = mem_alloc(logs->count * sizeof *plan->segments);
        plan->segments[plan->segment_count++] = log->segment;
    }
    if (plan->segment_count == 0) return false;
    qsort(plan->segments, plan->segment_count, sizeof *plan->segments, compare_numbers);
    plan->reason = COMPACTION_SPARSE;
    for (uint32_t l = 1; l < STORE_LEVEL_COUNT && plan->upper_count == 0; l++) {
        const struct version_level *level = &version->levels[l];
        uint64_t bytes = 0;
        plan->level = plan->output_level = l;
        for (size_t i = 0; i < level->count && bytes < limits->input_bytes; i++) {
            const struct run *run = level->runs[i];
            uint64_t moved = run->damaged ? 0 : moved_bytes(plan, &run->meta);
            if (moved == 0) continue;
            add_upper(plan, run);
            bytes += run->meta.bytes + moved;
        }
    }
    return plan->upper_count > 0;
}

/* So small that COMPACTION_SMALL_COUNT of them fit into one compaction: then fewer are left after it. One
 * alone would be written again as it is, for ever. */
static bool is_small(const struct run *run, const struct compaction_limits *limits) {
    uint64_t most = MIN((uint64_t)COMPACTION_SMALL_BYTES, limits->input_bytes / COMPACTION_SMALL_COUNT);
    return run->meta.bytes < most && !run->damaged;
}

static bool same_partition(const struct compaction_limits *limits, const struct run *a, const struct run *b) {
    size_t size = limits->partition_prefix_size;
    struct slice x = a->meta.first, y = b->meta.last;
    return x.size >= size && y.size >= size && memcmp(x.data, y.data, size) == 0;
}

static bool pick_small(const struct version *version, const struct compaction_limits *limits,
                       struct compaction_plan *plan) {
    plan->reason = COMPACTION_SMALL;
    for (uint32_t l = 1; l < STORE_LEVEL_COUNT && plan->upper_count == 0; l++) {
        const struct version_level *level = &version->levels[l];
        uint64_t bytes = 0;
        plan->level = plan->output_level = l;
        for (size_t i = 0, end; i < level->count && bytes < limits->input_bytes; i = MAX(end, i + 1)) {
            for (end = i; end < level->count && is_small(level->runs[end], limits); end++)
                if (!same_partition(limits, level->runs[i], level->runs[end])) break;
            if (end - i < COMPACTION_SMALL_COUNT) continue;
            for (size_t k = i; k < end && bytes < limits->input_bytes; k++) {
                add_upper(plan, level->runs[k]);
                bytes += level->runs[k]->meta.bytes + moved_bytes(plan, &level->runs[k]->meta);
            }
        }
    }
    return plan->upper_count > 0;
}

bool compaction_moves_in(const struct compaction_plan *plan, const struct table_run_meta *run,
                         uint64_t segment) {
    if (plan->reason == COMPACTION_SMALL)
        return table_run_ref_bytes(run) < run->extents * COMPACTION_EXTENT_MIN;
    return plan->segment_count > 0 && bsearch(&segment, plan->segments, plan->segment_count,
                                              sizeof *plan->segments, compare_numbers) != NULL;
}

/* ---- all of it --------------------------------------------------------------------------------------- */

static bool pick(const struct version *version, const struct compaction_limits *limits,
                 const struct writer cursors[STORE_LEVEL_COUNT], struct compaction_plan *plan) {
    uint64_t targets[STORE_LEVEL_COUNT];
    uint32_t base = level_targets(version, limits, targets);
    if (version->level0_tables >= COMPACTION_L0_TRIGGER || level0_is_mended(version)) {
        if (pick_level0(version, limits, base, plan)) return true;
        compaction_plan_release(plan);
    }
    for (uint32_t l = 1; l < LAST_LEVEL; l++) {
        if (version->levels[l].bytes <= targets[l]) continue;
        if (pick_size(version, limits, l, writer_slice(&cursors[l]), plan)) {
            plan->urgent = version->levels[l].bytes / COMPACTION_URGENT_FACTOR > targets[l];
            return true;
        }
        compaction_plan_release(plan);
    }
    if (pick_mended(version, plan)) return true;
    compaction_plan_release(plan);
    if (pick_garbage(version, limits, plan)) return true;
    compaction_plan_release(plan);
    if (pick_sparse(version, limits, plan)) return true;
    compaction_plan_release(plan);
    return pick_small(version, limits, plan);
}

/* Joins the inputs to parts: those that share keys, and neighbours of one partition with nothing between
 * them in the level that is written to. */
static void make_parts(const struct version *version, const struct compaction_limits *limits,
                       struct compaction_plan *plan) {
    size_t count = plan->upper_count + plan->lower_count;
    const struct version_level *level = &version->levels[plan->output_level];
    const struct run **runs = mem_alloc(count * sizeof *runs);
    for (size_t i = 0; i < count; i++)
        runs[i] = i < plan->upper_count ? plan->upper[i] : plan->lower[i - plan->upper_count];
    qsort(runs, count, sizeof *runs, compare_runs);
    plan->parts = mem_alloc(count * sizeof *plan->parts);
    for (size_t i = 0; i < count; i++) {
        const struct table_run_meta *meta = &runs[i]->meta;
        struct key_range *part = plan->part_count == 0 ? NULL : &plan->parts[plan->part_count - 1];
        bool joined = part != NULL && slice_compare(meta->first, part->last) <= 0;
        if (part != NULL && !joined && !plan->moving && same_partition(limits, runs[i - 1], runs[i])) {
            /* Nothing of the level reaches into the gap, but for runs that end or begin it. */
            size_t at = version_level_find(level, part->last);
            while (at < level->count && slice_compare(level->runs[at]->meta.first, part->last) <= 0)
                at++;
            joined = at == level->count || slice_compare(level->runs[at]->meta.first, meta->first) >= 0;
        }
        if (!joined)
            plan->parts[plan->part_count++] = (struct key_range){meta->first, meta->last};
        else if (slice_compare(meta->last, part->last) > 0)
            part->last = meta->last;
    }
    mem_free(runs);
}

void compaction_pick(const struct version *version, const struct compaction_limits *limits,
                     const struct writer cursors[STORE_LEVEL_COUNT], struct compaction_plan *plan) {
    if (pick(version, limits, cursors, plan))
        make_parts(version, limits, plan);
    else
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
            if (plan == NULL || !plan_has(plan, run)) return deepest;
        }
        deepest = l;
    }
    return deepest;
}
