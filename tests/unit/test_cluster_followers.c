// SPDX-License-Identifier: Apache-2.0
/* Reading from followers: who is sent where, and that a follower gives what is committed, no more, and
 * nothing old (read_replica.h). */
#include "lib/test.h"

#include <stdio.h>

#include "broker/cluster.h"
#include "broker/read_replica.h"
#include "lib/cluster_txn.h"

static struct cluster_world world;
static uint32_t leader, near, far; /* of the one partition; its followers; racks "1", "2", "3" */

static const char *const rack_names[] = {NULL, "1", "2", "3", "4", "5", "6", "7"};

static struct slice rack_of(uint32_t node) {
    return slice_from_text(rack_names[node]);
}

static void open_world(uint64_t seed, uint32_t nodes) {
    world = (struct cluster_world){.sim = io_sim_new(seed)};
    for (uint32_t i = 1; i <= CLUSTER_NODES_MAX; i++)
        world.racks[i] = rack_names[i];
    cluster_world_grow(&world, nodes);
    cluster_world_run(&world, 3000);
    assert_status(cluster_world_create_on(&world, 1, "t", (int32_t[]){1, 2, 3}, 3), STATUS_OK);
    cluster_world_produce_numbers(&world, "t", 0, 0, 20, -1);
    leader = cluster_world_leader(&world, 1, "t", 0);
    near = leader % 3 + 1;
    far = near % 3 + 1;
    cluster_world_run(&world, 200);
}

/* ---- a fetch of the one partition ------------------------------------------------------------------------
 */

struct reading {
    struct fetch fetch;
    struct fetch_partition part;
    bool done;
    uint64_t done_ns;
};

static void fetched(struct fetch *fetch) {
    struct reading *r = CONTAINER_OF(fetch, struct reading, fetch);
    r->done = true;
    r->done_ns = io_sim_now(world.sim);
}

static void start(struct reading *r, uint32_t node, int64_t offset, struct slice rack) {
    r->done = false;
    r->part = (struct fetch_partition){
        .topic = SLICE_LITERAL("t"), .offset = offset, .bytes_max = MIB, .leader_epoch = -1};
    r->fetch.partitions = &r->part;
    r->fetch.partition_count = 1;
    r->fetch.bytes_max = MIB;
    r->fetch.followers |= rack.size != 0;
    r->fetch.rack = rack;
    r->fetch.reader = 7;
    r->fetch.done = fetched;
    broker_fetch(world.nodes[node].broker, &r->fetch);
}

static void finish(struct reading *r, uint64_t ms) {
    for (uint64_t waited = 0; !r->done && waited < ms; waited++)
        cluster_world_run(&world, 1);
    assert_true(r->done);
}

/* It was returned by value. */
static void drop(struct reading r) {
    r.fetch.partitions = &r.part;
    fetch_release(&r.fetch);
}

static struct reading read_at(uint32_t node, int64_t offset, struct slice rack) {
    struct reading r = {.done = false};
    start(&r, node, offset, rack);
    finish(&r, 1000);
    return r;
}

/* Until it answers as wanted; what came before is thrown away. */
static struct reading read_until(uint32_t node, int64_t offset, struct slice rack, enum status status) {
    for (int i = 0; i < 100; i++) {
        struct reading r = read_at(node, offset, rack);
        if (r.part.status == status) return r;
        drop(r);
        cluster_world_run(&world, 50);
    }
    fail_msg("node %u does not answer %s", node, status_name(status));
    return (struct reading){.done = false};
}

static void expect_batches(struct reading r, uint32_t count, bool from_follower) {
    assert_status(r.part.status, STATUS_OK);
    assert_int_equal(r.part.read_from, -1);
    assert_int_equal(r.part.batch_count, count);
    assert_int_equal(r.part.from_follower, from_follower);
    drop(r);
}

static void expect_sent(struct reading r, uint32_t node) {
    assert_status(r.part.status, STATUS_OK);
    assert_int_equal(r.part.read_from, (int32_t)node);
    assert_int_equal(r.part.batch_count, 0);
    drop(r);
}

