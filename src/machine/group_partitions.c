// SPDX-License-Identifier: Apache-2.0
/* Sets of partitions: sorted arrays. */
#include "base/mem.h"
#include "base/units.h"
#include "machine/group_internal.h"

static int compare(struct group_partition a, struct group_partition b) {
    int order = memcmp(a.topic.bytes, b.topic.bytes, sizeof a.topic.bytes);
    return order != 0 ? order : (a.partition > b.partition) - (a.partition < b.partition);
}

void group_partitions_release(struct group_partitions *set) {
    mem_free(set->list);
    *set = (struct group_partitions){0};
}

/* Where it is, or belongs. */
static uint32_t place_of(const struct group_partitions *set, struct group_partition partition) {
    uint32_t low = 0, high = set->count;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (compare(set->list[middle], partition) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool group_partitions_has(const struct group_partitions *set, struct group_partition partition) {
    uint32_t at = place_of(set, partition);
    return at < set->count && compare(set->list[at], partition) == 0;
}

void group_partitions_add(struct group_partitions *set, struct group_partition partition) {
    uint32_t at = place_of(set, partition);
    if (at < set->count && compare(set->list[at], partition) == 0) return;
    if (set->count == set->capacity) {
        set->capacity = MAX(2 * set->capacity, (uint32_t)4);
        set->list = mem_realloc(set->list, set->capacity * sizeof *set->list);
    }
    memmove(set->list + at + 1, set->list + at, (set->count - at) * sizeof *set->list);
    set->list[at] = partition;
    set->count++;
}

bool group_partitions_equal(const struct group_partitions *a, const struct group_partitions *b) {
    if (a->count != b->count) return false;
    for (uint32_t i = 0; i < a->count; i++)
        if (compare(a->list[i], b->list[i]) != 0) return false;
    return true;
}

void group_partitions_copy(struct group_partitions *to, const struct group_partitions *from) {
    if (to->capacity < from->count) {
        to->capacity = from->count;
        to->list = mem_realloc(to->list, to->capacity * sizeof *to->list);
    }
    to->count = from->count;
    if (from->count != 0) memcpy(to->list, from->list, from->count * sizeof *to->list);
}
