// SPDX-License-Identifier: Apache-2.0
#include "sim/kafka_member.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/map.h"
#include "base/mem.h"
#include "base/units.h"
#include "sim/kafka_requests.h"

#define ANSWER_NS       (5 * NS_PER_S) /* then the connection is given up */
#define RETRY_NS        (60 * NS_PER_MS)
#define IDLE_NS         (40 * NS_PER_MS) /* with nothing to read */
#define FETCH_BYTES     (64 * KIB)
#define COMMIT_AFTER    3 /* fetches with records */
#define REJOIN_NS_MAX   NS_PER_S
#define EPOCH_LEAVES    (-1)
#define EPOCH_STEPS_OUT (-2) /* a static member that will come back */
#define SLEEP_NS_MAX    ((uint64_t)KAFKA_MEMBER_SESSION_MS * NS_PER_MS) /* and half of it more */

enum {
    ERROR_NONE = 0,
    ERROR_OUT_OF_RANGE = 1,
    ERROR_UNKNOWN_MEMBER = 25,
    ERROR_ILLEGAL_GENERATION = 22,
    ERROR_REBALANCING = 27,
    ERROR_ID_REQUIRED = 79,
    ERROR_FENCED_INSTANCE = 82,
    ERROR_GROUP_NOT_FOUND = 69,
    ERROR_FENCED_EPOCH = 110,
    ERROR_UNRELEASED_INSTANCE = 111,
    ERROR_STALE_EPOCH = 113
};

static void go_on(struct kafka_member *m);

/* ---- small things ------------------------------------------------------------------------------------- */

static uint64_t now(const struct kafka_member *m) {
    return io_now_ns(m->options.io);
}

static uint64_t hash_of(struct slice text) {
    return hash_bytes(7, text);
}

static bool has(uint32_t set, uint32_t partition) {
    return (set >> partition & 1) != 0;
}

static void set_id(struct kafka_member *m, struct slice id) {
    size_t size = MIN(id.size, sizeof m->id - 1);
    if (size != 0) memcpy(m->id, id.data, size);
    m->id[size] = '\0';
}

static void tell(struct kafka_member *m, const char *what, int64_t number) {
    char text[120];
    snprintf(text, sizeof text, "member %u of %s: %s %" PRId64, m->options.index, m->options.group_id, what,
             number);
    m->options.told(m->options.ctx, m->control.link == NULL ? 0 : kafka_link_node(m->control.link), text);
}

static void later(struct kafka_member *m, uint64_t ns) {
    io_timer_set(m->options.io, &m->timer, now(m) + ns / 2 + prng_below(&m->prng, ns));
}

/* Not a member any more, as far as it knows. */
static void forget(struct kafka_member *m, bool with_id) {
    if (m->generation > 0 && (m->owned & m->known) != 0) {
        m->stale_set = m->owned & m->known;
        m->stale_generation = m->generation;
        m->stale_replaced = false;
        memcpy(m->stale_id, m->id, sizeof m->id);
        for (uint32_t p = 0; p < KAFKA_MEMBER_PARTITIONS; p++)
            m->stale[p] = m->readers[p].offset;
    }
    for (uint32_t p = 0; p < KAFKA_MEMBER_PARTITIONS; p++)
        group_history_lets_go(m->options.group, m->options.index, p);
    m->generation = 0;
    m->synced = m->rejoin = false;
    m->owned = m->wanted = m->known = m->dirty = 0;
    if (with_id && !m->options.consumer) m->id[0] = '\0';
}

static struct slice instance_of(const struct kafka_member *m) {
    return m->options.is_static ? slice_from_text(m->instance) : SLICE_EMPTY;
}

/* Who it is in the group's history: the instance, or the member of that id. */
static uint64_t key_of(struct slice instance, struct slice id) {
    return hash_of(instance.size != 0 ? instance : id);
}

/* A process of its own, which knows nothing of those before. */
static void live(struct kafka_member *m) {
    m->lives++;
    m->id[0] = '\0';
    if (m->options.consumer)
        snprintf(m->id, sizeof m->id, "member-%s-%u-%u", m->options.group_id, m->options.index, m->lives);
}

/* ---- connections -------------------------------------------------------------------------------------- */

static struct kafka_member_channel *channel_of(struct kafka_member *m, enum kafka_member_asking what) {
    return what == MEMBER_METADATA || what == MEMBER_FETCH ? &m->data : &m->control;
}

