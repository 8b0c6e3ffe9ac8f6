// SPDX-License-Identifier: Apache-2.0
/* Classic groups: join, sync and the rebalances between them (group.h has the picture). */
#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "machine/group_internal.h"

/* ---- protocols ----------------------------------------------------------------------------------------- */

static const struct group_protocol *find_protocol(const struct group_member *member, struct slice name) {
    for (uint32_t i = 0; i < member->protocol_count; i++)
        if (slice_equal(member->protocols[i].name, name)) return &member->protocols[i];
    return NULL;
}

static bool all_speak(const struct group *group, struct slice name, const struct group_member *but) {
    MAP_FOREACH(it, &group->members) {
        const struct group_member *member = MAP_ENTRY(it)->value;
        if (member != but && find_protocol(member, name) == NULL) return false;
    }
    return true;
}

/* Whether the group can still agree on a protocol when `self` (NULL: somebody new) speaks what `join` says.
 */
static enum status check_protocols(const struct group *group, const struct group_join *join,
                                   const struct group_member *self) {
    bool alone = group->members.count == (self == NULL ? 0U : 1U);
    if (alone) return STATUS_OK;
    if (!slice_equal(group->protocol_type, join->protocol_type)) return STATUS_INCONSISTENT_PROTOCOL;
    for (uint32_t i = 0; i < join->protocol_count; i++)
        if (all_speak(group, join->protocols[i].name, self)) return STATUS_OK;
    return STATUS_INCONSISTENT_PROTOCOL;
}

bool group_classic_agrees(const struct group *group) {
    const struct group_member *first = MAP_ENTRY(list_first(&group->members.order))->value;
    for (uint32_t i = 0; i < first->protocol_count; i++)
        if (all_speak(group, first->protocols[i].name, NULL)) return true;
    return false;
}

/* Each member votes for the first of its protocols that all speak; ties go to the one asked for first. */
static struct slice select_protocol(const struct group *group) {
    const struct group_member *first = MAP_ENTRY(list_first(&group->members.order))->value;
    struct slice best = SLICE_EMPTY;
    uint32_t best_votes = 0;
    for (uint32_t i = 0; i < first->protocol_count; i++) {
        struct slice candidate = first->protocols[i].name;
        if (!all_speak(group, candidate, NULL)) continue;
        uint32_t votes = 0;
        MAP_FOREACH(it, &group->members) {
            const struct group_member *member = MAP_ENTRY(it)->value;
            uint32_t p = 0;
            while (!all_speak(group, member->protocols[p].name, NULL))
                p++;
            votes += slice_equal(member->protocols[p].name, candidate);
        }
        if (votes <= best_votes) continue;
        best = candidate;
        best_votes = votes;
    }
    ASSERT(best_votes > 0); /* joins that leave nothing in common are refused */
    return best;
}

static bool same_protocols(const struct group *group, const struct group_member *member,
                           const struct group_join *join) {
    if (!slice_equal(group->protocol_type, join->protocol_type)) return false;
    if (member->protocol_count != join->protocol_count) return false;
    for (uint32_t i = 0; i < join->protocol_count; i++)
        if (!slice_equal(member->protocols[i].name, join->protocols[i].name) ||
            !slice_equal(member->protocols[i].metadata, join->protocols[i].metadata))
            return false;
    return true;
}

static void set_protocols(struct group_member *member, const struct group_join *join) {
    for (uint32_t i = 0; i < member->protocol_count; i++) {
        group_disown(&member->protocols[i].name);
        group_disown(&member->protocols[i].metadata);
    }
    member->protocols = mem_realloc(member->protocols, join->protocol_count * sizeof *member->protocols);
    member->protocol_count = join->protocol_count;
    for (uint32_t i = 0; i < join->protocol_count; i++) {
        member->protocols[i].name = group_own(join->protocols[i].name);
        member->protocols[i].metadata = group_own(join->protocols[i].metadata);
    }
}

/* ---- answers ------------------------------------------------------------------------------------------- */

static void fail_join(struct group_step *step, const struct group_join *join, enum status status) {
    struct group_reply *reply = group_reply_add(step, join->call, status);
    reply->member_id = group_own(join->member_id);
}

static void answer_join(struct group_step *step, void *call, const struct group *group,
                        const struct group_member *member, struct slice leader, bool skip) {
    struct group_reply *reply = group_reply_add(step, call, STATUS_OK);
    reply->member_id = group_own(member->id);
    reply->leader = group_own(leader);
    reply->group = group;
    reply->member = member;
    reply->skip_assignment = skip;
}

