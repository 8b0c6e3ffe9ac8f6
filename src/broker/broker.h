// SPDX-License-Identifier: Apache-2.0
/* broker.h: one shard of the broker: topics, partitions, and the calls the protocols make.
 *
 *   server (Kafka, gRPC) ──> broker_* ──> partition ──> store (log, state), metadata machine (group 0)
 *
 * Nothing here knows a protocol. A request is a struct embedded in its owner; `done` is called on the loop,
 * later than the call, exactly once. A partition's offset is its Raft index (settled decision 2); the batch
 * is stored as it was sent (decision 3).
 *
 * Keys in the store, integers big-endian (docs/formats.md):
 *   [group u64][kind u8][...]   group 0: metadata; each partition has a group of its own, from 1, never
 * reused
 *
 * Owner   requests belong to the caller until done; broker_topic pointers are valid until the next turn of
 *         the loop (a topic may be deleted): keep the name or the id, not the pointer.
 * Errors  statuses with a Kafka and a gRPC mapping (base/status.h); `message` says it for a person.
 * Loop    shard thread only. Bounds: struct broker_options. */
#ifndef SENTINEL_BROKER_BROKER_H
#define SENTINEL_BROKER_BROKER_H

#include "base/buffer.h"
#include "base/map.h"
#include "base/uuid.h"
#include "broker/raft_host.h"
#include "broker/topic_config.h"
#include "io/io.h"
#include "machine/group.h"
#include "storage/store.h"

struct broker;
struct partition;

/* Another node, or this one, as --peers names it. */
struct broker_peer {
    uint32_t node;
    const char *address; /* HOST:PORT, of every protocol */
};

struct broker_options {
    const char *data_dir;
    int32_t node_id;
    /* A member of a cluster: all nodes that found it, this one among them, or one to be asked; none: alone.
     */
    const struct broker_peer *peers;
    uint32_t peer_count;
    const char *advertised;       /* in a cluster: where others, and clients, reach this node */
    const char *rack;             /* in a cluster: what fails together; NULL: none is told */
    uint64_t election_timeout_ms; /* the shortest; the longest is twice that */
    uint64_t catch_up_rate;       /* bytes a second that this node sends to replicas that lag; 0: no limit */
    int16_t default_replication; /* of topics made by themselves or with -1; fewer while fewer nodes are up */
    struct store_options store;  /* dir is set by the broker */
    struct topic_config topic_defaults;
    int32_t default_partitions; /* topics made by themselves or with -1 partitions */
    bool auto_create_topics;
    int32_t topic_partitions_max; /* per topic */
    int32_t partitions_total_max;
    size_t append_bytes_in_flight_max; /* unsynced appends; above it append answers BUSY later, callers hold
                                          back */
    /* Batches in fetches not released, and answers that clients have not taken; above it a fetch gets
     * FETCH_SHARE. */
    size_t fetch_bytes_held_max;
    uint64_t retention_check_ms;
    uint64_t cleaner_check_ms; /* compaction by key looks for work so often */
    size_t cleaner_map_bytes;  /* for the keys of one pass; 24 bytes each */
    /* A stretch of log gets an entry in the time index when it holds this much or is this old: the bound of
     * what a lookup by time reads, and the grain in which retention deletes. */
    uint64_t stretch_bytes;
    int64_t stretch_age_ms;
    struct group_limits groups;
    int32_t txn_timeout_max_ms;
    struct log *log;
    const struct raft_host_watch *watch; /* the simulator's; NULL: nobody looks */
    void *watch_ctx;
};
struct broker_options broker_options_default(void);

/* Recovers the store and the metadata; partitions are loaded when first used. Blocks; for start-up. */
enum status broker_open(struct io *io, const struct broker_options *options, struct broker **broker,
                        struct diagnostic *diagnostic) MUST_USE;
/* Refuses new work, lets appends finish, flushes. */
void broker_shutdown(struct broker *broker, void (*done)(void *ctx), void *ctx);
/* After shutdown is done, or at a simulated crash. */
void broker_close(struct broker *broker);

