// SPDX-License-Identifier: Apache-2.0
#include "raft/raft_internal.h"

#define VAIN_CAMPAIGNS_MAX 4

/* ---- who may campaign, and when ----------------------------------------------------------------------- */

/* "A server that is not part of its own latest configuration should still start new elections, as it might
 * still be needed until the C_new entry is committed" [4.2.2]: it may be the only one to have it. */
static bool electable(const struct raft *r) {
    if (raft_log_damaged(&r->log) && r->log.damaged_to > r->commit_end) return false;
    if (raft_config_voter(r->latest.config, r->options->id)) return true;
    return r->latest.position > r->commit_end && raft_config_voter(r->before.config, r->options->id);
}

static bool may_campaign(const struct raft *r) {
    return r->priority > 0 && electable(r);
}

/* "election timeouts are chosen randomly from a fixed interval" [3.4]; each step of priority below the
 * highest adds the interval's width once more, so that better placed members have had their chance; damage
 * counts like the lowest. Each campaign in a row that found no leader doubles the interval (D10). */
static uint64_t random_wait(struct raft *r) {
    uint64_t width = r->options->election_timeout_ns_max - r->options->election_timeout_ns_min;
    uint64_t steps = (uint64_t)(RAFT_PRIORITY_MAX - r->priority);
    if (raft_log_damaged(&r->log)) steps = RAFT_PRIORITY_MAX;
    return prng_below(&r->prng, width << r->vain_campaigns) + steps * width;
}

void raft_election_reset_timer(struct raft *r) {
    r->election_deadline_ns = RAFT_NEVER;
    if (r->role == RAFT_LEADER || r->asleep) return;
    if (r->role == RAFT_FOLLOWER && !may_campaign(r)) return;
    r->election_deadline_ns = r->now_ns + r->options->election_timeout_ns_min + random_wait(r);
}

void raft_election_update_timer(struct raft *r) {
    if (r->role != RAFT_FOLLOWER || r->asleep) return;
    if ((r->election_deadline_ns != RAFT_NEVER) != may_campaign(r)) raft_election_reset_timer(r);
}

void raft_election_stay_loyal(struct raft *r) {
    r->loyal_until_ns = r->now_ns + r->options->election_timeout_ns_min;
}

/* A leader that has lost its quorum steps down by itself, so one that still leads counts as heard. A sleeping
 * follower trusts its leader until the failure detector says otherwise (D8). */
bool raft_election_loyal(const struct raft *r) {
    return r->role == RAFT_LEADER || r->asleep || r->now_ns < r->loyal_until_ns;
}

/* ---- campaigns ---------------------------------------------------------------------------------------- */

static void ask_for_votes(struct raft *r, enum raft_message_kind kind) {
    const struct raft_config *config = r->latest.config;
    for (uint32_t i = 0; i < config->member_count; i++) {
        uint64_t id = config->members[i].id;
        if (id == r->options->id || !raft_config_voter(config, id)) continue;
        struct raft_message *m = raft_send(r, kind, id);
        m->vote.log_end = r->log.end;
        m->vote.last_term = raft_log_last_term(&r->log);
        if (r->transferring) m->flags = RAFT_FLAG_TRANSFER;
    }
}

/* "Candidates: on conversion to candidate, start election: increment currentTerm, vote for self, reset
 * election timer, send RequestVote RPCs to all other servers" (Figure 2). The requests wait for the write of
 * the new term and vote, which is behind the writes of all entries they speak of. */
static void campaign(struct raft *r, bool transferring) {
    ASSERT(r->role != RAFT_LEADER && electable(r));
    raft_set_term(r, r->term + 1, r->options->id);
    r->role = RAFT_CANDIDATE;
    r->leader = RAFT_NO_ID;
    r->transferring = transferring;
    r->verified_end = r->commit_end;
    r->votes_granted = r->votes_rejected = 0;
    raft_election_reset_timer(r);
    ask_for_votes(r, RAFT_VOTE);
}

/* Asks first whether an election could be won, so that a server that was cut off does not come back with a
 * term that unseats a good leader [9.6]. Changes neither term nor vote. */
static void precampaign(struct raft *r) {
    r->role = RAFT_PRECANDIDATE;
    r->leader = RAFT_NO_ID;
    r->transferring = false;
    r->verified_end = r->commit_end;
    r->votes_granted = raft_self_bit(r);
    r->votes_rejected = 0;
    raft_election_reset_timer(r);
    if (raft_quorum_has(r->latest.config, r->votes_granted))
        campaign(r, false);
    else
        ask_for_votes(r, RAFT_PREVOTE);
}

