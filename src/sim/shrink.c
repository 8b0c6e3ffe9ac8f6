// SPDX-License-Identifier: Apache-2.0
#include "sim/shrink.h"

#include "base/assert.h"
#include "base/list.h"
#include "base/units.h"
#include "sim/shrink_change.h"

#define SEEDS_MIN           2U
#define SEEDS_MAX           8U
#define BATCH               64U /* random candidates offered at once */
#define PATIENCE_MIN        2U
#define PATIENCE_PER_ACTION 10U
#define PATIENCE_MAX        250U
#define PLAINER_MIN         150U /* of a thousand of the budget: kept for what is not about the number of actions */

/* A step: candidates are changes of one scenario, each with some seeds. */
struct step {
    struct shrink_candidates candidates;
    const struct scenario *scenario;
    bool (*change)(const struct step *step, uint32_t index, struct scenario *candidate);
    uint32_t seeds;
    uint32_t from, size; /* what `change` makes of them */
    uint64_t chance;     /* seed of what it draws */
};

static bool make(const struct shrink_candidates *candidates, uint32_t index, struct scenario *candidate) {
    const struct step *step = CONTAINER_OF(candidates, const struct step, candidates);
    scenario_copy(candidate, step->scenario);
    if (!step->change(step, index / step->seeds, candidate)) return false;
    candidate->seed += index % step->seeds;
    return true;
}

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

/* Replaces the scenario by the first of `count` changes that fails. False: none does. */
static bool take_first(struct shrink *s, struct scenario *scenario, struct step *step, uint32_t count,
                       uint32_t *taken) {
    if (count == 0 || s->left(s->ctx) == 0) return false;
    uint64_t failed_at_ns = UINT64_MAX;
    step->scenario = scenario;
    step->candidates = (struct shrink_candidates){count * step->seeds, make};
    uint32_t found = s->first_failing(s->ctx, &step->candidates, &failed_at_ns);
    if (found == step->candidates.count) return false;
    struct scenario candidate;
    scenario_init(&candidate);
    bool made = make(&step->candidates, found, &candidate);
    ASSERT(made);
    cut_after(&candidate, failed_at_ns);
    scenario_copy(scenario, &candidate);
    scenario_release(&candidate);
    *taken = found / step->seeds;
    return true;
}

/* Each of so many changes in turn; one that succeeds is tried again if it is to be `repeated`. */
static void take_each(struct shrink *s, struct scenario *scenario,
                      bool (*change)(const struct step *step, uint32_t index, struct scenario *candidate),
                      uint32_t count, bool repeated) {
    uint32_t taken;
    struct step step = {.change = change, .seeds = seeds_for(scenario)};
    while (step.from < count && take_first(s, scenario, &step, count - step.from, &taken))
        step.from += taken + !repeated;
}

/* ---- leaving out -------------------------------------------------------------------------------------- */

static bool without_kind(const struct step *step, uint32_t index, struct scenario *candidate) {
    return shrink_without_kind(candidate, (enum action_kind)(step->from + index));
}

static bool without_nodes(const struct step *step, uint32_t index, struct scenario *candidate) {
    return shrink_without_nodes_above(candidate, step->from + index + 1);
}

static bool without_row(const struct step *step, uint32_t index, struct scenario *candidate) {
    return shrink_without_row(candidate, step->from + index * step->size, step->size);
}

/* Once through the scenario; true: something went. */
static bool drop_rows_of(struct shrink *s, struct scenario *scenario, uint32_t size) {
    uint32_t before = scenario->count, taken;
    struct step step = {.change = without_row, .seeds = seeds_for(scenario), .size = size};
    while (step.from < scenario->count &&
           take_first(s, scenario, &step, (scenario->count - step.from + size - 1) / size, &taken))
        step.from += taken * size;
    return scenario->count < before;
}

/* Rows of actions, from halves down to `least` at once. */
static void drop_rows(struct shrink *s, struct scenario *scenario, uint32_t least) {
    for (uint32_t size = MAX(1U, scenario->count / 2); size >= least; size /= 2) {
        bool any = drop_rows_of(s, scenario, size);
        /* Once more: what was needed before may not be now. */
        while (size == 1 && any)
            any = drop_rows_of(s, scenario, size);
    }
}

/* ---- at random ---------------------------------------------------------------------------------------- */

