// SPDX-License-Identifier: Apache-2.0
#include "base/assert.h"
#include "base/mem.h"
#include "storage/damage.h"

struct store_iterator {
    struct list link;
    struct store *store;
    uint64_t snapshot;
    struct version *version;
    struct memtable *memtables[STORE_IMMUTABLE_MAX + 1]; /* pinned */
    uint32_t memtable_count;
    const struct tombstone_set *tombstones[STORE_IMMUTABLE_MAX + 2]; /* those that were not empty */
    uint32_t tombstone_count;
    struct merge_iterator merge;
    struct writer lower, upper; /* upper empty: no bound */
    struct writer target;       /* of the seek under way */
    enum { CALL_NONE, CALL_SEEK, CALL_SEEK_PREV, CALL_NEXT, CALL_PREV } call, move;
    enum { STAGE_DONE, STAGE_MOVE, STAGE_SKIP, STAGE_CHECK, STAGE_VALUE } stage;
    bool silent;
    struct store_entry entry;
    void (*ready)(void *ctx);
    void *ctx;
};

static void iterator_ready(void *ctx) {
    struct store_iterator *it = ctx;
    it->ready(it->ctx);
}

/* ---- opening ----------------------------------------------------------------------------------------- */

static bool above_lower(const struct store_iterator *it, struct slice key) {
    return slice_compare(key, writer_slice(&it->lower)) >= 0;
}
static bool below_upper(const struct store_iterator *it, struct slice key) {
    return it->upper.size == 0 || slice_compare(key, writer_slice(&it->upper)) < 0;
}

static void add_memtable(struct store_iterator *it, struct memtable *memtable) {
    if (memtable->last_sequence == 0) return;
    it->memtables[it->memtable_count++] = memtable_pin(memtable);
    if (memtable->tombstones.count > 0) it->tombstones[it->tombstone_count++] = &memtable->tombstones;
    if (memtable->entry_count > 0) merge_iterator_add_memtable(&it->merge, memtable, it->snapshot);
}

static void add_levels(struct store_iterator *it) {
    const struct version_level *levels = it->version->levels;
    for (size_t i = 0; i < levels[0].count; i++) {
        const struct run *run = levels[0].runs[i];
        if (below_upper(it, run->meta.first) && above_lower(it, run->meta.last))
            merge_iterator_add_run(&it->merge, run);
    }
    for (uint32_t l = 1; l < STORE_LEVEL_COUNT; l++) {
        /* Only the runs that the bounds leave, so that an iterator over one partition costs what that
         * partition holds. */
        size_t first = version_level_find(&levels[l], writer_slice(&it->lower));
        size_t end = levels[l].count;
        if (it->upper.size > 0) {
            end = version_level_find(&levels[l], writer_slice(&it->upper));
            if (end < levels[l].count && below_upper(it, levels[l].runs[end]->meta.first)) end++;
        }
        if (first < end)
            merge_iterator_add_level(&it->merge, levels[l].runs + first, end - first, levels[l].newest);
    }
}

static bool is_deleted(void *ctx, struct slice first, struct slice last, uint64_t sequence) {
    const struct store_iterator *it = ctx;
    if (!below_upper(it, first) || !above_lower(it, last)) return true;
    if (!above_lower(it, first)) first = writer_slice(&it->lower);
    bool whole = below_upper(it, last);
    return damage_is_deleted(it->tombstones, it->tombstone_count, first,
                             whole ? last : writer_slice(&it->upper), whole, sequence, it->snapshot);
}

