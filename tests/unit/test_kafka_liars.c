// SPDX-License-Identifier: Apache-2.0
/* Clients that lie about generations, members, epochs, sequence numbers and ids get the protocol's own error,
 * the one that their version knows, and change nothing. */
#include "lib/kafka_world.h"
#include "lib/test.h"

static struct kafka_world world;

/* A classic group of one member, one of the consumer protocol, and a transactional producer, all telling the
 * truth; `static_id` belongs to the instance "i" of "classic-static". */
static struct {
    struct slice classic, consumer, static_id;
    int32_t generation, epoch;
    int64_t producer_id;
    int16_t producer_epoch;
    uint8_t ids[3][64];
} truth;

#define TX      SLICE_LITERAL("tx")
#define NOBODY  SLICE_LITERAL("nobody")
#define NO_NAME SLICE_LITERAL("")

enum {
    OUT_OF_RANGE = 1,
    UNKNOWN_TOPIC = 3,
    METADATA_TOO_LARGE = 12,
    ILLEGAL_GENERATION = 22,
    INCONSISTENT_PROTOCOL = 23,
    INVALID_GROUP_ID = 24,
    UNKNOWN_MEMBER = 25,
    INVALID_SESSION_TIMEOUT = 26,
    UNSUPPORTED_VERSION = 35,
    INVALID_REQUEST = 42,
    OUT_OF_ORDER_SEQUENCE = 45,
    INVALID_PRODUCER_EPOCH = 47,
    INVALID_TXN_STATE = 48,
    INVALID_PRODUCER_ID_MAPPING = 49,
    INVALID_TXN_TIMEOUT = 50,
    GROUP_NOT_EMPTY = 68,
    GROUP_NOT_FOUND = 69,
    FENCED_INSTANCE = 82,
    PRODUCER_FENCED = 90,
    UNKNOWN_TOPIC_ID = 100,
    FENCED_MEMBER_EPOCH = 110,
    UNSUPPORTED_ASSIGNOR = 112,
    STALE_MEMBER_EPOCH = 113,
    INVALID_REGEX = 128
};

/* ---- the truth --------------------------------------------------------------------------------------------
 */

static const struct kafka_join_group_response *join(struct slice group, struct slice member,
                                                    struct slice instance, int32_t session_ms,
                                                    struct slice type, int32_t protocols) {
    struct kafka_join_group_request_protocol protocol = {SLICE_LITERAL("range"), SLICE_LITERAL("m")};
    struct kafka_join_group_request request = {.group_id = group,
                                               .session_timeout_ms = session_ms,
                                               .rebalance_timeout_ms = 10000,
                                               .member_id = member,
                                               .group_instance_id = instance,
                                               .protocol_type = type,
                                               .protocols = &protocol,
                                               .protocols_count = protocols};
    return kafka_world_call(&world, KAFKA_JOIN_GROUP, instance.data == NULL ? 3 : 5, &request);
}

static int16_t sync(struct slice group, struct slice member, int32_t generation, struct slice type,
                    struct slice name) {
    struct kafka_sync_group_request_assignment assignment = {member, SLICE_LITERAL("a")};
    struct kafka_sync_group_request request = {.group_id = group,
                                               .generation_id = generation,
                                               .member_id = member,
                                               .protocol_type = type,
                                               .protocol_name = name,
                                               .assignments = &assignment,
                                               .assignments_count = 1};
    const struct kafka_sync_group_response *response = kafka_world_call(&world, KAFKA_SYNC_GROUP, 5,
                                                                        &request);
    return response->error_code;
}

static struct slice remember(unsigned which, struct slice id) {
    assert_in_range(id.size, 1, sizeof truth.ids[which]);
    memcpy(truth.ids[which], id.data, id.size);
    return slice_make(truth.ids[which], id.size);
}

static struct kafka_consumer_group_heartbeat_request beat_request(struct slice group, struct slice member,
                                                                  int32_t epoch) {
    struct kafka_consumer_group_heartbeat_request request;
    kafka_message_init(&kafka_schema_consumer_group_heartbeat_request, &request);
    request.group_id = group;
    request.member_id = member;
    request.member_epoch = epoch;
    request.subscribed_topic_names_count = request.topic_partitions_count = -1;
    return request;
}

/* A new member of the consumer protocol, which wants "t". */
static const struct kafka_consumer_group_heartbeat_response *join_modern(struct slice group,
                                                                         struct slice member) {
    struct kafka_consumer_group_heartbeat_request beat = beat_request(group, member, 0);
    struct slice topic = SLICE_LITERAL("t");
    beat.subscribed_topic_names = &topic;
    beat.subscribed_topic_names_count = 1;
    beat.topic_partitions_count = 0;
    beat.rebalance_timeout_ms = 10000;
    const struct kafka_consumer_group_heartbeat_response *beaten = kafka_world_call(
        &world, KAFKA_CONSUMER_GROUP_HEARTBEAT, 1, &beat);
    assert_int_equal(beaten->error_code, 0);
    return beaten;
}

