// SPDX-License-Identifier: Apache-2.0
#include "sim/shrink.h"

#include "base/mem.h"
#include "base/units.h"

#define SIZE_SMALL  16U
#define SEEDS_MIN   2U
#define SEEDS_MAX   8U
#define THIN_MISSES 40U

/* What is left out moves everything that is drawn in a run: a failure that needs a race may come with another
 * seed. So many are tried, more where runs are short. */
static uint32_t seeds_for(const struct scenario *scenario) {
    return MAX(SEEDS_MIN, MIN(SEEDS_MAX, 400U / MAX(1U, scenario->count)));
}

/* What comes later was never done, but waited for. */
static void cut_after(struct scenario *scenario, uint64_t failed_at_ns) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < scenario->count; i++)
        if (scenario->actions[i].at_ns == ACTION_UNTIMED || scenario->actions[i].at_ns <= failed_at_ns)
            scenario->actions[kept++] = scenario->actions[i];
    if (kept == scenario->count) return;
    scenario->count = kept;
    scenario_add(scenario,
                 &(struct action){.at_ns = failed_at_ns, .kind = ACTION_WAIT, .count = 1, .a = NS_PER_MS});
}

static bool try_it(struct shrink *s, struct scenario *scenario, struct scenario *candidate) {
    uint32_t seeds = seeds_for(candidate);
    for (uint32_t i = 0; i < seeds && s->runs < s->runs_max; i++, candidate->seed++) {
        uint64_t failed_at_ns = UINT64_MAX;
        s->runs++;
        if (!s->fails(s->ctx, candidate, &failed_at_ns)) continue;
        cut_after(candidate, failed_at_ns);
        scenario_copy(scenario, candidate);
        return true;
    }
    return false;
}

/* Takes away those for which `drop` is set. */
static bool without(struct shrink *s, struct scenario *scenario, const bool *drop) {
    struct scenario candidate;
    scenario_init(&candidate);
    scenario_copy(&candidate, scenario);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < candidate.count; i++)
        if (!drop[i]) candidate.actions[kept++] = candidate.actions[i];
    bool smaller = kept < candidate.count;
    candidate.count = kept;
    bool fails = smaller && try_it(s, scenario, &candidate);
    scenario_release(&candidate);
    return fails;
}

/* All actions of one kind. */
static void drop_kinds(struct shrink *s, struct scenario *scenario) {
    bool *drop = mem_calloc(scenario->count + 1, sizeof *drop);
    for (enum action_kind kind = 0; kind < ACTION_KIND_END; kind++) {
        memset(drop, 0, scenario->count + 1);
        for (uint32_t i = 0; i < scenario->count; i++)
            drop[i] = scenario->actions[i].kind == kind;
        without(s, scenario, drop);
    }
    mem_free(drop);
}

/* Any half, then any quarter, then any eighth of all actions, again and again: where a failure needs few of
 * them and luck, this finds some that have it. */
static void thin_out(struct shrink *s, struct scenario *scenario) {
    bool *drop = mem_calloc(scenario->count + 1, sizeof *drop);
    struct prng prng;
    prng_init(&prng, scenario->seed);
    for (uint32_t part = 2; part <= 8; part *= 2)
        for (uint32_t misses = 0; misses < THIN_MISSES && s->runs < s->runs_max; misses++) {
            for (uint32_t i = 0; i < scenario->count; i++)
                drop[i] = prng_chance(&prng, 1, part);
            if (without(s, scenario, drop)) misses = 0;
        }
    mem_free(drop);
}

/* Rows of actions, from halves down to `least` at once. */
static void drop_rows(struct shrink *s, struct scenario *scenario, uint32_t least) {
    bool *drop = mem_calloc(scenario->count + 1, sizeof *drop);
    for (uint32_t size = MAX(1U, scenario->count / 2); size >= least && s->runs < s->runs_max; size /= 2) {
        bool any = false;
        for (uint32_t at = 0; at < scenario->count && s->runs < s->runs_max;) {
            memset(drop, 0, scenario->count + 1);
            for (uint32_t i = at; i < at + size && i < scenario->count; i++)
                drop[i] = true;
            if (without(s, scenario, drop))
                any = true;
            else
                at += size;
        }
        if (size == 1 && !any) break;
        if (size == 1) size = 2; /* once more: what was needed before may not be now */
    }
    mem_free(drop);
}

