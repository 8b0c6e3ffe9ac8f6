// SPDX-License-Identifier: Apache-2.0
#include "raft/raft_internal.h"

/* ---- leader: its own log ------------------------------------------------------------------------------ */

void raft_replication_append(struct raft *r, enum raft_entry_kind kind, uint32_t count,
                             struct shared_slice payload) {
    struct raft_entry entry = {r->log.end, r->log.end + count, r->term, kind, payload};
    if (r->out->append_from == RAFT_NEVER) r->out->append_from = entry.base;
    raft_write(r);
    raft_log_append(&r->log, &entry);
    r->uncommitted_bytes += payload.bytes.size;
}

/* Makes room for `bytes` more in the window by letting go of what is safe on disk (and, leading, committed).
 * False: there is more waiting for a disk than is allowed. One batch is let in when nothing waits, whatever
 * its size. */
static bool make_room(struct raft *r, size_t bytes) {
    size_t max = r->options->window_bytes_max;
    uint64_t safe = r->role == RAFT_LEADER ? MIN(r->log.flushed_end, r->commit_end) : r->log.flushed_end;
    raft_log_trim(&r->log, 0, safe, max > bytes ? max - bytes : 0);
    return r->log.window_bytes == 0 || r->log.window_bytes + bytes <= max;
}

/* "If command received from client: append entry to local log" (Figure 2). The followers get it while our own
 * disk writes it (D3). */
enum status raft_replication_propose(struct raft *r, const struct raft_event *event) {
    const struct raft_proposal *items = event->propose.items;
    uint32_t count = event->propose.count;
    if (r->role != RAFT_LEADER) return STATUS_NOT_LEADER;
    if (r->transfer_to != RAFT_NO_ID) return STATUS_UNAVAILABLE;
    if (count == 0) return STATUS_INVALID;
    size_t bytes = 0;
    uint64_t end = r->log.end;
    for (uint32_t i = 0; i < count; i++) {
        if (items[i].count == 0 || __builtin_add_overflow(end, items[i].count, &end)) return STATUS_INVALID;
        bytes += items[i].payload.bytes.size;
    }
    if (r->uncommitted_bytes > 0 && r->uncommitted_bytes + bytes > r->options->uncommitted_bytes_max)
        return STATUS_BUSY;
    if (!make_room(r, bytes)) return STATUS_BUSY;
    r->out->proposed_base = r->log.end;
    raft_heartbeat_wake(r);
    for (uint32_t i = 0; i < count; i++)
        raft_replication_append(r, RAFT_ENTRY_DATA, items[i].count, shared_slice_ref(items[i].payload));
    raft_replication_send_all(r);
    return STATUS_OK;
}

/* ---- leader: sending ---------------------------------------------------------------------------------- */

void raft_replication_inflight_clear(struct raft_progress *p) {
    mem_free(p->inflight);
    p->inflight = NULL;
    p->inflight_head = p->inflight_count = p->inflight_capacity = 0;
    p->inflight_bytes = 0;
}

static void inflight_free(struct raft_progress *p, uint64_t match) {
    while (p->inflight_count > 0 && p->inflight[p->inflight_head].end <= match) {
        p->inflight_bytes -= p->inflight[p->inflight_head++].bytes;
        p->inflight_count--;
    }
    if (p->inflight_count == 0) p->inflight_head = 0;
}

void raft_replication_probe(struct raft *r, struct raft_progress *p, uint64_t next) {
    ASSERT_LE(p->match, next);
    ASSERT_LE(next, r->log.end);
    raft_replication_inflight_clear(p);
    p->state = RAFT_PROBE;
    p->paused = p->reading = false;
    p->next = next;
    p->advanced_ns = r->now_ns;
}

/* A leader that has committed nothing of its term may know of less than its predecessor had told others. */
uint8_t raft_replication_settled(const struct raft *r) {
    return r->commit_end >= r->term_start ? RAFT_FLAG_SETTLED : 0;
}

