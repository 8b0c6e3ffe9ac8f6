// SPDX-License-Identifier: Apache-2.0
/* Records: transactional and plain, and through a group at a steady rate. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/prng.h"
#include "cli/bench_groups_load.h"
#include "cli/bench_kafka.h"
#include "wire/record_batch.h"

#define VALUE_BYTES   KIB
#define BATCH_RECORDS 64
#define BATCHES       16 /* a transaction */
#define TICK_NS       NS_PER_MS
/* A single stall of the disk is part of the answer; a rate that is not reached is none. */
#define BEHIND_MAX_NS    (5 * NS_PER_S)
#define TICK_RECORDS     10
#define TRANSACTIONAL_ID SLICE_LITERAL("bench")
#define BATCH_ATTRIBUTES 21
#define PRODUCE_VERSION  12 /* the partition becomes part of the transaction by itself */

struct producer {
    struct io *io;
    struct bench_kafka *kafka;
    const char *topic;
    bool transactional;
    int64_t id;
    int16_t epoch;
    int32_t sequence;
    uint64_t records;
};

/* ---- producing ----------------------------------------------------------------------------------------- */

static struct producer producer_open(const char *address, const char *topic, bool transactional) {
    struct producer p = {.io = bench_io_new(), .topic = topic, .transactional = transactional};
    p.kafka = bench_kafka_open(p.io, address);
    struct kafka_init_producer_id_request request;
    kafka_message_init(&kafka_schema_init_producer_id_request, &request);
    request.transactional_id = transactional ? TRANSACTIONAL_ID : SLICE_EMPTY;
    request.transaction_timeout_ms = 60000;
    request.producer_id = -1;
    request.producer_epoch = -1;
    const struct kafka_init_producer_id_response *response = bench_kafka_call(p.kafka, KAFKA_INIT_PRODUCER_ID,
                                                                              4, &request);
    if (response->error_code != 0) bench_fail("InitProducerId", "the broker refused");
    p.id = response->producer_id;
    p.epoch = response->producer_epoch;
    return p;
}

static void producer_close(struct producer *p) {
    bench_kafka_close(p->kafka);
    io_free(p->io);
}

static void produced(void *ctx, const void *message) {
    const struct kafka_produce_response *response = message;
    const struct producer *p = ctx;
    if (response->responses_count != 1 || response->responses[0].partition_responses_count != 1)
        bench_fail("Produce", "a malformed answer");
    const struct kafka_produce_response_partition *partition = &response->responses[0].partition_responses[0];
    char why[200];
    snprintf(why, sizeof why, "%s batch at %llu, error %d: %.*s",
             p->transactional ? "transactional" : "plain", (unsigned long long)p->records,
             partition->error_code, (int)partition->error_message.size,
             partition->error_message.size == 0 ? "" : (const char *)partition->error_message.data);
    if (partition->error_code != 0) bench_fail("Produce", why);
}

static void send_batch(struct producer *p, struct buffer *batch) {
    struct kafka_produce_request_partition partition = {
        .records = {.bytes = slice_make(batch->data, batch->size)}};
    struct kafka_produce_request_topic topic = {
        .name = slice_from_text(p->topic), .partition_data = &partition, .partition_data_count = 1};
    struct kafka_produce_request request = {.transactional_id = p->transactional ? TRANSACTIONAL_ID
                                                                                 : SLICE_EMPTY,
                                            .acks = -1,
                                            .timeout_ms = 30000,
                                            .topic_data = &topic,
                                            .topic_data_count = 1};
    bench_kafka_ask(p->kafka, KAFKA_PRODUCE, PRODUCE_VERSION, &request, produced, p);
}

static void send_records(struct producer *p, const uint8_t *value, size_t value_size, uint32_t count) {
    struct record_batch_builder builder;
    record_batch_begin(&builder);
    for (uint32_t i = 0; i < count; i++)
        record_batch_add(&builder, io_system_wall_ms(), SLICE_EMPTY, slice_make(value, value_size), NULL, 0);
    struct record_batch_producer identity = {p->id, p->epoch, p->sequence};
    struct buffer *batch = record_batch_finish(&builder, CODEC_NONE, &identity);
    record_batch_builder_release(&builder);
    if (p->transactional) {
        store_be16(batch->data + BATCH_ATTRIBUTES, BATCH_TRANSACTIONAL);
        record_batch_set_max_timestamp(batch->data, batch->size, io_system_wall_ms());
    }
    p->sequence += (int32_t)count;
    p->records += count;
    send_batch(p, batch);
    buffer_unref(batch);
}

static void wait_for_all(struct producer *p) {
    while (bench_kafka_under_way(p->kafka) > 0)
        io_turn(p->io, 100 * NS_PER_MS);
}

static void commit(struct producer *p) {
    struct kafka_end_txn_request request = {TRANSACTIONAL_ID, p->id, p->epoch, true};
    const struct kafka_end_txn_response *response = bench_kafka_call(p->kafka, KAFKA_END_TXN, 5, &request);
    if (response->error_code != 0) bench_fail("EndTxn", "the broker refused");
    p->id = response->producer_id;
    p->epoch = response->producer_epoch;
    p->sequence = 0;
}

double groups_load_produce(const char *address, const char *topic, bool transactional, double seconds) {
    struct producer p = producer_open(address, topic, transactional);
    uint8_t value[VALUE_BYTES];
    struct prng prng;
    prng_init(&prng, 1);
    prng_bytes(&prng, value, sizeof value);
    uint64_t began_ns = io_clock_ns(p.io), end_ns = began_ns + (uint64_t)(seconds * 1e9);
    while (io_clock_ns(p.io) < end_ns) {
        for (int i = 0; i < BATCHES; i++)
            send_records(&p, value, sizeof value, BATCH_RECORDS);
        wait_for_all(&p);
        if (transactional) commit(&p);
    }
    double rate = (double)p.records / ((double)(io_clock_ns(p.io) - began_ns) / 1e9);
    producer_close(&p);
    return rate;
}

