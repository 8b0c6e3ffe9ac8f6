// SPDX-License-Identifier: Apache-2.0
/* The invariants that need more than a line. */
#include <inttypes.h>

#include "base/assert.h"
#include "base/mem.h"
#include "sim/raft_checker_internal.h"

/* What a store gave back must be what was written there. */
void raft_check_read_back(struct raft_checker *checker, struct checked_member *member,
                          const struct raft_event *event) {
    for (uint32_t i = 0; i < event->entries_read.count; i++) {
        const struct raft_entry *entry = &event->entries_read.entries[i];
        const struct raft_identity *known = raft_ghost_identity(&member->group->ghost, entry->end,
                                                                entry->term);
        EXPECT(known != NULL && known->base == entry->base && known->content == raft_ghost_content(entry),
               "S6 detection: %" PRIx64 " reads an entry [%" PRIu64 ",%" PRIu64 ") that nobody wrote",
               member->id, entry->base, entry->end);
    }
}

void raft_check_durable(struct raft_checker *checker, struct checked_member *member,
                        const struct shadow_write *write) {
    if (!write->set_hard_state) return;
    const struct raft_hard_state *old = &member->shadow.durable.hard_state, *next = &write->hard_state;
    EXPECT(next->term >= old->term, "R3 terms: %" PRIx64 " writes %" PRIu64 " over %" PRIu64, member->id,
           next->term, old->term);
    EXPECT(next->term > old->term || old->vote == RAFT_NO_ID || old->vote == next->vote,
           "R3 votes: %" PRIx64 " writes another vote in term %" PRIu64, member->id, next->term);
}

void raft_check_truncation(struct raft_checker *checker, struct checked_member *member,
                           const struct raft *raft, uint64_t from) {
    const struct shadow_image *view = &member->shadow.view;
    EXPECT(raft->role != RAFT_LEADER, "R4 leader append-only: %" PRIx64 " cuts its log at %" PRIu64,
           member->id, from);
    bool own = false;
    for (uint32_t i = view->count; i-- > 0 && view->log[i].entry.end > from;) {
        const struct raft_committed *committed = raft_ghost_find(&member->group->ghost,
                                                                 view->log[i].entry.end);
        EXPECT(committed == NULL || committed->chain != view->log[i].chain,
               "R12 no truncation below commit: %" PRIx64 " cuts off [%" PRIu64 ",%" PRIu64 ")", member->id,
               view->log[i].entry.base, view->log[i].entry.end);
        PROBE_IF(checker->probes, config_rolled_back, view->log[i].entry.kind == RAFT_ENTRY_CONFIG);
        own = own || raft_ghost_led(&member->group->ghost, view->log[i].entry.term) == member->id;
    }
    PROBE(checker->probes, truncated);
    PROBE_IF(checker->probes, truncated_own, own);
    PROBE_IF(checker->probes, truncated_leading, own && member->before.role == RAFT_LEADER);
}

/* R16: a leader begins a change when the one before is committed and so is an entry of its own term. */
void raft_check_changes(struct raft_checker *checker, struct checked_member *member, const struct raft *raft,
                        const struct raft_effects *effects) {
    if (raft->role != RAFT_LEADER) return;
    uint64_t latest = 0;
    const struct shadow_image *view = &member->shadow.view;
    for (uint32_t i = 0; i < effects->entry_count; i++) {
        const struct raft_entry *entry = &effects->entries[i];
        if (entry->kind != RAFT_ENTRY_CONFIG) continue;
        if (entry->end <= shadow_end(view)) continue; /* it repairs what is there already */
        uint64_t term = 0;
        bool own = raft_term_at(raft, raft->commit_end, &term) && term == raft->term;
        EXPECT(own, "R16 one change at a time: %" PRIx64 " begins one before it committed in its term",
               member->id);
        for (uint32_t j = view->count; j-- > 0 && latest == 0;)
            if (view->log[j].entry.kind == RAFT_ENTRY_CONFIG) latest = view->log[j].entry.end;
        EXPECT(latest <= raft->commit_end,
               "R16 one change at a time: %" PRIx64 " begins one while that at %" PRIu64 " is uncommitted",
               member->id, latest);
        latest = entry->end;
    }
}

/* ---- leaders ------------------------------------------------------------------------------------------ */

/* R7: the log of a new leader has everything that was committed in earlier terms. */
static void check_completeness(struct raft_checker *checker, struct checked_member *member,
                               const struct raft *raft) {
    const struct raft_ghost *ghost = &member->group->ghost;
    uint64_t end = raft_ghost_end_before(ghost, raft->term), chain;
    if (end <= member->shadow.view.log_start) return;
    bool found = shadow_chain(&member->shadow.view, end, &chain);
    EXPECT(found && raft_ghost_find(ghost, end)->chain == chain,
           "R7 leader completeness: %" PRIx64 " leads term %" PRIu64
           " without what is committed up to %" PRIu64,
           member->id, raft->term, end);
}

/* Of a disk that is lost, or a log replaced by a snapshot, nothing can be said; nor of what a member says of
 * itself before it was ever seen. */
