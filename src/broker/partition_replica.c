// SPDX-License-Identifier: Apache-2.0
#include "broker/partition_replica.h"

#include "base/assert.h"
#include "base/mem.h"
#include "broker/cleaner.h"
#include "broker/cleaner_state.h"
#include "broker/cluster.h"
#include "broker/read_replica.h"

/* ---- producers --------------------------------------------------------------------------------------------
 */

/* Each batch once, however often the log is gone through. */
static void learn_producer(struct partition *p, struct producer_state *state,
                           const struct record_batch *batch) {
    if (batch->producer_id < 0) return; /* also of the log's own control batches */
    struct producer_batch stored = partition_producer_batch(batch, batch->base_offset,
                                                            io_wall_ms(p->broker->io));
    if (!producer_state_has(state, &stored)) producer_state_apply(state, &stored);
}

/* ---- loading ----------------------------------------------------------------------------------------------
 */

static enum status load_meta(struct partition *p) {
    struct key key = key_prefix(p->group, KEY_META);
    struct shared_slice value;
    enum status status = store_get_blocking(p->broker->store, key_slice(&key), &value);
    if (status == STATUS_NOT_FOUND) return STATUS_OK;
    if (status != STATUS_OK) return status;
    struct partition_meta meta;
    bool decoded = partition_meta_decode(value.bytes, &meta);
    shared_slice_unref(value);
    if (!decoded) return STATUS_CORRUPT;
    p->log_start = meta.log_start_offset;
    p->deleted_bytes = p->cumulative_bytes = meta.deleted_bytes;
    return STATUS_OK;
}

static struct store_iterator *open_range(const struct partition *p, const struct key *lower,
                                         const struct key *upper) {
    return store_iterator_open(p->broker->store, key_slice(lower), key_slice(upper), STORE_ITERATOR_BLOCKING,
                               NULL, NULL);
}

static enum status load_time(struct partition *p) {
    struct key lower = key_prefix(p->group, KEY_TIME), upper = key_prefix(p->group, KEY_PRODUCER);
    struct store_iterator *it = open_range(p, &lower, &upper);
    enum status status = store_iterator_seek_prev(it, key_slice(&upper));
    int64_t last_offset;
    struct time_entry entry = {0};
    if (status == STATUS_OK) {
        if (!key_time_parse(store_iterator_key(it), &p->max_timestamp, &last_offset) ||
            !time_entry_decode(store_iterator_value(it).bytes, &entry))
            status = STATUS_CORRUPT;
        else
            p->stretch_first = last_offset + 1;
        p->cumulative_bytes = MAX(p->cumulative_bytes, entry.cumulative_bytes);
    }
    store_iterator_close(it);
    return status == STATUS_END ? STATUS_OK : status;
}

static enum status load_producers(struct partition *p) {
    struct key lower = key_prefix(p->group, KEY_PRODUCER), upper = key_prefix(p->group, KEY_STATE + 1);
    struct store_iterator *it = open_range(p, &lower, &upper);
    enum status status = store_iterator_seek(it, key_slice(&lower));
    while (status == STATUS_OK) {
        if (!partition_load_producer(&p->committed, store_iterator_key(it), store_iterator_value(it).bytes))
            status = STATUS_CORRUPT;
        else
            status = store_iterator_next(it);
    }
    store_iterator_close(it);
    return status == STATUS_END ? STATUS_OK : status;
}

/* Calls `take` for each batch that ends above `from`. */
static enum status walk_log(struct partition *p, int64_t from,
                            void (*take)(struct partition *p, const struct record_batch *batch)) {
    struct key lower = key_log(p->group, from), upper = key_prefix(p->group, KEY_TIME);
    struct store_iterator *it = open_range(p, &lower, &upper);
    enum status status = store_iterator_seek(it, key_slice(&lower));
    while (status == STATUS_OK) {
        struct record_batch batch;
        if (record_batch_read_trusted(store_iterator_value(it).bytes, &batch) != STATUS_OK)
            status = STATUS_CORRUPT;
        else
            take(p, &batch);
        if (status == STATUS_OK) status = store_iterator_next(it);
    }
    store_iterator_close(it);
    return status == STATUS_END ? STATUS_OK : status;
}

