// SPDX-License-Identifier: Apache-2.0
/* Bits flip at rest, in every byte of every kind of file: the store says CORRUPT, or answers rightly (S6); it
 * never answers with something else, and never that a key which exists does not. What means something is
 * noticed, whichever bit it is. `inspect` sees every damage that the store sees. Blocks that are sound but
 * belong elsewhere are damage, too. */
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/units.h"
#include "lib/store_model.h"
#include "lib/test.h"
#include "storage/inspect.h"
#include "storage/manifest.h"
#include "storage/table.h"
#include "storage/wal_format.h"

#define PATIENT 1u /* the node whose disk is damaged */
/* Every so many bytes of a file, by its kind; SENTINEL_SEEDS: every one. */
#define TABLE_STRIDE    29u
#define LOG_STRIDE      23u
#define MANIFEST_STRIDE 3u

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

static void write_done(struct store_write *write) {
    assert_status(write->status, STATUS_OK);
}

/* Opens the damaged copy read-only; true when the damage was reported. *inspected: what inspect says. */
static bool examine(const struct store_model *model, struct store *healthy, enum status *inspected) {
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
    *inspected = inspect(io, "data", false);
    if (reported && *inspected != STATUS_CORRUPT) print_error("not seen by inspect: %s\n", diagnostic.text);
    if (reported) assert_status(*inspected, STATUS_CORRUPT);
    assert_status(inspect(io, "data", true), *inspected);
    io_sim_crash_node(model->sim, PATIENT, IO_SIM_CRASH_POWER_CLEAN);
    io_free(io);
    return reported;
}

static void fill(struct store_model *model, uint64_t seed, enum store_compression compression) {
    store_model_init(model, seed);
    model->value_size_max = 1500;
    model->options.compression = compression;
    model->options.cache_bytes = 4 * KIB;
    model->options.memtable_bytes = 256 * KIB;
    model->options.table_bytes = 512 * KIB;
    model->options.wal_segment_bytes = 64 * KIB;
    assert_true(store_model_open(model));
    for (int i = 0; i < 25; i++)
        store_model_write(model);
    store_model_flush(model);
    store_model_settle(model);
    for (int i = 0; i < 15; i++) {
        store_model_write(model);
        store_model_settle(model);
    }
    store_model_run(model, 3 * NS_PER_S); /* now the manifest knows how far the log was durable */
}

static uint8_t *contents_of(struct io *io, const struct file *file) {
    struct io_file *handle;
    uint8_t *bytes = mem_alloc(MAX(file->size, (uint64_t)1));
    size_t read;
    assert_status(io_file_open(io, file->path, IO_OPEN_READ, &handle), STATUS_OK);
    assert_status(io_file_read_at(handle, bytes, file->size, 0, &read), STATUS_OK);
    assert_int_equal(read, file->size);
    io_file_close(handle);
    return bytes;
}

/* What a byte is to the store. */
enum part {
    PART_DEAD,  /* padding, a spare file, or the last record of the manifest, which may pass for an unfinished
                   one */
    PART_LIVE,  /* inspect notices every bit of it */
    PART_NEEDED /* the store itself does as well, when it reads everything */
};

static void mark(uint8_t *parts, uint64_t from, uint64_t size, enum part part) {
    memset(parts + from, (int)part, size);
}

static void mark_log(const uint8_t *bytes, uint64_t size, uint8_t *parts) {
    struct wal_segment_header header;
    if (bytes[0] == 0) return;
    assert_status(wal_segment_header_decode(slice_make(bytes, WAL_BLOCK_SIZE), &header), STATUS_OK);
    mark(parts, 0, 56, PART_LIVE);
    struct wal_address where = {header.store_id, header.segment, WAL_BLOCK_SIZE};
    struct wal_group_header group;
    while (where.offset < size &&
           wal_group_header_decode(slice_make(bytes + where.offset, WAL_GROUP_HEADER_SIZE), where, &group)) {
        mark(parts, where.offset, wal_group_size(&group), PART_LIVE);
        where.offset = wal_align(where.offset + wal_group_size(&group));
    }
}

static void mark_table(const uint8_t *bytes, uint64_t size, uint8_t *parts) {
    struct table_footer footer;
    assert_status(table_footer_decode(slice_make(bytes, size), &footer), STATUS_OK);
    mark(parts, 0, size, PART_LIVE);
    mark(parts, footer.index.offset, footer.index.size + BLOCK_TRAILER_SIZE, PART_NEEDED);
}

