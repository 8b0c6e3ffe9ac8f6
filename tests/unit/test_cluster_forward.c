// SPDX-License-Identifier: Apache-2.0
/* Any node serves any client: what another node leads or coordinates is taken there and back. And a node that
 * learns of topics by a snapshot knows as much of them as one that was told each. */
#include "lib/test.h"

#include <stdio.h>

#include "base/mem.h"
#include "broker/broker_state.h"
#include "broker/cluster.h"
#include "broker/coordinator.h"
#include "lib/cluster_world.h"

static struct cluster_world world;

/* ---- partitions ------------------------------------------------------------------------------------------
 */

struct waiting_ask {
    struct partition_ask ask;
    bool done;
};

static void asked(struct partition_ask *ask) {
    CONTAINER_OF(ask, struct waiting_ask, ask)->done = true;
}

static struct partition_ask ask(uint32_t node, enum partition_ask_kind kind, int32_t partition, int32_t to) {
    struct waiting_ask waiting = {
        .ask = {
            .kind = kind, .topic = SLICE_LITERAL("t"), .partition = partition, .node = to, .done = asked}};
    broker_ask_partition(world.nodes[node].broker, &waiting.ask);
    for (int i = 0; i < 4000 && !waiting.done; i++)
        cluster_world_run(&world, 5);
    assert_true(waiting.done);
    return waiting.ask;
}

static void leaders_are_asked_whoever_is_asked(void **state) {
    (void)state;
    cluster_world_open(&world, 60, 3);
    cluster_world_run(&world, 3000);
    assert_status(cluster_world_create(&world, 1, "t", 3, 2), STATUS_OK);
    for (int p = 0; p < 3; p++)
        for (int i = 0; i < 7; i++)
            cluster_world_produce(&world, "t", p, "x", -1, 0);
    for (uint32_t node = 1; node <= 3; node++) {
        for (int32_t p = 0; p < 3; p++) {
            struct partition_ask answer = ask(node, PARTITION_DESCRIBE, p, 0);
            assert_status(answer.status, STATUS_OK);
            assert_int_equal(answer.info.high_watermark, 7);
            assert_int_equal(answer.info.leader, cluster_world_leader(&world, node, "t", p));
            assert_int_equal(answer.replica_count, 2);
            for (uint32_t i = 0; i < 2; i++)
                assert_true(answer.replicas[i].votes && answer.replicas[i].end_offset == 7);
        }
        assert_status(ask(node, PARTITION_DESCRIBE, 3, 0).status, STATUS_UNKNOWN_TOPIC);
        struct partition_ask metadata = ask(node, PARTITION_DESCRIBE_METADATA, 0, 0);
        assert_status(metadata.status, STATUS_OK);
        assert_int_equal(metadata.info.leader, broker_controller(world.nodes[node].broker));
        assert_int_equal(metadata.replica_count, 3);
        for (uint32_t i = 0; i < 3; i++)
            assert_true(metadata.replicas[i].votes &&
                        metadata.replicas[i].end_offset == metadata.info.log_end_offset);
    }
    /* Leadership goes to the other replica, and not to a node that has none. */
    int32_t nodes[BROKER_REPLICAS_MAX];
    struct broker *broker = world.nodes[1].broker;
    assert_int_equal(
        broker_partition_replicas(broker, broker_topic_find(broker, SLICE_LITERAL("t")), 0, false, nodes), 2);
    uint32_t leader = cluster_world_leader(&world, 1, "t", 0);
    int32_t other = nodes[0] == (int32_t)leader ? nodes[1] : nodes[0];
    int32_t third = 6 - nodes[0] - nodes[1];
    assert_status(ask((uint32_t)third, PARTITION_TRANSFER, 0, third).status, STATUS_NOT_FOUND);
    assert_status(ask((uint32_t)third, PARTITION_TRANSFER, 0, other).status, STATUS_OK);
    cluster_world_run(&world, 500);
    assert_int_equal(cluster_world_leader(&world, (uint32_t)third, "t", 0), other);
    assert_status(ask((uint32_t)third, PARTITION_TRANSFER, 0, 0).status, STATUS_OK); /* the preferred one */
    cluster_world_run(&world, 500);
    assert_int_equal(cluster_world_leader(&world, 1, "t", 0), nodes[0]);
    world.forward = true;
    for (uint32_t node = 1; node <= 3; node++)
        assert_status(cluster_world_delete_records(&world, node, "t", 1, (int64_t)node), STATUS_OK);
    assert_int_equal(ask(2, PARTITION_DESCRIBE, 1, 0).info.log_start_offset, 3);
    assert_status(cluster_world_delete_records(&world, 1, "t", 1, 99), STATUS_OFFSET_OUT_OF_RANGE);
    cluster_world_close(&world);
}

