// SPDX-License-Identifier: Apache-2.0
/* kafka_schema_group.h: rows of the messages of consumer groups.
 * Columns are explained in kafka_schema.h, which is what to include.
 * Source: the Kafka protocol guide and the KIPs named at each key in docs/protocols.md. */
#ifndef SENTINEL_WIRE_KAFKA_SCHEMA_GROUP_H
#define SENTINEL_WIRE_KAFKA_SCHEMA_GROUP_H

#define KAFKA_ROWS_find_coordinator_request(T)                                                               \
    FIELD(T, STRING, key, 0, 3)                                                                              \
    FIELD(T, I8, key_type, 1, LAST)                                                                          \
    LIST(T, STRING, coordinator_keys, 4, LAST)

#define KAFKA_ROWS_find_coordinator_response_coordinator(T)                                                  \
    FIELD(T, STRING, key, 4, LAST)                                                                           \
    FIELD(T, I32, node_id, 4, LAST)                                                                          \
    FIELD(T, STRING, host, 4, LAST)                                                                          \
    FIELD(T, I32, port, 4, LAST)                                                                             \
    FIELD(T, I16, error_code, 4, LAST)                                                                       \
    FIELD(T, STRING, error_message, 4, LAST, NULLABLE(4))

#define KAFKA_ROWS_find_coordinator_response(T)                                                              \
    FIELD(T, I32, throttle_time_ms, 1, LAST)                                                                 \
    FIELD(T, I16, error_code, 0, 3)                                                                          \
    FIELD(T, STRING, error_message, 1, 3, NULLABLE(1))                                                       \
    FIELD(T, I32, node_id, 0, 3)                                                                             \
    FIELD(T, STRING, host, 0, 3)                                                                             \
    FIELD(T, I32, port, 0, 3)                                                                                \
    ARRAY(T, find_coordinator_response_coordinator, coordinators, 4, LAST)

#define KAFKA_ROWS_offset_commit_request_partition(T)                                                        \
    FIELD(T, I32, partition_index, 0, LAST)                                                                  \
    FIELD(T, I64, committed_offset, 0, LAST)                                                                 \
    FIELD(T, I32, committed_leader_epoch, 6, LAST, DEFAULT(-1))                                              \
    FIELD(T, STRING, committed_metadata, 0, LAST, NULLABLE(0))

#define KAFKA_ROWS_offset_commit_request_topic(T)                                                            \
    FIELD(T, STRING, name, 0, 9)                                                                             \
    FIELD(T, UUID, topic_id, 10, LAST)                                                                       \
    ARRAY(T, offset_commit_request_partition, partitions, 0, LAST)

#define KAFKA_ROWS_offset_commit_request(T)                                                                  \
    FIELD(T, STRING, group_id, 0, LAST)                                                                      \
    FIELD(T, I32, generation_id_or_member_epoch, 1, LAST, DEFAULT(-1))                                       \
    FIELD(T, STRING, member_id, 1, LAST)                                                                     \
    FIELD(T, STRING, group_instance_id, 7, LAST, NULLABLE(7))                                                \
    FIELD(T, I64, retention_time_ms, 2, 4, DEFAULT(-1))                                                      \
    ARRAY(T, offset_commit_request_topic, topics, 0, LAST)

#define KAFKA_ROWS_offset_commit_response_partition(T)                                                       \
    FIELD(T, I32, partition_index, 0, LAST)                                                                  \
    FIELD(T, I16, error_code, 0, LAST)

#define KAFKA_ROWS_offset_commit_response_topic(T)                                                           \
    FIELD(T, STRING, name, 0, 9)                                                                             \
    FIELD(T, UUID, topic_id, 10, LAST)                                                                       \
    ARRAY(T, offset_commit_response_partition, partitions, 0, LAST)

#define KAFKA_ROWS_offset_commit_response(T)                                                                 \
    FIELD(T, I32, throttle_time_ms, 3, LAST)                                                                 \
    ARRAY(T, offset_commit_response_topic, topics, 0, LAST)

