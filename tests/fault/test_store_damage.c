// SPDX-License-Identifier: Apache-2.0
/* Bits flip at rest, in every part of every kind of file: the store says CORRUPT, or answers rightly (S6);
 * it never answers with something else, and never that a key which exists does not. `inspect` sees every
 * damage that the store sees. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "lib/store_model.h"
#include "lib/test.h"
#include "storage/inspect.h"

#define PATIENT 1u  /* the node whose disk is damaged */
#define FLIPS   200 /* a store, spread over its files */

struct file {
    char path[64];
    uint64_t size;
};
struct files {
    struct io *io;
    struct file list[512];
    size_t count;
};

static void found(void *ctx, const char *name, bool is_dir) {
    struct files *files = ctx;
    if (is_dir || strcmp(name, "LOCK") == 0) return;
    assert_true(files->count < 512);
    struct file *file = &files->list[files->count++];
    snprintf(file->path, sizeof file->path, "data/%s", name);
}

static int by_name(const void *a, const void *b) {
    return strcmp(((const struct file *)a)->path, ((const struct file *)b)->path);
}

static void list_files(struct io *io, struct files *files) {
    *files = (struct files){.io = io};
    assert_status(io_list_dir(io, "data", found, files), STATUS_OK);
    qsort(files->list, files->count, sizeof files->list[0], by_name);
    for (size_t i = 0; i < files->count; i++) {
        struct io_file *file;
        assert_status(io_file_open(io, files->list[i].path, IO_OPEN_READ, &file), STATUS_OK);
        assert_status(io_file_size(file, &files->list[i].size), STATUS_OK);
        io_file_close(file);
    }
}

static bool value_right(struct store *healthy, struct slice key, struct slice value) {
    struct shared_slice expected;
    if (store_get_blocking(healthy, key, &expected) != STATUS_OK) return false;
    bool right = slice_equal(expected.bytes, value);
    shared_slice_unref(expected);
    return right;
}

/* Reads all of the damaged store beside the healthy one; true when it reported damage. */
static bool read_all(const struct store_model *model, struct store *damaged, struct store *healthy) {
    bool reported = false;
    for (uint32_t k = 0; k < STORE_MODEL_KEYS; k++) {
        struct shared_slice value, expected;
        enum status status = store_get_blocking(damaged, model->keys[k], &value);
        if (status == STATUS_CORRUPT) {
            reported = true;
            continue;
        }
        enum status right = store_get_blocking(healthy, model->keys[k], &expected);
        assert_status(status, right);
        if (status != STATUS_OK) continue;
        assert_slice_equal(value.bytes, expected.bytes);
        shared_slice_unref(value);
        shared_slice_unref(expected);
    }
    for (int sequential = 0; sequential < 2; sequential++) {
        unsigned flags = STORE_ITERATOR_BLOCKING | (sequential ? STORE_ITERATOR_SEQUENTIAL : 0);
        struct store_iterator *it = store_iterator_open(damaged, SLICE_EMPTY, SLICE_EMPTY, flags, NULL, NULL);
        uint32_t entries = 0, expected = 0;
        enum status status = store_iterator_seek(it, SLICE_EMPTY);
        for (; status == STATUS_OK; status = store_iterator_next(it), entries++)
            assert_true(value_right(healthy, store_iterator_key(it), store_iterator_value(it).bytes));
        store_iterator_close(it);
        for (uint32_t k = 0; k < STORE_MODEL_KEYS; k++)
            expected += model->state[k] != 0;
        if (status == STATUS_END)
            assert_int_equal(entries, expected);
        else
            assert_status(status, STATUS_CORRUPT);
        reported = reported || status == STATUS_CORRUPT;
    }
    return reported;
}

static void ignore_text(void *ctx, struct slice text) {
    (void)ctx;
    (void)text;
}

static enum status inspect(struct io *io, const char *path, bool json) {
    struct inspect_options options = {.json = json, .verify = true, .entries = json, .print = ignore_text};
    struct diagnostic diagnostic;
    return inspect_path(io, path, &options, &diagnostic);
}