struct waiting_poll {
    struct fetch fetch;
    struct fetch_partition parts[3];
    bool done;
};

static void polled(struct fetch *fetch) {
    CONTAINER_OF(fetch, struct waiting_poll, fetch)->done = true;
}

static void poll_start(struct waiting_poll *poll, uint32_t node, const int64_t *offsets, int32_t bytes_min) {
    *poll = (struct waiting_poll){.fetch = {.partitions = poll->parts,
                                            .partition_count = 3,
                                            .wait_max_ms = 4000,
                                            .bytes_min = bytes_min,
                                            .bytes_max = 1 << 20,
                                            .forward = true,
                                            .done = polled}};
    for (int32_t p = 0; p < 3; p++)
        poll->parts[p] = (struct fetch_partition){.topic = SLICE_LITERAL("t"),
                                                  .partition = p,
                                                  .offset = offsets[p],
                                                  .bytes_max = 1 << 20,
                                                  .leader_epoch = -1};
    broker_fetch(world.nodes[node].broker, &poll->fetch);
}

/* Until it is done; how long that took. */
static uint64_t poll_await(struct waiting_poll *poll) {
    uint64_t begin = io_sim_now(world.sim);
    while (!poll->done && io_sim_now(world.sim) - begin < 10 * NS_PER_S)
        cluster_world_run(&world, 5);
    assert_true(poll->done);
    return (io_sim_now(world.sim) - begin) / NS_PER_MS;
}

/* Partitions led elsewhere cannot wake who waits for them: they are asked again and again, and answer beside
 * those that can. */
static void a_poll_hears_of_partitions_led_anywhere(void **state) {
    (void)state;
    int64_t ends[3] = {0};
    struct waiting_poll poll;
    cluster_world_open(&world, 67, 3);
    cluster_world_run(&world, 3000);
    assert_status(cluster_world_create(&world, 1, "t", 3, 3), STATUS_OK);
    cluster_world_run(&world, 1000);
    for (int round = 0; round < 12; round++) {
        uint32_t node = 1 + (uint32_t)round % 3;
        int p = round / 3 % 3;
        poll_start(&poll, node, ends, 1);
        cluster_world_run(&world, 100 + 37 * (uint64_t)round);
        assert_false(poll.done);
        ends[p] = 1 + cluster_world_produce(&world, "t", p, "x", -1, 0);
        assert_in_range(poll_await(&poll), 0, 500);
        for (int i = 0; i < 3; i++) {
            assert_status(poll.parts[i].status, STATUS_OK);
            assert_int_equal(poll.parts[i].batch_count, i == p);
        }
        fetch_release(&poll.fetch);
    }
    /* Woken many times while it asks: it has all in the end, once. */
    int64_t from[3] = {ends[0], ends[1], ends[2]};
    poll_start(&poll, 1, from, 1 << 20);
    for (int i = 0; i < 60; i++) {
        ends[i % 3]++;
        cluster_world_produce(&world, "t", i % 3, "x", -1, 0);
        cluster_world_run(&world, (uint64_t)i % 7);
    }
    assert_false(poll.done);
    assert_in_range(poll_await(&poll), 100, 4000);
    for (int i = 0; i < 3; i++) {
        assert_status(poll.parts[i].status, STATUS_OK);
        assert_int_equal(poll.parts[i].batch_count, 20);
    }
    fetch_release(&poll.fetch);
    cluster_world_close(&world);
}

/* What a node asked before it was restarted may be answered after. It would take that for the answer to what it
 * asks now, were its questions numbered alike in each of its lives. */
