// SPDX-License-Identifier: Apache-2.0
/* grpc_member.h: one member of a consumer group in sentinel.v1: a Consume stream with a group.
 *
 *   Start ─> Started ─> Assignment: mine, from here on ─> Records, Commit ─> Committed ...
 *     ^                     └─> taken back: the last Commit ─> Release
 *     └── the stream ended: fenced, a node went down, or it left
 *
 * It asks whichever node it chooses, commits now and then, and commits what is taken back once more before it
 * lets it go. Now and then it leaves and comes back, lets go without that commit, or later than the group waits
 * for, or commits what it has let go: that must be refused. Some members are static and come back under the same
 * name.
 * What it is told is held against the group's history (B13 to B16) and that of records (B2, B5, B12); nothing is
 * read that is not its own.
 *
 * A stream breaks at one end first: for a while a member may believe that it owns what its group has given to
 * another. So B14 is that of generations, as in classic groups.
 *
 * Owner   the clients. Loop: theirs. Bounds: GRPC_MEMBER_PARTITIONS partitions of one topic. */
#ifndef SENTINEL_SIM_GRPC_MEMBER_H
#define SENTINEL_SIM_GRPC_MEMBER_H

#include "base/prng.h"
#include "client/channel.h"
#include "sim/group_history.h"
#include "sim/history_reader.h"

#define GRPC_MEMBER_PARTITIONS 3
#define GRPC_MEMBER_NODES      16

struct grpc_member_options {
    struct io *io;
    struct group_history *group;
    const char *group_id, *topic;
    bool is_static;
    uint32_t index, node_count, port;
    uint64_t seed;
    /* Something was told, or went wrong. */
    void (*told)(void *ctx, uint32_t node, const char *text);
    void *ctx;
};
struct grpc_member {
    struct grpc_member_options options;
    struct prng prng;
    struct channel channels[GRPC_MEMBER_NODES]; /* by node - 1 */
    struct call call;
    struct io_timer timer; /* to begin, to let go, or to give the stream up */
    bool streaming, started;
    bool steady; /* does nothing by itself that disturbs the group */
    uint32_t node;
    int32_t epoch;
    uint32_t owned, releasing; /* by bits; releasing: of those owned */
    uint32_t gone;             /* let go lately, to be committed all the same */
    uint64_t gone_ns;
    bool hasty;   /* lets go without a last commit */
    bool lets_go; /* the timer is for that */
    struct history_reader readers[GRPC_MEMBER_PARTITIONS];
    size_t credit;
    uint32_t fetched; /* batches since the last commit */
    /* the commit under way; one at a time */
    uint32_t commit_set, late_set; /* by bits; 0: none */
    bool refusable;                /* it names what was let go: must be refused */
    int64_t committing[GRPC_MEMBER_PARTITIONS];
};

void grpc_member_init(struct grpc_member *member, const struct grpc_member_options *options);
/* The topic is there. */
void grpc_member_start(struct grpc_member *member);
/* The machine is off: what the channels have in memory stays as it is. */
void grpc_member_release(struct grpc_member *member);

#endif