/* One append of entries [next, end); entries in the window are pointed to when the step ends. */
static void send_append(struct raft *r, struct raft_progress *p, const struct raft_entry *entries,
                        uint32_t count, uint64_t end, size_t bytes) {
    struct raft_message *m = raft_send(r, RAFT_APPEND, p->id);
    bool found = raft_log_term(&r->log, p->next, &m->append.prev_term);
    ASSERT(found);
    m->flags = raft_replication_settled(r);
    m->append.prev = p->next;
    m->append.commit_end = r->commit_end;
    m->append.round = r->round;
    m->append.sent_ns = r->now_ns;
    m->entries = entries;
    m->entry_count = count;
    p->commit_sent = r->commit_end;
    if (p->state == RAFT_PROBE) p->paused = true;
    if (p->state == RAFT_PROBE || count == 0) return;
    if (p->inflight_count == 0) p->advanced_ns = r->now_ns;
    RAFT_QUEUE(p, inflight, inflight, (struct raft_inflight){end, bytes});
    p->inflight_bytes += bytes;
    p->next = end;
}

/* As many of `entries` as one append may carry, at least one; the window's are pointed to later. The place
 * that a probe looks for may lie inside of an entry. */
static void send_entries(struct raft *r, struct raft_progress *p, const struct raft_entry *entries,
                         uint32_t count, bool window) {
    size_t bytes = entries[0].payload.bytes.size;
    uint32_t taken = 1;
    while (taken < count && bytes + entries[taken].payload.bytes.size <= r->options->append_bytes_max)
        bytes += entries[taken++].payload.bytes.size;
    ASSERT(p->state == RAFT_PROBE || entries->base == p->next);
    p->next = entries->base;
    send_append(r, p, window ? NULL : entries, taken, entries[taken - 1].end, bytes);
}

static bool window_full(const struct raft *r, const struct raft_progress *p) {
    return p->inflight_count >= r->options->inflight_count_max ||
           p->inflight_bytes >= r->options->inflight_bytes_max;
}

/* Sends one message; false: nothing more can be sent now. */
static bool send_next(struct raft *r, struct raft_progress *p) {
    if (p->reading || (p->state == RAFT_PROBE && p->paused)) return false;
    if (p->next < r->log.start) {
        raft_snapshot_begin(r, p);
        return false;
    }
    if (p->next == r->log.end) {
        if (p->state == RAFT_PROBE) send_append(r, p, NULL, 0, p->next, 0);
        return false;
    }
    if (p->state == RAFT_REPLICATE && window_full(r, p)) return false;
    uint32_t count;
    const struct raft_entry *entries = raft_log_window(&r->log, p->next, &count);
    if (entries == NULL) {
        RAFT_PUSH(r->out, entry_reads, entry_read,
                  (struct raft_entry_read){p->id, p->next, r->options->append_bytes_max, false});
        p->reading = true;
        return false;
    }
    send_entries(r, p, entries, count, true);
    return true;
}

void raft_replication_send(struct raft *r, struct raft_progress *p) {
    if (p->state == RAFT_SNAPSHOT) {
        raft_snapshot_ask(r, p);
        return;
    }
    while (send_next(r, p))
        continue;
}

void raft_replication_send_all(struct raft *r) {
    RAFT_FOREACH_PEER(r, p)
        raft_replication_send(r, p);
}

/* Entries that the window no longer has. Another leadership may have asked: what counts is that these are our
 * entries still, which their terms tell. */
void raft_replication_entries_read(struct raft *r, const struct raft_entries_read *read) {
    struct raft_progress *p = raft_peer(r, read->peer);
    if (p == NULL || !p->reading || p->state == RAFT_SNAPSHOT) return;
    p->reading = false;
    if (read->status != STATUS_OK) return; /* asked for again at the next heartbeat */
    if (read->from == p->next && p->next >= r->log.start) {
        const struct raft_entry *entries = read->entries;
        if (read->count == 0 || entries->base > p->next || entries->base < MAX(p->match, r->log.start))
            return;
        uint32_t count = raft_log_same(&r->log, entries, read->count, entries->base, r->log.end);
        if (count == 0) return;
        send_entries(r, p, entries, count, false);
    }
    raft_replication_send(r, p);
}

/* ---- leader: acknowledgement and commit --------------------------------------------------------------- */

