// SPDX-License-Identifier: Apache-2.0
/* Producers that say everything twice, when it is not known yet, or cannot be read, what became of the first
 * time: nothing is acknowledged that is not stored, and nothing is stored twice. */
#include "lib/test.h"

#include <stdio.h>

#include "broker/cluster.h"
#include "broker/partition_replica.h"
#include "lib/cluster_world.h"

static struct cluster_world world;
static int64_t producer;
static uint32_t leader;

static struct partition *led(void) {
    return broker_partition(world.nodes[leader].broker, SLICE_LITERAL("t"), 0);
}

static void open_with_topic(uint64_t seed) {
    cluster_world_open(&world, seed, 3);
    cluster_world_run(&world, 3000);
    assert_status(cluster_world_create(&world, 1, "t", 1, 3), STATUS_OK);
    assert_status(cluster_world_producer_id(&world, 1, &producer), STATUS_OK);
    cluster_world_produce_numbers(&world, "t", 0, 0, 5, producer);
    leader = cluster_world_leader(&world, 1, "t", 0);
}

static void slow_down(uint32_t node, uint32_t factor) {
    io_sim_disk_faults(world.sim, node - 1)->slow_factor = factor;
}

/* One number, under way. */
struct sent {
    struct append append;
    char value[2 * KIB];
    bool done;
};

static void answered(struct append *append) {
    CONTAINER_OF(append, struct sent, append)->done = true;
}

static void start(struct sent *sent, int number, int width) {
    struct record_batch_builder builder;
    struct record_batch_producer identity = {producer, 0, number};
    snprintf(sent->value, sizeof sent->value, "%0*d", width, number);
    record_batch_begin(&builder);
    record_batch_add(&builder, 1700000000000, SLICE_EMPTY, slice_from_text(sent->value), NULL, 0);
    struct buffer *batch = record_batch_finish(&builder, CODEC_NONE, &identity);
    record_batch_builder_release(&builder);
    sent->done = false;
    sent->append = (struct append){.topic = SLICE_LITERAL("t"),
                                   .batch = {slice_make(batch->data, batch->size), batch},
                                   .done = answered};
    broker_append(world.nodes[leader].broker, &sent->append);
    buffer_unref(batch);
}

static enum status finish(struct sent *sent) {
    for (int i = 0; i < 12000 && !sent->done; i++)
        cluster_world_run(&world, 5);
    assert_true(sent->done);
    return sent->append.status;
}

/* Both come in one turn, as when the node was away for a while, and leadership is being handed over: the log
 * takes neither. What takes the place that they would have had is not their acknowledgement. */
static void a_retry_is_not_acknowledged_for_another(void **state) {
    (void)state;
    struct sent first, retry, again;
    open_with_topic(70);
    uint32_t lags = leader % 3 + 1, incarnation = world.nodes[lags].broker->cluster->incarnation;
    io_sim_cut(world.sim, leader - 1, lags - 1, true);
    cluster_world_produce_numbers(&world, "t", 0, 5, 10, producer);
    assert_status(raft_replica_transfer(led()->replica, raft_id(lags, incarnation)), STATUS_OK);
    start(&first, 10, 1);
    start(&retry, 10, 1);
    cluster_world_run(&world, 100);
    assert_true(first.done && first.append.status == STATUS_UNAVAILABLE);
    cluster_world_run(&world, 1500); /* it is not handed over after all */
    assert_status(cluster_world_append(&world, leader, "t", 0, "another", -1, 0, NULL), STATUS_OK);
    assert_status(finish(&retry), STATUS_UNAVAILABLE);
    io_sim_cut(world.sim, leader - 1, lags - 1, false);
    start(&again, 10, 1);
    assert_status(finish(&again), STATUS_OK);
    assert_int_equal(again.append.base_offset, led()->high_watermark - 1);
    cluster_world_close(&world);
}

