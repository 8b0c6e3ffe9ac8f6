// SPDX-License-Identifier: Apache-2.0
/* Writers are slowed before they have to be stopped: the control by itself, and in a store whose disk is
 * slow. */
#include "base/mem.h"
#include "io/io_sim.h"
#include "lib/test.h"
#include "storage/pace.h"
#include "storage/store.h"

static void the_rate_falls_from_none_to_zero(void **state) {
    (void)state;
    struct pace_debt debt = {.soft = 100, .hard = 200};
    pace_drained(&debt, 50 * MIB, 0, NS_PER_S, false);
    assert_int_equal(debt.drained, 50 * MIB);
    uint64_t before = PACE_NO_LIMIT;
    for (debt.debt = 0; debt.debt <= 250; debt.debt++) {
        uint64_t rate = pace_rate(&debt);
        if (debt.debt <= 100) assert_true(rate == PACE_NO_LIMIT);
        if (debt.debt > 100 && debt.debt < 200) assert_true(rate > 0 && rate < before);
        if (debt.debt >= 200) assert_int_equal(rate, 0);
        if (debt.debt == 150) assert_int_equal(rate, 50 * MIB); /* as much comes in as goes out */
        before = rate;
    }
}

static void what_is_drained_is_followed_slowly(void **state) {
    (void)state;
    struct pace_debt debt = {.soft = 1, .hard = 2};
    uint64_t now = NS_PER_S;
    pace_drained(&debt, 0, now, now + NS_PER_S, false); /* says nothing */
    assert_int_equal(debt.drained, 0);
    now += NS_PER_S;
    pace_drained(&debt, 50 * MIB, now - NS_PER_S / 2, now, true);
    assert_int_equal(debt.drained, 100 * MIB);
    /* It took a second for these, although their own work began later: something else was in the way. */
    now += NS_PER_S;
    pace_drained(&debt, 20 * MIB, now - NS_PER_S / 10, now, false);
    assert_int_equal(debt.drained, 80 * MIB);
    for (int i = 0; i < 60; i++, now += NS_PER_S)
        pace_drained(&debt, 20 * MIB, now, now + NS_PER_S, false);
    assert_in_range(debt.drained, 20 * MIB, 20 * MIB + 8);
    pace_drained(&debt, UINT64_MAX, now, now, false); /* no overflow */
    assert_true(debt.drained > 20 * MIB);
}

static void what_is_owed_is_paid_off_at_the_rate(void **state) {
    (void)state;
    struct pace pace = {0};
    uint64_t now = NS_PER_S, written = 0;
    while (now < 3 * NS_PER_S) {
        uint64_t wait = pace_wait(&pace, 100 * MIB, now);
        now += wait > PACE_PAUSE_MIN_NS ? wait : 10 * NS_PER_US;
        if (wait > PACE_PAUSE_MIN_NS) continue;
        pace_write(&pace, 64 * KIB);
        written += 64 * KIB;
    }
    assert_in_range(written, 199 * MIB, 201 * MIB);
    /* The rate may change while somebody waits. */
    pace = (struct pace){0};
    pace_write(&pace, 10 * MIB);
    assert_int_equal(pace_wait(&pace, 100 * MIB, now), NS_PER_S / 10);
    assert_int_equal(pace_wait(&pace, 50 * MIB, now + NS_PER_S / 20), NS_PER_S / 10);
    assert_int_equal(pace_wait(&pace, 0, now + NS_PER_S / 10), UINT64_MAX);
    assert_int_equal(pace_wait(&pace, 50 * MIB, now + NS_PER_S), NS_PER_S / 20);
    assert_int_equal(pace_wait(&pace, PACE_NO_LIMIT, now + NS_PER_S), 0);
    assert_int_equal(pace_wait(&pace, 50 * MIB, now + NS_PER_S), 0);
}

/* ---- in a store -------------------------------------------------------------------------------------- */

