// SPDX-License-Identifier: Apache-2.0
/* The simulated disk: what syncs promise, and that a power cut leaves every legal outcome and no other. */
#include <stdio.h>

#include "base/mem.h"
#include "base/units.h"
#include "io/io_sim.h"
#include "io/io_sim_image.h"
#include "lib/test.h"

#define SEEDS    400
#define SECTOR   IO_SIM_SECTOR_SIZE
#define OUTCOMES 64

/* The outcomes seen over many seeds. */
struct outcomes {
    char text[OUTCOMES][64];
    unsigned count;
};

static void outcomes_add(struct outcomes *outcomes, const char *text) {
    for (unsigned i = 0; i < outcomes->count; i++)
        if (strcmp(outcomes->text[i], text) == 0) return;
    assert_in_range(outcomes->count, 0, OUTCOMES - 1);
    snprintf(outcomes->text[outcomes->count++], sizeof outcomes->text[0], "%s", text);
}

static bool outcomes_have(const struct outcomes *outcomes, const char *text) {
    for (unsigned i = 0; i < outcomes->count; i++)
        if (strcmp(outcomes->text[i], text) == 0) return true;
    return false;
}

/* Exactly these, space-separated, have come up. */
static void assert_outcomes(const struct outcomes *outcomes, const char *expected) {
    char list[512];
    unsigned count = 0;
    snprintf(list, sizeof list, "%s", expected);
    for (char *save, *text = strtok_r(list, " ", &save); text != NULL; text = strtok_r(NULL, " ", &save)) {
        if (!outcomes_have(outcomes, text)) fail_msg("never seen: %s", text);
        count++;
    }
    for (unsigned i = 0; i < outcomes->count && count != outcomes->count; i++)
        print_message("seen: %s\n", outcomes->text[i]);
    assert_int_equal(outcomes->count, count);
}

static struct io_file *open_file(struct io *io, const char *path) {
    struct io_file *file = NULL;
    assert_status(io_file_open(io, path, IO_OPEN_WRITE | IO_OPEN_CREATE, &file), STATUS_OK);
    return file;
}

static void write_sectors(struct io_file *file, char letter, unsigned first, unsigned count) {
    char data[8 * SECTOR];
    memset(data, letter, count * SECTOR);
    assert_status(io_file_write_at(file, slice_make(data, count * SECTOR), first * SECTOR), STATUS_OK);
}

static void sync_file(struct io_file *file) {
    assert_status(io_file_sync(file), STATUS_OK);
}

static void sync_root(struct io *io) {
    assert_status(io_sync_dir(io, "/"), STATUS_OK);
}

static void create_synced(struct io *io, const char *path, char letter, unsigned sectors) {
    struct io_file *file = open_file(io, path);
    write_sectors(file, letter, 0, sectors);
    sync_file(file);
    sync_root(io);
    io_file_close(file);
}

/* One letter a sector ('0' for zeros, '?' for a mixture), "-" for no such file, "empty" for no bytes. */
static const char *describe(struct io *io, const char *path, char *text) {
    struct io_file *file;
    uint64_t size = 0;
    if (io_file_open(io, path, IO_OPEN_READ, &file) != STATUS_OK) return strcpy(text, "-");
    assert_status(io_file_size(file, &size), STATUS_OK);
    unsigned i = 0;
    for (; i * SECTOR < size; i++) {
        uint8_t data[SECTOR] = {0};
        size_t read = 0;
        assert_status(io_file_read_at(file, data, SECTOR, i * SECTOR, &read), STATUS_OK);
        text[i] = data[0] == 0 ? '0' : (char)data[0];
        for (size_t at = 1; at < read; at++)
            if (data[at] != data[0]) text[i] = '?';
    }
    text[i] = 0;
    io_file_close(file);
    return i == 0 ? strcpy(text, "empty") : text;
}

/* Runs a script on a fresh disk, cuts the power, and describes one file (two: joined by '/'). */
struct experiment {
    void (*script)(struct io *io);
    const char *path, *second;
    enum io_sim_crash how;
};

static void run_experiment(const struct experiment *experiment, uint64_t seed, struct outcomes *outcomes) {
    struct io_sim *sim = io_sim_new(seed);
    struct io *io = io_sim_node_io(sim, 0);
    char text[128], second[64];
    experiment->script(io);
    io_sim_crash_node(sim, 0, experiment->how);
    io_free(io);
    io = io_sim_node_io(sim, 0);
    describe(io, experiment->path, text);
    if (experiment->second != NULL) {
        strcat(text, "/");
        strcat(text, describe(io, experiment->second, second));
    }
    outcomes_add(outcomes, text);
    io_free(io);
    io_sim_free(sim);
}

