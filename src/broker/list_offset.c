// SPDX-License-Identifier: Apache-2.0
/* Offsets by time, exactly: timestamps go back and forth in a log, producers' clocks being what they are, and
 * any part of it may have been deleted.
 *
 * The TIME keys are ordered by the newest timestamp so far, so one seek skips every stretch of log that
 * cannot hold the record; the entries from there on tell the newest timestamp of their own stretch, and only
 * a stretch that may hold the record is read. What lies behind the last entry (the open stretch) is read
 * always. A search sees the log as it was when it began: log start and high watermark of then.
 *
 *   newest record of all: the last entry and the open stretch give its timestamp ─> search for that
 *                         not there (deleted): the whole index gives it               ─> search for that */
#include "base/assert.h"
#include "base/mem.h"
#include "broker/forward.h"
#include "broker/partition.h"
#include "wire/record_batch.h"

#define INFLATE_MAX (64 * MIB)

struct offset_search;
typedef enum status search_step(struct offset_search *search); /* END: to the next step; OK: same again */

struct offset_search {
    struct list link; /* in partition.searches */
    struct list_offset *request;
    struct partition *partition;
    search_step *step;
    int64_t log_start, high_watermark;
    int64_t timestamp;          /* looked for */
    int64_t open_first;         /* where the index ends */
    int64_t from, end;          /* of the log, being read */
    int64_t reached, newest;    /* MAX_TIMESTAMP: newest ever by the index; newest found in what is there */
    int64_t offset, found_time; /* the answer, when offset >= 0 */
    bool index_read;            /* MAX_TIMESTAMP: the whole index was read, there is no other candidate */
    struct store_iterator *index, *log;
    bool index_positioned, log_positioned;
};

static search_step next_stretch, scan_stretch, scan_open_stretch, newest_stretch, newest_open_stretch,
    newest_of_index, newest_of_first_stretch;
static void run(struct offset_search *search);

/* ---- answers ------------------------------------------------------------------------------------------ */

static void finish_deferred(struct io_op *op) {
    struct list_offset *request = CONTAINER_OF(op, struct list_offset, op);
    request->done(request);
}

static void answer(struct list_offset *request, enum status status, int64_t offset, int64_t timestamp) {
    request->status = status;
    request->offset = offset;
    request->found_timestamp_ms = timestamp;
    request->op.done = finish_deferred;
    io_defer(request->broker->io, &request->op);
}

static void close_index(struct offset_search *search) {
    if (search->index != NULL) store_iterator_close(search->index);
    search->index = NULL;
    search->index_positioned = false;
}

static void close_log(struct offset_search *search) {
    if (search->log != NULL) store_iterator_close(search->log);
    search->log = NULL;
    search->log_positioned = false;
}

static void end_search(struct offset_search *search) {
    close_index(search);
    close_log(search);
    list_remove(&search->link);
    search->request->search = NULL;
    mem_free(search);
}

static void end_with(struct offset_search *search, enum status status) {
    struct list_offset *request = search->request;
    int64_t offset = status == STATUS_OK ? search->offset : -1;
    int64_t timestamp = offset < 0 ? -1 : search->found_time;
    end_search(search);
    answer(request, status, offset, timestamp);
}

/* ---- moving ------------------------------------------------------------------------------------------- */

static void iterator_ready(void *ctx) {
    run(ctx);
}

static void open_index(struct offset_search *search) {
    struct partition *p = search->partition;
    struct key lower = key_prefix(p->group, KEY_TIME), upper = key_prefix(p->group, KEY_PRODUCER);
    search->index = store_iterator_open(p->broker->store, key_slice(&lower), key_slice(&upper), 0,
                                        iterator_ready, search);
    search->open_first = p->stretch_first;
}

struct stretch {
    int64_t time_max, last_offset;
    struct time_entry entry;
};

static enum status read_stretch(struct offset_search *search, enum status moved, struct stretch *stretch) {
    if (moved != STATUS_OK) return moved;
    search->index_positioned = true;
    bool ok = key_time_parse(store_iterator_key(search->index), &stretch->time_max, &stretch->last_offset) &&
              time_entry_decode(store_iterator_value(search->index).bytes, &stretch->entry);
    return ok ? STATUS_OK : STATUS_CORRUPT;
}

