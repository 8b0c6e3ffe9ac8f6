// SPDX-License-Identifier: Apache-2.0
#include "storage/compaction.h"

#include <inttypes.h>

#include "base/assert.h"
#include "base/mem.h"
#include "storage/compaction_job.h"
#include "storage/damage.h"

struct compaction {
    struct store *store;
    struct writer cursors[STORE_LEVEL_COUNT]; /* round robin: the last key compacted of each level */
    struct compaction_plan plan;
    struct compaction_job work;
    struct block_hold inputs;
    struct io_job job;
    struct manifest_commit commit;
    struct version *version; /* pinned while a plan is carried out */
    bool running, moving;    /* moving: no job, only an edit */
    uint64_t started_ns;
    struct manifest_commit sweep;
    bool sweeping;
    uint64_t swept; /* generation of the range deletions that were swept last */
    struct io_timer retry;
    struct io_timer pause; /* between two steps */
    uint64_t step_ns, step_bytes, step_uses;
};

/* ---- sweep ------------------------------------------------------------------------------------------- */

static bool tombstone_overlaps(const struct tombstone *t, const struct run *run) {
    return slice_compare(run->meta.last, t->from) >= 0 && slice_compare(run->meta.first, t->to) < 0;
}

/* Drops the runs that `t` touches and deletions cover; true when some run still has something to hide. */
static bool sweep_tombstone(const struct version *version, const struct tombstone *t, struct writer *edit) {
    bool needed = false;
    for (uint32_t l = 0; l < STORE_LEVEL_COUNT; l++) {
        const struct version_level *level = &version->levels[l];
        for (size_t i = l == 0 ? 0 : version_level_find(level, t->from); i < level->count; i++) {
            const struct run *run = level->runs[i];
            if (!tombstone_overlaps(t, run)) {
                if (l == 0) continue;
                break;
            }
            if (run->meta.first_sequence > t->sequences[0]) continue;
            bool dead = !run->compacting && tombstone_set_covers(&version->tombstones->set, run->meta.first,
                                                                 run->meta.last, run->meta.last_sequence);
            /* A run under several fragments is dropped with the one that holds its first key. */
            bool mine = slice_compare(run->meta.first, t->from) >= 0;
            if (dead && mine) edit_run_drop(edit, l, run->table->source.number, run->meta.first);
            if (!dead) needed = true;
        }
    }
    return needed;
}

static void sweep_prepare(struct manifest_commit *commit, struct writer *edit) {
    struct compaction *c = CONTAINER_OF(commit, struct compaction, sweep);
    const struct version *version = c->store->versions.current;
    c->swept = version->tombstones->generation;
    for (size_t i = 0; i < version->tombstones->set.count; i++) {
        const struct tombstone *t = &version->tombstones->set.fragments[i];
        if (!sweep_tombstone(version, t, edit)) edit_tombstone_drop(edit, t->from, t->to, t->sequences[0]);
    }
}

static void sweep_done(struct manifest_commit *commit, enum status status, struct slice edit) {
    struct compaction *c = CONTAINER_OF(commit, struct compaction, sweep);
    c->sweeping = false;
    if (status == STATUS_OK && edit.size > 0) {
        status = version_set_apply(&c->store->versions, edit, NULL);
        ASSERT(status == STATUS_OK);
        c->swept = c->store->versions.current->tombstones->generation;
    }
    if (status == STATUS_IO) store_fail(c->store, STATUS_IO);
    compaction_consider(c);
    store_changed(c->store);
}

/* ---- one compaction ---------------------------------------------------------------------------------- */

static void mark(struct compaction *c, bool compacting) {
    const struct run **groups[2] = {c->plan.upper, c->plan.lower};
    size_t counts[2] = {c->plan.upper_count, c->plan.lower_count};
    for (size_t g = 0; g < 2; g++) {
        for (size_t i = 0; i < counts[g]; i++) {
            struct run *run = (struct run *)(uintptr_t)groups[g][i];
            run->compacting = compacting;
        }
    }
}

/* A read that fails so often in a row counts as damage. */
#define READ_FAILURES_MAX 4u

/* A read failed: true when it has failed too often. */
static bool note_failure(struct compaction *c) {
    struct run *run = (struct run *)(uintptr_t)c->work.merge.gap.run;
    return run != NULL && ++run->read_failures >= READ_FAILURES_MAX;
}

