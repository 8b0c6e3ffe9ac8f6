// SPDX-License-Identifier: Apache-2.0
#include "cli/bench_storage_load.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/prng.h"
#include "io/io_measure.h"

#define MIB_      ((uint64_t)1 << 20)
#define POOL_SIZE ((size_t)4 << 20)
/* Scans whose median counts: of partitions not read before, and of one of these again. */
#define SCANS      4u
#define WARM_SCANS 25u

/* ---- measuring --------------------------------------------------------------------------------------- */

struct meter {
    double started, cpu, stall_start, stall_max;
    uint64_t written, memory_max;
};
static struct meter meter;
static const struct load_options *options;
static const struct load_engine *engine;
static void (*emit)(const char *name, double value, const char *unit);

static uint64_t written_now(void) {
    return engine->written != NULL ? engine->written() : io_measure_written_bytes();
}

static void meter_start(void) {
    meter = (struct meter){
        .started = io_measure_seconds(), .cpu = io_measure_cpu_seconds(), .written = written_now()};
}

static void meter_sample(void) {
    uint64_t bytes = io_measure_anonymous_bytes();
    if (bytes > meter.memory_max) meter.memory_max = bytes;
}

/* Times what runs until meter_end_call: the longest is the longest stall. */
static void meter_begin_call(void) {
    meter.stall_start = io_measure_seconds();
}
static void meter_end_call(void) {
    double took = io_measure_seconds() - meter.stall_start;
    if (took > meter.stall_max) meter.stall_max = took;
}

/* ---- running one case -------------------------------------------------------------------------------- */

static uint8_t *pool; /* random bytes that values are cut from */
static struct prng prng;

static void tell(const char *name, const char *what, double value, const char *unit) {
    char text[128];
    snprintf(text, sizeof text, "%s%s%s", name, what[0] == '\0' ? "" : ": ", what);
    emit(text, value, unit);
}

static struct load_bytes random_value(size_t size) {
    uint64_t at = prng_below(&prng, POOL_SIZE - size);
    return (struct load_bytes){pool + at, size};
}

static void store_big_endian(uint8_t *at, uint64_t number) {
    for (int i = 7; i >= 0; i--, number >>= 8)
        at[i] = (uint8_t)number;
}

static struct load_bytes partition_key(uint8_t *key, uint64_t partition, uint64_t offset) {
    store_big_endian(key, partition + 1);
    key[8] = 2;
    store_big_endian(key + 9, offset);
    return (struct load_bytes){key, LOAD_KEY_SIZE};
}

static void open_fresh(char *dir, size_t size, size_t memtable_bytes) {
    snprintf(dir, size, "%s/db", options->dir);
    io_measure_remove_dir(dir);
    if (!io_measure_make_dir(dir)) load_fail("cannot make", dir);
    engine->open(dir, memtable_bytes);
}

struct append {
    const char *name;
    uint64_t partitions, value_bytes, batch; /* batch: records */
    bool sync, details;
};

/* Appends options->mib of user bytes and tells what it took. Returns records a partition. */
static uint64_t run_append(const struct append *append) {
    uint8_t key[LOAD_KEY_SIZE];
    uint64_t record = LOAD_KEY_SIZE + append->value_bytes;
    uint64_t count = options->mib * MIB_ / record / append->partitions * append->partitions;
    uint64_t sample = 4 * MIB_ / record + 1;
    meter_start();
    for (uint64_t i = 0; i < count; i++) {
        meter_begin_call();
        engine->put(partition_key(key, i % append->partitions, i / append->partitions),
                    random_value(append->value_bytes));
        if ((i + 1) % append->batch == 0 || i + 1 == count) engine->commit(append->sync);
        meter_end_call();
        if (i % sample == 0) meter_sample();
    }
    double accepted = io_measure_seconds() - meter.started;
    engine->settle();
    double bytes = (double)(count * record), took = io_measure_seconds() - meter.started;
    tell(append->name, "", bytes / 1e6 / took, "MB/s");
    if (append->details) tell(append->name, "until accepted", bytes / 1e6 / accepted, "MB/s");
    tell(append->name, "CPU", (io_measure_cpu_seconds() - meter.cpu) / (bytes / (double)(1u << 30)), "s/GiB");
    tell(append->name, "written per byte", (double)(written_now() - meter.written) / bytes, "x");
    if (append->details) tell(append->name, "peak memory", (double)meter.memory_max / (double)MIB_, "MiB");
    tell(append->name, "longest stall", meter.stall_max * 1e3, "ms");
    return count / append->partitions;
}

