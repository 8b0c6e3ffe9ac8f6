// SPDX-License-Identifier: Apache-2.0
#include "lib/test.h"

#include "base/mem.h"
#include "base/prng.h"
#include "lib/replica_world.h"

static struct replica_world world;

static void start_all(uint64_t seed, uint32_t nodes, enum raft_format format) {
    replica_world_open(&world, seed, nodes);
    world.format = format;
    for (uint32_t i = 1; i <= nodes; i++)
        replica_world_start(&world, i);
}

static void three_nodes_elect_and_replicate(void **state) {
    (void)state;
    for (int format = RAFT_FORMAT_BATCHES; format <= RAFT_FORMAT_PLAIN; format++) {
        start_all(1, 3, (enum raft_format)format);
        replica_world_propose_many(&world, 300);
        assert_true(replica_world_settle(&world, 5000));
        assert_int_equal(world.accepted, 300);
        assert_true(world.committed_end >= 300);
        replica_world_close(&world);
    }
}

static void a_single_node_needs_nobody(void **state) {
    (void)state;
    start_all(2, 1, RAFT_FORMAT_PLAIN);
    replica_world_propose_many(&world, 50);
    assert_true(replica_world_settle(&world, 1000));
    assert_int_equal(world.committed_end, 50);
    replica_world_crash(&world, 1, IO_SIM_CRASH_POWER_BARE);
    replica_world_start(&world, 1);
    assert_true(replica_world_settle(&world, 1000));
    assert_int_equal(world.nodes[0].log.entries, 50);
    replica_world_close(&world);
}

static void a_restarted_leader_rejoins(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        start_all(seed, 3, RAFT_FORMAT_BATCHES);
        replica_world_propose_many(&world, 40);
        uint32_t leader = replica_world_leader(&world, 5000);
        replica_world_crash(&world, leader, seed % 2 == 0 ? IO_SIM_CRASH_POWER : IO_SIM_CRASH_POWER_BARE);
        uint64_t before = io_sim_now(world.sim);
        uint32_t next = replica_world_leader(&world, 5000);
        assert_int_not_equal(next, 0);
        assert_true(io_sim_now(world.sim) - before < 2 * NS_PER_S);
        replica_world_propose_many(&world, 40);
        replica_world_start(&world, leader);
        assert_true(replica_world_settle(&world, 5000));
        replica_world_close(&world);
    }
}

static void all_lose_power_and_nothing_is_lost(void **state) {
    (void)state;
    start_all(5, 3, RAFT_FORMAT_BATCHES);
    for (int round = 0; round < 5; round++) {
        replica_world_propose_many(&world, 50);
        for (uint32_t i = 1; i <= 3; i++)
            replica_world_crash(&world, i, IO_SIM_CRASH_POWER);
        for (uint32_t i = 1; i <= 3; i++)
            replica_world_start(&world, i);
        assert_true(replica_world_settle(&world, 5000));
    }
    replica_world_close(&world);
}

/* A crash at every disk operation of one node in turn, while the three replicate. */
static void crash_at_every_disk_operation(void **state) {
    (void)state;
    bool more = true;
    for (uint64_t n = 1; more && n < 400; n += n < 60 ? 1 : 7) {
        for (int stop = IO_SIM_STOP_BEFORE; stop <= IO_SIM_STOP_AFTER; stop++) {
            start_all(9, 3, RAFT_FORMAT_BATCHES);
            uint32_t victim = (uint32_t)(n % 3) + 1;
            io_sim_crash_at_disk_op(world.sim, victim - 1, n, (enum io_sim_stop)stop);
            bool crashed = false;
            for (int i = 0; i < 60; i++) {
                replica_world_run(&world, 10);
                if (io_sim_crash_due(world.sim, victim - 1)) {
                    replica_world_crash(&world, victim, IO_SIM_CRASH_POWER);
                    replica_world_start(&world, victim);
                    crashed = true;
                }
                uint32_t leader = replica_world_leader(&world, 0);
                if (leader != 0) replica_world_propose(&world, leader, 100);
            }
            io_sim_crash_at_disk_op(world.sim, victim - 1, 0, IO_SIM_STOP_BEFORE);
            more = crashed;
            assert_true(replica_world_settle(&world, 5000));
            replica_world_close(&world);
        }
    }
}

