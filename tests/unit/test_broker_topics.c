// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/units.h"
#include "lib/broker_world.h"
#include "lib/test.h"

static int setup(void **state) {
    struct broker_world *w = mem_calloc(1, sizeof *w);
    broker_world_open(w, 3);
    *state = w;
    return 0;
}

static const struct broker_topic *find(struct broker_world *w, const char *name) {
    return broker_topic_find(w->broker, slice_from_text(name));
}

static const struct batch_spec one = {.count = 1, .timestamp = 1000, .tag = "one"};

/* ---- the cluster's and the node's identity ---- */

static void the_cluster_id_is_made_once(void **state) {
    struct broker_world *w = *state;
    char id[32];
    snprintf(id, sizeof id, "%s", broker_cluster_id(w->broker));
    assert_int_equal(strlen(id), 22);
    assert_status(broker_world_create(w, "t", 1, NULL), STATUS_OK); /* what is durable behind it keeps it */
    broker_world_crash(w, IO_SIM_CRASH_POWER_BARE);
    broker_world_start(w);
    assert_string_equal(broker_cluster_id(w->broker), id);
    broker_world_restart(w);
    assert_string_equal(broker_cluster_id(w->broker), id);
    assert_int_equal(broker_node_id(w->broker), 1);
}

static void another_nodes_directory_is_refused(void **state) {
    struct broker_world *w = *state;
    broker_world_shutdown(w);
    w->options.node_id = 2;
    assert_status(broker_world_try_start(w), STATUS_INVALID);
    assert_non_null(strstr(w->why.text, "belongs to node 1"));
    assert_non_null(strstr(w->why.text, "--node-id 1"));
    w->options.node_id = 1;
    broker_world_start(w);
}

/* ---- creating ---- */

static void a_topic_is_there_when_it_is_answered_and_after_any_stop(void **state) {
    struct broker_world *w = *state;
    assert_status(broker_world_create(w, "orders", 4, "retention.ms", "123", NULL), STATUS_OK);
    struct uuid id = find(w, "orders")->id;
    for (int round = 0; round < 3; round++) {
        const struct broker_topic *topic = find(w, "orders");
        assert_non_null(topic);
        assert_int_equal(topic->partition_count, 4);
        assert_int_equal(topic->replication, 1);
        assert_int_equal(topic->config.retention_ms, 123);
        assert_int_equal(topic->config.segment_bytes, topic_config_default().segment_bytes);
        assert_true(uuid_equal(topic->id, id));
        assert_ptr_equal(broker_topic_find_id(w->broker, id), topic);
        if (round == 0) broker_world_crash(w, IO_SIM_CRASH_POWER_BARE);
        if (round == 0) broker_world_start(w);
        if (round == 1) broker_world_restart(w);
    }
    assert_null(find(w, "order"));
    assert_null(find(w, ""));
    struct broker_stats stats;
    broker_stats(w->broker, &stats);
    assert_int_equal(stats.topics, 1);
    assert_int_equal(stats.partitions, 4);
}

static void names_follow_kafkas_rules(void **state) {
    struct broker_world *w = *state;
    static const char *const good[] = {"a", "A.b_c-9", "...", "__consumer_offsets", "-"};
    static const char *const bad[] = {"", ".", "..", "../x", "a/b", "a b", "a\n", "\xc3\xa4", "a:b", "a\\b"};
    char longest[260];
    memset(longest, 'x', sizeof longest);
    longest[TOPIC_NAME_SIZE_MAX] = '\0';
    for (size_t i = 0; i < ARRAY_COUNT(good); i++)
        assert_status(broker_world_create(w, good[i], 1, NULL), STATUS_OK);
    assert_status(broker_world_create(w, longest, 1, NULL), STATUS_OK);
    longest[TOPIC_NAME_SIZE_MAX] = 'x';
    longest[TOPIC_NAME_SIZE_MAX + 1] = '\0';
    assert_status(broker_world_create(w, longest, 1, NULL), STATUS_INVALID_TOPIC);
    for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
        assert_status(broker_world_create(w, bad[i], 1, NULL), STATUS_INVALID_TOPIC);
        assert_int_not_equal(w->why.text[0], '\0');
    }
    struct topic_change change = {
        .kind = TOPIC_CREATE, .name = SLICE_LITERAL("a\0b"), .partition_count = 1, .replication = -1};
    assert_status(broker_world_change(w, &change), STATUS_INVALID_TOPIC);
    change.kind = TOPIC_DELETE;
    assert_status(broker_world_change(w, &change), STATUS_INVALID_TOPIC);
}

