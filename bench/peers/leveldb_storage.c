// SPDX-License-Identifier: Apache-2.0
/* LevelDB under the workloads of src/cli/bench_storage_load.h (Debian: libleveldb-dev). */
#include <leveldb/c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench_storage_load.h"
#include "io/io_measure.h"

static leveldb_t *db;
static leveldb_options_t *options;
static leveldb_cache_t *cache;
static leveldb_filterpolicy_t *filter;
static leveldb_writebatch_t *batch;
static leveldb_writeoptions_t *plain, *synced;
static leveldb_readoptions_t *reads;

static void check(char *error, const char *what) {
    if (error != NULL) load_fail(what, error);
}

static void engine_open(const char *dir, size_t memtable_bytes) {
    char *error = NULL;
    options = leveldb_options_create();
    leveldb_options_set_create_if_missing(options, 1);
    leveldb_options_set_compression(options, leveldb_no_compression);
    leveldb_options_set_write_buffer_size(options, memtable_bytes);
    cache = leveldb_cache_create_lru((size_t)32 << 20);
    leveldb_options_set_cache(options, cache);
    filter = leveldb_filterpolicy_create_bloom(10);
    leveldb_options_set_filter_policy(options, filter);
    db = leveldb_open(options, dir, &error);
    check(error, "open");
    batch = leveldb_writebatch_create();
    plain = leveldb_writeoptions_create();
    synced = leveldb_writeoptions_create();
    leveldb_writeoptions_set_sync(synced, 1);
    reads = leveldb_readoptions_create();
}

static void engine_put(struct load_bytes key, struct load_bytes value) {
    leveldb_writebatch_put(batch, key.data, key.size, value.data, value.size);
}

static void engine_remove(struct load_bytes key) {
    leveldb_writebatch_delete(batch, key.data, key.size);
}

static void engine_commit(bool sync) {
    char *error = NULL;
    leveldb_write(db, sync ? synced : plain, batch, &error);
    check(error, "write");
    leveldb_writebatch_clear(batch);
}

static bool engine_get(struct load_bytes key, size_t *value_size) {
    char *error = NULL;
    char *value = leveldb_get(db, reads, key.data, key.size, value_size, &error);
    check(error, "get");
    leveldb_free(value);
    return value != NULL;
}

static uint64_t engine_scan(struct load_bytes from, struct load_bytes to) {
    leveldb_readoptions_t *scan = leveldb_readoptions_create();
    leveldb_readoptions_set_fill_cache(scan, 0);
    leveldb_iterator_t *it = leveldb_create_iterator(db, scan);
    uint64_t bytes = 0, sum = 0;
    for (leveldb_iter_seek(it, from.data, from.size); leveldb_iter_valid(it); leveldb_iter_next(it)) {
        size_t key_size, value_size;
        const char *key = leveldb_iter_key(it, &key_size);
        if (memcmp(key, to.data, key_size < to.size ? key_size : to.size) >= 0) break;
        const char *value = leveldb_iter_value(it, &value_size);
        sum += load_touch(value, value_size);
        bytes += key_size + value_size;
    }
    leveldb_iter_destroy(it);
    leveldb_readoptions_destroy(scan);
    return sum == 1 ? bytes + 1 : bytes;
}

/* LevelDB does not say whether it compacts: it is at rest when the sizes of its levels have not changed for
 * half a second. */
static void engine_settle(void) {
    char *before = leveldb_property_value(db, "leveldb.stats");
    for (int calm = 0; calm < 50; calm++) {
        io_measure_pause();
        char *now = leveldb_property_value(db, "leveldb.stats");
        if (strcmp(before, now) != 0) calm = 0;
        leveldb_free(before);
        before = now;
    }
    leveldb_free(before);
    load_forgive(0.5);
}

static void engine_close(void) {
    leveldb_writebatch_destroy(batch);
    leveldb_writeoptions_destroy(plain);
    leveldb_writeoptions_destroy(synced);
    leveldb_readoptions_destroy(reads);
    leveldb_close(db);
    leveldb_options_destroy(options);
    leveldb_filterpolicy_destroy(filter);
    leveldb_cache_destroy(cache);
}

int main(int argc, char **argv) {
    static const struct load_engine engine = {.open = engine_open,
                                              .put = engine_put,
                                              .remove = engine_remove,
                                              .commit = engine_commit,
                                              .get = engine_get,
                                              .scan = engine_scan,
                                              .settle = engine_settle,
                                              .close = engine_close};
    struct load_options load;
    int status = load_parse(argc, argv, &load);
    if (status != 0) return status;
    printf("# LevelDB %d.%d: no compression, memtable as given, bloom filter of 10 bits, block cache 32 MiB, "
           "all else "
           "at its defaults\n",
           leveldb_major_version(), leveldb_minor_version());
    load_run(&load, &engine, load_print);
    load_cleanup(&load);
    return 0;
}