static void expect_status(struct reading r, enum status status) {
    assert_status(r.part.status, status);
    assert_int_equal(r.part.batch_count, 0);
    assert_int_equal(r.part.read_from, -1);
    drop(r);
}

static void cut(uint32_t from, uint32_t to, bool cut) {
    io_sim_cut(world.sim, from - 1, to - 1, cut);
}

static void cut_both(uint32_t a, uint32_t b, bool is_cut) {
    cut(a, b, is_cut);
    cut(b, a, is_cut);
}

/* ---- tests -----------------------------------------------------------------------------------------------
 */

static void readers_are_sent_to_their_rack(void **state) {
    (void)state;
    open_world(1, 3);
    expect_sent(read_at(leader, 0, rack_of(near)), near);
    struct reading r = read_at(near, 0, rack_of(near));
    assert_int_equal(r.part.high_watermark, 20);
    assert_int_equal(r.part.last_stable_offset, 20);
    expect_batches(r, 20, true);
    expect_batches(read_at(near, 12, rack_of(leader)), 8, true); /* any replica, once it is asked */
    expect_batches(read_at(leader, 0, rack_of(leader)), 20, false);
    expect_batches(read_at(leader, 0, SLICE_LITERAL("elsewhere")), 20, false);
    expect_batches(read_at(leader, 0, SLICE_EMPTY), 20, false);
    expect_status(read_at(near, 0, SLICE_EMPTY), STATUS_NOT_LEADER);
    struct broker_stats stats;
    broker_stats(world.nodes[near].broker, &stats);
    assert_true(stats.follower_fetch_bytes > 0 && stats.follower_fetch_bytes == stats.fetch_bytes);
    broker_stats(world.nodes[leader].broker, &stats);
    assert_int_equal(stats.follower_fetch_bytes, 0);
    assert_int_equal(stats.readers_sent, 1);
    cluster_world_close(&world);
}

static void who_comes_back_is_served(void **state) {
    (void)state;
    open_world(2, 3);
    expect_sent(read_at(leader, 0, rack_of(near)), near);
    expect_batches(read_at(leader, 0, rack_of(near)), 20, false);
    cluster_world_run(&world, 20000);
    expect_batches(read_at(leader, 0, rack_of(near)), 20, false);
    cluster_world_run(&world, 11000);
    expect_sent(read_at(leader, 0, rack_of(near)), near);
    cluster_world_close(&world);
}

/* What exists at the leader, and what does not anywhere: a follower leaves both words to the leader. */
static void a_follower_says_nothing_of_what_it_lacks(void **state) {
    (void)state;
    open_world(3, 3);
    expect_status(read_at(near, 21, rack_of(near)), STATUS_OFFSET_NOT_AVAILABLE);
    expect_status(read_at(leader, 21, rack_of(near)), STATUS_OFFSET_OUT_OF_RANGE);
    expect_batches(read_at(near, 20, rack_of(near)), 0, true);
    assert_status(cluster_world_delete_records(&world, leader, "t", 0, 10), STATUS_OK);
    cluster_world_run(&world, 2000);
    expect_status(read_at(near, 9, rack_of(near)), STATUS_OFFSET_NOT_AVAILABLE);
    expect_status(read_at(leader, 9, rack_of(near)), STATUS_OFFSET_OUT_OF_RANGE);
    expect_batches(read_at(near, 10, rack_of(near)), 11, true); /* and where they are deleted */
    cluster_world_close(&world);
}

/* A batch that is on the follower's disk, and that nobody acknowledged. */
static void nothing_above_the_watermark_is_given(void **state) {
    (void)state;
    open_world(4, 3);
    cut_both(leader, far, true);
    cut(near, leader, true); /* it gets the batch, and cannot say so */
    struct reading waits = {.fetch.wait_max_ms = 200};
    start(&waits, near, 20, rack_of(near));
    assert_status(cluster_world_append(&world, leader, "t", 0, "lost", -1, 0, NULL), STATUS_NOT_LEADER);
    finish(&waits, 1000);
    assert_int_equal(waits.part.batch_count, 0);
    drop(waits);
    struct reading r = read_at(near, 0, rack_of(near));
    assert_true(r.part.batch_count == 0 || (r.part.batch_count == 20 && r.part.high_watermark == 20));
    drop(r);
    cluster_world_close(&world);
}

