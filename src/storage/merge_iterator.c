// SPDX-License-Identifier: Apache-2.0
#include "storage/merge_iterator.h"

#include "base/assert.h"
#include "base/mem.h"

enum todo {
    TODO_NOTHING,
    TODO_SEEK,        /* first >= target */
    TODO_SEEK_PREV,   /* last <= target */
    TODO_SEEK_AFTER,  /* first > target */
    TODO_SEEK_BEFORE, /* last < target */
    TODO_NEXT,
    TODO_PREV,
};

struct merge_source {
    enum todo todo;
    bool at; /* on an entry */
    struct slice key;
    uint64_t newest;
    bool is_memtable;
    struct memtable_cursor memtable;
    /* a level, or one run of level 0 as a level of one */
    struct run *const *runs;
    size_t run_count, run_index;
    const struct run *single;
    bool entering;               /* the cursor has still to find its place in a run just entered */
    bool passing;                /* damage that is deleted: the target is `behind` it */
    struct writer behind;        /* empty memory until it is used */
    struct table_cursor *cursor; /* in the run; NULL: none yet */
    /* Of the run behind it, which finds its way while this one is read: of a scan that the disk is slow for.
     */
    struct table_cursor *next;
    bool next_found, next_valued, next_failed; /* on its first entry; its value was asked for; gave up */
};

/* ---- one source -------------------------------------------------------------------------------------- */

static struct merge_source *add_source(struct merge_iterator *merge, bool is_memtable) {
    if (merge->count == merge->capacity) {
        merge->capacity = MAX(merge->capacity * 2, 8u);
        merge->sources = mem_realloc(merge->sources, merge->capacity * sizeof *merge->sources);
    }
    struct merge_source *source = mem_calloc(1, sizeof *source);
    source->is_memtable = is_memtable;
    merge->sources[merge->count++] = source;
    return source;
}

void merge_iterator_add_memtable(struct merge_iterator *merge, const struct memtable *memtable,
                                 uint64_t snapshot) {
    struct merge_source *source = add_source(merge, true);
    source->newest = memtable->last_sequence;
    memtable_cursor_init(&source->memtable, memtable, snapshot);
}

void merge_iterator_add_level(struct merge_iterator *merge, struct run *const *runs, size_t count,
                              uint64_t newest) {
    struct merge_source *source = add_source(merge, false);
    source->runs = runs;
    source->run_count = count;
    source->newest = newest;
}

void merge_iterator_add_run(struct merge_iterator *merge, const struct run *run) {
    struct merge_source *source = add_source(merge, false);
    source->single = run;
    source->run_count = 1;
    source->newest = run->meta.last_sequence;
}

static const struct run *source_run(const struct merge_source *source, size_t index) {
    return source->single != NULL ? source->single : source->runs[index];
}

static void give(struct merge_source *source, enum todo todo) {
    source->todo = todo;
    source->passing = false;
}

static void drop_cursor(struct table_cursor **cursor) {
    if (*cursor != NULL) table_cursor_release(*cursor);
    mem_free(*cursor);
    *cursor = NULL;
}

/* Makes the cursor one of run `index`. */
static void enter_run(struct merge_iterator *merge, struct merge_source *source, size_t index) {
    if (source->cursor != NULL && source->run_index == index) return;
    struct table_cursor_options *options = &merge->options.tables;
    if (source->cursor != NULL) options->ahead = MAX(options->ahead, source->cursor->ahead.size);
    drop_cursor(&source->cursor);
    const struct run *run = source_run(source, index);
    if (source->next != NULL && index == source->run_index + 1) {
        source->cursor = source->next;
        source->next = NULL;
        table_cursor_tell(source->cursor, options->ready, options->ctx);
    } else {
        drop_cursor(&source->next);
        source->cursor = mem_alloc(sizeof *source->cursor);
        table_cursor_init(source->cursor, run->table, &run->meta, options);
    }
    source->next_found = source->next_valued = source->next_failed = false;
    source->run_index = index;
}

/* ---- the run behind ---------------------------------------------------------------------------------- */

/* The disk was told of all that the run has, or the last block is reached. */
static bool is_almost_read(const struct table_cursor *cursor) {
    return cursor->at_last || cursor->ahead.ended;
}

