// SPDX-License-Identifier: Apache-2.0
/* The language of scenarios, plans drawn from seeds, runs driven by their own logs, and shrinking. */
#include <stdio.h>

#include "base/mem.h"
#include "base/units.h"
#include "lib/test.h"
#include "sim/plan.h"
#include "sim/shrink.h"
#include "sim/world.h"

static void expect_line(const char *line, const char *printed) {
    struct action_names names = {0};
    struct action action;
    struct diagnostic why;
    struct writer out;
    writer_init(&out);
    assert_status(action_parse(line, &names, &action, &why), STATUS_OK);
    action_print(&out, &action, &names);
    writer_u8(&out, 0);
    assert_string_equal((const char *)out.data, printed);
    writer_release(&out);
}

static void the_full_form_of_a_line_is_printed_and_read_again(void **state) {
    (void)state;
    static const struct {
        const char *line, *full;
    } table[] = {
        {"at 2s partition 1 | 2 3", "at 2s partition 1 | 2 3"},
        {"cut leader->*", "cut leader->*"},
        {"drop next Append 1->2", "drop next 1 Append 1->2"},
        {"drop next 20 any *->3", "drop next 20 any *->3"},
        {"crash 2", "crash 2 power"},
        {"crash 2 before fsync", "crash 2 before fsync 1"},
        {"at 12.000001s crash leader process", "at 12.000001s crash leader process"},
        {"clock 1 drift -500 wall 3000", "clock 1 drift -500 wall 3000"},
        {"latency 50us..1.5ms", "latency 50us..1.5ms"},
        {"disk 2 fail fsync", "disk 2 fail fsync 1"},
        {"append 100 to leader", "append 100 x 1 to leader"},
        {"start 2", "start 2"},
        {"start 2 with knobs 77", "start 2 with knobs 77"},
        {"members 1 2 ~4", "members 1 2 ~4"},
        {"expect leader 3 within 2s", "expect leader 3 within 2s"},
        {"expect leader within 2s as L", "expect leader * within 2s as L"},
        {"expect no leader for 1s", "expect no leader for 1s"},
        {"expect pre-candidate 2 within 1s", "expect pre-candidate 2 within 1s"},
        {"expect members 1 2 ~3 within 1s", "expect members 1 2 ~3 within 1s"},
        {"expect repaired 1 at 2 within 1s", "expect repaired 1 at 2 within 1s"},
        {"name F = follower", "name F = follower"},
        {"converge within 5s", "converge within 5s"},
    };
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        expect_line(table[i].line, table[i].full);
        expect_line(table[i].full, table[i].full);
    }
}

static void what_is_no_line_is_refused_with_a_reason(void **state) {
    (void)state;
    static const char *const table[] = {
        "",
        "jump 1",
        "cut 1",
        "cut 1->17",
        "cut 0->1",
        "at partition 1 | 2",
        "at 2x heal",
        "partition | 1",
        "drop next Hello 1->2",
        "crash L",
        "name f = 1",
        "expect leader 1",
        "disk 1 fail rename",
        "members",
        "append -1 to 2",
        "pause 1 for 5",
        "expect leader within 2s as low",
    };
    for (size_t i = 0; i < ARRAY_COUNT(table); i++) {
        struct action_names names = {0};
        struct action action;
        struct diagnostic why = {""};
        assert_status(action_parse(table[i], &names, &action, &why), STATUS_INVALID);
        assert_true(strlen(why.text) > 0);
    }
}

static void a_file_has_a_title_a_cluster_and_actions(void **state) {
    (void)state;
    struct scenario scenario;
    struct diagnostic why = {""};
    scenario_init(&scenario);
    const char *text =
        "# What it shows.\nnodes 5\nset inflight 3\n\nexpect leader within 2s as L # so\ncrash L\n";
    assert_status(scenario_parse(&scenario, slice_from_text(text), &why), STATUS_OK);
    assert_string_equal(scenario.title, "What it shows.");
    assert_int_equal(scenario.nodes, 5);
    assert_int_equal(scenario.knobs.inflight, 3);
    assert_int_equal(scenario.count, 2);
    assert_int_equal(scenario.actions[1].node, ACTION_NODE_NAMES);
    assert_status(scenario_parse(&scenario, slice_from_text("heal\nset speed 3\n"), &why), STATUS_INVALID);
    assert_string_equal(why.text, "line 2: there is no knob 'speed'");
    scenario_release(&scenario);
}

