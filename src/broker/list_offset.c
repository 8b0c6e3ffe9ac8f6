// SPDX-License-Identifier: Apache-2.0
/* Offsets by time. The TIME keys give the stretch in which the newest timestamp first reached the one asked
 * for; the log is then read from there until a batch, and in it a record, is at or after it. Timestamps may
 * go back and forth in the log and the stretch that once reached the time may have been deleted: the scan
 * then goes on, so the answer is exact in any case. */
#include "base/assert.h"
#include "base/mem.h"
#include "broker/partition.h"
#include "wire/record_batch.h"

#define INFLATE_MAX (64 * MIB)

enum search_step { SEARCH_TIME, SEARCH_LOG, SEARCH_MAX };

struct offset_search {
    struct list link; /* in partition.searches */
    struct list_offset *request;
    struct partition *partition;
    enum search_step step;
    int64_t timestamp; /* looked for */
    int64_t from;      /* where the log is read from */
    int64_t max_seen;  /* SEARCH_MAX: newest timestamp in the log as it is */
    bool max_known;    /* it was searched for: the next miss means an empty log */
    struct store_iterator *it;
    bool positioned;
};

static void step(struct offset_search *search);

static void finish(struct list_offset *request) {
    request->done(request);
}

static void finish_deferred(struct io_op *op) {
    finish(CONTAINER_OF(op, struct list_offset, op));
}

static void answer(struct list_offset *request, enum status status, int64_t offset, int64_t timestamp) {
    request->status = status;
    request->offset = offset;
    request->found_timestamp_ms = timestamp;
    request->op.done = finish_deferred;
    io_defer(request->broker->io, &request->op);
}

static void close_iterator(struct offset_search *search) {
    if (search->it != NULL) store_iterator_close(search->it);
    search->it = NULL;
    search->positioned = false;
}

static void end_search(struct offset_search *search) {
    close_iterator(search);
    list_remove(&search->link);
    search->request->search = NULL;
    mem_free(search);
}

static void end_with(struct offset_search *search, enum status status, int64_t offset, int64_t timestamp) {
    struct list_offset *request = search->request;
    end_search(search);
    answer(request, status, offset, timestamp);
}

static void iterator_ready(void *ctx) {
    step(ctx);
}

static enum status move(struct offset_search *search, const struct key *lower, const struct key *upper) {
    if (search->it == NULL)
        search->it = store_iterator_open(search->partition->broker->store, key_slice(lower), key_slice(upper),
                                         0, iterator_ready, search);
    enum status status = search->positioned ? store_iterator_next(search->it)
                                            : store_iterator_seek(search->it, key_slice(lower));
    if (status == STATUS_OK) search->positioned = true;
    return status;
}

static enum status find_stretch(struct offset_search *search) {
    struct partition *p = search->partition;
    struct key lower = key_time(p->group, search->timestamp, 0), upper = key_prefix(p->group, KEY_PRODUCER);
    enum status status = move(search, &lower, &upper);
    if (status == STATUS_PENDING) return status;
    struct time_entry entry = {.first_offset = p->stretch_first};
    if (status == STATUS_OK && !time_entry_decode(store_iterator_value(search->it).bytes, &entry))
        status = STATUS_CORRUPT;
    close_iterator(search);
    if (status != STATUS_OK && status != STATUS_END) return status;
    search->from = MAX(entry.first_offset, p->log_start);
    search->step = SEARCH_LOG;
    return STATUS_OK;
}

/* OK: the record was found; END: none in this batch. */
static enum status find_record(const struct offset_search *search, const struct record_batch *batch,
                               int64_t *offset, int64_t *timestamp) {
    struct arena arena;
    arena_init(&arena, 16 * KIB);
    struct record_iterator it;
    struct record record;
    enum status status = record_iterator_init(&it, batch, &arena, INFLATE_MAX);
    while (status == STATUS_OK && (status = record_iterator_next(&it, &record)) == STATUS_OK) {
        if (record.timestamp < search->timestamp || record.offset < search->partition->log_start) continue;
        *offset = record.offset;
        *timestamp = record.timestamp;
        break;
    }
    arena_release(&arena);
    return status;
}

/* One pass over the log from `from`: for the record looked for (SEARCH_LOG), or for the newest timestamp
 * (SEARCH_MAX). OK: found and answered in *offset; END: came to the end. */
