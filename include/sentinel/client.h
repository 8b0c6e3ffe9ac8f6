// SPDX-License-Identifier: Apache-2.0
/* client.h: a C client for Sentinel's gRPC API: topics, producing, consuming.
 *
 *   sentinel_client *client = sentinel_open("127.0.0.1:9092", 5000, &error);
 *   sentinel_producer *producer = sentinel_producer_open(client, "greetings", NULL, &error);
 *   sentinel_produce(producer, &record, &error);
 *   sentinel_producer_close(producer, &error);           waits until everything is acknowledged
 *
 * Calls block, up to the client's timeout where nothing else is said, and drive one event loop inside:
 * nothing happens between calls, and there are no threads. A lost connection is made again, with back-off:
 * producing is idempotent, so what was not acknowledged is sent again and stands once; consuming goes on
 * where it was.
 *
 * Owner   records given to sentinel_produce are copied; a record from sentinel_consume lives until the next
 * call on its consumer. Errors  functions return 0, or -1 with `error` filled in (it may be NULL); codes are
 * gRPC's. Threads a client and what was opened from it belong to one thread. */
#ifndef SENTINEL_CLIENT_H
#define SENTINEL_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct sentinel_client sentinel_client;
typedef struct sentinel_producer sentinel_producer;
typedef struct sentinel_consumer sentinel_consumer;

#define SENTINEL_NOT_FOUND      5
#define SENTINEL_ALREADY_EXISTS 6
#define SENTINEL_TIMED_OUT      4
#define SENTINEL_UNAVAILABLE    14

typedef struct {
    int code; /* gRPC status code */
    char message[512];
} sentinel_error;

/* servers: "HOST:PORT[,HOST:PORT]"; NULL: the environment's SENTINEL_SERVER, or 127.0.0.1:9092. timeout_ms:
 * of each call, reconnecting included; 0: 10 s. Connects with the first call. */
sentinel_client *sentinel_open(const char *servers, uint32_t timeout_ms, sentinel_error *error);
void sentinel_close(sentinel_client *client);

/* ---- topics ------------------------------------------------------------------------------------------- */

typedef struct {
    const char *name, *value;
    bool is_default;
} sentinel_config;
typedef struct {
    int32_t node;
    const char *state; /* "in-sync", "behind", "learning", "leaving", "unknown" */
    int64_t behind;    /* offsets that it lacks; -1: unknown */
} sentinel_replica;
typedef struct {
    int32_t partition, leader;
    int64_t log_start_offset, high_watermark, size_bytes;
    const sentinel_replica *replicas; /* where it is and shall be, the preferred leader first */
    size_t replica_count;
} sentinel_partition;
/* Where a partition shall be, the preferred leader first. */
typedef struct {
    int32_t partition;
    const int32_t *nodes;
    size_t node_count;
} sentinel_placement;
typedef struct {
    const char *name;
    int32_t partition_count, replication_factor;
    const sentinel_config *configs; /* of one topic asked for by name */
    size_t config_count;
    const sentinel_partition *partitions; /* likewise */
    size_t partitions_listed;
} sentinel_topic;

/* partitions, replicas: 0: the broker's default. */
int sentinel_topic_create(sentinel_client *client, const char *name, int32_t partitions, int32_t replicas,
                          const sentinel_config *configs, size_t config_count, sentinel_error *error);
/* The same with every partition placed by hand, from 0 on. */
int sentinel_topic_create_placed(sentinel_client *client, const char *name,
                                 const sentinel_placement *placements, size_t placement_count,
                                 const sentinel_config *configs, size_t config_count, sentinel_error *error);
int sentinel_topic_delete(sentinel_client *client, const char *name, sentinel_error *error);
/* A config whose value is NULL goes back to the default. */
int sentinel_topic_alter(sentinel_client *client, const char *name, const sentinel_config *configs,
                         size_t config_count, sentinel_error *error);
int sentinel_topic_add_partitions(sentinel_client *client, const char *name, int32_t total,
                                  sentinel_error *error);
/* `visit` is called once; what it is given lives for the call. */
int sentinel_topic_describe(sentinel_client *client, const char *name,
                            void (*visit)(void *context, const sentinel_topic *topic), void *context,
                            sentinel_error *error);
int sentinel_topic_list(sentinel_client *client, void (*visit)(void *context, const sentinel_topic *topic),
                        void *context, sentinel_error *error);

