// SPDX-License-Identifier: Apache-2.0
/* The contract of io.h: files, by operations that complete and by blocking calls. */
#include <errno.h>
#include <stdio.h>

#include "base/mem.h"
#include "base/units.h"
#include "lib/io_contract.h"

static struct io_file *open_file(struct io_world *world, const char *name, unsigned flags) {
    struct io_file *file = NULL;
    assert_status(io_file_open(world->io, world_path(world, name), flags, &file), STATUS_OK);
    return file;
}

static struct io_file *create_file(struct io_world *world, const char *name) {
    return open_file(world, name, IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_EXCLUSIVE);
}

static void write_text(struct io_world *world, const char *name, const char *text) {
    struct io_file *file = open_file(world, name, IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_TRUNCATE);
    assert_status(io_file_write_at(file, slice_from_text(text), 0), STATUS_OK);
    io_file_close(file);
}

static void assert_text(struct io_world *world, const char *name, const char *text) {
    char found[256] = "";
    size_t size = 0;
    struct io_file *file = open_file(world, name, IO_OPEN_READ);
    assert_status(io_file_read_at(file, found, sizeof found - 1, 0, &size), STATUS_OK);
    io_file_close(file);
    found[size] = 0;
    assert_string_equal(found, text);
}

static uint64_t size_of(struct io_file *file) {
    uint64_t size = UINT64_MAX;
    assert_status(io_file_size(file, &size), STATUS_OK);
    return size;
}

static void fill_pattern(uint8_t *data, size_t size, uint32_t seed) {
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)((i * 2654435761U + seed) >> 13);
}

/* ---- operations ------------------------------------------------------------------------------------- */

static void a_write_gathers_all_its_slices(void **state) {
    struct io_world *world = world_of(state);
    struct io_file *file = create_file(world, "f");
    struct slice slices[] = {SLICE_LITERAL("one, "), SLICE_EMPTY, SLICE_LITERAL("two, "),
                             SLICE_LITERAL("three")};
    struct test_op op;
    test_op_init(&op);
    io_write(world->io, &op.op, file, slices, ARRAY_COUNT(slices), 0);
    assert_false(op.done);
    assert_status(test_op_wait(world, &op), STATUS_OK);
    assert_int_equal(op.op.result, 15);
    assert_int_equal(size_of(file), 15);
    io_file_close(file);
    assert_text(world, "f", "one, two, three");
}

static void a_write_of_nothing_is_done(void **state) {
    struct io_world *world = world_of(state);
    struct io_file *file = create_file(world, "f");
    struct slice empty = SLICE_EMPTY;
    struct test_op write, sync, read;
    test_op_init(&write);
    test_op_init(&sync);
    test_op_init(&read);
    io_write(world->io, &write.op, file, NULL, 0, 0);
    io_write_sync(world->io, &sync.op, file, &empty, 1, 10);
    io_read(world->io, &read.op, file, NULL, 0, 0);
    assert_status(test_op_wait(world, &write), STATUS_OK);
    assert_status(test_op_wait(world, &sync), STATUS_OK);
    assert_status(test_op_wait(world, &read), STATUS_OK);
    assert_int_equal(write.op.result + sync.op.result + read.op.result, 0);
    assert_int_equal(size_of(file), 0);
    io_file_close(file);
}

static void a_read_is_short_only_at_the_end(void **state) {
    struct io_world *world = world_of(state);
    write_text(world, "f", "0123456789");
    struct io_file *file = open_file(world, "f", IO_OPEN_READ);
    const struct { uint64_t offset, result; } rows[] = {{0, 8}, {2, 8}, {3, 7}, {9, 1}, {10, 0}, {1000, 0}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        char data[8];
        struct test_op op;
        test_op_init(&op);
        io_read(world->io, &op.op, file, data, sizeof data, rows[i].offset);
        assert_status(test_op_wait(world, &op), STATUS_OK);
        assert_int_equal(op.op.result, rows[i].result);
        if (op.op.result != 0) assert_memory_equal(data, &"0123456789"[rows[i].offset], op.op.result);
    }
    io_file_close(file);
}

