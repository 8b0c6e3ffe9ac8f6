// SPDX-License-Identifier: Apache-2.0
/* Whole brokers in bad company: clocks that are hours apart, links that work one way, a disk that cannot keep
 * up. docs/operations.md says of each what an operator sees. */
#include "lib/test.h"

#include <stdio.h>

#include "base/buffer.h"
#include "base/mem.h"
#include "broker/partition_replica.h"
#include "lib/cluster_world.h"

#define HOUR_MS ((int64_t)3600 * 1000)
#define BATCHES 1200 /* of 64 KiB */

static struct cluster_world world;
static int64_t producer; /* with an identity, so that a retry is stored once */

static void open_with_topic(uint64_t seed) {
    cluster_world_open(&world, seed, 3);
    cluster_world_run(&world, 3000);
    assert_status(cluster_world_create(&world, 1, "t", 1, 3), STATUS_OK);
    assert_status(cluster_world_producer_id(&world, 1, &producer), STATUS_OK);
}

static void produce(int from, int to) {
    cluster_world_produce_numbers(&world, "t", 0, from, to, producer);
}

static void expect_read(int count) {
    cluster_world_expect_numbers(&world, "t", 0, count);
}

static uint32_t leader_seen_by_others(uint32_t not ) {
    return cluster_world_leader(&world, not % 3 + 1, "t", 0);
}

/* Consensus goes by the monotonic clock: what the wall says changes nothing, also when leaders change. A
 * broker whose clock is more than an hour behind a producer's refuses its timestamps, as Kafka does. */
static void clocks_are_hours_apart(void **state) {
    (void)state;
    open_with_topic(1);
    int sent = 0;
    for (int round = 0; round < 4; round++) {
        for (uint32_t i = 0; i < 3; i++)
            io_sim_set_clock(world.sim, i, (int32_t)(i * 200) - 200, (int64_t)i * (round + 1) * 2 * HOUR_MS);
        produce(sent, sent + 10);
        sent += 10;
        uint32_t leader = cluster_world_leader(&world, 1, "t", 0);
        cluster_world_crash(&world, leader, IO_SIM_CRASH_POWER);
        cluster_world_start(&world, leader);
    }
    expect_read(sent);
    cluster_world_close(&world);
}

static void cut_leader(uint32_t leader, bool speaks, bool hears) {
    for (uint32_t i = 0; i < 3; i++) {
        if (i == leader - 1) continue;
        io_sim_cut(world.sim, leader - 1, i, !speaks);
        io_sim_cut(world.sim, i, leader - 1, !hears);
    }
}

/* A leader that is not heard, then one that does not hear: another takes over, and nothing is lost. */
static void links_work_one_way(void **state) {
    (void)state;
    for (int hears = 0; hears < 2; hears++) {
        open_with_topic(2);
        produce(0, 10);
        uint32_t leader = cluster_world_leader(&world, 1, "t", 0), next = leader;
        cut_leader(leader, !hears, hears);
        for (int i = 0; next == leader && i < 100; i++) {
            cluster_world_run(&world, 100);
            next = leader_seen_by_others(leader);
        }
        assert_int_not_equal(next, leader);
        assert_status(cluster_world_append(&world, next, "t", 0, "10", producer, 10, NULL), STATUS_OK);
        assert_int_not_equal(cluster_world_append(&world, leader, "t", 0, "lost", -1, 0, NULL), STATUS_OK);
        cut_leader(leader, true, true);
        cluster_world_run(&world, 5000);
        produce(11, 20);
        expect_read(20);
        cluster_world_close(&world);
    }
}

/* One disk is a thousand times slower than the others: producers do not notice, nothing piles up for it
 * without bound, and when it is mended it has everything. */
