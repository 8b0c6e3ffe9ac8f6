// SPDX-License-Identifier: Apache-2.0
/* partition.h: one partition of one topic on this node: its offsets, appends in flight, waiting fetches.
 *
 *     log_start <= high_watermark <= log_end
 *
 * An append goes through three steps, kept apart because a replicated log will stand between them: it gets
 * its offsets and is submitted (log_end moves); it becomes durable (append_durable); it is committed and
 * visible (high_watermark moves, producers are answered, fetches wake). On one node durable is committed.
 *
 * In a cluster the log is a group of replicas (partition_replica.h): an append is proposed, and committed
 * when a majority has it on disk; the leader serves, and who may read from a follower does.
 *
 * A partition is loaded from the store when first used: its offsets, the open stretch of its time index, its
 * producers. What is kept per stretch of log, not per record, is the TIME key (keys.h).
 *
 * Owner   its topic. Requests are linked in here and detached when the topic is deleted.
 * Errors  a failed append fails all behind it (their offsets are gone with it); the partition is then loaded
 *         anew from what the store has.
 * Loop    shard thread only.
 * I1  log_start <= log_start_next <= high_watermark <= log_end.   I2  appends are in offset order, each
 * begins where the one before ended.   I3  high_watermark only grows while loaded. */
#ifndef SENTINEL_BROKER_PARTITION_H
#define SENTINEL_BROKER_PARTITION_H

#include "broker/broker_state.h"
#include "broker/keys.h"
#include "broker/raft_host.h"
#include "machine/producer_state.h"
#include "wire/record_batch.h"

#define PARTITION_RETRY_NS (NS_PER_S)
/* The one leader epoch of a log that never had another leader: of a broker that runs alone. */
#define LEADER_EPOCH 0
/* Readers of a backlog that a partition remembers. */
#define PARTITION_FETCH_ENDS 4u

enum partition_phase { PARTITION_UNLOADED, PARTITION_LOADING, PARTITION_READY, PARTITION_FAILED };

struct partition_load;
struct partition {
    struct broker *broker;
    struct topic_state *topic;
    int32_t index;
    uint64_t group;
    enum partition_phase phase;
    enum status failure; /* FAILED: why; tried again PARTITION_RETRY_NS later */
    int64_t log_start, high_watermark, log_end;
    int64_t watermark_told;    /* highest before it was loaded anew: readers may have seen it */
    int64_t log_start_next;    /* >= log_start: on its way to the disk (partition_trim) */
    uint64_t failed_ns;        /* FAILED: when; not of a copy that is opened anew */
    uint64_t cumulative_bytes; /* ever appended */
    uint64_t deleted_bytes;    /* of them, below log_start by whole stretches */
    int64_t max_timestamp;     /* so far; >= 0 */
    int64_t stretch_first;     /* first offset of the open stretch */
    uint64_t stretch_bytes;
    int64_t stretch_max_timestamp; /* of the open stretch alone; -1: none */
    int64_t stretch_started_ms;
    int64_t grown_end; /* what partition_grow has counted: log_end; in a cluster what is committed */
    struct producer_state producers; /* of everything up to log_end */
    struct raft_replica *replica;    /* in a cluster, when this node has one */
    struct list unopened;            /* in cluster.unopened: to be opened, or loaded, later */
    struct producer_state committed; /* of everything below high_watermark; in a cluster */
    bool dropped;                    /* its topic is gone, and what is stored goes too */
    bool moved;                      /* its copy here was given away, and goes */
    bool producers_stale;            /* they know of batches that are not in the log: partition_replica.c */
    bool draining;           /* an append failed: nothing new until none is in flight, then load again */
    struct list appends;     /* struct append.link, in flight, by offset */
    struct list duplicates;  /* struct append.link: retries of batches that are in flight */
    struct list waiters;     /* struct partition_waiter: until loaded */
    struct list fetch_waits; /* struct fetch_wait: until more is there */
    /* Where fetches from the disk ended lately, and how far ahead they had it read; by turns. */
    struct {
        int64_t offset;
        size_t ahead;
    } fetch_ends[PARTITION_FETCH_ENDS];
    uint32_t fetch_end_turn;
    struct list searches, trims; /* struct offset_search, struct partition_trim: under way */
    struct partition_load *load;
};