static void answer_sync(struct group_step *step, void *call, const struct group *group,
                        const struct group_member *member) {
    struct group_reply *reply = group_reply_add(step, call, STATUS_OK);
    reply->member_id = group_own(member->id);
    reply->group = group;
    reply->member = member;
}

static int64_t rebalance_max_ms(const struct group *group) {
    int64_t max = 0;
    MAP_FOREACH(it, &group->members) {
        const struct group_member *member = MAP_ENTRY(it)->value;
        max = MAX(max, (int64_t)member->rebalance_timeout_ms);
    }
    return max;
}

/* ---- rebalance ----------------------------------------------------------------------------------------- */

static void drop_unjoined(struct group_step *step, struct group *group) {
    MAP_FOREACH(it, &group->members) {
        struct group_member *member = MAP_ENTRY(it)->value;
        if (member->join_call == NULL && member->instance_id.data == NULL)
            group_member_remove(step, group, member, STATUS_UNKNOWN_MEMBER);
    }
}

/* The leader must be one that hears the answer; false: nobody would. */
static bool elect_leader(struct group *group) {
    const struct group_member *leader = group_member_find(group, group->leader);
    if (leader != NULL && leader->join_call != NULL) return true;
    MAP_FOREACH(it, &group->members) {
        leader = MAP_ENTRY(it)->value;
        if (leader->join_call == NULL) continue;
        group_set(&group->leader, leader->id);
        return true;
    }
    return false;
}

static void end_empty(struct group_machine *m, struct group_step *step, struct group *group) {
    group->generation++;
    group_disown(&group->protocol);
    group_disown(&group->leader);
    group_became_empty(m, group, step);
    group_save(step, group);
}

static void complete_join(struct group_machine *m, struct group_step *step, struct group *group) {
    ASSERT(group->phase == GROUP_PREPARING);
    group->joined_until_ms = 0;
    drop_unjoined(step, group);
    if (group->members.count == 0) {
        end_empty(m, step, group);
        return;
    }
    group->deadline_ms = step->now_ms + MAX(rebalance_max_ms(group), (int64_t)1);
    group_wake_by(m, group, group->deadline_ms);
    if (!elect_leader(group))
        return; /* static members only, all away: until they come or their sessions end */
    group->generation++;
    group_set(&group->protocol, select_protocol(group));
    group->phase = GROUP_COMPLETING;
    group_save(step, group);
    MAP_FOREACH(it, &group->members) {
        struct group_member *member = MAP_ENTRY(it)->value;
        group_disown(&member->assignment);
        if (member->join_call == NULL) continue;
        answer_join(step, member->join_call, group, member, group->leader, false);
        member->join_call = NULL;
        member->is_new = false;
        group_touch(m, group, member, step->now_ms);
    }
}

static void try_complete(struct group_machine *m, struct group_step *step, struct group *group) {
    if (group->phase != GROUP_PREPARING) return;
    if (group->members.count != 0) {
        if (group->joined_until_ms != 0 || group->pending.count != 0) return;
        MAP_FOREACH(it, &group->members) {
            const struct group_member *member = MAP_ENTRY(it)->value;
            if (member->join_call == NULL) return;
        }
    }
    complete_join(m, step, group);
}

static void rebalance(struct group_machine *m, struct group_step *step, struct group *group) {
    ASSERT(group->phase != GROUP_PREPARING);
    bool first = group->phase == GROUP_EMPTY && m->limits.initial_delay_ms > 0;
    MAP_FOREACH(it, &group->members) {
        struct group_member *member = MAP_ENTRY(it)->value;
        if (member->sync_call == NULL) continue;
        group_reply_add(step, member->sync_call, STATUS_REBALANCE_IN_PROGRESS);
        member->sync_call = NULL;
        group_touch(m, group, member, step->now_ms);
    }
    int64_t wait_ms = rebalance_max_ms(group);
    group->phase = GROUP_PREPARING;
    group->joined_until_ms = first ? step->now_ms + MAX(wait_ms, (int64_t)1) : 0;
    group->grew = false;
    if (first) wait_ms = MIN(wait_ms, (int64_t)m->limits.initial_delay_ms);
    group->deadline_ms = step->now_ms + wait_ms;
    group->retention_check_ms = GROUP_NEVER;
    group_wake_by(m, group, group->deadline_ms);
    try_complete(m, step, group);
}

