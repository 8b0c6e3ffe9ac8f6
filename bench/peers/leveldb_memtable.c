// SPDX-License-Identifier: Apache-2.0
/* LevelDB's memtable, a skip list, through its public C API. Package: libleveldb-dev. */
#include <leveldb/c.h>

#define DB(name) leveldb_##name
#include "memtable_peer.h"

static void peer_configure(void) {
    leveldb_options_set_write_buffer_size(options, GIB);
}

static void peer_get(struct bench_system *system, const uint8_t *key, uint32_t id) {
    (void)system;
    char *error = NULL;
    size_t size = 0;
    char *found = leveldb_get(db, read_options, (const char *)key, KEY, &size, &error);
    check(error == NULL, error);
    bench_work_check(found, size, id);
    leveldb_free(found);
}

static double peer_memory_mib(struct bench_system *system) {
    (void)system;
    char *text = leveldb_property_value(db, "leveldb.approximate-memory-usage");
    double bytes = text == NULL ? 0 : strtod(text, NULL);
    leveldb_free(text);
    return bytes / (double)MIB;
}

int main(int argc, char **argv) {
    printf(
        "# LevelDB %d.%d: skip list, write buffer 1 GiB (never flushes), its log on (it cannot be off) and\n"
        "# unsynced, no compression; otherwise its defaults\n",
        leveldb_major_version(), leveldb_minor_version());
    peer_run(argc, argv);
    return 0;
}