static void print(const struct scenario *scenario, struct writer *out) {
    writer_clear(out);
    scenario_print(out, scenario);
}

static void a_plan_is_the_same_each_time_and_when_printed_and_read(void **state) {
    (void)state;
    struct writer first, again;
    writer_init(&first);
    writer_init(&again);
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct plan_options options = {.seed = seed, .faults = PLAN_FAULTS_ALL, .workload = "raft"};
        struct scenario plan, read;
        struct diagnostic why = {""};
        scenario_init(&plan);
        scenario_init(&read);
        plan_draw(&options, &plan);
        print(&plan, &first);
        assert_status(scenario_parse(&read, writer_slice(&first), &why), STATUS_OK);
        print(&read, &again);
        assert_slice_equal(writer_slice(&first), writer_slice(&again));
        plan_draw(&options, &read);
        print(&read, &again);
        assert_slice_equal(writer_slice(&first), writer_slice(&again));
        for (uint32_t i = 1; i < plan.count; i++)
            assert_true(plan.actions[i - 1].at_ns <= plan.actions[i].at_ns);
        scenario_release(&plan);
        scenario_release(&read);
    }
    writer_release(&first);
    writer_release(&again);
}

static void run(const struct scenario *scenario, struct world_result *result) {
    struct world_options options = {.scenario = scenario};
    world_run(&options, result);
}

static void a_run_is_the_same_each_time_and_when_driven_by_its_log(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct plan_options options = {
            .seed = seed, .faults = PLAN_FAULTS_ALL, .workload = "raft", .duration_ns = 2 * NS_PER_S};
        struct scenario plan;
        struct world_result first, again, logged;
        scenario_init(&plan);
        plan_draw(&options, &plan);
        run(&plan, &first);
        run(&plan, &again);
        run(&first.log, &logged);
        assert_string_equal(first.failure, "");
        assert_int_equal(first.trace_hash, again.trace_hash);
        assert_int_equal(first.trace_hash, logged.trace_hash);
        assert_int_equal(first.steps, logged.steps);
        world_result_release(&first);
        world_result_release(&again);
        world_result_release(&logged);
        scenario_release(&plan);
    }
}

static bool at_the_third_question(void *ctx) {
    return ++*(uint32_t *)ctx == 3;
}

static void a_run_that_costs_too_much_is_given_up(void **state) {
    (void)state;
    struct plan_options plan_options = {
        .seed = 1, .nodes = 3, .workload = "raft", .duration_ns = 10 * NS_PER_S};
    struct scenario plan;
    struct world_result result;
    uint32_t asked = 0;
    scenario_init(&plan);
    plan_draw(&plan_options, &plan);
    struct world_options options = {.scenario = &plan, .give_up = at_the_third_question, .ctx = &asked};
    world_run(&options, &result);
    assert_false(result.ok);
    assert_string_equal(result.failure, "given up");
    assert_int_equal(asked, 3);
    world_result_release(&result);
    scenario_release(&plan);
}

/* Candidates are run one after the other, until so many were. */
struct chase {
    bool (*fails)(const struct scenario *scenario);
    uint32_t runs, runs_max;
};

static uint32_t left(void *ctx) {
    const struct chase *chase = ctx;
    return chase->runs >= chase->runs_max ? 0 : (chase->runs_max - chase->runs) * 1000 / chase->runs_max;
}