const char *broker_cluster_id(const struct broker *broker); /* 22 characters, made on first start */
int32_t broker_node_id(const struct broker *broker);
struct store *broker_store(struct broker *broker);
const struct broker_options *broker_get_options(const struct broker *broker);
/* OK, or why this node serves no writes. */
enum status broker_health(const struct broker *broker);
/* OK: it takes writes, for the partitions that it leads and for others' on the way there. Else why not, for
 * people: its disk, a cluster that is not formed, or nodes that are too few. */
enum status broker_readiness(struct broker *broker, struct diagnostic *why) MUST_USE;

/* ---- topics ------------------------------------------------------------------------------------------- */

struct broker_topic {
    const char *name;
    struct uuid id;
    int32_t partition_count;
    int16_t replication;
    struct topic_config config;
};
/* NULL when there is none. */
const struct broker_topic *broker_topic_find(struct broker *broker, struct slice name);
const struct broker_topic *broker_topic_find_id(struct broker *broker, struct uuid id);
/* In a stable order: by name what was there at start, then by creation. `visit` must not create or delete. */
void broker_topics_visit(struct broker *broker, void (*visit)(void *ctx, const struct broker_topic *topic),
                         void *ctx);

#define TOPIC_NAME_SIZE_MAX 249
/* OK, or INVALID_TOPIC with the reason in `diagnostic`. */
enum status topic_name_check(struct slice name, struct diagnostic *diagnostic) MUST_USE;

enum topic_change_kind {
    TOPIC_CREATE,
    TOPIC_DELETE,
    TOPIC_ALTER_CONFIG,
    TOPIC_ADD_PARTITIONS,
    TOPIC_MOVE, /* one partition to other nodes: begun when done, over when broker_partition_move says so */
    TOPIC_CANCEL_MOVE /* NOT_FOUND: it is not being moved */
};
/* A change of metadata; durable when done is called with OK. */
struct topic_change {
    enum topic_change_kind kind;
    struct slice name;       /* copied at once; delete: empty, where `id` says which topic */
    int32_t partition_count; /* create: -1 default; add: the new total */
    int16_t replication;     /* create: -1 default; move: how many, where `placement` does not say which */
    int32_t partition;       /* move, cancel */
    /* create, add, move, in a cluster: the nodes, `replication` for each partition that is made, the
     * preferred leader first; copied at once. None: the controller chooses. */
    const int32_t *placement;
    uint32_t placement_count;
    struct topic_config config; /* create, alter: the whole new configuration */
    /* alter: makes `config` from what the topic has when the turn of this change comes, so that of two
     * changes under way neither is lost; NULL: `config` is meant as it is. A refusal goes to `diagnostic`. */
    enum status (*edit)(struct topic_change *change);
    bool validate_only;
    void (*done)(struct topic_change *change);
    enum status status;
    struct diagnostic diagnostic; /* why it was refused */
    struct uuid id;               /* create, delete: the topic's */
    /* the broker's own */
    struct io_op op;
    char *name_copy;
};
void broker_change_topic(struct broker *broker, struct topic_change *change);

/* A request on its way to another node (forward.h); the broker's own. */
struct forward {
    void (*answered)(struct forward *forward, enum status status, struct shared_slice body);
    struct list link;
    uint64_t number, deadline_ns;
    uint32_t node;
};

/* ---- appending ---------------------------------------------------------------------------------------- */

/* A request that waits until its partition is loaded; the broker's own. */
struct partition_waiter {
    struct list link;
    struct partition *partition; /* NULL once the topic is deleted */
    void (*resume)(struct partition_waiter *waiter);
};

/* One record batch (v2, one batch exactly) for one partition. The broker checks it, writes base offset and
 * leader epoch (and the timestamp, for LogAppendTime) into its header in place, and stores these very bytes.
 */