static void questions_of_two_lives_have_different_numbers(void **state) {
    (void)state;
    cluster_world_open(&world, 64, 3);
    cluster_world_run(&world, 3000);
    uint64_t asked_last = 0;
    for (int life = 0; life < 5; life++) {
        uint64_t first = world.nodes[1].broker->cluster->next_number;
        assert_true(MIN(first - asked_last, asked_last - first) > UINT32_MAX);
        asked_last = first;
        cluster_world_crash(&world, 1, IO_SIM_CRASH_PROCESS);
        cluster_world_start(&world, 1);
        cluster_world_run(&world, 1000);
    }
    cluster_world_close(&world);
}

/* Metadata never names a leader that is not among the nodes that are up: clients would look for it for ever.
 */
static void no_leader_is_named_that_is_down(void **state) {
    (void)state;
    cluster_world_open(&world, 63, 3);
    cluster_world_run(&world, 3000);
    assert_status(cluster_world_create(&world, 1, "t", 3, 3), STATUS_OK);
    cluster_world_run(&world, 1000);
    uint32_t victim = cluster_world_leader(&world, 1, "t", 1);
    cluster_world_crash(&world, victim, IO_SIM_CRASH_PROCESS);
    for (int i = 0; i < 400; i++) {
        cluster_world_run(&world, 1);
        for (uint32_t node = 1; node <= 3; node++) {
            struct broker *broker = world.nodes[node].broker;
            struct broker_node nodes[BROKER_NODES_MAX];
            if (broker == NULL) continue;
            assert_int_equal(broker_nodes(broker, nodes), 3);
            const struct broker_topic *topic = broker_topic_find(broker, SLICE_LITERAL("t"));
            for (int32_t p = 0; p < 3; p++) {
                struct partition_leader leader = broker_partition_leader(broker, topic, p);
                assert_true(leader.node < 0 || nodes[leader.node - 1].up);
            }
        }
    }
    cluster_world_close(&world);
}

/* ---- groups ----------------------------------------------------------------------------------------------
 */

struct waiting_call {
    struct group_call call;
    bool done;
    enum status reply;
    int64_t offset;
    int32_t epoch;
    uint32_t members, assigned;
};

static void answered(struct group_call *call, const struct group_reply *reply) {
    struct waiting_call *waiting = CONTAINER_OF(call, struct waiting_call, call);
    waiting->reply = reply->status;
    waiting->offset = -1;
    if (reply->member != NULL) {
        waiting->epoch = reply->member->epoch;
        waiting->assigned = reply->member->assigned.count;
    }
    if (reply->group == NULL) return;
    waiting->members = (uint32_t)reply->group->members.count;
    const struct group_offset *offset = group_offset_find(reply->group, SLICE_LITERAL("t"), 1);
    if (offset != NULL) waiting->offset = offset->offset;
}

static void done(struct group_call *call) {
    CONTAINER_OF(call, struct waiting_call, call)->done = true;
}

static struct waiting_call waiting_new(void) {
    return (struct waiting_call){.call = {.answer = answered, .done = done, .forward = true}, .offset = -1};
}

static enum status wait(struct waiting_call *waiting) {
    for (int i = 0; i < 4000 && !waiting->done; i++)
        cluster_world_run(&world, 5);
    assert_true(waiting->done);
    return waiting->call.status != STATUS_OK ? waiting->call.status : waiting->reply;
}

static enum status commit(uint32_t node, const char *group, int64_t offset) {
    struct waiting_call waiting = waiting_new();
    struct group_commit_offset one = {
        .topic = SLICE_LITERAL("t"), .partition = 1, .offset = offset, .leader_epoch = -1};
    const struct group_commit all = {
        .who = {.group = slice_from_text(group), .generation = -1}, .offsets = &one, .offset_count = 1};
    coordinator_commit(world.nodes[node].broker, &waiting.call, &all);
    enum status status = wait(&waiting);
    return status == STATUS_OK ? one.status : status;
}

static struct waiting_call read_group(uint32_t node, const char *group) {
    struct waiting_call waiting = waiting_new();
    const struct group_identity who = {.group = slice_from_text(group), .generation = -1};
    coordinator_read(world.nodes[node].broker, &waiting.call, &who);
    assert_status(wait(&waiting), STATUS_OK);
    return waiting;
}

