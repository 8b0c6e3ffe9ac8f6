// SPDX-License-Identifier: Apache-2.0
#include "storage/scrub.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "storage/compaction.h"
#include "storage/damage.h"
#include "storage/table_cursor.h"
#include "storage/wal_reader.h"

#define NAME_SIZE 32

/* What a step found, for the loop to tell. */
struct finding {
    uint64_t offset;
    const char *what;
    struct run *run;   /* NULL: not in one */
    uint64_t log_file; /* number of the segment's file that it is in; 0: the table itself */
    uint64_t segment;  /* of the log */
    char after[96], last[96];
    struct writer gap_first, gap_last;
};

struct scrub {
    struct store *store;
    struct io_timer timer;
    struct io_job job;
    bool running, stopped;
    enum { AT_MANIFEST, AT_LOG, AT_TABLE } at;
    /* the log segment being read */
    uint64_t segment;
    struct wal_segment_info segment_info;
    uint64_t due; /* what comes before is in tables */
    uint64_t started_ns;
    uint64_t *tables; /* numbers, of this round, in order */
    size_t table_count, table_index;
    /* the table being read */
    struct version *version; /* pinned */
    struct table *table;
    struct block_hold files; /* it, and the segments it refers to */
    struct run **runs;       /* of the version */
    size_t run_count, run_index;
    bool has_cursor, seek;
    struct writer from; /* where the next seek goes */
    struct table_cursor cursor;
    /* of one step */
    uint64_t step_bytes;
    struct finding findings[SCRUB_FINDINGS_MAX];
    size_t finding_count;
    enum { STEP_MORE, STEP_TABLE_DONE } outcome;
    struct scrub_counters counters;
    void (*round_done)(void *ctx);
    void *round_ctx;
};

/* ---- in the job -------------------------------------------------------------------------------------- */

static struct finding *add_finding(struct scrub *scrub, uint64_t offset, const char *what) {
    scrub->counters.damaged++;
    if (scrub->finding_count == SCRUB_FINDINGS_MAX) return NULL;
    struct finding *finding = &scrub->findings[scrub->finding_count++];
    finding->offset = offset;
    finding->what = what;
    finding->run = NULL;
    finding->log_file = finding->segment = 0;
    return finding;
}

static const char *reason(enum status status, const char *damaged) {
    return status == STATUS_IO ? "cannot be read" : damaged;
}

/* Not opened for want of descriptors or rights: no damage, a later round reads it. */
static bool is_passed_over(enum status status) {
    return status == STATUS_BUSY || status == STATUS_DENIED;
}

static void check_block(struct scrub *scrub, struct table_handle handle, const char *damaged) {
    struct table *table = scrub->table;
    struct block_request request = {
        .source = &table->source, .offset = handle.offset, .size = handle.size, .kind = BLOCK_CHECKED};
    uint64_t size = block_request_size(&request);
    bool fits = handle.offset <= table->size && size <= table->size - handle.offset;
    enum status status = fits ? STATUS_OK : STATUS_CORRUPT;
    if (fits) {
        struct slice contents;
        uint8_t *bytes = mem_alloc(size);
        status = block_read(&request, bytes, &contents);
        mem_free(bytes);
        scrub->step_bytes += size;
    }
    if (status != STATUS_OK) add_finding(scrub, handle.offset, reason(status, damaged));
}

/* Footer, properties and filter: the cursor needs none of them. */
static void check_ends(struct scrub *scrub) {
    struct table *table = scrub->table;
    uint8_t bytes[TABLE_FOOTER_SIZE];
    size_t read = 0;
    uint64_t at = table->size - MIN(table->size, (uint64_t)TABLE_FOOTER_SIZE);
    enum status status = io_file_read_at(table->source.file, bytes, sizeof bytes, at, &read);
    struct table_footer footer;
    if (status == STATUS_OK) status = table_footer_decode(slice_make(bytes, read), &footer);
    if (status == STATUS_OK && footer.number != table->source.number) status = STATUS_CORRUPT;
    if (status == STATUS_OK)
        check_block(scrub, footer.properties, "the properties fail their checksum");
    else
        add_finding(scrub, at, reason(status, "the footer is damaged"));
    check_block(scrub, table->filter, "the filter fails its checksum: every lookup reads a block");
    scrub->step_bytes += sizeof bytes;
}

