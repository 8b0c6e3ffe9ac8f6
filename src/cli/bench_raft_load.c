// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_raft_load.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "io/io_measure.h"

static void print_help(void) {
    printf("usage: sentinel bench raft [OPTIONS]\n\n"
           "Commits through one group of three members in memory: proposals a second and CPU for each, by "
           "the number\n"
           "of proposals in one call; and what an idle group takes.\n\n"
           "  --commits N    proposals of each case (default: 2000000)\n"
           "  --value N      bytes of a proposal (default: 128)\n"
           "  --window N     proposals under way (default: 4096)\n"
           "  --no-peers     without the peers that are installed (Debian: libraft-dev)\n"
           "  --json         one JSON object\n");
}

static bool parse_number(const char *text, uint64_t *number) {
    char *end;
    *number = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0' && *number > 0;
}

int raft_load_parse(int argc, char **argv, struct raft_load_options *options) {
    static const struct option known[] = {{"commits", required_argument, NULL, 'n'},
                                          {"value", required_argument, NULL, 'v'},
                                          {"window", required_argument, NULL, 'w'},
                                          {"no-peers", no_argument, NULL, 'p'},
                                          {"json", no_argument, NULL, 'j'},
                                          {"help", no_argument, NULL, 'h'},
                                          {NULL, 0, NULL, 0}};
    *options = (struct raft_load_options){
        .commits = 2000000, .value_bytes = 128, .window = 4096, .peers = true};
    optind = 1;
    for (int c; (c = getopt_long(argc, argv, "", known, NULL)) != -1;) {
        bool good = true;
        if (c == 'n') good = parse_number(optarg, &options->commits);
        if (c == 'v') good = parse_number(optarg, &options->value_bytes);
        if (c == 'w') good = parse_number(optarg, &options->window);
        if (c == 'p') options->peers = false;
        if (c == 'j') options->json = true;
        if (c == 'h') {
            print_help();
            exit(0);
        }
        if (!good) fprintf(stderr, "sentinel: bench raft: '%s' is no number above 0\n", optarg);
        if (!good || c == '?') return 2;
    }
    return 0;
}

static void run_until(const struct raft_load_options *options, const struct raft_load_engine *engine,
                      uint64_t batch, uint64_t *proposed, uint64_t total) {
    while (engine->committed() < total) {
        while (*proposed < total && *proposed - engine->committed() + batch <= options->window) {
            uint64_t left = total - *proposed, count = left < batch ? left : batch;
            engine->propose(count, options->value_bytes);
            *proposed += count;
        }
        engine->turn();
    }
}

void raft_load_run(const struct raft_load_options *options, const struct raft_load_engine *engine,
                   void (*emit)(const char *name, double value, const char *unit)) {
    static const uint64_t batches[] = {1, 8, 64, 512};
    for (unsigned i = 0; i < sizeof batches / sizeof *batches; i++) {
        if (batches[i] > options->window) continue;
        uint64_t proposed = 0, warm = options->commits / 10 + 1;
        engine->open();
        run_until(options, engine, batches[i], &proposed, warm);
        double cpu = io_measure_cpu_seconds(), begin = io_measure_seconds();
        run_until(options, engine, batches[i], &proposed, warm + options->commits);
        double seconds = io_measure_seconds() - begin;
        cpu = io_measure_cpu_seconds() - cpu;
        engine->close();
        char name[64];
        snprintf(name, sizeof name, "commits, %" PRIu64 " a call", batches[i]);
        emit(name, (double)options->commits / seconds / 1000, "k/s");
        snprintf(name, sizeof name, "CPU a commit, %" PRIu64 " a call", batches[i]);
        emit(name, cpu / (double)options->commits * 1e6, "us");
    }
}

void raft_load_print(const char *name, double value, const char *unit) {
    printf("%s\t%f\t%s\n", name, value, unit);
}
