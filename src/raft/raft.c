// SPDX-License-Identifier: Apache-2.0
#include "raft/raft.h"

#include "raft/raft_internal.h"

const char *raft_role_name(enum raft_role role) {
    static const char *const names[] = {"follower", "pre-candidate", "candidate", "leader"};
    ASSERT_LT((unsigned)role, ARRAY_COUNT(names));
    return names[role];
}

struct raft_options raft_options_default(uint64_t id) {
    return (struct raft_options){
        .id = id,
        .election_timeout_ns_min = 150 * NS_PER_MS,
        .election_timeout_ns_max = 300 * NS_PER_MS,
        .heartbeat_ns = 50 * NS_PER_MS,
        .sleep_after_ns = 0,
        .append_bytes_max = MIB,
        .inflight_count_max = 64,
        .inflight_bytes_max = 12 * MIB, /* a log that takes 4 MiB at a time is never without work */
        .uncommitted_bytes_max = 32 * MIB,
        .window_bytes_max = 16 * MIB,
        .reads_max = 1024,
    };
}

/* ---- effects ------------------------------------------------------------------------------------------ */

void raft_effects_init(struct raft_effects *effects) {
    *effects = (struct raft_effects){.deadline = RAFT_NEVER};
}

void raft_effects_release(struct raft_effects *effects) {
    mem_free(effects->messages);
    mem_free(effects->entry_reads);
    mem_free(effects->snapshot_reads);
    mem_free(effects->reads);
    raft_effects_init(effects);
}

static void effects_clear(struct raft_effects *e) {
    struct raft_effects kept = *e;
    *e = (struct raft_effects){
        .messages = kept.messages,
        .entry_reads = kept.entry_reads,
        .snapshot_reads = kept.snapshot_reads,
        .reads = kept.reads,
        .message_capacity = kept.message_capacity,
        .entry_read_capacity = kept.entry_read_capacity,
        .snapshot_read_capacity = kept.snapshot_read_capacity,
        .read_capacity = kept.read_capacity,
        .append_from = RAFT_NEVER,
    };
}

void *raft_grow(void *array, uint32_t count, uint32_t *capacity, size_t size) {
    if (count < *capacity) return array;
    *capacity = MAX(*capacity * 2, 4);
    return mem_realloc(array, *capacity * size);
}

struct raft_message *raft_send(struct raft *r, enum raft_message_kind kind, uint64_t to) {
    ASSERT(to != r->options->id);
    struct raft_message message = {
        .kind = kind,
        .group = r->group,
        .from = r->options->id,
        .to = to,
        .term = r->term,
        .after_write = r->term_write > r->write_persisted ? r->term_write : 0,
    };
    RAFT_PUSH(r->out, messages, message, message);
    return &r->out->messages[r->out->message_count - 1];
}

uint64_t raft_write(struct raft *r) {
    if (r->out->write == 0) r->out->write = ++r->write_issued;
    return r->out->write;
}

int raft_self(const struct raft *r) {
    return raft_config_find(r->latest.config, r->options->id);
}

uint64_t raft_self_bit(const struct raft *r) {
    int self = raft_self(r);
    return self < 0 ? 0 : (uint64_t)1 << self;
}

struct raft_progress *raft_peer(const struct raft *r, uint64_t id) {
    int at = r->role != RAFT_LEADER || id == r->options->id ? -1 : raft_config_find(r->latest.config, id);
    return at < 0 ? NULL : &r->progress[at];
}

struct raft_progress *raft_next_peer(const struct raft *r, const struct raft_progress *p) {
    struct raft_progress *next = p == NULL ? r->progress : r->progress + (p - r->progress) + 1;
    struct raft_progress *end = r->progress + r->latest.config->member_count;
    while (next < end && next->id == r->options->id)
        next++;
    return next < end ? next : NULL;
}

/* ---- terms, roles, commit ----------------------------------------------------------------------------- */

void raft_set_term(struct raft *r, uint64_t term, uint64_t vote) {
    ASSERT_LE(r->term, term);
    ASSERT_IMPLIES(term == r->term, r->vote == RAFT_NO_ID || r->vote == vote);
    r->term = term;
    r->vote = vote;
    r->term_write = raft_write(r);
    r->out->hard_state_changed = true;
}

