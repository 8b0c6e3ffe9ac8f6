// SPDX-License-Identifier: Apache-2.0
/* Consumer groups (KIP-848): heartbeats that join, subscribe, acknowledge and leave; reconciliation.
 *
 *   STABLE ─ has what it must give up ──> REVOKING ─ its heartbeat no longer owns it ─┐
 *     ^  ^─ nothing to give up, all free ─────────────────────────────────────────────┤
 *     └── all free ── WAITING <─ something of its target is still held by another ────┘ */
#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "machine/group_internal.h"
#include "machine/pattern.h"

/* ---- who holds what ------------------------------------------------------------------------------------ */

struct owner_key {
    uint8_t bytes[20];
};

static struct owner_key owner_key(struct group_partition partition) {
    struct owner_key key;
    memcpy(key.bytes, partition.topic.bytes, 16);
    store_be32(key.bytes + 16, (uint32_t)partition.partition);
    return key;
}

static struct group_member *owner_of(const struct group *group, struct group_partition partition) {
    struct owner_key key = owner_key(partition);
    return map_get(&group->owners, slice_make(key.bytes, sizeof key.bytes));
}

static void hold(struct group *group, const struct group_partitions *set, struct group_member *member) {
    for (uint32_t i = 0; i < set->count; i++) {
        struct owner_key key = owner_key(set->list[i]);
        struct group_member *before = map_put(&group->owners, slice_make(key.bytes, sizeof key.bytes),
                                              member);
        ASSERT(before == NULL || before == member); /* I2 */
    }
}

static void let_go(struct group *group, const struct group_partitions *set,
                   const struct group_member *member) {
    for (uint32_t i = 0; i < set->count; i++) {
        struct owner_key key = owner_key(set->list[i]);
        struct slice bytes = slice_make(key.bytes, sizeof key.bytes);
        if (map_get(&group->owners, bytes) == member) map_remove(&group->owners, bytes);
    }
}

/* From a log that may be damaged: the first holder wins. */
void group_owners_rebuild(struct group *group) {
    MAP_FOREACH(it, &group->members) {
        struct group_member *member = MAP_ENTRY(it)->value;
        struct group_partitions *sets[] = {&member->assigned, &member->revoking};
        for (size_t s = 0; s < ARRAY_COUNT(sets); s++) {
            uint32_t kept = 0;
            for (uint32_t i = 0; i < sets[s]->count; i++) {
                if (owner_of(group, sets[s]->list[i]) != NULL) continue;
                struct owner_key key = owner_key(sets[s]->list[i]);
                map_put(&group->owners, slice_make(key.bytes, sizeof key.bytes), member);
                sets[s]->list[kept++] = sets[s]->list[i];
            }
            sets[s]->count = kept;
        }
    }
}

/* ---- members come and go ------------------------------------------------------------------------------- */

static void member_left(struct group_machine *m, struct group_step *step, struct group *group) {
    group->generation++;
    if (group->members.count == 0) {
        group->target_epoch = group->generation;
        group_became_empty(m, group, step);
    }
    group_save(step, group);
}

void group_consumer_remove_member(struct group_machine *m, struct group_step *step, struct group *group,
                                  struct group_member *member) {
    let_go(group, &member->assigned, member);
    let_go(group, &member->revoking, member);
    group_member_remove(step, group, member, STATUS_UNKNOWN_MEMBER);
    member_left(m, step, group);
}

void group_consumer_expire(struct group_machine *m, struct group_step *step, struct group *group) {
    MAP_FOREACH(it, &group->members) {
        struct group_member *member = MAP_ENTRY(it)->value;
        if (member->session_deadline_ms <= step->now_ms || member->revoke_deadline_ms <= step->now_ms)
            group_consumer_remove_member(m, step, group, member);
    }
}

static enum status leave(struct group_machine *m, struct group_step *step, struct group *group,
                         const struct group_consumer_beat *beat) {
    struct group_member *member;
    const struct group_identity who = {.member_id = beat->member_id, .instance_id = beat->instance_id};
    enum status status = group_identify(group, &who, &member);
    if (status != STATUS_OK) return status;
    if (beat->epoch == GROUP_EPOCH_LEAVE_STATIC && member->instance_id.data != NULL) {
        member->epoch = GROUP_EPOCH_LEAVE_STATIC; /* its place is kept for a session */
        group_touch(m, group, member, step->now_ms);
        group_save_member(step, group, member);
        return STATUS_OK;
    }
    group_consumer_remove_member(m, step, group, member);
    return STATUS_OK;
}

/* A static member that had left for a moment comes back with another member id: it takes over what there is.
 */
