// SPDX-License-Identifier: Apache-2.0
/* broker_state.h: what the files of src/broker share: the broker's and a topic's state. Not for other
 * folders.
 *
 * Owner   the broker owns topics, a topic owns its partitions (made when first used).
 * Loop    shard thread only. */
#ifndef SENTINEL_BROKER_BROKER_STATE_H
#define SENTINEL_BROKER_BROKER_STATE_H

#include "broker/broker.h"
#include "machine/metadata.h"

struct topic_state {
    struct broker_topic public; /* first: a pointer to it is a pointer to this */
    struct slice name;
    struct partition **partitions; /* public.partition_count; NULL until used */
    uint64_t *groups;
    bool deleting; /* its deletion is on the way to the disk: takes nothing new */
};

struct cluster;
struct metadata_log;
struct producer_ids;
struct retention;
struct cleaner;
struct coordinators;
struct sent_readers;
struct leftovers;

struct broker {
    struct io *io;
    struct log *log;
    struct store *store;
    struct broker_options options;
    char *data_dir;
    uint64_t hash_seed;
    struct map topics, topics_by_id; /* -> struct topic_state, in order of creation */
    uint64_t topics_version;         /* counts changes of topics */
    struct metadata metadata;
    struct metadata_log *metadata_log;
    struct cluster *cluster; /* NULL: alone */
    bool cluster_stopped;    /* shutdown: it is no member any more */
    struct producer_ids *producer_ids;
    struct coordinators *coordinators;
    struct retention *retention;
    struct cleaner *cleaner;
    struct leftovers *leftovers; /* leftovers.c; NULL: nothing is being deleted */
    size_t append_bytes_in_flight;
    uint64_t appends_in_flight;
    struct list resume;                /* struct io_op, told when append_bytes_in_flight falls */
    struct list fetches;               /* struct fetch_state: all under way */
    size_t fetch_bytes_held;           /* batches given to fetches that were not released, or asked for */
    size_t answer_bytes;               /* that clients have not taken: broker_count_answers */
    struct sent_readers *sent_readers; /* read_replica.c; NULL: nobody was sent anywhere yet */
    bool closing, store_stopping, store_resume_set;
    bool abandoning; /* closed without a shutdown: a simulated crash */
    void (*shutdown_done)(void *ctx);
    void *shutdown_ctx;
    struct io_op shutdown_op;
    struct broker_stats stats;
    struct histogram append_ns;
};

/* NULL: no such topic or partition, or it is being deleted. */
struct partition *broker_partition(struct broker *broker, struct slice topic, int32_t index);
/* Called when an append is over, or shutdown was asked for: finishes the shutdown once nothing is in flight.
 */
void broker_check_shutdown(struct broker *broker);
void broker_append_finished(struct broker *broker, size_t bytes);

#endif
