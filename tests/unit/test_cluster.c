// SPDX-License-Identifier: Apache-2.0
#include "lib/test.h"

#include <stdio.h>

#include "base/prng.h"
#include "broker/backup.h"
#include "broker/leftovers.h"
#include "broker/partition.h"
#include "broker/raft_host.h"
#include "lib/cluster_world.h"

static struct cluster_world world;

static void open_with_topic(uint64_t seed, uint32_t nodes, int partitions, int replicas) {
    cluster_world_open(&world, seed, nodes);
    cluster_world_run(&world, 3000);
    assert_status(cluster_world_create(&world, 1, "t", partitions, replicas), STATUS_OK);
}

static void a_cluster_is_founded_and_serves(void **state) {
    (void)state;
    open_with_topic(1, 3, 4, 3);
    const char *id = broker_cluster_id(world.nodes[1].broker);
    assert_int_equal(strlen(id), 22);
    for (uint32_t i = 1; i <= 3; i++) {
        struct broker_node nodes[BROKER_NODES_MAX];
        assert_string_equal(broker_cluster_id(world.nodes[i].broker), id);
        cluster_world_run(&world, 1000);
        assert_int_equal(broker_nodes(world.nodes[i].broker, nodes), 3);
        assert_true(nodes[0].up && nodes[1].up && nodes[2].up);
        assert_string_equal(nodes[2].address, "node2:7000");
    }
    for (int p = 0; p < 4; p++) {
        cluster_world_produce_numbers(&world, "t", p, 0, 20, -1);
        cluster_world_expect_numbers(&world, "t", p, 20);
    }
    assert_status(cluster_world_create(&world, 2, "t", 1, 1), STATUS_EXISTS);
    assert_status(cluster_world_create(&world, 3, "u", 1, 4), STATUS_INVALID_REPLICATION);
    cluster_world_close(&world);
}

/* Who it is, it would have forgotten at the next start, and a cluster that counts it would wait for nobody. */
static void nobody_hears_of_a_node_before_its_disk_does(void **state) {
    (void)state;
    for (uint32_t late = 1; late <= 2; late++) {
        uint32_t other = 3 - late;
        struct peer_info peer;
        cluster_world_open(&world, 27, 2);
        io_sim_disk_faults(world.sim, late - 1)->capacity_bytes = 1;
        cluster_world_run(&world, 5000);
        assert_true(peers_find(broker_peers(world.nodes[other].broker), late, &peer));
        assert_int_equal(peer.incarnation, 0);
        assert_false(peer.up || peer.connected);
        assert_int_equal(peer.refusal, PEER_NOT_READY);
        assert_false(peers_find(broker_peers(world.nodes[late].broker), other, &peer));
        io_sim_disk_faults(world.sim, late - 1)->capacity_bytes = 0;
        cluster_world_run(&world, 5000);
        assert_status(cluster_world_create(&world, other, "t", 1, 2), STATUS_OK);
        cluster_world_produce_numbers(&world, "t", 0, 0, 3, -1);
        cluster_world_expect_numbers(&world, "t", 0, 3);
        cluster_world_close(&world);
    }
}

static void who_does_not_lead_says_so(void **state) {
    (void)state;
    open_with_topic(2, 3, 1, 3);
    cluster_world_produce_numbers(&world, "t", 0, 0, 1, -1);
    uint32_t leader = cluster_world_leader(&world, 1, "t", 0);
    for (uint32_t i = 1; i <= 3; i++) {
        enum status status = cluster_world_append(&world, i, "t", 0, "x", -1, 0, NULL);
        assert_status(status, i == leader ? STATUS_OK : STATUS_NOT_LEADER);
    }
    cluster_world_close(&world);
}

