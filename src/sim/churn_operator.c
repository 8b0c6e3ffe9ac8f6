// SPDX-License-Identifier: Apache-2.0
#include <stdio.h>
#include <stdlib.h>

#include "base/units.h"
#include "sim/churn.h"
#include "sim/kafka_requests.h"

#define TICK_NS         (150 * NS_PER_MS) /* several change something at the same moments */
#define TICK_SPREAD_NS  (2 * NS_PER_MS)
#define SETTLE_NS       (6 * NS_PER_S) /* what was asked for before comes to its end */
#define SURVEY_NS       (200 * NS_PER_MS)
#define BROKER_WAIT_MS  3000
#define SETTING_BASE    1000000000000LL /* far from anything that would do something */
#define RESOURCE_TOPIC  2
#define DESCRIBE_CONFIG 1

enum {
    ERROR_NONE = 0,
    ERROR_UNKNOWN_TOPIC = 3,
    ERROR_EXISTS = 36,
    ERROR_PARTITIONS = 37,
    ERROR_REPLICATION = 38,
    ERROR_CONFIG = 40,
    ERROR_UNKNOWN_TOPIC_ID = 100
};

static const char *const setting_names[TOPIC_HISTORY_SETTINGS] = {"retention.ms", "delete.retention.ms"};

static void ask(struct churn_operator *o, enum churn_asking what, int16_t key, int16_t version,
                const void *request) {
    o->asking = what;
    kafka_caller_ask(&o->caller, key, version, request);
}

static void begin_change(struct churn_operator *o, enum topic_history_op op, uint32_t life, int64_t value) {
    o->change = topic_history_asks(&o->churn->topics, op, o->name, life, value, io_now_ns(o->churn->io));
}

/* ---- requests ----------------------------------------------------------------------------------------- */

static void ask_create(struct churn_operator *o) {
    struct kafka_create_ask create;
    int32_t partitions = 1 + (int32_t)prng_below(&o->caller.prng, CHURN_PARTITIONS - 1);
    kafka_create_ask(&create, churn_name(o->name), partitions, o->churn->node_count);
    begin_change(o, TOPIC_OP_CREATE, TOPIC_HISTORY_NONE, partitions);
    ask(o, CHURN_CREATE, KAFKA_CREATE_TOPICS, 7, &create.request);
}

/* By its name, or by an id that this operator was told of. */
static void ask_delete(struct churn_operator *o, uint32_t life) {
    struct kafka_delete_topics_request_topic topic;
    struct kafka_delete_topics_request request;
    kafka_message_init(&kafka_schema_delete_topics_request_topic, &topic);
    kafka_message_init(&kafka_schema_delete_topics_request, &request);
    if (life == TOPIC_HISTORY_NONE)
        topic.name = slice_from_text(churn_name(o->name));
    else
        topic.topic_id = o->churn->topics.lives[life].id;
    request.topics = &topic;
    request.topics_count = 1;
    request.timeout_ms = BROKER_WAIT_MS;
    begin_change(o, TOPIC_OP_DELETE, life, 0);
    ask(o, CHURN_DELETE, KAFKA_DELETE_TOPICS, 6, &request);
}

static void ask_widen(struct churn_operator *o) {
    struct kafka_create_partitions_request_topic topic;
    struct kafka_create_partitions_request request;
    kafka_message_init(&kafka_schema_create_partitions_request_topic, &topic);
    kafka_message_init(&kafka_schema_create_partitions_request, &request);
    topic.name = slice_from_text(churn_name(o->name));
    topic.count = 2 + (int32_t)prng_below(&o->caller.prng, CHURN_PARTITIONS - 1);
    topic.assignments_count = -1;
    request.topics = &topic;
    request.topics_count = 1;
    request.timeout_ms = BROKER_WAIT_MS;
    begin_change(o, TOPIC_OP_PARTITIONS, TOPIC_HISTORY_NONE, topic.count);
    ask(o, CHURN_WIDEN, KAFKA_CREATE_PARTITIONS, 3, &request);
}

static void ask_configure(struct churn_operator *o) {
    struct kafka_incremental_alter_configs_request_config config;
    struct kafka_incremental_alter_configs_request_resource resource;
    struct kafka_incremental_alter_configs_request request;
    kafka_message_init(&kafka_schema_incremental_alter_configs_request_config, &config);
    kafka_message_init(&kafka_schema_incremental_alter_configs_request_resource, &resource);
    kafka_message_init(&kafka_schema_incremental_alter_configs_request, &request);
    int64_t value = o->churn->settings++ * TOPIC_HISTORY_SETTINGS +
                    (int64_t)prng_below(&o->caller.prng, TOPIC_HISTORY_SETTINGS);
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)(SETTING_BASE + value));
    config.name = slice_from_text(setting_names[value % TOPIC_HISTORY_SETTINGS]);
    config.value = slice_from_text(text);
    resource.resource_type = RESOURCE_TOPIC;
    resource.resource_name = slice_from_text(churn_name(o->name));
    resource.configs = &config;
    resource.configs_count = 1;
    request.resources = &resource;
    request.resources_count = 1;
    begin_change(o, TOPIC_OP_CONFIG, TOPIC_HISTORY_NONE, value);
    ask(o, CHURN_CONFIGURE, KAFKA_INCREMENTAL_ALTER_CONFIGS, 1, &request);
}