static void fewer_nodes(struct shrink *s, struct scenario *scenario) {
    struct scenario candidate;
    scenario_init(&candidate);
    for (uint32_t nodes = 1; nodes < scenario->nodes; nodes++) {
        scenario_copy(&candidate, scenario);
        candidate.nodes = nodes;
        if (try_it(s, scenario, &candidate)) break;
    }
    scenario_release(&candidate);
}

static void usual_knobs(struct shrink *s, struct scenario *scenario) {
    struct scenario candidate;
    scenario_init(&candidate);
    scenario_copy(&candidate, scenario);
    candidate.knobs = sim_knobs_default();
    if (!try_it(s, scenario, &candidate)) {
        uint32_t *own = (uint32_t *)(void *)&candidate.knobs;
        struct sim_knobs usual = sim_knobs_default();
        for (size_t i = 0; i < sizeof usual / sizeof *own; i++) {
            scenario_copy(&candidate, scenario);
            if (own[i] == ((const uint32_t *)(const void *)&usual)[i]) continue;
            own[i] = ((const uint32_t *)(const void *)&usual)[i];
            try_it(s, scenario, &candidate);
        }
    }
    scenario_release(&candidate);
}

static bool plainer(struct action *action) {
    uint64_t a = action->a;
    uint32_t count = action->count;
    if (action->kind == ACTION_APPEND) {
        action->a = MIN(action->a, (uint64_t)SIZE_SMALL);
        action->count = 1;
    } else if (action->kind == ACTION_DROP || action->kind == ACTION_LINK ||
               action->kind == ACTION_DISK_SLOW) {
        action->count = MAX(1U, action->count / 2);
    } else if (action->kind == ACTION_PAUSE) {
        action->a /= 2;
    }
    return action->a != a || action->count != count;
}

/* All at once, else one by one. */
static void plainer_values(struct shrink *s, struct scenario *scenario) {
    struct scenario candidate;
    scenario_init(&candidate);
    scenario_copy(&candidate, scenario);
    bool any = false;
    for (uint32_t i = 0; i < candidate.count; i++)
        any = plainer(&candidate.actions[i]) || any;
    if (any && !try_it(s, scenario, &candidate))
        for (uint32_t i = 0; i < scenario->count && s->runs < s->runs_max; i++) {
            scenario_copy(&candidate, scenario);
            if (plainer(&candidate.actions[i])) try_it(s, scenario, &candidate);
        }
    scenario_release(&candidate);
}

/* Everything from the i-th action on comes earlier, by half of the time since the one before. */
static void shorter_waits(struct shrink *s, struct scenario *scenario) {
    struct scenario candidate;
    scenario_init(&candidate);
    for (uint32_t i = 0; i < scenario->count && s->runs < s->runs_max; i++) {
        uint64_t before_ns = i == 0 ? 0 : scenario->actions[i - 1].at_ns, at_ns = scenario->actions[i].at_ns;
        if (at_ns == ACTION_UNTIMED || before_ns == ACTION_UNTIMED || at_ns - before_ns < NS_PER_MS) continue;
        uint64_t shift_ns = (at_ns - before_ns) / 2;
        scenario_copy(&candidate, scenario);
        for (uint32_t j = i; j < candidate.count; j++)
            if (candidate.actions[j].at_ns != ACTION_UNTIMED) candidate.actions[j].at_ns -= shift_ns;
        try_it(s, scenario, &candidate);
    }
    scenario_release(&candidate);
}

void shrink_scenario(struct shrink *s, struct scenario *scenario) {
    cut_after(scenario, s->failed_at_ns);
    drop_kinds(s, scenario);
    fewer_nodes(s, scenario);
    /* Much at once first: runs get quicker with every success. */
    drop_rows(s, scenario, MAX(scenario->count / 16, 2U));
    uint32_t before;
    do {
        before = scenario->count;
        thin_out(s, scenario);
        usual_knobs(s, scenario);
        drop_rows(s, scenario, 1);
        plainer_values(s, scenario);
        shorter_waits(s, scenario);
        drop_kinds(s, scenario);
        fewer_nodes(s, scenario);
    } while (scenario->count < before);
}
