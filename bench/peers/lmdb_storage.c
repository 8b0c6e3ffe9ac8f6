// SPDX-License-Identifier: Apache-2.0
/* LMDB under the workloads of src/cli/bench_storage_load.h (Debian: liblmdb-dev). */
#include <lmdb.h>
#include <stdio.h>
#include <string.h>

#include "cli/bench_storage_load.h"

#define MAP_SIZE ((size_t)64 << 30)

static MDB_env *env;
static MDB_dbi dbi;
static MDB_txn *batch, *reader;

static void check(int error, const char *what) {
    if (error != 0) load_fail(what, mdb_strerror(error));
}

static MDB_val as_val(struct load_bytes bytes) {
    return (MDB_val){bytes.size, (void *)(uintptr_t)bytes.data};
}

static void engine_open(const char *dir, size_t memtable_bytes) {
    (void)memtable_bytes; /* it has none */
    check(mdb_env_create(&env), "create");
    check(mdb_env_set_mapsize(env, MAP_SIZE), "map size");
    /* MDB_NOSYNC: commit does not sync; a synced commit is followed by mdb_env_sync. */
    check(mdb_env_open(env, dir, MDB_NOSYNC | MDB_NORDAHEAD, 0644), "open");
    MDB_txn *txn;
    check(mdb_txn_begin(env, NULL, 0, &txn), "begin");
    check(mdb_dbi_open(txn, NULL, 0, &dbi), "dbi");
    check(mdb_txn_commit(txn), "commit");
}

static MDB_txn *open_batch(void) {
    if (batch == NULL) check(mdb_txn_begin(env, NULL, 0, &batch), "begin");
    return batch;
}

static void engine_put(struct load_bytes key, struct load_bytes value) {
    MDB_val k = as_val(key), v = as_val(value);
    check(mdb_put(open_batch(), dbi, &k, &v, 0), "put");
}

static void engine_remove(struct load_bytes key) {
    MDB_val k = as_val(key);
    int error = mdb_del(open_batch(), dbi, &k, NULL);
    if (error != MDB_NOTFOUND) check(error, "delete");
}

static void engine_commit(bool sync) {
    check(mdb_txn_commit(batch), "commit");
    batch = NULL;
    if (sync) check(mdb_env_sync(env, 1), "sync");
}

static bool engine_get(struct load_bytes key, size_t *value_size) {
    if (reader == NULL)
        check(mdb_txn_begin(env, NULL, MDB_RDONLY, &reader), "begin");
    else
        check(mdb_txn_renew(reader), "renew");
    MDB_val k = as_val(key), v;
    int error = mdb_get(reader, dbi, &k, &v);
    mdb_txn_reset(reader);
    if (error == MDB_NOTFOUND) return false;
    check(error, "get");
    *value_size = v.mv_size;
    return true;
}

static uint64_t engine_scan(struct load_bytes from, struct load_bytes to) {
    MDB_txn *txn;
    MDB_cursor *cursor;
    check(mdb_txn_begin(env, NULL, MDB_RDONLY, &txn), "begin");
    check(mdb_cursor_open(txn, dbi, &cursor), "cursor");
    MDB_val key = as_val(from), value, end = as_val(to);
    uint64_t bytes = 0, sum = 0;
    for (int error = mdb_cursor_get(cursor, &key, &value, MDB_SET_RANGE); error == 0;
         error = mdb_cursor_get(cursor, &key, &value, MDB_NEXT)) {
        if (mdb_cmp(txn, dbi, &key, &end) >= 0) break;
        sum += load_touch(value.mv_data, value.mv_size);
        bytes += key.mv_size + value.mv_size;
    }
    mdb_cursor_close(cursor);
    mdb_txn_abort(txn);
    return sum == 1 ? bytes + 1 : bytes;
}

static void engine_settle(void) {
    check(mdb_env_sync(env, 1), "sync");
}

static void engine_close(void) {
    if (reader != NULL) mdb_txn_abort(reader);
    reader = NULL;
    mdb_env_close(env);
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
    printf("# LMDB %d.%d.%d: map of 64 GiB, no read-ahead by the kernel, commits unsynced, mdb_env_sync "
           "where a case "
           "is synced\n",
           MDB_VERSION_MAJOR, MDB_VERSION_MINOR, MDB_VERSION_PATCH);
    load_run(&load, &engine, load_print);
    load_cleanup(&load);
    return 0;
}