static double scan_rate(uint64_t partition) {
    uint8_t from[LOAD_KEY_SIZE], to[LOAD_KEY_SIZE];
    double started = io_measure_seconds();
    uint64_t bytes = engine->scan(partition_key(from, partition, 0),
                                  partition_key(to, partition, UINT64_MAX));
    if (bytes == 0) load_fail("scan", "it found nothing");
    return (double)bytes / 1e6 / (io_measure_seconds() - started);
}

static int compare_rates(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Some partitions, each for the first time. */
static void run_cold_scans(const char *name) {
    double rates[SCANS];
    for (uint64_t i = 0; i < SCANS; i++)
        rates[i] = scan_rate(i * options->partitions / SCANS);
    qsort(rates, SCANS, sizeof *rates, compare_rates);
    tell(name, "", rates[SCANS / 2], "MB/s");
}

/* The same one again and again. */
static void run_warm_scans(const char *name, uint64_t partition) {
    double rates[WARM_SCANS], cpu = io_measure_cpu_seconds(), bytes = 0;
    for (uint64_t i = 0; i < WARM_SCANS; i++) {
        double started = io_measure_seconds();
        rates[i] = scan_rate(partition);
        bytes += rates[i] * 1e6 * (io_measure_seconds() - started);
    }
    qsort(rates, WARM_SCANS, sizeof *rates, compare_rates);
    tell(name, "", rates[WARM_SCANS / 2], "MB/s");
    tell(name, "CPU", (io_measure_cpu_seconds() - cpu) / (bytes / (double)(1u << 30)), "s/GiB");
}

static void run_point_reads(const char *name, uint64_t per_partition) {
    uint8_t key[LOAD_KEY_SIZE];
    uint64_t count = 200000;
    size_t size;
    double started = 0, cpu = 0;
    for (uint64_t i = 0; i < count + count / 4; i++) { /* the first fifth warms up */
        if (i == count / 4) {
            started = io_measure_seconds();
            cpu = io_measure_cpu_seconds();
        }
        uint64_t partition = prng_below(&prng, options->partitions);
        if (!engine->get(partition_key(key, partition, prng_below(&prng, per_partition)), &size))
            load_fail("point read", "a key is missing");
    }
    tell(name, "", (double)count / 1e3 / (io_measure_seconds() - started), "k/s");
    tell(name, "CPU", (io_measure_cpu_seconds() - cpu) * 1e6 / (double)count, "us");
}

static size_t memtable_bytes(void) {
    return (size_t)(options->memtable_mib * MIB_);
}

static void case_append(void) {
    char dir[512];
    open_fresh(dir, sizeof dir, memtable_bytes());
    struct append append = {.name = "append",
                            .partitions = options->partitions,
                            .value_bytes = options->value_bytes,
                            .batch = options->batch,
                            .details = true};
    uint64_t per_partition = run_append(&append);
    double user = (double)(per_partition * options->partitions * (options->value_bytes + LOAD_KEY_SIZE));
    tell("append", "space on disk per byte", (double)io_measure_disk_bytes(dir) / user, "x");
    engine->close();
    io_measure_drop_page_cache(dir);
    engine->open(dir, memtable_bytes());
    run_cold_scans("scan of one partition, cold");
    run_warm_scans("scan of one partition, warm", 0);
    for (uint64_t p = 0; p < options->partitions; p++) { /* everything into the page cache */
        uint8_t from[LOAD_KEY_SIZE], to[LOAD_KEY_SIZE];
        if (engine->scan(partition_key(from, p, 0), partition_key(to, p, UINT64_MAX)) == 0)
            load_fail("scan", "it found nothing");
    }
    run_point_reads("point reads, warm", per_partition);
    engine->close();
}

static void run_simple(const struct append *append) {
    char dir[512];
    open_fresh(dir, sizeof dir, memtable_bytes());
    run_append(append);
    engine->close();
}

static void case_synced(void) {
    run_simple(&(struct append){.name = "synced 1 MiB batches",
                                .partitions = options->partitions,
                                .value_bytes = options->value_bytes,
                                .batch = MIB_ / options->value_bytes,
                                .sync = true});
}

static void case_large(void) {
    run_simple(&(struct append){.name = "16 KiB, synced 256 KiB",
                                .partitions = options->partitions,
                                .value_bytes = 16 * 1024,
                                .batch = 16,
                                .sync = true});
}

static void case_one(void) {
    run_simple(&(struct append){
        .name = "one partition, 1 KiB", .partitions = 1, .value_bytes = 1024, .batch = options->batch});
    run_simple(&(struct append){.name = "one partition, 16 KiB",
                                .partitions = 1,
                                .value_bytes = 16 * 1024,
                                .batch = options->batch / 16 + 1});
}

/* Random keys of 16 bytes, 100-byte values: half of the puts meet a key that is there, one change in eight is
 * a delete. Four memtables' worth of distinct keys, written twice. */
static void case_general(void) {
    char dir[512];
    open_fresh(dir, sizeof dir, memtable_bytes());
    uint64_t keys = 4 * memtable_bytes() / (100 + 16), count = keys * 2, user = 0;
    uint8_t key[16];
    meter_start();
    for (uint64_t i = 0; i < count; i++) {
        uint64_t id = prng_below(&prng, keys);
        store_big_endian(key, id * 0x9e3779b97f4a7c15U);
        store_big_endian(key + 8, id);
        struct load_bytes k = {key, sizeof key};
        meter_begin_call();
        if (prng_chance(&prng, 1, 8)) {
            engine->remove(k);
            user += sizeof key;
        } else {
            engine->put(k, random_value(100));
            user += sizeof key + 100;
        }
        if ((i + 1) % options->batch == 0 || i + 1 == count) engine->commit(false);
        meter_end_call();
    }
    engine->settle();
    double took = io_measure_seconds() - meter.started;
    tell("general keys", "", (double)count / 1e3 / took, "k/s");
    tell("general keys", "CPU", (io_measure_cpu_seconds() - meter.cpu) / ((double)user / (double)(1u << 30)),
         "s/GiB");
    tell("general keys", "written per byte", (double)(written_now() - meter.written) / (double)user, "x");
    tell("general keys", "longest stall", meter.stall_max * 1e3, "ms");
    tell("general keys", "space on disk per byte",
         (double)io_measure_disk_bytes(dir) / (double)(keys * (sizeof key + 100)), "x");
    engine->close();
}

#define REOPEN_BYTES (256 * MIB_)

static void fill_log(void *ctx) {
    uint8_t key[LOAD_KEY_SIZE];
    engine->open(ctx, (size_t)(4 * REOPEN_BYTES));
    uint64_t count = REOPEN_BYTES / (LOAD_KEY_SIZE + options->value_bytes);
    for (uint64_t i = 0; i < count; i++) {
        engine->put(partition_key(key, i % options->partitions, i / options->partitions),
                    random_value(options->value_bytes));
        if ((i + 1) % 1024 == 0 || i + 1 == count) engine->commit(i + 1 == count);
    }
}

/* A process that writes 256 MiB into one large memtable and dies; how long does opening take? */
static void case_reopen(void) {
    char dir[512];
    snprintf(dir, sizeof dir, "%s/db", options->dir);
    io_measure_remove_dir(dir);
    if (!io_measure_make_dir(dir)) load_fail("cannot make", dir);
    if (!io_measure_in_child(fill_log, dir)) load_fail("reopen", "the process that writes the log failed");
    static const char name[] = "reopen with 256 MiB in the log, cold";
    io_measure_drop_page_cache(dir);
    double reading = io_measure_read_files(dir);
    io_measure_drop_page_cache(dir);
    uint64_t memory = io_measure_anonymous_bytes();
    double started = io_measure_seconds();
    engine->open(dir, memtable_bytes());
    double took = io_measure_seconds() - started;
    tell(name, "", (double)REOPEN_BYTES / 1e6 / took, "MB/s");
    tell(name, "its files read in a row", reading / 1e6, "MB/s");
    tell(name, "memory", ((double)io_measure_anonymous_bytes() - (double)memory) / (double)MIB_, "MiB");
    engine->close();
}

static const struct {
    const char *name, *what;
    void (*run)(void);
} cases[] = {
    {"append", "partitions append in turn, unsynced; then scans and point reads", case_append},
    {"synced", "the same, durable after each 1 MiB", case_synced},
    {"large", "16 KiB values, durable after each 256 KiB", case_large},
    {"one", "one partition only, unsynced, values of 1 and of 16 KiB", case_one},
    {"general", "random keys, 100-byte values, overwrites and deletes, 4 memtables of keys", case_general},
    {"reopen", "open with 256 MiB in the log", case_reopen},
};

static bool wanted(const char *name) {
    size_t size = strlen(name);
    for (const char *at = options->cases; *at != '\0'; at += strcspn(at, ","), at += *at == ',')
        if (strncmp(at, name, size) == 0 && (at[size] == ',' || at[size] == '\0')) return true;
    return options->cases[0] == '\0';
}

void load_run(const struct load_options *load_options, const struct load_engine *load_engine,
              void (*load_emit)(const char *name, double value, const char *unit)) {
    options = load_options;
    engine = load_engine;
    emit = load_emit;
    prng_init(&prng, 1);
    pool = mem_alloc(POOL_SIZE);
    prng_bytes(&prng, pool, POOL_SIZE);
    static const char text[] = "{\"time\":1700000000,\"level\":\"info\",\"service\":\"checkout\",\"message\":"
                               "\"request served\",\"status\":200}";
    for (size_t i = 0; i < POOL_SIZE; i++)
        if (i % 100 >= options->random_percent) pool[i] = (uint8_t)text[i % 100 % (sizeof text - 1)];
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        if (wanted(cases[i].name)) cases[i].run();
    mem_free(pool);
}

/* ---- the rest ---------------------------------------------------------------------------------------- */

static void print_help(void) {
    printf("usage: sentinel bench storage [OPTIONS]\n\n"
           "Writes and reads through the storage engine, and through each peer that was built.\n\noptions:\n"
           "  --mib N            user MiB of each append case (default 2048)\n"
           "  --value-bytes N    (default 1024)\n"
           "  --partitions N     (default 64)\n"
           "  --batch N          records of one unsynced write (default 64)\n"
           "  --memtable-mib N   budget of one memtable (default 16)\n"
           "  --random-percent N of values; the rest can be compressed away (default 100)\n"
           "  --compression C    of our tables: none, lz4 or zstd (default none; peers: none)\n"
           "  --cases A,B        only these of the cases below\n"
           "  --dir DIR          where to make a directory to write in, removed at the end (default here)\n"
           "  --no-peers         Sentinel alone\n"
           "  --json             one JSON object\n\ncases:\n");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        printf("  %-10s %s\n", cases[i].name, cases[i].what);
}

enum {
    OPTION_MIB = 256,
    OPTION_VALUE,
    OPTION_PARTITIONS,
    OPTION_BATCH,
    OPTION_MEMTABLE,
    OPTION_RANDOM,
    OPTION_COMPRESSION,
    OPTION_CASES,
    OPTION_DIR,
    OPTION_NO_PEERS,
    OPTION_JSON,
    OPTION_HELP
};

static int parse_number(const char *name, const char *text, uint64_t max, uint64_t *number) {
    char *end;
    *number = strtoull(text, &end, 10);
    if (end != text && *end == '\0' && *number >= 1 && *number <= max) return 0;
    fprintf(stderr, "sentinel bench storage: %s wants a number from 1 to %" PRIu64 ", not '%s'\n", name, max,
            text);
    return 2;
}

static int parse_codec(const char *text, int *codec) {
    static const char *const codecs[] = {"none", "lz4", "zstd"};
    for (*codec = 0; *codec < 3; ++*codec)
        if (strcmp(text, codecs[*codec]) == 0) return 0;
    fprintf(stderr, "sentinel bench storage: --compression wants none, lz4 or zstd, not '%s'\n", text);
    return 2;
}

static int take_option(struct load_options *parsed, int option, const char *value) {
    switch (option) {
    case OPTION_MIB:
        return parse_number("--mib", value, 1u << 20, &parsed->mib);
    case OPTION_VALUE:
        return parse_number("--value-bytes", value, MIB_, &parsed->value_bytes);
    case OPTION_PARTITIONS:
        return parse_number("--partitions", value, 1u << 16, &parsed->partitions);
    case OPTION_BATCH:
        return parse_number("--batch", value, 1u << 16, &parsed->batch);
    case OPTION_MEMTABLE:
        return parse_number("--memtable-mib", value, 1024, &parsed->memtable_mib);
    case OPTION_RANDOM:
        return parse_number("--random-percent", value, 100, &parsed->random_percent);
    case OPTION_COMPRESSION:
        return parse_codec(value, &parsed->compression);
    case OPTION_CASES:
        snprintf(parsed->cases, sizeof parsed->cases, "%s", value);
        return 0;
    case OPTION_DIR:
        parsed->parent = value;
        return 0;
    case OPTION_NO_PEERS:
        parsed->peers = false;
        return 0;
    case OPTION_JSON:
        parsed->json = true;
        return 0;
    default:
        fprintf(stderr, "'sentinel bench storage --help' lists the options\n");
        return 2;
    }
}

int load_parse(int argc, char **argv, struct load_options *parsed) {
    static const struct option long_options[] = {
        {"mib", required_argument, NULL, OPTION_MIB},
        {"value-bytes", required_argument, NULL, OPTION_VALUE},
        {"partitions", required_argument, NULL, OPTION_PARTITIONS},
        {"batch", required_argument, NULL, OPTION_BATCH},
        {"memtable-mib", required_argument, NULL, OPTION_MEMTABLE},
        {"random-percent", required_argument, NULL, OPTION_RANDOM},
        {"compression", required_argument, NULL, OPTION_COMPRESSION},
        {"cases", required_argument, NULL, OPTION_CASES},
        {"dir", required_argument, NULL, OPTION_DIR},
        {"no-peers", no_argument, NULL, OPTION_NO_PEERS},
        {"json", no_argument, NULL, OPTION_JSON},
        {"help", no_argument, NULL, OPTION_HELP},
        {NULL, 0, NULL, 0},
    };
    *parsed = (struct load_options){.mib = 2048,
                                    .value_bytes = 1024,
                                    .partitions = 64,
                                    .batch = 64,
                                    .memtable_mib = 16,
                                    .random_percent = 100,
                                    .peers = true};
    int option, status;
    optind = 0;
    while ((option = getopt_long(argc, argv, "", long_options, NULL)) != -1) {
        if (option == OPTION_HELP) {
            print_help();
            exit(0);
        }
        if ((status = take_option(parsed, option, optarg)) != 0) return status;
    }
    if (optind < argc) {
        fprintf(stderr, "sentinel bench storage: '%s' is not an option\n", argv[optind]);
        return 2;
    }
    /* What is removed at the end is ours alone, whatever else the user keeps in that directory. */
    const char *parent = parsed->parent == NULL ? "." : parsed->parent;
    if (!io_measure_make_dir(parent)) load_fail("cannot make", parent);
    int length = snprintf(parsed->dir, sizeof parsed->dir, "%s/sentinel-bench-XXXXXX", parent);
    if (length >= (int)sizeof parsed->dir || !io_measure_make_scratch(parsed->dir))
        load_fail("cannot make a directory in", parent);
    return 0;
}

void load_cleanup(const struct load_options *parsed) {
    io_measure_remove_dir(parsed->dir);
}

void load_print(const char *name, double value, const char *unit) {
    printf("%s\t%.9g\t%s\n", name, value, unit);
    fflush(stdout);
}

uint64_t load_touch(const void *data, size_t size) {
    uint64_t sum = 0, word;
    const uint8_t *bytes = data;
    for (; size >= sizeof word; size -= sizeof word, bytes += sizeof word) {
        memcpy(&word, bytes, sizeof word);
        sum += word;
    }
    for (; size > 0; size--)
        sum += *bytes++;
    return sum;
}

void load_forgive(double seconds) {
    meter.started += seconds;
}

_Noreturn void load_fail(const char *what, const char *why) {
    fprintf(stderr, "bench storage: %s: %s\n", what, why);
    exit(1);
}