static void set_from(struct scrub *scrub, struct slice key, bool behind) {
    writer_clear(&scrub->from);
    writer_bytes(&scrub->from, key);
    if (behind) writer_u8(&scrub->from, 0);
    scrub->seek = true;
}

/* The cluster that the cursor could not read: told, and the next seek goes behind it. False: there is no way
 * on in this run. */
static bool skip_cluster(struct scrub *scrub, enum status status) {
    struct table_cursor *cursor = &scrub->cursor;
    struct run *run = scrub->runs[scrub->run_index];
    char after[96];
    log_quote(after, sizeof after, writer_slice(&scrub->from));
    struct finding *finding;
    if (!cursor->has_index) {
        finding = add_finding(scrub, scrub->table->index.offset,
                              reason(status, "the index fails its checksum: no entry can be found"));
        if (finding == NULL) return false;
        finding->run = run;
        table_cursor_gap(cursor, &finding->gap_first, &finding->gap_last);
        log_quote(finding->after, sizeof finding->after, run->meta.first);
        log_quote(finding->last, sizeof finding->last, run->meta.last);
        return false;
    }
    struct slice last = block_cursor_key(&cursor->index);
    struct table_cluster cluster;
    uint64_t offset = scrub->table->index.offset;
    if (table_cluster_decode(cursor->index.entry.value, &cluster)) offset = cluster.block.offset;
    finding = add_finding(scrub, offset, reason(status, "a data block fails its checksum"));
    if (finding != NULL) {
        finding->run = run;
        table_cursor_gap(cursor, &finding->gap_first, &finding->gap_last);
        snprintf(finding->after, sizeof finding->after, "%s", after);
        log_quote(finding->last, sizeof finding->last, last);
    }
    if (slice_compare(last, writer_slice(&scrub->from)) < 0) return false; /* an index that goes backwards */
    set_from(scrub, last, true);
    return true;
}

static void check_value(struct scrub *scrub) {
    struct shared_slice value = {0};
    const struct block_entry *entry = table_cursor_entry(&scrub->cursor);
    struct slice key = table_cursor_key(&scrub->cursor);
    enum status status = entry->kind == ENTRY_DELETE ? STATUS_OK : table_cursor_value(&scrub->cursor, &value);
    scrub->step_bytes += key.size + value.bytes.size;
    if (status == STATUS_OK) return;
    struct finding *finding = add_finding(
        scrub, entry->place.offset,
        reason(status, entry->kind == ENTRY_PUT_LOG ? "the value of a key, in the log, fails its checksum"
                                                    : "the value of a key fails its checksum"));
    if (finding == NULL) return;
    finding->run = scrub->runs[scrub->run_index];
    const struct log_source *log = entry->kind != ENTRY_PUT_LOG
                                       ? NULL
                                       : table_run_log(&finding->run->meta, entry->place.file);
    if (log != NULL) {
        finding->log_file = log->source.number;
        finding->segment = log->segment;
    }
    table_cursor_gap(&scrub->cursor, &finding->gap_first, &finding->gap_last);
    log_quote(finding->after, sizeof finding->after, key);
    log_quote(finding->last, sizeof finding->last, key);
}

static void end_run(struct scrub *scrub) {
    table_cursor_release(&scrub->cursor);
    scrub->has_cursor = false;
    scrub->run_index++;
}

