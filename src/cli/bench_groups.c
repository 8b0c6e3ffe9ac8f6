// SPDX-License-Identifier: Apache-2.0
/* `sentinel bench groups`: one broker, this very program, in a process of its own, and what groups and
 * transactions ask of it, over real sockets (bench_groups_load.h). Everything is fsynced before it is
 * answered. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "cli/bench.h"
#include "cli/bench_broker_io.h"
#include "cli/bench_broker_load.h"
#include "cli/bench_groups_load.h"
#include "cli/client_options.h"
#include "cli/commands.h"
#include "io/io_child.h"
#include "io/io_measure.h"

#define READY_SECONDS 60
#define STOP_SECONDS  20
#define CLIENTS       64
#define WINDOW        16

static struct {
    struct bench_report report;
    struct io_child child;
    char program[4096], dir[256], data[300], log[300], address[64];
    const char *cases;
    double seconds;
    int64_t members;
} b;

static void start_broker(void) {
    const char *const arguments[] = {b.program,     "serve",       "--data-dir", b.data, "--listen",
                                     "127.0.0.1:0", "--log-level", "warn",       NULL};
    char line[256];
    if (!io_child_start(&b.child, arguments, true, b.log)) bench_fail(b.program, "it cannot be started");
    if (!io_child_line(&b.child, line, sizeof line, READY_SECONDS) ||
        sscanf(line, "ready: node %*d listening on %63s", b.address) != 1)
        bench_fail("the broker did not start, see", b.log);
}

static void add(const char *name, double value, const char *unit) {
    bench_report_add(&b.report, name, value, unit);
}

static void add_quantiles(const char *name, const struct histogram *latency_ns) {
    char text[BENCH_NAME_SIZE];
    snprintf(text, sizeof text, "%s: p50", name);
    add(text, (double)histogram_quantile(latency_ns, 500) / 1e3, "us");
    snprintf(text, sizeof text, "%s: p99", name);
    add(text, (double)histogram_quantile(latency_ns, 990) / 1e3, "us");
}

/* ---- the cases ----------------------------------------------------------------------------------------- */

static void case_members(void) {
    char text[BENCH_NAME_SIZE];
    for (int64_t count = 1; count <= b.members; count = count == 1 ? 100 : 10 * count) {
        double cpu = -broker_load_metric(b.address, "cpu_seconds_total");
        double seconds = groups_load_classic(b.address, (uint32_t)count);
        cpu += broker_load_metric(b.address, "cpu_seconds_total");
        snprintf(text, sizeof text, "%lld members, classic, after the delay", (long long)count);
        add(text, seconds * 1e3, "ms");
        snprintf(text, sizeof text, "%lld members, classic: CPU", (long long)count);
        add(text, cpu * 1e3, "ms");
    }
}

static void case_consumers(void) {
    char text[BENCH_NAME_SIZE], topic[32];
    for (int64_t count = 1; count <= b.members; count = count == 1 ? 100 : 10 * count) {
        snprintf(topic, sizeof topic, "members-%lld", (long long)count);
        broker_load_create_topic(b.address, topic, (int32_t)count);
        double cpu = -broker_load_metric(b.address, "cpu_seconds_total");
        double seconds = groups_load_consumer(b.address, topic, (uint32_t)count);
        cpu += broker_load_metric(b.address, "cpu_seconds_total");
        snprintf(text, sizeof text, "%lld members, new protocol", (long long)count);
        add(text, seconds * 1e3, "ms");
        snprintf(text, sizeof text, "%lld members, new protocol: CPU", (long long)count);
        add(text, cpu * 1e3, "ms");
    }
}

static void case_commits(void) {
    broker_load_create_topic(b.address, "committed", 1);
    double cpu = -broker_load_metric(b.address, "cpu_seconds_total");
    double rate = groups_load_commits(b.address, "committed", CLIENTS, WINDOW, b.seconds);
    cpu += broker_load_metric(b.address, "cpu_seconds_total");
    add("offset commits, 64 clients, 16 under way each", rate / 1e3, "k/s");
    add("offset commits: CPU", cpu / (rate * b.seconds) * 1e6, "us");
    add("offset commits, one client, one at a time",
        groups_load_commits(b.address, "committed", 1, 1, b.seconds) / 1e3, "k/s");
}

