// SPDX-License-Identifier: Apache-2.0
#include "base/assert.h"
#include "base/mem.h"
#include "storage/damage.h"
#include "storage/filter.h"
#include "storage/table_lookup.h"

/* A lookup that goes through the levels, from newest to oldest. It lives as long as it is PENDING. */
struct get_state {
    struct store *store;
    struct store_get *get; /* NULL: blocking */
    struct version *version;
    struct table_lookup lookup;
    uint64_t cover; /* the newest deletion of the key when the lookup began: a flush may move it meanwhile */
    uint32_t level;
    size_t index; /* level 0: which run is next */
};

static inline uint64_t cover_of(const struct tombstone_set *set, struct slice key, uint64_t cover) {
    return set->count == 0 ? cover : MAX(cover, tombstone_set_cover(set, key, UINT64_MAX));
}

/* The newest deletion that covers `key`, in memtables and `version`. */
static uint64_t newest_cover(const struct store *store, const struct version *version, struct slice key) {
    uint64_t cover = cover_of(&store->active->tombstones, key, 0);
    for (uint32_t i = 0; i < store->immutable_count; i++)
        cover = cover_of(&store->immutables[i]->tombstones, key, cover);
    return cover_of(&version->tombstones->set, key, cover);
}

/* The newest entry of `key` in the memtables. OK: *value is set (with a reference). NOT_FOUND: it is deleted.
 * END: the memtables say nothing. */
static enum status get_from_memory(struct store *store, struct slice key, struct shared_slice *value) {
    const struct memtable *memtable = store->active;
    const struct memtable_entry *entry = memtable_get(memtable, key, UINT64_MAX);
    for (uint32_t i = store->immutable_count; entry == NULL && i > 0; i--) {
        memtable = store->immutables[i - 1];
        entry = memtable_get(memtable, key, UINT64_MAX);
    }
    if (entry == NULL) return STATUS_END;
    if (memtable_entry_kind(entry) == ENTRY_DELETE) return STATUS_NOT_FOUND;
    if (newest_cover(store, store->versions.current, key) > memtable_entry_sequence(entry))
        return STATUS_NOT_FOUND;
    *value = shared_slice_ref(memtable_value(memtable, entry));
    return STATUS_OK;
}

static bool run_holds(const struct run *run, struct slice key) {
    return slice_compare(run->meta.first, key) <= 0 && slice_compare(run->meta.last, key) >= 0;
}

/* The next run that may hold the key, or NULL. */
static const struct run *next_run(struct get_state *state, struct slice key) {
    for (; state->level < STORE_LEVEL_COUNT; state->level++, state->index = 0) {
        const struct version_level *level = &state->version->levels[state->level];
        if (level->count == 0) continue;
        if (state->level > 0 && state->index == 0) {
            size_t at = version_level_find(level, key);
            if (at < level->count && run_holds(level->runs[at], key)) return level->runs[at];
            continue;
        }
        for (; state->level == 0 && state->index < level->count; state->index++)
            if (run_holds(level->runs[state->index], key)) return level->runs[state->index];
    }
    return NULL;
}

static enum status get_from_tables(struct get_state *state, struct slice key, struct shared_slice *value) {
    struct store *store = state->store;
    uint64_t hash = filter_hash(key);
    const struct run *run;
    while ((run = next_run(state, key)) != NULL) {
        struct block_entry entry;
        store->stats.get_tables += state->lookup.number != run->table->source.number;
        /* Whatever this run says of the key is deleted: it is not asked, and damage in it does not matter. */
        bool deleted = state->cover > run->meta.last_sequence;
        enum status status = STATUS_NOT_FOUND;
        if (!deleted)
            status = table_lookup_run(&state->lookup, run->table, &run->meta, key, hash, &entry, value);
        if (!deleted && status != STATUS_PENDING && state->lookup.filter_damaged)
            damage_found_meta(store, run->table);
        if (status == STATUS_NOT_FOUND) {
            state->index++;
            if (state->level > 0) { /* sorted: one run at most */
                state->level++;
                state->index = 0;
            }
            continue;
        }
        if (status == STATUS_CORRUPT || status == STATUS_IO)
            MAYBE(damage_found(store, (struct run *)(uintptr_t)run, key, key));
        if (status != STATUS_OK) return status;
        if (entry.kind != ENTRY_DELETE && state->cover <= entry.sequence) return STATUS_OK;
        shared_slice_unref(*value);
        return STATUS_NOT_FOUND;
    }
    return STATUS_NOT_FOUND;
}

static void state_release(struct get_state *state) {
    table_lookup_release(&state->lookup);
    version_unpin(state->version);
}

static void lookup_ready(void *ctx) {
    struct get_state *state = ctx;
    state->get->ready(state->get);
}

static void state_init(struct get_state *state, struct store *store, struct slice key,
                       struct store_get *get) {
    *state = (struct get_state){.store = store, .get = get, .version = store->versions.current};
    state->cover = newest_cover(store, state->version, key);
    version_pin(state->version);
    struct table_cursor_options options = {
        .cache = store->cache, .blocking = get == NULL, .ready = lookup_ready, .ctx = state};
    table_lookup_init(&state->lookup, &options);
}

enum status store_get(struct store *store, struct slice key, struct store_get *get,
                      struct shared_slice *value) {
    *value = (struct shared_slice){0};
    store->stats.gets += get->waiting == NULL;
    enum status status = get_from_memory(store, key, value);
    struct get_state *state = get->waiting;
    if (status == STATUS_END) {
        if (state == NULL) {
            struct get_state probe = {.store = store, .version = store->versions.current};
            if (next_run(&probe, key) == NULL) return STATUS_NOT_FOUND;
            state = mem_alloc(sizeof *state);
            state_init(state, store, key, get);
        }
        status = get_from_tables(state, key, value);
    }
    get->waiting = status == STATUS_PENDING ? state : NULL;
    if (state != NULL && status != STATUS_PENDING) {
        state_release(state);
        mem_free(state);
    }
    return status;
}

void store_get_cancel(struct store_get *get) {
    struct get_state *state = get->waiting;
    if (state == NULL) return;
    get->waiting = NULL;
    state_release(state);
    mem_free(state);
}

enum status store_get_blocking(struct store *store, struct slice key, struct shared_slice *value) {
    *value = (struct shared_slice){0};
    store->stats.gets++;
    enum status status = get_from_memory(store, key, value);
    if (status != STATUS_END) return status;
    struct get_state state;
    state_init(&state, store, key, NULL);
    status = get_from_tables(&state, key, value);
    state_release(&state);
    return status;
}