/* Random crashes, restarts and cuts; then all is mended, and all must agree. */
static void chaos(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 25; seed++) {
        start_all(seed, 3, seed % 2 == 0 ? RAFT_FORMAT_BATCHES : RAFT_FORMAT_PLAIN);
        struct prng prng;
        prng_init(&prng, seed);
        for (int step = 0; step < 120; step++) {
            uint32_t node = (uint32_t)prng_range(&prng, 1, 3), other = (uint32_t)prng_range(&prng, 1, 3);
            switch (prng_below(&prng, 12)) {
            case 0:
                if (world.nodes[node - 1].up) replica_world_crash(&world, node, IO_SIM_CRASH_POWER);
                break;
            case 1:
            case 2:
                if (!world.nodes[node - 1].up) replica_world_start(&world, node);
                break;
            case 3:
                if (node != other) io_sim_cut(world.sim, node - 1, other - 1, prng_chance(&prng, 1, 2));
                break;
            case 4:
                if (node != other) io_sim_reset_connections(world.sim, node - 1, other - 1);
                break;
            default:
                replica_world_propose(&world, node, 8 + prng_below(&prng, 1000));
            }
            replica_world_run(&world, prng_below(&prng, 60));
        }
        for (uint32_t a = 0; a < 3; a++) {
            for (uint32_t b = 0; b < 3; b++)
                if (a != b) io_sim_cut(world.sim, a, b, false);
            if (!world.nodes[a].up) replica_world_start(&world, a + 1);
        }
        assert_true(replica_world_settle(&world, 20000));
        replica_world_close(&world);
    }
}

/* A disk is lost: the node comes back as another member, a learner first, and is made whole. */
static void a_wiped_node_is_admitted_again(void **state) {
    (void)state;
    for (int compacted = 0; compacted < 2; compacted++) {
        start_all(3, 3, RAFT_FORMAT_PLAIN);
        replica_world_propose_many(&world, 60);
        assert_true(replica_world_settle(&world, 5000));
        if (compacted) {
            for (uint32_t i = 0; i < 3; i++)
                raft_replica_compact(world.nodes[i].replica, 50);
            replica_world_run(&world, 200);
            assert_int_equal(raft_replica_raft(world.nodes[0].replica)->log.start, 50);
        }
        uint32_t victim = replica_world_leader(&world, 1000);
        replica_world_crash(&world, victim, IO_SIM_CRASH_POWER_BARE);
        io_sim_wipe_disk(world.sim, victim - 1);
        world.nodes[victim - 1].incarnation = 2;
        replica_world_start(&world, victim);
        uint32_t leader = replica_world_leader(&world, 5000);
        assert_int_not_equal(leader, 0);
        assert_int_not_equal(leader, victim);
        struct raft_member members[3];
        for (uint32_t role = RAFT_LEARNER; role >= RAFT_VOTER; role -= RAFT_LEARNER - RAFT_VOTER) {
            for (uint32_t i = 0; i < 3; i++)
                members[i] = (struct raft_member){raft_id(i + 1, world.nodes[i].incarnation),
                                                  (uint8_t)(i + 1 == victim ? role : RAFT_VOTER)};
            leader = replica_world_leader(&world, 5000);
            assert_status(raft_replica_change(world.nodes[leader - 1].replica, members, 3), STATUS_OK);
            replica_world_run(&world, 2000);
            assert_true(replica_world_settle(&world, 5000));
            if (role == RAFT_VOTER) break;
        }
        const struct raft_config *config = raft_config(raft_replica_raft(world.nodes[victim - 1].replica));
        assert_int_equal(config->member_count, 3);
        assert_int_equal(config->members[victim - 1].flags, RAFT_VOTER);
        replica_world_propose_many(&world, 20);
        assert_true(replica_world_settle(&world, 5000));
        replica_world_close(&world);
    }
}

