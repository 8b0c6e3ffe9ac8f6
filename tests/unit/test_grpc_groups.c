// SPDX-License-Identifier: Apache-2.0
/* Groups over gRPC: streams that share a topic's partitions, let go, commit, come back; and GroupService. */
#include <stdio.h>

#include "lib/test.h"

#include "broker/broker_state.h"
#include "broker/coordinator_state.h"
#include "lib/grpc_world.h"
#include "sentinel/v1/consumer_service.pb-c.h"
#include "sentinel/v1/group_service.pb-c.h"
#include "sentinel/v1/producer_service.pb-c.h"
#include "server/grpc_source.h"
#include "server/metrics.h"
#include "wire/record_batch.h"

#define CONSUME    "/sentinel.v1.ConsumerService/Consume"
#define SERVICE    "/sentinel.v1.GroupService/"
#define PARTITIONS 4

static struct grpc_world world;

static int open_world(void **state) {
    grpc_world_open(&world, 3);
    grpc_world_topic(&world, "t", PARTITIONS);
    *state = &world;
    return 0;
}

static void produce(int partition, int count) {
    struct record_batch_builder builder;
    record_batch_begin(&builder);
    for (int i = 0; i < count; i++)
        record_batch_add(&builder, 1000, SLICE_EMPTY, SLICE_LITERAL("value"), NULL, 0);
    struct buffer *batch = record_batch_finish(&builder, CODEC_NONE, NULL);
    record_batch_builder_release(&builder);
    Sentinel__V1__ProduceRequest request = SENTINEL__V1__PRODUCE_REQUEST__INIT;
    request.topic = (char *)(uintptr_t) "t";
    request.partition_presence_case = SENTINEL__V1__PRODUCE_REQUEST__PARTITION_PRESENCE_PARTITION;
    request.partition = partition;
    request.record_batch = (ProtobufCBinaryData){batch->size, batch->data};
    assert_int_equal(
        grpc_world_unary(&world, "/sentinel.v1.ProducerService/Produce", &request.base)->grpc_status, 0);
    buffer_unref(batch);
}

/* A member: its stream, and what it has been told. */
struct member {
    struct grpc_world_call *call;
    size_t read;
    bool started, reads[PARTITIONS], releasing[PARTITIONS];
    int64_t position[PARTITIONS];
    int assignments, committed, refused;
    char refusal[128]; /* the last */
};

static void send(struct member *member, Sentinel__V1__ConsumeRequest__MessageCase kind, void *message) {
    Sentinel__V1__ConsumeRequest request = SENTINEL__V1__CONSUME_REQUEST__INIT;
    request.message_case = kind;
    request.start = message; /* the members of the union are all pointers */
    grpc_world_send(member->call, &request.base);
}

static void join_topics(struct member *member, const char *const *names, size_t count,
                        const char *instance_id) {
    Sentinel__V1__StartPosition from = SENTINEL__V1__START_POSITION__INIT;
    from.position_case = SENTINEL__V1__START_POSITION__POSITION_ANCHOR;
    from.anchor = SENTINEL__V1__ANCHOR__ANCHOR_EARLIEST;
    Sentinel__V1__ConsumeTopic rows[2], *topics[2];
    assert_true(count <= ARRAY_COUNT(rows));
    for (size_t i = 0; i < count; i++) {
        sentinel__v1__consume_topic__init(&rows[i]);
        rows[i].topic = (char *)(uintptr_t)names[i];
        rows[i].start = &from;
        topics[i] = &rows[i];
    }
    Sentinel__V1__ConsumeCredit credit = SENTINEL__V1__CONSUME_CREDIT__INIT;
    credit.records = credit.bytes = 1 << 20;
    Sentinel__V1__ConsumeStart start = SENTINEL__V1__CONSUME_START__INIT;
    start.n_topics = count;
    start.topics = topics;
    start.credit = &credit;
    start.group = (char *)(uintptr_t) "g";
    start.instance_id = (char *)(uintptr_t)instance_id;
    start.release_timeout_ms = 3000;
    start.progress_interval_ms = 20;
    *member = (struct member){.call = grpc_world_call(&world.client, CONSUME, NULL)};
    send(member, SENTINEL__V1__CONSUME_REQUEST__MESSAGE_START, &start);
}

static void join(struct member *member, const char *instance_id) {
    join_topics(member, &(const char *){"t"}, 1, instance_id);
}

