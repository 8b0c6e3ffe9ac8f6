// SPDX-License-Identifier: Apache-2.0
/* sentinel.v1.GroupService: listing, showing, watching, deleting and moving groups. */
#include <stdlib.h>

#include "base/assert.h"
#include "broker/coordinator.h"
#include "sentinel/v1/group_service.pb-c.h"
#include "server/grpc_page.h"
#include "server/grpc_partition.h"
#include "server/grpc_service.h"
#include "server/grpc_source.h"
#include "server/grpc_watch.h"

#define PARTITIONS_MAX 20000 /* of one answer */

/* One partition that is looked up: its ends, or where it would be moved to. */
struct row {
    struct slice topic;
    int32_t partition;
    int64_t committed, result, low, high;
    struct slice metadata, member_id;
    enum status status;
    bool looking_up, end_instead, asking;
    struct list_offset lookup;
    struct partition_ask ask;
    struct groups *groups;
};
struct groups {
    struct grpc_call *call;
    struct arena *arena; /* the call's, or of one look of many */
    struct arena look;
    struct grpc_watch watch; /* WatchGroup */
    struct group_call group_call;
    struct slice name;
    enum status status; /* of the machine */
    Sentinel__V1__Group *group;
    struct row *rows;
    uint32_t row_count, row_capacity, looking_up;
    struct map by_partition; /* rows, while there are any */
    /* ResetOffsets */
    struct slice *topics;
    uint32_t topic_count;
    int64_t to_timestamp_ms, to_offset;
    bool validate_only, committing;
    struct group_commit_offset *offsets;
    uint32_t offset_count;
};

static Sentinel__V1__Group *print_summary(struct arena *arena, const struct group_summary *summary) {
    Sentinel__V1__Group *out = arena_alloc(arena, sizeof *out);
    sentinel__v1__group__init(out);
    out->name = arena_text(arena, summary->name);
    out->kind = arena_text(arena, slice_from_text(summary->kind));
    out->state = arena_text(arena, slice_from_text(summary->state));
    out->protocol_type = arena_text(arena, summary->protocol_type);
    out->assignor = arena_text(arena, summary->assignor);
    out->generation = summary->generation;
    out->member_count = summary->member_count;
    return out;
}

static void begin(struct groups *g, struct grpc_call *call) {
    g->call = call;
    g->arena = &call->arena;
}

static void fail_group(struct groups *g, enum status status, const char *message) {
    grpc_call_fail_named(g->call, "group", "group", g->name, status, message);
}

/* ---- ListGroups ---------------------------------------------------------------------------------------- */

struct listing {
    struct group_listing groups;
    struct grpc_call *call;
    struct grpc_page page;
    bool busy;
};

static void list_one(struct group_listing *groups, const struct group_summary *summary) {
    struct listing *listing = CONTAINER_OF(groups, struct listing, groups);
    if (grpc_page_wants(&listing->page, summary->name))
        grpc_page_add(&listing->page, summary->name, print_summary(&listing->call->arena, summary));
}

static void listed(struct group_listing *groups) {
    struct listing *listing = CONTAINER_OF(groups, struct listing, groups);
    listing->busy = false;
    if (groups->base.status != STATUS_OK) {
        grpc_call_fail_status(listing->call, groups->base.status, NULL);
        return;
    }
    Sentinel__V1__ListGroupsResponse response = SENTINEL__V1__LIST_GROUPS_RESPONSE__INIT;
    response.groups = (Sentinel__V1__Group **)grpc_page_finish(&listing->page, &response.n_groups,
                                                               &response.next_page_token);
    grpc_call_reply_packed(listing->call, &response.base);
}

