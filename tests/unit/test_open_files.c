// SPDX-License-Identifier: Apache-2.0
/* Many tables and few open files: everything stays readable, and no more are open than allowed. */
#include "base/mem.h"
#include "base/prng.h"
#include "io/io_sim.h"
#include "lib/test.h"
#include "storage/block_source.h"
#include "storage/store.h"

#define TABLES      120u
#define KEYS        5u /* of a table */
#define LIMIT       8u
#define LARGE_BYTES ((size_t)2000) /* stays in the log */

struct fixture {
    struct io_sim *sim;
    struct io *io;
    struct store *store;
    struct store_options options;
    uint64_t open_max;
};

static void set_flag(void *ctx) {
    *(bool *)ctx = true;
}
static void flushed(void *ctx, enum status status) {
    assert_status(status, STATUS_OK);
    *(bool *)ctx = true;
}
static void write_done(struct store_write *write) {
    assert_status(write->status, STATUS_OK);
}
static void get_ready(struct store_get *get) {
    (void)get;
}
static void ignore(void *ctx) {
    (void)ctx;
}

static struct store_stats turn(struct fixture *f) {
    struct store_stats stats;
    io_turn(f->io, NS_PER_S);
    store_stats(f->store, &stats);
    f->open_max = MAX(f->open_max, stats.open_files);
    return stats;
}

static void open_store(struct fixture *f) {
    struct diagnostic why;
    assert_status(store_open(f->io, &f->options, &f->store, &why), STATUS_OK);
}

static void close_store(struct fixture *f) {
    bool done = false;
    store_shutdown(f->store, set_flag, &done);
    while (!done)
        turn(f);
    store_close(f->store);
}

static struct slice key_of(uint32_t table, uint32_t number, uint8_t key[8]) {
    store_be32(key, table);
    store_be32(key + 4, number);
    return slice_make(key, 8);
}

/* The last key of a table has a value that stays in the log. */
static struct slice value_of(uint32_t table, uint32_t number, uint8_t value[LARGE_BYTES]) {
    memset(value, (int)(table * 7 + number), LARGE_BYTES);
    return slice_make(value, number + 1 == KEYS ? LARGE_BYTES : 100);
}

/* A partition each time: its table goes to the last level and stays there. */
static void add_table(struct fixture *f, uint32_t table) {
    struct store_write write;
    store_write_init(&write, write_done);
    uint8_t key[8], value[LARGE_BYTES];
    for (uint32_t i = 0; i < KEYS; i++)
        store_put(&write, key_of(table, i, key), (struct shared_slice){value_of(table, i, value), NULL});
    store_write_submit(f->store, &write);
    bool done = false;
    store_flush(f->store, flushed, &done);
    while (!done)
        turn(f);
    store_write_release(&write);
}

static void check_key(struct fixture *f, uint32_t table, uint32_t number) {
    uint8_t key[8], value[LARGE_BYTES];
    struct store_get get = {.ready = get_ready};
    struct shared_slice got;
    enum status status;
    while ((status = store_get(f->store, key_of(table, number, key), &get, &got)) == STATUS_PENDING)
        turn(f);
    assert_status(status, STATUS_OK);
    assert_slice_equal(got.bytes, value_of(table, number, value));
    shared_slice_unref(got);
}

/* So many gets under way at one time: their files stay open, although they are more than allowed. */
static void check_side_by_side(struct fixture *f) {
    struct store_get gets[3 * LIMIT];
    bool pending[3 * LIMIT];
    uint8_t key[8], value[LARGE_BYTES];
    for (uint32_t round = 0; round < 20; round++) {
        uint32_t open = 3 * LIMIT;
        for (uint32_t i = 0; i < 3 * LIMIT; i++) {
            gets[i] = (struct store_get){.ready = get_ready};
            pending[i] = true;
        }
        for (; open > 0; turn(f)) {
            for (uint32_t i = 0; i < 3 * LIMIT; i++) {
                uint32_t table = (round * 37 + i * 5) % TABLES;
                struct shared_slice got;
                if (!pending[i]) continue;
                enum status status = store_get(f->store, key_of(table, KEYS - 1, key), &gets[i], &got);
                if (status == STATUS_PENDING) continue;
                assert_status(status, STATUS_OK);
                assert_slice_equal(got.bytes, value_of(table, KEYS - 1, value));
                shared_slice_unref(got);
                pending[i] = false;
                open--;
            }
        }
    }
}

