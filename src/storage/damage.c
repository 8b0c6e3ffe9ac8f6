// SPDX-License-Identifier: Apache-2.0
#include "storage/damage.h"

#include "base/assert.h"
#include "base/mem.h"

/* A gap that the owner has not been told of yet. */
struct news {
    struct list link;
    struct slice first, last; /* behind the struct */
};

static struct slice copy_key(uint8_t **at, struct slice key) {
    uint8_t *to = *at;
    if (key.size > 0) memcpy(to, key.data, key.size);
    *at += key.size;
    return slice_make(to, key.size);
}

/* ---- deletions --------------------------------------------------------------------------------------- */

/* Up to where, from `position` on, a newer deletion of the set reaches; false: it does not cover it. */
static bool reaches(const struct tombstone_set *set, struct slice position, uint64_t sequence,
                    uint64_t snapshot, struct slice *to) {
    const struct tombstone *fragment = tombstone_set_find(set, position);
    if (fragment == NULL || tombstone_newest(fragment, snapshot) <= sequence) return false;
    *to = fragment->to;
    return true;
}

bool damage_is_deleted(const struct tombstone_set *const *sets, uint32_t count, struct slice from,
                       struct slice to, bool included, uint64_t sequence, uint64_t snapshot) {
    struct slice position = from, end;
    uint32_t i = 0;
    while (i < count) {
        if (!reaches(sets[i], position, sequence, snapshot, &end)) {
            i++;
            continue;
        }
        int order = slice_compare(end, to);
        if (included ? order > 0 : order >= 0) return true;
        position = end; /* further, with any of them: no fragment is empty */
        i = 0;
    }
    return false;
}

static bool deleted_now(const struct store *store, const struct run *run, struct slice first,
                        struct slice last) {
    const struct tombstone_set *sets[STORE_IMMUTABLE_MAX + 2];
    uint32_t count = 0;
    sets[count++] = &store->active->tombstones;
    for (uint32_t i = 0; i < store->immutable_count; i++)
        sets[count++] = &store->immutables[i]->tombstones;
    sets[count++] = &store->versions.current->tombstones->set;
    return damage_is_deleted(sets, count, first, last, true, run->meta.last_sequence, UINT64_MAX);
}

/* ---- gaps -------------------------------------------------------------------------------------------- */

static void tell(struct io_op *op) {
    struct store *store = CONTAINER_OF(op, struct store, damage.op);
    store->damage.telling = false;
    struct list news, *node;
    list_init(&news);
    list_append(&news, &store->damage.news);
    while ((node = list_pop_front(&news)) != NULL) {
        struct news *item = CONTAINER_OF(node, struct news, link);
        if (store->damage.told != NULL) store->damage.told(store->damage.ctx, item->first, item->last);
        mem_free(item);
    }
    store_changed(store);
}

static void tell_later(struct store *store, struct slice first, struct slice last) {
    struct news *item = mem_alloc(sizeof *item + first.size + last.size);
    uint8_t *at = (uint8_t *)(item + 1);
    item->first = copy_key(&at, first);
    item->last = copy_key(&at, last);
    list_init(&item->link);
    list_push_back(&store->damage.news, &item->link);
    if (store->damage.telling) return;
    store->damage.telling = true;
    io_defer(store->io, &store->damage.op);
}

static bool is_known(const struct run *run, struct slice first, struct slice last, uint32_t *count) {
    LIST_FOREACH(it, (struct list *)(uintptr_t)&run->gaps) {
        const struct run_gap *gap = CONTAINER_OF(it, struct run_gap, link);
        if (slice_compare(gap->first, first) <= 0 && slice_compare(gap->last, last) >= 0) return true;
        ++*count;
    }
    return false;
}

bool damage_found(struct store *store, struct run *run, struct slice first, struct slice last) {
    bool lost = !deleted_now(store, run, first, last);
    uint32_t count = 0;
    run->table->damaged = true;
    if (!is_known(run, first, last, &count) && count < DAMAGE_GAPS_MAX) {
        struct run_gap *gap = mem_alloc(sizeof *gap + first.size + last.size);
        uint8_t *at = (uint8_t *)(gap + 1);
        gap->first = copy_key(&at, first);
        gap->last = copy_key(&at, last);
        list_init(&gap->link);
        list_push_back(&run->gaps, &gap->link);
    }
    run->damaged = true;
    run->mended = false;
    /* Told again when it is met again: what the owner did may not have been enough. */
    if (lost && store->damage.told != NULL) tell_later(store, first, last);
    return lost;
}

static struct run *next_run(const struct version *version, const struct table *table, size_t *level,
                            size_t *index) {
    for (; *level < STORE_LEVEL_COUNT; ++*level, *index = 0) {
        while (*index < version->levels[*level].count) {
            struct run *run = version->levels[*level].runs[(*index)++];
            if (table == NULL || run->table == table) return run;
        }
    }
    return NULL;
}

void damage_found_meta(struct store *store, const struct table *table) {
    size_t level = 0, index = 0;
    struct run *run;
    while ((run = next_run(store->versions.current, table, &level, &index)) != NULL)
        run->mended = !run->damaged;
}

void damage_review(struct store *store) {
    const struct version *version = store->versions.current;
    const struct tombstone_set *set = &version->tombstones->set;
    size_t level = 0, index = 0;
    struct run *run;
    while ((run = next_run(version, NULL, &level, &index)) != NULL) {
        if (!run->damaged) continue;
        bool mended = !list_empty(&run->gaps);
        LIST_FOREACH(it, &run->gaps) {
            const struct run_gap *gap = CONTAINER_OF(it, struct run_gap, link);
            if (!damage_is_deleted(&set, 1, gap->first, gap->last, true, run->meta.last_sequence, UINT64_MAX))
                mended = false;
        }
        run->damaged = !mended;
        run->mended = mended;
    }
}

/* ---- life -------------------------------------------------------------------------------------------- */

void damage_init(struct store *store) {
    list_init(&store->damage.news);
    store->damage.op.done = tell;
}

void damage_release(struct store *store) {
    struct list *node;
    if (store->damage.telling) io_defer_cancel(&store->damage.op);
    while ((node = list_pop_front(&store->damage.news)) != NULL)
        mem_free(CONTAINER_OF(node, struct news, link));
}

void store_on_damage(struct store *store, void (*told)(void *ctx, struct slice first, struct slice last),
                     void *ctx) {
    store->damage.told = told;
    store->damage.ctx = ctx;
}
