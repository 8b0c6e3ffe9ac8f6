// SPDX-License-Identifier: Apache-2.0
/* status.h: what can go wrong, as values.
 *
 * One list holds every status with its name and the text a person reads. How a status is told to a Kafka
 * client or a gRPC client stands in the same row, so that no handler invents its own mapping. Kafka codes:
 * Kafka protocol guide, "Error codes"; gRPC codes: grpc/doc/statuscodes.md.
 *
 * Final statuses (status_is_final) leave an object dead: only its close or release may follow. */
#ifndef SENTINEL_BASE_STATUS_H
#define SENTINEL_BASE_STATUS_H

#include <stdbool.h>
#include <stdint.h>

/*  name                  kafka grpc  text */
#define STATUS_LIST(X)                                                                                       \
    X(OK, 0, 0, "done")                                                                                      \
    X(PENDING, -1, 13, "not finished yet; completes later")                                                  \
    X(END, -1, 11, "no more items")                                                                          \
    X(CANCELLED, -1, 1, "cancelled")                                                                         \
    X(INVALID, 42, 3, "invalid argument")                                                                    \
    X(MALFORMED, 42, 3, "malformed message")                                                                 \
    X(UNSUPPORTED, 35, 12, "not supported")                                                                  \
    X(NOT_FOUND, 3, 5, "not found")                                                                          \
    X(EXISTS, 36, 6, "already exists")                                                                       \
    X(UNKNOWN_TOPIC, 3, 5, "unknown topic or partition")                                                     \
    X(UNKNOWN_TOPIC_ID, 100, 5, "unknown topic id")                                                          \
    X(INVALID_TOPIC, 17, 3, "invalid topic name")                                                            \
    X(INVALID_PARTITIONS, 37, 3, "invalid number of partitions")                                             \
    X(INVALID_REPLICATION, 38, 3, "invalid replication factor")                                              \
    X(INVALID_CONFIG, 40, 3, "invalid configuration")                                                        \
    X(OFFSET_OUT_OF_RANGE, 1, 11, "offset out of range")                                                     \
    X(TOO_LARGE, 10, 8, "message too large")                                                                 \
    X(CORRUPT_MESSAGE, 2, 3, "message failed its checksum or is malformed")                                  \
    X(INVALID_RECORD, 87, 3, "record refused")                                                               \
    X(UNSUPPORTED_FORMAT, 43, 3, "record batch format older than version 2")                                 \
    X(UNSUPPORTED_COMPRESSION, 76, 3, "compression type not supported")                                      \
    X(INVALID_TIMESTAMP, 32, 3, "timestamp out of range")                                                    \
    X(OUT_OF_ORDER_SEQUENCE, 45, 9, "out of order sequence number")                                          \
    X(DUPLICATE_SEQUENCE, 46, 6, "duplicate sequence number")                                                \
    X(PRODUCER_FENCED, 90, 10, "producer fenced by a newer epoch")                                           \
    X(INVALID_PRODUCER_EPOCH, 47, 10, "old producer epoch")                                                  \
    X(NOT_LEADER, 6, 14, "not the leader of this partition")                                                 \
    X(UNKNOWN_EPOCH, 75, 9, "leader epoch newer than this node knows")                                       \
    X(INVALID_ACKS, 21, 3, "acks must be -1 (all), 1 or 0")                                                  \
    X(UNAVAILABLE, 8, 14, "temporarily unavailable, retry")                                                  \
    X(TIMEOUT, 7, 4, "timed out")                                                                            \
    X(BUSY, 89, 8, "a limit was reached, retry later")                                                       \
    X(DENIED, 29, 7, "permission denied")                                                                    \
    X(CORRUPT, 56, 15, "stored data is corrupt")                                                             \
    X(IO, 56, 15, "input/output error")                                                                      \
    X(NO_SPACE, 56, 8, "no space left on the disk")                                                          \
    X(LOCKED, -1, 9, "locked by another process")                                                            \
    X(VERSION, -1, 9, "written by an incompatible version")                                                  \
    X(CLOSED, 13, 14, "closed")                                                                              \
    X(INTERNAL, -1, 13, "internal error")                                                                    \
    X(COORDINATOR_LOADING, 14, 14, "the coordinator is loading its groups")                                  \
    X(COORDINATOR_UNAVAILABLE, 15, 14, "the coordinator is not available")                                   \
    X(NOT_COORDINATOR, 16, 14, "another node coordinates this group")                                        \
    X(INVALID_GROUP_ID, 24, 3, "invalid group name")                                                         \
    X(GROUP_NOT_FOUND, 69, 5, "no such group")                                                               \
    X(GROUP_NOT_EMPTY, 68, 9, "the group has members")                                                       \
    X(GROUP_SUBSCRIBED, 86, 9, "the group is subscribed to the topic")                                       \
    X(GROUP_FULL, 81, 8, "the group has as many members as it may")                                          \
    X(UNKNOWN_MEMBER, 25, 10, "not a member of the group")                                                   \
    X(MEMBER_ID_REQUIRED, 79, 9, "join again with the member id of this answer")                             \
    X(FENCED_INSTANCE, 82, 10, "another member took over this instance id")                                  \
    X(UNRELEASED_INSTANCE, 111, 9, "a live member has this instance id")                                     \
    X(ILLEGAL_GENERATION, 22, 10, "not the group's generation")                                              \
    X(REBALANCE_IN_PROGRESS, 27, 9, "the group is rebalancing, join again")                                  \
    X(INCONSISTENT_PROTOCOL, 23, 9, "no assignment protocol that every member of the group speaks")          \
    X(INVALID_SESSION_TIMEOUT, 26, 3, "session timeout outside the allowed range")                           \
    X(OFFSET_METADATA_TOO_LARGE, 12, 3, "the text committed with the offset is too long")                    \
    X(UNSTABLE_OFFSETS, 88, 14, "a transaction is about to commit offsets, retry")                           \
    X(FENCED_MEMBER_EPOCH, 110, 10, "not the member's epoch, join again")                                    \
    X(STALE_MEMBER_EPOCH, 113, 10, "an old member epoch")                                                    \
    X(UNSUPPORTED_ASSIGNOR, 112, 3, "no such assignor")                                                      \
    X(INVALID_PATTERN, 128, 3, "not a pattern of topic names that is understood here")                       \
    X(INVALID_TXN_STATE, 48, 9, "the transaction is not in a state that allows this")                        \
    X(INVALID_PRODUCER_ID_MAPPING, 49, 9, "the producer id is not the transactional id's")                   \
    X(INVALID_TXN_TIMEOUT, 50, 3, "transaction timeout above the allowed maximum")                           \
    X(CONCURRENT_TRANSACTIONS, 51, 14, "the transaction before is still being completed, retry")             \
    X(TXN_NOT_FOUND, 105, 5, "no such transactional id")                                                     \
    X(TXN_ABORTABLE, 120, 10, "the transaction must be aborted")                                             \
    X(IN_USE, 42, 9, "still in use")                                                                         \
    X(OFFSET_NOT_AVAILABLE, 78, 14, "this replica does not have the offset, ask the leader")

enum status {
#define STATUS_ENUM_(name, kafka, grpc, text) STATUS_##name,
    STATUS_LIST(STATUS_ENUM_)
#undef STATUS_ENUM_
        STATUS_COUNT
};

const char *status_name(enum status status); /* "NOT_FOUND" */
const char *status_text(enum status status); /* "not found" */
int16_t status_kafka_code(enum status status);
int status_grpc_code(enum status status);
/* IO, CORRUPT and CLOSED: the object that returned it is dead. */
bool status_is_final(enum status status);

/* A sentence for a person, beside a status; filled only where somebody reads it (open, recovery, inspect,
 * command line). The text says what happened, where (file, offset) and what to do next. */
struct diagnostic {
    char text[512];
};
/* Formats into `diagnostic` (may be NULL) and returns `status`, so that a function ends `return
 * diagnose(...)`. */
__attribute__((format(printf, 3, 4))) enum status diagnose(struct diagnostic *diagnostic, enum status status,
                                                           const char *format, ...);

#define MUST_USE __attribute__((warn_unused_result))

#endif