static void list_groups(struct grpc_call *call, struct grpc_message *message) {
    Sentinel__V1__ListGroupsRequest *request = grpc_call_unpack(
        call, &sentinel__v1__list_groups_request__descriptor, message->bytes);
    struct listing *listing = call->state;
    if (request == NULL || !grpc_page_init(&listing->page, call, request->page_size, request->page_token))
        return;
    listing->call = call;
    listing->busy = true;
    listing->groups.visit = list_one;
    listing->groups.done = listed;
    broker_list_groups(grpc_call_broker(call), &listing->groups);
}

static void list_ended(struct grpc_call *call) {
    struct listing *listing = call->state;
    if (listing->busy) broker_list_groups_cancel(&listing->groups);
}

/* ---- rows ---------------------------------------------------------------------------------------------- */

static struct row *add_row(struct groups *g, struct slice topic, int32_t partition) {
    uint8_t key[4 + TOPIC_NAME_SIZE_MAX];
    if (topic.size > TOPIC_NAME_SIZE_MAX) return NULL;
    store_be32(key, (uint32_t)partition);
    if (topic.size != 0) memcpy(key + 4, topic.data, topic.size);
    struct row *row = map_get(&g->by_partition, slice_make(key, 4 + topic.size));
    if (row != NULL || g->row_count == g->row_capacity) return row;
    row = &g->rows[g->row_count++];
    *row = (struct row){.topic = arena_copy(g->arena, topic),
                        .partition = partition,
                        .committed = -1,
                        .result = -1,
                        .low = -1,
                        .high = -1,
                        .groups = g};
    map_put(&g->by_partition, slice_make(key, 4 + topic.size), row);
    return row;
}

static void make_rows(struct groups *g, uint32_t count) {
    uint64_t seed;
    io_random(grpc_call_io(g->call), &seed, sizeof seed);
    map_init(&g->by_partition, seed);
    g->row_capacity = count;
    g->rows = arena_calloc(g->arena, (size_t)count + 1, sizeof *g->rows);
}

static void rows_looked_up(struct groups *g);

static void row_done(struct groups *g) {
    if (--g->looking_up == 0) rows_looked_up(g);
}

static void row_described(struct partition_ask *ask) {
    struct row *row = CONTAINER_OF(ask, struct row, ask);
    row->asking = false;
    row->status = ask->status;
    if (ask->status == STATUS_OK) {
        row->low = ask->info.log_start_offset;
        row->high = ask->info.high_watermark;
    }
    row_done(row->groups);
}

/* The leader knows where its log begins and ends, whichever node it is. */
static void describe_row(struct row *row) {
    row->asking = true;
    row->ask = (struct partition_ask){
        .kind = PARTITION_DESCRIBE, .topic = row->topic, .partition = row->partition, .done = row_described};
    broker_ask_partition(grpc_call_broker(row->groups->call), &row->ask);
}

static void look_up_done(struct list_offset *lookup) {
    struct row *row = CONTAINER_OF(lookup, struct row, lookup);
    struct groups *g = row->groups;
    if (lookup->status == STATUS_OK && lookup->offset == -1 && !row->end_instead) {
        row->end_instead = true; /* no record at or after the time */
        lookup->timestamp_ms = OFFSET_LATEST;
        broker_list_offset(grpc_call_broker(g->call), lookup);
        return;
    }
    row->looking_up = false;
    row->status = lookup->status;
    row->result = lookup->status == STATUS_OK ? lookup->offset : -1;
    if (g->to_offset >= 0 && row->status == STATUS_OK)
        describe_row(row); /* the offset is held within what there is */
    else
        row_done(g);
}

static void look_up_row(struct row *row) {
    row->looking_up = true;
    row->lookup = (struct list_offset){.topic = row->topic,
                                       .partition = row->partition,
                                       .timestamp_ms = row->groups->to_timestamp_ms,
                                       .forward = true,
                                       .done = look_up_done};
    broker_list_offset(grpc_call_broker(row->groups->call), &row->lookup);
}

static void start_rows(struct groups *g, void (*start)(struct row *row)) {
    g->looking_up = g->row_count + 1; /* not done before the last was started */
    for (uint32_t i = 0; i < g->row_count; i++)
        start(&g->rows[i]);
    row_done(g);
}

