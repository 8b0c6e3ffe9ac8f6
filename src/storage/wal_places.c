// SPDX-License-Identifier: Apache-2.0
#include "storage/wal_places.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

static struct wal_places_group *group_of(struct list *node) {
    return CONTAINER_OF(node, struct wal_places_group, link);
}

void wal_places_init(struct wal_places *places) {
    list_init(&places->groups);
}

void wal_places_release(struct wal_places *places) {
    struct list *node;
    while ((node = list_pop_front(&places->groups)) != NULL)
        mem_free(group_of(node));
}

struct wal_places_group *wal_places_last(const struct wal_places *places) {
    return list_empty(&places->groups) ? NULL : group_of(places->groups.prev);
}

struct wal_places_group *wal_places_add(struct wal_places *places, uint64_t first_sequence, uint32_t count,
                                        uint64_t segment, uint64_t base) {
    const struct wal_places_group *last = wal_places_last(places);
    if (last != NULL) ASSERT_LE(last->first_sequence + last->count, first_sequence);
    struct wal_places_group *group = mem_alloc(sizeof *group + count * sizeof group->offsets[0]);
    *group = (struct wal_places_group){
        .first_sequence = first_sequence, .segment = segment, .base = base, .count = count};
    memset(group->offsets, 0xff, count * sizeof group->offsets[0]);
    list_init(&group->link);
    list_push_back(&places->groups, &group->link);
    return group;
}

void wal_places_forget(struct wal_places *places, uint64_t sequence) {
    struct list *node;
    while ((node = list_first(&places->groups)) != NULL) {
        struct wal_places_group *group = group_of(node);
        if (group->first_sequence + group->count - 1 > sequence) return;
        list_remove(node);
        mem_free(group);
    }
}

void wal_places_truncate(struct wal_places *places, uint64_t sequence) {
    struct wal_places_group *group;
    while ((group = wal_places_last(places)) != NULL) {
        if (group->first_sequence <= sequence) return;
        list_remove(&group->link);
        mem_free(group);
    }
}

struct wal_places_view wal_places_view_make(const struct wal_places *places, uint64_t first, uint64_t last) {
    struct wal_places_view view = {0};
    size_t capacity = 0;
    LIST_FOREACH(node, (struct list *)(uintptr_t)&places->groups) {
        const struct wal_places_group *group = group_of(node);
        if (group->first_sequence > last) break;
        if (group->first_sequence + group->count <= first) continue;
        if (view.count == capacity) {
            capacity = capacity == 0 ? 16 : capacity * 2;
            view.groups = mem_realloc(view.groups, capacity * sizeof *view.groups);
        }
        view.groups[view.count++] = group;
    }
    return view;
}

void wal_places_view_release(struct wal_places_view *view) {
    mem_free(view->groups);
    *view = (struct wal_places_view){0};
}

bool wal_places_find(const struct wal_places_view *view, uint64_t sequence, struct value_place *place) {
    size_t low = 0, high = view->count; /* the last group that begins at or before it */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (view->groups[middle]->first_sequence <= sequence)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0) return false;
    const struct wal_places_group *group = view->groups[low - 1];
    uint64_t index = sequence - group->first_sequence;
    if (index >= group->count || group->offsets[index] == WAL_PLACE_NONE) return false;
    place->file = group->segment;
    place->offset = group->base + group->offsets[index];
    return true;
}
