// SPDX-License-Identifier: Apache-2.0
/* bench_storage_load.h: the workloads of `sentinel bench storage`, the same for us and for every peer.
 *
 *   load_run ─> engine: open, put, commit, get, scan, settle, close        bench_storage.c,
 * bench/peers/NAME_storage.c └────> emit(case, value, unit)
 *
 * The partition workloads are a broker's: keys are [partition u64][kind u8][offset u64], big-endian, each
 * partition appends in turn. Values are random bytes: nothing can be compressed away (unless --random-percent
 * says so: then so much of every 100 bytes is random, and the rest the same text). "Unsynced" writes are not
 * waited for, "synced" ones are durable before the next begins.
 *
 * What is measured: MB/s (10^6) and CPU seconds until the last write is accepted and the engine is at rest
 * (no flush, no compaction left), so that no work is hidden behind the end; bytes written per user byte,
 * which are the bytes given to write calls, zeros written ahead included (for peers the kernel's count, wchar
 * in /proc/self/io; ours through io_uring are not in it, so we count them in io. write_bytes there is no
 * help: with large folios it counts a whole folio for every page); anonymous memory at its peak, sampled; the
 * longest time one put or commit took.
 *
 * Owner   keys and values are borrowed for the call. Errors: an engine that cannot go on ends the process
 *         with load_fail. Loop: one thread. */
#ifndef SENTINEL_CLI_BENCH_STORAGE_LOAD_H
#define SENTINEL_CLI_BENCH_STORAGE_LOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LOAD_KEY_SIZE 17u

struct load_bytes {
    const void *data;
    size_t size;
};
struct load_options {
    uint64_t mib;         /* user bytes of each append case */
    uint64_t value_bytes; /* of the cases that do not say otherwise */
    uint64_t partitions;
    uint64_t batch; /* records of one unsynced write */
    uint64_t memtable_mib;
    uint64_t random_percent; /* of the bytes of a value */
    int compression;         /* of our tables; peers have none. enum store_compression */
    const char *parent;      /* where the directory is made; NULL: here */
    char dir[256];           /* made by load_parse, and removed at the end */
    char cases[256];         /* names, separated by commas; empty: all */
    bool json, peers;
};

struct load_engine {
    /* memtable_bytes: budget of one memtable. The directory is there and empty, or holds what this engine
     * left. */
    void (*open)(const char *dir, size_t memtable_bytes);
    void (*put)(struct load_bytes key, struct load_bytes value); /* into the batch under way */
    void (*remove)(struct load_bytes key);
    void (*commit)(bool sync); /* ends the batch; with sync, everything so far is durable */
    bool (*get)(struct load_bytes key, size_t *value_size);
    /* Every entry of [from, to): returns the bytes of keys and values. Touches every byte of the values. */
    uint64_t (*scan)(struct load_bytes from, struct load_bytes to);
    void (*settle)(void); /* everything given is written, and no background work is left */
    void (*close)(void);
    uint64_t (*written)(void); /* bytes given to write calls, open or closed; NULL: the kernel's count */
};

/* 0: go on; else the exit status. Prints the help for --help. */
int load_parse(int argc, char **argv, struct load_options *options);
void load_run(const struct load_options *options, const struct load_engine *engine,
              void (*emit)(const char *name, double value, const char *unit));
void load_cleanup(const struct load_options *options);
/* Prints "case TAB value TAB unit": the emit of peer programs. */
void load_print(const char *name, double value, const char *unit);
/* Sums the bytes in words, so that a scan has read them. */
uint64_t load_touch(const void *data, size_t size);
/* So many seconds of the settle under way were only waited to be sure that the engine is at rest. */
void load_forgive(double seconds);
_Noreturn void load_fail(const char *what, const char *why);

#endif
