// SPDX-License-Identifier: Apache-2.0
/* sentinel.v1.GroupService.GetOffsets: what a group has committed, without asking what there is to read. */
#include "base/assert.h"
#include "broker/coordinator.h"
#include "sentinel/v1/group_service.pb-c.h"
#include "server/grpc_service.h"

struct reading {
    struct group_call group_call;
    struct grpc_call *call;
    const Sentinel__V1__GetOffsetsRequest *request;
    enum status status;
    Sentinel__V1__CommittedOffset **offsets;
    size_t count;
};

static void print_offset(struct reading *reading, const struct group *group, struct slice topic,
                         int32_t partition) {
    struct arena *arena = &reading->call->arena;
    const struct group_offset *found = group == NULL ? NULL : group_offset_find(group, topic, partition);
    Sentinel__V1__CommittedOffset *out = arena_alloc(arena, sizeof *out);
    sentinel__v1__committed_offset__init(out);
    out->topic = arena_text(arena, topic);
    out->partition = partition;
    out->offset = found == NULL ? -1 : found->offset;
    out->commit_time_ms = found == NULL ? -1 : found->commit_wall_ms;
    if (found != NULL) out->metadata = arena_text(arena, found->metadata);
    out->pending = group != NULL && group_offset_unstable(group, topic, partition);
    reading->offsets[reading->count++] = out;
}

static void read_answer(struct group_call *group_call, const struct group_reply *reply) {
    struct reading *reading = CONTAINER_OF(group_call, struct reading, group_call);
    const Sentinel__V1__GetOffsetsRequest *request = reading->request;
    const struct group *group = reply->group;
    reading->status = reply->status;
    if (group == NULL && reply->status == STATUS_OK) reading->status = STATUS_GROUP_NOT_FOUND;
    if (reading->status != STATUS_OK) return;
    size_t room = request->n_partitions == 0 ? group->offsets.count : request->n_partitions;
    reading->offsets = arena_calloc(&reading->call->arena, room + 1, sizeof *reading->offsets);
    for (size_t i = 0; i < request->n_partitions; i++)
        print_offset(reading, group, slice_from_text(request->partitions[i]->topic),
                     request->partitions[i]->partition);
    if (request->n_partitions != 0) return;
    MAP_FOREACH(it, &group->offsets) {
        const struct group_offset *offset = MAP_ENTRY(it)->value;
        print_offset(reading, group, offset->topic, offset->partition);
    }
}

static void read_done(struct group_call *group_call) {
    struct reading *reading = CONTAINER_OF(group_call, struct reading, group_call);
    enum status status = group_call->status != STATUS_OK ? group_call->status : reading->status;
    if (status != STATUS_OK) {
        grpc_call_fail_named(reading->call, "group", "group", slice_from_text(reading->request->group),
                             status, NULL);
        return;
    }
    Sentinel__V1__GetOffsetsResponse response = SENTINEL__V1__GET_OFFSETS_RESPONSE__INIT;
    response.offsets = reading->offsets;
    response.n_offsets = reading->count;
    grpc_call_reply_packed(reading->call, &response.base);
}

static void get_offsets(struct grpc_call *call, struct grpc_message *message) {
    struct reading *reading = call->state;
    reading->request = grpc_call_unpack(call, &sentinel__v1__get_offsets_request__descriptor, message->bytes);
    if (reading->request == NULL) return;
    reading->call = call;
    reading->group_call = (struct group_call){.answer = read_answer, .done = read_done, .forward = true};
    const struct group_identity who = {.group = slice_from_text(reading->request->group), .generation = -1};
    coordinator_read(grpc_call_broker(call), &reading->group_call, &who);
}

static void reading_ended(struct grpc_call *call) {
    struct reading *reading = call->state;
    coordinator_cancel(&reading->group_call);
}

const struct grpc_method grpc_group_offsets_methods[1] = {
    {.path = "/sentinel.v1.GroupService/GetOffsets",
     .message_size_max = GRPC_CONTROL_MESSAGE_MAX,
     .state_size = sizeof(struct reading),
     .message = get_offsets,
     .ended = reading_ended},
};
