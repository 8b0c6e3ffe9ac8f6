// SPDX-License-Identifier: Apache-2.0
#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "machine/group_internal.h"

/* A group without members and offsets is worth remembering for its generation only. */
#define UNUSED_KEPT_MS ((int64_t)10 * 60 * 1000)

struct group_limits group_limits_default(void) {
    return (struct group_limits){
        .session_min_ms = 1000,
        .session_max_ms = 30 * 60 * 1000,
        .initial_delay_ms = 500,
        .offset_retention_ms = (int64_t)7 * 24 * 3600 * 1000,
        .member_max = 10000,
        .offset_metadata_max = 4096,
        .consumer_session_ms = 45000,
        .consumer_heartbeat_ms = 5000,
    };
}

void group_machine_init(struct group_machine *m, const struct group_limits *limits, uint64_t seed) {
    *m = (struct group_machine){.limits = *limits, .hash_seed = seed};
    map_init(&m->groups, seed);
    prng_init(&m->prng, seed);
}

/* ---- small things -------------------------------------------------------------------------------------- */

struct slice group_own(struct slice bytes) {
    if (bytes.data == NULL) return SLICE_EMPTY;
    uint8_t *copy = mem_alloc(bytes.size + 1);
    memcpy(copy, bytes.data, bytes.size);
    return slice_make(copy, bytes.size);
}

void group_disown(struct slice *bytes) {
    mem_free((void *)(uintptr_t)bytes->data);
    *bytes = SLICE_EMPTY;
}

void group_set(struct slice *to, struct slice value) {
    struct slice copy = group_own(value); /* the value may be what is replaced */
    group_disown(to);
    *to = copy;
}

enum status group_id_check(struct slice id) {
    return id.size == 0 || id.size > GROUP_ID_SIZE_MAX ? STATUS_INVALID_GROUP_ID : STATUS_OK;
}

struct slice group_new_member_id(struct group_machine *m, struct slice client_id) {
    static const char digits[] = "0123456789abcdef";
    uint8_t random[16];
    prng_bytes(&m->prng, random, sizeof random);
    size_t prefix = MIN(client_id.size, (size_t)100);
    uint8_t *id = mem_alloc(prefix + 1 + 2 * sizeof random);
    if (prefix != 0) memcpy(id, client_id.data, prefix);
    id[prefix] = '-';
    for (size_t i = 0; i < sizeof random; i++) {
        id[prefix + 1 + 2 * i] = (uint8_t)digits[random[i] >> 4];
        id[prefix + 2 + 2 * i] = (uint8_t)digits[random[i] & 15];
    }
    return slice_make(id, prefix + 1 + 2 * sizeof random);
}

const char *group_phase_name(const struct group *group) {
    static const char *const classic[] = {"Empty", "PreparingRebalance", "CompletingRebalance", "Stable"};
    if (group->kind != GROUP_CONSUMER) return classic[group->phase];
    if (group->members.count == 0) return "Empty";
    MAP_FOREACH(it, &group->members) {
        const struct group_member *member = MAP_ENTRY(it)->value;
        if (member->epoch != group->target_epoch || member->state != GROUP_MEMBER_STABLE)
            return "Reconciling";
    }
    return "Stable";
}

const char *group_kind_name(enum group_kind kind) {
    return kind == GROUP_CONSUMER ? "consumer" : "classic";
}

/* ---- the step ------------------------------------------------------------------------------------------ */

void group_step_init(struct group_step *step) {
    *step = (struct group_step){0};
    state_change_init(&step->change);
}

void group_step_clear(struct group_step *step) {
    for (uint32_t i = 0; i < step->reply_count; i++) {
        group_disown(&step->replies[i].member_id);
        group_disown(&step->replies[i].leader);
    }
    step->reply_count = 0;
    state_change_clear(&step->change);
}

void group_step_release(struct group_step *step) {
    group_step_clear(step);
    mem_free(step->replies);
    state_change_release(&step->change);
}

