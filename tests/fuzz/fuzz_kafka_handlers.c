// SPDX-License-Identifier: Apache-2.0
/* Conversations of two Kafka clients with a real broker on a simulated machine: well-formed requests of every
 * key and version, their fields chosen by the input from what may mean something (lib/kafka_draw.h), sent at
 * once or after some time. Nothing may crash, every answer must decode at the version it was asked at, and
 * afterwards the broker still serves and shuts down in order. */
#include "base/assert.h"
#include "lib/kafka_draw.h"
#include "lib/kafka_world.h"
#include "lib/test.h"

#define CLIENTS      2
#define REQUESTS_MAX 40

struct asked {
    const struct kafka_api *api;
    int16_t version;
};

struct conversation {
    struct kafka_world world;
    struct kafka_world_client other;
    struct kafka_draw draw;
    struct asked asked[REQUESTS_MAX];
    int32_t asked_count;
};

static void take_answer(struct conversation *c, struct slice frame) {
    struct reader body;
    ASSERT(frame.size >= 4);
    uint32_t id = load_be32(frame.data);
    ASSERT(id < (uint32_t)c->asked_count);
    const struct asked *asked = &c->asked[id];
    int32_t received;
    void *message;
    ASSERT(kafka_read_response_header(frame, asked->api, asked->version, &received, &body) == STATUS_OK);
    enum status status = kafka_decode(asked->api, asked->api->response, asked->version, &body,
                                      &c->world.arena, &message);
    ASSERT(status == STATUS_OK && reader_remaining(&body) == 0);
    kafka_draw_learn(&c->draw, asked->api->response, message);
}

static void hear(struct conversation *c, struct kafka_world_client *client) {
    while (kafka_world_has_response(client)) {
        const uint8_t *start = client->in.data + client->taken;
        struct slice frame = slice_make(start + KAFKA_FRAME_PREFIX, load_be32(start));
        client->taken += KAFKA_FRAME_PREFIX + frame.size;
        take_answer(c, frame);
    }
    if (!client->closed) return;
    kafka_world_disconnect(&c->world, client);
    kafka_world_connect(&c->world, client);
}

static void ask(struct conversation *c, struct kafka_world_client *client) {
    const struct kafka_api *api = kafka_api_at(kafka_draw_byte(&c->draw) % KAFKA_API_COUNT);
    int16_t version = (int16_t)(api->first + kafka_draw_byte(&c->draw) % (api->last - api->first + 1));
    struct arena arena;
    arena_init(&arena, 4 * KIB);
    const void *message = kafka_draw_message(&c->draw, api->request, version, &arena);
    c->asked[c->asked_count] = (struct asked){api, version};
    kafka_world_send(client, api->key, version, c->asked_count++, message);
    arena_release(&arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint64_t pauses_ms[] = {0, 1, 5, 100, 3000, 15000, 40000, 100000};
    struct conversation c = {.asked_count = 0};
    kafka_world_open(&c.world, 1, false);
    kafka_world_connect(&c.world, &c.other);
    kafka_world_topic(&c.world, "t", 2);
    kafka_draw_init(&c.draw, slice_make(data, size));
    while (reader_remaining(&c.draw.bytes) != 0 && c.asked_count < REQUESTS_MAX) {
        uint8_t step = kafka_draw_byte(&c.draw);
        ask(&c, (step & 1) != 0 ? &c.other : &c.world.client);
        kafka_world_run(&c.world, pauses_ms[(step >> 1) % ARRAY_COUNT(pauses_ms)]);
        hear(&c, &c.world.client);
        hear(&c, &c.other);
    }
    kafka_world_run(&c.world, 1000);
    kafka_world_disconnect(&c.world, &c.other);
    kafka_world_disconnect(&c.world, &c.world.client);
    kafka_world_connect(&c.world, &c.world.client);
    struct kafka_api_versions_request versions;
    kafka_message_init(&kafka_schema_api_versions_request, &versions);
    const struct kafka_api_versions_response *response = kafka_world_call(&c.world, KAFKA_API_VERSIONS, 2,
                                                                          &versions);
    ASSERT(response->error_code == 0 && response->api_keys_count == (int32_t)KAFKA_API_COUNT);
    kafka_draw_release(&c.draw);
    kafka_world_close(&c.world);
    return 0;
}
