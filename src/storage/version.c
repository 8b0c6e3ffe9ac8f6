// SPDX-License-Identifier: Apache-2.0
#include "storage/version.h"

#include <inttypes.h>
#include <stdio.h>

#include "base/assert.h"
#include "base/mem.h"
#include "storage/quarantine.h"

#define LEVEL_RUNS_MIN ((size_t)8) /* room for so many at least */

/* ---- tables ------------------------------------------------------------------------------------------ */

static struct slice table_key(uint64_t number, uint8_t key[8]) {
    store_be64(key, number);
    return slice_make(key, 8);
}

struct table *version_set_table(const struct version_set *set, uint64_t number) {
    uint8_t key[8];
    return map_get(&set->tables, table_key(number, key));
}

static void removal_start(struct version_set *set);

static void removal_run(struct io_job *job) {
    struct version_set *set = CONTAINER_OF(job, struct version_set, removal);
    LIST_FOREACH(it, &set->removing) {
        struct table *table = CONTAINER_OF(it, struct table, link);
        if (table->damaged &&
            quarantine_file(set->io, set->dir, LAYOUT_TABLE, table->source.number) == STATUS_OK)
            continue;
        struct layout_path path = layout_path(set->dir, LAYOUT_TABLE, table->source.number);
        /* What cannot be removed now is found and removed at the next start. */
        if (io_unlink(set->io, path.text) != STATUS_OK) continue;
    }
}

static void free_tables(struct list *tables) {
    struct list *node;
    while ((node = list_pop_front(tables)) != NULL) {
        struct table *table = CONTAINER_OF(node, struct table, link);
        block_source_close(&table->source);
        mem_free(table);
    }
}

static void removal_done(struct io_job *job) {
    struct version_set *set = CONTAINER_OF(job, struct version_set, removal);
    free_tables(&set->removing);
    set->removal_running = false;
    removal_start(set);
    if (set->changed != NULL) set->changed(set->ctx);
}

static void removal_start(struct version_set *set) {
    if (set->removal_running || list_empty(&set->dead) || set->keep_files) return;
    list_append(&set->removing, &set->dead);
    LIST_FOREACH(it, &set->removing) {
        struct table *table = CONTAINER_OF(it, struct table, link);
        block_source_close(&table->source);
    }
    set->removal_running = true;
    set->removal = (struct io_job){.run = removal_run, .done = removal_done};
    io_job_start(set->io, &set->removal);
}

/* Nobody reads the table any more, and no version names it. */
static void table_unpinned(struct block_source *source) {
    struct table *table = CONTAINER_OF(source, struct table, source);
    struct version_set *set = table->owner;
    uint8_t key[8];
    if (set->cache != NULL) block_cache_forget(set->cache, source);
    map_remove(&set->tables, table_key(source->number, key));
    set->table_bytes -= table->size;
    list_push_back(&set->dead, &table->link);
    removal_start(set);
}

static struct table *table_add(struct version_set *set, const struct table_meta *meta) {
    struct table *table = mem_calloc(1, sizeof *table);
    block_source_init(&table->source, &set->files, LAYOUT_TABLE);
    table->source.number = meta->number;
    table->source.unpinned = table_unpinned;
    table->size = meta->size;
    table->index = meta->index;
    table->filter = meta->filter;
    table->entries = meta->entries;
    table->data_bytes = meta->data_bytes;
    table->owner = set;
    list_init(&table->link);
    uint8_t key[8];
    map_put(&set->tables, table_key(meta->number, key), table);
    set->table_bytes += meta->size;
    set->next_file = MAX(set->next_file, meta->number + 1);
    return table;
}

/* ---- segments of the log ----------------------------------------------------------------------------- */

struct log_source *version_set_log(const struct version_set *set, uint64_t segment) {
    uint8_t key[8];
    return map_get(&set->logs, table_key(segment, key));
}