#define WRITE_BYTES    (16 * KIB)
#define IN_FLIGHT_MAX  128u
#define MEMTABLE_BYTES (512 * KIB)

struct fixture {
    struct io_sim *sim;
    struct io *io;
    struct store *store;
    struct store_write writes[IN_FLIGHT_MAX];
    uint64_t written, resumed;
};

static void open_store(struct fixture *f, uint32_t slow_factor) {
    *f = (struct fixture){.sim = io_sim_new(1)};
    f->io = io_sim_node_io(f->sim, 0);
    struct store_options options = {
        .dir = "data", .memtable_bytes = MEMTABLE_BYTES, .table_bytes = 256 * KIB};
    struct diagnostic why;
    assert_status(store_open(f->io, &options, &f->store, &why), STATUS_OK);
    io_sim_disk_faults(f->sim, 0)->slow_factor = slow_factor;
}

static void write_done(struct store_write *write) {
    assert_status(write->status, STATUS_OK);
}

static void resume(void *ctx) {
    struct fixture *f = ctx;
    f->resumed++;
    assert_false(store_stalled(f->store));
}

/* Small values under random keys: all of them go through flush and compaction. */
static void write_some(struct fixture *f, struct store_write *write) {
    store_write_clear(write);
    uint8_t key[8], value[512];
    for (size_t i = 0; i < WRITE_BYTES / sizeof value; i++, f->written++) {
        store_be64(key, f->written * 0x9e3779b97f4a7c15u);
        memset(value, (int)f->written, sizeof value);
        store_put(write, slice_make(key, sizeof key),
                  (struct shared_slice){slice_make(value, sizeof value), NULL});
    }
    store_write_submit(f->store, write);
}

/* Writes as fast as the store lets it, `in_flight` at a time. */
static struct store_stats write_for(struct fixture *f, size_t in_flight, uint64_t ns) {
    struct store_stats stats;
    store_on_resume(f->store, resume, f);
    uint64_t end = io_now_ns(f->io) + ns;
    while (io_now_ns(f->io) < end) {
        for (size_t i = 0; i < in_flight && !store_stalled(f->store); i++)
            if (list_empty(&f->writes[i].link)) write_some(f, &f->writes[i]);
        io_turn(f->io, NS_PER_MS);
    }
    store_stats(f->store, &stats);
    return stats;
}

static void set_flag(void *ctx) {
    *(bool *)ctx = true;
}

static void close_store(struct fixture *f) {
    bool done = false;
    store_shutdown(f->store, set_flag, &done);
    while (!done)
        io_turn(f->io, NS_PER_S);
    store_close(f->store);
    for (size_t i = 0; i < IN_FLIGHT_MAX; i++)
        store_write_release(&f->writes[i]);
    io_sim_free(f->sim);
}

static void init_writes(struct fixture *f) {
    for (size_t i = 0; i < IN_FLIGHT_MAX; i++)
        store_write_init(&f->writes[i], write_done);
}

static void writers_are_slowed_and_not_stopped(void **state) {
    (void)state;
    for (uint32_t slow = 4; slow <= 16; slow *= 4) {
        struct fixture f;
        open_store(&f, slow);
        init_writes(&f);
        struct store_stats stats = write_for(&f, 8, NS_PER_S);
        assert_true(stats.flushes >= 5 && stats.compactions >= 3);
        assert_true(stats.pauses > 10); /* how many depends on what the disk draws */
        assert_true(stats.stall_ns < NS_PER_S / 50);
        assert_true(stats.stall_took_ns->max < 40 * NS_PER_MS);
        assert_true(histogram_quantile(stats.stall_took_ns, 990) < 20 * NS_PER_MS);
        assert_int_equal(f.resumed, stats.pauses + stats.stalls);
        assert_true(stats.level_runs[0] < 32);
        close_store(&f);
    }
}

/* A disk that does next to nothing: then there is no way but to stop, before memory is full; and when it
 * comes back, so do the writers. */
