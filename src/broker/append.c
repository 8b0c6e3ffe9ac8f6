// SPDX-License-Identifier: Apache-2.0
/* Appending: check, number, submit; then durable, committed, answered (partition.h). */
#include "base/assert.h"
#include "broker/append_txn.h"
#include "broker/cleaner.h"
#include "broker/forward.h"
#include "broker/partition.h"
#include "broker/partition_replica.h"
#include "wire/record_batch.h"

/* What a batch may inflate to when its records must be looked into (compacted topics). */
#define INFLATE_MAX (64 * MIB)

static void release(struct append *append) {
    raft_propose_cancel(&append->propose);
    forward_cancel(&append->forwarding);
    append_txn_release(append);
    store_write_release(&append->write);
    buffer_unref(append->batch.owner);
}

void append_abandon(struct append *append) {
    list_remove(&append->link);
    list_remove(&append->waiter.link);
    store_write_abandon(&append->write);
    release(append);
}

static void finish(struct append *append) {
    struct broker *broker = append->broker;
    size_t bytes = append->batch.bytes.size;
    release(append);
    append->done(append);
    broker_append_finished(broker, bytes);
}

static void finish_deferred(struct io_op *op) {
    finish(CONTAINER_OF(op, struct append, op));
}

/* Answers with a refusal, never from inside broker_append. */
static void refuse(struct broker *broker, struct append *append, enum status status) {
    append->status = status;
    broker->stats.append_errors++;
    append->op.done = finish_deferred;
    io_defer(broker->io, &append->op);
}

/* ---- checking ----------------------------------------------------------------------------------------- */

static enum status check_records_have_keys(const struct record_batch *batch, struct append *append) {
    struct arena arena;
    arena_init(&arena, 16 * KIB);
    struct record_iterator it;
    struct record record;
    enum status status = record_iterator_init(&it, batch, &arena, INFLATE_MAX);
    int32_t index = 0;
    while (status == STATUS_OK && (status = record_iterator_next(&it, &record)) == STATUS_OK) {
        if (record.key.data == NULL) {
            append->bad_record = index;
            status = diagnose(&append->diagnostic, STATUS_INVALID_RECORD,
                              "record %d has no key; a compacted topic keeps the last record of each key",
                              index);
            break;
        }
        index++;
    }
    arena_release(&arena);
    return status == STATUS_END ? STATUS_OK : status;
}

/* The header's newest timestamp is what lookups by time go by. Some old clients leave it at -1: it is then
 * taken from the records, as Kafka's brokers do with every batch, and the checksum made anew. */
static enum status mend_max_timestamp(struct append *append, struct record_batch *batch) {
    struct arena arena;
    arena_init(&arena, 16 * KIB);
    struct record_iterator it;
    struct record record;
    int64_t max = batch->base_timestamp;
    enum status status = record_iterator_init(&it, batch, &arena, INFLATE_MAX);
    while (status == STATUS_OK && (status = record_iterator_next(&it, &record)) == STATUS_OK)
        max = MAX(max, record.timestamp);
    arena_release(&arena);
    if (status != STATUS_END) return diagnose(&append->diagnostic, status, "%s", status_text(status));
    uint8_t *bytes = (uint8_t *)(uintptr_t)append->batch.bytes.data;
    record_batch_set_max_timestamp(bytes, append->batch.bytes.size, max);
    batch->max_timestamp = max;
    return STATUS_OK;
}

static enum status check_timestamps(struct partition *p, struct append *append, struct record_batch *batch) {
    const struct topic_config *config = &p->topic->public.config;
    if (config->message_timestamp_type == 1) return STATUS_OK;
    if (batch->attributes & BATCH_LOG_APPEND_TIME)
        return diagnose(&append->diagnostic, STATUS_INVALID_TIMESTAMP,
                        "the batch claims the broker's time, which is the broker's to give");
    int64_t now_ms = io_wall_ms(p->broker->io);
    if (batch->base_timestamp < -1 || batch->max_timestamp < -1)
        return diagnose(&append->diagnostic, STATUS_INVALID_TIMESTAMP, "a timestamp before 1970");
    if (batch->max_timestamp < batch->base_timestamp) {
        enum status status = mend_max_timestamp(append, batch);
        if (status != STATUS_OK) return status;
    }
    if (batch->max_timestamp - now_ms > config->timestamp_after_max_ms)
        return diagnose(&append->diagnostic, STATUS_INVALID_TIMESTAMP,
                        "timestamp %lld is more than message.timestamp.after.max.ms = %lld ahead of the "
                        "broker's clock; timestamps are in milliseconds",
                        (long long)batch->max_timestamp, (long long)config->timestamp_after_max_ms);
    if (batch->base_timestamp >= 0 && now_ms - batch->base_timestamp > config->timestamp_before_max_ms)
        return diagnose(&append->diagnostic, STATUS_INVALID_TIMESTAMP,
                        "timestamp %lld is more than message.timestamp.before.max.ms = %lld behind the "
                        "broker's clock",
                        (long long)batch->base_timestamp, (long long)config->timestamp_before_max_ms);
    return STATUS_OK;
}