#define KAFKA_ROWS_offset_fetch_request_topic(T)                                                             \
    FIELD(T, STRING, name, 0, 9)                                                                             \
    FIELD(T, UUID, topic_id, 10, LAST)                                                                       \
    LIST(T, I32, partition_indexes, 0, LAST)

#define KAFKA_ROWS_offset_fetch_request_group(T)                                                             \
    FIELD(T, STRING, group_id, 8, LAST)                                                                      \
    FIELD(T, STRING, member_id, 9, LAST, NULLABLE(9))                                                        \
    FIELD(T, I32, member_epoch, 9, LAST, DEFAULT(-1))                                                        \
    ARRAY(T, offset_fetch_request_topic, topics, 8, LAST, NULLABLE(8))

#define KAFKA_ROWS_offset_fetch_request(T)                                                                   \
    FIELD(T, STRING, group_id, 0, 7)                                                                         \
    ARRAY(T, offset_fetch_request_topic, topics, 0, 7, NULLABLE(2))                                          \
    ARRAY(T, offset_fetch_request_group, groups, 8, LAST)                                                    \
    FIELD(T, BOOL, require_stable, 7, LAST)

#define KAFKA_ROWS_offset_fetch_response_partition(T)                                                        \
    FIELD(T, I32, partition_index, 0, LAST)                                                                  \
    FIELD(T, I64, committed_offset, 0, LAST)                                                                 \
    FIELD(T, I32, committed_leader_epoch, 5, LAST, DEFAULT(-1))                                              \
    FIELD(T, STRING, metadata, 0, LAST, NULLABLE(0))                                                         \
    FIELD(T, I16, error_code, 0, LAST)

#define KAFKA_ROWS_offset_fetch_response_topic(T)                                                            \
    FIELD(T, STRING, name, 0, 9)                                                                             \
    FIELD(T, UUID, topic_id, 10, LAST)                                                                       \
    ARRAY(T, offset_fetch_response_partition, partitions, 0, LAST)

#define KAFKA_ROWS_offset_fetch_response_group(T)                                                            \
    FIELD(T, STRING, group_id, 8, LAST)                                                                      \
    ARRAY(T, offset_fetch_response_topic, topics, 8, LAST)                                                   \
    FIELD(T, I16, error_code, 8, LAST)

#define KAFKA_ROWS_offset_fetch_response(T)                                                                  \
    FIELD(T, I32, throttle_time_ms, 3, LAST)                                                                 \
    ARRAY(T, offset_fetch_response_topic, topics, 0, 7)                                                      \
    FIELD(T, I16, error_code, 2, 7)                                                                          \
    ARRAY(T, offset_fetch_response_group, groups, 8, LAST)

#define KAFKA_ROWS_join_group_request_protocol(T)                                                            \
    FIELD(T, STRING, name, 0, LAST)                                                                          \
    FIELD(T, BYTES, metadata, 0, LAST)

#define KAFKA_ROWS_join_group_request(T)                                                                     \
    FIELD(T, STRING, group_id, 0, LAST)                                                                      \
    FIELD(T, I32, session_timeout_ms, 0, LAST)                                                               \
    FIELD(T, I32, rebalance_timeout_ms, 1, LAST, DEFAULT(-1))                                                \
    FIELD(T, STRING, member_id, 0, LAST)                                                                     \
    FIELD(T, STRING, group_instance_id, 5, LAST, NULLABLE(5))                                                \
    FIELD(T, STRING, protocol_type, 0, LAST)                                                                 \
    ARRAY(T, join_group_request_protocol, protocols, 0, LAST)                                                \
    FIELD(T, STRING, reason, 8, LAST, NULLABLE(8))

#define KAFKA_ROWS_join_group_response_member(T)                                                             \
    FIELD(T, STRING, member_id, 0, LAST)                                                                     \
    FIELD(T, STRING, group_instance_id, 5, LAST, NULLABLE(5))                                                \
    FIELD(T, BYTES, metadata, 0, LAST)

