// SPDX-License-Identifier: Apache-2.0
/* Partitions that are only appended to, whose large values stay in the log: they are read where they stand,
 * moved into tables where that pays, and segments come back when nothing refers to them; also when all of it
 * is interrupted at any operation that changes the disk. */
#include <stdio.h>

#include "base/mem.h"
#include "base/prng.h"
#include "io/io_sim.h"
#include "lib/test.h"
#include "storage/layout.h"
#include "storage/store.h"

#define PARTITIONS 3u
#define NODE       0u

struct world {
    struct io_sim *sim;
    struct io *io;
    struct store *store;
    struct store_options options;
    struct prng prng;
    uint64_t start[PARTITIONS], acked_start[PARTITIONS]; /* offsets below are deleted */
    uint64_t end[PARTITIONS], acked_end[PARTITIONS];
    uint64_t compactions; /* of all openings */
    struct pending {
        struct store_write write;
        struct world *world;
        uint64_t start[PARTITIONS], end[PARTITIONS]; /* when it is done */
    } * writes;
    uint32_t write_count;
};

static size_t value_size(uint64_t partition, uint64_t offset) {
    return 600 + (partition * 7919 + offset * 104729) % 3000;
}

static void fill_value(uint8_t *bytes, size_t size, uint64_t partition, uint64_t offset) {
    for (size_t i = 0; i < size; i++)
        bytes[i] = (uint8_t)(partition * 131 + offset * 31 + i * 7 + (i >> 8));
}

static struct slice make_key(uint8_t key[17], uint64_t partition, uint64_t offset) {
    store_be64(key, partition + 1);
    key[8] = 2;
    store_be64(key + 9, offset);
    return slice_make(key, 17);
}

static void write_done(struct store_write *done) {
    struct pending *pending = CONTAINER_OF(done, struct pending, write);
    struct world *w = pending->world;
    if (done->status != STATUS_OK) {
        assert_true(io_sim_crash_due(w->sim, NODE));
        return;
    }
    memcpy(w->acked_start, pending->start, sizeof w->acked_start);
    memcpy(w->acked_end, pending->end, sizeof w->acked_end);
}

static struct pending *new_write(struct world *w) {
    struct pending *pending = &w->writes[w->write_count++];
    pending->world = w;
    store_write_init(&pending->write, write_done);
    return pending;
}

static void submit(struct world *w, struct pending *pending) {
    memcpy(pending->start, w->start, sizeof pending->start);
    memcpy(pending->end, w->end, sizeof pending->end);
    store_write_submit(w->store, &pending->write);
}

/* Some records for each partition in turn. */
static void append(struct world *w) {
    struct pending *pending = new_write(w);
    for (uint64_t i = 0, count = prng_range(&w->prng, 1, 6); i < count; i++) {
        uint64_t p = (w->write_count + i) % PARTITIONS, offset = w->end[p]++;
        uint8_t key[17];
        struct buffer *value = buffer_new(value_size(p, offset));
        fill_value(value->data, value->size, p, offset);
        store_put(&pending->write, make_key(key, p, offset),
                  (struct shared_slice){slice_make(value->data, value->size), value});
        buffer_unref(value);
    }
    submit(w, pending);
}

/* Retention: everything below an offset goes. */
static void trim(struct world *w, uint64_t p, uint64_t offset) {
    struct pending *pending = new_write(w);
    uint8_t from[17], to[17];
    store_delete_range(&pending->write, make_key(from, p, 0), make_key(to, p, offset));
    w->start[p] = MAX(w->start[p], offset);
    submit(w, pending);
}

static void run(struct world *w, uint64_t ns) {
    io_sim_run_until(w->sim, io_sim_now(w->sim) + ns);
}

static void flush_done(void *ctx, enum status status) {
    (void)status;
    *(bool *)ctx = true;
}

static bool flush(struct world *w) {
    static bool done;
    done = false;
    store_flush(w->store, flush_done, &done);
    while (!done && !io_sim_crash_due(w->sim, NODE))
        assert_true(io_sim_step(w->sim));
    return done;
}

