// SPDX-License-Identifier: Apache-2.0
/* The simulated disk: what syncs promise, and that a power cut leaves every legal outcome and no other. */
#include "base/prng.h"
#include "base/units.h"
#include "lib/io_sim_script.h"

/* ---- contents --------------------------------------------------------------------------------------- */

static void everything_synced(struct io *io) {
    script_create_synced(io, "f", 'a', 3);
}

static void what_was_synced_stays(void **state) {
    (void)state;
    struct outcomes outcomes = script_explore(everything_synced, "f", NULL);
    assert_outcomes(&outcomes, "aaa");
}

static void overwrite_two(struct io *io) {
    script_create_synced(io, "f", 'a', 3);
    struct io_file *file = script_open(io, "f");
    script_write(file, 'b', 1, 2);
}

static void an_unsynced_write_is_torn_by_sectors(void **state) {
    (void)state;
    struct outcomes outcomes = script_explore(overwrite_two, "f", NULL);
    assert_outcomes(&outcomes, "aaa abb aab aba");
    outcomes = script_explore_how(overwrite_two, "f", IO_SIM_CRASH_POWER_BARE);
    assert_outcomes(&outcomes, "aaa");
    outcomes = script_explore_how(overwrite_two, "f", IO_SIM_CRASH_POWER_CLEAN);
    assert_outcomes(&outcomes, "abb");
    outcomes = script_explore_how(overwrite_two, "f", IO_SIM_CRASH_PROCESS);
    assert_outcomes(&outcomes, "abb");
}

static void overwrite_each_on_its_own(struct io *io) {
    script_create_synced(io, "f", 'a', 2);
    struct io_file *file = script_open(io, "f");
    script_write(file, 'b', 0, 1);
    script_write(file, 'c', 1, 1);
}

static void unsynced_writes_are_lost_in_any_order(void **state) {
    (void)state;
    struct outcomes outcomes = script_explore(overwrite_each_on_its_own, "f", NULL);
    assert_outcomes(&outcomes, "aa ba ac bc");
}

/* Two writes into one sector: the page cache never had the second without the first. */
static void two_halves_of_a_sector(struct io *io) {
    script_create_synced(io, "f", 'a', 1);
    struct io_file *file = script_open(io, "f");
    char data[SECTOR / 2];
    memset(data, 'b', sizeof data);
    assert_status(io_file_write_at(file, slice_make(data, sizeof data), 0), STATUS_OK);
    assert_status(io_file_write_at(file, slice_make(data, sizeof data), SECTOR / 2), STATUS_OK);
}

static void a_sector_is_always_a_state_it_has_had(void **state) {
    (void)state;
    struct outcomes outcomes = script_explore(two_halves_of_a_sector, "f", NULL);
    /* '?': the first half only; a second half only would look the same, so look closer. */
    assert_outcomes(&outcomes, "a b ?");
    for (uint64_t seed = 0; seed < SCRIPT_SEEDS; seed++) {
        struct io_sim *sim = io_sim_new(seed);
        struct io *io = io_sim_node_io(sim, 0);
        uint8_t data[SECTOR];
        size_t read;
        two_halves_of_a_sector(io);
        io_sim_crash_node(sim, 0, IO_SIM_CRASH_POWER);
        io_free(io);
        io = io_sim_node_io(sim, 0);
        struct io_file *file = script_open(io, "f");
        assert_status(io_file_read_at(file, data, SECTOR, 0, &read), STATUS_OK);
        assert_false(data[0] == 'a' && data[SECTOR - 1] == 'b');
        io_file_close(file);
        io_free(io);
        io_sim_free(sim);
    }
}

static void append_two(struct io *io) {
    script_create_synced(io, "f", 'a', 1);
    struct io_file *file = script_open(io, "f");
    script_write(file, 'b', 1, 2);
}

static void a_growing_file_may_get_size_without_data_or_neither(void **state) {
    (void)state;
    struct outcomes outcomes = script_explore(append_two, "f", NULL);
    assert_outcomes(&outcomes, "a abb ab0 a0b a00");
}

static void truncate_unsynced(struct io *io) {
    script_create_synced(io, "f", 'a', 3);
    struct io_file *file = script_open(io, "f");
    assert_status(io_file_truncate(file, SECTOR), STATUS_OK);
}

static void an_unsynced_truncation_may_be_undone(void **state) {
    (void)state;
    struct outcomes outcomes = script_explore(truncate_unsynced, "f", NULL);
    assert_outcomes(&outcomes, "aaa a");
}

static void write_sync_write(struct io *io) {
    script_create_synced(io, "f", 'a', 2);
    struct io_file *file = script_open(io, "f");
    script_write(file, 'b', 0, 1);
    script_sync(file);
    script_write(file, 'c', 1, 1);
}