/* As far as it gets without waiting: to its first entry, and, when the run before it is almost read, to the
 * value. What goes wrong is met again by whoever reads it. */
static void drive_next(struct merge_source *source) {
    struct table_cursor *next = source->next;
    struct shared_slice value;
    enum status status = STATUS_OK;
    if (!source->next_found) status = table_cursor_seek(next, next->bounds->first);
    source->next_found = status == STATUS_OK;
    if (status == STATUS_OK && is_almost_read(source->cursor) &&
        table_cursor_entry(next)->kind != ENTRY_DELETE)
        status = table_cursor_value(next, &value);
    source->next_failed = status != STATUS_OK && status != STATUS_PENDING;
}

static void next_ready(void *ctx) {
    struct merge_source *source = ctx;
    if (!source->next_failed) drive_next(source);
}

/* Between the runs of one level a scan would wait for an index, a block and a value, one after the other. */
static void prepare_next(struct merge_iterator *merge, struct merge_source *source) {
    bool begins = source->next == NULL;
    if (!merge->forward || source->run_index + 1 >= source->run_count || source->next_failed) return;
    if (begins) {
        const struct run *run = source_run(source, source->run_index + 1);
        struct table_cursor_options options = merge->options.tables;
        options.ahead = source->cursor->ahead.size;
        options.ready = next_ready;
        options.ctx = source;
        source->next = mem_alloc(sizeof *source->next);
        table_cursor_init(source->next, run->table, &run->meta, &options);
    }
    if (begins || (is_almost_read(source->cursor) && !source->next_valued)) drive_next(source);
    source->next_valued = is_almost_read(source->cursor);
}

static size_t find_run(const struct merge_source *source, struct slice key) {
    if (source->single != NULL) return slice_compare(source->single->meta.last, key) < 0 ? 1 : 0;
    struct version_level level = {.runs = (struct run **)(uintptr_t)source->runs, .count = source->run_count};
    return version_level_find(&level, key);
}

static enum status seek_table(struct merge_iterator *merge, struct merge_source *source, struct slice key,
                              bool forward) {
    source->entering = false;
    size_t index = find_run(source, key);
    if (!forward &&
        (index == source->run_count || slice_compare(source_run(source, index)->meta.first, key) > 0)) {
        if (index == 0) return STATUS_END;
        index--;
    }
    if (index == source->run_count) return STATUS_END;
    enter_run(merge, source, index);
    return forward ? table_cursor_seek(source->cursor, key) : table_cursor_seek_prev(source->cursor, key);
}

static enum status step_table(struct merge_iterator *merge, struct merge_source *source, bool forward) {
    enum status status;
    if (!source->entering) {
        status = forward ? table_cursor_next(source->cursor) : table_cursor_prev(source->cursor);
        if (status != STATUS_END) return status;
        size_t index = source->run_index;
        if (forward ? index + 1 == source->run_count : index == 0) return STATUS_END;
        enter_run(merge, source, forward ? index + 1 : index - 1);
        source->entering = true;
    }
    const struct table_run_meta *meta = source->cursor->bounds;
    status = forward ? table_cursor_seek(source->cursor, meta->first)
                     : table_cursor_seek_prev(source->cursor, meta->last);
    if (status != STATUS_PENDING) source->entering = false;
    return status == STATUS_END ? STATUS_CORRUPT : status; /* no run is empty */
}

static enum status step_memtable(struct merge_source *source, enum todo todo, struct slice target) {
    switch (todo) {
    case TODO_SEEK:
    case TODO_SEEK_AFTER:
        memtable_cursor_seek(&source->memtable, target);
        break;
    case TODO_SEEK_PREV:
    case TODO_SEEK_BEFORE:
        memtable_cursor_seek_prev(&source->memtable, target);
        break;
    case TODO_NEXT:
        memtable_cursor_next(&source->memtable);
        break;
    default:
        memtable_cursor_prev(&source->memtable);
    }
    return source->memtable.entry == NULL ? STATUS_END : STATUS_OK;
}

static enum status source_step(struct merge_iterator *merge, struct merge_source *source,
                               struct slice target) {
    enum todo todo = source->todo;
    enum status status;
    if (source->is_memtable)
        status = step_memtable(source, todo, target);
    else if (todo == TODO_NEXT || todo == TODO_PREV)
        status = step_table(merge, source, todo == TODO_NEXT);
    else
        status = seek_table(merge, source, target, todo == TODO_SEEK || todo == TODO_SEEK_AFTER);
    if (status == STATUS_OK)
        source->key = source->is_memtable ? memtable_entry_key(source->memtable.entry)
                                          : table_cursor_key(source->cursor);
    return status;
}

