// SPDX-License-Identifier: Apache-2.0
/* Groups as keys of a state_change (docs/formats.md), and back:
 *
 *   'g' group                                         kind, phase, generation, names
 *   'm' size u8, group, member id                     one member
 *   'o' size u8, group, partition be32, topic         a committed offset
 *   'p' size u8, group, producer be64, partition be32, topic   one that waits for its transaction
 *
 * Tags are in an order that loads a group before what belongs to it. */
#include "base/assert.h"
#include "base/mem.h"
#include "machine/group_internal.h"

#define RECORD_VERSION  1
#define PENDING_VERSION 2 /* 1: before transactions had numbers */
#define TAG_GROUP       'g'
#define TAG_MEMBER      'm'
#define TAG_OFFSET      'o'
#define TAG_PENDING     'p'

#define ELEMENTS_MAX 1000000

/* ---- keys ---------------------------------------------------------------------------------------------- */

struct record_key {
    uint8_t bytes[STATE_CHANGE_KEY_MAX];
    size_t size;
};

static void add_bytes(struct record_key *key, struct slice bytes) {
    ASSERT_LE(key->size + bytes.size, sizeof key->bytes);
    if (bytes.size != 0) memcpy(key->bytes + key->size, bytes.data, bytes.size);
    key->size += bytes.size;
}

static struct record_key key_begin(uint8_t tag, const struct group *group) {
    struct record_key key = {.size = 1};
    key.bytes[0] = tag;
    if (tag != TAG_GROUP) key.bytes[key.size++] = (uint8_t)group->id.size;
    add_bytes(&key, group->id);
    return key;
}

static struct slice key_slice(const struct record_key *key) {
    return slice_make(key->bytes, key->size);
}

static struct record_key member_key(const struct group *group, const struct group_member *member) {
    struct record_key key = key_begin(TAG_MEMBER, group);
    add_bytes(&key, member->id);
    return key;
}

static struct record_key offset_key(const struct group *group, const struct group_producer *producer,
                                    const struct group_offset *offset) {
    struct record_key key = key_begin(producer == NULL ? TAG_OFFSET : TAG_PENDING, group);
    uint8_t number[8];
    if (producer != NULL) {
        store_be64(number, (uint64_t)producer->id);
        add_bytes(&key, slice_make(number, 8));
    }
    store_be32(number, (uint32_t)offset->partition);
    add_bytes(&key, slice_make(number, 4));
    add_bytes(&key, offset->topic);
    return key;
}

/* ---- values -------------------------------------------------------------------------------------------- */

/* 0: none; else the size and one more. */
static void put_maybe(struct writer *out, struct slice bytes) {
    writer_varint64(out, bytes.data == NULL ? 0 : (uint64_t)bytes.size + 1);
    writer_bytes(out, bytes);
}

static struct slice take_maybe(struct reader *in) {
    uint64_t size = reader_varint64(in);
    if (size == 0) return SLICE_EMPTY;
    struct slice bytes = reader_bytes(in, size - 1);
    return reader_ok(in) ? group_own(slice_make(bytes.data == NULL ? in->start : bytes.data, bytes.size))
                         : SLICE_EMPTY;
}

static void put_partitions(struct writer *out, const struct group_partitions *set) {
    writer_varint64(out, set->count);
    for (uint32_t i = 0; i < set->count; i++) {
        writer_bytes(out, slice_make(set->list[i].topic.bytes, sizeof set->list[i].topic.bytes));
        writer_be32(out, (uint32_t)set->list[i].partition);
    }
}

static uint32_t take_count(struct reader *in) {
    uint64_t count = reader_varint64(in);
    if (count > ELEMENTS_MAX || count > reader_remaining(in)) reader_fail(in);
    return reader_ok(in) ? (uint32_t)count : 0;
}

static struct uuid take_uuid(struct reader *in) {
    struct uuid id = {{0}};
    struct slice bytes = reader_bytes(in, sizeof id.bytes);
    if (bytes.size == sizeof id.bytes) memcpy(id.bytes, bytes.data, sizeof id.bytes);
    return id;
}

