// SPDX-License-Identifier: Apache-2.0
/* `sentinel bench memtable`: the memtable through the store's public calls, and bare. */
#include "cli/bench_memtable.h"

#include <getopt.h>

#include "base/assert.h"
#include "base/units.h"
#include "cli/bench.h"
#include "cli/commands.h"
#include "storage/memtable.h"
#include "storage/store.h"

/* Writes under way at once: each is complete only when the loop has turned. */
#define WRITES 256u

static void print_help(void) {
    printf("usage: sentinel bench memtable [OPTIONS]\n\n"
           "Reads from and inserts into a memtable that is never flushed, without a log, one thread: 16-byte "
           "keys,\n"
           "100-byte values, every value checked. Runs whole public calls (store_get, store_write_submit, "
           "iterators), then\n"
           "the same on the bare structure, then the peers that were built (bench/peers/). Medians.\n\n"
           "options:\n"
           "  --keys N     entries, default %u\n"
           "  --repeat N   runs of each case, default %u, at most %u\n"
           "  --dir DIR    where an empty store may lie, default /tmp\n"
           "  --no-peers   only ourselves\n"
           "  --json       one JSON document\n",
           BENCH_WORK_KEYS, BENCH_WORK_REPEAT, BENCH_RUNS_MAX);
}

/* ---- through the store ------------------------------------------------------------------------------- */

struct system_write {
    struct store_write write;
    bool busy;
};
struct store_system {
    struct bench_system system;
    struct bench_report *report;
    const char *dir;
    struct io *io;
    struct store *store;
    struct system_write writes[WRITES];
    uint32_t next;
    bool shut;
};

static struct store_system *store_system(struct bench_system *system) {
    return CONTAINER_OF(system, struct store_system, system);
}

/* CPU time: nothing here waits, and others may use the machine. */
static uint64_t system_now_ns(struct bench_system *system) {
    (void)system;
    struct io_usage usage = io_process_usage();
    return (usage.user_us + usage.system_us) * NS_PER_US;
}

static void write_done(struct store_write *write) {
    ASSERT(write->status == STATUS_OK);
    CONTAINER_OF(write, struct system_write, write)->busy = false;
    store_write_clear(write);
}

static void system_open(struct bench_system *system) {
    struct store_system *s = store_system(system);
    struct diagnostic why = {.text = ""};
    struct store_options options = {
        .dir = s->dir, .memtable_bytes = 4 * GIB, .unlogged = true, .partition_prefix_size = 8};
    if (store_open(s->io, &options, &s->store, &why) != STATUS_OK)
        exit(command_failed("bench", "%s", why.text));
    for (uint32_t i = 0; i < WRITES; i++)
        store_write_init(&s->writes[i].write, write_done);
    s->next = 0;
}

static void shutdown_done(void *ctx) {
    struct store_system *s = ctx;
    s->shut = true;
}

static void system_close(struct bench_system *system) {
    struct store_system *s = store_system(system);
    s->shut = false;
    store_shutdown(s->store, shutdown_done, s);
    while (!s->shut)
        io_turn(s->io, NS_PER_S);
    store_close(s->store);
    for (uint32_t i = 0; i < WRITES; i++)
        store_write_release(&s->writes[i].write);
}

/* The write that is filled next. */
static struct store_write *open_write(struct store_system *s) {
    struct system_write *slot = &s->writes[s->next];
    while (slot->busy)
        io_turn(s->io, 0);
    return &slot->write;
}

static void system_batch_put(struct bench_system *system, const uint8_t *key, const uint8_t *value) {
    struct store_system *s = store_system(system);
    struct shared_slice bytes = {slice_make(value, BENCH_WORK_VALUE_SIZE), NULL};
    store_put(open_write(s), slice_make(key, BENCH_WORK_KEY_SIZE), bytes);
}

static void system_batch_write(struct bench_system *system) {
    struct store_system *s = store_system(system);
    struct system_write *slot = &s->writes[s->next];
    slot->busy = true;
    s->next = (s->next + 1) % WRITES;
    store_write_submit(s->store, &slot->write);
}

