// SPDX-License-Identifier: Apache-2.0
#include "raft/raft_internal.h"

void raft_heartbeat_send(struct raft *r, struct raft_progress *p, uint8_t flags) {
    struct raft_message *m = raft_send(r, RAFT_HEARTBEAT, p->id);
    m->flags = flags | raft_replication_settled(r);
    m->append.commit_end = r->commit_end;
    m->append.round = r->round;
    m->append.sent_ns = r->now_ns;
    p->commit_sent = r->commit_end;
}

void raft_heartbeat_all(struct raft *r, uint8_t flags) {
    RAFT_FOREACH_PEER(r, p)
        raft_heartbeat_send(r, p, flags);
}

void raft_heartbeat_arm(struct raft *r) {
    r->heartbeat_deadline_ns = (r->now_ns / r->options->heartbeat_ns + 1) * r->options->heartbeat_ns;
}

/* "a leader steps down if an election timeout elapses without a successful round of heartbeats to a majority
 * of its cluster" [6.2]. The longest timeout: by then the others may have elected someone. */
static bool quorum_heard(const struct raft *r) {
    uint64_t heard = raft_self_bit(r);
    RAFT_FOREACH_PEER(r, p)
        if (r->now_ns - p->heard_ns <= r->options->election_timeout_ns_max) heard |= raft_peer_bit(r, p);
    return raft_quorum_has(r->latest.config, heard);
}

/* All is said, by us and to all who are there, and those who are there are a quorum (D8). */
static bool may_sleep(const struct raft *r) {
    const struct raft_options *options = r->options;
    if (options->sleep_after_ns == 0) return false;
    if (r->busy_ns != 0 && r->now_ns - r->busy_ns < options->sleep_after_ns) return false;
    if (r->commit_end < r->log.end || raft_durable_end(r) < r->log.end) return false;
    if (r->read_count > 0 || r->transfer_to != RAFT_NO_ID || r->change != NULL) return false;
    if (r->latest.position > r->commit_end || raft_config_joint(r->latest.config)) return false;
    uint64_t present = raft_self_bit(r);
    RAFT_FOREACH_PEER(r, p) {
        if (p->down) continue;
        if (p->state != RAFT_REPLICATE || p->match < r->log.end) return false;
        present |= raft_peer_bit(r, p);
    }
    return raft_quorum_has(r->latest.config, present);
}

/* A message to this peer may be lost: a probe until it is answered; else, when nothing moved for an election
 * timeout though it answers. What it has accepted it will acknowledge when its disk is done. */
static void resend(struct raft *r, struct raft_progress *p) {
    bool stuck = r->now_ns - p->advanced_ns >= r->options->election_timeout_ns_min;
    if (p->state == RAFT_PROBE || (p->state == RAFT_SNAPSHOT && stuck)) p->paused = false;
    if (p->state == RAFT_REPLICATE && stuck && p->inflight_count > 0 && p->accepted < p->next)
        raft_replication_probe(r, p, MAX(p->match, p->accepted));
    raft_replication_send(r, p);
}

void raft_heartbeat_timer(struct raft *r) {
    if (r->transfer_to != RAFT_NO_ID && r->now_ns >= r->transfer_deadline_ns) r->transfer_to = RAFT_NO_ID;
    if (r->asleep || r->now_ns < r->heartbeat_deadline_ns) return;
    raft_heartbeat_arm(r);
    if (!quorum_heard(r)) {
        raft_become_follower(r, r->term, RAFT_NO_ID);
        return;
    }
    if (may_sleep(r)) {
        r->asleep = true;
        r->asleep_since_ns = r->now_ns;
        raft_heartbeat_all(r, RAFT_FLAG_SLEEP);
        return;
    }
    raft_heartbeat_all(r, 0);
    RAFT_FOREACH_PEER(r, p)
        resend(r, p);
    r->transfer_sent = false;
    raft_election_transfer_try(r);
}

void raft_heartbeat_wake(struct raft *r) {
    r->busy_ns = r->now_ns;
    if (!r->asleep) return;
    r->asleep = false;
    if (r->role == RAFT_LEADER) {
        /* Nobody was asked for a while, so nobody is late. */
        RAFT_FOREACH_PEER(r, p)
            p->heard_ns = p->advanced_ns = r->now_ns;
        raft_heartbeat_arm(r);
        raft_heartbeat_all(r, 0);
    } else {
        raft_election_stay_loyal(r);
        raft_election_reset_timer(r);
    }
}

/* The failure detector speaks of `node`: true if that is our leader. What it sent before may come late. */
static bool is_leaders(struct raft *r, uint32_t node) {
    if (r->leader == RAFT_NO_ID || raft_id_node(r->leader) != node) return false;
    r->wakeful_until_ns = r->now_ns + 10 * r->options->election_timeout_ns_max;
    return true;
}

void raft_heartbeat_peer_down(struct raft *r, const struct raft_event *event) {
    if (r->role == RAFT_LEADER) {
        RAFT_FOREACH_PEER(r, p)
            p->down |= raft_id_node(p->id) == event->node;
        /* If a quorum is gone, check-quorum must find out. */
        if (r->asleep && !may_sleep(r)) raft_heartbeat_wake(r);
        return;
    }
    if (!is_leaders(r, event->node)) return;
    r->asleep = false;
    raft_election_reset_timer(r);
    /* The timeout was there to tell a dead leader from a slow network; the detector knows. Not if a lease
     * relies on our waiting. */
    if (r->options->lease_reads || r->election_deadline_ns == RAFT_NEVER) return;
    r->loyal_until_ns = 0;
    r->election_deadline_ns -= r->options->election_timeout_ns_min;
}

void raft_heartbeat_peer_up(struct raft *r, const struct raft_event *event) {
    if (r->role != RAFT_LEADER) {
        /* It may have been restarted, and lead no longer; or the disk is another. */
        if (is_leaders(r, event->node)) raft_heartbeat_wake(r);
        return;
    }
    RAFT_FOREACH_PEER(r, p) {
        if (raft_id_node(p->id) != event->node) continue;
        p->down = false;
        raft_heartbeat_wake(r);
    }
}
