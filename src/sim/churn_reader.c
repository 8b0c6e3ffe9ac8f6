// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>

#include "base/units.h"
#include "sim/churn.h"
#include "sim/kafka_requests.h"

#define IDLE_NS     (60 * NS_PER_MS)
#define FETCH_BYTES (64 * KIB)

enum { ERROR_NONE = 0, ERROR_OUT_OF_RANGE = 1 };

/* ---- records ------------------------------------------------------------------------------------------ */

/* Each record is in one place of one topic, or in none. */
static void took(void *ctx, uint32_t slot, const struct record *record) {
    struct churn_reader *r = ctx;
    struct churn *churn = r->churn;
    char text[32], expected[32];
    unsigned number;
    snprintf(text, sizeof text, "%.*s", (int)record->value.size, (const char *)record->value.data);
    if (sscanf(text, "record %u", &number) != 1 || number >= churn->record_count ||
        !slice_equal(churn_record_value(number, expected), record->value)) {
        history_violate(&churn->records, "S4 invention: a record of topic %u reads '%.30s'", r->life, text);
        return;
    }
    struct churn_record *seen = &churn->seen[number];
    if (seen->partition != 0 && (seen->partition != slot + 1 || seen->offset != record->offset))
        history_violate(&churn->records, "B7 duplicate: record %u is in topic %u and in topic %u", number,
                        (seen->partition - 1) / CHURN_PARTITIONS, r->life);
    *seen = (struct churn_record){slot + 1, record->offset};
}

/* ---- requests ----------------------------------------------------------------------------------------- */

static void ask_fetch(struct churn_reader *r) {
    struct churn *churn = r->churn;
    struct kafka_fetch_ask fetch;
    uint32_t slot = churn_slot(r->life, r->partition);
    kafka_fetch_ask(&fetch, churn_name(r->name), (int32_t)r->partition, r->readers[r->partition].offset,
                    FETCH_BYTES);
    fetch.topic.topic_id = churn->topics.lives[r->life].id;
    r->high_watermark_floor = churn->records.partitions[slot].high_watermark;
    r->log_start_floor = churn->log_starts[slot];
    r->asking = READER_FETCH;
    kafka_caller_ask(&r->caller, KAFKA_FETCH, 13, &fetch.request);
}

static void ask_metadata(struct churn_reader *r) {
    r->asking = READER_METADATA;
    churn_ask_metadata(&r->caller);
}

/* ---- answers ------------------------------------------------------------------------------------------ */

static void begin(struct churn_reader *r, uint32_t life) {
    r->life = life;
    for (uint32_t p = 0; p < CHURN_PARTITIONS; p++) {
        struct history_reader *reader = &r->readers[p];
        history_reader_release(reader);
        *reader = (struct history_reader){.took = took, .ctx = r, .verifying = r->verifying};
        if (life != TOPIC_HISTORY_NONE) reader->partition = churn_slot(life, p);
    }
}

static void take_metadata(struct churn_reader *r, const struct kafka_metadata_response *m) {
    churn_take_metadata(r->churn, &r->told, &r->caller, m);
    uint32_t life = r->told.lives[r->name];
    if (life != r->life && !r->verifying) begin(r, life);
    for (uint32_t p = 0; p < CHURN_PARTITIONS; p++)
        r->leaders[p] = life == r->life ? r->told.leaders[r->name][p] : 0;
    do
        r->partition = (r->partition + 1) % CHURN_PARTITIONS;
    while (r->leaders[r->partition] == 0 && r->partition != 0);
    if (r->leaders[r->partition] == 0) kafka_caller_pause(&r->caller, IDLE_NS);
}

static void verify(struct churn_reader *r, const struct history_reader *reader) {
    int64_t from = reader->log_start, end = reader->high_watermark;
    if (end - from > (int64_t)reader->seen_capacity)
        history_violate(&r->churn->records, "B1 dense offsets: partition %u of topic %u is empty up to %lld",
                        r->partition, r->life, (long long)end);
    else
        history_read_all(&r->churn->records, reader->partition, from, end, reader->seen);
    r->verified |= 1U << r->partition;
}

/* What begins later than it did: from there, all over when everything is to be seen. */
static void follow_start(struct churn_reader *r, struct history_reader *reader, int64_t log_start) {
    if (reader->offset >= log_start) return;
    history_reader_release(reader);
    *reader = (struct history_reader){.partition = reader->partition,
                                      .offset = log_start,
                                      .log_start = log_start,
                                      .took = took,
                                      .ctx = r,
                                      .verifying = r->verifying};
}

