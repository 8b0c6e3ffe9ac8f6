// SPDX-License-Identifier: Apache-2.0
/* kafka_schema_txn.h: rows of the messages of transactions.
 * Columns are explained in kafka_schema.h, which is what to include.
 * Source: the Kafka protocol guide and the KIPs named at each key in docs/protocols.md. */
#ifndef SENTINEL_WIRE_KAFKA_SCHEMA_TXN_H
#define SENTINEL_WIRE_KAFKA_SCHEMA_TXN_H

#define KAFKA_ROWS_add_partitions_to_txn_request_topic(T)                                                    \
    FIELD(T, STRING, name, 0, LAST)                                                                          \
    LIST(T, I32, partitions, 0, LAST)

#define KAFKA_ROWS_add_partitions_to_txn_request(T)                                                          \
    FIELD(T, STRING, transactional_id, 0, LAST)                                                              \
    FIELD(T, I64, producer_id, 0, LAST)                                                                      \
    FIELD(T, I16, producer_epoch, 0, LAST)                                                                   \
    ARRAY(T, add_partitions_to_txn_request_topic, topics, 0, LAST)

#define KAFKA_ROWS_add_partitions_to_txn_response_partition(T)                                               \
    FIELD(T, I32, partition_index, 0, LAST)                                                                  \
    FIELD(T, I16, error_code, 0, LAST)

#define KAFKA_ROWS_add_partitions_to_txn_response_topic(T)                                                   \
    FIELD(T, STRING, name, 0, LAST)                                                                          \
    ARRAY(T, add_partitions_to_txn_response_partition, partitions, 0, LAST)

#define KAFKA_ROWS_add_partitions_to_txn_response(T)                                                         \
    FIELD(T, I32, throttle_time_ms, 0, LAST)                                                                 \
    ARRAY(T, add_partitions_to_txn_response_topic, topics, 0, LAST)

#define KAFKA_ROWS_add_offsets_to_txn_request(T)                                                             \
    FIELD(T, STRING, transactional_id, 0, LAST)                                                              \
    FIELD(T, I64, producer_id, 0, LAST)                                                                      \
    FIELD(T, I16, producer_epoch, 0, LAST)                                                                   \
    FIELD(T, STRING, group_id, 0, LAST)

#define KAFKA_ROWS_add_offsets_to_txn_response(T)                                                            \
    FIELD(T, I32, throttle_time_ms, 0, LAST)                                                                 \
    FIELD(T, I16, error_code, 0, LAST)

#define KAFKA_ROWS_end_txn_request(T)                                                                        \
    FIELD(T, STRING, transactional_id, 0, LAST)                                                              \
    FIELD(T, I64, producer_id, 0, LAST)                                                                      \
    FIELD(T, I16, producer_epoch, 0, LAST)                                                                   \
    FIELD(T, BOOL, committed, 0, LAST)

#define KAFKA_ROWS_end_txn_response(T)                                                                       \
    FIELD(T, I32, throttle_time_ms, 0, LAST)                                                                 \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, I64, producer_id, 5, LAST, DEFAULT(-1))                                                         \
    FIELD(T, I16, producer_epoch, 5, LAST, DEFAULT(-1))

#define KAFKA_ROWS_txn_offset_commit_request_partition(T)                                                    \
    FIELD(T, I32, partition_index, 0, LAST)                                                                  \
    FIELD(T, I64, committed_offset, 0, LAST)                                                                 \
    FIELD(T, I32, committed_leader_epoch, 2, LAST, DEFAULT(-1))                                              \
    FIELD(T, STRING, committed_metadata, 0, LAST, NULLABLE(0))

#define KAFKA_ROWS_txn_offset_commit_request_topic(T)                                                        \
    FIELD(T, STRING, name, 0, LAST)                                                                          \
    ARRAY(T, txn_offset_commit_request_partition, partitions, 0, LAST)

#define KAFKA_ROWS_txn_offset_commit_request(T)                                                              \
    FIELD(T, STRING, transactional_id, 0, LAST)                                                              \
    FIELD(T, STRING, group_id, 0, LAST)                                                                      \
    FIELD(T, I64, producer_id, 0, LAST)                                                                      \
    FIELD(T, I16, producer_epoch, 0, LAST)                                                                   \
    FIELD(T, I32, generation_id, 3, LAST, DEFAULT(-1))                                                       \
    FIELD(T, STRING, member_id, 3, LAST)                                                                     \
    FIELD(T, STRING, group_instance_id, 3, LAST, NULLABLE(3))                                                \
    ARRAY(T, txn_offset_commit_request_topic, topics, 0, LAST)

