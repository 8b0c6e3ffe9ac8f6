// SPDX-License-Identifier: Apache-2.0
/* FindCoordinator, ListGroups, DescribeGroups and DeleteGroups. */
#include <stdlib.h>

#include "server/kafka_group.h"
#include "server/kafka_handlers.h"

/* ---- FindCoordinator ----------------------------------------------------------------------------------- */

enum { KEY_TYPE_GROUP = 0, KEY_TYPE_TRANSACTION = 1, KEY_TYPE_SHARE = 2 };

static void find_one(struct kafka_request *request, struct slice key,
                     struct kafka_find_coordinator_response_coordinator *out) {
    const struct kafka_find_coordinator_request *message = request->message;
    out->key = key;
    out->node_id = out->port = -1;
    if (message->key_type != KEY_TYPE_GROUP && message->key_type != KEY_TYPE_TRANSACTION) {
        out->error_code = KAFKA_INVALID_REQUEST;
        out->error_message = kafka_text(request, "no coordinators of kind %d here", message->key_type);
        return;
    }
    int32_t coordinator = broker_coordinator(request->broker, key);
    struct broker_node nodes[BROKER_NODES_MAX];
    uint32_t count = broker_nodes(request->broker, nodes);
    for (uint32_t i = 0; i < count; i++) {
        if (nodes[i].node != coordinator || !nodes[i].up) continue;
        char host[256];
        server_node_address(kafka_request_link(request), &nodes[i], host, sizeof host, &out->port);
        out->host = arena_copy(&request->arena, slice_from_text(host));
        out->node_id = coordinator;
        return;
    }
    out->error_code = status_kafka_code(STATUS_COORDINATOR_UNAVAILABLE);
    out->error_message = kafka_text(request, "no coordinator is elected");
}

void kafka_group_find_coordinator(struct kafka_request *request) {
    const struct kafka_find_coordinator_request *message = request->message;
    struct kafka_find_coordinator_response *response = request->response;
    if (request->header.api_version < 4) {
        struct kafka_find_coordinator_response_coordinator found = {0};
        find_one(request, message->key, &found);
        response->error_code = found.error_code;
        response->error_message = found.error_message;
        response->node_id = found.node_id;
        response->host = found.host;
        response->port = found.port;
        return;
    }
    response->coordinators_count = message->coordinator_keys_count;
    response->coordinators = kafka_request_array(request, &kafka_schema_find_coordinator_response_coordinator,
                                                 (size_t)message->coordinator_keys_count);
    for (int32_t i = 0; i < message->coordinator_keys_count; i++)
        find_one(request, message->coordinator_keys[i], &response->coordinators[i]);
}

/* ---- ListGroups ---------------------------------------------------------------------------------------- */

/* Case does not matter (KIP-848); an empty filter lets all pass. */
static bool passes(const struct slice *filter, int32_t count, const char *value) {
    size_t size = strlen(value);
    for (int32_t i = 0; i < count; i++)
        if (filter[i].size == size && strncasecmp((const char *)filter[i].data, value, size) == 0)
            return true;
    return count <= 0;
}

struct listing {
    struct kafka_request *request;
    size_t count, capacity;
};

static void list_group(void *ctx, const struct group *group) {
    struct listing *listing = ctx;
    const struct kafka_list_groups_request *message = listing->request->message;
    struct kafka_list_groups_response *response = listing->request->response;
    if (!passes(message->states_filter, message->states_filter_count, group_phase_name(group)) ||
        !passes(message->types_filter, message->types_filter_count, group_kind_name(group->kind)))
        return;
    if (listing->count++ >= listing->capacity) return;
    struct kafka_list_groups_response_group *out = &response->groups[response->groups_count++];
    out->group_id = kafka_group_copy(listing->request, group->id);
    out->protocol_type = kafka_group_copy(listing->request, group->protocol_type);
    out->group_state = slice_from_text(group_phase_name(group));
    out->group_type = slice_from_text(group_kind_name(group->kind));
}

void kafka_group_list(struct kafka_request *request) {
    struct kafka_list_groups_response *response = request->response;
    struct listing listing = {.request = request};
    enum status status = coordinators_visit(request->broker, list_group, &listing);
    response->groups = kafka_request_array(request, &kafka_schema_list_groups_response_group, listing.count);
    listing.capacity = listing.count;
    listing.count = 0;
    if (status == STATUS_OK) status = coordinators_visit(request->broker, list_group, &listing);
    response->error_code = status_kafka_code(status);
}

/* ---- DescribeGroups ------------------------------------------------------------------------------------ */

/* AclOperation bits of a group (KIP-430): read, delete, describe. */
#define GROUP_OPERATIONS_ALL 0x0148

