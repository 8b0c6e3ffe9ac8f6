// SPDX-License-Identifier: Apache-2.0
#include "lib/io_sim_script.h"

#include <stdio.h>

void outcomes_add(struct outcomes *outcomes, const char *text) {
    for (unsigned i = 0; i < outcomes->count; i++)
        if (strcmp(outcomes->text[i], text) == 0) return;
    assert_in_range(outcomes->count, 0, SCRIPT_OUTCOMES - 1);
    snprintf(outcomes->text[outcomes->count++], sizeof outcomes->text[0], "%s", text);
}

static bool outcomes_have(const struct outcomes *outcomes, const char *text) {
    for (unsigned i = 0; i < outcomes->count; i++)
        if (strcmp(outcomes->text[i], text) == 0) return true;
    return false;
}

void assert_outcomes(const struct outcomes *outcomes, const char *expected) {
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

struct io_file *script_open(struct io *io, const char *path) {
    struct io_file *file = NULL;
    assert_status(io_file_open(io, path, IO_OPEN_WRITE | IO_OPEN_CREATE, &file), STATUS_OK);
    return file;
}

void script_write(struct io_file *file, char letter, unsigned first, unsigned count) {
    char data[8 * SECTOR];
    memset(data, letter, count * SECTOR);
    assert_status(io_file_write_at(file, slice_make(data, count * SECTOR), first * SECTOR), STATUS_OK);
}

void script_sync(struct io_file *file) {
    assert_status(io_file_sync(file), STATUS_OK);
}

void script_sync_root(struct io *io) {
    assert_status(io_sync_dir(io, "/"), STATUS_OK);
}

void script_create_synced(struct io *io, const char *path, char letter, unsigned sectors) {
    struct io_file *file = script_open(io, path);
    script_write(file, letter, 0, sectors);
    script_sync(file);
    script_sync_root(io);
    io_file_close(file);
}

const char *script_describe(struct io *io, const char *path, char *text) {
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
    script_describe(io, experiment->path, text);
    if (experiment->second != NULL) {
        strcat(text, "/");
        strcat(text, script_describe(io, experiment->second, second));
    }
    outcomes_add(outcomes, text);
    io_free(io);
    io_sim_free(sim);
}

struct outcomes script_explore(void (*script)(struct io *io), const char *path, const char *second) {
    struct outcomes outcomes = {.count = 0};
    struct experiment experiment = {script, path, second, IO_SIM_CRASH_POWER};
    for (uint64_t seed = 0; seed < SCRIPT_SEEDS; seed++)
        run_experiment(&experiment, seed, &outcomes);
    return outcomes;
}

struct outcomes script_explore_how(void (*script)(struct io *io), const char *path, enum io_sim_crash how) {
    struct outcomes outcomes = {.count = 0};
    struct experiment experiment = {script, path, NULL, how};
    for (uint64_t seed = 0; seed < 20; seed++)
        run_experiment(&experiment, seed, &outcomes);
    return outcomes;
}
