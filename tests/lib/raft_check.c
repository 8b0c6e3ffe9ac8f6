// SPDX-License-Identifier: Apache-2.0
#include "lib/raft_check.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/mem.h"

static struct raft_ghost *ghost_of(struct raft_host *host) {
    return &host->group->ghost;
}

struct raft_check_before raft_check_before(const struct raft_host *host) {
    return (struct raft_check_before){host->raft.term, host->raft.vote, host->raft.commit_end,
                                      host->raft.role};
}

/* R7: the log of a new leader has everything that was committed in earlier terms. */
static void check_completeness(struct raft_host *host) {
    struct raft_ghost *ghost = ghost_of(host);
    uint64_t end = raft_ghost_end_before(ghost, host->raft.term), chain;
    if (end <= host->view.log_start) return;
    bool found = raft_image_chain(&host->view, end, &chain);
    RAFT_EXPECT(ghost, found && raft_ghost_find(ghost, end)->chain == chain,
                "R7 leader completeness: %" PRIx64 " leads term %" PRIu64
                " without what is committed up to %" PRIu64,
                host->id, host->raft.term, end);
}

/* Has `id` this entry on its disk? Of a disk that is lost or compacted nothing can be said against it; damage
 * came after the promise. */
static bool durable_at(const struct raft_group *group, uint64_t id, uint64_t position, uint64_t chain) {
    const struct raft_host *host = raft_group_find(group, id);
    if (host == NULL || position < host->durable.log_start) return true;
    uint64_t own;
    return raft_image_chain(&host->durable, position, &own) && own == chain;
}

static bool durable_majority(const struct raft_host *host, uint8_t flag, uint64_t position, uint64_t chain) {
    const struct raft_config *config = raft_config(&host->raft);
    uint32_t total = 0, have = 0;
    for (uint32_t i = 0; i < config->member_count; i++) {
        if ((config->members[i].flags & flag) == 0) continue;
        total++;
        have += durable_at(host->group, config->members[i].id, position, chain);
    }
    return have > total / 2 || (total == 0 && flag == RAFT_VOTER_OLD);
}

/* R9, R10: a leader commits what is of its term and durable on a majority of each half of its configuration.
 */
static void check_leader_commit(struct raft_host *host, bool config_changed) {
    struct raft_ghost *ghost = ghost_of(host);
    uint64_t position = host->raft.commit_end, term = 0, chain = 0;
    bool found = raft_term_at(&host->raft, position, &term) &&
                 raft_image_chain(&host->view, position, &chain);
    RAFT_EXPECT(ghost, found && term == host->raft.term,
                "R9 commit rule: %" PRIx64 " in term %" PRIu64 " commits %" PRIu64 " of term %" PRIu64,
                host->id, host->raft.term, position, term);
    /* A change in the same step put another configuration in force after the commit was decided. */
    if (config_changed) return;
    bool quorum = durable_majority(host, RAFT_VOTER, position, chain) &&
                  durable_majority(host, RAFT_VOTER_OLD, position, chain);
    RAFT_EXPECT(ghost, quorum,
                "R10 committed is durable: %" PRIx64 " commits %" PRIu64 ", which no quorum has on disk",
                host->id, position);
}

/* R14: a leader believes of its peers only what is on their disks. */
static void check_progress(struct raft_host *host) {
    const struct raft_config *config = raft_config(&host->raft);
    for (uint32_t i = 0; i < config->member_count; i++) {
        const struct raft_progress *p = &host->raft.progress[i];
        struct raft_host *peer = raft_group_find(host->group, config->members[i].id);
        uint64_t chain;
        if (peer == NULL || !raft_image_chain(&host->view, p->match, &chain)) continue;
        /* Only while nobody of a later term has changed the peer's log. */
        if ((peer->up ? peer->raft.term : peer->durable.hard_state.term) != host->raft.term) continue;
        RAFT_EXPECT(ghost_of(host), durable_at(host->group, peer->id, p->match, chain),
                    "R14 match soundness: %" PRIx64 " believes that %" PRIx64 " has %" PRIu64, host->id,
                    peer->id, p->match);
    }
}

