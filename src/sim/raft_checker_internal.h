// SPDX-License-Identifier: Apache-2.0
/* raft_checker_internal.h: what the files of the Raft checker share.
 *
 * raft_checker.c  who there is, what is told, what clients saw
 * raft_check.c    the invariants that need more than a line
 * raft_probe.c    rare states met on the way
 *
 * Owner: raft_checker.c. Loop: one thread. */
#ifndef SENTINEL_SIM_RAFT_CHECKER_INTERNAL_H
#define SENTINEL_SIM_RAFT_CHECKER_INTERNAL_H

#include "base/map.h"
#include "sim/raft_checker.h"
#include "sim/raft_ghost.h"
#include "sim/shadow.h"

struct acknowledged {
    uint64_t base, content;
};
struct checked_group {
    uint64_t number;
    struct raft_ghost ghost;
    struct acknowledged *acknowledged;
    uint32_t acknowledged_count, acknowledged_capacity;
    uint64_t acknowledged_end;
};
/* What a step may or may not change. */
struct checked_before {
    uint64_t term, vote, commit_end, transfer_to;
    enum raft_role role;
    bool asleep, damaged;
};
struct checked_member {
    struct checked_group *group;
    uint64_t id;
    const struct raft *raft; /* NULL: not running */
    struct shadow shadow;
    struct checked_before before;
    bool lost, restored;
    uint32_t starts;
    uint64_t term_sent, sent_end, snapshots, repairs;
    uint64_t applied_end, applied_chain;
};
struct raft_checker {
    struct probes *probes;
    struct checked_group **groups;
    struct checked_member **members;
    uint32_t group_count, member_count;
    struct map by_id; /* (group, id) -> member */
    uint64_t highest_term;
    char violation[400];
};

/* In functions that have a `checker`. */
#define EXPECT(condition, ...) ((condition) ? (void)0 : raft_checker_fail(checker, __VA_ARGS__))

struct checked_member *raft_checker_find(const struct raft_checker *checker, uint64_t group, uint64_t id);

/* raft_check.c */
/* The member's log up to `position` is on the disks of a quorum of its configuration. */
bool raft_check_quorum(const struct raft_checker *checker, const struct checked_member *member,
                       const struct raft *raft, uint64_t position);
void raft_check_read_back(struct raft_checker *checker, struct checked_member *member,
                          const struct raft_event *event);
void raft_check_durable(struct raft_checker *checker, struct checked_member *member,
                        const struct shadow_write *write);
void raft_check_truncation(struct raft_checker *checker, struct checked_member *member,
                           const struct raft *raft, uint64_t from);
void raft_check_changes(struct raft_checker *checker, struct checked_member *member, const struct raft *raft,
                        const struct raft_effects *effects);
void raft_check_leader(struct raft_checker *checker, struct checked_member *member, const struct raft *raft,
                       const struct raft_event *event, const struct raft_effects *effects);
void raft_check_config(struct raft_checker *checker, struct checked_member *member, const struct raft *raft);

/* raft_probe.c */
void raft_probe_step(struct raft_checker *checker, const struct checked_member *member,
                     const struct raft *raft, const struct raft_event *event,
                     const struct raft_effects *effects);

#endif
