// SPDX-License-Identifier: Apache-2.0
/* kafka_schema_data.h: rows of the messages that move records.
 * Columns are explained in kafka_schema.h, which is what to include.
 * Source: the Kafka protocol guide and the KIPs named at each key in docs/protocols.md. */
#ifndef SENTINEL_WIRE_KAFKA_SCHEMA_DATA_H
#define SENTINEL_WIRE_KAFKA_SCHEMA_DATA_H

#define KAFKA_ROWS_produce_request_partition(T)                                                              \
    FIELD(T, I32, index, 0, LAST)                                                                            \
    FIELD(T, RECORDS, records, 0, LAST, NULLABLE(0))

#define KAFKA_ROWS_produce_request_topic(T)                                                                  \
    FIELD(T, STRING, name, 0, 12)                                                                            \
    FIELD(T, UUID, topic_id, 13, LAST)                                                                       \
    ARRAY(T, produce_request_partition, partition_data, 0, LAST)

#define KAFKA_ROWS_produce_request(T)                                                                        \
    FIELD(T, STRING, transactional_id, 3, LAST, NULLABLE(3))                                                 \
    FIELD(T, I16, acks, 0, LAST)                                                                             \
    FIELD(T, I32, timeout_ms, 0, LAST)                                                                       \
    ARRAY(T, produce_request_topic, topic_data, 0, LAST)

#define KAFKA_ROWS_produce_response_record_error(T)                                                          \
    FIELD(T, I32, batch_index, 8, LAST)                                                                      \
    FIELD(T, STRING, batch_index_error_message, 8, LAST, NULLABLE(8))

#define KAFKA_ROWS_leader(T)                                                                                 \
    FIELD(T, I32, leader_id, 0, LAST, DEFAULT(-1))                                                           \
    FIELD(T, I32, leader_epoch, 0, LAST, DEFAULT(-1))

#define KAFKA_ROWS_produce_response_partition(T)                                                             \
    FIELD(T, I32, index, 0, LAST)                                                                            \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, I64, base_offset, 0, LAST)                                                                      \
    FIELD(T, I64, log_append_time_ms, 2, LAST, DEFAULT(-1))                                                  \
    FIELD(T, I64, log_start_offset, 5, LAST, DEFAULT(-1))                                                    \
    ARRAY(T, produce_response_record_error, record_errors, 8, LAST)                                          \
    FIELD(T, STRING, error_message, 8, LAST, NULLABLE(8))                                                    \
    OBJECT(T, leader, current_leader, 10, LAST, TAG(0))

#define KAFKA_ROWS_produce_response_topic(T)                                                                 \
    FIELD(T, STRING, name, 0, 12)                                                                            \
    FIELD(T, UUID, topic_id, 13, LAST)                                                                       \
    ARRAY(T, produce_response_partition, partition_responses, 0, LAST)

#define KAFKA_ROWS_node(T)                                                                                   \
    FIELD(T, I32, node_id, 0, LAST)                                                                          \
    FIELD(T, STRING, host, 0, LAST)                                                                          \
    FIELD(T, I32, port, 0, LAST)                                                                             \
    FIELD(T, STRING, rack, 0, LAST, NULLABLE(0))

#define KAFKA_ROWS_produce_response(T)                                                                       \
    ARRAY(T, produce_response_topic, responses, 0, LAST)                                                     \
    FIELD(T, I32, throttle_time_ms, 1, LAST)                                                                 \
    ARRAY(T, node, node_endpoints, 10, LAST, TAG(0))

#define KAFKA_ROWS_fetch_request_replica_state(T)                                                            \
    FIELD(T, I32, replica_id, 15, LAST, DEFAULT(-1))                                                         \
    FIELD(T, I64, replica_epoch, 15, LAST, DEFAULT(-1))

#define KAFKA_ROWS_fetch_request_partition(T)                                                                \
    FIELD(T, I32, partition, 0, LAST)                                                                        \
    FIELD(T, I32, current_leader_epoch, 9, LAST, DEFAULT(-1))                                                \
    FIELD(T, I64, fetch_offset, 0, LAST)                                                                     \
    FIELD(T, I32, last_fetched_epoch, 12, LAST, DEFAULT(-1))                                                 \
    FIELD(T, I64, log_start_offset, 5, LAST, DEFAULT(-1))                                                    \
    FIELD(T, I32, partition_max_bytes, 0, LAST)                                                              \
    FIELD(T, UUID, replica_directory_id, 17, LAST, TAG(0))                                                   \
    FIELD(T, I64, high_watermark, 18, LAST, DEFAULT(INT64_MAX), TAG(1))

