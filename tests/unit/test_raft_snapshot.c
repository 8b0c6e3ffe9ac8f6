// SPDX-License-Identifier: Apache-2.0
/* Snapshots between real hosts on simulated machines: pieces go on where they stopped, whatever is cut, and
 * nothing but the machine's keys is replaced. */
#include "lib/test.h"

#include "broker/keys.h"
#include "lib/replica_world.h"

#define ENTRIES 120
#define VALUE   300
#define PIECE   1500

static struct replica_world world;

/* Nodes 1 to 4 have a state of about 40 KiB and compacted logs; node 5 has been down since the beginning. */
static void prepare(uint64_t seed) {
    replica_world_open(&world, seed, 5);
    world.keeps_all = true;
    world.piece_bytes = PIECE;
    for (uint32_t i = 1; i <= 5; i++)
        replica_world_start(&world, i);
    assert_int_not_equal(replica_world_leader(&world, 5000), 0);
    replica_world_crash(&world, 5, IO_SIM_CRASH_POWER);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        uint32_t leader = replica_world_leader(&world, 5000);
        replica_world_propose(&world, leader, VALUE);
        if (i % 8 == 0) replica_world_run(&world, 5);
    }
    assert_true(replica_world_settle(&world, 5000));
    replica_world_compact(&world, world.committed_end);
}

/* Runs until node 5 has received so many bytes. */
static void receive_until(uint64_t bytes) {
    for (int i = 0; replica_world_received(&world, 5) < bytes; i++) {
        assert_true(i < 200000);
        io_sim_run_until(world.sim, io_sim_now(world.sim) + 50 * NS_PER_US);
    }
}

static uint64_t snapshot_bytes(void) {
    struct key lower = key_prefix(REPLICA_GROUP, KEY_STATE), upper = key_prefix(REPLICA_GROUP, KEY_RAFT);
    struct store_iterator *it = store_iterator_open(world.nodes[0].store, key_slice(&lower),
                                                    key_slice(&upper), STORE_ITERATOR_BLOCKING, NULL, NULL);
    uint64_t bytes = 0;
    enum status status = store_iterator_seek(it, key_slice(&lower));
    for (; status == STATUS_OK; status = store_iterator_next(it))
        bytes += 2 + store_iterator_key(it).size - KEY_GROUP_SIZE + 4 + store_iterator_value(it).bytes.size;
    store_iterator_close(it);
    return bytes;
}

/* Node 5 has what node 1 has, and nothing of the transfer is left in its store. */
static void all_is_there(void) {
    assert_true(replica_world_settle(&world, 10000));
    uint64_t ours, theirs;
    assert_true(replica_world_state(&world, 5, &theirs) == replica_world_state(&world, 1, &ours));
    assert_true(ours == theirs && ours > ENTRIES);
    struct store_iterator *it = raft_store_pieces(world.nodes[4].store, REPLICA_GROUP,
                                                  STORE_ITERATOR_BLOCKING, NULL, NULL);
    assert_status(raft_store_piece_first(it, REPLICA_GROUP), STATUS_END);
    store_iterator_close(it);
}

static void a_snapshot_comes_in_pieces(void **state) {
    (void)state;
    prepare(1);
    uint64_t bytes = snapshot_bytes();
    assert_true(bytes > 20 * PIECE);
    replica_world_start(&world, 5);
    all_is_there();
    assert_int_equal(replica_world_received(&world, 5), bytes);
    replica_world_close(&world);
}

static void ignore(struct store_write *write) {
    assert_status(write->status, STATUS_OK);
}

/* The keys of others under the same group stay: the node's identity is one, under that of the controller. */
static void only_the_machines_keys_are_replaced(void **state) {
    (void)state;
    prepare(2);
    replica_world_start(&world, 5);
    struct store_write write;
    struct key key = key_prefix(REPLICA_GROUP, KEY_META);
    store_write_init(&write, ignore);
    store_put(&write, key_slice(&key), (struct shared_slice){SLICE_LITERAL("identity"), NULL});
    store_write_submit(world.nodes[4].store, &write);
    all_is_there();
    struct shared_slice value;
    assert_status(store_get_blocking(world.nodes[4].store, key_slice(&key), &value), STATUS_OK);
    assert_slice_equal(value.bytes, SLICE_LITERAL("identity"));
    shared_slice_unref(value);
    store_write_release(&write);
    replica_world_close(&world);
}

static void a_cut_link_costs_at_most_a_piece(void **state) {
    (void)state;
    prepare(3);
    uint64_t bytes = snapshot_bytes();
    replica_world_start(&world, 5);
    for (uint32_t part = 1; part < 6; part++) {
        receive_until(bytes * part / 6);
        for (uint32_t other = 0; other < 4; other++) {
            io_sim_cut(world.sim, 4, other, true);
            io_sim_cut(world.sim, other, 4, true);
            io_sim_reset_connections(world.sim, 4, other);
        }
        replica_world_run(&world, 700);
        for (uint32_t other = 0; other < 4; other++) {
            io_sim_cut(world.sim, 4, other, false);
            io_sim_cut(world.sim, other, 4, false);
        }
    }
    all_is_there();
    assert_in_range(replica_world_received(&world, 5), bytes, bytes + 5 * (PIECE + VALUE));
    replica_world_close(&world);
}