static void take_partitions(struct reader *in, struct group_partitions *set) {
    uint32_t count = take_count(in);
    for (uint32_t i = 0; i < count && reader_ok(in); i++) {
        struct group_partition partition = {.topic = take_uuid(in)};
        partition.partition = (int32_t)reader_be32(in);
        if (reader_ok(in)) group_partitions_add(set, partition);
    }
}

void group_save(struct group_step *step, const struct group *group) {
    struct record_key key = key_begin(TAG_GROUP, group);
    struct writer *out = state_change_put(&step->change, key_slice(&key));
    writer_u8(out, RECORD_VERSION);
    writer_u8(out, (uint8_t)group->kind);
    writer_u8(out, (uint8_t)group->phase);
    writer_be32(out, (uint32_t)group->generation);
    writer_be32(out, (uint32_t)group->target_epoch);
    writer_be64(out, (uint64_t)group->empty_since_wall_ms);
    writer_be64(out, group->topics_hash);
    put_maybe(out, group->protocol_type);
    put_maybe(out, group->protocol);
    put_maybe(out, group->leader);
    put_maybe(out, group->assignor);
    state_change_end(&step->change);
}

void group_save_removed(struct group_step *step, const struct group *group) {
    struct record_key key = key_begin(TAG_GROUP, group);
    state_change_remove(&step->change, key_slice(&key));
}

void group_save_member(struct group_step *step, const struct group *group, struct group_member *member) {
    struct record_key key = member_key(group, member);
    struct writer *out = state_change_put(&step->change, key_slice(&key));
    writer_u8(out, RECORD_VERSION);
    put_maybe(out, member->instance_id);
    put_maybe(out, member->client_id);
    put_maybe(out, member->client_host);
    writer_be32(out, (uint32_t)member->session_timeout_ms);
    writer_be32(out, (uint32_t)member->rebalance_timeout_ms);
    writer_varint64(out, member->protocol_count);
    for (uint32_t i = 0; i < member->protocol_count; i++) {
        put_maybe(out, member->protocols[i].name);
        put_maybe(out, member->protocols[i].metadata);
    }
    put_maybe(out, member->assignment);
    writer_be32(out, (uint32_t)member->epoch);
    writer_be32(out, (uint32_t)member->previous_epoch);
    writer_u8(out, (uint8_t)member->state);
    put_maybe(out, member->rack_id);
    put_maybe(out, member->assignor);
    put_maybe(out, member->regex);
    writer_varint64(out, member->topic_count);
    for (uint32_t i = 0; i < member->topic_count; i++)
        put_maybe(out, member->topics[i]);
    put_partitions(out, &member->assigned);
    put_partitions(out, &member->revoking);
    put_partitions(out, &member->target);
    state_change_end(&step->change);
    member->saved = true;
}

void group_save_member_removed(struct group_step *step, const struct group *group,
                               const struct group_member *member) {
    struct record_key key = member_key(group, member);
    state_change_remove(&step->change, key_slice(&key));
}

void group_save_offset(struct group_step *step, const struct group *group,
                       const struct group_producer *producer, const struct group_offset *offset) {
    struct record_key key = offset_key(group, producer, offset);
    struct writer *out = state_change_put(&step->change, key_slice(&key));
    writer_u8(out, producer == NULL ? RECORD_VERSION : PENDING_VERSION);
    if (producer != NULL) writer_be32(out, (uint32_t)producer->number);
    writer_be64(out, (uint64_t)offset->offset);
    writer_be32(out, (uint32_t)offset->leader_epoch);
    writer_be64(out, (uint64_t)offset->commit_wall_ms);
    writer_bytes(out, slice_make(offset->topic_id.bytes, sizeof offset->topic_id.bytes));
    put_maybe(out, offset->metadata);
    state_change_end(&step->change);
}

void group_save_offset_removed(struct group_step *step, const struct group *group,
                               const struct group_producer *producer, const struct group_offset *offset) {
    struct record_key key = offset_key(group, producer, offset);
    state_change_remove(&step->change, key_slice(&key));
}