void raft_become_follower(struct raft *r, uint64_t term, uint64_t leader) {
    if (term == r->term && r->role == RAFT_FOLLOWER && leader == r->leader) return;
    if (term > r->term) raft_set_term(r, term, RAFT_NO_ID);
    r->role = RAFT_FOLLOWER;
    r->leader = leader;
    if (leader != RAFT_NO_ID) r->vain_campaigns = 0;
    r->asleep = false;
    /* What is committed is in the log of every later leader (Leader Completeness); of the rest we know
     * nothing. */
    r->verified_end = r->commit_end;
    r->acked_end = 0;
    r->leader_round = r->leader_sent_ns = 0;
    r->told_commit_end = UINT64_MAX;
    r->fresh_ns = 0;
    raft_membership_untrack(r);
    raft_election_reset_timer(r);
}

void raft_commit_to(struct raft *r, uint64_t position) {
    ASSERT_LE(position, r->log.end);
    ASSERT_LE(r->commit_end, position);
    if (r->role == RAFT_LEADER) {
        size_t bytes = raft_log_bytes(&r->log, r->commit_end, position);
        ASSERT_LE(bytes, r->uncommitted_bytes);
        r->uncommitted_bytes -= bytes;
    } else {
        ASSERT_LE(position, r->verified_end);
    }
    r->commit_end = position;
    raft_snapshot_overtaken(r);
}

/* ---- start and end ------------------------------------------------------------------------------------ */

void raft_init(struct raft *r, const struct raft_options *options, const struct raft_start *start,
               uint64_t now_ns) {
    ASSERT(options->id != RAFT_NO_ID);
    ASSERT_LT(options->election_timeout_ns_min, options->election_timeout_ns_max);
    ASSERT_LT(options->heartbeat_ns, options->election_timeout_ns_min);
    ASSERT(options->heartbeat_ns > 0 && options->inflight_count_max > 0 && options->append_bytes_max > 0);
    ASSERT_LE(start->priority, RAFT_PRIORITY_MAX);
    *r = (struct raft){
        .options = options,
        .group = start->group,
        .now_ns = now_ns,
        .priority = start->priority,
        .term = start->hard_state.term,
        .vote = start->hard_state.vote,
        .applied_end = start->applied_end,
        .repair_deadline_ns = now_ns,
        .incoming = {.id = start->incoming_id, .end = start->incoming_end},
        .incoming_offset = start->incoming_offset,
    };
    prng_init(&r->prng, start->seed ^ start->group * 0x9e3779b97f4a7c15U ^ options->id);
    r->life = prng_next(&r->prng);
    raft_log_init(&r->log, start);
    ASSERT_LE(start->applied_end, start->log_end);
    ASSERT_LE(raft_log_last_term(&r->log), r->term);
    uint64_t known = MAX(start->hard_state.commit_end, MAX(start->applied_end, start->log_start));
    if (start->config_before != NULL) known = MAX(known, start->config_before_position); /* I8 */
    r->commit_end = r->verified_end = MIN(known, start->log_end);
    r->latest = (struct raft_config_record){start->config_position, raft_config_copy(start->config)};
    r->before = (struct raft_config_record){start->config_before_position,
                                            raft_config_copy(start->config_before)};
    /* A promise not to vote, made to a leader before a crash, may still be relied upon by its lease. Who
     * never had a term never heard a leader. */
    if (r->term > 0) raft_election_stay_loyal(r);
    /* The only voter: what its disk has, a quorum has, and no leader can come without its vote, so that all
     * of it is committed; and there is nobody to wait for. Unless it followed another in this term, who may
     * lead still and rely on its promise. */
    int self = raft_self(r);
    bool alone = self >= 0 && raft_quorum_has(r->latest.config, (uint64_t)1 << self) &&
                 (r->term == 0 || r->vote == options->id);
    if (alone) r->commit_end = r->verified_end = start->log_end;
    raft_election_reset_timer(r);
    if (alone && r->election_deadline_ns != RAFT_NEVER) r->election_deadline_ns = now_ns;
    bool is_new = r->term == 0 && start->campaign_in_ns > 0 && r->election_deadline_ns != RAFT_NEVER;
    if (is_new) r->election_deadline_ns = MIN(r->election_deadline_ns, now_ns + start->campaign_in_ns);
    raft_check(r);
}