static void what_cannot_be_made_is_refused_with_a_reason(void **state) {
    struct broker_world *w = *state;
    w->options.topic_partitions_max = 50;
    w->options.partitions_total_max = 70;
    w->options.default_partitions = 3;
    broker_world_restart(w);
    assert_status(broker_world_create(w, "t", 51, NULL), STATUS_INVALID_PARTITIONS);
    assert_status(broker_world_create(w, "t", 0, NULL), STATUS_INVALID_PARTITIONS);
    assert_status(broker_world_create(w, "t", -2, NULL), STATUS_INVALID_PARTITIONS);
    assert_status(broker_world_create(w, "t", INT32_MAX, NULL), STATUS_INVALID_PARTITIONS);
    assert_status(broker_world_create(w, "t", 50, NULL), STATUS_OK);
    assert_status(broker_world_create(w, "u", 21, NULL), STATUS_INVALID_PARTITIONS);
    assert_non_null(strstr(w->why.text, "limit of 70"));
    assert_status(broker_world_create(w, "u", -1, NULL), STATUS_OK);
    assert_int_equal(find(w, "u")->partition_count, 3);
    assert_status(broker_world_create(w, "u", 1, NULL), STATUS_EXISTS);
    struct topic_change change = {
        .kind = TOPIC_CREATE, .name = SLICE_LITERAL("v"), .partition_count = 1, .replication = 2};
    assert_status(broker_world_change(w, &change), STATUS_INVALID_REPLICATION);
    struct topic_change unknown = {.kind = TOPIC_ALTER_CONFIG, .name = SLICE_LITERAL("v")};
    assert_status(broker_world_change(w, &unknown), STATUS_UNKNOWN_TOPIC);
    unknown.kind = TOPIC_ADD_PARTITIONS;
    assert_status(broker_world_change(w, &unknown), STATUS_UNKNOWN_TOPIC);
    unknown.kind = TOPIC_DELETE;
    assert_status(broker_world_change(w, &unknown), STATUS_UNKNOWN_TOPIC);
}

static void validating_changes_nothing(void **state) {
    struct broker_world *w = *state;
    assert_status(broker_world_create(w, "t", 1, NULL), STATUS_OK);
    struct topic_change change = {.kind = TOPIC_CREATE,
                                  .name = SLICE_LITERAL("u"),
                                  .partition_count = 1,
                                  .replication = -1,
                                  .validate_only = true};
    assert_status(broker_world_change(w, &change), STATUS_OK);
    assert_null(find(w, "u"));
    change.name = SLICE_LITERAL("t");
    assert_status(broker_world_change(w, &change), STATUS_EXISTS);
    change.kind = TOPIC_ADD_PARTITIONS;
    change.partition_count = 9;
    assert_status(broker_world_change(w, &change), STATUS_OK);
    assert_int_equal(find(w, "t")->partition_count, 1);
    change.kind = TOPIC_ALTER_CONFIG;
    assert_status(broker_world_change(w, &change), STATUS_OK);
    change.kind = TOPIC_DELETE;
    assert_status(broker_world_change(w, &change), STATUS_OK);
    assert_non_null(find(w, "t"));
    struct world_append append;
    assert_status(broker_world_append(w, &append, "t", 0, &one), STATUS_OK);
}

struct waiting_change {
    struct topic_change change;
    bool done;
};

static void change_done(struct topic_change *change) {
    CONTAINER_OF(change, struct waiting_change, change)->done = true;
}

static void changes_given_at_once_happen_in_order(void **state) {
    struct broker_world *w = *state;
    static const enum topic_change_kind kinds[] = {TOPIC_CREATE, TOPIC_CREATE, TOPIC_DELETE,
                                                   TOPIC_DELETE, TOPIC_CREATE, TOPIC_ADD_PARTITIONS};
    static const enum status expected[] = {STATUS_OK, STATUS_EXISTS, STATUS_OK, STATUS_UNKNOWN_TOPIC,
                                           STATUS_OK, STATUS_OK};
    struct waiting_change changes[ARRAY_COUNT(kinds)];
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        char name[2] = "t"; /* gone when the change happens */
        changes[i] = (struct waiting_change){.change = {.kind = kinds[i],
                                                        .name = slice_from_text(name),
                                                        .partition_count = (int32_t)i + 1,
                                                        .replication = -1,
                                                        .done = change_done}};
        broker_change_topic(w->broker, &changes[i].change);
        name[0] = '?';
    }
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++) {
        broker_world_until(w, &changes[i].done);
        assert_status(changes[i].change.status, expected[i]);
    }
    assert_int_equal(find(w, "t")->partition_count, 6);
    assert_true(uuid_equal(find(w, "t")->id, changes[4].change.id));
}

