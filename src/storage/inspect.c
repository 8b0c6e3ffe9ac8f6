// SPDX-License-Identifier: Apache-2.0
#include "storage/inspect.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/mem.h"
#include "base/size_text.h"
#include "storage/inspect_file.h"
#include "storage/manifest.h"
#include "storage/version.h"
#include "storage/wal_reader.h"

#define BAR_WIDTH 40

struct segment_file {
    uint64_t number;
    bool valid;
    enum status status; /* of reading its header */
    struct wal_segment_header header;
};
struct dir_view {
    struct io *io;
    const char *dir;
    struct inspect_out *out;
    struct version_set versions;
    struct manifest_contents manifest;
    struct segment_file *segments;
    size_t segment_count, segment_capacity;
    uint64_t *tables;
    size_t table_count, table_capacity;
};

/* ---- a directory ------------------------------------------------------------------------------------- */

static void found_name(void *ctx, const char *name, bool is_dir) {
    struct dir_view *view = ctx;
    uint64_t number;
    enum layout_kind kind = is_dir ? LAYOUT_OTHER : layout_parse(name, &number);
    if (kind == LAYOUT_LOG) {
        if (view->segment_count == view->segment_capacity) {
            view->segment_capacity = MAX(view->segment_capacity * 2, (size_t)8);
            view->segments = mem_realloc(view->segments, view->segment_capacity * sizeof *view->segments);
        }
        view->segments[view->segment_count++] = (struct segment_file){.number = number};
    }
    if (kind == LAYOUT_TABLE) {
        if (view->table_count == view->table_capacity) {
            view->table_capacity = MAX(view->table_capacity * 2, (size_t)8);
            view->tables = mem_realloc(view->tables, view->table_capacity * sizeof *view->tables);
        }
        view->tables[view->table_count++] = number;
    }
}

static int compare_segments(const void *a, const void *b) {
    const struct segment_file *x = a, *y = b;
    if (x->valid != y->valid) return x->valid ? 1 : -1;
    uint64_t p = x->valid ? x->header.segment : x->number, q = y->valid ? y->header.segment : y->number;
    return (p > q) - (p < q);
}

