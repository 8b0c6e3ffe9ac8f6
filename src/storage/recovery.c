// SPDX-License-Identifier: Apache-2.0
/* recovery.c: from whatever a crash left behind to a consistent store.
 *
 * What is found decides what is done. The labels appear in the log lines and in the tests.
 *
 * | label | found | means | done |
 * | M1 | no manifest, no table, no log | first start, or it crashed | new manifest |
 * | M2 | no manifest, but tables or logs | somebody removed it | CORRUPT |
 * | M3 | manifest ends with an unfinished record | crash while committing: never took effect | cut off |
 * | M4 | bad record with a valid one behind it | damage | CORRUPT |
 * | M5 | MANIFEST.tmp | crash while replacing the manifest | removed |
 * | T1 | table that the manifest does not name | crash before its commit, or after its end | removed |
 * | T2 | table that the manifest names is missing | somebody removed it | CORRUPT |
 * | L1 | log file without a header | a spare, or crash while it became current | free, reused |
 * | L2 | log file without a header, but with later groups of a segment that is due | damage | CORRUPT |
 * | L3 | segment whose records are all in tables, that no table refers to | crash before it was recycled |
 * free, reused | | L4 | a segment that is due is missing | somebody removed it | CORRUPT | | L5 | last
 * segment ends in an unfinished group | crash while writing: never acknowledged | cut there | | L6 | bad
 * record before a point that the log is known to have reached | damage | CORRUPT | | L7 | log ends before the
 * sequence the manifest knows to be durable | lost files | CORRUPT | | L8 | log file of another store | files
 * mixed up | CORRUPT | | L9 | a segment that tables refer to is missing, or its header is damaged | lost or
 * damaged | CORRUPT | | L10 | the log, as far as it can be read, ends before what is in tables | damage, no
 * crash: tables refer to what stands behind it | nothing is written there |
 *
 * Large values stay where they are: of the log's groups only the records are read, but of the last one, which
 * alone may be torn; keys and places become tables before the store opens, and no value was in memory.
 *
 * After L5 nothing is appended to that segment again: the next one records where this one ended. What was
 * read back may so far only have been in the page cache of a machine that did not crash: it is written again
 * and synced before anybody hears of it (write_again). Recovery changes nothing before it has understood
 * everything, and running it again after a crash in its middle comes to the same end. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/mem.h"
#include "storage/store_internal.h"
#include "storage/wal_reader.h"

#define PROGRESS_BYTES (256 * MIB)
#define COPY_BYTES     (256 * KIB)

struct log_file {
    uint64_t number, size;
    struct io_file
        *file;  /* NULL: the manifest says what it is, which is enough for a segment that is in tables */
    bool valid; /* has a header */
    struct wal_segment_header header;
    struct wal_reader_result result;
};
struct recovery {
    struct store *store;
    struct diagnostic *diagnostic;
    struct log_file *logs;
    size_t log_count, log_capacity;
    uint64_t *tables;
    size_t table_count, table_capacity;
    bool temporary;
    struct manifest_contents manifest;
    bool rewrite_manifest;
    bool keep_in_memory; /* no room for tables, or read-only: what is read back stays in the memtable */
    bool flushed;
    bool references; /* the memtable holds values that were left in the log: it must become a table */
    uint64_t next_sequence;
    uint64_t log_bytes, read_bytes; /* of what is to be read, and in segments before this one */
    uint64_t told_bytes;
};

/* ---- what is there ----------------------------------------------------------------------------------- */

