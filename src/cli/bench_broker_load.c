// SPDX-License-Identifier: Apache-2.0
/* Load over Kafka's protocol, and the figures of /metrics. gRPC: bench_broker_grpc.c. */
#include "cli/bench_broker_load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/prng.h"
#include "cli/bench_broker_io.h"
#include "wire/kafka_codec.h"
#include "wire/record_batch.h"

#define PRODUCE_VERSION 7
#define FETCH_VERSION   11
#define CREATE_VERSION  4
#define WINDOW_MAX      64
#define IN_SIZE         (256 * KIB)
#define FETCH_BYTES     (4 * MIB)
#define ANSWER_SECONDS  60
#define RATE_TURN_NS    (100 * NS_PER_US)
#define CLIENT_ID       SLICE_LITERAL("bench")

struct run;
/* One connection. */
struct link {
    struct run *run;
    struct io_socket *socket;
    struct io_op receive, send;
    bool sending;
    int32_t partition;
    uint8_t *in;
    size_t capacity, filled, taken;
    struct buffer *request; /* produce: the same again and again */
    struct chain out;       /* fetch: the one under way */
    struct slice slices[WINDOW_MAX];
    uint32_t slice_count;
    uint64_t asked_ns[WINDOW_MAX]; /* of the requests under way, in a ring */
    uint64_t sent, answered;
    int64_t offset;
    bool ended;
};

struct run {
    struct broker_load *load;
    struct io *io;
    const struct kafka_api *api;
    int16_t version;
    uint64_t requests_left; /* produce: to be sent */
    uint64_t began_ns;      /* produce at a rate */
    uint32_t links_open;
    struct arena arena; /* of one answer */
    void (*answer)(struct link *link, void *response);
    void (*next)(struct link *link); /* asks for more, when it may */
    struct link *links;
};

/* ---- connections -------------------------------------------------------------------------------------- */

static void receive(struct link *link);

static void sent(struct io_op *op) {
    struct link *link = CONTAINER_OF(op, struct link, send);
    if (op->status != STATUS_OK) bench_fail("sending", status_text(op->status));
    link->sending = false;
    link->run->next(link);
}

/* When the next request of this link is due, at a rate. */
static uint64_t due_ns(const struct link *link) {
    const struct broker_load *load = link->run->load;
    double requests_a_second = load->rate / load->batch_records / load->connections;
    return link->run->began_ns + (uint64_t)((double)link->sent / requests_a_second * 1e9);
}

static void send_requests(struct link *link, uint32_t count) {
    uint64_t now_ns = io_clock_ns(link->run->io);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t asked_ns = link->run->load->rate > 0 ? due_ns(link) : now_ns;
        link->asked_ns[link->sent++ % WINDOW_MAX] = asked_ns;
    }
    link->sending = true;
    link->send.done = sent;
    io_send(link->socket, &link->send, link->slices, link->slice_count);
}

static void take_answer(struct link *link, struct slice frame) {
    struct run *run = link->run;
    struct reader body;
    int32_t id;
    void *response;
    arena_clear(&run->arena);
    if (kafka_read_response_header(frame, run->api, run->version, &id, &body) != STATUS_OK ||
        kafka_decode(run->api, run->api->response, run->version, &body, &run->arena, &response) != STATUS_OK)
        bench_fail(run->api->name, "a malformed answer");
    if (link->answered == link->sent) bench_fail(run->api->name, "an answer that nobody asked for");
    histogram_add(&run->load->latency_ns,
                  io_clock_ns(run->io) - link->asked_ns[link->answered++ % WINDOW_MAX]);
    run->answer(link, response);
}

static void take_answers(struct link *link) {
    size_t need = 0;
    while (link->filled - link->taken >= KAFKA_FRAME_PREFIX) {
        const uint8_t *at = link->in + link->taken;
        need = KAFKA_FRAME_PREFIX + (size_t)load_be32(at);
        if (need > 64 * MIB) bench_fail(link->run->api->name, "an answer of absurd length");
        if (link->filled - link->taken < need) break;
        take_answer(link, slice_make(at + KAFKA_FRAME_PREFIX, need - KAFKA_FRAME_PREFIX));
        link->taken += need;
        need = 0;
    }
    if (link->taken != 0) memmove(link->in, link->in + link->taken, link->filled - link->taken);
    link->filled -= link->taken;
    link->taken = 0;
    if (need > link->capacity) link->in = mem_realloc(link->in, link->capacity = need);
}

static void received(struct io_op *op) {
    struct link *link = CONTAINER_OF(op, struct link, receive);
    if (op->status == STATUS_CANCELLED) return;
    if (op->status != STATUS_OK || op->result == 0)
        bench_fail("receiving", "the broker closed the connection");
    link->filled += op->result;
    take_answers(link);
    if (!link->sending) link->run->next(link);
    receive(link);
}

static void receive(struct link *link) {
    link->receive.done = received;
    io_recv(link->socket, &link->receive, link->in + link->filled, link->capacity - link->filled);
}

