// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "base/mem.h"
#include "base/units.h"
#include "lib/broker_world.h"
#include "lib/test.h"

static int setup(void **state) {
    struct broker_world *w = mem_calloc(1, sizeof *w);
    broker_world_open(w, 5);
    w->options.stretch_bytes = 5000;
    w->options.retention_check_ms = 1000;
    broker_world_restart(w);
    *state = w;
    return 0;
}

static struct world_append append;
static struct world_record records[4000];

/* One record of about `size` bytes, its timestamp `age_ms` ago. */
static void add(struct broker_world *w, const char *topic, size_t size, int64_t age_ms) {
    struct batch_spec spec = {.count = 1, .timestamp = io_wall_ms(w->io) - age_ms, .value_size = size};
    assert_status(broker_world_append(w, &append, topic, 0, &spec), STATUS_OK);
}

static int64_t start_of(struct broker_world *w, const char *topic) {
    return broker_world_info(w, topic, 0).log_start_offset;
}

static void old_records_go_stretch_by_stretch_and_then_all_of_them(void **state) {
    struct broker_world *w = *state;
    assert_status(broker_world_create(w, "t", 1, "retention.ms", "10000", NULL), STATUS_OK);
    for (int i = 0; i < 100; i++) {
        add(w, "t", 1000, 0);
        broker_world_run(w, 100);
    }
    assert_int_equal(start_of(w, "t"), 0); /* ten seconds old by now, none older */
    int64_t last = 0;
    for (int second = 1; second <= 10; second++) {
        broker_world_run(w, 1000);
        int64_t start = start_of(w, "t");
        /* Never a record that is younger than the limit; at most a stretch and a check behind it. */
        assert_in_range(start, last, second * 10);
        assert_true(start >= second * 10 - 5 - 10 - 5);
        last = start;
        assert_int_equal(broker_world_read(w, "t", 0, start, records, ARRAY_COUNT(records)), 100 - start);
    }
    broker_world_run(w, 3000);
    assert_int_equal(start_of(w, "t"), 100); /* the open stretch, too: a quiet topic empties */
    struct partition_info info = broker_world_info(w, "t", 0);
    assert_int_equal(info.bytes, 0);
    for (int round = 0; round < 2; round++) {
        broker_world_restart(w);
        info = broker_world_info(w, "t", 0);
        assert_int_equal(info.log_start_offset, 100 + round);
        assert_int_equal(info.high_watermark, 100 + round);
        assert_int_equal(info.bytes, 0);
        add(w, "t", 10, 0);
        broker_world_run(w, 13000);
    }
}

static void the_oldest_go_above_the_size(void **state) {
    struct broker_world *w = *state;
    assert_status(broker_world_create(w, "t", 1, "retention.bytes", "20000", "retention.ms", "-1", NULL),
                  STATUS_OK);
    for (int i = 0; i < 200; i++) {
        add(w, "t", 1000, 1000000); /* age does not matter */
        if (i % 10 != 9) continue;
        broker_world_run(w, 1100);
        struct partition_info info = broker_world_info(w, "t", 0);
        assert_true(info.bytes < 20000 + 6000 + 6000);
        assert_true(i < 20 || info.bytes >= 20000);
        size_t count = (size_t)(info.high_watermark - info.log_start_offset);
        assert_int_equal(broker_world_read(w, "t", 0, info.log_start_offset, records, ARRAY_COUNT(records)),
                         count);
        if (i % 50 == 49) broker_world_restart(w);
        assert_int_equal(broker_world_info(w, "t", 0).bytes, info.bytes); /* counted the same when loaded */
    }
}