static void groups_ended(struct grpc_call *call) {
    struct groups *g = call->state;
    coordinator_cancel(&g->group_call);
    if (g->rows != NULL) map_release(&g->by_partition);
    for (uint32_t i = 0; i < g->row_count; i++) {
        if (g->rows[i].looking_up) broker_list_offset_cancel(&g->rows[i].lookup);
        if (g->rows[i].asking) broker_ask_partition_cancel(&g->rows[i].ask);
    }
}

/* ---- what a group holds -------------------------------------------------------------------------------- */

static void add_member_partition(struct groups *g, Sentinel__V1__GroupMember *member, struct slice topic,
                                 int32_t partition) {
    struct row *row = add_row(g, topic, partition);
    if (row == NULL) return;
    row->member_id = slice_from_text(member->member_id);
    Sentinel__V1__TopicPartition *out = arena_alloc(g->arena, sizeof *out);
    sentinel__v1__topic_partition__init(out);
    out->topic = arena_text(g->arena, row->topic);
    out->partition = partition;
    member->partitions[member->n_partitions++] = out;
}

/* The consumer protocol's assignment: version i16, [topic string, [partition i32]], user data. `visit` NULL:
 * only counts. */
static uint32_t read_assignment(struct slice bytes, struct groups *g, Sentinel__V1__GroupMember *member) {
    struct reader in = reader_make(bytes);
    uint32_t total = 0;
    (void)reader_be16(&in);
    uint32_t topics = reader_be32(&in);
    for (uint32_t t = 0; t < topics && reader_ok(&in); t++) {
        struct slice topic = reader_bytes(&in, reader_be16(&in));
        uint32_t count = reader_be32(&in);
        for (uint32_t p = 0; p < count && reader_ok(&in); p++) {
            int32_t partition = (int32_t)reader_be32(&in);
            if (!reader_ok(&in) || topic.size > TOPIC_NAME_SIZE_MAX) continue;
            total++;
            if (g != NULL) add_member_partition(g, member, topic, partition);
        }
    }
    return total;
}

static Sentinel__V1__GroupMember *print_member(struct groups *g, const struct group *group,
                                               const struct group_member *in) {
    Sentinel__V1__GroupMember *out = arena_alloc(g->arena, sizeof *out);
    sentinel__v1__group_member__init(out);
    out->member_id = arena_text(g->arena, in->id);
    out->instance_id = arena_text(g->arena, in->instance_id);
    out->client_id = arena_text(g->arena, in->client_id);
    out->client_host = arena_text(g->arena, in->client_host);
    bool consumers = slice_equal(group->protocol_type, SLICE_LITERAL("consumer"));
    bool classic = group->kind == GROUP_CLASSIC && group->phase == GROUP_STABLE && consumers;
    uint32_t count = classic ? read_assignment(in->assignment, NULL, NULL) : in->assigned.count;
    out->partitions = arena_calloc(g->arena, (size_t)count + 1, sizeof *out->partitions);
    if (classic) MAYBE(read_assignment(in->assignment, g, out));
    for (uint32_t i = 0; i < in->assigned.count; i++) {
        const struct broker_topic *topic = broker_topic_find_id(grpc_call_broker(g->call),
                                                                in->assigned.list[i].topic);
        if (topic != NULL)
            add_member_partition(g, out, slice_from_text(topic->name), in->assigned.list[i].partition);
    }
    return out;
}

static bool is_asked(const struct groups *g, struct slice topic) {
    for (uint32_t i = 0; i < g->topic_count; i++)
        if (slice_equal(g->topics[i], topic)) return true;
    return g->topic_count == 0;
}

