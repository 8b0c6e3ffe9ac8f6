// SPDX-License-Identifier: Apache-2.0
/* group.h: the coordinator of consumer groups: who is a member, who reads what, how far each group has read.
 *
 * Two ways of being a group share members, offsets and timers:
 *
 *   classic    EMPTY ─join─> PREPARING ─all joined, or time is up─> COMPLETING ─the leader's sync─> STABLE
 *                 ^             ^  members that do not join again are out      │ join, leave, lost  │
 *                 └─ last one leaves ──────────┴───────────────────────────────┴────────────────────┘
 *   consumer   (KIP-848, and sentinel.v1's Consume) every change of members or topics makes a new group epoch
 *              and target; each member walks towards it by its own heartbeats: what it loses it gives up
 * first, and what others still hold it gets when they have let go. Nobody stops for anybody else.
 *
 * Pure: each call brings the time and what happened; it answers with replies, with the keys to be logged
 * (step.change) and with the time at which group_expire wants to be called. The state in memory is ahead of
 * the log: the host delays every reply until all that was logged before it is committed, and when that fails
 * it throws the machine away and loads another from what is stored. Group phases between two generations are
 * not logged; the generation is, before anybody hears of it (B15), so no generation is ever given out twice.
 *
 * Source  Kafka protocol guide; KIP-62, KIP-134 (initial delay), KIP-345 (static members), KIP-394 (member id
 *         required), KIP-429, KIP-800, KIP-814 (skipped assignment), KIP-848.
 * Owner   the machine owns its groups; slices of requests are borrowed for the call, pointers in replies live
 *         until the next call.
 * Units   _ms: monotonic when beside now_ms, milliseconds since 1970 when the name has wall.
 * Errors  a status with the protocol's own code (base/status.h); wrong members, generations and epochs never
 *         change anything.
 * Loop    shard thread. Bounds: struct group_limits; GROUP_ID_SIZE_MAX, GROUP_MEMBER_ID_SIZE_MAX.
 * I1  a group's generation only grows.   I2  a partition of a consumer group has at most one holder.
 * I3  every group that waits for something has a deadline. */
#ifndef SENTINEL_MACHINE_GROUP_H
#define SENTINEL_MACHINE_GROUP_H

#include "base/map.h"
#include "base/prng.h"
#include "base/uuid.h"
#include "machine/state_change.h"

#define GROUP_ID_SIZE_MAX        249
#define GROUP_MEMBER_ID_SIZE_MAX 255
#define GROUP_TOPIC_SIZE_MAX     249
#define GROUP_PATTERNS_MAX       32        /* different ones that a group's members subscribe by */
#define GROUP_NEVER              INT64_MAX /* no deadline */

struct group_limits {
    int32_t session_min_ms, session_max_ms;
    int32_t initial_delay_ms;      /* an empty group waits so long for more members to come */
    int64_t offset_retention_ms;   /* of a group without members */
    int32_t member_max;            /* per group */
    int32_t offset_metadata_max;   /* bytes */
    int32_t consumer_session_ms;   /* consumer groups: the server's to say */
    int32_t consumer_heartbeat_ms; /* and how often to be heard of */
};
struct group_limits group_limits_default(void);

enum group_kind { GROUP_SIMPLE /* only offsets */, GROUP_CLASSIC, GROUP_CONSUMER };
enum group_phase { GROUP_EMPTY, GROUP_PREPARING, GROUP_COMPLETING, GROUP_STABLE };

struct group_protocol {
    struct slice name, metadata;
};

/* Partitions of a topic, as a sorted set. */
struct group_partition {
    struct uuid topic;
    int32_t partition;
};
struct group_partitions {
    struct group_partition *list; /* ascending */
    uint32_t count, capacity;
};

enum group_member_state { GROUP_MEMBER_STABLE, GROUP_MEMBER_REVOKING, GROUP_MEMBER_WAITING };
struct group_member {
    struct slice id, instance_id, client_id, client_host; /* instance_id.data NULL: dynamic */
    int32_t session_timeout_ms, rebalance_timeout_ms;
    int64_t session_deadline_ms;
    bool saved; /* the log has a record of it */
    /* classic */
    struct group_protocol *protocols; /* most wanted first */
    uint32_t protocol_count;
    struct slice assignment;
    void *join_call, *sync_call; /* parked requests */
    bool join_skips_assignment;
    bool is_new; /* has never had an answer to a join */
    /* consumer */
    int32_t epoch, previous_epoch;
    enum group_member_state state;
    struct slice rack_id, assignor; /* assignor.data NULL: no wish */
    struct slice *topics;           /* subscribed names, sorted */
    uint32_t topic_count;
    struct slice regex;    /* pattern.h; empty: none */
    struct slice *matched; /* the topics whose names it matches, as of step.topics.version matched_at - 1 */
    uint32_t matched_count;
    uint64_t matched_at; /* 0: to be matched */
    struct group_partitions assigned, revoking, target;
    int64_t revoke_deadline_ms;
};