struct store_iterator *store_iterator_open(struct store *store, struct slice lower, struct slice upper,
                                           unsigned flags, void (*ready)(void *ctx), void *ctx) {
    struct store_iterator *it = mem_calloc(1, sizeof *it);
    it->store = store;
    it->snapshot = MAX(store->active->last_sequence, store->versions.flushed_sequence);
    if (store->immutable_count > 0)
        it->snapshot = MAX(it->snapshot, store->immutables[store->immutable_count - 1]->last_sequence);
    it->version = store->versions.current;
    version_pin(it->version);
    it->silent = (flags & STORE_ITERATOR_SILENT) != 0;
    it->ready = ready;
    it->ctx = ctx;
    writer_init(&it->lower);
    writer_init(&it->upper);
    writer_init(&it->target);
    writer_bytes(&it->lower, lower);
    writer_bytes(&it->upper, upper);
    struct merge_options options = {
        .tables = {.cache = store->cache,
                   .blocking = (flags & STORE_ITERATOR_BLOCKING) != 0,
                   .sequential = (flags & STORE_ITERATOR_SEQUENTIAL) != 0,
                   .ready = iterator_ready,
                   .ctx = it},
        .deleted = is_deleted,
        .ctx = it,
    };
    merge_iterator_init(&it->merge, &options);
    add_memtable(it, store->active);
    for (uint32_t i = store->immutable_count; i > 0; i--)
        add_memtable(it, store->immutables[i - 1]);
    if (it->version->tombstones->set.count > 0)
        it->tombstones[it->tombstone_count++] = &it->version->tombstones->set;
    add_levels(it);
    list_init(&it->link);
    list_push_back(&store->iterators, &it->link);
    return it;
}

void store_iterator_close(struct store_iterator *it) {
    list_remove(&it->link);
    merge_iterator_release(&it->merge);
    for (uint32_t i = 0; i < it->memtable_count; i++)
        memtable_unpin(it->memtables[i]);
    version_unpin(it->version);
    writer_release(&it->lower);
    writer_release(&it->upper);
    writer_release(&it->target);
    mem_free(it);
}

void store_iterators_clip(struct store *store, uint64_t sequence) {
    LIST_FOREACH(node, &store->iterators) {
        struct store_iterator *it = CONTAINER_OF(node, struct store_iterator, link);
        it->snapshot = MIN(it->snapshot, sequence);
        merge_iterator_clip(&it->merge, it->snapshot);
    }
}

/* ---- moving ------------------------------------------------------------------------------------------ */

/* The newest deletion at the snapshot that covers `key`, and its fragment. */
static uint64_t find_cover(const struct store_iterator *it, struct slice key,
                           const struct tombstone **range) {
    uint64_t cover = 0;
    for (uint32_t i = 0; i < it->tombstone_count; i++) {
        const struct tombstone *fragment = tombstone_set_find(it->tombstones[i], key);
        uint64_t sequence = fragment == NULL ? 0 : tombstone_newest(fragment, it->snapshot);
        if (sequence <= cover) continue;
        cover = sequence;
        *range = fragment;
    }
    return cover;
}

static enum status make_move(struct store_iterator *it) {
    switch (it->move) {
    case CALL_SEEK:
        return merge_iterator_seek(&it->merge, writer_slice(&it->target));
    case CALL_SEEK_PREV:
        return merge_iterator_seek_prev(&it->merge, writer_slice(&it->target));
    case CALL_NEXT:
        return merge_iterator_next(&it->merge);
    default:
        ASSERT(it->move == CALL_PREV);
        return merge_iterator_prev(&it->merge);
    }
}

/* Looks at the entry the merge stands on. OK: it is visible. PENDING: another move was begun, go on. END. */
static enum status check_entry(struct store_iterator *it) {
    struct merge_entry entry = merge_iterator_entry(&it->merge);
    bool forward = it->call == CALL_SEEK || it->call == CALL_NEXT;
    if (forward ? !below_upper(it, entry.key) : !above_lower(it, entry.key)) return STATUS_END;
    /* seek_prev to a key at or above the upper bound may land on the bound itself. */
    bool outside = forward ? !above_lower(it, entry.key) : !below_upper(it, entry.key);
    const struct tombstone *range = NULL;
    uint64_t cover = it->tombstone_count == 0 ? 0 : find_cover(it, entry.key, &range);
    if (!outside && entry.kind != ENTRY_DELETE && cover <= entry.sequence) return STATUS_OK;
    it->move = forward ? CALL_NEXT : CALL_PREV;
    it->stage = STAGE_MOVE;
    if (cover <= entry.sequence) return STATUS_PENDING;
    enum status status = merge_iterator_skip(&it->merge, range, cover);
    if (status == STATUS_PENDING) it->stage = STAGE_SKIP;
    if (status == STATUS_OK) it->stage = STAGE_CHECK;
    return status == STATUS_OK ? STATUS_PENDING : status;
}

