// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/prng.h"
#include "base/units.h"
#include "cli/bench_broker_io.h"
#include "cli/bench_broker_load.h"
#include "cli/bench_call.h"
#include "io/io_child.h"
#include "io/io_measure.h"

#define READY_SECONDS   60
#define STOP_SECONDS    20
#define LED_SECONDS     120
#define CONNECTIONS     6 /* and partitions: two leaders a node, of three */
#define WINDOW          16
#define BATCH_BYTES     (64 * KIB)
#define LATENCY_COUNT   4000
#define RATE            5000
#define MOVE_RATE       2000
#define MOVE_SLICE      MOVE_RATE /* records between two looks at the move: a second of them */
#define RATE_SECONDS    8
#define FAILOVERS       20
#define SMALL_BYTES     256
#define SMALL_WINDOW    64
#define SMALL_CALLS     200000
#define SMALL_STREAMED  2000000
#define FAILOVER_ACKS   50
#define CALL_MS         1000
#define SETTLE_SECONDS  3
#define IDLE_SECONDS    10
#define ASLEEP_SECONDS  60
#define PARTITIONS_MANY 1000
#define PARTITIONS_MOST 10000

static struct {
    const struct bench_cluster_options *options;
    struct bench_report *report;
    struct node {
        struct io_child child;
        bool runs;
        char address[BENCH_ADDRESS_SIZE], data[320], log[320], number[12];
    } nodes[BENCH_NODES_MAX];
    char peers[BENCH_NODES_MAX * 32];
    char leaders[CONNECTIONS][BENCH_ADDRESS_SIZE];
} c;

static void pause_seconds(double seconds) {
    double until = io_measure_seconds() + seconds;
    while (io_measure_seconds() < until)
        io_measure_pause();
}

static void add(const char *name, const char *what, double value, const char *unit) {
    char text[2 * BENCH_NAME_SIZE];
    snprintf(text, sizeof text, "%.60s%s%.60s", name, what[0] == '\0' ? "" : ": ", what);
    bench_report_add(c.report, text, value, unit);
}

/* ---- nodes -------------------------------------------------------------------------------------------- */

static void launch(struct node *node) {
    const char *const arguments[] = {c.options->program,
                                     "serve",
                                     "--node-id",
                                     node->number,
                                     "--peers",
                                     c.peers,
                                     "--data-dir",
                                     node->data,
                                     "--log-level",
                                     "warn",
                                     "--io",
                                     c.options->io_name,
                                     NULL};
    if (!io_child_start(&node->child, arguments, true, node->log))
        bench_fail(c.options->program, "it cannot be started");
    node->runs = true;
}

static void wait_ready(struct node *node) {
    char line[256];
    if (!io_child_line(&node->child, line, sizeof line, READY_SECONDS))
        bench_fail("a node did not start, see", node->log);
}

static void start_cluster(void) {
    size_t used = 0;
    for (uint32_t i = 0; i < c.options->nodes; i++) {
        struct node *node = &c.nodes[i];
        snprintf(node->number, sizeof node->number, "%u", i + 1);
        snprintf(node->address, sizeof node->address, "127.0.0.1:%u", io_child_free_port());
        snprintf(node->data, sizeof node->data, "%.250s/node%u", c.options->dir, i + 1);
        snprintf(node->log, sizeof node->log, "%.250s/log%u", c.options->dir, i + 1);
        io_measure_remove_dir(node->data);
        used += (size_t)snprintf(c.peers + used, sizeof c.peers - used, "%s%u=%.24s", i == 0 ? "" : ",",
                                 i + 1, node->address);
    }
    for (uint32_t i = 0; i < c.options->nodes; i++)
        launch(&c.nodes[i]);
    for (uint32_t i = 0; i < c.options->nodes; i++)
        wait_ready(&c.nodes[i]);
}

static void stop_cluster(void) {
    for (uint32_t i = 0; i < c.options->nodes; i++)
        if (!io_child_stop(&c.nodes[i].child, STOP_SECONDS))
            bench_fail("a node did not end well, see", c.nodes[i].log);
}

