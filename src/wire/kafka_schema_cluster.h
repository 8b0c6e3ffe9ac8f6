// SPDX-License-Identifier: Apache-2.0
/* kafka_schema_cluster.h: rows of the messages about the nodes of a cluster and what is configured on them.
 * Columns are explained in kafka_schema.h, which is what to include.
 * Source: the Kafka protocol guide and the KIPs named at each key in docs/protocols.md. */
#ifndef SENTINEL_WIRE_KAFKA_SCHEMA_CLUSTER_H
#define SENTINEL_WIRE_KAFKA_SCHEMA_CLUSTER_H

#define KAFKA_ROWS_describe_quorum_request_partition(T) FIELD(T, I32, partition_index, 0, LAST)

#define KAFKA_ROWS_describe_quorum_request_topic(T)                                                          \
    FIELD(T, STRING, topic_name, 0, LAST)                                                                    \
    ARRAY(T, describe_quorum_request_partition, partitions, 0, LAST)

#define KAFKA_ROWS_describe_quorum_request(T) ARRAY(T, describe_quorum_request_topic, topics, 0, LAST)

#define KAFKA_ROWS_describe_quorum_response_replica(T)                                                       \
    FIELD(T, I32, replica_id, 0, LAST)                                                                       \
    FIELD(T, UUID, replica_directory_id, 2, LAST)                                                            \
    FIELD(T, I64, log_end_offset, 0, LAST)                                                                   \
    FIELD(T, I64, last_fetch_timestamp, 1, LAST, DEFAULT(-1))                                                \
    FIELD(T, I64, last_caught_up_timestamp, 1, LAST, DEFAULT(-1))

#define KAFKA_ROWS_describe_quorum_response_partition(T)                                                     \
    FIELD(T, I32, partition_index, 0, LAST)                                                                  \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, STRING, error_message, 2, LAST, NULLABLE(2))                                                    \
    FIELD(T, I32, leader_id, 0, LAST)                                                                        \
    FIELD(T, I32, leader_epoch, 0, LAST)                                                                     \
    FIELD(T, I64, high_watermark, 0, LAST)                                                                   \
    ARRAY(T, describe_quorum_response_replica, current_voters, 0, LAST)                                      \
    ARRAY(T, describe_quorum_response_replica, observers, 0, LAST)

#define KAFKA_ROWS_describe_quorum_response_topic(T)                                                         \
    FIELD(T, STRING, topic_name, 0, LAST)                                                                    \
    ARRAY(T, describe_quorum_response_partition, partitions, 0, LAST)

#define KAFKA_ROWS_describe_quorum_response_listener(T)                                                      \
    FIELD(T, STRING, name, 2, LAST)                                                                          \
    FIELD(T, STRING, host, 2, LAST)                                                                          \
    FIELD(T, I16, port, 2, LAST)

#define KAFKA_ROWS_describe_quorum_response_node(T)                                                          \
    FIELD(T, I32, node_id, 2, LAST)                                                                          \
    ARRAY(T, describe_quorum_response_listener, listeners, 2, LAST)

#define KAFKA_ROWS_describe_quorum_response(T)                                                               \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, STRING, error_message, 2, LAST, NULLABLE(2))                                                    \
    ARRAY(T, describe_quorum_response_topic, topics, 0, LAST)                                                \
    ARRAY(T, describe_quorum_response_node, nodes, 2, LAST)

#define KAFKA_ROWS_update_features_request_feature(T)                                                        \
    FIELD(T, STRING, feature, 0, LAST)                                                                       \
    FIELD(T, I16, max_version_level, 0, LAST)                                                                \
    FIELD(T, BOOL, allow_downgrade, 0, 0)                                                                    \
    FIELD(T, I8, upgrade_type, 1, LAST, DEFAULT(1))

#define KAFKA_ROWS_update_features_request(T)                                                                \
    FIELD(T, I32, timeout_ms, 0, LAST, DEFAULT(60000))                                                       \
    ARRAY(T, update_features_request_feature, feature_updates, 0, LAST)                                      \
    FIELD(T, BOOL, validate_only, 1, LAST)