/* Leaders die one after the other, whole clusters lose power: nothing acknowledged is lost or doubled. */
static void failures_lose_and_double_nothing(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        open_with_topic(seed, 3, 1, 3);
        int64_t producer;
        assert_status(cluster_world_producer_id(&world, 2, &producer), STATUS_OK);
        int sent = 0;
        for (int round = 0; round < 6; round++) {
            cluster_world_produce_numbers(&world, "t", 0, sent, sent + 15, producer);
            sent += 15;
            uint32_t asked = world.nodes[1].broker == NULL ? 2 : 1;
            uint32_t leader = cluster_world_leader(&world, asked, "t", 0);
            if (round % 3 == 2) {
                for (uint32_t i = 1; i <= 3; i++)
                    cluster_world_crash(&world, i, IO_SIM_CRASH_POWER);
                for (uint32_t i = 1; i <= 3; i++)
                    cluster_world_start(&world, i);
                continue;
            }
            cluster_world_crash(&world, leader,
                                round % 2 == 0 ? IO_SIM_CRASH_POWER_BARE : IO_SIM_CRASH_POWER);
            cluster_world_produce_numbers(&world, "t", 0, sent, sent + 5, producer);
            sent += 5;
            cluster_world_start(&world, leader);
        }
        /* A retry of the last is recognised, whoever leads now. */
        char value[16];
        snprintf(value, sizeof value, "%d", sent - 1);
        cluster_world_produce(&world, "t", 0, value, producer, sent - 1);
        cluster_world_expect_numbers(&world, "t", 0, sent);
        cluster_world_close(&world);
    }
}

struct waiting_lookup {
    struct list_offset request;
    bool done;
};

static void looked_up(struct list_offset *request) {
    CONTAINER_OF(request, struct waiting_lookup, request)->done = true;
}

/* The high watermark that a node tells, -1: it tells none. */
static int64_t watermark_told(uint32_t node) {
    struct waiting_lookup waiting = {
        .request = {.topic = SLICE_LITERAL("t"), .timestamp_ms = OFFSET_LATEST, .done = looked_up}};
    broker_list_offset(world.nodes[node].broker, &waiting.request);
    while (!waiting.done)
        assert_true(io_sim_step(world.sim));
    return waiting.request.status == STATUS_OK ? waiting.request.offset : -1;
}

struct waiting_record {
    struct append append;
    bool done;
};

static void record_stored(struct append *append) {
    CONTAINER_OF(append, struct waiting_record, append)->done = true;
}

/* Acknowledged just now, and nothing has happened since. */
static void append_just_now(uint32_t leader) {
    struct record_batch_builder builder;
    record_batch_begin(&builder);
    record_batch_add(&builder, 1700000000000, SLICE_EMPTY, SLICE_LITERAL("x"), NULL, 0);
    struct buffer *batch = record_batch_finish(&builder, CODEC_NONE, NULL);
    record_batch_builder_release(&builder);
    struct waiting_record waiting = {.append = {.topic = SLICE_LITERAL("t"),
                                                .batch = {slice_make(batch->data, batch->size), batch},
                                                .done = record_stored}};
    broker_append(world.nodes[leader].broker, &waiting.append);
    buffer_unref(batch);
    while (!waiting.done)
        assert_true(io_sim_step(world.sim));
    assert_status(waiting.append.status, STATUS_OK);
}

/* Followers hear a little later what is committed. Whoever leads next knows it when an entry of its own term
 * is committed, which takes as long as its disk and another's. KAFKA-12619. */
static void a_new_leader_tells_no_watermark_below_one_that_was_told(void **state) {
    (void)state;
    uint32_t behind = 0, told = 0;
    for (uint64_t seed = 40; seed < 50; seed++) {
        open_with_topic(seed, 3, 1, 3);
        cluster_world_produce_numbers(&world, "t", 0, 0, 5, -1);
        cluster_world_run(&world, 500);
        uint32_t leader = cluster_world_leader(&world, 1, "t", 0);
        append_just_now(leader);
        int64_t seen = watermark_told(leader);
        assert_true(seen > 5);
        cluster_world_crash(&world, leader, IO_SIM_CRASH_POWER);
        for (uint32_t node = 1; node <= 3; node++)
            if (node != leader) io_sim_disk_faults(world.sim, node - 1)->slow_factor = 100;
        for (int ms = 0; ms < 3000; ms++) {
            cluster_world_run(&world, 1);
            for (uint32_t node = 1; node <= 3; node++) {
                if (node == leader) continue;
                const struct partition *p = broker_partition(world.nodes[node].broker, SLICE_LITERAL("t"), 0);
                behind += raft_replica_is_leader(p->replica) && p->high_watermark < seen;
                int64_t watermark = watermark_told(node);
                assert_true(watermark == -1 || watermark >= seen);
                told += watermark != -1;
            }
        }
        cluster_world_close(&world);
    }
    assert_true(behind > 0 && told > 0);
}

