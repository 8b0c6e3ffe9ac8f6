// SPDX-License-Identifier: Apache-2.0
#include "storage/store.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "storage/checkpoint.h"
#include "storage/compaction.h"
#include "storage/damage.h"
#include "storage/scrub.h"
#include "storage/store_internal.h"

/* ---- the durable watermark --------------------------------------------------------------------------- */

/* The segment to seal: of a store that stops, the one that was written to. */
static uint64_t seal_due(const struct store *store) {
    uint64_t end, current = store->shutting_down ? wal_current_segment(store->wal, &end) : 0;
    return current > store->versions.sealed_segment ? current : 0;
}

static bool watermark_due(const struct store *store) {
    return store->status == STATUS_OK && !store->watermark.running && !store->options.unlogged &&
           (wal_durable_sequence(store->wal) > store->versions.durable_sequence || seal_due(store) > 0);
}

static void watermark_prepare(struct manifest_commit *commit, struct writer *edit) {
    struct store *store = CONTAINER_OF(commit, struct store, watermark.commit);
    uint64_t durable = wal_durable_sequence(store->wal);
    if (durable > store->versions.durable_sequence) edit_number(edit, EDIT_DURABLE, durable);
    if (seal_due(store) > 0) edit_number(edit, EDIT_SEALED, seal_due(store));
}

static void watermark_done(struct manifest_commit *commit, enum status status, struct slice edit) {
    struct store *store = CONTAINER_OF(commit, struct store, watermark.commit);
    store->watermark.running = false;
    if (status == STATUS_OK && edit.size > 0) status = version_set_apply(&store->versions, edit, NULL);
    if (status == STATUS_IO) store_fail(store, STATUS_IO);
}

static void watermark_start(struct store *store) {
    store->watermark.running = true;
    manifest_submit(store->manifest, &store->watermark.commit);
}

static void watermark_fire(struct io_timer *timer) {
    struct store *store = CONTAINER_OF(timer, struct store, watermark.timer);
    if (watermark_due(store)) watermark_start(store);
}

void store_watermark_later(struct store *store) {
    if (store->shutting_down) return;
    io_timer_set(store->io, &store->watermark.timer, io_now_ns(store->io) + STORE_WATERMARK_NS);
}

/* ---- opening ----------------------------------------------------------------------------------------- */

static void fill_options(struct store_options *options) {
    if (options->memtable_bytes == 0) options->memtable_bytes = STORE_MEMTABLE_BYTES;
    if (options->cache_bytes == 0) options->cache_bytes = STORE_CACHE_BYTES;
    if (options->wal_segment_bytes == 0) options->wal_segment_bytes = STORE_SEGMENT_BYTES;
    if (options->table_bytes == 0) options->table_bytes = STORE_TABLE_BYTES;
    options->wal_segment_bytes = MAX(options->wal_segment_bytes, WAL_SEGMENT_SIZE_MIN);
}

static enum status cannot_make(const struct store *store, enum status status, struct diagnostic *diagnostic) {
    return diagnose(diagnostic, status, "data directory %s cannot be made: %s", store->dir,
                    status_text(status));
}

static enum status make_dir(struct store *store, struct diagnostic *diagnostic) {
    enum status status = io_mkdir(store->io, store->dir);
    return status == STATUS_OK ? STATUS_OK : cannot_make(store, status, diagnostic);
}

enum status store_sync_parent(struct store *store, struct diagnostic *diagnostic) {
    char parent[LAYOUT_DIR_SIZE_MAX + 8];
    size_t size = strlen(store->dir);
    while (size > 1 && store->dir[size - 1] == '/')
        size--;
    while (size > 0 && store->dir[size - 1] != '/')
        size--;
    if (size == 0)
        snprintf(parent, sizeof parent, ".");
    else
        snprintf(parent, sizeof parent, "%.*s", (int)size, store->dir);
    enum status status = io_sync_dir(store->io, parent);
    return status == STATUS_OK ? STATUS_OK : cannot_make(store, status, diagnostic);
}

static enum status take_lock(struct store *store, struct diagnostic *diagnostic) {
    if (store->options.read_only) return STATUS_OK;
    struct layout_path path = layout_path(store->dir, LAYOUT_LOCK, 0);
    enum status status = io_lock_file(store->io, path.text, &store->lock);
    if (status == STATUS_LOCKED)
        return diagnose(diagnostic, status,
                        "%s is in use by another process; stop it, or use another data directory",
                        store->dir);
    if (status != STATUS_OK)
        return diagnose(diagnostic, status, "%s cannot be locked: %s", path.text, status_text(status));
    return STATUS_OK;
}