static void a_follower_wakes_when_its_watermark_moves(void **state) {
    (void)state;
    open_world(5, 3);
    uint64_t worst = 0;
    for (int i = 20; i < 60; i++) {
        struct reading r = {.fetch = {.wait_max_ms = 20000, .bytes_min = 1}};
        cluster_world_run(&world, (uint64_t)i * 50); /* also asleep */
        start(&r, near, i, rack_of(near));
        cluster_world_run(&world, 10);
        assert_false(r.done);
        assert_status(cluster_world_append(&world, leader, "t", 0, "x", -1, 0, NULL), STATUS_OK);
        uint64_t told = io_sim_now(world.sim);
        finish(&r, 100);
        worst = MAX(worst, r.done_ns - MIN(r.done_ns, told));
        assert_int_equal(r.part.high_watermark, i + 1);
        expect_batches(r, 1, true);
    }
    /* The leader tells the commit at once, not with the next heartbeat. */
    assert_true(worst <= 10 * NS_PER_MS);
    cluster_world_close(&world);
}

static void who_is_cut_off_gives_nothing_old(void **state) {
    (void)state;
    open_world(6, 3);
    struct reading waits = {.fetch = {.wait_max_ms = 60000, .bytes_min = 1}};
    start(&waits, near, 20, rack_of(near));
    cut_both(near, leader, true);
    cut_both(near, far, true);
    uint64_t cut_ns = io_sim_now(world.sim);
    cluster_world_produce_numbers(&world, "t", 0, 20, 25, -1);
    finish(&waits, 5000);
    assert_true(waits.done_ns - cut_ns < 3 * NS_PER_S);
    expect_status(waits, STATUS_NOT_LEADER);
    expect_status(read_at(near, 0, rack_of(near)), STATUS_NOT_LEADER);
    expect_batches(read_at(leader, 0, rack_of(near)), 25, false);
    cut_both(near, leader, false);
    cut_both(near, far, false);
    struct reading r = read_until(near, 20, rack_of(near), STATUS_OK);
    expect_batches(r, 5, true);
    cluster_world_close(&world);
}

/* It hears the leader, which does not hear it: it is not named, and what it gives is not old. */
static void a_follower_that_lags_is_not_named(void **state) {
    (void)state;
    open_world(7, 3);
    cut(near, leader, true);
    cluster_world_produce_numbers(&world, "t", 0, 20, 22, -1);
    cluster_world_run(&world, 3000);
    expect_batches(read_at(cluster_world_leader(&world, far, "t", 0), 0, rack_of(near)), 22, false);
    cluster_world_close(&world);
}

static void leaders_and_followers_come_and_go(void **state) {
    (void)state;
    open_world(8, 3);
    struct reading waits = {.fetch = {.wait_max_ms = 60000, .bytes_min = 1}};
    start(&waits, near, 20, rack_of(near));
    cluster_world_crash(&world, leader, IO_SIM_CRASH_POWER);
    finish(&waits, 5000);
    drop(waits);
    cluster_world_produce_numbers(&world, "t", 0, 20, 30, -1);
    uint32_t next = cluster_world_leader(&world, far, "t", 0), other = next == near ? far : near;
    expect_batches(read_at(next, 0, rack_of(leader)), 30, false);
    expect_sent(read_at(next, 0, rack_of(other)), other);
    expect_batches(read_until(other, 0, rack_of(other), STATUS_OK), 30, true);
    cluster_world_start(&world, leader);
    expect_batches(read_until(leader, 0, rack_of(leader), STATUS_OK), 30, true);
    cluster_world_run(&world, 1000);
    for (int i = 0; i < 100; i++) { /* it leads again, or is a follower in sync */
        uint32_t now = cluster_world_leader(&world, far, "t", 0);
        struct reading r = read_at(now, 0, rack_of(leader));
        bool served = now == leader ? r.part.batch_count == 30 : r.part.read_from == (int32_t)leader;
        drop(r);
        if (served) {
            cluster_world_close(&world);
            return;
        }
        cluster_world_run(&world, 500);
    }
    fail_msg("nobody is sent to the node that came back");
}

