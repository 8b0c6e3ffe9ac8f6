// SPDX-License-Identifier: Apache-2.0
/* The simulated disk's faults, and crashes at a chosen operation. */
#include "base/mem.h"
#include "base/units.h"
#include "io/io_sim_disk.h"
#include "lib/io_sim_script.h"

static void overwrite_two(struct io *io) {
    script_create_synced(io, "f", 'a', 3);
    struct io_file *file = script_open(io, "f");
    script_write(file, 'b', 1, 2);
}

/* ---- faults ----------------------------------------------------------------------------------------- */

static void a_failed_sync_loses_its_data_though_the_next_succeeds(void **state) {
    (void)state;
    struct outcomes outcomes = {.count = 0};
    for (uint64_t seed = 0; seed < SCRIPT_SEEDS; seed++) {
        struct io_sim *sim = io_sim_new(seed);
        struct io *io = io_sim_node_io(sim, 0);
        char text[16];
        overwrite_two(io);
        struct io_file *file = script_open(io, "f");
        io_sim_disk_faults(sim, 0)->sync_error_countdown = 1;
        assert_status(io_file_sync(file), STATUS_IO);
        script_sync(file);
        assert_string_equal(script_describe(io, "f", text), "abb");
        io_sim_crash_node(sim, 0, IO_SIM_CRASH_POWER_CLEAN);
        io_free(io);
        io = io_sim_node_io(sim, 0);
        outcomes_add(&outcomes, script_describe(io, "f", text));
        io_free(io);
        io_sim_free(sim);
    }
    assert_outcomes(&outcomes, "aaa abb aab aba");
}

static void errors_come_when_asked_for(void **state) {
    (void)state;
    struct io_sim *sim = io_sim_new(1);
    struct io *io = io_sim_node_io(sim, 0);
    struct io_sim_disk_faults *faults = io_sim_disk_faults(sim, 0);
    char data[4];
    size_t read;
    script_create_synced(io, "f", 'a', 1);
    struct io_file *file = script_open(io, "f");
    faults->write_error_countdown = 2;
    faults->read_error_countdown = 1;
    assert_status(io_file_write_at(file, SLICE_LITERAL("1"), 0), STATUS_OK);
    assert_status(io_file_write_at(file, SLICE_LITERAL("2"), 1), STATUS_IO);
    assert_status(io_file_write_at(file, SLICE_LITERAL("3"), 2), STATUS_OK);
    assert_status(io_file_read_at(file, data, 4, 0, &read), STATUS_IO);
    assert_status(io_file_read_at(file, data, 4, 0, &read), STATUS_OK);
    assert_memory_equal(data, "1a3a", 4);
    faults->read_error_ppm = 1000000;
    assert_status(io_file_read_at(file, data, 4, 0, &read), STATUS_IO);
    io_file_close(file);
    io_free(io);
    io_sim_free(sim);
}

static void a_full_disk_takes_what_fits_and_recovers(void **state) {
    (void)state;
    struct io_sim *sim = io_sim_new(1);
    struct io *io = io_sim_node_io(sim, 0);
    uint8_t *data = mem_calloc(1, 5 * IO_SIM_PAGE_SIZE);
    uint64_t size, free_bytes, total_bytes;
    io_sim_disk_faults(sim, 0)->capacity_bytes = 3 * IO_SIM_PAGE_SIZE;
    struct io_file *file = script_open(io, "f"), *other = script_open(io, "g");
    assert_status(io_file_write_at(file, slice_make(data, 5 * IO_SIM_PAGE_SIZE), 0), STATUS_NO_SPACE);
    assert_status(io_file_size(file, &size), STATUS_OK);
    assert_int_equal(size, 3 * IO_SIM_PAGE_SIZE);
    assert_status(io_file_write_at(other, SLICE_LITERAL("x"), 0), STATUS_NO_SPACE);
    assert_status(io_file_write_at(file, SLICE_LITERAL("in place"), 0), STATUS_OK);
    assert_status(io_disk_space(io, "/", &free_bytes, &total_bytes), STATUS_OK);
    assert_int_equal(free_bytes, 0);
    assert_int_equal(total_bytes, 3 * IO_SIM_PAGE_SIZE);
    io_file_close(file);
    assert_status(io_unlink(io, "f"), STATUS_OK);
    script_sync_root(io);
    assert_status(io_file_write_at(other, SLICE_LITERAL("x"), 0), STATUS_OK);
    io_file_close(other);
    mem_free(data);
    io_free(io);
    io_sim_free(sim);
}