static void without_a_limit_everything_stays_and_nothing_is_even_loaded(void **state) {
    struct broker_world *w = *state;
    assert_status(broker_world_create(w, "keep", 1, "retention.ms", "-1", NULL), STATUS_OK);
    assert_status(
        broker_world_create(w, "compact", 1, "cleanup.policy", "compact", "retention.ms", "1", NULL),
        STATUS_OK);
    for (int i = 0; i < 30; i++) {
        add(w, "keep", 1000, 1000000000);
        add(w, "compact", 1000, 1000000000);
    }
    broker_world_restart(w);
    broker_world_run(w, 5000);
    struct broker_stats stats;
    broker_stats(w->broker, &stats);
    assert_int_equal(stats.partitions_loaded, 0);
    assert_int_equal(start_of(w, "keep"), 0);
    assert_int_equal(start_of(w, "compact"), 0);
}

static void one_record_from_the_future_keeps_its_own_stretch_only(void **state) {
    struct broker_world *w = *state;
    assert_status(broker_world_create(w, "t", 1, "retention.ms", "5000", NULL), STATUS_OK);
    for (int i = 0; i < 10; i++)
        add(w, "t", 1000, 0);
    add(w, "t", 1000, -3000000); /* fifty minutes ahead */
    for (int i = 0; i < 30; i++)
        add(w, "t", 1000, 0);
    broker_world_run(w, 10000);
    int64_t start = start_of(w, "t");
    assert_in_range(start, 5, 10); /* what is before it is gone, it is not */
    int64_t offset, found, log_start;
    assert_status(broker_world_list_offset(w, "t", 0, OFFSET_MAX_TIMESTAMP, &offset, &found), STATUS_OK);
    assert_int_equal(offset, 10);
    assert_status(broker_world_delete_records(w, "t", 0, 15, &log_start), STATUS_OK);
    broker_world_run(w, 3000);
    assert_int_equal(start_of(w, "t"), 41);
}

static void records_without_timestamps_age_as_the_broker_sees_it(void **state) {
    struct broker_world *w = *state;
    assert_status(broker_world_create(w, "t", 1, "retention.ms", "5000", NULL), STATUS_OK);
    int64_t none[1] = {-1};
    for (int i = 0; i < 20; i++) {
        struct batch_spec spec = {.count = 1, .timestamps = none, .value_size = 1000};
        assert_status(broker_world_append(w, &append, "t", 0, &spec), STATUS_OK);
    }
    broker_world_run(w, 3000);
    assert_int_equal(start_of(w, "t"), 0);
    broker_world_run(w, 4000);
    assert_int_equal(start_of(w, "t"), 20);
}

static void a_changed_limit_takes_effect(void **state) {
    struct broker_world *w = *state;
    assert_status(broker_world_create(w, "t", 1, NULL), STATUS_OK); /* a week */
    for (int i = 0; i < 20; i++)
        add(w, "t", 1000, 100000);
    broker_world_run(w, 3000);
    assert_int_equal(start_of(w, "t"), 0);
    struct topic_change change = {
        .kind = TOPIC_ALTER_CONFIG, .name = SLICE_LITERAL("t"), .config = topic_config_default()};
    assert_status(
        topic_config_set(&change.config, SLICE_LITERAL("retention.ms"), SLICE_LITERAL("1000"), &w->why),
        STATUS_OK);
    assert_status(broker_world_change(w, &change), STATUS_OK);
    broker_world_run(w, 3000);
    assert_int_equal(start_of(w, "t"), 20);
}

/* The log start that any client was told never goes back, wherever the power fails. */
static void the_log_start_never_goes_back(void **state) {
    struct broker_world *w = *state;
    assert_status(broker_world_create(w, "t", 1, "retention.ms", "2000", NULL), STATUS_OK);
    struct prng prng;
    prng_init(&prng, 3);
    int64_t told = 0;
    for (int round = 0; round < 150; round++) {
        for (int i = 0; i < 8; i++)
            add(w, "t", 1000, 0);
        uint64_t steps = prng_below(&prng, 3000);
        for (uint64_t i = 0; i < steps; i++) {
            assert_true(io_sim_step(w->sim));
            int64_t start = start_of(w, "t");
            assert_true(start >= told);
            told = start;
        }
        broker_world_crash(w, prng_chance(&prng, 1, 2) ? IO_SIM_CRASH_POWER_BARE : IO_SIM_CRASH_POWER);
        broker_world_start(w);
        int64_t start = start_of(w, "t");
        assert_true(start >= told);
        told = start;
        struct partition_info info = broker_world_info(w, "t", 0);
        assert_int_equal(info.high_watermark, (round + 1) * 8);
        assert_int_equal(broker_world_read(w, "t", 0, start, records, ARRAY_COUNT(records)),
                         info.high_watermark - start);
    }
    assert_true(told > 100);
}

