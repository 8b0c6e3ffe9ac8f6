// SPDX-License-Identifier: Apache-2.0
/* Groups: listing, describing, deleting and moving them. */
#include "base/arena.h"
#include "base/units.h"
#include "client/client_state.h"
#include "client/exchange.h"
#include "sentinel/v1/group_service.pb-c.h"

#define GROUP_SERVICE "/sentinel.v1.GroupService/"

static void give_group(struct arena *arena, const Sentinel__V1__Group *group,
                       void (*visit)(void *context, const sentinel_group *group), void *context) {
    sentinel_group_member *members = arena_calloc(arena, group->n_members, sizeof *members);
    for (size_t i = 0; i < group->n_members; i++) {
        const Sentinel__V1__GroupMember *from = group->members[i];
        members[i] = (sentinel_group_member){from->member_id, from->instance_id, from->client_id,
                                             from->client_host, from->n_partitions};
    }
    sentinel_group_partition *partitions = arena_calloc(arena, group->n_partitions, sizeof *partitions);
    for (size_t i = 0; i < group->n_partitions; i++) {
        const Sentinel__V1__GroupPartition *from = group->partitions[i];
        partitions[i] = (sentinel_group_partition){.topic = from->topic,
                                                   .member_id = from->member_id,
                                                   .metadata = from->metadata,
                                                   .partition = from->partition,
                                                   .committed = from->committed_offset,
                                                   .log_start_offset = from->log_start_offset,
                                                   .high_watermark = from->high_watermark,
                                                   .lag = from->lag};
    }
    const sentinel_group given = {.name = group->name,
                                  .kind = group->kind,
                                  .state = group->state,
                                  .assignor = group->assignor,
                                  .generation = group->generation,
                                  .member_count = group->member_count,
                                  .total_lag = group->total_lag,
                                  .members = members,
                                  .members_listed = group->n_members,
                                  .partitions = partitions,
                                  .partitions_listed = group->n_partitions};
    visit(context, &given);
}

int sentinel_group_list(sentinel_client *client, void (*visit)(void *context, const sentinel_group *group),
                        void *context, sentinel_error *error) {
    struct arena arena;
    arena_init(&arena, 16 * KIB);
    Sentinel__V1__ListGroupsRequest request = SENTINEL__V1__LIST_GROUPS_REQUEST__INIT;
    const Sentinel__V1__ListGroupsResponse *answer;
    do {
        answer = client_exchange(client, GROUP_SERVICE "ListGroups", &request,
                                 &sentinel__v1__list_groups_response__descriptor, &arena, error);
        if (answer == NULL) break;
        for (size_t i = 0; i < answer->n_groups; i++)
            give_group(&arena, answer->groups[i], visit, context);
        request.page_token = answer->next_page_token;
    } while (request.page_token != NULL && request.page_token[0] != '\0');
    arena_release(&arena);
    return answer == NULL ? -1 : 0;
}

int sentinel_group_describe(sentinel_client *client, const char *name,
                            void (*visit)(void *context, const sentinel_group *group), void *context,
                            sentinel_error *error) {
    struct arena arena;
    arena_init(&arena, 16 * KIB);
    Sentinel__V1__GetGroupRequest request = SENTINEL__V1__GET_GROUP_REQUEST__INIT;
    request.name = (char *)(uintptr_t)name;
    const Sentinel__V1__GetGroupResponse *answer = client_exchange(
        client, GROUP_SERVICE "GetGroup", &request, &sentinel__v1__get_group_response__descriptor, &arena,
        error);
    if (answer != NULL && answer->group != NULL) give_group(&arena, answer->group, visit, context);
    arena_release(&arena);
    return answer == NULL ? -1 : 0;
}

struct watching {
    bool (*visit)(void *context, const sentinel_group *group);
    void *context;
    bool more;
};

static void watched_group(void *context, const sentinel_group *group) {
    struct watching *watching = context;
    watching->more = watching->visit(watching->context, group);
}