struct group_offset {
    int64_t offset;
    int32_t leader_epoch; /* -1: unknown */
    int64_t commit_wall_ms;
    struct uuid topic_id; /* zero: unknown */
    struct slice metadata;
    struct slice topic; /* of the map's key */
    int32_t partition;
};

struct group {
    struct slice id;
    enum group_kind kind;
    enum group_phase phase; /* consumer groups: EMPTY or STABLE */
    int32_t generation;     /* consumer groups: the group epoch */
    struct slice protocol_type, protocol, leader;
    struct map members;      /* member id -> struct group_member */
    struct map statics;      /* instance id -> struct group_member */
    struct map pending;      /* member id given out, not joined yet -> struct group_pending */
    struct map offsets;      /* [partition be32][topic] -> struct group_offset */
    struct map transactions; /* [producer id be64] -> struct group_transaction: offsets not committed yet */
    int64_t deadline_ms;     /* of the phase */
    int64_t joined_until_ms; /* EMPTY's first rebalance: the initial delay is not extended past this */
    bool grew;               /* a member was added since the initial delay began */
    int64_t empty_since_wall_ms;
    int64_t retention_check_ms;
    /* consumer */
    int32_t target_epoch;
    struct slice assignor;   /* of the target */
    uint64_t topics_version; /* step.topics.version when the subscription was last looked at */
    uint64_t topics_hash;    /* of names, ids and partition counts of what is subscribed to */
    struct map owners;       /* [topic id][partition be32] -> struct group_member that holds it */
    /* the machine's own */
    int64_t wake_ms;
    uint32_t heap_index; /* 0: not in the heap */
};

struct group_machine {
    struct map groups; /* id -> struct group */
    struct group_limits limits;
    struct prng prng; /* of member ids */
    uint64_t hash_seed;
    struct group **heap; /* by wake_ms */
    uint32_t heap_count, heap_capacity;
};
void group_machine_init(struct group_machine *m, const struct group_limits *limits, uint64_t seed);
void group_machine_release(struct group_machine *m);

/* ---- a step ------------------------------------------------------------------------------------------- */

struct group_reply {
    void *call;
    enum status status;
    struct slice member_id;    /* JOINED and MEMBER_ID_REQUIRED; SYNCED */
    const struct group *group; /* NULL unless OK */
    const struct group_member *member;
    struct slice leader;  /* join */
    bool skip_assignment; /* join: the leader keeps the assignment that is in force */
};
/* What the machine asks about topics; names are looked up in every call anew. */
struct group_topic {
    struct uuid id;
    int32_t partition_count;
    struct slice name;
};
struct group_topics {
    void *ctx;
    uint64_t version; /* another number whenever any topic changed */
    bool (*find)(void *ctx, struct slice name, struct group_topic *topic);
    void (*visit)(void *ctx, void (*take)(void *arg, const struct group_topic *topic), void *arg); /* all */
};
struct group_step {
    int64_t now_ms, wall_ms;
    struct group_topics topics;
    /* results */
    struct state_change change; /* to be logged, when its count is not 0 */
    struct group_reply *replies;
    uint32_t reply_count, reply_capacity;
};
void group_step_init(struct group_step *step);
void group_step_clear(struct group_step *step); /* results only; memory kept */
void group_step_release(struct group_step *step);

/* When group_expire has something to do; GROUP_NEVER: never. */
int64_t group_deadline(const struct group_machine *m);
void group_expire(struct group_machine *m, struct group_step *step);

const struct group *group_find(const struct group_machine *m, struct slice id);

/* ---- classic members ---------------------------------------------------------------------------------- */

struct group_join {
    void *call;
    struct slice group, member_id, instance_id, client_id, client_host, protocol_type;
    const struct group_protocol *protocols;
    uint32_t protocol_count;
    int32_t session_timeout_ms, rebalance_timeout_ms;
    bool wants_member_id;  /* a new member first gets an id (KIP-394) */
    bool skips_assignment; /* the client knows `skip_assignment` */
};
/* Replies now or later, once per call. */
void group_join(struct group_machine *m, struct group_step *step, const struct group_join *join);

struct group_assignment {
    struct slice member_id, assignment;
};
struct group_sync {
    void *call;
    struct slice group, member_id, instance_id;
    int32_t generation;
    struct slice protocol_type, protocol; /* data NULL: not said */
    const struct group_assignment *assignments;
    uint32_t assignment_count;
};
void group_sync(struct group_machine *m, struct group_step *step, const struct group_sync *sync);

