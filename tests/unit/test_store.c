// SPDX-License-Identifier: Apache-2.0
/* The store's contract on a real disk, with each backend that this machine has. */
#define _DEFAULT_SOURCE /* mincore */
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "base/crc32c.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "lib/test.h"
#include "storage/layout.h"
#include "storage/store.h"
#include "storage/wal_cold.h"

struct fixture {
    struct io *io;
    struct store *store;
    struct store_options options;
    char dir[64];
    struct diagnostic diagnostic;
};

static enum io_backend_kind backend = IO_BACKEND_POSIX;

static enum status fixture_open(struct fixture *f) {
    return store_open(f->io, &f->options, &f->store, &f->diagnostic);
}

static int setup(void **state) {
    struct fixture *f = mem_calloc(1, sizeof *f);
    snprintf(f->dir, sizeof f->dir, "/tmp/sentinel-store-XXXXXX");
    assert_non_null(mkdtemp(f->dir));
    struct io_options io_options = {.backend = backend};
    if (io_new(&io_options, &f->io, &f->diagnostic) != STATUS_OK) f->io = NULL;
    f->options = (struct store_options){.dir = f->dir};
    if (f->io != NULL) assert_status(fixture_open(f), STATUS_OK);
    *state = f;
    return 0;
}

static void set_flag(void *ctx) {
    *(bool *)ctx = true;
}

static void run_until(struct fixture *f, const bool *done) {
    while (!*done)
        io_turn(f->io, NS_PER_S);
}

static void fixture_shutdown(struct fixture *f) {
    bool done = false;
    store_shutdown(f->store, set_flag, &done);
    run_until(f, &done);
    store_close(f->store);
    f->store = NULL;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    if (f->io != NULL) {
        if (f->store != NULL) fixture_shutdown(f);
        io_free(f->io);
    }
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", f->dir);
    int status = system(command);
    mem_free(f);
    return status;
}

static struct fixture *fixture_of(void **state) {
    struct fixture *f = *state;
    if (f->io == NULL) skip();
    return f;
}

/* ---- writes that wait -------------------------------------------------------------------------------- */

struct waiting_write {
    struct store_write write;
    bool done;
};

static void write_done(struct store_write *write) {
    CONTAINER_OF(write, struct waiting_write, write)->done = true;
}

static void waiting_init(struct waiting_write *w) {
    store_write_init(&w->write, write_done);
    w->done = false;
}

static enum status waiting_finish(struct fixture *f, struct waiting_write *w) {
    store_write_submit(f->store, &w->write);
    assert_false(w->done);
    run_until(f, &w->done);
    enum status status = w->write.status;
    store_write_release(&w->write);
    return status;
}

static enum status put(struct fixture *f, const char *key, const char *value) {
    struct waiting_write w;
    waiting_init(&w);
    store_put(&w.write, slice_from_text(key), (struct shared_slice){slice_from_text(value), NULL});
    return waiting_finish(f, &w);
}

static void expect(struct fixture *f, const char *key, const char *expected) {
    struct shared_slice value;
    enum status status = store_get_blocking(f->store, slice_from_text(key), &value);
    if (expected == NULL) {
        assert_status(status, STATUS_NOT_FOUND);
        return;
    }
    assert_status(status, STATUS_OK);
    assert_slice_equal(value.bytes, slice_from_text(expected));
    shared_slice_unref(value);
}

static void flush_done(void *ctx, enum status status) {
    assert_status(status, STATUS_OK);
    *(bool *)ctx = true;
}

static void flush(struct fixture *f) {
    bool done = false;
    store_flush(f->store, flush_done, &done);
    run_until(f, &done);
}

/* ---- tests ------------------------------------------------------------------------------------------- */

static void what_was_put_is_there_after_reopening(void **state) {
    struct fixture *f = fixture_of(state);
    assert_status(put(f, "apple", "red"), STATUS_OK);
    assert_status(put(f, "pear", "green"), STATUS_OK);
    assert_status(put(f, "apple", "yellow"), STATUS_OK);
    expect(f, "apple", "yellow");
    fixture_shutdown(f);
    assert_status(fixture_open(f), STATUS_OK);
    expect(f, "apple", "yellow");
    expect(f, "pear", "green");
    expect(f, "plum", NULL);
}

