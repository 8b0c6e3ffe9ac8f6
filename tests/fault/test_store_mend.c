// SPDX-License-Identifier: Apache-2.0
/* What is damaged is written anew by somebody who has a copy: from that moment on nobody meets the damage any
 * more, whatever it was in, and in time its bytes leave the store. Less than the whole range does not help.
 */
#include <stdio.h>

#include "base/mem.h"
#include "io/io_sim.h"
#include "lib/test.h"
#include "storage/layout.h"
#include "storage/store.h"
#include "storage/table.h"

#define NODE       0u
#define KEYS       300u
#define KEY_SIZE   4u
#define BIG        2000u /* bytes: kept in the log */
#define GAPS_MAX   8u
#define PIECE_KEYS 7u

struct gap {
    uint8_t first[64], last[64];
    size_t first_size, last_size;
};
struct world {
    struct io_sim *sim;
    struct io *io;
    struct store *store;
    size_t value_size;
    struct gap gaps[GAPS_MAX];
    uint32_t gap_count, told;
    uint8_t life; /* in every value: which writing of it */
    uint8_t lives[KEYS];
};

static struct slice key_of(uint32_t k, uint8_t bytes[KEY_SIZE]) {
    store_be32(bytes, k);
    return slice_make(bytes, KEY_SIZE);
}

static struct slice value_of(const struct world *w, uint32_t k, uint8_t life, uint8_t *bytes) {
    memset(bytes, (int)(k * 31 + life), w->value_size);
    store_be32(bytes, k);
    bytes[KEY_SIZE] = life;
    return slice_make(bytes, w->value_size);
}

static void told(void *ctx, struct slice first, struct slice last) {
    struct world *w = ctx;
    w->told++;
    for (uint32_t i = 0; i < w->gap_count; i++)
        if (slice_equal(slice_make(w->gaps[i].first, w->gaps[i].first_size), first)) return;
    assert_true(w->gap_count < GAPS_MAX && first.size <= sizeof w->gaps->first);
    struct gap *gap = &w->gaps[w->gap_count++];
    memcpy(gap->first, first.data, first.size);
    memcpy(gap->last, last.data, last.size);
    gap->first_size = first.size;
    gap->last_size = last.size;
}

static void open_store(struct world *w) {
    struct store_options options = {
        .dir = "data", .memtable_bytes = 8 * MIB, .table_bytes = 8 * MIB, .wal_segment_bytes = 4 * MIB};
    struct diagnostic why;
    w->io = io_sim_node_io(w->sim, NODE);
    assert_status(store_open(w->io, &options, &w->store, &why), STATUS_OK);
    store_on_damage(w->store, told, w);
    w->gap_count = w->told = 0;
}

static void set_flag(void *ctx) {
    *(bool *)ctx = true;
}

static void run(struct world *w) {
    io_sim_run_until(w->sim, io_sim_now(w->sim) + NS_PER_S);
}

static void reopen(struct world *w) {
    bool done = false;
    store_shutdown(w->store, set_flag, &done);
    while (!done)
        assert_true(io_sim_step(w->sim));
    store_close(w->store);
    io_sim_crash_node(w->sim, NODE, IO_SIM_CRASH_POWER_CLEAN);
    io_free(w->io);
    open_store(w);
}

static void crash(struct world *w, enum io_sim_crash how) {
    io_sim_crash_node(w->sim, NODE, how);
    store_close(w->store);
    io_free(w->io);
    open_store(w);
}

static void write_done(struct store_write *write) {
    assert_status(write->status, STATUS_OK);
}

/* Puts keys [from, to) anew; with a deletion of [first, last] in front when first is not NULL. */
static void put(struct world *w, uint32_t from, uint32_t to, const struct slice *first, struct slice last) {
    struct store_write write;
    uint8_t key[KEY_SIZE], value[BIG], end[128];
    store_write_init(&write, write_done);
    w->life++;
    if (first != NULL) {
        memcpy(end, last.data, last.size);
        end[last.size] = 0;
        store_delete_range(&write, *first, slice_make(end, last.size + 1));
    }
    for (uint32_t k = from; k < to; k++) {
        store_put(&write, key_of(k, key), (struct shared_slice){value_of(w, k, w->life, value), NULL});
        w->lives[k] = w->life;
    }
    store_write_submit(w->store, &write);
    run(w);
    store_write_release(&write);
}

