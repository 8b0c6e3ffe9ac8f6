// SPDX-License-Identifier: Apache-2.0
#include "raft/raft_internal.h"

void raft_repair_damaged(struct raft *r, const struct raft_event *event) {
    uint64_t from = event->damaged.from, to = event->damaged.to;
    if (from >= to) return;
    raft_log_damage(&r->log, from, to);
    /* Of a repair that is being written, what lies above counts for nothing: it is damaged anew, or above a
     * gap. */
    r->repair_end = MIN(r->repair_end, from);
    if (!raft_log_damaged(&r->log)) return;
    /* A leader that cannot read all of its log leaves the lead to one that can. Without one it goes on, if
     * all that can be lost is committed: nobody else could do more. */
    if (r->role != RAFT_LEADER)
        raft_become_follower(r, r->term, r->leader);
    else if (raft_election_heir(r) != NULL || r->log.damaged_to > r->commit_end)
        raft_election_abdicate(r);
    r->asleep = false;
    r->repair_deadline_ns = r->now_ns;
    raft_repair_timer(r);
}

/* The leader and the others in turn, also those of the configuration before: whoever has these entries will
 * do. */
static uint64_t next_source(struct raft *r) {
    const struct raft_config *latest = r->latest.config, *before = r->before.config;
    uint32_t latest_count = latest == NULL ? 0 : latest->member_count;
    uint32_t count = latest_count + (before == NULL ? 0 : before->member_count);
    uint32_t turn = r->repair_turn++;
    if (r->leader != RAFT_NO_ID && r->leader != r->options->id && turn % 2 == 0) return r->leader;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t at = (turn / 2 + i) % count;
        uint64_t id = at < latest_count ? latest->members[at].id : before->members[at - latest_count].id;
        if (id != r->options->id) return id;
    }
    return RAFT_NO_ID;
}

void raft_repair_timer(struct raft *r) {
    r->repair_deadline_ns = r->now_ns + r->options->election_timeout_ns_min;
    if (r->repair_write != 0) return;
    uint64_t to = next_source(r);
    if (to == RAFT_NO_ID) return;
    struct raft_message *m = raft_send(r, RAFT_REPAIR_REQUEST, to);
    m->repair.from = r->log.damaged_from;
    m->repair.to = r->log.damaged_to;
}

/* Whether the entries are the right ones is for the asker to tell, by their terms. */
void raft_repair_on_request(struct raft *r, const struct raft_message *m) {
    uint64_t from = m->repair.from;
    if (from < r->log.start || from >= r->log.end || m->repair.to <= from) return;
    if (raft_log_damaged(&r->log) && from >= r->log.damaged_from && from < r->log.damaged_to) return;
    RAFT_PUSH(r->out, entry_reads, entry_read,
              (struct raft_entry_read){m->from, from, r->options->append_bytes_max, true});
}

void raft_repair_entries_read(struct raft *r, const struct raft_entries_read *read) {
    if (read->status != STATUS_OK || read->count == 0) return;
    struct raft_message *m = raft_send(r, RAFT_REPAIR_REPLY, read->peer);
    m->repair.from = read->from;
    m->repair.to = read->entries[read->count - 1].end;
    m->entries = read->entries;
    m->entry_count = read->count;
}

/* An entry with the end and the term that ours had is the entry that ours was (Log Matching). It is written
 * over the damaged one; nothing is cut off, so what follows it keeps its promise. */
void raft_repair_on_reply(struct raft *r, const struct raft_message *m) {
    const struct raft_log *log = &r->log;
    if (!raft_log_damaged(log) || r->repair_write != 0) return;
    uint32_t count = raft_log_same(log, m->entries, m->entry_count, log->damaged_from, log->damaged_to);
    if (count == 0) return;
    r->out->entries = m->entries;
    r->out->entry_count = count;
    r->repair_write = raft_write(r);
    r->repair_end = m->entries[count - 1].end;
}

void raft_repair_persisted(struct raft *r) {
    if (r->repair_write == 0 || r->write_persisted < r->repair_write) return;
    r->repair_write = 0;
    if (!raft_log_damaged(&r->log)) return; /* cut off or compacted meanwhile */
    raft_log_repaired(&r->log, r->repair_end);
    if (!raft_log_damaged(&r->log)) return;
    r->repair_turn--; /* whoever had these may have the next */
    raft_repair_timer(r);
}