void raft_release(struct raft *r) {
    raft_membership_untrack(r);
    raft_snapshot_release(r);
    mem_free(r->reads);
    mem_free(r->latest.config);
    mem_free(r->before.config);
    raft_log_release(&r->log);
    *r = (struct raft){0};
}

/* ---- the step ----------------------------------------------------------------------------------------- */

/* The term rule: "If RPC request or response contains term T > currentTerm: set currentTerm = T, convert to
 * follower" (Figure 2), with the two exceptions of pre-vote and of servers loyal to a leader. False: the
 * message is spent. */
static bool check_term(struct raft *r, const struct raft_message *m) {
    bool from_leader = m->kind == RAFT_APPEND || m->kind == RAFT_HEARTBEAT || m->kind == RAFT_SNAPSHOT_PIECE;
    if (m->term > r->term) {
        if (m->kind == RAFT_PREVOTE) return true;
        /* "if a server receives a RequestVote request within the minimum election timeout of hearing from a
         * current leader, it does not update its term or grant its vote" [4.2.3], unless that leader asked
         * for it [3.10]. */
        if (m->kind == RAFT_VOTE && (m->flags & RAFT_FLAG_TRANSFER) == 0 && raft_election_loyal(r)) {
            raft_heartbeat_wake(r);
            return false;
        }
        raft_become_follower(r, m->term, from_leader ? m->from : RAFT_NO_ID);
        return true;
    }
    if (m->term == r->term) return true;
    if (from_leader) {
        /* A leader that is behind must hear of our term, or it would never reach us (D6). */
        raft_send(r, RAFT_ACK, m->from);
        return false;
    }
    /* A pre-vote is answered without adopting our term, so by a lower one perhaps; repair knows no terms. */
    return m->kind == RAFT_PREVOTE || m->kind == RAFT_PREVOTE_REPLY || m->kind == RAFT_VOTE ||
           m->kind == RAFT_REPAIR_REQUEST || m->kind == RAFT_REPAIR_REPLY;
}

static void (*const receivers[RAFT_MESSAGE_KIND_END])(struct raft *r, const struct raft_message *m) = {
    [RAFT_PREVOTE] = raft_election_prevote,
    [RAFT_PREVOTE_REPLY] = raft_election_prevote_reply,
    [RAFT_VOTE] = raft_election_vote,
    [RAFT_VOTE_REPLY] = raft_election_vote_reply,
    [RAFT_APPEND] = raft_replication_on_append,
    [RAFT_HEARTBEAT] = raft_replication_on_heartbeat,
    [RAFT_ACK] = raft_replication_on_ack,
    [RAFT_SNAPSHOT_PIECE] = raft_snapshot_on_piece,
    [RAFT_SNAPSHOT_ACK] = raft_snapshot_on_ack,
    [RAFT_TIMEOUT_NOW] = raft_election_timeout_now,
    [RAFT_READ_REQUEST] = raft_read_on_request,
    [RAFT_READ_REPLY] = raft_read_on_reply,
    [RAFT_REPAIR_REQUEST] = raft_repair_on_request,
    [RAFT_REPAIR_REPLY] = raft_repair_on_reply,
};

static void receive(struct raft *r, const struct raft_event *event) {
    const struct raft_message *m = event->message;
    bool known = (unsigned)m->kind < RAFT_MESSAGE_KIND_END && receivers[m->kind] != NULL;
    bool ours = m->to == r->options->id && m->group == r->group;
    bool other = m->from != r->options->id && m->from != RAFT_NO_ID;
    if (!known || !ours || !other)
        r->refused++;
    else if (check_term(r, m))
        receivers[m->kind](r, m);
}

static void timer(struct raft *r, const struct raft_event *event) {
    (void)event;
    if (r->role == RAFT_LEADER)
        raft_heartbeat_timer(r);
    else if (r->now_ns >= r->election_deadline_ns)
        raft_election_timer(r);
    if (raft_log_damaged(&r->log) && r->now_ns >= r->repair_deadline_ns) raft_repair_timer(r);
}

static void persisted(struct raft *r, const struct raft_event *event) {
    uint64_t write = event->write;
    ASSERT_LE(write, r->write_issued);
    if (write <= r->write_persisted) return;
    r->write_persisted = write;
    raft_log_persisted(&r->log, write);
    raft_repair_persisted(r);
    raft_election_persisted(r);
    if (r->role == RAFT_LEADER)
        raft_replication_advance(r);
    else
        raft_replication_persisted(r);
}