static enum status take_over(struct group_step *step, struct group *group, struct group_member *member,
                             const struct group_consumer_beat *beat) {
    if (member->epoch != GROUP_EPOCH_LEAVE_STATIC) return STATUS_UNRELEASED_INSTANCE;
    if (member->saved) group_save_member_removed(step, group, member);
    member->saved = false;
    map_remove(&group->members, member->id);
    group_set(&member->id, beat->member_id);
    map_put(&group->members, member->id, member);
    return STATUS_OK;
}

static enum status join(struct group_machine *m, struct group_step *step, struct group *group,
                        const struct group_consumer_beat *beat, struct group_member **result) {
    struct group_member *owner = beat->instance_id.data == NULL ? NULL
                                                                : map_get(&group->statics, beat->instance_id);
    struct group_member *member = group_member_find(group, beat->member_id);
    if (owner != NULL && owner != member) {
        if (member != NULL) return STATUS_INVALID;
        enum status status = take_over(step, group, owner, beat);
        if (status != STATUS_OK) return status;
        member = owner;
    }
    if (member == NULL) {
        if (!beat->has_topics && beat->regex.data == NULL) return STATUS_INVALID;
        if (beat->rebalance_timeout_ms <= 0) return STATUS_INVALID;
        if (group->members.count >= (size_t)m->limits.member_max) return STATUS_GROUP_FULL;
        member = group_member_add(group, beat->member_id, beat->instance_id);
    }
    /* It starts again from nothing: what it held is given to it anew. */
    member->epoch = 0;
    member->session_timeout_ms = beat->session_timeout_ms > 0 ? beat->session_timeout_ms
                                                              : m->limits.consumer_session_ms;
    *result = member;
    return STATUS_OK;
}

static bool owns_only(const struct group_consumer_beat *beat, const struct group_partitions *set) {
    for (uint32_t i = 0; i < beat->owned_count; i++)
        if (!group_partitions_has(set, beat->owned[i])) return false;
    return beat->has_owned;
}

static enum status find_member(const struct group *group, const struct group_consumer_beat *beat,
                               struct group_member **result) {
    const struct group_identity who = {.member_id = beat->member_id, .instance_id = beat->instance_id};
    enum status status = group_identify(group, &who, result);
    if (status != STATUS_OK) return status;
    const struct group_member *member = *result;
    /* An answer may have been lost: the epoch before is right as long as it claims nothing it has not. */
    bool behind = beat->epoch < member->epoch && beat->epoch == member->previous_epoch &&
                  owns_only(beat, &member->assigned);
    return beat->epoch == member->epoch || behind ? STATUS_OK : STATUS_FENCED_MEMBER_EPOCH;
}

/* ---- subscription -------------------------------------------------------------------------------------- */

static bool set_topics(struct group_member *member, const struct slice *topics, uint32_t count) {
    bool same = member->topic_count == count;
    for (uint32_t i = 0; same && i < count; i++)
        same = slice_equal(member->topics[i], topics[i]);
    if (same) return false;
    struct slice *copies = mem_calloc((size_t)count + 1, sizeof *copies);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < count; i++) {
        bool known = false; /* a name once: partitions are assigned by subscriber */
        for (uint32_t j = 0; j < kept && !known; j++)
            known = slice_equal(copies[j], topics[i]);
        if (!known) copies[kept++] = group_own(topics[i]);
    }
    for (uint32_t i = 0; i < member->topic_count; i++)
        group_disown(&member->topics[i]);
    mem_free(member->topics);
    member->topics = copies;
    member->topic_count = kept;
    return true;
}

static bool update_member(struct group_member *member, const struct group_consumer_beat *beat) {
    bool changed = beat->has_topics && set_topics(member, beat->topics, beat->topic_count);
    if (beat->regex.data != NULL && !slice_equal(beat->regex, member->regex)) {
        group_set(&member->regex, beat->regex);
        group_matched_clear(member);
        changed = true;
    }
    if (beat->assignor.data != NULL && !slice_equal(beat->assignor, member->assignor)) {
        group_set(&member->assignor, beat->assignor);
        changed = true;
    }
    if (beat->rebalance_timeout_ms > 0) member->rebalance_timeout_ms = beat->rebalance_timeout_ms;
    if (beat->rack_id.data != NULL) group_set(&member->rack_id, beat->rack_id);
    group_set(&member->client_id, beat->client_id);
    group_set(&member->client_host, beat->client_host);
    return changed;
}