static struct waiting_call beat(uint32_t node, const char *group, const char *member, int32_t epoch) {
    struct waiting_call waiting = waiting_new();
    const struct slice topics[] = {SLICE_LITERAL("t")};
    struct group_consumer_beat request = {.group = slice_from_text(group),
                                          .member_id = slice_from_text(member),
                                          .client_id = SLICE_LITERAL("c"),
                                          .client_host = SLICE_LITERAL("h"),
                                          .epoch = epoch,
                                          .rebalance_timeout_ms = 30000,
                                          .has_topics = epoch == 0,
                                          .has_owned = epoch == 0,
                                          .topics = topics,
                                          .topic_count = epoch == 0};
    bool changed;
    coordinator_beat(world.nodes[node].broker, &waiting.call, &request, &changed);
    assert_status(wait(&waiting), STATUS_OK);
    return waiting;
}

struct waiting_listing {
    struct group_listing listing;
    uint32_t groups, members;
    bool done;
};

static void seen(struct group_listing *listing, const struct group_summary *summary) {
    struct waiting_listing *waiting = CONTAINER_OF(listing, struct waiting_listing, listing);
    waiting->groups++;
    waiting->members += (uint32_t)summary->member_count;
    assert_string_equal(summary->kind, "consumer");
}

static void listed(struct group_listing *listing) {
    CONTAINER_OF(listing, struct waiting_listing, listing)->done = true;
}

static struct waiting_listing list_groups(uint32_t node) {
    struct waiting_listing waiting = {.listing = {.visit = seen, .done = listed}};
    broker_list_groups(world.nodes[node].broker, &waiting.listing);
    for (int i = 0; i < 4000 && !waiting.done; i++)
        cluster_world_run(&world, 5);
    assert_true(waiting.done);
    return waiting;
}

static void groups_are_served_by_every_node(void **state) {
    (void)state;
    cluster_world_open(&world, 61, 3);
    cluster_world_run(&world, 3000);
    assert_status(cluster_world_create(&world, 1, "t", 4, 3), STATUS_OK);
    cluster_world_run(&world, 1000);
    char name[32];
    for (int g = 0; g < 8; g++) {
        snprintf(name, sizeof name, "group-%d", g);
        for (uint32_t node = 1; node <= 3; node++) {
            assert_status(commit(node, name, g * 10 + node), STATUS_OK);
            assert_int_equal(read_group(node % 3 + 1, name).offset, g * 10 + node);
        }
        struct waiting_call joined = beat((uint32_t)g % 3 + 1, name, "m", 0);
        assert_int_equal(joined.assigned, 4);
        joined = beat((uint32_t)(g + 1) % 3 + 1, name, "m", joined.epoch);
        assert_int_equal(joined.assigned, 4);
        assert_int_equal(read_group(1, name).members, 1);
    }
    for (uint32_t node = 1; node <= 3; node++) {
        struct waiting_listing all = list_groups(node);
        assert_status(all.listing.base.status, STATUS_OK);
        assert_true(all.groups == 8 && all.members == 8);
    }
    struct waiting_call gone = waiting_new();
    coordinator_delete_group(world.nodes[1].broker, &gone.call, SLICE_LITERAL("group-1"));
    assert_status(wait(&gone), STATUS_GROUP_NOT_EMPTY);
    /* Who is asked to tell it on is gone, or nobody knows a coordinator: that is said, and soon. */
    int32_t coordinator = broker_coordinator(world.nodes[1].broker, SLICE_LITERAL("group-2"));
    uint32_t victim = (uint32_t)coordinator, other = victim % 3 + 1;
    cluster_world_crash(&world, victim, IO_SIM_CRASH_POWER);
    struct waiting_call lost = waiting_new();
    const struct group_identity who = {.group = SLICE_LITERAL("group-2"), .generation = -1};
    coordinator_read(world.nodes[other].broker, &lost.call, &who);
    assert_status(wait(&lost), STATUS_NOT_COORDINATOR);
    /* Nor is a list without what they coordinated taken for all there is, until it is all there. */
    int refused = 0;
    for (int i = 0; i < 100; i++) {
        struct waiting_listing all = list_groups(other);
        if (all.listing.base.status == STATUS_OK) assert_int_equal(all.groups, 8);
        refused += all.listing.base.status != STATUS_OK;
        cluster_world_run(&world, 30);
    }
    assert_in_range(refused, 1, 90);
    assert_int_equal(read_group(other, "group-2").offset, 23);
    cluster_world_close(&world);
}