/* ---- altering ---- */

static void configs_are_replaced_and_unset_ones_follow_the_brokers_defaults(void **state) {
    struct broker_world *w = *state;
    assert_status(broker_world_create(w, "t", 1, "retention.ms", "5", "segment.ms", "6", NULL), STATUS_OK);
    struct topic_change change = {
        .kind = TOPIC_ALTER_CONFIG, .name = SLICE_LITERAL("t"), .config = find(w, "t")->config};
    assert_status(topic_config_unset(&change.config, SLICE_LITERAL("retention.ms"),
                                     &w->options.topic_defaults, &w->why),
                  STATUS_OK);
    assert_status(
        topic_config_set(&change.config, SLICE_LITERAL("max.message.bytes"), SLICE_LITERAL("77"), &w->why),
        STATUS_OK);
    assert_status(broker_world_change(w, &change), STATUS_OK);
    w->options.topic_defaults.retention_ms = 999;
    broker_world_restart(w);
    const struct topic_config *config = &find(w, "t")->config;
    assert_int_equal(config->retention_ms, 999);
    assert_int_equal(config->segment_ms, 6);
    assert_int_equal(config->max_message_bytes, 77);
}

static void added_partitions_leave_the_others_as_they_were(void **state) {
    struct broker_world *w = *state;
    struct world_append append;
    assert_status(broker_world_create(w, "t", 2, NULL), STATUS_OK);
    assert_status(broker_world_create(w, "other", 1, NULL), STATUS_OK);
    assert_status(broker_world_append(w, &append, "t", 1, &one), STATUS_OK);
    struct topic_change change = {
        .kind = TOPIC_ADD_PARTITIONS, .name = SLICE_LITERAL("t"), .partition_count = 5};
    assert_status(broker_world_change(w, &change), STATUS_OK);
    change.partition_count = 5;
    assert_status(broker_world_change(w, &change), STATUS_INVALID_PARTITIONS);
    for (int round = 0; round < 2; round++) {
        assert_int_equal(broker_world_info(w, "t", 1).high_watermark, 1);
        assert_int_equal(broker_world_info(w, "t", 4).high_watermark, round);
        assert_int_equal(broker_world_info(w, "other", 0).high_watermark, 0);
        assert_status(broker_world_append(w, &append, "t", 4, &one), STATUS_OK);
        broker_world_restart(w);
    }
}

/* ---- deleting ---- */

static void a_topic_made_again_is_a_new_one(void **state) {
    struct broker_world *w = *state;
    struct world_append append;
    struct uuid last = {{0}};
    for (int round = 0; round < 5; round++) {
        assert_status(broker_world_create(w, "t", 2, NULL), STATUS_OK);
        assert_false(uuid_equal(find(w, "t")->id, last));
        last = find(w, "t")->id;
        assert_int_equal(broker_world_info(w, "t", 0).high_watermark, 0);
        struct batch_spec spec = {.count = 3, .idempotent = true, .producer_id = 7};
        assert_status(broker_world_append(w, &append, "t", 0, &spec), STATUS_OK);
        assert_int_equal(append.append.base_offset, 0); /* the old one's producers are forgotten as well */
        if (round % 2 == 0) broker_world_restart(w);
        assert_status(broker_world_delete(w, "t"), STATUS_OK);
        assert_null(find(w, "t"));
        assert_null(broker_topic_find_id(w->broker, last));
        if (round == 1) broker_world_restart(w);
        if (round != 3) continue;
        broker_world_crash(w, IO_SIM_CRASH_POWER_BARE);
        broker_world_start(w);
        assert_null(find(w, "t"));
    }
}

static size_t keys_of_partitions(struct broker_world *w) {
    uint8_t lower[8] = {0, 0, 0, 0, 0, 0, 0, 1}, upper[8] = {255};
    struct store_iterator *it = store_iterator_open(broker_store(w->broker), slice_make(lower, 8),
                                                    slice_make(upper, 8), STORE_ITERATOR_BLOCKING, NULL,
                                                    NULL);
    size_t count = 0;
    enum status status = store_iterator_seek(it, slice_make(lower, 8));
    for (; status == STATUS_OK; status = store_iterator_next(it))
        count++;
    assert_status(status, STATUS_END);
    store_iterator_close(it);
    return count;
}