/* What a crash leaves behind between the two writes of a deletion is cleared away at the next load. */
static void deleted_records_leave_no_bytes_behind(void **state) {
    struct broker_world *w = *state;
    assert_status(broker_world_create(w, "t", 1, "retention.ms", "-1", NULL), STATUS_OK);
    for (int steps = 0; steps < 40; steps++) {
        for (int i = 0; i < 5; i++)
            add(w, "t", 100, 0);
        struct delete_records request = {.topic = SLICE_LITERAL("t"), .offset = -1};
        broker_delete_records(w->broker, &request);
        int64_t before = start_of(w, "t");
        for (int i = 0; i < steps && start_of(w, "t") == before && request.trim != NULL; i++)
            assert_true(io_sim_step(w->sim));
        broker_world_crash(w, IO_SIM_CRASH_POWER_BARE);
        broker_world_start(w);
        int64_t start = start_of(w, "t");
        broker_world_run(w, 100);
        /* Group 1 is the topic's: its log must begin at the log start. */
        uint8_t lower[9] = {0, 0, 0, 0, 0, 0, 0, 1, 2}, upper[9] = {0, 0, 0, 0, 0, 0, 0, 1, 3};
        struct store_iterator *it = store_iterator_open(broker_store(w->broker), slice_make(lower, 9),
                                                        slice_make(upper, 9), STORE_ITERATOR_BLOCKING, NULL,
                                                        NULL);
        enum status status = store_iterator_seek(it, slice_make(lower, 9));
        if (status == STATUS_OK) {
            struct slice key = store_iterator_key(it);
            assert_true((int64_t)load_be64(key.data + 9) >= start);
        }
        store_iterator_close(it);
    }
}

static void producers_that_are_idle_for_a_day_are_forgotten(void **state) {
    struct broker_world *w = *state;
    assert_status(broker_world_create(w, "t", 1, NULL), STATUS_OK);
    struct batch_spec first = {.count = 1, .idempotent = true, .producer_id = 4, .sequence = 0},
                      late = {.count = 1, .idempotent = true, .producer_id = 4, .sequence = 9};
    w->options.retention_check_ms = 600000;
    broker_world_restart(w);
    assert_status(broker_world_append(w, &append, "t", 0, &first), STATUS_OK);
    broker_world_run(w, 20 * 3600 * 1000);
    assert_status(broker_world_append(w, &append, "t", 0, &late), STATUS_OUT_OF_ORDER_SEQUENCE);
    broker_world_run(w, 5 * 3600 * 1000);
    broker_world_restart(w); /* the disk forgot it, too */
    assert_status(broker_world_append(w, &append, "t", 0, &late), STATUS_OK);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, broker_world_teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(old_records_go_stretch_by_stretch_and_then_all_of_them),
        TEST(the_oldest_go_above_the_size),
        TEST(without_a_limit_everything_stays_and_nothing_is_even_loaded),
        TEST(one_record_from_the_future_keeps_its_own_stretch_only),
        TEST(records_without_timestamps_age_as_the_broker_sees_it),
        TEST(a_changed_limit_takes_effect),
        TEST(the_log_start_never_goes_back),
        TEST(deleted_records_leave_no_bytes_behind),
        TEST(producers_that_are_idle_for_a_day_are_forgotten),
    };
    return cmocka_run_group_tests_name("broker_retention", tests, NULL, NULL);
}