static enum status move(struct scrub *scrub) {
    struct table_cursor_options options = {.blocking = true, .sequential = true};
    const struct run *run = scrub->runs[scrub->run_index];
    if (!scrub->has_cursor) {
        table_cursor_init(&scrub->cursor, scrub->table, &run->meta, &options);
        scrub->has_cursor = true;
        set_from(scrub, run->meta.first, false);
    }
    if (!scrub->seek) return table_cursor_next(&scrub->cursor);
    scrub->seek = false;
    return table_cursor_seek(&scrub->cursor, writer_slice(&scrub->from));
}

static void step_run(struct io_job *job) {
    struct scrub *scrub = CONTAINER_OF(job, struct scrub, job);
    scrub->step_bytes = 0;
    scrub->finding_count = 0;
    scrub->outcome = STEP_MORE;
    if (scrub->run_index == 0 && !scrub->has_cursor) {
        io_file_drop_cache(scrub->table->source.file, 0, scrub->table->size);
        check_ends(scrub);
    }
    while (scrub->run_index < scrub->run_count && scrub->step_bytes < SCRUB_STEP &&
           scrub->finding_count < SCRUB_FINDINGS_MAX) {
        enum status status = move(scrub);
        if (status == STATUS_OK) {
            check_value(scrub);
            set_from(scrub, table_cursor_key(&scrub->cursor), true);
            scrub->seek = false; /* only remembered, for the case that the next block is damaged */
        } else if (status == STATUS_END || !skip_cluster(scrub, status)) {
            end_run(scrub);
        }
    }
    scrub->counters.bytes += scrub->step_bytes;
    if (scrub->run_index == scrub->run_count) scrub->outcome = STEP_TABLE_DONE;
}

static void manifest_run(struct io_job *job) {
    struct scrub *scrub = CONTAINER_OF(job, struct scrub, job);
    struct manifest_contents contents;
    struct diagnostic why = {{0}};
    scrub->step_bytes = 0;
    scrub->finding_count = 0;
    enum status status = manifest_read(scrub->store->io, scrub->store->dir, NULL, NULL, &contents, &why);
    if (status != STATUS_OK && !is_passed_over(status))
        add_finding(scrub, contents.end,
                    reason(status, "the manifest is damaged: the store will not open again"));
    scrub->step_bytes = contents.end;
    scrub->counters.bytes += scrub->step_bytes;
}

/* Records that are not in tables yet, up to where the log was durable when the job began. */
static void log_run(struct io_job *job) {
    struct scrub *scrub = CONTAINER_OF(job, struct scrub, job);
    struct store *store = scrub->store;
    struct layout_path path = layout_path(store->dir, LAYOUT_LOG, scrub->segment_info.file_number);
    struct io_file *file;
    scrub->step_bytes = scrub->segment_info.end;
    scrub->finding_count = 0;
    scrub->counters.bytes += scrub->step_bytes;
    struct wal_segment_header header = {0};
    struct wal_reader_result result = {0};
    struct diagnostic why;
    enum status status = io_file_open(store->io, path.text, IO_OPEN_READ, &file);
    if (status == STATUS_OK) {
        struct wal_reader_options options = {.end_known = scrub->segment_info.end,
                                             .due = scrub->due,
                                             .values = true,
                                             .window = store->options.log_read_bytes};
        io_file_drop_cache(file, 0, scrub->segment_info.end);
        status = wal_reader_header(file, &header);
        if (status == STATUS_OK && header.segment == scrub->segment)
            status = wal_reader_run(file, &header, &options, &result, &why);
        io_file_close(file);
    }
    if (status != STATUS_OK && !is_passed_over(status))
        add_finding(scrub, result.end, reason(status, "records of the log are damaged"));
}

/* ---- on the loop ------------------------------------------------------------------------------------- */

static void next_table(struct scrub *scrub);

static void release_table(struct scrub *scrub) {
    if (scrub->has_cursor) table_cursor_release(&scrub->cursor);
    scrub->has_cursor = false;
    block_hold_release(&scrub->files);
    mem_free(scrub->runs);
    scrub->runs = NULL;
    scrub->table = NULL;
    if (scrub->version != NULL) version_unpin(scrub->version);
    scrub->version = NULL;
}