static uint32_t count_rows(struct groups *g, const struct group *group) {
    size_t count = 0;
    if (group != NULL) count = group->offsets.count;
    if (group != NULL) {
        MAP_FOREACH(it, &group->members) {
            const struct group_member *member = MAP_ENTRY(it)->value;
            count += member->assigned.count + read_assignment(member->assignment, NULL, NULL);
        }
    }
    for (uint32_t i = 0; i < g->topic_count; i++) {
        const struct broker_topic *topic = broker_topic_find(grpc_call_broker(g->call), g->topics[i]);
        if (topic != NULL) count += (size_t)topic->partition_count;
    }
    return (uint32_t)MIN(count, (size_t)PARTITIONS_MAX);
}

static void add_offsets(struct groups *g, const struct group *group) {
    MAP_FOREACH(it, &group->offsets) {
        const struct group_offset *offset = MAP_ENTRY(it)->value;
        if (!is_asked(g, offset->topic)) continue;
        struct row *row = add_row(g, offset->topic, offset->partition);
        if (row == NULL) break;
        row->committed = offset->offset;
        row->metadata = arena_copy(g->arena, offset->metadata);
    }
}

/* ---- GetGroup ------------------------------------------------------------------------------------------ */

static void got_group(struct group_call *call, const struct group_reply *reply) {
    struct groups *g = CONTAINER_OF(call, struct groups, group_call);
    const struct group *group = reply->group;
    g->status = group == NULL ? STATUS_GROUP_NOT_FOUND : STATUS_OK;
    if (group == NULL) return;
    make_rows(g, count_rows(g, group));
    const struct group_summary summary = coordinator_summary(group);
    g->group = print_summary(g->arena, &summary);
    g->group->members = arena_calloc(g->arena, group->members.count + 1, sizeof *g->group->members);
    add_offsets(g, group);
    MAP_FOREACH(it, &group->members) {
        g->group->members[g->group->n_members++] = print_member(g, group, MAP_ENTRY(it)->value);
    }
}

static void group_known(struct group_call *call) {
    struct groups *g = CONTAINER_OF(call, struct groups, group_call);
    enum status status = call->status != STATUS_OK ? call->status : g->status;
    bool passes = status_grpc_code(status) == GRPC_UNAVAILABLE && g->watch.told;
    if (passes) /* another node takes the group over */
        grpc_watch_skip(&g->watch);
    else if (status != STATUS_OK)
        fail_group(g, status, NULL);
    else
        start_rows(g, describe_row);
}

static Sentinel__V1__GroupPartition *print_row(struct groups *g, const struct row *row) {
    Sentinel__V1__GroupPartition *out = arena_alloc(g->arena, sizeof *out);
    sentinel__v1__group_partition__init(out);
    out->topic = arena_text(g->arena, row->topic);
    out->partition = row->partition;
    out->committed_offset = row->committed;
    out->metadata = arena_text(g->arena, row->metadata);
    out->high_watermark = row->high;
    out->log_start_offset = row->low;
    out->member_id = arena_text(g->arena, row->member_id);
    out->lag = row->high < 0 ? -1 : MAX(row->high - MAX(row->committed, row->low), 0);
    if (out->lag > 0) g->group->total_lag += out->lag;
    return out;
}

static int compare_rows(const void *a, const void *b) {
    const struct row *x = a, *y = b;
    int order = slice_compare(x->topic, y->topic);
    return order != 0 ? order : (x->partition > y->partition) - (x->partition < y->partition);
}

static void reply_group(struct groups *g) {
    qsort(g->rows, g->row_count, sizeof *g->rows, compare_rows);
    g->group->partitions = arena_calloc(g->arena, (size_t)g->row_count + 1, sizeof *g->group->partitions);
    for (uint32_t i = 0; i < g->row_count; i++)
        g->group->partitions[g->group->n_partitions++] = print_row(g, &g->rows[i]);
    Sentinel__V1__GetGroupResponse response = SENTINEL__V1__GET_GROUP_RESPONSE__INIT;
    Sentinel__V1__WatchGroupResponse watched = SENTINEL__V1__WATCH_GROUP_RESPONSE__INIT;
    response.group = watched.group = g->group;
    if (g->watch.call != NULL)
        grpc_watch_tell(&g->watch, &watched.base);
    else
        grpc_call_reply_packed(g->call, &response.base);
}