static void link_open(struct run *run, uint32_t index) {
    struct link *link = &run->links[index];
    link->run = run;
    link->partition = (int32_t)index;
    link->socket = bench_connect(run->io,
                                 run->load->leaders != NULL ? run->load->leaders[index] : run->load->address);
    link->capacity = IN_SIZE;
    link->in = mem_alloc(IN_SIZE);
    chain_init(&link->out);
    run->links_open++;
}

static void link_end(struct link *link) {
    if (link->ended) return;
    link->ended = true;
    link->run->links_open--;
}

static void run_links(struct run *run) {
    struct broker_load *load = run->load;
    histogram_init(&load->latency_ns);
    load->records_done = load->value_bytes_done = 0;
    arena_init(&run->arena, 64 * KIB);
    for (uint32_t i = 0; i < load->connections; i++) {
        receive(&run->links[i]);
        run->next(&run->links[i]);
    }
    uint64_t done = 0, progress_ns = io_clock_ns(run->io);
    while (run->links_open > 0) {
        io_turn(run->io, load->rate > 0 ? RATE_TURN_NS : NS_PER_S);
        for (uint32_t i = 0; load->rate > 0 && i < load->connections; i++)
            if (!run->links[i].sending) run->next(&run->links[i]);
        if (load->records_done != done) progress_ns = io_clock_ns(run->io);
        done = load->records_done;
        if (io_clock_ns(run->io) - progress_ns > ANSWER_SECONDS * NS_PER_S)
            bench_fail(run->api->name, "no answer for a minute");
    }
    for (uint32_t i = 0; i < load->connections; i++)
        io_socket_close(run->links[i].socket);
    io_turn(run->io, 0); /* what was cancelled */
    for (uint32_t i = 0; i < load->connections; i++) {
        mem_free(run->links[i].in);
        buffer_unref(run->links[i].request);
        chain_release(&run->links[i].out);
    }
    mem_free(run->links);
    arena_release(&run->arena);
    io_free(run->io);
}

static struct run run_new(struct broker_load *load, int16_t key, int16_t version) {
    struct run run = {.load = load, .io = bench_io_new(), .api = kafka_api_find(key), .version = version};
    if (load->window > WINDOW_MAX) bench_fail(run.api->name, "too many requests under way");
    run.links = mem_calloc(load->connections, sizeof *run.links);
    return run;
}

/* ---- produce ------------------------------------------------------------------------------------------ */

static struct buffer *make_batch(const struct broker_load *load, uint64_t seed) {
    struct prng prng;
    prng_init(&prng, seed);
    struct record_batch_builder builder;
    record_batch_begin(&builder);
    uint8_t *value = mem_alloc(load->value_bytes);
    for (uint32_t i = 0; i < load->batch_records; i++) {
        prng_bytes(&prng, value, load->value_bytes);
        record_batch_add(&builder, io_system_wall_ms(), SLICE_EMPTY, slice_make(value, load->value_bytes),
                         NULL, 0);
    }
    mem_free(value);
    struct record_batch_producer nobody = {-1, -1, -1};
    struct buffer *batch = record_batch_finish(&builder, CODEC_NONE, &nobody);
    record_batch_builder_release(&builder);
    return batch;
}

static struct buffer *make_produce(const struct run *run, int32_t index) {
    struct buffer *batch = make_batch(run->load, (uint64_t)index + 1);
    struct kafka_produce_request_partition partition = {
        .index = index, .records = {.bytes = slice_make(batch->data, batch->size)}};
    struct kafka_produce_request_topic topic = {
        .name = slice_from_text(run->load->topic), .partition_data = &partition, .partition_data_count = 1};
    struct kafka_produce_request request = {
        .acks = -1, .timeout_ms = 30000, .topic_data = &topic, .topic_data_count = 1};
    struct chain bytes;
    chain_init(&bytes);
    kafka_encode_request(run->api, run->version, 1, CLIENT_ID, &request, &bytes);
    struct buffer *flat = chain_flatten(&bytes);
    chain_release(&bytes);
    buffer_unref(batch);
    return flat;
}

static void produced(struct link *link, void *message) {
    const struct kafka_produce_response *response = message;
    if (response->responses_count != 1 || response->responses[0].partition_responses_count != 1 ||
        response->responses[0].partition_responses[0].error_code != 0)
        bench_fail("Produce", "the broker refused a batch");
    struct broker_load *load = link->run->load;
    load->records_done += load->batch_records;
    load->value_bytes_done += (uint64_t)load->batch_records * load->value_bytes;
}

