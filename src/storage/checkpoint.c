// SPDX-License-Identifier: Apache-2.0
#include "storage/checkpoint.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "storage/store_internal.h"

#define COPY_BYTES (256 * KIB)

struct checkpoint {
    struct store *store;
    struct store_checkpoint *request; /* NULL: idle */
    struct io_job job;
    struct io_op op; /* tells a refusal */
    char *dir;
    struct version *version; /* pinned: its tables stay */
    uint64_t *tables;        /* numbers */
    size_t table_count, linked;
    struct checkpoint_log {
        uint64_t number; /* of the file */
        uint64_t copied; /* bytes; 0: linked */
    } * logs;            /* segments that the tables refer to */
    size_t log_count, logs_made;
    struct writer snapshot;
    struct store_checkpoint result; /* what the job writes */
};

/* ---- in the job -------------------------------------------------------------------------------------- */

static void count_name(void *ctx, const char *name, bool is_dir) {
    (void)name;
    (void)is_dir;
    (*(size_t *)ctx)++;
}

static enum status fail_at(struct checkpoint *c, enum status status, const char *path, const char *what) {
    return diagnose(&c->result.diagnostic, status, "%s %s: %s", path, what, status_text(status));
}

static enum status make_dir(struct checkpoint *c) {
    struct io *io = c->store->io;
    enum status status = io_mkdir(io, c->dir);
    size_t names = 0;
    if (status == STATUS_OK) status = io_list_dir(io, c->dir, count_name, &names);
    if (status != STATUS_OK) return fail_at(c, status, c->dir, "cannot be made");
    if (names > 0)
        return diagnose(&c->result.diagnostic, STATUS_EXISTS, "%s is there already and not empty", c->dir);
    return STATUS_OK;
}

static enum status link_tables(struct checkpoint *c) {
    struct io *io = c->store->io;
    for (; c->linked < c->table_count; c->linked++) {
        struct layout_path from = layout_path(c->store->dir, LAYOUT_TABLE, c->tables[c->linked]);
        struct layout_path to = layout_path(c->dir, LAYOUT_TABLE, c->tables[c->linked]);
        enum status status = io_link(io, from.text, to.text);
        if (status != STATUS_OK) return fail_at(c, status, to.text, "cannot be linked");
    }
    return STATUS_OK;
}

/* The segment that is still written to is copied: what comes behind is not the checkpoint's. */
static enum status copy_log(struct checkpoint *c, const char *from, const char *to, uint64_t size) {
    struct io *io = c->store->io;
    struct io_file *source = NULL, *copy = NULL;
    uint8_t *bytes = mem_alloc(COPY_BYTES);
    enum status status = io_file_open(io, from, IO_OPEN_READ, &source);
    if (status == STATUS_OK)
        status = io_file_open(io, to, IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_EXCLUSIVE, &copy);
    for (uint64_t at = 0; at < size && status == STATUS_OK; at += COPY_BYTES) {
        size_t part = (size_t)MIN(size - at, (uint64_t)COPY_BYTES), read = 0;
        status = io_file_read_at(source, bytes, part, at, &read);
        if (status == STATUS_OK && read < part) status = STATUS_CORRUPT;
        if (status == STATUS_OK) status = io_file_write_at(copy, slice_make(bytes, part), at);
    }
    if (status == STATUS_OK) status = io_file_sync(copy);
    if (source != NULL) io_file_close(source);
    if (copy != NULL) io_file_close(copy);
    mem_free(bytes);
    return status;
}

static enum status take_logs(struct checkpoint *c) {
    for (; c->logs_made < c->log_count; c->logs_made++) {
        const struct checkpoint_log *log = &c->logs[c->logs_made];
        struct layout_path from = layout_path(c->store->dir, LAYOUT_LOG, log->number);
        struct layout_path to = layout_path(c->dir, LAYOUT_LOG, log->number);
        enum status status = log->copied > 0 ? copy_log(c, from.text, to.text, log->copied)
                                             : io_link(c->store->io, from.text, to.text);
        if (status == STATUS_OK) continue;
        c->logs_made += log->copied > 0; /* a part of it may be there */
        return fail_at(c, status, to.text, log->copied > 0 ? "cannot be copied" : "cannot be linked");
    }
    return STATUS_OK;
}