static void end_round(struct scrub *scrub) {
    struct store *store = scrub->store;
    release_table(scrub);
    mem_free(scrub->tables);
    scrub->tables = NULL;
    scrub->running = false;
    if (!scrub->stopped) {
        scrub->counters.rounds++;
        log_info(store->log, "scrub is through tables=%zu damaged=%" PRIu64 " seconds=%" PRIu64,
                 scrub->table_count, scrub->counters.damaged,
                 (io_now_ns(store->io) - scrub->started_ns) / NS_PER_S);
        if (store->options.scrub_interval_ns > 0)
            io_timer_set(store->io, &scrub->timer, io_now_ns(store->io) + store->options.scrub_interval_ns);
    }
    void (*done)(void *ctx) = scrub->round_done;
    scrub->round_done = NULL;
    if (done != NULL) done(scrub->round_ctx);
    store_changed(store);
}

static void flushed(void *ctx, enum status status) {
    MAYBE(ctx != NULL);
    MAYBE(status == STATUS_OK);
}

/* What is damaged is still in memory: as soon as it is in a table, nothing needs those records. */
static void tell_log(struct scrub *scrub, const char *file) {
    struct store *store = scrub->store;
    uint64_t next;
    struct wal_segment_info info;
    if (scrub->finding_count == 0) return;
    bool needed = wal_next_due(store->wal, scrub->segment - 1, store->versions.flushed_sequence + 1, &next,
                               &info) &&
                  next == scrub->segment;
    if (needed) {
        log_error(store->log, "scrub found damage file=%s offset=%" PRIu64 " what=\"%s\" lost=nothing", file,
                  scrub->findings[0].offset, scrub->findings[0].what);
        wal_segment_damaged(store->wal, scrub->segment);
        store_flush(store, flushed, NULL);
    } else {
        scrub->counters.damaged--; /* used for something else meanwhile */
    }
    scrub->finding_count = 0;
}

static void tell(struct scrub *scrub, const char *file) {
    for (size_t i = 0; i < scrub->finding_count; i++) {
        const struct finding *finding = &scrub->findings[i];
        if (finding->segment != 0) wal_segment_damaged(scrub->store->wal, finding->segment);
        if (finding->run == NULL) {
            if (scrub->table != NULL) damage_found_meta(scrub->store, scrub->table);
            log_error(scrub->store->log, "scrub found damage file=%s offset=%" PRIu64 " what=\"%s\"", file,
                      finding->offset, finding->what);
            continue;
        }
        if (!damage_found(scrub->store, finding->run, writer_slice(&finding->gap_first),
                          writer_slice(&finding->gap_last))) {
            scrub->counters.damaged--;
            log_info(scrub->store->log,
                     "scrub found damage that nothing needs any more file=%s offset=%" PRIu64, file,
                     finding->offset);
            continue;
        }
        char log_name[NAME_SIZE];
        snprintf(log_name, sizeof log_name, "%012" PRIu64 ".wal", finding->log_file);
        log_error(scrub->store->log,
                  "scrub found damage file=%s offset=%" PRIu64 " what=\"%s\" lost_from=%s lost_to=%s",
                  finding->log_file != 0 ? log_name : file, finding->offset, finding->what, finding->after,
                  finding->last);
    }
    if (scrub->table != NULL && scrub->finding_count > 0) {
        scrub->table->damaged = true;
        compaction_consider(scrub->store->compaction);
    }
    scrub->finding_count = 0;
}

/* So long that the rate is kept. */
static uint64_t pause_ns(const struct scrub *scrub) {
    uint64_t rate = scrub->store->options.scrub_bytes_per_s;
    return rate == 0 ? 0 : scrub->step_bytes * NS_PER_S / rate;
}

