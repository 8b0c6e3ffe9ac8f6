// SPDX-License-Identifier: Apache-2.0
#include "base/mem.h"
#include "base/units.h"
#include "sim/churn.h"
#include "sim/kafka_requests.h"
#include "wire/record_batch.h"

#define IDLE_NS     (60 * NS_PER_MS)
#define RECORDS_MAX 4

/* ---- requests ----------------------------------------------------------------------------------------- */

static void new_records(struct churn *churn, uint32_t count) {
    if (churn->record_count + count > churn->record_capacity) {
        churn->record_capacity = MAX(1024U, churn->record_capacity * 2);
        churn->seen = mem_realloc(churn->seen, churn->record_capacity * sizeof *churn->seen);
    }
    for (uint32_t i = 0; i < count; i++)
        churn->seen[churn->record_count++] = (struct churn_record){0};
}

/* Nobody sends a record twice: what becomes of one whose answer is lost is not known. */
static void ask_produce(struct churn_writer *w) {
    struct record_batch_builder builder;
    struct kafka_produce_ask produce;
    record_batch_begin(&builder);
    w->first_record = w->churn->record_count;
    w->record_count = 1 + (uint32_t)prng_below(&w->caller.prng, RECORDS_MAX);
    new_records(w->churn, w->record_count);
    for (uint32_t i = 0; i < w->record_count; i++) {
        char text[32];
        record_batch_add(&builder, io_wall_ms(w->churn->io), SLICE_EMPTY,
                         churn_record_value(w->first_record + i, text), NULL, 0);
    }
    struct record_batch_producer none = {-1, -1, -1};
    struct buffer *batch = record_batch_finish(&builder, CODEC_NONE, &none);
    record_batch_builder_release(&builder);
    kafka_produce_ask(&produce, churn_name(w->name), (int32_t)w->partition, batch);
    w->asking = WRITER_PRODUCE;
    kafka_caller_ask(&w->caller, KAFKA_PRODUCE, 9, &produce.request);
    buffer_unref(batch);
}

static void ask_delete(struct churn_writer *w, uint32_t life) {
    struct churn *churn = w->churn;
    struct kafka_delete_records_request_partition partition;
    struct kafka_delete_records_request_topic topic;
    struct kafka_delete_records_request request;
    kafka_message_init(&kafka_schema_delete_records_request_partition, &partition);
    kafka_message_init(&kafka_schema_delete_records_request_topic, &topic);
    kafka_message_init(&kafka_schema_delete_records_request, &request);
    int64_t end = churn->records.partitions[churn_slot(life, w->partition)].high_watermark;
    partition.partition_index = (int32_t)w->partition;
    partition.offset = (int64_t)prng_below(&w->caller.prng, (uint64_t)end + 1);
    topic.name = slice_from_text(churn_name(w->name));
    topic.partitions = &partition;
    topic.partitions_count = 1;
    request.topics = &topic;
    request.topics_count = 1;
    request.timeout_ms = 3000;
    if (churn->deletion_count == churn->deletion_capacity) {
        churn->deletion_capacity = MAX(64U, churn->deletion_capacity * 2);
        churn->deletions = mem_realloc(churn->deletions, churn->deletion_capacity * sizeof *churn->deletions);
    }
    w->deletion = churn->deletion_count++;
    churn->deletions[w->deletion] = (struct churn_deletion){
        .name = w->name, .life = life, .partition = w->partition, .offset = partition.offset};
    w->asking = WRITER_DELETE;
    kafka_caller_ask(&w->caller, KAFKA_DELETE_RECORDS, 2, &request);
}

/* ---- answers ------------------------------------------------------------------------------------------ */

static void acknowledge(struct churn_writer *w, int64_t offset) {
    struct churn *churn = w->churn;
    for (uint32_t i = 0; i < w->record_count; i++) {
        if (churn->acknowledged_count == churn->acknowledged_capacity) {
            churn->acknowledged_capacity = MAX(1024U, churn->acknowledged_capacity * 2);
            churn->acknowledged = mem_realloc(churn->acknowledged,
                                              churn->acknowledged_capacity * sizeof *churn->acknowledged);
        }
        churn->acknowledged[churn->acknowledged_count++] = (struct churn_acknowledged){
            w->told.lives[w->name], w->partition, w->first_record + i, offset + i};
    }
}

static void answered(void *ctx, const void *message) {
    struct churn_writer *w = ctx;
    const struct kafka_produce_response *produced = message;
    const struct kafka_delete_records_response *deleted = message;
    int16_t error = 0;
    if (w->asking == WRITER_METADATA) {
        churn_take_metadata(w->churn, &w->told, &w->caller, message);
        w->leader = w->told.leaders[w->name][w->partition];
        if (w->leader == 0) {
            w->partition = (w->partition + 1) % CHURN_PARTITIONS;
            kafka_caller_pause(&w->caller, IDLE_NS);
        }
    } else if (w->asking == WRITER_PRODUCE) {
        error = produced->responses_count == 1 ? produced->responses[0].partition_responses[0].error_code
                                               : -1;
        if (error == 0) acknowledge(w, produced->responses[0].partition_responses[0].base_offset);
    } else {
        error = deleted->topics_count == 1 && deleted->topics[0].partitions_count == 1
                    ? deleted->topics[0].partitions[0].error_code
                    : -1;
        if (error == 0) w->churn->deletions[w->deletion].acknowledged = true;
    }
    w->asking = WRITER_NOTHING;
    w->churn->told(w->churn->ctx, NULL, false);
    if (error != 0) kafka_caller_give_up(&w->caller);
}

static void lost(void *ctx) {
    struct churn_writer *w = ctx;
    w->leader = 0;
    w->asking = WRITER_NOTHING;
}

/* ---- what comes next ---------------------------------------------------------------------------------- */

static void next(void *ctx) {
    struct churn_writer *w = ctx;
    if (w->churn->steady) return;
    if (w->leader == 0) w->leader = (w->name + w->caller.attempts++) % w->churn->node_count + 1;
    if (!kafka_caller_at(&w->caller, w->leader)) return;
    uint32_t life = w->told.lives[w->name];
    if (!churn_knows(&w->told, &w->caller)) {
        w->asking = WRITER_METADATA;
        churn_ask_metadata(&w->caller);
    } else if (prng_chance(&w->caller.prng, 1, 12)) {
        /* A look whether it is still the same, or another partition. */
        w->told.known = false;
        w->partition = (uint32_t)prng_below(&w->caller.prng, CHURN_PARTITIONS);
        kafka_caller_pause(&w->caller, IDLE_NS);
    } else if (life != TOPIC_HISTORY_NONE && prng_chance(&w->caller.prng, 1, 12)) {
        ask_delete(w, life);
    } else {
        ask_produce(w);
    }
}

static const struct kafka_caller_calls calls = {.next = next, .answered = answered, .lost = lost};

void churn_writer_init(struct churn *churn, uint32_t name, uint64_t seed) {
    struct churn_writer *w = &churn->writers[name];
    w->churn = churn;
    w->name = name;
    kafka_caller_init(&w->caller, churn->io, seed, &calls, w);
}