static void describe_fail(struct kafka_group_part *part, int16_t code) {
    struct kafka_describe_groups_response *response = part->request->response;
    response->groups[part->index].error_code = code;
}

static void describe_member(struct kafka_request *request, const struct group *group,
                            const struct group_member *member,
                            struct kafka_describe_groups_response_member *out) {
    out->member_id = kafka_group_copy(request, member->id);
    out->group_instance_id = kafka_group_copy(request, member->instance_id);
    out->client_id = kafka_group_copy(request, member->client_id);
    out->client_host = kafka_group_copy(request, member->client_host);
    if (group->phase != GROUP_STABLE) return;
    out->member_assignment = kafka_group_copy(request, member->assignment);
    for (uint32_t i = 0; i < member->protocol_count; i++)
        if (slice_equal(member->protocols[i].name, group->protocol))
            out->member_metadata = kafka_group_copy(request, member->protocols[i].metadata);
}

static void describe_answer(struct group_call *call, const struct group_reply *reply) {
    struct kafka_group_part *part = kafka_group_part_of(call);
    struct kafka_request *request = part->request;
    const struct kafka_describe_groups_request *message = request->message;
    struct kafka_describe_groups_response *response = request->response;
    struct kafka_describe_groups_response_group *out = &response->groups[part->index];
    const struct group *group = reply->group;
    if (group == NULL || group->kind == GROUP_CONSUMER) {
        out->group_state = SLICE_LITERAL("Dead");
        if (request->header.api_version < 6) return;
        out->error_code = status_kafka_code(STATUS_GROUP_NOT_FOUND);
        out->error_message = group == NULL ? kafka_text(request, "there is no such group")
                                           : kafka_text(request, "it is a group of the consumer protocol");
        return;
    }
    out->group_state = slice_from_text(group_phase_name(group));
    out->protocol_type = kafka_group_copy(request, group->protocol_type);
    if (group->phase == GROUP_STABLE) out->protocol_data = kafka_group_copy(request, group->protocol);
    if (message->include_authorized_operations) out->authorized_operations = GROUP_OPERATIONS_ALL;
    out->members_count = (int32_t)group->members.count;
    out->members = kafka_request_array(request, &kafka_schema_describe_groups_response_member,
                                       group->members.count);
    struct kafka_describe_groups_response_member *next = out->members;
    MAP_FOREACH(it, &group->members) {
        describe_member(request, group, MAP_ENTRY(it)->value, next++);
    }
}

void kafka_group_describe(struct kafka_request *request) {
    const struct kafka_describe_groups_request *message = request->message;
    struct kafka_describe_groups_response *response = request->response;
    uint32_t count = (uint32_t)message->groups_count;
    response->groups_count = message->groups_count;
    response->groups = kafka_request_array(request, &kafka_schema_describe_groups_response_group, count);
    struct kafka_group_part *parts = kafka_group_parts(request, count, describe_answer, describe_fail);
    struct kafka_names seen;
    kafka_names_init(&seen, request);
    for (uint32_t i = 0; i < count; i++) {
        response->groups[i].group_id = message->groups[i];
        if (!kafka_names_add(&seen, message->groups[i])) { /* a group is told once */
            response->groups[i].error_code = KAFKA_INVALID_REQUEST;
            continue;
        }
        const struct group_identity who = {.group = message->groups[i], .generation = -1};
        kafka_group_begin(&parts[i]);
        coordinator_read(request->broker, &parts[i].call, &who);
    }
    kafka_names_release(&seen);
}

/* ---- DeleteGroups -------------------------------------------------------------------------------------- */

static void delete_fail(struct kafka_group_part *part, int16_t code) {
    struct kafka_delete_groups_response *response = part->request->response;
    response->results[part->index].error_code = code;
}

static void delete_answer(struct group_call *call, const struct group_reply *reply) {
    delete_fail(kafka_group_part_of(call), status_kafka_code(reply->status));
}

void kafka_group_delete(struct kafka_request *request) {
    const struct kafka_delete_groups_request *message = request->message;
    struct kafka_delete_groups_response *response = request->response;
    uint32_t count = (uint32_t)message->groups_names_count;
    response->results_count = message->groups_names_count;
    response->results = kafka_request_array(request, &kafka_schema_delete_groups_response_result, count);
    struct kafka_group_part *parts = kafka_group_parts(request, count, delete_answer, delete_fail);
    for (uint32_t i = 0; i < count; i++) {
        response->results[i].group_id = message->groups_names[i];
        kafka_group_begin(&parts[i]);
        coordinator_delete_group(request->broker, &parts[i].call, message->groups_names[i]);
    }
}
