// SPDX-License-Identifier: Apache-2.0
/* Partitions move between nodes, and nodes come and go, while records are written. */
#include "lib/test.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/prng.h"
#include "broker/cluster.h"
#include "broker/controller.h"
#include "broker/coordinator.h"
#include "broker/keys.h"
#include "broker/moves.h"
#include "broker/raft_store.h"
#include "lib/cluster_world.h"

static struct cluster_world world;

static void open_world(uint64_t seed, uint32_t nodes) {
    cluster_world_open(&world, seed, nodes);
    cluster_world_run(&world, 3000);
}

static void create_on(uint32_t asked, const char *topic, int partitions, int replicas) {
    enum status status = STATUS_UNAVAILABLE;
    for (int i = 0; i < 3 && status == STATUS_UNAVAILABLE; i++)
        status = cluster_world_create(&world, asked, topic, partitions, replicas);
    if (status != STATUS_EXISTS)
        assert_status(status, STATUS_OK); /* EXISTS: of a try that was not answered */
}

static uint32_t replicas_of(uint32_t asked, const char *topic, int partition,
                            int32_t nodes[BROKER_REPLICAS_MAX]) {
    struct broker *broker = world.nodes[asked].broker;
    return broker_partition_replicas(broker, broker_topic_find(broker, slice_from_text(topic)), partition,
                                     false, nodes);
}

static bool has(const int32_t *nodes, uint32_t count, uint32_t node) {
    for (uint32_t i = 0; i < count; i++)
        if (nodes[i] == (int32_t)node) return true;
    return false;
}

static void a_partition_moves_to_other_nodes_and_leaves_nothing_behind(void **state) {
    (void)state;
    open_world(1, 4);
    create_on(1, "t", 2, 2);
    cluster_world_produce_numbers(&world, "t", 0, 0, 60, -1);
    cluster_world_produce_numbers(&world, "t", 1, 0, 20, -1);
    int32_t old[BROKER_REPLICAS_MAX], now[BROKER_REPLICAS_MAX], target[3] = {0};
    assert_int_equal(replicas_of(1, "t", 0, old), 2);
    for (uint32_t node = 1, count = 0; node <= 4; node++)
        if (!has(old, 2, node)) target[count++] = (int32_t)node;
    assert_status(cluster_world_move(&world, 3, "t", 0, target, 0), STATUS_OK);
    cluster_world_produce_numbers(&world, "t", 0, 60, 90, -1);
    assert_true(cluster_world_settle(&world, 1, "t", 30000));
    assert_int_equal(replicas_of(2, "t", 0, now), 2);
    assert_memory_equal(now, target, 2 * sizeof *now);
    cluster_world_produce_numbers(&world, "t", 0, 90, 100, -1);
    cluster_world_run(&world, 6000); /* leadership goes where it is wanted */
    assert_int_equal(cluster_world_leader(&world, 1, "t", 0), target[0]);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(cluster_world_keys(&world, (uint32_t)old[i], "t", 0), 0);
        assert_true(cluster_world_keys(&world, (uint32_t)target[i], "t", 0) > 0);
    }
    /* Those it came from are not needed any more; one of them comes back later. */
    cluster_world_crash(&world, (uint32_t)old[0], IO_SIM_CRASH_POWER);
    world.forward = false;
    cluster_world_produce_numbers(&world, "t", 0, 100, 110, -1);
    cluster_world_expect_numbers(&world, "t", 0, 110);
    cluster_world_start(&world, (uint32_t)old[0]);
    cluster_world_run(&world, 3000);
    assert_int_equal(cluster_world_keys(&world, (uint32_t)old[0], "t", 0), 0);
    cluster_world_expect_numbers(&world, "t", 1, 20);
    cluster_world_close(&world);
}