struct append {
    struct slice topic; /* borrowed until the call returns */
    int32_t partition;
    struct shared_slice batch; /* the owner is referenced until done; its bytes must not be shared yet */
    bool forward;              /* when another node leads, it is asked; else NOT_LEADER */
    /* A transactional batch is stored only as part of its producer's transaction (append_txn.h). */
    struct slice transactional_id; /* borrowed until done */
    bool joins_transaction;        /* the batch makes its partition part of it (KIP-890) */
    bool marker;                   /* a transaction's marker, or another control batch of our own */
    bool by_operator;              /* the marker is nobody's decision: broker_abort_open */
    void (*done)(struct append *append);
    enum status status;
    struct diagnostic diagnostic;
    int32_t bad_record;         /* INVALID_RECORD: index of the record, or -1 */
    int64_t base_offset;        /* also of the first copy, when the batch was a duplicate */
    int64_t log_append_time_ms; /* -1 with CreateTime */
    int64_t log_start_offset;
    int32_t leader_epoch;
    /* the broker's own */
    struct broker *broker;
    struct partition_waiter waiter;
    struct store_write write;
    struct raft_propose propose; /* in a cluster */
    struct forward forwarding;
    struct append_txn *txn; /* its transaction was asked */
    struct list link;
    struct io_op op;
    int64_t last_offset;
    uint64_t arrived_ns;
};
/* done is called when the batch is durable on a majority (one node: fsynced). */
void broker_append(struct broker *broker, struct append *append);
/* Aborts what a producer has open in one partition, its coordinator unasked: for a transaction that hangs
 * there. What its coordinator decides later ends only what was added since. `append` has topic, partition and
 * done. PENDING: done comes. OK: nothing was open. INVALID_PRODUCER_EPOCH: not the producer's epoch, or, when
 * the marker moves it, not the one behind. */
enum status broker_abort_open(struct broker *broker, struct append *append, int64_t producer_id,
                              int16_t epoch, bool moves_epoch) MUST_USE;
/* A simulated crash, before broker_close: `done` will not run, and what the append holds is dropped. */
void append_abandon(struct append *append);
/* True while too many bytes wait for the disk: stop reading from producers until resume->done runs (once). */
bool broker_overloaded(const struct broker *broker);
void broker_on_resume(struct broker *broker, struct io_op *resume);
void broker_on_resume_cancel(struct io_op *resume);

/* A new producer id for idempotent producers; unique for ever in this cluster. */
struct producer_id_request {
    void (*done)(struct producer_id_request *request);
    enum status status;
    int64_t producer_id;
    int16_t producer_epoch;
    struct list link;
    struct io_op op;
};
void broker_new_producer_id(struct broker *broker, struct producer_id_request *request);

/* ---- fetching ----------------------------------------------------------------------------------------- */

#define FETCH_SHARE (256 * KIB) /* what a fetch may hold however much others do */

struct fetch_aborted {
    int64_t producer_id, first_offset, last_offset; /* the last is the marker's */
};
struct fetch_partition {
    struct slice topic; /* borrowed until done */
    int32_t partition;
    int64_t offset;
    int32_t bytes_max;
    int32_t leader_epoch; /* what the client believes, -1: unknown; a newer one than ours is refused */
    /* results */
    enum status status;
    int32_t read_from;  /* nothing is given: this node serves the reader's rack; else -1 */
    bool from_follower; /* given by one here */
    int64_t high_watermark, last_stable_offset, log_start_offset;
    struct shared_slice *batches; /* whole batches in offset order, references held until fetch_release */
    uint32_t batch_count, batch_capacity;
    size_t bytes;
    /* With read_committed: transactions to be skipped in `batches`, from their first offset to their marker;
     * freed by fetch_release. */
    struct fetch_aborted *aborted;
    uint32_t aborted_count;
};
/* A fetch of several partitions with long poll: done when bytes_min are there, an error is, or wait_max_ms
 * have passed. At least one batch is given even when it exceeds bytes_max, so that a reader is never stuck.
 */
