// SPDX-License-Identifier: Apache-2.0
/* Offsets by time against brute force, and where records begin. */
#include <stdio.h>

#include "base/mem.h"
#include "base/units.h"
#include "lib/broker_world.h"
#include "lib/test.h"

#define RECORDS_MAX 20000

static int setup(void **state) {
    struct broker_world *w = mem_calloc(1, sizeof *w);
    broker_world_open(w, 9);
    w->options.stretch_bytes = 2000;
    broker_world_restart(w);
    assert_status(broker_world_create(w, "t", 2, "message.timestamp.after.max.ms", "9223372036854775807",
                                      "retention.ms", "-1", NULL),
                  STATUS_OK);
    *state = w;
    return 0;
}

/* ---- the model ---- */

struct model {
    int64_t timestamps[RECORDS_MAX];
    int64_t start, end;
};

static int64_t model_find(const struct model *m, int64_t timestamp) {
    for (int64_t offset = m->start; offset < m->end; offset++)
        if (m->timestamps[offset] >= timestamp) return offset;
    return -1;
}

static int64_t model_newest(const struct model *m) {
    int64_t best = -1;
    for (int64_t offset = m->start; offset < m->end; offset++)
        if (m->timestamps[offset] >= 0 && (best < 0 || m->timestamps[offset] > m->timestamps[best]))
            best = offset;
    return best;
}

static void compare(struct broker_world *w, const struct model *m, int64_t timestamp, int64_t expected) {
    int64_t offset, found;
    assert_status(broker_world_list_offset(w, "t", 0, timestamp, &offset, &found), STATUS_OK);
    if (offset != expected)
        fail_msg("asked for %lld in [%lld, %lld): %lld, but it is %lld", (long long)timestamp,
                 (long long)m->start, (long long)m->end, (long long)offset, (long long)expected);
    assert_int_equal(found, expected < 0 || timestamp == OFFSET_LATEST || timestamp == OFFSET_EARLIEST
                                ? -1
                                : m->timestamps[expected]);
}

static void compare_all(struct broker_world *w, const struct model *m, struct prng *prng) {
    compare(w, m, OFFSET_EARLIEST, m->start);
    compare(w, m, OFFSET_LATEST, m->end);
    compare(w, m, OFFSET_MAX_TIMESTAMP, model_newest(m));
    compare(w, m, 0, model_find(m, 0));
    compare(w, m, INT64_MAX, model_find(m, INT64_MAX));
    for (int i = 0; i < 6 && m->end > m->start; i++) {
        int64_t some = m->timestamps[prng_range(prng, (uint64_t)m->start, (uint64_t)m->end - 1)];
        int64_t around = MAX(some + (int64_t)prng_below(prng, 3) - 1, (int64_t)0);
        compare(w, m, around, model_find(m, around));
    }
}

/* Timestamps that mostly grow, jump back and far ahead, repeat, and are missing. */
static void make_timestamps(struct prng *prng, int64_t *clock, int64_t *timestamps, int count) {
    for (int i = 0; i < count; i++) {
        uint64_t what = prng_below(prng, 40);
        if (what == 0)
            timestamps[i] = *clock + (int64_t)prng_below(prng, 100000);
        else if (what < 4)
            timestamps[i] = *clock - (int64_t)prng_below(prng, MIN((uint64_t)*clock, UINT64_C(5000)));
        else
            timestamps[i] = *clock += (int64_t)prng_below(prng, 30);
    }
    if (prng_chance(prng, 1, 15))
        for (int i = 0; i < count; i++)
            timestamps[i] = -1;
}

static void append_some(struct broker_world *w, struct model *m, struct prng *prng, int64_t *clock,
                        bool answered) {
    static struct world_append appends[8];
    size_t count = prng_range(prng, 1, ARRAY_COUNT(appends));
    for (size_t i = 0; i < count; i++) {
        int records = (int)prng_range(prng, 1, 9);
        assert_true(m->end + records < RECORDS_MAX);
        make_timestamps(prng, clock, m->timestamps + m->end, records);
        struct batch_spec spec = {.count = records,
                                  .timestamps = m->timestamps + m->end,
                                  .codec = (enum record_codec)prng_below(prng, CODEC_COUNT),
                                  .value_size = prng_below(prng, 200)};
        broker_world_append_start(w, &appends[i], "t", 0, &spec);
        m->end += records;
    }
    if (!answered) {
        /* Searches while appends are under way see what is below the high watermark. */
        struct model visible = *m;
        visible.end = broker_world_info(w, "t", 0).high_watermark;
        int64_t offset, found, newest = model_newest(&visible);
        assert_status(broker_world_list_offset(w, "t", 0, OFFSET_MAX_TIMESTAMP, &offset, &found), STATUS_OK);
        assert_int_equal(offset, newest);
    }
    for (size_t i = 0; i < count; i++)
        if (broker_world_append_wait(w, &appends[i]) != STATUS_OK) fail_msg("%s", w->why.text);
}