void raft_election_timer(struct raft *r) {
    ASSERT(r->role != RAFT_LEADER && !r->asleep);
    if (r->role != RAFT_FOLLOWER && r->vain_campaigns < VAIN_CAMPAIGNS_MAX) r->vain_campaigns++;
    if (may_campaign(r)) {
        precampaign(r);
    } else {
        /* A campaign that was asked for, by a member that does not campaign by itself, found no quorum. */
        raft_become_follower(r, r->term, RAFT_NO_ID);
    }
}

/* "If the logs have last entries with different terms, then the log with the later term is more up-to-date.
 * If the logs end with the same term, then whichever log is longer is more up-to-date" [3.6.1]. Damage does
 * not shorten a log (D9): what was acknowledged stays protected. */
static bool up_to_date(const struct raft *r, const struct raft_message *m) {
    uint64_t last_term = raft_log_last_term(&r->log);
    if (m->vote.last_term != last_term) return m->vote.last_term > last_term;
    return m->vote.log_end >= r->log.end;
}

void raft_election_prevote(struct raft *r, const struct raft_message *m) {
    bool loyal = raft_election_loyal(r);
    /* A restarted member knows no leader: let it hear from ours. A stranger's question wakes nobody. */
    if (r->asleep && raft_config_find(r->latest.config, m->from) >= 0) raft_heartbeat_wake(r);
    uint64_t prospective = m->term + 1;
    bool free = prospective > r->term ||
                (prospective == r->term && (r->vote == RAFT_NO_ID || r->vote == m->from));
    struct raft_message *reply = raft_send(r, RAFT_PREVOTE_REPLY, m->from);
    reply->prevote_reply.term = prospective;
    if (!loyal && free && up_to_date(r, m)) reply->flags = RAFT_FLAG_GRANTED;
}

/* True: counted. A member speaks once; strangers and learners have no bit that raft_quorum_has looks at. */
static bool count_vote(struct raft *r, const struct raft_message *m) {
    int from = raft_config_find(r->latest.config, m->from);
    if (from < 0) return false;
    uint64_t bit = (uint64_t)1 << from;
    if ((r->votes_granted & bit) != 0) return true;
    if ((m->flags & RAFT_FLAG_GRANTED) != 0) {
        r->votes_granted |= bit;
        r->votes_rejected &= ~bit;
    } else {
        r->votes_rejected |= bit;
    }
    return true;
}

void raft_election_prevote_reply(struct raft *r, const struct raft_message *m) {
    if (r->role != RAFT_PRECANDIDATE || m->prevote_reply.term != r->term + 1 || !count_vote(r, m)) return;
    if (raft_quorum_has(r->latest.config, r->votes_granted))
        campaign(r, false);
    else if (raft_quorum_lost(r->latest.config, r->votes_rejected))
        raft_become_follower(r, r->term, RAFT_NO_ID);
}

/* "If votedFor is null or candidateId, and candidate's log is at least as up-to-date as receiver's log, grant
 * vote" (Figure 2). The answer waits for the write of the vote: raft_send sees to it. */
void raft_election_vote(struct raft *r, const struct raft_message *m) {
    bool free = r->vote == RAFT_NO_ID || r->vote == m->from; /* candidates and leaders voted for themselves */
    bool grant = m->term == r->term && free && r->leader == RAFT_NO_ID && up_to_date(r, m);
    if (grant) {
        if (r->vote == RAFT_NO_ID) raft_set_term(r, r->term, m->from);
        raft_become_follower(r, r->term, RAFT_NO_ID);
        raft_election_reset_timer(r);
    }
    struct raft_message *reply = raft_send(r, RAFT_VOTE_REPLY, m->from);
    if (grant) reply->flags = RAFT_FLAG_GRANTED;
}

/* ---- leadership --------------------------------------------------------------------------------------- */

