// SPDX-License-Identifier: Apache-2.0
/* Compaction by key, against what was sent: of each key the last record stays, at its offset and with its
 * bytes; what else stays is as it was sent; crashes in the middle change nothing of that. */
#include <stdio.h>
#include <stdlib.h>

#include "base/arena.h"
#include "base/mem.h"
#include "base/units.h"
#include "broker/broker_state.h"
#include "broker/cleaner.h"
#include "broker/cleaner_map.h"
#include "broker/leftovers.h"
#include "lib/broker_world.h"
#include "lib/test.h"
#include "wire/record_filter.h"

#define CHECK_MS 500
#define KEYS     40
#define SENT_MAX 6000

static int setup(void **state) {
    struct broker_world *w = mem_calloc(1, sizeof *w);
    broker_world_open(w, 7);
    w->options.stretch_bytes = 5000;
    w->options.cleaner_check_ms = CHECK_MS;
    broker_world_restart(w);
    *state = w;
    return 0;
}

/* What was sent, by offset; key -1: nothing stands there. */
struct sent {
    int key;
    char value[24]; /* empty: a tombstone */
    int64_t timestamp;
    bool seen;
};
struct model {
    struct sent sent[SENT_MAX];
    int64_t end;
};
static struct model model;

static void start_model(void) {
    memset(&model, 0, sizeof model);
}

/* One batch of `count` records with keys below `keys`. */
static void send(struct broker_world *w, struct prng *prng, int count, int keys, int tombstone_percent) {
    struct record_batch_builder builder;
    record_batch_begin(&builder);
    for (int i = 0; i < count; i++) {
        struct sent *sent = &model.sent[model.end + i];
        char key[16];
        sent->key = (int)prng_below(prng, (uint64_t)keys);
        sent->timestamp = io_wall_ms(w->io) - (int64_t)prng_below(prng, 1000);
        bool tombstone = prng_below(prng, 100) < (uint64_t)tombstone_percent;
        sent->value[0] = '\0';
        if (!tombstone) snprintf(sent->value, sizeof sent->value, "v%lld", (long long)(model.end + i));
        snprintf(key, sizeof key, "key-%d", sent->key);
        record_batch_add(&builder, sent->timestamp, slice_from_text(key),
                         tombstone ? SLICE_EMPTY : slice_from_text(sent->value), NULL, 0);
    }
    struct buffer *batch = record_batch_finish(&builder, (enum record_codec)prng_below(prng, CODEC_COUNT),
                                               NULL);
    record_batch_builder_release(&builder);
    struct world_append append;
    broker_world_append_bytes(w, &append, "t", 0, batch);
    assert_status(broker_world_append_wait(w, &append), STATUS_OK);
    assert_int_equal(append.append.base_offset, model.end);
    model.end += count;
}

static void take_record(const struct record *record) {
    assert_in_range(record->offset, 0, model.end - 1);
    struct sent *sent = &model.sent[record->offset];
    char key[16];
    snprintf(key, sizeof key, "key-%d", sent->key);
    assert_slice_equal(record->key, slice_from_text(key));
    if (sent->value[0] == '\0')
        assert_null(record->value.data);
    else
        assert_slice_equal(record->value, slice_from_text(sent->value));
    assert_int_equal(record->timestamp, sent->timestamp);
    sent->seen = true;
}

