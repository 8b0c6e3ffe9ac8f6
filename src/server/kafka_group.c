// SPDX-License-Identifier: Apache-2.0
/* JoinGroup, SyncGroup, Heartbeat and LeaveGroup. */
#include "server/kafka_group.h"

#include "server/kafka_handlers.h"

/* ---- parts --------------------------------------------------------------------------------------------- */

struct parts {
    struct kafka_group_part *list;
    uint32_t count;
};

static void part_done(struct group_call *call) {
    struct kafka_group_part *part = kafka_group_part_of(call);
    if (call->status == STATUS_CLOSED) call->status = STATUS_NOT_COORDINATOR;
    if (call->status != STATUS_OK) part->fail(part, status_kafka_code(call->status));
    kafka_request_release(part->request);
}

/* The connection drains or is gone: nobody waits for a rebalance any more. */
static void stop_parts(struct kafka_request *request) {
    struct parts *parts = request->state;
    kafka_request_hold(request);
    for (uint32_t i = 0; i < parts->count; i++) {
        struct kafka_group_part *part = &parts->list[i];
        if (part->call.coordinator == NULL) continue;
        coordinator_cancel(&part->call);
        part->fail(part, status_kafka_code(STATUS_NOT_COORDINATOR));
        kafka_request_release(request);
    }
    kafka_request_release(request);
}

struct kafka_group_part *kafka_group_parts(struct kafka_request *request, uint32_t count,
                                           void (*answer)(struct group_call *call,
                                                          const struct group_reply *reply),
                                           void (*fail)(struct kafka_group_part *part, int16_t code)) {
    struct parts *parts = kafka_request_calloc(request, 1, sizeof *parts);
    parts->list = kafka_request_calloc(request, count, sizeof *parts->list);
    parts->count = count;
    for (uint32_t i = 0; i < count; i++) {
        parts->list[i].call = (struct group_call){.answer = answer, .done = part_done};
        parts->list[i].request = request;
        parts->list[i].index = i;
        parts->list[i].fail = fail;
    }
    request->state = parts;
    request->stop = stop_parts;
    return parts->list;
}

void kafka_group_begin(struct kafka_group_part *part) {
    kafka_request_hold(part->request);
}

struct slice kafka_group_copy(struct kafka_request *request, struct slice bytes) {
    if (bytes.data == NULL) return SLICE_EMPTY;
    return bytes.size == 0 ? SLICE_LITERAL("") : arena_copy(&request->arena, bytes);
}

struct slice kafka_group_client_host(struct kafka_request *request) {
    const char *peer = connection_peer(kafka_request_link(request))->text;
    const char *colon = strrchr(peer, ':');
    return kafka_text(request, "/%.*s", (int)(colon == NULL ? strlen(peer) : (size_t)(colon - peer)), peer);
}

/* ---- JoinGroup ----------------------------------------------------------------------------------------- */

static void join_fail(struct kafka_group_part *part, int16_t code) {
    const struct kafka_join_group_request *message = part->request->message;
    struct kafka_join_group_response *response = part->request->response;
    kafka_message_init(&kafka_schema_join_group_response, response);
    response->error_code = code;
    response->member_id = message->member_id;
}

static void fill_members(struct kafka_request *request, const struct group *group,
                         struct kafka_join_group_response *response) {
    response->members_count = (int32_t)group->members.count;
    response->members = kafka_request_array(request, &kafka_schema_join_group_response_member,
                                            group->members.count);
    struct kafka_join_group_response_member *out = response->members;
    MAP_FOREACH(it, &group->members) {
        const struct group_member *member = MAP_ENTRY(it)->value;
        out->member_id = kafka_group_copy(request, member->id);
        out->group_instance_id = kafka_group_copy(request, member->instance_id);
        for (uint32_t i = 0; i < member->protocol_count; i++)
            if (slice_equal(member->protocols[i].name, group->protocol))
                out->metadata = kafka_group_copy(request, member->protocols[i].metadata);
        out++;
    }
}

static void join_answer(struct group_call *call, const struct group_reply *reply) {
    struct kafka_group_part *part = kafka_group_part_of(call);
    struct kafka_request *request = part->request;
    struct kafka_join_group_response *response = request->response;
    join_fail(part, status_kafka_code(reply->status));
    if (reply->member_id.size != 0) response->member_id = kafka_group_copy(request, reply->member_id);
    if (reply->status != STATUS_OK) return;
    response->generation_id = reply->group->generation;
    response->protocol_type = kafka_group_copy(request, reply->group->protocol_type);
    response->protocol_name = kafka_group_copy(request, reply->group->protocol);
    response->leader = kafka_group_copy(request, reply->leader);
    response->skip_assignment = reply->skip_assignment;
    if (slice_equal(response->leader, response->member_id)) fill_members(request, reply->group, response);
}