static void found_name(void *ctx, const char *name, bool is_dir) {
    struct recovery *r = ctx;
    uint64_t number;
    enum layout_kind kind = is_dir ? LAYOUT_OTHER : layout_parse(name, &number);
    if (kind == LAYOUT_TEMPORARY) r->temporary = true;
    if (kind == LAYOUT_CHECKPOINT) r->store->is_checkpoint = true;
    if (kind == LAYOUT_LOG) {
        if (r->log_count == r->log_capacity) {
            r->log_capacity = MAX(r->log_capacity * 2, (size_t)8);
            r->logs = mem_realloc(r->logs, r->log_capacity * sizeof *r->logs);
        }
        r->logs[r->log_count++] = (struct log_file){.number = number};
    }
    if (kind == LAYOUT_TABLE) {
        if (r->table_count == r->table_capacity) {
            r->table_capacity = MAX(r->table_capacity * 2, (size_t)16);
            r->tables = mem_realloc(r->tables, r->table_capacity * sizeof *r->tables);
        }
        r->tables[r->table_count++] = number;
    }
}

static int compare_numbers(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Free files first, by number; then segments by their place in the log. */
static int compare_logs(const void *a, const void *b) {
    const struct log_file *x = a, *y = b;
    if (x->valid != y->valid) return x->valid ? 1 : -1;
    if (x->valid && x->header.segment != y->header.segment)
        return x->header.segment > y->header.segment ? 1 : -1;
    return (x->number > y->number) - (x->number < y->number);
}

/* ---- what only the page cache may hold -------------------------------------------------------------- */

/* Writes [from, to) of a file once more as it is, and syncs. A sync that failed before the program was
 * restarted may have left pages that are clean and yet not on the disk: another sync alone would say OK and
 * do nothing (Rebello et al., ATC 2020). Only the last thing written to a file can be in that state: after a
 * failed sync nothing is written behind it. */
static enum status write_again(struct io_file *file, uint64_t from, uint64_t to) {
    uint8_t *bytes = mem_alloc(COPY_BYTES);
    enum status status = STATUS_OK;
    while (from < to && status == STATUS_OK) {
        size_t size = (size_t)MIN(to - from, (uint64_t)COPY_BYTES), read = 0;
        status = io_file_read_at(file, bytes, size, from, &read);
        if (status == STATUS_OK && read < size) status = STATUS_IO;
        if (status == STATUS_OK) status = io_file_write_at(file, slice_make(bytes, size), from);
        from += size;
    }
    mem_free(bytes);
    return status == STATUS_OK ? io_file_sync(file) : status;
}

/* ---- manifest and tables ----------------------------------------------------------------------------- */

static enum status apply_edit(void *ctx, uint64_t offset, struct slice edit) {
    struct recovery *r = ctx;
    struct diagnostic why = {{0}};
    enum status status = version_set_load(&r->store->versions, edit, &why);
    if (status != STATUS_OK)
        return diagnose(r->diagnostic, status, "MANIFEST, offset %" PRIu64 ": %s", offset, why.text);
    return STATUS_OK;
}

static enum status first_start(struct recovery *r) {
    struct store *store = r->store;
    if (r->log_count > 0 || r->table_count > 0) /* M2 */
        return diagnose(r->diagnostic, STATUS_CORRUPT,
                        "%s holds tables or logs but no MANIFEST; restore it from a backup", store->dir);
    if (store->options.read_only)
        return diagnose(r->diagnostic, STATUS_NOT_FOUND, "%s holds no store", store->dir);
    enum status status = store_sync_parent(store, r->diagnostic);
    if (status != STATUS_OK) return status;
    io_random(store->io, &store->store_id, sizeof store->store_id);
    r->manifest.header = (struct manifest_header){.store_id = store->store_id};
    r->rewrite_manifest = true; /* M1 */
    return STATUS_OK;
}

static enum status load_manifest(struct recovery *r) {
    struct store *store = r->store;
    store->versions.keep_files = true;
    enum status status = manifest_read(store->io, store->dir, apply_edit, r, &r->manifest,
                                       r->diagnostic); /* M4 */
    if (status == STATUS_NOT_FOUND) return first_start(r);
    if (status != STATUS_OK) return status;
    version_set_loaded(&store->versions);
    store->store_id = r->manifest.header.store_id;
    /* An older program must not take a compressed block for a damaged one. */
    r->rewrite_manifest = r->manifest.header.version != LAYOUT_VERSION;
    if (r->manifest.torn) { /* M3 */
        log_warn(store->log, "recovery case=M3 unfinished manifest record offset=%" PRIu64, r->manifest.end);
    }
    if (r->table_count > 1) qsort(r->tables, r->table_count, sizeof *r->tables, compare_numbers);
    MAP_FOREACH(it, &store->versions.tables) {
        const struct table *table = MAP_ENTRY(it)->value;
        uint64_t number = table->source.number;
        if (r->table_count == 0 ||
            bsearch(&number, r->tables, r->table_count, sizeof number, compare_numbers) == NULL) /* T2 */
            return diagnose(r->diagnostic, STATUS_CORRUPT,
                            "%s is missing, but the manifest needs it; restore this node from a replica or a "
                            "backup",
                            layout_path(store->dir, LAYOUT_TABLE, number).text);
    }
    return STATUS_OK;
}

/* Removes what no manifest names (T1, M5). */
static enum status sweep(struct recovery *r) {
    struct store *store = r->store;
    enum status status = STATUS_OK;
    for (size_t i = 0; i < r->table_count && status == STATUS_OK; i++) {
        if (version_set_table(&store->versions, r->tables[i]) != NULL) continue;
        log_info(store->log, "recovery case=T1 removes table number=%" PRIu64, r->tables[i]);
        status = io_unlink(store->io, layout_path(store->dir, LAYOUT_TABLE, r->tables[i]).text);
    }
    if (r->temporary && status == STATUS_OK)
        status = io_unlink(store->io, layout_path(store->dir, LAYOUT_TEMPORARY, 0).text);
    return status == STATUS_NOT_FOUND ? STATUS_OK : status;
}

/* ---- the log ----------------------------------------------------------------------------------------- */

static enum status open_log(struct recovery *r, struct log_file *log) {
    struct store *store = r->store;
    struct layout_path path = layout_path(store->dir, LAYOUT_LOG, log->number);
    enum status status = io_file_open(store->io, path.text,
                                      store->options.read_only ? IO_OPEN_READ : IO_OPEN_WRITE, &log->file);
    if (status == STATUS_OK) status = io_file_size(log->file, &log->size);
    if (status != STATUS_OK)
        return diagnose(r->diagnostic, status, "%s cannot be opened: %s", path.text, status_text(status));
    status = wal_reader_header(log->file, &log->header);
    if (status == STATUS_MALFORMED) return STATUS_OK; /* L1, or L2 */
    if (status != STATUS_OK)
        return diagnose(r->diagnostic, status, "%s: %s", path.text,
                        status == STATUS_VERSION ? "written by a newer Sentinel" : status_text(status));
    if (log->header.store_id != store->store_id) /* L8 */
        return diagnose(r->diagnostic, STATUS_CORRUPT, "%s belongs to another store", path.text);
    log->valid = true;
    return STATUS_OK;
}

static int compare_sources(const void *a, const void *b) {
    const struct log_source *x = *(const struct log_source *const *)a;
    const struct log_source *y = *(const struct log_source *const *)b;
    return (x->source.number > y->source.number) - (x->source.number < y->source.number);
}

/* Fills in what the manifest says of the segment in a file; false: nothing. */
static bool know_log(struct recovery *r, struct log_file *log, const struct log_source *const *known,
                     size_t count) {
    const struct log_source wanted = {.source.number = log->number}, *key = &wanted;
    const struct log_source *const *found = bsearch(&key, known, count, sizeof *known, compare_sources);
    if (found == NULL) return false;
    log->header = (struct wal_segment_header){.store_id = r->store->store_id,
                                              .segment = (*found)->segment,
                                              .size = (*found)->size,
                                              .first_sequence = (*found)->first_sequence};
    log->size = (*found)->size;
    log->valid = true;
    return true;
}

/* What each file of the log is. Those that the manifest knows are not opened: there are as many as there is
 * data. */
static enum status open_logs(struct recovery *r) {
    struct version_set *versions = &r->store->versions;
    const struct log_source **known = mem_alloc(MAX(versions->logs.count, (size_t)1) * sizeof *known);
    size_t count = 0;
    enum status status = STATUS_OK;
    MAP_FOREACH(it, &versions->logs) {
        const struct log_source *log = MAP_ENTRY(it)->value;
        if (log->told) known[count++] = log;
    }
    if (count > 1) qsort(known, count, sizeof *known, compare_sources);
    for (size_t i = 0; i < r->log_count && status == STATUS_OK; i++) {
        struct log_file *log = &r->logs[i];
        versions->next_file = MAX(versions->next_file, log->number + 1);
        if (!know_log(r, log, known, count)) status = open_log(r, log);
    }
    mem_free(known);
    if (r->log_count > 1) qsort(r->logs, r->log_count, sizeof *r->logs, compare_logs);
    return status;
}

/* The segments that are read need their files, whatever the manifest knows. */
static enum status open_needed(struct recovery *r, size_t first) {
    for (size_t i = first; i < r->log_count; i++) {
        struct log_file *log = &r->logs[i];
        struct wal_segment_header told = log->header;
        if (log->file != NULL) continue;
        log->valid = false;
        enum status status = open_log(r, log);
        if (status != STATUS_OK) return status;
        if (!log->valid || log->header.segment != told.segment ||
            log->header.first_sequence != told.first_sequence) /* L2 */
            return diagnose(r->diagnostic, STATUS_CORRUPT,
                            "%s, offset 0: the header of log segment %" PRIu64
                            " is damaged; restore this node from a replica or a backup",
                            layout_path(r->store->dir, LAYOUT_LOG, log->number).text, told.segment);
    }
    return STATUS_OK;
}

/* The first segment that may hold records not in tables: the last one that begins at or before them (L3). */
static enum status first_needed(struct recovery *r, size_t *first) {
    uint64_t due = r->store->versions.flushed_sequence + 1;
    *first = r->log_count;
    for (size_t i = r->log_count; i > 0 && r->logs[i - 1].valid; i--) {
        *first = i - 1;
        if (r->logs[i - 1].header.first_sequence <= due) break;
    }
    for (size_t i = *first; i < r->log_count; i++) {
        const struct wal_segment_header *header = &r->logs[i].header;
        bool gap = i == *first ? header->first_sequence > due
                               : header->segment != r->logs[i - 1].header.segment + 1;
        if (gap) /* L4 */
            return diagnose(r->diagnostic, STATUS_CORRUPT,
                            "the log segment before segment %" PRIu64
                            " (%s) is missing; restore this node from a "
                            "replica or a backup",
                            header->segment, layout_path(r->store->dir, LAYOUT_LOG, r->logs[i].number).text);
    }
    return STATUS_OK;
}

/* The memtable becomes tables. NO_SPACE: recovery has to begin again, and to keep everything in memory. */
static enum status flush_now(struct recovery *r) {
    struct store *store = r->store;
    size_t bytes = memtable_bytes(store->active);
    struct flush_options options = store_table_options(store);
    options.first_number = store->versions.next_file;
    store->versions.next_file += flush_numbers(bytes, store->options.table_bytes);
    struct wal_places_view places = wal_places_view_make(&store->places, store->active->first_sequence,
                                                         store->active->last_sequence);
    options.places = &places;
    struct table_output output;
    table_output_init(&output);
    enum status status = flush_build(&options, store->active, &output);
    wal_places_view_release(&places);
    if (status == STATUS_OK) {
        struct writer edit;
        writer_init(&edit);
        struct flush_reserved reserved = {0};
        flush_edit(&store->versions, store->active, &output, &reserved, &edit);
        status = version_set_apply(&store->versions, writer_slice(&edit), r->diagnostic);
        writer_release(&edit);
        r->rewrite_manifest = r->flushed = true;
        wal_places_forget(&store->places, store->versions.flushed_sequence);
        memtable_unpin(store->active);
        store->active = memtable_new();
        r->references = false;
    }
    table_output_release(&output);
    return status;
}

/* Remembers where the log holds a value. */
static void note_place(struct recovery *r, const struct wal_record *record, uint64_t sequence,
                       const struct wal_change *change) {
    struct wal_places_group *places = wal_places_last(&r->store->places);
    if (places == NULL || places->first_sequence != record->group_sequence)
        places = wal_places_add(&r->store->places, record->group_sequence, (uint32_t)record->group_changes,
                                record->segment, record->values_offset);
    places->offsets[sequence - record->group_sequence] = change->value_offset;
}

static void replay_put(struct recovery *r, const struct wal_record *record, uint64_t sequence,
                       const struct wal_change_walk *walk, const struct wal_change *change) {
    struct memtable_value value = {.bytes = {walk->value, record->owner}, .crc = change->value_crc};
    if (change->kind == ENTRY_PUT_APART) {
        note_place(r, record, sequence, change);
        if (!r->keep_in_memory) {
            value.bytes = (struct shared_slice){slice_make(NULL, walk->value.size), NULL};
            r->references = true;
        }
    }
    memtable_put(r->store->active, change->key, sequence, &value);
}

static enum status replay(void *ctx, const struct wal_record *record) {
    struct recovery *r = ctx;
    struct store *store = r->store;
    uint64_t sequence = record->header.first_sequence;
    if (sequence + record->header.change_count - 1 <= store->versions.flushed_sequence) return STATUS_OK;
    struct wal_change_walk walk = wal_change_walk_make(record);
    struct wal_change change;
    while (wal_change_walk_next(&walk, &change) == STATUS_OK) {
        if (change.kind == ENTRY_PUT || change.kind == ENTRY_PUT_APART)
            replay_put(r, record, sequence, &walk, &change);
        else if (change.kind == ENTRY_DELETE)
            memtable_delete(store->active, change.key, sequence);
        else
            memtable_delete_range(store->active, change.key, change.to, sequence);
        sequence++;
    }
    uint64_t bytes = r->read_bytes + record->offset;
    if (bytes - r->told_bytes >= PROGRESS_BYTES) {
        r->told_bytes = bytes;
        log_info(store->log, "recovery replays the log bytes=%" PRIu64 " of=%" PRIu64, bytes, r->log_bytes);
    }
    if (r->keep_in_memory || memtable_used(store->active) < store->options.memtable_bytes) return STATUS_OK;
    return flush_now(r);
}

/* The last segment, as far as it can be read, ends before what is in tables: what is behind it was durable
 * once, and values that tables refer to may stand there. */
static bool is_cut_short(const struct recovery *r, const struct log_file *log) {
    return log->result.next_sequence <= r->store->versions.flushed_sequence;
}

static void tell_torn(const struct recovery *r, const struct log_file *log) {
    struct log *out = r->store->log;
    if (is_cut_short(r, log)) /* L10 */
        log_error(out,
                  "recovery case=L10 damaged group left as it is, its records are in tables segment=%" PRIu64
                  " offset=%" PRIu64,
                  log->header.segment, log->result.end);
    else /* L5 */
        log_warn(out, "recovery case=L5 unfinished group cut segment=%" PRIu64 " offset=%" PRIu64,
                 log->header.segment, log->result.end);
}

static enum status replay_logs(struct recovery *r, size_t first) {
    struct store *store = r->store;
    r->next_sequence = store->versions.flushed_sequence + 1;
    for (size_t i = first; i < r->log_count; i++)
        r->log_bytes += r->logs[i].size;
    for (size_t i = first; i < r->log_count; i++) {
        struct log_file *log = &r->logs[i];
        bool last = i + 1 == r->log_count;
        struct wal_reader_options options = {.end_known = last ? 0 : r->logs[i + 1].header.previous_end,
                                             .due = store->versions.flushed_sequence + 1,
                                             .sealed_at = last && log->header.segment ==
                                                                      store->versions.sealed_segment
                                                              ? store->versions.durable_sequence
                                                              : 0,
                                             .values = r->keep_in_memory,
                                             .window = store->options.log_read_bytes,
                                             .record = replay,
                                             .ctx = r};
        enum status status = wal_reader_run(log->file, &log->header, &options, &log->result,
                                            r->diagnostic); /* L6 */
        if (status != STATUS_OK) return status;
        r->read_bytes += log->size;
        if (!last && log->result.next_sequence != r->logs[i + 1].header.first_sequence)
            return diagnose(
                r->diagnostic, STATUS_CORRUPT,
                "log segment %" PRIu64 " ends at sequence %" PRIu64 ", but the next begins at %" PRIu64,
                log->header.segment, log->result.next_sequence - 1, r->logs[i + 1].header.first_sequence);
        r->next_sequence = MAX(r->next_sequence, log->result.next_sequence);
        if (log->result.torn) tell_torn(r, log);
    }
    if (r->next_sequence <= store->versions.durable_sequence) /* L7 */
        return diagnose(r->diagnostic, STATUS_CORRUPT,
                        "the log ends at sequence %" PRIu64 ", but had reached %" PRIu64
                        "; restore this node from a replica or a backup",
                        r->next_sequence - 1, store->versions.durable_sequence);
    return r->references ? flush_now(r) : STATUS_OK;
}

/* A file that lost its header may be the segment that is due next: groups behind its first one prove it. */
static enum status check_headless(struct recovery *r) {
    uint64_t due = r->log_count > 0 && r->logs[r->log_count - 1].valid
                       ? r->logs[r->log_count - 1].header.segment + 1
                       : 1;
    for (size_t i = 0; i < r->log_count && !r->logs[i].valid; i++) {
        bool found;
        enum status status = wal_reader_headless(r->logs[i].file, r->store->store_id, due,
                                                 r->store->options.log_read_bytes, &found);
        if (status != STATUS_OK) return status;
        if (found) /* L2 */
            return diagnose(r->diagnostic, STATUS_CORRUPT,
                            "%s, offset 0: the header of log segment %" PRIu64
                            " is damaged; restore this node from a replica or a backup",
                            layout_path(r->store->dir, LAYOUT_LOG, r->logs[i].number).text, due);
    }
    return STATUS_OK;
}

/* Zeroes [from, to), so that nothing of a group that a power cut tore can be read as a group again: the next
 * one is written in the same place, and when that is torn as well, what was kept of both may fit together
 * (tests/scenarios/log-torn-twice.scn). */
static enum status wipe(struct io_file *file, uint64_t from, uint64_t to) {
    if (from >= to) return STATUS_OK;
    size_t size = (size_t)(to - from);
    uint8_t *zeroes = mem_calloc(1, size);
    enum status status = io_file_write_at(file, slice_make(zeroes, size), from);
    mem_free(zeroes);
    return status;
}

/* The end of the log: its last group as it was read, and nothing in the block behind it, where a group may
 * have been torn, or wiped because it found no room. Likewise files that hold no segment: their first block,
 * and nothing in the one behind it. */
static enum status renew_logs(struct recovery *r, size_t first) {
    enum status status = STATUS_OK;
    for (size_t i = 0; i < r->log_count && status == STATUS_OK; i++) {
        const struct log_file *log = &r->logs[i];
        uint64_t from = 0, to = WAL_BLOCK_SIZE;
        if (log->valid && (i < first || i + 1 < r->log_count || is_cut_short(r, log))) continue;
        if (log->valid) {
            /* The first group came with the header. */
            if (log->result.last_group > WAL_BLOCK_SIZE) from = log->result.last_group;
            to = wal_align(log->result.end);
        }
        status = wipe(log->file, MIN(to, log->size), MIN(to + WAL_BLOCK_SIZE, log->size));
        if (status == STATUS_OK) status = write_again(log->file, from, MIN(to, log->size));
    }
    if (status != STATUS_OK)
        return diagnose(r->diagnostic, status, "the log cannot be synced: %s", status_text(status));
    return STATUS_OK;
}

/* Finds the files of the segments that tables refer to. */
static enum status find_referred(struct recovery *r) {
    struct store *store = r->store;
    MAP_FOREACH(it, &store->versions.logs)
        ((struct log_source *)MAP_ENTRY(it)->value)->source.number = 0;
    for (size_t i = 0; i < r->log_count; i++) {
        if (!r->logs[i].valid) continue;
        struct log_source *log = version_set_log(&store->versions, r->logs[i].header.segment);
        if (log == NULL) continue;
        log->source.number = r->logs[i].number;
        log->size = r->logs[i].size;
        log->first_sequence = r->logs[i].header.first_sequence;
    }
    MAP_FOREACH(it, &store->versions.logs) {
        const struct log_source *log = MAP_ENTRY(it)->value;
        if (log->source.number == 0) /* L9 */
            return diagnose(
                r->diagnostic, STATUS_CORRUPT,
                "log segment %" PRIu64
                ", which tables in %s refer to, is missing or its header is damaged; restore this "
                "node from a replica or a backup",
                log->segment, store->dir);
    }
    return STATUS_OK;
}

static bool segment_referred(void *ctx, uint64_t segment) {
    const struct store *store = ctx;
    return version_set_log(&store->versions, segment) != NULL;
}

static void start_log(struct recovery *r, size_t first) {
    struct store *store = r->store;
    struct wal_found *found = mem_calloc(MAX(r->log_count, (size_t)1), sizeof *found);
    size_t live = r->log_count - first, count = 0;
    for (int pass = 0; pass < 2; pass++) { /* those that are needed to the front */
        for (size_t i = 0; i < r->log_count; i++) {
            struct log_file *log = &r->logs[i];
            bool referred = log->valid && version_set_log(&store->versions, log->header.segment) != NULL;
            bool needed = i >= first || referred;
            if (needed != (pass == 0)) continue;
            if (log->file != NULL)
                io_file_close(log->file); /* a spare is opened, and wiped, before it is used */
            log->file = NULL;
            found[count++] = (struct wal_found){.file_number = log->number,
                                                .file_size = log->size,
                                                .segment = needed ? log->header.segment : 0,
                                                .end = log->result.end,
                                                .first_sequence = log->header.first_sequence,
                                                .last_sequence = i >= first ? log->result.next_sequence - 1
                                                                            : log->header.first_sequence};
        }
    }
    bool any = r->log_count > 0 && r->logs[r->log_count - 1].valid;
    struct wal_start start = {.found = found,
                              .found_count = r->log_count,
                              .next_sequence = r->next_sequence,
                              .next_segment = any ? r->logs[r->log_count - 1].header.segment + 1 : 1,
                              .previous_end = live > 0 ? r->logs[r->log_count - 1].result.end : 0};
    struct wal_options options = {.io = store->io,
                                  .dir = store->dir,
                                  .store_id = store->store_id,
                                  .segment_bytes = store->options.wal_segment_bytes,
                                  .partition_prefix_size = store->options.partition_prefix_size,
                                  .places = &store->places,
                                  .segment_referred = segment_referred,
                                  .log = store->log,
                                  .ctx = store,
                                  .next_file_number = store_next_file,
                                  .completed = store_log_completed,
                                  .changed = store_changed};
    store->wal = wal_new(&options, &start);
    mem_free(found);
}

/* Takes the unfinished end off, which needs no room; the next edit stands in its place (M3). */
static enum status renew_manifest(struct recovery *r) {
    struct store *store = r->store;
    struct io_file *file;
    enum status status = io_file_open(store->io, layout_path(store->dir, LAYOUT_MANIFEST, 0).text,
                                      IO_OPEN_WRITE, &file);
    if (status != STATUS_OK) return status;
    if (r->manifest.torn) status = io_file_truncate(file, r->manifest.end);
    if (status == STATUS_OK) status = write_again(file, r->manifest.last, r->manifest.end);
    io_file_close(file);
    r->manifest.torn = false;
    return status;
}

/* ---- everything in order ----------------------------------------------------------------------------- */

static void snapshot(void *ctx, struct writer *edit) {
    struct store *store = ctx;
    version_set_snapshot(&store->versions, edit);
}

static enum status start_manifest(struct recovery *r) {
    struct store *store = r->store;
    enum status status = STATUS_OK;
    if (r->rewrite_manifest) {
        struct writer edit;
        writer_init(&edit);
        version_set_snapshot(&store->versions, &edit);
        r->manifest.header.generation++;
        status = manifest_create(store->io, store->dir, &r->manifest.header, writer_slice(&edit));
        r->manifest.end = MANIFEST_HEADER_SIZE + MANIFEST_RECORD_HEADER + edit.size;
        r->manifest.snapshot_end = r->manifest.end;
        r->manifest.torn = false;
        writer_release(&edit);
        r->temporary = false;
    } else {
        status = renew_manifest(r);
        if (status == STATUS_OK) status = io_sync_dir(store->io, store->dir); /* after a rename, perhaps */
    }
    struct manifest_options options = {.io = store->io,
                                       .dir = store->dir,
                                       .log = store->log,
                                       .roll_min = store->options.manifest_bytes,
                                       .ctx = store,
                                       .snapshot = snapshot,
                                       .changed = store_changed};
    if (status == STATUS_OK) status = manifest_open(&options, &r->manifest, &store->manifest);
    if (status != STATUS_OK)
        return diagnose(r->diagnostic, status, "the manifest in %s cannot be written: %s", store->dir,
                        status_text(status));
    return STATUS_OK;
}

static enum status run_steps(struct recovery *r) {
    struct store *store = r->store;
    enum status status = io_list_dir(store->io, store->dir, found_name, r);
    if (status != STATUS_OK)
        return diagnose(r->diagnostic, status, "%s cannot be read: %s", store->dir, status_text(status));
    status = load_manifest(r);
    if (status == STATUS_OK) status = open_logs(r);
    for (size_t i = 0; i < r->table_count; i++)
        store->versions.next_file = MAX(store->versions.next_file, r->tables[i] + 1);
    size_t first = 0;
    if (status == STATUS_OK) status = find_referred(r);
    if (status == STATUS_OK) status = first_needed(r, &first);
    if (status == STATUS_OK) status = open_needed(r, first);
    if (status == STATUS_OK) status = check_headless(r);
    if (status == STATUS_OK) status = replay_logs(r, first);
    if (status == STATUS_OK && r->flushed) status = find_referred(r);
    if (status != STATUS_OK || store->options.read_only) return status;
    status = renew_logs(r, first);
    if (status == STATUS_OK) status = start_manifest(r);
    if (status == STATUS_OK) status = sweep(r);
    if (status != STATUS_OK) return status;
    start_log(r, first);
    store->versions.keep_files = false;
    return STATUS_OK;
}

static void release(struct recovery *r) {
    for (size_t i = 0; i < r->log_count; i++)
        if (r->logs[i].file != NULL) io_file_close(r->logs[i].file);
    mem_free(r->logs);
    mem_free(r->tables);
}

/* Forgets what an attempt has read. */
static void start_again(struct store *store) {
    version_set_release(&store->versions);
    store_versions_init(store);
    memtable_unpin(store->active);
    store->active = memtable_new();
    wal_places_release(&store->places);
}

enum status recovery_run(struct store *store, struct diagnostic *diagnostic) {
    struct recovery r = {
        .store = store, .diagnostic = diagnostic, .keep_in_memory = store->options.read_only};
    enum status status = run_steps(&r);
    bool again = status == STATUS_NO_SPACE && !r.keep_in_memory;
    release(&r);
    if (!again) return status;
    /* The tables took the room that the manifest needs. A store on a full disk still opens: the log bounds
     * how much stays in memory then. */
    log_warn(store->log, "recovery finds no room for tables and keeps the log's contents in memory");
    start_again(store);
    r = (struct recovery){.store = store, .diagnostic = diagnostic, .keep_in_memory = true};
    status = run_steps(&r);
    release(&r);
    return status;
}