static void compacted(struct raft *r, const struct raft_event *event) {
    ASSERT_LE(event->position, MIN(r->applied_end, r->log.flushed_end));
    raft_log_compact(&r->log, event->position);
}

static void applied(struct raft *r, const struct raft_event *event) {
    ASSERT_LE(event->position, r->commit_end);
    r->applied_end = MAX(r->applied_end, event->position);
    raft_replication_note_fresh(r);
}

static void entries_read(struct raft *r, const struct raft_event *event) {
    if (event->entries_read.repair)
        raft_repair_entries_read(r, &event->entries_read);
    else
        raft_replication_entries_read(r, &event->entries_read);
}

static void set_priority(struct raft *r, const struct raft_event *event) {
    ASSERT_LE(event->priority, RAFT_PRIORITY_MAX);
    r->priority = event->priority;
}

static void (*const handlers[])(struct raft *r, const struct raft_event *event) = {
    [RAFT_EVENT_TIMER] = timer,
    [RAFT_EVENT_RECEIVE] = receive,
    [RAFT_EVENT_PERSISTED] = persisted,
    [RAFT_EVENT_APPLIED] = applied,
    [RAFT_EVENT_ENTRIES_READ] = entries_read,
    [RAFT_EVENT_COMPACTED] = compacted,
    [RAFT_EVENT_SNAPSHOT_READ] = raft_snapshot_read,
    [RAFT_EVENT_SNAPSHOT_WRITTEN] = raft_snapshot_written,
    [RAFT_EVENT_DAMAGED] = raft_repair_damaged,
    [RAFT_EVENT_PEER_DOWN] = raft_heartbeat_peer_down,
    [RAFT_EVENT_PEER_UP] = raft_heartbeat_peer_up,
    [RAFT_EVENT_SET_PRIORITY] = set_priority,
};
/* Requests have an answer. */
static enum status (*const requests[])(struct raft *r, const struct raft_event *event) = {
    [RAFT_EVENT_PROPOSE] = raft_replication_propose,
    [RAFT_EVENT_READ_INDEX] = raft_read_request,
    [RAFT_EVENT_TRANSFER] = raft_election_transfer,
    [RAFT_EVENT_CHANGE_MEMBERS] = raft_membership_change,
};

static enum status dispatch(struct raft *r, const struct raft_event *event) {
    if (event->kind < ARRAY_COUNT(requests) && requests[event->kind] != NULL)
        return requests[event->kind](r, event);
    handlers[event->kind](r, event);
    return STATUS_OK;
}

/* Entries that are durable and told to all who are listening are only kept for those that may ask again. */
static void trim(struct raft *r) {
    if (r->log.window_count == 0) return;
    uint64_t floor = MIN(r->log.flushed_end, r->applied_end);
    uint64_t hard_floor = r->log.flushed_end;
    if (r->role == RAFT_LEADER) {
        hard_floor = MIN(hard_floor, r->commit_end);
        RAFT_FOREACH_PEER(r, p) {
            if (p->state == RAFT_REPLICATE && !p->down) floor = MIN(floor, p->match);
        }
    }
    raft_log_trim(&r->log, floor, hard_floor, r->options->window_bytes_max);
}

/* The window may have moved while the step went on, so what points into it is set at the end. */
static void finish(struct raft *r, uint64_t commit_from) {
    struct raft_effects *out = r->out;
    bool log_written = out->truncate || out->install != NULL || out->append_from != RAFT_NEVER;
    if (log_written) raft_log_writing(&r->log, raft_write(r));
    if (out->append_from != RAFT_NEVER) {
        out->entries = raft_log_window(&r->log, out->append_from, &out->entry_count);
        ASSERT(out->entries != NULL && out->entries->base == out->append_from);
    }
    for (uint32_t i = 0; i < out->message_count; i++) {
        struct raft_message *m = &out->messages[i];
        if (m->kind != RAFT_APPEND || m->entry_count == 0 || m->entries != NULL) continue;
        uint32_t count;
        m->entries = raft_log_window(&r->log, m->append.prev, &count);
        ASSERT(m->entries != NULL && m->entries->base == m->append.prev);
        ASSERT_LE(m->entry_count, count);
    }
    raft_election_update_timer(r);
    out->hard_state = raft_hard_state(r);
    out->commit_from = out->install != NULL ? MAX(commit_from, out->install->end) : commit_from;
    out->commit_end = r->commit_end;
    out->deadline = raft_deadline(r);
}

