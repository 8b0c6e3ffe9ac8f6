// SPDX-License-Identifier: Apache-2.0
#include "broker/broker.h"

#include "base/assert.h"
#include "base/mem.h"
#include "broker/backup.h"
#include "broker/cleaner.h"
#include "broker/controller.h"
#include "broker/coordinator_forward.h"
#include "broker/coordinator_remote.h"
#include "broker/forward.h"
#include "broker/leftovers.h"
#include "broker/metadata_log.h"
#include "broker/moves.h"
#include "broker/partition.h"
#include "broker/read_replica.h"
#include "broker/retention.h"
#include "broker/topics.h"

struct broker_options broker_options_default(void) {
    return (struct broker_options){
        .node_id = 1,
        .election_timeout_ms = 400,
        .default_replication = 3,
        .topic_defaults = topic_config_default(),
        .default_partitions = 1,
        .auto_create_topics = true,
        .topic_partitions_max = 10000,
        .partitions_total_max = 100000,
        .append_bytes_in_flight_max = 64 * MIB,
        .fetch_bytes_held_max = 64 * MIB,
        .retention_check_ms = 60000,
        .cleaner_check_ms = 15000,
        .cleaner_map_bytes = 16 * MIB,
        .stretch_bytes = 256 * KIB,
        .stretch_age_ms = 10 * 60 * MS_PER_S,
        .groups = group_limits_default(),
        .txn_timeout_max_ms = 15 * 60 * 1000,
    };
}

static void free_all(struct broker *broker) {
    if (broker->cluster != NULL) forward_abandon(broker->cluster);
    if (broker->cluster != NULL) coordinator_remote_abandon(broker->cluster);
    if (broker->cluster != NULL) coordinator_forward_abandon(broker->cluster);
    fetch_abandon_all(broker);
    coordinators_close(broker);
    if (broker->retention != NULL) retention_free(broker->retention);
    if (broker->cleaner != NULL) cleaner_free(broker->cleaner);
    broker->cleaner = NULL;
    leftovers_abandon(broker);
    topics_free(broker);
    if (broker->cluster != NULL) cluster_free(broker->cluster);
    metadata_log_close(broker);
    if (broker->producer_ids != NULL) producer_ids_free(broker->producer_ids);
    metadata_release(&broker->metadata);
    if (broker->store != NULL) store_close(broker->store);
    read_replica_forget(broker);
    mem_free(broker->data_dir);
    mem_free(broker);
}

enum status broker_open(struct io *io, const struct broker_options *options, struct broker **result,
                        struct diagnostic *diagnostic) {
    struct broker *broker = mem_calloc(1, sizeof *broker);
    broker->io = io;
    broker->log = options->log;
    broker->options = *options;
    broker->data_dir = mem_strdup(options->data_dir);
    io_random(io, &broker->hash_seed, sizeof broker->hash_seed);
    map_init(&broker->topics, broker->hash_seed);
    map_init(&broker->topics_by_id, broker->hash_seed);
    metadata_init(&broker->metadata, broker->hash_seed);
    list_init(&broker->resume);
    list_init(&broker->fetches);
    histogram_init(&broker->append_ns);
    broker->options.data_dir = broker->data_dir;
    broker->options.store.dir = broker->data_dir;
    /* With the kind: a partition's log is only appended to, while its other keys are overwritten. */
    broker->options.store.partition_prefix_size = KEY_GROUP_SIZE + 1;
    if (broker->options.store.log == NULL) broker->options.store.log = options->log;
    enum status status = options->peer_count > 0 ? backup_refuse(broker, diagnostic) : STATUS_OK;
    if (status == STATUS_OK) status = store_open(io, &broker->options.store, &broker->store, diagnostic);
    if (status == STATUS_OK && options->peer_count > 0) status = cluster_open(broker, diagnostic);
    if (status == STATUS_OK) status = metadata_log_open(broker, diagnostic);
    if (status == STATUS_OK) status = backup_take_over(broker, diagnostic);
    if (status != STATUS_OK) {
        free_all(broker);
        return status;
    }
    broker->producer_ids = producer_ids_new(broker);
    broker->retention = retention_new(broker);
    broker->cleaner = cleaner_new(broker);
    status = coordinators_open(broker, diagnostic);
    if (status == STATUS_OK && broker->cluster != NULL) status = cluster_start(broker, diagnostic);
    if (status != STATUS_OK) {
        free_all(broker);
        return status;
    }
    topics_load(broker);
    leftovers_delete(broker);
    *result = broker;
    return status;
}

