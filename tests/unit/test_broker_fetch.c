// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/units.h"
#include "lib/broker_world.h"
#include "lib/test.h"

static int setup(void **state) {
    struct broker_world *w = mem_calloc(1, sizeof *w);
    broker_world_open(w, 13);
    assert_status(broker_world_create(w, "t", 3, NULL), STATUS_OK);
    *state = w;
    return 0;
}

static struct world_append append;
static struct world_fetch fetch;

static size_t add(struct broker_world *w, int partition, int count, size_t size) {
    struct batch_spec spec = {.count = count, .value_size = size, .timestamp = 1};
    assert_status(broker_world_append(w, &append, "t", partition, &spec), STATUS_OK);
    struct buffer *batch = broker_world_batch(&spec);
    size_t bytes = batch->size;
    buffer_unref(batch);
    return bytes;
}

/* 60 records in partition 0, in tables by now. */
static void add_on_disk(struct broker_world *w) {
    for (int i = 0; i < 60; i++)
        add(w, 0, 1, 3000);
    for (int i = 0; i < 200; i++)
        add(w, 1, 1, 3000);
}

static uint64_t now_ms(struct broker_world *w) {
    return io_sim_now(w->sim) / NS_PER_MS;
}

/* The simulated machine's own slowness: a turn, a write and a sync. */
#define SLACK_MS 60

/* ---- what is given ---- */

static void an_offset_inside_a_batch_gives_the_whole_batch(void **state) {
    struct broker_world *w = *state;
    add(w, 0, 10, 100);
    add(w, 0, 10, 100);
    for (int64_t offset = 0; offset < 20; offset++) {
        assert_status(broker_world_fetch(w, &fetch, "t", 0, offset), STATUS_OK);
        assert_int_equal(fetch.part.batch_count, offset < 10 ? 2 : 1);
        struct record_batch batch;
        assert_status(record_batch_read(fetch.part.batches[0].bytes, &batch), STATUS_OK);
        assert_int_equal(batch.base_offset, offset < 10 ? 0 : 10);
        assert_int_equal(batch.leader_epoch, 0);
        fetch_release(&fetch.fetch);
    }
}

static void offsets_outside_the_log_are_refused_with_its_bounds(void **state) {
    struct broker_world *w = *state;
    add(w, 0, 10, 100);
    static const int64_t offsets[] = {-1, 11, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < ARRAY_COUNT(offsets); i++) {
        assert_status(broker_world_fetch(w, &fetch, "t", 0, offsets[i]), STATUS_OFFSET_OUT_OF_RANGE);
        assert_int_equal(fetch.part.high_watermark, 10);
        assert_int_equal(fetch.part.log_start_offset, 0);
        fetch_release(&fetch.fetch);
    }
    assert_status(broker_world_fetch(w, &fetch, "t", 0, 10), STATUS_OK); /* the end is a place to wait at */
    assert_int_equal(fetch.part.batch_count, 0);
    fetch_release(&fetch.fetch);
    assert_status(broker_world_fetch(w, &fetch, "t", 3, 0), STATUS_UNKNOWN_TOPIC);
    fetch_release(&fetch.fetch);
    assert_status(broker_world_fetch(w, &fetch, "none", 0, 0), STATUS_UNKNOWN_TOPIC);
    fetch_release(&fetch.fetch);
}

static void a_newer_leader_epoch_than_ours_is_refused(void **state) {
    struct broker_world *w = *state;
    add(w, 0, 1, 100);
    for (int epoch = -1; epoch < 2; epoch++) {
        broker_world_fetch_start(w, &fetch, "t", 0, 0, 1, 0);
        fetch.part.leader_epoch = epoch;
        broker_world_fetch_wait(w, &fetch);
        assert_status(fetch.part.status, epoch <= 0 ? STATUS_OK : STATUS_UNKNOWN_EPOCH);
        fetch_release(&fetch.fetch);
    }
}