static enum status mark(struct checkpoint *c) {
    struct layout_path path = layout_path(c->dir, LAYOUT_CHECKPOINT, 0);
    struct io_file *file;
    enum status status = io_file_open(c->store->io, path.text,
                                      IO_OPEN_WRITE | IO_OPEN_CREATE | IO_OPEN_EXCLUSIVE, &file);
    if (status != STATUS_OK) return fail_at(c, status, path.text, "cannot be made");
    io_file_close(file);
    return STATUS_OK;
}

/* The entries of every directory on the way, up to the store's own parent. */
static enum status sync_parents(struct checkpoint *c) {
    char parent[LAYOUT_DIR_SIZE_MAX + 1];
    snprintf(parent, sizeof parent, "%s", c->dir);
    enum status status = STATUS_OK;
    for (char *slash; status == STATUS_OK && (slash = strrchr(parent, '/')) != NULL && slash != parent;) {
        *slash = 0;
        status = io_sync_dir(c->store->io, parent);
        if (strcmp(parent, c->store->dir) == 0) break;
    }
    return status == STATUS_OK ? status : fail_at(c, status, parent, "cannot be synced");
}

/* What a failed attempt has made; what cannot be removed stays for the operator, who hears why. */
static void remove_all(struct checkpoint *c) {
    struct io *io = c->store->io;
    for (size_t i = 0; i < c->linked; i++)
        if (io_unlink(io, layout_path(c->dir, LAYOUT_TABLE, c->tables[i]).text) != STATUS_OK) continue;
    for (size_t i = 0; i < c->logs_made; i++)
        if (io_unlink(io, layout_path(c->dir, LAYOUT_LOG, c->logs[i].number).text) != STATUS_OK) continue;
    if (io_unlink(io, layout_path(c->dir, LAYOUT_CHECKPOINT, 0).text) != STATUS_OK) return;
    if (io_unlink(io, layout_path(c->dir, LAYOUT_TEMPORARY, 0).text) != STATUS_OK) return;
}

static void run(struct io_job *job) {
    struct checkpoint *c = CONTAINER_OF(job, struct checkpoint, job);
    enum status status = make_dir(c);
    if (status == STATUS_OK) {
        status = mark(c);
        if (status == STATUS_OK) status = link_tables(c);
        if (status == STATUS_OK) status = take_logs(c);
        /* The names must be there before a manifest needs them. */
        if (status == STATUS_OK) status = io_sync_dir(c->store->io, c->dir);
        if (status == STATUS_OK) {
            struct manifest_header header = {.store_id = c->store->store_id, .generation = 1};
            status = manifest_create(c->store->io, c->dir, &header, writer_slice(&c->snapshot));
            if (status != STATUS_OK) fail_at(c, status, c->dir, "gets no manifest");
        }
        if (status == STATUS_OK) status = sync_parents(c);
        if (status != STATUS_OK) remove_all(c);
    }
    c->result.status = status;
}

/* ---- on the loop ------------------------------------------------------------------------------------- */

static void release(struct checkpoint *c) {
    if (c->version != NULL) version_unpin(c->version);
    c->version = NULL;
    mem_free(c->tables);
    mem_free(c->logs);
    mem_free(c->dir);
    c->tables = NULL;
    c->logs = NULL;
    c->dir = NULL;
    writer_release(&c->snapshot);
}

static void finish(struct checkpoint *c, enum status status) {
    struct store_checkpoint *request = c->request;
    request->status = status;
    request->diagnostic = c->result.diagnostic;
    request->tables = c->result.tables;
    request->bytes = c->result.bytes;
    c->request = NULL;
    release(c);
    request->done(request);
    store_changed(c->store);
}

static void job_done(struct io_job *job) {
    struct checkpoint *c = CONTAINER_OF(job, struct checkpoint, job);
    finish(c, c->result.status);
}