uint64_t store_next_file(void *ctx) {
    struct store *store = ctx;
    return store->versions.next_file++;
}

static void log_file(void *ctx, struct log_source *log) {
    struct store *store = ctx;
    struct wal_segment_info info;
    if (store->wal == NULL || !wal_segment_info(store->wal, log->segment, &info)) return;
    log->source.number = info.file_number;
    log->size = info.size;
    log->first_sequence = info.first_sequence;
}

/* The last table that referred to a segment of the log is gone. */
static void log_unpinned(void *ctx) {
    struct store *store = ctx;
    if (store->wal != NULL && store->status == STATUS_OK)
        wal_release(store->wal, store->versions.flushed_sequence);
}

void store_versions_init(struct store *store) {
    version_set_init(&store->versions, store->io, store->dir, store->log);
    if (store->options.open_files_max > 0) store->versions.files.limit = store->options.open_files_max;
    store->versions.cache = store->cache;
    store->versions.changed = store_changed;
    store->versions.log_file = log_file;
    store->versions.log_unpinned = log_unpinned;
    store->versions.ctx = store;
}

/* Writes that were refused get their answer here, and flushes that had nothing to do. */
static void refuse_done(struct io_op *op) {
    struct store *store = CONTAINER_OF(op, struct store, refuse);
    store->refusing = false;
    struct list writes;
    list_init(&writes);
    list_append(&writes, &store->refused);
    struct list *node;
    while ((node = list_pop_front(&writes)) != NULL) {
        struct store_write *write = CONTAINER_OF(node, struct store_write, link);
        write->done(write);
    }
    store_flush_tell(store);
    store_changed(store);
}

/* The first jobs start on the loop: who opens a store and then finds a reason not to go on closes it at rest.
 */
static void begin(struct io_op *op) {
    struct store *store = CONTAINER_OF(op, struct store, begin);
    wal_begin(store->wal);
    compaction_consider(store->compaction);
}

static void shutdown_told(struct io_op *op);

enum status store_open(struct io *io, const struct store_options *options, struct store **out,
                       struct diagnostic *diagnostic) {
    if (strlen(options->dir) > LAYOUT_DIR_SIZE_MAX)
        return diagnose(diagnostic, STATUS_INVALID, "the name of the data directory is too long");
    struct store *store = mem_calloc(1, sizeof *store);
    store->io = io;
    store->dir = mem_strdup(options->dir);
    store->options = *options;
    store->options.dir = store->dir;
    fill_options(&store->options);
    store->log = options->log;
    store->status = STATUS_OK;
    list_init(&store->iterators);
    list_init(&store->refused);
    store->refuse.done = refuse_done;
    store->shutdown_op.done = shutdown_told;
    store->begin.done = begin;
    list_init(&store->begin.link);
    histogram_init(&store->write_ns);
    histogram_init(&store->flush_ns);
    histogram_init(&store->compaction_ns);
    store->cache = block_cache_new(io, store->options.cache_bytes, store->log, store_changed, store);
    store_versions_init(store);
    wal_places_init(&store->places);
    store->active = memtable_new();
    store_flush_init(store);
    store_stall_init(store);
    damage_init(store);
    store->watermark.commit = (struct manifest_commit){.prepare = watermark_prepare, .done = watermark_done};
    list_init(&store->watermark.commit.link);
    io_timer_init(&store->watermark.timer, watermark_fire);
    enum status status = options->read_only ? STATUS_OK : make_dir(store, diagnostic);
    if (status == STATUS_OK) status = take_lock(store, diagnostic);
    if (status == STATUS_OK) status = recovery_run(store, diagnostic);
    if (status == STATUS_OK && options->unlogged && wal_live_bytes(store->wal) > 0)
        status = diagnose(diagnostic, STATUS_INVALID, "%s holds a log: it cannot be used without one",
                          store->dir);
    if (status != STATUS_OK) {
        store_close(store);
        return status;
    }
    if (!options->read_only) {
        store->compaction = compaction_new(store);
        store->scrub = scrub_new(store);
        store->checkpoint = checkpoint_new(store);
        io_defer(io, &store->begin);
    }
    *out = store;
    return STATUS_OK;
}