static void drop(struct kafka_member_channel *channel) {
    if (channel->link != NULL) kafka_link_drop(channel->link);
    channel->link = NULL;
    channel->connected = false;
}

static void give_up(struct kafka_member *m, struct kafka_member_channel *channel) {
    for (uint32_t p = 0; m->asking == MEMBER_COMMIT && channel == &m->control && p < KAFKA_MEMBER_PARTITIONS;
         p++)
        if (has(m->commit_set, p)) group_history_uncertain(m->options.group, p, m->committing[p]);
    drop(channel);
    if (channel == &m->control)
        m->coordinator = 0;
    else
        m->leaders[m->fetching] = 0;
    if (m->asking != MEMBER_NOTHING && channel_of(m, m->asking) != channel) return;
    m->asking = MEMBER_NOTHING;
    later(m, RETRY_NS);
}

static void link_connected(void *ctx) {
    struct kafka_member_channel *channel = ctx;
    channel->connected = true;
    io_timer_cancel(channel->member->options.io, &channel->member->timer);
    go_on(channel->member);
}

static void link_failed(void *ctx) {
    struct kafka_member_channel *channel = ctx;
    give_up(channel->member, channel);
}

static void answered(void *ctx, const void *message);
static const struct kafka_link_calls calls = {
    .connected = link_connected, .failed = link_failed, .answered = answered};

/* True: connected to that node (0: any). Else it will be, or will be tried again. */
static bool connect_to(struct kafka_member *m, struct kafka_member_channel *channel, uint32_t node) {
    if (channel->link != NULL && node != 0 && kafka_link_node(channel->link) != node) drop(channel);
    if (channel->link == NULL) {
        if (node == 0) node = (m->options.index + m->attempts++) % m->options.node_count + 1;
        channel->link = kafka_link_new(m->options.io, node, &calls, channel);
        io_timer_set(m->options.io, &m->timer, now(m) + ANSWER_NS);
    }
    return channel->connected;
}

static void ask(struct kafka_member *m, enum kafka_member_asking what, int16_t key, int16_t version,
                const void *request) {
    m->asking = what;
    io_timer_set(m->options.io, &m->timer, now(m) + ANSWER_NS);
    kafka_link_ask(channel_of(m, what)->link, key, version, request);
}

/* ---- the group's requests ----------------------------------------------------------------------------- */

static void ask_coordinator(struct kafka_member *m) {
    struct kafka_coordinator_ask coordinator;
    kafka_coordinator_ask(&coordinator, m->options.group_id, false);
    ask(m, MEMBER_FIND, KAFKA_FIND_COORDINATOR, 4, &coordinator.request);
}

static void ask_join(struct kafka_member *m) {
    struct kafka_join_group_request_protocol protocol;
    struct kafka_join_group_request request;
    kafka_message_init(&kafka_schema_join_group_request_protocol, &protocol);
    kafka_message_init(&kafka_schema_join_group_request, &request);
    uint8_t owned = (uint8_t)(m->owned & m->known);
    if (m->options.cooperative && m->generation == 0) owned = 0;
    protocol.name = SLICE_LITERAL("simulated");
    protocol.metadata = slice_make(&owned, 1);
    request.group_id = slice_from_text(m->options.group_id);
    request.session_timeout_ms = KAFKA_MEMBER_SESSION_MS;
    request.rebalance_timeout_ms = KAFKA_MEMBER_JOIN_MS;
    request.member_id = slice_from_text(m->id);
    request.group_instance_id = instance_of(m);
    request.protocol_type = SLICE_LITERAL("consumer");
    request.protocols = &protocol;
    request.protocols_count = 1;
    m->floor_generation = m->options.group->generation;
    ask(m, MEMBER_JOIN, KAFKA_JOIN_GROUP, 9, &request);
}

/* Nobody is given what another still has. */
static bool is_held(const struct kafka_member *m, uint32_t partition, uint32_t but) {
    for (uint32_t i = 0; i < m->other_count; i++)
        if (i != but && has(m->others[i].owned, partition)) return true;
    return false;
}

/* The leader gives partition p to the (p + generation)-th member: everybody moves at every generation. In a
 * cooperative group it is the p-th in the order of their ids: it comes to rest. */
