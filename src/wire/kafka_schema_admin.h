// SPDX-License-Identifier: Apache-2.0
/* kafka_schema_admin.h: rows of the messages about topics, configurations and the cluster.
 * Columns are explained in kafka_schema.h, which is what to include.
 * Source: the Kafka protocol guide and the KIPs named at each key in docs/protocols.md. */
#ifndef SENTINEL_WIRE_KAFKA_SCHEMA_ADMIN_H
#define SENTINEL_WIRE_KAFKA_SCHEMA_ADMIN_H

#define KAFKA_ROWS_api_versions_request(T)                                                                   \
    FIELD(T, STRING, client_software_name, 3, LAST)                                                          \
    FIELD(T, STRING, client_software_version, 3, LAST)

#define KAFKA_ROWS_api_versions_response_api(T)                                                              \
    FIELD(T, I16, api_key, 0, LAST)                                                                          \
    FIELD(T, I16, min_version, 0, LAST)                                                                      \
    FIELD(T, I16, max_version, 0, LAST)

#define KAFKA_ROWS_api_versions_response_supported_feature(T)                                                \
    FIELD(T, STRING, name, 3, LAST)                                                                          \
    FIELD(T, I16, min_version, 3, LAST)                                                                      \
    FIELD(T, I16, max_version, 3, LAST)

#define KAFKA_ROWS_api_versions_response_finalized_feature(T)                                                \
    FIELD(T, STRING, name, 3, LAST)                                                                          \
    FIELD(T, I16, max_version_level, 3, LAST)                                                                \
    FIELD(T, I16, min_version_level, 3, LAST)

#define KAFKA_ROWS_api_versions_response(T)                                                                  \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    ARRAY(T, api_versions_response_api, api_keys, 0, LAST)                                                   \
    FIELD(T, I32, throttle_time_ms, 1, LAST)                                                                 \
    ARRAY(T, api_versions_response_supported_feature, supported_features, 3, LAST, TAG(0))                   \
    FIELD(T, I64, finalized_features_epoch, 3, LAST, DEFAULT(-1), TAG(1))                                    \
    ARRAY(T, api_versions_response_finalized_feature, finalized_features, 3, LAST, TAG(2))                   \
    FIELD(T, BOOL, zk_migration_ready, 3, LAST, TAG(3))

#define KAFKA_ROWS_metadata_request_topic(T)                                                                 \
    FIELD(T, UUID, topic_id, 10, LAST)                                                                       \
    FIELD(T, STRING, name, 0, LAST, NULLABLE(10))

#define KAFKA_ROWS_metadata_request(T)                                                                       \
    ARRAY(T, metadata_request_topic, topics, 0, LAST, NULLABLE(1))                                           \
    FIELD(T, BOOL, allow_auto_topic_creation, 4, LAST, DEFAULT(1))                                           \
    FIELD(T, BOOL, include_cluster_authorized_operations, 8, 10)                                             \
    FIELD(T, BOOL, include_topic_authorized_operations, 8, LAST)

#define KAFKA_ROWS_metadata_response_broker(T)                                                               \
    FIELD(T, I32, node_id, 0, LAST)                                                                          \
    FIELD(T, STRING, host, 0, LAST)                                                                          \
    FIELD(T, I32, port, 0, LAST)                                                                             \
    FIELD(T, STRING, rack, 1, LAST, NULLABLE(1))

#define KAFKA_ROWS_metadata_response_partition(T)                                                            \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, I32, partition_index, 0, LAST)                                                                  \
    FIELD(T, I32, leader_id, 0, LAST)                                                                        \
    FIELD(T, I32, leader_epoch, 7, LAST, DEFAULT(-1))                                                        \
    LIST(T, I32, replica_nodes, 0, LAST)                                                                     \
    LIST(T, I32, isr_nodes, 0, LAST)                                                                         \
    LIST(T, I32, offline_replicas, 5, LAST)

#define KAFKA_ROWS_metadata_response_topic(T)                                                                \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, STRING, name, 0, LAST, NULLABLE(12))                                                            \
    FIELD(T, UUID, topic_id, 10, LAST)                                                                       \
    FIELD(T, BOOL, is_internal, 1, LAST)                                                                     \
    ARRAY(T, metadata_response_partition, partitions, 0, LAST)                                               \
    FIELD(T, I32, topic_authorized_operations, 8, LAST, DEFAULT(INT32_MIN))

