// SPDX-License-Identifier: Apache-2.0
#include "raft/raft_internal.h"

/* ---- leader: one progress a member -------------------------------------------------------------------- */

void raft_membership_track(struct raft *r, const struct raft_config *old) {
    const struct raft_config *config = r->latest.config;
    struct raft_progress *progress = mem_calloc(config->member_count, sizeof *progress);
    for (uint32_t i = 0; i < config->member_count; i++) {
        int before = raft_config_find(old, config->members[i].id);
        if (before >= 0) {
            progress[i] = r->progress[before];
            r->progress[before].inflight = NULL;
            continue;
        }
        progress[i] = (struct raft_progress){.id = config->members[i].id,
                                             .next = r->log.end,
                                             .since_ns = r->now_ns,
                                             .heard_ns = r->now_ns,
                                             .advanced_ns = r->now_ns,
                                             .state = RAFT_PROBE};
        if (progress[i].id == r->options->id) progress[i].match = raft_durable_end(r);
    }
    for (uint32_t i = 0; old != NULL && i < old->member_count; i++)
        mem_free(r->progress[i].inflight);
    mem_free(r->progress);
    r->progress = progress;
}

void raft_membership_untrack(struct raft *r) {
    for (uint32_t i = 0; r->progress != NULL && i < r->latest.config->member_count; i++)
        mem_free(r->progress[i].inflight);
    mem_free(r->progress);
    r->progress = NULL;
    mem_free(r->change);
    r->change = NULL;
    mem_free(r->reads);
    r->reads = NULL;
    r->read_count = r->read_capacity = 0;
    r->transfer_to = RAFT_NO_ID;
}

/* ---- the configuration in force ----------------------------------------------------------------------- */

/* "a server always uses the latest configuration in its log, regardless of whether the entry is committed"
 * [4.1]. */
void raft_membership_adopt(struct raft *r, uint64_t position, struct raft_config *config) {
    struct raft_config *older = r->before.config;
    r->before = r->latest;
    r->latest = (struct raft_config_record){position, config};
    if (r->role == RAFT_LEADER) raft_membership_track(r, r->before.config);
    mem_free(older);
    r->out->config_changed = true;
}

/* Only the latest can be uncommitted (I8), so one step back is enough. */
void raft_membership_truncated(struct raft *r, uint64_t from) {
    if (r->latest.position <= from) return;
    ASSERT_LE(r->before.position, from);
    mem_free(r->latest.config);
    r->latest = r->before;
    r->before = (struct raft_config_record){0};
    r->out->config_changed = true;
}

void raft_membership_reset(struct raft *r, uint64_t position, struct raft_config *config) {
    mem_free(r->latest.config);
    mem_free(r->before.config);
    r->latest = (struct raft_config_record){position, config};
    r->before = (struct raft_config_record){0};
    r->out->config_changed = true;
}

/* ---- changing it [4.3] -------------------------------------------------------------------------------- */

static void append_config(struct raft *r, struct raft_config *config) {
    struct buffer *bytes = raft_config_encode(config);
    struct shared_slice payload = {slice_make(bytes->data, bytes->size), bytes};
    raft_replication_append(r, RAFT_ENTRY_CONFIG, 1, payload);
    raft_membership_adopt(r, r->log.end, config);
}

enum status raft_membership_change(struct raft *r, const struct raft_event *event) {
    if (r->role != RAFT_LEADER) return STATUS_NOT_LEADER;
    if (r->change != NULL || r->latest.position > r->commit_end || raft_config_joint(r->latest.config))
        return STATUS_BUSY;
    if (r->transfer_to != RAFT_NO_ID) return STATUS_UNAVAILABLE;
    struct raft_config *change;
    enum status status = raft_config_build(event->change.members, event->change.count, &change);
    if (status != STATUS_OK) return status;
    if (raft_config_equal(change, r->latest.config)) {
        mem_free(change);
        return STATUS_EXISTS;
    }
    struct raft_config *joint = raft_config_join(r->latest.config, change);
    bool direct = joint != NULL && !raft_config_changes_voters(joint);
    r->change = direct ? change : joint;
    mem_free(direct ? joint : change);
    if (r->change == NULL) return STATUS_INVALID;
    raft_heartbeat_wake(r);
    raft_membership_advance(r);
    raft_replication_send_all(r);
    return STATUS_OK;
}

/* "the leader ... creates a log entry describing C_new" once C_old,new is committed [4.3]; and a new leader
 * changes nothing before an entry of its own term is committed (Ongaro, raft-dev, 2015: "bug in single-server
 * membership changes"), for which it may need a no-op (D2). */
void raft_membership_advance(struct raft *r) {
    if (r->latest.position > r->commit_end) return;
    bool joint = raft_config_joint(r->latest.config);
    if (!joint && r->change == NULL) return;
    if (r->commit_end <= r->term_start) {
        if (r->log.end == r->term_start)
            raft_replication_append(r, RAFT_ENTRY_NOOP, 1, (struct shared_slice){0});
        return;
    }
    struct raft_config *next = joint ? raft_config_leave(r->latest.config) : r->change;
    if (!joint) r->change = NULL;
    append_config(r, next);
}