static void step_done(struct io_job *job) {
    struct scrub *scrub = CONTAINER_OF(job, struct scrub, job);
    char name[NAME_SIZE] = "MANIFEST";
    if (scrub->at == AT_LOG) {
        snprintf(name, sizeof name, "%012" PRIu64 ".wal", scrub->segment_info.file_number);
        tell_log(scrub, name);
    } else {
        if (scrub->at == AT_TABLE)
            snprintf(name, sizeof name, "%012" PRIu64 ".sst", scrub->table->source.number);
        tell(scrub, name);
    }
    if (scrub->at == AT_TABLE && scrub->outcome == STEP_TABLE_DONE) {
        release_table(scrub);
        scrub->table_index++;
    }
    if (scrub->at == AT_MANIFEST) scrub->at = AT_LOG;
    if (scrub->stopped)
        end_round(scrub);
    else
        io_timer_set(scrub->store->io, &scrub->timer, io_now_ns(scrub->store->io) + pause_ns(scrub));
}

static void start_job(struct scrub *scrub, void (*run)(struct io_job *job)) {
    scrub->job = (struct io_job){.run = run, .done = step_done};
    io_job_start(scrub->store->io, &scrub->job);
}

static size_t collect_runs(struct scrub *scrub, const struct table *table, struct run **runs) {
    size_t count = 0;
    for (size_t l = 0; l < STORE_LEVEL_COUNT; l++) {
        const struct version_level *level = &scrub->version->levels[l];
        for (size_t i = 0; i < level->count; i++) {
            if (level->runs[i]->table != table) continue;
            if (runs != NULL) runs[count] = level->runs[i];
            count++;
        }
    }
    return count;
}

/* For the job. A file that is not there is found by it, value by value; any other that is not held would look
 * the same, or be opened and closed again by readers while the job reads it. */
static enum status hold_logs(struct scrub *scrub) {
    for (size_t i = 0; i < scrub->run_count; i++) {
        const struct table_run_meta *run = &scrub->runs[i]->meta;
        for (uint32_t k = 0; k < run->ref_count; k++) {
            enum status status = block_hold_add(&scrub->files, &run->refs[k].source->source);
            if (status != STATUS_OK && status != STATUS_CORRUPT) return status;
        }
    }
    return STATUS_OK;
}

static void pass_over(const struct scrub *scrub, const struct table *table, enum status status) {
    log_warn(scrub->store->log,
             "scrub passes over a table whose files cannot be opened now file=%012" PRIu64 ".sst reason=%s",
             table->source.number, status_name(status));
}

/* False: there is no further one. */
static bool next_log(struct scrub *scrub) {
    const struct store *store = scrub->store;
    scrub->due = store->versions.flushed_sequence + 1;
    if (store->options.unlogged ||
        !wal_next_due(store->wal, scrub->segment, scrub->due, &scrub->segment, &scrub->segment_info))
        return false;
    start_job(scrub, log_run);
    return true;
}

/* The next table that is still there; a table without runs is only waiting for its removal. */
static void next_table(struct scrub *scrub) {
    struct store *store = scrub->store;
    scrub->at = AT_TABLE;
    for (; scrub->table_index < scrub->table_count; scrub->table_index++) {
        struct table *table = version_set_table(&store->versions, scrub->tables[scrub->table_index]);
        if (table == NULL || table->run_count == 0) continue;
        enum status status = block_hold_add(&scrub->files, &table->source);
        if (is_passed_over(status)) {
            pass_over(scrub, table, status);
            continue;
        }
        if (status != STATUS_OK) {
            scrub->counters.damaged++;
            log_error(store->log, "scrub found damage file=%012" PRIu64 ".sst what=\"cannot be opened\"",
                      table->source.number);
            continue;
        }
        scrub->table = table;
        scrub->version = store->versions.current;
        version_pin(scrub->version);
        scrub->run_count = collect_runs(scrub, table, NULL);
        scrub->runs = mem_alloc(MAX(scrub->run_count, (size_t)1) * sizeof *scrub->runs);
        collect_runs(scrub, table, scrub->runs);
        status = hold_logs(scrub);
        if (status != STATUS_OK) {
            pass_over(scrub, table, status);
            release_table(scrub);
            continue;
        }
        scrub->run_index = 0;
        start_job(scrub, step_run);
        return;
    }
    end_round(scrub);
}