static void a_follower_cannot_keep_up(void **state) {
    (void)state;
    open_with_topic(3);
    produce(0, 1);
    uint32_t leader = cluster_world_leader(&world, 1, "t", 0), slow = leader % 3 + 1;
    io_sim_disk_faults(world.sim, slow - 1)->slow_factor = 1000;
    char *value = mem_calloc(1, 64 * KIB);
    memset(value, 'v', 64 * KIB - 1);
    size_t before = buffer_bytes_live();
    uint64_t began = io_sim_now(world.sim);
    for (int i = 0; i < BATCHES; i++)
        assert_status(cluster_world_append(&world, leader, "t", 0, value, -1, 0, NULL), STATUS_OK);
    assert_true(io_sim_now(world.sim) - began < BATCHES * 20 * NS_PER_MS);
    /* Windows, queues and memtables of three nodes: 19 to 37 MiB, as timing has it, however long this goes
     * on. All that it lacks would be 75. */
    assert_true(buffer_bytes_live() < before + 48 * MIB);
    mem_free(value);
    io_sim_disk_faults(world.sim, slow - 1)->slow_factor = 1;
    /* It can do without the others now. */
    for (int i = 0; i < 600; i++)
        cluster_world_run(&world, 100);
    uint32_t other = 6 - leader - slow;
    cluster_world_crash(&world, other, IO_SIM_CRASH_POWER);
    int64_t offset;
    uint32_t next = cluster_world_leader(&world, slow, "t", 0);
    assert_status(cluster_world_append(&world, next, "t", 0, "last", -1, 0, &offset), STATUS_OK);
    assert_int_equal(offset, 1 + BATCHES);
    cluster_world_close(&world);
}

static void changed(struct topic_change *change) {
    change->placement_count = 1; /* an answer came */
}

/* Partitions that the node tells of, each with its copies. */
static int32_t partitions_told(uint32_t node, const char *name) {
    struct broker *broker = world.nodes[node].broker;
    const struct broker_topic *topic = broker_topic_find(broker, slice_from_text(name));
    for (int32_t i = 0; topic != NULL && i < topic->partition_count; i++) {
        int32_t nodes[BROKER_REPLICAS_MAX];
        assert_int_equal(broker_partition_replicas(broker, topic, i, false, nodes), 3);
    }
    return topic == NULL ? 0 : topic->partition_count;
}

/* A disk is full while it should store a change of metadata that was applied: until it is stored after all,
 * the node goes on telling of what it told, and what was acknowledged meanwhile stays. */
static void what_a_node_told_it_tells_though_its_disk_is_full(void **state) {
    (void)state;
    open_with_topic(5);
    int sent = 0, went_back = 0;
    for (uint32_t round = 0; round < 24; round++) {
        uint32_t node = round % 3 + 1;
        char name[16];
        snprintf(name, sizeof name, "u%u", round);
        io_sim_disk_faults(world.sim, node - 1)->no_space_countdown = round / 3 + 1;
        struct topic_change more = {.kind = TOPIC_ADD_PARTITIONS,
                                    .name = SLICE_LITERAL("t"),
                                    .partition_count = (int32_t)round + 2,
                                    .done = changed};
        struct topic_change new = {.kind = TOPIC_CREATE,
                                   .name = slice_from_text(name),
                                   .partition_count = 1,
                                   .replication = 3,
                                   .config = topic_config_default(),
                                   .done = changed};
        broker_change_topic(world.nodes[node % 3 + 1].broker, &more);
        broker_change_topic(world.nodes[node % 3 + 1].broker, &new);
        int32_t most[2] = {0};
        for (int look = 0; look < 400; look++) {
            const int32_t told[2] = {partitions_told(node, "t"), partitions_told(node, name)};
            for (int i = 0; i < 2; i++) {
                went_back += told[i] < most[i];
                most[i] = MAX(most[i], told[i]);
            }
            cluster_world_run(&world, 10);
        }
        io_sim_disk_faults(world.sim, node - 1)->no_space_countdown = 0;
        for (int i = 0; i < 6000 && more.placement_count + new.placement_count < 2; i++)
            cluster_world_run(&world, 10);
        produce(sent, sent + 5);
        sent += 5;
    }
    assert_int_equal(went_back, 0);
    expect_read(sent);
    cluster_world_close(&world);
}

/* A copy that stands still, because there was no room, hears where the log begins just before it is opened
 * anew, from what is stored. */