static uint64_t hash_topics(const struct group *group, const struct group_topics *topics) {
    uint64_t hash = 1;
    MAP_FOREACH(it, &group->members) {
        const struct group_member *member = MAP_ENTRY(it)->value;
        struct slice name;
        for (uint32_t i = 0; group_subscription(member, &i, &name);) {
            struct group_topic topic;
            if (!topics->find(topics->ctx, name, &topic)) continue;
            uint8_t bytes[20];
            memcpy(bytes, topic.id.bytes, 16);
            store_be32(bytes + 16, (uint32_t)topic.partition_count);
            hash = hash_bytes(hash, slice_make(bytes, sizeof bytes));
        }
    }
    return hash;
}

/* The assignor most members ask for; ties go to the one asked for first, and who asks for none has uniform.
 */
static void choose_assignor(struct group *group) {
    uint32_t uniform = 0, range = 0;
    MAP_FOREACH(it, &group->members) {
        const struct group_member *member = MAP_ENTRY(it)->value;
        bool is_range = slice_equal(member->assignor, SLICE_LITERAL("range"));
        range += is_range;
        uniform += !is_range;
    }
    group_set(&group->assignor, range > uniform ? SLICE_LITERAL("range") : SLICE_LITERAL("uniform"));
}

/* True: there is a new target; who else is concerned is logged. */
static bool update_target(struct group_step *step, struct group *group, const struct group_member *asking,
                          bool changed) {
    if (changed || group->topics_version != step->topics.version) {
        group_match(group, &step->topics);
        uint64_t hash = hash_topics(group, &step->topics);
        changed |= hash != group->topics_hash;
        group->topics_hash = hash;
        group->topics_version = step->topics.version;
    }
    if (changed) group->generation++;
    if (group->target_epoch == group->generation) return false;
    choose_assignor(group);
    uint32_t count = (uint32_t)group->members.count, index = 0;
    struct group_partitions *before = mem_calloc(count, sizeof *before);
    MAP_FOREACH(it, &group->members) {
        struct group_member *member = MAP_ENTRY(it)->value;
        group_partitions_copy(&before[index++], &member->target);
    }
    group_assign(group, &step->topics);
    group->target_epoch = group->generation;
    group_save(step, group);
    index = 0;
    MAP_FOREACH(it, &group->members) {
        struct group_member *member = MAP_ENTRY(it)->value;
        if (member != asking && !group_partitions_equal(&before[index], &member->target))
            group_save_member(step, group, member);
        group_partitions_release(&before[index++]);
    }
    mem_free(before);
    return true;
}

/* ---- reconciliation ------------------------------------------------------------------------------------ */

/* What of `assigned` is no longer in the target moves to `revoking`. */
static void split_revoked(struct group_member *member) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < member->assigned.count; i++) {
        struct group_partition partition = member->assigned.list[i];
        if (group_partitions_has(&member->target, partition))
            member->assigned.list[kept++] = partition;
        else
            group_partitions_add(&member->revoking, partition);
    }
    member->assigned.count = kept;
}

static bool still_owns_revoked(const struct group_member *member, const struct group_consumer_beat *beat) {
    if (!beat->has_owned) return true;
    for (uint32_t i = 0; i < beat->owned_count; i++)
        if (group_partitions_has(&member->revoking, beat->owned[i])) return true;
    return false;
}

static void take_free(struct group *group, struct group_member *member) {
    member->state = GROUP_MEMBER_STABLE;
    for (uint32_t i = 0; i < member->target.count; i++) {
        struct group_partition partition = member->target.list[i];
        struct group_member *owner = owner_of(group, partition);
        if (owner == NULL)
            group_partitions_add(&member->assigned, partition);
        else if (owner != member)
            member->state = GROUP_MEMBER_WAITING;
    }
    hold(group, &member->assigned, member);
}

/* One step towards the target; true: something to be logged changed. */
static bool reconcile(struct group_machine *m, struct group_step *step, struct group *group,
                      struct group_member *member, const struct group_consumer_beat *beat) {
    if (member->state == GROUP_MEMBER_REVOKING) {
        if (still_owns_revoked(member, beat)) return false;
        let_go(group, &member->revoking, member);
        member->revoking.count = 0;
        member->revoke_deadline_ms = GROUP_NEVER;
    } else if (member->state == GROUP_MEMBER_STABLE && member->epoch == group->target_epoch) {
        return false;
    }
    uint32_t had = member->assigned.count;
    int32_t epoch = member->epoch;
    enum group_member_state state = member->state;
    split_revoked(member);
    if (member->revoking.count != 0 && member->epoch != 0) {
        member->state = GROUP_MEMBER_REVOKING;
        member->revoke_deadline_ms = step->now_ms + member->rebalance_timeout_ms;
        group_wake_by(m, group, member->revoke_deadline_ms);
        return true;
    }
    /* Who joins owns nothing yet, so there is nothing to wait for. */
    let_go(group, &member->revoking, member);
    member->revoking.count = 0;
    take_free(group, member);
    if (member->epoch != group->target_epoch) {
        member->previous_epoch = member->epoch;
        member->epoch = group->target_epoch;
    }
    return had != member->assigned.count || epoch != member->epoch || state != member->state ||
           state == GROUP_MEMBER_REVOKING;
}