static enum status check_batch(struct partition *p, struct append *append, struct record_batch *batch) {
    const struct topic_config *config = &p->topic->public.config;
    struct slice bytes = append->batch.bytes;
    enum status status = p->producers_stale ? partition_replica_mend_producers(p) : STATUS_OK;
    if (status != STATUS_OK)
        return diagnose(&append->diagnostic, status, "who wrote at the end of the log cannot be read: %s",
                        status_text(status));
    if (append->marker) return record_batch_read(bytes, batch);
    if (bytes.size > (uint64_t)config->max_message_bytes)
        return diagnose(&append->diagnostic, STATUS_TOO_LARGE,
                        "the batch has %zu bytes, max.message.bytes of topic '%s' is %lld", bytes.size,
                        p->topic->public.name, (long long)config->max_message_bytes);
    status = record_batch_validate(bytes, false, INFLATE_MAX, batch, &append->bad_record);
    if (status != STATUS_OK) return diagnose(&append->diagnostic, status, "%s", status_text(status));
    if ((batch->attributes & BATCH_TRANSACTIONAL) != 0 &&
        (append->transactional_id.size == 0 || batch->producer_id < 0))
        return diagnose(&append->diagnostic, STATUS_INVALID_TXN_STATE,
                        "a transactional batch comes from a producer with a transactional id");
    status = check_timestamps(p, append, batch);
    if (status == STATUS_OK && (config->cleanup_policy & 2) != 0)
        status = check_records_have_keys(batch, append);
    return status;
}

/* It has no place in the log yet: it may get another than was meant for it, or none. */
static bool is_proposed(const struct partition *p, int64_t base_offset) {
    LIST_FOREACH(it, &p->appends) {
        const struct append *first = CONTAINER_OF(it, struct append, link);
        if (first->base_offset == base_offset) return !list_empty(&first->propose.link);
    }
    return false;
}

/* OK: append it. END: it is there already and the answer is known or awaited. Else the refusal. */
static enum status check_producer(struct partition *p, struct append *append,
                                  const struct record_batch *batch) {
    if (batch->producer_id < 0) return STATUS_OK;
    struct producer_batch sent = partition_producer_batch(batch, p->log_end, 0);
    sent.by_operator = append->by_operator;
    int64_t base_offset = -1, last_offset = -1;
    enum status status = producer_state_check(&p->producers, &sent, &base_offset, &last_offset);
    if (status != STATUS_DUPLICATE_SEQUENCE) {
        if (status != STATUS_OK) diagnose(&append->diagnostic, status, "%s", status_text(status));
        return status;
    }
    p->broker->stats.duplicates++;
    if (is_proposed(p, base_offset))
        return diagnose(&append->diagnostic, STATUS_UNAVAILABLE,
                        "the same batch came a moment ago, and it is not known yet what becomes of it");
    append->base_offset = base_offset;
    append->last_offset = last_offset;
    append->status = STATUS_OK;
    if (last_offset < p->high_watermark) {
        append->op.done = finish_deferred;
        io_defer(p->broker->io, &append->op);
    } else {
        list_push_back(&p->duplicates, &append->link);
    }
    return STATUS_END;
}

/* ---- durable, committed, answered ---------------------------------------------------------------------- */

/* The retries whose first copy is decided now: visible, or gone with the failed appends. */
static void answer_duplicates(struct partition *p, bool failed) {
    LIST_FOREACH(it, &p->duplicates) {
        struct append *append = CONTAINER_OF(it, struct append, link);
        if (!failed && append->last_offset >= p->high_watermark) continue;
        list_remove(it);
        append->status = failed ? STATUS_UNAVAILABLE : STATUS_OK;
        finish(append);
    }
}