struct partition *partition_new(struct topic_state *topic, struct broker *broker, int32_t index,
                                uint64_t group);
/* Detaches every request: those that wait are resumed with partition NULL, those in flight end on their own.
 */
void partition_free(struct partition *partition);
void partition_check(const struct partition *partition);

/* What it knows was read while a deletion that failed was under way: it is loaded anew. */
void partition_reload(struct partition *partition);

/* OK: ready. PENDING: being loaded; `waiter` (may be NULL) is resumed. Else why it can't be used. */
enum status partition_use(struct partition *partition, struct partition_waiter *waiter) MUST_USE;
void partition_waiter_cancel(struct partition_waiter *waiter);
/* Resumes everything that waits; partition_load.c calls it when loaded or failed. */
void partition_loaded(struct partition *partition, enum status status);

/* partition_load.c */
/* A PRODUCER key, or a STATE key of an aborted transaction; false: damaged. */
bool partition_load_producer(struct producer_state *state, struct slice key, struct slice value);
void partition_load_start(struct partition *partition);
void partition_load_cancel(struct partition *partition);

/* The open stretch ends here and gets its TIME key. */
void partition_end_stretch(struct partition *partition, struct store_write *write, int64_t now_ms);
/* The open stretch begins anew, empty, at the end of the log. */
void partition_begin_stretch(struct partition *partition, int64_t now_ms);
/* What a batch of `bytes` that ends at `end`, with this newest timestamp, adds to the open stretch (append
 * and load alike). */
void partition_grow(struct partition *partition, uint64_t bytes, int64_t max_timestamp, int64_t end);
int32_t partition_epoch(const struct partition *partition);
/* broker_epoch_end of a loaded partition; -1: no such epoch. */
int32_t partition_epoch_end(const struct partition *partition, int32_t epoch, int64_t *end);
/* What is below is decided: no transaction that is open begins there. At most the high watermark. */
int64_t partition_stable_offset(const struct partition *partition);
/* The producers of everything below the high watermark. */
const struct producer_state *partition_producers(const struct partition *partition);
/* A batch as the producers' state sees it. */
struct producer_batch partition_producer_batch(const struct record_batch *batch, int64_t base_offset,
                                               int64_t now_ms);
/* Stores the aborted transactions that ended at or above `offset`. */
void partition_put_aborted(const struct partition *partition, const struct producer_state *state,
                           int64_t offset, struct store_write *write);
/* As partition_use, also where another node leads. */
enum status partition_use_here(struct partition *partition, struct partition_waiter *waiter) MUST_USE;

/* append.c: answers what became committed; fails everything that is under way. */
void append_committed(struct partition *partition);
void append_fail_all(struct partition *partition, enum status status);

/* fetch.c: a batch became visible, or the partition was loaded or goes away. */
void fetch_wake(struct partition *partition, uint64_t bytes);
/* The broker shuts down: every waiting fetch answers with what is there. */
void fetch_end_waits(struct broker *broker);
/* The broker is closed under them: they end without an answer. */
void fetch_abandon_all(struct broker *broker);
/* list_offset.c, partition_trim.c: the partition goes away. */
void offset_search_detach(struct partition *partition);
/* Failed writes were taken back, and with them index entries that searches may have relied on. */
void offset_search_restart(struct partition *partition);
void partition_trim_detach(struct partition *partition);

/* partition_trim.c: deletes records below log_start, in two writes: the new log start first, which is
 * published when it is durable; then the records and the TIME keys up to (time_max, time_last_offset), so
 * that no crash can bring back a log start that a client has seen pass. `done` once, on the loop, after both.
 */
struct partition_trim {
    struct list link;
    struct partition *partition; /* NULL: gone with its topic */
    struct store_write write;
    int64_t log_start;
    int64_t time_max, time_last_offset; /* last TIME key to go; -1: none */
    uint64_t deleted_bytes;
    void (*done)(struct partition_trim *trim, enum status status);
    void *ctx;
};
void partition_trim_start(struct partition_trim *trim, struct partition *partition);
/* That the log begins at log_start_next. */
void partition_put_start(const struct partition *partition, uint64_t deleted_bytes,
                         struct store_write *write);
/* A crash came between the two writes: the second one again. */
void partition_trim_finish_old(struct partition *partition);

#endif
