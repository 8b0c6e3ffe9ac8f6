// SPDX-License-Identifier: Apache-2.0
/* Rare states that steps lead to. */
#include "sim/raft_checker_internal.h"

static bool other_leads(const struct raft_checker *checker, const struct checked_member *member) {
    for (uint32_t i = 0; i < checker->member_count; i++) {
        const struct checked_member *other = checker->members[i];
        if (other != member && other->group == member->group && other->raft != NULL &&
            raft_is_leader(other->raft))
            return true;
    }
    return false;
}

static void probe_role(struct raft_checker *checker, const struct checked_member *member,
                       const struct raft *raft, const struct raft_effects *effects) {
    struct probes *probes = checker->probes;
    const struct checked_before *before = &member->before;
    if (raft->role == RAFT_LEADER && before->role != RAFT_LEADER) {
        PROBE(probes, leader_elected);
        PROBE_IF(probes, leader_elected_again,
                 checker->highest_term != 0 && raft->term > checker->highest_term);
        PROBE_IF(probes, leaders_side_by_side, other_leads(checker, member));
        PROBE_IF(probes, noop_not_needed, effects->entry_count == 0);
        checker->highest_term = raft->term > checker->highest_term ? raft->term : checker->highest_term;
    }
    PROBE_IF(probes, election_lost,
             before->role == RAFT_CANDIDATE && raft->role != RAFT_LEADER && raft->role != RAFT_CANDIDATE);
    for (uint32_t i = 0; raft->role == RAFT_CANDIDATE && i < checker->member_count; i++) {
        const struct checked_member *other = checker->members[i];
        PROBE_IF(probes, vote_split,
                 other != member && other->group == member->group && other->raft != NULL &&
                     other->raft->role == RAFT_CANDIDATE && other->raft->term == raft->term &&
                     before->role != RAFT_CANDIDATE);
    }
    PROBE_IF(probes, transfer_lost,
             before->transfer_to != RAFT_NO_ID && raft->transfer_to == RAFT_NO_ID && raft_is_leader(raft) &&
                 raft->term == before->term);
    PROBE_IF(probes, asleep, raft->asleep && !before->asleep);
    PROBE_IF(probes, woken, !raft->asleep && before->asleep);
}

static void probe_messages(struct raft_checker *checker, const struct raft *raft,
                           const struct raft_effects *effects) {
    struct probes *probes = checker->probes;
    for (uint32_t i = 0; i < effects->message_count; i++) {
        const struct raft_message *m = &effects->messages[i];
        bool granted = (m->flags & RAFT_FLAG_GRANTED) != 0;
        PROBE_IF(probes, vote_refused, m->kind == RAFT_VOTE_REPLY && !granted);
        PROBE_IF(probes, prevote_refused, m->kind == RAFT_PREVOTE_REPLY && !granted);
        PROBE_IF(probes, append_refused, m->kind == RAFT_ACK && (m->flags & RAFT_FLAG_REJECTED) != 0);
        PROBE_IF(probes, snapshot_sent, m->kind == RAFT_SNAPSHOT_PIECE);
        PROBE_IF(probes, transfer_sent, m->kind == RAFT_TIMEOUT_NOW && raft_is_leader(raft));
    }
}

void raft_probe_step(struct raft_checker *checker, const struct checked_member *member,
                     const struct raft *raft, const struct raft_event *event,
                     const struct raft_effects *effects) {
    struct probes *probes = checker->probes;
    const struct checked_before *before = &member->before;
    probe_role(checker, member, raft, effects);
    probe_messages(checker, raft, effects);
    if (event->kind == RAFT_EVENT_RECEIVE) {
        const struct raft_message *m = event->message;
        PROBE_IF(probes, append_old_term, m->kind == RAFT_APPEND && m->term < raft->term);
        PROBE_IF(probes, message_after_restart,
                 m->kind == RAFT_VOTE_REPLY && m->term < raft->term && member->starts > 1);
        PROBE_IF(probes, snapshot_resumed, m->kind == RAFT_SNAPSHOT_PIECE && m->piece.offset > 0);
    }
    PROBE_IF(probes, entries_read_back,
             event->kind == RAFT_EVENT_ENTRIES_READ && event->entries_read.status == STATUS_OK);
    PROBE_IF(probes, compacted, event->kind == RAFT_EVENT_COMPACTED);
    PROBE_IF(probes, damage_found, event->kind == RAFT_EVENT_DAMAGED);
    if (!effects->config_changed) return;
    const struct raft_config *config = raft_config(raft);
    if (config == NULL) return;
    for (uint32_t i = 0; raft->before.config != NULL && i < config->member_count; i++) {
        int earlier = raft_config_find(raft->before.config, config->members[i].id);
        PROBE_IF(probes, learner_promoted,
                 earlier >= 0 && raft->before.config->members[earlier].flags == RAFT_LEARNER &&
                     (config->members[i].flags & RAFT_VOTER) != 0);
    }
    PROBE_IF(probes, config_joint, raft_config_joint(config));
    PROBE_IF(probes, config_left_joint, !raft_config_joint(config) && raft_is_leader(raft));
    PROBE_IF(probes, leader_removed, before->role == RAFT_LEADER && raft_config_find(config, member->id) < 0);
}