/* Several iterators side by side, each in another place. */
static void check_scans(struct fixture *f) {
    struct store_iterator *its[6];
    uint8_t key[8], value[LARGE_BYTES];
    for (uint32_t i = 0; i < 6; i++)
        its[i] = store_iterator_open(f->store, SLICE_EMPTY, SLICE_EMPTY,
                                     i % 2 == 0 ? 0 : STORE_ITERATOR_SEQUENTIAL, ignore, NULL);
    for (uint32_t step = 0; step < TABLES * KEYS; step++) {
        for (uint32_t i = 0; i < 6; i++) {
            uint32_t at = (step + i * (TABLES * KEYS / 6)) % (TABLES * KEYS);
            struct slice wanted = key_of(at / KEYS, at % KEYS, key);
            enum status status;
            while ((status = at == 0 || step == 0 ? store_iterator_seek(its[i], wanted)
                                                  : store_iterator_next(its[i])) == STATUS_PENDING)
                turn(f);
            assert_status(status, STATUS_OK);
            assert_slice_equal(store_iterator_key(its[i]), wanted);
            assert_slice_equal(store_iterator_value(its[i]).bytes, value_of(at / KEYS, at % KEYS, value));
        }
    }
    for (uint32_t i = 0; i < 6; i++)
        store_iterator_close(its[i]);
}

static void many_tables_and_few_open_files(void **state) {
    (void)state;
    struct fixture f = {.sim = io_sim_new(1)};
    f.io = io_sim_node_io(f.sim, 0);
    f.options = (struct store_options){.dir = "data",
                                       .partition_prefix_size = 4,
                                       .cache_bytes = 64 * KIB, /* so that files are read */
                                       .wal_segment_bytes = 16 * KIB,
                                       .table_bytes = 512 * KIB,
                                       .open_files_max = LIMIT};
    open_store(&f);
    for (uint32_t t = 0; t < TABLES; t++)
        add_table(&f, t);
    struct store_stats stats = turn(&f);
    assert_in_range(stats.level_runs[STORE_LEVEL_COUNT - 1], TABLES / 2, TABLES);
    struct prng prng;
    prng_init(&prng, 1);
    for (int round = 0; round < 2; round++) {
        f.open_max = 0;
        for (int i = 0; i < 1000; i++)
            check_key(&f, (uint32_t)prng_below(&prng, TABLES), (uint32_t)prng_below(&prng, KEYS));
        check_scans(&f);
        stats = turn(&f);
        assert_true(stats.opened_files > TABLES);
        assert_in_range(f.open_max, 2, LIMIT + 6); /* what six scans read at the same time is in use */
        assert_in_range(stats.open_files, 1, LIMIT);
        close_store(&f);
        open_store(&f);
    }
    check_side_by_side(&f);
    bool done = false;
    store_scrub(f.store, set_flag, &done);
    while (!done)
        stats = turn(&f);
    assert_int_equal(stats.scrub.damaged, 0);
    assert_true(f.open_max <= 4 * LIMIT);
    close_store(&f);
    io_sim_free(f.sim);
}

/* ---- no descriptors ---------------------------------------------------------------------------------- */

#define FEW 6u /* tables */

static void told(void *ctx, struct slice first, struct slice last) {
    (void)first;
    (void)last;
    ++*(uint32_t *)ctx;
}

static void write_answered(struct store_write *write) {
    (void)write;
}

static void open_few(struct fixture *f, uint32_t limit, uint32_t *damage) {
    f->sim = io_sim_new(1);
    f->io = io_sim_node_io(f->sim, 0);
    f->options = (struct store_options){.dir = "data",
                                        .partition_prefix_size = 4,
                                        .cache_bytes = 64 * KIB,
                                        .wal_segment_bytes = 16 * KIB,
                                        .table_bytes = 512 * KIB,
                                        .open_files_max = limit};
    open_store(f);
    for (uint32_t t = 0; t < FEW; t++)
        add_table(f, t);
    close_store(f);
    open_store(f); /* nothing is in the cache */
    store_on_damage(f->store, told, damage);
}