static void the_first_batch_is_given_however_large_and_no_more_than_asked_for(void **state) {
    struct broker_world *w = *state;
    size_t size = 0;
    for (int i = 0; i < 10; i++)
        size = add(w, 0, 1, 1000);
    for (int limit = 0; limit < 12; limit++) {
        broker_world_fetch_start(w, &fetch, "t", 0, 0, 1, 0);
        fetch.part.bytes_max = (int32_t)(size * (size_t)limit + 5);
        broker_world_fetch_wait(w, &fetch);
        assert_int_equal(fetch.part.batch_count, MIN(MAX(limit, 1), 10));
        assert_int_equal(fetch.part.bytes, size * fetch.part.batch_count);
        fetch_release(&fetch.fetch);
        broker_world_fetch_start(w, &fetch, "t", 0, 0, 1, 0);
        fetch.fetch.bytes_max = (int32_t)(size * (size_t)limit + 5);
        broker_world_fetch_wait(w, &fetch);
        assert_int_equal(fetch.part.batch_count, MIN(MAX(limit, 1), 10));
        fetch_release(&fetch.fetch);
    }
    static const int32_t odd[] = {0, -1, INT32_MIN};
    for (size_t i = 0; i < ARRAY_COUNT(odd); i++) {
        broker_world_fetch_start(w, &fetch, "t", 0, 0, odd[i], 0);
        fetch.part.bytes_max = fetch.fetch.bytes_max = odd[i];
        broker_world_fetch_wait(w, &fetch);
        assert_int_equal(fetch.part.batch_count, 1);
        fetch_release(&fetch.fetch);
    }
}

static bool *flag_of_fetch;
static void fetch_flag(struct fetch *done) {
    (void)done;
    *flag_of_fetch = true;
}

static void several_partitions_share_the_limit_and_each_has_its_own_answer(void **state) {
    struct broker_world *w = *state;
    size_t size = 0;
    for (int i = 0; i < 30; i++)
        size = add(w, i % 3, 1, 1000);
    broker_world_restart(w);
    bool flag = false;
    flag_of_fetch = &flag;
    struct fetch_partition parts[5];
    for (int i = 0; i < 5; i++)
        parts[i] = (struct fetch_partition){.topic = i == 0 ? SLICE_LITERAL("?") : SLICE_LITERAL("t"),
                                            .partition = i == 4 ? 7 : i - 1,
                                            .offset = i == 3   ? 99
                                                      : i == 2 ? 5
                                                               : 0,
                                            .bytes_max = 1 << 20,
                                            .leader_epoch = -1};
    struct fetch several = {.partitions = parts,
                            .partition_count = 5,
                            .bytes_max = (int32_t)(13 * size + 1),
                            .bytes_min = 1,
                            .wait_max_ms = 1000,
                            .done = fetch_flag};
    broker_fetch(w->broker, &several);
    broker_world_until(w, &flag);
    static const enum status expected[] = {STATUS_UNKNOWN_TOPIC, STATUS_OK, STATUS_OK,
                                           STATUS_OFFSET_OUT_OF_RANGE, STATUS_UNKNOWN_TOPIC};
    for (int i = 0; i < 5; i++)
        assert_status(parts[i].status, expected[i]);
    assert_int_equal(parts[1].batch_count, 10);
    assert_int_equal(parts[2].batch_count, 3); /* what the limit leaves */
    assert_int_equal(parts[3].high_watermark, 10);
    fetch_release(&several);
}

static void only_what_is_durable_is_given(void **state) {
    struct broker_world *w = *state;
    add(w, 0, 1, 100);
    static struct world_append appends[20];
    struct batch_spec spec = {.count = 1, .value_size = 100};
    for (int i = 0; i < 20; i++)
        broker_world_append_start(w, &appends[i], "t", 0, &spec);
    bool all = false;
    while (!all) {
        int durable = 1;
        broker_world_fetch_start(w, &fetch, "t", 0, 0, 1, 0);
        broker_world_fetch_wait(w, &fetch);
        all = true;
        for (int i = 0; i < 20; i++) {
            durable += appends[i].done;
            all = all && appends[i].done;
        }
        assert_true((int)fetch.part.batch_count <= durable);
        assert_int_equal(fetch.part.batch_count, fetch.part.high_watermark);
        fetch_release(&fetch.fetch);
    }
}

static void what_was_fetched_outlives_its_deletion(void **state) {
    struct broker_world *w = *state;
    add(w, 0, 5, 1000);
    assert_status(broker_world_fetch(w, &fetch, "t", 0, 0), STATUS_OK);
    assert_status(broker_world_delete(w, "t"), STATUS_OK);
    broker_world_run(w, 1000);
    struct record_batch batch;
    assert_status(record_batch_read(fetch.part.batches[0].bytes, &batch), STATUS_OK);
    fetch_release(&fetch.fetch);
}

/* ---- waiting ---- */

static void an_empty_log_is_waited_at_until_the_time_is_up(void **state) {
    struct broker_world *w = *state;
    static const uint32_t waits[] = {0, 1, 100, 500, 30000};
    (void)broker_world_info(w, "t", 0);
    for (size_t i = 0; i < ARRAY_COUNT(waits); i++) {
        uint64_t start = now_ms(w);
        broker_world_fetch_start(w, &fetch, "t", 0, 0, 1, waits[i]);
        broker_world_fetch_wait(w, &fetch);
        assert_in_range(now_ms(w) - start, waits[i], waits[i] + SLACK_MS);
        assert_status(fetch.part.status, STATUS_OK);
        assert_int_equal(fetch.part.batch_count, 0);
        fetch_release(&fetch.fetch);
    }
}

