// SPDX-License-Identifier: Apache-2.0
/* What Kafka's tools ask of a cluster, over the simulated machine: its quorum, features, nodes, directories
 * and what can be configured. */
#include "lib/kafka_world.h"
#include "lib/test.h"

static struct kafka_world world;

static int open_world(void **state) {
    kafka_world_open(&world, 9, false);
    kafka_world_topic(&world, "t", 2);
    *state = &world;
    return 0;
}

/* ---- DescribeQuorum -------------------------------------------------------------------------------------
 */

static void the_quorum_is_described(void **state) {
    (void)state;
    struct kafka_describe_quorum_request_partition partitions[] = {{0}, {1}};
    struct kafka_describe_quorum_request_topic topics[] = {
        {SLICE_LITERAL("__cluster_metadata"), partitions, 1},
        {SLICE_LITERAL("t"), partitions, 1},
        {SLICE_LITERAL("__cluster_metadata"), partitions + 1, 1},
    };
    struct kafka_describe_quorum_request request = {topics, ARRAY_COUNT(topics)};
    for (int16_t version = 0; version <= 2; version++) {
        const struct kafka_describe_quorum_response *response = kafka_world_call(
            &world, KAFKA_DESCRIBE_QUORUM, version, &request);
        assert_int_equal(response->error_code, 0);
        assert_int_equal(response->topics_count, 3);
        const struct kafka_describe_quorum_response_partition *out = &response->topics[0].partitions[0];
        assert_int_equal(out->error_code, 0);
        assert_int_equal(out->leader_id, 1);
        assert_int_equal(out->current_voters_count, 1);
        assert_int_equal(out->observers_count, 0);
        assert_int_equal(out->current_voters[0].replica_id, 1);
        assert_int_equal(out->current_voters[0].log_end_offset, out->high_watermark);
        assert_true(out->high_watermark > 0); /* a topic was made */
        assert_int_equal(out->current_voters[0].last_caught_up_timestamp > 0, version > 0);
        assert_int_equal(response->topics[1].partitions[0].error_code, 3);
        assert_int_equal(response->topics[2].partitions[0].error_code, 3);
        if (version < 2) continue;
        assert_int_equal(response->nodes_count, 1);
        assert_slice_equal(response->nodes[0].listeners[0].host, SLICE_LITERAL("127.0.0.1"));
        assert_true(response->nodes[0].listeners[0].port != 0);
    }
}

/* ---- UpdateFeatures -------------------------------------------------------------------------------------
 */

static void features_stay_what_they_are(void **state) {
    (void)state;
    static const struct {
        const char *feature;
        int16_t level, code;
    } cases[] = {{"transaction.version", 2, 0},  {"transaction.version", 1, 95},
                 {"transaction.version", 0, 95}, {"transaction.version", 3, 95},
                 {"metadata.version", 25, 95},   {"", 1, 95}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++)
        for (int16_t version = 0; version <= 2; version++) {
            struct kafka_update_features_request_feature feature = {
                .feature = slice_from_text(cases[i].feature),
                .max_version_level = cases[i].level,
                .upgrade_type = 1};
            struct kafka_update_features_request request = {.feature_updates = &feature,
                                                            .feature_updates_count = 1};
            const struct kafka_update_features_response *response = kafka_world_call(
                &world, KAFKA_UPDATE_FEATURES, version, &request);
            assert_int_equal(response->results_count, version < 2 ? 1 : 0);
            assert_int_equal(version < 2 ? response->results[0].error_code : response->error_code,
                             cases[i].code);
            struct slice why = version < 2 ? response->results[0].error_message : response->error_message;
            assert_int_equal(why.size > 0, cases[i].code != 0);
        }
    struct kafka_update_features_request_feature twice[2] = {
        {.feature = SLICE_LITERAL("transaction.version"), .max_version_level = 2},
        {.feature = SLICE_LITERAL("transaction.version"), .max_version_level = 2}};
    struct kafka_update_features_request request = {.feature_updates = twice, .feature_updates_count = 2};
    const struct kafka_update_features_response *response = kafka_world_call(&world, KAFKA_UPDATE_FEATURES, 2,
                                                                             &request);
    assert_int_equal(response->error_code, 42);
}