/* A follower without anything on the way would learn of a commit at the next heartbeat only. */
static void tell_commit(struct raft *r) {
    RAFT_FOREACH_PEER(r, p) {
        if (p->commit_sent != r->commit_end && p->state == RAFT_REPLICATE && p->inflight_count == 0 &&
            p->match >= r->log.end && !p->down)
            raft_heartbeat_send(r, p, RAFT_FLAG_SILENT);
    }
}

/* "If there exists an N such that N > commitIndex, a majority of matchIndex[i] >= N, and log[N].term ==
 * currentTerm: set commitIndex = N" (Figure 2). Every entry above term_start is ours. */
static void advance_commit(struct raft *r) {
    int self = raft_self(r);
    if (self >= 0) {
        r->progress[self].match = raft_durable_end(r);
        r->progress[self].next = r->log.end;
    }
    uint64_t position = raft_quorum_value(r, offsetof(struct raft_progress, match));
    if (position > r->commit_end && position > r->term_start) raft_commit_to(r, position);
}

void raft_replication_advance(struct raft *r) {
    advance_commit(r);
    raft_membership_advance(r);
    raft_read_advance(r);
    raft_replication_send_all(r);
    tell_commit(r);
    raft_election_transfer_try(r);
    /* "A leader that is not part of C_new steps down once C_new is committed" [4.2.2]. */
    const struct raft_config *config = r->latest.config;
    int self = raft_self(r);
    bool voter = self >= 0 && (config->members[self].flags & RAFT_VOTER) != 0;
    if (r->latest.position <= r->commit_end && !raft_config_joint(config) && !voter) {
        raft_heartbeat_all(r, RAFT_FLAG_SILENT);
        raft_election_abdicate(r);
    }
}

/* Where to try next after a refusal: the follower named the last position that may agree, by our prev_term;
 * we look for the last in our log that may agree, by its hint_term: one round a diverging term at most [3.5,
 * end]. The place may lie inside of one of our entries; what is sent begins where that entry does. */
static void rejected(struct raft *r, struct raft_progress *p, const struct raft_message *m) {
    if (p->state == RAFT_SNAPSHOT || m->ack.prev <= p->match) return;
    if (p->state == RAFT_PROBE && m->ack.prev != p->next) return;
    uint64_t agree = m->ack.hint, term = 0;
    if (agree >= r->log.start) {
        agree = raft_log_agree(&r->log, MIN(agree, m->ack.prev), m->ack.hint_term);
        bool found = raft_log_term(&r->log, agree, &term);
        ASSERT(found);
        /* Nothing that we still have agrees: to try our log's start again would go on for ever. */
        if (term > m->ack.hint_term) agree = p->match;
    }
    raft_replication_probe(r, p, MAX(agree, p->match));
}

static void acknowledged(struct raft *r, struct raft_progress *p, const struct raft_message *m) {
    if (p->state == RAFT_PROBE && m->ack.accepted >= p->next) {
        p->state = RAFT_REPLICATE;
        p->paused = false;
        p->next = m->ack.accepted;
        p->advanced_ns = r->now_ns;
    }
    /* It was restarted: what we know that it has, it does not know to be ours, or has lost before it was
     * durable. An empty append will tell which. */
    if (p->state == RAFT_REPLICATE && m->ack.accepted < p->next && p->inflight_count == 0 && !p->reading &&
        p->next >= r->log.start)
        send_append(r, p, NULL, 0, p->next, 0);
}

static void advance_match(struct raft *r, struct raft_progress *p, uint64_t match) {
    if (match > p->match) {
        p->match = match;
        p->next = MAX(p->next, p->match);
        p->advanced_ns = r->now_ns;
        inflight_free(p, p->match);
    }
    if (p->state != RAFT_SNAPSHOT) return;
    if (p->match >= r->log.start) raft_replication_probe(r, p, p->match);
    /* It has what we are sending, which is not enough any more: our log has been compacted since. */
    else if (p->snapshot_id != 0 && p->match >= p->snapshot_end)
        raft_snapshot_begin(r, p);
}

/* Under load nobody ever has all; so a mark is set, and another when it is reached (KIP-16: a replica that
 * was caught up lately is in sync). */
static void note_in_sync(const struct raft *r, struct raft_progress *p, uint64_t match) {
    if (match < p->mark_end) return;
    p->in_sync_ns = p->mark_ns;
    p->mark_end = r->commit_end;
    p->mark_ns = r->now_ns;
}