static void replicas_are_added_and_taken_away(void **state) {
    (void)state;
    open_world(2, 3);
    create_on(2, "t", 1, 1);
    cluster_world_produce_numbers(&world, "t", 0, 0, 40, -1);
    int32_t nodes[BROKER_REPLICAS_MAX];
    static const int counts[] = {3, 2, 1, 3, 1};
    for (unsigned i = 0; i < ARRAY_COUNT(counts); i++) {
        assert_status(cluster_world_move(&world, i % 3 + 1, "t", 0, NULL, counts[i]), STATUS_OK);
        cluster_world_produce_numbers(&world, "t", 0, 40 + (int)i * 5, 45 + (int)i * 5, -1);
        assert_true(cluster_world_settle(&world, 1, "t", 30000));
        assert_int_equal(replicas_of(3, "t", 0, nodes), counts[i]);
        assert_int_equal(broker_topic_find(world.nodes[2].broker, SLICE_LITERAL("t"))->replication,
                         counts[i]);
        for (uint32_t node = 1; node <= 3; node++)
            assert_int_equal(cluster_world_keys(&world, node, "t", 0) > 0,
                             has(nodes, (uint32_t)counts[i], node));
    }
    cluster_world_expect_numbers(&world, "t", 0, 65);
    assert_status(cluster_world_move(&world, 1, "t", 0, NULL, 4), STATUS_INVALID_REPLICATION);
    assert_status(cluster_world_move(&world, 1, "t", 0, (int32_t[]){1, 9, 0}, 0), STATUS_INVALID_REPLICATION);
    assert_status(cluster_world_move(&world, 1, "t", 0, (int32_t[]){1, 1, 0}, 0), STATUS_INVALID_REPLICATION);
    assert_status(cluster_world_move(&world, 1, "t", 1, NULL, 1), STATUS_UNKNOWN_TOPIC);
    assert_status(cluster_world_move(&world, 1, "u", 0, NULL, 1), STATUS_UNKNOWN_TOPIC);
    assert_status(cluster_world_cancel_move(&world, 1, "t", 0), STATUS_NOT_FOUND);
    cluster_world_close(&world);
}

/* The node that should get it is not there: the move waits, and can be taken back. */
static void a_move_is_cancelled(void **state) {
    (void)state;
    open_world(3, 4);
    create_on(1, "t", 1, 3);
    cluster_world_produce_numbers(&world, "t", 0, 0, 30, -1);
    int32_t old[BROKER_REPLICAS_MAX], now[BROKER_REPLICAS_MAX];
    replicas_of(1, "t", 0, old);
    uint32_t fourth = 1;
    while (has(old, 3, fourth))
        fourth++;
    uint32_t asked = (uint32_t)old[2];
    cluster_world_crash(&world, fourth, IO_SIM_CRASH_POWER);
    int32_t target[] = {(int32_t)fourth, old[1], old[0], 0};
    assert_status(cluster_world_move(&world, asked, "t", 0, target, 0), STATUS_OK);
    cluster_world_produce_numbers(&world, "t", 0, 30, 40, -1);
    assert_false(cluster_world_settle(&world, asked, "t", 8000));
    struct partition_move move;
    assert_true(broker_partition_move(world.nodes[asked].broker,
                                      broker_topic_find(world.nodes[asked].broker, SLICE_LITERAL("t")), 0,
                                      &move));
    assert_true(move.moving && move.adding_count == 1 && move.adding[0] == (int32_t)fourth);
    assert_true(move.removing_count == 1 && move.removing[0] == old[2]);
    assert_status(cluster_world_cancel_move(&world, asked, "t", 0), STATUS_OK);
    cluster_world_run(&world, 3000);
    replicas_of(asked, "t", 0, now);
    assert_memory_equal(now, old, 3 * sizeof *now);
    cluster_world_start(&world, fourth);
    assert_true(cluster_world_settle(&world, asked, "t", 20000));
    assert_int_equal(cluster_world_keys(&world, fourth, "t", 0), 0);
    cluster_world_produce_numbers(&world, "t", 0, 40, 50, -1);
    cluster_world_expect_numbers(&world, "t", 0, 50);
    cluster_world_close(&world);
}

/* Whoever crashes while partitions move: nothing is lost, nothing stands twice, and the moves come to an end.
 */
