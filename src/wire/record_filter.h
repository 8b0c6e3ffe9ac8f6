// SPDX-License-Identifier: Apache-2.0
/* record_filter.h: a record batch without some of its records, as compaction by key leaves it.
 *
 * Offsets, timestamps and sequence numbers of what stays are as they were: base offset, base timestamp and
 * last offset delta are kept, the records' own bytes are copied as they lie, and compressed again by the same
 * codec. A batch that has lost every record is a header: it still covers its offsets, and still tells its
 * producer's sequence. The newest timestamp is that of what stays; -1: nothing does.
 *
 * Source  Kafka's log cleaner (KIP-280 tells its rules).
 * Errors  of record_iterator_init and _next.  Loop: any thread; pure. */
#ifndef SENTINEL_WIRE_RECORD_FILTER_H
#define SENTINEL_WIRE_RECORD_FILTER_H

#include "wire/record_batch.h"

/* `keep` is asked for each record in order. OK: *result is a new batch with one reference; NULL: nothing
 * went. */
enum status record_filter(const struct record_batch *batch,
                          bool (*keep)(void *ctx, const struct record *record), void *ctx, size_t inflate_max,
                          struct buffer **result) MUST_USE;
/* Without any record. */
struct buffer *record_filter_all(const struct record_batch *batch);

#endif
