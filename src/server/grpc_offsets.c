// SPDX-License-Identifier: Apache-2.0
/* sentinel.v1.TopicService.ListOffsets and DeleteRecords: one broker request for each partition, answered
 * together. */
#include <stdio.h>

#include "base/assert.h"
#include "sentinel/v1/topic_service.pb-c.h"
#include "server/grpc_partition.h"
#include "server/grpc_service.h"

/* ---- ListOffsets --------------------------------------------------------------------------------------- */

struct lookup {
    struct list_offset request;
    struct lookups *all;
    Sentinel__V1__PartitionOffset message;
    bool busy;
    bool end_instead; /* no record at or after the time: the end of the log is asked for */
};
struct lookups {
    struct grpc_call *call;
    struct slice topic;
    struct lookup *list;
    size_t count, busy;
};

static void lookups_answer(struct lookups *all) {
    Sentinel__V1__PartitionOffset **offsets = arena_calloc(&all->call->arena, all->count, sizeof *offsets);
    for (size_t i = 0; i < all->count; i++)
        offsets[i] = &all->list[i].message;
    Sentinel__V1__ListOffsetsResponse response = SENTINEL__V1__LIST_OFFSETS_RESPONSE__INIT;
    response.n_offsets = all->count;
    response.offsets = offsets;
    grpc_call_reply_packed(all->call, &response.base);
}

static void lookup_done(struct list_offset *request) {
    struct lookup *lookup = CONTAINER_OF(request, struct lookup, request);
    struct lookups *all = lookup->all;
    struct grpc_call *call = all->call;
    if (request->status == STATUS_OK && request->offset == -1 && !lookup->end_instead) {
        lookup->end_instead = true;
        request->timestamp_ms = OFFSET_LATEST;
        broker_list_offset(grpc_call_broker(call), request);
        return;
    }
    lookup->busy = false;
    lookup->message.offset = request->offset;
    lookup->message.timestamp_ms = lookup->end_instead ? -1 : request->found_timestamp_ms;
    lookup->message.leader_epoch = request->leader_epoch;
    if (request->status != STATUS_OK)
        lookup->message.error = grpc_partition_error_message(
            &call->arena, &(struct grpc_partition_error){.status = request->status,
                                                         .topic = all->topic,
                                                         .partition = request->partition});
    if (--all->busy == 0) lookups_answer(all);
}

/* The broker's way to say a position; false for a plain offset. */
static bool anchor_of(const Sentinel__V1__StartPosition *position, int64_t *timestamp_ms) {
    *timestamp_ms = OFFSET_LATEST;
    if (position == NULL) return true;
    switch (position->position_case) {
    case SENTINEL__V1__START_POSITION__POSITION_ANCHOR:
        if (position->anchor == SENTINEL__V1__ANCHOR__ANCHOR_EARLIEST) *timestamp_ms = OFFSET_EARLIEST;
        return true;
    case SENTINEL__V1__START_POSITION__POSITION_TIMESTAMP_MS:
        *timestamp_ms = position->timestamp_ms;
        return position->timestamp_ms >= 0;
    default:
        return position->position_case == SENTINEL__V1__START_POSITION__POSITION__NOT_SET;
    }
}

static void list_offsets(struct grpc_call *call, struct grpc_message *message) {
    Sentinel__V1__ListOffsetsRequest *request = grpc_call_unpack(
        call, &sentinel__v1__list_offsets_request__descriptor, message->bytes);
    if (request == NULL) return;
    struct broker *broker = grpc_call_broker(call);
    struct lookups *all = call->state;
    all->call = call;
    all->topic = slice_from_text(request->name);
    int64_t timestamp_ms;
    if (!anchor_of(request->position, &timestamp_ms)) {
        grpc_call_fail_field(call, "position", "an anchor, or a time of 0 or later");
        return;
    }
    bool committed = request->isolation == SENTINEL__V1__ISOLATION__ISOLATION_READ_COMMITTED;
    if (!committed && request->isolation > SENTINEL__V1__ISOLATION__ISOLATION_READ_UNCOMMITTED) {
        grpc_call_fail_field(call, "isolation", "no such value");
        return;
    }
    const struct broker_topic *topic = grpc_partition_find_topic(call, all->topic);
    if (topic == NULL) return;
    if (request->n_partitions > (size_t)topic->partition_count) {
        grpc_call_fail_field(call, "partitions", "each partition once: the topic has %d",
                             topic->partition_count);
        return;
    }
    all->count = request->n_partitions != 0 ? request->n_partitions : (size_t)topic->partition_count;
    all->list = arena_calloc(&call->arena, all->count, sizeof *all->list);
    for (size_t i = 0; i < all->count; i++) {
        struct lookup *lookup = &all->list[i];
        int32_t partition = request->n_partitions != 0 ? request->partitions[i] : (int32_t)i;
        lookup->all = all;
        sentinel__v1__partition_offset__init(&lookup->message);
        lookup->message.partition = partition;
        lookup->request = (struct list_offset){.topic = all->topic,
                                               .partition = partition,
                                               .timestamp_ms = timestamp_ms,
                                               .forward = true,
                                               .read_committed = committed,
                                               .done = lookup_done};
    }
    all->busy = all->count;
    for (size_t i = 0; i < all->count; i++) {
        all->list[i].busy = true;
        broker_list_offset(broker, &all->list[i].request);
    }
}