static void moves_survive_crashes(void **state) {
    (void)state;
    for (uint64_t seed = 100; seed < 108; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        open_world(seed, 5);
        create_on(1, "t", 2, 3);
        int64_t producer;
        assert_status(cluster_world_producer_id(&world, 2, &producer), STATUS_OK);
        int next[2] = {0};
        for (int round = 0; round < 12; round++) {
            uint32_t victim = (uint32_t)prng_below(&prng, 5) + 1, asked = victim % 5 + 1;
            int p = (int)prng_below(&prng, 2);
            int32_t target[4] = {0};
            for (uint32_t n = 0, first = (uint32_t)prng_below(&prng, 5); n < 3; n++)
                target[n] = (int32_t)((first + n * 2) % 5 + 1);
            enum status status = cluster_world_move(&world, asked, "t", p, target, 0);
            assert_true(status == STATUS_OK || status == STATUS_UNAVAILABLE || status == STATUS_BUSY);
            cluster_world_run(&world, prng_below(&prng, 1200));
            cluster_world_crash(&world, victim, IO_SIM_CRASH_POWER);
            cluster_world_run(&world, prng_below(&prng, 1500));
            for (int i = 0; i < 2; i++) {
                cluster_world_produce_numbers(&world, "t", i, next[i], next[i] + 4, producer);
                next[i] += 4;
            }
            cluster_world_start(&world, victim);
            cluster_world_run(&world, prng_below(&prng, 3000));
        }
        assert_true(cluster_world_settle(&world, 1, "t", 60000));
        for (int i = 0; i < 2; i++) {
            int32_t nodes[BROKER_REPLICAS_MAX];
            uint32_t count = replicas_of(1, "t", i, nodes);
            cluster_world_expect_numbers(&world, "t", i, next[i]);
            for (uint32_t node = 1; node <= 5; node++)
                assert_int_equal(cluster_world_keys(&world, node, "t", i) > 0, has(nodes, count, node));
        }
        cluster_world_close(&world);
    }
}

static struct raft_replica *replica_at(uint32_t node) {
    struct broker *broker = world.nodes[node].broker;
    const struct topic_state *topic = (const struct topic_state *)broker_topic_find(broker,
                                                                                    SLICE_LITERAL("t"));
    return topic == NULL ? NULL : raft_host_find(broker->cluster->host, topic->groups[0]);
}

static void cut(uint32_t a, uint32_t b, bool apart) {
    io_sim_cut(world.sim, a - 1, b - 1, apart);
    io_sim_cut(world.sim, b - 1, a - 1, apart);
}

/* A node that was cut off still knows the first members. One of them gave its copy away, and gets the
 * partition again: with an empty log it must not help the other to lead what was committed without it. */
static void who_gave_its_copy_away_elects_nobody_from_before(void **state) {
    (void)state;
    open_world(30, 5);
    int32_t first[] = {1, 2, 3}, second[] = {1, 4, 5, 0}, third[] = {1, 4, 2, 0};
    assert_status(cluster_world_create_on(&world, 4, "t", first, 3), STATUS_OK);
    cluster_world_produce_numbers(&world, "t", 0, 0, 10, -1);
    for (uint32_t node = 1; node <= 5; node++)
        if (node != 3) cut(3, node, true);
    cluster_world_produce_numbers(&world, "t", 0, 10, 20, -1);
    assert_status(cluster_world_move(&world, 4, "t", 0, second, 0), STATUS_OK);
    for (int i = 0; i < 400 && replica_at(2) != NULL; i++)
        cluster_world_run(&world, 50);
    assert_null(replica_at(2));
    cluster_world_run(&world, 3000); /* it has said so */
    assert_status(cluster_world_move(&world, 4, "t", 0, third, 0), STATUS_OK);
    for (int i = 0; i < 2000 && replica_at(2) == NULL; i++)
        cluster_world_run(&world, 1);
    assert_non_null(replica_at(2));
    for (uint32_t node = 1; node <= 5; node++)
        if (node != 2 && node != 3) cut(2, node, true);
    cut(2, 3, false);
    for (int i = 0; i < 400; i++) {
        cluster_world_run(&world, 20);
        assert_false(raft_replica_is_leader(replica_at(3)));
        assert_false(raft_replica_is_leader(replica_at(2)));
    }
    for (uint32_t node = 1; node <= 5; node++) {
        if (node != 2) cut(2, node, false);
        if (node != 3) cut(3, node, false);
    }
    assert_true(cluster_world_settle(&world, 4, "t", 60000));
    cluster_world_crash(&world, 1, IO_SIM_CRASH_POWER);
    cluster_world_produce_numbers(&world, "t", 0, 20, 25,
                                  -1); /* it votes again, now that it has everything */
    cluster_world_expect_numbers(&world, "t", 0, 25);
    cluster_world_close(&world);
}