static void ask_describe(struct churn_operator *o) {
    struct kafka_describe_configs_request_resource resources[CHURN_NAMES];
    struct kafka_describe_configs_request request;
    kafka_message_init(&kafka_schema_describe_configs_request, &request);
    for (uint32_t name = 0; name < CHURN_NAMES; name++) {
        kafka_message_init(&kafka_schema_describe_configs_request_resource, &resources[name]);
        resources[name].resource_type = RESOURCE_TOPIC;
        resources[name].resource_name = slice_from_text(churn_name(name));
        resources[name].configuration_keys_count = -1;
    }
    request.resources = resources;
    request.resources_count = CHURN_NAMES;
    ask(o, CHURN_DESCRIBE, KAFKA_DESCRIBE_CONFIGS, 4, &request);
}

static void look(struct churn_operator *o) {
    o->asking = CHURN_LOOK;
    churn_ask_metadata(&o->caller);
}

/* ---- answers ------------------------------------------------------------------------------------------ */

static bool is_definite(int16_t error) {
    return error == ERROR_UNKNOWN_TOPIC || error == ERROR_EXISTS || error == ERROR_PARTITIONS ||
           error == ERROR_REPLICATION || error == ERROR_CONFIG || error == ERROR_UNKNOWN_TOPIC_ID;
}

static void end_change(struct churn_operator *o, int16_t error, struct uuid id) {
    static const char *const verbs[] = {"", "", "made", "deleted", "widened", "configured", ""};
    struct churn *churn = o->churn;
    uint64_t now_ns = io_now_ns(churn->io);
    if (error == ERROR_NONE) {
        topic_history_done(&churn->topics, o->change, id, now_ns);
        char text[80];
        snprintf(text, sizeof text, "operator %u: %s is %s by node %u", o->index, churn_name(o->name),
                 verbs[o->asking], kafka_caller_node(&o->caller));
        churn->told(churn->ctx, text, true);
    } else if (is_definite(error)) {
        /* An id that is unknown says nothing of the name. */
        enum topic_history_met met = error == ERROR_EXISTS          ? TOPIC_MET_ONE
                                     : error == ERROR_UNKNOWN_TOPIC ? TOPIC_MET_NONE
                                                                    : TOPIC_MET_NOTHING;
        topic_history_refused(&churn->topics, o->change, met, now_ns);
    }
}

/* What a node tells at rest: of the settings, -1 while they are not known. */
static void take_survey(struct churn_operator *o) {
    for (uint32_t name = 0; name < CHURN_NAMES; name++)
        o->churn->survey[o->node].rest[name] = (struct topic_at_rest){
            .life = o->told.lives[name], .partitions = o->told.partitions[name], .settings = {-1, -1}};
}

static void take_described(struct churn_operator *o, const struct kafka_describe_configs_response *r) {
    struct churn *churn = o->churn;
    for (int32_t i = 0; i < MIN(r->results_count, (int32_t)CHURN_NAMES); i++) {
        const struct kafka_describe_configs_response_resource *resource = &r->results[i];
        struct topic_at_rest *rest = &churn->survey[o->node].rest[i];
        if (rest->life != TOPIC_HISTORY_NONE && resource->error_code != ERROR_NONE) return; /* again */
        for (int32_t k = 0; k < resource->configs_count; k++)
            for (uint32_t s = 0; s < TOPIC_HISTORY_SETTINGS; s++) {
                char text[32];
                struct slice value = resource->configs[k].value;
                snprintf(text, sizeof text, "%.*s", (int)value.size, (const char *)value.data);
                if (slice_equal(resource->configs[k].name, slice_from_text(setting_names[s])) &&
                    resource->configs[k].config_source == DESCRIBE_CONFIG)
                    rest->settings[s] = strtoll(text, NULL, 10) - SETTING_BASE;
            }
    }
    churn->survey[o->node].told = true;
}

static void answered(void *ctx, const void *message) {
    struct churn_operator *o = ctx;
    const struct kafka_create_topics_response *created = message;
    const struct kafka_delete_topics_response *deleted = message;
    const struct kafka_create_partitions_response *widened = message;
    const struct kafka_incremental_alter_configs_response *configured = message;
    switch (o->asking) {
    case CHURN_LOOK:
        churn_take_metadata(o->churn, &o->told, &o->caller, message);
        if (o->churn->steady) take_survey(o);
        break;
    case CHURN_CREATE:
        if (created->topics_count == 1)
            end_change(o, created->topics[0].error_code, created->topics[0].topic_id);
        break;
    case CHURN_DELETE:
        if (deleted->responses_count == 1)
            end_change(o, deleted->responses[0].error_code, deleted->responses[0].topic_id);
        break;
    case CHURN_WIDEN:
        if (widened->results_count == 1) end_change(o, widened->results[0].error_code, (struct uuid){{0}});
        break;
    case CHURN_CONFIGURE:
        if (configured->responses_count == 1)
            end_change(o, configured->responses[0].error_code, (struct uuid){{0}});
        break;
    case CHURN_DESCRIBE:
        take_described(o, message);
        o->told.known = false; /* in case that it is asked again */
        break;
    case CHURN_NOTHING:
        break;
    }
    o->asking = CHURN_NOTHING;
    o->churn->told(o->churn->ctx, NULL, false);
}