static void system_put(struct bench_system *system, const uint8_t *key, const uint8_t *value) {
    system_batch_put(system, key, value);
    system_batch_write(system);
}

static void system_settle(struct bench_system *system) {
    struct store_system *s = store_system(system);
    for (uint32_t i = 0; i < WRITES; i++)
        while (s->writes[i].busy)
            io_turn(s->io, 0);
}

static void system_get(struct bench_system *system, const uint8_t *key, uint32_t id) {
    struct shared_slice value;
    struct store_get get = {0};
    enum status status = store_get(store_system(system)->store, slice_make(key, BENCH_WORK_KEY_SIZE), &get,
                                   &value);
    bench_work_check(status == STATUS_OK ? value.bytes.data : NULL, value.bytes.size, id);
    shared_slice_unref(value);
}

static void check_scanned(const struct bench_work *work, uint32_t i, struct slice key, struct slice value) {
    if (i >= work->count || !slice_equal(key, slice_make(work->keys[i], BENCH_WORK_KEY_SIZE)))
        exit(command_failed("bench", "the scan met a wrong key"));
    bench_work_check(value.data, value.size, work->ids[i]);
}

static void system_scan(struct bench_system *system, const struct bench_work *work) {
    struct store_iterator *it = store_iterator_open(store_system(system)->store, SLICE_EMPTY, SLICE_EMPTY, 0,
                                                    NULL, NULL);
    uint32_t i = 0;
    for (enum status status = store_iterator_seek(it, SLICE_EMPTY); status == STATUS_OK;
         status = store_iterator_next(it), i++)
        check_scanned(work, i, store_iterator_key(it), store_iterator_value(it).bytes);
    if (i != work->count) exit(command_failed("bench", "the scan missed keys"));
    store_iterator_close(it);
}

static double system_memory_mib(struct bench_system *system) {
    struct store_stats stats;
    store_stats(store_system(system)->store, &stats);
    return (double)stats.memtable_bytes / (double)MIB;
}

static void system_report(struct bench_system *system, const char *name, double value, const char *unit) {
    bench_report_add(store_system(system)->report, name, value, unit);
}

/* ---- the bare structure ------------------------------------------------------------------------------ */

struct bare_system {
    struct bench_system system;
    struct bench_report *report;
    struct memtable *memtable;
    uint64_t sequence;
};

static struct bare_system *bare_system(struct bench_system *system) {
    return CONTAINER_OF(system, struct bare_system, system);
}

static void bare_open(struct bench_system *system) {
    struct bare_system *s = bare_system(system);
    s->memtable = memtable_new();
    s->sequence = 0;
}

static void bare_close(struct bench_system *system) {
    memtable_unpin(bare_system(system)->memtable);
}

static void bare_put(struct bench_system *system, const uint8_t *key, const uint8_t *value) {
    struct bare_system *s = bare_system(system);
    struct memtable_value bytes = {.bytes = {slice_make(value, BENCH_WORK_VALUE_SIZE), NULL}};
    memtable_put(s->memtable, slice_make(key, BENCH_WORK_KEY_SIZE), ++s->sequence, &bytes);
}

static void bare_batch_write(struct bench_system *system) {
    (void)system;
}

static void bare_get(struct bench_system *system, const uint8_t *key, uint32_t id) {
    const struct memtable_entry *entry = memtable_get(bare_system(system)->memtable,
                                                      slice_make(key, BENCH_WORK_KEY_SIZE), UINT64_MAX);
    struct slice value = entry == NULL ? SLICE_EMPTY : memtable_entry_value(entry);
    bench_work_check(value.data, value.size, id);
}

static void bare_scan(struct bench_system *system, const struct bench_work *work) {
    struct memtable_cursor cursor;
    memtable_cursor_init(&cursor, bare_system(system)->memtable, UINT64_MAX);
    uint32_t i = 0;
    for (memtable_cursor_first(&cursor); cursor.entry != NULL; memtable_cursor_next(&cursor), i++)
        check_scanned(work, i, memtable_entry_key(cursor.entry), memtable_entry_value(cursor.entry));
    if (i != work->count) exit(command_failed("bench", "the scan missed keys"));
}

