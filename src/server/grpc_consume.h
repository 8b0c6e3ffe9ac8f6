// SPDX-License-Identifier: Apache-2.0
/* grpc_consume.h: one Consume call, for grpc_consume.c (reading and sending) and grpc_consume_group.c
 * (membership).
 *
 *   without a group   ConsumeStart names the sources
 *   with a group      heartbeats inside this node ─> assigned ─> committed offsets ─> sources; what is taken
 * back is `releasing` until the client lets it go
 *
 * Owner   the call owns its state. Loop: shard thread. */
#ifndef SENTINEL_SERVER_GRPC_CONSUME_H
#define SENTINEL_SERVER_GRPC_CONSUME_H

#include "sentinel/v1/consumer_service.pb-c.h"
#include "server/grpc_records.h"
#include "server/grpc_source.h"

struct consume_group;

struct consume {
    struct grpc_call *call;
    bool opened, started, as_batches, read_committed, any_replica, told_caught_up;
    struct grpc_records_credit credit;
    struct grpc_sources sources;
    /* One fetch at a time, of every source that is not paused. */
    struct fetch fetch;
    struct fetch_partition *partitions; /* room for every source */
    struct grpc_source **fetched;       /* the source of each */
    uint32_t room;                      /* of both */
    struct consume_group *group;        /* NULL: none */
    bool fetching;                      /* given to the broker */
    bool delivering;                    /* its answer is being sent */
    bool reading;                       /* `records` reads partition `current` */
    uint32_t current;
    struct grpc_records records;
    struct io_timer progress;
    uint64_t progress_ns, sent_ns, fetch_started_ns;
};

/* grpc_consume.c */
void consume_send(struct consume *self, const Sentinel__V1__ConsumeResponse *response);
void consume_send_started(struct consume *self);
void consume_advance(struct consume *self); /* does whatever can be done now */
void consume_stop_fetch(struct consume *self);

/* grpc_consume_group.c; false: the call has failed. */
bool consume_group_start(struct consume *self, const Sentinel__V1__ConsumeStart *request);
void consume_group_commit(struct consume *self, const Sentinel__V1__ConsumeCommit *request);
void consume_group_release(struct consume *self, const Sentinel__V1__ConsumeRelease *request);
void consume_group_end(struct consume *self);
struct slice consume_group_member_id(const struct consume_group *group);

#endif