/* No room on one disk: the member goes out and comes back by itself, and the others go on. */
static void a_full_disk_is_survived(void **state) {
    (void)state;
    start_all(4, 3, RAFT_FORMAT_PLAIN);
    replica_world_propose_many(&world, 20);
    assert_true(replica_world_settle(&world, 5000));
    uint32_t victim = replica_world_leader(&world, 1000);
    io_sim_disk_faults(world.sim, victim - 1)->capacity_bytes = 1;
    for (int i = 0; i < 400; i++) {
        uint32_t leader = replica_world_leader(&world, 5000);
        assert_int_not_equal(leader, 0);
        replica_world_propose(&world, leader, 2000);
        replica_world_run(&world, 5);
    }
    io_sim_disk_faults(world.sim, victim - 1)->capacity_bytes = 0;
    assert_true(replica_world_settle(&world, 10000));
    replica_world_close(&world);
}

/* No descriptors on one node: neither what it cannot write nor what it cannot read ends the member. */
static void no_descriptors_are_survived(void **state) {
    (void)state;
    for (uint32_t role = 0; role < 2; role++) { /* the leader, a follower */
        start_all(4 + role, 3, RAFT_FORMAT_PLAIN);
        replica_world_propose_many(&world, 20);
        assert_true(replica_world_settle(&world, 5000));
        uint32_t victim = (replica_world_leader(&world, 1000) + role - 1) % 3 + 1;
        io_sim_disk_faults(world.sim, victim - 1)->no_descriptors = true;
        for (int i = 0; i < 400; i++) {
            uint32_t leader = replica_world_leader(&world, 5000);
            assert_int_not_equal(leader, 0);
            replica_world_propose(&world, leader, 2000);
            replica_world_run(&world, 5);
        }
        io_sim_disk_faults(world.sim, victim - 1)->no_descriptors = false;
        assert_true(replica_world_settle(&world, 10000));
        replica_world_close(&world);
    }
}

struct asked {
    struct raft_read_index read;
    bool done;
};

static void read_done(struct raft_read_index *read) {
    CONTAINER_OF(read, struct asked, read)->done = true;
}

static void reads_are_answered_where_they_are_asked(void **state) {
    (void)state;
    start_all(6, 3, RAFT_FORMAT_PLAIN);
    replica_world_propose_many(&world, 10);
    assert_true(replica_world_settle(&world, 5000));
    for (uint32_t i = 0; i < 3; i++) {
        struct asked asked = {.read = {.done = read_done}};
        raft_replica_read_index(world.nodes[i].replica, &asked.read);
        replica_world_run(&world, 500);
        assert_true(asked.done);
        assert_status(asked.read.status, STATUS_OK);
    }
    replica_world_close(&world);
}

static void a_follower_refuses_proposals(void **state) {
    (void)state;
    start_all(7, 3, RAFT_FORMAT_PLAIN);
    uint32_t leader = replica_world_leader(&world, 5000);
    replica_world_propose(&world, leader % 3 + 1, 100);
    replica_world_run(&world, 100);
    assert_int_equal(world.proposals, 1);
    assert_int_equal(world.accepted, 0);
    replica_world_close(&world);
}

/* ---- many groups ----------------------------------------------------------------------------------------
 */

static void set_true(void *ctx) {
    *(bool *)ctx = true;
}

#define MANY_GROUPS  600u
#define TOLD_AT_ONCE 256u

struct told {
    uint32_t downs, ups;
};

static void count_told(void *ctx, const struct raft *raft, const struct raft_event *event) {
    struct told *told = ctx;
    assert_non_null(raft);
    told->downs += event->kind == RAFT_EVENT_PEER_DOWN;
    told->ups += event->kind == RAFT_EVENT_PEER_UP;
}

static void apply_nothing(void *ctx, const struct raft_entry *entries, uint32_t count,
                          struct store_write *write) {
    assert_null(ctx);
    assert_non_null(entries);
    assert_true(count > 0);
    assert_non_null(write);
}

static void drop_message(void *ctx, uint32_t node, struct chain *message) {
    assert_null(ctx);
    assert_true(node > 0);
    chain_release(message);
}

static const struct raft_machine idle_machine = {.apply = apply_nothing};

/* A host of no groups yet, with a store of its own, beside the node that runs. */
struct own_host {
    struct store *store;
    struct raft_host *host;
};

static struct own_host own_host_open(uint64_t seed, const struct raft_host_watch *watch, void *watch_ctx) {
    struct own_host own;
    start_all(seed, 1, RAFT_FORMAT_PLAIN);
    struct store_options store_options = {.dir = "own", .partition_prefix_size = 9};
    assert_status(store_open(world.nodes[0].io, &store_options, &own.store, &world.why), STATUS_OK);
    struct raft_host_options options = {.io = world.nodes[0].io,
                                        .store = own.store,
                                        .raft = world.raft,
                                        .send = drop_message,
                                        .watch = watch,
                                        .watch_ctx = watch_ctx};
    options.raft.id = raft_id(1, 1);
    own.host = raft_host_new(&options);
    return own;
}