static void a_minority_refuses(void **state) {
    (void)state;
    open_with_topic(3, 3, 1, 3);
    cluster_world_produce_numbers(&world, "t", 0, 0, 5, -1);
    uint32_t leader = cluster_world_leader(&world, 1, "t", 0);
    for (uint32_t i = 0; i < 3; i++) {
        if (i == leader - 1) continue;
        io_sim_cut(world.sim, i, leader - 1, true);
        io_sim_cut(world.sim, leader - 1, i, true);
    }
    /* It may still believe that it leads; what it cannot replicate it does not acknowledge. */
    assert_status(cluster_world_append(&world, leader, "t", 0, "lost", -1, 0, NULL), STATUS_NOT_LEADER);
    assert_status(cluster_world_create(&world, leader, "u", 1, 1), STATUS_UNAVAILABLE);
    assert_status(cluster_world_create(&world, leader, "v", 1, 1), STATUS_UNAVAILABLE);
    assert_string_equal(world.why.text, "no controller is elected: fewer than half of the nodes are there");
    uint32_t other = leader % 3 + 1;
    uint32_t next = cluster_world_leader(&world, other, "t", 0);
    for (int i = 0; next == leader && i < 100; i++) {
        cluster_world_run(&world, 100);
        next = cluster_world_leader(&world, other, "t", 0);
    }
    assert_int_not_equal(next, leader);
    assert_status(cluster_world_append(&world, next, "t", 0, "5", -1, 0, NULL), STATUS_OK);
    for (uint32_t i = 0; i < 3; i++) {
        io_sim_cut(world.sim, i, leader - 1, false);
        io_sim_cut(world.sim, leader - 1, i, false);
    }
    cluster_world_run(&world, 60000);
    cluster_world_expect_numbers(&world, "t", 0, 6);
    cluster_world_close(&world);
}

struct many_changes {
    struct topic_change changes[20];
    uint32_t done;
};
static struct many_changes many;

static void one_of_many(struct topic_change *change) {
    assert_status(change->status, STATUS_UNAVAILABLE);
    many.done++;
}

/* Changes wait for each other, but not one after the other for a controller that is not there. */
static void many_changes_wait_for_a_controller_at_once(void **state) {
    (void)state;
    open_with_topic(9, 3, 1, 3);
    cluster_world_crash(&world, 2, IO_SIM_CRASH_POWER);
    cluster_world_crash(&world, 3, IO_SIM_CRASH_POWER);
    cluster_world_run(&world, 5000);
    many = (struct many_changes){.done = 0};
    for (size_t i = 0; i < ARRAY_COUNT(many.changes); i++) {
        many.changes[i] = (struct topic_change){.kind = TOPIC_CREATE,
                                                .name = i % 2 == 0 ? SLICE_LITERAL("t") : SLICE_LITERAL("u"),
                                                .partition_count = 1,
                                                .replication = 1,
                                                .config = topic_config_default(),
                                                .done = one_of_many};
        broker_change_topic(world.nodes[1].broker, &many.changes[i]);
    }
    cluster_world_run(&world, 12000);
    assert_int_equal(many.done, ARRAY_COUNT(many.changes));
    cluster_world_start(&world, 2);
    cluster_world_run(&world, 3000);
    assert_status(cluster_world_create(&world, 1, "u", 1, 1), STATUS_OK);
    cluster_world_close(&world);
}

static void a_wiped_node_is_rebuilt(void **state) {
    (void)state;
    for (uint32_t victim = 1; victim <= 3; victim++) {
        open_with_topic(10 + victim, 3, 2, 3);
        cluster_world_produce_numbers(&world, "t", 0, 0, 60, -1);
        cluster_world_crash(&world, victim, IO_SIM_CRASH_POWER);
        io_sim_wipe_disk(world.sim, victim - 1);
        cluster_world_start(&world, victim);
        cluster_world_run(&world, 20000);
        /* The two that never lost anything go; the third alone is no majority, but with one of them it is. */
        uint32_t gone = victim % 3 + 1;
        cluster_world_crash(&world, gone, IO_SIM_CRASH_POWER);
        cluster_world_produce_numbers(&world, "t", 0, 60, 70, -1);
        cluster_world_expect_numbers(&world, "t", 0, 70);
        cluster_world_produce_numbers(&world, "t", 1, 0, 5, -1);
        cluster_world_close(&world);
    }
}

