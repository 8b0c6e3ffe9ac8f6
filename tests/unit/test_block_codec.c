// SPDX-License-Identifier: Apache-2.0
/* Compressed blocks: what goes in comes out, what does not shrink stays plain, and no bytes do harm. */
#include <stdio.h>

#include "base/crc32c.h"
#include "base/mem.h"
#include "base/prng.h"
#include "io/io_sim.h"
#include "lib/test.h"
#include "storage/block_codec.h"
#include "storage/inspect.h"
#include "storage/store_internal.h"

#define KEYS 2000u

static const enum store_compression codecs[] = {STORE_COMPRESSION_LZ4, STORE_COMPRESSION_ZSTD};

/* So many random bytes, each written `repeat` times. */
static void fill(uint8_t *bytes, size_t size, size_t repeat, uint64_t seed) {
    struct prng prng;
    prng_init(&prng, seed);
    for (size_t i = 0; i < size; i++)
        bytes[i] = i % repeat == 0 ? (uint8_t)prng_below(&prng, 256) : bytes[i - 1];
}

static void what_goes_in_comes_out(void **state) {
    (void)state;
    static uint8_t in[40000], out[40000];
    for (size_t c = 0; c < ARRAY_COUNT(codecs); c++) {
        struct block_codec codec = {0};
        struct writer stored;
        writer_init(&stored);
        for (size_t size = 8; size <= sizeof in; size += size / 3) {
            fill(in, size, 64, size);
            writer_clear(&stored);
            writer_text(&stored, "before");
            struct slice contents = slice_make(in, size);
            if (!block_deflate(&codec, codecs[c], contents, &stored)) {
                assert_true(size < 200);
                assert_int_equal(stored.size, 6);
                continue;
            }
            struct slice bytes = slice_make(stored.data + 6, stored.size - 6);
            assert_true(bytes.size <= size - size / BLOCK_SAVING);
            size_t inflated;
            assert_status(block_inflated_size(bytes, &inflated), STATUS_OK);
            assert_int_equal(inflated, size);
            assert_status(block_inflate(&codec, codecs[c], bytes, out, inflated), STATUS_OK);
            assert_memory_equal(in, out, size);
        }
        writer_release(&stored);
        block_codec_release(&codec);
    }
}

static void what_does_not_shrink_stays_plain(void **state) {
    (void)state;
    static uint8_t in[16384];
    fill(in, sizeof in, 1, 1);
    struct writer stored;
    writer_init(&stored);
    for (size_t c = 0; c < ARRAY_COUNT(codecs); c++) {
        struct block_codec codec = {0};
        assert_false(block_deflate(&codec, codecs[c], slice_make(in, sizeof in), &stored));
        assert_int_equal(stored.size, 0);
        block_codec_release(&codec);
    }
    writer_release(&stored);
}

static void sizes_are_checked_before_they_are_used(void **state) {
    (void)state;
    uint8_t bytes[16] = {0};
    size_t size;
    for (size_t i = 0; i < 4; i++)
        assert_status(block_inflated_size(slice_make(bytes, i), &size), STATUS_CORRUPT);
    const uint32_t wrong[] = {0, 1, sizeof bytes, BLOCK_INFLATED_SIZE_MAX + 1, UINT32_MAX};
    for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
        store_le32(bytes, wrong[i]);
        assert_status(block_inflated_size(slice_make(bytes, sizeof bytes), &size), STATUS_CORRUPT);
    }
    store_le32(bytes, BLOCK_INFLATED_SIZE_MAX);
    assert_status(block_inflated_size(slice_make(bytes, sizeof bytes), &size), STATUS_OK);
}

