// SPDX-License-Identifier: Apache-2.0
/* grpc_append.h: the records of one produce request on their way into the log.
 *
 *   request ─> check ─> route by key ─> one batch a partition ─> broker_append each ─> done, when all are
 *
 * An append cannot be taken back once it is given to the broker: when nobody waits for it any more (the call
 * was cancelled, or asked for no acknowledgement) it goes on alone and frees itself.
 *
 * Owner   grpc_append_start gives an append to the caller until its `done`, in which grpc_append_free or
 * after which it must be freed; or the caller lets it go with grpc_append_abandon. Errors  in `failure`,
 * before anything was appended; later ones for each part. Bounds  GRPC_APPEND_RECORDS_MAX records a request.
 * Loop: shard thread. */
#ifndef SENTINEL_SERVER_GRPC_APPEND_H
#define SENTINEL_SERVER_GRPC_APPEND_H

#include "broker/broker.h"
#include "server/grpc_call.h"
#include "server/grpc_partition.h"
#include "wire/protobuf_produce.h"

#define GRPC_APPEND_RECORDS_MAX 65536

struct grpc_append;

/* What goes to one partition. */
struct grpc_append_part {
    struct append append;
    struct grpc_append *whole;
    struct shared_slice batch;
    int32_t record_count;
    int32_t *record_indexes; /* NULL: all records of the request, or unknown */
};

struct grpc_append {
    void (*done)(struct grpc_append *append); /* NULL: nobody waits */
    void *owner;
    struct list link;  /* the owner's */
    uint64_t sequence; /* likewise */
    size_t bytes;
    struct slice topic, transactional_id; /* copies */
    uint32_t part_count, busy;
    struct grpc_append_part *parts; /* by partition */
};

struct grpc_append_failure {
    const char *field; /* not NULL: the request itself is wrong (INVALID_ARGUMENT), `text` says how */
    struct grpc_partition_error error;
    char text[256];
};

/* `turn` chooses the partition for records without a key and without a partition. NULL when it failed at
 * once. */
struct grpc_append *grpc_append_start(struct grpc_call *call, const struct protobuf_produce *produce,
                                      struct grpc_message *message, uint32_t turn,
                                      struct grpc_append_failure *failure);
/* An append that was refused before it began: done, with one part that says why. For streams, where a batch
 * that fails is answered like any other. */
struct grpc_append *grpc_append_refused(const struct grpc_append_failure *failure);
/* `done` will not be called; frees itself when the broker has answered. */
void grpc_append_abandon(struct grpc_append *append);
void grpc_append_free(struct grpc_append *append);
static inline bool grpc_append_is_done(const struct grpc_append *append) {
    return append->busy == 0;
}
/* The results as fields `number`, ordered by partition. */
void grpc_append_write_results(const struct grpc_append *append, uint32_t number, struct writer *out);
/* The same for an append that nobody waits for: accepted, offsets unknown. */
void grpc_append_write_unknown(const struct grpc_append *append, uint32_t number, struct writer *out);
/* The error of the first part when every part failed, else OK. */
enum status grpc_append_failed(const struct grpc_append *append, struct grpc_partition_error *error);

#endif