static void a_sync_is_a_barrier(void **state) {
    (void)state;
    struct outcomes outcomes = script_explore(write_sync_write, "f", NULL);
    assert_outcomes(&outcomes, "ba bc");
}

static void sync_of_another_file(struct io *io) {
    script_create_synced(io, "f", 'a', 1);
    script_create_synced(io, "g", 'a', 1);
    struct io_file *f = script_open(io, "f"), *g = script_open(io, "g");
    script_write(f, 'b', 0, 1);
    script_write(g, 'b', 0, 1);
    script_sync(g);
}

static void a_sync_is_for_its_own_file_only(void **state) {
    (void)state;
    struct outcomes outcomes = script_explore(sync_of_another_file, "f", "g");
    assert_outcomes(&outcomes, "a/b b/b");
}

/* ---- names ------------------------------------------------------------------------------------------ */

static void create_without_dir_sync(struct io *io) {
    struct io_file *file = script_open(io, "f");
    script_write(file, 'a', 0, 1);
    script_sync(file);
}

static void a_new_file_needs_its_directory_synced(void **state) {
    (void)state;
    struct outcomes outcomes = script_explore(create_without_dir_sync, "f", NULL);
    assert_outcomes(&outcomes, "- a");
}

static void create_without_data_sync(struct io *io) {
    struct io_file *file = script_open(io, "f");
    script_write(file, 'a', 0, 1);
    script_sync_root(io);
}

static void a_directory_sync_is_not_a_data_sync(void **state) {
    (void)state;
    struct outcomes outcomes = script_explore(create_without_data_sync, "f", NULL);
    assert_outcomes(&outcomes, "empty a 0");
}

static void replace_by_rename(struct io *io) {
    script_create_synced(io, "current", 'a', 1);
    struct io_file *file = script_open(io, "tmp");
    script_write(file, 'b', 0, 1);
    script_sync(file);
    io_file_close(file);
    assert_status(io_rename(io, "tmp", "current"), STATUS_OK);
}

static void a_rename_is_atomic_and_lost_until_the_directory_is_synced(void **state) {
    (void)state;
    struct outcomes outcomes = script_explore(replace_by_rename, "current", "tmp");
    assert_outcomes(&outcomes, "a/- a/b b/-");
}

static void replace_by_rename_synced(struct io *io) {
    replace_by_rename(io);
    script_sync_root(io);
}

static void a_synced_rename_stays(void **state) {
    (void)state;
    struct outcomes outcomes = script_explore(replace_by_rename_synced, "current", "tmp");
    assert_outcomes(&outcomes, "b/-");
}

static void rename_unsynced_data(struct io *io) {
    script_create_synced(io, "current", 'a', 1);
    struct io_file *file = script_open(io, "tmp");
    script_write(file, 'b', 0, 1);
    io_file_close(file);
    assert_status(io_rename(io, "tmp", "current"), STATUS_OK);
    script_sync_root(io);
}

static void renaming_an_unsynced_file_loses_both(void **state) {
    (void)state;
    struct outcomes outcomes = script_explore(rename_unsynced_data, "current", NULL);
    assert_outcomes(&outcomes, "empty b 0");
}

static void unlink_unsynced(struct io *io) {
    script_create_synced(io, "f", 'a', 1);
    assert_status(io_unlink(io, "f"), STATUS_OK);
}

static void an_unlinked_file_may_come_back(void **state) {
    (void)state;
    struct outcomes outcomes = script_explore(unlink_unsynced, "f", NULL);
    assert_outcomes(&outcomes, "- a");
}

static void rename_across_directories(struct io *io) {
    assert_status(io_mkdir(io, "a"), STATUS_OK);
    assert_status(io_mkdir(io, "b"), STATUS_OK);
    script_sync_root(io);
    struct io_file *file = script_open(io, "a/f");
    script_write(file, 'x', 0, 1);
    script_sync(file);
    io_file_close(file);
    assert_status(io_rename(io, "a/f", "b/f"), STATUS_OK);
    assert_status(io_sync_dir(io, "b"), STATUS_OK);
}

static void a_rename_is_one_change_of_two_directories(void **state) {
    (void)state;
    struct outcomes outcomes = script_explore(rename_across_directories, "a/f", "b/f");
    assert_outcomes(&outcomes, "-/x");
}

static void move_a_directory(struct io *io) {
    assert_status(io_mkdir(io, "old/below"), STATUS_OK);
    struct io_file *file = script_open(io, "old/below/f");
    script_write(file, 'x', 0, 1);
    script_sync(file);
    io_file_close(file);
    assert_status(io_sync_dir(io, "old/below"), STATUS_OK);
    assert_status(io_sync_dir(io, "old"), STATUS_OK);
    assert_status(io_rename(io, "old", "new"), STATUS_OK);
    script_sync_root(io);
}

