// SPDX-License-Identifier: Apache-2.0
/* ConsumerGroupHeartbeat and ConsumerGroupDescribe (KIP-848). */
#include "base/assert.h"
#include "server/kafka_group.h"
#include "server/kafka_handlers.h"

/* ---- partitions by topic --------------------------------------------------------------------------------
 */

static size_t topic_count(const struct group_partitions *set) {
    size_t count = 0;
    for (uint32_t i = 0; i < set->count; i++)
        count += i == 0 || !uuid_equal(set->list[i].topic, set->list[i - 1].topic);
    return count;
}

/* The partitions from `first` on that have its topic. */
static int32_t *same_topic(struct kafka_request *request, const struct group_partitions *set, uint32_t first,
                           int32_t *count) {
    *count = 0;
    while (first + (uint32_t)*count < set->count &&
           uuid_equal(set->list[first + (uint32_t)*count].topic, set->list[first].topic))
        ++*count;
    int32_t *partitions = kafka_request_calloc(request, (size_t)*count, sizeof *partitions);
    for (int32_t i = 0; i < *count; i++)
        partitions[i] = set->list[first + (uint32_t)i].partition;
    return partitions;
}

static struct kafka_consumer_group_heartbeat_response_assignment *
beat_assignment(struct kafka_request *request, const struct group_partitions *set) {
    struct kafka_consumer_group_heartbeat_response_assignment *out = kafka_request_array(
        request, &kafka_schema_consumer_group_heartbeat_response_assignment, 1);
    out->topic_partitions = kafka_request_array(
        request, &kafka_schema_consumer_group_heartbeat_response_topic, topic_count(set));
    for (uint32_t i = 0; i < set->count;) {
        struct kafka_consumer_group_heartbeat_response_topic *topic =
            &out->topic_partitions[out->topic_partitions_count++];
        topic->topic_id = set->list[i].topic;
        topic->partitions = same_topic(request, set, i, &topic->partitions_count);
        i += (uint32_t)topic->partitions_count;
    }
    return out;
}

/* ---- ConsumerGroupHeartbeat ---------------------------------------------------------------------------- */

struct beat_state {
    bool assignment_changed;
    struct slice member_id;
};

static void beat_fail(struct kafka_group_part *part, int16_t code) {
    struct kafka_consumer_group_heartbeat_response *response = part->request->response;
    kafka_message_init(&kafka_schema_consumer_group_heartbeat_response, response);
    response->error_code = code;
}

static void beat_answer(struct group_call *call, const struct group_reply *reply) {
    struct kafka_group_part *part = kafka_group_part_of(call);
    struct kafka_request *request = part->request;
    const struct kafka_consumer_group_heartbeat_request *message = request->message;
    struct kafka_consumer_group_heartbeat_response *response = request->response;
    const struct group_limits *limits = &broker_get_options(request->broker)->groups;
    beat_fail(part, status_kafka_code(reply->status));
    if (reply->status != STATUS_OK) {
        response->error_message = kafka_error_text(request, reply->status, NULL);
        return;
    }
    response->heartbeat_interval_ms = limits->consumer_heartbeat_ms;
    response->member_id = message->member_id;
    response->member_epoch = message->member_epoch; /* it has left */
    if (reply->member == NULL) return;
    response->member_id = kafka_group_copy(request, reply->member->id);
    response->member_epoch = reply->member->epoch;
    /* Whether it is wanted is known only when the call returns: kafka_group_consumer_heartbeat drops it. */
    response->assignment = beat_assignment(request, &reply->member->assigned);
}

static struct group_partition *owned_partitions(struct kafka_request *request, uint32_t *count) {
    const struct kafka_consumer_group_heartbeat_request *message = request->message;
    *count = 0;
    for (int32_t t = 0; t < message->topic_partitions_count; t++)
        *count += (uint32_t)message->topic_partitions[t].partitions_count;
    struct group_partition *owned = kafka_request_calloc(request, *count, sizeof *owned);
    uint32_t next = 0;
    for (int32_t t = 0; t < message->topic_partitions_count; t++)
        for (int32_t p = 0; p < message->topic_partitions[t].partitions_count; p++)
            owned[next++] = (struct group_partition){message->topic_partitions[t].topic_id,
                                                     message->topic_partitions[t].partitions[p]};
    return owned;
}

/* Version 0 let the server make the member id. */
static struct slice new_member_id(struct kafka_request *request) {
    uint8_t random[16];
    io_random(server_io(request->server), random, sizeof random);
    struct writer text;
    writer_init(&text);
    for (size_t i = 0; i < sizeof random; i++)
        writer_printf(&text, "%02x", random[i]);
    struct slice id = arena_copy(&request->arena, writer_slice(&text));
    writer_release(&text);
    return id;
}

