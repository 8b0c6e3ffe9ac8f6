// SPDX-License-Identifier: Apache-2.0
/* OffsetCommit, OffsetFetch and OffsetDelete. */
#include "server/kafka_group.h"
#include "server/kafka_handlers.h"

/* ---- OffsetCommit -------------------------------------------------------------------------------------- */

static void commit_fail(struct kafka_group_part *part, int16_t code) {
    struct kafka_offset_commit_response *response = part->request->response;
    for (int32_t t = 0; t < response->topics_count; t++)
        for (int32_t p = 0; p < response->topics[t].partitions_count; p++)
            if (response->topics[t].partitions[p].error_code == KAFKA_NONE)
                response->topics[t].partitions[p].error_code = code;
}

/* Version 9 brought member epochs; an earlier one is told what its clients know (KIP-848). */
static int16_t commit_code(const struct kafka_request *request, enum status status) {
    enum { MEMBER_EPOCHS = 9 };
    if (request->header.api_version >= MEMBER_EPOCHS) return status_kafka_code(status);
    if (status == STATUS_GROUP_NOT_FOUND) return status_kafka_code(STATUS_ILLEGAL_GENERATION);
    return status == STATUS_STALE_MEMBER_EPOCH ? KAFKA_UNSUPPORTED_VERSION : status_kafka_code(status);
}

static void commit_answer(struct group_call *call, const struct group_reply *reply) {
    struct kafka_group_part *part = kafka_group_part_of(call);
    if (reply->status != STATUS_OK) commit_fail(part, commit_code(part->request, reply->status));
}

/* From this version on topics have ids instead of names, and one that was made again is another. */
#define TOPIC_IDS 10

/* NULL: there is none. Its name lives as long as the request. */
static const struct broker_topic *find_topic(struct kafka_request *request, struct slice *name,
                                             struct uuid id) {
    if (request->header.api_version < TOPIC_IDS) return broker_topic_find(request->broker, *name);
    const struct broker_topic *found = broker_topic_find_id(request->broker, id);
    *name = found == NULL ? SLICE_EMPTY : arena_copy(&request->arena, slice_from_text(found->name));
    return found;
}

static enum status unknown_topic(const struct kafka_request *request) {
    return request->header.api_version < TOPIC_IDS ? STATUS_UNKNOWN_TOPIC : STATUS_UNKNOWN_TOPIC_ID;
}

static void fill_offset(struct kafka_request *request, const struct kafka_offset_commit_request_topic *topic,
                        const struct kafka_offset_commit_request_partition *in,
                        struct group_commit_offset *out) {
    struct slice name = topic->name;
    const struct broker_topic *found = find_topic(request, &name, topic->topic_id);
    bool there = found != NULL && in->partition_index >= 0 && in->partition_index < found->partition_count;
    *out = (struct group_commit_offset){.topic = name,
                                        .partition = in->partition_index,
                                        .offset = in->committed_offset,
                                        .leader_epoch = in->committed_leader_epoch,
                                        .metadata = in->committed_metadata,
                                        .status = there           ? STATUS_OK
                                                  : found == NULL ? unknown_topic(request)
                                                                  : STATUS_UNKNOWN_TOPIC};
    if (there) out->topic_id = found->id;
}

static uint32_t fill_offsets(struct kafka_request *request, struct group_commit_offset **result) {
    const struct kafka_offset_commit_request *message = request->message;
    struct kafka_offset_commit_response *response = request->response;
    uint32_t count = 0, next = 0;
    for (int32_t t = 0; t < message->topics_count; t++)
        count += (uint32_t)message->topics[t].partitions_count;
    *result = kafka_request_calloc(request, count, sizeof **result);
    response->topics_count = message->topics_count;
    response->topics = kafka_request_array(request, &kafka_schema_offset_commit_response_topic,
                                           (size_t)message->topics_count);
    for (int32_t t = 0; t < message->topics_count; t++) {
        const struct kafka_offset_commit_request_topic *in = &message->topics[t];
        struct kafka_offset_commit_response_topic *out = &response->topics[t];
        out->name = in->name;
        out->topic_id = in->topic_id;
        out->partitions_count = in->partitions_count;
        out->partitions = kafka_request_array(request, &kafka_schema_offset_commit_response_partition,
                                              (size_t)in->partitions_count);
        for (int32_t p = 0; p < in->partitions_count; p++) {
            out->partitions[p].partition_index = in->partitions[p].partition_index;
            fill_offset(request, in, &in->partitions[p], &(*result)[next++]);
        }
    }
    return count;
}

