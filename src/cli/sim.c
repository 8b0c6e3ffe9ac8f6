// SPDX-License-Identifier: Apache-2.0
/* `sentinel sim`: seeds and crash points through the simulator; says which invariant broke and how to see it
 * again. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "io/io.h"
#include "sim/single_node.h"

struct sim {
    uint64_t first_seed, last_seed;
    uint64_t crash_first, crash_last; /* disk operations to crash at; 0: none */
    bool sweep, crash_after, quiet;
    uint32_t appends, crashes;
    const char *trace_path;
    FILE *trace;
    uint64_t runs, events, simulated_ns, acknowledged, read, crash_count, hash;
    int64_t shown_ms;
};

static void print_help(void) {
    printf("usage: sentinel sim [OPTIONS]\n\n"
           "Runs the real broker on a simulated disk and clock, with clients, and crashes it. Checks that "
           "what was\n"
           "acknowledged is there, that an offset never changes its record, and more. The same seed gives "
           "the same\n"
           "run; the last line is its trace hash. Exits 1 with the command that repeats a failing run.\n\n"
           "options:\n"
           "  --seed N              one seed (default 1)\n"
           "  --seeds A..B          all of these\n"
           "  --appends N           acknowledged appends a run (default 200)\n"
           "  --crashes N           crashes at random moments a run (default 3)\n"
           "  --crash-at N          crash at the N-th disk operation\n"
           "  --crash-after         ... with the operation done but not heard of, instead of not done\n"
           "  --every-boundary      one run for each disk operation of the seed, before and after it\n"
           "  --trace FILE          every event of the run, readable (one seed)\n"
           "  --quiet               the summary only\n\n"
           "examples:\n"
           "  sentinel sim --seeds 1..1000\n"
           "  sentinel sim --seed 7 --appends 40 --crashes 0 --every-boundary\n");
}

enum {
    OPTION_SEED = 256,
    OPTION_SEEDS,
    OPTION_APPENDS,
    OPTION_CRASHES,
    OPTION_CRASH_AT,
    OPTION_CRASH_AFTER,
    OPTION_EVERY,
    OPTION_TRACE,
    OPTION_QUIET,
    OPTION_HELP
};

static int parse_u64(const char *option, const char *text, uint64_t *number) {
    char *end;
    *number = strtoull(text, &end, 0);
    if (end == text || *end != '\0' || text[0] == '-')
        return usage_error("sim", "%s wants a number, not '%s'", option, text);
    return 0;
}

static int parse_seeds(struct sim *s, const char *text) {
    char *end;
    s->first_seed = strtoull(text, &end, 0);
    if (end == text || strncmp(end, "..", 2) != 0)
        return usage_error("sim", "--seeds wants A..B, not '%s'", text);
    const char *second = end + 2;
    s->last_seed = strtoull(second, &end, 0);
    if (end == second || *end != '\0' || s->last_seed < s->first_seed)
        return usage_error("sim", "--seeds wants A..B with A up to B, not '%s'", text);
    return 0;
}

static int take_option(struct sim *s, int option, const char *value) {
    uint64_t number = 0;
    int status = 0;
    switch (option) {
    case OPTION_SEED:
        status = parse_u64("--seed", value, &s->first_seed);
        s->last_seed = s->first_seed;
        return status;
    case OPTION_SEEDS:
        return parse_seeds(s, value);
    case OPTION_APPENDS:
        status = parse_u64("--appends", value, &number);
        s->appends = (uint32_t)number;
        return status;
    case OPTION_CRASHES:
        status = parse_u64("--crashes", value, &number);
        s->crashes = (uint32_t)number;
        return status;
    case OPTION_CRASH_AT:
        status = parse_u64("--crash-at", value, &s->crash_first);
        s->crash_last = s->crash_first;
        return status;
    case OPTION_CRASH_AFTER:
        s->crash_after = true;
        return 0;
    case OPTION_EVERY:
        s->sweep = true;
        return 0;
    case OPTION_TRACE:
        s->trace_path = value;
        return 0;
    case OPTION_QUIET:
        s->quiet = true;
        return 0;
    default:
        fprintf(stderr, "'sentinel help sim' explains the options\n");
        return EXIT_USAGE;
    }
}

static void write_trace(void *ctx, const char *line) {
    fprintf(ctx, "%s\n", line);
}