enum status raft_step(struct raft *r, const struct raft_event *event, struct raft_effects *effects) {
    ASSERT(r->out == NULL);
    effects_clear(effects);
    r->out = effects;
    r->now_ns = MAX(r->now_ns, event->now_ns);
    uint64_t term = r->term, leader = r->leader, commit_end = r->commit_end;
    enum raft_role role = r->role;
    trim(r);
    enum status status = dispatch(r, event);
    effects->role_changed = term != r->term || leader != r->leader || role != r->role;
    finish(r, commit_end);
#ifdef SENTINEL_ASSERT_SLOW
    raft_check(r);
#endif
    r->out = NULL;
    return status;
}

uint64_t raft_deadline(const struct raft *r) {
    uint64_t deadline = r->election_deadline_ns;
    if (r->role == RAFT_LEADER) {
        deadline = r->asleep ? RAFT_NEVER : r->heartbeat_deadline_ns;
        if (r->transfer_to != RAFT_NO_ID) deadline = MIN(deadline, r->transfer_deadline_ns);
    }
    if (raft_log_damaged(&r->log)) deadline = MIN(deadline, r->repair_deadline_ns);
    return deadline;
}

/* ---- invariants --------------------------------------------------------------------------------------- */

static void check_log(const struct raft *r) {
    const struct raft_log *log = &r->log;
    uint64_t last = log->start, term = log->start_term;
    for (uint32_t i = 0; i < log->term_count; i++) {
        struct raft_term_start range = log->terms[log->term_head + i];
        if (i == 0) ASSERT_EQ(range.start, log->start);
        ASSERT_LE(last, range.start);
        if (i > 0) ASSERT_LT(last, range.start);
        if (i > 0) ASSERT_LT(term, range.term);
        ASSERT_LE(term, range.term);
        last = range.start;
        term = range.term;
    }
    ASSERT_EQ(log->start<log->end, log->term_count> 0);
    ASSERT_LE(term, r->term);
    ASSERT_LE(last, log->end);
    ASSERT_LE(log->flushed_end, log->end);
    ASSERT_LE(log->damaged_from, log->damaged_to);
    ASSERT_IMPLIES(raft_log_damaged(log), log->start <= log->damaged_from && log->damaged_to <= log->end);
    uint64_t end = log->end;
    size_t bytes = 0;
    for (uint32_t i = log->window_count; i-- > 0;) {
        const struct raft_entry *entry = &log->window[log->window_head + i];
        ASSERT_EQ(entry->end, end);
        ASSERT_LT(entry->base, entry->end);
        bool found = raft_log_term(log, entry->end, &term);
        ASSERT(found);
        ASSERT_EQ(entry->term, term);
        bytes += entry->payload.bytes.size;
        end = entry->base;
    }
    ASSERT_EQ(bytes, log->window_bytes);
    ASSERT_IMPLIES(MAX(log->flushed_end, log->start) < log->end, end <= MAX(log->flushed_end, log->start));
}

static void check_leader(const struct raft *r) {
    const struct raft_config *config = r->latest.config;
    ASSERT(config != NULL && r->progress != NULL);
    ASSERT_EQ(r->leader, r->options->id);
    for (uint32_t i = 0; i < config->member_count; i++) {
        const struct raft_progress *p = &r->progress[i];
        ASSERT_LE(p->match, r->log.end);
        ASSERT_LE(p->match, p->next);
        ASSERT_LE(p->next, r->log.end);
        ASSERT_LE(p->inflight_count, r->options->inflight_count_max);
        size_t bytes = 0;
        uint64_t end = p->match;
        for (uint32_t k = 0; k < p->inflight_count; k++) {
            const struct raft_inflight *flight = &p->inflight[p->inflight_head + k];
            ASSERT_LT(end, flight->end);
            end = flight->end;
            bytes += flight->bytes;
        }
        ASSERT_EQ(bytes, p->inflight_bytes);
        ASSERT_LE(end, p->next);
        ASSERT_EQ(p->id, config->members[i].id);
        if (p->id == r->options->id) ASSERT_EQ(p->match, raft_durable_end(r));
    }
    uint64_t term;
    ASSERT_IMPLIES(r->log.end > r->term_start,
                   raft_log_term(&r->log, MAX(r->term_start + 1, r->log.start), &term) && term == r->term);
    ASSERT_LE(r->read_count, r->options->reads_max);
    ASSERT_LE(r->round_confirmed, r->round);
}

