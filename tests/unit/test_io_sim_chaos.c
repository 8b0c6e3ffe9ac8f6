// SPDX-License-Identifier: Apache-2.0
/* Worlds in which everything goes wrong at random: they end well once the faults end, nothing asserts on the
 * way, and the same seed tells the same story. */
#include "base/mem.h"
#include "base/prng.h"
#include "base/units.h"
#include "lib/io_sim_echo.h"

#define SERVERS 2
#define CLIENTS 3
#define NODES   (SERVERS + CLIENTS)
#define ROUNDS  300
#define SEEDS   50

struct chaos {
    struct io_sim *sim;
    struct prng prng;
    struct echo *servers[SERVERS];
    struct echo_client *clients[CLIENTS];
    unsigned crashes, stops;
};

static const char *const addresses[SERVERS] = {"node0:7", "node1:7"};

static void start(struct chaos *chaos, uint32_t node) {
    if (node < SERVERS)
        chaos->servers[node] = echo_start(chaos->sim, node);
    else
        chaos->clients[node - SERVERS] = echo_client_start(chaos->sim, node, addresses[node % SERVERS],
                                                           ROUNDS);
}

static void stop(struct chaos *chaos, uint32_t node) {
    if (node < SERVERS) {
        echo_free(chaos->servers[node]);
        chaos->servers[node] = NULL;
    } else {
        echo_client_free(chaos->clients[node - SERVERS]);
        chaos->clients[node - SERVERS] = NULL;
    }
}

static void crash(struct chaos *chaos, uint32_t node) {
    static const enum io_sim_crash hows[] = {IO_SIM_CRASH_PROCESS, IO_SIM_CRASH_POWER,
                                             IO_SIM_CRASH_POWER_CLEAN, IO_SIM_CRASH_POWER_BARE};
    chaos->crashes++;
    io_sim_crash_node(chaos->sim, node, hows[prng_below(&chaos->prng, ARRAY_COUNT(hows))]);
    stop(chaos, node);
}

static void one_fault(struct chaos *chaos) {
    struct io_sim *sim = chaos->sim;
    struct prng *prng = &chaos->prng;
    uint32_t node = (uint32_t)prng_below(prng, NODES), other = (uint32_t)prng_below(prng, NODES);
    bool up = io_sim_node_is_up(sim, node);
    switch (prng_below(prng, 9)) {
    case 0:
        if (up) crash(chaos, node);
        break;
    case 1:
    case 2:
        if (!up) start(chaos, node);
        break;
    case 3:
        io_sim_cut(sim, node, other, prng_chance(prng, 1, 2));
        break;
    case 4:
        io_sim_pause_node(sim, node, io_sim_now(sim) + prng_below(prng, NS_PER_S));
        break;
    case 5:
        io_sim_reset_connections(sim, node, other);
        break;
    case 6:
        io_sim_set_clock(sim, node, (int32_t)prng_range(prng, 0, 2000) - 1000,
                         (int64_t)prng_below(prng, 100));
        break;
    case 7:
        io_sim_crash_at_disk_op(sim, node, prng_range(prng, 1, 50),
                                prng_chance(prng, 1, 2) ? IO_SIM_STOP_BEFORE : IO_SIM_STOP_AFTER);
        break;
    case 8:
        io_sim_net_options(sim)->reset_ppm = (uint32_t)prng_below(prng, 1000);
        io_sim_net_options(sim)->slow_ppm = (uint32_t)prng_below(prng, 10000);
        io_sim_disk_faults(sim, node)->slow_factor = (uint32_t)prng_range(prng, 1, 10);
        break;
    }
}

static void run(struct chaos *chaos, uint64_t ns) {
    uint64_t end_ns = io_sim_now(chaos->sim) + ns;
    while (!io_sim_run_until(chaos->sim, end_ns)) {
        for (uint32_t node = 0; node < NODES; node++) {
            if (!io_sim_crash_due(chaos->sim, node)) continue;
            chaos->stops++;
            crash(chaos, node);
        }
    }
}

static void heal(struct chaos *chaos) {
    struct io_sim *sim = chaos->sim;
    io_sim_net_options(sim)->reset_ppm = io_sim_net_options(sim)->slow_ppm = 0;
    for (uint32_t node = 0; node < NODES; node++) {
        for (uint32_t other = 0; other < NODES; other++)
            io_sim_cut(sim, node, other, false);
        io_sim_crash_at_disk_op(sim, node, 0, IO_SIM_STOP_BEFORE);
        io_sim_disk_faults(sim, node)->slow_factor = 1;
        /* A client may wait for ever on a connection whose other end lost power: that is TCP. Begin again. */
        if (io_sim_node_is_up(sim, node)) crash(chaos, node);
        start(chaos, node);
    }
}

static uint64_t chaos_hash(uint64_t seed, unsigned *crashes, unsigned *stops) {
    struct chaos chaos = {.sim = io_sim_new(seed)};
    prng_init(&chaos.prng, seed);
    for (uint32_t node = 0; node < NODES; node++)
        start(&chaos, node);
    for (unsigned i = 0; i < 100; i++) {
        run(&chaos, prng_below(&chaos.prng, 50 * NS_PER_MS));
        one_fault(&chaos);
    }
    heal(&chaos);
    run(&chaos, 60 * NS_PER_S);
    for (unsigned i = 0; i < CLIENTS; i++) {
        assert_true(chaos.clients[i]->finished);
        assert_int_equal(chaos.clients[i]->failures, 0);
    }
    *crashes += chaos.crashes;
    *stops += chaos.stops;
    for (uint32_t node = 0; node < NODES; node++)
        crash(&chaos, node);
    uint64_t hash = io_sim_trace_hash(chaos.sim);
    io_sim_free(chaos.sim);
    return hash;
}

static void every_world_ends_well_and_can_be_replayed(void **state) {
    (void)state;
    unsigned crashes = 0, stops = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        uint64_t first = chaos_hash(seed, &crashes, &stops), second = chaos_hash(seed, &crashes, &stops);
        if (first != second) fail_msg("seed %d tells two stories", (int)seed);
    }
    assert_true(crashes > SEEDS * 4);
    assert_true(stops > SEEDS / 4);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_world_ends_well_and_can_be_replayed)};
    return cmocka_run_group_tests_name("io_sim_chaos", tests, NULL, NULL);
}
