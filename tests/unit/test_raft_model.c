// SPDX-License-Identifier: Apache-2.0
/* Every interleaving of three members within small bounds (lib/raft_model.h).
 *
 *   test_raft_model                               the bounds of every test run
 *   test_raft_model --soak                        larger ones, minutes
 *   test_raft_model [--campaigns N] [--beats N] [--proposals N] [--changes N] [--drops N] [--restarts N]
 * [--depth N]
 *                   [--states N]                  others */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "lib/raft_model.h"

#define SOAK_STATES 20000000
#ifdef SENTINEL_ASSERT_SLOW
#define SHALLOWER 3 /* each step costs ten times as much */
#else
#define SHALLOWER 0
#endif

static bool run(const char *name, const struct raft_model_bounds *bounds) {
    struct raft_model_result result;
    raft_model_check(bounds, &result);
    printf("%-28s %9" PRIu64 " states %10" PRIu64 " transitions, longest %u, %" PRIu64 " led, %" PRIu64
           " committed%s\n",
           name, result.states, result.transitions, result.depth, result.leaders, result.commits,
           result.complete  ? ", complete"
           : result.stopped ? ", stopped"
                            : ", all to that depth");
    if (result.violation[0] == '\0') return true;
    fprintf(stderr, "FAIL %s: %s\n  after: %s\n", name, result.violation, result.path);
    return false;
}

static bool run_named(bool soak) {
    struct {
        const char *name;
        struct raft_model_bounds
            bounds; /* members, campaigns, beats, proposals, changes, drops, restarts, depth */
    } cases[] = {
        {"one leader, a restart", {3, 1, 0, 1, 0, 0, 1, 50, UINT64_MAX}},
        {"two campaigns", {3, 2, 0, 0, 0, 0, 0, 15, UINT64_MAX}},
        {"two campaigns, two entries", {3, 2, 0, 2, 0, 0, 0, 13, UINT64_MAX}},
        {"loss and a restart", {3, 2, 1, 1, 0, 1, 1, 9, UINT64_MAX}},
        {"three campaigns, a restart", {3, 3, 0, 2, 0, 0, 1, 9, UINT64_MAX}},
        {"a change of members", {3, 1, 1, 0, 1, 0, 0, 12, UINT64_MAX}},
    };
    bool good = true;
    for (unsigned i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (i > 0) cases[i].bounds.depth += soak ? 6 : -SHALLOWER;
        if (soak) cases[i].bounds.states = SOAK_STATES;
        good &= run(cases[i].name, &cases[i].bounds);
    }
    return good;
}

int main(int argc, char **argv) {
    if (argc == 1) return !run_named(false);
    if (strcmp(argv[1], "--soak") == 0) return !run_named(true);
    struct raft_model_bounds bounds = {3, 2, 0, 1, 0, 0, 0, 30, UINT64_MAX};
    for (int i = 1; i + 1 < argc; i += 2) {
        uint64_t value = strtoull(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--campaigns") == 0) bounds.campaigns = (uint32_t)value;
        if (strcmp(argv[i], "--beats") == 0) bounds.beats = (uint32_t)value;
        if (strcmp(argv[i], "--proposals") == 0) bounds.proposals = (uint32_t)value;
        if (strcmp(argv[i], "--changes") == 0) bounds.changes = (uint32_t)value;
        if (strcmp(argv[i], "--drops") == 0) bounds.drops = (uint32_t)value;
        if (strcmp(argv[i], "--restarts") == 0) bounds.restarts = (uint32_t)value;
        if (strcmp(argv[i], "--depth") == 0) bounds.depth = (uint32_t)value;
        if (strcmp(argv[i], "--states") == 0) bounds.states = value;
    }
    return !run("these bounds", &bounds);
}