static bool open_store(struct world *w) {
    w->io = io_sim_node_io(w->sim, NODE);
    struct diagnostic why = {{0}};
    enum status status = store_open(w->io, &w->options, &w->store, &why);
    if (status == STATUS_OK) return true;
    w->store = NULL;
    if (!io_sim_crash_due(w->sim, NODE)) fail_msg("open: %s", why.text);
    return false;
}

static void note_stats(struct world *w) {
    struct store_stats stats;
    store_stats(w->store, &stats);
    w->compactions += stats.compactions;
}

static void set_flag(void *ctx) {
    *(bool *)ctx = true;
}

static bool reopen(struct world *w) {
    note_stats(w);
    static bool done;
    done = false;
    store_shutdown(w->store, set_flag, &done);
    while (!done && !io_sim_crash_due(w->sim, NODE))
        assert_true(io_sim_step(w->sim));
    if (!done) return false;
    store_close(w->store);
    w->store = NULL;
    return open_store(w);
}

static void world_init(struct world *w, uint64_t seed) {
    *w = (struct world){.sim = io_sim_new(seed), .writes = mem_calloc(4096, sizeof *w->writes)};
    prng_init(&w->prng, seed);
    w->options = (struct store_options){.dir = "data",
                                        .memtable_bytes = 256 * KIB,
                                        .cache_bytes = 64 * KIB,
                                        .wal_segment_bytes = 64 * KIB,
                                        .table_bytes = 64 * KIB,
                                        .partition_prefix_size = 9};
}

static void crash(struct world *w, enum io_sim_crash how) {
    io_sim_crash_node(w->sim, NODE, how);
    for (uint32_t i = 0; i < w->write_count; i++)
        store_write_abandon(&w->writes[i].write);
    w->write_count = 0;
    if (w->store != NULL) store_close(w->store);
    w->store = NULL;
    io_free(w->io);
}

static void world_release(struct world *w) {
    crash(w, IO_SIM_CRASH_PROCESS);
    mem_free(w->writes);
    io_sim_free(w->sim);
}

/* ---- looking ------------------------------------------------------------------------------------------ */

static void check_value(uint64_t p, uint64_t offset, struct slice value) {
    static uint8_t expected[4096];
    assert_int_equal(value.size, value_size(p, offset));
    fill_value(expected, value.size, p, offset);
    assert_memory_equal(value.data, expected, value.size);
}

/* What the store holds of a partition is a stretch of offsets, each with its value; returns its ends. */
static void look(struct world *w, uint64_t p, unsigned flags, uint64_t *start, uint64_t *end) {
    uint8_t from[17], to[17], key[17];
    struct store_iterator *it = store_iterator_open(w->store, make_key(from, p, 0),
                                                    make_key(to, p, UINT64_MAX),
                                                    flags | STORE_ITERATOR_BLOCKING, NULL, NULL);
    uint64_t count = 0;
    *start = 0;
    enum status status = store_iterator_seek(it, slice_make(from, sizeof from));
    for (; status == STATUS_OK; status = store_iterator_next(it), count++) {
        uint64_t offset = load_be64(store_iterator_key(it).data + 9);
        if (count == 0) *start = offset;
        assert_int_equal(offset, *start + count);
        check_value(p, offset, store_iterator_value(it).bytes);
    }
    assert_status(status, STATUS_END);
    /* And the same backwards. */
    uint64_t back = 0;
    status = store_iterator_seek_prev(it, slice_make(to, sizeof to));
    for (; status == STATUS_OK; status = store_iterator_prev(it), back++) {
        uint64_t offset = load_be64(store_iterator_key(it).data + 9);
        assert_int_equal(offset, *start + count - 1 - back);
        check_value(p, offset, store_iterator_value(it).bytes);
    }
    assert_status(status, STATUS_END);
    assert_int_equal(back, count);
    store_iterator_close(it);
    if (count == 0) *start = UINT64_MAX;
    *end = *start + count;
    if (count == 0) return;
    for (uint64_t offset = *start; offset < *end; offset += 1 + count / 20) {
        struct shared_slice value;
        assert_status(store_get_blocking(w->store, make_key(key, p, offset), &value), STATUS_OK);
        check_value(p, offset, value.bytes);
        shared_slice_unref(value);
    }
}

