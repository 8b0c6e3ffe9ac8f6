// SPDX-License-Identifier: Apache-2.0
#include "sim/txn_reader.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "sim/kafka_requests.h"
#include "wire/record_batch.h"

#define ANSWER_NS   (5 * NS_PER_S)
#define RETRY_NS    (60 * NS_PER_MS)
#define IDLE_NS     (50 * NS_PER_MS)
#define FETCH_BYTES (64 * KIB)
#define ABORTED_MAX 64

static void go_on(struct txn_reader *r);

static void later(struct txn_reader *r, uint64_t ns) {
    io_timer_set(r->options.io, &r->timer, io_now_ns(r->options.io) + ns / 2 + prng_below(&r->prng, ns));
}

static void give_up(struct txn_reader *r) {
    if (r->link != NULL) kafka_link_drop(r->link);
    r->link = NULL;
    r->connected = r->asking = false;
    r->leader = 0;
    later(r, RETRY_NS);
}

static void link_connected(void *ctx) {
    struct txn_reader *r = ctx;
    r->connected = true;
    io_timer_cancel(r->options.io, &r->timer);
    go_on(r);
}

static void link_failed(void *ctx) {
    give_up(ctx);
}

/* ---- records ------------------------------------------------------------------------------------------ */

/* Producers whose transactions are aborted from here on, until their markers. */
struct skipping {
    const struct kafka_fetch_response_aborted_transaction *told;
    int32_t told_count;
    bool over[ABORTED_MAX]; /* its marker was passed */
};

static bool is_skipped(const struct skipping *s, const struct record_batch *batch) {
    for (int32_t i = 0; i < MIN(s->told_count, ABORTED_MAX); i++)
        if (!s->over[i] && s->told[i].producer_id == batch->producer_id &&
            s->told[i].first_offset <= batch->base_offset)
            return true;
    return false;
}

static void pass_marker(struct skipping *s, const struct record_batch *batch) {
    int16_t type;
    struct slice value;
    if (record_batch_control_read(batch, &type, &value) != STATUS_OK || type != CONTROL_ABORT) return;
    for (int32_t i = 0; i < MIN(s->told_count, ABORTED_MAX); i++)
        if (!s->over[i] && s->told[i].producer_id == batch->producer_id &&
            s->told[i].first_offset <= batch->base_offset) {
            s->over[i] = true;
            return;
        }
}

static void take_record(struct txn_reader *r, const struct record *record) {
    char text[64];
    unsigned partition, number, second;
    int64_t offset;
    snprintf(text, sizeof text, "%.*s", (int)record->value.size, (const char *)record->value.data);
    if (record->offset >= r->stable)
        history_violate(r->options.history->history,
                        "B11 isolation: partition %u of the copies: offset %lld is read, %lld is stable",
                        r->options.partition, (long long)record->offset, (long long)r->stable);
    if (sscanf(text, "%u/%" SCNd64 "/%u/%u", &partition, &offset, &number, &second) != 4)
        history_violate(r->options.history->history, "S4 invention: a copy reads '%.60s'", text);
    else
        txn_history_read(r->options.history, r->pass, number, partition, second != 0, offset);
}

static void take_batch(struct txn_reader *r, struct skipping *skipping, struct slice bytes) {
    struct record_batch batch;
    struct record_iterator it;
    struct record record;
    struct arena arena;
    if (record_batch_read(bytes, &batch) != STATUS_OK) {
        history_violate(r->options.history->history, "S6 detection: a batch of copies is damaged");
        return;
    }
    int64_t end = record_batch_last_offset(&batch) + 1;
    bool control = (batch.attributes & BATCH_CONTROL) != 0;
    if (control) pass_marker(skipping, &batch);
    bool skip = control || ((batch.attributes & BATCH_TRANSACTIONAL) != 0 && is_skipped(skipping, &batch));
    arena_init(&arena, 16 * KIB);
    enum status status = skip ? STATUS_END : record_iterator_init(&it, &batch, &arena, 1 * MIB);
    while (status == STATUS_OK && (status = record_iterator_next(&it, &record)) == STATUS_OK)
        if (record.offset >= r->offset) take_record(r, &record);
    arena_release(&arena);
    r->offset = MAX(r->offset, end);
}

/* ---- answers ------------------------------------------------------------------------------------------ */

static void take_metadata(struct txn_reader *r, const struct kafka_metadata_response *m) {
    r->leader = kafka_leader_told(m, r->options.topic, r->options.partition, r->options.node_count);
    if (r->leader == 0) give_up(r);
}