struct group_reply *group_reply_add(struct group_step *step, void *call, enum status status) {
    ASSERT(call != NULL);
    if (step->reply_count == step->reply_capacity) {
        step->reply_capacity = MAX(2 * step->reply_capacity, (uint32_t)16);
        step->replies = mem_realloc(step->replies, step->reply_capacity * sizeof *step->replies);
    }
    struct group_reply *reply = &step->replies[step->reply_count++];
    *reply = (struct group_reply){.call = call, .status = status};
    return reply;
}

/* ---- deadlines: a binary heap of groups by wake_ms ------------------------------------------------------
 */

static void heap_put(struct group_machine *m, uint32_t index, struct group *group) {
    m->heap[index] = group;
    group->heap_index = index + 1;
}

static void heap_sift(struct group_machine *m, uint32_t index) {
    struct group *group = m->heap[index];
    while (index > 0 && m->heap[(index - 1) / 2]->wake_ms > group->wake_ms) {
        heap_put(m, index, m->heap[(index - 1) / 2]);
        index = (index - 1) / 2;
    }
    for (;;) {
        uint32_t child = 2 * index + 1;
        if (child >= m->heap_count) break;
        if (child + 1 < m->heap_count && m->heap[child + 1]->wake_ms < m->heap[child]->wake_ms) child++;
        if (m->heap[child]->wake_ms >= group->wake_ms) break;
        heap_put(m, index, m->heap[child]);
        index = child;
    }
    heap_put(m, index, group);
}

static void heap_remove(struct group_machine *m, struct group *group) {
    if (group->heap_index == 0) return;
    uint32_t index = group->heap_index - 1;
    group->heap_index = 0;
    struct group *last = m->heap[--m->heap_count];
    if (last == group) return;
    heap_put(m, index, last);
    heap_sift(m, index);
}

void group_wake_by(struct group_machine *m, struct group *group, int64_t deadline_ms) {
    if (deadline_ms == GROUP_NEVER) return;
    if (group->heap_index != 0 && group->wake_ms <= deadline_ms) return;
    group->wake_ms = deadline_ms;
    if (group->heap_index == 0) {
        if (m->heap_count == m->heap_capacity) {
            m->heap_capacity = MAX(2 * m->heap_capacity, (uint32_t)16);
            m->heap = mem_realloc(m->heap, m->heap_capacity * sizeof *m->heap);
        }
        heap_put(m, m->heap_count++, group);
    }
    heap_sift(m, group->heap_index - 1);
}

int64_t group_deadline(const struct group_machine *m) {
    return m->heap_count == 0 ? GROUP_NEVER : m->heap[0]->wake_ms;
}

/* What it waits for, exactly; wake_ms may be earlier, because heartbeats only move deadlines back. */
static int64_t next_deadline(const struct group *group) {
    int64_t deadline = MIN(group->deadline_ms, group->retention_check_ms);
    MAP_FOREACH(it, &group->members) {
        const struct group_member *member = MAP_ENTRY(it)->value;
        if (member->join_call == NULL && member->sync_call == NULL)
            deadline = MIN(deadline, member->session_deadline_ms);
        deadline = MIN(deadline, member->revoke_deadline_ms);
    }
    MAP_FOREACH(it, &group->pending) {
        const struct group_pending *pending = MAP_ENTRY(it)->value;
        deadline = MIN(deadline, pending->deadline_ms);
    }
    return deadline;
}

void group_expire(struct group_machine *m, struct group_step *step) {
    while (m->heap_count > 0 && m->heap[0]->wake_ms <= step->now_ms) {
        struct group *group = m->heap[0];
        heap_remove(m, group);
        if (group->kind == GROUP_CONSUMER)
            group_consumer_expire(m, step, group);
        else
            group_classic_expire(m, step, group);
        if (group->retention_check_ms <= step->now_ms) group_offset_expire(m, step, group);
        bool unused = group->members.count == 0 && group->pending.count == 0 && group->offsets.count == 0 &&
                      group->transactions.count == 0;
        if (unused && (group->retention_check_ms <= step->now_ms || group->generation == 0)) {
            group_remove(m, step, group);
            continue;
        }
        /* Everything due was done: what is left lies ahead, so this ends. */
        int64_t next = next_deadline(group);
        group_wake_by(m, group, next == GROUP_NEVER ? next : MAX(next, step->now_ms + 1));
    }
}