static void written_and_synced_bytes_are_read_back(void **state) {
    struct io_world *world = world_of(state);
    enum { SIZE = 3 * 1024 * 1024 + 17, SLICES = 1500 };
    struct io_file *file = create_file(world, "big");
    uint8_t *data = mem_alloc(SIZE), *back = mem_calloc(1, SIZE);
    struct slice *slices = mem_calloc(SLICES, sizeof *slices);
    fill_pattern(data, SIZE, 1);
    /* More slices than one system call takes. */
    for (size_t i = 0, at = 0; i < SLICES; i++) {
        size_t size = i + 1 == SLICES ? SIZE - at : 2003;
        slices[i] = slice_make(data + at, size);
        at += size;
    }
    struct test_op op, read;
    test_op_init(&op);
    test_op_init(&read);
    io_write_sync(world->io, &op.op, file, slices, SLICES, 5);
    assert_status(test_op_wait(world, &op), STATUS_OK);
    assert_int_equal(op.op.result, SIZE);
    io_read(world->io, &read.op, file, back, SIZE, 5);
    assert_status(test_op_wait(world, &read), STATUS_OK);
    assert_int_equal(read.op.result, SIZE);
    assert_memory_equal(data, back, SIZE);
    mem_free(slices);
    mem_free(back);
    mem_free(data);
    io_file_close(file);
}

static void many_operations_run_side_by_side(void **state) {
    struct io_world *world = world_of(state);
    enum { COUNT = 700, SIZE = 512 }; /* more than a ring holds */
    struct io_file *file = create_file(world, "f");
    struct test_op *ops = mem_calloc(COUNT, sizeof *ops);
    uint8_t *data = mem_alloc(COUNT * SIZE), *back = mem_calloc(COUNT, SIZE);
    struct slice *slices = mem_calloc(COUNT, sizeof *slices);
    fill_pattern(data, COUNT * SIZE, 2);
    for (size_t i = 0; i < COUNT; i++) {
        test_op_init(&ops[i]);
        slices[i] = slice_make(data + i * SIZE, SIZE);
        if (i % 7 == 0)
            io_write_sync(world->io, &ops[i].op, file, &slices[i], 1, i * SIZE);
        else
            io_write(world->io, &ops[i].op, file, &slices[i], 1, i * SIZE);
    }
    for (size_t i = 0; i < COUNT; i++)
        assert_status(test_op_wait(world, &ops[i]), STATUS_OK);
    for (size_t i = 0; i < COUNT; i++) {
        test_op_init(&ops[i]);
        io_read(world->io, &ops[i].op, file, back + i * SIZE, SIZE, i * SIZE);
    }
    for (size_t i = 0; i < COUNT; i++)
        assert_status(test_op_wait(world, &ops[i]), STATUS_OK);
    assert_memory_equal(data, back, COUNT * SIZE);
    struct io_stats stats = io_stats(world->io);
    assert_int_equal(stats.file_writes, COUNT);
    assert_int_equal(stats.file_syncs, COUNT / 7);
    assert_int_equal(stats.file_write_bytes, COUNT * SIZE);
    assert_int_equal(stats.file_read_bytes, COUNT * SIZE);
    mem_free(slices);
    mem_free(back);
    mem_free(data);
    mem_free(ops);
    io_file_close(file);
}

static void a_sync_completes(void **state) {
    struct io_world *world = world_of(state);
    struct io_file *file = create_file(world, "f");
    struct test_op op;
    test_op_init(&op);
    io_sync(world->io, &op.op, file);
    assert_status(test_op_wait(world, &op), STATUS_OK);
    io_file_close(file);
}

