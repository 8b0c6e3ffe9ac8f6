// SPDX-License-Identifier: Apache-2.0
/* replica_world.h: nodes with real stores, hosts and connections on simulated machines, each a member of one
 * group that keeps a replicated log. Time passes only inside the calls that say so.
 *
 * Acknowledged is what a leader has applied: the world remembers position and payload of each, and every
 * replica that applies that position later must have the same. */
#ifndef SENTINEL_TESTS_LIB_REPLICA_WORLD_H
#define SENTINEL_TESTS_LIB_REPLICA_WORLD_H

#include "broker/peers.h"
#include "broker/replicated_log.h"
#include "io/io_sim.h"

#define REPLICA_NODES_MAX 5
#define REPLICA_GROUP     7
#define REPLICA_HISTORY   20000

struct replica_world;
struct replica_node {
    struct replica_world *world;
    uint32_t number; /* from 1; the simulator's node is one less */
    uint32_t incarnation;
    bool up;
    uint32_t failing_loads; /* so often its machine cannot read its state */
    struct io *io;
    struct store *store;
    struct raft_host *host;
    struct peers *peers;
    struct raft_replica *replica;
    struct replicated_log log;
    uint64_t applied_seen;    /* since its last load */
    uint32_t repairs;         /* so often its machine was told of one */
    uint64_t received_before; /* snapshot bytes, in earlier lives */
};

struct replica_world {
    struct io_sim *sim;
    uint32_t count;
    enum raft_format format;
    uint32_t founding; /* so many nodes are first members; the others join */
    struct raft_options raft;
    bool keeps_all;     /* the machine also keeps a key for each entry, so that snapshots are large */
    size_t piece_bytes; /* of a snapshot */
    uint64_t snapshot_bytes_max; /* 0: default */
    uint64_t bulk_rate;          /* of each node, from its start on; 0: none */
    struct replica_node nodes[REPLICA_NODES_MAX];
    /* hash of the history up to a position, by whoever applied it first */
    uint64_t hashes[REPLICA_HISTORY];
    uint64_t committed_end; /* the highest position that any replica applied */
    uint64_t proposals, accepted, counter, starts;
    struct diagnostic why;
};

void replica_world_open(struct replica_world *w, uint64_t seed, uint32_t nodes);
void replica_world_close(struct replica_world *w);
void replica_world_start(struct replica_world *w, uint32_t node);
void replica_world_crash(struct replica_world *w, uint32_t node, enum io_sim_crash how);
void replica_world_run(struct replica_world *w, uint64_t ms);
/* The leader that knows itself one, with the highest term; waits for one. 0: none within `ms`. */
uint32_t replica_world_leader(struct replica_world *w, uint64_t ms);
/* One proposal to this node, fire and forget. */
void replica_world_propose(struct replica_world *w, uint32_t node, size_t size);
/* So many, of several sizes, to whoever leads. */
void replica_world_propose_many(struct replica_world *w, uint32_t count);
/* All members compact their logs. */
void replica_world_compact(struct replica_world *w, uint64_t position);
/* Bytes of snapshots that this node has received in all its lives. */
uint64_t replica_world_received(const struct replica_world *w, uint32_t node);
/* The machine's keys of a node as one number, and how many there are. */
uint64_t replica_world_state(const struct replica_world *w, uint32_t node, uint64_t *count);
/* Runs until every node that is up has applied the same position, and nothing is missing from it. */
bool replica_world_settle(struct replica_world *w, uint64_t ms);

#endif