static uint8_t share_of(const struct kafka_member *m, uint32_t member) {
    uint32_t rank = 0, shift = m->options.cooperative ? 0 : (uint32_t)m->generation;
    uint8_t set = 0;
    for (uint32_t i = 0; i < m->other_count; i++)
        rank += strcmp(m->others[i].id, m->others[member].id) < 0;
    if (!m->options.cooperative) rank = member;
    for (uint32_t p = 0; p < KAFKA_MEMBER_PARTITIONS; p++)
        if ((p + shift) % m->other_count == rank && !(m->options.cooperative && is_held(m, p, member)))
            set |= (uint8_t)(1U << p);
    return set;
}

static void ask_sync(struct kafka_member *m) {
    struct kafka_sync_group_request_assignment shares[GROUP_HISTORY_MEMBERS];
    uint8_t sets[GROUP_HISTORY_MEMBERS];
    struct kafka_sync_group_request request;
    kafka_message_init(&kafka_schema_sync_group_request, &request);
    for (uint32_t i = 0; i < m->other_count; i++) {
        kafka_message_init(&kafka_schema_sync_group_request_assignment, &shares[i]);
        sets[i] = share_of(m, i);
        shares[i].member_id = slice_from_text(m->others[i].id);
        shares[i].assignment = slice_make(&sets[i], 1);
        group_history_computed(m->options.group, m->generation, m->others[i].key, sets[i]);
    }
    request.group_id = slice_from_text(m->options.group_id);
    request.generation_id = m->generation;
    request.member_id = slice_from_text(m->id);
    request.group_instance_id = instance_of(m);
    request.protocol_type = SLICE_LITERAL("consumer");
    request.protocol_name = SLICE_LITERAL("simulated");
    request.assignments = shares;
    request.assignments_count = (int32_t)m->other_count;
    ask(m, MEMBER_SYNC, KAFKA_SYNC_GROUP, 5, &request);
}

static void ask_beat_classic(struct kafka_member *m) {
    struct kafka_heartbeat_request request;
    kafka_message_init(&kafka_schema_heartbeat_request, &request);
    request.group_id = slice_from_text(m->options.group_id);
    request.generation_id = m->generation;
    request.member_id = slice_from_text(m->id);
    request.group_instance_id = instance_of(m);
    ask(m, MEMBER_BEAT, KAFKA_HEARTBEAT, 4, &request);
}

/* Everything each time; epoch 0 joins, those below leave. What is not wanted any more is given up with it. */
static void ask_beat_consumer(struct kafka_member *m, int32_t epoch) {
    struct kafka_consumer_group_heartbeat_request_topic topic;
    struct kafka_consumer_group_heartbeat_request request;
    struct slice name = slice_from_text(m->options.topic);
    int32_t partitions[KAFKA_MEMBER_PARTITIONS];
    kafka_message_init(&kafka_schema_consumer_group_heartbeat_request_topic, &topic);
    kafka_message_init(&kafka_schema_consumer_group_heartbeat_request, &request);
    m->owned &= m->wanted;
    for (uint32_t p = 0; p < KAFKA_MEMBER_PARTITIONS; p++) {
        if (has(m->owned, p) && epoch >= 0)
            partitions[topic.partitions_count++] = (int32_t)p;
        else
            group_history_lets_go(m->options.group, m->options.index, p);
    }
    memcpy(topic.topic_id.bytes, m->topic_id, sizeof m->topic_id);
    topic.partitions = partitions;
    request.group_id = slice_from_text(m->options.group_id);
    request.member_id = slice_from_text(m->id);
    request.instance_id = instance_of(m);
    request.member_epoch = epoch;
    request.rebalance_timeout_ms = KAFKA_MEMBER_JOIN_MS;
    request.subscribed_topic_names = &name;
    request.subscribed_topic_names_count = 1;
    request.topic_partitions = &topic;
    request.topic_partitions_count = topic.partitions_count > 0 ? 1 : 0;
    ask(m, epoch < 0 ? MEMBER_LEAVE : MEMBER_BEAT, KAFKA_CONSUMER_GROUP_HEARTBEAT, 0, &request);
}

static void ask_beat(struct kafka_member *m) {
    m->beat_ns = now(m);
    m->beat_first = false;
    if (m->options.consumer)
        ask_beat_consumer(m, m->generation);
    else
        ask_beat_classic(m);
}

