// SPDX-License-Identifier: Apache-2.0
/* raft_bulk.h: how much of what followers missed is on its way to them at one time, and how fast it goes.
 *
 *   the core wants entries that memory has no more ─> wait for a turn ─> read ─> sent ─> acknowledged
 *                                                                      └───── under way ─────┘
 *
 * A follower that lags by more than the core keeps in memory, because it was away or is new, gets what the
 * store has, of all its groups at once. What clients write meanwhile goes over the same connections and to
 * the same disks. So each node has a queue in which groups take turns, a portion each, and what is under way
 * to it (being read here, in a socket, in its log) has a bound: large while nobody writes to what is led
 * here, else small, but never less than twice what clients wrote within BULK_SLOT_NS: however much they
 * write, a follower comes nearer. An operator may give a rate besides, for all nodes together.
 *
 * To a node that is down nothing is read. Groups of the cluster's own state (raft_replica_options.urgent),
 * repairs and snapshots, which are small, do not wait here.
 *
 * Source  a throttle for what is not live: Kafka's KIP-73. A bound of bytes under way instead of a guessed
 *         rate paces itself by whatever is slowest, as TCP's window does.
 * Owner   raft_host; a turn is embedded in what waits, a lane in its replica's list.
 * Loop    shard thread only. `begin` is called from inside of raft_bulk_ask and of whatever makes room; it
 *         may start reads, and not step a core.
 * I1  a node's under_way is the sum of what its lanes have in `reading` and `sent`. */
#ifndef SENTINEL_BROKER_RAFT_BULK_H
#define SENTINEL_BROKER_RAFT_BULK_H

#include "base/list.h"
#include "base/units.h"
#include "io/io.h"

#define BULK_IDLE_BYTES   (32 * MIB) /* under way to one node while no client writes here */
#define BULK_LIVE_BYTES   MIB        /* and while some do, at the least */
#define BULK_PORTION      MIB
#define BULK_LIVE_PORTION (256 * KIB)
#define BULK_PORTION_MIN  (64 * KIB) /* however low the rate */
#define BULK_LIVE_NS      NS_PER_S   /* clients that wrote so lately write still */
#define BULK_SLOT_NS      (100 * NS_PER_MS)

struct raft_bulk_node {
    struct list link;
    struct list waiting; /* struct raft_bulk_turn.link */
    uint32_t node;
    bool down;
    size_t under_way;
};

struct raft_bulk {
    struct io *io;
    struct list nodes; /* those served last come last */
    uint64_t rate;     /* bytes a second; 0: as fast as it goes */
    uint64_t free_ns;  /* from then on the rate lets the next begin */
    struct io_timer timer;
    uint64_t live_ns, slot_ns; /* a client wrote; since when slot_bytes are counted */
    uint64_t slot_bytes, last_slot_bytes;
    uint64_t read_bytes; /* since the start */
    bool pumping;
};

/* A follower of one group that lags. */
struct raft_bulk_lane {
    struct list link; /* the replica's */
    struct raft_bulk_node *node;
    uint64_t peer;
    uint32_t asked; /* turns that wait or are being read */
    size_t reading; /* given to these */
    size_t sent;    /* and not acknowledged */
    uint64_t end;   /* of what was read last */
    size_t ahead;   /* store_iterator_ahead then */
};

struct raft_bulk_turn {
    struct list link;
    struct raft_bulk_lane *lane; /* NULL: it does not wait, and is not being read */
    size_t bytes;                /* wanted; from `begin` on, how much it may be */
    void (*begin)(struct raft_bulk_turn *turn);
};

void raft_bulk_init(struct raft_bulk *bulk, struct io *io);
void raft_bulk_release(struct raft_bulk *bulk);
void raft_bulk_set_rate(struct raft_bulk *bulk, uint64_t bytes_per_s);
/* Clients wrote to what is led here. */
void raft_bulk_live(struct raft_bulk *bulk, uint64_t bytes);
void raft_bulk_node_is(struct raft_bulk *bulk, uint32_t node, bool up);

/* The lane of this peer among a replica's; made when there is none. */
struct raft_bulk_lane *raft_bulk_lane(struct raft_bulk *bulk, struct list *lanes, uint64_t peer,
                                      uint32_t node);
/* No turn is left. */
void raft_bulk_lane_free(struct raft_bulk *bulk, struct raft_bulk_lane *lane);
/* So much of what was read is not acknowledged yet. */
void raft_bulk_sent(struct raft_bulk *bulk, struct raft_bulk_lane *lane, size_t bytes);

void raft_bulk_ask(struct raft_bulk *bulk, struct raft_bulk_turn *turn, struct raft_bulk_lane *lane);
/* It began, and so much was read, or it is not wanted any more. The caller says next what of it was sent. */
void raft_bulk_read(struct raft_bulk *bulk, struct raft_bulk_turn *turn, size_t bytes);

#endif
