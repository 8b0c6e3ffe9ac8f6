// SPDX-License-Identifier: Apache-2.0
/* The store against its model, over many seeds: random operations, reopening, crashes of every kind. */
#include <stdlib.h>

#include "lib/store_model.h"
#include "lib/test.h"

/* SENTINEL_SEEDS=N runs more of them. */
static uint64_t seed_count(uint64_t usual) {
    const char *text = getenv("SENTINEL_SEEDS");
    return text == NULL ? usual : strtoull(text, NULL, 10);
}
static uint64_t first_seed(void) {
    const char *text = getenv("SENTINEL_SEED");
    return text == NULL ? 1 : strtoull(text, NULL, 10);
}

static void agrees_with_the_model(void **state) {
    (void)state;
    for (uint64_t seed = first_seed(), end = seed + seed_count(40); seed < end; seed++) {
        struct store_model model;
        store_model_init(&model, seed);
        assert_true(store_model_open(&model));
        for (int i = 0; i < 600; i++) {
            store_model_step(&model);
            if (prng_chance(&model.prng, 1, 150)) {
                store_model_shutdown(&model);
                assert_true(store_model_open(&model));
            }
        }
        store_model_settle(&model);
        store_model_check(&model);
        store_model_shutdown(&model);
        store_model_release(&model);
    }
}

static void survives_crashes(void **state) {
    (void)state;
    for (uint64_t seed = first_seed(), end = seed + seed_count(40); seed < end; seed++) {
        struct store_model model;
        store_model_init(&model, seed);
        assert_true(store_model_open(&model));
        for (int crash = 0; crash < 12; crash++) {
            uint64_t steps = prng_below(&model.prng, 120);
            for (uint64_t i = 0; i < steps; i++)
                store_model_step(&model);
            store_model_crash(&model, (enum io_sim_crash)prng_below(&model.prng, 4));
            assert_true(store_model_open(&model));
            if (prng_chance(&model.prng, 1, 4)) store_model_check(&model);
        }
        store_model_settle(&model);
        store_model_check(&model);
        store_model_release(&model);
    }
}

/* Also during recovery, flush and the switch of the manifest: at a random disk operation. */
static void survives_crashes_at_disk_operations(void **state) {
    (void)state;
    for (uint64_t seed = first_seed(), end = seed + seed_count(60); seed < end; seed++) {
        struct store_model model;
        store_model_init(&model, seed);
        assert_true(store_model_open(&model));
        for (int crash = 0; crash < 15; crash++) {
            io_sim_crash_at_disk_op(model.sim, STORE_MODEL_NODE, prng_range(&model.prng, 1, 60),
                                    prng_chance(&model.prng, 1, 2) ? IO_SIM_STOP_BEFORE : IO_SIM_STOP_AFTER);
            for (int i = 0; i < 400 && !store_model_crash_due(&model); i++)
                store_model_step(&model);
            do {
                store_model_crash(&model, (enum io_sim_crash)prng_below(&model.prng, 4));
                if (prng_chance(&model.prng, 1, 3)) {
                    model.io = io_sim_node_io(model.sim, STORE_MODEL_NODE);
                    io_sim_crash_at_disk_op(model.sim, STORE_MODEL_NODE, prng_range(&model.prng, 1, 12),
                                            IO_SIM_STOP_BEFORE);
                }
            } while (!store_model_open(&model));
            io_sim_crash_at_disk_op(model.sim, STORE_MODEL_NODE, 0, IO_SIM_STOP_BEFORE);
        }
        store_model_settle(&model);
        store_model_check(&model);
        store_model_release(&model);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(agrees_with_the_model),
        cmocka_unit_test(survives_crashes),
        cmocka_unit_test(survives_crashes_at_disk_operations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