#define KAFKA_ROWS_fetch_request_topic(T)                                                                    \
    FIELD(T, STRING, topic, 0, 12)                                                                           \
    FIELD(T, UUID, topic_id, 13, LAST)                                                                       \
    ARRAY(T, fetch_request_partition, partitions, 0, LAST)

#define KAFKA_ROWS_fetch_request_forgotten_topic(T)                                                          \
    FIELD(T, STRING, topic, 7, 12)                                                                           \
    FIELD(T, UUID, topic_id, 13, LAST)                                                                       \
    LIST(T, I32, partitions, 7, LAST)

#define KAFKA_ROWS_fetch_request(T)                                                                          \
    FIELD(T, STRING, cluster_id, 12, LAST, NULLABLE(12), TAG(0))                                             \
    FIELD(T, I32, replica_id, 0, 14, DEFAULT(-1))                                                            \
    OBJECT(T, fetch_request_replica_state, replica_state, 15, LAST, TAG(1))                                  \
    FIELD(T, I32, max_wait_ms, 0, LAST)                                                                      \
    FIELD(T, I32, min_bytes, 0, LAST)                                                                        \
    FIELD(T, I32, max_bytes, 3, LAST, DEFAULT(INT32_MAX))                                                    \
    FIELD(T, I8, isolation_level, 4, LAST)                                                                   \
    FIELD(T, I32, session_id, 7, LAST)                                                                       \
    FIELD(T, I32, session_epoch, 7, LAST, DEFAULT(-1))                                                       \
    ARRAY(T, fetch_request_topic, topics, 0, LAST)                                                           \
    ARRAY(T, fetch_request_forgotten_topic, forgotten_topics_data, 7, LAST)                                  \
    FIELD(T, STRING, rack_id, 11, LAST)

#define KAFKA_ROWS_fetch_response_diverging_epoch(T)                                                         \
    FIELD(T, I32, epoch, 12, LAST, DEFAULT(-1))                                                              \
    FIELD(T, I64, end_offset, 12, LAST, DEFAULT(-1))

#define KAFKA_ROWS_fetch_response_snapshot_id(T)                                                             \
    FIELD(T, I64, end_offset, 0, LAST, DEFAULT(-1))                                                          \
    FIELD(T, I32, epoch, 0, LAST, DEFAULT(-1))

#define KAFKA_ROWS_fetch_response_aborted_transaction(T)                                                     \
    FIELD(T, I64, producer_id, 4, LAST)                                                                      \
    FIELD(T, I64, first_offset, 4, LAST)

#define KAFKA_ROWS_fetch_response_partition(T)                                                               \
    FIELD(T, I32, partition_index, 0, LAST)                                                                  \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, I64, high_watermark, 0, LAST)                                                                   \
    FIELD(T, I64, last_stable_offset, 4, LAST, DEFAULT(-1))                                                  \
    FIELD(T, I64, log_start_offset, 5, LAST, DEFAULT(-1))                                                    \
    OBJECT(T, fetch_response_diverging_epoch, diverging_epoch, 12, LAST, TAG(0))                             \
    OBJECT(T, leader, current_leader, 12, LAST, TAG(1))                                                      \
    OBJECT(T, fetch_response_snapshot_id, snapshot_id, 12, LAST, TAG(2))                                     \
    ARRAY(T, fetch_response_aborted_transaction, aborted_transactions, 4, LAST, NULLABLE(4))                 \
    FIELD(T, I32, preferred_read_replica, 11, LAST, DEFAULT(-1))                                             \
    FIELD(T, RECORDS, records, 0, LAST, NULLABLE(0))

#define KAFKA_ROWS_fetch_response_topic(T)                                                                   \
    FIELD(T, STRING, topic, 0, 12)                                                                           \
    FIELD(T, UUID, topic_id, 13, LAST)                                                                       \
    ARRAY(T, fetch_response_partition, partitions, 0, LAST)