static void produce_next(struct link *link) {
    struct run *run = link->run;
    uint64_t under_way = link->sent - link->answered;
    if (run->requests_left == 0 && under_way == 0 && !link->sending) link_end(link);
    uint32_t count = (uint32_t)MIN(run->requests_left, run->load->window - under_way);
    if (run->load->rate > 0) count = count > 0 && due_ns(link) <= io_clock_ns(run->io) ? 1 : 0;
    if (link->sending || count == 0) return;
    run->requests_left -= count;
    for (uint32_t i = 0; i < count; i++)
        link->slices[i] = slice_make(link->request->data, link->request->size);
    link->slice_count = count;
    send_requests(link, count);
}

void broker_load_produce(struct broker_load *load) {
    struct run run = run_new(load, KAFKA_PRODUCE, PRODUCE_VERSION);
    run.answer = produced;
    run.next = produce_next;
    run.requests_left = load->records / load->batch_records;
    run.began_ns = io_clock_ns(run.io);
    for (uint32_t i = 0; i < load->connections; i++) {
        link_open(&run, i);
        run.links[i].request = make_produce(&run, (int32_t)i);
    }
    run_links(&run);
}

/* ---- fetch -------------------------------------------------------------------------------------------- */

static void fetch_next(struct link *link) {
    struct run *run = link->run;
    if (link->ended || link->sending || link->sent != link->answered) return;
    struct kafka_fetch_request_partition partition;
    kafka_message_init(&kafka_schema_fetch_request_partition, &partition);
    partition.partition = link->partition;
    partition.fetch_offset = link->offset;
    partition.partition_max_bytes = FETCH_BYTES;
    struct kafka_fetch_request_topic topic = {
        .topic = slice_from_text(run->load->topic), .partitions = &partition, .partitions_count = 1};
    struct kafka_fetch_request request;
    kafka_message_init(&kafka_schema_fetch_request, &request);
    request.max_wait_ms = 500;
    request.min_bytes = 1;
    request.max_bytes = FETCH_BYTES;
    request.topics = &topic;
    request.topics_count = 1;
    chain_release(&link->out);
    kafka_encode_request(run->api, run->version, 1, CLIENT_ID, &request, &link->out);
    link->slice_count = (uint32_t)chain_peek(&link->out, link->slices, WINDOW_MAX);
    send_requests(link, 1);
}

static void fetched(struct link *link, void *message) {
    const struct kafka_fetch_response *response = message;
    if (response->error_code != 0 || response->responses_count != 1 ||
        response->responses[0].partitions_count != 1 || response->responses[0].partitions[0].error_code != 0)
        bench_fail("Fetch", "the broker refused");
    const struct kafka_fetch_response_partition *partition = &response->responses[0].partitions[0];
    struct broker_load *load = link->run->load;
    struct slice rest = partition->records.bytes;
    struct record_batch batch;
    while (rest.size > 0 && record_batch_read_trusted(rest, &batch) == STATUS_OK) {
        if (batch.base_offset != link->offset) bench_fail("Fetch", "offsets are not dense");
        link->offset = record_batch_last_offset(&batch) + 1;
        load->records_done += (uint64_t)batch.record_count;
        load->value_bytes_done += (uint64_t)batch.record_count * load->value_bytes;
        rest = slice_make(rest.data + batch.bytes.size, rest.size - batch.bytes.size);
    }
    if (link->offset >= partition->high_watermark) link_end(link);
}

void broker_load_fetch(struct broker_load *load) {
    struct run run = run_new(load, KAFKA_FETCH, FETCH_VERSION);
    run.answer = fetched;
    run.next = fetch_next;
    for (uint32_t i = 0; i < load->connections; i++)
        link_open(&run, i);
    run_links(&run);
}

/* ---- a topic ------------------------------------------------------------------------------------------ */

static void created(struct link *link, void *message) {
    const struct kafka_create_topics_response *response = message;
    if (response->topics_count != 1 || response->topics[0].error_code != 0)
        bench_fail("CreateTopics", "the broker refused");
    link_end(link);
}

static void create_next(struct link *link) {
    struct run *run = link->run;
    if (link->sent > 0) return;
    struct kafka_create_topics_request_topic topic;
    kafka_message_init(&kafka_schema_create_topics_request_topic, &topic);
    topic.name = slice_from_text(run->load->topic);
    topic.num_partitions = (int32_t)run->load->records;
    topic.replication_factor = 1;
    struct kafka_create_topics_request request;
    kafka_message_init(&kafka_schema_create_topics_request, &request);
    request.topics = &topic;
    request.topics_count = 1;
    kafka_encode_request(run->api, run->version, 1, CLIENT_ID, &request, &link->out);
    link->slice_count = (uint32_t)chain_peek(&link->out, link->slices, WINDOW_MAX);
    send_requests(link, 1);
}

void broker_load_create_topic(const char *address, const char *topic, int32_t partitions) {
    struct broker_load load = {
        .address = address, .topic = topic, .connections = 1, .window = 1, .records = (uint64_t)partitions};
    struct run run = run_new(&load, KAFKA_CREATE_TOPICS, CREATE_VERSION);
    run.answer = created;
    run.next = create_next;
    link_open(&run, 0);
    run_links(&run);
}