static void close_few(struct fixture *f) {
    close_store(f);
    io_sim_free(f->sim);
}

static enum status seek(struct fixture *f, struct store_iterator *it, struct slice key, bool back) {
    enum status status;
    do {
        status = back ? store_iterator_seek_prev(it, key) : store_iterator_seek(it, key);
        if (status == STATUS_PENDING) turn(f);
    } while (status == STATUS_PENDING);
    return status;
}

/* What cannot be opened now is no damage, and an iterator that met it can go on later. */
static void an_iterator_meets_no_descriptors(void **state) {
    (void)state;
    for (unsigned flags = 0; flags < 4; flags++) {
        struct fixture f = {0};
        uint32_t damage = 0;
        uint8_t key[8], value[LARGE_BYTES];
        open_few(&f, 1, &damage);
        struct store_iterator *it = store_iterator_open(f.store, SLICE_EMPTY, SLICE_EMPTY, flags, ignore,
                                                        NULL);
        check_key(&f, FEW - 1, 0); /* its table is the one that is open */
        io_sim_disk_faults(f.sim, 0)->no_descriptors = true;
        assert_status(seek(&f, it, key_of(0, 0, key), false), STATUS_BUSY);
        assert_status(seek(&f, it, key_of(0, KEYS, key), true), STATUS_BUSY);
        io_sim_disk_faults(f.sim, 0)->no_descriptors = false;
        assert_status(seek(&f, it, key_of(0, 0, key), false), STATUS_OK);
        for (uint32_t i = 1; i < KEYS; i++) {
            enum status status;
            while ((status = store_iterator_next(it)) == STATUS_PENDING)
                turn(&f);
            assert_status(status, STATUS_OK);
        }
        io_sim_disk_faults(f.sim, 0)->no_descriptors = true;
        assert_status(seek(&f, it, key_of(3, 0, key), false), STATUS_BUSY);
        io_sim_disk_faults(f.sim, 0)->no_descriptors = false;
        assert_status(seek(&f, it, key_of(3, 0, key), false), STATUS_OK);
        assert_slice_equal(store_iterator_value(it).bytes, value_of(3, 0, value));
        store_iterator_close(it);
        turn(&f);
        assert_int_equal(damage, 0);
        close_few(&f);
    }
}

/* The scrub leaves a table to its next round whose files it cannot open now. */
static void the_scrub_meets_no_descriptors(void **state) {
    (void)state;
    struct fixture f = {0};
    uint32_t damage = 0;
    open_few(&f, 2 * FEW, &damage);
    for (int round = 0; round < 3; round++) {
        bool done = false;
        struct store_stats stats;
        for (uint32_t i = 0; i < FEW; i++)
            check_key(&f, i, 0); /* tables are open, the log is not */
        io_sim_disk_faults(f.sim, 0)->no_descriptors = true;
        store_scrub(f.store, set_flag, &done);
        while (!done) {
            stats = turn(&f);
        }
        io_sim_disk_faults(f.sim, 0)->no_descriptors = false;
        stats = turn(&f);
        assert_int_equal(stats.scrub.damaged, 0);
        assert_int_equal(damage, 0);
        uint64_t bytes = stats.scrub.bytes;
        done = false;
        store_scrub(f.store, set_flag, &done);
        while (!done)
            stats = turn(&f);
        assert_int_equal(stats.scrub.damaged, 0);
        assert_true(stats.scrub.bytes - bytes > FEW * LARGE_BYTES); /* all of them, and their values */
    }
    close_few(&f);
}