/* R18: the configuration in force is the latest in log and snapshot. */
static void check_config(struct raft_host *host) {
    const struct raft_image *view = &host->view;
    uint64_t position = view->log_start;
    struct raft_config *decoded = NULL;
    const struct raft_config *expected = view->config;
    for (uint32_t i = view->count; i-- > 0;) {
        if (view->log[i].entry.kind != RAFT_ENTRY_CONFIG) continue;
        enum status status = raft_config_decode(view->log[i].entry.payload.bytes, &decoded);
        ASSERT(status == STATUS_OK);
        expected = decoded;
        position = view->log[i].entry.end;
        break;
    }
    const struct raft_config *config = raft_config(&host->raft);
    bool same = (config == NULL) == (expected == NULL);
    if (config != NULL && expected != NULL) same = config->member_count == expected->member_count;
    for (uint32_t i = 0; same && config != NULL && i < config->member_count; i++)
        same = config->members[i].id == expected->members[i].id &&
               config->members[i].flags == expected->members[i].flags;
    RAFT_EXPECT(ghost_of(host), same,
                "R18 configuration: %" PRIx64 " does not use the latest in its log, at %" PRIu64, host->id,
                position);
    mem_free(decoded);
}

/* R22: the last leader heard was promised no vote for the shortest timeout, unless the failure detector spoke
 * and no lease relies on it. `heard_ns` is kept by the host's own clock. */
static void check_loyalty(struct raft_host *host, const struct raft_event *event) {
    const struct raft *raft = &host->raft;
    const struct raft_message *m = event->kind == RAFT_EVENT_RECEIVE ? event->message : NULL;
    bool asked = m != NULL && (m->kind == RAFT_PREVOTE || m->kind == RAFT_VOTE) &&
                 (m->flags & RAFT_FLAG_TRANSFER) == 0;
    bool loyal = host->heard_ns != 0 &&
                 event->now_ns < host->heard_ns + host->options.election_timeout_ns_min;
    for (uint32_t i = 0; i < host->effects.message_count && asked && loyal; i++) {
        const struct raft_message *reply = &host->effects.messages[i];
        bool grants = (reply->kind == RAFT_PREVOTE_REPLY || reply->kind == RAFT_VOTE_REPLY) &&
                      (reply->flags & RAFT_FLAG_GRANTED) != 0;
        RAFT_EXPECT(ghost_of(host), !grants,
                    "R22 loyalty: %" PRIx64 " grants %s though it heard a leader just now", host->id,
                    raft_message_kind_name(m->kind));
    }
    bool from_leader = m != NULL && (m->kind == RAFT_APPEND || m->kind == RAFT_HEARTBEAT) &&
                       raft->leader == m->from && raft->term == m->term;
    if (from_leader) host->heard_ns = event->now_ns;
    /* Terms that came otherwise (a vote that the leader asked for, an answer) end the promise. */
    if (raft->leader == RAFT_NO_ID && raft->role == RAFT_FOLLOWER && host->effects.role_changed)
        host->heard_ns = 0;
    if (event->kind == RAFT_EVENT_PEER_DOWN && !host->options.lease_reads) host->heard_ns = 0;
}

