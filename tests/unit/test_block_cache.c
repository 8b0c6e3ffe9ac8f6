// SPDX-License-Identifier: Apache-2.0
/* The block cache by itself, over a file of numbered pieces on the simulated disk. */
#include "base/assert.h"
#include "base/crc32c.h"
#include "base/cursor.h"
#include "base/mem.h"
#include "base/units.h"
#include "io/io_sim.h"
#include "lib/test.h"
#include "storage/block_cache.h"

#define PIECE_SIZE ((size_t)1000)
#define SLOT_SIZE  (PIECE_SIZE + BLOCK_TRAILER_SIZE)
#define PIECES     1000u
#define CAPACITY   (100 * KIB) /* some 90 pieces */

struct fixture {
    struct io_sim *sim;
    struct io *io;
    struct block_source source;
    struct block_cache *cache;
};

static void unpinned(struct block_source *source) {
    ASSERT_EQ(source->pins, 0u);
}
static void idle(void *ctx) {
    (void)ctx;
}

static uint8_t *piece_bytes(uint32_t piece) {
    static uint8_t bytes[PIECE_SIZE];
    for (size_t i = 0; i < PIECE_SIZE; i++)
        bytes[i] = (uint8_t)(piece * 7 + i);
    return bytes;
}

static int setup(void **state) {
    struct fixture *f = mem_calloc(1, sizeof *f);
    f->sim = io_sim_new(1);
    f->io = io_sim_node_io(f->sim, 0);
    io_sim_set_read_now(f->sim, 0, 0);
    f->source = (struct block_source){.number = 7, .unpinned = unpinned};
    assert_status(io_file_open(f->io, "pieces", IO_OPEN_WRITE | IO_OPEN_CREATE, &f->source.file), STATUS_OK);
    for (uint32_t i = 0; i < PIECES; i++) {
        uint8_t slot[SLOT_SIZE] = {0};
        memcpy(slot, piece_bytes(i), PIECE_SIZE);
        store_le32(slot + PIECE_SIZE + 1,
                   block_checksum(7, i * SLOT_SIZE, slice_make(slot, PIECE_SIZE), STORE_COMPRESSION_NONE));
        assert_status(io_file_write_at(f->source.file, slice_make(slot, SLOT_SIZE), i * SLOT_SIZE),
                      STATUS_OK);
    }
    f->cache = block_cache_new(f->io, CAPACITY, NULL, idle, NULL);
    *state = f;
    return 0;
}

static int teardown(void **state) {
    struct fixture *f = *state;
    block_cache_free(f->cache);
    io_file_close(f->source.file);
    io_sim_free(f->sim);
    mem_free(f);
    return 0;
}

static struct block_request request_for(struct fixture *f, uint32_t piece, bool meta) {
    return (struct block_request){.source = &f->source,
                                  .offset = piece * SLOT_SIZE,
                                  .size = PIECE_SIZE,
                                  .kind = BLOCK_CHECKED,
                                  .meta = meta};
}

static struct block_request request_for_value(struct fixture *f, uint32_t piece) {
    struct block_request request = request_for(f, piece, false);
    request.kind = BLOCK_VALUE;
    request.crc = crc32c(0, piece_bytes(piece), PIECE_SIZE);
    return request;
}

static void read_request(struct fixture *f, const struct block_request *request) {
    struct shared_slice bytes;
    assert_status(block_cache_read(f->cache, request, NULL, &bytes), STATUS_OK);
    assert_slice_equal(bytes.bytes,
                       slice_make(piece_bytes((uint32_t)(request->offset / SLOT_SIZE)), PIECE_SIZE));
    shared_slice_unref(bytes);
}

static void read_piece(struct fixture *f, uint32_t piece, bool meta) {
    struct block_request request = request_for(f, piece, meta);
    read_request(f, &request);
    assert_in_range(block_cache_counters(f->cache)->bytes, PIECE_SIZE, CAPACITY);
}

/* Pieces of [first, first + count) that are still there; asking is a use. */
static uint32_t held(struct fixture *f, uint32_t first, uint32_t count, bool meta) {
    const struct block_cache_counters *counters = block_cache_counters(f->cache);
    uint64_t before = counters->hits + counters->meta_hits;
    for (uint32_t i = first; i < first + count; i++)
        read_piece(f, i, meta);
    return (uint32_t)(counters->hits + counters->meta_hits - before);
}