static bool durable_at(const struct raft_checker *checker, uint64_t group, uint64_t id, uint64_t position,
                       uint64_t chain) {
    const struct checked_member *member = raft_checker_find(checker, group, id);
    if (member == NULL) return false;
    if (member->lost || position < member->shadow.durable.log_start) return true;
    uint64_t own;
    return shadow_chain(&member->shadow.durable, position, &own) && own == chain;
}

static bool durable_majority(const struct raft_checker *checker, const struct raft *raft, uint8_t flag,
                             uint64_t position, uint64_t chain) {
    const struct raft_config *config = raft_config(raft);
    uint32_t total = 0, have = 0;
    for (uint32_t i = 0; i < config->member_count; i++) {
        if ((config->members[i].flags & flag) == 0) continue;
        total++;
        have += durable_at(checker, raft->group, config->members[i].id, position, chain);
    }
    return have > total / 2 || (total == 0 && flag == RAFT_VOTER_OLD);
}

bool raft_check_quorum(const struct raft_checker *checker, const struct checked_member *member,
                       const struct raft *raft, uint64_t position) {
    uint64_t chain = 0;
    return raft_config(raft) != NULL && shadow_chain(&member->shadow.view, position, &chain) &&
           durable_majority(checker, raft, RAFT_VOTER, position, chain) &&
           durable_majority(checker, raft, RAFT_VOTER_OLD, position, chain);
}

/* R9, R10: a leader commits what is of its term and durable on a majority of each half of its configuration.
 */
static void check_commit(struct raft_checker *checker, struct checked_member *member, const struct raft *raft,
                         bool config_changed) {
    uint64_t position = raft->commit_end, term = 0, chain = 0;
    bool found = raft_term_at(raft, position, &term) && shadow_chain(&member->shadow.view, position, &chain);
    EXPECT(found && term == raft->term,
           "R9 commit rule: %" PRIx64 " in term %" PRIu64 " commits %" PRIu64 " of term %" PRIu64, member->id,
           raft->term, position, term);
    /* A change in the same step put another configuration in force after the commit was decided. */
    if (config_changed) return;
    EXPECT(raft_check_quorum(checker, member, raft, position),
           "R10 committed is durable: %" PRIx64 " commits %" PRIu64 ", which no quorum has on disk",
           member->id, position);
    PROBE_IF(checker->probes, commit_without_leader_disk, shadow_end(&member->shadow.durable) < position);
}

/* R14: a leader believes of its peers only what is on their disks. */
static void check_progress(struct raft_checker *checker, struct checked_member *member,
                           const struct raft *raft) {
    const struct raft_config *config = raft_config(raft);
    for (uint32_t i = 0; i < config->member_count; i++) {
        const struct raft_progress *p = &raft->progress[i];
        const struct checked_member *peer = raft_checker_find(checker, raft->group, config->members[i].id);
        uint64_t chain;
        if (peer == NULL || !shadow_chain(&member->shadow.view, p->match, &chain)) continue;
        /* Only while nobody of a later term has changed the peer's log. */
        if ((peer->raft != NULL ? peer->raft->term : peer->shadow.durable.hard_state.term) != raft->term)
            continue;
        EXPECT(durable_at(checker, raft->group, peer->id, p->match, chain),
               "R14 match soundness: %" PRIx64 " believes that %" PRIx64 " has %" PRIu64, member->id,
               peer->id, p->match);
    }
}

void raft_check_leader(struct raft_checker *checker, struct checked_member *member, const struct raft *raft,
                       const struct raft_event *event, const struct raft_effects *effects) {
    const struct checked_before *before = &member->before;
    if (before->role != RAFT_LEADER || raft->term != before->term) {
        raft_ghost_leader(&member->group->ghost, raft->term, member->id);
        check_completeness(checker, member, raft);
    }
    if (raft->commit_end > before->commit_end && before->role == RAFT_LEADER)
        check_commit(checker, member, raft, effects->config_changed);
    if (event->kind == RAFT_EVENT_RECEIVE || event->kind == RAFT_EVENT_PERSISTED)
        check_progress(checker, member, raft);
}

/* ---- configurations ----------------------------------------------------------------------------------- */

static bool configs_equal(const struct raft_config *a, const struct raft_config *b) {
    if (a == NULL || b == NULL) return a == b;
    if (a->member_count != b->member_count) return false;
    for (uint32_t i = 0; i < a->member_count; i++)
        if (a->members[i].id != b->members[i].id || a->members[i].flags != b->members[i].flags) return false;
    return true;
}

/* R18: the configuration in force is the latest in the log, if there is one. */
void raft_check_config(struct raft_checker *checker, struct checked_member *member, const struct raft *raft) {
    const struct shadow_image *view = &member->shadow.view;
    struct raft_config *latest = NULL;
    uint64_t position = 0;
    for (uint32_t i = view->count; i-- > 0;) {
        if (view->log[i].entry.kind != RAFT_ENTRY_CONFIG) continue;
        enum status status = raft_config_decode(view->log[i].entry.payload.bytes, &latest);
        EXPECT(status == STATUS_OK, "R18 configuration: the one at %" PRIu64 " cannot be read",
               view->log[i].entry.end);
        position = view->log[i].entry.end;
        break;
    }
    if (latest != NULL)
        EXPECT(configs_equal(latest, raft_config(raft)),
               "R18 configuration: %" PRIx64 " does not use the latest in its log, at %" PRIu64, member->id,
               position);
    mem_free(latest);
}