/* The first entry whose newest timestamp so far reaches `timestamp`, then each next one. */
static enum status move_index(struct offset_search *search, int64_t timestamp, struct stretch *stretch) {
    if (search->index == NULL) open_index(search);
    struct key first = key_time(search->partition->group, timestamp, 0);
    return read_stretch(search,
                        search->index_positioned ? store_iterator_next(search->index)
                                                 : store_iterator_seek(search->index, key_slice(&first)),
                        stretch);
}

/* The log from search->from to search->end, batch by batch. */
static enum status move_log(struct offset_search *search, struct record_batch *batch) {
    if (search->from >= search->end) return STATUS_END;
    struct partition *p = search->partition;
    struct key lower = key_log(p->group, search->from), upper = key_log(p->group, search->end);
    if (search->log == NULL)
        search->log = store_iterator_open(p->broker->store, key_slice(&lower), key_slice(&upper), 0,
                                          iterator_ready, search);
    enum status status = search->log_positioned ? store_iterator_next(search->log)
                                                : store_iterator_seek(search->log, key_slice(&lower));
    if (status != STATUS_OK) return status;
    search->log_positioned = true;
    return record_batch_read_trusted(store_iterator_value(search->log).bytes, batch);
}

static void set_range(struct offset_search *search, int64_t from, int64_t end) {
    search->from = MAX(from, search->log_start);
    search->end = MIN(end, search->high_watermark);
}

/* ---- the first record at or after a time -----------------------------------------------------------------
 */

/* OK: found; END: none in this batch. */
static enum status find_record(struct offset_search *search, const struct record_batch *batch) {
    struct arena arena;
    arena_init(&arena, 16 * KIB);
    struct record_iterator it;
    struct record record;
    enum status status = record_iterator_init(&it, batch, &arena, INFLATE_MAX);
    while (status == STATUS_OK && (status = record_iterator_next(&it, &record)) == STATUS_OK) {
        if (record.timestamp < search->timestamp || record.offset < search->log_start) continue;
        search->offset = record.offset;
        search->found_time = record.timestamp;
        break;
    }
    arena_release(&arena);
    return status;
}

/* END: not in this range. */
static enum status scan(struct offset_search *search) {
    struct record_batch batch;
    enum status status;
    while ((status = move_log(search, &batch)) == STATUS_OK) {
        if (batch.max_timestamp < search->timestamp) continue;
        status = find_record(search, &batch);
        if (status != STATUS_END) break;
    }
    if (status != STATUS_PENDING) close_log(search);
    return status;
}

static enum status scan_stretch(struct offset_search *search) {
    enum status status = scan(search);
    if (status != STATUS_END) return status;
    search->step = next_stretch;
    return STATUS_OK;
}

static enum status scan_open_stretch(struct offset_search *search) {
    return scan(search);
}

static enum status next_stretch(struct offset_search *search) {
    struct stretch stretch;
    enum status status = move_index(search, search->timestamp, &stretch);
    if (status == STATUS_OK) {
        bool may_hold = stretch.entry.max_timestamp >= search->timestamp;
        set_range(search, stretch.entry.first_offset, stretch.last_offset + 1);
        if (may_hold && search->from < search->end) search->step = scan_stretch;
    } else if (status == STATUS_END) {
        close_index(search);
        set_range(search, search->open_first, search->high_watermark);
        search->step = scan_open_stretch;
        status = STATUS_OK;
    }
    return status;
}

static void search_for(struct offset_search *search, int64_t timestamp) {
    close_index(search);
    search->timestamp = timestamp;
    search->step = next_stretch;
}

/* ---- the newest timestamp --------------------------------------------------------------------------------
 */