/* As a generation: a committer that is believed without being a member. */
#define GROUP_ANYBODY INT32_MIN
struct group_identity {
    struct slice group, member_id, instance_id;
    int32_t generation; /* consumer groups: the member epoch */
};
enum status group_heartbeat(struct group_machine *m, struct group_step *step,
                            const struct group_identity *who) MUST_USE;
/* instance_id alone names a static member. */
enum status group_leave(struct group_machine *m, struct group_step *step,
                        const struct group_identity *who) MUST_USE;
/* The request is gone: it gets no reply any more. The member stays. */
void group_forget_call(struct group_machine *m, struct slice group, const void *call);

/* ---- consumer members (KIP-848) ------------------------------------------------------------------------ */

enum { GROUP_EPOCH_JOIN = 0, GROUP_EPOCH_LEAVE = -1, GROUP_EPOCH_LEAVE_STATIC = -2 };
struct group_consumer_beat {
    struct slice group, member_id, instance_id, rack_id, client_id, client_host;
    int32_t epoch;
    int32_t rebalance_timeout_ms; /* -1: as before */
    int32_t session_timeout_ms;   /* of who joins; 0: the limits' */
    bool has_topics, has_owned;   /* false: as before */
    const struct slice *topics;
    uint32_t topic_count;
    struct slice regex;    /* data NULL: as before; empty: none any more */
    struct slice assignor; /* data NULL: as before */
    const struct group_partition *owned;
    uint32_t owned_count;
};
/* OK: *member is NULL when it has left; *assignment_changed: it is to be told what it has. */
enum status group_consumer_beat(struct group_machine *m, struct group_step *step,
                                const struct group_consumer_beat *beat, const struct group_member **member,
                                bool *assignment_changed) MUST_USE;
bool group_assignor_exists(struct slice name);

/* ---- offsets ------------------------------------------------------------------------------------------ */

struct group_commit_offset {
    struct slice topic;
    struct uuid topic_id; /* zero: unknown */
    int32_t partition;
    int64_t offset;
    int32_t leader_epoch;
    struct slice metadata;
    enum status status; /* result; not OK at the call: left out */
};
struct group_commit {
    struct group_identity who; /* generation -1 and no member id: an admin, or a consumer without a group */
    struct group_commit_offset *offsets;
    uint32_t offset_count;
};
/* Not OK: nothing was committed. */
enum status group_commit(struct group_machine *m, struct group_step *step,
                         const struct group_commit *commit) MUST_USE;
const struct group_offset *group_offset_find(const struct group *group, struct slice topic,
                                             int32_t partition);
/* Whether a transaction is about to commit an offset of this partition. */
bool group_offset_unstable(const struct group *group, struct slice topic, int32_t partition);
/* The reader's own claim: UNKNOWN_MEMBER, STALE_MEMBER_EPOCH, ... */
enum status group_check_reader(const struct group_machine *m, const struct group_identity *who) MUST_USE;
enum status group_delete_offset(struct group_machine *m, struct group_step *step, struct slice group,
                                struct slice topic, int32_t partition) MUST_USE;
/* A topic is gone: so are its offsets in every group. */
void group_topic_deleted(struct group_machine *m, struct group_step *step, struct slice topic);
/* The same of all topics that are not there, or were made again: step.topics knows every topic that any
 * offset was ever taken for, and what became of it. */
void group_topics_gone(struct group_machine *m, struct group_step *step);
enum status group_delete(struct group_machine *m, struct group_step *step, struct slice group) MUST_USE;

/* Transactions (KIP-98, KIP-447): offsets wait under the producer's id until its transaction ends, told apart
 * from its others by their number (txn.h): an end that comes late leaves the offsets of the next alone. */
struct group_producer {
    int64_t id;
    int32_t number;
};
enum status group_commit_pending(struct group_machine *m, struct group_step *step,
                                 const struct group_commit *commit,
                                 const struct group_producer *producer) MUST_USE;
void group_transaction_end(struct group_machine *m, struct group_step *step, struct slice group,
                           const struct group_producer *producer, bool commit);

/* ---- storage ------------------------------------------------------------------------------------------ */

/* Restores one key of a change; in the order of the keys' bytes. MALFORMED: damaged, or of another version.
 */
enum status group_load(struct group_machine *m, struct slice key, struct slice value) MUST_USE;
/* A group as such keys, with its members and committed offsets: what a reader on another node loads. */
void group_export(const struct group *group, struct state_change *change);
/* After the last key: members get a whole session to be heard of again. MALFORMED: the keys contradict each
 * other. */
enum status group_loaded(struct group_machine *m, int64_t now_ms, int64_t wall_ms) MUST_USE;
void group_machine_check(const struct group_machine *m);

const char *group_phase_name(const struct group *group); /* "Stable", as Kafka's tools show it */
const char *group_kind_name(enum group_kind kind);       /* "classic" */

#endif
