// SPDX-License-Identifier: Apache-2.0
#include "storage/tombstone.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"

void tombstone_set_init(struct tombstone_set *set) {
    *set = (struct tombstone_set){0};
    arena_init(&set->arena, 4 * KIB);
}

void tombstone_set_release(struct tombstone_set *set) {
    mem_free(set->fragments);
    arena_release(&set->arena);
    *set = (struct tombstone_set){0};
}

/* The first fragment that ends after `key`. */
static size_t tombstone_set_seek(const struct tombstone_set *set, struct slice key) {
    size_t low = 0, high = set->count;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (slice_compare(set->fragments[middle].to, key) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void tombstone_set_insert(struct tombstone_set *set, size_t at, struct tombstone fragment) {
    if (set->count == set->capacity) {
        set->capacity = MAX(set->capacity * 2, (size_t)8);
        set->fragments = mem_realloc(set->fragments, set->capacity * sizeof *set->fragments);
    }
    memmove(set->fragments + at + 1, set->fragments + at, (set->count - at) * sizeof *set->fragments);
    set->fragments[at] = fragment;
    set->count++;
}

static struct tombstone tombstone_make(struct tombstone_set *set, struct slice from, struct slice to,
                                       const uint64_t *sequences, uint32_t count) {
    struct tombstone fragment = {from, to, arena_alloc(&set->arena, count * sizeof(uint64_t)), count};
    memcpy(fragment.sequences, sequences, count * sizeof(uint64_t));
    return fragment;
}

/* Adds one sequence to a fragment; falling order is kept, a sequence already there is not repeated. */
static void tombstone_push(struct tombstone_set *set, struct tombstone *fragment, uint64_t sequence) {
    uint32_t at = 0;
    while (at < fragment->count && fragment->sequences[at] > sequence)
        at++;
    if (at < fragment->count && fragment->sequences[at] == sequence) return;
    uint64_t *sequences = arena_alloc(&set->arena, (fragment->count + 1) * sizeof(uint64_t));
    memcpy(sequences, fragment->sequences, at * sizeof(uint64_t));
    sequences[at] = sequence;
    memcpy(sequences + at + 1, fragment->sequences + at, (fragment->count - at) * sizeof(uint64_t));
    fragment->sequences = sequences;
    fragment->count++;
}

/* Cuts the fragment that strictly contains `key` in two there, so that no fragment crosses it. */
static void tombstone_set_cut(struct tombstone_set *set, struct slice key) {
    size_t at = tombstone_set_seek(set, key);
    if (at == set->count || slice_compare(set->fragments[at].from, key) >= 0) return;
    struct tombstone *left = &set->fragments[at];
    struct tombstone right = tombstone_make(set, key, left->to, left->sequences, left->count);
    left->to = key;
    tombstone_set_insert(set, at + 1, right);
}

void tombstone_set_add(struct tombstone_set *set, struct slice from, struct slice to, uint64_t sequence) {
    if (slice_compare(from, to) >= 0) return;
    from = arena_copy(&set->arena, from);
    to = arena_copy(&set->arena, to);
    tombstone_set_cut(set, from);
    tombstone_set_cut(set, to);
    struct slice position = from;
    for (size_t at = tombstone_set_seek(set, from); slice_compare(position, to) < 0; at++) {
        if (at == set->count || slice_compare(set->fragments[at].from, position) > 0) {
            /* A gap before the next fragment, or up to the end. */
            bool last = at == set->count || slice_compare(set->fragments[at].from, to) >= 0;
            struct slice end = last ? to : set->fragments[at].from;
            tombstone_set_insert(set, at, tombstone_make(set, position, end, &sequence, 1));
        } else {
            tombstone_push(set, &set->fragments[at], sequence);
        }
        position = set->fragments[at].to;
    }
    ASSERT_SLOW(tombstone_set_cover(set, from, sequence) == sequence);
}

const struct tombstone *tombstone_set_find(const struct tombstone_set *set, struct slice key) {
    if (set->count == 0) return NULL;
    size_t at = tombstone_set_seek(set, key);
    if (at == set->count || slice_compare(set->fragments[at].from, key) > 0) return NULL;
    return &set->fragments[at];
}

uint64_t tombstone_newest(const struct tombstone *fragment, uint64_t snapshot) {
    for (uint32_t i = 0; i < fragment->count; i++)
        if (fragment->sequences[i] <= snapshot) return fragment->sequences[i];
    return 0;
}

uint64_t tombstone_set_cover(const struct tombstone_set *set, struct slice key, uint64_t snapshot) {
    const struct tombstone *fragment = tombstone_set_find(set, key);
    return fragment == NULL ? 0 : tombstone_newest(fragment, snapshot);
}

bool tombstone_set_covers(const struct tombstone_set *set, struct slice first, struct slice last,
                          uint64_t sequence) {
    struct slice position = first;
    for (size_t at = tombstone_set_seek(set, first); at < set->count; at++) {
        const struct tombstone *fragment = &set->fragments[at];
        if (slice_compare(fragment->from, position) > 0) return false;
        if (fragment->sequences[0] <= sequence) return false;
        if (slice_compare(fragment->to, last) > 0) return true;
        position = fragment->to;
    }
    return false;
}

void tombstone_set_rollback(struct tombstone_set *set, uint64_t sequence) {
    size_t kept = 0;
    for (size_t i = 0; i < set->count; i++) {
        struct tombstone fragment = set->fragments[i];
        uint32_t newer = 0;
        while (newer < fragment.count && fragment.sequences[newer] > sequence)
            newer++;
        fragment.sequences += newer;
        fragment.count -= newer;
        if (fragment.count > 0) set->fragments[kept++] = fragment;
    }
    set->count = kept;
}

void tombstone_set_check(const struct tombstone_set *set) {
    for (size_t i = 0; i < set->count; i++) {
        const struct tombstone *fragment = &set->fragments[i];
        ASSERT(slice_compare(fragment->from, fragment->to) < 0);
        ASSERT(fragment->count > 0);
        for (uint32_t k = 1; k < fragment->count; k++)
            ASSERT_LT(fragment->sequences[k], fragment->sequences[k - 1]);
        if (i > 0) ASSERT(slice_compare(set->fragments[i - 1].to, fragment->from) <= 0);
    }
}
