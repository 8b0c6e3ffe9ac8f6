// SPDX-License-Identifier: Apache-2.0
/* Partitions with two copies of which one is lost with its disk: the other goes on alone, and only then. */
#include "lib/test.h"

#include "broker/broker_state.h"
#include "lib/cluster_world.h"

static struct cluster_world world;
static int64_t producer; /* with an identity, so that a retry is stored once */

static void open_with_pair(uint64_t seed, uint32_t nodes) {
    cluster_world_open(&world, seed, nodes);
    cluster_world_run(&world, 3000);
    assert_status(cluster_world_create_on(&world, 1, "t", (int32_t[]){1, 2}, 2), STATUS_OK);
    assert_status(cluster_world_producer_id(&world, 1, &producer), STATUS_OK);
    cluster_world_produce_numbers(&world, "t", 0, 0, 20, producer);
}

/* As it says itself. */
static bool leads(uint32_t node) {
    struct broker *broker = world.nodes[node].broker;
    const struct broker_topic *topic = broker == NULL ? NULL : broker_topic_find(broker, SLICE_LITERAL("t"));
    return topic != NULL && broker_partition_leader(broker, topic, 0).node == (int32_t)node;
}

static bool is_led(void) {
    return leads(1) || leads(2);
}

static void lose_disk(uint32_t node) {
    cluster_world_crash(&world, node, IO_SIM_CRASH_POWER);
    io_sim_wipe_disk(world.sim, node - 1);
    cluster_world_start(&world, node);
}

static void await_leader(void) {
    for (int i = 0; i < 300 && !is_led(); i++)
        cluster_world_run(&world, 100);
    assert_true(is_led());
}

static void surveyed(struct broker_survey *survey) {
    survey->late_partitions = survey->late_partitions == 0 ? -1 : survey->late_partitions;
}

/* Two voters that have everything. */
static void await_copies(void) {
    static struct broker_survey survey;
    survey.late_partitions = 0;
    for (int i = 0; i < 300 && survey.late_partitions != -1; i++) {
        survey.done = surveyed;
        broker_survey(world.nodes[3].broker, &survey);
        cluster_world_run(&world, 2000);
        broker_survey_cancel(&survey);
    }
    assert_int_equal(survey.late_partitions, -1);
}

/* Whichever it was, leader or follower, and the other one after it: nothing that was acknowledged is lost. */
static void the_other_copy_goes_on_and_takes_the_new_disk_in(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        open_with_pair(seed, 3);
        int sent = 20;
        for (uint32_t round = 0; round < 4; round++) {
            lose_disk((uint32_t)((round + seed) % 2 + 1));
            cluster_world_run(&world, 2000);
            await_leader();
            cluster_world_produce_numbers(&world, "t", 0, sent, sent + 10, producer);
            sent += 10;
            await_copies();
            cluster_world_expect_numbers(&world, "t", 0, sent);
        }
        cluster_world_close(&world);
    }
}

/* One that is only away may have been asked for its vote by nobody knows whom: it is waited for. */
static void who_is_only_down_is_waited_for(void **state) {
    (void)state;
    open_with_pair(7, 3);
    cluster_world_crash(&world, 2, IO_SIM_CRASH_POWER);
    cluster_world_run(&world, 60000);
    assert_false(is_led());
    assert_int_not_equal(cluster_world_append(&world, 1, "t", 0, "alone", -1, 0, NULL), STATUS_OK);
    cluster_world_start(&world, 2);
    await_leader();
    cluster_world_close(&world);
}

/* Two of three disks are lost: what these two had acknowledged the third may lack, so it does not lead. */
static void one_of_three_does_not_go_on(void **state) {
    (void)state;
    cluster_world_open(&world, 13, 5);
    cluster_world_run(&world, 3000);
    assert_status(cluster_world_create_on(&world, 3, "t", (int32_t[]){1, 2, 3}, 3), STATUS_OK);
    assert_status(cluster_world_producer_id(&world, 3, &producer), STATUS_OK);
    cluster_world_produce_numbers(&world, "t", 0, 0, 20, producer);
    cluster_world_crash(&world, 1, IO_SIM_CRASH_POWER);
    cluster_world_crash(&world, 2, IO_SIM_CRASH_POWER);
    for (uint32_t node = 1; node <= 2; node++) {
        io_sim_wipe_disk(world.sim, node - 1);
        cluster_world_start(&world, node);
    }
    for (int i = 0; i < 400; i++) {
        cluster_world_run(&world, 100);
        if (i > 100) assert_false(is_led() || leads(3)); /* the first of it: the leader has not noticed yet */
    }
    assert_status(cluster_world_delete(&world, 3, "t"), STATUS_OK);
    assert_status(cluster_world_create(&world, 3, "t", 1, 3), STATUS_OK);
    assert_status(cluster_world_producer_id(&world, 3, &producer), STATUS_OK);
    cluster_world_produce_numbers(&world, "t", 0, 0, 20, producer);
    cluster_world_expect_numbers(&world, "t", 0, 20);
    cluster_world_close(&world);
}

/* Its old disk comes back after all, in the place of the new one: it lacks what was acknowledged without it, so it must
 * not lead, and nobody loses by it. */
static void the_old_disk_comes_back(void **state) {
    (void)state;
    for (uint64_t seed = 8; seed <= 12; seed++) {
        open_with_pair(seed, 5); /* the fifth's disk keeps the old one */
        cluster_world_crash(&world, 5, IO_SIM_CRASH_POWER);
        cluster_world_crash(&world, 2, IO_SIM_CRASH_POWER);
        io_sim_wipe_disk(world.sim, 4);
        io_sim_clone_disk(world.sim, 1, 4, IO_SIM_CRASH_PROCESS);
        io_sim_wipe_disk(world.sim, 1);
        cluster_world_start(&world, 2);
        cluster_world_run(&world, 2000);
        await_leader();
        cluster_world_produce_numbers(&world, "t", 0, 20, 40, producer);
        /* Also before the new one has become a member. */
        if (seed % 2 == 0) await_copies();
        cluster_world_crash(&world, 2, IO_SIM_CRASH_POWER);
        io_sim_wipe_disk(world.sim, 1);
        io_sim_clone_disk(world.sim, 4, 1, IO_SIM_CRASH_PROCESS);
        cluster_world_start(&world, 2);
        for (int i = 0; i < 100; i++) {
            cluster_world_run(&world, 100);
            assert_false(leads(2));
        }
        lose_disk(2);
        cluster_world_run(&world, 2000);
        await_leader();
        cluster_world_produce_numbers(&world, "t", 0, 40, 50, producer);
        cluster_world_expect_numbers(&world, "t", 0, 50);
        cluster_world_close(&world);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_other_copy_goes_on_and_takes_the_new_disk_in),
        cmocka_unit_test(who_is_only_down_is_waited_for),
        cmocka_unit_test(one_of_three_does_not_go_on),
        cmocka_unit_test(the_old_disk_comes_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