static void memory_is_bounded(void **state) {
    struct fixture *f = *state;
    for (uint32_t i = 0; i < PIECES; i++)
        read_piece(f, i, i % 3 == 0);
    const struct block_cache_counters *counters = block_cache_counters(f->cache);
    assert_in_range(counters->bytes, CAPACITY * 9 / 10, CAPACITY);
    assert_true(counters->evictions > PIECES - 110);
    block_cache_forget(f->cache, &f->source);
    assert_int_equal(counters->bytes, 0);
    assert_int_equal(counters->meta_bytes, 0);
}

static void a_scan_does_not_push_out_what_is_used(void **state) {
    struct fixture *f = *state;
    for (int round = 0; round < 2; round++)
        for (uint32_t i = 0; i < 50; i++)
            read_piece(f, i, false);
    for (uint32_t i = 100; i < PIECES; i++)
        read_piece(f, i, false);
    assert_int_equal(held(f, 0, 50, false), 50);
    /* What was used once is what went. */
    assert_true(held(f, 100, 100, false) < 10);
}

static void what_is_used_no_more_makes_room(void **state) {
    struct fixture *f = *state;
    for (int round = 0; round < 3; round++)
        for (uint32_t i = 0; i < 70; i++)
            read_piece(f, i, false);
    for (uint32_t first = 500; first < 560; first += 12) /* what is used changes, some at a time */
        for (int round = 0; round < 3; round++)
            for (uint32_t i = first; i < first + 12; i++)
                read_piece(f, i, false);
    assert_int_equal(held(f, 500, 60, false), 60);
}

static void indexes_and_filters_stay(void **state) {
    struct fixture *f = *state;
    for (uint32_t i = 0; i < 30; i++)
        read_piece(f, i, true);
    for (int round = 0; round < 3; round++) /* hot data alone would fill everything */
        for (uint32_t i = 100; i < 190; i++)
            read_piece(f, i, false);
    for (uint32_t i = 200; i < PIECES; i++)
        read_piece(f, i, false);
    assert_int_equal(held(f, 0, 30, true), 30);
}

static void but_never_more_than_half(void **state) {
    struct fixture *f = *state;
    for (int round = 0; round < 2; round++)
        for (uint32_t i = 0; i < 30; i++)
            read_piece(f, i, false);
    for (uint32_t i = 100; i < 300; i++)
        read_piece(f, i, true);
    assert_int_equal(held(f, 0, 30, false), 30); /* room that is free they may take */
    for (uint32_t i = 400; i < 500; i++)
        read_piece(f, i, false);
    assert_in_range(block_cache_counters(f->cache)->meta_bytes, CAPACITY / 3, CAPACITY / 2);
    assert_int_equal(held(f, 0, 30, false), 30);
    assert_int_equal(held(f, 265, 35, true), 35); /* the youngest of them */
}

struct waiter {
    struct block_wait wait;
    uint32_t told;
};
static void ready(struct block_wait *wait) {
    CONTAINER_OF(wait, struct waiter, wait)->told++;
}

static void one_read_serves_all_who_wait(void **state) {
    struct fixture *f = *state;
    struct waiter waiters[5];
    struct block_request request = request_for(f, 3, false);
    struct shared_slice bytes;
    for (int i = 0; i < 5; i++) {
        waiters[i].told = 0;
        block_wait_init(&waiters[i].wait, ready);
        assert_status(block_cache_read(f->cache, &request, &waiters[i].wait, &bytes), STATUS_PENDING);
    }
    assert_false(block_cache_idle(f->cache));
    block_wait_cancel(&waiters[2].wait); /* one goes away */
    while (!block_cache_idle(f->cache))
        assert_true(io_sim_step(f->sim));
    assert_int_equal(block_cache_counters(f->cache)->reads, 1);
    for (int i = 0; i < 5; i++) {
        assert_int_equal(waiters[i].told, i != 2);
        if (i == 2) continue;
        assert_status(waiters[i].wait.status, STATUS_OK);
        assert_slice_equal(waiters[i].wait.bytes.bytes, slice_make(piece_bytes(3), PIECE_SIZE));
        block_wait_cancel(&waiters[i].wait);
    }
    assert_int_equal(f->source.pins, 0);
    assert_status(block_cache_read(f->cache, &request, NULL, &bytes), STATUS_OK);
    shared_slice_unref(bytes);
    assert_int_equal(block_cache_counters(f->cache)->reads, 1);
}