static int compare_numbers(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static enum status apply(void *ctx, uint64_t offset, struct slice edit) {
    struct dir_view *view = ctx;
    (void)offset; /* an edit that cannot be applied is reported below, as what it leaves missing */
    return version_set_apply(&view->versions, edit, NULL);
}

static void bar(uint64_t value, uint64_t largest, char text[BAR_WIDTH + 1]) {
    size_t width = largest == 0 ? 0 : (size_t)(value * BAR_WIDTH / largest);
    if (value > 0 && width == 0) width = 1;
    memset(text, '#', width);
    text[width] = 0;
}

struct level_totals {
    uint64_t tables, entries, bytes;
};

static struct level_totals count_level(const struct version_level *level) {
    struct level_totals totals = {.bytes = level->bytes};
    for (size_t i = 0; i < level->count; i++) {
        totals.entries += level->runs[i]->meta.entries;
        bool again = false; /* runs of one table are neighbours, but not always */
        for (size_t k = 0; k < i && !again; k++)
            again = level->runs[k]->table == level->runs[i]->table;
        totals.tables += !again;
    }
    return totals;
}

static void show_levels(struct dir_view *view) {
    struct inspect_out *out = view->out;
    const struct version *version = view->versions.current;
    struct level_totals totals[STORE_LEVEL_COUNT];
    uint64_t largest = 0, in_use = 0;
    for (uint32_t l = 0; l < STORE_LEVEL_COUNT; l++) {
        totals[l] = count_level(&version->levels[l]);
        largest = MAX(largest, totals[l].bytes);
        in_use += totals[l].bytes;
    }
    char size[SIZE_TEXT_SIZE], files[SIZE_TEXT_SIZE];
    inspect_out_line(out, "level     runs   tables      entries       size");
    for (uint32_t l = 0; l < STORE_LEVEL_COUNT; l++) {
        char text[BAR_WIDTH + 1];
        bar(totals[l].bytes, largest, text);
        size_text(totals[l].bytes, size);
        inspect_out_line(out, "%5u %8zu %8" PRIu64 " %12" PRIu64 " %10s  %s", l, version->levels[l].count,
                         totals[l].tables, totals[l].entries, size, text);
    }
    size_text(in_use, size);
    size_text(view->versions.table_bytes, files);
    inspect_out_line(out, "%s of %s in table files are in use (space amplification %.2f)", size, files,
                     in_use == 0 ? 1.0 : (double)view->versions.table_bytes / (double)in_use);
    if (!out->options->json) return;
    inspect_out_begin_list(out, "levels");
    for (uint32_t l = 0; l < STORE_LEVEL_COUNT; l++) {
        inspect_out_begin_row(out);
        inspect_out_number(out, "level", l);
        inspect_out_number(out, "runs", version->levels[l].count);
        inspect_out_number(out, "tables", totals[l].tables);
        inspect_out_number(out, "entries", totals[l].entries);
        inspect_out_number(out, "bytes", totals[l].bytes);
        inspect_out_end_row(out);
    }
    inspect_out_end_list(out);
}

static void show_tables(struct dir_view *view) {
    struct inspect_out *out = view->out;
    inspect_out_begin_list(out, "tables");
    MAP_FOREACH(it, &view->versions.tables) {
        const struct table *table = MAP_ENTRY(it)->value;
        inspect_out_begin_row(out);
        inspect_out_number(out, "number", table->source.number);
        inspect_out_number(out, "bytes", table->size);
        inspect_out_number(out, "entries", table->entries);
        inspect_out_number(out, "runs", table->run_count);
        inspect_out_number(out, "run_bytes", table->run_bytes);
        inspect_out_end_row(out);
    }
    inspect_out_end_list(out);
}

static void read_segment_headers(struct dir_view *view) {
    for (size_t i = 0; i < view->segment_count; i++) {
        struct segment_file *segment = &view->segments[i];
        struct io_file *file;
        struct layout_path path = layout_path(view->dir, LAYOUT_LOG, segment->number);
        segment->status = io_file_open(view->io, path.text, IO_OPEN_READ, &file);
        if (segment->status != STATUS_OK) continue;
        segment->status = wal_reader_header(file, &segment->header);
        segment->valid = segment->status == STATUS_OK;
        io_file_close(file);
    }
    if (view->segment_count > 1)
        qsort(view->segments, view->segment_count, sizeof *view->segments, compare_segments);
}

static void show_segments(struct dir_view *view) {
    struct inspect_out *out = view->out;
    inspect_out_begin_list(out, "log_segments");
    for (size_t i = 0; i < view->segment_count; i++) {
        const struct segment_file *segment = &view->segments[i];
        inspect_out_begin_row(out);
        inspect_out_number(out, "number", segment->number);
        inspect_out_text(out, "state", segment->valid ? "written" : "spare");
        if (segment->valid) {
            inspect_out_number(out, "segment", segment->header.segment);
            inspect_out_number(out, "bytes", segment->header.size);
            inspect_out_number(out, "first_sequence", segment->header.first_sequence);
            const struct log_source *log = version_set_log(&view->versions, segment->header.segment);
            if (log != NULL) inspect_out_number(out, "referred_bytes", log->live_bytes);
        }
        inspect_out_end_row(out);
    }
    inspect_out_end_list(out);
}

/* A file without a header is a spare, unless it holds the segment that is due. */
static bool lost_header(const struct dir_view *view, const struct segment_file *segment) {
    const struct segment_file *last = &view->segments[view->segment_count - 1];
    uint64_t due = last->valid ? last->header.segment + 1 : 1;
    struct io_file *file;
    struct layout_path path = layout_path(view->dir, LAYOUT_LOG, segment->number);
    if (io_file_open(view->io, path.text, IO_OPEN_READ, &file) != STATUS_OK) return false;
    bool lost;
    enum status status = wal_reader_headless(file, view->manifest.header.store_id, due, 0, &lost);
    io_file_close(file);
    return status == STATUS_OK && lost;
}

static void show_segment_problems(struct dir_view *view) {
    for (size_t i = 0; i < view->segment_count; i++) {
        const struct segment_file *segment = &view->segments[i];
        char name[32];
        snprintf(name, sizeof name, "%012" PRIu64 ".wal", segment->number);
        if (segment->valid && segment->header.store_id != view->manifest.header.store_id)
            inspect_out_problem(view->out, name, 0, "belongs to another store");
        if (segment->status == STATUS_MALFORMED && lost_header(view, segment))
            inspect_out_problem(view->out, name, 0, "the header of the log segment that is due is damaged");
        if (!segment->valid && segment->status != STATUS_MALFORMED)
            inspect_out_problem(view->out, name, 0,
                                segment->status == STATUS_VERSION ? "written by a newer Sentinel"
                                                                  : status_text(segment->status));
    }
}

/* The end of a segment, when its successor is there to tell. */
static uint64_t end_of(const struct dir_view *view, size_t i) {
    const struct segment_file *segment = &view->segments[i];
    if (!segment->valid || i + 1 == view->segment_count) return 0;
    const struct wal_segment_header *next = &view->segments[i + 1].header;
    return next->segment == segment->header.segment + 1 ? next->previous_end : 0;
}

/* It holds records that are not in tables. */
static bool is_needed(const struct dir_view *view, size_t i) {
    if (i + 1 == view->segment_count) return true;
    return view->segments[i + 1].header.first_sequence > view->versions.flushed_sequence + 1;
}

static void show_log(struct dir_view *view, size_t i, uint64_t *next_sequence) {
    struct inspect_out *out = view->out;
    char name[32];
    snprintf(name, sizeof name, "%012" PRIu64 ".wal", view->segments[i].number);
    inspect_out_begin(out, out->options->json ? NULL : name);
    if (out->options->json) inspect_out_text(out, "file", name);
    struct layout_path path = layout_path(view->dir, LAYOUT_LOG, view->segments[i].number);
    enum status status = inspect_log(view->io, path.text, name, end_of(view, i), out, next_sequence);
    if (status != STATUS_OK) inspect_out_problem(out, name, 0, status_text(status));
    inspect_out_end(out);
}

/* What no segment can know alone: that one is missing, or that the log once went further. */
static void check_chain(struct dir_view *view, uint64_t next_sequence, const char *gap) {
    struct inspect_out *out = view->out;
    inspect_out_begin(out, out->options->json ? NULL : "log");
    inspect_out_number(out, "next_sequence", next_sequence);
    inspect_out_begin_list(out, "problems");
    if (gap != NULL)
        inspect_out_problem(out, gap, 0, "does not continue what is in tables or in the segment before");
    if (next_sequence <= view->versions.durable_sequence)
        inspect_out_problem(out, "MANIFEST", view->manifest.end,
                            "the log had been durable further than it goes now");
    inspect_out_end_list(out);
    inspect_out_end(out);
}

static void verify_logs(struct dir_view *view) {
    uint64_t next = view->versions.flushed_sequence + 1;
    char gap[32] = "";
    bool first = true;
    for (size_t i = 0; i < view->segment_count; i++) {
        const struct segment_file *segment = &view->segments[i];
        if (!segment->valid) continue;
        uint64_t after;
        if (!is_needed(view, i)) { /* what an earlier life left is not checked */
            if (version_set_log(&view->versions, segment->header.segment) != NULL) show_log(view, i, &after);
            continue;
        }
        bool continues = first ? segment->header.first_sequence <= next
                               : segment->header.first_sequence == next;
        if (!continues) snprintf(gap, sizeof gap, "%012" PRIu64 ".wal", segment->number);
        show_log(view, i, &after);
        next = first ? MAX(next, after) : after;
        first = false;
    }
    check_chain(view, next, gap[0] == 0 ? NULL : gap);
}

static void verify_files(struct dir_view *view) {
    struct inspect_out *out = view->out;
    inspect_out_begin_list(out, "files");
    MAP_FOREACH(it, &view->versions.tables) {
        const struct table *table = MAP_ENTRY(it)->value;
        char name[32];
        snprintf(name, sizeof name, "%012" PRIu64 ".sst", table->source.number);
        inspect_out_begin(out, out->options->json ? NULL : name);
        if (out->options->json) inspect_out_text(out, "file", name);
        enum status status = inspect_table(view->io,
                                           layout_path(view->dir, LAYOUT_TABLE, table->source.number).text,
                                           name, view->dir, &view->versions, out);
        if (status != STATUS_OK) inspect_out_problem(out, name, 0, status_text(status));
        inspect_out_end(out);
    }
    verify_logs(view);
    inspect_out_end_list(out);
}

static void show_missing(struct dir_view *view) {
    MAP_FOREACH(it, &view->versions.tables) {
        const struct table *table = MAP_ENTRY(it)->value;
        uint64_t number = table->source.number;
        bool there = view->table_count > 0 && bsearch(&number, view->tables, view->table_count, sizeof number,
                                                      compare_numbers) != NULL;
        char name[32];
        snprintf(name, sizeof name, "%012" PRIu64 ".sst", number);
        if (!there)
            inspect_out_problem(view->out, name, 0, "the manifest needs this table, but it is missing");
    }
    MAP_FOREACH(it, &view->versions.logs) {
        const struct log_source *log = MAP_ENTRY(it)->value;
        bool there = false;
        for (size_t i = 0; i < view->segment_count && !there; i++)
            there = view->segments[i].valid && view->segments[i].header.segment == log->segment;
        char text[128];
        snprintf(text, sizeof text,
                 "tables refer to log segment %" PRIu64 ", which is missing or has lost its header",
                 log->segment);
        if (!there) inspect_out_problem(view->out, "MANIFEST", 0, text);
    }
}

static enum status show_dir(struct dir_view *view) {
    struct inspect_out *out = view->out;
    enum status status = io_list_dir(view->io, view->dir, found_name, view);
    if (status != STATUS_OK) return status;
    if (view->table_count > 1) qsort(view->tables, view->table_count, sizeof *view->tables, compare_numbers);
    read_segment_headers(view);
    struct diagnostic why = {{0}};
    status = manifest_read(view->io, view->dir, apply, view, &view->manifest, &why);
    if (status == STATUS_NOT_FOUND && view->table_count + view->segment_count == 0) return status;
    for (size_t i = 0; i < view->segment_count; i++) {
        const struct segment_file *segment = &view->segments[i];
        struct log_source *log = segment->valid ? version_set_log(&view->versions, segment->header.segment)
                                                : NULL;
        if (log != NULL) log->source.number = segment->number;
    }
    inspect_out_text(out, "type", "store");
    inspect_out_number(out, "store", view->manifest.header.store_id);
    inspect_out_number(out, "format", view->manifest.header.version);
    inspect_out_number(out, "manifest_generation", view->manifest.header.generation);
    inspect_out_number(out, "manifest_records", view->manifest.records);
    inspect_out_number(out, "flushed_sequence", view->versions.flushed_sequence);
    inspect_out_number(out, "durable_sequence", view->versions.durable_sequence);
    inspect_out_number(out, "range_deletions", view->versions.current->tombstones->set.count);
    inspect_out_number(out, "table_files", view->table_count);
    inspect_out_number(out, "table_bytes", view->versions.table_bytes);
    show_levels(view);
    show_tables(view);
    show_segments(view);
    inspect_out_begin_list(out, "problems");
    if (status != STATUS_OK)
        inspect_out_problem(out, "MANIFEST", view->manifest.end,
                            why.text[0] != 0 ? why.text : status_text(status));
    show_missing(view);
    show_segment_problems(view);
    inspect_out_end_list(out);
    if (out->options->verify) verify_files(view);
    return STATUS_OK;
}

static enum status inspect_dir(struct io *io, const char *dir, struct inspect_out *out) {
    struct dir_view view = {.io = io, .dir = dir, .out = out};
    version_set_init(&view.versions, io, dir, NULL);
    view.versions.keep_files = true;
    inspect_out_begin(out, NULL);
    enum status status = show_dir(&view);
    inspect_out_end(out);
    version_set_release(&view.versions);
    mem_free(view.segments);
    mem_free(view.tables);
    return status;
}

/* ---- a file ------------------------------------------------------------------------------------------ */

/* By its content first: a file may have been copied under another name. */
static enum layout_kind recognise(struct io *io, const char *path, const char *name) {
    struct io_file *file;
    enum layout_kind kind = LAYOUT_OTHER;
    if (io_file_open(io, path, IO_OPEN_READ, &file) == STATUS_OK) {
        uint8_t start[8] = {0};
        size_t size;
        if (io_file_read_at(file, start, sizeof start, 0, &size) == STATUS_OK) {
            if (memcmp(start, "SNTLWAL1", 8) == 0) kind = LAYOUT_LOG;
            if (memcmp(start, "SNTLMAN1", 8) == 0) kind = LAYOUT_MANIFEST;
        }
        io_file_close(file);
    }
    uint64_t number;
    return kind == LAYOUT_OTHER ? layout_parse(name, &number) : kind;
}

static enum status inspect_file(struct io *io, const char *path, struct inspect_out *out,
                                struct diagnostic *diagnostic) {
    const char *slash = strrchr(path, '/');
    const char *name = slash == NULL ? path : slash + 1;
    char dir[LAYOUT_DIR_SIZE_MAX + 1] = ".";
    if (slash != NULL) snprintf(dir, sizeof dir, "%.*s", (int)MAX(slash - path, 1), path);
    enum layout_kind kind = recognise(io, path, name);
    if (kind == LAYOUT_MANIFEST && strcmp(name, "MANIFEST") != 0)
        return diagnose(diagnostic, STATUS_INVALID, "%s: name the manifest MANIFEST to inspect it", path);
    if (kind == LAYOUT_OTHER || kind == LAYOUT_LOCK || kind == LAYOUT_TEMPORARY ||
        kind == LAYOUT_CHECKPOINT) {
        uint64_t size = 0;
        struct io_file *file;
        enum status status = io_file_open(io, path, IO_OPEN_READ, &file);
        if (status == STATUS_OK) {
            status = io_file_size(file, &size);
            io_file_close(file);
        }
        if (status != STATUS_OK)
            return diagnose(diagnostic, status, "%s cannot be read: %s", path, status_text(status));
        if (kind != LAYOUT_OTHER)
            return diagnose(diagnostic, STATUS_INVALID, "%s holds nothing to inspect (%" PRIu64 " bytes)",
                            path, size);
        kind = LAYOUT_TABLE; /* a table is known by its end: let it say */
    }
    inspect_out_begin(out, NULL);
    uint64_t next_sequence;
    enum status status = kind == LAYOUT_LOG        ? inspect_log(io, path, name, 0, out, &next_sequence)
                         : kind == LAYOUT_MANIFEST ? inspect_manifest(io, dir, out)
                                                   : inspect_table(io, path, name, NULL, NULL, out);
    inspect_out_end(out);
    if (status != STATUS_OK) diagnose(diagnostic, status, "%s cannot be read: %s", path, status_text(status));
    return status;
}

static void ignore_name(void *ctx, const char *name, bool is_dir) {
    (void)ctx;
    (void)name;
    (void)is_dir;
}

enum status inspect_path(struct io *io, const char *path, const struct inspect_options *options,
                         struct diagnostic *diagnostic) {
    if (strlen(path) > LAYOUT_DIR_SIZE_MAX)
        return diagnose(diagnostic, STATUS_INVALID, "the path is too long");
    struct inspect_out out;
    inspect_out_init(&out, options);
    enum status status;
    if (io_list_dir(io, path, ignore_name, NULL) == STATUS_OK) {
        status = inspect_dir(io, path, &out);
        if (status == STATUS_NOT_FOUND)
            diagnose(diagnostic, status, "%s holds no store", path);
        else if (status != STATUS_OK)
            diagnose(diagnostic, status, "%s cannot be read: %s", path, status_text(status));
    } else {
        status = inspect_file(io, path, &out, diagnostic);
    }
    uint64_t problems = out.problems;
    inspect_out_release(&out);
    if (status != STATUS_OK || problems == 0) return status;
    return diagnose(diagnostic, STATUS_CORRUPT, "%s: %" PRIu64 " problem%s found", path, problems,
                    problems == 1 ? "" : "s");
}