static void take_fetched(struct churn_reader *r, const struct kafka_fetch_response *m) {
    struct history *history = &r->churn->records;
    struct history_reader *reader = &r->readers[r->partition];
    const struct kafka_fetch_response_partition *p = NULL;
    int16_t error = kafka_fetched(m, &p);
    if (error == ERROR_OUT_OF_RANGE && p->log_start_offset > reader->offset) error = ERROR_NONE;
    if (error == ERROR_OUT_OF_RANGE)
        history_violate(history, "B6 loss: partition %u of topic %u is said not to reach %lld", r->partition,
                        r->life, (long long)reader->offset);
    if (error != ERROR_NONE) {
        r->leaders[r->partition] = 0;
        kafka_caller_pause(&r->caller, IDLE_NS);
        return;
    }
    int64_t *log_start = &r->churn->log_starts[reader->partition];
    if (p->high_watermark < r->high_watermark_floor)
        history_violate(history, "B4 high watermark: partition %u of topic %u: %lld is told after %lld",
                        r->partition, r->life, (long long)p->high_watermark,
                        (long long)r->high_watermark_floor);
    if (p->log_start_offset < r->log_start_floor)
        history_violate(history, "B4 log start: partition %u of topic %u: %lld is told after %lld",
                        r->partition, r->life, (long long)p->log_start_offset, (long long)r->log_start_floor);
    struct history_partition *known = &history->partitions[reader->partition];
    known->high_watermark = MAX(known->high_watermark, p->high_watermark);
    *log_start = MAX(*log_start, p->log_start_offset);
    int64_t from = reader->offset;
    follow_start(r, reader, p->log_start_offset);
    reader->high_watermark = p->high_watermark;
    struct slice bytes = p->records.bytes, batch;
    while (kafka_next_batch(&bytes, &batch))
        history_reader_take(history, reader, batch);
    bool at_end = reader->offset >= reader->high_watermark;
    if (at_end && r->verifying) verify(r, reader);
    if (reader->offset == from) r->leaders[r->partition] = 0; /* the next one; and is it still the same? */
    if (reader->offset == from && !r->verifying) kafka_caller_pause(&r->caller, IDLE_NS);
}

static void answered(void *ctx, const void *message) {
    struct churn_reader *r = ctx;
    if (r->asking == READER_METADATA) take_metadata(r, message);
    if (r->asking == READER_FETCH) take_fetched(r, message);
    r->asking = READER_NOTHING;
    r->churn->told(r->churn->ctx, NULL, false);
}

static void lost(void *ctx) {
    struct churn_reader *r = ctx;
    memset(r->leaders, 0, sizeof r->leaders);
    r->asking = READER_NOTHING;
}

/* ---- what comes next ---------------------------------------------------------------------------------- */

static bool is_wanted(const struct churn_reader *r) {
    if (!r->verifying) return !r->churn->steady;
    if (r->life == TOPIC_HISTORY_NONE) return false;
    return r->verified != (1U << r->churn->rest[r->name].partitions) - 1;
}

static void next(void *ctx) {
    struct churn_reader *r = ctx;
    if (!is_wanted(r)) return;
    uint32_t leader = r->life == TOPIC_HISTORY_NONE ? 0 : r->leaders[r->partition];
    if (leader != 0 && (r->verified >> r->partition & 1) != 0) leader = 0;
    if (leader != 0) {
        if (kafka_caller_at(&r->caller, leader)) ask_fetch(r);
        return;
    }
    uint32_t node = kafka_caller_node(&r->caller);
    if (node == 0) node = (r->name + r->caller.attempts++) % r->churn->node_count + 1;
    if (kafka_caller_at(&r->caller, node)) ask_metadata(r);
}

static const struct kafka_caller_calls calls = {.next = next, .answered = answered, .lost = lost};

void churn_reader_init(struct churn *churn, uint32_t name, uint64_t seed) {
    struct churn_reader *r = &churn->readers[name];
    r->churn = churn;
    r->name = name;
    begin(r, TOPIC_HISTORY_NONE);
    kafka_caller_init(&r->caller, churn->io, seed, &calls, r);
}

void churn_reader_verify(struct churn_reader *r) {
    r->verifying = true;
    kafka_caller_release(&r->caller); /* what is under way was asked before */
    io_timer_cancel(r->churn->io, &r->caller.timer);
    lost(r);
    begin(r, r->churn->rest[r->name].life);
    kafka_caller_go_on(&r->caller);
}

void churn_reader_release(struct churn_reader *r) {
    kafka_caller_release(&r->caller);
    for (uint32_t p = 0; p < CHURN_PARTITIONS; p++)
        history_reader_release(&r->readers[p]);
}
