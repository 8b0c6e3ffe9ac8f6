// SPDX-License-Identifier: Apache-2.0
/* DeleteRecords: a client says where a partition shall begin. Its time index goes with whole stretches, at
 * the next retention check. */
#include "base/assert.h"
#include "base/mem.h"
#include "broker/partition.h"

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
    request->trim = NULL;
    answer(request, status, log_start);
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

void broker_delete_records(struct broker *broker, struct delete_records *request) {
    request->broker = broker;
    request->trim = NULL;
    request->op = (struct io_op){0};
    request->waiter = (struct partition_waiter){.resume = resumed};
    list_init(&request->waiter.link);
    struct partition *p = broker_partition(broker, request->topic, request->partition);
    if (p == NULL || broker->closing)
        answer(request, p == NULL ? STATUS_UNKNOWN_TOPIC : STATUS_UNAVAILABLE, -1);
    else
        run(request, p);
}