/* ---- shutdown ----------------------------------------------------------------------------------------- */

static void store_is_down(void *ctx) {
    struct broker *broker = ctx;
    broker->shutdown_done(broker->shutdown_ctx);
}

static void begin_store_shutdown(struct io_op *op) {
    struct broker *broker = CONTAINER_OF(op, struct broker, shutdown_op);
    store_shutdown(broker->store, store_is_down, broker);
}

void broker_check_shutdown(struct broker *broker) {
    if (broker->abandoning)
        return; /* what is freed then speaks up here, and the rest is not there any more */
    if (broker->shutdown_done == NULL || broker->appends_in_flight != 0 || broker->store_stopping ||
        !metadata_log_idle(broker) || !coordinators_idle(broker) || !cleaner_is_idle(broker->cleaner) ||
        (broker->cluster != NULL && (!broker->cluster_stopped || !moves_idle(broker->cluster->moves))))
        return;
    broker->store_stopping = true;
    broker->shutdown_op.done = begin_store_shutdown;
    io_defer(broker->io, &broker->shutdown_op);
}

/* What waits for others waits in vain from now on. */
static void cluster_is_down(void *ctx) {
    struct broker *broker = ctx;
    topics_close_replicas(broker);
    coordinators_leave(broker);
    if (controller_replica(broker->cluster) != NULL) raft_replica_save(controller_replica(broker->cluster));
    controller_close(broker->cluster);
    broker->cluster_stopped = true;
    broker_check_shutdown(broker);
}

void broker_shutdown(struct broker *broker, void (*done)(void *ctx), void *ctx) {
    ASSERT(!broker->closing);
    broker->closing = true;
    broker->shutdown_done = done;
    broker->shutdown_ctx = ctx;
    fetch_end_waits(broker);
    coordinators_stop(broker);
    if (broker->cluster != NULL) {
        topics_fail_appends(broker);
        cluster_stop(broker->cluster, cluster_is_down, broker);
    }
    broker_check_shutdown(broker);
}

void broker_close(struct broker *broker) {
    broker->closing = true;
    broker->abandoning = !broker->store_stopping;
    free_all(broker);
}

/* ---- back-pressure ------------------------------------------------------------------------------------- */

/* A dead store asks nobody to wait: its refusals are to be heard. */
static bool stalled(const struct broker *broker) {
    return store_stalled(broker->store) && broker_health(broker) == STATUS_OK;
}

bool broker_overloaded(const struct broker *broker) {
    return broker->append_bytes_in_flight > broker->options.append_bytes_in_flight_max || stalled(broker);
}

static void resume_all(struct broker *broker) {
    struct list *node;
    while ((node = list_pop_front(&broker->resume)) != NULL)
        io_defer(broker->io, CONTAINER_OF(node, struct io_op, link));
}

static void store_resumed(void *ctx) {
    struct broker *broker = ctx;
    broker->store_resume_set = false;
    resume_all(broker);
}

/* Whoever waits for bytes under way may find that the store stalled meanwhile, and waits for that then. */
static void watch_stall(struct broker *broker) {
    if (!stalled(broker) || broker->store_resume_set || list_empty(&broker->resume)) return;
    broker->store_resume_set = true;
    store_on_resume(broker->store, store_resumed, broker);
}

void broker_on_resume(struct broker *broker, struct io_op *resume) {
    ASSERT(broker_overloaded(broker));
    list_push_back(&broker->resume, &resume->link);
    watch_stall(broker);
}

void broker_on_resume_cancel(struct io_op *resume) {
    list_remove(&resume->link);
}

void broker_append_finished(struct broker *broker, size_t bytes) {
    ASSERT(broker->appends_in_flight > 0 && broker->append_bytes_in_flight >= bytes);
    broker->appends_in_flight--;
    broker->append_bytes_in_flight -= bytes;
    watch_stall(broker);
    if (!stalled(broker) && broker->append_bytes_in_flight <= broker->options.append_bytes_in_flight_max / 2)
        resume_all(broker);
    broker_check_shutdown(broker);
}

/* ---- what is known ------------------------------------------------------------------------------------- */