/* Reads everything; how many records there are. */
static int read_all(struct broker_world *w) {
    int records = 0;
    int64_t offset = 0, newest = -1;
    for (int64_t i = 0; i < model.end; i++)
        model.sent[i].seen = false;
    while (offset < model.end) {
        struct world_fetch fetch;
        assert_status(broker_world_fetch(w, &fetch, "t", 0, offset), STATUS_OK);
        assert_true(fetch.part.batch_count > 0);
        for (uint32_t i = 0; i < fetch.part.batch_count; i++) {
            struct record_batch batch;
            struct record_iterator it;
            struct record record;
            struct arena arena;
            arena_init(&arena, 4096);
            assert_status(record_batch_read(fetch.part.batches[i].bytes, &batch), STATUS_OK);
            assert_int_equal(batch.base_offset, offset); /* batches still cover every offset */
            assert_status(record_iterator_init(&it, &batch, &arena, MIB), STATUS_OK);
            newest = -1;
            while (record_iterator_next(&it, &record) == STATUS_OK) {
                take_record(&record);
                newest = MAX(newest, record.timestamp);
                records++;
            }
            assert_int_equal(it.index, batch.record_count);
            assert_true(batch.max_timestamp >= newest);
            arena_release(&arena);
            offset = record_batch_last_offset(&batch) + 1;
        }
        fetch_release(&fetch.fetch);
    }
    return records;
}

static bool is_last(int64_t offset) {
    for (int64_t i = offset + 1; i < model.end; i++)
        if (model.sent[i].key == model.sent[offset].key) return false;
    return true;
}

/* Each key's last record is there; `tombstones` tells whether that holds for those, too. */
static void check_last(bool tombstones) {
    for (int64_t i = 0; i < model.end; i++)
        if (is_last(i) && (tombstones || model.sent[i].value[0] != '\0') && !model.sent[i].seen)
            fail_msg("the last record of key %d, at %lld, is gone", model.sent[i].key, (long long)i);
}

static void check_nothing_else(void) {
    for (int64_t i = 0; i < model.end; i++)
        if (model.sent[i].seen && !is_last(i)) fail_msg("%lld is superseded and still there", (long long)i);
}

static void the_last_record_of_each_key_stays(void **state) {
    struct broker_world *w = *state;
    struct prng prng;
    prng_init(&prng, 1);
    start_model();
    assert_status(
        broker_world_create(w, "t", 1, "cleanup.policy", "compact", "min.cleanable.dirty.ratio", "0.1", NULL),
        STATUS_OK);
    uint64_t before = broker_world_info(w, "t", 0).high_watermark;
    assert_int_equal(before, 0);
    for (int i = 0; i < 120; i++)
        send(w, &prng, 1 + (int)prng_below(&prng, 20), KEYS, 10);
    broker_world_run(w, 4 * CHECK_MS);
    int left = read_all(w);
    check_last(true);
    check_nothing_else();
    assert_true(left <= KEYS);
    struct broker_stats stats;
    broker_stats(w->broker, &stats);
    assert_true(stats.compactions > 0);
    assert_int_equal(stats.compacted_records, model.end - left);
    /* Nothing new: it is left alone. */
    broker_world_run(w, 10 * CHECK_MS);
    uint64_t passes = stats.compactions;
    broker_stats(w->broker, &stats);
    assert_int_equal(stats.compactions, passes);
    /* After a restart everything is as it was, and appends go on. */
    broker_world_restart(w);
    assert_int_equal(read_all(w), left);
    send(w, &prng, 5, KEYS, 0);
    read_all(w);
    check_last(true);
}

static void tombstones_go_after_their_time(void **state) {
    struct broker_world *w = *state;
    struct prng prng;
    prng_init(&prng, 2);
    start_model();
    assert_status(broker_world_create(w, "t", 1, "cleanup.policy", "compact", "delete.retention.ms", "60000",
                                      "min.cleanable.dirty.ratio", "0", NULL),
                  STATUS_OK);
    for (int i = 0; i < 40; i++)
        send(w, &prng, 10, KEYS, 50);
    broker_world_run(w, 4 * CHECK_MS);
    MAYBE(read_all(w));
    check_last(true);
    broker_world_run(w, 50000);
    MAYBE(read_all(w));
    check_last(true); /* not yet */
    broker_world_run(w, 15000);
    MAYBE(read_all(w));
    check_last(false);
    for (int64_t i = 0; i < model.end; i++)
        if (model.sent[i].seen) assert_true(model.sent[i].value[0] != '\0');
}

