// SPDX-License-Identifier: Apache-2.0
/* `sentinel sim --workload broker`: one broker, crashed at random moments and at every disk operation. */
#include <inttypes.h>
#include <stdio.h>

#include "cli/commands.h"
#include "cli/sim_command.h"
#include "io/io.h"
#include "sim/single_node.h"

struct runs {
    const struct sim_command *command;
    FILE *trace;
    uint64_t runs, events, simulated_ns, acknowledged, read, crash_count, hash;
    int64_t shown_ms;
};

static void write_trace(void *ctx, const char *line) {
    fprintf(ctx, "%s\n", line);
}

static void show(struct runs *s, uint64_t seed) {
    if (s->command->quiet || !io_is_terminal(2) || io_system_wall_ms() - s->shown_ms < 100) return;
    s->shown_ms = io_system_wall_ms();
    fprintf(stderr, "\rseed %" PRIu64 " of %" PRIu64 "..%" PRIu64 "  runs %" PRIu64 "  crashes %" PRIu64 " ",
            seed, s->command->first_seed, s->command->last_seed, s->runs, s->crash_count);
}

/* 0: every invariant held. *operations: disk operations of the run. */
static int run_one(struct runs *s, uint64_t seed, uint64_t crash_at, bool crash_after, uint64_t *operations) {
    struct single_node_options options = {.seed = seed,
                                          .appends = s->command->appends,
                                          .crash_at = crash_at,
                                          .crash_after = crash_after,
                                          .random_crashes = s->command->crashes,
                                          .trace = s->trace == NULL ? NULL : write_trace,
                                          .ctx = s->trace};
    struct single_node_result result;
    single_node_run(&options, &result);
    s->runs++;
    s->events += result.events;
    s->simulated_ns += result.simulated_ns;
    s->acknowledged += result.acknowledged;
    s->read += result.records_read;
    s->crash_count += result.crashes;
    s->hash = s->hash * 0x9e3779b97f4a7c15U ^ result.trace_hash;
    *operations = result.disk_operations;
    show(s, seed);
    if (result.ok) return 0;
    printf("\nfailed: %s\nreplay: sentinel sim --workload broker --seed %" PRIu64
           " --appends %u --crashes %u",
           result.failure, seed, s->command->appends, s->command->crashes);
    if (crash_at != 0) printf(" --crash-at %" PRIu64 "%s", crash_at, crash_after ? " --crash-after" : "");
    printf("\ntrace hash: %016" PRIx64 "\n", result.trace_hash);
    return 1;
}

/* One run for each disk operation that a run without crashes makes, crashed before it and after it. */
static int run_boundaries(struct runs *s, uint64_t seed) {
    uint64_t operations, ignored;
    int status = run_one(s, seed, 0, false, &operations);
    for (uint64_t at = 1; status == 0 && at <= operations; at++) {
        status = run_one(s, seed, at, false, &ignored);
        if (status == 0) status = run_one(s, seed, at, true, &ignored);
    }
    return status;
}

static int run_all(struct runs *s) {
    int status = 0;
    for (uint64_t seed = s->command->first_seed; status == 0 && seed <= s->command->last_seed; seed++) {
        uint64_t ignored;
        status = s->command->every_boundary
                     ? run_boundaries(s, seed)
                     : run_one(s, seed, s->command->crash_at, s->command->crash_after, &ignored);
        if (seed == UINT64_MAX) break;
    }
    return status;
}

int sim_broker(const struct sim_command *command) {
    struct runs s = {.command = command};
    if (command->trace_path != NULL && (command->first_seed != command->last_seed || command->every_boundary))
        return usage_error("sim", "--trace is for one run of one seed");
    if (command->trace_path != NULL && (s.trace = fopen(command->trace_path, "w")) == NULL)
        return command_failed("sim", "cannot write '%s'", command->trace_path);
    int64_t started_ms = io_system_wall_ms();
    int status = run_all(&s);
    if (s.trace != NULL) fclose(s.trace);
    if (status != 0) return status;
    double seconds = (double)(io_system_wall_ms() - started_ms + 1) / 1e3;
    if (!command->quiet && io_is_terminal(2)) fprintf(stderr, "\r%70s\r", "");
    printf("%" PRIu64 " runs, %" PRIu64 " crashes, %" PRIu64 " records acknowledged, %" PRIu64
           " read, %" PRIu64 " events; %.1f s simulated in %.1f s (%.0f events/s): every invariant held\n",
           s.runs, s.crash_count, s.acknowledged, s.read, s.events, (double)s.simulated_ns / 1e9, seconds,
           (double)s.events / seconds);
    printf("trace hash: %016" PRIx64 "\n", s.hash);
    return 0;
}