struct fetch {
    struct fetch_partition *partitions;
    uint32_t partition_count;
    uint32_t wait_max_ms;
    int32_t bytes_min, bytes_max;
    bool forward;        /* as append.forward */
    bool read_committed; /* nothing at or above the first open transaction */
    /* Followers answer too (read_replica.h), instead of saying who leads or asking it. */
    bool followers;
    struct slice rack; /* the reader's: a leader sends it to a follower there; borrowed until done */
    uint64_t reader;   /* with a rack: the same number for all that one reader asks */
    void (*done)(struct fetch *fetch);
    /* the broker's own */
    struct broker *broker;
    struct io_timer timer;
    struct io_op op;
    struct fetch_state *state;
};
void broker_fetch(struct broker *broker, struct fetch *fetch);
/* The owner goes away: done is not called. */
void broker_fetch_cancel(struct fetch *fetch);
/* Drops the batches; after done. */
void fetch_release(struct fetch *fetch);
/* So many more (or fewer) bytes of answers that clients have not taken yet: what was given to a fetch and
 * released counts there until it is sent. */
void broker_count_answers(struct broker *broker, int64_t bytes);
/* Whether a batch of the answer belongs to a transaction that was aborted; with read_committed. */
struct record_batch;
bool fetch_is_aborted(const struct fetch_partition *partition, const struct record_batch *batch);

/* ---- offsets ------------------------------------------------------------------------------------------ */

enum { OFFSET_LATEST = -1, OFFSET_EARLIEST = -2, OFFSET_MAX_TIMESTAMP = -3 };
struct list_offset {
    struct slice topic; /* borrowed until the call returns */
    int32_t partition;
    int64_t timestamp_ms; /* >= 0: first record at or after this time, exactly; or OFFSET_* */
    bool forward;         /* as append.forward */
    bool read_committed;  /* LATEST is then the first open transaction, if there is one */
    void (*done)(struct list_offset *request);
    enum status status;
    int64_t offset;             /* -1: no such record */
    int64_t found_timestamp_ms; /* of the record found, else -1 */
    int32_t leader_epoch;
    /* the broker's own */
    struct broker *broker;
    struct partition_waiter waiter;
    struct io_op op;
    struct offset_search *search;
    struct forward forwarding;
};
void broker_list_offset(struct broker *broker, struct list_offset *request);
void broker_list_offset_cancel(struct list_offset *request);

/* Where the records of leader epoch `epoch` end, or else of the newest one before it that has any: what a
 * client wants to know to find out whether its log was cut (KIP-320). Only of a partition that is served here
 * and was asked something before (loaded); *found -1: no such epoch. */
enum status broker_epoch_end(struct broker *broker, struct slice topic, int32_t partition, int32_t epoch,
                             int32_t *found, int64_t *end) MUST_USE;

/* Deletes records below `offset` (-1: the high watermark). */
struct delete_records {
    struct slice topic; /* borrowed until the call returns */
    int32_t partition;
    int64_t offset;
    bool forward; /* as append.forward */
    void (*done)(struct delete_records *request);
    enum status status;
    int64_t log_start_offset;
    /* the broker's own */
    struct broker *broker;
    struct partition_waiter waiter;
    struct io_op op;
    struct partition_trim *trim;
    struct log_start_append *saying; /* in a cluster */
    struct forward forwarding;
};
void broker_delete_records(struct broker *broker, struct delete_records *request);

/* What is known of one partition without reading the log; UNKNOWN_TOPIC, or PENDING when not loaded yet
 * (asks for it to be loaded). */
struct partition_info {
    int64_t log_start_offset, high_watermark, log_end_offset;
    uint64_t bytes;
    int32_t leader, leader_epoch;
};
enum status broker_partition_info(struct broker *broker, struct slice topic, int32_t partition,
                                  struct partition_info *info) MUST_USE;

/* A question to the leader of a partition, whichever node it is. A partition that is not loaded is loaded
 * first. */