static void delete_some(struct broker_world *w, struct model *m, struct prng *prng) {
    int64_t offset = (int64_t)prng_range(prng, (uint64_t)m->start, (uint64_t)m->end), log_start;
    /* Mostly a little; now and then most of it. */
    if (!prng_chance(prng, 1, 6)) offset = m->start + (offset - m->start) / 8;
    if (prng_chance(prng, 1, 30)) offset = -1;
    assert_status(broker_world_delete_records(w, "t", 0, offset, &log_start), STATUS_OK);
    m->start = offset == -1 ? m->end : MAX(offset, m->start);
    assert_int_equal(log_start, m->start);
}

static void lookups_by_time_are_exact(void **state) {
    struct broker_world *w = *state;
    static struct model model;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        model = (struct model){.start = 0};
        int64_t clock = 1000;
        assert_status(broker_world_delete(w, "t"), STATUS_OK);
        assert_status(broker_world_create(w, "t", 1, "message.timestamp.after.max.ms", "9223372036854775807",
                                          "retention.ms", "-1", NULL),
                      STATUS_OK);
        compare_all(w, &model, &prng);
        for (int step = 0; step < 150; step++) {
            append_some(w, &model, &prng, &clock, prng_chance(&prng, 1, 2));
            if (prng_chance(&prng, 1, 6)) delete_some(w, &model, &prng);
            if (prng_chance(&prng, 1, 12)) broker_world_restart(w);
            if (prng_chance(&prng, 1, 12)) {
                broker_world_crash(w,
                                   prng_chance(&prng, 1, 2) ? IO_SIM_CRASH_POWER_BARE : IO_SIM_CRASH_POWER);
                broker_world_start(w);
            }
            compare_all(w, &model, &prng);
        }
    }
}

/* The whole index stands between the first and the last record here; each lookup may read one stretch. */
static void a_lookup_reads_one_stretch_of_a_long_log(void **state) {
    struct broker_world *w = *state;
    static struct world_append append;
    for (int i = 0; i < 1500; i++) {
        struct batch_spec spec = {.count = 1, .timestamp = 10 * i, .value_size = 1000};
        assert_status(broker_world_append(w, &append, "t", 0, &spec), STATUS_OK);
    }
    broker_world_restart(w); /* nothing in memtables or cache */
    (void)broker_world_info(w, "t", 0);
    uint64_t before = io_stats(w->io).file_read_bytes;
    int64_t offset, found;
    for (int i = 0; i < 10; i++) {
        assert_status(broker_world_list_offset(w, "t", 0, 10 * (i * 140 + 7) - 3, &offset, &found),
                      STATUS_OK);
        assert_int_equal(offset, i * 140 + 7);
    }
    uint64_t a_lookup = (io_stats(w->io).file_read_bytes - before) / 10;
    assert_true(a_lookup < 100 * KIB); /* of 1.5 MB */
    before = io_stats(w->io).file_read_bytes;
    assert_status(broker_world_list_offset(w, "t", 0, OFFSET_MAX_TIMESTAMP, &offset, &found), STATUS_OK);
    assert_int_equal(offset, 1499);
    assert_true(io_stats(w->io).file_read_bytes - before < 100 * KIB);
}

static void what_cannot_be_looked_up_is_refused(void **state) {
    struct broker_world *w = *state;
    int64_t offset, found;
    assert_status(broker_world_list_offset(w, "t", 2, 0, &offset, &found), STATUS_UNKNOWN_TOPIC);
    assert_status(broker_world_list_offset(w, "none", 0, 0, &offset, &found), STATUS_UNKNOWN_TOPIC);
    assert_status(broker_world_list_offset(w, "t", 0, -4, &offset, &found), STATUS_UNSUPPORTED);
    assert_status(broker_world_list_offset(w, "t", 0, INT64_MIN, &offset, &found), STATUS_UNSUPPORTED);
}

/* ---- cancelling and topics that go away ---- */

static int answers;
static void count_answer(struct list_offset *request) {
    (void)request;
    answers++;
}