static uint8_t *parts_of(struct io *io, const struct file *file, const uint8_t *bytes) {
    uint8_t *parts = mem_calloc(1, MAX(file->size, (uint64_t)1));
    if (strstr(file->path, ".wal") != NULL) {
        mark_log(bytes, file->size, parts);
    } else if (strstr(file->path, ".sst") != NULL) {
        mark_table(bytes, file->size, parts);
    } else {
        struct manifest_contents contents;
        struct diagnostic why;
        assert_status(manifest_read(io, "data", NULL, NULL, &contents, &why), STATUS_OK);
        mark(parts, 0, contents.last, PART_NEEDED);
    }
    return parts;
}

static bool is_dead(struct io *io, const struct file *file, const uint8_t *bytes, uint64_t offset) {
    uint8_t *parts = parts_of(io, file, bytes);
    bool dead = parts[offset] == PART_DEAD;
    mem_free(parts);
    return dead;
}

struct tally {
    uint32_t flips, reported, live, needed, missed;
};

static void flip_in(struct store_model *model, const struct file *file, uint64_t stride,
                    struct tally *tally) {
    uint8_t *bytes = contents_of(model->io, file), *parts = parts_of(model->io, file, bytes);
    bool every_byte = getenv("SENTINEL_SEEDS") != NULL;
    uint64_t step = every_byte ? 1 : TEST_EVERY(7);
    stride = every_byte ? 1 : stride * step;
    for (uint64_t offset = 0; offset < file->size; offset++) {
        bool live = parts[offset] != PART_DEAD, needed = parts[offset] == PART_NEEDED;
        bool ends = offset < 64 || offset + TABLE_FOOTER_SIZE >= file->size;
        if (!live ? offset % (stride * 61) != 0 : offset % (ends ? step : stride) != 0) continue;
        io_sim_clone_disk(model->sim, STORE_MODEL_NODE, PATIENT, IO_SIM_CRASH_POWER_CLEAN);
        assert_true(io_sim_flip_bit(model->sim, PATIENT, file->path, offset, (unsigned)(offset % 8)));
        enum status inspected;
        bool reported = examine(model, model->store, &inspected);
        tally->flips++;
        tally->reported += reported;
        tally->live += live;
        tally->needed += needed;
        if ((live && inspected != STATUS_CORRUPT) || (needed && !reported)) {
            print_error("S6 damage is not noticed%s: %s offset %llu\n",
                        inspected == STATUS_CORRUPT ? " by the store" : "", file->path,
                        (unsigned long long)offset);
            tally->missed++;
        }
    }
    mem_free(bytes);
    mem_free(parts);
}

static void flips_are_noticed(void **state) {
    (void)state;
    struct tally tables = {0}, logs = {0}, manifests = {0};
    static const enum store_compression rounds[] = {STORE_COMPRESSION_NONE, STORE_COMPRESSION_LZ4,
                                                    STORE_COMPRESSION_ZSTD};
    for (size_t round = 0; round < ARRAY_COUNT(rounds); round++) {
        struct store_model model;
        fill(&model, round % 2 + 1, rounds[round]);
        struct files files;
        list_files(model.io, &files);
        assert_true(files.count >= 3);
        for (size_t i = 0; i < files.count; i++) {
            const struct file *file = &files.list[i];
            if (strstr(file->path, ".sst") != NULL)
                flip_in(&model, file, TABLE_STRIDE, &tables);
            else if (round == 2) /* nothing new there */
                continue;
            else if (strstr(file->path, ".wal") != NULL)
                flip_in(&model, file, LOG_STRIDE, &logs);
            else
                flip_in(&model, file, MANIFEST_STRIDE, &manifests);
        }
        store_model_release(&model);
    }
    assert_int_equal(tables.missed + logs.missed + manifests.missed, 0);
    assert_true(tables.needed > 10 / TEST_EVERY(7) && logs.live > 100 / TEST_EVERY(7));
    assert_true(manifests.needed > 50 / TEST_EVERY(7));
    /* Of tables it passes over what is deleted, and does without filters. */
    assert_true(tables.live > 100 / TEST_EVERY(7) && tables.reported * 2 > tables.live);
    /* Of segments whose records are all in tables, the store reads the values only. */
    assert_true(logs.reported > 0);
}

