// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_groups_load.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "cli/bench_kafka.h"
#include "wire/record_batch.h"

#define PATIENCE_NS        (120 * NS_PER_S)
#define MEMBER_ID_REQUIRED 79

static double seconds_since(struct io *io, uint64_t from_ns) {
    return (double)(io_clock_ns(io) - from_ns) / 1e9;
}

static void expect_ok(int16_t code, const char *what) {
    if (code == 0) return;
    char why[64];
    snprintf(why, sizeof why, "error %d", code);
    bench_fail(what, why);
}

/* ---- members ------------------------------------------------------------------------------------------- */

struct member {
    struct members *all;
    struct bench_kafka *kafka;
    char id[64];
    /* consumer protocol */
    int32_t epoch;
    struct uuid topic;
    int32_t *partitions; /* that it has */
    int32_t partition_count;
    bool changed; /* since the broker was told */
};
struct members {
    struct io *io;
    const char *group, *topic;
    struct member *list;
    uint32_t count, known, joined, assigned;
    uint64_t known_ns, first_joined_ns;
};

static struct members members_open(const char *address, uint32_t count, const char *group,
                                   const char *topic) {
    struct members all = {.io = bench_io_new(), .group = group, .topic = topic, .count = count};
    all.list = mem_calloc(count, sizeof *all.list);
    for (uint32_t i = 0; i < count; i++)
        all.list[i].kafka = bench_kafka_open(all.io, address);
    return all;
}

static void members_close(struct members *all) {
    for (uint32_t i = 0; i < all->count; i++)
        bench_kafka_close(all->list[i].kafka);
    for (uint32_t i = 0; i < all->count; i++)
        mem_free(all->list[i].partitions);
    mem_free(all->list);
    io_free(all->io);
}

static void wait_for(struct members *all, const uint32_t *number, const char *what) {
    uint64_t began_ns = io_clock_ns(all->io);
    while (*number < all->count) {
        io_turn(all->io, 100 * NS_PER_MS);
        if (io_clock_ns(all->io) - began_ns > PATIENCE_NS) bench_fail(what, "it takes too long");
    }
}

static void synced(void *ctx, const void *message) {
    struct member *member = ctx;
    const struct kafka_sync_group_response *response = message;
    expect_ok(response->error_code, "SyncGroup");
    if (response->assignment.size == 0) bench_fail("SyncGroup", "no assignment");
    member->all->assigned++;
}

static void sync_group(struct member *member, const struct kafka_join_group_response *joined) {
    struct kafka_sync_group_request request;
    kafka_message_init(&kafka_schema_sync_group_request, &request);
    request.group_id = slice_from_text(member->all->group);
    request.member_id = slice_from_text(member->id);
    request.generation_id = joined->generation_id;
    request.assignments_count = joined->members_count; /* the leader's: one share of the same size each */
    request.assignments = mem_calloc((size_t)joined->members_count + 1, sizeof *request.assignments);
    for (int32_t i = 0; i < joined->members_count; i++) {
        request.assignments[i].member_id = joined->members[i].member_id;
        request.assignments[i].assignment = SLICE_LITERAL("a share of the topic's partitions");
    }
    bench_kafka_ask(member->kafka, KAFKA_SYNC_GROUP, 3, &request, synced, member);
    mem_free(request.assignments);
}

static void join_group(struct member *member);

static void joined(void *ctx, const void *message) {
    struct member *member = ctx;
    struct members *all = member->all;
    const struct kafka_join_group_response *response = message;
    if (response->error_code == MEMBER_ID_REQUIRED) {
        snprintf(member->id, sizeof member->id, "%.*s", (int)response->member_id.size,
                 (const char *)response->member_id.data);
        join_group(member);
        if (++all->known == all->count) all->known_ns = io_clock_ns(all->io);
        return;
    }
    expect_ok(response->error_code, "JoinGroup");
    if (all->joined++ == 0) all->first_joined_ns = io_clock_ns(all->io);
    sync_group(member, response);
}

static void join_group(struct member *member) {
    struct kafka_join_group_request_protocol protocol = {SLICE_LITERAL("range"),
                                                         SLICE_LITERAL("what a subscription takes")};
    struct kafka_join_group_request request;
    kafka_message_init(&kafka_schema_join_group_request, &request);
    request.group_id = slice_from_text(member->all->group);
    request.session_timeout_ms = 60000;
    request.rebalance_timeout_ms = 60000;
    request.member_id = slice_from_text(member->id);
    request.protocol_type = SLICE_LITERAL("consumer");
    request.protocols = &protocol;
    request.protocols_count = 1;
    bench_kafka_ask(member->kafka, KAFKA_JOIN_GROUP, 5, &request, joined, member);
}

double groups_load_classic(const char *address, uint32_t count) {
    char group[32];
    snprintf(group, sizeof group, "classic-%u", count);
    struct members all = members_open(address, count, group, NULL);
    uint64_t began_ns = io_clock_ns(all.io);
    for (uint32_t i = 0; i < count; i++) {
        all.list[i].all = &all;
        join_group(&all.list[i]);
    }
    wait_for(&all, &all.assigned, "a classic group");
    double seconds = (double)(all.known_ns - began_ns) / 1e9 + seconds_since(all.io, all.first_joined_ns);
    members_close(&all);
    return seconds;
}

static void beat(struct member *member);