static void list_offsets_ended(struct grpc_call *call) {
    struct lookups *all = call->state;
    for (size_t i = 0; i < all->count && all->busy != 0; i++)
        if (all->list[i].busy) broker_list_offset_cancel(&all->list[i].request);
}

/* ---- DeleteRecords ------------------------------------------------------------------------------------- */

struct deletion {
    struct delete_records request;
    struct deletions *all;
    Sentinel__V1__DeletedRecordsPartition message;
};
struct deletions {
    struct grpc_call *call;
    struct slice topic;
    struct deletion *list;
    size_t count, busy;
};

static void deletions_answer(struct deletions *all) {
    Sentinel__V1__DeletedRecordsPartition **partitions = arena_calloc(&all->call->arena, all->count,
                                                                      sizeof *partitions);
    for (size_t i = 0; i < all->count; i++)
        partitions[i] = &all->list[i].message;
    Sentinel__V1__DeleteRecordsResponse response = SENTINEL__V1__DELETE_RECORDS_RESPONSE__INIT;
    response.n_partitions = all->count;
    response.partitions = partitions;
    grpc_call_reply_packed(all->call, &response.base);
}

static void deletion_done(struct delete_records *request) {
    struct deletion *deletion = CONTAINER_OF(request, struct deletion, request);
    struct deletions *all = deletion->all;
    struct grpc_call *call = all->call;
    if (!call->ended) {
        deletion->message.log_start_offset = request->log_start_offset;
        if (request->status != STATUS_OK)
            deletion->message.error = grpc_partition_error_message(
                &call->arena, &(struct grpc_partition_error){.status = request->status,
                                                             .topic = all->topic,
                                                             .partition = request->partition});
        if (all->busy == 1) deletions_answer(all);
    }
    all->busy--;
    grpc_call_unpin(call);
}

static void delete_records(struct grpc_call *call, struct grpc_message *message) {
    Sentinel__V1__DeleteRecordsRequest *request = grpc_call_unpack(
        call, &sentinel__v1__delete_records_request__descriptor, message->bytes);
    if (request == NULL) return;
    struct broker *broker = grpc_call_broker(call);
    struct deletions *all = call->state;
    all->call = call;
    all->topic = slice_from_text(request->name);
    const struct broker_topic *topic = grpc_partition_find_topic(call, all->topic);
    if (topic == NULL) return;
    if (request->n_partitions == 0 || request->n_partitions > (size_t)topic->partition_count) {
        grpc_call_fail_field(call, "partitions", "name the partitions to delete from, each once");
        return;
    }
    for (size_t i = 0; i < request->n_partitions; i++) {
        if (request->partitions[i]->before_offset >= -1) continue;
        char path[64];
        snprintf(path, sizeof path, "partitions[%zu].before_offset", i);
        grpc_call_fail_field(call, path, "an offset, or -1 for all that are committed");
        return;
    }
    all->count = all->busy = request->n_partitions;
    all->list = arena_calloc(&call->arena, all->count, sizeof *all->list);
    for (size_t i = 0; i < all->count; i++) {
        struct deletion *deletion = &all->list[i];
        deletion->all = all;
        sentinel__v1__deleted_records_partition__init(&deletion->message);
        deletion->message.partition = request->partitions[i]->partition;
        deletion->request = (struct delete_records){.topic = all->topic,
                                                    .partition = request->partitions[i]->partition,
                                                    .offset = request->partitions[i]->before_offset,
                                                    .forward = true,
                                                    .done = deletion_done};
        grpc_call_pin(call);
        broker_delete_records(broker, &deletion->request);
    }
}

const struct grpc_method grpc_offsets_methods[2] = {
    {.path = "/sentinel.v1.TopicService/DeleteRecords",
     .message_size_max = GRPC_CONTROL_MESSAGE_MAX,
     .state_size = sizeof(struct deletions),
     .message = delete_records},
    {.path = "/sentinel.v1.TopicService/ListOffsets",
     .message_size_max = GRPC_CONTROL_MESSAGE_MAX,
     .state_size = sizeof(struct lookups),
     .message = list_offsets,
     .ended = list_offsets_ended},
};
