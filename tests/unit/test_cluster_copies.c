// SPDX-License-Identifier: Apache-2.0
/* Single copies of partitions whose node cannot read, or store, for a moment what it must: it has them again
 * by itself, and nobody relies on them before. */
#include "lib/test.h"

#include <stdio.h>

#include "base/mem.h"
#include "broker/cluster.h"
#include "broker/coordinator.h"
#include "broker/metadata_log.h"
#include "broker/partition_replica.h"
#include "lib/cluster_world.h"

static struct cluster_world world;

static struct partition *copy_at(uint32_t node, const char *topic, int partition) {
    return broker_partition(world.nodes[node].broker, slice_from_text(topic), partition);
}

static void open_with_topic(uint64_t seed, int partitions) {
    cluster_world_open(&world, seed, 3);
    cluster_world_run(&world, 3000);
    assert_status(cluster_world_create(&world, 1, "t", partitions, 3), STATUS_OK);
}

static void stored(struct store_write *write) {
    assert_status(write->status, STATUS_OK);
    store_write_release(write);
}

/* NULL: away with it. */
static void put(uint32_t node, struct key key, struct slice value) {
    struct store_write write;
    store_write_init(&write, stored);
    if (value.data == NULL)
        store_delete(&write, key_slice(&key));
    else
        store_put(&write, key_slice(&key), (struct shared_slice){value, NULL});
    store_write_submit(broker_store(world.nodes[node].broker), &write);
    cluster_world_run(&world, 100);
}

/* A log that cannot be opened when its node starts is opened when it can be. */
static void a_copy_that_cannot_be_opened_is_opened_later(void **state) {
    (void)state;
    open_with_topic(60, 1);
    cluster_world_produce_numbers(&world, "t", 0, 0, 10, -1);
    const struct raft *raft = raft_replica_raft(copy_at(3, "t", 0)->replica);
    struct key key = key_raft(raft->group, 't', 0);
    uint8_t term[8];
    store_be64(term, raft->log.terms[raft->log.term_head].term);
    put(3, key, SLICE_LITERAL("?"));
    cluster_world_crash(&world, 3, IO_SIM_CRASH_POWER);
    cluster_world_start(&world, 3);
    cluster_world_run(&world, 5000);
    assert_status(partition_replica_health(copy_at(3, "t", 0)), STATUS_CORRUPT);
    assert_null(copy_at(3, "t", 0)->replica);
    cluster_world_produce_numbers(&world, "t", 0, 10, 20, -1);
    put(3, key, slice_make(term, sizeof term));
    cluster_world_run(&world, 3000);
    assert_status(partition_replica_health(copy_at(3, "t", 0)), STATUS_OK);
    assert_int_equal(copy_at(3, "t", 0)->high_watermark, 20);
    cluster_world_close(&world);
}

/* The number, to whoever takes it but `except`, once. */
static void produce_elsewhere(uint32_t except, int number, int64_t producer) {
    char value[16];
    snprintf(value, sizeof value, "%d", number);
    enum status status = STATUS_UNAVAILABLE;
    for (uint32_t i = 0; i < 300 && status != STATUS_OK; i++) {
        uint32_t node = (except + i % 2) % 3 + 1;
        if (world.nodes[node].broker != NULL)
            status = cluster_world_append(&world, node, "t", 0, value, producer, number, NULL);
        cluster_world_run(&world, 10);
    }
    assert_status(status, STATUS_OK);
}

/* What is stored beside the log of a copy cannot be loaded. The others serve, also when it is elected; it
 * takes what is written meanwhile, and knows all of it when it can be loaded after all. */
