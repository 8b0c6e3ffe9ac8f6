// SPDX-License-Identifier: Apache-2.0
#include "broker/partition.h"

#include "broker/partition_replica.h"

#include "base/assert.h"
#include "base/mem.h"
#include "broker/cleaner.h"

struct partition *partition_new(struct topic_state *topic, struct broker *broker, int32_t index,
                                uint64_t group) {
    struct partition *p = mem_calloc(1, sizeof *p);
    p->broker = broker;
    p->topic = topic;
    p->index = index;
    p->group = group;
    producer_state_init(&p->producers, broker->hash_seed);
    producer_state_init(&p->committed, broker->hash_seed);
    list_init(&p->appends);
    list_init(&p->duplicates);
    list_init(&p->waiters);
    list_init(&p->fetch_waits);
    list_init(&p->searches);
    list_init(&p->trims);
    list_init(&p->unopened);
    return p;
}

static void resume_waiters(struct partition *p, bool gone) {
    /* A resumed request may wait again; it then goes to the live list, not to this one. */
    struct list waiters;
    list_init(&waiters);
    list_append(&waiters, &p->waiters);
    struct list *node;
    while ((node = list_pop_front(&waiters)) != NULL) {
        struct partition_waiter *waiter = CONTAINER_OF(node, struct partition_waiter, link);
        if (gone) waiter->partition = NULL;
        waiter->resume(waiter);
    }
}

void partition_free(struct partition *p) {
    partition_replica_close(p);
    list_remove(&p->unopened);
    cleaner_detach(p);
    if (p->load != NULL) partition_load_cancel(p);
    LIST_FOREACH(it, &p->appends) {
        CONTAINER_OF(it, struct append, link)->waiter.partition = NULL;
        list_remove(it);
    }
    LIST_FOREACH(it, &p->duplicates) {
        struct append *append = CONTAINER_OF(it, struct append, link);
        list_remove(it);
        list_push_back(&p->waiters, &append->waiter.link);
    }
    offset_search_detach(p);
    partition_trim_detach(p);
    fetch_wake(p, UINT64_MAX);
    resume_waiters(p, true);
    if (p->phase == PARTITION_READY) p->broker->stats.partitions_loaded--;
    producer_state_release(&p->producers);
    producer_state_release(&p->committed);
    mem_free(p);
}

void partition_check(const struct partition *p) {
    if (p->phase != PARTITION_READY) return;
    ASSERT_LE(p->log_start, p->log_start_next);
    ASSERT_LE(p->log_start_next, p->high_watermark);
    ASSERT_LE(p->high_watermark, p->log_end);
    ASSERT_LE(p->stretch_first, p->log_end);
    ASSERT_LE(p->deleted_bytes, p->cumulative_bytes);
    /* In a cluster also when it stops, and has no replica any more: what its log ended in may not be committed. */
    ASSERT_IMPLIES(list_empty(&p->appends) && p->broker->cluster == NULL,
                   p->high_watermark == p->log_end || p->draining);
}

enum status partition_use(struct partition *p, struct partition_waiter *waiter) {
    if (p->broker->cluster == NULL) return partition_use_here(p, waiter);
    return partition_replica_use(p);
}

enum status partition_use_here(struct partition *p, struct partition_waiter *waiter) {
    if (p->broker->cluster != NULL) return partition_replica_health(p);
    /* A read error may pass, or the block be mended; asking again costs one read a second. */
    if (p->phase == PARTITION_FAILED && io_now_ns(p->broker->io) - p->failed_ns >= PARTITION_RETRY_NS)
        p->phase = PARTITION_UNLOADED;
    if (p->phase == PARTITION_UNLOADED) {
        p->phase = PARTITION_LOADING;
        partition_load_start(p); /* often done when it returns: everything was in memory */
    }
    if (p->phase == PARTITION_READY && !p->draining) return STATUS_OK;
    if (p->phase == PARTITION_FAILED) return p->failure;
    if (waiter != NULL) {
        waiter->partition = p;
        list_push_back(&p->waiters, &waiter->link);
    }
    return STATUS_PENDING;
}

void partition_waiter_cancel(struct partition_waiter *waiter) {
    list_remove(&waiter->link);
}

void partition_loaded(struct partition *p, enum status status) {
    ASSERT(p->phase == PARTITION_LOADING);
    p->phase = status == STATUS_OK ? PARTITION_READY : PARTITION_FAILED;
    p->failure = status;
    p->failed_ns = io_now_ns(p->broker->io);
    if (status == STATUS_OK) p->broker->stats.partitions_loaded++;
    partition_check(p);
    resume_waiters(p, false);
    fetch_wake(p, UINT64_MAX);
}