static void show(struct sim *s, uint64_t seed) {
    if (s->quiet || !io_is_terminal(2) || io_system_wall_ms() - s->shown_ms < 100) return;
    s->shown_ms = io_system_wall_ms();
    fprintf(stderr, "\rseed %" PRIu64 " of %" PRIu64 "..%" PRIu64 "  runs %" PRIu64 "  crashes %" PRIu64 " ",
            seed, s->first_seed, s->last_seed, s->runs, s->crash_count);
}

/* 0: every invariant held. *operations: disk operations of the run. */
static int run_one(struct sim *s, uint64_t seed, uint64_t crash_at, bool crash_after, uint64_t *operations) {
    struct single_node_options options = {.seed = seed,
                                          .appends = s->appends,
                                          .crash_at = crash_at,
                                          .crash_after = crash_after,
                                          .random_crashes = s->crashes,
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
    printf("\nfailed: %s\nreplay: sentinel sim --seed %" PRIu64 " --appends %u --crashes %u", result.failure,
           seed, s->appends, s->crashes);
    if (crash_at != 0) printf(" --crash-at %" PRIu64 "%s", crash_at, crash_after ? " --crash-after" : "");
    printf("\ntrace hash: %016" PRIx64 "\n", result.trace_hash);
    return 1;
}

/* One run for each disk operation that a run without crashes makes, crashed before it and after it. */
static int run_boundaries(struct sim *s, uint64_t seed) {
    uint64_t operations, ignored;
    int status = run_one(s, seed, 0, false, &operations);
    for (uint64_t at = 1; status == 0 && at <= operations; at++) {
        status = run_one(s, seed, at, false, &ignored);
        if (status == 0) status = run_one(s, seed, at, true, &ignored);
    }
    return status;
}

static int run_all(struct sim *s) {
    int status = 0;
    for (uint64_t seed = s->first_seed; status == 0 && seed <= s->last_seed; seed++) {
        uint64_t ignored;
        status = s->sweep ? run_boundaries(s, seed)
                          : run_one(s, seed, s->crash_first, s->crash_after, &ignored);
        if (seed == UINT64_MAX) break;
    }
    return status;
}

int sim_main(int argc, char **argv) {
    static const struct option options[] = {
        {"seed", required_argument, NULL, OPTION_SEED},
        {"seeds", required_argument, NULL, OPTION_SEEDS},
        {"appends", required_argument, NULL, OPTION_APPENDS},
        {"crashes", required_argument, NULL, OPTION_CRASHES},
        {"crash-at", required_argument, NULL, OPTION_CRASH_AT},
        {"crash-after", no_argument, NULL, OPTION_CRASH_AFTER},
        {"every-boundary", no_argument, NULL, OPTION_EVERY},
        {"trace", required_argument, NULL, OPTION_TRACE},
        {"quiet", no_argument, NULL, OPTION_QUIET},
        {"help", no_argument, NULL, OPTION_HELP},
        {NULL, 0, NULL, 0},
    };
    struct sim s = {.first_seed = 1, .last_seed = 1, .appends = 200, .crashes = 3};
    int option, status;
    optind = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == OPTION_HELP) return print_help(), 0;
        if ((status = take_option(&s, option, optarg)) != 0) return status;
    }
    if (optind < argc) return usage_error("sim", "'%s' is not an option", argv[optind]);
    if (s.trace_path != NULL && (s.first_seed != s.last_seed || s.sweep))
        return usage_error("sim", "--trace is for one run of one seed");
    if (s.trace_path != NULL && (s.trace = fopen(s.trace_path, "w")) == NULL)
        return command_failed("sim", "cannot write '%s'", s.trace_path);
    int64_t started_ms = io_system_wall_ms();
    status = run_all(&s);
    if (s.trace != NULL) fclose(s.trace);
    if (status != 0) return status;
    double seconds = (double)(io_system_wall_ms() - started_ms + 1) / 1e3;
    if (!s.quiet && io_is_terminal(2)) fprintf(stderr, "\r%70s\r", "");
    printf("%" PRIu64 " runs, %" PRIu64 " crashes, %" PRIu64 " records acknowledged, %" PRIu64
           " read, %" PRIu64 " events; %.1f s simulated in %.1f s (%.0f events/s): every invariant held\n",
           s.runs, s.crash_count, s.acknowledged, s.read, s.events, (double)s.simulated_ns / 1e9, seconds,
           (double)s.events / seconds);
    printf("trace hash: %016" PRIx64 "\n", s.hash);
    return 0;
}