static void log_unpinned(struct block_source *source) {
    struct log_source *log = CONTAINER_OF(source, struct log_source, source);
    struct version_set *set = log->owner;
    uint8_t key[8];
    if (set->cache != NULL) block_cache_forget(set->cache, source);
    block_source_close(source);
    map_remove(&set->logs, table_key(log->segment, key));
    mem_free(log);
    if (set->log_unpinned != NULL && !set->keep_files) set->log_unpinned(set->ctx);
}

static struct log_source *log_pin(struct version_set *set, uint64_t segment) {
    struct log_source *log = version_set_log(set, segment);
    if (log == NULL) {
        log = mem_calloc(1, sizeof *log);
        block_source_init(&log->source, &set->files, LAYOUT_LOG);
        log->source.unpinned = log_unpinned;
        log->segment = segment;
        log->owner = set;
        if (set->log_file != NULL) set->log_file(set->ctx, log);
        uint8_t key[8];
        map_put(&set->logs, table_key(segment, key), log);
    }
    block_source_pin(&log->source);
    return log;
}

static void edit_log_of(const struct log_source *log, struct writer *edit) {
    edit_log(edit, &(struct edit_log){.segment = log->segment,
                                      .file = log->source.number,
                                      .size = log->size,
                                      .first_sequence = log->first_sequence});
}

void version_set_tell_log(const struct version_set *set, uint64_t segment, struct writer *edit) {
    const struct log_source *known = version_set_log(set, segment);
    if ((known != NULL && known->told) || set->log_file == NULL) return;
    struct log_source log = {.segment = segment};
    set->log_file(set->ctx, &log);
    if (log.source.number != 0) edit_log_of(&log, edit);
}

/* What an edit says of a segment that nothing refers to (any more) is of no interest. */
static void log_told(struct version_set *set, const struct edit_log *told) {
    struct log_source *log = version_set_log(set, told->segment);
    if (log == NULL) return;
    log->source.number = told->file;
    log->size = told->size;
    log->first_sequence = told->first_sequence;
    log->told = true;
}

/* ---- runs and versions ------------------------------------------------------------------------------- */

static struct run *run_new(struct table *table, const struct edit_item *item) {
    const struct table_run_meta *meta = &item->run;
    size_t refs_size = meta->ref_count * sizeof(struct table_ref);
    struct run *run = mem_calloc(1, sizeof *run + refs_size + meta->first.size + meta->last.size);
    struct table_ref *refs = (struct table_ref *)(run + 1);
    uint8_t *keys = (uint8_t *)refs + refs_size;
    if (meta->first.size > 0) memcpy(keys, meta->first.data, meta->first.size);
    if (meta->last.size > 0) memcpy(keys + meta->first.size, meta->last.data, meta->last.size);
    run->table = table;
    run->meta = *meta;
    run->meta.first = slice_make(keys, meta->first.size);
    run->meta.last = slice_make(keys + meta->first.size, meta->last.size);
    list_init(&run->gaps);
    block_source_pin(&table->source);
    run->meta.refs = refs;
    struct reader reader = reader_make(item->refs);
    for (uint32_t i = 0; i < meta->ref_count; i++) {
        refs[i] = edit_ref_next(&reader, i == 0 ? 0 : refs[i - 1].segment);
        refs[i].source = log_pin(table->owner, refs[i].segment);
    }
    return run;
}

static void run_unpin(struct run *run) {
    if (--run->pins > 0) return;
    struct table *table = run->table;
    for (uint32_t i = 0; i < run->meta.ref_count; i++)
        block_source_unpin(&run->meta.refs[i].source->source);
    LIST_FOREACH(it, &run->gaps)
        mem_free(CONTAINER_OF(it, struct run_gap, link));
    mem_free(run);
    block_source_unpin(&table->source);
}

void version_pin(struct version *version) {
    version->pins++;
}

static void tombstones_unpin(struct version_tombstones *tombstones) {
    if (--tombstones->pins > 0) return;
    tombstone_set_release(&tombstones->set);
    mem_free(tombstones);
}

