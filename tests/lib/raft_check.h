// SPDX-License-Identifier: Apache-2.0
/* raft_check.h: the checks a host makes at every step, against its ghost and the other members' disks. */
#ifndef SENTINEL_TESTS_RAFT_CHECK_H
#define SENTINEL_TESTS_RAFT_CHECK_H

#include "lib/raft_host.h"

/* What a step may or may not change. */
struct raft_check_before {
    uint64_t term, vote, commit_end;
    enum raft_role role;
};
struct raft_check_before raft_check_before(const struct raft_host *host);
void raft_check_after(struct raft_host *host, const struct raft_check_before *before,
                      const struct raft_event *event);
/* A write begins: R4, R12, R16, entries' identities. Before it is applied to the view. */
void raft_check_write(struct raft_host *host, const struct raft_write *write);
/* A write is about to become durable: R3. */
void raft_check_durable(struct raft_host *host, const struct raft_write *write);
/* A message leaves: R2, R3, R15, R25. */
void raft_check_leaving(struct raft_host *host, const struct raft_message *m);
/* [from, end) became committed here; applies it: R8, R13. */
void raft_check_commit(struct raft_host *host, uint64_t from, uint64_t end);
void raft_check_snapshot(struct raft_host *host, const struct raft_snapshot *snapshot, uint64_t chain);

#endif