void group_export(const struct group *group, struct state_change *change) {
    struct group_step step;
    group_step_init(&step);
    group_save(&step, group);
    MAP_FOREACH(it, &group->members) {
        struct group_member *member = MAP_ENTRY(it)->value;
        bool saved = member->saved; /* the log has not heard of it by this */
        group_save_member(&step, group, member);
        member->saved = saved;
    }
    MAP_FOREACH(it, &group->offsets) {
        group_save_offset(&step, group, NULL, MAP_ENTRY(it)->value);
    }
    MAP_FOREACH(it, &group->transactions) {
        const struct group_transaction *transaction = MAP_ENTRY(it)->value;
        MAP_FOREACH(of, &transaction->offsets) {
            group_save_offset(&step, group, &transaction->producer, MAP_ENTRY(of)->value);
        }
    }
    struct state_change empty = *change;
    *change = step.change;
    step.change = empty;
    group_step_release(&step);
}

/* ---- loading ------------------------------------------------------------------------------------------- */

static void load_group(struct group *group, struct reader *in) {
    uint8_t kind = reader_u8(in), phase = reader_u8(in);
    if (kind > GROUP_CONSUMER || phase > GROUP_STABLE) reader_fail(in);
    group->kind = (enum group_kind)kind;
    group->phase = (enum group_phase)phase;
    group->generation = (int32_t)reader_be32(in);
    group->target_epoch = (int32_t)reader_be32(in);
    group->empty_since_wall_ms = (int64_t)reader_be64(in);
    group->topics_hash = reader_be64(in);
    group->protocol_type = take_maybe(in);
    group->protocol = take_maybe(in);
    group->leader = take_maybe(in);
    group->assignor = take_maybe(in);
}

static void load_protocols(struct group_member *member, struct reader *in) {
    uint32_t count = take_count(in);
    member->protocols = mem_calloc((size_t)count + 1, sizeof *member->protocols);
    for (; member->protocol_count < count && reader_ok(in); member->protocol_count++) {
        member->protocols[member->protocol_count].name = take_maybe(in);
        member->protocols[member->protocol_count].metadata = take_maybe(in);
    }
}

static void load_topics(struct group_member *member, struct reader *in) {
    uint32_t count = take_count(in);
    member->topics = mem_calloc((size_t)count + 1, sizeof *member->topics);
    for (; member->topic_count < count && reader_ok(in); member->topic_count++)
        member->topics[member->topic_count] = take_maybe(in);
}

static void load_member(struct group *group, struct slice id, struct reader *in) {
    struct slice instance_id = take_maybe(in);
    struct group_member *member = group_member_add(group, id, instance_id);
    group_disown(&instance_id);
    member->saved = true;
    member->client_id = take_maybe(in);
    member->client_host = take_maybe(in);
    member->session_timeout_ms = (int32_t)reader_be32(in);
    member->rebalance_timeout_ms = (int32_t)reader_be32(in);
    load_protocols(member, in);
    member->assignment = take_maybe(in);
    member->epoch = (int32_t)reader_be32(in);
    member->previous_epoch = (int32_t)reader_be32(in);
    uint8_t state = reader_u8(in);
    if (state > GROUP_MEMBER_WAITING) reader_fail(in);
    member->state = (enum group_member_state)state;
    member->rack_id = take_maybe(in);
    member->assignor = take_maybe(in);
    member->regex = take_maybe(in);
    load_topics(member, in);
    take_partitions(in, &member->assigned);
    take_partitions(in, &member->revoking);
    take_partitions(in, &member->target);
}

static void load_offset(struct map *offsets, struct slice key, struct reader *in) {
    struct group_offset offset = {.partition = key.size < 4 ? -1 : (int32_t)load_be32(key.data)};
    if (offset.partition < 0 || key.size == 4 || key.size > 4 + GROUP_TOPIC_SIZE_MAX) {
        reader_fail(in);
        return;
    }
    offset.topic = slice_make(key.data + 4, key.size - 4);
    offset.offset = (int64_t)reader_be64(in);
    offset.leader_epoch = (int32_t)reader_be32(in);
    offset.commit_wall_ms = (int64_t)reader_be64(in);
    offset.topic_id = take_uuid(in);
    offset.metadata = take_maybe(in);
    if (reader_ok(in)) group_offset_put(offsets, &offset);
    group_disown(&offset.metadata);
}