/* Writes that need another segment are refused, and a flush waits; both go on by themselves afterwards. */
static void writes_and_flushes_meet_no_descriptors(void **state) {
    (void)state;
    struct fixture f = {0};
    uint32_t damage = 0, written = 0, refused = 0;
    open_few(&f, 1, &damage);
    for (uint32_t i = 0; i < 3000 && refused < 3; i++) {
        struct store_write write;
        uint8_t key[8], value[LARGE_BYTES];
        io_sim_disk_faults(f.sim, 0)->no_descriptors = i >= 10;
        store_write_init(&write, write_answered);
        store_put(&write, key_of(FEW, KEYS * i, key),
                  (struct shared_slice){value_of(FEW, KEYS - 1, value), NULL});
        store_write_submit(f.store, &write);
        while (!list_empty(&write.link))
            turn(&f);
        if (write.status == STATUS_OK) {
            assert_int_equal(refused, 0);
            written++;
        } else {
            assert_status(write.status, STATUS_NO_SPACE);
            refused++;
        }
        store_write_release(&write);
    }
    assert_true(written > 10 && refused == 3);
    bool done = false;
    store_flush(f.store, flushed, &done);
    for (uint32_t i = 0; i < 100; i++)
        turn(&f);
    assert_false(done);
    io_sim_disk_faults(f.sim, 0)->no_descriptors = false;
    while (!done)
        turn(&f);
    add_table(&f, FEW + 1);
    check_key(&f, FEW + 1, KEYS - 1);
    for (uint32_t i = 0; i < written + refused; i++) {
        uint8_t key[8];
        struct shared_slice got;
        enum status status = store_get_blocking(f.store, key_of(FEW, KEYS * i, key), &got);
        assert_status(status, i < written ? STATUS_OK : STATUS_NOT_FOUND);
        if (status == STATUS_OK) shared_slice_unref(got);
    }
    close_few(&f);
}

/* ---- the pool by itself ------------------------------------------------------------------------------ */

static void the_longest_unused_goes_first(void **state) {
    (void)state;
    struct io_sim *sim = io_sim_new(1);
    struct io *io = io_sim_node_io(sim, 0);
    struct open_files files;
    struct block_source sources[5];
    open_files_init(&files, io, ".");
    files.limit = 3;
    for (uint32_t i = 0; i < 5; i++) {
        struct io_file *file;
        struct layout_path path = layout_path(".", LAYOUT_TABLE, i + 1);
        assert_status(io_file_open(io, path.text, IO_OPEN_WRITE | IO_OPEN_CREATE, &file), STATUS_OK);
        io_file_close(file);
        block_source_init(&sources[i], &files, LAYOUT_TABLE);
        sources[i].number = i + 1;
    }
    for (uint32_t i = 0; i < 3; i++)
        assert_status(block_source_open(&sources[i]), STATUS_OK);
    assert_status(block_source_open(&sources[0]), STATUS_OK); /* used again */
    assert_status(block_source_open(&sources[3]), STATUS_OK);
    assert_null(sources[1].file);
    assert_non_null(sources[0].file);
    /* What is in use stays, also when that is more than allowed; and what comes back closes others. */
    struct block_hold hold = {0};
    for (uint32_t i = 0; i < 4; i++)
        assert_status(block_hold_add(&hold, &sources[i]), STATUS_OK);
    block_source_use(&sources[0]);
    assert_status(block_source_open(&sources[4]), STATUS_OK);
    assert_int_equal(files.count, 5);
    block_hold_release(&hold);
    assert_int_equal(files.count, 3);
    assert_non_null(sources[0].file);
    block_source_unuse(&sources[0]);
    /* A file that is gone is damage: the manifest named it. */
    struct block_source gone;
    block_source_init(&gone, &files, LAYOUT_TABLE);
    gone.number = 99;
    assert_status(block_source_open(&gone), STATUS_CORRUPT);
    for (uint32_t i = 0; i < 5; i++)
        block_source_close(&sources[i]);
    assert_int_equal(files.count, 0);
    io_sim_free(sim);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_longest_unused_goes_first),
        cmocka_unit_test(many_tables_and_few_open_files),
        cmocka_unit_test(an_iterator_meets_no_descriptors),
        cmocka_unit_test(the_scrub_meets_no_descriptors),
        cmocka_unit_test(writes_and_flushes_meet_no_descriptors),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