/* Open and aborted transactions are seen as at the leader. */
static void committed_reads_agree_with_the_leader(void **state) {
    (void)state;
    open_world(9, 3);
    struct cluster_txn txn = {.world = &world, .id = "tx"};
    assert_status(cluster_txn_begin(&txn, 60000), STATUS_OK);
    assert_status(cluster_txn_append(&txn, "t", 0, "dropped"), STATUS_OK);
    cluster_world_produce(&world, "t", 0, "kept", -1, 0);
    cluster_world_run(&world, 100);
    for (int aborted = 0; aborted < 2; aborted++) {
        for (uint32_t node = 1; node <= 3; node++) {
            struct reading r = {.fetch.read_committed = true};
            start(&r, node, 0, rack_of(node));
            finish(&r, 1000);
            assert_status(r.part.status, STATUS_OK);
            assert_int_equal(r.part.last_stable_offset, aborted == 0 ? 20 : 23);
            assert_int_equal(r.part.high_watermark, aborted == 0 ? 22 : 23);
            assert_int_equal(r.part.batch_count, aborted == 0 ? 20 : 23);
            assert_int_equal(r.part.aborted_count, aborted);
            if (aborted != 0) {
                assert_int_equal(r.part.aborted[0].producer_id, txn.producer_id);
                assert_int_equal(r.part.aborted[0].first_offset, 20);
            }
            assert_int_equal(r.part.from_follower, node != leader);
            drop(r);
        }
        if (aborted == 0) assert_status(cluster_txn_end(&txn, false), STATUS_OK);
        cluster_world_run(&world, 1000);
    }
    cluster_world_close(&world);
}

static void a_copy_that_goes_away_serves_nobody(void **state) {
    (void)state;
    open_world(10, 4);
    const int32_t placement[] = {(int32_t)leader, (int32_t)far, 4, 0};
    assert_status(cluster_world_move(&world, 1, "t", 0, placement, 3), STATUS_OK);
    assert_true(cluster_world_settle(&world, 1, "t", 60000));
    expect_status(read_at(near, 0, rack_of(near)), STATUS_NOT_LEADER);
    const uint32_t count = 20 + 3; /* and the entries that changed the members */
    expect_batches(read_at(leader, 0, rack_of(near)), count, false);
    expect_batches(read_until(4, 0, rack_of(4), STATUS_OK), count, true);
    expect_sent(read_at(leader, 0, rack_of(4)), 4);
    cluster_world_close(&world);
}

/* Who asks for any replica gets it from the node that is asked, if that has one, and else through it. */
static void any_replica_or_the_leader(void **state) {
    (void)state;
    open_world(11, 4);
    for (uint32_t node = 1; node <= 4; node++) {
        struct reading r = {.fetch = {.forward = true, .followers = true}};
        start(&r, node, 0, SLICE_EMPTY);
        finish(&r, 1000);
        expect_batches(r, 20, node != leader && node != 4);
    }
    for (uint32_t node = 1; node <= 3; node++)
        if (node != near) cut_both(near, node, true);
    cut_both(near, 4, true);
    cluster_world_run(&world, 3000);
    struct reading r = {.fetch = {.forward = true, .followers = true}};
    start(&r, near, 0, SLICE_EMPTY);
    finish(&r, 20000);
    expect_status(r, STATUS_NOT_LEADER);
    cluster_world_close(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(readers_are_sent_to_their_rack),
        cmocka_unit_test(who_comes_back_is_served),
        cmocka_unit_test(a_follower_says_nothing_of_what_it_lacks),
        cmocka_unit_test(nothing_above_the_watermark_is_given),
        cmocka_unit_test(a_follower_wakes_when_its_watermark_moves),
        cmocka_unit_test(who_is_cut_off_gives_nothing_old),
        cmocka_unit_test(a_follower_that_lags_is_not_named),
        cmocka_unit_test(leaders_and_followers_come_and_go),
        cmocka_unit_test(committed_reads_agree_with_the_leader),
        cmocka_unit_test(a_copy_that_goes_away_serves_nobody),
        cmocka_unit_test(any_replica_or_the_leader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
