// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_kafka.h"

#include "base/mem.h"

#define IN_SIZE        (64 * KIB)
#define SLICES         32
#define ANSWER_SECONDS 60
#define FRAME_MAX      (64 * MIB)

struct bench_kafka {
    struct io *io;
    struct io_socket *socket;
    struct io_op receive, send;
    bool sending;
    struct chain out;
    struct slice slices[SLICES];
    size_t sending_size;
    uint8_t *in;
    size_t capacity, filled;
    struct arena arena;
    struct {
        const struct kafka_api *api;
        int16_t version;
        bench_kafka_answer *answer;
        void *ctx;
    } asked[BENCH_KAFKA_WINDOW]; /* a ring */
    uint64_t asked_count, answered_count;
    const void *called;
};

static void pump(struct bench_kafka *kafka);

static void sent(struct io_op *op) {
    struct bench_kafka *kafka = CONTAINER_OF(op, struct bench_kafka, send);
    if (op->status != STATUS_OK) bench_fail("sending", status_text(op->status));
    kafka->sending = false;
    chain_consume(&kafka->out, kafka->sending_size);
    pump(kafka);
}

static void pump(struct bench_kafka *kafka) {
    if (kafka->sending || kafka->out.size == 0) return;
    size_t count = chain_peek(&kafka->out, kafka->slices, SLICES);
    kafka->sending_size = 0;
    for (size_t i = 0; i < count; i++)
        kafka->sending_size += kafka->slices[i].size;
    kafka->sending = true;
    kafka->send = (struct io_op){.done = sent};
    io_send(kafka->socket, &kafka->send, kafka->slices, (uint32_t)count);
}

static void take(struct bench_kafka *kafka, struct slice frame) {
    if (kafka->answered_count == kafka->asked_count) bench_fail("Kafka", "an answer that nobody asked for");
    uint64_t at = kafka->answered_count++ % BENCH_KAFKA_WINDOW;
    const struct kafka_api *api = kafka->asked[at].api;
    struct reader body;
    int32_t id;
    void *response;
    arena_clear(&kafka->arena);
    if (kafka_read_response_header(frame, api, kafka->asked[at].version, &id, &body) != STATUS_OK ||
        kafka_decode(api, api->response, kafka->asked[at].version, &body, &kafka->arena, &response) !=
            STATUS_OK)
        bench_fail(api->name, "a malformed answer");
    kafka->asked[at].answer(kafka->asked[at].ctx, response);
}

static void receive(struct bench_kafka *kafka);

static void received(struct io_op *op) {
    struct bench_kafka *kafka = CONTAINER_OF(op, struct bench_kafka, receive);
    if (op->status == STATUS_CANCELLED) return;
    if (op->status != STATUS_OK || op->result == 0)
        bench_fail("receiving", "the broker closed the connection");
    kafka->filled += op->result;
    size_t taken = 0, need = 0;
    while (kafka->filled - taken >= KAFKA_FRAME_PREFIX) {
        need = KAFKA_FRAME_PREFIX + (size_t)load_be32(kafka->in + taken);
        if (need > FRAME_MAX) bench_fail("Kafka", "an answer of absurd length");
        if (kafka->filled - taken < need) break;
        take(kafka, slice_make(kafka->in + taken + KAFKA_FRAME_PREFIX, need - KAFKA_FRAME_PREFIX));
        taken += need;
        need = 0;
    }
    if (taken != 0) memmove(kafka->in, kafka->in + taken, kafka->filled - taken);
    kafka->filled -= taken;
    if (need > kafka->capacity) kafka->in = mem_realloc(kafka->in, kafka->capacity = need);
    receive(kafka);
}

static void receive(struct bench_kafka *kafka) {
    kafka->receive = (struct io_op){.done = received};
    io_recv(kafka->socket, &kafka->receive, kafka->in + kafka->filled, kafka->capacity - kafka->filled);
}

struct bench_kafka *bench_kafka_open(struct io *io, const char *address) {
    struct bench_kafka *kafka = mem_calloc(1, sizeof *kafka);
    kafka->io = io;
    kafka->socket = bench_connect(io, address);
    kafka->in = mem_alloc(kafka->capacity = IN_SIZE);
    chain_init(&kafka->out);
    arena_init(&kafka->arena, 16 * KIB);
    receive(kafka);
    return kafka;
}

void bench_kafka_close(struct bench_kafka *kafka) {
    io_socket_close(kafka->socket);
    io_turn(kafka->io, 0); /* what was cancelled */
    chain_release(&kafka->out);
    arena_release(&kafka->arena);
    mem_free(kafka->in);
    mem_free(kafka);
}

void bench_kafka_ask(struct bench_kafka *kafka, int16_t key, int16_t version, const void *request,
                     bench_kafka_answer *answer, void *ctx) {
    if (bench_kafka_under_way(kafka) == BENCH_KAFKA_WINDOW)
        bench_fail("Kafka", "too many requests under way");
    uint64_t at = kafka->asked_count++ % BENCH_KAFKA_WINDOW;
    kafka->asked[at].api = kafka_api_find(key);
    kafka->asked[at].version = version;
    kafka->asked[at].answer = answer;
    kafka->asked[at].ctx = ctx;
    kafka_encode_request(kafka->asked[at].api, version, (int32_t)at, SLICE_LITERAL("bench"), request,
                         &kafka->out);
    pump(kafka);
}

static void called(void *ctx, const void *response) {
    struct bench_kafka *kafka = ctx;
    kafka->called = response;
}

const void *bench_kafka_call(struct bench_kafka *kafka, int16_t key, int16_t version, const void *request) {
    kafka->called = NULL;
    bench_kafka_ask(kafka, key, version, request, called, kafka);
    uint64_t began_ns = io_clock_ns(kafka->io);
    while (kafka->called == NULL) {
        io_turn(kafka->io, NS_PER_S);
        if (io_clock_ns(kafka->io) - began_ns > ANSWER_SECONDS * NS_PER_S)
            bench_fail(kafka_api_find(key)->name, "no answer for a minute");
    }
    return kafka->called;
}

uint32_t bench_kafka_under_way(const struct bench_kafka *kafka) {
    return (uint32_t)(kafka->asked_count - kafka->answered_count);
}