static uint32_t first_failing(void *ctx, const struct shrink_candidates *candidates, uint64_t *failed_at_ns) {
    struct chase *chase = ctx;
    struct scenario candidate;
    scenario_init(&candidate);
    uint32_t i = 0;
    for (; i < candidates->count && left(chase) != 0; i++) {
        if (!candidates->make(candidates, i, &candidate)) continue;
        chase->runs++;
        if (chase->fails(&candidate)) break;
    }
    scenario_release(&candidate);
    MAYBE(*failed_at_ns == UINT64_MAX);
    return left(chase) == 0 ? candidates->count : i;
}

/* Fails as long as two certain actions are there. */
static bool has_both(const struct scenario *scenario) {
    bool wiped = false, healed = false;
    for (uint32_t i = 0; i < scenario->count; i++) {
        wiped = wiped || scenario->actions[i].kind == ACTION_WIPE;
        healed = healed || (scenario->actions[i].kind == ACTION_HEAL && wiped);
    }
    return healed;
}

static void shrinking_leaves_what_is_needed(void **state) {
    (void)state;
    struct scenario scenario;
    scenario_init(&scenario);
    scenario.knobs.inflight = 1;
    for (uint32_t i = 0; i < 300; i++) {
        struct action action = {
            .at_ns = i * NS_PER_S, .kind = ACTION_APPEND, .node = 1, .a = 500, .count = 1};
        if (i == 70) action.kind = ACTION_WIPE;
        if (i == 200) action.kind = ACTION_HEAL;
        scenario_add(&scenario, &action);
    }
    struct chase chase = {.fails = has_both, .runs_max = 5000};
    struct shrink shrink = {
        .first_failing = first_failing, .left = left, .ctx = &chase, .failed_at_ns = 250 * NS_PER_S};
    shrink_scenario(&shrink, &scenario);
    assert_int_equal(scenario.count, 2);
    assert_int_equal(scenario.actions[0].kind, ACTION_WIPE);
    assert_int_equal(scenario.actions[1].kind, ACTION_HEAL);
    assert_int_equal(scenario.knobs.inflight, sim_knobs_default().inflight);
    scenario_release(&scenario);
}

/* The third write of node 2 fails, and it matters which one that is: what is left out moves it. */
static bool third_write_of_eight(const struct scenario *scenario) {
    uint32_t appends = 0;
    for (uint32_t i = 0; i < scenario->count; i++) {
        const struct action *action = &scenario->actions[i];
        appends += action->kind == ACTION_APPEND;
        if (action->kind == ACTION_DISK_FAIL && action->count == (appends + 7) % 8 + 1 &&
            scenario->seed % 4 == appends % 4)
            return true;
    }
    return false;
}

static void what_is_counted_is_drawn_anew(void **state) {
    (void)state;
    struct scenario scenario;
    scenario_init(&scenario);
    scenario.seed = 40;
    for (uint32_t i = 0; i < 101; i++) {
        struct action action = {.at_ns = i * NS_PER_MS, .kind = ACTION_APPEND, .a = 500, .count = 1};
        if (i == 100) action = (struct action){.at_ns = i * NS_PER_MS, .kind = ACTION_DISK_FAIL, .count = 4};
        scenario_add(&scenario, &action);
    }
    assert_true(third_write_of_eight(&scenario));
    struct chase chase = {.fails = third_write_of_eight, .runs_max = 20000};
    struct shrink shrink = {
        .first_failing = first_failing, .left = left, .ctx = &chase, .failed_at_ns = UINT64_MAX};
    shrink_scenario(&shrink, &scenario);
    assert_true(third_write_of_eight(&scenario));
    assert_true(scenario.count <= 2);
    scenario_release(&scenario);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_full_form_of_a_line_is_printed_and_read_again),
        cmocka_unit_test(what_is_no_line_is_refused_with_a_reason),
        cmocka_unit_test(a_file_has_a_title_a_cluster_and_actions),
        cmocka_unit_test(a_plan_is_the_same_each_time_and_when_printed_and_read),
        cmocka_unit_test(a_run_is_the_same_each_time_and_when_driven_by_its_log),
        cmocka_unit_test(a_run_that_costs_too_much_is_given_up),
        cmocka_unit_test(shrinking_leaves_what_is_needed),
        cmocka_unit_test(what_is_counted_is_drawn_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