/* R26: nothing grows beyond its limit; one entry or one batch is let in whatever its size. */
static void check_bounds(struct raft_host *host, const struct raft_event *event) {
    struct raft_ghost *ghost = ghost_of(host);
    const struct raft *raft = &host->raft;
    const struct raft_options *options = &host->options;
    for (uint32_t i = 0; raft_is_leader(raft) && i < raft_config(raft)->member_count; i++) {
        const struct raft_progress *p = &raft->progress[i];
        RAFT_EXPECT(ghost, p->inflight_count <= options->inflight_count_max,
                    "R26 flow control: %" PRIx64 " has %u appends on the way", host->id, p->inflight_count);
        RAFT_EXPECT(ghost, p->inflight_bytes < options->inflight_bytes_max + options->append_bytes_max + 128,
                    "R26 flow control: %" PRIx64 " has %zu bytes on the way", host->id, p->inflight_bytes);
        RAFT_EXPECT(ghost, p->next >= p->match, "R14 match soundness: %" PRIx64 " sends %" PRIu64 " again",
                    host->id, p->next);
    }
    RAFT_EXPECT(ghost, raft->read_count <= options->reads_max,
                "R26 flow control: %" PRIx64 " has %u reads pending", host->id, raft->read_count);
    if (event->kind != RAFT_EVENT_PROPOSE || host->effects.entry_count == 0) return;
    size_t bytes = 0;
    for (uint32_t i = 0; i < host->effects.entry_count; i++)
        bytes += host->effects.entries[i].payload.bytes.size;
    RAFT_EXPECT(ghost, raft->uncommitted_bytes <= MAX(options->uncommitted_bytes_max, bytes),
                "R26 flow control: %" PRIx64 " has %zu bytes uncommitted", host->id, raft->uncommitted_bytes);
    RAFT_EXPECT(ghost, raft->log.window_bytes <= MAX(options->window_bytes_max, bytes),
                "R26 flow control: %" PRIx64 " has %zu bytes in memory", host->id, raft->log.window_bytes);
}

/* R19: only a voter, of this configuration or of the one before as long as this one is not committed,
 * campaigns. */
static void check_candidate(struct raft_host *host) {
    const struct raft *raft = &host->raft;
    if (raft->role != RAFT_CANDIDATE) return;
    bool voter = false;
    const struct raft_config *configs[] = {raft->latest.config, raft->before.config};
    for (int c = 0; c < (raft->latest.position > raft->commit_end ? 2 : 1); c++)
        for (uint32_t i = 0; configs[c] != NULL && i < configs[c]->member_count; i++)
            voter |= configs[c]->members[i].id == host->id &&
                     (configs[c]->members[i].flags & (RAFT_VOTER | RAFT_VOTER_OLD)) != 0;
    RAFT_EXPECT(ghost_of(host), voter, "R19 non-members have no weight: %" PRIx64 " campaigns", host->id);
    const struct raft_log *log = &raft->log;
    RAFT_EXPECT(ghost_of(host), log->damaged_from == log->damaged_to || log->damaged_to <= raft->commit_end,
                "R7 leader completeness: %" PRIx64 " campaigns without what it acknowledged", host->id);
}

void raft_check_after(struct raft_host *host, const struct raft_check_before *before,
                      const struct raft_event *event) {
    struct raft_ghost *ghost = ghost_of(host);
    const struct raft *raft = &host->raft;
    RAFT_EXPECT(ghost, raft->term >= before->term, "R3 terms: %" PRIx64 " goes back to %" PRIu64, host->id,
                raft->term);
    RAFT_EXPECT(ghost, raft->term > before->term || before->vote == RAFT_NO_ID || raft->vote == before->vote,
                "R3 votes: %" PRIx64 " changes its vote in term %" PRIu64, host->id, raft->term);
    RAFT_EXPECT(ghost, raft->commit_end >= before->commit_end,
                "R11 commit monotonicity: %" PRIx64 " goes back to %" PRIu64, host->id, raft->commit_end);
    if (event->kind == RAFT_EVENT_RECEIVE && event->message->kind == RAFT_PREVOTE)
        RAFT_EXPECT(ghost, raft->term == before->term && raft->vote == before->vote,
                    "R22 pre-vote neutrality: %" PRIx64 " changed term or vote", host->id);
    if (raft->role == RAFT_LEADER) {
        if (before->role != RAFT_LEADER || raft->term != before->term) {
            raft_ghost_leader(ghost, raft->term, host->id);
            check_completeness(host);
        }
        if (raft->commit_end > before->commit_end && before->role == RAFT_LEADER)
            check_leader_commit(host, host->effects.config_changed);
        if (event->kind == RAFT_EVENT_RECEIVE || event->kind == RAFT_EVENT_PERSISTED) check_progress(host);
    }
    check_candidate(host);
    check_loyalty(host, event);
    check_bounds(host, event);
    if (host->effects.config_changed) check_config(host);
    const struct raft_log *log = &raft->log;
    bool open = log->damaged_from < log->damaged_to && log->damaged_to > raft->commit_end;
    for (uint32_t i = 0; i < host->effects.message_count && open; i++) {
        const struct raft_message *m = &host->effects.messages[i];
        RAFT_EXPECT(ghost, m->kind != RAFT_ACK || m->ack.match <= log->damaged_from,
                    "R15 acknowledged when durable: %" PRIx64 " claims %" PRIu64 " above damage", host->id,
                    m->ack.match);
    }
}