static void commit(struct partition *p, struct append *append) {
    ASSERT(append->last_offset >= p->high_watermark); /* I3 */
    p->high_watermark = append->last_offset + 1;
    append->log_start_offset = p->log_start;
    if (!list_empty(&p->duplicates)) answer_duplicates(p, false);
    /* A marker may make more visible than its own bytes. */
    fetch_wake(p, append->marker ? UINT64_MAX : append->batch.bytes.size);
    partition_check(p);
}

/* After a failed append nothing of it or behind it may ever be seen. When there was no room, the store has
 * taken these writes back, and the partition is loaded anew from what is left. When the store is dead they
 * still stand in its memory: the log then ends for good where it is durable. */
static void settle_when_drained(struct partition *p) {
    if (!p->draining || !list_empty(&p->appends)) return;
    answer_duplicates(p, true);
    p->draining = false;
    p->phase = PARTITION_LOADING;
    p->broker->stats.partitions_loaded--;
    cleaner_detach(p);
    if (broker_health(p->broker) == STATUS_OK) {
        offset_search_restart(p);
        partition_load_start(p);
        return;
    }
    p->log_end = p->high_watermark;
    p->stretch_first = MIN(p->stretch_first, p->log_end);
    partition_loaded(p, STATUS_OK);
}

static void append_durable(struct store_write *write) {
    struct append *append = CONTAINER_OF(write, struct append, write);
    struct broker *broker = append->broker;
    struct partition *p = append->waiter.partition;
    append->status = write->status;
    histogram_add(&broker->append_ns, io_clock_ns(broker->io) - append->arrived_ns);
    if (p == NULL) {
        append->status = STATUS_UNKNOWN_TOPIC; /* deleted meanwhile */
    } else {
        ASSERT(p->appends.next == &append->link); /* I2 */
        list_remove(&append->link);
        if (append->status == STATUS_OK && !p->draining) {
            commit(p, append);
        } else {
            if (append->status == STATUS_OK) append->status = STATUS_UNAVAILABLE;
            diagnose(&append->diagnostic, append->status, "not stored: %s", status_text(append->status));
            p->draining = true;
            broker->stats.append_errors++;
        }
    }
    finish(append);
    if (p != NULL) settle_when_drained(p);
}

/* ---- numbering and submitting ---------------------------------------------------------------------------
 */

static void put_producer(struct partition *p, struct append *append, const struct record_batch *batch,
                         int64_t now_ms) {
    struct producer_batch stored = partition_producer_batch(batch, append->base_offset, now_ms);
    struct writer value;
    writer_init(&value);
    producer_entry_encode(producer_state_apply(&p->producers, &stored), &value);
    struct key key = key_producer(p->group, batch->producer_id);
    store_put(&append->write, key_slice(&key), (struct shared_slice){writer_slice(&value), NULL});
    writer_release(&value);
    if (stored.kind == PRODUCER_ABORT)
        partition_put_aborted(p, &p->producers, stored.last_offset, &append->write);
}

/* ---- in a cluster: proposed, committed -------------------------------------------------------------------
 */

static void proposed(struct raft_propose *propose) {
    struct append *append = CONTAINER_OF(propose, struct append, propose);
    struct partition *p = append->waiter.partition;
    if (p == NULL) return; /* given up, and answered */
    if (propose->status != STATUS_OK) {
        /* Nothing of it is in the log. */
        p->producers_stale = true;
        list_remove(&append->link);
        refuse(p->broker, append, propose->status == STATUS_CLOSED ? STATUS_UNAVAILABLE : propose->status);
        return;
    }
    /* An entry of the log's own may have come between: the batch stands behind it. */
    int64_t moved = (int64_t)propose->base - append->base_offset;
    if (moved != 0) p->producers_stale = true;
    append->base_offset += moved;
    append->last_offset += moved;
    append->leader_epoch = (int32_t)propose->term;
    p->log_end = append->last_offset + 1;
}

static void propose(struct partition *p, struct append *append, const struct record_batch *batch,
                    int64_t now_ms) {
    p->log_end = append->last_offset + 1;
    if (batch->producer_id >= 0) {
        struct producer_batch stored = partition_producer_batch(batch, append->base_offset, now_ms);
        producer_state_apply(&p->producers, &stored);
    }
    append->propose = (struct raft_propose){
        .payload = append->batch, .count = (uint32_t)(batch->last_offset_delta + 1), .done = proposed};
    list_init(&append->propose.link);
    raft_replica_propose(p->replica, &append->propose);
}

