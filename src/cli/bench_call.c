// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_call.h"

#include <stdio.h>
#include <string.h>

#include "base/arena.h"
#include "base/chain.h"
#include "base/mem.h"
#include "cli/bench_broker_io.h"
#include "wire/kafka_codec.h"

#define PRODUCE_VERSION  7
#define METADATA_VERSION 7
#define CREATE_VERSION   4
#define CLIENT_ID        SLICE_LITERAL("bench")
#define ANSWER_MS        10000
#define SLICES           16
#define FRAME_MAX        (64 * MIB)
#define TOPIC_EXISTS     36 /* TOPIC_ALREADY_EXISTS */

struct waiting {
    struct io_op op;
    bool done;
};

static void op_done(struct io_op *op) {
    CONTAINER_OF(op, struct waiting, op)->done = true;
}

/* An operation that takes too long ends with its socket. */
static bool wait_for(struct bench_call *call, struct waiting *waiting, uint64_t deadline_ns) {
    while (!waiting->done) {
        uint64_t now = io_clock_ns(call->io);
        if (now >= deadline_ns && call->socket != NULL) {
            io_socket_close(call->socket);
            call->socket = NULL;
        }
        io_turn(call->io, now < deadline_ns ? deadline_ns - now : NS_PER_MS);
    }
    return waiting->op.status == STATUS_OK;
}

bool bench_call_open(struct bench_call *call, const char *address) {
    *call = (struct bench_call){.io = bench_io_new()};
    struct waiting waiting = {.op.done = op_done};
    io_connect(call->io, &waiting.op, address, &call->socket); /* to be closed also when nobody is there */
    return wait_for(call, &waiting, UINT64_MAX);
}

void bench_call_close(struct bench_call *call) {
    if (call->socket != NULL) io_socket_close(call->socket);
    io_turn(call->io, 0);
    io_free(call->io);
    *call = (struct bench_call){0};
}

static bool send_all(struct bench_call *call, struct chain *bytes, uint64_t deadline_ns) {
    while (bytes->size > 0) {
        struct slice slices[SLICES];
        uint32_t count = (uint32_t)chain_peek(bytes, slices, SLICES);
        size_t size = 0;
        for (uint32_t i = 0; i < count; i++)
            size += slices[i].size;
        struct waiting waiting = {.op.done = op_done};
        io_send(call->socket, &waiting.op, slices, count);
        if (!wait_for(call, &waiting, deadline_ns)) return false;
        chain_consume(bytes, size);
    }
    return true;
}

static bool receive_exactly(struct bench_call *call, uint8_t *to, size_t size, uint64_t deadline_ns) {
    while (size > 0) {
        struct waiting waiting = {.op.done = op_done};
        io_recv(call->socket, &waiting.op, to, size);
        if (!wait_for(call, &waiting, deadline_ns) || waiting.op.result == 0) return false;
        to += waiting.op.result;
        size -= waiting.op.result;
    }
    return true;
}

static bool ask(struct bench_call *call, int16_t key, int16_t version, const void *request,
                struct arena *arena, void **response, uint64_t limit_ms) {
    if (call->socket == NULL) return false;
    const struct kafka_api *api = kafka_api_find(key);
    uint64_t deadline_ns = io_clock_ns(call->io) + limit_ms * NS_PER_MS;
    struct chain bytes;
    chain_init(&bytes);
    kafka_encode_request(api, version, 1, CLIENT_ID, request, &bytes);
    bool good = send_all(call, &bytes, deadline_ns);
    chain_release(&bytes);
    uint8_t prefix[KAFKA_FRAME_PREFIX];
    if (!good || !receive_exactly(call, prefix, sizeof prefix, deadline_ns)) return false;
    size_t size = load_be32(prefix);
    if (size > FRAME_MAX) bench_fail(api->name, "an answer of absurd length");
    uint8_t *frame = arena_alloc(arena, size);
    if (!receive_exactly(call, frame, size, deadline_ns)) return false;
    struct reader body;
    int32_t id;
    if (kafka_read_response_header(slice_make(frame, size), api, version, &id, &body) != STATUS_OK ||
        kafka_decode(api, api->response, version, &body, arena, response) != STATUS_OK)
        bench_fail(api->name, "a malformed answer");
    return true;
}