static void flush(struct world *w) {
    bool flushed = false;
    store_flush(w->store, (void (*)(void *, enum status))(void (*)(void))set_flag, &flushed);
    run(w);
    assert_true(flushed);
}

static void make_world(struct world *w, size_t value_size) {
    *w = (struct world){.sim = io_sim_new(7), .value_size = value_size};
    open_store(w);
    put(w, 0, KEYS, NULL, SLICE_EMPTY);
    flush(w);
    reopen(w);
    run(w); /* what a start has to do is done */
}

static void end_world(struct world *w) {
    io_sim_crash_node(w->sim, NODE, IO_SIM_CRASH_POWER_CLEAN);
    store_close(w->store);
    io_free(w->io);
    io_sim_free(w->sim);
}

static void expect_entry(struct world *w, struct store_iterator *it, uint32_t k) {
    uint8_t key[KEY_SIZE], value[BIG];
    assert_slice_equal(store_iterator_key(it), key_of(k, key));
    assert_slice_equal(store_iterator_value(it).bytes, value_of(w, k, w->lives[k], value));
}

static void is_ready(void *ctx) {
    (void)ctx;
}

enum move { SEEK, SEEK_PREV, NEXT, PREV };

static enum status move(struct world *w, struct store_iterator *it, enum move what, struct slice key) {
    while (true) {
        enum status status = what == SEEK        ? store_iterator_seek(it, key)
                             : what == SEEK_PREV ? store_iterator_seek_prev(it, key)
                             : what == NEXT      ? store_iterator_next(it)
                                                 : store_iterator_prev(it);
        if (status != STATUS_PENDING) return status;
        assert_true(io_sim_step(w->sim));
    }
}

/* Both ways and key by key; keys that are not there have life 0. */
static void check_all(struct world *w) {
    for (unsigned flags = 0; flags < 4; flags++) {
        struct store_iterator *it = store_iterator_open(w->store, SLICE_EMPTY, SLICE_EMPTY, flags, is_ready,
                                                        NULL);
        enum status status = move(w, it, SEEK, SLICE_EMPTY);
        for (uint32_t k = 0; k < KEYS; k++) {
            if (w->lives[k] == 0) continue;
            assert_status(status, STATUS_OK);
            expect_entry(w, it, k);
            status = move(w, it, NEXT, SLICE_EMPTY);
        }
        assert_status(status, STATUS_END);
        status = move(w, it, SEEK_PREV, slice_make("\xff\xff\xff\xff\xff", 5));
        for (uint32_t k = KEYS; k > 0; k--) {
            if (w->lives[k - 1] == 0) continue;
            assert_status(status, STATUS_OK);
            expect_entry(w, it, k - 1);
            status = move(w, it, PREV, SLICE_EMPTY);
        }
        assert_status(status, STATUS_END);
        for (uint32_t k = 0; k < KEYS; k += 13) { /* turning round at the edge of what was damaged */
            uint8_t key[KEY_SIZE];
            if (k == 0 || w->lives[k] == 0 || w->lives[k - 1] == 0) continue;
            assert_status(move(w, it, SEEK, key_of(k, key)), STATUS_OK);
            assert_status(move(w, it, PREV, SLICE_EMPTY), STATUS_OK);
            expect_entry(w, it, k - 1);
            assert_status(move(w, it, NEXT, SLICE_EMPTY), STATUS_OK);
            expect_entry(w, it, k);
        }
        store_iterator_close(it);
    }
    for (uint32_t k = 0; k < KEYS; k++) {
        struct shared_slice value;
        uint8_t key[KEY_SIZE], expected[BIG];
        enum status status = store_get_blocking(w->store, key_of(k, key), &value);
        assert_status(status, w->lives[k] == 0 ? STATUS_NOT_FOUND : STATUS_OK);
        if (status != STATUS_OK) continue;
        assert_slice_equal(value.bytes, value_of(w, k, w->lives[k], expected));
        shared_slice_unref(value);
    }
}