/* Notes what the source could not read. */
static void find_gap(struct merge_iterator *merge, const struct merge_source *source) {
    struct merge_gap *gap = &merge->gap;
    gap->run = source_run(source, source->run_index);
    if (source->cursor != NULL) {
        table_cursor_gap(source->cursor, &gap->first, &gap->last);
        return;
    }
    writer_clear(&gap->first);
    writer_clear(&gap->last);
    writer_bytes(&gap->first, gap->run->meta.first);
    writer_bytes(&gap->last, gap->run->meta.last);
}

/* Where all of the gap is deleted, the source goes on behind it. False: something is lost. */
static bool pass_gap(struct merge_iterator *merge, struct merge_source *source) {
    struct slice first = writer_slice(&merge->gap.first), last = writer_slice(&merge->gap.last);
    const struct run *run = merge->gap.run;
    if (merge->options.deleted == NULL ||
        !merge->options.deleted(merge->options.ctx, first, last, run->meta.last_sequence))
        return false;
    struct slice behind = writer_slice(&source->behind);
    bool further = !source->passing ||
                   (merge->forward ? slice_compare(last, behind) >= 0 : slice_compare(first, behind) <= 0);
    if (!further) return false; /* an index that goes backwards */
    source->passing = true;
    source->entering = false;
    writer_clear(&source->behind);
    if (merge->forward) {
        source->todo = TODO_SEEK;
        writer_bytes(&source->behind, last);
        writer_u8(&source->behind, 0);
    } else if (!slice_equal(first, run->meta.first)) {
        source->todo = TODO_SEEK_PREV;
        writer_bytes(&source->behind, slice_make(first.data, first.size - 1)); /* table_cursor_gap: key, 0 */
    } else if (source->run_index > 0) {
        source->todo = TODO_SEEK_PREV;
        writer_bytes(&source->behind, source_run(source, source->run_index - 1)->meta.last);
    } else {
        source->todo = TODO_NOTHING;
    }
    return true;
}

/* Carries out what the source has to do. */
static enum status source_run_todo(struct merge_iterator *merge, struct merge_source *source) {
    while (source->todo != TODO_NOTHING) {
        enum todo todo = source->todo;
        struct slice target = writer_slice(source->passing ? &source->behind : &merge->target);
        source->at = false;
        enum status status = source_step(merge, source, target);
        if (status == STATUS_CORRUPT || status == STATUS_IO) {
            find_gap(merge, source);
            if (pass_gap(merge, source)) continue;
        }
        if (status != STATUS_OK && status != STATUS_END) return status;
        source->passing = false;
        source->at = status == STATUS_OK;
        source->todo = TODO_NOTHING;
        bool strict = todo == TODO_SEEK_AFTER || todo == TODO_SEEK_BEFORE;
        if (strict && source->at && slice_equal(source->key, target))
            source->todo = todo == TODO_SEEK_AFTER ? TODO_NEXT : TODO_PREV;
    }
    return STATUS_OK;
}

static bool comes_before(const struct merge_iterator *merge, const struct merge_source *a,
                         const struct merge_source *b) {
    int order = slice_compare(a->key, b->key);
    return merge->forward ? order < 0 : order > 0;
}

/* ---- all of them ------------------------------------------------------------------------------------- */

/* The first of the sources, the newest where several have its key, and the first of the others. */
static void choose(struct merge_iterator *merge) {
    struct merge_source *best = NULL, *second = NULL;
    for (uint32_t i = 0; i < merge->count; i++) {
        struct merge_source *source = merge->sources[i];
        if (!source->at) continue;
        if (best == NULL || comes_before(merge, source, best)) {
            second = best;
            best = source;
        } else if (second == NULL || comes_before(merge, source, second)) {
            second = source;
        }
    }
    merge->current = best;
    merge->second = second;
    merge->alone = second == NULL || comes_before(merge, best, second);
}