static void take_version(struct checkpoint *c) {
    struct version_set *versions = &c->store->versions;
    c->version = versions->current;
    version_pin(c->version);
    c->tables = mem_alloc(MAX(versions->tables.count, (size_t)1) * sizeof *c->tables);
    MAP_FOREACH(it, &versions->tables) {
        const struct table *table = MAP_ENTRY(it)->value;
        if (table->run_count == 0) continue; /* only older versions still read it */
        c->tables[c->table_count++] = table->source.number;
        c->result.bytes += table->size;
    }
    c->result.tables = c->table_count;
    uint64_t end, current = wal_current_segment(c->store->wal, &end);
    c->logs = mem_alloc(MAX(versions->logs.count, (size_t)1) * sizeof *c->logs);
    MAP_FOREACH(it, &versions->logs) {
        const struct log_source *log = MAP_ENTRY(it)->value;
        if (log->live_bytes == 0) continue;
        c->logs[c->log_count++] = (struct checkpoint_log){.number = log->source.number,
                                                          .copied = log->segment == current ? end : 0};
        c->result.bytes += log->segment == current ? end : log->size;
    }
    /* There is no log beside it: what is in tables is all that it knows to be durable. */
    uint64_t durable = versions->durable_sequence;
    versions->durable_sequence = versions->flushed_sequence;
    version_set_snapshot(versions, &c->snapshot);
    versions->durable_sequence = durable;
}

static void flushed(void *ctx, enum status status) {
    struct checkpoint *c = ctx;
    if (c->request == NULL) return; /* stopped meanwhile */
    if (status != STATUS_OK) {
        diagnose(&c->result.diagnostic, status, "what is in memory cannot be written to tables: %s",
                 status_text(status));
        finish(c, status);
        return;
    }
    take_version(c);
    c->job = (struct io_job){.run = run, .done = job_done};
    io_job_start(c->store->io, &c->job);
}

struct refusal {
    struct io_op op;
    struct store_checkpoint *request;
};

static void refused(struct io_op *op) {
    struct refusal *refusal = CONTAINER_OF(op, struct refusal, op);
    struct store_checkpoint *request = refusal->request;
    mem_free(refusal);
    request->done(request);
}

static void refuse(struct store *store, struct store_checkpoint *request, enum status status,
                   const char *what) {
    struct refusal *refusal = mem_calloc(1, sizeof *refusal);
    refusal->request = request;
    refusal->op.done = refused;
    request->status = diagnose(&request->diagnostic, status, "%s", what);
    io_defer(store->io, &refusal->op);
}

bool store_dir_is_checkpoint(struct io *io, const char *dir) {
    struct io_file *file;
    if (strlen(dir) > LAYOUT_DIR_SIZE_MAX) return false;
    if (io_file_open(io, layout_path(dir, LAYOUT_CHECKPOINT, 0).text, IO_OPEN_READ, &file) != STATUS_OK)
        return false;
    io_file_close(file);
    return true;
}

bool store_is_checkpoint(const struct store *store) {
    return store->is_checkpoint;
}

enum status store_take_over(struct store *store) {
    if (!store->is_checkpoint) return STATUS_OK;
    enum status status = io_unlink(store->io, layout_path(store->dir, LAYOUT_CHECKPOINT, 0).text);
    if (status == STATUS_OK) status = io_sync_dir(store->io, store->dir);
    if (status == STATUS_OK) store->is_checkpoint = false;
    return status;
}

void store_checkpoint(struct store *store, const char *dir, struct store_checkpoint *request) {
    struct checkpoint *c = store->checkpoint;
    if (strlen(dir) > LAYOUT_DIR_SIZE_MAX) {
        refuse(store, request, STATUS_INVALID, "the name of the directory is too long");
    } else if (store->status != STATUS_OK || store->shutting_down || c == NULL) {
        refuse(store, request, store->status != STATUS_OK ? store->status : STATUS_CLOSED,
               "the store takes no more writes");
    } else if (c->request != NULL) {
        refuse(store, request, STATUS_BUSY, "another checkpoint is being made");
    } else {
        c->request = request;
        c->dir = mem_strdup(dir);
        c->table_count = c->linked = c->log_count = c->logs_made = 0;
        c->result = (struct store_checkpoint){.status = STATUS_OK};
        store_flush(store, flushed, c);
    }
}

/* ---- life -------------------------------------------------------------------------------------------- */

struct checkpoint *checkpoint_new(struct store *store) {
    struct checkpoint *c = mem_calloc(1, sizeof *c);
    c->store = store;
    writer_init(&c->snapshot);
    return c;
}

void checkpoint_free(struct checkpoint *c) {
    if (c == NULL) return;
    release(c);
    mem_free(c);
}

void checkpoint_stop(struct checkpoint *c) {
    if (c->request == NULL || c->version != NULL) return;
    diagnose(&c->result.diagnostic, STATUS_CLOSED, "the store is closing");
    finish(c, STATUS_CLOSED);
}

bool checkpoint_idle(const struct checkpoint *c) {
    return c->request == NULL;
}