#define KAFKA_ROWS_metadata_response(T)                                                                      \
    FIELD(T, I32, throttle_time_ms, 3, LAST)                                                                 \
    ARRAY(T, metadata_response_broker, brokers, 0, LAST)                                                     \
    FIELD(T, STRING, cluster_id, 2, LAST, NULLABLE(2))                                                       \
    FIELD(T, I32, controller_id, 1, LAST, DEFAULT(-1))                                                       \
    ARRAY(T, metadata_response_topic, topics, 0, LAST)                                                       \
    FIELD(T, I32, cluster_authorized_operations, 8, 10, DEFAULT(INT32_MIN))                                  \
    FIELD(T, I16, error_code, 13, LAST)

#define KAFKA_ROWS_create_topics_request_assignment(T)                                                       \
    FIELD(T, I32, partition_index, 0, LAST)                                                                  \
    LIST(T, I32, broker_ids, 0, LAST)

#define KAFKA_ROWS_create_topics_request_config(T)                                                           \
    FIELD(T, STRING, name, 0, LAST)                                                                          \
    FIELD(T, STRING, value, 0, LAST, NULLABLE(0))

#define KAFKA_ROWS_create_topics_request_topic(T)                                                            \
    FIELD(T, STRING, name, 0, LAST)                                                                          \
    FIELD(T, I32, num_partitions, 0, LAST)                                                                   \
    FIELD(T, I16, replication_factor, 0, LAST)                                                               \
    ARRAY(T, create_topics_request_assignment, assignments, 0, LAST)                                         \
    ARRAY(T, create_topics_request_config, configs, 0, LAST)

#define KAFKA_ROWS_create_topics_request(T)                                                                  \
    ARRAY(T, create_topics_request_topic, topics, 0, LAST)                                                   \
    FIELD(T, I32, timeout_ms, 0, LAST, DEFAULT(60000))                                                       \
    FIELD(T, BOOL, validate_only, 1, LAST)

#define KAFKA_ROWS_create_topics_response_config(T)                                                          \
    FIELD(T, STRING, name, 5, LAST)                                                                          \
    FIELD(T, STRING, value, 5, LAST, NULLABLE(5))                                                            \
    FIELD(T, BOOL, read_only, 5, LAST)                                                                       \
    FIELD(T, I8, config_source, 5, LAST, DEFAULT(-1))                                                        \
    FIELD(T, BOOL, is_sensitive, 5, LAST)

#define KAFKA_ROWS_create_topics_response_topic(T)                                                           \
    FIELD(T, STRING, name, 0, LAST)                                                                          \
    FIELD(T, UUID, topic_id, 7, LAST)                                                                        \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, STRING, error_message, 1, LAST, NULLABLE(0))                                                    \
    FIELD(T, I16, topic_config_error_code, 5, LAST, TAG(0))                                                  \
    FIELD(T, I32, num_partitions, 5, LAST, DEFAULT(-1))                                                      \
    FIELD(T, I16, replication_factor, 5, LAST, DEFAULT(-1))                                                  \
    ARRAY(T, create_topics_response_config, configs, 5, LAST, NULLABLE(5))

#define KAFKA_ROWS_create_topics_response(T)                                                                 \
    FIELD(T, I32, throttle_time_ms, 2, LAST)                                                                 \
    ARRAY(T, create_topics_response_topic, topics, 0, LAST)

#define KAFKA_ROWS_delete_topics_request_topic(T)                                                            \
    FIELD(T, STRING, name, 6, LAST, NULLABLE(6))                                                             \
    FIELD(T, UUID, topic_id, 6, LAST)

#define KAFKA_ROWS_delete_topics_request(T)                                                                  \
    ARRAY(T, delete_topics_request_topic, topics, 6, LAST)                                                   \
    LIST(T, STRING, topic_names, 0, 5)                                                                       \
    FIELD(T, I32, timeout_ms, 0, LAST)