/* After a member or a pending id has gone. */
static void member_left(struct group_machine *m, struct group_step *step, struct group *group) {
    if (group->phase == GROUP_STABLE || group->phase == GROUP_COMPLETING)
        rebalance(m, step, group);
    else
        try_complete(m, step, group);
}

/* ---- join ---------------------------------------------------------------------------------------------- */

static void park_join(struct group_machine *m, struct group_step *step, struct group *group,
                      struct group_member *member, const struct group_join *join) {
    if (member->join_call != NULL) /* the same member asked again, over another connection */
        group_reply_add(step, member->join_call, STATUS_REBALANCE_IN_PROGRESS);
    member->join_call = join->call;
    member->join_skips_assignment = join->skips_assignment;
    set_protocols(member, join);
    if (group->members.count == 1) group_set(&group->protocol_type, join->protocol_type);
    group_set(&member->client_id, join->client_id);
    group_set(&member->client_host, join->client_host);
    member->session_timeout_ms = join->session_timeout_ms;
    member->rebalance_timeout_ms = join->rebalance_timeout_ms;
    group_touch(m, group, member, step->now_ms);
    if (group->phase == GROUP_PREPARING)
        try_complete(m, step, group);
    else
        rebalance(m, step, group);
}

static void add_member(struct group_machine *m, struct group_step *step, struct group *group, struct slice id,
                       const struct group_join *join) {
    struct group_member *member = group_member_add(group, id, join->instance_id);
    member->is_new = true;
    group->grew = true;
    park_join(m, step, group, member, join);
}

/* A static member comes back under a new member id: the old one is fenced. */
static void replace_static(struct group_machine *m, struct group_step *step, struct group *group,
                           struct group_member *member, const struct group_join *join) {
    struct slice old_id = member->id;
    bool leads = slice_equal(group->leader, old_id);
    bool unchanged = group->phase == GROUP_STABLE && same_protocols(group, member, join);
    if (member->join_call != NULL) group_reply_add(step, member->join_call, STATUS_FENCED_INSTANCE);
    if (member->sync_call != NULL) group_reply_add(step, member->sync_call, STATUS_FENCED_INSTANCE);
    member->join_call = member->sync_call = NULL;
    if (member->saved) group_save_member_removed(step, group, member);
    member->saved = false;
    map_remove(&group->members, old_id);
    member->id = group_new_member_id(m, join->client_id);
    map_put(&group->members, member->id, member);
    if (leads) group_set(&group->leader, member->id);
    if (!unchanged) {
        park_join(m, step, group, member, join);
    } else {
        group_touch(m, group, member, step->now_ms);
        group_save(step, group);
        group_save_member(step, group, member);
        /* A client that cannot skip the assignment must not take itself for the leader. */
        bool hide = leads && !join->skips_assignment;
        answer_join(step, join->call, group, member, hide ? old_id : group->leader, leads && !hide);
    }
    group_disown(&old_id);
}

static void join_unknown(struct group_machine *m, struct group_step *step, struct group *group,
                         const struct group_join *join) {
    struct group_member *owner = join->instance_id.data == NULL ? NULL
                                                                : map_get(&group->statics, join->instance_id);
    enum status status = check_protocols(group, join, owner);
    if (status == STATUS_OK && owner == NULL &&
        group->members.count + group->pending.count >= (size_t)m->limits.member_max)
        status = STATUS_GROUP_FULL;
    if (status != STATUS_OK) {
        fail_join(step, join, status);
    } else if (owner != NULL) {
        replace_static(m, step, group, owner, join);
    } else {
        struct slice id = group_new_member_id(m, join->client_id);
        if (join->wants_member_id && join->instance_id.data == NULL) {
            struct group_pending *pending = mem_calloc(1, sizeof *pending);
            pending->deadline_ms = step->now_ms + join->session_timeout_ms;
            map_put(&group->pending, id, pending);
            group_wake_by(m, group, pending->deadline_ms);
            struct group_reply *reply = group_reply_add(step, join->call, STATUS_MEMBER_ID_REQUIRED);
            reply->member_id = group_own(id);
        } else {
            add_member(m, step, group, id, join);
        }
        group_disown(&id);
    }
}