/* Everything that may be under way on a topic while it is deleted, at any moment of that. */
static void a_deletion_answers_what_is_under_way_and_leaves_no_key_behind(void **state) {
    struct broker_world *w = *state;
    w->options.stretch_bytes = 1000;
    for (int steps = 0; steps < 50; steps++) {
        broker_world_restart(w);
        assert_status(broker_world_create(w, "t", 2, NULL), STATUS_OK);
        static struct world_append appends[12];
        struct batch_spec spec = {.count = 1, .value_size = 400, .idempotent = true, .producer_id = steps};
        for (; spec.sequence < 4; spec.sequence++)
            assert_status(broker_world_append(w, &appends[0], "t", 0, &spec), STATUS_OK);
        if (steps % 2 == 0) broker_world_restart(w);
        static struct world_fetch waiting, reading;
        broker_world_fetch_start(w, &waiting, "t", 0, 4, 1 << 20, 3600000);
        broker_world_fetch_start(w, &reading, "t", 0, 0, 1, 0);
        for (size_t i = 0; i < ARRAY_COUNT(appends); i++, spec.sequence += i < 4) {
            spec.producer_id = i < 4 ? steps : 100 + (int64_t)i;
            if (i >= 4) spec.sequence = 0;
            broker_world_append_start(w, &appends[i], "t", i < 8 ? 0 : 1, &spec);
        }
        for (int i = 0; i < steps; i++)
            if (!io_sim_step(w->sim)) break;
        struct waiting_change deletion = {
            .change = {.kind = TOPIC_DELETE, .name = SLICE_LITERAL("t"), .done = change_done}};
        broker_change_topic(w->broker, &deletion.change);
        struct world_append late;
        broker_world_append_start(w, &late, "t", 1, &one);
        broker_world_until(w, &deletion.done);
        assert_status(deletion.change.status, STATUS_OK);
        for (size_t i = 0; i < ARRAY_COUNT(appends); i++) {
            enum status status = broker_world_append_wait(w, &appends[i]);
            if (status != STATUS_OK) assert_status(status, STATUS_UNKNOWN_TOPIC);
        }
        (void)broker_world_append_wait(w, &late);
        broker_world_fetch_wait(w, &waiting);
        assert_status(waiting.part.status, STATUS_UNKNOWN_TOPIC);
        broker_world_fetch_wait(w, &reading);
        fetch_release(&waiting.fetch);
        fetch_release(&reading.fetch);
        broker_world_run(w, 1000);
        assert_int_equal(keys_of_partitions(w), 0);
        broker_world_crash(w, IO_SIM_CRASH_POWER_BARE);
        broker_world_start(w);
        assert_int_equal(keys_of_partitions(w), 0);
    }
}

static void a_deletion_that_finds_no_room_leaves_the_topic_as_it_was(void **state) {
    struct broker_world *w = *state;
    struct world_append append;
    static struct world_record records[10];
    assert_status(broker_world_create(w, "t", 1, NULL), STATUS_OK);
    assert_status(broker_world_append(w, &append, "t", 0, &one), STATUS_OK);
    io_sim_disk_faults(w->sim, 0)->capacity_bytes = 1;
    enum status status = STATUS_OK;
    char name[16];
    int made = 0;
    for (; made < 5000 && status == STATUS_OK; made++) {
        snprintf(name, sizeof name, "n%d", made);
        status = broker_world_create(w, name, 1, NULL);
    }
    assert_status(status, STATUS_NO_SPACE);
    assert_null(find(w, name));
    assert_status(broker_world_delete(w, "t"), STATUS_NO_SPACE);
    assert_non_null(find(w, "t"));
    assert_int_equal(broker_world_read(w, "t", 0, 0, records, ARRAY_COUNT(records)), 1);
    io_sim_disk_faults(w->sim, 0)->capacity_bytes = UINT64_MAX;
    assert_status(broker_world_create(w, name, 1, NULL), STATUS_OK);
    assert_status(broker_world_append(w, &append, "t", 0, &one), STATUS_OK);
    assert_status(broker_world_delete(w, "t"), STATUS_OK);
    broker_world_restart(w);
    assert_null(find(w, "t"));
    assert_non_null(find(w, name));
}

/* A partition that is being loaded while its topic's deletion is in the store already, and then fails: it
 * must not believe that it is empty. */