static void take_assignment(struct member *member, const Sentinel__V1__ConsumeAssignment *assignment) {
    member->assignments++;
    memset(member->releasing, 0, sizeof member->releasing);
    bool before[PARTITIONS];
    memcpy(before, member->reads, sizeof before);
    memset(member->reads, 0, sizeof member->reads);
    for (size_t i = 0; i < assignment->n_partitions; i++) {
        int32_t p = assignment->partitions[i]->partition;
        member->reads[p] = true;
        if (!before[p]) member->position[p] = assignment->partitions[i]->position;
    }
    for (size_t i = 0; i < assignment->n_releasing; i++)
        member->releasing[assignment->releasing[i]->partition] = true;
}

static void take(struct member *member) {
    for (; member->read < member->call->message_count; member->read++) {
        struct slice message = member->call->messages[member->read];
        Sentinel__V1__ConsumeResponse *response = sentinel__v1__consume_response__unpack(NULL, message.size,
                                                                                         message.data);
        assert_non_null(response);
        bool starts = response->message_case == SENTINEL__V1__CONSUME_RESPONSE__MESSAGE_STARTED;
        assert_int_equal(starts, !member->started); /* the first message, and no other */
        switch (response->message_case) {
        case SENTINEL__V1__CONSUME_RESPONSE__MESSAGE_STARTED:
            member->started = response->started->member_id[0] != '\0';
            break;
        case SENTINEL__V1__CONSUME_RESPONSE__MESSAGE_ASSIGNMENT:
            take_assignment(member, response->assignment);
            break;
        case SENTINEL__V1__CONSUME_RESPONSE__MESSAGE_RECORDS:
            assert_true(member->reads[response->records->partition]);
            member->position[response->records->partition] += (int64_t)response->records->n_records;
            break;
        case SENTINEL__V1__CONSUME_RESPONSE__MESSAGE_COMMITTED:
            member->committed += response->committed->error == NULL;
            if (response->committed->error == NULL) break;
            member->refused++;
            snprintf(member->refusal, sizeof member->refusal, "%s", response->committed->error->message);
            break;
        default:
            break;
        }
        sentinel__v1__consume_response__free_unpacked(response, NULL);
    }
}

static void run(uint64_t ms, struct member *a, struct member *b) {
    grpc_world_run(&world, ms);
    take(a);
    if (b != NULL) take(b);
}

static int count(const bool *list) {
    int n = 0;
    for (int i = 0; i < PARTITIONS; i++)
        n += list[i];
    return n;
}

static void commit(struct member *member, int partition, int64_t offset) {
    Sentinel__V1__CommitOffset row = SENTINEL__V1__COMMIT_OFFSET__INIT, *rows[] = {&row};
    row.topic = (char *)(uintptr_t) "t";
    row.partition = partition;
    row.offset = offset;
    Sentinel__V1__ConsumeCommit message = SENTINEL__V1__CONSUME_COMMIT__INIT;
    message.n_offsets = 1;
    message.offsets = rows;
    send(member, SENTINEL__V1__CONSUME_REQUEST__MESSAGE_COMMIT, &message);
}

static void release(struct member *member) {
    Sentinel__V1__ConsumeRelease message = SENTINEL__V1__CONSUME_RELEASE__INIT;
    send(member, SENTINEL__V1__CONSUME_REQUEST__MESSAGE_RELEASE, &message);
}

/* The second takes half when the first has let go, and only then; what stays is not interrupted. */
static void partitions_are_shared_and_let_go(void **state) {
    (void)state;
    struct member a, b;
    for (int p = 0; p < PARTITIONS; p++)
        produce(p, 10);
    join(&a, NULL);
    run(500, &a, NULL);
    assert_true(a.started);
    assert_int_equal(count(a.reads), 4);
    for (int p = 0; p < PARTITIONS; p++)
        assert_int_equal(a.position[p], 10);
    join(&b, NULL);
    run(1000, &a, &b);
    assert_int_equal(count(a.reads), 2);
    assert_int_equal(count(a.releasing), 2);
    assert_int_equal(count(b.reads), 0);
    /* Records of what is being let go stay where they are; the others flow. */
    for (int p = 0; p < PARTITIONS; p++)
        produce(p, 5);
    run(300, &a, &b);
    for (int p = 0; p < PARTITIONS; p++)
        assert_int_equal(a.position[p], a.reads[p] ? 15 : 10);
    for (int p = 0; p < PARTITIONS; p++)
        if (a.releasing[p]) commit(&a, p, 7);
    release(&a);
    run(1000, &a, &b);
    assert_int_equal(a.committed, 2);
    assert_int_equal(count(b.reads), 2);
    for (int p = 0; p < PARTITIONS; p++) {
        assert_true(a.reads[p] != b.reads[p]);
        if (b.reads[p]) assert_int_equal(b.position[p], 15); /* from 7 on, eight records */
    }
    /* What was let go is not to be committed any more, nor is a partition of another's. */
    for (int p = 0; p < PARTITIONS; p++)
        if (b.reads[p]) commit(&a, p, 9);
    run(300, &a, &b);
    assert_int_equal(a.refused, 2);
    assert_string_equal(a.refusal, "a partition is not this member's, or was let go");
    grpc_world_cancel(b.call);
    run(1000, &a, NULL);
    assert_int_equal(count(a.reads), 4);
    grpc_world_cancel(a.call);
    grpc_world_run(&world, 100);
}