static void young_records_and_other_topics_are_left_alone(void **state) {
    struct broker_world *w = *state;
    struct prng prng;
    prng_init(&prng, 3);
    start_model();
    assert_status(broker_world_create(w, "t", 1, "cleanup.policy", "compact", "min.compaction.lag.ms",
                                      "20000", "min.cleanable.dirty.ratio", "0.01", NULL),
                  STATUS_OK);
    for (int i = 0; i < 40; i++)
        send(w, &prng, 10, 5, 0);
    broker_world_run(w, 10 * CHECK_MS);
    assert_int_equal(read_all(w), model.end);
    broker_world_run(w, 20000);
    MAYBE(read_all(w));
    check_last(true);
    check_nothing_else();
}

/* A pass that ends at a young batch has learned nothing of it: the next one begins there. */
static void what_was_too_young_is_learned_later(void **state) {
    struct broker_world *w = *state;
    struct prng prng;
    prng_init(&prng, 6);
    start_model();
    assert_status(broker_world_create(w, "t", 1, "cleanup.policy", "compact", "min.compaction.lag.ms",
                                      "20000", "delete.retention.ms", "1000", "min.cleanable.dirty.ratio",
                                      "0", NULL),
                  STATUS_OK);
    send(w, &prng, 100, KEYS, 0);
    broker_world_run(w, 15000);
    send(w, &prng, 100, KEYS, 80);
    send(w, &prng, 1, KEYS, 0);
    broker_world_run(w, 10000);
    assert_in_range(read_all(w), 101, 150); /* there was a pass, over the first batch only */
    check_last(true);
    broker_world_run(w, 40000);
    MAYBE(read_all(w));
    check_last(false);
    check_nothing_else();
}

/* However few came since the last pass, they do not wait for ever; and where nothing came there is no pass.
 */
static void what_has_waited_for_too_long_is_cleaned(void **state) {
    struct broker_world *w = *state;
    struct prng prng;
    prng_init(&prng, 10);
    start_model();
    assert_status(broker_world_create(w, "t", 1, "cleanup.policy", "compact", "max.compaction.lag.ms",
                                      "30000", "min.cleanable.dirty.ratio", "0.9", NULL),
                  STATUS_OK);
    for (int round = 0; round < 3; round++) {
        struct broker_stats before, after;
        send(w, &prng, round == 0 ? 400 : 2, KEYS, 10); /* the first time it is dirty enough */
        broker_world_run(w, 20000);
        broker_stats(w->broker, &before);
        MAYBE(read_all(w));
        check_last(true);
        assert_int_equal(before.compactions, round + 1 - (round > 0)); /* not yet */
        broker_world_run(w, 15000);
        broker_stats(w->broker, &after);
        assert_int_equal(after.compactions, round + 1);
        MAYBE(read_all(w));
        check_last(true);
        check_nothing_else();
        broker_world_run(w, 100 * CHECK_MS);
        broker_stats(w->broker, &before);
        assert_int_equal(before.compactions, after.compactions);
    }
}

/* What may not be cleaned yet is not cleaned because it has waited. */
static void the_least_lag_goes_before_the_longest(void **state) {
    struct broker_world *w = *state;
    struct prng prng;
    prng_init(&prng, 11);
    start_model();
    assert_status(broker_world_create(w, "t", 1, "cleanup.policy", "compact", "max.compaction.lag.ms", "1000",
                                      "min.compaction.lag.ms", "20000", "min.cleanable.dirty.ratio", "0.9",
                                      NULL),
                  STATUS_OK);
    send(w, &prng, 300, KEYS, 0);
    broker_world_run(w, 10000);
    assert_int_equal(read_all(w), model.end);
    broker_world_run(w, 15000);
    MAYBE(read_all(w));
    check_last(true);
    check_nothing_else();
}

