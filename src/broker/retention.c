// SPDX-License-Identifier: Apache-2.0
/* Retention: now and then each partition is asked how far its log has grown too old or too large, and loses
 * whole stretches from its start: one range tombstone each for the log and its time index. DeleteRecords uses
 * the same trim with an offset from the client. */
#include "broker/retention.h"

#include "base/assert.h"
#include "base/mem.h"
#include "broker/partition.h"

/* A producer that wrote nothing for this long is forgotten (as Kafka's producer.id.expiration.ms). */
#define PRODUCER_EXPIRY_MS ((int64_t)24 * 3600 * MS_PER_S)

/* ---- trim --------------------------------------------------------------------------------------------- */

static void trim_durable(struct store_write *write) {
    struct partition_trim *trim = CONTAINER_OF(write, struct partition_trim, write);
    struct partition *p = trim->partition;
    enum status status = write->status;
    store_write_release(write);
    list_remove(&trim->link);
    /* Readers saw the new start at once; a failure here means the store is failing, and says so elsewhere. */
    trim->done(trim, p == NULL ? STATUS_UNKNOWN_TOPIC : status);
}

void partition_trim_start(struct partition_trim *trim, struct partition *p, int64_t log_start,
                          int64_t time_last_offset, uint64_t deleted_bytes) {
    ASSERT_LE(log_start, p->high_watermark);
    ASSERT_LE(p->log_start, log_start);
    trim->partition = p;
    store_write_init(&trim->write, trim_durable);
    list_push_back(&p->trims, &trim->link);
    p->log_start = log_start;
    p->deleted_bytes = MAX(p->deleted_bytes, deleted_bytes);
    struct partition_meta meta = {.log_start_offset = log_start, .deleted_bytes = p->deleted_bytes};
    struct writer value;
    writer_init(&value);
    partition_meta_encode(&meta, &value);
    struct key key = key_prefix(p->group, KEY_META);
    store_put(&trim->write, key_slice(&key), (struct shared_slice){writer_slice(&value), NULL});
    writer_release(&value);
    struct key from = key_prefix(p->group, KEY_LOG), to = key_log(p->group, log_start);
    store_delete_range(&trim->write, key_slice(&from), key_slice(&to));
    if (time_last_offset >= 0) {
        from = key_prefix(p->group, KEY_TIME);
        to = key_time(p->group, trim->time_max, time_last_offset + 1);
        store_delete_range(&trim->write, key_slice(&from), key_slice(&to));
    }
    partition_check(p);
    store_write_submit(p->broker->store, &trim->write);
}

void partition_trim_detach(struct partition *p) {
    LIST_FOREACH(it, &p->trims) {
        struct partition_trim *trim = CONTAINER_OF(it, struct partition_trim, link);
        trim->partition = NULL;
        list_remove(it);
        if (!p->broker->abandoning) continue;
        store_write_abandon(&trim->write);
        trim->done(trim, STATUS_CLOSED);
    }
}

/* ---- DeleteRecords ------------------------------------------------------------------------------------ */

static void delete_finish(struct io_op *op) {
    struct delete_records *request = CONTAINER_OF(op, struct delete_records, op);
    request->done(request);
}

static void delete_answer(struct delete_records *request, enum status status, int64_t log_start) {
    request->status = status;
    request->log_start_offset = log_start;
    request->op.done = delete_finish;
    io_defer(request->broker->io, &request->op);
}

static void delete_trimmed(struct partition_trim *trim, enum status status) {
    struct delete_records *request = trim->ctx;
    int64_t log_start = trim->log_start;
    mem_free(trim);
    request->trim = NULL;
    delete_answer(request, status, status == STATUS_OK ? log_start : -1);
}

static void delete_run(struct delete_records *request, struct partition *p) {
    enum status status = partition_use(p, &request->waiter);
    if (status == STATUS_PENDING) return;
    int64_t offset = request->offset == -1 ? p->high_watermark : request->offset;
    if (status == STATUS_OK && (offset < 0 || offset > p->high_watermark))
        status = STATUS_OFFSET_OUT_OF_RANGE;
    if (status == STATUS_OK) status = broker_health(p->broker);
    if (status != STATUS_OK || offset <= p->log_start) {
        delete_answer(request, status, status == STATUS_OK ? p->log_start : -1);
        return;
    }
    /* The time index goes with whole stretches, at the next retention check. */
    request->trim = mem_calloc(1, sizeof *request->trim);
    request->trim->done = delete_trimmed;
    request->trim->ctx = request;
    request->trim->log_start = offset;
    partition_trim_start(request->trim, p, offset, -1, 0);
}

static void delete_resumed(struct partition_waiter *waiter) {
    struct delete_records *request = CONTAINER_OF(waiter, struct delete_records, waiter);
    if (waiter->partition != NULL)
        delete_run(request, waiter->partition);
    else
        delete_answer(request, STATUS_UNKNOWN_TOPIC, -1);
}