#define KAFKA_ROWS_delete_topics_response_topic(T)                                                           \
    FIELD(T, STRING, name, 0, LAST, NULLABLE(6))                                                             \
    FIELD(T, UUID, topic_id, 6, LAST)                                                                        \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, STRING, error_message, 5, LAST, NULLABLE(5))

#define KAFKA_ROWS_delete_topics_response(T)                                                                 \
    FIELD(T, I32, throttle_time_ms, 1, LAST)                                                                 \
    ARRAY(T, delete_topics_response_topic, responses, 0, LAST)

#define KAFKA_ROWS_create_partitions_request_assignment(T) LIST(T, I32, broker_ids, 0, LAST)

#define KAFKA_ROWS_create_partitions_request_topic(T)                                                        \
    FIELD(T, STRING, name, 0, LAST)                                                                          \
    FIELD(T, I32, count, 0, LAST)                                                                            \
    ARRAY(T, create_partitions_request_assignment, assignments, 0, LAST, NULLABLE(0))

#define KAFKA_ROWS_create_partitions_request(T)                                                              \
    ARRAY(T, create_partitions_request_topic, topics, 0, LAST)                                               \
    FIELD(T, I32, timeout_ms, 0, LAST)                                                                       \
    FIELD(T, BOOL, validate_only, 0, LAST)

#define KAFKA_ROWS_create_partitions_response_topic(T)                                                       \
    FIELD(T, STRING, name, 0, LAST)                                                                          \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, STRING, error_message, 0, LAST, NULLABLE(0))

#define KAFKA_ROWS_create_partitions_response(T)                                                             \
    FIELD(T, I32, throttle_time_ms, 0, LAST)                                                                 \
    ARRAY(T, create_partitions_response_topic, results, 0, LAST)

#define KAFKA_ROWS_describe_configs_request_resource(T)                                                      \
    FIELD(T, I8, resource_type, 0, LAST)                                                                     \
    FIELD(T, STRING, resource_name, 0, LAST)                                                                 \
    LIST(T, STRING, configuration_keys, 0, LAST, NULLABLE(0))

#define KAFKA_ROWS_describe_configs_request(T)                                                               \
    ARRAY(T, describe_configs_request_resource, resources, 0, LAST)                                          \
    FIELD(T, BOOL, include_synonyms, 1, LAST)                                                                \
    FIELD(T, BOOL, include_documentation, 3, LAST)

#define KAFKA_ROWS_describe_configs_response_synonym(T)                                                      \
    FIELD(T, STRING, name, 1, LAST)                                                                          \
    FIELD(T, STRING, value, 1, LAST, NULLABLE(0))                                                            \
    FIELD(T, I8, source, 1, LAST)

#define KAFKA_ROWS_describe_configs_response_config(T)                                                       \
    FIELD(T, STRING, name, 0, LAST)                                                                          \
    FIELD(T, STRING, value, 0, LAST, NULLABLE(0))                                                            \
    FIELD(T, BOOL, read_only, 0, LAST)                                                                       \
    FIELD(T, I8, config_source, 1, LAST, DEFAULT(-1))                                                        \
    FIELD(T, BOOL, is_sensitive, 0, LAST)                                                                    \
    ARRAY(T, describe_configs_response_synonym, synonyms, 1, LAST)                                           \
    FIELD(T, I8, config_type, 3, LAST)                                                                       \
    FIELD(T, STRING, documentation, 3, LAST, NULLABLE(0))

#define KAFKA_ROWS_describe_configs_response_resource(T)                                                     \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, STRING, error_message, 0, LAST, NULLABLE(0))                                                    \
    FIELD(T, I8, resource_type, 0, LAST)                                                                     \
    FIELD(T, STRING, resource_name, 0, LAST)                                                                 \
    ARRAY(T, describe_configs_response_config, configs, 0, LAST)

#define KAFKA_ROWS_describe_configs_response(T)                                                              \
    FIELD(T, I32, throttle_time_ms, 0, LAST)                                                                 \
    ARRAY(T, describe_configs_response_resource, results, 0, LAST)

#define KAFKA_ROWS_alter_configs_request_config(T)                                                           \
    FIELD(T, STRING, name, 0, LAST)                                                                          \
    FIELD(T, STRING, value, 0, LAST, NULLABLE(0))