void raft_replication_on_ack(struct raft *r, const struct raft_message *m) {
    struct raft_progress *p = raft_peer(r, m->from);
    if (p == NULL) return;
    if (m->ack.accepted > r->log.end || m->ack.match > m->ack.accepted || m->ack.round > r->round) {
        r->refused++;
        return;
    }
    /* A late word of a member that left, and came back in this term: it may have forgotten all since. */
    if (m->ack.sent_ns < p->since_ns) return;
    p->heard_ns = r->now_ns;
    p->accepted = m->ack.accepted;
    p->round = MAX(p->round, m->ack.round);
    p->lease_ns = MAX(p->lease_ns, MIN(m->ack.sent_ns, r->now_ns));
    note_in_sync(r, p, m->ack.match);
    if (r->asleep && m->ack.sent_ns >= r->asleep_since_ns && (m->flags & RAFT_FLAG_SLEEP) == 0)
        raft_heartbeat_wake(r);
    advance_match(r, p, m->ack.match); /* also told by a refusal */
    if ((m->flags & RAFT_FLAG_REJECTED) != 0)
        rejected(r, p, m);
    else
        acknowledged(r, p, m);
    raft_replication_advance(r);
}

/* ---- follower ----------------------------------------------------------------------------------------- */

struct raft_message *raft_replication_ack(struct raft *r, uint64_t to) {
    struct raft_message *m = raft_send(r, RAFT_ACK, to);
    m->ack.match = MIN(raft_durable_end(r), r->verified_end);
    m->ack.accepted = r->verified_end;
    m->ack.round = r->leader_round;
    m->ack.sent_ns = r->leader_sent_ns;
    r->acked_end = m->ack.match;
    return m;
}

void raft_replication_persisted(struct raft *r) {
    if (r->leader == RAFT_NO_ID || MIN(raft_durable_end(r), r->verified_end) <= r->acked_end) return;
    raft_replication_ack(r, r->leader);
}

void raft_replication_note_fresh(struct raft *r) {
    if (r->role == RAFT_FOLLOWER && r->leader != RAFT_NO_ID && r->applied_end >= r->told_commit_end)
        r->fresh_ns = r->now_ns;
}

bool raft_replication_follow(struct raft *r, const struct raft_message *m) {
    if (r->role == RAFT_LEADER || (r->leader != RAFT_NO_ID && r->leader != m->from)) {
        r->refused++;
        return false;
    }
    raft_become_follower(r, r->term, m->from);
    r->asleep = false;
    if (m->kind != RAFT_SNAPSHOT_PIECE) {
        r->leader_round = MAX(r->leader_round, m->append.round);
        r->leader_sent_ns = MAX(r->leader_sent_ns, m->append.sent_ns);
        r->told_commit_end = (m->flags & RAFT_FLAG_SETTLED) != 0 ? m->append.commit_end : UINT64_MAX;
        raft_replication_note_fresh(r);
    }
    raft_election_stay_loyal(r);
    raft_election_reset_timer(r);
    return true;
}

static void commit_verified(struct raft *r, uint64_t leader_commit) {
    uint64_t position = MIN(leader_commit, r->verified_end);
    if (position > r->commit_end) raft_commit_to(r, position);
}

static void reject(struct raft *r, const struct raft_message *m) {
    struct raft_message *ack = raft_replication_ack(r, m->from);
    ack->flags = RAFT_FLAG_REJECTED;
    ack->ack.prev = m->append.prev;
    ack->ack.hint = MAX(raft_log_agree(&r->log, m->append.prev, m->append.prev_term), r->commit_end);
    bool found = raft_log_term(&r->log, ack->ack.hint, &ack->ack.hint_term);
    ASSERT(found);
}

/* Entries are contiguous from prev, their terms ascend and are none of the future. */
static bool well_formed(const struct raft_message *m) {
    uint64_t end = m->append.prev, term = m->append.prev_term;
    for (uint32_t i = 0; i < m->entry_count; i++) {
        const struct raft_entry *entry = &m->entries[i];
        if (entry->base != end || entry->end <= entry->base || entry->term < term || entry->term > m->term)
            return false;
        end = entry->end;
        term = entry->term;
    }
    return true;
}