void kafka_group_consumer_heartbeat(struct kafka_request *request) {
    const struct kafka_consumer_group_heartbeat_request *message = request->message;
    struct kafka_consumer_group_heartbeat_response *response = request->response;
    bool makes_id = message->member_id.size == 0 && message->member_epoch == GROUP_EPOCH_JOIN;
    struct group_consumer_beat beat = {
        .group = message->group_id,
        .member_id = makes_id ? new_member_id(request) : message->member_id,
        .instance_id = message->instance_id,
        .rack_id = message->rack_id,
        .client_id = request->header.client_id,
        .client_host = kafka_group_client_host(request),
        .epoch = message->member_epoch,
        .rebalance_timeout_ms = message->rebalance_timeout_ms,
        .has_topics = message->subscribed_topic_names_count >= 0,
        .has_owned = message->topic_partitions_count >= 0,
        .topics = message->subscribed_topic_names,
        .topic_count = (uint32_t)MAX(message->subscribed_topic_names_count, 0),
        .regex = message->subscribed_topic_regex,
        .assignor = message->server_assignor,
    };
    beat.owned = owned_partitions(request, &beat.owned_count);
    bool assignment_changed = false;
    struct kafka_group_part *part = kafka_group_parts(request, 1, beat_answer, beat_fail);
    kafka_group_begin(part);
    coordinator_beat(request->broker, &part->call, &beat, &assignment_changed);
    if (!assignment_changed) response->assignment = NULL;
}

/* ---- ConsumerGroupDescribe ------------------------------------------------------------------------------
 */

struct topic_name {
    struct uuid id;
    struct slice name;
};

static void describe_fail(struct kafka_group_part *part, int16_t code) {
    struct kafka_consumer_group_describe_response *response = part->request->response;
    response->groups[part->index].error_code = code;
}

static void describe_assignment(struct kafka_request *request, const struct group_partitions *set,
                                struct kafka_consumer_group_describe_response_assignment *out) {
    out->topic_partitions = kafka_request_array(request, &kafka_schema_consumer_group_describe_response_topic,
                                                topic_count(set));
    for (uint32_t i = 0; i < set->count;) {
        struct kafka_consumer_group_describe_response_topic *topic =
            &out->topic_partitions[out->topic_partitions_count++];
        const struct broker_topic *found = broker_topic_find_id(request->broker, set->list[i].topic);
        topic->topic_id = set->list[i].topic;
        topic->topic_name = found == NULL ? SLICE_LITERAL("")
                                          : arena_copy(&request->arena, slice_from_text(found->name));
        topic->partitions = same_topic(request, set, i, &topic->partitions_count);
        i += (uint32_t)topic->partitions_count;
    }
}

static void describe_member(struct kafka_request *request, const struct group_member *member,
                            struct kafka_consumer_group_describe_response_member *out) {
    out->member_id = kafka_group_copy(request, member->id);
    out->instance_id = kafka_group_copy(request, member->instance_id);
    out->rack_id = kafka_group_copy(request, member->rack_id);
    out->member_epoch = member->epoch;
    out->client_id = kafka_group_copy(request, member->client_id);
    out->client_host = kafka_group_copy(request, member->client_host);
    out->subscribed_topic_names_count = (int32_t)member->topic_count;
    out->subscribed_topic_names = kafka_request_calloc(request, member->topic_count,
                                                       sizeof *out->subscribed_topic_names);
    for (uint32_t i = 0; i < member->topic_count; i++)
        out->subscribed_topic_names[i] = kafka_group_copy(request, member->topics[i]);
    out->subscribed_topic_regex = kafka_group_copy(request, member->regex);
    describe_assignment(request, &member->assigned, &out->assignment);
    describe_assignment(request, &member->target, &out->target_assignment);
    out->member_type = 1; /* of the consumer protocol */
}

static void describe_answer(struct group_call *call, const struct group_reply *reply) {
    struct kafka_group_part *part = kafka_group_part_of(call);
    struct kafka_request *request = part->request;
    struct kafka_consumer_group_describe_response *response = request->response;
    struct kafka_consumer_group_describe_response_group *out = &response->groups[part->index];
    const struct group *group = reply->group;
    if (group == NULL || group->kind != GROUP_CONSUMER) {
        out->error_code = status_kafka_code(STATUS_GROUP_NOT_FOUND);
        out->error_message = kafka_text(request, "there is no such group of the consumer protocol");
        return;
    }
    out->group_state = slice_from_text(group_phase_name(group));
    out->group_epoch = group->generation;
    out->assignment_epoch = group->target_epoch;
    out->assignor_name = group->assignor.data == NULL ? SLICE_LITERAL("uniform")
                                                      : kafka_group_copy(request, group->assignor);
    out->members_count = (int32_t)group->members.count;
    out->members = kafka_request_array(request, &kafka_schema_consumer_group_describe_response_member,
                                       group->members.count);
    struct kafka_consumer_group_describe_response_member *next = out->members;
    MAP_FOREACH(it, &group->members) {
        describe_member(request, MAP_ENTRY(it)->value, next++);
    }
}

void kafka_group_consumer_describe(struct kafka_request *request) {
    const struct kafka_consumer_group_describe_request *message = request->message;
    struct kafka_consumer_group_describe_response *response = request->response;
    uint32_t count = (uint32_t)message->group_ids_count;
    response->groups_count = message->group_ids_count;
    response->groups = kafka_request_array(request, &kafka_schema_consumer_group_describe_response_group,
                                           count);
    struct kafka_group_part *parts = kafka_group_parts(request, count, describe_answer, describe_fail);
    struct kafka_names seen;
    kafka_names_init(&seen, request);
    for (uint32_t i = 0; i < count; i++) {
        response->groups[i].group_id = message->group_ids[i];
        if (!kafka_names_add(&seen, message->group_ids[i])) { /* a group is told once */
            response->groups[i].error_code = KAFKA_INVALID_REQUEST;
            continue;
        }
        const struct group_identity who = {.group = message->group_ids[i], .generation = -1};
        kafka_group_begin(&parts[i]);
        coordinator_read(request->broker, &parts[i].call, &who);
    }
    kafka_names_release(&seen);
}
