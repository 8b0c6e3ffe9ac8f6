// SPDX-License-Identifier: Apache-2.0
/* histogram.h: latency and size distributions in fixed memory.
 *
 * Log-linear buckets: 32 per power of two, so a value is known to about 3 %. Covers all of uint64.
 * Source: HdrHistogram's idea, without its configuration. Loop: one thread. */
#ifndef SENTINEL_BASE_HISTOGRAM_H
#define SENTINEL_BASE_HISTOGRAM_H

#include <stdint.h>

#define HISTOGRAM_SUB_BITS     5
#define HISTOGRAM_BUCKET_COUNT ((64 - HISTOGRAM_SUB_BITS + 1) << HISTOGRAM_SUB_BITS)

struct histogram {
    uint64_t count, sum, min, max;
    uint64_t buckets[HISTOGRAM_BUCKET_COUNT];
};

void histogram_init(struct histogram *h);
void histogram_add(struct histogram *h, uint64_t value);
void histogram_merge(struct histogram *into, const struct histogram *from);
/* The value below which `per_mille` thousandths of the samples lie (500 = median, 1000 = max); 0 when empty.
 */
uint64_t histogram_quantile(const struct histogram *h, uint32_t per_mille);
uint64_t histogram_mean(const struct histogram *h);
/* Samples with value <= bound (a bound inside a bucket counts the whole bucket): for Prometheus buckets. */
uint64_t histogram_count_below(const struct histogram *h, uint64_t bound);

#endif