/* Of a batch whose beginning was deleted: which of its records is the newest may have been there. */
static enum status newest_in_batch(struct offset_search *search, const struct record_batch *batch) {
    struct arena arena;
    arena_init(&arena, 16 * KIB);
    struct record_iterator it;
    struct record record;
    enum status status = record_iterator_init(&it, batch, &arena, INFLATE_MAX);
    while (status == STATUS_OK && (status = record_iterator_next(&it, &record)) == STATUS_OK)
        if (record.offset >= search->log_start) search->newest = MAX(search->newest, record.timestamp);
    arena_release(&arena);
    return status;
}

/* The newest timestamp in a range of the log; END when it is known. */
static enum status scan_newest(struct offset_search *search) {
    struct record_batch batch;
    enum status status;
    while ((status = move_log(search, &batch)) == STATUS_OK) {
        if (batch.base_offset >= search->log_start)
            search->newest = MAX(search->newest, batch.max_timestamp);
        else if ((status = newest_in_batch(search, &batch)) != STATUS_END)
            break;
    }
    if (status != STATUS_PENDING) close_log(search);
    return status;
}

static enum status newest_known(struct offset_search *search) {
    int64_t timestamp = MAX(search->reached, search->newest);
    if (timestamp < 0) return STATUS_END;
    search_for(search, timestamp);
    return STATUS_OK;
}

/* From the end of the index back to an entry below the high watermark. */
static enum status newest_stretch(struct offset_search *search) {
    if (search->index == NULL) open_index(search);
    struct key last = key_time(search->partition->group, INT64_MAX, INT64_MAX);
    struct stretch stretch;
    enum status status = read_stretch(search,
                                      search->index_positioned
                                          ? store_iterator_prev(search->index)
                                          : store_iterator_seek_prev(search->index, key_slice(&last)),
                                      &stretch);
    if (status == STATUS_OK && stretch.last_offset >= search->high_watermark) return STATUS_OK;
    if (status != STATUS_OK && status != STATUS_END) return status;
    search->reached = status == STATUS_END ? -1 : stretch.time_max;
    set_range(search, status == STATUS_END ? 0 : stretch.last_offset + 1, search->high_watermark);
    close_index(search);
    search->step = newest_open_stretch;
    return STATUS_OK;
}

static enum status newest_open_stretch(struct offset_search *search) {
    enum status status = scan_newest(search);
    return status == STATUS_END ? newest_known(search) : status;
}

/* The record with the newest timestamp so far is gone: each entry knows that of its own stretch. */
static enum status newest_of_index(struct offset_search *search) {
    struct stretch stretch;
    enum status status = move_index(search, 0, &stretch);
    if (status == STATUS_OK && stretch.last_offset < search->high_watermark) {
        if (stretch.entry.first_offset >= search->log_start)
            search->newest = MAX(search->newest, stretch.entry.max_timestamp);
        else if (stretch.last_offset >= search->log_start)
            search->end = stretch.last_offset + 1; /* its beginning was deleted: to be read */
        return STATUS_OK;
    }
    if (status != STATUS_OK && status != STATUS_END) return status;
    close_index(search);
    set_range(search, search->log_start, search->end);
    search->step = newest_of_first_stretch;
    return STATUS_OK;
}

static enum status newest_of_first_stretch(struct offset_search *search) {
    enum status status = scan_newest(search);
    return status == STATUS_END ? newest_known(search) : status;
}

/* ---- running ---------------------------------------------------------------------------------------------
 */

/* Nothing found at the first attempt at the newest record: the index as a whole decides. */
static bool try_again(struct offset_search *search) {
    if (search->request->timestamp_ms != OFFSET_MAX_TIMESTAMP || search->index_read) return false;
    search->index_read = true;
    search->reached = -1;
    search->end = 0;
    search->step = newest_of_index;
    close_index(search);
    return true;
}

static void run(struct offset_search *search) {
    enum status status;
    do {
        /* What is being deleted may be gone from the store already. */
        status = search->partition->topic->deleting ? STATUS_UNKNOWN_TOPIC : search->step(search);
        if (status == STATUS_END && try_again(search)) status = STATUS_OK;
    } while (status == STATUS_OK && search->offset < 0);
    if (status == STATUS_PENDING) return;
    end_with(search, status == STATUS_END ? STATUS_OK : status);
}