/* Who does not let go in time is out, and hears why. */
static void who_does_not_let_go_is_out(void **state) {
    (void)state;
    struct member a, b;
    join(&a, NULL);
    run(500, &a, NULL);
    join(&b, NULL);
    run(2000, &a, &b);
    assert_int_equal(count(b.reads), 0);
    run(2500, &a, &b);
    assert_true(a.call->ended);
    assert_int_equal(a.call->grpc_status, 10);
    assert_int_equal(count(b.reads), 4);
    grpc_world_cancel(b.call);
    grpc_world_run(&world, 100);
}

static Sentinel__V1__GetGroupResponse *get_group(void) {
    Sentinel__V1__GetGroupRequest request = SENTINEL__V1__GET_GROUP_REQUEST__INIT;
    request.name = (char *)(uintptr_t) "g";
    struct grpc_world_call *call = grpc_world_unary(&world, SERVICE "GetGroup", &request.base);
    if (call->grpc_status != 0) return NULL;
    return sentinel__v1__get_group_response__unpack(NULL, call->messages[0].size, call->messages[0].data);
}

/* The first words of members that go are lost: their coordinator is just moving. */
static int leaves_to_lose, leaves_lost;
static struct io_op losing;
static struct group_call *lost;

static void lose(struct io_op *op) {
    (void)op;
    lost->status = STATUS_NOT_COORDINATOR;
    lost->done(lost);
}

void __real_coordinator_beat(struct broker *broker, struct group_call *call,
                             const struct group_consumer_beat *beat, bool *changed);
void __wrap_coordinator_beat(struct broker *broker, struct group_call *call,
                             const struct group_consumer_beat *beat, bool *changed);
void __wrap_coordinator_beat(struct broker *broker, struct group_call *call,
                             const struct group_consumer_beat *beat, bool *changed) {
    if (beat->epoch >= 0 || leaves_to_lose == 0) {
        __real_coordinator_beat(broker, call, beat, changed);
        return;
    }
    leaves_to_lose--;
    leaves_lost++;
    lost = call;
    losing = (struct io_op){.done = lose};
    list_init(&losing.link);
    io_defer(world.io, &losing);
}

/* Nobody waits for the session of who is known to be gone. */
static void a_member_leaves_though_its_coordinator_moves(void **state) {
    (void)state;
    struct member a = {0}, b = {0};
    join(&a, NULL);
    run(500, &a, NULL);
    join(&b, NULL);
    run(1000, &a, &b);
    release(&a);
    run(1000, &a, &b);
    assert_int_equal(count(a.reads) + count(b.reads), PARTITIONS);
    assert_in_range(count(b.reads), 1, PARTITIONS - 1);
    leaves_to_lose = 5;
    leaves_lost = 0;
    grpc_world_cancel(a.call);
    run(3000, &b, NULL);
    assert_int_equal(leaves_lost, 5);
    assert_int_equal(count(b.reads), PARTITIONS);
    /* One that is never heard is given up, and one that is not finished ends with the server. */
    leaves_to_lose = 1000000;
    grpc_world_cancel(b.call);
    grpc_world_run(&world, 15000);
    assert_in_range(leaves_lost, 40, 70);
    leaves_lost = 0;
    grpc_world_run(&world, 1000);
    assert_int_equal(leaves_lost, 0);
    struct member c = {0};
    join(&c, NULL);
    run(500, &c, NULL);
    grpc_world_cancel(c.call);
    grpc_world_run(&world, 100);
    leaves_to_lose = 0;
}