/* Everything acknowledged, and of the rest a prefix. The world goes on from what is there. */
static void check(struct world *w) {
    for (uint64_t p = 0; p < PARTITIONS; p++) {
        for (unsigned flags = 0; flags <= STORE_ITERATOR_SEQUENTIAL; flags += STORE_ITERATOR_SEQUENTIAL) {
            uint64_t start, end;
            look(w, p, flags, &start, &end);
            if (start == UINT64_MAX) { /* nothing left: all of it was deleted, or there never was any */
                assert_true(w->start[p] >= w->acked_end[p]);
                if (flags == 0) continue;
                w->start[p] = w->acked_start[p] = w->acked_end[p] = w->end[p];
                continue;
            }
            assert_in_range(start, w->acked_start[p], w->start[p]);
            assert_in_range(end, w->acked_end[p], w->end[p]);
            if (flags == 0) continue;
            w->start[p] = w->acked_start[p] = start;
            w->end[p] = w->acked_end[p] = end;
        }
    }
}

struct files {
    size_t logs, tables;
};

static void count_file(void *ctx, const char *name, bool is_dir) {
    struct files *files = ctx;
    uint64_t number;
    enum layout_kind kind = is_dir ? LAYOUT_OTHER : layout_parse(name, &number);
    files->logs += kind == LAYOUT_LOG;
    files->tables += kind == LAYOUT_TABLE;
}

static struct files files_of(struct world *w) {
    struct files files = {0};
    assert_status(io_list_dir(w->io, "data", count_file, &files), STATUS_OK);
    return files;
}

/* Of the log on disk, spares left out. */
static uint64_t kept_segments(struct world *w) {
    struct store_stats stats;
    store_stats(w->store, &stats);
    assert_true(stats.wal_kept_bytes >= stats.wal_live_bytes);
    return stats.wal_kept_bytes / w->options.wal_segment_bytes;
}

/* ---- tests -------------------------------------------------------------------------------------------- */

/* `rounds` flushes, with retention on the way; false when the disk stopped. */
static bool work(struct world *w, uint32_t rounds) {
    for (uint32_t round = 0; round < rounds; round++) {
        for (int i = 0; i < 5; i++) {
            append(w);
            if (i % 2 == 0) run(w, NS_PER_MS);
        }
        if (round % 8 == 7) {
            uint64_t p = prng_below(&w->prng, PARTITIONS);
            trim(w, p, w->end[p] / 2);
        }
        if (!flush(w) || io_sim_crash_due(w->sim, NODE)) return false;
        run(w, 20 * NS_PER_MS);
        if (round % 12 == 11 && !reopen(w)) return false;
    }
    return true;
}

static void values_stay_in_the_log_and_are_found_there(void **state) {
    (void)state;
    struct world w;
    world_init(&w, 11);
    assert_true(open_store(&w));
    assert_true(work(&w, 6));
    check(&w);
    struct store_stats stats;
    store_stats(w.store, &stats);
    assert_true(stats.flush_bytes * 3 < stats.write_bytes); /* keys and small values only */
    assert_true(reopen(&w));
    check(&w);
    world_release(&w);
}

static void many_small_runs_become_one(void **state) {
    (void)state;
    struct world w;
    world_init(&w, 12);
    assert_true(open_store(&w));
    assert_true(work(&w, 40));
    note_stats(&w);
    assert_true(w.compactions > 0);
    check(&w);
    assert_true(reopen(&w));
    check(&w);
    world_release(&w);
}