void broker_delete_records(struct broker *broker, struct delete_records *request) {
    request->broker = broker;
    request->trim = NULL;
    request->op = (struct io_op){0};
    request->waiter = (struct partition_waiter){.resume = delete_resumed};
    list_init(&request->waiter.link);
    struct partition *p = broker_partition(broker, request->topic, request->partition);
    if (p == NULL)
        delete_answer(request, STATUS_UNKNOWN_TOPIC, -1);
    else
        delete_run(request, p);
}

/* ---- the check, one partition after the other -----------------------------------------------------------
 */

struct place {
    struct uuid topic;
    int32_t partition;
};

struct retention {
    struct broker *broker;
    struct io_timer timer;
    struct io_op next;
    bool next_scheduled;
    struct place *places; /* of this round */
    size_t count, current;
    struct partition_waiter waiter;
    struct store_iterator *it;
    bool positioned;
    struct partition_trim trim;
    bool trimming;
    /* how far the current partition may go */
    int64_t cut, cut_time; /* last offset and timestamp of the last stretch to delete; -1: none */
    uint64_t cut_bytes;
    struct store_write forget;
    bool forgetting;
};

static void check_current(struct retention *r);

static void next_partition(struct io_op *op) {
    struct retention *r = CONTAINER_OF(op, struct retention, next);
    r->next_scheduled = false;
    r->current++;
    check_current(r);
}

static void schedule_next(struct retention *r) {
    if (r->it != NULL) store_iterator_close(r->it);
    r->it = NULL;
    r->positioned = false;
    r->next.done = next_partition;
    r->next_scheduled = true;
    io_defer(r->broker->io, &r->next);
}

static void arm(struct retention *r) {
    uint64_t pause_ns = r->broker->options.retention_check_ms * NS_PER_MS;
    io_timer_set(r->broker->io, &r->timer, io_now_ns(r->broker->io) + pause_ns);
}

static struct topic_state *topic_at(struct retention *r) {
    const struct broker_topic *topic = broker_topic_find_id(r->broker, r->places[r->current].topic);
    return topic == NULL ? NULL : (struct topic_state *)(uintptr_t)topic;
}

static void trimmed(struct partition_trim *trim, enum status status) {
    struct retention *r = trim->ctx;
    r->trimming = false;
    if (status == STATUS_OK)
        log_debug(r->broker->log, "retention deleted below=%lld", (long long)trim->log_start);
    schedule_next(r);
}

static void trim_to(struct retention *r, struct partition *p, int64_t log_start, uint64_t deleted_bytes) {
    log_info(r->broker->log, "retention topic=%s partition=%d log_start=%lld was=%lld", p->topic->public.name,
             p->index, (long long)log_start, (long long)p->log_start);
    r->trimming = true;
    r->trim = (struct partition_trim){
        .done = trimmed, .ctx = r, .log_start = log_start, .time_max = r->cut_time};
    list_init(&r->trim.link);
    partition_trim_start(&r->trim, p, log_start, r->cut, deleted_bytes);
}

static void forgot(struct store_write *write) {
    struct retention *r = CONTAINER_OF(write, struct retention, forget);
    store_write_release(write);
    r->forgetting = false;
}

static void forget_producer(void *ctx, int64_t producer_id) {
    struct retention *r = ctx;
    struct key key = key_producer(r->waiter.partition->group, producer_id);
    store_delete(&r->forget, key_slice(&key));
}

static void expire_producers(struct retention *r, struct partition *p, int64_t now_ms) {
    if (r->forgetting) return; /* the last round's deletion is still on its way: next time */
    store_write_init(&r->forget, forgot);
    r->waiter.partition = p;
    producer_state_expire(&p->producers, now_ms - PRODUCER_EXPIRY_MS, forget_producer, r);
    r->forgetting = r->forget.change_count != 0;
    if (r->forgetting)
        store_write_submit(r->broker->store, &r->forget);
    else
        store_write_release(&r->forget);
}

/* Reads the time index from its start as long as its stretches may go; PENDING: comes again. */
static enum status find_cut(struct retention *r, struct partition *p, int64_t now_ms) {
    const struct topic_config *config = &p->topic->public.config;
    struct key lower = key_prefix(p->group, KEY_TIME);
    enum status status;
    for (;;) {
        status = r->positioned ? store_iterator_next(r->it) : store_iterator_seek(r->it, key_slice(&lower));
        if (status != STATUS_OK) break;
        r->positioned = true;
        int64_t time, last_offset;
        struct time_entry entry;
        if (!key_time_parse(store_iterator_key(r->it), &time, &last_offset) ||
            !time_entry_decode(store_iterator_value(r->it).bytes, &entry))
            return STATUS_CORRUPT;
        bool old = config->retention_ms >= 0 && time < now_ms - config->retention_ms;
        bool large = config->retention_bytes >= 0 &&
                     p->cumulative_bytes - entry.cumulative_bytes >= (uint64_t)config->retention_bytes;
        bool deleted = last_offset < p->log_start; /* by DeleteRecords: only its index is left */
        if ((!old && !large && !deleted) || last_offset >= p->high_watermark) break;
        r->cut = last_offset;
        r->cut_time = time;
        r->cut_bytes = entry.cumulative_bytes;
    }
    return status == STATUS_OK ? STATUS_END : status;
}

