// SPDX-License-Identifier: Apache-2.0
/* A fixed piece of work is interrupted at every operation that changes the disk, in turn: before it and after
 * it, by a killed process and by a power cut that keeps a random part of what was not synced. Each time the
 * store must come back with everything acknowledged, a prefix of the rest, and no file too many. */
#include <stdio.h>

#include "base/mem.h"
#include "lib/store_model.h"
#include "lib/test.h"
#include "storage/layout.h"
#include "storage/wal_format.h"

/* Writes, a flush, a compaction or two, range deletions, a clean restart in the middle. */
static bool work(struct store_model *model) {
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < 45; i++) {
            store_model_write(model);
            if (i % 3 == 0) store_model_run(model, 200 * NS_PER_US);
            if (i % 20 == 19) store_model_flush(model);
            if (store_model_crash_due(model)) return false;
        }
        store_model_settle(model);
        store_model_run(model, 50 * NS_PER_MS);
        if (store_model_crash_due(model)) return false;
        store_model_shutdown(model);
        if (store_model_crash_due(model)) return false;
        if (!store_model_open(model)) return false;
    }
    return true;
}

/* Table after table, so that compactions remove what the manifest before knew. */
static bool churn(struct store_model *model) {
    for (int round = 0; round < 12; round++) {
        for (int i = 0; i < 4; i++)
            store_model_write(model);
        store_model_flush(model);
        store_model_run(model, 20 * NS_PER_MS);
        if (store_model_crash_due(model)) return false;
    }
    return true;
}

static void make(struct store_model *model, uint64_t seed) {
    store_model_init(model, seed);
    model->value_size_max = 3000;
    model->options.memtable_bytes = 24 * KIB;
    model->options.wal_segment_bytes = 32 * KIB;
    model->options.table_bytes = 32 * KIB;
    model->options.manifest_bytes = 300; /* replaced again and again */
}

static void crash_everywhere(bool (*busy)(struct store_model *model), enum io_sim_crash how,
                             enum io_sim_stop stop, uint64_t seed) {
    uint64_t points = 0;
    for (uint64_t n = 1;; n += TEST_EVERY(7)) {
        struct store_model model;
        make(&model, seed);
        io_sim_node_io(model.sim, STORE_MODEL_NODE);
        io_sim_crash_at_disk_op(model.sim, STORE_MODEL_NODE, n, stop);
        bool through = store_model_open(&model) && busy(&model);
        if (through) {
            points = n - 1;
            store_model_release(&model);
            break;
        }
        store_model_crash(&model, how);
        assert_true(store_model_open(&model));
        store_model_check_files(&model);
        store_model_write(&model);
        store_model_settle(&model);
        store_model_check(&model);
        /* Recovering again changes nothing (S10). */
        store_model_crash(&model, IO_SIM_CRASH_PROCESS);
        assert_true(store_model_open(&model));
        store_model_check(&model);
        store_model_release(&model);
    }
    assert_in_range(points, 100, 2000);
}

static void killed_before_each_operation(void **state) {
    (void)state;
    crash_everywhere(work, IO_SIM_CRASH_PROCESS, IO_SIM_STOP_BEFORE, 1);
}
static void power_cut_before_each_operation(void **state) {
    (void)state;
    crash_everywhere(work, IO_SIM_CRASH_POWER, IO_SIM_STOP_BEFORE, 2);
}
static void power_cut_after_each_operation(void **state) {
    (void)state;
    crash_everywhere(work, IO_SIM_CRASH_POWER, IO_SIM_STOP_AFTER, 3);
}
static void power_cut_while_tables_come_and_go(void **state) {
    (void)state;
    crash_everywhere(churn, IO_SIM_CRASH_POWER, IO_SIM_STOP_AFTER, 5);
}
static void power_cut_that_keeps_nothing_unsynced(void **state) {
    (void)state;
    crash_everywhere(work, IO_SIM_CRASH_POWER_BARE, IO_SIM_STOP_AFTER, 4);
}

/* Whether there is nothing in a file of the log where the first group of a segment begins; no such file: no.
 */
static bool first_group_is_empty(struct store_model *model, uint64_t number) {
    static const uint8_t zeroes[WAL_BLOCK_SIZE];
    uint8_t block[WAL_BLOCK_SIZE];
    struct io_file *file;
    size_t size = 0;
    if (io_file_open(model->io, layout_path("data", LAYOUT_LOG, number).text, IO_OPEN_READ, &file) !=
        STATUS_OK)
        return false;
    assert_status(io_file_read_at(file, block, sizeof block, WAL_BLOCK_SIZE, &size), STATUS_OK);
    io_file_close(file);
    return size == sizeof block && memcmp(block, zeroes, sizeof block) == 0;
}

/* The file that was ready to be the next segment. */
static uint64_t find_spare(struct store_model *model) {
    for (uint64_t number = 1; number < 1000; number++)
        if (first_group_is_empty(model, number)) return number;
    fail_msg("no file of the log is ready for the next segment");
    return 0;
}

/* A file may have been the next segment before a power cut that kept its first group and not its header. It
 * is wiped before it can be the next segment again: torn the other way, it would bring that group back. */
static void a_file_is_wiped_before_it_is_a_segment_again(void **state) {
    (void)state;
    struct store_model model;
    make(&model, 1);
    model.value_size_max = 500; /* nothing refers to the log */
    assert_true(store_model_open(&model));
    for (int i = 0; i < 300; i++) {
        store_model_write(&model);
        store_model_settle(&model);
    }
    store_model_shutdown(&model);
    store_model_crash(&model, IO_SIM_CRASH_PROCESS);
    model.io = io_sim_node_io(model.sim, STORE_MODEL_NODE);
    uint64_t spare = find_spare(&model);
    struct layout_path path = layout_path("data", LAYOUT_LOG, spare);
    assert_true(
        io_sim_flip_bit(model.sim, STORE_MODEL_NODE, path.text, WAL_BLOCK_SIZE, 1)); /* of that group */
    assert_false(first_group_is_empty(&model, spare));
    store_model_crash(&model, IO_SIM_CRASH_PROCESS);
    assert_true(store_model_open(&model));
    store_model_run(&model, 50 * NS_PER_MS);
    assert_true(first_group_is_empty(&model, spare));
    store_model_write(&model);
    store_model_settle(&model);
    store_model_check(&model);
    store_model_release(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(killed_before_each_operation),
        cmocka_unit_test(power_cut_before_each_operation),
        cmocka_unit_test(power_cut_after_each_operation),
        cmocka_unit_test(power_cut_while_tables_come_and_go),
        cmocka_unit_test(power_cut_that_keeps_nothing_unsynced),
        cmocka_unit_test(a_file_is_wiped_before_it_is_a_segment_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