static void ask_leave(struct kafka_member *m) {
    if (m->options.consumer) {
        ask_beat_consumer(m, EPOCH_LEAVES);
        return;
    }
    struct kafka_leave_group_request_member member;
    struct kafka_leave_group_request request;
    kafka_message_init(&kafka_schema_leave_group_request_member, &member);
    kafka_message_init(&kafka_schema_leave_group_request, &request);
    member.member_id = slice_from_text(m->id);
    member.group_instance_id = instance_of(m);
    request.group_id = slice_from_text(m->options.group_id);
    request.members = &member;
    request.members_count = 1;
    ask(m, MEMBER_LEAVE, KAFKA_LEAVE_GROUP, 5, &request);
}

static void ask_offsets(struct kafka_member *m) {
    struct kafka_offset_fetch_request_topic topic;
    struct kafka_offset_fetch_request_group group;
    struct kafka_offset_fetch_request request;
    int32_t partitions[KAFKA_MEMBER_PARTITIONS];
    kafka_message_init(&kafka_schema_offset_fetch_request_topic, &topic);
    kafka_message_init(&kafka_schema_offset_fetch_request_group, &group);
    kafka_message_init(&kafka_schema_offset_fetch_request, &request);
    topic.name = slice_from_text(m->options.topic);
    topic.partition_indexes = partitions;
    for (uint32_t p = 0; p < KAFKA_MEMBER_PARTITIONS; p++) {
        m->floors[p] = group_history_floor(m->options.group, p);
        if (has(m->owned & ~m->known, p)) partitions[topic.partition_indexes_count++] = (int32_t)p;
    }
    group.group_id = slice_from_text(m->options.group_id);
    if (m->options.consumer) {
        group.member_id = slice_from_text(m->id);
        group.member_epoch = m->generation;
    }
    group.topics = &topic;
    group.topics_count = 1;
    request.groups = &group;
    request.groups_count = 1;
    request.require_stable = true;
    ask(m, MEMBER_OFFSETS, KAFKA_OFFSET_FETCH, 9, &request);
}

static void ask_commit(struct kafka_member *m, bool stale) {
    struct kafka_offset_commit_request_partition partitions[KAFKA_MEMBER_PARTITIONS];
    struct kafka_offset_commit_request_topic topic;
    struct kafka_offset_commit_request request;
    kafka_message_init(&kafka_schema_offset_commit_request_topic, &topic);
    kafka_message_init(&kafka_schema_offset_commit_request, &request);
    topic.name = slice_from_text(m->options.topic);
    topic.partitions = partitions;
    int32_t generation = stale ? m->stale_generation : m->generation;
    m->stale_asked = stale;
    m->stale_fenced = stale && m->stale_replaced;
    m->commit_set = stale ? m->stale_set : m->dirty & m->owned;
    m->late_set = 0;
    for (uint32_t p = 0; p < KAFKA_MEMBER_PARTITIONS; p++) {
        if (!has(m->commit_set, p)) continue;
        struct kafka_offset_commit_request_partition *partition = &partitions[topic.partitions_count++];
        kafka_message_init(&kafka_schema_offset_commit_request_partition, partition);
        partition->partition_index = (int32_t)p;
        partition->committed_offset = m->committing[p] = stale ? m->stale[p] : m->readers[p].offset;
        group_history_commits(m->options.group, p, m->committing[p]);
        if (group_history_is_late(m->options.group, m->options.index, generation, p)) m->late_set |= 1U << p;
    }
    if (stale) m->stale_set = 0;
    request.group_id = slice_from_text(m->options.group_id);
    request.generation_id_or_member_epoch = generation;
    request.member_id = slice_from_text(stale ? m->stale_id : m->id);
    request.group_instance_id = instance_of(m);
    request.topics = &topic;
    request.topics_count = 1;
    ask(m, MEMBER_COMMIT, KAFKA_OFFSET_COMMIT, m->options.consumer ? 9 : 8, &request);
}

/* ---- requests for records ----------------------------------------------------------------------------- */

static void ask_metadata(struct kafka_member *m) {
    struct kafka_metadata_ask metadata;
    kafka_metadata_ask(&metadata, m->options.topic, NULL);
    ask(m, MEMBER_METADATA, KAFKA_METADATA, 9, &metadata.request);
}

