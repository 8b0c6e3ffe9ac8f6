// SPDX-License-Identifier: Apache-2.0
/* Checkpoints: complete, of one moment, durable when they are said to be, and without effect on the store. */
#include <stdio.h>

#include "lib/store_model.h"
#include "lib/test.h"

#define COPY "data/" STORE_CHECKPOINTS "/one"

struct asked {
    struct store_checkpoint request;
    bool done;
};

static void checkpoint_done(struct store_checkpoint *request) {
    CONTAINER_OF(request, struct asked, request)->done = true;
}

static void ask(struct store_model *model, struct asked *asked, const char *dir) {
    *asked = (struct asked){.request = {.done = checkpoint_done}};
    store_checkpoint(model->store, dir, &asked->request);
    assert_false(asked->done);
}

static void wait(struct store_model *model, const struct asked *asked) {
    while (!asked->done)
        assert_true(io_sim_step(model->sim));
}

static void make(struct store_model *model, uint64_t seed) {
    store_model_init(model, seed);
    model->value_size_max = 3000;
    model->options.memtable_bytes = 24 * KIB;
    model->options.wal_segment_bytes = 32 * KIB;
    model->options.table_bytes = 32 * KIB;
    assert_true(store_model_open(model));
    for (int i = 0; i < 80; i++) {
        store_model_write(model);
        if (i % 3 == 0) store_model_run(model, 300 * NS_PER_US);
    }
}

/* Opens the copy instead of the store and compares it with `state`. */
static void check_copy(struct store_model *model, const uint32_t *state) {
    model->options.dir = COPY;
    memcpy(model->state, state, sizeof model->state);
    memcpy(model->acked, state, sizeof model->acked);
    assert_true(store_model_open(model));
    store_model_check(model);
}

static void holds_what_was_there(void **state) {
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct store_model model;
        make(&model, seed);
        uint32_t then[STORE_MODEL_KEYS];
        memcpy(then, model.state, sizeof then);
        struct asked asked;
        ask(&model, &asked, COPY);
        wait(&model, &asked);
        assert_status(asked.request.status, STATUS_OK);
        assert_true(asked.request.tables > 0 && asked.request.bytes > 0);
        for (int i = 0; i < 60; i++) /* the store goes its own way, and drops what the copy keeps */
            store_model_write(&model);
        store_model_flush(&model);
        store_model_settle(&model);
        store_model_check(&model);
        store_model_check_files(&model);
        store_model_crash(&model, seed % 2 == 0 ? IO_SIM_CRASH_POWER_BARE : IO_SIM_CRASH_PROCESS);
        check_copy(&model, then);
        for (int i = 0; i < 30; i++) /* a store like any other */
            store_model_write(&model);
        store_model_settle(&model);
        store_model_check(&model);
        store_model_shutdown(&model);
        assert_true(store_model_open(&model));
        store_model_release(&model);
    }
}

/* Interrupted anywhere, the store is whole, and what stands in the directory is no store, or the right one.
 */
static void survives_crashes_in_its_middle(void **state) {
    (void)state;
    uint32_t finished = 0, points = 0;
    for (uint64_t n = 1; finished == 0; n++, points++) {
        struct store_model model;
        make(&model, 11);
        store_model_settle(&model);
        uint32_t then[STORE_MODEL_KEYS];
        memcpy(then, model.state, sizeof then);
        struct asked asked;
        ask(&model, &asked, COPY);
        io_sim_crash_at_disk_op(model.sim, STORE_MODEL_NODE, n, IO_SIM_STOP_AFTER);
        while (!asked.done && !store_model_crash_due(&model))
            assert_true(io_sim_step(model.sim));
        finished += asked.done;
        io_sim_crash_at_disk_op(model.sim, STORE_MODEL_NODE, 0, IO_SIM_STOP_BEFORE);
        store_model_crash(&model, asked.done   ? IO_SIM_CRASH_POWER_BARE
                                  : n % 2 == 0 ? IO_SIM_CRASH_POWER
                                               : IO_SIM_CRASH_PROCESS);
        assert_true(store_model_open(&model));
        store_model_check(&model);
        store_model_shutdown(&model);
        struct io_file *manifest;
        enum status status = io_file_open(model.io, COPY "/MANIFEST", IO_OPEN_READ, &manifest);
        if (asked.done) assert_status(status, STATUS_OK);
        if (status == STATUS_OK) {
            io_file_close(manifest);
            check_copy(&model, then);
        }
        store_model_release(&model);
    }
    assert_in_range(points, 8, 500);
}

static void refusals_are_told(void **state) {
    (void)state;
    struct store_model model;
    make(&model, 21);
    struct asked first, second;
    ask(&model, &first, COPY);
    ask(&model, &second, "data/" STORE_CHECKPOINTS "/two");
    wait(&model, &second);
    assert_status(second.request.status, STATUS_BUSY);
    wait(&model, &first);
    assert_status(first.request.status, STATUS_OK);
    ask(&model, &second, COPY);
    wait(&model, &second);
    assert_status(second.request.status, STATUS_EXISTS);
    assert_non_null(strstr(second.request.diagnostic.text, COPY));
    /* Without room it is given up, and nothing is left of it. */
    store_model_run(&model, NS_PER_S);
    model.failures_allowed = true;
    io_sim_disk_faults(model.sim, STORE_MODEL_NODE)->no_space_countdown = 1;
    ask(&model, &second, "data/" STORE_CHECKPOINTS "/two");
    wait(&model, &second);
    assert_status(second.request.status, STATUS_NO_SPACE);
    struct io_file *file;
    assert_status(io_file_open(model.io, "data/" STORE_CHECKPOINTS "/two/MANIFEST", IO_OPEN_READ, &file),
                  STATUS_NOT_FOUND);
    assert_status(store_health(model.store), STATUS_OK);
    /* A shutdown does not wait for a flush that waits for room. */
    store_model_write(&model);
    ask(&model, &first, "data/" STORE_CHECKPOINTS "/three");
    store_model_shutdown(&model);
    assert_true(first.done);
    store_model_release(&model);
}

/* It says what it is until somebody takes it over, also after a power cut; the store it was made of does not.
 */
static void says_what_it_is(void **state) {
    (void)state;
    struct store_model model;
    make(&model, 5);
    uint32_t then[STORE_MODEL_KEYS];
    memcpy(then, model.state, sizeof then);
    struct asked asked;
    ask(&model, &asked, COPY);
    wait(&model, &asked);
    assert_status(asked.request.status, STATUS_OK);
    assert_false(store_is_checkpoint(model.store));
    store_model_crash(&model, IO_SIM_CRASH_POWER_BARE);
    check_copy(&model, then);
    for (int taken = 0; taken < 2; taken++) {
        assert_true(store_is_checkpoint(model.store) == (taken == 0));
        store_model_crash(&model, IO_SIM_CRASH_POWER_BARE);
        assert_true(store_model_open(&model));
        assert_true(store_is_checkpoint(model.store) == (taken == 0));
        assert_status(store_take_over(model.store), STATUS_OK);
        assert_false(store_is_checkpoint(model.store));
        store_model_crash(&model, IO_SIM_CRASH_POWER_BARE);
        assert_true(store_model_open(&model));
    }
    store_model_check(&model);
    store_model_release(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(holds_what_was_there),
        cmocka_unit_test(says_what_it_is),
        cmocka_unit_test(survives_crashes_in_its_middle),
        cmocka_unit_test(refusals_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
