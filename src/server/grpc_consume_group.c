// SPDX-License-Identifier: Apache-2.0
/* Consume as a member of a group (KIP-848's protocol, spoken inside this node): heartbeats, assignments,
 * commits. */
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "broker/coordinator.h"
#include "server/connection.h"
#include "server/grpc_consume.h"
#include "server/grpc_leave.h"
#include "server/grpc_partition.h"
#include "server/metrics.h"

/* Heartbeats cost no network here: often enough that a rebalance is felt at once. */
#define BEAT_NS            (200 * NS_PER_MS)
#define RELEASE_DEFAULT_MS 60000
/* A member whose node is gone speaks to no coordinator again; it cannot come back under its old id either. */
#define SESSION_MS 10000
/* So long may a group be without a coordinator. */
#define COORDINATOR_PATIENCE_NS (20 * NS_PER_S)
#define RELEASE_MAX_MS          (60 * 60 * 1000)
#define COMMIT_OFFSETS_MAX      GRPC_SOURCES_MAX
#define COMMITS_UNDER_WAY_MAX   64

struct consume_group {
    struct consume *consume;
    struct slice name, member_id, instance_id;
    struct slice *topics;
    struct grpc_start *starts; /* of each topic, where nothing is committed */
    uint32_t topic_count;
    int32_t release_timeout_ms;
    int32_t epoch;
    enum status status; /* of the last heartbeat */
    uint64_t heard_ns;  /* when the coordinator answered last; 0: never asked */
    struct group_call beat, read;
    bool member;     /* joined */
    bool beat_again; /* something was let go while one was under way */
    bool overfull;   /* it was assigned more than it reads, and that was told */
    struct io_timer timer;
    struct group_partition *assigned;
    uint32_t assigned_count;
    struct list commits;
    uint32_t commit_count;
};

struct commit {
    struct list link;
    struct consume_group *group;
    struct group_call call;
    struct arena arena;
    struct group_commit_offset *offsets;
    uint32_t offset_count;
    enum status status;
};

static void beat(struct consume_group *g);

struct slice consume_group_member_id(const struct consume_group *group) {
    return group->member_id;
}

static struct broker *broker_of(const struct consume_group *g) {
    return grpc_call_broker(g->consume->call);
}

/* ---- the assignment ------------------------------------------------------------------------------------ */

static Sentinel__V1__TopicPartition **print_releasing(const struct grpc_sources *sources, struct arena *arena,
                                                      size_t *count) {
    Sentinel__V1__TopicPartition **list = arena_calloc(arena, (size_t)sources->count + 1, sizeof(*list));
    *count = 0;
    for (uint32_t i = 0; i < sources->count; i++) {
        if (!sources->list[i]->releasing) continue;
        Sentinel__V1__TopicPartition *row = list[(*count)++] = arena_alloc(arena, sizeof *row);
        sentinel__v1__topic_partition__init(row);
        row->topic = arena_text(arena, sources->list[i]->topic);
        row->partition = sources->list[i]->partition;
    }
    return list;
}

static void send_assignment(struct consume_group *g) {
    struct consume *self = g->consume;
    struct arena arena;
    arena_init(&arena, 4 * KIB);
    Sentinel__V1__ConsumeAssignment assignment = SENTINEL__V1__CONSUME_ASSIGNMENT__INIT;
    assignment.epoch = g->epoch;
    assignment.partitions = grpc_sources_print(&self->sources, &arena, &assignment.n_partitions);
    assignment.releasing = print_releasing(&self->sources, &arena, &assignment.n_releasing);
    Sentinel__V1__ConsumeResponse response = SENTINEL__V1__CONSUME_RESPONSE__INIT;
    response.message_case = SENTINEL__V1__CONSUME_RESPONSE__MESSAGE_ASSIGNMENT;
    response.assignment = &assignment;
    consume_send(self, &response);
    self->told_caught_up = false;
    arena_release(&arena);
}

static void positioned(struct grpc_sources *sources, struct grpc_source *source) {
    struct consume *self = CONTAINER_OF(sources, struct consume, sources);
    source->held = true;
    if (sources->looking_up != 0) return;
    send_assignment(self->group);
    consume_stop_fetch(self); /* the new ones are to be among those fetched */
    consume_advance(self);
}

static struct grpc_start start_of(const struct consume_group *g, struct slice topic) {
    for (uint32_t i = 0; i < g->topic_count; i++)
        if (slice_equal(g->topics[i], topic)) return g->starts[i];
    return (struct grpc_start){OFFSET_LATEST, -1};
}