#define KAFKA_ROWS_fetch_response(T)                                                                         \
    FIELD(T, I32, throttle_time_ms, 1, LAST)                                                                 \
    FIELD(T, I16, error_code, 7, LAST)                                                                       \
    FIELD(T, I32, session_id, 7, LAST)                                                                       \
    ARRAY(T, fetch_response_topic, responses, 0, LAST)                                                       \
    ARRAY(T, node, node_endpoints, 16, LAST, TAG(0))

#define KAFKA_ROWS_list_offsets_request_partition(T)                                                         \
    FIELD(T, I32, partition_index, 0, LAST)                                                                  \
    FIELD(T, I32, current_leader_epoch, 4, LAST, DEFAULT(-1))                                                \
    FIELD(T, I64, timestamp, 0, LAST)

#define KAFKA_ROWS_list_offsets_request_topic(T)                                                             \
    FIELD(T, STRING, name, 0, LAST)                                                                          \
    ARRAY(T, list_offsets_request_partition, partitions, 0, LAST)

#define KAFKA_ROWS_list_offsets_request(T)                                                                   \
    FIELD(T, I32, replica_id, 0, LAST)                                                                       \
    FIELD(T, I8, isolation_level, 2, LAST)                                                                   \
    ARRAY(T, list_offsets_request_topic, topics, 0, LAST)                                                    \
    FIELD(T, I32, timeout_ms, 10, LAST)

#define KAFKA_ROWS_list_offsets_response_partition(T)                                                        \
    FIELD(T, I32, partition_index, 0, LAST)                                                                  \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, I64, timestamp, 1, LAST, DEFAULT(-1))                                                           \
    FIELD(T, I64, offset, 1, LAST, DEFAULT(-1))                                                              \
    FIELD(T, I32, leader_epoch, 4, LAST, DEFAULT(-1))

#define KAFKA_ROWS_list_offsets_response_topic(T)                                                            \
    FIELD(T, STRING, name, 0, LAST)                                                                          \
    ARRAY(T, list_offsets_response_partition, partitions, 0, LAST)

#define KAFKA_ROWS_list_offsets_response(T)                                                                  \
    FIELD(T, I32, throttle_time_ms, 2, LAST)                                                                 \
    ARRAY(T, list_offsets_response_topic, topics, 0, LAST)

#define KAFKA_ROWS_offset_for_leader_epoch_request_partition(T)                                              \
    FIELD(T, I32, partition, 0, LAST)                                                                        \
    FIELD(T, I32, current_leader_epoch, 2, LAST, DEFAULT(-1))                                                \
    FIELD(T, I32, leader_epoch, 0, LAST)

#define KAFKA_ROWS_offset_for_leader_epoch_request_topic(T)                                                  \
    FIELD(T, STRING, topic, 0, LAST)                                                                         \
    ARRAY(T, offset_for_leader_epoch_request_partition, partitions, 0, LAST)

#define KAFKA_ROWS_offset_for_leader_epoch_request(T)                                                        \
    FIELD(T, I32, replica_id, 3, LAST, DEFAULT(-2))                                                          \
    ARRAY(T, offset_for_leader_epoch_request_topic, topics, 0, LAST)

#define KAFKA_ROWS_offset_for_leader_epoch_response_partition(T)                                             \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, I32, partition, 0, LAST)                                                                        \
    FIELD(T, I32, leader_epoch, 1, LAST, DEFAULT(-1))                                                        \
    FIELD(T, I64, end_offset, 0, LAST, DEFAULT(-1))

#define KAFKA_ROWS_offset_for_leader_epoch_response_topic(T)                                                 \
    FIELD(T, STRING, topic, 0, LAST)                                                                         \
    ARRAY(T, offset_for_leader_epoch_response_partition, partitions, 0, LAST)

#define KAFKA_ROWS_offset_for_leader_epoch_response(T)                                                       \
    FIELD(T, I32, throttle_time_ms, 2, LAST)                                                                 \
    ARRAY(T, offset_for_leader_epoch_response_topic, topics, 0, LAST)

#define KAFKA_ROWS_delete_records_request_partition(T)                                                       \
    FIELD(T, I32, partition_index, 0, LAST)                                                                  \
    FIELD(T, I64, offset, 0, LAST)

