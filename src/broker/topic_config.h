// SPDX-License-Identifier: Apache-2.0
/* topic_config.h: what can be set per topic, in one table: name (Kafka's), type, range, default, meaning.
 *
 * The table serves validation, `topic describe`, DescribeConfigs and the documentation. A config that clients
 * commonly send but that means nothing here is accepted, kept and said to be without effect. */
#ifndef SENTINEL_BROKER_TOPIC_CONFIG_H
#define SENTINEL_BROKER_TOPIC_CONFIG_H

#include "base/cursor.h"
#include "base/status.h"

/*  field                     name                             type    default          min   max meaning */
#define TOPIC_CONFIG_LIST(X)                                                                                 \
    X(retention_ms, "retention.ms", LONG, 604800000, -1, INT64_MAX,                                          \
      "delete records older than this many milliseconds; -1: never")                                         \
    X(retention_bytes, "retention.bytes", LONG, -1, -1, INT64_MAX,                                           \
      "delete the oldest records of a partition above this size; -1: no limit")                              \
    X(max_message_bytes, "max.message.bytes", INT, 1048588, 0, 100000000,                                    \
      "largest record batch accepted, in bytes, as sent")                                                    \
    X(message_timestamp_type, "message.timestamp.type", TIME, 0, 0, 1,                                       \
      "CreateTime (the producer's clock) or LogAppendTime (the broker's)")                                   \
    X(timestamp_before_max_ms, "message.timestamp.before.max.ms", LONG, INT64_MAX, 0, INT64_MAX,             \
      "refuse records whose timestamp is further than this behind the broker's clock")                       \
    X(timestamp_after_max_ms, "message.timestamp.after.max.ms", LONG, 3600000, 0, INT64_MAX,                 \
      "refuse records whose timestamp is further than this ahead of the broker's clock")                     \
    X(cleanup_policy, "cleanup.policy", POLICY, 1, 1, 3,                                                     \
      "delete (by retention), compact (keep the last record of each key), or both")                          \
    X(delete_retention_ms, "delete.retention.ms", LONG, 86400000, 0, INT64_MAX,                              \
      "compaction keeps a tombstone (null value) for so long, that readers learn of it")                     \
    X(min_compaction_lag_ms, "min.compaction.lag.ms", LONG, 0, 0, INT64_MAX,                                 \
      "compaction leaves records alone that are younger")                                                    \
    X(max_compaction_lag_ms, "max.compaction.lag.ms", LONG, INT64_MAX, 1, INT64_MAX,                         \
      "compaction begins when a record has waited for so long, however few came since the last one")         \
    X(min_cleanable_dirty_ratio, "min.cleanable.dirty.ratio", RATIO, 500, 0, 1000,                           \
      "compaction begins when so much of a partition was appended since the last one, 0 to 1")               \
    X(min_insync_replicas, "min.insync.replicas", INT, 1, 1, INT32_MAX,                                      \
      "kept for clients that set it: acks=all always waits for a majority")                                  \
    X(segment_bytes, "segment.bytes", INT, 1073741824, 1, INT32_MAX,                                         \
      "kept for clients that set it: partitions have no segment files here")                                 \
    X(segment_ms, "segment.ms", LONG, 604800000, 1, INT64_MAX,                                               \
      "kept for clients that set it: partitions have no segment files here")                                 \
    X(compression_type, "compression.type", CODEC, 0, 0, 5,                                                  \
      "producer: batches are stored as sent; other values are kept and without effect")                      \
    X(unclean_election, "unclean.leader.election.enable", BOOL, 0, 0, 0,                                     \
      "always false: an acknowledged record is never given up")

struct topic_config {
#define TOPIC_CONFIG_FIELD_(field, name, type, def, min, max, doc) int64_t field;
    TOPIC_CONFIG_LIST(TOPIC_CONFIG_FIELD_)
#undef TOPIC_CONFIG_FIELD_
    uint64_t is_set; /* bit i: the i-th config was set on the topic itself, not inherited */
};

enum topic_config_type {
    TOPIC_CONFIG_LONG,
    TOPIC_CONFIG_INT,
    TOPIC_CONFIG_RATIO, /* written as 0.5, kept in thousandths */
    TOPIC_CONFIG_BOOL,
    TOPIC_CONFIG_TIME,
    TOPIC_CONFIG_POLICY,
    TOPIC_CONFIG_CODEC
};
struct topic_config_row {
    const char *name, *doc;
    enum topic_config_type type;
    int64_t default_value, min, max;
};

struct topic_config topic_config_default(void);
unsigned topic_config_count(void);
const struct topic_config_row *topic_config_row(unsigned index);
/* -1: no such config. */
int topic_config_index(struct slice name);
int64_t topic_config_value(const struct topic_config *config, unsigned index);
/* As a client writes it: "604800000", "delete", "CreateTime". */
void topic_config_print(const struct topic_config *config, unsigned index, struct writer *out);
/* INVALID_CONFIG with the reason (unknown name, not a number, out of range) in `diagnostic`. */
enum status topic_config_set(struct topic_config *config, struct slice name, struct slice value,
                             struct diagnostic *diagnostic) MUST_USE;
/* Back to the value in `defaults`. */
enum status topic_config_unset(struct topic_config *config, struct slice name,
                               const struct topic_config *defaults, struct diagnostic *diagnostic) MUST_USE;

#endif
