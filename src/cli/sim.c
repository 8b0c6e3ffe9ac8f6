// SPDX-License-Identifier: Apache-2.0
/* `sentinel sim`: clusters on simulated machines, from seeds or from scenarios; says which invariant broke
 * and how to see it again. */
#include <getopt.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/units.h"
#include "cli/commands.h"
#include "cli/sim_command.h"

#define JOBS_MAX           64
#define SCENARIO_BYTES_MAX (4 * MIB)

static void print_help(void) {
    printf(
        "usage: sentinel sim [OPTIONS]\n\n"
        "Runs a cluster on simulated machines: disks that lose what was not synced, a network that cuts "
        "and delays,\n"
        "clocks that drift, crashes at any write; and checks every invariant after every event. One seed "
        "decides\n"
        "everything: the same seed gives the same run, in any build; the last line is its trace hash. Exits "
        "1 with\n"
        "the invariant that broke, the command that repeats the run, and the run made small as a "
        "scenario.\n\n"
        "options:\n"
        "  --seed N              one seed (default 1)\n"
        "  --seeds A..B          all of these; prints a summary, with rare states that were never reached\n"
        "  --scenario FILE       what happens in FILE (docs/simulator.md), or the log of a run\n"
        "  --nodes N             nodes of the cluster (default: drawn from the seed, 1 to 5)\n"
        "  --duration SECONDS    of the troubled time, before everything is mended (default: drawn)\n"
        "  --faults LIST         all, none, or some of the names below, with commas (default all)\n"
        "  --workload NAME       raft: a replicated log (default); kafka: brokers with clients; groups: and\n"
        "                        with consumer groups; transactions: and with copying in transactions;\n"
        "                        churn: and with topics that come and go; grpc: and with gRPC clients;\n"
        "                        broker: one broker\n"
        "  --jobs N              processes that work through the seeds (default 1)\n"
        "  --report FILE.html    a page that shows the run: messages, crashes, partitions, logs\n"
        "  --trace FILE          every event of the run, as lines\n"
        "  --log FILE            what was done to the cluster, as a scenario\n"
        "  --save FILE           a failing run made small, as a scenario; of a scenario, too\n"
        "  --as-it-is            a failing run is not made small\n"
        "  --keep-going          a failing seed does not end the sweep\n"
        "  --quiet               no progress, the summary short\n"
        "with --workload broker:\n"
        "  --appends N           acknowledged appends a run (default 200)\n"
        "  --crashes N           crashes at random moments a run (default 3)\n"
        "  --crash-at N          crash at the N-th disk operation\n"
        "  --crash-after         ... with the operation done but not heard of, instead of not done\n"
        "  --every-boundary      one run for each disk operation of the seed, before and after it\n\n"
        "faults:\n");
    for (uint32_t i = 0; i < PLAN_FAULT_COUNT; i++)
        printf("  %-12s %s\n", plan_fault_name((enum plan_fault)i), plan_fault_text((enum plan_fault)i));
    printf("\nexamples:\n"
           "  sentinel sim --seeds 1..1000 --jobs 2\n"
           "  sentinel sim --seed 7 --faults partition,crash --report run.html\n"
           "  sentinel sim --scenario tests/scenarios/figure-8.scn\n"
           "  sentinel sim --workload broker --seed 7 --appends 40 --crashes 0 --every-boundary\n");
}

enum {
    OPTION_SEED = 256,
    OPTION_SEEDS,
    OPTION_SCENARIO,
    OPTION_NODES,
    OPTION_DURATION,
    OPTION_FAULTS,
    OPTION_WORKLOAD,
    OPTION_JOBS,
    OPTION_REPORT,
    OPTION_TRACE,
    OPTION_LOG,
    OPTION_SAVE,
    OPTION_AS_IT_IS,
    OPTION_KEEP_GOING,
    OPTION_QUIET,
    OPTION_APPENDS,
    OPTION_CRASHES,
    OPTION_CRASH_AT,
    OPTION_CRASH_AFTER,
    OPTION_EVERY,
    OPTION_HELP
};

static int parse_number(const char *option, const char *text, uint64_t min, uint64_t max, uint64_t *number) {
    char *end;
    *number = strtoull(text, &end, 0);
    if (end == text || *end != '\0' || text[0] == '-' || *number < min || *number > max)
        return usage_error("sim", "%s wants a number from %" PRIu64 " to %" PRIu64 ", not '%s'", option, min,
                           max, text);
    return 0;
}

