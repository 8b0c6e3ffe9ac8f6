// SPDX-License-Identifier: Apache-2.0
#include "base/histogram.h"

#include <string.h>

#include "base/units.h"

#define SUB_COUNT ((uint64_t)1 << HISTOGRAM_SUB_BITS)

/* Values below SUB_COUNT have a bucket each; above, the top SUB_BITS bits under the leading one choose it. */
static unsigned bucket_of(uint64_t value) {
    if (value < SUB_COUNT) return (unsigned)value;
    unsigned shift = 63U - (unsigned)__builtin_clzll(value) - HISTOGRAM_SUB_BITS;
    return (unsigned)((shift + 1) * SUB_COUNT + (value >> shift) - SUB_COUNT);
}

static uint64_t bucket_max(unsigned bucket) {
    if (bucket < SUB_COUNT) return bucket;
    unsigned shift = (unsigned)(bucket / SUB_COUNT - 1);
    uint64_t low = (SUB_COUNT + bucket % SUB_COUNT) << shift;
    return low + (((uint64_t)1 << shift) - 1);
}

void histogram_init(struct histogram *h) {
    memset(h, 0, sizeof *h);
    h->min = UINT64_MAX;
}

void histogram_add(struct histogram *h, uint64_t value) {
    h->count++;
    h->sum += value;
    h->min = MIN(h->min, value);
    h->max = MAX(h->max, value);
    h->buckets[bucket_of(value)]++;
}

void histogram_merge(struct histogram *into, const struct histogram *from) {
    into->count += from->count;
    into->sum += from->sum;
    into->min = MIN(into->min, from->min);
    into->max = MAX(into->max, from->max);
    for (unsigned i = 0; i < HISTOGRAM_BUCKET_COUNT; i++)
        into->buckets[i] += from->buckets[i];
}

uint64_t histogram_quantile(const struct histogram *h, uint32_t per_mille) {
    if (h->count == 0) return 0;
    uint64_t rank = h->count / 1000 * per_mille + (h->count % 1000 * per_mille + 999) / 1000;
    uint64_t seen = 0;
    for (unsigned i = 0; i < HISTOGRAM_BUCKET_COUNT; i++) {
        seen += h->buckets[i];
        if (seen >= rank && h->buckets[i] != 0) return MAX(h->min, MIN(bucket_max(i), h->max));
    }
    return h->max;
}

uint64_t histogram_mean(const struct histogram *h) {
    return h->count == 0 ? 0 : h->sum / h->count;
}

uint64_t histogram_count_below(const struct histogram *h, uint64_t bound) {
    uint64_t seen = 0;
    unsigned last = bucket_of(bound);
    for (unsigned i = 0; i <= last; i++)
        seen += h->buckets[i];
    return seen;
}