/* Killed, a store does not know how far its log was durable. Damage in the last group may then pass for an
 * unfinished write; anywhere before, a later group proves that it is none (S11). */
static void damage_before_the_last_group_is_no_torn_tail(void **state) {
    (void)state;
    struct store_model model;
    store_model_init(&model, 9);
    model.options.memtable_bytes = MIB;
    model.value_size_max = 800;
    assert_true(store_model_open(&model));
    for (uint32_t i = 0; i < 12; i++) {
        struct store_model_change change = {.first = i, .last = i, .value = 100 + i};
        store_model_submit(&model, &change, 1);
        store_model_settle(&model);
    }
    store_model_crash(&model, IO_SIM_CRASH_PROCESS);
    struct io *io = io_sim_node_io(model.sim, STORE_MODEL_NODE);
    struct files files;
    list_files(io, &files);
    uint32_t reported = 0, cut = 0;
    for (size_t i = 0; i < files.count; i++) {
        if (strstr(files.list[i].path, ".wal") == NULL) continue;
        uint8_t *bytes = contents_of(io, &files.list[i]);
        for (uint64_t offset = 0; offset < files.list[i].size; offset += 7 * TEST_EVERY(5)) {
            if (bytes[offset] == 0) continue;
            io_sim_clone_disk(model.sim, STORE_MODEL_NODE, PATIENT, IO_SIM_CRASH_POWER_CLEAN);
            assert_true(io_sim_flip_bit(model.sim, PATIENT, files.list[i].path, offset, 4));
            struct io *patient = io_sim_node_io(model.sim, PATIENT);
            struct store_options options = model.options;
            options.read_only = true;
            struct diagnostic why;
            struct store *store;
            enum status status = store_open(patient, &options, &store, &why);
            reported += status == STATUS_CORRUPT;
            cut += status == STATUS_OK;
            for (uint32_t k = 0; status == STATUS_OK && k < 11; k++) {
                struct shared_slice value;
                assert_status(store_get_blocking(store, model.keys[k], &value), STATUS_OK);
                shared_slice_unref(value);
            }
            if (status == STATUS_OK) store_close(store);
            io_sim_crash_node(model.sim, PATIENT, IO_SIM_CRASH_POWER_CLEAN);
            io_free(patient);
        }
        mem_free(bytes);
    }
    io_sim_crash_node(model.sim, STORE_MODEL_NODE, IO_SIM_CRASH_POWER_CLEAN);
    io_free(io);
    model.io = NULL;
    assert_in_range(cut, 1, reported / 4);
    store_model_release(&model);
}

static void put_all(struct store_model *model, uint8_t fill) {
    uint8_t value[60];
    memset(value, fill, sizeof value);
    struct store_write write;
    store_write_init(&write, write_done);
    for (uint32_t k = 0; k < 40; k++)
        store_put(&write, model->keys[k], (struct shared_slice){slice_make(value, sizeof value), NULL});
    store_write_submit(model->store, &write);
    store_model_flush(model);
    store_model_run(model, NS_PER_S);
    store_write_release(&write);
}

/* A table that holds another's bytes: sound blocks, in the right places, of the wrong file. */
static void a_misdirected_table_is_damage(void **state) {
    (void)state;
    struct store_model model;
    store_model_init(&model, 9);
    assert_true(store_model_open(&model));
    put_all(&model, 1);
    put_all(&model, 2);
    struct files files;
    list_files(model.io, &files);
    const struct file *tables[2] = {NULL, NULL};
    for (size_t i = 0; i < files.count; i++) {
        if (strstr(files.list[i].path, ".sst") == NULL) continue;
        tables[0] = tables[1];
        tables[1] = &files.list[i];
    }
    assert_true(tables[0] != NULL && tables[1] != NULL);
    assert_int_equal(tables[0]->size, tables[1]->size);
    uint8_t *old = contents_of(model.io, tables[0]);
    io_sim_clone_disk(model.sim, STORE_MODEL_NODE, PATIENT, IO_SIM_CRASH_POWER_CLEAN);
    struct io *io = io_sim_node_io(model.sim, PATIENT);
    struct io_file *file;
    assert_status(io_file_open(io, tables[1]->path, IO_OPEN_WRITE, &file), STATUS_OK);
    assert_status(io_file_write_at(file, slice_make(old, tables[0]->size), 0), STATUS_OK);
    io_file_close(file);
    struct store_options options = model.options;
    options.read_only = true;
    struct diagnostic why;
    struct store *store;
    assert_status(store_open(io, &options, &store, &why), STATUS_OK);
    for (uint32_t k = 0; k < 40; k++) {
        struct shared_slice value;
        enum status status = store_get_blocking(store, model.keys[k], &value);
        if (status == STATUS_OK) print_error("S6 a misdirected block is served\n");
        assert_status(status, STATUS_CORRUPT);
    }
    store_close(store);
    assert_status(inspect(io, "data", false), STATUS_CORRUPT);
    io_sim_crash_node(model.sim, PATIENT, IO_SIM_CRASH_POWER_CLEAN);
    io_free(io);
    mem_free(old);
    store_model_release(&model);
}