static void an_append_wakes_it(void **state) {
    struct broker_world *w = *state;
    for (int i = 0; i < 20; i++) {
        broker_world_fetch_start(w, &fetch, "t", 0, i, 1, 3600000);
        broker_world_run(w, 200);
        assert_false(fetch.done);
        uint64_t start = now_ms(w);
        add(w, 0, 1, 100);
        broker_world_fetch_wait(w, &fetch);
        assert_in_range(now_ms(w) - start, 0, SLACK_MS);
        assert_int_equal(fetch.part.batch_count, 1);
        assert_int_equal(fetch.part.high_watermark, i + 1);
        fetch_release(&fetch.fetch);
        add(w, 1, 1, 100); /* another partition's does not */
    }
}

static void it_waits_for_as_many_bytes_as_it_asked_for(void **state) {
    struct broker_world *w = *state;
    size_t size = add(w, 0, 1, 1000);
    for (int batches = 1; batches < 8; batches++) {
        int64_t from = broker_world_info(w, "t", 0).high_watermark - 1; /* one is there */
        broker_world_fetch_start(w, &fetch, "t", 0, from, (int32_t)(size * (size_t)batches), 3600000);
        broker_world_run(w, 100);
        for (int i = 1; i < batches; i++) {
            assert_false(fetch.done);
            add(w, 0, 1, 1000);
            broker_world_run(w, 100);
        }
        assert_true(fetch.done);
        assert_int_equal(fetch.part.batch_count, batches);
        fetch_release(&fetch.fetch);
    }
    /* What is there is given when the time is up, too. */
    int64_t from = broker_world_info(w, "t", 0).high_watermark - 2;
    uint64_t start = now_ms(w);
    broker_world_fetch_start(w, &fetch, "t", 0, from, 1 << 20, 700);
    broker_world_fetch_wait(w, &fetch);
    assert_in_range(now_ms(w) - start, 700, 700 + SLACK_MS);
    assert_int_equal(fetch.part.batch_count, 2);
    fetch_release(&fetch.fetch);
}

static void bytes_that_the_limits_keep_back_are_not_waited_for(void **state) {
    struct broker_world *w = *state;
    size_t size = 0;
    for (int i = 0; i < 5; i++)
        size = add(w, 0, 1, 1000);
    uint64_t start = now_ms(w);
    broker_world_fetch_start(w, &fetch, "t", 0, 0, (int32_t)(4 * size), 3600000);
    fetch.part.bytes_max = (int32_t)(2 * size); /* four can never be given */
    broker_world_fetch_wait(w, &fetch);
    assert_in_range(now_ms(w) - start, 0, SLACK_MS);
    assert_int_equal(fetch.part.batch_count, 2);
    fetch_release(&fetch.fetch);
}

static void many_waiters_are_woken_by_one_append(void **state) {
    struct broker_world *w = *state;
    enum { COUNT = 300 };
    static struct world_fetch fetches[COUNT];
    for (int i = 0; i < COUNT; i++)
        broker_world_fetch_start(w, &fetches[i], "t", 0, 0, 1, 3600000);
    broker_world_run(w, 500);
    add(w, 0, 1, 100);
    for (int i = 0; i < COUNT; i++) {
        broker_world_fetch_wait(w, &fetches[i]);
        assert_int_equal(fetches[i].part.batch_count, 1);
        /* The same bytes, not three hundred copies. */
        assert_ptr_equal(fetches[i].part.batches[0].bytes.data, fetches[0].part.batches[0].bytes.data);
    }
    for (int i = 0; i < COUNT; i++)
        fetch_release(&fetches[i].fetch);
}

static void a_log_start_that_passes_a_waiting_reader_tells_it(void **state) {
    struct broker_world *w = *state;
    int64_t log_start;
    add(w, 0, 10, 100);
    broker_world_fetch_start(w, &fetch, "t", 0, 10, 1, 3600000);
    broker_world_run(w, 100);
    add(w, 0, 10, 100);
    assert_status(broker_world_delete_records(w, "t", 0, -1, &log_start), STATUS_OK);
    broker_world_fetch_wait(w, &fetch);
    assert_true(fetch.part.status == STATUS_OFFSET_OUT_OF_RANGE || fetch.part.batch_count == 1);
    fetch_release(&fetch.fetch);
}