static void read_group(struct groups *g) {
    g->group_call = (struct group_call){.answer = got_group, .done = group_known, .forward = true};
    const struct group_identity who = {.group = g->name, .generation = -1};
    coordinator_read(grpc_call_broker(g->call), &g->group_call, &who);
}

static void get_group(struct grpc_call *call, struct grpc_message *message) {
    Sentinel__V1__GetGroupRequest *request = grpc_call_unpack(
        call, &sentinel__v1__get_group_request__descriptor, message->bytes);
    if (request == NULL) return;
    struct groups *g = call->state;
    begin(g, call);
    g->name = slice_from_text(request->name);
    read_group(g);
}

static void look(struct grpc_watch *watch) {
    struct groups *g = CONTAINER_OF(watch, struct groups, watch);
    if (g->rows != NULL) map_release(&g->by_partition);
    g->rows = NULL;
    g->row_count = g->row_capacity = 0;
    arena_clear(&g->look);
    read_group(g);
}

static void watch_group(struct grpc_call *call, struct grpc_message *message) {
    Sentinel__V1__WatchGroupRequest *request = grpc_call_unpack(
        call, &sentinel__v1__watch_group_request__descriptor, message->bytes);
    if (request == NULL) return;
    struct groups *g = call->state;
    g->call = call;
    g->name = slice_from_text(request->name);
    arena_init(&g->look, 4 * KIB);
    g->arena = &g->look;
    MAYBE(grpc_watch_start(&g->watch, call, request->interval_ms, look));
}

static void watch_ended(struct grpc_call *call) {
    struct groups *g = call->state;
    groups_ended(call);
    grpc_watch_end(&g->watch);
    if (g->arena != NULL) arena_release(&g->look);
}

/* ---- DeleteGroup and CommitOffsets ----------------------------------------------------------------------
 */

static void changed(struct group_call *call, const struct group_reply *reply) {
    struct groups *g = CONTAINER_OF(call, struct groups, group_call);
    g->status = reply->status;
}

static void deleted(struct group_call *call) {
    struct groups *g = CONTAINER_OF(call, struct groups, group_call);
    enum status status = call->status != STATUS_OK ? call->status : g->status;
    const Sentinel__V1__DeleteGroupResponse response = SENTINEL__V1__DELETE_GROUP_RESPONSE__INIT;
    if (status != STATUS_OK)
        fail_group(g, status, NULL);
    else
        grpc_call_reply_packed(g->call, &response.base);
}

static void delete_group(struct grpc_call *call, struct grpc_message *message) {
    Sentinel__V1__DeleteGroupRequest *request = grpc_call_unpack(
        call, &sentinel__v1__delete_group_request__descriptor, message->bytes);
    if (request == NULL) return;
    struct groups *g = call->state;
    begin(g, call);
    g->name = slice_from_text(request->name);
    g->group_call = (struct group_call){.answer = changed, .done = deleted, .forward = true};
    coordinator_delete_group(grpc_call_broker(call), &g->group_call, g->name);
}

static void committed(struct group_call *call) {
    struct groups *g = CONTAINER_OF(call, struct groups, group_call);
    enum status status = call->status != STATUS_OK ? call->status : g->status;
    for (uint32_t i = 0; i < g->offset_count && status == STATUS_OK; i++)
        status = g->offsets[i].status;
    const Sentinel__V1__CommitOffsetsResponse response = SENTINEL__V1__COMMIT_OFFSETS_RESPONSE__INIT;
    if (status == STATUS_UNKNOWN_MEMBER)
        fail_group(g, STATUS_GROUP_NOT_EMPTY, "the group has members: they commit");
    else if (status != STATUS_OK)
        fail_group(g, status, NULL);
    else
        grpc_call_reply_packed(g->call, &response.base);
}

