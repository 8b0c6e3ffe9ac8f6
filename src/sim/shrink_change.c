// SPDX-License-Identifier: Apache-2.0
#include "sim/shrink_change.h"

#include "base/mem.h"
#include "base/units.h"
#include "sim/plan.h"

#define SIZE_SMALL      16U
#define SIZE_MAX_MERGED 16000U
#define COUNT_DRAWN_MIN 8U
#define DRAWN_NS_MAX    (4 * NS_PER_S)

static bool timed(const struct action *action) {
    return action->at_ns != ACTION_UNTIMED;
}

/* ---- what is left out --------------------------------------------------------------------------------- */

bool shrink_without_kind(struct scenario *scenario, enum action_kind kind) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < scenario->count; i++)
        if (scenario->actions[i].kind != kind) scenario->actions[kept++] = scenario->actions[i];
    bool smaller = kept < scenario->count;
    scenario->count = kept;
    return smaller;
}

bool shrink_without_row(struct scenario *scenario, uint32_t at, uint32_t size) {
    if (at >= scenario->count || size == 0) return false;
    uint32_t end = MIN(scenario->count, at + size);
    memmove(&scenario->actions[at], &scenario->actions[end],
            (scenario->count - end) * sizeof *scenario->actions);
    scenario->count -= end - at;
    return true;
}

bool shrink_without_nodes_above(struct scenario *scenario, uint32_t nodes) {
    bool fewer = nodes < scenario->nodes;
    scenario->nodes = MIN(nodes, scenario->nodes);
    return fewer;
}

bool shrink_without_some(struct scenario *scenario, uint32_t part, struct prng *prng) {
    uint32_t kept = 0, before = scenario->count;
    for (uint32_t i = 0; part != 0 && i < before; i++)
        if (!prng_chance(prng, 1, part)) scenario->actions[kept++] = scenario->actions[i];
    if (part != 0) scenario->count = kept;
    uint32_t single = part == 0 ? (uint32_t)prng_range(prng, 1, 2) : 0;
    for (uint32_t i = 0; i < single && scenario->count != 0; i++)
        shrink_without_row(scenario, (uint32_t)prng_below(prng, scenario->count), 1);
    return scenario->count < before;
}

/* ---- another way -------------------------------------------------------------------------------------- */

static uint32_t permuted_set(uint32_t set, const uint32_t *place, uint32_t nodes) {
    uint32_t other = set;
    for (uint32_t node = 1; node <= nodes; node++)
        other &= ~(1U << node);
    for (uint32_t node = 1; node <= nodes; node++)
        if ((set >> node & 1) != 0) other |= 1U << place[node];
    return other;
}

/* With another seed another node leads: what was done to the leader should be done to that one. */
static void permute_nodes(struct scenario *scenario, struct prng *prng) {
    uint32_t place[SIM_NODES_MAX + 1], nodes = scenario->nodes;
    for (uint32_t i = 0; i <= nodes; i++)
        place[i] = i;
    for (uint32_t i = nodes; i > 1; i--) {
        uint32_t other = (uint32_t)prng_range(prng, 1, i), swap = place[i];
        place[i] = place[other];
        place[other] = swap;
    }
    for (uint32_t i = 0; i < scenario->count; i++) {
        struct action *action = &scenario->actions[i];
        if (action->node <= nodes) action->node = place[action->node];
        if (action->to <= nodes) action->to = place[action->to];
        for (uint32_t k = 0; k < ARRAY_COUNT(action->sets); k++)
            action->sets[k] = permuted_set(action->sets[k], place, nodes);
    }
}

/* Which write, which message: short counts are as likely as long ones. */
static void redraw_counts(struct scenario *scenario, struct prng *prng) {
    for (uint32_t i = 0; i < scenario->count; i++) {
        struct action *action = &scenario->actions[i];
        bool counts = action->kind == ACTION_CRASH_AT || action->kind == ACTION_DISK_FAIL ||
                      action->kind == ACTION_DROP;
        if (!counts || prng_chance(prng, 1, 2)) continue;
        uint32_t most = MAX(COUNT_DRAWN_MIN, 2 * action->count);
        while (most > 1 && prng_chance(prng, 1, 2))
            most /= 2;
        action->count = (uint32_t)prng_range(prng, 1, most);
    }
}

/* The times between actions, from one of them on, all longer or shorter by the same. */
static void stretch_times(struct scenario *scenario, struct prng *prng) {
    uint64_t factor = prng_range(prng, 300, 1200), before_ns = 0, moved_ns = 0;
    uint32_t from = (uint32_t)prng_below(prng, scenario->count);
    for (uint32_t i = 0; i < scenario->count; i++) {
        struct action *action = &scenario->actions[i];
        if (!timed(action)) continue;
        uint64_t gap_ns = action->at_ns - MIN(before_ns, action->at_ns);
        before_ns = action->at_ns;
        moved_ns += i < from ? gap_ns : gap_ns / 1000 * factor;
        action->at_ns = moved_ns;
    }
}

/* One action somewhere between its neighbours. */
static void move_one(struct scenario *scenario, struct prng *prng) {
    uint32_t i = (uint32_t)prng_below(prng, scenario->count);
    struct action *action = &scenario->actions[i];
    uint64_t after_ns = i == 0 ? 0 : scenario->actions[i - 1].at_ns;
    uint64_t before_ns = i + 1 == scenario->count ? action->at_ns : scenario->actions[i + 1].at_ns;
    if (!timed(action) || after_ns == ACTION_UNTIMED || before_ns == ACTION_UNTIMED) return;
    if (after_ns < before_ns) action->at_ns = prng_range(prng, after_ns, before_ns);
}

