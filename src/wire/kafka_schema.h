// SPDX-License-Identifier: Apache-2.0
/* kafka_schema.h: every Kafka message we speak, as tables: one line a field.
 *
 * A row in kafka_schema_data.h, _admin.h, _cluster.h, _group.h or _txn.h gives both the member of the C
 * struct (here) and the entry the codec interprets (kafka_schema.c), so the two cannot disagree. Rows stand
 * in wire order:
 *
 *   FIELD(T, type, name, since, until, ...)   one value
 *   LIST(T, type, name, since, until, ...)    values: type *name; int32_t name_count (-1: null)
 *   ARRAY(T, of, name, since, until, ...)     structs: struct kafka_of *name; int32_t name_count (-1: null)
 *   OBJECT(T, of, name, since, until, ...)    a struct inside
 *   OPTION(T, of, name, since, until, ...)    a struct or nothing: struct kafka_of *name
 *
 * T is the struct the row belongs to; `since` and `until` are the first and last message version that carries
 * the field (LAST: up to the newest). After them, in any order: NULLABLE(v) may be null from version v;
 * DEFAULT(x) what an absent number means (else 0); TAG(n) a tagged field (KIP-482), sent only when it differs
 * from its default. Compact encodings follow from the message's first flexible version by themselves.
 *
 * Strings and bytes are slices: data NULL is null (sent as empty where null is not allowed). */
#ifndef SENTINEL_WIRE_KAFKA_SCHEMA_H
#define SENTINEL_WIRE_KAFKA_SCHEMA_H

#include "base/buffer.h"
#include "base/uuid.h"
#include "wire/kafka_schema_admin.h"
#include "wire/kafka_schema_cluster.h"
#include "wire/kafka_schema_data.h"
#include "wire/kafka_schema_group.h"
#include "wire/kafka_schema_txn.h"

#define KAFKA_STRUCTS(S)                                                                                     \
    KAFKA_STRUCTS_DATA(S)                                                                                    \
    KAFKA_STRUCTS_ADMIN(S) KAFKA_STRUCTS_CLUSTER(S) KAFKA_STRUCTS_GROUP(S) KAFKA_STRUCTS_TXN(S)

/* Record batches. Decoded: `bytes` points into the message. Encoded: `pieces` are appended by reference when
 * there are any, else `bytes` are copied; bytes.data NULL and no pieces: null. */
struct kafka_records {
    struct slice bytes;
    const struct shared_slice *pieces;
    uint32_t piece_count;
};

#define KAFKA_C_BOOL    bool
#define KAFKA_C_I8      int8_t
#define KAFKA_C_I16     int16_t
#define KAFKA_C_I32     int32_t
#define KAFKA_C_I64     int64_t
#define KAFKA_C_UUID    struct uuid
#define KAFKA_C_STRING  struct slice
#define KAFKA_C_BYTES   struct slice
#define KAFKA_C_RECORDS struct kafka_records

#define FIELD(T, type, name, ...) KAFKA_C_##type name;
#define LIST(T, type, name, ...)                                                                             \
    KAFKA_C_##type *name;                                                                                    \
    int32_t name##_count;
#define ARRAY(T, of, name, ...)                                                                              \
    struct kafka_##of *name;                                                                                 \
    int32_t name##_count;
#define OBJECT(T, of, name, ...) struct kafka_##of name;
#define OPTION(T, of, name, ...) struct kafka_##of *name;
#define KAFKA_STRUCT_(T)                                                                                     \
    struct kafka_##T {                                                                                       \
        KAFKA_ROWS_##T(T)                                                                                    \
    };
KAFKA_STRUCTS(KAFKA_STRUCT_)
#undef KAFKA_STRUCT_
#undef FIELD
#undef LIST
#undef ARRAY
#undef OBJECT
#undef OPTION

/* ---- what the codec reads --------------------------------------------------------------------------- */

enum kafka_type {
    KAFKA_BOOL,
    KAFKA_I8,
    KAFKA_I16,
    KAFKA_I32,
    KAFKA_I64,
    KAFKA_UUID,
    KAFKA_STRING,
    KAFKA_BYTES,
    KAFKA_RECORDS,
    KAFKA_STRUCT,
    KAFKA_TYPE_COUNT
};
enum kafka_shape { KAFKA_ONE, KAFKA_MANY, KAFKA_MAYBE };

struct kafka_field {
    int16_t since, until;
    bool nullable, tagged;
    int16_t nullable_since, tag;
    enum kafka_type type;
    enum kafka_shape shape;
    uint16_t offset, count_offset; /* in the C struct; count_offset only for MANY */
    int64_t default_value;
    const struct kafka_schema *of; /* only for STRUCT */
    const char *name;
};
struct kafka_schema {
    const char *name;
    const struct kafka_field *fields;
    uint16_t field_count;
    uint16_t size; /* of the C struct */
};
#define KAFKA_SCHEMA_DECLARE_(T) extern const struct kafka_schema kafka_schema_##T;
KAFKA_STRUCTS(KAFKA_SCHEMA_DECLARE_)
#undef KAFKA_SCHEMA_DECLARE_

/* ---- the keys ---------------------------------------------------------------------------------------- */

/* Versions are those we encode and decode in full, both directions. `flexible`: the first with compact types
 * and tagged fields.
 *  symbol, key, messages, first, last, flexible */