static void stored(struct store_write *write) {
    assert_status(write->status, STATUS_OK);
    store_write_release(write);
}

static struct raft_floor floor_at(uint32_t node, uint64_t group) {
    struct raft_floor floor;
    assert_status(raft_store_load_floor(world.nodes[node].broker->store, group, &floor), STATUS_OK);
    return floor;
}

/* Nobody can open its log any more; it is given away all the same, and remembers that it was somewhere. */
static void a_copy_that_cannot_be_opened_is_given_away(void **state) {
    (void)state;
    open_world(31, 4);
    int32_t first[] = {1, 2, 3}, second[] = {1, 4, 3, 0}, third[] = {1, 4, 2, 0};
    assert_status(cluster_world_create_on(&world, 1, "t", first, 3), STATUS_OK);
    cluster_world_produce_numbers(&world, "t", 0, 0, 10, -1);
    uint64_t group = raft_replica_group(replica_at(2)), end = raft_replica_raft(replica_at(2))->log.end;
    static const uint8_t rubbish[] = {1, 2, 3};
    struct key key = key_raft(group, 't', 0);
    struct store_write write;
    store_write_init(&write, stored);
    store_put(&write, key_slice(&key), (struct shared_slice){slice_make(rubbish, sizeof rubbish), NULL});
    store_write_submit(world.nodes[2].broker->store, &write);
    cluster_world_run(&world, 100);
    cluster_world_crash(&world, 2, IO_SIM_CRASH_POWER);
    cluster_world_start(&world, 2);
    cluster_world_run(&world, 3000);
    assert_null(replica_at(2));
    assert_status(cluster_world_move(&world, 4, "t", 0, second, 0), STATUS_OK);
    assert_true(cluster_world_settle(&world, 4, "t", 30000));
    assert_int_equal(cluster_world_keys(&world, 2, "t", 0), 0);
    struct raft_floor floor = floor_at(2, group);
    assert_true(floor.end == end && end >= 10 && floor.term > 0 && floor.term < 100);
    assert_status(cluster_world_move(&world, 4, "t", 0, third, 0), STATUS_OK);
    assert_true(cluster_world_settle(&world, 4, "t", 30000));
    cluster_world_produce_numbers(&world, "t", 0, 10, 20, -1);
    assert_non_null(replica_at(2));
    cluster_world_expect_numbers(&world, "t", 0, 20);
    cluster_world_close(&world);
}

/* Whoever asks in the first moments waits for the nodes that are there. */
static void the_first_topic_waits_for_its_nodes(void **state) {
    (void)state;
    for (uint64_t seed = 80; seed < 90; seed++) {
        cluster_world_open(&world, seed, 3);
        enum status status = STATUS_UNAVAILABLE;
        for (int i = 0; i < 3000 && status == STATUS_UNAVAILABLE; i++) {
            cluster_world_run(&world, 1);
            status = cluster_world_create(&world, (uint32_t)seed % 3 + 1, "t", 2, 3);
        }
        if (status != STATUS_EXISTS) assert_status(status, STATUS_OK); /* of a try that was not answered */
        cluster_world_close(&world);
    }
}

static uint32_t leads(uint32_t asked, uint32_t node, const char *topic, int partitions) {
    uint32_t count = 0;
    for (int p = 0; p < partitions; p++)
        count += cluster_world_leader(&world, asked, topic, p) == node;
    return count;
}

static bool is_node(uint32_t asked, uint32_t node) {
    struct broker_node nodes[BROKER_NODES_MAX];
    uint32_t count = broker_nodes(world.nodes[asked].broker, nodes);
    for (uint32_t i = 0; i < count; i++)
        if (nodes[i].node == (int32_t)node) return true;
    return false;
}