static void a_write_to_a_file_open_for_reading_fails(void **state) {
    struct io_world *world = world_of(state);
    write_text(world, "f", "old");
    struct io_file *file = open_file(world, "f", IO_OPEN_READ);
    struct slice bytes = SLICE_LITERAL("new");
    struct test_op op, sync;
    test_op_init(&op);
    test_op_init(&sync);
    io_write(world->io, &op.op, file, &bytes, 1, 0);
    io_write_sync(world->io, &sync.op, file, &bytes, 1, 0);
    assert_status(test_op_wait(world, &op), STATUS_IO);
    assert_int_equal(op.op.os_error, EBADF);
    assert_status(test_op_wait(world, &sync), STATUS_IO);
    assert_int_equal(sync.op.os_error, EBADF);
    assert_status(io_file_write_at(file, bytes, 0), STATUS_IO);
    assert_int_equal(io_last_os_error(), EBADF);
    io_file_close(file);
    assert_text(world, "f", "old");
}

/* ---- blocking calls --------------------------------------------------------------------------------- */

static void open_flags_mean_what_they_say(void **state) {
    struct io_world *world = world_of(state);
    struct io_file *file;
    assert_status(io_file_open(world->io, world_path(world, "f"), IO_OPEN_READ, &file), STATUS_NOT_FOUND);
    assert_int_equal(io_last_os_error(), ENOENT);
    assert_status(io_file_open(world->io, world_path(world, "no/f"), IO_OPEN_WRITE | IO_OPEN_CREATE, &file),
                  STATUS_NOT_FOUND);
    io_file_close(create_file(world, "f"));
    assert_status(io_file_open(world->io, world_path(world, "f"),
                               IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_EXCLUSIVE, &file),
                  STATUS_EXISTS);
    write_text(world, "f", "text");
    file = open_file(world, "f", IO_OPEN_WRITE | IO_OPEN_CREATE);
    assert_int_equal(size_of(file), 4);
    io_file_close(file);
    file = open_file(world, "f", IO_OPEN_WRITE | IO_OPEN_TRUNCATE);
    assert_int_equal(size_of(file), 0);
    io_file_close(file);
    assert_status(io_mkdir(world->io, world_path(world, "d")), STATUS_OK);
    assert_status(io_file_open(world->io, world_path(world, "d"), IO_OPEN_READ, &file), STATUS_INVALID);
    assert_status(io_file_open(world->io, world_path(world, "f/x"), IO_OPEN_READ, &file), STATUS_NOT_FOUND);
    io_file_close(NULL);
}

static void a_direct_file_reads_and_writes_aligned_blocks(void **state) {
    struct io_world *world = world_of(state);
    enum { SIZE = 16384 };
    struct io_file *file = open_file(world, "f", IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_DIRECT);
    uint8_t *data = mem_alloc_aligned(4096, SIZE), *back = mem_alloc_aligned(4096, SIZE);
    fill_pattern(data, SIZE, 3);
    struct slice bytes = slice_make(data, SIZE);
    struct test_op op;
    test_op_init(&op);
    assert_status(io_file_preallocate(file, 4 * SIZE), STATUS_OK);
    io_write_sync(world->io, &op.op, file, &bytes, 1, SIZE);
    assert_status(test_op_wait(world, &op), STATUS_OK);
    size_t size = 0;
    assert_status(io_file_read_at(file, back, SIZE, SIZE, &size), STATUS_OK);
    assert_int_equal(size, SIZE);
    assert_memory_equal(data, back, SIZE);
    assert_int_equal(size_of(file), 4 * SIZE);
    mem_free(data);
    mem_free(back);
    io_file_close(file);
}