#define KAFKA_ROWS_join_group_response(T)                                                                    \
    FIELD(T, I32, throttle_time_ms, 2, LAST)                                                                 \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, I32, generation_id, 0, LAST, DEFAULT(-1))                                                       \
    FIELD(T, STRING, protocol_type, 7, LAST, NULLABLE(7))                                                    \
    FIELD(T, STRING, protocol_name, 0, LAST, NULLABLE(7))                                                    \
    FIELD(T, STRING, leader, 0, LAST)                                                                        \
    FIELD(T, BOOL, skip_assignment, 9, LAST)                                                                 \
    FIELD(T, STRING, member_id, 0, LAST)                                                                     \
    ARRAY(T, join_group_response_member, members, 0, LAST)

#define KAFKA_ROWS_heartbeat_request(T)                                                                      \
    FIELD(T, STRING, group_id, 0, LAST)                                                                      \
    FIELD(T, I32, generation_id, 0, LAST)                                                                    \
    FIELD(T, STRING, member_id, 0, LAST)                                                                     \
    FIELD(T, STRING, group_instance_id, 3, LAST, NULLABLE(3))

#define KAFKA_ROWS_heartbeat_response(T)                                                                     \
    FIELD(T, I32, throttle_time_ms, 1, LAST)                                                                 \
    FIELD(T, I16, error_code, 0, LAST)

#define KAFKA_ROWS_leave_group_request_member(T)                                                             \
    FIELD(T, STRING, member_id, 3, LAST)                                                                     \
    FIELD(T, STRING, group_instance_id, 3, LAST, NULLABLE(3))                                                \
    FIELD(T, STRING, reason, 5, LAST, NULLABLE(5))

#define KAFKA_ROWS_leave_group_request(T)                                                                    \
    FIELD(T, STRING, group_id, 0, LAST)                                                                      \
    FIELD(T, STRING, member_id, 0, 2)                                                                        \
    ARRAY(T, leave_group_request_member, members, 3, LAST)

#define KAFKA_ROWS_leave_group_response_member(T)                                                            \
    FIELD(T, STRING, member_id, 3, LAST)                                                                     \
    FIELD(T, STRING, group_instance_id, 3, LAST, NULLABLE(3))                                                \
    FIELD(T, I16, error_code, 3, LAST)

#define KAFKA_ROWS_leave_group_response(T)                                                                   \
    FIELD(T, I32, throttle_time_ms, 1, LAST)                                                                 \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    ARRAY(T, leave_group_response_member, members, 3, LAST)

#define KAFKA_ROWS_sync_group_request_assignment(T)                                                          \
    FIELD(T, STRING, member_id, 0, LAST)                                                                     \
    FIELD(T, BYTES, assignment, 0, LAST)

#define KAFKA_ROWS_sync_group_request(T)                                                                     \
    FIELD(T, STRING, group_id, 0, LAST)                                                                      \
    FIELD(T, I32, generation_id, 0, LAST)                                                                    \
    FIELD(T, STRING, member_id, 0, LAST)                                                                     \
    FIELD(T, STRING, group_instance_id, 3, LAST, NULLABLE(3))                                                \
    FIELD(T, STRING, protocol_type, 5, LAST, NULLABLE(5))                                                    \
    FIELD(T, STRING, protocol_name, 5, LAST, NULLABLE(5))                                                    \
    ARRAY(T, sync_group_request_assignment, assignments, 0, LAST)

#define KAFKA_ROWS_sync_group_response(T)                                                                    \
    FIELD(T, I32, throttle_time_ms, 1, LAST)                                                                 \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, STRING, protocol_type, 5, LAST, NULLABLE(5))                                                    \
    FIELD(T, STRING, protocol_name, 5, LAST, NULLABLE(5))                                                    \
    FIELD(T, BYTES, assignment, 0, LAST)

#define KAFKA_ROWS_describe_groups_request(T)                                                                \
    LIST(T, STRING, groups, 0, LAST)                                                                         \
    FIELD(T, BOOL, include_authorized_operations, 3, LAST)