static void become_leader(struct raft *r) {
    ASSERT(r->role == RAFT_CANDIDATE);
    r->role = RAFT_LEADER;
    r->leader = r->options->id;
    r->asleep = false;
    r->vain_campaigns = 0;
    r->term_start = r->log.end;
    r->uncommitted_bytes = raft_log_bytes(&r->log, r->commit_end, r->log.end);
    r->round = r->round_confirmed = 0;
    r->transfer_to = RAFT_NO_ID;
    r->transfer_sent = r->lease_given_up = false;
    /* Where nobody asked for anything, all is said once the others have answered (D8). */
    r->busy_ns = r->commit_end < r->log.end ? r->now_ns : 0;
    r->election_deadline_ns = RAFT_NEVER;
    raft_membership_track(r, NULL);
    raft_heartbeat_arm(r);
    /* What earlier leaders left may only be committed together with an entry of our own [3.6.2, Figure 3.7];
     * when nothing is left, nothing is needed (D2). */
    if (r->commit_end < r->log.end) raft_replication_append(r, RAFT_ENTRY_NOOP, 1, (struct shared_slice){0});
    raft_membership_advance(r);
    raft_replication_send_all(r);
}

static void check_votes(struct raft *r) {
    if (r->write_persisted < r->term_write) return;
    if (raft_quorum_has(r->latest.config, r->votes_granted))
        become_leader(r);
    else if (raft_quorum_lost(r->latest.config, r->votes_rejected))
        raft_become_follower(r, r->term, RAFT_NO_ID);
}

void raft_election_vote_reply(struct raft *r, const struct raft_message *m) {
    if (r->role == RAFT_CANDIDATE && m->term == r->term && count_vote(r, m)) check_votes(r);
}

void raft_election_persisted(struct raft *r) {
    if (r->role != RAFT_CANDIDATE || r->write_persisted < r->term_write) return;
    r->votes_granted |= raft_self_bit(r);
    check_votes(r);
}

/* ---- transfer [3.10] ---------------------------------------------------------------------------------- */

/* It may lead: a voter of the new configuration. */
static bool may_lead(const struct raft *r, const struct raft_progress *p) {
    return (r->latest.config->members[p - r->progress].flags & RAFT_VOTER) != 0;
}

/* The one with the longest match that is not down, or NULL. */
static struct raft_progress *best_placed(const struct raft *r) {
    struct raft_progress *best = NULL;
    RAFT_FOREACH_PEER(r, p) {
        if (!p->down && may_lead(r, p) && (best == NULL || p->match > best->match)) best = p;
    }
    return best;
}

enum status raft_election_transfer(struct raft *r, const struct raft_event *event) {
    uint64_t to = event->member;
    if (r->role != RAFT_LEADER) return STATUS_NOT_LEADER;
    if (to == r->options->id && raft_self(r) >= 0) return STATUS_OK;
    struct raft_progress *target = to == RAFT_NO_ID ? best_placed(r) : raft_peer(r, to);
    if (target == NULL) return to == RAFT_NO_ID ? STATUS_UNAVAILABLE : STATUS_INVALID;
    if (!may_lead(r, target)) return STATUS_INVALID;
    if (r->transfer_to == target->id) return STATUS_OK;
    r->transfer_to = target->id;
    r->transfer_sent = false;
    r->transfer_deadline_ns = r->now_ns + r->options->election_timeout_ns_max;
    raft_heartbeat_wake(r);
    if (target->state == RAFT_PROBE) target->paused = false;
    raft_replication_send(r, target);
    raft_election_transfer_try(r);
    return STATUS_OK;
}

void raft_election_transfer_try(struct raft *r) {
    if (r->transfer_to == RAFT_NO_ID) return;
    const struct raft_progress *target = raft_peer(r, r->transfer_to);
    if (target == NULL || !may_lead(r, target)) {
        r->transfer_to = RAFT_NO_ID;
        return;
    }
    if (r->transfer_sent || target->match < r->log.end) return;
    /* From now on a vote may be given in spite of a promise to us: no more reads by lease in this term. */
    r->lease_given_up = true;
    r->transfer_sent = true;
    raft_send(r, RAFT_TIMEOUT_NOW, r->transfer_to);
}

void raft_election_timeout_now(struct raft *r, const struct raft_message *m) {
    if (r->role != RAFT_FOLLOWER || r->leader != m->from || !electable(r)) return;
    r->asleep = false;
    campaign(r, true);
}

const struct raft_progress *raft_election_heir(const struct raft *r) {
    const struct raft_progress *best = best_placed(r);
    return best != NULL && best->match == r->log.end ? best : NULL;
}

void raft_election_abdicate(struct raft *r) {
    const struct raft_progress *heir = raft_election_heir(r);
    if (heir != NULL) raft_send(r, RAFT_TIMEOUT_NOW, heir->id);
    raft_become_follower(r, r->term, RAFT_NO_ID);
}