static void segments_go_when_nothing_refers_to_them(void **state) {
    (void)state;
    struct world w;
    world_init(&w, 13);
    assert_true(open_store(&w));
    assert_true(work(&w, 30));
    size_t before = files_of(&w).logs;
    assert_true(before > 8);
    assert_in_range(kept_segments(&w), before - 2, before);
    assert_true(reopen(&w));
    before = files_of(&w).logs;
    assert_in_range(kept_segments(&w), before - 2, before);
    /* An open view keeps what it sees. */
    uint8_t from[17], to[17];
    struct store_iterator *it = store_iterator_open(
        w.store, make_key(from, 1, 0), make_key(to, 1, UINT64_MAX), STORE_ITERATOR_BLOCKING, NULL, NULL);
    uint64_t start = w.start[1], end = w.end[1];
    for (uint64_t p = 0; p < PARTITIONS; p++)
        trim(&w, p, w.end[p]);
    assert_true(flush(&w));
    run(&w, NS_PER_S);
    append(&w); /* into recycled segments, if there were any */
    run(&w, NS_PER_S);
    enum status status = store_iterator_seek(it, slice_make(from, sizeof from));
    uint64_t offset = start;
    for (; status == STATUS_OK; status = store_iterator_next(it), offset++)
        check_value(1, offset, store_iterator_value(it).bytes);
    assert_status(status, STATUS_END);
    assert_int_equal(offset, end);
    store_iterator_close(it);
    run(&w, NS_PER_S);
    assert_true(files_of(&w).logs <= 5);
    assert_true(kept_segments(&w) <= 5);
    check(&w);
    assert_true(reopen(&w));
    assert_true(files_of(&w).logs <= 5);
    check(&w);
    world_release(&w);
}

/* One partition of three is kept: its values are moved out of segments that hold little else. */
static void sparse_segments_are_emptied(void **state) {
    (void)state;
    struct world w;
    world_init(&w, 14);
    assert_true(open_store(&w));
    assert_true(work(&w, 30));
    size_t before = files_of(&w).logs;
    trim(&w, 0, w.end[0]);
    trim(&w, 2, w.end[2]);
    assert_true(flush(&w));
    run(&w, 10 * NS_PER_S);
    assert_true(files_of(&w).logs < before / 2);
    check(&w);
    assert_true(reopen(&w));
    check(&w);
    world_release(&w);
}

static void a_missing_segment_is_noticed(void **state) {
    (void)state;
    struct world w;
    world_init(&w, 15);
    assert_true(open_store(&w));
    assert_true(work(&w, 5));
    crash(&w, IO_SIM_CRASH_PROCESS);
    w.io = io_sim_node_io(w.sim, NODE);
    struct layout_path first = layout_path("data", LAYOUT_LOG, 0);
    for (uint64_t number = 1; number < 100; number++) { /* the oldest segment has the lowest number */
        first = layout_path("data", LAYOUT_LOG, number);
        if (io_unlink(w.io, first.text) == STATUS_OK) break;
    }
    struct diagnostic why = {{0}};
    assert_status(store_open(w.io, &w.options, &w.store, &why), STATUS_CORRUPT);
    assert_non_null(strstr(why.text, "missing"));
    w.store = NULL;
    world_release(&w);
}

