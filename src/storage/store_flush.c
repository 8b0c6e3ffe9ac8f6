// SPDX-License-Identifier: Apache-2.0
#include "base/assert.h"
#include "base/mem.h"
#include "storage/compaction.h"
#include "storage/store_internal.h"

void store_rotate(struct store *store) {
    struct memtable *active = store->active;
    if (active->last_sequence == 0 || store->immutable_count == STORE_IMMUTABLE_MAX) return;
    store->immutables[store->immutable_count++] = active;
    store->active = memtable_new();
    wal_cut_chunk(store->wal);
}

struct flush_options store_table_options(const struct store *store) {
    return (struct flush_options){.io = store->io,
                                  .dir = store->dir,
                                  .store_id = store->store_id,
                                  .table_bytes = store->options.table_bytes,
                                  .partition_prefix_size = store->options.partition_prefix_size,
                                  .compression = store->options.compression};
}

static void flush_run(struct io_job *job) {
    struct store_flush *flush = CONTAINER_OF(job, struct store_flush, job);
    flush->status = flush_build(&flush->options, flush->memtable, &flush->output);
}

static void flush_end(struct store *store, enum status status) {
    struct store_flush *flush = &store->flush;
    flush->running = false;
    table_output_release(&flush->output);
    wal_places_view_release(&flush->places);
    bool wait = status == STATUS_NO_SPACE || status == STATUS_BUSY;
    if (wait && store->shutting_down) {
        store->shutdown_flush = SHUTDOWN_FLUSHED; /* the next start tries again, from the log */
    } else if (wait) {
        log_warn(store->log, "flush is waiting dir=%s reason=\"%s\"", store->dir,
                 status == STATUS_NO_SPACE ? "no room" : "too many open files");
        io_timer_set(store->io, &flush->retry, io_now_ns(store->io) + STORE_RETRY_NS);
    } else if (status != STATUS_OK) {
        log_error(store->log, "flush failed reason=%s", status_name(status));
        store_fail(store, STATUS_IO);
    }
    store_flush_start(store);
    store_changed(store);
}

static void flush_done(struct io_job *job) {
    struct store *store = CONTAINER_OF(job, struct store, flush.job);
    if (store->flush.status != STATUS_OK) {
        flush_end(store, store->flush.status);
        return;
    }
    manifest_submit(store->manifest, &store->flush.commit);
}

static void commit_prepare(struct manifest_commit *commit, struct writer *edit) {
    struct store *store = CONTAINER_OF(commit, struct store, flush.commit);
    struct flush_reserved reserved = compaction_reserved(store->compaction);
    if (!store->options.unlogged) edit_number(edit, EDIT_DURABLE, wal_durable_sequence(store->wal));
    flush_edit(&store->versions, store->flush.memtable, &store->flush.output, &reserved, edit);
}

static void commit_done(struct manifest_commit *commit, enum status status, struct slice edit) {
    struct store *store = CONTAINER_OF(commit, struct store, flush.commit);
    struct store_flush *flush = &store->flush;
    if (status != STATUS_OK) {
        if (status == STATUS_NO_SPACE) table_output_discard(&flush->output, store->io, store->dir);
        flush_end(store, status);
        return;
    }
    status = version_set_apply(&store->versions, edit, NULL);
    ASSERT(status == STATUS_OK);
    ASSERT(flush->memtable == store->immutables[0]);
    store->stats.flushes++;
    histogram_add(&store->flush_ns, io_now_ns(store->io) - flush->started_ns);
    store->stats.flush_bytes += store_count_tables(store, &flush->output);
    store->immutable_count--;
    memmove(store->immutables, store->immutables + 1, store->immutable_count * sizeof(void *));
    store->immutables[store->immutable_count] = NULL;
    store_stall_flushed(store, memtable_used(flush->memtable), flush->started_ns);
    memtable_unpin(flush->memtable);
    flush->memtable = NULL;
    if (store->status == STATUS_OK) wal_release(store->wal, store->versions.flushed_sequence);
    flush_end(store, STATUS_OK);
    store_flush_tell(store);
    compaction_consider(store->compaction);
}