static void take_committed(struct partition *p, const struct record_batch *batch) {
    int64_t end = record_batch_last_offset(batch) + 1;
    if (end > p->high_watermark) return;
    /* The log start may be inside the first batch: its stretch then begins before it (partition_load.c). */
    if (p->grown_end <= p->stretch_first) p->stretch_first = MIN(p->stretch_first, batch->base_offset);
    partition_grow(p, batch->bytes.size, batch->max_timestamp, end);
    learn_producer(p, &p->committed, batch);
    /* Applied while nothing could be put beside the log. */
    int64_t log_start = record_batch_log_start_read(batch);
    if (log_start <= end) p->log_start_next = p->log_start = MAX(p->log_start, log_start);
}

static void take_appended(struct partition *p, const struct record_batch *batch) {
    learn_producer(p, &p->producers, batch);
}

enum status partition_replica_mend_producers(struct partition *p) {
    producer_state_release(&p->producers);
    producer_state_init(&p->producers, p->broker->hash_seed);
    producer_state_copy(&p->producers, &p->committed);
    p->log_end = (int64_t)raft_replica_raft(p->replica)->log.end;
    enum status status = walk_log(p, p->high_watermark, take_appended);
    p->producers_stale = status != STATUS_OK;
    return status;
}

static enum status load(struct partition *p) {
    producer_state_release(&p->committed);
    producer_state_init(&p->committed, p->broker->hash_seed);
    p->log_start = p->stretch_first = p->max_timestamp = 0;
    p->cumulative_bytes = p->deleted_bytes = 0;
    p->watermark_told = MAX(p->watermark_told, p->high_watermark);
    p->high_watermark = (int64_t)raft_replica_applied(p->replica);
    enum status status = load_meta(p);
    if (status == STATUS_OK) status = load_time(p);
    p->log_start = MAX(p->log_start, (int64_t)raft_replica_raft(p->replica)->log.start);
    p->log_start_next = p->log_start = MIN(p->log_start, p->high_watermark);
    p->grown_end = MAX(p->stretch_first, p->log_start);
    partition_begin_stretch(p, io_wall_ms(p->broker->io));
    if (status == STATUS_OK) status = load_producers(p);
    if (status == STATUS_OK) status = walk_log(p, p->stretch_first, take_committed);
    p->grown_end = MAX(p->grown_end, p->high_watermark);
    if (status == STATUS_OK) status = partition_replica_mend_producers(p);
    if (p->phase == PARTITION_READY) p->broker->stats.partitions_loaded--;
    if (status != STATUS_OK && (p->phase != PARTITION_FAILED || p->failure != status))
        log_error(p->broker->log, "partition cannot be loaded topic=%s partition=%d reason=%s",
                  p->topic->public.name, p->index, status_name(status));
    p->phase = status == STATUS_OK ? PARTITION_READY : PARTITION_FAILED;
    p->failure = status;
    if (status == STATUS_OK) p->broker->stats.partitions_loaded++;
    partition_check(p);
    return status;
}

static void retry_later(struct partition *p) {
    p->failed_ns = io_now_ns(p->broker->io);
    list_remove(&p->unopened);
    list_push_back(&p->broker->cluster->unopened, &p->unopened);
}

/* The log is repaired from the others meanwhile, if it is that. */
static void load_or_retry(struct partition *p) {
    if (load(p) != STATUS_OK) retry_later(p);
}

/* ---- the machine --------------------------------------------------------------------------------------- */

struct keeping {
    struct partition *partition;
    struct store_write *write;
};