static void damage_stays_until_overwritten(void **state) {
    (void)state;
    struct io_sim *sim = io_sim_new(1);
    struct io *io = io_sim_node_io(sim, 0);
    char data[3];
    size_t read;
    script_create_synced(io, "f", 'a', 3);
    assert_true(io_sim_flip_bit(sim, 0, "f", 1, 1));
    assert_true(io_sim_break_sector(sim, 0, "f", SECTOR + 7));
    assert_false(io_sim_flip_bit(sim, 0, "f", 3 * SECTOR, 0));
    assert_false(io_sim_flip_bit(sim, 0, "none", 0, 0));
    struct io_file *file = script_open(io, "f");
    assert_status(io_file_read_at(file, data, 3, 0, &read), STATUS_OK);
    assert_memory_equal(data, "aca", 3);
    assert_status(io_file_read_at(file, data, 1, SECTOR, &read), STATUS_IO);
    assert_status(io_file_read_at(file, data, 3, 2 * SECTOR, &read), STATUS_OK);
    assert_status(io_file_write_at(file, SLICE_LITERAL("xyz"), 0), STATUS_OK);
    script_write(file, 'b', 1, 1);
    assert_status(io_file_read_at(file, data, 3, 0, &read), STATUS_OK);
    assert_memory_equal(data, "xyz", 3);
    assert_status(io_file_read_at(file, data, 1, SECTOR, &read), STATUS_OK);
    io_file_close(file);
    io_free(io);
    io_sim_free(sim);
}

/* A log's last group is not at rest, however long ago it was written. */
static void what_was_written_last_in_place_does_not_rot(void **state) {
    (void)state;
    struct io_sim *sim = io_sim_new(1);
    struct io *io = io_sim_node_io(sim, 0);
    uint8_t data[5 * SECTOR];
    size_t read;
    script_create_synced(io, "log", 'a', 5);
    struct io_file *file = script_open(io, "log");
    script_write(file, 'b', 3, 1);
    script_sync(file);
    script_write(file, 'c', 1, 1);
    script_write(file, 'c', 2, 1);
    script_sync(file);
    script_create_synced(io, "f", 'f', 1);
    script_create_synced(io, "g", 'g', 1);
    script_create_synced(io, "h", 'h', 1);
    unsigned rotten = 0;
    for (uint64_t choice = 0; choice < 5 * (uint64_t)SECTOR; choice++)
        rotten += io_sim_rot(sim, 0, choice);
    assert_int_equal(rotten, 3 * SECTOR);
    assert_status(io_file_read_at(file, data, sizeof data, 0, &read), STATUS_OK);
    for (size_t i = 0; i < sizeof data; i++)
        assert_int_equal(data[i] == (uint8_t) "accba"[i / SECTOR], i / SECTOR == 1 || i / SECTOR == 2);
    io_file_close(file);
    io_free(io);
    io_sim_free(sim);
}

static void a_direct_file_refuses_what_hardware_would(void **state) {
    (void)state;
    struct io_sim *sim = io_sim_new(1);
    struct io *io = io_sim_node_io(sim, 0);
    struct io_file *file;
    assert_status(io_file_open(io, "f", IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_DIRECT, &file), STATUS_OK);
    assert_status(io_file_write_at(file, SLICE_LITERAL("short"), 0), STATUS_INVALID);
    script_write(file, 'a', 0, 1);
    io_file_close(file);
    io_free(io);
    io_sim_free(sim);
}

/* ---- crash at each operation ------------------------------------------------------------------------ */

/* Creates, writes, syncs, renames: seven operations that change something. */
static enum status careful_script(struct io *io) {
    struct io_file *file;
    enum status status = io_file_open(io, "tmp", IO_OPEN_WRITE | IO_OPEN_CREATE, &file);
    if (status != STATUS_OK) return status;
    char data[SECTOR];
    memset(data, 'b', sizeof data);
    status = io_file_write_at(file, slice_make(data, SECTOR), 0);
    if (status == STATUS_OK) status = io_file_write_at(file, slice_make(data, SECTOR), SECTOR);
    if (status == STATUS_OK) status = io_file_sync(file);
    io_file_close(file);
    if (status == STATUS_OK) status = io_sync_dir(io, "/");
    if (status == STATUS_OK) status = io_rename(io, "tmp", "current");
    if (status == STATUS_OK) status = io_sync_dir(io, "/");
    return status;
}
#define CAREFUL_OPS 7