#define KAFKA_ROWS_delete_records_request_topic(T)                                                           \
    FIELD(T, STRING, name, 0, LAST)                                                                          \
    ARRAY(T, delete_records_request_partition, partitions, 0, LAST)

#define KAFKA_ROWS_delete_records_request(T)                                                                 \
    ARRAY(T, delete_records_request_topic, topics, 0, LAST)                                                  \
    FIELD(T, I32, timeout_ms, 0, LAST)

#define KAFKA_ROWS_delete_records_response_partition(T)                                                      \
    FIELD(T, I32, partition_index, 0, LAST)                                                                  \
    FIELD(T, I64, low_watermark, 0, LAST)                                                                    \
    FIELD(T, I16, error_code, 0, LAST)

#define KAFKA_ROWS_delete_records_response_topic(T)                                                          \
    FIELD(T, STRING, name, 0, LAST)                                                                          \
    ARRAY(T, delete_records_response_partition, partitions, 0, LAST)

#define KAFKA_ROWS_delete_records_response(T)                                                                \
    FIELD(T, I32, throttle_time_ms, 0, LAST)                                                                 \
    ARRAY(T, delete_records_response_topic, topics, 0, LAST)

#define KAFKA_ROWS_init_producer_id_request(T)                                                               \
    FIELD(T, STRING, transactional_id, 0, LAST, NULLABLE(0))                                                 \
    FIELD(T, I32, transaction_timeout_ms, 0, LAST)                                                           \
    FIELD(T, I64, producer_id, 3, LAST, DEFAULT(-1))                                                         \
    FIELD(T, I16, producer_epoch, 3, LAST, DEFAULT(-1))

#define KAFKA_ROWS_init_producer_id_response(T)                                                              \
    FIELD(T, I32, throttle_time_ms, 0, LAST)                                                                 \
    FIELD(T, I16, error_code, 0, LAST)                                                                       \
    FIELD(T, I64, producer_id, 0, LAST, DEFAULT(-1))                                                         \
    FIELD(T, I16, producer_epoch, 0, LAST)

#define KAFKA_STRUCTS_DATA(S)                                                                                \
    S(produce_request_partition)                                                                             \
    S(produce_request_topic)                                                                                 \
    S(produce_request)                                                                                       \
    S(produce_response_record_error)                                                                         \
    S(leader)                                                                                                \
    S(produce_response_partition)                                                                            \
    S(produce_response_topic)                                                                                \
    S(node)                                                                                                  \
    S(produce_response)                                                                                      \
    S(fetch_request_replica_state)                                                                           \
    S(fetch_request_partition)                                                                               \
    S(fetch_request_topic)                                                                                   \
    S(fetch_request_forgotten_topic)                                                                         \
    S(fetch_request)                                                                                         \
    S(fetch_response_diverging_epoch)                                                                        \
    S(fetch_response_snapshot_id)                                                                            \
    S(fetch_response_aborted_transaction)                                                                    \
    S(fetch_response_partition)                                                                              \
    S(fetch_response_topic)                                                                                  \
    S(fetch_response)                                                                                        \
    S(list_offsets_request_partition)                                                                        \
    S(list_offsets_request_topic)                                                                            \
    S(list_offsets_request)                                                                                  \
    S(list_offsets_response_partition)                                                                       \
    S(list_offsets_response_topic)                                                                           \
    S(list_offsets_response)                                                                                 \
    S(offset_for_leader_epoch_request_partition)                                                             \
    S(offset_for_leader_epoch_request_topic)                                                                 \
    S(offset_for_leader_epoch_request)                                                                       \
    S(offset_for_leader_epoch_response_partition)                                                            \
    S(offset_for_leader_epoch_response_topic)                                                                \
    S(offset_for_leader_epoch_response)                                                                      \
    S(delete_records_request_partition)                                                                      \
    S(delete_records_request_topic)                                                                          \
    S(delete_records_request)                                                                                \
    S(delete_records_response_partition)                                                                     \
    S(delete_records_response_topic)                                                                         \
    S(delete_records_response)                                                                               \
    S(init_producer_id_request)                                                                              \
    S(init_producer_id_response)

#endif