static int compare_numbers(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* In order of age from a random one on, round to it again: whatever restarts cut short, all are reached. */
static void list_tables(struct scrub *scrub) {
    const struct version_set *versions = &scrub->store->versions;
    size_t count = 0, capacity = MAX(versions->tables.count, (size_t)1);
    uint64_t *sorted = mem_alloc(capacity * sizeof *sorted);
    scrub->tables = mem_alloc(capacity * sizeof *scrub->tables);
    MAP_FOREACH(it, &versions->tables)
        sorted[count++] = ((const struct table *)MAP_ENTRY(it)->value)->source.number;
    if (count > 1) qsort(sorted, count, sizeof *sorted, compare_numbers);
    uint64_t chance;
    io_random(scrub->store->io, &chance, sizeof chance);
    for (size_t i = 0; i < count; i++)
        scrub->tables[i] = sorted[(i + chance % count) % count];
    mem_free(sorted);
    scrub->table_count = count;
    scrub->table_index = 0;
}

static void begin_round(struct scrub *scrub) {
    scrub->running = true;
    scrub->started_ns = io_now_ns(scrub->store->io);
    list_tables(scrub);
    scrub->at = AT_MANIFEST;
    scrub->segment = 0;
    start_job(scrub, manifest_run);
}

static void fire(struct io_timer *timer) {
    struct scrub *scrub = CONTAINER_OF(timer, struct scrub, timer);
    if (!scrub->running)
        begin_round(scrub);
    else if (scrub->table != NULL)
        start_job(scrub, step_run);
    else if (scrub->at != AT_LOG || !next_log(scrub))
        next_table(scrub);
}

/* ---- life -------------------------------------------------------------------------------------------- */

struct scrub *scrub_new(struct store *store) {
    struct scrub *scrub = mem_calloc(1, sizeof *scrub);
    scrub->store = store;
    writer_init(&scrub->from);
    io_timer_init(&scrub->timer, fire);
    uint64_t interval = store->options.scrub_interval_ns;
    if (interval > 0) io_timer_set(store->io, &scrub->timer, io_now_ns(store->io) + interval / 10);
    return scrub;
}

void scrub_free(struct scrub *scrub) {
    if (scrub == NULL) return;
    io_timer_cancel(scrub->store->io, &scrub->timer);
    release_table(scrub);
    mem_free(scrub->tables);
    writer_release(&scrub->from);
    for (size_t i = 0; i < SCRUB_FINDINGS_MAX; i++) {
        writer_release(&scrub->findings[i].gap_first);
        writer_release(&scrub->findings[i].gap_last);
    }
    mem_free(scrub);
}

void scrub_stop(struct scrub *scrub) {
    bool resting = io_timer_armed(&scrub->timer);
    scrub->stopped = true;
    io_timer_cancel(scrub->store->io, &scrub->timer);
    if (scrub->running && resting) end_round(scrub);
}

bool scrub_idle(const struct scrub *scrub) {
    return !scrub->running;
}

void scrub_round(struct scrub *scrub, void (*done)(void *ctx), void *ctx) {
    ASSERT(scrub->round_done == NULL);
    scrub->round_done = done;
    scrub->round_ctx = ctx;
    if (scrub->running) return;
    io_timer_cancel(scrub->store->io, &scrub->timer);
    begin_round(scrub);
}

struct scrub_counters scrub_counters(const struct scrub *scrub) {
    return scrub->counters;
}