/* An entry of the log's own came before the batch, which stands behind it: so does what its retry is told. */
static void a_retry_is_told_where_the_batch_stands(void **state) {
    (void)state;
    struct sent first, retry, again;
    open_with_topic(71);
    struct raft_member members[3];
    const struct raft_config *config = raft_config(raft_replica_raft(led()->replica));
    memcpy(members, config->members, sizeof members);
    for (uint32_t i = 0; i < 3; i++) /* one of the others only learns, for a while */
        if (raft_id_node(members[i].id) == leader % 3 + 1) members[i].flags = RAFT_LEARNER;
    start(&first, 5, 1);
    assert_status(raft_replica_change(led()->replica, members, 3), STATUS_OK);
    start(&retry, 5, 1);
    assert_status(finish(&first), STATUS_OK);
    start(&again, 5, 1);
    assert_status(finish(&again), STATUS_OK);
    assert_int_equal(again.append.base_offset, first.append.base_offset);
    if (finish(&retry) == STATUS_OK) assert_int_equal(retry.append.base_offset, first.append.base_offset);
    cluster_world_close(&world);
}

/* The followers' disks are slow, so that a long end of the log is not committed, and the leader has to read
 * it to know who wrote there. While it cannot, it takes nothing. */
static void what_cannot_be_read_may_have_been_stored(void **state) {
    (void)state;
    static struct sent sent[100], retry, other;
    open_with_topic(72);
    for (uint32_t i = 1; i <= 2; i++)
        slow_down((leader + i - 1) % 3 + 1, 1000);
    for (int i = 0; i < 100; i++) {
        start(&sent[i], 5 + i, 2000);
        cluster_world_run(&world, 5);
    }
    cluster_world_run(&world, 200);
    const struct raft *raft = raft_replica_raft(led()->replica);
    uint64_t end = raft->log.end;
    assert_true(led()->high_watermark < 50 && end >= 105 && raft_is_leader(raft));
    led()->producers_stale = true;
    io_sim_disk_faults(world.sim, leader - 1)->read_error_ppm = 1000000;
    start(&retry, 5 + (int)(led()->high_watermark - 5), 2000);
    io_sim_disk_faults(world.sim, leader - 1)->read_error_ppm = 0;
    cluster_world_run(&world, 1);
    assert_int_equal(raft->log.end, end);
    for (uint32_t i = 1; i <= 2; i++)
        slow_down((leader + i - 1) % 3 + 1, 1);
    assert_int_not_equal(finish(&retry), STATUS_OK);
    for (int i = 0; i < 100; i++)
        assert_status(finish(&sent[i]), STATUS_OK);
    start(&other, 105, 1);
    assert_status(finish(&other), STATUS_OK);
    assert_int_equal(other.append.base_offset, end);
    cluster_world_close(&world);
}

static void restart_all(void) {
    for (uint32_t node = 1; node <= 3; node++)
        cluster_world_crash(&world, node, IO_SIM_CRASH_POWER);
    for (uint32_t node = 1; node <= 3; node++)
        cluster_world_start(&world, node);
    leader = cluster_world_leader(&world, 1, "t", 0);
}

/* Records are deleted before the stretch of log that they are in is full. Who wrote them is known all the
 * same after a restart, and on a node that gets its copy anew. */
static void who_wrote_what_was_deleted_is_remembered(void **state) {
    (void)state;
    struct sent sent;
    char filler[3 * KIB];
    int64_t last;
    snprintf(filler, sizeof filler, "%0*d", (int)sizeof filler - 1, 0);
    open_with_topic(73);
    cluster_world_produce(&world, "t", 0, filler, -1, 0); /* the stretch ends, and this is stored: 0 to 4 */
    cluster_world_produce_numbers(&world, "t", 0, 5, 10, producer);
    last = led()->high_watermark - 1;
    assert_status(cluster_world_delete_records(&world, leader, "t", 0, last + 1), STATUS_OK);
    cluster_world_run(&world, 1000);
    restart_all();
    assert_true(led()->log_start == last + 1);
    for (int i = 0; i < 200 && partition_replica_use(led()) != STATUS_OK; i++)
        cluster_world_run(&world, 20);
    start(&sent, 9, 1);
    assert_status(finish(&sent), STATUS_OK);
    assert_int_equal(sent.append.base_offset, last);
    start(&sent, 10, 1);
    assert_status(finish(&sent), STATUS_OK);
    cluster_world_close(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_retry_is_not_acknowledged_for_another),
        cmocka_unit_test(a_retry_is_told_where_the_batch_stands),
        cmocka_unit_test(what_cannot_be_read_may_have_been_stored),
        cmocka_unit_test(who_wrote_what_was_deleted_is_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