/* One byte more than there is would leave a byte that nobody wrote. */
static void less_than_was_said_is_damage(void **state) {
    (void)state;
    uint8_t in[3000], out[sizeof in + 1];
    fill(in, sizeof in, 16, 3);
    for (size_t c = 0; c < ARRAY_COUNT(codecs); c++) {
        struct block_codec codec = {0};
        struct writer stored;
        writer_init(&stored);
        assert_true(block_deflate(&codec, codecs[c], slice_make(in, sizeof in), &stored));
        assert_status(block_inflate(&codec, codecs[c], writer_slice(&stored), out, sizeof in), STATUS_OK);
        store_le32(stored.data, sizeof in + 1);
        assert_status(block_inflate(&codec, codecs[c], writer_slice(&stored), out, sizeof in + 1),
                      STATUS_CORRUPT);
        writer_release(&stored);
        block_codec_release(&codec);
    }
}

/* Damaged anywhere, cut anywhere, or with another size in front: CORRUPT, or bytes of the size that was said.
 */
static void no_bytes_do_harm(void **state) {
    (void)state;
    uint8_t in[3000];
    fill(in, sizeof in, 16, 3);
    for (size_t c = 0; c < ARRAY_COUNT(codecs); c++) {
        struct block_codec codec = {0};
        struct writer stored;
        writer_init(&stored);
        assert_true(block_deflate(&codec, codecs[c], slice_make(in, sizeof in), &stored));
        uint32_t corrupt = 0;
        for (size_t i = 0; i < stored.size * 3; i++) {
            size_t at = i / 3, size, kept = i % 3 == 1 ? at : stored.size;
            uint8_t *copy = mem_alloc(stored.size); /* as large as it is, for AddressSanitizer */
            memcpy(copy, stored.data, stored.size);
            if (i % 3 == 0) copy[at] ^= (uint8_t)(1u << at % 8);
            if (i % 3 == 2) store_le32(copy, (uint32_t)(stored.size + at * 5));
            uint8_t *exact = mem_alloc(MAX(kept, (size_t)1));
            memcpy(exact, copy, kept);
            enum status status = block_inflated_size(slice_make(exact, kept), &size);
            if (status == STATUS_OK) {
                uint8_t *out = mem_alloc(size);
                status = block_inflate(&codec, codecs[c], slice_make(exact, kept), out, size);
                mem_free(out);
            }
            corrupt += status == STATUS_CORRUPT;
            mem_free(exact);
            mem_free(copy);
        }
        assert_true(corrupt > stored.size * 3 / 2);
        writer_release(&stored);
        block_codec_release(&codec);
    }
}

/* ---- in a store -------------------------------------------------------------------------------------- */

