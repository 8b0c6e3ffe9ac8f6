// SPDX-License-Identifier: Apache-2.0
#include "cli/bench.h"

#include <stdio.h>
#include <string.h>

#include "cli/commands.h"

/* The last row keeps the table from being empty. */
static const struct {
    const char *name;
    int (*run)(int argc, char **argv);
    const char *summary;
} benchmarks[] = {
#define BENCH_ROW_(name, function, summary) {name, function, summary},
    BENCH_LIST(BENCH_ROW_)
#undef BENCH_ROW_
        {NULL, NULL, NULL}};

static void print_help(void) {
    printf(
        "usage: sentinel bench BENCHMARK [OPTIONS]\n\n"
        "Measures one part of Sentinel, beside the peers that are installed, in one run.\n\nbenchmarks:\n");
    for (unsigned i = 0; benchmarks[i].name != NULL; i++)
        printf("  %-10s %s\n", benchmarks[i].name, benchmarks[i].summary);
    printf("  %-10s each of them, one after the other\n", "all");
    printf("\n'sentinel bench BENCHMARK --help' lists its options; all know --json and --no-peers.\n");
}

static int run_all(int argc, char **argv) {
    int worst = 0;
    for (unsigned i = 0; benchmarks[i].name != NULL; i++) {
        argv[0] = (char *)(uintptr_t)benchmarks[i].name;
        int status = benchmarks[i].run(argc, argv);
        worst = status > worst ? status : worst;
    }
    return worst;
}

int bench_main(int argc, char **argv) {
    if (argc < 2) return usage_error("bench", "wants the name of a benchmark");
    if (strcmp(argv[1], "--help") == 0) return print_help(), 0;
    if (strcmp(argv[1], "all") == 0) return run_all(argc - 1, argv + 1);
    for (unsigned i = 0; benchmarks[i].name != NULL; i++)
        if (strcmp(benchmarks[i].name, argv[1]) == 0) return benchmarks[i].run(argc - 1, argv + 1);
    return usage_error("bench", "there is no benchmark '%s'", argv[1]);
}
