// SPDX-License-Identifier: Apache-2.0
/* memtable_peer.h: what the memtable peers with a C API like LevelDB's share.
 *
 * The includer defines DB(name), which puts the library's prefix before a name, includes the library's
 * header, and provides peer_configure (options), peer_get and peer_memory_mib. */
#ifndef SENTINEL_BENCH_MEMTABLE_PEER_H
#define SENTINEL_BENCH_MEMTABLE_PEER_H

#include <time.h>
#include <unistd.h>

#include "base/units.h"
#include "cli/bench_memtable.h"

#define KEY   BENCH_WORK_KEY_SIZE
#define VALUE BENCH_WORK_VALUE_SIZE

static DB(t) * db;
static DB(options_t) * options;
static DB(writeoptions_t) * write_options;
static DB(readoptions_t) * read_options;
static DB(writebatch_t) * batch;
static char dir[64];

static void peer_configure(void);
static void peer_get(struct bench_system *system, const uint8_t *key, uint32_t id);
static double peer_memory_mib(struct bench_system *system);

static uint64_t peer_now_ns(struct bench_system *system) {
    (void)system;
    struct timespec now; /* CPU time, as ours: nothing here waits */
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

static void check(bool good, const char *what) {
    if (good) return;
    fprintf(stderr, "%s\n", what);
    exit(1);
}

static void peer_open(struct bench_system *system) {
    (void)system;
    snprintf(dir, sizeof dir, "/tmp/sentinel-bench-peer-%d", (int)getpid());
    options = DB(options_create)();
    DB(options_set_create_if_missing)(options, 1);
    DB(options_set_compression)(options, DB(no_compression));
    write_options = DB(writeoptions_create)();
    read_options = DB(readoptions_create)();
    batch = DB(writebatch_create)();
    peer_configure();
    char *error = NULL;
    db = DB(open)(options, dir, &error);
    check(error == NULL, error);
}

static void peer_close(struct bench_system *system) {
    (void)system;
    char *error = NULL;
    DB(close)(db);
    DB(destroy_db)(options, dir, &error);
    check(error == NULL, error);
    DB(options_destroy)(options);
    DB(writeoptions_destroy)(write_options);
    DB(readoptions_destroy)(read_options);
    DB(writebatch_destroy)(batch);
}

static void peer_put(struct bench_system *system, const uint8_t *key, const uint8_t *value) {
    (void)system;
    char *error = NULL;
    DB(put)(db, write_options, (const char *)key, KEY, (const char *)value, VALUE, &error);
    check(error == NULL, error);
}

static void peer_batch_put(struct bench_system *system, const uint8_t *key, const uint8_t *value) {
    (void)system;
    DB(writebatch_put)(batch, (const char *)key, KEY, (const char *)value, VALUE);
}

static void peer_batch_write(struct bench_system *system) {
    (void)system;
    char *error = NULL;
    DB(write)(db, write_options, batch, &error);
    check(error == NULL, error);
    DB(writebatch_clear)(batch);
}

static void peer_scan(struct bench_system *system, const struct bench_work *work) {
    (void)system;
    DB(iterator_t) *it = DB(create_iterator)(db, read_options);
    uint32_t i = 0;
    for (DB(iter_seek_to_first)(it); DB(iter_valid)(it); DB(iter_next)(it), i++) {
        size_t key_size = 0, size = 0;
        const char *key = DB(iter_key)(it, &key_size), *value = DB(iter_value)(it, &size);
        check(i < work->count && key_size == KEY && memcmp(key, work->keys[i], KEY) == 0, "wrong key");
        bench_work_check(value, size, work->ids[i]);
    }
    check(i == work->count, "keys are missing");
    DB(iter_destroy)(it);
}

static void peer_report(struct bench_system *system, const char *name, double value, const char *unit) {
    (void)system;
    printf("%s\t%.6g\t%s\n", name, value, unit);
    fflush(stdout);
}

static void peer_run(int argc, char **argv) {
    struct bench_arguments arguments = bench_arguments_parse(argc, argv);
    struct bench_system system = {peer_open,      peer_close,       peer_now_ns, peer_put,
                                  peer_batch_put, peer_batch_write, NULL,        peer_get,
                                  peer_scan,      peer_memory_mib,  peer_report};
    bench_memtable_run(&system, &arguments);
}

#endif