/* ---- questions ---------------------------------------------------------------------------------------- */

static bool leaders_of(const struct kafka_metadata_response *answer, int32_t count,
                       char (*leaders)[BENCH_ADDRESS_SIZE]) {
    if (answer->topics_count != 1 || answer->topics[0].partitions_count != count) return false;
    int32_t known = 0;
    for (int32_t i = 0; i < count; i++) {
        const struct kafka_metadata_response_partition *partition = &answer->topics[0].partitions[i];
        for (int32_t k = 0; k < answer->brokers_count && partition->error_code == 0; k++) {
            const struct kafka_metadata_response_broker *broker = &answer->brokers[k];
            if (broker->node_id != partition->leader_id || partition->partition_index >= count) continue;
            snprintf(leaders[partition->partition_index], BENCH_ADDRESS_SIZE, "%.*s:%d",
                     (int)MIN(broker->host.size, (size_t)40), (const char *)broker->host.data, broker->port);
            known++;
        }
    }
    return known == count;
}

bool bench_call_leaders(const char *address, const char *topic, int32_t count,
                        char (*leaders)[BENCH_ADDRESS_SIZE]) {
    struct bench_call call;
    struct arena arena;
    arena_init(&arena, 64 * KIB);
    struct kafka_metadata_request_topic asked;
    kafka_message_init(&kafka_schema_metadata_request_topic, &asked);
    asked.name = slice_from_text(topic);
    struct kafka_metadata_request request;
    kafka_message_init(&kafka_schema_metadata_request, &request);
    request.topics = &asked;
    request.topics_count = 1;
    request.allow_auto_topic_creation = false;
    void *answer;
    bool good = bench_call_open(&call, address) &&
                ask(&call, KAFKA_METADATA, METADATA_VERSION, &request, &arena, &answer, ANSWER_MS) &&
                leaders_of(answer, count, leaders);
    bench_call_close(&call);
    arena_release(&arena);
    return good;
}

bool bench_call_create_topic(const char *address, const char *topic, int32_t partitions, int16_t replicas) {
    struct bench_call call;
    struct arena arena;
    arena_init(&arena, 4 * KIB);
    struct kafka_create_topics_request_topic asked;
    kafka_message_init(&kafka_schema_create_topics_request_topic, &asked);
    asked.name = slice_from_text(topic);
    asked.num_partitions = partitions;
    asked.replication_factor = replicas;
    struct kafka_create_topics_request request;
    kafka_message_init(&kafka_schema_create_topics_request, &request);
    request.topics = &asked;
    request.topics_count = 1;
    request.timeout_ms = ANSWER_MS;
    void *answer;
    bool good = bench_call_open(&call, address) &&
                ask(&call, KAFKA_CREATE_TOPICS, CREATE_VERSION, &request, &arena, &answer, ANSWER_MS);
    const struct kafka_create_topics_response *response = good ? answer : NULL;
    good = good && response->topics_count == 1 &&
           (response->topics[0].error_code == 0 || response->topics[0].error_code == TOPIC_EXISTS);
    bench_call_close(&call);
    arena_release(&arena);
    return good;
}

bool bench_call_produce(struct bench_call *call, const char *topic, int32_t partition, struct slice batch,
                        uint64_t limit_ms) {
    struct arena arena;
    arena_init(&arena, 4 * KIB);
    struct kafka_produce_request_partition data = {.index = partition, .records = {.bytes = batch}};
    struct kafka_produce_request_topic topics = {
        .name = slice_from_text(topic), .partition_data = &data, .partition_data_count = 1};
    struct kafka_produce_request request = {
        .acks = -1, .timeout_ms = ANSWER_MS, .topic_data = &topics, .topic_data_count = 1};
    void *answer;
    bool good = ask(call, KAFKA_PRODUCE, PRODUCE_VERSION, &request, &arena, &answer, limit_ms);
    const struct kafka_produce_response *response = good ? answer : NULL;
    good = good && response->responses_count == 1 && response->responses[0].partition_responses_count == 1 &&
           response->responses[0].partition_responses[0].error_code == 0;
    arena_release(&arena);
    return good;
}
