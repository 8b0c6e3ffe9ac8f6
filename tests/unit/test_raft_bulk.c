// SPDX-License-Identifier: Apache-2.0
#include "lib/test.h"

#include "broker/raft_bulk.h"
#include "io/io_sim.h"

#define TURNS 200

struct world {
    struct io_sim *sim;
    struct io *io;
    struct io_timer ticks; /* a node's loop has a time when it turns */
    struct raft_bulk bulk;
    struct list lanes;
    struct turn {
        struct raft_bulk_turn turn;
        uint32_t begun; /* as the how manieth; 0: not yet */
    } turns[TURNS];
    uint32_t asked, begun;
    size_t begun_bytes;
};
static struct world w;

static void tick(struct io_timer *timer) {
    io_timer_set(w.io, timer, io_now_ns(w.io) + NS_PER_MS);
}

static void open_world(void) {
    w = (struct world){.sim = io_sim_new(1)};
    w.io = io_sim_node_io(w.sim, 0);
    io_timer_init(&w.ticks, tick);
    tick(&w.ticks);
    list_init(&w.lanes);
    raft_bulk_init(&w.bulk, w.io);
}

static void close_world(void) {
    for (uint32_t i = 0; i < w.asked; i++)
        raft_bulk_read(&w.bulk, &w.turns[i].turn, 0);
    LIST_FOREACH(it, &w.lanes) {
        raft_bulk_lane_free(&w.bulk, CONTAINER_OF(it, struct raft_bulk_lane, link));
    }
    raft_bulk_release(&w.bulk);
    io_timer_cancel(w.io, &w.ticks);
    io_free(w.io);
    io_sim_free(w.sim);
}

static void run(uint64_t ms) {
    io_sim_run_until(w.sim, io_sim_now(w.sim) + ms * NS_PER_MS);
}

static void begin(struct raft_bulk_turn *turn) {
    w.begun_bytes += turn->bytes;
    CONTAINER_OF(turn, struct turn, turn)->begun = ++w.begun;
}

/* A lane of its own for each group: its peer is the group here. */
static struct turn *ask(uint64_t group, uint32_t node) {
    struct turn *turn = &w.turns[w.asked++];
    turn->turn = (struct raft_bulk_turn){.bytes = MIB, .begin = begin};
    list_init(&turn->turn.link);
    raft_bulk_ask(&w.bulk, &turn->turn, raft_bulk_lane(&w.bulk, &w.lanes, group, node));
    return turn;
}

/* It was read, and all of it is acknowledged at once. */
static void read_all(struct turn *turn) {
    struct raft_bulk_lane *lane = turn->turn.lane;
    raft_bulk_read(&w.bulk, &turn->turn, turn->turn.bytes);
    raft_bulk_sent(&w.bulk, lane, 0);
}

static void what_is_under_way_has_a_bound(void **state) {
    (void)state;
    open_world();
    for (uint32_t i = 0; i < 40; i++)
        ask(i, 2);
    assert_int_equal(w.begun_bytes, BULK_IDLE_BYTES);
    ask(100, 3); /* another node has its own */
    assert_int_equal(w.begun, BULK_IDLE_BYTES / MIB + 1);
    /* Read and sent is still under way; acknowledged is not. */
    struct raft_bulk_lane *lane = w.turns[0].turn.lane;
    raft_bulk_read(&w.bulk, &w.turns[0].turn, MIB);
    raft_bulk_sent(&w.bulk, lane, MIB);
    assert_int_equal(w.begun, BULK_IDLE_BYTES / MIB + 1);
    raft_bulk_sent(&w.bulk, lane, 0);
    assert_int_equal(w.begun, BULK_IDLE_BYTES / MIB + 2);
    close_world();
}