static void a_deletion_that_fails_under_a_load_is_not_believed(void **state) {
    struct broker_world *w = *state;
    enum { COUNT = 60 };
    struct world_append append;
    static struct world_record records[10];
    static struct world_fetch fetches[COUNT];
    char name[16];
    struct batch_spec spec = {.count = 3, .value_size = 2000};
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "x%d", i);
        assert_status(broker_world_create(w, name, 1, NULL), STATUS_OK);
        assert_status(broker_world_append(w, &append, name, 0, &spec), STATUS_OK);
    }
    assert_status(broker_world_create(w, "filler", 1, NULL), STATUS_OK);
    for (int i = 0; i < 100; i++)
        assert_status(broker_world_append(w, &append, "filler", 0, &spec), STATUS_OK);
    broker_world_restart(w);
    broker_world_run(w, 5000);
    io_sim_disk_faults(w->sim, 0)->capacity_bytes = 1;
    for (; spec.count > 0; spec.count -= 2, spec.value_size = 1)
        while (broker_world_append(w, &append, "filler", 0, &spec) == STATUS_OK)
            continue;
    for (int i = 0; i < COUNT; i++) {
        snprintf(name, sizeof name, "x%d", i);
        broker_world_fetch_start(w, &fetches[i], name, 0, 0, 1, 1000);
        for (int step = 0; step < i; step++)
            assert_true(io_sim_step(w->sim));
        assert_status(broker_world_delete(w, name), STATUS_NO_SPACE);
        broker_world_fetch_wait(w, &fetches[i]);
        if (fetches[i].part.status != STATUS_OK) assert_status(fetches[i].part.status, STATUS_UNKNOWN_TOPIC);
        fetch_release(&fetches[i].fetch);
        assert_int_equal(broker_world_info(w, name, 0).high_watermark, 3);
        assert_int_equal(broker_world_read(w, name, 0, 0, records, ARRAY_COUNT(records)), 3);
    }
    io_sim_disk_faults(w->sim, 0)->capacity_bytes = UINT64_MAX;
}

/* ---- many ---- */

static void count_topic(void *ctx, const struct broker_topic *topic) {
    assert_int_equal(topic->partition_count, 100);
    ++*(int *)ctx;
}

static void ten_thousand_partitions_cost_nothing_until_they_are_used(void **state) {
    struct broker_world *w = *state;
    char name[24];
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "topic-%d", i);
        assert_status(broker_world_create(w, name, 100, NULL), STATUS_OK);
    }
    struct world_append append;
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "topic-%d", i);
        for (int j = 0; j < 100; j++)
            assert_status(broker_world_append(w, &append, name, j, &one), STATUS_OK);
    }
    broker_world_shutdown(w);
    w->options.retention_check_ms = 3600000;
    broker_world_start(w);
    /* A start reads the metadata and no partition. */
    struct broker_stats stats;
    broker_stats(w->broker, &stats);
    assert_int_equal(stats.partitions, 10000);
    assert_int_equal(stats.partitions_loaded, 0);
    int topics = 0;
    broker_topics_visit(w->broker, count_topic, &topics);
    assert_int_equal(topics, 100);
    assert_int_equal(broker_world_info(w, "topic-77", 99).high_watermark, 1);
    broker_stats(w->broker, &stats);
    assert_int_equal(stats.partitions_loaded, 1);
    /* A retention round goes through all of them and never takes the loop for long. */
    broker_world_shutdown(w);
    w->options.retention_check_ms = 1000;
    broker_world_start(w);
    uint64_t turns = io_stats(w->io).turns;
    broker_world_run(w, 60000);
    broker_stats(w->broker, &stats);
    assert_int_equal(stats.partitions_loaded, 10000);
    assert_true(io_stats(w->io).turns - turns >= 10000);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, broker_world_teardown)
int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(the_cluster_id_is_made_once),
        TEST(another_nodes_directory_is_refused),
        TEST(a_topic_is_there_when_it_is_answered_and_after_any_stop),
        TEST(names_follow_kafkas_rules),
        TEST(what_cannot_be_made_is_refused_with_a_reason),
        TEST(validating_changes_nothing),
        TEST(changes_given_at_once_happen_in_order),
        TEST(configs_are_replaced_and_unset_ones_follow_the_brokers_defaults),
        TEST(added_partitions_leave_the_others_as_they_were),
        TEST(a_topic_made_again_is_a_new_one),
        TEST(a_deletion_answers_what_is_under_way_and_leaves_no_key_behind),
        TEST(a_deletion_that_finds_no_room_leaves_the_topic_as_it_was),
        TEST(a_deletion_that_fails_under_a_load_is_not_believed),
        TEST(ten_thousand_partitions_cost_nothing_until_they_are_used),
    };
    return cmocka_run_group_tests_name("broker_topics", tests, NULL, NULL);
}