/* It may always say no, but never wrong bytes, nor fewer than were asked for. */
static void what_is_read_now_is_what_is_there(void **state) {
    struct io_world *world = world_of(state);
    struct io_file *file = create_file(world, "f");
    enum { SIZE = 20000 };
    uint8_t data[SIZE], back[SIZE];
    fill_pattern(data, SIZE, 5);
    assert_status(io_file_write_at(file, slice_make(data, SIZE), 0), STATUS_OK);
    for (size_t at = 0; at < SIZE; at += 777) {
        memset(back, 0, sizeof back);
        if (io_file_read_now(file, back, SIZE - at, at)) assert_memory_equal(back, data + at, SIZE - at);
        assert_false(io_file_read_now(file, back, SIZE - at + 1, at));
    }
    assert_false(io_file_read_now(file, back, 1, SIZE));
    assert_false(io_file_read_now(file, back, 1, UINT64_MAX - 5));
    io_file_close(file);
}

static void files_grow_with_zeros_and_shrink(void **state) {
    struct io_world *world = world_of(state);
    struct io_file *file = create_file(world, "f");
    char data[8];
    size_t size = 0;
    assert_status(io_file_write_at(file, SLICE_LITERAL("abcd"), 4), STATUS_OK);
    assert_status(io_file_read_at(file, data, 8, 0, &size), STATUS_OK);
    assert_int_equal(size, 8);
    assert_memory_equal(data, "\0\0\0\0abcd", 8);
    assert_status(io_file_truncate(file, 6), STATUS_OK);
    assert_status(io_file_truncate(file, 8), STATUS_OK);
    assert_status(io_file_read_at(file, data, 8, 0, &size), STATUS_OK);
    assert_int_equal(size, 8);
    assert_memory_equal(data, "\0\0\0\0ab\0\0", 8);
    assert_status(io_file_read_at(file, data, 8, 8, &size), STATUS_OK);
    assert_int_equal(size, 0);
    io_file_close(file);
}

static void made_space_is_zeros_and_keeps_what_was_there(struct io_world *world,
                                                         enum status (*make)(struct io_file *file,
                                                                             uint64_t size)) {
    enum { SIZE = 3 * 1024 * 1024 + 5 };
    struct io_file *file = create_file(world, "f");
    uint8_t *data = mem_calloc(1, SIZE), *zeros = mem_calloc(1, SIZE);
    size_t size = 0;
    assert_status(io_file_write_at(file, SLICE_LITERAL("kept"), 0), STATUS_OK);
    enum status status = make(file, SIZE);
    if (status == STATUS_UNSUPPORTED) { /* reserving, on some file systems */
        io_file_close(file);
        mem_free(zeros);
        mem_free(data);
        skip();
    }
    assert_status(status, STATUS_OK);
    assert_status(make(file, 100), STATUS_OK);
    assert_int_equal(size_of(file), SIZE);
    assert_status(io_file_read_at(file, data, SIZE, 0, &size), STATUS_OK);
    assert_int_equal(size, SIZE);
    assert_memory_equal(data, "kept", 4);
    assert_memory_equal(data + 4, zeros, SIZE - 4);
    assert_status(io_file_sync(file), STATUS_OK);
    io_file_drop_cache(file, 0, SIZE);
    assert_status(io_file_read_at(file, data, 4, 0, &size), STATUS_OK);
    assert_memory_equal(data, "kept", 4);
    mem_free(zeros);
    mem_free(data);
    io_file_close(file);
}

static void preallocated_space_is_zeros_and_keeps_what_was_there(void **state) {
    made_space_is_zeros_and_keeps_what_was_there(world_of(state), io_file_preallocate);
}

static void reserved_space_is_zeros_and_keeps_what_was_there(void **state) {
    made_space_is_zeros_and_keeps_what_was_there(world_of(state), io_file_reserve);
}

/* ---- names ------------------------------------------------------------------------------------------ */

struct listing {
    char names[512];
    unsigned files, dirs;
};
static void list_entry(void *ctx, const char *name, bool is_dir) {
    struct listing *listing = ctx;
    size_t size = strlen(listing->names);
    snprintf(listing->names + size, sizeof listing->names - size, "<%s>", name);
    *(is_dir ? &listing->dirs : &listing->files) += 1;
}

