// SPDX-License-Identifier: Apache-2.0
/* bench_memtable.h: the cases of `sentinel bench memtable`, one driver for us and for the peers.
 *
 * A system is a struct of functions (bench_memtable.c has ours, bench/peers/NAME_memtable.c a peer's); the
 * driver here gives each the same bytes in the same order and times them alike:
 *
 *   ordered keys  [partition be64][offset be64], MEMTABLE_BENCH_PARTITIONS partitions
 *   random keys   16 bytes that a bijection scatters
 *   values        100 bytes; the first eight are the number of the key, and every read checks them
 *
 * Keys are laid out in the order of their use before the clock starts: making them is not measured.
 *
 * Owner   the work owns its memory until bench_work_release. Errors: a program that reads a wrong value
 * exits. */
#ifndef SENTINEL_CLI_BENCH_MEMTABLE_H
#define SENTINEL_CLI_BENCH_MEMTABLE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/cursor.h"
#include "base/mem.h"
#include "base/prng.h"

#define BENCH_WORK_KEY_SIZE   16u
#define BENCH_WORK_VALUE_SIZE 100u
#define BENCH_WORK_PARTITIONS 64u
#define BENCH_WORK_BATCH      100u
#define BENCH_WORK_SMALL      65536u /* entries of the memtable that fits the caches */
#define BENCH_WORK_KEYS       1000000u
#define BENCH_WORK_REPEAT     3u

#define BENCH_RUNS_MAX 15u

#define BENCH_GET_ORDERED   "get at random, keys (partition, offset)"
#define BENCH_GET_RANDOM    "get at random, random keys"
#define BENCH_GET_IN_ORDER  "get in key order"
#define BENCH_GET_SMALL     "get at random, 64 k entries"
#define BENCH_INSERT_ONE    "insert in order, one at a time"
#define BENCH_INSERT_BATCH  "insert in order, batches of 100"
#define BENCH_INSERT_TURNS  "insert, 64 partitions in turn"
#define BENCH_INSERT_RANDOM "insert random keys"
#define BENCH_ITERATE       "iterate in order"
#define BENCH_MEMORY        "memory of the entries"

struct bench_work {
    uint32_t count;
    uint32_t *ids;                        /* the number of each key, which its value begins with */
    uint8_t (*keys)[BENCH_WORK_KEY_SIZE]; /* in the order of their use */
};

enum bench_order { BENCH_ORDERED, BENCH_TURNS, BENCH_RANDOM_KEYS };