/* ---- UnregisterBroker -----------------------------------------------------------------------------------
 */

static void a_broker_alone_stays(void **state) {
    (void)state;
    for (int32_t node = -1; node <= 2; node++) {
        struct kafka_unregister_broker_request request = {node};
        const struct kafka_unregister_broker_response *response = kafka_world_call(
            &world, KAFKA_UNREGISTER_BROKER, 0, &request);
        assert_int_equal(response->error_code, 42);
        assert_true(response->error_message.size > 0);
    }
}

/* ---- AlterReplicaLogDirs --------------------------------------------------------------------------------
 */

static void there_is_one_directory(void **state) {
    (void)state;
    int32_t partitions[] = {0, 1, 2, -1};
    struct kafka_alter_replica_log_dirs_request_topic topics[] = {
        {SLICE_LITERAL("t"), partitions, ARRAY_COUNT(partitions)}, {SLICE_LITERAL("none"), partitions, 1}};
    struct kafka_alter_replica_log_dirs_request_dir dirs[] = {
        {slice_from_text(broker_get_options(world.broker)->data_dir), topics, 2},
        {SLICE_LITERAL("/elsewhere"), topics, 1}};
    struct kafka_alter_replica_log_dirs_request request = {dirs, 2};
    for (int16_t version = 1; version <= 2; version++) {
        const struct kafka_alter_replica_log_dirs_response *response = kafka_world_call(
            &world, KAFKA_ALTER_REPLICA_LOG_DIRS, version, &request);
        assert_int_equal(response->results_count, 3);
        static const int16_t codes[] = {0, 0, 3, 3};
        for (size_t i = 0; i < ARRAY_COUNT(codes); i++) {
            assert_int_equal(response->results[0].partitions[i].partition_index, partitions[i]);
            assert_int_equal(response->results[0].partitions[i].error_code, codes[i]);
            assert_int_equal(response->results[2].partitions[i].error_code, 57);
        }
        assert_int_equal(response->results[1].partitions[0].error_code, 3);
    }
}

/* ---- ListConfigResources --------------------------------------------------------------------------------
 */

static void resources_are_listed(void **state) {
    (void)state;
    static const struct {
        int16_t version;
        int8_t types[3];
        int32_t type_count, listed;
        int16_t code;
    } cases[] = {{0, {0}, 0, 0, 0},        {1, {0}, 0, 2, 0},     {1, {2}, 1, 1, 0},      {1, {4}, 1, 1, 0},
                 {1, {2, 4, 32}, 3, 2, 0}, {1, {8, 16}, 2, 0, 0}, {1, {3}, 1, 0, 35},     {1, {0}, 1, 0, 35},
                 {1, {2, 64}, 2, 0, 35},   {1, {-128}, 1, 0, 35}, {1, {2, 2, 2}, 3, 1, 0}};
    for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
        int8_t types[3];
        memcpy(types, cases[i].types, sizeof types);
        struct kafka_list_config_resources_request request = {types, cases[i].type_count};
        const struct kafka_list_config_resources_response *response = kafka_world_call(
            &world, KAFKA_LIST_CONFIG_RESOURCES, cases[i].version, &request);
        assert_int_equal(response->error_code, cases[i].code);
        assert_int_equal(response->config_resources_count, cases[i].listed);
        for (int32_t r = 0; r < response->config_resources_count; r++) {
            bool topic = response->config_resources[r].resource_type == 2;
            assert_slice_equal(response->config_resources[r].resource_name,
                               topic ? SLICE_LITERAL("t") : SLICE_LITERAL("1"));
        }
    }
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, open_world, kafka_world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_WORLD(the_quorum_is_described), IN_WORLD(features_stay_what_they_are),
        IN_WORLD(a_broker_alone_stays),    IN_WORLD(there_is_one_directory),
        IN_WORLD(resources_are_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