static void a_value_is_kept_when_it_comes_again(void **state) {
    struct fixture *f = *state;
    const struct block_cache_counters *counters = block_cache_counters(f->cache);
    for (uint32_t i = 0; i < 60; i++)
        read_piece(f, i, false);
    for (uint32_t i = 100; i < PIECES; i++) { /* once each: they pass by */
        struct block_request request = request_for_value(f, i);
        read_request(f, &request);
    }
    assert_int_equal(counters->evictions, 0);
    assert_int_equal(held(f, 0, 60, false), 60);
    struct block_request request = request_for_value(f, 77);
    uint64_t hits = counters->hits;
    read_request(f, &request);
    read_request(f, &request); /* kept from here on */
    assert_int_equal(counters->hits, hits);
    read_request(f, &request);
    assert_int_equal(counters->hits, hits + 1);
}

static void what_the_kernel_has_is_read_at_once(void **state) {
    struct fixture *f = *state;
    io_sim_set_read_now(f->sim, 0, 1000000);
    struct waiter waiter = {.told = 0};
    block_wait_init(&waiter.wait, ready);
    struct block_request request = request_for(f, 5, false);
    struct shared_slice bytes;
    assert_status(block_cache_read(f->cache, &request, &waiter.wait, &bytes), STATUS_OK);
    assert_slice_equal(bytes.bytes, slice_make(piece_bytes(5), PIECE_SIZE));
    shared_slice_unref(bytes);
    assert_true(block_cache_idle(f->cache));
    assert_int_equal(held(f, 5, 1, false), 1);
    request = request_for_value(f, 6); /* and checked like everything else */
    request.crc ^= 1;
    assert_status(block_cache_read(f->cache, &request, &waiter.wait, &bytes), STATUS_CORRUPT);
    /* A stretch goes into the memory that was brought along. */
    request = (struct block_request){.source = &f->source, .size = 100, .kind = BLOCK_RAW};
    request.spare = buffer_new(200);
    assert_status(block_cache_read(f->cache, &request, &waiter.wait, &bytes), STATUS_OK);
    assert_ptr_equal(bytes.owner, request.spare);
    assert_slice_equal(bytes.bytes, slice_make(piece_bytes(0), 100));
    shared_slice_unref(bytes);
    assert_int_equal(waiter.told, 0);
}

static void a_shortcut_leads_to_its_piece_while_it_is_there(void **state) {
    struct fixture *f = *state;
    struct block_shortcut shortcut = {NULL};
    struct block_request request = request_for(f, 8, true);
    read_piece(f, 8, true); /* without it, the first time */
    request.shortcut = &shortcut;
    read_request(f, &request);
    assert_non_null(shortcut.piece);
    uint64_t hits = block_cache_counters(f->cache)->meta_hits;
    read_request(f, &request);
    assert_int_equal(block_cache_counters(f->cache)->meta_hits, hits + 1);
    block_cache_forget(f->cache, &f->source);
    assert_null(shortcut.piece);
    read_request(f, &request);
    assert_non_null(shortcut.piece);
    for (uint32_t i = 100; i < 300; i++) /* others push it out */
        read_piece(f, i, true);
    assert_null(shortcut.piece);
}

static void damage_and_errors_are_not_kept(void **state) {
    struct fixture *f = *state;
    struct block_request request = request_for_value(f, 4);
    struct shared_slice bytes;
    request.crc ^= 1;
    assert_status(block_cache_read(f->cache, &request, NULL, &bytes), STATUS_CORRUPT);
    request = request_for(f, 4, false);
    io_sim_disk_faults(f->sim, 0)->read_error_countdown = 1;
    assert_status(block_cache_read(f->cache, &request, NULL, &bytes), STATUS_IO);
    assert_int_equal(block_cache_counters(f->cache)->bytes, 0);
    assert_status(block_cache_read(f->cache, &request, NULL, &bytes), STATUS_OK);
    shared_slice_unref(bytes);
    request.size--; /* the same place, another size: one of the two references is wrong */
    assert_status(block_cache_read(f->cache, &request, NULL, &bytes), STATUS_CORRUPT);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(memory_is_bounded, setup, teardown),
        cmocka_unit_test_setup_teardown(a_scan_does_not_push_out_what_is_used, setup, teardown),
        cmocka_unit_test_setup_teardown(what_is_used_no_more_makes_room, setup, teardown),
        cmocka_unit_test_setup_teardown(indexes_and_filters_stay, setup, teardown),
        cmocka_unit_test_setup_teardown(but_never_more_than_half, setup, teardown),
        cmocka_unit_test_setup_teardown(one_read_serves_all_who_wait, setup, teardown),
        cmocka_unit_test_setup_teardown(a_value_is_kept_when_it_comes_again, setup, teardown),
        cmocka_unit_test_setup_teardown(what_the_kernel_has_is_read_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_shortcut_leads_to_its_piece_while_it_is_there, setup, teardown),
        cmocka_unit_test_setup_teardown(damage_and_errors_are_not_kept, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