static uint64_t last_sequence(const struct store *store) {
    if (store->active->last_sequence != 0 || store->immutable_count == 0) return store->active->last_sequence;
    return store->immutables[store->immutable_count - 1]->last_sequence;
}

/* The queue may have been full when somebody asked for the active memtable too. */
static void rotate_for_waiters(struct store *store) {
    LIST_FOREACH(it, &store->flush_waiters) {
        uint64_t sequence = CONTAINER_OF(it, struct store_flush_waiter, link)->sequence;
        if (store->active->first_sequence == 0 || sequence < store->active->first_sequence) continue;
        store_rotate(store);
        return;
    }
}

void store_flush_clip(struct store *store, uint64_t sequence) {
    LIST_FOREACH(it, &store->flush_waiters) {
        struct store_flush_waiter *waiter = CONTAINER_OF(it, struct store_flush_waiter, link);
        waiter->sequence = MIN(waiter->sequence, sequence);
    }
}

void store_flush_start(struct store *store) {
    struct store_flush *flush = &store->flush;
    if (store->shutdown_flush == SHUTDOWN_FLUSHED) return;
    if (!flush->running && store->status == STATUS_OK) rotate_for_waiters(store);
    if (flush->running || store->immutable_count == 0 || store->status != STATUS_OK) return;
    if (io_timer_armed(&flush->retry)) return;
    /* A table must not hold what the log has not made durable: it could still fail. */
    if (store->immutables[0]->last_sequence > wal_durable_sequence(store->wal)) return;
    flush->running = true;
    flush->started_ns = io_now_ns(store->io);
    flush->memtable = store->immutables[0];
    size_t bytes = memtable_bytes(flush->memtable);
    flush->places = wal_places_view_make(&store->places, flush->memtable->first_sequence,
                                         flush->memtable->last_sequence);
    flush->options = store_table_options(store);
    flush->options.first_number = store->versions.next_file;
    flush->options.places = &flush->places;
    store->versions.next_file += flush_numbers(bytes, store->options.table_bytes);
    table_output_init(&flush->output);
    flush->job = (struct io_job){.run = flush_run, .done = flush_done};
    io_job_start(store->io, &flush->job);
}

static void flush_retry(struct io_timer *timer) {
    struct store *store = CONTAINER_OF(timer, struct store, flush.retry);
    store_flush_start(store);
}

void store_flush_init(struct store *store) {
    list_init(&store->flush_waiters);
    store->flush.commit = (struct manifest_commit){.prepare = commit_prepare, .done = commit_done};
    list_init(&store->flush.commit.link);
    io_timer_init(&store->flush.retry, flush_retry);
}

void store_flush_release(struct store *store) {
    struct list *node;
    io_timer_cancel(store->io, &store->flush.retry);
    if (store->flush.running) table_output_release(&store->flush.output);
    wal_places_view_release(&store->flush.places);
    while ((node = list_pop_front(&store->flush_waiters)) != NULL)
        mem_free(CONTAINER_OF(node, struct store_flush_waiter, link));
}

void store_flush_tell(struct store *store) {
    LIST_FOREACH(it, &store->flush_waiters) {
        struct store_flush_waiter *waiter = CONTAINER_OF(it, struct store_flush_waiter, link);
        if (store->status == STATUS_OK && waiter->sequence > store->versions.flushed_sequence) continue;
        list_remove(&waiter->link);
        waiter->done(waiter->ctx, store->status);
        mem_free(waiter);
    }
}

/* An empty store has nothing to flush, and says so in the same way: on the loop, later. */
void store_flush(struct store *store, void (*done)(void *ctx, enum status status), void *ctx) {
    struct store_flush_waiter *waiter = mem_calloc(1, sizeof *waiter);
    list_init(&waiter->link);
    waiter->done = done;
    waiter->ctx = ctx;
    waiter->sequence = last_sequence(store);
    store_rotate(store);
    list_push_back(&store->flush_waiters, &waiter->link);
    store_flush_start(store);
    if (!store->refusing) {
        store->refusing = true;
        io_defer(store->io, &store->refuse);
    }
}