/* What the job could not read; when it is not known where, none of the inputs is touched again. */
static void note_damage(struct compaction *c) {
    const struct merge_gap *gap = &c->work.merge.gap;
    struct run *run = (struct run *)(uintptr_t)gap->run;
    if (run == NULL) {
        for (size_t i = 0; i < c->plan.upper_count; i++)
            ((struct run *)(uintptr_t)c->plan.upper[i])->damaged = true;
        for (size_t i = 0; i < c->plan.lower_count; i++)
            ((struct run *)(uintptr_t)c->plan.lower[i])->damaged = true;
        return;
    }
    struct slice first = writer_slice(&gap->first), last = writer_slice(&gap->last);
    MAYBE(damage_found(c->store, run, first, last));
    /* Deleted for the job, too, and yet in its way: only the deletion of all of the run helps. Of one that
     * came after the job began, or is not in a table yet, the next compaction knows. */
    const struct tombstone_set *known = &c->version->tombstones->set;
    if (damage_is_deleted(&known, 1, first, last, true, run->meta.last_sequence, UINT64_MAX))
        MAYBE(damage_found(c->store, run, run->meta.first, run->meta.last));
}

static void end(struct compaction *c, enum status status) {
    struct store *store = c->store;
    mark(c, false);
    if (status == STATUS_UNAVAILABLE && note_failure(c)) status = STATUS_CORRUPT;
    if (status == STATUS_CORRUPT) note_damage(c);
    if (!c->moving) compaction_job_release(&c->work, status != STATUS_OK && status != STATUS_IO);
    block_hold_release(&c->inputs);
    compaction_plan_release(&c->plan);
    c->running = c->moving = false;
    c->swept = 0;
    version_unpin(c->version);
    c->version = NULL;
    if (status == STATUS_CORRUPT) {
        log_error(store->log, "compaction met damaged bytes and leaves those tables alone dir=%s",
                  store->dir);
    } else if (status == STATUS_NO_SPACE || status == STATUS_UNAVAILABLE || status == STATUS_BUSY) {
        log_warn(store->log, "compaction is waiting dir=%s reason=\"%s\"", store->dir,
                 status == STATUS_NO_SPACE      ? "no room"
                 : status == STATUS_UNAVAILABLE ? "a read failed"
                                                : "too many open files");
        io_timer_set(store->io, &c->retry, io_now_ns(store->io) + STORE_RETRY_NS);
    } else if (status != STATUS_OK && status != STATUS_CANCELLED) {
        log_error(store->log, "compaction failed reason=%s", status_name(status));
        store_fail(store, STATUS_IO);
    }
    compaction_consider(c);
    store_changed(store);
}

static void drop_inputs(const struct compaction_plan *plan, struct writer *edit) {
    for (size_t i = 0; i < plan->upper_count; i++)
        edit_run_drop(edit, plan->level, plan->upper[i]->table->source.number, plan->upper[i]->meta.first);
    for (size_t i = 0; i < plan->lower_count; i++)
        edit_run_drop(edit, plan->output_level, plan->lower[i]->table->source.number,
                      plan->lower[i]->meta.first);
}

static void commit_prepare(struct manifest_commit *commit, struct writer *edit) {
    struct compaction *c = CONTAINER_OF(commit, struct compaction, commit);
    const struct version *version = c->store->versions.current;
    const struct compaction_plan *plan = &c->plan;
    edit_number(edit, EDIT_NEXT_FILE, c->store->versions.next_file);
    drop_inputs(plan, edit);
    if (c->moving) {
        for (size_t i = 0; i < plan->upper_count; i++) {
            const struct table_run_meta *run = &plan->upper[i]->meta;
            uint32_t level = compaction_deepest(version, plan, plan->output_level, run->first, run->last);
            edit_run_add(edit, level, plan->upper[i]->table->source.number, run);
        }
        return;
    }
    for (uint32_t i = 0; i < c->work.output.count; i++) {
        const struct table_meta *table = &c->work.output.tables[i];
        edit_table(edit, table);
        for (uint32_t k = 0; k < table->run_count; k++) {
            const struct table_run_meta *run = &table->runs[k];
            uint32_t level = compaction_deepest(version, plan, plan->output_level, run->first, run->last);
            edit_run_add(edit, level, table->number, run);
        }
    }
}

