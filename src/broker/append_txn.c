// SPDX-License-Identifier: Apache-2.0
#include "broker/append_txn.h"

#include "base/assert.h"
#include "base/mem.h"
#include "broker/coordinator.h"

struct append_txn {
    struct txn_ask ask;
    struct append *append;
    void (*resume)(struct append *append, struct partition *partition, enum status status);
    /* When it was asked: */
    int32_t leader_epoch;
    int64_t marker_offset;
    struct uuid topic_id; /* one that was deleted and made again is another */
    size_t topic_size;
    char topic[TOPIC_NAME_SIZE_MAX];
};

static int64_t marker_offset(const struct partition *p, int64_t producer_id) {
    const struct producer_entry *entry = producer_state_find(&p->producers, producer_id);
    return entry == NULL ? -1 : entry->marker_offset;
}

static bool is_open(const struct partition *p, const struct record_batch *batch) {
    const struct producer_entry *entry = producer_state_find(&p->producers, batch->producer_id);
    return entry != NULL && entry->open_offset >= 0 && entry->epoch == batch->producer_epoch;
}

/* As a data path's error: what passes makes clients look for the leader and try again. */
static enum status told_status(enum status status) {
    switch (status) {
    case STATUS_PRODUCER_FENCED:
        return STATUS_INVALID_PRODUCER_EPOCH;
    case STATUS_COORDINATOR_LOADING:
    case STATUS_COORDINATOR_UNAVAILABLE:
    case STATUS_NOT_COORDINATOR:
    case STATUS_NOT_LEADER:
    case STATUS_CLOSED:
        return STATUS_UNAVAILABLE;
    default:
        return status;
    }
}

static void told(struct txn_ask *ask) {
    struct append_txn *txn = CONTAINER_OF(ask, struct append_txn, ask);
    struct append *append = txn->append;
    struct partition *p = broker_partition(
        append->broker, slice_make((const uint8_t *)txn->topic, txn->topic_size), append->partition);
    enum status status = told_status(ask->status);
    if (p == NULL || !uuid_equal(p->topic->public.id, txn->topic_id)) status = STATUS_UNKNOWN_TOPIC;
    if (status != STATUS_OK) diagnose(&append->diagnostic, status, "%s", status_text(status));
    txn->resume(append, p, status);
}

static void ask(struct partition *p, struct append *append, const struct record_batch *batch,
                void (*resume)(struct append *append, struct partition *p, enum status status)) {
    struct append_txn *txn = append->txn = mem_calloc(1, sizeof *txn);
    txn->append = append;
    txn->resume = resume;
    txn->leader_epoch = partition_epoch(p);
    txn->marker_offset = marker_offset(p, batch->producer_id);
    txn->topic_id = p->topic->public.id;
    txn->topic_size = p->topic->name.size;
    memcpy(txn->topic, p->topic->name.data, txn->topic_size);
    txn->ask.done = told;
    const struct txn_question question = {
        .who = {append->transactional_id, batch->producer_id, batch->producer_epoch},
        .place = {slice_make((const uint8_t *)txn->topic, txn->topic_size), p->index},
        .adds = append->joins_transaction};
    coordinator_txn_ask(append->broker, &txn->ask, &question);
}

enum status append_txn_check(struct partition *p, struct append *append, const struct record_batch *batch,
                             void (*resume)(struct append *append, struct partition *p, enum status status)) {
    if (append->marker || (batch->attributes & BATCH_TRANSACTIONAL) == 0 || is_open(p, batch))
        return STATUS_OK;
    const struct append_txn *txn = append->txn;
    if (txn == NULL) {
        ask(p, append, batch, resume);
        return STATUS_PENDING;
    }
    if (txn->leader_epoch != partition_epoch(p))
        return diagnose(&append->diagnostic, STATUS_NOT_LEADER, "the leader changed meanwhile");
    if (txn->marker_offset != marker_offset(p, batch->producer_id))
        return diagnose(&append->diagnostic, STATUS_INVALID_TXN_STATE, "the transaction has ended meanwhile");
    return STATUS_OK;
}

void append_txn_release(struct append *append) {
    if (append->txn == NULL) return;
    coordinator_txn_ask_cancel(&append->txn->ask);
    mem_free(append->txn);
    append->txn = NULL;
}

enum status broker_abort_open(struct broker *broker, struct append *append, int64_t producer_id,
                              int16_t epoch, bool moves_epoch) {
    struct partition *p = broker_partition(broker, append->topic, append->partition);
    enum status status = p == NULL ? STATUS_UNKNOWN_TOPIC : partition_use(p, NULL);
    if (status != STATUS_OK) return status == STATUS_PENDING ? STATUS_UNAVAILABLE : status;
    const struct producer_entry *entry = producer_state_find(partition_producers(p), producer_id);
    if (entry == NULL || entry->open_offset < 0) return STATUS_OK;
    if (epoch != entry->epoch + moves_epoch) return STATUS_INVALID_PRODUCER_EPOCH;
    const struct record_batch_marker marker = {
        .producer_id = producer_id, .epoch = epoch, .number = producer_entry_number(entry)};
    struct buffer *bytes = record_batch_marker(&marker, io_wall_ms(broker->io));
    append->batch = (struct shared_slice){slice_make(bytes->data, bytes->size), bytes};
    append->marker = append->by_operator = true;
    broker_append(broker, append);
    buffer_unref(bytes);
    return STATUS_PENDING;
}