static void a_static_member_comes_back(void **state) {
    (void)state;
    struct member a, b;
    join(&a, "one");
    run(500, &a, NULL);
    join(&b, "two");
    run(1000, &a, &b);
    release(&a);
    run(1000, &a, &b);
    assert_int_equal(count(b.reads), 2);
    bool had[PARTITIONS];
    memcpy(had, b.reads, sizeof had);
    grpc_world_cancel(b.call);
    run(1000, &a, NULL);
    assert_int_equal(count(a.reads), 2); /* its place is kept */
    join(&b, "two");
    run(1000, &a, &b);
    assert_memory_equal(b.reads, had, sizeof had);
    Sentinel__V1__GetGroupResponse *group = get_group();
    assert_non_null(group);
    assert_int_equal(group->group->member_count, 2);
    assert_string_equal(group->group->state, "Stable");
    assert_int_equal(group->group->n_partitions, 4);
    sentinel__v1__get_group_response__free_unpacked(group, NULL);
    grpc_world_cancel(a.call);
    grpc_world_cancel(b.call);
    grpc_world_run(&world, 100);
}

static struct grpc_world_call *reset(int64_t offset, bool validate_only) {
    Sentinel__V1__StartPosition to = SENTINEL__V1__START_POSITION__INIT;
    to.position_case = SENTINEL__V1__START_POSITION__POSITION_OFFSET;
    to.offset = offset;
    Sentinel__V1__ResetOffsetsRequest request = SENTINEL__V1__RESET_OFFSETS_REQUEST__INIT;
    request.group = (char *)(uintptr_t) "g";
    request.to = &to;
    request.validate_only = validate_only;
    return grpc_world_unary(&world, SERVICE "ResetOffsets", &request.base);
}

static void groups_are_shown_moved_and_deleted(void **state) {
    (void)state;
    assert_null(get_group());
    produce(2, 100);
    struct member a;
    join(&a, NULL);
    run(500, &a, NULL);
    commit(&a, 2, 60);
    run(300, &a, NULL);
    assert_int_equal(a.committed, 1);
    Sentinel__V1__GetGroupResponse *group = get_group();
    assert_int_equal(group->group->total_lag, 40);
    assert_int_equal(group->group->partitions[2]->committed_offset, 60);
    assert_int_equal(group->group->partitions[2]->lag, 40);
    sentinel__v1__get_group_response__free_unpacked(group, NULL);
    assert_int_equal(reset(5, false)->grpc_status, 9); /* it has members */
    Sentinel__V1__DeleteGroupRequest gone = SENTINEL__V1__DELETE_GROUP_REQUEST__INIT;
    gone.name = (char *)(uintptr_t) "g";
    assert_int_equal(grpc_world_unary(&world, SERVICE "DeleteGroup", &gone.base)->grpc_status, 9);
    grpc_world_cancel(a.call);
    grpc_world_run(&world, 100);
    const int64_t wanted[] = {5, 5000, 10}, expected[] = {60, 100, 10};
    for (int i = 0; i < 3; i++) {
        assert_int_equal(reset(wanted[i], i == 0)->grpc_status, 0);
        group = get_group();
        assert_int_equal(group->group->partitions[0]->committed_offset, expected[i]);
        sentinel__v1__get_group_response__free_unpacked(group, NULL);
    }
    Sentinel__V1__ListGroupsRequest list = SENTINEL__V1__LIST_GROUPS_REQUEST__INIT;
    struct grpc_world_call *call = grpc_world_unary(&world, SERVICE "ListGroups", &list.base);
    Sentinel__V1__ListGroupsResponse *groups = sentinel__v1__list_groups_response__unpack(
        NULL, call->messages[0].size, call->messages[0].data);
    assert_int_equal(groups->n_groups, 1);
    assert_string_equal(groups->groups[0]->state, "Empty");
    sentinel__v1__list_groups_response__free_unpacked(groups, NULL);
    assert_int_equal(grpc_world_unary(&world, SERVICE "DeleteGroup", &gone.base)->grpc_status, 0);
    assert_int_equal(grpc_world_unary(&world, SERVICE "DeleteGroup", &gone.base)->grpc_status, 5);
}

