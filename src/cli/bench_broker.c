// SPDX-License-Identifier: Apache-2.0
/* `sentinel bench broker`: one broker, this very program, in a process of its own; load over real sockets
 * (bench_broker_load.h); what it used is read from /proc and its /metrics, before and after each case.
 *
 * Broker and clients share the machine: on two cores the clients' work bounds some rates, the broker's CPU
 * seconds do not depend on it. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/units.h"
#include "cli/bench.h"
#include "cli/bench_broker_io.h"
#include "cli/bench_broker_load.h"
#include "cli/bench_cluster.h"
#include "cli/client_options.h"
#include "cli/commands.h"
#include "io/io_child.h"
#include "io/io_measure.h"

#define STARTS           11
#define READY_SECONDS    60
#define STOP_SECONDS     20
#define CONNECTIONS      4
#define WINDOW           16
#define BATCH_BYTES      (64 * KIB)
#define MEMORY_MIB       24 /* what is read "from memory": less than a memtable and the page cache hold */
#define MEMORY_ROUNDS    32
#define LATENCY_COUNT    4000
#define UNARY_COUNT      200000
#define UNARY_WINDOW     256
#define KILO             1024
#define STORED_MIB_MIN   64
#define RESTARTS         7
#define FILL_CONNECTIONS 64 /* and partitions */
#define FILL_WINDOW      2
#define RESTART_MIB      24 /* published before each: more than one memtable holds */

static struct {
    struct bench_report report;
    struct io_child child;
    char program[4096], dir[256], data[300], log[300], address[64];
    const char *io_name, *cases;
    int64_t mib;
} b;

/* ---- the broker --------------------------------------------------------------------------------------- */

/* Milliseconds until it says that it is ready. */
static double start_broker(void) {
    const char *const arguments[] = {b.program,  "serve",       "--data-dir",  b.data,
                                     "--listen", "127.0.0.1:0", "--log-level", "warn",
                                     "--io",     b.io_name,     NULL};
    char line[256];
    double began = io_measure_seconds();
    if (!io_child_start(&b.child, arguments, true, b.log)) bench_fail(b.program, "it cannot be started");
    if (!io_child_line(&b.child, line, sizeof line, READY_SECONDS) ||
        sscanf(line, "ready: node %*d listening on %63s", b.address) != 1)
        bench_fail("the broker did not start, see", b.log);
    return (io_measure_seconds() - began) * 1e3;
}

static void stop_broker(void) {
    if (!io_child_stop(&b.child, STOP_SECONDS)) bench_fail("the broker did not end well, see", b.log);
}

static struct io_child_usage usage(void) {
    struct io_child_usage used;
    if (!io_child_usage(&b.child, &used)) bench_fail("the broker is gone, see", b.log);
    return used;
}

static void add(const char *name, const char *what, double value, const char *unit) {
    char text[2 * BENCH_NAME_SIZE];
    snprintf(text, sizeof text, "%.60s%s%.60s", name, what[0] == '\0' ? "" : ": ", what);
    bench_report_add(&b.report, text, value, unit);
}

/* ---- one case ------------------------------------------------------------------------------------------ */

struct measured {
    double seconds, cpu_seconds, written, syncs;
};

static struct measured measure(void (*run)(struct broker_load *load), struct broker_load *load) {
    struct measured m;
    load->address = b.address;
    m.written = -broker_load_metric(b.address, "io_file_write_bytes_total");
    m.syncs = -broker_load_metric(b.address, "wal_syncs_total");
    m.cpu_seconds = -broker_load_metric(b.address, "cpu_seconds_total");
    m.seconds = -io_measure_seconds();
    run(load);
    m.seconds += io_measure_seconds();
    m.cpu_seconds += broker_load_metric(b.address, "cpu_seconds_total");
    m.syncs += broker_load_metric(b.address, "wal_syncs_total");
    m.written += broker_load_metric(b.address, "io_file_write_bytes_total");
    return m;
}

static double gib(const struct broker_load *load) {
    return (double)load->value_bytes_done / (double)(1024 * MIB);
}

static void add_rate(const char *name, const struct measured *m, const struct broker_load *load) {
    add(name, "", (double)load->records_done / 1e3 / m->seconds, "k/s");
    add(name, "CPU", m->cpu_seconds / gib(load), "s/GiB");
}