static struct listing list(struct io_world *world, const char *name) {
    struct listing listing = {.names = ""};
    assert_status(io_list_dir(world->io, world_path(world, name), list_entry, &listing), STATUS_OK);
    return listing;
}

static void directories_are_made_and_listed(void **state) {
    struct io_world *world = world_of(state);
    assert_status(io_mkdir(world->io, world_path(world, "a/b/c")), STATUS_OK);
    assert_status(io_mkdir(world->io, world_path(world, "a/b/c")), STATUS_OK);
    assert_status(io_mkdir(world->io, world_path(world, "a/b/")), STATUS_OK);
    write_text(world, "a/b/one", "1");
    write_text(world, "a/b/two", "2");
    struct listing listing = list(world, "a/b");
    assert_int_equal(listing.dirs, 1);
    assert_int_equal(listing.files, 2);
    assert_non_null(strstr(listing.names, "<one>"));
    assert_non_null(strstr(listing.names, "<two>"));
    assert_non_null(strstr(listing.names, "<c>"));
    listing = list(world, "a/b/c");
    assert_int_equal(listing.dirs + listing.files, 0);
    assert_status(io_list_dir(world->io, world_path(world, "none"), list_entry, &listing), STATUS_NOT_FOUND);
    assert_status(io_list_dir(world->io, world_path(world, "a/b/one"), list_entry, &listing),
                  STATUS_NOT_FOUND);
    assert_status(io_mkdir(world->io, world_path(world, "a/b/one")), STATUS_EXISTS);
    assert_status(io_mkdir(world->io, world_path(world, "a/b/one/below")), STATUS_EXISTS);
    assert_status(io_sync_dir(world->io, world_path(world, "a/b")), STATUS_OK);
    assert_status(io_sync_dir(world->io, world_path(world, "none")), STATUS_NOT_FOUND);
}

static void a_rename_replaces(void **state) {
    struct io_world *world = world_of(state);
    write_text(world, "old", "old");
    write_text(world, "new", "new");
    struct io_file *replaced = open_file(world, "old", IO_OPEN_READ);
    assert_status(io_rename(world->io, world_path(world, "new"), world_path(world, "old")), STATUS_OK);
    assert_text(world, "old", "new");
    assert_int_equal(list(world, ".").files, 1);
    /* Who has it open still reads the old one. */
    char data[3];
    size_t size = 0;
    assert_status(io_file_read_at(replaced, data, sizeof data, 0, &size), STATUS_OK);
    assert_memory_equal(data, "old", 3);
    io_file_close(replaced);
    assert_status(io_rename(world->io, world_path(world, "none"), world_path(world, "x")), STATUS_NOT_FOUND);
    assert_status(io_rename(world->io, world_path(world, "old"), world_path(world, "old")), STATUS_OK);
    assert_text(world, "old", "new");
}

static void a_rename_minds_what_is_there(void **state) {
    struct io_world *world = world_of(state);
    write_text(world, "file", "f");
    assert_status(io_mkdir(world->io, world_path(world, "empty")), STATUS_OK);
    assert_status(io_mkdir(world->io, world_path(world, "full/below")), STATUS_OK);
    assert_status(io_rename(world->io, world_path(world, "file"), world_path(world, "empty")),
                  STATUS_INVALID);
    assert_status(io_rename(world->io, world_path(world, "empty"), world_path(world, "file")),
                  STATUS_NOT_FOUND);
    assert_status(io_rename(world->io, world_path(world, "empty"), world_path(world, "full")), STATUS_EXISTS);
    assert_status(io_rename(world->io, world_path(world, "full"), world_path(world, "empty")), STATUS_OK);
    assert_int_equal(list(world, "empty").dirs, 1);
    assert_status(io_unlink(world->io, world_path(world, "empty")), STATUS_INVALID);
    assert_status(io_link(world->io, world_path(world, "empty"), world_path(world, "x")), STATUS_DENIED);
}

