// SPDX-License-Identifier: Apache-2.0
/* coordinator.h: hosts the machines of consumer groups (machine/group.h) over the log and the loop.
 *
 *   server ─ call ─> machine step ─> change to the log ─> answer(call, reply): copy what is wanted
 *                                                  └─ committed ─> done(call): send it
 *
 * There are COORDINATOR_COUNT of them; a group's name says which. Each is an internal group of its own, so
 * that a cluster can spread them over its nodes. An answer is filled in at once and sent when everything that
 * was logged before it is committed: nobody hears of a state that a crash could take back, readers included.
 *
 * Owner   calls belong to the caller until done, or coordinator_cancel. Slices are borrowed for the call.
 * Errors  call->status: OK, or why the answer is void (NOT_COORDINATOR, COORDINATOR_LOADING, ...): then
 * `answer` may have run or not. What the machine itself refuses stands in the reply. Loop    shard thread
 * only. Bounds: group_limits in broker_options. */
#ifndef SENTINEL_BROKER_COORDINATOR_H
#define SENTINEL_BROKER_COORDINATOR_H

#include "broker/broker.h"
#include "machine/group.h"
#include "machine/txn.h"

#define COORDINATOR_COUNT 16
/* Their groups in the store: far above those of partitions, which count from 1. */
#define COORDINATOR_GROUP_FIRST (UINT64_C(1) << 56)

struct coordinators;
struct coordinator;

struct group_call {
    /* The reply's slices and pointers live until it returns. Called at most once; may be NULL. */
    void (*answer)(struct group_call *call, const struct group_reply *reply);
    void (*done)(struct group_call *call); /* later than the call, once */
    enum status status;
    /* beat, commit, read, delete_group, txn_begin, txn_end, txn_commit_offsets: when another node coordinates
     * the name, it is asked. */
    bool forward;
    /* the coordinator's own */
    struct list link;
    struct coordinator *coordinator; /* NULL: not under way */
    struct group_away *away;         /* it is at another node: coordinator_forward.c */
    uint64_t after;
    struct slice group; /* of a parked call; on the heap */
    bool answered;
};

enum status coordinators_open(struct broker *broker, struct diagnostic *diagnostic) MUST_USE;
/* The broker stops: parked calls end with NOT_COORDINATOR. */
void coordinators_stop(struct broker *broker);
void coordinators_close(struct broker *broker);
bool coordinators_idle(const struct broker *broker);
/* The topic is gone, with its offsets. */
void coordinators_topic_deleted(struct broker *broker, struct slice topic);
/* All topics were replaced. */
void coordinators_topics_reloaded(struct broker *broker);

/* In a cluster, once it is formed: the coordinators' groups are founded with these members, or joined (NULL).
 */
struct raft_config;
enum status coordinators_join(struct broker *broker, const struct raft_config *founding,
                              struct diagnostic *diagnostic) MUST_USE;
void coordinators_leave(struct broker *broker);
void coordinators_tick(struct broker *broker);
/* NULL: alone, or not joined. */
struct raft_replica;
struct raft_replica *coordinator_replica(const struct broker *broker, uint32_t index);

/* Which coordinator serves a group or a transactional id. */
uint32_t coordinator_index(struct slice name);

/* OK: here, now. */
enum status coordinator_serves(const struct broker *broker, struct slice name) MUST_USE;

void coordinator_join(struct broker *broker, struct group_call *call, struct group_join *join);
void coordinator_sync(struct broker *broker, struct group_call *call, struct group_sync *sync);
void coordinator_heartbeat(struct broker *broker, struct group_call *call, const struct group_identity *who);
void coordinator_leave(struct broker *broker, struct group_call *call, const struct group_identity *who);
void coordinator_beat(struct broker *broker, struct group_call *call, const struct group_consumer_beat *beat,
                      bool *assignment_changed);
/* Statuses of the offsets are set when it returns. */
void coordinator_commit(struct broker *broker, struct group_call *call, const struct group_commit *commit);
/* reply->group is NULL when there is none; a reader that claims to be a member is checked. */
void coordinator_read(struct broker *broker, struct group_call *call, const struct group_identity *who);
void coordinator_delete_offset(struct broker *broker, struct group_call *call, struct slice group,
                               struct slice topic, int32_t partition);
void coordinator_delete_group(struct broker *broker, struct group_call *call, struct slice group);
/* What a list of groups shows of each. */
struct group_summary {
    struct slice name, protocol_type, assignor;
    const char *kind, *state;
    int32_t generation, member_count;
};
struct group_summary coordinator_summary(const struct group *group); /* borrows its texts */
/* COORDINATOR_LOADING: some of those coordinated here are not known yet. */
enum status coordinators_summaries(struct broker *broker,
                                   void (*visit)(void *ctx, const struct group_summary *summary),
                                   void *ctx) MUST_USE;
/* What a list of all nodes' groups or transactions is made with: the broker's own, but for `status`. */
struct coordinator_listing {
    enum status status; /* not OK: some are missing */
    struct broker *broker;
    bool (*take)(struct coordinator_listing *listing, struct reader *in); /* one, as another node tells it */
    void (*finished)(struct coordinator_listing *listing);
    struct listing_part *parts;
    uint32_t part_count, busy;
    struct io_op op;
};
/* The groups of all nodes. */
struct group_listing {
    void (*visit)(struct group_listing *listing,
                  const struct group_summary *summary); /* may be in the call */
    void (*done)(struct group_listing *listing);        /* later than the call, once */
    struct coordinator_listing base;
};
void broker_list_groups(struct broker *broker, struct group_listing *listing);
void broker_list_groups_cancel(struct group_listing *listing);
/* Neither answer nor done will be called any more; a member stays one. Also when it is not under way. */
void coordinator_cancel(struct group_call *call);