static enum status run_todos(struct merge_iterator *merge) {
    enum status result = STATUS_OK;
    for (uint32_t i = 0; i < merge->count; i++) {
        enum status status = source_run_todo(merge, merge->sources[i]);
        if (status == STATUS_PENDING) /* go on: reads of several sources run side by side */
            result = STATUS_PENDING;
        else if (status != STATUS_OK)
            return status;
    }
    if (result != STATUS_OK) return result;
    merge->moving = MERGE_STILL;
    choose(merge);
    return merge->current == NULL ? STATUS_END : STATUS_OK;
}

static void set_target(struct merge_iterator *merge, struct slice key) {
    writer_clear(&merge->target);
    writer_bytes(&merge->target, key);
}

static enum status seek_all(struct merge_iterator *merge, struct slice key, enum todo todo, bool forward) {
    /* Asked again, it goes on: sources that have arrived must not need their blocks a second time. */
    bool again = merge->moving == MERGE_SEEK && merge->forward == forward &&
                 slice_equal(writer_slice(&merge->target), key);
    if (again) return run_todos(merge);
    set_target(merge, key);
    merge->forward = forward;
    merge->moving = MERGE_SEEK;
    merge->current = NULL;
    for (uint32_t i = 0; i < merge->count; i++)
        give(merge->sources[i], todo);
    return run_todos(merge);
}

enum status merge_iterator_seek(struct merge_iterator *merge, struct slice key) {
    return seek_all(merge, key, TODO_SEEK, true);
}

enum status merge_iterator_seek_prev(struct merge_iterator *merge, struct slice key) {
    return seek_all(merge, key, TODO_SEEK_PREV, false);
}

static enum status step_all(struct merge_iterator *merge, bool forward) {
    struct merge_source *current = merge->current;
    if (merge->forward == forward) {
        for (uint32_t i = 0; i < merge->count; i++) {
            struct merge_source *source = merge->sources[i];
            if (source == current || (source->at && slice_equal(source->key, current->key)))
                give(source, forward ? TODO_NEXT : TODO_PREV);
        }
    } else {
        set_target(merge, current->key);
        for (uint32_t i = 0; i < merge->count; i++)
            give(merge->sources[i], forward ? TODO_SEEK_AFTER : TODO_SEEK_BEFORE);
    }
    merge->forward = forward;
    merge->moving = forward ? MERGE_NEXT : MERGE_PREV;
    merge->current = NULL;
    return run_todos(merge);
}

/* The current source goes on alone, as long as the others lie further on: the ordinary case, as sources
 * mostly hold stretches of their own. */
static enum status step(struct merge_iterator *merge, bool forward) {
    if (merge->moving == (forward ? MERGE_NEXT : MERGE_PREV)) return run_todos(merge);
    struct merge_source *current = merge->current, *second = merge->second;
    ASSERT(current != NULL);
    if (merge->forward != forward || !merge->alone) return step_all(merge, forward);
    give(current, forward ? TODO_NEXT : TODO_PREV);
    enum status status = source_step(merge, current, SLICE_EMPTY);
    if (status == STATUS_OK) {
        current->todo = TODO_NOTHING;
        if (second != NULL && !comes_before(merge, current, second)) choose(merge);
        return STATUS_OK;
    }
    current->at = false;
    merge->current = NULL;
    if (status == STATUS_CORRUPT || status == STATUS_IO) {
        find_gap(merge, current);
        if (!pass_gap(merge, current)) return status;
    } else if (status == STATUS_END) {
        current->todo = TODO_NOTHING;
    } else if (status != STATUS_PENDING) {
        return status;
    }
    merge->moving = forward ? MERGE_NEXT : MERGE_PREV;
    return status == STATUS_PENDING ? status : run_todos(merge);
}

enum status merge_iterator_next(struct merge_iterator *merge) {
    return step(merge, true);
}

enum status merge_iterator_prev(struct merge_iterator *merge) {
    return step(merge, false);
}

