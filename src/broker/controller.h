// SPDX-License-Identifier: Apache-2.0
/* controller.h: group 0 in a cluster: metadata commands find their way to the leader, into the log, and into
 * the tables of every node.
 *
 *   controller_call ──(leader here)──> queue ──> check, place, propose ──> committed ──> applied here ──>
 * done └──(leader elsewhere) REQUEST ──> its queue ... ──> ANSWER with the position ──> applied here ──> done
 *
 * The leader takes one command at a time, checked against a state that has everything before it applied, so
 * that what is logged is valid. `done` comes when the command is applied on this node too: who made a topic
 * here finds it here.
 *
 * Errors  UNAVAILABLE: no leader, or it was lost on the way: the command may have happened or not.
 * Loop    shard thread only.  Bounds: CONTROLLER_QUEUE_MAX commands wait at the leader, then BUSY. */
#ifndef SENTINEL_BROKER_CONTROLLER_H
#define SENTINEL_BROKER_CONTROLLER_H

#include "broker/cluster.h"

#define CONTROLLER_QUEUE_MAX  10000
#define CONTROLLER_TIMEOUT_NS (5 * NS_PER_S)

struct controller_call {
    struct writer command; /* metadata_encode; released by the controller before done */
    void (*done)(struct controller_call *call);
    enum status status;
    struct diagnostic diagnostic;
    int64_t first_producer_id;
    /* the controller's own */
    struct list link;
    uint64_t number, position, deadline_ns;
    uint8_t phase;
};

enum status controller_open(struct cluster *cluster, const struct raft_config *founding,
                            struct diagnostic *diagnostic) MUST_USE;
void controller_close(struct cluster *cluster);
void controller_submit(struct cluster *cluster, struct controller_call *call);
/* Now and then: calls that wait for a leader, deadlines, our own registration. */
void controller_tick(struct cluster *cluster);
struct raft_replica *controller_replica(const struct cluster *cluster);
/* What is known of the metadata is stored, or on its way to the disk. False: less is, after a write failed. */
bool controller_is_stored(const struct cluster *cluster);

/* From peers. */
void controller_request(struct cluster *cluster, uint32_t node, uint64_t number, struct slice body);
void controller_answer(struct cluster *cluster, uint64_t number, struct slice body);

#endif