#define KAFKA_ROWS_alter_configs_request_resource(T)                                                         \
    FIELD(T, I8, resource_type, 0, LAST)                                                                     \
    FIELD(T, STRING, resource_name, 0, LAST)                                                                 \
    ARRAY(T, alter_configs_request_config, configs, 0, LAST)

#define KAFKA_ROWS_alter_configs_request(T)                                                                  \
    ARRAY(T, alter_configs_request_resource, resources, 0, LAST)                                             \
    FIELD(T, BOOL, validate_only, 0, LAST)

#define KAFKA_ROWS_alter_configs_response_resource(T)                                                        \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, STRING, error_message, 0, LAST, NULLABLE(0))                                                    \
    FIELD(T, I8, resource_type, 0, LAST)                                                                     \
    FIELD(T, STRING, resource_name, 0, LAST)

#define KAFKA_ROWS_alter_configs_response(T)                                                                 \
    FIELD(T, I32, throttle_time_ms, 0, LAST)                                                                 \
    ARRAY(T, alter_configs_response_resource, responses, 0, LAST)

#define KAFKA_ROWS_incremental_alter_configs_request_config(T)                                               \
    FIELD(T, STRING, name, 0, LAST)                                                                          \
    FIELD(T, I8, config_operation, 0, LAST)                                                                  \
    FIELD(T, STRING, value, 0, LAST, NULLABLE(0))

#define KAFKA_ROWS_incremental_alter_configs_request_resource(T)                                             \
    FIELD(T, I8, resource_type, 0, LAST)                                                                     \
    FIELD(T, STRING, resource_name, 0, LAST)                                                                 \
    ARRAY(T, incremental_alter_configs_request_config, configs, 0, LAST)

#define KAFKA_ROWS_incremental_alter_configs_request(T)                                                      \
    ARRAY(T, incremental_alter_configs_request_resource, resources, 0, LAST)                                 \
    FIELD(T, BOOL, validate_only, 0, LAST)

#define KAFKA_ROWS_incremental_alter_configs_response_resource(T)                                            \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, STRING, error_message, 0, LAST, NULLABLE(0))                                                    \
    FIELD(T, I8, resource_type, 0, LAST)                                                                     \
    FIELD(T, STRING, resource_name, 0, LAST)

#define KAFKA_ROWS_incremental_alter_configs_response(T)                                                     \
    FIELD(T, I32, throttle_time_ms, 0, LAST)                                                                 \
    ARRAY(T, incremental_alter_configs_response_resource, responses, 0, LAST)

#define KAFKA_ROWS_describe_log_dirs_request_topic(T)                                                        \
    FIELD(T, STRING, topic, 0, LAST)                                                                         \
    LIST(T, I32, partitions, 0, LAST)

#define KAFKA_ROWS_describe_log_dirs_request(T)                                                              \
    ARRAY(T, describe_log_dirs_request_topic, topics, 0, LAST, NULLABLE(0))

#define KAFKA_ROWS_describe_log_dirs_response_partition(T)                                                   \
    FIELD(T, I32, partition_index, 0, LAST)                                                                  \
    FIELD(T, I64, partition_size, 0, LAST)                                                                   \
    FIELD(T, I64, offset_lag, 0, LAST)                                                                       \
    FIELD(T, BOOL, is_future_key, 0, LAST)

#define KAFKA_ROWS_describe_log_dirs_response_topic(T)                                                       \
    FIELD(T, STRING, name, 0, LAST)                                                                          \
    ARRAY(T, describe_log_dirs_response_partition, partitions, 0, LAST)

#define KAFKA_ROWS_describe_log_dirs_response_result(T)                                                      \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, STRING, log_dir, 0, LAST)                                                                       \
    ARRAY(T, describe_log_dirs_response_topic, topics, 0, LAST)                                              \
    FIELD(T, I64, total_bytes, 4, LAST, DEFAULT(-1))                                                         \
    FIELD(T, I64, usable_bytes, 4, LAST, DEFAULT(-1))                                                        \
    FIELD(T, BOOL, is_cordoned, 5, LAST)

#define KAFKA_ROWS_describe_log_dirs_response(T)                                                             \
    FIELD(T, I32, throttle_time_ms, 0, LAST)                                                                 \
    FIELD(T, I16, error_code, 3, LAST)                                                                       \
    ARRAY(T, describe_log_dirs_response_result, results, 0, LAST)