/* Committed offsets are kept in the sources until the read is committed itself. */
static void read_answer(struct group_call *call, const struct group_reply *reply) {
    struct consume_group *g = CONTAINER_OF(call, struct consume_group, read);
    const struct grpc_sources *sources = &g->consume->sources;
    for (uint32_t i = 0; i < sources->count; i++) {
        struct grpc_source *source = sources->list[i];
        const struct group_offset *offset =
            reply->group == NULL ? NULL : group_offset_find(reply->group, source->topic, source->partition);
        if (!source->held) source->position = offset == NULL ? -1 : offset->offset;
        source->unsettled = reply->group != NULL &&
                            group_offset_unstable(reply->group, source->topic, source->partition);
    }
}

static bool is_assigned(const struct consume_group *g, const struct grpc_source *source, struct uuid topic) {
    for (uint32_t i = 0; i < g->assigned_count; i++)
        if (g->assigned[i].partition == source->partition && uuid_equal(g->assigned[i].topic, topic))
            return true;
    return false;
}

static bool still_assigned(const struct consume_group *g, const struct grpc_source *source) {
    const struct broker_topic *topic = broker_topic_find(broker_of(g), source->topic);
    return topic != NULL && is_assigned(g, source, topic->id);
}

static void read_done(struct group_call *call) {
    struct consume_group *g = CONTAINER_OF(call, struct consume_group, read);
    const struct grpc_sources *sources = &g->consume->sources;
    if (call->status != STATUS_OK) return; /* the next heartbeat finds them missing again */
    for (uint32_t i = 0; i < sources->count; i++) {
        struct grpc_source *source = sources->list[i];
        if (source->held || source->looking_up || !still_assigned(g, source)) continue;
        if (source->unsettled) continue; /* as above */
        struct grpc_start start = source->position >= 0 ? (struct grpc_start){OFFSET_LATEST, source->position}
                                                        : start_of(g, source->topic);
        source->paused = false;
        source->stale = true;
        grpc_sources_look_up(source, start);
    }
}

static void read_committed(struct consume_group *g) {
    if (g->read.coordinator != NULL) return;
    g->read = (struct group_call){.answer = read_answer, .done = read_done, .forward = true};
    const struct group_identity who = {.group = g->name, .generation = -1};
    coordinator_read(broker_of(g), &g->read, &who);
}

/* Told once a member: nothing changes until somebody does something about it. */
static void tell_overfull(struct consume_group *g, uint32_t left_out) {
    if (g->overfull) return;
    g->overfull = true;
    struct server *server = g->consume->call->server;
    server_metrics(server)->group_members_overfull++;
    char name[300];
    log_warn(server_log(server),
             "group member reads only part of what it is assigned group=%s assigned=%u unread=%u limit=%d "
             "hint=\"start more members\"",
             log_quote(name, sizeof name, g->name), g->assigned_count, left_out, GRPC_SOURCES_MAX);
}

static void apply_assignment(struct consume_group *g) {
    struct grpc_sources *sources = &g->consume->sources;
    bool taken = false, wanted = false;
    uint32_t left_out = 0;
    for (uint32_t i = 0; i < sources->count; i++)
        sources->list[i]->assigned = false;
    for (uint32_t i = 0; i < g->assigned_count; i++) {
        const struct broker_topic *topic = broker_topic_find_id(broker_of(g), g->assigned[i].topic);
        if (topic == NULL) continue;
        struct grpc_source *source = grpc_sources_get(sources, slice_from_text(topic->name),
                                                      g->assigned[i].partition);
        left_out += source == NULL;
        if (source == NULL) continue;
        source->assigned = true;
        wanted |= !source->held && !source->looking_up;
    }
    for (uint32_t i = 0; i < sources->count; i++) {
        struct grpc_source *source = sources->list[i];
        if (!grpc_source_reads(source) || source->assigned) continue;
        source->releasing = source->stale = taken = true;
    }
    if (left_out != 0) tell_overfull(g, left_out);
    if (taken) {
        send_assignment(g);
        consume_stop_fetch(g->consume);
        consume_advance(g->consume);
    }
    if (wanted && !g->consume->call->ended) read_committed(g);
}

/* ---- heartbeats ---------------------------------------------------------------------------------------- */