static void keep_producer(void *ctx, const struct producer_entry *entry) {
    struct keeping *keeping = ctx;
    struct writer value;
    writer_init(&value);
    producer_entry_encode(entry, &value);
    struct key key = key_producer(keeping->partition->group, entry->producer_id);
    store_put(keeping->write, key_slice(&key), (struct shared_slice){writer_slice(&value), NULL});
    writer_release(&value);
}

void partition_replica_put_producers(struct partition *p, struct store_write *write) {
    struct keeping keeping = {p, write};
    producer_state_visit(&p->committed, p->stretch_first, keep_producer, &keeping);
    partition_put_aborted(p, &p->committed, p->stretch_first, write);
}

/* The stretch is full: its TIME key, and who wrote in it. */
static void end_stretch_if_full(struct partition *p, struct store_write *write, int64_t now_ms) {
    const struct broker_options *options = &p->broker->options;
    if (p->stretch_first >= p->grown_end || (p->stretch_bytes < options->stretch_bytes &&
                                             now_ms - p->stretch_started_ms < options->stretch_age_ms))
        return;
    partition_replica_put_producers(p, write);
    partition_end_stretch(p, write, now_ms);
}

static void followed(struct partition_trim *trim, enum status status) {
    MAYBE(status == STATUS_OK); /* the log says it again, or the leader does */
    mem_free(trim);
}

static void trim_to(struct partition *p, int64_t log_start) {
    struct partition_trim *trim = mem_calloc(1, sizeof *trim);
    trim->log_start = log_start;
    trim->deleted_bytes = p->deleted_bytes;
    trim->time_max = trim->time_last_offset = -1; /* the index goes with whole stretches, by retention */
    trim->done = followed;
    partition_trim_start(trim, p);
}

/* DeleteRecords: from here on nobody is served what is below, whoever leads; what is stored goes later. It is
 * written with the applied position, so that a restart knows it, too. */
static void begin_at(struct partition *p, int64_t log_start, struct store_write *write) {
    if (log_start <= p->log_start || log_start > p->grown_end) return;
    p->log_start = log_start;
    p->log_start_next = MAX(p->log_start_next, log_start);
    partition_put_start(p, p->deleted_bytes, write);
}

static void set_watermark(struct partition *p, int64_t end) {
    ASSERT_LE(p->high_watermark, end); /* I3 */
    p->high_watermark = end;
    p->log_end = MAX(p->log_end, end);
}

static void apply(void *ctx, const struct raft_entry *entries, uint32_t count, struct store_write *write) {
    struct partition *p = ctx;
    /* What stands beside the log is not known: nothing is added, and the next load goes through all of it. */
    if (p->phase == PARTITION_FAILED) {
        set_watermark(p, (int64_t)entries[count - 1].end);
        return;
    }
    int64_t now_ms = io_wall_ms(p->broker->io);
    uint64_t bytes = 0;
    int64_t started = p->log_start;
    bool ended = false; /* a transaction: more may be visible than came */
    for (uint32_t i = 0; i < count; i++) {
        struct record_batch batch;
        p->grown_end = MAX(p->grown_end, (int64_t)entries[i].end);
        bytes += entries[i].payload.bytes.size;
        if (entries[i].kind != RAFT_ENTRY_DATA ||
            record_batch_read_trusted(entries[i].payload.bytes, &batch) != STATUS_OK)
            continue;
        partition_grow(p, batch.bytes.size, batch.max_timestamp, (int64_t)entries[i].end);
        learn_producer(p, &p->committed, &batch);
        int64_t log_start = record_batch_log_start_read(&batch);
        if (log_start >= 0) begin_at(p, log_start, write);
        ended |= (batch.attributes & (BATCH_CONTROL | BATCH_TRANSACTIONAL)) > BATCH_CONTROL;
        end_stretch_if_full(p, write, now_ms);
    }
    set_watermark(p, (int64_t)entries[count - 1].end);
    if (p->log_start > started && !p->broker->closing) trim_to(p, p->log_start);
    append_committed(p);
    bool readable = partition_replica_use(p) == STATUS_OK || read_replica_use(p) == STATUS_OK;
    fetch_wake(p, readable && !ended ? bytes : UINT64_MAX);
    partition_check(p);
}

