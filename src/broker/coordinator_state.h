// SPDX-License-Identifier: Apache-2.0
/* coordinator_state.h: what coordinator.c (calls, log, time), coordinator_group.c and coordinator_txn.c
 * (markers) share.
 *
 * Owner, loop: coordinator.h. */
#ifndef SENTINEL_BROKER_COORDINATOR_STATE_H
#define SENTINEL_BROKER_COORDINATOR_STATE_H

#include "broker/broker_state.h"
#include "broker/coordinator.h"
#include "broker/state_log.h"

struct coordinator {
    struct broker *broker;
    struct state_log *log;
    struct group_machine groups;
    struct txn_machine txns;
    struct group_step step;
    struct list parked;   /* struct group_call: the machine will reply */
    struct list answered; /* struct group_call, by `after`: until it is committed */
    struct io_timer timer;
    struct io_op flush;
    bool flush_scheduled;
    /* What became of topics while another led, or none, is known here only when all is known that was
     * acknowledged before: offsets of those that are gone are dropped then, and told from then on. */
    struct io_op sweep;
    struct raft_read_index topics_read;
    uint64_t topics_asked_ns;
    bool sweep_scheduled, topics_asking, knows_topics;
    struct list decided; /* struct marker_job: transactions whose decision is not committed yet */
    struct list jobs;    /* struct marker_job: decided transactions being carried out */
    struct list asking;  /* struct txn_commit: their transactions are asked */
};
struct coordinators {
    struct list dropped; /* struct marker_job that nobody waits for, with appends under way */
    struct coordinator list[COORDINATOR_COUNT];
};

/* The coordinator of `name`, with the call in its hands; NULL: the call is refused. */
struct coordinator *coordinator_open_call(struct broker *broker, struct group_call *call, struct slice name);
bool coordinator_is_loading(const struct coordinator *c); /* it is led here, and not known yet */
/* Empties the step and sets its time. */
struct group_step *coordinator_begin_step(struct coordinator *c);
struct txn_clock coordinator_clock(const struct coordinator *c); /* of the step */
/* Logs what the step changed, then answers: no answer overtakes what it rests on. */
void coordinator_end_step(struct coordinator *c);
/* The same for a call that is answered within its step. */
void coordinator_end_call(struct coordinator *c, struct group_call *call, const struct group_reply *reply);

/* How far the metadata is that this node knows; 0: alone. */
int64_t coordinator_known_at(const struct broker *broker);

/* coordinator_txn.c */
void coordinator_txn_drop(struct coordinator *c); /* the machine is gone, or the broker closes */
void coordinator_txn_forget_call(struct coordinator *c, const struct group_call *call);

/* coordinator_marker.c */
/* Begins to carry out what was decided; after each step. */
void coordinator_marker_decided(struct coordinator *c);
void coordinator_marker_committed(struct coordinator *c); /* state_log_committed moved */
/* `call` is done when the decision is carried out; false: another call waits for that already. */
bool coordinator_marker_await(struct coordinator *c, struct slice id, struct txn_call *call);
void coordinator_marker_forget_call(struct coordinator *c, const struct group_call *call);
void coordinator_marker_drop(struct coordinator *c);
void coordinator_marker_abandon(struct broker *broker); /* the last call: at a crash appends never end */

#endif
