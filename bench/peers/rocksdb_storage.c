// SPDX-License-Identifier: Apache-2.0
/* RocksDB under the workloads of src/cli/bench_storage_load.h (Debian: librocksdb-dev). With PEER_BLOBS,
 * values of 512 bytes and more go into blob files (BlobDB): rocksdb_blob_storage.c. */
#include <rocksdb/c.h>
#include <stdio.h>

#include "cli/bench_storage_load.h"
#include "io/io_measure.h"

static rocksdb_t *db;
static rocksdb_options_t *options;
static rocksdb_writebatch_t *batch;
static rocksdb_writeoptions_t *plain, *synced;
static rocksdb_readoptions_t *reads;
#ifdef PEER_BLOBS
static const bool blobs = true;
#else
static const bool blobs = false;
#endif

static void check(char *error, const char *what) {
    if (error != NULL) load_fail(what, error);
}

static void engine_open(const char *dir, size_t memtable_bytes) {
    char *error = NULL;
    options = rocksdb_options_create();
    rocksdb_options_set_create_if_missing(options, 1);
    rocksdb_options_set_compression(options, rocksdb_no_compression);
    rocksdb_options_set_write_buffer_size(options, memtable_bytes);
    rocksdb_options_set_max_background_jobs(options, 2);
    rocksdb_block_based_table_options_t *table = rocksdb_block_based_options_create();
    rocksdb_block_based_options_set_filter_policy(table, rocksdb_filterpolicy_create_bloom(10));
    rocksdb_block_based_options_set_block_cache(table, rocksdb_cache_create_lru((size_t)32 << 20));
    rocksdb_options_set_block_based_table_factory(options, table);
    if (blobs) {
        rocksdb_options_set_enable_blob_files(options, 1);
        rocksdb_options_set_min_blob_size(options, 512);
        rocksdb_options_set_enable_blob_gc(options, 1);
    }
    db = rocksdb_open(options, dir, &error);
    check(error, "open");
    rocksdb_block_based_options_destroy(table);
    batch = rocksdb_writebatch_create();
    plain = rocksdb_writeoptions_create();
    synced = rocksdb_writeoptions_create();
    rocksdb_writeoptions_set_sync(synced, 1);
    reads = rocksdb_readoptions_create();
}

static void engine_put(struct load_bytes key, struct load_bytes value) {
    rocksdb_writebatch_put(batch, key.data, key.size, value.data, value.size);
}

static void engine_remove(struct load_bytes key) {
    rocksdb_writebatch_delete(batch, key.data, key.size);
}

static void engine_commit(bool sync) {
    char *error = NULL;
    rocksdb_write(db, sync ? synced : plain, batch, &error);
    check(error, "write");
    rocksdb_writebatch_clear(batch);
}

static bool engine_get(struct load_bytes key, size_t *value_size) {
    char *error = NULL;
    rocksdb_pinnableslice_t *value = rocksdb_get_pinned(db, reads, key.data, key.size, &error);
    check(error, "get");
    if (value == NULL) return false;
    rocksdb_pinnableslice_value(value, value_size);
    rocksdb_pinnableslice_destroy(value);
    return true;
}

static uint64_t engine_scan(struct load_bytes from, struct load_bytes to) {
    rocksdb_readoptions_t *scan = rocksdb_readoptions_create();
    rocksdb_readoptions_set_iterate_upper_bound(scan, to.data, to.size);
    rocksdb_readoptions_set_readahead_size(scan, (size_t)2 << 20);
    rocksdb_readoptions_set_fill_cache(scan, 0);
    rocksdb_iterator_t *it = rocksdb_create_iterator(db, scan);
    uint64_t bytes = 0, sum = 0;
    for (rocksdb_iter_seek(it, from.data, from.size); rocksdb_iter_valid(it); rocksdb_iter_next(it)) {
        size_t key_size, value_size;
        rocksdb_iter_key(it, &key_size);
        const char *value = rocksdb_iter_value(it, &value_size);
        sum += load_touch(value, value_size);
        bytes += key_size + value_size;
    }
    rocksdb_iter_destroy(it);
    rocksdb_readoptions_destroy(scan);
    return sum == 1 ? bytes + 1 : bytes;
}

static uint64_t property(const char *name) {
    uint64_t number = 0;
    rocksdb_property_int(db, name, &number);
    return number;
}

static void engine_settle(void) {
    char *error = NULL;
    rocksdb_flushoptions_t *flush = rocksdb_flushoptions_create();
    rocksdb_flush(db, flush, &error);
    check(error, "flush");
    rocksdb_flushoptions_destroy(flush);
    while (property("rocksdb.compaction-pending") + property("rocksdb.num-running-compactions") +
               property("rocksdb.num-running-flushes") >
           0)
        io_measure_pause();
}

static void engine_close(void) {
    rocksdb_writebatch_destroy(batch);
    rocksdb_writeoptions_destroy(plain);
    rocksdb_writeoptions_destroy(synced);
    rocksdb_readoptions_destroy(reads);
    rocksdb_close(db);
    rocksdb_options_destroy(options);
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
    printf("# RocksDB, the installed package: no compression, memtable as given, bloom filter of 10 bits, "
           "block cache 32 MiB, 2 background jobs%s, all else at its defaults\n",
           blobs ? ", blob files from 512 bytes with their garbage collection" : "");
    load_run(&load, &engine, load_print);
    load_cleanup(&load);
    return 0;
}