static enum status scan_log(struct offset_search *search, int64_t *offset, int64_t *timestamp) {
    struct partition *p = search->partition;
    struct key lower = key_log(p->group, search->from), upper = key_log(p->group, p->high_watermark);
    enum status status;
    while ((status = move(search, &lower, &upper)) == STATUS_OK) {
        struct record_batch batch;
        status = record_batch_read_trusted(store_iterator_value(search->it).bytes, &batch);
        if (status != STATUS_OK) break;
        search->max_seen = MAX(search->max_seen, batch.max_timestamp);
        if (search->step == SEARCH_MAX || batch.max_timestamp < search->timestamp) continue;
        status = find_record(search, &batch, offset, timestamp);
        if (status != STATUS_END) break;
    }
    if (status != STATUS_PENDING) close_iterator(search);
    return status;
}

static void step(struct offset_search *search) {
    struct partition *p = search->partition;
    bool newest = search->request->timestamp_ms == OFFSET_MAX_TIMESTAMP;
    for (;;) {
        int64_t offset = -1, timestamp = -1;
        enum status status = search->step == SEARCH_TIME ? find_stretch(search)
                                                         : scan_log(search, &offset, &timestamp);
        if (status == STATUS_PENDING) return;
        if (status == STATUS_OK && offset < 0) continue;
        if (status != STATUS_END || !newest || search->max_known) {
            end_with(search, status == STATUS_END ? STATUS_OK : status, offset, timestamp);
            return;
        }
        if (search->step == SEARCH_LOG) {
            /* The record with the newest timestamp ever was deleted: find the newest of what is left. */
            search->step = SEARCH_MAX;
            search->max_seen = -1;
            search->from = p->log_start;
        } else {
            search->step = SEARCH_LOG;
            search->timestamp = search->max_seen;
            search->max_known = true;
            search->from = p->log_start;
        }
    }
}

static void start_search(struct list_offset *request, struct partition *p) {
    int64_t wanted = request->timestamp_ms == OFFSET_MAX_TIMESTAMP ? p->max_timestamp : request->timestamp_ms;
    if (p->log_start == p->high_watermark || wanted > p->max_timestamp) {
        answer(request, STATUS_OK, -1, -1);
        return;
    }
    struct offset_search *search = mem_calloc(1, sizeof *search);
    search->request = request;
    search->partition = p;
    search->timestamp = wanted;
    list_push_back(&p->searches, &search->link);
    request->search = search;
    step(search);
}

void offset_search_detach(struct partition *p) {
    LIST_FOREACH(it, &p->searches) {
        end_with(CONTAINER_OF(it, struct offset_search, link), STATUS_UNKNOWN_TOPIC, -1, -1);
    }
}

static void run(struct list_offset *request, struct partition *p) {
    enum status status = partition_use(p, &request->waiter);
    if (status == STATUS_PENDING) return;
    if (status != STATUS_OK)
        answer(request, status, -1, -1);
    else if (request->timestamp_ms == OFFSET_LATEST)
        answer(request, STATUS_OK, p->high_watermark, -1);
    else if (request->timestamp_ms == OFFSET_EARLIEST)
        answer(request, STATUS_OK, p->log_start, -1);
    else if (request->timestamp_ms >= 0 || request->timestamp_ms == OFFSET_MAX_TIMESTAMP)
        start_search(request, p);
    else
        answer(request, STATUS_UNSUPPORTED, -1, -1);
}

static void resumed(struct partition_waiter *waiter) {
    struct list_offset *request = CONTAINER_OF(waiter, struct list_offset, waiter);
    if (waiter->partition != NULL)
        run(request, waiter->partition);
    else
        answer(request, STATUS_UNKNOWN_TOPIC, -1, -1);
}

void broker_list_offset(struct broker *broker, struct list_offset *request) {
    request->broker = broker;
    request->search = NULL;
    request->leader_epoch = LEADER_EPOCH;
    request->op = (struct io_op){0};
    list_init(&request->op.link);
    request->waiter = (struct partition_waiter){.resume = resumed};
    list_init(&request->waiter.link);
    struct partition *p = broker_partition(broker, request->topic, request->partition);
    if (p == NULL)
        answer(request, STATUS_UNKNOWN_TOPIC, -1, -1);
    else
        run(request, p);
}

void broker_list_offset_cancel(struct list_offset *request) {
    partition_waiter_cancel(&request->waiter);
    io_defer_cancel(&request->op);
    if (request->search != NULL) end_search(request->search);
}
