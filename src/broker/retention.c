// SPDX-License-Identifier: Apache-2.0
/* Retention: now and then each partition is asked how far its log has grown too old or too large, and loses
 * whole stretches from its start. */
#include "broker/retention.h"

#include "base/assert.h"
#include "base/mem.h"
#include "broker/partition_round.h"

/* A producer that wrote nothing for this long is forgotten (as Kafka's producer.id.expiration.ms). */
#define PRODUCER_EXPIRY_MS ((int64_t)24 * 3600 * MS_PER_S)

/* How far the current partition may go: everything up to the TIME key (time_max, last_offset). */
struct cut {
    int64_t time_max, last_offset; /* -1: nothing */
    uint64_t cumulative_bytes;
    bool all_closed; /* no closed stretch stays */
};

struct retention {
    struct broker *broker;
    struct partition_round round;
    struct store_iterator *it;
    bool positioned;
    struct cut cut;
    struct partition_trim trim;
    bool trimming;
    struct store_write forget; /* producers */
    bool forgetting;
};

static void close_index(struct retention *r) {
    if (r->it != NULL) store_iterator_close(r->it);
    r->it = NULL;
    r->positioned = false;
}

static void schedule_next(struct retention *r) {
    close_index(r);
    partition_round_next(&r->round);
}

/* ---- producers ---------------------------------------------------------------------------------------- */

struct forgetting {
    struct store_write *write;
    uint64_t group;
};

static void forget_producer(void *ctx, int64_t producer_id) {
    const struct forgetting *f = ctx;
    struct key key = key_producer(f->group, producer_id);
    store_delete(f->write, key_slice(&key));
}

static void forgot(struct store_write *write) {
    struct retention *r = CONTAINER_OF(write, struct retention, forget);
    store_write_release(write);
    r->forgetting = false;
}

static void expire_producers(struct retention *r, struct partition *p, int64_t now_ms) {
    if (r->forgetting) return; /* the last partition's deletion is still on its way: next round */
    store_write_init(&r->forget, forgot);
    struct forgetting f = {&r->forget, p->group};
    producer_state_expire(&p->producers, now_ms - PRODUCER_EXPIRY_MS, forget_producer, &f);
    producer_state_expire(&p->committed, now_ms - PRODUCER_EXPIRY_MS, forget_producer, &f);
    bool trimmed_some = producer_state_trim_aborted(&p->producers, p->log_start);
    trimmed_some |= producer_state_trim_aborted(&p->committed, p->log_start);
    if (trimmed_some) {
        uint8_t start[8];
        store_be64(start, (uint64_t)p->log_start);
        struct key from = key_prefix(p->group, KEY_STATE), to = key_state(p->group, slice_make(start, 8));
        store_delete_range(&r->forget, key_slice(&from), key_slice(&to));
    }
    r->forgetting = r->forget.change_count != 0;
    if (r->forgetting)
        store_write_submit(r->broker->store, &r->forget);
    else
        store_write_release(&r->forget);
}

/* ---- one partition ------------------------------------------------------------------------------------- */

static void trimmed(struct partition_trim *trim, enum status status) {
    struct retention *r = trim->ctx;
    r->trimming = false;
    if (status != STATUS_OK && status != STATUS_CLOSED)
        log_warn(r->broker->log, "retention failed below=%lld reason=%s", (long long)trim->log_start,
                 status_name(status));
    if (status != STATUS_CLOSED) schedule_next(r);
}

static void trim_to(struct retention *r, struct partition *p, int64_t log_start, uint64_t deleted_bytes) {
    log_debug(r->broker->log, "retention topic=%s partition=%d log_start=%lld was=%lld",
              p->topic->public.name, p->index, (long long)log_start, (long long)p->log_start);
    r->trimming = true;
    r->trim = (struct partition_trim){.done = trimmed,
                                      .ctx = r,
                                      .log_start = log_start,
                                      .deleted_bytes = deleted_bytes,
                                      .time_max = r->cut.time_max,
                                      .time_last_offset = r->cut.last_offset};
    partition_trim_start(&r->trim, p);
}

/* Records without timestamps are as old as their stretch. */
static bool is_old(const struct partition *p, int64_t newest_timestamp, int64_t ended_ms, int64_t now_ms) {
    int64_t keep_ms = p->topic->public.config.retention_ms;
    int64_t newest_ms = newest_timestamp >= 0 ? newest_timestamp : ended_ms;
    return keep_ms >= 0 && now_ms - newest_ms > keep_ms;
}