static int parse_seeds(struct sim_command *s, const char *text) {
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

static int parse_faults(struct sim_command *s, const char *text) {
    char unknown[32];
    s->faults_text = text;
    if (plan_faults_parse(text, &s->faults, unknown)) return 0;
    return usage_error("sim", "there is no fault '%s'; 'sentinel help sim' lists them", unknown);
}

static int take_path(struct sim_command *s, int option, const char *value) {
    switch (option) {
    case OPTION_SCENARIO:
        s->scenario_path = value;
        return 0;
    case OPTION_REPORT:
        s->report_path = value;
        return 0;
    case OPTION_TRACE:
        s->trace_path = value;
        return 0;
    case OPTION_LOG:
        s->log_path = value;
        return 0;
    default:
        s->save_path = value;
        return 0;
    }
}

static int take_number(struct sim_command *s, int option, const char *value) {
    uint64_t number = 0;
    int status;
    switch (option) {
    case OPTION_SEED:
        status = parse_number("--seed", value, 0, UINT64_MAX, &s->first_seed);
        s->last_seed = s->first_seed;
        return status;
    case OPTION_NODES:
        status = parse_number("--nodes", value, 1, 9, &number);
        s->nodes = (uint32_t)number;
        return status;
    case OPTION_DURATION:
        status = parse_number("--duration", value, 1, 100000, &number);
        s->duration_ns = number * NS_PER_S;
        return status;
    case OPTION_JOBS:
        status = parse_number("--jobs", value, 1, JOBS_MAX, &number);
        s->jobs = (uint32_t)number;
        return status;
    case OPTION_APPENDS:
        status = parse_number("--appends", value, 0, UINT32_MAX, &number);
        s->appends = (uint32_t)number;
        return status;
    case OPTION_CRASHES:
        status = parse_number("--crashes", value, 0, UINT32_MAX, &number);
        s->crashes = (uint32_t)number;
        return status;
    default:
        return parse_number("--crash-at", value, 0, UINT64_MAX, &s->crash_at);
    }
}

static int take_option(struct sim_command *s, int option, const char *value) {
    switch (option) {
    case OPTION_SEEDS:
        return parse_seeds(s, value);
    case OPTION_FAULTS:
        return parse_faults(s, value);
    case OPTION_WORKLOAD:
        s->workload = value;
        return 0;
    case OPTION_SCENARIO:
    case OPTION_REPORT:
    case OPTION_TRACE:
    case OPTION_LOG:
    case OPTION_SAVE:
        return take_path(s, option, value);
    case OPTION_AS_IT_IS:
        s->as_it_is = true;
        return 0;
    case OPTION_KEEP_GOING:
        s->keep_going = true;
        return 0;
    case OPTION_CRASH_AFTER:
        s->crash_after = true;
        return 0;
    case OPTION_EVERY:
        s->every_boundary = true;
        return 0;
    case OPTION_QUIET:
        s->quiet = true;
        return 0;
    case '?':
        fprintf(stderr, "'sentinel help sim' explains the options\n");
        return EXIT_USAGE;
    default:
        return take_number(s, option, value);
    }
}

static enum status read_scenario(const char *path, struct scenario *scenario, struct diagnostic *why) {
    FILE *file = fopen(path, "rb");
    if (file == NULL) return diagnose(why, STATUS_NOT_FOUND, "cannot read it");
    uint8_t *text = mem_alloc(SCENARIO_BYTES_MAX);
    size_t size = fread(text, 1, SCENARIO_BYTES_MAX, file);
    fclose(file);
    enum status status = scenario_parse(scenario, slice_make(text, size), why);
    mem_free(text);
    return status;
}

static int run_scenario(const struct sim_command *s) {
    struct scenario scenario;
    struct diagnostic why = {""};
    scenario_init(&scenario);
    enum status status = read_scenario(s->scenario_path, &scenario, &why);
    int code = status == STATUS_OK ? sim_one(s, &scenario)
                                   : usage_error("sim", "'%s': %s", s->scenario_path, why.text);
    scenario_release(&scenario);
    return code;
}

static int run(const struct sim_command *s) {
    if (strcmp(s->workload, "broker") == 0) return sim_broker(s);
    if (!world_has_workload(s->workload))
        return usage_error(
            "sim", "there is no workload '%s': raft, kafka, groups, transactions, churn, grpc, broker",
            s->workload);
    if (s->scenario_path != NULL) return run_scenario(s);
    if (s->first_seed != s->last_seed) {
        if (s->trace_path != NULL || s->report_path != NULL || s->log_path != NULL)
            return usage_error("sim", "--trace, --report and --log are for one seed");
        return sim_sweep(s);
    }
    struct scenario scenario;
    scenario_init(&scenario);
    sim_draw(s, s->first_seed, &scenario);
    int code = sim_one(s, &scenario);
    scenario_release(&scenario);
    return code;
}

int sim_main(int argc, char **argv) {
    static const struct option options[] = {
        {"seed", required_argument, NULL, OPTION_SEED},
        {"seeds", required_argument, NULL, OPTION_SEEDS},
        {"scenario", required_argument, NULL, OPTION_SCENARIO},
        {"nodes", required_argument, NULL, OPTION_NODES},
        {"duration", required_argument, NULL, OPTION_DURATION},
        {"faults", required_argument, NULL, OPTION_FAULTS},
        {"workload", required_argument, NULL, OPTION_WORKLOAD},
        {"jobs", required_argument, NULL, OPTION_JOBS},
        {"report", required_argument, NULL, OPTION_REPORT},
        {"trace", required_argument, NULL, OPTION_TRACE},
        {"log", required_argument, NULL, OPTION_LOG},
        {"save", required_argument, NULL, OPTION_SAVE},
        {"as-it-is", no_argument, NULL, OPTION_AS_IT_IS},
        {"keep-going", no_argument, NULL, OPTION_KEEP_GOING},
        {"quiet", no_argument, NULL, OPTION_QUIET},
        {"appends", required_argument, NULL, OPTION_APPENDS},
        {"crashes", required_argument, NULL, OPTION_CRASHES},
        {"crash-at", required_argument, NULL, OPTION_CRASH_AT},
        {"crash-after", no_argument, NULL, OPTION_CRASH_AFTER},
        {"every-boundary", no_argument, NULL, OPTION_EVERY},
        {"help", no_argument, NULL, OPTION_HELP},
        {NULL, 0, NULL, 0},
    };
    struct sim_command s = {.first_seed = 1,
                            .last_seed = 1,
                            .appends = 200,
                            .crashes = 3,
                            .jobs = 1,
                            .faults = PLAN_FAULTS_ALL,
                            .faults_text = "all",
                            .workload = "raft"};
    int option, status;
    optind = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == OPTION_HELP) return print_help(), 0;
        if ((status = take_option(&s, option, optarg)) != 0) return status;
    }
    if (optind < argc) return usage_error("sim", "'%s' is not an option", argv[optind]);
    return run(&s);
}
