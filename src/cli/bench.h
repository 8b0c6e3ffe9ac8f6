// SPDX-License-Identifier: Apache-2.0
/* bench.h: what the benchmarks of `sentinel bench` share: their table, and the report of one run.
 *
 *   our own figures ──┐
 *                     ├──> report: one row a case, one column a system, the ratio between them ──> table,
 * JSON peer programs ────┘
 *
 * A peer program is build/peers/NAME_BENCHMARK (bench/peers/NAME_BENCHMARK.c, built when its library, or the
 * server it starts, is installed). It gets the same arguments as the benchmark and prints its figures as
 * lines of "case TAB value TAB unit"; lines that begin with '#' describe its settings and are shown. What
 * both ran in one call is comparable: same machine, same minute, same bytes.
 *
 * Owner   texts are copied. Units are part of a row; rows with one name must have one unit. Loop: one thread.
 * Bounds  BENCH_ROWS_MAX cases, BENCH_SYSTEMS_MAX systems. */
#ifndef SENTINEL_CLI_BENCH_H
#define SENTINEL_CLI_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#define BENCH_ROWS_MAX    64
#define BENCH_SYSTEMS_MAX 8
#define BENCH_NAME_SIZE   64

struct bench_report {
    const char *benchmark; /* "memtable" */
    uint32_t row_count, system_count;
    char systems[BENCH_SYSTEMS_MAX][BENCH_NAME_SIZE]; /* the first is "sentinel" */
    struct bench_row {
        char name[BENCH_NAME_SIZE], unit[16];
        bool less_is_better;
        double values[BENCH_SYSTEMS_MAX]; /* negative: not measured */
    } rows[BENCH_ROWS_MAX];
};

/* One row each: the name after `sentinel bench`, its main (argv from that name on), a summary. */
#define BENCH_LIST(X)                                                                                        \
    X("broker", bench_broker_main, "one broker: starting, publishing, consuming, over Kafka and gRPC")       \
    X("groups", bench_groups_main, "consumer groups and transactions: members, commits, latency")            \
    X("memtable", bench_memtable_main, "reads and inserts of the memtable, no log, one thread")              \
    X("raft", bench_raft_main, "consensus alone: commits through three members in memory")                   \
    X("storage", bench_storage_main, "the storage engine: appends, scans, reads, general keys, reopening")

#define BENCH_DECLARE_(name, function, summary) int function(int argc, char **argv);
BENCH_LIST(BENCH_DECLARE_)
#undef BENCH_DECLARE_

void bench_report_init(struct bench_report *report, const char *benchmark);
/* Our own figure. Units in which less is better: "s/GiB", "us", "ms", "x" (amplification), "MiB", "KiB". */
void bench_report_add(struct bench_report *report, const char *name, double value, const char *unit);
/* Runs every peer program of this benchmark that was built, one after the other, and adds its figures. One
 * that fails is named on standard error and left out. */
void bench_report_peers(struct bench_report *report, int argc, char **argv);
/* The table with a ratio for each peer (above 1: we are better), or one JSON object. */
void bench_report_print(const struct bench_report *report, bool json);

#endif
