// SPDX-License-Identifier: Apache-2.0
/* `sentinel bench storage`: the storage engine under the workloads of bench_storage_load.h.
 *
 * Every write is synced: "unsynced" means here that nobody waits for it. So much as WINDOW_BYTES may be under
 * way; then, or while the store asks to hold back, a commit waits, as the broker would. Values arrive in
 * buffers of their own, one a batch, as they do from a socket. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"
#include "cli/bench.h"
#include "cli/bench_storage_load.h"
#include "io/io_measure.h"
#include "storage/store.h"

#define WINDOW_BYTES (8 * MIB)
#define BATCH_BYTES  (64 * KIB) /* of the first buffer of a batch */

/* What a commit spends its time with: on the loop, of that with the CPU, until less is under way, until the
 * store lets it go on. */
enum { WAIT_LOOP, WAIT_CPU, WAIT_LOG, WAIT_STORE, WAIT_KINDS };

struct batch {
    struct store_write write;
    struct list link; /* idle */
    size_t bytes;
};
static struct {
    struct io *io;
    struct store *store;
    struct list idle;
    struct batch *open;
    struct buffer *buffer; /* of the values of the open batch */
    size_t buffer_used;
    size_t in_flight;
    double longest[WAIT_KINDS]; /* seconds, of one commit */
    enum store_compression compression;
    bool shut, flushed, ready;
    struct bench_report report;
} b;

static struct slice as_slice(struct load_bytes bytes) {
    return slice_make(bytes.data, bytes.size);
}

static void check(enum status status, const char *what) {
    if (status != STATUS_OK) load_fail(what, status_text(status));
}

static void engine_open(const char *dir, size_t memtable_bytes) {
    struct diagnostic why = {{0}};
    struct io_options io_options = {.backend = IO_BACKEND_AUTO};
    list_init(&b.idle);
    if (io_new(&io_options, &b.io, &why) != STATUS_OK) load_fail("io", why.text);
    struct store_options options = {.dir = dir,
                                    .memtable_bytes = memtable_bytes,
                                    .partition_prefix_size = 8,
                                    .compression = b.compression};
    if (store_open(b.io, &options, &b.store, &why) != STATUS_OK) load_fail("open", why.text);
}

static void write_done(struct store_write *write) {
    struct batch *batch = CONTAINER_OF(write, struct batch, write);
    check(write->status, "write");
    b.in_flight -= batch->bytes;
    store_write_clear(write);
    list_push_back(&b.idle, &batch->link);
}

static struct batch *open_batch(void) {
    if (b.open != NULL) return b.open;
    struct list *node = list_pop_front(&b.idle);
    if (node != NULL) {
        b.open = CONTAINER_OF(node, struct batch, link);
    } else {
        b.open = mem_calloc(1, sizeof *b.open);
        store_write_init(&b.open->write, write_done);
        list_init(&b.open->link);
    }
    b.open->bytes = 0;
    return b.open;
}

static void engine_put(struct load_bytes key, struct load_bytes value) {
    struct batch *batch = open_batch();
    if (b.buffer == NULL || b.buffer->size - b.buffer_used < value.size) {
        buffer_unref(b.buffer);
        b.buffer = buffer_new(MAX(value.size, BATCH_BYTES));
        b.buffer_used = 0;
    }
    uint8_t *at = b.buffer->data + b.buffer_used;
    memcpy(at, value.data, value.size);
    b.buffer_used += value.size;
    store_put(&batch->write, as_slice(key), (struct shared_slice){slice_make(at, value.size), b.buffer});
    batch->bytes += key.size + value.size;
}

static void engine_remove(struct load_bytes key) {
    store_delete(&open_batch()->write, as_slice(key));
    b.open->bytes += key.size;
}

static void engine_commit(bool sync) {
    struct batch *batch = b.open;
    b.open = NULL;
    buffer_unref(b.buffer);
    b.buffer = NULL;
    b.in_flight += batch->bytes;
    double started = io_measure_seconds(), spent[WAIT_KINDS] = {0}, cpu = io_measure_thread_seconds();
    store_write_submit(b.store, &batch->write);
    io_turn(b.io, 0);
    spent[WAIT_LOOP] = io_measure_seconds() - started;
    spent[WAIT_CPU] = io_measure_thread_seconds() - cpu;
    while (sync ? b.in_flight > 0 : b.in_flight > WINDOW_BYTES || store_stalled(b.store)) {
        int kind = store_stalled(b.store) ? WAIT_STORE : WAIT_LOG;
        started = io_measure_seconds();
        io_turn(b.io, NS_PER_S);
        spent[kind] += io_measure_seconds() - started;
    }
    for (int kind = 0; kind < WAIT_KINDS; kind++)
        b.longest[kind] = MAX(b.longest[kind], spent[kind]);
}

static void get_ready(struct store_get *get) {
    (void)get;
    b.ready = true;
}

static bool engine_get(struct load_bytes key, size_t *value_size) {
    struct store_get get = {.ready = get_ready};
    struct shared_slice value;
    enum status status;
    while ((b.ready = false, status = store_get(b.store, as_slice(key), &get, &value)) == STATUS_PENDING)
        while (!b.ready)
            io_turn(b.io, NS_PER_S);
    if (status == STATUS_NOT_FOUND) return false;
    check(status, "get");
    *value_size = value.bytes.size;
    shared_slice_unref(value);
    return true;
}

