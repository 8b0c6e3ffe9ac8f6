// SPDX-License-Identifier: Apache-2.0
/* Load over gRPC: unary calls on channels of our own, streams through the C client library. */
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/prng.h"
#include "cli/bench_broker_io.h"
#include "cli/bench_broker_load.h"
#include "client/channel.h"
#include "sentinel/client.h"
#include "wire/protobuf_produce.h"
#include "wire/protobuf_record.h"

#define PRODUCE_PATH   "/sentinel.v1.ProducerService/Produce"
#define CLIENT_MS      60000
#define ANSWER_SECONDS 60

/* ---- unary -------------------------------------------------------------------------------------------- */

struct unary {
    struct broker_load *load;
    struct io *io;
    uint64_t calls_left, calls_open;
};
struct unary_call {
    struct call call;
    struct unary *unary;
    struct channel *channel;
    const struct writer *request;
    uint64_t asked_ns;
};

static void unary_start(struct unary_call *c) {
    if (c->unary->calls_left == 0) return;
    c->unary->calls_left--;
    c->unary->calls_open++;
    c->asked_ns = io_clock_ns(c->unary->io);
    call_start(c->channel, &c->call, PRODUCE_PATH);
    call_send(&c->call, writer_slice(c->request), (struct shared_slice){SLICE_EMPTY, NULL});
    call_finish(&c->call);
}

static void unary_message(struct call *call, struct grpc_message *message) {
    struct slice rest = message->bytes;
    struct protobuf_produce_result result;
    if (protobuf_produce_result_next(&rest, 1, &result) != STATUS_OK || result.error.size != 0)
        bench_fail("Produce", "the broker refused records");
    call_consumed(call, message->wire_size);
}

static void unary_done(struct call *call, int code, const char *text) {
    struct unary_call *c = CONTAINER_OF(call, struct unary_call, call);
    if (code != 0) bench_fail("Produce", text);
    struct broker_load *load = c->unary->load;
    histogram_add(&load->latency_ns, io_clock_ns(c->unary->io) - c->asked_ns);
    load->records_done += load->batch_records;
    load->value_bytes_done += (uint64_t)load->batch_records * load->value_bytes;
    c->unary->calls_open--;
    unary_start(c);
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
    struct unary unary = {
        .load = load, .io = bench_io_new(), .calls_left = load->records / load->batch_records};
    struct channel *channels = mem_calloc(load->connections, sizeof *channels);
    struct writer *requests = mem_calloc(load->connections, sizeof *requests);
    struct unary_call *calls = mem_calloc((size_t)load->connections * load->window, sizeof *calls);
    histogram_init(&load->latency_ns);
    load->records_done = load->value_bytes_done = 0;
    for (uint32_t i = 0; i < load->connections; i++) {
        struct diagnostic why;
        if (channel_init(&channels[i], unary.io, load->address, &why) != STATUS_OK)
            bench_fail("gRPC", why.text);
        unary_request(load, (int32_t)i, &requests[i]);
        for (uint32_t k = 0; k < load->window; k++) {
            struct unary_call *c = &calls[i * load->window + k];
            *c = (struct unary_call){.call = {.on_message = unary_message, .on_done = unary_done},
                                     .unary = &unary,
                                     .channel = &channels[i],
                                     .request = &requests[i]};
            unary_start(c);
        }
    }
    uint64_t began_ns = io_clock_ns(unary.io), done = 0;
    while (unary.calls_open > 0) {
        io_turn(unary.io, NS_PER_S);
        if (load->records_done != done) began_ns = io_clock_ns(unary.io);
        done = load->records_done;
        if (io_clock_ns(unary.io) - began_ns > ANSWER_SECONDS * NS_PER_S)
            bench_fail("Produce", "no answer for a minute");
    }
    for (uint32_t i = 0; i < load->connections; i++) {
        channel_release(&channels[i]);
        writer_release(&requests[i]);
    }
    mem_free(channels);
    mem_free(requests);
    mem_free(calls);
    io_free(unary.io);
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