static void a_link_is_a_second_name(void **state) {
    struct io_world *world = world_of(state);
    write_text(world, "a", "same");
    assert_status(io_link(world->io, world_path(world, "a"), world_path(world, "b")), STATUS_OK);
    assert_status(io_link(world->io, world_path(world, "a"), world_path(world, "b")), STATUS_EXISTS);
    assert_status(io_link(world->io, world_path(world, "none"), world_path(world, "c")), STATUS_NOT_FOUND);
    assert_status(io_unlink(world->io, world_path(world, "a")), STATUS_OK);
    assert_text(world, "b", "same");
}

static void an_unlinked_file_lives_until_closed(void **state) {
    struct io_world *world = world_of(state);
    write_text(world, "f", "text");
    struct io_file *file = open_file(world, "f", IO_OPEN_WRITE);
    assert_status(io_unlink(world->io, world_path(world, "f")), STATUS_OK);
    assert_status(io_unlink(world->io, world_path(world, "f")), STATUS_NOT_FOUND);
    assert_status(io_file_write_at(file, SLICE_LITERAL("TE"), 0), STATUS_OK);
    char data[4];
    size_t size = 0;
    assert_status(io_file_read_at(file, data, sizeof data, 0, &size), STATUS_OK);
    assert_memory_equal(data, "TExt", 4);
    io_file_close(create_file(world, "f"));
    io_file_close(file);
}

static void a_lock_excludes_until_it_is_closed(void **state) {
    struct io_world *world = world_of(state);
    struct io_file *lock, *second;
    assert_status(io_lock_file(world->io, world_path(world, "LOCK"), &lock), STATUS_OK);
    assert_status(io_lock_file(world->io, world_path(world, "LOCK"), &second), STATUS_LOCKED);
    io_file_close(lock);
    assert_status(io_lock_file(world->io, world_path(world, "LOCK"), &second), STATUS_OK);
    io_file_close(second);
    assert_status(io_lock_file(world->io, world_path(world, "none/LOCK"), &lock), STATUS_NOT_FOUND);
}

static void the_disk_has_space(void **state) {
    struct io_world *world = world_of(state);
    uint64_t free_bytes = 0, total_bytes = 0;
    assert_status(io_disk_space(world->io, world_path(world, "."), &free_bytes, &total_bytes), STATUS_OK);
    assert_true(free_bytes > 0 && free_bytes <= total_bytes);
    assert_status(io_disk_space(world->io, world_path(world, "none"), &free_bytes, &total_bytes),
                  STATUS_NOT_FOUND);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_write_gathers_all_its_slices),
        cmocka_unit_test(a_write_of_nothing_is_done),
        cmocka_unit_test(a_read_is_short_only_at_the_end),
        cmocka_unit_test(written_and_synced_bytes_are_read_back),
        cmocka_unit_test(many_operations_run_side_by_side),
        cmocka_unit_test(a_sync_completes),
        cmocka_unit_test(a_write_to_a_file_open_for_reading_fails),
        cmocka_unit_test(open_flags_mean_what_they_say),
        cmocka_unit_test(a_direct_file_reads_and_writes_aligned_blocks),
        cmocka_unit_test(what_is_read_now_is_what_is_there),
        cmocka_unit_test(files_grow_with_zeros_and_shrink),
        cmocka_unit_test(preallocated_space_is_zeros_and_keeps_what_was_there),
        cmocka_unit_test(reserved_space_is_zeros_and_keeps_what_was_there),
        cmocka_unit_test(directories_are_made_and_listed),
        cmocka_unit_test(a_rename_replaces),
        cmocka_unit_test(a_rename_minds_what_is_there),
        cmocka_unit_test(a_link_is_a_second_name),
        cmocka_unit_test(an_unlinked_file_lives_until_closed),
        cmocka_unit_test(a_lock_excludes_until_it_is_closed),
        cmocka_unit_test(the_disk_has_space),
    };
    return io_contract_run("files", tests, ARRAY_COUNT(tests));
}
