// SPDX-License-Identifier: Apache-2.0
#include "storage/table_runs.h"

#include "base/assert.h"
#include "base/mem.h"

void table_runs_init(struct table_runs *runs, size_t partition_prefix_size, size_t run_bytes_min) {
    *runs = (struct table_runs){.partition_prefix_size = partition_prefix_size,
                                .run_bytes_min = run_bytes_min};
    writer_init(&runs->first);
    writer_init(&runs->last);
    arena_init(&runs->arena, 4 * KIB);
}

void table_runs_release(struct table_runs *runs) {
    writer_release(&runs->first);
    writer_release(&runs->last);
    mem_free(runs->stretch_refs.refs);
    mem_free(runs->last_refs.refs);
    mem_free(runs->runs);
    arena_release(&runs->arena);
}

/* ---- what runs refer to ------------------------------------------------------------------------------ */

static void add_ref(struct table_ref_list *list, uint64_t segment, uint64_t bytes) {
    uint32_t at = list->count; /* mostly the last one */
    while (at > 0 && list->refs[at - 1].segment > segment)
        at--;
    if (at > 0 && list->refs[at - 1].segment == segment) {
        list->refs[at - 1].bytes += bytes;
        return;
    }
    if (list->count == list->capacity) {
        list->capacity = MAX(list->capacity * 2, 8u);
        list->refs = mem_realloc(list->refs, list->capacity * sizeof *list->refs);
    }
    memmove(list->refs + at + 1, list->refs + at, (list->count - at) * sizeof *list->refs);
    list->refs[at] = (struct table_ref){.segment = segment, .bytes = bytes};
    list->count++;
}

static struct table_ref *copy_refs(struct arena *arena, const struct table_ref *refs, uint32_t count) {
    struct table_ref *copy = arena_calloc(arena, MAX(count, 1u), sizeof *copy);
    if (count > 0) memcpy(copy, refs, count * sizeof *copy);
    return copy;
}

/* Counts a value that stays in the log. */
static void add_place(struct table_runs *runs, const struct value_place *place) {
    bool goes_on = runs->stretch_refs.count > 0 && runs->place.file == place->file &&
                   runs->place.offset + runs->place.size == place->offset;
    runs->stretch.extents += !goes_on;
    runs->place = *place;
    add_ref(&runs->stretch_refs, place->file, place->size);
}

/* ---- stretches --------------------------------------------------------------------------------------- */

static struct slice partition_of(const struct table_runs *runs, struct slice key) {
    return slice_make(key.data, MIN(key.size, runs->partition_prefix_size));
}

bool table_runs_changes(const struct table_runs *runs, struct slice key) {
    if (runs->stretch.entries == 0 || runs->cut) return true;
    return runs->partition_prefix_size > 0 &&
           !slice_equal(partition_of(runs, writer_slice(&runs->first)), partition_of(runs, key));
}

bool table_runs_apart(const struct table_runs *runs) {
    return runs->cut || runs->size >= runs->run_bytes_min;
}

void table_runs_begin(struct table_runs *runs, struct slice key, uint64_t position) {
    ASSERT_EQ(runs->stretch.entries, 0u);
    runs->stretch = (struct table_run_meta){.first_sequence = UINT64_MAX};
    writer_clear(&runs->first);
    writer_bytes(&runs->first, key);
    runs->alone = runs->cut;
    runs->cut = false;
    runs->size = 0;
    runs->stretch_refs.count = 0;
    runs->stretch.bytes = position; /* where it begins, until it ends */
}

void table_runs_add(struct table_runs *runs, struct slice key, const struct block_entry *entry) {
    struct table_run_meta *stretch = &runs->stretch;
    stretch->entries++;
    stretch->first_sequence = MIN(stretch->first_sequence, entry->sequence);
    stretch->last_sequence = MAX(stretch->last_sequence, entry->sequence);
    runs->size += key.size + (entry->kind == ENTRY_PUT ? entry->value.size : entry->place.size);
    if (entry->kind == ENTRY_PUT_LOG) add_place(runs, &entry->place);
}

/* Keys and refs of the last run go to the arena: nothing is joined with it any more. */
static void close_run(struct table_runs *runs) {
    if (runs->run_count == 0) return;
    struct table_run_meta *run = &runs->runs[runs->run_count - 1];
    run->last = arena_copy(&runs->arena, writer_slice(&runs->last));
    run->refs = copy_refs(&runs->arena, runs->last_refs.refs, runs->last_refs.count);
    run->ref_count = runs->last_refs.count;
}

static void push_run(struct table_runs *runs) {
    close_run(runs);
    if (runs->run_count == runs->run_capacity) {
        runs->run_capacity = MAX(runs->run_capacity * 2, (size_t)16);
        runs->runs = mem_realloc(runs->runs, runs->run_capacity * sizeof *runs->runs);
    }
    struct table_run_meta *run = &runs->runs[runs->run_count++];
    *run = runs->stretch;
    run->first = arena_copy(&runs->arena, writer_slice(&runs->first));
    runs->start = runs->stretch.bytes;
    struct table_ref_list emptied = runs->last_refs;
    runs->last_refs = runs->stretch_refs;
    runs->stretch_refs = emptied;
}

static void join_run(struct table_runs *runs) {
    struct table_run_meta *run = &runs->runs[runs->run_count - 1];
    run->entries += runs->stretch.entries;
    run->first_sequence = MIN(run->first_sequence, runs->stretch.first_sequence);
    run->last_sequence = MAX(run->last_sequence, runs->stretch.last_sequence);
    run->extents += runs->stretch.extents;
    for (uint32_t i = 0; i < runs->stretch_refs.count; i++)
        add_ref(&runs->last_refs, runs->stretch_refs.refs[i].segment, runs->stretch_refs.refs[i].bytes);
}

void table_runs_end(struct table_runs *runs, struct slice last, uint64_t position) {
    ASSERT(runs->stretch.entries > 0);
    bool small = runs->size < runs->run_bytes_min;
    if (small && runs->joinable && !runs->alone)
        join_run(runs);
    else
        push_run(runs);
    runs->joinable = small;
    writer_clear(&runs->last);
    writer_bytes(&runs->last, last);
    /* The block under way may have shrunk since the run began in it. */
    runs->runs[runs->run_count - 1].bytes = position > runs->start ? position - runs->start : 1;
    runs->stretch.entries = 0;
}

void table_runs_finish(struct table_runs *runs, struct arena *arena, struct table_meta *meta) {
    close_run(runs);
    meta->runs = arena_calloc(arena, MAX(runs->run_count, (size_t)1), sizeof *meta->runs);
    meta->run_count = (uint32_t)runs->run_count;
    for (uint32_t i = 0; i < meta->run_count; i++) {
        struct table_run_meta *run = &meta->runs[i];
        *run = runs->runs[i];
        meta->data_bytes += run->bytes;
        run->refs = copy_refs(arena, run->refs, run->ref_count);
        run->first = arena_copy(arena, run->first);
        run->last = arena_copy(arena, run->last);
    }
}
