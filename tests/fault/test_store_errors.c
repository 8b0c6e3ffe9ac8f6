// SPDX-License-Identifier: Apache-2.0
/* The disk fails: errors on reading, writing and syncing, at every point in turn, and a full disk. */
#include "base/mem.h"
#include "lib/store_model.h"
#include "lib/test.h"

static void make(struct store_model *model, uint64_t seed) {
    store_model_init(model, seed);
    model->value_size_max = 3000;
    model->options.memtable_bytes = 24 * KIB;
    model->options.wal_segment_bytes = 32 * KIB;
    model->options.table_bytes = 32 * KIB;
    model->failures_allowed = true;
    assert_true(store_model_open(model));
}

static struct io_sim_disk_faults *faults_of(struct store_model *model) {
    return io_sim_disk_faults(model->sim, STORE_MODEL_NODE);
}

/* One write or sync fails, once. If that was the log's or the manifest's, nothing is acknowledged any more,
 * although later syncs would succeed (S12); after a restart everything acknowledged is there. */
static void fail_each(uint32_t *(*countdown)(struct io_sim_disk_faults *faults)) {
    uint64_t fatal = 0, n = 1;
    for (;; n++) {
        struct store_model model;
        make(&model, 11);
        *countdown(faults_of(&model)) = (uint32_t)n;
        uint64_t submitted_at_failure = 0;
        bool failed = false;
        for (int i = 0; i < 60; i++) {
            store_model_write(&model);
            store_model_run(&model, 300 * NS_PER_US);
            if (i % 25 == 24) store_model_flush(&model);
            if (!failed && store_health(model.store) != STATUS_OK) {
                failed = true;
                submitted_at_failure = model.submitted;
            }
        }
        store_model_run(&model, NS_PER_S);
        if (!failed) submitted_at_failure = model.submitted;
        failed = store_health(model.store) != STATUS_OK;
        bool reached = *countdown(faults_of(&model)) == 0;
        *countdown(faults_of(&model)) = 0;
        fatal += failed;
        if (failed) {
            assert_status(store_health(model.store), STATUS_IO);
            assert_in_range(model.acknowledged, 0, submitted_at_failure);
        } else {
            assert_true(list_empty(&model.writes));
        }
        store_model_crash(&model, n % 2 == 0 ? IO_SIM_CRASH_POWER : IO_SIM_CRASH_PROCESS);
        assert_true(store_model_open(&model));
        store_model_check(&model);
        store_model_release(&model);
        if (!reached) break;
    }
    assert_in_range(n, 40, 1000);
    assert_true(fatal > n / 3);
}

static uint32_t *sync_countdown(struct io_sim_disk_faults *faults) {
    return &faults->sync_error_countdown;
}
static uint32_t *write_countdown(struct io_sim_disk_faults *faults) {
    return &faults->write_error_countdown;
}

static void a_sync_that_fails_is_final(void **state) {
    (void)state;
    fail_each(sync_countdown);
}

static void a_write_that_fails_is_final(void **state) {
    (void)state;
    fail_each(write_countdown);
}

/* There is no room, once, at every write and creation in turn; half of the write was done. The store lives
 * on: each write is durable or was refused, and what was refused never comes back (S13). */
static void no_room_at_any_point_is_survived(void **state) {
    (void)state;
    uint64_t refused = 0, n = 1;
    for (;; n++) {
        struct store_model model;
        make(&model, 12);
        faults_of(&model)->no_space_countdown = (uint32_t)n;
        for (int i = 0; i < 60; i++) {
            store_model_write(&model);
            store_model_run(&model, 300 * NS_PER_US);
            if (i % 25 == 24) store_model_flush(&model);
        }
        store_model_settle(&model);
        store_model_run(&model, 5 * NS_PER_S); /* flushes and compactions are tried again */
        bool reached = faults_of(&model)->no_space_countdown == 0;
        faults_of(&model)->no_space_countdown = 0;
        assert_status(store_health(model.store), STATUS_OK);
        refused += model.failed;
        uint64_t failed = model.failed;
        store_model_check(&model);
        for (int i = 0; i < 10; i++)
            store_model_write(&model);
        store_model_settle(&model);
        assert_int_equal(model.failed, failed);
        store_model_crash(&model, n % 2 == 0 ? IO_SIM_CRASH_POWER : IO_SIM_CRASH_PROCESS);
        assert_true(store_model_open(&model));
        store_model_check(&model);
        store_model_check_files(&model);
        store_model_release(&model);
        if (!reached) break;
    }
    assert_in_range(n, 40, 1000);
    assert_true(refused > 20);
}