static void ask_fetch(struct kafka_member *m) {
    struct kafka_fetch_ask fetch;
    kafka_fetch_ask(&fetch, m->options.topic, (int32_t)m->fetching, m->readers[m->fetching].offset,
                    FETCH_BYTES);
    ask(m, MEMBER_FETCH, KAFKA_FETCH, 11, &fetch.request);
}

/* ---- answers of the coordinator ----------------------------------------------------------------------- */

/* What the coordinator says against a member; true: it is one still. */
static bool is_member(struct kafka_member *m, int16_t error) {
    switch (error) {
    case ERROR_NONE:
        return true;
    case ERROR_UNKNOWN_MEMBER:
    case ERROR_FENCED_EPOCH:
    case ERROR_FENCED_INSTANCE:
        tell(m, "is none any more, error", error);
        forget(m, true);
        return false;
    case ERROR_UNRELEASED_INSTANCE: /* the process before has not been missed yet */
        later(m, 4 * RETRY_NS);
        return false;
    case ERROR_REBALANCING:
        m->rejoin = m->options.cooperative;
        if (!m->rejoin) forget(m, false);
        return false;
    case ERROR_ILLEGAL_GENERATION:
    case ERROR_GROUP_NOT_FOUND:
        forget(m, false);
        return false;
    case ERROR_STALE_EPOCH: /* the next beat tells more */
        m->beat_first = true;
        later(m, RETRY_NS);
        return false;
    default: /* another coordinator, or this one is not ready */
        give_up(m, &m->control);
        return false;
    }
}

static void take_coordinator(struct kafka_member *m, const struct kafka_find_coordinator_response *r) {
    uint32_t node = kafka_coordinator_told(r, m->options.node_count);
    if (node != 0)
        m->coordinator = node;
    else
        give_up(m, &m->control);
}

/* It has joined: whoever was this instance before is none any more. */
static void replaces(struct kafka_member *m) {
    if (m->options.is_static && strcmp(m->id, m->stale_id) != 0) m->stale_replaced = true;
}

static void take_joined(struct kafka_member *m, const struct kafka_join_group_response *r) {
    if (r->error_code == ERROR_ID_REQUIRED) {
        set_id(m, r->member_id);
        return;
    }
    if (!is_member(m, r->error_code)) return;
    set_id(m, r->member_id);
    replaces(m);
    m->generation = r->generation_id;
    m->synced = m->rejoin = false;
    m->other_count = 0;
    /* The leader may be an instance, of which there was another process before. */
    group_history_joined(m->options.group, m->floor_generation, r->generation_id,
                         m->options.statics ? 0 : hash_of(r->leader), hash_of(r->protocol_name));
    if (slice_compare(r->leader, r->member_id) != 0 || r->skip_assignment) return;
    m->other_count = (uint32_t)MIN(r->members_count, (int32_t)GROUP_HISTORY_MEMBERS);
    for (uint32_t i = 0; i < m->other_count; i++) {
        const struct kafka_join_group_response_member *member = &r->members[i];
        struct kafka_member_other *other = &m->others[i];
        snprintf(other->id, sizeof other->id, "%.*s", (int)member->member_id.size,
                 (const char *)member->member_id.data);
        other->key = key_of(member->group_instance_id, member->member_id);
        other->owned = member->metadata.size == 1 ? member->metadata.data[0] : 0;
    }
}

static void own(struct kafka_member *m, uint32_t set) {
    for (uint32_t p = 0; p < KAFKA_MEMBER_PARTITIONS; p++)
        if (has(set & ~m->owned, p))
            group_history_owns(m->options.group, m->options.index, m->generation, p, now(m));
    m->owned |= set;
    m->known &= m->owned;
    m->dirty &= m->owned;
}

/* Another gets it in the next generation: what was read of it may still be committed in this one. */
static void give_away(struct kafka_member *m, uint32_t lost) {
    m->rejoin = true;
    m->stale_set = lost & m->dirty & m->known;
    m->stale_generation = m->generation;
    m->stale_replaced = false;
    memcpy(m->stale_id, m->id, sizeof m->id);
    for (uint32_t p = 0; p < KAFKA_MEMBER_PARTITIONS; p++)
        m->stale[p] = m->readers[p].offset;
}