/* ---- groups -------------------------------------------------------------------------------------------- */

const struct group *group_find(const struct group_machine *m, struct slice id) {
    return map_get(&m->groups, id);
}

struct group *group_add(struct group_machine *m, struct slice id, int64_t wall_ms) {
    ASSERT(id.size > 0 && id.size <= GROUP_ID_SIZE_MAX);
    struct group *group = mem_calloc(1, sizeof *group);
    group->id = group_own(id);
    map_init(&group->members, m->hash_seed);
    map_init(&group->statics, m->hash_seed);
    map_init(&group->pending, m->hash_seed);
    map_init(&group->offsets, m->hash_seed);
    map_init(&group->transactions, m->hash_seed);
    map_init(&group->owners, m->hash_seed);
    group->deadline_ms = group->retention_check_ms = GROUP_NEVER;
    group->empty_since_wall_ms = wall_ms;
    ASSERT(map_put(&m->groups, id, group) == NULL);
    return group;
}

static void member_free(struct group_member *member) {
    group_disown(&member->id);
    group_disown(&member->instance_id);
    group_disown(&member->client_id);
    group_disown(&member->client_host);
    for (uint32_t i = 0; i < member->protocol_count; i++) {
        group_disown(&member->protocols[i].name);
        group_disown(&member->protocols[i].metadata);
    }
    mem_free(member->protocols);
    group_disown(&member->assignment);
    group_disown(&member->rack_id);
    group_disown(&member->assignor);
    group_disown(&member->regex);
    group_matched_clear(member);
    for (uint32_t i = 0; i < member->topic_count; i++)
        group_disown(&member->topics[i]);
    mem_free(member->topics);
    group_partitions_release(&member->assigned);
    group_partitions_release(&member->revoking);
    group_partitions_release(&member->target);
    mem_free(member);
}

static void values_free(struct map *map) {
    MAP_FOREACH(it, map) {
        mem_free(MAP_ENTRY(it)->value);
    }
    map_release(map);
}

static void group_free(struct group *group) {
    MAP_FOREACH(it, &group->members) {
        member_free(MAP_ENTRY(it)->value);
    }
    map_release(&group->members);
    map_release(&group->statics);
    map_release(&group->owners);
    values_free(&group->pending);
    group_offsets_release(&group->offsets);
    MAP_FOREACH(it, &group->transactions) {
        struct group_transaction *transaction = MAP_ENTRY(it)->value;
        group_offsets_release(&transaction->offsets);
        mem_free(transaction);
    }
    map_release(&group->transactions);
    group_disown(&group->id);
    group_disown(&group->protocol_type);
    group_disown(&group->protocol);
    group_disown(&group->leader);
    group_disown(&group->assignor);
    mem_free(group);
}

void group_machine_release(struct group_machine *m) {
    MAP_FOREACH(it, &m->groups) {
        group_free(MAP_ENTRY(it)->value);
    }
    map_release(&m->groups);
    mem_free(m->heap);
    *m = (struct group_machine){0};
}

void group_remove(struct group_machine *m, struct group_step *step, struct group *group) {
    ASSERT(group->members.count == 0);
    MAP_FOREACH(it, &group->offsets) {
        group_save_offset_removed(step, group, NULL, MAP_ENTRY(it)->value);
    }
    group_save_removed(step, group);
    heap_remove(m, group);
    map_remove(&m->groups, group->id);
    group_free(group);
}

void group_became_empty(struct group_machine *m, struct group *group, const struct group_step *step) {
    group->phase = GROUP_EMPTY;
    group->deadline_ms = GROUP_NEVER;
    group->empty_since_wall_ms = step->wall_ms;
    int64_t keep_ms = m->limits.offset_retention_ms;
    group->retention_check_ms = step->now_ms +
                                (group->offsets.count == 0 ? MIN(keep_ms, UNUSED_KEPT_MS) : keep_ms);
    group_wake_by(m, group, group->retention_check_ms);
}

