// SPDX-License-Identifier: Apache-2.0
/* kafka_member.h: one member of a consumer group, in Kafka's classic protocol or in that of KIP-848.
 *
 *   find the coordinator ─> join ─> what is mine, how far it was read ─> fetch, process, commit, be heard of
 *          ^                  ^                                                   │
 *          └── not there      └── another generation, fenced, unknown ────────────┘
 *
 * It does one thing at a time, on two connections: to the coordinator, and to a leader. Now and then it
 * leaves and comes back, or sleeps longer than the group waits for it, and goes on then as if nothing had
 * happened: what it had not committed, it commits then. Now and then it commits
 * what it lost to another generation, as clients do that commit without waiting. What it is told is held
 * against the group's history.
 *
 * A static member (group.instance.id) also crashes, and comes back within its session as another process of
 * the same instance; what is left of the process before may still commit, and must be fenced. A member of a
 * cooperative group keeps what it owns while the group rebalances, says what that is when it joins, and
 * joins once more when it has let go of something.
 *
 * Owner   the clients. Loop: theirs. Bounds: KAFKA_MEMBER_PARTITIONS partitions of one topic. */
#ifndef SENTINEL_SIM_KAFKA_MEMBER_H
#define SENTINEL_SIM_KAFKA_MEMBER_H

#include "base/prng.h"
#include "sim/group_history.h"
#include "sim/history_reader.h"
#include "sim/kafka_link.h"

#define KAFKA_MEMBER_PARTITIONS 3
#define KAFKA_MEMBER_SESSION_MS 3000 /* of both protocols; the broker's options for the second */
#define KAFKA_MEMBER_JOIN_MS    1500 /* a rebalance waits so long */
#define KAFKA_MEMBER_BEAT_MS    300
#define KAFKA_MEMBER_ID_MAX     96

struct kafka_member_options {
    struct io *io;
    struct group_history *group;
    const char *group_id, *topic;
    bool consumer;    /* KIP-848 */
    bool is_static;   /* has a group.instance.id */
    bool statics;     /* some of its group have */
    bool cooperative; /* classic only; all of the group */
    uint32_t index, node_count;
    uint64_t seed;
    /* Something was acknowledged, or went wrong. */
    void (*told)(void *ctx, uint32_t node, const char *text);
    void *ctx;
};
enum kafka_member_asking {
    MEMBER_NOTHING,
    MEMBER_FIND,
    MEMBER_JOIN,
    MEMBER_SYNC,
    MEMBER_BEAT,
    MEMBER_LEAVE,
    MEMBER_OFFSETS,
    MEMBER_COMMIT,
    MEMBER_METADATA,
    MEMBER_FETCH
};
struct kafka_member_channel {
    struct kafka_member *member;
    struct kafka_link *link; /* NULL: none */
    bool connected;
};
struct kafka_member {
    struct kafka_member_options options;
    struct prng prng;
    struct kafka_member_channel control, data;
    struct io_timer timer; /* to give an answer up, or to go on */
    enum kafka_member_asking asking;
    bool steady;                                            /* neither leaves nor sleeps any more */
    uint32_t coordinator, leaders[KAFKA_MEMBER_PARTITIONS]; /* 0: unknown */
    uint32_t attempts;
    /* membership */
    char id[KAFKA_MEMBER_ID_MAX]; /* empty: to be given one (classic) */
    int32_t generation;           /* 0: not a member */
    bool synced;                  /* classic: has its assignment */
    bool rejoin;                  /* cooperative: joins anew, and keeps what it has */
    char instance[48];            /* empty: none */
    uint32_t lives;               /* of the instance */
    uint32_t owned, wanted;       /* by bits; consumer: wanted is what the group says */
    uint32_t known, dirty;        /* offsets have been asked for; there is something to commit */
    bool topic_known;
    uint8_t topic_id[16];
    uint64_t beat_ns; /* when it last asked whether it is a member */
    bool beat_first;  /* it is behind: before anything else */
    /* classic: to be handed in by a leader */
    uint32_t other_count;
    struct kafka_member_other {
        char id[KAFKA_MEMBER_ID_MAX];
        uint64_t key;   /* as in the group's history */
        uint32_t owned; /* cooperative: what it says */
    } others[GROUP_HISTORY_MEMBERS];
    /* reading */
    struct history_reader readers[KAFKA_MEMBER_PARTITIONS];
    uint32_t next, fetched_since_commit;
    /* of what is asked just now */
    int32_t floor_generation;
    int64_t floors[KAFKA_MEMBER_PARTITIONS], committing[KAFKA_MEMBER_PARTITIONS];
    uint32_t commit_set, late_set;
    /* What it had read and not committed when it lost its generation: a late commit of that comes yet. */
    uint32_t stale_set;
    int32_t stale_generation;
    char stale_id[KAFKA_MEMBER_ID_MAX];
    bool stale_replaced; /* another process of the instance has joined: it is fenced */
    bool stale_fenced;   /* it was, when the commit under way was asked for */
    int64_t stale[KAFKA_MEMBER_PARTITIONS];
    bool stale_asked; /* the commit under way is that one */
    uint32_t fetching;
};

void kafka_member_init(struct kafka_member *member, const struct kafka_member_options *options);
/* The topic is there. */
void kafka_member_start(struct kafka_member *member);
/* The machine is off: nothing completes any more. */
void kafka_member_release(struct kafka_member *member);
const char *kafka_member_state(const struct kafka_member *member);

#endif
