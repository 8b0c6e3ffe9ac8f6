// SPDX-License-Identifier: Apache-2.0
/* grpc_source.h: the partitions of one subscription, and where it stands in each.
 *
 *   named by ConsumeStart or ConsumeSeek, or assigned in a group ─> looked up (which also loads the
 * partition) ─> positioned, held ─> (in a group) releasing ─> let go, and perhaps assigned again
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
    bool held;      /* part of the subscription: always without a group */
    bool releasing; /* its group takes it back: nothing more is sent */
    bool assigned;  /* in a group: the last heartbeat named it */
    bool paused;
    bool looking_up;  /* its position is not known yet */
    bool unsettled;   /* a transaction is about to commit an offset of it: where to start is not known yet */
    bool stale;       /* what was fetched for it is not wanted any more */
    int64_t offset;   /* the explicit offset asked for; -1: what the lookup finds */
    bool end_instead; /* no record at or after the time: the end is asked for */
    struct list_offset lookup;
};

/* Where to start, when no offset is known: a time or OFFSET_LATEST, OFFSET_EARLIEST; or an offset, else -1.
 */
struct grpc_start {
    int64_t timestamp_ms, offset;
};
/* NULL: the end. false: no such position. */
bool grpc_start_read(const Sentinel__V1__StartPosition *position, struct grpc_start *start);

struct grpc_sources {
    struct grpc_call *call;
    struct grpc_source **list; /* each stays where it is as long as the call */
    uint32_t count, capacity, looking_up;
    uint32_t next; /* the one behind that which was got last: often got next */
    /* A lookup finished (the call may have failed by it: see call->ended). */
    void (*positioned)(struct grpc_sources *sources, struct grpc_source *source);
};

/* Reads what ConsumeStart names and starts every lookup; false: the call has failed. */
bool grpc_sources_start(struct grpc_sources *sources, struct grpc_call *call,
                        const Sentinel__V1__ConsumeStart *start,
                        void (*positioned)(struct grpc_sources *sources, struct grpc_source *source));
/* For a group, in place of grpc_sources_start. */
void grpc_sources_init(struct grpc_sources *sources, struct grpc_call *call,
                       void (*positioned)(struct grpc_sources *sources, struct grpc_source *source));
/* The one there is, or a new one, not held; NULL: there are GRPC_SOURCES_MAX. */
struct grpc_source *grpc_sources_get(struct grpc_sources *sources, struct slice topic, int32_t partition);
/* Looks it up; `positioned` follows. */
void grpc_sources_look_up(struct grpc_source *source, struct grpc_start start);
/* A source that records are sent of. */
static inline bool grpc_source_reads(const struct grpc_source *source) {
    return source->held && !source->releasing;
}
/* NULL: not part of this subscription. */
struct grpc_source *grpc_sources_find(struct grpc_sources *sources, const char *topic, int32_t partition);
/* Moves a source: it is looked up anew. false: the call has failed. */
bool grpc_sources_seek(struct grpc_source *source, const Sentinel__V1__StartPosition *position);
/* What the broker knows now, without reading the log. */
void grpc_sources_refresh(struct grpc_sources *sources);
void grpc_sources_cancel(struct grpc_sources *sources);
/* Those it reads, as messages in `arena`, which is for this answer only. */
Sentinel__V1__PartitionPosition **grpc_sources_print(const struct grpc_sources *sources, struct arena *arena,
                                                     size_t *count);

#endif
