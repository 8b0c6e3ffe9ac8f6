// SPDX-License-Identifier: Apache-2.0
/* DeleteRecords: a client says where a partition shall begin. Its time index goes with whole stretches, at
 * the next retention check. */
#include "base/assert.h"
#include "base/mem.h"
#include "broker/forward.h"
#include "broker/partition.h"
#include "wire/record_batch.h"

static void finish(struct io_op *op) {
    struct delete_records *request = CONTAINER_OF(op, struct delete_records, op);
    request->done(request);
}

static void answer(struct delete_records *request, enum status status, int64_t log_start) {
    request->status = status;
    request->log_start_offset = status == STATUS_OK ? log_start : -1;
    request->op.done = finish;
    io_defer(request->broker->io, &request->op);
}

static void trimmed(struct partition_trim *trim, enum status status) {
    struct delete_records *request = trim->ctx;
    int64_t log_start = trim->partition == NULL ? -1 : trim->partition->log_start;
    mem_free(trim);
    if (request == NULL) return; /* abandoned */
    request->trim = NULL;
    answer(request, status, log_start);
}

/* In a cluster the log itself says so, to all who have it: none who leads later takes it back. */
struct log_start_append {
    struct append append;
    struct delete_records *request; /* NULL: abandoned */
};

static void said(struct append *append) {
    struct log_start_append *saying = CONTAINER_OF(append, struct log_start_append, append);
    struct delete_records *request = saying->request;
    shared_slice_unref(append->batch);
    enum status status = append->status;
    int64_t log_start = append->log_start_offset;
    mem_free(saying);
    if (request == NULL) return;
    request->saying = NULL;
    answer(request, status, log_start);
}

static void say(struct delete_records *request, struct partition *p, int64_t offset) {
    struct log_start_append *saying = request->saying = mem_calloc(1, sizeof *saying);
    struct buffer *batch = record_batch_log_start(offset);
    saying->request = request;
    saying->append = (struct append){.topic = slice_from_text(p->topic->public.name),
                                     .partition = p->index,
                                     .batch = {slice_make(batch->data, batch->size), batch},
                                     .marker = true,
                                     .done = said};
    broker_append(p->broker, &saying->append);
}

static void run(struct delete_records *request, struct partition *p) {
    enum status status = partition_use(p, &request->waiter);
    if (status == STATUS_PENDING) return;
    int64_t offset = request->offset == -1 ? p->high_watermark : request->offset;
    if (status == STATUS_OK && (offset < 0 || offset > p->high_watermark))
        status = STATUS_OFFSET_OUT_OF_RANGE;
    if (status == STATUS_OK) status = broker_health(p->broker);
    if (status != STATUS_OK || offset <= p->log_start) {
        answer(request, status, p->log_start);
        return;
    }
    if (p->replica != NULL) {
        say(request, p, offset);
        return;
    }
    request->trim = mem_calloc(1, sizeof *request->trim);
    request->trim->log_start = offset;
    request->trim->time_max = request->trim->time_last_offset = -1;
    request->trim->done = trimmed;
    request->trim->ctx = request;
    partition_trim_start(request->trim, p);
}

static void resumed(struct partition_waiter *waiter) {
    struct delete_records *request = CONTAINER_OF(waiter, struct delete_records, waiter);
    if (waiter->partition != NULL && !waiter->partition->topic->deleting)
        run(request, waiter->partition);
    else
        answer(request, STATUS_UNKNOWN_TOPIC, -1);
}

/* ---- taken to the leader --------------------------------------------------------------------------------
 */

static void deleted_there(struct forward *forward, enum status status, struct shared_slice body) {
    struct delete_records *request = CONTAINER_OF(forward, struct delete_records, forwarding);
    struct reader in = reader_make(body.bytes);
    int64_t log_start = (int64_t)reader_be64(&in);
    answer(request, status == STATUS_OK && !reader_ok(&in) ? STATUS_NOT_LEADER : status, log_start);
}

static bool forward_deletion(struct delete_records *request) {
    struct broker *broker = request->broker;
    if (!request->forward || !forward_is_elsewhere(broker, request->topic, request->partition)) return false;
    uint8_t offset[8];
    struct chain rest;
    store_be64(offset, (uint64_t)request->offset);
    chain_init(&rest);
    chain_append_copy(&rest, slice_make(offset, sizeof offset));
    request->forwarding.answered = deleted_there;
    bool sent = forward_start(broker, &request->forwarding, FORWARD_DELETE, request->topic,
                              request->partition, &rest);
    chain_release(&rest);
    return sent;
}

void delete_records_abandon(struct delete_records *request) {
    partition_waiter_cancel(&request->waiter);
    io_defer_cancel(&request->op);
    if (request->trim != NULL) request->trim->ctx = NULL;
    if (request->saying != NULL) request->saying->request = NULL;
}

void broker_delete_records(struct broker *broker, struct delete_records *request) {
    request->broker = broker;
    request->trim = NULL;
    request->saying = NULL;
    request->op = (struct io_op){0};
    list_init(&request->op.link);
    forward_init(&request->forwarding);
    request->waiter = (struct partition_waiter){.resume = resumed};
    list_init(&request->waiter.link);
    struct partition *p = broker_partition(broker, request->topic, request->partition);
    if (p == NULL || broker->closing)
        answer(request, p == NULL ? STATUS_UNKNOWN_TOPIC : STATUS_UNAVAILABLE, -1);
    else if (!forward_deletion(request))
        run(request, p);
}