static void appended(void *ctx, const struct raft_entry *entries, uint32_t count) {
    struct partition *p = ctx;
    p->log_end = MAX(p->log_end, (int64_t)entries[count - 1].end);
    bool leads = raft_replica_is_leader(p->replica);
    for (uint32_t i = 0; !leads && i < count; i++) {
        struct record_batch batch;
        if (entries[i].kind == RAFT_ENTRY_DATA &&
            record_batch_read_trusted(entries[i].payload.bytes, &batch) == STATUS_OK)
            learn_producer(p, &p->producers, &batch);
    }
}

static void truncated(void *ctx, uint64_t from) {
    struct partition *p = ctx;
    p->log_end = (int64_t)from;
    p->producers_stale = true;
}

static void changed(void *ctx) {
    struct partition *p = ctx;
    if (p->replica == NULL) return;
    members_changed(p->broker->cluster);
    if (raft_replica_is_leader(p->replica)) {
        p->log_end = (int64_t)raft_replica_raft(p->replica)->log.end;
        cluster_announce(p->broker->cluster, p->replica);
    } else {
        append_fail_all(p, STATUS_NOT_LEADER);
    }
    fetch_wake(p, UINT64_MAX);
}

static enum status reopened(void *ctx) {
    struct partition *p = ctx;
    append_fail_all(p, STATUS_NOT_LEADER);
    cleaner_detach(p);
    partition_trim_detach(p); /* of a log start that what is loaded now may not reach yet */
    load_or_retry(p);
    fetch_wake(p, UINT64_MAX);
    return STATUS_OK; /* its log counts, whatever is beside it */
}

/* Until `installed`, nobody reads or writes beside the log. */
static void installing(void *ctx) {
    struct partition *p = ctx;
    cleaner_detach(p);
    if (p->phase == PARTITION_READY) p->broker->stats.partitions_loaded--;
    p->phase = PARTITION_LOADING;
    p->failure = STATUS_NOT_LEADER;
}

static enum status installed(void *ctx, uint64_t end) {
    MAYBE(end > 0);
    return reopened(ctx);
}

/* How far this copy is cleaned says nothing of another one. */
static bool is_local(struct slice key) {
    return key.data[0] == KEY_STATE && cleaner_state_is_key(slice_make(key.data + 1, key.size - 1));
}

/* The other member may not have cleaned what it sends: all of it is dirty again. */
static void repairing(void *ctx, struct store_write *write) {
    struct partition *p = ctx;
    struct key key = cleaner_state_key(p->group);
    cleaner_detach(p);
    store_delete(write, key_slice(&key));
}

static void failed(void *ctx, enum status status) {
    struct partition *p = ctx;
    append_fail_all(p, status == STATUS_NO_SPACE ? STATUS_NOT_LEADER : status);
    fetch_wake(p, UINT64_MAX);
}

static const struct raft_machine machine = {.apply = apply,
                                            .appended = appended,
                                            .truncated = truncated,
                                            .installing = installing,
                                            .installed = installed,
                                            .changed = changed,
                                            .failed = failed,
                                            .reopened = reopened,
                                            .snapshot_kinds = 1u << KEY_META | 1u << KEY_PRODUCER |
                                                              1u << KEY_STATE,
                                            .is_local = is_local,
                                            .repairing = repairing,
                                            .snapshot_at_start = true};

/* ---- where the log begins ------------------------------------------------------------------------------ */

void partition_replica_follow_start(struct partition *p, int64_t log_start) {
    log_start = MIN(log_start, p->high_watermark);
    if (p->phase != PARTITION_READY || log_start <= p->log_start_next || p->broker->closing) return;
    trim_to(p, log_start);
}

/* ---- life ---------------------------------------------------------------------------------------------- */