/* The broker's own, but for partitions that the test wants nothing to be known of. */
void __real_broker_ask_partition(struct broker *broker, struct partition_ask *ask);
void __wrap_broker_ask_partition(struct broker *broker, struct partition_ask *ask);
static int32_t unknown_range = -1;

void __wrap_broker_ask_partition(struct broker *broker, struct partition_ask *ask) {
    if (ask->partition == unknown_range) ask->partition = PARTITIONS; /* there is none */
    __real_broker_ask_partition(broker, ask);
}

void __real_broker_list_offset(struct broker *broker, struct list_offset *request);
void __wrap_broker_list_offset(struct broker *broker, struct list_offset *request);
static int lookups;

void __wrap_broker_list_offset(struct broker *broker, struct list_offset *request) {
    lookups++;
    __real_broker_list_offset(broker, request);
}

static Sentinel__V1__ResetOffsetsResponse *reset_answer(int64_t offset) {
    const struct grpc_world_call *call = reset(offset, false);
    assert_int_equal(call->grpc_status, 0);
    return sentinel__v1__reset_offsets_response__unpack(NULL, call->messages[0].size, call->messages[0].data);
}

static void commit_from_outside(int partition, int64_t offset, const char *metadata) {
    Sentinel__V1__CommitOffset row = SENTINEL__V1__COMMIT_OFFSET__INIT, *rows[] = {&row};
    row.topic = (char *)(uintptr_t) "t";
    row.partition = partition;
    row.offset = offset;
    row.metadata = (char *)(uintptr_t)metadata;
    Sentinel__V1__CommitOffsetsRequest request = SENTINEL__V1__COMMIT_OFFSETS_REQUEST__INIT;
    request.group = (char *)(uintptr_t) "g";
    request.n_offsets = 1;
    request.offsets = rows;
    assert_int_equal(grpc_world_unary(&world, SERVICE "CommitOffsets", &request.base)->grpc_status, 0);
}

/* Partition 1 is moved, and of partition 2 is told why not; the group has what was told. */
static void assert_one_was_moved(const Sentinel__V1__ResetOffsetsResponse *response, int64_t moved_to) {
    assert_int_equal(response->n_offsets, 2);
    for (size_t i = 0; i < 2; i++) {
        const Sentinel__V1__ResetOffset *row = response->offsets[i];
        bool moves = row->partition == 1;
        assert_int_equal(row->new_offset, moves ? moved_to : 60);
        assert_true((row->error == NULL) == moves);
    }
    Sentinel__V1__GetGroupResponse *group = get_group();
    for (size_t i = 0; i < 2; i++) {
        const Sentinel__V1__GroupPartition *row = group->group->partitions[i];
        assert_int_equal(row->committed_offset, row->partition == 1 ? moved_to : 60);
    }
    sentinel__v1__get_group_response__free_unpacked(group, NULL);
}

static void a_reset_tells_what_was_not_moved(void **state) {
    (void)state;
    for (int p = 1; p <= 2; p++) {
        produce(p, 100);
        commit_from_outside(p, 60, p == 2 ? "a note" : "");
    }
    unknown_range = 2; /* an offset cannot be held within it */
    Sentinel__V1__ResetOffsetsResponse *response = reset_answer(5);
    unknown_range = -1;
    assert_one_was_moved(response, 5);
    sentinel__v1__reset_offsets_response__free_unpacked(response, NULL);
    /* The group refuses a note that it took when more was allowed. */
    for (size_t i = 0; i < COORDINATOR_COUNT; i++)
        world.broker->coordinators->list[i].groups.limits.offset_metadata_max = 2;
    response = reset_answer(7);
    assert_one_was_moved(response, 7);
    sentinel__v1__reset_offsets_response__free_unpacked(response, NULL);
}

static void offsets_are_committed_from_outside(void **state) {
    (void)state;
    Sentinel__V1__CommitOffset row = SENTINEL__V1__COMMIT_OFFSET__INIT, *rows[] = {&row};
    row.topic = (char *)(uintptr_t) "t";
    row.partition = 1;
    row.offset = 33;
    Sentinel__V1__CommitOffsetsRequest request = SENTINEL__V1__COMMIT_OFFSETS_REQUEST__INIT;
    request.group = (char *)(uintptr_t) "g";
    request.n_offsets = 1;
    request.offsets = rows;
    assert_int_equal(grpc_world_unary(&world, SERVICE "CommitOffsets", &request.base)->grpc_status, 0);
    Sentinel__V1__GetGroupResponse *group = get_group();
    assert_int_equal(group->group->partitions[0]->committed_offset, 33);
    sentinel__v1__get_group_response__free_unpacked(group, NULL);
    row.partition = 17;
    assert_int_equal(grpc_world_unary(&world, SERVICE "CommitOffsets", &request.base)->grpc_status, 5);
    row.partition = 1;
    row.offset = -2;
    assert_int_equal(grpc_world_unary(&world, SERVICE "CommitOffsets", &request.base)->grpc_status, 3);
}