static void rejoin(struct group_machine *m, struct group_step *step, struct group *group,
                   struct group_member *member, const struct group_join *join) {
    bool leads = slice_equal(group->leader, member->id);
    bool same = same_protocols(group, member, join);
    /* It has missed the answer, or asks for nothing new: what is in force is told again. */
    bool again = same && (group->phase == GROUP_COMPLETING || (group->phase == GROUP_STABLE && !leads));
    if (!again) {
        park_join(m, step, group, member, join);
        return;
    }
    group_touch(m, group, member, step->now_ms);
    answer_join(step, join->call, group, member, group->leader, false);
}

static void join_known(struct group_machine *m, struct group_step *step, struct group *group,
                       const struct group_join *join) {
    struct group_member *member = NULL;
    const struct group_identity who = {.member_id = join->member_id, .instance_id = join->instance_id};
    bool pending = join->instance_id.data == NULL && map_get(&group->pending, join->member_id) != NULL;
    enum status status = pending ? STATUS_OK : group_identify(group, &who, &member);
    if (status == STATUS_OK) status = check_protocols(group, join, member);
    if (status != STATUS_OK) {
        fail_join(step, join, status);
    } else if (pending) {
        group_pending_remove(group, join->member_id);
        add_member(m, step, group, join->member_id, join);
    } else {
        rejoin(m, step, group, member, join);
    }
}

static enum status check_join(const struct group_machine *m, const struct group_join *join) {
    enum status status = group_id_check(join->group);
    if (status != STATUS_OK) return status;
    if (join->session_timeout_ms < m->limits.session_min_ms ||
        join->session_timeout_ms > m->limits.session_max_ms)
        return STATUS_INVALID_SESSION_TIMEOUT;
    if (join->protocol_type.size == 0 || join->protocol_count == 0) return STATUS_INCONSISTENT_PROTOCOL;
    bool too_long = join->member_id.size > GROUP_MEMBER_ID_SIZE_MAX ||
                    join->instance_id.size > GROUP_MEMBER_ID_SIZE_MAX;
    return too_long ? STATUS_INVALID : STATUS_OK;
}

void group_join(struct group_machine *m, struct group_step *step, const struct group_join *join) {
    enum status status = check_join(m, join);
    struct group *group = map_get(&m->groups, join->group);
    if (status == STATUS_OK && group == NULL && join->member_id.size != 0) status = STATUS_UNKNOWN_MEMBER;
    if (status == STATUS_OK && group != NULL && group->kind == GROUP_CONSUMER && group->members.count != 0)
        status = STATUS_INCONSISTENT_PROTOCOL;
    if (status != STATUS_OK) {
        fail_join(step, join, status);
        return;
    }
    if (group == NULL) group = group_add(m, join->group, step->wall_ms);
    group->kind = GROUP_CLASSIC;
    if (join->member_id.size == 0)
        join_unknown(m, step, group, join);
    else
        join_known(m, step, group, join);
}

/* ---- sync ---------------------------------------------------------------------------------------------- */

static enum status check_sync(const struct group *group, const struct group_sync *sync,
                              struct group_member **member) {
    *member = NULL;
    if (group == NULL || group->kind != GROUP_CLASSIC) return STATUS_UNKNOWN_MEMBER;
    const struct group_identity who = {.member_id = sync->member_id, .instance_id = sync->instance_id};
    enum status status = group_identify(group, &who, member);
    if (status != STATUS_OK) return status;
    if (sync->generation != group->generation) return STATUS_ILLEGAL_GENERATION;
    if (group->phase == GROUP_PREPARING) return STATUS_REBALANCE_IN_PROGRESS;
    bool other_type = sync->protocol_type.data != NULL &&
                      !slice_equal(sync->protocol_type, group->protocol_type);
    bool other_name = sync->protocol.data != NULL && !slice_equal(sync->protocol, group->protocol);
    return other_type || other_name ? STATUS_INCONSISTENT_PROTOCOL : STATUS_OK;
}

static void become_stable(struct group_machine *m, struct group_step *step, struct group *group,
                          const struct group_sync *sync) {
    for (uint32_t i = 0; i < sync->assignment_count; i++) {
        struct group_member *member = group_member_find(group, sync->assignments[i].member_id);
        if (member != NULL) group_set(&member->assignment, sync->assignments[i].assignment);
    }
    group->phase = GROUP_STABLE;
    group->deadline_ms = GROUP_NEVER;
    group_save(step, group);
    MAP_FOREACH(it, &group->members) {
        struct group_member *member = MAP_ENTRY(it)->value;
        group_save_member(step, group, member);
        if (member->sync_call == NULL) continue;
        answer_sync(step, member->sync_call, group, member);
        member->sync_call = NULL;
        group_touch(m, group, member, step->now_ms);
    }
}