static int open_world(void **state) {
    kafka_world_open(&world, 11, false);
    kafka_world_topic(&world, "t", 2);
    const struct kafka_join_group_response *joined = join(SLICE_LITERAL("classic"), NO_NAME, SLICE_EMPTY,
                                                          10000, SLICE_LITERAL("consumer"), 1);
    assert_int_equal(joined->error_code, 0);
    truth.classic = remember(0, joined->member_id);
    truth.generation = joined->generation_id;
    assert_int_equal(
        sync(SLICE_LITERAL("classic"), truth.classic, truth.generation, SLICE_EMPTY, SLICE_EMPTY), 0);
    joined = join(SLICE_LITERAL("classic-static"), NO_NAME, SLICE_LITERAL("i"), 10000,
                  SLICE_LITERAL("consumer"), 1);
    assert_int_equal(joined->error_code, 0);
    truth.static_id = remember(1, joined->member_id);
    assert_int_equal(sync(SLICE_LITERAL("classic-static"), truth.static_id, 1, SLICE_EMPTY, SLICE_EMPTY), 0);
    const struct kafka_consumer_group_heartbeat_response *beaten = join_modern(
        SLICE_LITERAL("modern"), SLICE_LITERAL("modern-member"));
    truth.consumer = remember(2, beaten->member_id);
    truth.epoch = beaten->member_epoch;
    struct kafka_init_producer_id_request init;
    kafka_message_init(&kafka_schema_init_producer_id_request, &init);
    init.transactional_id = TX;
    init.transaction_timeout_ms = 60000;
    const struct kafka_init_producer_id_response *begun = kafka_world_call(&world, KAFKA_INIT_PRODUCER_ID, 4,
                                                                           &init);
    assert_int_equal(begun->error_code, 0);
    init.producer_id = truth.producer_id = begun->producer_id;
    init.producer_epoch = begun->producer_epoch;
    begun = kafka_world_call(&world, KAFKA_INIT_PRODUCER_ID, 4, &init); /* so that there is an epoch before */
    assert_int_equal(begun->error_code, 0);
    truth.producer_epoch = begun->producer_epoch;
    *state = &world;
    return 0;
}

#define CLASSIC SLICE_LITERAL("classic")
#define STATIC  SLICE_LITERAL("classic-static")
#define MODERN  SLICE_LITERAL("modern")
#define NONE    SLICE_LITERAL("none")

static void expect_code(const char *what, size_t row, int version, int16_t code, int16_t expected) {
    if (code != expected)
        fail_msg("%s %zu, version %d: %d instead of %d", what, row, version, code, expected);
}

/* ---- members of classic groups ----------------------------------------------------------------------------
 */