enum status merge_iterator_skip(struct merge_iterator *merge, const struct tombstone *range,
                                uint64_t sequence) {
    ASSERT(merge->current != NULL && merge->moving == MERGE_STILL);
    struct merge_source *current = merge->current;
    bool forward = merge->forward;
    for (uint32_t i = 0; i < merge->count; i++) {
        struct merge_source *source = merge->sources[i];
        if (!source->at) continue;
        bool inside = forward ? slice_compare(source->key, range->to) < 0
                              : slice_compare(source->key, range->from) >= 0;
        if (inside && source->newest < sequence)
            give(source, forward ? TODO_SEEK : TODO_SEEK_BEFORE);
        else if (source == current || slice_equal(source->key, current->key))
            give(source, forward ? TODO_NEXT : TODO_PREV);
    }
    set_target(merge, forward ? range->to : range->from);
    merge->moving = forward ? MERGE_NEXT : MERGE_PREV;
    merge->current = NULL;
    return run_todos(merge);
}

void merge_iterator_clip(struct merge_iterator *merge, uint64_t snapshot) {
    for (uint32_t i = 0; i < merge->count; i++) {
        struct merge_source *source = merge->sources[i];
        if (!source->is_memtable) continue;
        source->memtable.snapshot = snapshot;
        /* The current entry was handed out. Others may wait on one that is gone: an older version of its key
         * comes to light, or the key after it. */
        if (!source->at || source == merge->current) continue;
        if (merge->forward)
            memtable_cursor_seek(&source->memtable, source->key);
        else
            memtable_cursor_seek_prev(&source->memtable, source->key);
        source->at = source->memtable.entry != NULL;
        if (source->at) source->key = memtable_entry_key(source->memtable.entry);
    }
    if (merge->current != NULL) choose(merge); /* the same one again, but who is second? */
}

struct merge_entry merge_iterator_entry(const struct merge_iterator *merge) {
    const struct merge_source *source = merge->current;
    ASSERT(source != NULL);
    if (source->is_memtable)
        return (struct merge_entry){source->key, memtable_entry_kind(source->memtable.entry),
                                    memtable_entry_sequence(source->memtable.entry)};
    const struct block_entry *entry = table_cursor_entry(source->cursor);
    return (struct merge_entry){source->key, entry->kind, entry->sequence};
}

struct slice merge_iterator_key(const struct merge_iterator *merge) {
    return merge->current->key;
}

const struct table_run_meta *merge_iterator_run(const struct merge_iterator *merge,
                                                struct value_place *place) {
    const struct merge_source *source = merge->current;
    ASSERT(source != NULL && !source->is_memtable);
    *place = table_cursor_entry(source->cursor)->place;
    return source->cursor->bounds;
}

enum status merge_iterator_value(struct merge_iterator *merge, struct shared_slice *value, uint32_t *crc) {
    struct merge_source *source = merge->current;
    ASSERT(source != NULL);
    if (source->is_memtable) {
        *value = memtable_value(source->memtable.memtable, source->memtable.entry);
        *crc = memtable_entry_crc(source->memtable.entry);
        return STATUS_OK;
    }
    *crc = table_cursor_entry(source->cursor)->place.crc;
    enum status status = table_cursor_value(source->cursor, value);
    if (source->cursor->ahead.size > 0 && merge->prepares) prepare_next(merge, source);
    if (status == STATUS_CORRUPT || status == STATUS_IO) find_gap(merge, source);
    return status;
}

size_t merge_iterator_ahead(const struct merge_iterator *merge) {
    size_t ahead = merge->options.tables.ahead;
    for (uint32_t i = 0; i < merge->count; i++)
        if (merge->sources[i]->cursor != NULL) ahead = MAX(ahead, merge->sources[i]->cursor->ahead.size);
    return ahead;
}

/* ---- life -------------------------------------------------------------------------------------------- */

void merge_iterator_init(struct merge_iterator *merge, const struct merge_options *options) {
    *merge = (struct merge_iterator){.options = *options};
    const struct table_cursor_options *tables = &options->tables;
    merge->prepares = tables->sequential && !tables->blocking && tables->cache != NULL;
    writer_init(&merge->target);
    writer_init(&merge->gap.first);
    writer_init(&merge->gap.last);
}

void merge_iterator_release(struct merge_iterator *merge) {
    for (uint32_t i = 0; i < merge->count; i++) {
        struct merge_source *source = merge->sources[i];
        drop_cursor(&source->cursor);
        drop_cursor(&source->next);
        writer_release(&source->behind);
        mem_free(source);
    }
    mem_free(merge->sources);
    writer_release(&merge->target);
    writer_release(&merge->gap.first);
    writer_release(&merge->gap.last);
    *merge = (struct merge_iterator){0};
}