struct waiting_edit {
    struct topic_change change;
    const char *config, *value;
    bool done;
};

static enum status edit(struct topic_change *change) {
    const struct waiting_edit *waiting = CONTAINER_OF(change, struct waiting_edit, change);
    return topic_config_set(&change->config, slice_from_text(waiting->config),
                            slice_from_text(waiting->value), &change->diagnostic);
}

static void edited(struct topic_change *change) {
    CONTAINER_OF(change, struct waiting_edit, change)->done = true;
}

/* Each is made from the configuration that its node knows, and that is late. */
static void of_two_config_changes_through_two_nodes_none_is_lost(void **state) {
    (void)state;
    open_with_topic(29, 3, 1, 3);
    for (uint32_t round = 1; round <= 30; round++) {
        char value[16];
        snprintf(value, sizeof value, "%u", 100000 + round);
        struct waiting_edit edits[2] = {{.config = "retention.ms", .value = value},
                                        {.config = "max.message.bytes", .value = value}};
        for (uint32_t i = 0; i < 2; i++) {
            edits[i].change.edit = edit;
            edits[i].change.kind = TOPIC_ALTER_CONFIG;
            edits[i].change.name = SLICE_LITERAL("t");
            edits[i].change.done = edited;
            broker_change_topic(world.nodes[1 + (round + i) % 3].broker, &edits[i].change);
        }
        for (int i = 0; i < 2000 && !(edits[0].done && edits[1].done); i++)
            cluster_world_run(&world, 5);
        assert_true(edits[0].done && edits[1].done);
        assert_status(edits[0].change.status, STATUS_OK);
        assert_status(edits[1].change.status, STATUS_OK);
        cluster_world_run(&world, 500);
        for (uint32_t node = 1; node <= 3; node++) {
            const struct broker_topic *topic = broker_topic_find(world.nodes[node].broker,
                                                                 SLICE_LITERAL("t"));
            assert_int_equal(topic->config.retention_ms, 100000 + round);
            assert_int_equal(topic->config.max_message_bytes, 100000 + round);
        }
    }
    cluster_world_close(&world);
}

/* Who deletes it by its id knows it; by the time that the controller hears of that, another has its name. */
static void a_topic_made_again_is_not_deleted_by_the_id_before(void **state) {
    (void)state;
    uint32_t refused = 0;
    open_with_topic(30, 3, 1, 3);
    for (uint32_t round = 0; round < 12; round++) {
        cluster_world_run(&world, 500);
        uint32_t controller = (uint32_t)broker_controller(world.nodes[1].broker), late = controller % 3 + 1;
        struct waiting_edit deletion = {.change = {.kind = TOPIC_DELETE, .done = edited}};
        deletion.change.id = broker_topic_find(world.nodes[late].broker, SLICE_LITERAL("t"))->id;
        struct uuid before = deletion.change.id;
        io_sim_slow_link(world.sim, late - 1, controller - 1, 1 + 20 * round);
        broker_change_topic(world.nodes[late].broker, &deletion.change);
        enum status deleted = cluster_world_delete(&world, controller, "t");
        enum status made = cluster_world_create(&world, controller, "t", 1, 3);
        assert_true(made == STATUS_OK || (made == STATUS_EXISTS && deleted != STATUS_OK));
        for (int i = 0; i < 2000 && !deletion.done; i++)
            cluster_world_run(&world, 5);
        assert_true(deletion.done);
        io_sim_slow_link(world.sim, late - 1, controller - 1, 1);
        if (made != STATUS_OK) assert_status(cluster_world_create(&world, controller, "t", 1, 3), STATUS_OK);
        assert_true((deleted == STATUS_OK) == (deletion.change.status != STATUS_OK));
        refused += deletion.change.status == STATUS_UNKNOWN_TOPIC_ID;
        cluster_world_run(&world, 500);
        for (uint32_t node = 1; node <= 3; node++) {
            const struct broker_topic *topic = broker_topic_find(world.nodes[node].broker,
                                                                 SLICE_LITERAL("t"));
            assert_non_null(topic);
            assert_false(uuid_equal(topic->id, before));
        }
    }
    assert_in_range(refused, 1, 12);
    cluster_world_close(&world);
}