static void it_is_also_there_after_flushing(void **state) {
    struct fixture *f = fixture_of(state);
    assert_status(put(f, "apple", "red"), STATUS_OK);
    flush(f);
    expect(f, "apple", "red");
    struct waiting_write w;
    waiting_init(&w);
    store_delete(&w.write, slice_from_text("apple"));
    assert_status(waiting_finish(f, &w), STATUS_OK);
    expect(f, "apple", NULL);
    flush(f);
    expect(f, "apple", NULL);
    fixture_shutdown(f);
    assert_status(fixture_open(f), STATUS_OK);
    expect(f, "apple", NULL);
}

static void a_range_is_deleted_in_memory_and_in_tables(void **state) {
    struct fixture *f = fixture_of(state);
    const char *keys[] = {"a", "b", "c", "d", "e"};
    for (size_t i = 0; i < 5; i++)
        assert_status(put(f, keys[i], "x"), STATUS_OK);
    flush(f);
    assert_status(put(f, "cc", "y"), STATUS_OK);
    struct waiting_write w;
    waiting_init(&w);
    store_delete_range(&w.write, slice_from_text("b"), slice_from_text("d"));
    assert_status(waiting_finish(f, &w), STATUS_OK);
    for (int round = 0; round < 3; round++) {
        expect(f, "a", "x");
        expect(f, "b", NULL);
        expect(f, "c", NULL);
        expect(f, "cc", NULL);
        expect(f, "d", "x");
        if (round == 0) flush(f);
        if (round == 1) {
            fixture_shutdown(f);
            assert_status(fixture_open(f), STATUS_OK);
        }
    }
    assert_status(put(f, "c", "again"), STATUS_OK);
    expect(f, "c", "again");
}

static void a_group_of_changes_has_one_order(void **state) {
    struct fixture *f = fixture_of(state);
    struct waiting_write w;
    waiting_init(&w);
    store_put(&w.write, slice_from_text("k"), (struct shared_slice){SLICE_LITERAL("1"), NULL});
    store_delete_range(&w.write, slice_from_text("a"), slice_from_text("z"));
    store_put(&w.write, slice_from_text("k"), (struct shared_slice){SLICE_LITERAL("2"), NULL});
    store_put(&w.write, slice_from_text("m"), (struct shared_slice){SLICE_LITERAL("3"), NULL});
    store_delete(&w.write, slice_from_text("m"));
    assert_status(waiting_finish(f, &w), STATUS_OK);
    expect(f, "k", "2");
    expect(f, "m", NULL);
}

static void a_large_value_is_kept_by_reference(void **state) {
    struct fixture *f = fixture_of(state);
    struct buffer *value = buffer_new(3 * MIB);
    for (size_t i = 0; i < value->size; i++)
        value->data[i] = (uint8_t)(i * 131 >> 3);
    struct waiting_write w;
    waiting_init(&w);
    store_put(&w.write, SLICE_LITERAL("big"),
              (struct shared_slice){slice_make(value->data, value->size), value});
    assert_status(waiting_finish(f, &w), STATUS_OK);
    for (int round = 0; round < 3; round++) {
        struct shared_slice read;
        assert_status(store_get_blocking(f->store, SLICE_LITERAL("big"), &read), STATUS_OK);
        assert_int_equal(read.owner == value, round == 0);
        assert_slice_equal(read.bytes, slice_make(value->data, value->size));
        shared_slice_unref(read);
        if (round == 0) flush(f);
        if (round == 1) {
            fixture_shutdown(f);
            assert_status(fixture_open(f), STATUS_OK);
        }
    }
    buffer_unref(value);
}

static void many_writes_share_few_syncs(void **state) {
    struct fixture *f = fixture_of(state);
    enum { COUNT = 500 };
    struct waiting_write *writes = mem_calloc(COUNT, sizeof *writes);
    for (int i = 0; i < COUNT; i++) {
        waiting_init(&writes[i]);
        char key[16];
        snprintf(key, sizeof key, "key%05d", i);
        store_put(&writes[i].write, slice_from_text(key), (struct shared_slice){SLICE_LITERAL("v"), NULL});
        store_write_submit(f->store, &writes[i].write);
    }
    run_until(f, &writes[COUNT - 1].done);
    for (int i = 0; i < COUNT; i++) {
        assert_true(writes[i].done);
        assert_status(writes[i].write.status, STATUS_OK);
        store_write_release(&writes[i].write);
    }
    mem_free(writes);
    struct store_stats stats;
    store_stats(f->store, &stats);
    assert_int_equal(stats.write_batches, COUNT);
    assert_in_range(stats.wal_syncs, 1, 3);
}