static void take_assignment(struct member *member,
                            const struct kafka_consumer_group_heartbeat_response_assignment *assignment) {
    int32_t before = member->partition_count;
    member->partition_count = 0;
    if (assignment->topic_partitions_count > 0) {
        const struct kafka_consumer_group_heartbeat_response_topic *topic = &assignment->topic_partitions[0];
        member->topic = topic->topic_id;
        member->partition_count = topic->partitions_count;
        member->partitions = mem_realloc(member->partitions,
                                         (size_t)topic->partitions_count * sizeof *member->partitions);
        memcpy(member->partitions, topic->partitions,
               (size_t)topic->partitions_count * sizeof *member->partitions);
    }
    member->all->assigned += (uint32_t)((member->partition_count == 1) - (before == 1));
    member->changed = true;
}

static void beaten(void *ctx, const void *message) {
    struct member *member = ctx;
    struct members *all = member->all;
    const struct kafka_consumer_group_heartbeat_response *response = message;
    expect_ok(response->error_code, "ConsumerGroupHeartbeat");
    member->epoch = response->member_epoch;
    if (response->assignment != NULL) take_assignment(member, response->assignment);
    if (all->assigned < all->count) beat(member);
}

/* It says that it has what it was told to have: nothing stands between being told and letting go. */
static void beat(struct member *member) {
    struct slice topic = slice_from_text(member->all->topic);
    struct kafka_consumer_group_heartbeat_request request;
    kafka_message_init(&kafka_schema_consumer_group_heartbeat_request, &request);
    request.group_id = slice_from_text(member->all->group);
    request.member_id = slice_from_text(member->id);
    request.member_epoch = member->epoch;
    request.subscribed_topic_names_count = -1;
    request.topic_partitions_count = -1;
    struct kafka_consumer_group_heartbeat_request_topic owned = {member->topic, member->partitions,
                                                                 member->partition_count};
    if (member->changed) {
        request.topic_partitions = &owned;
        request.topic_partitions_count = member->partition_count > 0;
        member->changed = false;
    }
    if (member->epoch == 0) {
        request.rebalance_timeout_ms = 60000;
        request.subscribed_topic_names = &topic;
        request.subscribed_topic_names_count = 1;
        request.topic_partitions_count = 0;
    }
    bench_kafka_ask(member->kafka, KAFKA_CONSUMER_GROUP_HEARTBEAT, 1, &request, beaten, member);
}

double groups_load_consumer(const char *address, const char *topic, uint32_t count) {
    char group[32];
    snprintf(group, sizeof group, "consumer-%u", count);
    struct members all = members_open(address, count, group, topic);
    uint64_t began_ns = io_clock_ns(all.io);
    for (uint32_t i = 0; i < count; i++) {
        all.list[i].all = &all;
        snprintf(all.list[i].id, sizeof all.list[i].id, "member-%08u", i);
        beat(&all.list[i]);
    }
    wait_for(&all, &all.assigned, "a group of the new protocol");
    double seconds = seconds_since(all.io, began_ns);
    members_close(&all);
    return seconds;
}

/* ---- commits ------------------------------------------------------------------------------------------- */

struct committer {
    struct commits *all;
    struct bench_kafka *kafka;
    char group[32];
    int64_t offset;
};
struct commits {
    struct io *io;
    const char *topic;
    uint64_t done, end_ns;
};

static void commit_one(struct committer *committer);

static void committed(void *ctx, const void *message) {
    struct committer *committer = ctx;
    const struct kafka_offset_commit_response *response = message;
    if (response->topics_count != 1 || response->topics[0].partitions_count != 1)
        bench_fail("OffsetCommit", "a malformed answer");
    expect_ok(response->topics[0].partitions[0].error_code, "OffsetCommit");
    committer->all->done++;
    if (io_clock_ns(committer->all->io) < committer->all->end_ns) commit_one(committer);
}

static void commit_one(struct committer *committer) {
    struct kafka_offset_commit_request_partition partition;
    kafka_message_init(&kafka_schema_offset_commit_request_partition, &partition);
    partition.committed_offset = ++committer->offset;
    struct kafka_offset_commit_request_topic topic = {
        slice_from_text(committer->all->topic), {{0}}, &partition, 1};
    struct kafka_offset_commit_request request;
    kafka_message_init(&kafka_schema_offset_commit_request, &request);
    request.group_id = slice_from_text(committer->group);
    request.topics = &topic;
    request.topics_count = 1;
    bench_kafka_ask(committer->kafka, KAFKA_OFFSET_COMMIT, 7, &request, committed, committer);
}

double groups_load_commits(const char *address, const char *topic, uint32_t clients, uint32_t window,
                           double seconds) {
    struct commits all = {.io = bench_io_new(), .topic = topic};
    struct committer *list = mem_calloc(clients, sizeof *list);
    for (uint32_t i = 0; i < clients; i++) {
        list[i] = (struct committer){.all = &all, .kafka = bench_kafka_open(all.io, address)};
        snprintf(list[i].group, sizeof list[i].group, "committer-%u-%u", clients, i);
    }
    uint64_t began_ns = io_clock_ns(all.io);
    all.end_ns = began_ns + (uint64_t)(seconds * 1e9);
    for (uint32_t i = 0; i < clients * window; i++)
        commit_one(&list[i / window]);
    bool under_way = true;
    while (under_way) {
        io_turn(all.io, 100 * NS_PER_MS);
        under_way = false;
        for (uint32_t i = 0; i < clients; i++)
            under_way |= bench_kafka_under_way(list[i].kafka) > 0;
    }
    double rate = (double)all.done / seconds_since(all.io, began_ns);
    for (uint32_t i = 0; i < clients; i++)
        bench_kafka_close(list[i].kafka);
    mem_free(list);
    io_free(all.io);
    return rate;
}
