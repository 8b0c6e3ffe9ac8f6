// SPDX-License-Identifier: Apache-2.0
/* grpc_records.h: fetched batches as a client wants them: Record messages, or the batches as they are.
 *
 * A batch is shared, not copied; a record is copied once, from its batch into the message. Reading may stop
 * at any record and go on later, when there is credit or room again.
 *
 * Owner   the fetched batches belong to the caller, and stay until grpc_records_release.
 * Errors  CORRUPT_MESSAGE, TOO_LARGE, UNSUPPORTED_COMPRESSION: a batch that does not inflate or parse
 * (batches are stored without being looked into). Bounds: GRPC_RECORDS_INFLATED_MAX for one inflated batch.
 * Loop    shard thread. */
#ifndef SENTINEL_SERVER_GRPC_RECORDS_H
#define SENTINEL_SERVER_GRPC_RECORDS_H

#include "base/arena.h"
#include "base/chain.h"
#include "base/units.h"
#include "broker/broker.h"
#include "wire/record_batch.h"

#define GRPC_RECORDS_INFLATED_MAX (64 * MIB)

struct grpc_records {
    const struct fetch_partition *from;
    bool as_batches;
    uint32_t number;  /* the field that items are written as */
    int64_t position; /* offset of the next record to give */
    uint32_t batch_index;
    bool open; /* the batch at batch_index is being walked */
    struct record_batch batch;
    struct record_iterator iterator;
    struct arena arena; /* of an inflated batch */
    struct record next; /* read and not given yet */
    bool has_next;
};

/* What a consumer has granted. The last item given may take one below zero. */
struct grpc_records_credit {
    int64_t records, bytes;
};

void grpc_records_init(struct grpc_records *records, const struct fetch_partition *from, bool as_batches,
                       uint32_t number, int64_t position);
void grpc_records_release(struct grpc_records *records);
/* Appends items until `size_max` bytes are reached (by at most one item), the credit is used up, or nothing
 * is left (END). At least one item is given when there is credit. */
enum status grpc_records_take(struct grpc_records *records, size_t size_max,
                              struct grpc_records_credit *credit, struct chain *out) MUST_USE;

#endif
