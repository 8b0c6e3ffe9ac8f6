// SPDX-License-Identifier: Apache-2.0
/* Clients that go away while what they asked for is under way, at any moment and whatever it is: nobody is
 * answered who is gone, nothing is left behind (kafka_world_close, and the sanitizer), and others are served. */
#include "lib/test.h"

#include "base/prng.h"
#include "lib/kafka_draw.h"
#include "lib/kafka_world.h"

#define LEAVERS      400
#define REQUESTS_MAX 4
#define DRAWN_BYTES  2000

static struct kafka_world world;

struct leaver {
    struct kafka_world_client client;
    struct kafka_draw draw;
    struct {
        const struct kafka_api *api;
        int16_t version;
    } asked[REQUESTS_MAX];
    int32_t asked_count;
};

static void ask(struct leaver *leaver) {
    const struct kafka_api *api = kafka_api_at(kafka_draw_byte(&leaver->draw) % KAFKA_API_COUNT);
    int16_t version = (int16_t)(api->first + kafka_draw_byte(&leaver->draw) % (api->last - api->first + 1));
    struct arena arena;
    arena_init(&arena, 4 * KIB);
    const void *message = kafka_draw_message(&leaver->draw, api->request, version, &arena);
    leaver->asked[leaver->asked_count].api = api;
    leaver->asked[leaver->asked_count].version = version;
    kafka_world_send(&leaver->client, api->key, version, leaver->asked_count++, message);
    arena_release(&arena);
}

/* What it was told before it went is worth something to the next one: member ids, epochs, topic ids. */
static uint32_t learn(struct leaver *leaver) {
    uint32_t answers = 0;
    for (; kafka_world_has_response(&leaver->client); answers++) {
        const uint8_t *start = leaver->client.in.data + leaver->client.taken;
        struct slice frame = slice_make(start + KAFKA_FRAME_PREFIX, load_be32(start));
        leaver->client.taken += KAFKA_FRAME_PREFIX + frame.size;
        uint32_t id = load_be32(frame.data);
        assert_in_range(id, 0, leaver->asked_count - 1);
        const struct kafka_api *api = leaver->asked[id].api;
        int32_t received;
        struct reader body;
        void *message;
        assert_status(kafka_read_response_header(frame, api, leaver->asked[id].version, &received, &body),
                      STATUS_OK);
        assert_status(
            kafka_decode(api, api->response, leaver->asked[id].version, &body, &world.arena, &message),
            STATUS_OK);
        kafka_draw_learn(&leaver->draw, api->response, message);
    }
    return answers;
}

static void who_asked_may_go_away_at_any_moment(void **state) {
    (void)state;
    static struct leaver leaver;
    uint8_t bytes[DRAWN_BYTES];
    struct prng prng;
    prng_init(&prng, 1);
    kafka_world_open(&world, 21, false);
    kafka_world_topic(&world, "t", 2);
    io_sim_disk_faults(world.sim, 0)->slow_factor = 20;
    kafka_draw_init(&leaver.draw, SLICE_EMPTY);
    uint32_t unanswered = 0, answered = 0;
    for (int i = 0; i < LEAVERS; i++) {
        prng_bytes(&prng, bytes, sizeof bytes);
        leaver.draw.bytes = reader_make(slice_make(bytes, sizeof bytes));
        leaver.asked_count = 0;
        kafka_world_connect(&world, &leaver.client);
        uint32_t answers = 0;
        for (uint64_t count = prng_range(&prng, 1, REQUESTS_MAX); count > 0; count--) {
            ask(&leaver);
            io_sim_run_until(world.sim, io_sim_now(world.sim) + prng_below(&prng, 400) * NS_PER_US);
            answers += learn(&leaver);
        }
        answered += answers;
        unanswered += (uint32_t)leaver.asked_count - answers;
        kafka_world_disconnect(&world, &leaver.client);
        if (world.client.closed) fail_msg("a client that did nothing was sent away");
    }
    assert_true(answered > LEAVERS / 2 && unanswered > LEAVERS / 5);
    kafka_draw_release(&leaver.draw);
    struct kafka_api_versions_request versions;
    kafka_message_init(&kafka_schema_api_versions_request, &versions);
    const struct kafka_api_versions_response *response = kafka_world_call(&world, KAFKA_API_VERSIONS, 2,
                                                                          &versions);
    assert_int_equal(response->error_code, 0);
    kafka_world_close(&world);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(who_asked_may_go_away_at_any_moment)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