static void count(struct compaction *c) {
    struct store_stats *stats = &c->store->stats;
    uint64_t upper = 0, lower = 0;
    for (size_t i = 0; i < c->plan.upper_count; i++)
        upper += c->plan.upper[i]->meta.bytes;
    if (c->moving) {
        stats->moves++;
        stats->level_moved_bytes[c->plan.level] += upper;
        return;
    }
    uint64_t out = store_count_tables(c->store, &c->work.output);
    for (size_t i = 0; i < c->plan.lower_count; i++)
        lower += c->plan.lower[i]->meta.bytes;
    STATIC_ASSERT(COMPACTION_SMALL - COMPACTION_LEVEL0 == STORE_COMPACTION_REASONS - 1, "the same order");
    stats->compactions++;
    stats->compaction_reasons[c->plan.reason - COMPACTION_LEVEL0]++;
    stats->compaction_read_bytes += upper + lower;
    stats->compaction_write_bytes += out;
    stats->level_read_bytes[c->plan.level] += upper;
    stats->level_read_bytes[c->plan.output_level] += lower;
    stats->level_write_bytes[c->plan.output_level] += out;
    histogram_add(&c->store->compaction_ns, io_now_ns(c->store->io) - c->started_ns);
}

static void commit_done(struct manifest_commit *commit, enum status status, struct slice edit) {
    struct compaction *c = CONTAINER_OF(commit, struct compaction, commit);
    struct store *store = c->store;
    if (status == STATUS_OK) {
        uint32_t tables = store->versions.current->level0_tables;
        status = version_set_apply(&store->versions, edit, NULL);
        ASSERT(status == STATUS_OK);
        count(c);
        tables -= MIN(tables, store->versions.current->level0_tables);
        store_stall_compacted(store, tables, c->started_ns);
    }
    end(c, status);
}

/* A step may need so many tables; how many all of them will is not known before. */
static void start_step(struct compaction *c) {
    struct version_set *versions = &c->store->versions;
    uint64_t numbers = compaction_job_step_tables(&c->work);
    if (c->work.number_count < numbers) {
        c->work.next_number = versions->next_file;
        c->work.number_count = numbers;
        versions->next_file += numbers;
    }
    c->step_ns = io_now_ns(c->store->io);
    io_job_start(c->store->io, &c->job);
}

/* Counts what others do with the store. */
static uint64_t uses(const struct store *store) {
    const struct block_cache_counters *cache = block_cache_counters(store->cache);
    return store->stats.write_batches + store->stats.gets + cache->hits + cache->misses + cache->reads;
}

/* How long to leave the disk and the processor to others after a step. */
static uint64_t pause_ns(struct compaction *c) {
    struct store *store = c->store;
    uint64_t rate = store->options.compaction_bytes_per_s, now = uses(store);
    uint64_t bytes = c->work.work_bytes - c->step_bytes, took_ns = io_now_ns(store->io) - c->step_ns;
    bool alone = now == c->step_uses;
    c->step_uses = now;
    c->step_bytes = c->work.work_bytes;
    bool urgent = c->plan.urgent || store->versions.current->level0_tables >= STORE_LEVEL0_SLOW;
    if (rate == 0 || alone || urgent) return 0;
    uint64_t due_ns = bytes * NS_PER_S / rate;
    return due_ns > took_ns ? due_ns - took_ns : 0;
}

static void pause_over(struct io_timer *timer) {
    start_step(CONTAINER_OF(timer, struct compaction, pause));
}

static void job_run(struct io_job *job) {
    compaction_job_step(&CONTAINER_OF(job, struct compaction, job)->work);
}

static void job_done(struct io_job *job) {
    struct compaction *c = CONTAINER_OF(job, struct compaction, job);
    enum status status = c->work.status;
    if (c->store->shutting_down || c->store->status != STATUS_OK) {
        end(c, status == STATUS_OK || status == STATUS_PENDING ? STATUS_CANCELLED : status);
    } else if (status == STATUS_PENDING) {
        uint64_t wait_ns = pause_ns(c);
        if (wait_ns == 0)
            start_step(c);
        else
            io_timer_set(c->store->io, &c->pause, io_now_ns(c->store->io) + wait_ns);
    } else if (status == STATUS_OK) {
        manifest_submit(c->store->manifest, &c->commit);
    } else {
        end(c, status);
    }
}