typedef struct {
    int32_t replicas; /* of every partition; 0: see placements */
    const sentinel_placement *placements;
    size_t placement_count;
    bool cancel; /* what is being moved goes back */
} sentinel_move_options;
/* Begins to move partitions; fails with the first one that is refused, the others are moved all the same. */
int sentinel_topic_move(sentinel_client *client, const char *name, const sentinel_move_options *options,
                        sentinel_error *error);
typedef struct {
    const char *topic;
    int32_t partition;
    const int32_t *nodes, *adding, *removing;
    size_t node_count, adding_count, removing_count;
    bool arrived; /* only the old copies are being deleted */
} sentinel_move;
/* What is being moved, of a topic or (NULL) of all. */
int sentinel_moves(sentinel_client *client, const char *topic,
                   void (*visit)(void *context, const sentinel_move *move), void *context,
                   sentinel_error *error);
typedef struct {
    const char *topic;
    int32_t partition;
    const int32_t *from, *to; /* the preferred leader first */
    size_t node_count;
} sentinel_planned_move;
/* What would spread copies and leaders evenly over racks and nodes, up to `max` partitions, those of a topic
 * together; 0: up to a thousand. sentinel_topic_move does it. */
int sentinel_rebalance_plan(sentinel_client *client, int32_t max,
                            void (*visit)(void *context, const sentinel_planned_move *move), void *context,
                            sentinel_error *error);
/* Lets so much time pass. */
void sentinel_wait(sentinel_client *client, uint32_t ms);

#define SENTINEL_LATEST      (-1)
#define SENTINEL_EARLIEST    (-2)
#define SENTINEL_LAST_STABLE (-3) /* the end for readers of committed records */
/* position: one of these; offsets: room for partition_count. A partition without a leader is waited for, up
 * to the client's timeout. */
int sentinel_list_offsets(sentinel_client *client, const char *topic, int64_t position, int64_t *offsets,
                          int32_t partition_count, sentinel_error *error);

typedef struct {
    int32_t node_id, port;
    const char *host, *state;  /* "ready", "read-only", "down", "expected" */
    const char *rack;          /* "": not told */
    bool draining;             /* everything is moved away from it */
    int64_t leaders, replicas; /* partitions that it leads, and has */
    int64_t arriving, leaving; /* partitions that are moved to it, and away */
    int64_t late, lacking;     /* its copies that do not have everything yet; records that they lack now */
    /* What it says of its disk; -1: it does not answer, or (size) the disk does not tell. */
    int64_t stored_bytes, disk_free_bytes, disk_bytes;
} sentinel_node;
typedef struct {
    const char *cluster_id, *version;
    int32_t node_id;
    int64_t topics, partitions;
    int32_t controller_id;                        /* -1: nobody leads the controller */
    int64_t leaderless, under_replicated, moving; /* of the partitions */
    int64_t late;                                 /* that have a copy which does not have everything yet */
    int64_t catch_up_rate;                        /* sentinel_catch_up_rate */
    const sentinel_node *nodes;
    size_t node_count;
} sentinel_cluster;
int sentinel_cluster_describe(sentinel_client *client,
                              void (*visit)(void *context, const sentinel_cluster *cluster), void *context,
                              sentinel_error *error);

/* At once, and whenever something has changed, until `visit` returns false; looked at every interval_ms, from
 * 100 on. A lost connection is made again. */
int sentinel_cluster_watch(sentinel_client *client, uint32_t interval_ms,
                           bool (*visit)(void *context, const sentinel_cluster *cluster), void *context,
                           sentinel_error *error);

/* Announces a node that will be reached at `address`, HOST:PORT. */
int sentinel_node_add(sentinel_client *client, int32_t node, const char *address, sentinel_error *error);
/* Begins to move everything away from a node; `cancel`: takes that back. */
int sentinel_node_drain(sentinel_client *client, int32_t node, bool cancel, sentinel_error *error);
int sentinel_node_remove(sentinel_client *client, int32_t node, sentinel_error *error);
/* Bytes a second that each node sends to replicas that lag; 0: no limit; -1: as each node was started with. */
int sentinel_catch_up_rate(sentinel_client *client, int64_t bytes_per_second, sentinel_error *error);
/* node: 0: the preferred leader. */
int sentinel_transfer_leader(sentinel_client *client, const char *topic, int32_t partition, int32_t node,
                             sentinel_error *error);

