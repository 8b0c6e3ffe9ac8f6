// SPDX-License-Identifier: Apache-2.0
/* plan.h: a scenario drawn from a seed: which troubles there are (swarm), how often, and what clients do.
 *
 * Two levels: each run has some kinds of trouble and not others, each with a rate of its own; so that rare
 * combinations come up, and no kind drowns the rest (Groce et al., "Swarm Testing", ISSTA 2012). Troubles
 * end: what is cut is mended, what crashed starts again, with pauses between them in which the cluster can
 * get somewhere. Budget: disks of fewer than half of the nodes are damaged or lost; power may fail
 * everywhere. Everything ends with `converge`.
 *
 * Loop: any; the same options give the same scenario. */
#ifndef SENTINEL_SIM_PLAN_H
#define SENTINEL_SIM_PLAN_H

#include "sim/scenario.h"

/*  name, what it stands for on the command line */
#define PLAN_FAULT_LIST(X)                                                                                   \
    X(partition, "symmetric partitions")                                                                     \
    X(oneway, "links cut in one direction")                                                                  \
    X(flap, "a link that comes and goes")                                                                    \
    X(slow, "slow links and long latencies")                                                                 \
    X(reset, "connections reset in the middle of messages")                                                  \
    X(drop, "single messages lost")                                                                          \
    X(crash, "crashes of any kind between two events")                                                       \
    X(crashpoint, "crashes before or after a write or an fsync")                                             \
    X(power, "all nodes lose power at once")                                                                 \
    X(pause, "pauses")                                                                                       \
    X(clock, "drifting and stepping clocks")                                                                 \
    X(wipe, "lost disks")                                                                                    \
    X(eio, "failing writes, reads and fsyncs")                                                               \
    X(full, "full disks")                                                                                    \
    X(slowdisk, "slow disks")                                                                                \
    X(rot, "bits that change on disks")                                                                      \
    X(members, "membership changes")                                                                         \
    X(transfer, "leadership transfers")                                                                      \
    X(compact, "snapshots and compaction")                                                                   \
    X(restart, "nodes stopped in order and started again")

enum plan_fault {
#define PLAN_ENUM_(name, text) PLAN_##name,
    PLAN_FAULT_LIST(PLAN_ENUM_)
#undef PLAN_ENUM_
        PLAN_FAULT_COUNT
};
#define PLAN_FAULTS_ALL ((1U << PLAN_FAULT_COUNT) - 1)

struct plan_options {
    uint64_t seed;
    uint32_t nodes;       /* 0: drawn, 1 to 5 */
    uint64_t duration_ns; /* of the troubled time; 0: drawn */
    uint32_t faults;      /* bits 1 << enum plan_fault: those that may be drawn */
    const char *workload;
};
void plan_draw(const struct plan_options *options, struct scenario *scenario);
/* "all", "none" or names with commas; false: one is unknown, *unknown is its name. */
bool plan_faults_parse(const char *text, uint32_t *faults, char unknown[32]);
const char *plan_fault_name(enum plan_fault fault);
const char *plan_fault_text(enum plan_fault fault);

#endif