void kafka_group_join(struct kafka_request *request) {
    const struct kafka_join_group_request *message = request->message;
    uint32_t count = (uint32_t)message->protocols_count;
    struct group_protocol *protocols = kafka_request_calloc(request, count, sizeof *protocols);
    for (uint32_t i = 0; i < count; i++)
        protocols[i] = (struct group_protocol){message->protocols[i].name, message->protocols[i].metadata};
    int32_t session_ms = message->session_timeout_ms, rebalance_ms = message->rebalance_timeout_ms;
    struct group_join join = {
        .group = message->group_id,
        .member_id = message->member_id,
        .instance_id = message->group_instance_id,
        .client_id = request->header.client_id,
        .client_host = kafka_group_client_host(request),
        .protocol_type = message->protocol_type,
        .protocols = protocols,
        .protocol_count = count,
        .session_timeout_ms = session_ms,
        .rebalance_timeout_ms = rebalance_ms > 0 ? rebalance_ms : session_ms,
        .wants_member_id = request->header.api_version >= 4,
        .skips_assignment = request->header.api_version >= 9,
    };
    struct kafka_group_part *part = kafka_group_parts(request, 1, join_answer, join_fail);
    kafka_group_begin(part);
    coordinator_join(request->broker, &part->call, &join);
}

/* ---- SyncGroup ----------------------------------------------------------------------------------------- */

static void sync_fail(struct kafka_group_part *part, int16_t code) {
    struct kafka_sync_group_response *response = part->request->response;
    kafka_message_init(&kafka_schema_sync_group_response, response);
    response->error_code = code;
}

static void sync_answer(struct group_call *call, const struct group_reply *reply) {
    struct kafka_group_part *part = kafka_group_part_of(call);
    struct kafka_sync_group_response *response = part->request->response;
    sync_fail(part, status_kafka_code(reply->status));
    if (reply->status != STATUS_OK) return;
    response->protocol_type = kafka_group_copy(part->request, reply->group->protocol_type);
    response->protocol_name = kafka_group_copy(part->request, reply->group->protocol);
    response->assignment = kafka_group_copy(part->request, reply->member->assignment);
}

void kafka_group_sync(struct kafka_request *request) {
    const struct kafka_sync_group_request *message = request->message;
    uint32_t count = (uint32_t)message->assignments_count;
    struct group_assignment *assignments = kafka_request_calloc(request, count, sizeof *assignments);
    for (uint32_t i = 0; i < count; i++)
        assignments[i] = (struct group_assignment){message->assignments[i].member_id,
                                                   message->assignments[i].assignment};
    struct group_sync sync = {
        .group = message->group_id,
        .member_id = message->member_id,
        .instance_id = message->group_instance_id,
        .generation = message->generation_id,
        .protocol_type = message->protocol_type,
        .protocol = message->protocol_name,
        .assignments = assignments,
        .assignment_count = count,
    };
    struct kafka_group_part *part = kafka_group_parts(request, 1, sync_answer, sync_fail);
    kafka_group_begin(part);
    coordinator_sync(request->broker, &part->call, &sync);
}

/* ---- Heartbeat ----------------------------------------------------------------------------------------- */

static void heartbeat_fail(struct kafka_group_part *part, int16_t code) {
    struct kafka_heartbeat_response *response = part->request->response;
    response->error_code = code;
}

static void heartbeat_answer(struct group_call *call, const struct group_reply *reply) {
    heartbeat_fail(kafka_group_part_of(call), status_kafka_code(reply->status));
}

void kafka_group_heartbeat(struct kafka_request *request) {
    const struct kafka_heartbeat_request *message = request->message;
    const struct group_identity who = {.group = message->group_id,
                                       .member_id = message->member_id,
                                       .instance_id = message->group_instance_id,
                                       .generation = message->generation_id};
    struct kafka_group_part *part = kafka_group_parts(request, 1, heartbeat_answer, heartbeat_fail);
    kafka_group_begin(part);
    coordinator_heartbeat(request->broker, &part->call, &who);
}

/* ---- LeaveGroup ---------------------------------------------------------------------------------------- */

static void leave_fail(struct kafka_group_part *part, int16_t code) {
    struct kafka_leave_group_response *response = part->request->response;
    if (part->request->header.api_version < 3)
        response->error_code = code;
    else if (code == status_kafka_code(STATUS_NOT_COORDINATOR) ||
             code == status_kafka_code(STATUS_COORDINATOR_LOADING) ||
             code == status_kafka_code(STATUS_COORDINATOR_UNAVAILABLE))
        response->error_code = code; /* of the whole request */
    else
        response->members[part->index].error_code = code;
}

static void leave_answer(struct group_call *call, const struct group_reply *reply) {
    leave_fail(kafka_group_part_of(call), status_kafka_code(reply->status));
}

static void leave_one(struct kafka_group_part *part, struct slice member_id, struct slice instance_id) {
    const struct kafka_leave_group_request *message = part->request->message;
    const struct group_identity who = {
        .group = message->group_id, .member_id = member_id, .instance_id = instance_id};
    kafka_group_begin(part);
    coordinator_leave(part->request->broker, &part->call, &who);
}

void kafka_group_leave(struct kafka_request *request) {
    const struct kafka_leave_group_request *message = request->message;
    struct kafka_leave_group_response *response = request->response;
    if (request->header.api_version < 3) {
        leave_one(kafka_group_parts(request, 1, leave_answer, leave_fail), message->member_id, SLICE_EMPTY);
        return;
    }
    uint32_t count = (uint32_t)message->members_count;
    response->members_count = message->members_count;
    response->members = kafka_request_array(request, &kafka_schema_leave_group_response_member, count);
    struct kafka_group_part *parts = kafka_group_parts(request, count, leave_answer, leave_fail);
    for (uint32_t i = 0; i < count; i++) {
        response->members[i].member_id = message->members[i].member_id;
        response->members[i].group_instance_id = message->members[i].group_instance_id;
        leave_one(&parts[i], message->members[i].member_id, message->members[i].group_instance_id);
    }
}