static struct outcomes explore(void (*script)(struct io *io), const char *path, const char *second) {
    struct outcomes outcomes = {.count = 0};
    struct experiment experiment = {script, path, second, IO_SIM_CRASH_POWER};
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        run_experiment(&experiment, seed, &outcomes);
    return outcomes;
}

static struct outcomes explore_how(void (*script)(struct io *io), const char *path, enum io_sim_crash how) {
    struct outcomes outcomes = {.count = 0};
    struct experiment experiment = {script, path, NULL, how};
    for (uint64_t seed = 0; seed < 20; seed++)
        run_experiment(&experiment, seed, &outcomes);
    return outcomes;
}

/* ---- contents --------------------------------------------------------------------------------------- */

static void everything_synced(struct io *io) {
    create_synced(io, "f", 'a', 3);
}

static void what_was_synced_stays(void **state) {
    (void)state;
    struct outcomes outcomes = explore(everything_synced, "f", NULL);
    assert_outcomes(&outcomes, "aaa");
}

static void overwrite_two(struct io *io) {
    create_synced(io, "f", 'a', 3);
    struct io_file *file = open_file(io, "f");
    write_sectors(file, 'b', 1, 2);
}

static void an_unsynced_write_is_torn_by_sectors(void **state) {
    (void)state;
    struct outcomes outcomes = explore(overwrite_two, "f", NULL);
    assert_outcomes(&outcomes, "aaa abb aab aba");
    outcomes = explore_how(overwrite_two, "f", IO_SIM_CRASH_POWER_BARE);
    assert_outcomes(&outcomes, "aaa");
    outcomes = explore_how(overwrite_two, "f", IO_SIM_CRASH_POWER_CLEAN);
    assert_outcomes(&outcomes, "abb");
    outcomes = explore_how(overwrite_two, "f", IO_SIM_CRASH_PROCESS);
    assert_outcomes(&outcomes, "abb");
}

static void overwrite_each_on_its_own(struct io *io) {
    create_synced(io, "f", 'a', 2);
    struct io_file *file = open_file(io, "f");
    write_sectors(file, 'b', 0, 1);
    write_sectors(file, 'c', 1, 1);
}

static void unsynced_writes_are_lost_in_any_order(void **state) {
    (void)state;
    struct outcomes outcomes = explore(overwrite_each_on_its_own, "f", NULL);
    assert_outcomes(&outcomes, "aa ba ac bc");
}

/* Two writes into one sector: the page cache never had the second without the first. */
static void two_halves_of_a_sector(struct io *io) {
    create_synced(io, "f", 'a', 1);
    struct io_file *file = open_file(io, "f");
    char data[SECTOR / 2];
    memset(data, 'b', sizeof data);
    assert_status(io_file_write_at(file, slice_make(data, sizeof data), 0), STATUS_OK);
    assert_status(io_file_write_at(file, slice_make(data, sizeof data), SECTOR / 2), STATUS_OK);
}

static void a_sector_is_always_a_state_it_has_had(void **state) {
    (void)state;
    struct outcomes outcomes = explore(two_halves_of_a_sector, "f", NULL);
    /* '?': the first half only; a second half only would look the same, so look closer. */
    assert_outcomes(&outcomes, "a b ?");
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct io_sim *sim = io_sim_new(seed);
        struct io *io = io_sim_node_io(sim, 0);
        uint8_t data[SECTOR];
        size_t read;
        two_halves_of_a_sector(io);
        io_sim_crash_node(sim, 0, IO_SIM_CRASH_POWER);
        io_free(io);
        io = io_sim_node_io(sim, 0);
        struct io_file *file = open_file(io, "f");
        assert_status(io_file_read_at(file, data, SECTOR, 0, &read), STATUS_OK);
        assert_false(data[0] == 'a' && data[SECTOR - 1] == 'b');
        io_file_close(file);
        io_free(io);
        io_sim_free(sim);
    }
}

static void append_two(struct io *io) {
    create_synced(io, "f", 'a', 1);
    struct io_file *file = open_file(io, "f");
    write_sectors(file, 'b', 1, 2);
}

static void a_growing_file_may_get_size_without_data_or_neither(void **state) {
    (void)state;
    struct outcomes outcomes = explore(append_two, "f", NULL);
    assert_outcomes(&outcomes, "a abb ab0 a0b a00");
}

static void truncate_unsynced(struct io *io) {
    create_synced(io, "f", 'a', 3);
    struct io_file *file = open_file(io, "f");
    assert_status(io_file_truncate(file, SECTOR), STATUS_OK);
}

static void an_unsynced_truncation_may_be_undone(void **state) {
    (void)state;
    struct outcomes outcomes = explore(truncate_unsynced, "f", NULL);
    assert_outcomes(&outcomes, "aaa a");
}