const char *broker_cluster_id(const struct broker *broker) {
    if (broker->cluster != NULL) return broker->cluster->cluster_id;
    return broker->metadata.cluster_id;
}

int32_t broker_node_id(const struct broker *broker) {
    return broker->options.node_id;
}

struct store *broker_store(struct broker *broker) {
    return broker->store;
}

const struct broker_options *broker_get_options(const struct broker *broker) {
    return &broker->options;
}

enum status broker_health(const struct broker *broker) {
    return store_health(broker->store);
}

/* Among those that have ever come. */
static bool is_in_minority(const struct broker *broker) {
    const struct metadata *m = &broker->metadata;
    uint32_t count = 0, up = 0;
    for (uint32_t i = 0; i < m->node_count; i++) {
        count += m->nodes[i].incarnation != 0;
        up += m->nodes[i].incarnation != 0 && cluster_node_is_up(broker->cluster, m->nodes[i].node);
    }
    return 2 * up <= count;
}

enum status broker_readiness(struct broker *broker, struct diagnostic *why) {
    enum status health = broker_health(broker);
    if (health != STATUS_OK)
        return diagnose(why, health, "this node takes no writes: %s; its log says why", status_text(health));
    if (broker->cluster == NULL) return STATUS_OK;
    if (broker->cluster->cluster_id[0] == '\0')
        return diagnose(why, STATUS_UNAVAILABLE,
                        "the cluster is not formed yet: it begins when all nodes of --peers are there");
    if (broker_controller(broker) < 0 && is_in_minority(broker))
        return diagnose(why, STATUS_UNAVAILABLE, "half of the nodes or more are out of reach");
    return STATUS_OK;
}

enum status broker_partition_info(struct broker *broker, struct slice topic, int32_t partition,
                                  struct partition_info *info) {
    struct partition *p = broker_partition(broker, topic, partition);
    if (p == NULL) return STATUS_UNKNOWN_TOPIC;
    enum status status = partition_use_here(p, NULL);
    if (broker->cluster != NULL && status == STATUS_NOT_LEADER)
        status = STATUS_OK; /* not here: who leads it */
    if (status != STATUS_OK) return status;
    struct partition_leader leader = broker_partition_leader(broker, &p->topic->public, partition);
    *info = (struct partition_info){.log_start_offset = p->log_start,
                                    .high_watermark = p->high_watermark,
                                    .log_end_offset = p->log_end,
                                    .bytes = p->cumulative_bytes - p->deleted_bytes,
                                    .leader = leader.node,
                                    .leader_epoch = leader.epoch};
    return STATUS_OK;
}

struct visiting {
    void (*visit)(void *ctx, const struct broker_producer *producer);
    void *ctx;
};

static void visit_producer(void *ctx, const struct producer_entry *entry) {
    const struct visiting *visiting = ctx;
    uint8_t count = entry->batch_count;
    const struct broker_producer producer = {
        .id = entry->producer_id,
        .epoch = entry->epoch,
        .last_sequence = count == 0 ? -1 : entry->batches[count - 1].last_sequence,
        .last_time_ms = entry->last_time_ms,
        .open_offset = entry->open_offset};
    visiting->visit(visiting->ctx, &producer);
}

enum status broker_producers_visit(struct broker *broker, struct slice topic, int32_t partition,
                                   void (*visit)(void *ctx, const struct broker_producer *producer),
                                   void *ctx) {
    struct partition *p = broker_partition(broker, topic, partition);
    if (p == NULL) return STATUS_UNKNOWN_TOPIC;
    enum status status = partition_use(p, NULL);
    struct visiting visiting = {visit, ctx};
    if (status == STATUS_OK)
        producer_state_visit(partition_producers(p), INT64_MIN, visit_producer, &visiting);
    return status;
}

enum status broker_epoch_end(struct broker *broker, struct slice topic, int32_t partition, int32_t epoch,
                             int32_t *found, int64_t *end) {
    struct partition *p = broker_partition(broker, topic, partition);
    if (p == NULL) return STATUS_UNKNOWN_TOPIC;
    enum status status = partition_use(p, NULL);
    if (status == STATUS_OK) *found = partition_epoch_end(p, epoch, end);
    return status;
}