/* A map that holds fewer keys than there are: several passes, the same result. */
static void more_keys_than_the_map_holds(void **state) {
    struct broker_world *w = *state;
    struct prng prng;
    prng_init(&prng, 4);
    w->options.cleaner_map_bytes = 1; /* the least: 768 keys */
    broker_world_restart(w);
    start_model();
    assert_status(
        broker_world_create(w, "t", 1, "cleanup.policy", "compact", "min.cleanable.dirty.ratio", "0", NULL),
        STATUS_OK);
    for (int i = 0; i < 100; i++)
        send(w, &prng, 50, 2000, 5);
    broker_world_run(w, 30 * CHECK_MS);
    MAYBE(read_all(w));
    check_last(true);
    check_nothing_else();
}

/* Whatever is under way when the topic is deleted: nothing is written behind its deletion. */
static void a_topic_deleted_in_the_middle_leaves_nothing(void **state) {
    struct broker_world *w = *state;
    struct prng prng;
    prng_init(&prng, 12);
    for (int i = 0; i < 60; i++) {
        start_model();
        assert_status(broker_world_create(w, "t", 1, "cleanup.policy", "compact", "min.cleanable.dirty.ratio",
                                          "0", NULL),
                      STATUS_OK);
        for (int n = 0; n < 15; n++)
            send(w, &prng, 1 + (int)prng_below(&prng, 40), KEYS, 10);
        while (cleaner_is_idle(w->broker->cleaner))
            io_sim_run_until(w->sim, io_sim_now(w->sim) + 20 * NS_PER_US);
        io_sim_run_until(w->sim, io_sim_now(w->sim) + prng_below(&prng, 2 * NS_PER_MS));
        assert_status(broker_world_delete(w, "t"), STATUS_OK);
        broker_world_run(w, 2 * CHECK_MS);
        assert_int_equal(leftovers_find(w->broker), 0);
    }
}

static void crashes_in_the_middle(void **state) {
    struct broker_world *w = *state;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        struct prng prng;
        prng_init(&prng, seed);
        start_model();
        assert_status(broker_world_create(w, "t", 1, "cleanup.policy", "compact", "min.cleanable.dirty.ratio",
                                          "0.05", NULL),
                      STATUS_OK);
        for (int round = 0; round < 6; round++) {
            for (int i = 0; i < 15; i++)
                send(w, &prng, 1 + (int)prng_below(&prng, 40), KEYS, 10);
            uint64_t end = io_sim_now(w->sim) + CHECK_MS * NS_PER_MS + prng_below(&prng, 20 * NS_PER_MS);
            io_sim_run_until(w->sim, end);
            broker_world_crash(w, prng_below(&prng, 2) == 0 ? IO_SIM_CRASH_POWER : IO_SIM_CRASH_PROCESS);
            broker_world_start(w);
            MAYBE(read_all(w));
            check_last(true);
        }
        broker_world_run(w, 5 * CHECK_MS);
        MAYBE(read_all(w));
        check_last(true);
        check_nothing_else();
        assert_status(broker_world_delete(w, "t"), STATUS_OK);
    }
}

/* Whenever it stops, no job is left behind that still works on what is gone. */
static void shutdowns_in_the_middle(void **state) {
    struct broker_world *w = *state;
    struct prng prng;
    prng_init(&prng, 9);
    start_model();
    assert_status(
        broker_world_create(w, "t", 1, "cleanup.policy", "compact", "min.cleanable.dirty.ratio", "0", NULL),
        STATUS_OK);
    for (int round = 0; round < 60; round++) {
        for (int i = 0; i < 4; i++)
            send(w, &prng, 20, KEYS, 10);
        io_sim_run_until(w->sim,
                         io_sim_now(w->sim) + CHECK_MS * NS_PER_MS + prng_below(&prng, 3 * NS_PER_MS));
        broker_world_restart(w);
        MAYBE(read_all(w));
        check_last(true);
    }
}