static void a_deleted_topic_is_gone_everywhere(void **state) {
    (void)state;
    open_with_topic(20, 3, 2, 3);
    cluster_world_produce_numbers(&world, "t", 0, 0, 10, -1);
    assert_status(cluster_world_delete(&world, 3, "t"), STATUS_OK);
    cluster_world_run(&world, 1000);
    for (uint32_t i = 1; i <= 3; i++)
        assert_null(broker_topic_find(world.nodes[i].broker, SLICE_LITERAL("t")));
    assert_status(cluster_world_create(&world, 2, "t", 1, 3), STATUS_OK);
    cluster_world_produce_numbers(&world, "t", 0, 0, 3, -1);
    cluster_world_expect_numbers(&world, "t", 0, 3);
    cluster_world_close(&world);
}

/* A node that was away hears of a deletion by a snapshot, and goes down again and again before it is through
 * with what it deletes then: no later start hears of the topic. */
static void what_a_crash_left_of_a_topic_goes_at_the_next_start(void **state) {
    (void)state;
    static const enum io_sim_crash kinds[] = {IO_SIM_CRASH_PROCESS, IO_SIM_CRASH_POWER_BARE};
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        open_with_topic(28 + i, 3, 2, 3);
        cluster_world_produce_numbers(&world, "t", 0, 0, 5, -1);
        cluster_world_produce_numbers(&world, "t", 1, 0, 5, -1);
        cluster_world_run(&world, 1000);
        uint32_t away = broker_controller(world.nodes[1].broker) == 3 ? 2 : 3;
        cluster_world_crash(&world, away, IO_SIM_CRASH_PROCESS);
        assert_status(cluster_world_delete(&world, 1, "t"), STATUS_OK);
        for (int k = 0; k < 1200; k++) { /* more than the controller keeps */
            assert_status(cluster_world_create(&world, 1, "x", 1, 1), STATUS_OK);
            assert_status(cluster_world_delete(&world, 1, "x"), STATUS_OK);
        }
        cluster_world_run(&world, 2000);
        bool due = true;
        for (uint64_t n = 1; due; n++) {
            assert_in_range(n, 1, 60);
            cluster_world_start(&world, away);
            io_sim_crash_at_disk_op(world.sim, away - 1, n, IO_SIM_STOP_AFTER);
            cluster_world_run(&world, 3000);
            due = io_sim_crash_due(world.sim, away - 1);
            if (due) cluster_world_crash(&world, away, kinds[i]);
        }
        assert_null(broker_topic_find(world.nodes[away].broker, SLICE_LITERAL("t")));
        for (uint32_t node = 1; node <= 3; node++)
            assert_int_equal(leftovers_find(world.nodes[node].broker), 0);
        cluster_world_close(&world);
    }
}

static void set_true(void *flag) {
    *(bool *)flag = true;
}

/* Its log begins later than before, which its slow disk has not stored yet, and it ends in what is not known to
 * be committed. */
static void a_node_stops_in_order_while_its_log_start_is_stored(void **state) {
    (void)state;
    open_with_topic(31, 3, 1, 3);
    cluster_world_produce_numbers(&world, "t", 0, 0, 5, -1);
    cluster_world_run(&world, 500);
    uint32_t leader = cluster_world_leader(&world, 1, "t", 0), other = leader % 3 + 1;
    const struct partition *p = broker_partition(world.nodes[other].broker, SLICE_LITERAL("t"), 0);
    io_sim_disk_faults(world.sim, other - 1)->slow_factor = 200;
    assert_status(cluster_world_delete_records(&world, leader, "t", 0, 3), STATUS_OK);
    for (int i = 0; i < 2000 && list_empty(&p->trims); i++)
        assert_true(io_sim_step(world.sim));
    assert_false(list_empty(&p->trims));
    append_just_now(leader);
    assert_false(list_empty(&p->trims));
    assert_true(p->high_watermark < p->log_end);
    bool down = false;
    broker_shutdown(world.nodes[other].broker, set_true, &down);
    for (int i = 0; i < 4000 && !down; i++)
        cluster_world_run(&world, 5);
    assert_true(down);
    cluster_world_crash(&world, other, IO_SIM_CRASH_PROCESS);
    io_sim_disk_faults(world.sim, other - 1)->slow_factor = 1;
    cluster_world_start(&world, other);
    cluster_world_run(&world, 1000);
    p = broker_partition(world.nodes[other].broker, SLICE_LITERAL("t"), 0);
    assert_int_equal(p->log_start, 3);
    assert_int_equal(p->high_watermark, p->log_end);
    cluster_world_close(&world);
}