void append_committed(struct partition *p) {
    struct list *node;
    while ((node = list_first(&p->appends)) != NULL) {
        struct append *append = CONTAINER_OF(node, struct append, link);
        if (append->last_offset >= p->high_watermark) break;
        list_remove(node);
        append->status = STATUS_OK;
        append->log_start_offset = p->log_start;
        histogram_add(&p->broker->append_ns, io_clock_ns(p->broker->io) - append->arrived_ns);
        finish(append);
    }
    if (!list_empty(&p->duplicates)) answer_duplicates(p, false);
}

void append_fail_all(struct partition *p, enum status status) {
    struct list gone;
    list_init(&gone);
    list_append(&gone, &p->appends);
    list_append(&gone, &p->duplicates);
    if (!list_empty(&gone)) p->producers_stale = true;
    LIST_FOREACH(it, &gone) {
        struct append *append = CONTAINER_OF(it, struct append, link);
        list_remove(it);
        raft_propose_cancel(&append->propose);
        append->waiter.partition = NULL;
        refuse(p->broker, append,
               diagnose(&append->diagnostic, status, "not known to be stored: %s", status_text(status)));
    }
}

static void submit(struct partition *p, struct append *append, const struct record_batch *batch) {
    struct broker *broker = p->broker;
    int64_t now_ms = io_wall_ms(broker->io);
    /* The bytes are ours to complete: base offset and epoch stand outside the checksum (decision 3). */
    uint8_t *bytes = (uint8_t *)(uintptr_t)append->batch.bytes.data;
    int64_t max_timestamp = batch->max_timestamp;
    if (p->topic->public.config.message_timestamp_type == 1) {
        record_batch_set_append_time(bytes, append->batch.bytes.size, now_ms);
        append->log_append_time_ms = max_timestamp = now_ms;
    }
    append->base_offset = p->log_end;
    append->last_offset = p->log_end + batch->last_offset_delta;
    append->leader_epoch = LEADER_EPOCH;
    append->waiter.partition = p;
    list_push_back(&p->appends, &append->link);
    broker->stats.appends++;
    broker->stats.append_bytes += append->batch.bytes.size;
    broker->stats.append_records += (uint64_t)batch->record_count;
    if (p->replica != NULL) {
        propose(p, append, batch, now_ms);
        return;
    }
    record_batch_set_base(bytes, append->base_offset, LEADER_EPOCH);

    store_write_init(&append->write, append_durable);
    struct key key = key_log(p->group, append->last_offset);
    store_put(&append->write, key_slice(&key), append->batch);
    p->log_end = append->last_offset + 1;
    partition_grow(p, append->batch.bytes.size, max_timestamp, p->log_end);
    if (p->stretch_bytes >= broker->options.stretch_bytes ||
        now_ms - p->stretch_started_ms >= broker->options.stretch_age_ms)
        partition_end_stretch(p, &append->write, now_ms);
    if (batch->producer_id >= 0) put_producer(p, append, batch, now_ms);

    store_write_submit(broker->store, &append->write);
}

static enum status check_health(const struct broker *broker, struct append *append) {
    enum status health = broker_health(broker);
    if (health == STATUS_OK) return STATUS_OK;
    return diagnose(&append->diagnostic, health, "this node takes no writes: %s", status_text(health));
}

static void transaction_told(struct append *append, struct partition *p, enum status status);

/* A batch whose predecessor still asks for its transaction comes out of order only until that is told. */
static enum status check_order(struct partition *p, struct append *append, const struct record_batch *batch) {
    enum status status = check_producer(p, append, batch);
    if (status != STATUS_OK && status != STATUS_OUT_OF_ORDER_SEQUENCE) return status;
    enum status allowed = append_txn_check(p, append, batch, transaction_told);
    return allowed == STATUS_OK ? status : allowed;
}

static void append_to(struct partition *p, struct append *append) {
    struct record_batch batch;
    enum status status = partition_use(p, &append->waiter);
    if (status == STATUS_PENDING) return;
    if (status != STATUS_OK)
        diagnose(&append->diagnostic, status, "the partition cannot be used here: %s", status_text(status));
    if (status == STATUS_OK) status = check_health(p->broker, append);
    if (status == STATUS_OK) status = check_batch(p, append, &batch);
    if (status == STATUS_OK) status = check_order(p, append, &batch);
    append->log_start_offset = p->log_start;
    if (status == STATUS_END || status == STATUS_PENDING) return;
    if (status != STATUS_OK)
        refuse(p->broker, append, status);
    else
        submit(p, append, &batch);
}