static void beat_answer(struct group_call *call, const struct group_reply *reply) {
    struct consume_group *g = CONTAINER_OF(call, struct consume_group, beat);
    g->status = reply->status;
    if (reply->status != STATUS_OK) return;
    g->epoch = reply->member->epoch;
    const struct group_partitions *set = &reply->member->assigned;
    g->assigned = mem_realloc(g->assigned, ((size_t)set->count + 1) * sizeof *g->assigned);
    g->assigned_count = set->count;
    if (set->count != 0) memcpy(g->assigned, set->list, set->count * sizeof *set->list);
}

static void beat_done(struct group_call *call) {
    struct consume_group *g = CONTAINER_OF(call, struct consume_group, beat);
    struct consume *self = g->consume;
    /* Another node takes over: the group remembers its members. */
    bool moves = call->status == STATUS_COORDINATOR_LOADING || call->status == STATUS_NOT_COORDINATOR ||
                 call->status == STATUS_UNAVAILABLE;
    uint64_t now_ns = io_now_ns(grpc_call_io(self->call));
    if (call->status == STATUS_OK || g->heard_ns == 0) g->heard_ns = now_ns;
    if (moves && now_ns - g->heard_ns < COORDINATOR_PATIENCE_NS) {
        io_timer_set(grpc_call_io(self->call), &g->timer, io_now_ns(grpc_call_io(self->call)) + BEAT_NS);
        return;
    }
    enum status status = call->status != STATUS_OK ? call->status : g->status;
    if (status != STATUS_OK) {
        bool out = g->member && (status == STATUS_UNKNOWN_MEMBER || status == STATUS_FENCED_MEMBER_EPOCH);
        g->member = false;
        grpc_call_fail_status(self->call, status, out ? "the group went on without this member" : NULL);
        return;
    }
    if (!g->member) {
        g->member = self->started = true;
        consume_send_started(self);
    }
    apply_assignment(g);
    if (self->call->ended) return;
    if (g->beat_again)
        beat(g);
    else
        io_timer_set(grpc_call_io(self->call), &g->timer, io_now_ns(grpc_call_io(self->call)) + BEAT_NS);
}

/* What it has, or is about to have, or has not let go yet. */
static uint32_t owned_partitions(const struct consume_group *g, struct group_partition *owned) {
    const struct grpc_sources *sources = &g->consume->sources;
    uint32_t count = 0;
    for (uint32_t i = 0; i < sources->count; i++) {
        const struct grpc_source *source = sources->list[i];
        const struct broker_topic *topic = broker_topic_find(broker_of(g), source->topic);
        if (topic == NULL || !(source->held || source->looking_up)) continue;
        owned[count++] = (struct group_partition){topic->id, source->partition};
    }
    return count;
}

static void beat(struct consume_group *g) {
    if (g->beat.coordinator != NULL) {
        g->beat_again = true;
        return;
    }
    g->beat_again = false;
    io_timer_cancel(grpc_call_io(g->consume->call), &g->timer);
    struct group_partition *owned = mem_calloc((size_t)g->consume->sources.count + 1, sizeof *owned);
    struct group_consumer_beat request = {
        .group = g->name,
        .member_id = g->member_id,
        .instance_id = g->instance_id,
        .client_id = SLICE_LITERAL("grpc"),
        .client_host = slice_from_text(connection_peer(grpc_call_connection(g->consume->call))->text),
        .epoch = g->member ? g->epoch : GROUP_EPOCH_JOIN,
        .rebalance_timeout_ms = g->release_timeout_ms,
        .session_timeout_ms = SESSION_MS,
        .has_topics = !g->member,
        .has_owned = true,
        .topics = g->topics,
        .topic_count = g->topic_count,
        .owned = owned,
        .owned_count = owned_partitions(g, owned),
    };
    bool changed; /* what it has is compared all the same */
    g->beat = (struct group_call){.answer = beat_answer, .done = beat_done, .forward = true};
    coordinator_beat(broker_of(g), &g->beat, &request, &changed);
    mem_free(owned);
}

static void timer_fired(struct io_timer *timer) {
    beat(CONTAINER_OF(timer, struct consume_group, timer));
}

/* ---- start and end ------------------------------------------------------------------------------------- */