static inline uint64_t bench_scatter(uint64_t x) { /* splitmix64's finalizer: a bijection */
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

/* All `count` keys, in the order of insertion, or shuffled for reading. */
static inline struct bench_work bench_work_make(uint32_t count, enum bench_order order, bool shuffled) {
    struct bench_work work = {count, mem_alloc(count * sizeof(uint32_t)),
                              mem_alloc((size_t)count * BENCH_WORK_KEY_SIZE)};
    uint32_t per_partition = (count + BENCH_WORK_PARTITIONS - 1) / BENCH_WORK_PARTITIONS;
    for (uint32_t i = 0; i < count; i++)
        work.ids[i] = i;
    struct prng prng;
    prng_init(&prng, 7);
    for (uint32_t i = count - 1; shuffled && i > 0; i--) {
        uint32_t other = (uint32_t)prng_below(&prng, i + 1), id = work.ids[i];
        work.ids[i] = work.ids[other];
        work.ids[other] = id;
    }
    for (uint32_t i = 0; i < count; i++) {
        uint64_t id = work.ids[i];
        uint64_t partition = order == BENCH_TURNS ? id % BENCH_WORK_PARTITIONS : id / per_partition;
        uint64_t offset = order == BENCH_TURNS ? id / BENCH_WORK_PARTITIONS : id % per_partition;
        bool scattered = order == BENCH_RANDOM_KEYS;
        store_be64(work.keys[i], scattered ? bench_scatter(id + 1) : partition);
        store_be64(work.keys[i] + 8, scattered ? bench_scatter(id + ((uint64_t)1 << 32)) : offset);
    }
    return work;
}
static inline void bench_work_release(struct bench_work *work) {
    mem_free(work->ids);
    mem_free(work->keys);
}

static inline void bench_work_check(const void *value, size_t size, uint32_t id) {
    if (value != NULL && size == BENCH_WORK_VALUE_SIZE && load_le64(value) == id) return;
    fprintf(stderr, "the value of key %u is wrong\n", id);
    exit(1);
}

/* ---- the system that is measured --------------------------------------------------------------------- */

struct bench_system {
    void (*open)(struct bench_system *system); /* empty */
    void (*close)(struct bench_system *system);
    uint64_t (*now_ns)(struct bench_system *system);
    void (*put)(struct bench_system *system, const uint8_t *key,
                const uint8_t *value); /* a write of its own */
    void (*batch_put)(struct bench_system *system, const uint8_t *key, const uint8_t *value);
    void (*batch_write)(struct bench_system *system); /* what batch_put gathered, as one atomic write */
    void (*settle)(struct bench_system *system);      /* every write given so far is complete; NULL: it is */
    void (*get)(struct bench_system *system, const uint8_t *key, uint32_t id); /* checks the value */
    void (*scan)(struct bench_system *system, const struct bench_work *work); /* checks every key and value */
    double (*memory_mib)(struct bench_system *system);                        /* NULL: not known */
    void (*report)(struct bench_system *system, const char *name, double value, const char *unit);
};

/* ---- the driver -------------------------------------------------------------------------------------- */

/* Runs of one case; the median counts. */
struct bench_runs {
    double values[BENCH_RUNS_MAX]; /* M/s */
    uint32_t count;
};
static inline void bench_runs_add(struct bench_runs *runs, uint32_t operations, uint64_t elapsed_ns) {
    uint32_t at = runs->count++;
    double value = (double)operations * 1e3 / (double)elapsed_ns;
    for (; at > 0 && runs->values[at - 1] > value; at--)
        runs->values[at] = runs->values[at - 1];
    runs->values[at] = value;
}
static inline void bench_runs_report(struct bench_system *system, const char *name, struct bench_runs *runs) {
    system->report(system, name, runs->values[runs->count / 2], "M/s");
}

static inline uint64_t bench_insert(struct bench_system *system, const struct bench_work *work,
                                    uint32_t batch) {
    uint8_t value[BENCH_WORK_VALUE_SIZE];
    memset(value, 'v', sizeof value);
    uint64_t start = system->now_ns(system);
    for (uint32_t i = 0; i < work->count; i++) {
        store_le64(value, work->ids[i]);
        if (batch == 1) {
            system->put(system, work->keys[i], value);
            continue;
        }
        system->batch_put(system, work->keys[i], value);
        if ((i + 1) % batch == 0 || i + 1 == work->count) system->batch_write(system);
    }
    if (system->settle != NULL) system->settle(system);
    return system->now_ns(system) - start;
}

static inline uint64_t bench_get(struct bench_system *system, const struct bench_work *work) {
    uint64_t start = system->now_ns(system);
    for (uint32_t i = 0; i < work->count; i++)
        system->get(system, work->keys[i], work->ids[i]);
    return system->now_ns(system) - start;
}

static inline void bench_reads(struct bench_system *system, uint32_t count, enum bench_order order,
                               uint32_t repeat, const char *name, bool in_order_too) {
    struct bench_work fill = bench_work_make(count, order, false);
    struct bench_work reads = bench_work_make(count, order, true);
    system->open(system);
    bench_insert(system, &fill, BENCH_WORK_BATCH);
    struct bench_runs random = {.count = 0}, in_order = {.count = 0}, scan = {.count = 0};
    for (uint32_t r = 0; r < repeat; r++) {
        bench_runs_add(&random, count, bench_get(system, &reads));
        if (!in_order_too) continue;
        bench_runs_add(&in_order, count, bench_get(system, &fill));
        uint64_t start = system->now_ns(system);
        system->scan(system, &fill);
        bench_runs_add(&scan, count, system->now_ns(system) - start);
    }
    bench_runs_report(system, name, &random);
    if (in_order_too) {
        bench_runs_report(system, BENCH_GET_IN_ORDER, &in_order);
        bench_runs_report(system, BENCH_ITERATE, &scan);
        if (system->memory_mib != NULL)
            system->report(system, BENCH_MEMORY, system->memory_mib(system), "MiB");
    }
    system->close(system);
    bench_work_release(&fill);
    bench_work_release(&reads);
}

static inline void bench_inserts(struct bench_system *system, uint32_t count, enum bench_order order,
                                 uint32_t repeat, uint32_t batch, const char *name) {
    struct bench_work work = bench_work_make(count, order, false);
    struct bench_runs runs = {.count = 0};
    for (uint32_t r = 0; r < repeat; r++) {
        system->open(system);
        bench_runs_add(&runs, count, bench_insert(system, &work, batch));
        system->close(system);
    }
    bench_runs_report(system, name, &runs);
    bench_work_release(&work);
}

struct bench_arguments {
    uint32_t keys, repeat;
};
/* The options that every system understands; the others are looked at by bench_memtable.c alone. */
static inline struct bench_arguments bench_arguments_parse(int argc, char **argv) {
    struct bench_arguments a = {BENCH_WORK_KEYS, BENCH_WORK_REPEAT};
    for (int i = 1; i + 1 < argc; i++) {
        if (strcmp(argv[i], "--keys") == 0) a.keys = (uint32_t)strtoul(argv[i + 1], NULL, 10);
        if (strcmp(argv[i], "--repeat") == 0) a.repeat = (uint32_t)strtoul(argv[i + 1], NULL, 10);
    }
    a.keys = a.keys < 1000 ? 1000 : a.keys;
    a.repeat = a.repeat < 1 ? 1 : a.repeat > BENCH_RUNS_MAX ? BENCH_RUNS_MAX : a.repeat;
    return a;
}

static inline void bench_memtable_run(struct bench_system *system, const struct bench_arguments *a) {
    bench_reads(system, a->keys, BENCH_ORDERED, a->repeat, BENCH_GET_ORDERED, true);
    bench_reads(system, a->keys, BENCH_RANDOM_KEYS, a->repeat, BENCH_GET_RANDOM, false);
    bench_reads(system, BENCH_WORK_SMALL, BENCH_ORDERED, a->repeat, BENCH_GET_SMALL, false);
    bench_inserts(system, a->keys, BENCH_ORDERED, a->repeat, 1, BENCH_INSERT_ONE);
    bench_inserts(system, a->keys, BENCH_ORDERED, a->repeat, BENCH_WORK_BATCH, BENCH_INSERT_BATCH);
    bench_inserts(system, a->keys, BENCH_TURNS, a->repeat, 1, BENCH_INSERT_TURNS);
    bench_inserts(system, a->keys, BENCH_RANDOM_KEYS, a->repeat, 1, BENCH_INSERT_RANDOM);
}

#endif