static void transaction_told(struct append *append, struct partition *p, enum status status) {
    if (status == STATUS_OK && !append->broker->closing)
        append_to(p, append);
    else
        refuse(append->broker, append, status == STATUS_OK ? STATUS_UNAVAILABLE : status);
}

static void append_resumed(struct partition_waiter *waiter) {
    struct append *append = CONTAINER_OF(waiter, struct append, waiter);
    if (waiter->partition != NULL && !waiter->partition->topic->deleting)
        append_to(waiter->partition, append);
    else
        refuse(append->broker, append,
               diagnose(&append->diagnostic, STATUS_UNKNOWN_TOPIC, "the topic was deleted meanwhile"));
}

/* ---- another node leads -------------------------------------------------------------------------------- */

static void append_answered(struct forward *forward, enum status status, struct shared_slice body) {
    struct append *append = CONTAINER_OF(forward, struct append, forwarding);
    struct reader in = reader_make(body.bytes);
    int64_t base_offset = (int64_t)reader_be64(&in), time_ms = (int64_t)reader_be64(&in);
    int64_t log_start = (int64_t)reader_be64(&in);
    int32_t epoch = (int32_t)reader_be32(&in), bad_record = (int32_t)reader_be32(&in);
    if (!reader_ok(&in)) {
        if (status == STATUS_OK) status = STATUS_NOT_LEADER;
        diagnose(&append->diagnostic, status, "the node that leads the partition did not answer");
    } else {
        append->base_offset = base_offset;
        append->log_append_time_ms = time_ms;
        append->log_start_offset = log_start;
        append->leader_epoch = epoch;
        append->bad_record = bad_record;
        diagnose(&append->diagnostic, status, "%.*s", (int)reader_remaining(&in), (const char *)in.pos);
    }
    append->status = status;
    finish(append);
}

static bool forward_append(struct broker *broker, struct append *append) {
    if (!forward_is_elsewhere(broker, append->topic, append->partition)) return false;
    struct slice id = append->transactional_id;
    struct chain rest;
    chain_init(&rest);
    if (id.size != 0) {
        uint8_t head[2 + 1];
        store_be16(head, (uint16_t)id.size);
        head[2] = append->joins_transaction;
        chain_append_copy(&rest, slice_make(head, sizeof head));
        chain_append_copy(&rest, id);
    }
    chain_append_shared(&rest, append->batch);
    append->forwarding.answered = append_answered;
    bool sent = forward_start(broker, &append->forwarding, id.size == 0 ? FORWARD_APPEND : FORWARD_APPEND_TXN,
                              append->topic, append->partition, &rest);
    chain_release(&rest);
    return sent;
}

void broker_append(struct broker *broker, struct append *append) {
    ASSERT(append->batch.owner != NULL);
    buffer_ref(append->batch.owner);
    append->diagnostic.text[0] = '\0';
    append->bad_record = -1;
    append->base_offset = append->log_append_time_ms = append->log_start_offset = -1;
    append->leader_epoch = LEADER_EPOCH;
    list_init(&append->propose.link);
    forward_init(&append->forwarding);
    append->broker = broker;
    append->arrived_ns = io_now_ns(broker->io);
    append->txn = NULL;
    append->waiter = (struct partition_waiter){.resume = append_resumed};
    list_init(&append->waiter.link);
    list_init(&append->link);
    store_write_init(&append->write, append_durable);
    append->op = (struct io_op){0};
    enum status health = check_health(broker, append);
    struct partition *p = broker_partition(broker, append->topic, append->partition);
    bool full = broker->append_bytes_in_flight > 2 * broker->options.append_bytes_in_flight_max;
    broker->appends_in_flight++;
    broker->append_bytes_in_flight += append->batch.bytes.size;
    if (broker->closing) {
        refuse(broker, append,
               diagnose(&append->diagnostic, STATUS_UNAVAILABLE, "the broker is shutting down"));
    } else if (health != STATUS_OK) {
        refuse(broker, append, health);
    } else if (full) {
        refuse(broker, append,
               diagnose(&append->diagnostic, STATUS_BUSY, "%zu bytes of appends wait for the disk already",
                        broker->append_bytes_in_flight));
    } else if (p == NULL) {
        refuse(broker, append,
               diagnose(&append->diagnostic, STATUS_UNKNOWN_TOPIC, "no partition %d of topic '%.*s'",
                        append->partition, (int)append->topic.size,
                        append->topic.size == 0 ? "" : (const char *)append->topic.data));
    } else if (!append->forward || !forward_append(broker, append)) {
        append_to(p, append);
    }
}