typedef struct {
    const char *path; /* on the node */
    int32_t node_id;
    int64_t files, bytes;
} sentinel_checkpoint;
/* A copy of the data of the node asked, as it is now, made of hard links in its data directory. */
int sentinel_checkpoint_create(sentinel_client *client, const char *name,
                               void (*visit)(void *context, const sentinel_checkpoint *checkpoint),
                               void *context, sentinel_error *error);

/* ---- records ------------------------------------------------------------------------------------------ */

typedef struct {
    const char *name;
    const void *value;
    size_t value_size;
} sentinel_header;
typedef struct {
    const void *key; /* NULL: none */
    size_t key_size;
    const void *value; /* NULL: null, a deletion in a compacted topic */
    size_t value_size;
    const sentinel_header *headers;
    size_t header_count;
    int64_t timestamp_ms; /* producing: 0: now */
    int32_t partition;    /* producing: -1: by the key's hash, as Kafka's clients choose */
    int64_t offset;       /* consuming */
    void *tag;            /* producing: given back with the acknowledgement */
} sentinel_record;

/* ---- producing ---------------------------------------------------------------------------------------- */

typedef struct {
    uint32_t linger_ms;     /* wait so long for a batch to fill; default 5 */
    size_t batch_bytes;     /* default 256 KiB */
    size_t in_flight_bytes; /* above it sentinel_produce waits; default 32 MiB */
    int acks;               /* -1 all (default), 1 leader, 0 none */
    /* Each record once: error NULL, offset set; or the error that ended it. Optional. */
    void (*acknowledged)(void *context, void *tag, int32_t partition, int64_t offset,
                         const sentinel_error *error);
    void *context;
} sentinel_producer_options;
sentinel_producer_options sentinel_producer_options_default(void);

/* options: NULL: the defaults. The topic is made when the broker makes topics by itself. */
sentinel_producer *sentinel_producer_open(sentinel_client *client, const char *topic,
                                          const sentinel_producer_options *options, sentinel_error *error);
/* 0: taken, not yet acknowledged. */
int sentinel_produce(sentinel_producer *producer, const sentinel_record *record, sentinel_error *error);
/* Waits until every record taken is acknowledged; fails when none was for the client's timeout. */
int sentinel_producer_flush(sentinel_producer *producer, sentinel_error *error);
/* Lets acknowledgements arrive for up to wait_ms. */
int sentinel_producer_poll(sentinel_producer *producer, uint32_t wait_ms, sentinel_error *error);
/* Flushes, unless that has just failed for want of time, and frees, also when it fails. */
int sentinel_producer_close(sentinel_producer *producer, sentinel_error *error);
int32_t sentinel_producer_partitions(const sentinel_producer *producer);

/* ---- consuming ---------------------------------------------------------------------------------------- */

/* Consumers take what the server they are connected to has a copy of from there, also
 * where another node leads: committed records, at most some seconds old. */
void sentinel_read_any_replica(sentinel_client *client);
/* partition: -1: all. from: SENTINEL_EARLIEST, SENTINEL_LATEST, or an offset. */
sentinel_consumer *sentinel_consumer_open(sentinel_client *client, const char *topic, int32_t partition,
                                          int64_t from, sentinel_error *error);
/* 1: *record is the next one. 0: none came within wait_ms. -1: failed. */
int sentinel_consume(sentinel_consumer *consumer, sentinel_record *record, uint32_t wait_ms,
                     sentinel_error *error);
/* Offset of the next record of this partition; -1: not known yet. */
int64_t sentinel_consumer_position(const sentinel_consumer *consumer, int32_t partition);
void sentinel_consumer_close(sentinel_consumer *consumer);

/* As a member of a group: the broker shares the topic's partitions out among the members. Reading starts
 * where the group has committed, else at `from` (SENTINEL_EARLIEST or SENTINEL_LATEST). When partitions are
 * taken back, what was handed out of them is committed before they are let go: a call of sentinel_consume
 * says that everything handed out before is done with. After a lost connection reading goes on at what was
 * committed. */
sentinel_consumer *sentinel_consumer_open_group(sentinel_client *client, const char *topic, const char *group,
                                                int64_t from, sentinel_error *error);