/* Reads everything there is to read, around the damage; true: there was some. */
static bool meet_damage(struct world *w) {
    struct store_iterator *it = store_iterator_open(w->store, SLICE_EMPTY, SLICE_EMPTY,
                                                    STORE_ITERATOR_BLOCKING, NULL, NULL);
    uint8_t behind[128] = {0};
    size_t behind_size = 0;
    uint32_t met = 0;
    enum status status = store_iterator_seek(it, SLICE_EMPTY);
    while (status != STATUS_END) {
        if (status == STATUS_OK) {
            status = store_iterator_next(it);
            continue;
        }
        assert_true(status == STATUS_CORRUPT || status == STATUS_IO);
        assert_true(++met < 100);
        struct slice first, last;
        store_iterator_gap(it, &first, &last);
        assert_true(slice_compare(first, last) <= 0);
        assert_true(slice_compare(slice_make(behind, behind_size), last) <= 0);
        memcpy(behind, last.data, last.size);
        behind[last.size] = 0;
        behind_size = last.size + 1;
        status = store_iterator_seek(it, slice_make(behind, behind_size));
    }
    store_iterator_close(it);
    run(w);
    return met > 0;
}

static uint32_t number_of(const uint8_t *key, size_t size) {
    uint8_t bytes[KEY_SIZE] = {0};
    memcpy(bytes, key, MIN(size, (size_t)KEY_SIZE));
    return load_be32(bytes);
}

/* Whoever has a copy writes the range anew: all at once, or in pieces that meet. */
static void mend(struct world *w, bool in_pieces) {
    for (uint32_t i = 0; i < w->gap_count; i++) {
        struct gap gap = w->gaps[i];
        struct slice first = slice_make(gap.first, gap.first_size),
                     last = slice_make(gap.last, gap.last_size);
        /* key, 0 is what stands right behind a key */
        uint32_t from = number_of(gap.first, gap.first_size) + (gap.first_size > KEY_SIZE);
        uint32_t to = number_of(gap.last, gap.last_size) + 1;
        uint8_t start[64], end[KEY_SIZE];
        while (in_pieces && to - from > PIECE_KEYS) {
            put(w, from, from + PIECE_KEYS, &first, key_of(from + PIECE_KEYS - 1, end));
            from += PIECE_KEYS;
            memcpy(start, end, KEY_SIZE);
            start[KEY_SIZE] = 0;
            first = slice_make(start, KEY_SIZE + 1);
        }
        put(w, from, to, &first, last);
    }
}

static void count_files(void *ctx, const char *name, bool is_dir) {
    uint64_t number;
    if (!is_dir && layout_parse(name, &number) != LAYOUT_OTHER) (*(uint32_t *)ctx)++;
}

static uint32_t put_aside(struct world *w) {
    uint32_t count = 0;
    enum status status = io_list_dir(w->io, "data/" LAYOUT_QUARANTINE, count_files, &count);
    return status == STATUS_OK ? count : 0;
}

static uint64_t scrub(struct world *w) {
    bool done = false;
    struct store_stats before, after;
    store_stats(w->store, &before);
    store_scrub(w->store, set_flag, &done);
    while (!done)
        assert_true(io_sim_step(w->sim));
    store_stats(w->store, &after);
    return after.scrub.damaged - before.scrub.damaged;
}

struct found {
    char path[64];
    bool newest; /* of tables; else the largest */
    uint64_t number;
    enum layout_kind kind;
    uint64_t size;
    struct world *w;
};