/* Until nothing is on it. */
/* Who was down hears of everything at once. */
static void tell_by_snapshot(void) {
    for (uint32_t node = 1; node <= world.count; node++) {
        if (world.nodes[node].broker == NULL) continue;
        struct raft_replica *controller = controller_replica(world.nodes[node].broker->cluster);
        raft_replica_compact(controller, raft_replica_applied(controller));
    }
    cluster_world_run(&world, 1000);
}

/* One of three founders loses its disk before the others have heard that there is a partition, and they hear of
 * both at once: they are a majority that has nothing, so nothing was acknowledged; they found it, and take the
 * new disk in. When two lose it, nobody may: the third cannot know what they had. */
static void a_founder_loses_its_disk_before_the_others_hear_of_the_partition(void **state) {
    (void)state;
    for (uint32_t lost = 1; lost <= 2; lost++) {
        open_world(12 + lost, 7);
        for (uint32_t node = 6; node <= 7; node++)
            cluster_world_crash(&world, node, IO_SIM_CRASH_POWER);
        cluster_world_run(&world, 3000);
        assert_status(cluster_world_create_on(&world, 1, "t", (int32_t[]){5, 6, 7}, 3), STATUS_OK);
        cluster_world_run(&world, 1000);
        cluster_world_crash(&world, 5, IO_SIM_CRASH_POWER);
        io_sim_wipe_disk(world.sim, 4);
        cluster_world_start(&world, 5);
        cluster_world_run(&world, 5000);
        tell_by_snapshot();
        if (lost == 2) io_sim_wipe_disk(world.sim, 5);
        for (uint32_t node = 6; node <= 7; node++)
            cluster_world_start(&world, node);
        cluster_world_run(&world, 20000);
        const struct broker_topic *topic = broker_topic_find(world.nodes[1].broker, SLICE_LITERAL("t"));
        bool led = broker_partition_leader(world.nodes[1].broker, topic, 0).node > 0;
        assert_int_equal(led, lost == 1);
        if (led) {
            cluster_world_produce_numbers(&world, "t", 0, 0, 20, -1);
            assert_true(cluster_world_settle(&world, 1, "t", 30000));
            cluster_world_crash(&world, 6, IO_SIM_CRASH_POWER); /* the new disk counts */
            cluster_world_expect_numbers(&world, "t", 0, 20);
        }
        cluster_world_close(&world);
    }
}

/* The founders were down when it was made, and it is to go elsewhere before they have heard of either: they
 * found it all the same, and then it goes. */
static void a_partition_moves_before_anybody_founded_it(void **state) {
    (void)state;
    open_world(11, 5);
    for (uint32_t node = 4; node <= 5; node++)
        cluster_world_crash(&world, node, IO_SIM_CRASH_POWER);
    cluster_world_run(&world, 3000);
    assert_status(cluster_world_create_on(&world, 1, "t", (int32_t[]){4, 5}, 2), STATUS_OK);
    assert_status(cluster_world_move(&world, 1, "t", 0, (int32_t[]){2, 3, 0}, 0), STATUS_OK);
    cluster_world_run(&world, 1000);
    tell_by_snapshot();
    for (uint32_t node = 4; node <= 5; node++)
        cluster_world_start(&world, node);
    assert_true(cluster_world_settle(&world, 1, "t", 30000));
    int32_t nodes[BROKER_REPLICAS_MAX];
    assert_int_equal(replicas_of(4, "t", 0, nodes), 2);
    assert_int_equal(nodes[0] + nodes[1], 2 + 3);
    cluster_world_produce_numbers(&world, "t", 0, 0, 20, -1);
    cluster_world_expect_numbers(&world, "t", 0, 20);
    for (uint32_t node = 4; node <= 5; node++)
        assert_int_equal(cluster_world_keys(&world, node, "t", 0), 0);
    cluster_world_close(&world);
}

static void drain(uint32_t asked, uint32_t node, const char *topic, int partitions) {
    assert_status(cluster_world_change_node(&world, asked, NODE_DRAIN, node), STATUS_OK);
    for (int waited = 0; waited < 200; waited++) {
        int32_t nodes[BROKER_REPLICAS_MAX];
        bool placed = false;
        for (int p = 0; p < partitions; p++)
            placed |= has(nodes, replicas_of(asked, topic, p, nodes), node);
        if (!placed && cluster_world_settle(&world, asked, topic, 0)) return;
        cluster_world_run(&world, 200);
    }
    fail_msg("node %u is not drained", node);
}