void partition_reload(struct partition *p) {
    if (p->phase != PARTITION_LOADING && p->phase != PARTITION_READY) return;
    if (!list_empty(&p->appends)) return; /* they failed with the deletion, and load it anew themselves */
    if (p->phase == PARTITION_READY) p->broker->stats.partitions_loaded--;
    if (p->load != NULL) partition_load_cancel(p);
    offset_search_restart(p);
    cleaner_detach(p);
    p->phase = PARTITION_LOADING;
    partition_load_start(p);
}

void partition_begin_stretch(struct partition *p, int64_t now_ms) {
    p->stretch_first = p->grown_end;
    p->stretch_bytes = 0;
    p->stretch_max_timestamp = -1;
    p->stretch_started_ms = now_ms;
}

void partition_end_stretch(struct partition *p, struct store_write *write, int64_t now_ms) {
    ASSERT_LT(p->stretch_first, p->grown_end);
    struct time_entry entry = {.first_offset = p->stretch_first,
                               .max_timestamp = p->stretch_max_timestamp,
                               .ended_ms = now_ms,
                               .cumulative_bytes = p->cumulative_bytes};
    struct writer value;
    writer_init(&value);
    time_entry_encode(&entry, &value);
    struct key key = key_time(p->group, p->max_timestamp, p->grown_end - 1);
    store_put(write, key_slice(&key), (struct shared_slice){writer_slice(&value), NULL});
    writer_release(&value);
    partition_begin_stretch(p, now_ms);
}

int32_t partition_epoch(const struct partition *p) {
    return p->replica == NULL ? LEADER_EPOCH : (int32_t)raft_replica_raft(p->replica)->term;
}

int32_t partition_epoch_end(const struct partition *p, int32_t epoch, int64_t *end) {
    *end = p->high_watermark;
    if (epoch > partition_epoch(p) || epoch < 0) return -1;
    if (p->replica == NULL) return LEADER_EPOCH;
    const struct raft_log *log = &raft_replica_raft(p->replica)->log;
    uint32_t i = log->term_count;
    while (i > 0 && log->terms[log->term_head + i - 1].term > (uint64_t)epoch)
        i--;
    if (i < log->term_count) *end = MIN(*end, (int64_t)log->terms[log->term_head + i].start);
    /* What was of it is gone: it ended where the log begins, at the latest (so do Kafka's brokers: who asks is
     * there, perhaps, and has missed nothing). An empty log ends everywhere. */
    return i == 0 ? epoch : (int32_t)log->terms[log->term_head + i - 1].term;
}

void partition_grow(struct partition *p, uint64_t bytes, int64_t max_timestamp, int64_t end) {
    p->grown_end = end;
    p->cumulative_bytes += bytes;
    p->stretch_bytes += bytes;
    p->max_timestamp = MAX(p->max_timestamp, max_timestamp);
    p->stretch_max_timestamp = MAX(p->stretch_max_timestamp, max_timestamp);
}

/* ---- transactions -------------------------------------------------------------------------------------- */

const struct producer_state *partition_producers(const struct partition *p) {
    return p->replica == NULL ? &p->producers : &p->committed;
}

int64_t partition_stable_offset(const struct partition *p) {
    return MIN(producer_state_open_offset(partition_producers(p)), p->high_watermark);
}

struct producer_batch partition_producer_batch(const struct record_batch *batch, int64_t base_offset,
                                               int64_t now_ms) {
    struct producer_batch result = {.producer_id = batch->producer_id,
                                    .epoch = batch->producer_epoch,
                                    .first_sequence = batch->base_sequence,
                                    /* Compaction leaves fewer records, and their sequence numbers. */
                                    .record_count = batch->last_offset_delta + 1,
                                    .base_offset = base_offset,
                                    .last_offset = base_offset + batch->last_offset_delta,
                                    .append_time_ms = now_ms};
    int16_t type;
    struct slice value;
    if ((batch->attributes & BATCH_TRANSACTIONAL) != 0) result.kind = PRODUCER_TRANSACTIONAL;
    if ((batch->attributes & BATCH_CONTROL) != 0 &&
        record_batch_control_read(batch, &type, &value) == STATUS_OK)
        result.kind = type == CONTROL_COMMIT ? PRODUCER_COMMIT : PRODUCER_ABORT;
    if (result.kind >= PRODUCER_COMMIT) result.marker_number = record_batch_marker_number(value);
    return result;
}

void partition_put_aborted(const struct partition *p, const struct producer_state *state, int64_t offset,
                           struct store_write *write) {
    for (uint32_t i = state->aborted_count; i > 0 && state->aborted[i - 1].last_offset >= offset; i--) {
        struct writer name, value;
        writer_init(&name);
        writer_init(&value);
        producer_aborted_encode(&state->aborted[i - 1], &name, &value);
        struct key key = key_state(p->group, writer_slice(&name));
        store_put(write, key_slice(&key), (struct shared_slice){writer_slice(&value), NULL});
        writer_release(&name);
        writer_release(&value);
    }
}
