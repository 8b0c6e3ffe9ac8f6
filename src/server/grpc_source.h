// SPDX-License-Identifier: Apache-2.0
/* grpc_source.h: the partitions of one subscription, and where it stands in each.
 *
 *   named by ConsumeStart or ConsumeSeek ─> looked up (which also loads the partition) ─> positioned
 *
 * Owner   the sources live in the call's arena. Loop: shard thread.
 * Bounds  GRPC_SOURCES_MAX partitions a subscription. */
#ifndef SENTINEL_SERVER_GRPC_SOURCE_H
#define SENTINEL_SERVER_GRPC_SOURCE_H

#include "sentinel/v1/consumer_service.pb-c.h"
#include "server/grpc_call.h"

#define GRPC_SOURCES_MAX 4096

struct grpc_sources;

struct grpc_source {
    struct grpc_sources *all;
    struct slice topic;
    int32_t partition;
    int64_t position, high_watermark, log_start_offset;
    bool paused;
    bool looking_up;  /* its position is not known yet */
    bool stale;       /* what was fetched for it is not wanted any more */
    int64_t offset;   /* the explicit offset asked for; -1: what the lookup finds */
    bool end_instead; /* no record at or after the time: the end is asked for */
    struct list_offset lookup;
};

struct grpc_sources {
    struct grpc_call *call;
    struct grpc_source *list;
    uint32_t count, looking_up;
    /* A lookup finished (the call may have failed by it: see call->ended). */
    void (*positioned)(struct grpc_sources *sources, struct grpc_source *source);
};

/* Reads what ConsumeStart names and starts every lookup; false: the call has failed. */
bool grpc_sources_start(struct grpc_sources *sources, struct grpc_call *call,
                        const Sentinel__V1__ConsumeStart *start,
                        void (*positioned)(struct grpc_sources *sources, struct grpc_source *source));
/* NULL: not part of this subscription. */
struct grpc_source *grpc_sources_find(struct grpc_sources *sources, const char *topic, int32_t partition);
/* Moves a source: it is looked up anew. false: the call has failed. */
bool grpc_sources_seek(struct grpc_source *source, const Sentinel__V1__StartPosition *position);
/* What the broker knows now, without reading the log. */
void grpc_sources_refresh(struct grpc_sources *sources);
void grpc_sources_cancel(struct grpc_sources *sources);
/* As messages in `arena`, which is for this answer only. */
Sentinel__V1__PartitionPosition **grpc_sources_print(const struct grpc_sources *sources, struct arena *arena);

#endif
