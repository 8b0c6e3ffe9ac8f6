// SPDX-License-Identifier: Apache-2.0
/* raft_schedule.h: a group of members on one virtual clock, with everything that can go wrong drawn from one
 * seed.
 *
 * First the trouble (which kinds, and how much of each, differ from seed to seed), then a time in which
 * everything is mended, in which the group must find a leader, commit, and become the same everywhere. Clocks
 * of members run apart within the drift that leases are told of. The same seed gives the same run. */
#ifndef SENTINEL_TESTS_RAFT_SCHEDULE_H
#define SENTINEL_TESTS_RAFT_SCHEDULE_H

#include <stdio.h>

#include "base/prng.h"
#include "lib/raft_host.h"

/* What must have happened at least once in a good set of runs. */
#define RAFT_SEEN_LIST(X)                                                                                    \
    X(elections)                                                                                             \
    X(commits)                                                                                               \
    X(truncations)                                                                                           \
    X(rejections)                                                                                            \
    X(snapshots_installed)                                                                                   \
    X(compactions)                                                                                           \
    X(entry_reads)                                                                                           \
    X(joint_entered)                                                                                         \
    X(joint_left)                                                                                            \
    X(leaders_removed)                                                                                       \
    X(transfers)                                                                                             \
    X(reads_served)                                                                                          \
    X(lease_reads_served)                                                                                    \
    X(follower_reads_served)                                                                                 \
    X(crashes)                                                                                               \
    X(writes_lost)                                                                                           \
    X(partitions)                                                                                            \
    X(disks_lost)                                                                                            \
    X(damages)                                                                                               \
    X(repairs)                                                                                               \
    X(sleeps)                                                                                                \
    X(wakes)                                                                                                 \
    X(busy)                                                                                                  \
    X(stale_leaders)                                                                                         \
    X(messages)                                                                                              \
    X(steps)

struct raft_seen {
#define RAFT_SEEN_FIELD_(name) uint64_t name;
    RAFT_SEEN_LIST(RAFT_SEEN_FIELD_)
#undef RAFT_SEEN_FIELD_
};

struct raft_schedule_options {
    uint64_t seed;
    uint32_t steps; /* events of the troubled time */
    FILE *trace;    /* every event as a line, or NULL */
};

/* True: every invariant held. Else `violation` says which did not. */
bool raft_schedule_run(const struct raft_schedule_options *options, struct raft_seen *seen,
                       char violation[256]);

#endif