static void start_search(struct list_offset *request, struct partition *p) {
    struct offset_search *search = mem_calloc(1, sizeof *search);
    search->request = request;
    search->partition = p;
    search->log_start = p->log_start;
    search->high_watermark = p->high_watermark;
    search->offset = search->newest = search->reached = -1;
    search->timestamp = request->timestamp_ms;
    search->step = request->timestamp_ms == OFFSET_MAX_TIMESTAMP ? newest_stretch : next_stretch;
    list_push_back(&p->searches, &search->link);
    request->search = search;
    run(search);
}

void offset_search_detach(struct partition *p) {
    LIST_FOREACH(it, &p->searches) {
        end_with(CONTAINER_OF(it, struct offset_search, link), STATUS_UNKNOWN_TOPIC);
    }
}

static void look(struct list_offset *request, struct partition *p) {
    enum status status = partition_use(p, &request->waiter);
    if (status == STATUS_PENDING) return;
    request->leader_epoch = partition_epoch(p);
    if (status != STATUS_OK)
        answer(request, status, -1, -1);
    else if (request->timestamp_ms == OFFSET_LATEST)
        answer(request, STATUS_OK, request->read_committed ? partition_stable_offset(p) : p->high_watermark,
               -1);
    else if (request->timestamp_ms == OFFSET_EARLIEST)
        answer(request, STATUS_OK, p->log_start, -1);
    else if (request->timestamp_ms >= 0 || request->timestamp_ms == OFFSET_MAX_TIMESTAMP)
        start_search(request, p);
    else
        answer(request, STATUS_UNSUPPORTED, -1, -1);
}

void offset_search_restart(struct partition *p) {
    struct list searches;
    list_init(&searches);
    list_append(&searches, &p->searches);
    LIST_FOREACH(it, &searches) {
        struct offset_search *search = CONTAINER_OF(it, struct offset_search, link);
        struct list_offset *request = search->request;
        end_search(search);
        look(request, p);
    }
}

static void resumed(struct partition_waiter *waiter) {
    struct list_offset *request = CONTAINER_OF(waiter, struct list_offset, waiter);
    if (waiter->partition != NULL && !waiter->partition->topic->deleting)
        look(request, waiter->partition);
    else
        answer(request, STATUS_UNKNOWN_TOPIC, -1, -1);
}

static void lookup_answered(struct forward *forward, enum status status, struct shared_slice body) {
    struct list_offset *request = CONTAINER_OF(forward, struct list_offset, forwarding);
    struct reader in = reader_make(body.bytes);
    int64_t offset = (int64_t)reader_be64(&in), timestamp_ms = (int64_t)reader_be64(&in);
    request->leader_epoch = (int32_t)reader_be32(&in);
    if (!reader_ok(&in) && status == STATUS_OK) status = STATUS_NOT_LEADER;
    answer(request, status, offset, timestamp_ms);
}

static bool forward_lookup(struct list_offset *request) {
    struct broker *broker = request->broker;
    if (!forward_is_elsewhere(broker, request->topic, request->partition)) return false;
    uint8_t number[8 + 1] = {[8] = 1};
    struct chain rest;
    store_be64(number, (uint64_t)request->timestamp_ms);
    chain_init(&rest);
    chain_append_copy(&rest, slice_make(number, request->read_committed ? 9 : 8));
    request->forwarding.answered = lookup_answered;
    bool sent = forward_start(broker, &request->forwarding, FORWARD_LIST, request->topic, request->partition,
                              &rest);
    chain_release(&rest);
    return sent;
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
    forward_init(&request->forwarding);
    if (p == NULL)
        answer(request, STATUS_UNKNOWN_TOPIC, -1, -1);
    else if (!request->forward || !forward_lookup(request))
        look(request, p);
}

void broker_list_offset_cancel(struct list_offset *request) {
    partition_waiter_cancel(&request->waiter);
    forward_cancel(&request->forwarding);
    io_defer_cancel(&request->op);
    if (request->search != NULL) end_search(request->search);
}