static void check_truncation(struct raft_host *host, const struct raft_write *write) {
    struct raft_ghost *ghost = ghost_of(host);
    RAFT_EXPECT(ghost, host->raft.role != RAFT_LEADER,
                "R4 leader append-only: %" PRIx64 " cuts its log at %" PRIu64, host->id,
                write->truncate_from);
    for (uint32_t i = host->view.count; i-- > 0;) {
        const struct raft_stored *stored = &host->view.log[i];
        if (stored->entry.end <= write->truncate_from) break;
        const struct raft_committed *committed = raft_ghost_find(ghost, stored->entry.end);
        /* A leader that does not know of a later one may still cut off what that one has committed, without
         * this member. */
        bool later = committed != NULL && committed->commit_term > host->raft.term;
        RAFT_EXPECT(ghost, committed == NULL || committed->chain != stored->chain || later,
                    "R12 no truncation below commit: %" PRIx64 " cuts off [%" PRIu64 ",%" PRIu64 ")",
                    host->id, stored->entry.base, stored->entry.end);
    }
}

/* R16: a leader begins a change when the one before is committed and so is an entry of its own term. */
static void check_change(struct raft_host *host, uint64_t *latest) {
    struct raft_ghost *ghost = ghost_of(host);
    uint64_t term = 0;
    bool own = raft_term_at(&host->raft, host->raft.commit_end, &term) && term == host->raft.term;
    RAFT_EXPECT(ghost, own,
                "R16 one change at a time: %" PRIx64 " begins one before it committed in its term", host->id);
    for (uint32_t i = host->view.count; i-- > 0 && *latest == 0;)
        if (host->view.log[i].entry.kind == RAFT_ENTRY_CONFIG) *latest = host->view.log[i].entry.end;
    RAFT_EXPECT(ghost, *latest <= host->raft.commit_end,
                "R16 one change at a time: %" PRIx64 " begins one while that at %" PRIu64 " is uncommitted",
                host->id, *latest);
}

void raft_check_write(struct raft_host *host, const struct raft_write *write) {
    struct raft_ghost *ghost = ghost_of(host);
    if (write->truncate) check_truncation(host, write);
    if (write->install) {
        const struct raft_committed *committed = raft_ghost_find(ghost, write->snapshot.end);
        RAFT_EXPECT(ghost, committed != NULL && committed->chain == write->snapshot_chain,
                    "R21 snapshot coherence: %" PRIx64 " installs what was not committed up to %" PRIu64,
                    host->id, write->snapshot.end);
        RAFT_EXPECT(
            ghost, committed == NULL || committed->config == raft_ghost_config(write->snapshot.config),
            "R21 snapshot coherence: %" PRIx64 " installs another configuration than that at %" PRIu64,
            host->id, write->snapshot.end);
    }
    uint64_t latest = 0;
    for (uint32_t i = 0; i < write->entry_count; i++) {
        const struct raft_entry *entry = &write->entries[i].entry;
        raft_ghost_entry(ghost, &write->entries[i]);
        if (entry->kind != RAFT_ENTRY_CONFIG || host->raft.role != RAFT_LEADER) continue;
        if (entry->base < raft_image_end(&host->view)) continue; /* a repair */
        check_change(host, &latest);
        latest = entry->end;
    }
}

