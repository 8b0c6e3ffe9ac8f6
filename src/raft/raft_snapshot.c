// SPDX-License-Identifier: Apache-2.0
#include "raft/raft_internal.h"

/* ---- leader ------------------------------------------------------------------------------------------- */

void raft_snapshot_begin(struct raft *r, struct raft_progress *p) {
    raft_replication_inflight_clear(p);
    p->state = RAFT_SNAPSHOT;
    p->paused = p->reading = false;
    p->snapshot_id = p->snapshot_offset = p->snapshot_end = 0;
    raft_snapshot_ask(r, p);
}

/* One piece is on its way at a time: either the host reads it or the peer writes it. */
void raft_snapshot_ask(struct raft *r, struct raft_progress *p) {
    if (p->reading || p->paused) return;
    RAFT_PUSH(r->out, snapshot_reads, snapshot_read,
              (struct raft_snapshot_read){p->id, p->snapshot_id, p->snapshot_offset});
    p->reading = true;
}

void raft_snapshot_read(struct raft *r, const struct raft_event *event) {
    struct raft_progress *p = raft_peer(r, event->snapshot_read.peer);
    if (p == NULL || p->state != RAFT_SNAPSHOT || !p->reading) return;
    p->reading = false;
    if (event->snapshot_read.status != STATUS_OK) return; /* asked for again at the next heartbeat */
    struct raft_snapshot snapshot = event->snapshot_read.snapshot;
    ASSERT(snapshot.id != 0 && snapshot.config != NULL);
    ASSERT_LE(snapshot.end, r->commit_end);
    p->snapshot_id = snapshot.id;
    p->snapshot_offset = event->snapshot_read.offset;
    p->snapshot_end = snapshot.end;
    p->paused = true;
    p->advanced_ns = r->now_ns;
    struct raft_message *m = raft_send(r, RAFT_SNAPSHOT_PIECE, p->id);
    m->flags = event->snapshot_read.last ? RAFT_FLAG_LAST : 0;
    m->piece.snapshot = snapshot;
    m->piece.offset = event->snapshot_read.offset;
    m->data = event->snapshot_read.data;
}

void raft_snapshot_on_ack(struct raft *r, const struct raft_message *m) {
    struct raft_progress *p = raft_peer(r, m->from);
    if (p == NULL) return;
    p->heard_ns = r->now_ns;
    if (p->state != RAFT_SNAPSHOT || !p->paused || p->snapshot_id != m->piece_ack.id) return;
    p->paused = false;
    p->snapshot_offset = m->piece_ack.offset;
    raft_snapshot_ask(r, p);
}

/* ---- follower ----------------------------------------------------------------------------------------- */

void raft_snapshot_release(struct raft *r) {
    mem_free((void *)r->incoming.config);
    r->incoming = (struct raft_snapshot){0};
    r->incoming_offset = 0;
    r->incoming_writing = r->incoming_last = false;
}

static void discard(struct raft *r) {
    if (r->incoming.id != 0) r->out->snapshot_discard = r->incoming.id;
    raft_snapshot_release(r);
}

static void ack_piece(struct raft *r, uint64_t to) {
    struct raft_message *m = raft_send(r, RAFT_SNAPSHOT_ACK, to);
    m->piece_ack.id = r->incoming.id;
    m->piece_ack.offset = r->incoming_offset;
}

/* "If existing log entry has same index and term as snapshot's last included entry, retain log entries
 * following it": then nothing is missing, and all up to there is committed. Entries may come while pieces do.
 */
static bool needless(struct raft *r, const struct raft_snapshot *snapshot) {
    if (snapshot->end > r->commit_end && raft_log_term_is(&r->log, snapshot->end, snapshot->term)) {
        r->verified_end = MAX(r->verified_end, snapshot->end);
        raft_commit_to(r, snapshot->end);
    }
    return snapshot->end <= r->commit_end;
}

/* InstallSnapshot, receiver (Figure 13), in pieces that are asked for by their offset, so that a transfer
 * goes on where it stopped, whoever leads, as long as the snapshot is the same. */
void raft_snapshot_on_piece(struct raft *r, const struct raft_message *m) {
    const struct raft_snapshot *snapshot = &m->piece.snapshot;
    if (snapshot->id == 0 || snapshot->config == NULL || snapshot->term > m->term) {
        r->refused++;
        return;
    }
    if (!raft_replication_follow(r, m)) return;
    if (needless(r, snapshot)) {
        raft_replication_ack(r, m->from);
        return;
    }
    if (r->incoming.id != snapshot->id) discard(r);
    if (r->incoming.config == NULL) {
        r->incoming = *snapshot;
        r->incoming.config = raft_config_copy(snapshot->config);
    }
    if (r->incoming_writing) return;
    if (m->piece.offset != r->incoming_offset) {
        ack_piece(r, m->from);
        return;
    }
    r->incoming_writing = true;
    r->incoming_last = (m->flags & RAFT_FLAG_LAST) != 0;
    r->out->snapshot_write = m;
}

/* "discard the entire log; reset state machine using snapshot contents, and load snapshot's cluster
 * configuration". It is one write like any other: acknowledged when it is durable. A campaign that began
 * meanwhile ends: votes are counted by the configuration that is replaced. */
static void install(struct raft *r) {
    raft_become_follower(r, r->term, r->leader);
    struct raft_snapshot *installed = &r->out->installed;
    *installed = r->incoming;
    raft_membership_reset(r, installed->end, (struct raft_config *)installed->config);
    r->incoming.config = NULL; /* now the one in force */
    raft_snapshot_release(r);
    r->out->install = installed;
    raft_write(r);
    raft_log_reset(&r->log, r->commit_end, installed->end, installed->term);
    r->commit_end = r->applied_end = r->verified_end = installed->end;
}

void raft_snapshot_overtaken(struct raft *r) {
    if (r->incoming.id != 0 && r->incoming.end <= r->commit_end && !r->incoming_writing) discard(r);
}

void raft_snapshot_written(struct raft *r, const struct raft_event *event) {
    if (r->incoming.id != event->snapshot_written.id || !r->incoming_writing) return;
    r->incoming_writing = false;
    r->incoming_offset = event->snapshot_written.offset;
    if (r->role == RAFT_LEADER || needless(r, &r->incoming)) {
        discard(r);
        if (r->leader != RAFT_NO_ID && r->role == RAFT_FOLLOWER) raft_replication_ack(r, r->leader);
    } else if (r->incoming_last && !event->snapshot_written.refused) {
        install(r);
    } else if (r->leader != RAFT_NO_ID && !event->snapshot_written.refused) {
        ack_piece(r, r->leader);
    }
}
