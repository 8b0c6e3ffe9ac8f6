// SPDX-License-Identifier: Apache-2.0
/* settings.h: everything about a broker that can be set, in one table: name, type, default, range, meaning.
 *
 * A setting comes from its default, then --config FILE (name = value lines, ';' comments), then --set
 * name=value; the last one wins. Kafka's own names are accepted where one means the same. Sizes may be
 * written with KiB, MiB or GiB, times in milliseconds. Topic configs (topic_config.h) can be set too: they
 * become the default of all topics.
 *
 * Errors  INVALID with a sentence that names the setting, what was written and what is allowed. */
#ifndef SENTINEL_CLI_SETTINGS_H
#define SENTINEL_CLI_SETTINGS_H

#include <stdint.h>

#include "broker/topic_config.h"

/*  field, name, Kafka's name, type, default, min, max, meaning */
#define SETTING_LIST(X)                                                                                      \
    X(default_partitions, "topic.partitions", "num.partitions", NUMBER, 1, 1, 10000,                         \
      "partitions of a topic whose creator does not say")                                                    \
    X(auto_create, "topic.auto-create", "auto.create.topics.enable", BOOL, 1, 0, 1,                          \
      "make a topic when a client first produces to it")                                                     \
    X(partitions_max, "topic.partitions-max", "", NUMBER, 10000, 1, 100000, "partitions a topic may have")   \
    X(partitions_total, "broker.partitions-max", "", NUMBER, 100000, 1, 1000000,                             \
      "partitions all topics together may have")                                                             \
    X(retention_check_ms, "retention.check-ms", "log.retention.check.interval.ms", NUMBER, 60000, 10,        \
      86400000, "pause between two looks for records that are too old or too many")                          \
    X(cleaner_check_ms, "compaction.check-ms", "log.cleaner.backoff.ms", NUMBER, 15000, 10, 86400000,        \
      "pause between two looks for topics to compact by key")                                                \
    X(cleaner_map, "compaction.map-bytes", "log.cleaner.dedupe.buffer.size", SIZE, 16777216, 65536,          \
      INT64_MAX / 2,                                                                                         \
      "memory for the keys of one compaction, 24 bytes each; what does not fit comes next time")             \
    X(connections_max, "connections.max", "max.connections", NUMBER, 10000, 1, 1000000,                      \
      "connections accepted at one time")                                                                    \
    X(handshake_ms, "connections.handshake-ms", "", NUMBER, 30000, 100, 3600000,                             \
      "close a connection silent this long before it said its protocol, or inside a large message, which "   \
      "has to come at 1 MiB a second otherwise")                                                             \
    X(request_bytes, "request.bytes-max", "socket.request.max.bytes", SIZE, 104857599, 1024, 104857599,      \
      "largest request")                                                                                     \
    X(memory_in_flight, "memory.requests", "", SIZE, 134217728, 1048576, INT64_MAX / 2,                      \
      "memory for large requests being received, and for answers being sent; above it connections wait")     \
    X(append_in_flight, "memory.appends", "", SIZE, 67108864, 65536, INT64_MAX / 2,                          \
      "bytes on the way to the disk; above it producers wait")                                               \
    X(memtable_bytes, "memory.memtable", "", SIZE, 0, 0, INT64_MAX / 2,                                      \
      "size at which the memtable is written to a table; 0: the engine's default")                           \
    X(cache_bytes, "memory.cache", "", SIZE, 0, 0, INT64_MAX / 2, "block cache; 0: the engine's default")    \
    X(block_compression, "storage.block-compression", "", CODEC, 0, 0, 2,                                    \
      "of tables: none, lz4 or zstd; for small batches and state, as batches of 1 KiB and more are stored "  \
      "as they were sent")                                                                                   \
    X(compaction_rate, "storage.compaction-rate", "", SIZE, 67108864, 0, INT64_MAX / 2,                      \
      "bytes a second that compactions work through while others use the store and nothing is urgent; 0: "   \
      "as "                                                                                                  \
      "fast as they can")                                                                                    \
    X(open_files, "storage.open-files", "", NUMBER, 400, 16, 1000000,                                        \
      "tables and log segments open at one time; others are opened again when they are read")                \
    X(scrub_rate, "scrub.rate", "", SIZE, 4194304, 0, INT64_MAX / 2,                                         \
      "bytes a second read to find damaged files before somebody needs them; 0: as fast as they come")       \
    X(scrub_interval_ms, "scrub.interval-ms", "", NUMBER, 86400000, 0, 31536000000,                          \
      "pause after everything was read once; 0: never")                                                      \
    X(spin_us, "io.spin-us", "", NUMBER, 0, 0, 1000,                                                         \
      "microseconds of busy waiting before sleeping: lower latency for a busier CPU")                        \
    X(group_delay_ms, "group.initial-delay-ms", "group.initial.rebalance.delay.ms", NUMBER, 500, 0, 60000,   \
      "an empty group waits so long for more members before partitions are shared out")                      \
    X(group_session_min_ms, "group.session-min-ms", "group.min.session.timeout.ms", NUMBER, 1000, 10,        \
      3600000, "shortest session timeout a member of a group may ask for")                                   \
    X(group_session_max_ms, "group.session-max-ms", "group.max.session.timeout.ms", NUMBER, 1800000, 10,     \
      86400000, "longest session timeout a member of a group may ask for")                                   \
    X(group_retention_ms, "group.offset-retention-ms", "", NUMBER, 604800000, 1, INT64_MAX / 2,              \
      "how long a group without members keeps its committed offsets")                                        \
    X(group_members_max, "group.members-max", "group.max.size", NUMBER, 10000, 1, 1000000,                   \
      "members a group may have")                                                                            \
    X(group_heartbeat_ms, "group.heartbeat-ms", "group.consumer.heartbeat.interval.ms", NUMBER, 5000, 10,    \
      3600000, "how often members of the new group protocol say that they live")                             \
    X(election_timeout_ms, "cluster.election-timeout-ms", "", NUMBER, 400, 50, 60000,                        \
      "silence of a leader after which another is elected, at the least; at most twice as long")             \
    X(catch_up_rate, "cluster.catch-up-rate", "leader.replication.throttled.rate", SIZE, 0, 0,               \
      INT64_MAX / 2,                                                                                         \
      "bytes a second that this node sends to replicas that are new or were away; 0: as fast as they take "  \
      "them, but behind what clients write")                                                                 \
    X(default_replication, "topic.replicas", "default.replication.factor", NUMBER, 3, 1, 7,                  \
      "copies of a topic whose creator does not say, in a cluster that has as many nodes")                   \
    X(drain_ms, "shutdown.grace-ms", "", NUMBER, 5000, 0, 8000,                                              \
      "how long requests under way may take after SIGTERM")

struct settings {
#define SETTING_FIELD_(field, name, alias, type, def, min, max, doc) int64_t field;
    SETTING_LIST(SETTING_FIELD_)
#undef SETTING_FIELD_
    struct topic_config topic_defaults;
};

struct settings settings_default(void);
enum status settings_set(struct settings *settings, const char *name, const char *value,
                         struct diagnostic *diagnostic) MUST_USE;
/* "20MiB": a whole number, with KiB, MiB or GiB. */
bool settings_parse_size(const char *text, int64_t *bytes);
/* The diagnostic names the file and the line. */
enum status settings_read_file(struct settings *settings, const char *path,
                               struct diagnostic *diagnostic) MUST_USE;
void settings_print_help(void); /* the table, on standard output */

#endif