static void write_sync_write(struct io *io) {
    create_synced(io, "f", 'a', 2);
    struct io_file *file = open_file(io, "f");
    write_sectors(file, 'b', 0, 1);
    sync_file(file);
    write_sectors(file, 'c', 1, 1);
}

static void a_sync_is_a_barrier(void **state) {
    (void)state;
    struct outcomes outcomes = explore(write_sync_write, "f", NULL);
    assert_outcomes(&outcomes, "ba bc");
}

static void sync_of_another_file(struct io *io) {
    create_synced(io, "f", 'a', 1);
    create_synced(io, "g", 'a', 1);
    struct io_file *f = open_file(io, "f"), *g = open_file(io, "g");
    write_sectors(f, 'b', 0, 1);
    write_sectors(g, 'b', 0, 1);
    sync_file(g);
}

static void a_sync_is_for_its_own_file_only(void **state) {
    (void)state;
    struct outcomes outcomes = explore(sync_of_another_file, "f", "g");
    assert_outcomes(&outcomes, "a/b b/b");
}

/* ---- names ------------------------------------------------------------------------------------------ */

static void create_without_dir_sync(struct io *io) {
    struct io_file *file = open_file(io, "f");
    write_sectors(file, 'a', 0, 1);
    sync_file(file);
}

static void a_new_file_needs_its_directory_synced(void **state) {
    (void)state;
    struct outcomes outcomes = explore(create_without_dir_sync, "f", NULL);
    assert_outcomes(&outcomes, "- a");
}

static void create_without_data_sync(struct io *io) {
    struct io_file *file = open_file(io, "f");
    write_sectors(file, 'a', 0, 1);
    sync_root(io);
}

static void a_directory_sync_is_not_a_data_sync(void **state) {
    (void)state;
    struct outcomes outcomes = explore(create_without_data_sync, "f", NULL);
    assert_outcomes(&outcomes, "empty a 0");
}

static void replace_by_rename(struct io *io) {
    create_synced(io, "current", 'a', 1);
    struct io_file *file = open_file(io, "tmp");
    write_sectors(file, 'b', 0, 1);
    sync_file(file);
    io_file_close(file);
    assert_status(io_rename(io, "tmp", "current"), STATUS_OK);
}

static void a_rename_is_atomic_and_lost_until_the_directory_is_synced(void **state) {
    (void)state;
    struct outcomes outcomes = explore(replace_by_rename, "current", "tmp");
    assert_outcomes(&outcomes, "a/- a/b b/-");
}

static void replace_by_rename_synced(struct io *io) {
    replace_by_rename(io);
    sync_root(io);
}

static void a_synced_rename_stays(void **state) {
    (void)state;
    struct outcomes outcomes = explore(replace_by_rename_synced, "current", "tmp");
    assert_outcomes(&outcomes, "b/-");
}

static void rename_unsynced_data(struct io *io) {
    create_synced(io, "current", 'a', 1);
    struct io_file *file = open_file(io, "tmp");
    write_sectors(file, 'b', 0, 1);
    io_file_close(file);
    assert_status(io_rename(io, "tmp", "current"), STATUS_OK);
    sync_root(io);
}

static void renaming_an_unsynced_file_loses_both(void **state) {
    (void)state;
    struct outcomes outcomes = explore(rename_unsynced_data, "current", NULL);
    assert_outcomes(&outcomes, "empty b 0");
}

static void unlink_unsynced(struct io *io) {
    create_synced(io, "f", 'a', 1);
    assert_status(io_unlink(io, "f"), STATUS_OK);
}

static void an_unlinked_file_may_come_back(void **state) {
    (void)state;
    struct outcomes outcomes = explore(unlink_unsynced, "f", NULL);
    assert_outcomes(&outcomes, "- a");
}

static void rename_across_directories(struct io *io) {
    assert_status(io_mkdir(io, "a"), STATUS_OK);
    assert_status(io_mkdir(io, "b"), STATUS_OK);
    sync_root(io);
    struct io_file *file = open_file(io, "a/f");
    write_sectors(file, 'x', 0, 1);
    sync_file(file);
    io_file_close(file);
    assert_status(io_rename(io, "a/f", "b/f"), STATUS_OK);
    assert_status(io_sync_dir(io, "b"), STATUS_OK);
}

static void a_rename_is_one_change_of_two_directories(void **state) {
    (void)state;
    struct outcomes outcomes = explore(rename_across_directories, "a/f", "b/f");
    assert_outcomes(&outcomes, "-/x");
}