/* Opens the damaged copy read-only; true when the damage was reported. */
static bool examine(const struct store_model *model, struct store *healthy) {
    struct io *io = io_sim_node_io(model->sim, PATIENT);
    struct store_options options = model->options;
    options.read_only = true;
    struct store *store;
    struct diagnostic diagnostic = {{0}};
    enum status status = store_open(io, &options, &store, &diagnostic);
    bool reported = status != STATUS_OK;
    if (reported) {
        assert_true(status == STATUS_CORRUPT || status == STATUS_VERSION);
        assert_true(strlen(diagnostic.text) > 20);
    } else {
        reported = read_all(model, store, healthy);
        store_close(store);
    }
    enum status inspected = inspect(io, "data", false);
    if (reported && inspected != STATUS_CORRUPT) print_error("not seen by inspect: %s\n", diagnostic.text);
    if (reported) assert_status(inspected, STATUS_CORRUPT);
    assert_status(inspect(io, "data", true), inspected);
    io_sim_crash_node(model->sim, PATIENT, IO_SIM_CRASH_POWER_CLEAN);
    io_free(io);
    return reported;
}

static void fill(struct store_model *model, uint64_t seed) {
    store_model_init(model, seed);
    model->value_size_max = 6000;
    model->options.cache_bytes = 4 * KIB;
    model->options.memtable_bytes = 256 * KIB;
    model->options.table_bytes = 512 * KIB;
    model->options.wal_segment_bytes = 256 * KIB;
    assert_true(store_model_open(model));
    for (int i = 0; i < 250; i++)
        store_model_write(model);
    store_model_flush(model);
    for (int i = 0; i < 60; i++)
        store_model_write(model);
    store_model_settle(model);
    store_model_run(model, NS_PER_S);
    store_model_shutdown(model);
    assert_true(store_model_open(model));
}

static void flips_are_noticed(void **state) {
    (void)state;
    uint32_t reported[3] = {0}, flips[3] = {0};
    for (uint64_t seed = 1; seed <= 3; seed++) {
        struct store_model model;
        fill(&model, seed);
        struct files files;
        list_files(model.io, &files);
        assert_true(files.count >= 3);
        for (size_t i = 0; i < files.count; i++) {
            const struct file *file = &files.list[i];
            size_t kind = strstr(file->path, ".sst") != NULL ? 0 : strstr(file->path, ".wal") != NULL ? 1 : 2;
            for (uint32_t n = 0; n < MAX(FLIPS / files.count, (size_t)8); n++) {
                uint64_t offset = prng_below(&model.prng, file->size);
                /* The ends of files, where headers and footers are, as often as all the rest. */
                if (n % 4 == 0) offset = prng_below(&model.prng, MIN(file->size, (uint64_t)100));
                if (n % 4 == 1)
                    offset = file->size - 1 - prng_below(&model.prng, MIN(file->size, (uint64_t)100));
                io_sim_clone_disk(model.sim, STORE_MODEL_NODE, PATIENT, IO_SIM_CRASH_POWER_CLEAN);
                assert_true(io_sim_flip_bit(model.sim, PATIENT, file->path, offset,
                                            (unsigned)prng_below(&model.prng, 8)));
                flips[kind]++;
                reported[kind] += examine(&model, model.store);
            }
        }
        store_model_release(&model);
    }
    /* Padding, properties and spare segments may be damaged unnoticed; the test is worth something only where
     * many flips met what is in use. */
    for (size_t kind = 0; kind < 3; kind++)
        assert_true(reported[kind] * 20 > flips[kind]);
}

/* What the log had reached is known after a clean stop: its end cannot be cut off unnoticed (S11). */
static void the_end_of_the_log_is_guarded(void **state) {
    (void)state;
    struct store_model model;
    store_model_init(&model, 7);
    model.options.memtable_bytes = MIB;
    assert_true(store_model_open(&model));
    for (int i = 0; i < 20; i++) {
        store_model_write(&model);
        store_model_settle(&model);
    }
    store_model_shutdown(&model);
    assert_true(store_model_open(&model));
    struct files files;
    list_files(model.io, &files);
    uint32_t cut = 0;
    for (size_t i = 0; i < files.count; i++) {
        if (strstr(files.list[i].path, ".wal") == NULL) continue;
        for (uint64_t offset = 0; offset < files.list[i].size; offset += 4096) {
            io_sim_clone_disk(model.sim, STORE_MODEL_NODE, PATIENT, IO_SIM_CRASH_POWER_CLEAN);
            for (uint64_t at = offset; at < files.list[i].size && at < offset + 4096; at += 512)
                io_sim_flip_bit(model.sim, PATIENT, files.list[i].path, at + 5, 3);
            cut += examine(&model, model.store);
        }
    }
    assert_in_range(cut, 20, 200); /* one block at least for each write */
    store_model_release(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flips_are_noticed),
        cmocka_unit_test(the_end_of_the_log_is_guarded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
