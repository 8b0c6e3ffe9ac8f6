// SPDX-License-Identifier: Apache-2.0
#include "sim/staleness.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/units.h"

void staleness_release(struct staleness *s) {
    mem_free(s->ends);
    *s = (struct staleness){0};
}

void staleness_told(struct staleness *s, uint64_t now_ns, int64_t end) {
    if (s->count > 0) {
        ASSERT(s->ends[s->count - 1].at_ns <= now_ns);
        if (s->ends[s->count - 1].end >= end) return;
    }
    if (s->count == s->capacity) {
        s->capacity = MAX((size_t)64, 2 * s->capacity);
        s->ends = mem_realloc(s->ends, s->capacity * sizeof *s->ends);
    }
    s->ends[s->count++] = (struct staleness_end){now_ns, end};
}

int64_t staleness_end_at(const struct staleness *s, uint64_t at_ns) {
    size_t low = 0, high = s->count; /* of those told by then the last is just below `low` */
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (s->ends[middle].at_ns <= at_ns)
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? 0 : s->ends[low - 1].end;
}

void staleness_check(const struct staleness *s, struct history *history, uint32_t partition, uint32_t node,
                     uint64_t asked_ns, uint64_t allowed_ns, int64_t end) {
    if (asked_ns <= allowed_ns) return;
    int64_t known = staleness_end_at(s, asked_ns - allowed_ns);
    if (end < known)
        history_violate(history,
                        "B24 staleness: partition %u ends at %lld for a reader of node %u, a client was told "
                        "%lld more than %llu ms before it asked",
                        partition, (long long)end, node, (long long)known,
                        (unsigned long long)(allowed_ns / NS_PER_MS));
}