/* The first group of a segment is all there when it turns out that there is no room for it. The next takes
 * its place, and a power cut keeps only some of that: what was refused does not come back with it (S13). */
static void what_was_refused_is_not_completed_by_the_next(void **state) {
    (void)state;
    uint64_t refusals = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct store_model model;
        store_model_init(&model, seed);
        model.value_size_max = 100;
        model.failures_allowed = true;
        assert_true(store_model_open(&model));
        store_model_run(&model, NS_PER_S); /* a spare is ready */
        faults_of(&model)->late_no_space_countdown =
            (uint32_t)(seed % 2 + 1); /* the spare behind it is made meanwhile */
        struct store_model_change refused = {.first = 3, .last = 3, .value = 101};
        store_model_submit(&model, &refused, 1);
        store_model_run(&model, NS_PER_S);
        refusals += model.failed;
        faults_of(&model)->late_no_space_countdown = 0;
        struct store_model_change next = {.first = 5, .last = 5, .value = 102};
        io_sim_crash_at_disk_op(model.sim, STORE_MODEL_NODE, 1, IO_SIM_STOP_AFTER);
        store_model_submit(&model, &next, 1);
        store_model_run(&model, NS_PER_S);
        assert_true(store_model_crash_due(&model));
        store_model_crash(&model, IO_SIM_CRASH_POWER);
        assert_true(store_model_open(&model));
        store_model_check(&model);
        store_model_release(&model);
    }
    assert_true(refusals > 50);
}

/* A sector cannot be read, at every read in turn, whoever reads: a lookup, an iterator, a compaction. Whoever
 * asked is told; the store goes on taking writes, and nothing is lost. */
static void a_failed_read_stops_nobody_else(void **state) {
    (void)state;
    uint64_t n = 1;
    for (;; n++) {
        struct store_model model;
        make(&model, 13);
        model.options.cache_bytes = 8 * KIB;
        faults_of(&model)->read_error_countdown = (uint32_t)n;
        for (int i = 0; i < 80; i++) {
            store_model_write(&model);
            store_model_run(&model, 300 * NS_PER_US);
            if (i % 8 == 7) store_model_flush(&model);
            if (i % 20 == 19) {
                store_model_run(&model, 50 * NS_PER_MS);
                store_model_get(&model);
            }
        }
        store_model_settle(&model);
        store_model_run(&model, NS_PER_S);
        bool reached = faults_of(&model)->read_error_countdown == 0;
        faults_of(&model)->read_error_countdown = 0;
        assert_status(store_health(model.store), STATUS_OK);
        assert_true(list_empty(&model.writes));
        assert_int_equal(model.failed, 0);
        store_model_check(&model);
        store_model_crash(&model, IO_SIM_CRASH_POWER);
        assert_true(store_model_open(&model));
        store_model_check(&model);
        store_model_release(&model);
        if (!reached) break;
    }
    assert_in_range(n, 20, 2000);
}

static void a_read_that_fails_is_told_and_not_remembered(void **state) {
    (void)state;
    struct store_model model;
    make(&model, 5);
    for (int i = 0; i < 80; i++)
        store_model_write(&model);
    store_model_flush(&model);
    store_model_settle(&model);
    store_model_run(&model, NS_PER_S);
    uint32_t errors = 0;
    for (uint32_t k = 0; k < STORE_MODEL_KEYS; k++) {
        faults_of(&model)->read_error_countdown = 1;
        struct shared_slice value;
        enum status status = store_get_blocking(model.store, model.keys[k], &value);
        if (status == STATUS_OK) shared_slice_unref(value);
        if (status == STATUS_NOT_FOUND) assert_int_equal(model.state[k], 0);
        if (status != STATUS_OK && status != STATUS_NOT_FOUND) {
            assert_status(status, STATUS_IO);
            errors++;
        }
        faults_of(&model)->read_error_countdown = 0;
    }
    assert_true(errors > 5);
    assert_status(store_health(model.store), STATUS_OK);
    store_model_check(&model);
    store_model_release(&model);
}