struct partition_leader broker_partition_leader(struct broker *broker, const struct broker_topic *topic,
                                                int32_t partition) {
    ASSERT(partition >= 0 && partition < topic->partition_count);
    if (broker->cluster == NULL)
        return (struct partition_leader){.node = broker->options.node_id, .epoch = LEADER_EPOCH};
    const struct topic_state *state = (const struct topic_state *)topic;
    struct known_leader known = cluster_leader(broker->cluster, state->groups[partition]);
    return (struct partition_leader){.node = known.node == 0 ? -1 : (int32_t)known.node,
                                     .epoch = (int32_t)known.term};
}

uint32_t broker_nodes(struct broker *broker, struct broker_node nodes[BROKER_NODES_MAX]) {
    const struct metadata *m = &broker->metadata;
    if (broker->cluster == NULL) {
        nodes[0] = (struct broker_node){.node = broker->options.node_id, .up = true};
        return 1;
    }
    STATIC_ASSERT(METADATA_NODES_MAX < BROKER_NODES_MAX + 1, "all registered nodes have room");
    uint32_t count = 0;
    for (uint32_t i = 0; i < m->node_count; i++)
        nodes[count++] = (struct broker_node){.node = (int32_t)m->nodes[i].node,
                                              .incarnation = m->nodes[i].incarnation,
                                              .address = m->nodes[i].address,
                                              .rack = m->nodes[i].rack[0] == '\0' ? NULL : m->nodes[i].rack,
                                              .up = cluster_node_is_up(broker->cluster, m->nodes[i].node),
                                              .draining = m->nodes[i].draining};
    /* Before it is registered it is there all the same. */
    if (count == 0)
        nodes[count++] = (struct broker_node){.node = broker->options.node_id,
                                              .incarnation = broker->cluster->incarnation,
                                              .address = broker->options.advertised,
                                              .up = true};
    return count;
}

int32_t broker_controller(struct broker *broker) {
    if (broker->cluster == NULL) return broker->options.node_id;
    struct known_leader known = cluster_leader(broker->cluster, 0);
    return known.node == 0 ? -1 : (int32_t)known.node;
}

uint32_t broker_partition_replicas(struct broker *broker, const struct broker_topic *topic, int32_t partition,
                                   bool live, int32_t nodes[BROKER_REPLICAS_MAX]) {
    const struct metadata_topic *known = metadata_find_id(&broker->metadata, topic->id);
    if (broker->cluster == NULL || known == NULL || known->replicas == NULL) {
        nodes[0] = broker->options.node_id;
        return 1;
    }
    uint32_t count = 0;
    const struct metadata_replicas *replicas = &known->replicas[partition];
    for (uint32_t i = 0; i < replicas->count; i++)
        if (!live || cluster_node_is_up(broker->cluster, replicas->nodes[i]))
            nodes[count++] = (int32_t)replicas->nodes[i];
    return count;
}

int32_t broker_coordinator(struct broker *broker, struct slice name) {
    if (broker->cluster == NULL) return broker->options.node_id;
    struct known_leader known = cluster_leader(broker->cluster,
                                               COORDINATOR_GROUP_FIRST + coordinator_index(name));
    return known.node == 0 ? -1 : (int32_t)known.node;
}

struct peers *broker_peers(struct broker *broker) {
    return broker->cluster == NULL ? NULL : broker->cluster->peers;
}

void broker_leave(struct broker *broker, void (*done)(void *ctx), void *ctx) {
    if (broker->cluster == NULL)
        done(ctx);
    else
        cluster_leave(broker->cluster, done, ctx);
}

void broker_stats(const struct broker *broker, struct broker_stats *stats) {
    *stats = broker->stats;
    stats->topics = broker->topics.count;
    stats->partitions = (uint64_t)broker->metadata.partition_total;
    stats->append_ns = &broker->append_ns;
}

void broker_group_stats(const struct broker *broker, struct broker_group_stats *stats) {
    struct raft_host_stats host = {0};
    if (broker->cluster != NULL) raft_host_stats(broker->cluster->host, &host);
    *stats = (struct broker_group_stats){.groups = host.replicas,
                                         .led = host.leaders,
                                         .awake = host.awake,
                                         .elections = host.elections,
                                         .steps = host.steps,
                                         .messages_sent = host.messages_sent,
                                         .messages_received = host.messages_received,
                                         .messages_dropped = host.messages_dropped,
                                         .catch_up_bytes = host.bulk_bytes_read,
                                         .catch_up_rate = host.bulk_rate};
}