/* Whoever reads more at once than he was asked for must not lose what he was asked for. */
static void a_broken_sector_costs_the_values_that_lie_on_it(void **state) {
    (void)state;
    struct world w;
    world_init(&w, 17);
    w.options.wal_segment_bytes = MIB;
    assert_true(open_store(&w));
    assert_true(work(&w, 5));
    struct layout_path broken = {{0}};
    for (uint64_t number = 1; number < 20; number++) {
        struct layout_path path = layout_path("data", LAYOUT_LOG, number);
        if (io_sim_break_sector(w.sim, NODE, path.text, 20 * KIB)) broken = path;
    }
    assert_true(broken.text[0] != 0);
    unsigned lost[2] = {0};
    for (int backward = 0; backward < 2; backward++) {
        for (uint64_t p = 0; p < PARTITIONS; p++) {
            uint8_t from[17], to[17], key[17];
            struct store_iterator *it = store_iterator_open(
                w.store, make_key(from, p, 0), make_key(to, p, UINT64_MAX),
                STORE_ITERATOR_BLOCKING | STORE_ITERATOR_SEQUENTIAL, NULL, NULL);
            for (uint64_t offset = w.start[p]; offset < w.end[p]; offset++) {
                make_key(key, p, offset);
                enum status status = backward ? store_iterator_seek_prev(it, slice_make(key, sizeof key))
                                              : store_iterator_seek(it, slice_make(key, sizeof key));
                lost[backward] += status == STATUS_IO;
                if (status == STATUS_IO) continue;
                assert_status(status, STATUS_OK);
                check_value(p, offset, store_iterator_value(it).bytes);
            }
            store_iterator_close(it);
        }
    }
    assert_in_range(lost[0], 1, 2 * 20); /* files, and at most two values on a sector */
    assert_int_equal(lost[0], lost[1]);
    world_release(&w);
}

#define REPLAY_GROUPS 5u
#define REPLAY_VALUES 32u
#define REPLAY_SIZE   (64 * KIB)

static void fill_marker(uint8_t *bytes, uint64_t number) {
    for (size_t i = 0; i < REPLAY_SIZE; i += 8)
        store_be64(bytes + i, number * 0x9e3779b97f4a7c15u + i);
}

static void put_markers(struct world *w, uint64_t group) {
    struct pending *pending = new_write(w);
    uint8_t key[17];
    for (uint64_t i = 0; i < REPLAY_VALUES; i++) {
        uint64_t number = group * REPLAY_VALUES + i;
        struct buffer *value = buffer_new(REPLAY_SIZE);
        fill_marker(value->data, number);
        store_put(&pending->write, make_key(key, i % PARTITIONS, number),
                  (struct shared_slice){slice_make(value->data, value->size), value});
        buffer_unref(value);
    }
    submit(w, pending);
    run(w, NS_PER_S);
}

/* What is read back after a crash is where values are, and not the values: reopening reads little, holds
 * little, and does not fall over the damage of a value, which is told to whoever asks for it. */
static void values_are_left_where_they_are_by_a_replay(void **state) {
    (void)state;
    struct world w;
    world_init(&w, 16);
    w.options.memtable_bytes = w.options.wal_segment_bytes = 32 * MIB;
    assert_true(open_store(&w));
    for (uint64_t group = 0; group < REPLAY_GROUPS; group++)
        put_markers(&w, group);
    crash(&w, IO_SIM_CRASH_POWER_CLEAN);
    w.io = io_sim_node_io(w.sim, NODE);
    /* In the middle of the first group that the largest segment holds. */
    struct layout_path damaged = {{0}};
    for (uint64_t number = 1; number < 20; number++) {
        struct layout_path path = layout_path("data", LAYOUT_LOG, number);
        if (io_sim_flip_bit(w.sim, NODE, path.text, MIB, 3)) damaged = path;
    }
    assert_true(damaged.text[0] != 0);
    io_free(w.io);
    uint64_t before = buffer_bytes_live();
    assert_true(open_store(&w));
    assert_in_range(buffer_bytes_live() - before, 0, 64 * KIB);
    uint32_t corrupt = 0;
    uint8_t key[17];
    uint8_t *expected = mem_alloc(REPLAY_SIZE);
    for (uint64_t number = 0; number < REPLAY_GROUPS * REPLAY_VALUES; number++) {
        struct shared_slice value;
        struct slice at = make_key(key, number % REPLAY_VALUES % PARTITIONS, number);
        enum status status = store_get_blocking(w.store, at, &value);
        corrupt += status == STATUS_CORRUPT;
        if (status == STATUS_CORRUPT) continue;
        assert_status(status, STATUS_OK);
        fill_marker(expected, number);
        assert_int_equal(value.bytes.size, REPLAY_SIZE);
        assert_memory_equal(value.bytes.data, expected, REPLAY_SIZE);
        shared_slice_unref(value);
    }
    mem_free(expected);
    assert_in_range(corrupt, 1, 3); /* one a segment that was hit */
    world_release(&w);
}