void raft_check(const struct raft *r) {
    ASSERT_LE(r->log.start, r->commit_end);
    ASSERT_LE(r->applied_end, r->commit_end);
    ASSERT_LE(r->commit_end, r->log.end);
    ASSERT_LE(r->write_persisted, r->write_issued);
    ASSERT_LE(r->term_write, r->write_issued);
    check_log(r);
    ASSERT_LE(r->before.position, r->latest.position);
    ASSERT_LE(r->latest.position, r->log.end);
    ASSERT_IMPLIES(r->before.config != NULL, r->latest.config != NULL);
    ASSERT_EQ(r->role == RAFT_LEADER, r->progress != NULL);
    if (r->role == RAFT_LEADER) {
        check_leader(r);
    } else {
        ASSERT_LE(r->commit_end, r->verified_end);
        ASSERT_LE(r->verified_end, r->log.end);
        ASSERT(r->read_count == 0);
        ASSERT(r->change == NULL);
    }
    bool campaigning = r->role == RAFT_CANDIDATE || r->role == RAFT_PRECANDIDATE;
    ASSERT_IMPLIES(campaigning, r->latest.config != NULL && r->leader == RAFT_NO_ID);
    ASSERT_IMPLIES(r->role == RAFT_CANDIDATE || r->role == RAFT_LEADER, r->vote == r->options->id);
    ASSERT_IMPLIES(raft_log_damaged(&r->log) && (campaigning || r->role == RAFT_LEADER),
                   r->log.damaged_to <= r->commit_end);
    ASSERT((r->votes_granted & r->votes_rejected) == 0);
}

/* ---- looking ------------------------------------------------------------------------------------------ */

const struct raft_config *raft_config(const struct raft *r) {
    return r->latest.config;
}

const struct raft_config *raft_config_at(const struct raft *r, uint64_t position) {
    if (r->latest.position <= position) return r->latest.config;
    return r->before.position <= position ? r->before.config : NULL;
}

struct raft_hard_state raft_hard_state(const struct raft *r) {
    return (struct raft_hard_state){r->term, r->vote, r->commit_end};
}

uint64_t raft_durable_end(const struct raft *r) {
    return r->log.damaged_to <= r->commit_end ? r->log.flushed_end : raft_log_durable_end(&r->log);
}

bool raft_term_at(const struct raft *r, uint64_t position, uint64_t *term) {
    return raft_log_term(&r->log, position, term);
}

const struct raft_entry *raft_entries(const struct raft *r, uint64_t position, uint32_t *count) {
    return raft_log_window(&r->log, position, count);
}

const struct raft_progress *raft_progress(const struct raft *r, uint64_t id) {
    int at = r->progress == NULL ? -1 : raft_config_find(r->latest.config, id);
    return at < 0 ? NULL : &r->progress[at];
}

bool raft_is_fresh(const struct raft *r, uint64_t now_ns, uint64_t within_ns) {
    if (r->role != RAFT_FOLLOWER || r->leader == RAFT_NO_ID) return false;
    if (r->asleep && r->applied_end >= r->told_commit_end) return true;
    return r->fresh_ns != 0 && now_ns - r->fresh_ns <= within_ns;
}

bool raft_is_in_sync(const struct raft *r, uint64_t id, uint64_t now_ns, uint64_t within_ns) {
    const struct raft_progress *p = raft_progress(r, id);
    if (p == NULL || p->state != RAFT_REPLICATE || p->down) return false;
    if ((r->latest.config->members[p - r->progress].flags & RAFT_VOTER) == 0) return false;
    bool heard = r->asleep || now_ns - p->heard_ns <= r->options->election_timeout_ns_max;
    bool had = p->in_sync_ns != 0 && now_ns - p->in_sync_ns <= within_ns;
    return heard && (had || p->match >= r->commit_end);
}