/* The largest table; the first log file that is large enough to hold the values. */
static void find_file(void *ctx, const char *name, bool is_dir) {
    struct found *found = ctx;
    uint64_t number, size;
    char path[64];
    struct io_file *file;
    if (is_dir || layout_parse(name, &number) != found->kind) return;
    snprintf(path, sizeof path, "data/%s", name);
    assert_status(io_file_open(found->w->io, path, IO_OPEN_READ, &file), STATUS_OK);
    assert_status(io_file_size(file, &size), STATUS_OK);
    io_file_close(file);
    bool less = found->newest ? number <= found->number : size <= found->size;
    if (found->kind == LAYOUT_TABLE ? less : size < (uint64_t)BIG * KEYS) return;
    found->number = number;
    if (found->kind == LAYOUT_LOG && found->size > 0 && strcmp(found->path, path) < 0) return;
    memcpy(found->path, path, sizeof path);
    found->size = size;
}

static struct found find(struct world *w, enum layout_kind kind) {
    struct found found = {.kind = kind, .w = w};
    assert_status(io_list_dir(w->io, "data", find_file, &found), STATUS_OK);
    assert_true(found.size > 0);
    return found;
}

static struct table_footer footer_of(struct world *w, const struct found *table) {
    struct io_file *file;
    uint8_t bytes[TABLE_FOOTER_SIZE];
    size_t read;
    struct table_footer footer;
    assert_status(io_file_open(w->io, table->path, IO_OPEN_READ, &file), STATUS_OK);
    assert_status(io_file_read_at(file, bytes, sizeof bytes, table->size - sizeof bytes, &read), STATUS_OK);
    assert_status(table_footer_decode(slice_make(bytes, read), &footer), STATUS_OK);
    io_file_close(file);
    return footer;
}

/* One flipped bit there: met, told, written anew, read at once, gone with the next compaction. */
static void flip_and_mend(size_t value_size, enum layout_kind kind, uint64_t at, bool in_pieces) {
    struct world w;
    make_world(&w, value_size);
    struct found file = find(&w, kind);
    uint64_t offset = at;
    if (kind == LAYOUT_TABLE) {
        struct table_footer footer = footer_of(&w, &file);
        offset = at == UINT64_MAX ? footer.index.offset + 3 : at % footer.filter.offset;
    }
    assert_true(io_sim_flip_bit(w.sim, NODE, file.path, offset, 3));
    if (kind == LAYOUT_LOG) {
        assert_int_equal(scrub(&w), 1); /* it reads values, too */
        run(&w);
    } else {
        assert_true(meet_damage(&w));
    }
    assert_true(w.gap_count == 1 && w.told > 0);
    mend(&w, in_pieces);
    w.told = 0;
    check_all(&w); /* the damaged bytes are still there */
    reopen(&w);
    check_all(&w);
    assert_int_equal(scrub(&w), 0); /* meets them, but nothing is lost */
    flush(&w);
    run(&w);
    check_all(&w);
    assert_int_equal(w.told, 0);
    /* What the new writes cover as a whole goes without being read: then nobody knows any more, after a
     * start, that it was damaged. */
    assert_in_range(put_aside(&w), at == UINT64_MAX ? 0 : 1, kind == LAYOUT_LOG ? 2 : 1);
    assert_false(meet_damage(&w));
    reopen(&w);
    check_all(&w);
    assert_int_equal(scrub(&w), 0);
    end_world(&w);
}

static void a_damaged_block_is_written_anew(void **state) {
    (void)state;
    for (uint64_t at = 100; at < 200 * KEYS; at += 23003) {
        flip_and_mend(200, LAYOUT_TABLE, at, false);
        flip_and_mend(200, LAYOUT_TABLE, at, true);
    }
}

static void a_damaged_index_is_written_anew(void **state) {
    (void)state;
    flip_and_mend(200, LAYOUT_TABLE, UINT64_MAX, false);
    flip_and_mend(200, LAYOUT_TABLE, UINT64_MAX, true);
}