static void an_iterator_sees_the_store_as_it_was(void **state) {
    struct fixture *f = fixture_of(state);
    assert_status(put(f, "b", "1"), STATUS_OK);
    assert_status(put(f, "d", "1"), STATUS_OK);
    struct store_iterator *it = store_iterator_open(f->store, SLICE_LITERAL("a"), SLICE_LITERAL("e"),
                                                    STORE_ITERATOR_BLOCKING, NULL, NULL);
    assert_status(put(f, "c", "2"), STATUS_OK);
    assert_status(put(f, "d", "2"), STATUS_OK);
    flush(f);
    assert_status(store_iterator_seek(it, SLICE_EMPTY), STATUS_OK);
    assert_slice_equal(store_iterator_key(it), SLICE_LITERAL("b"));
    assert_status(store_iterator_next(it), STATUS_OK);
    assert_slice_equal(store_iterator_key(it), SLICE_LITERAL("d"));
    assert_slice_equal(store_iterator_value(it).bytes, SLICE_LITERAL("1"));
    assert_status(store_iterator_next(it), STATUS_END);
    assert_status(store_iterator_seek_prev(it, SLICE_LITERAL("zzz")), STATUS_OK);
    assert_slice_equal(store_iterator_key(it), SLICE_LITERAL("d"));
    store_iterator_close(it);
}

/* A scan of everything, with and without saying that it is one, costs those who read the same few keys again
 * and again nothing: what they need stays in the block cache. */
static void a_scan_leaves_hot_keys_in_the_cache(void **state) {
    enum { KEYS = 20000, HOT = 50, VALUE = 304 };
    struct fixture *f = fixture_of(state);
    fixture_shutdown(f);
    f->options.cache_bytes = 1 * MIB; /* a sixth of what is stored */
    assert_status(fixture_open(f), STATUS_OK);
    uint8_t key[8], value[VALUE] = {1};
    struct waiting_write w;
    waiting_init(&w);
    for (uint64_t i = 0; i < KEYS; i++) {
        store_be64(key, i);
        for (size_t b = 0; b < VALUE; b += 8)
            store_be64(value + b, (i + b) * 0x9e3779b97f4a7c15u); /* nothing to compress */
        store_put(&w.write, slice_make(key, sizeof key),
                  (struct shared_slice){slice_make(value, VALUE), NULL});
    }
    assert_status(waiting_finish(f, &w), STATUS_OK);
    flush(f);
    for (int round = 0; round < 6; round++) {
        struct store_stats before, after;
        store_stats(f->store, &before);
        for (uint64_t i = 0; i < HOT; i++) {
            struct shared_slice found;
            store_be64(key, i * (KEYS / HOT));
            assert_status(store_get_blocking(f->store, slice_make(key, sizeof key), &found), STATUS_OK);
            shared_slice_unref(found);
        }
        store_stats(f->store, &after);
        if (round < 3) continue;
        assert_int_equal(after.reads, before.reads); /* before the scans, and after each */
        assert_in_range(after.cache_bytes, 1, f->options.cache_bytes);
        uint64_t count = 0;
        struct store_iterator *it = store_iterator_open(
            f->store, SLICE_EMPTY, SLICE_EMPTY,
            STORE_ITERATOR_BLOCKING | (round == 3 ? 0 : STORE_ITERATOR_SEQUENTIAL), NULL, NULL);
        for (enum status status = store_iterator_seek(it, SLICE_EMPTY); status == STATUS_OK;
             status = store_iterator_next(it))
            count++;
        store_iterator_close(it);
        assert_int_equal(count, KEYS);
    }
}

static void one_directory_serves_one_process(void **state) {
    struct fixture *f = fixture_of(state);
    struct store *second;
    struct diagnostic diagnostic;
    assert_status(store_open(f->io, &f->options, &second, &diagnostic), STATUS_LOCKED);
    assert_non_null(strstr(diagnostic.text, f->dir));
}

static void after_shutdown_writes_are_refused(void **state) {
    struct fixture *f = fixture_of(state);
    bool done = false;
    store_shutdown(f->store, set_flag, &done);
    assert_status(put(f, "late", "x"), STATUS_CLOSED);
    run_until(f, &done);
    store_close(f->store);
    f->store = NULL;
}