/* Appends what follows the log's end; false when an entry makes no sense: what came before it stays. */
static bool append_entries(struct raft *r, const struct raft_entry *entry, const struct raft_entry *end) {
    for (; entry < end; entry++) {
        struct raft_config *config = NULL;
        if (entry->term < raft_log_last_term(&r->log)) return false;
        if (entry->kind == RAFT_ENTRY_CONFIG &&
            raft_config_decode(entry->payload.bytes, &config) != STATUS_OK)
            return false;
        if (r->out->append_from == RAFT_NEVER) r->out->append_from = entry->base;
        struct raft_entry copy = *entry;
        copy.payload = shared_slice_ref(entry->payload);
        raft_log_append(&r->log, &copy);
        if (config != NULL) raft_membership_adopt(r, entry->end, config);
    }
    return true;
}

static bool have(const struct raft *r, const struct raft_entry *entry) {
    return entry->end <= r->commit_end || raft_log_term_is(&r->log, entry->end, entry->term);
}

/* "If an existing entry conflicts with a new one (same index but different terms), delete the existing entry
 * and all that follow it. Append any new entries not already in the log" (Figure 2). Entries already there
 * are left alone: a late duplicate must not cut off what came after it. False: refused. */
static bool take_entries(struct raft *r, const struct raft_message *m) {
    const struct raft_entry *entry = m->entries, *end = entry + m->entry_count;
    while (entry < end && have(r, entry))
        entry++;
    if (entry == end) return true;
    size_t bytes = 0;
    for (const struct raft_entry *e = entry; e < end; e++)
        bytes += e->payload.bytes.size;
    if (!make_room(r, bytes)) return false;
    if (entry->base < r->log.end) {
        /* verified_end covers what is committed and what this very leader has shown to be in its log: neither
         * can be in conflict with it; nor can a configuration whose successor is in the log (I8). And logs
         * part between entries. */
        uint32_t count;
        const struct raft_entry *ours = raft_log_window(&r->log, entry->base, &count);
        bool inside = ours != NULL && ours->base != entry->base;
        if (entry->base < r->verified_end || entry->base < r->before.position || inside) {
            r->refused++;
            return false;
        }
        r->out->truncate = true;
        r->out->truncate_from = entry->base;
        raft_log_truncate(&r->log, entry->base);
        r->repair_end = MIN(r->repair_end, entry->base);
        raft_membership_truncated(r, entry->base);
    }
    if (append_entries(r, entry, end)) return true;
    r->refused++;
    return false;
}

/* AppendEntries, receiver (Figure 2). Success is told when it is durable (D4). */
void raft_replication_on_append(struct raft *r, const struct raft_message *m) {
    if (!raft_replication_follow(r, m)) return;
    uint64_t prev = m->append.prev;
    if (!well_formed(m)) {
        r->refused++;
        return;
    }
    /* What is committed agrees, whatever became of the terms below our log's start. */
    if (prev > r->commit_end && !raft_log_term_is(&r->log, prev, m->append.prev_term)) {
        reject(r, m);
        return;
    }
    if (!take_entries(r, m)) return;
    uint64_t end = m->entry_count == 0 ? prev : m->entries[m->entry_count - 1].end;
    r->verified_end = MAX(r->verified_end, end);
    commit_verified(r, m->append.commit_end);
    if (r->out->append_from == RAFT_NEVER) raft_replication_ack(r, m->from);
}

void raft_replication_on_heartbeat(struct raft *r, const struct raft_message *m) {
    if (!raft_replication_follow(r, m)) return;
    commit_verified(r, m->append.commit_end);
    /* What our log has above is of an earlier leader, and goes when this one appends something. */
    uint64_t end = r->verified_end;
    if ((m->flags & RAFT_FLAG_SLEEP) != 0 && r->commit_end == end && m->append.commit_end == end &&
        raft_durable_end(r) >= end && !raft_log_damaged(&r->log) && r->now_ns >= r->wakeful_until_ns) {
        r->asleep = true;
        raft_election_reset_timer(r);
    }
    if ((m->flags & RAFT_FLAG_SILENT) != 0) return;
    struct raft_message *ack = raft_replication_ack(r, m->from);
    if (r->asleep) ack->flags = RAFT_FLAG_SLEEP;
}