#define KAFKA_ROWS_update_features_response_result(T)                                                        \
    FIELD(T, STRING, feature, 0, LAST)                                                                       \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, STRING, error_message, 0, LAST, NULLABLE(0))

#define KAFKA_ROWS_update_features_response(T)                                                               \
    FIELD(T, I32, throttle_time_ms, 0, LAST)                                                                 \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, STRING, error_message, 0, LAST, NULLABLE(0))                                                    \
    ARRAY(T, update_features_response_result, results, 0, 1)

#define KAFKA_ROWS_unregister_broker_request(T) FIELD(T, I32, broker_id, 0, LAST)

#define KAFKA_ROWS_unregister_broker_response(T)                                                             \
    FIELD(T, I32, throttle_time_ms, 0, LAST)                                                                 \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, STRING, error_message, 0, LAST, NULLABLE(0))

#define KAFKA_ROWS_alter_replica_log_dirs_request_topic(T)                                                   \
    FIELD(T, STRING, name, 0, LAST)                                                                          \
    LIST(T, I32, partitions, 0, LAST)

#define KAFKA_ROWS_alter_replica_log_dirs_request_dir(T)                                                     \
    FIELD(T, STRING, path, 0, LAST)                                                                          \
    ARRAY(T, alter_replica_log_dirs_request_topic, topics, 0, LAST)

#define KAFKA_ROWS_alter_replica_log_dirs_request(T)                                                         \
    ARRAY(T, alter_replica_log_dirs_request_dir, dirs, 0, LAST)

#define KAFKA_ROWS_alter_replica_log_dirs_response_partition(T)                                              \
    FIELD(T, I32, partition_index, 0, LAST)                                                                  \
    FIELD(T, I16, error_code, 0, LAST)

#define KAFKA_ROWS_alter_replica_log_dirs_response_topic(T)                                                  \
    FIELD(T, STRING, topic_name, 0, LAST)                                                                    \
    ARRAY(T, alter_replica_log_dirs_response_partition, partitions, 0, LAST)

#define KAFKA_ROWS_alter_replica_log_dirs_response(T)                                                        \
    FIELD(T, I32, throttle_time_ms, 0, LAST)                                                                 \
    ARRAY(T, alter_replica_log_dirs_response_topic, results, 0, LAST)

#define KAFKA_ROWS_list_config_resources_request(T) LIST(T, I8, resource_types, 1, LAST)

#define KAFKA_ROWS_list_config_resources_response_resource(T)                                                \
    FIELD(T, STRING, resource_name, 0, LAST)                                                                 \
    FIELD(T, I8, resource_type, 1, LAST, DEFAULT(16))

#define KAFKA_ROWS_list_config_resources_response(T)                                                         \
    FIELD(T, I32, throttle_time_ms, 0, LAST)                                                                 \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    ARRAY(T, list_config_resources_response_resource, config_resources, 0, LAST)

#define KAFKA_STRUCTS_CLUSTER(S)                                                                             \
    S(describe_quorum_request_partition)                                                                     \
    S(describe_quorum_request_topic)                                                                         \
    S(describe_quorum_request)                                                                               \
    S(describe_quorum_response_replica)                                                                      \
    S(describe_quorum_response_partition)                                                                    \
    S(describe_quorum_response_topic)                                                                        \
    S(describe_quorum_response_listener)                                                                     \
    S(describe_quorum_response_node)                                                                         \
    S(describe_quorum_response)                                                                              \
    S(update_features_request_feature)                                                                       \
    S(update_features_request)                                                                               \
    S(update_features_response_result)                                                                       \
    S(update_features_response)                                                                              \
    S(unregister_broker_request)                                                                             \
    S(unregister_broker_response)                                                                            \
    S(alter_replica_log_dirs_request_topic)                                                                  \
    S(alter_replica_log_dirs_request_dir)                                                                    \
    S(alter_replica_log_dirs_request)                                                                        \
    S(alter_replica_log_dirs_response_partition)                                                             \
    S(alter_replica_log_dirs_response_topic)                                                                 \
    S(alter_replica_log_dirs_response)                                                                       \
    S(list_config_resources_request)                                                                         \
    S(list_config_resources_response_resource)                                                               \
    S(list_config_resources_response)

#endif