static void tell_gap(struct store_iterator *it) {
    const struct merge_gap *gap = &it->merge.gap;
    if (it->silent) return;
    struct run *run = (struct run *)(uintptr_t)gap->run;
    MAYBE(damage_found(it->store, run, writer_slice(&gap->first), writer_slice(&gap->last)));
}

void store_iterator_gap(const struct store_iterator *it, struct slice *first, struct slice *last) {
    *first = writer_slice(&it->merge.gap.first);
    *last = writer_slice(&it->merge.gap.last);
}

/* Carries the call on from where it is. */
static enum status advance(struct store_iterator *it) {
    while (true) {
        enum status status = STATUS_OK;
        switch (it->stage) {
        case STAGE_MOVE:
        case STAGE_SKIP: /* a skip that was PENDING goes on as a step in the same direction */
            status = make_move(it);
            if (status == STATUS_OK) it->stage = STAGE_CHECK;
            break;
        case STAGE_CHECK:
            status = check_entry(it);
            if (status == STATUS_OK) it->stage = STAGE_VALUE;
            if (status == STATUS_PENDING && it->stage != STAGE_SKIP) continue;
            break;
        case STAGE_VALUE: {
            uint32_t crc;
            status = merge_iterator_value(&it->merge, &it->entry.value, &crc);
            if (status != STATUS_OK) break;
            it->entry.key = merge_iterator_key(&it->merge);
            it->stage = STAGE_DONE;
            return STATUS_OK;
        }
        case STAGE_DONE:
            UNREACHABLE();
        }
        if (status == STATUS_PENDING) return status;
        if (status != STATUS_OK) {
            it->stage = STAGE_DONE;
            /* What could not be opened is no damage. */
            if (status == STATUS_CORRUPT || status == STATUS_IO) tell_gap(it);
            return status;
        }
    }
}

static enum status seek(struct store_iterator *it, int call, struct slice key) {
    bool again = it->stage != STAGE_DONE && (int)it->call == call &&
                 slice_equal(writer_slice(&it->target), key);
    if (again) return advance(it);
    writer_clear(&it->target);
    writer_bytes(&it->target, key);
    it->call = it->move = call == CALL_SEEK ? CALL_SEEK : CALL_SEEK_PREV;
    it->stage = STAGE_MOVE;
    return advance(it);
}

enum status store_iterator_seek(struct store_iterator *it, struct slice key) {
    return seek(it, CALL_SEEK, above_lower(it, key) ? key : writer_slice(&it->lower));
}

enum status store_iterator_seek_prev(struct store_iterator *it, struct slice key) {
    return seek(it, CALL_SEEK_PREV, below_upper(it, key) ? key : writer_slice(&it->upper));
}

enum status store_iterator_next(struct store_iterator *it) {
    if (it->stage == STAGE_DONE || it->call != CALL_NEXT) {
        if (it->merge.current == NULL) return STATUS_END;
        it->call = it->move = CALL_NEXT;
        it->stage = STAGE_MOVE;
    }
    return advance(it);
}

enum status store_iterator_prev(struct store_iterator *it) {
    if (it->stage == STAGE_DONE || it->call != CALL_PREV) {
        if (it->merge.current == NULL) return STATUS_END;
        it->call = it->move = CALL_PREV;
        it->stage = STAGE_MOVE;
    }
    return advance(it);
}

const struct store_entry *store_iterator_entry(const struct store_iterator *it) {
    ASSERT(it->stage == STAGE_DONE);
    return &it->entry;
}

size_t store_iterator_ahead(const struct store_iterator *it) {
    return merge_iterator_ahead(&it->merge);
}

void store_iterator_expect(struct store_iterator *it, size_t bytes, size_t ahead) {
    struct table_cursor_options *options = &it->merge.options.tables;
    options->window = MAX(MIN(bytes, 64 * KIB), MIN(bytes / 4, TABLE_WINDOW_SIZE));
    options->ahead = ahead;
}