static struct broker_load load_of(const char *topic, uint32_t value_bytes, uint64_t bytes) {
    uint32_t batch_records = (uint32_t)(BATCH_BYTES / value_bytes);
    return (struct broker_load){.topic = topic,
                                .connections = CONNECTIONS,
                                .window = WINDOW,
                                .value_bytes = value_bytes,
                                .batch_records = batch_records,
                                .records = bytes / value_bytes / batch_records * batch_records};
}

static void publish(const char *name, const char *topic, uint32_t value_bytes, uint64_t bytes) {
    struct broker_load load = load_of(topic, value_bytes, bytes);
    broker_load_create_topic(b.address, topic, CONNECTIONS);
    struct measured m = measure(broker_load_produce, &load);
    add_rate(name, &m, &load);
    add(name, "written per byte", m.written / (double)load.value_bytes_done, "x");
    add(name, "fsyncs", m.syncs / m.seconds, "/s");
}

static bool wants(const char *name, bool by_default) {
    return b.cases == NULL ? by_default : strstr(b.cases, name) != NULL;
}

/* ---- the cases ----------------------------------------------------------------------------------------- */

static int compare_doubles(const void *x, const void *y) {
    double a = *(const double *)x, c = *(const double *)y;
    return (a > c) - (a < c);
}

static void case_start(void) {
    double times[STARTS];
    uint64_t resident = 0;
    for (int i = 0; i < STARTS; i++) {
        io_measure_remove_dir(b.data);
        times[i] = start_broker();
        if (i + 1 == STARTS) {
            for (int pause = 0; pause < 50; pause++)
                io_measure_pause();
            resident = usage().resident_bytes;
        }
        stop_broker();
    }
    qsort(times, STARTS, sizeof *times, compare_doubles);
    add("ready, empty directory", "", times[STARTS / 2], "ms");
    add("resident, idle", "", (double)resident / (double)MIB, "MiB");
}

static void case_publish(void) {
    publish("publish 1 KiB", "kilo", KILO, (uint64_t)b.mib * MIB);
    publish("publish 100 B", "small", 100, (uint64_t)b.mib * MIB / 4);
}

static void case_latency(void) {
    struct broker_load load = {.topic = "latency",
                               .connections = 1,
                               .window = 1,
                               .value_bytes = KILO,
                               .batch_records = 1,
                               .records = LATENCY_COUNT / 8};
    broker_load_create_topic(b.address, load.topic, 1);
    measure(broker_load_produce, &load); /* warms up */
    load.records = LATENCY_COUNT;
    struct measured m = measure(broker_load_produce, &load);
    static const struct {
        uint32_t per_mille;
        const char *name;
    } quantiles[] = {{500, "p50"}, {990, "p99"}, {999, "p999"}};
    for (unsigned i = 0; i < ARRAY_COUNT(quantiles); i++)
        add("publish 1 KiB, one at a time", quantiles[i].name,
            (double)histogram_quantile(&load.latency_ns, quantiles[i].per_mille) / 1e3, "us");
    add("publish 1 KiB, one at a time", "CPU", m.cpu_seconds / (double)load.records_done * 1e6, "us");
}

static void case_grpc(void) {
    struct broker_load load = load_of("streamed", KILO, (uint64_t)b.mib * MIB / 2);
    broker_load_create_topic(b.address, load.topic, CONNECTIONS);
    struct measured m = measure(broker_load_stream, &load);
    add_rate("publish 1 KiB, gRPC stream", &m, &load);
    m = measure(broker_load_consume, &load);
    add_rate("consume 1 KiB, gRPC stream", &m, &load);
}

static void case_unary(void) {
    struct broker_load load = {.topic = "unary",
                               .connections = CONNECTIONS,
                               .window = UNARY_WINDOW / CONNECTIONS,
                               .value_bytes = KILO,
                               .batch_records = 1,
                               .records = UNARY_COUNT};
    broker_load_create_topic(b.address, load.topic, CONNECTIONS);
    struct measured m = measure(broker_load_unary, &load);
    add("publish 1 KiB, gRPC unary", "", (double)load.records_done / 1e3 / m.seconds, "k/s");
    add("publish 1 KiB, gRPC unary", "per CPU second", (double)load.records_done / 1e3 / m.cpu_seconds,
        "k/s");
    add("publish 1 KiB, gRPC unary", "p99", (double)histogram_quantile(&load.latency_ns, 990) / 1e3, "us");
}

static void fetch_again_and_again(struct broker_load *load) {
    uint64_t records = 0, bytes = 0;
    for (int round = 0; round < MEMORY_ROUNDS; round++) {
        broker_load_fetch(load);
        records += load->records_done;
        bytes += load->value_bytes_done;
    }
    load->records_done = records;
    load->value_bytes_done = bytes;
}