#define KAFKA_ROWS_describe_groups_response_member(T)                                                        \
    FIELD(T, STRING, member_id, 0, LAST)                                                                     \
    FIELD(T, STRING, group_instance_id, 4, LAST, NULLABLE(4))                                                \
    FIELD(T, STRING, client_id, 0, LAST)                                                                     \
    FIELD(T, STRING, client_host, 0, LAST)                                                                   \
    FIELD(T, BYTES, member_metadata, 0, LAST)                                                                \
    FIELD(T, BYTES, member_assignment, 0, LAST)

#define KAFKA_ROWS_describe_groups_response_group(T)                                                         \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, STRING, error_message, 6, LAST, NULLABLE(6))                                                    \
    FIELD(T, STRING, group_id, 0, LAST)                                                                      \
    FIELD(T, STRING, group_state, 0, LAST)                                                                   \
    FIELD(T, STRING, protocol_type, 0, LAST)                                                                 \
    FIELD(T, STRING, protocol_data, 0, LAST)                                                                 \
    ARRAY(T, describe_groups_response_member, members, 0, LAST)                                              \
    FIELD(T, I32, authorized_operations, 3, LAST, DEFAULT(INT32_MIN))

#define KAFKA_ROWS_describe_groups_response(T)                                                               \
    FIELD(T, I32, throttle_time_ms, 1, LAST)                                                                 \
    ARRAY(T, describe_groups_response_group, groups, 0, LAST)

#define KAFKA_ROWS_list_groups_request(T)                                                                    \
    LIST(T, STRING, states_filter, 4, LAST)                                                                  \
    LIST(T, STRING, types_filter, 5, LAST)

#define KAFKA_ROWS_list_groups_response_group(T)                                                             \
    FIELD(T, STRING, group_id, 0, LAST)                                                                      \
    FIELD(T, STRING, protocol_type, 0, LAST)                                                                 \
    FIELD(T, STRING, group_state, 4, LAST)                                                                   \
    FIELD(T, STRING, group_type, 5, LAST)

#define KAFKA_ROWS_list_groups_response(T)                                                                   \
    FIELD(T, I32, throttle_time_ms, 1, LAST)                                                                 \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    ARRAY(T, list_groups_response_group, groups, 0, LAST)

#define KAFKA_ROWS_delete_groups_request(T) LIST(T, STRING, groups_names, 0, LAST)

#define KAFKA_ROWS_delete_groups_response_result(T)                                                          \
    FIELD(T, STRING, group_id, 0, LAST)                                                                      \
    FIELD(T, I16, error_code, 0, LAST)

#define KAFKA_ROWS_delete_groups_response(T)                                                                 \
    FIELD(T, I32, throttle_time_ms, 0, LAST)                                                                 \
    ARRAY(T, delete_groups_response_result, results, 0, LAST)

#define KAFKA_ROWS_offset_delete_request_partition(T) FIELD(T, I32, partition_index, 0, LAST)

#define KAFKA_ROWS_offset_delete_request_topic(T)                                                            \
    FIELD(T, STRING, name, 0, LAST)                                                                          \
    ARRAY(T, offset_delete_request_partition, partitions, 0, LAST)

#define KAFKA_ROWS_offset_delete_request(T)                                                                  \
    FIELD(T, STRING, group_id, 0, LAST)                                                                      \
    ARRAY(T, offset_delete_request_topic, topics, 0, LAST)

#define KAFKA_ROWS_offset_delete_response_partition(T)                                                       \
    FIELD(T, I32, partition_index, 0, LAST)                                                                  \
    FIELD(T, I16, error_code, 0, LAST)

#define KAFKA_ROWS_offset_delete_response_topic(T)                                                           \
    FIELD(T, STRING, name, 0, LAST)                                                                          \
    ARRAY(T, offset_delete_response_partition, partitions, 0, LAST)

#define KAFKA_ROWS_offset_delete_response(T)                                                                 \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, I32, throttle_time_ms, 0, LAST)                                                                 \
    ARRAY(T, offset_delete_response_topic, topics, 0, LAST)