/* A sector that cannot be read: the same. */
static void a_broken_sector_is_written_anew(void **state) {
    (void)state;
    struct world w;
    make_world(&w, 200);
    struct found table = find(&w, LAYOUT_TABLE);
    assert_true(io_sim_break_sector(w.sim, NODE, table.path, 40000));
    assert_true(meet_damage(&w));
    mend(&w, false);
    check_all(&w);
    flush(&w);
    assert_int_equal(put_aside(&w), 1);
    check_all(&w);
    end_world(&w);
}

/* Without the filter every lookup reads a block more, and the table is written anew by itself. */
static void a_damaged_filter_costs_no_answer(void **state) {
    (void)state;
    struct world w;
    make_world(&w, 200);
    struct found table = find(&w, LAYOUT_TABLE);
    assert_true(io_sim_flip_bit(w.sim, NODE, table.path, footer_of(&w, &table).filter.offset + 5, 1));
    check_all(&w);
    assert_int_equal(w.told, 0);
    assert_int_equal(scrub(&w), 1);
    run(&w);
    check_all(&w);
    assert_int_equal(scrub(&w), 0);
    assert_int_equal(put_aside(&w), 1);
    end_world(&w);
}

/* A compaction that began before the range was written anew meets the damage: that is one block, and mended
 * as soon as the deletion is in a table. */
static void a_compaction_is_overtaken_by_the_repair(void **state) {
    (void)state;
    struct world w;
    uint8_t first[KEY_SIZE], last[KEY_SIZE];
    struct shared_slice value;
    struct store_stats stats;
    make_world(&w, 200);
    struct found table = find(&w, LAYOUT_TABLE);
    assert_true(io_sim_flip_bit(w.sim, NODE, table.path, footer_of(&w, &table).filter.offset + 5, 1));
    assert_true(io_sim_flip_bit(w.sim, NODE, table.path, 30000, 3)); /* of keys 79 to 157 */
    put(&w, 250, 251, NULL, SLICE_EMPTY);
    /* Without its filter the table is to be written anew, as soon as a compaction is considered. */
    assert_status(store_get_blocking(w.store, key_of(299, first), &value), STATUS_OK);
    shared_slice_unref(value);
    bool flushed = false;
    store_flush(w.store, (void (*)(void *, enum status))(void (*)(void))set_flag, &flushed);
    struct slice from = key_of(50, first);
    put(&w, 50, 200, &from, key_of(199, last));
    assert_true(flushed);
    store_stats(w.store, &stats);
    assert_int_equal(stats.compactions, 0); /* it gave up */
    assert_int_equal(put_aside(&w), 0);
    assert_int_equal(w.told, 0);
    flush(&w);
    run(&w);
    assert_int_equal(put_aside(&w), 1);
    assert_int_equal(w.told, 0);
    check_all(&w);
    assert_int_equal(scrub(&w), 0);
    end_world(&w);
}

/* A deletion of a part of the gap, or one that is older than the run, proves nothing. */
static void less_than_all_of_it_does_not_help(void **state) {
    (void)state;
    for (int missing = 0; missing < 3; missing++) {
        struct world w;
        make_world(&w, 200);
        struct found table = find(&w, LAYOUT_TABLE);
        assert_true(io_sim_flip_bit(w.sim, NODE, table.path, 60000, 3));
        assert_true(meet_damage(&w));
        struct gap gap = w.gaps[0];
        uint8_t key[KEY_SIZE];
        uint32_t from = number_of(gap.first, gap.first_size) + (gap.first_size > KEY_SIZE);
        uint32_t to = number_of(gap.last, gap.last_size) + 1;
        struct slice first = slice_make(gap.first, gap.first_size),
                     last = slice_make(gap.last, gap.last_size);
        if (missing == 0) { /* the first key */
            first = key_of(from, key);
            store_be32(key, from + 1);
            put(&w, from + 1, to, &first, last);
        } else if (missing == 1) { /* the last */
            put(&w, from, to - 1, &first, key_of(to - 2, key));
        } else { /* a piece in the middle */
            uint8_t second[KEY_SIZE];
            put(&w, from, from + 3, &first, key_of(from + 2, key));
            first = key_of(from + 4, second);
            put(&w, from + 4, to, &first, last);
        }
        assert_true(meet_damage(&w));
        if (missing == 1) { /* who asks for the rest alone gets it */
            uint8_t upper[KEY_SIZE + 1] = {0};
            key_of(to - 2, upper);
            struct store_iterator *it = store_iterator_open(
                w.store, SLICE_EMPTY, slice_make(upper, sizeof upper), STORE_ITERATOR_BLOCKING, NULL, NULL);
            enum status status = store_iterator_seek(it, SLICE_EMPTY);
            for (uint32_t k = 0; k < to - 1; k++) {
                assert_status(status, STATUS_OK);
                expect_entry(&w, it, k);
                status = store_iterator_next(it);
            }
            assert_status(status, STATUS_END);
            store_iterator_close(it);
        }
        flush(&w);
        assert_true(meet_damage(&w));
        assert_int_equal(put_aside(&w), 0);
        end_world(&w);
    }
}