static void iterator_ready(void *ctx) {
    check_current(ctx);
}

static void check_partition(struct retention *r, struct partition *p) {
    const struct topic_config *config = &p->topic->public.config;
    int64_t now_ms = io_wall_ms(r->broker->io);
    if (r->it == NULL) {
        r->cut = r->cut_time = -1;
        r->cut_bytes = 0;
        expire_producers(r, p, now_ms);
        struct key lower = key_prefix(p->group, KEY_TIME), upper = key_prefix(p->group, KEY_PRODUCER);
        r->it = store_iterator_open(r->broker->store, key_slice(&lower), key_slice(&upper), 0, iterator_ready,
                                    r);
        r->positioned = false;
    }
    enum status status = find_cut(r, p, now_ms);
    if (status == STATUS_PENDING) return;
    int64_t log_start = MAX(r->cut + 1, p->log_start);
    uint64_t deleted = r->cut_bytes;
    /* The open stretch goes too when all of it is too old: a quiet topic empties. */
    if (config->retention_ms >= 0 && p->max_timestamp < now_ms - config->retention_ms &&
        p->log_start < p->high_watermark && list_empty(&p->appends)) {
        log_start = p->high_watermark;
        deleted = p->cumulative_bytes;
    }
    if (status != STATUS_END || (log_start == p->log_start && r->cut < 0))
        schedule_next(r);
    else
        trim_to(r, p, log_start, deleted);
}

static bool wants_check(const struct topic_state *topic) {
    const struct topic_config *config = &topic->public.config;
    return !topic->deleting && (config->cleanup_policy & 1) != 0 &&
           (config->retention_ms >= 0 || config->retention_bytes >= 0);
}

static void end_round(struct retention *r) {
    mem_free(r->places);
    r->places = NULL;
    r->count = r->current = 0;
    arm(r);
}

static void check_current(struct retention *r) {
    if (r->broker->closing || broker_health(r->broker) != STATUS_OK || r->current >= r->count) {
        end_round(r);
        return;
    }
    struct topic_state *topic = topic_at(r);
    struct partition *p = topic == NULL || !wants_check(topic)
                              ? NULL
                              : broker_partition(r->broker, topic->name, r->places[r->current].partition);
    if (p == NULL) {
        schedule_next(r);
        return;
    }
    enum status status = partition_use(p, &r->waiter);
    if (status == STATUS_PENDING) return;
    if (status == STATUS_OK)
        check_partition(r, p);
    else
        schedule_next(r);
}

static void resumed(struct partition_waiter *waiter) {
    check_current(CONTAINER_OF(waiter, struct retention, waiter));
}

static void begin_round(struct io_timer *timer) {
    struct retention *r = CONTAINER_OF(timer, struct retention, timer);
    size_t capacity = (size_t)r->broker->metadata.partition_total;
    r->places = mem_alloc((capacity + 1) * sizeof *r->places);
    r->count = r->current = 0;
    MAP_FOREACH(it, &r->broker->topics) {
        struct topic_state *topic = MAP_ENTRY(it)->value;
        if (!wants_check(topic)) continue;
        for (int32_t i = 0; i < topic->public.partition_count && r->count < capacity; i++)
            r->places[r->count++] = (struct place){topic->public.id, i};
    }
    check_current(r);
}

struct retention *retention_new(struct broker *broker) {
    struct retention *r = mem_calloc(1, sizeof *r);
    r->broker = broker;
    r->waiter.resume = resumed;
    list_init(&r->waiter.link);
    list_init(&r->trim.link);
    io_timer_init(&r->timer, begin_round);
    arm(r);
    return r;
}

void retention_free(struct retention *r) {
    io_timer_cancel(r->broker->io, &r->timer);
    partition_waiter_cancel(&r->waiter);
    list_remove(&r->trim.link);
    if (r->trimming) store_write_abandon(&r->trim.write);
    if (r->forgetting) store_write_abandon(&r->forget);
    if (r->next_scheduled) io_defer_cancel(&r->next);
    if (r->it != NULL) store_iterator_close(r->it);
    mem_free(r->places);
    mem_free(r);
}