/* ---- transactions (machine/txn.h) -----------------------------------------------------------------------
 */

struct txn_call {
    struct group_call call; /* `answer` is the coordinator's */
    enum status result;     /* of the machine; call.status is OK then */
    int64_t producer_id;    /* begin, end: the ones in force */
    int16_t epoch;
    int32_t number; /* of the transaction */
};
/* fresh_id: broker_new_producer_id. producer_id and epoch: what the client had, or -1. */
struct txn_begin {
    struct slice id;
    int32_t timeout_ms;
    int64_t producer_id;
    int16_t epoch;
    int64_t fresh_id;
};
void coordinator_txn_begin(struct broker *broker, struct txn_call *call, const struct txn_begin *begin);
void coordinator_txn_add(struct broker *broker, struct txn_call *call, const struct txn_producer *who,
                         const struct txn_places *places);
void coordinator_txn_verify(struct broker *broker, struct txn_call *call, const struct txn_producer *who,
                            const struct txn_place *place);
/* Done when every marker is written: whoever reads then sees the end. */
struct txn_ending {
    struct txn_producer who;
    bool commit;
    bool moves_epoch;  /* KIP-890 */
    bool may_be_empty; /* a commit of what never began is done, too */
    bool forced;       /* aborted whoever has it: of `who` only the id counts */
    int64_t fresh_id;  /* broker_new_producer_id when txn_ending_takes_id, else -1 */
};
static inline bool txn_ending_takes_id(const struct txn_ending *ending) {
    return !ending->forced && txn_end_takes_id(&ending->who, ending->moves_epoch);
}
void coordinator_txn_end(struct broker *broker, struct txn_call *call, const struct txn_ending *ending);

/* What partitions and groups ask, wherever the transaction is coordinated: may something of `who` be stored
 * in `place`? `adds`: it makes the place part of the transaction. */
struct txn_question {
    struct txn_producer who;
    struct txn_place place;
    bool adds;
};
struct txn_ask {
    void (*done)(struct txn_ask *ask); /* later than the call, once */
    enum status
        status;     /* OK; the machine's refusal; NOT_COORDINATOR, NOT_LEADER, ...: not known, ask again */
    int32_t number; /* of the transaction */
    /* the coordinator's own */
    struct broker *broker;
    struct txn_call call;      /* it is here */
    struct forward forwarding; /* or elsewhere */
    struct io_op op;
    bool deferred;
};
void coordinator_txn_ask(struct broker *broker, struct txn_ask *ask, const struct txn_question *question);
void coordinator_txn_ask_cancel(struct txn_ask *ask); /* also when it is over */

/* Offsets that wait for the transaction. `adds` as above. What `who` and `commit` refer to is borrowed until
 * done; statuses of the offsets are set then. */
struct txn_commit {
    struct txn_call call; /* of the group's coordinator; cancelled with coordinator_cancel */
    struct txn_producer who;
    struct group_commit commit;
    bool adds;
    /* the coordinator's own */
    struct list link;
    struct txn_ask ask;
    bool ended; /* the transaction ended while its coordinator was asked */
};
void coordinator_txn_commit_offsets(struct broker *broker, struct txn_commit *commit);
/* The group of a transaction that has ended: its offsets are committed or dropped. */
void coordinator_end_pending(struct broker *broker, struct group_call *call, struct slice group,
                             const struct group_producer *producer, bool commit);
/* OK: *txn, until the loop's next turn. TXN_NOT_FOUND, or why this node cannot say. */
enum status coordinator_txn_find(const struct broker *broker, struct slice id,
                                 const struct txn **txn) MUST_USE;
/* Those coordinated here whose ids match the pattern (machine/pattern.h; empty: all). INVALID_PATTERN;
 * LOADING: some are not known yet. */
enum status coordinators_visit_txns(struct broker *broker, struct slice id_pattern,
                                    void (*visit)(void *ctx, const struct txn *txn), void *ctx) MUST_USE;

/* The transactions of all nodes, or one with its places. */
struct txn_summary {
    struct slice id;
    int64_t producer_id;
    int16_t epoch;
    enum txn_phase phase;
    int32_t timeout_ms;
    int64_t started_wall_ms, changed_wall_ms;
    const struct txn_place *places; /* of one that was asked for by its id */
    uint32_t place_count;
};
struct txn_listing {
    struct slice id; /* borrowed until done; empty: all. TXN_NOT_FOUND: there is none */
    void (*visit)(struct txn_listing *listing, const struct txn_summary *txn); /* may be in the call */
    void (*done)(struct txn_listing *listing);                                 /* later than the call, once */
    struct coordinator_listing base;
};
void broker_list_txns(struct broker *broker, struct txn_listing *listing);
void broker_list_txns_cancel(struct txn_listing *listing);

/* Every group this node coordinates; LOADING: some are not known yet. */
enum status coordinators_visit(struct broker *broker, void (*visit)(void *ctx, const struct group *group),
                               void *ctx) MUST_USE;

#endif
