// SPDX-License-Identifier: Apache-2.0
/* How a table's entries become runs, and that a cursor stays inside its run where runs share a block. */
#include "base/mem.h"
#include "base/prng.h"
#include "io/io_sim.h"
#include "lib/test.h"
#include "storage/table_cursor.h"
#include "storage/table_writer.h"

#define PREFIX    ((size_t)2)
#define RUN_BYTES (4 * KIB)

struct fixture {
    struct io_sim *sim;
    struct io *io;
    struct table_writer *writer;
    struct arena arena;
    struct table_meta meta;
    struct table table;
    uint32_t entries;
};

static void unpinned(struct block_source *source) {
    assert_int_equal(source->pins, 0);
}

static void idle(void *ctx) {
    (void)ctx;
}

static void begin(struct fixture *f) {
    *f = (struct fixture){.sim = io_sim_new(1)};
    f->io = io_sim_node_io(f->sim, 0);
    arena_init(&f->arena, 4 * KIB);
    struct table_writer_options options = {.io = f->io,
                                           .dir = ".",
                                           .number = 1,
                                           .store_id = 7,
                                           .partition_prefix_size = PREFIX,
                                           .run_bytes_min = RUN_BYTES};
    assert_status(table_writer_new(&options, &f->writer), STATUS_OK);
}

static struct slice key_of(uint32_t partition, uint32_t number, uint8_t key[6]) {
    store_be16(key, (uint16_t)partition);
    store_be32(key + 2, number);
    return slice_make(key, 6);
}

/* Entries number..number + count of a partition, of some 100 bytes each. */
static void add(struct fixture *f, uint32_t partition, uint32_t number, uint32_t count) {
    uint8_t key[6], value[90];
    for (uint32_t i = 0; i < count; i++) {
        memset(value, (int)(partition + i), sizeof value);
        struct block_entry entry = {
            .kind = ENTRY_PUT, .sequence = 1 + f->entries++, .value = slice_make(value, sizeof value)};
        assert_status(table_writer_add(f->writer, key_of(partition, number + i, key), &entry), STATUS_OK);
    }
}

/* So many values of `size` bytes each that lie one behind the other in a segment. */
static void add_logged(struct fixture *f, uint32_t partition, uint32_t count, uint64_t segment,
                       uint32_t size) {
    uint8_t key[6];
    for (uint32_t i = 0; i < count; i++) {
        struct block_entry entry = {.kind = ENTRY_PUT_LOG,
                                    .sequence = 1 + f->entries++,
                                    .place = {.file = segment, .offset = 4096 + i * size, .size = size}};
        assert_status(table_writer_add(f->writer, key_of(partition, i, key), &entry), STATUS_OK);
    }
}

static void finish(struct fixture *f) {
    assert_status(table_writer_finish(f->writer, &f->arena, &f->meta), STATUS_OK);
    f->table = (struct table){.source = {.number = 1, .pins = 1, .unpinned = unpinned},
                              .size = f->meta.size,
                              .index = f->meta.index,
                              .filter = f->meta.filter};
    assert_status(io_file_open(f->io, "./000000000001.sst", IO_OPEN_READ, &f->table.source.file), STATUS_OK);
}

static void end(struct fixture *f) {
    io_file_close(f->table.source.file);
    arena_release(&f->arena);
    io_sim_free(f->sim);
}

static void expect_run(const struct fixture *f, uint32_t index, uint32_t partition, uint32_t number,
                       uint32_t last_partition, uint32_t last_number, uint64_t entries) {
    uint8_t key[6];
    const struct table_run_meta *run = &f->meta.runs[index];
    assert_slice_equal(run->first, key_of(partition, number, key));
    assert_slice_equal(run->last, key_of(last_partition, last_number, key));
    assert_int_equal(run->entries, entries);
}

/* Walks the run both ways, and from a key that it does not begin or end with. */
static void walk(struct fixture *f, const struct table_run_meta *run, struct block_cache *cache,
                 bool sequential) {
    struct table_cursor_options options = {.cache = cache, .blocking = true, .sequential = sequential};
    struct table_cursor cursor;
    table_cursor_init(&cursor, &f->table, run, &options);
    uint64_t entries = 0;
    enum status status = table_cursor_seek(&cursor, SLICE_EMPTY);
    assert_slice_equal(table_cursor_key(&cursor), run->first);
    for (; status == STATUS_OK; entries++) {
        assert_true(slice_compare(table_cursor_key(&cursor), run->last) <= 0);
        status = table_cursor_next(&cursor);
    }
    assert_status(status, STATUS_END);
    assert_int_equal(entries, run->entries);
    status = table_cursor_seek_prev(&cursor, run->last);
    assert_slice_equal(table_cursor_key(&cursor), run->last);
    for (entries = 0; status == STATUS_OK; entries++) {
        assert_true(slice_compare(table_cursor_key(&cursor), run->first) >= 0);
        status = table_cursor_prev(&cursor);
    }
    assert_status(status, STATUS_END);
    assert_int_equal(entries, run->entries);
    table_cursor_release(&cursor);
}

static void walk_all(struct fixture *f) {
    struct block_cache *cache = block_cache_new(f->io, MIB, NULL, idle, NULL);
    for (uint32_t i = 0; i < f->meta.run_count; i++) {
        walk(f, &f->meta.runs[i], cache, false);
        walk(f, &f->meta.runs[i], cache, true);
        walk(f, &f->meta.runs[i], NULL, true);
    }
    block_cache_free(cache);
}