static struct version_tombstones *tombstones_new(struct version_set *set) {
    struct version_tombstones *tombstones = mem_calloc(1, sizeof *tombstones);
    tombstones->pins = 1;
    tombstones->generation = ++set->generations;
    tombstone_set_init(&tombstones->set);
    return tombstones;
}

void version_unpin(struct version *version) {
    ASSERT(version->pins > 0);
    if (--version->pins > 0) return;
    for (size_t l = 0; l < STORE_LEVEL_COUNT; l++) {
        for (size_t i = 0; i < version->levels[l].count; i++)
            run_unpin(version->levels[l].runs[i]);
        mem_free(version->levels[l].runs);
    }
    tombstones_unpin(version->tombstones);
    mem_free(version);
}

size_t version_level_find(const struct version_level *level, struct slice key) {
    size_t low = 0, high = level->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(level->runs[middle]->meta.last, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool run_overlaps(const struct run *run, struct slice first, struct slice last) {
    return slice_compare(run->meta.first, last) <= 0 && slice_compare(run->meta.last, first) >= 0;
}

bool version_level_overlaps(const struct version_level *level, uint32_t index, struct slice first,
                            struct slice last) {
    if (index > 0) {
        size_t at = version_level_find(level, first);
        return at < level->count && run_overlaps(level->runs[at], first, last);
    }
    for (size_t i = 0; i < level->count; i++)
        if (run_overlaps(level->runs[i], first, last)) return true;
    return false;
}

void version_check(const struct version *version) {
    for (size_t l = 0; l < STORE_LEVEL_COUNT; l++) {
        const struct version_level *level = &version->levels[l];
        for (size_t i = 0; i < level->count; i++) {
            const struct run *run = level->runs[i];
            ASSERT(slice_compare(run->meta.first, run->meta.last) <= 0);
            if (i == 0) continue;
            const struct run *before = level->runs[i - 1];
            if (l == 0)
                ASSERT_LE(run->meta.last_sequence, before->meta.last_sequence);
            else
                ASSERT(slice_compare(before->meta.last, run->meta.first) < 0);
        }
    }
    tombstone_set_check(&version->tombstones->set);
}

/* ---- applying an edit -------------------------------------------------------------------------------- */

/* The next version while it is made. */
struct build {
    struct version_set *set;
    struct version *version; /* NULL: the edit has changed no table yet */
    struct list added;       /* tables of this edit */
    struct run **dropped;    /* runs that leave with it: what they hold may be added again, elsewhere */
    size_t dropped_count, dropped_capacity;
    uint64_t flushed_sequence, durable_sequence, next_file, sealed_segment;
    struct diagnostic *diagnostic;
};

static size_t run_place(const struct version_level *level, uint32_t index, const struct run *run) {
    if (index > 0) return version_level_find(level, run->meta.first);
    size_t at = 0;
    while (at < level->count && level->runs[at]->meta.last_sequence > run->meta.last_sequence)
        at++;
    return at;
}

static enum status build_run_add(struct build *build, const struct edit_item *item) {
    struct table *table = version_set_table(build->set, item->number);
    if (table == NULL)
        return diagnose(build->diagnostic, STATUS_CORRUPT, "manifest: run of unknown table %" PRIu64,
                        item->number);
    struct version_level *level = &build->version->levels[item->level];
    if (slice_compare(item->run.first, item->run.last) > 0 ||
        (item->level > 0 && version_level_overlaps(level, item->level, item->run.first, item->run.last)))
        return diagnose(build->diagnostic, STATUS_CORRUPT,
                        "manifest: a run of table %" PRIu64 " overlaps others in level %u", item->number,
                        item->level);
    struct run *run = run_new(table, item);
    run->pins = 1;
    size_t at = run_place(level, item->level, run);
    if (level->count == level->capacity) {
        level->capacity = MAX(level->capacity * 2, LEVEL_RUNS_MIN);
        level->runs = mem_realloc(level->runs, level->capacity * sizeof *level->runs);
    }
    memmove(level->runs + at + 1, level->runs + at, (level->count - at) * sizeof *level->runs);
    level->runs[at] = run;
    level->count++;
    level->bytes += run->meta.bytes;
    return STATUS_OK;
}

static enum status build_run_drop(struct build *build, const struct edit_item *item) {
    struct version_level *level = &build->version->levels[item->level];
    size_t at = item->level > 0 ? version_level_find(level, item->run.first) : 0;
    while (at < level->count && (level->runs[at]->table->source.number != item->number ||
                                 !slice_equal(level->runs[at]->meta.first, item->run.first)))
        at++;
    if (at == level->count)
        return diagnose(build->diagnostic, STATUS_CORRUPT,
                        "manifest: drops a run of table %" PRIu64 " that is not in level %u", item->number,
                        item->level);
    struct run *run = level->runs[at];
    level->bytes -= run->meta.bytes;
    level->count--;
    memmove(level->runs + at, level->runs + at + 1, (level->count - at) * sizeof *level->runs);
    if (build->dropped_count == build->dropped_capacity) {
        build->dropped_capacity = MAX(build->dropped_capacity * 2, LEVEL_RUNS_MIN);
        build->dropped = mem_realloc(build->dropped, build->dropped_capacity * sizeof *build->dropped);
    }
    build->dropped[build->dropped_count++] = run;
    return STATUS_OK;
}

/* A copy of the deletions to change; with `drop`, without what that item declares spent. */
static void build_tombstones(struct build *build, const struct edit_item *drop) {
    struct version_tombstones *copy = tombstones_new(build->set);
    const struct tombstone_set *old = &build->version->tombstones->set;
    for (size_t i = 0; i < old->count; i++) {
        const struct tombstone *t = &old->fragments[i];
        if (drop == NULL || t->sequences[0] > drop->number || slice_compare(t->to, drop->from) <= 0 ||
            slice_compare(t->from, drop->to) >= 0) {
            tombstone_set_add(&copy->set, t->from, t->to, t->sequences[0]);
            continue;
        }
        if (slice_compare(t->from, drop->from) < 0)
            tombstone_set_add(&copy->set, t->from, drop->from, t->sequences[0]);
        if (slice_compare(t->to, drop->to) > 0)
            tombstone_set_add(&copy->set, drop->to, t->to, t->sequences[0]);
    }
    tombstones_unpin(build->version->tombstones);
    build->version->tombstones = copy;
}

static struct version *version_copy(struct version_set *set) {
    struct version *version = mem_calloc(1, sizeof *version);
    version->pins = 1;
    version->set = set;
    for (size_t l = 0; l < STORE_LEVEL_COUNT && set->current != NULL; l++) {
        const struct version_level *from = &set->current->levels[l];
        struct version_level *to = &version->levels[l];
        if (from->count == 0) continue;
        to->runs = mem_alloc(from->count * sizeof *to->runs);
        memcpy(to->runs, from->runs, from->count * sizeof *to->runs);
        to->count = to->capacity = from->count;
        to->bytes = from->bytes;
        for (size_t i = 0; i < to->count; i++)
            to->runs[i]->pins++;
    }
    version->tombstones = set->current == NULL ? tombstones_new(set) : set->current->tombstones;
    if (set->current != NULL) version->tombstones->pins++;
    return version;
}

static bool changes_tables(enum edit_kind kind) {
    return kind == EDIT_TABLE || kind == EDIT_RUN_ADD || kind == EDIT_RUN_DROP || kind == EDIT_TOMBSTONE ||
           kind == EDIT_TOMBSTONE_DROP;
}

static enum status build_item(struct build *build, const struct edit_item *item, bool *own_tombstones) {
    if (build->version == NULL && changes_tables(item->kind)) build->version = version_copy(build->set);
    switch (item->kind) {
    case EDIT_TABLE:
        if (version_set_table(build->set, item->table.number) != NULL)
            return diagnose(build->diagnostic, STATUS_CORRUPT, "manifest: table %" PRIu64 " appears twice",
                            item->table.number);
        struct table *table = table_add(build->set, &item->table);
        block_source_pin(&table->source); /* until the edit is through */
        list_push_back(&build->added, &table->link);
        return STATUS_OK;
    case EDIT_RUN_ADD:
        return build_run_add(build, item);
    case EDIT_RUN_DROP:
        return build_run_drop(build, item);
    case EDIT_TOMBSTONE:
        if (!*own_tombstones) build_tombstones(build, NULL);
        *own_tombstones = true;
        tombstone_set_add(&build->version->tombstones->set, item->from, item->to, item->number);
        return STATUS_OK;
    case EDIT_TOMBSTONE_DROP:
        build_tombstones(build, item);
        *own_tombstones = true;
        return STATUS_OK;
    case EDIT_FLUSHED:
        build->flushed_sequence = MAX(build->flushed_sequence, item->number);
        return STATUS_OK;
    case EDIT_DURABLE:
        build->durable_sequence = MAX(build->durable_sequence, item->number);
        return STATUS_OK;
    case EDIT_NEXT_FILE:
        build->next_file = MAX(build->next_file, item->number);
        return STATUS_OK;
    case EDIT_SEALED:
        build->sealed_segment = MAX(build->sealed_segment, item->number);
        return STATUS_OK;
    case EDIT_LOG:
        log_told(build->set, &item->log);
        return STATUS_OK;
    }
    UNREACHABLE();
}

/* How much of each table and of each segment of the log the runs still use. */
static void count_runs(struct version_set *set) {
    set->current->level0_tables = 0;
    MAP_FOREACH(it, &set->tables) {
        struct table *table = MAP_ENTRY(it)->value;
        table->run_count = 0;
        table->run_bytes = 0;
    }
    MAP_FOREACH(it, &set->logs)
        ((struct log_source *)MAP_ENTRY(it)->value)->live_bytes = 0;
    for (size_t l = 0; l < STORE_LEVEL_COUNT; l++) {
        struct version_level *level = &set->current->levels[l];
        level->newest = 0;
        for (size_t i = 0; i < level->count; i++) {
            struct run *run = level->runs[i];
            level->newest = MAX(level->newest, run->meta.last_sequence);
            if (l == 0 && run->table->run_count == 0) set->current->level0_tables++;
            run->table->run_count++;
            run->table->run_bytes += run->meta.bytes;
            for (uint32_t k = 0; k < run->meta.ref_count; k++)
                run->meta.refs[k].source->live_bytes += run->meta.refs[k].bytes;
        }
    }
}

static struct build build_make(struct version_set *set, struct version *version,
                               struct diagnostic *diagnostic) {
    return (struct build){.set = set,
                          .version = version,
                          .flushed_sequence = set->flushed_sequence,
                          .durable_sequence = set->durable_sequence,
                          .next_file = set->next_file,
                          .sealed_segment = set->sealed_segment,
                          .diagnostic = diagnostic};
}

/* STATUS_END: all of the edit is in the version. */
static enum status build_edit(struct build *build, struct slice edit) {
    struct reader reader = reader_make(edit);
    struct edit_item item;
    bool own_tombstones = false;
    enum status status;
    list_init(&build->added);
    while ((status = edit_next(&reader, &item)) == STATUS_OK) {
        status = build_item(build, &item, &own_tombstones);
        if (status != STATUS_OK) break;
    }
    if (status == STATUS_CORRUPT && !reader_ok(&reader))
        diagnose(build->diagnostic, STATUS_CORRUPT, "manifest: an edit makes no sense at its byte %zu",
                 reader_position(&reader));
    return status;
}

static void build_take(struct build *build) {
    struct version_set *set = build->set;
    if (build->version != NULL) set->current = build->version;
    set->flushed_sequence = build->flushed_sequence;
    set->durable_sequence = MAX(build->durable_sequence, build->flushed_sequence);
    set->next_file = MAX(set->next_file, build->next_file);
    set->sealed_segment = build->sealed_segment;
}

/* Gives back what was held until the edit is through. */
static void build_end(struct build *build) {
    struct list *node;
    for (size_t i = 0; i < build->dropped_count; i++)
        run_unpin(build->dropped[i]);
    mem_free(build->dropped);
    while ((node = list_pop_front(&build->added)) != NULL)
        block_source_unpin(&CONTAINER_OF(node, struct table, link)->source);
}

enum status version_set_apply(struct version_set *set, struct slice edit, struct diagnostic *diagnostic) {
    struct build build = build_make(set, NULL, diagnostic);
    enum status status = build_edit(&build, edit);
    bool taken = status == STATUS_END;
    struct version *leaves = taken && build.version != NULL ? set->current : build.version;
    if (taken) {
        build_take(&build);
        ASSERT_SLOW((version_check(set->current), true));
    }
    bool keep = set->keep_files;
    if (!taken) set->keep_files = true; /* the edit did not happen: its tables are not dead */
    build_end(&build);
    if (leaves != NULL) version_unpin(leaves);
    if (!taken) {
        free_tables(&set->dead);
        set->keep_files = keep;
        return status;
    }
    if (build.version != NULL) count_runs(set);
    return STATUS_OK;
}

enum status version_set_load(struct version_set *set, struct slice edit, struct diagnostic *diagnostic) {
    ASSERT_EQ(set->current->pins, 1u);
    struct build build = build_make(set, set->current, diagnostic);
    enum status status = build_edit(&build, edit);
    if (status == STATUS_END) build_take(&build);
    build_end(&build);
    return status == STATUS_END ? STATUS_OK : status;
}

void version_set_loaded(struct version_set *set) {
    ASSERT_SLOW((version_check(set->current), true));
    count_runs(set);
}

void version_set_snapshot(const struct version_set *set, struct writer *edit) {
    edit_number(edit, EDIT_NEXT_FILE, set->next_file);
    edit_number(edit, EDIT_FLUSHED, set->flushed_sequence);
    edit_number(edit, EDIT_DURABLE, set->durable_sequence);
    edit_number(edit, EDIT_SEALED, set->sealed_segment);
    MAP_FOREACH(it, &set->tables) {
        const struct table *table = MAP_ENTRY(it)->value;
        if (table->run_count == 0) continue; /* only older versions still read it */
        struct table_meta meta = {.number = table->source.number,
                                  .size = table->size,
                                  .index = table->index,
                                  .filter = table->filter,
                                  .entries = table->entries,
                                  .data_bytes = table->data_bytes};
        edit_table(edit, &meta);
    }
    for (uint32_t l = 0; l < STORE_LEVEL_COUNT; l++) {
        const struct version_level *level = &set->current->levels[l];
        for (size_t i = 0; i < level->count; i++)
            edit_run_add(edit, l, level->runs[i]->table->source.number, &level->runs[i]->meta);
    }
    MAP_FOREACH(it, &set->logs) {
        const struct log_source *log = MAP_ENTRY(it)->value;
        if (log->live_bytes > 0 && log->source.number != 0) edit_log_of(log, edit);
    }
    const struct tombstone_set *tombstones = &set->current->tombstones->set;
    for (size_t i = 0; i < tombstones->count; i++)
        edit_tombstone(edit, tombstones->fragments[i].from, tombstones->fragments[i].to,
                       tombstones->fragments[i].sequences[0]);
}

/* ---- life -------------------------------------------------------------------------------------------- */

void version_set_init(struct version_set *set, struct io *io, const char *dir, struct log *log) {
    *set = (struct version_set){.io = io, .dir = dir, .log = log, .next_file = 1};
    map_init(&set->tables, 0);
    map_init(&set->logs, 0);
    open_files_init(&set->files, io, dir);
    list_init(&set->dead);
    list_init(&set->removing);
    set->current = version_copy(set);
}

void version_set_release(struct version_set *set) {
    set->keep_files = true;
    version_unpin(set->current);
    set->current = NULL;
    free_tables(&set->dead);
    free_tables(&set->removing);
    map_release(&set->tables);
    map_release(&set->logs);
}

bool version_set_idle(const struct version_set *set) {
    return !set->removal_running;
}