#define KAFKA_ROWS_txn_offset_commit_response_partition(T)                                                   \
    FIELD(T, I32, partition_index, 0, LAST)                                                                  \
    FIELD(T, I16, error_code, 0, LAST)

#define KAFKA_ROWS_txn_offset_commit_response_topic(T)                                                       \
    FIELD(T, STRING, name, 0, LAST)                                                                          \
    ARRAY(T, txn_offset_commit_response_partition, partitions, 0, LAST)

#define KAFKA_ROWS_txn_offset_commit_response(T)                                                             \
    FIELD(T, I32, throttle_time_ms, 0, LAST)                                                                 \
    ARRAY(T, txn_offset_commit_response_topic, topics, 0, LAST)

#define KAFKA_ROWS_describe_producers_request_topic(T)                                                       \
    FIELD(T, STRING, name, 0, LAST)                                                                          \
    LIST(T, I32, partition_indexes, 0, LAST)

#define KAFKA_ROWS_describe_producers_request(T) ARRAY(T, describe_producers_request_topic, topics, 0, LAST)

#define KAFKA_ROWS_describe_producers_response_producer(T)                                                   \
    FIELD(T, I64, producer_id, 0, LAST)                                                                      \
    FIELD(T, I32, producer_epoch, 0, LAST)                                                                   \
    FIELD(T, I32, last_sequence, 0, LAST, DEFAULT(-1))                                                       \
    FIELD(T, I64, last_timestamp, 0, LAST, DEFAULT(-1))                                                      \
    FIELD(T, I32, coordinator_epoch, 0, LAST)                                                                \
    FIELD(T, I64, current_txn_start_offset, 0, LAST, DEFAULT(-1))

#define KAFKA_ROWS_describe_producers_response_partition(T)                                                  \
    FIELD(T, I32, partition_index, 0, LAST)                                                                  \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, STRING, error_message, 0, LAST, NULLABLE(0))                                                    \
    ARRAY(T, describe_producers_response_producer, active_producers, 0, LAST)

#define KAFKA_ROWS_describe_producers_response_topic(T)                                                      \
    FIELD(T, STRING, name, 0, LAST)                                                                          \
    ARRAY(T, describe_producers_response_partition, partitions, 0, LAST)

#define KAFKA_ROWS_describe_producers_response(T)                                                            \
    FIELD(T, I32, throttle_time_ms, 0, LAST)                                                                 \
    ARRAY(T, describe_producers_response_topic, topics, 0, LAST)

#define KAFKA_ROWS_describe_transactions_request(T) LIST(T, STRING, transactional_ids, 0, LAST)

#define KAFKA_ROWS_describe_transactions_response_topic(T)                                                   \
    FIELD(T, STRING, topic, 0, LAST)                                                                         \
    LIST(T, I32, partitions, 0, LAST)

#define KAFKA_ROWS_describe_transactions_response_state(T)                                                   \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, STRING, transactional_id, 0, LAST)                                                              \
    FIELD(T, STRING, transaction_state, 0, LAST)                                                             \
    FIELD(T, I32, transaction_timeout_ms, 0, LAST)                                                           \
    FIELD(T, I64, transaction_start_time_ms, 0, LAST)                                                        \
    FIELD(T, I64, producer_id, 0, LAST)                                                                      \
    FIELD(T, I16, producer_epoch, 0, LAST)                                                                   \
    ARRAY(T, describe_transactions_response_topic, topics, 0, LAST)

#define KAFKA_ROWS_describe_transactions_response(T)                                                         \
    FIELD(T, I32, throttle_time_ms, 0, LAST)                                                                 \
    ARRAY(T, describe_transactions_response_state, transaction_states, 0, LAST)

#define KAFKA_ROWS_list_transactions_request(T)                                                              \
    LIST(T, STRING, state_filters, 0, LAST)                                                                  \
    LIST(T, I64, producer_id_filters, 0, LAST)                                                               \
    FIELD(T, I64, duration_filter, 1, LAST, DEFAULT(-1))                                                     \
    FIELD(T, STRING, transactional_id_pattern, 2, LAST, NULLABLE(2))