static void case_memory(void) {
    struct broker_load load = load_of("recent", KILO, MEMORY_MIB * MIB);
    broker_load_create_topic(b.address, load.topic, CONNECTIONS);
    measure(broker_load_produce, &load);
    struct measured m = measure(fetch_again_and_again, &load);
    add_rate("consume 1 KiB, from memory", &m, &load);
}

/* How long it takes to be ready again, with so much stored: after SIGKILL, each time with something published
 * since the last start, and after SIGTERM. */
static void measure_restarts(long long mib) {
    struct broker_load load = load_of("restarted", KILO, RESTART_MIB * MIB);
    broker_load_create_topic(b.address, load.topic, CONNECTIONS);
    for (unsigned killed = 2; killed-- > 0;) {
        double times[RESTARTS];
        for (unsigned i = 0; i < RESTARTS; i++) {
            measure(broker_load_produce, &load);
            if (killed == 0)
                stop_broker();
            else
                io_child_stop(&b.child, 0);
            times[i] = start_broker();
        }
        qsort(times, RESTARTS, sizeof *times, compare_doubles);
        char name[BENCH_NAME_SIZE];
        snprintf(name, sizeof name, "ready, %lld MiB stored", mib);
        add(name, killed == 0 ? "" : "after SIGKILL", times[RESTARTS / 2], "ms");
    }
    add("resident after a start", "", (double)usage().resident_bytes / (double)MIB, "MiB");
}

/* What was published, after a restart and without the page cache; and how fast its files can be read at all.
 */
static void case_stored(void) {
    struct broker_load load = load_of("stored", KILO, (uint64_t)MAX(2 * b.mib, STORED_MIB_MIN) * MIB);
    broker_load_create_topic(b.address, load.topic, CONNECTIONS);
    measure(broker_load_produce, &load);
    measure_restarts((long long)(load.records * KILO / MIB));
    io_measure_drop_page_cache(b.data);
    struct measured m = measure(broker_load_fetch, &load);
    add("consume 1 KiB, cold", "", (double)load.value_bytes_done / (double)MIB / m.seconds, "MiB/s");
    add("consume 1 KiB, cold", "CPU", m.cpu_seconds / gib(&load), "s/GiB");
    io_measure_drop_page_cache(b.data);
    add("the same files, read in one row", "", io_measure_read_files(b.data) / (double)MIB, "MiB/s");
}

/* Many partitions appended to in turn until a disk's worth is stored: what does the broker hold meanwhile? */
static void case_fill(void) {
    struct broker_load load = load_of("filled", KILO, (uint64_t)b.mib * MIB);
    load.connections = FILL_CONNECTIONS;
    load.window = FILL_WINDOW;
    io_measure_remove_dir(b.data);
    start_broker();
    broker_load_create_topic(b.address, load.topic, FILL_CONNECTIONS);
    struct measured m = measure(broker_load_produce, &load);
    add_rate("fill", &m, &load);
    add("fill", "written per byte", m.written / (double)load.value_bytes_done, "x");
    add("fill", "peak resident", (double)usage().resident_peak_bytes / (double)MIB, "MiB");
    measure_restarts((long long)b.mib);
    stop_broker();
}

/* ---- options ------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    bool own_broker;
    void (*run)(void);
} cases[] = {{"start", true, case_start},      {"publish", false, case_publish},
             {"latency", false, case_latency}, {"grpc", false, case_grpc},
             {"unary", false, case_unary},     {"memory", false, case_memory},
             {"stored", false, case_stored},   {"fill", true, case_fill}};
#define FILL_CASE "fill" /* only when asked for: it takes --mib of disk, and as long */

static void print_help(void) {
    printf(
        "usage: sentinel bench broker [OPTIONS]\n\n"
        "Starts this program as a broker and measures it from outside: starting, publishing and consuming "
        "over\n"
        "Kafka's protocol and gRPC, at what cost. Every publish is fsynced before it is answered. Peers "
        "that\n"
        "are installed (nats-server, redis-server, etcd-server) run the same cases, with the settings they "
        "print.\n\n"
        "  --mib N        data of the large cases (512)\n"
        "  --cases LIST   some of start,publish,latency,grpc,unary,memory,stored, and fill: 64 partitions to "
        "--mib,\n"
        "                 what the broker holds meanwhile, and how long it then takes to start\n"
        "  --nodes N      a cluster of so many nodes; cases publish,latency,rate,small,failover,\n"
        "                 catchup,move,idle\n"
        "  --io NAME      the broker's io: uring, posix or auto (auto)\n"
        "  --dir DIR      where data directories are made (.)\n"
        "  --no-peers     only Sentinel\n"
        "  --json         one JSON object\n\n"
        "%d connections with %d requests of %zu KiB under way each, but for the cases that say otherwise.\n",
        CONNECTIONS, WINDOW, BATCH_BYTES / KIB);
}

