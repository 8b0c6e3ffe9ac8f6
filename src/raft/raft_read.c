// SPDX-License-Identifier: Apache-2.0
#include "raft/raft_internal.h"

/* The commit end is known to be that of the group: all that earlier leaders can have committed is committed
 * here too [6.4, step 1]; without a no-op when there was nothing open (D2). */
static bool commit_is_current(const struct raft *r) {
    return r->commit_end >= r->term_start;
}

/* What we ask of the others we answer at once ourselves. */
static void answer_ourselves(struct raft *r) {
    int self = raft_self(r);
    if (self < 0) return;
    r->progress[self].round = r->round;
    r->progress[self].lease_ns = r->now_ns;
}

/* A quorum answered what we sent at `since`, and promised no vote for the shortest election timeout from when
 * it came [6.4.1]; their clocks may run faster than ours by the stated drift. */
static bool lease_valid(struct raft *r) {
    if (!r->options->lease_reads || r->lease_given_up || r->asleep) return false;
    answer_ourselves(r);
    uint64_t since = raft_quorum_value(r, offsetof(struct raft_progress, lease_ns));
    uint64_t timeout = r->options->election_timeout_ns_min;
    uint64_t drift = timeout / 1000000 * r->options->lease_drift_ppm;
    return since > 0 && drift < timeout && r->now_ns < since + (timeout - drift);
}

static void answer(struct raft *r, const struct raft_read *read) {
    if (read->from != r->options->id) {
        struct raft_message *m = raft_send(r, RAFT_READ_REPLY, read->from);
        m->read.context = read->context;
        m->read.life = read->life;
        m->read.position = read->position;
        return;
    }
    RAFT_PUSH(r->out, reads, read, (struct raft_read_state){read->context, read->position});
}

/* Leader: answers now by lease, or after a round. */
static enum status serve(struct raft *r, struct raft_read read) {
    if (commit_is_current(r) && lease_valid(r)) {
        read.position = r->commit_end;
        answer(r, &read);
        return STATUS_OK;
    }
    if (r->read_count >= r->options->reads_max) return STATUS_BUSY;
    raft_heartbeat_wake(r);
    RAFT_PUSH(r, reads, read, read);
    raft_read_advance(r);
    return STATUS_OK;
}

enum status raft_read_request(struct raft *r, const struct raft_event *event) {
    uint64_t context = event->read_context;
    if (r->role == RAFT_LEADER)
        return serve(r, (struct raft_read){.context = context, .from = r->options->id});
    if (r->leader == RAFT_NO_ID) return STATUS_UNAVAILABLE;
    raft_heartbeat_wake(r); /* if the leader is not there any more, somebody must find out */
    struct raft_message *m = raft_send(r, RAFT_READ_REQUEST, r->leader);
    m->read.context = context;
    m->read.life = r->life;
    return STATUS_OK;
}

/* All reads that wait begin the next round together: one round of heartbeats, sent after they came [6.4, step
 * 3]. */
static bool begin_round(struct raft *r) {
    if (r->round_confirmed < r->round || !commit_is_current(r)) return false;
    bool any = false;
    for (uint32_t i = 0; i < r->read_count; i++) {
        struct raft_read *read = &r->reads[i];
        if (read->round != 0) continue;
        read->round = r->round + 1;
        read->position = r->commit_end;
        any = true;
    }
    if (!any) return false;
    r->round++;
    raft_heartbeat_all(r, 0);
    return true;
}

static void confirm_rounds(struct raft *r) {
    if (r->round_confirmed == r->round) return;
    answer_ourselves(r);
    uint64_t confirmed = raft_quorum_value(r, offsetof(struct raft_progress, round));
    r->round_confirmed = MAX(r->round_confirmed, confirmed);
    uint32_t kept = 0;
    for (uint32_t i = 0; i < r->read_count; i++) {
        struct raft_read read = r->reads[i];
        if (read.round != 0 && read.round <= r->round_confirmed)
            answer(r, &read);
        else
            r->reads[kept++] = read;
    }
    r->read_count = kept;
}

void raft_read_advance(struct raft *r) {
    do {
        confirm_rounds(r);
    } while (r->read_count > 0 && begin_round(r));
}

void raft_read_on_request(struct raft *r, const struct raft_message *m) {
    if (r->role != RAFT_LEADER) return;
    enum status status = serve(
        r, (struct raft_read){.context = m->read.context, .from = m->from, .life = m->read.life});
    MAYBE(status == STATUS_BUSY); /* the asker's own time limit ends its read */
}

/* An answer to what was asked before a restart is too old for a question that has the same number now. */
void raft_read_on_reply(struct raft *r, const struct raft_message *m) {
    if (r->leader != m->from || m->read.life != r->life) return;
    answer(r, &(struct raft_read){
                  .context = m->read.context, .from = r->options->id, .position = m->read.position});
}