/* One append as large as two. */
static void larger_appends(struct scenario *scenario, struct prng *prng) {
    for (uint32_t i = 0; i < scenario->count; i++) {
        struct action *action = &scenario->actions[i];
        if (action->kind != ACTION_APPEND || prng_chance(prng, 1, 2)) continue;
        action->a = MIN(action->a * prng_range(prng, 2, 4), (uint64_t)SIZE_MAX_MERGED);
    }
}

void shrink_redraw(struct scenario *scenario, struct prng *prng) {
    if (scenario->count == 0) return;
    if (prng_chance(prng, 1, 2)) {
        scenario->seed = prng_below(prng, 100000);
        if (prng_chance(prng, 1, 2)) permute_nodes(scenario, prng);
    }
    if (prng_chance(prng, 1, 2)) redraw_counts(scenario, prng);
    if (prng_chance(prng, 1, 4)) stretch_times(scenario, prng);
    if (prng_chance(prng, 1, 4)) move_one(scenario, prng);
    if (prng_chance(prng, 1, 8)) larger_appends(scenario, prng);
}

bool shrink_draw_anew(struct scenario *scenario, struct prng *prng) {
    bool kinds[ACTION_KIND_END] = {false};
    uint64_t last_ns = NS_PER_S;
    for (uint32_t i = 0; i < scenario->count; i++) {
        kinds[scenario->actions[i].kind] = true;
        if (timed(&scenario->actions[i])) last_ns = MAX(last_ns, scenario->actions[i].at_ns);
    }
    struct scenario drawn;
    scenario_init(&drawn);
    struct plan_options options = {.seed = prng_below(prng, 1000000),
                                   .nodes = scenario->nodes,
                                   .duration_ns = prng_range(prng, NS_PER_S / 2, MIN(last_ns, DRAWN_NS_MAX)),
                                   .faults = PLAN_FAULTS_ALL,
                                   .workload = scenario->workload};
    plan_draw(&options, &drawn);
    uint32_t kept = 0, wanted = (uint32_t)prng_range(prng, scenario->count / 4, scenario->count);
    for (uint32_t i = 0; i < drawn.count; i++)
        if (kinds[drawn.actions[i].kind]) drawn.actions[kept++] = drawn.actions[i];
    drawn.count = kept;
    while (drawn.count > wanted)
        shrink_without_row(&drawn, (uint32_t)prng_below(prng, drawn.count), 1);
    bool smaller = drawn.count < scenario->count;
    scenario->seed = options.seed;
    scenario->count = 0;
    if (prng_chance(prng, 1, 2)) scenario->knobs = drawn.knobs;
    for (uint32_t i = 0; i < drawn.count; i++)
        scenario_add(scenario, &drawn.actions[i]);
    scenario_release(&drawn);
    return smaller;
}

bool shrink_ask_the_leader(struct scenario *scenario) {
    bool any = false;
    for (uint32_t i = 0; i < scenario->count; i++) {
        struct action *action = &scenario->actions[i];
        if (action->kind != ACTION_APPEND || action->node == ACTION_NODE_LEADER) continue;
        action->node = ACTION_NODE_LEADER;
        any = true;
    }
    return any;
}

/* ---- what is plainer ---------------------------------------------------------------------------------- */

static uint32_t *knob(struct sim_knobs *knobs, uint32_t index) {
    return (uint32_t *)(void *)knobs + index;
}

uint32_t shrink_knob_count(void) {
    return sizeof(struct sim_knobs) / sizeof(uint32_t);
}

bool shrink_usual_knob(struct scenario *scenario, uint32_t index) {
    struct sim_knobs usual = sim_knobs_default();
    struct sim_knobs before = scenario->knobs;
    if (index == shrink_knob_count())
        scenario->knobs = usual;
    else
        *knob(&scenario->knobs, index) = *knob(&usual, index);
    return memcmp(&before, &scenario->knobs, sizeof before) != 0;
}

bool shrink_plainer_value(struct scenario *scenario, uint32_t index) {
    struct action *action = &scenario->actions[index];
    struct action before = *action;
    if (action->kind == ACTION_APPEND) {
        action->a = MIN(action->a, (uint64_t)SIZE_SMALL);
        action->count = 1;
    } else if (action->kind == ACTION_DROP || action->kind == ACTION_LINK ||
               action->kind == ACTION_DISK_SLOW) {
        action->count = MAX(1U, action->count / 2);
    } else if (action->kind == ACTION_PAUSE) {
        action->a /= 2;
    }
    return action->a != before.a || action->count != before.count;
}

bool shrink_shorter_wait(struct scenario *scenario, uint32_t index) {
    uint64_t before_ns = index == 0 ? 0 : scenario->actions[index - 1].at_ns;
    uint64_t at_ns = scenario->actions[index].at_ns;
    if (at_ns == ACTION_UNTIMED || before_ns == ACTION_UNTIMED || at_ns - before_ns < NS_PER_MS) return false;
    uint64_t shift_ns = (at_ns - before_ns) / 2;
    for (uint32_t i = index; i < scenario->count; i++)
        if (timed(&scenario->actions[i])) scenario->actions[i].at_ns -= shift_ns;
    return true;
}