static void a_copy_that_is_not_loaded_does_not_lead(void **state) {
    (void)state;
    int64_t producer, offset;
    open_with_topic(64, 1);
    assert_status(cluster_world_producer_id(&world, 1, &producer), STATUS_OK);
    cluster_world_produce_numbers(&world, "t", 0, 0, 10, producer);
    uint32_t preferred = cluster_world_leader(&world, 1, "t", 0);
    struct key key = key_producer(copy_at(preferred, "t", 0)->group, 1 << 20); /* of nobody */
    put(preferred, key, SLICE_LITERAL("?"));
    cluster_world_crash(&world, preferred, IO_SIM_CRASH_POWER);
    cluster_world_start(&world, preferred);
    for (int i = 10; i < 20; i++)
        produce_elsewhere(preferred, i, producer);
    for (int i = 0; i < 20; i++) { /* it is given the lead now and then */
        cluster_world_run(&world, 1000);
        assert_int_not_equal(copy_at(preferred, "t", 0)->phase, PARTITION_READY);
        produce_elsewhere(preferred, 20 + i, producer);
    }
    uint32_t leader;
    do {
        leader = cluster_world_leader(&world, 1, "t", 0);
        cluster_world_run(&world, 20);
    } while (cluster_world_delete_records(&world, leader, "t", 0, 35) != STATUS_OK);
    assert_int_not_equal(leader, preferred);
    put(preferred, key, SLICE_EMPTY);
    cluster_world_run(&world, 20000);
    assert_int_equal(cluster_world_leader(&world, 1, "t", 0), preferred);
    assert_int_equal(copy_at(preferred, "t", 0)->log_start, 35);
    assert_status(cluster_world_append(&world, preferred, "t", 0, "39", producer, 39, &offset), STATUS_OK);
    assert_in_range(offset, 39, copy_at(preferred, "t", 0)->high_watermark - 1); /* it was there */
    assert_status(cluster_world_append(&world, preferred, "t", 0, "40", producer, 40, &offset), STATUS_OK);
    cluster_world_close(&world);
}

/* The same when it is opened anew because there was no room: its log counts as that of any other. */
static void a_copy_that_is_not_loaded_is_counted(void **state) {
    (void)state;
    open_with_topic(65, 1);
    cluster_world_produce_numbers(&world, "t", 0, 0, 10, -1);
    uint32_t leader = cluster_world_leader(&world, 1, "t", 0), full = leader % 3 + 1, other = full % 3 + 1;
    const struct partition *p = copy_at(full, "t", 0);
    struct key key = key_producer(p->group, 1 << 20);
    put(full, key, SLICE_LITERAL("?"));
    io_sim_disk_faults(world.sim, full - 1)->no_space_countdown = 1;
    cluster_world_produce_numbers(&world, "t", 0, 10, 20, -1);
    assert_status(raft_replica_health(p->replica), STATUS_NO_SPACE);
    cluster_world_run(&world, 3000);
    cluster_world_crash(&world, other, IO_SIM_CRASH_POWER);
    for (int i = 20; i < 30; i++)
        produce_elsewhere(full, i, -1);
    assert_int_equal(p->phase, PARTITION_FAILED);
    put(full, key, SLICE_EMPTY);
    cluster_world_run(&world, 3000);
    assert_int_equal(p->phase, PARTITION_READY);
    cluster_world_expect_numbers(&world, "t", 0, 30);
    cluster_world_close(&world);
}

/* Consumer groups whose stored state one node cannot read are coordinated by another. */
static void who_cannot_load_the_groups_does_not_coordinate_them(void **state) {
    (void)state;
    const struct slice group = SLICE_LITERAL("g");
    uint32_t index = coordinator_index(group);
    open_with_topic(66, 1);
    cluster_world_run(&world, 5000);
    uint32_t before = (uint32_t)broker_coordinator(world.nodes[1].broker, group), next = before % 3 + 1;
    put(next, key_state(COORDINATOR_GROUP_FIRST + index, SLICE_LITERAL("?")), SLICE_LITERAL("?"));
    struct raft_replica *replica = coordinator_replica(world.nodes[before].broker, index);
    uint64_t to = raft_id(next, world.nodes[next].broker->cluster->incarnation);
    assert_status(raft_replica_transfer(replica, to), STATUS_OK);
    uint64_t term = raft_replica_raft(replica)->term;
    cluster_world_run(&world, 5000);
    assert_in_range(raft_replica_raft(replica)->term, term + 2, UINT64_MAX); /* it did lead */
    uint32_t now = (uint32_t)broker_coordinator(world.nodes[before].broker, group);
    assert_int_not_equal(now, next);
    assert_status(coordinator_serves(world.nodes[now].broker, group), STATUS_OK);
    cluster_world_close(&world);
}