#define KAFKA_API_LIST(X)                                                                                    \
    X(PRODUCE, 0, produce, 0, 13, 9)                                                                         \
    X(FETCH, 1, fetch, 4, 18, 12)                                                                            \
    X(LIST_OFFSETS, 2, list_offsets, 1, 10, 6)                                                               \
    X(METADATA, 3, metadata, 0, 13, 9)                                                                       \
    X(OFFSET_COMMIT, 8, offset_commit, 2, 10, 8)                                                             \
    X(OFFSET_FETCH, 9, offset_fetch, 1, 10, 6)                                                               \
    X(FIND_COORDINATOR, 10, find_coordinator, 0, 6, 3)                                                       \
    X(JOIN_GROUP, 11, join_group, 0, 9, 6)                                                                   \
    X(HEARTBEAT, 12, heartbeat, 0, 4, 4)                                                                     \
    X(LEAVE_GROUP, 13, leave_group, 0, 5, 4)                                                                 \
    X(SYNC_GROUP, 14, sync_group, 0, 5, 4)                                                                   \
    X(DESCRIBE_GROUPS, 15, describe_groups, 0, 6, 5)                                                         \
    X(LIST_GROUPS, 16, list_groups, 0, 5, 3)                                                                 \
    X(API_VERSIONS, 18, api_versions, 0, 4, 3)                                                               \
    X(CREATE_TOPICS, 19, create_topics, 2, 7, 5)                                                             \
    X(DELETE_TOPICS, 20, delete_topics, 1, 6, 4)                                                             \
    X(DELETE_RECORDS, 21, delete_records, 0, 2, 2)                                                           \
    X(INIT_PRODUCER_ID, 22, init_producer_id, 0, 5, 2)                                                       \
    X(OFFSET_FOR_LEADER_EPOCH, 23, offset_for_leader_epoch, 2, 4, 4)                                         \
    X(ADD_PARTITIONS_TO_TXN, 24, add_partitions_to_txn, 0, 3, 3)                                             \
    X(ADD_OFFSETS_TO_TXN, 25, add_offsets_to_txn, 0, 4, 3)                                                   \
    X(END_TXN, 26, end_txn, 0, 5, 3)                                                                         \
    X(WRITE_TXN_MARKERS, 27, write_txn_markers, 1, 2, 1)                                                     \
    X(TXN_OFFSET_COMMIT, 28, txn_offset_commit, 0, 5, 3)                                                     \
    X(DESCRIBE_CONFIGS, 32, describe_configs, 1, 4, 4)                                                       \
    X(ALTER_CONFIGS, 33, alter_configs, 0, 2, 2)                                                             \
    X(ALTER_REPLICA_LOG_DIRS, 34, alter_replica_log_dirs, 1, 2, 2)                                           \
    X(DESCRIBE_LOG_DIRS, 35, describe_log_dirs, 1, 5, 2)                                                     \
    X(CREATE_PARTITIONS, 37, create_partitions, 0, 3, 2)                                                     \
    X(DELETE_GROUPS, 42, delete_groups, 0, 2, 2)                                                             \
    X(ELECT_LEADERS, 43, elect_leaders, 0, 2, 2)                                                             \
    X(INCREMENTAL_ALTER_CONFIGS, 44, incremental_alter_configs, 0, 1, 1)                                     \
    X(ALTER_PARTITION_REASSIGNMENTS, 45, alter_partition_reassignments, 0, 1, 0)                             \
    X(LIST_PARTITION_REASSIGNMENTS, 46, list_partition_reassignments, 0, 0, 0)                               \
    X(OFFSET_DELETE, 47, offset_delete, 0, 0, 99)                                                            \
    X(DESCRIBE_QUORUM, 55, describe_quorum, 0, 2, 0)                                                         \
    X(UPDATE_FEATURES, 57, update_features, 0, 2, 0)                                                         \
    X(DESCRIBE_CLUSTER, 60, describe_cluster, 0, 2, 0)                                                       \
    X(DESCRIBE_PRODUCERS, 61, describe_producers, 0, 0, 0)                                                   \
    X(UNREGISTER_BROKER, 64, unregister_broker, 0, 0, 0)                                                     \
    X(DESCRIBE_TRANSACTIONS, 65, describe_transactions, 0, 0, 0)                                             \
    X(LIST_TRANSACTIONS, 66, list_transactions, 0, 2, 0)                                                     \
    X(CONSUMER_GROUP_HEARTBEAT, 68, consumer_group_heartbeat, 0, 1, 0)                                       \
    X(CONSUMER_GROUP_DESCRIBE, 69, consumer_group_describe, 0, 1, 0)                                         \
    X(LIST_CONFIG_RESOURCES, 74, list_config_resources, 0, 1, 0)                                             \
    X(DESCRIBE_TOPIC_PARTITIONS, 75, describe_topic_partitions, 0, 0, 0)

enum kafka_api_key {
#define KAFKA_API_ENUM_(symbol, key, messages, first, last, flexible) KAFKA_##symbol = (key),
    KAFKA_API_LIST(KAFKA_API_ENUM_)
#undef KAFKA_API_ENUM_
};

enum {
#define KAFKA_API_COUNT_(symbol, key, messages, first, last, flexible) KAFKA_INDEX_##symbol,
    KAFKA_API_LIST(KAFKA_API_COUNT_)
#undef KAFKA_API_COUNT_
        KAFKA_API_COUNT
};

struct kafka_api {
    int16_t key;
    int16_t first, last, flexible;
    const char *name; /* "list_offsets" */
    const struct kafka_schema *request, *response;
};
/* NULL: not spoken here. */
const struct kafka_api *kafka_api_find(int16_t key);
/* By index, in order of the keys; NULL behind the last. */
const struct kafka_api *kafka_api_at(unsigned index);
unsigned kafka_api_index(const struct kafka_api *api);

#endif