/* Two topics; the first is deleted while the second is read from the disk. */
static void a_topic_deleted_while_another_is_read_is_told(void **state) {
    struct broker_world *w = *state;
    io_sim_set_read_now(w->sim, 0, 0); /* so that there is a while */
    add_on_disk(w);
    for (int steps = 0; steps < 200; steps++) {
        assert_status(broker_world_create(w, "brief", 1, NULL), STATUS_OK);
        broker_world_restart(w);
        bool flag = false;
        struct fetch_partition parts[] = {{.topic = SLICE_LITERAL("brief"), .bytes_max = 1 << 20},
                                          {.topic = SLICE_LITERAL("t"), .bytes_max = 1 << 20}};
        struct fetch both = {.partitions = parts,
                             .partition_count = 2,
                             .bytes_max = 1 << 24,
                             .bytes_min = 1 << 24,
                             .wait_max_ms = 5000,
                             .done = fetch_flag};
        flag_of_fetch = &flag;
        broker_fetch(w->broker, &both);
        for (int i = 0; i < steps && !flag; i++)
            assert_true(io_sim_step(w->sim));
        assert_status(broker_world_delete(w, "brief"), STATUS_OK);
        broker_world_until(w, &flag);
        assert_status(parts[0].status, STATUS_UNKNOWN_TOPIC);
        assert_status(parts[1].status, STATUS_OK);
        assert_int_equal(parts[1].batch_count, 60);
        fetch_release(&both);
    }
}

/* ---- giving up ---- */

static void a_cancelled_fetch_is_never_answered(void **state) {
    struct broker_world *w = *state;
    add_on_disk(w);
    for (int steps = 0; steps < 300; steps++) {
        broker_world_restart(w);
        broker_world_fetch_start(w, &fetch, "t", 0, steps % 2 == 0 ? 0 : 60, 1, 100);
        for (int i = 0; i < steps && !fetch.done; i++)
            assert_true(io_sim_step(w->sim));
        if (fetch.done) {
            fetch_release(&fetch.fetch);
            continue;
        }
        broker_fetch_cancel(&fetch.fetch);
        broker_world_run(w, 1000);
        assert_false(fetch.done);
    }
}

static void a_shutdown_ends_the_waiting(void **state) {
    struct broker_world *w = *state;
    add(w, 0, 1, 100);
    broker_world_fetch_start(w, &fetch, "t", 0, 1, 1, 3600000);
    broker_world_run(w, 100);
    uint64_t start = now_ms(w);
    broker_world_shutdown(w);
    assert_true(fetch.done);
    assert_in_range(now_ms(w) - start, 0, 1000);
    fetch_release(&fetch.fetch);
}

/* ---- damage ---- */

static void an_unreadable_block_is_told_and_tried_again_later(void **state) {
    struct broker_world *w = *state;
    add_on_disk(w);
    broker_world_restart(w);
    broker_world_run(w, 5000); /* compaction has its rest */
    io_sim_disk_faults(w->sim, 0)->read_error_ppm = 1000000;
    assert_status(broker_world_fetch(w, &fetch, "t", 0, 0), STATUS_IO);
    fetch_release(&fetch.fetch);
    io_sim_disk_faults(w->sim, 0)->read_error_ppm = 0;
    broker_world_run(w, 2000);
    assert_status(broker_world_fetch(w, &fetch, "t", 0, 0), STATUS_OK);
    fetch_release(&fetch.fetch);
    assert_status(broker_world_append(w, &append, "t", 0, &(struct batch_spec){.count = 1}), STATUS_OK);
    assert_int_equal(append.append.base_offset, 60);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, broker_world_teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(an_offset_inside_a_batch_gives_the_whole_batch),
        TEST(offsets_outside_the_log_are_refused_with_its_bounds),
        TEST(a_newer_leader_epoch_than_ours_is_refused),
        TEST(the_first_batch_is_given_however_large_and_no_more_than_asked_for),
        TEST(several_partitions_share_the_limit_and_each_has_its_own_answer),
        TEST(only_what_is_durable_is_given),
        TEST(what_was_fetched_outlives_its_deletion),
        TEST(an_empty_log_is_waited_at_until_the_time_is_up),
        TEST(an_append_wakes_it),
        TEST(it_waits_for_as_many_bytes_as_it_asked_for),
        TEST(bytes_that_the_limits_keep_back_are_not_waited_for),
        TEST(many_waiters_are_woken_by_one_append),
        TEST(a_log_start_that_passes_a_waiting_reader_tells_it),
        TEST(a_topic_deleted_while_another_is_read_is_told),
        TEST(a_cancelled_fetch_is_never_answered),
        TEST(a_shutdown_ends_the_waiting),
        TEST(an_unreadable_block_is_told_and_tried_again_later),
    };
    return cmocka_run_group_tests_name("broker_fetch", tests, NULL, NULL);
}