static bool read_topics(struct consume_group *g, const Sentinel__V1__ConsumeStart *request) {
    struct grpc_call *call = g->consume->call;
    g->topics = arena_calloc(&call->arena, request->n_topics, sizeof *g->topics);
    g->starts = arena_calloc(&call->arena, request->n_topics, sizeof *g->starts);
    for (size_t i = 0; i < request->n_topics; i++) {
        const Sentinel__V1__ConsumeTopic *topic = request->topics[i];
        if (topic->n_partitions != 0) {
            grpc_call_fail_field(call, "start.topics", "the group says which partitions are read");
            return false;
        }
        if (!grpc_start_read(topic->start, &g->starts[i])) {
            grpc_call_fail_field(call, "start", "an anchor, or an offset or a time of 0 or later");
            return false;
        }
        if (topic_name_check(slice_from_text(topic->topic), NULL) != STATUS_OK) {
            grpc_call_fail_field(call, "start.topics", "'%s' is no topic name", topic->topic);
            return false;
        }
        g->topics[g->topic_count++] = arena_copy(&call->arena, slice_from_text(topic->topic));
    }
    if (g->topic_count == 0) grpc_call_fail_field(call, "start.topics", "name at least one topic");
    return g->topic_count != 0;
}

static struct slice new_member_id(struct grpc_call *call) {
    uint8_t random[16];
    char text[2 * sizeof random + 1];
    io_random(grpc_call_io(call), random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(text + 2 * i, 3, "%02x", random[i]);
    return arena_copy(&call->arena, slice_from_text(text));
}

bool consume_group_start(struct consume *self, const Sentinel__V1__ConsumeStart *request) {
    struct grpc_call *call = self->call;
    struct slice name = slice_from_text(request->group);
    if (name.size > GROUP_ID_SIZE_MAX) {
        grpc_call_fail_field(call, "start.group", "a group name has at most %d bytes", GROUP_ID_SIZE_MAX);
        return false;
    }
    int32_t release_ms = request->release_timeout_ms;
    if (release_ms < 0 || release_ms > RELEASE_MAX_MS) {
        grpc_call_fail_field(call, "start.release_timeout_ms", "0 to %d", RELEASE_MAX_MS);
        return false;
    }
    struct consume_group *g = arena_calloc(&call->arena, 1, sizeof *g);
    g->consume = self;
    list_init(&g->commits);
    io_timer_init(&g->timer, timer_fired);
    g->name = arena_copy(&call->arena, name);
    g->member_id = new_member_id(call);
    if (request->instance_id != NULL && request->instance_id[0] != '\0')
        g->instance_id = arena_copy(&call->arena, slice_from_text(request->instance_id));
    g->release_timeout_ms = release_ms == 0 ? RELEASE_DEFAULT_MS : release_ms;
    if (!read_topics(g, request)) return false;
    grpc_sources_init(&self->sources, call, positioned);
    self->group = g;
    beat(g);
    return true;
}

static void commit_free(struct commit *commit) {
    list_remove(&commit->link);
    commit->group->commit_count--;
    arena_release(&commit->arena);
    mem_free(commit);
}

void consume_group_end(struct consume *self) {
    struct consume_group *g = self->group;
    io_timer_cancel(grpc_call_io(self->call), &g->timer);
    bool joining = g->beat.coordinator != NULL && !g->member;
    coordinator_cancel(&g->beat);
    coordinator_cancel(&g->read);
    LIST_FOREACH(it, &g->commits) {
        struct commit *commit = CONTAINER_OF(it, struct commit, link);
        coordinator_cancel(&commit->call);
        commit_free(commit);
    }
    mem_free(g->assigned);
    if (g->member || joining) grpc_leave(self->call->server, g->name, g->member_id, g->instance_id);
}

/* ---- commits and releases ------------------------------------------------------------------------------ */

static void send_committed(struct commit *commit, enum status status, const char *why) {
    struct consume *self = commit->group->consume;
    Sentinel__V1__ConsumeCommitted committed = SENTINEL__V1__CONSUME_COMMITTED__INIT;
    if (status != STATUS_OK) {
        committed.error = grpc_partition_error_message(
            &commit->arena,
            &(struct grpc_partition_error){.status = status, .partition = -1, .message = why});
    } else {
        committed.offsets = arena_calloc(&commit->arena, (size_t)commit->offset_count + 1,
                                         sizeof *committed.offsets);
        for (uint32_t i = 0; i < commit->offset_count; i++) {
            Sentinel__V1__CommitOffset *row = arena_alloc(&commit->arena, sizeof *row);
            sentinel__v1__commit_offset__init(row);
            row->topic = arena_text(&commit->arena, commit->offsets[i].topic);
            row->partition = commit->offsets[i].partition;
            row->offset = commit->offsets[i].offset;
            row->metadata = arena_text(&commit->arena, commit->offsets[i].metadata);
            committed.offsets[committed.n_offsets++] = row;
        }
    }
    Sentinel__V1__ConsumeResponse response = SENTINEL__V1__CONSUME_RESPONSE__INIT;
    response.message_case = SENTINEL__V1__CONSUME_RESPONSE__MESSAGE_COMMITTED;
    response.committed = &committed;
    consume_send(self, &response);
}

static void commit_answer(struct group_call *call, const struct group_reply *reply) {
    struct commit *commit = CONTAINER_OF(call, struct commit, call);
    commit->status = reply->status;
    for (uint32_t i = 0; i < commit->offset_count && commit->status == STATUS_OK; i++)
        commit->status = commit->offsets[i].status;
}

static void commit_done(struct group_call *call) {
    struct commit *commit = CONTAINER_OF(call, struct commit, call);
    send_committed(commit, call->status != STATUS_OK ? call->status : commit->status, NULL);
    commit_free(commit);
}

/* Fills in the offsets; NULL, or why they cannot be committed. */
static const char *read_offsets(struct commit *commit, const Sentinel__V1__ConsumeCommit *request) {
    const struct grpc_sources *sources = &commit->group->consume->sources;
    commit->offsets = arena_calloc(&commit->arena, request->n_offsets + 1, sizeof *commit->offsets);
    for (size_t i = 0; i < request->n_offsets; i++) {
        const Sentinel__V1__CommitOffset *in = request->offsets[i];
        struct slice topic = slice_from_text(in->topic);
        bool held = false;
        for (uint32_t s = 0; s < sources->count && !held; s++)
            held = sources->list[s]->held && sources->list[s]->partition == in->partition &&
                   slice_equal(sources->list[s]->topic, topic);
        const struct broker_topic *found = broker_topic_find(broker_of(commit->group), topic);
        if (!held || found == NULL) return "a partition is not this member's, or was let go";
        if (in->offset < 0) return "an offset is negative";
        commit->offsets[commit->offset_count++] = (struct group_commit_offset){
            .topic = arena_copy(&commit->arena, topic),
            .topic_id = found->id,
            .partition = in->partition,
            .offset = in->offset,
            .leader_epoch = -1,
            .metadata = arena_copy(&commit->arena, slice_from_text(in->metadata))};
    }
    return NULL;
}

void consume_group_commit(struct consume *self, const Sentinel__V1__ConsumeCommit *request) {
    struct consume_group *g = self->group;
    if (g == NULL || !g->member) {
        grpc_call_fail_field(self->call, "commit", "only a member of a group commits, once it has started");
        return;
    }
    if (request->n_offsets > COMMIT_OFFSETS_MAX || g->commit_count >= COMMITS_UNDER_WAY_MAX) {
        grpc_call_fail_status(self->call, STATUS_BUSY, "too many commits are under way");
        return;
    }
    struct commit *commit = mem_calloc(1, sizeof *commit);
    commit->group = g;
    commit->call = (struct group_call){.answer = commit_answer, .done = commit_done, .forward = true};
    arena_init(&commit->arena, 1 * KIB);
    list_push_back(&g->commits, &commit->link);
    g->commit_count++;
    const char *why = read_offsets(commit, request);
    if (why != NULL) {
        send_committed(commit, STATUS_INVALID, why);
        commit_free(commit);
        return;
    }
    const struct group_commit offsets = {
        .who = {.group = g->name, .member_id = g->member_id, .generation = g->epoch},
        .offsets = commit->offsets,
        .offset_count = commit->offset_count,
    };
    coordinator_commit(broker_of(g), &commit->call, &offsets);
}

static bool is_named(const Sentinel__V1__ConsumeRelease *request, const struct grpc_source *source) {
    for (size_t i = 0; i < request->n_partitions; i++)
        if (request->partitions[i]->partition == source->partition &&
            slice_equal(slice_from_text(request->partitions[i]->topic), source->topic))
            return true;
    return request->n_partitions == 0;
}

void consume_group_release(struct consume *self, const Sentinel__V1__ConsumeRelease *request) {
    const struct grpc_sources *sources = &self->sources;
    if (self->group == NULL) {
        grpc_call_fail_field(self->call, "release", "only a member of a group has something to let go");
        return;
    }
    for (uint32_t i = 0; i < sources->count; i++)
        if (sources->list[i]->releasing && is_named(request, sources->list[i]))
            sources->list[i]->releasing = sources->list[i]->held = false;
    if (self->group->member) beat(self->group);
}