/* What was deleted before it was written is not deleted. */
static void an_older_deletion_does_not_help(void **state) {
    (void)state;
    struct world w;
    uint8_t first[KEY_SIZE], last[KEY_SIZE];
    make_world(&w, 200);
    struct slice from = key_of(100, first);
    put(&w, 100, 200, &from, key_of(199, last));
    flush(&w);
    check_all(&w);
    struct found table = {.kind = LAYOUT_TABLE, .w = &w, .newest = true};
    assert_status(io_list_dir(w.io, "data", find_file, &table), STATUS_OK);
    reopen(&w);
    assert_true(io_sim_flip_bit(w.sim, NODE, table.path, 9000, 3));
    assert_true(meet_damage(&w));
    assert_true(w.told > 0);
    mend(&w, false);
    check_all(&w);
    end_world(&w);
}

/* Of an entry whose value is damaged only the value is lost: put again, it is whole. */
static void a_value_in_the_log_is_written_anew(void **state) {
    (void)state;
    for (uint64_t at = 100000; at < BIG * KEYS; at += 200003)
        flip_and_mend(BIG, LAYOUT_LOG, at, false);
}

struct search {
    struct world *w;
    struct slice pattern;
    char path[64];
    uint64_t offset; /* of the group; 0: not found */
};

static void search_log(void *ctx, const char *name, bool is_dir) {
    struct search *search = ctx;
    uint64_t number, size;
    char path[64];
    struct io_file *file;
    if (is_dir || layout_parse(name, &number) != LAYOUT_LOG || search->offset != 0) return;
    snprintf(path, sizeof path, "data/%s", name);
    assert_status(io_file_open(search->w->io, path, IO_OPEN_READ, &file), STATUS_OK);
    assert_status(io_file_size(file, &size), STATUS_OK);
    uint8_t *bytes = mem_alloc(size + 1);
    size_t read;
    assert_status(io_file_read_at(file, bytes, size, 0, &read), STATUS_OK);
    io_file_close(file);
    for (size_t at = 0; at + search->pattern.size <= read && search->offset == 0; at++) {
        if (memcmp(bytes + at, search->pattern.data, search->pattern.size) != 0) continue;
        search->offset = at / 4096 * 4096;
        memcpy(search->path, path, sizeof path);
    }
    mem_free(bytes);
}

/* Records that are not in tables yet are in memory, too: every byte of theirs on the disk is checked, and
 * what is damaged is needed no more before anybody has to read it at a start. */