/* A topic is made while one disk is full: that node's copy is founded all the same when there is room. */
static void a_copy_is_founded_when_there_is_room(void **state) {
    (void)state;
    open_with_topic(61, 1);
    for (uint32_t round = 0; round < 12; round++) {
        uint32_t full = round % 3 + 1, asked = full % 3 + 1;
        char name[16];
        snprintf(name, sizeof name, "u%u", round);
        io_sim_disk_faults(world.sim, full - 1)->no_space_countdown = round / 3 + 1;
        enum status status = cluster_world_create(&world, asked, name, 1, 3);
        assert_true(status == STATUS_OK || status == STATUS_UNAVAILABLE);
        cluster_world_run(&world, 3000);
        io_sim_disk_faults(world.sim, full - 1)->no_space_countdown = 0;
        cluster_world_run(&world, 3000);
        if (broker_topic_find(world.nodes[asked].broker, slice_from_text(name)) == NULL) continue;
        for (uint32_t node = 1; node <= 3; node++) {
            const struct partition *p = copy_at(node, name, 0);
            assert_status(partition_replica_health(p), STATUS_OK);
            assert_non_null(raft_config(raft_replica_raft(p->replica)));
        }
    }
    cluster_world_close(&world);
}

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

/* What the node's disk says of the placement. */
static bool stored_as_placed(uint32_t node, const char *topic) {
    struct metadata stored;
    struct diagnostic why;
    metadata_init(&stored, 1);
    assert_status(metadata_log_load(world.nodes[node].broker, &stored, &why), STATUS_OK);
    const struct metadata_topic *found = metadata_find(&stored, slice_from_text(topic));
    bool placed = found != NULL && metadata_has_replica(&found->replicas[0], node);
    metadata_release(&stored);
    return placed;
}

/* False: it may be given another copy. */
static bool has_to_delete(uint32_t asked, uint32_t node, const char *topic) {
    const struct metadata_topic *found = metadata_find(&world.nodes[asked].broker->metadata,
                                                       slice_from_text(topic));
    return metadata_has_replica(&found->replicas[0], node) ||
           metadata_left_behind(&found->replicas[0], node) != NULL;
}

/* A node has no room to store that its copy went to another. Before it is stored after all, it does not say
 * that its copy is gone: a crash would bring the member back, and with it the deletion of a later copy. */
static void a_copy_is_gone_when_the_disk_knows_that_it_went(void **state) {
    (void)state;
    cluster_world_open(&world, 63, 4);
    cluster_world_run(&world, 3000);
    int32_t at = 2;
    static const int32_t first[] = {1, 2, 3};
    assert_status(cluster_world_create_on(&world, 1, "t", first, 3), STATUS_OK);
    cluster_world_produce_numbers(&world, "t", 0, 0, 5, -1);
    for (uint32_t round = 0; round < 24; round++) {
        int32_t other = 6 - at, target[] = {1, other, 3, 0}; /* 2 and 4 by turns */
        uint32_t node = (uint32_t)at;
        assert_status(cluster_world_move(&world, 1, "t", 0, target, 0), STATUS_OK);
        io_sim_disk_faults(world.sim, node - 1)->no_space_countdown = round / 2 + 1;
        for (int look = 0; look < 600; look++) {
            cluster_world_run(&world, 10);
            if (!has_to_delete(1, node, "t")) assert_false(stored_as_placed(node, "t"));
        }
        io_sim_disk_faults(world.sim, node - 1)->no_space_countdown = 0;
        assert_true(cluster_world_settle(&world, 1, "t", 30000));
        at = other;
    }
    cluster_world_close(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_that_cannot_be_opened_is_opened_later),
        cmocka_unit_test(a_copy_that_is_not_loaded_does_not_lead),
        cmocka_unit_test(a_copy_that_is_not_loaded_is_counted),
        cmocka_unit_test(who_cannot_load_the_groups_does_not_coordinate_them),
        cmocka_unit_test(a_copy_is_founded_when_there_is_room),
        cmocka_unit_test(who_is_far_behind_is_not_made_leader),
        cmocka_unit_test(a_copy_is_gone_when_the_disk_knows_that_it_went),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
