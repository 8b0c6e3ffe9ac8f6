// SPDX-License-Identifier: Apache-2.0
/* The scrub finds what rots before anybody reads it: every byte of a table that means something. What is
 * found is named, stays where it is while it is needed and is put aside afterwards, and the rest can be read.
 */
#include <inttypes.h>
#include <stdio.h>

#include "base/cursor.h"
#include "base/mem.h"
#include "lib/store_model.h"
#include "lib/test.h"
#include "storage/layout.h"
#include "storage/table.h"

#define PATIENT 1u /* the node whose disk is damaged */
#define FLIPS   700u

struct found_table {
    char path[64];
    uint64_t number;
};

static void find_table(void *ctx, const char *name, bool is_dir) {
    struct found_table *found = ctx;
    uint64_t number;
    if (is_dir || layout_parse(name, &number) != LAYOUT_TABLE) return;
    snprintf(found->path, sizeof found->path, "data/%s", name);
    found->number = number;
}

static void fill(struct store_model *model, uint64_t seed) {
    store_model_init(model, seed);
    model->value_size_max = 1500;
    model->options.memtable_bytes = MIB;
    model->options.table_bytes = MIB;
    model->options.wal_segment_bytes = 256 * KIB;
    assert_true(store_model_open(model));
    for (int i = 0; i < 60; i++)
        store_model_write(model);
    store_model_flush(model);
    store_model_settle(model);
    store_model_run(model, NS_PER_S);
    store_model_shutdown(model);
    assert_true(store_model_open(model));
}

static void set_flag(void *ctx) {
    *(bool *)ctx = true;
}

struct lines {
    char text[4096];
    size_t size;
    uint32_t damage;
};

static void keep_line(void *ctx, enum log_level level, struct slice line) {
    struct lines *lines = ctx;
    if (level != LOG_ERROR) return;
    lines->damage++;
    if (line.size >= sizeof lines->text - lines->size) return;
    memcpy(lines->text + lines->size, line.data, line.size);
    lines->size += line.size;
    lines->text[lines->size] = 0;
}

struct patient {
    struct io *io;
    struct store *store;
    struct lines lines;
    struct log log;
};

static void patient_open(struct patient *patient, const struct store_model *model) {
    *patient = (struct patient){.io = io_sim_node_io(model->sim, PATIENT)};
    patient->log = (struct log){.level = LOG_INFO, .sink = keep_line, .ctx = &patient->lines};
    struct store_options options = model->options;
    options.log = &patient->log;
    struct diagnostic why;
    assert_status(store_open(patient->io, &options, &patient->store, &why), STATUS_OK);
}

static void patient_close(struct patient *patient, const struct store_model *model) {
    io_sim_crash_node(model->sim, PATIENT, IO_SIM_CRASH_POWER_CLEAN);
    store_close(patient->store);
    io_free(patient->io);
}

static struct scrub_counters scrub(struct patient *patient, const struct store_model *model) {
    bool done = false;
    store_scrub(patient->store, set_flag, &done);
    while (!done)
        assert_true(io_sim_step(model->sim));
    struct store_stats stats;
    store_stats(patient->store, &stats);
    assert_int_equal(stats.scrub.rounds, 1);
    return stats.scrub;
}

static uint64_t size_of(struct io *io, const char *path) {
    struct io_file *file;
    uint64_t size;
    assert_status(io_file_open(io, path, IO_OPEN_READ, &file), STATUS_OK);
    assert_status(io_file_size(file, &size), STATUS_OK);
    io_file_close(file);
    return size;
}

static struct table_footer footer_of(struct io *io, const char *path, uint64_t size) {
    struct io_file *file;
    uint8_t bytes[TABLE_FOOTER_SIZE];
    size_t read;
    struct table_footer footer;
    assert_status(io_file_open(io, path, IO_OPEN_READ, &file), STATUS_OK);
    assert_status(io_file_read_at(file, bytes, sizeof bytes, size - sizeof bytes, &read), STATUS_OK);
    assert_status(table_footer_decode(slice_make(bytes, read), &footer), STATUS_OK);
    io_file_close(file);
    return footer;
}