static void tell_statuses(struct kafka_offset_commit_response *response,
                          const struct group_commit_offset *offsets) {
    uint32_t next = 0;
    for (int32_t t = 0; t < response->topics_count; t++)
        for (int32_t p = 0; p < response->topics[t].partitions_count; p++) {
            enum status status = offsets[next++].status;
            if (status != STATUS_OK) response->topics[t].partitions[p].error_code = status_kafka_code(status);
        }
}

void kafka_group_offset_commit(struct kafka_request *request) {
    const struct kafka_offset_commit_request *message = request->message;
    struct group_commit_offset *offsets;
    uint32_t count = fill_offsets(request, &offsets);
    const struct group_commit commit = {
        .who = {.group = message->group_id,
                .member_id = message->member_id,
                .instance_id = message->group_instance_id,
                .generation = message->generation_id_or_member_epoch},
        .offsets = offsets,
        .offset_count = count,
    };
    struct kafka_group_part *part = kafka_group_parts(request, 1, commit_answer, commit_fail);
    kafka_group_begin(part);
    coordinator_commit(request->broker, &part->call, &commit);
    tell_statuses(request->response, offsets);
}

/* ---- OffsetFetch --------------------------------------------------------------------------------------- */

static bool is_old_fetch(const struct kafka_request *request) {
    return request->header.api_version < 8;
}

static void fetch_fail(struct kafka_group_part *part, int16_t code) {
    struct kafka_offset_fetch_response *response = part->request->response;
    if (!is_old_fetch(part->request)) {
        response->groups[part->index].error_code = code;
        response->groups[part->index].topics_count = 0;
        return;
    }
    response->error_code = code;
    for (int32_t t = 0; t < response->topics_count; t++) /* version 1 has no other place for it */
        for (int32_t p = 0; p < response->topics[t].partitions_count; p++)
            response->topics[t].partitions[p].error_code = code;
}

static void fill_fetched(struct kafka_request *request, const struct group *group, struct slice topic,
                         int32_t partition, struct kafka_offset_fetch_response_partition *out) {
    const struct kafka_offset_fetch_request *message = request->message;
    out->partition_index = partition;
    out->committed_offset = -1;
    out->metadata = SLICE_LITERAL("");
    const struct group_offset *offset = group == NULL ? NULL : group_offset_find(group, topic, partition);
    if (group != NULL && message->require_stable && group_offset_unstable(group, topic, partition)) {
        out->error_code = status_kafka_code(STATUS_UNSTABLE_OFFSETS);
    } else if (offset != NULL) {
        out->committed_offset = offset->offset;
        out->committed_leader_epoch = offset->leader_epoch;
        if (offset->metadata.data != NULL) out->metadata = kafka_group_copy(request, offset->metadata);
    }
}

/* What was committed of a topic that had the name before is not this one's. */
static void fill_asked(struct kafka_request *request, const struct group *group,
                       const struct kafka_offset_fetch_response_topic *topic, int32_t partition,
                       struct kafka_offset_fetch_response_partition *out) {
    const struct group_offset *offset = group == NULL ? NULL
                                                      : group_offset_find(group, topic->name, partition);
    bool other = offset != NULL && request->header.api_version >= TOPIC_IDS &&
                 !uuid_equal(offset->topic_id, topic->topic_id);
    fill_fetched(request, other ? NULL : group, topic->name, partition, out);
}