void store_close(struct store *store) {
    io_defer_cancel(&store->begin);
    io_timer_cancel(store->io, &store->watermark.timer);
    store_flush_release(store);
    store_stall_release(store);
    damage_release(store);
    compaction_free(store->compaction);
    scrub_free(store->scrub);
    checkpoint_free(store->checkpoint);
    if (store->wal != NULL) wal_free(store->wal);
    store->wal = NULL;
    wal_places_release(&store->places);
    if (store->manifest != NULL) manifest_close(store->manifest);
    LIST_FOREACH(it, &store->iterators)
        list_remove(it);
    memtable_unpin(store->active);
    for (uint32_t i = 0; i < store->immutable_count; i++)
        memtable_unpin(store->immutables[i]);
    store->versions.keep_files = true;
    store->versions.cache = NULL;
    block_cache_free(store->cache);
    version_set_release(&store->versions);
    if (store->lock != NULL) io_file_close(store->lock);
    mem_free(store->dir);
    mem_free(store);
}

/* ---- states ------------------------------------------------------------------------------------------ */

void store_fail(struct store *store, enum status status) {
    if (store->status != STATUS_OK) return;
    log_error(store->log, "store takes no more writes dir=%s reason=%s", store->dir, status_name(status));
    store->status = status;
    if (store->refusing) return;
    store->refusing = true; /* flush waiters hear of it */
    io_defer(store->io, &store->refuse);
}

enum status store_health(const struct store *store) {
    return store->status;
}

/* ---- rest -------------------------------------------------------------------------------------------- */

/* What is in memory when the store stops becomes tables, so that the next start has nothing to read back. */
static void shutdown_flushed(void *ctx, enum status status) {
    struct store *store = ctx;
    (void)status; /* what could not be flushed is in the log */
    store->shutdown_flush = SHUTDOWN_FLUSHED;
    store_changed(store);
}

static bool at_rest(const struct store *store) {
    return store->shutdown_flush == SHUTDOWN_FLUSHED && wal_idle(store->wal) &&
           manifest_idle(store->manifest) && !store->flush.running && compaction_idle(store->compaction) &&
           version_set_idle(&store->versions) && scrub_idle(store->scrub) &&
           checkpoint_idle(store->checkpoint) && !store->watermark.running &&
           block_cache_idle(store->cache) && !store->refusing && !store->damage.telling;
}

void store_changed(void *ctx) {
    struct store *store = ctx;
    store_stall_look(store);
    if (store->shutting_down && store->shutdown_flush == SHUTDOWN_FLUSH_DUE && wal_idle(store->wal)) {
        store->shutdown_flush = SHUTDOWN_FLUSHING;
        store_flush(store, shutdown_flushed, store);
    }
    if (store->shutting_down && !store->watermark.last && store->shutdown_flush == SHUTDOWN_FLUSHED) {
        store->watermark.last = true; /* tried once: without room the shutdown does not wait for it */
        if (watermark_due(store)) watermark_start(store);
    }
    if (store->shutting_down && !store->shutdown_told && at_rest(store)) {
        store->shutdown_told = true;
        io_defer(store->io, &store->shutdown_op);
    }
}

static void shutdown_told(struct io_op *op) {
    struct store *store = CONTAINER_OF(op, struct store, shutdown_op);
    store->shutdown_done(store->shutdown_ctx);
}

void store_shutdown(struct store *store, void (*done)(void *ctx), void *ctx) {
    ASSERT(!store->shutting_down);
    store->shutting_down = true;
    store->shutdown_done = done;
    store->shutdown_ctx = ctx;
    io_timer_cancel(store->io, &store->flush.retry);                       /* another try, at once */
    if (store->options.unlogged) store->shutdown_flush = SHUTDOWN_FLUSHED; /* a benchmark's: it may go */
    if (store->options.read_only) {
        store->shutdown_told = true;
        io_defer(store->io, &store->shutdown_op);
        return;
    }
    io_timer_cancel(store->io, &store->watermark.timer);
    scrub_stop(store->scrub);
    compaction_stop(store->compaction);
    checkpoint_stop(store->checkpoint);
    store_changed(store);
}

void store_scrub(struct store *store, void (*done)(void *ctx), void *ctx) {
    scrub_round(store->scrub, done, ctx);
}