static Sentinel__V1__WatchGroupResponse *watched(const struct grpc_world_call *call, size_t index) {
    assert_true(index < call->message_count);
    struct slice bytes = call->messages[index];
    return sentinel__v1__watch_group_response__unpack(NULL, bytes.size, bytes.data);
}

/* A stream that is quiet while nothing changes. */
static void groups_are_watched(void **state) {
    (void)state;
    Sentinel__V1__WatchGroupRequest request = SENTINEL__V1__WATCH_GROUP_REQUEST__INIT;
    request.name = (char *)(uintptr_t) "g";
    request.interval_ms = 100;
    assert_int_equal(grpc_world_unary(&world, SERVICE "WatchGroup", &request.base)->grpc_status, 5);
    struct member a;
    join(&a, NULL);
    run(500, &a, NULL);
    commit(&a, 1, 0);
    run(300, &a, NULL);
    int before = lookups;
    struct grpc_world_call *call = grpc_world_call(&world.client, SERVICE "WatchGroup", NULL);
    grpc_world_send(call, &request.base);
    grpc_world_finish(call);
    grpc_world_run(&world, 2000);
    assert_int_equal(call->message_count, 1);
    assert_int_equal(lookups, before); /* one question a partition: how far its leader is */
    produce(1, 7);
    grpc_world_run(&world, 1000);
    assert_int_equal(call->message_count, 2);
    Sentinel__V1__WatchGroupResponse *response = watched(call, 1);
    assert_int_equal(response->group->total_lag, 7);
    sentinel__v1__watch_group_response__free_unpacked(response, NULL);
    grpc_world_cancel(a.call);
    grpc_world_run(&world, 1000);
    response = watched(call, call->message_count - 1);
    assert_int_equal(response->group->member_count, 0);
    sentinel__v1__watch_group_response__free_unpacked(response, NULL);
    Sentinel__V1__DeleteGroupRequest gone = SENTINEL__V1__DELETE_GROUP_REQUEST__INIT;
    gone.name = request.name;
    assert_int_equal(grpc_world_unary(&world, SERVICE "DeleteGroup", &gone.base)->grpc_status, 0);
    grpc_world_await(&world, call);
    assert_int_equal(call->grpc_status, 5);
    request.interval_ms = 1;
    assert_int_equal(grpc_world_unary(&world, SERVICE "WatchGroup", &request.base)->grpc_status, 3);
}

static void committed_offsets_are_told(void **state) {
    (void)state;
    Sentinel__V1__CommitOffset row = SENTINEL__V1__COMMIT_OFFSET__INIT, *rows[] = {&row};
    row.topic = (char *)(uintptr_t) "t";
    row.partition = 1;
    row.offset = 33;
    row.metadata = (char *)(uintptr_t) "note";
    Sentinel__V1__CommitOffsetsRequest commit_request = SENTINEL__V1__COMMIT_OFFSETS_REQUEST__INIT;
    commit_request.group = (char *)(uintptr_t) "g";
    commit_request.n_offsets = 1;
    commit_request.offsets = rows;
    assert_int_equal(grpc_world_unary(&world, SERVICE "CommitOffsets", &commit_request.base)->grpc_status, 0);
    Sentinel__V1__TopicPartition asked[2] = {SENTINEL__V1__TOPIC_PARTITION__INIT,
                                             SENTINEL__V1__TOPIC_PARTITION__INIT},
                                 *list[] = {&asked[0], &asked[1]};
    asked[0].topic = asked[1].topic = row.topic;
    asked[1].partition = 1;
    Sentinel__V1__GetOffsetsRequest request = SENTINEL__V1__GET_OFFSETS_REQUEST__INIT;
    request.group = (char *)(uintptr_t) "g";
    request.partitions = list;
    for (size_t count = 0; count <= 2; count += 2) { /* all that there is, or those asked for */
        request.n_partitions = count;
        struct grpc_world_call *call = grpc_world_unary(&world, SERVICE "GetOffsets", &request.base);
        Sentinel__V1__GetOffsetsResponse *response = sentinel__v1__get_offsets_response__unpack(
            NULL, call->messages[0].size, call->messages[0].data);
        assert_int_equal(response->n_offsets, count == 0 ? 1 : 2);
        if (count == 2) assert_int_equal(response->offsets[0]->offset, -1);
        const Sentinel__V1__CommittedOffset *last = response->offsets[response->n_offsets - 1];
        assert_int_equal(last->partition, 1);
        assert_int_equal(last->offset, 33);
        assert_string_equal(last->metadata, "note");
        assert_true(last->commit_time_ms > 0 && !last->pending);
        sentinel__v1__get_offsets_response__free_unpacked(response, NULL);
    }
    request.group = (char *)(uintptr_t) "none";
    assert_int_equal(grpc_world_unary(&world, SERVICE "GetOffsets", &request.base)->grpc_status, 5);
}

