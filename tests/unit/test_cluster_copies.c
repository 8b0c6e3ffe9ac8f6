// SPDX-License-Identifier: Apache-2.0
/* Single copies of partitions whose node cannot read, or store, for a moment what it must: it has them again
 * by itself, and nobody relies on them before. */
#include "lib/test.h"

#include <stdio.h>

#include "base/mem.h"
#include "broker/cluster.h"
#include "broker/partition_replica.h"
#include "lib/cluster_world.h"

static struct cluster_world world;

/* The leader that the placement prefers comes back with a disk that cannot keep up: it leads again when it
 * has everything, and nobody is refused on the way. */
static void who_is_far_behind_is_not_made_leader(void **state) {
    (void)state;
    static const int32_t nodes[] = {1, 2, 3};
    char *value = mem_calloc(1, 64 * KIB);
    memset(value, 'v', 64 * KIB - 1);
    cluster_world_open(&world, 62, 3);
    cluster_world_run(&world, 3000);
    assert_status(cluster_world_create_on(&world, 1, "t", nodes, 3), STATUS_OK);
    cluster_world_produce_numbers(&world, "t", 0, 0, 3, -1);
    cluster_world_run(&world, 10000);
    assert_int_equal(cluster_world_leader(&world, 2, "t", 0), 1);
    cluster_world_crash(&world, 1, IO_SIM_CRASH_POWER);
    cluster_world_run(&world, 3000);
    uint32_t leader = cluster_world_leader(&world, 2, "t", 0);
    for (int i = 0; i < 200; i++)
        assert_status(cluster_world_append(&world, leader, "t", 0, value, -1, 0, NULL), STATUS_OK);
    cluster_world_start(&world, 1);
    io_sim_disk_faults(world.sim, 0)->slow_factor = 1000;
    uint32_t refused = 0;
    for (int i = 0; i < 2000; i++) {
        enum status status = cluster_world_append(&world, leader, "t", 0, "v", -1, 0, NULL);
        refused += status != STATUS_OK;
        cluster_world_run(&world, 5);
    }
    assert_int_equal(refused, 0);
    io_sim_disk_faults(world.sim, 0)->slow_factor = 1;
    for (int i = 0; i < 60 && cluster_world_leader(&world, 2, "t", 0) != 1; i++)
        cluster_world_run(&world, 1000);
    assert_int_equal(cluster_world_leader(&world, 2, "t", 0), 1);
    mem_free(value);
    cluster_world_close(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_is_far_behind_is_not_made_leader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
