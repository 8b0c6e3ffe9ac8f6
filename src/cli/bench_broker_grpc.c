// SPDX-License-Identifier: Apache-2.0
/* Load over gRPC: unary calls on channels of our own, streams through the C client library. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/prng.h"
#include "cli/bench_broker_io.h"
#include "cli/bench_broker_load.h"
#include "cli/bench_unary.h"
#include "sentinel/client.h"
#include "wire/protobuf_produce.h"
#include "wire/protobuf_record.h"

#define PRODUCE_PATH "/sentinel.v1.ProducerService/Produce"
#define CLIENT_MS    60000

/* ---- unary -------------------------------------------------------------------------------------------- */

struct unary {
    const struct broker_load *load;
    struct writer *requests; /* of each connection, the same again and again */
};

static const char *unary_address(void *ctx, uint32_t connection) {
    const struct unary *unary = ctx;
    return unary->load->leaders != NULL ? unary->load->leaders[connection] : unary->load->address;
}

static struct slice unary_next(void *ctx, uint32_t connection, uint64_t number) {
    const struct unary *unary = ctx;
    MAYBE(number > 0);
    return writer_slice(&unary->requests[connection]);
}

static void unary_answer(void *ctx, struct slice message) {
    MAYBE(ctx != NULL);
    struct protobuf_produce_result result;
    if (protobuf_produce_result_next(&message, 1, &result) != STATUS_OK || result.error.size != 0)
        bench_fail("Produce", "the broker refused records");
}

static void unary_request(const struct broker_load *load, int32_t partition, struct writer *out) {
    struct prng prng;
    prng_init(&prng, (uint64_t)partition);
    writer_init(out);
    struct protobuf_produce head = {
        .topic = slice_from_text(load->topic), .has_partition = true, .partition = partition};
    protobuf_produce_write_head(out, &head);
    uint8_t *value = mem_alloc(load->value_bytes);
    for (uint32_t i = 0; i < load->batch_records; i++) {
        prng_bytes(&prng, value, load->value_bytes);
        struct record record = {.value = slice_make(value, load->value_bytes),
                                .timestamp = io_system_wall_ms()};
        protobuf_record_write(out, 3, &record, protobuf_record_size(&record));
    }
    mem_free(value);
}

void broker_load_unary(struct broker_load *load) {
    struct unary unary = {.load = load, .requests = mem_calloc(load->connections, sizeof *unary.requests)};
    for (uint32_t i = 0; i < load->connections; i++)
        unary_request(load, (int32_t)i, &unary.requests[i]);
    histogram_init(&load->latency_ns);
    struct bench_unary run = {.io = bench_io_new(),
                              .path = PRODUCE_PATH,
                              .connections = load->connections,
                              .window = load->window,
                              .calls = load->records / load->batch_records,
                              .ctx = &unary,
                              .address = unary_address,
                              .request = unary_next,
                              .answer = unary_answer,
                              .latency_ns = &load->latency_ns};
    bench_unary_run(&run);
    io_free(run.io);
    load->records_done = run.done * load->batch_records;
    load->value_bytes_done = load->records_done * load->value_bytes;
    for (uint32_t i = 0; i < load->connections; i++)
        writer_release(&unary.requests[i]);
    mem_free(unary.requests);
}

/* ---- streams ------------------------------------------------------------------------------------------ */

static sentinel_client *open_client(const struct broker_load *load) {
    sentinel_error error;
    sentinel_client *client = sentinel_open(load->address, CLIENT_MS, &error);
    if (client == NULL) bench_fail("gRPC", error.message);
    return client;
}

void broker_load_stream(struct broker_load *load) {
    sentinel_error error;
    sentinel_client *client = open_client(load);
    sentinel_producer *producer = sentinel_producer_open(client, load->topic, NULL, &error);
    if (producer == NULL) bench_fail("ProduceStream", error.message);
    struct prng prng;
    prng_init(&prng, 1);
    uint8_t *value = mem_alloc(load->value_bytes);
    prng_bytes(&prng, value, load->value_bytes);
    int32_t partitions = sentinel_producer_partitions(producer);
    for (uint64_t i = 0; i < load->records; i++) {
        sentinel_record record = {.value = value,
                                  .value_size = load->value_bytes,
                                  .partition = (int32_t)(i / load->batch_records % (uint64_t)partitions)};
        if (sentinel_produce(producer, &record, &error) != 0) bench_fail("ProduceStream", error.message);
    }
    if (sentinel_producer_close(producer, &error) != 0) bench_fail("ProduceStream", error.message);
    sentinel_close(client);
    mem_free(value);
    load->records_done = load->records;
    load->value_bytes_done = load->records * load->value_bytes;
}

void broker_load_consume(struct broker_load *load) {
    sentinel_error error;
    sentinel_client *client = open_client(load);
    sentinel_consumer *consumer = sentinel_consumer_open(client, load->topic, -1, SENTINEL_EARLIEST, &error);
    if (consumer == NULL) bench_fail("ConsumeStream", error.message);
    load->records_done = load->value_bytes_done = 0;
    while (load->records_done < load->records) {
        sentinel_record record;
        int got = sentinel_consume(consumer, &record, CLIENT_MS, &error);
        if (got < 0) bench_fail("ConsumeStream", error.message);
        if (got == 0) bench_fail("ConsumeStream", "nothing came for a minute");
        load->records_done++;
        load->value_bytes_done += record.value_size;
    }
    sentinel_consumer_close(consumer);
    sentinel_close(client);
}