static void move_a_directory(struct io *io) {
    assert_status(io_mkdir(io, "old/below"), STATUS_OK);
    struct io_file *file = open_file(io, "old/below/f");
    write_sectors(file, 'x', 0, 1);
    sync_file(file);
    io_file_close(file);
    assert_status(io_sync_dir(io, "old/below"), STATUS_OK);
    assert_status(io_sync_dir(io, "old"), STATUS_OK);
    assert_status(io_rename(io, "old", "new"), STATUS_OK);
    sync_root(io);
}

static void a_directory_moves_with_what_is_below(void **state) {
    (void)state;
    struct outcomes outcomes = explore(move_a_directory, "new/below/f", "old/below/f");
    assert_outcomes(&outcomes, "x/-");
}

/* ---- faults ----------------------------------------------------------------------------------------- */

static void a_failed_sync_loses_its_data_though_the_next_succeeds(void **state) {
    (void)state;
    struct outcomes outcomes = {.count = 0};
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct io_sim *sim = io_sim_new(seed);
        struct io *io = io_sim_node_io(sim, 0);
        char text[16];
        overwrite_two(io);
        struct io_file *file = open_file(io, "f");
        io_sim_disk_faults(sim, 0)->sync_error_countdown = 1;
        assert_status(io_file_sync(file), STATUS_IO);
        sync_file(file);
        assert_string_equal(describe(io, "f", text), "abb");
        io_sim_crash_node(sim, 0, IO_SIM_CRASH_POWER_CLEAN);
        io_free(io);
        io = io_sim_node_io(sim, 0);
        outcomes_add(&outcomes, describe(io, "f", text));
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
    create_synced(io, "f", 'a', 1);
    struct io_file *file = open_file(io, "f");
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
    struct io_file *file = open_file(io, "f"), *other = open_file(io, "g");
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
    sync_root(io);
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
    create_synced(io, "f", 'a', 3);
    assert_true(io_sim_flip_bit(sim, 0, "f", 1, 1));
    assert_true(io_sim_break_sector(sim, 0, "f", SECTOR + 7));
    assert_false(io_sim_flip_bit(sim, 0, "f", 3 * SECTOR, 0));
    assert_false(io_sim_flip_bit(sim, 0, "none", 0, 0));
    struct io_file *file = open_file(io, "f");
    assert_status(io_file_read_at(file, data, 3, 0, &read), STATUS_OK);
    assert_memory_equal(data, "aca", 3);
    assert_status(io_file_read_at(file, data, 1, SECTOR, &read), STATUS_IO);
    assert_status(io_file_read_at(file, data, 3, 2 * SECTOR, &read), STATUS_OK);
    assert_status(io_file_write_at(file, SLICE_LITERAL("xyz"), 0), STATUS_OK);
    write_sectors(file, 'b', 1, 1);
    assert_status(io_file_read_at(file, data, 3, 0, &read), STATUS_OK);
    assert_memory_equal(data, "xyz", 3);
    assert_status(io_file_read_at(file, data, 1, SECTOR, &read), STATUS_OK);
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
    write_sectors(file, 'a', 0, 1);
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
    create_synced(io, "current", 'a', 2);
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
    describe(io, "current", text);
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
    create_synced(io, "f", 'a', 1);
    struct io_file *file = open_file(io, "f"), *other;
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
    assert_string_equal(describe(io, "f", text), "a");
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
    for (unsigned i = 0; i < SEEDS; i++) {
        io_sim_clone_disk(sim, 0, 1, IO_SIM_CRASH_POWER);
        struct io *side = io_sim_node_io(sim, 1);
        outcomes_add(&outcomes, describe(side, "f", text));
        struct io_file *file = open_file(side, "f");
        write_sectors(file, 'z', 0, 3);
        io_file_close(file);
        io_free(side);
    }
    assert_outcomes(&outcomes, "aaa abb aab aba");
    assert_string_equal(describe(io, "f", text), "abb");
    io_sim_wipe_disk(sim, 1);
    struct io *wiped = io_sim_node_io(sim, 1);
    assert_string_equal(describe(wiped, "f", text), "-");
    io_sim_free(sim);
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
        cmocka_unit_test(a_failed_sync_loses_its_data_though_the_next_succeeds),
        cmocka_unit_test(errors_come_when_asked_for),
        cmocka_unit_test(a_full_disk_takes_what_fits_and_recovers),
        cmocka_unit_test(damage_stays_until_overwritten),
        cmocka_unit_test(a_direct_file_refuses_what_hardware_would),
        cmocka_unit_test(a_careful_program_survives_a_crash_at_each_operation),
        cmocka_unit_test(a_stopped_disk_has_no_effect_any_more),
        cmocka_unit_test(a_crash_forgets_locks_and_handles),
        cmocka_unit_test(a_clone_is_another_disk),
    };
    return cmocka_run_group_tests_name("io_sim_disk", tests, NULL, NULL);
}