static void of_a_classic_membership(void **state) {
    (void)state;
    const int32_t now = truth.generation;
    const struct {
        struct slice group, member, instance;
        int32_t generation;
        int16_t heartbeat, sync;
    } rows[] = {
        {CLASSIC, truth.classic, SLICE_EMPTY, now, 0, 0},
        {CLASSIC, truth.classic, SLICE_EMPTY, now + 1, ILLEGAL_GENERATION, ILLEGAL_GENERATION},
        {CLASSIC, truth.classic, SLICE_EMPTY, now - 1, ILLEGAL_GENERATION, ILLEGAL_GENERATION},
        {CLASSIC, truth.classic, SLICE_EMPTY, -1, ILLEGAL_GENERATION, ILLEGAL_GENERATION},
        {CLASSIC, truth.classic, SLICE_EMPTY, INT32_MIN, ILLEGAL_GENERATION, ILLEGAL_GENERATION},
        {CLASSIC, NOBODY, SLICE_EMPTY, now, UNKNOWN_MEMBER, UNKNOWN_MEMBER},
        {CLASSIC, NO_NAME, SLICE_EMPTY, now, UNKNOWN_MEMBER, UNKNOWN_MEMBER},
        {CLASSIC, truth.classic, SLICE_LITERAL("i"), now, UNKNOWN_MEMBER, UNKNOWN_MEMBER},
        {STATIC, NOBODY, SLICE_LITERAL("i"), 1, FENCED_INSTANCE, FENCED_INSTANCE},
        {STATIC, truth.static_id, SLICE_LITERAL("j"), 1, UNKNOWN_MEMBER, UNKNOWN_MEMBER},
        {STATIC, truth.static_id, SLICE_LITERAL("i"), 2, ILLEGAL_GENERATION, ILLEGAL_GENERATION},
        {MODERN, truth.consumer, SLICE_EMPTY, truth.epoch, UNKNOWN_MEMBER, UNKNOWN_MEMBER},
        {NONE, truth.classic, SLICE_EMPTY, now, UNKNOWN_MEMBER, UNKNOWN_MEMBER},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        for (int16_t version = 3; version <= 4; version++) {
            struct kafka_heartbeat_request beat = {rows[i].group, rows[i].generation, rows[i].member,
                                                   rows[i].instance};
            const struct kafka_heartbeat_response *beaten = kafka_world_call(&world, KAFKA_HEARTBEAT, version,
                                                                             &beat);
            expect_code("heartbeat", i, version, beaten->error_code, rows[i].heartbeat);
            struct kafka_sync_group_request request = {.group_id = rows[i].group,
                                                       .generation_id = rows[i].generation,
                                                       .member_id = rows[i].member,
                                                       .group_instance_id = rows[i].instance};
            const struct kafka_sync_group_response *synced = kafka_world_call(&world, KAFKA_SYNC_GROUP,
                                                                              version, &request);
            expect_code("sync", i, version, synced->error_code, rows[i].sync);
            assert_int_equal(synced->assignment.size, synced->error_code == 0 ? 1 : 0);
        }
    expect_code("sync", 100, 5,
                sync(CLASSIC, truth.classic, now, SLICE_LITERAL("connect"), SLICE_LITERAL("range")),
                INCONSISTENT_PROTOCOL);
    expect_code("sync", 101, 5,
                sync(CLASSIC, truth.classic, now, SLICE_LITERAL("consumer"), SLICE_LITERAL("sticky")),
                INCONSISTENT_PROTOCOL);
}

static void of_who_joins(void **state) {
    (void)state;
    const struct slice consumer = SLICE_LITERAL("consumer");
    const struct {
        struct slice group, member, instance;
        int32_t session_ms;
        struct slice type;
        int32_t protocols;
        int16_t code;
    } rows[] = {
        {CLASSIC, NOBODY, SLICE_EMPTY, 10000, consumer, 1, UNKNOWN_MEMBER},
        {NONE, NOBODY, SLICE_EMPTY, 10000, consumer, 1, UNKNOWN_MEMBER},
        {NO_NAME, NO_NAME, SLICE_EMPTY, 10000, consumer, 1, INVALID_GROUP_ID},
        {CLASSIC, NO_NAME, SLICE_EMPTY, 0, consumer, 1, INVALID_SESSION_TIMEOUT},
        {CLASSIC, NO_NAME, SLICE_EMPTY, -1, consumer, 1, INVALID_SESSION_TIMEOUT},
        {CLASSIC, NO_NAME, SLICE_EMPTY, INT32_MAX, consumer, 1, INVALID_SESSION_TIMEOUT},
        {CLASSIC, NO_NAME, SLICE_EMPTY, 10000, NO_NAME, 1, INCONSISTENT_PROTOCOL},
        {CLASSIC, NO_NAME, SLICE_EMPTY, 10000, consumer, 0, INCONSISTENT_PROTOCOL},
        {CLASSIC, NO_NAME, SLICE_EMPTY, 10000, SLICE_LITERAL("connect"), 1, INCONSISTENT_PROTOCOL},
        {MODERN, NO_NAME, SLICE_EMPTY, 10000, consumer, 1, INCONSISTENT_PROTOCOL},
        {STATIC, NOBODY, SLICE_LITERAL("i"), 10000, consumer, 1, FENCED_INSTANCE},
        {STATIC, truth.static_id, SLICE_LITERAL("j"), 10000, consumer, 1, UNKNOWN_MEMBER},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        expect_code("join", i, 0,
                    join(rows[i].group, rows[i].member, rows[i].instance, rows[i].session_ms, rows[i].type,
                         rows[i].protocols)
                        ->error_code,
                    rows[i].code);
    struct kafka_heartbeat_request beat = {CLASSIC, truth.generation, truth.classic, SLICE_EMPTY};
    const struct kafka_heartbeat_response *beaten = kafka_world_call(&world, KAFKA_HEARTBEAT, 4, &beat);
    assert_int_equal(beaten->error_code, 0); /* nobody made the group rebalance */
}

static void of_who_leaves(void **state) {
    (void)state;
    const struct {
        struct slice group, member, instance;
        int16_t code;
    } rows[] = {{CLASSIC, NOBODY, SLICE_EMPTY, UNKNOWN_MEMBER},
                {CLASSIC, NO_NAME, SLICE_LITERAL("i"), UNKNOWN_MEMBER},
                {STATIC, NOBODY, SLICE_LITERAL("i"), FENCED_INSTANCE},
                {STATIC, truth.static_id, SLICE_LITERAL("j"), UNKNOWN_MEMBER},
                {NONE, truth.classic, SLICE_EMPTY, UNKNOWN_MEMBER}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        for (int16_t version = 3; version <= 5; version++) {
            struct kafka_leave_group_request_member member = {rows[i].member, rows[i].instance, SLICE_EMPTY};
            struct kafka_leave_group_request request = {
                .group_id = rows[i].group, .members = &member, .members_count = 1};
            const struct kafka_leave_group_response *response = kafka_world_call(&world, KAFKA_LEAVE_GROUP,
                                                                                 version, &request);
            assert_int_equal(response->error_code, 0);
            expect_code("leave", i, version, response->members[0].error_code, rows[i].code);
        }
    struct slice groups[] = {CLASSIC, MODERN, NONE};
    struct kafka_delete_groups_request request = {groups, 3};
    const struct kafka_delete_groups_response *response = kafka_world_call(&world, KAFKA_DELETE_GROUPS, 2,
                                                                           &request);
    static const int16_t codes[] = {GROUP_NOT_EMPTY, GROUP_NOT_EMPTY, GROUP_NOT_FOUND};
    for (size_t i = 0; i < ARRAY_COUNT(codes); i++)
        expect_code("delete", i, 2, response->results[i].error_code, codes[i]);
}

/* ---- members of the consumer protocol ---------------------------------------------------------------------
 */

static void of_a_consumer_membership(void **state) {
    (void)state;
    const int32_t now = truth.epoch;
    const struct {
        struct slice group, member, instance, assignor, regex;
        int32_t epoch;
        bool owns;
        int16_t code;
    } rows[] = {
        {MODERN, truth.consumer, SLICE_EMPTY, SLICE_EMPTY, SLICE_EMPTY, now + 1, false, FENCED_MEMBER_EPOCH},
        {MODERN, truth.consumer, SLICE_EMPTY, SLICE_EMPTY, SLICE_EMPTY, INT32_MAX, false,
         FENCED_MEMBER_EPOCH},
        {MODERN, NOBODY, SLICE_EMPTY, SLICE_EMPTY, SLICE_EMPTY, now, false, UNKNOWN_MEMBER},
        {MODERN, NOBODY, SLICE_EMPTY, SLICE_EMPTY, SLICE_EMPTY, -1, false, UNKNOWN_MEMBER},
        {MODERN, NO_NAME, SLICE_EMPTY, SLICE_EMPTY, SLICE_EMPTY, now, false, INVALID_REQUEST},
        {MODERN, truth.consumer, SLICE_EMPTY, SLICE_EMPTY, SLICE_EMPTY, -2, false, INVALID_REQUEST},
        {MODERN, truth.consumer, SLICE_EMPTY, SLICE_EMPTY, SLICE_EMPTY, -3, false, INVALID_REQUEST},
        {MODERN, truth.consumer, SLICE_EMPTY, SLICE_EMPTY, SLICE_EMPTY, INT32_MIN, false, INVALID_REQUEST},
        {MODERN, truth.consumer, SLICE_LITERAL("i"), SLICE_EMPTY, SLICE_EMPTY, now, false, UNKNOWN_MEMBER},
        {MODERN, SLICE_LITERAL("new"), SLICE_EMPTY, SLICE_EMPTY, SLICE_EMPTY, 0, true, INVALID_REQUEST},
        {MODERN, truth.consumer, SLICE_EMPTY, SLICE_LITERAL("sticky"), SLICE_EMPTY, now, false,
         UNSUPPORTED_ASSIGNOR},
        {MODERN, truth.consumer, SLICE_EMPTY, SLICE_EMPTY, SLICE_LITERAL("t("), now, false, INVALID_REGEX},
        {NO_NAME, truth.consumer, SLICE_EMPTY, SLICE_EMPTY, SLICE_EMPTY, now, false, INVALID_GROUP_ID},
        {NONE, truth.consumer, SLICE_EMPTY, SLICE_EMPTY, SLICE_EMPTY, now, false, UNKNOWN_MEMBER},
        {CLASSIC, truth.classic, SLICE_EMPTY, SLICE_EMPTY, SLICE_EMPTY, truth.generation, false,
         GROUP_NOT_FOUND},
        {CLASSIC, SLICE_LITERAL("new"), SLICE_EMPTY, SLICE_EMPTY, SLICE_EMPTY, 0, false, GROUP_NOT_FOUND},
        {MODERN, truth.consumer, SLICE_EMPTY, SLICE_EMPTY, SLICE_EMPTY, now, false, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct kafka_consumer_group_heartbeat_request request = beat_request(rows[i].group, rows[i].member,
                                                                             rows[i].epoch);
        int32_t partitions[] = {0, 1};
        struct kafka_consumer_group_heartbeat_request_topic owned = {{{1, 2, 3}}, partitions, 2};
        request.instance_id = rows[i].instance;
        request.server_assignor = rows[i].assignor;
        request.subscribed_topic_regex = rows[i].regex;
        if (rows[i].owns) {
            request.topic_partitions = &owned;
            request.topic_partitions_count = 1;
        }
        const struct kafka_consumer_group_heartbeat_response *response = kafka_world_call(
            &world, KAFKA_CONSUMER_GROUP_HEARTBEAT, 1, &request);
        expect_code("consumer heartbeat", i, 1, response->error_code, rows[i].code);
        if (rows[i].code != 0) assert_true(response->error_message.size > 0);
    }
}

static int16_t commit(struct slice group, struct slice member, struct slice instance, int32_t generation,
                      int16_t version);

static int64_t offset_of(struct slice group) {
    struct kafka_offset_fetch_request_group asked = {
        .group_id = group, .member_epoch = -1, .topics_count = -1};
    struct kafka_offset_fetch_request request = {.groups = &asked, .groups_count = 1};
    const struct kafka_offset_fetch_response *response = kafka_world_call(&world, KAFKA_OFFSET_FETCH, 9,
                                                                          &request);
    assert_int_equal(response->groups[0].error_code, 0);
    return response->groups[0].topics_count == 0
               ? -1
               : response->groups[0].topics[0].partitions[0].committed_offset;
}

/* A group without members is of the protocol of who comes next, and its offsets stay. */
static void the_last_to_leave_leaves_the_protocol_open(void **state) {
    (void)state;
    assert_int_equal(commit(CLASSIC, truth.classic, SLICE_EMPTY, truth.generation, 8), 0);
    struct kafka_leave_group_request leave = {.group_id = CLASSIC, .member_id = truth.classic};
    const struct kafka_leave_group_response *left = kafka_world_call(&world, KAFKA_LEAVE_GROUP, 2, &leave);
    assert_int_equal(left->error_code, 0);
    int32_t epoch = 0;
    for (int round = 0; round < 2; round++) {
        const struct kafka_consumer_group_heartbeat_response *beaten = join_modern(CLASSIC,
                                                                                   SLICE_LITERAL("modern-1"));
        assert_true(beaten->member_epoch > epoch); /* epochs and generations are one count */
        epoch = beaten->member_epoch;
        assert_int_equal(offset_of(CLASSIC), 5);
        assert_int_equal(join(CLASSIC, NO_NAME, SLICE_EMPTY, 10000, SLICE_LITERAL("consumer"), 1)->error_code,
                         INCONSISTENT_PROTOCOL);
        struct kafka_consumer_group_heartbeat_request beat = beat_request(CLASSIC, SLICE_LITERAL("modern-1"),
                                                                          -1);
        beaten = kafka_world_call(&world, KAFKA_CONSUMER_GROUP_HEARTBEAT, 1, &beat);
        assert_int_equal(beaten->error_code, 0);
        const struct kafka_join_group_response *joined = join(CLASSIC, NO_NAME, SLICE_EMPTY, 10000,
                                                              SLICE_LITERAL("consumer"), 1);
        assert_int_equal(joined->error_code, 0);
        assert_true(joined->generation_id > epoch);
        epoch = joined->generation_id;
        struct slice id = remember(0, joined->member_id);
        assert_int_equal(sync(CLASSIC, id, joined->generation_id, SLICE_EMPTY, SLICE_EMPTY), 0);
        assert_int_equal(offset_of(CLASSIC), 5);
        leave.member_id = id;
        left = kafka_world_call(&world, KAFKA_LEAVE_GROUP, 2, &leave);
        assert_int_equal(left->error_code, 0);
    }
}

/* ---- committed offsets ------------------------------------------------------------------------------------
 */

static int16_t commit(struct slice group, struct slice member, struct slice instance, int32_t generation,
                      int16_t version) {
    struct kafka_offset_commit_request_partition partition = {
        .committed_offset = 5, .committed_leader_epoch = -1, .committed_metadata = SLICE_LITERAL("m")};
    struct kafka_offset_commit_request_topic topic = {
        .name = SLICE_LITERAL("t"), .partitions = &partition, .partitions_count = 1};
    topic.topic_id = broker_topic_find(world.broker, SLICE_LITERAL("t"))->id;
    struct kafka_offset_commit_request request = {.group_id = group,
                                                  .generation_id_or_member_epoch = generation,
                                                  .member_id = member,
                                                  .group_instance_id = instance,
                                                  .retention_time_ms = -1,
                                                  .topics = &topic,
                                                  .topics_count = 1};
    const struct kafka_offset_commit_response *response = kafka_world_call(&world, KAFKA_OFFSET_COMMIT,
                                                                           version, &request);
    return response->topics[0].partitions[0].error_code;
}

static void of_who_commits(void **state) {
    (void)state;
    const int32_t now = truth.generation;
    const struct {
        struct slice group, member, instance;
        int32_t generation;
        int16_t before_9, since_9;
    } rows[] = {
        {CLASSIC, truth.classic, SLICE_EMPTY, now + 1, ILLEGAL_GENERATION, ILLEGAL_GENERATION},
        {CLASSIC, truth.classic, SLICE_EMPTY, now - 1, ILLEGAL_GENERATION, ILLEGAL_GENERATION},
        {CLASSIC, NOBODY, SLICE_EMPTY, now, UNKNOWN_MEMBER, UNKNOWN_MEMBER},
        {CLASSIC, NO_NAME, SLICE_EMPTY, -1, UNKNOWN_MEMBER,
         UNKNOWN_MEMBER}, /* an outsider, while it has members */
        {CLASSIC, NO_NAME, SLICE_EMPTY, now, UNKNOWN_MEMBER, UNKNOWN_MEMBER},
        {STATIC, NOBODY, SLICE_LITERAL("i"), 1, FENCED_INSTANCE, FENCED_INSTANCE},
        {STATIC, truth.static_id, SLICE_LITERAL("j"), 1, UNKNOWN_MEMBER, UNKNOWN_MEMBER},
        {MODERN, truth.consumer, SLICE_EMPTY, truth.epoch + 1, UNSUPPORTED_VERSION, STALE_MEMBER_EPOCH},
        {MODERN, truth.consumer, SLICE_EMPTY, -1, UNSUPPORTED_VERSION, STALE_MEMBER_EPOCH},
        {MODERN, NOBODY, SLICE_EMPTY, truth.epoch, UNKNOWN_MEMBER, UNKNOWN_MEMBER},
        {MODERN, NO_NAME, SLICE_EMPTY, -1, UNKNOWN_MEMBER, UNKNOWN_MEMBER},
        {NONE, NOBODY, SLICE_EMPTY, 3, ILLEGAL_GENERATION, GROUP_NOT_FOUND},
        {CLASSIC, truth.classic, SLICE_EMPTY, now, 0, 0},
        {MODERN, truth.consumer, SLICE_EMPTY, truth.epoch, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        for (int16_t version = 7; version <= 10; version++)
            expect_code("commit", i, version,
                        commit(rows[i].group, rows[i].member, rows[i].instance, rows[i].generation, version),
                        version < 9 ? rows[i].before_9 : rows[i].since_9);
}

static void of_what_is_committed(void **state) {
    (void)state;
    struct buffer *text = buffer_new(5000);
    memset(text->data, 'x', text->size);
    struct uuid id = broker_topic_find(world.broker, SLICE_LITERAL("t"))->id, other = id;
    other.bytes[0] ^= 1;
    const struct {
        const char *topic;
        struct uuid id;
        int32_t partition;
        int64_t offset;
        struct slice metadata;
        int16_t by_name, by_id;
    } rows[] = {
        {"t", id, 2, 5, SLICE_EMPTY, UNKNOWN_TOPIC, UNKNOWN_TOPIC},
        {"t", id, -1, 5, SLICE_EMPTY, UNKNOWN_TOPIC, UNKNOWN_TOPIC},
        {"none", other, 0, 5, SLICE_EMPTY, UNKNOWN_TOPIC, UNKNOWN_TOPIC_ID},
        {"t", id, 0, -1, SLICE_EMPTY, OUT_OF_RANGE, OUT_OF_RANGE},
        {"t", id, 0, 5, slice_make(text->data, text->size), METADATA_TOO_LARGE, METADATA_TOO_LARGE},
        {"t", id, 0, 5, SLICE_EMPTY, 0, 0},
    };
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        for (int16_t version = 2; version <= 10; version++) {
            struct kafka_offset_commit_request_partition partition = {.partition_index = rows[i].partition,
                                                                      .committed_offset = rows[i].offset,
                                                                      .committed_metadata = rows[i].metadata};
            struct kafka_offset_commit_request_topic topic = {slice_from_text(rows[i].topic), rows[i].id,
                                                              &partition, 1};
            struct kafka_offset_commit_request request = {.group_id = SLICE_LITERAL("simple"),
                                                          .generation_id_or_member_epoch = -1,
                                                          .topics = &topic,
                                                          .topics_count = 1};
            const struct kafka_offset_commit_response *response = kafka_world_call(
                &world, KAFKA_OFFSET_COMMIT, version, &request);
            expect_code("offset", i, version, response->topics[0].partitions[0].error_code,
                        version < 10 ? rows[i].by_name : rows[i].by_id);
        }
    buffer_unref(text);
}

static void of_who_reads_offsets(void **state) {
    (void)state;
    const struct {
        struct slice group, member;
        int32_t epoch;
        int16_t code;
    } rows[] = {{MODERN, truth.consumer, truth.epoch + 1, STALE_MEMBER_EPOCH},
                {MODERN, truth.consumer, -1, STALE_MEMBER_EPOCH},
                {MODERN, NOBODY, truth.epoch, UNKNOWN_MEMBER},
                {MODERN, truth.consumer, truth.epoch, 0},
                {MODERN, SLICE_EMPTY, -1, 0},
                {CLASSIC, NOBODY, 77, 0}, /* nobody looks at it there */
                {NONE, NOBODY, 1, 0}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        struct kafka_offset_fetch_request_group group = {.group_id = rows[i].group,
                                                         .member_id = rows[i].member,
                                                         .member_epoch = rows[i].epoch,
                                                         .topics_count = -1};
        struct kafka_offset_fetch_request request = {.groups = &group, .groups_count = 1};
        const struct kafka_offset_fetch_response *response = kafka_world_call(&world, KAFKA_OFFSET_FETCH, 9,
                                                                              &request);
        expect_code("offset fetch", i, 9, response->groups[0].error_code, rows[i].code);
    }
}

/* ---- transactions -----------------------------------------------------------------------------------------
 */

static int16_t add_partition(int64_t id, int16_t epoch, struct slice tx, int32_t partition, int16_t version) {
    struct kafka_add_partitions_to_txn_request_topic topic = {SLICE_LITERAL("t"), &partition, 1};
    struct kafka_add_partitions_to_txn_request request = {tx, id, epoch, &topic, 1};
    const struct kafka_add_partitions_to_txn_response *response = kafka_world_call(
        &world, KAFKA_ADD_PARTITIONS_TO_TXN, version, &request);
    return response->topics[0].partitions[0].error_code;
}

static int16_t commit_in_txn(int64_t id, int16_t epoch, struct slice tx, struct slice group,
                             struct slice member, int32_t generation, int16_t version) {
    struct kafka_txn_offset_commit_request_partition partition = {.committed_offset = 3,
                                                                  .committed_leader_epoch = -1};
    struct kafka_txn_offset_commit_request_topic topic = {SLICE_LITERAL("t"), &partition, 1};
    struct kafka_txn_offset_commit_request request = {.transactional_id = tx,
                                                      .group_id = group,
                                                      .producer_id = id,
                                                      .producer_epoch = epoch,
                                                      .generation_id = generation,
                                                      .member_id = member,
                                                      .topics = &topic,
                                                      .topics_count = 1};
    const struct kafka_txn_offset_commit_response *response = kafka_world_call(
        &world, KAFKA_TXN_OFFSET_COMMIT, version, &request);
    return response->topics[0].partitions[0].error_code;
}

static void of_a_transactional_producer(void **state) {
    (void)state;
    const struct {
        int64_t id_off;
        int epoch_off;
        struct slice tx;
        int16_t old, young,
            offsets; /* before and since PRODUCER_FENCED was known; TxnOffsetCommit never knew it */
    } rows[] = {
        {0, -1, TX, INVALID_PRODUCER_EPOCH, PRODUCER_FENCED, INVALID_PRODUCER_EPOCH},
        {0, 1, TX, INVALID_PRODUCER_EPOCH, PRODUCER_FENCED, INVALID_PRODUCER_EPOCH},
        {0, 1000, TX, INVALID_PRODUCER_EPOCH, PRODUCER_FENCED, INVALID_PRODUCER_EPOCH},
        {0, INT16_MAX, TX, INVALID_PRODUCER_EPOCH, PRODUCER_FENCED, INVALID_PRODUCER_EPOCH},
        {1, 0, TX, INVALID_PRODUCER_ID_MAPPING, INVALID_PRODUCER_ID_MAPPING, INVALID_PRODUCER_ID_MAPPING},
        {-100000, 0, TX, INVALID_PRODUCER_ID_MAPPING, INVALID_PRODUCER_ID_MAPPING,
         INVALID_PRODUCER_ID_MAPPING},
        {0, 0, NOBODY, INVALID_PRODUCER_ID_MAPPING, INVALID_PRODUCER_ID_MAPPING, INVALID_PRODUCER_ID_MAPPING},
        {0, 0, NO_NAME, INVALID_PRODUCER_ID_MAPPING, INVALID_PRODUCER_ID_MAPPING,
         INVALID_PRODUCER_ID_MAPPING},
    };
    assert_int_equal(add_partition(truth.producer_id, truth.producer_epoch, TX, 0, 3), 0);
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        int64_t id = truth.producer_id + rows[i].id_off;
        int16_t epoch = (int16_t)MIN(truth.producer_epoch + rows[i].epoch_off, INT16_MAX);
        for (int16_t version = 0; version <= 3; version++) {
            int16_t code = version < 2 ? rows[i].old : rows[i].young;
            expect_code("add partitions", i, version, add_partition(id, epoch, rows[i].tx, 1, version), code);
            struct kafka_add_offsets_to_txn_request add = {rows[i].tx, id, epoch, CLASSIC};
            const struct kafka_add_offsets_to_txn_response *added = kafka_world_call(
                &world, KAFKA_ADD_OFFSETS_TO_TXN, version, &add);
            expect_code("add offsets", i, version, added->error_code, code);
            for (int commits = 0; commits <= 1; commits++) {
                struct kafka_end_txn_request end = {rows[i].tx, id, epoch, commits == 1};
                const struct kafka_end_txn_response *ended = kafka_world_call(&world, KAFKA_END_TXN, version,
                                                                              &end);
                expect_code("end", i, version, ended->error_code, code);
            }
            expect_code("offsets", i, version,
                        commit_in_txn(id, epoch, rows[i].tx, SLICE_LITERAL("simple"), NO_NAME, -1, version),
                        rows[i].offsets);
        }
    }
    struct kafka_end_txn_request end = {TX, truth.producer_id, truth.producer_epoch, true};
    const struct kafka_end_txn_response *ended = kafka_world_call(&world, KAFKA_END_TXN, 3, &end);
    assert_int_equal(ended->error_code, 0); /* whose transaction it is can still commit it */
}

static void of_a_member_in_a_transaction(void **state) {
    (void)state;
    const struct {
        struct slice group, member;
        int32_t generation;
        int16_t code;
    } rows[] = {{CLASSIC, truth.classic, truth.generation + 1, ILLEGAL_GENERATION},
                {CLASSIC, NOBODY, truth.generation, UNKNOWN_MEMBER},
                {MODERN, truth.consumer, truth.epoch + 1, ILLEGAL_GENERATION}, /* clients know no other */
                {MODERN, NOBODY, truth.epoch, UNKNOWN_MEMBER},
                {NONE, NOBODY, 3, ILLEGAL_GENERATION},
                {CLASSIC, truth.classic, truth.generation, 0},
                {MODERN, truth.consumer, truth.epoch, 0}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        expect_code("offsets of a member", i, 5,
                    commit_in_txn(truth.producer_id, truth.producer_epoch, TX, rows[i].group, rows[i].member,
                                  rows[i].generation, 5),
                    rows[i].code);
}

static void of_who_begins(void **state) {
    (void)state;
    const struct {
        int64_t id_off;
        int epoch_off;
        int32_t timeout_ms;
        int16_t old, young;
    } rows[] = {{0, 1, 60000, INVALID_PRODUCER_EPOCH, PRODUCER_FENCED},
                {0, -2, 60000, INVALID_PRODUCER_EPOCH, PRODUCER_FENCED},
                {1, 0, 60000, INVALID_PRODUCER_EPOCH, PRODUCER_FENCED},
                {0, 0, INT32_MAX, INVALID_TXN_TIMEOUT, INVALID_TXN_TIMEOUT},
                {0, 0, 0, INVALID_TXN_TIMEOUT, INVALID_TXN_TIMEOUT},
                {0, 0, -1, INVALID_TXN_TIMEOUT, INVALID_TXN_TIMEOUT}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++)
        for (int16_t version = 3; version <= 5; version++) {
            struct kafka_init_producer_id_request request = {
                TX, rows[i].timeout_ms, truth.producer_id + rows[i].id_off,
                (int16_t)(truth.producer_epoch + rows[i].epoch_off)};
            const struct kafka_init_producer_id_response *response = kafka_world_call(
                &world, KAFKA_INIT_PRODUCER_ID, version, &request);
            expect_code("init", i, version, response->error_code, version < 4 ? rows[i].old : rows[i].young);
            assert_int_equal(response->producer_id, -1);
        }
}

/* ---- sequences --------------------------------------------------------------------------------------------
 */

static int16_t produce(int64_t id, int16_t epoch, int32_t sequence, bool transactional, struct slice tx,
                       int64_t *offset) {
    struct buffer *batch = kafka_world_batch(2, CODEC_NONE);
    if (transactional) store_be16(batch->data + 21, BATCH_TRANSACTIONAL);
    store_be64(batch->data + 43, (uint64_t)id);
    store_be16(batch->data + 51, (uint16_t)epoch);
    store_be32(batch->data + 53, (uint32_t)sequence);
    record_batch_set_max_timestamp(batch->data, batch->size, (int64_t)load_be64(batch->data + 35));
    struct kafka_produce_request_partition part = {
        .index = 0, .records = {.bytes = slice_make(batch->data, batch->size)}};
    struct kafka_produce_request_topic topic = {
        .name = SLICE_LITERAL("t"), .partition_data = &part, .partition_data_count = 1};
    struct kafka_produce_request request = {
        .transactional_id = tx, .acks = -1, .topic_data = &topic, .topic_data_count = 1};
    const struct kafka_produce_response *response = kafka_world_call(&world, KAFKA_PRODUCE, 9, &request);
    buffer_unref(batch);
    *offset = response->responses[0].partition_responses[0].base_offset;
    return response->responses[0].partition_responses[0].error_code;
}

static void of_sequences(void **state) {
    (void)state;
    int64_t offset;
    const int64_t id = 5000;
    for (int32_t i = 0; i < 7; i++)
        assert_int_equal(produce(id, 1, 2 * i, false, SLICE_EMPTY, &offset), 0);
    const struct {
        int16_t epoch;
        int32_t sequence;
        int16_t code;
        int64_t offset;
    } rows[] = {{1, 12, 0, 12}, /* the last five are answered with where they stand */
                {1, 4, 0, 4},
                {1, 2, OUT_OF_ORDER_SEQUENCE, -1}, /* too long ago */
                {1, 16, OUT_OF_ORDER_SEQUENCE, -1},
                {1, 13, OUT_OF_ORDER_SEQUENCE, -1}, /* half of it was sent before */
                {1, INT32_MAX, OUT_OF_ORDER_SEQUENCE, -1},
                {0, 14, INVALID_PRODUCER_EPOCH, -1},
                {2, 14, OUT_OF_ORDER_SEQUENCE, -1}, /* a new epoch begins at 0 */
                {INT16_MAX, 1, OUT_OF_ORDER_SEQUENCE, -1}};
    for (size_t i = 0; i < ARRAY_COUNT(rows); i++) {
        expect_code("sequence", i, 9,
                    produce(id, rows[i].epoch, rows[i].sequence, false, SLICE_EMPTY, &offset), rows[i].code);
        assert_int_equal(offset, rows[i].offset);
    }
    assert_int_equal(produce(id, 1, 14, false, SLICE_EMPTY, &offset), 0); /* nothing of all that was stored */
    assert_int_equal(offset, 14);
    /* A transactional batch: without a transaction, of another's id, without an id. */
    expect_code("transactional", 0, 9, produce(truth.producer_id, truth.producer_epoch, 0, true, TX, &offset),
                INVALID_TXN_STATE);
    expect_code("transactional", 1, 9, produce(id, 1, 16, true, TX, &offset), INVALID_PRODUCER_ID_MAPPING);
    expect_code("transactional", 2, 9,
                produce(truth.producer_id, truth.producer_epoch, 0, true, SLICE_EMPTY, &offset),
                INVALID_TXN_STATE);
}

#define IN_WORLD(test) cmocka_unit_test_setup_teardown(test, open_world, kafka_world_teardown)

int main(void) {
    const struct CMUnitTest tests[] = {
        IN_WORLD(of_a_classic_membership),
        IN_WORLD(of_who_joins),
        IN_WORLD(of_who_leaves),
        IN_WORLD(of_a_consumer_membership),
        IN_WORLD(of_who_commits),
        IN_WORLD(of_what_is_committed),
        IN_WORLD(of_who_reads_offsets),
        IN_WORLD(of_a_transactional_producer),
        IN_WORLD(of_a_member_in_a_transaction),
        IN_WORLD(of_who_begins),
        IN_WORLD(of_sequences),
        IN_WORLD(the_last_to_leave_leaves_the_protocol_open),
    };
    return cmocka_run_group_tests_name("kafka_liars", tests, NULL, NULL);
}