static void commit(struct groups *g, void (*done)(struct group_call *call)) {
    g->group_call = (struct group_call){.answer = changed, .done = done, .forward = true};
    const struct group_commit commit = {
        .who = {.group = g->name, .generation = -1}, .offsets = g->offsets, .offset_count = g->offset_count};
    coordinator_commit(grpc_call_broker(g->call), &g->group_call, &commit);
}

static void commit_offsets(struct grpc_call *call, struct grpc_message *message) {
    Sentinel__V1__CommitOffsetsRequest *request = grpc_call_unpack(
        call, &sentinel__v1__commit_offsets_request__descriptor, message->bytes);
    if (request == NULL) return;
    struct groups *g = call->state;
    begin(g, call);
    g->name = slice_from_text(request->group);
    g->offsets = arena_calloc(&call->arena, request->n_offsets + 1, sizeof *g->offsets);
    for (size_t i = 0; i < request->n_offsets; i++)
        if (!grpc_partition_read_offset(call, request->offsets[i], &g->offsets[g->offset_count++])) return;
    commit(g, committed);
}

/* ---- ResetOffsets -------------------------------------------------------------------------------------- */

static void reply_reset(struct groups *g) {
    struct arena *arena = g->arena;
    Sentinel__V1__ResetOffsetsResponse response = SENTINEL__V1__RESET_OFFSETS_RESPONSE__INIT;
    response.offsets = arena_calloc(arena, (size_t)g->row_count + 1, sizeof *response.offsets);
    for (uint32_t i = 0; i < g->row_count; i++) {
        const struct row *row = &g->rows[i];
        Sentinel__V1__ResetOffset *out = arena_alloc(arena, sizeof *out);
        sentinel__v1__reset_offset__init(out);
        out->topic = arena_text(g->arena, row->topic);
        out->partition = row->partition;
        out->old_offset = row->committed;
        out->new_offset = row->status == STATUS_OK ? row->result : row->committed;
        if (row->status != STATUS_OK)
            out->error = grpc_partition_error_message(
                arena, &(struct grpc_partition_error){
                           .status = row->status, .topic = row->topic, .partition = row->partition});
        response.offsets[response.n_offsets++] = out;
    }
    grpc_call_reply_packed(g->call, &response.base);
}

static void reset_done(struct group_call *call) {
    struct groups *g = CONTAINER_OF(call, struct groups, group_call);
    enum status status = call->status != STATUS_OK ? call->status : g->status;
    for (uint32_t i = 0; i < g->row_count; i++)
        g->rows[i].status = g->offsets[i].status; /* the group refuses each by itself */
    if (status == STATUS_UNKNOWN_MEMBER)
        fail_group(g, STATUS_GROUP_NOT_EMPTY, "the group has members: stop them first");
    else if (status != STATUS_OK)
        fail_group(g, status, NULL);
    else
        reply_reset(g);
}

static void reset_rows(struct groups *g) {
    g->offsets = arena_calloc(g->arena, (size_t)g->row_count + 1, sizeof *g->offsets);
    g->offset_count = g->row_count;
    for (uint32_t i = 0; i < g->row_count; i++) {
        struct row *row = &g->rows[i];
        if (g->to_offset >= 0) row->result = MIN(MAX(g->to_offset, row->low), row->high);
        const struct broker_topic *topic = broker_topic_find(grpc_call_broker(g->call), row->topic);
        g->offsets[i] = (struct group_commit_offset){.topic = row->topic,
                                                     .partition = row->partition,
                                                     .offset = row->result,
                                                     .leader_epoch = -1,
                                                     .metadata = row->metadata,
                                                     .status = row->status};
        if (topic != NULL) g->offsets[i].topic_id = topic->id;
    }
    if (g->validate_only)
        reply_reset(g);
    else
        commit(g, reset_done);
}