static const char *crash_careful_at(uint64_t seed, uint64_t n, enum io_sim_stop stop, char *text) {
    struct io_sim *sim = io_sim_new(seed);
    struct io *io = io_sim_node_io(sim, 0);
    script_create_synced(io, "current", 'a', 2);
    uint64_t before = io_sim_disk_op_count(sim, 0);
    io_sim_crash_at_disk_op(sim, 0, n, stop);
    enum status status = careful_script(io);
    assert_status(status, n == 0 || n > CAREFUL_OPS ? STATUS_OK : STATUS_IO);
    assert_int_equal(io_sim_crash_due(sim, 0), status != STATUS_OK);
    if (n == 0) assert_int_equal(io_sim_disk_op_count(sim, 0) - before, CAREFUL_OPS);
    if (n != 0 && n <= CAREFUL_OPS) assert_int_equal(io_sim_disk_op_count(sim, 0) - before, n);
    io_sim_crash_node(sim, 0, IO_SIM_CRASH_POWER);
    assert_false(io_sim_crash_due(sim, 0));
    io_free(io);
    io = io_sim_node_io(sim, 0);
    script_describe(io, "current", text);
    io_free(io);
    io_sim_free(sim);
    return text;
}

static void a_careful_program_survives_a_crash_at_each_operation(void **state) {
    (void)state;
    char text[16];
    for (uint64_t seed = 0; seed < 50; seed++) {
        for (uint64_t n = 0; n <= CAREFUL_OPS + 1; n++) {
            const char *before = crash_careful_at(seed, n, IO_SIM_STOP_BEFORE, text);
            bool renamed = n == 0 || n > CAREFUL_OPS;
            if (n != CAREFUL_OPS) assert_string_equal(before, renamed ? "bb" : "aa");
            if (n == CAREFUL_OPS) assert_true(strcmp(before, "aa") == 0 || strcmp(before, "bb") == 0);
            const char *after = crash_careful_at(seed, n, IO_SIM_STOP_AFTER, text);
            if (renamed || n == CAREFUL_OPS) assert_string_equal(after, "bb");
        }
    }
}

static void a_stopped_disk_has_no_effect_any_more(void **state) {
    (void)state;
    struct io_sim *sim = io_sim_new(1);
    struct io *io = io_sim_node_io(sim, 0);
    char text[16];
    script_create_synced(io, "f", 'a', 1);
    struct io_file *file = script_open(io, "f"), *other;
    io_sim_crash_at_disk_op(sim, 0, 1, IO_SIM_STOP_BEFORE);
    assert_status(io_file_write_at(file, SLICE_LITERAL("x"), 0), STATUS_IO);
    assert_status(io_file_write_at(file, SLICE_LITERAL("x"), 0), STATUS_IO);
    assert_status(io_file_sync(file), STATUS_IO);
    assert_status(io_unlink(io, "f"), STATUS_IO);
    assert_status(io_file_open(io, "g", IO_OPEN_WRITE | IO_OPEN_CREATE, &other), STATUS_IO);
    assert_status(io_file_open(io, "f", IO_OPEN_READ, &other), STATUS_IO);
    io_sim_crash_node(sim, 0, IO_SIM_CRASH_POWER_CLEAN);
    /* The dead io is released in any order. */
    assert_status(io_file_write_at(file, SLICE_LITERAL("x"), 0), STATUS_IO);
    io_file_close(file);
    io_free(io);
    io = io_sim_node_io(sim, 0);
    assert_string_equal(script_describe(io, "f", text), "a");
    io_free(io);
    io_sim_free(sim);
}

static void a_crash_forgets_locks_and_handles(void **state) {
    (void)state;
    struct io_sim *sim = io_sim_new(1);
    struct io *first = io_sim_node_io(sim, 0);
    struct io_file *lock, *again;
    assert_status(io_lock_file(first, "LOCK", &lock), STATUS_OK);
    io_sim_crash_node(sim, 0, IO_SIM_CRASH_PROCESS);
    struct io *second = io_sim_node_io(sim, 0);
    assert_status(io_lock_file(second, "LOCK", &again), STATUS_OK);
    io_file_close(again);
    io_free(second);
    io_file_close(lock);
    io_free(first);
    io_sim_free(sim);
}