static void own_host_close(struct own_host *own) {
    raft_host_free(own->host);
    bool closed = false;
    store_shutdown(own->store, set_true, &closed);
    replica_world_run(&world, 1000);
    assert_true(closed);
    store_close(own->store);
    replica_world_close(&world);
}

static void open_many(struct raft_host *host, struct raft_replica **replicas) {
    struct raft_config *founding = mem_calloc(1, raft_config_size(3));
    founding->member_count = 3;
    for (uint32_t i = 0; i < 3; i++)
        founding->members[i] = (struct raft_member){raft_id(i + 1, 1), RAFT_VOTER};
    for (uint32_t i = 0; i < MANY_GROUPS; i++) {
        struct raft_replica_options options = {.group = 100 + i,
                                               .format = RAFT_FORMAT_PLAIN,
                                               .machine = &idle_machine,
                                               .founding = founding,
                                               .priority = RAFT_PRIORITY_MAX};
        struct diagnostic why;
        assert_status(raft_replica_open(host, &options, &replicas[i], &why), STATUS_OK);
    }
    mem_free(founding);
}

/* The loop has others to serve: no turn belongs to the failure detector's word. */
static void many_groups_hear_of_a_node_in_turns(void **state) {
    (void)state;
    struct told told = {0};
    struct raft_host_watch watch = {.before = count_told};
    struct own_host own = own_host_open(8, &watch, &told);
    struct raft_host *host = own.host;
    static struct raft_replica *replicas[MANY_GROUPS];
    open_many(host, replicas);
    raft_host_node_down(host, 2);
    assert_int_equal(told.downs, TOLD_AT_ONCE);
    replica_world_run(&world, 5);
    assert_int_equal(told.downs, MANY_GROUPS);
    raft_host_node_down(host, 3);
    raft_host_node_up(host, 3); /* all hear this, the last word, and not all the other */
    assert_int_equal(told.downs, MANY_GROUPS + TOLD_AT_ONCE);
    assert_int_equal(told.ups, TOLD_AT_ONCE);
    for (uint32_t i = 0; i < 10; i++) /* meanwhile some are closed */
        raft_replica_close(replicas[MANY_GROUPS - 1 - i], true);
    replica_world_run(&world, 5);
    assert_int_equal(told.downs, MANY_GROUPS + TOLD_AT_ONCE);
    assert_in_range(told.ups, MANY_GROUPS - 10, MANY_GROUPS);
    for (uint32_t i = 0; i < MANY_GROUPS - 10; i++)
        raft_replica_close(replicas[i], false);
    replica_world_run(&world, 100);
    own_host_close(&own);
}

/* A node of a cluster that is being formed has none: nothing is left to do, and nothing is done. */
static void a_host_without_groups_rests(void **state) {
    (void)state;
    struct own_host own = own_host_open(9, NULL, NULL);
    raft_host_node_down(own.host, 2);
    raft_host_node_up(own.host, 2);
    uint64_t until_ns = io_sim_now(world.sim) + 5 * NS_PER_MS, before = io_sim_event_count(world.sim);
    assert_true(io_sim_run_until(world.sim, until_ns));
    assert_in_range(io_sim_event_count(world.sim) - before, 0, 1000);
    own_host_close(&own);
}

/* Thousands of groups may have lost their leader with a node, and rest all the same until it is back. */
static void a_group_sleeps_under_a_leader_elected_after_a_crash(void **state) {
    (void)state;
    replica_world_open(&world, 12, 3);
    world.raft.sleep_after_ns = 500 * NS_PER_MS;
    for (uint32_t i = 1; i <= 3; i++)
        replica_world_start(&world, i);
    replica_world_propose_many(&world, 20);
    assert_true(replica_world_settle(&world, 5000));
    uint32_t gone = replica_world_leader(&world, 1000);
    replica_world_run(&world, 3000);
    assert_true(raft_replica_raft(world.nodes[gone - 1].replica)->asleep);
    replica_world_crash(&world, gone, IO_SIM_CRASH_PROCESS);
    replica_world_run(&world, 10000);
    uint32_t leader = replica_world_leader(&world, 5000);
    assert_int_not_equal(leader, 0);
    for (uint32_t i = 1; i <= 3; i++)
        if (i != gone) assert_true(raft_replica_raft(world.nodes[i - 1].replica)->asleep);
    replica_world_start(&world, gone);
    replica_world_propose_many(&world, 20);
    assert_true(replica_world_settle(&world, 5000));
    replica_world_close(&world);
}