/* ---- what is under way ----------------------------------------------------------------------------------
 */

static void nothing_is_seen(struct txn_listing *listing, const struct txn_summary *txn) {
    (void)listing;
    fail_msg("there is no transaction, but '%.*s'", (int)txn->id.size, (const char *)txn->id.data);
}

static void txns_listed(struct txn_listing *listing) {
    (void)listing;
    fail_msg("it was cancelled");
}

static void run_us(uint64_t us) {
    io_sim_run_until(world.sim, io_sim_now(world.sim) + us * NS_PER_US);
}

static void set_true(void *flag) {
    *(bool *)flag = true;
}

enum fate { CANCELLED, ASKER_STOPS, ASKER_CRASHES, COORDINATOR_CRASHES };

/* A commit that one node asks another for, and what becomes of it `us` later. What was said to be committed
 * is. */
static void try_fate(enum fate fate, uint64_t us, int64_t offset) {
    uint32_t coordinator = (uint32_t)broker_coordinator(world.nodes[1].broker, SLICE_LITERAL("g"));
    uint32_t asker = coordinator % 3 + 1, third = asker % 3 + 1;
    int64_t before = read_group(third, "g").offset;
    struct waiting_call waiting = waiting_new();
    struct group_commit_offset one = {
        .topic = SLICE_LITERAL("t"), .partition = 1, .offset = offset, .leader_epoch = -1};
    const struct group_commit all = {
        .who = {.group = SLICE_LITERAL("g"), .generation = -1}, .offsets = &one, .offset_count = 1};
    coordinator_commit(world.nodes[asker].broker, &waiting.call, &all);
    run_us(us);
    bool answered_before = waiting.done, stopped = false;
    if (fate == ASKER_STOPS) {
        broker_shutdown(world.nodes[asker].broker, set_true, &stopped);
        for (int i = 0; i < 4000 && !stopped; i++)
            cluster_world_run(&world, 5);
        assert_true(stopped);
    } else if (fate != COORDINATOR_CRASHES && !waiting.done) {
        coordinator_cancel(&waiting.call);
    }
    if (fate != CANCELLED) {
        uint32_t down = fate == COORDINATOR_CRASHES ? coordinator : asker;
        cluster_world_crash(&world, down, IO_SIM_CRASH_POWER);
        cluster_world_run(&world, 100);
        cluster_world_start(&world, down);
    }
    if (fate == COORDINATOR_CRASHES) MAYBE(wait(&waiting) == STATUS_OK);
    cluster_world_run(&world, 3000);
    assert_true(waiting.done == (answered_before || fate == ASKER_STOPS || fate == COORDINATOR_CRASHES));
    int64_t now = read_group(third, "g").offset;
    bool told = waiting.done && waiting.call.status == STATUS_OK && waiting.reply == STATUS_OK &&
                one.status == STATUS_OK;
    assert_true(now == offset || (!told && now == before));
}

static void what_is_under_way_ends_with_a_node(void **state) {
    (void)state;
    cluster_world_open(&world, 65, 3);
    cluster_world_run(&world, 3000);
    assert_status(cluster_world_create(&world, 1, "t", 4, 3), STATUS_OK);
    assert_status(commit(1, "g", 1), STATUS_OK);
    int64_t offset = 1;
    for (enum fate fate = CANCELLED; fate <= COORDINATOR_CRASHES; fate++)
        for (uint64_t us = 0; us < 5000; us += 500)
            try_fate(fate, us, ++offset);
    cluster_world_close(&world);
}

/* Whoever asked may go away at any moment, and its memory with it. */
static void a_list_may_be_cancelled(void **state) {
    (void)state;
    cluster_world_open(&world, 66, 3);
    cluster_world_run(&world, 3000);
    assert_status(cluster_world_create(&world, 1, "t", 4, 3), STATUS_OK);
    for (uint64_t us = 0; us < 2000; us += 200) {
        struct waiting_listing *groups = mem_calloc(1, sizeof *groups);
        struct txn_listing *txns = mem_calloc(1, sizeof *txns);
        groups->listing.visit = seen;
        groups->listing.done = listed;
        txns->visit = nothing_is_seen;
        txns->done = txns_listed;
        broker_list_groups(world.nodes[1].broker, &groups->listing);
        run_us(us);
        if (!groups->done) broker_list_groups_cancel(&groups->listing);
        broker_list_txns(world.nodes[1].broker, txns);
        broker_list_txns_cancel(txns);
        mem_free(groups);
        mem_free(txns);
        cluster_world_run(&world, 20);
    }
    cluster_world_close(&world);
}