static void rolling_restarts_keep_serving(void **state) {
    (void)state;
    open_with_topic(21, 3, 1, 3);
    for (uint32_t node = 1; node <= 3; node++) {
        cluster_world_produce_numbers(&world, "t", 0, (int)(node - 1) * 10, (int)node * 10, -1);
        cluster_world_shutdown(&world, node);
        uint32_t other = node % 3 + 1;
        uint64_t before = io_sim_now(world.sim);
        cluster_world_leader(&world, other, "t", 0); /* somebody leads already */
        assert_true(io_sim_now(world.sim) - before < 100 * NS_PER_MS);
        cluster_world_start(&world, node);
        cluster_world_run(&world, 2000);
    }
    cluster_world_expect_numbers(&world, "t", 0, 30);
    cluster_world_close(&world);
}

static void set_flag(void *ctx) {
    *(bool *)ctx = true;
}

/* Nodes that leave at the same time: none takes over from another, and who stays leads. */
static void many_that_leave_wait_for_nobody(void **state) {
    (void)state;
    for (uint32_t leaving = 2; leaving <= 5; leaving++) {
        open_with_topic(30 + leaving, 5, 6, 3);
        for (int p = 0; p < 6; p++)
            cluster_world_produce_numbers(&world, "t", p, 0, 5, -1);
        int32_t controller = broker_controller(world.nodes[1].broker);
        bool left[6] = {false};
        uint64_t before = io_sim_now(world.sim);
        uint32_t nodes[5], count = 0;
        for (uint32_t i = 0; i < leaving; i++)
            nodes[count++] = ((uint32_t)controller - 1 + i) % 5 + 1;
        for (uint32_t i = 0; i < count; i++)
            broker_leave(world.nodes[nodes[i]].broker, set_flag, &left[i]);
        for (uint32_t i = 0; i < count; i++)
            while (!left[i] && io_sim_now(world.sim) - before < 5 * NS_PER_S)
                cluster_world_run(&world, 5);
        assert_true(io_sim_now(world.sim) - before < NS_PER_S);
        cluster_world_close(&world);
    }
}

static void fewer_replicas_than_nodes_are_spread(void **state) {
    (void)state;
    open_with_topic(22, 3, 6, 1);
    int count[4] = {0};
    for (int p = 0; p < 6; p++) {
        cluster_world_produce_numbers(&world, "t", p, 0, 3, -1);
        count[cluster_world_leader(&world, 1 + (uint32_t)p % 3, "t", p)]++;
        cluster_world_expect_numbers(&world, "t", p, 3);
    }
    assert_true(count[1] == 2 && count[2] == 2 && count[3] == 2);
    cluster_world_close(&world);
}

/* Records that were deleted stay deleted, whoever leads next; also on a node that was away. */
static void deleted_records_stay_deleted(void **state) {
    (void)state;
    open_with_topic(26, 3, 1, 3);
    cluster_world_produce_numbers(&world, "t", 0, 0, 40, -1);
    uint32_t leader = cluster_world_leader(&world, 1, "t", 0), away = leader % 3 + 1;
    cluster_world_crash(&world, away, IO_SIM_CRASH_POWER);
    assert_status(cluster_world_delete_records(&world, leader, "t", 0, 25), STATUS_OK);
    cluster_world_start(&world, away);
    cluster_world_run(&world, 15000);
    for (uint32_t node = 1; node <= 3; node++) {
        struct partition_info info;
        assert_status(broker_partition_info(world.nodes[node].broker, SLICE_LITERAL("t"), 0, &info),
                      STATUS_OK);
        assert_int_equal(info.log_start_offset, 25);
    }
    cluster_world_shutdown(&world, leader);
    cluster_world_produce_numbers(&world, "t", 0, 40, 45, -1);
    cluster_world_start(&world, leader);
    cluster_world_run(&world, 3000);
    struct partition_info info;
    uint32_t next = cluster_world_leader(&world, 1, "t", 0);
    assert_status(broker_partition_info(world.nodes[next].broker, SLICE_LITERAL("t"), 0, &info), STATUS_OK);
    assert_true(info.log_start_offset == 25 && info.high_watermark == 46); /* the log says so itself */
    cluster_world_close(&world);
}