static void writers_are_stopped_before_memory_is_full(void **state) {
    (void)state;
    struct fixture f;
    open_store(&f, 4000);
    init_writes(&f);
    struct store_stats stats = write_for(&f, IN_FLIGHT_MAX, 20 * NS_PER_S);
    assert_true(store_stalled(f.store) || stats.stalls > 0);
    assert_true(stats.flushes <= 1 && f.written * 512 < 6 * MEMTABLE_BYTES);
    io_sim_disk_faults(f.sim, 0)->slow_factor = 1;
    uint64_t before = f.written;
    stats = write_for(&f, IN_FLIGHT_MAX, 2 * NS_PER_S);
    assert_true(f.written > 2 * before);
    assert_true(stats.stalls > 0 && stats.stall_ns > NS_PER_MS);
    close_store(&f);
}

/* ---- compactions ------------------------------------------------------------------------------------- */

static void flushed(void *ctx, enum status status) {
    assert_status(status, STATUS_OK);
    *(bool *)ctx = true;
}

/* The longest compaction of four flushes of the same keys, each 250 KiB, while somebody reads or nobody does.
 */
static uint64_t compaction_took_ns(uint64_t bytes_per_s, bool busy, bool stop) {
    struct fixture f = {.sim = io_sim_new(1)};
    f.io = io_sim_node_io(f.sim, 0);
    struct store_options options = {
        .dir = "data", .memtable_bytes = 4 * MIB, .compaction_bytes_per_s = bytes_per_s};
    struct diagnostic why;
    assert_status(store_open(f.io, &options, &f.store, &why), STATUS_OK);
    init_writes(&f);
    for (uint32_t i = 0; i < 5 * 32; i++) {
        write_some(&f, &f.writes[0]);
        while (!list_empty(&f.writes[0].link))
            io_turn(f.io, NS_PER_S);
        bool done = false;
        if (i % 32 == 31) store_flush(f.store, flushed, &done);
        while (i % 32 == 31 && !done)
            io_turn(f.io, NS_PER_S);
    }
    struct store_stats stats;
    uint64_t begin = io_now_ns(f.io);
    store_stats(f.store, &stats);
    assert_int_equal(stats.compactions, 0);
    while (stats.compactions == 0 && !(stop && io_now_ns(f.io) - begin > NS_PER_S / 10)) {
        struct shared_slice value;
        if (busy)
            assert_status(store_get_blocking(f.store, slice_from_text("none"), &value), STATUS_NOT_FOUND);
        io_turn(f.io, NS_PER_MS);
        store_stats(f.store, &stats);
    }
    uint64_t took_ns = io_now_ns(f.io) - begin;
    begin = io_now_ns(f.io);
    close_store(&f);
    if (!stop) return took_ns;
    return 0;
}

static void a_compaction_keeps_to_its_rate_while_others_work(void **state) {
    (void)state;
    /* Four tables of level 0 and one below, of 512 entries with 560 bytes or so each: 1.4 MiB, one pause. */
    assert_true(compaction_took_ns(0, true, false) < NS_PER_S / 10);
    assert_in_range(compaction_took_ns(MIB, true, false), NS_PER_S * 9 / 10, 5 * NS_PER_S / 2);
    assert_true(compaction_took_ns(MIB, false, false) < NS_PER_S / 10);
    assert_int_equal(compaction_took_ns(16 * KIB, true, true), 0); /* a shutdown does not wait for it */
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rate_falls_from_none_to_zero),
        cmocka_unit_test(what_is_drained_is_followed_slowly),
        cmocka_unit_test(what_is_owed_is_paid_off_at_the_rate),
        cmocka_unit_test(writers_are_slowed_and_not_stopped),
        cmocka_unit_test(writers_are_stopped_before_memory_is_full),
        cmocka_unit_test(a_compaction_keeps_to_its_rate_while_others_work),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
