// SPDX-License-Identifier: Apache-2.0
/* cluster.h: this broker's part in a cluster: who it is, whom it knows, the groups that it is a member of.
 * Not for other folders; see broker.h.
 *
 *   empty disk ──> waits for the others ──> founds (all are new, the lowest number does it) ──┐
 *                        └──> joins (somebody belongs to a cluster) ──────────────────────────┴──> formed
 *
 * IDENTITY. A node is its number and the incarnation of its disk, drawn when the disk is first used; both and
 * the cluster's id and founding are the first thing on the disk (META of group 0), so everything that it ever
 * says is said by that identity; it says nothing before they are there. A disk that is lost gives another
 * incarnation: to consensus another member, which is admitted as a learner (members.c).
 *
 * FOUNDING. The members of group 0 at its beginning: all nodes of --peers, once all of them are there and
 * new. A node that finds somebody who belongs to a cluster joins that one, so a lost disk never founds a
 * second cluster beside the first.
 *
 * GROUPS. Group 0 is the controller (controller.h); every partition has a group on the nodes of its
 * placement. Who leads groups that others host is told by notices.
 *
 * Loop    shard thread only.  Bounds: PEERS_MAX nodes. */
#ifndef SENTINEL_BROKER_CLUSTER_H
#define SENTINEL_BROKER_CLUSTER_H

#include "broker/broker_state.h"
#include "broker/peers.h"
#include "broker/raft_host.h"

#define CLUSTER_TICK_NS     (250 * NS_PER_MS)
#define CLUSTER_LEAVE_NS    (3 * NS_PER_S)
#define CLUSTER_TENDING_MAX 1024 /* groups whose members are changed in one tick */
/* A new group's preferred leader campaigns when the others should know of the group. */
#define CLUSTER_FIRST_CAMPAIGN_NS   (20 * NS_PER_MS)
#define CLUSTER_CAMPAIGN_STAGGER_NS (100 * NS_PER_US) /* a partition of the same topic, up to: */
#define CLUSTER_CAMPAIGN_SPREAD_NS  (300 * NS_PER_MS)

struct controller;

struct cluster {
    struct broker *broker;
    uint32_t node, incarnation;
    char cluster_id[PEER_CLUSTER_ID_SIZE + 1]; /* empty: not formed yet */
    uint64_t founders[PEERS_MAX];
    uint32_t founder_count;
    uint32_t fresh[PEERS_MAX]; /* before: incarnations of others without a cluster, as options.peers */
    struct peers *peers;
    struct raft_host *host;
    struct controller *controller; /* NULL until formed */
    struct map leaders;            /* group be64 -> struct known_leader: groups that are not here */
    struct io_timer timer;
    struct io_op form;
    bool forming, form_scheduled;
    struct store_write identity;
    bool adopting; /* the disk is that of a broker that ran alone, until the write is durable that changes it
                    */
    bool identified;                     /* the disk holds who we are; others do not hear of it before */
    bool identity_writing, identity_due; /* under way; to be written, or written again */
    enum status identity_status;         /* of the latest that failed, until one does not */
    /* members.c: groups that want other members, and the read that says whether our metadata is fresh */
    struct raft_read_index metadata_read;
    bool metadata_asked;
    uint64_t metadata_asked_tick;
    struct tended_group {
        uint64_t group, term;
    } tending[CLUSTER_TENDING_MAX];
    uint32_t tending_count;
    bool members_due;      /* the next tick looks at all groups that are led here, */
    uint64_t tended_index; /* and so it does when the metadata is not what it was */
    struct moves *moves;   /* moves.c */
    struct list unopened;  /* struct partition.unopened: partition_replica.c */
    bool removed;          /* we are not in the cluster any more; it was logged */
    uint64_t ticks;
    uint64_t next_number;                   /* of requests to others */
    struct list forwards, served;           /* forward.c */
    struct list groups_away, groups_served; /* coordinator_forward.c */
    struct list served_calls;               /* coordinator_remote.c */
    bool leaving, stopping;
    uint32_t departing[PEERS_MAX]; /* others that are leaving, by their word, as long as they are connected */
    uint32_t departing_count;
    uint64_t leave_deadline_ns;
    void (*left)(void *ctx);
    void *left_ctx;
};

struct known_leader {
    uint32_t node;
    uint64_t term;
};

/* Reads or makes the identity; blocks; at start. */
enum status cluster_open(struct broker *broker, struct diagnostic *diagnostic) MUST_USE;
/* After the topics are loaded: the groups that this node has, and the connections. */
enum status cluster_start(struct broker *broker, struct diagnostic *diagnostic) MUST_USE;
/* Hands over what is led here; `done` when nothing is, or after CLUSTER_LEAVE_NS. */
void cluster_leave(struct cluster *cluster, void (*done)(void *ctx), void *ctx);
/* Connections end; `done` when nothing is under way. */
void cluster_stop(struct cluster *cluster, void (*done)(void *ctx), void *ctx);
void cluster_free(struct cluster *cluster);

/* The founding configuration of a partition that has not gone to other nodes yet, if this node is among its
 * founders with this disk: the same on all, with the disks that they had when it was made. One that lost its
 * disk since is in it all the same, and is no founder any more: those that are left found the partition, if
 * they are a majority, and then take the new disk in. Nothing can have been acknowledged without one of them,
 * and that one has it stored and founds nothing. NULL: it has to be learnt from the others. mem_free frees it.
 */
struct raft_config *cluster_founding(const struct cluster *cluster, const struct metadata_replicas *replicas);
/* Who leads a group, as far as is known; node 0: nobody. */
struct known_leader cluster_leader(struct cluster *cluster, uint64_t group);
/* Tells everybody, when a group is led here from now on. */
void cluster_announce(struct cluster *cluster, const struct raft_replica *replica);
/* Tells the other members where a log that is led here begins, so that what was deleted stays deleted whoever
 * leads next. */
void cluster_tell_log_start(struct cluster *cluster, const struct raft_replica *replica, int64_t log_start);
bool cluster_node_is_up(const struct cluster *cluster, uint32_t node);
/* It hands over what it leads, and takes nothing over. */
bool cluster_node_departs(const struct cluster *cluster, uint32_t node);

/* members.c: makes the members of the groups led here what they should be, one step a tick. */
void members_tend(struct cluster *cluster);
/* The role or the members of a partition's group are others than before. */
static inline void members_changed(struct cluster *cluster) {
    cluster->members_due = true;
}
/* The members of a group led here are what they should be, and that is committed. */
bool members_are_placed(const struct cluster *cluster, struct raft_replica *replica);
/* Asks the members best placed to take over what is led here; true: nothing is. */
bool members_hand_over(struct cluster *cluster);

#endif