/* Leader epochs ascend, and each tells where its records end. */
static void epochs_tell_where_they_end(void **state) {
    (void)state;
    open_with_topic(25, 3, 1, 3);
    int32_t epochs[3];
    for (int round = 0; round < 3; round++) {
        cluster_world_produce_numbers(&world, "t", 0, round * 10, round * 10 + 10, -1);
        uint32_t leader = cluster_world_leader(&world, world.nodes[1].broker == NULL ? 2 : 1, "t", 0);
        epochs[round] = broker_partition_leader(
                            world.nodes[leader].broker,
                            broker_topic_find(world.nodes[leader].broker, SLICE_LITERAL("t")), 0)
                            .epoch;
        if (round == 2) break;
        cluster_world_crash(&world, leader, IO_SIM_CRASH_POWER);
        cluster_world_run(&world, 3000);
        cluster_world_start(&world, leader);
        cluster_world_run(&world, 3000);
    }
    assert_true(epochs[0] < epochs[1] && epochs[1] < epochs[2]);
    uint32_t leader = cluster_world_leader(&world, 1, "t", 0);
    int64_t ends[3];
    for (int round = 0; round < 3; round++) {
        int32_t found;
        assert_status(broker_epoch_end(world.nodes[leader].broker, SLICE_LITERAL("t"), 0, epochs[round],
                                       &found, &ends[round]),
                      STATUS_OK);
        assert_int_equal(found, epochs[round]);
    }
    assert_true(ends[0] == 10 && ends[1] >= 20 && ends[1] <= ends[2] - 10);
    int32_t found;
    assert_status(
        broker_epoch_end(world.nodes[leader].broker, SLICE_LITERAL("t"), 0, epochs[2] + 1, &found, &ends[0]),
        STATUS_OK);
    assert_int_equal(found, -1);
    cluster_world_expect_numbers(&world, "t", 0, 30);
    /* One whose records are all deleted ended where the log begins: who has read up to there may go on. */
    assert_status(cluster_world_delete_records(&world, leader, "t", 0, ends[1]), STATUS_OK);
    cluster_world_run(&world, 1000);
    for (int round = 0; round < 2; round++) {
        int64_t end;
        assert_status(
            broker_epoch_end(world.nodes[leader].broker, SLICE_LITERAL("t"), 0, epochs[round], &found, &end),
            STATUS_OK);
        assert_int_equal(found, epochs[round]);
        assert_int_equal(end, ends[1]);
    }
    cluster_world_close(&world);
}

/* Any node takes anything, whoever leads, when it is asked to. */
static void requests_are_taken_to_the_leader(void **state) {
    (void)state;
    open_with_topic(24, 3, 6, 1);
    world.forward = true;
    for (int p = 0; p < 6; p++) {
        cluster_world_leader(&world, 1, "t", p);
        for (int i = 0; i < 9; i++) {
            char value[16];
            int64_t offset = -1;
            snprintf(value, sizeof value, "%d", i);
            enum status status = cluster_world_append(&world, (uint32_t)i % 3 + 1, "t", p, value, -1, 0,
                                                      &offset);
            assert_status(status, STATUS_OK);
            assert_int_equal(offset, i);
        }
        cluster_world_expect_numbers(&world, "t", p, 9);
    }
    /* Whoever would have to be asked is gone: it is said soon, and the others go on. */
    uint32_t victim = cluster_world_leader(&world, 1, "t", 0) == 1 ? 2
                                                                   : cluster_world_leader(&world, 1, "t", 0);
    int gone = 0;
    while (cluster_world_leader(&world, 1, "t", gone) != victim)
        gone++;
    cluster_world_crash(&world, victim, IO_SIM_CRASH_POWER);
    assert_status(cluster_world_append(&world, 1, "t", gone, "x", -1, 0, NULL), STATUS_NOT_LEADER);
    cluster_world_close(&world);
}