/* A retry of a batch that has lost records is still a retry, also after a restart. */
static void sequences_outlive_their_records(void **state) {
    struct broker_world *w = *state;
    assert_status(
        broker_world_create(w, "t", 1, "cleanup.policy", "compact", "min.cleanable.dirty.ratio", "0", NULL),
        STATUS_OK);
    struct batch_spec spec = {
        .count = 5, .producer_id = 9, .idempotent = true, .timestamp = io_wall_ms(w->io)};
    struct world_append append;
    for (int i = 0; i < 3; i++) { /* the same keys each time */
        spec.sequence = 5 * i;
        assert_status(broker_world_append(w, &append, "t", 0, &spec), STATUS_OK);
    }
    broker_world_run(w, 4 * CHECK_MS);
    broker_world_restart(w);
    spec.sequence = 5;
    assert_status(broker_world_append(w, &append, "t", 0, &spec), STATUS_OK);
    assert_int_equal(append.append.base_offset, 5);
    spec.sequence = 16;
    assert_status(broker_world_append(w, &append, "t", 0, &spec), STATUS_OUT_OF_ORDER_SEQUENCE);
    spec.sequence = 15;
    assert_status(broker_world_append(w, &append, "t", 0, &spec), STATUS_OK);
    assert_int_equal(append.append.base_offset, 15);
}

static void the_map_keeps_what_it_was_told(void **state) {
    (void)state;
    struct cleaner_map map;
    cleaner_map_init(&map, 24 * 4096, 5);
    char key[16];
    int taken = 0;
    for (int i = 0; i < 4096; i++) {
        snprintf(key, sizeof key, "%d", i);
        taken += cleaner_map_put(&map, slice_from_text(key), i);
    }
    assert_int_equal(taken, 3072);
    for (int i = 0; i < 4096; i++) {
        snprintf(key, sizeof key, "%d", i);
        assert_int_equal(cleaner_map_get(&map, slice_from_text(key)), i < taken ? i : -1);
        if (i < taken)
            assert_true(cleaner_map_put(&map, slice_from_text(key), 5000 + i)); /* also when full */
    }
    assert_int_equal(cleaner_map_get(&map, slice_from_text("7")), 5007);
    cleaner_map_release(&map);
    assert_int_equal(cleaner_map_get(&map, slice_from_text("7")), -1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(the_last_record_of_each_key_stays, setup, broker_world_teardown),
        cmocka_unit_test_setup_teardown(tombstones_go_after_their_time, setup, broker_world_teardown),
        cmocka_unit_test_setup_teardown(young_records_and_other_topics_are_left_alone, setup,
                                        broker_world_teardown),
        cmocka_unit_test_setup_teardown(what_has_waited_for_too_long_is_cleaned, setup,
                                        broker_world_teardown),
        cmocka_unit_test_setup_teardown(the_least_lag_goes_before_the_longest, setup, broker_world_teardown),
        cmocka_unit_test_setup_teardown(what_was_too_young_is_learned_later, setup, broker_world_teardown),
        cmocka_unit_test_setup_teardown(more_keys_than_the_map_holds, setup, broker_world_teardown),
        cmocka_unit_test_setup_teardown(a_topic_deleted_in_the_middle_leaves_nothing, setup,
                                        broker_world_teardown),
        cmocka_unit_test_setup_teardown(crashes_in_the_middle, setup, broker_world_teardown),
        cmocka_unit_test_setup_teardown(shutdowns_in_the_middle, setup, broker_world_teardown),
        cmocka_unit_test_setup_teardown(sequences_outlive_their_records, setup, broker_world_teardown),
        cmocka_unit_test(the_map_keeps_what_it_was_told),
    };
    return cmocka_run_group_tests_name("broker_cleaner", tests, NULL, NULL);
}
