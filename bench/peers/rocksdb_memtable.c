// SPDX-License-Identifier: Apache-2.0
/* RocksDB's memtable, a skip list, through its public C API. Package: librocksdb-dev. */
#include <rocksdb/c.h>

#define DB(name) rocksdb_##name
#include "memtable_peer.h"

static void peer_configure(void) {
    rocksdb_options_set_write_buffer_size(options, 4 * GIB);
    rocksdb_options_set_allow_concurrent_memtable_write(options, 0);
    rocksdb_writeoptions_disable_WAL(write_options, 1);
}

static void peer_get(struct bench_system *system, const uint8_t *key, uint32_t id) {
    (void)system;
    char *error = NULL;
    size_t size = 0;
    rocksdb_pinnableslice_t *found = rocksdb_get_pinned(db, read_options, (const char *)key, KEY, &error);
    check(error == NULL, error);
    const char *value = rocksdb_pinnableslice_value(found, &size);
    bench_work_check(value, size, id);
    rocksdb_pinnableslice_destroy(found);
}

static double peer_memory_mib(struct bench_system *system) {
    (void)system;
    uint64_t bytes = 0;
    rocksdb_property_int(db, "rocksdb.cur-size-active-mem-table", &bytes);
    return (double)bytes / (double)MIB;
}

int main(int argc, char **argv) {
    printf("# RocksDB as installed: skip list, write buffer 4 GiB (never flushes), no WAL, no compression,\n"
           "# allow_concurrent_memtable_write off, get_pinned; otherwise its defaults\n");
    peer_run(argc, argv);
    return 0;
}