void partition_replica_open(struct partition *p, const struct metadata_replicas *replicas, bool is_new) {
    struct cluster *cluster = p->broker->cluster;
    if (p->replica != NULL) return;
    list_remove(&p->unopened);
    struct raft_config *founding = cluster_founding(cluster, replicas);
    struct raft_replica_options options = {.group = p->group,
                                           .format = RAFT_FORMAT_BATCHES,
                                           .machine = &machine,
                                           .ctx = p,
                                           .founding = founding,
                                           .priority = RAFT_PRIORITY_MAX};
    /* The others hear of the new topic a moment later than the controller. */
    if (is_new && founding != NULL && replicas->nodes[0] == cluster->node)
        options.campaign_in_ns = CLUSTER_FIRST_CAMPAIGN_NS +
                                 MIN((uint64_t)p->index * CLUSTER_CAMPAIGN_STAGGER_NS,
                                     CLUSTER_CAMPAIGN_SPREAD_NS);
    struct diagnostic why;
    enum status status = raft_replica_open(cluster->host, &options, &p->replica, &why);
    mem_free(founding);
    if (status == STATUS_OK) {
        load_or_retry(p);
        return;
    }
    if (p->phase != PARTITION_FAILED || p->failure != status)
        log_error(p->broker->log, "partition cannot be opened topic=%s partition=%d reason=\"%s\"",
                  p->topic->public.name, p->index, why.text);
    p->replica = NULL;
    p->phase = PARTITION_FAILED;
    p->failure = status;
    retry_later(p);
}

static void retry(struct cluster *cluster, struct partition *p) {
    const struct metadata_topic *topic = metadata_find_id(&cluster->broker->metadata, p->topic->public.id);
    if (p->phase != PARTITION_FAILED || topic == NULL ||
        !metadata_has_replica(&topic->replicas[p->index], cluster->node))
        return;
    if (p->replica == NULL)
        partition_replica_open(p, &topic->replicas[p->index], false);
    else if (raft_replica_health(p->replica) == STATUS_OK) /* else when it is opened anew */
        load_or_retry(p);
    if (p->phase != PARTITION_FAILED)
        fetch_wake(p, UINT64_MAX);
    else if (p->replica != NULL && raft_replica_is_leader(p->replica))
        MAYBE(raft_replica_transfer(p->replica, RAFT_NO_ID) == STATUS_OK); /* others can serve */
}

void partition_replicas_retry(struct cluster *cluster) {
    struct list *first;
    for (uint32_t i = 0; i < REPLICA_RETRIES_MAX && (first = list_first(&cluster->unopened)) != NULL; i++) {
        struct partition *p = CONTAINER_OF(first, struct partition, unopened);
        if (io_now_ns(cluster->broker->io) - p->failed_ns < PARTITION_RETRY_NS) return;
        list_remove(first);
        retry(cluster, p);
    }
}

void partition_replica_close(struct partition *p) {
    if (p->replica == NULL) return;
    append_fail_all(p, p->broker->closing ? STATUS_NOT_LEADER : STATUS_UNKNOWN_TOPIC);
    if (p->moved)
        raft_replica_leave(p->replica);
    else
        raft_replica_close(p->replica, p->dropped);
    p->replica = NULL;
}

enum status partition_replica_health(const struct partition *p) {
    if (p->replica == NULL) return p->phase == PARTITION_FAILED ? p->failure : STATUS_NOT_LEADER;
    if (raft_replica_health(p->replica) == STATUS_NO_SPACE) return STATUS_NOT_LEADER;
    if (raft_replica_health(p->replica) != STATUS_OK) return raft_replica_health(p->replica);
    return p->phase == PARTITION_READY ? STATUS_OK : p->failure;
}

enum status partition_replica_use(const struct partition *p) {
    enum status status = partition_replica_health(p);
    if (status != STATUS_OK) return status;
    bool serves = raft_replica_is_settled(p->replica) &&
                  (uint64_t)p->high_watermark >= raft_replica_raft(p->replica)->term_start;
    return serves ? STATUS_OK : STATUS_NOT_LEADER;
}