/* A node that lives, but not `other`. */
static const char *somebody(const struct node *other) {
    for (uint32_t i = 0; i < c.options->nodes; i++)
        if (c.nodes[i].runs && &c.nodes[i] != other) return c.nodes[i].address;
    bench_fail("nobody", "lives");
}

static double sum_of(const char *metric) {
    double sum = 0;
    for (uint32_t i = 0; i < c.options->nodes; i++)
        if (c.nodes[i].runs) sum += broker_load_metric(c.nodes[i].address, metric);
    return sum;
}

/* False: not within LED_SECONDS. */
static bool all_led(const char *topic, int32_t partitions, char (*leaders)[BENCH_ADDRESS_SIZE]) {
    double until = io_measure_seconds() + LED_SECONDS;
    while (!bench_call_leaders(somebody(NULL), topic, partitions, leaders)) {
        if (io_measure_seconds() > until) return false;
        pause_seconds(partitions > CONNECTIONS ? 0.5 : 0.01); /* a long answer costs those who are at work */
    }
    return true;
}

static void find_leaders(const char *topic, int32_t partitions, char (*leaders)[BENCH_ADDRESS_SIZE]) {
    if (!all_led(topic, partitions, leaders)) bench_fail(topic, "not all of its partitions get a leader");
}

static void make_topic(const char *topic, int32_t partitions) {
    double until = io_measure_seconds() + LED_SECONDS;
    while (!bench_call_create_topic(somebody(NULL), topic, partitions, (int16_t)c.options->nodes)) {
        if (io_measure_seconds() > until) bench_fail(topic, "it cannot be created");
        io_measure_pause();
    }
}

static struct broker_load load_of(const char *topic, uint64_t bytes) {
    uint32_t batch_records = (uint32_t)(BATCH_BYTES / KIB);
    make_topic(topic, CONNECTIONS);
    find_leaders(topic, CONNECTIONS, c.leaders);
    return (struct broker_load){.topic = topic,
                                .leaders = (const char(*)[BROKER_LOAD_ADDRESS_SIZE])c.leaders,
                                .connections = CONNECTIONS,
                                .window = WINDOW,
                                .value_bytes = KIB,
                                .batch_records = batch_records,
                                .records = bytes / BATCH_BYTES * batch_records};
}

/* ---- cases -------------------------------------------------------------------------------------------- */