static void reset_answer(struct group_call *call, const struct group_reply *reply) {
    struct groups *g = CONTAINER_OF(call, struct groups, group_call);
    const struct group *group = reply->group;
    g->status = STATUS_OK;
    if (group == NULL && g->topic_count == 0) g->status = STATUS_GROUP_NOT_FOUND;
    if (group != NULL && group->members.count != 0) g->status = STATUS_GROUP_NOT_EMPTY;
    if (g->status != STATUS_OK) return;
    make_rows(g, count_rows(g, group));
    if (group != NULL) add_offsets(g, group);
    for (uint32_t i = 0; i < g->topic_count; i++) {
        const struct broker_topic *topic = broker_topic_find(grpc_call_broker(g->call), g->topics[i]);
        for (int32_t p = 0; topic != NULL && p < topic->partition_count; p++)
            MAYBE(add_row(g, g->topics[i], p));
    }
}

static void reset_known(struct group_call *call) {
    struct groups *g = CONTAINER_OF(call, struct groups, group_call);
    enum status status = call->status != STATUS_OK ? call->status : g->status;
    if (status == STATUS_GROUP_NOT_EMPTY)
        fail_group(g, status, "the group has members: stop them first");
    else if (status != STATUS_OK)
        fail_group(g, status, NULL);
    else
        start_rows(g, look_up_row);
}

static void reset_offsets(struct grpc_call *call, struct grpc_message *message) {
    Sentinel__V1__ResetOffsetsRequest *request = grpc_call_unpack(
        call, &sentinel__v1__reset_offsets_request__descriptor, message->bytes);
    if (request == NULL) return;
    struct groups *g = call->state;
    begin(g, call);
    g->name = slice_from_text(request->group);
    g->validate_only = request->validate_only;
    struct grpc_start to;
    if (request->to == NULL || !grpc_start_read(request->to, &to)) {
        grpc_call_fail_field(call, "to", "an anchor, or an offset or a time of 0 or later");
        return;
    }
    g->to_timestamp_ms = to.timestamp_ms;
    g->to_offset = to.offset;
    g->topics = arena_calloc(&call->arena, request->n_topics + 1, sizeof *g->topics);
    for (size_t i = 0; i < request->n_topics; i++) {
        struct slice topic = slice_from_text(request->topics[i]);
        if (grpc_partition_find_topic(call, topic) == NULL) return;
        g->topics[g->topic_count++] = topic;
    }
    g->committing = true;
    g->group_call = (struct group_call){.answer = reset_answer, .done = reset_known, .forward = true};
    const struct group_identity who = {.group = g->name, .generation = -1};
    coordinator_read(grpc_call_broker(call), &g->group_call, &who);
}

static void rows_looked_up(struct groups *g) {
    if (g->committing)
        reset_rows(g);
    else
        reply_group(g);
}

#define GROUP_METHOD(name, handler)                                                                          \
    {                                                                                                        \
        .path = "/sentinel.v1.GroupService/" name, .message_size_max = GRPC_CONTROL_MESSAGE_MAX,             \
        .state_size = sizeof(struct groups), .message = handler, .ended = groups_ended                       \
    }

const struct grpc_method grpc_groups_methods[6] = {
    {.path = "/sentinel.v1.GroupService/ListGroups",
     .message_size_max = GRPC_CONTROL_MESSAGE_MAX,
     .state_size = sizeof(struct listing),
     .message = list_groups,
     .ended = list_ended},
    GROUP_METHOD("GetGroup", get_group),
    {.path = "/sentinel.v1.GroupService/WatchGroup",
     .message_size_max = GRPC_CONTROL_MESSAGE_MAX,
     .state_size = sizeof(struct groups),
     .message = watch_group,
     .drain = grpc_watch_drain,
     .ended = watch_ended},
    GROUP_METHOD("DeleteGroup", delete_group),
    GROUP_METHOD("CommitOffsets", commit_offsets),
    GROUP_METHOD("ResetOffsets", reset_offsets),
};