/* Two of three machines were switched on: they rest, too, and the third finds them when it comes. */
static void a_group_sleeps_without_a_node_that_never_came(void **state) {
    (void)state;
    replica_world_open(&world, 13, 3);
    world.raft.sleep_after_ns = 500 * NS_PER_MS;
    for (uint32_t i = 1; i <= 2; i++)
        replica_world_start(&world, i);
    replica_world_propose_many(&world, 20);
    replica_world_run(&world, 5000);
    assert_int_not_equal(replica_world_leader(&world, 1000), 0);
    for (uint32_t i = 1; i <= 2; i++)
        assert_true(raft_replica_raft(world.nodes[i - 1].replica)->asleep);
    replica_world_start(&world, 3);
    replica_world_propose_many(&world, 20);
    assert_true(replica_world_settle(&world, 5000));
    replica_world_close(&world);
}

/* A follower was away: what it missed comes at the rate that is given, and what is written meanwhile is not
 * held up; when the rate is lifted, the rest comes at once. */
static void a_follower_that_lags_is_sent_at_the_rate(void **state) {
    (void)state;
    enum { RATE = 200 * 1024, SIZE = 4096, COUNT = 300 };
    replica_world_open(&world, 21, 3);
    world.bulk_rate = RATE;
    world.raft.window_bytes_max = 64 * KIB;
    for (uint32_t i = 1; i <= 3; i++)
        replica_world_start(&world, i);
    uint32_t leader = replica_world_leader(&world, 5000), away = leader % 3 + 1;
    replica_world_crash(&world, away, IO_SIM_CRASH_PROCESS);
    for (int i = 0; i < COUNT; i++) {
        replica_world_propose(&world, leader, SIZE);
        if (i % 8 == 0) replica_world_run(&world, 5);
    }
    replica_world_run(&world, 100);
    assert_true(world.accepted > COUNT * 9 / 10); /* some found the window full */
    replica_world_start(&world, away);
    replica_world_run(&world, 2000);
    const struct raft *raft = raft_replica_raft(world.nodes[away - 1].replica);
    uint64_t come = raft->log.end * SIZE;
    assert_in_range(come, RATE, 3 * RATE);
    uint64_t before = world.committed_end;
    replica_world_propose(&world, leader, SIZE);
    replica_world_run(&world, 50);
    assert_int_equal(world.committed_end, before + 1);
    raft_host_set_bulk_rate(world.nodes[leader - 1].host, 0);
    replica_world_run(&world, 1000);
    assert_int_equal(raft->log.end, world.committed_end);
    assert_true(replica_world_settle(&world, 1000));
    replica_world_close(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(three_nodes_elect_and_replicate),
        cmocka_unit_test(a_single_node_needs_nobody),
        cmocka_unit_test(a_restarted_leader_rejoins),
        cmocka_unit_test(all_lose_power_and_nothing_is_lost),
        cmocka_unit_test(crash_at_every_disk_operation),
        cmocka_unit_test(chaos),
        cmocka_unit_test(a_wiped_node_is_admitted_again),
        cmocka_unit_test(a_full_disk_is_survived),
        cmocka_unit_test(no_descriptors_are_survived),
        cmocka_unit_test(reads_are_answered_where_they_are_asked),
        cmocka_unit_test(a_follower_refuses_proposals),
        cmocka_unit_test(many_groups_hear_of_a_node_in_turns),
        cmocka_unit_test(a_host_without_groups_rests),
        cmocka_unit_test(a_group_sleeps_under_a_leader_elected_after_a_crash),
        cmocka_unit_test(a_group_sleeps_without_a_node_that_never_came),
        cmocka_unit_test(a_follower_that_lags_is_sent_at_the_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