/* Everything is in tables when a store has stopped, and the manifest says which segment is in which file: the
 * next start reads the end of the log and nothing of the rest, whose headers nobody needs. */
static void a_start_reads_only_the_end_of_the_log(void **state) {
    (void)state;
    struct world w;
    world_init(&w, 17);
    assert_true(open_store(&w));
    uint64_t read[2];
    for (uint32_t round = 0; round < 2; round++) {
        assert_true(work(&w, 10 + 50 * round));
        for (uint32_t i = 0; i < 12; i++) /* in memory when the store stops */
            append(&w);
        run(&w, NS_PER_S);
        assert_true(reopen(&w));
        struct store_stats stats;
        store_stats(w.store, &stats);
        assert_in_range(stats.memtable_bytes, 0, 16 * KIB);
        crash(&w, IO_SIM_CRASH_PROCESS);
        assert_true(open_store(&w));
        read[round] = io_stats(w.io).file_read_bytes;
    }
    /* More of the manifest, and the end of another segment. */
    assert_in_range(read[1], 0, 2 * read[0] + 64 * KIB);
    assert_in_range(files_of(&w).logs, 12, 1000);
    check(&w);
    crash(&w, IO_SIM_CRASH_POWER_CLEAN);
    w.io = io_sim_node_io(w.sim, NODE);
    uint64_t oldest = 1;
    while (oldest < 1000 &&
           !io_sim_flip_bit(w.sim, NODE, layout_path("data", LAYOUT_LOG, oldest).text, 20, 1))
        oldest++;
    assert_in_range(oldest, 1, 999);
    io_free(w.io);
    assert_true(open_store(&w));
    check(&w);
    world_release(&w);
}

static void crash_everywhere(enum io_sim_crash how, enum io_sim_stop stop, uint64_t seed, uint64_t stride) {
    for (uint64_t n = 1;; n += stride) {
        struct world w;
        world_init(&w, seed);
        w.io = io_sim_node_io(w.sim, NODE);
        io_sim_crash_at_disk_op(w.sim, NODE, n, stop);
        bool through = open_store(&w) && work(&w, 26);
        if (!through) {
            crash(&w, how);
            assert_true(open_store(&w));
            check(&w);
            assert_true(work(&w, 2));
            check(&w);
        }
        world_release(&w);
        if (through) break;
    }
}

static void killed_before_operations(void **state) {
    (void)state;
    crash_everywhere(IO_SIM_CRASH_PROCESS, IO_SIM_STOP_BEFORE, 21, 23);
}
static void power_cut_before_operations(void **state) {
    (void)state;
    crash_everywhere(IO_SIM_CRASH_POWER, IO_SIM_STOP_BEFORE, 22, 17);
}
static void power_cut_that_keeps_nothing_unsynced(void **state) {
    (void)state;
    crash_everywhere(IO_SIM_CRASH_POWER_BARE, IO_SIM_STOP_AFTER, 23, 19);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_stay_in_the_log_and_are_found_there),
        cmocka_unit_test(many_small_runs_become_one),
        cmocka_unit_test(segments_go_when_nothing_refers_to_them),
        cmocka_unit_test(sparse_segments_are_emptied),
        cmocka_unit_test(a_broken_sector_costs_the_values_that_lie_on_it),
        cmocka_unit_test(a_missing_segment_is_noticed),
        cmocka_unit_test(values_are_left_where_they_are_by_a_replay),
        cmocka_unit_test(a_start_reads_only_the_end_of_the_log),
        cmocka_unit_test(killed_before_operations),
        cmocka_unit_test(power_cut_before_operations),
        cmocka_unit_test(power_cut_that_keeps_nothing_unsynced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