static bool watched(void *context, struct arena *arena, const void *answer) {
    struct watching *watching = context;
    const Sentinel__V1__WatchGroupResponse *response = answer;
    watching->more = true;
    if (response->group != NULL) give_group(arena, response->group, watched_group, watching);
    return watching->more;
}

int sentinel_group_watch(sentinel_client *client, const char *name, uint32_t interval_ms,
                         bool (*visit)(void *context, const sentinel_group *group), void *context,
                         sentinel_error *error) {
    struct watching watching = {visit, context, true};
    Sentinel__V1__WatchGroupRequest request = SENTINEL__V1__WATCH_GROUP_REQUEST__INIT;
    request.name = (char *)(uintptr_t)name;
    request.interval_ms = (int32_t)interval_ms;
    return client_watch(client, GROUP_SERVICE "WatchGroup", &request,
                        &sentinel__v1__watch_group_response__descriptor, watched, &watching, error);
}

int sentinel_group_delete(sentinel_client *client, const char *name, sentinel_error *error) {
    struct arena arena;
    arena_init(&arena, 4 * KIB);
    Sentinel__V1__DeleteGroupRequest request = SENTINEL__V1__DELETE_GROUP_REQUEST__INIT;
    request.name = (char *)(uintptr_t)name;
    const void *answer = client_exchange(client, GROUP_SERVICE "DeleteGroup", &request,
                                         &sentinel__v1__delete_group_response__descriptor, &arena, error);
    arena_release(&arena);
    return answer == NULL ? -1 : 0;
}

static void set_target(const sentinel_group_reset_options *options, Sentinel__V1__StartPosition *to) {
    sentinel__v1__start_position__init(to);
    if (options->to_timestamp) {
        to->position_case = SENTINEL__V1__START_POSITION__POSITION_TIMESTAMP_MS;
        to->timestamp_ms = options->position;
    } else if (options->position >= 0) {
        to->position_case = SENTINEL__V1__START_POSITION__POSITION_OFFSET;
        to->offset = options->position;
    } else {
        to->position_case = SENTINEL__V1__START_POSITION__POSITION_ANCHOR;
        to->anchor = options->position == SENTINEL_EARLIEST ? SENTINEL__V1__ANCHOR__ANCHOR_EARLIEST
                                                            : SENTINEL__V1__ANCHOR__ANCHOR_LATEST;
    }
}

int sentinel_group_reset_offsets(sentinel_client *client, const char *name,
                                 const sentinel_group_reset_options *options,
                                 void (*visit)(void *context, const sentinel_group_reset *reset),
                                 void *context, sentinel_error *error) {
    struct arena arena;
    arena_init(&arena, 16 * KIB);
    Sentinel__V1__ResetOffsetsRequest request = SENTINEL__V1__RESET_OFFSETS_REQUEST__INIT;
    Sentinel__V1__StartPosition to;
    set_target(options, &to);
    request.group = (char *)(uintptr_t)name;
    request.to = &to;
    request.validate_only = options->dry_run;
    request.n_topics = options->topic_count;
    request.topics = arena_calloc(&arena, options->topic_count, sizeof *request.topics);
    for (size_t i = 0; i < options->topic_count; i++)
        request.topics[i] = (char *)(uintptr_t)options->topics[i];
    const Sentinel__V1__ResetOffsetsResponse *answer = client_exchange(
        client, GROUP_SERVICE "ResetOffsets", &request, &sentinel__v1__reset_offsets_response__descriptor,
        &arena, error);
    for (size_t i = 0; answer != NULL && i < answer->n_offsets; i++) {
        const Sentinel__V1__ResetOffset *from = answer->offsets[i];
        const sentinel_group_reset reset = {.topic = from->topic,
                                            .partition = from->partition,
                                            .old_offset = from->old_offset,
                                            .new_offset = from->new_offset,
                                            .error = from->error == NULL ? NULL : from->error->message};
        visit(context, &reset);
    }
    arena_release(&arena);
    return answer == NULL ? -1 : 0;
}