static void take_synced(struct kafka_member *m, const struct kafka_sync_group_response *r) {
    if (!is_member(m, r->error_code)) return;
    uint8_t set = r->assignment.size == 1 ? r->assignment.data[0] : 0;
    if (r->assignment.size == 1)
        group_history_delivered(m->options.group, m->generation,
                                key_of(instance_of(m), slice_from_text(m->id)), set);
    m->synced = true;
    m->beat_ns = now(m);
    uint32_t known = m->options.cooperative ? m->known & set : 0, lost = m->owned & ~set;
    if (lost != 0) give_away(m, lost);
    m->owned = 0;
    own(m, set);
    m->known = known;
    m->dirty &= known;
    tell(m, "joins generation", m->generation);
}

static void take_beat(struct kafka_member *m, const struct kafka_consumer_group_heartbeat_response *r) {
    if (!is_member(m, r->error_code)) return;
    if (m->generation == 0) tell(m, "joins at epoch", r->member_epoch);
    if (m->generation == 0) replaces(m);
    m->generation = r->member_epoch;
    if (r->assignment != NULL) {
        m->wanted = 0;
        for (int32_t i = 0; i < r->assignment->topic_partitions_count; i++) {
            const struct kafka_consumer_group_heartbeat_response_topic *topic =
                &r->assignment->topic_partitions[i];
            memcpy(m->topic_id, topic->topic_id.bytes, sizeof m->topic_id);
            for (int32_t j = 0; j < topic->partitions_count; j++)
                if (topic->partitions[j] >= 0 && topic->partitions[j] < KAFKA_MEMBER_PARTITIONS)
                    m->wanted |= 1U << topic->partitions[j];
        }
    }
    own(m, m->wanted);
    for (uint32_t p = 0; p < KAFKA_MEMBER_PARTITIONS; p++)
        if (has(m->wanted, p)) group_history_heard(m->options.group, m->options.index, p, m->beat_ns);
}

static void take_offsets(struct kafka_member *m, const struct kafka_offset_fetch_response *r) {
    if (r->groups_count != 1) {
        give_up(m, &m->control);
        return;
    }
    const struct kafka_offset_fetch_response_group *group = &r->groups[0];
    if (!is_member(m, group->error_code)) return;
    for (int32_t i = 0; group->topics_count == 1 && i < group->topics[0].partitions_count; i++) {
        const struct kafka_offset_fetch_response_partition *partition = &group->topics[0].partitions[i];
        uint32_t p = (uint32_t)partition->partition_index;
        if (p >= KAFKA_MEMBER_PARTITIONS || partition->error_code != ERROR_NONE) continue;
        group_history_fetched(m->options.group, p, m->floors[p], partition->committed_offset);
        m->readers[p].offset = MAX(partition->committed_offset, (int64_t)0);
        m->known |= 1U << p;
    }
    if ((m->owned & ~m->known) != 0) later(m, RETRY_NS);
}

static void take_committed(struct kafka_member *m, const struct kafka_offset_commit_response *r) {
    int16_t error = ERROR_NONE;
    for (int32_t i = 0; r->topics_count == 1 && i < r->topics[0].partitions_count; i++) {
        const struct kafka_offset_commit_response_partition *partition = &r->topics[0].partitions[i];
        uint32_t p = (uint32_t)partition->partition_index;
        if (p >= KAFKA_MEMBER_PARTITIONS || !has(m->commit_set, p)) continue;
        if (partition->error_code == ERROR_NONE && m->stale_fenced)
            history_violate(
                m->options.group->history,
                "B13 committed offsets: group %s: partition %u is committed by %s, in whose place "
                "another process of its instance had joined",
                m->options.group_id, p, m->stale_id);
        if (partition->error_code == ERROR_NONE) {
            group_history_committed(m->options.group, m->options.index, m->generation, p, m->committing[p],
                                    has(m->late_set, p));
            /* Its generation has come back, or was never over: what it had been. */
            if (m->stale_asked) group_history_uncertain(m->options.group, p, m->committing[p]);
            if (!m->stale_asked && m->readers[p].offset == m->committing[p]) m->dirty &= ~(1U << p);
            continue;
        }
        error = partition->error_code;
        m->options.group->refused += has(m->late_set, p);
        if (error != ERROR_UNKNOWN_MEMBER && error != ERROR_ILLEGAL_GENERATION &&
            error != ERROR_FENCED_EPOCH && error != ERROR_STALE_EPOCH && error != ERROR_REBALANCING &&
            error != ERROR_FENCED_INSTANCE)
            group_history_uncertain(m->options.group, p, m->committing[p]);
    }
    if (m->stale_asked) return; /* whatever it was told */
    m->fetched_since_commit = 0;
    if (is_member(m, error)) tell(m, "has committed, in generation", m->generation);
}