static void a_clone_is_another_disk(void **state) {
    (void)state;
    struct outcomes outcomes = {.count = 0};
    struct io_sim *sim = io_sim_new(1);
    struct io *io = io_sim_node_io(sim, 0);
    char text[16];
    overwrite_two(io);
    for (unsigned i = 0; i < SCRIPT_SEEDS; i++) {
        io_sim_clone_disk(sim, 0, 1, IO_SIM_CRASH_POWER);
        struct io *side = io_sim_node_io(sim, 1);
        outcomes_add(&outcomes, script_describe(side, "f", text));
        struct io_file *file = script_open(side, "f");
        script_write(file, 'z', 0, 3);
        io_file_close(file);
        io_free(side);
    }
    assert_outcomes(&outcomes, "aaa abb aab aba");
    assert_string_equal(script_describe(io, "f", text), "abb");
    io_sim_wipe_disk(sim, 1);
    struct io *wiped = io_sim_node_io(sim, 1);
    assert_string_equal(script_describe(wiped, "f", text), "-");
    io_sim_free(sim);
}

/* Names that were not synced, and damage, go with a clone. */
static void a_clone_has_everything(void **state) {
    (void)state;
    struct outcomes outcomes = {.count = 0};
    struct io_sim *sim = io_sim_new(1);
    struct io *io = io_sim_node_io(sim, 0);
    char text[16];
    script_create_synced(io, "old", 'a', 2);
    assert_status(io_rename(io, "old", "new"), STATUS_OK);
    assert_true(io_sim_break_sector(sim, 0, "new", SECTOR));
    for (unsigned i = 0; i < SCRIPT_SEEDS; i++) {
        io_sim_clone_disk(sim, 0, 1, IO_SIM_CRASH_POWER);
        struct io *side = io_sim_node_io(sim, 1);
        struct io_file *file;
        const char *path = io_file_open(side, "new", IO_OPEN_READ, &file) == STATUS_OK ? "new" : "old";
        if (strcmp(path, "old") == 0)
            assert_status(io_file_open(side, "old", IO_OPEN_READ, &file), STATUS_OK);
        size_t read;
        assert_status(io_file_read_at(file, text, 1, 0, &read), STATUS_OK);
        assert_status(io_file_read_at(file, text, 1, SECTOR, &read), STATUS_IO);
        io_file_close(file);
        outcomes_add(&outcomes, path);
        io_free(side);
    }
    assert_outcomes(&outcomes, "new old");
    io_sim_clone_disk(sim, 0, 1, IO_SIM_CRASH_PROCESS);
    assert_string_equal(script_describe(io_sim_node_io(sim, 1), "old", text), "-");
    io_sim_free(sim);
}

/* What is very old is written back by itself: memory is bounded, and promises are kept all the same. */
static void old_changes_are_written_back(void **state) {
    (void)state;
    struct io_sim *sim = io_sim_new(1);
    struct io *io = io_sim_node_io(sim, 0);
    char text[16];
    script_create_synced(io, "f", 'a', 2);
    struct io_file *file = script_open(io, "f");
    script_write(file, 'b', 0, 1);
    for (unsigned i = 0; i < IO_SIM_PENDING_MAX; i++)
        script_write(file, 'c', 1, 1);
    for (unsigned i = 0; i <= IO_SIM_PENDING_MAX / 2; i++) {
        assert_status(io_rename(io, "f", "g"), STATUS_OK);
        assert_status(io_rename(io, "g", "f"), STATUS_OK);
    }
    io_file_close(file);
    io_sim_crash_node(sim, 0, IO_SIM_CRASH_POWER_BARE);
    io_free(io);
    io = io_sim_node_io(sim, 0);
    script_describe(io, "f", text);
    if (strcmp(text, "-") == 0) script_describe(io, "g", text);
    assert_string_equal(text, "ba");
    io_free(io);
    io_sim_free(sim);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_failed_sync_loses_its_data_though_the_next_succeeds),
        cmocka_unit_test(errors_come_when_asked_for),
        cmocka_unit_test(a_full_disk_takes_what_fits_and_recovers),
        cmocka_unit_test(damage_stays_until_overwritten),
        cmocka_unit_test(what_was_written_last_in_place_does_not_rot),
        cmocka_unit_test(a_direct_file_refuses_what_hardware_would),
        cmocka_unit_test(a_careful_program_survives_a_crash_at_each_operation),
        cmocka_unit_test(a_stopped_disk_has_no_effect_any_more),
        cmocka_unit_test(a_crash_forgets_locks_and_handles),
        cmocka_unit_test(a_clone_is_another_disk),
        cmocka_unit_test(a_clone_has_everything),
        cmocka_unit_test(old_changes_are_written_back),
    };
    return cmocka_run_group_tests_name("io_sim_fault", tests, NULL, NULL);
}