static void wrong_starts_are_refused(void **state) {
    (void)state;
    struct member a;
    join(&a, NULL);
    run(300, &a, NULL);
    Sentinel__V1__ConsumeCommit none = SENTINEL__V1__CONSUME_COMMIT__INIT;
    send(&a, SENTINEL__V1__CONSUME_REQUEST__MESSAGE_COMMIT, &none);
    commit(&a, 3, -1);
    run(300, &a, NULL);
    assert_int_equal(a.refused, 1);
    grpc_world_cancel(a.call);
    Sentinel__V1__ConsumePartition partition = SENTINEL__V1__CONSUME_PARTITION__INIT,
                                   *partitions[] = {&partition};
    Sentinel__V1__ConsumeTopic topic = SENTINEL__V1__CONSUME_TOPIC__INIT, *topics[] = {&topic};
    topic.topic = (char *)(uintptr_t) "t";
    topic.n_partitions = 1;
    topic.partitions = partitions;
    Sentinel__V1__ConsumeStart start = SENTINEL__V1__CONSUME_START__INIT;
    start.n_topics = 1;
    start.topics = topics;
    start.group = (char *)(uintptr_t) "g";
    a.call = grpc_world_call(&world.client, CONSUME, NULL);
    send(&a, SENTINEL__V1__CONSUME_REQUEST__MESSAGE_START, &start);
    grpc_world_await(&world, a.call);
    assert_int_equal(a.call->grpc_status, 3);
}

static void who_waits_for_its_group_is_told_nothing_before(void **state) {
    (void)state;
    struct member member;
    io_sim_disk_faults(world.sim, 0)->slow_factor = 5000;
    join(&member, NULL);
    run(100, &member, NULL);
    assert_false(member.started);
    io_sim_disk_faults(world.sim, 0)->slow_factor = 1;
    run(5000, &member, NULL);
    assert_int_equal(count(member.reads), PARTITIONS);
}

/* A member reads so many partitions; that it was given more is counted, once. */
static void a_member_says_when_it_cannot_read_all(void **state) {
    (void)state;
    grpc_world_topic(&world, "many", GRPC_SOURCES_MAX);
    grpc_world_topic(&world, "one", 1);
    const struct metrics *metrics = server_metrics(world.server);
    const char *topics[] = {"many", "one"};
    for (size_t count = 1; count <= 2; count++) {
        struct member member;
        join_topics(&member, topics, count, NULL);
        grpc_world_run(&world, 1000);
        assert_int_equal(metrics->group_members_overfull, count - 1);
        grpc_world_cancel(member.call);
        grpc_world_run(&world, 100);
    }
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, open_world, grpc_world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_WORLD(partitions_are_shared_and_let_go),
        IN_WORLD(who_does_not_let_go_is_out),
        IN_WORLD(a_member_leaves_though_its_coordinator_moves),
        IN_WORLD(a_static_member_comes_back),
        IN_WORLD(groups_are_shown_moved_and_deleted),
        IN_WORLD(offsets_are_committed_from_outside),
        IN_WORLD(groups_are_watched),
        IN_WORLD(committed_offsets_are_told),
        IN_WORLD(wrong_starts_are_refused),
        IN_WORLD(a_reset_tells_what_was_not_moved),
        IN_WORLD(a_member_says_when_it_cannot_read_all),
        IN_WORLD(who_waits_for_its_group_is_told_nothing_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