/* Without room writes fail, reads go on; with room everything goes on by itself (S13). */
static void a_full_disk_is_survived(void **state) {
    (void)state;
    uint64_t failures = 0;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct store_model model;
        make(&model, seed);
        faults_of(&model)->capacity_bytes = (200 + 60 * (seed % 5)) * KIB;
        for (int i = 0; i < 250; i++) {
            store_model_write(&model);
            store_model_run(&model, 300 * NS_PER_US);
            if (i % 40 == 0) store_model_get(&model);
            if (i % 70 == 69 && seed % 2 == 0) { /* what failed must not come back */
                store_model_settle(&model);
                faults_of(&model)->capacity_bytes += 100 *
                                                     KIB; /* recovery needs room to write its manifest */
                store_model_crash(&model, IO_SIM_CRASH_POWER);
                assert_true(store_model_open(&model));
            }
        }
        store_model_settle(&model);
        assert_status(store_health(model.store), STATUS_OK);
        store_model_check(&model);
        failures += model.failed;
        faults_of(&model)->capacity_bytes = 0;
        uint64_t failed = model.failed;
        for (int i = 0; i < 60; i++) {
            store_model_write(&model);
            store_model_run(&model, NS_PER_MS);
        }
        store_model_settle(&model);
        assert_int_equal(model.failed, failed);
        store_model_check(&model);
        store_model_shutdown(&model);
        assert_true(store_model_open(&model));
        store_model_release(&model);
    }
    assert_true(failures > 50);
}

static uint64_t level0_tables(const struct store_model *model) {
    struct store_stats stats;
    store_stats(model->store, &stats);
    return stats.level_runs[0];
}

/* All keys, and a flush: a table of level 0 that overlaps with every other one. */
static void add_table(struct store_model *model) {
    for (uint32_t k = 0; k < STORE_MODEL_KEYS; k += STORE_MODEL_CHANGES_MAX) {
        struct store_model_change changes[STORE_MODEL_CHANGES_MAX];
        for (uint32_t i = 0; i < STORE_MODEL_CHANGES_MAX; i++)
            changes[i] = (struct store_model_change){
                .kind = STORE_MODEL_PUT, .first = k + i, .last = k + i, .value = model->next_value++};
        store_model_submit(model, changes, STORE_MODEL_CHANGES_MAX);
    }
    store_model_settle(model);
    store_model_flush(model);
    store_model_run(model, 100 * NS_PER_MS);
}

static void make_large(struct store_model *model) {
    store_model_init(model, 5);
    model->value_size_max = 500;
    model->next_value = 1;
    model->options.memtable_bytes = MIB;
    model->options.partition_prefix_size = 0;
    assert_true(store_model_open(model));
}

/* A sector that cannot be read now may be read later: a compaction does not give up its tables for that. */
static void a_compaction_whose_read_fails_is_tried_again(void **state) {
    (void)state;
    struct store_model model;
    make_large(&model);
    for (int i = 0; i < 4; i++) /* the first one goes to the last level */
        add_table(&model);
    assert_int_equal(level0_tables(&model), 3);
    faults_of(&model)->read_error_countdown = 1;
    add_table(&model);
    assert_int_equal(faults_of(&model)->read_error_countdown, 0);
    store_model_run(&model, 10 * NS_PER_S);
    assert_int_equal(level0_tables(&model), 0);
    store_model_check(&model);
    store_model_shutdown(&model);
    store_model_release(&model);
}

/* What no compaction can take out of level 0 must not hold up writers for ever. */
static void writers_do_not_wait_for_damaged_tables(void **state) {
    (void)state;
    struct store_model model;
    make_large(&model);
    for (int i = 0; i < 4; i++)
        add_table(&model);
    faults_of(&model)->read_error_ppm = 1000000;
    add_table(&model);
    store_model_run(&model, 60 * NS_PER_S); /* by now it has given up */
    faults_of(&model)->read_error_ppm = 0;
    for (int i = 0; i < 40; i++)
        add_table(&model);
    assert_true(level0_tables(&model) > 32);
    assert_false(store_stalled(model.store));
    assert_true(list_empty(&model.writes));
    store_model_check(&model);
    store_model_shutdown(&model);
    store_model_release(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sync_that_fails_is_final),
        cmocka_unit_test(a_write_that_fails_is_final),
        cmocka_unit_test(a_read_that_fails_is_told_and_not_remembered),
        cmocka_unit_test(a_failed_read_stops_nobody_else),
        cmocka_unit_test(no_room_at_any_point_is_survived),
        cmocka_unit_test(what_was_refused_is_not_completed_by_the_next),
        cmocka_unit_test(a_full_disk_is_survived),
        cmocka_unit_test(a_compaction_whose_read_fails_is_tried_again),
        cmocka_unit_test(writers_do_not_wait_for_damaged_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