static void a_directory_of_a_newer_version_is_left_alone(void **state) {
    struct fixture *f = fixture_of(state);
    assert_status(put(f, "a", "1"), STATUS_OK);
    fixture_shutdown(f);
    struct layout_path path = layout_path(f->dir, LAYOUT_MANIFEST, 0);
    FILE *file = fopen(path.text, "r+b");
    assert_non_null(file);
    uint8_t header[40]; /* docs/formats.md: version at 8, checksum of all but itself at 12 */
    assert_int_equal(fread(header, 1, sizeof header, file), sizeof header);
    store_le32(header + 8, LAYOUT_VERSION + 1);
    store_le32(header + 12, crc32c(crc32c(0, header, 12), header + 16, 24));
    rewind(file);
    assert_int_equal(fwrite(header, 1, sizeof header, file), sizeof header);
    fclose(file);
    assert_status(fixture_open(f), STATUS_VERSION);
    assert_non_null(strstr(f->diagnostic.text, "newer"));
    f->store = NULL;
}

static void an_unlogged_store_keeps_what_was_flushed(void **state) {
    struct fixture *f = fixture_of(state);
    assert_status(put(f, "a", "1"), STATUS_OK);
    fixture_shutdown(f);
    f->options.unlogged = true;
    assert_status(fixture_open(f), STATUS_INVALID); /* a log lies there */
    assert_non_null(strstr(f->diagnostic.text, "log"));
    f->store = NULL;

    char dir[80];
    snprintf(dir, sizeof dir, "%s/unlogged", f->dir);
    f->options.dir = dir;
    assert_status(fixture_open(f), STATUS_OK);
    assert_status(put(f, "a", "2"), STATUS_OK);
    flush(f);
    assert_status(put(f, "b", "3"), STATUS_OK);
    expect(f, "a", "2");
    expect(f, "b", "3");
    struct store_stats stats;
    store_stats(f->store, &stats);
    assert_int_equal(stats.wal_syncs, 0);
    fixture_shutdown(f);
    f->options.unlogged = false;
    assert_status(fixture_open(f), STATUS_OK); /* what was lost is not taken for damage */
    expect(f, "a", "2");
    expect(f, "b", NULL);
    assert_status(put(f, "b", "4"), STATUS_OK);
    fixture_shutdown(f);
    assert_status(fixture_open(f), STATUS_OK);
    expect(f, "b", "4");
    fixture_shutdown(f);
    f->options.dir = f->dir;
    f->store = NULL;
}

/* ---- the page cache ------------------------------------------------------------------------------------ */

#define PAGE (4 * KIB)

static int cached_file(const struct fixture *f, uint64_t number, uint64_t size) {
    struct layout_path path = layout_path(f->dir, LAYOUT_LOG, number);
    int descriptor = open(path.text, O_RDWR | O_CREAT, 0600);
    uint8_t *bytes = mem_calloc(1, 64 * KIB);
    /* In pieces: the kernel forgets whole folios only, and makes large ones of large writes. */
    for (uint64_t at = 0; at < size; at += 64 * KIB)
        assert_int_equal(pwrite(descriptor, bytes, 64 * KIB, (off_t)at), 64 * KIB);
    mem_free(bytes);
    assert_int_equal(fdatasync(descriptor), 0);
    return descriptor;
}

/* Reading to find out would bring pages in. */
static size_t pages_cached(int descriptor, uint64_t from, uint64_t to) {
    static unsigned char held[2 * WAL_COLD_BYTES / PAGE];
    size_t count = 0, pages = (to - from) / PAGE;
    void *map = mmap(NULL, to - from, PROT_READ, MAP_SHARED, descriptor, (off_t)from);
    assert_true(map != MAP_FAILED);
    assert_int_equal(mincore(map, to - from, held), 0);
    for (size_t i = 0; i < pages; i++)
        count += held[i] & 1;
    munmap(map, to - from);
    return count;
}

static void what_is_cold_leaves_the_page_cache(void **state) {
    struct fixture *f = fixture_of(state);
    struct statfs facts;
    assert_int_equal(statfs(f->dir, &facts), 0);
    if (facts.f_type == TMPFS_MAGIC) skip(); /* nothing ever leaves */
    int older = cached_file(f, 76, WAL_COLD_BYTES), descriptor = cached_file(f, 77, 2 * WAL_COLD_BYTES);
    bool told = false;
    struct wal_cold cold;
    wal_cold_init(&cold, f->io, f->dir, set_flag, &told);
    wal_cold_add(&cold, 78, 0, 1); /* of a file that is gone */
    for (uint64_t at = 0; at < WAL_COLD_BYTES; at += WAL_COLD_BYTES / 8) {
        assert_false(cold.running);
        wal_cold_add(&cold, 77, at, WAL_COLD_BYTES / 8);
    }
    assert_true(cold.running);
    run_until(f, &told);
    assert_false(cold.running);
    assert_in_range(pages_cached(descriptor, 0, WAL_COLD_BYTES), 0, WAL_COLD_BYTES / PAGE / 8);
    size_t kept = pages_cached(descriptor, WAL_COLD_BYTES, 2 * WAL_COLD_BYTES);
    /* Short of memory, the kernel takes what is older first. */
    if (pages_cached(older, 0, WAL_COLD_BYTES) == WAL_COLD_BYTES / PAGE)
        assert_in_range(kept, WAL_COLD_BYTES / PAGE * 3 / 4, WAL_COLD_BYTES / PAGE);
    close(older);
    close(descriptor);
}

