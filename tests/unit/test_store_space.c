// SPDX-License-Identifier: Apache-2.0
/* The space of what a range deletion covers comes back without a byte of it being read, in tables and in the
 * log; and runs that overlap nothing go down the levels without being read. */
#include <stdio.h>

#include "io/io_sim.h"
#include "lib/test.h"
#include "storage/store.h"

#define ROUNDS 30u
#define SMALL  ((size_t)500)  /* in tables */
#define LARGE  ((size_t)4000) /* in the log */

struct fixture {
    struct io_sim *sim;
    struct io *io;
    struct store *store;
    uint32_t next;
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

static void fixture_init(struct fixture *f) {
    *f = (struct fixture){.sim = io_sim_new(1)};
    f->io = io_sim_node_io(f->sim, 0);
    struct store_options options = {.dir = "data",
                                    .partition_prefix_size = 4,
                                    .table_bytes = 256 * KIB,
                                    .memtable_bytes = MIB,
                                    .wal_segment_bytes = 64 * KIB};
    struct diagnostic why;
    assert_status(store_open(f->io, &options, &f->store, &why), STATUS_OK);
}

static void fixture_release(struct fixture *f) {
    bool done = false;
    store_shutdown(f->store, set_flag, &done);
    while (!done)
        io_turn(f->io, NS_PER_S);
    store_close(f->store);
    io_sim_free(f->sim);
}

static struct slice key_of(uint32_t partition, uint32_t number, uint8_t key[8]) {
    store_be32(key, partition);
    store_be32(key + 4, number);
    return slice_make(key, 8);
}

static void flush(struct fixture *f) {
    bool done = false;
    store_flush(f->store, flushed, &done);
    while (!done)
        io_turn(f->io, NS_PER_S);
    for (int i = 0; i < 200; i++) /* sweeps and removals */
        io_turn(f->io, 10 * NS_PER_MS);
}

static void append(struct fixture *f, uint32_t partition, size_t value_size) {
    static const uint8_t value[LARGE] = {1};
    struct store_write write;
    store_write_init(&write, write_done);
    uint8_t key[8];
    for (uint32_t i = 0; i < 20; i++)
        store_put(&write, key_of(partition, f->next++, key),
                  (struct shared_slice){slice_make(value, value_size), NULL});
    store_write_submit(f->store, &write);
    while (!list_empty(&write.link))
        io_turn(f->io, NS_PER_S);
    store_write_release(&write);
}

static void delete_partitions(struct fixture *f, const uint32_t *partitions, size_t count) {
    struct store_write write;
    store_write_init(&write, write_done);
    uint8_t from[8], to[8];
    for (size_t i = 0; i < count; i++)
        store_delete_range(&write, key_of(partitions[i], 0, from), key_of(partitions[i] + 1, 0, to));
    store_write_submit(f->store, &write);
    flush(f);
    store_write_release(&write);
}

struct sizes {
    struct io *io;
    uint64_t tables, logs;
};

static void add_size(void *ctx, const char *name, bool is_dir) {
    struct sizes *sizes = ctx;
    char path[80];
    struct io_file *file;
    uint64_t size;
    if (is_dir) return;
    snprintf(path, sizeof path, "data/%s", name);
    if (io_file_open(sizes->io, path, IO_OPEN_READ, &file) != STATUS_OK) return;
    assert_status(io_file_size(file, &size), STATUS_OK);
    io_file_close(file);
    if (strstr(name, ".sst") != NULL) sizes->tables += size;
    if (strstr(name, ".wal") != NULL) sizes->logs += size;
}

static struct sizes measure(struct fixture *f) {
    struct sizes sizes = {.io = f->io};
    assert_status(io_list_dir(f->io, "data", add_size, &sizes), STATUS_OK);
    return sizes;
}

static void deleted_partitions_give_back_their_space_unread(void **state) {
    (void)state;
    struct fixture f;
    fixture_init(&f);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        append(&f, 1 + i % 2, SMALL);
        append(&f, 3 + i % 2, LARGE);
        flush(&f);
    }
    struct sizes before = measure(&f);
    struct store_stats stats, after;
    store_stats(f.store, &stats);
    static const uint32_t gone[] = {1, 3, 4};
    delete_partitions(&f, gone, ARRAY_COUNT(gone));
    struct sizes now = measure(&f);
    store_stats(f.store, &after);
    /* A half of the small values, and all of the large ones: what is left of the log is spare files. */
    assert_true(now.tables < before.tables * 6 / 10);
    assert_true(now.logs < before.logs / 2);
    assert_int_equal(after.compaction_read_bytes, stats.compaction_read_bytes);
    assert_int_equal(after.reads, stats.reads);
    fixture_release(&f);
}

/* What only appends goes to the last level at once; what overlaps is merged, and both are counted by level.
 */
static void append_only_partitions_go_down_unread(void **state) {
    (void)state;
    struct fixture f;
    fixture_init(&f);
    for (uint32_t i = 0; i < ROUNDS; i++) {
        append(&f, 1, SMALL);
        flush(&f);
    }
    struct store_stats stats;
    store_stats(f.store, &stats);
    assert_int_equal(stats.level_runs[0], 0);
    assert_int_equal(stats.compaction_reasons[STORE_COMPACTION_LEVEL0], 0); /* they went down at once */
    for (uint32_t i = 0; i < 4; i++) {
        f.next = i; /* the range of the first one spans all of it */
        append(&f, 9 - i, SMALL);
        append(&f, 1, SMALL);
        flush(&f);
    }
    store_stats(f.store, &stats);
    assert_true(stats.compaction_reasons[STORE_COMPACTION_LEVEL0] > 0);
    uint64_t put = 0, taken = 0;
    for (size_t l = 0; l < STORE_LEVEL_COUNT; l++) {
        put += stats.level_write_bytes[l];
        taken += stats.level_read_bytes[l];
    }
    assert_int_equal(taken, stats.compaction_read_bytes);
    assert_int_equal(put, stats.compaction_write_bytes);
    fixture_release(&f);
}

/* Many partitions that bring one batch each to a flush: each has a run of its own, and nothing is merged with
 * what lies below it. */
static void partitions_with_little_each_are_not_rewritten(void **state) {
    (void)state;
    struct fixture f = {.sim = io_sim_new(1)};
    f.io = io_sim_node_io(f.sim, 0);
    struct store_options options = {.dir = "data", .partition_prefix_size = 4};
    struct diagnostic why;
    assert_status(store_open(f.io, &options, &f.store, &why), STATUS_OK);
    for (uint32_t i = 0; i < 20; i++) {
        for (uint32_t p = 1; p <= 16; p++)
            append(&f, p, LARGE); /* 80 KB */
        flush(&f);
    }
    struct store_stats stats;
    store_stats(f.store, &stats);
    assert_int_equal(stats.compaction_reasons[STORE_COMPACTION_LEVEL0], 0);
    assert_true(stats.compaction_reasons[STORE_COMPACTION_SMALL] > 0); /* they are joined now and then */
    assert_true(stats.compaction_write_bytes * 20 < stats.write_bytes);
    fixture_release(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(deleted_partitions_give_back_their_space_unread),
        cmocka_unit_test(append_only_partitions_go_down_unread),
        cmocka_unit_test(partitions_with_little_each_are_not_rewritten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