enum partition_ask_kind {
    PARTITION_DESCRIBE,         /* `info` and how far each replica is */
    PARTITION_TRANSFER,         /* to `node`; 0: the preferred leader; as broker_transfer_leader */
    PARTITION_DESCRIBE_METADATA /* of the log of the metadata; no topic is named */
};
#define PARTITION_REPLICAS_TOLD_MAX 21 /* also those on their way out */
struct partition_ask {
    enum partition_ask_kind kind;
    struct slice topic; /* borrowed until the call returns */
    int32_t partition, node;
    void (*done)(struct partition_ask *ask);
    enum status status; /* NOT_LEADER: nobody who leads could be asked */
    struct partition_info info;
    struct partition_replica_info {
        int32_t node;
        int64_t end_offset; /* it has the log up to here on its disk */
        bool votes;
    } replicas[PARTITION_REPLICAS_TOLD_MAX];
    uint32_t replica_count;
    /* the broker's own */
    struct broker *broker;
    struct partition_waiter waiter;
    struct forward forwarding;
    struct io_op op;
};
void broker_ask_partition(struct broker *broker, struct partition_ask *ask);
void broker_ask_partition_cancel(struct partition_ask *ask);

/* A producer that a partition remembers. */
struct broker_producer {
    int64_t id;
    int16_t epoch;
    int32_t last_sequence; /* -1: none */
    int64_t last_time_ms;
    int64_t open_offset; /* of its transaction; -1: none is open */
};
/* Of a partition that is led here; PENDING as above. */
enum status broker_producers_visit(struct broker *broker, struct slice topic, int32_t partition,
                                   void (*visit)(void *ctx, const struct broker_producer *producer),
                                   void *ctx) MUST_USE;

/* Who leads a partition, as far as this node knows; node -1: nobody; loads nothing. */
struct partition_leader {
    int32_t node, epoch;
};
struct partition_leader broker_partition_leader(struct broker *broker, const struct broker_topic *topic,
                                                int32_t partition);

/* ---- the cluster --------------------------------------------------------------------------------------- */

#define BROKER_NODES_MAX    64
#define BROKER_REPLICAS_MAX 7

/* The address is NULL of a broker that runs alone: clients reach it where they reached it. */
struct broker_node {
    int32_t node;
    uint32_t incarnation; /* 0: announced, and not seen yet */
    const char *address;  /* HOST:PORT; until the next turn */
    const char *rack;     /* NULL: none */
    bool up, draining;
};
/* Ascending numbers; how many. */
uint32_t broker_nodes(struct broker *broker, struct broker_node nodes[BROKER_NODES_MAX]);
/* Who leads the controller; -1: nobody is known. */
int32_t broker_controller(struct broker *broker);
/* Which node coordinates a consumer group or transactional id; -1: nobody is known. */
int32_t broker_coordinator(struct broker *broker, struct slice name);
/* Who has a partition, the preferred leader first; `live`: only those that are there. */
uint32_t broker_partition_replicas(struct broker *broker, const struct broker_topic *topic, int32_t partition,
                                   bool live, int32_t nodes[BROKER_REPLICAS_MAX]);
/* Where a move of a partition stands; false: it is where it shall be, and nothing is left of it elsewhere. */
struct partition_move {
    bool moving; /* else the old copies are being deleted */
    /* Nodes that it goes to, and that it goes away from. */
    int32_t adding[BROKER_REPLICAS_MAX], removing[2 * BROKER_REPLICAS_MAX];
    uint32_t adding_count, removing_count;
};
bool broker_partition_move(struct broker *broker, const struct broker_topic *topic, int32_t partition,
                           struct partition_move *move);

/* What the nodes say of themselves now: each that is up is asked, at once. A node that does not answer within
 * SURVEY_PATIENCE_NS is not known, nor what it leads. */
#define SURVEY_PATIENCE_NS NS_PER_S
struct broker_node_report {
    int32_t node;
    bool known;                                         /* else only `lacking` and `late` say something */
    enum status health;                                 /* as broker_health there */
    uint64_t stored_bytes, disk_free_bytes, disk_bytes; /* disk_bytes 0: the disk does not tell */
    /* Of its copies, as the leaders that answered say: records that they lack, and how many of them have not
     * what was committed an election timeout ago. */
    int64_t lacking, late;
};
struct broker_survey {
    void (*done)(struct broker_survey *survey);
    struct broker_node_report reports[BROKER_NODES_MAX]; /* as broker_nodes orders them */
    uint32_t report_count;
    int64_t late_partitions; /* that have a late copy on a node that is up, and are not moving */
    /* Each that is up has answered: what none of them leads, nobody does. Else some is led by who did not. */
    bool is_complete;
    int64_t led_partitions;
    /* the broker's own */
    struct broker *broker;
    struct io_timer timer;
    struct io_op op;
    struct broker_survey_question {
        struct broker_survey *survey;
        struct forward forwarding;
    } questions[BROKER_NODES_MAX];
    uint32_t waiting;
};
void broker_survey(struct broker *broker, struct broker_survey *survey);
/* `done` is not called any more; also when it has been. */
void broker_survey_cancel(struct broker_survey *survey);