void group_sync(struct group_machine *m, struct group_step *step, const struct group_sync *sync) {
    struct group *group = map_get(&m->groups, sync->group);
    struct group_member *member;
    enum status status = check_sync(group, sync, &member);
    if (status != STATUS_OK) {
        group_reply_add(step, sync->call, status);
        return;
    }
    group_touch(m, group, member, step->now_ms);
    if (group->phase == GROUP_STABLE) {
        answer_sync(step, sync->call, group, member);
        return;
    }
    if (member->sync_call != NULL) group_reply_add(step, member->sync_call, STATUS_REBALANCE_IN_PROGRESS);
    member->sync_call = sync->call;
    if (slice_equal(member->id, group->leader)) become_stable(m, step, group, sync);
}

/* ---- heartbeat, leave, time ---------------------------------------------------------------------------- */

enum status group_heartbeat(struct group_machine *m, struct group_step *step,
                            const struct group_identity *who) {
    struct group *group = map_get(&m->groups, who->group);
    if (group == NULL || group->kind != GROUP_CLASSIC) return STATUS_UNKNOWN_MEMBER;
    struct group_member *member;
    enum status status = group_identify(group, who, &member);
    if (status != STATUS_OK) return status;
    if (who->generation != group->generation) return STATUS_ILLEGAL_GENERATION;
    group_touch(m, group, member, step->now_ms);
    return group->phase == GROUP_PREPARING ? STATUS_REBALANCE_IN_PROGRESS : STATUS_OK;
}

enum status group_leave(struct group_machine *m, struct group_step *step, const struct group_identity *who) {
    struct group *group = map_get(&m->groups, who->group);
    if (group == NULL || group->kind == GROUP_SIMPLE) return STATUS_UNKNOWN_MEMBER;
    struct group_member *member;
    enum status status = STATUS_OK;
    if (who->instance_id.data != NULL && who->member_id.size == 0)
        member = map_get(&group->statics, who->instance_id); /* an admin removes it by its name */
    else
        status = group_identify(group, who, &member);
    if (status == STATUS_UNKNOWN_MEMBER && map_get(&group->pending, who->member_id) != NULL) {
        group_pending_remove(group, who->member_id);
        member_left(m, step, group);
        return STATUS_OK;
    }
    if (status == STATUS_OK && member == NULL) status = STATUS_UNKNOWN_MEMBER;
    if (status != STATUS_OK) return status;
    if (group->kind == GROUP_CONSUMER) {
        group_consumer_remove_member(m, step, group, member);
    } else {
        group_member_remove(step, group, member, STATUS_UNKNOWN_MEMBER);
        member_left(m, step, group);
    }
    return STATUS_OK;
}

static void end_phase(struct group_machine *m, struct group_step *step, struct group *group) {
    if (group->phase == GROUP_PREPARING) {
        if (group->joined_until_ms > step->now_ms && group->grew) {
            group->grew = false;
            group->deadline_ms = MIN(step->now_ms + m->limits.initial_delay_ms, group->joined_until_ms);
        } else {
            complete_join(m, step, group);
        }
        return;
    }
    ASSERT(group->phase == GROUP_COMPLETING);
    MAP_FOREACH(it, &group->members) {
        struct group_member *member = MAP_ENTRY(it)->value;
        if (member->sync_call == NULL) group_member_remove(step, group, member, STATUS_UNKNOWN_MEMBER);
    }
    rebalance(m, step, group);
}

void group_classic_expire(struct group_machine *m, struct group_step *step, struct group *group) {
    bool left = false;
    MAP_FOREACH(it, &group->pending) {
        struct group_pending *pending = MAP_ENTRY(it)->value;
        if (pending->deadline_ms > step->now_ms) continue;
        group_pending_remove(group, map_entry_key(MAP_ENTRY(it)));
        left = true;
    }
    MAP_FOREACH(it, &group->members) {
        struct group_member *member = MAP_ENTRY(it)->value;
        if (member->join_call != NULL || member->sync_call != NULL ||
            member->session_deadline_ms > step->now_ms)
            continue;
        group_member_remove(step, group, member, STATUS_UNKNOWN_MEMBER);
        left = true;
    }
    if (left) member_left(m, step, group);
    if (group->deadline_ms <= step->now_ms) end_phase(m, step, group);
}