static void a_directory_moves_with_what_is_below(void **state) {
    (void)state;
    struct outcomes outcomes = script_explore(move_a_directory, "new/below/f", "old/below/f");
    assert_outcomes(&outcomes, "x/-");
}

/* ---- any program ------------------------------------------------------------------------------------ */

#define SECTORS 12

/* Of each sector the versions since the last sync may be found after a cut, and none before. */
static void random_writes_keep_what_was_synced(uint64_t seed) {
    struct io_sim *sim = io_sim_new(seed);
    struct io *io = io_sim_node_io(sim, 0);
    struct prng prng;
    char letters[SECTORS], synced[SECTORS];
    bool possible[SECTORS][26] = {{false}};
    prng_init(&prng, seed);
    script_create_synced(io, "f", 'a', 8);
    struct io_file *file = script_open(io, "f");
    script_write(file, 'a', 8, SECTORS - 8);
    script_sync(file);
    memset(letters, 'a', SECTORS);
    memset(synced, 'a', SECTORS);
    for (unsigned step = 0; step < 60; step++) {
        unsigned first = (unsigned)prng_below(&prng, SECTORS);
        unsigned count = 1 + (unsigned)prng_below(&prng, MIN(SECTORS - first, 8U));
        char letter = (char)('a' + prng_below(&prng, 26));
        if (prng_chance(&prng, 1, 8)) {
            script_sync(file);
            memcpy(synced, letters, SECTORS);
            memset(possible, 0, sizeof possible);
        }
        script_write(file, letter, first, count);
        memset(letters + first, letter, count);
        for (unsigned i = first; i < first + count; i++)
            possible[i][letter - 'a'] = true;
    }
    io_sim_crash_node(sim, 0, IO_SIM_CRASH_POWER);
    io_free(io);
    io = io_sim_node_io(sim, 0);
    char text[64];
    script_describe(io, "f", text);
    assert_int_equal(strlen(text), SECTORS);
    for (unsigned i = 0; i < SECTORS; i++)
        assert_true(text[i] == synced[i] || possible[i][text[i] - 'a']);
    io_free(io);
    io_sim_free(sim);
}

static void every_cut_leaves_the_synced_state_or_newer(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 300; seed++)
        random_writes_keep_what_was_synced(seed);
}

/* A sector goes forward: over several cuts of the same history none goes back behind an earlier one. */
static void a_cut_is_final(void **state) {
    (void)state;
    for (uint64_t seed = 0; seed < 100; seed++) {
        struct io_sim *sim = io_sim_new(seed);
        struct io *io = io_sim_node_io(sim, 0);
        char first[64], second[64];
        script_create_synced(io, "f", 'a', 4);
        struct io_file *file = script_open(io, "f");
        script_write(file, 'b', 0, 4);
        io_sim_crash_node(sim, 0, IO_SIM_CRASH_POWER);
        io_free(io);
        script_describe(io_sim_node_io(sim, 0), "f", first);
        io_sim_crash_node(sim, 0, IO_SIM_CRASH_POWER);
        script_describe(io_sim_node_io(sim, 0), "f", second);
        assert_string_equal(first, second);
        io_sim_free(sim);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_synced_stays),
        cmocka_unit_test(an_unsynced_write_is_torn_by_sectors),
        cmocka_unit_test(unsynced_writes_are_lost_in_any_order),
        cmocka_unit_test(a_sector_is_always_a_state_it_has_had),
        cmocka_unit_test(a_growing_file_may_get_size_without_data_or_neither),
        cmocka_unit_test(an_unsynced_truncation_may_be_undone),
        cmocka_unit_test(a_sync_is_a_barrier),
        cmocka_unit_test(a_sync_is_for_its_own_file_only),
        cmocka_unit_test(a_new_file_needs_its_directory_synced),
        cmocka_unit_test(a_directory_sync_is_not_a_data_sync),
        cmocka_unit_test(a_rename_is_atomic_and_lost_until_the_directory_is_synced),
        cmocka_unit_test(a_synced_rename_stays),
        cmocka_unit_test(renaming_an_unsynced_file_loses_both),
        cmocka_unit_test(an_unlinked_file_may_come_back),
        cmocka_unit_test(a_rename_is_one_change_of_two_directories),
        cmocka_unit_test(a_directory_moves_with_what_is_below),
        cmocka_unit_test(every_cut_leaves_the_synced_state_or_newer),
        cmocka_unit_test(a_cut_is_final),
    };
    return cmocka_run_group_tests_name("io_sim_disk", tests, NULL, NULL);
}