struct options {
    const char *parent;
    bool json, peers;
    int64_t nodes;
};

static int parse(int argc, char **argv, struct options *options) {
    enum { MIB_OPTION = 256, CASES, NODES, IO_OPTION, DIR_OPTION, NO_PEERS, JSON, HELP };
    static const struct option known[] = {{"mib", required_argument, NULL, MIB_OPTION},
                                          {"cases", required_argument, NULL, CASES},
                                          {"nodes", required_argument, NULL, NODES},
                                          {"io", required_argument, NULL, IO_OPTION},
                                          {"dir", required_argument, NULL, DIR_OPTION},
                                          {"no-peers", no_argument, NULL, NO_PEERS},
                                          {"json", no_argument, NULL, JSON},
                                          {"help", no_argument, NULL, HELP},
                                          {NULL, 0, NULL, 0}};
    int option;
    optind = 0;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        if (option == MIB_OPTION) {
            int status = parse_integer("bench", "--mib", optarg, 1, 1 << 20, &b.mib);
            if (status != 0) return status;
        } else if (option == NODES) {
            int status = parse_integer("bench", "--nodes", optarg, 1, BENCH_NODES_MAX, &options->nodes);
            if (status != 0) return status;
        } else if (option == CASES) {
            b.cases = optarg;
        } else if (option == IO_OPTION) {
            b.io_name = optarg;
        } else if (option == DIR_OPTION) {
            options->parent = optarg;
        } else if (option == NO_PEERS) {
            options->peers = false;
        } else if (option == JSON) {
            options->json = true;
        } else if (option == HELP) {
            print_help();
            exit(0);
        } else {
            return EXIT_USAGE;
        }
    }
    if (optind < argc) return usage_error("bench", "'%s' is no option of bench broker", argv[optind]);
    return 0;
}

static void finish(const struct options *options, int argc, char **argv) {
    io_measure_remove_dir(b.dir);
    if (options->peers) bench_report_peers(&b.report, argc, argv);
    bench_report_print(&b.report, options->json);
}

int bench_broker_main(int argc, char **argv) {
    struct options options = {.parent = ".", .peers = true, .nodes = 1};
    b.mib = 512;
    b.io_name = "auto";
    int status = parse(argc, argv, &options);
    if (status != 0) return status;
    snprintf(b.dir, sizeof b.dir, "%.200s/sentinel-bench-XXXXXX", options.parent);
    if (!io_measure_make_scratch(b.dir)) bench_fail(b.dir, "it cannot be made");
    snprintf(b.data, sizeof b.data, "%s/data", b.dir);
    snprintf(b.log, sizeof b.log, "%s/log", b.dir);
    if (!io_child_self(b.program, sizeof b.program)) bench_fail("/proc/self/exe", "it cannot be read");
    if (options.nodes > 1) {
        bench_report_init(&b.report, "cluster");
        struct bench_cluster_options cluster = {.program = b.program,
                                                .dir = b.dir,
                                                .io_name = b.io_name,
                                                .cases = b.cases,
                                                .nodes = (uint32_t)options.nodes,
                                                .mib = (uint64_t)b.mib};
        bench_cluster_run(&cluster, &b.report);
        finish(&options, argc, argv);
        return 0;
    }
    bench_report_init(&b.report, "broker");
    bool running = false;
    for (unsigned i = 0; i < ARRAY_COUNT(cases); i++) {
        if (!wants(cases[i].name, strcmp(cases[i].name, FILL_CASE) != 0)) continue;
        if (cases[i].own_broker && running) stop_broker();
        if (cases[i].own_broker) running = false;
        if (!cases[i].own_broker && !running) {
            io_measure_remove_dir(b.data);
            start_broker();
            running = true;
        }
        fprintf(stderr, "sentinel: %s\n", cases[i].name);
        cases[i].run();
    }
    if (running) {
        bench_report_add(&b.report, "resident, at the end", (double)usage().resident_bytes / (double)MIB,
                         "MiB");
        stop_broker();
    }
    finish(&options, argc, argv);
    return 0;
}