static enum status check_beat(const struct group_consumer_beat *beat) {
    enum status status = group_id_check(beat->group);
    if (status != STATUS_OK) return status;
    bool bad = beat->member_id.size == 0 || beat->member_id.size > GROUP_MEMBER_ID_SIZE_MAX ||
               beat->instance_id.size > GROUP_MEMBER_ID_SIZE_MAX || beat->epoch < GROUP_EPOCH_LEAVE_STATIC ||
               (beat->epoch == GROUP_EPOCH_LEAVE_STATIC && beat->instance_id.data == NULL) ||
               (beat->epoch == GROUP_EPOCH_JOIN && beat->has_owned && beat->owned_count != 0);
    if (bad) return STATUS_INVALID;
    if (beat->regex.size != 0) {
        struct pattern *pattern;
        enum status understood = pattern_new(beat->regex, &pattern);
        if (understood != STATUS_OK) return understood;
        pattern_free(pattern);
    }
    return beat->assignor.data != NULL && !group_assignor_exists(beat->assignor) ? STATUS_UNSUPPORTED_ASSIGNOR
                                                                                 : STATUS_OK;
}

static enum status open_group(struct group_machine *m, struct group_step *step,
                              const struct group_consumer_beat *beat, struct group **result) {
    struct group *group = *result = map_get(&m->groups, beat->group);
    if (group == NULL) {
        if (beat->epoch != GROUP_EPOCH_JOIN) return STATUS_UNKNOWN_MEMBER;
        *result = group = group_add(m, beat->group, step->wall_ms);
    }
    if (group->kind != GROUP_CONSUMER) {
        if (group->members.count != 0) return STATUS_GROUP_NOT_FOUND; /* it is a classic group */
        if (beat->epoch != GROUP_EPOCH_JOIN) return STATUS_UNKNOWN_MEMBER;
        MAP_FOREACH(it, &group->pending) {
            group_pending_remove(group, map_entry_key(MAP_ENTRY(it)));
        }
        group->kind = GROUP_CONSUMER;
        group->target_epoch = group->generation;
        group_set(&group->protocol_type, SLICE_LITERAL("consumer"));
    }
    return STATUS_OK;
}

enum status group_consumer_beat(struct group_machine *m, struct group_step *step,
                                const struct group_consumer_beat *beat, const struct group_member **result,
                                bool *assignment_changed) {
    *result = NULL;
    *assignment_changed = false;
    struct group *group;
    struct group_member *member;
    enum status status = check_beat(beat);
    if (status == STATUS_OK) status = open_group(m, step, beat, &group);
    if (status != STATUS_OK) return status;
    if (beat->regex.size != 0 && !group_has_room_for_pattern(group, beat->member_id, beat->regex))
        return STATUS_INVALID_PATTERN;
    if (beat->epoch < 0) return leave(m, step, group, beat);
    size_t before = group->members.count;
    status = beat->epoch == GROUP_EPOCH_JOIN ? join(m, step, group, beat, &member)
                                             : find_member(group, beat, &member);
    if (status != STATUS_OK) {
        if (group->members.count == 0) group_became_empty(m, group, step);
        return status;
    }
    group->phase = GROUP_STABLE;
    group->retention_check_ms = GROUP_NEVER;
    group_touch(m, group, member, step->now_ms);
    bool behind = beat->epoch != member->epoch;
    bool subscribed = update_member(member, beat);
    bool aimed = update_target(step, group, member, subscribed || group->members.count != before);
    bool moved = reconcile(m, step, group, member, beat);
    if (moved || subscribed || aimed || !member->saved) group_save_member(step, group, member);
    /* Told again to whoever asks for it, and to whoever shows that it has not heard: answers get lost. */
    bool full = beat->epoch == GROUP_EPOCH_JOIN || (beat->has_owned && beat->has_topics);
    bool unheard = beat->has_owned &&
                   !(beat->owned_count == member->assigned.count && owns_only(beat, &member->assigned));
    *assignment_changed = moved || full || behind || unheard;
    *result = member;
    return STATUS_OK;
}