static void directories_are_not_mixed_up(void **state) {
    (void)state;
    cluster_world_open(&world, 23, 3);
    cluster_world_run(&world, 3000);
    cluster_world_crash(&world, 1, IO_SIM_CRASH_PROCESS);
    cluster_world_crash(&world, 2, IO_SIM_CRASH_PROCESS);
    io_sim_clone_disk(world.sim, 0, 1, IO_SIM_CRASH_PROCESS); /* node 2 with node 1's disk */
    assert_status(cluster_world_try_start(&world, 2), STATUS_INVALID);
    assert_non_null(strstr(world.why.text, "belongs to node 1"));
    cluster_world_close(&world);
}

static void backup_done(struct store_checkpoint *request) {
    assert_status(request->status, STATUS_OK);
}

/* A member restored from a checkpoint has forgotten what it promised since: it is refused, and with an empty
 * directory it is made whole. */
static void a_restored_checkpoint_is_no_member(void **state) {
    (void)state;
    open_with_topic(31, 3, 1, 3);
    cluster_world_produce_numbers(&world, "t", 0, 0, 10, -1);
    struct backup backup = {.checkpoint = {.done = backup_done}};
    assert_status(backup_start(world.nodes[2].broker, SLICE_LITERAL("old"), &backup, &world.why), STATUS_OK);
    cluster_world_run(&world, 2000);
    assert_true(backup.checkpoint.tables > 0);
    backup_release(&backup);
    cluster_world_produce_numbers(&world, "t", 0, 10, 20, -1);
    cluster_world_crash(&world, 2, IO_SIM_CRASH_PROCESS);
    struct io *io = io_sim_node_io(world.sim, 1);
    assert_status(io_rename(io, "data", "broken"), STATUS_OK);
    assert_status(io_rename(io, "broken/checkpoints/old", "data"), STATUS_OK);
    io_sim_crash_node(world.sim, 1, IO_SIM_CRASH_PROCESS);
    io_free(io);
    for (int attempt = 0; attempt < 2; attempt++) {
        assert_status(cluster_world_try_start(&world, 2), STATUS_INVALID);
        assert_non_null(strstr(world.why.text, "is a checkpoint"));
        assert_non_null(strstr(world.why.text, "empty directory"));
    }
    io_sim_wipe_disk(world.sim, 1);
    cluster_world_start(&world, 2);
    cluster_world_run(&world, 10000);
    cluster_world_expect_numbers(&world, "t", 0, 20);
    cluster_world_close(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cluster_is_founded_and_serves),
        cmocka_unit_test(nobody_hears_of_a_node_before_its_disk_does),
        cmocka_unit_test(who_does_not_lead_says_so),
        cmocka_unit_test(failures_lose_and_double_nothing),
        cmocka_unit_test(a_new_leader_tells_no_watermark_below_one_that_was_told),
        cmocka_unit_test(a_minority_refuses),
        cmocka_unit_test(many_changes_wait_for_a_controller_at_once),
        cmocka_unit_test(a_wiped_node_is_rebuilt),
        cmocka_unit_test(of_two_config_changes_through_two_nodes_none_is_lost),
        cmocka_unit_test(a_topic_made_again_is_not_deleted_by_the_id_before),
        cmocka_unit_test(a_deleted_topic_is_gone_everywhere),
        cmocka_unit_test(what_a_crash_left_of_a_topic_goes_at_the_next_start),
        cmocka_unit_test(a_node_stops_in_order_while_its_log_start_is_stored),
        cmocka_unit_test(rolling_restarts_keep_serving),
        cmocka_unit_test(many_that_leave_wait_for_nobody),
        cmocka_unit_test(fewer_replicas_than_nodes_are_spread),
        cmocka_unit_test(deleted_records_stay_deleted),
        cmocka_unit_test(epochs_tell_where_they_end),
        cmocka_unit_test(requests_are_taken_to_the_leader),
        cmocka_unit_test(directories_are_not_mixed_up),
        cmocka_unit_test(a_restored_checkpoint_is_no_member),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