static void lost(void *ctx) {
    struct churn_operator *o = ctx;
    o->asking = CHURN_NOTHING;
    if (o->churn->steady) o->churn->survey[o->node].told = false;
}

/* ---- what comes next ---------------------------------------------------------------------------------- */

/* Until the next moment at which operators do something. */
static void rest(struct churn_operator *o) {
    uint64_t now_ns = io_now_ns(o->churn->io);
    uint64_t ticks = 1 + prng_below(&o->caller.prng, 3);
    uint64_t at_ns = (now_ns / TICK_NS + ticks) * TICK_NS + prng_below(&o->caller.prng, TICK_SPREAD_NS);
    io_timer_set(o->churn->io, &o->caller.timer, at_ns);
    o->rested = true;
}

static void change_something(struct churn_operator *o) {
    struct churn *churn = o->churn;
    uint64_t what = prng_below(&o->caller.prng, 100);
    bool there = churn->lives[o->name] != TOPIC_HISTORY_NONE;
    bool full = topic_history_is_full(&churn->topics);
    /* One of the names is left alone more often, so that changes of one topic come together. */
    if (there && o->name == 0 && what < 50 && prng_chance(&o->caller.prng, 3, 4)) what = 70;
    if (!there && (full || what < 15))
        look(o);
    else if ((!there || what < 20) && !full)
        ask_create(o);
    else if (what < 40)
        ask_delete(o, TOPIC_HISTORY_NONE);
    else if (what < 50)
        ask_delete(o, churn->lives[o->name]);
    else if (what < 65)
        ask_widen(o);
    else if (what < 85)
        ask_configure(o);
    else
        look(o);
}

static bool same(const struct topic_at_rest *a, const struct topic_at_rest *b) {
    bool equal = a->life == b->life && a->partitions == b->partitions;
    for (uint32_t s = 0; s < TOPIC_HISTORY_SETTINGS; s++)
        equal = equal && a->settings[s] == b->settings[s];
    return equal;
}

/* The next node, again and again, until all have told the same. */
static void survey(struct churn_operator *o) {
    struct churn *churn = o->churn;
    if (o->index != 0 || churn->at_rest) return;
    if (io_now_ns(churn->io) < churn->steady_ns + SETTLE_NS) {
        io_timer_set(churn->io, &o->caller.timer, churn->steady_ns + SETTLE_NS);
        return;
    }
    if (o->node == 0 || churn->survey[o->node].told) o->node = o->node % churn->node_count + 1;
    if (o->node == 1 && churn->survey[1].told) {
        bool agreed = true;
        for (uint32_t node = 1; node <= churn->node_count; node++)
            for (uint32_t name = 0; name < CHURN_NAMES; name++)
                agreed = agreed && churn->survey[node].told &&
                         same(&churn->survey[node].rest[name], &churn->survey[1].rest[name]);
        if (agreed) {
            memcpy(churn->rest, churn->survey[1].rest, sizeof churn->rest);
            churn->at_rest = true;
            churn->told(churn->ctx, "all nodes tell of the same topics", false);
            return;
        }
        for (uint32_t node = 1; node <= churn->node_count; node++)
            churn->survey[node].told = false;
        kafka_caller_pause(&o->caller, SURVEY_NS);
        return;
    }
    if (!kafka_caller_at(&o->caller, o->node)) return;
    if (!churn_knows(&o->told, &o->caller))
        look(o);
    else
        ask_describe(o);
}

static void next(void *ctx) {
    struct churn_operator *o = ctx;
    if (o->churn->steady) {
        survey(o);
        return;
    }
    if (!o->rested) {
        o->name = (uint32_t)prng_below(&o->caller.prng, CHURN_NAMES);
        o->node = (uint32_t)prng_range(&o->caller.prng, 1, o->churn->node_count);
        rest(o);
        return;
    }
    if (!kafka_caller_at(&o->caller, o->node)) return;
    o->rested = false;
    change_something(o);
}

static const struct kafka_caller_calls calls = {.next = next, .answered = answered, .lost = lost};

void churn_operator_init(struct churn *churn, uint32_t index, uint64_t seed) {
    struct churn_operator *o = &churn->operators[index];
    o->churn = churn;
    o->index = index;
    kafka_caller_init(&o->caller, churn->io, seed, &calls, o);
}