static void damage_in_the_log_is_outrun(void **state) {
    (void)state;
    struct world w;
    uint32_t aside = 0;
    make_world(&w, 200);
    for (uint64_t i = 0; i < 56 + 24 + 3 * (7 + KEY_SIZE + 200); i += 29) {
        uint8_t value[BIG];
        put(&w, 10, 13, NULL, SLICE_EMPTY);
        assert_int_equal(scrub(&w), 0);
        struct search search = {.w = &w, .pattern = value_of(&w, 11, w.life, value)};
        assert_status(io_list_dir(w.io, "data", search_log, &search), STATUS_OK);
        assert_true(search.offset > 0);
        assert_true(io_sim_flip_bit(w.sim, NODE, search.path, search.offset + i, (unsigned)(i % 8)));
        put(&w, 20, 21, NULL, SLICE_EMPTY); /* a group behind it: damage, no torn end */
        assert_int_equal(scrub(&w), 1);
        run(&w);
        assert_int_equal(scrub(&w), 0);
        put(&w, 30, 31, NULL, SLICE_EMPTY);
        assert_int_equal(w.told, 0);
        check_all(&w);
        if (i % 2 == 0) flush(&w); /* lets go of the segment */
        aside = MAX(aside, put_aside(&w));
        crash(&w, IO_SIM_CRASH_POWER_BARE);
        check_all(&w);
    }
    assert_true(aside > 0);
    end_world(&w);
}

/* One of several writers that wait for nobody but themselves, so that the log always has something pending.
 */
struct writer_loop {
    struct world *w;
    struct store_write write;
    uint32_t key;
    bool busy;
};

static void loop_done(struct store_write *write) {
    struct writer_loop *loop = CONTAINER_OF(write, struct writer_loop, write);
    assert_status(write->status, STATUS_OK);
    loop->busy = false;
}

static void loop_turn(struct writer_loop *loops, size_t count) {
    for (size_t i = 0; i < count; i++) {
        struct writer_loop *loop = &loops[i];
        uint8_t key[KEY_SIZE], value[BIG];
        if (loop->busy) continue;
        struct world *w = loop->w;
        store_write_release(&loop->write);
        store_write_init(&loop->write, loop_done);
        struct slice bytes = value_of(w, loop->key, ++w->lives[loop->key], value);
        store_put(&loop->write, key_of(loop->key, key), (struct shared_slice){bytes, NULL});
        loop->busy = true;
        store_write_submit(w->store, &loop->write);
        break; /* one at a time, or all would go in step */
    }
    assert_true(io_sim_step(loops->w->sim));
}

/* However busy the log is when damage is found in the segment that is written to: it goes on in the next. */
static void a_damaged_segment_is_left_under_load(void **state) {
    (void)state;
    struct world w;
    make_world(&w, 200);
    uint8_t value[BIG];
    put(&w, 10, 13, NULL, SLICE_EMPTY);
    struct search damaged = {.w = &w, .pattern = value_of(&w, 11, w.life, value)};
    assert_status(io_list_dir(w.io, "data", search_log, &damaged), STATUS_OK);
    assert_true(damaged.offset > 0);
    assert_true(io_sim_flip_bit(w.sim, NODE, damaged.path, damaged.offset + 9, 3));
    struct writer_loop loops[3];
    for (uint32_t i = 0; i < ARRAY_COUNT(loops); i++) {
        loops[i] = (struct writer_loop){.w = &w, .key = 40 + i};
        store_write_init(&loops[i].write, loop_done);
    }
    for (int i = 0; i < 20; i++)
        loop_turn(loops, ARRAY_COUNT(loops));
    bool done = false;
    struct store_stats stats;
    store_scrub(w.store, set_flag, &done);
    while (!done)
        loop_turn(loops, ARRAY_COUNT(loops));
    store_stats(w.store, &stats);
    assert_int_equal(stats.scrub.damaged, 1);
    for (int i = 0; i < 200; i++)
        loop_turn(loops, ARRAY_COUNT(loops));
    run(&w);
    for (uint32_t i = 0; i < ARRAY_COUNT(loops); i++) {
        uint32_t k = loops[i].key;
        struct search last = {.w = &w, .pattern = value_of(&w, k, w.lives[k], value)};
        assert_status(io_list_dir(w.io, "data", search_log, &last), STATUS_OK);
        assert_true(last.offset > 0);
        assert_string_not_equal(last.path, damaged.path);
        assert_false(loops[i].busy);
        store_write_release(&loops[i].write);
    }
    crash(&w, IO_SIM_CRASH_PROCESS);
    check_all(&w);
    end_world(&w);
}