static void a_log_begins_later_while_a_copy_is_opened_anew(void **state) {
    (void)state;
    uint64_t opened = UINT64_MAX; /* the first time tells when that is */
    for (uint64_t before = 0; before < 2 * NS_PER_MS; before += 100 * NS_PER_US) {
        open_with_topic(4);
        produce(0, 50);
        uint32_t leader = cluster_world_leader(&world, 1, "t", 0), full = leader % 3 + 1;
        struct partition *p = broker_partition(world.nodes[full].broker, SLICE_LITERAL("t"), 0);
        cluster_world_run(&world, 1000);
        io_sim_disk_faults(world.sim, full - 1)->no_space_countdown = 1;
        produce(50, 60);
        assert_status(raft_replica_health(p->replica), STATUS_NO_SPACE);
        while (raft_replica_health(p->replica) != STATUS_OK && io_sim_now(world.sim) < opened - before)
            io_sim_run_until(world.sim, io_sim_now(world.sim) + 20 * NS_PER_US);
        if (raft_replica_health(p->replica) == STATUS_OK) opened = io_sim_now(world.sim);
        partition_replica_follow_start(p, 50);
        cluster_world_run(&world, 3000);
        assert_status(raft_replica_health(p->replica), STATUS_OK);
        partition_check(p);
        produce(60, 70);
        cluster_world_close(&world);
    }
}

/* A node's disk fails for good while it writes for one partition. The others that it leads are at rest, and
 * would not find out: their writers are refused before anything is written. They get other leaders. */
static void a_node_whose_disk_failed_leads_nothing(void **state) {
    (void)state;
    cluster_world_open(&world, 7, 3);
    cluster_world_run(&world, 3000);
    assert_status(cluster_world_create(&world, 1, "t", 9, 3), STATUS_OK);
    for (int p = 0; p < 9; p++)
        cluster_world_produce(&world, "t", p, "before", -1, 0);
    cluster_world_run(&world, 10000);
    uint32_t broken = cluster_world_leader(&world, 1, "t", 0), asked = broken % 3 + 1;
    io_sim_disk_faults(world.sim, broken - 1)->sync_error_countdown = 1;
    assert_int_not_equal(cluster_world_append(&world, broken, "t", 0, "lost", -1, 0, NULL), STATUS_OK);
    assert_int_not_equal(broker_health(world.nodes[broken].broker), STATUS_OK);
    cluster_world_run(&world, 5000);
    for (int p = 0; p < 9; p++) {
        uint32_t leader = cluster_world_leader(&world, asked, "t", p);
        assert_int_not_equal(leader, broken);
        assert_status(cluster_world_append(&world, leader, "t", p, "after", -1, 0, NULL), STATUS_OK);
    }
    cluster_world_close(&world);
}

/* The disk fails when the leader of a partition at rest shortens its log: its followers sleep, and hear its
 * node. */
static void a_leader_that_fails_in_its_sleep_is_missed(void **state) {
    (void)state;
    open_with_topic(8);
    produce(0, 20);
    cluster_world_run(&world, 10000);
    uint32_t broken = cluster_world_leader(&world, 1, "t", 0), asked = broken % 3 + 1;
    struct partition *p = broker_partition(world.nodes[broken].broker, SLICE_LITERAL("t"), 0);
    assert_true(raft_replica_raft(p->replica)->asleep);
    io_sim_disk_faults(world.sim, broken - 1)->sync_error_countdown = 1;
    raft_replica_compact(p->replica, 10);
    cluster_world_run(&world, 5000);
    assert_int_not_equal(raft_replica_health(p->replica), STATUS_OK);
    assert_int_not_equal(cluster_world_leader(&world, asked, "t", 0), broken);
    cluster_world_close(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(clocks_are_hours_apart),
        cmocka_unit_test(links_work_one_way),
        cmocka_unit_test(what_a_node_told_it_tells_though_its_disk_is_full),
        cmocka_unit_test(a_follower_cannot_keep_up),
        cmocka_unit_test(a_node_whose_disk_failed_leads_nothing),
        cmocka_unit_test(a_leader_that_fails_in_its_sleep_is_missed),
        cmocka_unit_test(a_log_begins_later_while_a_copy_is_opened_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