#define KAFKA_ROWS_describe_cluster_request(T)                                                               \
    FIELD(T, BOOL, include_cluster_authorized_operations, 0, LAST)                                           \
    FIELD(T, I8, endpoint_type, 1, LAST, DEFAULT(1))                                                         \
    FIELD(T, BOOL, include_fenced_brokers, 2, LAST)

#define KAFKA_ROWS_describe_cluster_response_broker(T)                                                       \
    FIELD(T, I32, broker_id, 0, LAST)                                                                        \
    FIELD(T, STRING, host, 0, LAST)                                                                          \
    FIELD(T, I32, port, 0, LAST)                                                                             \
    FIELD(T, STRING, rack, 0, LAST, NULLABLE(0))                                                             \
    FIELD(T, BOOL, is_fenced, 2, LAST)

#define KAFKA_ROWS_describe_cluster_response(T)                                                              \
    FIELD(T, I32, throttle_time_ms, 0, LAST)                                                                 \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, STRING, error_message, 0, LAST, NULLABLE(0))                                                    \
    FIELD(T, I8, endpoint_type, 1, LAST, DEFAULT(1))                                                         \
    FIELD(T, STRING, cluster_id, 0, LAST)                                                                    \
    FIELD(T, I32, controller_id, 0, LAST, DEFAULT(-1))                                                       \
    ARRAY(T, describe_cluster_response_broker, brokers, 0, LAST)                                             \
    FIELD(T, I32, cluster_authorized_operations, 0, LAST, DEFAULT(INT32_MIN))

#define KAFKA_ROWS_describe_topic_partitions_request_topic(T) FIELD(T, STRING, name, 0, LAST)

#define KAFKA_ROWS_describe_topic_partitions_cursor(T)                                                       \
    FIELD(T, STRING, topic_name, 0, LAST)                                                                    \
    FIELD(T, I32, partition_index, 0, LAST)

#define KAFKA_ROWS_describe_topic_partitions_request(T)                                                      \
    ARRAY(T, describe_topic_partitions_request_topic, topics, 0, LAST)                                       \
    FIELD(T, I32, response_partition_limit, 0, LAST, DEFAULT(2000))                                          \
    OPTION(T, describe_topic_partitions_cursor, cursor, 0, LAST)

#define KAFKA_ROWS_describe_topic_partitions_response_partition(T)                                           \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, I32, partition_index, 0, LAST)                                                                  \
    FIELD(T, I32, leader_id, 0, LAST)                                                                        \
    FIELD(T, I32, leader_epoch, 0, LAST, DEFAULT(-1))                                                        \
    LIST(T, I32, replica_nodes, 0, LAST)                                                                     \
    LIST(T, I32, isr_nodes, 0, LAST)                                                                         \
    LIST(T, I32, eligible_leader_replicas, 0, LAST, NULLABLE(0))                                             \
    LIST(T, I32, last_known_elr, 0, LAST, NULLABLE(0))                                                       \
    LIST(T, I32, offline_replicas, 0, LAST)

#define KAFKA_ROWS_describe_topic_partitions_response_topic(T)                                               \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, STRING, name, 0, LAST, NULLABLE(0))                                                             \
    FIELD(T, UUID, topic_id, 0, LAST)                                                                        \
    FIELD(T, BOOL, is_internal, 0, LAST)                                                                     \
    ARRAY(T, describe_topic_partitions_response_partition, partitions, 0, LAST)                              \
    FIELD(T, I32, topic_authorized_operations, 0, LAST, DEFAULT(INT32_MIN))

#define KAFKA_ROWS_describe_topic_partitions_response(T)                                                     \
    FIELD(T, I32, throttle_time_ms, 0, LAST)                                                                 \
    ARRAY(T, describe_topic_partitions_response_topic, topics, 0, LAST)                                      \
    OPTION(T, describe_topic_partitions_cursor, next_cursor, 0, LAST)

#define KAFKA_ROWS_elect_leaders_request_topic(T)                                                            \
    FIELD(T, STRING, topic, 0, LAST)                                                                         \
    LIST(T, I32, partitions, 0, LAST)