static struct kafka_offset_fetch_response_topic *
fetch_asked(struct kafka_request *request, const struct group *group,
            const struct kafka_offset_fetch_request_topic *asked, int32_t count) {
    struct kafka_offset_fetch_response_topic *topics = kafka_request_array(
        request, &kafka_schema_offset_fetch_response_topic, (size_t)count);
    for (int32_t t = 0; t < count; t++) {
        topics[t].name = asked[t].name;
        topics[t].topic_id = asked[t].topic_id;
        bool unknown = find_topic(request, &topics[t].name, asked[t].topic_id) == NULL &&
                       request->header.api_version >= TOPIC_IDS;
        topics[t].partitions_count = asked[t].partition_indexes_count;
        topics[t].partitions = kafka_request_array(request, &kafka_schema_offset_fetch_response_partition,
                                                   (size_t)asked[t].partition_indexes_count);
        for (int32_t p = 0; p < asked[t].partition_indexes_count; p++)
            fill_asked(request, unknown ? NULL : group, &topics[t], asked[t].partition_indexes[p],
                       &topics[t].partitions[p]);
        for (int32_t p = 0; unknown && p < asked[t].partition_indexes_count; p++)
            topics[t].partitions[p].error_code = status_kafka_code(STATUS_UNKNOWN_TOPIC_ID);
    }
    return topics;
}

/* Offsets come in the order of their commits: they are gathered by topic. */
static struct kafka_offset_fetch_response_topic *fetch_all(struct kafka_request *request,
                                                           const struct group *group, int32_t *count) {
    *count = 0;
    if (group == NULL || group->offsets.count == 0) return NULL;
    struct kafka_offset_fetch_response_topic *topics = kafka_request_array(
        request, &kafka_schema_offset_fetch_response_topic, group->offsets.count);
    struct map by_name;
    map_init(&by_name, group->offsets.seed);
    for (int pass = 0; pass < 2; pass++) {
        MAP_FOREACH(it, &group->offsets) {
            const struct group_offset *offset = MAP_ENTRY(it)->value;
            struct kafka_offset_fetch_response_topic *topic = map_get(&by_name, offset->topic);
            if (topic == NULL) {
                topic = &topics[(*count)++];
                topic->name = kafka_group_copy(request, offset->topic);
                topic->topic_id = offset->topic_id;
                map_put(&by_name, offset->topic, topic);
            }
            if (pass == 1)
                fill_fetched(request, group, topic->name, offset->partition,
                             &topic->partitions[topic->partitions_count]);
            topic->partitions_count++;
        }
        for (int32_t t = 0; pass == 0 && t < *count; t++) {
            topics[t].partitions = kafka_request_array(request, &kafka_schema_offset_fetch_response_partition,
                                                       (size_t)topics[t].partitions_count);
            topics[t].partitions_count = 0;
        }
    }
    map_release(&by_name);
    return topics;
}

static struct kafka_offset_fetch_response_topic *
fetch_topics(struct kafka_request *request, const struct group *group,
             const struct kafka_offset_fetch_request_topic *asked, int32_t asked_count, int32_t *count) {
    if (asked_count < 0) return fetch_all(request, group, count);
    *count = asked_count;
    return fetch_asked(request, group, asked, asked_count);
}

static void fetch_answer(struct group_call *call, const struct group_reply *reply) {
    struct kafka_group_part *part = kafka_group_part_of(call);
    struct kafka_request *request = part->request;
    const struct kafka_offset_fetch_request *message = request->message;
    struct kafka_offset_fetch_response *response = request->response;
    if (is_old_fetch(request)) {
        response->topics = fetch_topics(request, reply->group, message->topics, message->topics_count,
                                        &response->topics_count);
    } else {
        const struct kafka_offset_fetch_request_group *asked = &message->groups[part->index];
        struct kafka_offset_fetch_response_group *out = &response->groups[part->index];
        out->topics = fetch_topics(request, reply->group, asked->topics, asked->topics_count,
                                   &out->topics_count);
    }
    if (reply->status != STATUS_OK) fetch_fail(part, status_kafka_code(reply->status));
}