static uint64_t catch_up_rate(uint32_t node) {
    struct broker_group_stats stats;
    broker_group_stats(world.nodes[node].broker, &stats);
    return stats.catch_up_rate;
}

static void say_catch_up_rate(int64_t rate, uint64_t expected) {
    world.rate = rate;
    assert_status(cluster_world_change_node(&world, 2, NODE_CATCH_UP_RATE, 0), STATUS_OK);
    cluster_world_run(&world, 1000);
    for (uint32_t node = 1; node <= 3; node++) {
        assert_int_equal(catch_up_rate(node), expected);
        assert_int_equal(broker_catch_up_rate(world.nodes[node].broker), rate);
    }
}

/* Said to one node, kept by all, also those that were away, until it is taken back. */
static void the_limit_of_copying_is_changed_live(void **state) {
    (void)state;
    open_world(41, 3);
    assert_int_equal(broker_catch_up_rate(world.nodes[1].broker), -1);
    say_catch_up_rate(123456, 123456);
    cluster_world_crash(&world, 3, IO_SIM_CRASH_POWER);
    cluster_world_start(&world, 3);
    cluster_world_run(&world, 3000);
    assert_int_equal(catch_up_rate(3), 123456);
    say_catch_up_rate(0, 0);
    say_catch_up_rate(-1, 0);
    cluster_world_close(&world);
}

static void a_node_joins_is_drained_and_goes(void **state) {
    (void)state;
    open_world(40, 3);
    create_on(1, "t", 6, 3);
    for (int p = 0; p < 6; p++)
        cluster_world_produce_numbers(&world, "t", p, 0, 10, -1);
    assert_status(cluster_world_change_node(&world, 1, NODE_DRAIN, 1), STATUS_INVALID_REPLICATION);
    assert_non_null(strstr(world.why.text, "add a node first"));
    uint32_t fourth = cluster_world_add(&world, 2);
    assert_status(cluster_world_change_node(&world, 2, NODE_ADD, fourth), STATUS_EXISTS);
    cluster_world_run(&world, 3000);
    struct broker_node nodes[BROKER_NODES_MAX];
    assert_int_equal(broker_nodes(world.nodes[1].broker, nodes), 4);
    assert_true(nodes[3].up && nodes[3].incarnation != 0);
    /* It serves what others hold, and takes new topics. */
    create_on(fourth, "u", 4, 3);
    assert_status(cluster_world_change_node(&world, 1, NODE_REMOVE, 2), STATUS_IN_USE);
    assert_non_null(strstr(world.why.text, "cluster drain 2"));
    drain(1, 2, "t", 6);
    assert_true(cluster_world_settle(&world, 1, "u", 20000));
    for (int p = 0; p < 6; p++) {
        cluster_world_produce_numbers(&world, "t", p, 10, 15, -1);
        assert_int_equal(cluster_world_keys(&world, 2, "t", p), 0);
    }
    assert_int_equal(leads(1, 2, "t", 6), 0);
    cluster_world_run(&world, 2000);
    for (int i = 0; i < 200; i++) {
        char name[32];
        snprintf(name, sizeof name, "group-%d", i);
        assert_int_not_equal(broker_coordinator(world.nodes[1].broker, slice_from_text(name)), 2);
    }
    assert_int_not_equal(broker_controller(world.nodes[1].broker), 2);
    assert_status(cluster_world_change_node(&world, fourth, NODE_REMOVE, 2), STATUS_OK);
    cluster_world_run(&world, 2000);
    assert_false(is_node(1, 2));
    assert_false(is_node(fourth, 2));
    /* Its disk never comes back; the three that are left can lose one, whichever it is. */
    cluster_world_run(&world, 3000);
    assert_false(is_node(1, 2));
    cluster_world_crash(&world, 2, IO_SIM_CRASH_POWER);
    int next = 15;
    static const uint32_t left[] = {1, 3, 4};
    for (unsigned i = 0; i < ARRAY_COUNT(left); i++, next += 5) {
        cluster_world_crash(&world, left[i], IO_SIM_CRASH_POWER);
        cluster_world_produce_numbers(&world, "t", 0, next, next + 5, -1);
        create_on(left[(i + 1) % 3], i == 0 ? "v" : i == 1 ? "w" : "x", 1, 2);
        cluster_world_start(&world, left[i]);
        cluster_world_run(&world, 3000);
    }
    cluster_world_expect_numbers(&world, "t", 0, next);
    cluster_world_start(&world, 2);
    cluster_world_run(&world, 3000);
    assert_false(is_node(1, 2));
    cluster_world_close(&world);
}