#define KAFKA_ROWS_consumer_group_heartbeat_request_topic(T)                                                 \
    FIELD(T, UUID, topic_id, 0, LAST)                                                                        \
    LIST(T, I32, partitions, 0, LAST)

#define KAFKA_ROWS_consumer_group_heartbeat_request(T)                                                       \
    FIELD(T, STRING, group_id, 0, LAST)                                                                      \
    FIELD(T, STRING, member_id, 0, LAST)                                                                     \
    FIELD(T, I32, member_epoch, 0, LAST)                                                                     \
    FIELD(T, STRING, instance_id, 0, LAST, NULLABLE(0))                                                      \
    FIELD(T, STRING, rack_id, 0, LAST, NULLABLE(0))                                                          \
    FIELD(T, I32, rebalance_timeout_ms, 0, LAST, DEFAULT(-1))                                                \
    LIST(T, STRING, subscribed_topic_names, 0, LAST, NULLABLE(0))                                            \
    FIELD(T, STRING, subscribed_topic_regex, 1, LAST, NULLABLE(1))                                           \
    FIELD(T, STRING, server_assignor, 0, LAST, NULLABLE(0))                                                  \
    ARRAY(T, consumer_group_heartbeat_request_topic, topic_partitions, 0, LAST, NULLABLE(0))

#define KAFKA_ROWS_consumer_group_heartbeat_response_topic(T)                                                \
    FIELD(T, UUID, topic_id, 0, LAST)                                                                        \
    LIST(T, I32, partitions, 0, LAST)

#define KAFKA_ROWS_consumer_group_heartbeat_response_assignment(T)                                           \
    ARRAY(T, consumer_group_heartbeat_response_topic, topic_partitions, 0, LAST)

#define KAFKA_ROWS_consumer_group_heartbeat_response(T)                                                      \
    FIELD(T, I32, throttle_time_ms, 0, LAST)                                                                 \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, STRING, error_message, 0, LAST, NULLABLE(0))                                                    \
    FIELD(T, STRING, member_id, 0, LAST, NULLABLE(0))                                                        \
    FIELD(T, I32, member_epoch, 0, LAST)                                                                     \
    FIELD(T, I32, heartbeat_interval_ms, 0, LAST)                                                            \
    OPTION(T, consumer_group_heartbeat_response_assignment, assignment, 0, LAST)

#define KAFKA_ROWS_consumer_group_describe_request(T)                                                        \
    LIST(T, STRING, group_ids, 0, LAST)                                                                      \
    FIELD(T, BOOL, include_authorized_operations, 0, LAST)

#define KAFKA_ROWS_consumer_group_describe_response_topic(T)                                                 \
    FIELD(T, UUID, topic_id, 0, LAST)                                                                        \
    FIELD(T, STRING, topic_name, 0, LAST)                                                                    \
    LIST(T, I32, partitions, 0, LAST)

#define KAFKA_ROWS_consumer_group_describe_response_assignment(T)                                            \
    ARRAY(T, consumer_group_describe_response_topic, topic_partitions, 0, LAST)

#define KAFKA_ROWS_consumer_group_describe_response_member(T)                                                \
    FIELD(T, STRING, member_id, 0, LAST)                                                                     \
    FIELD(T, STRING, instance_id, 0, LAST, NULLABLE(0))                                                      \
    FIELD(T, STRING, rack_id, 0, LAST, NULLABLE(0))                                                          \
    FIELD(T, I32, member_epoch, 0, LAST)                                                                     \
    FIELD(T, STRING, client_id, 0, LAST)                                                                     \
    FIELD(T, STRING, client_host, 0, LAST)                                                                   \
    LIST(T, STRING, subscribed_topic_names, 0, LAST)                                                         \
    FIELD(T, STRING, subscribed_topic_regex, 0, LAST, NULLABLE(0))                                           \
    OBJECT(T, consumer_group_describe_response_assignment, assignment, 0, LAST)                              \
    OBJECT(T, consumer_group_describe_response_assignment, target_assignment, 0, LAST)                       \
    FIELD(T, I8, member_type, 1, LAST, DEFAULT(-1))