/* Many small groups fill the table long before their bytes are many. */
static void small_cold_ranges_do_not_pile_up(void **state) {
    struct fixture *f = fixture_of(state);
    bool told = false;
    struct wal_cold cold;
    wal_cold_init(&cold, f->io, f->dir, set_flag, &told);
    for (int round = 0; round < 3; round++) {
        for (uint64_t i = 0; i < 2 * WAL_COLD_RANGES;
             i++) /* more than it can hold while a job is under way */
            wal_cold_add(&cold, 78, i * WAL_COLD_STRETCH_MIN, WAL_COLD_STRETCH_MIN);
        assert_true(cold.running);
        while (cold.running) {
            told = false;
            run_until(f, &told);
        }
        assert_int_equal(cold.gathered_count, 0);
    }
}

#define MIXED_COUNT 32
#define MIXED_BYTES (64 * KIB)

/* They change places in a group of the log. */
static void cold_values_are_read_like_others(void **state) {
    struct fixture *f = fixture_of(state);
    struct waiting_write *writes = mem_calloc(MIXED_COUNT, sizeof *writes);
    char key[32];
    for (size_t i = 0; i < MIXED_COUNT; i++) {
        struct buffer *value = buffer_new(MIXED_BYTES);
        memset(value->data, (int)i, MIXED_BYTES);
        waiting_init(&writes[i]);
        writes[i].write.cold = i % 2 == 0;
        snprintf(key, sizeof key, "%zu", i);
        store_put(&writes[i].write, slice_from_text(key),
                  (struct shared_slice){slice_make(value->data, MIXED_BYTES), value});
        buffer_unref(value);
        store_write_submit(f->store, &writes[i].write);
    }
    for (size_t i = 0; i < MIXED_COUNT; i++) {
        run_until(f, &writes[i].done);
        assert_status(writes[i].write.status, STATUS_OK);
        store_write_release(&writes[i].write);
    }
    mem_free(writes);
    for (int flushed = 0; flushed < 2; flushed++) {
        fixture_shutdown(f); /* from the log, then from tables */
        assert_status(fixture_open(f), STATUS_OK);
        for (size_t i = 0; i < MIXED_COUNT; i++) {
            struct shared_slice value;
            snprintf(key, sizeof key, "%zu", i);
            assert_status(store_get_blocking(f->store, slice_from_text(key), &value), STATUS_OK);
            assert_int_equal(value.bytes.size, MIXED_BYTES);
            for (size_t at = 0; at < MIXED_BYTES; at += KIB)
                assert_int_equal(value.bytes.data[at], i);
            shared_slice_unref(value);
        }
        if (flushed == 0) flush(f);
    }
}

#define STORE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        STORE_TEST(what_was_put_is_there_after_reopening),
        STORE_TEST(it_is_also_there_after_flushing),
        STORE_TEST(a_range_is_deleted_in_memory_and_in_tables),
        STORE_TEST(a_group_of_changes_has_one_order),
        STORE_TEST(a_large_value_is_kept_by_reference),
        STORE_TEST(many_writes_share_few_syncs),
        STORE_TEST(an_iterator_sees_the_store_as_it_was),
        STORE_TEST(a_scan_leaves_hot_keys_in_the_cache),
        STORE_TEST(one_directory_serves_one_process),
        STORE_TEST(after_shutdown_writes_are_refused),
        STORE_TEST(a_directory_of_a_newer_version_is_left_alone),
        STORE_TEST(an_unlogged_store_keeps_what_was_flushed),
        STORE_TEST(what_is_cold_leaves_the_page_cache),
        STORE_TEST(small_cold_ranges_do_not_pile_up),
        STORE_TEST(cold_values_are_read_like_others),
    };
    int failed = 0;
    for (int i = 0; i < 2; i++) {
        backend = i == 0 ? IO_BACKEND_POSIX : IO_BACKEND_URING;
        failed += cmocka_run_group_tests_name(i == 0 ? "store on posix" : "store on uring", tests, NULL,
                                              NULL);
    }
    return failed;
}