static void scan_ready(void *ctx) {
    (void)ctx;
    b.ready = true;
}

static uint64_t engine_scan(struct load_bytes from, struct load_bytes to) {
    struct store_iterator *it = store_iterator_open(b.store, as_slice(from), as_slice(to),
                                                    STORE_ITERATOR_SEQUENTIAL, scan_ready, NULL);
    uint64_t bytes = 0, sum = 0;
    bool begun = false;
    while (true) {
        b.ready = false;
        enum status status = begun ? store_iterator_next(it) : store_iterator_seek(it, as_slice(from));
        if (status == STATUS_PENDING) {
            while (!b.ready)
                io_turn(b.io, NS_PER_S);
            continue;
        }
        if (status == STATUS_END) break;
        check(status, "scan");
        begun = true;
        struct slice value = store_iterator_value(it).bytes;
        sum += load_touch(value.data, value.size);
        bytes += store_iterator_key(it).size + value.size;
    }
    store_iterator_close(it);
    return sum == 1 ? bytes + 1 : bytes; /* so that the sum is needed */
}

static void set_flag(void *ctx) {
    *(bool *)ctx = true;
}
static void flush_done(void *ctx, enum status status) {
    check(status, "flush");
    *(bool *)ctx = true;
}

static bool at_rest(void) {
    struct store_stats stats;
    store_stats(b.store, &stats);
    return stats.jobs_running == 0;
}

static void engine_settle(void) {
    while (b.in_flight > 0)
        io_turn(b.io, NS_PER_S);
    b.flushed = false;
    store_flush(b.store, flush_done, &b.flushed);
    while (!b.flushed)
        io_turn(b.io, NS_PER_S);
    while (!at_rest())
        io_turn(b.io, NS_PER_MS);
}

static uint64_t engine_written(void) {
    return io_stats(b.io).file_write_bytes;
}

static void print_stats(void) {
    struct store_stats s;
    store_stats(b.store, &s);
    double user = (double)s.write_bytes + 1;
    fprintf(stderr,
            "  user %.0f MiB; written per byte: log %.3f, flush %.3f, compaction %.3f (%" PRIu64
            " flushes, %" PRIu64 " compactions, %" PRIu64 " syncs, %" PRIu64 " stops, %.1f ms, %" PRIu64
            " pauses, %.1f ms)\n",
            user / (double)MIB, (double)s.wal_bytes / user, (double)s.flush_bytes / user,
            (double)s.compaction_write_bytes / user, s.flushes, s.compactions, s.wal_syncs, s.stalls,
            (double)s.stall_ns / 1e6, s.pauses, (double)s.pause_ns / 1e6);
    fprintf(stderr,
            "  longest in one commit: loop %.1f ms (CPU %.1f ms), waiting for the log %.1f ms, held back "
            "%.1f ms\n",
            b.longest[WAIT_LOOP] * 1e3, b.longest[WAIT_CPU] * 1e3, b.longest[WAIT_LOG] * 1e3,
            b.longest[WAIT_STORE] * 1e3);
    memset(b.longest, 0, sizeof b.longest);
    static const char *const reasons[] = {"level0", "size", "mended", "garbage", "sparse", "small"};
    fprintf(stderr, "  compactions by reason:");
    for (size_t i = 0; i < STORE_COMPACTION_REASONS; i++)
        if (s.compaction_reasons[i] > 0) fprintf(stderr, " %s %" PRIu64, reasons[i], s.compaction_reasons[i]);
    fprintf(stderr, "; moves %" PRIu64 "\n", s.moves);
}

static void engine_close(void) {
    print_stats();
    b.shut = false;
    store_shutdown(b.store, set_flag, &b.shut);
    while (!b.shut)
        io_turn(b.io, NS_PER_S);
    store_close(b.store);
    struct list *node;
    while ((node = list_pop_front(&b.idle)) != NULL) {
        struct batch *batch = CONTAINER_OF(node, struct batch, link);
        store_write_release(&batch->write);
        mem_free(batch);
    }
    io_free(b.io);
}

static void emit(const char *name, double value, const char *unit) {
    bench_report_add(&b.report, name, value, unit);
}

int bench_storage_main(int argc, char **argv) {
    static const struct load_engine engine = {.open = engine_open,
                                              .put = engine_put,
                                              .remove = engine_remove,
                                              .commit = engine_commit,
                                              .get = engine_get,
                                              .scan = engine_scan,
                                              .settle = engine_settle,
                                              .close = engine_close,
                                              .written = engine_written};
    struct load_options options;
    int status = load_parse(argc, argv, &options);
    if (status != 0) return status;
    bench_report_init(&b.report, "storage");
    b.compression = (enum store_compression)options.compression;
    fprintf(
        stderr,
        "sentinel: every write is synced; what is called unsynced is not waited for, up to %zu MiB of it. "
        "memtable %" PRIu64 " MiB, cache and tables at their defaults, compression %s\n",
        WINDOW_BYTES / MIB, options.memtable_mib,
        b.compression == STORE_COMPRESSION_NONE  ? "none"
        : b.compression == STORE_COMPRESSION_LZ4 ? "lz4"
                                                 : "zstd");
    load_run(&options, &engine, emit);
    load_cleanup(&options);
    if (options.peers) bench_report_peers(&b.report, argc, argv);
    bench_report_print(&b.report, options.json);
    return 0;
}
