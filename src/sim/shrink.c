// SPDX-License-Identifier: Apache-2.0
#include "sim/shrink.h"

#include "base/mem.h"
#include "base/units.h"

#define SIZE_SMALL 16U

static bool try_it(struct shrink *s, struct scenario *scenario, struct scenario *candidate) {
    bool fails = s->runs < s->runs_max && s->fails(s->ctx, candidate);
    s->runs++;
    if (fails) scenario_copy(scenario, candidate);
    return fails;
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

static void drop_what_comes_later(struct shrink *s, struct scenario *scenario) {
    bool *drop = mem_calloc(scenario->count + 1, sizeof *drop);
    for (uint32_t i = 0; i < scenario->count; i++)
        drop[i] = scenario->actions[i].at_ns != ACTION_UNTIMED &&
                  scenario->actions[i].at_ns > s->failed_at_ns;
    without(s, scenario, drop);
    /* The end is needed only by failures that show there. */
    memset(drop, 0, scenario->count + 1);
    for (uint32_t i = 0; i < scenario->count; i++)
        drop[i] = scenario->actions[i].kind == ACTION_CONVERGE;
    without(s, scenario, drop);
    mem_free(drop);
}

/* Whole faults, begin and end together; then what is of one kind. */
static void drop_groups(struct shrink *s, struct scenario *scenario) {
    bool *drop = mem_calloc(scenario->count + 1, sizeof *drop);
    for (enum action_kind kind = 0; kind < ACTION_KIND_END; kind++) {
        memset(drop, 0, scenario->count + 1);
        for (uint32_t i = 0; i < scenario->count; i++)
            drop[i] = scenario->actions[i].kind == kind && kind != ACTION_CONVERGE;
        without(s, scenario, drop);
    }
    uint32_t highest = 0;
    for (uint32_t i = 0; i < scenario->count; i++)
        highest = MAX(highest, scenario->actions[i].cause);
    for (uint32_t cause = 1; cause <= highest; cause++) {
        memset(drop, 0, scenario->count + 1);
        for (uint32_t i = 0; i < scenario->count; i++)
            drop[i] = scenario->actions[i].cause == cause;
        without(s, scenario, drop);
    }
    mem_free(drop);
}

static void drop_chunks(struct shrink *s, struct scenario *scenario) {
    bool *drop = mem_calloc(scenario->count + 1, sizeof *drop);
    for (uint32_t size = MAX(1U, scenario->count / 2); s->runs < s->runs_max; size /= 2) {
        bool any = false;
        for (uint32_t at = 0; at < scenario->count && s->runs < s->runs_max;) {
            memset(drop, 0, scenario->count + 1);
            for (uint32_t i = at; i < at + size && i < scenario->count; i++)
                drop[i] = scenario->actions[i].kind != ACTION_CONVERGE;
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
    drop_what_comes_later(s, scenario);
    drop_groups(s, scenario);
    drop_chunks(s, scenario);
    usual_knobs(s, scenario);
    plainer_values(s, scenario);
    shorter_waits(s, scenario);
    drop_chunks(s, scenario);
}