/* More partitions than are asked for at once find no room: those behind them do not wait for it. */
static void a_drain_passes_over_what_has_no_room(void **state) {
    (void)state;
    open_world(41, 4);
    create_on(1, "big", MOVES_DRAINING_MAX + 6, 3);
    int32_t nodes[BROKER_REPLICAS_MAX], first[] = {4, 3};
    for (int p = 0; p < MOVES_DRAINING_MAX + 6; p++) {
        int32_t target[] = {4, 3, 1, 0};
        assert_int_equal(replicas_of(1, "big", p, nodes), 3);
        MAYBE(cluster_world_move(&world, 1, "big", p, target, 0));
    }
    assert_true(cluster_world_settle(&world, 1, "big", 60000));
    assert_status(cluster_world_create_on(&world, 1, "small", first, 2), STATUS_OK);
    cluster_world_crash(&world, 2, IO_SIM_CRASH_POWER);
    cluster_world_run(&world, 3000);
    assert_status(cluster_world_change_node(&world, 1, NODE_DRAIN, 4), STATUS_OK);
    bool placed = true;
    for (int waited = 0; waited < 100 && placed; waited++) {
        cluster_world_run(&world, 200);
        placed = has(nodes, replicas_of(1, "small", 0, nodes), 4);
    }
    assert_false(placed);
    for (int p = 0; p < MOVES_DRAINING_MAX + 6; p++)
        assert_true(has(nodes, replicas_of(1, "big", p, nodes), 4));
    cluster_world_close(&world);
}

struct waiting_call {
    struct group_call call;
    int64_t offset;
    bool done;
};

static void group_answered(struct group_call *call, const struct group_reply *reply) {
    struct waiting_call *waiting = CONTAINER_OF(call, struct waiting_call, call);
    const struct group_offset *offset = reply->group == NULL
                                            ? NULL
                                            : group_offset_find(reply->group, SLICE_LITERAL("t"), 1);
    waiting->offset = offset == NULL ? -1 : offset->offset;
}

static void group_done(struct group_call *call) {
    CONTAINER_OF(call, struct waiting_call, call)->done = true;
}

/* Commits (offset >= 0) or reads; the offset there is. */
static int64_t group_offset(uint32_t node, const char *group, int64_t commit) {
    for (int attempt = 0; attempt < 50; attempt++) {
        struct waiting_call waiting = {
            .call = {.answer = group_answered, .done = group_done, .forward = true}, .offset = -1};
        struct group_commit_offset one = {
            .topic = SLICE_LITERAL("t"), .partition = 1, .offset = commit, .leader_epoch = -1};
        const struct group_commit all = {
            .who = {.group = slice_from_text(group), .generation = -1}, .offsets = &one, .offset_count = 1};
        if (commit >= 0)
            coordinator_commit(world.nodes[node].broker, &waiting.call, &all);
        else
            coordinator_read(world.nodes[node].broker, &waiting.call, &all.who);
        for (int i = 0; i < 4000 && !waiting.done; i++)
            cluster_world_run(&world, 5);
        assert_true(waiting.done);
        if (waiting.call.status == STATUS_OK) return waiting.offset;
        cluster_world_run(&world, 100);
    }
    fail_msg("nobody coordinates %s", group);
    return -1;
}

#define GROUPS 20