/* ---- answers with records ----------------------------------------------------------------------------- */

static void take_metadata(struct kafka_member *m, const struct kafka_metadata_response *r) {
    for (uint32_t p = 0; p < KAFKA_MEMBER_PARTITIONS; p++) {
        uint32_t leader = kafka_leader_told(r, m->options.topic, p, m->options.node_count);
        if (leader != 0) m->leaders[p] = leader;
    }
    if (m->leaders[m->fetching] == 0) give_up(m, &m->data);
}

static void take_fetched(struct kafka_member *m, const struct kafka_fetch_response *r) {
    const struct kafka_fetch_response_partition *partition;
    int16_t error = kafka_fetched(r, &partition);
    struct history *history = m->options.group->history;
    struct history_reader *reader = &m->readers[m->fetching];
    if (error == ERROR_OUT_OF_RANGE)
        history_violate(history,
                        "B13 committed offsets: group %s: partition %u is said not to reach %lld, where the "
                        "group is",
                        m->options.group_id, m->fetching, (long long)reader->offset);
    if (error != ERROR_NONE) {
        give_up(m, &m->data);
        return;
    }
    int64_t from = reader->offset;
    reader->high_watermark = partition->high_watermark;
    reader->log_start = partition->log_start_offset;
    struct slice bytes = partition->records.bytes, batch;
    while (kafka_next_batch(&bytes, &batch))
        history_reader_take(history, reader, batch);
    group_history_processed(m->options.group, m->fetching, from, reader->offset);
    if (reader->offset == from) {
        later(m, IDLE_NS);
        return;
    }
    m->dirty |= 1U << m->fetching;
    m->fetched_since_commit++;
}

static void answered(void *ctx, const void *message) {
    struct kafka_member_channel *channel = ctx;
    struct kafka_member *m = channel->member;
    enum kafka_member_asking asked = m->asking;
    if (channel_of(m, asked) != channel || asked == MEMBER_NOTHING) return;
    io_timer_cancel(m->options.io, &m->timer);
    m->asking = MEMBER_NOTHING;
    if (asked == MEMBER_FIND) take_coordinator(m, message);
    if (asked == MEMBER_JOIN) take_joined(m, message);
    if (asked == MEMBER_SYNC) take_synced(m, message);
    if (asked == MEMBER_BEAT && m->options.consumer) take_beat(m, message);
    if (asked == MEMBER_BEAT && !m->options.consumer)
        MAYBE(is_member(m, ((const struct kafka_heartbeat_response *)message)->error_code));
    if (asked == MEMBER_OFFSETS) take_offsets(m, message);
    if (asked == MEMBER_COMMIT) take_committed(m, message);
    if (asked == MEMBER_METADATA) take_metadata(m, message);
    if (asked == MEMBER_FETCH) take_fetched(m, message);
    if (asked == MEMBER_LEAVE) {
        forget(m, true);
        if (m->options.is_static) live(m);
        later(m, REJOIN_NS_MAX);
    }
    m->options.told(m->options.ctx, 0, NULL);
    go_on(m);
}

/* ---- what comes next ---------------------------------------------------------------------------------- */

static bool beat_is_due(const struct kafka_member *m) {
    if (m->options.consumer && m->owned != m->wanted) return true;
    return now(m) >= m->beat_ns + KAFKA_MEMBER_BEAT_MS * NS_PER_MS;
}

/* The process ends in the middle of anything, and another of the same instance takes its place. */
static void crash(struct kafka_member *m) {
    tell(m, "crashes, in generation", m->generation);
    forget(m, false);
    drop(&m->control);
    drop(&m->data);
    m->coordinator = 0;
    live(m);
    later(m, REJOIN_NS_MAX);
}

/* True: it leaves, sleeps or crashes. */
static bool has_a_whim(struct kafka_member *m) {
    if (m->steady || !prng_chance(&m->prng, 1, 50)) return false;
    if (m->options.is_static && prng_chance(&m->prng, 3, 4)) {
        if (m->options.consumer && prng_chance(&m->prng, 1, 2))
            ask_beat_consumer(m, EPOCH_STEPS_OUT);
        else
            crash(m);
    } else if (prng_chance(&m->prng, 1, 2)) {
        ask_leave(m);
    } else {
        tell(m, "sleeps, in generation", m->generation);
        later(m, SLEEP_NS_MAX);
    }
    return true;
}