static void case_transactions(void) {
    broker_load_create_topic(b.address, "plain", 1);
    broker_load_create_topic(b.address, "transactional", 1);
    add("produce 16 x 64 KiB, then wait", groups_load_produce(b.address, "plain", false, b.seconds) / 1e3,
        "k/s");
    add("the same, each 16 a transaction",
        groups_load_produce(b.address, "transactional", true, b.seconds) / 1e3, "k/s");
    struct histogram latency_ns;
    groups_load_small_transactions(b.address, "transactional", b.seconds, &latency_ns);
    add_quantiles("a transaction of one record", &latency_ns);
}

static void case_latency(void) {
    struct histogram latency_ns;
    broker_load_create_topic(b.address, "steady", 1);
    groups_load_latency(b.address, "steady", b.seconds, &latency_ns);
    add_quantiles("end to end, 10,000 records/s", &latency_ns);
}

static const struct {
    const char *name;
    void (*run)(void);
} cases[] = {{"members", case_members},
             {"consumers", case_consumers},
             {"commits", case_commits},
             {"transactions", case_transactions},
             {"latency", case_latency}};

/* ---- options ------------------------------------------------------------------------------------------- */

static void print_help(void) {
    printf(
        "usage: sentinel bench groups [OPTIONS]\n\n"
        "Starts this program as a broker and measures consumer groups and transactions from outside, over "
        "Kafka's\n"
        "protocol: members until each has its assignment (the classic protocol without its initial delay),\n"
        "offset commits, transactions beside plain batches, and the way of a record through a group.\n\n"
        "  --seconds N    of each steady case (3)\n"
        "  --members N    the largest group: 1, 100, 1000 up to this (1000)\n"
        "  --cases LIST   some of members,consumers,commits,transactions,latency\n"
        "  --dir DIR      where the data directory is made (.)\n"
        "  --no-peers     nothing: there is no peer for it\n"
        "  --json         one JSON object\n");
}

static int parse(int argc, char **argv, const char **parent, bool *json) {
    enum { SECONDS = 256, MEMBERS, CASES, DIR_OPTION, NO_PEERS, JSON, HELP };
    static const struct option known[] = {{"seconds", required_argument, NULL, SECONDS},
                                          {"members", required_argument, NULL, MEMBERS},
                                          {"cases", required_argument, NULL, CASES},
                                          {"dir", required_argument, NULL, DIR_OPTION},
                                          {"no-peers", no_argument, NULL, NO_PEERS},
                                          {"json", no_argument, NULL, JSON},
                                          {"help", no_argument, NULL, HELP},
                                          {NULL, 0, NULL, 0}};
    int option, status = 0;
    int64_t seconds = 3;
    optind = 0;
    while (status == 0 && (option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (option == SECONDS) {
            status = parse_integer("bench", "--seconds", optarg, 1, 3600, &seconds);
        } else if (option == MEMBERS) {
            status = parse_integer("bench", "--members", optarg, 1, 10000, &b.members);
        } else if (option == CASES) {
            b.cases = optarg;
        } else if (option == DIR_OPTION) {
            *parent = optarg;
        } else if (option == JSON) {
            *json = true;
        } else if (option == HELP) {
            print_help();
            exit(0);
        } else if (option != NO_PEERS) {
            return EXIT_USAGE;
        }
    }
    b.seconds = (double)seconds;
    if (status != 0 || optind == argc) return status;
    return usage_error("bench", "'%s' is no option of bench groups", argv[optind]);
}

int bench_groups_main(int argc, char **argv) {
    const char *parent = ".";
    bool json = false;
    b.members = 1000;
    int status = parse(argc, argv, &parent, &json);
    if (status != 0) return status;
    snprintf(b.dir, sizeof b.dir, "%.200s/sentinel-bench-XXXXXX", parent);
    if (!io_measure_make_scratch(b.dir)) bench_fail(b.dir, "it cannot be made");
    snprintf(b.data, sizeof b.data, "%s/data", b.dir);
    snprintf(b.log, sizeof b.log, "%s/log", b.dir);
    if (!io_child_self(b.program, sizeof b.program)) bench_fail("/proc/self/exe", "it cannot be read");
    bench_report_init(&b.report, "groups");
    start_broker();
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        if (b.cases != NULL && strstr(b.cases, cases[i].name) == NULL) continue;
        fprintf(stderr, "sentinel: %s\n", cases[i].name);
        cases[i].run();
    }
    if (!io_child_stop(&b.child, STOP_SECONDS)) bench_fail("the broker did not end well, see", b.log);
    io_measure_remove_dir(b.dir);
    bench_report_print(&b.report, json);
    return 0;
}