/* A broker that ran alone becomes the first of three, with its records, its offsets and its producers. */
static void a_single_broker_grows_to_three(void **state) {
    (void)state;
    static const int record_counts[] = {0, 1, 90};
    for (unsigned r = 0; r < ARRAY_COUNT(record_counts); r++) {
        int count = record_counts[r];
        cluster_world_open_alone(&world, 70 + r);
        cluster_world_run(&world, 500);
        create_on(1, "t", 2, 1);
        int64_t producer;
        assert_status(cluster_world_producer_id(&world, 1, &producer), STATUS_OK);
        cluster_world_produce_numbers(&world, "t", 0, 0, count, producer);
        if (count > 50) assert_status(cluster_world_delete_records(&world, 1, "t", 0, 33), STATUS_OK);
        char name[32];
        for (int g = 0; g < GROUPS; g++) {
            snprintf(name, sizeof name, "group-%d", g);
            MAYBE(group_offset(1, name, g) < 0);
        }
        char id[32];
        snprintf(id, sizeof id, "%s", broker_cluster_id(world.nodes[1].broker));
        if (r == 1)
            cluster_world_crash(&world, 1, IO_SIM_CRASH_POWER);
        else
            cluster_world_shutdown(&world, 1);
        cluster_world_grow(&world, 3);
        cluster_world_run(&world, 4000);
        for (uint32_t node = 1; node <= 3; node++)
            assert_string_equal(broker_cluster_id(world.nodes[node].broker), id);
        /* The retry of a batch that was stored before is known; the next one follows. */
        if (count > 0) {
            char value[32];
            int64_t offset;
            snprintf(value, sizeof value, "%d", count - 1);
            assert_status(cluster_world_append(&world, 1, "t", 0, value, producer, count - 1, &offset),
                          STATUS_OK);
            assert_int_equal(offset, count - 1);
        }
        cluster_world_produce_numbers(&world, "t", 0, count, count + 5, producer);
        for (int p = 0; p < 2; p++)
            assert_status(cluster_world_move(&world, 3, "t", p, NULL, 3), STATUS_OK);
        assert_true(cluster_world_settle(&world, 2, "t", 30000));
        cluster_world_run(&world, 3000);
        /* Also without the one that had it all. */
        cluster_world_crash(&world, 1, IO_SIM_CRASH_POWER);
        for (int g = 0; g < GROUPS; g++) {
            snprintf(name, sizeof name, "group-%d", g);
            assert_int_equal(group_offset(2, name, -1), g);
        }
        cluster_world_produce_numbers(&world, "t", 0, count + 5, count + 10, producer);
        cluster_world_produce_numbers(&world, "t", 1, 0, 3, -1);
        create_on(2, "u", 1, 2);
        cluster_world_start(&world, 1);
        cluster_world_run(&world, 3000);
        if (count <= 50) cluster_world_expect_numbers(&world, "t", 0, count + 10);
        cluster_world_expect_numbers(&world, "t", 1, 3);
        struct partition_info info;
        uint32_t leader = cluster_world_leader(&world, 1, "t", 0);
        assert_status(broker_partition_info(world.nodes[leader].broker, SLICE_LITERAL("t"), 0, &info),
                      STATUS_OK);
        assert_int_equal(info.log_start_offset, count > 50 ? 33 : 0);
        cluster_world_close(&world);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_partition_moves_to_other_nodes_and_leaves_nothing_behind),
        cmocka_unit_test(replicas_are_added_and_taken_away),
        cmocka_unit_test(a_move_is_cancelled),
        cmocka_unit_test(moves_survive_crashes),
        cmocka_unit_test(who_gave_its_copy_away_elects_nobody_from_before),
        cmocka_unit_test(a_copy_that_cannot_be_opened_is_given_away),
        cmocka_unit_test(a_partition_moves_before_anybody_founded_it),
        cmocka_unit_test(a_founder_loses_its_disk_before_the_others_hear_of_the_partition),
        cmocka_unit_test(the_first_topic_waits_for_its_nodes),
        cmocka_unit_test(the_limit_of_copying_is_changed_live),
        cmocka_unit_test(a_node_joins_is_drained_and_goes),
        cmocka_unit_test(a_drain_passes_over_what_has_no_room),
        cmocka_unit_test(a_single_broker_grows_to_three),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