static void clients_that_write_come_first(void **state) {
    (void)state;
    open_world();
    run(10);
    raft_bulk_live(&w.bulk, 1000);
    for (uint32_t i = 0; i < 150; i++)
        ask(i, 2);
    assert_int_equal(w.begun_bytes, BULK_LIVE_BYTES);
    assert_int_equal(w.turns[0].turn.bytes, BULK_LIVE_PORTION);
    /* Who writes much is not caught up with by little. */
    raft_bulk_live(&w.bulk, 4 * MIB);
    raft_bulk_sent(&w.bulk, w.turns[0].turn.lane, 0);
    assert_int_equal(w.begun_bytes, 2 * (4 * MIB + 1000) / BULK_LIVE_PORTION * BULK_LIVE_PORTION);
    /* Nobody writes any more. */
    run(1100);
    read_all(&w.turns[0]);
    assert_true(w.begun_bytes > BULK_IDLE_BYTES - MIB);
    close_world();
}

static void groups_take_turns(void **state) {
    (void)state;
    open_world();
    run(10);
    raft_bulk_live(&w.bulk, 1);
    for (uint32_t i = 0; i < 8; i++)
        ask(i % 4, 2);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(w.turns[i].begun, i + 1);
        read_all(&w.turns[i]);
        ask(i, 2);
    }
    for (uint32_t i = 4; i < 8; i++)
        assert_int_equal(w.turns[i].begun, i + 1);
    assert_int_equal(w.begun, 8);
    close_world();
}

static void a_rate_is_kept(void **state) {
    (void)state;
    open_world();
    raft_bulk_set_rate(&w.bulk, MIB);
    uint64_t read = 0;
    for (uint32_t i = 0; i < 3; i++)
        ask(i, 2 + i % 2);
    for (uint32_t ms = 0; ms < 10000; ms += 10) {
        run(10);
        for (uint32_t i = 0; i < w.asked; i++) {
            struct turn *turn = &w.turns[i];
            if (turn->begun == 0 || turn->turn.lane == NULL) continue;
            uint64_t group = turn->turn.lane->peer;
            read += turn->turn.bytes;
            assert_in_range(turn->turn.bytes, BULK_PORTION_MIN, MIB / 8);
            read_all(turn);
            ask(group, 2 + (uint32_t)group % 2);
        }
    }
    assert_in_range(read, 9 * MIB, 10 * MIB + MIB / 4);
    uint32_t before = w.begun;
    raft_bulk_set_rate(&w.bulk, 0); /* it is lifted: nobody waits */
    assert_int_equal(w.begun, before + 3);
    close_world();
}

/* One batch may be larger than its portion: the time for it is waited for afterwards. */
static void what_was_too_much_is_waited_for(void **state) {
    (void)state;
    open_world();
    raft_bulk_set_rate(&w.bulk, MIB);
    struct turn *large = ask(1, 2);
    struct raft_bulk_lane *lane = large->turn.lane;
    raft_bulk_read(&w.bulk, &large->turn, 4 * MIB);
    raft_bulk_sent(&w.bulk, lane, 0);
    struct turn *next = ask(1, 2);
    run(3900);
    assert_int_equal(next->begun, 0);
    run(200);
    assert_int_equal(next->begun, 2);
    close_world();
}

static void nothing_is_read_for_a_node_that_is_down(void **state) {
    (void)state;
    open_world();
    raft_bulk_node_is(&w.bulk, 2, false);
    struct turn *unwanted = ask(1, 2), *waits = ask(2, 2);
    assert_int_equal(w.begun, 0);
    raft_bulk_read(&w.bulk, &unwanted->turn, 0); /* taken back */
    raft_bulk_node_is(&w.bulk, 2, true);
    assert_int_equal(unwanted->begun, 0);
    assert_int_equal(waits->begun, 1);
    close_world();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_under_way_has_a_bound),
        cmocka_unit_test(clients_that_write_come_first),
        cmocka_unit_test(groups_take_turns),
        cmocka_unit_test(a_rate_is_kept),
        cmocka_unit_test(what_was_too_much_is_waited_for),
        cmocka_unit_test(nothing_is_read_for_a_node_that_is_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