/* A partition that would better be elsewhere (machine/metadata_balance.h); the preferred leaders first. */
struct planned_move {
    struct slice topic; /* for the call */
    int32_t partition;
    uint32_t count;
    int32_t from[BROKER_REPLICAS_MAX], to[BROKER_REPLICAS_MAX];
};
/* `max` partitions at most, 0: METADATA_BALANCE_MAX. What this node knows and hears counts. `visit` must not
 * change anything. */
void broker_plan_rebalance(struct broker *broker, uint32_t max,
                           void (*visit)(void *ctx, const struct planned_move *move), void *ctx);

enum node_change_kind {
    NODE_ADD,   /* announces a node that comes: EXISTS */
    NODE_DRAIN, /* its replicas go to others, and it gets none: INVALID_REPLICATION, when they find no room */
    NODE_ACTIVE,       /* takes that back */
    NODE_REMOVE,       /* of a drained one: IN_USE, as long as it holds anything */
    NODE_CATCH_UP_RATE /* of each node; `node` is not looked at */
};
/* A change of the cluster; durable when done is called with OK. NOT_FOUND: there is no such node. */
struct node_change {
    enum node_change_kind kind;
    int32_t node;
    struct slice address; /* add: HOST:PORT; copied at once */
    int64_t rate;         /* bytes a second; 0: no limit; -1: as each node was started with */
    void (*done)(struct node_change *change);
    enum status status;
    struct diagnostic diagnostic; /* why it was refused, and what to do */
    /* the broker's own */
    struct io_op op;
};
void broker_change_node(struct broker *broker, struct node_change *change);
/* As it was last given; -1: each node has what it was started with. */
int64_t broker_catch_up_rate(const struct broker *broker);
/* Hands a partition that is led here to a node that has it; 0: to the preferred one. OK: under way, or it
 * leads already. NOT_LEADER; NOT_FOUND: the node has no replica; UNAVAILABLE: it lacks something, or is down.
 */
enum status broker_transfer_leader(struct broker *broker, struct slice topic, int32_t partition,
                                   int32_t node) MUST_USE;
/* NULL: alone. Connections of other nodes are its. */
struct peers;
struct peers *broker_peers(struct broker *broker);
/* Hands over what is led here, so that a shutdown that follows keeps nobody waiting; `done` when others lead,
 * or after some seconds. */
void broker_leave(struct broker *broker, void (*done)(void *ctx), void *ctx);

struct broker_stats {
    uint64_t appends, append_bytes, append_records, append_errors, duplicates;
    uint64_t fetches, fetch_bytes, fetch_waits;
    uint64_t follower_fetch_bytes, readers_sent; /* given as a follower; sent to one */
    uint64_t topics, partitions, partitions_loaded;
    uint64_t compactions, compacted_records, compacted_bytes; /* by key: passes, and what they removed */
    const struct histogram *append_ns;                        /* arrival to durable */
};
void broker_stats(const struct broker *broker, struct broker_stats *stats);

/* The consensus groups that this node is a member of. */
struct broker_group_stats {
    uint64_t groups, led, awake; /* awake: have something to say to each other, now and then */
    uint64_t elections, steps, messages_sent, messages_received, messages_dropped;
    uint64_t catch_up_bytes, catch_up_rate; /* read for replicas that lag; what is allowed a second */
};
/* Looks at every group. All 0: this broker runs alone. */
void broker_group_stats(const struct broker *broker, struct broker_group_stats *stats);

#endif