#define KAFKA_ROWS_list_transactions_response_state(T)                                                       \
    FIELD(T, STRING, transactional_id, 0, LAST)                                                              \
    FIELD(T, I64, producer_id, 0, LAST)                                                                      \
    FIELD(T, STRING, transaction_state, 0, LAST)

#define KAFKA_ROWS_list_transactions_response(T)                                                             \
    FIELD(T, I32, throttle_time_ms, 0, LAST)                                                                 \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    LIST(T, STRING, unknown_state_filters, 0, LAST)                                                          \
    ARRAY(T, list_transactions_response_state, transaction_states, 0, LAST)

#define KAFKA_ROWS_write_txn_markers_request_topic(T)                                                        \
    FIELD(T, STRING, name, 0, LAST)                                                                          \
    LIST(T, I32, partition_indexes, 0, LAST)

#define KAFKA_ROWS_write_txn_markers_request_marker(T)                                                       \
    FIELD(T, I64, producer_id, 0, LAST)                                                                      \
    FIELD(T, I16, producer_epoch, 0, LAST)                                                                   \
    FIELD(T, BOOL, transaction_result, 0, LAST)                                                              \
    ARRAY(T, write_txn_markers_request_topic, topics, 0, LAST)                                               \
    FIELD(T, I32, coordinator_epoch, 0, LAST)                                                                \
    FIELD(T, I8, transaction_version, 2, LAST)

#define KAFKA_ROWS_write_txn_markers_request(T) ARRAY(T, write_txn_markers_request_marker, markers, 0, LAST)

#define KAFKA_ROWS_write_txn_markers_response_partition(T)                                                   \
    FIELD(T, I32, partition_index, 0, LAST)                                                                  \
    FIELD(T, I16, error_code, 0, LAST)

#define KAFKA_ROWS_write_txn_markers_response_topic(T)                                                       \
    FIELD(T, STRING, name, 0, LAST)                                                                          \
    ARRAY(T, write_txn_markers_response_partition, partitions, 0, LAST)

#define KAFKA_ROWS_write_txn_markers_response_marker(T)                                                      \
    FIELD(T, I64, producer_id, 0, LAST)                                                                      \
    ARRAY(T, write_txn_markers_response_topic, topics, 0, LAST)

#define KAFKA_ROWS_write_txn_markers_response(T) ARRAY(T, write_txn_markers_response_marker, markers, 0, LAST)

#define KAFKA_STRUCTS_TXN(S)                                                                                 \
    S(add_partitions_to_txn_request_topic)                                                                   \
    S(add_partitions_to_txn_request)                                                                         \
    S(add_partitions_to_txn_response_partition)                                                              \
    S(add_partitions_to_txn_response_topic)                                                                  \
    S(add_partitions_to_txn_response)                                                                        \
    S(add_offsets_to_txn_request)                                                                            \
    S(add_offsets_to_txn_response)                                                                           \
    S(end_txn_request)                                                                                       \
    S(end_txn_response)                                                                                      \
    S(txn_offset_commit_request_partition)                                                                   \
    S(txn_offset_commit_request_topic)                                                                       \
    S(txn_offset_commit_request)                                                                             \
    S(txn_offset_commit_response_partition)                                                                  \
    S(txn_offset_commit_response_topic)                                                                      \
    S(txn_offset_commit_response)                                                                            \
    S(describe_producers_request_topic)                                                                      \
    S(describe_producers_request)                                                                            \
    S(describe_producers_response_producer)                                                                  \
    S(describe_producers_response_partition)                                                                 \
    S(describe_producers_response_topic)                                                                     \
    S(describe_producers_response)                                                                           \
    S(describe_transactions_request)                                                                         \
    S(describe_transactions_response_topic)                                                                  \
    S(describe_transactions_response_state)                                                                  \
    S(describe_transactions_response)                                                                        \
    S(list_transactions_request)                                                                             \
    S(list_transactions_response_state)                                                                      \
    S(list_transactions_response)                                                                            \
    S(write_txn_markers_request_topic)                                                                       \
    S(write_txn_markers_request_marker)                                                                      \
    S(write_txn_markers_request)                                                                             \
    S(write_txn_markers_response_partition)                                                                  \
    S(write_txn_markers_response_topic)                                                                      \
    S(write_txn_markers_response_marker)                                                                     \
    S(write_txn_markers_response)

#endif