static int compare_doubles(const void *x, const void *y) {
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static void add_latency(const char *name, const struct broker_load *load) {
    static const struct {
        uint32_t per_mille;
        const char *name;
    } quantiles[] = {{500, "p50"}, {990, "p99"}, {999, "p999"}};
    for (unsigned i = 0; i < ARRAY_COUNT(quantiles); i++)
        add(name, quantiles[i].name,
            (double)histogram_quantile(&load->latency_ns, quantiles[i].per_mille) / 1e3, "us");
}

static void case_publish(void) {
    struct broker_load load = load_of("kilo", c.options->mib * MIB / 8);
    broker_load_produce(&load); /* warms up */
    load.records *= 8;
    double cpu = -sum_of("cpu_seconds_total"), written = -sum_of("io_file_write_bytes_total");
    double seconds = -io_measure_seconds();
    broker_load_produce(&load);
    seconds += io_measure_seconds();
    cpu += sum_of("cpu_seconds_total");
    written += sum_of("io_file_write_bytes_total");
    add("publish 1 KiB", "", (double)load.records_done / 1e3 / seconds, "k/s");
    add("publish 1 KiB", "CPU, all nodes", cpu / ((double)load.value_bytes_done / (double)(1024 * MIB)),
        "s/GiB");
    add("publish 1 KiB", "written per byte and node",
        written / (double)load.value_bytes_done / c.options->nodes, "x");
}

static void case_latency(void) {
    struct broker_load load = load_of("latency", MIB);
    load.connections = load.window = load.batch_records = 1;
    load.records = LATENCY_COUNT / 8;
    broker_load_produce(&load);
    load.records = LATENCY_COUNT;
    broker_load_produce(&load);
    add_latency("publish 1 KiB, one at a time", &load);
}

static void case_rate(void) {
    struct broker_load load = load_of("rate", MIB);
    load.batch_records = 1;
    load.window = 64;
    load.rate = RATE;
    load.records = RATE;
    broker_load_produce(&load);
    load.records = RATE * RATE_SECONDS;
    broker_load_produce(&load);
    char name[BENCH_NAME_SIZE];
    snprintf(name, sizeof name, "publish 1 KiB, %d a second", RATE);
    add_latency(name, &load);
}

/* Many clients that each write a little and wait, and one that streams. */
static void case_small(void) {
    struct broker_load load = load_of("small", MIB);
    load.value_bytes = SMALL_BYTES;
    load.batch_records = 1;
    load.window = SMALL_WINDOW;
    load.records = SMALL_CALLS / 10;
    broker_load_unary(&load);
    load.records = SMALL_CALLS;
    double cpu = -sum_of("cpu_seconds_total"), seconds = -io_measure_seconds();
    broker_load_unary(&load);
    seconds += io_measure_seconds();
    cpu += sum_of("cpu_seconds_total");
    char name[BENCH_NAME_SIZE];
    snprintf(name, sizeof name, "%d B, gRPC unary, %d clients", SMALL_BYTES, CONNECTIONS * SMALL_WINDOW);
    add(name, "", (double)load.records_done / 1e3 / seconds, "k/s");
    add(name, "CPU, all nodes", cpu / (double)load.records_done * 1e6, "us");
    add_latency(name, &load);
    load.address = c.leaders[0];
    load.batch_records = 64;
    load.records = SMALL_STREAMED;
    cpu = -sum_of("cpu_seconds_total"), seconds = -io_measure_seconds();
    broker_load_stream(&load);
    seconds += io_measure_seconds();
    cpu += sum_of("cpu_seconds_total");
    snprintf(name, sizeof name, "%d B, gRPC, one stream", SMALL_BYTES);
    add(name, "", (double)load.records_done / 1e3 / seconds, "k/s");
    add(name, "CPU, all nodes", cpu / (double)load.records_done * 1e6, "us");
}

static struct node *node_at(const char *address) {
    for (uint32_t i = 0; i < c.options->nodes; i++)
        if (strcmp(c.nodes[i].address, address) == 0) return &c.nodes[i];
    bench_fail(address, "nobody has this address");
}

static struct buffer *one_record(void) {
    uint8_t value[KIB];
    struct prng prng;
    prng_init(&prng, 1);
    prng_bytes(&prng, value, sizeof value);
    struct record_batch_builder builder;
    record_batch_begin(&builder);
    record_batch_add(&builder, io_system_wall_ms(), SLICE_EMPTY, slice_make(value, sizeof value), NULL, 0);
    struct record_batch_producer nobody = {-1, -1, -1};
    struct buffer *batch = record_batch_finish(&builder, CODEC_NONE, &nobody);
    record_batch_builder_release(&builder);
    return batch;
}

static bool try_to_publish(const char *address, struct slice batch, uint32_t times) {
    struct bench_call call;
    bool good = bench_call_open(&call, address);
    for (uint32_t i = 0; good && i < times; i++)
        good = bench_call_produce(&call, "failover", 0, batch, CALL_MS);
    bench_call_close(&call);
    return good;
}

/* Asks who leads, as every client does when the one that it knows does not lead any more. */
static void publish_to_leader(const struct node *except, char leader[1][BENCH_ADDRESS_SIZE],
                              struct slice batch, uint32_t times) {
    double until = io_measure_seconds() + LED_SECONDS;
    while (!bench_call_leaders(somebody(except), "failover", 1, leader) ||
           !try_to_publish(leader[0], batch, times)) {
        if (io_measure_seconds() > until) bench_fail("failover", "nobody takes over");
    }
}

/* Seconds from the death of the leader until somebody acknowledges a record. */
static double fail_over(struct slice batch) {
    char leader[1][BENCH_ADDRESS_SIZE];
    publish_to_leader(NULL, leader, batch, FAILOVER_ACKS);
    struct node *victim = node_at(leader[0]);
    double began = io_measure_seconds();
    io_child_stop(&victim->child, 0);
    victim->runs = false;
    publish_to_leader(victim, leader, batch, 1);
    double seconds = io_measure_seconds() - began;
    launch(victim);
    wait_ready(victim);
    pause_seconds(SETTLE_SECONDS);
    return seconds;
}

static void case_failover(void) {
    double times[FAILOVERS];
    struct buffer *batch = one_record();
    make_topic("failover", 1);
    for (int i = 0; i < FAILOVERS; i++)
        times[i] = fail_over(slice_make(batch->data, batch->size));
    buffer_unref(batch);
    qsort(times, FAILOVERS, sizeof *times, compare_doubles);
    add("failover, SIGKILL of a leader", "p50", times[FAILOVERS / 2] * 1e3, "ms");
    add("failover, SIGKILL of a leader", "longest", times[FAILOVERS - 1] * 1e3, "ms");
}

/* What a node's log does in a while. */
struct log_watch {
    const char *address;
    double began, seconds, syncs, sync_seconds, log_bytes, cpu, cpu_all;
};

static void watch_log(struct log_watch *watch, const char *address, double sign) {
    watch->address = address;
    watch->seconds += sign * io_measure_seconds();
    watch->syncs += sign * broker_load_metric(address, "wal_syncs_total");
    watch->sync_seconds += sign * broker_load_metric(address, "wal_sync_seconds_sum");
    watch->log_bytes += sign * broker_load_metric(address, "wal_bytes_total");
    watch->cpu += sign * broker_load_metric(address, "cpu_seconds_total");
    watch->cpu_all += sign * sum_of("cpu_seconds_total");
}

static void add_watch(const char *name, const struct log_watch *watch, double bytes) {
    double gib = bytes / (double)GIB;
    add(name, "its log was being written", watch->sync_seconds / watch->seconds * 100, "%");
    add(name, "a group of its log", watch->log_bytes / watch->syncs / (double)KIB, "KiB");
    add(name, "its CPU", watch->cpu / gib, "s/GiB");
    add(name, "the others' CPU", (watch->cpu_all - watch->cpu) / gib, "s/GiB");
}

/* What the disk gives: files of the first node read in a row, and as much as a log writes at a time, synced,
 * again and again. Then no node finds its own in the page cache. */
static void chill(const char *name) {
    for (uint32_t i = 0; i < c.options->nodes; i++)
        io_measure_drop_page_cache(c.nodes[i].data);
    double rate = io_measure_read_files(c.nodes[0].data);
    io_measure_drop_page_cache(c.nodes[0].data);
    add(name, "node 1's files read in a row", rate / (double)MIB, "MiB/s");
    rate = io_measure_synced_writes(c.options->dir, c.options->mib * MIB / 4);
    add(name, "3.5 MiB at a time, synced", rate / (double)MIB, "MiB/s");
}

static void catch_up(uint32_t partitions, const char *name) {
    char topic[32];
    snprintf(topic, sizeof topic, "catchup%u", partitions);
    struct broker_load load = load_of(topic, c.options->mib * MIB);
    struct node *victim = &c.nodes[c.options->nodes - 1];
    if (!io_child_stop(&victim->child, STOP_SECONDS)) bench_fail("a node did not end well, see", victim->log);
    victim->runs = false;
    do {
        find_leaders(topic, CONNECTIONS, c.leaders);
        for (int i = 0; i < CONNECTIONS; i++)
            if (strcmp(c.leaders[i], victim->address) == 0) c.leaders[0][0] = '\0';
    } while (c.leaders[0][0] == '\0');
    load.connections = partitions;
    broker_load_produce(&load);
    chill(name);
    launch(victim);
    wait_ready(victim);
    struct log_watch watch = {0};
    watch_log(&watch, victim->address, -1);
    double began = io_measure_seconds(), bytes = (double)load.value_bytes_done;
    while (broker_load_metric(victim->address, "store_write_bytes_total") < bytes) {
        if (io_measure_seconds() - began > LED_SECONDS) bench_fail(topic, "it does not catch up");
        io_measure_pause();
    }
    watch_log(&watch, victim->address, 1);
    add(name, "", bytes / (double)MIB / watch.seconds, "MiB/s");
    add_watch(name, &watch, bytes);
}

static void case_catchup(void) {
    catch_up(CONNECTIONS, "a lagging node catches up");
    catch_up(1, "with one partition");
}

/* ---- moving ------------------------------------------------------------------------------------------- */

/* This program as a command of the operator; it ends by itself. */
static void command(const char *const *words, uint32_t count) {
    const char *arguments[CONNECTIONS * 2 + 8];
    uint32_t used = 0;
    arguments[used++] = c.options->program;
    for (uint32_t i = 0; i < count; i++)
        arguments[used++] = words[i];
    arguments[used++] = "--server";
    arguments[used++] = c.nodes[0].address;
    arguments[used] = NULL;
    struct io_child child;
    if (!io_child_start(&child, arguments, false, c.nodes[0].log) || !io_child_wait(&child, LED_SECONDS))
        bench_fail(words[1], "the command failed, see the log of node 1");
}

/* `topic create moved` or `topic alter moved --no-wait`, all partitions on the nodes from 1 to `last`. */
static void place(const char *verb, uint32_t last) {
    const char *words[CONNECTIONS * 2 + 4] = {"topic", verb, "moved"};
    char placements[CONNECTIONS][BENCH_NODES_MAX * 4 + 16];
    uint32_t used = 3;
    for (uint32_t p = 0; p < CONNECTIONS; p++) {
        int at = snprintf(placements[p], sizeof placements[p], "%u=", p);
        for (uint32_t node = 0; node < last; node++)
            at += snprintf(placements[p] + at, sizeof placements[p] - (size_t)at, "%s%u",
                           node == 0 ? "" : ",", (node + p) % last + 1);
        words[used++] = "--placement";
        words[used++] = placements[p];
    }
    if (strcmp(verb, "alter") == 0) words[used++] = "--no-wait";
    command(words, used);
}

static void add_ratios(const char *name, const struct histogram *before, const struct histogram *during) {
    double p50 = (double)histogram_quantile(during, 500) / (double)histogram_quantile(before, 500);
    double p99 = (double)histogram_quantile(during, 990) / (double)histogram_quantile(before, 990);
    add(name, "p50 against before", p50, "x");
    add(name, "p99 against before", p99, "x");
}

/* Clients go on until the node has what was moved besides what they gave it. */
static double publish_until_moved(struct broker_load *load, const char *target, double bytes,
                                  struct histogram *latency) {
    double began = io_measure_seconds(), start = broker_load_metric(target, "store_write_bytes_total"),
           live = 0, seconds = 0;
    histogram_init(latency);
    do {
        if (io_measure_seconds() - began > LED_SECONDS) bench_fail("moved", "it does not arrive");
        broker_load_produce(load);
        histogram_merge(latency, &load->latency_ns);
        live += (double)load->value_bytes_done;
        seconds = io_measure_seconds() - began;
    } while (broker_load_metric(target, "store_write_bytes_total") - start - live < bytes);
    return seconds;
}

static void case_move(void) {
    static const char name[] = "publish 1 KiB beside a move";
    struct broker_load load = load_of("rate", MIB), filling;
    static struct histogram during;
    uint32_t last = c.options->nodes;
    place("create", last - 1);
    filling = load_of("moved", c.options->mib * MIB);
    broker_load_produce(&filling);
    find_leaders("rate", CONNECTIONS, c.leaders);
    chill(name);
    load.batch_records = 1;
    load.window = 64;
    load.rate = MOVE_RATE;
    load.records = MOVE_SLICE;
    broker_load_produce(&load);
    load.records = 5 * MOVE_SLICE;
    broker_load_produce(&load);
    add_latency("publish 1 KiB before a move", &load);
    struct histogram before = load.latency_ns;
    load.records = MOVE_SLICE;
    place("alter", last);
    double bytes = (double)filling.value_bytes_done;
    double seconds = publish_until_moved(&load, c.nodes[last - 1].address, bytes, &during);
    load.latency_ns = during;
    add_latency(name, &load);
    add_ratios(name, &before, &during);
    add(name, "moved", bytes / (double)MIB / seconds, "MiB/s");
}

/* False: not within ASLEEP_SECONDS. */
static bool all_asleep(void) {
    double until = io_measure_seconds() + ASLEEP_SECONDS;
    while (sum_of("raft_groups_awake") > 0) {
        if (io_measure_seconds() > until) return false;
        pause_seconds(0.25); /* they look at every group to tell */
    }
    return true;
}

static void measure_idle(int32_t partitions, double *resident_before) {
    char topic[32], what[BENCH_NAME_SIZE];
    snprintf(topic, sizeof topic, "idle%d", partitions);
    snprintf(what, sizeof what, "%d partitions, idle", partitions);
    double cpu = -sum_of("cpu_seconds_total"), seconds = -io_measure_seconds();
    make_topic(topic, partitions);
    char(*leaders)[BENCH_ADDRESS_SIZE] = mem_alloc((size_t)partitions * sizeof *leaders);
    bool led = all_led(topic, partitions, leaders);
    mem_free(leaders);
    if (!led) {
        fprintf(stderr, "sentinel: %s: not all of them had a leader within %d s\n", what, LED_SECONDS);
        return;
    }
    add(what, "made and led after", seconds + io_measure_seconds(), "s");
    bool asleep = all_asleep();
    if (!asleep)
        fprintf(stderr, "sentinel: %s: not all of them slept within %d s\n", what, ASLEEP_SECONDS);
    else
        add(what, "asleep after", seconds + io_measure_seconds(), "s");
    add(what, "CPU until then, a node", (cpu + sum_of("cpu_seconds_total")) / c.options->nodes, "s");
    cpu = -sum_of("cpu_seconds_total");
    seconds = -io_measure_seconds();
    pause_seconds(IDLE_SECONDS);
    seconds += io_measure_seconds();
    cpu += sum_of("cpu_seconds_total");
    double resident = sum_of("resident_bytes") / c.options->nodes;
    add(what, "resident, a node", resident / (double)MIB, "MiB");
    add(what, asleep ? "CPU, a node" : "CPU, a node, not all asleep", cpu / seconds / c.options->nodes * 1e3,
        "ms/s");
    if (partitions > 1)
        add(what, "memory a replica", (resident - *resident_before) / partitions / (double)KIB, "KiB");
    *resident_before = resident;
}

static void case_idle(void) {
    double resident = 0;
    measure_idle(1, &resident);
    measure_idle(PARTITIONS_MANY, &resident);
    measure_idle(PARTITIONS_MOST, &resident);
}

void bench_cluster_run(const struct bench_cluster_options *options, struct bench_report *report) {
    static const struct {
        const char *name;
        void (*run)(void);
    } cases[] = {{"publish", case_publish}, {"latency", case_latency},   {"rate", case_rate},
                 {"small", case_small},     {"failover", case_failover}, {"catchup", case_catchup},
                 {"move", case_move},       {"idle", case_idle}};
    c.options = options;
    c.report = report;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        if (options->cases != NULL && strstr(options->cases, cases[i].name) == NULL) continue;
        fprintf(stderr, "sentinel: %u nodes, %s\n", options->nodes, cases[i].name);
        start_cluster(); /* each case on its own */
        cases[i].run();
        stop_cluster();
    }
}