static struct prng chance_of(const struct step *step, uint32_t index) {
    struct prng prng;
    prng_init(&prng, step->chance);
    return prng_split(&prng, index);
}

/* First those that leave out most. */
static bool thinner(const struct step *step, uint32_t index, struct scenario *candidate) {
    static const uint32_t parts[] = {2, 4, 8, 0};
    struct prng prng = chance_of(step, index);
    bool smaller = shrink_without_some(candidate, parts[index * ARRAY_COUNT(parts) / BATCH], &prng);
    shrink_redraw(candidate, &prng);
    return smaller;
}

static bool drawn_anew(const struct step *step, uint32_t index, struct scenario *candidate) {
    struct prng prng = chance_of(step, index);
    return shrink_draw_anew(candidate, &prng);
}

static bool as_large(const struct step *step, uint32_t index, struct scenario *candidate) {
    struct prng prng = chance_of(step, index);
    shrink_redraw(candidate, &prng);
    return true;
}

/* So much of the budget, of a thousand, may bring nothing before it is given up. */
static uint32_t patience(const struct scenario *scenario) {
    return MIN(PATIENCE_MAX, PATIENCE_MIN + scenario->count * PATIENCE_PER_ACTION);
}

/* Until nothing more is found, or only so much is left. */
static void thin_out(struct shrink *s, struct scenario *scenario, struct prng *prng) {
    uint32_t taken, since = s->left(s->ctx);
    for (uint32_t i = 0; scenario->count != 0; i++) {
        uint32_t left = s->left(s->ctx);
        if (left <= PLAINER_MIN || since - left > patience(scenario)) break;
        struct step step = {
            .change = i % 4 == 2 ? drawn_anew : thinner, .seeds = 1, .chance = prng_next(prng)};
        if (take_first(s, scenario, &step, BATCH, &taken)) {
            since = s->left(s->ctx);
        } else if (i % 4 == 3) {
            step.change = as_large;
            MAYBE(take_first(s, scenario, &step, BATCH, &taken));
        }
    }
}

/* ---- plainer ------------------------------------------------------------------------------------------ */

static bool asks_the_leader(const struct step *step, uint32_t index, struct scenario *candidate) {
    MAYBE(step->from + index == 0);
    return shrink_ask_the_leader(candidate);
}

static bool usual_knobs(const struct step *step, uint32_t index, struct scenario *candidate) {
    /* All of them first. */
    uint32_t at = step->from + index;
    return shrink_usual_knob(candidate, at == 0 ? shrink_knob_count() : at - 1);
}

static bool plainer_value(const struct step *step, uint32_t index, struct scenario *candidate) {
    bool any = false;
    uint32_t at = step->from + index;
    for (uint32_t i = 0; i < candidate->count; i++)
        if (at == 0 || i == at - 1) any = shrink_plainer_value(candidate, i) || any;
    return any;
}

static bool shorter_wait(const struct step *step, uint32_t index, struct scenario *candidate) {
    bool any = false;
    uint32_t at = step->from + index;
    for (uint32_t i = 0; i < candidate->count; i++)
        if (at == 0 || i == at - 1) any = shrink_shorter_wait(candidate, i) || any;
    return any;
}

void shrink_scenario(struct shrink *s, struct scenario *scenario) {
    struct prng prng;
    prng_init(&prng, scenario->seed);
    cut_after(scenario, s->failed_at_ns);
    take_each(s, scenario, asks_the_leader, 1, false);
    take_each(s, scenario, without_kind, ACTION_KIND_END, false);
    take_each(s, scenario, without_nodes, scenario->nodes, false);
    /* Much at once first: runs get quicker with every success. */
    drop_rows(s, scenario, MAX(scenario->count / 16, 2U));
    uint32_t before;
    do {
        before = scenario->count;
        thin_out(s, scenario, &prng);
        drop_rows(s, scenario, 1);
        take_each(s, scenario, without_kind, ACTION_KIND_END, false);
        take_each(s, scenario, without_nodes, scenario->nodes, false);
    } while (scenario->count < before && s->left(s->ctx) > PLAINER_MIN);
    take_each(s, scenario, usual_knobs, shrink_knob_count() + 1, false);
    take_each(s, scenario, plainer_value, scenario->count + 1, true);
    take_each(s, scenario, shorter_wait, scenario->count + 1, true);
    drop_rows(s, scenario, 1);
}