void groups_load_small_transactions(const char *address, const char *topic, double seconds,
                                    struct histogram *latency_ns) {
    struct producer p = producer_open(address, topic, true);
    uint8_t value[100] = {1};
    histogram_init(latency_ns);
    uint64_t end_ns = io_clock_ns(p.io) + (uint64_t)(seconds * 1e9);
    for (uint64_t from_ns; (from_ns = io_clock_ns(p.io)) < end_ns;) {
        send_records(&p, value, sizeof value, 1);
        wait_for_all(&p);
        commit(&p);
        histogram_add(latency_ns, io_clock_ns(p.io) - from_ns);
    }
    producer_close(&p);
}

/* ---- through a group ----------------------------------------------------------------------------------- */

struct group_reader {
    struct bench_kafka *kafka;
    struct io *io;
    const char *topic;
    int64_t offset;
    uint64_t records;
    struct histogram *latency_ns;
    bool stopping;
};

static void join_alone(struct group_reader *r) {
    struct kafka_consumer_group_heartbeat_request request;
    struct slice topic = slice_from_text(r->topic);
    kafka_message_init(&kafka_schema_consumer_group_heartbeat_request, &request);
    request.group_id = SLICE_LITERAL("latency");
    request.member_id = SLICE_LITERAL("the-reader");
    request.rebalance_timeout_ms = 60000;
    request.subscribed_topic_names = &topic;
    request.subscribed_topic_names_count = 1;
    const struct kafka_consumer_group_heartbeat_response *response = bench_kafka_call(
        r->kafka, KAFKA_CONSUMER_GROUP_HEARTBEAT, 1, &request);
    if (response->error_code != 0 || response->assignment == NULL ||
        response->assignment->topic_partitions_count != 1)
        bench_fail("ConsumerGroupHeartbeat", "no partition was assigned");
}

static void fetch(struct group_reader *r);

static void fetched(void *ctx, const void *message) {
    struct group_reader *r = ctx;
    const struct kafka_fetch_response *response = message;
    if (response->error_code != 0 || response->responses_count != 1 ||
        response->responses[0].partitions[0].error_code != 0)
        bench_fail("Fetch", "the broker refused");
    uint64_t now_ns = io_clock_ns(r->io);
    struct slice rest = response->responses[0].partitions[0].records.bytes;
    struct record_batch batch;
    while (rest.size > 0 && record_batch_read_trusted(rest, &batch) == STATUS_OK) {
        struct record_iterator it;
        struct record record;
        if (record_iterator_init(&it, &batch, NULL, 0) != STATUS_OK)
            bench_fail("Fetch", "a batch that does not parse");
        while (record_iterator_next(&it, &record) == STATUS_OK) {
            histogram_add(r->latency_ns, now_ns - load_be64(record.value.data));
            r->records++;
        }
        r->offset = record_batch_last_offset(&batch) + 1;
        rest = slice_make(rest.data + batch.bytes.size, rest.size - batch.bytes.size);
    }
    if (!r->stopping) fetch(r);
}

static void fetch(struct group_reader *r) {
    struct kafka_fetch_request_partition partition;
    kafka_message_init(&kafka_schema_fetch_request_partition, &partition);
    partition.fetch_offset = r->offset;
    partition.partition_max_bytes = MIB;
    struct kafka_fetch_request_topic topic = {
        .topic = slice_from_text(r->topic), .partitions = &partition, .partitions_count = 1};
    struct kafka_fetch_request request;
    kafka_message_init(&kafka_schema_fetch_request, &request);
    request.max_wait_ms = 500;
    request.min_bytes = 1;
    request.max_bytes = MIB;
    request.topics = &topic;
    request.topics_count = 1;
    bench_kafka_ask(r->kafka, KAFKA_FETCH, 11, &request, fetched, r);
}

void groups_load_latency(const char *address, const char *topic, double seconds,
                         struct histogram *latency_ns) {
    struct producer p = producer_open(address, topic, false);
    struct group_reader r = {
        .kafka = bench_kafka_open(p.io, address), .io = p.io, .topic = topic, .latency_ns = latency_ns};
    histogram_init(latency_ns);
    join_alone(&r);
    fetch(&r);
    uint64_t began_ns = io_clock_ns(p.io), next_ns = began_ns;
    uint64_t ticks = (uint64_t)(seconds * 1e9) / TICK_NS;
    for (uint64_t tick = 0; tick < ticks; tick++, next_ns += TICK_NS) {
        uint64_t now_ns;
        while ((now_ns = io_clock_ns(p.io)) < next_ns)
            io_turn(p.io, next_ns - now_ns);
        while (bench_kafka_under_way(p.kafka) == BENCH_KAFKA_WINDOW)
            io_turn(p.io, 100 * NS_PER_MS);
        if (io_clock_ns(p.io) - next_ns > BEHIND_MAX_NS) bench_fail("Produce", "the broker does not keep up");
        /* When it was due, not when there was room for it: what waits for a slow disk counts whole. */
        uint8_t value[100] = {0};
        store_be64(value, next_ns);
        send_records(&p, value, sizeof value, TICK_RECORDS);
    }
    while (r.records < p.records)
        io_turn(p.io, 100 * NS_PER_MS);
    r.stopping = true;
    while (bench_kafka_under_way(r.kafka) > 0 || bench_kafka_under_way(p.kafka) > 0)
        io_turn(p.io, 100 * NS_PER_MS);
    bench_kafka_close(r.kafka);
    producer_close(&p);
}
