// SPDX-License-Identifier: Apache-2.0
#include "base/units.h"
#include "sim/churn.h"
#include "sim/kafka_requests.h"

#define PAUSE_NS   (80 * NS_PER_MS)
#define OFFSET_GEN 1000000 /* a committed offset tells the topic that it was meant for */

/* ---- requests ----------------------------------------------------------------------------------------- */

static void ask_coordinator(struct churn_group *g) {
    struct kafka_coordinator_ask coordinator;
    kafka_coordinator_ask(&coordinator, CHURN_GROUP, false);
    g->asking = GROUP_FIND;
    kafka_caller_ask(&g->caller, KAFKA_FIND_COORDINATOR, 4, &coordinator.request);
}

/* Without a member: an administrator does so. */
static void ask_commit(struct churn_group *g, uint32_t life) {
    struct kafka_offset_commit_request_partition partition;
    struct kafka_offset_commit_request_topic topic;
    struct kafka_offset_commit_request request;
    kafka_message_init(&kafka_schema_offset_commit_request_partition, &partition);
    kafka_message_init(&kafka_schema_offset_commit_request_topic, &topic);
    kafka_message_init(&kafka_schema_offset_commit_request, &request);
    g->life = life;
    g->committing = (int64_t)life * OFFSET_GEN + ++g->churn->commits;
    partition.committed_offset = g->committing;
    topic.topic_id = g->churn->topics.lives[life].id;
    topic.partitions = &partition;
    topic.partitions_count = 1;
    request.group_id = SLICE_LITERAL(CHURN_GROUP);
    request.topics = &topic;
    request.topics_count = 1;
    g->asking = GROUP_COMMIT;
    kafka_caller_ask(&g->caller, KAFKA_OFFSET_COMMIT, 10, &request);
}

static void ask_fetch(struct churn_group *g, bool by_id) {
    struct kafka_offset_fetch_request_topic topic;
    struct kafka_offset_fetch_request_group group;
    struct kafka_offset_fetch_request request;
    int32_t partition = 0;
    kafka_message_init(&kafka_schema_offset_fetch_request_topic, &topic);
    kafka_message_init(&kafka_schema_offset_fetch_request_group, &group);
    kafka_message_init(&kafka_schema_offset_fetch_request, &request);
    g->life = g->told.lives[g->name];
    topic.name = slice_from_text(churn_name(g->name));
    topic.topic_id = g->churn->topics.lives[g->life].id;
    topic.partition_indexes = &partition;
    topic.partition_indexes_count = 1;
    group.group_id = SLICE_LITERAL(CHURN_GROUP);
    group.topics = &topic;
    group.topics_count = 1;
    request.groups = &group;
    request.groups_count = 1;
    request.require_stable = true;
    g->asking = by_id ? GROUP_FETCH_BY_ID : GROUP_FETCH_BY_NAME;
    kafka_caller_ask(&g->caller, KAFKA_OFFSET_FETCH, by_id ? 10 : 9, &request);
}

/* ---- answers ------------------------------------------------------------------------------------------ */

static void again(struct churn_group *g) {
    g->coordinator = 0;
    kafka_caller_pause(&g->caller, PAUSE_NS);
}

static void take_committed(struct churn_group *g, const struct kafka_offset_commit_response *r) {
    struct churn *churn = g->churn;
    bool one = r->topics_count == 1 && r->topics[0].partitions_count == 1;
    if (!one || r->topics[0].partitions[0].error_code != 0) {
        again(g);
        return;
    }
    uint32_t now = g->told.lives[churn->topics.lives[g->life].name];
    if (topic_history_is_older(&churn->topics, g->life, now))
        history_violate(&churn->records,
                        "B13 committed offsets: an offset of topic %u is taken, by one who told of topic %u",
                        g->life, now);
    churn->committed[g->life] = MAX(churn->committed[g->life], g->committing);
}