static void load_pending(struct group_machine *m, struct group *group, uint8_t version, struct slice key,
                         struct reader *in) {
    int32_t number = version == RECORD_VERSION ? 1 : (int32_t)reader_be32(in); /* as txn_load has it */
    if (key.size < 8) {
        reader_fail(in);
        return;
    }
    struct slice id = slice_make(key.data, 8);
    struct group_transaction *transaction = map_get(&group->transactions, id);
    if (transaction == NULL) {
        transaction = mem_calloc(1, sizeof *transaction);
        transaction->producer = (struct group_producer){(int64_t)load_be64(key.data), number};
        map_init(&transaction->offsets, m->hash_seed);
        map_put(&group->transactions, id, transaction);
    }
    load_offset(&transaction->offsets, slice_make(key.data + 8, key.size - 8), in);
}

enum status group_load(struct group_machine *m, struct slice key, struct slice value) {
    struct reader name = reader_make(key), in = reader_make(value);
    uint8_t tag = reader_u8(&name);
    struct slice id = reader_bytes(&name, tag == TAG_GROUP ? reader_remaining(&name) : reader_u8(&name));
    uint8_t version = reader_u8(&in);
    bool known = version == RECORD_VERSION || (tag == TAG_PENDING && version == PENDING_VERSION);
    if (!reader_ok(&name) || id.size == 0 || id.size > GROUP_ID_SIZE_MAX || !known) return STATUS_MALFORMED;
    struct group *group = map_get(&m->groups, id);
    if ((tag == TAG_GROUP) != (group == NULL)) return STATUS_MALFORMED;
    if (group == NULL) group = group_add(m, id, 0);
    struct slice rest = reader_bytes(&name, reader_remaining(&name));
    bool fits = rest.size > 0 && rest.size <= GROUP_MEMBER_ID_SIZE_MAX;
    if (tag == TAG_GROUP)
        load_group(group, &in);
    else if (tag == TAG_MEMBER && fits && group_member_find(group, rest) == NULL)
        load_member(group, rest, &in);
    else if (tag == TAG_OFFSET)
        load_offset(&group->offsets, rest, &in);
    else if (tag == TAG_PENDING)
        load_pending(m, group, version, rest, &in);
    else
        return STATUS_MALFORMED;
    return reader_ok(&in) && reader_remaining(&in) == 0 ? STATUS_OK : STATUS_MALFORMED;
}

/* A generation that was given out and never came to an assignment goes on as a rebalance. */
static void settle(struct group_machine *m, struct group *group, const struct group_step *step) {
    group->deadline_ms = GROUP_NEVER;
    if (group->members.count == 0) {
        int64_t since = group->empty_since_wall_ms;
        group_became_empty(m, group, step);
        group->empty_since_wall_ms = since;
        int64_t left_ms = m->limits.offset_retention_ms - (step->wall_ms - since);
        group->retention_check_ms = step->now_ms + (left_ms > 0 ? left_ms : 0);
        group_wake_by(m, group, group->retention_check_ms);
        return;
    }
    int64_t wait_ms = 1;
    MAP_FOREACH(it, &group->members) {
        struct group_member *member = MAP_ENTRY(it)->value;
        group_touch(m, group, member, step->now_ms);
        if (member->state == GROUP_MEMBER_REVOKING) {
            member->revoke_deadline_ms = step->now_ms + member->rebalance_timeout_ms;
            group_wake_by(m, group, member->revoke_deadline_ms);
        }
        if (member->rebalance_timeout_ms > wait_ms) wait_ms = member->rebalance_timeout_ms;
    }
    if (group->kind == GROUP_CONSUMER) {
        group->phase = GROUP_STABLE;
        group_owners_rebuild(group);
    } else if (group->phase != GROUP_STABLE) {
        group->phase = GROUP_PREPARING;
        group->deadline_ms = step->now_ms + wait_ms;
        group_wake_by(m, group, group->deadline_ms);
    }
}

enum status group_loaded(struct group_machine *m, int64_t now_ms, int64_t wall_ms) {
    const struct group_step step = {.now_ms = now_ms, .wall_ms = wall_ms};
    MAP_FOREACH(it, &m->groups) {
        struct group *group = MAP_ENTRY(it)->value;
        bool has_members = group->members.count != 0;
        if (has_members && group->kind == GROUP_SIMPLE) return STATUS_MALFORMED;
        if (has_members && group->kind == GROUP_CLASSIC && !group_classic_agrees(group))
            return STATUS_MALFORMED;
        settle(m, group, &step);
    }
    return STATUS_OK;
}