#define KAFKA_ROWS_elect_leaders_request(T)                                                                  \
    FIELD(T, I8, election_type, 1, LAST)                                                                     \
    ARRAY(T, elect_leaders_request_topic, topic_partitions, 0, LAST, NULLABLE(0))                            \
    FIELD(T, I32, timeout_ms, 0, LAST, DEFAULT(60000))

#define KAFKA_ROWS_elect_leaders_response_partition(T)                                                       \
    FIELD(T, I32, partition_id, 0, LAST)                                                                     \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, STRING, error_message, 0, LAST, NULLABLE(0))

#define KAFKA_ROWS_elect_leaders_response_topic(T)                                                           \
    FIELD(T, STRING, topic, 0, LAST)                                                                         \
    ARRAY(T, elect_leaders_response_partition, partition_result, 0, LAST)

#define KAFKA_ROWS_elect_leaders_response(T)                                                                 \
    FIELD(T, I32, throttle_time_ms, 0, LAST)                                                                 \
    FIELD(T, I16, error_code, 1, LAST)                                                                       \
    ARRAY(T, elect_leaders_response_topic, replica_election_results, 0, LAST)

#define KAFKA_ROWS_alter_partition_reassignments_request_partition(T)                                        \
    FIELD(T, I32, partition_index, 0, LAST)                                                                  \
    LIST(T, I32, replicas, 0, LAST, NULLABLE(0))

#define KAFKA_ROWS_alter_partition_reassignments_request_topic(T)                                            \
    FIELD(T, STRING, name, 0, LAST)                                                                          \
    ARRAY(T, alter_partition_reassignments_request_partition, partitions, 0, LAST)

#define KAFKA_ROWS_alter_partition_reassignments_request(T)                                                  \
    FIELD(T, I32, timeout_ms, 0, LAST, DEFAULT(60000))                                                       \
    FIELD(T, BOOL, allow_replication_factor_change, 1, LAST, DEFAULT(1))                                     \
    ARRAY(T, alter_partition_reassignments_request_topic, topics, 0, LAST)

#define KAFKA_ROWS_alter_partition_reassignments_response_partition(T)                                       \
    FIELD(T, I32, partition_index, 0, LAST)                                                                  \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, STRING, error_message, 0, LAST, NULLABLE(0))

#define KAFKA_ROWS_alter_partition_reassignments_response_topic(T)                                           \
    FIELD(T, STRING, name, 0, LAST)                                                                          \
    ARRAY(T, alter_partition_reassignments_response_partition, partitions, 0, LAST)

#define KAFKA_ROWS_alter_partition_reassignments_response(T)                                                 \
    FIELD(T, I32, throttle_time_ms, 0, LAST)                                                                 \
    FIELD(T, BOOL, allow_replication_factor_change, 1, LAST, DEFAULT(1))                                     \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, STRING, error_message, 0, LAST, NULLABLE(0))                                                    \
    ARRAY(T, alter_partition_reassignments_response_topic, responses, 0, LAST)

#define KAFKA_ROWS_list_partition_reassignments_request_topic(T)                                             \
    FIELD(T, STRING, name, 0, LAST)                                                                          \
    LIST(T, I32, partition_indexes, 0, LAST)

#define KAFKA_ROWS_list_partition_reassignments_request(T)                                                   \
    FIELD(T, I32, timeout_ms, 0, LAST, DEFAULT(60000))                                                       \
    ARRAY(T, list_partition_reassignments_request_topic, topics, 0, LAST, NULLABLE(0))

#define KAFKA_ROWS_list_partition_reassignments_response_partition(T)                                        \
    FIELD(T, I32, partition_index, 0, LAST)                                                                  \
    LIST(T, I32, replicas, 0, LAST)                                                                          \
    LIST(T, I32, adding_replicas, 0, LAST)                                                                   \
    LIST(T, I32, removing_replicas, 0, LAST)

#define KAFKA_ROWS_list_partition_reassignments_response_topic(T)                                            \
    FIELD(T, STRING, name, 0, LAST)                                                                          \
    ARRAY(T, list_partition_reassignments_response_partition, partitions, 0, LAST)