static enum status hold_inputs(struct compaction *c) {
    const struct run **groups[2] = {c->plan.upper, c->plan.lower};
    size_t counts[2] = {c->plan.upper_count, c->plan.lower_count};
    enum status status = STATUS_OK;
    for (size_t g = 0; g < 2; g++) {
        for (size_t i = 0; i < counts[g] && status == STATUS_OK; i++) {
            const struct table_run_meta *run = &groups[g][i]->meta;
            status = block_hold_add(&c->inputs, &groups[g][i]->table->source);
            for (uint32_t k = 0; k < run->ref_count && status == STATUS_OK; k++)
                if (compaction_moves_in(&c->plan, run, run->refs[k].segment))
                    status = block_hold_add(&c->inputs, &run->refs[k].source->source);
        }
    }
    return status;
}

static void start(struct compaction *c) {
    struct store *store = c->store;
    c->running = true;
    c->started_ns = io_now_ns(store->io);
    c->version = store->versions.current;
    version_pin(c->version);
    mark(c, true);
    writer_clear(&c->cursors[c->plan.level]);
    writer_bytes(&c->cursors[c->plan.level], c->plan.upper[c->plan.upper_count - 1]->meta.first);
    c->moving = c->plan.moving;
    if (c->moving) {
        manifest_submit(store->manifest, &c->commit);
        return;
    }
    struct flush_options options = store_table_options(store);
    compaction_job_init(&c->work, &options, c->version, &c->plan);
    c->job = (struct io_job){.run = job_run, .done = job_done};
    enum status status = hold_inputs(c);
    if (status != STATUS_OK) {
        end(c, status == STATUS_CORRUPT || status == STATUS_BUSY ? status : STATUS_UNAVAILABLE);
        return;
    }
    c->step_bytes = 0;
    c->step_uses = uses(store);
    start_step(c);
}

void compaction_stop(struct compaction *c) {
    if (!io_timer_armed(&c->pause)) return;
    io_timer_cancel(c->store->io, &c->pause);
    end(c, STATUS_CANCELLED);
}

void compaction_consider(struct compaction *c) {
    struct store *store = c->store;
    if (store->status != STATUS_OK || store->shutting_down) return;
    const struct version *version = store->versions.current;
    if (!c->sweeping && version->tombstones->set.count > 0 && c->swept != version->tombstones->generation) {
        c->sweeping = true;
        manifest_submit(store->manifest, &c->sweep);
        return;
    }
    if (c->running || c->sweeping || io_timer_armed(&c->retry)) return;
    struct compaction_limits limits = {.base_bytes = store->options.table_bytes,
                                       .input_bytes = store->options.table_bytes / 2,
                                       .partition_prefix_size = store->options.partition_prefix_size,
                                       .full_segment = wal_released_segment(store->wal)};
    damage_review(store);
    compaction_pick(version, &limits, c->cursors, &c->plan);
    if (c->plan.reason != COMPACTION_NONE) start(c);
}

static void retry(struct io_timer *timer) {
    compaction_consider(CONTAINER_OF(timer, struct compaction, retry));
}

/* ---- life -------------------------------------------------------------------------------------------- */

struct compaction *compaction_new(struct store *store) {
    struct compaction *c = mem_calloc(1, sizeof *c);
    c->store = store;
    compaction_plan_init(&c->plan);
    c->commit = (struct manifest_commit){.prepare = commit_prepare, .done = commit_done};
    c->sweep = (struct manifest_commit){.prepare = sweep_prepare, .done = sweep_done};
    list_init(&c->commit.link);
    list_init(&c->sweep.link);
    for (size_t l = 0; l < STORE_LEVEL_COUNT; l++)
        writer_init(&c->cursors[l]);
    io_timer_init(&c->retry, retry);
    io_timer_init(&c->pause, pause_over);
    return c;
}

void compaction_free(struct compaction *c) {
    if (c == NULL) return;
    io_timer_cancel(c->store->io, &c->retry);
    io_timer_cancel(c->store->io, &c->pause);
    if (c->running) {
        if (!c->moving) compaction_job_release(&c->work, false);
        block_hold_release(&c->inputs);
        compaction_plan_release(&c->plan);
        version_unpin(c->version);
    }
    for (size_t l = 0; l < STORE_LEVEL_COUNT; l++)
        writer_release(&c->cursors[l]);
    mem_free(c);
}

bool compaction_stuck(const struct compaction *c) {
    return !c->running && !c->sweeping && !io_timer_armed(&c->retry);
}

bool compaction_idle(const struct compaction *c) {
    return !c->running && !c->sweeping;
}

struct flush_reserved compaction_reserved(const struct compaction *c) {
    if (!c->running) return (struct flush_reserved){0};
    return (struct flush_reserved){.parts = c->plan.parts, .count = c->plan.part_count};
}