/* A name that no group can have is refused at once, by whichever node. */
static void a_group_without_a_name_is_refused_everywhere(void **state) {
    (void)state;
    cluster_world_open(&world, 63, 3);
    cluster_world_run(&world, 3000);
    assert_status(cluster_world_create(&world, 1, "t", 4, 3), STATUS_OK);
    cluster_world_run(&world, 1000);
    for (uint32_t node = 1; node <= 3; node++) {
        assert_int_equal(read_group(node, "").members, 0);
        assert_status(commit(node, "", 1), STATUS_INVALID_GROUP_ID);
        struct waiting_call gone = waiting_new();
        coordinator_delete_group(world.nodes[node].broker, &gone.call, SLICE_LITERAL(""));
        assert_status(wait(&gone), STATUS_GROUP_NOT_FOUND);
    }
    cluster_world_close(&world);
}

/* ---- what a snapshot tells -------------------------------------------------------------------------------
 */

static bool knows_members(uint32_t node, const char *topic) {
    struct broker *broker = world.nodes[node].broker;
    const struct topic_state *found = (const struct topic_state *)broker_topic_find(broker,
                                                                                    slice_from_text(topic));
    assert_non_null(found);
    const struct raft_replica *replica = raft_host_find(broker->cluster->host, found->groups[0]);
    assert_non_null(replica);
    const struct raft_config *config = raft_config(raft_replica_raft(replica));
    return config != NULL && config->member_count == 3;
}

static void a_snapshot_tells_the_members_of_new_partitions(void **state) {
    (void)state;
    cluster_world_open(&world, 62, 3);
    cluster_world_run(&world, 3000);
    assert_status(cluster_world_create(&world, 1, "early", 1, 3), STATUS_OK);
    cluster_world_run(&world, 1000);
    uint32_t away = broker_controller(world.nodes[1].broker) == 3 ? 2 : 3, asked = 1;
    cluster_world_crash(&world, away, IO_SIM_CRASH_POWER);
    for (int i = 0; i < 3; i++)
        assert_status(cluster_world_create(&world, asked,
                                           i == 0   ? "a"
                                           : i == 1 ? "b"
                                                    : "c",
                                           1, 2),
                      STATUS_OK);
    /* Three replicas need three nodes: they are placed by hand. */
    int32_t nodes[] = {1, 2, 3};
    assert_status(cluster_world_create_on(&world, asked, "late", nodes, 3), STATUS_OK);
    for (int i = 0; i < 1200; i++) { /* more than the controller keeps */
        assert_status(cluster_world_create(&world, asked, "x", 1, 1), STATUS_OK);
        assert_status(cluster_world_delete(&world, asked, "x"), STATUS_OK);
    }
    cluster_world_run(&world, 2000);
    cluster_world_start(&world, away);
    for (int i = 0; i < 200 && broker_topic_find(world.nodes[away].broker, SLICE_LITERAL("late")) == NULL;
         i++)
        cluster_world_run(&world, 100);
    assert_null(broker_topic_find(world.nodes[away].broker, SLICE_LITERAL("x")));
    assert_true(knows_members(away, "late"));
    cluster_world_produce(&world, "late", 0, "x", -1, 0);
    cluster_world_crash(&world, asked, IO_SIM_CRASH_POWER);
    cluster_world_produce(&world, "late", 0, "y", -1, 0);
    cluster_world_close(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leaders_are_asked_whoever_is_asked),
        cmocka_unit_test(a_poll_hears_of_partitions_led_anywhere),
        cmocka_unit_test(questions_of_two_lives_have_different_numbers),
        cmocka_unit_test(no_leader_is_named_that_is_down),
        cmocka_unit_test(groups_are_served_by_every_node),
        cmocka_unit_test(what_is_under_way_ends_with_a_node),
        cmocka_unit_test(a_list_may_be_cancelled),
        cmocka_unit_test(a_group_without_a_name_is_refused_everywhere),
        cmocka_unit_test(a_snapshot_tells_the_members_of_new_partitions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