#define KAFKA_ROWS_list_partition_reassignments_response(T)                                                  \
    FIELD(T, I32, throttle_time_ms, 0, LAST)                                                                 \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, STRING, error_message, 0, LAST, NULLABLE(0))                                                    \
    ARRAY(T, list_partition_reassignments_response_topic, topics, 0, LAST)

#define KAFKA_STRUCTS_ADMIN(S)                                                                               \
    S(api_versions_request)                                                                                  \
    S(api_versions_response_api)                                                                             \
    S(api_versions_response_supported_feature)                                                               \
    S(api_versions_response_finalized_feature)                                                               \
    S(api_versions_response)                                                                                 \
    S(metadata_request_topic)                                                                                \
    S(metadata_request)                                                                                      \
    S(metadata_response_broker)                                                                              \
    S(metadata_response_partition)                                                                           \
    S(metadata_response_topic)                                                                               \
    S(metadata_response)                                                                                     \
    S(create_topics_request_assignment)                                                                      \
    S(create_topics_request_config)                                                                          \
    S(create_topics_request_topic)                                                                           \
    S(create_topics_request)                                                                                 \
    S(create_topics_response_config)                                                                         \
    S(create_topics_response_topic)                                                                          \
    S(create_topics_response)                                                                                \
    S(delete_topics_request_topic)                                                                           \
    S(delete_topics_request)                                                                                 \
    S(delete_topics_response_topic)                                                                          \
    S(delete_topics_response)                                                                                \
    S(create_partitions_request_assignment)                                                                  \
    S(create_partitions_request_topic)                                                                       \
    S(create_partitions_request)                                                                             \
    S(create_partitions_response_topic)                                                                      \
    S(create_partitions_response)                                                                            \
    S(describe_configs_request_resource)                                                                     \
    S(describe_configs_request)                                                                              \
    S(describe_configs_response_synonym)                                                                     \
    S(describe_configs_response_config)                                                                      \
    S(describe_configs_response_resource)                                                                    \
    S(describe_configs_response)                                                                             \
    S(alter_configs_request_config)                                                                          \
    S(alter_configs_request_resource)                                                                        \
    S(alter_configs_request)                                                                                 \
    S(alter_configs_response_resource)                                                                       \
    S(alter_configs_response)                                                                                \
    S(incremental_alter_configs_request_config)                                                              \
    S(incremental_alter_configs_request_resource)                                                            \
    S(incremental_alter_configs_request)                                                                     \
    S(incremental_alter_configs_response_resource)                                                           \
    S(incremental_alter_configs_response)                                                                    \
    S(describe_log_dirs_request_topic)                                                                       \
    S(describe_log_dirs_request)                                                                             \
    S(describe_log_dirs_response_partition)                                                                  \
    S(describe_log_dirs_response_topic)                                                                      \
    S(describe_log_dirs_response_result)                                                                     \
    S(describe_log_dirs_response)                                                                            \
    S(describe_cluster_request)                                                                              \
    S(describe_cluster_response_broker)                                                                      \
    S(describe_cluster_response)                                                                             \
    S(describe_topic_partitions_request_topic)                                                               \
    S(describe_topic_partitions_cursor)                                                                      \
    S(describe_topic_partitions_request)                                                                     \
    S(describe_topic_partitions_response_partition)                                                          \
    S(describe_topic_partitions_response_topic)                                                              \
    S(describe_topic_partitions_response)                                                                    \
    S(elect_leaders_request_topic)                                                                           \
    S(elect_leaders_request)                                                                                 \
    S(elect_leaders_response_partition)                                                                      \
    S(elect_leaders_response_topic)                                                                          \
    S(elect_leaders_response)                                                                                \
    S(alter_partition_reassignments_request_partition)                                                       \
    S(alter_partition_reassignments_request_topic)                                                           \
    S(alter_partition_reassignments_request)                                                                 \
    S(alter_partition_reassignments_response_partition)                                                      \
    S(alter_partition_reassignments_response_topic)                                                          \
    S(alter_partition_reassignments_response)                                                                \
    S(list_partition_reassignments_request_topic)                                                            \
    S(list_partition_reassignments_request)                                                                  \
    S(list_partition_reassignments_response_partition)                                                       \
    S(list_partition_reassignments_response_topic)                                                           \
    S(list_partition_reassignments_response)

#endif