static void bare_report(struct bench_system *system, const char *name, double value, const char *unit) {
    char row[BENCH_NAME_SIZE];
    snprintf(row, sizeof row, "bare: %.*s", BENCH_NAME_SIZE - 8, name);
    bench_report_add(bare_system(system)->report, row, value, unit);
}

/* ---- the command ------------------------------------------------------------------------------------- */

static void remove_entry(void *ctx, const char *name, bool is_dir) {
    struct store_system *s = ctx;
    char path[4096];
    if (is_dir || snprintf(path, sizeof path, "%s/%s", s->dir, name) >= (int)sizeof path) return;
    if (io_unlink(s->io, path) != STATUS_OK) fprintf(stderr, "%s cannot be removed\n", path);
}

static int run_ourselves(struct bench_report *report, const struct bench_arguments *arguments,
                         const char *parent) {
    struct io_options io_options = {.backend = IO_BACKEND_POSIX};
    struct diagnostic why = {.text = ""};
    struct store_system *s = mem_calloc(1, sizeof *s);
    s->system = (struct bench_system){system_open,      system_close,       system_now_ns, system_put,
                                      system_batch_put, system_batch_write, system_settle, system_get,
                                      system_scan,      system_memory_mib,  system_report};
    s->report = report;
    if (io_new(&io_options, &s->io, &why) != STATUS_OK) return command_failed("bench", "%s", why.text);
    char dir[4096];
    uint64_t random;
    io_random(s->io, &random, sizeof random);
    snprintf(dir, sizeof dir, "%.4000s/sentinel-bench-%llx", parent, (unsigned long long)random);
    s->dir = dir;
    bench_memtable_run(&s->system, arguments);
    /* The empty directory stays: io removes files only. */
    if (io_list_dir(s->io, dir, remove_entry, s) != STATUS_OK) fprintf(stderr, "%s stays behind\n", dir);
    io_free(s->io);
    mem_free(s);
    struct bare_system bare = {.report = report};
    bare.system = (struct bench_system){bare_open,        bare_close, system_now_ns, bare_put,  bare_put,
                                        bare_batch_write, NULL,       bare_get,      bare_scan, NULL,
                                        bare_report};
    bench_memtable_run(&bare.system, arguments);
    return 0;
}

int bench_memtable_main(int argc, char **argv) {
    enum { OPTION_KEYS = 256, OPTION_REPEAT, OPTION_DIR, OPTION_NO_PEERS, OPTION_JSON, OPTION_HELP };
    static const struct option options[] = {{"keys", required_argument, NULL, OPTION_KEYS},
                                            {"repeat", required_argument, NULL, OPTION_REPEAT},
                                            {"dir", required_argument, NULL, OPTION_DIR},
                                            {"no-peers", no_argument, NULL, OPTION_NO_PEERS},
                                            {"json", no_argument, NULL, OPTION_JSON},
                                            {"help", no_argument, NULL, OPTION_HELP},
                                            {NULL, 0, NULL, 0}};
    const char *dir = "/tmp";
    bool json = false, peers = true;
    int option;
    optind = 0;
    while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
        if (option == OPTION_HELP) return print_help(), 0;
        if (option == '?') return usage_error("bench", "see 'sentinel bench memtable --help'");
        if (option == OPTION_DIR) dir = optarg;
        peers = peers && option != OPTION_NO_PEERS;
        json = json || option == OPTION_JSON;
    }
    if (optind != argc) return usage_error("bench", "memtable takes options only");
    struct bench_arguments arguments = bench_arguments_parse(argc, argv);
    struct bench_report report;
    bench_report_init(&report, "memtable");
    int failed = run_ourselves(&report, &arguments, dir);
    if (failed != 0) return failed;
    if (peers) bench_report_peers(&report, argc, argv);
    bench_report_print(&report, json);
    return 0;
}