void raft_check_durable(struct raft_host *host, const struct raft_write *write) {
    if (!write->set_hard_state) return;
    const struct raft_hard_state *old = &host->durable.hard_state, *next = &write->hard_state;
    RAFT_EXPECT(ghost_of(host), next->term >= old->term,
                "R3 terms: %" PRIx64 " writes %" PRIu64 " over %" PRIu64, host->id, next->term, old->term);
    RAFT_EXPECT(ghost_of(host), next->term > old->term || old->vote == RAFT_NO_ID || old->vote == next->vote,
                "R3 votes: %" PRIx64 " writes another vote in term %" PRIu64, host->id, next->term);
}

void raft_check_leaving(struct raft_host *host, const struct raft_message *m) {
    struct raft_ghost *ghost = ghost_of(host);
    const struct raft_hard_state *hard = &host->durable.hard_state;
    RAFT_EXPECT(ghost, hard->term >= m->term,
                "R3 terms: %" PRIx64 " sends %s in term %" PRIu64 " before it is durable", host->id,
                raft_message_kind_name(m->kind), m->term);
    bool granted = m->kind == RAFT_VOTE_REPLY && (m->flags & RAFT_FLAG_GRANTED) != 0;
    if (granted || m->kind == RAFT_VOTE) {
        uint64_t candidate = granted ? m->to : m->from;
        raft_ghost_vote(ghost, host->id, m->term, candidate);
        RAFT_EXPECT(ghost, hard->term > m->term || hard->vote == candidate,
                    "R2 vote uniqueness: %" PRIx64 " sends its vote of term %" PRIu64 " before it is durable",
                    host->id, m->term);
    }
    uint64_t claimed, durable;
    bool claims = m->kind == RAFT_ACK && m->ack.match > host->durable.log_start &&
                  m->term == host->raft.term && raft_image_chain(&host->view, m->ack.match, &claimed);
    if (claims)
        RAFT_EXPECT(ghost, raft_image_chain(&host->durable, m->ack.match, &durable) && durable == claimed,
                    "R15 acknowledged when durable: %" PRIx64 " claims %" PRIu64 " of %" PRIu64, host->id,
                    m->ack.match, raft_image_end(&host->durable));
    if (m->kind == RAFT_TIMEOUT_NOW && host->raft.role == RAFT_LEADER)
        RAFT_EXPECT(ghost, raft_progress(&host->raft, m->to)->match == host->raft.log.end,
                    "R25 transfer: %" PRIx64 " lets one take over that lacks entries", host->id);
}

void raft_check_commit(struct raft_host *host, uint64_t from, uint64_t end) {
    if (from == end) return;
    struct raft_ghost *ghost = ghost_of(host);
    RAFT_EXPECT(ghost, from < end,
                "R11 commit monotonicity: %" PRIx64 " goes back from %" PRIu64 " to %" PRIu64, host->id, from,
                end);
    RAFT_EXPECT(ghost, from == host->applied_end,
                "R8 state machine safety: %" PRIx64 " applies %" PRIu64 " after %" PRIu64, host->id, from,
                host->applied_end);
    const struct raft_image *view = &host->view;
    for (uint32_t i = raft_image_above(view, from); i < view->count && view->log[i].entry.base < end; i++) {
        RAFT_EXPECT(ghost, view->log[i].entry.end <= end,
                    "R13 commit between entries: %" PRIx64 " at %" PRIu64, host->id, end);
        raft_ghost_commit(ghost, &view->log[i], host->raft.term, host->id);
        host->applied_chain = view->log[i].chain;
    }
    host->applied_end = end;
}

void raft_check_snapshot(struct raft_host *host, const struct raft_snapshot *snapshot, uint64_t chain) {
    const struct raft_committed *committed = raft_ghost_find(ghost_of(host), snapshot->end);
    RAFT_EXPECT(ghost_of(host), committed != NULL && committed->chain == chain,
                "R21 snapshot coherence: %" PRIx64 " takes one of what is not committed at %" PRIu64,
                host->id, snapshot->end);
    RAFT_EXPECT(ghost_of(host), committed == NULL || committed->config == raft_ghost_config(snapshot->config),
                "R21 snapshot coherence: %" PRIx64
                " puts another configuration into one than that at %" PRIu64,
                host->id, snapshot->end);
}