static void take_fetched(struct churn_group *g, const struct kafka_offset_fetch_response *r) {
    struct churn *churn = g->churn;
    bool one = r->groups_count == 1 && r->groups[0].error_code == 0 && r->groups[0].topics_count == 1 &&
               r->groups[0].topics[0].partitions_count == 1 &&
               r->groups[0].topics[0].partitions[0].error_code == 0;
    if (!one) {
        again(g);
        return;
    }
    int64_t offset = r->groups[0].topics[0].partitions[0].committed_offset;
    uint32_t life = offset < 0 ? TOPIC_HISTORY_NONE : (uint32_t)(offset / OFFSET_GEN);
    bool other = g->asking == GROUP_FETCH_BY_ID ? life != g->life
                                                : topic_history_is_older(&churn->topics, life, g->life);
    if (life != TOPIC_HISTORY_NONE && (life >= churn->topics.life_count || other))
        history_violate(&churn->records,
                        "B13 committed offsets: of topic %u, an offset of topic %u is told, asked by %s",
                        g->life, life, g->asking == GROUP_FETCH_BY_ID ? "id" : "name");
    if (!churn->at_rest || churn->rest[g->name].life != g->life) return;
    if (churn->committed[g->life] > 0 && offset < churn->committed[g->life])
        history_violate(&churn->records,
                        "B13 committed offsets: topic %u is said to be at %lld, it was at %lld", g->life,
                        (long long)offset, (long long)churn->committed[g->life]);
    g->verified |= 1U << g->name;
}

static void answered(void *ctx, const void *message) {
    struct churn_group *g = ctx;
    switch (g->asking) {
    case GROUP_FIND:
        g->coordinator = kafka_coordinator_told(message, g->churn->node_count);
        if (g->coordinator == 0) kafka_caller_pause(&g->caller, PAUSE_NS);
        break;
    case GROUP_LOOK:
        churn_take_metadata(g->churn, &g->told, &g->caller, message);
        break;
    case GROUP_COMMIT:
        take_committed(g, message);
        break;
    case GROUP_FETCH_BY_ID:
    case GROUP_FETCH_BY_NAME:
        take_fetched(g, message);
        break;
    case GROUP_NOTHING:
        break;
    }
    g->asking = GROUP_NOTHING;
    g->churn->told(g->churn->ctx, NULL, false);
}

static void lost(void *ctx) {
    struct churn_group *g = ctx;
    g->coordinator = 0;
    g->asking = GROUP_NOTHING;
}

/* ---- what comes next ---------------------------------------------------------------------------------- */

/* One that was there before; or this one. */
static uint32_t some_life(struct churn_group *g) {
    uint32_t life = (uint32_t)prng_below(&g->caller.prng, g->churn->topics.life_count);
    return g->churn->topics.lives[life].name == g->name ? life : g->told.lives[g->name];
}

static void next(void *ctx) {
    struct churn_group *g = ctx;
    struct churn *churn = g->churn;
    if (churn->steady && (!churn->at_rest || g->verified == (1U << CHURN_NAMES) - 1)) return;
    uint32_t node = g->coordinator;
    if (node == 0) node = kafka_caller_node(&g->caller);
    if (node == 0) node = g->caller.attempts++ % churn->node_count + 1;
    if (!kafka_caller_at(&g->caller, node)) return;
    if (g->coordinator == 0) {
        ask_coordinator(g);
    } else if (!churn_knows(&g->told, &g->caller)) {
        g->name = (g->name + 1) % CHURN_NAMES;
        g->asking = GROUP_LOOK;
        churn_ask_metadata(&g->caller);
    } else if (g->told.lives[g->name] == TOPIC_HISTORY_NONE) {
        g->told.known = false;
        if (churn->at_rest && churn->rest[g->name].life == TOPIC_HISTORY_NONE) g->verified |= 1U << g->name;
        kafka_caller_pause(&g->caller, PAUSE_NS);
    } else if (churn->steady) {
        g->told.known = false;
        ask_fetch(g, true);
    } else if (prng_chance(&g->caller.prng, 1, 5)) {
        g->told.known = false;
        kafka_caller_pause(&g->caller, PAUSE_NS);
    } else if (prng_chance(&g->caller.prng, 1, 2)) {
        ask_commit(g, prng_chance(&g->caller.prng, 1, 3) ? some_life(g) : g->told.lives[g->name]);
    } else {
        ask_fetch(g, prng_chance(&g->caller.prng, 1, 2));
    }
}

static const struct kafka_caller_calls calls = {.next = next, .answered = answered, .lost = lost};

void churn_group_init(struct churn *churn, uint64_t seed) {
    churn->group.churn = churn;
    kafka_caller_init(&churn->group.caller, churn->io, seed, &calls, &churn->group);
}
