// SPDX-License-Identifier: Apache-2.0
/* sim_command.h: what the files of `sentinel sim` share.
 *
 * sim.c         options, which kind of run       sim_sweep.c   many seeds in several processes
 * sim_run.c     one run and its report            sim_shrink.c  a failure once more, and made small
 * sim_broker.c  `--workload broker`
 *
 * Every run of a cluster happens in a process of its own, so that a broken assertion is one more result.
 * Loop: one thread a process. */
#ifndef SENTINEL_CLI_SIM_COMMAND_H
#define SENTINEL_CLI_SIM_COMMAND_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "sim/plan.h"
#include "sim/world.h"

struct sim_command {
    uint64_t first_seed, last_seed;
    uint32_t nodes, faults, jobs;
    uint64_t duration_ns;
    const char *workload, *faults_text, *scenario_path, *trace_path, *report_path, *save_path, *log_path;
    bool quiet, keep_going, as_it_is;
    /* --workload broker */
    bool every_boundary, crash_after;
    uint64_t crash_at;
    uint32_t appends, crashes;
};

/* What a run came to, without what it points to. */
struct sim_summary {
    bool ok, died; /* died: an assertion, which its process has printed */
    char failure[400];
    uint64_t cpu_us, failed_at_ns, trace_hash, events, simulated_ns, steps, acknowledged, leader_ns, equal_ns;
    uint64_t actions[ACTION_KIND_END];
    struct probes probes;
};
void sim_summarize(struct sim_summary *summary, const struct world_result *result);

/* Exit statuses. */
int sim_broker(const struct sim_command *command);
int sim_sweep(const struct sim_command *command);
int sim_one(const struct sim_command *command, struct scenario *scenario);
/* After a failure: the same once more for its log, made small, printed; unless it is wanted as it is. */
void sim_explain(const struct sim_command *command, const struct scenario *scenario,
                 const struct sim_summary *summary);
/* The options that a repetition of this run needs, after "sentinel sim". */
void sim_print_options(const struct sim_command *command, FILE *to);
/* False: not all of it is there. */
bool sim_write(const char *path, struct slice text);
void sim_draw(const struct sim_command *command, uint64_t seed, struct scenario *scenario);

#endif