/* Its state is the same, so its snapshot is: what was received from another counts. */
static void the_next_leader_goes_on_where_the_last_one_stopped(void **state) {
    (void)state;
    for (uint64_t seed = 4; seed < 10; seed++) {
        prepare(seed);
        uint64_t bytes = snapshot_bytes();
        replica_world_start(&world, 5);
        receive_until(bytes / 2);
        uint32_t leader = replica_world_leader(&world, 0);
        replica_world_crash(&world, leader, IO_SIM_CRASH_POWER);
        replica_world_run(&world, 3000);
        assert_int_not_equal(replica_world_leader(&world, 5000), 0);
        assert_in_range(replica_world_received(&world, 5), bytes, bytes + 2 * (PIECE + VALUE));
        replica_world_start(&world, leader);
        all_is_there();
        replica_world_close(&world);
    }
}

static void a_restarted_receiver_goes_on_where_it_stopped(void **state) {
    (void)state;
    prepare(11);
    uint64_t bytes = snapshot_bytes();
    replica_world_start(&world, 5);
    for (uint32_t part = 1; part < 5; part++) {
        receive_until(bytes * part / 5);
        replica_world_crash(&world, 5, part % 2 == 0 ? IO_SIM_CRASH_POWER_BARE : IO_SIM_CRASH_PROCESS);
        replica_world_start(&world, 5);
    }
    all_is_there();
    assert_in_range(replica_world_received(&world, 5), bytes, bytes + 8 * (PIECE + VALUE));
    replica_world_close(&world);
}

/* Another state is another snapshot: nothing of two is ever put together. */
static void a_state_that_moved_on_is_sent_anew(void **state) {
    (void)state;
    prepare(12);
    uint64_t bytes = snapshot_bytes();
    replica_world_start(&world, 5);
    receive_until(bytes / 2);
    replica_world_crash(&world, 5, IO_SIM_CRASH_POWER);
    uint32_t leader = replica_world_leader(&world, 1000);
    for (uint32_t i = 0; i < 20; i++)
        replica_world_propose(&world, leader, VALUE);
    replica_world_run(&world, 500);
    replica_world_compact(&world, world.committed_end);
    /* This one would end what it has begun. */
    replica_world_crash(&world, leader, IO_SIM_CRASH_POWER);
    replica_world_run(&world, 1000);
    uint64_t before = replica_world_received(&world, 5);
    replica_world_start(&world, leader);
    replica_world_start(&world, 5);
    all_is_there();
    assert_true(snapshot_bytes() > bytes);
    assert_int_equal(replica_world_received(&world, 5) - before, snapshot_bytes());
    replica_world_close(&world);
}

static void power_cuts_at_every_disk_operation(void **state) {
    (void)state;
    bool more = true;
    for (uint64_t n = 1; more; n += n < 30 ? 3 : 11) {
        prepare(13);
        io_sim_node_io(world.sim, 4);
        replica_world_start(&world, 5);
        io_sim_crash_at_disk_op(world.sim, 4, n, n % 2 == 0 ? IO_SIM_STOP_BEFORE : IO_SIM_STOP_AFTER);
        replica_world_run(&world, 2000);
        more = io_sim_crash_due(world.sim, 4);
        if (more) {
            replica_world_crash(&world, 5, IO_SIM_CRASH_POWER);
            replica_world_start(&world, 5);
        }
        all_is_there();
        replica_world_close(&world);
        assert_true(n < 1000);
    }
}

/* Its state is stored and whole, but could not be read just then. */
static void a_machine_that_cannot_load_is_opened_anew(void **state) {
    (void)state;
    prepare(15);
    world.nodes[4].failing_loads = 3;
    replica_world_start(&world, 5);
    replica_world_run(&world, 2000);
    assert_status(raft_replica_health(world.nodes[4].replica), STATUS_IO);
    all_is_there();
    assert_int_equal(world.nodes[4].failing_loads, 0);
    replica_world_close(&world);
}

static void one_that_is_too_large_is_refused(void **state) {
    (void)state;
    prepare(14);
    world.snapshot_bytes_max = snapshot_bytes() - 1;
    replica_world_start(&world, 5);
    replica_world_run(&world, 5000);
    assert_int_equal(raft_replica_applied(world.nodes[4].replica), 0);
    uint64_t received = replica_world_received(&world, 5);
    assert_in_range(received, 1, 100 * world.snapshot_bytes_max); /* again and again, but not at full speed */
    replica_world_crash(&world, 5, IO_SIM_CRASH_PROCESS);
    world.snapshot_bytes_max = 0;
    replica_world_start(&world, 5);
    all_is_there();
    replica_world_close(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_comes_in_pieces),
        cmocka_unit_test(only_the_machines_keys_are_replaced),
        cmocka_unit_test(a_cut_link_costs_at_most_a_piece),
        cmocka_unit_test(the_next_leader_goes_on_where_the_last_one_stopped),
        cmocka_unit_test(a_restarted_receiver_goes_on_where_it_stopped),
        cmocka_unit_test(a_state_that_moved_on_is_sent_anew),
        cmocka_unit_test(power_cuts_at_every_disk_operation),
        cmocka_unit_test(a_machine_that_cannot_load_is_opened_anew),
        cmocka_unit_test(one_that_is_too_large_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