static void a_search_can_be_cancelled_and_its_topic_deleted(void **state) {
    struct broker_world *w = *state;
    static struct world_append append;
    io_sim_set_read_now(w->sim, 0, 0); /* so that a search takes a while */
    for (int i = 0; i < 200; i++) {
        struct batch_spec spec = {.count = 1, .timestamp = 10 * i, .value_size = 1000};
        assert_status(broker_world_append(w, &append, "t", 0, &spec), STATUS_OK);
    }
    for (int steps = 0; steps < 60; steps++) {
        broker_world_restart(w);
        struct list_offset request = {
            .topic = SLICE_LITERAL("t"), .timestamp_ms = 1500, .done = count_answer};
        answers = 0;
        broker_list_offset(w->broker, &request);
        for (int i = 0; i < steps && answers == 0 && request.search != NULL; i++)
            assert_true(io_sim_step(w->sim));
        broker_list_offset_cancel(&request);
        broker_world_run(w, 100);
        assert_int_equal(answers, 0);
    }
    broker_world_restart(w);
    struct list_offset request = {.topic = SLICE_LITERAL("t"), .timestamp_ms = 1500, .done = count_answer};
    broker_list_offset(w->broker, &request);
    assert_status(broker_world_delete(w, "t"), STATUS_OK);
    broker_world_run(w, 100);
    assert_int_equal(answers, 1);
    assert_true(request.status == STATUS_OK || request.status == STATUS_UNKNOWN_TOPIC);
    assert_true((request.status == STATUS_OK) == (request.offset == 150));
}

/* ---- what is known without reading the log ---- */

static void count_description(struct partition_ask *ask) {
    (void)ask;
    answers++;
}

static struct partition_ask describe(struct slice topic) {
    return (struct partition_ask){.kind = PARTITION_DESCRIBE, .topic = topic, .done = count_description};
}

/* Cancelled at every step of it; to its end; with its topic deleted, or its disk failing meanwhile. */
static void a_partition_is_loaded_to_be_described(void **state) {
    struct broker_world *w = *state;
    static struct world_append append;
    io_sim_set_read_now(w->sim, 0, 0); /* so that loading takes a while */
    for (int i = 0; i < 200; i++) {
        struct batch_spec spec = {.count = 1, .timestamp = i, .value_size = 1000};
        assert_status(broker_world_append(w, &append, "t", 0, &spec), STATUS_OK);
    }
    for (int steps = 0; steps < 20; steps++) {
        broker_world_restart(w);
        struct partition_ask ask = describe(SLICE_LITERAL("t"));
        answers = 0;
        broker_ask_partition(w->broker, &ask);
        assert_false(list_empty(&ask.waiter.link));
        for (int i = 0; i < steps && answers == 0; i++)
            assert_true(io_sim_step(w->sim));
        bool answered = answers != 0;
        if (!answered) broker_ask_partition_cancel(&ask);
        broker_world_run(w, 100);
        assert_int_equal(answers, answered);
    }
    for (int how = 0; how < 3; how++) {
        broker_world_restart(w);
        struct partition_ask ask = describe(SLICE_LITERAL("t"));
        answers = 0;
        if (how == 1) io_sim_disk_faults(w->sim, 0)->read_error_countdown = 1;
        broker_ask_partition(w->broker, &ask);
        if (how == 2) assert_status(broker_world_delete(w, "t"), STATUS_OK);
        broker_world_run(w, 100);
        assert_int_equal(answers, 1);
        if (how != 2) assert_status(ask.status, how == 0 ? STATUS_OK : STATUS_IO);
        if (how == 0) assert_int_equal(ask.info.high_watermark, 200);
    }
}

/* ---- where records begin ---- */