static void every_part_of_a_table_is_checked(void **state) {
    (void)state;
    struct store_model model;
    fill(&model, 3);
    struct found_table table = {{0}, 0};
    assert_status(io_list_dir(model.io, "data", find_table, &table), STATUS_OK);
    uint64_t size = size_of(model.io, table.path);
    uint64_t stride = MAX(size / FLIPS, (uint64_t)1);
    uint32_t missed = 0;
    for (uint64_t offset = 0; offset < size; offset += offset + 200 < size ? stride : 1) {
        io_sim_clone_disk(model.sim, STORE_MODEL_NODE, PATIENT, IO_SIM_CRASH_POWER_CLEAN);
        assert_true(io_sim_flip_bit(model.sim, PATIENT, table.path, offset, offset % 8));
        struct patient patient;
        patient_open(&patient, &model);
        struct scrub_counters counters = scrub(&patient, &model);
        if (counters.damaged == 0) {
            print_error("S6 damage is not found: offset %" PRIu64 " of %" PRIu64 "\n", offset, size);
            missed++;
        }
        patient_close(&patient, &model);
    }
    assert_int_equal(missed, 0);
    store_model_release(&model);
}

static void write_done(struct store_write *write) {
    assert_status(write->status, STATUS_OK);
}

/* Damage does not end the reading of a run. */
static void all_damage_of_a_run_is_found(void **state) {
    (void)state;
    struct store_model model;
    store_model_init(&model, 8);
    model.options.memtable_bytes = MIB;
    model.options.table_bytes = MIB;
    assert_true(store_model_open(&model));
    struct store_write write;
    store_write_init(&write, write_done);
    for (uint16_t k = 0; k < 400; k++) { /* several blocks */
        uint8_t key[2], value[200] = {1};
        store_be16(key, k);
        store_put(&write, slice_make(key, 2), (struct shared_slice){slice_make(value, sizeof value), NULL});
    }
    store_write_submit(model.store, &write);
    store_model_flush(&model);
    store_model_run(&model, NS_PER_S);
    store_write_release(&write);
    struct found_table table = {{0}, 0};
    assert_status(io_list_dir(model.io, "data", find_table, &table), STATUS_OK);
    struct table_footer footer = footer_of(model.io, table.path, size_of(model.io, table.path));
    assert_true(footer.filter.offset > 3 * TABLE_BLOCK_SIZE);
    io_sim_clone_disk(model.sim, STORE_MODEL_NODE, PATIENT, IO_SIM_CRASH_POWER_CLEAN);
    for (uint64_t i = 0; i < 3; i++) /* the first, a middle and the last block */
        assert_true(
            io_sim_flip_bit(model.sim, PATIENT, table.path, i * (footer.filter.offset - 100) / 2 + 50, 1));
    struct patient patient;
    patient_open(&patient, &model);
    assert_int_equal(scrub(&patient, &model).damaged, 3);
    patient_close(&patient, &model);
    store_model_release(&model);
}

static void a_sound_store_gives_no_alarm(void **state) {
    (void)state;
    struct store_model model;
    fill(&model, 4);
    io_sim_clone_disk(model.sim, STORE_MODEL_NODE, PATIENT, IO_SIM_CRASH_POWER_CLEAN);
    struct patient patient;
    patient_open(&patient, &model);
    struct scrub_counters counters = scrub(&patient, &model);
    assert_int_equal(counters.damaged, 0);
    assert_int_equal(patient.lines.damage, 0);
    assert_true(counters.bytes > 10000);
    patient_close(&patient, &model);
    store_model_release(&model);
}

static void count_tables(void *ctx, const char *name, bool is_dir) {
    uint64_t number;
    if (!is_dir && layout_parse(name, &number) == LAYOUT_TABLE) (*(uint32_t *)ctx)++;
}

static uint32_t tables_in(struct io *io, const char *dir) {
    uint32_t count = 0;
    enum status status = io_list_dir(io, dir, count_tables, &count);
    return status == STATUS_OK ? count : 0;
}