static uint32_t count_clusters(struct fixture *f) {
    struct block_request request = {.source = &f->table.source,
                                    .offset = f->meta.index.offset,
                                    .size = f->meta.index.size,
                                    .kind = BLOCK_CHECKED};
    uint8_t *memory = mem_alloc(block_request_size(&request));
    struct slice contents;
    struct block_cursor cursor;
    uint32_t count = 0;
    assert_status(block_read(&request, memory, &contents), STATUS_OK);
    assert_status(block_cursor_init(&cursor, contents), STATUS_OK);
    for (enum status s = block_cursor_first(&cursor); s == STATUS_OK; s = block_cursor_next(&cursor))
        count++;
    mem_free(memory);
    return count;
}

static void small_partitions_share_a_run_and_blocks(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    for (uint32_t p = 1; p <= 1000; p++)
        add(&f, p, 5, 1);
    finish(&f);
    assert_int_equal(f.meta.run_count, 1);
    expect_run(&f, 0, 1, 5, 1000, 5, 1000);
    assert_in_range(count_clusters(&f), 6, 8); /* of 16 KiB */
    walk_all(&f);
    end(&f);
}

static void large_partitions_are_runs_of_their_own(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    add(&f, 1, 0, 3);
    add(&f, 2, 0, 2);
    add(&f, 3, 7, 100); /* large, and begins in the block of the two before */
    add(&f, 4, 0, 1);
    add(&f, 5, 0, 60);
    add(&f, 6, 0, 70);
    add(&f, 7, 0, 1);
    add(&f, 8, 0, 1);
    finish(&f);
    assert_int_equal(f.meta.run_count, 6);
    expect_run(&f, 0, 1, 0, 2, 1, 5);
    expect_run(&f, 1, 3, 7, 3, 106, 100);
    expect_run(&f, 2, 4, 0, 4, 0, 1);
    expect_run(&f, 3, 5, 0, 5, 59, 60);
    expect_run(&f, 4, 6, 0, 6, 69, 70);
    expect_run(&f, 5, 7, 0, 8, 0, 2);
    walk_all(&f);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < f.meta.run_count; i++)
        bytes += f.meta.runs[i].bytes;
    assert_int_equal(bytes, f.meta.data_bytes);
    assert_in_range(bytes, f.meta.index.offset * 9 / 10, f.meta.index.offset);
    end(&f);
}

static void a_cut_begins_a_run(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    add(&f, 1, 0, 1);
    table_writer_cut(f.writer);
    add(&f, 1, 1, 1);
    add(&f, 2, 0, 1);
    table_writer_cut(f.writer);
    add(&f, 2, 1, 1);
    finish(&f);
    assert_int_equal(f.meta.run_count, 3);
    expect_run(&f, 0, 1, 0, 1, 0, 1);
    expect_run(&f, 1, 1, 1, 2, 0, 2);
    expect_run(&f, 2, 2, 1, 2, 1, 1);
    walk_all(&f);
    end(&f);
}

/* What a run refers to in the log counts for its size, and is summed by segment. */
static void runs_count_what_they_refer_to(void **state) {
    (void)state;
    struct fixture f;
    begin(&f);
    add_logged(&f, 1, 1, 9, 1000);
    add_logged(&f, 2, 1, 8, 1000);
    add_logged(&f, 3, 2, 9, 1000);
    add_logged(&f, 4, 5, 8, 1000); /* large */
    add_logged(&f, 5, 1, 7, 1000);
    finish(&f);
    assert_int_equal(f.meta.run_count, 3);
    const struct table_run_meta *runs = f.meta.runs;
    assert_int_equal(runs[0].ref_count, 2);
    assert_int_equal(runs[0].refs[0].segment, 8);
    assert_int_equal(runs[0].refs[0].bytes, 1000);
    assert_int_equal(runs[0].refs[1].segment, 9);
    assert_int_equal(runs[0].refs[1].bytes, 3000);
    assert_int_equal(runs[0].extents, 3);
    assert_int_equal(runs[1].ref_count, 1);
    assert_int_equal(runs[1].refs[0].bytes, 5000);
    assert_int_equal(runs[1].extents, 1);
    assert_int_equal(table_run_ref_bytes(&runs[2]), 1000);
    end(&f);
}

/* Random stretches: every entry is in exactly one run, runs are in order, and each is walked in its bounds.
 */
static void runs_of_random_stretches(void **state) {
    (void)state;
    struct prng prng;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        prng_init(&prng, seed);
        struct fixture f;
        begin(&f);
        for (uint32_t p = 1; p <= 40; p++) {
            add(&f, p, 0, (uint32_t)prng_range(&prng, 1, prng_chance(&prng, 1, 3) ? 120 : 6));
            if (prng_chance(&prng, 1, 10)) table_writer_cut(f.writer);
        }
        finish(&f);
        uint64_t entries = 0;
        for (uint32_t i = 0; i < f.meta.run_count; i++) {
            entries += f.meta.runs[i].entries;
            if (i > 0) assert_true(slice_compare(f.meta.runs[i - 1].last, f.meta.runs[i].first) < 0);
        }
        assert_int_equal(entries, f.entries);
        walk_all(&f);
        end(&f);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_partitions_share_a_run_and_blocks),
        cmocka_unit_test(large_partitions_are_runs_of_their_own),
        cmocka_unit_test(a_cut_begins_a_run),
        cmocka_unit_test(runs_count_what_they_refer_to),
        cmocka_unit_test(runs_of_random_stretches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