static void deleted_records_stay_deleted(void **state) {
    struct broker_world *w = *state;
    static struct world_append append;
    static struct world_record records[200];
    int64_t log_start;
    for (int i = 0; i < 50; i++) {
        struct batch_spec spec = {.count = 2, .timestamp = i};
        assert_status(broker_world_append(w, &append, "t", 0, &spec), STATUS_OK);
    }
    assert_status(broker_world_delete_records(w, "t", 0, 101, &log_start), STATUS_OFFSET_OUT_OF_RANGE);
    assert_status(broker_world_delete_records(w, "t", 0, -2, &log_start), STATUS_OFFSET_OUT_OF_RANGE);
    assert_status(broker_world_delete_records(w, "t", 9, 1, &log_start), STATUS_UNKNOWN_TOPIC);
    assert_status(broker_world_delete_records(w, "t", 0, 31, &log_start), STATUS_OK); /* inside a batch */
    assert_int_equal(log_start, 31);
    assert_status(broker_world_delete_records(w, "t", 0, 10, &log_start), STATUS_OK); /* nothing to do */
    assert_int_equal(log_start, 31);
    for (int round = 0; round < 3; round++) {
        struct world_fetch fetch;
        assert_status(broker_world_fetch(w, &fetch, "t", 0, 30), STATUS_OFFSET_OUT_OF_RANGE);
        assert_int_equal(fetch.part.log_start_offset, 31);
        fetch_release(&fetch.fetch);
        assert_int_equal(broker_world_read(w, "t", 0, 31, records, ARRAY_COUNT(records)), 69);
        if (round == 0) broker_world_restart(w);
        if (round != 1) continue;
        broker_world_crash(w, IO_SIM_CRASH_POWER_BARE);
        broker_world_start(w);
    }
    assert_status(broker_world_delete_records(w, "t", 0, -1, &log_start), STATUS_OK);
    assert_int_equal(log_start, 100);
    broker_world_restart(w);
    struct partition_info info = broker_world_info(w, "t", 0);
    assert_int_equal(info.log_start_offset, 100);
    assert_int_equal(info.log_end_offset, 100); /* offsets go on where they were */
    struct batch_spec spec = {.count = 1};
    assert_status(broker_world_append(w, &append, "t", 0, &spec), STATUS_OK);
    assert_int_equal(append.append.base_offset, 100);
}

struct waiting_deletion {
    struct delete_records request;
    bool done;
};

static void deletion_done(struct delete_records *request) {
    CONTAINER_OF(request, struct waiting_deletion, request)->done = true;
}

static void deletions_side_by_side_never_take_each_other_back(void **state) {
    struct broker_world *w = *state;
    static struct world_append append;
    struct batch_spec spec = {.count = 100};
    assert_status(broker_world_append(w, &append, "t", 0, &spec), STATUS_OK);
    static const int64_t offsets[] = {40, 90, 60, 10, 90};
    struct waiting_deletion deletions[ARRAY_COUNT(offsets)];
    for (size_t i = 0; i < ARRAY_COUNT(offsets); i++) {
        deletions[i] = (struct waiting_deletion){
            .request = {.topic = SLICE_LITERAL("t"), .offset = offsets[i], .done = deletion_done}};
        broker_delete_records(w->broker, &deletions[i].request);
    }
    for (size_t i = 0; i < ARRAY_COUNT(offsets); i++) {
        broker_world_until(w, &deletions[i].done);
        assert_status(deletions[i].request.status, STATUS_OK);
        assert_true(deletions[i].request.log_start_offset >= offsets[i]);
    }
    assert_int_equal(broker_world_info(w, "t", 0).log_start_offset, 90);
    broker_world_crash(w, IO_SIM_CRASH_POWER_BARE);
    broker_world_start(w);
    assert_int_equal(broker_world_info(w, "t", 0).log_start_offset, 90);
}

static void a_deletion_that_fails_has_no_effect(void **state) {
    struct broker_world *w = *state;
    static struct world_append append;
    static struct world_record records[200];
    int64_t log_start;
    struct batch_spec spec = {.count = 100};
    assert_status(broker_world_append(w, &append, "t", 0, &spec), STATUS_OK);
    io_sim_disk_faults(w->sim, 0)->sync_error_countdown = 1;
    assert_status(broker_world_delete_records(w, "t", 0, 50, &log_start), STATUS_IO);
    assert_int_equal(broker_world_info(w, "t", 0).log_start_offset, 0);
    assert_int_equal(broker_world_read(w, "t", 0, 0, records, ARRAY_COUNT(records)), 100);
    assert_status(broker_world_delete_records(w, "t", 0, 50, &log_start), STATUS_IO);
    broker_world_crash(w, IO_SIM_CRASH_POWER_BARE);
    broker_world_start(w);
    /* Whether the failed sync left it on the disk, nobody knows. */
    log_start = broker_world_info(w, "t", 0).log_start_offset;
    assert_true(log_start == 0 || log_start == 50);
    assert_int_equal(broker_world_read(w, "t", 0, log_start, records, ARRAY_COUNT(records)), 100 - log_start);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, broker_world_teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(lookups_by_time_are_exact),
        TEST(a_lookup_reads_one_stretch_of_a_long_log),
        TEST(what_cannot_be_looked_up_is_refused),
        TEST(a_search_can_be_cancelled_and_its_topic_deleted),
        TEST(a_partition_is_loaded_to_be_described),
        TEST(deleted_records_stay_deleted),
        TEST(deletions_side_by_side_never_take_each_other_back),
        TEST(a_deletion_that_fails_has_no_effect),
    };
    return cmocka_run_group_tests_name("broker_offsets", tests, NULL, NULL);
}