static void read_some(struct kafka_member *m) {
    uint32_t readable = m->owned & m->known;
    if (m->options.consumer) readable &= m->wanted;
    if (readable == 0) {
        later(m, IDLE_NS);
        return;
    }
    do {
        m->fetching = m->next++ % KAFKA_MEMBER_PARTITIONS;
    } while (!has(readable, m->fetching));
    m->next %= KAFKA_MEMBER_PARTITIONS;
    if (!connect_to(m, &m->data, m->leaders[m->fetching])) {
        m->next = m->fetching; /* this one again */
        return;
    }
    if (m->leaders[m->fetching] == 0) {
        m->next = m->fetching;
        ask_metadata(m);
    } else {
        ask_fetch(m);
    }
}

static void work(struct kafka_member *m) {
    bool lost_some = m->options.consumer && m->owned != m->wanted;
    bool commit = (m->dirty & m->owned) != 0 &&
                  (lost_some || m->fetched_since_commit >= COMMIT_AFTER || beat_is_due(m) || m->steady);
    if (m->stale_set != 0 && !m->steady && prng_chance(&m->prng, 1, 3))
        ask_commit(m, true);
    else if (commit && !m->beat_first)
        ask_commit(m, false);
    else if (beat_is_due(m) || m->beat_first)
        ask_beat(m);
    else if (has_a_whim(m))
        return;
    else if ((m->owned & ~m->known) != 0)
        ask_offsets(m);
    else
        read_some(m);
}

static void go_on(struct kafka_member *m) {
    if (!m->topic_known || m->asking != MEMBER_NOTHING || io_timer_armed(&m->timer)) return;
    if (!connect_to(m, &m->control, m->coordinator)) return;
    if (m->coordinator == 0)
        ask_coordinator(m);
    else if (m->coordinator != kafka_link_node(m->control.link))
        MAYBE(connect_to(m, &m->control, m->coordinator));
    else if (m->options.consumer && m->generation == 0)
        ask_beat(m);
    else if (m->rejoin && m->stale_set != 0 && prng_chance(&m->prng, 1, 2))
        ask_commit(m, true);
    else if (m->generation == 0 || m->rejoin)
        ask_join(m);
    else if (!m->options.consumer && !m->synced)
        ask_sync(m);
    else
        work(m);
}

static void timer_fired(struct io_timer *timer) {
    struct kafka_member *m = CONTAINER_OF(timer, struct kafka_member, timer);
    if (m->asking != MEMBER_NOTHING)
        give_up(m, channel_of(m, m->asking));
    else if (m->control.link != NULL && !m->control.connected)
        give_up(m, &m->control);
    else if (m->data.link != NULL && !m->data.connected)
        give_up(m, &m->data);
    else
        go_on(m);
}

/* ---- life --------------------------------------------------------------------------------------------- */

void kafka_member_init(struct kafka_member *m, const struct kafka_member_options *options) {
    *m = (struct kafka_member){.options = *options};
    m->control.member = m->data.member = m;
    prng_init(&m->prng, options->seed);
    io_timer_init(&m->timer, timer_fired);
    for (uint32_t p = 0; p < KAFKA_MEMBER_PARTITIONS; p++)
        m->readers[p].partition = p;
    if (options->is_static)
        snprintf(m->instance, sizeof m->instance, "instance-%s-%u", options->group_id, options->index);
    live(m);
}

void kafka_member_start(struct kafka_member *m) {
    if (m->topic_known) return;
    m->topic_known = true;
    go_on(m);
}

void kafka_member_release(struct kafka_member *m) {
    drop(&m->control);
    drop(&m->data);
    for (uint32_t p = 0; p < KAFKA_MEMBER_PARTITIONS; p++)
        history_reader_release(&m->readers[p]);
}

const char *kafka_member_state(const struct kafka_member *m) {
    static const char *const names[] = {"nothing", "coordinator", "join",   "sync",     "heartbeat",
                                        "leave",   "offsets",     "commit", "metadata", "fetch"};
    return names[m->asking];
}