static void fetch_group(struct kafka_group_part *part, struct slice group, struct slice member_id,
                        int32_t epoch) {
    const struct group_identity who = {.group = group, .member_id = member_id, .generation = epoch};
    kafka_group_begin(part);
    coordinator_read(part->request->broker, &part->call, &who);
}

void kafka_group_offset_fetch(struct kafka_request *request) {
    const struct kafka_offset_fetch_request *message = request->message;
    struct kafka_offset_fetch_response *response = request->response;
    if (is_old_fetch(request)) {
        struct kafka_group_part *part = kafka_group_parts(request, 1, fetch_answer, fetch_fail);
        fetch_group(part, message->group_id, SLICE_EMPTY, -1);
        return;
    }
    uint32_t count = (uint32_t)message->groups_count;
    response->groups_count = message->groups_count;
    response->groups = kafka_request_array(request, &kafka_schema_offset_fetch_response_group, count);
    struct kafka_group_part *parts = kafka_group_parts(request, count, fetch_answer, fetch_fail);
    for (uint32_t i = 0; i < count; i++) {
        const struct kafka_offset_fetch_request_group *asked = &message->groups[i];
        response->groups[i].group_id = asked->group_id;
        fetch_group(&parts[i], asked->group_id, asked->member_id, asked->member_epoch);
    }
}

/* ---- OffsetDelete -------------------------------------------------------------------------------------- */

static struct kafka_offset_delete_response_partition *
deleted_partition(struct kafka_offset_delete_response *response, uint32_t index) {
    int32_t t = 0;
    while (index >= (uint32_t)response->topics[t].partitions_count)
        index -= (uint32_t)response->topics[t++].partitions_count;
    return &response->topics[t].partitions[index];
}

static void delete_fail(struct kafka_group_part *part, int16_t code) {
    struct kafka_offset_delete_response *response = part->request->response;
    if (code == KAFKA_NONE || code == status_kafka_code(STATUS_GROUP_SUBSCRIBED))
        deleted_partition(response, part->index)->error_code = code;
    else
        response->error_code = code;
}

static void delete_answer(struct group_call *call, const struct group_reply *reply) {
    delete_fail(kafka_group_part_of(call), status_kafka_code(reply->status));
}

/* What failed as a whole lists no topics. */
static void delete_finish(struct kafka_request *request) {
    struct kafka_offset_delete_response *response = request->response;
    if (response->error_code != KAFKA_NONE) response->topics_count = 0;
}

void kafka_group_offset_delete(struct kafka_request *request) {
    const struct kafka_offset_delete_request *message = request->message;
    struct kafka_offset_delete_response *response = request->response;
    uint32_t count = 0, next = 0;
    response->topics_count = message->topics_count;
    response->topics = kafka_request_array(request, &kafka_schema_offset_delete_response_topic,
                                           (size_t)message->topics_count);
    for (int32_t t = 0; t < message->topics_count; t++) {
        struct kafka_offset_delete_response_topic *out = &response->topics[t];
        out->name = message->topics[t].name;
        out->partitions_count = message->topics[t].partitions_count;
        out->partitions = kafka_request_array(request, &kafka_schema_offset_delete_response_partition,
                                              (size_t)out->partitions_count);
        count += (uint32_t)out->partitions_count;
    }
    struct kafka_group_part *parts = kafka_group_parts(request, count, delete_answer, delete_fail);
    request->finish = delete_finish;
    for (int32_t t = 0; t < message->topics_count; t++)
        for (int32_t p = 0; p < message->topics[t].partitions_count; p++) {
            int32_t partition = message->topics[t].partitions[p].partition_index;
            response->topics[t].partitions[p].partition_index = partition;
            struct kafka_group_part *part = &parts[next++];
            kafka_group_begin(part);
            coordinator_delete_offset(request->broker, &part->call, message->group_id,
                                      message->topics[t].name, partition);
        }
}