/* One block is lost: it is named, the other keys are read as before, and the file is not thrown away. */
static void the_rest_stays_readable_and_the_file_is_put_aside(void **state) {
    (void)state;
    struct store_model model;
    fill(&model, 5);
    struct found_table table = {{0}, 0};
    assert_status(io_list_dir(model.io, "data", find_table, &table), STATUS_OK);
    io_sim_clone_disk(model.sim, STORE_MODEL_NODE, PATIENT, IO_SIM_CRASH_POWER_CLEAN);
    assert_true(io_sim_break_sector(model.sim, PATIENT, table.path, 100)); /* cannot be read at all */
    struct patient patient;
    patient_open(&patient, &model);
    struct scrub_counters counters = scrub(&patient, &model);
    assert_true(counters.damaged > 0);
    assert_int_equal(patient.lines.damage, counters.damaged);
    assert_non_null(strstr(patient.lines.text, table.path + strlen("data/")));
    assert_non_null(strstr(patient.lines.text, "lost_from="));
    uint32_t lost = 0, read = 0;
    for (uint32_t k = 0; k < STORE_MODEL_KEYS; k++) {
        struct shared_slice value;
        enum status status = store_get_blocking(patient.store, model.keys[k], &value);
        lost += status == STATUS_IO;
        read += status == STATUS_OK;
        if (status == STATUS_OK) shared_slice_unref(value);
        if (status != STATUS_IO) assert_status(status, model.state[k] == 0 ? STATUS_NOT_FOUND : STATUS_OK);
    }
    assert_true(lost > 0 && read > 0);
    uint32_t tables = tables_in(patient.io, "data");
    assert_int_equal(tables_in(patient.io, "data/" LAYOUT_QUARANTINE), 0);
    struct store_write write;
    store_write_init(&write, write_done);
    const uint8_t last[2] = {0xff, 0xff};
    store_delete_range(&write, SLICE_EMPTY, slice_make(last, 2));
    store_write_submit(patient.store, &write);
    bool flushed = false;
    store_flush(patient.store, (void (*)(void *, enum status))(void (*)(void))set_flag, &flushed);
    io_sim_run_until(model.sim, io_sim_now(model.sim) + NS_PER_S);
    assert_true(flushed);
    assert_int_equal(tables_in(patient.io, "data"), tables - 1);
    assert_int_equal(tables_in(patient.io, "data/" LAYOUT_QUARANTINE), 1);
    store_write_release(&write);
    patient_close(&patient, &model);
    store_model_release(&model);
}

/* It runs by itself, at its rate, and a shutdown in its middle does not wait for it. */
static void the_rate_is_kept(void **state) {
    (void)state;
    struct store_model model;
    fill(&model, 6);
    io_sim_clone_disk(model.sim, STORE_MODEL_NODE, PATIENT, IO_SIM_CRASH_POWER_CLEAN);
    model.options.scrub_interval_ns = 100 * NS_PER_S;
    model.options.scrub_bytes_per_s = 1000;
    struct patient patient;
    patient_open(&patient, &model);
    uint64_t begin = io_sim_now(model.sim);
    struct store_stats stats = {0};
    while (stats.scrub.rounds == 0) {
        io_sim_run_until(model.sim, io_sim_now(model.sim) + NS_PER_S);
        store_stats(patient.store, &stats);
        uint64_t elapsed = io_sim_now(model.sim) - begin;
        assert_true(elapsed < 200 * NS_PER_S);
        if (elapsed < 10 * NS_PER_S) assert_int_equal(stats.scrub.bytes, 0);
    }
    uint64_t seconds = (io_sim_now(model.sim) - begin) / NS_PER_S - 10;
    assert_true(stats.scrub.bytes / 1000 <= seconds + 1);
    io_sim_run_until(model.sim, io_sim_now(model.sim) + 110 * NS_PER_S); /* into the next round */
    bool done = false;
    begin = io_sim_now(model.sim);
    store_shutdown(patient.store, set_flag, &done);
    while (!done)
        assert_true(io_sim_step(model.sim));
    assert_true(io_sim_now(model.sim) - begin < NS_PER_S);
    patient_close(&patient, &model);
    store_model_release(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_store_gives_no_alarm),
        cmocka_unit_test(every_part_of_a_table_is_checked),
        cmocka_unit_test(all_damage_of_a_run_is_found),
        cmocka_unit_test(the_rest_stays_readable_and_the_file_is_put_aside),
        cmocka_unit_test(the_rate_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