/* Either of them, with more to say. */
typedef struct {
    int32_t partition;   /* without a group; default -1: all */
    int64_t from;        /* default SENTINEL_LATEST */
    bool from_time;      /* `from` is a time, in milliseconds since 1970: the first record at or after it */
    const char *group;   /* default NULL: none */
    bool read_committed; /* only what is committed of transactions; default: what is stored */
} sentinel_consumer_options;
sentinel_consumer_options sentinel_consumer_options_default(void);
sentinel_consumer *sentinel_consumer_open_with(sentinel_client *client, const char *topic,
                                               const sentinel_consumer_options *options,
                                               sentinel_error *error);
/* Commits everything handed out, and waits for it, also while another node takes the group over. UNAVAILABLE:
 * the connection was lost or nobody coordinates the group in time; what is not committed may be handed out
 * again. */
int sentinel_consumer_commit(sentinel_consumer *consumer, sentinel_error *error);
/* Whether this consumer reads the partition: without a group, whether it is known. */
bool sentinel_consumer_reads(const sentinel_consumer *consumer, int32_t partition);

/* ---- groups ------------------------------------------------------------------------------------------- */

typedef struct {
    const char *topic, *member_id, *metadata;
    int32_t partition;
    int64_t committed, log_start_offset, high_watermark, lag; /* -1: none, unknown */
} sentinel_group_partition;
typedef struct {
    const char *member_id, *instance_id, *client_id, *client_host;
    size_t partition_count;
} sentinel_group_member;
typedef struct {
    const char *name, *kind, *state, *assignor;
    int32_t generation, member_count;
    int64_t total_lag;
    const sentinel_group_member *members; /* of one group asked for by name */
    size_t members_listed;
    const sentinel_group_partition *partitions; /* likewise */
    size_t partitions_listed;
} sentinel_group;
/* `visit` is called once per group; what it is given lives for the call. */
int sentinel_group_list(sentinel_client *client, void (*visit)(void *context, const sentinel_group *group),
                        void *context, sentinel_error *error);
int sentinel_group_describe(sentinel_client *client, const char *name,
                            void (*visit)(void *context, const sentinel_group *group), void *context,
                            sentinel_error *error);
/* As sentinel_cluster_watch. */
int sentinel_group_watch(sentinel_client *client, const char *name, uint32_t interval_ms,
                         bool (*visit)(void *context, const sentinel_group *group), void *context,
                         sentinel_error *error);
int sentinel_group_delete(sentinel_client *client, const char *name, sentinel_error *error);
typedef struct {
    const char *topic;
    int32_t partition;
    int64_t old_offset, new_offset; /* old: -1: none */
    const char *error;              /* NULL: moved */
} sentinel_group_reset;
typedef struct {
    const char *const *topics; /* empty: every topic that the group has offsets of */
    size_t topic_count;
    int64_t position; /* SENTINEL_EARLIEST, SENTINEL_LATEST or an offset; with to_timestamp: a time in ms */
    bool to_timestamp, dry_run;
} sentinel_group_reset_options;
/* The group must have no members. */
int sentinel_group_reset_offsets(sentinel_client *client, const char *name,
                                 const sentinel_group_reset_options *options,
                                 void (*visit)(void *context, const sentinel_group_reset *reset),
                                 void *context, sentinel_error *error);

/* ---- transactions ------------------------------------------------------------------------------------- */

typedef struct {
    const char *topic;
    int32_t partition;
} sentinel_transaction_partition;
typedef struct {
    const char *id;    /* transactional */
    const char *state; /* "empty", "ongoing", "prepare-commit", "prepare-abort", "committed", "aborted" */
    int64_t producer_id;
    int32_t epoch, timeout_ms;
    int64_t start_time_ms, update_time_ms;            /* since 1970; start: -1: it is not open */
    const sentinel_transaction_partition *partitions; /* of one asked for by its id */
    size_t partition_count;
    const char *const *groups; /* likewise */
    size_t group_count;
} sentinel_transaction;
/* `visit` is called once per transactional id, in their order. open_for_ms: only those open for so long. */
int sentinel_transaction_list(sentinel_client *client, int64_t open_for_ms,
                              void (*visit)(void *context, const sentinel_transaction *transaction),
                              void *context, sentinel_error *error);
int sentinel_transaction_describe(sentinel_client *client, const char *id,
                                  void (*visit)(void *context, const sentinel_transaction *transaction),
                                  void *context, sentinel_error *error);
/* Aborts an open transaction, whoever's it is; its producer is fenced. */
int sentinel_transaction_abort(sentinel_client *client, const char *id, sentinel_error *error);

#ifdef __cplusplus
}
#endif

#endif