static void take_fetched(struct txn_reader *r, const struct kafka_fetch_response *m) {
    const struct kafka_fetch_response_partition *p;
    if (kafka_fetched(m, &p) != 0) {
        give_up(r);
        return;
    }
    if (p->last_stable_offset < r->floor)
        history_violate(r->options.history->history,
                        "B4 last stable offset: partition %u of the copies: %lld is told after %lld",
                        r->options.partition, (long long)p->last_stable_offset, (long long)r->floor);
    r->stable = MAX(r->stable, p->last_stable_offset);
    struct skipping skipping = {p->aborted_transactions, MAX(p->aborted_transactions_count, 0), {false}};
    struct slice bytes = p->records.bytes, batch;
    int64_t from = r->offset;
    while (kafka_next_batch(&bytes, &batch))
        take_batch(r, &skipping, batch);
    r->at_end = r->offset >= p->high_watermark && p->last_stable_offset >= p->high_watermark;
    if (r->offset == from) later(r, IDLE_NS);
}

static void answered(void *ctx, const void *message) {
    struct txn_reader *r = ctx;
    io_timer_cancel(r->options.io, &r->timer);
    r->asking = false;
    if (r->leader == 0)
        take_metadata(r, message);
    else
        take_fetched(r, message);
    r->options.told(r->options.ctx, NULL);
    go_on(r);
}

static const struct kafka_link_calls calls = {
    .connected = link_connected, .failed = link_failed, .answered = answered};

/* ---- requests ----------------------------------------------------------------------------------------- */

static void ask(struct txn_reader *r, int16_t key, int16_t version, const void *request) {
    r->asking = true;
    io_timer_set(r->options.io, &r->timer, io_now_ns(r->options.io) + ANSWER_NS);
    kafka_link_ask(r->link, key, version, request);
}

static void ask_metadata(struct txn_reader *r) {
    struct kafka_metadata_ask metadata;
    kafka_metadata_ask(&metadata, r->options.topic, NULL);
    ask(r, KAFKA_METADATA, 9, &metadata.request);
}

static void ask_fetch(struct txn_reader *r) {
    struct kafka_fetch_ask fetch;
    kafka_fetch_ask(&fetch, r->options.topic, (int32_t)r->options.partition, r->offset, FETCH_BYTES);
    fetch.request.max_wait_ms = 100;
    fetch.request.isolation_level = 1;
    r->floor = r->stable;
    ask(r, KAFKA_FETCH, 11, &fetch.request);
}

static void go_on(struct txn_reader *r) {
    if (!r->started || r->asking || io_timer_armed(&r->timer)) return;
    if (r->link != NULL && r->leader != 0 && kafka_link_node(r->link) != r->leader) {
        kafka_link_drop(r->link);
        r->link = NULL;
        r->connected = false;
    }
    if (r->link == NULL) {
        uint32_t node = r->leader != 0 ? r->leader
                                       : (r->options.partition + r->attempts++) % r->options.node_count + 1;
        r->link = kafka_link_new(r->options.io, node, &calls, r);
        io_timer_set(r->options.io, &r->timer, io_now_ns(r->options.io) + ANSWER_NS);
    } else if (r->connected && r->leader == 0) {
        ask_metadata(r);
    } else if (r->connected) {
        ask_fetch(r);
    }
}

static void timer_fired(struct io_timer *timer) {
    struct txn_reader *r = CONTAINER_OF(timer, struct txn_reader, timer);
    if (r->asking || (r->link != NULL && !r->connected))
        give_up(r);
    else
        go_on(r);
}

/* ---- life --------------------------------------------------------------------------------------------- */

void txn_reader_init(struct txn_reader *r, const struct txn_reader_options *options, struct txn_pass *pass) {
    *r = (struct txn_reader){.options = *options, .pass = pass};
    prng_init(&r->prng, options->seed);
    io_timer_init(&r->timer, timer_fired);
}

void txn_reader_start(struct txn_reader *r) {
    if (r->link != NULL) kafka_link_drop(r->link); /* what is under way was asked before */
    r->link = NULL;
    r->connected = r->asking = r->at_end = false;
    r->started = true;
    r->offset = 0;
    later(r, RETRY_NS);
}

void txn_reader_release(struct txn_reader *r) {
    if (r->link != NULL) kafka_link_drop(r->link);
    r->link = NULL;
}
