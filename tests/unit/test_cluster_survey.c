// SPDX-License-Identifier: Apache-2.0
/* What nodes say of themselves when one of them asks: copies that lack something, disks, who does not answer. */
#include "lib/test.h"

#include "lib/cluster_world.h"

static struct cluster_world world;
static struct broker_survey survey;
static int answers;

static void surveyed(struct broker_survey *s) {
    (void)s;
    answers++;
}

static void ask(uint32_t node) {
    survey.done = surveyed;
    answers = 0;
    broker_survey(world.nodes[node].broker, &survey);
}

/* How long it took. */
static uint64_t ask_and_wait(uint32_t node) {
    uint64_t began = io_sim_now(world.sim);
    ask(node);
    while (answers == 0)
        assert_true(io_sim_step(world.sim));
    assert_int_equal(answers, 1);
    assert_int_equal(survey.report_count, 3);
    return io_sim_now(world.sim) - began;
}

static const struct broker_node_report *report_of(uint32_t node) {
    assert_int_equal(survey.reports[node - 1].node, node);
    return &survey.reports[node - 1];
}

static uint32_t open_with_records(int count) {
    cluster_world_open(&world, 1, 3);
    cluster_world_run(&world, 3000);
    assert_status(cluster_world_create(&world, 1, "t", 1, 3), STATUS_OK);
    cluster_world_produce_numbers(&world, "t", 0, 0, count, -1);
    cluster_world_run(&world, 3000);
    return cluster_world_leader(&world, 1, "t", 0);
}

static void every_node_tells_of_itself(void **state) {
    (void)state;
    open_with_records(20);
    for (uint32_t asked = 1; asked <= 3; asked++) {
        assert_true(ask_and_wait(asked) < 100 * NS_PER_MS);
        assert_int_equal(survey.late_partitions, 0);
        for (uint32_t node = 1; node <= 3; node++) {
            const struct broker_node_report *report = report_of(node);
            assert_true(report->known && report->health == STATUS_OK);
            assert_int_equal(report->lacking, 0);
            assert_int_equal(report->late, 0);
            assert_true(report->stored_bytes > 0 && report->disk_free_bytes > 0);
            assert_true(report->disk_free_bytes < report->disk_bytes);
        }
    }
    cluster_world_close(&world);
}

/* Also when it led itself, so that who leads now has never heard it. */
static void a_copy_that_is_down_and_comes_back_lacks_records(void **state) {
    (void)state;
    for (int led = 0; led < 2; led++) {
        uint32_t leader = open_with_records(10), down = led ? leader : leader % 3 + 1;
        cluster_world_crash(&world, down, IO_SIM_CRASH_POWER);
        cluster_world_produce_numbers(&world, "t", 0, 10, 30, -1);
        cluster_world_run(&world, 3000);
        ask_and_wait(down % 3 + 1);
        assert_false(report_of(down)->known);
        assert_int_equal(report_of(down)->late, 1);
        assert_in_range(report_of(down)->lacking, 20, 22); /* and what leaders note when they begin */
        assert_int_equal(survey.late_partitions, 0);       /* that a node is down says it already */
        cluster_world_start(&world, down);
        cluster_world_run(&world, 3000);
        ask_and_wait(down);
        assert_true(report_of(down)->known);
        assert_int_equal(report_of(down)->lacking, 0);
        cluster_world_close(&world);
    }
}

/* It is there, and hears everything; only its disk is slow. */
static void a_copy_that_cannot_keep_up_is_late(void **state) {
    (void)state;
    uint32_t leader = open_with_records(1), slow = leader % 3 + 1, other = 6 - leader - slow;
    io_sim_disk_faults(world.sim, slow - 1)->slow_factor = 100000;
    cluster_world_produce_numbers(&world, "t", 0, 1, 100, -1);
    cluster_world_run(&world, 4000);
    ask_and_wait(other);
    assert_true(report_of(slow)->known);
    assert_int_equal(report_of(slow)->late, 1);
    assert_true(report_of(slow)->lacking > 0);
    assert_int_equal(report_of(other)->late, 0);
    assert_int_equal(survey.late_partitions, 1);
    io_sim_disk_faults(world.sim, slow - 1)->slow_factor = 1;
    for (int i = 0; i < 100; i++)
        cluster_world_run(&world, 500);
    ask_and_wait(other);
    assert_int_equal(report_of(slow)->late, 0);
    assert_int_equal(survey.late_partitions, 0);
    cluster_world_close(&world);
}

/* What cannot be reached is waited for a moment only; nor is anything told to who has gone. */
static void who_does_not_answer_is_not_known(void **state) {
    (void)state;
    uint32_t leader = open_with_records(1), silent = leader % 3 + 1;
    for (uint32_t i = 0; i < 3; i++)
        if (i != silent - 1) io_sim_cut(world.sim, silent - 1, i, true);
    assert_true(ask_and_wait(leader) < SURVEY_PATIENCE_NS + 100 * NS_PER_MS);
    assert_false(report_of(silent)->known);
    assert_true(report_of(leader)->known);
    ask(leader);
    broker_survey_cancel(&survey);
    cluster_world_run(&world, 3000);
    assert_int_equal(answers, 0);
    cluster_world_close(&world);
}

/* Nobody leads what was on a disk that is lost, though others remember who did last. */
static void what_nobody_leads_is_known(void **state) {
    (void)state;
    open_with_records(1);
    assert_status(cluster_world_create_on(&world, 1, "u", (int32_t[]){2}, 1), STATUS_OK);
    cluster_world_run(&world, 3000);
    ask_and_wait(3);
    assert_true(survey.is_complete);
    assert_int_equal(survey.led_partitions, 2);
    cluster_world_crash(&world, 2, IO_SIM_CRASH_POWER);
    io_sim_wipe_disk(world.sim, 1);
    cluster_world_run(&world, 3000);
    ask_and_wait(3);
    assert_true(survey.is_complete); /* who is down leads nothing */
    assert_int_equal(survey.led_partitions, 1);
    cluster_world_start(&world, 2);
    cluster_world_run(&world, 10000);
    ask_and_wait(3);
    assert_true(survey.is_complete && report_of(2)->known);
    assert_int_equal(survey.led_partitions, 1);
    cluster_world_close(&world);
}

static void a_broker_alone_tells_of_itself(void **state) {
    (void)state;
    cluster_world_open_alone(&world, 1);
    ask(1);
    cluster_world_run(&world, 100);
    assert_int_equal(answers, 1);
    assert_int_equal(survey.report_count, 1);
    assert_true(report_of(1)->known && report_of(1)->disk_bytes > 0);
    cluster_world_close(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_node_tells_of_itself),
        cmocka_unit_test(a_copy_that_is_down_and_comes_back_lacks_records),
        cmocka_unit_test(a_copy_that_cannot_keep_up_is_late),
        cmocka_unit_test(who_does_not_answer_is_not_known),
        cmocka_unit_test(what_nobody_leads_is_known),
        cmocka_unit_test(a_broker_alone_tells_of_itself),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