struct fixture {
    struct io_sim *sim;
    struct io *io;
    struct store *store;
    struct store_options options;
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
static void run_until(struct fixture *f, const bool *flag) {
    while (!*flag)
        io_turn(f->io, NS_PER_S);
}

static void open_store(struct fixture *f) {
    struct diagnostic why;
    assert_status(store_open(f->io, &f->options, &f->store, &why), STATUS_OK);
}

static void close_store(struct fixture *f) {
    bool done = false;
    store_shutdown(f->store, set_flag, &done);
    run_until(f, &done);
    store_close(f->store);
}

static void fixture_init(struct fixture *f, enum store_compression compression) {
    *f = (struct fixture){.sim = io_sim_new(1)};
    f->io = io_sim_node_io(f->sim, 0);
    f->options = (struct store_options){.dir = "data", .compression = compression, .cache_bytes = 4 * MIB};
    open_store(f);
}

static void fixture_release(struct fixture *f) {
    close_store(f);
    io_sim_free(f->sim);
}

static struct slice key_of(uint32_t number, uint8_t key[8]) {
    store_be64(key, number);
    return slice_make(key, 8);
}

/* KEYS values of 100 bytes, and a flush. */
static void put_all(struct fixture *f, size_t repeat) {
    struct store_write write;
    store_write_init(&write, write_done);
    uint8_t key[8], value[100];
    for (uint32_t i = 0; i < KEYS; i++) {
        fill(value, sizeof value, repeat, i);
        store_put(&write, key_of(i, key), (struct shared_slice){slice_make(value, sizeof value), NULL});
    }
    store_write_submit(f->store, &write);
    bool done = false;
    store_flush(f->store, flushed, &done);
    run_until(f, &done);
    store_write_release(&write);
}

static void get_ready(struct store_get *get) {
    (void)get;
}

/* Every key by a get, by both kinds of iterator, blocking and not. */
static void check_all(struct fixture *f, size_t repeat) {
    uint8_t key[8], value[100];
    for (uint32_t i = 0; i < KEYS; i++) {
        fill(value, sizeof value, repeat, i);
        struct shared_slice got;
        struct store_get get = {.ready = get_ready};
        enum status status;
        while ((status = store_get(f->store, key_of(i, key), &get, &got)) == STATUS_PENDING)
            io_turn(f->io, NS_PER_S);
        assert_status(status, STATUS_OK);
        assert_slice_equal(got.bytes, slice_make(value, sizeof value));
        shared_slice_unref(got);
    }
    for (unsigned flags = 0; flags < 4; flags++) {
        struct store_iterator *it = store_iterator_open(f->store, SLICE_EMPTY, SLICE_EMPTY, flags,
                                                        (void (*)(void *))set_flag, &(bool){false});
        for (uint32_t i = 0; i <= KEYS; i++) {
            enum status status;
            while ((status = i == 0 ? store_iterator_seek(it, SLICE_EMPTY) : store_iterator_next(it)) ==
                   STATUS_PENDING)
                io_turn(f->io, NS_PER_S);
            assert_status(status, i < KEYS ? STATUS_OK : STATUS_END);
            if (i == KEYS) break;
            fill(value, sizeof value, repeat, i);
            assert_slice_equal(store_iterator_value(it).bytes, slice_make(value, sizeof value));
        }
        store_iterator_close(it);
    }
}

static uint64_t table_bytes(struct fixture *f) {
    struct store_stats stats;
    store_stats(f->store, &stats);
    return stats.table_bytes;
}

static void tables_shrink_where_it_pays(void **state) {
    (void)state;
    uint64_t plain[2];
    for (size_t c = 0; c <= STORE_COMPRESSION_ZSTD; c++) {
        for (size_t random = 0; random < 2; random++) {
            struct fixture f;
            fixture_init(&f, (enum store_compression)c);
            size_t repeat = random ? 1 : 20;
            put_all(&f, repeat);
            check_all(&f, repeat);
            struct store_stats stats;
            store_stats(f.store, &stats);
            assert_true(stats.block_bytes > KEYS * 100);
            if (c == STORE_COMPRESSION_NONE) plain[random] = stats.table_bytes;
            if (random || c == STORE_COMPRESSION_NONE) {
                assert_int_equal(stats.block_bytes, stats.stored_block_bytes);
                assert_int_equal(stats.table_bytes, plain[random]);
            } else {
                assert_true(stats.stored_block_bytes * 2 < stats.block_bytes);
                assert_true(stats.table_bytes * 2 < plain[random]);
            }
            fixture_release(&f);
        }
    }
}

/* The cache counts what it holds in memory, not what it read. */
static void the_cache_counts_inflated_bytes(void **state) {
    (void)state;
    struct fixture f;
    fixture_init(&f, STORE_COMPRESSION_ZSTD);
    put_all(&f, 50);
    struct store_stats stats;
    check_all(&f, 50);
    store_stats(f.store, &stats);
    assert_true(stats.cache_bytes - stats.cache_meta_bytes > KEYS * 100);
    assert_true(table_bytes(&f) < KEYS * 50);
    fixture_release(&f);
}

static void ignore_text(void *ctx, struct slice text) {
    writer_bytes(ctx, text);
}

/* Each opening may write with another codec and reads all of them; a compaction rewrites them with its own.
 */
static void codecs_may_change(void **state) {
    (void)state;
    struct fixture f;
    fixture_init(&f, STORE_COMPRESSION_NONE);
    for (unsigned i = 0; i < 7; i++) {
        put_all(&f, 10);
        check_all(&f, 10);
        close_store(&f);
        f.options.compression = (enum store_compression)((i + 1) % 3);
        f.options.table_bytes = 64 * KIB; /* many tables come of one that was compressed */
        open_store(&f);
    }
    io_turn(f.io, NS_PER_S);
    check_all(&f, 10);
    close_store(&f);
    struct writer text;
    writer_init(&text);
    struct inspect_options options = {.json = true, .verify = true, .print = ignore_text, .ctx = &text};
    struct diagnostic why;
    assert_status(inspect_path(f.io, "data", &options, &why), STATUS_OK);
    writer_release(&text);
    open_store(&f);
    fixture_release(&f);
}

/* ---- format 2, which had no compressed blocks ---------------------------------------------------------- */

struct patch {
    struct io *io;
    uint32_t files;
};

static void patch_version(void *ctx, const char *name, bool is_dir) {
    struct patch *patch = ctx;
    uint64_t number;
    enum layout_kind kind = is_dir ? LAYOUT_OTHER : layout_parse(name, &number);
    if (kind != LAYOUT_MANIFEST && kind != LAYOUT_LOG && kind != LAYOUT_TABLE) return;
    struct io_file *file;
    char path[64];
    snprintf(path, sizeof path, "data/%s", name);
    assert_status(io_file_open(patch->io, path, IO_OPEN_WRITE, &file), STATUS_OK);
    uint64_t size, start = 0;
    assert_status(io_file_size(file, &size), STATUS_OK);
    if (kind == LAYOUT_TABLE) start = size - TABLE_FOOTER_SIZE;
    uint8_t bytes[TABLE_FOOTER_SIZE];
    size_t read;
    assert_status(io_file_read_at(file, bytes, sizeof bytes, start, &read), STATUS_OK);
    /* docs/formats.md */
    if (kind == LAYOUT_TABLE) {
        assert_int_equal(load_le32(bytes + 72), 3);
        store_le32(bytes + 72, 2);
        store_le32(bytes + 76, crc32c(0, bytes, 76));
    } else {
        if (load_le32(bytes + 8) == 0) { /* a spare file of the log */
            io_file_close(file);
            return;
        }
        assert_int_equal(load_le32(bytes + 8), 3);
        store_le32(bytes + 8, 2);
        store_le32(bytes + 12, crc32c(crc32c(0, bytes, 12), bytes + 16, kind == LAYOUT_LOG ? 40 : 24));
    }
    assert_status(io_file_write_at(file, slice_make(bytes, MIN(read, sizeof bytes)), start), STATUS_OK);
    io_file_close(file);
    patch->files++;
}

static uint32_t manifest_version(struct io *io) {
    struct io_file *file;
    uint8_t bytes[12];
    size_t read;
    assert_status(io_file_open(io, "data/MANIFEST", IO_OPEN_READ, &file), STATUS_OK);
    assert_status(io_file_read_at(file, bytes, sizeof bytes, 0, &read), STATUS_OK);
    io_file_close(file);
    return load_le32(bytes + 8);
}

static void format_2_is_read_and_left_behind(void **state) {
    (void)state;
    struct fixture f;
    fixture_init(&f, STORE_COMPRESSION_NONE);
    put_all(&f, 10);
    close_store(&f);
    struct patch patch = {.io = f.io};
    assert_status(io_list_dir(f.io, "data", patch_version, &patch), STATUS_OK);
    assert_true(patch.files >= 3);
    f.options.read_only = true;
    open_store(&f);
    check_all(&f, 10);
    close_store(&f);
    assert_int_equal(manifest_version(f.io), 2);
    f.options.read_only = false;
    f.options.compression = STORE_COMPRESSION_ZSTD;
    open_store(&f);
    assert_int_equal(manifest_version(f.io), 3); /* an older program stays away from now on */
    check_all(&f, 10);
    put_all(&f, 20);
    check_all(&f, 20);
    fixture_release(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out),
        cmocka_unit_test(what_does_not_shrink_stays_plain),
        cmocka_unit_test(sizes_are_checked_before_they_are_used),
        cmocka_unit_test(less_than_was_said_is_damage),
        cmocka_unit_test(no_bytes_do_harm),
        cmocka_unit_test(tables_shrink_where_it_pays),
        cmocka_unit_test(the_cache_counts_inflated_bytes),
        cmocka_unit_test(codecs_may_change),
        cmocka_unit_test(format_2_is_read_and_left_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