/* The segment that everything in tables refers to is the newest, and its last group is damaged: a start does
 * not take that for an unfinished write, which it would wipe. Only what is damaged is lost. */
static void a_start_keeps_what_tables_refer_to(void **state) {
    (void)state;
    enum { HEADER = 9, RECORD = 56 + 30, LAST_VALUE = 4200 };
    static const uint64_t places[] = {HEADER, RECORD, LAST_VALUE};
    for (size_t i = 0; i < 2 * ARRAY_COUNT(places); i++) {
        struct world w;
        make_world(&w, BIG);
        put(&w, 20, 21, NULL, SLICE_EMPTY);
        put(&w, 10, 13, NULL, SLICE_EMPTY);
        flush(&w);
        uint8_t value[BIG];
        struct search search = {.w = &w, .pattern = value_of(&w, 10, w.life, value)};
        assert_status(io_list_dir(w.io, "data", search_log, &search), STATUS_OK);
        assert_true(search.offset > 0);
        uint64_t place = places[i / 2];
        assert_true(io_sim_flip_bit(w.sim, NODE, search.path, search.offset + place, 3));
        if (i % 2 == 0)
            reopen(&w);
        else
            crash(&w, IO_SIM_CRASH_PROCESS);
        for (uint32_t k = 0; k < KEYS; k++) {
            if (k == 12 && place == LAST_VALUE) continue;
            uint8_t key[KEY_SIZE], expected[BIG];
            struct shared_slice found;
            assert_status(store_get_blocking(w.store, key_of(k, key), &found), STATUS_OK);
            assert_slice_equal(found.bytes, value_of(&w, k, w.lives[k], expected));
            shared_slice_unref(found);
        }
        put(&w, 12, 14, NULL, SLICE_EMPTY); /* the log goes on, and the next start finds its end */
        crash(&w, IO_SIM_CRASH_POWER_BARE);
        check_all(&w);
        end_world(&w);
    }
}

/* Nor does damage in its middle matter to a start when all of it is in tables. */
static void a_start_needs_no_record_that_is_in_tables(void **state) {
    (void)state;
    struct world w;
    make_world(&w, BIG);
    put(&w, 20, 21, NULL, SLICE_EMPTY);
    uint8_t value[BIG];
    struct search search = {.w = &w, .pattern = value_of(&w, 20, w.life, value)};
    put(&w, 10, 13, NULL, SLICE_EMPTY);
    flush(&w);
    assert_status(io_list_dir(w.io, "data", search_log, &search), STATUS_OK);
    assert_true(search.offset > 0);
    assert_true(io_sim_flip_bit(w.sim, NODE, search.path, search.offset + 9, 3)); /* the group's header */
    reopen(&w);
    check_all(&w);
    put(&w, 12, 14, NULL, SLICE_EMPTY);
    crash(&w, IO_SIM_CRASH_POWER_BARE);
    check_all(&w);
    end_world(&w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_damaged_block_is_written_anew),
        cmocka_unit_test(a_damaged_index_is_written_anew),
        cmocka_unit_test(a_broken_sector_is_written_anew),
        cmocka_unit_test(a_damaged_filter_costs_no_answer),
        cmocka_unit_test(a_compaction_is_overtaken_by_the_repair),
        cmocka_unit_test(less_than_all_of_it_does_not_help),
        cmocka_unit_test(an_older_deletion_does_not_help),
        cmocka_unit_test(a_value_in_the_log_is_written_anew),
        cmocka_unit_test(damage_in_the_log_is_outrun),
        cmocka_unit_test(a_damaged_segment_is_left_under_load),
        cmocka_unit_test(a_start_keeps_what_tables_refer_to),
        cmocka_unit_test(a_start_needs_no_record_that_is_in_tables),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
