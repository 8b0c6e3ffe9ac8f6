// SPDX-License-Identifier: Apache-2.0
#include "storage/checkpoint.h"

#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "storage/store_internal.h"

struct checkpoint {
    struct store *store;
    struct store_checkpoint *request; /* NULL: idle */
    struct io_job job;
    struct io_op op; /* tells a refusal */
    char *dir;
    struct version *version; /* pinned: its tables stay */
    uint64_t *tables;        /* numbers */
    size_t table_count, linked;
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
    if (io_unlink(io, layout_path(c->dir, LAYOUT_TEMPORARY, 0).text) != STATUS_OK) return;
}

static void run(struct io_job *job) {
    struct checkpoint *c = CONTAINER_OF(job, struct checkpoint, job);
    enum status status = make_dir(c);
    if (status == STATUS_OK) {
        status = link_tables(c);
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
    mem_free(c->dir);
    c->tables = NULL;
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
        c->table_count = c->linked = 0;
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