/* Reads the time index from its start as long as its stretches may go. END: found out; PENDING: comes again.
 */
static enum status find_cut(struct retention *r, const struct partition *p, int64_t now_ms) {
    int64_t keep_bytes = p->topic->public.config.retention_bytes;
    struct key lower = key_prefix(p->group, KEY_TIME);
    enum status status;
    for (;;) {
        status = r->positioned ? store_iterator_next(r->it) : store_iterator_seek(r->it, key_slice(&lower));
        if (status != STATUS_OK) break;
        r->positioned = true;
        int64_t time_max, last_offset;
        struct time_entry entry;
        if (!key_time_parse(store_iterator_key(r->it), &time_max, &last_offset) ||
            !time_entry_decode(store_iterator_value(r->it).bytes, &entry))
            return STATUS_CORRUPT;
        bool large = keep_bytes >= 0 && p->cumulative_bytes - entry.cumulative_bytes >= (uint64_t)keep_bytes;
        bool deleted = last_offset < p->log_start; /* by DeleteRecords: only its index is left */
        if (last_offset >= p->high_watermark ||
            (!is_old(p, entry.max_timestamp, entry.ended_ms, now_ms) && !large && !deleted))
            return STATUS_END;
        r->cut = (struct cut){time_max, last_offset, entry.cumulative_bytes, false};
    }
    r->cut.all_closed = status == STATUS_END;
    return status;
}

/* A quiet topic empties: the open stretch goes as well when all of it is too old. */
static bool open_stretch_is_old(const struct retention *r, const struct partition *p, int64_t now_ms) {
    return r->cut.all_closed && list_empty(&p->appends) && p->log_start < p->high_watermark &&
           p->stretch_first <= MAX(r->cut.last_offset + 1, p->log_start) &&
           is_old(p, p->stretch_max_timestamp, p->stretch_started_ms, now_ms);
}

static void iterator_ready(void *ctx) {
    struct retention *r = ctx;
    partition_round_again(&r->round);
}

static void visit(struct partition_round *round, struct partition *p) {
    struct retention *r = CONTAINER_OF(round, struct retention, round);
    int64_t now_ms = io_wall_ms(r->broker->io);
    if (r->it == NULL) {
        r->cut = (struct cut){-1, -1, 0, false};
        expire_producers(r, p, now_ms);
        struct key lower = key_prefix(p->group, KEY_TIME), upper = key_prefix(p->group, KEY_PRODUCER);
        r->it = store_iterator_open(r->broker->store, key_slice(&lower), key_slice(&upper), 0, iterator_ready,
                                    r);
    }
    enum status status = find_cut(r, p, now_ms);
    if (status == STATUS_PENDING) return;
    close_index(r);
    if (status != STATUS_END) {
        log_error(r->broker->log, "retention cannot read topic=%s partition=%d reason=%s",
                  p->topic->public.name, p->index, status_name(status));
        schedule_next(r);
    } else if (open_stretch_is_old(r, p, now_ms)) {
        trim_to(r, p, p->high_watermark, p->cumulative_bytes);
    } else if (r->cut.last_offset >= 0) {
        trim_to(r, p, MAX(r->cut.last_offset + 1, p->log_start), r->cut.cumulative_bytes);
    } else {
        schedule_next(r);
    }
}

/* ---- the round ----------------------------------------------------------------------------------------- */

static bool wants_check(const struct topic_state *topic) {
    const struct topic_config *config = &topic->public.config;
    return (config->cleanup_policy & 1) != 0 && (config->retention_ms >= 0 || config->retention_bytes >= 0);
}

static void forget(struct partition_round *round) {
    close_index(CONTAINER_OF(round, struct retention, round));
}

struct retention *retention_new(struct broker *broker) {
    struct retention *r = mem_calloc(1, sizeof *r);
    r->broker = broker;
    list_init(&r->trim.link);
    r->round = (struct partition_round){.wants = wants_check, .visit = visit, .forget = forget};
    partition_round_start(&r->round, broker, broker->options.retention_check_ms);
    return r;
}

void retention_free(struct retention *r) {
    partition_round_stop(&r->round);
    list_remove(&r->trim.link);
    if (r->trimming) store_write_abandon(&r->trim.write);
    if (r->forgetting) store_write_abandon(&r->forget);
    close_index(r);
    mem_free(r);
}