/* ---- members ------------------------------------------------------------------------------------------- */

struct group_member *group_member_find(const struct group *group, struct slice id) {
    return id.size == 0 ? NULL : map_get(&group->members, id);
}

struct group_member *group_member_add(struct group *group, struct slice id, struct slice instance_id) {
    struct group_member *member = mem_calloc(1, sizeof *member);
    member->id = group_own(id);
    member->instance_id = group_own(instance_id);
    member->session_deadline_ms = member->revoke_deadline_ms = GROUP_NEVER;
    ASSERT(map_put(&group->members, id, member) == NULL);
    if (instance_id.data != NULL) MAYBE(map_put(&group->statics, instance_id, member));
    return member;
}

void group_member_remove(struct group_step *step, struct group *group, struct group_member *member,
                         enum status status) {
    if (member->join_call != NULL) group_reply_add(step, member->join_call, status);
    if (member->sync_call != NULL) group_reply_add(step, member->sync_call, status);
    if (member->saved) group_save_member_removed(step, group, member);
    ASSERT(map_remove(&group->members, member->id) == member);
    if (member->instance_id.data != NULL && map_get(&group->statics, member->instance_id) == member)
        map_remove(&group->statics, member->instance_id);
    member_free(member);
}

void group_pending_remove(struct group *group, struct slice id) {
    mem_free(map_remove(&group->pending, id));
}

enum status group_identify(const struct group *group, const struct group_identity *who,
                           struct group_member **member) {
    *member = NULL;
    if (who->instance_id.data != NULL) {
        struct group_member *owner = map_get(&group->statics, who->instance_id);
        if (owner == NULL) return STATUS_UNKNOWN_MEMBER;
        if (!slice_equal(owner->id, who->member_id)) return STATUS_FENCED_INSTANCE;
        *member = owner;
        return STATUS_OK;
    }
    *member = group_member_find(group, who->member_id);
    return *member == NULL ? STATUS_UNKNOWN_MEMBER : STATUS_OK;
}

void group_touch(struct group_machine *m, struct group *group, struct group_member *member, int64_t now_ms) {
    member->session_deadline_ms = now_ms + member->session_timeout_ms;
    group_wake_by(m, group, member->session_deadline_ms);
}

void group_forget_call(struct group_machine *m, struct slice id, const void *call) {
    struct group *group = map_get(&m->groups, id);
    if (group == NULL) return;
    MAP_FOREACH(it, &group->members) {
        struct group_member *member = MAP_ENTRY(it)->value;
        if (member->join_call != call && member->sync_call != call) continue;
        /* Whoever does not hear an answer asks again, or its session ends. */
        if (member->join_call == call) member->join_call = NULL;
        if (member->sync_call == call) member->sync_call = NULL;
        group_wake_by(m, group, member->session_deadline_ms);
    }
}

void group_machine_check(const struct group_machine *m) {
    MAP_FOREACH(it, &m->groups) {
        const struct group *group = MAP_ENTRY(it)->value;
        ASSERT_EQ(group->members.count == 0, group->phase == GROUP_EMPTY);
        ASSERT_IMPLIES(group->phase == GROUP_PREPARING || group->phase == GROUP_COMPLETING,
                       group->deadline_ms != GROUP_NEVER);
        ASSERT_IMPLIES(next_deadline(group) != GROUP_NEVER,
                       group->heap_index != 0 && group->wake_ms <= next_deadline(group));
        MAP_FOREACH(inner, &group->members) {
            const struct group_member *member = MAP_ENTRY(inner)->value;
            ASSERT_IMPLIES(member->join_call != NULL, group->phase == GROUP_PREPARING);
            ASSERT_IMPLIES(member->sync_call != NULL, group->phase == GROUP_COMPLETING);
            ASSERT_IMPLIES(member->instance_id.data != NULL,
                           map_get(&group->statics, member->instance_id) == member);
        }
    }
}
