// SPDX-License-Identifier: Apache-2.0
/* A rebalance storm: 200 members of one group on a real broker on the simulated machine, joining, leaving and
 * dying at random; afterwards no partition is stuck and every member has its share.
 *
 *   test_group_storm [SECONDS]     simulated; the default is short */
#include <stdio.h>
#include <stdlib.h>

#include "broker/coordinator.h"
#include "lib/broker_world.h"
#include "lib/test.h"

#define MEMBERS    200
#define PARTITIONS 600
#define BEAT_MS    300

struct member {
    struct group_call call;
    struct io_timer timer;
    char id[32];
    int32_t epoch, lives;
    bool in, failed;
    struct group_partition *owned;
    uint32_t owned_count, index;
    struct storm *storm;
};
struct storm {
    struct broker_world world;
    struct prng prng;
    bool calm;
    uint64_t beats, joins;
    struct member members[MEMBERS];
};

static void beat(struct member *m, int32_t epoch) {
    struct storm *s = m->storm;
    struct slice topic = SLICE_LITERAL("t");
    bool joins = epoch == GROUP_EPOCH_JOIN;
    if (joins) {
        snprintf(m->id, sizeof m->id, "m%u-%d", m->index, m->lives++);
        m->owned_count = 0;
        s->joins++;
    }
    const struct group_consumer_beat request = {.group = SLICE_LITERAL("g"),
                                                .member_id = slice_from_text(m->id),
                                                .epoch = epoch,
                                                .rebalance_timeout_ms = joins ? 3000 : -1,
                                                .has_topics = joins,
                                                .has_owned = true,
                                                .topics = &topic,
                                                .topic_count = 1,
                                                .owned = m->owned,
                                                .owned_count = m->owned_count};
    bool changed;
    s->beats++;
    coordinator_beat(s->world.broker, &m->call, &request, &changed);
}

static void answered(struct group_call *call, const struct group_reply *reply) {
    struct member *m = CONTAINER_OF(call, struct member, call);
    m->failed = reply->status != STATUS_OK;
    m->in = reply->member != NULL;
    if (reply->member == NULL) return;
    m->epoch = reply->member->epoch;
    m->owned_count = reply->member->assigned.count;
    if (m->owned_count != 0)
        memcpy(m->owned, reply->member->assigned.list, m->owned_count * sizeof *m->owned);
}

static void pause_then_beat(struct member *m, uint64_t ms) {
    struct io *io = m->storm->world.io;
    io_timer_set(io, &m->timer, io_now_ns(io) + ms * NS_PER_MS);
}

static void done(struct group_call *call) {
    struct member *m = CONTAINER_OF(call, struct member, call);
    assert_status(call->status, STATUS_OK);
    if (m->failed) m->in = false;
    pause_then_beat(m, prng_range(&m->storm->prng, BEAT_MS / 2, BEAT_MS));
}

static void fired(struct io_timer *timer) {
    struct member *m = CONTAINER_OF(timer, struct member, timer);
    struct storm *s = m->storm;
    if (!m->in) {
        beat(m, GROUP_EPOCH_JOIN);
    } else if (!s->calm && prng_chance(&s->prng, 1, 20)) {
        beat(m, GROUP_EPOCH_LEAVE);
    } else if (!s->calm && prng_chance(&s->prng, 1, 40)) {
        m->in = false; /* dies without a word, and comes back as somebody else */
        pause_then_beat(m, 500);
    } else {
        beat(m, m->epoch);
    }
}

static void check_rest(struct storm *s) {
    uint32_t owners[PARTITIONS] = {0};
    for (uint32_t i = 0; i < MEMBERS; i++) {
        const struct member *m = &s->members[i];
        assert_true(m->in);
        assert_int_equal(m->owned_count, PARTITIONS / MEMBERS);
        for (uint32_t p = 0; p < m->owned_count; p++)
            owners[m->owned[p].partition]++;
    }
    for (uint32_t p = 0; p < PARTITIONS; p++)
        assert_int_equal(owners[p], 1);
}

static uint64_t seconds = 5;

static void nothing_is_stuck_after_a_storm(void **state) {
    (void)state;
    struct storm *s = test_calloc(1, sizeof *s);
    prng_init(&s->prng, 11);
    broker_world_open(&s->world, 11);
    s->world.options.groups.consumer_session_ms = 2000;
    broker_world_restart(&s->world);
    assert_status(broker_world_create(&s->world, "t", PARTITIONS, NULL), STATUS_OK);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        struct member *m = &s->members[i];
        m->storm = s;
        m->index = i;
        m->owned = test_calloc(PARTITIONS, sizeof *m->owned);
        m->call = (struct group_call){.answer = answered, .done = done};
        io_timer_init(&m->timer, fired);
        pause_then_beat(m, prng_below(&s->prng, 500));
    }
    broker_world_run(&s->world, seconds * 1000);
    s->calm = true;
    broker_world_run(&s->world, 12000); /* a session, a rebalance, and the heartbeats between */
    check_rest(s);
    printf("%llu heartbeats, %llu joins in %llu s\n", (unsigned long long)s->beats,
           (unsigned long long)s->joins, (unsigned long long)seconds);
    for (uint32_t i = 0; i < MEMBERS; i++) {
        coordinator_cancel(&s->members[i].call);
        io_timer_cancel(s->world.io, &s->members[i].timer);
        test_free(s->members[i].owned);
    }
    broker_world_close(&s->world);
    test_free(s);
}

int main(int argc, char **argv) {
    if (argc > 1) seconds = strtoull(argv[1], NULL, 10);
    const struct CMUnitTest tests[] = {cmocka_unit_test(nothing_is_stuck_after_a_storm)};
    return cmocka_run_group_tests_name("group_storm", tests, NULL, NULL);
}