#define KAFKA_ROWS_consumer_group_describe_response_group(T)                                                 \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, STRING, error_message, 0, LAST, NULLABLE(0))                                                    \
    FIELD(T, STRING, group_id, 0, LAST)                                                                      \
    FIELD(T, STRING, group_state, 0, LAST)                                                                   \
    FIELD(T, I32, group_epoch, 0, LAST)                                                                      \
    FIELD(T, I32, assignment_epoch, 0, LAST)                                                                 \
    FIELD(T, STRING, assignor_name, 0, LAST)                                                                 \
    ARRAY(T, consumer_group_describe_response_member, members, 0, LAST)                                      \
    FIELD(T, I32, authorized_operations, 0, LAST, DEFAULT(INT32_MIN))

#define KAFKA_ROWS_consumer_group_describe_response(T)                                                       \
    FIELD(T, I32, throttle_time_ms, 0, LAST)                                                                 \
    ARRAY(T, consumer_group_describe_response_group, groups, 0, LAST)

#define KAFKA_STRUCTS_GROUP(S)                                                                               \
    S(find_coordinator_request)                                                                              \
    S(find_coordinator_response_coordinator)                                                                 \
    S(find_coordinator_response)                                                                             \
    S(offset_commit_request_partition)                                                                       \
    S(offset_commit_request_topic)                                                                           \
    S(offset_commit_request)                                                                                 \
    S(offset_commit_response_partition)                                                                      \
    S(offset_commit_response_topic)                                                                          \
    S(offset_commit_response)                                                                                \
    S(offset_fetch_request_topic)                                                                            \
    S(offset_fetch_request_group)                                                                            \
    S(offset_fetch_request)                                                                                  \
    S(offset_fetch_response_partition)                                                                       \
    S(offset_fetch_response_topic)                                                                           \
    S(offset_fetch_response_group)                                                                           \
    S(offset_fetch_response)                                                                                 \
    S(join_group_request_protocol)                                                                           \
    S(join_group_request)                                                                                    \
    S(join_group_response_member)                                                                            \
    S(join_group_response)                                                                                   \
    S(heartbeat_request)                                                                                     \
    S(heartbeat_response)                                                                                    \
    S(leave_group_request_member)                                                                            \
    S(leave_group_request)                                                                                   \
    S(leave_group_response_member)                                                                           \
    S(leave_group_response)                                                                                  \
    S(sync_group_request_assignment)                                                                         \
    S(sync_group_request)                                                                                    \
    S(sync_group_response)                                                                                   \
    S(describe_groups_request)                                                                               \
    S(describe_groups_response_member)                                                                       \
    S(describe_groups_response_group)                                                                        \
    S(describe_groups_response)                                                                              \
    S(list_groups_request)                                                                                   \
    S(list_groups_response_group)                                                                            \
    S(list_groups_response)                                                                                  \
    S(delete_groups_request)                                                                                 \
    S(delete_groups_response_result)                                                                         \
    S(delete_groups_response)                                                                                \
    S(offset_delete_request_partition)                                                                       \
    S(offset_delete_request_topic)                                                                           \
    S(offset_delete_request)                                                                                 \
    S(offset_delete_response_partition)                                                                      \
    S(offset_delete_response_topic)                                                                          \
    S(offset_delete_response)                                                                                \
    S(consumer_group_heartbeat_request_topic)                                                                \
    S(consumer_group_heartbeat_request)                                                                      \
    S(consumer_group_heartbeat_response_topic)                                                               \
    S(consumer_group_heartbeat_response_assignment)                                                          \
    S(consumer_group_heartbeat_response)                                                                     \
    S(consumer_group_describe_request)                                                                       \
    S(consumer_group_describe_response_topic)                                                                \
    S(consumer_group_describe_response_assignment)                                                           \
    S(consumer_group_describe_response_member)                                                               \
    S(consumer_group_describe_response_group)                                                                \
    S(consumer_group_describe_response)

#endif
