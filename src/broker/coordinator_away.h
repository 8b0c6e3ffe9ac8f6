// SPDX-License-Identifier: Apache-2.0
/* coordinator_away.h: how a call gets to the node that coordinates its name and back, whatever is asked:
 * coordinator_forward.c says what a question and its answer consist of, for groups, coordinator_forward_txn.c
 * for transactions, coordinator_listing.c for lists.
 *
 *   away_start ─> REQUEST [FORWARD_GROUP u8][kind u8]... ─> away_served_new, the kind's serve function ─> the
 *   call there ─> served_done ─> ANSWER [status u8]... ─> take(away, answer) ─> call->done
 *
 * Owner   the call is its caller's; what is here lives from start to done or cancel.
 * Errors  NOT_COORDINATOR: it did not answer; MALFORMED: not in words that are known here.
 * Loop    shard thread only. */
#ifndef SENTINEL_BROKER_COORDINATOR_AWAY_H
#define SENTINEL_BROKER_COORDINATOR_AWAY_H

#include "broker/cluster.h"
#include "broker/coordinator_state.h"
#include "broker/forward.h"

enum away_kind {
    AWAY_BEAT = 1,
    AWAY_COMMIT,
    AWAY_READ,
    AWAY_DELETE,
    AWAY_LIST,
    AWAY_TXN_BEGIN,
    AWAY_TXN_END,
    AWAY_TXN_COMMIT,
    AWAY_TXN_LIST,
    AWAY_KIND_END
};

/* ---- asking -------------------------------------------------------------------------------------------- */

/* A call that is at the other node. */
struct group_away {
    struct list link; /* in cluster.groups_away */
    struct group_call *call;
    struct coordinator *coordinator;
    bool (*take)(struct group_away *away, struct reader *in); /* the answer; false: malformed */
    struct forward forward;
    struct slice name; /* on the heap */
    struct group_commit_offset *offsets;
    uint32_t offset_count;
};
/* The node that coordinates the name, when it is another one and the call may go there; else 0. */
uint32_t away_node(struct broker *broker, const struct group_call *call, struct slice name);
/* True: it is on its way. `bytes` is released. */
bool away_start(struct broker *broker, struct group_call *call, uint32_t node, enum away_kind kind,
                struct slice name, struct writer *bytes,
                bool (*take)(struct group_away *away, struct reader *in), struct group_away **result);
/* The same without a call. */
bool away_send(struct broker *broker, uint32_t node, struct forward *forward, enum away_kind kind,
               struct writer *bytes);

/* ---- answering ----------------------------------------------------------------------------------------- */

struct served {
    struct list link; /* in cluster.groups_served */
    struct cluster *cluster;
    uint32_t node;
    uint64_t number;
    struct group_call call;
    struct txn_commit txn;               /* or a call for a transaction: its own, or its offsets' */
    struct buffer *body;                 /* slices of the request point into it */
    struct group_commit_offset *offsets; /* of a commit */
    uint32_t offset_count;
    struct writer out;
};
void served_free(struct served *served); /* without an answer: the other node is of another make */
void served_answer(struct served *served, enum status status);

void away_serve_beat(struct served *served, struct reader *in);
void away_serve_commit(struct served *served, struct reader *in);
void away_serve_read(struct served *served, struct reader *in);
void away_serve_delete(struct served *served, struct reader *in);
void away_serve_list(struct served *served, struct reader *in);
void away_serve_txn_begin(struct served *served, struct reader *in);
void away_serve_txn_end(struct served *served, struct reader *in);
void away_serve_txn_commit(struct served *served, struct reader *in);
void away_serve_txn_list(struct served *served, struct reader *in);

/* ---- bytes --------------------------------------------------------------------------------------------- */

void away_put(struct writer *out, struct slice bytes); /* keeps none and empty apart */
struct slice away_take(struct reader *in);
/* How many there are, each of at least `size` bytes; 0 when that cannot be: the reader has failed. */
uint32_t away_take_count(struct reader *in, size_t size);
void away_put_identity(struct writer *out, const struct group_identity *who);
struct group_identity away_take_identity(struct reader *in);
void away_put_offsets(struct writer *out, const struct group_commit *commit);
/* Into served->offsets. */
void away_take_offsets(struct reader *in, struct served *served, struct group_commit *commit);
/* What became of each offset. */
void away_put_statuses(struct writer *out, const struct served *served);
void away_take_statuses(struct reader *in, struct group_away *away);
void away_put_partition(struct writer *out, const struct group_partition *partition);
struct group_partition away_take_partition(struct reader *in);

#endif