/* A file that lost its end, or all of it, is damage wherever it is cut. */
static void a_cut_file_is_noticed(void **state) {
    (void)state;
    struct store_model model;
    fill(&model, 4,
         STORE_COMPRESSION_NONE); /* a seed that leaves no segment behind that nothing needs any more */
    struct files files;
    list_files(model.io, &files);
    uint32_t cuts = 0;
    for (size_t i = 0; i < files.count; i++) {
        const struct file *file = &files.list[i];
        uint8_t *bytes = contents_of(model.io, file);
        uint64_t end = file->size; /* what is behind the last byte that means something may go */
        while (end > 0 && (bytes[end - 1] == 0 || is_dead(model.io, file, bytes, end - 1)))
            end--;
        if (strstr(file->path, ".sst") != NULL) end = file->size;
        for (uint64_t n = 0; n < 12 && end > 0; n += TEST_EVERY(3), cuts++) {
            io_sim_clone_disk(model.sim, STORE_MODEL_NODE, PATIENT, IO_SIM_CRASH_POWER_CLEAN);
            struct io *io = io_sim_node_io(model.sim, PATIENT);
            struct io_file *handle;
            assert_status(io_file_open(io, file->path, IO_OPEN_WRITE, &handle), STATUS_OK);
            assert_status(io_file_truncate(handle, n == 0 ? end - 1 : (n - 1) * end / 12), STATUS_OK);
            io_file_close(handle);
            io_sim_crash_node(model.sim, PATIENT, IO_SIM_CRASH_POWER_CLEAN);
            io_free(io);
            enum status inspected;
            examine(&model, model.store, &inspected);
            /* A shorter manifest may be an older one: then everything it needs is still there, or it is told.
             */
            if (strstr(file->path, "MANIFEST") == NULL) assert_status(inspected, STATUS_CORRUPT);
        }
        mem_free(bytes);
    }
    assert_true(cuts >= 36 / TEST_EVERY(3));
    store_model_release(&model);
}

/* What the log had reached is known once nothing was written for a while: its end cannot be cut off unnoticed
 * (S11). */
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
    store_model_run(&model, 3 * NS_PER_S);
    struct files files;
    list_files(model.io, &files);
    uint32_t cut = 0;
    for (size_t i = 0; i < files.count; i++) {
        if (strstr(files.list[i].path, ".wal") == NULL) continue;
        for (uint64_t offset = 0; offset < files.list[i].size; offset += 4096) {
            io_sim_clone_disk(model.sim, STORE_MODEL_NODE, PATIENT, IO_SIM_CRASH_POWER_CLEAN);
            for (uint64_t at = offset; at < files.list[i].size && at < offset + 4096; at += 512)
                io_sim_flip_bit(model.sim, PATIENT, files.list[i].path, at + 5, 3);
            enum status inspected;
            cut += examine(&model, model.store, &inspected);
        }
    }
    assert_in_range(cut, 20, 200); /* one block at least for each write */
    store_model_release(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flips_are_noticed),
        cmocka_unit_test(a_misdirected_table_is_damage),
        cmocka_unit_test(a_cut_file_is_noticed),
        cmocka_unit_test(damage_before_the_last_group_is_no_torn_tail),
        cmocka_unit_test(the_end_of_the_log_is_guarded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
