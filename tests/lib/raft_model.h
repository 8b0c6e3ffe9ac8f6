// SPDX-License-Identifier: Apache-2.0
/* raft_model.h: every interleaving of a small group, up to a bound: the core itself is the model.
 *
 * A state is what members, disks and network hold; an action is one of: a member campaigns (its pre-votes are
 * asked and answered at once: they decide nothing), a leader beats, a proposal, a change of members, a
 * message delivered or lost, a write done, a crash that keeps some of the writes under way, followed by a
 * restart. All orders are tried, depth first; a state seen before with as much depth left is not entered
 * again. Every step is checked (lib/raft_check.h).
 *
 * Clocks are taken out: to campaign, time jumps so far that no promise to a leader is left.
 *
 * Owner   the caller frees nothing. Loop: the test's thread. */
#ifndef SENTINEL_TESTS_RAFT_MODEL_H
#define SENTINEL_TESTS_RAFT_MODEL_H

#include "lib/raft_host.h"

struct raft_model_bounds {
    uint32_t members;
    uint32_t campaigns, beats, proposals, changes, drops, restarts; /* how many there may be */
    uint32_t depth;                                                 /* actions */
    uint64_t states;                                                /* distinct ones; then it stops */
};

struct raft_model_result {
    uint64_t states, transitions, leaders, commits; /* leaders, commits: states that have one */
    uint32_t depth;                                 /* of the longest path */
    bool complete;       /* every path came to its end: no depth and no number of states cut it off */
    bool stopped;        /* by the number of states */
    char violation[256]; /* empty: everything held */
    char path[4096];     /* the actions that led to it */
};

void raft_model_check(const struct raft_model_bounds *bounds, struct raft_model_result *result);

#endif
